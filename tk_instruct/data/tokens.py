"""An example as tokens, and the maximum lengths of its inputs and targets."""

from dataclasses import dataclass
from typing import NamedTuple

import msgpack
import numpy as np

from tk_instruct.ranges import check_whole


@dataclass(frozen=True)
class FeatureLengths:
    """The maximum numbers of tokens of an example's inputs and targets, EOS included."""

    inputs: int
    targets: int

    def __post_init__(self) -> None:
        for field in ("inputs", "targets"):
            # From one token and EOS to far more than any model is trained with.
            check_whole(f"feature length {field}", getattr(self, field), 2, 2**20)

    def as_dict(self) -> dict[str, int]:
        return {"inputs": self.inputs, "targets": self.targets}


class Tokens(NamedTuple):
    """One example: its id, and its inputs and targets as token ids [length], EOS included."""

    id: str
    inputs: np.ndarray
    targets: np.ndarray

    @property
    def lengths(self) -> tuple[int, int]:
        return len(self.inputs), len(self.targets)

    def to_bytes(self) -> bytes:
        return msgpack.packb(
            (self.id, self.inputs.astype("<i4").tobytes(), self.targets.astype("<i4").tobytes())
        )

    @classmethod
    def from_bytes(cls, record: bytes) -> "Tokens":
        id_, inputs, targets = msgpack.unpackb(record)
        return cls(id_, np.frombuffer(inputs, "<i4"), np.frombuffer(targets, "<i4"))
