"""What did each mistake of the published systems cost them?

A sixteenth of the images with a sixteenth of the batch, all epochs: as many updates,
at the same places of the schedule, as the published run had. Each system is trained as
published, with every single repair, and with all of them. All arms are judged after
their last epoch, so the protocol of the published runs is no arm.

    python studies/systems.py [--plan] [s0 | s2 | s3 | …]
"""

from dataclasses import replace

from study import Arm, Study, main

from sightline.book.studies import StudyRecord
from sightline.training.repairs import REPAIRS, repaired

SHARE = 16  # of images and of batches
ORDER = ("s0", "s2", "s3", "s4b", "s2-first", "a9", "s4", "s4-sgd", "s1")


def arms_of(system: str) -> list[Arm]:
    """Return a system as published, with each repair, and with all."""
    names = [name for name in REPAIRS[system] if name != "validation"]
    chosen = {"published": [], **{name: [name] for name in names}}
    if len(names) > 1:
        chosen["all repairs"] = names
    arms = []
    for title, repairs in chosen.items():
        recipe = repaired(system, *repairs)
        recipe = replace(
            recipe,
            batch_size=recipe.batch_size // SHARE,
            watch="validation",
            keep="last",
        )
        arms.append(Arm(f"{system} {title}", recipe))
    return arms


def published(record: StudyRecord) -> dict[str, str]:
    """Compare every arm with its system as published."""
    controls = {arm: f"{arm.partition(' ')[0]} published" for arm in record.arms}
    return {arm: c for arm, c in controls.items() if arm != c and c in record.arms}


STUDY = Study(
    name="systems",
    question="What did each mistake of the published systems cost them?",
    arms=[arm for system in ORDER for arm in arms_of(system)],
    images=3136,  # 98 batches of 32, 392 of 8; theirs are 98 of 512 and 391 of 128
    validation=500,
    seeds=range(3),
    controls=published,
)

if __name__ == "__main__":
    main(STUDY)
