"""Corrections of a folder of pictures: files are moved, never deleted, and moved back.

FOLDER/.corrections, into which no listing looks, holds the pictures that were set aside
and a journal for each time that corrections were applied: 1.json, 2.json, ... A journal
is written before its first move and names all of them. No move goes to a place where
there was a file, so from the journal and the files it is always plain which moves are
done: what was cut off goes on, and what was done can be undone.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path, PurePosixPath
from typing import Any

from sightline.data.findings import enumerate_names
from sightline.data.listing import Listing, list_folder
from sightline.errors import DataError
from sightline.files import Shape, locked, read_json, sha256, shell_line, write_json

__all__ = ["DECISIONS", "Move", "Plan", "apply", "digest", "plan", "undo"]

#: what may be decided about a picture
DECISIONS = ("keep", "relabel", "set aside")
HIDDEN, ASIDE, LOCK = ".corrections", "set-aside", "lock"
NAME_BYTES = 200  # of a name that gets a number; drives allow 255 in all
DECISION: Shape = {"file": str, "sha256": str, "decision": str, "class?": str}
CORRECTIONS: Shape = {"kind": str, "decisions": [DECISION]}
KIND = "sightline corrections"
MOVE: Shape = {"source": str, "target": str}
TIME: Shape = {"folder": str, "ns": int}
JOURNAL: Shape = {"corrections": str, "state": str, "moves": [MOVE], "times": [TIME]}
ANEW = "download it again from the page of `sightline review`"


@dataclass(frozen=True)
class Move:
    """A file that goes to another place, both named below the folder."""

    source: str
    target: str


@dataclass(frozen=True)
class Plan:
    """What corrections will do to a folder."""

    folder: Path
    source: str  #: SHA-256 of the file of corrections
    counts: dict[str, int]  #: of each decision
    moves: tuple[Move, ...]  #: no target is a source, and none exists
    begun: bool = False  #: applied before, to the end or in part
    done: bool = False  #: to the end

    @property
    def renamed(self) -> int:
        """Count the files whose name was taken where they go."""
        names = [(PurePosixPath(m.source), PurePosixPath(m.target)) for m in self.moves]
        return sum(source.name != target.name for source, target in names)


def digest(path: Path) -> str:
    """Return the SHA-256 of a picture's file, "" where it may not be read."""
    try:
        return sha256(path)
    except OSError:
        return ""


def plan(folder: Path, corrections: Path) -> Plan:
    """Read corrections, and plan what they do to a folder; nothing is touched.

    Raises:
        RunError: if the file is damaged, or of another kind.
        DataError: if it does not fit the folder: a file that is not among its pictures
            or has changed, a class that it does not have, a link that leads out; or
            if other corrections of the folder were cut off.
    """
    decisions = _read(corrections)
    source, counts = sha256(corrections), dict.fromkeys(DECISIONS, 0)
    for decision in decisions:
        counts[decision["decision"]] += 1
    if last := _last_journal(folder):
        journal = _read_journal(last)
        same = journal["corrections"] == source
        if journal["state"] == "undoing" or (
            journal["state"] == "applying" and not same
        ):
            raise DataError(
                f"{folder} is half corrected: something was cut off while "
                f"{journal['state']} corrections. Put it back as it was before: "
                f"{shell_line('sightline', 'apply', folder, '--undo')}"
            )
        if same:
            moves = tuple(Move(**move) for move in journal["moves"])
            done = journal["state"] == "applied"
            return Plan(folder, source, counts, moves, begun=True, done=done)
    listing = list_folder(folder)
    _check_files(listing, decisions)
    moves = tuple(_moves(listing, decisions))
    _refuse_outside(listing.folder, _folders_of(moves))
    return Plan(folder, source, counts, moves)


def _read(corrections: Path) -> list[dict]:
    """Read the decisions of a file, and check all that needs no folder."""
    content = read_json(corrections, CORRECTIONS, remedy=ANEW)
    decisions = content["decisions"]
    names = [decision["file"] for decision in decisions]
    problem = ""
    if content["kind"] != KIND:
        problem = f"it is {content['kind']!r}, not {KIND!r}"
    elif len(set(names)) < len(names):
        problem = "it decides twice about one file"
    for decision in decisions:
        if decision["decision"] not in DECISIONS:
            problem = f"{decision['decision']!r} is none of {', '.join(DECISIONS)}"
        elif decision["decision"] == "relabel" and "class" not in decision:
            problem = f"it names no class for {decision['file']}"
    if problem:
        raise DataError(f"{corrections} holds no corrections: {problem}; {ANEW}")
    return decisions


def _check_files(listing: Listing, decisions: Sequence[Mapping[str, str]]) -> None:
    """Raise `DataError` unless all files are pictures of the folder, unchanged."""
    known = set(listing.names)
    strange = [repr(d["file"]) for d in decisions if d["file"] not in known]
    if strange:
        raise DataError(
            f"{listing.folder} has no picture {enumerate_names(strange)}: these are "
            "corrections of another folder, or it has changed since the review; review "
            "it again. Nothing was moved"
        )
    changed = [
        d["file"]
        for d in decisions
        if digest(listing.folder / d["file"]) != d["sha256"]
    ]
    if changed:
        raise DataError(
            f"{enumerate_names(changed)} of {listing.folder} changed since the review, "
            "or it was of another folder; review it again. Nothing was moved"
        )


def _moves(listing: Listing, decisions: Sequence[Mapping[str, str]]) -> list[Move]:
    """Choose a place for every file that must move, where there is none yet."""
    folders: dict[tuple[str, bool], PurePosixPath] = {}  # of class and part
    for name, in_test in zip(listing.names, listing.in_test.tolist(), strict=True):
        parent = PurePosixPath(name).parent
        folders[parent.name, in_test] = parent
    part = dict(zip(listing.names, listing.in_test.tolist(), strict=True))
    taken: set[str] = set()
    moves = []
    for decision in decisions:
        source = PurePosixPath(decision["file"])
        if decision["decision"] == "keep":
            continue
        parent = PurePosixPath(HIDDEN, ASIDE) / source.parent
        if decision["decision"] == "relabel":
            own = decision["class"], part[decision["file"]]
            if own not in folders:
                classes = sorted({name for name, _ in folders})
                raise DataError(
                    f"{listing.folder} has no class {own[0]!r}, to which {source} is "
                    f"to go; its classes are {enumerate_names(classes)}"
                )
            parent = folders[own]
        if parent != source.parent:
            target = _free_place(listing.folder, parent / source.name, taken)
            taken.add(str(target).casefold())  # some drives take 1.JPG for 1.jpg
            moves.append(Move(str(source), str(target)))
    return moves


def _free_place(folder: Path, target: PurePosixPath, taken: set[str]) -> PurePosixPath:
    """Return `target`, or a place beside it with a number, where there is no file."""
    short = os.fsencode(target.stem)[:NAME_BYTES].decode("utf-8", "ignore")
    numbered = (target.with_name(f"{short}-{n}{target.suffix}") for n in count(2))
    place = target
    while os.path.lexists(folder / place) or str(place).casefold() in taken:
        place = next(numbered)
    return place


def apply(
    planned: Plan, *, moved: Callable[[Move], object] = lambda move: None
) -> None:
    """Move the files of a plan, or those that are left of one that was cut off.

    `moved` is called after each move.

    Raises:
        RunError: if another process is at it, or the journal cannot be written.
        DataError: if a file cannot be moved; the same call goes on from there.
    """
    folder, moves = planned.folder, planned.moves
    last = _last_journal(planned.folder)
    places = () if planned.begun else _folders_of(moves)
    times = [
        {"folder": name, "ns": (folder / name).stat().st_mtime_ns}
        for name in sorted(places)
    ]
    with _alone(folder):
        if planned.begun and last:
            journal = _read_journal(last)
        else:
            last = folder / HIDDEN / f"{int(last.stem) + 1 if last else 1}.json"
            journal = {
                "corrections": planned.source,
                "moves": [asdict(move) for move in moves],
                "times": times,
            }
            write_json(last, {**journal, "state": "applying"})
        for move in moves:
            _move(folder, move.source, move.target)
            moved(move)
        write_json(last, {**journal, "state": "applied"})


def undo(folder: Path, *, dry_run: bool = False) -> int:
    """Move back what the last corrections moved; return how many files that were.

    Names, contents and times of all files and folders are then what they were. A dry
    run only counts.

    Raises:
        DataError: if nothing was applied, or a file has gone or its place is taken.
    """
    last = _last_journal(folder)
    if last is None:
        raise DataError(f"{folder} has no corrections that could be undone")
    with _alone(folder):
        journal = _read_journal(last)
        moves = [Move(**move) for move in journal["moves"]]
        for move in moves:
            _refuse_other_places(folder, move)
        back = [move for move in moves if os.path.lexists(folder / move.target)]
        if dry_run:
            return len(back)
        write_json(last, {**journal, "state": "undoing"})
        for move in back:
            _move(folder, move.target, move.source)
        _remove_empty(folder / HIDDEN / ASIDE)
        _set_times(folder, journal["times"])
        last.unlink()
    if _last_journal(folder) is None:
        (folder / HIDDEN / LOCK).unlink(missing_ok=True)
        with suppress(OSError):  # it holds something that nobody of us put there
            (folder / HIDDEN).rmdir()
        _set_times(folder, journal["times"])
    return len(back)


def _set_times(folder: Path, times: Sequence[Mapping[str, Any]]) -> None:
    """Let folders have changed last when they did."""
    for time in times:
        os.utime(folder / time["folder"], ns=(time["ns"], time["ns"]))


def _refuse_other_places(folder: Path, move: Move) -> None:
    """Raise `DataError` unless a file is at exactly one end of its move."""
    ends = [os.path.lexists(folder / name) for name in (move.source, move.target)]
    if all(ends):
        raise DataError(
            f"{folder / move.target} cannot go back, because there is a new "
            f"{move.source}; move that away. Nothing was moved"
        )
    if not any(ends):
        raise DataError(
            f"{folder / move.target} has gone, so it cannot go back to {move.source}; "
            "put it back. Nothing was moved"
        )


def _move(folder: Path, source: str, target: str) -> None:
    """Move a file, unless it has been moved already."""
    start, end = folder / source, folder / target
    try:
        end.parent.mkdir(parents=True, exist_ok=True)
        if not os.path.lexists(end):
            os.rename(start, end)
        elif os.path.lexists(start):  # came meanwhile: a rename would replace it
            raise FileExistsError(0, "there is a new file of that name")
    except OSError as error:
        raise DataError(
            f"could not move {start} to {target}: {error.strerror}. What was moved is "
            "in the journal: put this right and give the same command again, or "
            f"`sightline apply {folder} --undo`"
        ) from error


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other processes out of a folder's corrections while the block lasts."""
    hidden = folder / HIDDEN
    try:
        hidden.mkdir(exist_ok=True)
        if hidden.is_symlink():
            raise FileExistsError(0, "it is a link")
    except OSError as error:
        raise DataError(
            f"{hidden} cannot be a folder for the journal: {error.strerror}. Make "
            f"{folder} writable, or move that away; nothing was moved"
        ) from error
    busy = f"another process is correcting {folder}; wait until it has ended"
    with locked(hidden / LOCK, busy):
        yield


def _folders_of(moves: Sequence[Move]) -> set[str]:
    """Return the folders that moves change, and the one that holds all."""
    names = {str(PurePosixPath(n).parent) for m in moves for n in (m.source, m.target)}
    return {name for name in names if not name.startswith(HIDDEN)} | {"."}


def _last_journal(folder: Path) -> Path | None:
    """Return the journal of the last corrections, if any."""
    journals = [p for p in (folder / HIDDEN).glob("*.json") if p.stem.isdecimal()]
    return max(journals, key=lambda path: int(path.stem), default=None)


def _read_journal(path: Path) -> dict:
    """Read a journal, whose names must not leave the folder: it may be a stranger's."""
    journal = read_json(path, JOURNAL)
    moves = [Move(**move) for move in journal["moves"]]
    _refuse_outside(
        path.parents[1], {*_folders_of(moves), *(t["folder"] for t in journal["times"])}
    )
    return journal


def _refuse_outside(folder: Path, names: Iterable[str]) -> None:
    """Raise `DataError` if the name of a folder leads out of `folder`."""
    for name in sorted(names):
        if not (folder / name).resolve().is_relative_to(folder.resolve()):
            raise DataError(
                f"{folder / name} is a link, or a name, that leads out of {folder}, "
                "and nothing elsewhere is touched; put the pictures themselves there"
            )


def _remove_empty(folder: Path) -> None:
    """Remove a folder and those within it that hold no file."""
    for place, *_ in os.walk(folder, topdown=False):
        with suppress(OSError):
            os.rmdir(place)
