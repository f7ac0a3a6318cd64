"""Makes the prompt of a task's instance, in pure Python.

The layout is Tk-Instruct's (Wang et al. 2022, appendix; the released collator): task name,
definition, positive examples, negative examples and the instance, without separators. Every field
that does not end in ASCII punctuation gets a full stop.
"""

import string
from dataclasses import dataclass

from tk_instruct.data.tokenization import Budget
from tk_instruct.errors import UserError
from tk_instruct.randomness import choose

from .records import Demonstration, TaskSpec


@dataclass(frozen=True)
class Encoding:
    """The parts of a task's instruction that are in the prompt."""

    task_name: bool = False
    definition: bool = False
    num_positive_examples: int = 0
    num_negative_examples: int = 0
    explanations: bool = False


# Name of an encoding → its forms. If there are several, one is drawn for each instance.
ENCODINGS: dict[str, tuple[Encoding, ...]] = {
    "input_only": (Encoding(),),
    "task_name": (Encoding(task_name=True),),
    "def": (Encoding(definition=True),),
    "pos1": (Encoding(num_positive_examples=1),),
    "pos2": (Encoding(num_positive_examples=2),),
    "pos4": (Encoding(num_positive_examples=4),),
    "def_pos1": (Encoding(definition=True, num_positive_examples=1),),
    "def_pos2": (Encoding(definition=True, num_positive_examples=2),),
    "def_pos4": (Encoding(definition=True, num_positive_examples=4),),
    "def_pos2_neg2": (Encoding(definition=True, num_positive_examples=2, num_negative_examples=2),),
    "def_pos2_neg2_expl": (
        Encoding(
            definition=True, num_positive_examples=2, num_negative_examples=2, explanations=True
        ),
    ),
    "tk_instruct": (
        Encoding(definition=True),
        Encoding(num_positive_examples=2),
        Encoding(definition=True, num_positive_examples=2),
        Encoding(definition=True, num_positive_examples=2, num_negative_examples=2),
        Encoding(definition=True, num_positive_examples=2, explanations=True),
    ),
}


def encoding_of(name: str, *, seed: int, task: str, instance_id: str) -> Encoding:
    """The form of an encoding for one instance, a pure function of the arguments.

    Raises UserError if there is no encoding of that name.
    """
    if name not in ENCODINGS:
        raise UserError(f"encoding={name!r} is not one of {', '.join(ENCODINGS)}")
    return choose(ENCODINGS[name], seed, "encoding", task, instance_id)


def render(
    task: TaskSpec, instance_input: str, encoding: Encoding, budget: Budget | None = None
) -> str:
    """The prompt of an instance, which has at most the budget's tokens.

    Adds positive examples until one does not fit, then negative examples until one does not fit. If
    the prompt is too long without examples, keeps the text of its first tokens.
    """
    definition = ""
    if encoding.definition:
        definition = _field("Definition: ", task.definition) + "\n\n"
    instance = (
        "Now complete the following example -\n" + _field("Input: ", instance_input) + "\nOutput: "
    )
    examples = ""
    for kind, candidates in (
        ("Positive", task.positive_examples[: encoding.num_positive_examples]),
        ("Negative", task.negative_examples[: encoding.num_negative_examples]),
    ):
        for number, candidate in enumerate(candidates, start=1):
            example = _example(f" {kind} Example {number} -\n", candidate, encoding.explanations)
            # The released collator also leaves the task name out of this check.
            if budget and not budget.admits(definition + examples + example + instance):
                break
            examples += example
    name = f"{task.name}. " if encoding.task_name else ""
    prompt = name + definition + examples + instance
    return prompt if budget is None or budget.admits(prompt) else budget.cut(prompt)


def _example(heading: str, example: Demonstration, with_explanation: bool) -> str:
    text = heading + _field("Input: ", example.input) + "\n"
    text += _field(" Output: ", example.output) + "\n"
    if with_explanation and example.explanation is not None:
        text += _field(" Explanation: ", example.explanation) + "\n"
    return text + "\n"


def _field(label: str, content: str) -> str:
    text = label + content.strip()
    # The check includes the label, so an empty field ends in a space and gets a full stop.
    return text if text[-1] in string.punctuation else text + "."
