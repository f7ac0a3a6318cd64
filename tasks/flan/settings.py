"""What gin can set of FLAN's examples and prompts."""

from dataclasses import dataclass

import gin

from tk_instruct.ranges import check_seed


@gin.configurable(module="tk_instruct")
@dataclass(frozen=True)
class FLAN:
    """How FLAN's examples become prompts.

    Attributes:
        seed: of the templates and of the exemplars that are drawn.
        templates: a copy of google-research/FLAN, whose wording is used in place of our own.
        released_turns: whether its marks stand around prompts and answers: `0 PROMPT X 1 FLAN`.
    """

    seed: int = 0
    templates: str | None = None
    released_turns: bool = False

    def __post_init__(self) -> None:
        check_seed("FLAN.seed", self.seed)


@gin.configurable(module="tk_instruct")
@dataclass(frozen=True)
class FLAN2022:
    """The user's files for FLAN 2022, JSON lines {"inputs", "targets"}."""

    t0: str | None = None
    cot: str | None = None
    dialog: str | None = None
