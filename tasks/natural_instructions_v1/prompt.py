"""Makes the prompt of a task's instance as the released encodeinstruction.py does, byte for byte.

Source: allenai/natural-instructions-v1, src/utils/encodeinstruction.py. What is odd there is kept:
a prompt without an instruction, or with headed examples first, begins with a newline; the reason
and the suggestion of a negative example share a line; instances stand for positive examples that a
file lacks, without a reason.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tk_instruct.data.tokenization import Budget

from .records import Instance, NegativeExample, PositiveExample, TaskSpec

# Field of TaskSpec → its label, in the order of prompts.
_LABELS = {
    "definition": "Definition",
    "prompt": "Prompt",
    "things_to_avoid": "Things to Avoid",
    "emphasis": "Emphasis & Caution",
}
_NO_SUGGESTION = " "


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
        parts = [_LABELS[field] for field in self.fields]
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
        "all_fields": tuple(_LABELS),
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


# Each choice of fields with each choice of examples. `full` is the paper's full instruction.
ENCODINGS = _encodings()


def render(
    task: TaskSpec,
    extra: Sequence[Instance],
    instance_input: str,
    encoding: Encoding,
    num_examples: int,
    budget: Budget | None = None,
) -> str:
    """The prompt of an instance.

    If it has more than the budget's tokens, it has fewer examples of each kind. If it is too long
    without them, its first tokens are kept.

    Args:
        extra: the instances that stand for positive examples which the task lacks.
    """
    has_examples = encoding.negative or encoding.positive
    prompt = ""
    for number in range(num_examples if has_examples else 0, -1, -1):
        instruction = _instruction(task, extra, encoding, number)
        prompt = f"{instruction}\ninput: {instance_input}\noutput:"
        if budget is None or budget.admits(prompt):
            return prompt
    assert budget is not None
    return budget.cut(prompt)


def _instruction(task: TaskSpec, extra: Sequence[Instance], encoding: Encoding, number: int) -> str:
    text = ""
    for field in encoding.fields:
        if (content := getattr(task, field)) is not None:
            text += ("\n" if text else "") + f"{_LABELS[field]}: {content.strip()}"
    if encoding.negative:
        for k, negative in enumerate(task.negative_examples[:number], start=1):
            text += f"\nNegative Example{k}- \n" + _explained(negative)
    examples = [*task.positive_examples, *extra][:number]
    for k, example in enumerate(examples if encoding.positive else (), start=1):
        if encoding.positive == "explained":
            text += f"\nPositive Example{k}- \n" + _explained(example)
        else:
            begins = not text and isinstance(example, PositiveExample)
            text += ("" if begins else "\n") + _plain(example)
    return text


def _plain(example: PositiveExample | NegativeExample | Instance) -> str:
    output = example.outputs[0] if isinstance(example, Instance) else example.output
    return f"input: {example.input}\noutput: {output}"


def _explained(example: PositiveExample | NegativeExample | Instance) -> str:
    text = _plain(example)
    if not isinstance(example, Instance):
        text += f"\nreason: {example.reason}"
    if isinstance(example, NegativeExample) and example.suggestion != _NO_SUGGESTION:
        text += f"suggestion: {example.suggestion}"
    return text
