"""Numbers that a setting may have, checked where the setting is made; flags' numbers as typed."""

import argparse
import math
from typing import Any

from tk_instruct.errors import UserError

# What islice, NumPy and gin's integers hold; more is a slip of the finger.
_MOST = 2**63 - 1
# JAX's keys are made of so many: of a larger seed they would take the last bits alone.
NUM_SEEDS = 2**32


def check_number(name: str, value: Any, interval: str, try_: object) -> None:
    """Raises UserError unless a value is a finite number of an interval, such as "[0, 1)"."""
    low, high = map(float, interval[1:-1].split(","))
    if (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and (low < value or (value == low and interval[0] == "["))
        and (value < high or (value == high and interval[-1] == "]"))
    ):
        return
    raise UserError(f"{name}={value!r} must be in {interval}; try {try_}")


def check_whole(name: str, value: Any, least: int, most: int) -> None:
    """Raises UserError unless a value is a whole number from least to most."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise UserError(f"{name}={value!r} must be a whole number ≥ {least}")
    if value > most:
        raise UserError(f"{name}={value} must be a whole number ≤ {most}")


def check_seed(name: str, value: Any) -> None:
    """Raises UserError unless a value is a seed that JAX, NumPy and `randomness` tell apart."""
    check_whole(name, value, 0, NUM_SEEDS - 1)


def whole_number(text: str) -> int:
    """A flag's type; what it must be is said by the range that its setting is checked with."""
    try:
        value = int(text)
    except ValueError:  # also of more digits than Python reads
        value = None
    if value is None or abs(value) > _MOST:
        raise argparse.ArgumentTypeError(
            f"{_shortened(text)} must be a whole number of at most {len(str(_MOST))} digits; try 8"
        )
    return value


def number(text: str) -> float:
    """A flag's type, as whole_number."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{_shortened(text)} must be a number; try 0.5") from None


def _shortened(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:40]}…{text[-10:]}")
