"""Compiles a run's step in a child process, for a slice that this machine does not have.

The TPU compiler, libtpu, reads its settings once, can end the process, and ignores Ctrl-C: so it
runs in a child process. The tasks of gin files import TensorFlow, which takes memory that the
compiler needs: so gin files are read in another child process, which ends before.
"""

import multiprocessing
import os
import threading
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from tk_instruct.errors import UserError
from tk_instruct.plan.compilation import Compiled, Layout, Work, compile_step
from tk_instruct.plan.topology import Topology


def _child() -> ProcessPoolExecutor:
    os.environ.setdefault("MALLOC_ARENA_MAX", "2")  # saves a tenth of the memory
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(1, mp_context=context, initializer=_watch_parent)


def _watch_parent() -> None:
    """Ends a child process when its parent ends, even while it compiles."""

    def end_with_parent() -> None:
        parent = multiprocessing.parent_process()
        assert parent is not None
        parent.join()
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()


def read_run(
    gin_files: Sequence[str], gin_bindings: Sequence[str], modules: Sequence[str] = ()
) -> bytes:
    """The run of a recipe, for Work; raises UserError where the recipe is wrong."""
    with _child() as child:
        return child.submit(_read_run, gin_files, gin_bindings, modules).result()


def _read_run(
    gin_files: Sequence[str], gin_bindings: Sequence[str], modules: Sequence[str]
) -> bytes:
    import cloudpickle

    from tk_instruct import configuration

    configuration.import_declarations(modules)
    from tk_instruct.train_run import TrainRun

    configuration.load("runs/plan.gin", gin_files, gin_bindings)
    return cloudpickle.dumps(configuration.configured(TrainRun))


class Compiler:
    """Compiles layouts one after another in a child process; the first one starts it."""

    def __init__(self, work: Work, topology: Topology) -> None:
        self._work, self._topology = work, topology
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> "Compiler":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        if self._pool is not None:
            for process in (self._pool._processes or {}).values() if kind else ():
                process.kill()  # a compiler at work ignores other signals
            self._pool.shutdown(wait=True, cancel_futures=True)

    def compile(self, layout: Layout | None) -> Compiled:
        """The compiler's answer for a layout, or for the layout of the recipe (None).

        Raises:
            UserError: the run is wrong, or the compiler's process ended.
        """
        if self._pool is None:
            self._pool = _child()
        try:
            return self._pool.submit(compile_step, self._work, self._topology, layout).result()
        except BrokenProcessPool as error:
            self._pool = None
            raise UserError(
                f"the compiler for {self._topology.name} ended without an answer; its last words, "
                "if any, are above; try another layout, or a machine with more memory"
            ) from error
