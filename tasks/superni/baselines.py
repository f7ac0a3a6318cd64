"""Heuristic baselines (Wang et al. 2022, table 3)."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace

from tk_instruct.data.task import Example
from tk_instruct.errors import EmptySplitError
from tk_instruct.inference.heuristics import Labelled

from .records import SuperNI, TaskSpec
from .settings import TRACK_NAMES

_ALL = 10**6  # more than a task has


def copy_input(example: Example) -> str:
    """The input of the instance."""
    return example["input"]


def copy_demo(example: Example) -> str:
    """The output of the task's first positive example, or an empty text if there is none."""
    demonstrations = TaskSpec.from_json(example["instruction"]).positive_examples
    return demonstrations[0].output if demonstrations else ""


def labelled(task: str, splits: Sequence[str]) -> Iterator[Labelled]:
    """The positive examples of the splits' tasks, and the instances that are not evaluated.

    Of test tasks these are those beyond max_instances_per_eval_task; of train tasks those that are
    trained on.
    """
    options, track = SuperNI(), TRACK_NAMES[task.split("_")[1]]
    for split in dict.fromkeys(splits):
        for spec in {example.task for example in options.examples(track, split)}:
            for example in spec.positive_examples:
                yield Labelled(spec.name, [example.output])
        of = options
        if split == "test":
            of = replace(options, supervised=True, max_instances_per_train_task=_ALL)
        if split in ("train", "validation", "test"):
            with contextlib.suppress(EmptySplitError):  # all are evaluated
                for instance in of.examples(track, "train"):
                    yield Labelled(instance.task.name, instance.references)
