"""A progress line for long work: redrawn on a terminal, printed now and then in a log."""

import sys
import time
from types import TracebackType

from tk_instruct.terminal import redraw


def clock(seconds: float) -> str:
    """`2:05` or `1:02:05`."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


class Progress:
    """`with Progress("reading", total) as progress: … progress.advance()`; writes to stderr.

    The time left is estimated without the first item, whose time includes starting and compiling.
    Work that ends within a second (in a log: within the interval) shows nothing.
    """

    def __init__(self, what: str, total: int, first: int = 0) -> None:
        self.what, self.total, self.done = what, total, first
        self.note = ""
        self.on_terminal = sys.stderr.isatty()
        self.interval = 0.2 if self.on_terminal else 15.0

    def __enter__(self) -> "Progress":
        self.started = self.shown = time.monotonic()
        if self.on_terminal:
            self.shown += 1.0 - self.interval
        self.warm: tuple[float, int] | None = None
        self.has_shown = False
        return self

    def advance(self, count: int = 1, note: str = "") -> None:
        """Counts items as done; a note that is not empty is shown from now on."""
        self.done += count
        self.note = note or self.note
        now = time.monotonic()
        if self.warm is None:
            self.warm = (now, self.done)
        if now - self.shown >= self.interval or (self.has_shown and self.done == self.total):
            self.shown = now
            self._show(now, *self.warm)

    def _show(self, now: float, warm_since: float, warm_from: int) -> None:
        line = f"{self.what}: {self.done:,} of {self.total:,} ({self.done / self.total:.0%})"
        line += f" {self.note}" if self.note else ""
        line += f", {clock(now - self.started)} elapsed"
        if self.done > warm_from:
            rate = (now - warm_since) / (self.done - warm_from)
            line += f", {clock(rate * (self.total - self.done))} left"
        self.has_shown = True
        if self.on_terminal:
            redraw(line)
        else:
            print(line, file=sys.stderr, flush=True)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.has_shown and self.on_terminal:
            print(file=sys.stderr)
