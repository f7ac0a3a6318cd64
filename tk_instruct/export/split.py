"""All examples of a split of tasks."""

import itertools
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tk_instruct.data import registry
from tk_instruct.data.task import AnyTask, Example
from tk_instruct.errors import EmptySplitError, MissingDataError, UserError
from tk_instruct.export.rows import Encoder, Form, examples_of, write
from tk_instruct.files import PathLike
from tk_instruct.progress import Progress


@dataclass
class Selection:
    """The tasks to export, by name, and what was asked for by name.

    Attributes:
        named: the names of tasks.
        mixtures: name of a mixture → the names of its tasks.
    """

    tasks: dict[str, AnyTask] = field(default_factory=dict)
    named: set[str] = field(default_factory=set)
    mixtures: dict[str, list[str]] = field(default_factory=dict)


def select(patterns: Sequence[str]) -> Selection:
    """The tasks of all patterns, each once, in their order and sorted within one.

    A pattern is the name of a task or mixture, else a shell pattern or a part of names. A mixture
    stands for its tasks. Raises UserError if nothing matches a pattern.
    """
    found = Selection()
    for pattern in patterns:
        names = registry.names(pattern)
        if not names:
            raise UserError(f"no task or mixture matches {pattern!r}; `tasks list` shows all")
        for name in [pattern] if pattern in names else names:
            given: Any = registry.get(name)
            tasks = getattr(given, "tasks", None)
            if name == pattern:
                if tasks is None:
                    found.named.add(name)
                else:
                    found.mixtures[name] = [task.name for task in tasks]
            found.tasks |= {task.name: task for task in ([given] if tasks is None else tasks)}
    return found


def export(
    selection: Selection, split: str, form: Form, as_parquet: bool, output: PathLike | None
) -> tuple[int, int]:
    """Writes the examples of a split, one a line; gives the numbers of examples and of tasks.

    Raises UserError if a task that was asked for by name has no examples, or if no task has any.

    Args:
        output: None for standard output.
    """
    encode, examples = Encoder(form), Examples(selection, split)
    lines = (encode.line(task, example) for task, of in examples for example in of)
    write(lines, encode.types, as_parquet, output)
    return examples.num_examples, examples.num_tasks


class Examples:
    """Tasks and the examples of each, and how many there are once they have been read.

    Passes over tasks without examples, and says so at the end. Raises UserError if a task that was
    asked for by name has none, or if no task has any.
    """

    def __init__(self, selection: Selection, split: str) -> None:
        self._selection, self._split = selection, split
        self.num_examples = self.num_tasks = 0
        self._passed_over: dict[str, list[str]] = {}

    def __iter__(self) -> Iterator[tuple[AnyTask, Iterator[Example]]]:
        tasks = self._selection.tasks
        with Progress(f"exporting {self._split}", len(tasks)) as progress:
            for task in tasks.values():
                if examples := self._examples_or_none(task):
                    self.num_tasks += 1
                    yield task, self._counted(examples, progress)
                progress.advance()
        self._tell()

    def _counted(self, examples: Iterator[Example], progress: Progress) -> Iterator[Example]:
        for example in examples:
            yield example
            self.num_examples += 1
            if self.num_examples % 1000 == 0:
                progress.advance(0, f"{self.num_examples:,} examples")

    def _examples_or_none(self, task: AnyTask) -> Iterator[Example] | None:
        if self._split not in task.splits and task.name not in self._selection.named:
            self._pass_over(f"without split {self._split!r}", task.name)
            return None
        examples = examples_of(task, self._split)
        try:
            first = next(examples, None)
            if first is None:
                raise EmptySplitError(f"{task.name}/{self._split} has no examples")
        except (EmptySplitError, MissingDataError) as error:
            if task.name in self._selection.named:
                raise
            what = "data" if isinstance(error, MissingDataError) else "examples"
            self._pass_over(f"without {what}", f"{task.name}: {error}")
            return None
        return itertools.chain([first], examples)

    def _pass_over(self, kind: str, reason: str) -> None:
        self._passed_over.setdefault(kind, []).append(reason)

    def _tell(self) -> None:
        """Says what was passed over. Raises UserError if that is all."""
        for kind, reasons in self._passed_over.items():
            if not self.num_tasks:
                raise UserError(
                    f"none of the {len(self._selection.tasks):,} tasks can be exported: "
                    f"{len(reasons):,} {kind}, such as {reasons[0]}"
                )
            tasks = "task" if len(reasons) == 1 else "tasks"
            passed = f"passed over: {len(reasons):,} {tasks} {kind}, such as {reasons[0]}"
            print(passed, file=sys.stderr, flush=True)
