"""Published scores: how they are read, which are comparable, and how they are shown."""

from pathlib import Path

import pytest

from tk_instruct import published
from tk_instruct.errors import UserError
from tk_instruct.published import Compared, Difference, PublishedScore, compare_with

HEADER = "paper,table,system,track,encoding,part,metric,value"


def written(path: Path, *lines: str, header: str = HEADER) -> Path:
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "published.csv"


def row(
    system: str,
    value: str = "50.0",
    part: str = "",
    metric: str = "rougeL",
    **setting: str,
) -> PublishedScore:
    return PublishedScore("arXiv:1", "Table 3", system, setting, part, metric, value)


def test_a_line_is_a_score_with_the_decimals_that_are_printed(file: Path) -> None:
    written(file, 'arXiv:1,Table 3,"T5, 11B",en,,nli,rougeL,62.0', "", "arXiv:1,§2,x,,def,,em,-3")
    assert published.read(file) == (
        PublishedScore("arXiv:1", "Table 3", "T5, 11B", {"track": "en"}, "nli", "rougeL", "62.0"),
        PublishedScore("arXiv:1", "§2", "x", {"encoding": "def"}, "", "em", "-3"),
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("A,T,T5,en,,,rougeL", '7 cells under 8 columns; put a cell with a comma into "…"'),
        ("A,T,T5, 11B,en,,,rougeL,6", '9 cells under 8 columns; put a cell with a comma into "…"'),
        *(
            (line, f'{name} is "" but must be a string that is not blank; correct the line')
            for name, line in {
                "paper": ",T,T5,en,,,rougeL,6",
                "table": "A,,T5,en,,,rougeL,6",
                "system": "A,T, ,en,,,rougeL,6",
                "metric": "A,T,T5,en,,,,6",
            }.items()
        ),
        *(
            (
                f"A,T,T5,en,,,rougeL,{value}",
                f'value is "{value}" but must be a number as it is printed, such as 62.0; correct '
                "the line",
            )
            for value in (
                "",
                "62.",
                ".5",
                "1e3",
                "nan",
                "inf",
                "62 %",
                "1_0",
                "--3",
                "–",
                "6²",
                "٦",
            )
        ),
        *(
            (
                line,
                f'not CSV ({rule}); put a cell with quotes into "…", write each of its quotes as '
                '""',
            )
            for rule, line in {
                "',' expected after '\"'": 'A,T,"T5" 11B,en,,,rougeL,6',
                "unexpected end of data": 'A,T,"T5,en,,,rougeL,6',
            }.items()
        ),
    ],
)
def test_a_line_that_breaks_a_rule(line: str, message: str, file: Path) -> None:
    with pytest.raises(UserError) as error:
        published.read(written(file, line))
    assert str(error.value) == f"{file}:2: {message}"


def test_a_score_stands_in_a_file_once(file: Path) -> None:
    line = "arXiv:1,Table 3,T5,en,def,,rougeL,"
    with pytest.raises(UserError) as error:
        published.read(written(file, f"{line}6", f" {line} 7"))
    assert str(error.value) == (
        f"{file}:3: the same score as line 2; a score is printed once, remove one line or tell its "
        "setting"
    )


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (
            "paper,table,track,part,metric,value",
            ":1: the columns are paper, table, track, part, metric, value; its first line must "
            "name the columns paper, table, system, …, part, metric, value",
        ),
        (
            "paper,table,system,track,track,part,metric,value",
            ":1: a column is called 'track'; a name must be unique and not empty, rename it",
        ),
        (
            "paper,table,system,,part,metric,value",
            ":1: a column is called ''; a name must be unique and not empty, rename it",
        ),
        (
            "paper,table,system,part,metric,value,part,metric,value",
            ":1: a column is called 'part'; a name must be unique and not empty, rename it",
        ),
    ],
)
def test_columns_that_break_a_rule(header: str, message: str, file: Path) -> None:
    with pytest.raises(UserError) as error:
        published.read(written(file, header=header))
    assert str(error.value) == f"{file}{message}"


def test_a_file_without_text_or_in_another_encoding(file: Path) -> None:
    file.write_bytes(b"")
    with pytest.raises(UserError, match="is empty; its first line must name the columns"):
        published.read(file)
    file.write_bytes(HEADER.encode() + b"\nM\xfcller")
    with pytest.raises(UserError, match=r"not UTF-8 .*; save it as UTF-8"):
        published.read(file)
    file.write_bytes(b"\xef\xbb\xbf" + HEADER.encode() + b"\r\n")
    assert published.read(file) == ()


OURS = {"track": "en", "encoding": "def"}


def test_a_setting_that_is_unknown_here_differs() -> None:
    rows = [row("A", track="en", encoding="def"), row("B", track="en")]
    same, others = compare_with(rows, {"track": "en"}, {("", "rougeL"): 1.0})
    assert same == [Compared(rows[1], 1.0, ())]
    assert others == [Compared(rows[0], 1.0, (Difference("encoding", "def", None),))]


def test_what_the_paper_does_not_say_differs() -> None:
    same, others = compare_with([row("A", encoding="not said")], OURS, {("", "rougeL"): 1.0})
    assert not same
    assert others[0].differs == (Difference("encoding", "not said", "def"),)


def test_other_parts_and_metrics_are_left_out() -> None:
    rows = [row("A", part="nli"), row("B", metric="exact_match")]
    assert compare_with(rows, OURS, {("", "rougeL"): 1.0}) == ([], [])
    assert published.as_text([], []) == "no score of what was scored is published"


def test_a_variant_of_a_metric_differs_unless_it_is_scored_too() -> None:
    rows = [row("A", metric="rougeL_recall")]
    _, others = compare_with(rows, OURS, {("", "rougeL"): 1.0})
    assert others[0].differs == (Difference("metric", "rougeL_recall", "rougeL"),)
    same, _ = compare_with(rows, OURS, {("", "rougeL"): 1.0, ("", "rougeL_recall"): 2.0})
    assert [each.ours for each in same] == [2.0]


def test_the_nearest_come_first() -> None:
    rows = [
        row("two known", track="xl", encoding="pos"),
        row("one known, one unknown", track="xl", year="2022"),
        row("one known", track="xl", encoding="def"),
        row("one unknown", year="2022"),
    ]
    _, others = compare_with(rows, OURS, {("", "rougeL"): 1.0})
    assert [each.published.system for each in others] == [
        "one unknown",
        "one known",
        "one known, one unknown",
        "two known",
    ]


def test_what_is_shown() -> None:
    rows = [
        row("Tk-Instruct 11B", "62.0", track="en", encoding="def"),
        row("T5", "30.16", part="nli", track="en", encoding="def"),
        row("T0", "7.5", track="en", encoding="pos"),
        row("GPT-3", "45", track="en", encoding="not said"),
        row("recall", "9", track="en", metric="em_recall"),
        *(row(f"far {k}", "1.0", track="xl", encoding="pos", year="2022") for k in range(28)),
    ]
    scores = {("", "rougeL"): 57.127, ("nli", "rougeL"): 3.0, ("", "em"): 0.5}
    assert published.as_text(*compare_with(rows[:5], OURS, scores)) == (
        "published, of the same setting\n"
        "system           part     metric  published   here  source\n"
        "Tk-Instruct 11B  overall  rougeL       62.0  57.13  Table 3, arXiv:1\n"
        "T5               nli      rougeL      30.16   3.00  Table 3, arXiv:1\n"
        "\n"
        "published, of another setting: encoding (here def)\n"
        "system  encoding  metric  published   here  source\n"
        "T0      pos       rougeL        7.5  57.13  Table 3, arXiv:1\n"
        "GPT-3   not said  rougeL         45  57.13  Table 3, arXiv:1\n"
        "\n"
        "published, of another setting: metric (here em)\n"
        "system  metric     published  here  source\n"
        "recall  em_recall          9  0.50  Table 3, arXiv:1"
    )
    shown = published.as_text(*compare_with(rows[2:], OURS, scores)).split("\n\n")
    assert shown[0] == "no score is published of the same setting"
    assert shown[-1] == "and 28 more of other settings, which are no nearer"  # they stay together
    shown = published.as_text(*compare_with(rows[3:], OURS, scores)).split("\n\n")
    assert shown[-1].splitlines()[:3] == [
        "published, of another setting: track (here en), encoding (here def), year (here unknown)",
        "system  track  encoding  year  metric  published   here  source",
        "far 0   xl     pos       2022  rougeL        1.0  57.13  Table 3, arXiv:1",
    ]
    assert len(shown[-1].splitlines()) == 2 + 28


def test_of_the_nearest_group_there_are_not_more_than_thirty() -> None:
    rows = [row(f"far {k}", track="xl") for k in range(40)]
    shown = published.as_text(*compare_with(rows, OURS, {("", "rougeL"): 1.0})).split("\n\n")
    assert len(shown[1].splitlines()) == 2 + 30
    assert shown[2] == "and 10 more of other settings, which are no nearer"


def test_the_same_as_json() -> None:
    rows = [row("A", "62.0", track="xl")]
    assert published.as_rows(*compare_with(rows, OURS, {("", "rougeL"): 1.0})) == [
        {
            "paper": "arXiv:1",
            "table": "Table 3",
            "system": "A",
            "setting": {"track": "xl"},
            "part": "",
            "metric": "rougeL",
            "value": "62.0",
            "ours": 1.0,
            "differs": [{"name": "track", "theirs": "xl", "ours": "en"}],
        }
    ]
