"""What a verb makes of each example, as JSON lines: kept as they come, so that none is lost."""

import hashlib
import itertools
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from tk_instruct import distributed
from tk_instruct.errors import UserError
from tk_instruct.files import cannot_write, write_atomically
from tk_instruct.progress import Progress

log = logging.getLogger("tk_instruct")

# A tokenised example with its texts, as registry.examples gives it: id, task, inputs and more.
Example = Mapping[str, Any]
# A line of the output: id, task, prediction and what a verb has to add.
Row = dict[str, Any]
# Examples → their rows, batch after batch, in whatever order suits it.
Predict = Callable[[Sequence[Example]], Iterator[Sequence[Row]]]


def row_of(example: Example, prediction: str, **more: Any) -> Row:
    return {"id": example["id"], "task": example["task"], "prediction": prediction, **more}


def write_rows(
    predict: Predict,
    examples: Sequence[Example],
    output: Path,
    identity: Mapping[str, Any],
    doing: str,
) -> int:
    """Predicts what is not there yet, then writes all rows in the order of ids; their number.

    identity (JSON) tells predictors, their settings and their data apart: what another one has
    left unfinished is not gone on with. Of several processes all predict and the first one writes.

    Raises UserError where an id stands for two examples.
    """
    _check_ids(examples, doing)
    belongs_to = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    journal = _Journal(output, belongs_to)
    done = journal.read() if distributed.is_first_process() else {}
    is_left = np.array([example["id"] not in done for example in examples], bool)
    todo = list(itertools.compress(examples, distributed.as_first_process_has(is_left)))
    batches = distributed.until_stopped(predict(todo))
    if not distributed.is_first_process():
        for _ in batches:
            pass
        distributed.wait_for_others()  # the first may still fail
        return len(examples)
    if done:
        log.info("%d of %d predictions were there already", len(done), len(examples))
    with journal, Progress(doing, len(examples), first=len(done)) as progress:
        for rows in batches:
            for row in rows:
                done[row["id"]] = row
                journal.write(row)
            progress.advance(len(rows))
    wanted = sorted(example["id"] for example in examples)
    write_atomically(output, (_line(done[id_]) for id_ in wanted))
    journal.remove()
    distributed.wait_for_others()
    return len(wanted)


def _check_ids(examples: Sequence[Example], doing: str) -> None:
    seen: dict[str, str] = {}
    for example in examples:
        if example["id"] in seen:
            raise UserError(
                f"id {example['id']!r} is in {seen[example['id']]} and in {example['task']} while "
                f"{doing}: predictions are told apart by id; correct one of the two"
            )
        seen[example["id"]] = example["task"]


def _line(row: Row) -> str:
    return json.dumps(row, ensure_ascii=False) + "\n"


class _Journal:
    """Rows as they come, one JSON line each, under a line that says what they belong to."""

    def __init__(self, output: Path, belongs_to: str) -> None:
        self.path = output.parent / f"{output.name}.unfinished"
        self.header = json.dumps({"belongs_to": belongs_to}) + "\n"
        self.file: IO[str] | None = None

    def read(self) -> dict[str, Row]:
        """What an interrupted run with the same settings has left; half a last line is dropped."""
        if not self.path.exists():
            return {}
        header, *lines = self.path.read_bytes().split(b"\n")[:-1] or [b""]
        if header != self.header.encode().strip():
            return {}
        return {row["id"]: row for row in map(json.loads, lines)}

    def __enter__(self) -> "_Journal":
        rows = map(_line, self.read().values())
        write_atomically(self.path, itertools.chain([self.header], rows))
        self.file = self.path.open("a", encoding="utf-8")
        return self

    def write(self, row: Row) -> None:
        assert self.file is not None
        try:
            self.file.write(_line(row))
            self.file.flush()
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def __exit__(self, *error: object) -> None:
        assert self.file is not None
        self.file.close()

    def remove(self) -> None:
        self.path.unlink()
