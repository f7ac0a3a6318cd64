"""`tk-instruct compare`: against slow computations of its own, and what it refuses."""

import itertools
import json
import math
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from rouge_score.rouge_scorer import RougeScorer
from scipy import stats
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower

from tk_instruct import cli, scored_instances
from tk_instruct.compare import comparison
from tk_instruct.compare.systems import Side, side_by_side
from tk_instruct.compare.text import report_text
from tk_instruct.errors import UserError
from tk_instruct.files import Path as AnyPath
from tk_instruct.scored_instances import About, ScoredInstances, joined

CATEGORIES = {
    "task1_nli": "Textual Entailment",
    "task2_nli": "Textual Entailment",
    "task3_title": "Title Generation",
    "task4_title": "Title Generation",
    "task5_title": "Title Generation",
    "task6_tag": "Keyword Tagging",
    "task7_tag": "Keyword Tagging",
}
WORDS = [
    "red",
    "green",
    "blue",
    "river",
    "mountain",
    "house",
    "tree",
    "seven",
    "walking",
    "quickly",
]
SIZES = {task: 4 + 2 * number for number, task in enumerate(CATEGORIES)}


def lines(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def references() -> list[dict[str, Any]]:
    draw = random.Random(1)
    return [
        {
            "id": f"{task.partition('_')[0]}-{number}",
            "references": [" ".join(draw.choices(WORDS, k=draw.choice((1, 3, 6))))],
            "task_id": task,
            "task_category": category,
            "track": "default",
        }
        for task, category in CATEGORIES.items()
        for number in range(SIZES[task])
    ]


def answers(
    references: Sequence[dict[str, Any]], quality: float, seed: int
) -> list[dict[str, str]]:
    """Predictions that keep each word of the reference with a probability of their task."""
    draw = random.Random(seed)
    of_task = {task: min(1.0, quality * draw.uniform(0.6, 1.4)) for task in CATEGORIES}
    found = []
    for reference in references:
        keeps = of_task[reference["task_id"]]
        words = reference["references"][0].split()
        kept = [word if draw.random() < keeps else draw.choice(WORDS) for word in words]
        found.append({"id": reference["id"], "prediction": " ".join(kept)})
    return found


@pytest.fixture
def files(tmp_path: Path, references: list[dict[str, Any]]) -> dict[str, Path]:
    return {
        "references": lines(tmp_path / "references.jsonl", references),
        "a": lines(tmp_path / "a.jsonl", answers(references, 0.5, 2)),
        "b": lines(tmp_path / "b.jsonl", answers(references, 0.7, 3)),
        "c": lines(tmp_path / "c.jsonl", answers(references, 0.2, 4)),
    }


@pytest.fixture
def compare(files: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> Any:
    """compare(flags) → the text; of `--json -` what is in it."""

    def run(*words: object, references: bool = True) -> Any:
        flags = ["--references", files["references"]] if references else []
        status = cli.main(["compare", *map(str, (*words, *flags))])
        out, err = capsys.readouterr()
        assert status == 0, err
        return json.loads(out) if "-" in words else out

    return run


@pytest.fixture
def refused(files: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*words: object, references: bool = True) -> str:
        flags = ["--references", files["references"]] if references else []
        assert cli.main(["compare", *map(str, (*words, *flags))]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        return err.removeprefix("error: ").rstrip("\n")

    return run


# Slow computations


def rouge_l(references: Sequence[dict[str, Any]], path: Path) -> list[float]:
    scorer = RougeScorer(["rougeL"], use_stemmer=True)
    predictions = {
        row["id"]: row["prediction"] for row in map(json.loads, path.read_text().splitlines())
    }
    return [
        100
        * max(
            scorer.score(expected, predictions[each["id"]])["rougeL"].fmeasure
            for expected in each["references"]
        )
        for each in references
    ]


def clustered(values: Sequence[float], tasks: Sequence[str]) -> tuple[float, float, float, float]:
    """Mean, standard error and interval by statsmodels."""
    groups = np.unique(list(tasks), return_inverse=True)[1]
    fit = OLS(np.array(values), np.ones(len(values))).fit(
        cov_type="cluster", cov_kwds={"groups": groups}, use_t=True
    )
    low, high = fit.conf_int()[0]
    return fit.params[0], fit.bse[0], low, high


def permutation_p(values: Sequence[float], tasks: Sequence[str]) -> float:
    """All ways of exchanging the systems in whole tasks."""
    sums = [
        math.fsum(v for v, of in zip(values, tasks, strict=True) if of == task)
        for task in dict.fromkeys(tasks)
    ]
    observed = abs(math.fsum(sums))
    ways = list(itertools.product((1, -1), repeat=len(sums)))
    as_large = sum(
        abs(math.fsum(s * v for s, v in zip(way, sums, strict=True))) >= observed - 1e-9
        for way in ways
    )
    return as_large / len(ways)


def test_two_systems_equal_slow_computations(
    compare: Any, files: dict[str, Path], references: list[dict[str, Any]]
) -> None:
    (found,) = compare(files["a"], files["b"], "--json", "-")["comparisons"]
    first, second = rouge_l(references, files["a"]), rouge_l(references, files["b"])
    tasks = [each["task_id"] for each in references]
    gains = [b - a for a, b in zip(first, second, strict=True)]

    assert (found["name"], found["metric"]) == ("superni, default", "rougeL")
    assert (found["num_instances"], found["num_units"]) == (len(references), len(CATEGORIES))
    for name, values in (("a.jsonl", first), ("b.jsonl", second)):
        mean, stderr, low, high = clustered(values, tasks)
        system = found["systems"][name]
        assert (system["value"], system["stderr"]) == pytest.approx((mean, stderr), abs=1e-4)
        assert system["ci95"] == pytest.approx((low, high), abs=1e-4)

    (pair,) = found["comparisons"]
    mean, stderr, low, high = clustered(gains, tasks)
    difference = pair["paired"]["difference"]
    assert (difference["value"], difference["stderr"]) == pytest.approx((mean, stderr), abs=1e-4)
    assert difference["ci95"] == pytest.approx((low, high), abs=1e-4)
    assert pair["paired"]["p_value"] == pytest.approx(permutation_p(gains, tasks), abs=1e-4)
    assert pair["corrected_p_value"] == pair["paired"]["p_value"]
    smallest = TTestPower().solve_power(nobs=len(CATEGORIES), alpha=0.05, power=0.8)
    expected = float(smallest) * stderr * math.sqrt(len(CATEGORIES))
    assert pair["paired"]["smallest_detectable"] == pytest.approx(expected, rel=1e-3)

    wins, losses = sum(gain > 0 for gain in gains), sum(gain < 0 for gain in gains)
    assert pair["instances"] == {
        "wins": wins,
        "ties": len(gains) - wins - losses,
        "losses": losses,
        "p_value": pytest.approx(stats.binomtest(wins, wins + losses).pvalue),
    }
    of_tasks = [
        np.mean([gain for gain, of in zip(gains, tasks, strict=True) if of == task])
        for task in CATEGORIES
    ]
    assert pair["units"]["wins"] == sum(gain > 0 for gain in of_tasks)
    assert pair["units"]["losses"] == sum(gain < 0 for gain in of_tasks)


def test_categories_equal_slow_computations(
    compare: Any, files: dict[str, Path], references: list[dict[str, Any]]
) -> None:
    (found,) = compare(files["a"], files["b"], "--json", "-")["comparisons"]
    first, second = rouge_l(references, files["a"]), rouge_l(references, files["b"])
    categories = found["comparisons"][0]["categories"]
    assert [each["name"] for each in categories] == sorted(set(CATEGORIES.values()))
    p_values = []
    for category in categories:
        rows = [k for k, of in enumerate(references) if of["task_category"] == category["name"]]
        tasks = [references[k]["task_id"] for k in rows]
        gains = [second[k] - first[k] for k in rows]
        mean, stderr, low, high = clustered(gains, tasks)
        difference = category["paired"]["difference"]
        assert (difference["value"], difference["stderr"]) == pytest.approx(
            (mean, stderr), abs=1e-4
        )
        ends = [min(max(end, -100), 100) for end in (low, high)]
        assert difference["ci95"] == pytest.approx(ends, abs=1e-3)
        assert category["first"]["value"] == pytest.approx(
            np.mean([first[k] for k in rows]), abs=1e-4
        )
        assert (category["num_instances"], category["num_units"]) == (len(rows), len(set(tasks)))
        p_values.append(permutation_p(gains, tasks))
    assert [each["paired"]["p_value"] for each in categories] == pytest.approx(p_values, abs=1e-4)
    corrected = multipletests(p_values, method="holm")[1]
    assert [each["corrected_p_value"] for each in categories] == pytest.approx(corrected, abs=1e-4)


def test_right_or_wrong_is_tested_by_mcnemar(
    compare: Any, files: dict[str, Path], references: list[dict[str, Any]]
) -> None:
    words = (files["a"], files["b"], "--metric", "exact_match")
    (found,) = compare(*words, "--json", "-")["comparisons"]
    right = {
        name: [
            row["prediction"] == each["references"][0]
            for row, each in zip(
                map(json.loads, files[name].read_text().splitlines()), references, strict=True
            )
        ]
        for name in "ab"
    }
    table = np.zeros((2, 2))
    for a, b in zip(right["a"], right["b"], strict=True):
        table[int(a), int(b)] += 1
    assert found["is_right_or_wrong"]
    counts = found["comparisons"][0]["instances"]
    assert (counts["wins"], counts["losses"]) == (table[0, 1], table[1, 0])
    assert counts["p_value"] == pytest.approx(mcnemar(table, exact=True).pvalue, abs=1e-4)
    assert "McNemar's exact test (as if independent)" in compare(*words)


def test_three_systems_are_compared_in_pairs(compare: Any, files: dict[str, Path]) -> None:
    (found,) = compare(files["a"], files["b"], files["c"], "--json", "-")["comparisons"]
    pairs = [(each["first"], each["second"]) for each in found["comparisons"]]
    assert pairs == [("a.jsonl", "b.jsonl"), ("a.jsonl", "c.jsonl"), ("b.jsonl", "c.jsonl")]
    p_values = [each["paired"]["p_value"] for each in found["comparisons"]]
    corrected = [each["corrected_p_value"] for each in found["comparisons"]]
    assert corrected == pytest.approx(multipletests(p_values, method="holm")[1], abs=1e-4)
    a_b, a_c, b_c = (each["paired"]["difference"]["value"] for each in found["comparisons"])
    assert a_b + b_c == pytest.approx(a_c, abs=1e-3)


def test_the_order_of_systems_changes_the_sign_alone(compare: Any, files: dict[str, Path]) -> None:
    (one,) = compare(files["a"], files["b"], "--json", "-")["comparisons"][0]["comparisons"]
    (other,) = compare(files["b"], files["a"], "--json", "-")["comparisons"][0]["comparisons"]
    assert one["paired"]["difference"]["value"] == -other["paired"]["difference"]["value"]
    assert one["paired"]["p_value"] == other["paired"]["p_value"]
    assert one["instances"]["wins"] == other["instances"]["losses"]


def test_a_system_equals_itself(compare: Any, files: dict[str, Path], tmp_path: Path) -> None:
    again = tmp_path / "again.jsonl"
    again.write_bytes(files["a"].read_bytes())
    (pair,) = compare(files["a"], again, "--json", "-")["comparisons"][0]["comparisons"]
    assert pair["paired"]["difference"]["value"] == 0
    assert pair["paired"]["p_value"] == pair["instances"]["p_value"] == 1
    assert pair["better"] == pair["worse"] == []


# What is shown

SMALL = [
    ("n-1", ["yes"], "task1_n", "Textual Entailment"),
    ("n-2", ["no"], "task1_n", "Textual Entailment"),
    ("m-1", ["a b c d", "e"], "task2_m", "Title Generation"),
    ("m-2", ["one\ttwo"], "task2_m", "Title Generation"),
]
SMALL_TEXT = """\
superni, default: rougeL; 4 instances of 2 tasks

   system  rougeL   95 % interval
A  a        58.33  0.00 to 100.00
B  b        71.43  0.00 to 100.00

95 % interval: clustered by task; of one task, over its instances
p: permutation test that exchanges systems by task; of one task, by instance
   it is 0.06 or more with 5 tasks, 0.5 or more with 2: few cannot show a difference
Holm: p corrected for the number of categories
smallest detectable: true difference that a test at 5 % finds in 80 % of samples


B - A                +13.10
95 % interval        -100.00 to 100.00
p                    1.0000
smallest detectable  602.80
instances            2 better, 1 equal, 1 worse; sign test (as if independent): p = 1.0000
tasks                1 better, 0 equal, 1 worse; sign test: p = 1.0000

category            instances  tasks      A       B   B - A      95 % interval       p  p (Holm)
Textual Entailment          2      1  50.00  100.00  +50.00  -100.00 to 100.00  1.0000    1.0000
Title Generation            2      1  66.67   42.86  -23.81  -100.00 to 100.00  1.0000    1.0000

where B is better by most:
  task1_n n-2
    reference   no
    A (0.00)    yes
    B (100.00)  no

where B is worse by most:
  task2_m m-2
    reference  one two
    A (66.67)  one
    B (0.00)   (empty)
"""


def small(tmp_path: Path) -> list[Path]:
    keys = ("id", "references", "task_id", "task_category")
    a = {"n-1": "yes", "n-2": "yes", "m-1": "a b", "m-2": "one"}
    b = {"m-2": "", "m-1": "a\nb d", "n-2": "no", "n-1": "yes"}
    return [
        lines(tmp_path / "truth.jsonl", [dict(zip(keys, row, strict=True)) for row in SMALL]),
        *(
            lines(tmp_path / name / name, [{"id": i, "prediction": p} for i, p in of.items()])
            for name, of in (("a", a), ("b", b))
        ),
    ]


def test_a_whole_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth, a, b = small(tmp_path)
    assert cli.main(["compare", str(a), str(b), "--references", str(truth), "-n", "1"]) == 0
    assert capsys.readouterr() == (SMALL_TEXT, "")


def test_scores_are_kept_and_not_made_again(
    compare: Any, refused: Any, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = compare(files["a"], files["b"])
    place = files["a"].with_name("a.scores.parquet")
    kept = place.read_bytes()
    assert compare(files["a"], files["b"], references=False) == made
    of_place = compare(place, files["b"], references=False)
    assert of_place.partition("\n\n\n")[2] == made.partition("\n\n\n")[2]
    assert place.read_bytes() == kept

    text = files["a"].read_text().splitlines()
    files["a"].write_text(
        "\n".join([json.dumps({**json.loads(text[0]), "prediction": "new"}), *text[1:]])
    )
    monkeypatch.delenv("TK_INSTRUCT_SUPERNI_DIR", raising=False)
    assert "--data_dir" in refused(files["a"], files["b"], references=False)
    assert compare(files["a"], files["b"]) != made
    assert place.read_bytes() != kept


def test_a_broken_file_of_kept_scores_is_made_again(compare: Any, files: dict[str, Path]) -> None:
    made = compare(files["a"], files["b"])
    place = files["a"].with_name("a.scores.parquet")
    place.write_bytes(place.read_bytes()[:100])
    assert compare(files["a"], files["b"]) == made


def test_runs_are_compared_on_what_all_of_them_have(
    compare: Any, refused: Any, files: dict[str, Path], tmp_path: Path
) -> None:
    for run, names in {
        "one": ["superni_en_def-test-5", "superni_en_def-test-10", "superni_en_pos2-test-10"],
        "two": ["superni_en_def-test-0", "x-validation-0"],
        "three": ["superni_en_pos1-test-7"],
        "four": ["superni_en_pos2-test-7"],
    }.items():
        for number, name in enumerate(names):
            source = files["abc"[(number + len(run)) % 3]]
            copy = tmp_path / run / "predictions" / f"{name}.jsonl"
            lines(copy, list(map(json.loads, source.read_text().splitlines())))
    (found,) = compare(tmp_path / "one", tmp_path / "two", "--json", "-")["comparisons"]
    assert found["name"] == "superni_en_def/test, default"
    of_last_step = tmp_path / "one" / "predictions" / "superni_en_def-test-10.jsonl"
    (again,) = compare(of_last_step, tmp_path / "two", "--json", "-")["comparisons"]
    assert list(found["systems"].values()) == list(again["systems"].values())
    # Two runs with one evaluation each, of other encodings.
    (found,) = compare(tmp_path / "three", tmp_path / "four", "--json", "-")["comparisons"]
    assert found["name"] == "superni, default"
    assert refused(tmp_path / "two", tmp_path / "three") == (
        "no task and split is of all systems: two has superni_en_def/test, x/validation; three "
        "has superni_en_pos1/test; give one file of each"
    )
    # A file of scores stands for its predictions.
    score = tmp_path / "one" / "scores" / "superni_en_def-test-10.json"
    lines(score, [{"rougeL": 1.0}])
    (found,) = compare(score, tmp_path / "two", "--json", "-")["comparisons"]
    assert list(found["systems"].values()) == list(again["systems"].values())
    other = lines(tmp_path / "scores" / "b.json", [{"rougeL": 1.0}])
    assert refused(other, tmp_path / "two").startswith(f"{other} holds scores and no instances")


# What is refused


def test_systems_without_the_same_instances(
    refused: Any, compare: Any, files: dict[str, Path], references: list[dict[str, Any]]
) -> None:
    rows = list(map(json.loads, files["b"].read_text().splitlines()))
    lines(files["b"], rows[3:])
    lacking = ", ".join(sorted(row["id"] for row in rows[:3]))
    assert refused(files["a"], files["b"]) == (
        f"superni, default: b.jsonl lacks 3 of the {len(references)} instances that the systems "
        f"predicted: {lacking}; systems are compared on the same instances, predict those too"
    )
    lines(files["a"], list(map(json.loads, files["a"].read_text().splitlines()))[3:])
    text = compare(files["a"], files["b"])
    assert text.startswith(
        f"superni, default: rougeL; {len(references) - 3} instances of 7 tasks\nleft out: 3"
    )


def test_systems_that_were_scored_in_two_ways(
    compare: Any, refused: Any, files: dict[str, Path]
) -> None:
    compare(files["a"], files["b"])
    place = AnyPath(files["b"].with_name("b.scores.parquet"))
    scores = scored_instances.read(place)
    about = msgspec.structs.replace(scores.about, protocol="task")
    scored_instances.write(place, replace(scores, about=about))
    assert refused(files["a"], place, references=False) == (
        "a.jsonl was evaluated by superni and b.scores.parquet by task; evaluate both in one way"
    )


def test_systems_without_a_common_instance(refused: Any, files: dict[str, Path]) -> None:
    rows = list(map(json.loads, files["b"].read_text().splitlines()))
    lines(files["a"], rows[:3])
    lines(files["b"], rows[3:])
    assert refused(files["a"], files["b"]) == (
        "superni, default: a.jsonl, b.jsonl have no instance in common; give predictions of the "
        "same split and data"
    )


def test_what_could_not_be_scored_is_named(
    refused: Any, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TK_INSTRUCT_SUPERNI_DIR", raising=False)
    assert refused(files["a"], files["b"], references=False).startswith(
        f"{files['a']} has no scores yet, and to score it failed: no Super-NaturalInstructions "
        "data directory is set: give --data_dir"
    )
    scores = files["a"].with_name("a.json")
    scores.write_text(json.dumps({"rougeL": 1.0}, indent=2))
    assert refused(scores, files["b"]).startswith(f"{scores}:1: not JSON (")
    assert refused(scores, files["b"]).endswith(
        "predictions are one JSON object a line, or one list: correct the file, or give another"
    )


def test_each_split_of_a_run_is_scored_on_its_own_instances(
    compare: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, flags = tmp_path / "data", ["--split", "test", "--split", "validation"]
    assert cli.main(["mini", str(data)]) == 0
    given = ["--data_dir", str(data), "--max_instances_per_eval_task", "3"]
    for name in ("copy_demo", "copy_input"):
        baseline = ["--baseline", name, "--task", "superni_en_def_pos2", "--vocabulary", "bytes"]
        run = str(tmp_path / name)
        assert cli.main(["predict", *baseline, *flags, "--output_dir", run, *given]) == 0
    capsys.readouterr()
    runs = tmp_path / "copy_demo", tmp_path / "copy_input"
    found = compare(*runs, *given, "--json", "-", references=False)["comparisons"]
    assert [each["name"] for each in found] == [
        "superni_en_def_pos2/test, default",
        "superni_en_def_pos2/validation, default",
    ]


def test_other_references(refused: Any, compare: Any, files: dict[str, Path]) -> None:
    compare(files["a"], files["b"])
    rows = list(map(json.loads, files["references"].read_text().splitlines()))
    rows[5]["references"] = ["another"]
    lines(files["references"], rows)
    compare(files["b"], files["c"])
    assert refused(files["a"], files["b"], references=False).startswith(
        f"superni, default: {rows[5]['id']} has other references for a.jsonl (["
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a"], "{a} is one system; give two or more to compare"),
        (["a", "a"], "{a} {a} is one system; give two or more to compare"),
        (["a", "b", "-n=-1"], "-n -1 must be at least 0"),
        (
            ["a", "b", "--metric=accuracy"],
            "a.jsonl has no scores called 'accuracy'; --metric must be one of exact_match, rouge1, "
            "rougeL",
        ),
    ],
)
def test_wrong_words(refused: Any, files: dict[str, Path], words: list[str], message: str) -> None:
    given = [files.get(word, word) for word in words]
    assert refused(*given) == message.format(a=files["a"])


def test_a_system_that_is_not_there(refused: Any, files: dict[str, Path], tmp_path: Path) -> None:
    assert refused(files["a"], tmp_path / "none") == (
        f"{tmp_path / 'none'} is not there; give a run's folder or a file of predictions"
    )


def test_a_run_without_predictions(refused: Any, files: dict[str, Path], tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    assert refused(run, files["a"]).startswith(
        f"{run} holds no predictions/TASK-SPLIT-STEP.jsonl; give a run's directory"
    )


def test_parts_with_other_metrics(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As `evaluate --task MIXTURE` keeps them: each task is a part with metrics of its own."""

    def table(seed: int, task: str, metric: str) -> ScoredInstances:
        ids = [f"{task}-{number}" for number in range(20)]
        labels = {"id": ids, "part": [task] * 20, "task": [task] * 20, "unit": ids}
        values = np.random.default_rng(seed).choice([0.0, 100.0], 20)
        return ScoredInstances(
            About("task", main=metric, unit="unit"),
            {**labels, "category": [""] * 20, "instance": ids},
            [["yes"]] * 20,
            ["yes"] * 20,
            {metric: values},
        )

    paths = [tmp_path / f"{name}.scores.parquet" for name in "ab"]
    for number, path in enumerate(paths):
        tables = [table(number, "qa", "accuracy"), table(number + 9, "sum", "rouge1")]
        scored_instances.write(path, joined(tables))
    assert cli.main(["compare", *map(str, paths), "--json", "-"]) == 0
    found = json.loads(capsys.readouterr().out)["comparisons"]
    assert [(each["name"], each["metric"]) for each in found] == [
        ("task, qa", "accuracy"),
        ("task, sum", "rouge1"),
    ]
    for each, shift in zip(found, (0, 9), strict=True):
        values = [
            np.random.default_rng(number + shift).choice([0.0, 100.0], 20) for number in range(2)
        ]
        difference = each["comparisons"][0]["paired"]["difference"]
        assert difference["value"] == pytest.approx(np.mean(values[1] - values[0]))
        expected = np.std(values[1] - values[0], ddof=1) / math.sqrt(20)
        assert difference["stderr"] == pytest.approx(expected)


# What is no mean, and what two evaluations do not share


def test_outputs_do_not_replace_what_is_read(
    refused: Any, compare: Any, files: dict[str, Path], tmp_path: Path
) -> None:
    run = lines(tmp_path / "run" / "predictions" / "t-test-1.jsonl", [{"id": "x"}])
    places = [files["a"], files["references"], run, tmp_path / "b.scores.parquet"]
    content = [place.read_bytes() for place in places[:3]]
    for place in places:
        words = [files["a"], files["b"], *([run.parent.parent] if place == run else [])]
        assert refused(*words, "--json", place) == (
            f"--json={place} would replace what is compared; choose another place"
        )
    assert [place.read_bytes() for place in places[:3]] == content
    compare(files["a"], files["b"], "--json", tmp_path / "new.json")


def test_other_categories(refused: Any, compare: Any, files: dict[str, Path]) -> None:
    compare(files["a"], files["b"])
    rows = list(map(json.loads, files["references"].read_text().splitlines()))
    rows[5]["task_category"] = "Another"
    lines(files["references"], rows)
    compare(files["b"], files["c"])
    assert refused(files["a"], files["b"], references=False).startswith(
        f"superni, default: {rows[5]['id']} has another category for a.jsonl ('"
    )


def test_flags_of_scoring_are_refused_if_nothing_is_scored(
    refused: Any, compare: Any, files: dict[str, Path], tmp_path: Path
) -> None:
    compare(files["a"], files["b"])
    assert refused(tmp_path / "a.scores.parquet", tmp_path / "b.scores.parquet").startswith(
        "flags say how predictions are scored, and all systems are scored already"
    )
    compare(tmp_path / "a.scores.parquet", files["b"])


def table_of(
    answers: Sequence[str | None], values: Sequence[float], **about: Any
) -> scored_instances.ScoredInstances:
    size = len(answers)
    labels = {label: list(map(str, range(size))) for label in scored_instances.LABELS}
    labels |= {"task": ["t"] * size, "part": [""] * size, "category": [""] * size}
    labels |= about.pop("labels", {})
    return scored_instances.ScoredInstances(
        scored_instances.About("task", "m", "unit", **about),
        labels,
        [["yes"]] * size,
        answers,
        {"m": np.array(values, float)},
    )


def both(*tables: scored_instances.ScoredInstances, num_left_out: int = 0) -> Side:
    return Side("x", dict(zip("ab", tables, strict=True)), num_left_out)


def test_of_a_metric_that_is_no_mean_equal_answers_do_not_differ() -> None:
    """Their pseudo-values do: here a right answer adds more to the F1 of the worse system."""
    no_mean = {"no_means": {"m": ("t",)}}
    first = table_of(["yes", "no", "no", "yes"], [228.6, -41.5, -41.5, 62.9], **no_mean)
    second = table_of(["yes", "yes", "no", "yes"], [150.0, 150.0, 20.0, 80.0], **no_mean)
    (pair,) = comparison.report(both(first, second), None, 5).comparisons
    assert pair.instances is None
    assert [(each.id, each.first, each.second) for each in pair.better] == [("1", None, None)]
    assert pair.worse == []
    text = report_text(comparison.report(both(first, second), None, 5))
    assert "\ninstances " not in text
    assert "\n    A          no\n    B          yes" in text

    with pytest.raises(UserError, match="no system predicted 2 instances, and m is no mean"):
        comparison.report(both(first, second, num_left_out=2), None, 5)


def test_only_the_tasks_whose_metric_is_a_mean_have_wins() -> None:
    tasks = {"labels": {"task": ["t", "t", "u", "u"]}, "no_means": {"m": ("t",)}}
    first = table_of(["yes", "no", "no", "no"], [200.0, -50.0, 0.0, 0.0], **tasks)
    second = table_of(["yes", "no", "yes", "no"], [90.0, 10.0, 100.0, 0.0], **tasks)
    (pair,) = comparison.report(both(first, second), None, 5).comparisons
    assert pair.instances is not None
    assert (pair.instances.wins, pair.instances.ties, pair.instances.losses) == (1, 1, 0)
    assert [each.id for each in pair.better] == ["2"]
    assert pair.worse == []


def test_what_is_rounding_is_a_tie() -> None:
    first, second = table_of(["a", "b"], [200 / 3, 50]), table_of(["c", "b"], [200 / 3 + 1e-14, 50])
    (pair,) = comparison.report(both(first, second), None, 5).comparisons
    assert pair.instances is not None
    assert (pair.instances.wins, pair.instances.ties, pair.better) == (0, 2, [])


def test_the_larger_units_of_one_system_are_taken(tmp_path: Path) -> None:
    """F1 of all right answers is the mean of single ones, that of others is told by groups."""
    paths = [tmp_path / "a.scores.parquet", tmp_path / "b.scores.parquet"]
    fine = table_of(["x"] * 4, [100.0] * 4)
    coarse = table_of(["x"] * 4, [1.0, 1.0, 9.0, 9.0], labels={"unit": ["g", "g", "h", "h"]})
    for path, table in zip(paths, (fine, coarse), strict=True):
        scored_instances.write(AnyPath(path), table)
    (side,) = side_by_side(list(map(str, paths)), lambda path: fine)
    units = [table.labels["unit"] for table in side.systems.values()]
    assert units == [["g", "g", "h", "h"]] * 2

    other = table_of(["x"] * 4, [1.0, 2.0, 3.0, 4.0], labels={"unit": ["i", "j", "j", "i"]})
    scored_instances.write(AnyPath(paths[0]), other)
    with pytest.raises(UserError, match=r"the units of .* are others than those of"):
        side_by_side(list(map(str, paths)), lambda path: fine)


def test_evaluations_of_other_limits_and_steps_are_not_mixed(tmp_path: Path) -> None:
    names = ["t.t0-test-10.first5", "t.t0-test-10", "t.t1-test-10", "t.t0-test-20", "t.t1-test-20"]
    for run, kept in (("one", names), ("two", names[:3])):
        for name in kept:
            step = float(name.partition(".first")[0].rpartition("-")[2])
            labels = {"task": [name.partition("-")[0]] * 2}
            table = table_of(["x"] * 2, [step, step], labels=labels, together=True)
            path = lines(tmp_path / run / "predictions" / f"{name}.jsonl", [{}])
            place = scored_instances.place_of(AnyPath(path))
            scored_instances.write(place, scored_instances.of_file(table, AnyPath(path)))

    def score(path: Any) -> scored_instances.ScoredInstances:
        found = scored_instances.kept_of(path)
        assert found is not None
        return found

    sides = side_by_side([str(tmp_path / "one"), str(tmp_path / "two")], score)
    values = {s.name: [t.values["m"].tolist() for t in s.systems.values()] for s in sides}
    assert values == {"task.first5": [[10.0] * 2] * 2, "task": [[20.0] * 4, [10.0] * 4]}
