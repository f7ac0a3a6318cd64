"""Seed tasks: written by people, they show a model what a task is."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from tk_instruct import schema
from tk_instruct.errors import UserError
from tk_instruct.files import write_atomically
from tk_instruct.self_instruct import records


@dataclass(frozen=True)
class Instance:
    """One input, empty where the instruction needs none, and its output."""

    input: str
    output: str


@dataclass(frozen=True)
class SeedTask:
    id: str
    name: str
    instruction: str
    instances: tuple[Instance, ...]
    is_classification: bool

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "name": self.name,
            "instruction": self.instruction,
            "instances": [vars(instance) for instance in self.instances],
            "is_classification": self.is_classification,
        }


def read_seeds(path: str | None = None) -> list[SeedTask]:
    """The seed tasks of a file in the published schema, or this project's own.

    Raises UserError naming file, line, field and rule.
    """
    if path is None:
        with resources.as_file(resources.files(__package__) / "seed_tasks.jsonl") as own:
            return read_seeds(str(own))
    tasks: dict[str, SeedTask] = {}
    for line, record in schema.read_lines(path, records.SeedTask):
        task = _seed_task(record, f"{path}:{line}")
        if task.id in tasks:
            raise UserError(f"{path}:{line}: id {task.id!r} is there twice; give it another")
        tasks[task.id] = task
    if not tasks:
        raise UserError(f"{path} holds no seed tasks; write one JSON object a line")
    return list(tasks.values())


def write_seeds(path: Path, tasks: Sequence[SeedTask]) -> None:
    write_atomically(
        path, (json.dumps(task.as_json(), ensure_ascii=False) + "\n" for task in tasks)
    )


def _seed_task(record: records.SeedTask, where: str) -> SeedTask:
    if not record["instruction"].strip():
        raise UserError(f"{where}: the instruction is empty; write one or remove the line")
    instances = tuple(Instance(each["input"], each["output"]) for each in record["instances"])
    if not all(instance.output.strip() for instance in instances):
        raise UserError(f"{where}: an instance has no output; write one or remove the instance")
    return SeedTask(
        record["id"],
        record["name"],
        record["instruction"],
        instances,
        record["is_classification"],
    )
