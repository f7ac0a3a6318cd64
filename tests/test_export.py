"""`tk-instruct tasks export`: whole lines, which tasks, and what is left when it fails."""

import itertools
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import gin
import pyarrow.parquet
import pytest

from tk_instruct import cli
from tk_instruct.data import cache, pipeline, registry
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


Drawn = tuple[str, tuple[int, ...], tuple[int, ...]]
LONG = FeatureLengths(4096, 1024)


def training_draws(
    mixture: str, num_windows: int, seed: int, num_examples: int | None = None
) -> list[Counter[Drawn]]:
    """The examples of each window that training packs: their ids, inputs and targets as tokens."""
    batches = pipeline.train_batches(mixture, LONG, 1, seed, num_examples=num_examples)
    windows: list[Counter[Drawn]] = [Counter() for _ in range(num_windows + 1)]
    while not windows[-1]:
        arrays, ids, _ = next(batches)
        window = windows[batches.get_state()["window"]]
        for k, id_ in enumerate(ids[0], start=1):
            inputs = arrays["encoder_input_tokens"][arrays["encoder_segment_ids"] == k]
            targets = arrays["decoder_target_tokens"][arrays["decoder_segment_ids"] == k]
            window[id_, tuple(inputs.tolist()), tuple(targets.tolist())] += 1
    return windows[:-1]


def in_windows(lines: list[dict[str, Any]], sizes: Iterable[int]) -> list[Counter[Drawn]]:
    """Exported lines in parts of the sizes, as tokens: of bytes, 3 above them, and EOS is 1."""

    def ids(text: str) -> tuple[int, ...]:
        return *(byte + 3 for byte in text.encode()), 1

    found = iter(lines)
    return [
        Counter(
            (line["id"], ids(line["inputs"]), ids(line["targets"]))
            for line in itertools.islice(found, size)
        )
        for size in sizes
    ]


@pytest.fixture
def bytes_and_small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TK_INSTRUCT_VOCABULARY", "bytes")
    monkeypatch.setattr(pipeline, "WINDOW", 64)


@pytest.mark.parametrize("more", [[], ["--gin.NUM_TRAIN_EXAMPLES=7"]])
def test_what_is_drawn_is_what_training_draws(
    run: Run, mini_dir: Path, flan_dir: str, bytes_and_small_windows: None, more: list[str]
) -> None:
    """Of two suites at unequal rates, over epochs; a smaller number gives the first of them."""
    few = "SuperNI.max_instances_per_train_task"
    rates = {"superni_en_def_pos1": 5, "flan_rte": 2.5, "flan_wic.t0": 2, "flan_cola": 0.01}
    registry.add(registry.Mixture("exp_suites", rates))
    data = [f"--data_dir={mini_dir}", f"--tfds_data_dir={flan_dir}", f"--gin.{few}=2", *more]
    command = ["exp_suites", *data, "--seed=3"]
    status, out, err = run(*command, "--drawn=800", "--output=-")
    lines = lines_of(out)
    assert (status, len(lines)) == (0, 800)

    gin.bind_parameter("SuperNI.data_dir", str(mini_dir))
    gin.bind_parameter("tfds_data_dir.directory", flan_dir)
    gin.bind_parameter(few, 2)
    for name in ("SuperNI", "FLAN"):
        gin.bind_parameter(f"{name}.seed", 3)
    expected = training_draws("exp_suites", 12, 3, 7 if more else None)
    assert in_windows(lines, [window.total() for window in expected]) == expected

    shares = zip(registry.tasks_of("exp_suites"), registry.rates_of("exp_suites"), strict=True)
    for task, rate in shares:
        file = cache.open_tokens(task, "train", LONG)
        stream = pipeline.Stream(task.name, file, rate, 3, 7 if more else None)
        in_order = [example.read().id for n in range(14) for example in stream.window(n)]
        of_task = [line["id"] for line in lines if line["task"] == task.name]
        assert of_task == in_order[: len(of_task)]
    some = [line["task"] for line in lines[:32]]
    assert len({*some}) > 1  # in a window they are not one task after another
    assert some != sorted(some)

    counts = Counter(line["task"] for line in lines)
    table = [row.split() for row in err.splitlines()[1:-2]]
    assert {row[0]: int(row[1]) for row in table} == dict.fromkeys(rates, 0) | counts
    assert counts["superni_en_def_pos1"] == pytest.approx(800 * 5 / 9.51, abs=5)
    epochs = {row[0]: row[4] for row in table}
    assert float(epochs["superni_en_def_pos1"]) > 2
    assert float(epochs["flan_rte"]) > 2

    for number in (1, 37, 64, 700):
        assert lines_of(run(*command, f"--drawn={number}", "--output=-")[1]) == lines[:number]
    by_flag = ["exp_suites", *data, "--seed=3"]
    assert lines_of(run(*by_flag, "--drawn=800", "--output=-")[1]) == lines
    other = run("exp_suites", *data, "--drawn=800", "--output=-")[1]
    assert sorted(lines_of(other), key=str) != sorted(lines, key=str)


def test_how_many_examples_there_are_is_seen_when_they_are_read(
    run: Run, bytes_and_small_windows: None
) -> None:
    """As in training: a source may count also what it drops."""
    counted: Any = registry.get("exp_a")
    source = replace(counted.source, count=lambda split: 90)
    registry.add(replace(counted, name="exp_counted", source=source))
    registry.add(registry.proportional("exp_both", ["exp_counted", "exp_ab"], most_examples=3))
    status, out, err = run("exp_both", "--drawn=128", "--output=-")
    assert (status, err) == (
        0,
        "task         drawn     share     rate  epochs\n"
        "exp_counted     96   75.000%  75.000%   48.00\n"
        "exp_ab          32   25.000%  25.000%   32.00\n"
        "all            128  100.000%        –       –\n"
        "128 examples of 2 tasks in the standard output\n",
    )
    expected = training_draws("exp_both", 2, 0)
    assert in_windows(lines_of(out), [64, 64]) == expected


def test_answers_that_are_drawn_are_those_of_training(run: Run) -> None:
    declare("exp_several", rows("é"), lambda example: {"targets": ["x", "é!"], "row": 3})
    line = {"id": "i0", "task": "exp_several", "inputs": "é?", "targets": "é!", "row": 3}
    assert run("exp_several", "--drawn=2", "--output=-")[1] == as_text([line, line])
    status, out, _ = run("exp_several", "--drawn=1", "--format=messages", "--output=-")
    exchange = {"id": "i0", "task": "exp_several", "messages": chat("é?", "é!"), "row": 3}
    assert (status, out) == (0, as_text([exchange]))


def test_data_that_training_misses_is_missed(run: Run, mini_dir: Path) -> None:
    registry.add(registry.Mixture("exp_suites", {"superni_en_def": 1, "flan_rte": 1, "exp_a": 2}))
    data = [f"--data_dir={mini_dir}", "--tfds_data_dir=/none"]
    status, out, err = run("exp_suites", *data, "--drawn=8", "--output=-")
    assert (status, out) == (2, "")
    assert err.startswith("error: 1 of 3 tasks of exp_suites have no data: flan_rte; `tk-instruct")
    status, out, _ = run("exp_suites", *data, "--skip_missing", "--drawn=900", "--output=-")
    counts = Counter(line["task"] for line in lines_of(out))
    assert (status, counts) == (0, pytest.approx({"superni_en_def": 300, "exp_a": 600}, abs=30))


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


def test_a_chat_has_the_answer_that_is_trained_on(run: Run, mini_dir: Path) -> None:
    given = {"targets": ["x", "y"], "messages": "own", "row": 3}
    declare("exp_chat", rows("é"), lambda example: given)
    status, out, _ = run("exp_chat", "exp_ab", "--format=messages", "--output=-")
    assert (status, lines_of(out)) == (
        0,
        [
            {"id": "i0", "task": "exp_chat", "messages": chat("é?", "é!"), "row": 3},
            {"id": "i0", "task": "exp_ab", "messages": chat("z?", "z!"), "row": 3, "choices": None},
        ],
    )
    command = ["superni_en_def", f"--data_dir={mini_dir}", "--output=-"]
    texts, chats = (lines_of(run(*command, *more)[1]) for more in ([], ["--format=messages"]))
    for line, exchange in zip(texts, chats, strict=True):
        user, assistant = exchange.pop("messages")
        assert user == {"role": "user", "content": line.pop("inputs")}
        assert assistant["content"] in line.pop("targets")
        assert exchange == line
    assert {line["task_name"] for line in texts} == {line["task_name"] for line in chats}


def chat(user: str, assistant: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": user}, {"role": "assistant", "content": assistant}]


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
        (["exp_a", "--drawn=0"], "--drawn=0 must be at least 1"),
        (["exp_a", "--drawn=-5"], "--drawn=-5 must be at least 1"),
        (["exp_a", "--drawn=5", "--seed=-1"], "RANDOM_SEED=-1 must be a whole number ≥ 0"),
        (["exp_a", "--drawn=5", "--gin.RANDOM_SEED=-1"], "RANDOM_SEED=-1 must be a whole number"),
        (
            ["exp_a", "--drawn=5", "--gin.NUM_TRAIN_EXAMPLES=3"],
            "NUM_TRAIN_EXAMPLES=3 is above the 2 that exp_a has to train on; give at most so many",
        ),
        (
            ["exp_a", "--drawn=5", "--gin.NUM_TRAIN_EXAMPLES=0"],
            "NUM_TRAIN_EXAMPLES=0 must be a whole number ≥ 1",
        ),
        (
            ["exp_a", "exp_ab", "--drawn=5"],
            "--drawn=5 draws as training on one mixture or task does, and 2 are given: exp_a, exp_",
        ),
        (["exp_*", "--drawn=5"], "task or mixture 'exp_*' is not declared; did you mean"),
        (["exp_a", "--drawn=5", "--split=test"], "--split=test: --drawn draws from the split tr"),
        (["exp_missing", "--drawn=5"], "no rows of it; give some"),
        (["exp_empty", "--drawn=5"], "all rows are dropped; take another"),
        (["exp_none"], "exp_none/train has no examples"),
        (["exp_none", "--drawn=5"], "exp_none has no train examples, and what is empty is never"),
        (["exp_a", "--output=/dev/null/x"], "/dev/null/x: cannot be written (Not a directory); "),
        (["exp_a", "--output=/"], "/: cannot be written (Is a directory); "),
        (["exp_a", "--output=/dev/full"], "/dev/full: cannot be written (No space left on device"),
    ],
)
def test_refusals(run: Run, arguments: list[str], message: str, tmp_path: Path) -> None:
    declare("exp_none", rows())
    status, out, err = run(f"--output={tmp_path / 'x'}", *arguments)
    assert (status, out) == (2, "")
    assert err.splitlines()[-1].startswith(f"error: {message}")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("error", [UserError("bad row"), KeyboardInterrupt(), OSError("lost")])
@pytest.mark.parametrize("more", [["--format=jsonl"], ["--format=parquet"], ["--drawn=2"]])
def test_a_failure_leaves_the_old_file(
    run: Run, tmp_path: Path, error: BaseException, more: list[str]
) -> None:
    path = tmp_path / "x"
    path.write_text("old")

    def load(split: str) -> Iterator[Mapping[str, Any]]:
        yield {"id": "0", "text": "a"}
        assert path.read_text() == "old"  # examples are written as they come
        raise error

    declare("exp_failing", load)
    status, _, err = run("exp_failing", f"--output={path}", *more)
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


SEVERAL = {
    "row": 3,
    "share": 0.5,
    "is_right": True,
    "choices": ["é", "\u2028\n"],
    "subset": None,
    "targets": ["x", "y"],
}


def test_hugging_face_datasets_reads_parquet(run: Run, tmp_path: Path) -> None:
    """Also where tasks differ in their fields, and a field's first values are None."""
    declare("exp_several", rows("😀", "b\nc"), lambda example: SEVERAL)
    path = tmp_path / "x.parquet"
    assert run("exp_ab", "exp_several", f"--output={path}")[0] == 0
    read = datasets.Dataset.from_parquet(str(path), cache_dir=str(tmp_path / "cache"))
    texts, lists = datasets.Value("string"), datasets.List(datasets.Value("string"))
    assert read.features == {
        **dict.fromkeys(["id", "task", "inputs"], texts),
        "targets": lists,
        "row": datasets.Value("int64"),
        "choices": lists,
        "share": datasets.Value("float64"),
        "is_right": datasets.Value("bool"),
        "subset": datasets.Value("null"),
    }
    several = {"id": "i0", "task": "exp_several", "inputs": "😀?", **SEVERAL}
    first = {**AB[0], "targets": ["z!"], "share": None, "is_right": None, "subset": None}
    assert read.to_list() == [first, several, {**several, "id": "i1", "inputs": "b\nc?"}]


@pytest.mark.parametrize("name", ["x.jsonl", "x.parquet"])
def test_hugging_face_datasets_reads_chats(run: Run, tmp_path: Path, name: str) -> None:
    declare("exp_chat", rows("😀\n"), lambda example: {"choices": ["é"], "subset": None})
    path = tmp_path / name
    registry.add(registry.Mixture("exp_chats", {"exp_ab": 2, "exp_chat": 1}))
    command = ["exp_chats", "--drawn=20", "--format=messages"]
    assert run(*command, f"--output={path}")[0] == 0
    read_from = getattr(datasets.Dataset, f"from_{path.suffix[1:].replace('jsonl', 'json')}")
    read = read_from(str(path), cache_dir=str(tmp_path / "cache"))
    message = {"role": datasets.Value("string"), "content": datasets.Value("string")}
    assert read.features["messages"] == datasets.List(message)
    every = {"row": None, "choices": None, "subset": None}
    found = [{**every, **line} for line in lines_of(run(*command, "--output=-")[1])]
    assert read.to_list() == found
    assert {line["task"] for line in found} == {"exp_ab", "exp_chat"}
    assert chat("😀\n?", "😀\n!") in list(read["messages"])


COMMAND = [sys.executable, "-m", "tk_instruct.cli", "tasks", "export"]


@pytest.mark.parametrize("more", ["--format=jsonl", "--format=parquet", "--drawn=10"])
def test_a_reader_that_has_gone_ends_it(mini_dir: Path, more: str) -> None:
    read, write = os.pipe()
    os.close(read)
    command = [*COMMAND, "superni_en_def", f"--data_dir={mini_dir}", more]
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
