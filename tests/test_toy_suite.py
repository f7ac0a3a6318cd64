"""The contract of a suite: a package beside this one gets every verb, and faults are told."""

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tk_instruct import configuration, suite
from tk_instruct.errors import UserError
from tk_instruct.suite import Flag, Suite

TOY = Path(__file__).parent / "toy_suite"
# Runs one verb after another in one process, each as if it were the first.
DRIVER = """
import contextlib, io, json, sys
import gin
from tk_instruct import cli

for arguments in json.load(sys.stdin):
    gin.clear_config()
    output, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        status = cli.main(arguments)
    said = {"status": status, "output": output.getvalue(), "errors": errors.getvalue()}
    print(json.dumps(said), flush=True)
"""


def install(folder: Path, package: str, suite_of: str = "SUITE") -> None:
    """What pip would write of a package's entry point."""
    about = folder / f"{package}-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(
        f"[{suite.ENTRY_POINTS}]\n{package} = {package}:{suite_of}\n"
    )


def test_a_package_beside_this_one_gets_every_verb(tmp_path: Path, tiny_recipe: list[str]) -> None:
    packages, sums, run = tmp_path / "packages", tmp_path / "sums", tmp_path / "run"
    install(packages, "toy_suite")
    shutil.copytree(TOY, packages / "toy_suite")
    macros = {
        "VOCABULARY": "bytes",
        "MIXTURE_OR_TASK_NAME": "toy_sums",
        "TASK_FEATURE_LENGTHS": {"inputs": 24, "targets": 4},
        "TOY_DIR": sums,
        "MODEL_DIR": run,
        "TRAIN_STEPS": 2,
        "EVAL_PERIOD": 0,
    }
    recipe = [*tiny_recipe, *(f"--gin.{name}={value}" for name, value in macros.items())]
    data = [f"--toy_dir={sums}", "--vocabulary=bytes"]
    first = tmp_path / "first"
    predictions = {
        run: run / "predictions" / "toy_sums-test-2.jsonl",
        first: first / "predictions" / "toy_sums-test-0.jsonl",
    }
    baseline = ["--baseline=first_number", "--task=toy_sums", f"--output_dir={first}"]
    evaluate = ["evaluate", "--suite=toy", *data]
    commands = {
        "mini": ["mini", str(sums), "--suite=toy", "--most=3"],
        "doctor": ["tasks", "doctor", "toy", *data],
        "list": ["tasks", "list", "toy*"],
        "show": ["tasks", "show", "toy_sums", "-n=1", *data],
        "stats": ["tasks", "stats", "toy_sums", "--json", *data],
        "export": ["tasks", "export", "toy*", f"--toy_dir={sums}", "--output=-"],
        "train": ["train", *recipe],
        "predict": ["predict", f"--model_dir={run}"],  # which knows where its data is
        "baseline": ["predict", *baseline, *data],
        **{
            f"evaluate {of.name}": [
                *evaluate,
                f"--predictions={predicted}",
                f"--json={of / 'scores' / predicted.with_suffix('.json').name}",
            ]
            for of, predicted in predictions.items()
        },
        "report": ["report", str(run), str(first)],
        "compare": ["compare", str(first), str(run), "--suite=toy", f"--toy_dir={sums}"],
    }
    said = drive(packages, commands)
    assert {name: one["errors"] for name, one in said.items() if one["status"]} == {}
    output = {name: one["output"] for name, one in said.items()}
    assert output["doctor"] == "0 of 16 sums are wrong\n"
    assert output["list"].split()[2:] == ["toy_sums", "task"]
    assert "What is 0+0?\ntarget  0\n" in output["show"]
    exported = json.loads(output["export"].splitlines()[0])
    assert list(exported.values()) == ["train-0", "toy_sums", "What is 0+0?", "0"]
    counted = [json.loads(line) for line in output["stats"].splitlines()]
    assert [(one["split"], one["instances"]) for one in counted] == [("train", 8), ("test", 8)]
    for predicted in predictions.values():
        rows = [json.loads(line) for line in predicted.read_text().splitlines()]
        assert [row["id"] for row in rows] == [f"test-{k}" for k in range(8)]
    # Of 0+1, 0+3, 1+0, … the first number is right where 0 is added to it.
    [table] = output["report"].strip().split("\n\n")
    assert table.splitlines()[0] == "toy_sums, per cent"
    assert table.splitlines()[1].split() == ["run", "test", "right"]
    # 25 ± t · 100 · √(¼ · ¾ / 7), with Student's t of 7 degrees of freedom, 2.3646, cut at 0.
    assert table.splitlines()[-2:] == [
        "first                    25.00",
        "  95 % interval  0.00 to 63.70",
    ]
    assert "95 % interval" in output["evaluate first"]
    assert (first / "predictions" / "toy_sums-test-0.scores.parquet").exists()
    assert "accuracy; 8 instances\n" in output["compare"]


def test_the_walk_through_shows_this_suite() -> None:
    shown = (TOY.parents[1] / "docs" / "adding_a_suite.md").read_text(encoding="utf-8")
    files = sorted(TOY.glob("*.py"))
    assert len(files) == 4
    for path in files:
        assert f"```python\n{path.read_text(encoding='utf-8')}```" in shown, path


def drive(packages: Path, commands: dict[str, list[str]]) -> dict[str, Any]:
    """What the commands say, in turn, where the packages are installed."""
    path = os.pathsep.join(filter(None, [str(packages), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-c", DRIVER],
        input=json.dumps(list(commands.values())),
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        check=False,
    )
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(said) == len(commands), done.stderr
    return dict(zip(commands, said, strict=True))


def found_with(
    content: str, folder: Path, monkeypatch: pytest.MonkeyPatch, suite_of: str = "SUITE"
) -> Any:
    """The suites where a package with this content is installed too."""
    install(folder, "other_suite", suite_of)
    (folder / "other_suite.py").write_text(
        f"from tk_instruct.suite import Flag, Suite, TaskForm\n{content}"
    )
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "other_suite", raising=False)
    return suite.suites.__wrapped__()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            'SUITE = Suite("flan", "")',
            "other_suite:SUITE is called 'flan', and another suite is too; rename one of them",
        ),
        (
            "import a_module_that_is_not_there",
            "the suite other_suite:SUITE cannot be imported (ModuleNotFoundError: No module named "
            "'a_module_that_is_not_there'); repair or remove the package that has it",
        ),
        (
            "1 / 0",
            "the suite other_suite:SUITE cannot be imported (ZeroDivisionError: division by zero)",
        ),
        (
            "",
            "the suite other_suite:SUITE cannot be imported (AttributeError: module 'other_suite' "
            "has no attribute 'SUITE')",
        ),
        ("SUITE = 7", "other_suite:SUITE is a int; it must be a tk_instruct Suite"),
        (
            'SUITE = Suite("other", "", flags=(Flag("data_dir", "A.b", ""),))',
            "the suites other and superni both have the flag --data_dir; rename it in one of them",
        ),
        (
            'SUITE = Suite("zoo", "", flags=(Flag("zoo", "A.b", "", macro="DATA_DIR"),))',
            "the suites superni and zoo both have the gin macro DATA_DIR; rename it in one of them",
        ),
        (
            'SUITE = Suite("zoo", "", evaluations={"flan": "zoo"})',
            "the suites flan and zoo both have the evaluation flan; rename it in one of them",
        ),
        (
            'SUITE = Suite("zoo", "", task_forms={"ni_v1": TaskForm("zoo")})',
            "the suites ni_v1 and zoo both have the form ni_v1 of task files; rename it in one of "
            "them",
        ),
    ],
)
def test_a_suite_that_does_not_fit_is_told(
    content: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError) as caught:
        found_with(content, tmp_path, monkeypatch)
    assert message in str(caught.value)


def test_a_suite_that_fits_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = (
        'SUITE = Suite("other", "mine", baselines={"copy_demo": "zoo"})'  # superni has one too
    )
    found = found_with(content, tmp_path, monkeypatch)
    assert found["other"].summary == "mine"


def test_a_flag_of_the_verbs_own_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    other = Suite("other", "", flags=(Flag("seed", "A.b", ""),))
    monkeypatch.setattr(suite, "suites", lambda: {"other": other})
    with pytest.raises(UserError) as caught:
        configuration.add_data_arguments(argparse.ArgumentParser())
    assert str(caught.value) == (
        "the suite other has the flag --seed, which is one of tk-instruct's own; rename it in the "
        "suite"
    )
