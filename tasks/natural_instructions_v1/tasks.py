"""Natural Instructions v1: ni_v1_{split}_{encoding}.

Splits of tasks are in splits.py. Splits of instances:

- train: of the seen tasks, those that are neither evaluated nor stand in prompts as examples. An id
  that ends in #2 is of one that is there a second time.
- validation: of the seen tasks, those that are evaluated.
- test: of the unseen tasks, those that are evaluated.
- all: of all tasks.
"""

import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import cycle, islice
from typing import Any

import msgspec

from tk_instruct.data.task import Example, RawExample, Render, Rendering, Source, Task
from tk_instruct.data.tokenization import Budget, Tokenizer
from tk_instruct.errors import EmptySplitError, UserError
from tk_instruct.files import Path
from tk_instruct.metrics.target import Target
from tk_instruct.randomness import choose, sample

from . import metrics, prompt, records
from .encodings import ENCODINGS, Encoding
from .records import Instance, TaskSpec
from .settings import NaturalInstructionsV1
from .splits import TaskSplit, collection, evaluated, extra_examples, task_splits

log = logging.getLogger("tk_instruct")

SPLITS = ("train", "validation", "test", "all")
# Field of a raw example → whether it is a list.
_FIELDS = {
    "id": False,
    "task": False,
    "index": False,
    "category": False,
    "dataset": False,
    "instruction": False,
    "input": False,
    "references": True,
}
# Part of every fingerprint. Raise it if unchanged files give other examples.
_MEANING = 1


@dataclass(frozen=True, slots=True)
class Instruction:
    """What a task's prompts have in common. extra: instances that stand for positive examples."""

    task: TaskSpec
    extra: tuple[Instance, ...]

    @classmethod
    @lru_cache(maxsize=256)
    def from_json(cls, text: str) -> "Instruction":
        return msgspec.json.decode(text, type=cls)


def instance_id(task: str, position: int) -> str:
    """The id of an instance: its task and its position in the task's file, from 0."""
    return f"{task}-{position}"


def extra_positions(task: TaskSpec, num_instances: int) -> list[int]:
    """The positions of the instances that stand for positive examples which the task lacks.

    Raises UserError if there are too few instances.
    """
    wanted = NaturalInstructionsV1().num_examples
    positions = extra_examples(max(wanted - len(task.positive_examples), 0))
    if positions and max(positions) >= num_instances:
        raise UserError(
            f"NaturalInstructionsV1.num_examples={wanted}: {task.name} has "
            f"{len(task.positive_examples)} positive examples and {num_instances} instances, which "
            "are too few; ask for fewer"
        )
    return positions


def _positions(split: str, task: TaskSpec, num_instances: int) -> Sequence[int]:
    """The positions of a task's instances in a split, in order. Those in train may repeat."""
    if split == "all":
        return range(num_instances)
    if split != "train":
        return evaluated(num_instances)
    options = NaturalInstructionsV1()
    others = {*evaluated(num_instances), *extra_positions(task, num_instances)}
    positions = [position for position in range(num_instances) if position not in others]
    wanted = options.train_examples
    if wanted is None or not positions:
        return positions
    if wanted < len(positions):
        return sorted(sample(positions, wanted, options.seed, "train instances", task.name))
    return list(islice(cycle(positions), wanted))


def members(tasks: TaskSplit, split: str) -> Sequence[str]:
    """The names of the tasks in a split. Their files may be missing."""
    if split == "all":
        return list(collection())
    return tasks.unseen if split == "test" else tasks.seen


def _files(tasks: TaskSplit, split: str, only: str | None) -> dict[str, Path]:
    """Name of a task in a split → its file. Raises EmptySplitError if there is none."""
    names = members(tasks, split)
    if only is not None:
        if only not in names:
            splits = {"test": tasks.unseen, "train and validation": tasks.seen}
            where = [f"it is in {name}" for name, of in splits.items() if only in of]
            raise EmptySplitError(
                f"task={only!r} is not in split {split!r} of the tasks {tasks.name}; "
                f"{where[0] if where else f'such as {names[0]}'}"
            )
        names = [only]
    files = records.files()
    found = {name: files[name] for name in names if name in files}
    missing = [name for name in names if name not in files]
    if not found:
        raise EmptySplitError(
            f"split {split!r} of the tasks {tasks.name}: {records.folder()} has none of its task "
            f"files, such as {names[0]}.json; add one, or take another split"
        )
    if missing:
        _warn_once(
            f"ni_v1_{tasks.name}/{split}: {len(missing)} of {len(names)} tasks have no file in "
            f"{records.folder()} and are passed over, such as {missing[0]}"
        )
    return found


@lru_cache(maxsize=256)
def _warn_once(message: str) -> None:
    log.warning(message)


def _load(tasks: TaskSplit, only: str | None, split: str) -> Iterator[RawExample]:
    for path in _files(tasks, split, only).values():
        task, instances = records.read_task(path)
        extra = [instances[k] for k in extra_positions(task, len(instances))]
        instruction = msgspec.json.encode(Instruction(task, tuple(extra))).decode()
        times: Counter[int] = Counter()
        for position in _positions(split, task, len(instances)):
            times[position] += 1
            again = f"#{times[position]}" if times[position] > 1 else ""
            yield {
                "id": f"{instance_id(task.name, position)}{again}",
                "task": task.name,
                "index": str(position),
                "category": task.category,
                "dataset": task.dataset,
                "instruction": instruction,
                "input": instances[position].input,
                "references": instances[position].outputs,
            }


def _content(tasks: TaskSplit, only: str | None, split: str) -> str:
    digest = hashlib.sha256(f"{_MEANING}".encode())
    for name, path in _files(tasks, split, only).items():
        digest.update(f"{name}\0{records.content_hash(path)}\0".encode())
    return f"{digest.hexdigest()} {_selection()}"


def _count(tasks: TaskSplit, only: str | None, split: str) -> int:
    return sum(
        _num_in_split(split, path, records.content_hash(path), _selection())
        for path in _files(tasks, split, only).values()
    )


@lru_cache(maxsize=1024)
def _num_in_split(split: str, path: Path, content: str, selection: str) -> int:
    del content, selection  # parts of the key
    task, instances = records.read_task(path)
    return len(_positions(split, task, len(instances)))


def _selection() -> str:
    options = NaturalInstructionsV1()
    return ", ".join(
        f"{name}={getattr(options, name)}" for name in ("seed", "num_examples", "train_examples")
    )


def _source(tasks: TaskSplit, only: str | None = None) -> Source:
    return Source(
        SPLITS,
        _FIELDS,
        load=partial(_load, tasks, only),
        content=partial(_content, tasks, only),
        narrow=partial(_source, tasks) if only is None else None,
        count=partial(_count, tasks, only),
        selection=_selection,
    )


def _renderer(encoding: Encoding) -> Callable[[Tokenizer, int | None], Render]:
    def prepare(tokenizer: Tokenizer, max_input_tokens: int | None) -> Render:
        options = NaturalInstructionsV1()
        budget = Budget(tokenizer, max_input_tokens) if max_input_tokens else None

        def render(
            id_: str, instruction: str, input_: str, references: Sequence[str]
        ) -> tuple[str, str]:
            of = Instruction.from_json(instruction)
            inputs = prompt.render(
                of.task, of.extra, input_, encoding, options.num_examples, budget
            )
            return inputs, choose(references, options.seed, "reference", id_)

        return render

    return prepare


def _target(example: Example) -> Target:
    return Target(tuple(example["references"]), group=example["task"])


def _unit(example: Example) -> str:
    return str(example["task"])


def _instance_text(raw: RawExample) -> tuple[str, Sequence[str]]:
    return str(raw["input"]), raw["references"]


def _exported(encoding: str, example: Example) -> Mapping[str, Any]:
    return {
        "task": example["task"],
        "index": int(example["index"]),
        "encoding": encoding,
        "category": example["category"],
        "dataset": example["dataset"],
        "targets": example["references"],
    }


def origins(name: str, split: str) -> Mapping[str, Collection[str]]:
    """Task of a split → its source dataset. Needs no data."""
    of_split = {
        f"ni_v1_{tasks.name}_{encoding}": tasks
        for tasks in task_splits().values()
        for encoding in ENCODINGS
    }
    return {member: [collection()[member].dataset] for member in members(of_split[name], split)}


def declared() -> Iterator[Task]:
    """All tasks of the suite. Listings leave out those that hold out, or have, a single task."""
    for tasks in task_splits().values():
        source = _source(tasks)
        is_listed = "_task_" not in tasks.name
        for name, encoding in ENCODINGS.items():
            yield Task(
                f"ni_v1_{tasks.name}_{name}",
                source,
                Rendering(_renderer(encoding), reads=["id", "instruction", "input", "references"]),
                _target,
                [metrics.metric],
                exported=partial(_exported, name),
                is_listed=is_listed,
                unit=_unit,
                instance_text=_instance_text,
            )
