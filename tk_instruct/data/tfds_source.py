"""Reads datasets that TFDS has prepared, as plain Python values.

Reads the prepared files. Needs neither the dataset's code nor a network.
"""

import hashlib
import os
from collections.abc import Iterator
from functools import lru_cache, partial
from typing import Any

import gin
import numpy as np

from tk_instruct.data.task import Download
from tk_instruct.errors import MissingDataError, UserError
from tk_instruct.files import Path
from tk_instruct.quiet_tensorflow import import_tensorflow_quietly

DATA_DIR_VARIABLE = "TFDS_DATA_DIR"
_READ_AT_ONCE = 256


@gin.configurable(module="tk_instruct")
def tfds_data_dir(directory: str | None = None) -> Path:
    """The folder of prepared datasets: directory, else $TFDS_DATA_DIR, else TFDS's default."""
    chosen = directory or os.environ.get(DATA_DIR_VARIABLE) or "~/tensorflow_datasets"
    return Path(chosen).expanduser()


def folder(name: str) -> Path:
    """The folder of a dataset `builder/configuration:version`.

    Raises MissingDataError if it is not prepared.
    """
    if not is_prepared(name):
        found = versions(name)
        others = f" (of other versions there are {', '.join(found)})" if found else ""
        raise MissingDataError(
            f"{name} is not in {tfds_data_dir()}{others}; `tk-instruct tasks prepare {name}` "
            f"puts it there, --tfds_data_dir or ${DATA_DIR_VARIABLE} names another folder, and "
            "--skip_missing does without"
        )
    dataset, version = name.split(":")
    return tfds_data_dir() / dataset / version


def is_prepared(name: str) -> bool:
    """Whether a dataset `builder/configuration:version` is there."""
    dataset, version = name.split(":")
    return (tfds_data_dir() / dataset / version / "dataset_info.json").exists()


def prepare(name: str) -> Path:
    """Downloads and prepares a dataset if it is not there yet. Gives its folder.

    Raises UserError if it cannot be prepared. The message tells which files the user must fetch
    by hand, if the dataset needs any.
    """
    import tensorflow_datasets as tfds

    try:
        return folder(name)
    except MissingDataError:
        pass
    import_tensorflow_quietly()
    by_hand = None
    try:
        by_hand = manual_instructions(name)
        tfds.builder(name, data_dir=str(tfds_data_dir())).download_and_prepare()
    except Exception as error:  # TFDS, its datasets and the network raise errors of any class
        reason = " ".join(str(error).split())[:300]
        repair = (
            f"it needs files fetched by hand: {by_hand}" if by_hand else "check name and network"
        )
        raise UserError(
            f"{name} cannot be prepared ({type(error).__name__}: {reason}); {repair}"
        ) from error
    return folder(name)


def download(name: str) -> Download:
    """A dataset `builder/configuration:version` as what `tasks prepare` fetches."""
    return Download(name, partial(prepare, name))


def manual_instructions(name: str) -> str | None:
    """TFDS's instructions for files to fetch by hand, and their folder. None if there are none."""
    import tensorflow_datasets as tfds

    told = tfds.builder_cls(name.split(":")[0].split("/")[0]).MANUAL_DOWNLOAD_INSTRUCTIONS
    if told is None:
        return None
    return f"{' '.join(told.split())} (put into {tfds_data_dir() / 'downloads' / 'manual'})"


def versions(name: str) -> list[str]:
    """The prepared versions of a dataset."""
    parent = tfds_data_dir() / name.split(":")[0]
    if not parent.is_dir():
        return []
    return sorted(p.name for p in parent.iterdir() if (p / "dataset_info.json").exists())


def fingerprint(name: str) -> str:
    """A hash of the names, sizes and times of a dataset's files.

    Raises MissingDataError if the dataset is not prepared.
    """
    files = sorted((p.name, p.stat()) for p in folder(name).iterdir())
    listed = repr([(name, found.length, found.mtime) for name, found in files])
    return hashlib.sha256(listed.encode()).hexdigest()[:32]


@lru_cache(maxsize=128)
def _builder(path: str, content: str) -> Any:
    del content  # only part of the cache's key, so that changed files are read again
    import_tensorflow_quietly()  # TFDS imports it when it reads a dataset's features
    import tensorflow_datasets as tfds

    try:
        return tfds.builder_from_directory(path)
    except Exception as error:  # TFDS and protobuf raise errors of any class
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"{path} is no whole dataset of TFDS ({type(error).__name__}: {reason}); delete it "
            "and prepare it again"
        ) from error


def builder(name: str) -> Any:
    """The dataset as TFDS's ReadOnlyBuilder. Raises MissingDataError if it is not prepared."""
    return _builder(str(folder(name)), fingerprint(name))


def num_examples(name: str, split: str) -> int:
    """The number of examples of a split. Raises UserError if the dataset lacks the split."""
    splits = builder(name).info.splits
    if split not in splits:
        raise UserError(
            f"{folder(name)} has the splits {', '.join(splits)} and no {split!r}; prepare {name} "
            "again"
        )
    return int(splits[split].num_examples)


def examples(name: str, split: str, start: int, stop: int) -> Iterator[dict[str, Any]]:
    """The examples start:stop of a split, in the order of the files, as `plain` gives them.

    Parses without TensorFlow's graph, in a fifth of the time. Raises MissingDataError if the
    dataset is not prepared, UserError if a file is damaged or the split is missing.
    """
    import_tensorflow_quietly()
    import tensorflow as tf

    num_examples(name, split)  # raises if the dataset lacks the split
    if start >= stop:
        return
    info = builder(name).info
    if info.file_format.value != "tfrecord":
        raise UserError(
            f"{folder(name)} is in the format {info.file_format.value}; prepare it in TFDS's "
            "default, tfrecord"
        )
    for part in info.splits[f"{split}[{start}:{stop}]"].file_instructions:
        wanted = part.take if part.take >= 0 else part.examples_in_shard - part.skip
        records = tf.data.TFRecordDataset(part.filename).skip(part.skip).take(wanted)
        found, reason = 0, "it ends before that"
        try:
            for batch in records.batch(_READ_AT_ONCE).as_numpy_iterator():
                found += len(batch)
                for record in batch:
                    yield plain(info.features.deserialize_example_np(record))
        except tf.errors.OpError as error:
            reason = str(error).splitlines()[0][:200]
        if found < wanted:
            raise UserError(
                f"{part.filename} cannot be read up to example {part.skip + wanted} ({reason}); "
                f"delete {folder(name)} and prepare {name} again"
            )


def schema(name: str) -> str:
    """The names of a dataset's features, for messages."""
    return ", ".join(sorted(builder(name).info.features))


def plain(value: Any) -> Any:
    """A value with bytes as str, NumPy numbers as Python's, and arrays as lists."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    return value
