"""Rows that hold their instruction, as tasks: one task for each instruction, or each template."""

import contextlib
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, TypeVar

from . import rows
from .rows import EmptyTextError, Row
from .table import with_ids
from .task_file import Instance, TaskFile, safe_name

T = TypeVar("T")

# The definition where the instruction is in the input.
FOLLOW = "Follow the instruction in the input."

_MAX_NAME_CHARACTERS = 60


class Instruction(NamedTuple):
    """A row of {instruction, input, output}. input is empty if there is none, or only blanks."""

    instruction: str
    input: str
    outputs: tuple[str, ...]


def parse(row: Row) -> Instruction:
    """Raises UserError for an instruction or output that is missing or empty."""
    place, fields = row
    input_ = ""
    with contextlib.suppress(EmptyTextError):
        input_ = rows.text(fields.get("input"), place, "input")
    return Instruction(
        rows.text(fields.get("instruction"), place, "instruction"),
        input_,
        rows.texts(fields.get("output"), place, "output"),
    )


def by_instruction(
    found: Iterable[Row],
    prefix: str,
    new: Callable[..., TaskFile],
    skipped: list[str] | None = None,
) -> Iterator[TaskFile]:
    """One task for each instruction, in order of their first rows.

    Where a row has an input, the instruction is the definition. Where it has none, the instruction
    is the input of a task of its own, whose definition says so: a prompt without its definition is
    a whole prompt then, and no input is empty.

    Args:
        prefix: what the tasks' names begin with.
        new: makes a TaskFile of name, definition and instances.
        skipped: as in rows.parsed.
    """

    def parse_instance(row: Row) -> tuple[tuple[str, bool], Instance]:
        instruction, input_, outputs = parse(row)
        instance = Instance(_id(row), input_ or instruction, outputs, row.place)
        return (instruction, bool(input_)), instance

    for group, instances in _groups(rows.parsed(found, parse_instance, skipped)).items():
        instruction, has_input = group
        # The same name in every run, and also after more rows have come.
        name = prefix + _short(instruction) + _digest(f"{instruction}\0{has_input}")
        definition = instruction if has_input else FOLLOW
        yield new(name=name, definition=definition, instances=with_ids(name, instances))


def by_template(
    found: Iterable[Row],
    prefix: str,
    file_name: str,
    new: Callable[..., TaskFile],
    skipped: list[str] | None = None,
) -> Iterator[TaskFile]:
    """One task for each template of prompts: {inputs, targets} or {…_pretokenized}.

    A row says by `task`, or by `dataset`, `subset` and `template`, which one it is of; if it has
    none of these, it is of the task that is called as its file.

    Args:
        prefix, skipped: as in by_instruction.
        new: makes a TaskFile of name and instances.
    """

    def parse_instance(row: Row) -> tuple[str, Instance]:
        place, fields = row
        suffix = "_pretokenized" if "inputs_pretokenized" in fields else ""
        instance = Instance(
            id=_id(row),
            input=rows.text(fields.get(f"inputs{suffix}"), place, f"inputs{suffix}"),
            outputs=rows.texts(fields.get(f"targets{suffix}"), place, f"targets{suffix}"),
            place=place,
        )
        named = ["task"] if fields.get("task") else ["dataset", "subset", "template"]
        parts = [rows.text(fields[key], place, key) for key in named if fields.get(key)]
        return "_".join(parts) or file_name, instance

    groups = _groups(rows.parsed(found, parse_instance, skipped))
    alike = Counter(map(safe_name, groups))
    for group, instances in groups.items():
        name = prefix + safe_name(group)
        if alike[safe_name(group)] > 1:
            name = prefix + _short(group) + _digest(group)
        yield new(name=name, instances=with_ids(name, instances))


def _id(row: Row) -> str:
    given = row.fields.get("id")
    return "" if given is None else rows.text(given, row.place, "id")


def _groups(keyed: Iterable[tuple[T, Instance]]) -> dict[T, list[Instance]]:
    groups: dict[T, list[Instance]] = {}
    for key, instance in keyed:
        groups.setdefault(key, []).append(instance)
    return groups


def _short(text: str) -> str:
    return safe_name(text)[:_MAX_NAME_CHARACTERS].strip("_") + "_"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:12]
