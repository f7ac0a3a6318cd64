"""The raw examples of a data set under a template."""

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from jinja2 import TemplateError

from tk_instruct import randomness
from tk_instruct.data.task import RawExample
from tk_instruct.errors import EmptySplitError, MissingDataError, UserError

from . import rows, sandbox, templates
from .rendering import ANSWER_CHOICES, Dropped, Prompted, apply, truncating, without_dash
from .settings import P3
from .templates import DatasetName, PromptedDataset, Template

log = logging.getLogger("tk_instruct")


def place(of: PromptedDataset, split: str) -> rows.Place:
    return rows.place(of.dataset, of.split_of_rows(split))


def content(of: PromptedDataset, split: str) -> str:
    """A text that changes when the examples change: with the rows, the template, the seed.

    Raises MissingDataError also if the rows lack a column that the template needs.
    """
    template, at = templates.template_of(of.dataset, of.template), place(of, split)
    columns = rows.columns(at)
    needed = needed_columns(of.dataset, template)
    # A file without rows has no columns either.
    if columns and (lacking := needed - set(map(without_dash, columns))):
        raise MissingDataError(
            f"{of.dataset}, split {at.split}: {_lacks(of.template, lacking)} the data have "
            f"{', '.join(columns)}; {OTHER_VERSION}"
        )
    seed = f" seed={P3().seed}" if draws(of.dataset, template) else ""
    return f"{rows.fingerprint(at)} {templates.digest(template)}{seed}"


OTHER_VERSION = (
    "correct the template or rename the column, or give --p3_templates a version of promptsource "
    "that reads this version of the data"
)


def _lacks(template: str, columns: Collection[str]) -> str:
    return f"the template {template!r} reads {', '.join(sorted(columns))}, and"


def count(of: PromptedDataset, split: str) -> int:
    """The number of rows, also of those that are dropped."""
    return rows.num_rows(place(of, split))


def load(of: PromptedDataset, split: str) -> Iterator[RawExample]:
    """The examples of a split, one after the other.

    Logs how many rows were dropped, and why. Raises EmptySplitError if all were.
    """
    dropped: dict[str, _Count] = {}
    number = -1
    content(of, split)  # which raises what is missing
    for number, found in prompted(of, split):
        if isinstance(found, Dropped):
            count = dropped.setdefault(found.reason, _Count(number, found.detail))
            count.number += 1
        else:
            yield _example(of, split, number, found)
    total = sum(count.number for count in dropped.values())
    about = "; ".join(f"{reason}: {count}" for reason, count in dropped.items())
    if number < 0:
        raise EmptySplitError(
            f"{of.task}/{split}: {of.dataset} has no rows in {split}; get its files again, or "
            "leave the task out"
        )
    if total == number + 1:
        raise EmptySplitError(
            f"{of.task}/{split}: the template {of.template!r} of {of.dataset} makes no example of "
            f"{total:,} rows ({about}); correct it, or leave the task out"
        )
    if dropped:
        log.info(
            "%s/%s: %s of %s rows are dropped (%s)",
            *(of.task, split, f"{total:,}", f"{number + 1:,}", about),
        )


@dataclass
class _Count:
    """How many rows are dropped for a reason."""

    first: int
    detail: str
    number: int = 0

    def __str__(self) -> str:
        detail = f", {self.detail}" if self.detail else ""
        return f"{self.number:,}, first row {self.first}{detail}"


def prompted(of: PromptedDataset, split: str) -> Iterator[tuple[int, Prompted | Dropped]]:
    """Each row's number, and what the template makes of it. Raises UserError as prompt_row does."""
    template, at = templates.template_of(of.dataset, of.template), place(of, split)
    columns = columns_of(of.dataset, template) | {ANSWER_CHOICES}  # which apply refuses
    for number, row in enumerate(rows.rows(at, columns)):
        yield number, prompt_row(of.dataset, template, at.split, number, row)


def prompt_row(
    dataset: DatasetName, template: Template, split: str, number: int, row: Mapping[str, Any]
) -> Prompted | Dropped:
    """What a template makes of a row. split is named as the files are.

    Raises UserError for a row without a column that the template needs.
    """
    where = f"{dataset}, split {split}, row {number}"
    if lacking := needed_columns(dataset, template) - set(map(without_dash, row)):
        raise UserError(
            f"{where}: {_lacks(template.name, lacking)} the row lacks it; complete the row, or "
            f"{OTHER_VERSION}"
        )

    def choose(options: Sequence[Any], count: int) -> Any:
        return randomness.choose(options, P3().seed, "p3_choice", template.id, where, str(count))

    return apply(template, row, choose, where)


def _example(of: PromptedDataset, split: str, number: int, found: Prompted) -> RawExample:
    return {
        "id": f"{of.task}-{split}-{number}",
        "task": of.task,
        "dataset": of.dataset.name,
        "subset": of.dataset.subset or "",
        "template": of.template,
        "row": str(number),
        "prompt": found.inputs,
        "answer": found.targets,
        "options": found.choices or [],
        "references": [found.targets],
    }


@lru_cache(maxsize=4096)
def _parsed(dataset: DatasetName, template: Template) -> list[sandbox.Compiled]:
    """The parsed template, and that of its choices. Raises UserError if one cannot be parsed."""
    sources = [truncating(template.jinja), *filter(None, [template.answer_choices])]
    try:
        return [sandbox.compiled(source) for source in sources]
    except TemplateError as error:
        raise UserError(
            f"the template {template.name!r} of {dataset} cannot be parsed ({error}); correct it"
        ) from error


def columns_of(dataset: DatasetName, template: Template) -> frozenset[str]:
    """The columns that a template reads, with _ for each -."""
    return frozenset().union(*(each.reads for each in _parsed(dataset, template)))


def needed_columns(dataset: DatasetName, template: Template) -> frozenset[str]:
    """Those that it reads without asking whether they are there."""
    needs = frozenset().union(*(each.needs for each in _parsed(dataset, template)))
    return needs - {ANSWER_CHOICES}


def draws(dataset: DatasetName, template: Template) -> bool:
    """Whether a template chooses at random."""
    return any(each.draws for each in _parsed(dataset, template))
