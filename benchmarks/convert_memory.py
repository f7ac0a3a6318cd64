"""The most memory that `tk-instruct convert` takes, on a made-up T5 1.1 of the size asked for.

    python benchmarks/convert_memory.py --size xl

Writes a Hugging Face folder of random float32 weights (xl: 11.4 GB, in shards), converts it to our
format (or --through another) and back, each as a process of its own, and prints the time and the
peak of the resident memory of each. Fails if a tensor comes back with another bit. Needs disk for
three copies in --folder, where nothing is left of them.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path

import numpy as np

from tk_instruct.convert import huggingface, open_checkpoint, shapes
from tk_instruct.convert.tensors import Tensor, in_order
from tk_instruct.model.config import T5Config

# d_model, heads, layers, d_ff
SIZES = {
    "small": (512, 6, 8, 1024),
    "base": (768, 12, 12, 2048),
    "large": (1024, 16, 24, 2816),
    "xl": (2048, 32, 24, 5120),
    "xxl": (4096, 64, 24, 10240),
}


def config_of(size: str, num_layers: int | None) -> T5Config:
    d_model, num_heads, most_layers, d_ff = SIZES[size]
    num_layers = num_layers or most_layers
    return T5Config(
        vocab_size=32128,
        d_model=d_model,
        num_heads=num_heads,
        num_encoder_layers=num_layers,
        num_decoder_layers=num_layers,
        d_ff=d_ff,
    )


def random_tensor(name: str, shape: tuple[int, ...]) -> Tensor:
    def read(index: tuple[slice, ...]) -> np.ndarray:
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        return rng.standard_normal(shape, dtype=np.float32)[index]

    return Tensor(shape, read)


def convert(source: Path, target: Path, *flags: str) -> None:
    """Runs the command and prints what it took."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "tk_instruct.cli", "convert", str(source), str(target), *flags],
        stdout=subprocess.DEVNULL,
    )
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if status:
        sys.exit(f"convert failed with {os.waitstatus_to_exitcode(status)}")
    peak = used.ru_maxrss / 2**20  # from KiB
    print(f"{' '.join(flags):<44}{seconds:>8.1f} s{peak:>8.2f} GiB", flush=True)


def assert_same(one: Path, other: Path) -> None:
    tensors = (in_order(open_checkpoint(str(path)).tensors) for path in (one, other))
    expected, found = tensors
    for name in expected:
        if not np.array_equal(expected[name].whole(), found[name].whole()):
            sys.exit(f"{name} is another after the way there and back")


def main() -> None:
    """Prints one line a conversion."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--size", choices=SIZES, default="xl")
    parser.add_argument("--layers", type=int, help="fewer than the size has, to save time")
    parser.add_argument("--through", choices=("ours", "t5x", "t5x_legacy"), default="ours")
    parser.add_argument("--scan_layers", action="store_true", help="of T5X")
    parser.add_argument("--folder", help="on a disk with room for three copies")
    args = parser.parse_args()
    config = config_of(args.size, args.layers)
    expected = shapes.expected_shapes(config)
    tensors = {name: random_tensor(name, shape) for name, shape in expected.items()}
    gigabytes = sum(tensor.nbytes for tensor in tensors.values()) / 1e9
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        source, there, back = (Path(folder) / name for name in ("source", "there", "back"))
        huggingface.write(source, config, tensors)
        print(f"T5 1.1 {args.size}, {gigabytes:.1f} GB as float32", flush=True)
        flags = ["--scan_layers"] if args.scan_layers else []
        flags += ["--vocabulary=bytes"] if args.through == "ours" else []
        convert(source, there, f"--to={args.through}", *flags)
        convert(there, back, "--to=huggingface", "--vocabulary=bytes")
        assert_same(source, back)
    print("every tensor came back bit for bit")


if __name__ == "__main__":
    main()
