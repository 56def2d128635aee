"""What an edition says about itself."""

from sightline.book.manifest import duration, edition_line, is_current, result_sentence


def test_the_result_is_stated_with_its_protocol():
    manifest = {
        "data": {
            "label": "CIFAR-10",
            "training": 45000,
            "validation": 5000,
            "test": 10,
        },
        "run": {
            "recipe": {"model": "resnet18", "epochs": 8},
            "test": {"accuracy": 0.9},
            "train_seconds": 600.0,
            "device": "cpu: X",
            "precision": "bf16",
        },
    }
    said = result_sentence(manifest)
    assert "a ResNet-18, trained for 8 epochs on 45,000 images (CIFAR-10)" in said
    assert "**90.00%** of 10 test images" in said
    assert "5,000 validation images" in said
    assert "10 minutes on cpu: X in bf16, with one seed" in said


def test_a_manifest_without_a_run_says_so():
    assert "has not been made yet" in result_sentence({"chapters": {}})
    assert "No edition yet" in edition_line({"chapters": {}})


def test_an_execution_is_current_until_source_library_data_or_device_change():
    record = {"source": "a", "library": "b", "data": "c", "device": "d", "date": "1"}
    assert is_current(record, {**record, "date": "2"})
    assert not is_current(None, record)
    for key in ("source", "library", "data", "device"):
        assert not is_current(record, {**record, key: "other"})


def test_times_are_said_in_the_unit_people_use():
    assert duration(90.4) == "90 seconds"
    assert duration(600) == "10 minutes"
