"""`tk-instruct show predictions`: whole outputs and messages."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tk_instruct import cli, scored_instances
from tk_instruct.files import Path as AnyPath

REFERENCES = [
    ("task1-a", ["yes"], "task1_nli", "Textual Entailment"),
    ("task1-b", ["no", "No, it does\nnot."], "task1_nli", "Textual Entailment"),
    ("task2-c", ["a red house"], "task2_title", "Title Generation"),
]
PREDICTIONS = {"task1-a": "Yes.", "task2-c": "a red\tcar"}
ALL = """\
── Textual Entailment ── task1_nli ── task1-a
reference   yes
prediction  Yes.
scores      exact_match 100.00  rouge1 100.00  rougeL 100.00

── Textual Entailment ── task1_nli ── task1-b
reference   no
or          No, it does
            not.
prediction  (no prediction)
scores      exact_match 0.00  rouge1 0.00  rougeL 0.00

── Title Generation ── task2_title ── task2-c
reference   a red house
prediction  a red   car
scores      exact_match 0.00  rouge1 66.67  rougeL 66.67

"""
NO_INPUTS = "inputs are not shown: which task was predicted is not known; give --of NAME\n"


@pytest.fixture
def predictions(tmp_path: Path) -> Path:
    keys = ("id", "references", "task_id", "task_category")
    rows = [dict(zip(keys, row, strict=True)) for row in REFERENCES]
    truth = tmp_path / "references.jsonl"
    truth.write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = tmp_path / "predictions.jsonl"
    given = [{"id": id_, "prediction": text} for id_, text in PREDICTIONS.items()]
    path.write_text("".join(json.dumps(row) + "\n" for row in given))
    assert cli.main(["evaluate", f"--predictions={path}", f"--references={truth}"]) == 0
    return path


@pytest.fixture
def show(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """show(words) → status, output, messages."""
    monkeypatch.setenv("COLUMNS", "80")

    def run(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        status = cli.main(["show", "predictions", *map(str, words)])
        return status, *capsys.readouterr()

    return run


def test_all_instances(show: Any, predictions: Path) -> None:
    assert show(predictions) == (0, ALL, NO_INPUTS)
    assert show(predictions.with_suffix(".scores.parquet")) == (0, ALL, NO_INPUTS)


@pytest.mark.parametrize(
    ("flags", "shown"),
    [
        (["-n", "1"], [0]),
        (["--id=task1-b"], [1]),
        (["--wrong"], [1, 2]),
        (["--wrong", "--metric=exact_match", "-n1"], [1]),
        (["--task", "TASK2_title"], [2]),
        (["--category", "textual entailment"], [0, 1]),
        (["--category=textual_entailment", "--wrong"], [1]),
    ],
)
def test_some_instances(show: Any, predictions: Path, flags: list[str], shown: list[int]) -> None:
    parts = [f"── T{part}" for part in ALL.split("── T")[1:]]
    assert show(predictions, *flags) == (0, "".join(parts[k] for k in shown), NO_INPUTS)


def test_lines_of_json(show: Any, predictions: Path) -> None:
    _, out, _ = show(predictions, "--json", "--task=task2_title")
    assert json.loads(out) == {
        "id": "task2-c",
        "task": "task2_title",
        "category": "Title Generation",
        "input": None,
        "references": ["a red house"],
        "prediction": "a red\tcar",
        "scores": {"exact_match": 0.0, "rouge1": 66.6667, "rougeL": 66.6667},
    }


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["-n0"], "-n 0 must be at least 1"),
        (["--metric=f1"], "--metric=f1 must be one of exact_match, rouge1, rougeL"),
        (
            ["--task=title"],
            "--task=title must be a task of these predictions; give one of the 2, such as "
            "task2_title",
        ),
        (
            ["--category=zzz"],
            "--category=zzz must be a category of these predictions; give one of the 2, such as "
            "Textual Entailment, Title Generation",
        ),
    ],
)
def test_wrong_flags(show: Any, predictions: Path, flags: list[str], message: str) -> None:
    assert show(predictions, *flags) == (2, "", f"error: {message}\n")


def test_a_folder_of_one_file_of_predictions(show: Any, predictions: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "predictions").mkdir(parents=True)
    status, out, message = show(run)
    assert (status, out) == (2, "")
    assert message.startswith(f"error: {run} holds no predictions: neither predictions/TASK-SPLIT-")
    file = run / "predictions" / "a-test-9.jsonl"
    for path in (predictions, predictions.with_name("predictions.scores.parquet")):
        path.rename(file.with_name(path.name.replace("predictions", "a-test-9")))
    assert show(run)[:2] == (0, ALL)
    (run / "predictions" / "b-test-9.jsonl").write_text("")
    assert show(run) == (
        2,
        "",
        f"error: {run} holds 2 files of predictions; give one, such as {file}\n",
    )


def test_predictions_that_were_not_evaluated(show: Any, predictions: Path) -> None:
    predictions.write_text(predictions.read_text().replace("red", "blue"))
    status, out, message = show(predictions)
    assert (status, out) == (2, "")
    assert f"make them with `tk-instruct evaluate --predictions {predictions}`" in message


def test_inputs_of_the_predicted_task(show: Any, mini_dir: Path, tmp_path: Path) -> None:
    data = ["--data_dir", str(mini_dir), "--vocabulary=bytes"]
    words = ["predict", "--baseline=copy_demo", "--task=superni_en_def_pos2"]
    assert cli.main([*words, "--output_dir", str(tmp_path), *data]) == 0
    (predictions,) = (tmp_path / "predictions").glob("*.jsonl")
    assert predictions.name == "superni_en_def_pos2-test-0.jsonl"
    assert (
        cli.main(["evaluate", "--predictions", str(predictions), "--data_dir", str(mini_dir)]) == 0
    )
    status, out, message = show(predictions, "-n2", "--json", *data)
    assert (status, message) == (0, "")
    for line in map(json.loads, out.splitlines()):
        (file,) = (mini_dir / "tasks").glob(f"{line['task']}.json")
        instances = json.loads(file.read_text())["Instances"]
        (instance,) = (each for each in instances if each["id"] == line["id"])
        assert (line["input"], line["references"]) == (instance["input"], instance["output"])

    elsewhere = tmp_path / "elsewhere"
    _, out, message = show(predictions, "-n1", "--data_dir", elsewhere)
    assert "input " not in out
    assert message.startswith("inputs are not shown: ")
    status, _, message = show(predictions, "-n1", "--data_dir", elsewhere, "--of=superni_en_def")
    assert (status, str(elsewhere) in message) == (2, True)


@pytest.mark.parametrize(("scores", "shown"), [([0.0, 1.0], 1), ([100.0, 1.0], 1), ([0.0, 0.5], 2)])
def test_wrong_is_what_lacks_the_full_score(
    show: Any, tmp_path: Path, scores: list[float], shown: int
) -> None:
    """Metrics are per cent or fractions."""
    path = tmp_path / "x.scores.parquet"
    write_table(path, scores)
    status, out, _ = show(path, "--wrong", "--json")
    assert (status, len(out.splitlines())) == (0, shown)


def test_by_a_metric_that_is_no_mean_none_is_wrong(show: Any, tmp_path: Path) -> None:
    path = tmp_path / "x.scores.parquet"
    write_table(path, [52.0, 228.6], no_means={"m": ("t",)})
    assert show(path)[0] == 0
    status, _, message = show(path, "--wrong")
    assert status == 2
    assert "m of some tasks is no mean of instances" in message


def write_table(path: Path, scores: list[float], **about: Any) -> None:
    size = len(scores)
    labels = {label: ["t"] * size for label in scored_instances.LABELS}
    table = scored_instances.ScoredInstances(
        scored_instances.About("task", "m", "unit", **about),
        labels | {"id": list(map(str, range(size)))},
        [["a"]] * size,
        ["a"] * size,
        {"m": np.array(scores)},
    )
    scored_instances.write(AnyPath(path), table)
