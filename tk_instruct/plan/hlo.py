"""Reads the text of a compiled program: its collectives, and the operands of matrix products.

XLA's own cost analysis counts the body of a loop once; here it counts as often as it runs.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%([\w.\-]+) = (.+?) ([a-z][a-z0-9\-]*)\((.*)$")
_COMPUTATION = re.compile(r"^(ENTRY )?%([\w.\-]+) \(.*\{\s*$")
_ARRAY = re.compile(r"\b([a-z]+\d*(?:e\d+m\d+\w*)?)\[([\d,]*)\]")
_CALLED = re.compile(
    r"(?:calls|to_apply|body|true_computation|false_computation)=%([\w.\-]+)"
    r"|branch_computations=\{([^}]*)\}"
)
_COLLECTIVES = (
    "all-gather",
    "all-reduce",
    "all-to-all",
    "collective-permute",
    "ragged-all-to-all",
    "reduce-scatter",
)


class Collective(NamedTuple):
    """One kind of collective in one run of the program.

    Attributes:
        times: number of collectives that a device takes part in.
        bytes: bytes that a device sends, on the shortest way round a ring.
    """

    times: int
    bytes: float


@dataclass(frozen=True)
class _Instruction:
    name: str
    type: str
    opcode: str
    rest: str  # operands and attributes


@dataclass
class _Module:
    num_devices: int = 1
    computations: dict[str, list[_Instruction]] = field(default_factory=dict)
    entry: str = ""


def collectives(text: str, while_trips: int = 1) -> dict[str, Collective]:
    """Kind → what a device sends, from the text of compiled.as_text().

    Args:
        while_trips: rounds of each loop whose number of rounds the text does not give.
    """
    module = _parsed(text)
    # The text can have several fusions for one asynchronous collective, with the same channel.
    fused = set(re.findall(r"calls=%([\w.\-]+)", text))
    by_channel: dict[str, tuple[int, str, float]] = {}
    for times, computation, instruction in _executed(module, while_trips):
        kind = instruction.opcode.removesuffix("-start")
        if kind not in _COLLECTIVES:
            continue
        group_size = _group_size(instruction.rest, module.num_devices)
        # The TPU compiler writes a reduce-scatter as an all-reduce whose parts devices keep.
        if kind == "all-reduce" and computation.startswith("all-reduce-scatter"):
            kind = "reduce-scatter"
            size = _bytes(instruction.type)
        else:
            size = _result_bytes(instruction)
            if kind == "reduce-scatter":
                size *= group_size
        others = 1 - 1 / group_size
        if kind == "collective-permute":
            share = 1.0
        else:
            share = 2 * others if kind == "all-reduce" else others
        channel = re.search(r"channel_id=(\d+)", instruction.rest)
        key = channel[1] if channel and computation in fused else instruction.name
        by_channel[key] = max(by_channel.get(key, (0, "", 0.0)), (times, kind, size * share))
    found: dict[str, Collective] = {}
    for times, kind, sent in sorted(by_channel.values(), key=lambda each: each[1]):
        before = found.get(kind, Collective(0, 0.0))
        found[kind] = Collective(before.times + times, before.bytes + times * sent)
    return found


def product_bytes(text: str, while_trips: int = 1) -> float:
    """Bytes of the operands and results of a device's matrix products in compiled.as_text()."""
    module = _parsed(text)
    types = {
        name: {instruction.name: instruction.type for instruction in instructions}
        for name, instructions in module.computations.items()
    }
    total = 0.0
    for times, computation, instruction in _executed(module, while_trips):
        if instruction.opcode in ("convolution", "dot"):
            operands = re.findall(r"%([\w.\-]+)", instruction.rest.split(")")[0])
            arrays = [instruction.type, *(types[computation].get(name, "") for name in operands)]
            total += times * sum(map(_bytes, arrays))
    return total


def _parsed(text: str) -> _Module:
    header = re.search(r"num_partitions=(\d+)", text.partition("\n")[0])
    module, current = _Module(int(header[1]) if header else 1), ""
    for line in text.splitlines():
        if match := _COMPUTATION.match(line):
            current = match[2]
            module.computations[current] = []
            if match[1]:
                module.entry = current
        elif current and (match := _INSTRUCTION.match(line)):
            module.computations[current].append(_Instruction(*match.groups()))
    return module


def _executed(module: _Module, while_trips: int) -> Iterator[tuple[int, str, _Instruction]]:
    """(times, computation, instruction) for every instruction that runs."""
    runs: Counter[str] = Counter()

    def visit(computation: str, times: int) -> None:
        runs[computation] += times
        for instruction in module.computations.get(computation, ()):
            rounds = 1
            if instruction.opcode == "while":
                rounds = _trip_count(module, instruction) or while_trips
            for one, several in _CALLED.findall(instruction.rest):
                for name in [one] if one else re.findall(r"%([\w.\-]+)", several):
                    visit(name, times * rounds)

    visit(module.entry, 1)
    for computation, times in runs.items():
        for instruction in module.computations.get(computation, ()):
            yield times, computation, instruction


def _trip_count(module: _Module, loop: _Instruction) -> int | None:
    """Rounds of a loop that counts from 0 to a constant in its condition, as jax.lax.scan."""
    if match := re.search(r'known_trip_count"?:\s*\{"?n"?:\s*"?(\d+)', loop.rest):
        return int(match[1])
    condition = re.search(r"condition=%([\w.\-]+)", loop.rest)
    instructions = module.computations.get(condition[1], ()) if condition else ()
    bounds = [
        int(match[1])
        for instruction in instructions
        if instruction.opcode == "constant"
        and instruction.type.startswith("s32[]")
        and (match := re.match(r"(-?\d+)\)", instruction.rest))
    ]
    return max(bounds, default=0) or None


def _result_bytes(instruction: _Instruction) -> int:
    """Bytes of a collective's result; the start of an asynchronous one has operands as well."""
    if not instruction.opcode.endswith("-start") or instruction.opcode == "all-reduce-start":
        return _bytes(instruction.type)
    arrays = [_bytes(f"{kind}[{shape}]") for kind, shape in _ARRAY.findall(instruction.type)]
    return max(arrays, default=0)


def _bytes(type_: str) -> int:
    return sum(
        _item_bytes(kind) * math.prod(int(n) for n in shape.split(",") if n)
        for kind, shape in _ARRAY.findall(re.sub(r"\{[^{}]*\}", "", type_))
    )


def _item_bytes(kind: str) -> int:
    if kind == "pred":
        return 1
    bits = re.match(r"[a-z]+(\d+)", kind)
    return max(1, int(bits[1]) // 8) if bits else 0


def _group_size(rest: str, num_devices: int) -> int:
    """The number of devices in a group; all devices where the text has no groups."""
    if match := re.search(r"replica_groups=\{\{([\d,]*)\}", rest):
        return len(match[1].split(","))
    if match := re.search(r"replica_groups=\[\d+,(\d+)\]", rest):
        return int(match[1])
    if match := re.search(r"replica_groups=mesh\[([^\]]*)\][^{]*\{([^}]*)\}", rest):
        sizes = dict(re.findall(r"'([\w.]+)'=(\d+)", match[1]))
        axes = re.findall(r"'([\w.]+)'(?::\(\d+\)(\d+))?", match[2])
        return math.prod(int(part or sizes[axis]) for axis, part in axes)
    return num_devices
