"""How long a compiled step takes at least, and what a run of such steps costs."""

from dataclasses import asdict, dataclass
from typing import Any

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
    def unhidden(self) -> float:
        """With no collective hidden behind the work.

        Layouts are compared by it: of two with nearly the same floor, one may hide far more.
        """
        return max(self.compute, self.memory) + self.links

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
    return Estimate(
        compute=compiled.flops * devices / chip.peak_flops,
        memory=compiled.product_bytes * devices / chip.hbm_bandwidth,
        links=compiled.sent_bytes * devices / chip.link_bandwidth,
    )


@dataclass(frozen=True)
class Plan:
    """A compiled layout, how fast it can be and what it costs."""

    compiled: Compiled
    topology: Topology
    price_per_chip_hour: float | None = None

    @property
    def estimate(self) -> Estimate | None:
        return estimate(self.compiled, self.topology)

    def seconds_per_token(self) -> float:
        """To compare layouts by; for fake devices the bytes that a step sends."""
        found = self.estimate
        cost = self.compiled.sent_bytes if found is None else found.unhidden
        return cost / self.compiled.num_tokens

    def at(self, share: float) -> dict[str, float]:
        """What a run does at a share of the speed that the peaks allow."""
        found = self.estimate
        if found is None:
            return {}
        step = found.floor / share
        figures = {
            "seconds_per_step": step,
            "tokens_per_second": self.compiled.num_tokens / step,
        }
        if self.compiled.num_steps is not None:
            figures["hours"] = self.compiled.num_steps * step / 3600
            if self.price_per_chip_hour is not None:
                chips = self.topology.num_chips
                figures["cost"] = figures["hours"] * chips * self.price_per_chip_hour
        return figures

    def as_json(self) -> dict[str, Any]:
        found = self.estimate
        return {
            **asdict(self.compiled),
            "floors": None if found is None else asdict(found),
            "unhidden_seconds_per_step": None if found is None else found.unhidden,
            "at_floor": self.at(1.0),
            "at_half": self.at(0.5),
        }
