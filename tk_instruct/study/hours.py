"""What `plan` says of a study's trainings: each distinct program is compiled once."""

import importlib.util
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from tk_instruct.errors import UserError
from tk_instruct.plan.compilation import Compiled, Work
from tk_instruct.plan.compiler import Compiler, read_run
from tk_instruct.plan.estimate import Plan
from tk_instruct.plan.topology import Topology
from tk_instruct.study.runs import Run

log = logging.getLogger("tk_instruct")


@dataclass(frozen=True)
class Hours:
    """Of a training on a slice: at the chips' peak and at half of it. None on fake devices.

    Attributes:
        fits: whether the memory is enough.
        cost: at half of the peak, if chips have a price.
    """

    fits: bool
    at_peak: float | None
    at_half: float | None
    cost: float | None


def planned(
    runs: Sequence[Run], topology: Topology, price: float | None, modules: Sequence[str]
) -> dict[int, Hours]:
    """Number of a run → its hours. Raises UserError if libtpu is needed and not installed."""
    if topology.generation and importlib.util.find_spec("libtpu") is None:
        raise UserError(
            "the TPU compiler, libtpu, is not installed: pip install 'tk_instruct[plan]', or leave "
            "--topology out"
        )
    by_program: dict[str, list[Run]] = {}
    for run in runs:
        by_program.setdefault(run.program, []).append(run)
    found = {}
    for number, of_program in enumerate(by_program.values(), start=1):
        first = of_program[0]
        log.info("compiling %d of %d programs: %s", number, len(by_program), first.name)
        work = Work("train", read_run(first.gin_files, first.gin_bindings, modules))
        with Compiler(work, topology) as compiler:
            compiled = compiler.compile(None)
        for run in of_program:
            found[run.number] = _hours(compiled, run.steps - first.steps, topology, price)
    return found


def _hours(compiled: Compiled, more_steps: int, topology: Topology, price: float | None) -> Hours:
    plan = Plan(compiled, topology, price)
    share = 1 + more_steps / (compiled.num_steps or 1)
    peak, half = plan.at(1.0), plan.at(0.5)

    def of(figures: dict[str, float], name: str) -> float | None:
        return figures[name] * share if name in figures else None

    return Hours(compiled.fits, of(peak, "hours"), of(half, "hours"), of(half, "cost"))
