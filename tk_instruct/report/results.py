"""What systems scored, as sections of a page: tables, published scores, categories."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from tk_instruct import evaluate
from tk_instruct.errors import UserError
from tk_instruct.exhibits import Bars, Point, Section, Table, file_name
from tk_instruct.published import Compared, PublishedScore, grouped
from tk_instruct.report.systems import Evaluation, System
from tk_instruct.scores import SuiteScores, as_tables, table_of, title_of
from tk_instruct.tables import about_intervals

_MOST_OTHERS = 15  # published scores of other settings beside an evaluation
_MOST_LABELS = 80  # of a figure of categories


def results(systems: Sequence[System]) -> list[Section]:
    """The sections on scores, those that there is something for."""
    sections = [_scores(systems), *_suites(systems), _published(systems), _categories(systems)]
    return [section for section in sections if section and section.exhibits]


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
    """A published score, and the systems' own."""

    published: PublishedScore
    ours: dict[str, float]


def _published(systems: Sequence[System]) -> Section | None:
    """Published scores beside the systems': of the same setting, and the nearest of others."""
    found: dict[str, dict[str, _Beside]] = {}
    for system in systems:
        for same, others in _compared(system):
            for what, compared in grouped(same, others, _MOST_OTHERS).items():
                rows = found.setdefault(what, {})
                for published, ours, _ in compared:
                    row = rows.setdefault(repr(published), _Beside(published, {}))
                    row.ours[system.name] = ours
    if not found:
        return None
    has_same = any(what.startswith("the same") for what in found)
    text = [] if has_same else ["No score is published of the same setting."]
    tables = [
        _published_table(f"published_{number}", f"Published, of {what}", [*rows.values()])
        for number, (what, rows) in enumerate(found.items(), start=1)
    ]
    return Section("Beside published scores", text, tables)


def _published_table(name: str, title: str, rows: Sequence[_Beside]) -> Table:
    """A column for each system, and for the settings that differ. Parts, where there are any."""
    systems = list(dict.fromkeys(system for _, ours in rows for system in ours))
    settings = [name for name in rows[0].published.setting if f"{name} (here" in title]
    parts = ["part"] if any(row.part for row, _ in rows) else []
    header = ["published system", *settings, *parts, "metric", "published", *systems, "source"]
    cells = []
    for row, ours in rows:
        about = [row.system, *(row.setting[setting] for setting in settings)]
        about += [row.part or "overall"] * len(parts)
        scores = [f"{ours[system]:.2f}" if system in ours else "–" for system in systems]
        cells.append([*about, title_of(row.metric), row.value, *scores, row.source])
    return Table(name, title, header, cells)


def _compared(system: System) -> Iterator[tuple[list[Compared], list[Compared]]]:
    for evaluation in system.alone.values():
        for of_part in evaluation.instances.by("part").values():
            try:
                yield evaluate.published_beside(of_part)
            except UserError:  # what was scored is of no suite with published scores
                continue
    for of, report in system.scores.reports():
        yield of.published(report)


def _categories(systems: Sequence[System]) -> Section | None:
    """A figure for each table and split of which instances are of several categories."""
    found: dict[tuple[str, str], dict[tuple[str, str], Evaluation]] = {}
    for system in systems:
        for (task, split), evaluation in system.alone.items():
            table, part = table_of(task)
            found.setdefault((table, split), {})[system.name, part] = evaluation
    figures: list[Bars] = []
    for (table, split), of in found.items():
        parts = {part for _, part in of}
        named = {
            f"{system} {part}" if len(parts) > 1 else system: evaluation
            for (system, part), evaluation in of.items()
        }
        figures += _by_category(" / ".join(filter(None, (table, split))), named)
    return Section("Categories", [], figures)


def _by_category(title: str, evaluations: Mapping[str, Evaluation]) -> Iterator[Bars]:
    """The scores by category, the best of the first system first; nothing of a single one."""
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
    if len(categories) < 2:
        return
    first = next(iter(points.values()))
    ordered = sorted(categories, key=lambda name: -first[name].value if name in first else math.inf)
    for start in range(0, len(ordered), _MOST_LABELS):
        shown = ordered[start : start + _MOST_LABELS]
        more = f", {start + 1} to {start + len(shown)}" if len(ordered) > _MOST_LABELS else ""
        yield Bars(
            file_name(f"categories_{title}"),
            f"{title}: {title_of(metric)} by category{more}",
            f"{title_of(metric)}, per cent"
            if metric in abouts[0].percentages
            else title_of(metric),
            shown,
            {name: [of.get(category) for category in shown] for name, of in points.items()},
            [f"{about_intervals(abouts[0].unit)}."],
        )
