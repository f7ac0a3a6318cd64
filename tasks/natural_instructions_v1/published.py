"""The published scores of Natural Instructions v1 (published.csv), and the setting of ours.

ROUGE-L in per cent, as printed. What the paper's table of negative examples calls "with negative
examples" is the full instruction. A score without a part is the average of the categories.
"""

import os
from collections.abc import Collection, Mapping
from functools import cache
from typing import NamedTuple

from tk_instruct.files import Path, PathLike
from tk_instruct.published import PublishedScore, read
from tk_instruct.scores import predicted_by_name

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
def by_split() -> Mapping[str, Mapping[System, Mapping[str, str]]]:
    """Split of the tasks → system → category, or AVERAGE → score."""
    found: dict[str, dict[System, dict[str, str]]] = {}
    for row in rows():
        system = System(row.system, row.setting.get("encoding", ""))
        scores = found.setdefault(row.setting["split"], {}).setdefault(system, {})
        scores[row.part or AVERAGE] = row.value
    return found


def setting_of(
    split: str, tasks: Mapping[str, Scored], paths: Collection[PathLike]
) -> dict[str, str]:
    """The setting of an evaluation on a split of tasks, as published.csv has it.

    paths: the files of predictions. By their names the encoding is known if all have the same:
        ni_v1_random_full-test-STEP.jsonl, or TASK@ENCODING@….json as released.
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
    found = {_encoding(path) for path in paths}
    encoding = found.pop() if len(found) == 1 else None
    return {"split": split, "instances": scored} | ({"encoding": encoding} if encoding else {})


def _encoding(path: PathLike) -> str | None:
    of_released = {encoding.released_name: name for name, encoding in ENCODINGS.items()}
    parts = os.path.basename(path).split("@")
    if len(parts) > 1:
        return of_released.get(parts[1])
    named = predicted_by_name(path)
    task = named[0] if named else ""
    return next(
        (name for split in task_splits() for name in ENCODINGS if task == f"ni_v1_{split}_{name}"),
        None,
    )
