"""What an edition says about itself."""

import json
from dataclasses import replace

import pytest

from sightline.book import manifest
from sightline.book.manifest import (
    ChapterRecord,
    DataRecord,
    EditionRecord,
    RunRecord,
    duration,
    edition_line,
    edition_tables,
    is_current,
    library_digest,
    library_sentence,
    read_edition,
    result_sentence,
    write_edition,
)
from sightline.errors import SightlineError

CHAPTER = ChapterRecord(
    source="a",
    library="52b9737b9c51b9c2",
    data="c",
    device="cpu: X",
    revision="1207ce7741e1",
    date="2026-11-21",
    seconds=46.8,
)
EDITION = EditionRecord(
    chapters={"01_data": CHAPTER, "02_networks": CHAPTER},
    profile="full",
    date="2026-11-21",
    revision="1207ce7741e1",
    data=DataRecord("cifar10", "CIFAR-10", "abaf", 45000, 5000, 10, ("one is grey",)),
    machine="cpu: X",
    precision="bf16",
    versions={"python": "3.11.7"},
    run=RunRecord(
        recipe={"model": "resnet18", "epochs": 8},
        manifest={
            "test": {"accuracy": 0.9},
            "train_seconds": 600.0,
            "device": "cpu: X",
            "precision": "bf16",
        },
    ),
)


def test_the_result_is_stated_with_its_protocol():
    sentence = result_sentence(EDITION)
    assert "a ResNet-18, trained for 8 epochs on 45,000 images (CIFAR-10)" in sentence
    assert "**90.00%** of 10 test images" in sentence
    assert "5,000 validation images" in sentence
    assert "10 minutes on cpu: X in bf16, with one seed" in sentence


def test_an_edition_without_a_run_says_so():
    assert "has not been made yet" in result_sentence(replace(EDITION, run=None))
    assert "has not been made yet" in result_sentence(None)
    assert "No edition yet" in edition_line(None)
    assert "No chapter" in edition_tables(None)


def test_a_written_record_is_read_again(tmp_path):
    path = tmp_path / "results" / "edition.json"
    assert read_edition(path) is None
    write_edition(EDITION, path)
    assert read_edition(path) == EDITION
    write_edition(replace(EDITION, run=None), path)
    assert read_edition(path).run is None


@pytest.mark.parametrize(
    "text",
    ["{", "[]", json.dumps({"chapters": {}}), json.dumps({"chapters": {"a": 1}})],
)
def test_a_damaged_record_is_refused_with_a_remedy(tmp_path, text):
    path = tmp_path / "edition.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SightlineError, match="delete it and run the chapters again"):
        read_edition(path)


def test_an_execution_is_current_until_source_library_data_or_device_change():
    assert is_current(CHAPTER, replace(CHAPTER, date="2026-12-24", seconds=1.0))
    assert not is_current(None, CHAPTER)
    for key in ("source", "library", "data", "device"):
        assert not is_current(CHAPTER, replace(CHAPTER, **{key: "other"}))


def test_chapters_of_an_older_library_are_counted_and_named():
    assert library_sentence(EDITION, CHAPTER.library) == ""
    newer = replace(CHAPTER, library="ffff0000ffff0000")
    mixed = replace(EDITION, chapters={"01_data": CHAPTER, "02_networks": newer})
    sentence = library_sentence(mixed, newer.library)
    assert sentence.startswith("1 of 2 chapters was executed with an older state")
    assert "`ffff0000`" in sentence
    assert library_sentence(EDITION, newer.library).startswith("2 of 2 chapters were")


def test_the_page_compares_each_chapter_with_the_library_that_builds_it():
    page = edition_tables(EDITION)
    assert "2 of 2 chapters were executed with an older state" in page
    assert f"`{library_digest()[:8]}`" in page
    assert page.count("`1207ce7741e1`, `52b9737b` |") == 2
    chapter = replace(CHAPTER, library=library_digest())
    assert "older" not in edition_tables(replace(EDITION, chapters={"01": chapter}))


def test_an_edition_is_one_thing_or_every_page_says_what_it_is():
    assert manifest.mixture(EDITION) == ""
    other = replace(CHAPTER, revision="ab-dirty", library="d")
    mixed = replace(EDITION, chapters={"01": CHAPTER, "02": other, "03": other})
    said = manifest.mixture(mixed)
    assert said == (
        "A mixed edition, of 2 revisions, 2 states of the library, 2 pages with "
        "changes that no revision holds."
    )
    assert edition_line(mixed).endswith(said) and said in edition_tables(mixed)
    assert edition_line(EDITION).endswith("cpu: X.")


def test_times_are_written_in_the_unit_that_people_use():
    assert duration(90.4) == "90 seconds"
    assert duration(600) == "10 minutes"
