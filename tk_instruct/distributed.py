"""One run on several processes: how they join, which one writes, and when all stop.

Every process runs the same command and has some of the devices of the mesh. It reads its own rows
of every batch and puts them on its devices.
"""

import argparse
import atexit
import contextlib
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar

from tk_instruct.errors import UserError
from tk_instruct.ranges import whole_number
from tk_instruct.signals import HeldSignals, is_importing

if TYPE_CHECKING:
    import numpy as np

log = logging.getLogger("tk_instruct")

T = TypeVar("T")
Main = Callable[[argparse.Namespace], int]

# The coordinator keeps a key here for each process that has failed, or ended because one has.
_ENDED = "tk_instruct/ended"
_SECONDS_TO_END = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "several processes", "one run on several machines: the same command on each"
    )
    group.add_argument(
        "--distributed",
        action="store_true",
        help="join the others as the environment says (TPU pods, Slurm, Open MPI, GKE)",
    )
    group.add_argument(
        "--coordinator",
        metavar="HOST:PORT",
        help="the first process, if the environment does not name it",
    )
    group.add_argument("--num_processes", type=whole_number, metavar="N", help="with --coordinator")
    group.add_argument(
        "--process_id", type=whole_number, metavar="I", help="the number of this process, from 0"
    )


def with_others(main: Main) -> Main:
    """Makes a verb's main join the other processes, if its arguments say so.

    When one process fails, all end instead of waiting for it.
    """

    @wraps(main)
    def joined(args: argparse.Namespace) -> int:
        if not initialize(args):
            return main(args)
        try:
            with _interrupted_imports_end_others():
                return main(args)
        except (Exception, KeyboardInterrupt) as error:
            _end_others(error)
            raise

    return joined


@contextlib.contextmanager
def _interrupted_imports_end_others() -> Iterator[None]:
    """Tells the other processes before an interrupt during an import ends this one at once."""
    usual = signal.getsignal(signal.SIGINT)
    if not callable(usual):  # the signal is ignored
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        if is_importing(frame):
            _end_others(KeyboardInterrupt())
        usual(number, frame)

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)


def initialize(args: argparse.Namespace) -> bool:
    """Joins the other processes; returns whether there are any.

    Raises UserError if they cannot be joined.
    """
    explicit = (args.coordinator, args.num_processes, args.process_id)
    if explicit == (None, None, None) and not args.distributed:
        return False
    if None in explicit and explicit != (None, None, None):
        raise UserError(
            f"--coordinator={args.coordinator} --num_processes={args.num_processes} "
            f"--process_id={args.process_id} must be given together, or --distributed alone"
        )
    if args.num_processes is not None and not 0 <= args.process_id < args.num_processes:
        raise UserError(
            f"--process_id={args.process_id} must be from 0 to {args.num_processes - 1}, below "
            f"--num_processes={args.num_processes}"
        )
    import jax

    if jax.distributed.is_initialized():
        return True
    try:
        jax.distributed.initialize(*explicit)
    except Exception as error:  # ValueError, RuntimeError or XLA's own, by environment
        where = f"at {args.coordinator}" if args.coordinator else "that the surroundings name"
        raise UserError(
            f"the other processes could not be joined ({str(error).splitlines()[0][:160]}): start "
            f"the same command on every machine at about the same time, with a coordinator {where} "
            "that all of them reach, or without --distributed for a single process"
        ) from error
    threading.Thread(target=_end_with_others, daemon=True).start()
    return True


def _coordinator() -> Any:
    from jax._src import distributed  # JAX has no public name for it

    return distributed.global_state.client


def _end_others(error: BaseException) -> None:
    """Tells the others that this process fails, and makes it exit without waiting for them."""
    import jax

    status = 2 if isinstance(error, UserError) else 1
    if isinstance(error, KeyboardInterrupt):
        status = 128 + signal.SIGINT
    line = (str(error).splitlines() or [type(error).__name__])[0]
    _end_together(f"{status} process {jax.process_index()} has failed: {line[:500]}")
    atexit.register(
        _exit, status
    )  # runs before JAX's exit handler, which would wait for the others


def _end_with_others() -> None:
    """Ends this process when another one has failed; runs in a thread of its own."""
    import jax

    with contextlib.suppress(Exception):  # the run is over, and the coordinator is shut down
        while not (said := _said_at_the_end()):
            time.sleep(1)
        if jax.process_index() not in said:
            message = next(iter(said.values()))
            status, line = message.split(" ", 1)
            print(f"error: {line}", file=sys.stderr)
            _end_together(message)
            _exit(int(status))


def _end_together(message: str) -> None:
    """Returns when all processes have said why they end, or after a while; the coordinator last."""
    import jax

    until = time.monotonic() + _SECONDS_TO_END
    with contextlib.suppress(
        Exception
    ):  # this process has said so already, or the coordinator is gone
        _coordinator().key_value_set(f"{_ENDED}/{jax.process_index()}", message)
    with contextlib.suppress(Exception):
        while len(_said_at_the_end()) < jax.process_count() and time.monotonic() < until:
            time.sleep(0.1)
        if jax.process_index() == 0:
            time.sleep(1)


def _said_at_the_end() -> dict[int, str]:
    """By process, its exit status and the reason: its own failure or another process's."""
    found = _coordinator().key_value_dir_get(_ENDED)
    return {int(key.rpartition("/")[2]): message for key, message in found}


def _exit(status: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def is_first_process() -> bool:
    """Whether this process is the one that writes files."""
    if "jax" not in sys.modules:  # then it has not joined others
        return True
    import jax

    return not jax.distributed.is_initialized() or jax.process_index() == 0


def as_first_process_has(array: "np.ndarray") -> "np.ndarray":
    """The values of the first process, on every process."""
    import jax

    if not jax.distributed.is_initialized():
        return array
    from jax.experimental import multihost_utils

    return multihost_utils.broadcast_one_to_all(array).astype(array.dtype)


def wait_for_others() -> None:
    """Returns when all processes have called it."""
    import jax

    if jax.distributed.is_initialized():
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices("tk_instruct")


def until_stopped(batches: Iterable[T]) -> Iterator[T]:
    """The batches, until a process gets SIGINT or SIGTERM; then all end after the same batch.

    A single process is interrupted at once.
    """
    import jax

    if not jax.distributed.is_initialized():
        yield from batches
        return
    import numpy as np
    from jax.experimental import multihost_utils

    with _received_signals() as received:
        for batch in batches:
            yield batch
            mine = np.array(received[0] if received else 0)
            if asked := int(multihost_utils.process_allgather(mine).max()):
                name = signal.Signals(asked).name
                log.warning("stopped by %s; what is done is kept, the same command continues", name)
                raise SystemExit(128 + asked)


@contextlib.contextmanager
def stop_requested() -> Iterator[Callable[[int], signal.Signals | None]]:
    """Yields a function: the last step done → the signal that asks the run to stop, or None.

    A single process stops at SIGINT (Ctrl-C; a second one interrupts at once) and at SIGTERM
    (preemption). Several processes all stop at the same step once any of them gets SIGTERM, for
    which jax.distributed watches without communication at each step. SIGINT counts as SIGTERM.
    """
    import jax

    if jax.process_count() == 1:
        with _received_signals() as received:
            yield lambda step: received[0] if received else None
        return
    from jax.experimental import multihost_utils

    interrupt = signal.getsignal(signal.SIGINT)

    def terminate(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, interrupt)
        signal.raise_signal(signal.SIGTERM)

    signal.signal(signal.SIGINT, terminate)
    try:
        yield (
            lambda step: (
                signal.SIGTERM if multihost_utils.reached_preemption_sync_point(step) else None
            )
        )
    finally:
        signal.signal(signal.SIGINT, interrupt)


@contextlib.contextmanager
def _received_signals() -> Iterator[list[signal.Signals]]:
    """Yields a list that gets the first SIGINT or SIGTERM; a second one has its usual effect."""
    received: list[signal.Signals] = []
    with HeldSignals(received.append):
        yield received
