"""Rows that hold their instruction, as tasks: one task for each instruction, or each template."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from . import rows
from .rows import Row
from .table import with_ids
from .task_file import Instance, TaskFile, safe_name

# The definition where the instruction is in the input.
FOLLOW = "Follow the instruction in the input."

_MAX_NAME_CHARACTERS = 60


class Instruction(NamedTuple):
    """A row of {instruction, input, output}. input is empty if there is none."""

    instruction: str
    input: str
    outputs: tuple[str, ...]


def parse(row: Row) -> Instruction:
    """Raises UserError for an instruction or output that is missing or empty."""
    place, fields = row
    return Instruction(
        rows.text(fields.get("instruction"), place, "instruction"),
        input_of(fields, place),
        rows.texts(fields.get("output"), place, "output"),
    )


def input_of(fields: Mapping[str, Any], place: str) -> str:
    given = fields.get("input")
    return "" if given is None or given == "" else rows.text(given, place, "input")


def by_instruction(
    found: Iterable[Row], prefix: str, new: Callable[..., TaskFile]
) -> Iterator[TaskFile]:
    """One task for each instruction, in order of their first rows.

    Where a row has an input, the instruction is the definition. Where it has none, the instruction
    is the input of a task of its own, whose definition says so: a prompt without its definition is
    a whole prompt then, and no input is empty.
    """
    groups: dict[tuple[str, bool], list[Instance]] = {}
    for row in found:
        instruction, input_, outputs = parse(row)
        given = row.fields.get("id")
        instance = Instance(
            id=rows.text(given, row.place, "id") if given is not None else "",
            input=input_ or instruction,
            outputs=outputs,
            place=row.place,
        )
        groups.setdefault((instruction, bool(input_)), []).append(instance)
    for (instruction, has_input), instances in groups.items():
        # The same in every run, and also after more rows have come.
        digest = hashlib.sha256(f"{instruction}\0{has_input}".encode("utf-8", "replace"))
        start = safe_name(instruction)[:_MAX_NAME_CHARACTERS].strip("_")
        name = prefix + start + "_" + digest.hexdigest()[:12]
        definition = instruction if has_input else FOLLOW
        yield new(name=name, definition=definition, instances=with_ids(name, instances))


def by_template(
    found: Iterable[Row], prefix: str, file_name: str, new: Callable[..., TaskFile]
) -> Iterator[TaskFile]:
    """One task for each template of prompts: {inputs, targets} or {…_pretokenized}.

    A row says by `task`, or by `dataset` and `template`, which one it is of; if it has none of
    these, it is of the task that is called as its file.
    """
    groups: dict[str, list[Instance]] = {}
    for place, fields in found:
        suffix = "_pretokenized" if "inputs_pretokenized" in fields else ""
        given = fields.get("id")
        instance = Instance(
            id=rows.text(given, place, "id") if given is not None else "",
            input=rows.text(fields.get(f"inputs{suffix}"), place, f"inputs{suffix}"),
            outputs=rows.texts(fields.get(f"targets{suffix}"), place, f"targets{suffix}"),
            place=place,
        )
        named = ["task"] if fields.get("task") else ["dataset", "subset", "template"]
        parts = [rows.text(fields[key], place, key) for key in named if fields.get(key)]
        groups.setdefault("_".join(parts) or file_name, []).append(instance)
    for group, instances in groups.items():
        name = prefix + safe_name(group)
        yield new(name=name, instances=with_ids(name, instances))
