"""Summarises the scores of prompts as T0's paper does: medians and quartiles over prompts.

Reports and summaries are values that JSON has.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import msgspec
import numpy as np

from tk_instruct.scored_instances import Scored, as_scores
from tk_instruct.tables import INTERVAL, interval, table
from tk_instruct.uncertainty.intervals import Estimate, combined, median_over_prompts

_CI95: TypeAlias = tuple[float, float]


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """How a score is spread over the prompts of a data set.

    The median's error is that of other instances, by a bootstrap; prompts are fixed. Quartiles are
    interpolated linearly, as numpy's percentile does by default: of n sorted scores numbered from
    0, the first quartile lies at (n - 1) / 4, the third at 3 (n - 1) / 4.
    """

    median: float
    first_quartile: float
    third_quartile: float
    interquartile_range: float
    minimum: float
    maximum: float
    num_prompts: int
    median_stderr: float | None = None
    median_ci95: _CI95 | None = None


class DatasetSummary(Spread, frozen=True, kw_only=True):
    """The spread of a data set's main score, and all scores of its prompts.

    Attributes:
        method: rank or generation.
        prompts: name of a template → name of a score → score, and its standard error and interval.
    """

    method: str
    split: str
    metric: str
    prompts: dict[str, dict[str, float | list[float]]]


class ProAnti(msgspec.Struct, frozen=True):
    pro: float
    anti: float
    difference: float
    difference_stderr: float | None = None
    difference_ci95: _CI95 | None = None


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
    mean_of_medians_stderr: float | None = None
    mean_of_medians_ci95: _CI95 | None = None


def spread(prompts: Sequence[Scored], metric: str) -> tuple[Spread, Estimate]:
    """The spread of a score over prompts, and the median with the error of other instances."""
    scores = [of.scores[metric] for of in prompts]
    first, median, third = map(float, np.percentile(scores, [25, 50, 75]))
    estimate = replace(_median(prompts, metric), value=median)
    if metric in prompts[0].instances.about.percentages:
        estimate = estimate.within(0.0, 100.0)
    found = Spread(
        median=median,
        median_stderr=estimate.stderr,
        median_ci95=estimate.ci95,
        first_quartile=first,
        third_quartile=third,
        interquartile_range=third - first,
        minimum=min(scores),
        maximum=max(scores),
        num_prompts=len(scores),
    )
    return found, estimate


def _median(prompts: Sequence[Scored], metric: str) -> Estimate:
    """The median over prompts of the mean over instances, each with its value in every prompt."""
    of_prompts = [
        {
            instance: value
            for instance, value in prompt.instances.means("instance", metric).items()
            if not np.isnan(value)
        }
        for prompt in prompts
    ]
    instances = dict.fromkeys(name for of in of_prompts for name in of)
    if not all(of_prompts):
        return Estimate(np.nan, None, None, None, 0)
    values = np.array([[of.get(name, np.nan) for name in instances] for of in of_prompts])
    return median_over_prompts(values, "p3")


def summarise(
    method: str, split: str, prompts: Mapping[str, Scored]
) -> dict[str, tuple[DatasetSummary, Estimate]]:
    """Main metric → the summary of the prompts that have it as their first score, and its median.

    prompts: name of a template → its scores.
    """
    by_metric: dict[str, dict[str, Scored]] = {}
    for template, scored in prompts.items():
        by_metric.setdefault(next(iter(scored.scores)), {})[template] = scored
    found = {}
    for metric, of in by_metric.items():
        over_prompts, median = spread(list(of.values()), metric)
        summary = DatasetSummary(
            **msgspec.structs.asdict(over_prompts),
            method=method,
            split=split,
            metric=metric,
            prompts={name: as_scores(scored.estimates()) for name, scored in of.items()},
        )
        found[metric] = summary, median
    return found


def mean_of_medians(
    datasets: Mapping[str, DatasetSummary], medians: Mapping[str, Estimate]
) -> dict[str, Any]:
    """The mean over the data sets that are ranked, as fields of a Report; None if there are none.

    Data sets are fixed: its error is that of other instances.
    """
    ranked = [medians[name] for name, about in datasets.items() if about.method == "rank"]
    if not ranked:
        return {"mean_of_medians": None}
    return combined(ranked).within(0.0, 100.0).as_scores("mean_of_medians")


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
        lines += ["", _table(report.datasets, report.split)]
        if report.mean_of_medians is not None:
            ranked = sum(each.method == "rank" for each in report.datasets.values())
            mean = f"mean of the medians of {ranked} ranked: {report.mean_of_medians:.2f}"
            lines += [mean + _in_words(report.mean_of_medians_ci95)]
        if any(each.median_ci95 for each in report.datasets.values()):
            lines += [f"{INTERVAL}: over instances; prompts and data sets are fixed"]
    if report.bias_and_fairness:
        lines += ["", *_bias_lines(report.bias_and_fairness, report.split)]
    return "\n".join(lines)


def _table(datasets: Mapping[str, DatasetSummary], split: str) -> str:
    """One row a data set. Splits are named that are not the report's.

    A metric that all have is the title of the first column, so that lines fit into a terminal.
    """
    metrics = [f"{of.metric} ({of.method})" for of in datasets.values()]
    first = metrics[:1] if len(set(metrics)) == 1 else ["data set", "metric"]
    rows = [[*first, "prompts", "median", INTERVAL, "Q1", "Q3", "IQR", "min", "max"]]
    for metric, (name, of) in zip(metrics, datasets.items(), strict=True):
        title = name if of.split == split else f"{name} ({of.split})"
        values = (of.first_quartile, of.third_quartile, of.interquartile_range)
        cells = [f"{value:.2f}" for value in (*values, of.minimum, of.maximum)]
        median = [f"{of.median:.2f}", interval(of.median_ci95)]
        rows.append([*[title, metric][: len(first)], str(of.num_prompts), *median, *cells])
    return table(rows)


def _bias_lines(bias: Bias, split: str) -> list[str]:
    lines = ["bias and fairness", _table(bias.datasets, split)]
    if parity := bias.gender_parity:
        lines += [
            f"gender parity of super_glue/axg: median {parity.median:.2f}, "
            f"IQR {parity.interquartile_range:.2f}{_in_words(parity.median_ci95)}"
        ]
    if bias.wino_bias:
        rows = [["wino_bias, medians", "pro", "anti", "pro - anti", INTERVAL]]
        for name, of in bias.wino_bias.items():
            cells = [f"{value:.2f}" for value in (of.pro, of.anti, of.difference)]
            rows.append([name, *cells, interval(of.difference_ci95)])
        lines += ["", table(rows)]
    return lines


def _in_words(ci95: _CI95 | None) -> str:
    return "" if ci95 is None else f", {INTERVAL} {interval(ci95)}"
