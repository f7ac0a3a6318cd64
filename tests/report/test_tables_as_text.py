"""Tables as LaTeX, Markdown and CSV."""

import csv
import re
from collections.abc import Sequence

from tk_instruct.exhibits import Table
from tk_instruct.report.tables_as_text import (
    csv_text,
    latex,
    latex_text,
    markdown,
    markdown_text,
    numeric_columns,
)

SCORES = Table(
    "scores",
    "ROUGE-L & more",
    ["system", "ROUGE-L", "95 % interval", "note"],
    [
        ["ours", "54.32", "50.10 to 58.60", "a_b"],
        ["theirs | 3B", "-1.10", "–", ""],
    ],
    notes=["Higher is better."],
    best={1: [0]},
)


def test_latex() -> None:
    assert latex(SCORES) == (
        r"""% Needs \usepackage{booktabs}.
\begin{table}
  \centering
  \caption{ROUGE-L \& more}
  \label{tab:scores}
  \begin{tabular}{lrrl}
    \toprule
    system               & ROUGE-L        & 95 \% interval & note \\
    \midrule
    ours                 & \textbf{54.32} & 50.10 to 58.60 & a\_b \\
    theirs \textbar{} 3B & $-$1.10        & --             &      \\
    \bottomrule
  \end{tabular}
  \par\smallskip\footnotesize Higher is better.
\end{table}
"""
    )


def test_markdown() -> None:
    assert markdown(SCORES) == (
        r"""**ROUGE-L \& more**

| system       |   ROUGE-L |  95 % interval | note |
| ------------ | --------: | -------------: | ---- |
| ours         | **54.32** | 50.10 to 58.60 | a\_b |
| theirs \| 3B |     -1.10 |              – |      |

Higher is better.
"""
    )


def test_csv_gives_texts_back(hostile: Sequence[str]) -> None:
    rows = [["a", "b"], *([text, None] for text in hostile), ["x\ny", 1.5]]
    text = csv_text([*rows])
    assert [*csv.reader(text.splitlines(keepends=True))] == [
        [str(cell or "").replace("\ud800", "?") for cell in row] for row in rows
    ]


# What LaTeX reads as text: letters and marks that mean themselves, and the commands that are used.
PLAIN = re.compile(
    r"""(?: [A-Za-z0-9 .,:;!?'()/+=@-] | [^\x00-\x7f]
    | \\(?: [{}$&\#%_] | (?:text[a-z]+ | ldots) \{\} | symbol\{34\} )
    | \{[]*[]\} | \$ (?: - | \\[A-Za-z]+ ) \$ | -\{\} )*""",
    re.VERBOSE,
)


def test_no_text_is_a_command_of_latex(hostile: Sequence[str]) -> None:
    characters = [*map(chr, range(0x80)), *"–—−±×·≤≥≈→Δ…"]
    for text in [*characters, *hostile, "--def", "?`", "a\n\nb", r"\input{x}"]:
        assert PLAIN.fullmatch(latex_text(text))
        assert PLAIN.fullmatch(latex_text(f"{text}{text} {text}"))
    assert latex_text("--x") == "-{}-x"
    assert latex_text(r"\x[1]*") == r"\textbackslash{}x{[}1{]}{*}"


def test_no_hostile_text_is_markup_of_markdown(hostile: Sequence[str]) -> None:
    for text in hostile:
        shown = markdown_text(text)
        assert not re.search(r"(?<!\\)(?:\\\\)*[`*_{}\[\]<>|~$&#]", shown)
    assert markdown_text("a\n| b\\") == r"a \| b\\"


def test_a_table_without_rows_and_one_without_numbers() -> None:
    empty = Table("t", "T", ["a", "b"], [])
    assert "| a   | b   |\n| --- | --- |\n" in markdown(empty)
    assert r"\begin{tabular}{ll}" in latex(empty)
    dashes = Table("t", "T", ["a", "b"], [["x", "–"]])
    assert r"\begin{tabular}{ll}" in latex(dashes)


def test_columns_of_texts() -> None:
    """What begins with a digit is no number yet, and long texts are broken into lines."""
    rows = [["a", "100 a task, an earlier draw", "1,280", "x " * 50]]
    table = Table("t", "T", ["system", "instances", "tokens", "answer"], rows)
    assert numeric_columns(table) == [False, False, True, False]
    assert r"\begin{tabular}{llrp{0.66\linewidth}}" in latex(table)
