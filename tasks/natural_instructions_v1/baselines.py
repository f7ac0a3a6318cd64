"""Heuristic baselines: what copying scores."""

from collections.abc import Iterator, Sequence

from tk_instruct.data.task import Example
from tk_instruct.inference.heuristics import Labelled

from . import records
from .splits import evaluated
from .tasks import Instruction


def copy_input(example: Example) -> str:
    """The input of the instance."""
    return example["input"]


def copy_demo(example: Example) -> str:
    """The output of the task's first positive example, or an empty text if there is none."""
    demonstrations = Instruction.from_json(example["instruction"]).task.positive_examples
    return demonstrations[0].output if demonstrations else ""


def labelled(task: str, splits: Sequence[str]) -> Iterator[Labelled]:
    """The positive examples of all tasks, and their instances that are not evaluated."""
    for name, path in records.files().items():
        spec, instances = records.read_task(path)
        for example in spec.positive_examples:
            yield Labelled(name, [example.output])
        of_evaluation = {*evaluated(len(instances))}
        for position, instance in enumerate(instances):
            if position not in of_evaluation:
                yield Labelled(name, instance.outputs)
