"""The difference of two parts against statsmodels and against draws of units."""

import numpy as np
import pytest

from tk_instruct.uncertainty.parts import difference_of_parts

sm = pytest.importorskip("statsmodels.api")


def test_it_is_a_regression_on_the_part() -> None:
    rng = np.random.default_rng(0)
    units = rng.integers(12, size=300)
    is_first = rng.random(300) < 0.3
    values = rng.normal(size=300) + rng.normal(size=12)[units] + 0.5 * is_first
    weights = np.where(is_first, 1 / is_first.sum(), 1 / (~is_first).sum())
    found = difference_of_parts(values, is_first, units, weights=weights)
    fitted = sm.OLS(values, sm.add_constant(is_first.astype(float))).fit(
        cov_type="cluster", cov_kwds={"groups": units}
    )
    of_coefficients = np.sqrt((300 - 1) / (300 - 2))
    assert found.value == pytest.approx(fitted.params[1])
    assert found.stderr == pytest.approx(fitted.bse[1] / of_coefficients)
    assert found.df == 11


def test_intervals_cover_what_is_true() -> None:
    """Units have rows in both parts, so their own levels fall out of the difference."""
    rng, covered = np.random.default_rng(1), 0
    for _ in range(400):
        level = rng.normal(size=30)
        units = np.repeat(np.arange(30), 10)
        is_first = np.tile(np.arange(10) < 3, 30)
        values = level[units] + rng.normal(size=300) + 2.0 * is_first
        weights = np.where(is_first, 1 / 90, 1 / 210)
        low, high = difference_of_parts(values, is_first, units, weights=weights).ci95 or (0, 0)
        covered += low <= 2.0 <= high
        assert high - low < 1.0  # as independent parts it would be about 1.1
    assert 0.91 <= covered / 400 <= 0.99


def test_strata_are_fixed_and_equal_values_have_no_error() -> None:
    strata = ["a", "a", "b", "b", "a", "b"]
    units = [1, 2, 3, 4, 1, 3]
    is_first = np.array([True, False, True, False, False, True])
    weights = np.where(is_first, 1 / 3, 1 / 3)
    found = difference_of_parts([5.0] * 6, is_first, units, weights=weights, strata=strata)
    assert found.value == pytest.approx(0)
    assert found.stderr == 0
    with pytest.raises(ValueError, match="both parts must have rows"):
        difference_of_parts([1.0, 2.0], np.array([True, True]), weights=np.array([0.5, 0.5]))
