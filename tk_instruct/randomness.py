"""Random choices as pure functions of (seed, purpose, ids), without a global generator."""

import hashlib
import itertools
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def draw(seed: int, purpose: str, *ids: str) -> int:
    """A 64-bit number that depends only on the arguments.

    Choices with the same ids and different purposes are independent: for example, which instances
    are sampled and which of their references is trained on.
    """
    key = "\x1f".join((str(seed), purpose, *ids)).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.sha256(key).digest()[:8], "big")


def choose(options: Sequence[T], seed: int, purpose: str, *ids: str) -> T:
    """One of the options, each with the same probability (bias below options / 2**64)."""
    return options[draw(seed, purpose, *ids) % len(options)]


def sample(options: Sequence[T], count: int, seed: int, purpose: str, *ids: str) -> list[T]:
    """count different options in random order; all of them, shuffled, if there are fewer."""
    count = min(count, len(options))
    chosen: dict[int, None] = {}
    for attempt in itertools.count():
        if len(chosen) == count:
            return [options[index] for index in chosen]
        chosen[draw(seed, purpose, *ids, str(attempt)) % len(options)] = None
    raise AssertionError
