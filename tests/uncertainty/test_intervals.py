"""Errors against statsmodels, slow loops and a bootstrap; intervals by how often they cover."""

import math
from collections.abc import Callable
from statistics import fmean

import numpy as np
import pytest
import statsmodels.api as sm
from jaxtyping import Float, Int

from tk_instruct.uncertainty.intervals import (
    Estimate,
    bootstrap,
    combined,
    mean,
    median_over_prompts,
)

NUM_SIMULATIONS = 2000


def clustered(
    seed: int, num_units: int, effects: str = "normal", sizes: str = "alike"
) -> tuple[Float[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """Scores whose expectation is 0, in units of about 10 rows, and the units."""
    rng = np.random.default_rng(seed)
    rows = {
        "equal": np.full(num_units, 10),
        "alike": rng.integers(5, 16, num_units),
        "wild": np.maximum(1, rng.lognormal(2, 0.8, num_units).astype(int)),
    }[sizes]
    units = np.repeat(np.arange(num_units), rows)
    if effects == "binary":
        return (rng.random(len(units)) < rng.random(num_units)[units]) - 0.5, units
    of_unit = {"normal": rng.normal(size=num_units), "skewed": rng.exponential(size=num_units) - 1}
    return of_unit[effects][units] + rng.normal(size=len(units)), units


def coverage(estimate: Callable[[int], Estimate], truth: float = 0.0) -> float:
    """Share of simulated data sets, one a seed, whose interval covers the truth."""
    hits = 0
    for seed in range(NUM_SIMULATIONS):
        ci95 = estimate(seed).ci95
        assert ci95 is not None
        hits += ci95[0] <= truth <= ci95[1]
    return hits / NUM_SIMULATIONS


@pytest.mark.parametrize("num_units", [2, 10, 119])
@pytest.mark.parametrize("is_weighted", [False, True])
def test_mean_equals_regression_on_a_constant(num_units: int, is_weighted: bool) -> None:
    y, units = clustered(0, num_units, sizes="wild")
    weights = np.random.default_rng(1).exponential(size=len(y)) if is_weighted else None
    model = sm.WLS(y, np.ones(len(y)), weights=1.0 if weights is None else weights)
    fit = model.fit(cov_type="cluster", cov_kwds={"groups": units}, use_t=True)
    ours = mean(y, units, weights=weights)
    assert ours.value == pytest.approx(fit.params[0])
    assert ours.stderr == pytest.approx(fit.bse[0])
    assert ours.ci95 == pytest.approx(fit.conf_int()[0])
    assert (ours.df, ours.num_units) == (pytest.approx(num_units - 1), num_units)


def test_without_units_the_error_is_that_of_a_sample() -> None:
    y = np.random.default_rng(0).normal(size=50)
    assert mean(y).stderr == pytest.approx(y.std(ddof=1) / math.sqrt(50))


def test_equal_weights_give_the_plain_mean() -> None:
    y = np.random.default_rng(0).normal(size=1000)
    assert mean(y, weights=np.full(1000, 0.1)) == mean(y)
    assert mean(y).value == fmean(y)


def slow_stratified_stderr(
    y: Float[np.ndarray, " n"],
    units: Int[np.ndarray, " n"],
    weights: Float[np.ndarray, " n"],
    strata: Int[np.ndarray, " n"],
) -> tuple[float, float]:
    """Standard error and Satterthwaite's degrees of freedom."""
    variances, dfs = [], []
    for stratum in set(strata):
        rows = [row for row in range(len(y)) if strata[row] == stratum]
        mean_here = sum(weights[r] * y[r] for r in rows) / sum(weights[r] for r in rows)
        sums: dict[int, float] = {}
        for r in rows:
            residual = weights[r] * (y[r] - mean_here) / sum(weights)
            sums[units[r]] = sums.get(units[r], 0) + residual
        variances.append(len(sums) / (len(sums) - 1) * sum(e**2 for e in sums.values()))
        dfs.append(len(sums) - 1)
    df = sum(variances) ** 2 / sum(v**2 / d for v, d in zip(variances, dfs, strict=True))
    return math.sqrt(sum(variances)), df


def stratified_data() -> tuple[
    Float[np.ndarray, " n"],
    Int[np.ndarray, " n"],
    Float[np.ndarray, " n"],
    Int[np.ndarray, " n"],
]:
    y, units = clustered(0, 60, sizes="alike")
    strata = np.array([0] * 10 + [1] * 20 + [2] * 30)[units]
    weights = np.array([0.5, 0.3, 0.2])[strata] / np.bincount(strata)[strata]
    return y + 5 * strata, units, weights, strata


def test_stratified_error_equals_a_slow_loop() -> None:
    y, units, weights, strata = stratified_data()
    ours = mean(y, units, weights=weights, strata=strata)
    stderr, df = slow_stratified_stderr(y, units, weights, strata)
    assert (ours.stderr, ours.df, ours.num_units) == (pytest.approx(stderr), pytest.approx(df), 60)


def test_stratified_error_agrees_with_a_bootstrap() -> None:
    y, units, weights, strata = stratified_data()
    sums = np.bincount(units, weights * y)
    totals = np.bincount(units, weights)
    rng = np.random.default_rng(0)
    variance_of_sample = 0.0
    for first, last in ((0, 10), (10, 30), (30, 60)):
        # By stratum: a resample of C units varies by (C − 1) / C of what samples vary.
        drawn = rng.integers(first, last, size=(4000, last - first))
        share = totals[first:last].sum() / totals.sum()
        value = share * sums[drawn].sum(1) / totals[drawn].sum(1)
        variance_of_sample += value.var() * (last - first) / (last - first - 1)
    stderr = mean(y, units, weights=weights, strata=strata).stderr
    assert stderr == pytest.approx(math.sqrt(variance_of_sample), rel=0.05)


def test_a_stratum_of_one_unit_has_its_instances_as_units() -> None:
    y = np.random.default_rng(0).normal(size=40)
    units = np.repeat([0, 1, 2, 3], 10)
    strata = np.repeat([0, 0, 0, 1], 10)
    ours = mean(y, units, strata=strata)
    alone = np.where(units == 3, 100 + np.arange(40), units)
    expected = slow_stratified_stderr(y, alone, np.ones(40), strata)
    assert (ours.stderr, ours.df) == pytest.approx(expected)
    assert ours.num_units == 3 + 10
    # Two rows an instance.
    pairs = np.arange(40) // 2
    ours = mean(y, units, strata=strata, instances=pairs)
    expected = slow_stratified_stderr(
        y, np.where(units == 3, 100 + pairs, units), np.ones(40), strata
    )
    assert (ours.stderr, ours.df) == pytest.approx(expected)
    assert ours.num_units == 3 + 5


def test_a_stratum_of_one_instance_adds_nothing() -> None:
    y, units = clustered(0, 10)
    alone = mean(y, units)
    ours = mean([*y, 7.0], [*units, 99], strata=["many"] * len(y) + ["one"])
    assert alone.stderr is not None
    assert ours.stderr == pytest.approx(alone.stderr * len(y) / (len(y) + 1))
    assert (ours.df, ours.num_units) == (pytest.approx(alone.df), 11)


@pytest.mark.parametrize(
    "estimate",
    [
        mean([0.5]),
        mean([0.5], ["task"], instances=["a"]),
        mean([0.5, 0.7], ["task", "task"], instances=["a", "a"]),
        mean([0.5, 0.7], ["x", "y"], strata=["x", "y"]),
        bootstrap(lambda counts: counts[:, 0], 1, "test"),
        median_over_prompts(np.array([[0.5], [0.7]]), "test"),
    ],
)
def test_one_instance_has_no_error(estimate: Estimate) -> None:
    assert (estimate.stderr, estimate.ci95, estimate.df) == (None, None, None)
    assert estimate.as_scores("rougeL") == {"rougeL": estimate.value}


def test_as_scores() -> None:
    estimate = Estimate(50.0, 2.0, (46.0, 54.0), 100, 101)
    assert estimate.as_scores("rougeL") == {
        "rougeL": 50.0,
        "rougeL_stderr": 2.0,
        "rougeL_ci95": [46.0, 54.0],
    }


def test_equal_values_have_error_0() -> None:
    for estimate in (
        mean([0.1] * 7),
        mean([0.1] * 7, list("aabbbcc"), weights=[1, 2, 3, 4, 5, 6, 7]),
        combined([mean([0.1] * 3)] * 7),
        median_over_prompts(np.full((3, 20), 0.5), "test"),
    ):
        assert estimate.stderr == 0.0
        assert estimate.ci95 == (estimate.value, estimate.value)


def test_labels_may_be_text_or_numbers_of_any_size() -> None:
    y, units = clustered(0, 10)
    expected = mean(y, units)
    assert mean(y, [f"task{unit}" for unit in units]) == expected
    assert mean(y, np.array([f"task{unit}" for unit in units])) == expected
    assert mean(y, units * 2**58 - 2**60) == expected
    assert mean(list(y), list(units)) == expected


def test_order_of_rows_does_not_matter() -> None:
    y, units, weights, strata = stratified_data()
    rows = np.random.default_rng(0).permutation(len(y))
    ours = mean(y, units, weights=weights, strata=strata)
    shuffled = mean(y[rows], units[rows], weights=weights[rows], strata=strata[rows])
    assert shuffled.value == ours.value
    assert shuffled.stderr == pytest.approx(ours.stderr)
    assert shuffled.df == pytest.approx(ours.df)

    scores = np.random.default_rng(0).random((5, 300))
    median = median_over_prompts(scores, "test")
    shuffled = median_over_prompts(scores[:, np.random.default_rng(1).permutation(300)], "test")
    assert shuffled.ci95 == pytest.approx(median.ci95)


def test_a_million_rows() -> None:
    y = np.arange(1_000_000) % 2
    ours = mean(y, np.arange(1_000_000) // 10)
    assert (ours.value, ours.stderr, ours.num_units) == (0.5, 0.0, 100_000)
    assert mean(y).stderr == pytest.approx(0.0005)


def test_copies_of_rows_in_their_units_change_nothing() -> None:
    y, units = clustered(0, 10)
    ours, twice = mean(y, units), mean([*y, *y], [*units, *units])
    assert (twice.value, twice.stderr) == pytest.approx((ours.value, ours.stderr))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"values": []}, r"shape \(0,\) of values must be \(n,\) with n ≥ 1"),
        ({"values": [[1.0]]}, r"shape \(1, 1\) of values"),
        ({"values": [1.0, math.nan]}, r"values\[1\]=nan must be a finite number; leave the row"),
        ({"values": [math.inf, 1.0]}, r"values\[0\]=inf must be"),
        ({"values": [1.0, 2.0], "units": ["a"]}, "1 units must be as many as the 2 values"),
        ({"values": [1.0], "weights": [1.0, 2.0]}, "2 weights must be as many as the 1 values"),
        ({"values": [1.0, 2.0], "weights": [1.0, 0.0]}, r"weights\[1\]=0.0 must be > 0"),
        ({"values": [1.0], "weights": [math.nan]}, r"weights\[0\]=nan must be a finite"),
        (
            {"values": [1.0, 2.0], "units": ["t", "t"], "strata": ["a", "b"]},
            "unit 't' must be in one stratum, but is in 'a' and another",
        ),
    ],
)
def test_refusals_of_mean(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mean(**arguments)  # type: ignore[arg-type]


def test_combined_is_satterthwaites_mean() -> None:
    estimates = [mean(np.random.default_rng(n).normal(n, size=n)) for n in (5, 20, 100)]
    ours = combined(estimates)
    variances = np.array([estimate.stderr for estimate in estimates], float) ** 2
    assert ours.value == pytest.approx(fmean(estimate.value for estimate in estimates))
    assert ours.stderr == pytest.approx(math.sqrt(variances.sum()) / 3)
    assert ours.df == pytest.approx(variances.sum() ** 2 / (variances**2 / [4, 19, 99]).sum())
    assert ours.num_units == 125
    # Two samples: the standard error and the degrees of freedom of Welch's test.
    one, two = (np.random.default_rng(n).normal(n, size=n) for n in (5, 20))
    welch = sm.stats.CompareMeans.from_data(one, two).ttest_ind(usevar="unequal")
    halves = combined([mean(one), mean(-two)])
    assert halves.stderr is not None
    assert halves.value / halves.stderr == pytest.approx(welch[0])
    assert halves.df == pytest.approx(welch[2])


def test_combined_of_strata_is_the_stratified_mean() -> None:
    y, units, _, strata = stratified_data()
    weights = 1 / np.bincount(strata)[strata]
    parts = [mean(y[strata == stratum], units[strata == stratum]) for stratum in range(3)]
    ours = combined(parts)
    whole = mean(y, units, weights=weights, strata=strata)
    assert (ours.value, ours.stderr, ours.df) == pytest.approx(
        (whole.value, whole.stderr, whole.df)
    )


def test_combined_without_an_error() -> None:
    assert combined([mean([1.0]), mean([2.0, 3.0])]) == Estimate(1.75, None, None, None, 3)
    with pytest.raises(ValueError, match="estimates=\\[\\] must be one or more"):
        combined([])


def test_bootstrap_of_a_mean_is_that_of_mean() -> None:
    y = np.random.default_rng(0).normal(size=200)

    def statistic(counts: Float[np.ndarray, "resamples units"]) -> Float[np.ndarray, " resamples"]:
        return counts @ y / 200

    ours, exact = bootstrap(statistic, 200, "test", num_resamples=10_000), mean(y)
    assert ours.value == pytest.approx(exact.value)
    assert ours.stderr == pytest.approx(exact.stderr, rel=0.03)
    assert ours.ci95 == pytest.approx(exact.ci95, abs=0.01)
    assert bootstrap(statistic, 200, "test", num_resamples=10_000) == ours
    assert bootstrap(statistic, 200, "other").ci95 != bootstrap(statistic, 200, "test").ci95
    assert bootstrap(statistic, 200, "test", seed=1).ci95 != bootstrap(statistic, 200, "test").ci95


def test_bootstrap_gives_few_rows_at_once() -> None:
    most = 0

    def statistic(counts: Float[np.ndarray, "resamples units"]) -> Float[np.ndarray, " resamples"]:
        nonlocal most
        most = max(most, counts.size)
        assert (counts.sum(1) == 100_000).all()
        return counts[:, 0]

    bootstrap(statistic, 100_000, "test", num_resamples=100)
    assert most <= 2**22


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((lambda counts: counts, 3, "test"), r"shape \(1, 3\) of statistic's values must be \(1,"),
        ((lambda counts: counts[:, 0] * math.nan, 3, "test"), "must be finite for every resample"),
        ((lambda counts: counts[:, 0], 0, "test"), "num_units=0 must be 1 or more"),
        ((lambda counts: counts[:, 0], 3, "test", 0, 1), "num_resamples=1 must be 2 or more"),
    ],
)
def test_refusals_of_bootstrap(arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        bootstrap(*arguments)


def test_median_over_prompts_leaves_out_what_a_prompt_lacks() -> None:
    nan = math.nan
    scores = np.array([[1.0, 0.0, nan, 1.0], [0.0, 0.0, 0.0, 1.0], [1.0, 1.0, 1.0, nan]])
    ours = median_over_prompts(scores, "test")
    assert ours.value == pytest.approx(2 / 3)
    assert ours.num_units == 4
    assert ours.stderr is not None
    assert ours.stderr > 0


def test_median_over_one_prompt_is_its_mean() -> None:
    y = np.random.default_rng(0).normal(size=500)
    ours, exact = median_over_prompts(y[None], "test"), mean(y)
    assert ours.value == pytest.approx(exact.value)
    assert ours.stderr == pytest.approx(exact.stderr, rel=0.05)


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (np.zeros((0, 3)), r"shape \(0, 3\) of scores must be \(prompts, instances\), not empty"),
        (np.zeros(3), r"shape \(3,\) of scores"),
        (np.array([[math.inf]]), "scores=inf must be finite, or NaN where"),
        (np.array([[1.0, 2.0], [math.nan] * 2]), "prompt 1 must have the score of some instance"),
        (np.array([[1.0, math.nan]]), "instance 1 must have the score of some prompt"),
    ],
)
def test_refusals_of_median_over_prompts(scores: Float[np.ndarray, "p i"], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        median_over_prompts(scores, "test")


@pytest.mark.parametrize(
    ("num_units", "effects", "sizes", "least"),
    [
        *((119, effects, "alike", 0.93) for effects in ("normal", "skewed", "binary")),
        *((30, effects, "alike", 0.93) for effects in ("normal", "binary")),
        (10, "normal", "equal", 0.93),
        # What the docstring says of few units that are skewed or differ much in size.
        (30, "skewed", "alike", 0.92),
        (10, "normal", "wild", 0.88),
    ],
)
def test_coverage_of_mean(num_units: int, effects: str, sizes: str, least: float) -> None:
    covered = coverage(lambda seed: mean(*clustered(seed, num_units, effects, sizes)))
    assert least <= covered <= 0.97


def stratified(
    seed: int, layout: tuple[int, ...], effects: str = "normal"
) -> tuple[Float[np.ndarray, " n"], Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """Scores, units and strata. A stratum's number of units is given; one alone has no effect."""
    parts = []
    for stratum, num_units in enumerate(layout):
        if num_units > 1:
            y, units = clustered(1000 * seed + stratum, num_units, effects)
        else:
            y, units = np.random.default_rng((seed, stratum)).normal(size=60), np.zeros(60, int)
        parts.append((y, units + 1000 * stratum, np.full(len(y), stratum)))
    y, units, strata = map(np.concatenate, zip(*parts, strict=True))
    return y, units, strata


@pytest.mark.parametrize(
    ("layout", "effects", "least", "most"),
    [
        ((30, 30, 30, 29), "skewed", 0.93, 0.97),
        ((10,) * 12, "normal", 0.93, 0.97),
        ((10,) * 12, "binary", 0.93, 0.97),
        # Degrees of freedom by counts of units would give 83 %.
        ((2, 2, 60), "normal", 0.93, 0.97),
        ((40, 30, 20, 10, 8, 5, 3, 2, 1), "normal", 0.92, 0.97),
        ((2,) * 10, "normal", 0.95, 1.0),  # wider than need be
    ],
)
def test_coverage_of_stratified_mean(
    layout: tuple[int, ...], effects: str, least: float, most: float
) -> None:
    def estimate(seed: int) -> Estimate:
        y, units, strata = stratified(seed, layout, effects)
        return mean(y, units, weights=1 / np.bincount(strata)[strata], strata=strata)

    assert least <= coverage(estimate) <= most


@pytest.mark.parametrize("effects", ["normal", "skewed", "binary"])
def test_coverage_of_combined(effects: str) -> None:
    def estimate(seed: int) -> Estimate:
        rng = np.random.default_rng(seed)
        samples = [rng.normal(size=20), clustered(seed, 30, effects), rng.normal(size=400)]
        return combined([mean(samples[0]), mean(*samples[1]), mean(samples[2])])

    assert 0.93 <= coverage(estimate) <= 0.97


def prompts_and_instances(seed: int, num_instances: int) -> Float[np.ndarray, "11 instances"]:
    """Whether instances, easy and hard, are right by prompts, good and bad. Half are, of median."""
    rng = np.random.default_rng(seed)
    prompts, instances = np.linspace(-1, 1, 11)[:, None], 1.5 * rng.normal(size=num_instances)
    return (prompts + instances + rng.logistic(size=(11, num_instances)) > 0).astype(float)


@pytest.mark.parametrize("num_instances", [30, 100])
def test_coverage_of_bootstrap(num_instances: int) -> None:
    def estimate(seed: int) -> Estimate:
        scores = prompts_and_instances(seed, num_instances)

        def statistic(
            counts: Float[np.ndarray, "resamples units"],
        ) -> Float[np.ndarray, " resamples"]:
            return np.median(counts @ scores.T / num_instances, axis=1)

        return bootstrap(statistic, num_instances, "test", seed, num_resamples=200)

    assert 0.93 <= coverage(estimate, truth=0.5) <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("num_instances", [30, 100])
def test_coverage_of_median_over_prompts(num_instances: int) -> None:
    covered = coverage(
        lambda seed: median_over_prompts(prompts_and_instances(seed, num_instances), "test", seed),
        truth=0.5,
    )
    assert 0.93 <= covered <= 0.97
