"""The difference between the scores of two parts of one sample, which may share units."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float

from tk_instruct.uncertainty.intervals import Estimate, Labels, finite, mean


def difference_of_parts(
    values: Float[np.ndarray, " n"] | Sequence[float],
    is_first: Bool[np.ndarray, " n"],
    units: Labels | None = None,
    *,
    weights: Float[np.ndarray, " n"],
    strata: Labels | None = None,
    instances: Labels | None = None,
) -> Estimate:
    """The mean of the rows that are first minus that of the others, each weighted in its part.

    Units are drawn whole, with their rows of both parts, so the parts are not independent. A row
    adds ± w (y − ȳ) to the error, ȳ the weighted mean of its part (and stratum); the rest is as in
    `intervals.mean`. Without strata it equals the cluster covariance of a regression on the part,
    but for the number of coefficients in statsmodels' correction of small samples.

    weights: of each row in its part; those of a part sum to 1.

    Raises ValueError if a part has no rows, and what `mean` raises.
    """
    y, sign = finite("values", values), np.where(is_first, 1.0, -1.0)
    for part in (is_first, ~is_first):
        if not part.any():
            raise ValueError("both parts must have rows; leave the difference out")
    stratum = np.zeros(len(y), int)
    if strata is not None:
        stratum = np.unique(np.asarray(strata), return_inverse=True)[1]
    cell = 2 * stratum + is_first
    deviations = y - y[0]  # so that equal values have no error, and not one of rounding
    total = np.bincount(cell, weights)
    means = np.bincount(cell, weights * deviations) / np.where(total > 0, total, 1.0)
    adds = sign * weights * (deviations - means[cell])
    value = float((sign * weights * y).sum())
    spread = mean(len(y) * adds, units, strata=strata, instances=instances)
    if spread.ci95 is None:
        return replace(spread, value=value)
    low, high = spread.ci95
    margin = (high - low) / 2
    return replace(spread, value=value, ci95=(value - margin, value + margin))
