"""Public picture sets with which the tools for one's own folder are measured.

python studies/sets.py CLONES OUT

CLONES holds clones of the repositories below, each in a folder of its name; OUT gets
one folder per set with one sub-folder per class, linked, not copied.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

PICTURES = (".jpg", ".jpeg", ".png")


@dataclass(frozen=True)
class PictureSet:
    """Where a set comes from, and which part of a path is the class."""

    repository: str
    licence: str
    about: str
    within: tuple[str, ...]  #: folders whose pictures are taken
    depth: int  #: place of the class's name among the folders below these


SETS = {
    "clothing": PictureSet(
        "alexeygrigorev/clothing-dataset-small",
        "CC0 1.0",
        "3,781 photographs of garments in 10 classes, about 400x533, by many people",
        ("train", "validation", "test"),
        0,
    ),
    "signs": PictureSet(
        "ardamavi/Sign-Language-Digits-Dataset",
        "Apache 2.0",
        "2,062 pictures of hands that show 10 digits, 100x100; each of 218 students "
        "showed every digit once, so ten consecutive numbers are one hand",
        ("Dataset",),
        0,
    ),
    "xray": PictureSet(
        "muhammedtalo/COVID-19",
        "none stated; measured with, not passed on",
        "1,125 radiographs of the chest in 3 classes; one class comes from another "
        "source than the other two",
        ("X-Ray Image DataSet",),
        0,
    ),
    "grocery": PictureSet(
        "marcusklasson/GroceryStoreDataset",
        "MIT",
        "5,421 photographs taken in shops, 348x348 and larger; 43 coarse classes "
        "(Apple, Milk, ...), shelf after shelf, so that many show the same scene",
        ("dataset/train", "dataset/val", "dataset/test"),
        1,
    ),
}


def arrange(clones: Path, out: Path, name: str) -> int:
    """Link the pictures of a set into folders of classes; return how many there are."""
    count = 0
    for part in SETS[name].within:
        root = clones / name / part
        for path in sorted(root.rglob("*")):
            if path.suffix.lower() not in PICTURES:
                continue
            folders = path.relative_to(root).parts[:-1]
            link = out / name / folders[SETS[name].depth] / path.name
            link.parent.mkdir(parents=True, exist_ok=True)
            if link.exists():
                link = link.with_stem(f"{Path(part).name}-{link.stem}")
            link.symlink_to(path.resolve())
            count += 1
    return count


def main() -> None:
    """Arrange every set that was cloned."""
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    clones, out = map(Path, sys.argv[1:])
    for name in SETS:
        if (clones / name).exists():
            print(f"{name}: {arrange(clones, out, name):,} pictures")


if __name__ == "__main__":
    main()
