"""What the verbs that predict and rank share of their arguments."""

import argparse
from typing import Literal

from tk_instruct.errors import UserError
from tk_instruct.files import Path, is_stream, read_bytes
from tk_instruct.inference.batches import MOST_TIMES_BATCH_SIZE
from tk_instruct.ranges import whole_number


def add_step_argument(parser: argparse.ArgumentParser) -> None:
    def step(text: str) -> int | Literal["best"]:
        if text == "best":
            return "best"
        if text.isdecimal():
            return int(text)
        raise UserError(f"--step={text} must be a whole number or best; leave it out for the last")

    parser.add_argument(
        "--step", type=step, metavar="N", help="of the checkpoint, or best (default: the last)"
    )


def add_batch_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--batch_size",
        type=whole_number,
        default=32,
        metavar="N",
        help="examples at once of the longest inputs; of shorter ones it is up to "
        f"{MOST_TIMES_BATCH_SIZE} times as many (default: 32)",
    )
    parser.add_argument("--limit", type=whole_number, metavar="N", help="only the first N examples")
    parser.add_argument(
        "--num_partitions",
        type=whole_number,
        default=1,
        metavar="N",
        help="devices that keep the parameters between them, where one cannot (default: 1)",
    )


def check_counts(args: argparse.Namespace) -> None:
    for name in ("batch_size", "limit", "limit_per_task"):
        value = getattr(args, name, None)  # not every verb has all
        if value is not None and value < 1:
            raise UserError(f"--{name}={value} must be at least 1")


def check_name(task: str | None) -> None:
    """Raises UserError for a --task that is not declared."""
    from tk_instruct.data import registry

    if task is not None:
        registry.get(task)


def check_limit(output: Path, flag: str, num_left: int | None) -> None:
    """Raises UserError where a limit would leave fewer rows of an output than there are.

    num_left: how many rows it leaves, or None without a limit.
    """
    if num_left is None or is_stream(output) or not output.is_file():
        return
    there = sum(1 for line in read_bytes(output).splitlines() if line.strip())
    if there > num_left:
        raise UserError(
            f"{output} holds {there} rows, of which {flag} would leave {num_left}; give "
            "another --output, or remove it first"
        )
