"""A report: complete, self-contained, and the same numbers as JSON."""

import csv
import json
from dataclasses import replace

import pytest
import torch
from click.testing import CliRunner
from tiny import ON_CPU, RECIPE, splits

from sightline.cli import main
from sightline.data.split import Split
from sightline.errors import RunError, SightlineError
from sightline.measures.calibration import calibration_test
from sightline.measures.evaluation import Evaluation
from sightline.measures.metrics import margins
from sightline.reports import report, sections
from sightline.reports.answers import confidence, damage, most_confused
from sightline.reports.data_doubts import against_chance, repeated_pictures
from sightline.reports.heatmap_trust import heatmap_trust
from sightline.reports.report import write_report
from sightline.reports.sections import SECTIONS
from sightline.reports.subject import Section, Subject
from sightline.training.run import Run
from sightline.training.runtime import choose_runtime
from sightline.training.train import train

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of a second."""
    return train(RECIPE, splits(), out=tmp_path_factory.mktemp("runs") / "a", **ON_CPU)


def subject(run, data=None):
    classifier = run.classifier(choose_runtime("cpu", "fp32"))
    return Subject(run, data or splits(), classifier)


@pytest.fixture(scope="module")
def written(run, tmp_path_factory):
    """Page, numbers and what was said on the way."""
    said, out = [], tmp_path_factory.mktemp("report")
    page, numbers, table = write_report(subject(run), out / "new", say=said.append)
    text = page.read_text(encoding="utf-8")
    return text, json.loads(numbers.read_bytes()), said


def test_every_section_is_on_the_page_in_the_numbers_and_told(written):
    page, numbers, said = written
    assert list(numbers) == list(SECTIONS)
    assert len(said) == len(SECTIONS) and said[0].startswith(f"1/{len(SECTIONS)}")
    for name in SECTIONS:
        assert f'<h2 id="{name}">' in page and f'href="#{name}"' in page


def test_a_section_is_named_before_it_begins_and_a_slow_one_says_how_long(
    run, tmp_path
):
    order = []

    def make(subject):
        order.append("made")
        return Section("Damage", [])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "SECTIONS", {"damage": make})
        patch.setattr(report, "FORECASTS", {"damage": lambda subject: 83.2})
        write_report(subject(run), tmp_path / "a", say=order.append)
    assert order == ["1/1 damage, about 84 s", "made"]


def test_a_forecast_tries_a_little_of_what_it_forecasts(run):
    for forecast in sections.FORECASTS.values():
        assert 0 < forecast(subject(run)) < 3600


def test_a_report_is_not_written_among_the_files_of_somebody_else(run, tmp_path):
    (tmp_path / "report.html").write_text("mine", encoding="utf-8")
    with pytest.raises(RunError, match="no report that sightline made"):
        write_report(subject(run), tmp_path)
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == "mine"


def test_a_thousand_classes_are_a_matrix_that_can_be_read_and_a_short_table():
    counts = torch.eye(1000, dtype=torch.int64) * 3
    counts[7, 900] = counts[900, 8] = 2
    shown = most_confused(counts)
    assert len(shown) == 40 and {7, 8, 900} <= set(shown.tolist())
    few = most_confused(counts[:5, :5])
    assert sorted(few.tolist()) == [0, 1, 2, 3, 4]


def test_the_page_asks_for_nothing_from_elsewhere(written):
    page = written[0].replace("http://www.w3.org/", "")  # names of SVG and XML
    page = page.replace("http://purl.org/", "").replace("http://creativecommons", "")
    page = page.replace("https://matplotlib.org/", "")  # who drew it
    assert "http://" not in page and "https://" not in page
    assert "<script" not in page and 'src="' not in page.replace('src="data:', "")


def test_every_figure_has_words_for_who_cannot_see_it(written):
    page = written[0]
    with_words = page.count('<svg role="img" aria-label="')
    linked = page.count('<svg role="group" aria-label="')
    assert linked == 1  # the confusion matrix, whose cells are links
    assert page.count("<figure><svg") == with_words + linked > 5


def test_the_accuracy_is_that_of_the_run(run, written):
    assert written[1]["run"]["test_accuracy"] == run.manifest["test"]["accuracy"]
    assert f"{100 * run.test.accuracy:.2f} (" in written[0]


def test_mistakes_are_counted_and_the_confident_ones_are_wrong(run, written):
    found, test = written[1]["mistakes"], run.test
    assert found["mistakes"] == int((test.predictions != test.labels).sum()) > 0
    for row in found["confident"] + found["ties"]:
        assert row["actual"] != row["predicted"] and row["file"].startswith("no. ")


def test_names_of_classes_are_words_not_markup(run, tmp_path):
    changed = Run(run.path)
    names = ("<b>disc</b>", "a|b", *run.classes[2:])
    manifest = run.manifest
    try:
        changed.write("manifest.json", manifest | {"classes": names})
        data = replace(splits(), classes=names)
        page, *_ = write_report(subject(changed, data), tmp_path, say=lambda line: None)
    finally:
        changed.write("manifest.json", manifest)
    text = page.read_text(encoding="utf-8")
    assert "<b>disc" not in text and "&lt;b&gt;disc" in text


def test_damage_of_no_severity_is_the_accuracy_as_it_is(run):
    looked_at = subject(run)
    found = damage(looked_at).numbers["accuracy"]
    index = looked_at.sample(20)
    whole = 100 * looked_at.classifier.ask(splits().test.take(index)).accuracy
    assert {curve[0] for curve in found.values()} == {whole}
    assert all(len(curve) == 6 for curve in found.values())


def test_every_calibration_error_is_beside_that_of_calibrated_networks(run, written):
    found = written[1]["confidence"]["errors"]["as trained"]
    expected = calibration_test(run.test.probabilities, run.test.labels)
    assert found["ECE"]["error"] == pytest.approx(expected.error)
    assert found["ECE"]["floor"] == pytest.approx(expected.floor)
    assert str(expected) in written[0]
    assert set(found) == {"ECE", "equal mass", "debiased", "class-wise"}
    assert all(0 < each["p"] <= 1 for each in found.values())


def test_the_margin_to_decline_below_is_chosen_on_validation_images(run):
    looked_at = subject(run)
    numbers = confidence(looked_at).numbers
    validation = looked_at.classifier.ask(splits().validation)
    threshold = margins(validation.probabilities).quantile(0.1).item()
    answered = margins(run.test.probabilities) > threshold
    assert numbers["threshold"] == pytest.approx(threshold)
    assert numbers["answered"] == answered.double().mean().item()
    assert numbers["accuracy_of_answered"] == pytest.approx(
        run.test.right[answered].double().mean().item()
    )
    assert 0 <= numbers["best_aurc"] <= numbers["aurc"] <= 1


def test_damage_shows_the_error_of_calibrated_networks_on_as_few_images(run):
    found = damage(subject(run)).numbers
    assert set(found["ece"]) == set(found["accuracy"])
    assert len(found["calibrated"]) == 6 and min(found["calibrated"]) > 0


def test_copies_of_training_and_of_validation_pictures_are_found(run):
    data = splits()
    images = data.test.images.clone()
    images[0], images[1] = data.train.images[3], data.validation.images[5].flip(1)
    planted = replace(data, test=Split(images, data.test.labels), digest="planted")
    numbers = repeated_pictures(subject(run, planted)).numbers
    plain = repeated_pictures(subject(run)).numbers
    assert len(numbers["pairs"]) == len(plain["pairs"]) + 2
    assert numbers["exact"] == plain["exact"] + 2


def test_suspects_are_compared_with_mistakes_drawn_at_random():
    # 40 mistakes of 100, 10 of them wrong labels; the list has all ten among its 20
    labels = torch.zeros(100).long()
    logits = torch.tensor([2.0, 0.0]).repeat(100, 1)
    logits[:40] = torch.tensor([0.0, 2.0])
    logits[:20, 1] = 4  # the surest ones
    known = torch.arange(10)
    _, table = against_chance(Evaluation(logits, labels), torch.arange(20), known)
    _, _, ours, baseline = table.splitlines()
    assert ours.startswith("| confident learning | 10 | 5.0 |")
    assert float(ours.split("|")[4]) < 0.001
    assert baseline.startswith("| least self-confident | 10 | 5.0 |")


def test_too_few_recognised_images_are_said_to_be_too_few(run):
    data = splits()
    wrong = (run.test.predictions + 1) % 10  # labels that nobody predicted
    data = replace(data, test=Split(data.test.images, wrong), digest="other")
    section = heatmap_trust(subject(run, data))
    assert section.parts == ["Too few images are recognised to tell."]


def test_without_test_images_there_is_no_report(run, tmp_path):
    nothing = splits().test.take(torch.tensor([], dtype=torch.long))
    with pytest.raises(SightlineError, match="no test images"):
        write_report(subject(run, replace(splits(), test=nothing)), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_command_writes_beside_the_run_and_says_where(run, tmp_path):
    found = CliRunner().invoke(
        main,
        ["report", str(run.path), "--limit", "40", "--precision", "fp32"]
        + ["--out", str(tmp_path), "--device", "cpu"],
    )
    assert found.exit_code == 0, found.output
    assert "not the very pictures" in found.output  # of 40 other shapes
    assert str(tmp_path / "report.html") in found.output
    assert (tmp_path / "report.json").exists()


def test_pictures_whose_place_is_unknown_are_asked_for(run):
    manifest = run.manifest
    try:
        run.write("manifest.json", manifest | {"data": "holiday"})
        found = CliRunner().invoke(main, ["report", str(run.path)])
    finally:
        run.write("manifest.json", manifest)
    assert found.exit_code == 1
    assert "'holiday'" in found.output and "--data PATH" in found.output


# names


def test_every_picture_is_named_on_the_page_in_the_numbers_and_in_the_table(
    run, tmp_path
):
    names = tuple(f"kite/odd, name {i}.png" for i in range(len(splits().test)))
    data = replace(splits(), test=replace(splits().test, files=names))
    page, numbers, table = write_report(
        subject(run, data), tmp_path / "new", say=lambda line: None
    )
    text = page.read_text(encoding="utf-8")
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == list(names)
    wrong = [row["file"] for row in rows if row["actual"] != row["predicted"]]
    assert len(wrong) == len(run.test.mistakes())
    for name in wrong:
        assert f">{name}" in text
    found = json.loads(numbers.read_bytes())
    for row in found["mistakes"]["confident"]:
        assert row["file"] in wrong


def test_a_cell_of_the_matrix_leads_to_the_mistakes_that_it_counts(run, written):
    page, test = written[0], run.test
    wrong = test.mistakes()
    pairs = set(
        zip(test.labels[wrong].tolist(), test.predictions[wrong].tolist(), strict=True)
    )
    for actual, predicted in pairs:
        anchor = f"taken-{actual}-{predicted}"
        assert f'href="#{anchor}"' in page
        block = page.split(f'<section class="cell" id="{anchor}">')[1]
        count = int(((test.labels == actual) & (test.predictions == predicted)).sum())
        heading = f"{run.classes[actual]} taken for {run.classes[predicted]}: {count}"
        assert block.startswith(f"<h3>{heading}</h3>")
        pictures = block.split("</section>")[0].count('<img src="data:image/png')
        assert pictures == min(count, 12)
    assert page.count('<section class="cell"') == len(pairs)
