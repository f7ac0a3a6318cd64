"""The published averages of FLAN (published.csv), and the setting of ours.

A part is a row in the table of the role of instructions, or a mixture of the ladder of clusters.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any

from tk_instruct.published import PublishedScore, read

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


def ladder_scores(report: Mapping[str, Any]) -> dict[tuple[str, str], float]:
    """(part, metric) → score of a report, if it has all clusters that the ladder holds out."""
    averages = [
        report["clusters"].get(name, {"average": {}})["average"].get("zero_shot_generation")
        for name in LADDER_HELD_OUT
    ]
    if not all(averages):
        return {}
    return {(report["trained_on"], _METRIC): fmean(average["mean"] for average in averages)}


def role_scores(roles: Mapping[str, Any]) -> dict[tuple[str, str], float]:
    """(part, metric) → score of the table of the role of instructions."""
    return {
        (role, _METRIC): row["average"] for role, row in roles.items() if row["average"] is not None
    }
