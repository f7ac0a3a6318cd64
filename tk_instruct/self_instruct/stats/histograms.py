"""How many texts there are of each length, and of each similarity to the seeds."""

import math
from collections.abc import Sequence
from typing import TypedDict

import numpy as np
from jaxtyping import Float, Int

_NUM_BARS = 40


class Histogram(TypedDict):
    """Counts of bars whose edges are one more than they. If is_open, the last has all beyond."""

    edges: Sequence[float]
    counts: Sequence[int]
    is_open: bool


def of_similarities(similarities: Float[np.ndarray, " instructions"]) -> Histogram:
    """Of ROUGE-L (fractions), in 40 bars from 0 to 1."""
    counts, edges = np.histogram(similarities, np.linspace(0, 1, _NUM_BARS + 1))
    return {"edges": edges.tolist(), "counts": counts.tolist(), "is_open": False}


def of_lengths(words: Int[np.ndarray, " texts"]) -> Histogram:
    """Of lengths in words. Texts longer than 99 per cent of all are counted in the last bar."""
    longest = int(np.percentile(words, 99, method="higher")) if len(words) else 1
    width = math.ceil((longest + 1) / _NUM_BARS)
    edges = np.arange(0, longest + 1 + width, width)
    counts = np.histogram(np.minimum(words, int(edges[-1]) - width), edges)[0]
    is_open = bool(np.any(words >= edges[-1]))
    return {"edges": edges.tolist(), "counts": counts.tolist(), "is_open": is_open}
