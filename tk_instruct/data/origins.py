"""Which datasets the examples of the field's datasets were made from.

origins.csv beside this file has one row a dataset:

- name: its name here.
- aliases: what collections of tasks and libraries call it. Case and separators do not count.
- made_from: the rows that its examples were made from, as its paper says.
- partly_from: the same, where it is a small part, or where only a side of the examples comes from
  there, such as the captions that sets of words were drawn from.
- documented_in: the paper that says so.

Rows are datasets and narrow corpora. Broad ones, such as Wikipedia or news, are left out: nearly
all datasets would be related by them. A link that the table lacks may still exist.
"""

import csv
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

Relation = Literal["same_dataset", "train_from_eval", "eval_from_train", "same_corpus"]


@dataclass(frozen=True)
class SourceDataset:
    """A row of the table. Its docstring says what the columns are."""

    name: str
    aliases: tuple[str, ...]
    made_from: tuple[str, ...]
    partly_from: tuple[str, ...]
    documented_in: str


@cache
def table() -> Mapping[str, SourceDataset]:
    """Name → row."""
    with (Path(__file__).parent / "origins.csv").open(encoding="utf-8", newline="") as file:
        return {
            row["name"]: SourceDataset(
                row["name"],
                tuple(row["aliases"].split()),
                tuple(row["made_from"].split()),
                tuple(row["partly_from"].split()),
                row["documented_in"],
            )
            for row in csv.DictReader(file)
        }


def plain(name: str) -> str:
    """A name without case and separators."""
    return re.sub(r"[\W_]+", "", name.lower())


@cache
def _names() -> Mapping[str, str]:
    """Plain form of a name or alias → the row's name."""
    rows = table().values()
    return {plain(name): row.name for row in rows for name in (row.name, *row.aliases)}


def canonical(name: str) -> str | None:
    """The table's name of a dataset, or None if the table does not know it.

    Of BUILDER/CONFIGURATION:VERSION the version does not count, and the configuration only if the
    table knows it.
    """
    name = name.partition(":")[0]
    return _names().get(plain(name)) or _names().get(plain(name.partition("/")[0]))


_NUMBER = re.compile(r"(?:sub)?task\d+")
_SAID_AFTER = ("dataset", "corpus")


def named_in(words: str) -> str | None:
    """The dataset that a text on a source contains, as whole words. The longest name counts."""
    return _longest(words, lambda parts, start, stop: True)


def named_by(task: str) -> str | None:
    """The dataset in the name of a task. The longest name counts.

    It begins the name, after the task's number, or is followed by `dataset` or `corpus`: elsewhere
    `record` and `emotion` are words like others.
    """

    def is_said(parts: Sequence[str], start: int, stop: int) -> bool:
        begins = start == 0 or (start == 1 and _NUMBER.fullmatch(parts[0]) is not None)
        return begins or (stop < len(parts) and parts[stop] in _SAID_AFTER)

    return _longest(task, is_said)


def _longest(words: str, counts: Callable[[Sequence[str], int, int], bool]) -> str | None:
    """The longest name or alias among the runs of words, parts[start:stop], that count."""
    parts = [part for part in re.split(r"[\W_]+", words.lower()) if part]
    spans = (
        "".join(parts[start:stop])
        for start in range(len(parts))
        for stop in range(start + 1, len(parts) + 1)
        if counts(parts, start, stop)
    )
    known = [span for span in spans if span in _names()]
    return _names()[max(known, key=len)] if known else None


@cache
def origins_of(name: str) -> frozenset[str]:
    """The dataset and all that it was made from, also in part. Empty if the table has no row."""
    row = table().get(canonical(name) or "")
    if row is None:
        return frozenset()
    return frozenset({row.name}).union(*map(origins_of, row.made_from + row.partly_from))


@cache
def main_origins_of(name: str) -> frozenset[str]:
    """The same without what datasets were only partly made from."""
    row = table().get(canonical(name) or "")
    return frozenset({row.name}).union(*map(main_origins_of, row.made_from)) if row else frozenset()


class Related(NamedTuple):
    """How training data is related to evaluation data, and by which datasets.

    Attributes:
        relation: same_dataset; train_from_eval or eval_from_train, if one was made from the other;
            same_corpus, if both were made from a third.
        datasets: the dataset of both, the one that the other was made from, or the third.
    """

    relation: Relation
    datasets: frozenset[str]


@cache
def related(train: str, evaluation: str) -> Related | None:
    """How two datasets are related, or None if they are not, or one is unknown."""
    train, evaluation = canonical(train) or "", canonical(evaluation) or ""
    shared = origins_of(train) & origins_of(evaluation)
    if not shared:
        return None
    if train == evaluation:
        return Related("same_dataset", frozenset({train}))
    if evaluation in shared:
        return Related("train_from_eval", frozenset({evaluation}))
    if train in shared:
        return Related("eval_from_train", frozenset({train}))
    return Related("same_corpus", _nearest(shared))


def _nearest(datasets: Iterable[str]) -> frozenset[str]:
    """Those that no other one of them was made from."""
    datasets = frozenset(datasets)
    return datasets - frozenset[str]().union(*(origins_of(name) - {name} for name in datasets))
