"""The published averages of FLAN (published.csv), and the setting of ours.

A part is a row in the table of the role of instructions, or a mixture of the ladder of clusters.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any

from tk_instruct.published import Compared, PublishedScore, compare_with, read

from .holdouts import LADDER_HELD_OUT

_METRIC = "average_of_clusters"


@cache
def rows() -> tuple[PublishedScore, ...]:
    """Raises UserError if published.csv does not keep to its columns."""
    return read(Path(__file__).parent / "published.csv")


def setting_of(clusters: tuple[str, ...]) -> dict[str, str]:
    """The setting of an average over clusters, as published.csv has it.

    Ours are of zero-shot generation, each dataset's score the mean over its templates.
    """
    return {
        "clusters": ", ".join(clusters),
        "shots": "zero_shot",
        "method": "generation",
        "templates": "mean over all",
    }


def compared(
    reports: Iterable[Mapping[str, Any]], roles: Mapping[str, Any]
) -> tuple[list[Compared], list[Compared]]:
    """The published averages beside ours: of runs of the ladder, and of the roles' table."""
    same: list[Compared] = []
    others: list[Compared] = []
    for clusters, scores in (*map(_of_ladder, reports), *map(_of_role, roles.items())):
        more_same, more_others = compare_with(rows(), setting_of(clusters), scores)
        same += more_same
        others += more_others
    return same, others


_Scores = dict[tuple[str, str], float]  # (part, metric) → score


def _of_ladder(report: Mapping[str, Any]) -> tuple[tuple[str, ...], _Scores]:
    """The clusters that the ladder holds out, and the score if a report has them all."""
    averages = [
        report["clusters"].get(name, {"average": {}})["average"].get("zero_shot_generation")
        for name in LADDER_HELD_OUT
    ]
    if not all(averages):
        return LADDER_HELD_OUT, {}
    average = fmean(average["mean"] for average in averages)
    return LADDER_HELD_OUT, {(report["trained_on"], _METRIC): average}


def _of_role(role: tuple[str, Any]) -> tuple[tuple[str, ...], _Scores]:
    """The clusters of a row in the roles' table, and its score if it has one."""
    name, row = role
    scores = {} if row["average"] is None else {(name, _METRIC): row["average"]}
    return tuple(row["clusters"]), scores
