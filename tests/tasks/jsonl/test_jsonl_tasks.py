"""One's own JSON lines in every verb, and what is said of files that are wrong."""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gin
import numpy as np
import pytest
import seqio

from tk_instruct import cli
from tk_instruct.data import registry
from tk_instruct.data.task import AnyTask
from tk_instruct.data.tokens import FeatureLengths
from tk_instruct.errors import MissingDataError, UserError
from tk_instruct.metrics import METRICS
from tk_instruct.metrics.target import Target
from tk_instruct.tasks.jsonl import mixtures  # noqa: F401  (declares to SeqIO)
from tk_instruct.tasks.jsonl.settings import JsonLines

LENGTHS = FeatureLengths(64, 16)
ANSWERS = ["yes", "no"]
Line = dict[str, Any]
Run = Callable[..., str]


def lines(count: int) -> list[Line]:
    return [
        {"inputs": f"Is {k} even?", "targets": ANSWERS[k % 2], "options": ANSWERS}
        for k in range(count)
    ]


def write(path: Path, rows: Sequence[Line]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def use(**files: Path | list[Path]) -> None:
    given = {k: [*map(str, v)] if isinstance(v, list) else str(v) for k, v in files.items()}
    gin.bind_parameter("JsonLines.files", given)
    gin.bind_parameter("vocabulary.name", "bytes")


def task() -> AnyTask:
    [found] = registry.tasks_of("jsonl")
    return found


def read(split: str = "train") -> list[dict[str, Any]]:
    return [dict(example) for example in task().examples(split, LENGTHS)]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """A verb's output; what it says on standard error where it fails."""

    def run_verb(*arguments: str | Path, status: int = 0) -> str:
        capsys.readouterr()
        try:
            found = cli.main([*map(str, arguments)])
        except SystemExit as end:
            found = int(end.code or 0)
        captured = capsys.readouterr()
        assert found == status, captured.err
        return captured.err if status else captured.out

    return run_verb


def test_fields(tmp_path: Path) -> None:
    rows = [
        {"inputs": "aé", "targets": "b"},
        {"inputs": "c", "targets": "d", "id": 7, "task": "t", "other": [1]},
        {"inputs": "e", "targets": "f", "options": ["f", "g"], "references": ["f", "F"]},
    ]
    path = write(tmp_path / "mine.jsonl", rows)
    path.write_text("\n" + path.read_text(encoding="utf-8"), encoding="utf-8")
    use(train=path)
    found = read()
    assert [e["id"] for e in found] == ["mine-2", "7", "mine-4"]
    assert [e["task"] for e in found] == ["mine", "t", "mine"]
    assert [e["options"] for e in found] == [[], [], ["f", "g"]]
    assert [e["references"] for e in found] == [["b"], ["d"], ["f", "F"]]
    assert [e["inputs_pretokenized"] for e in found] == ["aé", "c", "e"]
    assert found[0]["inputs"].tolist() == [100, 198, 172, 1]
    assert found[0]["targets"].tolist() == [101, 1]


def test_one_json_list(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(lines(3), indent=2))
    use(train=path)
    assert [e["id"] for e in read()] == ["mine-1", "mine-2", "mine-3"]


def test_a_split_of_several_files(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{name}.jsonl", lines(2)) for name in "ab"]
    use(train=paths)
    assert [e["id"] for e in read()] == ["a-1", "a-2", "b-1", "b-2"]
    assert task().num_input_examples("train") == 4


def test_seqio_gives_the_same(tmp_path: Path) -> None:
    use(train=write(tmp_path / "a.jsonl", [*lines(2), {"inputs": "a", "targets": "b"}]))
    lengths = {"inputs": 64, "targets": 16}
    of_seqio = seqio.get_mixture_or_task("jsonl").get_dataset(lengths, "train", shuffle=False)
    for ours, theirs in zip(read(), of_seqio.as_numpy_iterator(), strict=True):
        np.testing.assert_array_equal(ours["inputs"], theirs["inputs"])
        np.testing.assert_array_equal(ours["targets"], theirs["targets"])


def test_the_fingerprint_is_of_the_content(tmp_path: Path) -> None:
    path = write(tmp_path / "one" / "a.jsonl", lines(3))
    use(train=path)
    before = task().fingerprint("train")
    use(train=write(tmp_path / "two" / "a.jsonl", lines(3)))
    assert task().fingerprint("train") == before
    found = {before}
    use(train=write(tmp_path / "b.jsonl", lines(3)))  # the file's name is in ids
    found.add(task().fingerprint("train"))
    write(path, lines(4))
    use(train=path)
    found.add(task().fingerprint("train"))
    assert len(found) == 3
    assert len(read()) == 4  # and the file is read again


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"inputs": "a"}], "a.jsonl:1: targets is missing; correct the line"),
        (
            [*lines(1), {"inputs": 3, "targets": "b"}],
            "a.jsonl:2: inputs is 3 but must be a string; correct the line",
        ),
        (
            [{"inputs": "a", "targets": ["b"]}],
            'a.jsonl:1: targets is ["b"] but must be a string',
        ),
        (
            [{"inputs": "a", "targets": "b", "references": []}],
            "a.jsonl:1: references is [] but must be a list that is not empty; correct",
        ),
        (
            [{"inputs": "a", "targets": "b", "options": ["b"]}],
            'a.jsonl:1: options=["b"] must be two different texts or more, none of them blank',
        ),
        ([{"inputs": "a", "targets": "b", "options": ["b", "b"]}], 'a.jsonl:1: options=["b", "b"]'),
        ([{"inputs": "a", "targets": "b", "options": ["b", " "]}], 'a.jsonl:1: options=["b", " "]'),
        (
            [{"inputs": "a", "targets": "b", "id": "x"}] * 2,
            "a.jsonl:2: id 'x' is on {folder}/a.jsonl:1 already; each line of a split needs an id "
            "of its own, so change one of the two",
        ),
        ([], "a.jsonl: no examples; write one JSON object a line, "),
    ],
)
def test_bad_lines(rows: list[Line], message: str, tmp_path: Path) -> None:
    use(train=write(tmp_path / "a.jsonl", rows))
    with pytest.raises(UserError) as caught:
        read()
    assert message.format(folder=tmp_path) in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"inputs": "a", ', "a.jsonl:1: not JSON ("),
        (b'{"inputs": "\xff", "targets": "b"}', "a.jsonl:1: not UTF-8 ("),
        (b"[1]", "a.jsonl: item 1: the document is 1 but must be an object"),
        (b"inputs,targets\na,b\n", "a.jsonl:1: not JSON ("),
        (b"\x1f\x8b\x08", "a.jsonl:1: not UTF-8 ("),
    ],
)
def test_files_of_something_else(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(content)
    use(train=path)
    with pytest.raises(UserError) as caught:
        read()
    assert message in str(caught.value)


def test_what_is_not_given_says_which_flag(tmp_path: Path, run: Run) -> None:
    use(train=write(tmp_path / "a.jsonl", lines(1)))
    for split, otherwise in {
        "test": "",
        "validation": ", or train without it (--gin.EVAL_",
    }.items():
        with pytest.raises(MissingDataError) as caught:
            read(split)
        message = (
            f"the task jsonl has no file for {split}; give --jsonl {split}=FILE or the gin macro "
            f"JSONL = {{'{split}': FILE}}{otherwise}"
        )
        assert str(caught.value).startswith(message)
    use(train=tmp_path / "none.jsonl")
    with pytest.raises(MissingDataError, match=r"none.jsonl is no file; correct the path"):
        read()
    with pytest.raises(UserError, match=r"JsonLines.files: the split 'dev' must be one of train, "):
        JsonLines({"dev": "a.jsonl"})
    for given in ("a.jsonl", "dev=a.jsonl", "test="):
        assert f"argument --jsonl: '{given}' must be SPLIT=FILE; SPLIT is one of train, " in run(
            "tasks", "show", "jsonl", "--jsonl", given, status=2
        )
    said = run(
        *("tasks", "show", "jsonl", "--gin_file=recipes/smoke.gin", "--gin.JSONL={'train': 3}"),
        status=2,
    )
    assert "--gin.JSONL: JSONL={'train': 3} must be names with a text or a list" in said


def test_a_pipe_is_refused_before_it_is_opened(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    use(train=pipe)
    with pytest.raises(UserError, match="is a pipe or a device, and is read more than once"):
        task().fingerprint("train")


def test_metrics(tmp_path: Path) -> None:
    rows = [{"inputs": "a", "targets": "b c", "references": ["c d", "b c"]}]
    use(test=write(tmp_path / "a.jsonl", rows), train=write(tmp_path / "b.jsonl", lines(2)))
    [score] = task().metric_fns
    [target] = map(task().target, read("test"))
    assert target == Target(("c d", "b c"))
    scores = score([target], ["b c"])
    assert scores == METRICS["rouge"]([target], ["b c"]) | {"accuracy": 0}
    assert list(scores) == ["rougeLsum", "rouge1", "rouge2", "accuracy"]
    assert score.measure([target], ["b c"])["accuracy"].values.tolist() == [0]
    targets = [task().target(example) for example in read("train")]
    scores = score(targets, ["yes", "yes"])
    assert next(iter(scores.items())) == ("accuracy", 50)


def test_intervals_end_at_0_and_100(tmp_path: Path, run: Run) -> None:
    rows: list[Line] = [{"id": f"i{k}", "inputs": "q", "targets": "yes"} for k in range(4)]
    data = write(tmp_path / "test.jsonl", rows)
    answers = [{"id": f"i{k}", "prediction": "no" if k else "yes"} for k in range(4)]
    predictions = write(tmp_path / "predictions.jsonl", answers)
    scores = tmp_path / "scores.json"
    flags = ["--task=jsonl", "--vocabulary=bytes", f"--jsonl=test={data}", f"--json={scores}"]
    run("evaluate", *flags, f"--predictions={predictions}")
    low, high = json.loads(scores.read_text())["accuracy_ci95"]
    assert (low, high) == (0.0, 100.0)


def test_every_verb(tmp_path: Path, run: Run, tiny_recipe: list[str]) -> None:
    train, more = (write(tmp_path / f"{name}.jsonl", lines(20)) for name in ("train", "more"))
    held_out = write(tmp_path / "held_out.jsonl", lines(4))
    data = ["--jsonl", f"train={train}", f"validation={held_out}", "--jsonl", f"train={more}"]
    model = tmp_path / "run"

    assert run("tasks", "list", "jsonl").split()[2:] == ["jsonl", "task"]
    shown = run("tasks", "show", "jsonl", "-n=1", "--json", "--vocabulary=bytes", *data)
    assert json.loads(shown) == {
        "id": "train-1",
        "task": "train",
        "split": "train",
        "inputs": "Is 0 even?",
        "targets": ["yes"],
        "input_tokens": 11,
        "options": ["yes", "no"],
    }
    assert "jsonl / train: 2 tasks, 40 instances" in run(  # there is no test to count
        "tasks", "stats", "jsonl", "--vocabulary=bytes", *data
    )

    macros = {
        "VOCABULARY": "bytes",
        "MIXTURE_OR_TASK_NAME": "jsonl",
        "TASK_FEATURE_LENGTHS": {"inputs": 32, "targets": 8},
        "MODEL_DIR": model,
        "EVAL_PERIOD": 2,
    }
    recipe = [*tiny_recipe, *(f"--gin.{name}={value}" for name, value in macros.items())]
    run("train", *recipe, "--gin.TRAIN_STEPS=2", *data)
    logged = [json.loads(line) for line in (model / "metrics.jsonl").read_text().splitlines()]
    assert any("validation_loss" in line for line in logged)

    # The run says where its data is; a flag gives what it had not.
    test = [f"--jsonl=test={held_out}"]
    run("predict", "--model_dir", model, "--split=validation")
    run("predict", "--model_dir", model, *test)
    run("rank", "--model_dir", model, *test)
    run("rank", "--model_dir", model, *test, "--option=a", "--option=b", status=2)
    ranked = model / "predictions" / "jsonl-test-2.rank.jsonl"
    rows = [json.loads(line) for line in ranked.read_text().splitlines()]
    assert [row["id"] for row in rows] == [f"held_out-{k}" for k in range(1, 5)]
    assert all(row["options"] == ANSWERS for row in rows)
    for way in ("", ".rank"):
        name = f"jsonl-test-2{way}.json"
        scores = model / "scores" / name
        predictions = model / "predictions" / f"{name}l"
        evaluate = ["evaluate", "--task=jsonl", "--vocabulary=bytes", f"--json={scores}"]
        run(*evaluate, "--predictions", predictions, *test)
    right = sum(row["prediction"] == ANSWERS[k % 2] for k, row in enumerate(rows))
    assert json.loads(scores.read_text())["accuracy"] == 25 * right
    assert "jsonl.rank, per cent" in (report := run("report", model))
    assert "test accuracy" in report

    # A file that has changed is not the run's data; one that has moved is.
    moved = write(tmp_path / "moved" / "train.jsonl", lines(20))
    data[1] = f"train={moved}"
    run("train", *recipe, "--gin.TRAIN_STEPS=3", *data)
    write(moved, lines(21))
    assert "was made by another run: data.content={'jsonl': " in run(
        "train", *recipe, "--gin.TRAIN_STEPS=4", *data, status=2
    )


def test_lines_without_options_are_ranked_by_those_of_the_flag(
    tmp_path: Path, run: Run, tiny_recipe: list[str]
) -> None:
    path = write(tmp_path / "a.jsonl", [*lines(1), {"inputs": "a", "targets": "b"}])
    macros = {
        "VOCABULARY": "bytes",
        "MIXTURE_OR_TASK_NAME": "jsonl",
        "JSONL": {"train": str(path), "test": [str(path)]},
        "MODEL_DIR": tmp_path / "run",
        "TRAIN_STEPS": 1,
        "EVAL_PERIOD": 0,
    }
    run("train", *tiny_recipe, *(f"--gin.{name}={value}" for name, value in macros.items()))
    rank = ["rank", "--model_dir", tmp_path / "run"]
    assert "example 'a-2': options=[] must be at least 2 texts" in run(*rank, status=2)
    run(*rank, "--option=b", "--option=c")
    ranked = tmp_path / "run" / "predictions" / "jsonl-test-1.rank.jsonl"
    found = [json.loads(line)["options"] for line in ranked.read_text().splitlines()]
    assert found == [ANSWERS, ["b", "c"]]
