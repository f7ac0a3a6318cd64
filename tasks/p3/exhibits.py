"""T0's scores as tables and figures: medians and quartiles over the prompts of a data set."""

from collections.abc import Iterator, Mapping, Sequence

from tk_instruct.exhibits import Figure, Section, Spread, Table
from tk_instruct.scores import Value
from tk_instruct.tables import INTERVAL, interval

from .summary import DatasetSummary, Report


def flat(report: Report) -> dict[str, Value]:
    """The mean of the medians and the median of each data set, with intervals."""
    found: dict[str, Value] = {}
    if report.mean_of_medians is not None:
        found["mean_of_medians"] = report.mean_of_medians
        if report.mean_of_medians_ci95:
            found["mean_of_medians_ci95"] = report.mean_of_medians_ci95
    for name, of in report.datasets.items():
        found[name] = of.median
        if of.median_ci95:
            found[f"{name}_ci95"] = of.median_ci95
    return found


def section(reports: Mapping[str, Report]) -> Section:
    """A table and a figure for each split. reports: system → its report."""
    shown: list[Table | Figure] = []
    for split in dict.fromkeys(report.split for report in reports.values()):
        of_split = {name: report for name, report in reports.items() if report.split == split}
        for what, datasets in (
            ("held_out", {name: report.datasets for name, report in of_split.items()}),
            (
                "bias",
                {
                    name: report.bias_and_fairness.datasets
                    for name, report in of_split.items()
                    if report.bias_and_fairness
                },
            ),
        ):
            shown += _exhibits(f"p3_{what}_{split}", split, datasets)
    return Section("T0: data sets and their prompts", list(_about(reports)), shown)


def _about(reports: Mapping[str, Report]) -> Iterator[str]:
    for name, report in reports.items():
        said = [name if report.step is None else f"{name}: step {report.step}"]
        said += [f"trained on {report.trained_on}"] if report.trained_on else []
        said += [f"templates: {report.templates}"]
        said += [f"the first {report.limit} examples"] if report.limit else []
        for what, datasets in (
            ("missing", report.missing),
            ("without templates", report.without_templates),
            ("seen in training", report.seen),
        ):
            said += [f"{what}: {', '.join(datasets)}"] if datasets else []
        if report.mean_of_medians is not None:
            ends = f" ({interval(report.mean_of_medians_ci95)})" * bool(report.mean_of_medians_ci95)
            said += [f"mean of the medians: {report.mean_of_medians:.2f}{ends}"]
        yield ", ".join(said) + "."


def _exhibits(
    name: str, split: str, systems: Mapping[str, Mapping[str, DatasetSummary]]
) -> Iterator[Table | Figure]:
    labels = list(dict.fromkeys(label for of in systems.values() for label in of))
    if not labels:
        return
    header = ["data set", "metric", "system", "prompts", "median", INTERVAL]
    rows = []
    for label in labels:
        for system, datasets in systems.items():
            if (of := datasets.get(label)) is None:
                continue
            quartiles = (of.first_quartile, of.third_quartile, of.interquartile_range)
            cells = [f"{value:.2f}" for value in (*quartiles, of.minimum, of.maximum)]
            title = label if of.split == split else f"{label} ({of.split})"
            about = [title, f"{of.metric} ({of.method})", system, str(of.num_prompts)]
            rows.append([*about, f"{of.median:.2f}", interval(of.median_ci95), *cells])
    yield Table(
        name,
        f"Medians and quartiles over prompts, {split}, per cent",
        [*header, "Q1", "Q3", "IQR", "min", "max"],
        rows,
        [f"{INTERVAL}: over instances; prompts and data sets are fixed."],
    )
    yield _spread(name, split, labels, systems)


def all_prompts(system: str, report: Report) -> Spread:
    """A mark for each prompt of all data sets, also of those that measure bias."""
    bias = report.bias_and_fairness
    datasets = {**report.datasets, **(bias.datasets if bias else {})}
    return _spread("p3", report.split, list(datasets), {system: datasets})


def _spread(
    name: str,
    split: str,
    labels: Sequence[str],
    systems: Mapping[str, Mapping[str, DatasetSummary]],
) -> Spread:
    series = {
        system: [_scores(datasets[label]) if label in datasets else [] for label in labels]
        for system, datasets in systems.items()
    }
    return Spread(
        f"{name}_prompts",
        f"A mark for each prompt, {split}",
        "main metric, per cent",
        labels,
        series,
        ["Box: quartiles over prompts; line: their median."],
    )


def _scores(of: DatasetSummary) -> list[float]:
    found = (prompt.get(of.metric) for prompt in of.prompts.values())
    return [value for value in found if isinstance(value, float)]
