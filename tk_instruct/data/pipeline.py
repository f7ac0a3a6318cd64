"""Token caches → batches: shuffled, mixed, packed, read ahead, with a cursor of two numbers.

Which examples are in which row follows from their lengths. So of several processes each knows the
whole batch and reads only its own rows, and the batches do not depend on how many there are.
"""

import itertools
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np

from tk_instruct.data import cache, registry
from tk_instruct.data.cache import TokenFile, Unread
from tk_instruct.data.packing import (
    Arrays,
    EncoderDecoderRows,
    Example,
    Layout,
    MakeLayout,
    Rows,
    row_sizes,
    rows_of,
    widths,
)
from tk_instruct.data.tokens import FeatureLengths, Tokens
from tk_instruct.errors import UserError
from tk_instruct.randomness import draw

# So many examples are packed together: with more, less is padding, and each takes longer.
WINDOW = 1024
# Batches made while the model is busy with the one before.
READ_AHEAD = 2


class Batch(NamedTuple):
    """A batch, or a process's rows of it.

    Attributes:
        arrays: the layout's, of these rows.
        ids: of the examples in each of these rows.
        num_tokens: input and target tokens of the whole batch, virtual ones counted, padding not.
    """

    arrays: Arrays
    ids: list[tuple[str, ...]]
    num_tokens: int


def train_batches(
    mixture: str,
    lengths: FeatureLengths,
    batch_size: int,
    seed: int,
    layout: MakeLayout = EncoderDecoderRows,
    local_rows: Sequence[int] | None = None,
    num_examples: int | None = None,
) -> "TrainBatches":
    """Packed batches of the train split: reshuffled every epoch, tasks at their rates, endless.

    Args:
        local_rows: those that are read of each batch, by default all.
        num_examples: so many of each task's, drawn once by the seed; by default all.

    Raises:
        UserError: a task has fewer.
    """
    tasks, rates = registry.tasks_of(mixture), registry.rates_of(mixture)
    streams = [
        Stream(task.name, cache.open_tokens(task, "train", lengths), rate, seed, num_examples)
        for task, rate in zip(tasks, rates, strict=True)
    ]
    return TrainBatches(streams, layout(lengths), batch_size, seed, local_rows)


class Stream:
    """A task's share of a mixture: its examples without end, each epoch in an order of its own."""

    def __init__(
        self, task: str, file: TokenFile, rate: float, seed: int, num_examples: int | None = None
    ) -> None:
        examples = np.arange(len(file), dtype=np.int32)
        if num_examples is not None:
            if num_examples > len(file):
                raise UserError(
                    f"NUM_TRAIN_EXAMPLES={num_examples} is above the {len(file)} that {task} has "
                    "to train on; give at most so many"
                )
            rng = np.random.default_rng(draw(seed, "few examples", task))
            examples = rng.permutation(examples)[:num_examples]

        @lru_cache(maxsize=1)
        def order(epoch: int) -> np.ndarray:
            rng = np.random.default_rng(draw(seed, "epoch", task, str(epoch)))
            return examples[rng.permutation(len(examples))]

        self._file = file
        self._size = len(examples)
        self._order = order
        self._rate = rate
        # Tasks with less than one example a window do not all have it in the same one.
        self._phase = draw(seed, "phase", task) / 2**64

    def window(self, number: int) -> list[Unread]:
        """The task's examples among the mixture's number-th WINDOW, counted from 0."""
        start, stop = (int(self._rate * WINDOW * n + self._phase) for n in (number, number + 1))
        size = self._size
        return self._file.unread(
            [int(self._order(k // size)[k % size]) for k in range(start, stop)]
        )


def _shuffled_rows(
    streams: Sequence[Stream], layout: Layout, seed: int, window: int
) -> list[list[Unread]]:
    rows = rows_of([example for stream in streams for example in stream.window(window)], layout)
    np.random.default_rng(draw(seed, "rows", str(window))).shuffle(rows)
    return rows


class TrainBatches(Iterator[Batch]):
    """Batches without end of the streams, made a little ahead by one thread.

    Every window is packed by itself and its rows are shuffled, so what comes next is a function
    of the seed and of the cursor: a window and a row in it.
    """

    def __init__(
        self,
        streams: Sequence[Stream],
        layout: Layout,
        batch_size: int,
        seed: int,
        local_rows: Sequence[int] | None = None,
    ) -> None:
        self._rows = lru_cache(maxsize=1)(partial(_shuffled_rows, streams, layout, seed))
        self._layout = layout
        self._batch_size = batch_size
        self._local_rows = local_rows
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="train_batches")
        self._ahead: deque[Future[tuple[Batch, dict[str, int]]]] = deque()
        self.set_state({"window": 0, "row": 0})

    def get_state(self) -> dict[str, int]:
        """The cursor of the batch that next() gives next."""
        return dict(self._state)

    def set_state(self, state: dict[str, int]) -> None:
        """Continues where get_state() was asked, at the cost of packing one window."""
        for future in self._ahead:
            future.cancel()
        wait(self._ahead)
        self._ahead.clear()
        self._state = self._read_state = dict(state)

    def __next__(self) -> Batch:
        while len(self._ahead) <= READ_AHEAD:
            self._ahead.append(self._reader.submit(self._read))
        batch, self._state = self._ahead[0].result()
        self._ahead.popleft()  # not before: an interrupted wait loses nothing
        return batch

    def _read(self) -> tuple[Batch, dict[str, int]]:
        """The next batch and the cursor after it; runs in the thread."""
        window, row = self._read_state["window"], self._read_state["row"]
        rows: list[list[Unread]] = []
        while True:
            taken = self._rows(window)[row : row + self._batch_size - len(rows)]
            rows += taken
            if len(rows) == self._batch_size:
                break
            window, row = window + 1, 0
        self._read_state = {"window": window, "row": row + len(taken)}
        batch = _read(rows, self._layout, self._batch_size, self._local_rows)
        return batch, self._read_state


def eval_batches(
    mixture: str,
    split: str,
    lengths: FeatureLengths,
    batch_size: int,
    layout: MakeLayout = EncoderDecoderRows,
    local_rows: Sequence[int] | None = None,
) -> Iterator[Batch]:
    """The split once, packed, in order; the last batch is filled up with padding.

    local_rows are those that are read of each batch, by default all.
    """
    files = [cache.open_tokens(task, split, lengths) for task in registry.tasks_of(mixture)]
    examples = (
        example
        for file in files
        for start in range(0, len(file), WINDOW)
        for example in file.unread(range(start, min(start + WINDOW, len(file))))
    )
    rows = packed_rows(examples, layout(lengths))
    while some := list(itertools.islice(rows, batch_size)):
        yield _read(some, layout(lengths), batch_size, local_rows)


def packed_rows(examples: Iterable[Example], layout: Layout) -> Iterator[list[Example]]:
    """The examples of each row, WINDOW of them packed at a time."""
    remaining = iter(examples)
    while window := list(itertools.islice(remaining, WINDOW)):
        yield from rows_of(window, layout)


def pack(
    examples: Iterable[Tokens],
    lengths: FeatureLengths,
    layout: MakeLayout = EncoderDecoderRows,
) -> Batch:
    """All the rows of a few examples."""
    made = layout(lengths)
    rows = list(packed_rows(examples, made))
    return _batch(rows, made, made.limits, int(row_sizes(rows, made).sum()))


def _read(
    rows: Sequence[Sequence[Unread]],
    layout: Layout,
    batch_size: int,
    local_rows: Sequence[int] | None,
) -> Batch:
    """The local rows of a batch, whose last rows are padding where there are too few."""
    local = range(batch_size) if local_rows is None else local_rows
    read = [[example.read() for example in rows[k]] if k < len(rows) else [] for k in local]
    # Of all rows, for all processes make arrays of the same widths.
    sizes = row_sizes(rows, layout)
    return _batch(read, layout, widths(sizes, layout), int(sizes.sum()))


def _batch(rows: Rows, layout: Layout, columns: Sequence[int], num_tokens: int) -> Batch:
    ids = [tuple(example.id for example in row) for row in rows]
    return Batch(layout.arrays(rows, columns), ids, num_tokens)


def padding_rate(batch: Batch, part: str) -> float:
    """The share of positions of a part (encoder or decoder) that hold no token."""
    return float(np.mean(batch.arrays[f"{part}_segment_ids"] == 0))
