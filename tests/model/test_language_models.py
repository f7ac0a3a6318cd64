"""What every architecture promises: decoding equals training, stacked layers equal single ones."""

from dataclasses import replace
from functools import partial
from typing import Any

import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tk_instruct import model
from tk_instruct.errors import UserError
from tk_instruct.model.config import (
    REMATERIALISATIONS,
    DecoderConfig,
    T5Config,
    config_from_fields,
)
from tk_instruct.model.language_model import repeat_rows
from tk_instruct.model.layers import distance_buckets
from tk_instruct.model.stacking import stack_layers, unstack_layers
from tk_instruct.step import init_params

SIZES: dict[str, Any] = {
    "vocab_size": 40,
    "d_model": 16,
    "num_heads": 2,
    "head_dim": 8,
    "d_ff": 24,
    "relative_attention_num_buckets": 8,
    "relative_attention_max_distance": 10,
}
T5_SIZES = {**SIZES, "num_encoder_layers": 2, "num_decoder_layers": 3}
CONFIGS: dict[str, T5Config | DecoderConfig] = {
    "t5": T5Config(**T5_SIZES),
    "t5_1_0": T5Config(**T5_SIZES, mlp_activations=("relu",), logits_via_embedding=True),
    "umt5": T5Config(**T5_SIZES, relative_bias_per_layer=True),
    "prefix": DecoderConfig(**SIZES, num_layers=2),
    "causal": DecoderConfig(**SIZES, num_layers=3, bidirectional_inputs=False),
    "tied": DecoderConfig(
        **SIZES, num_layers=2, logits_via_embedding=True, relative_bias_per_layer=True
    ),
}
every_config = pytest.mark.parametrize("name", CONFIGS)

RNG = np.random.default_rng(0)
NUM_INPUTS, MAX_INPUTS, NUM_TARGETS = np.array([7, 4, 2]), 7, 5
SEGMENT_IDS = (np.arange(MAX_INPUTS) < NUM_INPUTS[:, None]).astype(np.int32)
INPUTS = RNG.integers(2, 40, (3, MAX_INPUTS), np.int32) * SEGMENT_IDS
TARGETS = RNG.integers(2, 40, (3, NUM_TARGETS), np.int32)


def shapes_of(config: T5Config | DecoderConfig) -> Any:
    boxed = jax.eval_shape(partial(init_params, model.build(config)), jax.random.key(0))
    return flax.core.meta.unbox(boxed)


def params_of(config: T5Config | DecoderConfig) -> Any:
    """Drawn by NumPy: to compile the initialisers takes longer than all else here."""
    rng = np.random.default_rng(0)

    def drawn(path: Any, shape: jax.ShapeDtypeStruct) -> np.ndarray:
        deviation = 1.0 if "embedding" in str(path[-1]) else shape.shape[0] ** -0.5
        values = deviation * rng.standard_normal(shape.shape)
        return ((1.0 if "scale" in str(path[-1]) else 0.0) + values).astype(np.float32)

    return jax.tree_util.tree_map_with_path(drawn, shapes_of(config))


def batch_of(config: T5Config | DecoderConfig, pack: bool = False) -> dict[str, np.ndarray]:
    """The three examples, each in its row or all in one."""
    inputs = [row[:n] for row, n in zip(INPUTS, NUM_INPUTS, strict=True)]
    targets = list(TARGETS)
    groups = [[0, 1, 2]] if pack else [[0], [1], [2]]

    def rows(parts: list[np.ndarray], length: int) -> np.ndarray:
        joined = [np.concatenate([parts[i] for i in group]) for group in groups]
        return np.stack([np.pad(row, (0, length - len(row))) for row in joined])

    def ids(parts: list[np.ndarray], length: int) -> np.ndarray:
        numbered = [np.full(len(part), i + 1 if pack else 1) for i, part in enumerate(parts)]
        return rows(numbered, length)

    if isinstance(config, T5Config):
        return {
            "encoder_input_tokens": rows(inputs, 16),
            "encoder_segment_ids": ids(inputs, 16),
            "decoder_target_tokens": rows(targets, 16),
            "decoder_segment_ids": ids(targets, 16),
        }
    whole = [np.concatenate(pair) for pair in zip(inputs, targets, strict=True)]
    is_input = [np.arange(len(w)) <= len(i) for w, i in zip(whole, inputs, strict=True)]
    return {
        "decoder_target_tokens": rows(whole, 32),
        "decoder_segment_ids": ids(whole, 32),
        "decoder_causal_attention": rows(is_input, 32).astype(np.int32),
    }


def target_logits(config: T5Config | DecoderConfig, params: Any, pack: bool = False) -> np.ndarray:
    """Of the three examples' targets, [3, targets, vocab], as training computes them."""
    batch = batch_of(config, pack)
    apply = jitted(config, "logits", deterministic=True)
    logits = np.asarray(apply({"params": params}, batch))
    if isinstance(config, T5Config):
        chosen = batch["decoder_segment_ids"] > 0
    else:
        tokens = [n + NUM_TARGETS for n in NUM_INPUTS]
        is_target = np.concatenate(
            [np.arange(t) >= n for t, n in zip(tokens, NUM_INPUTS, strict=True)]
        )
        chosen = batch["decoder_segment_ids"] > 0
        chosen[chosen] = is_target
    return logits[chosen].reshape(3, NUM_TARGETS, -1)


def jitted(config: T5Config | DecoderConfig, method: str, **fixed: Any) -> Any:
    return jax.jit(partial(model.build(config).apply, method=method, **fixed))


@every_config
def test_packed_examples_are_those_apart(name: str) -> None:
    config = CONFIGS[name]
    params = params_of(config)
    apart, packed = target_logits(config, params), target_logits(config, params, pack=True)
    assert np.std(apart) > 0.3
    np.testing.assert_allclose(packed, apart, rtol=0, atol=2e-5)


@every_config
def test_decoding_gives_the_logits_of_training(name: str) -> None:
    config = CONFIGS[name]
    params = params_of(config)
    expected = target_logits(config, params)

    prefill = jitted(config, "prefill", max_target_tokens=NUM_TARGETS)
    token, state = prefill({"params": params}, INPUTS, SEGMENT_IDS)
    step = jitted(config, "decode_step")
    for k in range(NUM_TARGETS):
        logits, state = step({"params": params}, token, state)
        np.testing.assert_allclose(logits, expected[:, k], rtol=0, atol=2e-5)
        token = TARGETS[:, k]


@every_config
def test_rows_of_one_example_share_its_context(name: str) -> None:
    config = CONFIGS[name]
    params = params_of(config)
    prefill = jitted(config, "prefill", max_target_tokens=NUM_TARGETS)
    token, state = prefill({"params": params}, INPUTS, SEGMENT_IDS)
    step = partial(jitted(config, "decode_step"), {"params": params})
    twice = state._replace(past=repeat_rows(state.past, 2))
    tokens = np.stack([TARGETS[:, 0], TARGETS[:, 1]], axis=1)
    _, state = step(token, state)
    _, twice = step(np.repeat(token, 2), twice)
    both, _ = step(tokens.reshape(-1), twice)
    for k in range(2):
        alone, _ = step(tokens[:, k], state)
        np.testing.assert_allclose(both.reshape(3, 2, -1)[:, k], alone, rtol=0, atol=2e-5)


@every_config
def test_options_get_the_logits_of_training(name: str) -> None:
    config = CONFIGS[name]
    params = params_of(config)
    options = np.stack([TARGETS[:, ::-1], TARGETS], axis=1)
    logits = jitted(config, "option_logits")({"params": params}, INPUTS, SEGMENT_IDS, options)
    expected = target_logits(config, params)
    np.testing.assert_allclose(logits[:, 1], expected, rtol=0, atol=2e-5)
    assert np.abs(logits[:, 0] - expected).max() > 0.1


def gradients(config: T5Config | DecoderConfig, params: Any) -> Any:
    batch = batch_of(config, pack=True)

    def loss(params: Any) -> Any:
        logits = model.build(config).apply({"params": params}, batch, True, method="logits")
        return jnp.sum(jnp.sin(logits))

    return jax.jit(jax.grad(loss))(params)


def assert_close(found: Any, expected: Any) -> None:
    check = partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4)
    jax.tree.map(check, found, expected)


@pytest.mark.parametrize("name", ["t5", "umt5", "prefix"])
def test_stacked_layers_compute_what_single_ones_do(name: str) -> None:
    config = CONFIGS[name]
    scanned = replace(config, scan_layers=True)
    params = params_of(config)
    stacked = stack_layers(params)
    assert jax.tree.map(jnp.shape, stacked) == jax.tree.map(jnp.shape, shapes_of(scanned))
    jax.tree.map(np.testing.assert_array_equal, unstack_layers(stacked), params)
    assert_close(unstack_layers(gradients(scanned, stacked)), gradients(config, params))


@pytest.mark.parametrize("scan_layers", [False, True])
@pytest.mark.parametrize("remat", REMATERIALISATIONS[1:])
def test_rematerialisation_recomputes_the_same(remat: str, scan_layers: bool) -> None:
    config = replace(CONFIGS["causal"], scan_layers=scan_layers)
    params = params_of(config)
    assert_close(gradients(replace(config, remat=remat), params), gradients(config, params))


def test_stacked_names_and_axes_are_those_of_scalable_t5() -> None:
    config = replace(CONFIGS["umt5"], scan_layers=True)
    boxed = jax.eval_shape(partial(init_params, model.build(config)), jax.random.key(0))
    flat = flax.traverse_util.flatten_dict(boxed, sep="/")
    found = {name: (box.value.shape, box.names) for name, box in flat.items()}
    expected = {
        "decoder/decoder/self_attention/query/kernel": ((16, 3, 16), ("embed", "layers")),
        "decoder/decoder/relpos_bias/rel_embedding": ((2, 3, 8), ("heads", "layers")),
        "encoder/encoder/pre_mlp_layer_norm/scale": ((16, 2), ("embed", "layers")),
    }
    for name, (shape, axes) in expected.items():
        assert found[name][0] == shape, name
        assert found[name][1][:2] == axes, name


def reference_logits(
    config: DecoderConfig, params: Any, tokens: np.ndarray, num_inputs: int
) -> Any:
    """A decoder alone on one example, one head and one query at a time, in float64."""
    flat = flax.traverse_util.flatten_dict(params, sep="/")
    weights = {name: np.asarray(value, np.float64) for name, value in flat.items()}
    buckets = distance_buckets(
        config.relative_attention_num_buckets, config.relative_attention_max_distance
    )

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        rms = np.sqrt((x**2).mean(axis=-1, keepdims=True) + config.layer_norm_epsilon)
        return x / rms * weights[f"decoder/{name}/scale"]

    def gelu(x: np.ndarray) -> np.ndarray:
        return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))

    fed = np.concatenate([[0], tokens[:-1]])
    x = weights["token_embedder/embedding"][fed]
    for i in range(config.num_layers):
        at = f"decoder/layers_{i}"
        y = norm(x, f"layers_{i}/pre_self_attention_layer_norm")
        q, k, v = (
            y @ weights[f"{at}/self_attention/{n}/kernel"] for n in ("query", "key", "value")
        )
        joined = np.zeros((len(fed), config.num_heads * config.head_dim))
        for head in range(config.num_heads):
            part = slice(head * config.head_dim, (head + 1) * config.head_dim)
            bias = weights["decoder/relpos_bias/rel_embedding"][head]
            for t in range(len(fed)):
                last = max(t, num_inputs) if config.bidirectional_inputs and t <= num_inputs else t
                keys = np.arange(last + 1)
                distance = np.minimum(np.maximum(t - keys, 0), len(buckets) - 1)
                scores = k[keys, part] @ q[t, part] + bias[buckets[distance]]
                shares = np.exp(scores - scores.max())
                joined[t, part] = shares / shares.sum() @ v[keys, part]
        x = x + joined @ weights[f"{at}/self_attention/out/kernel"]
        y = norm(x, f"layers_{i}/pre_mlp_layer_norm")
        wi_0, wi_1 = (y @ weights[f"{at}/mlp/{n}/kernel"] for n in ("wi_0", "wi_1"))
        x = x + (gelu(wi_0) * wi_1) @ weights[f"{at}/mlp/wo/kernel"]
    return norm(x, "decoder_norm") @ weights["decoder/logits_dense/kernel"]


@pytest.mark.parametrize("name", ["prefix", "causal"])
def test_a_decoder_alone_is_what_a_slow_loop_computes(name: str) -> None:
    config = CONFIGS[name]
    assert isinstance(config, DecoderConfig)
    params = params_of(config)
    found = target_logits(config, params)
    for row, num_inputs in enumerate(NUM_INPUTS):
        tokens = np.concatenate([INPUTS[row, :num_inputs], TARGETS[row]])
        expected = reference_logits(config, params, tokens, num_inputs)[num_inputs:]
        np.testing.assert_allclose(found[row], expected, rtol=0, atol=2e-5)


def test_a_configuration_comes_back_from_its_fields() -> None:
    import json
    from dataclasses import asdict

    for config in CONFIGS.values():
        assert config_from_fields(json.loads(json.dumps(asdict(config)))) == config
    with pytest.raises(UserError, match="d_kv is no field of T5Config; the checkpoint is of"):
        config_from_fields({**asdict(CONFIGS["t5"]), "d_kv": 64})
