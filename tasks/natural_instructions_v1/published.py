"""The published scores of Natural Instructions v1 (published.csv), and the setting of ours.

ROUGE-L in per cent, as printed. What the paper's table of negative examples calls "with negative
examples" is the full instruction. A score without a part is the average of the categories.
"""

from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tk_instruct.published import PublishedScore, read

from .encodings import ENCODINGS
from .splits import NUM_EVALUATED, collection, task_splits

AVERAGE = "average"


class System(NamedTuple):
    """A model, and how its instructions are encoded."""

    name: str
    encoding: str


class Scored(NamedTuple):
    """How many instances of a task are scored, have no prediction, and are in the task's file."""

    num_evaluated: int
    num_missing: int
    num_in_file: int


@cache
def rows() -> tuple[PublishedScore, ...]:
    """Raises UserError if published.csv does not keep to its columns."""
    return read(Path(__file__).parent / "published.csv")


@cache
def published() -> Mapping[str, Mapping[System, Mapping[str, str]]]:
    """Split of the tasks → system → category, or AVERAGE → score."""
    found: dict[str, dict[System, dict[str, str]]] = {}
    for row in rows():
        system = System(row.system, row.setting.get("encoding", ""))
        scores = found.setdefault(row.setting["split"], {}).setdefault(system, {})
        scores[row.part or AVERAGE] = row.value
    return found


def setting_of(
    split: str, tasks: Mapping[str, Scored], predicted: Collection[str] = ()
) -> dict[str, str]:
    """The setting of an evaluation on a split of tasks, as published.csv has it.

    predicted: the names that the predictions give as their task, such as ni_v1_random_full, or the
        encodings of released files. By them the encoding is known if all have the same.
    """
    instances = sum(of.num_evaluated for of in tasks.values())
    missing = sum(of.num_missing for of in tasks.values())
    others = [
        task
        for task, of in tasks.items()
        if collection()[task].num_released not in (None, of.num_in_file)
    ]
    unseen = task_splits()[split].unseen
    is_whole = set(tasks) == set(unseen) and instances == NUM_EVALUATED * len(unseen)
    scored = f"{NUM_EVALUATED} a task"
    if not is_whole or missing or others:
        scored = f"{instances:,} of {len(tasks)} of {len(unseen)} tasks"
        scored += f", {missing:,} of them not predicted" if missing else ""
        scored += f", files not as released: {len(others)}" if others else ""
    encoding = _encoding(predicted)
    return {"split": split, "instances": scored} | ({"encoding": encoding} if encoding else {})


def _encoding(predicted: Collection[str]) -> str | None:
    names = {f"ni_v1_{split}_{name}": name for split in task_splits() for name in ENCODINGS}
    names |= {encoding.released_name: name for name, encoding in ENCODINGS.items()}
    found = {names.get(name) for name in predicted}
    return found.pop() if len(found) == 1 else None
