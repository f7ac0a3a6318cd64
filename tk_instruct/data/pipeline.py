"""Makes batches from token caches: shuffles, mixes, packs, reads ahead, keeps a cursor.

Packing needs only the examples' lengths. So each process knows the whole batch and reads only its
own rows, and the batches do not depend on the number of processes.
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
from tk_instruct.errors import EmptySplitError, MissingDataError, UserError
from tk_instruct.randomness import draw

# The number of examples that are packed together. More give less padding, but packing is slower.
WINDOW = 1024
# The number of batches that are made in advance, while the model trains.
READ_AHEAD = 2


class Batch(NamedTuple):
    """A batch, or a process's rows of it.

    Attributes:
        arrays: the layout's arrays of these rows.
        ids: the ids of the examples in each of these rows.
        num_tokens: the input and target tokens of the whole batch. Counts the layout's prompt, but
            not padding.
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
    """Packed batches of the train split, without end. Tasks are drawn at their mixing rates.

    Every epoch of a task has its own order.

    Args:
        lengths: the maximum lengths, in tokens.
        batch_size: in rows.
        local_rows: the rows of a batch that this process reads, by default all.
        num_examples: the number of examples of each task, drawn once by the seed; by default all.

    Raises:
        UserError: a task has fewer than num_examples.
    """
    tasks, rates = registry.tasks_of(mixture), registry.rates_of(mixture)
    streams = [
        Stream(task.name, cache.open_tokens(task, "train", lengths), rate, seed, num_examples)
        for task, rate in zip(tasks, rates, strict=True)
    ]
    return TrainBatches(streams, layout(lengths), batch_size, seed, local_rows)


class Draws:
    """The draws of a mixture that are of one task. They are counted from 0 and never end."""

    def __init__(self, task: str, rate: float, seed: int) -> None:
        self._rate = rate
        # Tasks with less than one example per window start at different phases, so that their
        # examples do not all come in the same window.
        self._phase = draw(seed, "phase", task) / 2**64

    def window(self, number: int) -> range:
        """The task's draws in the mixture's window of that number, counted from 0."""
        start, stop = (int(self._rate * WINDOW * n + self._phase) for n in (number, number + 1))
        return range(start, stop)


class Order:
    """Which example of a task each of its draws is. Every epoch has its own order.

    Attributes:
        epoch_size: the number of different examples that are drawn.

    Raises:
        UserError: the task has fewer than num_examples.
        EmptySplitError: it has none.
    """

    def __init__(self, task: str, size: int, seed: int, num_examples: int | None = None) -> None:
        if not size:
            raise EmptySplitError(
                f"{task} has no train examples, and what is empty is never passed over; prepare "
                "its data again, or take a mixture without it"
            )
        examples = np.arange(size, dtype=np.int32)
        if num_examples is not None:
            if num_examples > size:
                raise UserError(
                    f"NUM_TRAIN_EXAMPLES={num_examples} is above the {size} that {task} has "
                    "to train on; give at most so many"
                )
            rng = np.random.default_rng(draw(seed, "few examples", task))
            examples = rng.permutation(examples)[:num_examples]

        @lru_cache(maxsize=1)
        def order(epoch: int) -> np.ndarray:
            rng = np.random.default_rng(draw(seed, "epoch", task, str(epoch)))
            return examples[rng.permutation(len(examples))]

        self.epoch_size = len(examples)
        self._order = order

    def positions(self, draws: Iterable[int]) -> list[int]:
        """The positions of the drawn examples in the task's data."""
        size = self.epoch_size
        return [int(self._order(k // size)[k % size]) for k in draws]


class Stream:
    """The examples of a mixture's task, without end. Every epoch has its own order."""

    def __init__(
        self, task: str, file: TokenFile, rate: float, seed: int, num_examples: int | None = None
    ) -> None:
        self._file = file
        self._draws = Draws(task, rate, seed)
        self._order = Order(task, len(file), seed, num_examples)

    def window(self, number: int) -> list[Unread]:
        """The task's examples in the mixture's window of that number, counted from 0."""
        return self._file.unread(self._order.positions(self._draws.window(number)))


def _shuffled_rows(
    streams: Sequence[Stream], layout: Layout, seed: int, window: int
) -> list[list[Unread]]:
    rows = rows_of([example for stream in streams for example in stream.window(window)], layout)
    np.random.default_rng(draw(seed, "rows", str(window))).shuffle(rows)
    return rows


class TrainBatches(Iterator[Batch]):
    """Batches of the streams, without end. One thread makes READ_AHEAD batches in advance.

    Each window is packed alone and its rows are shuffled. So the next batch is a function of the
    seed and the cursor, which is the number of a window and of a row in it.
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
        """The cursor of the next batch."""
        return dict(self._state)

    def set_state(self, state: dict[str, int]) -> None:
        """Continues at a cursor that get_state() gave. Has to pack one window."""
        for future in self._ahead:
            future.cancel()
        wait(self._ahead)
        self._ahead.clear()
        self._state = self._read_state = dict(state)

    def __next__(self) -> Batch:
        while len(self._ahead) <= READ_AHEAD:
            self._ahead.append(self._reader.submit(self._read))
        batch, self._state = self._ahead[0].result()
        self._ahead.popleft()  # after the result, so that an interrupted wait loses no batch
        return batch

    def _read(self) -> tuple[Batch, dict[str, int]]:
        """The next batch and the cursor after it. Runs in the thread."""
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


def open_split(
    mixture: str, split: str, lengths: FeatureLengths
) -> tuple[list[TokenFile], dict[str, UserError]]:
    """The tokens of all tasks of a mixture that have examples in a split; task → why it has none.

    Raises UserError if no task has any.
    """
    files, without = [], dict[str, UserError]()
    for task in registry.tasks_of(mixture):
        try:
            files.append(cache.open_tokens(task, split, lengths))
        except (MissingDataError, EmptySplitError) as error:
            without[task.name] = error
    if not files:
        raise next(iter(without.values()))
    return files, without


def eval_batches(
    mixture: str,
    split: str,
    lengths: FeatureLengths,
    batch_size: int,
    layout: MakeLayout = EncoderDecoderRows,
    local_rows: Sequence[int] | None = None,
) -> Iterator[Batch]:
    """Packed batches of a split, once and in order. The last batch is filled up with padding.

    Tasks that have no examples in the split are left out. batch_size is in rows. local_rows are
    the rows that this process reads, by default all.
    """
    files, _ = open_split(mixture, split, lengths)
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
    """Packs examples into rows, WINDOW examples at a time. Gives the examples of each row."""
    remaining = iter(examples)
    while window := list(itertools.islice(remaining, WINDOW)):
        yield from rows_of(window, layout)


def pack(
    examples: Iterable[Tokens],
    lengths: FeatureLengths,
    layout: MakeLayout = EncoderDecoderRows,
) -> Batch:
    """One batch with all rows of a few examples."""
    made = layout(lengths)
    rows = list(packed_rows(examples, made))
    return _batch(rows, made, made.limits, int(row_sizes(rows, made).sum()))


def _read(
    rows: Sequence[Sequence[Unread]],
    layout: Layout,
    batch_size: int,
    local_rows: Sequence[int] | None,
) -> Batch:
    """The local rows of a batch. If rows are too few, the last rows of the batch are padding."""
    local = range(batch_size) if local_rows is None else local_rows
    read = [[example.read() for example in rows[k]] if k < len(rows) else [] for k in local]
    # The sizes of all rows, because all processes must make arrays of the same widths.
    sizes = row_sizes(rows, layout)
    return _batch(read, layout, widths(sizes, layout), int(sizes.sum()))


def _batch(rows: Rows, layout: Layout, columns: Sequence[int], num_tokens: int) -> Batch:
    ids = [tuple(example.id for example in row) for row in rows]
    return Batch(layout.arrays(rows, columns), ids, num_tokens)


def padding_rate(batch: Batch, part: str) -> float:
    """The share (0 to 1) of a part's positions that are padding. A part is encoder or decoder."""
    return float(np.mean(batch.arrays[f"{part}_segment_ids"] == 0))
