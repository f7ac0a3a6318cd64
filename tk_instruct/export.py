"""Examples of tasks as texts, in one file of JSON lines or Parquet, for other programs."""

import contextlib
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

from tk_instruct.data import registry
from tk_instruct.data.task import AnyTask, Example
from tk_instruct.errors import EmptySplitError, MissingDataError, UserError
from tk_instruct.files import PathLike, open_atomically
from tk_instruct.progress import Progress

if TYPE_CHECKING:
    import pyarrow

_ROW_GROUP_BYTES = 1 << 25  # of JSON lines


@dataclass
class Selection:
    """The tasks to export, by name, and the names of those that were asked for by name."""

    tasks: dict[str, AnyTask] = field(default_factory=dict)
    named: set[str] = field(default_factory=set)


def select(patterns: Sequence[str]) -> Selection:
    """The tasks of all patterns, each once, in their order and sorted within one.

    A pattern is the name of a task or mixture, else a shell pattern or a part of names. A mixture
    stands for its tasks. Raises UserError if nothing matches a pattern.
    """
    found = Selection()
    for pattern in patterns:
        # Patterns do not find what is not listed; full names do.
        names = [pattern] if registry.declared(pattern) else registry.names(pattern)
        if not names:
            raise UserError(f"no task or mixture matches {pattern!r}; `tasks list` shows all")
        for name in [pattern] if pattern in names else names:
            given: Any = registry.get(name)
            tasks = getattr(given, "tasks", None)
            if tasks is None and name == pattern:
                found.named.add(name)
            found.tasks |= {task.name: task for task in ([given] if tasks is None else tasks)}
    return found


def export(
    selection: Selection, split: str, file_format: str, output: PathLike | None
) -> tuple[int, int]:
    """Writes the examples of a split, one a line; gives the numbers of examples and of tasks.

    Raises UserError if a task that was asked for by name has no examples, or if no task has any.

    Args:
        file_format: jsonl or parquet.
        output: None for standard output.
    """
    lines = _Lines(selection, split)
    if file_format == "jsonl" and output is None:
        for line in lines:  # as text, which is safe on a terminal
            sys.stdout.write(line)
    elif file_format == "jsonl":
        with open_atomically(output) as file:
            for line in lines:
                file.write(line.encode("utf-8", "replace"))
    else:
        _write_parquet(lines, output)
    return lines.num_examples, lines.num_tasks


class _Lines:
    """The lines of all tasks, and what is known of them once they have been read."""

    def __init__(self, selection: Selection, split: str) -> None:
        self._selection, self._split = selection, split
        self.num_examples = self.num_tasks = 0
        self.types: dict[str, set[type]] = {}  # of each field's values
        self._passed_over: dict[str, list[str]] = {}

    def __iter__(self) -> Iterator[str]:
        tasks = self._selection.tasks
        with Progress(f"exporting {self._split}", len(tasks)) as progress:
            for task in tasks.values():
                for example in self._examples(task):
                    yield self._line(task, example)
                    self.num_examples += 1
                    if self.num_examples % 1000 == 0:
                        progress.advance(0, f"{self.num_examples:,} examples")
                progress.advance()
        self._tell()

    def _examples(self, task: AnyTask) -> Iterator[Example]:
        try:
            yield from self._examples_or_none(task)
        except OSError as error:  # not one of writing
            raise UserError(f"{task.name}: its data cannot be read ({error}); check it") from error

    def _examples_or_none(self, task: AnyTask) -> Iterator[Example]:
        if self._split not in task.splits and task.name not in self._selection.named:
            return self._pass_over(f"without split {self._split!r}", task.name)
        examples = task.texts(self._split)
        try:
            first = next(examples, None)
            if first is None:
                raise EmptySplitError(f"{task.name}/{self._split} has no examples")
        except (EmptySplitError, MissingDataError) as error:
            if task.name in self._selection.named:
                raise
            what = "data" if isinstance(error, MissingDataError) else "examples"
            return self._pass_over(f"without {what}", f"{task.name}: {error}")
        self.num_tasks += 1
        yield first
        yield from examples

    def _pass_over(self, kind: str, reason: str) -> None:
        self._passed_over.setdefault(kind, []).append(reason)

    def _tell(self) -> None:
        """Says what was passed over. Raises UserError if that is all."""
        for kind, reasons in self._passed_over.items():
            if not self.num_tasks:
                raise UserError(
                    f"none of the {len(self._selection.tasks):,} tasks can be exported: "
                    f"{len(reasons):,} {kind}, such as {reasons[0]}"
                )
            tasks = "task" if len(reasons) == 1 else "tasks"
            passed = f"passed over: {len(reasons):,} {tasks} {kind}, such as {reasons[0]}"
            print(passed, file=sys.stderr, flush=True)

    def _line(self, task: AnyTask, example: Example) -> str:
        values = {
            "id": example["id"],
            "task": task.name,
            "inputs": example["inputs_pretokenized"],
            "targets": example["targets_pretokenized"],
            **task.own_fields(example),
        }
        for name, value in values.items():
            kind = list if isinstance(value, tuple) else type(value)
            self.types.setdefault(name, set()).add(kind)
        return json.dumps(values, ensure_ascii=False) + "\n"


def _write_parquet(lines: _Lines, output: PathLike | None) -> None:
    """Writes the lines by way of a temporary file: columns have types, known at the last line."""
    import pyarrow.parquet

    if output is None and sys.stdout.isatty():
        raise UserError("a terminal does not show Parquet; give --output FILE, or --format jsonl")
    with tempfile.TemporaryFile() as read, tempfile.TemporaryFile() as written:
        for line in lines:
            read.write(line.encode("utf-8", "replace"))
        read.seek(0)
        schema = _schema(lines.types)
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
