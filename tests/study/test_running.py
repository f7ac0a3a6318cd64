"""Running the commands of a study, with quick ones in the place of training."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import pytest
from example_study import write

from tk_instruct import lock
from tk_instruct.study import done, file
from tk_instruct.study.running import run_missing
from tk_instruct.study.runs import Command, Run, runs_of


def command(verb: str, output: str, needs: str = "", *arguments: str) -> Command:
    """Help is quick, and takes any words."""
    return Command(verb, ("--help", *arguments), (), output, needs, ())  # type: ignore[arg-type]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    first = runs_of(file.read(write(tmp_path)))[0]
    return replace(first, name="run", commands=())


def test_what_needs_a_failed_command_is_left(
    run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    runs, folder = file.Path(tmp_path), tmp_path / "run"
    (folder / "checkpoints/10").mkdir(parents=True)
    for name in ("scores/b", "predictions/b"):  # as if the commands had made them
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(name)
    commands = (
        command("train", "checkpoints/10"),
        Command("predict", ("--wrong",), (), "predictions/a", "checkpoints/10", ()),
        command("evaluate", "scores/a", "predictions/a"),
        command("predict", "predictions/b", "checkpoints/10"),
        command("evaluate", "scores/b", "predictions/b"),
    )
    run = replace(run, commands=commands)
    caplog.set_level("INFO", "tk_instruct")
    outcome = run_missing([run], runs, {})
    ((of, ended),) = outcome.failed
    assert (of, ended.output, ended.status) == (run, "predictions/a", 2)
    assert "error" in ended.said
    assert [line.output for line in done.record(file.Path(folder))] == [
        *("predictions/a", "predictions/b", "scores/b")
    ]
    assert "1 of 4 (0:00 elapsed): predict run, output in " in caplog.text
    assert "error" in (folder / "logs" / "predict-a.log").read_text()
    state = done.state_of(run, file.Path(folder))
    assert [each.output for each in state.missing] == ["predictions/a", "scores/a"]
    assert state.what == "failed"
    # The second time what has failed is tried again, and its output is added to the log.
    again = run_missing([run], runs, {})
    assert [ended.output for _, ended in again.failed] == ["predictions/a"]
    assert (folder / "logs" / "predict-a.log").read_text().count("error") == 2


def slow_study(folder: Path, first: str) -> subprocess.Popen[str]:
    """A process that runs a study whose first command is a script of Python."""
    code = f"""
        import sys
        from pathlib import Path
        from tk_instruct.study import file, running
        from tk_instruct.study.runs import Command, runs_of
        from dataclasses import replace

        usual = running.subprocess.Popen
        running.subprocess.Popen = lambda words, **more: usual(
            [sys.executable, "-c", Path({first!r}).read_text()], **more
        )
        folder = file.Path({str(folder)!r})
        (run, *_) = runs_of(file.read(folder / "example.toml"))
        outcome = running.run_missing([run], folder / "runs", {{}})
        print(outcome.stopped, len(outcome.failed))
    """
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(path: Path) -> None:
    while not path.exists():
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_command_once_and_then_the_study(
    tmp_path: Path, number: signal.Signals
) -> None:
    write(tmp_path)
    script, begun, ended = tmp_path / "script", tmp_path / "begun", tmp_path / "ended"
    script.write_text(
        "import signal, time, pathlib, sys\n"
        "def stop(number, frame):\n"
        f"    pathlib.Path({str(ended)!r}).write_text(str(number)); sys.exit(143)\n"
        "signal.signal(signal.SIGTERM, stop)\n"
        f"pathlib.Path({str(begun)!r}).touch()\n"
        "time.sleep(60)\n"
    )
    with slow_study(tmp_path, str(script)) as process:
        wait_for(begun)
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert out == f"{number} 0\n", err
    assert ended.read_text() == "15"
    (folder,) = (tmp_path / "runs").iterdir()
    assert not (folder / done.RECORD).exists()  # it has not failed
    assert not lock.is_held(folder / done.LOCK)


def test_a_second_ctrl_c_kills_the_command(tmp_path: Path) -> None:
    write(tmp_path)
    script, begun, told = tmp_path / "script", tmp_path / "begun", tmp_path / "told"
    script.write_text(
        "import os, signal, time, pathlib\n"
        f"signal.signal(signal.SIGTERM, lambda *_: pathlib.Path({str(told)!r}).touch())\n"
        f"part = pathlib.Path({str(begun)!r} + '.part'); part.write_text(str(os.getpid()))\n"
        f"part.rename({str(begun)!r})\n"
        "while True: time.sleep(60)\n"
    )
    with slow_study(tmp_path, str(script)) as process:
        wait_for(begun)
        process.send_signal(signal.SIGINT)
        wait_for(told)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode
    with pytest.raises(ProcessLookupError):
        os.kill(int(begun.read_text()), 0)


def test_a_run_that_is_trained_by_hand_is_passed_over(run: Run, tmp_path: Path) -> None:
    run = replace(run, commands=(command("train", "c"), command("evaluate", "scores/a", "c")))
    with lock.held(tmp_path / "run" / "lock", "it is being trained"):
        outcome = run_missing([run], file.Path(tmp_path), {})
    assert (outcome.elsewhere, outcome.failed) == ([run], [])
