"""The evaluate verb: whole outputs, files and error messages."""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tk_instruct import evaluate as verb
from tk_instruct.errors import UserError
from tk_instruct.metrics.rouge import stemmed_tokens
from tk_instruct.predictions import Prediction
from tk_instruct.tasks.superni import evaluate, metrics, records


def write_jsonl(path: Path, records: list[Any]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def reference(id_: str, texts: list[str], task: str, category: str, track: str) -> dict[str, Any]:
    return {
        "id": id_,
        "references": texts,
        "task_id": task,
        "task_category": category,
        "track": track,
    }


REFERENCES = [
    reference("a-1", ["yes"], "task1_a", "Textual Entailment", "default"),
    reference("a-2", ["no"], "task1_a", "Textual Entailment", "default"),
    reference("b-1", ["one two three", "four"], "task2_b", "Title Generation", "default"),
    reference("c-1", ["x"], "task3_c", "Question Answering", "default"),
    reference("x-1", ["to be"], "task4_x", "Cause Effect Classification", "xlingual"),
]
PREDICTIONS = [
    {"id": "b-1", "prediction": "One, two!", "task": "task2_b", "extra": None},
    {"id": "a-1", "prediction": "Yes."},
    {"id": "x-1", "prediction": "to"},
]


@pytest.fixture
def references(tmp_path: Path) -> Path:
    return write_jsonl(tmp_path / "references.jsonl", REFERENCES)


@pytest.fixture
def predictions(tmp_path: Path) -> Path:
    return write_jsonl(tmp_path / "predictions.jsonl", PREDICTIONS)


@pytest.fixture
def bpe(tmp_path: Path) -> Path:
    """Every byte a token of its own."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    characters = [chr(byte) for byte in printable] + [chr(256 + i) for i in range(68)]
    directory = tmp_path / "bpe"
    directory.mkdir()
    vocabulary = {piece: i for i, piece in enumerate(characters)}
    (directory / "encoder.json").write_text(json.dumps(vocabulary))
    (directory / "vocab.bpe").write_text("#version: 0.2\n")
    return directory


def run(*arguments: object) -> int:
    words = [str(argument) for argument in arguments]
    parser = argparse.ArgumentParser()
    verb.add_arguments(parser)
    verb.add_suite_arguments(parser, words)
    return verb.main(parser.parse_args(words))


def message(*arguments: object) -> str:
    with pytest.raises(UserError) as caught:
        run(*arguments)
    return str(caught.value)


DEFAULT_TABLE = """\
default track: 4 instances of 3 tasks, per cent

metric       score   95 % interval
exact_match  25.00  0.00 to 100.00
rouge1       45.00  0.00 to 100.00
rougeL       45.00  0.00 to 100.00

category              metric       score   95 % interval  instances  tasks
Textual Entailment    exact_match  50.00  0.00 to 100.00          2      1
Title Generation      rougeL       80.00               –          1      1
mean of 2 categories               65.00               –

95 % interval: clustered by task; of one task, over its instances
mean of categories: they are fixed, tasks are clustered within each

no instances: Cause Effect Classification, Coreference Resolution, Dialogue Act Recognition, \
Answerability Classification, Word Analogy, Overlap Extraction, Keyword Tagging, \
Question Rewriting, Data to Text, Grammar Error Correction

in the overall scores only: 1 instance of other categories
"""
DEFAULT_MISSING = "default track: 2 of 4 ids have no prediction and count as empty: 'a-2', 'c-1'\n"


def test_default_track_table_and_notes(
    predictions: Path, references: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--predictions", predictions, "--references", references) == 0
    passed_over = "passed over: 1 prediction of the xlingual track\n"
    assert capsys.readouterr() == (f"{DEFAULT_TABLE}\n{passed_over}{DEFAULT_MISSING}", "")


def test_both_tracks(
    predictions: Path,
    references: Path,
    bpe: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "new" / "scores.json"
    arguments = ["--predictions", predictions, "--references", references, "--track", "both"]
    assert run(*arguments, "--gpt2_bpe", bpe, "--json", out) == 0
    xlingual_table = """\
xlingual track: 1 instance of 1 task, per cent

metric       score  95 % interval
exact_match   0.00              –
rouge1       57.14              –
rougeL       57.14              –

category                     metric       score  95 % interval  instances  tasks
Cause Effect Classification  exact_match   0.00              –          1      1
mean of 1 category                         0.00              –

95 % interval: clustered by task; of one task, over its instances
mean of categories: they are fixed, tasks are clustered within each

no instances: Textual Entailment, Coreference Resolution, Dialogue Act Recognition, \
Answerability Classification, Word Analogy, Overlap Extraction, Keyword Tagging, \
Question Rewriting, Title Generation, Data to Text, Grammar Error Correction
"""
    expected = f"{DEFAULT_TABLE}\n{xlingual_table}\n{DEFAULT_MISSING}"
    assert capsys.readouterr() == (expected, "")
    scores = json.loads(out.read_text())
    # "to" and "to be" are 2 and 5 byte tokens: F1 = 2·2 / (2 + 5).
    assert scores["rougeL_xlingual_track"] == 57.1429
    assert scores["rougeL_for_task4_x_xlingual_track"] == 57.1429
    assert scores["exact_match_for_cause_effect_classification_xlingual_track"] == 0.0
    assert scores["rouge1_default_track"] == 45.0
    values = [key for key in scores if not key.endswith(("_stderr", "_ci95"))]
    assert all(key.endswith(("_default_track", "_xlingual_track")) for key in values)
    # 3 metrics × (overall + tasks + categories)
    assert len(values) == 3 * (1 + 3 + 3) + 3 * (1 + 1 + 1)
    # Of the default track, the task and the category with two instances, and all.
    assert len(scores) == len(values) + 2 * 3 * 3
    assert os.listdir(out.parent) == ["scores.json"]


@pytest.mark.parametrize("by", ["--data_dir", "$TK_INSTRUCT_SUPERNI_DIR"])
def test_scores_do_not_replace_data(
    by: str,
    predictions: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = tmp_path / "data" / "tasks" / "task1_a.json"
    file.parent.mkdir(parents=True)
    file.write_text("{}")
    flags: list[str | Path] = []
    if by == "--data_dir":
        flags = ["--data_dir", tmp_path / "data"]
    else:
        monkeypatch.setenv(by[1:], str(tmp_path / "data"))
    with pytest.raises(UserError) as refused:
        run("--predictions", predictions, "--json", file, *flags)
    assert f"--json={file} is there already and belongs to {by}" in str(refused.value)
    assert file.read_text() == "{}"


def test_json_to_standard_output_is_all_that_is_there(
    predictions: Path, references: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--predictions", predictions, "--references", references, "--json", "-") == 0
    out, err = capsys.readouterr()
    one_of_two = {
        f"{metric}_for_{name}{key}": value
        for name in ("task1_a", "textual_entailment")
        for metric in ("exact_match", "rouge1", "rougeL")
        for key, value in {"": 50.0, "_stderr": 50.0, "_ci95": [0.0, 100.0]}.items()
    }
    assert json.loads(out) == one_of_two | {
        # The tasks' sums of score - mean are 50, -25 and -25: √(3 / 2 · 3,750) / 4 = 18.75.
        "exact_match": 25.0,
        "exact_match_stderr": 18.75,
        "exact_match_ci95": [0.0, 100.0],
        "rouge1": 45.0,
        "rouge1_stderr": 17.7218,
        "rouge1_ci95": [0.0, 100.0],
        "rougeL": 45.0,
        "rougeL_stderr": 17.7218,
        "rougeL_ci95": [0.0, 100.0],
        "exact_match_for_task2_b": 0.0,
        "rouge1_for_task2_b": 80.0,
        "rougeL_for_task2_b": 80.0,
        "exact_match_for_task3_c": 0.0,
        "rouge1_for_task3_c": 0.0,
        "rougeL_for_task3_c": 0.0,
        "exact_match_for_title_generation": 0.0,
        "rouge1_for_title_generation": 80.0,
        "rougeL_for_title_generation": 80.0,
        "exact_match_for_question_answering": 0.0,
        "rouge1_for_question_answering": 0.0,
        "rougeL_for_question_answering": 0.0,
    }
    assert err.endswith(DEFAULT_MISSING)


def test_both_says_which_track_has_no_references(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    references = write_jsonl(tmp_path / "default.jsonl", REFERENCES[:1])
    predictions = write_jsonl(tmp_path / "p.jsonl", PREDICTIONS[1:2])
    run("--predictions", predictions, "--references", references, "--track", "both", "--json", "-")
    out, err = capsys.readouterr()
    assert json.loads(out)["exact_match_default_track"] == 100.0
    assert "xlingual_track" not in out
    assert err == (
        f"no scores of the xlingual track: {references} has no references of the xlingual track; "
        "give those that do\n"
    )


def test_references_without_a_track_belong_to_the_chosen_one(
    tmp_path: Path, bpe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = {key: value for key, value in REFERENCES[4].items() if key != "track"}
    references = write_jsonl(tmp_path / "r.jsonl", [record])
    predictions = write_jsonl(tmp_path / "p.jsonl", PREDICTIONS[2:])
    arguments = ["--predictions", predictions, "--references", references, "--json", "-"]
    run(*arguments, "--track", "xlingual", "--gpt2_bpe", bpe)
    assert json.loads(capsys.readouterr().out)["rougeL"] == 57.1429
    run(*arguments, "--track", "default")
    assert json.loads(capsys.readouterr().out)["rougeL"] == 66.6667


def test_missing_ids_beyond_three_are_counted_not_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records = [reference(f"i{k}", ["x"], "t", "Title Generation", "default") for k in range(1500)]
    references = write_jsonl(tmp_path / "r.jsonl", records)
    predictions = write_jsonl(tmp_path / "p.jsonl", [{"id": "i1", "prediction": "x"}])
    run("--predictions", predictions, "--references", references)
    assert capsys.readouterr().out.endswith(
        "default track: 1,499 of 1,500 ids have no prediction and count as empty: "
        "'i0', 'i2', 'i3', …\n"
    )


def test_predictions_from_standard_input(references: Path, predictions: Path) -> None:
    command = [sys.executable, "-m", "tk_instruct.cli", "evaluate", "--predictions", "-"]
    command += ["--references", str(references)]
    done = subprocess.run(
        [*command, "--json", "-"],
        input=predictions.read_text(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)["rougeL"] == 45.0


def test_neither_module_imports_seqio_tensorflow_or_jax() -> None:
    code = (
        "import argparse, sys, tk_instruct.evaluate, tk_instruct.tasks.superni.evaluate as e\n"
        "tk_instruct.evaluate.add_arguments(argparse.ArgumentParser())\n"
        "e.metrics.score(['a'], [['a']])\n"
        "print(sorted({'seqio', 'tensorflow', 'jax'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# Errors


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"id": "a-1"', ":2: not JSON ("),
        ('["a-1", "yes"]', ':2: the document is ["a-1", "yes"] but must be an object'),
        ('{"prediction": "yes"}', ':2: {"prediction"} is no format of predictions; the formats'),
        ('{"id": "a-1", "output": "y"}', ':2: {"id", "output"} is no format of predictions; the'),
        ("{}", ":2: {} is no format of predictions; the formats that are read are"),
        ('{"id": "a-1", "prediction": null}', ":2: prediction is null but must be a string; corr"),
        ('{"id": 7, "prediction": "yes"}', ":2: id is 7 but must be a string; correct"),
        (
            '{"id": "b-1", "prediction": "again"}',
            ":2: id 'b-1' was predicted on {predictions}:1 already; an id may be predicted once",
        ),
        (
            '{"id": "a-9", "prediction": "y"}\n\n{"id": "a-8", "prediction": "y"}',
            ":2: id 'a-9' is in neither track of {references} (and 1 more); remove it, or",
        ),
    ],
)
def test_errors_in_predictions(
    predictions: Path, references: Path, line: str, expected: str
) -> None:
    predictions.write_text(json.dumps(PREDICTIONS[0]) + "\n" + line + "\n")
    found = message("--predictions", predictions, "--references", references)
    expected = expected.replace("{references}", str(references))
    assert found.startswith(str(predictions) + expected.replace("{predictions}", str(predictions)))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"references": []}, "references is [] but must be a list that is not empty"),
        ({"references": "yes"}, 'references is "yes" but must be a list'),
        ({"references": [None]}, "references[0] is null but must be a string"),
        ({"task_id": None}, "task_id is null but must be a string"),
        ({"track": "english"}, "track 'english' must be one of default, xlingual"),
        ({"id": "a-1"}, "id 'a-1' stands before in the default track already"),
    ],
)
def test_errors_in_references(
    predictions: Path, tmp_path: Path, change: dict[str, Any], expected: str
) -> None:
    new = {**REFERENCES[0], "id": "new"}
    path = write_jsonl(tmp_path / "r.jsonl", [REFERENCES[0], {**new, **change}])
    found = message("--predictions", predictions, "--references", path)
    assert found.startswith(f"{path}:2: {expected}")


def test_references_need_a_category(predictions: Path, tmp_path: Path) -> None:
    record = {key: value for key, value in REFERENCES[0].items() if key != "task_category"}
    path = write_jsonl(tmp_path / "r.jsonl", [record])
    found = message("--predictions", predictions, "--references", path)
    assert found.startswith(f"{path}:1: task_category is missing; correct")


def test_no_predictions(references: Path, tmp_path: Path) -> None:
    path = tmp_path / "empty.jsonl"
    path.write_text("\n")
    found = message("--predictions", path, "--references", references)
    assert found.startswith(f"{path}: holds no predictions; write one JSON object")


def test_missing_predictions_file(references: Path, tmp_path: Path) -> None:
    found = message("--predictions", tmp_path / "no.jsonl", "--references", references)
    assert found.startswith(f"{tmp_path / 'no.jsonl'}: cannot be read (No such file or directory)")


def test_predictions_of_the_other_track_alone(references: Path, tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "p.jsonl", PREDICTIONS[2:])
    assert message("--predictions", path, "--references", references) == (
        f"{path}: every id is of the xlingual track and none of --track=default; "
        "pass --track=xlingual"
    )


def test_chosen_track_without_references(predictions: Path, tmp_path: Path, bpe: Path) -> None:
    path = write_jsonl(tmp_path / "r.jsonl", REFERENCES[:4])
    arguments = ["--predictions", predictions, "--references", path, "--track", "xlingual"]
    assert message(*arguments, "--gpt2_bpe", bpe) == (
        f"{path} has no references of the xlingual track; give those that do"
    )


def test_xlingual_needs_the_byte_pair_encoding(predictions: Path, references: Path) -> None:
    arguments = ["--predictions", predictions, "--references", references, "--track", "both"]
    assert message(*arguments).startswith(
        "ROUGE of the xlingual track splits text with GPT-2's BPE, and no"
    )


@pytest.mark.parametrize("name", ["predictions", "references"])
def test_scores_do_not_replace_an_input(predictions: Path, references: Path, name: str) -> None:
    target = {"predictions": predictions, "references": references}[name]
    before = target.read_bytes()
    arguments = ["--predictions", predictions, "--references", references, "--json", target]
    assert message(*arguments).startswith(f"--json={target} is the file of --{name}")
    assert target.read_bytes() == before


# Data directories


def task_file(category: str, ids: list[str], texts: list[str]) -> dict[str, Any]:
    demonstration = {"input": "i", "output": "o", "explanation": "e"}
    return {
        "Definition": ["Answer."],
        "Categories": [category],
        "Positive Examples": [demonstration],
        "Negative Examples": [demonstration],
        "Instances": [
            {"id": id_, "input": f"input {id_}", "output": [text]}
            for id_, text in zip(ids, texts, strict=True)
        ],
        "Input_language": ["English"],
        "Output_language": ["English"],
    }


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """One test task a track, four instances each, and no train task."""
    root = tmp_path / "data"
    tasks = {"default": ("task1_a", "Word Analogy"), "xlingual": ("task2_x", "Title Generation")}
    (root / "tasks").mkdir(parents=True)
    for track, (task, category) in tasks.items():
        splits = root / "splits" / track
        splits.mkdir(parents=True)
        (splits / "test_tasks.txt").write_text(f"{task}\n")
        (splits / "train_tasks.txt").write_text("")
        (splits / "excluded_tasks.txt").write_text("")
        record = task_file(category, [f"{task}-{k}" for k in range(4)], ["yes", "no", "no", "yes"])
        (root / "tasks" / f"{task}.json").write_text(json.dumps(record))
    return root


def arguments_for(data_dir: Path, ids: list[str]) -> list[object]:
    path = data_dir.parent / "p.jsonl"
    write_jsonl(path, [{"id": id_, "prediction": "yes"} for id_ in ids])
    cache = data_dir.parent / "cache"
    return ["--predictions", path, "--data_dir", data_dir, "--cache_dir", cache]


def test_references_from_a_data_dir(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = arguments_for(data_dir, ["task1_a-0", "task1_a-1", "task2_x-3"])
    run(*arguments, "--json", "-", "--max_instances_per_eval_task", 4)
    out, err = capsys.readouterr()
    scores = json.loads(out)
    assert scores["exact_match"] == scores["exact_match_for_word_analogy"] == 25.0
    assert err == (
        "passed over: 1 prediction of the xlingual track\n"
        "default track: 2 of 4 ids have no prediction and count as empty: "
        "'task1_a-2', 'task1_a-3'\n"
    )


def test_references_are_of_a_file_or_of_a_data_dir(data_dir: Path, references: Path) -> None:
    assert message(*arguments_for(data_dir, ["task1_a-0"]), "--references", references) == (
        f"--references={references} and --data_dir={data_dir} both say what is right; give one of "
        "the two"
    )


def test_only_the_first_instances_of_a_task_count(
    data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = arguments_for(data_dir, ["task1_a-0"])
    run(*arguments, "--max_instances_per_eval_task", 2, "--json", "-")
    assert json.loads(capsys.readouterr().out)["exact_match"] == 50.0
    arguments = arguments_for(data_dir, ["task1_a-0", "task1_a-3"])
    assert message(*arguments, "--max_instances_per_eval_task", 2) == (
        f"{arguments[1]}:2: id 'task1_a-3' is in neither track of the test split; remove it, or "
        "give the --split and --seed that it was predicted with; if it lies beyond the first "
        "--max_instances_per_eval_task=2 instances of its task, raise that to the number that was "
        "predicted"
    )


def test_the_other_track_may_have_no_files(
    data_dir: Path, bpe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (data_dir / "tasks" / "task2_x.json").unlink()
    run(*arguments_for(data_dir, ["task1_a-0"]), "--track", "both", "--json", "-")
    out, err = capsys.readouterr()
    assert json.loads(out)["exact_match_default_track"] == 25.0
    assert err.startswith("no scores of the xlingual track: ")
    found = message(*arguments_for(data_dir, ["task1_a-0", "task2_x-0"]))
    assert "p.jsonl:2: id 'task2_x-0' is in neither track of the test split; remove it" in found
    assert "; the xlingual track was not read: " in found
    # The track that was asked for must be there.
    assert "xlingual" in message(
        *arguments_for(data_dir, ["task1_a-0"]), "--track", "xlingual", "--gpt2_bpe", bpe
    )


def test_an_id_of_two_tasks(data_dir: Path) -> None:
    (data_dir / "splits" / "default" / "test_tasks.txt").write_text("task1_a\ntask3_b\n")
    record = task_file("Word Analogy", ["task1_a-0"], ["yes"])
    (data_dir / "tasks" / "task3_b.json").write_text(json.dumps(record))
    assert message(*arguments_for(data_dir, ["task1_a-0"])).endswith(
        "id 'task1_a-0' is an instance of task1_a and of task3_b; ids must be unique, "
        "restore the two files from their source"
    )


def test_the_twelve_categories_in_one_table() -> None:
    instances = {
        category: metrics.Instance(("yes",), f"task_{number:02}", category)
        for number, category in enumerate(records.EVALUATION_CATEGORIES)
    }
    predictions = {
        category: evaluate.Prediction("yes" if number % 3 else "no", "")
        for number, category in enumerate(instances)
    }
    rows = evaluate.score_instances("default", predictions, instances, stemmed_tokens)
    lines = evaluate.table_of(rows, evaluate.scores_of(rows)).split("\n")
    assert lines[0] == "default track: 12 instances of 12 tasks, per cent"
    assert lines[9] == (
        "Cause Effect Classification   exact_match  100.00              –          1      1"
    )
    assert lines[-4] == "mean of 12 categories                       66.67              –"


def test_spellings_with_the_same_key_are_one_category() -> None:
    names = ["Word Analogy", "word analogy", "Word  Analogy"]
    instances = {name: metrics.Instance(("yes",), f"task{name}", name) for name in names}
    predictions = {names[0]: Prediction("yes", ""), names[1]: Prediction("no", "")}
    rows = evaluate.score_instances("default", predictions, instances, stemmed_tokens)
    scores = evaluate.scores_of(rows)
    assert scores["rougeL_for_word_analogy"].value == pytest.approx(100 / 3)
    row = next(line for line in evaluate.table_of(rows, scores).splitlines() if "Word" in line)
    assert row.split()[:4] == ["Word", "Analogy", "exact_match", "33.33"]
