"""`tk-instruct tasks export`: whole lines, which tasks, and what is left when it fails."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import gin
import pyarrow.parquet
import pytest

from tk_instruct import cli
from tk_instruct.data import registry
from tk_instruct.data.task import Example, Render, Rendering, Source, Task
from tk_instruct.data.tokens import FeatureLengths
from tk_instruct.errors import EmptySplitError, MissingDataError, UserError
from tk_instruct.tasks.superni import prompt
from tk_instruct.tasks.superni.records import SuperNI

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `tk-instruct tasks export …`: exit status, standard output and standard error."""

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        status = cli.main(["tasks", "export", *arguments])
        gin.clear_config()
        return status, *capsys.readouterr()

    return run


def _prepare(tokenizer: Any, max_input_tokens: int | None) -> Render:
    return lambda text: (f"{text}?", f"{text}!")


def declare(
    name: str,
    load: Callable[[str], Iterable[Mapping[str, Any]]],
    exported: Callable[[Example], Mapping[str, Any]] = lambda example: {},
) -> None:
    source = Source(("train", "test"), {"id": False, "text": False}, load, lambda split: split)
    rendering = Rendering(_prepare, reads=["text"])
    registry.add(Task(name, source, rendering, lambda example: "", [], exported=exported))


def rows(*texts: str) -> Callable[[str], Iterable[Mapping[str, Any]]]:
    return lambda split: ({"id": f"i{k}", "text": text} for k, text in enumerate(texts))


def failing(error: Exception) -> Callable[[str], Iterable[Mapping[str, Any]]]:
    def load(split: str) -> Iterator[Mapping[str, Any]]:
        raise error
        yield

    return load


@pytest.fixture(autouse=True)
def declared() -> Iterator[None]:
    """Tasks exp_…, two of which have examples."""
    declare("exp_a", rows("é", "b\nc"))
    declare("exp_ab", rows("z"), lambda example: {"row": 3, "choices": None})
    declare("exp_missing", failing(MissingDataError("no rows of it; give some")))
    declare("exp_empty", failing(EmptySplitError("all rows are dropped; take another")))
    registry.add(registry.Mixture("exp_mixture", {"exp_a": 1, "exp_missing": 1, "exp_ab": 1}))
    yield
    for name in [name for name in registry._added if name.startswith("exp_")]:
        registry._added.pop(name)


def lines_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


A = [
    {"id": "i0", "task": "exp_a", "inputs": "é?", "targets": "é!"},
    {"id": "i1", "task": "exp_a", "inputs": "b\nc?", "targets": "b\nc!"},
]
AB = [{"id": "i0", "task": "exp_ab", "inputs": "z?", "targets": "z!", "row": 3, "choices": None}]


def test_lines_of_super_naturalinstructions(
    run: Run, mini_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a vocabulary, whole prompts, and all right answers."""
    monkeypatch.delenv("TK_INSTRUCT_VOCABULARY", raising=False)
    path = tmp_path / "new" / "a.jsonl"
    command = ["superni_en_def_pos2", "--split=test", f"--data_dir={mini_dir}", f"--output={path}"]
    status, out, err = run(*command)
    examples = SuperNI(str(mini_dir)).examples("default", "test")
    assert (status, err) == (0, "")
    assert out == f"{len(examples):,} examples of 1 task in {path}\n"
    (form,) = prompt.ENCODINGS["def_pos2"]
    assert lines_of(path.read_text()) == [
        {
            "id": example.id,
            "task": "superni_en_def_pos2",
            "inputs": prompt.render(example.task, example.input, form),
            "targets": list(example.references),
            "task_name": example.task.name,
            "category": example.task.category,
        }
        for example in examples
    ]


def test_lines_of_flan(run: Run, flan_dir: str, flan_vocabulary: Path) -> None:
    data = [f"--tfds_data_dir={flan_dir}", "--split=test", "--output=-"]
    status, out, err = run("flan_rte.t0", *data)
    first, *others = lines_of(out)
    assert (status, err) == (
        0,
        f"{len(others) + 1} examples of 1 task in the standard output\n",
    )
    assert first["inputs"].endswith("OPTIONS:\n- yes\n- no")
    assert {key: first[key] for key in ("id", "dataset", "cluster", "options")} == {
        "id": "rte-test-0",
        "dataset": "rte",
        "cluster": "nli",
        "options": ["yes", "no"],
    }
    assert first["references"] == [first["targets"]]
    status, out, _ = run("flan_rte_rank.t0", *data)
    assert [line["is_right"] for line in lines_of(out)[:2]] in ([True, False], [False, True])


def test_exemplars_need_a_vocabulary_to_say_how_many_fit(
    run: Run, flan_dir: str, flan_vocabulary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TK_INSTRUCT_VOCABULARY", raising=False)
    command = ["flan_rte_fewshot", f"--tfds_data_dir={flan_dir}", "--split=test", "--output=-"]
    status, out, err = run(*command)
    assert (status, out) == (2, "")
    assert err.startswith(
        "error: flan_rte_fewshot: what fits into its prompts is counted in tokens, and no voc"
    )
    status, out, _ = run(*command, f"--vocabulary={flan_vocabulary}")
    assert status == 0
    gin.bind_parameter("tfds_data_dir.directory", flan_dir)
    gin.bind_parameter("vocabulary.name", str(flan_vocabulary))
    read = registry.get("flan_rte_fewshot").examples("test", FeatureLengths(1024, 64))
    assert [line["inputs"] for line in lines_of(out)] == [e["inputs_pretokenized"] for e in read]


def test_a_whole_name_is_one_task_and_a_part_of_names_all_with_it(run: Run) -> None:
    assert run("exp_a", "--output=-")[1] == as_text(A)
    assert run("xp_a", "--output=-")[1] == run("exp_a*", "--output=-")[1] == as_text(A + AB)
    assert run("exp_ab", "exp_mixture", "exp_a", "--output=-")[1] == as_text(AB + A)


def test_a_task_that_is_not_listed_is_found_by_its_full_name(run: Run) -> None:
    listed: Any = registry.get("exp_a")
    registry.add(replace(listed, name="exp_hidden", is_listed=False))
    assert run("exp_hid", "--output=-")[2].startswith("error: no task or mixture matches")
    status, out, _ = run("exp_hidden", "--output=-")
    assert (status, lines_of(out)) == (0, [{**line, "task": "exp_hidden"} for line in A])


def as_text(lines: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def test_what_is_missing_is_passed_over_and_counted(run: Run) -> None:
    declare("exp_missing_too", failing(MissingDataError("no other rows")))
    status, out, err = run("exp_*", "--output=-")
    assert (status, out) == (0, as_text(A + AB))
    assert err == (
        "passed over: 1 task without examples, such as exp_empty: all rows are dropped; take "
        "another\n"
        "passed over: 2 tasks without data, such as exp_missing: no rows of it; give some\n"
        "3 examples of 2 tasks in the standard output\n"
    )
    source = Source(("dev",), {}, rows(), str)
    registry.add(Task("exp_other", source, Rendering(_prepare, []), lambda example: "", []))
    _, _, err = run("exp_[ao]*", "--output=-")
    assert "passed over: 1 task without split 'train', such as exp_other\n" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["exp_missing"], "no rows of it; give some"),
        (["exp_empty"], "all rows are dropped; take another"),
        (["exp_a", "--split=dev"], "split='dev' is not one of exp_a's: test, train"),
        (["exp_m[!i]*"], "no task or mixture matches 'exp_m[!i]*"),
        (["exp_x"], "no task or mixture matches 'exp_x'; `tasks list` shows all"),
        (
            ["xp_missing", "xp_e"],
            "none of the 2 tasks can be exported: 1 without data, such as exp_missing: no rows of",
        ),
        (["exp_a", "--output=/dev/null/x"], "/dev/null/x: cannot be written (Not a directory); "),
        (["exp_a", "--output=/"], "/: cannot be written (Is a directory); "),
        (["exp_a", "--output=/dev/full"], "/dev/full: cannot be written (No space left on device"),
    ],
)
def test_refusals(run: Run, arguments: list[str], message: str, tmp_path: Path) -> None:
    status, out, err = run(f"--output={tmp_path / 'x'}", *arguments)
    assert (status, out) == (2, "")
    assert err.splitlines()[-1].startswith(f"error: {message}")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("error", [UserError("bad row"), KeyboardInterrupt(), OSError("lost")])
@pytest.mark.parametrize("file_format", ["jsonl", "parquet"])
def test_a_failure_leaves_the_old_file(
    run: Run, tmp_path: Path, error: BaseException, file_format: str
) -> None:
    path = tmp_path / "x"
    path.write_text("old")

    def load(split: str) -> Iterator[Mapping[str, Any]]:
        yield {"id": "0", "text": "a"}
        assert path.read_text() == "old"  # examples are written as they come
        raise error

    declare("exp_failing", load)
    status, _, err = run("exp_failing", f"--output={path}", f"--format={file_format}")
    assert status == (130 if isinstance(error, KeyboardInterrupt) else 2)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
    if isinstance(error, OSError):
        assert err == "error: exp_failing: its data cannot be read (lost); check it\n"


def test_parquet_has_the_same_examples(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    status, out, _ = run("exp_ab", "exp_a", f"--output={path}")
    assert (status, out) == (0, f"3 examples of 2 tasks in {path}\n")
    table = pyarrow.parquet.read_table(path)
    assert [str(kind) for kind in table.schema.types] == ["string"] * 4 + ["int64", "null"]
    assert table.to_pylist() == AB + [{**row, "row": None, "choices": None} for row in A]


def test_a_column_of_texts_and_lists_has_lists(run: Run, tmp_path: Path) -> None:
    answers = {"targets": ["x", "y"], "choices": ["x"]}
    declare("exp_several", rows("1", "2"), lambda example: answers)
    path = tmp_path / "x.parquet"
    assert run("exp_several", "exp_ab", f"--output={path}", "--format=parquet")[0] == 0
    found = pyarrow.parquet.read_table(path).to_pylist()
    assert [row["targets"] for row in found] == [["x", "y"], ["x", "y"], ["z!"]]
    assert [row["choices"] for row in found] == [["x"], ["x"], None]
    assert [row["row"] for row in found] == [None, None, 3]
    declare("exp_clash", rows("1"), lambda example: {"row": "three"})
    status, _, err = run("exp_ab", "exp_clash", f"--output={tmp_path / 'y'}", "--format=parquet")
    assert status == 2
    assert "field 'row' has values of the kinds int, str, and a column of Parquet has one" in err
    assert [row.name for row in tmp_path.iterdir()] == ["x.parquet"]


COMMAND = [sys.executable, "-m", "tk_instruct.cli", "tasks", "export"]


@pytest.mark.parametrize("file_format", ["jsonl", "parquet"])
def test_a_reader_that_has_gone_ends_it(mini_dir: Path, file_format: str) -> None:
    read, write = os.pipe()
    os.close(read)
    command = [*COMMAND, "superni_en_def", f"--data_dir={mini_dir}", f"--format={file_format}"]
    with os.fdopen(write) as pipe:
        ended = subprocess.run(
            [*command, "--output=-"], stdout=pipe, stderr=subprocess.PIPE, text=True, timeout=60
        )
    assert (ended.returncode, ended.stderr.count("Traceback")) == (141, 0)


def test_parquet_through_a_pipe(mini_dir: Path) -> None:
    command = [*COMMAND, "superni_en_def", f"--data_dir={mini_dir}", "--format=parquet"]
    ended = subprocess.run([*command, "--output=-"], capture_output=True, timeout=60)
    table = pyarrow.parquet.read_table(pyarrow.BufferReader(ended.stdout))
    assert ended.stderr.decode() == (
        f"{table.num_rows:,} examples of 1 task in the standard output\n"
    )
