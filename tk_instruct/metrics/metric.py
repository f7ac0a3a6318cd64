"""What a metric gives: scores, and for each score a value of every example.

All that is said about a score's uncertainty is about the mean of these values: its standard error,
and the difference of two systems on the same examples.
"""

import math
import warnings
from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, update_wrapper
from numbers import Real
from statistics import fmean
from typing import Any

import numpy as np
from jaxtyping import Float

from tk_instruct.errors import UserError
from tk_instruct.metrics.target import Target, check_lengths
from tk_instruct.randomness import draw

MOST = 1e100
"""The largest value of an example."""
MAX_GROUPS = 100
"""Groups of the delete-a-group jackknife, and so calls of a metric that is no mean."""


@dataclass(frozen=True, eq=False)
class Measured:
    """A score of some examples, and the value that each of them has for it.

    If the score is a mean, an example's value is its own score. If not, it is its jackknife
    pseudo-value, n·θ − (n − 1)·θ₋ᵢ, with θ the score of all n examples and θ₋ᵢ that of all but
    example i (Tukey 1958; Efron & Tibshirani 1993, chapter 11), less what their mean is above the
    score. So the mean of the values is the score.

    Attributes:
        score: in the metric's unit, as the values are.
        compute: gives the values. It is called once, when they are asked for.
        groups: a label for each example, where examples of a group have no independent values, such
            as the answers to one question. A standard error then has to be clustered by it.
        is_mean: whether the values are the examples' own scores. If not, they say nothing of a
            single example, nor of a part of the examples.
    """

    score: float
    compute: Callable[[], Float[np.ndarray, " n"]] = field(repr=False)
    groups: Sequence[str] | None = field(default=None, repr=False)
    is_mean: bool = True

    @classmethod
    def of(
        cls,
        score: float,
        values: Float[np.ndarray, " n"],
        groups: Sequence[str] | None = None,
        is_mean: bool = True,
    ) -> "Measured":
        """A score whose values are there already."""
        return cls(score, lambda: values, groups, is_mean)

    @cached_property
    def values(self) -> Float[np.ndarray, " n"]:
        """Each example's value. NaN: the example does not count for this score.

        All are NaN if they cannot be told, such as those of a metric that takes only all examples.
        """
        return self.compute()


def mean(values: Sequence[float], scale: float = 100) -> Measured:
    """The mean of the values, times scale."""
    return Measured(scale * fmean(values), lambda: scale * np.array(values, float))


def jackknife(
    score: float,
    without: Callable[[], Float[np.ndarray, " n"]],
    groups: Sequence[str] | None = None,
) -> Measured:
    """A score that is no mean. without gives the score of all examples but each one."""

    def pseudo_values() -> Float[np.ndarray, " n"]:
        left = without()
        return _centred(len(left) * score - (len(left) - 1) * left, score)

    return Measured(score, pseudo_values, groups, is_mean=False)


def _centred(values: Float[np.ndarray, " n"], score: float) -> Float[np.ndarray, " n"]:
    """The values moved so that their mean is the score. NaN are left out."""
    counted = values[~np.isnan(values)]
    return values + (score - counted.mean()) if counted.size else values


def groups_of(measured: Mapping[str, Measured]) -> Sequence[str] | None:
    """The groups that the standard errors of all these scores have to be clustered by, if any."""
    return next((of.groups for of in measured.values() if of.groups is not None), None)


def no_means(measured: Mapping[str, Measured]) -> tuple[str, ...]:
    """The names of the scores that are no mean of the examples' own scores."""
    return tuple(name for name, of in measured.items() if not of.is_mean)


def scores(measured: Mapping[str, Measured]) -> dict[str, float]:
    """Name → score."""
    return {name: of.score for name, of in measured.items()}


class Metric:
    """A metric, made of the function that measures, as a decorator. Called, it gives the scores.

    So it is one of SeqIO's metric_fns. The function has the parameters targets and predictions and
    gives name → `Measured`, the main score first.
    """

    __name__: str

    def __init__(
        self, measure: Callable[[Sequence[Target], Sequence[str]], dict[str, Measured]]
    ) -> None:
        update_wrapper(self, measure)
        self.measure = measure

    def __call__(self, targets: Sequence[Target], predictions: Sequence[str]) -> dict[str, float]:
        return scores(self.measure(targets, predictions))


def number(value: Any) -> float:
    """The float of a number or of a SeqIO metric value. Raises UserError for anything else."""
    value = getattr(value, "value", value)
    if not isinstance(value, Real):
        raise UserError(f"a metric gives {value!r:.60}, which is no number; have it give numbers")
    return float(value)


def measure(
    metric: Callable[..., Mapping[str, Any]],
    targets: Sequence[Any],
    predictions: Sequence[Any],
    ids: Sequence[str],
) -> dict[str, Measured]:
    """Scores and values of any function of (targets, predictions), as SeqIO's metric_fns are.

    The function is called on all examples, then on each one. A score that is the mean of what
    single examples give has these as values; an example that gives no such score, or NaN, does not
    count for it. Other scores, and all those of a function that raises an error for one example,
    have values by the delete-a-group jackknife (Kott 2001, Journal of Official Statistics 17) with
    at most `MAX_GROUPS` groups. There the examples of a group share one value, and
    `Measured.groups` has the groups.

    Args:
        ids: the unit that each example was sampled in (`Task.unit`), or the example's own id. An id
            is left out whole. Its group depends on the id alone, so that systems have the same
            groups; only if there are no more than `MAX_GROUPS` ids, each is a group.

    Raises:
        UserError: a score is no number.
        ValueError: there are no targets, or not one prediction for each.
    """
    if isinstance(metric, Metric):
        return metric.measure(targets, predictions)
    check_lengths(targets, predictions)
    whole = _numbers(metric, targets, predictions)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # such as of classes that a part of the examples lacks
        single = _of_each(metric, targets, predictions)
        found = {name: _as_mean(score, name, single) for name, score in whole.items()}
        if None in found.values():
            left_out = _by_groups(metric, whole, single, targets, predictions, ids)
    return {name: of or left_out[name] for name, of in found.items()}


def _numbers(metric: Callable[..., Mapping[str, Any]], *columns: Sequence[Any]) -> dict[str, float]:
    return {name: number(value) for name, value in metric(*columns).items()}


def _of_each(
    metric: Callable[..., Mapping[str, Any]], targets: Sequence[Any], predictions: Sequence[Any]
) -> list[dict[str, float]]:
    """The scores of each example alone; none if one raises an error."""
    try:
        return [_numbers(metric, [t], [p]) for t, p in zip(targets, predictions, strict=True)]
    except Exception:  # whatever a user's function raises
        return []


def _as_mean(score: float, name: str, single: Sequence[Mapping[str, float]]) -> Measured | None:
    """The score as a mean of single examples; None if it is none."""
    values = np.array([of.get(name, math.nan) for of in single])
    counted = values[~np.isnan(values)]
    if not len(counted) or not _are_usable([score, *counted]):
        return None
    tolerance = 1e-4 if score == round(score, 4) else 1e-9  # some metrics round
    is_mean = math.isclose(fmean(counted), score, rel_tol=1e-6, abs_tol=tolerance)
    return Measured.of(score, values) if is_mean else None


def _by_groups(
    metric: Callable[..., Mapping[str, Any]],
    whole: Mapping[str, float],
    single: Sequence[Mapping[str, float]],
    targets: Sequence[Any],
    predictions: Sequence[Any],
    ids: Sequence[str],
) -> dict[str, Measured]:
    """The delete-a-group jackknife of each score."""
    is_few = len(set(ids)) <= MAX_GROUPS
    groups = list(ids) if is_few else [str(draw(0, "jackknife", id_) % MAX_GROUPS) for id_ in ids]
    members: dict[str, set[int]] = {}
    for row, group in enumerate(groups):
        members.setdefault(group, set()).add(row)
    left = {group: _without(rows, metric, targets, predictions) for group, rows in members.items()}
    found = {}
    for name, score in whole.items():
        of_group = {group: scores.get(name, math.nan) for group, scores in left.items()}
        counted = [row for row, of in enumerate(single) if name in of] or range(len(groups))
        values = _pseudo_values(score, of_group, groups, counted)
        found[name] = Measured.of(score, _centred(values, score), groups, is_mean=False)
    return found


def _pseudo_values(
    score: float, left: Mapping[str, float], groups: Sequence[str], counted: Sequence[int]
) -> Float[np.ndarray, " n"]:
    """h·θ − (h − 1)·θ₋ᵍ of each counted row's group, where 1 / h is the group's share of rows.

    left has the scores θ₋ᵍ of all rows but a group. For groups of unequal size see Busing, Meijer &
    van der Leeden 1999, Statistics and Computing 9. All are NaN if a θ₋ᵍ is missing or too
    large, or if there is one group.
    """
    values = np.full(len(groups), math.nan)
    sizes = Counter(groups[row] for row in counted)
    if len(sizes) > 1 and _are_usable([score, *(left[group] for group in sizes)]):
        for row in counted:
            h = len(counted) / sizes[groups[row]]
            values[row] = h * score - (h - 1) * left[groups[row]]
    return values


def _are_usable(numbers: Iterable[float]) -> bool:
    """Whether sums of their squares are finite."""
    return all(abs(number) <= MOST for number in numbers)


def _without(
    rows: Container[int],
    metric: Callable[..., Mapping[str, Any]],
    targets: Sequence[Any],
    predictions: Sequence[Any],
) -> Mapping[str, float]:
    """The scores of all examples but some; none if the function raises an error."""
    kept = [row for row in range(len(targets)) if row not in rows]
    try:
        return _numbers(metric, [targets[i] for i in kept], [predictions[i] for i in kept])
    except Exception:  # whatever a user's function raises
        return {}
