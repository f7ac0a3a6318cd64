"""A task and an instance → the text that the model reads. Pure Python; strings only.

The layout is Tk-Instruct's (Wang et al. 2022, appendix; the released collator): task name,
definition, positive examples, negative examples and the instance, put together without a
separator, with a full stop after every field that does not end in ASCII punctuation.
"""

import string
from dataclasses import dataclass

from tk_instruct.data.tokenization import Budget
from tk_instruct.errors import UserError
from tk_instruct.randomness import choose

from .records import Demonstration, TaskSpec


@dataclass(frozen=True)
class Encoding:
    """Which parts of a task's instruction go into the prompt."""

    task_name: bool = False
    definition: bool = False
    num_positive_examples: int = 0
    num_negative_examples: int = 0
    explanations: bool = False


# Where an encoding has several forms, each instance is given one of them.
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
    """The encoding of one instance: a pure function of the arguments."""
    if name not in ENCODINGS:
        raise UserError(f"encoding={name!r} is not one of {', '.join(ENCODINGS)}")
    return choose(ENCODINGS[name], seed, "encoding", task, instance_id)


def render(
    task: TaskSpec, instance_input: str, encoding: Encoding, budget: Budget | None = None
) -> str:
    """The prompt, within the budget where there is one.

    Examples are added while definition, examples and input fit; the first positive one that does
    not fit ends the positive ones, the first negative one the negative ones. A prompt that is
    too long without any keeps the text of its first tokens.
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
            # As released, the budget is checked without the task name.
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
    # The label counts: an empty field ends in a space and so gets its full stop.
    return text if text[-1] in string.punctuation else text + "."
