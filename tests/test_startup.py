"""Arguments, names, paths and numbers are checked before anything that takes seconds to import.

The commands of a group run one after another in one fresh Python. How much processor time they take
is measured by benchmarks/startup.py.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tk_instruct import cli

# Prints for each command its exit status, what it has said, and which heavy modules are imported.
RUN = """
import contextlib, io, json, sys
import gin
from tk_instruct import cli

for words in json.loads(sys.argv[1]):
    gin.clear_config()
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            status = cli.main(words)
        except SystemExit as end:
            status = end.code
    heavy = sorted({"jax", "seqio", "tensorflow"} & set(sys.modules))
    print(json.dumps([status, said.getvalue(), heavy]))
"""

TASK = "superni_en_def"
TRAIN = ("train", "--gin_file=recipes/smoke.gin", "--gin.MODEL_DIR=run")
# A recipe without data of its own.
TRAIN_ON_DATA = (
    "train",
    *("--gin_file=models/t5_1_1_tiny.gin", "--gin.MODEL_DIR=run", "--vocabulary=bytes"),
    *("--gin.TRAIN_STEPS=1", "--gin.BATCH_SIZE=8", "--gin.LEARNING_RATE=0.1"),
    "--gin.TASK_FEATURE_LENGTHS={'inputs': 64, 'targets': 16}",
)
PREDICT = ("predict", "--baseline=copy_demo", "--output=out.jsonl", "--vocabulary=bytes")
PLAN = ("plan", "--gin_file=recipes/smoke.gin")


def outcomes(commands: Sequence[Sequence[str]], folder: Path) -> list[Any]:
    run = subprocess.run(
        [sys.executable, "-c", RUN, json.dumps(commands)],
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
    )
    return [json.loads(line) for line in run.stdout.splitlines()]


def test_help(tmp_path: Path) -> None:
    actions = ("list", "show", "stats", "export", "doctor", "prepare")
    suites = ("superni", "flan", "user_oriented")
    commands: list[tuple[str, ...]] = [
        (),
        *((verb,) for verb in cli.VERBS),
        *(("tasks", action) for action in actions),
        *(("evaluate", "--suite", name) for name in suites),
        ("evaluate", "--task", TASK),
        ("mini", "--suite", "flan"),
    ]
    found = outcomes([(*words, "--help") for words in commands], tmp_path)
    for words, (status, said, heavy) in zip(commands, found, strict=True):
        assert (status, heavy) == (0, []), words
        assert said.startswith(" ".join(("usage: tk-instruct", *words[:1])))


@pytest.mark.parametrize(
    "commands",
    [
        {
            ("tasks", "list"): "superni_en_def_pos2  ",
            ("tasks", "list", "superni_enn"): "no task or mixture matches 'superni_enn'",
            ("tasks", "show", "superni_en_deff"): "did you mean 'superni_en_def'?",
            ("tasks", "show", TASK): "no vocabulary is set",
            (
                "tasks",
                "show",
                TASK,
                "--vocabulary=bytes",
            ): "no Super-NaturalInstructions data directory is set",
            ("tasks", "show", TASK, "--vocabulary=bytes", "--data_dir=nowhere"): "not a directory",
            ("tasks", "show", "flan_rte", "--vocabulary=bytes", "--tfds_data_dir=nowhere"): (
                "super_glue/rte:1.0.2 is not in nowhere"
            ),
            ("tasks", "show", TASK, "--gin_file=nowhere.gin"): "nowhere.gin is neither a file",
            ("tasks", "show", TASK, "--import=nowhere"): "No module named 'nowhere'",
            ("tasks", "stats", "superni_en_deff"): "did you mean 'superni_en_def'?",
            (
                "tasks",
                "export",
                "superni_enn",
                "--output=-",
            ): "no task or mixture matches 'superni_enn",
            ("tasks", "export", TASK, "--output=-", "--data_dir=nowhere"): "not a directory",
            ("tasks", "prepare", "flan_rtee"): "did you mean 'flan_rte'?",
            ("tasks", "doctor", "superni", "--data_dir=nowhere"): "nowhere is not a directory",
        },
        {
            (*TRAIN, "--gin_fiel=x"): "unrecognized arguments: --gin_fiel=x",
            (*TRAIN, "--gin_file=nowhere.gin"): "nowhere.gin is neither a file here nor among",
            (*TRAIN, "--gin.TRAIN_STPES=3"): "did you mean TRAIN_STEPS?",
            (*TRAIN, "--gin.MODEL_DIR=gs://a/b", "--gin.TRAIN_STPES=3"): "did you mean TRAIN_ST",
            (*TRAIN, "--gin.BATCH_SIZE=many"): "BATCH_SIZE='many' must be a whole number",
            (*TRAIN, "--gin.TRAIN_STEPS=0"): "TrainRun.steps=0 must be a whole number",
            (*TRAIN, "--gin.optim.adafactor.decay_rate=7"): "decay_rate=7.0 must be in (0, 1]",
            (*TRAIN, "--gin.MIXTURE_OR_TASK_NAME=superni_en_deff"): "did you mean 'superni_en_de",
            (*TRAIN, "--gin.MODEL_DIR=file"): "file/lock: cannot be written",
            (*TRAIN, "--gin.INITIAL_CHECKPOINT_PATH=nowhere"): "nowhere is no folder that can be",
            (*TRAIN, "--gin.VOCABULARY=nowhere.model"): "'nowhere.model' is neither a file nor",
            (*TRAIN, "--gin.VOCAB_SIZE=64"): "VOCAB_SIZE=64 is below the vocabulary's",
            (*TRAIN_ON_DATA, f"--gin.MIXTURE_OR_TASK_NAME={TASK}", "--data_dir=nowhere"): (
                "nowhere is not a directory"
            ),
            (*TRAIN_ON_DATA, "--gin.MIXTURE_OR_TASK_NAME=flan_all", "--tfds_data_dir=nowhere"): (
                "tasks of flan_all have no data"
            ),
        },
        {
            (*PREDICT, "--task=superni_en_deff"): "did you mean 'superni_en_def'?",
            (*PREDICT, f"--task={TASK}", "--data_dir=nowhere"): "nowhere is not a directory",
            ("predict", "--model_dir=nowhere"): "nowhere holds no checkpoints/",
            ("predict", "--model_dir=.", "--task=superni_en_deff"): "did you mean 'superni_en_de",
            ("rank", "--model_dir=nowhere"): "nowhere holds no checkpoints/",
            ("rank", "--model_dir=.", "--examples=nowhere.jsonl"): "nowhere.jsonl: cannot be read",
            ("evaluate", "--suite=flan", "--model_dir=nowhere"): "nowhere holds no checkpoints/",
            ("evaluate", "--predictions=nowhere.jsonl"): "nowhere.jsonl: cannot be read",
            ("evaluate", "--suite=flan", "--predictions=nowhere.jsonl"): "cannot be read",
            ("evaluate", "--task=superni_en_deff", "--predictions=x"): "did you mean 'superni_en",
            ("convert-tasks", "nowhere.csv", "--output=out"): "nowhere.csv: cannot be read",
            ("convert-tasks", "nowhere.csv", "--output=out", "--from=ni_v1"): "cannot be read",
            ("convert-tasks", "file", "--output=out"): "file: its name must end in .csv",
            ("report", "nowhere"): "nowhere is not there; give a run's folder",
            (*PLAN, "--topology=v9:4x4"): "--topology=v9:4x4 must be one of v2, v3",
            (*PLAN, "--topology=cpu:8", "--gin.TRAIN_STPES=3"): "did you mean TRAIN_STEPS?",
        },
    ],
    ids=["tasks", "train", "others"],
)
def test_errors(commands: dict[tuple[str, ...], str], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = outcomes(list(commands), tmp_path)
    for (words, message), (status, said, heavy) in zip(commands.items(), found, strict=True):
        assert message in said, words
        assert (status, heavy) == (0 if words == ("tasks", "list") else 2, []), words
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_examples_are_rendered_and_trained_on_without_tensorflow(
    tiny_recipe: list[str], tmp_path: Path
) -> None:
    show = ["tasks", "show", "superni_en_def_pos2", "--gin_file=recipes/smoke.gin", "-n1"]
    steps = ("TRAIN_STEPS=2", "EVAL_PERIOD=2", "MODEL_DIR=run")
    train = ["train", *tiny_recipe, *(f"--gin.{setting}" for setting in steps)]
    shown, trained = outcomes([show, train], tmp_path)
    assert (shown[0], shown[2]) == (0, [])
    assert "packed rows" in shown[1]
    assert (trained[0], trained[2]) == (0, ["jax"]), trained[1]
    assert list((tmp_path / "run").glob("events.out.tfevents.*"))
