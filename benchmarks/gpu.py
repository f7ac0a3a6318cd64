"""Training and decoding speed on one accelerator, with nothing installed but jax, flax and optax.

    python benchmarks/gpu.py train --size xl     # tokens/s and model FLOPs utilisation
    python benchmarks/gpu.py largest             # the largest size that trains on the device
    python benchmarks/gpu.py decode --size xl    # tokens/s of greedy decoding

T5 1.1 with random weights in bfloat16 (parameters and optimizer in float32), Adafactor, rows of
1024 input and 128 target tokens that hold four examples each, scanned layers. Model FLOPs are
those of the products in forward and backward pass, attention to all positions of a row included,
what is rematerialised not; utilisation is their share of what the device can do in bfloat16
without sparsity. Prints a line of JSON.
"""

import argparse
import json
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

sys.path.append(str(Path(__file__).parent.parent))
from tk_instruct import model, optim
from tk_instruct.losses import cross_entropy
from tk_instruct.model.config import REMATERIALISATIONS, T5Config
from tk_instruct.model.decode import greedy
from tk_instruct.step import create_train_state, init_params, train_step

# d_model, heads, layers of the encoder and of the decoder, d_ff
SIZES = {
    "tiny": (64, 2, 2, 128),
    "small": (512, 6, 8, 1024),
    "base": (768, 12, 12, 2048),
    "large": (1024, 16, 24, 2816),
    "xl": (2048, 32, 24, 5120),
    "xxl": (4096, 64, 24, 10240),
}
SEGMENTS_A_ROW = 4

# Dense bfloat16, from the vendors' data sheets (H100 and H200: SXM), by what device_kind contains.
PEAK_TFLOPS = {"H100": 989, "H200": 989, "A100": 312, "TPU v4": 275, "TPU v5p": 459}


def config_of(args: argparse.Namespace) -> T5Config:
    d_model, num_heads, num_layers, d_ff = SIZES[args.size]
    return T5Config(
        vocab_size=32128,
        d_model=d_model,
        num_heads=num_heads,
        d_ff=d_ff,
        num_encoder_layers=num_layers,
        num_decoder_layers=num_layers,
        dropout_rate=args.dropout_rate,
        dtype=args.dtype,
        scan_layers=True,
        remat=args.remat,
    )


def model_flops(config: T5Config, rows: int, inputs: int, targets: int) -> float:
    """Of one training step; the backward pass has two products for each of the forward pass."""
    joined = config.num_heads * config.head_dim
    projection = config.d_model * joined
    mlp = (len(config.mlp_activations) + 1) * config.d_model * config.d_ff
    encoder_token = 4 * projection + mlp + 2 * joined * inputs
    decoder_token = 6 * projection + mlp + 2 * joined * (targets + inputs)
    encoder = config.num_encoder_layers * encoder_token
    encoder += config.num_decoder_layers * 2 * projection  # keys and values for cross-attention
    decoder = config.num_decoder_layers * decoder_token + config.d_model * config.vocab_size
    return 3 * 2 * rows * (inputs * encoder + targets * decoder)


def packed_batch(rows: int, inputs: int, targets: int) -> dict[str, jax.Array]:
    """Full rows of random tokens."""
    rng = np.random.default_rng(0)

    def segments(length: int) -> np.ndarray:
        ids = 1 + np.arange(length) * SEGMENTS_A_ROW // length
        return np.tile(ids.astype(np.int32), (rows, 1))

    arrays = {
        "encoder_input_tokens": rng.integers(3, 32000, (rows, inputs), np.int32),
        "encoder_segment_ids": segments(inputs),
        "decoder_target_tokens": rng.integers(3, 32000, (rows, targets), np.int32),
        "decoder_segment_ids": segments(targets),
        "decoder_loss_weights": np.ones((rows, targets), np.float32),
    }
    return jax.device_put(arrays)


def peak_flops() -> float | None:
    """Of this device; None where it is not known."""
    kind = jax.devices()[0].device_kind
    return next((1e12 * peak for name, peak in PEAK_TFLOPS.items() if name in kind), None)


def train(args: argparse.Namespace) -> dict[str, Any]:
    config = config_of(args)
    net, tx, rng = model.build(config), optim.adafactor(1e-3), jax.random.key(0)
    state = jax.jit(partial(create_train_state, net, tx))(rng)
    num_params = sum(leaf.size for leaf in jax.tree.leaves(state.params))
    batch = packed_batch(args.rows, args.inputs, args.targets)
    step = jax.jit(
        partial(
            train_step,
            model=net,
            tx=tx,
            loss=partial(cross_entropy, z_loss=1e-4),
            num_microbatches=args.microbatches,
        ),
        donate_argnums=0,
    )
    compiled = step.lower(state, batch, rng).compile()
    seconds = []
    for _ in range(args.warm_up_steps + args.steps):
        start = time.perf_counter()
        state, metrics = compiled(state, batch, rng)
        loss = float(metrics["loss"].value())
        seconds.append(time.perf_counter() - start)
    assert np.isfinite(loss), loss
    step_seconds = median(seconds[args.warm_up_steps :])
    flops = model_flops(config, args.rows, args.inputs, args.targets)
    peak = peak_flops()
    memory = jax.devices()[0].memory_stats() or {}
    return {
        "parameters": num_params,
        "rows": args.rows,
        "remat": args.remat,
        "seconds_a_step": step_seconds,
        "tokens_per_second": args.rows * (args.inputs + args.targets) / step_seconds,
        "model_tflops_per_second": flops / step_seconds / 1e12,
        "model_flops_utilisation": peak and flops / step_seconds / peak,
        "peak_memory_gib": memory.get("peak_bytes_in_use", 0) / 2**30 or None,
    }


def decode(args: argparse.Namespace) -> dict[str, Any]:
    config = replace(config_of(args), scan_layers=False, remat="none", dropout_rate=0.0)
    net = model.build(config)

    @jax.jit
    def initialise(key: jax.Array) -> Any:
        params = nn.meta.unbox(init_params(net, key))
        return jax.tree.map(lambda leaf: leaf.astype(args.dtype), params)

    params = initialise(jax.random.key(0))
    tokens = packed_batch(args.rows, args.inputs, args.targets)["encoder_input_tokens"]
    # No token has the id -1, so no answer ends.
    run = jax.jit(partial(greedy, net, max_target_tokens=args.targets, eos_id=-1))
    seconds = []
    for _ in range(args.warm_up_steps + args.steps):
        start = time.perf_counter()
        jax.block_until_ready(run(params, tokens, jnp.ones_like(tokens)))
        seconds.append(time.perf_counter() - start)
    batch_seconds = median(seconds[args.warm_up_steps :])
    return {
        "rows": args.rows,
        "seconds_a_batch": batch_seconds,
        "new_tokens_per_second": args.rows * args.targets / batch_seconds,
    }


def largest(args: argparse.Namespace) -> dict[str, Any]:
    """Trains one row a step at each size, largest first; a process each, for its memory's sake."""
    kept = [f"--{name}={getattr(args, name)}" for name in ("inputs", "targets", "dtype", "steps")]
    for size in reversed(SIZES):
        command = [sys.executable, __file__, "train", f"--size={size}", *kept]
        done = subprocess.run(
            [*command, "--rows=1", "--remat=full"], capture_output=True, text=True, check=False
        )
        if done.returncode == 0:
            return {"largest": json.loads(done.stdout.splitlines()[-1])}
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        print(f"{size}: {last}", file=sys.stderr)
    sys.exit("no size trains on this device; the messages are above")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("what", choices=("train", "largest", "decode"))
    parser.add_argument("--size", choices=SIZES, default="xl", help="default: xl")
    parser.add_argument("--rows", type=int, default=16, help="in a step or batch (default: 16)")
    parser.add_argument("--microbatches", type=int, default=1)
    parser.add_argument("--inputs", type=int, default=1024, help="tokens (default: 1024)")
    parser.add_argument("--targets", type=int, default=128, help="tokens (default: 128)")
    parser.add_argument("--dtype", choices=("bfloat16", "float32"), default="bfloat16")
    parser.add_argument("--dropout_rate", type=float, default=0.0)
    parser.add_argument(
        "--remat", choices=REMATERIALISATIONS, default="dots_with_no_batch_dims_saveable"
    )
    parser.add_argument("--warm_up_steps", type=int, default=2)
    parser.add_argument("--steps", type=int, default=10)
    args = parser.parse_args()
    device = jax.devices()[0].device_kind
    about = {"what": args.what, "device": device, "jax": jax.__version__, "dtype": args.dtype}
    if args.what == "largest":
        found = largest(args)
    else:
        about["size"] = args.size
        found = train(args) if args.what == "train" else decode(args)
    print(json.dumps(about | found))


if __name__ == "__main__":
    main()
