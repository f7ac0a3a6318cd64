"""Means, and other statistics of a sample, with standard errors and 95 % intervals.

What was sampled is the unit: a task, a data set or an instance. Rows of one unit are alike, so an
error that takes each row for a draw of its own is too small (Miller 2024, "Adding Error Bars to
Evals", arXiv:2411.00640). An interval speaks of units that were not sampled. If all scores are
equal, its width is 0: the sample shows no spread, which does not prove that there is none.
"""

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from tk_instruct import randomness

# Text or numbers that name what a row belongs to.
Labels = Sequence[Hashable] | Int[np.ndarray, " n"]

_MOST_COUNTS_AT_ONCE = 2**22


@dataclass(frozen=True)
class Estimate:
    """A value with its error. All but num_units and df are in the unit of the scores."""

    value: float
    stderr: float | None  # None if there is nothing to compute it from, such as one instance
    ci95: tuple[float, float] | None
    df: float | None  # degrees of freedom of the standard error
    num_units: int  # what the error was computed over

    def within(self, low: float, high: float) -> "Estimate":
        """The same with its interval cut to the range that the value is known to be in."""
        if self.ci95 is None:
            return self
        lower, upper = (min(max(end, low), high) for end in self.ci95)
        return replace(self, ci95=(lower, upper))

    def as_scores(self, name: str) -> dict[str, float | list[float]]:
        """The value, standard error and interval under the names of scores; no error, no name."""
        scores: dict[str, float | list[float]] = {name: self.value}
        if self.stderr is not None and self.ci95 is not None:
            scores |= {f"{name}_stderr": self.stderr, f"{name}_ci95": list(self.ci95)}
        return scores


@dataclass(frozen=True)
class Sample:
    """Which units were sampled, in which strata. A stratum of one unit has its instances as units.

    Labels are whole numbers from 0.
    """

    unit_of_row: Int[np.ndarray, " n"]
    stratum_of_row: Int[np.ndarray, " n"]
    stratum_of_unit: Int[np.ndarray, " units"]


def sample_of(
    num_rows: int, units: Labels | None, strata: Labels | None, instances: Labels | None
) -> Sample:
    """The sample that labels of rows describe. Without units or instances each row is its own.

    Raises ValueError if labels are not as many as rows, or if a unit is in two strata.
    """
    unit = _codes("units", units, num_rows, np.arange(num_rows))
    stratum = _codes("strata", strata, num_rows, np.zeros(num_rows, int))
    stratum_of_unit = _strata_of_units(unit, stratum)
    strays = np.flatnonzero(stratum_of_unit[unit] != stratum)
    if strays.size and units is not None and strata is not None:
        row = strays[0]
        raise ValueError(
            f"unit {units[row]!r} must be in one stratum, but is in {strata[row]!r} and another;"
            " name its parts differently"
        )
    is_alone = np.bincount(stratum_of_unit)[stratum] == 1
    if units is not None and is_alone.any():
        instance = _codes("instances", instances, num_rows, np.arange(num_rows))
        unit = np.where(is_alone, unit.max() + 1 + stratum * num_rows + instance, unit)
        unit = np.unique(unit, return_inverse=True)[1]
        stratum_of_unit = _strata_of_units(unit, stratum)
    return Sample(unit, stratum, stratum_of_unit)


def mean(
    values: Float[np.ndarray, " n"] | Sequence[float],
    units: Labels | None = None,
    *,
    weights: Float[np.ndarray, " n"] | Sequence[float] | None = None,
    strata: Labels | None = None,
    instances: Labels | None = None,
) -> Estimate:
    """Weighted mean Σwy / Σw of a row per score, with the error of a stratified cluster sample.

    Units are drawn, all rows of a unit with it; strata are fixed, with the shares of the weights
    that they have. The error is that of a ratio of sums by Taylor linearisation: a row adds
    e = w(y − ȳₕ) / Σw, ȳₕ the weighted mean of its stratum h, and of the sums of e by unit

        variance = Σₕ Cₕ / (Cₕ − 1) · Σ e²  over the Cₕ units of stratum h

    (Särndal, Swensson & Wretman 1992, "Model Assisted Survey Sampling", ch. 5). Without strata it
    equals statsmodels' cluster covariance of a regression on a constant (OLS; WLS with weights),
    whose correction (n − 1) / (n − k) · C / (C − 1) has k = 1. The interval is Student's t, with
    the degrees of freedom of Satterthwaite (1946): C − 1 without strata.

    A stratum with one unit has no spread between units: there its instances are the units, and the
    error is that within this unit only. If it has one instance too, it adds nothing to the error;
    if that is so in all strata, there is no error.

    values: scores, a row an instance or one of its parts. units, strata, instances: labels of the
    rows; without units each row is one, without strata all rows are in one, without instances each
    row is one. weights: positive; default 1.

    How often intervals cover the truth, of 2,000 simulated samples with normal, skewed
    (exponential) or 0/1 scores by unit: 94–96 % with 119 units; 93–95 % with 30 of similar sizes,
    but 90–92 % if sizes differ as widely as lognormal with σ = 0.8; with 10 units 91–95 % and
    87–91 %. 12 strata of 10 units: 94–96 %. Strata of 40, 30, 20, 10, 8, 5, 3, 2 and 1 units:
    93–94 %; one of 2 and one of 1: 83–87 %. Independent rows of which 98 % are 1: 95 % with 1,000
    rows, 87 % with 100, 45 % with 30.

    Raises ValueError if there are no rows, if lengths differ, if a value is not finite, if a weight
    is not positive, or if a unit is in two strata.
    """
    y = finite("values", values)
    w = positive_weights(weights, len(y))
    sample = sample_of(len(y), units, strata, instances)
    total_weight = math.fsum(w.tolist())
    value = math.fsum((w * y).tolist()) / total_weight
    deviations = y - y[0]  # so that equal values have no error, and not one of rounding
    stratum = sample.stratum_of_row
    means = np.bincount(stratum, w * deviations) / np.bincount(stratum, w)
    residuals = w * (deviations - means[stratum]) / total_weight
    squares = np.bincount(sample.unit_of_row, residuals) ** 2
    num_units = np.bincount(sample.stratum_of_unit)
    is_spread = num_units > 1
    sums = np.bincount(sample.stratum_of_unit, squares)[is_spread]
    df = (num_units[is_spread] - 1).astype(float)
    variances = sums * (df + 1) / df
    return _with_t_interval(value, variances, df, len(sample.stratum_of_unit))


def combined(estimates: Sequence[Estimate]) -> Estimate:
    """Mean of independent estimates, such as those of fixed data sets.

    Its standard error is √Σse² / K, with the degrees of freedom of Satterthwaite (1946) and Welch
    (1947). It has no error if one of the estimates has none. Simulated as in `mean`, intervals
    cover the truth in 93–95 % of samples for 20, 30 and 400 units, in 94–95 % for ten times 3, and
    in 82–87 % for 2, 50 and 400, where one error rests on 2 units. Raises ValueError without
    estimates.
    """
    if not estimates:
        raise ValueError("estimates=[] must be one or more; leave the mean out")
    value = math.fsum(estimate.value for estimate in estimates) / len(estimates)
    num_units = sum(estimate.num_units for estimate in estimates)
    errors = [(e.stderr, e.df) for e in estimates if e.stderr is not None and e.df is not None]
    if len(errors) < len(estimates):
        return Estimate(value, None, None, None, num_units)
    stderrs, df = np.array(errors).T
    return _with_t_interval(value, (stderrs / len(estimates)) ** 2, df, num_units)


def difference(first: Estimate, second: Estimate) -> Estimate:
    """First minus second, of independent estimates. Its error is that of `combined`, without K."""
    value, num_units = first.value - second.value, first.num_units + second.num_units
    errors = [(e.stderr, e.df) for e in (first, second) if e.stderr is not None and e.df]
    if len(errors) < 2:
        return Estimate(value, None, None, None, num_units)
    stderrs, df = np.array(errors).T
    return _with_t_interval(value, stderrs**2, df, num_units)


def bootstrap(
    statistic: Callable[[Float[np.ndarray, "resamples units"]], Float[np.ndarray, " resamples"]],
    num_units: int,
    purpose: str,
    seed: int = 0,
    num_resamples: int = 2000,
) -> Estimate:
    """Any statistic of a sample of units, with the error of resampled units.

    statistic takes how often each unit is drawn, a row a resample; a row of ones gives the value.
    Draws depend on seed, purpose, num_units and num_resamples only. The standard error is the
    standard deviation of the resampled values times √(n / (n − 1)), as resamples of n units vary
    less than samples do. The interval is Student's t. Simulated for the median over 11 prompts of
    means over 30 to 1,000 instances, it covers the truth in 93–97 % of samples (percentiles in
    92–98 %, BCa in 90–96 %), and in 91–98 % with 10 instances. Memory: some 100 MB, and what
    statistic takes for rows with 4 million numbers in all. With one unit there is no error.

    Raises ValueError if num_units or num_resamples is too small, or if statistic gives values that
    are not finite or not one a row.
    """
    if num_units < 1:
        raise ValueError(f"num_units={num_units} must be 1 or more; leave the statistic out")
    if num_resamples < 2:
        raise ValueError(f"num_resamples={num_resamples} must be 2 or more; try 2000")
    (value,) = _computed(statistic, np.ones((1, num_units))).tolist()
    if num_units == 1:
        return Estimate(value, None, None, None, num_units)
    rng = np.random.default_rng(randomness.draw(seed, purpose))
    rows_at_once = max(1, _MOST_COUNTS_AT_ONCE // num_units)
    resampled = []
    for start in range(0, num_resamples, rows_at_once):
        num_rows = min(rows_at_once, num_resamples - start)
        drawn = rng.integers(num_units, size=(num_rows, num_units))
        drawn += num_units * np.arange(num_rows)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=num_rows * num_units)
        resampled.append(_computed(statistic, counts.reshape(num_rows, num_units).astype(float)))
    df = num_units - 1
    variance = np.concatenate(resampled).var(ddof=1) * num_units / df
    return _with_t_interval(value, np.array([variance]), np.array([df]), num_units)


def median_over_prompts(
    scores: Float[np.ndarray, "prompts instances"], purpose: str, seed: int = 0
) -> Estimate:
    """Median over prompts of the mean over instances, with the error of other instances.

    A prompt may lack an instance: NaN. Prompts are fixed; instances are drawn for all prompts at
    once, by `bootstrap`. Raises ValueError if scores are empty or infinite, or if a prompt or an
    instance has no score.
    """
    scores = np.asarray(scores, float)
    if scores.ndim != 2 or not scores.size:
        raise ValueError(f"shape {scores.shape} of scores must be (prompts, instances), not empty")
    if np.isinf(scores).any():
        raise ValueError("scores=inf must be finite, or NaN where a prompt lacks an instance")
    is_scored = ~np.isnan(scores)
    for axis, of, other in ((1, "prompt", "instance"), (0, "instance", "prompt")):
        if not is_scored.any(axis).all():
            index = int(is_scored.any(axis).argmin())
            raise ValueError(
                f"{of} {index} must have the score of some {other}, but all are NaN; leave it out"
            )
    order = np.lexsort(scores)  # the instances' own order does not matter
    scores, is_scored = np.nan_to_num(scores[:, order]), is_scored[:, order]

    def median(counts: Float[np.ndarray, "resamples units"]) -> Float[np.ndarray, " resamples"]:
        with np.errstate(invalid="ignore"):  # a prompt of which no instance is drawn is left out
            return np.nanmedian((counts @ scores.T) / (counts @ is_scored.T), axis=1)

    return bootstrap(median, scores.shape[1], purpose, seed)


def spread_over_prompts(scores: Float[np.ndarray, "prompts instances"]) -> float | None:
    """Standard deviation of the prompts' scores without what the sample of instances adds to it.

    The component of variance of prompts in the two-way model with random prompts and instances,
    one score each (Searle, Casella & McCulloch 1992, "Variance Components"): the root of
    (mean square of prompts − mean square of the rest) / instances, and 0 if that is negative. None
    if there is one prompt or one instance.
    """
    num_prompts, num_instances = scores.shape
    if min(scores.shape) < 2:
        return None
    of_prompts = scores.mean(axis=1, keepdims=True)
    rest = scores - of_prompts - scores.mean(axis=0, keepdims=True) + scores.mean()
    of_rest = float((rest**2).sum()) / ((num_prompts - 1) * (num_instances - 1))
    between = num_instances * float(of_prompts.var(ddof=1))
    return math.sqrt(max(0.0, between - of_rest) / num_instances)


def finite(name: str, values: Float[np.ndarray, " n"] | Sequence[float]) -> Float[np.ndarray, " n"]:
    """The values as an array. Raises ValueError unless they are finite numbers, one or more."""
    array = np.asarray(values, float)
    if array.ndim != 1 or not len(array):
        raise ValueError(f"shape {array.shape} of {name} must be (n,) with n ≥ 1")
    if not np.isfinite(array).all():
        row = int(np.isfinite(array).argmin())
        raise ValueError(f"{name}[{row}]={array[row]} must be a finite number; leave the row out")
    return array


def positive_weights(
    weights: Float[np.ndarray, " n"] | Sequence[float] | None, num_rows: int
) -> Float[np.ndarray, " n"]:
    """The weights over the largest of them, so that equal weights are 1 as if there were none."""
    if weights is None:
        return np.ones(num_rows)
    array = finite("weights", weights)
    _check_length("weights", array, num_rows)
    if array.min() <= 0:
        row = int(array.argmin())
        raise ValueError(f"weights[{row}]={array[row]} must be > 0; leave the row out")
    return array / array.max()


def _codes(
    name: str, labels: Labels | None, num_rows: int, default: Int[np.ndarray, " n"]
) -> Int[np.ndarray, " n"]:
    """Labels as whole numbers from 0."""
    if labels is None:
        return default
    _check_length(name, labels, num_rows)
    if isinstance(labels, np.ndarray) and labels.dtype.kind in "iu":
        return np.unique(labels, return_inverse=True)[1]
    index: dict[Hashable, int] = {}
    return np.fromiter((index.setdefault(label, len(index)) for label in labels), int, num_rows)


def _check_length(name: str, rows: Any, num_rows: int) -> None:
    if len(rows) != num_rows:
        raise ValueError(f"{len(rows)} {name} must be as many as the {num_rows} values, one a row")


def _strata_of_units(
    unit: Int[np.ndarray, " n"], stratum: Int[np.ndarray, " n"]
) -> Int[np.ndarray, " units"]:
    of_unit = np.empty(unit.max() + 1, int)
    of_unit[unit] = stratum
    return of_unit


def _computed(
    statistic: Callable[[Float[np.ndarray, "resamples units"]], Float[np.ndarray, " resamples"]],
    counts: Float[np.ndarray, "resamples units"],
) -> Float[np.ndarray, " resamples"]:
    values = np.asarray(statistic(counts), float)
    if values.shape != (len(counts),):
        raise ValueError(
            f"shape {values.shape} of statistic's values must be ({len(counts)},), one a row"
        )
    if not np.isfinite(values).all():
        raise ValueError("statistic's values must be finite for every resample, but one is not")
    return values


def _with_t_interval(
    value: float, variances: Float[np.ndarray, " k"], dfs: Float[np.ndarray, " k"], num_units: int
) -> Estimate:
    """The estimate whose variance is a sum of independent ones, each with degrees of freedom."""
    from scipy.special import stdtrit

    if not len(variances):
        return Estimate(value, None, None, None, num_units)
    variance = math.fsum(variances.tolist())
    shares = variances / variance if variance else np.full(len(dfs), 1 / len(dfs))
    df = 1 / math.fsum((shares**2 / dfs).tolist())
    stderr = math.sqrt(variance)
    margin = float(stdtrit(df, 0.975)) * stderr
    return Estimate(value, stderr, (value - margin, value + margin), df, num_units)
