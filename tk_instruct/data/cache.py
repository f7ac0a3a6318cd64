"""The token cache: the tokens of a task's split in an ArrayRecord file, read by index.

The file's key holds everything that the tokens depend on: the task, its data and options, the
vocabulary, the feature lengths and the code that renders. A change gives another key, so a file is
never out of date.
"""

import contextlib
import fcntl
import hashlib
import json
import logging
import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from array_record.python.array_record_data_source import ArrayRecordDataSource
from array_record.python.array_record_module import ArrayRecordWriter
from jaxtyping import Int32

from tk_instruct.cache_folder import default_cache_dir
from tk_instruct.data.code import code_hash
from tk_instruct.data.task import AnyTask, check_split
from tk_instruct.data.tokens import FeatureLengths, Tokens
from tk_instruct.errors import UserError
from tk_instruct.files import cannot_write, remove
from tk_instruct.progress import Progress

log = logging.getLogger("tk_instruct")


# Errors that a damaged file raises: ArrayRecord checks its chunks, and parsing may fail too.
_DAMAGED = (RuntimeError, ValueError, TypeError, IndexError)


class TokenFile:
    """The tokenised examples of a split on disk, read by index.

    A damaged file is written again, when it is opened or when the damaged example is read.

    Attributes:
        lengths: the numbers of input and target tokens of each example, known without reading it.
    """

    lengths: Int32[np.ndarray, "examples 2"]

    def __init__(self, path: Path, write: Callable[[], None]) -> None:
        self._path = path
        self._write = write
        if not path.exists():
            write()
        try:
            self._open()
        except _DAMAGED as error:
            self._write_again(error)

    def _open(self) -> None:
        self._records = ArrayRecordDataSource(os.fspath(self._path))
        # The lengths are the last record. A second file could be missing.
        lengths = self._records[len(self._records) - 1]
        self.lengths = np.frombuffer(lengths, "<i4").reshape(len(self._records) - 1, 2)

    def _write_again(self, error: Exception) -> None:
        why = (str(error).splitlines() or [type(error).__name__])[0]
        log.warning("%s is damaged (%.120s): its tokens are made again", self._path, why)
        self._write()
        self._open()

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> Tokens:
        if not 0 <= index < len(self):
            raise IndexError(f"example {index} of {len(self)}")
        try:
            return Tokens.from_bytes(self._records[index])
        except _DAMAGED as error:
            self._write_again(error)
            return Tokens.from_bytes(self._records[index])

    def unread(self, indices: Sequence[int]) -> list["Unread"]:
        """The examples with these indices, of which only the lengths are read."""
        lengths = self.lengths[indices].tolist()
        return [Unread(self, k, (i, t)) for k, (i, t) in zip(indices, lengths, strict=True)]


class Unread(NamedTuple):
    """An example in a file. Its lengths are known, its tokens are read by read()."""

    file: TokenFile
    position: int
    lengths: tuple[int, int]

    def read(self) -> Tokens:
        return self.file[self.position]


def open_tokens(task: AnyTask, split: str, lengths: FeatureLengths) -> TokenFile:
    """The tokenised examples of a split. Tokenises and writes them if the cache lacks them.

    Raises UserError if the task lacks the split, if the split is empty, or if the cache cannot be
    written.
    """
    check_split(task, split)
    path = _path(task, split, lengths)
    return TokenFile(path, partial(_write, path, task, split, lengths))


def _path(task: AnyTask, split: str, lengths: FeatureLengths) -> Path:
    parts = [
        task.name,
        split,
        lengths.as_dict(),
        task.vocabulary_fingerprint,
        task.fingerprint(split),
        code_hash(task.code),
    ]
    digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    return default_cache_dir() / "tokens" / f"{task.name[:80]}-{split}-{digest[:32]}.array_record"


def _write(path: Path, task: AnyTask, split: str, lengths: FeatureLengths) -> None:
    temporary = path.parent / f".{path.name}.{uuid.uuid4().hex[:8]}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(path.parent)
        with temporary.open("wb") as lock:
            with contextlib.suppress(OSError):  # some file systems have no locks
                fcntl.flock(lock, fcntl.LOCK_EX)
            writer = ArrayRecordWriter(str(temporary), "group_size:1")
            total = task.num_input_examples(split)
            sizes = []
            with Progress(f"tokenising {task.name}/{split}", total) as progress:
                for tokens in _tokens(task, split, lengths):
                    writer.write(tokens.to_bytes())
                    sizes.append(tokens.lengths)
                    progress.advance()
            writer.write(np.array(sizes, "<i4").tobytes())
            writer.close()
            if path != _path(task, split, lengths):
                raise UserError(
                    f"the data of {task.name} changed while it was read; run the command again"
                )
            os.replace(temporary, path)
    except OSError as error:
        raise cannot_write(path, error) from error
    except RuntimeError as error:  # ArrayRecord raises it if the disk is full
        raise cannot_write(path, OSError(str(error))) from error
    finally:
        remove(temporary)


def _remove_abandoned(folder: Path) -> None:
    """Removes temporary files of killed processes. A running one holds a lock on its file."""
    for path in folder.glob(".*.array_record.*"):
        with contextlib.suppress(OSError), path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()


def _tokens(task: AnyTask, split: str, lengths: FeatureLengths) -> Iterator[Tokens]:
    for example in task.examples(split, lengths):
        yield Tokens(example["id"], example["inputs"], example["targets"])
