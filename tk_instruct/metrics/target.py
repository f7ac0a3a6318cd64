"""What the metrics score a prediction against."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Target:
    """What a prediction is scored against.

    Raises TypeError for one string in place of a tuple, ValueError without references.

    Attributes:
        references: right answers; metrics that know only one take the first.
        options: the classes, as the prompt words them, in the order of their labels.
        group: predictions of one group are scored together, e.g. those of one MultiRC question.
    """

    references: tuple[str, ...]
    options: tuple[str, ...] = ()
    group: str = ""

    def __post_init__(self) -> None:
        if isinstance(self.references, str):
            raise TypeError(f"references={self.references!r} must be a tuple; pass (reference,)")
        if not self.references:
            raise ValueError("references=() must hold at least one string")


@dataclass(frozen=True, slots=True)
class OptionTarget:
    """One option of an example, to be scored by its log-likelihood; example is an id."""

    example: str
    is_correct: bool


def check_lengths(targets: Sequence[Any], outputs: Sequence[Any]) -> None:
    """Raises ValueError where nothing is to be scored, or not one output for each target."""
    if len(targets) == 0:
        raise ValueError("targets=[] must hold at least one target")
    if len(targets) != len(outputs):
        raise ValueError(
            f"{len(targets)} targets and {len(outputs)} model outputs must be as many; "
            "pass one output for each target"
        )
