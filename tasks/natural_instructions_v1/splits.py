"""The 61 tasks with their categories and datasets, the splits of tasks, and those of instances.

collection.csv beside this file has one line a task. Its sources:

- category: the paper's six (arXiv:2104.08773, section 3.3), of which it gives the numbers of tasks:
  13, 16, 12, 8, 10 and 2. `listed_as` is the category that the first revisions of
  allenai/natural-instructions give the same task in tasks/README.md. They have two names, "Text
  Modification" and "Long Text Generation", for the paper's minimal modification: ten tasks in all.
- dataset: it is a part of the task's name. Three names have none: `miscellaneous`.
- unseen: the twelve tasks that the paper's random split holds out, two of each category. The
  released predictions of GPT-3 are of these tasks.
- instances: how many the files have in anonymousGPT/natural-instructions-v1 at 22fe026. Those of
  subtask002 follow from the positions in its released predictions. Twelve are not known.
"""

import csv
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

# Name in names of splits and scores → the paper's title and its short form, in the order of the
# paper's tables.
CATEGORIES = {
    "question_generation": ("question generation", "QG"),
    "answer_generation": ("answer generation", "AG"),
    "classification": ("classification", "CF"),
    "incorrect_answer_generation": ("incorrect answer generation", "IAG"),
    "minimal_modification": ("minimal modification", "MM"),
    "verification": ("verification", "VF"),
}
RANDOM = "random"
NUM_EVALUATED = 100  # instances of a task
_NUM_RESERVED = 60  # first instances of a task, which the released code keeps for examples


@dataclass(frozen=True)
class Member:
    """A task of the collection, without its file.

    num_released: the number of its instances as released, or None if it is not known.
    """

    name: str
    category: str
    dataset: str
    is_unseen_in_random: bool
    num_released: int | None


@cache
def collection() -> Mapping[str, Member]:
    """Name → task, in the order of the numbers in their names."""
    with (Path(__file__).parent / "collection.csv").open(encoding="utf-8", newline="") as file:
        return {
            row["task"]: Member(
                row["task"],
                row["category"],
                row["dataset"],
                row["unseen"] == RANDOM,
                int(row["instances"]) if row["instances"] else None,
            )
            for row in csv.DictReader(file)
        }


@dataclass(frozen=True)
class TaskSplit:
    """Which tasks are trained on (seen) and which are evaluated (unseen)."""

    name: str
    seen: Sequence[str]
    unseen: Sequence[str]


def _without(name: str, unseen: Collection[str]) -> TaskSplit:
    return TaskSplit(
        name,
        seen=[task for task in collection() if task not in unseen],
        unseen=[task for task in collection() if task in unseen],
    )


@cache
def task_splits() -> Mapping[str, TaskSplit]:
    """Name → split of the tasks.

    random, without_category_C, without_dataset_D, without_task_T, and only_task_T, which trains and
    evaluates one task on different instances: the paper's task-specific upper bound.
    """
    members = collection().values()
    unseen = {RANDOM: [member.name for member in members if member.is_unseen_in_random]}
    for category in CATEGORIES:
        unseen[f"without_category_{category}"] = [m.name for m in members if m.category == category]
    for dataset in dict.fromkeys(member.dataset for member in members):
        unseen[f"without_dataset_{dataset}"] = [m.name for m in members if m.dataset == dataset]
    unseen |= {f"without_task_{task}": [task] for task in collection()}
    splits = {name: _without(name, tasks) for name, tasks in unseen.items()}
    return splits | {f"only_task_{t}": TaskSplit(f"only_task_{t}", [t], [t]) for t in collection()}


def evaluated(num_instances: int) -> range:
    """The positions of a task's instances that are evaluated.

    From 161 instances on, the 100 of the released code, spread over all but the first 60. The
    released code has none for fewer: its step is zero, or the hundredth is missing. Then they are
    the first 100 after the first 60, or after the first half if that is less.
    """
    if num_instances > _NUM_RESERVED + NUM_EVALUATED:
        step = (num_instances - _NUM_RESERVED) // NUM_EVALUATED
        return range(_NUM_RESERVED, num_instances - 1, step)[:NUM_EVALUATED]
    return range(min(_NUM_RESERVED, num_instances // 2), num_instances)[:NUM_EVALUATED]


def extra_examples(number: int) -> list[int]:
    """The positions of the instances that stand for positive examples which a file lacks.

    As in the released code: the first ones, but 80 in place of 60.
    """
    return [80 if k == 60 else k for k in range(number)]
