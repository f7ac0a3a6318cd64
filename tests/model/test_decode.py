from functools import partial
from typing import Any

import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tk_instruct.model.config import T5Config
from tk_instruct.model.decode import greedy
from tk_instruct.model.t5 import T5
from tk_instruct.step import init_params

MODEL = T5(
    T5Config(
        vocab_size=24,
        d_model=16,
        num_heads=2,
        head_dim=8,
        num_encoder_layers=1,
        num_decoder_layers=2,
        d_ff=24,
    )
)
MAX_TARGET_TOKENS = 12


@pytest.fixture(scope="module")
def params() -> dict:
    params = flax.core.meta.unbox(jax.jit(partial(init_params, MODEL))(jax.random.key(3)))
    # Sharper position biases and logits: answers that vary, with no near ties.
    params["decoder"]["relpos_bias"]["rel_embedding"] *= 5
    params["decoder"]["logits_dense"]["kernel"] *= 5
    return params


@pytest.fixture(scope="module")
def inputs() -> Any:
    rng = np.random.default_rng(0)
    lengths = np.array([9, 3, 6, 1, 9])
    tokens = rng.integers(2, 24, (5, 9), np.int32)
    return np.where(np.arange(9) < lengths[:, None], tokens, 0)


jitted_greedy = jax.jit(partial(greedy, MODEL, max_target_tokens=MAX_TARGET_TOKENS))


def decode(params: dict, inputs: Any, eos_id: int) -> np.ndarray:
    return np.asarray(jitted_greedy(params, inputs, inputs > 0, eos_id=eos_id))


def teacher_forced(params: dict, inputs: Any, outputs: np.ndarray) -> np.ndarray:
    logits = jax.jit(MODEL.apply, static_argnames="deterministic")(
        {"params": params},
        inputs,
        np.pad(outputs[:, :-1], ((0, 0), (1, 0))),
        encoder_segment_ids=(inputs > 0).astype(np.int32),
        decoder_segment_ids=np.ones_like(outputs),
        deterministic=True,
    )
    return np.asarray(jnp.argmax(logits, axis=-1))


def test_tokens_are_the_argmax_of_teacher_forced_logits(params: dict, inputs: Any) -> None:
    outputs = decode(params, inputs, eos_id=-1)
    assert len({tuple(row) for row in outputs}) == len(outputs)
    np.testing.assert_array_equal(outputs, teacher_forced(params, inputs, outputs))


def test_rows_end_with_eos_and_zeros(params: dict, inputs: Any) -> None:
    free = decode(params, inputs, eos_id=-1)
    eos_id = int(free[0, 4])
    outputs = decode(params, inputs, eos_id)
    expected = free.copy()
    for row in expected:
        ends = np.flatnonzero(row == eos_id)
        if len(ends):
            row[ends[0] + 1 :] = 0
    np.testing.assert_array_equal(outputs, expected)
    assert (outputs[0] == 0).any()
    assert (outputs == free).all(axis=1).any()  # another row goes on to the end


def test_the_other_rows_do_not_matter(params: dict, inputs: Any) -> None:
    eos_id = int(decode(params, inputs, eos_id=-1)[0, 4])
    together = decode(params, inputs, eos_id)
    for i, row in enumerate(inputs):
        np.testing.assert_array_equal(decode(params, row[None], eos_id)[0], together[i])


def test_padding_does_not_matter(params: dict, inputs: Any) -> None:
    wider = np.pad(inputs, ((0, 0), (0, 4)))
    np.testing.assert_array_equal(decode(params, inputs, -1), decode(params, wider, -1))


def test_stops_when_every_row_has_ended(params: dict, inputs: Any) -> None:
    first = int(decode(params, inputs[:1], eos_id=-1)[0, 0])
    steps = []
    original = T5.decode_step

    def counted(self: T5, tokens: jax.Array, position: jax.Array, *rest: Any) -> Any:
        jax.debug.callback(lambda step: steps.append(int(step)), position)
        return original(self, tokens, position, *rest)

    ids = (inputs[:1] > 0).astype(np.int32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(T5, "decode_step", counted)
        outputs = greedy(
            MODEL, params, inputs[:1], ids, max_target_tokens=MAX_TARGET_TOKENS, eos_id=first
        )
        jax.effects_barrier()
    assert steps == [0]
    assert outputs[0].tolist() == [first] + [0] * (MAX_TARGET_TOKENS - 1)


def test_starts_from_the_given_token(params: dict, inputs: Any) -> None:
    ids = (inputs > 0).astype(np.int32)
    one = jax.jit(partial(greedy, MODEL, max_target_tokens=1, eos_id=-1))
    from_7, from_0 = (np.asarray(one(params, inputs, ids, start_id=start)) for start in (7, 0))
    logits = jax.jit(MODEL.apply, static_argnames="deterministic")(
        {"params": params},
        inputs,
        np.full((5, 1), 7),
        encoder_segment_ids=ids,
        decoder_segment_ids=np.ones((5, 1), np.int32),
        deterministic=True,
    )
    np.testing.assert_array_equal(from_7, jnp.argmax(logits, axis=-1))
    assert (from_7 != from_0).any()
