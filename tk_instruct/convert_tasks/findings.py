"""What is told of tasks that can be written, and what keeps their inputs unlike each other."""

import json
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace

from tk_instruct.errors import UserError

from .task_file import Instance, TaskFile

# The field of a task file that keeps instances as they were before they were merged or left out.
ORIGINALS = "Original Instances"

MERGED = "inputs in several rows with different outputs: one instance has them all"
REPEATED = "rows that repeat an earlier row: left out"
SHOWN = "instances with the input of a positive example: left out"
EMPTY = "rows with an empty text: left out (--skip_empty)"
IN_INPUT = "outputs that stand in the input: right for options and extracts"
IN_DEFINITION = "outputs that stand in the definition and are no other instance's"

_NUM_PLACES = 3


@dataclass(frozen=True)
class Finding:
    """What was found in one task, how often, and in which rows first. Skipped rows have no task."""

    task: str
    finding: str
    count: int
    places: tuple[str, ...]

    @classmethod
    def of(cls, task: str, finding: str, places: Sequence[str]) -> "Finding":
        return cls(task, finding, len(places), tuple(places[:_NUM_PLACES]))


def tidied(task: TaskFile) -> tuple[TaskFile, list[Finding]]:
    """The task with distinct inputs, none of them a positive example's, and what is to be told.

    Rows with one input become one instance with all their outputs. What was merged or left out is
    kept as it was in the field "Original Instances". Raises UserError if no instance is left.
    """
    places: dict[str, list[str]] = {}
    shown = {example.input for example in task.positive_examples}
    groups: dict[str, list[Instance]] = {}
    for instance in task.instances:
        if instance.input in shown:
            places.setdefault(SHOWN, []).append(instance.place)
        else:
            groups.setdefault(instance.input, []).append(instance)
    if not groups:
        raise UserError(
            f"{task.name}: no instance is left, each row is empty or has the input of a positive "
            "example; give others"
        )
    kept, changed = [], {instance.id for instance in task.instances if instance.input in shown}
    for instances in groups.values():
        first, *others = instances
        if others:
            changed.update(instance.id for instance in instances)
            outputs = dict.fromkeys(first.outputs)
            for other in others:
                kind = REPEATED if outputs.keys() >= set(other.outputs) else MERGED
                places.setdefault(kind, []).append(other.place)
                outputs |= dict.fromkeys(other.outputs)
            first = replace(first, outputs=tuple(outputs))
        kept.append(first)
    originals = [each.record() for each in task.instances if each.id in changed]
    extra = {**task.extra, ORIGINALS: originals} if originals else task.extra
    task = replace(task, instances=tuple(kept), extra=extra)
    _find_outputs_in_prompts(task, places)
    return task, [Finding.of(task.name, kind, found) for kind, found in places.items()]


def _find_outputs_in_prompts(task: TaskFile, places: dict[str, list[str]]) -> None:
    counts = Counter(output for instance in task.instances for output in set(instance.outputs))
    for instance in task.instances:
        if any(_stands_in(output, instance.input) for output in instance.outputs):
            places.setdefault(IN_INPUT, []).append(instance.place)
        # A label that several instances have is what a definition must name.
        single = (output for output in instance.outputs if counts[output] == 1)
        if any(_stands_in(output, task.definition) for output in single):
            places.setdefault(IN_DEFINITION, []).append(instance.place)


def _stands_in(output: str, prompt: str) -> bool:
    """Whether an output stands in a prompt, not as a part of a word."""
    output = output.strip()
    start = prompt.find(output) if output else -1
    while start >= 0:
        end = start + len(output)
        before, after = prompt[start - 1 : start], prompt[end : end + 1]
        if not (before.isalnum() and output[0].isalnum()) and not (
            after.isalnum() and output[-1].isalnum()
        ):
            return True
        start = prompt.find(output, start + 1)
    return False


def format_report(findings: Iterable[Finding]) -> str:
    """The findings of all tasks: for each kind its number, and below it the first places."""
    by_kind: dict[str, list[Finding]] = {}
    for finding in findings:
        by_kind.setdefault(finding.finding, []).append(finding)
    lines = []
    for kind, of in by_kind.items():
        places = [place for finding in of for place in finding.places if place]
        lines.append(f"{sum(finding.count for finding in of):7,}  {kind}")
        if places:
            lines.append(f"{'':9}first: {', '.join(places[:_NUM_PLACES])}")
    return "\n".join(lines)


def tell(findings: Sequence[Finding], is_json: bool) -> None:
    """As a table on the standard error, or as JSON lines on the standard output."""
    if is_json:
        for finding in findings:
            print(json.dumps(asdict(finding), ensure_ascii=False))
    elif findings:
        print(format_report(findings), file=sys.stderr)
