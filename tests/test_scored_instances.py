"""Scores of instances: weights and errors by obvious loops, and the file beside predictions."""

import io
import itertools
import json
import math
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from statsmodels.api import OLS, WLS

from tk_instruct import cli, scored_instances
from tk_instruct.errors import UserError
from tk_instruct.files import Path as AnyPath
from tk_instruct.scored_instances import About, Label, ScoredInstances, joined, place_of

ABOUT = About("superni", main="rougeL", unit="task", percentages=("rougeL",))


def table_of(
    labels: Sequence[dict[str, str]], about: About = ABOUT, **values: Sequence[float]
) -> ScoredInstances:
    """Rows with these labels; a label that a row lacks is its number."""
    columns = {
        label: [row.get(label, str(number)) for number, row in enumerate(labels)]
        for label in scored_instances.LABELS
    }
    size = len(labels)
    return ScoredInstances(
        about,
        columns,
        [["a"]] * size,
        ["a"] * size,
        {name: np.array(of, float) for name, of in values.items()},
    )


def random_table(seed: int, levels: tuple[Label, ...] = ()) -> ScoredInstances:
    """Units of unlike sizes in three categories; each instance in up to three rows, of tasks."""
    rng = np.random.default_rng(seed)
    rows = [
        {"category": f"c{unit % 3}", "unit": f"u{unit}", "task": f"u{unit}.{prompt}"}
        | {"instance": f"u{unit}-{instance}", "id": f"u{unit}-{instance}"}
        for unit in range(8)
        for prompt in range(rng.integers(1, 4))
        for instance in range(rng.integers(2, 9))
    ]
    rng.shuffle(rows)
    about = About("x", main="a", unit="task", levels=levels)
    return table_of(rows, about, a=rng.normal(50, 20, len(rows)), b=rng.normal(0, 1, len(rows)))


def slow_mean(rows: list[int], table: ScoredInstances, levels: Sequence[Label]) -> float:
    """The mean of the means by the first level, each of which is the mean by the others."""
    if not levels:
        return fmean(table.values["a"][row] for row in rows)
    column = table.labels[levels[0]]
    groups = {column[row]: [r for r in rows if column[r] == column[row]] for row in rows}
    return fmean(slow_mean(of, table, levels[1:]) for of in groups.values())


LEVELS: list[tuple[Label, ...]] = [
    (),
    ("unit",),
    ("task",),
    ("unit", "task"),
    ("category", "unit"),
    ("category", "unit", "task"),
]


@pytest.mark.parametrize("levels", LEVELS, ids=".".join)
@pytest.mark.parametrize("seed", range(3))
def test_weights_give_the_mean_of_means(levels: tuple[Label, ...], seed: int) -> None:
    table = random_table(seed, levels)
    weights = table.weights()
    assert weights.sum() == pytest.approx(1)
    expected = slow_mean(list(range(len(table))), table, levels)
    assert weights @ table.values["a"] == pytest.approx(expected)
    assert table.estimate("a").value == pytest.approx(expected)


def test_an_estimate_is_statsmodels_clustered_by_unit() -> None:
    table = random_table(0)
    found = table.estimate("a")
    groups = np.unique(table.labels["unit"], return_inverse=True)[1]
    y = table.values["a"]
    fit = OLS(y, np.ones(len(y))).fit(cov_type="cluster", cov_kwds={"groups": groups}, use_t=True)
    assert (found.value, found.stderr) == pytest.approx((fit.params[0], fit.bse[0]))
    assert found.ci95 == pytest.approx(tuple(fit.conf_int()[0]))
    assert (found.df, found.num_units) == (7, 8)


def test_an_estimate_of_means_of_units_is_statsmodels_with_weights() -> None:
    table = random_table(1, ("unit",))
    found = table.estimate("a")
    groups = np.unique(table.labels["unit"], return_inverse=True)[1]
    y = table.values["a"]
    weights = 1 / np.bincount(groups)[groups]
    fit = WLS(y, np.ones(len(y)), weights=weights).fit(
        cov_type="cluster", cov_kwds={"groups": groups}, use_t=True
    )
    assert (found.value, found.stderr) == pytest.approx((fit.params[0], fit.bse[0]))
    # That is the error of the mean of the units' means.
    means = [y[groups == unit].mean() for unit in range(8)]
    assert found.stderr == pytest.approx(np.std(means, ddof=1) / math.sqrt(8))


def test_rows_that_do_not_count_are_left_out() -> None:
    whole = random_table(2)
    values = whole.values["a"].copy()
    values[::3] = math.nan
    some = replace(whole, values={"a": values, "none": np.full(len(whole), math.nan)})
    counted = whole.chosen(~np.isnan(values))
    assert some.estimate("a") == counted.estimate("a")
    nothing = some.estimate("none")
    assert math.isnan(nothing.value)
    assert (nothing.stderr, nothing.ci95, nothing.num_units) == (None, None, 0)


def test_one_unit_s_error_is_over_its_instances_however_many_rows_they_have() -> None:
    rows = [
        {"unit": "u", "category": "c", "instance": str(i), "task": str(t)}
        for t in range(3)
        for i in range(10)
    ]
    y = np.random.default_rng(0).normal(size=30)
    found = table_of(rows, About("x", main="a", unit="task"), a=y).estimate("a")
    fit = OLS(y, np.ones(30)).fit(
        cov_type="cluster", cov_kwds={"groups": np.arange(30) % 10}, use_t=True
    )
    assert found.stderr == pytest.approx(fit.bse[0])


def test_intervals_of_percentages_end_at_0_and_100() -> None:
    values = [100.0, 100.0, 100.0, 50.0]
    about = replace_about(percentages=("rougeL",))
    table = table_of([{}] * 4, about, rougeL=values, pearson=values)
    low, high = table.estimate("pearson").ci95 or (0, 0)
    assert high > 100
    assert table.estimate("rougeL").ci95 == (low, 100.0)


def replace_about(**changes: Any) -> About:
    return About(**{"protocol": "x", "main": "rougeL", "unit": "task"} | changes)


def test_rows_by_a_label_keep_their_order() -> None:
    table = random_table(3)
    for label in scored_instances.LABELS:
        parts = table.by(label)
        assert list(parts) == list(dict.fromkeys(table.labels[label]))
        for name, part in parts.items():
            rows = [row for row, of in enumerate(table.labels[label]) if of == name]
            assert part.labels["id"] == [table.labels["id"][row] for row in rows]
            assert part.values["b"].tolist() == table.values["b"][rows].tolist()


def test_joined_tables_lack_the_metrics_of_others() -> None:
    one = table_of([{"id": "1"}] * 2, rougeL=[1, 2])
    other = table_of([{"id": "2"}], rougeL=[3], bleu=[4])
    both = joined([one, other])
    assert both.labels["id"] == ["1", "1", "2"]
    np.testing.assert_array_equal(both.values["rougeL"], [1, 2, 3])
    np.testing.assert_array_equal(both.values["bleu"], [math.nan, math.nan, 4])


# the file


ODD = ScoredInstances(
    About(
        "p3",
        main="score",
        unit="data set",
        levels=("unit", "task"),
        percentages=("f1",),
        lower_is_better=("mean_edit",),
        together=True,
    ),
    {
        "id": ["a", 'ß\n"quoted"', "日本"],
        "part": ["", "test", "test"],
        "task": ["t", "t", "u"],
        "unit": ["x", "x", "y"],
        "category": ["", "", ""],
        "instance": ["0", "1", "\u200b"],
    },
    [["yes"], [], [str(number) for number in range(300)]],
    ["", None, "🙂\u0000 \r\n"],
    {"f1": np.array([0.1, math.nan, 1e-300]), "mean_edit": np.array([3.0, 2.0, 1.0])},
)


def test_what_is_written_is_read_as_it_was(tmp_path: Path) -> None:
    path = AnyPath(tmp_path / "new" / "x.scores.parquet")
    scored_instances.write(path, ODD)
    found = scored_instances.read(path)
    assert found.about == ODD.about
    assert found.labels == ODD.labels
    assert found.references == ODD.references
    assert found.predictions == ODD.predictions
    assert list(found.values) == ["f1", "mean_edit"]
    for name, values in found.values.items():
        np.testing.assert_array_equal(values, ODD.values[name])


def test_neither_writing_nor_reading_imports_pandas(tmp_path: Path) -> None:
    """It takes longer than all else that they do."""
    path = tmp_path / "x.scores.parquet"
    scored_instances.write(AnyPath(path), ODD)
    code = (
        "import sys; from tk_instruct import scored_instances as s; from tk_instruct.files import "
        f"Path; s.write(Path({str(path)!r}), s.read(Path({str(path)!r})))\n"
        "print('pandas' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def columns_of(path: Path) -> pa.Table:
    return pq.ParquetFile(path).read()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(["unit"]), "does not hold scores of instances: unit is missing, not str"),
        (
            lambda t: t.set_column(0, "id", pa.array([1, 2, 3])),
            "does not hold scores of instances: id is int64, not string; evaluate the predictions",
        ),
        (
            lambda t: t.append_column("note", pa.array(["a", "b", "c"])),
            "does not hold scores of instances: note is string, not double",
        ),
        (lambda t: t.drop(["f1", "mean_edit"]), "holds no scores; evaluate"),
        (lambda t: t.slice(0, 0), "holds no scores; evaluate"),
        (
            lambda t: t.set_column(3, "unit", pa.array(["x", None, "y"])),
            "unit is missing in a row; evaluate",
        ),
        (
            lambda t: t.set_column(6, "references", pa.array([["x"], [None], ["y"]])),
            "references is missing in a row; evaluate",
        ),
        (
            lambda t: t.set_column(8, "f1", pa.array([1.0, math.inf, math.nan])),
            "f1 is inf, and must be at most 1e+100; evaluate",
        ),
        (lambda t: t.replace_schema_metadata({}), "metadata: "),
        (
            lambda t: t.replace_schema_metadata({b"tk_instruct": b'{"protocol": "p3"}'}),
            "metadata: main is missing; evaluate the predictions again",
        ),
    ],
)
def test_files_of_others_are_told_and_made_again(change: Any, message: str, tmp_path: Path) -> None:
    predictions = tmp_path / "p.jsonl"
    predictions.write_text("{}\n")
    path = place_of(AnyPath(predictions))
    scored_instances.write(path, scored_instances.of_file(ODD, AnyPath(predictions)))
    assert scored_instances.kept_of(AnyPath(predictions)) is not None
    pq.write_table(change(columns_of(Path(path))), path)
    with pytest.raises(UserError) as caught:
        scored_instances.read(path)
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)
    assert scored_instances.kept_of(AnyPath(predictions)) is None


def test_a_file_of_texts_that_are_no_utf_8_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x.scores.parquet"
    scored_instances.write(AnyPath(path), ODD)
    table = columns_of(path)
    bad = pa.array([b"\xff", b"b", b"c"], pa.binary()).view(pa.string())
    content = io.BytesIO()
    pq.write_table(table.set_column(0, "id", bad), content)
    path.write_bytes(content.getvalue())
    with pytest.raises(UserError, match=r"is no Parquet file \(.*UTF8"):
        scored_instances.read(AnyPath(path))


def test_what_is_kept_is_of_these_predictions_alone(tmp_path: Path) -> None:
    predictions = AnyPath(tmp_path / "p.jsonl")
    (tmp_path / "p.jsonl").write_text("{}\n")
    assert scored_instances.kept_of(predictions) is None
    place = place_of(predictions)
    scored_instances.write(place, scored_instances.of_file(ODD, predictions))
    found = scored_instances.kept_of(predictions)
    assert found is not None
    assert found.about.file == "p.jsonl"
    (tmp_path / "p.jsonl").write_text("{} \n")
    assert scored_instances.kept_of(predictions) is None
    (tmp_path / "p.jsonl").write_text("{}\n")
    assert scored_instances.kept_of(predictions) is not None
    place.unlink()
    (tmp_path / "p.scores.parquet").mkdir()
    assert scored_instances.kept_of(predictions) is None


def test_files_of_other_names_do_not_share_a_place() -> None:
    names = ["p.jsonl", "p.json", "model-v1.5", "model-v1.6", "QG@_Prompt@2_100.json"]
    places = [place_of(AnyPath("runs") / name).name for name in names]
    assert places[0] == "p.scores.parquet"
    assert places[3] == "model-v1.6.scores.parquet"
    assert len(set(places)) == len(names)


# by the verb


REFERENCES = [
    {"id": f"{task}-{k}", "references": ["yes"], "task_id": task, "task_category": "Word Analogy"}
    for task in ("task1", "task2")
    for k in range(3)
]


@pytest.fixture
def references(tmp_path: Path) -> Path:
    return lines(tmp_path / "r.jsonl", REFERENCES)


def lines(path: Path, rows: Sequence[Any]) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def predicted(path: Path, num_right: int, num: int = 6) -> Path:
    rows = [
        {"id": row["id"], "prediction": "yes" if number < num_right else "no"}
        for number, row in enumerate(REFERENCES[:num])
    ]
    return lines(path, rows)


def evaluate(references: Path, predictions: Path, *more: str) -> int:
    words = ["--predictions", str(predictions), "--references", str(references)]
    return cli.main(["evaluate", *words, *more])


@pytest.mark.parametrize("name", ["ours.jsonl", "ours.json", "ours", "v1.5"])
def test_scores_are_kept_beside_predictions(name: str, references: Path, tmp_path: Path) -> None:
    path = predicted(tmp_path / "p" / name, 4, num=5)
    assert evaluate(references, path) == 0
    stem = name.removesuffix(".jsonl")
    assert {each.name for each in path.parent.iterdir()} == {name, f"{stem}.scores.parquet"}
    kept = scored_instances.kept_of(AnyPath(path))
    assert kept is not None
    assert kept.about == About(
        *("superni", "rougeL", "task"),
        percentages=("exact_match", "rouge1", "rougeL"),
        file=name,
        predicted_by=kept.about.predicted_by,
    )
    ids = [row["id"] for row in REFERENCES]
    tasks = [row["task_id"] for row in REFERENCES]
    assert kept.labels == {
        **dict.fromkeys(("id", "instance"), ids),
        **dict.fromkeys(("task", "unit"), tasks),
        "part": ["default"] * 6,
        "category": ["Word Analogy"] * 6,
    }
    assert kept.predictions == ["yes", "yes", "yes", "yes", "no", None]
    assert kept.values["exact_match"].tolist() == [100, 100, 100, 100, 0, 0]


def test_two_files_of_the_same_stem_keep_their_own(references: Path, tmp_path: Path) -> None:
    paths = [predicted(tmp_path / "a.jsonl", 4), predicted(tmp_path / "a.json", 2)]
    for path in paths:
        assert evaluate(references, path) == 0
    scores = [scored_instances.kept_of(AnyPath(path)) for path in paths]
    assert [of and of.estimate("exact_match").value for of in scores] == [
        pytest.approx(400 / 6),
        pytest.approx(200 / 6),
    ]


def test_instances_says_where(
    references: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = predicted(tmp_path / "p" / "p.jsonl", 4)
    there = tmp_path / "new" / "x.scores.parquet"
    assert evaluate(references, path, f"--instances={there}") == 0
    assert len(scored_instances.read(AnyPath(there))) == 6
    assert len(list(path.parent.iterdir())) == 1
    capsys.readouterr()
    assert evaluate(references, path, f"--instances={tmp_path / 'x.parquet'}") == 2
    assert "must end in .scores.parquet, by which such files are known" in capsys.readouterr().err


def test_of_standard_input_nothing_is_kept_unless_asked(references: Path, tmp_path: Path) -> None:
    path = predicted(tmp_path / "p" / "p.jsonl", 4)
    command = [sys.executable, "-m", "tk_instruct.cli", "evaluate", "--predictions", "-"]
    command += ["--references", str(references), "--json", "-"]
    there = tmp_path / "x.scores.parquet"
    for more in ([], [f"--instances={there}"]):
        done = subprocess.run(
            [*command, *more], input=path.read_text(), capture_output=True, text=True, check=True
        )
        assert json.loads(done.stdout)["exact_match"] == 66.6667
        assert done.stderr == ""
    assert len(scored_instances.read(AnyPath(there))) == 6
    assert len(list(path.parent.iterdir())) == 1


def test_where_nothing_can_be_written_there_are_scores_and_a_note(
    references: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = predicted(tmp_path / "p.jsonl", 4)
    (tmp_path / "p.scores.parquet").mkdir()
    assert evaluate(references, path) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "exact_match  66.67" in out
    note = out.splitlines()[-1]
    assert note.startswith(f"the instances' scores are not kept: {tmp_path / 'p.scores.parquet'}")
    assert note.endswith("; --instances FILE keeps them")
    assert evaluate(references, path, "--json=-") == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["exact_match"] == 66.6667
    assert err == f"{note}\n"


# Super-NaturalInstructions


def test_superni_s_intervals_are_those_of_statsmodels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All scores of --json: overall and of categories by task, of a task over its instances."""
    rng = np.random.default_rng(0)
    categories = {"Word Analogy": 5, "Title Generation": 3, "Data to Text": 1}
    names = [
        (category, f"task{number}_{category[0]}")
        for category, num_tasks in categories.items()
        for number in range(num_tasks)
    ]
    rows, values = [], []
    for category, task in names:
        chance = rng.random()
        for k in range(rng.integers(4, 20)):
            about = {"id": f"{task}-{k}", "task_id": task, "task_category": category}
            rows.append({**about, "references": ["yes"]})
            values.append(100.0 * (rng.random() < chance))
    references = lines(tmp_path / "r.jsonl", rows)
    texts = ["yes" if value else "no" for value in values]
    predictions = [
        {"id": row["id"], "prediction": text} for row, text in zip(rows, texts, strict=True)
    ]
    path = lines(tmp_path / "p.jsonl", predictions)
    assert evaluate(references, path, "--json=-") == 0
    out, err = capsys.readouterr()
    assert err == ""
    found = json.loads(out)

    def check(name: str, chosen: Sequence[int], groups: Sequence[str]) -> None:
        y = np.array([values[row] for row in chosen])
        codes = np.unique([groups[row] for row in chosen], return_inverse=True)[1]
        fit = OLS(y, np.ones(len(y))).fit(
            cov_type="cluster", cov_kwds={"groups": codes}, use_t=True
        )
        assert found[name] == pytest.approx(fit.params[0], abs=1e-4)
        assert found[f"{name}_stderr"] == pytest.approx(fit.bse[0], abs=1e-4)
        ends = np.clip(fit.conf_int()[0], 0, 100)
        assert found[f"{name}_ci95"] == pytest.approx(ends, abs=1e-4)

    tasks, ids = [row["task_id"] for row in rows], [row["id"] for row in rows]
    for metric in ("exact_match", "rougeL"):
        check(metric, range(len(rows)), tasks)
        for category, num_tasks in categories.items():
            chosen = [row for row, of in enumerate(rows) if of["task_category"] == category]
            key = category.lower().replace(" ", "_")
            check(f"{metric}_for_{key}", chosen, tasks if num_tasks > 1 else ids)
        for _, task in names:
            check(f"{metric}_for_{task}", [row for row, of in enumerate(tasks) if of == task], ids)


@pytest.mark.parametrize(("num_right", "num"), itertools.product((0, 1), (1, 3)))
def test_all_right_and_all_wrong_and_one_instance(
    num_right: int, num: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    references = lines(tmp_path / "r.jsonl", REFERENCES[:num])
    path = predicted(tmp_path / "p.jsonl", num_right * num, num)
    assert evaluate(references, path, f"--json={tmp_path / 's.json'}") == 0
    out, err = capsys.readouterr()
    assert err == ""
    scores = json.loads((tmp_path / "s.json").read_text(), parse_constant=pytest.fail)
    assert scores["rougeL"] == 100.0 * num_right
    if num == 1:
        assert "rougeL_stderr" not in scores
        [line] = [line.split() for line in out.splitlines() if line.startswith("rougeL")]
        assert line == ["rougeL", f"{100.0 * num_right:.2f}", "–"]
    else:
        assert scores["rougeL_stderr"] == 0.0
        assert scores["rougeL_ci95"] == [100.0 * num_right] * 2


def test_a_metric_that_is_called_as_a_column_is_refused(tmp_path: Path) -> None:
    table = replace(ODD, values={"prediction": np.zeros(3)})
    with pytest.raises(UserError, match="a metric is called 'prediction' as a column of them is"):
        scored_instances.write(AnyPath(tmp_path / "x.scores.parquet"), table)


def test_a_named_pipe_is_read_once(references: Path, tmp_path: Path) -> None:
    path, pipe = predicted(tmp_path / "p.jsonl", 4), tmp_path / "pipe.jsonl"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=[path.read_text()], daemon=True)
    writer.start()
    command = [sys.executable, "-m", "tk_instruct.cli", "evaluate", "--json=-"]
    command += [f"--predictions={pipe}", f"--references={references}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(done.stdout)["exact_match"] == 66.6667
    assert not (tmp_path / "pipe.scores.parquet").exists()


def test_a_link_to_another_file_is_not_followed(
    references: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = predicted(tmp_path / "p.jsonl", 4)
    text = path.read_text()
    (tmp_path / "p.scores.parquet").symlink_to(path)
    assert evaluate(references, path) == 0
    assert path.read_text() == text
    assert f"leads to {path}, which is not replaced" in capsys.readouterr().out


def test_wrong_places(references: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = predicted(tmp_path / "p.jsonl", 4)
    assert evaluate(references, path, f"--json={tmp_path / 'p.scores.parquet'}") == 2
    assert "must not end in .scores.parquet" in capsys.readouterr().err
    words = ["--suite=p3", f"--model_dir={tmp_path}", f"--instances={tmp_path}/x.scores.parquet"]
    assert cli.main(["evaluate", *words]) == 2
    assert "is for --predictions, and none are given" in capsys.readouterr().err


def test_a_path_may_begin_at_home(
    references: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predicted(tmp_path / "p.jsonl", 4)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert evaluate(references, Path("~/p.jsonl")) == 0
    assert cli.main(["show", "predictions", "~/p.jsonl"]) == 0
