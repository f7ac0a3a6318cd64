"""SIGINT and SIGTERM: interrupts that no library drops, and those that wait for a good moment."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

_SECONDS_BETWEEN_TRIES = 0.02


@contextlib.contextmanager
def insistent_interrupts() -> Iterator[None]:
    """Ctrl-C ends the work in which it comes: by KeyboardInterrupt, in an import at once.

    Python drops a KeyboardInterrupt that a destructor or a callback raises (JAX calls one at every
    garbage collection): it is raised again, until it arrives. Extension modules turn one that
    comes while they are imported into an ImportError, or go on half imported: there the process
    ends, with "interrupted" and status 130. Does nothing where Ctrl-C has another meaning.
    """
    if not _is_main_thread() or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    try:
        terminal = os.dup(2)  # which imports may have closed
    except OSError:  # it was closed before
        terminal = os.open(os.devnull, os.O_WRONLY)
    usual_hook = sys.unraisablehook

    def interrupt(number: int, frame: FrameType | None) -> None:
        if is_importing(frame):
            os.write(terminal, b"interrupted\n")
            os._exit(128 + signal.SIGINT)
        raise KeyboardInterrupt

    has_ended = False

    def try_again(dropped: "sys.UnraisableHookArgs") -> None:
        if issubclass(dropped.exc_type, KeyboardInterrupt) and not has_ended:
            signal.setitimer(signal.ITIMER_REAL, _SECONDS_BETWEEN_TRIES)
        else:
            usual_hook(dropped)

    usual = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGALRM)}
    sys.unraisablehook = try_again
    try:
        yield
    finally:
        has_ended = True
        signal.setitimer(signal.ITIMER_REAL, 0)
        if sys.unraisablehook is try_again:  # else another one has come, which calls it
            sys.unraisablehook = usual_hook
        for number, handler in usual.items():
            signal.signal(number, handler)
        os.close(terminal)


def is_importing(frame: FrameType | None) -> bool:
    """Whether a frame, or one that has called it, is that of an import."""
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False


class HeldSignals:
    """`with HeldSignals(handle)` calls handle for the first SIGINT or SIGTERM that comes in it.

    A second one has its usual effect. What is ignored stays so (shells have what runs in the
    background ignore Ctrl-C). Does nothing in other threads than the main one, which gets no
    signals.
    """

    def __init__(self, handle: Callable[[signal.Signals], None]) -> None:
        self._handle = handle
        self._usual: dict[signal.Signals, Any] = {}

    def __enter__(self) -> None:
        if _is_main_thread():
            usual = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
            self._usual = {n: handler for n, handler in usual.items() if handler != signal.SIG_IGN}
        for number in self._usual:
            signal.signal(number, self._hold)

    def __exit__(self, *_: object) -> None:
        for number, handler in self._usual.items():
            signal.signal(number, handler)
        self._usual = {}

    def _hold(self, number: int, frame: FrameType | None) -> None:
        self.__exit__()
        self._handle(signal.Signals(number))


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
