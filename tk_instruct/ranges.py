"""Checks of the numbers in settings, and the types of flags."""

import argparse
import math
from typing import Any

from tk_instruct.errors import UserError

# The largest integer of islice and NumPy; a larger one is a typing error.
_MOST = 2**63 - 1
# JAX makes keys of 32 bits of a seed: it would ignore the higher bits of a larger seed.
NUM_SEEDS = 2**32


def check_number(name: str, value: Any, interval: str, try_: object) -> None:
    """Raises UserError unless a value is a finite number in an interval, such as "[0, 1)"."""
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
    """The type of a flag for whole numbers; the setting checks the range."""
    try:
        value = int(text)
    except ValueError:  # also for more digits than Python reads
        value = None
    if value is None or abs(value) > _MOST:
        raise argparse.ArgumentTypeError(
            f"{_shortened(text)} must be a whole number of at most {len(str(_MOST))} digits; try 8"
        )
    return value


def true_or_false(text: str) -> bool:
    """The type of a flag that is on or off."""
    if text.lower() not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"{_shortened(text)} must be true or false; try true")
    return text.lower() == "true"


def number(text: str) -> float:
    """The type of a flag for numbers; the setting checks the range."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{_shortened(text)} must be a number; try 0.5") from None


def _shortened(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:40]}…{text[-10:]}")
