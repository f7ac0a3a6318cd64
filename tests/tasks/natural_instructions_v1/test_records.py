"""Reading task files: what real files contain is taken, what is broken is refused."""

from pathlib import Path
from typing import Any

import gin
import pytest
from one_task import NAME, TASK, write

from tk_instruct.errors import MissingDataError, UserError
from tk_instruct.tasks.natural_instructions_v1 import records


def test_all_fields(tmp_path: Path) -> None:
    task, instances = records.read_task(write(tmp_path, **{"Things to Avoid": "-"}))
    assert (task.name, task.title) == (NAME, "Colours")
    assert task.definition == TASK["Definition"]
    assert task.things_to_avoid is None
    assert task.emphasis == "- "
    assert task.category == "question_generation"
    assert task.dataset == "qasc"
    assert task.positive_examples[0].reason == "It says so."
    assert [example.suggestion for example in task.negative_examples] == ["Write blue.", " ", "-"]
    assert instances[5] == records.Instance("Hat 5.", ("colour 5", "other"))


def test_no_negative_examples(tmp_path: Path) -> None:
    for nothing in ([], ["-"]):
        examples = {**TASK["Examples"], "Negative Examples": nothing}
        task, _ = records.read_task(write(tmp_path, Examples=examples))
        assert task.negative_examples == ()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"Prompt": None}, "Prompt is null but must be a string"),
        ({"Instances": []}, "Instances is [] but must be a list that is not empty"),
        ({"Instances": [{"input": "a", "output": []}]}, "Instances[0].output is [] but must be"),
        ({"Instances": [{"input": "a", "output": [3]}]}, "Instances[0].output[0] is 3 but must"),
        ({"Instances": [{"input": "a"}]}, "Instances[0].output is missing"),
        (
            {"Examples": {**TASK["Examples"], "Negative Examples": ["none"]}},
            'Examples.Negative Examples[0] is "none" but',
        ),
        (
            {
                "Examples": {
                    **TASK["Examples"],
                    "Negative Examples": [*TASK["Examples"]["Negative Examples"], "-"],
                }
            },
            'Examples.Negative Examples has "-", which stands for none, beside 3 examples',
        ),
        ({"Examples": {"Positive Examples": []}}, "Examples.Negative Examples is missing"),
    ],
)
def test_broken_files_are_named(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    path = write(tmp_path, **changes)
    with pytest.raises(UserError) as refused:
        records.read_task(path)
    assert str(refused.value).startswith(f"{path}: {said}")
    assert "`tk-instruct tasks doctor ni_v1`" in str(refused.value)


def test_where_the_files_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MissingDataError, match="--ni_v1_data, the gin macro NI_V1_DATA or"):
        records.folder()
    for inside in (".", "tasks", "Dataset_Jsons"):
        root = tmp_path / inside.strip(".") / "root"
        write(root / inside)
        monkeypatch.setenv(records.DATA_VARIABLE, str(root))
        assert list(records.files()) == [NAME]
    gin.bind_parameter("NaturalInstructionsV1.data", str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match="nowhere is not a directory"):
        records.files()
    write(tmp_path / "other", name="subtask040_qasc")
    gin.bind_parameter("NaturalInstructionsV1.data", str(tmp_path / "other"))
    with pytest.raises(UserError, match="has no task file of Natural Instructions v1, such as"):
        records.files()


def test_the_real_files(shared_data: Path) -> None:
    gin.bind_parameter("NaturalInstructionsV1.data", str(shared_data / "natural-instructions-v1"))
    tasks = {name: records.read_task(path)[0] for name, path in records.files().items()}
    assert len(tasks) == 24
    without = [name for name, task in tasks.items() if not task.negative_examples]
    assert [name[7:10] for name in without] == ["005", "008"]
