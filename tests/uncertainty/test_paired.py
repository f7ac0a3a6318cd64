"""Tests and their corrections against statsmodels, SciPy and slow loops."""

import itertools
import math
from statistics import NormalDist

import numpy as np
import pytest
import scipy.stats
from jaxtyping import Float, Int
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower

from tk_instruct.uncertainty.intervals import mean
from tk_instruct.uncertainty.paired import (
    holm,
    paired_difference,
    sign_test,
    smallest_detectable_difference,
)


def slow_p_value(sums: Float[np.ndarray, " units"]) -> float:
    """Share of all ways to exchange the systems of units."""
    totals = [
        abs(sum(sign * s for sign, s in zip(signs, sums, strict=True)))
        for signs in itertools.product((1, -1), repeat=len(sums))
    ]
    return sum(total >= totals[0] - 1e-9 for total in totals) / len(totals)


@pytest.mark.parametrize("num_units", [2, 5, 9])
def test_few_units_are_exchanged_in_all_ways(num_units: int) -> None:
    rng = np.random.default_rng(num_units)
    first, second = rng.random(40), rng.random(40) + 0.1
    units, weights = np.arange(40) % num_units, rng.exponential(size=40)
    ours = paired_difference(first, second, units, weights=weights, purpose="test")
    assert ours.difference == mean(second - first, units, weights=weights)
    sums = np.bincount(units, weights * (second - first))
    assert ours.p_value == pytest.approx(slow_p_value(sums))


def test_ties_count_as_large() -> None:
    first, second = np.zeros(6), np.array([0.1, 0.2, 0.3, 0.1, 0.2, -0.3])
    assert paired_difference(first, second, purpose="test").p_value == slow_p_value(second)


@pytest.mark.parametrize("num_units", [14, 119, 3000])
def test_many_units_are_exchanged_at_random(num_units: int) -> None:
    difference = np.random.default_rng(num_units).normal(1.5 / math.sqrt(num_units), size=num_units)
    ours = paired_difference(np.zeros(num_units), difference, purpose="test").p_value
    theirs = scipy.stats.permutation_test(
        (difference,),
        lambda x, axis: np.abs(x.sum(axis)),
        permutation_type="samples",
        alternative="greater",
        n_resamples=9999,
        batch=100,
        rng=np.random.default_rng(0),
    ).pvalue
    # Both are shares of 10,000: four standard deviations of their difference.
    assert ours == pytest.approx(theirs, abs=4 * math.sqrt(2 * theirs * (1 - theirs) / 10_000))


def test_exchanges_depend_on_seed_and_purpose_and_not_on_order() -> None:
    rng = np.random.default_rng(0)
    first, second, units = rng.random(200), rng.random(200) + 0.05, np.arange(200) % 40
    ours = paired_difference(first, second, units, purpose="test").p_value
    assert paired_difference(first, second, units, purpose="test").p_value == ours
    others = {
        paired_difference(first, second, units, purpose="test", seed=1).p_value,
        paired_difference(first, second, units, purpose="other").p_value,
    }
    assert len(others | {ours}) == 3
    rows = rng.permutation(200)
    shuffled = paired_difference(first[rows], second[rows], units[rows], purpose="test")
    assert shuffled.p_value == pytest.approx(ours, abs=2e-4)
    # Which of the two is first does not matter either.
    swapped = paired_difference(second, first, units, purpose="test").p_value
    assert ours is not None
    assert swapped == pytest.approx(ours, abs=4 * math.sqrt(2 * ours * (1 - ours) / 10_000))


def test_equal_systems() -> None:
    y = np.random.default_rng(0).random(50)
    ours = paired_difference(y, y, np.arange(50) % 20, purpose="test")
    assert (ours.difference.value, ours.difference.stderr) == (0.0, 0.0)
    assert (ours.p_value, ours.smallest_detectable) == (1.0, None)  # no spread to tell it from


def test_either_order_of_the_systems_has_the_same_p_value() -> None:
    x, y = np.random.default_rng(3).normal((0, 0.3), 1, (60, 2)).T
    ours = paired_difference(x, y, purpose="test")
    assert ours.p_value is not None
    assert 0.001 < ours.p_value < 0.9
    assert paired_difference(y, x, purpose="test").p_value == ours.p_value


def test_one_instance_has_no_p_value() -> None:
    ours = paired_difference([0.0], [1.0], purpose="test")
    assert ours.difference.value == 1.0
    assert (ours.difference.stderr, ours.p_value, ours.smallest_detectable) == (None, None, None)


def test_a_stratum_of_one_unit_has_its_instances_exchanged() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.random(9), rng.random(9)
    units, strata = list("aabbccddd"), [0] * 6 + [1] * 3
    ours = paired_difference(first, second, units, strata=strata, purpose="test")
    sums = np.bincount([0, 0, 1, 1, 2, 2, 3, 4, 5], second - first)
    assert ours.p_value == pytest.approx(slow_p_value(sums))
    assert ours.difference == mean(second - first, units, strata=strata)


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ([1.0, 2.0], [1.0], "1 values of second must be as many as the 2 of first"),
        ([math.nan], [1.0], r"first\[0\]=nan must be a finite number"),
        ([1.0], [math.inf], r"second\[0\]=inf must be a finite number"),
        ([], [], r"shape \(0,\) of first"),
    ],
)
def test_refusals_of_paired_difference(
    first: list[float], second: list[float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        paired_difference(first, second, purpose="test")


@pytest.mark.parametrize("num_wins", [0, 1, 5, 40])
@pytest.mark.parametrize("num_losses", [0, 1, 6, 400])
def test_sign_test_is_mcnemars(num_wins: int, num_losses: int) -> None:
    ours = sign_test(num_wins, num_losses)
    assert ours == sign_test(num_losses, num_wins)
    if num_wins + num_losses == 0:
        assert ours == 1.0
    else:
        table = [[10, num_wins], [num_losses, 10]]
        assert ours == pytest.approx(mcnemar(table, exact=True).pvalue)
        assert ours == pytest.approx(scipy.stats.binomtest(num_wins, num_wins + num_losses).pvalue)


def test_sign_test_of_many() -> None:
    z = 2_000 / math.sqrt(10**6)
    expected = 2 * NormalDist().cdf(-z)
    assert sign_test(501_000, 499_000) == pytest.approx(expected, rel=0.01)
    with pytest.raises(ValueError, match="num_wins=-1 and num_losses=3 must be 0 or more"):
        sign_test(-1, 3)


@pytest.mark.parametrize("p_values", [[0.04], [0.01, 0.04, 0.03, 0.005], [0.5, 0.6, 0.5], [0, 1]])
def test_holm(p_values: list[float]) -> None:
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1])


def test_holm_of_none_and_of_nonsense() -> None:
    assert holm([]) == []
    for p_value in (math.nan, -0.1, 1.1):
        with pytest.raises(ValueError, match=rf"p_value={p_value} must be in \[0, 1\]"):
            holm([0.5, p_value])


@pytest.mark.parametrize("df", [1, 2, 9.5, 118, 1e7])
@pytest.mark.parametrize(("alpha", "power"), [(0.05, 0.8), (0.01, 0.9), (0.001, 0.5)])
def test_smallest_detectable_difference(df: float, alpha: float, power: float) -> None:
    ours = smallest_detectable_difference(2.0, df, alpha, power)
    num = df + 1
    # The other side's share of the power is all but 0, and NaN in statsmodels.
    found = TTestPower().power(ours / 2.0 / math.sqrt(num), num, alpha / 2, df, "larger")
    assert found == pytest.approx(power, abs=1e-4)


def test_smallest_detectable_difference_of_many_is_normal() -> None:
    expected = NormalDist().inv_cdf(0.975) + NormalDist().inv_cdf(0.8)
    assert smallest_detectable_difference(1.0, 1e9) == pytest.approx(expected, rel=1e-5)
    assert smallest_detectable_difference(0.0, 5) == 0.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-1.0, 5.0), "stderr=-1.0 must be a finite number ≥ 0"),
        ((math.nan, 5.0), "stderr=nan must be"),
        ((1.0, 0.0), "df=0.0 must be > 0"),
        ((1.0, 5.0, 0.8, 0.8), "alpha=0.8 and power=0.8 must be 0 < alpha < power < 1"),
    ],
)
def test_refusals_of_smallest_detectable(arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        smallest_detectable_difference(*arguments)


def two_systems(
    seed: int, num_units: int, shift: float = 0.0
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """Scores of two systems whose unit effects differ around the shift, and the units."""
    rng = np.random.default_rng(seed)
    units = np.repeat(np.arange(num_units), rng.integers(5, 16, num_units))
    shared = rng.exponential(size=num_units)[units] + rng.normal(size=len(units))
    first, second = (
        shared + 0.5 * rng.normal(size=num_units)[units] + 0.5 * rng.normal(size=len(units))
        for _ in range(2)
    )
    return first, second + shift, units


@pytest.mark.parametrize("num_units", [12, 30, pytest.param(119, marks=pytest.mark.slow)])
def test_of_equal_systems_one_in_twenty_is_found_different(num_units: int) -> None:
    num_found = num_covered = 0
    for seed in range(2000):
        first, second, units = two_systems(seed, num_units)
        ours = paired_difference(first, second, units, purpose="test", seed=seed)
        assert ours.p_value is not None
        assert ours.difference.ci95 is not None
        num_found += ours.p_value <= 0.05
        num_covered += ours.difference.ci95[0] <= 0 <= ours.difference.ci95[1]
    assert 0.035 <= num_found / 2000 <= 0.06
    assert 0.93 <= num_covered / 2000 <= 0.97


@pytest.mark.parametrize("num_units", [12, 30])
def test_the_smallest_detectable_difference_is_found_in_four_of_five(num_units: int) -> None:
    shift = smallest_detectable_difference(1 / math.sqrt(num_units), num_units - 1)
    num_found = np.zeros(2)
    for seed in range(2000):
        difference = np.random.default_rng(seed).normal(shift, size=num_units)
        ours = paired_difference(np.zeros(num_units), difference, purpose="test", seed=seed)
        assert ours.p_value is not None
        assert ours.difference.ci95 is not None
        num_found += [
            not ours.difference.ci95[0] <= 0 <= ours.difference.ci95[1],
            ours.p_value <= 0.05,
        ]
    assert num_found / 2000 == pytest.approx([0.8, 0.8], abs=0.03)
