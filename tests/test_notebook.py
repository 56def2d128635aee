"""What chapters take for granted: editions, the main run, figures, source."""

import sys
from dataclasses import replace
from types import SimpleNamespace

import matplotlib.pyplot as plt
import pytest
import torch
from IPython.core.formatters import DisplayFormatter
from matplotlib.figure import Figure
from PIL import Image

from sightline import plots
from sightline.book import notebook
from sightline.errors import SightlineError
from sightline.measures.metrics import confusion_matrix
from sightline.training.run import Run


@pytest.fixture(scope="module")
def fast():
    return notebook.edition("fast")


@pytest.fixture
def tiny(fast, tmp_path):
    """An edition whose main run takes a second."""
    splits = fast.splits.limited(64)
    recipe = replace(fast.recipe, epochs=2)
    return replace(fast, splits=splits, recipe=recipe, run_dir=tmp_path / "fast-shapes")


@pytest.fixture
def shown(monkeypatch):
    """Everything that is displayed."""
    seen = []
    monkeypatch.setattr(notebook, "display", lambda *a, **k: seen.append((a, k)))
    return seen


def test_the_fast_edition_is_small_and_drawn(fast):
    assert fast.label == "drawn shapes"
    assert len(fast.splits.train) <= 5000
    assert fast.recipe.model == "resnet10"
    assert fast.run_dir.name == "fast-shapes"
    assert len(fast.short_splits.train) < len(fast.splits.train)


def test_an_edition_says_what_it_runs_on(fast):
    first, second = str(fast).splitlines()
    assert first.startswith("fast edition: drawn shapes, ")
    assert "5,000 training" in second


def test_the_full_edition_trains_a_resnet18_for_longer():
    full = notebook.edition("full", "shapes")
    assert full.recipe.model == "resnet18"
    assert full.recipe.epochs == 20  # with a GPU or without
    assert len(full.seeds) == 3


def test_an_unknown_profile_is_refused_with_those_that_exist():
    with pytest.raises(SightlineError, match="'quick'; choose 'full' or 'fast'"):
        notebook.edition("quick")


def test_a_folder_of_jpegs_is_called_a_lossy_copy(tmp_path):
    (tmp_path / "train" / "cat").mkdir(parents=True)
    Image.new("RGB", (32, 32)).save(tmp_path / "train/cat/0.jpg", quality=75)
    assert notebook.label(str(tmp_path), "cifar10") == "CIFAR-10, JPEG q75 copy"


def test_a_data_set_without_a_folder_has_its_plain_name():
    assert notebook.label("shapes", "shapes") == "drawn shapes"


def test_runs_live_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("SIGHTLINE_RUNS", str(tmp_path))
    assert notebook.runs_folder() == tmp_path


def test_runs_live_at_the_root_of_the_book_wherever_a_chapter_is_opened(
    monkeypatch, tmp_path
):
    monkeypatch.delenv("SIGHTLINE_RUNS", raising=False)
    (tmp_path / "src/sightline").mkdir(parents=True)
    (tmp_path / "book").mkdir()
    (tmp_path / "_toc.yml").touch()
    monkeypatch.chdir(tmp_path / "book")
    assert notebook.runs_folder() == tmp_path / "runs"


def test_runs_live_on_a_mounted_google_drive(monkeypatch, tmp_path):
    monkeypatch.delenv("SIGHTLINE_RUNS", raising=False)
    monkeypatch.setattr(notebook, "DRIVE", tmp_path / "MyDrive")
    monkeypatch.chdir(tmp_path)
    assert notebook.runs_folder() == tmp_path / "runs"
    (tmp_path / "MyDrive").mkdir()
    assert notebook.runs_folder() == tmp_path / "MyDrive/sightline/runs"


def test_colab_says_how_a_run_is_kept_unless_it_is(tiny, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "google.colab", object())
    notebook.main_run(tiny)
    assert 'drive.mount("/content/drive")' in capsys.readouterr().out
    monkeypatch.setattr(notebook, "DRIVE", tmp_path)
    notebook.main_run(tiny)
    assert "drive.mount" not in capsys.readouterr().out


def test_the_main_run_is_made_then_taken(tiny, capsys):
    made = notebook.main_run(tiny)
    assert "No run yet: training resnet10 for 2 epochs" in capsys.readouterr().out
    before = (made.path / "weights.safetensors").stat().st_mtime_ns
    taken = notebook.main_run(tiny)
    assert "Taking the run in runs/fast-shapes" in capsys.readouterr().out
    assert (taken.path / "weights.safetensors").stat().st_mtime_ns == before


def test_a_finished_run_keeps_its_own_recipe(tiny):
    notebook.main_run(replace(tiny, recipe=replace(tiny.recipe, epochs=1)))
    assert notebook.main_run(tiny).recipe.epochs == 1


def test_a_run_that_was_cut_off_is_resumed(tiny, capsys):
    whole = notebook.main_run(tiny)
    weights = whole.load_model("last").state_dict()
    (whole.path / "test.safetensors").unlink()
    again = notebook.main_run(tiny).load_model("last").state_dict()
    assert "Going on with runs/fast-shapes after epoch 2" in capsys.readouterr().out
    assert all(torch.equal(weights[key], again[key]) for key in weights)


def test_a_run_on_other_pictures_is_moved_aside(tiny, capsys):
    notebook.main_run(replace(tiny, splits=tiny.splits.limited(32)))
    run = notebook.main_run(tiny)
    assert "moved to fast-shapes-old-1" in capsys.readouterr().out
    assert run.manifest["digest"] == tiny.splits.digest
    assert Run(tiny.run_dir.with_name("fast-shapes-old-1")).finished


def test_source_is_shown_as_markdown_with_its_file(shown):
    notebook.show_source(confusion_matrix)
    ((page,), _) = shown[0]
    assert page.data.startswith("*From `src/sightline/measures/metrics.py`:*")
    assert "```python\ndef confusion_matrix(" in page.data


def test_glue_keeps_a_value_and_shows_nothing(shown):
    notebook.glue("accuracy", "93.1%")
    ((bundle,), options) = shown[0]
    assert bundle == {"application/papermill.record/text/plain": "'93.1%'"}
    assert options["metadata"]["scrapbook"]["name"] == "accuracy"
    assert options["raw"]


def test_a_recorded_result_is_read_from_anywhere_in_the_checkout(monkeypatch, tmp_path):
    for folder in ("src/sightline", "book/results", "_build/fast/executed"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "_toc.yml").touch()
    (tmp_path / "book/results/systems.json").write_text(
        '{"full": []}', encoding="utf-8"
    )
    monkeypatch.chdir(tmp_path / "_build/fast/executed")
    assert notebook.recorded("systems") == {"full": []}


def test_without_a_record_there_is_nothing_to_read(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert notebook.recorded("systems") == {}


def line() -> Figure:
    """A figure as a chapter makes it."""
    with plt.rc_context(notebook.FIGURE_STYLE):
        figure, axis = plt.subplots()
        axis.plot([0, 1])
        axis.set_xlabel("epoch")
    return figure


def test_a_figure_brings_ink_and_ground_for_both_themes():
    svg = notebook.figure_svg(line())
    assert svg.count("<svg") == 1
    assert f"fill: {plots.PAPER}" in svg
    assert f"fill:{plots.DARK_PAPER} !important" in svg
    assert f"fill:{plots.DARK_INK} !important" in svg
    assert ">epoch</text>" in svg


def test_dark_rules_reach_marks_which_are_drawn_by_reference():
    style = notebook.figure_svg(line()).split("<style>")[1].split("</style>")[0]
    selectors = [rule.split("{")[-2] for rule in style.split(" !important")[:-1]]
    assert len(selectors) == 4
    for selector in selectors:  # one with an ancestor matches nothing inside <use>
        assert selector.removeprefix("}").startswith("[style*=")


def test_equal_figures_give_equal_bytes():
    with plt.rc_context(notebook.FIGURE_STYLE):
        assert notebook.figure_svg(line()) == notebook.figure_svg(line())


def test_a_figure_is_closed_once_it_is_shown():
    figure = line()
    notebook.figure_svg(figure)
    assert not plt.fignum_exists(figure.number)


def test_setup_leaves_svg_as_the_only_format_of_a_figure(monkeypatch):
    shell = SimpleNamespace(display_formatter=DisplayFormatter())
    formatters = shell.display_formatter.formatters
    formatters["image/png"].for_type(Figure, lambda figure: b"")
    monkeypatch.setattr(notebook, "get_ipython", lambda: shell)
    monkeypatch.setattr(plt, "switch_backend", lambda name: None)
    with plt.rc_context():
        notebook.setup()
        bundle, _ = shell.display_formatter.format(line())
    assert set(bundle) == {"image/svg+xml", "text/plain"}
