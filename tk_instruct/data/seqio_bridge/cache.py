"""Reads the raw examples of tasks that SeqIO has cached, and checks what they were made from.

`seqio_cache_tasks` writes the examples of a task's source in another order. Each example holds its
origin and its position. So a cached task gives the same examples as its data, or raises an error.
"""

import hashlib
import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache, cached_property
from typing import Any

import msgspec
import seqio
import tensorflow as tf
from google.protobuf.message import DecodeError

from tk_instruct import schema
from tk_instruct.data.code import code_hash
from tk_instruct.data.task import RawExample, Task
from tk_instruct.errors import EmptySplitError, MissingDataError, UserError
from tk_instruct.files import Path

log = logging.getLogger("tk_instruct")

# The features that a cached example has beside its fields.
ORIGIN, POSITION = "cache_origin", "cache_position"

_AGAIN = "cache it again (seqio_cache_tasks --overwrite), or leave USE_CACHED_TASKS out"


class Origin(msgspec.Struct, frozen=True):
    """What the examples of a split were made from when they were cached.

    Attributes:
        selection: the options that chose the examples.
        content: the fingerprint of the data.
        code: the hash of the code that makes examples from the data.
        num_examples: the source's number of examples. Mixing rates depend on it.
        why_empty: why the split has no examples, else empty.
    """

    split: str
    selection: str
    content: str
    code: str
    num_examples: int
    why_empty: str = ""

    def check(self, task: Task) -> None:
        """Compares the origin with the present options, data and code.

        Raises UserError if the options or the data differ, or if the split is empty. Only warns if
        the data is missing or the code differs.
        """
        name, selection = f"{task.name}/{self.split}", task.source.selection()
        try:
            content = task.source.content(self.split)
        except MissingDataError:
            content = None
        if selection != self.selection:
            raise UserError(
                f"{name} was cached with {self.selection}, and what is set now is {selection}; set "
                f"the same, or {_AGAIN}"
            )
        if content is None:
            _warn_once(f"{name} is read as cached: its data is not here to be compared with")
        elif content != self.content:
            raise UserError(f"{name} was cached from data that has changed since; {_AGAIN}")
        if self.code != code_hash(task.code):
            _warn_once(
                f"{name} was cached by another version of this code; if that matters, {_AGAIN}"
            )
        if self.why_empty:
            raise EmptySplitError(self.why_empty)


@cache
def _warn_once(message: str) -> None:
    log.warning("%s", message)


class _Info(msgspec.Struct, frozen=True):
    num_shards: int


class _Stats(msgspec.Struct, frozen=True):
    examples: int


def cached_task(task: Task, directories: Sequence[str]) -> Task:
    """The task with its raw examples from SeqIO's cache, which is searched in the directories."""
    seqio.add_global_cache_dirs(directories)
    source = task.source

    def split_of(split: str) -> CachedSplit:
        found = CachedSplit(task.name, split)
        found.origin.check(task)
        return found

    cached = replace(
        source,
        load=lambda split: split_of(split).examples(source.fields),
        content=lambda split: split_of(split).fingerprint,
        count=lambda split: split_of(split).origin.num_examples,
    )
    return replace(task, source=cached)


class CachedSplit:
    """The examples of a split in a task's cache.

    Raises MissingDataError if the task is not cached, UserError if the cache is damaged.
    """

    def __init__(self, task: str, split: str) -> None:
        name, directories = seqio.get_task_dir_from_name(task), seqio.get_global_cache_dirs()
        folders = [Path(directory) / name for directory in directories]
        folder = next((folder for folder in folders if (folder / "COMPLETED").exists()), None)
        if folder is None:
            looked_in = ", ".join(directories) or "no directory"
            raise MissingDataError(
                f"{task} is not cached (looked for in {looked_in}); cache it with "
                f"seqio_cache_tasks --tasks={task}, give that --output_cache_dir as "
                "--seqio_additional_cache_dirs, or leave USE_CACHED_TASKS out"
            )
        self._name = f"{folder}, split {split},"
        self._num_examples = schema.read(folder / f"stats.{split}.json", _Stats, _AGAIN).examples
        self._files = sorted(folder.glob(f"{split}.tfrecord-*"))
        num_files = schema.read(folder / f"info.{split}.json", _Info, _AGAIN).num_shards
        if len(self._files) != num_files:
            raise UserError(f"{self._name} has {len(self._files)} of {num_files} files; {_AGAIN}")

    @cached_property
    def origin(self) -> Origin:
        return schema.parse(self._origin, Origin, f"{self._name} {ORIGIN}", _AGAIN)

    @cached_property
    def _origin(self) -> bytes:
        for example in self._read():
            return self._origin_of(example)
        raise UserError(f"{self._name} holds no examples; {_AGAIN}")

    @property
    def fingerprint(self) -> str:
        """A hash of the examples' origin and of the files' sizes, which change with a new cache."""
        sizes = [(path.name, path.stat().length) for path in self._files]
        content = json.dumps([msgspec.to_builtins(self.origin), self._num_examples, sizes])
        return hashlib.sha256(content.encode()).hexdigest()

    def examples(self, fields: Mapping[str, bool]) -> list[RawExample]:
        """All examples in the order of the data. fields: name → whether it is a list of texts."""
        found: dict[int, RawExample] = {}
        for example in self._read():
            if self._origin_of(example) != self._origin:
                raise UserError(f"{self._name} is a mixture of several caches; {_AGAIN}")
            position = sum(self._feature(example, POSITION).int64_list.value)
            if position < 0 or position in found:
                raise UserError(f"{self._name} has a second example {position}; {_AGAIN}")
            found[position] = {
                field: self._texts(example, field, is_list) for field, is_list in fields.items()
            }
        if len(found) != self._num_examples or not found or max(found) != len(found) - 1:
            raise UserError(
                f"{self._name} has {len(found)} of {self._num_examples} examples; {_AGAIN}"
            )
        return [found[position] for position in range(self._num_examples)]

    def _read(self) -> Iterator[tf.train.Example]:
        try:
            for record in tf.data.TFRecordDataset(
                [os.fspath(path) for path in self._files]
            ).as_numpy_iterator():
                yield tf.train.Example.FromString(record)
        except (tf.errors.OpError, DecodeError) as error:
            reason = str(error).splitlines()[0][:200]
            raise UserError(f"{self._name} cannot be read ({reason}); {_AGAIN}") from error

    def _origin_of(self, example: tf.train.Example) -> bytes:
        return b"".join(self._feature(example, ORIGIN).bytes_list.value)

    def _texts(self, example: tf.train.Example, field: str, is_list: bool) -> str | list[str]:
        try:
            texts = [text.decode() for text in self._feature(example, field).bytes_list.value]
            return texts if is_list else texts[0]
        except (IndexError, UnicodeDecodeError) as error:
            raise UserError(f"{self._name} has no text in {field}; {_AGAIN}") from error

    def _feature(self, example: tf.train.Example, name: str) -> Any:
        if name not in example.features.feature:
            raise UserError(f"{self._name} has no feature {name!r}; {_AGAIN}")
        return example.features.feature[name]
