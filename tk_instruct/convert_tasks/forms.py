"""Which form a file has, the flags that go with it, and its rows."""

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import NamedTuple

from tk_instruct import suite
from tk_instruct.errors import UserError
from tk_instruct.files import Path

from . import instructions, messages, rows, table
from .rows import Row

# Flag → the field of a task file, which may have several texts, and what it is.
ABOUT = {
    "category": (
        "categories",
        "such as Sentiment Analysis; may be given several times, as all that follow "
        "(default: Miscellaneous)",
    ),
    "reasoning": ("reasoning", "the kind of reasoning"),
    "source": ("source", "the dataset that the instances come from"),
    "url": ("url", "its address"),
    "contributor": ("contributors", "who made the task"),
    "input_language": ("input_languages", "the English name in ISO 639 (default: English)"),
    "output_language": ("output_languages", "default: English"),
    "instruction_language": ("instruction_languages", "of the definition (default: English)"),
    "domain": ("domains", "such as Reviews"),
    "instance_license": ("instance_license", "the licence of the instances"),
}
EXAMPLES = ("positive", "negative")
# Flag → what it is.
COLUMNS = {
    "input_column": "default: input",
    "output_column": "one output (default: output)",
    "outputs_column": "a list of outputs, in CSV a list in JSON (default: outputs)",
    "id_column": "default: id, if there is one; else rows are numbered",
}
_OF_ROWS = ("name", "delimiter", *ABOUT)
_OF_TASKS = ("definition", *_OF_ROWS, *EXAMPLES, *COLUMNS)


class Form(NamedTuple):
    """A form of rows.

    Attributes:
        flags: the flags that it reads.
        told_by: the sets of fields by each of which it is known.
        fields: all fields that are read; those of a table are its columns.
    """

    flags: Sequence[str]
    told_by: Sequence[set[str]]
    fields: set[str]


FORMS = {
    "messages": Form(_OF_ROWS, [{field} for field in messages.FIELDS], {"id", *messages.FIELDS}),
    "instructions": Form(
        _OF_ROWS,
        [{"instruction", answer} for _, answer in instructions.OF_INSTRUCTIONS],
        {"id", "instruction", *chain(*instructions.OF_INSTRUCTIONS)},
    ),
    "prompts": Form(
        ("definition", *_OF_ROWS),
        [{*pair} for pair in instructions.OF_PROMPTS],
        {"id", "task", "dataset", "subset", "template", *chain(*instructions.OF_PROMPTS)},
    ),
    "table": Form(_OF_TASKS, [{"input", "output"}, {"input", "outputs"}], set()),
}


def suite_forms() -> dict[str, suite.TaskForm]:
    """Raises UserError for a suite whose form has the name of one of ours."""
    found = {}
    for each in suite.suites().values():
        for name, form in each.task_forms.items():
            if name in FORMS:
                raise UserError(
                    f"the suite {each.name} has the form {name} of task files, which is there "
                    "already; rename it"
                )
            found[name] = form
    return found


class File(NamedTuple):
    form: str
    first: Row
    rows: Iterable[Row]


def rows_of(paths: Sequence[Path], form: str, args: argparse.Namespace) -> Iterator[Row]:
    """The rows of all files; raises UserError for a file of another form."""
    for path in paths:
        file = read(path, args)
        if file.form != form:
            raise UserError(
                f"{file.first.place}: is of the form {file.form}, and is read as {form}; convert "
                "it in a command of its own"
            )
        known = FORMS[form].fields or columns_of(args).read_of(*file.first)
        unread = [name or "''" for name in file.first.fields if name not in known]
        if unread and args.to == "task_files":
            print(f"{path}: not read: {', '.join(unread)}", file=sys.stderr)
        yield from file.rows


def read(path: Path, args: argparse.Namespace) -> File:
    """The rows of a file, and their form; raises UserError if that is not certain."""
    first, found = rows.read(path, args.delimiter)
    has = f"{first.place}: has {', '.join(map(repr, first.fields))}"
    if first.fields.keys() >= {"Definition", "Positive Examples", "Instances"}:
        raise UserError(
            f"{path}: is a task file already; copy it into the folder's tasks/, and write its name "
            "into a list of splits/"
        )
    given = args.form or ("table" if any(getattr(args, flag) for flag in COLUMNS) else None)
    if given == "table":  # its columns are checked when they are read
        return File(given, first, found)
    fits = [
        name
        for name, form in FORMS.items()
        if any(each <= first.fields.keys() for each in form.told_by)
    ]
    fits += [
        name
        for name, form in suite_forms().items()
        if form.told_by and form.told_by <= first.fields.keys()
    ]
    if fits == ["instructions", "table"]:  # an instruction may have an input
        fits = ["instructions"]
    if given and given not in fits:
        needed = " or ".join(", ".join(sorted(each)) for each in FORMS[given].told_by)
        raise UserError(f"{has}, and the form {given} has {needed}; rename the fields")
    if not given and len(fits) > 1:
        raise UserError(
            f"{has}, which are the fields of {' and of '.join(fits)}; say which: --from "
            f"{' or --from '.join(fits)}"
        )
    if not given and not fits:
        raise UserError(
            f"{has}, which are the fields of no form; name the columns of a table, --input_column "
            "NAME --output_column NAME, or rename the fields"
        )
    return File(given or fits[0], first, found)


def refuse_flags_but(read: Iterable[str], args: argparse.Namespace, what: str) -> None:
    for flag in _OF_TASKS:
        if getattr(args, flag) is not None and flag not in read:
            raise UserError(f"--{flag} is not read with {what}; leave it out")


def columns_of(args: argparse.Namespace) -> table.Columns:
    if args.output_column and args.outputs_column:
        raise UserError("--output_column and --outputs_column exclude each other; give one")
    given = {flag.removesuffix("_column"): getattr(args, flag) for flag in COLUMNS}
    return table.Columns(**{name: value for name, value in given.items() if value})
