"""Generated data and the user-oriented instructions as SeqIO tasks."""

import json
import math
from pathlib import Path
from typing import Any

import gin
import pytest
import seqio

from tk_instruct import cli
from tk_instruct.data import registry
from tk_instruct.data.tokens import FeatureLengths
from tk_instruct.errors import MissingDataError, UserError
from tk_instruct.files import Path as AnyPath
from tk_instruct.tasks.self_instruct import mixtures  # noqa: F401  (declares to SeqIO)
from tk_instruct.tasks.self_instruct.settings import SelfInstructData
from tk_instruct.tasks.self_instruct.training_data import read_training_data
from tk_instruct.tasks.self_instruct.user_oriented import UserOriented, read_user_oriented

LENGTHS = FeatureLengths(512, 128)
USER_ORIENTED = [
    {
        "id": "user_oriented_task_0",
        "motivation_app": "Grammarly",
        "instruction": "Correct the text.",
        "instances": [{"input": "Helo", "output": "Hello"}],
    },
    {
        "id": "user_oriented_task_1",
        "motivation_app": "Gmail",
        "instruction": "Write to my friends. ",
        "instances": [{"input": "", "output": "Dear friends,"}],
    },
]


def row(number: int, part: int = 0) -> dict[str, Any]:
    return {
        "id": f"machine-{number:06}-00-{part}",
        "task": f"machine-{number:06}-00",
        "instruction": f"Do it {number} times.",
        "input": "",
        "output": f"done {part}",
        "prompt": f"Do it {number} times.\n\nOutput:",
        "completion": f" done {part}",
    }


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def _in_bytes() -> None:
    gin.bind_parameter("vocabulary.name", "bytes")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run's directory with 250 instructions, 2 instances each."""
    rows = [row(number, part) for number in range(250) for part in range(2)]
    write(tmp_path / "run" / "prepared" / "train.jsonl", rows)
    gin.bind_parameter("SelfInstructData.path", str(tmp_path / "run"))
    return tmp_path / "run"


@pytest.fixture
def user_oriented(tmp_path: Path) -> Path:
    path = write(tmp_path / "user_oriented_instructions.jsonl", USER_ORIENTED)
    gin.bind_parameter("SelfInstructData.user_oriented", str(path))
    return path


def read(name: str, split: str) -> list[dict[str, Any]]:
    return list(registry.get(name).examples(split, LENGTHS))


def test_inputs_and_targets(run: Path) -> None:
    by_id = {example["id"]: example for example in read("self_instruct", "train")}
    example = by_id["machine-000003-00-1"]
    assert example["inputs_pretokenized"] == "Do it 3 times.\n\nOutput:"
    assert example["targets_pretokenized"] == "done 1"
    assert example["task"] == "machine-000003-00"
    vocabulary = seqio.ByteVocabulary()
    assert vocabulary.decode(example["inputs"][:-1].tolist()) == "Do it 3 times.\n\nOutput:"
    assert example["targets"].tolist() == [*vocabulary.encode("done 1"), vocabulary.eos_id]


def test_no_instruction_is_on_both_sides(run: Path) -> None:
    sides = {split: read("self_instruct", split) for split in ("train", "validation")}
    tasks = {split: {example["task"] for example in found} for split, found in sides.items()}
    assert len(tasks["validation"]) == math.ceil(250 / 100)
    assert not tasks["train"] & tasks["validation"]
    assert len(sides["train"]) + len(sides["validation"]) == 500
    before = tasks["validation"]
    gin.bind_parameter("SelfInstructData.seed", 1)
    assert {example["task"] for example in read("self_instruct", "validation")} != before
    gin.bind_parameter("SelfInstructData.validation_share", 0.5)
    assert len(read("self_instruct", "validation")) == 250


def test_the_fingerprint_is_of_all_that_examples_depend_on(run: Path) -> None:
    source = registry.get("self_instruct").source
    found = {source.fingerprint("train"), source.fingerprint("validation")}
    gin.bind_parameter("SelfInstructData.seed", 1)
    found.add(source.fingerprint("train"))
    gin.bind_parameter("SelfInstructData.validation_share", 0.2)
    found.add(source.fingerprint("train"))
    write(run / "prepared" / "train.jsonl", [row(number) for number in range(3)])
    found.add(source.fingerprint("train"))
    assert len(found) == 5
    assert len(read("self_instruct", "train")) == 2  # and the file is read again


def test_where_the_data_may_be(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = run / "prepared"
    for path in (run, folder, folder / "train.jsonl"):
        gin.bind_parameter("SelfInstructData.path", str(path))
        assert SelfInstructData().train_file == AnyPath(folder / "train.jsonl")
    gin.bind_parameter("SelfInstructData.path", None)
    monkeypatch.setenv("TK_INSTRUCT_SELF_INSTRUCT_DATA", str(run))
    assert len(read("self_instruct", "train")) == 2 * 247


def test_missing_data_says_which_flag(tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match="set --self_instruct_data, the gin macro SELF_INST"):
        read("self_instruct", "train")
    with pytest.raises(MissingDataError, match=r"set --user_oriented, or \$TK_INSTRUCT_USER_ORI"):
        read("self_instruct_user_oriented", "test")
    gin.bind_parameter("SelfInstructData.path", str(tmp_path))
    with pytest.raises(MissingDataError, match=r"neither a file nor a run with prepared/train"):
        read("self_instruct", "train")
    gin.bind_parameter("SelfInstructData.user_oriented", str(tmp_path / "no.jsonl"))
    with pytest.raises(MissingDataError, match=r"no.jsonl is no file; correct the path"):
        read("self_instruct_user_oriented", "test")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([row(0), {**row(1), "prompt": None}], "train.jsonl:2: prompt is null but must be a str"),
        (
            [row(0), {"prompt": "a", "completion": "b"}],
            'train.jsonl:2: ["prompt", "completion"] are the fields of no training data; what is',
        ),
        ([{"instruction": "a", "output": 5}], "train.jsonl:1: output is 5 but must be a string"),
        ([{"instruction": "a", "instances": []}], "1: instances is [] but must be a list that"),
        ([row(0), row(1), row(0)], "train.jsonl:3: id 'machine-000000-00-0' is there twice"),
        ([row(0), row(0, 1)], "train.jsonl holds 1 instructions, and one is validated with"),
    ],
)
def test_bad_train_files(rows: list[dict[str, Any]], message: str, run: Path) -> None:
    write(run / "prepared" / "train.jsonl", rows)
    with pytest.raises(UserError) as caught:
        read("self_instruct", "train")
    assert message in str(caught.value)


ALPACA = [
    {"instruction": "Add them.", "input": "1 2", "output": "3", "text": "Below is …"},
    {"instruction": "Say hello. ", "input": "", "output": "Hello"},
    {"instruction": "Say it.", "output": "It"},
    {"id": 7, "instruction": "Say no.", "input": None, "output": "No"},
]
P3 = [
    {
        "idx": [0, number],
        "inputs": [5, 1],
        "inputs_pretokenized": "Is it so?\nYes or no?",
        "targets": [6, 1],
        "targets_pretokenized": f" {choice}",
        "answer_choices": ["Yes", "No"],
        "is_correct": choice == "No",
        "weight": 1.0,
    }
    for number, choice in enumerate(("Yes", "No"))
]
SEED_TASK = {
    "id": "seed_task_0",
    "name": "add",
    "instruction": "Add them.",
    "instances": [{"input": "1 2", "output": "3"}, {"input": "", "output": "0"}],
    "is_classification": False,
}


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        (
            ALPACA,
            [
                ("other-000000", "Add them.\n\nInput: 1 2\nOutput:", "3"),
                ("other-000001", "Say hello.\nOutput:", "Hello"),
                ("other-000002", "Say it.\nOutput:", "It"),
                ("7", "Say no.\nOutput:", "No"),
            ],
        ),
        (
            [*P3, {"inputs_pretokenized": "a", "targets_pretokenized": "b"}],
            [("other-000001", "Is it so?\nYes or no?", " No"), ("other-000002", "a", "b")],
        ),
        (
            [SEED_TASK, ALPACA[2]],
            [
                ("seed_task_0-0", "Add them.\n\nInput: 1 2\nOutput:", "3"),
                ("seed_task_0-1", "Add them.\nOutput:", "0"),
                ("other-000001", "Say it.\nOutput:", "It"),
            ],
        ),
    ],
    ids=["alpaca", "p3", "seed_tasks"],
)
def test_records_that_others_have_written(
    records: list[dict[str, Any]], expected: list[tuple[str, str, str]], tmp_path: Path
) -> None:
    path = write(tmp_path / "other.json", records)
    found = [example for _, example in read_training_data(AnyPath(path))]
    assert [(e.id, e.prompt, e.completion) for e in found] == expected
    path.write_text(json.dumps(records, indent=2))
    assert [e for _, e in read_training_data(AnyPath(path))] == found
    gin.bind_parameter("SelfInstructData.path", str(path))
    split = {
        example["id"]: example
        for side in ("train", "validation")
        for example in read("self_instruct", side)
    }
    assert {
        (id_, e["inputs_pretokenized"], e["targets_pretokenized"]) for id_, e in split.items()
    } == {(id_, text, completion.strip()) for id_, text, completion in expected}


def test_prompts_of_the_user_oriented_instructions(user_oriented: Path) -> None:
    corrected, written = read("self_instruct_user_oriented", "test")
    assert corrected["inputs_pretokenized"] == "Correct the text.\n\nInput: Helo\nOutput:"
    assert written["inputs_pretokenized"] == "Write to my friends.\nOutput:"
    assert (corrected["references"], corrected["category"]) == (["Hello"], "Grammarly")
    assert (written["id"], written["task"]) == ("user_oriented_task_1", "user_oriented_task_1")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"motivation_app": 1}, "jsonl:2: motivation_app is 1 but must be a string; correct"),
        ({"instances": []}, "jsonl:2: instances is [] but must be a list that is not empty"),
        ({"instances": ["a"]}, 'jsonl:2: instances[0] is "a" but must be an object'),
        ({"instances": [{"input": "a"}]}, "jsonl:2: instances[0].output is missing"),
        ({"id": "user_oriented_task_0"}, "jsonl:2: id 'user_oriented_task_0' is there twice"),
    ],
)
def test_bad_user_oriented_files(fields: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [USER_ORIENTED[0], {**USER_ORIENTED[1], **fields}])
    with pytest.raises(UserError) as caught:
        read_user_oriented(AnyPath(path))
    assert message in str(caught.value)


def test_several_instances_have_an_id_each(tmp_path: Path) -> None:
    instances = [{"input": "", "output": text} for text in "ab"]
    path = write(tmp_path / "a.jsonl", [{**USER_ORIENTED[0], "instances": instances}])
    found = read_user_oriented(AnyPath(path))
    assert found[1] == UserOriented(
        "user_oriented_task_0-1", "user_oriented_task_0", "Grammarly", "Correct the text.", "", "b"
    )


def test_seqio_scores_against_the_references(user_oriented: Path) -> None:
    task = seqio.TaskRegistry.get("self_instruct_user_oriented")
    lengths = {"inputs": 512, "targets": 128}
    dataset = task.get_dataset(lengths, "test", shuffle=False, try_in_mem_cache=False)
    targets = [
        task.postprocess_fn(
            example["targets_pretokenized"].decode(), example=example, is_target=True
        )
        for example in dataset.as_numpy_iterator()
    ]
    scores: dict[str, float] = {}
    for metric in task.metric_fns:
        scores |= metric(targets, ["Hello", "Dear"])
    assert scores["accuracy"] == 50
    assert scores["rougeLsum"] == pytest.approx(100 * (1 + 2 / 3) / 2)


def test_the_verb_tasks_knows_them(
    run: Path, user_oriented: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--vocabulary", "bytes", "--self_instruct_data", str(run)]
    given += ["--user_oriented", str(user_oriented)]
    assert cli.main(["tasks", "show", "self_instruct", "-n", "1", *given]) == 0
    assert "times.\n\nOutput:\ntarget  done" in capsys.readouterr().out
    assert cli.main(["tasks", "stats", "self_instruct", *given]) == 0
    assert "self_instruct / train: 247 tasks, 494 instances" in capsys.readouterr().out
    assert cli.main(["tasks", "stats", "self_instruct_user_oriented", "--json", *given]) == 0
    counted = json.loads(capsys.readouterr().out)
    assert counted["split"] == "test"
    assert counted["categories"] == {"Gmail": 1, "Grammarly": 1}


def test_the_published_user_oriented_instructions(shared_data: Path) -> None:
    path = shared_data / "self-instruct" / "human_eval" / "user_oriented_instructions.jsonl"
    gin.bind_parameter("SelfInstructData.user_oriented", str(path))
    found = read("self_instruct_user_oriented", "test")
    assert len(found) == len({example["id"] for example in found}) == 252
    assert sum("\n\nInput: " in example["inputs_pretokenized"] for example in found) == 208
    assert len({example["category"] for example in found}) == 71
