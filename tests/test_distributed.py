"""Real processes train, predict, rank and save as one process does."""

import argparse
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tk_instruct import cli, distributed
from tk_instruct.errors import UserError

MACROS = {
    "TRAIN_STEPS": 6,
    "CHECKPOINT_PERIOD": 3,
    "EVAL_PERIOD": 3,
    "EVAL_STEPS": 1,
    "LOG_PERIOD": 1,
    "DROPOUT_RATE": 0.1,
    "NUM_SAMPLES": 3,
}
# Runs commands, each in its turn. ["stop when", FOLDER] has the next one stopped by SIGTERM once
# something is in FOLDER.
COMMANDS = """
import json, os, pathlib, signal, sys, threading, time
from tk_instruct import cli

def stop_when(path):
    while not path.is_dir() or not any(path.iterdir()):
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGTERM)

for command in json.loads(sys.argv[1]):
    if command[0] == "stop when":
        threading.Thread(target=stop_when, args=[pathlib.Path(command[1])], daemon=True).start()
        continue
    try:
        status = cli.main([*command, *sys.argv[2:]])
    except SystemExit as stopped:
        status = stopped.code
    print("status", status, command[0], flush=True)
sys.exit(status)
"""


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("localhost", 0))
        return found.getsockname()[1]


def train(model_dir: Path, data: Sequence[str], **macros: Any) -> list[str]:
    settings = {**MACROS, **macros, "MODEL_DIR": model_dir}
    return ["train", *data, *(f"--gin.{name}={value}" for name, value in settings.items())]


def finish(
    processes: Sequence[subprocess.Popen[str]], status: int = 0
) -> tuple[list[str], list[str]]:
    """What each has written to standard output and error."""
    written = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [status] * len(processes), written
    outputs, errors = zip(*written, strict=True)
    return list(outputs), list(errors)


def logged(model_dir: Path) -> list[dict[str, float]]:
    """Without speeds, seconds and restarts."""
    rows = [json.loads(line) for line in (model_dir / "metrics.jsonl").read_text().splitlines()]
    found = [{k: v for k, v in row.items() if not re.search("second|restarts", k)} for row in rows]
    return [row for row in found if set(row) != {"step"}]


def assert_same_run(one: Path, other: Path) -> None:
    assert len(logged(one)) == len(logged(other)) == 8
    for mine, theirs in zip(logged(one), logged(other), strict=True):
        assert mine.keys() == theirs.keys()
        for name in mine:
            np.testing.assert_allclose(mine[name], theirs[name], rtol=2e-6, err_msg=name)


@pytest.fixture(scope="module")
def data(mini_dir: Path, mini_vocabulary: Path) -> list[str]:
    return [f"--data_dir={mini_dir}", f"--vocabulary={mini_vocabulary}"]


@pytest.fixture(scope="module")
def recipe(tiny_recipe: list[str], data: list[str]) -> list[str]:
    return [*tiny_recipe, *data]


@pytest.fixture(scope="module")
def one(recipe: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one process, and beside it what it was after three steps."""
    model_dir = tmp_path_factory.mktemp("one") / "run"
    assert cli.main(train(model_dir, recipe, TRAIN_STEPS=3)) == 0
    shutil.copytree(model_dir, model_dir.parent / "begun")
    assert cli.main(train(model_dir, recipe)) == 0
    return model_dir


@pytest.mark.slow
def test_an_interrupted_import_of_one_ends_all(recipe: list[str], tmp_path: Path) -> None:
    interrupted = [str(Path(__file__).with_name("interrupted_import.py")), "tensorflow"]
    command = [*train(tmp_path / "two", recipe), f"--coordinator=localhost:{free_port()}"]
    processes = [
        subprocess.Popen(
            [sys.executable, *how, *command, "--num_processes=2", f"--process_id={i}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for i, how in enumerate([["-m", "tk_instruct.cli"], interrupted])
    ]
    _, errors = finish(processes, 128 + signal.SIGINT)
    assert errors == ["error: process 1 has failed: KeyboardInterrupt\n", "interrupted\n"]


@pytest.mark.slow
def test_two_processes_of_slurm_are_stopped_and_go_on_as_one(
    recipe: list[str], one: Path, tmp_path: Path
) -> None:
    model_dir = tmp_path / "two"
    command = train(model_dir, recipe, CHECKPOINT_PERIOD=0, NUM_FSDP_SHARDS=2)
    slurm = {
        "SLURM_JOB_ID": "7",
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_NTASKS": "2",
        "JAX_COORDINATOR_PORT": str(free_port()),
    }
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tk_instruct.cli", *command, "--distributed"],
            env={**os.environ, **slurm, "SLURM_PROCID": str(i), "SLURM_LOCALID": str(i)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for i in range(2)
    ]
    # SIGTERM to one of them: all stop at the same step, which is saved.
    until = time.monotonic() + 240
    while not (model_dir / "metrics.jsonl").exists() or not logged(model_dir):
        assert time.monotonic() < until, "the run did not get there"
        assert all(process.poll() is None for process in processes), finish(processes)
        time.sleep(0.005)
    processes[1].send_signal(signal.SIGTERM)
    _, errors = finish(processes, 128 + signal.SIGTERM)
    assert all("stopped by SIGTERM at step" in error for error in errors)
    (saved,) = (model_dir / "checkpoints").iterdir()
    assert 0 < int(saved.name) < 6

    assert cli.main(train(model_dir, recipe)) == 0
    assert_same_run(model_dir, one)


@pytest.mark.parametrize(
    ("num_processes", "devices_of_each", "ranks"),
    [(2, 2, False), pytest.param(4, 1, True, marks=pytest.mark.slow)],
)
def test_processes_with_four_devices_do_what_one_does(
    num_processes: int,
    devices_of_each: int,
    ranks: bool,
    recipe: list[str],
    data: list[str],
    one: Path,
    tmp_path: Path,
) -> None:
    together = tmp_path / "together"
    shutil.copytree(one.parent / "begun", together)
    last = num_processes - 1

    def inferred(verb: str, output: str, *flags: str, batch_size: int = 16) -> list[str]:
        """Inputs of 32 tokens and 4 rows a device: then numbers are the same bit for bit."""
        fixed = [f"--model_dir={together}", "--max_input_tokens=32", "--limit=40"]
        size, path = f"--batch_size={batch_size}", f"--output={tmp_path / output}"
        return [verb, *fixed, size, path, *flags, *data]

    sampling = ["--sample", "--max_target_tokens=6"]
    options = ["--option=yes", "--option=no", "--option=a third one"]

    def commands(process: int) -> list[list[str]]:
        stop = [["stop when", str(tmp_path / "predicted.unfinished")]] if process == 1 else []
        others_data = ["--vocabulary=bytes"] if process == last else []
        return [
            train(together, recipe, NUM_FSDP_SHARDS=2, NUM_PARTITIONS=2),
            *stop,
            inferred("predict", "predicted", *sampling, batch_size=4),
            inferred("predict", "predicted", *sampling, batch_size=4),
            *([inferred("rank", "ranked", *options)] if ranks else []),
            [*inferred("predict", "refused"), *others_data],
        ]

    where = [f"--coordinator=localhost:{free_port()}", f"--num_processes={num_processes}"]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", COMMANDS, json.dumps(commands(i)), *where, f"--process_id={i}"],
            env={**os.environ, "JAX_NUM_CPU_DEVICES": str(devices_of_each)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for i in range(num_processes)
    ]
    outputs, errors = finish(processes, 2)
    statuses = [[x for x in o.splitlines() if x.startswith("status")] for o in outputs]
    assert statuses[last] == [
        "status 0 train",
        "status 143 predict",
        "status 0 predict",
        *(["status 0 rank"] if ranks else []),
        "status 2 predict",
    ]
    assert statuses[:last] == [statuses[last][:-1]] * last

    assert_same_run(together, one)
    samples = (together / "samples.jsonl").read_text()
    assert samples.count("\n") == 6
    assert samples == (one / "samples.jsonl").read_text()
    (state,) = (together / "checkpoints").glob("6/state")
    for process in range(num_processes):
        assert sum(1 for _ in (state / f"ocdbt.process_{process}" / "d").iterdir()) > 0

    assert all("stopped by SIGTERM; what is done is kept" in error for error in errors)
    assert "predictions were there already" in errors[0]
    num_written = 2 if ranks else 1
    assert [output.count("40 predictions in") for output in outputs] == [num_written] + [0] * last
    assert all(f"process {last} has failed: the vocabulary (" in error for error in errors[:last])

    assert cli.main(inferred("predict", "predicted_by_one", *sampling, batch_size=1)) == 0
    if ranks:
        assert cli.main(inferred("rank", "ranked_by_one", *options, batch_size=4)) == 0
    for name in ("predicted", "ranked") if ranks else ("predicted",):
        assert (tmp_path / name).read_bytes() == (tmp_path / f"{name}_by_one").read_bytes()
    assert len(set((tmp_path / "predicted").read_text().splitlines())) == 40
    assert not [path.name for path in tmp_path.iterdir() if "unfinished" in path.name]


def parsed(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    distributed.add_arguments(parser)
    return parser.parse_args(arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--coordinator=localhost:1", "--process_id=0"],
            "--coordinator=localhost:1 --num_processes=None --process_id=0 must be given "
            "together, or --distributed alone",
        ),
        (
            ["--coordinator=localhost:1", "--num_processes=2", "--process_id=2"],
            "--process_id=2 must be from 0 to 1, below --num_processes=2",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(arguments: list[str], message: str) -> None:
    with pytest.raises(UserError) as error:
        distributed.initialize(parsed(*arguments))
    assert str(error.value) == message
