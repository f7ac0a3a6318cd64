"""Scores of several runs in one table."""

import json
from pathlib import Path
from typing import Any

import pytest

from tk_instruct import cli
from tk_instruct.errors import UserError
from tk_instruct.files import Path as AnyPath
from tk_instruct.scores import named_apart, predicted_by_name


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
        "superni_en, per cent\n"
        "run        encoding  validation ROUGE-L  validation EM  test ROUGE-L  test EM\n"
        "model      def                   100.00          99.50         50.25    40.00\n"
        "copy_demo  def                        –              –         28.54     0.00\n"
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


def put(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_scores_of_templates_are_rows_of_one_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for template, accuracy in (("t2", 50.0), ("t10", 40.0)):
        content = {"predicted_by": "0a", "num_examples": 1277, "accuracy": accuracy}
        put(tmp_path / "tiny" / "scores" / f"flan_rte.{template}-test-9.json", content)
    ranked = {"predicted_by": "0b", "num_examples": 5, "accuracy": 60.0, "f1": 20.0}
    put(tmp_path / "tiny" / "scores" / "flan_rte.t2-test-9.rank.json", ranked)
    write(tmp_path / "tiny", "superni_en_def-test-9", 1.0, 2.0)
    assert cli.main(["report", str(tmp_path / "tiny")]) == 0
    assert capsys.readouterr().out == (
        "flan_rte, per cent\n"
        "run   template  test accuracy  test f1  test num_examples\n"
        "tiny  t2                50.00        –              1,277\n"
        "tiny  t10               40.00        –              1,277\n"
        "tiny  t2.rank           60.00    20.00                  5\n"
        "\n"
        "superni_en, per cent\n"
        "run   encoding  test ROUGE-L  test EM\n"
        "tiny  def               1.00     2.00\n"
        "test: unseen tasks\n"
    )
    assert cli.main(["report", str(tmp_path / "tiny"), "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)["scores"]
    assert scores["flan_rte.t2/test"] == {"num_examples": 1277, "accuracy": 50.0}
    assert scores["flan_rte.t2.rank/test"] == {"num_examples": 5, "accuracy": 60.0, "f1": 20.0}


def flan_report(step: int) -> dict[str, Any]:
    found = {"mean": 45.0, "standard_deviation": 5.0, "num_templates": 2}
    best = {"template": 1, "dev": 51.0, "test": 50.0}
    setting = {**found, "best_on_dev": best, "templates": []}
    dataset = {
        "counted_as": "rte",
        "metric": "accuracy",
        "lower_is_better": False,
        "settings": {"zero_shot_rank": setting},
    }
    average = {"zero_shot_rank": {"mean": 45.0, "best_on_dev": 50.0}}
    return {
        "model_dir": "runs/tiny",
        "step": step,
        "trained_on": "flan_holdout_nli",
        "limit": None,
        "missing": [],
        "clusters": {"nli": {"average": average, "datasets": {"rte": dataset}}},
    }


FLAN_TABLE = (
    "runs/tiny, step 10, trained on flan_holdout_nli; per cent\n"
    "\n"
    "nli, zero shot rank (test; mean ± standard deviation over templates)\n"
    "dataset  metric          mean  95 % interval  best on dev  95 % interval\n"
    "rte      accuracy  45.0 ± 5.0              –    50.0 (t1)              –\n"
)


def test_flans_evaluation_is_shown_in_place_of_single_templates(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores = tmp_path / "tiny" / "scores"
    put(scores / "flan_rte.t0-test-10.json", {"predicted_by": "0a", "accuracy": 40.0})
    put(scores / "flan-9.json", flan_report(9))
    put(scores / "flan-10.json", flan_report(10))
    assert cli.main(["report", str(tmp_path / "tiny")]) == 0
    assert capsys.readouterr().out == FLAN_TABLE
    runs = put(tmp_path / "all.json", {"suite": "flan", "runs": [flan_report(10)]})
    assert cli.main(["report", str(runs)]) == 0
    assert capsys.readouterr().out == FLAN_TABLE
    assert cli.main(["report", str(tmp_path / "tiny"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "run": "tiny",
        "scores": {},
        "flan": [flan_report(10)],
    }


def test_files_of_scores_of_any_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    ours = {"exact_match": 30.0, "rouge1": 41.0, "rougeL": 40.0, "rougeL_for_task1_a": 9.0}
    files = [put(tmp_path / "ours.json", ours), put(tmp_path / "theirs.json", {"rougeL": 45.06})]
    assert cli.main(["report", *map(str, files)]) == 0
    assert capsys.readouterr().out == (
        "scores, per cent\n"
        "run          ROUGE-L     EM  ROUGE-1\n"
        "ours.json      40.00  30.00    41.00\n"
        "theirs.json    45.06      –        –\n"
    )
    put(tmp_path / "run" / "scores" / "mine.json", {"rougeL": 1e9})
    put(tmp_path / "run" / "scores" / "notes.json", {"by": "me"})
    assert cli.main(["report", str(tmp_path / "run")]) == 0
    assert capsys.readouterr().out == "mine, per cent\nrun  ROUGE-L\nrun    1e+09\n"
    assert 'notes.json: by="me" must be a number' in caplog.text


def test_scores_of_predictions_of_flan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    systems = {
        "ours.jsonl": {"flan_rte/test": {"accuracy": 50.0, "num_examples": 24}},
        "theirs.jsonl": {"flan_rte/test": {"accuracy": 40.0, "num_examples": 24}},
    }
    path = put(tmp_path / "rte.json", {"suite": "flan", "systems": systems})
    assert cli.main(["report", str(path)]) == 0
    assert capsys.readouterr().out == (
        "flan_rte, per cent\n"
        "run                    test accuracy  test num_examples\n"
        "rte.json ours.jsonl            50.00                 24\n"
        "rte.json theirs.jsonl          40.00                 24\n"
    )
    assert cli.main(["report", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "run": "rte.json",
        "scores": {},
        "systems": systems,
    }
    for number in ("NaN", '"50"', "[1]", "[1, 2]", "1e999", "true"):
        put(path, f'{{"suite": "flan", "systems": {{"a": {{"b/test": {{"c": {number}}}}}}}}}')
        assert cli.main(["report", str(path)]) == 2
        assert "must be a" in capsys.readouterr().err


def test_intervals_stand_below_scores(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Also beside runs that an earlier version has evaluated, which have none."""
    new = {
        "rougeL": 40.0,
        "rougeL_stderr": 1.0,
        "rougeL_ci95": [38.0, 42.125],
        "exact_match": 100.0,
        "exact_match_stderr": 0.0,
        "exact_match_ci95": [100.0, 100.0],
        "rougeL_for_task1_a": 9.0,
        "rougeL_for_task1_a_ci95": [-1.0, 19.0],
        "num_examples": 1200,
    }
    put(tmp_path / "new" / "scores" / "superni_en_def-test-9.json", new)
    old = {"rougeL": 41.0, "num_examples": 1200}
    put(tmp_path / "old" / "scores" / "superni_en_def-test-9.json", old)
    assert cli.main(["report", str(tmp_path / "old"), str(tmp_path / "new")]) == 0
    assert capsys.readouterr().out == (
        "superni_en, per cent\n"
        "run              encoding    test ROUGE-L           test EM  test num_examples\n"
        "old              def                41.00                 –              1,200\n"
        "new              def                40.00            100.00              1,200\n"
        "  95 % interval            38.00 to 42.12  100.00 to 100.00\n"
        "test: unseen tasks\n"
    )
    assert cli.main(["report", str(tmp_path / "new"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["scores"] == {"superni_en_def/test": new}


def test_intervals_of_flan_s_summary(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = flan_report(10)
    cluster = report["clusters"]["nli"]
    setting = cluster["datasets"]["rte"]["settings"]["zero_shot_rank"]
    setting |= {"mean_stderr": 2.0, "mean_ci95": [41.0, 49.0], "spread_of_templates": 3.25}
    setting["best_on_dev"] |= {"test_stderr": 3.0, "test_ci95": [44.0, 56.0]}
    cluster["datasets"]["cb"] = flan_report(9)["clusters"]["nli"]["datasets"]["rte"]
    average = cluster["average"]["zero_shot_rank"]
    average |= {"mean_stderr": 1.0, "mean_ci95": [32.3, 57.7]}
    put(tmp_path / "tiny" / "scores" / "flan-10.json", report)
    assert cli.main(["report", str(tmp_path / "tiny")]) == 0
    assert capsys.readouterr().out == (
        "runs/tiny, step 10, trained on flan_holdout_nli; per cent\n"
        "\n"
        "nli, zero shot rank (test; mean ± standard deviation over templates)\n"
        "dataset  metric                mean  95 % interval  best on dev  95 % interval\n"
        "rte      accuracy  45.0 ± 5.0 (3.2)   41.0 to 49.0    50.0 (t1)   44.0 to 56.0\n"
        "cb       accuracy        45.0 ± 5.0              –    50.0 (t1)              –\n"
        "average                        45.0   32.3 to 57.7         50.0              –\n"
        "\n"
        "in parentheses: the deviation without what sampled instances add to it\n"
        "95 % interval: over instances, templates are fixed; of an average, over datasets\n"
    )


@pytest.mark.parametrize("value", ["5", "[1]", "[1, 2, 3]", '["1", 2]', "[null, 1]", "[1, 1e999]"])
def test_odd_intervals_are_named(
    value: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = put(tmp_path / "s.json", f'{{"rougeL": 1.5, "rougeL_ci95": {value}}}')
    assert cli.main(["report", str(path)]) == 2
    assert f"{path}: rougeL_ci95=" in capsys.readouterr().err
    systems = f'{{"a": {{"b/test": {{"c": 1, "c_ci95": {value}}}}}}}'
    put(path, f'{{"suite": "flan", "systems": {systems}}}')
    assert cli.main(["report", str(path)]) == 2
    assert "must be " in capsys.readouterr().err


@pytest.mark.parametrize("value", ['"50"', "null", "[1]", '{"a": 1}', "NaN", "1e999", "true"])
def test_odd_scores_are_named(
    value: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = put(tmp_path / "scores" / "superni_en_def-test-9.json", f'{{"rougeL": {value}}}')
    for given in (tmp_path, path):
        assert cli.main(["report", str(given)]) == 2
        err = capsys.readouterr().err
        assert (
            f"{path}: rougeL={value} must be a number; give a file of scores, or evaluate again"
            in err
        )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "[]",
            "the document is [] but must be an object; give a file of scores, or evaluate again",
        ),
        ("{}", "holds no scores; give a file of scores, or evaluate again"),
        ('{"predicted_by": "a"}', "holds no scores; give a file of scores, or evaluate again"),
        (
            {**flan_report(9), "missing": 5},
            "missing is 5 but must be a list; give a file of scores, or evaluate again",
        ),
        (
            {"suite": "flan", "runs": [5]},
            "runs[0] is 5 but must be an object; give a file of scores, or evaluate again",
        ),
        (
            {"suite": "flan", "systems": {"a": {"b/test": {}}}},
            "systems[...][...] must be an object that is not empty",
        ),
    ],
)
def test_what_are_no_scores(
    content: Any, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["report", str(put(tmp_path / "a.json", content))]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "content", ["[]", "{}", '{"models": 5}', '{"models": [], "data": {"accepted": []}}']
)
def test_statistics_of_a_wrong_shape(
    content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(tmp_path / "instructions.jsonl", "")
    put(tmp_path / "stats" / "stats.json", content)
    assert cli.main(["report", str(tmp_path)]) == 2
    assert "write it with `tk-instruct self-instruct stats" in capsys.readouterr().err


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
        [name, "def", f"{score:.2f}", "0.00"] for name, score in scores.items()
    ]


def test_encodings_of_the_same_instances_share_a_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for encoding, score in (("def", 40.0), ("def_pos2", 50.0), ("def_pos2_neg2_expl", 51.0)):
        write(tmp_path / "run", f"superni_en_{encoding}-test-9", score, 0.0)
    write(tmp_path / "run", "superni_en_def-test-9.first5", 10.0, 0.0)
    write(tmp_path / "run", "superni_xlingual_def-test-9", 20.0, 0.0)
    write(tmp_path / "run", "superni_def-test-9", 30.0, 0.0)
    assert cli.main(["report", str(tmp_path / "run")]) == 0
    tables = capsys.readouterr().out.split("\n\n")
    assert [table.splitlines()[0] for table in tables] == [
        "superni, per cent",
        "superni_en, per cent",
        "superni_en.first5, per cent",
        "superni_xlingual, per cent",
    ]
    assert [line.split() for line in tables[1].splitlines()[2:5]] == [
        ["run", "def", "40.00", "0.00"],
        ["run", "def_pos2", "50.00", "0.00"],
        ["run", "def_pos2_neg2_expl", "51.00", "0.00"],
    ]


def test_files_are_given_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, score in (("a.json", 1.0), ("b=c.json", 2.0)):
        put(tmp_path / name, {"rougeL": score})
    assert cli.main(["report", "GPT-4=a.json", "b=c.json", "GPT-5=b=c.json"]) == 0
    rows = capsys.readouterr().out.splitlines()[2:]
    assert [row.split() for row in rows] == [
        ["GPT-4", "1.00"],
        ["b=c.json", "2.00"],
        ["GPT-5", "2.00"],
    ]
    assert cli.main(["report", "X=a.json", "X=b=c.json"]) == 2
    assert "X is also the name of a.json; give another name" in capsys.readouterr().err
    assert cli.main(["report", "a.json=b=c.json", "a.json"]) == 2
    assert "a.json is also the name of b=c.json" in capsys.readouterr().err


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
        "mine-small-²",
        "mine/dev-small",
        "mine/small",
        "mine/test-small",
    ]
    assert scores["mine/small"]["rougeL"] == 1.0


@pytest.mark.parametrize(
    ("name", "task_and_split"),
    [
        ("superni_en_def-test-1000.jsonl", ("superni_en_def", "test")),
        ("flan_rte.t3-validation-9.rank.jsonl", ("flan_rte.t3", "validation")),
        ("a-test-9.first5.jsonl", ("a", "test")),
        ("my-task-test-9.jsonl", ("my-task", "test")),
        ("a-test.jsonl", None),
        ("gpt3.jsonl", None),
    ],
)
def test_what_was_predicted_by_the_name_of_a_file(
    name: str, task_and_split: tuple[str, str] | None, tmp_path: Path
) -> None:
    assert predicted_by_name(tmp_path / name) == task_and_split


def test_runs_beside_a_link_that_leads_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "far" / "folder").mkdir(parents=True)
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "link").symlink_to(tmp_path / "far" / "folder")
    near, far = tmp_path / "here" / "run", tmp_path / "far" / "run"
    through = f"{tmp_path}/here/link/../run"
    assert named_apart([str(near), through]) == {
        "here/run": AnyPath(near),
        "far/run": AnyPath(through),
    }
    assert named_apart([str(far), through]) == {"run": AnyPath(far)}


def test_equal_scores_are_equally_good_and_files_of_an_earlier_page_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "out"
    for name, score in (("a", 17.0128), ("b", 17.01282051), ("c", 17.02), ("d", 3.0)):
        write(tmp_path / name, "superni_en_def-test-9", score, 0.0)
    runs = [str(tmp_path / name) for name in "abd"]
    assert cli.main(["report", *runs, "--out", str(out)]) == 0
    table = (out / "tables" / "scores_superni_en.md").read_text()
    assert [line.count("**17.01**") for line in table.splitlines()[4:7]] == [1, 1, 0]
    assert not [each for each in caplog.records if each.levelname == "WARNING"]

    put(tmp_path / "e.json", {"rougeL": 40.0})
    assert cli.main(["report", str(tmp_path / "e.json"), "--out", str(out)]) == 0
    (warning,) = (each.getMessage() for each in caplog.records if each.levelname == "WARNING")
    assert warning.startswith(f"{out / 'tables' / 'scores_superni_en.csv'} and 2 more are not of")


def test_what_a_study_has_scored_of_fewer_instances_is_a_table_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "run", "superni_en_def-test-9", 1.0, 2.0)
    write(tmp_path / "run", "superni_en_def-test-9.limit_per_task=5", 3.0, 4.0)
    assert cli.main(["report", str(tmp_path / "run")]) == 0
    titles = [table.splitlines()[0] for table in capsys.readouterr().out.split("\n\n")]
    assert titles == ["superni_en, per cent", "superni_en.limit_per_task=5, per cent"]


def test_a_template_without_the_main_score_has_no_mark(tmp_path: Path) -> None:
    from tk_instruct.scores import read_run

    report = flan_report(10)
    setting = report["clusters"]["nli"]["datasets"]["rte"]["settings"]["zero_shot_rank"]
    setting["templates"] = [
        {"template": number, "test": {name: 40 + number, "num_examples": 3}, "dev": None}
        for number, name in enumerate(("accuracy", "accuracy", "f1"))
    ]
    path = put(tmp_path / "flan.json", report)
    ((of, read),) = read_run(AnyPath(path)).reports()
    section = of.section({"a": read})
    assert section is not None
    (spread,) = section.figures()
    assert spread.data()[1:] == [["rte", "a", 40.0], ["rte", "a", 41.0]]
    setting["templates"].append({"template": 1, "test": {"accuracy": "high"}})
    put(tmp_path / "flan.json", report)
    with pytest.raises(UserError, match="must be a number"):
        read_run(AnyPath(path))
