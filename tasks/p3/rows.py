"""Reads the rows of data sets: Hugging Face's files below --p3_data, else TFDS's data.

Rows are read one after the other, so that a file need not fit into memory.
"""

import contextlib
import gzip
import hashlib
import itertools
import re
import zlib
from collections.abc import Collection, Iterator
from functools import lru_cache
from typing import Any, BinaryIO, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from tk_instruct import schema
from tk_instruct.data import tfds_source
from tk_instruct.errors import MissingDataError, UserError
from tk_instruct.files import Path, is_stream, open_to_read, read_file

from . import tfds_rows
from .settings import P3
from .templates import DatasetName, state_of

_FORMATS = ("parquet", "jsonl", "jsonl.gz")
# Splits of the Hub whose names begin with the name of another.
_LONGER_NAMES = re.compile(r"(train|dev|test)_r[123]|(validation|test)_(mis)?matched")
# Split → its names, where data sets call it by several.
_NAMES = {"validation": ("validation", "valid", "val", "dev")}
# What pyarrow raises of a damaged file: it also meets names that are not UTF-8, and absurd sizes.
_DAMAGED = (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError)
_READ_AT_ONCE = 256  # rows
_BUFFER_BYTES = 1 << 20  # of each column
_MOST_HASHED = 1 << 26  # bytes of a file whose content is hashed


class Place(NamedTuple):
    """Where a split of a data set is: its files, or TFDS's name if there are none."""

    dataset: DatasetName
    split: str
    files: tuple[Path, ...]
    tfds: str | None = None


def place(dataset: DatasetName, split: str) -> Place:
    """Where a split is. Raises MissingDataError if it is nowhere."""
    names = _NAMES.get(split, (split,))
    for name in names:
        if files := tuple(_files(dataset, name)):
            return Place(dataset, name, files)
    in_tfds = {name: tfds_rows.name_of(str(dataset), name) for name in names}
    found = [(name, tfds) for name, tfds in in_tfds.items() if tfds]
    for name, tfds in found:
        if tfds_source.is_prepared(tfds):
            return Place(dataset, name, (), tfds)
    given = P3().data
    folder = Path(given or "DIR").expanduser() / str(dataset)
    there = sorted(path.name for path in folder.iterdir()) if given and folder.is_dir() else []
    has = f" (the folder has {', '.join(there[:3])}{', …' * (len(there) > 3)})" if there else ""
    prepared = f", nor {found[0][1]} in {tfds_source.tfds_data_dir()}" if found else ""
    raise MissingDataError(
        f"there is no {folder}/{split}*.parquet, .jsonl or .jsonl.gz{has}{prepared}; give "
        "--p3_data DIR with Hugging Face's files, or get them (`tk-instruct tasks prepare TASK "
        "--p3_data DIR`" + (", or without --p3_data by TFDS)" if found else ")")
    )


def _files(dataset: DatasetName, split: str) -> list[Path]:
    """The files of a split, sorted. Raises UserError if they are in two formats."""
    given = P3().data
    folder = Path(given).expanduser() / str(dataset) if given else None
    if folder is None or not folder.is_dir():
        return []
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.glob(f"{split}*")):
        name, _, ending = path.name.partition(".")
        ending = next((e for e in _FORMATS if path.name.endswith(f".{e}")), "")
        longer = _LONGER_NAMES.match(name)
        if ending and path.is_file() and (longer is None or longer[0] == split):
            found.setdefault(ending, []).append(path)
    if len(found) > 1:
        names = ", ".join(paths[0].name for paths in found.values())
        raise UserError(
            f"{folder} has {split} in {len(found)} formats ({names}), and the same rows may be in "
            "both; leave one of them there"
        )
    return [path for paths in found.values() for path in paths]


def rows(at: Place, columns: Collection[str]) -> Iterator[dict[str, Any]]:
    """The rows of a split in the order of its files.

    Of columnar files only these columns are read. Raises UserError with the file and the row if
    one cannot be read.
    """
    if at.tfds is not None:
        yield from tfds_rows.rows(str(at.dataset), at.split)
    for path in at.files:
        yield from _parquet(path, columns) if path.suffix == ".parquet" else _lines(path)


def columns(at: Place) -> list[str]:
    """The names of a split's columns. For JSON lines, those of the first rows."""
    return _columns(at, fingerprint(at))


@lru_cache(maxsize=1024)
def _columns(at: Place, content: str) -> list[str]:
    del content  # part of the key: files that change are read again
    if at.files and at.files[0].suffix == ".parquet":
        with _opened(at.files[0]) as file:
            return list(file.schema_arrow.names)
    names: dict[str, None] = {}
    for row in itertools.islice(rows(at, ()), _READ_AT_ONCE):
        names |= dict.fromkeys(row)
    return list(names)


def num_rows(at: Place) -> int:
    if at.tfds is not None:
        return tfds_rows.num_rows(str(at.dataset), at.split)
    return sum(_num_rows(path, *state_of(path)) for path in at.files)


def fingerprint(at: Place) -> str:
    """A text that changes when the rows change.

    The hash of each file's content, or the size and time of a file of more than 64 MiB.
    """
    if at.tfds is not None:
        return tfds_rows.fingerprint(str(at.dataset), at.split)
    parts = [f"{path.name} {_content(path, *state_of(path))}" for path in at.files]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


@lru_cache(maxsize=4096)
def _content(path: Path, size: int, modified: float) -> str:
    if size > _MOST_HASHED:
        return f"{size} {modified}"
    return hashlib.sha256(read_file(path)).hexdigest()


@lru_cache(maxsize=4096)
def _num_rows(path: Path, size: int, modified: float) -> int:
    if path.suffix == ".parquet":
        with _opened(path) as file:
            return int(file.metadata.num_rows)
    return sum(1 for _ in _lines(path))


def _open(path: Path) -> BinaryIO:
    """A file, which is read more than once. Raises UserError for a pipe."""
    if is_stream(path):
        raise UserError(f"{path} is a pipe or a device; put a file in its place")
    return open_to_read(path)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[pq.ParquetFile]:
    try:
        file = _open(path)
        # Otherwise what is read of a file is held until it is closed.
        parquet = pq.ParquetFile(file, buffer_size=_BUFFER_BYTES, pre_buffer=False)
    except _DAMAGED as error:
        raise _unreadable(path, error) from error
    with file:
        yield parquet


def _parquet(path: Path, columns: Collection[str]) -> Iterator[dict[str, Any]]:
    number = 0
    with _opened(path) as file:
        wanted = [name for name in file.schema_arrow.names if name.replace("-", "_") in columns]
        try:
            for batch in file.iter_batches(_READ_AT_ONCE, columns=wanted or None):
                for row in batch.to_pylist():
                    yield row
                    number += 1
        except _DAMAGED as error:
            raise _unreadable(path, error, number) from error


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    number = 0
    try:
        with _open(path) as opened:
            file = gzip.GzipFile(fileobj=opened) if path.suffix == ".gz" else opened
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield schema.parse(line, dict[str, Any], f"{path}:{number}")
    except (OSError, EOFError, zlib.error) as error:
        raise _unreadable(path, error, number) from error


def _unreadable(path: Path, error: Exception, row: int = 0) -> UserError:
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    return UserError(
        f"{path} cannot be read after row {row} ({reason}); it is cut off or damaged: get it again"
    )
