"""The published scores of T0 (published.csv), and the setting of ours."""

from functools import cache
from pathlib import Path

from tk_instruct.published import Compared, PublishedScore, compare_with, read
from tk_instruct.scored_instances import MAIN, ScoredInstances

from . import t0
from .summary import Report
from .templates import VERSIONS


@cache
def rows() -> tuple[PublishedScore, ...]:
    """Raises UserError if published.csv does not keep to its columns."""
    return read(Path(__file__).parent / "published.csv")


def setting_of(report: Report, row: str) -> dict[str, str]:
    """The setting of a row of a report, as published.csv has it."""
    summary = report.datasets[row]
    names = [str(task.dataset) for task in t0.tasks() if task.eval]
    num_prompts = names.count(row)
    is_theirs = report.templates in VERSIONS.values()
    return {
        "method": summary.method,
        "templates": "PromptSource" if is_theirs else report.templates,
        "split": summary.split,
        "instances": f"the first {report.limit}" if report.limit else "all",
        "prompts": "all"
        if summary.num_prompts == num_prompts
        else f"{summary.num_prompts} of {num_prompts}",
    }


def compared(report: Report) -> tuple[list[Compared], list[Compared]]:
    """The published scores beside those of a report, of the same setting and of others."""
    same: list[Compared] = []
    others: list[Compared] = []
    for row, summary in report.datasets.items():
        scores = {
            (row, f"{summary.metric}_median"): summary.median,
            (row, f"{summary.metric}_interquartile_range"): summary.interquartile_range,
        }
        more_same, more_others = compare_with(rows(), setting_of(report, row), scores)
        same += more_same
        others += more_others
    return same, others


def beside(scored: ScoredInstances) -> tuple[list[Compared], list[Compared]]:
    """The published scores beside each data set's mean over prompts.

    The published ones are medians, so none is of the same setting.
    """
    (part,) = scored.by("part")
    split, method = part.split(", ")
    same: list[Compared] = []
    others: list[Compared] = []
    for row, of_row in scored.by("unit").items():
        metric = next(name for name in of_row.values if name != MAIN)
        scores = {(row, f"{metric}_mean"): of_row.estimate(MAIN).value}
        more_same, more_others = compare_with(rows(), {"split": split, "method": method}, scores)
        same += more_same
        others += more_others
    return same, others
