"""The least time of a compiled step, and the cost of a run of such steps."""

from dataclasses import asdict, dataclass
from typing import Any

from tk_instruct.plan.compilation import Compiled
from tk_instruct.plan.topology import Topology


@dataclass(frozen=True)
class Estimate:
    """Seconds of a step at the published peaks of a TPU generation.

    Attributes:
        compute: time of the matrix products, at the peak of bfloat16.
        memory: time to read their operands from HBM and to write their results.
        links: time to send what the collectives send, over all links at once.
    """

    compute: float
    memory: float
    links: float

    @property
    def floor(self) -> float:
        """The longest of the three: at best the others run at the same time."""
        return max(self.compute, self.memory, self.links)

    @property
    def unhidden(self) -> float:
        """The time if no collective runs at the same time as other work.

        Layouts are compared by it. Two layouts can have nearly the same floor, while one of them
        must hide far more communication.
        """
        return max(self.compute, self.memory) + self.links

    @property
    def bound_by(self) -> str:
        times = vars(self)
        return max(times, key=times.__getitem__)


def estimate(compiled: Compiled, topology: Topology) -> Estimate | None:
    """The least time of a step; None where nothing was compiled, or for fake devices."""
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
    """A compiled layout, its speed and its cost."""

    compiled: Compiled
    topology: Topology
    price_per_chip_hour: float | None = None

    @property
    def estimate(self) -> Estimate | None:
        return estimate(self.compiled, self.topology)

    def seconds_per_token(self) -> float:
        """A cost to compare layouts by; for fake devices the bytes sent for each token."""
        found = self.estimate
        cost = self.compiled.sent_bytes if found is None else found.unhidden
        return cost / self.compiled.num_tokens

    def at(self, share: float) -> dict[str, float]:
        """Speed, time and cost of a run at a share of the speed that the peaks allow."""
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
