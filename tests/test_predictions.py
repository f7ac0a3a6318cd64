"""Predictions in the formats that people have: the same texts by id from each of them."""

import json
from pathlib import Path
from typing import Any

import pytest

from tk_instruct import cli
from tk_instruct.errors import UserError
from tk_instruct.files import Path as AnyPath
from tk_instruct.predictions import FORMATS_READ, read_predictions
from tk_instruct.scores import named_apart

ANSWERS = {"task1-a": "yes", "task1-b": "", "task2-c": "one\ntwo é"}


def ours(id_: str, text: str) -> dict[str, Any]:
    return {"id": id_, "task": "superni_en_def", "prediction": text, "options": ["yes", "no"]}


def tk_instruct(id_: str, text: str) -> dict[str, Any]:
    """As run_s2s.py writes predicted_examples.jsonl."""
    return {
        "id": id_,
        "Task": id_.partition("-")[0],
        "Categories": ["Textual Entailment"],
        "Definition": ["Say yes or no."],
        "Positive Examples": [{"input": "a", "output": "yes", "explanation": "so"}],
        "Instance": {"id": id_, "input": "b", "output": ["no"]},
        "prediction": text,
    }


def released(id_: str, text: str) -> dict[str, Any]:
    record = tk_instruct(id_, text)
    return {
        "Task": record["Task"],
        "Instance": record["Instance"],
        "Target": "no",
        "Prediction": text,
    }


def harness(id_: str, text: str, filter_: str = "none") -> dict[str, Any]:
    """As lm-evaluation-harness logs a sample of a task of generate_until."""
    return {
        "doc_id": 7,
        "doc": {"task_name": id_.partition("-")[0], "id": id_, "inputs": "b", "targets": "no"},
        "target": "no",
        "arguments": {"gen_args_0": {"arg_0": "b", "arg_1": {"until": ["\n\n"]}}},
        "resps": [[f" {text} "]],
        "filtered_resps": [text],
        "filter": filter_,
        "metrics": ["exact_match"],
        "doc_hash": "0" * 64,
        "exact_match": 0.0,
    }


FORMATS = [ours, tk_instruct, released, harness]


def write(path: Path, records: list[dict[str, Any]]) -> AnyPath:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return AnyPath(path)


@pytest.mark.parametrize("form", FORMATS)
def test_each_format_is_read_by_line_and_as_one_list(form: Any, tmp_path: Path) -> None:
    records = [form(id_, text) for id_, text in ANSWERS.items()]
    path = write(tmp_path / "p.jsonl", records)
    found = read_predictions(path)
    assert {id_: prediction.text for id_, prediction in found.items()} == ANSWERS
    assert found["task1-b"].where == f"{path}:2"
    path.write_text("\ufeff\n" + json.dumps(records, indent=1), encoding="utf-8")
    found = read_predictions(path)
    assert {id_: prediction.text for id_, prediction in found.items()} == ANSWERS
    assert found["task1-b"].where == f"{path}: item 2"


def test_positions_are_read_as_ids(tmp_path: Path) -> None:
    records = [{"task": "task1", "index": k, "prediction": str(k)} for k in (0, 12)]
    found = read_predictions(write(tmp_path / "p.jsonl", records))
    assert {id_: each.text for id_, each in found.items()} == {"task1-0": "0", "task1-12": "12"}
    records[1]["index"] = -1
    assert "p.jsonl:2: index is -1 but must be" in message(tmp_path / "p.jsonl", *records)
    records[1]["index"] = 0
    assert "p.jsonl:2: id 'task1-0' was predicted on" in message(tmp_path / "p.jsonl", *records)


def message(path: Path, *records: dict[str, Any]) -> str:
    with pytest.raises(UserError) as caught:
        read_predictions(write(path, list(records)))
    found = str(caught.value)
    assert "\n" not in found
    return found


def test_another_format_is_refused_in_a_line_that_names_those_that_are_read(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    openai = {"custom_id": "task1-a", "response": {"body": {}}}
    assert message(path, openai) == (
        f'{path}:1: {{"custom_id", "response"}} is no format of predictions; the formats that are '
        f"read are {FORMATS_READ}"
    )


@pytest.mark.parametrize("other", [form for form in FORMATS if form is not ours])
def test_two_formats_in_one_file_are_refused(other: Any, tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    found = message(path, ours("task1-a", "yes"), other("task1-b", "no"))
    assert found.startswith(f"{path}:2: of another format than the lines before")


def test_samples_of_the_harness_without_ids_or_texts(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    sample = harness("task1-a", "yes")
    without = {**sample, "doc": {"question": "b"}}
    assert "doc.id is missing; " in (found := message(path, without))
    assert "doc_id is a position, by which ids cannot be told" in found
    numbered = {**sample, "doc": {"id": 7}}
    assert "doc.id is 7 but must be a string; " in message(path, numbered)
    ranked = {**sample, "filtered_resps": [["-3.5", "False"], ["-0.5", "True"]]}
    assert "2 likelihoods, and doc.options must have as many options but has 0; " in (
        message(path, ranked)
    )
    repeated = {**sample, "filtered_resps": ["yes", "no"]}
    assert "one text (a task of generate_until)" in message(path, repeated)


def test_the_likeliest_option_is_what_the_harness_predicts(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"

    def ranked(*found: list[Any]) -> dict[str, Any]:
        doc = {"id": "a", "options": ["yes", "no", "maybe"]}
        return {**harness("a", ""), "doc": doc, "filtered_resps": list(found)}

    for values, answer in {
        (-3.5, -0.5, -7): "no",
        ("-3.5", "-10", "-0.25"): "maybe",  # as numbers, not as texts
        ("-inf", "-2", "-2"): "no",
        (-1e9, "-1e-9", 0): "maybe",
    }.items():
        line = ranked(*([value, "False"] for value in values))
        assert read_predictions(write(path, [line]))["a"].text == answer
    assert "filtered_resps[1]" in message(path, ranked([-1, False], ["nan", False], [-2, True]))
    assert "not a number" in message(path, ranked([-1, False], ["no", False], [-2, True]))
    assert "filtered_resps" in message(path, ranked([-1, False], [], [-2, True]))
    assert "one text, or likelihoods alone" in message(path, ranked([-1, 0], [-1, 0], "no"))
    assert "has 2 likelihoods, and doc.options" in message(path, ranked([-1, 0], [-1, 0]))


def test_samples_of_several_filters_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    samples = [harness("task1-a", "yes", name) for name in ("strict-match", "flexible-extract")]
    assert message(path, *samples) == (
        f"{path}:2: the answers of filter 'flexible-extract', after those of 'strict-match'; keep "
        'the lines of one, as by `grep \'"filter": "flexible-extract"\'`'
    )
    samples[1]["doc"]["id"] = "task1-b"
    samples[1]["filter"] = "strict-match"
    assert len(read_predictions(write(path, samples))) == 2


# What others have released: folders of systems

REFERENCES = [
    {"id": id_, "references": ["yes"], "task_id": "task1", "task_category": "Nothing"}
    for id_ in ANSWERS
]
DEFAULT = [
    "copy_demo",
    "copy_input",
    "gpt3/davinci",
    "gpt3/text-davinci-001",
    "t0-11b",
    "t5-xxl-lm-adapt",
    "tk-instruct-11b-def-pos",
    "tk-instruct-3b-def-pos",
]
XLINGUAL = [*DEFAULT[:4], "mtk-instruct-3b-def-pos"]


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """The folder of 13 systems in Tk-Instruct's layout, each with answers of its own."""
    for number, (track, system) in enumerate(
        [("default", name) for name in DEFAULT] + [("xlingual", name) for name in XLINGUAL]
    ):
        folder = tmp_path / "output" / track / system
        folder.mkdir(parents=True)
        form = tk_instruct if number % 2 else released
        texts = ["yes" if k < number % 4 else "no" for k in range(3)]
        lines = [form(id_, text) for id_, text in zip(ANSWERS, texts, strict=True)]
        write(folder / "predicted_examples.jsonl", lines)
    return tmp_path / "output"


@pytest.fixture
def references(tmp_path: Path) -> str:
    return f"--references={write(tmp_path / 'references.jsonl', REFERENCES)}"


def test_folders_of_released_systems(
    output: Path, references: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Compared, reported and shown by their folders' names."""
    default = output / "default"
    assert cli.main(["compare", str(default), references, "--json=-"]) == 0
    (side,) = json.loads(capsys.readouterr().out)["comparisons"]
    assert list(side["systems"]) == DEFAULT
    scores = [round(of["value"]) for of in side["systems"].values()]
    assert scores == [0, 33, 67, 100, 0, 33, 67, 100]

    systems = [default / "gpt3" / "davinci", default / "copy_demo" / "predicted_examples.jsonl"]
    assert cli.main(["report", *map(str, systems)]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    rows = {words[0]: words[1] for words in lines if len(words) > 1}
    assert (rows["davinci"], rows["copy_demo"]) == ("66.67", "0.00")
    assert cli.main(["report", f"mine={systems[0]}", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["run"] == "mine"
    assert cli.main(["show", "predictions", str(systems[0]), "-n1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["prediction"] == "yes"

    assert cli.main(["report", f"mine={default}"]) == 2
    assert "holds 8 systems, and a name is for one; leave" in capsys.readouterr().err
    assert cli.main(["report", str(output)]) == 2  # those of the other track were not evaluated
    assert "xlingual/copy_demo/predicted_examples.jsonl has no sc" in capsys.readouterr().err


def test_released_systems_are_evaluated_each(
    output: Path, references: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["evaluate", f"--predictions={output / 'default'}", references]
    assert cli.main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    names = [name.rpartition("/")[2] for name in DEFAULT]
    assert [line for line in lines if line in names] == names
    assert len(list(output.rglob("*.scores.parquet"))) == len(DEFAULT)
    assert cli.main([*command, "--json=-"]) == 2
    assert "--json=- is one file for 8 systems; leave it out" in capsys.readouterr().err
    command = ["evaluate", f"--predictions={output / 'default' / 'gpt3' / 'davinci'}", references]
    assert cli.main([*command, "--json=-"]) == 0
    assert json.loads(capsys.readouterr().out)["exact_match"] == 66.6667


def test_systems_of_both_tracks_are_called_by_track(output: Path) -> None:
    named = named_apart([str(output)])
    names = [f"default/{name}" for name in DEFAULT] + [f"xlingual/{name}" for name in XLINGUAL]
    assert list(named) == names
    named = named_apart([str(output / "default"), str(output / "xlingual" / "copy_demo")])
    assert list(named) == ["default/copy_demo", *DEFAULT[1:], "xlingual/copy_demo"]
