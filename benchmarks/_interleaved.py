"""Systems as processes of their own that take turns, so that each is timed with the machine free.

A worker sets its system up, does one round to warm up, and then one round for each line that it
reads; between its rounds it sleeps.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from statistics import median
from typing import Any

# For every system: clearing a step's memory is most of a process's system time without them.
LARGE_PAGES = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}


@dataclass
class System:
    """A command that is a worker, and what its rounds took.

    Attributes:
        versions: of its libraries; None if one of them is not installed.
        seconds, cpu_seconds: of each round; cpu_seconds are of all threads.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    versions: str | None = None
    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)


def load(*modules: str) -> list[Any]:
    """Modules that only one of the systems has."""
    return [import_module(name) for name in modules]


def serve(set_up: Callable[[], tuple[Callable[[], None], str]]) -> None:
    """The worker's side: set_up gives a round, and the versions of what it is done with."""
    # What libraries print must not come between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(**values: Any) -> None:
        print(json.dumps(values), file=answers, flush=True)

    try:
        do_round, versions = set_up()
    except ModuleNotFoundError as error:
        return answer(missing=error.name)
    do_round()
    answer(versions=versions)
    for _ in sys.stdin:
        seconds, cpu_seconds = time.perf_counter(), time.process_time()
        do_round()
        answer(seconds=time.perf_counter() - seconds, cpu_seconds=time.process_time() - cpu_seconds)


def take_turns(systems: Sequence[System], rounds: int) -> None:
    """Fills in what the systems' rounds took: A, B, C, A, B, C, …"""
    running: list[tuple[System, subprocess.Popen[str]]] = []
    try:
        for system in systems:
            print(f"{system.name}: setting up", file=sys.stderr)
            process = subprocess.Popen(
                system.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={"TF_CPP_MIN_LOG_LEVEL": "3", **os.environ, **system.environment},
                text=True,
            )
            running.append((system, process))
            system.versions = _answer_of(system, process).get("versions")
        for number in range(rounds):
            for system, process in running:
                if system.versions is None:
                    continue
                assert process.stdin is not None
                print(file=process.stdin, flush=True)
                took = _answer_of(system, process)
                system.seconds.append(took["seconds"])
                system.cpu_seconds.append(took["cpu_seconds"])
                print(
                    f"round {number + 1} of {rounds}: {system.name} {took['seconds']:.2f} s "
                    f"(processor {took['cpu_seconds']:.2f} s)",
                    file=sys.stderr,
                )
    finally:
        for _, process in running:
            process.terminate()
            process.wait()


def _answer_of(system: System, process: "subprocess.Popen[str]") -> dict[str, Any]:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        sys.exit(f"{system.name} ended with exit status {process.wait()}; its messages are above")
    return json.loads(line)


def report(systems: Sequence[System], amounts: Mapping[str, float], as_json: bool) -> None:
    """Prints medians, what of each amount a second was done, and our ratio to each of the others.

    amounts: what a round does, the same for every system: {"examples": 64, "tokens": 16384}.
    """
    ours = systems[0]
    results: list[dict[str, Any]] = []
    for system in systems:
        if not system.seconds:
            results.append({"system": system.name, "installed": False})
            continue
        seconds = median(system.seconds)
        results.append(
            {
                "system": system.name,
                "versions": system.versions,
                "seconds": seconds,
                "cpu_seconds": median(system.cpu_seconds),
                **{f"{name}_per_second": amount / seconds for name, amount in amounts.items()},
                "ours_is_faster_times": seconds / median(ours.seconds),
                "rounds_seconds": system.seconds,
                "rounds_cpu_seconds": system.cpu_seconds,
            }
        )
    if as_json:
        for result in results:
            print(json.dumps(result))
        return
    from tk_instruct.tables import table

    rates = [f"{name}/s" for name in amounts]
    rows: list[Sequence[str]] = [
        ("system", "median s", "cpu s", *rates, "ours is ×", "versions"),
    ]
    for result in results:
        if "seconds" not in result:
            rows.append((result["system"], *["–"] * (3 + len(amounts)), "not installed"))
            continue
        rows.append(
            (
                result["system"],
                f"{result['seconds']:.2f}",
                f"{result['cpu_seconds']:.2f}",
                *(f"{result[f'{name}_per_second']:,.1f}" for name in amounts),
                f"{result['ours_is_faster_times']:.2f}",
                result["versions"],
            )
        )
    print(table(rows))
