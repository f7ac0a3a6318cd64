"""Makes the prompt of a task's instance as the released encodeinstruction.py does, byte for byte.

Source: allenai/natural-instructions-v1, src/utils/encodeinstruction.py. What is odd there is kept:
a prompt without an instruction, or with headed examples first, begins with a newline; the reason
and the suggestion of a negative example share a line; instances stand for positive examples that a
file lacks, without a reason.
"""

from collections.abc import Sequence

from tk_instruct.data.tokenization import Budget

from .encodings import LABELS, Encoding
from .records import Instance, NegativeExample, PositiveExample, TaskSpec

_NO_SUGGESTION = " "


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
            text += ("\n" if text else "") + f"{LABELS[field]}: {content.strip()}"
    if encoding.negative:
        for k, negative in enumerate(task.negative_examples[:number], start=1):
            text += f"\nNegative Example{k}- \n" + _explained(negative)
    examples: list[PositiveExample | Instance] = [*task.positive_examples, *extra]
    for k, example in enumerate(examples[:number] if encoding.positive else (), start=1):
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
