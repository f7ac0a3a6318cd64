"""TPU slices by name, and the published speeds of their chips."""

import math
import re
from dataclasses import dataclass

from tk_instruct.errors import UserError


@dataclass(frozen=True)
class Generation:
    """One generation of TPU; numbers are for one chip.

    Attributes:
        devices_per_chip: JAX devices of a chip: its cores, or 1 where the cores work as one.
        peak_flops: bfloat16 operations per second.
        hbm_bandwidth: bytes per second.
        link_bandwidth: bytes per second to other chips, one way, all links together.
        counts_cores: whether the number in a name such as v3-256 counts cores, two for each chip.
        most_chips: chips of a pod, the largest slice. libtpu compiles for larger ones too.
        source: where the numbers are published.
        chip_config_name: the option of that name for libtpu.
    """

    name: str
    devices_per_chip: int
    peak_flops: float
    hbm_bandwidth: float
    link_bandwidth: float
    counts_cores: bool
    most_chips: int
    source: str
    chip_config_name: str | None = None


_DOCS = "cloud.google.com/tpu/docs/"
GENERATIONS = {
    generation.name: generation
    for generation in (
        Generation("v2", 2, 46e12, 700e9, 248e9, True, 256, "doi:10.1145/3360307, table 3"),
        Generation("v3", 2, 123e12, 900e9, 280e9, True, 1024, "arXiv:2304.01433, table 4"),
        Generation(
            "v4", 1, 275e12, 1200e9, 300e9, True, 4096, "arXiv:2304.01433, table 4", "megacore"
        ),
        Generation("v5e", 1, 197e12, 819e9, 200e9, False, 256, _DOCS + "v5e"),
        Generation("v5p", 1, 459e12, 2765e9, 600e9, True, 8960, _DOCS + "v5p"),
        Generation("v6e", 1, 918e12, 1638e9, 400e9, False, 256, _DOCS + "v6e"),
        Generation("tpu7x", 2, 2307e12, 7380e9, 600e9, True, 9216, _DOCS + "tpu7x"),
    )
}

# Number of chips → shape of the slice, as Cloud TPU offers it.
_FLAT = {
    1: "1x1",
    4: "2x2",
    8: "2x4",
    16: "4x4",
    32: "4x8",
    64: "8x8",
    128: "8x16",
    256: "16x16",
    512: "16x32",
    1024: "32x32",
}
_CUBIC = {
    4: "2x2x1",
    8: "2x2x2",
    16: "2x2x4",
    32: "2x4x4",
    64: "4x4x4",
    128: "4x4x8",
    256: "4x8x8",
    512: "8x8x8",
    1024: "8x8x16",
    2048: "8x16x16",
    4096: "16x16x16",
}
_SHAPES = {
    "v2": {4: "2x2", 16: "4x4", 64: "8x8", 128: "8x16", 256: "16x16"},
    "v3": {4: "2x2", 16: "4x4", 64: "8x8", 128: "8x16", 256: "16x16", 512: "16x32", 1024: "32x32"},
    "v4": _CUBIC,
    "v5e": {chips: shape for chips, shape in _FLAT.items() if chips <= 256},
    "v5p": _CUBIC,
    "v6e": {chips: shape for chips, shape in _FLAT.items() if chips <= 256},
}
_ALIASES = {"v5litepod": "v5e", "v5lite": "v5e", "v7x": "tpu7x", "ironwood": "tpu7x"}

_MOST_FAKE_DEVICES = 2048  # XLA takes further devices for those of another process


@dataclass(frozen=True)
class Topology:
    """A slice such as v3:8x16, or fake CPU devices such as cpu:256 (generation None)."""

    name: str
    generation: Generation | None
    num_chips: int

    @property
    def num_devices(self) -> int:
        return self.num_chips * (self.generation.devices_per_chip if self.generation else 1)


def topology_of(name: str) -> Topology:
    """The slice of a name: v3:8x16, v4:4x4x8, Cloud TPU's v3-256 or v5litepod-256, or cpu:256.

    Raises:
        UserError: no slice has this name; the message names some that exist.
    """
    match = re.fullmatch(r"cpu[:-](\d+)", name)
    if match and (len(match[1]) > 4 or int(match[1]) > _MOST_FAKE_DEVICES):
        raise UserError(
            f"--topology={name[:40]} must be of at most {_MOST_FAKE_DEVICES} devices; try cpu:256"
        )
    if match and int(match[1]):
        return Topology(f"cpu:{match[1]}", None, int(match[1]))
    match = re.fullmatch(r"([a-z0-9]+)(?:-(\d+)|:(\d+(?:x\d+){1,2}))", name.lower())
    generation = GENERATIONS.get(_ALIASES.get(match[1], match[1])) if match else None
    if match is None or generation is None:
        raise UserError(
            f"--topology={name} must be one of {', '.join(GENERATIONS)} with a number or a shape, "
            "or fake devices: try v3-256, v4:4x4x8 or cpu:256"
        )
    if match[3]:
        shape = match[3]
    else:
        shapes = _SHAPES.get(generation.name, {})
        cores = 2 if generation.counts_cores else 1
        found = shapes.get(int(match[2]) // cores) if int(match[2]) % cores == 0 else None
        if found is None:
            offered = ", ".join(f"{match[1]}-{chips * cores}" for chips in shapes)
            raise UserError(
                f"--topology={name} is no slice that has a name"
                + (f"; there are {offered}, " if offered else "; ")
                + f"or give its shape in chips, such as {generation.name}:4x4"
                + ("x4" if generation.name in ("v4", "v5p", "tpu7x") else "")
            )
        shape = found
    chips = math.prod(map(int, shape.split("x")))
    if not chips:
        raise UserError(f"--topology={name} has no chips; try {generation.name}:2x2")
    if chips > generation.most_chips:
        raise UserError(
            f"--topology={name} has {chips:,} chips, and a pod of {generation.name} has "
            f"{generation.most_chips:,}; give the shape of a slice that there is"
        )
    return Topology(f"{generation.name}:{shape}", generation, chips)
