"""Figures of generated instructions, as PNG: the same numbers give the same bytes."""

import io
import math
from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from statistics import fmean

import numpy as np
from jaxtyping import Float, Int
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Wedge
from matplotlib.ticker import MaxNLocator

from tk_instruct.self_instruct.root_verbs import RootVerb

_DOTS_PER_INCH = 144
_BLUE = "#3b6ea5"
_NUM_BARS = 40


def similarity_histogram(similarities: Float[np.ndarray, " instructions"]) -> bytes:
    """PNG of ROUGE-L (fractions) to the most similar seed, in 40 bars from 0 to 1."""
    figure = Figure(figsize=(7, 4), dpi=_DOTS_PER_INCH, layout="constrained")
    axes = figure.subplots()
    edges = np.linspace(0, 1, _NUM_BARS + 1)
    _bars(axes, np.histogram(similarities, edges)[0], edges)
    axes.set_xlim(0, 1)
    axes.set_xlabel("ROUGE-L to the most similar seed instruction")
    axes.set_ylabel("instructions")
    return _png(figure)


def length_histograms(lengths: Mapping[str, Int[np.ndarray, " texts"]]) -> bytes:
    """PNG with a histogram a kind of text, of lengths in words.

    What is longer than 99 per cent of them is counted in the last bar, at "N+".
    """
    figure = Figure(figsize=(4 * len(lengths), 3.6), dpi=_DOTS_PER_INCH, layout="constrained")
    for axes, (what, words) in zip(figure.subplots(1, len(lengths)), lengths.items(), strict=True):
        _length_histogram(axes, words)
        axes.set_xlabel(f"words of the {what}")
        axes.set_ylabel(f"{what}s")
    return _png(figure)


def _length_histogram(axes: Axes, words: Int[np.ndarray, " texts"]) -> None:
    longest = int(np.percentile(words, 99, method="higher")) if len(words) else 1
    width = math.ceil((longest + 1) / _NUM_BARS)
    edges = np.arange(0, longest + 1 + width, width)
    last = int(edges[-1]) - width
    counts = np.histogram(np.minimum(words, last), edges)[0]
    _bars(axes, counts, edges)
    axes.set_xlim(0, edges[-1])
    if np.any(words >= edges[-1]):
        ticks = [
            tick
            for tick in MaxNLocator(5, integer=True).tick_values(0, last)
            if 0 <= tick < last - 0.1 * edges[-1]
        ]
        axes.set_xticks([*ticks, last + width / 2], [*(f"{t:.0f}" for t in ticks), f"{last}+"])
    else:
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))


def _bars(axes: Axes, counts: Int[np.ndarray, " bars"], edges: np.ndarray) -> None:
    axes.bar(edges[:-1], counts, np.diff(edges), align="edge", color=_BLUE, edgecolor="white")
    axes.set_ylim(0, 1.05 * max(1, int(counts.max())))
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.spines[["top", "right"]].set_visible(False)
    if not counts.any():
        axes.text(0.5, 0.5, "none yet", transform=axes.transAxes, ha="center", va="center")


# Of the figure of verbs and nouns, in inches: radii of the rings, and of the labels outside.
_HOLE, _BETWEEN, _OUTSIDE, _LABELS, _EDGE = 0.9, 2.6, 3.3, 3.55, 5.0
_POINTS = 9  # of type
_LINE = 1.15 * _POINTS / 72  # inches from one line of type to the next


def root_verb_rings(verbs: Sequence[RootVerb], caption: str) -> bytes:
    """PNG of verbs (inner ring) and their nouns (outer ring), as large as they are common."""
    figure = Figure(figsize=(2 * _EDGE, 2 * _EDGE + 0.5), dpi=_DOTS_PER_INCH)
    share = 2 * _EDGE / (2 * _EDGE + 0.5)
    axes = figure.add_axes((0, 1 - share, 1, share), frameon=False, xticks=[], yticks=[])
    axes.set(xlim=(-_EDGE, _EDGE), ylim=(-_EDGE, _EDGE), aspect="equal")
    figure.text(0.5, 0.25 / (2 * _EDGE + 0.5), caption, ha="center", va="center", fontsize=11)

    nouns = [
        (noun, count, number) for number, v in enumerate(verbs) for noun, count in v.nouns.items()
    ]
    degrees = 360 / sum(count for _, count, _ in nouns)
    verb_arcs = _arcs([degrees * sum(verb.nouns.values()) for verb in verbs])
    noun_arcs = _arcs([degrees * count for _, count, _ in nouns])

    for number, (verb, arc) in enumerate(zip(verbs, verb_arcs, strict=True)):
        _wedge(axes, arc, _HOLE, _BETWEEN, _color(number))
        room = math.radians(abs(arc[1] - arc[0])) * 0.9 * _BETWEEN * 72 / 1.15
        _radial_text(axes, verb.verb, fmean(arc), _BETWEEN - 0.08, False, min(11, room))
    label_angles = _spread([fmean(arc) for arc in noun_arcs], math.degrees(_LINE / _LABELS))
    for (noun, _, number), arc, angle in zip(nouns, noun_arcs, label_angles, strict=True):
        _wedge(axes, arc, _BETWEEN, _OUTSIDE, _pale(_color(number)))
        _line(axes, fmean(arc), _OUTSIDE, angle, _LABELS - 0.03)
        _radial_text(axes, noun, angle, _LABELS, True, _POINTS)
    return _png(figure)


def _arcs(extents: Sequence[float]) -> list[tuple[float, float]]:
    """(from, to) of arcs in degrees, one after the other, clockwise from the top."""
    return list(pairwise(90 - end for end in accumulate(extents, initial=0.0)))


def _spread(angles: Sequence[float], apart: float) -> list[float]:
    """Falling angles moved as little as leaves each `apart` (degrees) below the one before.

    Least squares: angles that would overlap share the mean of what they ask for.
    """
    blocks: list[tuple[float, int]] = []  # of neighbours that touch: (mean of first angle, count)
    for number, angle in enumerate(angles):
        block = (angle + apart * number, 1)
        while blocks and blocks[-1][0] < block[0]:
            mean, count = blocks.pop()
            total = count + block[1]
            block = ((mean * count + block[0] * block[1]) / total, total)
        blocks.append(block)
    firsts = [mean for mean, count in blocks for _ in range(count)]
    return [first - apart * number for number, first in enumerate(firsts)]


def _wedge(axes: Axes, arc: tuple[float, float], inner: float, outer: float, color: object) -> None:
    start, end = arc[1], arc[0]
    axes.add_patch(
        Wedge((0, 0), outer, start, end, width=outer - inner, facecolor=color, edgecolor="white")
    )


def _line(axes: Axes, angle: float, radius: float, to_angle: float, to_radius: float) -> None:
    a, b = math.radians(angle), math.radians(to_angle)
    axes.plot(
        [radius * math.cos(a), to_radius * math.cos(b)],
        [radius * math.sin(a), to_radius * math.sin(b)],
        color="#999999",
        linewidth=0.6,
    )


def _radial_text(
    axes: Axes, text: str, angle: float, radius: float, outwards: bool, points: float
) -> None:
    """Along a radius, beginning at it or, not outwards, ending there; never upside down."""
    turned = math.cos(math.radians(angle)) < 0
    axes.text(
        radius * math.cos(math.radians(angle)),
        radius * math.sin(math.radians(angle)),
        text,
        rotation=angle + 180 if turned else angle,
        rotation_mode="anchor",
        ha="left" if outwards != turned else "right",
        va="center_baseline",
        fontsize=points,
        parse_math=False,
    )


def _color(number: int) -> tuple[float, float, float]:
    """Of the number-th verb: 20 that differ, those side by side in hue."""
    return to_rgb(colormaps["tab20"](number % 20))


def _pale(color: tuple[float, float, float]) -> tuple[float, ...]:
    return tuple(0.5 + 0.5 * value for value in color)


def _png(figure: Figure) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format="png", metadata={"Software": None})
    return content.getvalue()
