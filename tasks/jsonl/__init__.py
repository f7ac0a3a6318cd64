"""Your own JSON lines as the task `jsonl`.

`import tk_instruct.tasks.jsonl.mixtures` declares it to SeqIO.
"""

import argparse
from collections.abc import Sequence
from typing import Any

from tk_instruct.suite import Flag, Suite

_HERE = "tk_instruct.tasks.jsonl"

SPLITS = ("train", "validation", "test")


def _file_of_split(text: str) -> tuple[str, str]:
    split, _, file = text.partition("=")
    if split not in SPLITS or not file:
        raise argparse.ArgumentTypeError(
            f"{text!r} must be SPLIT=FILE; SPLIT is one of {', '.join(SPLITS)}"
        )
    return split, file


class _BySplit(argparse.Action):
    """Pairs of a split and a file → the files of each split."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Sequence[tuple[str, str]] | Any,
        option_string: str | None = None,
    ) -> None:
        files: dict[str, list[str]] = getattr(namespace, self.dest) or {}
        for split, file in values:
            files.setdefault(split, []).append(file)
        setattr(namespace, self.dest, files)


SUITE = Suite(
    name="jsonl",
    summary="your own files of JSON lines",
    configurables=(f"{_HERE}.settings",),
    flags=(
        Flag(
            "jsonl",
            binds="JsonLines.files",
            macro="JSONL",
            is_place=True,
            metavar="SPLIT=FILE",
            type=_file_of_split,
            options={"nargs": "+", "action": _BySplit},
            help='files of the task jsonl, for example train=FILE test=FILE: lines {"inputs", '
            '"targets"}, and if you like "id", "task", "options" and "references"; a split that '
            "is given again has several files",
        ),
    ),
    tasks=f"{_HERE}.tasks",
    mixtures=f"{_HERE}.mixtures",
)
