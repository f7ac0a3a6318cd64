"""The gin configurables of FLAN's examples and prompts."""

from dataclasses import dataclass

import gin

from tk_instruct.ranges import check_seed


@gin.configurable(module="tk_instruct")
@dataclass(frozen=True)
class FLAN:
    """How FLAN's examples become prompts.

    Attributes:
        seed: draws the templates and the exemplars.
        templates: a checkout of google-research/FLAN, whose templates replace this project's.
        released_turns: whether prompts and answers have its marks, `0 PROMPT X 1 FLAN`.
    """

    seed: int = 0
    templates: str | None = None
    released_turns: bool = False

    def __post_init__(self) -> None:
        check_seed("FLAN.seed", self.seed)


@gin.configurable(module="tk_instruct")
@dataclass(frozen=True)
class FLAN2022:
    """The user's files for FLAN 2022, with JSON lines {"inputs", "targets"}."""

    t0: str | None = None
    cot: str | None = None
    dialog: str | None = None
