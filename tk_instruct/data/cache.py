"""A split of a SeqIO task → its tokens on disk, once, in ArrayRecord files read by index.

The key holds everything the tokens depend on: the task, its data and options, the vocabulary, the
feature lengths and the code that renders. A changed input is another key, so nothing is stale.
"""

import hashlib
import json
import logging
import os
import uuid
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np
import seqio
from array_record.python.array_record_data_source import ArrayRecordDataSource
from array_record.python.array_record_module import ArrayRecordWriter
from jaxtyping import Int32

from tk_instruct.data import registry
from tk_instruct.data.records import default_cache_dir
from tk_instruct.data.tokens import FeatureLengths, Tokens
from tk_instruct.data.vocabulary import fingerprint
from tk_instruct.errors import UserError
from tk_instruct.files import cannot_write, remove
from tk_instruct.progress import Progress

log = logging.getLogger("tk_instruct")


class TokenFile:
    """The examples of a split on disk, read by index; known without reading them are their

    lengths: of the inputs and of the targets of each.
    """

    lengths: Int32[np.ndarray, "examples 2"]

    def __init__(self, path: Path) -> None:
        self._records = ArrayRecordDataSource(str(path))
        # The last record: so there is one file, which is there whole or not at all.
        lengths = self._records[len(self._records) - 1]
        self.lengths = np.frombuffer(lengths, "<i4").reshape(-1, 2)

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> Tokens:
        if not 0 <= index < len(self):
            raise IndexError(f"example {index} of {len(self)}")
        return Tokens.from_bytes(self._records[index])

    def unread(self, indices: Sequence[int]) -> list["Unread"]:
        lengths = self.lengths[indices].tolist()
        return [Unread(self, k, (i, t)) for k, (i, t) in zip(indices, lengths, strict=True)]


class Unread(NamedTuple):
    """An example in a file, of which only the lengths are known until it is read."""

    file: TokenFile
    position: int
    lengths: tuple[int, int]

    def read(self) -> Tokens:
        return self.file[self.position]


def open_tokens(task: seqio.Task, split: str, lengths: FeatureLengths) -> TokenFile:
    """The split's examples, written first where they are not there yet.

    Raises UserError for a split the task lacks, an empty one, and a cache that cannot be written.
    """
    registry.check_split(task, split)
    path = default_cache_dir() / "tokens" / f"{_key(task, split, lengths)}.array_record"
    if not path.exists():
        _write(path, task, split, lengths)
    return TokenFile(path)


def _key(task: seqio.Task, split: str, lengths: FeatureLengths) -> str:
    if not isinstance(task.source, registry.RecordSource):
        raise UserError(
            f"task {task.name!r} has a {type(task.source).__name__}, which cannot tell whether its "
            "data has changed; declare it through tk_instruct.data.registry.add_task"
        )
    parts = [
        task.name,
        split,
        lengths.as_dict(),
        fingerprint(task.output_features["inputs"].vocabulary),
        task.source.fingerprint(split),
        code_hash(),
    ]
    digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    return f"{task.name[:80]}-{split}-{digest[:32]}"


@cache
def code_hash(*more: ModuleType) -> str:
    """Of the modules that make tokens from data, declarations included, and of more packages."""
    import tk_instruct.data
    import tk_instruct.tasks
    from tk_instruct import randomness

    packages = (tk_instruct.data, tk_instruct.tasks, *more)
    folders = [Path(next(iter(package.__path__))) for package in packages]
    modules = [Path(randomness.__file__), *(m for folder in folders for m in folder.rglob("*.py"))]
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(modules))).hexdigest()


def _write(path: Path, task: seqio.Task, split: str, lengths: FeatureLengths) -> None:
    temporary = path.parent / f".{path.name}.{uuid.uuid4().hex[:8]}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
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
        os.replace(temporary, path)
    except OSError as error:
        raise cannot_write(path, error) from error
    except RuntimeError as error:  # how ArrayRecord says that the disk is full
        raise cannot_write(path, OSError(str(error))) from error
    finally:
        remove(temporary)


def _tokens(task: seqio.Task, split: str, lengths: FeatureLengths) -> Iterator[Tokens]:
    for example in registry.examples(task, split, lengths):
        yield Tokens(example["id"], example["inputs"], example["targets"])
