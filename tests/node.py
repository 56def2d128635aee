"""Programs for Node: the page's modules without a page."""

import json
import os
import shutil
import subprocess

import pytest

from sightline.export.assets import WEB

TRAINER = """
import fs from "node:fs";
import zlib from "node:zlib";
const web = process.argv[2];
const ort = await import(`${web}/ort/ort.wasm.bundle.min.mjs`);
const { RIGHT, STEPS, Trainer, rateAt } = await import(`${web}/train/trainer.mjs`);
const read = (name) => fs.readFileSync(new URL(`${web}/${name}`));
ort.env.wasm.numThreads = 1;
const wasm = zlib.gunzipSync(read("ort/ort-wasm-simd-threaded.wasm.gz"));
ort.env.wasm.wasmBinary = wasm.buffer;
const graphs = { step: read("train/step.onnx"), look: read("train/look.onnx") };
const trainer = await Trainer.load(ort, graphs, JSON.parse(read("train/layout.json")));
"""


def require_node() -> None:
    """Skip a test where no Node is installed; in CI, let it fail instead."""
    if shutil.which("node") is None:
        message = "Node is not installed: apt-get install nodejs"
        if os.environ.get("CI") == "true":
            pytest.fail(message, pytrace=False)
        pytest.skip(message)


def run_node(program: str, *arguments: object) -> bytes:
    """Run a module that may write bytes; return what it wrote.

    Raises:
        AssertionError: if it fails or writes to its standard error, with what it wrote.
    """
    require_node()
    done = subprocess.run(
        ["node", "--input-type=module", "-", *map(str, arguments)],
        input=program.encode("utf-8"),
        capture_output=True,
    )
    assert done.returncode == 0 and not done.stderr, done.stderr.decode("utf-8")
    return done.stdout


def run_trainer(program: str) -> list | dict:
    """Run a program that has a trainer as the page has one; return what it prints."""
    return json.loads(run_node(TRAINER + program, WEB.as_uri()))
