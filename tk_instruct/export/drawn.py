"""The examples that training on a mixture draws first."""

import itertools
import tempfile
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from jaxtyping import Int32, Int64

from tk_instruct import randomness
from tk_instruct.data import pipeline, registry
from tk_instruct.data.task import AnyTask, check_split
from tk_instruct.export.rows import Encoder, Form, examples_of, write
from tk_instruct.files import PathLike
from tk_instruct.progress import Progress


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


def export(
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
    encode = Encoder(form)
    drawn = _Drawn(tasks, _first_draws(names, rates, seed, num_draws), seed, num_train_examples)
    write(drawn.lines(encode), encode.types, as_parquet, output)
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

    def lines(self, encode: Encoder) -> Iterator[str]:
        with tempfile.TemporaryFile() as kept:
            for start in self._keep(kept, encode):
                kept.seek(start)
                yield kept.readline().decode()

    def _keep(self, kept: BinaryIO, encode: Encoder) -> Int64[np.ndarray, "draws"]:
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

    def _lines_of(self, task: AnyTask, encode: Encoder, progress: Progress) -> Iterator[bytes]:
        for example in examples_of(task, "train"):
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
