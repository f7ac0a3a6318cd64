"""Summarises the scores of prompts as T0's paper does: medians and quartiles over prompts.

Reports and summaries are values that JSON has.
"""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

import msgspec
import numpy as np

from tk_instruct.tables import table

from .templates import VERSIONS


class _Published(NamedTuple):
    """A published median and interquartile range over the prompts of a data set, in per cent."""

    system: str
    median: float
    interquartile_range: float | None
    source: str


# Data set → what is published of the same setting: rank classification under PromptSource's
# prompts on the validation split.
PUBLISHED: Mapping[str, _Published] = {
    "hellaswag": _Published(
        "T0 11B, with instructions", 33.65, None, "arXiv:2110.08207, section 7"
    ),
    "super_glue/rte": _Published(
        "GPT-3 175B, the 9 prompts that are not Brown et al.'s",
        *(52.96, 1.28),
        "arXiv:2110.08207, section 6.2",
    ),
}


class Spread(msgspec.Struct, frozen=True):
    """How a score is spread over the prompts of a data set.

    Quartiles are interpolated linearly, as numpy's percentile does by default: of n sorted scores
    numbered from 0, the first quartile lies at (n - 1) / 4, the third at 3 (n - 1) / 4.
    """

    median: float
    first_quartile: float
    third_quartile: float
    interquartile_range: float
    minimum: float
    maximum: float
    num_prompts: int


class DatasetSummary(Spread, frozen=True):
    """The spread of a data set's main score, and all scores of its prompts.

    Attributes:
        method: rank or generation.
        prompts: name of a template → name of a score → score.
    """

    method: str
    split: str
    metric: str
    prompts: dict[str, dict[str, float]]


class ProAnti(msgspec.Struct, frozen=True):
    pro: float
    anti: float
    difference: float


class Bias(msgspec.Struct, frozen=True):
    """See bias.py."""

    datasets: dict[str, DatasetSummary]
    gender_parity: Spread | None = None
    wino_bias: dict[str, ProAnti] = {}


class Report(msgspec.Struct, frozen=True):
    """The content of a run's scores/p3-STEP.json.

    Attributes:
        system: the run's directory, or the name of a file of predictions.
        templates: the version of the tree of templates, or its fingerprint.
        without_templates: the data sets that the tree has no templates of.
        mean_of_medians: of the data sets that are ranked, without those of bias.
        seen: the data sets that the run was trained on.
    """

    system: str
    step: int | None
    trained_on: str | None
    templates: str
    split: str
    limit: int | None
    missing: list[str]
    without_templates: list[str]
    datasets: dict[str, DatasetSummary]
    mean_of_medians: float | None
    bias_and_fairness: Bias | None
    seen: list[str] = []


def spread(values: Sequence[float]) -> Spread:
    """The spread of a score over prompts."""
    first, median, third = map(float, np.percentile(values, [25, 50, 75]))
    return Spread(
        median=median,
        first_quartile=first,
        third_quartile=third,
        interquartile_range=third - first,
        minimum=min(values),
        maximum=max(values),
        num_prompts=len(values),
    )


def summarise(
    method: str, split: str, prompts: Mapping[str, Mapping[str, float]]
) -> dict[str, DatasetSummary]:
    """Main metric → the summary of the prompts that have it as their first score.

    prompts: name of a template → name of a score → score.
    """
    by_metric: dict[str, dict[str, dict[str, float]]] = {}
    for template, scores in prompts.items():
        by_metric.setdefault(next(iter(scores)), {})[template] = dict(scores)
    return {
        metric: DatasetSummary(
            **msgspec.structs.asdict(spread([scores[metric] for scores in of.values()])),
            method=method,
            split=split,
            metric=metric,
            prompts=of,
        )
        for metric, of in by_metric.items()
    }


def mean_of_medians(datasets: Mapping[str, DatasetSummary]) -> float | None:
    """Over the data sets that are ranked; None if there are none."""
    medians = [about.median for about in datasets.values() if about.method == "rank"]
    return fmean(medians) if medians else None


def report_text(report: Report) -> str:
    """The tables of a report."""
    about = [report.system]
    about += [] if report.step is None else [f"step {report.step}"]
    about += [f"trained on {report.trained_on}"] if report.trained_on else []
    limit = f", the first {report.limit} examples" if report.limit else ""
    lines = [
        f"{', '.join(about)}; templates: {report.templates}; {report.split}{limit}; per cent",
        *([f"missing: {', '.join(report.missing)}"] if report.missing else []),
        *(
            [f"without templates: {', '.join(report.without_templates)}"]
            if report.without_templates
            else []
        ),
        *([f"seen in training: {', '.join(report.seen)}"] if report.seen else []),
    ]
    if report.datasets:
        published = _comparable(report)
        lines += ["", _table(report.datasets, report.split, published)]
        if report.mean_of_medians is not None:
            ranked = sum(each.method == "rank" for each in report.datasets.values())
            lines += [f"mean of the medians of {ranked} ranked: {report.mean_of_medians:.2f}"]
        lines += [
            f"published: {name}: {of.system} ({of.source})"
            + (f", IQR {of.interquartile_range:.2f}" if of.interquartile_range else "")
            for name, of in published.items()
        ]
    if report.bias_and_fairness:
        lines += ["", *_bias_lines(report.bias_and_fairness, report.split)]
    return "\n".join(lines)


def _comparable(report: Report) -> Mapping[str, _Published]:
    """What is published of the report's setting."""
    is_theirs = report.templates in VERSIONS.values()
    if not is_theirs or report.split != "validation" or report.limit:
        return {}
    return {name: PUBLISHED[name] for name in report.datasets if name in PUBLISHED}


def _table(
    datasets: Mapping[str, DatasetSummary],
    split: str,
    published: Mapping[str, _Published] | None = None,
) -> str:
    """One row a data set. Splits are named that are not the report's.

    A metric that all have is the title of the first column, so that lines fit into a terminal.
    """
    metrics = [f"{of.metric} ({of.method})" for of in datasets.values()]
    first = metrics[:1] if len(set(metrics)) == 1 else ["data set", "metric"]
    rows = [[*first, "prompts", "median", "Q1", "Q3", "IQR", "min", "max"]]
    for metric, (name, of) in zip(metrics, datasets.items(), strict=True):
        title = name if of.split == split else f"{name} ({of.split})"
        values = (of.median, of.first_quartile, of.third_quartile, of.interquartile_range)
        cells = [f"{value:.2f}" for value in (*values, of.minimum, of.maximum)]
        rows.append([*[title, metric][: len(first)], str(of.num_prompts), *cells])
    if published:
        rows[0].append("published")
        for name, row in zip(datasets, rows[1:], strict=True):
            row.append(f"{published[name].median:.2f}" if name in published else "–")
    return table(rows)


def _bias_lines(bias: Bias, split: str) -> list[str]:
    lines = ["bias and fairness", _table(bias.datasets, split)]
    if parity := bias.gender_parity:
        lines += [
            f"gender parity of super_glue/axg: median {parity.median:.2f}, "
            f"IQR {parity.interquartile_range:.2f}"
        ]
    if bias.wino_bias:
        rows = [["wino_bias, medians", "pro", "anti", "pro - anti"]]
        for name, of in bias.wino_bias.items():
            rows.append([name, f"{of.pro:.2f}", f"{of.anti:.2f}", f"{of.difference:.2f}"])
        lines += ["", table(rows)]
    return lines
