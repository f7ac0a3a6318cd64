"""Rows that hold their instruction, as tasks: one task for each instruction, or each template."""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from . import rows
from .rows import EmptyTextError, Row
from .table import with_ids
from .task_file import Instance, TaskFile, digest, plain, safe_name

T = TypeVar("T")

# The definition where the instruction is in the input.
FOLLOW = "Follow the instruction in the input."

# The names that data sets give to the input and the output of an instruction, and to a prompt and
# its answer; a row has one pair of them.
OF_INSTRUCTIONS = (("input", "output"), ("context", "response"))
OF_PROMPTS = (
    ("inputs_pretokenized", "targets_pretokenized"),
    ("inputs", "targets"),
    ("prompt", "completion"),
)

_MAX_NAME_CHARACTERS = 60


def names(pairs: Sequence[tuple[str, str]], fields: Mapping[str, Any]) -> tuple[str, str]:
    """The first pair whose answer is a field; the first of all if none is."""
    return next((pair for pair in pairs if pair[1] in fields), pairs[0])


class Instruction(NamedTuple):
    """A row with an instruction. input is empty if there is none, or only blanks."""

    instruction: str
    input: str
    outputs: tuple[str, ...]


def parse(row: Row) -> Instruction:
    """Raises UserError for an instruction or output that is missing or empty."""
    place, fields = row
    asked, answered = names(OF_INSTRUCTIONS, fields)
    input_ = ""
    with contextlib.suppress(EmptyTextError):
        input_ = rows.text(fields.get(asked), place, asked)
    return Instruction(
        rows.text(fields.get("instruction"), place, "instruction"),
        input_,
        rows.texts(fields.get(answered), place, answered),
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
        name = prefix + _hashed(instruction, f"{instruction}\0{has_input}")
        definition = instruction if has_input else FOLLOW
        yield new(name=name, definition=definition, instances=with_ids(name, instances))


def by_template(
    found: Iterable[Row],
    prefix: str,
    file_name: str,
    new: Callable[..., TaskFile],
    skipped: list[str] | None = None,
) -> Iterator[TaskFile]:
    """One task for each template of prompts, whose fields are a pair of OF_PROMPTS.

    A row says by `task`, or by `dataset`, `subset` and `template`, which one it is of; if it has
    none of these, it is of the task that is called as its file.

    Args:
        prefix, skipped: as in by_instruction.
        new: makes a TaskFile of name and instances.
    """

    def parse_instance(row: Row) -> tuple[str, Instance]:
        place, fields = row
        asked, answered = names(OF_PROMPTS, fields)
        instance = Instance(
            id=_id(row),
            input=rows.text(fields.get(asked), place, asked),
            outputs=rows.texts(fields.get(answered), place, answered),
            place=place,
        )
        named = ["task"] if fields.get("task") else ["dataset", "subset", "template"]
        parts = [rows.text(fields[key], place, key) for key in named if fields.get(key)]
        return "_".join(parts) or file_name, instance

    groups = _groups(rows.parsed(found, parse_instance, skipped))
    alike = Counter(map(safe_name, groups))
    for group, instances in groups.items():
        is_alone = alike[safe_name(group)] == 1
        name = prefix + (safe_name(group) if is_alone else _hashed(group, group))
        yield new(name=name, instances=with_ids(name, instances))


def _id(row: Row) -> str:
    given = row.fields.get("id")
    return "" if given is None else rows.text(given, row.place, "id")


def _groups(keyed: Iterable[tuple[T, Instance]]) -> dict[T, list[Instance]]:
    groups: dict[T, list[Instance]] = {}
    for key, instance in keyed:
        groups.setdefault(key, []).append(instance)
    return groups


def _hashed(text: str, key: str) -> str:
    return f"{plain(text, _MAX_NAME_CHARACTERS) or 'task'}_{digest(key)}"
