"""Heuristics that predict: what a model has to beat (Wang et al. 2022, table 3)."""

from tk_instruct.data.task import Example

from .records import TaskSpec


def copy_input(example: Example) -> str:
    """The instance's input as it is."""
    return example["input"]


def copy_demo(example: Example) -> str:
    """The output of the task's first positive example."""
    demonstrations = TaskSpec.from_json(example["instruction"]).positive_examples
    return demonstrations[0].output if demonstrations else ""
