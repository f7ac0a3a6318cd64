"""Named rules for dropping instructions and instances, in the published order."""

import re
import string
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import gin

from tk_instruct.errors import UserError
from tk_instruct.self_instruct.seeds import Instance


@gin.configurable(module="tk_instruct")
@dataclass(frozen=True)
class Heuristics:
    """Rules for instructions, with the published values for English.

    White space separates words. For another script, or a language without spaces between words,
    set min_words, unsuitable_words and ascii_first_character.
    """

    min_words: int = 4
    max_words: int = 150
    unsuitable_words: tuple[str, ...] = (
        "image",
        "images",
        "graph",
        "graphs",
        "picture",
        "pictures",
        "file",
        "files",
        "map",
        "maps",
        "draw",
        "plot",
        "go to",
    )
    unsuitable_beginnings: tuple[str, ...] = ("Write a program",)
    ascii_first_character: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.min_words <= self.max_words:
            raise UserError(
                f"Heuristics.min_words={self.min_words} must be at least 1 and at most "
                f"max_words={self.max_words}"
            )

    @cached_property
    def _unsuitable(self) -> re.Pattern[str] | None:
        words = "|".join(map(re.escape, self.unsuitable_words))
        return re.compile(rf"\b(?:{words})\b", re.IGNORECASE) if words else None

    def broken_by(self, instruction: str) -> str | None:
        """The name of the first rule that an instruction breaks, if any."""
        num_words = len(instruction.split())
        if not instruction:
            return "empty"
        if num_words < self.min_words:
            return "too_short"
        if num_words > self.max_words:
            return "too_long"
        if self._unsuitable and self._unsuitable.search(instruction):
            return "unsuitable_word"
        if instruction.casefold().startswith(
            tuple(beginning.casefold() for beginning in self.unsuitable_beginnings)
        ):
            return "unsuitable_beginning"
        if instruction[0] in string.punctuation:
            return "begins_with_punctuation"
        if self.ascii_first_character and not instruction[0].isascii():
            return "begins_with_non_ascii"
        return None


def instance_broken_by(instance: Instance) -> str | None:
    """The name of the first rule that an instance breaks, if any."""
    if instance.input == instance.output:
        return "output_is_input"
    if not instance.output:
        return "empty_output"
    if instance.input.endswith(":") or instance.output.endswith(":"):
        return "ends_with_colon"
    return None


def contradict(instances: Sequence[Instance]) -> bool:
    """Whether two instances have the same input, which is not empty, but different outputs."""
    outputs: dict[str, str] = {}
    return any(
        instance.input and outputs.setdefault(instance.input, instance.output) != instance.output
        for instance in instances
    )
