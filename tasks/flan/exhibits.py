"""FLAN's scores as tables and figures: means over templates, and how templates differ."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from tk_instruct.exhibits import Figure, Section, Spread, Table
from tk_instruct.scores import Value
from tk_instruct.tables import INTERVAL
from tk_instruct.uncertainty.intervals import mean

from .summary import LEGEND, average_cells, setting_cells

_MAIN_SETTING = "zero_shot_generation"  # what the paper's averages are of

_Report = Mapping[str, Any]


class _Row(NamedTuple):
    """A dataset, as a table has it."""

    cluster: str
    dataset: str
    metric: str


def flat(report: _Report) -> dict[str, Value]:
    """The average of each cluster, and of all, with intervals.

    Of zero-shot generation, or what else was evaluated first. The other settings' are called
    NAME_for_SETTING.
    """
    clusters = report["clusters"]
    settings = dict.fromkeys(name for of in clusters.values() for name in of["average"])
    main = _MAIN_SETTING if _MAIN_SETTING in settings else next(iter(settings), "")
    found: dict[str, Value] = {}
    for setting in settings:
        suffix = "" if setting == main else f"_for_{setting}"
        averages = {
            name: of["average"][setting]
            for name, of in clusters.items()
            if setting in of["average"]
        }
        of_all = mean([average["mean"] for average in averages.values()])
        found |= of_all.as_scores(f"average_of_clusters{suffix}")
        for name, average in averages.items():
            found[f"{name}{suffix}"] = average["mean"]
            if "mean_ci95" in average:
                found[f"{name}{suffix}_ci95"] = average["mean_ci95"]
    return found


def section(reports: Mapping[str, _Report]) -> Section:
    """A table and a figure for each setting. reports: system → its report."""
    settings = dict.fromkeys(
        setting
        for report in reports.values()
        for of in _datasets(report).values()
        for setting in of["settings"]
    )
    shown: list[Table | Figure] = []
    for setting in settings:
        shown.append(_table(reports, setting))
        shown += _spreads(reports, setting)
    about = [
        f"{name}: step {report['step']}, trained on {report['trained_on']}"
        + (f", the first {report['limit']} examples of each split" if report["limit"] else "")
        + (f"; missing: {', '.join(report['missing'])}" if report["missing"] else "")
        + "."
        for name, report in reports.items()
    ]
    return Section("FLAN: datasets and their templates", about, shown)


def _datasets(report: _Report) -> dict[_Row, Mapping[str, Any]]:
    return {
        _Row(cluster, dataset, about["metric"]): about
        for cluster, of in report["clusters"].items()
        for dataset, about in of["datasets"].items()
    }


def _rows(reports: Mapping[str, _Report], setting: str) -> dict[_Row, list[Any]]:
    """Dataset → each system's scores in a setting, or None."""
    found = {name: _datasets(report) for name, report in reports.items()}
    rows = dict.fromkeys(
        row for of in found.values() for row, about in of.items() if setting in about["settings"]
    )
    return {
        row: [of[row]["settings"].get(setting) if row in of else None for of in found.values()]
        for row in rows
    }


def _title(setting: str) -> str:
    return setting.replace("_", "-", 1).replace("_", " ").capitalize()  # Zero-shot generation


def _table(reports: Mapping[str, _Report], setting: str) -> Table:
    """A row for each dataset and system, and one for each average of a cluster."""
    rows = []
    for row, of_systems in _rows(reports, setting).items():
        for name, of in zip(reports, of_systems, strict=True):
            if of is not None:
                rows.append([row.dataset, row.cluster, row.metric, name, *setting_cells(of)])
    for name, report in reports.items():
        for cluster, about in report["clusters"].items():
            if setting in about["average"] and len(about["datasets"]) > 1:
                cells = average_cells(about["average"][setting])
                rows.append(["average", cluster, "", name, *cells])
    return Table(
        f"flan_{setting}",
        f"{_title(setting)}: mean ± standard deviation over templates, test, per cent",
        ["dataset", "cluster", "metric", "system", "mean", INTERVAL, "best on dev", INTERVAL],
        rows,
        [f"{text[0].upper()}{text[1:]}." for text in LEGEND.values()],
    )


def _spreads(reports: Mapping[str, _Report], setting: str) -> Iterator[Spread]:
    """The scores of each template, without metrics that are lower for better systems."""
    labels, series = [], {name: list[list[float]]() for name in reports}
    for row, of_systems in _rows(reports, setting).items():
        about = [_datasets(report).get(row) for report in reports.values()]
        if any(of and of["lower_is_better"] for of in about):
            continue
        labels.append(row.dataset)
        for name, of in zip(reports, of_systems, strict=True):
            templates = of["templates"] if of else []
            scores = [each["test"].get(row.metric) for each in templates]
            series[name].append([score for score in scores if isinstance(score, float)])
    if labels and any(len(values) > 1 for of in series.values() for values in of):
        yield Spread(
            f"flan_templates_{setting}",
            f"{_title(setting)}: a mark for each template",
            "main metric, per cent",
            labels,
            series,
            ["Box: quartiles over templates; line: their median."],
        )
