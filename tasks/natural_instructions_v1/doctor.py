"""Checks the task files of Natural Instructions v1: which are there, and what is odd in them.

A file is a fault if it cannot be read or its task is not one of the 61. Missing files are named:
scores are then not the paper's. Oddities that real files have are notes, for they change prompts or
which instances are evaluated.
"""

import argparse
import difflib
import textwrap
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

from tk_instruct.errors import UserError
from tk_instruct.files import Path
from tk_instruct.progress import Progress
from tk_instruct.suite import Diagnosis
from tk_instruct.tables import table

from . import records
from .records import Instance, TaskSpec
from .settings import NaturalInstructionsV1
from .splits import (
    CATEGORIES,
    NUM_EVALUATED,
    Member,
    collection,
    evaluated,
    extra_examples,
    task_splits,
)

_NUM_SHOWN = 5  # names in a list


@dataclass(frozen=True)
class Note:
    """What is odd in a file, and its value there: a text, a number, or positions of instances."""

    about: str
    value: str


@dataclass(frozen=True)
class Present:
    """A task whose file can be read. evaluated: the number of instances that are scored."""

    task: str
    category: str
    dataset: str
    instances: int
    evaluated: int
    positive: int
    negative: int
    notes: list[Note] = field(default_factory=list)


@dataclass(frozen=True)
class Missing:
    """A task of the collection without a file, and the splits of the paper that need it most."""

    task: str
    category: str
    dataset: str
    unseen_in: list[str]


@dataclass(frozen=True)
class Fault:
    """A file that cannot be used: what is in it, and what to do."""

    file: str
    value: str
    repair: str


def diagnose(args: argparse.Namespace) -> Diagnosis:
    """Checks the folder in use. Raises UserError if none is set."""
    where = records.folder()
    findings = list(_check(where))
    is_well = all(isinstance(finding, Present) for finding in findings)
    return Diagnosis(findings, f"task files in {where}\n\n{_report(findings)}", is_well)


def _check(where: Path) -> Iterator[Present | Missing | Fault]:
    there = {path.stem: path for path in where.iterdir() if path.suffix == ".json"}
    with Progress("checking task files", len(collection())) as progress:
        for member in collection().values():
            path = there.pop(member.name, None)
            yield _missing(member) if path is None else _file(path, member)
            progress.advance()
    for name, path in sorted(there.items()):
        near = difflib.get_close_matches(name, collection(), n=1)
        yield Fault(
            path.name,
            "is not one of the 61 tasks",
            f"rename it to {near[0]}.json if it is that task, else move it away"
            if near
            else "move it away, or convert it with `tk-instruct convert-tasks`",
        )


def _missing(member: Member) -> Missing:
    unseen_in = [
        name
        for name, tasks in task_splits().items()
        if member.name in tasks.unseen and "_task_" not in name
    ]
    return Missing(member.name, member.category, member.dataset, unseen_in)


def _file(path: Path, member: Member) -> Present | Fault:
    try:
        task, instances = records.read_task(path)
    except UserError as error:
        value, _, repair = str(error).removeprefix(f"{path}: ").rpartition("; ")
        return Fault(path.name, value, repair)
    return Present(
        member.name,
        member.category,
        member.dataset,
        len(instances),
        len(evaluated(len(instances))),
        len(task.positive_examples),
        len(task.negative_examples),
        list(_notes(task, instances)),
    )


def _notes(task: TaskSpec, instances: Sequence[Instance]) -> Iterator[Note]:
    for name in ("title", "prompt", "definition", "things_to_avoid", "emphasis"):
        text = getattr(task, name)
        if text is not None and text.strip() in ("", "-"):
            yield Note(f"{name} says nothing, and yet stands in prompts", repr(text))
    released = collection()[task.name].num_released
    if released not in (None, len(instances)):
        yield Note("not the released instances", f"{len(instances):,} for {released:,}")
    num_evaluated = len(evaluated(len(instances)))
    if num_evaluated < NUM_EVALUATED:
        yield Note(
            f"fewer than {NUM_EVALUATED} instances are evaluated, by our rule", str(num_evaluated)
        )
    wanted = NaturalInstructionsV1().num_examples
    extra = extra_examples(max(wanted - len(task.positive_examples), 0))
    if extra:
        yield Note(f"instances stand for positive examples, of {wanted} a prompt", str(len(extra)))
    if shown := set(extra) & set(evaluated(len(instances))):
        yield Note("evaluated instances stand in prompts with their answers", _places(shown))
    empty = [k for k, each in enumerate(instances) if not all(map(str.strip, each.outputs))]
    if empty:
        yield Note("instances with an empty output", _places(empty))
    first: dict[str, int] = {}
    twice = [k for k, each in enumerate(instances) if first.setdefault(each.input, k) != k]
    if twice:
        yield Note("instances whose input an instance before them has", str(len(twice)))
    examples = {each.input for each in task.positive_examples}
    if leaked := [k for k in evaluated(len(instances)) if instances[k].input in examples]:
        yield Note("evaluated instances that are positive examples too", _places(leaked))


def _places(positions: Collection[int]) -> str:
    more = f" and {len(positions) - _NUM_SHOWN} more" if len(positions) > _NUM_SHOWN else ""
    return f"{', '.join(map(str, sorted(positions)[:_NUM_SHOWN]))}{more}"


def _report(findings: Sequence[Present | Missing | Fault]) -> str:
    present = [finding for finding in findings if isinstance(finding, Present)]
    missing = [finding for finding in findings if isinstance(finding, Missing)]
    faults = [finding for finding in findings if isinstance(finding, Fault)]
    parts = []
    if present:
        header = ("task", "category", "instances", "evaluated", "positive", "negative")
        rows = [
            (
                each.task,
                CATEGORIES[each.category][1],
                f"{each.instances:,}",
                str(each.evaluated),
                str(each.positive),
                str(each.negative),
            )
            for each in present
        ]
        parts.append(table([header, *rows]))
        parts.append(_about_notes(present))
    parts.append("\n".join(f"{f.file}: {f.value}; {f.repair}" for f in faults))
    if missing:
        held_out = [each.task for each in missing if "random" in each.unseen_in]
        parts.append(
            f"{len(missing)} of the {len(collection())} tasks have no file, {len(held_out)} of "
            "them among the twelve that the random split evaluates; scores without them are not "
            "the paper's\n" + "\n".join(f"  {each.task}" for each in missing)
        )
    return "\n\n".join(filter(None, parts))


def _about_notes(present: Sequence[Present]) -> str:
    """What is noted, each with the numbers of its tasks."""
    tasks: dict[str, list[str]] = {}
    for each in present:
        for note in each.notes:
            number = each.task.partition("_")[0].removeprefix("subtask")
            tasks.setdefault(note.about, []).append(f"{number} ({note.value})")
    lines = [
        textwrap.fill(
            f"{about}: {', '.join(of)}", 100, initial_indent="  ", subsequent_indent="    "
        )
        for about, of in tasks.items()
    ]
    return "\n".join(["worth knowing, by the tasks' numbers", *lines]) if lines else ""
