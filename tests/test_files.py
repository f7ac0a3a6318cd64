"""Files whole or not at all, JSON lines with the place of what is wrong."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tk_instruct.errors import UserError
from tk_instruct.files import cannot_write, read_jsonl, write_atomically


def test_texts_are_written_as_utf8_with_their_folders(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "scores.txt"
    write_atomically(path, (text for text in ["né\r\n", "", "漢\n"]))
    assert path.read_bytes() == b"n\xc3\xa9\r\n\xe6\xbc\xa2\n"


def test_bytes_are_written_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "model"
    write_atomically(path, b"\xff\x00\r\n")
    assert path.read_bytes() == b"\xff\x00\r\n"


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "predictions.jsonl"
    path.write_text("old")

    def lines() -> Iterator[str]:
        yield "new " * 100_000
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, lines())
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["predictions.jsonl"]


def test_text_that_is_no_utf8_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "predictions.jsonl"
    path.write_text("old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, ["fine\n", "\ud800"])
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["predictions.jsonl"]


def test_a_file_in_the_place_of_a_folder_is_a_user_error(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    for path in (tmp_path / "cache" / "entry", tmp_path / "cache" / "ab" / "entry"):
        with pytest.raises(UserError) as caught:
            write_atomically(path, b"content")
        assert str(caught.value).startswith(f"{path}: cannot be written (")
        assert "choose another place" in str(caught.value)
    assert (tmp_path / "cache").read_text() == "a file"


def test_a_folder_in_the_place_of_the_file_is_a_user_error(tmp_path: Path) -> None:
    (tmp_path / "scores.json" / "kept").mkdir(parents=True)
    with pytest.raises(UserError, match=r"scores\.json: cannot be written \(Is a directory\)"):
        write_atomically(tmp_path / "scores.json", b"{}")
    assert os.listdir(tmp_path) == ["scores.json"]


def test_a_full_disk_asks_for_space(tmp_path: Path) -> None:
    def lines() -> Iterator[str]:
        yield "half"
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(UserError) as caught:
        write_atomically(tmp_path / "f", lines())
    assert str(caught.value) == (
        f"{tmp_path / 'f'}: cannot be written (No space left on device); free some space and run "
        "it again, what was there before is unchanged"
    )
    assert os.listdir(tmp_path) == []


def test_an_error_without_a_number_is_quoted() -> None:
    assert "cannot be written (write failed)" in str(
        cannot_write(Path("f"), OSError("write failed"))
    )


def test_jsonl_gives_line_numbers_and_passes_over_empty_lines(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    path.write_bytes('\ufeff{"a": "ligne\u2028une"}\r\n\r\n   \n{"b": [1]}\n{"c": null}'.encode())
    assert list(read_jsonl(path)) == [
        (1, {"a": "ligne\u2028une"}),
        (4, {"b": [1]}),
        (5, {"c": None}),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a": 1}\n{"a": ', ":2: not JSON (Expecting value: line 1 column 7 (char 6))"),
        (b'{"a": 1}\n\n["a"]\n', ':3: ["a"] must be a JSON object, one a line'),
        (b"3\n", ":1: 3 must be a JSON object, one a line"),
        (b'{"a": "\xff"}\n', ": not UTF-8 ('utf-8' codec can't decode byte 0xff"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "f.jsonl"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        list(read_jsonl(path))
    assert str(caught.value).startswith(f"{path}{message}")


def test_lines_before_the_broken_one_are_read(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    path.write_text('{"a": 1}\nbroken\n')
    assert next(read_jsonl(path)) == (1, {"a": 1})


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "absent.jsonl"
    with pytest.raises(UserError, match=r"absent\.jsonl: cannot be read \(No such file"):
        list(read_jsonl(path))
