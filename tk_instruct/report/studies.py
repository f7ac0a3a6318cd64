"""What a study has found, as a section of a page: curves over sizes, a heat map, a table."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from tk_instruct.exhibits import (
    Bars,
    Curves,
    Figure,
    HeatMap,
    Line,
    Point,
    Section,
    Table,
    file_name,
)
from tk_instruct.files import Path
from tk_instruct.report.systems import System
from tk_instruct.scores import title_of
from tk_instruct.study.collected import Cell, Collected, PublishedPoint
from tk_instruct.study.file import Axis, text_of
from tk_instruct.study.file import Point as StudyPoint
from tk_instruct.tables import INTERVAL, interval

_POINTS_OF_A_FIT = 50


_MOST_RUNS = 8  # whose training is shown: more curves cannot be told apart


def runs_of(study: Collected) -> list[System]:
    """The runs of a study, named by the axes' values with which they were trained.

    None if there are too many. Repeats have their values, such as seed 0.
    """
    repeats = list(itertools.product(*(axis.values for axis in study.repeats)))
    names = [axis.shown for axis in study.repeats]
    repeated = [
        ", ".join(f"{name} {text_of(value)}" for name, value in zip(names, values, strict=True))
        for values in repeats
    ]
    cells_of: dict[Path, list[Cell]] = {}
    for cell in study.cells:
        for run in cell.runs:
            cells_of.setdefault(run, []).append(cell)
    found = []
    for run, cells in cells_of.items():
        shared = dict(cells[0].point.items())
        for cell in cells:
            shared = {name: v for name, v in shared.items() if cell.point[name] == v}
        number = cells[0].runs.index(run)
        # Repeats that train nothing more share runs.
        which = repeated[number] if 1 < len(cells[0].runs) == len(repeats) else ""
        found.append(System(", ".join(filter(None, (_named(study, shared), which))), run))
    return found if len(found) <= _MOST_RUNS else []


def study_section(name: str, study: Collected) -> Section:
    """A table of all points, and a figure for each metric. name: of the study's file."""
    stem = file_name(name)
    shown: list[Table | Figure] = []
    for metric in study.metrics:
        has_scores = any(metric in cell.scores for cell in study.cells)
        if has_scores or any(each.metric == metric for each in study.published):
            shown += _figures(f"{stem}_{file_name(metric)}", study, metric)
    shown.append(_table(stem, study))
    shown += _fits(stem, study)
    return Section(study.title, list(_about(study)), shown)


def _about(study: Collected) -> Iterator[str]:
    if study.num_missing:
        yield (
            f"{study.num_missing} of the study's evaluations are missing; "
            "tk-instruct study status tells which."
        )
    if study.repeats:
        named = " and ".join(axis.shown for axis in study.repeats)
        yield (
            f"Scores are means over {named}, and their {INTERVAL}s are over them; the interval of "
            "a point that has one run is its evaluation's."
        )


def _table(stem: str, study: Collected) -> Table:
    """A row for each point, columns for each metric; published scores at a point beside ours."""
    header = [*(axis.shown for axis in study.axes), "runs"]
    num_runs = [max((of.num_runs for of in c.scores.values()), default=0) for c in study.cells]
    rows = [
        [*(text_of(value) for value in cell.point.values()), str(number)]
        for cell, number in zip(study.cells, num_runs, strict=True)
    ]
    for metric in study.metrics:
        if any(metric in cell.scores for cell in study.cells):
            header += [title_of(metric), INTERVAL]
            for row, cell in zip(rows, study.cells, strict=True):
                row += _cells(cell.scores[metric].score) if metric in cell.scores else ["–", "–"]
        published = [study.published_at(cell.point, metric) for cell in study.cells]
        if any(published):
            header.append(f"{title_of(metric)}, published")
            for row, found in zip(rows, published, strict=True):
                row.append(_told(found) or "–")
    notes = [f"Published: {source}." for source in dict.fromkeys(p.source for p in study.published)]
    return Table(f"{stem}_table", study.title, header, rows, notes)


def _cells(score: Point) -> list[str]:
    ends = None if score.low is None or score.high is None else (score.low, score.high)
    return [f"{score.value:.2f}", interval(ends)]


def _told(published: Sequence[PublishedPoint]) -> str:
    """Values, and what tells several apart: their systems and sources, as far as these differ."""
    about = [[each.system, each.source] for each in published]
    differ = [len(set(column)) > 1 for column in zip(*about, strict=True)]
    told = [", ".join(itertools.compress(each, differ)) for each in about]
    return ", ".join(
        str(each.value) + (f" ({what})" if what else "")
        for each, what in zip(published, told, strict=True)
    )


def _figures(name: str, study: Collected, metric: str) -> Iterator[Figure]:
    numeric = [axis for axis in study.axes if axis.scale is not None]
    if numeric:
        for axis in numeric:
            several = f"_{file_name(axis.name)}" if len(numeric) > 1 else ""
            yield _curves(f"{name}{several}", study, metric, axis)
    elif len(study.axes) == 2:
        yield from _heat_maps(name, study, metric)
    else:
        yield _bars(name, study, metric)


def _curves(name: str, study: Collected, metric: str, axis: Axis) -> Curves:
    """A line over an axis for each point of the other axes, its fit, and what is published."""
    lines: list[Line] = []
    for others, cells in _along(study.cells, axis, metric):
        lines.append(
            Line(
                others or "ours",
                [axis.x_of(cell.point[axis.name]) for cell in cells],
                [cell.scores[metric].score for cell in cells],
            )
        )
        x = lines[-1].x
        for fit in study.fits:
            if (fit.metric, fit.axis) == (metric, axis.name) and _named(study, fit.point) == others:
                places = np.geomspace(min(x), max(x), _POINTS_OF_A_FIT).tolist()
                estimates = [fit.line.at(place) for place in places]
                points = [Point(e.value, *(e.ci95 or (None, None))) for e in estimates]
                label = f"{others or 'ours'}, log-linear fit"
                lines.append(Line(label, places, points, band=True, is_fit=True))
    published: dict[str, list[PublishedPoint]] = {}
    for each in study.published:
        if each.metric == metric and axis.name in each.point:
            others = _named(study, {n: v for n, v in each.point.items() if n != axis.name})
            label = ", ".join(dict.fromkeys(filter(None, (each.system, others))))
            published.setdefault(f"{label} (published)", []).append(each)
    for label, points_ in published.items():
        points_.sort(key=lambda each: axis.x_of(each.point[axis.name]))
        places = [axis.x_of(each.point[axis.name]) for each in points_]
        lines.append(Line(label, places, [Point(p.value) for p in points_], is_published=True))
    return Curves(
        name,
        f"{title_of(metric)} over {axis.shown}",
        axis.shown,
        title_of(metric),
        lines,
        log_x=axis.scale == "log",
    )


def _along(cells: Sequence[Cell], axis: Axis, metric: str) -> Iterator[tuple[str, list[Cell]]]:
    """The other axes' values in words, and the cells along an axis that have a metric."""
    found: dict[str, list[Cell]] = {}
    for cell in cells:
        others = ", ".join(text_of(v) for name, v in cell.point.items() if name != axis.name)
        if metric in cell.scores:
            found.setdefault(others, []).append(cell)
    for others, along in found.items():
        yield others, sorted(along, key=lambda cell: axis.x_of(cell.point[axis.name]))


def _named(study: Collected, point: StudyPoint) -> str:
    return ", ".join(text_of(point[axis.name]) for axis in study.axes if axis.name in point)


def _heat_maps(name: str, study: Collected, metric: str) -> Iterator[HeatMap]:
    """The matrix of two axes; of published scores too, where they are of points of the study."""
    ours = {
        _place(study, c.point): c.scores[metric].score.value
        for c in study.cells
        if metric in c.scores
    }
    if ours:
        yield _heat_map(name, study, metric, "", ours)
    published = {
        _place(study, cell.point): found[0].value
        for cell in study.cells
        if (found := study.published_at(cell.point, metric))
    }
    if published:
        system = next(p.system for p in study.published if p.metric == metric)
        yield _heat_map(f"{name}_published", study, metric, f", published: {system}", published)


def _place(study: Collected, point: StudyPoint) -> tuple[str, ...]:
    return tuple(text_of(point[axis.name]) for axis in study.axes)


def _heat_map(
    name: str, study: Collected, metric: str, what: str, values: Mapping[tuple[str, ...], float]
) -> HeatMap:
    rows, columns = ([text_of(value) for value in axis.values] for axis in study.axes)
    return HeatMap(
        name,
        f"{title_of(metric)}{what}",
        study.axes[0].shown,
        study.axes[1].shown,
        title_of(metric),
        rows,
        columns,
        [[values.get((row, column), math.nan) for column in columns] for row in rows],
    )


def _bars(name: str, study: Collected, metric: str) -> Bars:
    """A label for each value of the first axis, a series for each point of the others."""
    first, *others = study.axes
    by_place = {_place(study, cell.point): cell for cell in study.cells}
    labels = [text_of(value) for value in first.values]
    series = {}
    for rest in itertools.product(*(map(text_of, axis.values) for axis in others)):
        cells = [by_place.get((label, *rest)) for label in labels]
        series[", ".join(rest) or "ours"] = [
            cell.scores[metric].score if cell and metric in cell.scores else None for cell in cells
        ]
    return Bars(name, f"{title_of(metric)} by {first.shown}", title_of(metric), labels, series)


def _fits(stem: str, study: Collected) -> Iterator[Table]:
    rows = [
        [
            title_of(fit.metric),
            study_axis.shown,
            _named(study, fit.point) or "–",
            f"{fit.line.slope.value:+.2f}",
            interval(fit.line.slope.ci95),
            f"{fit.line.r_squared:.3f}",
            str(fit.line.slope.num_units),
        ]
        for fit in study.fits
        for study_axis in study.axes
        if study_axis.name == fit.axis
    ]
    if rows:
        header = ["metric", "over", "at", "slope", INTERVAL, "R²", "points"]
        note = "Slope: change of the score for ten times the size, by least squares over points."
        yield Table(f"{stem}_fits", "Log-linear fits", header, rows, [note])
