"""`jsonl`: files of JSON lines, or of one JSON list, as a task.

A line is {"inputs", "targets"}. It may have an "id" (else STEM-LINE of its file), a "task" (else
the file's stem), "options" to choose from, and "references" (else its targets) to be scored
against. The files are named by gin (JsonLines.files) or by --jsonl.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any

import msgspec

from tk_instruct import schema
from tk_instruct.data.task import Example, RawExample, Render, Rendering, Source, Task
from tk_instruct.errors import UserError
from tk_instruct.files import Path, read_bytes
from tk_instruct.metrics import METRICS, Metric
from tk_instruct.metrics.metric import Measured
from tk_instruct.metrics.target import Target

from . import SPLITS
from .settings import JsonLines

# Whether each field of a raw example is a list.
_FIELDS = {
    "id": False,
    "task": False,
    "prompt": False,
    "answer": False,
    "options": True,
    "references": True,
}


class _Line(msgspec.Struct, frozen=True):
    inputs: str
    targets: str
    id: str | int | None = None
    task: str | None = None
    options: list[str] | None = None
    references: Annotated[list[str], msgspec.Meta(min_length=1)] | None = None


def _content(split: str) -> str:
    """A hash of a split's files and of their stems, which ids and tasks are made of."""
    digest = hashlib.sha256()
    for path in JsonLines().paths(split):
        digest.update(f"{path.stem}\0{hashlib.sha256(read_bytes(path)).hexdigest()}\0".encode())
    return digest.hexdigest()


def _load(split: str) -> Sequence[RawExample]:
    return _read(JsonLines().paths(split), _content(split))


@lru_cache(maxsize=4)
def _read(paths: Sequence[Path], content: str) -> Sequence[RawExample]:
    del content  # part of the key: files that change are read again
    found: dict[str, RawExample] = {}
    places: dict[str, str] = {}
    for path in paths:
        for where, line in schema.read_records(path, _Line, "correct the line"):
            example = _example(line, path, where)
            id_ = str(example["id"])
            if id_ in found:
                raise UserError(
                    f"{where}: id {id_!r} is on {places[id_]} already; each line of a split needs "
                    "an id of its own, so change one of the two"
                )
            found[id_], places[id_] = example, where
    if not found:
        raise UserError(
            f"{', '.join(map(str, paths))}: no examples; write one JSON object a line, "
            '{"inputs": …, "targets": …}'
        )
    return list(found.values())


def _example(line: _Line, path: Path, where: str) -> RawExample:
    options = line.options or []
    if len(options) == 1 or len(set(options)) < len(options) or not all(map(str.strip, options)):
        raise UserError(
            f"{where}: options={schema.shortened(options)} must be two different texts or more, "
            "none of them blank; correct the line"
        )
    [number] = re.findall(r"\d+$", where)  # a line's, or an item's
    return {
        "id": f"{path.stem}-{number}" if line.id is None else str(line.id),
        "task": line.task or path.stem,
        "prompt": line.inputs,
        "answer": line.targets,
        "options": options,
        "references": line.references or [line.targets],
    }


def _prepare(tokenizer: Any, max_input_tokens: int | None) -> Render:
    def render(prompt: str, answer: str) -> tuple[str, str]:
        return prompt, answer

    return render


def _target(example: Example) -> Target:
    return Target(tuple(example["references"]), tuple(example["options"]))


def _unit(example: Example) -> str:
    return str(example["task"])


def _exported(example: Example) -> Mapping[str, Any]:
    return {
        "task_name": example["task"],
        "options": example["options"] or None,
        "references": example["references"],
    }


@Metric
def _scores(targets: Sequence[Target], predictions: Sequence[str]) -> dict[str, Measured]:
    """Accuracy and ROUGE. The first one counts: accuracy if the examples have options."""
    have_options = any(target.options for target in targets)
    found: dict[str, Measured] = {}
    for name in ("accuracy", "rouge") if have_options else ("rouge", "accuracy"):
        found |= METRICS[name].measure(targets, predictions)
    return found


def declared() -> Iterator[Task]:
    """The one task."""
    rendering = Rendering(_prepare, reads=["prompt", "answer"])
    source = Source(SPLITS, _FIELDS, _load, _content)
    yield Task("jsonl", source, rendering, _target, [_scores], exported=_exported, unit=_unit)
