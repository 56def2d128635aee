"""Run a study: `main` prints its plan, trains what is missing, records every training.

A study trains all arms with one seed before it begins the next seed, so that whatever
cuts it off leaves a balanced table. What is recorded is not trained again.
"""

import argparse
import multiprocessing
import os
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict

from arms import RESULTS, RUNS, SMALL, Arm, Outcome, Study, Task, drawn_splits, whole
from plan import expected, plan, table
from work import run

from sightline.book.notebook import label
from sightline.book.studies import StudyRecord
from sightline.errors import SightlineError
from sightline.files import locked, read_json, write_json
from sightline.training.runtime import choose_runtime

__all__ = [
    "RESULTS",
    "SMALL",
    "Arm",
    "Outcome",
    "Study",
    "best",
    "drawn_splits",
    "main",
]


def main(study: Study) -> bool:
    """Print the plan, train what is missing, record every training; is all done?"""
    options = arguments(study)
    runtime = choose_runtime()
    default = 6 if runtime.device.type == "cuda" else (os.cpu_count() or 1)
    jobs = options.jobs or max(default // study.threads, 1)
    record = read(study, options)
    tasks = list(missing(study, options, record))
    seconds = expected(study, options, record, tasks)
    plan(study, options, record, tasks, seconds, jobs)
    if options.plan or not tasks:
        table(study, record)
        return not tasks
    began, ends = time.time(), deadline(options.minutes)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        running: dict[Future, Task] = {}
        while tasks or running:
            while tasks and len(running) < jobs:
                task = tasks.pop(0)
                if time.time() + seconds[task.arm.name] < ends:
                    running[pool.submit(run, task)] = task
            if not running:
                break
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                task, row = running.pop(future), future.result()
                record = keep(study, options, task, row)
                left = sum(seconds[t.arm.name] for t in tasks) / jobs
                print(
                    f"{(time.time() - began) / 60:6.1f} min  {task.arm.name:36} seed "
                    f"{task.seed}  test {row['test_accuracy']:7.2%}  "
                    f"{row['seconds']:6.0f} s  about {left / 60:.0f} min left",
                    flush=True,
                )
    table(study, record)
    return not list(missing(study, options, record))


def best(search: Study, prefix: str) -> Arm:
    """Return the arm of this name and any rate that validates best on average."""
    record = StudyRecord.of(read_json(RESULTS / f"{search.name}.json"))
    arms = {a.name: a for a in search.arms if a.name.rpartition(" ")[0] == prefix}
    return arms[record.best(arms)]


def arguments(study: Study) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=study.question)
    parser.add_argument("arms", nargs="*", help="only arms that begin so")
    parser.add_argument("--data", default="cifar10", help="cifar10 or a folder")
    parser.add_argument("--seeds", type=int, default=len(study.seeds))
    parser.add_argument("--jobs", type=int, help="trainings at a time")
    parser.add_argument("--minutes", type=float, help="begin none that ends later")
    parser.add_argument("--plan", action="store_true", help="print the plan, stop")
    return parser.parse_args()


def deadline(minutes: float | None) -> float:
    """Return when to end, in seconds since 1970."""
    return float("inf") if minutes is None else time.time() + 60 * minutes


def read(study: Study, options: argparse.Namespace) -> StudyRecord:
    """Return what is recorded, with the protocol of this start."""
    file = RESULTS / f"{study.name}.json"
    record = StudyRecord.of(read_json(file) if file.exists() else {})
    splits = whole(options.data)
    all_images = study.images is None
    protocol = {
        "data": label(options.data, splits.name),
        "digest": splits.digest,
        "images": {
            "training": len(splits.train) if all_images else study.images,
            "validation": len(splits.validation) if all_images else study.validation,
            "test": len(splits.test),
        },
    }
    if record.arms and record.protocol != protocol:
        raise SightlineError(
            f"{file.name} was recorded on other pictures ({record.protocol}) than "
            f"these ({protocol}): name the same data, or move {file} away"
        )
    return StudyRecord(study.question, protocol, record.arms)


def missing(
    study: Study, options: argparse.Namespace, record: StudyRecord
) -> Iterator[Task]:
    """Yield the trainings that are not recorded, seed after seed."""
    for seed in study.seeds[: options.seeds]:
        for arm in study.arms:
            if options.arms and not arm.name.startswith(tuple(options.arms)):
                continue
            if recorded(record, arm) and seed in record.seeds(arm.name):
                continue
            yield Task(
                arm, seed, options.data, study.images, study.validation, study.threads
            )


def recorded(record: StudyRecord, arm: Arm) -> bool:
    """Tell whether there are trainings of the arm as it is now."""
    return arm.name in record.arms and record.recipe(arm.name) == arm.recipe


def keep(
    study: Study, options: argparse.Namespace, task: Task, row: dict
) -> StudyRecord:
    """Add a row to the file, which another start of the study may write, too."""
    with locked(RUNS / f"{study.name}.lock"):
        record = read(study, options)
        if not recorded(record, task.arm):
            empty = {"recipe": asdict(task.arm.recipe), "trainings": []}
            record.arms[task.arm.name] = empty
        record.arms[task.arm.name]["trainings"].append(row)
        write_json(
            RESULTS / f"{study.name}.json",
            {"study": study.name, **asdict(record)},
            remedy="start this study again",
        )
    return record
