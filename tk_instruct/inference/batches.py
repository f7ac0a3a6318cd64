"""Batches of examples whose inputs have about the same length."""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Int32

from tk_instruct.journal import Example

_SHORTEST_ROW = 32  # tokens: below, another shape costs more to compile than it saves
MOST_TIMES_BATCH_SIZE = 4


def batches(
    examples: Sequence[Example],
    batch_size: int,
    max_input_tokens: int,
    most_times: int = MOST_TIMES_BATCH_SIZE,
) -> Iterator[tuple[list[Example], Int32[np.ndarray, "rows length"]]]:
    """Yields examples and their inputs as rows of tokens, the longest first.

    Inputs of about the same length share a batch. A batch of shorter inputs has more rows: 1 to
    most_times times batch_size. The last example fills the rows that are left over.
    """
    sizes = [len(example["inputs"]) for example in examples]
    for batch, length in by_length(examples, sizes, batch_size, max_input_tokens, most_times):
        num_rows = -(-len(batch) // batch_size) * batch_size
        tokens = np.zeros((num_rows, length), np.int32)
        filled = itertools.chain(batch, itertools.repeat(batch[-1]))
        for row, example in zip(tokens, filled, strict=False):
            row[: len(example["inputs"])] = example["inputs"]
        yield batch, tokens


def row_length(num_tokens: int, max_input_tokens: int) -> int:
    """Of a row that holds them. Four an octave (…, 256, 320, 384, 448, 512, …), the shortest 32.

    So there are few shapes to compile, and little is padding.
    """
    longest = rounded_up(num_tokens, steps_per_octave=4)
    return min(max_input_tokens, max(_SHORTEST_ROW, longest))


def rounded_up(number: int, steps_per_octave: int) -> int:
    """To a number that has only log2(2 · steps_per_octave) leading binary digits not 0."""
    step = max(1, (1 << (number - 1).bit_length()) // (2 * steps_per_octave))
    return -(-number // step) * step


def by_length(
    examples: Sequence[Example],
    sizes: Sequence[int],
    batch_size: int,
    longest: int,
    most_times: int = MOST_TIMES_BATCH_SIZE,
) -> Iterator[tuple[list[Example], int]]:
    """Yields batches and their row lengths, the longest first, as in `batches`.

    sizes: the number of tokens of each example, at most `longest`.
    """
    pairs = zip(sizes, examples, strict=True)
    left = sorted(pairs, key=lambda pair: (-pair[0], pair[1]["id"]))
    while left:
        length = row_length(left[0][0], longest)
        times = min(most_times, longest // length, -(-len(left) // batch_size))
        yield [example for _, example in left[: times * batch_size]], length
        left = left[times * batch_size :]
