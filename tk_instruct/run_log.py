"""The log of a training run: metrics.jsonl, samples.jsonl, TensorBoard events, a progress line."""

import contextlib
import json
import logging
import math
import os
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import msgspec

from tk_instruct import distributed, goodput, schema
from tk_instruct.errors import UserError
from tk_instruct.files import Path, PathLike, read_bytes, write_atomically
from tk_instruct.progress import Progress

if TYPE_CHECKING:
    from tk_instruct.data.pipeline import Batch

log = logging.getLogger("tk_instruct")

MAX_NAMES = 8
METRICS = "metrics.jsonl"
SAMPLES = "samples.jsonl"
FILES = [name + end for name in (METRICS, SAMPLES) for end in ("", ".damaged")]
"""The files that a run's log writes, and where it puts damaged lines of them."""


class Sample(msgspec.Struct, frozen=True):
    """A line of samples.jsonl: the greedy answer to a validation example after a step.

    Attributes:
        task: the task or the part of the mixture that the example is of.
        input, target: what the model reads and should write, as the tokens say it.
    """

    step: int
    id: str
    task: str
    input: str
    target: str
    prediction: str


class Writer(Protocol):
    """Something that metrics and samples are written to."""

    def write(self, step: int, scores: Mapping[str, float]) -> None: ...
    def write_samples(self, step: int, samples: Sequence[Sample]) -> None: ...
    def close(self, failed: bool) -> None: ...


class _Row(msgspec.Struct, frozen=True):
    """The field that every line of metrics.jsonl has."""

    step: int


class _Step(NamedTuple):
    step: int
    stats: Mapping[str, Any]
    ids: tuple[str, ...]
    num_tokens: int
    compiled: bool


def read_rows(run_dir: PathLike) -> list[dict[str, float]]:
    """The rows of a run's metrics.jsonl, without lines that are damaged; [] without the file."""
    lines, _ = _read_lines(Path(run_dir) / METRICS, _Row)
    return [line.numbers() for line in lines]


def read_samples(run_dir: PathLike) -> list[Sample]:
    """The lines of a run's samples.jsonl, without those that are damaged; [] without the file."""
    lines, _ = _read_lines(Path(run_dir) / SAMPLES, Sample)
    return [line.row for line in lines]


class RunLog:
    """Collects the metrics of each step, and fetches and writes them every log_every_steps.

    A continued run first drops the lines after the step that it continues from, so metrics.jsonl
    has each step once. The time of what was dropped is kept: in a row with `restarts`, how often
    the run was started again, and seconds_lost. Only the first of several processes writes.

    Args:
        clock: measures what the time is spent on.
        first, last: the steps at which the run starts and ends.
        last_saved: returns the step of the last checkpoint, for messages.
        writers: what to write to besides files and TensorBoard.
    """

    def __init__(
        self,
        model_dir: PathLike,
        clock: goodput.Clock,
        first: int,
        last: int,
        log_every_steps: int,
        last_saved: Callable[[], int | None],
        writers: Sequence[Writer] = (),
    ) -> None:
        self.clock = clock
        self.first, self.last, self.log_every_steps = first, last, log_every_steps
        self.last_saved = last_saved
        self.pending: list[_Step] = []
        self.training_seconds = 0.0  # of the pending steps, without those that were compiled
        self.validation = ""
        self.writes = distributed.is_first_process()
        if self.writes:
            self.metrics = _Lines(Path(model_dir) / METRICS, _Row, first)
            self.samples = _Lines(Path(model_dir) / SAMPLES, Sample, first)
            self.writers: list[Writer] = [_Events(Path(model_dir)), *writers]
            self.progress = Progress("step", last, first)
            self.samples.append()  # without the lines that are dropped
            self._write_restart()

    def __enter__(self) -> "RunLog":
        if self.writes:
            self.progress.__enter__()
        return self

    def _write_restart(self) -> None:
        """Written at once: should this start fail too, nothing of it is forgotten."""
        dropped = [line.numbers() for line in self.metrics.dropped]
        before = [*(line.numbers() for line in self.metrics.kept), *dropped]
        if before:
            restarts = 1 + int(max(row.get("restarts", 0) for row in before))
            lost = {"lost": sum(goodput.of_rows(dropped).values())}
            self._append(self.first, {"restarts": restarts, **goodput.as_fields(lost)})

    def step(self, step: int, stats: Mapping[str, Any], batch: "Batch", compiled: bool) -> None:
        """Takes the metrics of a step; raises UserError as check_losses.

        compiled: whether the step was compiled, which its speed does not count.
        """
        ids = tuple(i for row in batch.ids for i in row)
        self.pending.append(_Step(step, stats, ids, batch.num_tokens, compiled))
        note = ""
        if step % self.log_every_steps == 0 or step == self.last:
            note = self._write_pending(step)
        if self.writes:
            self.progress.advance(note=note)

    def check_losses(self) -> None:
        """Raises UserError where the loss or the gradient of a step is not a finite number.

        The message names the step, its examples and the last checkpoint. That one is good, because
        losses are checked before every save.
        """
        import jax

        stats = jax.device_get([taken.stats for taken in self.pending])
        self.pending = [
            taken._replace(stats=s) for taken, s in zip(self.pending, stats, strict=True)
        ]
        for taken in self.pending:
            for name in ("loss", "gradient_norm"):
                if not math.isfinite(taken.stats[name].total):
                    raise UserError(
                        f"{name}={float(taken.stats[name].total)} at step {taken.step} must be a "
                        f"finite number; the step's examples are {_shortened(taken.ids)}; "
                        f"{_last_good(self.last_saved())}. Look at the examples with tk-instruct "
                        "tasks show, lower LEARNING_RATE or set MAX_GRADIENT_NORM, and start anew "
                        "or go on from there"
                    )

    def _write_pending(self, step: int) -> str:
        self.check_losses()
        first, *rest = (taken.stats for taken in self.pending)
        totals = {name: sum((s[name] for s in rest), first[name]) for name in first}
        scores = {name: float(mean.value()) for name, mean in totals.items()}
        timed = [taken for taken in self.pending if not taken.compiled]
        seconds = self._read_clock()
        note = f"loss {scores['loss']:.3f}{self.validation}"
        if timed:
            num_tokens = sum(taken.num_tokens for taken in timed)
            scores["tokens_per_second"] = num_tokens / self.training_seconds
            scores["steps_per_second"] = len(timed) / self.training_seconds
            note += f", {scores['tokens_per_second']:,.0f} tokens/s"
        self.training_seconds, self.pending = 0.0, []
        self._append(step, {**scores, **seconds})
        return note

    def validated(self, step: int, scores: Mapping[str, float], samples: Sequence[Sample]) -> None:
        """Writes the scores of a validation, and samples."""
        self._append(step, {**scores, **self._read_clock()})
        self.validation = f", validation loss {scores['validation_loss']:.3f}"
        if self.writes and samples:
            self.samples.append(*(msgspec.to_builtins(sample) for sample in samples))
            for writer in self.writers:
                writer.write_samples(step, samples)

    def ended(self, step: int) -> None:
        """Writes what was spent since the last row, when nothing more is done."""
        self._append(step, self._read_clock())

    def _read_clock(self) -> dict[str, float]:
        spent = self.clock.read()
        self.training_seconds += spent["step"] + spent["input"]
        return goodput.as_fields(spent)

    def _append(self, step: int, scores: Mapping[str, float]) -> None:
        if self.writes:
            self.metrics.append({"step": step, **scores})
            for writer in self.writers:
                writer.write(step, scores)

    def __exit__(self, kind: type[BaseException] | None, *error: Any) -> None:
        if self.writes:
            self.progress.__exit__(kind, *error)
            for writer in self.writers:
                writer.close(failed=kind is not None)


class _Lines:
    """A file of JSON lines, each of a step, that grows.

    Lines after the step that a run continues from are dropped. Damaged lines are put into another
    file, FILE.damaged.

    Attributes:
        kept, dropped: the lines up to the step, and after it, that were there.
    """

    def __init__(self, path: Path, kind: type[Any], step: int) -> None:
        self._path = path
        lines, damaged = _read_lines(path, kind)
        self.kept = [line for line in lines if line.row.step <= step]
        self.dropped = [line for line in lines if line.row.step > step]
        self._texts = [line.text for line in self.kept]
        if damaged:
            aside = path.parent / f"{path.name}.damaged"
            before = read_bytes(aside) if aside.exists() else b""
            write_atomically(aside, before + b"\n".join([*damaged.values(), b""]))
            log.warning(
                "%s: what is no row is left out and put into %s: %d lines, number %s",
                path,
                aside.name,
                len(damaged),
                _shortened([str(number) for number in damaged]),
            )

    def append(self, *rows: Mapping[str, Any]) -> None:
        self._texts += [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
        if rows or self._path.exists():
            write_atomically(self._path, self._texts)  # all: objects in a bucket cannot grow


class _Line(NamedTuple):
    text: str
    fields: Mapping[str, Any]
    row: Any

    def numbers(self) -> dict[str, float]:
        """The fields that are finite numbers."""
        return {
            name: value
            for name, value in self.fields.items()
            if isinstance(value, int | float) and math.isfinite(value)
        }


def _read_lines(path: Path, kind: type[Any]) -> tuple[list[_Line], dict[int, bytes]]:
    """The lines of a file that are rows of this kind, and the others by their numbers."""
    lines: list[_Line] = []
    damaged: dict[int, bytes] = {}
    content = read_bytes(path) if path.exists() else b""
    for number, line in enumerate(content.splitlines(), start=1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            fields = schema.parse(line, dict[str, Any], where)
            row = schema.convert(fields, kind, where)
        except UserError:
            damaged[number] = line
        else:
            lines.append(_Line(line.decode("utf-8-sig") + "\n", fields, row))
    return lines, damaged


class _Events:
    """A new event file of TensorBoard, written without TensorFlow, whose import takes seconds."""

    def __init__(self, folder: Path) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.summary.writer.record_writer import RecordWriter

        # TensorBoard knows the file by its name, and reads the files of a folder in their order.
        name = f"events.out.tfevents.{time.time_ns()}.{os.uname().nodename}.{os.getpid()}.v2"
        self._open = contextlib.ExitStack()  # a file in a bucket is only a context manager
        self._records = RecordWriter(self._open.enter_context((folder / name).open("wb")))
        self._write(Event(wall_time=time.time(), file_version="brain.Event:2"))

    def write(self, step: int, scores: Mapping[str, float]) -> None:
        from tensorboard.plugins.scalar.summary_v2 import scalar_pb

        self._write_summaries(step, (scalar_pb(name, score) for name, score in scores.items()))

    def write_samples(self, step: int, samples: Sequence[Sample]) -> None:
        from tensorboard.plugins.text.summary_v2 import text_pb

        texts = ((f"samples/{sample.task}/{sample.id}", _as_markdown(sample)) for sample in samples)
        self._write_summaries(step, (text_pb(name, text) for name, text in texts))

    def _write_summaries(self, step: int, summaries: Iterable[Any]) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        event = Event(wall_time=time.time(), step=step)
        for summary in summaries:
            event.summary.MergeFrom(summary)
        self._write(event)

    def _write(self, event: Any) -> None:
        self._records.write(event.SerializeToString())
        self._records.flush()

    def close(self, failed: bool) -> None:
        self._open.close()


def _as_markdown(sample: Sample) -> str:
    """The texts as indented code, in which nothing is markup."""
    return "\n\n".join(
        f"{part}\n\n" + re.sub(r"(?m)^", "    ", re.sub(r"\r\n?", "\n", getattr(sample, part)))
        for part in ("input", "target", "prediction")
    )


def _shortened(names: Sequence[str]) -> str:
    named = ", ".join(names[:MAX_NAMES])
    more = len(names) - MAX_NAMES
    return f"{named} and {more} more" if more > 0 else named


def _last_good(step: int | None) -> str:
    return "there is no checkpoint yet" if step is None else f"the last good checkpoint is {step}"
