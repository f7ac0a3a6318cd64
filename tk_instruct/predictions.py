"""Reads files of predictions, ours and those of other systems.

Each line is a JSON object, or the file is one JSON list of such objects. All lines have the same
format, which is recognised by their fields.
"""

import math
from typing import Annotated, Any, NamedTuple, TypeAlias

import msgspec

from tk_instruct import schema
from tk_instruct.errors import UserError
from tk_instruct.files import Path


class Prediction(NamedTuple):
    """A predicted text, and its place in the file (a line or an item)."""

    text: str
    where: str


class _HarnessDocument(msgspec.Struct, frozen=True):
    id: str
    options: list[str] | None = None


class _Likelihood(msgspec.Struct, frozen=True, array_like=True):
    """The log-likelihood of an option, as a number or as a text."""

    value: float | str

    def __post_init__(self) -> None:
        if math.isnan(self.number):
            raise ValueError("its first item must be a log-likelihood, and it is not a number")

    @property
    def number(self) -> float:
        try:
            return float(self.value)
        except ValueError:
            return math.nan


class Harness(msgspec.Struct, frozen=True):
    """A line of lm-evaluation-harness's log of samples: one example with one filter's answer.

    Attributes:
        filtered_resps: what was generated, or the likelihoods of all options of the document.
    """

    doc: _HarnessDocument
    filtered_resps: Annotated[list[str | _Likelihood], msgspec.Meta(min_length=1)]
    filter: str = "none"

    def __post_init__(self) -> None:
        texts = [found for found in self.filtered_resps if isinstance(found, str)]
        if texts:
            if len(self.filtered_resps) > 1:
                raise ValueError("filtered_resps must be one text, or likelihoods alone")
        elif len(self.filtered_resps) != len(self.doc.options or []):
            raise ValueError(
                f"filtered_resps has {len(self.filtered_resps)} likelihoods, and doc.options must "
                f"have as many options but has {len(self.doc.options or [])}"
            )

    @property
    def answer(self) -> tuple[str, str]:
        """The text that was generated, or the likeliest option, of equal ones the first."""
        first = self.filtered_resps[0]
        if isinstance(first, str):
            return self.doc.id, first
        numbers = [each.number for each in self.filtered_resps if isinstance(each, _Likelihood)]
        return self.doc.id, (self.doc.options or [])[numbers.index(max(numbers))]


class _TkInstructInstance(msgspec.Struct, frozen=True):
    id: str


class TkInstruct(msgspec.Struct, frozen=True):
    """A line of predicted_examples.jsonl, which Tk-Instruct's scripts write."""

    Instance: _TkInstructInstance
    prediction: str

    @property
    def answer(self) -> tuple[str, str]:
        return self.Instance.id, self.prediction


class CapitalTkInstruct(msgspec.Struct, frozen=True):
    """Like TkInstruct, but with a capital in Prediction too."""

    Instance: _TkInstructInstance
    Prediction: str

    @property
    def answer(self) -> tuple[str, str]:
        return self.Instance.id, self.Prediction


class Ours(msgspec.Struct, frozen=True):
    """A line that predict and rank write and that the leaderboard reads."""

    id: str
    prediction: str

    @property
    def answer(self) -> tuple[str, str]:
        return self.id, self.prediction


class ByPosition(msgspec.Struct, frozen=True):
    """A line that names an example by its task and its position in the task's data, from 0."""

    task: str
    index: Annotated[int, msgspec.Meta(ge=0)]
    prediction: str

    @property
    def answer(self) -> tuple[str, str]:
        return f"{self.task}-{self.index}", self.prediction


Format: TypeAlias = Harness | CapitalTkInstruct | TkInstruct | Ours | ByPosition

# The first format whose fields a line has is taken: lines of those above Ours have its fields too.
_FORMATS: tuple[type[Format], ...] = (Harness, CapitalTkInstruct, TkInstruct, Ours, ByPosition)
FORMATS_READ = (
    '{"id", "prediction"} (ours, the leaderboard\'s), {"task", "index", "prediction"} (the id is '
    'TASK-INDEX), {"Instance": {"id"}, "prediction" or "Prediction"} (Tk-Instruct\'s) and {"doc": '
    '{"id"}, "filtered_resps"} (lm-evaluation-harness --log_samples)'
)
_ONE_A_LINE = (
    "predictions are one JSON object a line, or one list: correct the file, or give another"
)
_REPAIRS: dict[type[Format], str] = {
    Harness: "what was predicted must be one text (a task of generate_until) or a likelihood for "
    "each option (multiple_choice), and the document must keep the id of its data, and for "
    "multiple_choice its options: doc_id is a position, by which ids cannot be told"
}


def read_predictions(path: Path) -> dict[str, Prediction]:
    """Id → prediction. Raises UserError with file, line, field and rule."""
    predictions: dict[str, Prediction] = {}
    first: Format | None = None
    for where, fields in schema.read_records(path, dict[str, Any], _ONE_A_LINE):
        line = _read(fields, where)
        first = first or line
        if type(line) is not type(first):
            raise UserError(
                f"{where}: of another format than the lines before ({_names(fields)}); a file "
                "holds one format, part the file in two"
            )
        if isinstance(line, Harness) and isinstance(first, Harness) and line.filter != first.filter:
            raise UserError(
                f"{where}: the answers of filter {line.filter!r}, after those of {first.filter!r}; "
                f'keep the lines of one, as by `grep \'"filter": "{line.filter}"\'`'
            )
        id_, text = line.answer
        if id_ in predictions:
            raise UserError(
                f"{where}: id {id_!r} was predicted on {predictions[id_].where} already; an id "
                "may be predicted once, remove one of the two"
            )
        predictions[id_] = Prediction(text, where)
    if not predictions:
        raise UserError(
            f"{path}: holds no predictions; write one JSON object a line, one of {FORMATS_READ}"
        )
    return predictions


def _read(fields: dict[str, Any], where: str) -> Format:
    form = schema.told_by_fields(fields, _FORMATS)
    if form is None:
        raise UserError(
            f"{where}: {_names(fields)} is no format of predictions; the formats that are read are "
            f"{FORMATS_READ}"
        )
    return schema.convert(fields, form, where, _REPAIRS.get(form, "correct the line"))


def _names(fields: dict[str, Any]) -> str:
    return schema.shortened(list(fields)).strip("[]").join("{}")
