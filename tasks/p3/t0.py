"""T0's data sets, tasks and mixtures, as t-zero released them (arXiv:2110.08207).

The two tables beside this file hold the facts: the data sets with their sizes, and which templates
of promptsource 0.1.0 are in which mixture. Reading them needs no templates and no data.
"""

import csv
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from .templates import DatasetName

_MOST_EXAMPLES = 500_000  # of a data set, which its templates share
ANLI = DatasetName("anli")
ANLI_ROUNDS = ("r1", "r2", "r3")


@dataclass(frozen=True)
class Dataset:
    """A data set of T0.

    Attributes:
        group: what it asks for, such as sentiment.
        num_train_examples: as the released list has it. 0 for those that are never trained on.
        num_templates: of promptsource 0.1.0.
    """

    name: DatasetName
    group: str
    num_train_examples: int
    num_templates: int

    @property
    def rate(self) -> int:
        """The mixing rate of each of its tasks.

        Source: the paper, appendix on training details, and t-zero's mixture_cap.
        """
        return capped(self.num_train_examples, self.num_templates)


def capped(num_examples: int, num_templates: int) -> int:
    """A task's rate: the number of examples, or its share of 500,000 if the data set has more."""
    return num_examples if num_examples <= _MOST_EXAMPLES else _MOST_EXAMPLES // num_templates


@dataclass(frozen=True)
class T0Task:
    """A template in the released list.

    Attributes:
        train: the first of t0, t0p and t0pp that is trained on it, or empty.
        eval: whether T0 is scored on it.
        train_eval: whether it is scored on the validation split of its training set, by which the
            checkpoint is chosen.
    """

    dataset: DatasetName
    template: str
    has_choices: bool
    train: str
    one_original: bool
    all_originals: bool
    eval: bool
    train_eval: bool
    bias_fairness: bool


def _rows(name: str) -> Iterator[dict[str, str]]:
    with (Path(__file__).parent / name).open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


@cache
def datasets() -> Mapping[DatasetName, Dataset]:
    """All data sets of the released list."""
    found = {}
    for row in _rows("t0_datasets.csv"):
        name = DatasetName(row["dataset"], row["subset"] or None)
        sizes = int(row["train_examples"]), int(row["templates"])
        found[name] = Dataset(name, row["group"], *sizes)
    return found


@cache
def tasks() -> tuple[T0Task, ...]:
    """All tasks of the released list. ANLI's are listed once, for its three rounds."""
    flags = ("one_original", "all_originals", "eval", "train_eval", "bias_fairness")
    return tuple(
        T0Task(
            DatasetName(row["dataset"], row["subset"] or None),
            row["template"],
            has_choices=row["has_choices"] == "1",
            train=row["train"],
            **{flag: row[flag] == "1" for flag in flags},
        )
        for row in _rows("t0_tasks.csv")
    )


@cache
def held_out() -> list[DatasetName]:
    """The data sets that T0 is scored on, ANLI's rounds as one."""
    return list(dict.fromkeys(task.dataset for task in tasks() if task.eval))


@cache
def bias_and_fairness() -> list[DatasetName]:
    """The data sets that measure bias. Not all of them have templates with choices."""
    return [name for name, of in datasets().items() if of.group == "bias and fairness"]


# Name of a training mixture → whether it has a task. The ablations are of figure 6 of the paper.
TRAINING_MIXTURES: Mapping[str, Callable[[T0Task], bool]] = {
    "t0_train": lambda task: task.train == "t0",
    "t0p_train": lambda task: task.train in ("t0", "t0p"),
    "t0pp_train": lambda task: bool(task.train),
    "t0_train_one_og_prompt": lambda task: task.one_original,
    "t0_train_all_og_prompts": lambda task: task.all_originals,
}
# The same for mixtures of scored tasks, all of the same rate. Each also exists as NAME_score_eval.
EVALUATION_MIXTURES: Mapping[str, Callable[[T0Task], bool]] = {
    "t0_eval": lambda task: task.eval,
    "t0_train_eval": lambda task: task.train_eval,
    "t0_bias_fairness_eval": lambda task: task.bias_fairness,
}
