"""The prompt templates: ten for each dataset, one file for each cluster, or the user's file.

A template is a pair (inputs, targets) with the dataset's fields as placeholders. {options_} is the
block of options.
"""

import ast
import hashlib
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache

from tk_instruct.data.templates import OPTIONS, Template
from tk_instruct.errors import UserError
from tk_instruct.files import Path, read_file

from ..datasets import DATASETS, Dataset
from ..settings import FLAN
from . import (
    closed_book_qa,
    commonsense,
    coreference,
    miscellaneous,
    nli,
    paraphrase,
    reading_comprehension,
    reading_comprehension_commonsense,
    sentiment,
    struct_to_text,
    summarization,
    translation,
)

Wording = Mapping[str, Sequence[tuple[str, str]]]

OWN: Wording = {
    name: templates
    for cluster in (
        nli,
        commonsense,
        sentiment,
        paraphrase,
        closed_book_qa,
        struct_to_text,
        reading_comprehension,
        reading_comprehension_commonsense,
        coreference,
        translation,
        summarization,
        miscellaneous,
    )
    for name, templates in cluster.TEMPLATES.items()
}


def fingerprint() -> str:
    """A text that changes with the settings and the user's templates, which change the prompts."""
    flan = FLAN()
    wording = hashlib.sha256(_read(flan.templates)).hexdigest() if flan.templates else ""
    # Empty for the default, so that runs from before this option can continue.
    return f"{flan.seed} {wording}" + " released_turns" * flan.released_turns


def own_templates(dataset: Dataset) -> tuple[Template, ...]:
    """A dataset's templates in this project."""
    return _own()[dataset.name]


def templates_of(dataset: Dataset) -> tuple[Template, ...]:
    """A dataset's templates: the user's, if FLAN.templates is set, else this project's.

    Raises UserError if the user's file lacks templates or they have unknown placeholders.
    """
    path = FLAN().templates
    if path is None:
        return own_templates(dataset)
    return _user_templates(path, _read(path))[dataset.name]


def is_forward(template: Template, dataset: Dataset) -> bool:
    """Whether a template asks for the dataset's target. An inverted template asks for an input."""
    return any(template.asks_for(field) for field in dataset.targets)


def metrics_of(dataset: Dataset, number: int | None) -> Sequence[str]:
    """The names of the metrics for a template's predictions, by default the dataset's own.

    The target of an inverted template is text of any kind, which ROUGE scores.
    """
    if number is not None and not is_forward(templates_of(dataset)[number], dataset):
        return ("rouge",)
    return dataset.metrics


def _read(path: str) -> bytes:
    root = Path(path).expanduser()
    for file in (root / "flan" / "templates.py", root / "templates.py", root):
        if file.is_file():
            return read_file(file)
    raise UserError(
        f"--flan_templates={path} holds no flan/templates.py; give the folder of a checkout of "
        "github.com/google-research/FLAN"
    )


@cache
def _own() -> Mapping[str, tuple[Template, ...]]:
    return _templates(OWN, "")


@lru_cache(maxsize=1)
def _user_templates(path: str, content: bytes) -> Mapping[str, tuple[Template, ...]]:
    return _templates(parse(content, path), f"{path}: ")


def parse(code: str | bytes, path: str) -> Wording:
    """PATTERNS in google-research/FLAN's templates.py. Parses the file and does not run it.

    Raises UserError if PATTERNS is not a dictionary of lists of pairs.
    """
    try:
        statements = ast.parse(code).body
        assigned = {
            target.id: statement.value
            for statement in statements
            if isinstance(statement, ast.Assign)
            for target in statement.targets
            if isinstance(target, ast.Name)
        }
        patterns = ast.literal_eval(assigned["PATTERNS"])
        # Their ReCoRD has {options_str} for the options, and some lines end in a stray "n".
        return {
            name: [
                (i.replace("{options_str}", f"{{{OPTIONS}}}").replace("}n\n", "}\n"), t)
                for i, t in (map(_text, pair) for pair in pairs)
            ]
            for name, pairs in patterns.items()
        }
    except (
        AttributeError,
        KeyError,
        MemoryError,  # Python raises it for code that is nested too deeply
        RecursionError,
        SyntaxError,
        TypeError,
        ValueError,
    ) as error:
        raise UserError(
            f"{path} defines no PATTERNS, a dictionary of lists of (inputs, targets), as "
            f"google-research/FLAN's flan/templates.py does ({error}); give that file"
        ) from error


def _text(value: str) -> str:
    """The text. Raises ValueError if it has an unpaired surrogate."""
    return value.encode().decode()


def _templates(wording: Wording, where: str) -> dict[str, tuple[Template, ...]]:
    templates = {}
    for dataset in DATASETS:
        pairs = wording.get(dataset.template_set)
        if not pairs:
            raise UserError(f"{where}no templates {dataset.template_set!r} for {dataset.name}")
        templates[dataset.name] = tuple(
            Template(f"{where}template {number} of {dataset.template_set}", *pair)
            for number, pair in enumerate(pairs)
        )
        known = dataset.fields
        if dataset.kind == "classification":
            known = (*known, OPTIONS)
        for template in templates[dataset.name]:
            for name in sorted(template.placeholders - set(known)):
                raise UserError(
                    f"{template.name}: {{{name}}} is no field of {dataset.name}, which has "
                    f"{', '.join(known)}; correct the placeholder"
                )
    return templates
