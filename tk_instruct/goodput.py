"""Goodput: the share of a training run's wall time that its steps take, and where the rest goes.

Training writes the seconds of each part since the row before into every row of metrics.jsonl, as
seconds_PART.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

PARTS = ("step", "input", "compile", "save", "validate", "start", "lost")
"""What the time of a run is spent on.

step: useful steps, and all that is in no other part. input: the devices have nothing to do, because
the next batch is not there yet. compile: the first step with each shape of a batch, which is
compiled. save: the run waits for a checkpoint. validate: validation and samples. start: from the
beginning of a run to its first step. lost: steps that are done again after a restart, with all that
was spent on them.
"""


class Clock:
    """Shares the time since it was last read among the parts.

    Steps run in the background while the next are prepared. So their time is not measured: it is
    what the other parts leave.

    Args:
        now: the time in seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._since = now()
        self._spent = dict.fromkeys(PARTS, 0.0)
        self._watcher = ThreadPoolExecutor(max_workers=1, thread_name_prefix="goodput")

    @contextmanager
    def spent(self, part: str) -> Iterator[None]:
        """The time of the block is this part's."""
        begun = self._now()
        try:
            yield
        finally:
            self._spent[part] += self._now() - begun

    @contextmanager
    def waits_for_input(self, former: Any) -> Iterator[None]:
        """The time of the block is the input's, from when the former step has ended.

        Until then the devices are busy, and waiting costs nothing.

        Args:
            former: an array that the last step gives; None before the first step.
        """
        if former is None or former.is_ready():
            with self.spent("input"):
                yield
            return
        begun = self._now()
        ended = self._watcher.submit(self._when_ready, former)
        yield
        if ended.done():
            self._spent["input"] += self._now() - max(begun, ended.result())

    def _when_ready(self, array: Any) -> float:
        array.block_until_ready()
        return self._now()

    def count_so_far(self, part: str) -> None:
        """The time since the last reading that is in no part yet is this part's."""
        self._spent[part] += self._now() - self._since - sum(self._spent.values())

    def read(self) -> dict[str, float]:
        """Part → seconds since the last reading; all parts together are all of the time."""
        self.count_so_far("step")
        spent, self._spent = self._spent, dict.fromkeys(PARTS, 0.0)
        self._since += sum(spent.values())
        return spent


def as_fields(spent: Mapping[str, float]) -> dict[str, float]:
    """The fields of a row, to a microsecond; parts without time are left out."""
    fields = {f"seconds_{part}": round(seconds, 6) for part, seconds in spent.items()}
    return {name: seconds for name, seconds in fields.items() if seconds}


def of_rows(rows: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Part → seconds, over all rows of a run: its whole life with all restarts.

    What an end without warning left unwritten, and the time until the run was started again, is in
    no row.
    """
    spent = dict.fromkeys(PARTS, 0.0)
    for row in rows:
        for part in PARTS:
            spent[part] += row.get(f"seconds_{part}", 0.0)
    return spent
