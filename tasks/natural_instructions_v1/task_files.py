"""A file of version 1 as a task file of version 2, for `convert-tasks --from ni_v1`.

The definition is version 1's Definition, Things to Avoid and Emphasis & Caution, each without the
blanks around it and joined by one blank, as the tasks that are in both versions have it. "-" stands
for nothing. If all three do, the Prompt or the Title is the definition.

Nothing is lost: the field "Natural Instructions v1" has all fields besides the examples and the
instances as they were, and also negative examples if they are ["-"]. A reason is the explanation, a
suggestion stays beside it. Instance k of a task is NAME-k, counted from 0.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from tk_instruct import schema
from tk_instruct.convert_tasks.task_file import Demonstration, Instance, TaskFile
from tk_instruct.errors import UserError
from tk_instruct.files import Path

from . import records
from .records import TaskSpec
from .splits import CATEGORIES, collection

ORIGINAL = "Natural Instructions v1"


def read(paths: Iterable[Path]) -> Iterator[TaskFile]:
    """Raises UserError for a file that is none of version 1, or says nothing of what to do.

    A task that is not in the collection has no category and no source.
    """
    for path in paths:
        task, instances = records.read_task(path)
        member = collection().get(task.name)
        known: dict[str, Any] = {}
        if member:
            title, _ = CATEGORIES[member.category]
            known = {"categories": (title.title(),), "source": (member.dataset,)}
        yield TaskFile(
            name=task.name,
            definition=_definition(task, path),
            instances=tuple(
                Instance(f"{task.name}-{k}", each.input, each.outputs, f"{path}: Instances[{k}]")
                for k, each in enumerate(instances)
            ),
            positive_examples=tuple(
                Demonstration(each.input, each.output, each.reason)
                for each in task.positive_examples
            ),
            negative_examples=tuple(
                Demonstration(each.input, each.output, each.reason, {"suggestion": each.suggestion})
                for each in task.negative_examples
            ),
            extra={ORIGINAL: _original(path)},
            **known,
        )


def _definition(task: TaskSpec, path: Path) -> str:
    fields = (task.definition, task.things_to_avoid, task.emphasis)
    said = " ".join(filter(None, map(_stripped, fields)))
    said = said or _stripped(task.prompt) or _stripped(task.title)
    if not said:
        raise UserError(
            f"{path}: Definition, Prompt and Title say nothing; write what is to be done into one"
        )
    return said


def _stripped(text: str | None) -> str:
    stripped = (text or "").strip()
    return "" if stripped == "-" else stripped  # some files have "- "


def _original(path: Path) -> dict[str, Any]:
    document = schema.read(path, dict[str, Any])
    fields = {name: document[name] for name in document if name not in ("Examples", "Instances")}
    negative = document["Examples"]["Negative Examples"]
    if any(isinstance(each, str) for each in negative):
        fields["Examples"] = {"Negative Examples": negative}
    return fields
