"""Scores of Natural Instructions v1 against hand-worked values and rouge-score itself."""

import csv
import dataclasses
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from pathlib import Path
from statistics import fmean, variance
from typing import Any

import pytest
from rouge_score.rouge_scorer import RougeScorer
from scipy import stats

from tk_instruct import cli, scored_instances
from tk_instruct.files import Path as AnyPath
from tk_instruct.tasks.natural_instructions_v1 import scores
from tk_instruct.tasks.natural_instructions_v1.published import rows as published
from tk_instruct.tasks.natural_instructions_v1.splits import collection, evaluated, task_splits

QG = "subtask003_mctaco_question_generation_event_duration"
QASC_QG = "subtask040_qasc_question_generation"
CF = "subtask022_cosmosqa_passage_inappropriate_binary"
SEEN = "subtask001_quoref_question_generation"
# A task → the references of its four instances. The last two are evaluated.
REFERENCES: dict[str, list[list[str]]] = {
    QG: [["none"], ["none"], ["How long did it take?", "When?"], ["a b c d"]],
    QASC_QG: [["none"], ["none"], ["What runs?"], ["What runs?"]],
    CF: [["none"], ["none"], ["yes"], ["no"]],
    SEEN: [["none"], ["none"], ["Who?"], ["Who?"]],
}
# By hand: 1 and 4/7 (P = 2/3, R = 2/4), then 1 (stemmed) and 0, then 0 and 1.
ANSWERS = {
    f"{QG}-2": "when",
    f"{QG}-3": "a c x",
    f"{QASC_QG}-2": "what run",
    f"{QASC_QG}-3": "",
    f"{CF}-2": "no",
    f"{CF}-3": " no.",
}


def write_data(folder: Path, references: Mapping[str, Sequence[Sequence[str]]]) -> Path:
    """The task files, with these references of each task's instances."""
    folder.mkdir(exist_ok=True)
    for task, of_task in references.items():
        content = {
            "Title": "t",
            "Prompt": "p",
            "Definition": "d",
            "Things to Avoid": "-",
            "Emphasis & Caution": "-",
            "Examples": {
                "Positive Examples": [
                    {"input": "i", "output": f"demo of {task}", "reason": "r"},
                    {"input": "i", "output": "o", "reason": "r"},
                ],
                "Negative Examples": ["-"],
            },
            "Instances": [
                {"input": f"input {k}", "output": list(each)} for k, each in enumerate(of_task)
            ],
        }
        (folder / f"{task}.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files that count as the released ones, although they have four instances each."""
    members = {
        name: dataclasses.replace(of, num_released=None) for name, of in collection().items()
    }
    monkeypatch.setattr(
        "tk_instruct.tasks.natural_instructions_v1.evaluate.collection", lambda: members
    )
    return write_data(tmp_path / "data", REFERENCES)


def lines(path: Path, records: Sequence[Mapping[str, Any]]) -> Path:
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records), encoding="utf-8")
    return path


def ours(folder: Path, answers: Mapping[str, str] = ANSWERS) -> list[Path]:
    records = [{"id": id_, "task": "t", "prediction": text} for id_, text in answers.items()]
    return [lines(folder / "ours.jsonl", records)]


def by_position(folder: Path) -> list[Path]:
    records = []
    for id_, text in ANSWERS.items():
        task, _, index = id_.rpartition("-")
        records.append({"task": task, "index": int(index), "prediction": text})
    return [lines(folder / "positions.jsonl", records)]


def released(folder: Path) -> list[Path]:
    """One file a task, as those of GPT-3."""
    of_task: dict[str, list[dict[str, Any]]] = {}
    for id_, text in ANSWERS.items():
        task, _, index = id_.rpartition("-")
        of_task.setdefault(task, []).append({"index": int(index), "output": text, "input": "x"})
    paths = []
    for task, found in of_task.items():
        paths.append(folder / f"{task}@_Prompt_Positive Examples Full Only@2_100.json")
        paths[-1].write_text(json.dumps({"predictions": found}, indent=1), encoding="utf-8")
    return paths


def evaluate(data: Path, paths: Sequence[Path], *more: str) -> int:
    words = ["--predictions", *map(str, paths), f"--ni_v1_data={data}"]
    return cli.main(["evaluate", "--suite=ni_v1", *words, *more])


def with_error(name: str, score: float, stderr: float) -> dict[str, Any]:
    """A score whose interval is cut to all that is possible."""
    return {name: score, f"{name}_stderr": stderr, f"{name}_ci95": [0.0, 100.0]}


def test_scores_and_table_by_hand(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "scores.json"
    assert evaluate(data, ours(tmp_path), f"--json={output}") == 0
    # A category's error is over its tasks, that of one task over its instances, and the average's
    # is √(14.2857² + 50²) / 2.
    assert json.loads(output.read_text()) == {
        **with_error("rougeL", 57.1429, 26.0004),
        **with_error("rougeL_for_question_generation", 64.2857, 14.2857),
        **with_error("rougeL_for_classification", 50.0, 50.0),
        **with_error(f"rougeL_for_{QG}", 78.5714, 21.4286),
        **with_error(f"rougeL_for_{CF}", 50.0, 50.0),
        **with_error(f"rougeL_for_{QASC_QG}", 50.0, 50.0),
        "num_examples": 6,
    }
    shown = capsys.readouterr().out
    first, by_task, by_category, about_intervals = shown.rstrip().split("\n\n")
    assert first == "6 instances of 3 tasks, per cent"
    assert by_task == (
        "task                                                  category  ROUGE-L F   95 % interval"
        "  instances\n"
        f"{QG}  QG            78.57  0.00 to 100.00          2\n"
        f"{CF}      CF            50.00  0.00 to 100.00          2\n"
        f"{QASC_QG}                   QG            50.00  0.00 to 100.00          2"
    )
    assert by_category == (
        "system                        encoding              QG              CF             avg\n"
        "these predictions, ROUGE-L F                     64.29           50.00           57.14\n"
        "  95 % interval                         0.00 to 100.00  0.00 to 100.00  0.00 to 100.00"
    )
    assert f"{about_intervals}\n" == ABOUT_INTERVALS


def test_published_scores_beside_some_tasks_of_a_split(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(data, ours(tmp_path), "--published") == 0
    _, _, about, by_category, _ = capsys.readouterr().out.rstrip().split("\n\n")
    assert about == (
        "split random: 3 of 12 tasks, without subtask002_quoref_answer_generation, "
        "subtask005_mctaco_wrong_answer_generation_event_duration, "
        "subtask008_mctaco_wrong_answer_generation_transient_stationary and 6 more; the published "
        "scores are of all 12"
    )
    rows = by_category.splitlines()
    assert rows[0].split() == ["system", "encoding", "QG", "AG", "CF", "IAG", "MM", "VF", "avg"]
    assert rows[1].startswith("these predictions, ROUGE-L F ")
    [gpt3] = [row for row in rows if "GPT-3" in row and row.endswith(" 24")]
    assert gpt3.startswith("published: GPT-3 175B not fine-tuned  full  ")
    assert gpt3.split()[-7:] == ["33", "18", "8", "12", "60", "11", "24"]
    assert rows[-1].startswith("published: task-specific models")
    assert rows[-1].split()[-7:] == ["–"] * 6 + ["66"]

    assert evaluate(data, released(tmp_path), "--published", "--json=-") == 0
    found = json.loads(capsys.readouterr().out)["published"]
    encodings = [row["setting"].get("encoding") for row in found if len(row["differs"]) == 1]
    assert encodings == ["prompt_positive", "prompt_positive", "prompt_positive", None]
    assert {tuple(row["differs"][-1].values()) for row in found} >= {
        ("instances", "100 a task", "6 of 3 of 12 tasks, files not as released: 3")
    }


@pytest.mark.parametrize("form", [by_position, released])
def test_other_formats_have_the_same_scores(
    form: Callable[[Path], list[Path]],
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert evaluate(data, ours(tmp_path), "--json=-") == 0
    expected = capsys.readouterr().out
    instances = tmp_path / "i.scores.parquet"
    assert evaluate(data, form(tmp_path), "--json=-", f"--instances={instances}") == 0
    assert capsys.readouterr() == (expected, "")
    assert scored_instances.read(AnyPath(instances)).labels["id"] == sorted(ANSWERS)


def test_scores_of_several_files_are_kept_if_asked(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(data, released(tmp_path), "--json=-") == 0
    assert capsys.readouterr().err == (
        "the instances' scores of several files are kept with --instances FILE only\n"
    )
    assert not list(tmp_path.glob("*.parquet"))


ABOUT_INTERVALS = """\
95 % interval: clustered by task; of one task, over its instances
avg: categories are fixed, tasks are clustered within each
"""
TABLE_WITH_RECALL = """\
system                             encoding              QG              CF             avg
these predictions, ROUGE-L F                          64.29           50.00           57.14
  95 % interval                              0.00 to 100.00  0.00 to 100.00  0.00 to 100.00
these predictions, ROUGE-L recall                     62.50           50.00           56.25
  95 % interval                              0.00 to 100.00  0.00 to 100.00  0.00 to 100.00
"""


def test_recall_is_beside_under_its_name(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(data, ours(tmp_path), "--json=-") == 0
    without = json.loads(capsys.readouterr().out)
    assert evaluate(data, ours(tmp_path), "--json=-", "--recall") == 0
    found = json.loads(capsys.readouterr().out)
    assert {name: found.pop(name) for name in without} == without
    assert found == {
        **with_error("rougeL_recall", 56.25, 25.7694),
        **with_error("rougeL_recall_for_question_generation", 62.5, 12.5),
        **with_error("rougeL_recall_for_classification", 50.0, 50.0),
        **with_error(f"rougeL_recall_for_{QG}", 75.0, 25.0),
        **with_error(f"rougeL_recall_for_{CF}", 50.0, 50.0),
        **with_error(f"rougeL_recall_for_{QASC_QG}", 50.0, 50.0),
    }
    assert evaluate(data, ours(tmp_path), "--recall") == 0
    shown = capsys.readouterr().out
    assert (
        "category  ROUGE-L F   95 % interval  ROUGE-L recall   95 % interval  instances\n" in shown
    )
    assert shown.endswith(f"\n\n{TABLE_WITH_RECALL}\n{ABOUT_INTERVALS}")


def test_missing_and_other_instances_are_told(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = dict(ANSWERS)
    del answers[f"{QG}-2"]
    answers |= {f"{QG}-0": "none", f"{CF}-1": "none", f"{CF}-0": "none"}
    assert evaluate(data, ours(tmp_path, answers)) == 0
    shown = capsys.readouterr().out
    assert shown.endswith(
        f"\n\nevaluated instances without a prediction count as empty, 1 in all: {QG} (1 of 2)\n"
        "predictions of instances that are not evaluated are passed over, 3 in all: "
        f"{QG} (1), {CF} (2)\n"
    )
    assert f"{QG}  QG            28.57  0.00 to 100.00          2" in shown
    assert evaluate(data, ours(tmp_path, answers), "--json=-") == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["num_examples"] == 6
    assert len(err.splitlines()) == 2


def test_files_that_are_not_the_released_ones_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The published scores beside are then of other instances."""
    data = write_data(tmp_path / "data", REFERENCES)
    assert evaluate(data, ours(tmp_path)) == 0
    assert "published" not in capsys.readouterr().out
    assert evaluate(data, ours(tmp_path), "--published") == 0
    assert capsys.readouterr().out.endswith(
        "the published scores are of other instances: not as many as released are in the files of "
        f"3 tasks, {QG} (4 for 430), {CF} (4 for 500), {QASC_QG} (4 for 6,500)\n"
    )


def with_one(id_: str) -> dict[str, str]:
    return {**ANSWERS, id_: "x"}


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        (with_one("task1-abc"), "ours.jsonl:7: id 'task1-abc' must be TASK-INDEX, such as subt"),
        (with_one(f"{QG}-02"), f"id '{QG}-02' must be TASK-INDEX"),
        (with_one("subtask3-2"), "ours.jsonl:7: subtask3 is no task of Natural Instructions v1"),
        (with_one(f"{QG}-4"), f"ours.jsonl:7: {QG} has no instance 4 but 0 to 3; give the --ni"),
        (
            with_one("subtask039_qasc_find_overlapping_words-2"),
            "has no subtask039_qasc_find_overlapping_words.json; add it, or leave",
        ),
        (with_one(f"{SEEN}-1"), f"no prediction of {SEEN} is of an evaluated instance; predict 2"),
    ],
)
def test_predictions_that_are_refused(
    answers: dict[str, str],
    message: str,
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert evaluate(data, ours(tmp_path, answers)) == 2
    assert message in capsys.readouterr().err


def test_an_instance_in_two_files_is_refused_with_both_places(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    [line_by_line], [*of_tasks] = ours(tmp_path), released(tmp_path)
    assert evaluate(data, [line_by_line, *of_tasks]) == 2
    assert capsys.readouterr().err == (
        f"error: {of_tasks[0]}: item 1: instance 2 of {QG} was predicted on {line_by_line}:1 "
        "already; an instance may be predicted once, remove one of the two\n"
    )
    twice = json.loads(of_tasks[0].read_text())
    twice["predictions"] *= 2
    of_tasks[0].write_text(json.dumps(twice))
    assert evaluate(data, of_tasks) == 2
    assert f"item 3: instance 2 of {QG} was predicted on {of_tasks[0]}: item 1" in (
        capsys.readouterr().err
    )


def test_other_refusals(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["evaluate", "--suite=ni_v1", f"--ni_v1_data={data}"]) == 2
    assert "no predictions are given; give --predictions FILE" in capsys.readouterr().err
    [path] = ours(tmp_path)
    assert evaluate(data, [path], f"--json={path}") == 2
    assert "is the file of --predictions" in capsys.readouterr().err
    task = data / f"{SEEN}.json"
    before = task.read_bytes()
    assert evaluate(data, [path], f"--json={task}") == 2
    assert "is there already and belongs to --ni_v1_data" in capsys.readouterr().err
    assert task.read_bytes() == before
    path = path.rename(tmp_path / f"{QG}@ours.json")
    assert evaluate(data, [path]) == 2
    assert "a file that is named TASK@….json has the released form" in capsys.readouterr().err


@pytest.mark.parametrize("indent", [None, 1])
def test_a_released_file_of_another_name(
    indent: int | None, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"{QG}.json"
    content = {"predictions": [{"index": 2, "output": "x"}]}
    path.write_text(json.dumps(content, indent=indent), encoding="utf-8")
    assert evaluate(data, [path]) == 2
    assert capsys.readouterr().err.endswith("; a released file has to keep its name, TASK@….json\n")


def table_of(data: Path, tasks: Sequence[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What is printed after the table of tasks, if all answers to these tasks are right.

    Without intervals and what is said of them.
    """
    write_data(data, {task: [["a"], ["a"]] for task in tasks})
    answers = {f"{task}-1": "a" for task in tasks}
    assert evaluate(data, ours(data.parent, answers), "--published") == 0
    before, _, after = capsys.readouterr().out.partition(f"\n\n{ABOUT_INTERVALS}")
    shown = f"{before}{after}".rstrip().split("\n\n", 2)[2]
    return "\n".join(line for line in shown.split("\n") if "95 % interval" not in line)


def test_published_scores_of_the_random_split(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = table_of(data, task_splits()["random"].unseen, capsys)
    assert shown.startswith("split random: all 12 tasks\n\nsystem")
    assert shown.splitlines()[3].split()[-7:] == ["100.00"] * 7
    assert len(shown.splitlines()) == 4 + 13


@pytest.mark.parametrize(
    ("split", "columns", "averages"),
    [
        ("without_category_question_generation", ["QG"], ["6", "17", "33"]),
        ("without_category_answer_generation", ["AG"], ["19", "21"]),
        ("without_dataset_qasc", ["QG", "AG", "IAG", "MM", "VF"], ["37", "51", "22"]),
        ("without_dataset_quoref", ["QG", "AG"], ["37", "37"]),
    ],
)
def test_published_scores_of_leave_one_out_splits(
    split: str,
    columns: list[str],
    averages: list[str],
    data: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    unseen = task_splits()[split].unseen
    about, shown = table_of(data, unseen, capsys).split("\n\n")
    assert about == f"split {split}: all {len(unseen)} tasks"
    title, own, *rows = (line.split() for line in shown.splitlines())
    assert title == ["system", "encoding", *columns, "avg"]
    assert own[-1] == "100.00"
    assert [row[-1] for row in rows] == averages


def test_one_task_may_be_of_two_splits_with_published_scores(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = table_of(data, [QASC_QG], capsys).split("\n\n")
    assert parts[0].startswith("split random: 1 of 12 tasks, without ")
    assert parts[2] == f"split without_task_{QASC_QG}: all 1 task"
    assert [row.split()[-1] for row in parts[3].splitlines()] == [
        "avg", "100.00", "20", "56", "57", "33"
    ]  # fmt: skip


def test_other_tasks_have_no_published_scores_beside(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for tasks in ([SEEN], [SEEN, *task_splits()["random"].unseen]):
        shown = table_of(data, tasks, capsys)
        assert shown.endswith("\n\nno score is published of a split of these tasks")
        assert shown.count("published") == 1


def test_published_scores_are_the_papers(shared_data: Path) -> None:
    """Each printed score, where the paper prints it twice once."""
    path = shared_data / "published" / "natural_instructions_v1.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["metric"] == "ROUGE-L"]
    printed = Counter((row["system"], row["value"]) for row in rows)
    found = Counter((score.system, score.value) for score in published())
    # The full instruction's average over the random split is in three tables, QASC QG's in two.
    again = printed - found
    assert again == Counter(
        {
            ("BART 140M fine-tuned", "32"): 2,
            ("GPT-3 175B not fine-tuned", "24"): 2,
            ("BART 140M fine-tuned", "13"): 1,
            ("BART 140M fine-tuned", "56"): 1,
        }
    )
    assert not found - printed


def test_scores_of_real_tasks_equal_the_released_scripts(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The released script scores each prediction of a file by rouge-score, and takes the mean."""
    data = shared_data / "natural-instructions-v1"
    scorer = RougeScorer(["rougeL"], use_stemmer=True)
    answers: dict[str, str] = {}
    expected = {}
    for task in (QG, CF, "subtask047_misc_answering_science_questions"):
        instances = json.loads((data / "tasks" / f"{task}.json").read_text("utf-8"))["Instances"]
        total = 0.0
        for index in evaluated(len(instances)):
            right = instances[index]["output"]
            text = f"{instances[index - 1]['output'][0]} {right[-1][: len(right[-1]) // 2]}"
            answers[f"{task}-{index}"] = text
            total += max(scorer.score(each, text)["rougeL"].fmeasure for each in right)
        expected[f"rougeL_for_{task}"] = pytest.approx(total, abs=1e-4)  # of 100 instances
    assert evaluate(data, ours(tmp_path, answers), "--json=-") == 0
    found = json.loads(capsys.readouterr().out)
    assert {name: found[name] for name in expected} == expected
    assert found["num_examples"] == 300
    is_score = re.compile("rougeL(_for_.*)?(?<!_stderr)(?<!_ci95)")
    assert all(20 < each < 95 for name, each in found.items() if is_score.fullmatch(name))


def test_intervals_by_an_obvious_loop(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three tasks of a category, two of another and one of a third, with unlike numbers."""
    right = {  # the evaluated instances that are right, the first ones, of how many
        QG: (3, 4),
        QASC_QG: (2, 8),
        SEEN: (5, 6),
        CF: (9, 10),
        "subtask021_mctaco_grammatical_logical": (2, 7),
        "subtask029_winogrande_full_object": (2, 5),
    }
    write_data(data, {task: [["a"]] * (2 * size) for task, (_, size) in right.items()})
    answers = {
        f"{task}-{position}": "a" if number < num_right else "b"
        for task, (num_right, size) in right.items()
        for number, position in enumerate(evaluated(2 * size))
    }
    assert evaluate(data, ours(tmp_path, answers), "--json=-") == 0
    found = json.loads(capsys.readouterr().out)

    of_category: dict[str, list[list[float]]] = {}
    for task, (num_right, size) in right.items():
        values = [100.0] * num_right + [0.0] * (size - num_right)
        of_category.setdefault(collection()[task].category, []).append(values)
    values_of = {name: [fmean(of) for of in tasks] for name, tasks in of_category.items()}
    [of_one_task] = [name for name, tasks in of_category.items() if len(tasks) == 1]
    [values_of[of_one_task]] = of_category[of_one_task]  # its instances are the units
    squares = {name: variance(of) / len(of) for name, of in values_of.items()}
    for name, of in values_of.items():
        margin = stats.t.ppf(0.975, len(of) - 1) * math.sqrt(squares[name])
        ends = [max(0.0, fmean(of) - margin), min(100.0, fmean(of) + margin)]
        assert found[f"rougeL_for_{name}"] == pytest.approx(fmean(of), abs=1e-4)
        stderr = found[f"rougeL_for_{name}_stderr"]
        assert stderr == pytest.approx(math.sqrt(squares[name]), abs=1e-4)
        assert found[f"rougeL_for_{name}_ci95"] == pytest.approx(ends, abs=1e-3)
    total = sum(squares.values())
    df = total**2 / sum(squares[name] ** 2 / (len(of) - 1) for name, of in values_of.items())
    score, stderr = fmean(map(fmean, values_of.values())), math.sqrt(total) / 3
    margin = stats.t.ppf(0.975, df) * stderr
    assert found["rougeL"] == pytest.approx(score, abs=1e-4)
    assert found["rougeL_stderr"] == pytest.approx(stderr, abs=1e-4)
    assert found["rougeL_ci95"] == pytest.approx([score - margin, score + margin], abs=1e-3)


@pytest.mark.parametrize(
    ("baseline", "answers"),
    [
        ("copy_input", {f"{QG}-2": "input 2", f"{QG}-3": "input 3"}),
        ("copy_demo", {f"{QG}-2": f"demo of {QG}", f"{QG}-3": f"demo of {QG}"}),
    ],
)
def test_baselines_are_scored_and_reported(
    baseline: str,
    answers: dict[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = write_data(tmp_path / "data", {QG: REFERENCES[QG]})
    run = tmp_path / baseline
    command = ["predict", f"--baseline={baseline}", "--task=ni_v1_random_prompt"]
    words = [f"--output_dir={run}", "--vocabulary=bytes", f"--ni_v1_data={data}"]
    assert cli.main([*command, *words]) == 0
    [path] = (run / "predictions").iterdir()
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert {row["id"]: row["prediction"] for row in rows} == answers
    output = run / "scores" / path.with_suffix(".json").name
    assert evaluate(data, [path], f"--json={output}") == 0
    capsys.readouterr()
    assert cli.main(["report", str(run)]) == 0
    title, header, row = capsys.readouterr().out.splitlines()[:3]
    assert title == "ni_v1_random, per cent"
    assert header.split() == ["run", "encoding", "test", "ROUGE-L", "test", "num_examples"]
    assert row.split()[:2] == [baseline, "prompt"]


def test_a_table_of_scores_is_of_a_split() -> None:
    row_of = scores.SCORES.row_of
    assert row_of("ni_v1_random_full") == ("ni_v1_random", "full")
    for split, encoding in product(task_splits(), ["none", "prompt_definition"]):
        assert row_of(f"ni_v1_{split}_{encoding}") == (f"ni_v1_{split}", encoding)
    assert row_of("ni_v1_other") == ("ni_v1_other", "")


def test_names_of_tasks_do_not_clash_with_categories() -> None:
    assert not {member.category for member in collection().values()} & set(collection())
