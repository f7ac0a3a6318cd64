"""Reads predictions for Natural Instructions v1: ours, other systems', the released files.

A released file is {"predictions": [{"index", "output"}]}, and its name is TASK@ENCODING@….json.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Annotated

import msgspec

from tk_instruct import schema
from tk_instruct.errors import UserError
from tk_instruct.files import Path
from tk_instruct.predictions import Prediction, read_predictions

from .splits import collection

_RELEASED = re.compile(r"(?P<task>[^@]+)@.*\.json")
_ID = re.compile(r"(?P<task>.+)-(?P<index>0|[1-9][0-9]{0,8})")


class _Output(msgspec.Struct, frozen=True):
    index: Annotated[int, msgspec.Meta(ge=0)]
    output: str


class _Released(msgspec.Struct, frozen=True):
    predictions: Annotated[list[_Output], msgspec.Meta(min_length=1)]


def read(paths: Iterable[str]) -> dict[str, dict[int, Prediction]]:
    """Task → index of an instance → prediction, of all files together, in the tasks' order.

    Raises UserError with the place for a task that the collection does not have, and with both
    places for an instance that is predicted twice.
    """
    found: dict[str, dict[int, Prediction]] = {}
    for path in paths:
        for task, index, prediction in _read(Path("/dev/stdin" if path == "-" else path)):
            if task not in collection():
                raise UserError(
                    f"{prediction.where}: {task} is no task of Natural Instructions v1, such as "
                    f"{next(iter(collection()))}; correct the name or remove the prediction"
                )
            of_task = found.setdefault(task, {})
            if index in of_task:
                raise UserError(
                    f"{prediction.where}: instance {index} of {task} was predicted on "
                    f"{of_task[index].where} already; an instance may be predicted once, remove "
                    "one of the two"
                )
            of_task[index] = prediction
    return {task: found[task] for task in collection() if task in found}


def _read(path: Path) -> Iterator[tuple[str, int, Prediction]]:
    if match := _RELEASED.fullmatch(path.name):
        repair = "a file that is named TASK@….json has the released form, rename it if it has not"
        outputs = schema.read(path, _Released, repair).predictions
        for number, item in enumerate(outputs, start=1):
            where = f"{path}: item {number}"
            yield match["task"], item.index, Prediction(item.output, where)
        return
    try:
        predictions = read_predictions(path)
    except UserError as error:
        if path.suffix != ".json":
            raise
        raise UserError(f"{error}; a released file has to keep its name, TASK@….json") from error
    for id_, prediction in predictions.items():
        match = _ID.fullmatch(id_)
        if match is None:
            raise UserError(
                f"{prediction.where}: id {id_!r} must be TASK-INDEX, such as "
                f"{next(iter(collection()))}-60; give the ids that the data has"
            )
        yield match["task"], int(match["index"]), prediction
