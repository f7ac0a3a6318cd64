"""Reads the task files of Natural Instructions v1."""

import difflib
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec

from tk_instruct import schema
from tk_instruct.errors import MissingDataError, UserError
from tk_instruct.files import Path, PathLike, read_file

from .settings import NaturalInstructionsV1
from .splits import collection

DATA_VARIABLE = "TK_INSTRUCT_NI_V1_DIR"
_FOLDERS = ("tasks", "Dataset_Jsons")  # names that the released repositories give the folder
_NOTHING: Literal["-"] = "-"
_REPAIR = (
    "correct the file or restore it (`tk-instruct tasks doctor ni_v1` lists all that is wrong)"
)


class PositiveExample(msgspec.Struct, frozen=True):
    input: str
    output: str
    reason: str


class NegativeExample(msgspec.Struct, frozen=True):
    """suggestion is one blank where the file has none."""

    input: str
    output: str
    reason: str
    suggestion: str


class Instance(msgspec.Struct, frozen=True):
    """outputs: all references. A few are empty texts in the real files."""

    input: str
    outputs: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)] = msgspec.field(name="output")


class _Examples(msgspec.Struct, frozen=True):
    positive: tuple[PositiveExample, ...] = msgspec.field(name="Positive Examples")
    negative: tuple[NegativeExample | Literal["-"], ...] = msgspec.field(name="Negative Examples")


class _File(msgspec.Struct, frozen=True):
    title: str = msgspec.field(name="Title")
    prompt: str = msgspec.field(name="Prompt")
    definition: str = msgspec.field(name="Definition")
    things_to_avoid: str = msgspec.field(name="Things to Avoid")
    emphasis: str = msgspec.field(name="Emphasis & Caution")
    examples: _Examples = msgspec.field(name="Examples")
    instances: Annotated[tuple[Instance, ...], msgspec.Meta(min_length=1)] = msgspec.field(
        name="Instances"
    )


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """A task without its instances.

    Fields are as in the file. None is a field that is "-", which stands for nothing. The released
    code takes "- ", which some files have, for a text, and so does this one.
    """

    name: str
    title: str | None
    prompt: str | None
    definition: str | None
    things_to_avoid: str | None
    emphasis: str | None
    positive_examples: tuple[PositiveExample, ...]
    negative_examples: tuple[NegativeExample, ...]

    @property
    def category(self) -> str:
        return collection()[self.name].category

    @property
    def dataset(self) -> str:
        return collection()[self.name].dataset


def read_task(path: PathLike) -> tuple[TaskSpec, Sequence[Instance]]:
    """The task and all instances of a file. Raises UserError with file, field and rule."""
    return parse_task(read_file(path), Path(path))


def parse_task(content: bytes, path: Path) -> tuple[TaskSpec, Sequence[Instance]]:
    """As read_task, for the content of a file."""
    file = schema.parse(content, _File, str(path), _REPAIR)
    negative = [each for each in file.examples.negative if not isinstance(each, str)]
    if negative and len(negative) < len(file.examples.negative):
        raise UserError(
            f'{path}: Examples.Negative Examples has "-", which stands for none, beside '
            f"{len(negative)} examples; {_REPAIR}"
        )
    task = TaskSpec(
        path.stem,
        _none_for_nothing(file.title),
        _none_for_nothing(file.prompt),
        _none_for_nothing(file.definition),
        _none_for_nothing(file.things_to_avoid),
        _none_for_nothing(file.emphasis),
        file.examples.positive,
        tuple(negative),
    )
    return task, file.instances


def _none_for_nothing(text: str) -> str | None:
    return None if text == _NOTHING else text


def folder() -> Path:
    """The folder of the task files.

    Raises MissingDataError if none is set, UserError if the one that is set has no task files.
    """
    directory = NaturalInstructionsV1().data or os.environ.get(DATA_VARIABLE)
    repair = (
        f"give --ni_v1_data, the gin macro NI_V1_DATA or ${DATA_VARIABLE} the folder of the files "
        "subtask*.json (instructions.apps.allenai.org offers them), or write small synthetic ones "
        "with `tk-instruct mini --suite ni_v1 DIRECTORY`"
    )
    if not directory:
        raise MissingDataError(f"no folder of Natural Instructions v1 is set: {repair}")
    root = Path(directory).expanduser()
    if not root.is_dir():
        raise UserError(f"ni_v1_data={directory!r}: {root} is not a directory; {repair}")
    found = [root / name for name in _FOLDERS if (root / name).is_dir()]
    return found[0] if found else root


def files() -> dict[str, Path]:
    """Name of a task of the collection → its file, for those that are there, in order.

    Raises UserError if there are none.
    """
    where = folder()
    # One listing: in a bucket, each single check costs as much.
    there = {path.stem: path for path in where.iterdir() if path.suffix == ".json"}
    found = {name: there[name] for name in collection() if name in there}
    if not found:
        near = difflib.get_close_matches("subtask001", there, n=1)
        raise UserError(
            f"{where} has no task file of Natural Instructions v1, such as "
            f"{next(iter(collection()))}.json{f', but {near[0]}.json' if near else ''}; give "
            "--ni_v1_data the folder that has them"
        )
    return found


def content_hash(path: Path) -> str:
    return hashlib.sha256(read_file(path)).hexdigest()
