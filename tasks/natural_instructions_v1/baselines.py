"""Heuristic baselines: what copying scores."""

from tk_instruct.data.task import Example

from .tasks import Instruction


def copy_input(example: Example) -> str:
    """The input of the instance."""
    return example["input"]


def copy_demo(example: Example) -> str:
    """The output of the task's first positive example, or an empty text if there is none."""
    demonstrations = Instruction.from_json(example["instruction"]).task.positive_examples
    return demonstrations[0].output if demonstrations else ""
