"""What more pictures would bring: the parts, the rule, and the step of `all`."""

import json
from dataclasses import replace

import pytest
import tiny
import torch

from sightline import plots
from sightline.data.split import Split
from sightline.errors import DataError
from sightline.pipeline import forecast as step
from sightline.pipeline.state import Pipeline
from sightline.training import learning_curve
from sightline.training.learning_curve import (
    DRAWS,
    PARTS,
    LearningCurve,
    divide,
    doubling,
    measure_part,
    part_of,
    shorter,
)
from sightline.training.run import Run
from sightline.training.runtime import choose_runtime

CPU = choose_runtime("cpu", "fp32")


def splits(*counts: int):
    """A data set with so many pictures of each class besides those of the test."""
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    images = torch.arange(len(labels), dtype=torch.uint8)[:, None, None, None]
    everything = Split(images.expand(-1, 32, 32, 3).clone(), labels)
    last = torch.zeros(len(labels), dtype=torch.bool)
    last[torch.tensor(counts).cumsum(0) - 1] = True
    return replace(
        tiny.splits(),
        train=everything.take(~last),
        validation=everything.take(last),
        classes=tuple("abcdefghij"[: len(counts)]),
    )


def identities(split: Split) -> set[int]:
    """The pictures of `splits` by their grey."""
    return set(split.images[:, 0, 0, 0].tolist())


def answers(sizes, accuracy, images=1000, seed=0):
    """Answers (sizes, draws, images) of networks with these accuracies."""
    generator = torch.Generator().manual_seed(seed)
    difficulty = torch.rand(images, generator=generator)
    luck = 0.3 * torch.rand(len(sizes), DRAWS, images, generator=generator) - 0.15
    goals = torch.tensor([accuracy(size) for size in sizes])[:, None, None]
    return difficulty + luck < goals


def test_a_quarter_of_each_class_is_held_out_and_trains_nothing():
    divided = divide(splits(40, 20, 8))
    assert divided.validation.labels.bincount().tolist() == [10, 5, 2]
    assert not identities(divided.train) & identities(divided.validation)
    assert len(divided.train) + len(divided.validation) == 68


def test_parts_are_nested_balanced_and_drawn_anew():
    train = divide(splits(40, 20, 8)).train
    for draw in range(DRAWS):
        quarter, half, whole = (
            set(part_of(train, part, draw).tolist()) for part in PARTS
        )
        assert quarter < half < whole == set(range(len(train)))
        assert train.labels[[*quarter]].bincount().tolist() == [8, 4, 2]
    assert len({tuple(part_of(train, 4, draw).tolist()) for draw in range(DRAWS)}) == 3


def test_every_part_is_trained_with_equally_many_updates(monkeypatch):
    shown, real = [], learning_curve.build

    def build(recipe, splits, runtime):
        shown.append((len(splits.train), recipe.epochs, recipe.seed))
        return real(recipe, splits, runtime)

    monkeypatch.setattr(learning_curve, "build", build)
    monkeypatch.setattr(learning_curve, "fit", lambda *_, **__: iter(()))
    divided = divide(splits(12, 12))
    recipe = replace(tiny.RECIPE, epochs=1)
    rights = [measure_part(recipe, divided, CPU, part, 1) for part in PARTS]
    assert len({images for images, _, _ in shown}) == 1
    assert {seed for *_, seed in shown} == {recipe.seed + 1}
    assert all(right.shape == divided.validation.labels.shape for right in rights)


def test_the_test_pictures_are_not_looked_at():
    assert shorter(replace(tiny.RECIPE, watch="test")).watch == "validation"
    without = replace(splits(12, 12), test=None)
    measured = divide(without)
    assert len(measured.train) + len(measured.validation) == 24


def test_too_few_pictures_are_named():
    with pytest.raises(DataError, match="b has 2 pictures .* needs 6 of each class"):
        divide(splits(12, 2))


def in_series(of: int):
    """Pictures of two classes in series of so many, each of one class."""
    data = splits(60, 60)
    train = data.train.join(data.validation)
    series = torch.arange(len(train)) // of
    whole = replace(train, labels=series % 2, series=series)
    last = series >= series.max() - 1
    return replace(data, train=whole.take(~last), validation=whole.take(last))


def test_series_are_held_out_and_drawn_whole():
    divided = divide(in_series(4))
    train, held_out = divided.train, divided.validation
    assert train.series is not None and held_out.series is not None
    assert not set(train.series.tolist()) & set(held_out.series.tolist())
    for draw in range(DRAWS):
        drawn = train.take(part_of(train, 2, draw)).series
        assert drawn is not None and (drawn.unique(return_counts=True)[1] == 4).all()


def test_too_few_series_are_named():
    with pytest.raises(DataError, match="is of too few series"):
        divide(in_series(30))


@pytest.mark.parametrize("exponent", [0.1, 0.3, 0.5])
def test_the_next_step_of_a_power_law_is_inside_the_interval(exponent):
    def accuracy(size):
        return 1 - 0.6 * (size / 100) ** -exponent

    truth = accuracy(800) - accuracy(400)
    inside = 0
    for seed in range(20):
        value, low, high = doubling(answers((100, 200, 400), accuracy, seed=seed))
        assert low <= value <= high
        inside += low <= truth <= high
    assert inside >= 18


def test_more_answers_make_the_interval_narrower():
    few, many = (
        doubling(answers((1, 2, 4), lambda size: 0.5 + 0.01 * size, images))
        for images in (50, 5000)
    )
    assert many[2] - many[1] < 0.5 * (few[2] - few[1])


def test_where_pictures_brought_nothing_the_interval_holds_zero():
    _, low, high = doubling(answers((1, 2, 4), lambda size: 0.7))
    assert low < 0 < high


def test_the_sentence_says_where_a_gain_may_be_none():
    for gain, doubt in ((0.0, True), (0.1, False)):
        right = answers((1, 2, 4), lambda size, gain=gain: 0.5 + gain * size)
        made = LearningCurve((1, 2, 4), right, torch.zeros(1000).long(), (4,))
        assert ("not told apart from none" in made.sentence(("a",))) == doubt


def test_nothing_is_forecast_above_perfection():
    def accuracy(size):
        return {1: 0.2, 2: 0.7, 4: 0.98}[size]

    right = answers((1, 2, 4), accuracy)
    value, _, high = doubling(right)
    assert value <= high <= 1 - right[-1].double().mean().item()


def curve(recalls, counts, images=200):
    """A curve whose whole has these recalls, of so many training pictures."""
    labels = torch.arange(len(recalls)).repeat_interleave(images)
    place = torch.arange(images).repeat(len(recalls))
    right = place < images * torch.tensor(recalls)[labels]
    return LearningCurve((25, 50, 100), right.expand(3, DRAWS, -1), labels, counts)


@pytest.mark.parametrize(
    ("recalls", "counts", "images", "worst"),
    [
        ((0.9, 0.5, 0.9), (30, 10, 30), 200, 1),
        ((0.9, 0.5, 0.9), (30, 50, 30), 200, None),  # pictures are not what it lacks
        ((0.9, 0.8, 0.9), (30, 10, 30), 10, None),  # luck
    ],
)
def test_a_class_is_named_only_if_it_is_told_apart(recalls, counts, images, worst):
    made = curve(recalls, counts, images)
    assert made.weakest() == worst
    assert ("first of all of b" in made.sentence(("a", "b", "c"))) == (worst == 1)


def test_the_figure_shows_every_draw_and_the_forecast():
    right = answers((100, 200, 400), lambda size: 0.5 + size / 1000)
    figure = plots.learning_curve((100, 200, 400), right, (0.05, 0.01, 0.09))
    axes = figure.axes[0]
    dots = [line for line in axes.lines if line.get_marker() == "o"]
    assert sum(len(line.get_xdata()) for line in dots) == 3 * DRAWS + 1
    assert [label.get_text() for label in axes.get_xticklabels()] == [
        *("100", "200", "400", "800")
    ]


@pytest.fixture
def pipeline(tmp_path, monkeypatch):
    """A pipeline after its training, whose short trainings are only counted."""
    trained = []

    def measure(recipe, splits, runtime, part, draw):
        trained.append((part, draw))
        generator = torch.Generator().manual_seed(part)
        return torch.rand(len(splits.validation), generator=generator) < 0.9 / part

    monkeypatch.setattr(step, "measure_part", measure)
    monkeypatch.setattr(Run, "history", [{"images_per_second": 100.0}])
    lines = []
    made = Pipeline(tmp_path, tmp_path, tiny.RECIPE, device="cpu", say=lines.append)
    made.splits = splits(40, 40)
    return made, trained, lines


def test_the_cost_is_said_first_and_the_sentence_last(pipeline, tmp_path):
    made, trained, lines = pipeline
    step.forecast(made)
    assert trained == [(part, draw) for part in PARTS for draw in range(DRAWS)]
    assert lines[0] == (
        "  9 short trainings of 60 pictures an epoch, about 11 s; 20 pictures are held "
        "out"
    )
    assert lines[-1].startswith("  twice as many pictures: ")
    result = json.loads((tmp_path / "learning_curve.json").read_bytes())["result"]
    assert f"  {result['sentence']}" == lines[-1]
    assert (tmp_path / "learning_curve.svg").exists()


def test_what_was_trained_is_not_trained_again(pipeline, tmp_path, monkeypatch):
    made, trained, lines = pipeline
    fake = step.measure_part

    def stop(*arguments):
        if len(trained) == 4:
            raise KeyboardInterrupt
        return fake(*arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(step, "measure_part", stop)
        step.forecast(made)
    step.forecast(made)
    assert len(trained) == len(set(trained)) == 9
    assert any(line.startswith("  5 short trainings") for line in lines)
    step.forecast(made)
    assert lines[-1] == "  done before: learning_curve.json"


def test_too_few_pictures_leave_the_step_out_and_end_nothing(pipeline, tmp_path):
    made, trained, lines = pipeline
    made.splits = splits(12, 2)
    step.forecast(made)
    assert not trained and not (tmp_path / "learning_curve.json").exists()
    assert lines == [
        "  left out: b has 2 pictures besides those of the test, and a learning curve "
        "needs 6 of each class"
    ]
    assert step.forecast_sentence(made) == ""
