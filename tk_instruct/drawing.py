"""Exhibits as figures in one style; the same exhibit gives the same bytes.

Systems differ in colour (Okabe and Ito's, which colour-blind people tell apart) and in mark, dash
or hatch, so that a figure also reads in grey.
"""

import io
import itertools
import math
import re
import unicodedata
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import matplotlib
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import AutoLocator, LogLocator, MaxNLocator, NullFormatter, NullLocator
from matplotlib.transforms import ScaledTranslation

from tk_instruct.exhibits import (
    Bars,
    Curves,
    Figure,
    HeatMap,
    Histogram,
    Line,
    Point,
    Shares,
    Spread,
)
from tk_instruct.terminal import visible

INK = "#1f2328"
"""The colour of text, axes and outlines; the page puts its own in its place."""

_GRID = "#8c959f"
_COLORS = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#e69f00",
    "#56b4e9",
    "#f0e442",
    "#999999",
)
# The lengths differ from that of the colours: after eight systems the pairs still differ.
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "h")
_DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1)), (0, (6, 1.5, 1.5, 1.5)), (0, (8, 2)))
# Dots and circles last: in a file they are a hundred times as long as lines.
_HATCHES = ("", "////", "\\\\\\\\", "xxxx", "----", "||||", "++++", "..", "oo")
_LUMINANCE = (0.2126, 0.7152, 0.0722)  # weights of linear red, green and blue (sRGB)

_WIDTH = 6.8  # inches, of all but wide matrices
_LINE = 0.15  # inches, of a label
_LETTERS_OF_LABEL = 30  # in a line
_LETTERS_OF_LEGEND = 84  # in a row
_FEW = 14  # marks whose values are printed
_MANY_POINTS = 30  # of a line, from which on not all of them are marked
_ASIDE = 4  # points between the intervals of two lines at the same place
_DOTS_PER_INCH = 200

STYLE: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": INK,
    "axes.facecolor": "none",
    "axes.labelcolor": INK,
    "axes.labelsize": 9,
    "axes.linewidth": 0.7,
    "axes.spines.right": False,
    "axes.spines.top": False,
    # The first comes with matplotlib: the same on every machine.
    "font.family": ["DejaVu Sans", "sans-serif"],
    "font.size": 9,
    "grid.alpha": 0.35,
    "grid.color": _GRID,
    "grid.linewidth": 0.6,
    "hatch.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "legend.handlelength": 2.6,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.6,
    "savefig.facecolor": "white",
    "svg.fonttype": "none",  # text stays text: it can be searched, and takes the page's font
    "svg.hashsalt": "tk_instruct",
    "text.color": INK,
    "text.parse_math": False,  # a $ in a name is a $
    "xtick.color": INK,
    "xtick.labelsize": 9,
    "ytick.color": INK,
    "ytick.labelsize": 9,
}


def drawn(exhibit: Figure) -> tuple[bytes, str]:
    """A figure as PNG and as SVG."""
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        # Such as Chinese: a box in a PNG; in an SVG the reader's own fonts have it.
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font")
        drawing = draw(exhibit)
        png, svg = io.BytesIO(), io.BytesIO()
        drawing.savefig(png, format="png", dpi=_DOTS_PER_INCH, metadata={"Software": None})
        drawing.set_layout_engine("none")  # what is laid out once is not laid out again
        drawing.savefig(svg, format="svg", metadata={"Creator": None, "Date": None})
    return png.getvalue(), svg.getvalue().decode("utf-8")


def draw(exhibit: Figure) -> Drawing:
    """A figure of matplotlib. Titles and notes are not in it: they are its caption."""
    match exhibit:
        case Bars():
            return _bars(exhibit)
        case Curves():
            return _curves(exhibit)
        case HeatMap():
            return _heat_map(exhibit)
        case Spread():
            return _spread(exhibit)
        case Shares():
            return _shares(exhibit)
        case Histogram():
            return _histogram(exhibit)


def _bars(exhibit: Bars) -> Drawing:
    """Points with intervals; or bars from 0, if no point has an interval."""
    series = {name: [_known(point) for point in points] for name, points in exhibit.series.items()}
    shown = [point for points in series.values() for point in points if point]
    is_point = any(point.low is not None for point in shown)
    drawing, axes, middles = _rows(exhibit.labels, exhibit.unit, 0.1 + 0.085 * max(2, len(series)))
    ends = [0.0] if shown and not is_point else []
    printed = _printed([point.value for point in shown])
    thickness = min(0.2, (0.08 if is_point else 0.085) if len(series) > 1 else 1)
    for number, (name, points) in enumerate(series.items()):
        offset = (number - (len(series) - 1) / 2) * thickness
        rows = [middle + offset for middle, point in zip(middles, points, strict=True) if point]
        of = [point for point in points if point]
        values = [point.value for point in of]
        if is_point:
            axes.errorbar(
                values,
                rows,
                xerr=_errors(of),
                fmt=_MARKERS[number % len(_MARKERS)],
                color=_color(number),
                markeredgecolor=INK,
                markeredgewidth=0.5,
                markersize=5,
                elinewidth=1.3,
                capsize=1.8,
                label=visible(name),
            )
        else:
            axes.barh(rows, values, thickness, label=visible(name), **_filled(number))
        ends += [end for point in of for end in point if end is not None]
        if len(shown) <= _FEW:
            for row, point in zip(rows, of, strict=True):
                end = max(point.value, point.high or point.value, *([] if is_point else [0.0]))
                _beside(axes, end, row, printed(point.value))
    _ends(axes, ends, from_zero=not is_point, room=0.12 if len(shown) <= _FEW else 0.03)
    _legend(drawing, axes, series)
    return drawing


def _curves(exhibit: Curves) -> Drawing:
    drawing, axes = _titled_axes(exhibit, 3.9)
    axes.grid()
    lines = [(line, _of_axes(exhibit, line)) for line in exhibit.lines]
    number = -1
    num_barred = sum(_has_bars(line, points) for line, points in lines)
    aside = -_ASIDE * (num_barred - 1) / 2  # bars at the same place stand side by side
    for index, (line, points) in enumerate(lines):
        # A fit has the colour of the line before it, whose points it goes through.
        number += not (line.is_fit and number >= 0)
        is_fitted = index + 1 < len(lines) and lines[index + 1][0].is_fit and not line.is_fit
        if _has_bars(line, points):
            _line(axes, line, points, number, aside, joined=not is_fitted)
            aside += _ASIDE
        else:
            _line(axes, line, points, number, 0.0, joined=not is_fitted)
    given = [points for _, points in lines]
    if not any(given):
        _no_values(axes)
        return drawing
    if exhibit.log_x:
        measured = [points for line, points in lines if points and not line.is_fit]
        _logarithmic(axes, "x", [x for points in measured or given for x, _ in points])
    else:
        axes.xaxis.set_major_formatter(_tick)
    if exhibit.log_y:
        _logarithmic(axes, "y", [point.value for points in given for _, point in points])
    else:
        axes.yaxis.set_major_formatter(_tick)
    axes.margins(x=0.03, y=0.08)
    _legend(drawing, axes, [line.label for line in exhibit.lines])
    return drawing


def _of_axes(exhibit: Curves, line: Line) -> list[tuple[float, Point]]:
    """The points that the axes can show: finite, and above 0 on logarithmic axes."""
    points = []
    for x, point in zip(line.x, line.points, strict=True):
        known = _known(point)
        if known is None or not math.isfinite(x):
            continue
        if (exhibit.log_x and x <= 0) or (exhibit.log_y and known.value <= 0):
            continue
        if exhibit.log_y and known.low is not None and known.low <= 0:
            known = Point(known.value)  # the interval has no end that the axis can show
        points.append((x, known))
    return points


def _has_bars(line: Line, points: Sequence[tuple[float, Point]]) -> bool:
    """Whether a line has intervals that are drawn as bars."""
    return not line.band and any(point.low is not None for _, point in points)


def _line(
    axes: Axes,
    line: Line,
    points: Sequence[tuple[float, Point]],
    number: int,
    aside: float,
    joined: bool,
) -> None:
    """aside: how far to the right of its places the line is drawn, in points (1/72 inch)."""
    x = [x for x, _ in points]
    of = [point for _, point in points]
    values = [point.value for point in of]
    color = _color(number)
    every = math.ceil(len(x) / 8) if len(x) > _MANY_POINTS else 1
    with_interval = [(x, point) for x, point in points if point.low is not None]
    place = axes.transData
    if aside and axes.figure is not None:
        place += ScaledTranslation(aside / 72, 0, axes.figure.dpi_scale_trans)
    if line.band:
        axes.fill_between(
            [x for x, _ in with_interval],
            [_end(point.low) for _, point in with_interval],
            [_end(point.high) for _, point in with_interval],
            color=color,
            alpha=0.2,
            linewidth=0,
        )
    elif with_interval:
        errors = _errors(of)
        axes.errorbar(
            x, values, yerr=errors, fmt="none", ecolor=color, capsize=2.5, transform=place
        )
        # matplotlib takes no limits from what is moved aside.
        ends = [(x, _end(end)) for x, point in with_interval for end in (point.low, point.high)]
        axes.update_datalim(ends)
    axes.plot(
        x,
        values,
        color=color,
        transform=place,
        label=visible(line.label),
        linestyle=(0, (4, 2)) if line.is_fit else _DASHES[number % 5] if joined else "none",
        linewidth=1.2 if line.is_fit else 1.6,
        marker="none" if line.is_fit else _MARKERS[number % len(_MARKERS)],
        # Lines that lie on each other are not marked at the same places.
        markevery=(number * every // 5 % every, every),
        markersize=6,
        markerfacecolor="none" if line.is_published else color,
        markeredgecolor=color if line.is_published else INK,
        markeredgewidth=1.4 if line.is_published else 0.5,
    )


def _heat_map(exhibit: HeatMap) -> Drawing:
    """Cells in the colours of cividis, each with its value; the caption says the unit."""
    columns = [_wrapped(name, 14) for name in exhibit.columns]
    rows = [_wrapped(name) for name in exhibit.rows]
    known = [value for values in exhibit.values for value in values if math.isfinite(value)]
    printed = _printed(known)
    cells = [[printed(value) for value in values] for values in exhibit.values]
    letters = max((len(cell) for row in cells for cell in row), default=1)
    side = max(0.5, 0.085 * letters + 0.14)  # inches of a cell
    is_upright = max((_letters(name) for name in columns), default=0) * 0.085 > side
    lines = max(map(_lines, columns), default=1)
    side = max(side, 0.17 * lines + 0.08) if is_upright else side
    ends = _ends_of_rows(rows, 0.34)
    middles = _middles(ends)
    width, height = side * max(1, len(columns)), max(0.5, ends[-1])
    title = _wrapped(exhibit.column_title, max(14, round(width / 0.085)))
    row_title = _wrapped(exhibit.row_title, max(14, round(height / 0.085)))
    beside = 0.085 * max(map(_letters, rows), default=0) + 0.3 + 2 * _LINE * _lines(row_title)
    above = (1.3 if is_upright else 0.17 * lines) + 0.3 + _LINE * _lines(title)
    drawing = _drawing(max(3.0, beside + width), above + height)
    axes = drawing.subplots()
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    for row, values in enumerate(exhibit.values):
        for column, value in enumerate(values):
            share = (value - low) / (high - low) if high > low else 0.5
            color = colormaps["cividis"](share)
            if math.isfinite(value):
                left, right = column - 0.5, column + 0.5
                axes.fill_between((left, right), ends[row], ends[row + 1], color=color, lw=0.3)
            axes.text(
                column,
                middles[row],
                cells[row][column],
                ha="center",
                va="center",
                fontsize=8.5,
                color=_ink_on(color) if math.isfinite(value) else INK,
            )
    axes.set_xlim(-0.5, max(1, len(columns)) - 0.5)
    axes.set_ylim(height, 0)
    axes.set_xticks(range(len(columns)), columns, rotation=90 if is_upright else 0)
    axes.set_yticks(middles, rows)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set_xlabel(title, labelpad=6)
    axes.set_ylabel(row_title, labelpad=6)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    if not exhibit.rows or not exhibit.columns:
        _no_values(axes)
    return drawing


def _spread(exhibit: Spread) -> Drawing:
    """Each value as a mark, a box from the lower to the upper quartile, a line at the median."""
    thickness = 0.26 if len(exhibit.series) < 2 else 0.2
    height = 0.08 + thickness * max(1, len(exhibit.series))
    drawing, axes, middles = _rows(exhibit.labels, exhibit.unit, height)
    ends = []
    for number, (name, values) in enumerate(exhibit.series.items()):
        offset = (number - (len(exhibit.series) - 1) / 2) * thickness
        label: str | None = visible(name)
        for row, of in zip(middles, values, strict=True):
            known = sorted(value for value in of if math.isfinite(value))
            if not known:
                continue
            middle = row + offset
            first, median, third = (_quantile(known, share) for share in (0.25, 0.5, 0.75))
            axes.barh(
                middle,
                third - first,
                0.86 * thickness,
                left=first,
                color=_color(number),
                alpha=0.3,
                linewidth=0,
            )
            axes.vlines(median, middle - 0.43 * thickness, middle + 0.43 * thickness, color=INK)
            axes.plot(
                known,
                [middle + height * 0.6 * thickness for height in _apart(len(known))],
                linestyle="none",
                marker=_MARKERS[number % len(_MARKERS)],
                markersize=3.6,
                markerfacecolor=_color(number),
                markeredgecolor=INK,
                markeredgewidth=0.3,
                label=label,
            )
            label = None  # one mark in the legend is enough
            ends += [known[0], known[-1]]
    _ends(axes, ends, from_zero=False, room=0.03)
    _legend(drawing, axes, exhibit.series)
    return drawing


def _shares(exhibit: Shares) -> Drawing:
    drawing, axes, middles = _rows(exhibit.labels, exhibit.unit, 0.4)
    starts = [0.0] * len(exhibit.labels)
    parts = {
        name: [value if math.isfinite(value) and value > 0 else 0.0 for value in of]
        for name, of in exhibit.parts.items()
    }
    printed = _printed([amount for of in parts.values() for amount in of])
    largest = max(map(sum, zip(*parts.values(), strict=True)), default=0.0)
    for number, (name, amounts) in enumerate(parts.items()):
        axes.barh(middles, amounts, 0.26, left=starts, label=visible(name), **_filled(number))
        for row, amount in enumerate(amounts):
            text = printed(amount)
            if amount > 0.016 * (len(text) + 1) * largest:
                axes.text(
                    starts[row] + amount / 2,
                    middles[row],
                    text,
                    ha="center",
                    va="center",
                    fontsize=8,
                    color=_ink_on(to_rgb(_color(number))),
                    bbox={"facecolor": _color(number), "edgecolor": "none", "pad": 1.2},
                )
        starts = [start + amount for start, amount in zip(starts, amounts, strict=True)]
    _ends(axes, [0.0, largest] if largest else [], from_zero=True, room=0.02)
    _legend(drawing, axes, parts)
    return drawing


def _histogram(exhibit: Histogram) -> Drawing:
    drawing, axes = _titled_axes(exhibit, 3.2)
    axes.grid(axis="y")
    if not any(exhibit.counts):
        _no_values(axes)
        return drawing
    edges = exhibit.edges
    widths = [end - start for start, end in itertools.pairwise(edges)]
    axes.bar(
        edges[:-1], exhibit.counts, widths, align="edge", color=_color(0), edgecolor=INK, lw=0.4
    )
    axes.set_xlim(edges[0], edges[-1])
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.yaxis.set_major_formatter(_tick)
    axes.xaxis.set_major_formatter(_tick)
    if exhibit.is_open:  # the last bar has all beyond
        last, middle = edges[-2], (edges[-2] + edges[-1]) / 2
        ticks = MaxNLocator(5, integer=True).tick_values(edges[0], last)
        ticks = [tick for tick in ticks if edges[0] <= tick < last - 0.1 * (edges[-1] - edges[0])]
        axes.set_xticks([*ticks, middle], [*(_tick(tick, None) for tick in ticks), f"{last:,g}+"])
    return drawing


def _titled_axes(exhibit: Curves | Histogram, height: float) -> tuple[Drawing, Axes]:
    drawing = _drawing(_WIDTH, height)
    axes = drawing.subplots()
    axes.set_xlabel(_wrapped(exhibit.x_title, 80))
    axes.set_ylabel(_wrapped(exhibit.y_title, 44))
    return drawing, axes


def _drawing(width: float, height: float) -> Drawing:
    return Drawing(figsize=(width, height), layout="constrained")


def _rows(labels: Sequence[str], unit: str, least: float) -> tuple[Drawing, Axes, Sequence[float]]:
    """Axes with a row for each label, from top to bottom, as high as its lines and marks need.

    The axis of rows is in inches from the top. Also gives the middle of each row.
    """
    names = [_wrapped(label) for label in labels]
    ends = _ends_of_rows(names, least)
    middles = _middles(ends)
    height = max(0.5, ends[-1])
    unit = _wrapped(unit, 70)
    drawing = _drawing(_WIDTH, height + 0.46 + _LINE * _lines(unit))
    axes = drawing.subplots()
    axes.set_yticks(middles, names)
    axes.set_ylim(height, 0)
    axes.set_xlabel(unit)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    if least >= 0.3:  # rows of several marks are held apart
        for end in ends[1:-1]:
            axes.axhline(end, color=_GRID, alpha=0.35, linewidth=0.6)
    if height > 9:  # the axis is far from the first rows
        axes.tick_params(axis="x", top=True, labeltop=True)
        drawing.set_figheight(drawing.get_figheight() + 0.25)
    return drawing, axes, middles


def _ends_of_rows(names: Sequence[str], least: float) -> Sequence[float]:
    """Where each row starts, and where the last one ends; inches from the top."""
    heights = [max(least, 0.06 + _LINE * _lines(name)) for name in names]
    return [0.0, *itertools.accumulate(heights)]


def _middles(ends: Sequence[float]) -> Sequence[float]:
    return [(start + end) / 2 for start, end in itertools.pairwise(ends)]


def _ends(axes: Axes, ends: Sequence[float], from_zero: bool, room: float) -> None:
    """Limits of the axis of values, with some room at the right; or says that there are none."""
    if not ends:
        _no_values(axes)
        return
    low, high = min(ends), max(ends)
    span = high - low
    if not span:  # no range of values from which to take one
        span, room = abs(high) or 1.0, 1.0
    left = low if from_zero and low == 0 else low - 0.04 * span
    if from_zero and low < 0:
        axes.axvline(0, color=INK, linewidth=0.7)
    axes.set_xlim(left, high + room * span)
    axes.xaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(_tick)


def _logarithmic(axes: Axes, which: str, values: Sequence[float]) -> None:
    """Ticks are plain numbers; at the values themselves, if they are few."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    distinct = sorted(set(values))
    ratios = [later / former for former, later in itertools.pairwise(distinct)]
    if which == "x" and len(distinct) <= 10 and min(ratios, default=10.0) >= 1.35:
        axis.set_ticks(distinct)
    elif distinct[-1] / distinct[0] < 20:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    if distinct[-1] / distinct[0] < 2 and which == "y":
        axis.set_major_locator(AutoLocator())
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())
    axis.set_major_formatter(_tick)


def _legend(drawing: Drawing, axes: Axes, names: Collection[str]) -> None:
    """Above the axes, in as many columns as have room; none for one name."""
    handles, labels = axes.get_legend_handles_labels()
    if len(names) < 2 or not handles:
        return
    wrapped = [_wrapped(label, 40) for label in labels]
    columns = max(1, min(len(labels), _LETTERS_OF_LEGEND // (max(map(_letters, wrapped)) + 7)))
    rows = math.ceil(len(wrapped) / columns)
    drawing.set_figheight(
        drawing.get_figheight() + 0.08 + rows * (0.04 + _LINE * max(map(_lines, wrapped)))
    )
    drawing.legend(handles, wrapped, loc="outside upper center", ncols=columns)


def _no_values(axes: Axes) -> None:
    axes.text(0.5, 0.5, "no values", transform=axes.transAxes, ha="center", va="center")
    axes.set_xticks([])
    axes.grid(False)


def _beside(axes: Axes, x: float, y: float, text: str) -> None:
    axes.annotate(
        text, (x, y), (5, 0), textcoords="offset points", ha="left", va="center", fontsize=8
    )


def _filled(number: int) -> dict[str, Any]:
    return {
        "color": _color(number),
        "edgecolor": INK,
        "hatch": _HATCHES[number % len(_HATCHES)],
        "linewidth": 0.5,
    }


def _color(number: int) -> str:
    return _COLORS[number % len(_COLORS)]


def _known(point: Point | None) -> Point | None:
    """A point as it can be drawn: None without a value, no interval unless both ends are known."""
    if point is None or not math.isfinite(point.value):
        return None
    ends = (point.low, point.high)
    is_known = all(end is not None and math.isfinite(end) for end in ends)
    return Point(point.value, *ends) if is_known else Point(point.value)


def _end(end: float | None) -> float:
    assert end is not None
    return end


def _errors(points: Sequence[Point]) -> list[list[float]]:
    """How far intervals reach below and above the values; NaN where there is none.

    A value may lie outside its interval, as with some bootstraps: then the nearer end is at it.
    """
    below = [max(0.0, of.value - of.low) if of.low is not None else math.nan for of in points]
    above = [max(0.0, of.high - of.value) if of.high is not None else math.nan for of in points]
    return [below, above]


def _quantile(ordered: Sequence[float], share: float) -> float:
    """Between the two nearest values, as NumPy's default."""
    place = share * (len(ordered) - 1)
    before = math.floor(place)
    after = min(before + 1, len(ordered) - 1)
    return ordered[before] + (place - before) * (ordered[after] - ordered[before])


def _apart(count: int) -> Iterator[float]:
    """Heights from -0.5 to 0.5 of marks beside each other, so that equal values are all seen."""
    golden = (math.sqrt(5) - 1) / 2
    return ((0.5 + number * golden) % 1 - 0.5 if count > 1 else 0.0 for number in range(count))


def _ink_on(color: Sequence[float]) -> str:
    """Black or white, whichever has the higher contrast (WCAG)."""
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in color[:3]
    ]
    luminance = sum(weight * part for weight, part in zip(_LUMINANCE, linear, strict=True))
    return "#000000" if luminance > 0.179 else "#ffffff"


def _printed(values: Sequence[float]) -> Callable[[float], str]:
    """How the values of a figure are printed in it: 1,280 if all are whole, else 45.2 or 0.083."""
    known = [value for value in values if math.isfinite(value)]
    largest = max(map(abs, known), default=0.0)
    if largest >= 1e7 or 0 < largest < 1e-2:
        form = ".3g"
    elif largest >= 1e4 or all(value == round(value) for value in known):
        form = ",.0f"
    else:
        form = ",.1f" if largest >= 10 else ",.2f" if largest >= 1 else ",.3f"
    return lambda value: format(value, form) if math.isfinite(value) else "–"


def _tick(value: float, _: float | None = None) -> str:
    """A number at an axis without needless digits: 0.5, 1,280, 77M."""
    for size, letter in ((1e9, "B"), (1e6, "M")):
        if abs(value) >= size:
            return f"{value / size:.4g}{letter}"
    if value and (abs(value) < 1e-3):
        return f"{value:.3g}"
    return f"{value:,.10g}" if abs(value) >= 1 else f"{value:.6g}"


def _lines(text: str) -> int:
    return text.count("\n") + 1


def _letters(text: str) -> int:
    """The length of the longest line; letters as wide as two count twice."""
    return max(
        sum(1 + (unicodedata.east_asian_width(each) in "WF") for each in line)
        for line in text.split("\n")
    )


def _wrapped(text: str, letters: int = _LETTERS_OF_LABEL) -> str:
    """A text in lines, broken at spaces, after _ / - or . and within longer words."""
    lines = [""]
    for piece in re.findall(r"[^\s_/.-]*[\s_/.-]?", visible(" ".join(text.split()))):
        for part in [piece] if _letters(piece) <= letters else piece:
            if lines[-1] and _letters((lines[-1] + part).rstrip()) > letters:
                lines[-1] = lines[-1].rstrip()
                lines.append("")
            lines[-1] += part
    return "\n".join(lines).rstrip()
