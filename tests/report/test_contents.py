"""What a page holds: scores, published scores, categories, training, answers."""

import argparse
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from tk_instruct import cli, goodput, scored_instances
from tk_instruct.exhibits import Bars, Curves, Section, Shares, Table
from tk_instruct.files import Path as AnyPath
from tk_instruct.report import answers, page, results, studies, systems, training
from tk_instruct.report.systems import System, read_system
from tk_instruct.run_log import Sample
from tk_instruct.scored_instances import About, ScoredInstances
from tk_instruct.scores import flat_scores
from tk_instruct.study.collected import PublishedPoint

DATA_FLAGS = ("--max_instances_per_eval_task", "5")


@pytest.fixture(scope="module")
def runs(mini_dir: Path, mini_vocabulary: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two heuristics, predicted and evaluated by the command line; copy_demo also on pos1."""
    folder = tmp_path_factory.mktemp("runs")
    data = ["--data_dir", str(mini_dir), *DATA_FLAGS]
    for baseline, encodings in (("copy_input", ["def"]), ("copy_demo", ["def_pos2", "pos1"])):
        for encoding in encodings:
            run, task = folder / baseline, f"superni_en_{encoding}"
            words = ["predict", "--baseline", baseline, "--task", task, "--output_dir", str(run)]
            assert cli.main([*words, "--vocabulary", str(mini_vocabulary), *data]) == 0
            predictions = run / "predictions" / f"{task}-test-0.jsonl"
            scores = run / "scores" / f"{task}-test-0.json"
            words = ["evaluate", "--predictions", str(predictions), "--json", str(scores)]
            assert cli.main([*words, *data]) == 0
    return folder


def read(runs: Path, *names: str) -> list[System]:
    return [read_system(name, AnyPath(runs / name), needs_scores=True) for name in names]


def named(sections: Iterable[Section], title: str) -> Section:
    return next(section for section in sections if section.title == title)


def test_encodings_are_rows_of_one_table(runs: Path) -> None:
    section = named(results.results(read(runs, "copy_input", "copy_demo")), "Scores")
    (table,) = section.exhibits
    assert isinstance(table, Table)
    assert (table.name, table.title) == ("scores_superni_en", "superni_en")
    assert table.header[:3] == ["run", "encoding", "test ROUGE-L"]
    labels = [tuple(row[:2]) for row in table.rows]
    assert labels == [("copy_input", "def"), ("copy_demo", "pos1"), ("copy_demo", "def_pos2")]
    scores = json.loads((runs / "copy_demo/scores/superni_en_pos1-test-0.json").read_text("utf-8"))
    low, high = scores["rougeL_ci95"]
    assert table.rows[1][2] == f"{scores['rougeL']:.2f} ({low:.1f} to {high:.1f})"
    best = max(range(3), key=lambda row: float(table.rows[row][2].split()[0]))
    assert best in table.best[2]
    assert "clustered by task" in section.text[0]


def test_published_scores_are_grouped_by_what_differs(runs: Path) -> None:
    section = named(results.results(read(runs, "copy_demo")), "Beside published scores")
    assert section.text == ["No score is published of the same setting."]
    first, *_ = section.exhibits
    assert isinstance(first, Table)
    assert first.title.startswith("Published, of another setting: ")
    assert first.header[0] == "published system"
    assert first.header[-4:] == ["metric", "published", "copy_demo", "source"]
    row = next(row for row in first.rows if row[0] == "Copying demo output")
    assert row[-3] in ("28.5", "28.54")
    assert row[-1].endswith("arXiv:2204.07705")


def test_of_tasks_that_were_trained_on_nothing_is_published(runs: Path, tmp_path: Path) -> None:
    """The setting of published scores is that of unseen tasks."""
    folder = tmp_path / "seen" / "predictions"
    folder.mkdir(parents=True)
    for ending in ("jsonl", "scores.parquet"):
        content = (runs / f"copy_demo/predictions/superni_en_pos1-test-0.{ending}").read_bytes()
        (folder / f"superni_en_pos1-validation-0.{ending}").write_bytes(content)
    path = AnyPath(folder / "superni_en_pos1-validation-0.scores.parquet")
    table = scored_instances.read(path)
    scored_instances.write(
        path, scored_instances.of_file(table, path.with_suffix("").with_suffix(".jsonl"))
    )
    system = read_system("seen", AnyPath(tmp_path / "seen"), needs_scores=False)
    scores, *others = results.results([system])
    assert [section.title for section in others] == ["Categories"]
    (table_of_scores,) = scores.exhibits  # made of the instances, as there is no scores/
    assert isinstance(table_of_scores, Table)
    assert table_of_scores.header[2] == "validation ROUGE-L"


def test_categories_have_the_intervals_of_their_instances(runs: Path) -> None:
    section = named(results.results(read(runs, "copy_input", "copy_demo")), "Categories")
    (figure,) = section.exhibits
    assert isinstance(figure, Bars)
    assert set(figure.series) == {"copy_input def", "copy_demo def_pos2", "copy_demo pos1"}
    scores = json.loads((runs / "copy_input/scores/superni_en_def-test-0.json").read_text("utf-8"))
    for label, point in zip(figure.labels, figure.series["copy_input def"], strict=True):
        name = f"rougeL_for_{'_'.join(label.lower().split())}"
        assert point is not None
        assert point.value == pytest.approx(scores[name], abs=1e-4)
        assert [point.low, point.high] == pytest.approx(scores[f"{name}_ci95"], abs=1e-4)
    values = [point.value for point in figure.series["copy_input def"] if point]
    assert values == sorted(values, reverse=True)


def test_a_file_of_predictions_is_a_system(runs: Path) -> None:
    predictions = runs / "copy_demo" / "predictions"
    for name in ("superni_en_pos1-test-0.jsonl", "superni_en_pos1-test-0.scores.parquet"):
        system = read_system("theirs", AnyPath(predictions / name), needs_scores=True)
        of_run = json.loads(
            (runs / "copy_demo/scores/superni_en_pos1-test-0.json").read_text("utf-8")
        )
        found = system.scores.scores["superni_en_pos1", "test"]
        assert found["rougeL"] == pytest.approx(of_run["rougeL"], abs=1e-4)
    assert flat_scores(AnyPath(runs / "copy_demo/scores/superni_en_pos1-test-0.json")) == {
        name: value for name, value in of_run.items() if name not in ("predicted_by", "published")
    }


def test_predictions_that_were_not_evaluated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text('{"id": "a", "prediction": "b"}\n')
    assert cli.main(["report", str(path)]) == 2
    assert f"make them with `tk-instruct evaluate --predictions {path}`" in capsys.readouterr().err


def write_run(folder: Path, rows: Iterable[Mapping[str, Any]], **macros: object) -> System:
    folder.mkdir()
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "config.gin").write_text("".join(f"{n} = {v!r}\n" for n, v in macros.items()))
    return System(folder.name, AnyPath(folder))


def test_training(tmp_path: Path) -> None:
    rows = [
        {"step": 10, "loss": 2.0, "seconds_step": 6.0, "seconds_compile": 3.0},
        {"step": 10, "validation_loss": 2.5, "seconds_validate": 1.0},
        {"step": 10, "restarts": 1, "seconds_lost": 2.0},
        {"step": 20, "loss": math.nan, "seconds_step": 8.0},
    ]
    first = write_run(tmp_path / "a", rows, TRAIN_STEPS=20, MODEL_DIR="a", REMAT="full")
    second = write_run(tmp_path / "b", rows[:1], TRAIN_STEPS=20, MODEL_DIR="b", REMAT="none")
    for run, encoding in ((first, "def"), (second, "pos1")):  # and of a package that is not here
        with (run.path / "config.gin").open("a") as file:
            file.write(f"superni_task.encoding = '{encoding}'\nother.thing.x = '{encoding}'\n")
            file.write("TrainRun.steps = %TRAIN_STEPS\n")
    sections = training.training([first, second, System("c", AnyPath(tmp_path))])
    assert [section.title for section in sections] == ["Training", "Goodput"]
    settings, loss = sections[0].exhibits
    assert isinstance(settings, Table)
    assert settings.header == ["setting", "a", "b"]
    assert settings.rows == [
        ["TRAIN_STEPS", "20", "20"],
        ["REMAT", "full", "none"],
        ["superni_task.encoding", "def", "pos1"],
        ["other.thing.x", "def", "pos1"],
    ]
    assert isinstance(loss, Curves)
    found = {line.label: (line.x, [p.value for p in line.points]) for line in loss.lines}
    assert found == {
        "a": ([10], [2.0]),
        "a, validation": ([10], [2.5]),
        "b": ([10], [2.0]),
    }
    shares, table = sections[1].exhibits
    assert isinstance(shares, Shares)
    assert isinstance(table, Table)
    assert shares.parts["useful steps"] == [70.0, pytest.approx(200 / 3)]
    assert shares.parts["done again after restarts"] == [10.0, 0.0]
    assert table.rows[0] == ["a", "0 min 20 s", "1", "70.0", "15.0", "5.0", "10.0"]
    assert set(goodput.PARTS) == set(training._PART_TITLES)


def test_samples_of_a_few_steps(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", [{"step": 10, "loss": 2.0}])
    samples = [
        {
            "step": step,
            "id": id_,
            "task": "t",
            "input": "x" * 500 + id_,
            "target": "y",
            "prediction": f"{id_} at {step}",
        }
        for step in range(1, 101)
        for id_ in ("i", "j")
    ]
    (tmp_path / "a" / "samples.jsonl").write_text("".join(json.dumps(s) + "\n" for s in samples))
    section = named(training.training([run]), "Samples")
    (table,) = section.exhibits
    assert isinstance(table, Table)
    assert table.header == [
        "example",
        "input",
        "target",
        "step 1",
        "step 34",
        "step 67",
        "step 100",
    ]
    id_, input_, *rest = table.rows[1]
    assert (id_, input_) == ("j", "…" + "x" * 399 + "j")
    assert rest == ["y", "j at 1", "j at 34", "j at 67", "j at 100"]


def data_flags(mini_dir: Path) -> argparse.Namespace:
    from tk_instruct import configuration

    parser = argparse.ArgumentParser()
    configuration.add_data_arguments(parser)
    return parser.parse_args(["--data_dir", str(mini_dir), *DATA_FLAGS])


def test_answers_with_their_inputs(
    runs: Path, mini_dir: Path, mini_vocabulary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TK_INSTRUCT_VOCABULARY", str(mini_vocabulary))
    both = read(runs, "copy_input", "copy_demo")
    first, *others = answers.answers(both, 10_000, data_flags(mini_dir))
    assert first.system == "copy_input"
    assert {of.system for of in others} == {
        "copy_demo: superni_en_pos1/test",
        "copy_demo: superni_en_def_pos2/test",
    }
    assert first.best == 100.0
    for row in first.rows:  # this heuristic copies the input of the instance
        assert row.prediction is not None
        assert row.input is not None
        assert " ".join(row.prediction.split()) in " ".join(row.input.split())
        assert row.score is not None
        assert row.input.startswith("Definition: ")  # as the model saw it
    table = both[0].evaluations["superni_en_def", "test"].instances
    assert [row.score for row in first.rows] == table.values["rougeL"].tolist()


def scored(task: str, values: list[float], **about: Any) -> ScoredInstances:
    """Instances 0, 1, … of a task."""
    count = len(values)
    labels: dict[Any, list[str]] = {label: [task] * count for label in scored_instances.LABELS}
    labels |= {"id": [str(number) for number in range(count)], "part": [""] * count}
    return ScoredInstances(
        About(**{"protocol": "flan", "main": "score", "unit": "instance", **about}),
        labels,
        [["a"]] * count,
        ["a"] * count,
        {"score": np.array(values)},
    )


def test_each_way_of_answering_prompts_is_an_evaluation_of_its_own() -> None:
    """Else an instance would have two answers, and a mean would be over splits."""
    evaluations = {}
    for template in ("t0", "t1"):
        for split in ("test", "validation"):
            for way in ("", ".rank"):
                task = f"flan_rte.{template}"
                of = scored(task, [0.0, 1.0, 0.5], together=True)
                evaluations[f"{task}.first3{way}", split] = systems.Evaluation(of, "x.jsonl")
    system = System("run", AnyPath("run"), evaluations=evaluations)
    found = answers.answers([system], 16, argparse.Namespace(modules=[]))
    assert [of.system for of in found] == [
        "run: flan/test/first3",
        "run: flan/test/first3/rank",
        "run: flan/validation/first3",
        "run: flan/validation/first3/rank",
    ]
    for of in found:
        keys = [(row.task, row.id) for row in of.rows]
        assert len(set(keys)) == len(keys) == 4  # 16 for all files together


@pytest.mark.parametrize(
    ("values", "percentages", "best"),
    [([0.5, 1.0], (), 1.0), ([0.5, 1.0], ("score",), 100.0), ([1.0, 40.0], (), 100.0)],
)
def test_the_best_score(values: list[float], percentages: tuple[str, ...], best: float) -> None:
    """A fraction is not told by its metric's name, and a score of 40 is not the best."""
    evaluation = systems.Evaluation(scored("t", values, percentages=percentages), "x.jsonl")
    system = System("run", AnyPath("run"), evaluations={("t", "test"): evaluation})
    (found,) = answers.answers([system], 10, argparse.Namespace(modules=[]))
    assert found.best == best


def test_of_many_answers_the_same_are_drawn_for_each_system(
    runs: Path, mini_dir: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TK_INSTRUCT_SUPERNI_DIR", raising=False)
    flags = data_flags(mini_dir)
    flags.data_dir = None
    found = answers.answers(read(runs, "copy_input", "copy_demo"), 7, flags)
    ids = [[row.id for row in of.rows] for of in found]
    assert [len(of) for of in ids] == [7, 7, 7]
    assert ids[0] == ids[1] == ids[2]
    assert all(row.input is None for of in found for row in of.rows)
    (warning,) = caplog.messages
    assert warning.startswith("copy_input, superni_en_def and 2 more: inputs are not shown: ")
    assert "TK_INSTRUCT_SUPERNI_DIR" in warning  # what to set


def test_exhibits_of_one_name_get_numbers() -> None:
    from tk_instruct.report import _with_distinct_names

    table = Table("a", "", ["x"], [["1"]])
    sections = [Section("one", exhibits=[table, table]), Section("two", exhibits=[table])]
    names = [e.name for section in _with_distinct_names(sections) for e in section.exhibits]
    assert names == ["a", "a_2", "a_3"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--out", "page", "--json"], "leave one of the two out"),
        (["X=studies/smoke_encodings.toml"], "give studies/smoke_encodings.toml alone"),
        (["--title", "T"], "--title=T is a page's; give --out DIR too"),
        (["--out", "page", "--num_predictions=-1"], "--num_predictions=-1 must be at least 0"),
    ],
)
def test_flags_of_the_page(
    words: list[str], message: str, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["report", str(runs / "copy_demo"), *words]) == 2
    assert message in capsys.readouterr().err


def test_one_command_from_runs_to_a_page(
    runs: Path, mini_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    given = [str(runs / "copy_input"), f"demo={runs / 'copy_demo'}"]
    words = ["--out", str(tmp_path / "page"), "--title", "Heuristics", "--data_dir", str(mini_dir)]
    with caplog.at_level("INFO", "tk_instruct"):
        assert cli.main(["report", *given, *words, *DATA_FLAGS]) == 0
    assert f"{tmp_path / 'page' / 'index.html'}, with " in caplog.text
    text = (tmp_path / "page" / "index.html").read_text("utf-8")
    assert "<title>Heuristics</title>" in text
    assert "copy_input" in text
    files = {file.name for file in (tmp_path / "page").rglob("*.*")}
    assert {"scores_superni_en.tex", "categories_superni_en_test.svg"} <= files
    for name in ("copy_input", "copy_demo"):  # inputs are as they were
        assert not (runs / name / "index.html").exists()
    assert systems.is_generated(AnyPath(runs / "copy_demo")) is False


def test_a_run_of_a_long_name_has_files(tmp_path: Path) -> None:
    run = write_run(tmp_path / ("x" * 250), [{"step": 1, "loss": 1.0}])
    sample = Sample(1, "i", "t", "in", "yes", "no")
    (run.path / "samples.jsonl").write_bytes(msgspec.json.encode(sample))
    section = named(training.training([run]), "Samples")
    page.write(tmp_path / "out", "t", [section])
    assert (tmp_path / "out" / "tables" / f"{section.exhibits[0].name}.tex").exists()


def test_published_values_of_one_point_are_told_apart() -> None:
    def point(system: str, value: float, source: str) -> PublishedPoint:
        return PublishedPoint({}, system, "rougeL", value, source)

    first, later = point("Theirs", 62.0, "Table 3"), point("Theirs", 60.07, "README")
    assert studies._told([first]) == "62.0"
    assert studies._told([first, later]) == "62.0 (Table 3), 60.07 (README)"
    assert studies._told([first, point("A", 5, "Table 3")]) == "62.0 (Theirs), 5 (A)"


def test_scores_that_a_file_of_instances_lacks_are_not_compared(tmp_path: Path) -> None:
    """A file may be another program's."""
    table = scored("default", [50.0, 0.0], protocol="superni", main="rougeL")
    table = replace(table, values={"rougeL": table.values["score"]})
    scored_instances.write(AnyPath(tmp_path / "x.scores.parquet"), table)
    system = read_system("x", AnyPath(tmp_path / "x.scores.parquet"), needs_scores=True)
    assert named(results.results([system]), "Scores")


def test_many_categories_are_several_figures(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "_MOST_LABELS", 5)
    both = read(runs, "copy_input")
    (whole,) = [of for of in both if of.evaluations]
    figures = [*results._by_category("t", {"copy_input": next(iter(whole.evaluations.values()))})]
    labels = [label for figure in figures for label in figure.labels]
    assert [len(figure.labels) for figure in figures][:-1] == [5] * (len(figures) - 1)
    assert len(figures) > 1
    assert len(set(labels)) == len(labels)
    assert figures[1].title.endswith(f"by category, 6 to {min(10, len(labels))}")
