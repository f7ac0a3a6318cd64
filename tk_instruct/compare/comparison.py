"""The paired comparison of systems on the same instances."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace

import msgspec
import numpy as np
from jaxtyping import Float

from tk_instruct.compare.systems import Side
from tk_instruct.errors import UserError
from tk_instruct.randomness import draw
from tk_instruct.scored_instances import ScoredInstances
from tk_instruct.uncertainty.intervals import Estimate
from tk_instruct.uncertainty.paired import PairedDifference, holm, paired_difference, sign_test

_RIGHT_OR_WRONG = {0.0, 100.0}


class Counts(msgspec.Struct, frozen=True):
    """How often the second system is better, equal and worse, and the p-value of a sign test."""

    wins: int
    ties: int
    losses: int
    p_value: float


class Category(msgspec.Struct, frozen=True):
    """A comparison within a category. The p-value is corrected for the number of categories."""

    name: str
    num_instances: int
    num_units: int
    first: Estimate
    second: Estimate
    paired: PairedDifference
    corrected_p_value: float | None


class Instance(msgspec.Struct, frozen=True):
    """An instance with the answers of both systems, and their scores if it has its own."""

    id: str
    task: str
    references: Sequence[str]
    first_prediction: str
    second_prediction: str
    first: float | None
    second: float | None


class Comparison(msgspec.Struct, frozen=True):
    """What can be said of two systems. Differences are second minus first.

    Attributes:
        corrected_p_value: for the number of pairs of systems.
        instances: counts over instances. The sign test takes them as independent, which those of a
            unit are not. Where scores are right or wrong, it is McNemar's exact test. Instances
            without a score of their own (the metric is no mean) are left out; None if all are.
        units: counts over the units' mean differences.
        better: the instances where the second system is better by most, worse: where it is worse.
    """

    first: str
    second: str
    paired: PairedDifference
    corrected_p_value: float | None
    instances: Counts | None
    units: Counts
    categories: list[Category]
    better: list[Instance]
    worse: list[Instance]


class Report(msgspec.Struct, frozen=True):
    """All pairs of systems on the same instances.

    Attributes:
        name: what they were evaluated on.
        unit: what errors are clustered by, in words.
        num_left_out: instances that no system predicted.
        is_right_or_wrong: whether each instance's score is 0 or 100.
    """

    name: str
    protocol: str
    metric: str
    lower_is_better: bool
    is_right_or_wrong: bool
    unit: str
    num_instances: int
    num_units: int
    num_left_out: int
    systems: dict[str, Estimate]
    comparisons: list[Comparison]


def report(side: Side, metric: str | None, num_shown: int) -> Report:
    """Compares each pair of systems by a metric, by default the evaluation's main one.

    num_shown is how many of the most different instances are named, each way. Raises UserError if
    not all systems have the metric.
    """
    metric = metric or _main_metric(next(iter(side.systems.values())))
    tables = _counted(side.systems, metric)
    first = next(iter(tables.values()))
    if side.num_left_out and not first.are_scores(metric).all():
        raise UserError(
            f"{side.name}: no system predicted {side.num_left_out:,} instances, and {metric} is no "
            "mean, so that it is not known of the others alone; predict all, or give another "
            "--metric"
        )
    pairs = [
        _compare((one, other), tables[one], tables[other], metric, num_shown)
        for one, other in itertools.combinations(tables, 2)
    ]
    corrected = _corrected([pair.paired for pair in pairs])
    values = {float(value) for table in tables.values() for value in table.values[metric]}
    return Report(
        name=side.name,
        protocol=first.about.protocol,
        metric=metric,
        lower_is_better=metric in first.about.lower_is_better,
        is_right_or_wrong=values <= _RIGHT_OR_WRONG,
        unit=first.about.unit,
        num_instances=len(first),
        num_units=len(first.by("unit")),
        num_left_out=side.num_left_out,
        systems={name: table.estimate(metric) for name, table in tables.items()},
        comparisons=[
            msgspec.structs.replace(pair, corrected_p_value=p_value)
            for pair, p_value in zip(pairs, corrected, strict=True)
        ],
    )


def _main_metric(table: ScoredInstances) -> str:
    """The evaluation's main metric, or the first one that these rows have: tasks may differ."""
    names = (table.about.main, *table.values)
    return next(
        (name for name in names if not np.isnan(table.values[name]).all()), table.about.main
    )


def _counted(systems: Mapping[str, ScoredInstances], metric: str) -> dict[str, ScoredInstances]:
    """The rows that count for the metric. Raises UserError if a system does not have it."""
    for name, table in systems.items():
        if metric not in table.values:
            raise UserError(
                f"{name} has no scores called {metric!r}; --metric must be one of "
                f"{', '.join(table.values)}"
            )
    counts = np.logical_and.reduce([~np.isnan(of.values[metric]) for of in systems.values()])
    if not counts.any():
        raise UserError(f"no instance counts for {metric} in all systems; give another --metric")
    return {
        name: table if counts.all() else table.chosen(counts) for name, table in systems.items()
    }


def _compare(
    names: tuple[str, str],
    first: ScoredInstances,
    second: ScoredInstances,
    metric: str,
    num_shown: int,
) -> Comparison:
    sign = -1.0 if metric in first.about.lower_is_better else 1.0
    gains = _without_rounding(sign * (second.values[metric] - first.values[metric]))
    are_scores = first.are_scores(metric) & second.are_scores(metric)
    shown = np.where(are_scores, gains, _gains_of_answers(first, second, gains))
    order = np.array(sorted(range(len(gains)), key=lambda row: _shuffled(first, row)), int)
    ranked = order[np.argsort(-shown[order], kind="stable")]
    better = [row for row in ranked[:num_shown] if shown[row] > 0]
    worse = [row for row in ranked[::-1][:num_shown] if shown[row] < 0]
    return Comparison(
        *names,
        paired=_paired(first, second, metric, "compare"),
        corrected_p_value=None,
        instances=_counts(gains[are_scores]) if are_scores.any() else None,
        units=_counts(_of_units(first, gains)),
        categories=_categories(first, second, metric),
        better=_instances(first, second, metric, better),
        worse=_instances(first, second, metric, worse),
    )


def _gains_of_answers(
    first: ScoredInstances, second: ScoredInstances, gains: Float[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """What instances add to the difference of a metric that is no mean. 0 for equal answers."""
    answers = zip(first.predictions, second.predictions, strict=True)
    is_equal = np.array([(one or "") == (other or "") for one, other in answers])
    sums: dict[str, list[float]] = {}
    for task, gain in zip(first.labels["task"], gains, strict=True):
        sums.setdefault(task, []).append(gain)
    of_task = np.array([np.mean(sums[task]) for task in first.labels["task"]])
    return np.where(is_equal, 0.0, gains - of_task)


def _shuffled(table: ScoredInstances, row: int) -> int:
    """A number by which equal differences are shown in an order that is not the data's."""
    return draw(0, "compare", table.labels["task"][row], table.labels["id"][row])


def _paired(
    first: ScoredInstances, second: ScoredInstances, metric: str, purpose: str
) -> PairedDifference:
    levels = first.about.levels
    found = paired_difference(
        first.values[metric],
        second.values[metric],
        first.labels["unit"],
        weights=first.weights() if levels else None,
        strata=first.labels["category"] if "category" in levels else None,
        instances=first.labels["instance"],
        purpose=purpose,
    )
    if metric not in first.about.percentages:
        return found
    return replace(found, difference=found.difference.within(-100.0, 100.0))


def _counts(gains: Float[np.ndarray, " n"]) -> Counts:
    wins, losses = int((gains > 0).sum()), int((gains < 0).sum())
    return Counts(wins, len(gains) - wins - losses, losses, sign_test(wins, losses))


def _of_units(
    table: ScoredInstances, gains: Float[np.ndarray, " n"]
) -> Float[np.ndarray, " units"]:
    """The mean gain of each unit."""
    sums: dict[str, list[float]] = {}
    for unit, gain in zip(table.labels["unit"], gains, strict=True):
        sums.setdefault(unit, []).append(gain)
    return _without_rounding(np.array([np.mean(of) for of in sums.values()]))


def _without_rounding(gains: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """The gains; what is 0 but for rounding is 0."""
    return np.where(np.abs(gains) < 1e-9, 0.0, gains)


def _categories(first: ScoredInstances, second: ScoredInstances, metric: str) -> list[Category]:
    """The comparison by category; empty if there is only one.

    Also empty if categories are parts of tasks and the metric is no mean, which parts do not have.
    """
    of_first, of_second = first.by("category"), second.by("category")
    are_parts = any(len(task.by("category")) > 1 for task in first.by("task").values())
    if len(of_first) < 2 or (are_parts and not first.are_scores(metric).all()):
        return []
    found = {
        name: _paired(of_first[name], of_second[name], metric, f"compare {name}")
        for name in sorted(of_first)
    }
    return [
        Category(
            name,
            len(of_first[name]),
            len(of_first[name].by("unit")),
            of_first[name].estimate(metric),
            of_second[name].estimate(metric),
            paired,
            corrected,
        )
        for (name, paired), corrected in zip(
            found.items(), _corrected(list(found.values())), strict=True
        )
    ]


def _corrected(pairs: Sequence[PairedDifference]) -> list[float | None]:
    """The p-values corrected for their number (Holm). None stays None and is not counted."""
    p_values = [pair.p_value for pair in pairs]
    corrected = iter(holm([p for p in p_values if p is not None]))
    return [None if p is None else next(corrected) for p in p_values]


def _instances(
    first: ScoredInstances, second: ScoredInstances, metric: str, rows: Sequence[int]
) -> list[Instance]:
    are_scores = first.are_scores(metric) & second.are_scores(metric)
    return [
        Instance(
            first.labels["id"][row],
            first.labels["task"][row],
            first.references[row],
            first.predictions[row] or "",
            second.predictions[row] or "",
            float(first.values[metric][row]) if are_scores[row] else None,
            float(second.values[metric][row]) if are_scores[row] else None,
        )
        for row in rows
    ]
