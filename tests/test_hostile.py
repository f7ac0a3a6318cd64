"""Files that somebody else wrote run nothing, write nothing outside, and never hang."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgpack
import pytest

from tk_instruct import cli
from tk_instruct.data.tokenization import Plain
from tk_instruct.data.tokens import FeatureLengths
from tk_instruct.data.vocabulary import vocabulary
from tk_instruct.errors import UserError
from tk_instruct.files import Path as EPath
from tk_instruct.inference.examples import read_examples
from tk_instruct.tasks.superni import doctor, records
from tk_instruct.tasks.superni.records import SuperNI, read_task

# What a parser that calls itself cannot end.
DEEP = {"lists": "[" * 100_000, "objects": '{"a":' * 100_000}


@pytest.fixture
def tree(mini_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TK_INSTRUCT_CACHE_DIR", str(tmp_path / "cache"))
    return shutil.copytree(mini_dir, tmp_path / "tree")


@pytest.fixture
def task(tree: Path) -> Path:
    """A test task's file."""
    name = (tree / "splits" / "default" / "test_tasks.txt").read_text().split()[0]
    return tree / "tasks" / f"{name}.json"


@pytest.fixture
def outside(tree: Path, tmp_path: Path) -> Iterator[None]:
    """Nothing but the tree and the cache comes into being."""
    before = {*tmp_path.iterdir(), tmp_path / "cache"}
    yield
    assert set(tmp_path.iterdir()) <= before


def test_modules_beside_the_data_are_not_imported(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = tmp_path / "ran"
    for module in ("json", "msgpack", "gin", "tk_instruct", "signal"):
        (tree / f"{module}.py").write_text(f"open({str(ran)!r}, 'w')")
    monkeypatch.chdir(tree)
    monkeypatch.setattr(records, "_BYTES_WORTH_A_PROCESS", 1)
    assert SuperNI(data_dir=str(tree)).examples("default", "test")
    assert not ran.exists()


@pytest.mark.usefixtures("outside")
def test_split_files_name_nothing_outside(tree: Path, tmp_path: Path) -> None:
    secret = tmp_path / "tree" / "secret.json"
    shutil.copy(next((tree / "tasks").iterdir()), secret)
    names = ["../secret", "/etc/passwd", str(secret.with_suffix("")), "..", "a/../../secret"]
    path = tree / "splits" / "default" / "test_tasks.txt"
    path.write_text("\n".join(names))
    with pytest.raises(UserError, match="is empty: none of the 5 tasks that it lists has a file"):
        SuperNI(data_dir=str(tree)).examples("default", "test")


@pytest.mark.usefixtures("outside")
def test_names_and_ids_are_text_wherever_they_go(
    tree: Path, task: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line break in an id is no other line, and what looks like a path is none."""
    content = json.loads(task.read_text())
    ids = [
        "../../x",
        "/tmp/x",
        'a\n{"id": "forged", "task": "t", "prediction": "p"}',
        "\u2028",
        "%s",
    ]
    content["Instances"] = [{"id": id_, "input": id_, "output": [id_]} for id_ in ids]
    content["Categories"] = ["../../category"]
    task.write_text(json.dumps(content))
    output = tree / "predictions.jsonl"
    predict = ["predict", "--baseline=copy_input", "--task=superni_en_input_only", "--split=test"]
    data = [f"--data_dir={tree}", "--vocabulary=bytes", f"--output={output}"]
    assert cli.main([*predict, *data]) == 0
    written = map(json.loads, output.read_text().split("\n")[:-1])
    rows = {row["id"]: row for row in written if row["task"] == task.stem}
    assert rows == {id_: {"id": id_, "task": task.stem, "prediction": id_} for id_ in ids}
    evaluate = ["evaluate", f"--predictions={output}", f"--data_dir={tree}", "--json=-"]
    capsys.readouterr()
    assert cli.main(evaluate) == 0
    assert json.loads(capsys.readouterr().out)[f"exact_match_for_{task.stem}"] == 100.0


@pytest.mark.parametrize("depth", [*range(880, 1000, 7), 100_000])
def test_deeply_nested_tasks(tmp_path: Path, depth: int) -> None:
    path = tmp_path / "task1_x.json"
    nested = "[" * depth + '"\\ud800"' + "]" * depth
    path.write_text(f'{{"Definition": {nested}}}')
    with pytest.raises(UserError, match=r"task1_x\.json: (nested too deeply|Definition\[0\] is)"):
        read_task(path)
    assert doctor.check_task(path)


@pytest.mark.parametrize("deep", DEEP)
def test_other_deeply_nested_files(
    tmp_path: Path, deep: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "scores" / "t-test-1.json"
    path.parent.mkdir()
    path.write_text(DEEP[deep])
    line = tmp_path / "line.jsonl"
    line.write_text('{"id": ' + DEEP[deep])
    for command in (
        ["report", str(tmp_path)],
        ["evaluate", f"--predictions={line}", f"--data_dir={tmp_path}"],
        ["evaluate", "--suite=user_oriented", f"--ratings={path}", f"--key={path}"],
    ):
        assert cli.main(command) == 2
        assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.parametrize("content", ["[]", "7", "null", '{"rougeL": "7"}', '{"rougeL": [1]}'])
def test_scores_of_another_kind(
    tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "scores").mkdir()
    (tmp_path / "scores" / "t-test-1.json").write_text(content)
    assert cli.main(["report", str(tmp_path)]) == 2
    assert "t-test-1.json: " in capsys.readouterr().err


@pytest.mark.parametrize("place", ["task", "split"])
def test_a_pipe_in_the_data_is_not_waited_for(tree: Path, task: Path, place: str) -> None:
    path = task if place == "task" else tree / "splits" / "default" / "test_tasks.txt"
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(UserError, match=f"{path.name} is a pipe or a device, which cannot be read"):
        SuperNI(data_dir=str(tree)).examples("default", "test")
    findings = doctor.check(tree)
    assert any("a pipe or a device, not a file" in str(finding) for finding in findings)


def test_examples_to_rank_may_come_from_a_pipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read once: of a pipe there is no second time, and its content is told from another's."""
    monkeypatch.setenv("TK_INSTRUCT_VOCABULARY", "bytes")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for id_ in ("a", "b"):
        line = json.dumps({"id": id_, "inputs": "x"})
        with ThreadPoolExecutor(1) as pool:
            pool.submit(pipe.write_text, line)
            (example,), contents = read_examples(
                EPath(pipe), FeatureLengths(8, 8), None, Plain(vocabulary())
            )
        assert example["id"] == id_
        assert contents == [hashlib.sha256(line.encode()).hexdigest()]


def test_a_device_in_the_data_is_not_read(tree: Path, task: Path) -> None:
    task.unlink()
    task.symlink_to("/dev/zero")
    with pytest.raises(UserError, match="is a pipe or a device"):
        SuperNI(data_dir=str(tree)).examples("default", "test")


def test_cache_entries_of_another_kind_are_made_again(tree: Path, tmp_path: Path) -> None:
    data = SuperNI(data_dir=str(tree))
    expected = data.examples("default", "test")
    for content in (
        msgpack.packb([]),
        msgpack.packb(7),
        msgpack.packb(["{}", []]),
        msgpack.packb(['{"positive_examples": [{"a": 1}]}', []]),
        b"\xdd\xff\xff\xff\xff",  # a list of four billion
        b"\x91" * 100_000,
        b"\xc1",
        b"",
    ):
        for entry in (tmp_path / "cache" / "records").rglob("*.msgpack"):
            entry.write_bytes(hashlib.sha256(content).digest() + content)
        assert data.examples("default", "test") == expected
