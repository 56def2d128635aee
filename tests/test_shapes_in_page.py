"""Drawn shapes in a page: the random numbers of numpy, the pictures of Python."""

import asyncio
import hashlib
import json
import shutil

import numpy as np
import pytest
from browser import open_page
from node import run_node
from server import serve

from sightline.data.shapes import draw_shapes
from sightline.export.assets import WEB

SEEDS = (0, 1, 2**32 - 1, 2**32, 2**53 - 1, [0], [3, 1], [2**40, 5], [1, 2, 3, 4, 5, 6])
# how many, options of Python, the same of the page
DRAWINGS = (
    (2_203, {"seed": 7}, {"seed": 7}),
    (1, {}, {}),
    (
        37,
        {"seed": [4, 2**33], "shortcut_class": 3},
        {"seed": [4, 2**33], "shortcutClass": 3},
    ),
    (
        400,
        {"shortcut_class": 0, "shortcut_probability": 0.6, "other_probability": 0.1},
        {"shortcutClass": 0, "shortcutProbability": 0.6, "otherProbability": 0.1},
    ),
    (25, {"seed": 1, "shortcut_on": True}, {"seed": 1, "shortcutOn": True}),
    (
        4,
        {"shortcut_on": np.array([True, False, False, True]), "shortcut_class": 1},
        {"shortcutOn": [True, False, False, True], "shortcutClass": 1},
    ),
    (
        100,
        {"noise": 0, "contrast": (0.1, 0.9), "radius": (3, 20)},
        {"noise": 0, "contrast": [0.1, 0.9], "radius": [3, 20]},
    ),
)
PARTS = ("images", "labels", "masks", "shortcuts")


def drawn_bytes(n: int, options: dict) -> bytes:
    """Everything that Python draws, in the types of the page."""
    drawn = draw_shapes(n, **options)
    return b"".join(getattr(drawn, part).astype(np.uint8).tobytes() for part in PARTS)


def draw_in_node(n: int, options: dict) -> bytes:
    program = """
        const { drawInSteps } = await import(process.argv[2]);
        const [n, options, ...parts] = process.argv.slice(3);
        const drawing = drawInSteps(Number(n), JSON.parse(options));
        let step = drawing.next();
        while (!step.done) step = drawing.next();
        for (const part of parts) process.stdout.write(step.value[part]);
    """
    module = (WEB / "shapes.mjs").as_uri()
    return run_node(program, module, n, json.dumps(options), *PARTS)


def random_in_node(program: str, *arguments: object) -> bytes:
    """Run lines that get `Random` and their first argument from JSON, `given`."""
    start = """
        const { Random } = await import(process.argv[2]);
        const given = JSON.parse(process.argv[3]);
        const write = (numbers) => process.stdout.write(new Uint8Array(numbers.buffer));
    """
    module = (WEB / "random.mjs").as_uri()
    return run_node(start + program, module, *map(json.dumps, arguments))


@pytest.mark.parametrize(("n", "options", "same"), DRAWINGS)
def test_node_draws_the_pictures_of_python_byte_for_byte(n, options, same):
    assert draw_in_node(n, same) == drawn_bytes(n, options)


@pytest.mark.browser
def test_every_engine_draws_them_too_and_in_a_worker(tmp_path, engine):
    for name in ("shapes.mjs", "random.mjs"):
        shutil.copyfile(WEB / name, tmp_path / name)
    page = (
        '<!doctype html><html lang="en"><title>x</title><link rel="icon" href="data:,">'
    )
    (tmp_path / "index.html").write_text(page, encoding="utf-8")
    (tmp_path / "worker.mjs").write_text(WORKER, encoding="utf-8")
    with serve(tmp_path) as address:
        results = asyncio.run(draw_in_page(f"{address}/index.html", engine))
    for (n, options, _), (steps, digest) in zip(DRAWINGS, results, strict=True):
        assert digest == hashlib.sha256(drawn_bytes(n, options)).hexdigest()
        assert steps == list(range(100, n + 1, 100))


WORKER = """
    import { drawInSteps } from "./shapes.mjs";
    self.addEventListener("message", async ({ data }) => {
        const [n, options, parts] = data;
        const steps = [];
        const drawing = drawInSteps(n, options);
        let step = drawing.next();
        for (; !step.done; step = drawing.next()) steps.push(step.value);
        const bytes = new Blob(parts.map((part) => step.value[part])).arrayBuffer();
        const digest = await crypto.subtle.digest("SHA-256", await bytes);
        const hex = Array.from(new Uint8Array(digest), (byte) =>
            byte.toString(16).padStart(2, "0"));
        self.postMessage([steps, hex.join("")]);
    });
"""


async def draw_in_page(address: str, engine: str) -> list:
    """For each drawing, after which pictures it paused, and a digest of all bytes."""
    async with open_page(engine) as page:
        await page.visit(address)
        results = []
        for n, _, options in DRAWINGS:
            question = json.dumps([n, options, PARTS])
            results.append(
                await page.value(
                    "new Promise((resolve) => {"
                    '  const worker = new Worker("worker.mjs", { type: "module" });'
                    '  worker.addEventListener("message", ({ data }) => resolve(data));'
                    f"  worker.postMessage({question});"
                    "})"
                )
            )
        assert not page.complaints and not page.failures
        return results


def test_a_seed_gives_the_words_of_numpy():
    words = random_in_node(
        """
        for (const seed of given) {
            const random = new Random(seed);
            write(Uint32Array.from({ length: 2000 }, () => random.next32()));
        }
        """,
        SEEDS,
    )
    expected = [np.random.default_rng(s).bit_generator.random_raw(1_000) for s in SEEDS]
    assert words == np.array(expected, "<u8").tobytes()


@pytest.mark.parametrize("seed", [-1, 0.5, 2**53, "7", None])
def test_a_seed_that_is_no_whole_number_is_refused(seed):
    message = random_in_node(
        """
        try {
            new Random(given);
        } catch (error) {
            process.stdout.write(error.message);
        }
        """,
        seed,
    )
    assert b"expected whole numbers" in message


def test_a_half_that_waits_is_not_lost_among_other_numbers():
    numbers = random_in_node(
        """
        const random = new Random(given);
        const draw = (_, i) => (i % 3 ? random.next32() : random.uniform(-0.35, 0.35));
        write(Float64Array.from({ length: 3000 }, draw));
        """,
        5,
    )
    rng = np.random.default_rng(5)
    expected = [
        rng.integers(2**32, dtype=np.uint32) if i % 3 else rng.uniform(-0.35, 0.35)
        for i in range(3_000)
    ]
    assert np.frombuffer(numbers, "<f8").tolist() == expected


def test_a_million_normal_numbers_are_those_of_numpy():
    n = 1_000_000
    numbers = random_in_node(
        """
        const random = new Random(given);
        write(Float32Array.from({ length: 1e6 }, () => random.normal()));
        """,
        11,
    )
    drawn = np.frombuffer(numbers, "<f4")
    expected = np.random.default_rng(11).standard_normal(n, dtype=np.float32)
    # beyond the lowest strip numpy takes the logarithm of the C library, not all of
    # which round it to the nearest number
    tail = np.abs(expected) > 3.6541528
    assert tail.sum() > 200
    assert np.array_equal(drawn[~tail], expected[~tail])
    np.testing.assert_array_max_ulp(drawn[tail], expected[tail], 1)


def test_every_strip_of_the_ziggurat_ends_where_it_does_in_numpy():
    rng = np.random.default_rng(0)
    fresh = rng.bit_generator.state

    def draw(word: int) -> tuple[float, bool]:
        """Draw from `word`; return the number, and whether one word was not enough."""
        rng.bit_generator.state = {**fresh, "has_uint32": 1, "uinteger": word}
        number = float(rng.standard_normal(dtype=np.float32))
        return number, rng.bit_generator.state["state"] != fresh["state"]

    words = []
    for strip in range(256):
        first, last = 0, 2**23 - 1  # the first that is not inside for certain
        while first < last:
            middle = (first + last) // 2
            if draw(middle << 9 | strip)[1]:
                last = middle
            else:
                first = middle + 1
        words += [max(first - 1, 0) << 9 | 0x100 | strip, first << 9 | strip]
    numbers = random_in_node(
        """
        write(Float64Array.from(given.flatMap((word) => {
            const random = new Random(0);
            random.spare[0] = word;
            random.hasSpare = true;
            const before = random.state.join();
            return [random.normal(), random.state.join() !== before];
        })));
        """,
        words,
    )
    expected = [draw(word) for word in words]
    drawn = np.frombuffer(numbers, "<f8").reshape(-1, 2)
    assert np.array_equal(drawn[:, 1], [more for _, more in expected])
    assert drawn[:, 0] == pytest.approx([number for number, _ in expected], rel=1e-7)


def test_an_array_is_shuffled_as_numpy_shuffles_it():
    lengths = (1, 2, 3, 10, 1_000, 70_000)
    orders = random_in_node(
        """
        const random = new Random(9);
        for (const length of given) {
            const order = Uint32Array.from({ length }, (_, i) => i);
            random.shuffle(order);
            write(order);
        }
        """,
        lengths,
    )
    rng = np.random.default_rng(9)
    expected = [rng.permutation(np.arange(length)) for length in lengths]
    assert orders == np.concatenate(expected).astype("<u4").tobytes()
