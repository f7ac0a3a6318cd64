"""Runs what a study lacks, one command after the other, each in a process of its own.

A command that fails ends its run's later commands that need it, and nothing else.
"""

import contextlib
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Any

from tk_instruct import lock
from tk_instruct.errors import UserError
from tk_instruct.files import Path, cannot_write, inside, is_local, write_atomically
from tk_instruct.progress import clock
from tk_instruct.signals import HeldSignals
from tk_instruct.study import done
from tk_instruct.study.done import LOCK, Ended
from tk_instruct.study.runs import Command, Places, Run

log = logging.getLogger("tk_instruct")

_LINES_SAID = 5
_MOST_SAID = 2000  # characters


@dataclass
class Outcome:
    """How a study's running has ended.

    Attributes:
        failed: run and command that have failed.
        elsewhere: runs that other processes were running.
        stopped: the signal that has stopped it.
    """

    failed: list[tuple[Run, Ended]] = field(default_factory=list)
    elsewhere: list[Run] = field(default_factory=list)
    stopped: signal.Signals | None = None


def run_missing(runs: Sequence[Run], folder: Path, places: Places) -> Outcome:
    """Runs the commands that runs lack, whose folders lie in a folder.

    SIGINT or SIGTERM stops the command that runs (a training saves first), and then this; a second
    one ends both at once. Raises UserError if nothing can be written there.
    """
    found = Outcome()
    with _Children(found) as children:
        clock_ = _Clock(runs, folder)
        for run in runs:
            if found.stopped:
                break
            of_run = folder / run.name
            if not done.commands_left(run, of_run):
                continue
            with contextlib.ExitStack() as stack:
                try:
                    check = stack.enter_context(lock.held(of_run / LOCK, f"{of_run} is being run"))
                except UserError:
                    if not lock.is_held(of_run / LOCK):
                        raise
                    found.elsewhere.append(run)
                    continue
                if is_local(of_run) and lock.is_held(of_run / "lock"):  # it is trained otherwise
                    found.elsewhere.append(run)
                    continue
                _run(run, of_run, places, children, clock_, check)
    return found


def _run(
    run: Run,
    folder: Path,
    places: Places,
    children: "_Children",
    clock_: "_Clock",
    check_lock: Callable[[], None],
) -> None:
    lacking: set[str] = set()  # outputs of commands that have failed
    for command in done.commands_left(run, folder):
        if children.found.stopped:
            return
        if command.needs in lacking:
            lacking.add(command.output)
            continue
        check_lock()
        path = inside(folder, "logs", f"{_name_of(command)}.log")
        log.info("%s, output in %s", clock_.line(run, command), path)
        started = time.monotonic()
        status, said = children.run(command.words(folder, places), path)
        if status and children.found.stopped:
            return
        seconds = time.monotonic() - started
        trained_from = run.trained_from(places) if command.verb == "train" else None
        ended = done.ended(command, folder, status, seconds, said, trained_from)
        done.keep(folder, ended)
        if status:
            log.warning("%s: %s has failed: %s", run.name, command.verb, said.splitlines()[-1])
            children.found.failed.append((run, ended))
            lacking.add(command.output)


def _name_of(command: Command) -> str:
    return (
        command.verb if command.verb == "train" else f"{command.verb}-{Path(command.output).stem}"
    )


class _Children:
    """Runs one process after the other, and stops the present one at a signal."""

    def __init__(self, found: Outcome) -> None:
        self.found = found
        self._process: subprocess.Popen[bytes] | None = None
        self._signals = HeldSignals(self._stop)

    def __enter__(self) -> "_Children":
        self._signals.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._signals.__exit__(*error)

    def _stop(self, received: signal.Signals) -> None:
        self.found.stopped = received
        if self._process is not None:
            self._process.terminate()

    def run(self, words: Sequence[str], path: Path) -> tuple[int, str]:
        """Exit status and, if it is not 0, the last lines of the output, which go to a file."""
        with _output(path) as output:
            begin = output.tell()
            # In a session of its own: Ctrl-C reaches this process alone, which passes it on once.
            process = self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "tk_instruct.cli", *words],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                if self.found.stopped:  # between the last process and this
                    process.terminate()
                status = process.wait()
            finally:
                self._process = None
                if process.poll() is None:
                    process.kill()
                    process.wait()
            output.seek(begin)
            said = _last_lines(output.read())
        if status < 0:
            said = "\n".join(filter(None, [said, _killed(signal.Signals(-status))]))
            status = 128 - status
        return status, (said or f"exit status {status}") if status else ""


def _killed(by: signal.Signals) -> str:
    reason = ", as where memory runs out" if by == signal.SIGKILL else ""
    return f"killed by {by.name}{reason}"


@contextlib.contextmanager
def _output(path: Path) -> Iterator[IO[bytes]]:
    """A file for a command's output, after that of earlier attempts. In a bucket it is replaced."""
    if not is_local(path):
        with tempfile.TemporaryFile() as file:
            yield file
            file.seek(0)
            write_atomically(path, file.read())
        return
    with contextlib.ExitStack() as stack:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = stack.enter_context(open(path, "a+b"))
        except OSError as error:
            raise cannot_write(path, error) from error
        file.seek(0, os.SEEK_END)
        yield file


def _last_lines(content: bytes) -> str:
    lines = [line for line in content.decode("utf-8", "replace").splitlines() if line.strip()]
    return "\n".join(lines[-_LINES_SAID:])[-_MOST_SAID:]


class _Clock:
    """How many commands there are, and how long those that are left may take."""

    def __init__(self, runs: Sequence[Run], folder: Path) -> None:
        self._started = time.monotonic()
        self._runs, self._folder = runs, folder
        self._total, self._number = len(self._left()), 0

    def _left(self) -> list[Command]:
        return [
            command
            for run in self._runs
            for command in done.commands_left(run, self._folder / run.name)
        ]

    def line(self, run: Run, command: Command) -> str:
        """What is done next, and how far all is."""
        self._number += 1
        left = _seconds_of(self._left(), self._means())
        so_far = f"{clock(time.monotonic() - self._started)} elapsed"
        so_far += f", {clock(left)} left" if left is not None else ""
        return f"{self._number} of {self._total} ({so_far}): {command.verb} {run.name}"

    def _means(self) -> dict[str, float]:
        """Verb → the mean seconds of its commands that have succeeded."""
        seconds: dict[str, list[float]] = {}
        for run in self._runs:
            for ended in done.record(self._folder / run.name):
                if not ended.status:
                    seconds.setdefault(ended.verb, []).append(ended.seconds)
        return {verb: sum(of) / len(of) for verb, of in seconds.items()}


def _seconds_of(commands: Sequence[Command], means: Mapping[str, float]) -> float | None:
    """The seconds that commands may take, or None if one is of a verb that has not ended yet."""
    if any(command.verb not in means for command in commands):
        return None
    return sum(means[command.verb] for command in commands)
