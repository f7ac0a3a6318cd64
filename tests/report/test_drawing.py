"""Exhibits as figures: what is drawn, not how it looks."""

import io
import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib import colormaps, image
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from tk_instruct import drawing
from tk_instruct.drawing import draw
from tk_instruct.exhibits import (
    Bars,
    Curves,
    HeatMap,
    Histogram,
    Line,
    Point,
    Section,
    Shares,
    Spread,
)


@pytest.fixture(autouse=True)
def _style() -> Iterator[None]:
    with matplotlib.rc_context(drawing.STYLE):
        yield


def texts(drawn: Figure) -> list[str]:
    return [text.get_text() for text in drawn.axes[0].texts]


def spans(drawn: Figure) -> list[tuple[float, float]]:
    """Where bars start and how long they are."""
    return [(bar.get_x(), bar.get_width()) for bar in drawn.axes[0].patches]


def test_figures_are_ink_on_white(sections: list[Section]) -> None:
    figures = [each for section in sections for each in section.figures()]
    for figure in figures[:1] + figures[-6:]:
        png, svg = drawing.drawn(figure)
        pixels = image.imread(io.BytesIO(png))[..., :3]
        assert (pixels[0, 0] == 1).all()
        assert (pixels < 0.5).any()
        assert svg.startswith("<?xml")


def test_the_same_exhibit_gives_the_same_bytes() -> None:
    bars = Bars("b", "B", "u", ["a", "b"], {"x": [Point(1), Point(2)], "y": [Point(3), None]})
    first = drawing.drawn(bars)
    assert drawing.drawn(bars) == first
    assert drawing.drawn(Bars("b", "B", "u", ["a"], {"x": [Point(1)]})) != first


def test_points_have_their_intervals() -> None:
    points = [Point(5, 4, 7), Point(6), Point(2, math.nan, 3), None, Point(8, 9, 10)]
    axes = draw(Bars("b", "B", "u", [*"abcde"], {"x": points})).axes[0]
    segments = [each for each in axes.collections[0].get_segments() if len(each)]
    # A value beside its interval: the interval reaches from it to the farther end.
    assert [each[:, 0].tolist() for each in segments] == [[4, 7], [8, 10]]
    assert axes.get_lines()[0].get_xdata().tolist() == [5, 6, 2, 8]
    assert 0 < axes.get_xlim()[0] < 2
    assert texts(axes.figure) == ["5", "6", "2", "8"]


def test_values_without_intervals_are_bars_from_0() -> None:
    bars = draw(Bars("b", "B", "u", ["a", "b"], {"x": [Point(5), Point(-6.25)]}))
    assert spans(bars) == [(0, 5), (0, -6.25)]
    assert texts(bars) == ["5.00", "-6.25"]
    assert draw(Bars("b", "B", "u", ["a"], {"x": [Point(5)]})).axes[0].get_xlim()[0] == 0


def test_eighty_labels_of_six_systems_have_room(sections: list[Section]) -> None:
    (bars,) = sections[1].figures()
    figure = draw(bars)
    figure.draw_without_rendering()
    axes = figure.axes[0]
    boxes = [label.get_window_extent() for label in axes.get_yticklabels()]
    assert len(boxes) == 80
    assert all(later.y1 < former.y0 for former, later in pairwise(boxes))
    assert min(box.x0 for box in boxes) >= 0
    assert len(figure.legends[0].get_texts()) == 6


def test_labels_are_wrapped_and_never_cut() -> None:
    name = "task0001_a_name_that_is_much_longer_than_a_line_of_the_figure/with/parts"
    for label in (name, "x" * 90, "two words " * 12, "日本語" * 12):
        figure = draw(Bars("b", "B", "u", [label], {"s": [Point(1)]}))
        (shown,) = (each.get_text() for each in figure.axes[0].get_yticklabels())
        assert "".join(shown.split()) == "".join(label.split())
        assert all(drawing._letters(line) <= 31 for line in shown.splitlines())


def test_a_fit_has_the_colour_of_its_points_and_published_marks_are_open() -> None:
    x, points = [1.0, 10.0], [Point(1, 0, 2), Point(2, 1, 3)]
    lines = [
        Line("ours", x, points),
        Line("fit", x, points, band=True, is_fit=True),
        Line("published", x, points, is_published=True),
    ]
    axes = draw(Curves("c", "C", "x", "y", lines, log_x=True)).axes[0]
    drawn = {line.get_label(): line for line in axes.get_lines()}
    assert drawn["ours"].get_color() == drawn["fit"].get_color() != drawn["published"].get_color()
    assert drawn["ours"].get_linestyle() == "None"
    assert drawn["fit"].get_marker() == "none"
    assert drawn["published"].get_markerfacecolor() == "none"
    assert axes.get_xscale() == "log"
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "10"]


def test_intervals_of_lines_at_the_same_places_stand_side_by_side_and_within_the_axes() -> None:
    places = [8.0, 32.0, 757.0]
    fit = Line("fit", np.geomspace(8, 757, 50).tolist(), [Point(50)] * 50, is_fit=True)
    lines = [Line(name, places, [Point(50, 5, 95)] * 3) for name in ("a", "b")]
    drawn = draw(Curves("c", "C", "x", "y", [lines[0], fit, lines[1]], log_x=True))
    (axes,) = drawn.axes
    drawn.canvas.draw()
    bars = [each for each in axes.collections if isinstance(each, LineCollection)]
    ends = [bar.get_transform().transform(bar.get_segments()[0]) for bar in bars]
    first, second = (end[0, 0] for end in ends)
    assert second - first == pytest.approx(4 / 72 * drawn.dpi)
    low, high = axes.get_ylim()
    assert low < 5 < 95 < high
    assert axes.get_xticks().tolist() == places  # not those of the fit


def test_logarithmic_axes_leave_out_what_they_cannot_show() -> None:
    points = [Point(0.0), Point(-1.0), Point(1.0, -1.0, 2.0), Point(math.nan), Point(2.0, 1, 3)]
    line = Line("a", [1.0, 2.0, 3.0, 4.0, 5.0], points)
    axes = draw(Curves("c", "C", "x", "y", [line], log_y=True)).axes[0]
    drawn = {each.get_label(): each for each in axes.get_lines()}["a"]
    assert drawn.get_xdata().tolist() == [3, 5]
    nothing = draw(Curves("c", "C", "x", "y", [Line("a", [0.0], [Point(1)])], log_x=True))
    assert texts(nothing) == ["no values"]


def contrast(one: Any, other: Any) -> float:
    def luminance(color: Any) -> float:
        parts = np.array(to_rgb(color))
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


def test_each_cell_of_a_matrix_has_its_value_in_an_ink_that_can_be_read() -> None:
    values = [[0.0, 25.0, 50.0], [62.5, 75.0, 100.0], [math.nan, 99.9, 10.0]]
    axes = draw(HeatMap("h", "H", "r", "c", "u", [*"abc"], [*"xyz"], values)).axes[0]
    shown = [text.get_text() for text in axes.texts]
    assert shown == ["0.0", "25.0", "50.0", "62.5", "75.0", "100.0", "–", "99.9", "10.0"]
    for text in axes.texts:
        if text.get_text() != "–":
            paper = colormaps["cividis"](float(text.get_text()) / 100)
            assert contrast(text.get_color(), paper) >= 4.5
    assert len(axes.collections) == 8


def test_all_values_are_seen_with_their_quartiles() -> None:
    values = [1.0, 2.0, 2.0, 3.0, 10.0]
    axes = draw(Spread("s", "S", "u", ["a", "b"], {"x": [values, []]})).axes[0]
    (marks,) = (line for line in axes.get_lines() if line.get_marker() == "o")
    assert marks.get_xdata().tolist() == values
    assert len(set(marks.get_ydata())) == 5
    first, median, third = np.percentile(values, [25, 50, 75])
    assert spans(axes.figure) == [(first, third - first)]
    assert axes.collections[0].get_segments()[0][:, 0].tolist() == [median, median]


def test_equal_values_have_an_axis_that_does_not_go_below_0() -> None:
    spread = Spread("s", "S", "u", ["a", "b"], {"x": [[0.0] * 4, [0.0] * 3]})
    (axes,) = draw(spread).axes
    low, high = axes.get_xlim()
    assert (low, high) == pytest.approx((-0.04, 1))
    assert not [tick for tick in axes.get_xticks() if low <= tick < -1e-9]


def test_parts_are_stacked() -> None:
    shares = Shares("s", "S", "hours", ["a"], {"x": [2.0], "y": [math.nan], "z": [6.0]})
    figure = draw(shares)
    assert spans(figure) == [(0, 2), (2, 0), (2, 6)]
    assert texts(figure) == ["2", "6"]
    assert figure.axes[0].get_xlim()[0] == 0


def test_systems_differ_by_more_than_colour() -> None:
    points = {str(number): [Point(number)] for number in range(40)}
    patches = draw(Bars("b", "B", "u", ["a"], points)).axes[0].patches
    assert len({(each.get_facecolor(), each.get_hatch()) for each in patches}) == 40
    assert len({each.get_hatch() for each in patches[:8]}) == 8


@pytest.mark.parametrize("counts", [[], [0, 0], [3, 0, 1]])
def test_histograms(counts: list[int]) -> None:
    edges = [2.0 * number for number in range(len(counts) + 1)]
    drawn = draw(Histogram("h", "", "words", "texts", edges, counts, is_open=True))
    assert [(x, width) for x, width in spans(drawn)] == (
        [(0, 2), (2, 2), (4, 2)] if any(counts) else []
    )
    if any(counts):
        assert [bar.get_height() for bar in drawn.axes[0].patches] == counts
        assert [label.get_text() for label in drawn.axes[0].get_xticklabels()][-1] == "4+"
    else:
        assert texts(drawn)
