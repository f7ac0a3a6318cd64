"""The instances of tasks and of files, with their own texts instead of prompts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import msgspec

from tk_instruct import schema
from tk_instruct.data import registry
from tk_instruct.data.task import AnyTask, Task, check_split
from tk_instruct.errors import UserError
from tk_instruct.files import Path, as_os_errors, is_stream, open_to_read

_FILE_ENDINGS = (".jsonl", ".json")


class Instance(NamedTuple):
    """An example of a task, of which it is known which constituent task it is from."""

    id: str
    task: str
    inputs: str
    targets: Sequence[str]


@dataclass(frozen=True)
class Given:
    """One argument: a task or mixture with its split, or a file (split is None)."""

    name: str
    split: str | None

    def __str__(self) -> str:
        return self.name if self.split is None else f"{self.name}:{self.split}"


def given(text: str, default_split: str) -> Given:
    """Reads NAME, NAME:SPLIT or FILE.jsonl."""
    if text.endswith(_FILE_ENDINGS):
        return Given(text, None)
    name, colon, split = text.partition(":")
    if not name or (colon and not split):
        raise UserError(f"{text!r} must be NAME, NAME:SPLIT or FILE.jsonl; correct it")
    return Given(name, split or default_split)


def count(of: Given) -> int:
    """How many instances there are. Raises what `read` raises before its first instance."""
    if of.split is None:
        return sum(1 for _ in _lines(of.name))
    return sum(task.num_input_examples(of.split) for task in _tasks(of.name, of.split))


def read(of: Given) -> Iterator[Instance]:
    """The instances one by one, never all of them in memory.

    Raises UserError for an unknown name, a split that a task lacks, and a file that is none of
    JSON lines; MissingDataError where data is missing.
    """
    if of.split is None:
        yield from _of_file(of.name)
        return
    for task in _tasks(of.name, of.split):
        yield from _of_task(task, of.split)


def _tasks(name: str, split: str) -> Sequence[AnyTask]:
    tasks = registry.tasks_of(name)
    for task in tasks:
        check_split(task, split)
    return tasks


def _of_task(task: AnyTask, split: str) -> Iterator[Instance]:
    if isinstance(task, Task) and task.instance_text:
        for raw in task.source.load(split):
            inputs, targets = task.instance_text(raw)
            yield Instance(str(raw["id"]), str(raw["task"]), inputs, targets)
        return
    for example in task.texts(split):
        texts = example["inputs_pretokenized"], [example["targets_pretokenized"]]
        yield Instance(example["id"], example["task"], *texts)


class _Line(msgspec.Struct, frozen=True):
    """A line of a file: what `tasks export` writes, or data of others."""

    inputs: str
    targets: str | list[str]
    id: str | int | None = None
    task: Annotated[str, msgspec.Meta(min_length=1)] | None = None


def _of_file(name: str) -> Iterator[Instance]:
    stem = Path(name).stem
    for number, content in _lines(name):
        line = schema.parse(content, _Line, f"{name}:{number}", "correct the line")
        targets = [line.targets] if isinstance(line.targets, str) else line.targets
        id_ = f"{stem}-{number}" if line.id is None else str(line.id)
        yield Instance(id_, line.task or stem, line.inputs, targets)


def _lines(name: str) -> Iterator[tuple[int, bytes]]:
    """(number, content) of each line that is not empty."""
    path = Path(name).expanduser()
    if is_stream(path):
        raise UserError(f"{name} is a pipe or a device, and is read twice; save it as a file")
    try:
        with as_os_errors(), open_to_read(path) as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, line
    except OSError as error:
        reason = error.strerror or error
        raise UserError(
            f"{name}: cannot be read ({reason}); check the path and its rights"
        ) from error
