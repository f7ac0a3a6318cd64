"""A file of version 1 as a task file of version 2, from which it can be made again."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tk_instruct import cli
from tk_instruct.convert_tasks.findings import ORIGINALS
from tk_instruct.tasks.natural_instructions_v1 import mini
from tk_instruct.tasks.natural_instructions_v1.task_files import ORIGINAL
from tk_instruct.tasks.superni import doctor
from tk_instruct.tasks.superni.records import read_task

TEXT_FIELDS = ("Title", "Prompt", "Definition", "Things to Avoid", "Emphasis & Caution")
TEXTS = st.text() | st.sampled_from(["-", "- ", " "])
# What real tasks are themselves, which no conversion changes.
OF_THE_TASKS = {
    "under 15 distinct outputs are balanced, normalised entropy over 0.8",
    "at least 2 positive examples and 1 negative",
}


def convert(folder: Path, *files: Path) -> dict[str, dict[str, Any]]:
    words = [*map(str, files), f"--output={folder}"]  # the form is known by the fields
    assert cli.main(["convert-tasks", *words]) == 0
    paths = sorted((folder / "tasks").iterdir())
    return {path.stem: json.loads(path.read_bytes()) for path in paths}


def rebuilt(task: dict[str, Any]) -> dict[str, Any]:
    """The content of the file of version 1 that the task was made of."""
    original = dict(task[ORIGINAL])
    examples = {
        kind: [
            {"reason" if key == "explanation" else key: text for key, text in example.items()}
            for example in task[kind]
        ]
        for kind in ("Positive Examples", "Negative Examples")
    } | original.pop("Examples", {})
    by_number = {
        int(each["id"].rpartition("-")[2]): {"input": each["input"], "output": each["output"]}
        for each in [*task["Instances"], *task.get(ORIGINALS, [])]
    }
    instances = [by_number[k] for k in range(len(by_number))]
    return original | {"Examples": examples, "Instances": instances}


@pytest.fixture
def files(shared_data: Path) -> list[Path]:
    return sorted((shared_data / "natural-instructions-v1" / "tasks").glob("*.json"))


def test_real_files_lose_nothing(files: list[Path], tmp_path: Path) -> None:
    made = convert(tmp_path, *files)
    assert len(made) == 24
    for path in files:
        assert rebuilt(made[path.stem]) == json.loads(path.read_bytes())


def test_real_files_are_well_but_for_what_the_tasks_are(files: list[Path], tmp_path: Path) -> None:
    convert(tmp_path, *files)
    found = doctor.check(tmp_path)  # type: ignore[arg-type]
    assert {finding.rule for finding in found} == OF_THE_TASKS
    assert len({finding.file for finding in found}) == 7


def test_a_real_task_is_the_one_of_version_2(files: list[Path], tmp_path: Path) -> None:
    name = "subtask039_qasc_find_overlapping_words"
    (path,) = (path for path in files if path.stem == name)
    made = convert(tmp_path, path)[name]
    theirs = path.parents[2] / "natural-instructions" / "tasks"
    real = json.loads((theirs / f"{name.removeprefix('sub')}.json").read_bytes())
    for field in ("Definition", "Source", "Input_language", "Positive Examples"):
        assert made[field] == real[field]
    for ours, other in zip(made["Negative Examples"], real["Negative Examples"], strict=True):
        assert ours == other | {"suggestion": ours["suggestion"]}
    assert made["Categories"] == ["Verification"]


def test_synthetic_files_lose_nothing_and_are_read(tmp_path: Path) -> None:
    tree = mini.write(tmp_path / "v1") / "tasks"
    made = convert(tmp_path / "v2", *sorted(tree.iterdir()))
    assert len(made) == 27
    for name, task in made.items():
        assert rebuilt(task) == json.loads((tree / f"{name}.json").read_bytes())
        spec, instances = read_task(tmp_path / "v2" / "tasks" / f"{name}.json")
        assert spec.definition == task["Definition"][0]
        assert len(instances) == len(task["Instances"])


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    fields=st.fixed_dictionaries(dict.fromkeys(TEXT_FIELDS, TEXTS)),
    positive=st.lists(st.fixed_dictionaries(dict.fromkeys(("input", "output", "reason"), TEXTS))),
    negative=st.just(["-"])
    | st.lists(
        st.fixed_dictionaries(dict.fromkeys(("input", "output", "reason", "suggestion"), TEXTS))
    ),
    instances=st.lists(
        st.fixed_dictionaries({"input": TEXTS, "output": st.lists(TEXTS, min_size=1)}), min_size=1
    ),
)
def test_any_file_loses_nothing(
    tmp_path_factory: pytest.TempPathFactory,
    fields: dict[str, str],
    positive: list[Any],
    negative: list[Any],
    instances: list[Any],
) -> None:
    # A definition, and an instance that is no example, must be there.
    fields["Prompt"] += "Do."
    instances.append({"input": "".join(each["input"] for each in positive) + "!", "output": ["x"]})
    examples = {"Positive Examples": positive, "Negative Examples": negative}
    file = fields | {"Examples": examples, "Instances": instances, "Further": [1.5, None]}
    folder = tmp_path_factory.mktemp("any")
    path = folder / "subtask001_any.json"
    path.write_text(json.dumps(file))
    (task,) = convert(folder, path).values()
    assert rebuilt(task) == file
    read_task(folder / "tasks" / path.name)


@pytest.mark.parametrize(
    ("fields", "definition"),
    [
        ((" Do. ", "Not so.", "Yes!"), "Do. Not so. Yes!"),
        (("Do.", "-", "- "), "Do."),
        (("-", "Not so.", "-"), "Not so."),
        (("-", "-", "-"), "Ask."),
    ],
)
def test_definitions(fields: tuple[str, ...], definition: str, tmp_path: Path) -> None:
    file = {
        **dict(zip(TEXT_FIELDS, ("Title", "Ask.", *fields), strict=True)),
        "Examples": {"Positive Examples": [], "Negative Examples": ["-"]},
        "Instances": [{"input": "a", "output": ["b"]}],
    }
    path = tmp_path / "of_mine.json"
    path.write_text(json.dumps(file))
    task = convert(tmp_path, path)["of_mine"]
    assert task["Definition"] == [definition]
    assert (task["Categories"], task["Source"]) == (["Miscellaneous"], [])


def test_other_files_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.json"
    nothing = dict.fromkeys(TEXT_FIELDS, "-")
    for file, message in (
        ({}, "Title is missing"),
        (
            nothing
            | {
                "Examples": {"Positive Examples": [], "Negative Examples": []},
                "Instances": [{"input": "a", "output": ["b"]}],
            },
            "Definition, Prompt and Title say nothing; write what is to be done into one",
        ),
    ):
        path.write_text(json.dumps(file))
        words = ["convert-tasks", str(path), "--from=ni_v1", f"--output={tmp_path / 'out'}"]
        assert cli.main(words) == 2
        assert f"error: {path}: {message}" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
