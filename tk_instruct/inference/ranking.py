"""Scores the options of examples with a checkpoint's parameters, on all devices."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32

from tk_instruct.inference.batches import MOST_TIMES_BATCH_SIZE, batches, rounded_up
from tk_instruct.inference.checkpoint import Loaded
from tk_instruct.inference.options import ranked
from tk_instruct.journal import Example, Predict, Row

if TYPE_CHECKING:
    from tk_instruct.data.tokens import FeatureLengths

_MOST_LOGITS = 2**27  # of a batch, on one device: 512 MiB
_SHORTEST_OPTION = 8  # tokens: options are padded to this or the next power of two


def ranker(
    loaded: Loaded, lengths: "FeatureLengths", batch_size: int, length_normalized: bool
) -> Predict:
    """A function that scores options with a checkpoint's parameters, on all devices."""
    from tk_instruct import sharding
    from tk_instruct.model.decode import option_scores

    sharding.check_batch_size(batch_size, loaded.mesh)
    score = loaded.compiled(option_scores)
    vocab_size = loaded.model.config.vocab_size

    def rank(examples: Sequence[Example]) -> Iterator[list[Row]]:
        shards = loaded.num_row_shards
        for (num_options, length), group in _by_shape(examples).items():
            most = _MOST_LOGITS // (num_options * length * vocab_size * MOST_TIMES_BATCH_SIZE)
            rows = max(1, min(loaded.enough_rows(len(group), batch_size) // shards, most)) * shards
            for batch, tokens in batches(group, rows, lengths.inputs):
                options = np.zeros((len(tokens), num_options, length), np.int32)
                for i, example in enumerate(batch):
                    for j, ids in enumerate(example["option_tokens"]):
                        options[i, j, : len(ids)] = ids
                segment_ids = (tokens > 0).astype(np.int32)
                scores = score(input_tokens=tokens, segment_ids=segment_ids, options=options)
                yield [
                    _ranked(example, row, length_normalized)
                    for example, row in zip(batch, scores, strict=False)
                ]

    return rank


def _by_shape(examples: Sequence[Example]) -> dict[tuple[int, int], list[Example]]:
    """Groups examples by the number and length that their options are padded to: few shapes."""
    shapes: dict[tuple[int, int], list[Example]] = defaultdict(list)
    for example in examples:
        tokens = example["option_tokens"]
        length = rounded_up(max(map(len, tokens)), steps_per_octave=1)
        count = rounded_up(len(tokens), steps_per_octave=4)
        shapes[count, max(_SHORTEST_OPTION, length)].append(example)
    return shapes


def _ranked(
    example: Example, scores: Float32[np.ndarray, " options"], length_normalized: bool
) -> Row:
    divisors = [len(ids) if length_normalized else 1 for ids in example["option_tokens"]]
    return ranked(example, [float(s) / n for s, n in zip(scores, divisors, strict=False)])
