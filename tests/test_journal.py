"""Rows as they come: what an interruption leaves, and what is never mixed up."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tk_instruct.errors import UserError
from tk_instruct.journal import Example, Row, row_of, write_rows

EXAMPLES = [{"id": id_, "task": "t"} for id_ in ("c", "a", "b", "d")]
# Each is the end of a line to str.splitlines, and none is in JSON.
TEXT = "one\u2028two\x85three\x0cfour\nfive\rsix – ß"


def predictor(asked: list[str], stop_at: str | None = None) -> object:
    def predict(examples: Sequence[Example]) -> Iterator[list[Row]]:
        for example in examples:
            if example["id"] == stop_at:
                raise KeyboardInterrupt
            asked.append(example["id"])
            yield [row_of(example, TEXT, scores=[0.5])]

    return predict


def test_an_interruption_loses_nothing_whatever_the_text(tmp_path: Path) -> None:
    output, asked = tmp_path / "rows.jsonl", list[str]()
    with pytest.raises(KeyboardInterrupt):
        write_rows(predictor(asked, "d"), EXAMPLES, output, {"n": 1}, "testing")
    # What a kill in the middle of a write leaves.
    (tmp_path / "rows.jsonl.unfinished" / ".x.jsonl.1234").write_bytes(b'{"id": "d", "predicti')
    assert write_rows(predictor(asked), EXAMPLES, output, {"n": 1}, "testing") == 4
    assert asked == ["c", "a", "b", "d"]
    rows = [json.loads(line) for line in output.read_text("utf-8").split("\n")[:-1]]
    assert rows == [{"id": id_, "task": "t", "prediction": TEXT, "scores": [0.5]} for id_ in "abcd"]
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]


def test_another_identity_starts_anew(tmp_path: Path) -> None:
    output, asked = tmp_path / "rows.jsonl", list[str]()
    with pytest.raises(KeyboardInterrupt):
        write_rows(predictor(asked, "b"), EXAMPLES, output, {"n": 1}, "testing")
    write_rows(predictor(asked), EXAMPLES, output, {"n": 2}, "testing")
    assert asked == ["c", "a", "c", "a", "b", "d"]


def test_ids_must_be_unique(tmp_path: Path) -> None:
    twice = [{"id": "a", "task": "one"}, {"id": "a", "task": "two"}]
    with pytest.raises(UserError, match="id 'a' is in one and in two while testing"):
        write_rows(predictor([]), twice, tmp_path / "x", {}, "testing")
    assert not list(tmp_path.iterdir())
