"""Rows of CSV, JSON and Parquet: every text as it is, and each fault with its place."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tk_instruct.convert_tasks import rows
from tk_instruct.errors import UserError
from tk_instruct.files import Path as AnyPath

# NUL is in no text; a lone surrogate cannot be written as UTF-8.
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
TABLES = st.lists(st.tuples(TEXTS, TEXTS), min_size=1)


def read(path: Path, **options: Any) -> list[rows.Row]:
    return list(rows.read(AnyPath(path), **options)[1])


def fields(path: Path, **options: Any) -> list[dict[str, Any]]:
    return [dict(row.fields) for row in read(path, **options)]


@given(TABLES, st.sampled_from(["\n", "\r\n"]), st.booleans(), st.sampled_from(",;\t"))
def test_csv(
    tmp_path_factory: pytest.TempPathFactory,
    table: list[tuple[str, str]],
    newline: str,
    has_mark: bool,
    delimiter: str,
) -> None:
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    written = io.StringIO(newline="")
    writer = csv.writer(written, lineterminator=newline, delimiter=delimiter, quoting=csv.QUOTE_ALL)
    writer.writerows([("input", "output"), *table])
    path.write_bytes(written.getvalue().encode("utf-8-sig" if has_mark else "utf-8"))
    expected = [{"input": a, "output": b} for a, b in table]
    assert fields(path, delimiter=delimiter) == expected


@given(TABLES, st.booleans(), st.booleans(), st.booleans())
def test_json(
    tmp_path_factory: pytest.TempPathFactory,
    table: list[tuple[str, str]],
    is_list: bool,
    is_ascii: bool,
    has_mark: bool,
) -> None:
    path = tmp_path_factory.mktemp("json") / "a.json"
    expected = [{"input": a, "output": [b, a]} for a, b in table]
    texts = [json.dumps(record, ensure_ascii=is_ascii) for record in expected]
    content = json.dumps(expected, indent=1) if is_list else "\r\n".join(texts)
    path.write_bytes(content.encode("utf-8-sig" if has_mark else "utf-8"))
    assert fields(path) == expected


@given(TABLES)
def test_parquet(tmp_path_factory: pytest.TempPathFactory, table: list[tuple[str, str]]) -> None:
    path = tmp_path_factory.mktemp("parquet") / "a.parquet"
    expected = [{"input": a, "output": [b]} for a, b in table]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(expected), path)
    assert fields(path) == expected


def test_rows_are_counted_as_in_a_spreadsheet_and_an_editor(tmp_path: Path) -> None:
    table, lines, listing = (tmp_path / name for name in ("a.csv", "a.jsonl", "a.json"))
    table.write_text('a,b\n\n1,"x\ny"\n2,z\n')
    lines.write_text('{"a": 1}\n\n{"a": 2}\n')
    listing.write_text('[{"a": 1},\n\n{"a": 2}]')
    parquet = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"a": [1, 2]}), parquet)
    for path, places in {
        table: [": row 3", ": row 4"],
        lines: [":1", ":3"],
        listing: [": item 1", ": item 2"],
        parquet: [": row 1", ": row 2"],
    }.items():
        assert [row.place for row in read(path)] == [f"{path}{place}" for place in places]


def test_a_tsv_file_has_tabs_and_a_field_may_be_a_book(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    book = "word, " * 100_000
    path.write_text(f"input\toutput\n{book}\t007\n")
    assert fields(path) == [{"input": book, "output": "007"}]


def test_one_object_is_one_row(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"Title": "t", "Instances": [1]}, indent=2))
    assert read(path) == [rows.Row(str(path), {"Title": "t", "Instances": [1]})]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"a", "its name must end in .csv, .tsv, .parquet, .json, .jsonl, .ndjson"),
        ("a.csv", b"", "has no rows"),
        ("a.csv", b"a,b\n", "has no rows"),
        ("a.json", b"[]", "has no rows"),
        ("a.jsonl", b"\n\n", "has no rows"),
        ("a.csv", b"a,b\n1,2\n1,2,3\n", "a.csv: row 3 has 3 cells, and the header has 2; put"),
        ("a.csv", b"a,b\n1\n", "a.csv: row 2 has 1 cell, and the header has 2"),
        ("a.csv", b'a,b\n1,"2\n', "a.csv: row 2: not CSV (unexpected end of data)"),
        ("a.csv", b'a,b\n1,"2"x\n', "a.csv: row 2: not CSV"),
        ("a.csv", b"a,b,a\n1,2,3\n", "a.csv: row 1: two columns are called 'a'; rename one"),
        ("a.csv", b"a;b\n1;2\n", "is one cell; say what separates the cells: --delimiter ';'"),
        ("a.csv", "a,b\n1,é\n".encode("latin-1"), "not UTF-8 (byte 0xe9 in line 2)"),
        ("a.csv", "a,b\n1,2\n".encode("utf-16"), "in UTF-16, and must be in UTF-8"),
        ("a.csv", b"a,b\n1,2\0\n", "a NUL character in line 2"),
        ("a.jsonl", b'{"a": 1}\n{"a": \n', "a.jsonl:2: not JSON"),
        ("a.jsonl", b'{"a": 1}\n[1]\n', "a.jsonl:2: the document is [1] but must be an object"),
        ("a.json", b'[{"a": 1}, 7]', "a.json: item 2: the document is 7 but must be an object"),
        ("a.parquet", b"PAR1", "a.parquet: not Parquet that can be read"),
    ],
)
def test_faults(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError) as refused:
        read(path)
    assert message in str(refused.value)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    for suffix in rows.SUFFIXES:
        with pytest.raises(UserError, match=r"nowhere.*(cannot be read|not Parquet)"):
            read(tmp_path / f"nowhere{suffix}")
    with pytest.raises(UserError, match="--delimiter is for CSV"):
        read(tmp_path / "a.json", delimiter=";")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("007", "007"),
        (" 1.0 ", " 1.0 "),
        (3, "3"),
        (3.0, "3.0"),
        (-0.5, "-0.5"),
        (10**30, "1" + "0" * 30),
        (True, "true"),
        (False, "false"),
        ("a\r\nb\u2028", "a\r\nb\u2028"),
        ("Grüße".encode(), "Grüße"),
    ],
)
def test_texts_and_numbers(value: Any, text: str) -> None:
    assert rows.text(value, "a:1", "output") == text


@pytest.mark.parametrize("value", [None, "", " \n", b" ", float("nan")])
def test_empty_values(value: Any) -> None:
    with pytest.raises(UserError, match="a:1: output is empty, and must say something"):
        rows.text(value, "a:1", "output")


@pytest.mark.parametrize("value", [[1], {"a": 1}, b"\xff", float("inf")])
def test_other_values(value: Any) -> None:
    with pytest.raises(UserError, match=r"a:1: output is .* but must be a text or a number"):
        rows.text(value, "a:1", "output")


def test_lists_of_texts() -> None:
    assert rows.texts(["a", 2], "a:1", "output") == ("a", "2")
    assert rows.texts("a", "a:1", "output") == ("a",)
    with pytest.raises(UserError, match="a:1: output is an empty list"):
        rows.texts([], "a:1", "output")
    with pytest.raises(UserError, match=r'a:1: output\[1\] is \["b"\] but must be a text'):
        rows.texts(["a", ["b"]], "a:1", "output")
