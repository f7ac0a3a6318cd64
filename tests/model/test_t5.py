import importlib.util
from functools import cache, partial
from pathlib import Path
from typing import Any

import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tk_instruct.errors import UserError
from tk_instruct.losses import cross_entropy
from tk_instruct.model.config import T5Config
from tk_instruct.model.layers import distance_buckets, shift_right_within_segments
from tk_instruct.model.t5 import T5
from tk_instruct.step import init_params

GOLDENS = Path(__file__).parents[1] / "goldens"
TINY: dict[str, Any] = {
    "vocab_size": 40,
    "d_model": 16,
    "num_heads": 2,
    "head_dim": 8,
    "num_encoder_layers": 2,
    "num_decoder_layers": 2,
    "d_ff": 24,
}


MODEL = T5(T5Config(**TINY))


@cache
def random_params() -> Any:
    return flax.core.meta.unbox(jax.jit(partial(init_params, MODEL))(jax.random.key(0)))


@partial(jax.jit, static_argnums=0)
def logits_of(
    model: T5, params: Any, inputs: Any, targets: Any, input_ids: Any, target_ids: Any
) -> Any:
    return model.apply(
        {"params": params},
        inputs,
        targets,
        encoder_segment_ids=input_ids,
        decoder_segment_ids=target_ids,
        deterministic=True,
    )


def goldens() -> Any:
    path = GOLDENS / "make_logits.py"
    spec = importlib.util.spec_from_file_location("make_logits", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("family", ["t5_1_0", "t5_1_1", "mt5", "umt5", "byt5"])
def test_logits_are_those_of_hugging_face(family: str) -> None:
    golden = goldens()
    model = T5(T5Config(**{**golden.SIZES, **golden.FAMILIES[family]}))
    boxed = jax.eval_shape(partial(init_params, model), jax.random.key(0))
    shapes = flax.traverse_util.flatten_dict(flax.core.meta.unbox(boxed), sep="/")
    weights = {name: golden.weight(name, old.shape) for name, old in shapes.items()}
    params = flax.traverse_util.unflatten_dict(weights, sep="/")
    inputs, targets = golden.tokens()
    expected = np.load(GOLDENS / "logits.npz")[family]
    assert np.std(expected) > 0.1

    padded = logits_of(model, params, inputs, targets, inputs > 0, targets > 0)
    np.testing.assert_allclose(np.asarray(padded)[targets > 0], expected, rtol=0, atol=1e-4)

    def joined(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Both rows in one, without their padding, and its segments."""
        return rows[rows > 0][None], np.repeat([1, 2], (rows > 0).sum(axis=1))[None]

    (inputs, input_ids), (targets, target_ids) = joined(inputs), joined(targets)
    packed = logits_of(model, params, inputs, targets, input_ids, target_ids)
    np.testing.assert_allclose(np.asarray(packed)[0], expected, rtol=0, atol=1e-4)


def test_parameters_have_the_names_and_shapes_of_t5x() -> None:
    model = T5(T5Config(**{**TINY, "num_encoder_layers": 1, "num_decoder_layers": 1}))
    boxed = jax.eval_shape(partial(init_params, model), jax.random.key(0))
    flat = flax.traverse_util.flatten_dict(boxed, sep="/")
    assert {name: (box.value.shape, box.names) for name, box in flat.items()} == {
        "token_embedder/embedding": ((40, 16), ("vocab", "embed")),
        "encoder/relpos_bias/rel_embedding": ((2, 32), ("heads", "relpos_buckets")),
        **_attention("encoder/layers_0/attention"),
        **_mlp("encoder/layers_0"),
        "encoder/layers_0/pre_attention_layer_norm/scale": ((16,), ("embed",)),
        "encoder/encoder_norm/scale": ((16,), ("embed",)),
        "decoder/relpos_bias/rel_embedding": ((2, 32), ("heads", "relpos_buckets")),
        **_attention("decoder/layers_0/self_attention"),
        **_attention("decoder/layers_0/encoder_decoder_attention"),
        **_mlp("decoder/layers_0"),
        "decoder/layers_0/pre_self_attention_layer_norm/scale": ((16,), ("embed",)),
        "decoder/layers_0/pre_cross_attention_layer_norm/scale": ((16,), ("embed",)),
        "decoder/decoder_norm/scale": ((16,), ("embed",)),
        "decoder/logits_dense/kernel": ((16, 40), ("embed", "vocab")),
    }


def _attention(prefix: str) -> dict[str, Any]:
    return {
        f"{prefix}/query/kernel": ((16, 16), ("embed", "joined_kv")),
        f"{prefix}/key/kernel": ((16, 16), ("embed", "joined_kv")),
        f"{prefix}/value/kernel": ((16, 16), ("embed", "joined_kv")),
        f"{prefix}/out/kernel": ((16, 16), ("joined_kv", "embed")),
    }


def _mlp(prefix: str) -> dict[str, Any]:
    return {
        f"{prefix}/mlp/wi_0/kernel": ((16, 24), ("embed", "mlp")),
        f"{prefix}/mlp/wi_1/kernel": ((16, 24), ("embed", "mlp")),
        f"{prefix}/mlp/wo/kernel": ((24, 16), ("mlp", "embed")),
        f"{prefix}/pre_mlp_layer_norm/scale": ((16,), ("embed",)),
    }


def test_initial_scales_are_those_of_t5x() -> None:
    model = T5(T5Config(**{**TINY, "d_model": 64, "d_ff": 128, "num_heads": 8, "vocab_size": 500}))
    params = flax.core.meta.unbox(jax.jit(partial(init_params, model))(jax.random.key(0)))
    layer = params["encoder"]["layers_0"]
    deviations = {
        "embedding": (params["token_embedder"]["embedding"], 1.0),
        "query": (layer["attention"]["query"]["kernel"], (64 * 8) ** -0.5),
        "key": (layer["attention"]["key"]["kernel"], 64**-0.5),
        "out": (layer["attention"]["out"]["kernel"], 64**-0.5),
        "wo": (layer["mlp"]["wo"]["kernel"], 128**-0.5),
        "rel_embedding": (params["encoder"]["relpos_bias"]["rel_embedding"], (2 / 40) ** 0.5),
        "logits": (params["decoder"]["logits_dense"]["kernel"], 64**-0.5),
    }
    for name, (values, expected) in deviations.items():
        assert np.std(values) == pytest.approx(expected, rel=0.1), name


def test_packed_segments_are_the_rows_apart() -> None:
    params = random_params()
    rng = np.random.default_rng(1)
    examples = [
        (rng.integers(2, 40, n_in, np.int32), rng.integers(2, 40, n_out, np.int32))
        for n_in, n_out in ((9, 4), (5, 7))
    ]

    def row(width: int, which: int, indices: list[int]) -> tuple[Any, Any]:
        parts = [examples[i][which] for i in indices]
        tokens = np.concatenate([*parts, np.zeros(0, np.int32)])
        ids = np.repeat(np.arange(1, len(parts) + 1), [len(part) for part in parts])
        padding = (0, width - len(tokens))
        return np.pad(tokens, padding), np.pad(ids, padding)

    def logits_and_loss(rows: list[list[int]]) -> tuple[np.ndarray, Any]:
        inputs, input_ids = map(jnp.stack, zip(*(row(17, 0, i) for i in rows), strict=True))
        targets, target_ids = map(jnp.stack, zip(*(row(13, 1, i) for i in rows), strict=True))
        shifted = shift_right_within_segments(targets, target_ids)
        logits = logits_of(MODEL, params, inputs, shifted, input_ids, target_ids)
        loss = cross_entropy(logits, targets, target_ids > 0, z_loss=1e-3)
        return np.asarray(logits)[target_ids > 0], loss

    packed, packed_loss = logits_and_loss([[0, 1], []])
    apart, apart_loss = logits_and_loss([[0], [1]])
    np.testing.assert_allclose(packed, apart, rtol=0, atol=1e-5)
    assert packed_loss.weight == apart_loss.weight == 11
    np.testing.assert_allclose(packed_loss.total, apart_loss.total, rtol=1e-6)


def test_a_target_is_predicted_from_earlier_targets_only() -> None:
    params = random_params()
    inputs, targets = np.full((1, 5), 7), np.arange(2, 10)[None]

    def logits(targets: np.ndarray) -> np.ndarray:
        ids = np.ones_like(targets)
        return np.asarray(logits_of(MODEL, params, inputs, targets, np.ones_like(inputs), ids))

    changed = targets.copy()
    changed[0, 4] = 30
    difference = np.abs(logits(targets) - logits(changed)).max(axis=(0, 2))
    assert (difference[:4] == 0).all()
    assert (difference[4:] > 1e-4).all()


@pytest.mark.parametrize(("num_buckets", "max_distance"), [(16, 128), (32, 128), (16, 20)])
def test_buckets_follow_the_paper(num_buckets: int, max_distance: int) -> None:
    """In integers: bucket near + i begins where (d / near)^far ≥ (max_distance / near)^i."""
    near = far = num_buckets // 2
    for distance, bucket in enumerate(distance_buckets(num_buckets, max_distance)):
        expected = distance
        if distance >= near:
            reached = [
                i for i in range(far) if distance**far * near**i >= max_distance**i * near**far
            ]
            expected = near + max(reached)
        assert bucket == expected, distance


def test_dropout_is_a_function_of_its_key_and_spares_whole_features() -> None:
    model = T5(T5Config(**TINY, dropout_rate=0.5))
    params = random_params()
    tokens = jnp.ones((1, 6), jnp.int32)

    @jax.jit
    def encode(seed: int) -> Any:
        rngs = {"dropout": jax.random.key(seed)}
        return model.apply({"params": params}, tokens, tokens, False, method="encode", rngs=rngs)

    assert (encode(0) == encode(0)).all()
    assert (encode(0) != encode(1)).any()
    dropped = np.asarray(encode(0)[0] == 0)
    assert dropped.any()
    assert (dropped == dropped[0]).all()  # one mask for all positions


def test_bfloat16_stays_near_float32() -> None:
    tokens = np.random.default_rng(0).integers(2, 40, (2, 8))
    ids = np.ones_like(tokens)
    logits = {}
    for dtype in ("float32", "bfloat16"):
        model = T5(T5Config(**TINY, dtype=dtype))
        logits[dtype] = logits_of(model, random_params(), tokens, tokens, ids, ids)
        assert logits[dtype].dtype == jnp.float32
    difference = np.abs(logits["float32"] - logits["bfloat16"])
    assert 0 < difference.max() < 0.1 * np.std(logits["float32"])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"d_ff": 0}, "d_ff=0 must be a whole number ≥ 1"),
        ({"dropout_rate": 1.0}, "dropout_rate=1.0 must be in [0, 1); try 0.1"),
        (
            {"remat": "some"},
            "remat='some' must be one of none, full, dots_saveable, "
            "dots_with_no_batch_dims_saveable",
        ),
        (
            {"mlp_activations": ["swish"]},
            "mlp_activations=('swish',) must be of gelu, linear, "
            "relu; try ('gelu', 'linear'), or ('relu',) for T5 1.0",
        ),
        ({"dtype": "float16"}, "dtype='float16' must be one of float32, bfloat16"),
        (
            {"relative_attention_num_buckets": 30},
            "relative_attention_num_buckets=30 must be a positive multiple of 4 "
            "(two directions, near and far); try 32",
        ),
        (
            {"relative_attention_max_distance": 16},
            "relative_attention_max_distance=16 must exceed half of the 32 buckets; try 128",
        ),
    ],
)
def test_impossible_sizes_are_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as error:
        T5Config(**{**TINY, **changed})
    assert str(error.value) == message
