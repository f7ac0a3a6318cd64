"""The targets that metrics score predictions against."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Target:
    """The right answers to one example.

    Raises TypeError if references is one string, ValueError if it is empty.

    Attributes:
        references: the right answers. Some metrics use only the first.
        options: the classes in the prompt's words, in the order of their labels.
        group: predictions of one group are scored together, such as those of a MultiRC question.
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
    """One option of an example, which is scored by its log-likelihood. example is the id."""

    example: str
    is_correct: bool


def check_lengths(targets: Sequence[Any], outputs: Sequence[Any]) -> None:
    """Raises ValueError if there are no targets, or not one output for each target."""
    if len(targets) == 0:
        raise ValueError("targets=[] must hold at least one target")
    if len(targets) != len(outputs):
        raise ValueError(
            f"{len(targets)} targets and {len(outputs)} model outputs must be as many; "
            "pass one output for each target"
        )
