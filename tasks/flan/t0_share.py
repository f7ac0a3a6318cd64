"""T0's share of FLAN 2022, from the tasks of the mixture t0_train.

Of each task's examples the first 1 in 100, at most 200, are held out for validation, and those that
follow, up to the cap, are trained on. No more are read: T0's data sets have up to millions, and
each task renders its own. So of a data set that is larger than the cap and sorted, such as by its
labels, the end is left out.
"""

import hashlib
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from tk_instruct.data import registry
from tk_instruct.data.task import AnyTask, Example, RawExample
from tk_instruct.errors import EmptySplitError, MissingDataError, UserError

MIXTURE = "t0_train"
# The exemplars of a task's prompts are drawn from this many of its training examples.
_MOST_EXEMPLARS = 200


def fingerprint() -> str:
    """A text that changes with the tasks' data and prompts.

    Raises MissingDataError if the mixture is not declared or its data is missing: any of it, or all
    of it if skip_missing is set.
    """
    contents = sorted(_contents().items())
    return hashlib.sha256(repr(contents).encode()).hexdigest()


def examples(split: str, cap: int) -> Iterator[RawExample]:
    """The raw examples of a split, task by task."""
    for task in _tasks():
        yield from _share(task, split, cap)


def count(split: str, cap: int) -> int:
    """The number of examples of a split, also those that a task drops."""
    return sum(stop - start for start, stop in (_bounds(task, split, cap) for task in _tasks()))


def exemplars(name: str, cap: int) -> Sequence[RawExample]:
    """The training examples of a task from which its exemplars are drawn."""
    task: Any = registry.declared(name) or registry.get(name)
    return list(islice(_share(task, "train", cap), _MOST_EXEMPLARS))


def _tasks() -> list[AnyTask]:
    contents = _contents()
    return [task for task in _declared() if task.name in contents]


def _declared() -> Sequence[AnyTask]:
    """The mixture's tasks. They read their data also if use_cached_tasks is set."""
    found: Any = registry.get(MIXTURE)
    return [registry.declared(task.name) or task for task in found.tasks]  # type: ignore[misc]


def _contents() -> dict[str, str]:
    """Name of a task that has its data → the fingerprint of its data and prompts."""
    try:
        tasks = _declared()
    except UserError as error:
        raise _missing(str(error)) from error
    found, missing = dict[str, str](), list[MissingDataError]()
    for task in tasks:
        try:
            found[task.name] = task.fingerprint("train")
        except MissingDataError as error:
            missing.append(error)
    if missing and not (found and registry.skip_missing()):
        about = f"{len(missing):,} of {len(tasks):,} tasks of {MIXTURE} have no data"
        raise _missing(f"{about}, the first: {missing[0]}")
    return found


def _missing(why: str) -> MissingDataError:
    return MissingDataError(
        "no file of t0 is given; set the gin parameter FLAN2022.t0 to JSON lines "
        f'{{"inputs": …, "targets": …}}, or give --skip_missing, or the data of the mixture '
        f"{MIXTURE}, which is read if there is no file ({why})"
    )


def _bounds(task: AnyTask, split: str, cap: int) -> tuple[int, int]:
    """The positions start:stop of a split among the examples that a task has for training."""
    total = task.num_input_examples("train")
    num_held_out = min(200, -(-total // 100))
    return (num_held_out, min(total, num_held_out + cap)) if split == "train" else (0, num_held_out)


def _share(task: AnyTask, split: str, cap: int) -> Iterator[RawExample]:
    start, stop = _bounds(task, split, cap)
    try:
        for example in islice(task.texts("train"), start, stop):
            yield _record(task, example)
    except EmptySplitError:
        return  # a task that drops all its examples


def _record(task: AnyTask, example: Example) -> RawExample:
    return {
        "id": example["id"],
        "task": task.name,
        "category": "t0",
        "inputs_": example["inputs_pretokenized"],
        "targets_": example["targets_pretokenized"],
        "options": list(example.get("options", [])),
        "references": [example["targets_pretokenized"]],
    }
