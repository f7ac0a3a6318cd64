"""The user-oriented instructions of Self-Instruct's evaluation (arXiv:2212.10560, section 4.4)."""

import os
from typing import Any, NamedTuple

from tk_instruct.errors import MissingDataError, UserError
from tk_instruct.files import Path, read_jsonl

VARIABLE = "TK_INSTRUCT_USER_ORIENTED"


class UserOriented(NamedTuple):
    """An instruction with one input, empty where it needs none, and an output to compare with.

    task is the id of the instruction, id also tells its instances apart where there are several.
    """

    id: str
    task: str
    app: str
    instruction: str
    input: str
    output: str


def user_oriented_path(given: str | None) -> Path:
    """The user's file; raises MissingDataError where there is none."""
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
    """The instances of a file in the published format; UserError names line, field and rule."""
    found: dict[str, UserOriented] = {}
    for line, record in read_jsonl(path):
        where = f"{path}:{line}"
        task, app, instruction = (
            _text(record, field, where) for field in ("id", "motivation_app", "instruction")
        )
        instances = record.get("instances")
        if not isinstance(instances, list) or not instances:
            raise UserError(
                f"{where}: instances={instances!r:.60} must be a list of at least one "
                '{"input": …, "output": …}'
            )
        for number, instance in enumerate(instances):
            if not isinstance(instance, dict):
                raise UserError(
                    f'{where}: instance {instance!r:.60} must be {{"input": …, "output": …}}'
                )
            input_, output = (_text(instance, field, where) for field in ("input", "output"))
            id_ = task if len(instances) == 1 else f"{task}-{number}"
            if id_ in found:
                raise UserError(f"{where}: id {id_!r} is there twice; give it another")
            found[id_] = UserOriented(
                id_, task, app, instruction.strip(), input_.strip(), output.strip()
            )
    if not found:
        raise UserError(f"{path} holds no instructions; write one JSON object a line")
    return list(found.values())


def _text(record: dict[str, Any], field: str, where: str) -> str:
    if not isinstance(record.get(field), str):
        raise UserError(f"{where}: {field}={record.get(field)!r:.60} must be a string")
    return record[field]
