"""A report as one page, which opens from disk without a network, and as files beside it.

OUT/index.html holds all that it shows. The same figures and tables lie in OUT/figures (PNG, SVG,
CSV) and OUT/tables (LaTeX, Markdown, CSV).
"""

import pathlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import compress
from xml.etree import ElementTree

from tk_instruct import drawing, files, web_page
from tk_instruct.exhibits import Figure, Rows, Section, Table
from tk_instruct.files import Path
from tk_instruct.report import tables_as_text, viewer
from tk_instruct.report.viewer import Predictions
from tk_instruct.terminal import visible

_HERE = pathlib.Path(__file__).parent
_NAME = re.compile(r"[A-Za-z0-9_-]+")
# A longer table would be most of the page; the file has it.
_MOST_ROWS_OF_DATA = 600
_POINTS_OF_AN_INCH, _PIXELS_OF_AN_INCH = 72, 96


def write(
    out: Path, title: str, sections: Sequence[Section], predictions: Sequence[Predictions] = ()
) -> list[Path]:
    """Writes the page and its files into a folder; gives their paths, the page's first.

    Files of the same names are replaced, others are left. Raises ValueError if two exhibits have
    the same name, or one has a name that is none of a file; UserError if a file cannot be written.
    """
    _check_names(sections)
    written = []
    shown = []
    for number, section in enumerate(sections, start=1):
        exhibits = []
        for exhibit in section.exhibits:
            folder = "tables" if isinstance(exhibit, Table) else "figures"
            files_of, exhibited = (
                _table(exhibit) if isinstance(exhibit, Table) else _figure(exhibit)
            )
            for ending, content in files_of.items():
                path = files.inside(out, folder, f"{exhibit.name}.{ending}")
                files.write_atomically(path, content)
                written.append(path)
            exhibits.append(exhibited)
        shown.append(_ShownSection(f"section-{number}", section.title, section.text, exhibits))
    page = files.inside(out, "index.html")
    files.write_atomically(page, html(title, shown, predictions).encode("utf-8", "replace"))
    return [page, *written]


@dataclass(frozen=True)
class _Data:
    """A table of the page.

    Attributes:
        numeric: whether a column is set to the right.
        bold: the places (row, column) of the best values.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    numeric: Sequence[bool]
    bold: frozenset[tuple[int, int]]


@dataclass(frozen=True)
class _Shown:
    """An exhibit in the page: a table, or a figure with the data that it is drawn from.

    Attributes:
        data: None if it is too long for the page.
        svg: None for a table.
        links: ending of a file's name → its address.
    """

    id: str
    title: str
    notes: Sequence[str]
    data: _Data | None
    num_rows: int
    svg: str | None
    links: dict[str, str]


@dataclass(frozen=True)
class _ShownSection:
    id: str
    title: str
    text: Sequence[str]
    exhibits: Sequence[_Shown]


def html(title: str, sections: Sequence[_ShownSection], predictions: Sequence[Predictions]) -> str:
    """The page. The template escapes all but the drawings, the style, the script and its data."""
    return web_page.rendered(
        _HERE,
        "viewer.js" if predictions else None,
        title=title,
        sections=sections,
        predictions=viewer.packed(predictions) if predictions else None,
    )


def _check_names(sections: Sequence[Section]) -> None:
    names: set[str] = set()
    for exhibit in (exhibit for section in sections for exhibit in section.exhibits):
        if not _NAME.fullmatch(exhibit.name):
            raise ValueError(
                f"an exhibit's name {exhibit.name!r} must be of letters, digits, - and _"
            )
        if exhibit.name.lower() in names:  # some file systems do not tell cases apart
            raise ValueError(f"two exhibits have the name {exhibit.name!r}; names must differ")
        names.add(exhibit.name.lower())


def _table(table: Table) -> tuple[dict[str, bytes], _Shown]:
    texts = {
        "tex": tables_as_text.latex(table),
        "md": tables_as_text.markdown(table),
        "csv": tables_as_text.csv_text(table.data()),
    }
    data = _Data(
        table.header,
        table.rows,
        tables_as_text.numeric_columns(table),
        frozenset((row, column) for column, rows in table.best.items() for row in rows),
    )
    links = _links("tables", table.name, {"LaTeX": "tex", "Markdown": "md", "CSV": "csv"})
    shown = _Shown(
        f"table-{table.name}", table.title, table.notes, data, len(table.rows), None, links
    )
    return {ending: text.encode() for ending, text in texts.items()}, shown


def _figure(figure: Figure) -> tuple[dict[str, bytes], _Shown]:
    png, svg = drawing.drawn(figure)
    rows = figure.data()
    contents = {
        "png": png,
        "svg": svg.encode(),
        "csv": tables_as_text.csv_text(rows).encode(),
    }
    data = None
    if len(rows) - 1 <= _MOST_ROWS_OF_DATA:
        shown = _without_empty_ends(rows)
        header, *body = [[_cell(cell) for cell in row] for row in shown]
        numeric = [
            any(isinstance(cell, float | int) for cell in column)
            and not any(isinstance(cell, str) for cell in column)
            for column in zip(*shown[1:], strict=True)
        ] or [False] * len(header)
        data = _Data(header, body, numeric, frozenset())
    inline = _inline(svg, figure.name, figure.title)
    links = _links("figures", figure.name, {"PNG": "png", "SVG": "svg", "CSV": "csv"})
    title, notes = figure.title, figure.notes
    return contents, _Shown(
        f"figure-{figure.name}", title, notes, data, len(rows) - 1, inline, links
    )


def _without_empty_ends(rows: Rows) -> Rows:
    """The same without the columns low and high, if no interval is there."""
    kept = [
        name not in ("low", "high") or any(row[number] is not None for row in rows[1:])
        for number, name in enumerate(rows[0])
    ]
    return [[*compress(row, kept)] for row in rows]


def _links(folder: str, name: str, endings: dict[str, str]) -> dict[str, str]:
    return {what: f"{folder}/{name}.{ending}" for what, ending in endings.items()}


def _cell(cell: str | float | None) -> str:
    if cell is None:
        return ""
    if isinstance(cell, str):
        return cell
    return f"{cell:,.0f}" if float(cell).is_integer() and abs(cell) < 1e15 else f"{cell:.6g}"


_SVG = "{http://www.w3.org/2000/svg}"
_XLINK = "{http://www.w3.org/1999/xlink}href"
_DIGITS = re.compile(r"(\.\d\d)\d+")  # a hundredth of a point is not seen
_FONT = re.compile(r"font-family: [^;]*; ?")  # the page's is taken
_REFERENCE = re.compile(r"url\(#([^)]+)\)")


def _inline(svg: str, name: str, label: str) -> str:
    """A drawing of matplotlib as a part of a page: transparent, in the page's ink.

    Only ids that something refers to are kept, with the figure's name before them, so that no two
    of a page are equal.
    """
    root = ElementTree.fromstring(svg)
    for parent in [*root.iter()]:
        for child in [*parent]:
            is_paper = child.get("id") == "patch_1"  # the white rectangle behind it all
            if is_paper or child.tag in (f"{_SVG}metadata", f"{_SVG}style"):
                parent.remove(child)
    referred = set(_references(root))
    for element in root.iter():
        element.tag = element.tag.removeprefix(_SVG)
        element.tail = None  # line breaks between elements
        if element.tag not in ("text", "tspan"):
            element.text = None
        for key, value in [*element.attrib.items()]:
            if key == "id" and value not in referred:
                del element.attrib[key]
            elif key == "id":
                element.set(key, f"in-{name}-{value}")
            elif key == _XLINK:
                del element.attrib[key]
                element.set("href", f"#in-{name}-{value[1:]}")
            else:
                value = _FONT.sub("", _REFERENCE.sub(rf"url(#in-{name}-\1)", value))
                value = " ".join(_DIGITS.sub(r"\1", value).split())
                element.set(key, value.replace(drawing.INK, "currentColor"))
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    points = _PIXELS_OF_AN_INCH / _POINTS_OF_AN_INCH
    root.attrib = {
        "viewBox": root.attrib["viewBox"],
        "width": f"{width * points:.0f}",
        "height": f"{height * points:.0f}",
        "style": f"--width: {width * points:.0f}px",
        "role": "img",
        "aria-label": visible(label),
    }
    return ElementTree.tostring(root, encoding="unicode")


def _references(root: ElementTree.Element) -> Iterator[str]:
    for element in root.iter():
        for key, value in element.attrib.items():
            if key == _XLINK:
                yield value[1:]
            yield from _REFERENCE.findall(value)
