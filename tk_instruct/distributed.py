"""One run on several processes: joining them, who writes, and when all stop.

Every process runs the same command; each has some of the devices of the mesh, draws the same
global batches and puts its own rows on its devices.
"""

import argparse
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from tk_instruct.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "several processes", "one run on several machines: the same command on each"
    )
    group.add_argument(
        "--distributed",
        action="store_true",
        help="join the others as the surroundings say (TPU pods, Slurm, GKE)",
    )
    group.add_argument(
        "--coordinator", metavar="HOST:PORT", help="of the first process, where nothing says"
    )
    group.add_argument("--num_processes", type=int, metavar="N", help="with --coordinator")
    group.add_argument("--process_id", type=int, metavar="I", help="this one's, from 0")


def initialize(args: argparse.Namespace) -> None:
    """Joins the other processes, if there are any; raises UserError where that is not possible."""
    explicit = (args.coordinator, args.num_processes, args.process_id)
    if explicit == (None, None, None) and not args.distributed:
        return
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

    try:
        jax.distributed.initialize(*explicit)
    except Exception as error:  # ValueError, RuntimeError and XLA's own, as the surroundings are
        where = f"at {args.coordinator}" if args.coordinator else "that the surroundings name"
        raise UserError(
            f"the other processes could not be joined ({str(error).splitlines()[0][:160]}): start "
            f"the same command on every machine at about the same time, with a coordinator {where} "
            "that all of them reach, or without --distributed for a single process"
        ) from error


def is_first_process() -> bool:
    """Whether this process writes what is to be written once."""
    import jax

    return jax.process_index() == 0


@contextmanager
def stop_requested() -> Iterator[Callable[[int], signal.Signals | None]]:
    """A function of the step done: the signal by which the run was asked to stop, if it was.

    A single process stops at SIGINT (Ctrl-C; a second one interrupts at once) and SIGTERM
    (preemption). Of several, all stop at the same step once any of them has got SIGTERM, which
    jax.distributed watches for.
    """
    import jax

    if jax.process_count() > 1:
        from jax.experimental import multihost_utils

        yield (
            lambda step: (
                signal.SIGTERM if multihost_utils.reached_preemption_sync_point(step) else None
            )
        )
        return
    received: list[signal.Signals] = []
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    def handle(number: int, frame: FrameType | None) -> None:
        received.append(signal.Signals(number))
        restore()

    for number in previous:
        signal.signal(number, handle)
    try:
        yield lambda step: received[0] if received else None
    finally:
        restore()
