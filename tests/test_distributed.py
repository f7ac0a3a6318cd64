"""Two real processes, which keep the parameters between them, train as one process does."""

import argparse
import json
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
    "NUM_FSDP_SHARDS": 2,
}


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("localhost", 0))
        return found.getsockname()[1]


def arguments(model_dir: Path, data: Sequence[str], **macros: Any) -> list[str]:
    settings = {**MACROS, **macros, "MODEL_DIR": model_dir}
    return ["train", *data, *(f"--gin.{name}={value}" for name, value in settings.items())]


def start(model_dir: Path, data: Sequence[str], **macros: Any) -> list[subprocess.Popen[str]]:
    """Two processes with a device each; standard error is what each has to say."""
    command = [sys.executable, "-m", "tk_instruct.cli", *arguments(model_dir, data, **macros)]
    command += [f"--coordinator=localhost:{free_port()}", "--num_processes=2"]
    return [
        subprocess.Popen([*command, f"--process_id={i}"], stderr=subprocess.PIPE, text=True)
        for i in range(2)
    ]


def finish(processes: list[subprocess.Popen[str]], status: int = 0) -> list[str]:
    messages = [process.communicate(timeout=300)[1] for process in processes]
    assert [process.returncode for process in processes] == [status] * len(processes), messages
    return messages


def logged(model_dir: Path) -> list[dict[str, float]]:
    rows = [json.loads(line) for line in (model_dir / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if "per_second" not in k} for row in rows]


def assert_same_run(one: Path, other: Path) -> None:
    assert len(logged(one)) == len(logged(other)) == 8
    for mine, theirs in zip(logged(one), logged(other), strict=True):
        assert mine.keys() == theirs.keys()
        for name in mine:
            np.testing.assert_allclose(mine[name], theirs[name], rtol=2e-6, err_msg=name)


@pytest.fixture(scope="module")
def data(tiny_recipe: list[str], mini_dir: Path, mini_vocabulary: Path) -> list[str]:
    return [*tiny_recipe, f"--data_dir={mini_dir}", f"--vocabulary={mini_vocabulary}"]


def test_two_processes_train_save_and_resume_as_one(data: list[str], tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    assert cli.main(arguments(one, data, NUM_FSDP_SHARDS=1)) == 0

    # SIGTERM to one of them: all stop at the same step, which is saved.
    processes = start(two, data, CHECKPOINT_PERIOD=0)
    until = time.monotonic() + 240
    while not (two / "metrics.jsonl").exists() or not logged(two):
        assert time.monotonic() < until, "the run did not get there"
        assert all(process.poll() is None for process in processes), finish(processes)
        time.sleep(0.005)
    processes[1].send_signal(signal.SIGTERM)
    messages = finish(processes, 128 + signal.SIGTERM)
    assert all("stopped by SIGTERM at step" in message for message in messages)
    steps = [int(path.name) for path in (two / "checkpoints").iterdir()]
    assert len(steps) == 1
    assert 0 < steps[0] < 6

    finish(start(two, data))
    assert_same_run(one, two)
    assert {path.name for path in (two / "checkpoints").iterdir()} >= {"6"}


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
