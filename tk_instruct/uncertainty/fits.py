"""A line through scores over the logarithm of a size, with the error of its slope and its band."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from tk_instruct.uncertainty.intervals import Estimate, finite


@dataclass(frozen=True)
class LogLinearFit:
    """score = intercept + slope · log10 x, by ordinary least squares.

    Attributes:
        slope: change of the score for ten times x. It has no error with two points.
        intercept: score at x = 1.
        r_squared: share of the scores' variance that the line explains; 1 if all are equal.
    """

    slope: Estimate
    intercept: float
    r_squared: float
    _mean: float  # of log10 x
    _squares: float  # sum of its squared deviations
    _variance: float | None  # of the points around the line

    def at(self, x: float) -> Estimate:
        """The line at x > 0, with the interval of the mean score there: its band."""
        return _estimate(
            self.intercept + self.slope.value * math.log10(x),
            None
            if self._variance is None
            else self._variance
            * (1 / self.slope.num_units + (math.log10(x) - self._mean) ** 2 / self._squares),
            self.slope.num_units,
        )


def log_linear(
    x: Float[np.ndarray, " n"] | Sequence[float], scores: Float[np.ndarray, " n"] | Sequence[float]
) -> LogLinearFit | None:
    """The fit of scores to log10 x, a row a point; None if fewer than two x differ.

    The errors are those of ordinary least squares, so the points must be drawn independently with
    the same spread around the line. Intervals are Student's t with n − 2 degrees of freedom, as
    statsmodels' OLS gives them (its get_prediction().conf_int() is the band). With two points there
    is no error.

    Raises ValueError if lengths differ, if an x is not above 0, or if a number is not finite.
    """
    values, places = finite("scores", scores), finite("x", x)
    if len(values) != len(places):
        raise ValueError(f"{len(places)} x must be as many as the {len(values)} scores")
    if places.min() <= 0:
        raise ValueError(f"x={places.min()} must be above 0, to have a logarithm")
    logs = np.log10(places)
    deviations = logs - logs.mean()
    squares = float(deviations @ deviations)
    if len(set(places.tolist())) < 2:
        return None
    from_first = values - values[0]  # so that equal scores have no slope, and not one of rounding
    slope = float(deviations @ from_first) / squares
    intercept = float(values[0] + from_first.mean() - slope * logs.mean())
    residuals = from_first - from_first.mean() - slope * deviations
    unexplained = float(residuals @ residuals)
    total = float(((from_first - from_first.mean()) ** 2).sum())
    df = len(values) - 2
    variance = unexplained / df if df else None
    return LogLinearFit(
        slope=_estimate(slope, None if variance is None else variance / squares, len(values)),
        intercept=intercept,
        r_squared=1 - unexplained / total if total else 1.0,
        _mean=float(logs.mean()),
        _squares=squares,
        _variance=variance,
    )


def _estimate(value: float, variance: float | None, num_points: int) -> Estimate:
    from scipy.special import stdtrit

    if variance is None:
        return Estimate(value, None, None, None, num_points)
    df: Any = num_points - 2
    stderr = math.sqrt(variance)
    margin = float(stdtrit(df, 0.975)) * stderr
    return Estimate(value, stderr, (value - margin, value + margin), df, num_points)
