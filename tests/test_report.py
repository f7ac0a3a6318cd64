"""Scores of several runs in one table."""

import json
from pathlib import Path

import pytest

from tk_instruct import cli


def write(run: Path, name: str, rouge_l: float, exact_match: float) -> None:
    path = run / "scores" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"rougeL": rouge_l, "exact_match": exact_match}))


def test_one_row_a_run_the_last_step_of_each(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "model", "superni_en_def-test-9", 1.0, 2.0)
    write(tmp_path / "model", "superni_en_def-test-10", 50.25, 40.0)
    write(tmp_path / "model", "superni_en_def-validation-10", 100.0, 99.5)
    write(tmp_path / "copy_demo", "superni_en_def-test-0", 28.54, 0.0)
    assert cli.main(["report", str(tmp_path / "model"), str(tmp_path / "copy_demo")]) == 0
    assert capsys.readouterr().out == (
        "superni_en_def, per cent\n"
        "run        validation ROUGE-L  validation EM  test ROUGE-L  test EM\n"
        "model                  100.00          99.50         50.25    40.00\n"
        "copy_demo                   –              –         28.54     0.00\n"
        "validation: instances of train tasks that were not trained on\n"
        "test: unseen tasks\n"
    )


def test_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "model", "superni_en_def-test-9", 1.0, 2.0)
    assert cli.main(["report", str(tmp_path / "model"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "run": "model",
        "scores": {"superni_en_def/test": {"rougeL": 1.0, "exact_match": 2.0}},
    }


def test_a_run_without_scores(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["report", str(tmp_path)]) == 2
    assert "holds no TASK-SPLIT-STEP.json" in capsys.readouterr().err


def test_scores_of_other_metrics_are_passed_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def write_flans(run: Path) -> None:
        path = run / "scores" / "flan_rte.t0-test-9.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('{"num_examples": 5, "accuracy": 40.0}')

    write_flans(tmp_path / "both")
    write(tmp_path / "both", "superni_en_def-test-9", 1.0, 2.0)
    assert cli.main(["report", str(tmp_path / "both"), "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)["scores"]) == ["superni_en_def/test"]
    write_flans(tmp_path / "flan")
    assert cli.main(["report", str(tmp_path / "flan")]) == 2
    assert "holds no TASK-SPLIT-STEP.json of rougeL or exact_match" in capsys.readouterr().err


def test_runs_of_one_name_are_told_apart_by_their_parents(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    runs = ["p/m", "q/m", "other/q/m", "alone"]
    for number, run in enumerate(runs):
        write(tmp_path / run, "superni_en_def-test-9", float(number), 0.0)
    assert cli.main(["report", *runs, "--json"]) == 0
    shown = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    scores = {run["run"]: run["scores"]["superni_en_def/test"]["rougeL"] for run in shown}
    here = tmp_path.name
    assert scores == {"p/m": 0.0, f"{here}/q/m": 1.0, "other/q/m": 2.0, "alone": 3.0}
    assert cli.main(["report", *runs]) == 0
    rows = capsys.readouterr().out.splitlines()[2:6]
    assert [row.split() for row in rows] == [
        [name, f"{score:.2f}", "0.00"] for name, score in scores.items()
    ]


def test_a_run_given_twice_is_shown_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "p" / "m", "superni_en_def-test-9", 1.0, 0.0)
    (tmp_path / "latest").symlink_to("p/m")
    spellings = ["latest", "p/m", "p/m/", "./p/m", "p/../p/m", str(tmp_path / "p" / "m")]
    assert cli.main(["report", *spellings, "--json"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["run"] == "latest"
    monkeypatch.chdir(tmp_path / "p" / "m")
    assert cli.main(["report", ".", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["run"] == "m"


def test_dashes_in_names_of_tasks_and_splits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("copy-input-test-3", "mine-dev-small-3", "mine-test-small-3", "mine-small-20"):
        write(tmp_path, name, 1.0, 0.0)
    write(tmp_path, "mine-small-²", 9.0, 9.0)  # a digit to isdigit(), no number to int()
    assert cli.main(["report", str(tmp_path), "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)["scores"]
    assert sorted(scores) == [
        "copy-input/test",
        "mine/dev-small",
        "mine/small",
        "mine/test-small",
    ]
    assert scores["mine/small"]["rougeL"] == 1.0
