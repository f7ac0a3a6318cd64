"""A study from its file to its scores: interrupted, continued, looked at, shared with another."""

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tk_instruct import cli, lock, study
from tk_instruct.study import done


def said(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    status = cli.main(["study", *map(str, arguments)])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def records(smoke_study: Any) -> dict[Path, list[dict[str, Any]]]:
    paths = sorted(smoke_study.runs.glob("*/study.jsonl"))
    return {path.parent: list(map(json.loads, path.read_text().splitlines())) for path in paths}


def test_ctrl_c_stops_the_study_and_its_command_saves(smoke_study: Any) -> None:
    status, err = smoke_study.interrupted
    assert status == 130
    assert err.endswith("stopped by SIGINT; the same command goes on\n")
    assert "Traceback" not in err
    (log,) = smoke_study.runs.glob("superni_en_def-*/logs/train.log")
    stopped = re.search(r"stopped by SIGTERM at step (\d+), which is saved", log.read_text())
    assert stopped
    assert f"continuing from step {stopped[1]} of 100" in log.read_text()


def test_nothing_is_done_twice(smoke_study: Any) -> None:
    before = records(smoke_study)
    assert len(before) == 2
    for lines in before.values():
        verbs = [line["verb"] for line in lines]
        assert verbs == ["train", "predict", "evaluate", "predict", "evaluate"]
        assert {line["status"] for line in lines} == {0}
    again = smoke_study.run()
    assert (again.returncode, again.stdout) == (0, "")
    assert again.stderr == f"2 of 2 runs are done, in {smoke_study.runs}\n"
    assert records(smoke_study) == before


def test_plan_and_status(smoke_study: Any, capsys: pytest.CaptureFixture[str]) -> None:
    where = [smoke_study.file, f"--runs={smoke_study.runs}"]
    status, out, _ = said(capsys, "plan", *where)
    title, header, *rows, last = out.splitlines()
    assert (status, title) == (0, "Encodings")
    assert header.split() == ["run", "train_encoding", "folder", "state", "left"]
    assert [(row.split()[0], row.split()[-1]) for row in rows] == [
        ("1", "nothing"),
        ("2", "nothing"),
    ]
    assert last == "in all: 2 trainings, 4 predictions, 4 evaluations; left: nothing"
    _, out, _ = said(capsys, "status", *where)
    assert out.splitlines()[-1] == "2 runs: 2 done"
    _, out, _ = said(capsys, "status", *where, "--json")
    found = json.loads(out)["runs"]
    assert [(run["state"], run["step"], run["steps"]) for run in found] == [("done", 100, 100)] * 2
    assert found[0]["axes"] == {"train_encoding": ["def"]}
    _, out, _ = said(capsys, "plan", *where, "--json", *smoke_study.places)
    words = json.loads(out)["runs"][0]["commands"][0]["words"]
    assert words[0] == "train"
    assert set(smoke_study.places) <= set(words)


def test_collect(smoke_study: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    found = study.collected(smoke_study.file, smoke_study.runs)
    assert found.num_missing == 0
    assert [tuple(cell.point.values()) for cell in found.cells] == [
        (trained, tested) for trained in ("def", "def_pos2") for tested in ("def", "def_pos2")
    ]
    for cell in found.cells:
        (run,) = cell.runs
        (path,) = (run / "scores").glob(f"superni_en_{cell.point['test_encoding']}-test-*.json")
        scores = json.loads(path.read_text())
        mean = cell.scores["rougeL"]
        assert list(mean.score) == [scores["rougeL"], *scores["rougeL_ci95"]]
        assert mean.num_runs == 1
    where = [smoke_study.file, f"--runs={smoke_study.runs}"]
    status, out, _ = said(capsys, "collect", *where)
    assert status == 0
    header, *rows = out.splitlines()[1:]
    assert header.split() == [
        *("trained", "with", "tested", "with", "runs"),
        *("rougeL", "95", "%", "interval", "published", "exact_match", "95", "%", "interval"),
    ]
    assert "12.5 (Other)" in rows[0]
    assert sum("12.5" in row for row in rows) == 1
    written = tmp_path / "scores.csv"
    _, out, _ = said(capsys, "collect", *where, "--json=-", f"--csv={written}")
    shown = json.loads(out)
    rouge = [cell["scores"]["rougeL"]["value"] for cell in shown["cells"]]
    lines = list(csv.DictReader(written.open()))
    ours = [float(line["value"]) for line in lines if line["metric"] == "rougeL"]
    assert ours == [*rouge, 12.5]


def test_another_study_shares_runs_and_a_failing_run_ends_no_other(
    smoke_study: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    text = smoke_study.file.read_text()
    text = text.replace('values = ["def", "def_pos2"]', 'values = ["def"]', 1)  # trained with
    text = text.replace("[settings]", '[settings]\nVOCAB_SIZE = "{size}"')
    text += '\n[[axis]]\nname = "size"\nvalues = [100, 1152]\n'
    other = tmp_path / "sizes.toml"
    other.write_text(text)
    before = records(smoke_study)
    where = [other, f"--runs={smoke_study.runs}"]
    status, _, err = said(capsys, "run", *where, *smoke_study.places)
    assert status == 1
    assert "error: VOCAB_SIZE=100 is below the vocabulary's 1100 ids" in err
    after = records(smoke_study)
    assert {path: lines for path, lines in after.items() if path in before} == before
    ((failed, (line,)),) = ((p, lines) for p, lines in after.items() if p not in before)
    assert (line["verb"], line["status"]) == ("train", 2)
    _, out, _ = said(capsys, "status", *where)
    assert re.search(rf"\n1 +{failed.name} +failed +0 +100 +5 +error: VOCAB_SIZE=100", out)
    assert re.search(r"\n2 +superni_en_def-\w+ +done +100 ", out)
    assert out.endswith("\n2 runs: 1 failed, 1 done\n")
    _, out, _ = said(capsys, "collect", *where)
    assert "2 evaluations are not done" in out


def test_a_run_that_another_process_runs_is_passed_over(
    smoke_study: Any, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    (run,) = study.collected(smoke_study.file, smoke_study.runs).cells[0].runs
    runs = tmp_path / "runs"
    arguments = ["study", "run", str(smoke_study.file), f"--runs={runs}", "--only=1"]
    with lock.held(runs / run.name / done.LOCK, "it is being run"):
        assert cli.main([*arguments, *smoke_study.places]) == 0
    assert f"passed over, as other processes run them: {run.name}" in caplog.text
    assert not list(runs.glob("*/logs"))


def test_from_the_file_to_the_heat_map(
    smoke_study: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["report", str(smoke_study.file), f"--runs={smoke_study.runs}"]
    assert cli.main([*given, "--out", str(tmp_path / "page")]) == 0
    found = study.collected(smoke_study.file, smoke_study.runs)
    with open(tmp_path / "page" / "figures" / "encodings_rougeL.csv", newline="") as file:
        (_, *columns), *rows = csv.reader(file)
    drawn = {
        (row[0], name): float(v) for row in rows for name, v in zip(columns, row[1:], strict=True)
    }
    assert drawn == {
        tuple(cell.point.values()): pytest.approx(cell.scores["rougeL"].score.value)
        for cell in found.cells
    }
    assert len(drawn) == 4
    page = (tmp_path / "page" / "index.html").read_text("utf-8")
    assert all(
        f'<h2 id="section-{n}">{title}' in page
        for n, title in enumerate(("Encodings", "Training", "Goodput"), start=1)
    )
    capsys.readouterr()
    assert cli.main(given) == 0
    assert capsys.readouterr().out.splitlines()[0] == "Encodings"
