"""Summarises the scores of FLAN's templates as the paper does: means, best on dev, averages.

Reports and summaries are values that JSON has.
"""

from collections.abc import Mapping, Sequence
from statistics import fmean, pstdev
from typing import Any

import msgspec

from tk_instruct.metrics.generation import LOWER_IS_BETTER
from tk_instruct.tables import table

from .protocol import PUBLISHED_ROLES, ROLES, Job, without_form


class _Average(msgspec.Struct, frozen=True):
    mean: float
    best_on_dev: float | msgspec.UnsetType = msgspec.UNSET


class _Best(msgspec.Struct, frozen=True):
    template: int | None
    dev: float
    test: float


class _Setting(msgspec.Struct, frozen=True):
    mean: float
    standard_deviation: float
    num_templates: int
    templates: list[dict[str, Any]]
    best_on_dev: _Best | msgspec.UnsetType = msgspec.UNSET


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


def summarise(scores: Mapping[Job, Mapping[str, float]]) -> dict[str, Any]:
    """The summary of scores by cluster, dataset and setting.

    A cluster's average is over its datasets as the paper counts them. It is of the main metrics on
    the test split, without distances, which are lower for a better model.
    """
    clusters: dict[str, Any] = {}
    for row in dict.fromkeys(job.prompt.row for job in scores):
        of = {job: found for job, found in scores.items() if job.prompt.row == row}
        dataset = next(iter(of)).dataset
        main = next(iter(next(iter(of.values()))))
        cluster = clusters.setdefault(dataset.cluster, {"average": {}, "datasets": {}})
        cluster["datasets"][row] = {
            "counted_as": dataset.counted_as,
            "metric": main,
            "lower_is_better": main in LOWER_IS_BETTER,
            "settings": {
                setting: _over_templates(
                    {job: found for job, found in of.items() if job.setting == setting}, main
                )
                for setting in dict.fromkeys(job.setting for job in of)
            },
        }
    for cluster in clusters.values():
        cluster["average"] = _averages(cluster["datasets"])
    return clusters


def _over_templates(scores: Mapping[Job, Mapping[str, float]], main: str) -> dict[str, Any]:
    """The mean and population standard deviation over templates, and the template best on dev."""
    test = {job.prompt.template: found for job, found in scores.items() if job.split == "test"}
    dev = {job.prompt.template: found for job, found in scores.items() if job.split != "test"}
    values = [found[main] for found in test.values()]
    summary: dict[str, Any] = {
        "mean": fmean(values),
        "standard_deviation": pstdev(values),
        "num_templates": len(values),
    }
    if dev:
        sign = -1 if main in LOWER_IS_BETTER else 1
        best = max(dev, key=lambda template: sign * dev[template][main])  # of equals, the first
        summary["best_on_dev"] = {
            "template": best,
            "dev": dev[best][main],
            "test": test[best][main],
        }
    summary["templates"] = [
        {"template": template, "test": found, "dev": dev.get(template)}
        for template, found in test.items()
    ]
    return summary


def _averages(datasets: dict[str, Any]) -> dict[str, dict[str, float]]:
    averages: dict[str, dict[str, float]] = {}
    for setting in dict.fromkeys(s for about in datasets.values() for s in about["settings"]):
        counted: dict[str, list[dict[str, Any]]] = {}
        for about in datasets.values():
            if setting in about["settings"] and not about["lower_is_better"]:
                counted.setdefault(about["counted_as"], []).append(about["settings"][setting])
        if not counted:
            continue
        averages[setting] = {"mean": fmean(fmean(s["mean"] for s in g) for g in counted.values())}
        with_dev = [
            fmean(s["best_on_dev"]["test"] for s in group if "best_on_dev" in s)
            for group in counted.values()
            if any("best_on_dev" in s for s in group)
        ]
        if with_dev:
            averages[setting]["best_on_dev"] = fmean(with_dev)
    return averages


def report_text(report: dict[str, Any]) -> str:
    """One table for each cluster: means ± standard deviations, and the best templates on dev."""
    limit = f", the first {report['limit']} examples of each split" if report["limit"] else ""
    limit += f"; missing: {', '.join(report['missing'])}" if report["missing"] else ""
    lines = [
        f"{report['model_dir']}, step {report['step']}, trained on {report['trained_on']}; "
        f"per cent{limit}"
    ]
    for name, cluster in report["clusters"].items():
        settings = list(cluster["average"]) or list(
            dict.fromkeys(s for about in cluster["datasets"].values() for s in about["settings"])
        )
        titles = [setting.replace("_", " ") for setting in settings]
        rows = [["dataset", "metric", *(t for title in titles for t in (title, "best on dev"))]]
        for dataset, about in cluster["datasets"].items():
            found = [about["settings"].get(setting) for setting in settings]
            metric = about["metric"] + (" (less is better)" if about["lower_is_better"] else "")
            rows.append([dataset, metric, *(c for setting in found for c in _cells(setting))])
        if len(cluster["datasets"]) > 1 and cluster["average"]:
            averages = [cluster["average"].get(setting, {}) for setting in settings]
            cells = [
                f"{average[key]:.1f}" if key in average else "–"
                for average in averages
                for key in ("mean", "best_on_dev")
            ]
            rows.append(["average", "", *cells])
        lines += ["", f"{name} (test; mean ± standard deviation over templates)", table(rows)]
    return "\n".join(lines)


def _cells(setting: dict[str, Any] | None) -> tuple[str, str]:
    if setting is None:
        return "–", "–"
    spread = f" ± {setting['standard_deviation']:.1f}" if setting["num_templates"] > 1 else ""
    best = setting.get("best_on_dev")
    named = f" (t{best['template']})" if best and best["template"] is not None else ""
    return f"{setting['mean']:.1f}{spread}", f"{best['test']:.1f}{named}" if best else "–"


def role_of_instructions(reports: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The clusters' averages by the runs' training form and prompt. Empty without an ablation.

    Runs of the same form that hold out different clusters are one row.
    """
    rows: dict[str, dict[str, float]] = {}
    for report in reports:
        mixture, form = without_form(report["trained_on"] or "")
        cluster = mixture.removeprefix("flan_holdout_")
        average = report["clusters"].get(cluster, {"average": {}})["average"]
        for role, setting in ROLES.get(form, {}).items():
            if setting in average:
                rows.setdefault(role, {})[cluster] = average[setting]["mean"]
    if not set(rows) - {"FLAN"}:
        return {}
    shared = set.intersection(*(set(row) for row in rows.values()))
    return {
        role: {
            "clusters": rows[role],
            # Over the clusters that all rows have, so that rows can be compared.
            "average": fmean(rows[role][name] for name in shared) if shared else None,
            "published_137b": published,
        }
        for role, published in PUBLISHED_ROLES.items()
        if role in rows
    }


def roles_text(roles: dict[str, Any]) -> str:
    """The table of the role of instructions."""
    clusters = list(dict.fromkeys(name for row in roles.values() for name in row["clusters"]))
    rows = [["trained → asked", *clusters, "average", "published"]]
    for role, row in roles.items():
        cells = [row["clusters"].get(name) for name in clusters]
        rows.append(
            [
                role,
                *("–" if cell is None else f"{cell:.1f}" for cell in (*cells, row["average"])),
                f"{row['published_137b']:.1f}",
            ]
        )
    return "\n".join(
        [
            "role of instructions: zero-shot generation, averages of clusters, per cent",
            table(rows),
            "average: of the clusters that all rows have; published: 137B, of four clusters "
            "(arXiv:2109.01652, section 4.3)",
        ]
    )
