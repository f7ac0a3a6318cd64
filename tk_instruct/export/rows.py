"""What an example is in a file, as a text or a chat, and the files: JSON lines or Parquet."""

import contextlib
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

from tk_instruct.data.task import AnyTask, Example
from tk_instruct.errors import UserError
from tk_instruct.files import PathLike, open_atomically, write_lines

if TYPE_CHECKING:
    import pyarrow

_ROW_GROUP_BYTES = 1 << 25  # of JSON lines

# A task and its example → the fields of its line.
Form = Callable[[AnyTask, Example], Mapping[str, Any]]


def texts_of(task: AnyTask, example: Example) -> Mapping[str, Any]:
    """The prompt and the answer, or all right answers if the task exports them, as texts."""
    return {**trained_texts_of(task, example), **task.own_fields(example)}


def trained_texts_of(task: AnyTask, example: Example) -> Mapping[str, Any]:
    """The prompt and the one answer that is trained on, as texts."""
    return {
        "id": example["id"],
        "task": task.name,
        "inputs": example["inputs_pretokenized"],
        "targets": example["targets_pretokenized"],
        **_further_fields(task, example),
    }


def messages_of(task: AnyTask, example: Example) -> Mapping[str, Any]:
    """An exchange of a chat: the prompt, and the one answer that is trained on."""
    exchange = {
        "user": example["inputs_pretokenized"],
        "assistant": example["targets_pretokenized"],
    }
    return {
        "id": example["id"],
        "task": task.name,
        "messages": _Messages({"role": who, "content": text} for who, text in exchange.items()),
        **_further_fields(task, example),
    }


class _Messages(list[Mapping[str, str]]):
    """The messages of a chat. Its class says what they are in Parquet."""


def _further_fields(task: AnyTask, example: Example) -> Mapping[str, Any]:
    own = task.own_fields(example)
    return {k: v for k, v in own.items() if k not in ("inputs", "targets", "messages")}


class Encoder:
    """Makes a JSON line of an example, and keeps the types of all fields' values."""

    def __init__(self, form: Form) -> None:
        self._form = form
        self.types: dict[str, set[type]] = {}

    def line(self, task: AnyTask, example: Example) -> str:
        values = self._form(task, example)
        for name, value in values.items():
            kind = list if isinstance(value, tuple) else type(value)
            self.types.setdefault(name, set()).add(kind)
        return json.dumps(values, ensure_ascii=False) + "\n"


def examples_of(task: AnyTask, split: str) -> Iterator[Example]:
    try:
        yield from task.texts(split)
    except OSError as error:  # not one of writing
        raise UserError(f"{task.name}: its data cannot be read ({error}); check it") from error


def write(
    lines: Iterable[str],
    types: Mapping[str, set[type]],
    as_parquet: bool,
    output: PathLike | None,
) -> None:
    """Writes lines. types is complete once they have been read."""
    if as_parquet:
        _write_parquet(lines, types, output)
    else:
        write_lines(output, lines)


def _write_parquet(
    lines: Iterable[str], types: Mapping[str, set[type]], output: PathLike | None
) -> None:
    """Writes the lines by way of a temporary file: columns have types, known at the last line."""
    import pyarrow.parquet

    if output is None and sys.stdout.isatty():
        raise UserError("a terminal does not show Parquet; give --output FILE, or --format jsonl")
    with tempfile.TemporaryFile() as read, tempfile.TemporaryFile() as written:
        for line in lines:
            read.write(line.encode("utf-8", "replace"))
        read.seek(0)
        schema = _schema(types)
        with pyarrow.parquet.ParquetWriter(written, schema) as writer:
            while group := read.readlines(_ROW_GROUP_BYTES):
                writer.write_table(_table(group, schema))
        written.seek(0)
        with _opened(output) as file:
            shutil.copyfileobj(written, file)


def _opened(output: PathLike | None) -> contextlib.AbstractContextManager[BinaryIO]:
    if output is None:
        sys.stdout.flush()
        return contextlib.nullcontext(sys.stdout.buffer)
    return open_atomically(output)


def _schema(types: Mapping[str, set[type]]) -> "pyarrow.Schema":
    """The type of each column. A column with texts and lists has lists.

    Raises UserError if a column has values of other kinds that do not go together.
    """
    import pyarrow

    fields = []
    for name, found in types.items():
        found = found - {type(None)}
        if not found:
            kind = pyarrow.null()
        elif found == {str}:
            kind = pyarrow.string()
        elif found == {_Messages}:
            message = [("role", pyarrow.string()), ("content", pyarrow.string())]
            kind = pyarrow.list_(pyarrow.struct(message))
        elif found <= {str, list}:
            kind = pyarrow.list_(pyarrow.string())
        elif found == {bool}:
            kind = pyarrow.bool_()
        elif found == {int}:
            kind = pyarrow.int64()
        elif found <= {int, float}:
            kind = pyarrow.float64()
        else:
            kinds = ", ".join(sorted(each.__name__ for each in found))
            raise UserError(
                f"field {name!r} has values of the kinds {kinds}, and a column of Parquet has one; "
                "export these tasks to several files, or give --format jsonl"
            )
        fields.append(pyarrow.field(name, kind))
    return pyarrow.schema(fields)


def _table(lines: Sequence[bytes], schema: "pyarrow.Schema") -> "pyarrow.Table":
    import pyarrow

    rows = [json.loads(line) for line in lines]
    columns = []
    for column in schema:
        values = [row.get(column.name) for row in rows]
        if pyarrow.types.is_list(column.type):
            values = [[value] if isinstance(value, str) else value for value in values]
        columns.append(pyarrow.array(values, column.type))
    return pyarrow.Table.from_arrays(columns, schema=schema)
