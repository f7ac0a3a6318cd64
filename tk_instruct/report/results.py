"""What systems scored, as sections of a page: tables, published scores, categories."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from tk_instruct import evaluate
from tk_instruct.errors import UserError
from tk_instruct.exhibits import Bars, Point, Section, Table, file_name
from tk_instruct.published import Compared
from tk_instruct.report.systems import Evaluation, System
from tk_instruct.scores import SuiteScores, as_tables, table_of, title_of
from tk_instruct.tables import about_intervals

_MOST_OTHERS = 30  # published scores of other settings
_MOST_LABELS = 80  # of a figure of categories


def results(systems: Sequence[System]) -> list[Section]:
    """The sections on scores, those that there is something for."""
    sections = [_scores(systems), *_suites(systems), _published(systems), _categories(systems)]
    return [section for section in sections if section and (section.exhibits or section.text)]


def _scores(systems: Sequence[System]) -> Section:
    rows = {name: of for s in systems for name, of in s.scores.rows(s.name).items()}
    units = dict.fromkeys(
        about_intervals(evaluation.instances.about.unit)
        for system in systems
        for evaluation in system.alone.values()
    )
    return Section(
        "Scores",
        [f"{'; '.join(units)}."] if units else [],
        [table.as_exhibit() for table in as_tables(rows)],
    )


def _suites(systems: Sequence[System]) -> Iterator[Section | None]:
    """The sections that suites make of the summaries of whole evaluations."""
    reports: dict[SuiteScores, dict[str, dict[str, Any]]] = {}
    for system in systems:
        for number, (of, report) in enumerate(system.scores.reports(), start=1):
            by_name = reports.setdefault(of, {})
            name = system.name if system.name not in by_name else f"{system.name} {number}"
            by_name[name] = report
    for of, by_name in reports.items():
        yield of.section(by_name)


class _Beside(NamedTuple):
    """A published score beside a system's."""

    system: str
    compared: Compared

    def cells(self) -> list[str]:
        published, ours, differs = self.compared
        settings = [
            f"{name}: {theirs} (here {here or 'unknown'})" for name, theirs, here in differs
        ]
        return [
            published.system,
            "; ".join(settings),
            published.part or "overall",
            title_of(published.metric),
            published.value,
            f"{ours:.2f}",
            self.system,
            published.source,
        ]


_PUBLISHED_HEADER = (
    *("published system", "what differs", "part", "metric", "published", "here", "of", "source"),
)


def _published(systems: Sequence[System]) -> Section | None:
    """Published scores beside the systems': of the same setting, and the nearest of others."""
    same: list[_Beside] = []
    others: list[_Beside] = []
    for system in systems:
        for compared in _compared(system):
            of_same, of_others = compared
            same += [_Beside(system.name, each) for each in of_same]
            others += [_Beside(system.name, each) for each in of_others[:_MOST_OTHERS]]
    if not same and not others:
        return None
    tables = [
        _published_table("published_same_setting", "published, of the same setting", same),
        _published_table("published_other_settings", "published, of other settings", others),
    ]
    text = [] if same else ["No score is published of the same setting."]
    if others:
        text.append(
            f"Of other settings the nearest are shown, at most {_MOST_OTHERS} for each evaluation."
        )
    return Section("Beside published scores", text, [table for table in tables if table.rows])


def _compared(system: System) -> Iterator[tuple[list[Compared], list[Compared]]]:
    for evaluation in system.alone.values():
        for of_part in evaluation.instances.by("part").values():
            try:
                yield evaluate.published_beside(of_part)
            except UserError:  # what was scored is of no suite with published scores
                continue
    for of, report in system.scores.reports():
        yield of.published(report)


def _published_table(name: str, title: str, rows: Sequence[_Beside]) -> Table:
    """A row for each. Columns that say the same in all rows, and nothing of note, are left out."""
    cells = [row.cells() for row in rows]
    kept = [
        column
        for column, title_ in enumerate(_PUBLISHED_HEADER)
        if title_ not in ("what differs", "part")
        or any(row[column] not in ("", "overall") for row in cells)
    ]
    return Table(
        name,
        title,
        [_PUBLISHED_HEADER[column] for column in kept],
        [[row[column] for column in kept] for row in cells],
    )


def _categories(systems: Sequence[System]) -> Section | None:
    """A figure for each table and split of which instances are of several categories."""
    found: dict[tuple[str, str], dict[str, Evaluation]] = {}
    for system in systems:
        for (task, split), evaluation in system.alone.items():
            table, part = table_of(task)
            of = found.setdefault((table, split), {})
            name = system.name if system.name not in of else f"{system.name} {part}"
            of[name] = evaluation
    figures = [
        figure
        for (table, split), of in found.items()
        if (figure := _by_category(" / ".join(filter(None, (table, split))), of))
    ]
    return Section("Categories", [], figures) if figures else None


def _by_category(title: str, evaluations: Mapping[str, Evaluation]) -> Bars | None:
    abouts = [of.instances.about for of in evaluations.values()]
    metric = abouts[0].main
    points: dict[str, dict[str, Point]] = {}
    for name, of in evaluations.items():
        if metric not in of.instances.values:
            continue
        points[name] = {}
        for category, instances in of.instances.by("category").items():
            estimate = instances.estimate(metric)
            if not math.isnan(estimate.value):
                points[name][category] = Point(estimate.value, *(estimate.ci95 or (None, None)))
    categories = dict.fromkeys(category for of in points.values() for category in of)
    if not 2 <= len(categories) <= _MOST_LABELS:
        return None
    first = next(iter(points.values()))
    ordered = sorted(categories, key=lambda name: -first[name].value if name in first else math.inf)
    return Bars(
        file_name(f"categories_{title}"),
        f"{title}: {title_of(metric)} by category",
        f"{title_of(metric)}, per cent" if metric in abouts[0].percentages else title_of(metric),
        ordered,
        {name: [of.get(category) for category in ordered] for name, of in points.items()},
        [f"{about_intervals(abouts[0].unit)}."],
    )
