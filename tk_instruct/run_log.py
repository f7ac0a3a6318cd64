"""The log of a training run: metrics.jsonl, TensorBoard events and a progress line."""

import contextlib
import json
import logging
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from tk_instruct import distributed, schema
from tk_instruct.errors import UserError
from tk_instruct.files import Path, PathLike, read_bytes, write_atomically
from tk_instruct.progress import Progress

if TYPE_CHECKING:
    from tk_instruct.data.pipeline import Batch

log = logging.getLogger("tk_instruct")

MAX_NAMES = 8
DAMAGED = "metrics.jsonl.damaged"


class _Row(msgspec.Struct, frozen=True):
    """The field that every line of metrics.jsonl has; the other fields are not read."""

    step: int


class _Step(NamedTuple):
    step: int
    stats: Mapping[str, Any]
    ids: tuple[str, ...]
    num_tokens: int


class RunLog:
    """Collects the metrics of each step, and fetches and writes them every log_every_steps.

    A continued run first drops the lines after the step that it continues from, so metrics.jsonl
    has each step once. Only the first of several processes writes.

    Args:
        first, last: the steps at which the run starts and ends.
        last_saved: returns the step of the last checkpoint, for messages.
    """

    def __init__(
        self,
        model_dir: PathLike,
        first: int,
        last: int,
        log_every_steps: int,
        last_saved: Callable[[], int | None],
    ) -> None:
        self.path = Path(model_dir) / "metrics.jsonl"
        self.last, self.log_every_steps, self.last_saved = last, log_every_steps, last_saved
        self.pending: list[_Step] = []
        self.validation = ""
        self.since = time.monotonic()
        self.writes = distributed.is_first_process()
        if self.writes:
            self.lines = _lines_until(self.path, first)
            write_atomically(self.path, self.lines)
            self.events = _Events(self.path.parent)
            self.progress = Progress("step", last, first)

    def __enter__(self) -> "RunLog":
        if self.writes:
            self.progress.__enter__()
        return self

    def step(self, step: int, stats: Mapping[str, Any], batch: "Batch") -> None:
        """Takes the metrics of a step; raises UserError as check_losses."""
        ids = tuple(i for row in batch.ids for i in row)
        self.pending.append(_Step(step, stats, ids, batch.num_tokens))
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
        for step, stats, ids, _ in self.pending:
            for name in ("loss", "gradient_norm"):
                if not math.isfinite(stats[name].total):
                    raise UserError(
                        f"{name}={float(stats[name].total)} at step {step} must be a finite "
                        f"number; the step's examples are {_shortened(ids)}; "
                        f"{_last_good(self.last_saved())}. Look at the examples with tk-instruct "
                        "tasks show, lower LEARNING_RATE or set MAX_GRADIENT_NORM, and start anew "
                        "or go on from there"
                    )

    def _write_pending(self, step: int) -> str:
        self.check_losses()
        first, *rest = (taken.stats for taken in self.pending)
        totals = {name: sum((s[name] for s in rest), first[name]) for name in first}
        scores = {name: float(mean.value()) for name, mean in totals.items()}
        now = time.monotonic()
        num_tokens = sum(taken.num_tokens for taken in self.pending)
        scores["tokens_per_second"] = num_tokens / (now - self.since)
        scores["steps_per_second"] = len(self.pending) / (now - self.since)
        self.since, self.pending = now, []
        self._write(step, scores)
        note = f"loss {scores['loss']:.3f}{self.validation}"
        return f"{note}, {scores['tokens_per_second']:,.0f} tokens/s"

    def scores(self, step: int, scores: Mapping[str, float]) -> None:
        """Writes the scores of a validation; its time does not count as training time."""
        self._write(step, scores)
        self.validation = f", validation loss {scores['validation_loss']:.3f}"
        self.since = time.monotonic()

    def _write(self, step: int, scores: Mapping[str, float]) -> None:
        if not self.writes:
            return
        self.lines.append(_line({"step": step, **scores}))
        write_atomically(self.path, self.lines)  # all lines: objects in a bucket cannot grow
        self.events.write(step, scores)

    def __exit__(self, *error: Any) -> None:
        if self.writes:
            self.progress.__exit__(*error)
            self.events.close()


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
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.plugins.scalar.summary_v2 import scalar_pb

        event = Event(wall_time=time.time(), step=step)
        for name, score in scores.items():
            event.summary.MergeFrom(scalar_pb(name, score))
        self._write(event)

    def _write(self, event: Any) -> None:
        self._records.write(event.SerializeToString())
        self._records.flush()

    def close(self) -> None:
        self._open.close()


def _lines_until(path: Path, step: int) -> list[str]:
    """The lines up to a step; damaged lines are moved to metrics.jsonl.damaged."""
    kept: list[str] = []
    damaged: dict[int, bytes] = {}
    content = read_bytes(path) if path.exists() else b""
    for number, line in enumerate(content.splitlines(), start=1):
        try:
            row = schema.parse(line, _Row, f"{path}:{number}") if line.strip() else None
        except UserError:
            damaged[number] = line
        else:
            if row and row.step <= step:
                kept.append(line.decode("utf-8-sig") + "\n")
    if damaged:
        aside = path.parent / DAMAGED
        before = read_bytes(aside) if aside.exists() else b""
        write_atomically(aside, before + b"\n".join([*damaged.values(), b""]))
        log.warning(
            "%s: what is no row is left out and put into %s: %d lines, number %s",
            path,
            DAMAGED,
            len(damaged),
            _shortened([str(number) for number in damaged]),
        )
    return kept


def _line(row: Mapping[str, Any]) -> str:
    return json.dumps(row) + "\n"


def _shortened(names: Sequence[str]) -> str:
    named = ", ".join(names[:MAX_NAMES])
    more = len(names) - MAX_NAMES
    return f"{named} and {more} more" if more > 0 else named


def _last_good(step: int | None) -> str:
    return "there is no checkpoint yet" if step is None else f"the last good checkpoint is {step}"
