"""Figures of generated instructions as PNG; the same numbers give the same bytes."""

import io
import math
from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from statistics import fmean
from typing import Literal, TypeVar

import numpy as np
from jaxtyping import Float, Int
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Wedge
from matplotlib.ticker import MaxNLocator

from tk_instruct.self_instruct.stats import histograms
from tk_instruct.self_instruct.stats.root_verbs import RootVerb

Color = tuple[float, ...]
T = TypeVar("T", float, np.ndarray)

_DOTS_PER_INCH = 144
_BLUE = "#3b6ea5"


def similarity_histogram(similarities: Float[np.ndarray, " instructions"]) -> bytes:
    """PNG of ROUGE-L (fractions) to the most similar seed, in 40 bars from 0 to 1."""
    figure = Figure(figsize=(7, 4), dpi=_DOTS_PER_INCH, layout="constrained")
    axes = figure.subplots()
    _bars(axes, histograms.of_similarities(similarities))
    axes.set_xlim(0, 1)
    axes.set_xlabel("ROUGE-L to the most similar seed instruction")
    axes.set_ylabel("instructions")
    return _png(figure)


def length_histograms(lengths: Mapping[str, Int[np.ndarray, " texts"]]) -> bytes:
    """PNG with a histogram of lengths, in words, for each kind of text.

    Texts longer than 99 per cent of all are counted in the last bar, "N+".
    """
    figure = Figure(figsize=(4 * len(lengths), 3.6), dpi=_DOTS_PER_INCH, layout="constrained")
    for axes, (what, words) in zip(figure.subplots(1, len(lengths)), lengths.items(), strict=True):
        _length_histogram(axes, words)
        axes.set_xlabel(f"words of the {what}")
        axes.set_ylabel(f"{what}s")
    return _png(figure)


def _length_histogram(axes: Axes, words: Int[np.ndarray, " texts"]) -> None:
    found = histograms.of_lengths(words)
    edges = found["edges"]
    _bars(axes, found)
    axes.set_xlim(0, edges[-1])
    if found["is_open"]:
        last, width = int(edges[-2]), edges[-1] - edges[-2]
        ticks = [
            tick
            for tick in MaxNLocator(5, integer=True).tick_values(0, last)
            if 0 <= tick < last - 0.1 * edges[-1]
        ]
        axes.set_xticks([*ticks, last + width / 2], [*(f"{t:.0f}" for t in ticks), f"{last}+"])
    else:
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))


def _bars(axes: Axes, histogram: histograms.Histogram) -> None:
    counts, edges = np.array(histogram["counts"]), np.array(histogram["edges"])
    axes.bar(edges[:-1], counts, np.diff(edges), align="edge", color=_BLUE, edgecolor="white")
    axes.set_ylim(0, 1.05 * max(1, int(counts.max())))
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.spines[["top", "right"]].set_visible(False)
    if not counts.any():
        axes.text(0.5, 0.5, "none yet", transform=axes.transAxes, ha="center", va="center")


# The figure of verbs and nouns: radii in inches of the rings and of the labels outside them.
_HOLE, _BETWEEN, _OUTSIDE, _LABELS, _EDGE = 0.9, 2.6, 3.2, 3.75, 5.75
_CAPTION = 0.6  # inches high
_TOP = 90.0  # degrees, the direction of the largest wedge
_LINE_HEIGHT = 1.15  # times the font size
_NOUN_POINTS, _VERB_POINTS, _SMALLEST_POINTS = 9, 11, 6
_LUMINANCE = (0.299, 0.587, 0.114)  # weights of red, green and blue (ITU-R BT.601)
_MOST_CHARACTERS = 24  # in a label


def root_verb_rings(verbs: Sequence[RootVerb], caption: str) -> bytes:
    """PNG of verbs (inner ring) and their nouns (outer ring); wedges are as large as counts.

    If a verb's wedge is too small for its name, the labels of its nouns have the name.
    """
    height = 2 * _EDGE + _CAPTION
    figure = Figure(figsize=(2 * _EDGE, height), dpi=_DOTS_PER_INCH)
    axes = figure.add_axes((0, _CAPTION / height, 1, 2 * _EDGE / height))
    axes.set(xlim=(-_EDGE, _EDGE), ylim=(-_EDGE, _EDGE))
    axes.set_axis_off()
    figure.text(0.5, _CAPTION / 2 / height, caption, ha="center", va="center", fontsize=11)

    counts = [count for verb in verbs for count in verb.nouns.values()]
    degrees = 360 / sum(counts)
    start = _TOP + degrees * counts[0] / 2
    verb_arcs = _arcs(start, [degrees * sum(verb.nouns.values()) for verb in verbs])
    noun_arcs = _arcs(start, [degrees * count for count in counts])
    labels = []
    colors = []
    for number, (verb, arc) in enumerate(zip(verbs, verb_arcs, strict=True)):
        color: Color = to_rgb(colormaps["tab20"](number % 20))
        _wedge(axes, arc, _HOLE, _BETWEEN, color)
        # At 0.8 of the radius its letters are closest to its neighbours.
        points = 72 * 0.8 * _BETWEEN * math.radians(arc[0] - arc[1]) / _LINE_HEIGHT
        fits = points >= _SMALLEST_POINTS
        if fits:
            points = min(points, _VERB_POINTS)
            ink = "white" if np.dot(color, _LUMINANCE) < 0.5 else "black"
            _radial_text(axes, verb.verb, fmean(arc), _BETWEEN - 0.08, "inwards", points, ink)
        labels += [noun if fits else f"{verb.verb} {noun}" for noun in verb.nouns]
        colors += [tuple(0.5 + 0.5 * channel for channel in color)] * len(verb.nouns)
    apart = math.degrees(_LINE_HEIGHT * _NOUN_POINTS / 72 / _LABELS)
    angles = _spread([fmean(arc) for arc in noun_arcs], apart)
    for label, pale, arc, angle in zip(labels, colors, noun_arcs, angles, strict=True):
        _wedge(axes, arc, _BETWEEN, _OUTSIDE, pale)
        radii = np.linspace(_OUTSIDE + 0.05, _LABELS - 0.05, 20)
        path = _at(radii, np.linspace(fmean(arc), angle, 20))
        axes.plot(*path, color="#999999", linewidth=0.6)
        _radial_text(axes, label, angle, _LABELS, "outwards", _NOUN_POINTS, "black")
    return _png(figure)


def _arcs(start: float, extents: Sequence[float]) -> list[tuple[float, float]]:
    """(from, to) in degrees of arcs that follow each other clockwise."""
    return list(pairwise(start - end for end in accumulate(extents, initial=0.0)))


def _spread(angles: Sequence[float], apart: float) -> list[float]:
    """Angles, falling from the top, moved as little as possible to be `apart` (degrees).

    Least squares by pooling: labels that would overlap form a pool, in which they are exactly
    `apart`; the pool is placed where the sum of squared moves is smallest.
    """
    pools: list[tuple[float, int]] = []  # (angle of the first label, number of labels)
    for number, angle in enumerate(angles):
        first, count = angle + apart * number, 1
        while pools and pools[-1][0] < first:
            before, more = pools.pop()
            first = (before * more + first * count) / (more + count)
            count += more
        pools.append((first, count))
    firsts = np.repeat([first for first, _ in pools], [count for _, count in pools])
    firsts = np.clip(firsts, _TOP - 360 + apart * len(angles), _TOP)
    return [float(first) - apart * number for number, first in enumerate(firsts)]


def _wedge(axes: Axes, arc: tuple[float, float], inner: float, outer: float, color: Color) -> None:
    wedge = Wedge((0, 0), outer, arc[1], arc[0], width=outer - inner, fc=color, ec="white")
    axes.add_patch(wedge)


def _at(radius: T, angle: T) -> tuple[T, T]:
    return radius * np.cos(np.radians(angle)), radius * np.sin(np.radians(angle))


def _radial_text(
    axes: Axes,
    text: str,
    angle: float,
    radius: float,
    direction: Literal["inwards", "outwards"],
    points: float,
    color: str,
) -> None:
    """Writes along a radius, from `radius` on; never upside down."""
    is_turned = math.cos(math.radians(angle)) < 0
    if len(text) > _MOST_CHARACTERS:
        text = text[: _MOST_CHARACTERS - 1] + "…"
    axes.text(
        *_at(radius, angle),
        text,
        rotation=angle + 180 if is_turned else angle,
        rotation_mode="anchor",
        ha="left" if (direction == "outwards") != is_turned else "right",
        va="center_baseline",
        fontsize=points,
        color=color,
        parse_math=False,
    )


def _png(figure: Figure) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format="png", metadata={"Software": None})
    return content.getvalue()
