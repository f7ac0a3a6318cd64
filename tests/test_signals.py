"""Ctrl-C where Python, or a library, would drop it: in callbacks, destructors and imports."""

import gc
import os
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tk_instruct.signals import HeldSignals, insistent_interrupts


class Dies:
    """Something that is interrupted when it dies."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


def in_a_collection() -> None:
    def interrupt(*_: object) -> None:
        gc.callbacks.remove(interrupt)
        signal.raise_signal(signal.SIGINT)

    gc.callbacks.append(interrupt)
    gc.collect()


def in_a_destructor() -> None:
    Dies()


def in_a_weak_reference() -> None:
    target = type("Target", (), {})()
    reference = weakref.ref(target, lambda _: signal.raise_signal(signal.SIGINT))
    del target
    assert reference() is None


@pytest.mark.parametrize("interrupt", [in_a_collection, in_a_destructor, in_a_weak_reference])
def test_what_python_drops_is_raised_again(interrupt: Callable[[], None]) -> None:
    before = (sys.unraisablehook, signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGALRM))
    arrived = False
    with insistent_interrupts():
        try:
            interrupt()
            time.sleep(10)
        except KeyboardInterrupt:
            arrived = True
    assert arrived
    after = (sys.unraisablehook, signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGALRM))
    assert after == before


def test_other_faults_in_callbacks_are_shown_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def __del__(self) -> None:
            raise ZeroDivisionError

    seen: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda dropped: seen.append(dropped.exc_type))
    with insistent_interrupts():
        Broken()
    assert seen == [ZeroDivisionError]


INTERRUPTED = Path(__file__).with_name("interrupted_import.py")
TRAIN = ("train", "--gin_file=recipes/smoke.gin")


@pytest.mark.parametrize(
    ("module", "command"),
    [
        ("numpy", TRAIN),
        # While standard error is closed.
        ("tensorflow.python.framework.dtypes", (*TRAIN, "--import=seqio")),
        ("numpy", ("predict", "--model_dir=none")),
        ("numpy", ("rank", "--model_dir=none")),
        (
            "jax",
            ("convert", "--to=ours", ".", "nowhere"),
        ),  # a folder: without one nothing is imported
    ],
)
def test_an_interrupted_import_ends_the_command(
    tmp_path: Path, module: str, command: tuple[str, ...]
) -> None:
    arguments = [f"--gin.MODEL_DIR={tmp_path}"] if command[0] == "train" else []
    done = subprocess.run(
        [sys.executable, INTERRUPTED, module, *command, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")


@pytest.mark.slow
def test_ctrl_c_in_the_first_seconds(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tk_instruct.cli", *TRAIN, f"--gin.MODEL_DIR={tmp_path}"]
    for moment in range(20):
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            time.sleep(0.3 + 0.3 * moment)
            process.send_signal(signal.SIGINT)
            said = process.communicate(timeout=30)[0]
        assert process.returncode == 130, said
        assert "Traceback" not in said


def test_the_first_signal_is_held_and_the_second_is_not() -> None:
    held: list[int] = []
    with HeldSignals(held.append):
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert held == [signal.SIGTERM]


def test_what_is_ignored_stays_ignored() -> None:
    """As by what a shell runs in the background."""
    code = (
        "import os, signal; from tk_instruct.signals import HeldSignals, insistent_interrupts\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "with insistent_interrupts(), HeldSignals(lambda number: os._exit(1)):\n"
        "    signal.raise_signal(signal.SIGINT)"
    )
    assert subprocess.run([sys.executable, "-c", code], env=os.environ, check=False).returncode == 0
