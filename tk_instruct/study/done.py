"""What is done of a run: the record of its commands, study.jsonl, and how far its training is."""

import contextlib
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from tk_instruct import lock, schema
from tk_instruct.errors import UserError
from tk_instruct.files import Path, inside, read_bytes, write_atomically
from tk_instruct.run_log import read_rows
from tk_instruct.study.runs import Command, Places, Run

RECORD = "study.jsonl"
LOCK = "study.lock"

What = Literal["done", "running", "failed", "begun", "waiting"]


class Ended(msgspec.Struct, frozen=True):
    """A command that has ended: a line of the record.

    Attributes:
        digest: the command's.
        status: its exit status.
        said: the last lines of a failed one's output.
        content: a hash of the file of scores that it has written.
        places: flag → where the data of a training lay.
    """

    verb: str
    output: str
    digest: str
    status: int
    seconds: float
    said: str = ""
    content: str = ""
    places: dict[str, str] = {}


@dataclass(frozen=True)
class State:
    """How far a run is.

    Attributes:
        missing: its commands that are still to be run, in order.
        step: that its training has logged last.
        failed: what a failed command said last, if it is among the missing ones.
    """

    what: What
    missing: tuple[Command, ...]
    step: int
    failed: Ended | None


def record(folder: Path) -> list[Ended]:
    """The lines of a run's record. Damaged lines count for nothing."""
    path = folder / RECORD
    found = []
    for line in read_bytes(path).splitlines() if path.exists() else ():
        with contextlib.suppress(UserError):
            found.append(schema.parse(line, Ended, str(path)))
    return found


def keep(folder: Path, ended: Ended) -> None:
    """Adds a line to a run's record, and takes out those of the same output."""
    others = [each for each in record(folder) if each.output != ended.output]
    lines = [json.dumps(msgspec.to_builtins(each)) + "\n" for each in (*others, ended)]
    write_atomically(inside(folder, RECORD), lines)


def ended(
    command: Command,
    folder: Path,
    status: int,
    seconds: float,
    said: str = "",
    places: Mapping[str, str] | None = None,
) -> Ended:
    """The line of a command that has just ended. places: where a training's data lies."""
    is_scored = command.verb == "evaluate" and status == 0
    return Ended(
        command.verb,
        command.output,
        command.digest,
        status,
        round(seconds, 1),
        said,
        _hash(folder / command.output) if is_scored else "",
        dict(places or {}),
    )


def trained_from_elsewhere(run: Run, folder: Path, places: Places) -> dict[str, str]:
    """Flag → where the data of a run's training lay, of those that say something else now."""
    now = run.trained_from(places)
    then = {}
    for each in record(folder):
        if each.output == run.commands[0].output and not each.status:
            then = each.places
    return {flag: place for flag, place in then.items() if now.get(flag, place) != place}


def state_of(run: Run, folder: Path) -> State:
    """How far a run is whose folder this is."""
    lines = record(folder)
    missing = _left(run, folder, lines)
    digests = {command.output: command.digest for command in missing}
    failed = [each for each in lines if each.status and digests.get(each.output) == each.digest]
    rows = read_rows(folder)
    step = int(rows[-1]["step"]) if rows else 0
    what: What = "waiting"
    if not missing:
        what = "done"
    elif lock.is_held(folder / LOCK) or lock.is_held(folder / "lock"):
        what = "running"
    elif failed:
        what = "failed"
    elif step or lines:
        what = "begun"
    return State(what, missing, step, failed[-1] if failed else None)


def commands_left(run: Run, folder: Path) -> tuple[Command, ...]:
    """The commands of a run that are still to be run, in order.

    An evaluation is done if it has succeeded since its predictions were made, and its file of
    scores is as it was written. What it needs is made if it is not there.
    """
    return _left(run, folder, record(folder))


def _left(run: Run, folder: Path, lines: Sequence[Ended]) -> tuple[Command, ...]:
    last = {each.output: (number, each) for number, each in enumerate(lines)}

    def made(output: str, digest: str) -> int | None:
        """The number of the line of a command that has succeeded and whose output is there."""
        number, found = last.get(output, (0, None))
        if found is None or found.status or found.digest != digest:
            return None
        path = folder / output
        is_there = path.exists() and (not found.content or _hash(path) == found.content)
        return number if is_there else None

    by_output = {command.output: command for command in run.commands}
    left: set[str] = set()
    for command in run.commands:
        if command.verb != "evaluate":
            continue
        scored = made(command.output, command.digest)
        needs = by_output[command.needs]
        predicted = made(needs.output, needs.digest) if needs.verb == "predict" else None
        if scored is not None and (predicted is None or predicted < scored):
            continue
        left.add(command.output)
        if needs.verb == "predict" and predicted is None:
            left.add(needs.output)
            needs = by_output[needs.needs]
        if needs.verb == "train" and not (folder / needs.output).is_dir():
            left.add(needs.output)
    return tuple(command for command in run.commands if command.output in left)


def _hash(path: Path) -> str:
    return hashlib.sha256(read_bytes(path)).hexdigest()[:16]
