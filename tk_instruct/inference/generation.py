"""Generates with a checkpoint's parameters, on all devices."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import UInt32

from tk_instruct import randomness
from tk_instruct.errors import UserError
from tk_instruct.inference.batches import MOST_TIMES_BATCH_SIZE, batches
from tk_instruct.inference.checkpoint import Loaded
from tk_instruct.inference.decoding import BeamSearch, Decoding, Greedy, Sampling
from tk_instruct.journal import Example, Predict, Row, row_of

if TYPE_CHECKING:
    from tk_instruct.data.tokens import FeatureLengths
    from tk_instruct.model.language_model import LanguageModel


def decoder(
    loaded: Loaded, decoding: Decoding, lengths: "FeatureLengths", batch_size: int
) -> Predict:
    """A function that predicts with a checkpoint's parameters, on all devices."""
    from tk_instruct import sharding
    from tk_instruct.data.vocabulary import vocabulary

    sharding.check_batch_size(batch_size, loaded.mesh)
    decoded = loaded.compiled(partial(decode, decoding, lengths.targets))
    # A batch of shorter inputs has more rows, but beams take memory for each row.
    num_beams = decoding.num_beams if isinstance(decoding, BeamSearch) else 1
    vocab_size = loaded.model.config.vocab_size
    if num_beams > vocab_size // 2:  # twice as many continuations of the first are compared
        raise UserError(
            f"--num_beams={num_beams} must be at most {vocab_size // 2}, half of the model's "
            "vocabulary; try 4"
        )
    most_times = max(1, MOST_TIMES_BATCH_SIZE // num_beams)
    text_of = vocabulary().decode

    def predict(examples: Sequence[Example]) -> Iterator[list[Row]]:
        # No row depends on the others, so the order and the number of rows only change the speed.
        rows = loaded.enough_rows(len(examples), batch_size)
        for batch, tokens in batches(examples, rows, lengths.inputs, most_times):
            arrays = {"input_tokens": tokens, "segment_ids": (tokens > 0).astype(np.int32)}
            if isinstance(decoding, Sampling):
                keys = [randomness.draw(decoding.seed, "sample", e["id"]) for e in batch]
                arrays["key_data"] = key_data(keys, len(tokens))
            outputs = decoded(**arrays)
            yield [
                row_of(example, text_of(ids.tolist()))
                for example, ids in zip(batch, outputs, strict=False)
            ]

    return predict


def decode(
    decoding: Decoding, max_target_tokens: int, model: "LanguageModel", params: Any, **arrays: Any
) -> Any:
    """Target ids of a batch: the function of (params, arrays) that is compiled."""
    import jax

    from tk_instruct.model.decode import beam_search, greedy, sample

    match decoding:
        case Greedy():
            return greedy(model, params, **arrays, max_target_tokens=max_target_tokens)
        case BeamSearch(num_beams, length_penalty):
            targets, _ = beam_search(
                model,
                params,
                **arrays,
                num_beams=num_beams,
                length_penalty=length_penalty,
                max_target_tokens=max_target_tokens,
            )
            return targets
        case Sampling(_, temperature, top_k, top_p):
            keys = jax.random.wrap_key_data(arrays.pop("key_data"), impl="threefry2x32")
            return sample(
                model,
                params,
                **arrays,
                keys=keys,
                temperature=temperature,
                top_k=top_k,
                top_p=top_p,
                max_target_tokens=max_target_tokens,
            )


def key_data(keys: Sequence[int], num_rows: int) -> UInt32[np.ndarray, "num_rows 2"]:
    """The 64 bits of each row's key in two halves; zeros for rows that only fill the batch."""
    halves = [(key >> 32, key & 0xFFFFFFFF) for key in keys]
    return np.array(halves + [(0, 0)] * (num_rows - len(keys)), np.uint32)
