"""What is let in is locked, and what is handed out is complete."""

import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

from sightline.book.manifest import mixture, read_edition

ROOT = Path(__file__).parents[1]
WORKFLOWS = {
    path.stem: yaml.safe_load(path.read_bytes())
    for path in (ROOT / ".github/workflows").glob("*.yml")
}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCK = (ROOT / "requirements.txt").read_text(encoding="utf-8")
BUILD = "from setuptools import build_meta as b; b.build_{}('out')"


def steps() -> list[dict]:
    """Return the steps of all jobs of all workflows."""
    jobs = [job for flow in WORKFLOWS.values() for job in flow["jobs"].values()]
    return [step for job in jobs for step in job["steps"]]


def test_every_line_of_the_lock_has_a_version_and_hashes():
    entries = re.split(r"\n(?=[a-zA-Z])", LOCK)[1:]
    assert len(entries) > 150
    for entry in entries:
        assert re.match(r"[\w.-]+==\S+", entry), entry
        assert "--hash=sha256:" in entry, entry


def test_what_builds_the_package_is_in_the_lock():
    (needed,) = PROJECT["build-system"]["requires"]
    assert needed in PROJECT["project"]["optional-dependencies"]["dev"]
    assert re.search(r"^setuptools==", LOCK, flags=re.M)


def test_every_action_is_named_by_its_commit():
    actions = [step["uses"] for step in steps() if "uses" in step]
    assert actions
    for action in actions:
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", action), action


def test_the_suite_runs_on_three_systems_and_four_pythons():
    matrix = WORKFLOWS["book"]["jobs"]["everywhere"]["strategy"]["matrix"]
    assert {name.split("-")[0] for name in matrix["system"]} == {
        *("ubuntu", "macos", "windows")
    }
    assert matrix["python"] == ["3.11", "3.12", "3.13", "3.14"]
    assert PROJECT["project"]["requires-python"] == ">=3.11"


def test_only_a_mixed_edition_is_published_as_one():
    published = [step.get("run", "") for step in steps()]
    (site,) = (run for run in published if "make site" in run)
    record = read_edition(ROOT / "book/results/edition.json")
    assert ("MIXED=1" in site) == bool(mixture(record)), mixture(record)


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    """Return a folder with the wheel and the source archive of this checkout."""
    folder = tmp_path_factory.mktemp("source")
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in ("src", "tests", "LICENSES"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignore)
    for name in ("pyproject.toml", "README.md", "LICENSE", "MANIFEST.in"):
        shutil.copy(ROOT / name, folder)
    (folder / "out").mkdir()
    for kind in ("wheel", "sdist"):
        command = [sys.executable, "-c", BUILD.format(kind)]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder / "out"


def files_of_the_library() -> set[str]:
    """Return every file below src/."""
    paths = (ROOT / "src" / "sightline").rglob("*")
    files = {p.relative_to(ROOT / "src").as_posix() for p in paths if p.is_file()}
    return {name for name in files if "__pycache__" not in name}


@pytest.mark.processes
@pytest.mark.slow
def test_a_wheel_holds_the_library_and_the_licences_of_what_it_carries(out):
    (wheel,) = out.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (about,) = (name for name in names if name.endswith("/METADATA"))
        metadata = archive.read(about).decode()
    assert files_of_the_library() <= names
    licences = about.replace("METADATA", "licenses")
    assert {f"{licences}/LICENSE", f"{licences}/LICENSES/Apache-2.0.txt"} <= names
    runtime = "sightline/export/web/ort"
    assert {f"{runtime}/LICENSE", f"{runtime}/ThirdPartyNotices.txt"} <= names
    assert "License-Expression: MIT AND Apache-2.0" in metadata


@pytest.mark.processes
@pytest.mark.slow
def test_a_source_archive_holds_the_library_and_no_half_of_the_tests(out):
    (path,) = out.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.split("/", 1)[-1] for name in archive.getnames()}
    assert {f"src/{name}" for name in files_of_the_library()} <= names
    assert {"LICENSE", "LICENSES/Apache-2.0.txt", "pyproject.toml"} <= names
    assert not any(name.startswith("tests") for name in names)
