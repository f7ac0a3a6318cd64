"""Heuristic baselines (Wang et al. 2022, table 3)."""

from tk_instruct.data.task import Example

from .records import TaskSpec


def copy_input(example: Example) -> str:
    """The input of the instance."""
    return example["input"]


def copy_demo(example: Example) -> str:
    """The output of the task's first positive example, or an empty text if there is none."""
    demonstrations = TaskSpec.from_json(example["instruction"]).positive_examples
    return demonstrations[0].output if demonstrations else ""
