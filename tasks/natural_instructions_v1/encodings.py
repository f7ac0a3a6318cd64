"""The encodings of Natural Instructions v1: which parts of a task's instruction a prompt has.

Each choice of fields goes with each choice of examples. `full` is the paper's full instruction, and
`none` its baseline without an instruction.
"""

from dataclasses import dataclass
from typing import Literal

# Field of TaskSpec → its label, in the order of prompts.
LABELS = {
    "definition": "Definition",
    "prompt": "Prompt",
    "things_to_avoid": "Things to Avoid",
    "emphasis": "Emphasis & Caution",
}


@dataclass(frozen=True)
class Encoding:
    """The parts of a task's instruction that are in the prompt, in this order.

    Attributes:
        fields: of TaskSpec.
        negative: whether there are negative examples, with heading, reason and suggestion.
        positive: plain examples are input and output, explained ones have a heading and a reason.
    """

    fields: tuple[str, ...] = ()
    negative: bool = False
    positive: Literal["plain", "explained"] | None = None

    @property
    def released_name(self) -> str:
        """The name in the released predictions, such as `_Prompt_Positive Examples Full Only`."""
        parts = [LABELS[field] for field in self.fields]
        if self.negative:
            parts.append("Negative Examples Full Explanations")
        if self.positive:
            form = "Only" if self.positive == "plain" else "Explanations"
            parts.append(f"Positive Examples Full {form}")
        return "".join(f"_{part}" for part in parts)


def _encodings() -> dict[str, Encoding]:
    fields_of: dict[str, tuple[str, ...]] = {
        "": (),
        "definition": ("definition",),
        "prompt": ("prompt",),
        "prompt_definition": ("definition", "prompt"),
        "prompt_things_to_avoid": ("prompt", "things_to_avoid"),
        "prompt_emphasis": ("prompt", "emphasis"),
        "all_fields": tuple(LABELS),
    }
    examples_of = {
        "": Encoding(),
        "positive": Encoding(positive="plain"),
        "positive_explained": Encoding(positive="explained"),
        "negative": Encoding(negative=True),
        "negative_positive": Encoding(negative=True, positive="plain"),
        "negative_positive_explained": Encoding(negative=True, positive="explained"),
    }
    found = {
        "_".join(filter(None, (fields, examples))) or "none": Encoding(
            fields_of[fields], examples_of[examples].negative, examples_of[examples].positive
        )
        for fields in fields_of
        for examples in examples_of
    }
    found["full"] = found.pop("all_fields_negative_positive_explained")
    return found


ENCODINGS = _encodings()
