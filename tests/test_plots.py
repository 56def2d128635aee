"""Figures: what they contain, and that they follow a light or a dark page."""

import io
import re
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from sightline import plots
from sightline.errors import SightlineError
from sightline.heatmaps.explain import Explanation
from sightline.measures.calibration import Reliability, risk_coverage
from sightline.models.summary import Stage
from sightline.training.lr_finder import RangeTest

CLASSES = ("cat", "dog", "ship")
IMAGES = torch.from_numpy(
    np.random.default_rng(0).integers(0, 256, (7, 8, 8, 3), dtype=np.uint8)
)
LABELS = torch.tensor([0, 1, 0, 1, 0, 1, 0])  # no ship
LRS = np.geomspace(1e-5, 1, 60).tolist()
LOSSES = [2.3 - 1 / (1 + np.exp(-8 * (lr - 0.1))) + 50 * (lr > 0.9) for lr in LRS]
TEST = RangeTest(LRS, LOSSES, "end", bandwidth=1e-3)  # not smoothed
RULES = {"steepest": 0.02, "valley": 0.01, "minimum": 0.03}
ROWS = [
    {
        "epoch": epoch,
        "train_loss": 2 / epoch,
        "validation_loss": 2.1 / epoch,
        "train_accuracy": epoch / 5,
        "validation_accuracy": epoch / 6,
        "lr": 0.1 / epoch,
        "last_lr": 1e-6,
    }
    for epoch in (1, 2, 3)
]
CHANGE = torch.tensor([[1200, -4, -1196], [2, -2, 0], [0, 0, 0]])


BINS = Reliability(
    torch.tensor([0, 0.25, 0.5, 0.75, 1]).double(),
    torch.tensor([0, 10, 0, 90]),
    torch.tensor([0, 0.4, 0, 0.95]).double(),
    torch.tensor([0, 0.5, 0, 0.8]).double(),
)
SURE = torch.tensor([0.9, 0.4, 0.8, 0.6])
RISK = risk_coverage(SURE, torch.tensor([True, False, False, True]))
SEVERITIES = {"noise": (90, 80, 70), "blur": (90, 89, 30), "jpeg": (90, 85, 70)}
STAGES = [
    Stage("layer1", "2 × BasicBlock", (64, 16, 16), 9408, 11, 2),
    Stage("a_part_with_a_long_name", "ReLU", (64, 8, 16), 0, None, None),
    Stage("head", "Linear", (10,), 650, None, None),
]


def explanation(status, side=4):
    heatmaps = torch.rand(len(status), 8, 8)
    heatmaps[[i for i, s in enumerate(status) if s != "ok"]] = 0
    targets = torch.arange(len(status)) % len(CLASSES)
    evidence = torch.rand(len(status), side, side)
    scores = torch.ones(len(status))
    return Explanation("layer4", targets, heatmaps, evidence, scores, status)


FIGURES = {
    "sample_grid": lambda: plots.sample_grid(IMAGES, LABELS, CLASSES),
    "class_grid": lambda: plots.class_grid(IMAGES, LABELS, CLASSES),
    "before_after": lambda: plots.before_after(IMAGES, IMAGES.flip(2)),
    "rgb_channels": lambda: plots.rgb_channels(IMAGES[0]),
    "gallery": lambda: plots.gallery(IMAGES[:2], ["cat\n→ dog 51%", "a $\n→ b_c 9%"]),
    "empty gallery": lambda: plots.gallery(IMAGES[:0], []),
    "heatmaps": lambda: plots.heatmaps(
        IMAGES[:2], {"layer4": explanation(["ok", "blank"])}, classes=CLASSES
    ),
    "lr_curve": lambda: plots.lr_curve(TEST, RULES),
    "lr_curves": lambda: plots.lr_curves([TEST, TEST], [RULES, RULES]),
    "network": lambda: plots.network(STAGES, 32),
    "schedule": lambda: plots.schedule(range(60), LRS, LRS),
    "schedules": lambda: plots.schedule(range(60), {"one": LRS, "other": LRS}),
    "history": lambda: plots.history(ROWS),
    "confusion": lambda: plots.confusion(torch.tensor([[9, 1], [0, 8]]), CLASSES[:2]),
    "confusion_difference": lambda: plots.confusion_difference(CHANGE, CLASSES),
    "class_accuracy": lambda: plots.class_accuracy(
        torch.tensor([[9, 1, 0], [0, 50, 0], [0, 0, 0]]), CLASSES
    ),
    "reliability_diagram": lambda: plots.reliability_diagram(
        {"as trained": BINS, "temperature 1.4": BINS}
    ),
    "risk_coverage": lambda: plots.risk_coverage({"margin": RISK, "chance": RISK}),
    "corruption_curves": lambda: plots.corruption_curves(
        {"Accuracy, %": SEVERITIES, "ECE, points": SEVERITIES}
    ),
    "compare_histories": lambda: plots.compare_histories(
        {f"run {i}": ROWS for i in range(6)}
    ),
}


def words_of(figure):
    figure.canvas.draw()  # some words appear only then
    texts = figure.findobj(lambda artist: hasattr(artist, "get_text"))
    return [text.get_text() for text in texts if text.get_text()]


def pictures_of(figure):
    return [image for axes in figure.axes for image in axes.images]


@pytest.fixture(autouse=True)
def nothing_left_open():
    yield
    assert plt.get_fignums() == []


# --- every figure -------------------------------------------------------------


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_transparent_narrow_and_legible(name):
    figure = FIGURES[name]()
    assert figure.get_figwidth() <= 7.2
    assert figure.patch.get_facecolor()[3] == 0
    for axes in figure.axes:
        assert not axes.axison or axes.patch.get_facecolor()[3] == 0
    sizes = [t.get_size() for t in figure.findobj(lambda a: hasattr(a, "get_text"))]
    assert min(sizes) >= 9


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_has_no_colours_but_ink_and_those_that_suit_both_pages(name):
    file = io.StringIO()
    with plt.rc_context({"svg.fonttype": "none"}):
        FIGURES[name]().savefig(file, format="svg")
    used = set(re.findall(r"(?:fill|stroke): (#[0-9a-f]{6})", file.getvalue()))
    on_pictures = {"#000000", "#ffffff"} if name == "rgb_channels" else set()
    assert plots.INK in used
    assert used <= {plots.INK, *plots.COLOURS} | on_pictures


# --- pictures -----------------------------------------------------------------


def test_sample_grid_names_every_picture():
    figure = FIGURES["sample_grid"]()
    assert len(pictures_of(figure)) == 7
    assert words_of(figure) == [CLASSES[label] for label in LABELS]


def test_class_grid_has_a_row_per_class_and_says_which_has_no_picture():
    figure = plots.class_grid(IMAGES, LABELS, CLASSES, per_class=2)
    assert len(pictures_of(figure)) == 4
    assert words_of(figure) == ["cat", "dog", "ship", "no", "picture"]


def test_before_after_shows_the_original_above_each_augmentation():
    rows = {"flipped": IMAGES.flip(2), "turned": IMAGES.flip(1)}
    figure = plots.before_after(IMAGES, rows)
    assert words_of(figure) == ["original", "flipped", "turned"]
    shown = pictures_of(figure)
    assert len(shown) == 21
    assert np.array_equal(shown[0].get_array(), IMAGES[0])
    assert np.array_equal(shown[7].get_array(), IMAGES[0].flip(1))


def test_rgb_channels_writes_the_values_of_the_framed_pixels():
    figure = plots.rgb_channels(IMAGES[0], crop=(1, 2), size=3)
    part = IMAGES[0, 1:4, 2:5]
    expected = [str(value) for value in part.permute(2, 0, 1).flatten().tolist()]
    assert [word for word in words_of(figure) if word.isdigit()] == expected
    assert len(pictures_of(figure)) == 7  # picture, three channels, three parts


def test_gallery_breaks_rows_and_shows_both_lines_of_a_title():
    figure = plots.gallery(IMAGES, ["cat\n→ dog 51%"] * 7, columns=3)
    assert len(pictures_of(figure)) == 7
    assert words_of(figure) == ["cat", "→ dog 51%"] * 7


def test_gallery_without_a_picture_says_so():
    figure = plots.gallery(IMAGES[:0], [], empty="not one mistake")
    assert words_of(figure) == ["not one mistake"]
    assert pictures_of(figure) == []


def test_gallery_shortens_titles_that_would_run_into_the_next_picture():
    figure = plots.gallery(IMAGES[:1], ["x" * 60 + "\nshort"])
    long, short = words_of(figure)
    assert long.endswith("…") and len(long) < 25
    assert short == "short"


def test_normalised_pictures_are_refused():
    with pytest.raises(SightlineError, match="undo the normalisation first"):
        plots.gallery(IMAGES.float(), [""] * 7)


def test_a_gallery_asks_for_one_title_per_picture():
    with pytest.raises(SightlineError, match="2 titles for 7 pictures"):
        plots.gallery(IMAGES, ["a", "b"])


def test_heatmaps_stand_beside_the_original_and_only_real_ones_are_drawn():
    maps = {
        "predicted": explanation(["ok", "blank", "not finite"]),
        "actual": explanation(["ok", "ok", "ok"], side=2),
    }
    figure = plots.heatmaps(
        IMAGES[:3], maps, titles=["first", "second", "third"], classes=CLASSES
    )
    shown = pictures_of(figure)
    assert len(shown) == 3 + 1 + 3 + 1  # originals, maps, maps, colour key
    assert np.array_equal(shown[0].get_array(), IMAGES[0])
    words = " ".join(words_of(figure))
    assert "no positive evidence" in words and "not a finite number" in words
    for word in ("picture 8 × 8", "predicted 4 × 4", "actual 2 × 2", "for dog"):
        assert word in words
    assert "every map has its own scale" in words


def test_heatmaps_of_other_pictures_are_refused():
    with pytest.raises(SightlineError, match="2 maps 'layer4' for 7 pictures"):
        plots.heatmaps(IMAGES, {"layer4": explanation(["ok", "ok"])})


def test_a_map_says_what_it_explains_and_how_strong_its_evidence_is():
    plain = explanation(["ok", "blank"])
    plain.evidence[0] *= 0.64 / plain.evidence[0].max()
    rest = replace(plain, against="rest")
    other = replace(plain, against=1 - plain.targets)
    for maps, words in (
        (plain, [f"for {CLASSES[0]}", "at most 0.64"]),
        (rest, [f"for {CLASSES[0]}", "not the rest", "at most 0.64"]),
        (other, [f"for {CLASSES[0]}", f"not {CLASSES[1]}", "at most 0.64"]),
    ):
        written = words_of(plots.heatmaps(IMAGES[:2], {"a": maps}, classes=CLASSES))
        start = written.index(words[0])
        assert written[start : start + len(words)] == words
        assert sum("at most" in each for each in written) == 1  # not the blank one
    assert "at most 0.64" in words_of(plots.heatmaps(IMAGES[:2], {"a": plain}))


def test_heatmaps_of_no_pictures_say_so():
    figure = plots.heatmaps(IMAGES[:0], {"layer4": explanation([])})
    assert words_of(figure) == ["no picture to show"]


# --- curves -------------------------------------------------------------------


def test_lr_curve_names_every_rule_with_its_rate():
    words = words_of(plots.lr_curve(TEST, RULES))
    assert {"steepest 0.02", "valley 0.01", "minimum 0.03"} <= set(words)


def test_lr_curve_does_not_let_the_divergence_flatten_the_descent():
    figure = plots.lr_curve(TEST, RULES)
    low, high = figure.axes[0].get_ylim()
    assert 1 < low < 1.4 and max(LOSSES[:50]) < high < 3
    assert max(LOSSES) > 50


def test_lr_curves_tell_the_range_of_each_rule_over_the_seeds():
    other = {name: 2 * lr for name, lr in RULES.items()}
    figure = plots.lr_curves([TEST, TEST], [RULES, other])
    words = words_of(figure)
    assert "Loss, smoothed, of 2 seeds" in words
    assert {"0.02 to 0.04", "0.01 to 0.02", "0.03 to 0.06"} <= set(words)


def test_schedule_tells_its_course_in_the_title():
    lrs, momenta = [4e-4, 0.01, 0.005, 4e-8], [0.95, 0.85, 0.9, 0.95]
    figure = plots.schedule(range(4), lrs, momenta)
    titles = [axes.get_title("left") for axes in figure.axes]
    assert titles == [
        "Learning rate: 4e-4 → 0.01 → 4e-8",
        "Momentum: 0.95 → 0.85 → 0.95",
    ]


def test_several_schedules_are_named_at_their_ends():
    words = words_of(FIGURES["schedules"]())
    assert "one" in words and "other" in words


def test_labels_of_curves_that_end_together_are_moved_apart():
    figure = plots.history([{**ROWS[0], "validation_loss": ROWS[0]["train_loss"]}])
    ends = [t for t in figure.axes[0].texts if "2.00" in t.get_text()]
    figure.canvas.draw()
    boxes = sorted((t.get_window_extent() for t in ends), key=lambda box: box.y0)
    assert len(boxes) == 2 and boxes[0].y1 <= boxes[1].y0 + 1


def test_history_has_loss_accuracy_and_learning_rate_of_every_epoch():
    figure = plots.history(ROWS)
    assert [a.get_title("left") for a in figure.axes] == [
        "Loss",
        "Accuracy, %",
        "Learning rate",
    ]
    words = words_of(figure)
    assert "training 60.0" in words and "validation 50.0" in words
    begins = figure.axes[2].lines[0]
    assert begins.get_xdata().tolist() == [0, 1, 2, 3]
    assert begins.get_ydata()[-1] == 1e-6


def test_history_of_no_epoch_is_refused():
    with pytest.raises(SightlineError, match="train at least one epoch"):
        plots.history([])


def test_compared_histories_are_named_at_their_ends_without_collision():
    names = [f"resnet18-published-seed-{i}" for i in range(6)]
    figure = plots.compare_histories({name: ROWS for name in names})
    titles = [axes.get_title("left") for axes in figure.axes]
    assert titles == ["Validation accuracy, %", "Training loss"]
    figure.canvas.draw()
    for axes in figure.axes:
        boxes = sorted((t.get_window_extent() for t in axes.texts), key=lambda b: b.y0)
        assert len({t.get_text() for t in axes.texts}) == 6
        assert all(a.y1 <= b.y0 + 1 for a, b in zip(boxes, boxes[1:], strict=False))
        assert boxes[-1].y1 <= axes.title.get_window_extent().y1 + figure.dpi * 0.05


def test_no_two_of_twelve_compared_curves_look_alike():
    figure = plots.compare_histories({f"run {i}": ROWS for i in range(12)})
    curves = [line for line in figure.axes[0].lines if len(line.get_xdata()) == 3]
    looks = {(line.get_color(), line.get_linestyle()) for line in curves}
    assert len(curves) == len(looks) == 12


def test_compared_runs_may_be_of_different_length_or_not_begun():
    figure = plots.compare_histories({"long": ROWS, "short": ROWS[:1], "none": []})
    curves = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert [len(line.get_xdata()) for line in curves] == [3, 1]
    with pytest.raises(SightlineError, match="no run has an epoch"):
        plots.compare_histories({"none": []})


def test_confusion_colours_the_mistakes_only_and_gives_the_accuracy():
    matrix = torch.tensor([[90, 10, 0], [5, 1095, 0], [0, 0, 0]])
    figure = plots.confusion(matrix, CLASSES)
    (image,) = pictures_of(figure)
    opacity = image.get_array()[..., 3]
    assert opacity.diagonal().max() == 0
    assert opacity[0, 1] == opacity.max() > opacity[1, 0] > 0
    words = words_of(figure)
    assert {"90.0%", "99.5%", "no image", "1,095", "10"} <= set(words)


def test_confusion_difference_tells_more_from_fewer_by_hue_and_by_sign():
    figure = FIGURES["confusion_difference"]()
    (image,) = pictures_of(figure)
    shade = image.get_array()
    assert shade[1, 0, 0] > shade[1, 0, 2]  # vermilion: more often
    assert shade[0, 2, 0] < shade[0, 2, 2]  # blue: less often
    assert shade[0, 2, 3] == shade[..., 3].max() > shade[0, 1, 3] > 0
    assert shade[..., 3].diagonal().max() == 0
    words = words_of(figure)
    assert {"+1,200", "−4", "−1,196", "+2", "−2", "0"} <= set(words)
    assert "diagonal: right answers, 1,198 more in all" in words
    assert "mistakes that the one makes more often than the other" in words


def test_equal_confusions_have_a_difference_without_colour():
    figure = plots.confusion_difference(torch.zeros(3, 3).long(), CLASSES)
    assert pictures_of(figure)[0].get_array()[..., 3].max() == 0
    assert "diagonal: right answers, as many in all" in words_of(figure)


def test_confusion_of_many_classes_leaves_out_the_counts():
    figure = plots.confusion(torch.eye(40).long() * 7, [f"c{i}" for i in range(40)])
    words = words_of(figure)
    assert "7" not in words and "c0" in words
    assert words.count("c0") == 2 and "c1" not in words  # one would lie on the other
    assert figure.get_figwidth() <= 7.2


def test_class_accuracy_sorts_classes_and_gives_intervals_that_hold_together():
    figure = FIGURES["class_accuracy"]()
    words = words_of(figure)
    (axes,) = figure.axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["dog", "cat", "ship"]
    assert "100.0   89.7 to 100.0" in words and "90.0   52.2 to 98.7" in words
    assert "no image" in words and "dashed: all images, 98.3 %" in words


def test_reliability_diagram_draws_only_bins_that_have_images():
    figure = FIGURES["reliability_diagram"]()
    upper, lower = figure.axes
    points = [line for line in upper.lines if len(line.get_xdata()) == 2][1:]
    assert len(points) == 2
    assert points[0].get_xdata() == pytest.approx([40, 95])
    assert points[0].get_ydata() == pytest.approx([50, 80])
    assert "as trained: ECE 14.5 points" in words_of(figure)


def test_risk_over_coverage_ends_at_the_error_rate_and_shows_the_best_order():
    figure = FIGURES["risk_coverage"]()
    (axes,) = figure.axes
    risk, best = axes.lines[:2]
    assert risk.get_ydata() == pytest.approx([0, 50, 100 / 3, 50])
    assert best.get_ydata() == pytest.approx([0, 0, 100 / 3, 50])
    assert f"margin, area {25 * (0.5 + 1 / 3 + 0.5):.1f}" in words_of(figure)


def test_corruption_curves_end_in_the_name_and_the_value():
    words = words_of(FIGURES["corruption_curves"]())
    assert words.count("blur 30") == 2 and words.count("noise 70") == 2
    assert {"Accuracy, %", "ECE, points"} <= set(words)


def test_save_writes_what_the_ending_names_and_refuses_others(tmp_path):
    figure = FIGURES["history"]()
    plots.save(figure, tmp_path / "new" / "history.png")
    plots.save(figure, tmp_path / "history.svg")
    assert (tmp_path / "new" / "history.png").read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(SightlineError, match="cannot write.*history.xyz.*png"):
        plots.save(figure, tmp_path / "history.xyz")


def test_a_network_is_drawn_as_wide_as_its_maps_with_what_each_part_is():
    figure = plots.network(STAGES, 32)
    words = words_of(figure)
    assert "2 × BasicBlock → 64×16×16, 9,408 parameters, sees 11 px" in words
    assert "ReLU → 64×8×16" in words
    assert "Linear → 10, 650 parameters" in words
    boxes = [patch.get_width() for patch in figure.axes[0].patches]
    assert boxes == [1, 0.5, 0.5, 1 / 32]
