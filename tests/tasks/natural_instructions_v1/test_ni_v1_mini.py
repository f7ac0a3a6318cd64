"""The synthetic task files."""

from pathlib import Path

import pytest

from tk_instruct import cli
from tk_instruct.tasks.natural_instructions_v1 import mini, records
from tk_instruct.tasks.natural_instructions_v1.splits import collection, task_splits


def test_files_are_whole_and_the_same_each_time(
    ni_v1_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["mini", str(tmp_path / "a"), "--suite", "ni_v1"]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'a'}\n"
    written = sorted((tmp_path / "a" / "tasks").iterdir())
    assert [path.read_bytes() for path in written] == [
        path.read_bytes() for path in sorted((ni_v1_dir / "tasks").iterdir())
    ]
    names = {path.stem for path in written}
    assert set(task_splits()["random"].unseen) < names < set(collection())
    assert mini.write(tmp_path / "a") == tmp_path / "a"  # again, which changes nothing


def test_answers_follow_from_inputs(ni_v1_dir: Path) -> None:
    for path in (ni_v1_dir / "tasks").iterdir():
        task, instances = records.read_task(path)
        if task.category in ("answer_generation", "verification"):
            assert all(instance.outputs[0] in instance.input for instance in instances)
        if task.category == "incorrect_answer_generation":
            scenes = [instance.input.partition("\n")[0] for instance in instances]
            assert all(
                instance.outputs[0] not in scene
                for instance, scene in zip(instances, scenes, strict=True)
            )
