"""`tk-instruct tasks audit`: what it prints and writes, and its exit status."""

from pathlib import Path

import pytest

from tk_instruct import cli
from tk_instruct.audit import findings

COMMAND = ["tasks", "audit", "superni_en_def", "--against", "superni_en_pos2"]


def test_findings_in_a_file(
    on_the_mini_benchmark: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "AUDIT.json"
    assert cli.main([*COMMAND, f"--json={path}", "-n1"]) == 1
    out = capsys.readouterr().out
    assert "superni_en_def:train against superni_en_pos2:test" in out
    assert (
        "task9039_mini_scene_title            60        8  13.3%          8           0\n"
        in out
    )
    audit = findings.read(path)
    assert sum(task.flagged for task in audit.tasks) == sum(map(len, audit.flagged().values()))
