"""The head that a page fits, in Node: against scikit-learn, and left out."""

import json

import numpy as np
import pytest
import torch
from node import run_node
from regression import regression

from sightline.export.assets import WEB
from sightline.heatmaps.scaling import enlarge, scale
from sightline.measures.inference import wilson_interval

MODULES = {
    name: (WEB / "teach" / f"{name}.mjs").as_uri()
    for name in ("head", "taught", "view", "words")
}
CHANNELS = 40
FITTED = """
const rows = values.rows.map((row) => Float64Array.from(row));
const head = fit(rows, values.labels, values.count);
"""


@pytest.fixture
def ask(tmp_path):
    """Return a function that runs statements in Node and returns what they return."""

    def run(module: str, statements: str, **values):
        file = tmp_path / "values.json"
        file.write_text(json.dumps(values), encoding="utf-8")
        program = f"""
            import {{ readFileSync }} from "node:fs";
            Object.assign(globalThis, await import({json.dumps(MODULES[module])}));
            const values = JSON.parse(readFileSync(process.argv[2]));
            const result = await (async () => {{ {statements} }})();
            process.stdout.write(JSON.stringify(result));
        """
        return json.loads(run_node(program, file))

    return run


def drawn(count: int, each: int, seed: int = 0) -> tuple[np.ndarray, list[int]]:
    """Draw rows of classes that overlap, and their labels."""
    rng = np.random.default_rng(seed)
    middles = rng.gamma(2, 0.3, (count, CHANNELS))
    labels = np.repeat(np.arange(count), each)
    return middles[labels] * rng.gamma(
        3, 0.33, (len(labels), CHANNELS)
    ), labels.tolist()


@pytest.mark.parametrize(("count", "each"), [(2, 3), (3, 8), (6, 15)])
def test_the_head_is_scikit_learns_logistic_regression(ask, count, each):
    rows, labels = drawn(count, each)
    others, _ = drawn(count, 20, seed=1)
    program = f"{FITTED} return values.others.map((row) => head.probabilities(row));"
    values = {"rows": rows.tolist(), "labels": labels, "count": count}
    found = ask("head", program, **values, others=others.tolist())
    np.testing.assert_allclose(found, regression(rows, labels, others), atol=1e-3)


def test_a_class_without_pictures_is_never_the_answer(ask):
    rows, labels = drawn(2, 5)
    values = {"rows": rows.tolist(), "labels": [2 * n for n in labels], "count": 4}
    program = f"{FITTED} return values.rows.map((row) => head.probabilities(row));"
    found = np.array(ask("head", program, **values))
    assert (found[:, [1, 3]] == 0).all()
    np.testing.assert_allclose(
        found[:, [0, 2]], regression(rows, labels, rows), atol=1e-3
    )


def test_leaving_out_is_fitting_to_all_others(ask):
    rows, labels = drawn(3, 6)
    series = [0, 0, 1, 1, 2, 2, *range(3, 15)]  # three holds, then single pictures
    program = f"""{FITTED}
        const taught = {{ ...values, rows }};
        return [...leftOut(taught, head)].flat();
    """
    answers = ask(
        "head", program, rows=rows.tolist(), labels=labels, series=series, count=3
    )
    assert sorted(answer["number"] for answer in answers) == list(range(18))
    for answer in answers:
        number = answer["number"]
        others = [i for i in range(18) if series[i] != series[number]]
        expected = regression(rows[others], [labels[i] for i in others], rows[[number]])
        np.testing.assert_allclose(answer["probabilities"], expected[0], atol=1e-3)


def test_the_places_of_a_map_add_up_to_the_logit_less_the_bias(ask):
    rng = np.random.default_rng(0)
    columns, weights = rng.gamma(1, 1, (CHANNELS, 16)), rng.normal(size=CHANNELS)
    program = """
        const columns = Float32Array.from(values.columns.flat());
        const weights = Float64Array.from(values.weights);
        return { shares: [...evidence(columns, weights)],
                 row: [...means(columns, weights.length)] };
    """
    found = ask("head", program, columns=columns.tolist(), weights=weights.tolist())
    np.testing.assert_allclose(found["row"], columns.mean(1), rtol=1e-6)
    np.testing.assert_allclose(
        found["shares"], weights @ columns / 16, rtol=1e-5, atol=1e-6
    )
    assert sum(found["shares"]) == pytest.approx(weights @ columns.mean(1), abs=1e-5)


@pytest.mark.parametrize("kind", ["mixed", "blank", "even"])
def test_a_map_is_enlarged_and_scaled_as_the_library_does(ask, kind):
    shares = np.random.default_rng(2).normal(size=(8, 8))
    shares = {"mixed": shares, "blank": -abs(shares), "even": np.ones((8, 8))}[kind]
    program = """
        const map = heatmap(Float64Array.from(values.shares), 32);
        return map && [...map];
    """
    found = ask("view", program, shares=shares.ravel().tolist())
    maps = torch.tensor(shares)[None]
    expected = scale(enlarge(maps.relu(), (32, 32)), maps)[0]
    if kind == "blank":
        assert found is None and not expected.any()
    else:
        np.testing.assert_allclose(found, expected.flatten(), atol=1e-6)


@pytest.mark.parametrize(("right", "count"), [(0, 3), (7, 10), (20, 20)])
def test_the_interval_is_that_of_wilson(ask, right, count):
    program = "return interval(values.right / values.count, values.count);"
    found = ask("head", program, right=right, count=count)
    bounds = wilson_interval(torch.tensor([right]), torch.tensor([count]))
    assert found == pytest.approx([bound.item() for bound in bounds], abs=1e-9)


def test_about_one_in_ten_pictures_like_the_taught_ones_is_called_strange(ask):
    program = """
        const typed = (all) => all.map((row) => Float64Array.from(row));
        const [rows, others] = [typed(values.rows), typed(values.others)];
        const all = distances({ rows, series: rows.map((_, i) => i) });
        return others.map((row) => rarity(nearest(row, rows), all) <= ALARMS);
    """
    rates = []
    for seed in range(4):
        rows, _ = drawn(1, 400, seed)
        rng = np.random.default_rng(seed)
        order = rng.permutation(400)
        values = {
            "rows": rows[order[:40]].tolist(),
            "others": rows[order[40:]].tolist(),
        }
        rates.append(np.mean(ask("head", program, **values)))
    assert 0.03 < np.mean(rates) < 0.2
    far = np.eye(CHANNELS)[:5].tolist()
    assert all(ask("head", program, rows=values["rows"], others=far))


SCORE = """
const taught = new Taught(1);
for (const [name, series] of values.classes) {
  const own = taught.addClass(name);
  own.pictures = series.map((each) => ({ series: each }));
}
const { invitation, lacking, score } = await import(values.words);
if (!taught.enough) return invitation(taught);
return lacking(taught) || score(taught, values.right);
"""


@pytest.mark.parametrize(
    ("classes", "right", "words"),
    [
        ([["a", []], ["b", []]], 0, "Give two classes some pictures"),
        ([["a", [1, 2]], ["b", []]], 0, "a second class"),
        ([["a", [1, 2]], ["b", [3]]], 0, "with its one picture left out"),
        ([["a", [1, 2]], ["b", [3, 3, 3]]], 0, "“b” was taken in one hold"),
        (
            [["a", [1, 2, 3, 4]], ["b", [5, 6]]],
            5,
            "Left out one at a time, 5 of 6 pictures are named right: 83% (44% to 97%)."
            " That is not told apart from always saying “a”, 67%.",
        ),
        (
            [["a", [1, 2, 3, 4, 5]], ["b", [6, 7, 8, 9, 10]]],
            0,
            "That is worse than always saying “a”, 50%.",
        ),
        (
            [["a", [1, 1, 2, 2]], ["b", [3, 3, 4, 4]]],
            8,
            "Left out one hold at a time, 8 of 8 pictures are named right: 100% (as "
            "sure as 4 answers: 51% to 100%). That is better than always saying “a”, "
            "50%.",
        ),
    ],
)
def test_the_score_says_what_was_left_out_and_how_sure_it_is(
    ask, classes, right, words
):
    found = ask("taught", SCORE, classes=classes, right=right, words=MODULES["words"])
    assert words in found


READ = """
try { return parse(values.text, 2); } catch (error) { return String(error.message); }
"""
KEPT = {
    "kind": "sightline taught classes",
    "version": 1,
    "size": 2,
    "classes": [
        {"name": "cup", "pictures": [{"series": 4, "rgb": "AAECAwQFBgcICQoL"}]}
    ],
}


def changed(**values) -> str:
    """Return a file with something else in it."""
    return json.dumps({**KEPT, **values})


def of_class(**values) -> str:
    """Return a file whose class has something else in it."""
    return changed(classes=[{**KEPT["classes"][0], **values}])


def test_a_file_holds_names_and_pixels(ask):
    (own,) = ask("taught", READ, text=json.dumps(KEPT))
    assert own["name"] == "cup"
    (picture,) = own["pictures"]
    assert list(picture["rgb"].values()) == list(range(12)) and picture["series"] == 4


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (json.dumps(KEPT)[:-9], "damaged or cut off"),
        ("[1, 2]", "not made by “Export”"),
        ("null", "not made by “Export”"),
        (changed(version=2), "version 2; this page reads 1"),
        (changed(size=64), "side of 64 pixels; this page takes 2"),
        (changed(classes=[]), "1 to 10 classes; it holds 0"),
        (changed(classes={"a": 1}), "1 to 10 classes"),
        (changed(classes=[KEPT["classes"][0]] * 11), "1 to 10 classes; it holds 11"),
        (changed(classes=[None]), "name of class 1"),
        (of_class(name=" "), "name of class 1"),
        (of_class(name="a" * 41), "1 to 40 letters"),
        (of_class(name=7), "it is 7"),
        (of_class(pictures="many"), "class 1 has no list of pictures"),
        (of_class(pictures=[{"series": 1, "rgb": "AAEC"}]), "3 bytes instead of 12"),
        (
            of_class(pictures=[{"series": 1, "rgb": "?"}]),
            "picture 1 of class 1 is damaged",
        ),
        (of_class(pictures=[{"series": "x", "rgb": ""}]), "belongs to no series"),
        (of_class(pictures=[3]), "belongs to no series"),
    ],
)
def test_a_damaged_file_is_refused_with_what_is_wrong(ask, text, words):
    assert words in ask("taught", READ, text=text)


def test_more_than_there_is_room_for_is_refused(ask):
    program = """
        const taught = new Taught(2);
        const refusal = (classes) => {
          try { taught.refuse(classes); } catch (error) { return error.message; }
          return "";
        };
        const pictures = (count) => new Array(count).fill({ series: 1 });
        const own = (name, count) => ({ name, pictures: pictures(count) });
        taught.addClass("a").pictures = pictures(200);
        taught.addClass("bare");
        const nine = Array.from({ length: 9 }, (_, i) => own(`${i}`, 1));
        return [refusal([own("b", 100)]), refusal([own("b", 101)]), refusal(nine),
                refusal([...nine, own("10", 1)]), refusal([...nine, own("a", 1)])];
    """
    few, many, nine, ten, same = ask("taught", program)
    assert (few, nine, same) == ("", "", "")
    assert "301 pictures; 300 are the most" in many
    assert "11 classes; 10 are the most" in ten


def test_names_are_made_different_and_short(ask):
    program = """
        const taught = new Taught(2);
        const names = ["cup", "cup", " cup ", "", "x".repeat(50)];
        return names.map((name) => taught.addClass(name).name);
    """
    names = ask("taught", program)
    assert names == ["cup", "cup 2", "cup 3", "Class", "x" * 40]
