"""Writes adafactor.npz: parameters after STEPS updates by upstream T5X's Adafactor and schedule.

Needs t5x from its repository (at cc342d4) with airio and jestimator, which the test that reads
the file does not: `python tests/goldens/make_adafactor_goldens.py`.
"""

import zlib
from pathlib import Path

import numpy as np

STEPS = 20
INITIAL_CHECKPOINT_STEP = 1000
MAX_GRADIENT_NORM = 50.0
EVERY = 97  # of a parameter's elements one in so many is kept, to keep the file small

# Factored and not, alone and stacked (the axis of layers is the second).
SHAPES = {
    "token_embedder/embedding": (150, 128),
    "encoder/relpos_bias/rel_embedding": (4, 32),
    "encoder/encoder/relpos_bias/rel_embedding": (4, 2, 32),
    "encoder/encoder/attention/query/kernel": (128, 2, 140),
    "encoder/encoder/attention/out/kernel": (140, 2, 128),
    "encoder/encoder/mlp/wo/kernel": (130, 2, 128),
    "encoder/encoder/pre_mlp_layer_norm/scale": (128, 2),
    "decoder/layers_0/mlp/wo/kernel": (100, 128),
    "decoder/logits_dense/kernel": (128, 150),
    "decoder/decoder_norm/scale": (128,),
}


def parameter(name: str) -> np.ndarray:
    """In a stack the second layer is so small that the least parameter scale acts there."""
    value = _draw(name).astype(np.float32)
    if "/encoder/" in name:
        value[:, 1] *= 1e-4
    return value


def gradient(name: str, step: int) -> np.ndarray:
    """Of a size that changes from step to step by up to 100, so that clipping comes and goes."""
    return (10.0 ** (step % 3 - 1) * _draw(f"{name} {step}")).astype(np.float32)


def _draw(name: str) -> np.ndarray:
    # RandomState's stream never changes between versions.
    state = np.random.RandomState(zlib.crc32(name.encode()))
    return state.standard_normal(SHAPES[name.split(" ")[0]])


def main() -> None:
    import jax
    from flax.traverse_util import flatten_dict, unflatten_dict
    from t5x import adafactor, utils

    axes = {
        "token_embedder/embedding": ("vocab", "embed"),
        "rel_embedding": ("heads", "relpos_buckets"),
        "query/kernel": ("embed", "joined_kv"),
        "out/kernel": ("joined_kv", "embed"),
        "wo/kernel": ("mlp", "embed"),
        "logits_dense/kernel": ("embed", "vocab"),
        "scale": ("embed",),
    }
    param_axes = {}
    for name in SHAPES:
        first, *rest = next(value for end, value in axes.items() if name.endswith(end))
        stacked = ("layers",) if "/encoder/" in name else ()
        param_axes[name] = jax.sharding.PartitionSpec(first, *stacked, *rest)
    params = unflatten_dict({name: parameter(name) for name in SHAPES}, sep="/")
    definition = adafactor.Adafactor(
        decay_rate=0.8,
        step_offset=INITIAL_CHECKPOINT_STEP,
        logical_factor_rules=adafactor.standard_logical_factor_rules(),
        global_norm_clip_threshold=MAX_GRADIENT_NORM,
    )
    definition.set_param_axes(unflatten_dict(param_axes, sep="/"))
    state = definition.init_state(params)
    state = state.replace(step=state.step + INITIAL_CHECKPOINT_STEP)
    schedule = utils.create_learning_rate_scheduler(
        "constant * linear_warmup * rsqrt_decay", base_learning_rate=1.0, warmup_steps=1010
    )

    @jax.jit
    def apply(params, state, gradients):  # type: ignore[no-untyped-def]
        rates = definition.hyper_params.replace(learning_rate=schedule(state.step))
        return definition.apply_gradient(rates, params, state, gradients)

    for step in range(STEPS):
        gradients = unflatten_dict({name: gradient(name, step) for name in SHAPES}, sep="/")
        params, state = apply(params, state, gradients)
    kept = {
        name: np.asarray(value).ravel()[::EVERY]
        for name, value in flatten_dict(params, sep="/").items()
    }
    np.savez_compressed(Path(__file__).with_name("adafactor.npz"), **kept)


if __name__ == "__main__":
    main()
