"""Several examples in one row: which ones, and the arrays that each architecture reads.

A model keeps the examples of a row apart by segment ids: from 1 in each row, 0 on padding.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from jaxtyping import Float, Int

from tk_instruct.data.tokens import FeatureLengths, Tokens
from tk_instruct.errors import UserError


class HasLengths(Protocol):
    """An example of which the numbers of input and of target tokens are known."""

    @property
    def lengths(self) -> tuple[int, int]: ...


Example = TypeVar("Example", bound=HasLengths)
Rows = Sequence[Sequence[Tokens]]
Arrays = dict[str, Int[np.ndarray, "rows length"] | Float[np.ndarray, "rows length"]]


class Layout(Protocol):
    """How examples lie in rows."""

    @property
    def limits(self) -> tuple[int, ...]:
        """The most tokens of a row, in each of its parts."""

    def sizes(self, lengths: Int[np.ndarray, "examples 2"]) -> Int[np.ndarray, "examples limits"]:
        """What examples with so many input and target tokens take of each limit."""

    def arrays(self, rows: Rows, widths: Sequence[int]) -> Arrays:
        """The rows' arrays by T5X's feature names, each part padded to its width."""


# From a task's feature lengths.
MakeLayout = Callable[[FeatureLengths], Layout]


@dataclass(frozen=True)
class EncoderDecoderRows:
    """Inputs in the encoder, targets in the decoder (SeqIO's EncDecFeatureConverter).

    prompt are the ids that stand before each example's inputs, beyond its length.
    """

    lengths: FeatureLengths
    prompt: Sequence[int] = ()

    @property
    def limits(self) -> tuple[int, ...]:
        return len(self.prompt) + self.lengths.inputs, self.lengths.targets

    def sizes(self, lengths: Int[np.ndarray, "examples 2"]) -> Int[np.ndarray, "examples 2"]:
        return lengths + np.array([len(self.prompt), 0])

    def arrays(self, rows: Rows, widths: Sequence[int]) -> Arrays:
        rows = _prompted(rows, self.prompt)
        input_width, target_width = widths
        inputs = [[example.inputs for example in row] for row in rows]
        targets = [[example.targets for example in row] for row in rows]
        target_ids = _segment_ids(targets, target_width)
        return {
            "encoder_input_tokens": _joined(inputs, input_width),
            "encoder_segment_ids": _segment_ids(inputs, input_width),
            "decoder_target_tokens": _joined(targets, target_width),
            "decoder_segment_ids": target_ids,
            "decoder_loss_weights": (target_ids > 0).astype(np.float32),
        }


@dataclass(frozen=True)
class DecoderRows:
    """Inputs and then targets in the decoder (SeqIO's PrefixLMFeatureConverter).

    decoder_causal_attention is 1 on the positions that may attend to each other both ways: those
    that read the inputs, and the one that reads the last of them and predicts the first target.
    prompt is as in EncoderDecoderRows.
    """

    lengths: FeatureLengths
    prompt: Sequence[int] = ()

    @property
    def limits(self) -> tuple[int, ...]:
        return (len(self.prompt) + self.lengths.inputs + self.lengths.targets,)

    def sizes(self, lengths: Int[np.ndarray, "examples 2"]) -> Int[np.ndarray, "examples 1"]:
        return len(self.prompt) + lengths.sum(axis=1, keepdims=True)

    def arrays(self, rows: Rows, widths: Sequence[int]) -> Arrays:
        rows = _prompted(rows, self.prompt)
        (width,) = widths
        tokens = [[np.concatenate((e.inputs, e.targets)) for e in row] for row in rows]
        weights = [[np.arange(sum(e.lengths)) >= len(e.inputs) for e in row] for row in rows]
        prefixes = [[np.arange(sum(e.lengths)) <= len(e.inputs) for e in row] for row in rows]
        return {
            "decoder_target_tokens": _joined(tokens, width),
            "decoder_segment_ids": _segment_ids(tokens, width),
            "decoder_causal_attention": _joined(prefixes, width),
            "decoder_loss_weights": _joined(weights, width).astype(np.float32),
        }


def _prompted(rows: Rows, prompt: Sequence[int]) -> Rows:
    if not prompt:
        return rows
    ids = np.array(prompt, np.int32)
    return [[e._replace(inputs=np.concatenate((ids, e.inputs))) for e in row] for row in rows]


def _joined(rows: Sequence[Sequence[np.ndarray]], width: int) -> Int[np.ndarray, "rows width"]:
    joined = np.zeros((len(rows), width), np.int32)
    for row, segments in zip(joined, rows, strict=True):
        if segments:
            values = np.concatenate(segments)
            row[: len(values)] = values
    return joined


def _segment_ids(rows: Sequence[Sequence[np.ndarray]], width: int) -> Int[np.ndarray, "rows width"]:
    ids = [
        [np.repeat(np.arange(1, len(row) + 1), [len(segment) for segment in row])] for row in rows
    ]
    return _joined(ids, width)


def row_sizes(
    rows: Sequence[Sequence[HasLengths]], layout: Layout
) -> Int[np.ndarray, "rows limits"]:
    """Tokens in each part of each row, none of which is empty."""
    return np.array([layout.sizes(np.array([e.lengths for e in row])).sum(axis=0) for row in rows])


def widths(
    row_sizes: Int[np.ndarray, "rows limits"], layout: Layout, multiple: int = 32
) -> tuple[int, ...]:
    """The columns that hold the longest row, for each part, to a multiple of columns.

    Targets are short: a decoder's row is mostly padding in a batch of a few rows. The widths are
    few, because each is compiled for; a large batch has a full row, and so always the same.
    """
    longest = np.maximum(row_sizes.max(axis=0), 1)
    return tuple(np.minimum(-(-longest // multiple) * multiple, layout.limits).tolist())


def rows_of(examples: Sequence[Example], layout: Layout) -> list[list[Example]]:
    """Every example in one row; rows in the order of their first, which is the order in a row."""
    sizes = layout.sizes(np.array([example.lengths for example in examples], np.int64))
    return [[examples[k] for k in row] for row in best_fit_decreasing(sizes, layout.limits)]


def best_fit_decreasing(
    sizes: Int[np.ndarray, "items limits"], limits: Sequence[int]
) -> list[list[int]]:
    """Bins of indices of items, none above any of the limits, in order of their first item.

    The largest item first, each goes where it leaves the least room (best-fit decreasing: Johnson
    et al. 1974; here an item's size is its largest share of a limit, room is summed over limits).

    Raises:
        ValueError: an item is above a limit.
    """
    if (sizes > np.asarray(limits)).any():
        raise ValueError(f"sizes up to {sizes.max(axis=0).tolist()} do not fit into {list(limits)}")
    bins: list[list[int]] = []
    room = np.repeat(np.asarray(limits)[:, None], len(sizes), axis=1)
    for item in np.argsort(-(sizes / limits).max(axis=1), kind="stable").tolist():
        # One bin more than there are, so that there is always one that fits.
        left = room[:, : len(bins) + 1] - sizes[item][:, None]
        total_left = left.sum(axis=0)
        total_left[left.min(axis=0) < 0] = sum(limits) + 1
        chosen = int(total_left.argmin())
        if chosen == len(bins):
            bins.append([])
        bins[chosen].append(item)
        room[:, chosen] -= sizes[item]
    return sorted(sorted(items) for items in bins)


def rows_for_tokens(
    batch_tokens: int,
    lengths: FeatureLengths,
    layout: MakeLayout = EncoderDecoderRows,
) -> int:
    """The batch size in rows that a batch size in tokens stands for.

    Counted as T5 and Tk-Instruct count (1,048,576 tokens are 1,024 rows of 1024 inputs): a row is
    its longest part, padding included.

    Raises:
        UserError: less than one row.
    """
    row_tokens = max(layout(lengths).limits)
    if batch_tokens < row_tokens:
        raise UserError(
            f"batch_tokens={batch_tokens} is less than one row of {row_tokens} tokens; "
            f"try {row_tokens} or more"
        )
    return batch_tokens // row_tokens
