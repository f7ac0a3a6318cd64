"""Lines through scores: against statsmodels' ordinary least squares."""

import numpy as np
import pytest

from tk_instruct.uncertainty.fits import log_linear

X = np.array([8, 32, 128, 256, 512, 757.0, 8, 757])


def test_as_statsmodels_has_it() -> None:
    sm = pytest.importorskip("statsmodels.api")
    rng = np.random.default_rng(0)
    for _ in range(20):
        scores = 20 + 12 * np.log10(X) + rng.normal(0, 3, len(X))
        theirs = sm.OLS(scores, sm.add_constant(np.log10(X))).fit()
        ours = log_linear(X, scores)
        assert ours is not None
        assert (ours.intercept, ours.slope.value) == pytest.approx(tuple(theirs.params))
        assert ours.slope.stderr == pytest.approx(theirs.bse[1])
        assert ours.slope.ci95 == pytest.approx(tuple(theirs.conf_int()[1]))
        assert (ours.slope.df, ours.slope.num_units) == (6, 8)
        assert ours.r_squared == pytest.approx(theirs.rsquared)
        for x in (1, 8, 100, 5000.0):
            there = theirs.get_prediction([[1, np.log10(x)]])
            assert ours.at(x).value == pytest.approx(there.predicted_mean[0])
            assert ours.at(x).ci95 == pytest.approx(tuple(there.conf_int()[0]))


def test_few_points() -> None:
    assert log_linear([8], [1]) is None
    assert log_linear([8, 8, 8], [1, 2, 3]) is None
    two = log_linear([10, 100], [1, 3])
    assert two is not None
    assert (two.slope.value, two.slope.ci95, two.at(1000).value) == (2, None, pytest.approx(5))
    assert two.at(1000).ci95 is None
    level = log_linear([1, 10, 70], [0.1, 0.1, 0.1])
    assert level is not None
    assert (level.slope.value, level.slope.ci95, level.r_squared) == (0, (0, 0), 1)


@pytest.mark.parametrize(
    ("x", "scores", "message"),
    [
        ([1, 2], [1], "2 x must be as many as the 1 scores"),
        ([0, 2], [1, 2], "x=0.0 must be above 0"),
        ([1, 2], [1, float("nan")], "must be a finite number"),
        ([], [], "must be"),
    ],
)
def test_nonsense_is_refused(x: list[float], scores: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        log_linear(x, scores)
