"""SIGINT and SIGTERM: interrupts that no library swallows, and signals that are held."""

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
    """Makes Ctrl-C always end the work: by KeyboardInterrupt or, during an import, at once.

    Python drops a KeyboardInterrupt that is raised in a destructor or a callback (JAX has one that
    runs at every garbage collection). Here it is raised again until it arrives. An extension
    module that is being imported may turn it into an ImportError, or continue half imported. So
    there the process ends, with "interrupted" and status 130. Does nothing if Ctrl-C already has
    another handler.
    """
    if not _is_main_thread() or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    try:
        terminal = os.dup(2)  # an import may close standard error
    except OSError:  # it is closed already
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
        if sys.unraisablehook is try_again:  # else a later hook calls it
            sys.unraisablehook = usual_hook
        for number, handler in usual.items():
            signal.signal(number, handler)
        os.close(terminal)


def is_importing(frame: FrameType | None) -> bool:
    """Whether a frame, or one of its callers, is an import."""
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False


class HeldSignals:
    """`with HeldSignals(handle)` calls handle for the first SIGINT or SIGTERM in the block.

    A second one has its usual effect. A signal that is ignored stays ignored (shells make
    background processes ignore Ctrl-C). Does nothing outside the main thread: other threads get no
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
