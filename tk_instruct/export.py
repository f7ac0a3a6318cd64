"""Examples of tasks in one file of JSON lines or Parquet, for other programs."""

import contextlib
import itertools
import json
import shutil
import sys
import tempfile
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from jaxtyping import Int32, Int64

from tk_instruct import randomness
from tk_instruct.data import pipeline, registry
from tk_instruct.data.task import AnyTask, Example, check_split
from tk_instruct.errors import EmptySplitError, MissingDataError, UserError
from tk_instruct.files import PathLike, open_atomically
from tk_instruct.progress import Progress

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
    selection: Selection, split: str, form: Form, as_parquet: bool, output: PathLike | None
) -> tuple[int, int]:
    """Writes the examples of a split, one a line; gives the numbers of examples and of tasks.

    Raises UserError if a task that was asked for by name has no examples, or if no task has any.

    Args:
        output: None for standard output.
    """
    encode = _Encoder(form)
    lines = _Lines(selection, split, encode)
    _write(lines, encode.types, as_parquet, output)
    return lines.num_examples, lines.num_tasks


class _Encoder:
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


def _examples(task: AnyTask, split: str) -> Iterator[Example]:
    try:
        yield from task.texts(split)
    except OSError as error:  # not one of writing
        raise UserError(f"{task.name}: its data cannot be read ({error}); check it") from error


class _Lines:
    """The lines of all tasks, and how many there are once they have been read."""

    def __init__(self, selection: Selection, split: str, encode: _Encoder) -> None:
        self._selection, self._split, self._encode = selection, split, encode
        self.num_examples = self.num_tasks = 0
        self._passed_over: dict[str, list[str]] = {}

    def __iter__(self) -> Iterator[str]:
        tasks = self._selection.tasks
        with Progress(f"exporting {self._split}", len(tasks)) as progress:
            for task in tasks.values():
                for example in self._examples_or_none(task):
                    yield self._encode.line(task, example)
                    self.num_examples += 1
                    if self.num_examples % 1000 == 0:
                        progress.advance(0, f"{self.num_examples:,} examples")
                progress.advance()
        self._tell()

    def _examples_or_none(self, task: AnyTask) -> Iterator[Example]:
        if self._split not in task.splits and task.name not in self._selection.named:
            return self._pass_over(f"without split {self._split!r}", task.name)
        examples = _examples(task, self._split)
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


@dataclass(frozen=True)
class Share:
    """What was drawn of a mixture's task.

    Attributes:
        drawn: number of draws.
        rate: the task's mixing rate; the rates sum to 1.
        epochs: draws for each example that the task has to train on; None if none was drawn.
    """

    task: str
    drawn: int
    rate: float
    epochs: float | None


def export_drawn(
    mixture: str,
    num_draws: int,
    seed: int,
    num_train_examples: int | None,
    form: Form,
    as_parquet: bool,
    output: PathLike | None,
) -> list[Share]:
    """Writes the first examples that training on a mixture or task draws; gives the tasks' shares.

    They are those of pipeline.train_batches: the same examples in each window of the mixture, one
    window after the other, and each task's in its order. In a window tasks alternate at random.
    Training packs a window's examples into rows, whose order depends on the lengths in tokens.

    Raises UserError if training would not start for want of data.

    Args:
        num_train_examples: as of train_batches.
        output: None for standard output.
    """
    registry.check_mixture(mixture)
    tasks, rates = registry.tasks_of(mixture), registry.rates_of(mixture)
    for task in tasks:
        check_split(task, "train")
    names = [task.name for task in tasks]
    encode = _Encoder(form)
    drawn = _Drawn(tasks, _first_draws(names, rates, seed, num_draws), seed, num_train_examples)
    _write(drawn.lines(encode), encode.types, as_parquet, output)
    return [
        Share(name, of_task, rate, drawn.epochs.get(name))
        for name, of_task, rate in zip(names, drawn.counts.tolist(), rates, strict=True)
    ]


def _first_draws(
    tasks: Sequence[str], rates: Sequence[float], seed: int, count: int
) -> Int32[np.ndarray, "draws"]:
    """Which task each of a mixture's first draws is of. Each window is shuffled."""
    streams = [pipeline.Draws(task, rate, seed) for task, rate in zip(tasks, rates, strict=True)]
    windows, total = [np.empty(0, np.int32)], 0
    for window in itertools.count():
        if total >= count:
            break
        counts = [len(stream.window(window)) for stream in streams]
        rng = np.random.default_rng(randomness.draw(seed, "export", str(window)))
        windows.append(rng.permutation(np.repeat(np.arange(len(tasks), dtype=np.int32), counts)))
        total += sum(counts)
    return np.concatenate(windows)[:count]


class _Drawn:
    """The lines of drawn examples. Only a file on disk holds them, and each of them once.

    Attributes:
        counts: the draws of each task [tasks].
        epochs: name of a drawn task → its draws for each of its examples, once lines are read.
    """

    def __init__(
        self,
        tasks: Sequence[AnyTask],
        draws: Int32[np.ndarray, "draws"],
        seed: int,
        num_train_examples: int | None,
    ) -> None:
        self._tasks, self._draws = tasks, draws
        self._seed, self._num_train_examples = seed, num_train_examples
        self.counts = np.bincount(draws, minlength=len(tasks))
        self.epochs: dict[str, float] = {}
        self._num_read = 0

    def lines(self, encode: _Encoder) -> Iterator[str]:
        with tempfile.TemporaryFile() as kept:
            for start in self._keep(kept, encode):
                kept.seek(start)
                yield kept.readline().decode()

    def _keep(self, kept: BinaryIO, encode: _Encoder) -> Int64[np.ndarray, "draws"]:
        """Writes the drawn lines to a file; gives where the line of each draw starts."""
        starts = np.empty(len(self._draws), np.int64)
        by_task = np.split(np.argsort(self._draws, kind="stable"), np.cumsum(self.counts)[:-1])
        with Progress("reading tasks", int(np.count_nonzero(self.counts))) as progress:
            for task, of_task in zip(self._tasks, by_task, strict=True):
                if len(of_task):
                    lines = self._lines_of(task, encode, progress)
                    starts[of_task] = self._keep_task(task.name, len(of_task), lines, kept)
                    progress.advance()
        return starts

    def _lines_of(self, task: AnyTask, encode: _Encoder, progress: Progress) -> Iterator[bytes]:
        for example in _examples(task, "train"):
            yield encode.line(task, example).encode("utf-8", "replace")
            self._num_read += 1
            if self._num_read % 1000 == 0:
                progress.advance(0, f"{self._num_read:,} examples")

    def _keep_task(
        self, task: str, num_draws: int, lines: Iterable[bytes], kept: BinaryIO
    ) -> Int64[np.ndarray, "draws"]:
        with tempfile.TemporaryFile() as file:  # all lines: the last one says how many there are
            starts = array("q")
            for line in lines:
                starts.append(file.tell())
                file.write(line)
            order = pipeline.Order(task, len(starts), self._seed, self._num_train_examples)
            self.epochs[task] = num_draws / order.epoch_size
            positions, which = np.unique(order.positions(range(num_draws)), return_inverse=True)
            kept_at = array("q")
            for position in positions:
                file.seek(starts[position])
                kept_at.append(kept.tell())
                kept.write(file.readline())
            return np.array(kept_at)[which]


def _write(
    lines: Iterable[str],
    types: Mapping[str, set[type]],
    as_parquet: bool,
    output: PathLike | None,
) -> None:
    """Writes lines. types is complete once they have been read."""
    if as_parquet:
        _write_parquet(lines, types, output)
    elif output is None:
        for line in lines:  # as text, which is safe on a terminal
            sys.stdout.write(line)
    else:
        with open_atomically(output) as file:
            for line in lines:
                file.write(line.encode("utf-8", "replace"))


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
