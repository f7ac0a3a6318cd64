"""`tasks doctor ni_v1`: what is there, what is missing, broken or odd."""

import json
from pathlib import Path

import pytest
from one_task import NAME, TASK, write

from tk_instruct import cli


def test_real_and_synthetic_files_are_read(
    ni_v1_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["tasks", "doctor", "ni_v1", "--ni_v1_data", str(ni_v1_dir)]) == 1
    said = capsys.readouterr().out
    assert "34 of the 61 tasks have no file, 0 of them among the twelve that the random" in said
    assert "fewer than 100 instances are evaluated, by our rule: 053 (29)" in said
    assert "emphasis says nothing, and yet stands in prompts: 003 ('- ')" in said


def test_faults_and_oddities(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    instances = [*TASK["Instances"][:160], {"input": "Hat 0.", "output": [" "]}]
    instances[60] = {"input": "A red hat.", "output": ["red"]}
    write(tmp_path, Instances=instances)
    write(tmp_path, name="subtask001_quoref_question_generation", Prompt=7)
    write(tmp_path, name="subtask040_qasc_question")
    write(tmp_path, name="mine")
    assert cli.main(["tasks", "doctor", "ni_v1", f"--ni_v1_data={tmp_path}", "--json"]) == 1
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    faults = {each["file"]: each for each in found if "file" in each}
    broken = faults["subtask001_quoref_question_generation.json"]
    assert broken["value"] == "Prompt is 7 but must be a string"
    assert "rename it to subtask040" in faults["subtask040_qasc_question.json"]["repair"]
    assert faults["mine.json"]["value"] == "is not one of the 61 tasks"
    present = next(each for each in found if each.get("task") == NAME)
    assert {note["about"]: note["value"] for note in present["notes"]} == {
        "not the released instances": "161 for 6,500",
        "emphasis says nothing, and yet stands in prompts": "'- '",
        "instances stand for positive examples, of 2 a prompt": "1",
        "instances with an empty output": "160",
        "instances whose input an instance before them has": "1",
        "evaluated instances that are positive examples too": "60",
    }
    assert sum("unseen_in" in each for each in found) == 59
