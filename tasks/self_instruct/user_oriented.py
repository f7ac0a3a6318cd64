"""Reads Self-Instruct's user-oriented instructions (arXiv:2212.10560, section 4.4)."""

import os
from typing import Annotated, NamedTuple

import msgspec

from tk_instruct import schema
from tk_instruct.errors import MissingDataError, UserError
from tk_instruct.files import Path

VARIABLE = "TK_INSTRUCT_USER_ORIENTED"


class UserOriented(NamedTuple):
    """An instruction with one input, which may be empty, and a reference output.

    task is the id of the instruction. id also has a number if the instruction has several inputs.
    """

    id: str
    task: str
    app: str
    instruction: str
    input: str
    output: str


class _Instance(msgspec.Struct, frozen=True):
    input: str
    output: str


class _Instruction(msgspec.Struct, frozen=True):
    """A line of the published file."""

    id: str
    motivation_app: str
    instruction: str
    instances: Annotated[list[_Instance], msgspec.Meta(min_length=1)]


def user_oriented_path(given: str | None) -> Path:
    """The file of user-oriented instructions: given, else $TK_INSTRUCT_USER_ORIENTED.

    Raises MissingDataError if none is given or it does not exist.
    """
    name = given or os.environ.get(VARIABLE)
    if not name:
        raise MissingDataError(
            f"no user-oriented instructions are given; set --user_oriented, or ${VARIABLE}, to "
            "user_oriented_instructions.jsonl of github.com/yizhongw/self-instruct"
        )
    path = Path(name).expanduser()
    if not path.is_file():
        raise MissingDataError(f"--user_oriented={name} is no file; correct the path")
    return path


def read_user_oriented(path: Path) -> list[UserOriented]:
    """The instances in a file of the published format.

    Raises UserError with line, field and rule.
    """
    found: dict[str, UserOriented] = {}
    for line, record in schema.read_lines(path, _Instruction):
        for number, instance in enumerate(record.instances):
            id_ = record.id if len(record.instances) == 1 else f"{record.id}-{number}"
            if id_ in found:
                raise UserError(f"{path}:{line}: id {id_!r} is there twice; give it another")
            found[id_] = UserOriented(
                id_,
                record.id,
                record.motivation_app,
                record.instruction.strip(),
                instance.input.strip(),
                instance.output.strip(),
            )
    if not found:
        raise UserError(f"{path} holds no instructions; write one JSON object a line")
    return list(found.values())
