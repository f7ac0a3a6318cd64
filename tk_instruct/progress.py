"""A line that says how far long work is: redrawn on a terminal, now and then in a log file."""

import sys
import time
from types import TracebackType


def clock(seconds: float) -> str:
    """`2:05` or `1:02:05`."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


class Progress:
    """`with Progress("reading", total) as progress: … progress.advance()`; writes to stderr.

    Nothing is shown for work that is done within a second.
    """

    def __init__(self, what: str, total: int, first: int = 0) -> None:
        self.what, self.total, self.first, self.done = what, total, first, first
        self.on_terminal = sys.stderr.isatty()
        self.interval = 0.2 if self.on_terminal else 30.0

    def __enter__(self) -> "Progress":
        self.started = time.monotonic()
        self.shown = self.started + 1.0 - self.interval
        self.has_shown = False
        return self

    def advance(self, count: int = 1, note: str = "") -> None:
        self.done += count
        now = time.monotonic()
        if now - self.shown >= self.interval:
            self.shown = now
            self._show(note, now)

    def _show(self, note: str, now: float) -> None:
        elapsed = now - self.started
        left = elapsed * (self.total - self.done) / max(self.done - self.first, 1)
        share = 100 * self.done / max(self.total, 1)
        line = f"{self.what}: {self.done:,} of {self.total:,} ({share:.0f}%)"
        line += f" {note}" if note else ""
        line += f", {clock(elapsed)} elapsed, {clock(left)} left"
        self.has_shown = True
        if self.on_terminal:
            print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)
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
