"""Predictions as JSON lines: batches are kept as they come, so that a killed run continues."""

import hashlib
import itertools
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import msgspec
import numpy as np

from tk_instruct import distributed, lock, schema
from tk_instruct.errors import UserError
from tk_instruct.files import (
    Path,
    PathLike,
    check_target,
    is_local,
    is_stream,
    read_bytes,
    write_atomically,
)
from tk_instruct.progress import Progress

log = logging.getLogger("tk_instruct")

# A tokenised example with its texts, from registry.examples: id, task, inputs and more.
Example = Mapping[str, Any]
# A line of the output: id, task, prediction and the fields that a verb adds.
Row = dict[str, Any]
# Examples → their rows, batch by batch, in any order.
Predict = Callable[[Sequence[Example]], Iterator[Sequence[Row]]]


class _Row(msgspec.Struct, frozen=True):
    """The fields of every row; other fields are kept unchecked."""

    id: str
    task: str
    prediction: str


def row_of(example: Example, prediction: str, **more: Any) -> Row:
    return {"id": example["id"], "task": example["task"], "prediction": prediction, **more}


def write_rows(
    predict: Predict,
    examples: Sequence[Example],
    output: PathLike,
    identity: Mapping[str, Any],
    doing: str,
) -> int:
    """Predicts the examples that are not predicted yet; writes all rows in order of their ids.

    Returns the number of rows. All processes of a run predict, and the first one writes.

    Args:
        identity: JSON that differs between predictors, settings and data. Unfinished work is
            continued only if it has the same identity.
        doing: the title of the progress line.

    Raises:
        UserError: two examples have the same id, or another process is writing the same output on
            a local disk.
    """
    _check_ids(examples, doing)
    with _alone(output):
        belongs_to = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
        journal = _Journal(Path(output), belongs_to)
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
        journal.remove_others()
        with Progress(doing, len(examples), first=len(done)) as progress:
            for rows in batches:
                done |= {row["id"]: _line(row) for row in rows}
                journal.write(rows)
                progress.advance(len(rows))
        wanted = sorted(example["id"] for example in examples)
        write_atomically(output, (done[id_] for id_ in wanted))
        journal.remove()
        distributed.wait_for_others()
        return len(wanted)


def _alone(output: PathLike) -> AbstractContextManager[Any]:
    """Locks an output; not in a bucket, where two writers only waste time."""
    check_target(output)
    journal = f"{os.fspath(output)}.unfinished"
    if is_local(output) and os.path.islink(journal):
        raise UserError(f"{journal} is a symbolic link, and what it leads to would be removed")
    if is_stream(output) or not is_local(output):
        return nullcontext()
    return lock.held(f"{os.fspath(output)}.lock", f"{output} is being written")


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


def say_where(count: int, output: PathLike) -> None:
    """Prints how many rows were written, and where; to standard error if the output is a stream."""
    print(
        f"{count:,} predictions in {output}", file=sys.stderr if is_stream(output) else sys.stdout
    )


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


class _Journal:
    """Unfinished rows: each batch is a file OUTPUT.unfinished/IDENTITY-NUMBER-HASH.jsonl.

    HASH is of the file's content. An output that is a device or a pipe has no journal.
    """

    def __init__(self, output: Path, belongs_to: str) -> None:
        self.folder = output.parent / f"{output.name}.unfinished"
        self.is_kept = not is_stream(output)
        self.prefix = f"{belongs_to[:32]}-"
        mine = [path.name for path in self._files() if path.name.startswith(self.prefix)]
        self.names = sorted(mine)

    def _files(self) -> list[Path]:
        return list(self.folder.iterdir()) if self.is_kept and self.folder.is_dir() else []

    def read(self) -> dict[str, str]:
        """By id, the lines that an interrupted run with the same identity has left.

        Skips a damaged file: its examples are predicted again.
        """
        found: dict[str, str] = {}
        for path in (self.folder / name for name in self.names):
            try:
                content = read_bytes(path)
                if path.stem.rpartition("-")[2] != _hash(content):
                    raise UserError(f"{path} is damaged")
                lines = content.splitlines()
                rows = [schema.parse(line, _Row, str(path), "it is damaged") for line in lines]
                texts = [line.decode() + "\n" for line in lines]
            except UserError as error:
                log.warning("%s; what it held is predicted again", error)
            else:
                found |= {row.id: text for row, text in zip(rows, texts, strict=True)}
        return found

    def remove_others(self) -> None:
        for path in self._files():
            if path.name not in self.names:
                path.unlink()

    def write(self, rows: Sequence[Row]) -> None:
        """Keeps a batch; raises UserError if that is not possible."""
        if self.is_kept:
            content = "".join(map(_line, rows)).encode()
            self.names.append(f"{self.prefix}{len(self.names):06}-{_hash(content)}.jsonl")
            write_atomically(self.folder / self.names[-1], content)

    def remove(self) -> None:
        if self.is_kept:
            self.folder.rmtree(missing_ok=True)
