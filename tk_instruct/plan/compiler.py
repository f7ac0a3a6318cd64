"""Compiles a run's step for a slice that is not there, in a process of its own.

TPU compilers live in libtpu, which reads its settings once, may end the process, and does not hear
Ctrl-C; so it does its work in a child. That has no TensorFlow, which gin files bring by importing
tasks: they are read in another child, which does not live on while the compiler needs memory.
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
    os.environ.setdefault("MALLOC_ARENA_MAX", "2")  # a tenth less memory
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(1, mp_context=context, initializer=_watch_parent)


def _watch_parent() -> None:
    """Has a child end with its parent, also in the midst of compiling."""

    def end_with_parent() -> None:
        parent = multiprocessing.parent_process()
        assert parent is not None
        parent.join()
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()


def read_run(
    gin_files: Sequence[str], gin_bindings: Sequence[str], modules: Sequence[str] = ()
) -> bytes:
    """The run that a recipe describes, for Work; raises UserError for what is wrong with it."""
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
    """Compiles layouts one after the other in a child process, which starts when it is needed."""

    def __init__(self, work: Work, topology: Topology) -> None:
        self._work, self._topology = work, topology
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> "Compiler":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        if self._pool is not None:
            for process in (self._pool._processes or {}).values() if kind else ():
                process.kill()  # a compiler at work does not hear anything else
            self._pool.shutdown(wait=True, cancel_futures=True)

    def compile(self, layout: Layout | None) -> Compiled:
        """Of a layout, or of the one that the recipe says.

        Raises:
            UserError: the run itself is wrong, or the compiler breaks down.
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
