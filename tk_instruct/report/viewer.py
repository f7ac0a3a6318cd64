"""The data of the viewer of predictions: texts that are inert in a page, in few bytes."""

import base64
import gzip
import json
import math
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

# A shorter beginning that a task's inputs share is not worth folding.
_LEAST_FOLDED = 40


class Answer(NamedTuple):
    """What a system answered to one instance.

    Attributes:
        input: as the model saw it, with the instruction; None if it is not known.
        prediction: None if there is none.
        score: of this answer alone; None if it has none.
    """

    id: str
    task: str
    category: str
    input: str | None
    references: Sequence[str]
    prediction: str | None
    score: float | None


@dataclass(frozen=True)
class Predictions:
    """The answers of one system.

    Attributes:
        metric: what the scores are, such as "ROUGE-L".
        best: the highest score that there is; an answer is right if it has it.
    """

    system: str
    metric: str
    rows: Sequence[Answer]
    best: float = 100.0


def packed(predictions: Sequence[Predictions]) -> str:
    """What viewer.js reads: JSON, compressed by gzip, in letters and digits (base64).

    An instance that several systems answered is held once. So is the beginning that all inputs of
    a task share, its instruction.
    """
    texts: dict[tuple[object, ...], int] = {}
    instructions: dict[str, int] = {}
    tasks: dict[tuple[str, str], int] = {}
    held = []
    systems = []
    for of in predictions:
        shared = _instructions(of.rows)
        rows = []
        for row in of.rows:
            key = (row.id, row.task, row.input, *row.references)
            if key not in texts:
                texts[key] = len(texts)
                instruction = shared[row.task]
                task = tasks.setdefault((row.task, row.category), len(tasks))
                number = instructions.setdefault(instruction, len(instructions))
                rest = None if row.input is None else row.input[len(instruction) :]
                held.append([row.id, task, number, rest, [*row.references]])
            score = None if row.score is None or math.isnan(row.score) else row.score
            rows.append([texts[key], row.prediction, score])
        systems.append({"name": of.system, "metric": of.metric, "best": of.best, "rows": rows})
    data = {
        "systems": systems,
        "tasks": [*tasks],
        "instructions": [*instructions],
        "instances": held,
    }
    content = json.dumps(data, separators=(",", ":")).encode("ascii")
    return base64.b64encode(gzip.compress(content, mtime=0)).decode("ascii")


def _instructions(rows: Sequence[Answer]) -> dict[str, str]:
    """Task → the beginning that all its inputs share, whole lines or words; "" if there is none."""
    inputs = defaultdict(set)
    for row in rows:
        inputs[row.task].add(row.input)
    return {task: _shared_beginning(of) for task, of in inputs.items()}


def _shared_beginning(inputs: set[str | None]) -> str:
    known = [each for each in inputs if each is not None]
    if len(known) < max(2, len(inputs)):
        return ""
    # What the first and the last in order share, all share.
    first, last = min(known), max(known)
    length = next(
        (place for place, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first)
    )
    shared = first[:length]
    end = shared.rfind("\n") + 1
    if end < _LEAST_FOLDED:
        end = max((found.end() for found in re.finditer(r"\s", shared)), default=0)
    return shared[:end] if end >= _LEAST_FOLDED else ""
