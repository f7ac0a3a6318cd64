"""Tables and figures as plain data: what a suite or a study has to show, before it is drawn.

`report` draws them and writes their files. Names are the names of files, so they must be distinct
within a report, and of letters, digits, - and _ alone.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias


class Point(NamedTuple):
    """A number with its 95 % interval; low and high are None if there is none."""

    value: float
    low: float | None = None
    high: float | None = None


Rows: TypeAlias = list[list[str | float | None]]
"""A header and rows, for a CSV file. None is an empty cell."""


@dataclass(frozen=True)
class Table:
    """Rows of texts under a header. The first column is a name.

    Attributes:
        notes: what the columns and numbers mean, a sentence each.
        best: column → the numbers of the rows that hold its best value, which are set in bold.
    """

    name: str
    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()
    best: Mapping[int, Sequence[int]] = field(default_factory=dict)

    def data(self) -> Rows:
        return [[*row] for row in (self.header, *self.rows)]


@dataclass(frozen=True)
class Bars:
    """Horizontal points or bars with intervals: a group for each label, a mark for each series.

    Attributes:
        unit: of the values, such as "ROUGE-L, per cent".
        series: name of a system → a point for each label, None where it has none.
    """

    name: str
    title: str
    unit: str
    labels: Sequence[str]
    series: Mapping[str, Sequence[Point | None]]
    notes: Sequence[str] = ()

    def data(self) -> Rows:
        rows: Rows = [["label", "series", "value", "low", "high"]]
        for system, points in self.series.items():
            for label, point in zip(self.labels, points, strict=True):
                if point is not None:
                    rows.append([label, system, *point])
        return rows


@dataclass(frozen=True)
class Line:
    """A line of a figure.

    Attributes:
        points: y of each x, with the ends of its interval.
        band: whether intervals are drawn as a band along the line, or else as a bar at each point.
        is_fit: drawn dashed without marks: a curve through points of another line.
        is_published: drawn with open marks: another's numbers.
    """

    label: str
    x: Sequence[float]
    points: Sequence[Point]
    band: bool = False
    is_fit: bool = False
    is_published: bool = False


@dataclass(frozen=True)
class Curves:
    """Lines over a numeric axis."""

    name: str
    title: str
    x_title: str
    y_title: str
    lines: Sequence[Line]
    log_x: bool = False
    log_y: bool = False
    notes: Sequence[str] = ()

    def data(self) -> Rows:
        rows: Rows = [["line", self.x_title, self.y_title, "low", "high"]]
        for line in self.lines:
            for x, point in zip(line.x, line.points, strict=True):
                rows.append([line.label, x, *point])
        return rows


@dataclass(frozen=True)
class HeatMap:
    """A matrix of values. NaN is an empty cell."""

    name: str
    title: str
    row_title: str
    column_title: str
    unit: str
    rows: Sequence[str]
    columns: Sequence[str]
    values: Sequence[Sequence[float]]
    notes: Sequence[str] = ()

    def data(self) -> Rows:
        found: Rows = [[f"{self.row_title} \\ {self.column_title}", *self.columns]]
        for row, values in zip(self.rows, self.values, strict=True):
            found.append([row, *(None if math.isnan(value) else value for value in values)])
        return found


@dataclass(frozen=True)
class Spread:
    """How values are spread: all of them as marks, with their median and quartiles.

    Attributes:
        series: name of a system → values for each label, such as those of a data set's prompts.
    """

    name: str
    title: str
    unit: str
    labels: Sequence[str]
    series: Mapping[str, Sequence[Sequence[float]]]
    notes: Sequence[str] = ()

    def data(self) -> Rows:
        rows: Rows = [["label", "series", "value"]]
        for system, values in self.series.items():
            for label, of in zip(self.labels, values, strict=True):
                rows += [[label, system, value] for value in of]
        return rows


@dataclass(frozen=True)
class Shares:
    """Stacked horizontal bars: what parts a whole has.

    Attributes:
        parts: name of a part → its amount for each label, 0 or more.
    """

    name: str
    title: str
    unit: str
    labels: Sequence[str]
    parts: Mapping[str, Sequence[float]]
    notes: Sequence[str] = ()

    def data(self) -> Rows:
        rows: Rows = [["label", *self.parts]]
        for number, label in enumerate(self.labels):
            rows.append([label, *(of[number] for of in self.parts.values())])
        return rows


@dataclass(frozen=True)
class Histogram:
    """How many there are of each size: vertical bars that touch.

    Attributes:
        edges: of the bars, one more than there are bars.
        is_open: whether the last bar has all that are larger too.
    """

    name: str
    title: str
    x_title: str
    y_title: str
    edges: Sequence[float]
    counts: Sequence[int]
    is_open: bool = False
    notes: Sequence[str] = ()

    def data(self) -> Rows:
        rows: Rows = [["from", "to", self.y_title]]
        for number, count in enumerate(self.counts):
            is_last = number == len(self.counts) - 1
            end = None if self.is_open and is_last else self.edges[number + 1]
            rows.append([self.edges[number], end, count])
        return rows


_MOST_LETTERS = 150  # of a file's name; most file systems take 255, with its ending

Figure: TypeAlias = Bars | Curves | HeatMap | Spread | Shares | Histogram


def file_name(text: str) -> str:
    """A text as the name of an exhibit, cut where a file system would not take it."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", text)[:_MOST_LETTERS]


@dataclass(frozen=True)
class Section:
    """A part of a report under a heading.

    Attributes:
        text: sentences below the heading, a paragraph each.
    """

    title: str
    text: Sequence[str] = ()
    exhibits: Sequence[Table | Figure] = ()

    def figures(self) -> Iterator[Figure]:
        return (each for each in self.exhibits if not isinstance(each, Table))

    def tables(self) -> Iterator[Table]:
        return (each for each in self.exhibits if isinstance(each, Table))
