"""What TensorBoard shows of a run besides its scalars, read back from its files."""

import io

import numpy as np
import pytest
import tiny
from click.testing import CliRunner
from PIL import Image

from sightline.cli import main
from sightline.heatmaps.explain import explain
from sightline.plots.overlay import overlay
from sightline.reports.subject import Subject
from sightline.reports.tensorboard import MISTAKES, SHOWN, SUFFIX, add_pictures
from sightline.training.run import Run
from sightline.training.runtime import choose_runtime
from sightline.training.train import train

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # of TensorBoard's own dependencies
]
pytest.importorskip("tensorboard")


@pytest.fixture(scope="module")
def subject(tmp_path_factory) -> Subject:
    """A finished run with scalars and pictures, written twice."""
    out, splits = tmp_path_factory.mktemp("run"), tiny.splits()
    train(tiny.RECIPE, splits, out=out, tensorboard=True, **tiny.ON_CPU)
    run = Run(out)
    classifier = run.classifier(choose_runtime("cpu", "fp32"))
    subject = Subject(run, splits, classifier)
    add_pictures(subject)
    add_pictures(subject)
    return subject


@pytest.fixture(scope="module")
def events(subject):
    from tensorboard.backend.event_processing.event_accumulator import (
        EventAccumulator,
    )

    folder = str(subject.run.path / "tensorboard")
    return EventAccumulator(folder, size_guidance={"images": 0}).Reload()


def test_train_writes_the_pictures_too(tmp_path):
    arguments = ["train", "resnet10", "--data", "shapes", "--limit", "60"]
    options = ["--epochs", "1", "--device", "cpu", "--out", str(tmp_path)]
    done = CliRunner().invoke(main, [*arguments, *options, "--tensorboard"])
    assert done.exit_code == 0, done.output
    assert len(list((tmp_path / "tensorboard").glob("*" + SUFFIX))) == 1


def picture(events, tag: str) -> np.ndarray:
    (event,) = events.Images(tag)
    assert event.step == 2  # epochs
    return np.array(Image.open(io.BytesIO(event.encoded_image_string)))


def test_a_second_call_replaces_the_first_and_leaves_the_scalars(subject, events):
    files = list((subject.run.path / "tensorboard").iterdir())
    assert len([file for file in files if file.name.endswith(SUFFIX)]) == 1
    assert len(events.Scalars("accuracy/validation")) == 2


def test_the_graph_names_the_stages_of_the_network(events):
    names = " ".join(node.name for node in events.Graph().node)
    for stage in ("stem", "layer1", "layer4", "head"):
        assert stage in names


def test_training_pictures_are_those_of_the_split_augmented_and_not_normalised(
    subject, events
):
    assert tiny.RECIPE.batch_size == 24 < SHOWN
    shown = picture(events, "training pictures")
    tiles = shown.reshape(-1, 32, 8, 32, 3).swapaxes(1, 2).reshape(-1, 32, 32, 3)
    originals = subject.splits.train.images.numpy().astype(int)
    whole = np.arange(8, 24)  # a shift of 4 pixels leaves these in the picture
    assert len(tiles) == 24
    for tile in tiles[::8]:
        found = False
        for mirrored in (originals, originals[:, :, ::-1]):
            for y in range(-4, 5):
                for x in range(-4, 5):
                    part = mirrored[:, whole + y][:, :, whole + x]
                    distance = abs(part - tile[8:24, 8:24]).max((1, 2, 3))
                    found = found or distance.min() <= 1  # rounding
        assert found


def test_a_mistake_is_the_picture_itself_beside_the_maps_of_both_classes(
    subject, events
):
    test = subject.test
    wrong = test.mistakes(order="confident")[:MISTAKES]
    tags = [tag for tag in events.Tags()["images"] if tag.startswith("mistakes/")]
    assert len(tags) == len(wrong) > 0
    first = int(wrong[0])
    actual = subject.classes[int(test.labels[first])]
    predicted = subject.classes[int(test.predictions[first])]
    assert tags[0] == f"mistakes/01 {actual} taken for {predicted}"
    row = picture(events, tags[0])
    photo = subject.splits.test.images[first]
    assert (row[:, :32] == photo.numpy()).all()
    layer = subject.layers[-1]
    for start, targets in ((32, test.predictions), (64, test.labels)):
        maps = explain(
            subject.model, subject.images(wrong), layers=layer, targets=targets[wrong]
        )
        expected = overlay(photo, maps[layer].heatmaps[0])
        assert (row[:, start : start + 32] == expected.numpy()).all()
