"""Explorers: what a cell leaves on the page, and that its script computes the same."""

import asyncio
import itertools
import json
import math
import re
import shutil
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import jupytext
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from browser import open_page
from server import serve
from torch.optim.lr_scheduler import OneCycleLR

from sightline.book import explorers
from sightline.data.augment import Draw, apply_augmentation
from sightline.data.transforms import denormalise
from sightline.errors import SightlineError
from sightline.heatmaps.explain import Explanation
from sightline.models.resnet import ResNet
from sightline.plots.overlay import overlay
from sightline.training import lr_finder
from sightline.training.lr_finder import RangeTest, suggest

ROOT = Path(__file__).parents[1]
SCRIPTS = ROOT / "book/_static/explorers"
HOMES = {  # of each explorer
    "augmentation": "01_data",
    "receptive_field": "02_residual_networks",
    "lr_finder": "03_lr_finder",
    "one_cycle": "04_one_cycle",
    "grad_cam": "06_grad_cam",
}
SIDE = 32
MEAN, STD = (0.49, 0.48, 0.45), (0.25, 0.24, 0.26)
CLASSES = ["cat", "dog", "</script><b>", "ship"]


def random_pictures(count: int) -> torch.Tensor:
    """Noise, the same in every run."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(
        256, (count, SIDE, SIDE, 3), generator=generator, dtype=torch.uint8
    )


def narrow_network() -> ResNet:
    """A ResNet-18 of few channels."""
    torch.manual_seed(0)
    network = ResNet((2, 2, 2, 2), width=4, norm="batch", num_classes=10)
    return network.double().eval()


def influences() -> dict[str, torch.Tensor]:
    """Something on a canvas, strongest in its middle."""
    place = torch.arange(128.0) - 64
    falling = torch.exp(-(place[:, None] ** 2 + place**2) / 200)
    return dict.fromkeys(["stem", "layer1", "layer2", "layer3", "layer4"], falling)


def range_test(seed: int, points: int = 120) -> RangeTest:
    """A curve that falls and explodes, with noise."""
    lrs = [1e-4 * 1e5 ** (k / (points - 1)) for k in range(points)]
    noise = np.random.default_rng(seed).normal(0, 0.1, points)
    place = np.log10(lrs)
    shape = 2.3 - 1 / (1 + np.exp(-3 * (place + 1.5))) + np.exp(4 * (place - 0.5))
    losses = np.float32(shape + noise).astype(float).tolist()
    return RangeTest(lrs, losses, "end")


def answers() -> list[dict[str, Explanation]]:
    """Maps of two pictures for two questions; one of them is blank."""
    generator = torch.Generator().manual_seed(1)
    found = []
    for targets in ([2, 1], [0, 2]):
        maps = {}
        for layer, side in (("layer1", 32), ("layer4", 4)):
            evidence = torch.rand(2, side, side, generator=generator)
            status = ["ok", "ok"]
            if targets == [0, 2] and layer == "layer4":
                evidence[1], status[1] = 0, "blank"
            large = F.interpolate(evidence[:, None], (SIDE, SIDE), mode="bilinear")
            maps[layer] = Explanation(
                layer,
                torch.tensor(targets),
                unit_range(large[:, 0]),
                evidence,
                torch.ones(2),
                status,
            )
        found.append(maps)
    return found


def unit_range(maps: torch.Tensor) -> torch.Tensor:
    """Stretch each map to 0..1."""
    maps = maps - maps.amin((1, 2), keepdim=True)
    return maps / maps.amax((1, 2), keepdim=True).clamp_min(1e-12)


def elements() -> dict[str, str]:
    """The HTML of every explorer, small."""
    shares = torch.tensor([[0.1, 0.1, 0.7, 0.1], [0.2, 0.6, 0.1, 0.1]])
    pictures = random_pictures(2)
    statistics = {"mean": MEAN, "std": STD}
    curves = [range_test(seed) for seed in range(3)]
    trained = {0.01: 0.4, 0.1: 0.6, 1.0: math.nan}
    made = {
        "augmentation": explorers.augmentation(pictures[0], **statistics),
        "receptive-field": explorers.receptive_field(
            narrow_network(), pictures[0], influences(), **statistics
        ),
        "lr-finder": explorers.lr_finder(curves, trained, guess=math.log(4)),
        "one-cycle": explorers.one_cycle(
            max_lr=0.1,
            total_steps=200,
            pct_start=0.25,
            div_factor=25.0,
            final_div_factor=1e3,
        ),
        "grad-cam": explorers.grad_cam(
            pictures, answers(), shares, torch.tensor([2, 2]), CLASSES
        ),
    }
    return {name: html.data for name, html in made.items()}


@pytest.fixture(scope="module")
def made():
    """The HTML of every explorer."""
    return elements()


def data_of(html: str) -> dict:
    """What a script reads."""
    return json.loads(re.search(r"<script[^>]*>(.*?)</script>", html, re.S)[1])


def test_data_cannot_end_the_element_it_is_in(made):
    for html in made.values():
        assert html.lower().count("</script") == 1
    assert data_of(made["grad-cam"])["classes"] == CLASSES


def test_an_explorer_names_its_script_and_says_what_stands_without_it(made):
    for name, html in made.items():
        assert f'data-explorer="{name}"' in html
        assert (SCRIPTS / f"{name.replace('-', '_')}.js").exists()
        assert "The figures above" in html
        assert "src=" not in html  # nothing to miss on Colab


def test_a_blank_map_is_recorded_as_nothing(made):
    first, second = data_of(made["grad-cam"])["pictures"]
    assert [q["label"] for q in second["asked"]] == [1, 2]  # the most probable first
    assert second["asked"][1]["maps"][1] is None
    assert all(q["maps"][1] for q in first["asked"])


def test_maps_that_are_too_fine_are_left_out_and_nothing_else_is_refused(made):
    pictures, labels = random_pictures(2), torch.tensor([0, 1])
    shares = torch.full((2, 4), 0.25)
    large = {
        "layer1": replace(answers()[0]["layer1"], evidence=torch.rand(2, 64, 64)),
        "layer4": answers()[0]["layer4"],
    }
    found = explorers.grad_cam(pictures, [large], shares, labels, CLASSES)
    assert data_of(found.data)["layers"] == [{"name": "layer4", "side": 4}]
    with pytest.raises(SightlineError, match="at most 32 × 32"):
        only = {"layer1": large["layer1"]}
        explorers.grad_cam(pictures, [only], shares, labels, CLASSES)


def test_a_rate_that_diverged_has_no_accuracy(made):
    trained = data_of(made["lr-finder"])["trained"]
    assert trained == {"rates": [0.01, 0.1, 1.0], "accuracies": [0.4, 0.6, None]}


def test_recorded_losses_are_those_that_were_measured(made):
    for stored, test in zip(
        data_of(made["lr-finder"])["tests"], map(range_test, range(3)), strict=True
    ):
        assert np.array_equal(np.float32(stored["losses"]), np.float32(test.losses))


def test_twelve_pictures_with_noise_in_every_map_stay_below_150_kb():
    count, classes = 12, [f"class {k}" for k in range(10)]
    pictures = random_pictures(count) // 4 * 4  # about as well packed as photographs
    asked = []
    for k in range(5):
        asked.append(
            {
                name: Explanation(
                    name,
                    torch.full((count,), k),
                    torch.zeros(count, SIDE, SIDE),
                    torch.rand(count, side, side),
                    torch.ones(count),
                    ["ok"] * count,
                )
                for name, side in zip("abcd", (32, 16, 8, 4), strict=True)
            }
        )
    shares = torch.full((count, 10), 0.1)
    found = explorers.grad_cam(
        pictures, asked, shares, torch.zeros(count).long(), classes
    )
    assert len(found.data) < 150_000


def test_the_scripts_of_a_page_are_small():
    shared = ["load.js", "shared.js", "charts.js"]
    sizes = {path.name: path.stat().st_size for path in SCRIPTS.glob("*.js")}
    assert set(sizes) == {*shared, *(f"{name}.js" for name in HOMES)}
    assert max(sizes.values()) < 15_000
    assert sum(sizes[name] for name in shared) + max(sizes.values()) < 40_000


@pytest.mark.parametrize(("name", "chapter"), HOMES.items())
def test_above_an_explorer_stands_a_figure(name, chapter):
    cells = jupytext.read(ROOT / f"book/{chapter}.md").cells
    code = [cell for cell in cells if cell.cell_type == "code"]
    (place,) = [
        i
        for i, c in enumerate(code)
        if re.search(rf"^(explorers\.)?{name}\(", c.source, re.M)
    ]
    figures = [c for c in code[:place] if "image" in c.metadata.get("mystnb", {})]
    assert figures
    before = cells[cells.index(code[place]) - 1]
    assert before.cell_type == "markdown"
    assert re.search("Before you|First guess", before.source)  # predict, then move
    assert "hide-input" in code[place].metadata["tags"]


# what the scripts compute, in each engine

DRAWS = [  # down, right, mirrored, border, row, column, side of the hole, fill
    (0, 0, False, "reflect", 0, 0, 0, "mean"),
    (6, -3, False, "reflect", 4, 9, 8, "mean"),
    (-8, 8, True, "reflect", 28, 30, 12, "raw_mean"),
    (3, 5, True, "mean", 0, 31, 5, "black"),
]
READINGS = [(0.25, 5), (0.02, 5), (0.1, 0), (0.8, 30)]  # σ, points left out
CYCLES = [
    {},
    {"pct_start": 0.3, "total_steps": 97, "anneal_strategy": "linear"},
    {"max_lr": 2.0, "div_factor": 3.0, "final_div_factor": 1e4, "total_steps": 400},
    {"base_momentum": 0.7, "max_momentum": 0.9, "pct_start": 0.95},
]
KEYS = ("down", "right", "mirrored", "border", "row", "column", "hole", "fill")
FIRST_CYCLE = {
    "max_lr": 0.1,
    "total_steps": 200,
    "pct_start": 0.25,
    "div_factor": 25.0,
    "final_div_factor": 1e3,
    "base_momentum": 0.85,
    "max_momentum": 0.95,
    "anneal_strategy": "cos",
}
DATA = "JSON.parse(document.querySelector('[data-explorer=\"{}\"] script').textContent)"
SENTENCE = "document.querySelector('[data-explorer=\"{}\"] [role=status]').textContent"
READY = "document.querySelectorAll('[data-explorer][data-ready]').length"


def computed() -> dict[str, str]:
    """What to ask the scripts, as JavaScript."""
    kind = "window.sightlineExplorers.kinds"
    draws = [dict(zip(KEYS, draw, strict=True)) for draw in DRAWS]
    cycles = [FIRST_CYCLE | changes for changes in CYCLES]
    return {
        "augmented": f"""(() => {{
          const data = {DATA.format("augmentation")};
          data.pixels = window.sightlineExplorers.bytes(data.pixels);
          const {{ augment, toPixels }} = {kind}.augmentation;
          return {json.dumps(draws)}.map((draw) => {{
            const values = augment(data, draw);
            return [[...values], [...toPixels(values, data)]];
          }});
        }})()""",
        "fields": f"""{DATA.format("receptive-field")}.layers.map((layer) => {{
          const units = [...Array(layer.side ** 2).keys()];
          return units.map((i) => {kind}['receptive-field'].field(
            Math.floor(i / layer.side), i % layer.side, layer, {SIDE}));
        }})""",
        "edges": f"""(() => {{
          const {{ convolve, KERNELS }} = {kind}['receptive-field'];
          const grey = [...Array({SIDE**2}).keys()].map((i) => (i * i) % 101);
          return convolve(grey, KERNELS.edge[1], {SIDE});
        }})()""",
        "suggested": f"""{DATA.format("lr-finder")}.tests.map(({{ lrs, losses }}) =>
          {json.dumps(READINGS)}.map(([bandwidth, end]) =>
            {kind}['lr-finder'].suggest(
              lrs, losses, {{ bandwidth, reach: {lr_finder.REACH} }}, end)))""",
        "reached": f"""[0.003, 0.01, 0.0316227766, 0.5].map((lr) =>
          {kind}['lr-finder'].accuracyAt(lr, {DATA.format("lr-finder")}.trained))""",
        "cycles": f"{json.dumps(cycles)}.map({kind}['one-cycle'].wholeCycle)",
        "line": f"{kind}['one-cycle'].torchLine({json.dumps(FIRST_CYCLE)})",
        "overlays": f"""(() => {{
          const data = {DATA.format("grad-cam")};
          const {{ enlarge, stretch, overlay }} = {kind}['grad-cam'];
          const {{ bytes, shares }} = window.sightlineExplorers;
          const rgb = Uint8ClampedArray.from(
            {{ length: {SIDE**2 * 3} }}, (_, i) => (7 * i) % 256);
          return data.layers.map(({{ side }}, at) => {{
            const [, digits] = data.pictures[0].asked[0].maps[at];
            const map = stretch(enlarge(shares(digits), side, data.size));
            return [[...map], [...overlay(rgb, map, 0.6, bytes(data.colours))]];
          }});
        }})()""",
    }


async def wait_for(page, expression: str, wanted: object) -> object:
    """Wait until an expression has a value, at most ten seconds; return its value."""
    for _ in range(100):
        value = await page.value(expression)
        if value == wanted:
            break
        await asyncio.sleep(0.1)
    return value


async def press(page, key: str, times: int = 1) -> None:
    """Press a key as a keyboard does, and wait until it is told."""
    for _ in range(times):
        await page.press(key)
    await page.value("new Promise((resolve) => setTimeout(resolve, 250))")


async def use(page) -> dict:
    """Ask the scripts, press keys, look at what is said."""
    found = {name: await page.value(asked) for name, asked in computed().items()}
    await page.value(
        "document.querySelector('[data-explorer=\"one-cycle\"] input').focus()"
    )
    found["before"] = await page.value(SENTENCE.format("one-cycle"))
    await press(page, "ArrowRight", times=6)
    found["after"] = await page.value(SENTENCE.format("one-cycle"))
    found["code"] = await page.value(
        "document.querySelector('[data-explorer=\"one-cycle\"] code').textContent"
    )
    await page.value(
        'document.querySelector(\'[data-explorer="receptive-field"] '
        "[role=application]').focus()"
    )
    await press(page, "ArrowUp", times=2)
    found["moved"] = await page.value(SENTENCE.format("receptive-field"))
    found["controls"] = await page.value(
        "[...document.querySelectorAll('.explorer-live :is(input, [tabindex])')]"
        ".map((e) => e.labels?.[0]?.textContent || e.getAttribute('aria-label'))"
    )
    found["sentences"] = await page.value(
        "[...document.querySelectorAll('[data-explorer] > p')].map((p) => p.hidden)"
    )
    return found


async def survey(folder: Path, engine: str) -> dict:
    """Use every explorer from a disk; look at it from a server, and on a phone."""
    async with open_page(engine) as page:
        await page.visit((folder / "all.html").as_uri())
        ready = await wait_for(page, READY, len(HOMES))
        found = {"ready": [ready], **await use(page), "asked": page.requests[:]}
        page.requests.clear()
        page.requests.clear()
        with serve(folder) as address:
            await page.visit(f"{address}/bare.html")
            found["bare"] = page.requests[:]
            await page.visit(f"{address}/all.html", width=390, dark=True)
            found["ready"].append(await wait_for(page, READY, len(HOMES)))
            found["width"] = await page.value("document.documentElement.scrollWidth")
            hosts = {urlsplit(url).netloc for url in page.requests}
            found["hosts"] = hosts - {"", urlsplit(address).netloc}
        found["complaints"] = page.complaints
    return found


@pytest.fixture(scope="module")
def folder(made, tmp_path_factory):
    """A page that holds every explorer, one that holds none, and the scripts."""
    folder = tmp_path_factory.mktemp("explorers")
    shutil.copytree(SCRIPTS, folder / "explorers")
    for name, body in (("all", "".join(made.values())), ("bare", "<p>No explorer.")):
        head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{name}'
        head += '</title><link rel="icon" href="data:,">'
        head += '<meta name="viewport" content="width=device-width">'
        head += '<script src="explorers/load.js"></script>'
        (folder / f"{name}.html").write_text(f"{head}<body>{body}", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def seen(folder, engine):
    """What an engine says about the page that holds every explorer."""
    return asyncio.run(survey(folder, engine))


@pytest.mark.browser
def test_every_explorer_comes_to_life_from_disk_and_server_without_a_complaint(seen):
    assert seen["ready"] == [len(HOMES), len(HOMES)]
    assert not seen["complaints"]
    assert all(seen["sentences"])  # the sentence goes when the controls are there


@pytest.mark.browser
def test_explorers_ask_for_their_own_files_only(seen):
    assert all(url.startswith(("file:", "data:", "about:")) for url in seen["asked"])
    assert not seen["hosts"]
    names = {urlsplit(url).path.rsplit("/", 1)[-1] for url in seen["bare"]}
    assert names - {","} == {"bare.html", "load.js"}


@pytest.mark.browser
def test_without_javascript_a_sentence_points_at_the_figures(folder):
    async def look() -> list[str]:
        async with open_page() as page:  # only Chromium can be asked without scripts
            await page.call("Emulation.setScriptExecutionDisabled", value=True)
            await page.visit((folder / "all.html").as_uri())
            return await page.value(
                "[...document.querySelectorAll('[data-explorer]')]"
                ".map((e) => e.innerText)"
            )

    words = asyncio.run(look())
    assert len(words) == len(HOMES)
    assert all("The figures above" in sentence for sentence in words)


@pytest.mark.browser
def test_a_phone_need_not_scroll_sideways(seen):
    assert seen["width"] == 390


@pytest.mark.browser
def test_every_control_has_a_name(seen):
    assert len(seen["controls"]) > 40
    assert all(name and name.strip() for name in seen["controls"])


@pytest.mark.browser
def test_arrow_keys_turn_a_slider_and_the_code_follows(seen):
    assert "up to 0.1 in step 49" in seen["before"]
    assert "up to 0.2 in step 49" in seen["after"]
    assert "    max_lr=0.2,\n" in seen["code"]


@pytest.mark.browser
def test_arrow_keys_move_a_unit(seen):
    assert seen["moved"].startswith("Unit (14, 16) of stem")


@pytest.mark.browser
def test_the_script_augments_as_the_library_does(seen):
    picture = random_pictures(2)[:1]
    for draw, (values, pixels) in zip(DRAWS, seen["augmented"], strict=True):
        down, right, mirrored, border, row, column, cutout, fill = draw
        made = apply_augmentation(
            picture,
            Draw(
                torch.tensor([[down, right]]),
                torch.tensor([mirrored]),
                torch.tensor([[row, column]]),
                cutout,
                border=border,
                fill=fill,
            ),
            mean=MEAN,
            std=STD,
        )[0].permute(1, 2, 0)
        np.testing.assert_allclose(values, made.flatten(), atol=2e-5)
        levels = denormalise(made.permute(2, 0, 1)[None], MEAN, STD)[0]
        levels = (255 * levels).round().clamp(0, 255).permute(1, 2, 0)
        assert torch.equal(torch.tensor(pixels).view(made.shape), levels.int())


@pytest.mark.browser
def test_the_script_finds_the_pixels_that_the_gradient_finds(seen):
    network = narrow_network()
    image = torch.randn(1, 3, SIDE, SIDE, dtype=torch.double, requires_grad=True)
    x = image
    for name, spans in zip(influences(), seen["fields"], strict=True):
        x = getattr(network, name)(x)
        side = x.shape[-1]
        for row, column in itertools.product((0, side // 2, side - 1), repeat=2):
            (gradient,) = torch.autograd.grad(
                x[0, :, row, column].sum(), image, retain_graph=True
            )
            rows, columns = gradient[0].abs().sum(0).nonzero().unbind(1)
            reached = [rows.min(), rows.max(), columns.min(), columns.max()]
            assert spans[side * row + column] == [int(v) for v in reached]


@pytest.mark.browser
def test_the_script_convolves_as_torch_does(seen):
    grey = torch.arange(SIDE**2).square() % 101
    kernel = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    made = F.conv2d(grey.view(1, 1, SIDE, SIDE).float(), kernel[None, None], padding=1)
    assert seen["edges"] == made.flatten().tolist()


@pytest.mark.browser
def test_the_script_suggests_what_the_library_suggests(seen, monkeypatch):
    for seed, readings in enumerate(seen["suggested"]):
        test = range_test(seed)
        for (bandwidth, end), found in zip(READINGS, readings, strict=True):
            if bandwidth == 0.25:
                assert found == pytest.approx(suggest(test), rel=1e-5)
            monkeypatch.setattr(lr_finder, "SKIP_END", end or -len(test.lrs))
            wanted = suggest(replace(test, bandwidth=bandwidth))
            assert found == pytest.approx(wanted, rel=1e-5), (seed, bandwidth, end)
            monkeypatch.undo()


@pytest.mark.browser
def test_the_script_reads_accuracies_between_the_rates_that_were_tried(seen):
    outside, lowest, between, diverged = seen["reached"]
    assert outside is None and diverged is None
    assert lowest == pytest.approx(0.4)
    assert between == pytest.approx(0.5)


@pytest.mark.browser
def test_the_script_makes_the_cycle_that_torch_makes(seen):
    for changes, pairs in zip(CYCLES, seen["cycles"], strict=True):
        optimizer = torch.optim.SGD(
            [torch.nn.Parameter(torch.zeros(1))], lr=1.0, momentum=0.9
        )
        scheduler = OneCycleLR(optimizer, **(FIRST_CYCLE | changes))
        group, used = optimizer.param_groups[0], []
        for _ in range(scheduler.total_steps):
            used.append((group["lr"], group["momentum"]))
            optimizer.step()
            scheduler.step()
        np.testing.assert_allclose(pairs, used, rtol=1e-9, atol=1e-12)


@pytest.mark.browser
def test_the_line_to_copy_makes_the_cycle_that_is_shown(seen):
    optimizer = torch.optim.SGD(
        [torch.nn.Parameter(torch.zeros(1))], lr=1.0, momentum=0.9
    )
    scheduler = eval(seen["line"], {"OneCycleLR": OneCycleLR, "optimizer": optimizer})
    assert scheduler.total_steps == 200
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.004)


@pytest.mark.browser
def test_the_script_overlays_the_map_that_the_library_overlays(seen):
    first = answers()[0]  # picture 0 was asked for its class 2 first
    rgb = ((7 * torch.arange(SIDE**2 * 3)) % 256).byte().view(SIDE, SIDE, 3)
    for found, (values, pixels) in zip(first.values(), seen["overlays"], strict=True):
        heatmap = torch.tensor(values).view(SIDE, SIDE)
        kept = (63 * found.evidence[0] / found.evidence[0].max()).round()
        large = F.interpolate(kept[None, None], (SIDE, SIDE), mode="bilinear")[0]
        np.testing.assert_allclose(heatmap, unit_range(large)[0], atol=1e-6)
        assert (heatmap - found.heatmaps[0]).abs().max() < 0.02  # 64 steps
        made = overlay(rgb, heatmap).int()
        different = (torch.tensor(pixels).view(made.shape) - made).abs()
        assert different.max() <= 3  # at the edge between two of 256 colours
        assert (different > 1).float().mean() < 0.01  # ours are rounded to bytes
