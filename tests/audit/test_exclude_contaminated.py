"""`evaluate --exclude_contaminated`: scores on the flagged instances and on the others."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tk_instruct import cli, scored_instances
from tk_instruct.audit import findings

TASK, FEW = "superni_en_def", "--max_instances_per_eval_task=20"


@pytest.fixture(scope="module")
def audited(mini_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The audit of the mini benchmark's train against its test tasks, and a file of predictions."""
    folder = tmp_path_factory.mktemp("audited")
    data = [f"--data_dir={mini_dir}", "--vocabulary=bytes", FEW]
    audit, output = folder / "audit.json", folder / "predictions.jsonl"
    names = ["tasks", "audit", TASK, "--against", TASK]
    assert cli.main([*names, f"--json={audit}", "--threshold=1", *data]) == 0
    command = ["predict", "--baseline=copy_input", f"--task={TASK}", f"--output={output}"]
    assert cli.main([*command, *data]) == 0
    return audit, output


def in_parts(audited: tuple[Path, Path], mini_dir: Path, report: Path) -> dict[str, Any]:
    audit, output = audited
    command = ["evaluate", f"--predictions={output}", f"--data_dir={mini_dir}", FEW]
    command += [f"--exclude_contaminated={audit}", f"--json={report}"]
    assert cli.main(command) == 0
    found: dict[str, Any] = json.loads(report.read_text())["systems"][output.name]["default"]
    return found


def test_scores_of_the_parts(audited: tuple[Path, Path], mini_dir: Path, tmp_path: Path) -> None:
    found = in_parts(audited, mini_dir, tmp_path / "parts.json")
    flagged = {text.eval_id for text in findings.read(audited[0]).texts}
    rows = scored_instances.read(scored_instances.place_of(audited[1]))
    assert 0 < found["flagged"] == len(flagged) < found["instances"] == len(rows)
    for metric, values in rows.values.items():
        is_flagged = np.array([id_ in flagged for id_ in rows.labels["id"]])
        expected = {
            "all": values.mean(),
            "clean": values[~is_flagged].mean(),
            "flagged": values[is_flagged].mean(),
            "difference": values[is_flagged].mean() - values[~is_flagged].mean(),
        }
        scores = found["scores"][metric]
        assert {name: of["score"] for name, of in scores.items()} == pytest.approx(
            expected, abs=1e-4
        )
        low, high = scores["difference"]["score_ci95"]
        assert low <= scores["difference"]["score"] <= high


def test_an_audit_without_findings(
    audited: tuple[Path, Path], mini_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = json.loads(audited[0].read_text())
    empty = tmp_path / "empty.json"
    empty.write_text(json.dumps(content | {"texts": []}))
    found = in_parts((empty, audited[1]), mini_dir, tmp_path / "parts.json")
    assert found["flagged"] == 0
    assert set(found["scores"]["rougeL"]) == {"all", "clean"}
    other = tmp_path / "other.json"
    texts = [text | {"eval_id": f"no-{text['eval_id']}"} for text in content["texts"]]
    other.write_text(json.dumps(content | {"texts": texts}))
    command = ["evaluate", f"--predictions={audited[1]}", f"--data_dir={mini_dir}", FEW]
    capsys.readouterr()
    assert cli.main([*command, f"--exclude_contaminated={other}"]) == 2
    assert "has flagged is among what is scored" in capsys.readouterr().err
    for flags, message in (
        (["--published"], "--published is of all instances"),
        ([f"--json={audited[0]}"], "is the file of --exclude_contaminated"),
    ):
        assert cli.main([*command, f"--exclude_contaminated={audited[0]}", *flags]) == 2
        assert message in capsys.readouterr().err
