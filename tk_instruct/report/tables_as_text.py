"""Tables as LaTeX, Markdown and CSV; no character of their texts is a command."""

import csv
import io
import re
import unicodedata
from collections.abc import Sequence

from tk_instruct.exhibits import Rows, Table
from tk_instruct.tables import is_number
from tk_instruct.terminal import visible

# Also what would be a ligature (--, ?`), an option after a line's end ([, *), or another letter in
# old fonts (<, |).
_LATEX = {
    "-": "-{}",
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\symbol{34}",
    "`": r"\textasciigrave{}",
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
    "–": "--",
    "—": "---",
    "−": "$-$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "·": r"$\cdot$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "≈": r"$\approx$",
    "→": r"$\rightarrow$",
    "Δ": r"$\Delta$",
    "…": r"\ldots{}",
}
_NOT_LATEX = re.compile("-(?=-)|[" + re.escape("".join(_LATEX)[1:]) + "]")
_LETTERS_OF_LINE = 60  # a longer cell makes a table of LaTeX wider than a page
_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>|~$&#])")


def csv_text(rows: Rows) -> str:
    """Rows as CSV; None is an empty cell."""
    output = io.StringIO()
    csv.writer(output, lineterminator="\n").writerows(rows)
    return output.getvalue().encode("utf-8", "replace").decode("utf-8")


def numeric_columns(table: Table) -> list[bool]:
    """Whether a column has numbers alone (or – or nothing), so that it is set to the right."""
    return [
        column > 0
        and any(_is_value(row[column]) for row in table.rows)
        and all(_is_value(row[column]) or row[column] in ("–", "") for row in table.rows)
        for column in range(len(table.header))
    ]


def _is_value(cell: str) -> bool:
    """Whether a cell is a number, perhaps with its interval; not `100 a task, an earlier draw`."""
    return is_number(cell) and ", " not in cell and ": " not in cell


def is_best(table: Table, row: int, column: int) -> bool:
    return row in table.best.get(column, ())


def latex(table: Table) -> str:
    """A floating table with a caption and a label; it needs the package booktabs."""
    columns = "".join(_latex_columns(table))
    head = [latex_text(cell) for cell in table.header]
    body = [
        [
            rf"\textbf{{{_latex_cell(cell)}}}"
            if is_best(table, number, column)
            else _latex_cell(cell)
            for column, cell in enumerate(row)
        ]
        for number, row in enumerate(table.rows)
    ]
    widths = _widths([head, *body])
    lines = [_in_columns(row, widths, " & ") + r" \\" for row in (head, *body)]
    notes = [rf"  \par\smallskip\footnotesize {latex_text(note)}" for note in table.notes]
    return "\n".join(
        [
            r"% Needs \usepackage{booktabs}.",
            r"\begin{table}",
            r"  \centering",
            rf"  \caption{{{latex_text(table.title)}}}",
            rf"  \label{{tab:{table.name}}}",
            rf"  \begin{{tabular}}{{{columns}}}",
            r"    \toprule",
            f"    {lines[0]}",
            r"    \midrule",
            *(f"    {line}" for line in lines[1:]),
            r"    \bottomrule",
            r"  \end{tabular}",
            *notes,
            r"\end{table}",
            "",
        ]
    )


def _latex_columns(table: Table) -> list[str]:
    """Columns of long texts have lines of a fixed width: they share two thirds of the page."""
    is_long = [
        any(len(row[column]) > _LETTERS_OF_LINE for row in table.rows)
        for column in range(len(table.header))
    ]
    long = rf"p{{{0.66 / max(1, sum(is_long)):.2f}\linewidth}}"
    return [
        "r" if numeric else long if is_long[column] else "l"
        for column, numeric in enumerate(numeric_columns(table))
    ]


def latex_text(text: str) -> str:
    """A text in which no character is a command. Lines are put side by side."""
    return _NOT_LATEX.sub(lambda found: _LATEX[found[0]], _one_line(text))


def _latex_cell(cell: str) -> str:
    """A number's minus is set as one."""
    if is_number(cell) and cell.startswith("-"):
        return f"$-${latex_text(cell[1:])}"
    return latex_text(cell)


def markdown(table: Table) -> str:
    """A heading, a table with pipes, and the notes."""
    numeric = numeric_columns(table)
    head = [markdown_text(cell) for cell in table.header]
    body = [
        [
            f"**{markdown_text(cell)}**" if is_best(table, number, column) else markdown_text(cell)
            for column, cell in enumerate(row)
        ]
        for number, row in enumerate(table.rows)
    ]
    widths = [max(3, width) for width in _widths([head, *body])]
    rule = [
        "-" * (width - 1) + ":" if right else "-" * width
        for width, right in zip(widths, numeric, strict=True)
    ]
    lines = [f"| {_in_columns(row, widths, ' | ', numeric)} |" for row in (head, rule, *body)]
    notes = [f"\n{markdown_text(note)}" for note in table.notes]
    return "\n".join([f"**{markdown_text(table.title)}**", "", *lines, *notes, ""])


def markdown_text(text: str) -> str:
    """A text without markup. Lines are put side by side."""
    return _MARKDOWN.sub(r"\\\1", _one_line(text))


def _one_line(text: str) -> str:
    return visible(" ".join(text.split()))


def _widths(rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(_width, column)) for column in zip(*rows, strict=True)]


def _width(text: str) -> int:
    """Columns on a screen: most characters of Chinese, Japanese and Korean take two."""
    return sum(1 + (unicodedata.east_asian_width(each) in "WF") for each in text)


def _in_columns(
    row: Sequence[str], widths: Sequence[int], between: str, numeric: Sequence[bool] = ()
) -> str:
    cells = []
    for column, (cell, width) in enumerate(zip(row, widths, strict=True)):
        space = " " * (width - _width(cell))
        cells.append(space + cell if numeric and numeric[column] else cell + space)
    return between.join(cells)
