"""Packs several examples into one row, and makes the arrays that each architecture reads.

Segment ids keep the examples of a row apart. They count from 1 in each row and are 0 on padding.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from jaxtyping import Float, Int

from tk_instruct.data.tokens import FeatureLengths, Tokens
from tk_instruct.errors import UserError


class HasLengths(Protocol):
    """An example whose numbers of input and target tokens are known."""

    @property
    def lengths(self) -> tuple[int, int]: ...


Example = TypeVar("Example", bound=HasLengths)
Rows = Sequence[Sequence[Tokens]]
Arrays = dict[str, Int[np.ndarray, "rows length"] | Float[np.ndarray, "rows length"]]


class Layout(Protocol):
    """How examples are placed in rows."""

    @property
    def limits(self) -> tuple[int, ...]:
        """The maximum number of tokens of a row, for each of its parts."""

    def sizes(self, lengths: Int[np.ndarray, "examples 2"]) -> Int[np.ndarray, "examples limits"]:
        """The tokens that each example takes of each limit, from its input and target lengths."""

    def arrays(self, rows: Rows, widths: Sequence[int]) -> Arrays:
        """T5X's feature name → an array of the rows. Each part is padded to its width."""


# A task's feature lengths → the layout of its rows.
MakeLayout = Callable[[FeatureLengths], Layout]


@dataclass(frozen=True)
class EncoderDecoderRows:
    """Inputs in the encoder, targets in the decoder (SeqIO's EncDecFeatureConverter).

    prompt is a list of ids that stand before each example's inputs. They do not count as inputs.
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
    """Inputs, then targets in the decoder (SeqIO's PrefixLMFeatureConverter).

    decoder_causal_attention is 1 on the positions that attend to each other in both directions:
    those that read the inputs, and the next one, which reads the last input token and predicts the
    first target token. prompt is as in EncoderDecoderRows.
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
    """The number of tokens in each part of each row. No row may be empty."""
    return np.array([layout.sizes(np.array([e.lengths for e in row])).sum(axis=0) for row in rows])


def widths(
    row_sizes: Int[np.ndarray, "rows limits"], layout: Layout, multiple: int = 32
) -> tuple[int, ...]:
    """The number of columns of each part: the longest row, rounded up to a multiple.

    Targets are short, so a decoder's row is mostly padding in a batch of a few rows. Every width
    costs a compilation, so there are few. A large batch has a full row and always the same width.
    """
    longest = np.maximum(row_sizes.max(axis=0), 1)
    return tuple(np.minimum(-(-longest // multiple) * multiple, layout.limits).tolist())


def rows_of(examples: Sequence[Example], layout: Layout) -> list[list[Example]]:
    """The rows that hold all examples, each example in one row.

    Examples keep their order inside a row. Rows are in the order of their first examples.
    """
    sizes = layout.sizes(np.array([example.lengths for example in examples], np.int64))
    return [[examples[k] for k in row] for row in best_fit_decreasing(sizes, layout.limits)]


def best_fit_decreasing(
    sizes: Int[np.ndarray, "items limits"], limits: Sequence[int]
) -> list[list[int]]:
    """Bins of item indices, sorted by their first item. No bin is above a limit.

    Places the largest item first, each in the bin where it leaves the least room (best-fit
    decreasing, Johnson et al. 1974). With several limits, an item's size is its largest share of a
    limit, and room is summed over the limits.

    Raises:
        ValueError: an item is above a limit.
    """
    if (sizes > np.asarray(limits)).any():
        raise ValueError(f"sizes up to {sizes.max(axis=0).tolist()} do not fit into {list(limits)}")
    bins: list[list[int]] = []
    room = np.repeat(np.asarray(limits)[:, None], len(sizes), axis=1)
    for item in np.argsort(-(sizes / limits).max(axis=1), kind="stable").tolist():
        # An empty bin is among the choices, so one always fits.
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
    """The batch size in rows for a batch size in tokens.

    Counts as T5 and Tk-Instruct do (1,048,576 tokens are 1,024 rows of 1024 inputs): a row counts
    as its longest part, padding included.

    Raises:
        UserError: batch_tokens is less than one row.
    """
    row_tokens = max(layout(lengths).limits)
    if batch_tokens < row_tokens:
        raise UserError(
            f"batch_tokens={batch_tokens} is less than one row of {row_tokens} tokens; "
            f"try {row_tokens} or more"
        )
    return batch_tokens // row_tokens
