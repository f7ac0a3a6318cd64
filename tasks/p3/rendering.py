"""Applies a template to a row of data, as PromptSource and t-zero do.

Equal to Template.apply of promptsource, followed by t-zero's filter, but for three things: what a
template draws at random depends on the seed, the template and the row alone; choices are drawn once
for a row; an empty target drops the row, where t-zero writes <NO LABEL>.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from jinja2 import TemplateError, UndefinedError

from tk_instruct.errors import UserError

from . import sandbox
from .templates import Template

PARTS = "|||"
# PromptSource's stand-in for ||| in a column. Its length moves the place where a text is cut.
_PROTECTED = "3ed2dface8203c4c9dfb1a5dc58e41e0"
MOST_CHARACTERS = 2048  # of what {{ }} prints, cut at a word
ANSWER_CHOICES = "answer_choices"


class Prompted(NamedTuple):
    """A row under a template. choices is None if the template has none."""

    inputs: str
    targets: str
    choices: list[str] | None


class Dropped(NamedTuple):
    """Why a row gives no example under a template. detail is of this row."""

    reason: str
    detail: str = ""


def apply(
    template: Template,
    row: Mapping[str, Any],
    choose: Callable[[Sequence[Any], int], Any],
    where: str,
) -> Prompted | Dropped:
    """The inputs, targets and choices that a template makes of a row.

    choose draws one of some options (see sandbox.render). where names the row in messages. Raises
    UserError for a template that cannot be rendered at all.
    """
    # Templates change lists in place. PromptSource renders the choices first.
    values = {without_dash(name): _protected(value) for name, value in row.items()}
    if ANSWER_CHOICES in values:
        raise UserError(
            f"{where}: the column {ANSWER_CHOICES} has the name of what templates call their own "
            "choices; rename the column"
        )
    choices = None
    try:
        values = copy.deepcopy(values)
        if template.answer_choices is not None:
            text = sandbox.render(template.answer_choices, values, choose)
            choices = [_unprotected(choice.strip()) for choice in text.split(PARTS)]
        values[ANSWER_CHOICES] = choices
        text = sandbox.render(truncating(template.jinja), values, choose)
    except RecursionError:
        return Dropped("cannot be rendered", "the row is nested too deeply")
    except Exception as error:  # an operation on the row's values may raise any
        if _is_of_template(error):
            raise UserError(
                f"{where}: the template {template.name!r} is refused: {error}; correct it"
            ) from error
        return Dropped("cannot be rendered", f"{type(error).__name__}: {error}")
    parts = [_unprotected(part).strip() for part in text.split(PARTS)]
    if len(parts) != 2:
        return Dropped(f"{len(parts) - 1} times |||, not once" if parts[1:] else "no |||")
    inputs, targets = parts
    if not inputs or not targets:
        return Dropped("empty target" if inputs else "empty input")
    return Prompted(inputs, targets, choices)


def _is_of_template(error: Exception) -> bool:
    """Whether the template is to blame for an error in any case, not the row."""
    refused = isinstance(error, TemplateError | sandbox.LimitError)
    return refused and not isinstance(error, UndefinedError)


def truncating(source: str) -> str:
    """A template that cuts all that it prints. The change is textual, as PromptSource's."""
    return source.replace("}}", f" | string | truncate({MOST_CHARACTERS}) }}}}")


def without_dash(column: str) -> str:
    """What templates call a column."""
    return column.replace("-", "_")


def _protected(value: Any) -> Any:
    """A text of the row with its ||| hidden. Texts inside lists and objects are not protected."""
    return value.replace(PARTS, _PROTECTED) if isinstance(value, str) else value


def _unprotected(text: str) -> str:
    return text.replace(_PROTECTED, PARTS)
