"""Goodput: every second is in one part, also in a run that is killed and started again."""

import json
import random
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tk_instruct import goodput
from tk_instruct.goodput import PARTS, Clock
from tk_instruct.losses import Mean
from tk_instruct.run_log import RunLog, read_rows


class Time:
    """Whole seconds, so that sums are exact; it says which second was spent on what."""

    def __init__(self) -> None:
        self.spent: list[str] = []

    def pass_(self, part: str, seconds: int = 1) -> None:
        self.spent += [part] * seconds

    def __call__(self) -> float:
        return 100.0 + len(self.spent)

    def by_part(self, first: int = 0) -> dict[str, int]:
        return {part: sum(each == part for each in self.spent[first:]) for part in PARTS}


@pytest.mark.parametrize("seed", range(3))
def test_parts_are_all_of_the_time(seed: int) -> None:
    rng, time = random.Random(seed), Time()
    clock, since = Clock(time), 0
    time.pass_("start", 5)
    clock.count_so_far("start")
    for _ in range(200):
        match rng.randrange(3):
            case 0:
                time.pass_("step", rng.randrange(4))
            case 1:
                part = rng.choice(["compile", "save", "validate"])
                with clock.spent(part):
                    time.pass_(part, rng.randrange(4))
            case 2:
                assert clock.read() == time.by_part(since)
                since = len(time.spent)


def test_waiting_for_input_is_counted_when_the_device_has_nothing_to_do() -> None:
    time = Time()
    clock = Clock(time)

    class Result:
        """Of a step that ends when it is told."""

        def __init__(self) -> None:
            self.ended = threading.Event()

        def is_ready(self) -> bool:
            return self.ended.is_set()

        def block_until_ready(self) -> None:
            assert self.ended.wait(10)

    with clock.waits_for_input(None):  # the first batch
        time.pass_("input", 2)
    waited_for, running = Result(), Result()
    waited_for.ended.set()
    with clock.waits_for_input(waited_for):
        time.pass_("input", 3)
    with clock.waits_for_input(running):
        time.pass_("step", 4)
    running.ended.set()
    ends = Result()
    with clock.waits_for_input(ends):
        time.pass_("step", 5)
        ends.ended.set()
        clock._watcher.submit(lambda: None).result()  # the end has been seen
        time.pass_("input", 6)
    assert clock.read() == time.by_part()


STATS: dict[str, Any] = {
    "loss": Mean(np.float32(2.0), np.float32(1.0)),
    "gradient_norm": Mean(np.float32(1.0), np.float32(1.0)),
}
BATCH: Any = SimpleNamespace(ids=[("a",)], num_tokens=60)


def test_rows_of_a_run_with_restarts_hold_all_that_was_logged(tmp_path: Path) -> None:
    """Killed at step 7 of a run that saves every 4 steps, and at its step 5; then at step 0."""
    time = Time()

    def run(first: int, killed_after: int | None) -> None:
        clock = Clock(time)
        time.pass_("start", 7)
        with RunLog(tmp_path, clock, first, 10, 2, lambda: None) as log:
            clock.count_so_far("start")
            for step in range(first + 1, 11):
                compiled = step == first + 1
                with clock.spent("compile" if compiled else "step"):
                    time.pass_("compile" if compiled else "step", 3)
                log.step(step, STATS, BATCH, compiled)
                if step % 3 == 0:
                    with clock.spent("validate"):
                        time.pass_("validate", 5)
                    log.validated(step, {"validation_loss": 1.0}, [])
                if step % 4 == 0:
                    with clock.spent("save"):
                        time.pass_("save", 2)
                if step == killed_after:
                    return
            log.ended(10)

    def logged() -> dict[str, float]:
        return goodput.of_rows(read_rows(tmp_path))

    run(0, killed_after=7)
    time.spent.pop()  # of step 7, nothing is known
    time.spent.pop()
    time.spent.pop()
    assert logged() == time.by_part()
    dropped = [row for row in read_rows(tmp_path) if row["step"] > 4]
    lost = len(time.spent) - 7 - 3 * 4 - 5
    assert sum(goodput.of_rows(dropped).values()) == lost

    run(4, killed_after=4 + 1)
    del time.spent[-10:]  # no row was written
    assert sum(logged().values()) == len(time.spent)
    assert logged()["lost"] == lost
    run(4, killed_after=None)
    assert sum(logged().values()) == len(time.spent)
    assert logged()["lost"] == lost
    rows = read_rows(tmp_path)
    assert [row["restarts"] for row in rows if "restarts" in row] == [1, 2]
    assert rows[-1] == {"step": 10}
    speeds = {row["step"]: row["tokens_per_second"] for row in rows if "tokens_per_second" in row}
    assert speeds == dict.fromkeys((2, 4, 6, 8, 10), 20.0)  # neither saving nor compiling counts

    (tmp_path / "metrics.jsonl").write_text(json.dumps({"step": 12, "loss": 1.0}) + "\n")
    run(0, killed_after=2)  # of an older version's run, whose seconds nobody knows
    assert read_rows(tmp_path)[0] == {"step": 0, "restarts": 1}
