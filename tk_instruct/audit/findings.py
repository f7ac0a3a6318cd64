"""What an audit finds, and its file: AUDIT.json."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

import msgspec

from tk_instruct import schema
from tk_instruct.files import PathLike, write_atomically

Field = Literal["inputs", "targets"]
# From the strongest to the weakest.
Kind = Literal["equal", "near_duplicate", "ngram"]
_Count = Annotated[int, msgspec.Meta(ge=0)]
_Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class OriginFinding(msgspec.Struct, frozen=True):
    """Two constituent tasks that are related by their source datasets.

    Attributes:
        relation: one of by_origin.RELATIONS, the closest if there are several.
        datasets: names in the table of datasets, sorted; none, if it is the same task of unknown
            origin.
    """

    train_task: str
    eval_task: str
    relation: str
    datasets: list[str]


class Passage(msgspec.Struct, frozen=True):
    """A text, or the part of it around a match.

    Attributes:
        marks: (start, end) in characters of `text`, in order: the words that both texts have.
    """

    text: str
    marks: list[tuple[_Count, _Count]]

    def parts(self) -> Iterator[tuple[str, bool]]:
        """The text in parts that are marked or not: (part, whether it is marked)."""
        at = 0
        for start, end in self.marks:
            yield self.text[at:start], False
            yield self.text[start:end], True
            at = end
        yield self.text[at:], False


class TextFinding(msgspec.Struct, frozen=True):
    """The training example that is most like an evaluation instance, in a field and of a kind.

    Attributes:
        share: the share of the evaluation text's words that the training text has too: all for
            `equal`, else those in n-grams (`ngram`) or shingles (`near_duplicate`) of both.
        n: words of the n-grams, for `ngram`.
        jaccard: similarity of the sets of shingles, for `near_duplicate`.
        num_train: how many training examples match in this field and are of no stronger kind.
    """

    eval_id: str
    eval_task: str
    train_id: str
    train_task: str
    field: Field
    kind: Kind
    share: _Share
    num_train: _Count
    evaluation: Passage
    training: Passage
    n: int | None = None
    jaccard: _Share | None = None


class TaskCount(msgspec.Struct, frozen=True):
    """How many instances of an evaluation task are flagged by text.

    Attributes:
        flagged: those with a finding in any field.
        by_inputs: those with a finding in their inputs.
        by_targets: those with a finding in their targets.
    """

    task: str
    instances: _Count
    flagged: _Count
    by_inputs: _Count
    by_targets: _Count


class Settings(msgspec.Struct, frozen=True):
    """What counts as a match.

    Attributes:
        ngram: words of an n-gram, for texts of at least so many words.
        short_ngram: the same for shorter texts.
        jaccard: the least similarity of near duplicates.
    """

    ngram: int = 13
    short_ngram: int = 8
    jaccard: float = 0.8


class Audit(msgspec.Struct, frozen=True):
    """A whole audit.

    Attributes:
        train: what was trained on: NAME:SPLIT of tasks and mixtures, or files.
        against: the same of what is evaluated on.
        num_train: training examples that were read; 0 if only names were compared.
        tasks: the evaluation tasks, sorted by name; none if only names were compared.
        left_out: the number of n-grams and whole texts that were left out because they stand in
            many instances of an evaluation task.
        train_datasets: training task → its source datasets; none if its origin is unknown. A file
            is not among them.
        eval_datasets: the same of the evaluation tasks.
        origins: pairs of tasks that are related by their source datasets.
        texts: of each evaluation instance at most one finding a field and kind.
    """

    format: Literal[1]
    settings: Settings
    train: list[str]
    against: list[str]
    num_train: _Count
    left_out: _Count
    tasks: list[TaskCount]
    train_datasets: dict[str, list[str]]
    eval_datasets: dict[str, list[str]]
    origins: list[OriginFinding]
    texts: list[TextFinding]

    def flagged(self) -> Mapping[str, frozenset[str]]:
        """Evaluation task → the ids of its instances that have a finding by text."""
        found: dict[str, set[str]] = {}
        for text in self.texts:
            found.setdefault(text.eval_task, set()).add(text.eval_id)
        return {task: frozenset(ids) for task, ids in found.items()}


def read(path: PathLike) -> Audit:
    """Raises UserError for a file that is none of an audit."""
    return schema.read(path, Audit, "make it again by `tk-instruct tasks audit --json FILE`")


def as_json(audit: Audit) -> bytes:
    return msgspec.json.format(msgspec.json.encode(audit), indent=1) + b"\n"


def write(path: PathLike, audit: Audit) -> None:
    write_atomically(path, as_json(audit))
