"""The figure of a whole evaluation: each prompt's score, and the quartiles of each data set."""

import io
from collections.abc import Mapping, Sequence
from typing import cast

from matplotlib.figure import Figure

from .summary import DatasetSummary

_DOTS_PER_INCH = 144
_WIDTH, _ROW, _REST = 7.0, 0.36, 1.0  # inches; a row is of a data set
_BLUE, _LIGHT = "#3b6ea5", "#b9cfe6"


def spreads(datasets: Mapping[str, DatasetSummary], caption: str) -> bytes:
    """PNG with a row for each data set: its prompts as points, its quartiles, its median."""
    height = _REST + _ROW * len(datasets)
    figure = Figure(figsize=(_WIDTH, height), dpi=_DOTS_PER_INCH, layout="constrained")
    axes = figure.subplots()
    for row, about in enumerate(datasets.values()):
        width = about.third_quartile - about.first_quartile
        axes.barh(row, width, left=about.first_quartile, height=0.7, color=_LIGHT, zorder=1)
        scores = [cast(float, of[about.metric]) for of in about.prompts.values()]
        heights = [row + height for height in apart(scores)]
        axes.scatter(scores, heights, s=14, color=_BLUE, alpha=0.8, lw=0, zorder=3)
        axes.vlines(about.median, row - 0.35, row + 0.35, color="black", lw=2, zorder=2)
    accuracy = all(about.metric == "accuracy" for about in datasets.values())
    labels = [
        name if accuracy or about.metric in name else f"{name}, {about.metric}"
        for name, about in datasets.items()
    ]
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    ends = [end for about in datasets.values() for end in (about.minimum, about.maximum)]
    axes.set_xlim(min(0, *ends) - 1, max(100, *ends) + 1)
    axes.grid(axis="x", color="0.9", zorder=0)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    what = "accuracy" if accuracy else "score"
    axes.set_xlabel(f"{what}, per cent (point: a prompt; bar: quartiles; line: median)")
    figure.suptitle(caption, fontsize=10, x=0.01, ha="left")
    output = io.BytesIO()
    figure.savefig(output, format="png", metadata={"Software": None})
    return output.getvalue()


def apart(scores: Sequence[float]) -> list[float]:
    """How far each point stands from the middle of its row, so that equal ones are all seen."""
    places = list(map(round, scores))
    most = max(map(places.count, places))
    step = min(0.15, 0.7 / most)
    nth = (places[:index].count(place) for index, place in enumerate(places))
    return [
        step * (number - (places.count(place) - 1) / 2)
        for number, place in zip(nth, places, strict=True)
    ]
