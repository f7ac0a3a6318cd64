"""Rows as they come: what an interruption leaves, and what is never mixed up."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tk_instruct.errors import UserError
from tk_instruct.journal import Example, Row, row_of, say_where, write_rows

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


def test_a_pipe_gets_all_rows_and_nothing_beside_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "pipe"
    os.mkfifo(output)
    with ThreadPoolExecutor(1) as pool:
        received = pool.submit(output.read_text, "utf-8")
        assert write_rows(predictor([]), EXAMPLES, output, {"n": 1}, "testing") == 4
        assert [json.loads(line)["id"] for line in received.result().split("\n")[:-1]] == [*"abcd"]
    assert os.listdir(tmp_path) == ["pipe"]
    say_where(4, output)
    assert capsys.readouterr() == ("", f"4 predictions in {output}\n")


def test_a_link_is_gone_on_with_beside_itself(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("folder/rows.jsonl")
    asked = list[str]()
    with pytest.raises(KeyboardInterrupt):
        write_rows(predictor(asked, "d"), EXAMPLES, tmp_path / "link", {"n": 1}, "testing")
    write_rows(predictor(asked), EXAMPLES, tmp_path / "link", {"n": 1}, "testing")
    assert asked == ["c", "a", "b", "d"]
    assert (tmp_path / "link").is_symlink()
    assert len((tmp_path / "folder" / "rows.jsonl").read_text("utf-8").split("\n")) == 5
    assert sorted(os.listdir(tmp_path)) == ["folder", "link"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content.replace(b"one", b"onf"),
        lambda content: content[: len(content) // 2],
        lambda content: b"",
        lambda content: b"\xff\x00",
        lambda content: b'{"prediction": "without an id"}\n',
    ],
)
def test_a_damaged_batch_is_predicted_again(
    tmp_path: Path, damage: Callable[[bytes], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    output, asked = tmp_path / "rows.jsonl", list[str]()
    with pytest.raises(KeyboardInterrupt):
        write_rows(predictor(asked, "d"), EXAMPLES, output, {"n": 1}, "testing")
    batch = sorted((tmp_path / "rows.jsonl.unfinished").iterdir())[1]  # of `a`
    batch.write_bytes(damage(batch.read_bytes()))
    write_rows(predictor(asked), EXAMPLES, output, {"n": 1}, "testing")
    assert asked == ["c", "a", "b", "a", "d"]
    rows = [json.loads(line) for line in output.read_text("utf-8").split("\n")[:-1]]
    assert [row["prediction"] for row in rows] == [TEXT] * 4
    assert f"{batch} is damaged; what it held is predicted again" in caplog.messages


def test_a_batch_of_other_rows_is_predicted_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whole by its name's hash, and yet not what is written here."""
    output, asked = tmp_path / "rows.jsonl", list[str]()
    with pytest.raises(KeyboardInterrupt):
        write_rows(predictor(asked, "d"), EXAMPLES, output, {"n": 1}, "testing")
    folder = tmp_path / "rows.jsonl.unfinished"
    belongs_to = min(os.listdir(folder)).split("-")[0]
    row = {"id": "d", "task": "t", "prediction": "p"}
    others = [7, [], {**row, "id": None}, {**row, "prediction": 3}, {"id": "d"}]
    contents = [json.dumps(other).encode() + b"\n" for other in others]
    contents += [b"[" * 100_000, b'{"id": "d", "task": "t", "prediction": "p", "x": "\xff"}\n']
    for number, content in enumerate(contents, start=10):
        hash_ = hashlib.sha256(content).hexdigest()[:16]
        (folder / f"{belongs_to}-{number:06}-{hash_}.jsonl").write_bytes(content)
    write_rows(predictor(asked), EXAMPLES, output, {"n": 1}, "testing")
    assert asked == ["c", "a", "b", "d"]
    assert sum("predicted again" in message for message in caplog.messages) == len(contents)
    assert "prediction is 3 but must be a string; it is damaged" in caplog.text
