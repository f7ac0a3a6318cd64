"""Rows of (input, output): one file is one task."""

import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from tk_instruct import schema
from tk_instruct.errors import UserError
from tk_instruct.files import Path

from . import rows
from .rows import Row
from .task_file import Demonstration, Instance, TaskFile


@dataclass(frozen=True)
class Columns:
    """The columns' names.

    Attributes:
        output: a column with one output, or None for the one called output.
        outputs: a column with a list of outputs, or None for the one called outputs.
        id: a column with ids, or None for the one called id, which need not be there.
    """

    input: str = "input"
    output: str | None = None
    outputs: str | None = None
    id: str | None = None

    def of_outputs(self, present: Mapping[str, Any], place: str) -> str:
        """The column that holds the outputs; raises UserError if it is not certain."""
        if named := self.outputs or self.output:
            return named
        found = [name for name in ("output", "outputs") if name in present]
        if len(found) > 1:
            raise UserError(
                f"{place}: has both output and outputs; say which to take: --output_column output, "
                "or --outputs_column outputs"
            )
        return found[0] if found else "output"

    def read_of(self, place: str, present: Mapping[str, Any]) -> set[str]:
        """The columns that are read; raises UserError if one is missing."""
        output = self.of_outputs(present, place)
        for column, what in ((self.input, "input"), (output, "output"), (self.id, "id")):
            if column:
                _value(present, column, what, place)
        return {self.input, output, self.id or "id"}


def read(
    name: str,
    found: Iterable[Row],
    columns: Columns,
    new: Callable[..., TaskFile],
    skipped: list[str] | None = None,
) -> TaskFile:
    """A task of rows. A text in the column of lists that begins with [ is a list in JSON.

    Raises UserError for a column that is missing, for an input or output that is empty or neither
    text nor number, and for an id that two rows have.

    Args:
        new: makes a TaskFile of name and instances.
        skipped: as in rows.parsed.
    """
    instances = rows.parsed(found, partial(_instance, columns), skipped)
    return new(name=name, instances=with_ids(name, instances))


def _instance(columns: Columns, row: Row) -> Instance:
    place, fields = row
    output = columns.of_outputs(fields, place)
    input_, value = (
        _value(fields, column, what, place)
        for column, what in ((columns.input, "input"), (output, "output"))
    )
    if output == (columns.outputs or "outputs") and isinstance(value, str):
        value = _list_in_json(value, place, output)
    return Instance(
        id=_id(fields, columns, place),
        input=rows.text(input_, place, columns.input),
        outputs=rows.texts(value, place, output),
        place=place,
    )


def _value(fields: Mapping[str, Any], column: str, what: str, place: str) -> Any:
    if column not in fields:
        raise UserError(
            f"{place}: has no {column!r}, it has {', '.join(map(repr, fields))}; say which column "
            f"is the {what}: --{what}_column NAME"
        )
    return fields[column]


def _id(fields: Mapping[str, Any], columns: Columns, place: str) -> str:
    if columns.id is None and "id" not in fields:
        return ""
    column = columns.id or "id"
    return rows.text(_value(fields, column, "id", place), place, column)


def _list_in_json(cell: str, place: str, column: str) -> Any:
    if not cell.lstrip().startswith("["):
        return cell
    with contextlib.suppress(UserError):
        return schema.parse(cell.encode(), list[Any], place)
    raise UserError(
        f"{place}: {column} is {schema.shortened(cell)} but must be a list in JSON, as it begins "
        'with [; write ["…", "…"], or name the column with --output_column if it holds one text'
    )


def with_ids(name: str, given: Iterable[Instance]) -> tuple[Instance, ...]:
    """The instances with ids that no other task has: NAME-ID, or NAME-NUMBER for one without.

    Numbers count from 1. Raises UserError if two instances have the same id.
    """
    found: dict[str, Instance] = {}
    for number, instance in enumerate(given, start=1):
        id_ = instance.id or str(number)
        id_ = id_ if id_.startswith(f"{name}-") else f"{name}-{id_}"
        if id_ in found:
            raise UserError(
                f"{instance.place}: the id {schema.shortened(instance.id or str(number))} is that "
                f"of {found[id_].place} too; give each row another id, or none"
            )
        found[id_] = replace(instance, id=id_)
    return tuple(found.values())


def read_demonstrations(path: Path) -> tuple[Demonstration, ...]:
    """Examples of a task: rows of input, output and, if there is one, explanation.

    Raises UserError as `read`.
    """
    examples = []
    for place, fields in rows.read(path)[1]:
        for column in ("input", "output"):
            if column not in fields:
                raise UserError(
                    f"{place}: has no {column!r}, it has {', '.join(map(repr, fields))}; an "
                    "example has input, output and explanation"
                )
        given = fields.get("explanation")
        examples.append(
            Demonstration(
                input=rows.text(fields["input"], place, "input"),
                output=rows.text(fields["output"], place, "output"),
                explanation=rows.text(given, place, "explanation") if given else "",
            )
        )
    return tuple(examples)
