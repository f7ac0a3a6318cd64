"""Writes the sums of two digits: odd ones to test, the others to train."""

from tk_instruct.files import Path, write_atomically


def add_arguments(parser):
    parser.add_argument("--most", type=int, default=9, help="the largest number (default: 9)")


def main(args):
    sums = [(a, b) for a in range(args.most + 1) for b in range(args.most + 1)]
    for split, rest in {"train": 0, "test": 1}.items():
        lines = [f"{a}+{b}={a + b}\n" for a, b in sums if (a + b) % 2 == rest]
        write_atomically(Path(args.directory) / f"{split}.txt", lines)
    return 0
