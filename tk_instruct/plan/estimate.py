"""How long a compiled step takes at least, and what a run of such steps costs."""

from dataclasses import dataclass

from tk_instruct.plan.compilation import Compiled
from tk_instruct.plan.topology import Topology


@dataclass(frozen=True)
class Estimate:
    """Seconds of a step at a generation's published peaks.

    Attributes:
        compute: for the matrix products, at the peak of bfloat16.
        memory: to read their operands from HBM and write their results.
        links: to send what the collectives send, over all links at once.
    """

    compute: float
    memory: float
    links: float

    @property
    def floor(self) -> float:
        """The longest of the three: the others can at best go on at the same time."""
        return max(self.compute, self.memory, self.links)

    @property
    def bound_by(self) -> str:
        times = vars(self)
        return max(times, key=times.__getitem__)


def estimate(compiled: Compiled, topology: Topology) -> Estimate | None:
    """None where nothing was compiled, or for fake devices."""
    chip = topology.generation
    if chip is None or compiled.product_bytes is None:
        return None
    devices = chip.devices_per_chip
    sent = sum(bytes_ for _, bytes_ in compiled.collectives.values())
    return Estimate(
        compute=compiled.flops * devices / chip.peak_flops,
        memory=compiled.product_bytes * devices / chip.hbm_bandwidth,
        links=sent * devices / chip.link_bandwidth,
    )
