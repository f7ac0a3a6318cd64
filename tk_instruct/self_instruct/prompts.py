"""The prompts of each stage, in the published form (arXiv:2212.10560, appendix A).

Headers and examples are this project's own. The examples come from the seed tasks and are the same
for every request of a run, so that a server can cache the beginning of the prompt.
"""

import re
from collections.abc import Callable, Sequence

from tk_instruct import randomness
from tk_instruct.errors import UserError
from tk_instruct.self_instruct.seeds import Instance, SeedTask

NUM_YES, NUM_NO = 12, 19  # examples of stage 2
# Examples of stage 3: their number, and the most characters of all together. The published model
# takes 2,048 tokens of about four characters; this leaves room for the answer.
_CLASSIFICATION = (8, 4000)
_WITH_INPUT, _WITHOUT_INPUT = (12, 4000), (4, 1000)

_LIST = "This is a list of varied tasks:"
_IS_CLASSIFICATION = (
    "Is a task a classification task, one whose answer is one of a few labels that are known "
    "beforehand?"
)
_INPUT_FIRST = (
    "For each task below, give examples of inputs and of the right outputs, several where that is "
    "possible. Where a task needs no input, give the output alone."
)
_OUTPUT_FIRST = (
    "For each classification task below, give for every one of its labels an input that has it. "
    "Where a task needs no input, give the label alone."
)
CLASS_LABEL = "Class label:"
# One to three words, then perhaps a number: `Sentence`, `Review 2`, `The original words`.
FIELD_NAME = r"[^\W\d_]+(?: [^\W\d_]+){0,2}(?: [0-9]+)?"


def numbered_list(instructions: Sequence[str]) -> str:
    """Stage 1: instructions as a list that ends in the number of the next one."""
    lines = [
        f"{number}. {' '.join(instruction.split()).rstrip(':')}\n"
        for number, instruction in enumerate(instructions, start=1)
    ]
    return f"{_LIST}\n{''.join(lines)}{len(instructions) + 1}."


class FewShot:
    """The prompts of stages 2 and 3, with examples from the seed tasks.

    Raises UserError where the seed tasks are all classification, or none of them is.
    """

    def __init__(self, seeds: Sequence[SeedTask], seed: int) -> None:
        yes = [task for task in seeds if task.is_classification]
        no = [task for task in seeds if not task.is_classification]
        for kind, found in (("classification tasks", yes), ("other tasks", no)):
            if not found:
                raise UserError(
                    f"there are no {kind} among the {len(seeds)} seed tasks, which a model has to "
                    "be shown; add some to the file of seeds"
                )
        of_both = _choose(yes, NUM_YES, seed, "yes") + _choose(no, NUM_NO, seed, "no")
        self._questions = _IS_CLASSIFICATION + "".join(
            f"\n\n{_question(task.instruction)} {'Yes' if task.is_classification else 'No'}"
            for task in randomness.sample(of_both, len(of_both), seed, "order")
        )
        shown = _short_ones(yes, *_CLASSIFICATION, seed, "output_first", _output_first)
        self._output_first = "\n\n".join([_OUTPUT_FIRST, *map(_output_first, shown)])
        with_input = [task for task in no if all(each.input.strip() for each in task.instances)]
        without = [task for task in no if not any(each.input.strip() for each in task.instances)]
        shown = _short_ones(with_input, *_WITH_INPUT, seed, "with_input", _input_first)
        shown += _short_ones(without, *_WITHOUT_INPUT, seed, "without_input", _input_first)
        shown = randomness.sample(shown, len(shown), seed, "input_first order")
        self._input_first = "\n\n".join([_INPUT_FIRST, *map(_input_first, shown)])

    def is_classification(self, instruction: str) -> str:
        """Stage 2: a question to be answered by yes or no."""
        return f"{self._questions}\n\n{_question(instruction)}"

    def input_first(self, instruction: str) -> str:
        """Stage 3, tasks that are not classification: each example is an input, then its output."""
        return f"{self._input_first}\n\nTask: {instruction.strip()}\n"

    def output_first(self, instruction: str) -> str:
        """Stage 3, classification: each example is a label, then an input; so all labels occur."""
        return f"{self._output_first}\n\nTask: {instruction.strip()}\n"


def _question(instruction: str) -> str:
    return f"Task: {instruction.strip()}\nIs it classification?"


def _input_first(task: SeedTask) -> str:
    if not task.instances[0].input.strip():
        return f"Task: {task.instruction.strip()}\nOutput: {task.instances[0].output.strip()}"
    examples = [
        f"Example {number}\n{_fields(instance)}\nOutput: {instance.output.strip()}"
        for number, instance in enumerate(task.instances, start=1)
    ]
    return "\n".join([f"Task: {task.instruction.strip()}", *examples])


def _output_first(task: SeedTask) -> str:
    examples = [
        f"{CLASS_LABEL} {instance.output.strip()}\n{_fields(instance)}".rstrip()
        for instance in task.instances
    ]
    return "\n".join([f"Task: {task.instruction.strip()}", *examples])


def _fields(instance: Instance) -> str:
    """The input, beginning with the name of its first field."""
    text = instance.input.strip()
    return text if not text or re.match(rf"{FIELD_NAME}:\s", text) else f"Input: {text}"


def _choose(tasks: Sequence[SeedTask], count: int, seed: int, purpose: str) -> list[SeedTask]:
    return randomness.sample(tasks, count, seed, f"few_shot {purpose}")


def _short_ones(
    tasks: Sequence[SeedTask],
    count: int,
    room: int,
    seed: int,
    purpose: str,
    text_of: Callable[[SeedTask], str],
) -> list[SeedTask]:
    """At most count tasks whose texts fit into `room` characters together.

    Tasks with several instances come first. A task whose text is longer than twice its share of
    the room is left out; if all are, the shortest is taken.
    """
    shuffled = _choose(tasks, len(tasks), seed, purpose)
    chosen: list[SeedTask] = []
    left = room
    for task in sorted(shuffled, key=lambda task: len(task.instances) == 1):
        length = len(text_of(task))
        if len(chosen) < count and length <= min(left, 2 * room // count):
            chosen.append(task)
            left -= length
    return chosen or sorted(shuffled, key=lambda task: len(text_of(task)))[:1]
