"""Summarises the scores of FLAN's templates as the paper does: means, best on dev, averages.

Reports and summaries are values that JSON has.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean, pstdev
from typing import Any, NamedTuple, TypeAlias

import msgspec
import numpy as np

from tk_instruct.metrics import PERCENTAGES
from tk_instruct.metrics.generation import LOWER_IS_BETTER
from tk_instruct.scored_instances import Scored, as_scores, joined
from tk_instruct.tables import INTERVAL, interval, table
from tk_instruct.uncertainty.intervals import Estimate, combined, mean, spread_over_prompts

from .protocol import ROLES, Job, without_form

_CI95: TypeAlias = tuple[float, float]

# What is below the tables if they have it.
LEGEND = {
    "spread_of_templates": "in parentheses: the deviation without what sampled instances add to it",
    "mean_ci95": f"{INTERVAL}: over instances, templates are fixed; of an average, over datasets",
}


class _Average(msgspec.Struct, frozen=True, omit_defaults=True):
    mean: float
    mean_stderr: float | None = None
    mean_ci95: _CI95 | None = None
    best_on_dev: float | None = None
    best_on_dev_stderr: float | None = None
    best_on_dev_ci95: _CI95 | None = None


class _Best(msgspec.Struct, frozen=True, omit_defaults=True):
    template: int | None
    dev: float
    test: float
    test_stderr: float | None = None
    test_ci95: _CI95 | None = None


class _Template(msgspec.Struct, frozen=True):
    """A template's scores by name, with their errors and intervals. dev is None if it has none."""

    template: int | None
    test: dict[str, float | list[float]]
    dev: dict[str, float | list[float]] | None = None


class _Setting(msgspec.Struct, frozen=True, omit_defaults=True):
    """The scores of a dataset's templates.

    Attributes:
        mean_stderr: of other instances; templates are fixed. So is mean_ci95.
        standard_deviation: of the templates' scores, as the paper shows it.
        spread_of_templates: that standard deviation without what the instances add to it.
    """

    mean: float
    standard_deviation: float
    num_templates: int
    templates: list[_Template]
    mean_stderr: float | None = None
    mean_ci95: _CI95 | None = None
    spread_of_templates: float | None = None
    best_on_dev: _Best | None = None


class _DatasetSummary(msgspec.Struct, frozen=True):
    counted_as: str
    metric: str
    lower_is_better: bool
    settings: dict[str, _Setting]


class _Cluster(msgspec.Struct, frozen=True):
    average: dict[str, _Average]
    datasets: dict[str, _DatasetSummary]


class Report(msgspec.Struct, frozen=True):
    """The content of a run's scores/flan-STEP.json."""

    model_dir: str
    step: int
    trained_on: str | None
    limit: int | None
    missing: list[str]
    clusters: dict[str, _Cluster]


def summarise(scores: Mapping[Job, Scored]) -> dict[str, Any]:
    """The summary of scores by cluster, dataset and setting.

    A cluster's average is over its datasets as the paper counts them. It is of the main metrics on
    the test split, without distances, which are lower for a better model. Errors of a dataset are
    of other instances; those of an average are of other datasets, or of other instances if it is of
    one dataset.
    """
    clusters: dict[str, _Cluster] = {}
    estimates: dict[str, list[_Estimated]] = {}
    for row in dict.fromkeys(job.prompt.row for job in scores):
        of = {job: found for job, found in scores.items() if job.prompt.row == row}
        dataset = next(iter(of)).dataset
        main = next(iter(next(iter(of.values())).scores))
        settings = {}
        for setting in dict.fromkeys(job.setting for job in of):
            templates = {job: found for job, found in of.items() if job.setting == setting}
            settings[setting], mean_, best = _over_templates(templates, main)
            if main not in LOWER_IS_BETTER:
                is_percentage = main in PERCENTAGES
                estimated = _Estimated(setting, dataset.counted_as, is_percentage, mean_, best)
                estimates.setdefault(dataset.cluster, []).append(estimated)
        cluster = clusters.setdefault(dataset.cluster, _Cluster({}, {}))
        cluster.datasets[row] = _DatasetSummary(
            dataset.counted_as, main, main in LOWER_IS_BETTER, settings
        )
    for name, cluster in clusters.items():
        cluster.average.update(_averages(estimates.get(name, [])))
    return msgspec.to_builtins(clusters)


class _Estimated(NamedTuple):
    """The mean over templates of a dataset in a setting, and the template that is best on dev."""

    setting: str
    counted_as: str
    is_percentage: bool
    mean: Estimate
    best_on_dev: Estimate | None


def _over_templates(
    scores: Mapping[Job, Scored], main: str
) -> tuple[_Setting, Estimate, Estimate | None]:
    """The mean and population standard deviation over templates, and the template best on dev."""
    test = {job.prompt.template: found for job, found in scores.items() if job.split == "test"}
    dev = {job.prompt.template: found for job, found in scores.items() if job.split != "test"}
    values = [found.scores[main] for found in test.values()]
    over = _mean_over_templates(list(test.values()), main)
    best_on_dev, best = None, None
    if dev:
        sign = -1 if main in LOWER_IS_BETTER else 1
        first = max(dev, key=lambda template: sign * dev[template].scores[main])  # of equals
        best = test[first].estimates()[main]
        best_on_dev = _Best(first, dev[first].scores[main], best.value, best.stderr, best.ci95)
    setting = _Setting(
        mean=over.value,
        mean_stderr=over.stderr,
        mean_ci95=over.ci95,
        standard_deviation=pstdev(values),
        spread_of_templates=_spread_of_templates(list(test.values()), main),
        num_templates=len(values),
        best_on_dev=best_on_dev,
        templates=[
            _Template(
                template,
                as_scores(found.estimates()),
                as_scores(dev[template].estimates()) if template in dev else None,
            )
            for template, found in test.items()
        ],
    )
    return setting, over, best


def _mean_over_templates(test: Sequence[Scored], main: str) -> Estimate:
    """The mean of the templates' scores, with the error of other instances."""
    tables = joined([of.instances for of in test])
    weights = [np.full(len(of.instances), 1 / len(of.instances)) for of in test]
    instances = tables.labels["instance"]
    error = mean(
        tables.values[main], instances, weights=np.concatenate(weights), instances=instances
    )
    found = replace(error, value=fmean(of.scores[main] for of in test))
    return found.within(0.0, 100.0) if main in PERCENTAGES else found


def _spread_of_templates(test: Sequence[Scored], main: str) -> float | None:
    """The templates' standard deviation without sampling error; None if they cannot be paired."""
    of_templates = [of.instances.means("instance", main) for of in test]
    instances = list(of_templates[0])
    if any(of.keys() != of_templates[0].keys() for of in of_templates):
        return None
    return spread_over_prompts(np.array([[of[each] for each in instances] for of in of_templates]))


def _averages(datasets: Sequence[_Estimated]) -> dict[str, _Average]:
    """Setting → the average over datasets as the paper counts them."""
    averages = {}
    for setting in dict.fromkeys(of.setting for of in datasets):
        within = [of for of in datasets if of.setting == setting]
        lowest = 0.0 if all(of.is_percentage for of in within) else -100.0
        average = _average_of([(of.counted_as, of.mean) for of in within]).within(lowest, 100.0)
        averages[setting] = _Average(average.value, average.stderr, average.ci95)
        if best := [(of.counted_as, of.best_on_dev) for of in within if of.best_on_dev]:
            average = _average_of(best).within(lowest, 100.0)
            averages[setting] = msgspec.structs.replace(
                averages[setting],
                best_on_dev=average.value,
                best_on_dev_stderr=average.stderr,
                best_on_dev_ci95=average.ci95,
            )
    return averages


def _average_of(datasets: Sequence[tuple[str, Estimate]]) -> Estimate:
    """The mean over what datasets are counted as, of the means of their estimates."""
    counted: dict[str, list[Estimate]] = {}
    for counted_as, estimate in datasets:
        counted.setdefault(counted_as, []).append(estimate)
    means = [combined(group) for group in counted.values()]
    return mean([each.value for each in means]) if len(means) > 1 else means[0]


def report_text(report: dict[str, Any]) -> str:
    """A table for each cluster and setting: means ± standard deviations, the best on dev."""
    limit = f", the first {report['limit']} examples of each split" if report["limit"] else ""
    limit += f"; missing: {', '.join(report['missing'])}" if report["missing"] else ""
    lines = [
        f"{report['model_dir']}, step {report['step']}, trained on {report['trained_on']}; "
        f"per cent{limit}"
    ]
    for name, cluster in report["clusters"].items():
        datasets = cluster["datasets"].values()
        for setting in dict.fromkeys(s for about in datasets for s in about["settings"]):
            title = f"{name}, {setting.replace('_', ' ')}"
            title += " (test; mean ± standard deviation over templates)"
            lines += ["", title, _setting_table(cluster, setting)]
    if legend := _legend(report):
        lines += ["", *legend]
    return "\n".join(lines)


def _setting_table(cluster: dict[str, Any], setting: str) -> str:
    """A row for each dataset of a cluster that has the setting, and the average."""
    rows = [["dataset", "metric", "mean", INTERVAL, "best on dev", INTERVAL]]
    for dataset, about in cluster["datasets"].items():
        if setting in about["settings"]:
            metric = about["metric"] + (" (less is better)" if about["lower_is_better"] else "")
            rows.append([dataset, metric, *setting_cells(about["settings"][setting])])
    average = cluster["average"].get(setting)
    if average and len(rows) > 2:
        rows.append(["average", "", *average_cells(average)])
    return table(rows)


def average_cells(average: Mapping[str, Any]) -> list[str]:
    """A cluster's mean, its interval, the same of the templates that are best on dev."""
    ends = [interval(average.get(f"{key}_ci95"), 1) for key in ("mean", "best_on_dev")]
    best = f"{average['best_on_dev']:.1f}" if "best_on_dev" in average else "–"
    return [f"{average['mean']:.1f}", ends[0], best, ends[1]]


def _legend(report: dict[str, Any]) -> list[str]:
    settings = [
        setting
        for cluster in report["clusters"].values()
        for about in cluster["datasets"].values()
        for setting in about["settings"].values()
    ]
    return [text for name, text in LEGEND.items() if any(name in setting for setting in settings)]


def _interval_row(intervals: Sequence[Sequence[float] | None], *empty: str) -> list[list[str]]:
    """The row of intervals below scores; none if there are none."""
    cells = [interval((ends[0], ends[1]), decimals=1) if ends else "" for ends in intervals]
    return [[f"  {INTERVAL}", *empty, *cells]] if any(cells) else []


def setting_cells(setting: Mapping[str, Any]) -> list[str]:
    """A dataset's mean over templates, its interval, the same of the template best on dev."""
    spread = f" ± {setting['standard_deviation']:.1f}" if setting["num_templates"] > 1 else ""
    if "spread_of_templates" in setting:
        spread += f" ({setting['spread_of_templates']:.1f})"
    cells = [f"{setting['mean']:.1f}{spread}", interval(setting.get("mean_ci95"), 1)]
    best = setting.get("best_on_dev")
    if not best:
        return [*cells, "–", "–"]
    named = f" (t{best['template']})" if best["template"] is not None else ""
    return [*cells, f"{best['test']:.1f}{named}", interval(best.get("test_ci95"), 1)]


def role_of_instructions(reports: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The clusters' averages by the runs' training form and prompt. Empty without an ablation.

    Runs of the same form that hold out different clusters are one row.
    """
    rows: dict[str, dict[str, dict[str, Any]]] = {}
    for report in reports:
        mixture, form = without_form(report["trained_on"] or "")
        cluster = mixture.removeprefix("flan_holdout_")
        average = report["clusters"].get(cluster, {"average": {}})["average"]
        for role, setting in ROLES.get(form, {}).items():
            if setting in average:
                rows.setdefault(role, {})[cluster] = average[setting]
    if not set(rows) - {"FLAN"}:
        return {}
    shared = set.intersection(*(set(row) for row in rows.values()))
    found = {}
    for role in (role for of_form in ROLES.values() for role in of_form):
        if role in rows:
            row = rows[role]
            of_role: dict[str, Any] = {
                "clusters": {name: of["mean"] for name, of in row.items()},
                "clusters_ci95": {
                    name: of["mean_ci95"] for name, of in row.items() if "mean_ci95" in of
                },
                "average": None,
            }
            if shared:  # over the clusters that all rows have, so that rows can be compared
                average = mean([row[name]["mean"] for name in sorted(shared)])
                of_role |= average.as_scores("average")
            found[role] = of_role
    return found


def roles_text(roles: dict[str, Any]) -> str:
    """The table of the role of instructions."""
    clusters = list(dict.fromkeys(name for row in roles.values() for name in row["clusters"]))
    rows = [["trained → asked", *clusters, "average"]]
    for role, row in roles.items():
        values = [*(row["clusters"].get(name) for name in clusters), row["average"]]
        cells = ["–" if value is None else f"{value:.1f}" for value in values]
        rows.append([role, *cells])
        intervals = [row["clusters_ci95"].get(name) for name in clusters]
        rows += _interval_row([*intervals, row.get("average_ci95")])
    return "\n".join(
        [
            "role of instructions: zero-shot generation, averages of clusters, per cent",
            table(rows),
            "average: of the clusters that all rows have, its interval over clusters",
        ]
    )
