"""Make task files of other forms, and chats of instructions.

A task file is the form in which benchmarks of instructions keep a task: its definition, examples of
right and wrong answers, instances with all reference outputs. The folder that comes out is given to
training as --data_dir. If it holds tasks already, the new ones are added.

tk-instruct convert-tasks reviews.csv --definition "Is the review good or bad?" --output DIR
tk-instruct convert-tasks alpaca.json --output DIR
tk-instruct convert-tasks alpaca.json --to messages --output chats.jsonl

Forms (--from), by their columns or fields:
  table         input, output or outputs, perhaps id. One task for each file, or one of all with
                --name. Give its --definition
  instructions  instruction, output, perhaps input; or instruction, response, perhaps context.
                One task for each instruction
  prompts       inputs, targets, or {inputs,targets}_pretokenized, or prompt, completion.
                One task for each template
  messages      messages, a list of {role, content}, or conversations, a list of {from, value}: one
                exchange
Files: CSV (.csv, .tsv), JSON lines or one JSON list (.json, .jsonl, .ndjson), Parquet (.parquet),
and what suites read.

What is wrong in a row is an error, and nothing is written. What may be wrong is told on the
standard error, and with --strict is an error too (status 1).
"""

import argparse
import json
import os
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

from tk_instruct import suite
from tk_instruct.errors import UserError
from tk_instruct.files import Path, check_target, open_atomically, read_file
from tk_instruct.progress import Progress

from . import instructions, messages, rows, table
from .findings import EMPTY, Finding, format_report, tidied
from .rows import Row
from .task_file import TaskFile, TaskFolder, safe_name

# Flag → the field of a task file, which may have several texts, and what it is.
_ABOUT = {
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
_EXAMPLES = ("positive", "negative")
# Flag → what it is.
_COLUMNS = {
    "input_column": "default: input",
    "output_column": "one output (default: output)",
    "outputs_column": "a list of outputs, in CSV a list in JSON (default: outputs)",
    "id_column": "default: id, if there is one; else rows are numbered",
}
_OF_ROWS = ("name", "delimiter", *_ABOUT)
_OF_TASKS = ("definition", *_OF_ROWS, *_EXAMPLES, *_COLUMNS)


class _Form(NamedTuple):
    """A form of rows.

    Attributes:
        flags: the flags that it reads.
        told_by: the sets of fields by each of which it is known.
        fields: all fields that are read; those of a table are its columns.
    """

    flags: Sequence[str]
    told_by: Sequence[set[str]]
    fields: set[str]


_FORMS = {
    "messages": _Form(_OF_ROWS, [{field} for field in messages.FIELDS], {"id", *messages.FIELDS}),
    "instructions": _Form(
        _OF_ROWS,
        [{"instruction", answer} for _, answer in instructions.OF_INSTRUCTIONS],
        {"id", "instruction", *chain(*instructions.OF_INSTRUCTIONS)},
    ),
    "prompts": _Form(
        ("definition", *_OF_ROWS),
        [{*pair} for pair in instructions.OF_PROMPTS],
        {"id", "task", "dataset", "subset", "template", *chain(*instructions.OF_PROMPTS)},
    ),
    "table": _Form(_OF_TASKS, [{"input", "output"}, {"input", "outputs"}], set()),
}

_NOTHING_LEFT = "no row is left, each has an empty text; give a file that has some"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", metavar="FILE", help="read, and never changed")
    parser.add_argument(
        "--output",
        required=True,
        metavar="PATH",
        help="the folder of tasks; with --to instructions or messages a file, - is the standard "
        "output",
    )
    parser.add_argument(
        "--from",
        dest="form",
        choices=[*_FORMS, *_suite_forms()],
        help="the form of the files (default: known by their columns or fields)",
    )
    parser.add_argument(
        "--to",
        choices=("task_files", "instructions", "messages"),
        default="task_files",
        help="instructions are made of messages, messages of instructions (default: task_files)",
    )
    parser.add_argument("--test", action="store_true", help="test tasks, not train tasks")
    parser.add_argument(
        "--overwrite", action="store_true", help="replace tasks of the same names in the folder"
    )
    parser.add_argument(
        "--strict", action="store_true", help="write nothing if there is something to tell"
    )
    parser.add_argument(
        "--skip_empty",
        action="store_true",
        help="leave out rows with an empty instruction, input or output, and tell how many",
    )
    parser.add_argument(
        "--json", action="store_true", help="findings on the standard output, one JSON object each"
    )
    task = parser.add_argument_group("the task")
    task.add_argument(
        "--definition", metavar="TEXT", help="what is to be done; @FILE for the text of a file"
    )
    task.add_argument(
        "--name",
        help="its name (default: the file's); of several tasks, what all their names begin with",
    )
    for kind in _EXAMPLES:
        task.add_argument(
            f"--{kind}",
            metavar="FILE",
            help=f"{kind} examples: rows of input, output and explanation",
        )
    for flag, (_, title) in _ABOUT.items():
        task.add_argument(f"--{flag}", action="append", metavar="TEXT", help=title)
    columns = parser.add_argument_group("the columns of a table")
    for flag, title in _COLUMNS.items():
        columns.add_argument(f"--{flag}", metavar="NAME", help=title)
    columns.add_argument(
        "--delimiter",
        metavar="CHARACTER",
        help="between the cells of CSV (default: a tab for .tsv, else a comma)",
    )


def _suite_forms() -> dict[str, suite.TaskForm]:
    """Raises UserError for a suite whose form has the name of one of ours."""
    found = {}
    for each in suite.suites().values():
        for name, form in each.task_forms.items():
            if name in _FORMS:
                raise UserError(
                    f"the suite {each.name} has the form {name} of task files, which is there "
                    "already; rename it"
                )
            found[name] = form
    return found


def main(args: argparse.Namespace) -> int:
    paths = [Path(os.path.expanduser(file)) for file in args.files]
    if args.delimiter == r"\t":  # as it is written in most languages
        args.delimiter = "\t"
    if args.delimiter is not None and len(args.delimiter) != 1:
        raise UserError(f"--delimiter={args.delimiter!r} must be one character; give one")
    if args.to == "task_files":
        return _to_task_files(paths, args)
    return _to_lines(paths, args)


def _to_task_files(paths: Sequence[Path], args: argparse.Namespace) -> int:
    if args.output == "-":
        raise UserError("--output=- is the standard output, and tasks are a folder; name a folder")
    folder = TaskFolder(args.output, "test" if args.test else "train", args.overwrite)
    for path in paths:
        if path.resolve().parent == (folder.directory / "tasks").resolve():
            raise UserError(f"{path} lies in the folder that is written; choose another --output")
    findings: list[Finding] = []
    skipped: list[str] = []
    num_tasks = num_instances = 0
    with folder, Progress("converting", len(paths)) as progress:
        for task in _tasks(paths, args, progress, skipped if args.skip_empty else None):
            task, found = tidied(task)
            findings += found
            folder.add(task)
            num_tasks += 1
            num_instances += len(task.instances)
            progress.advance(0, f"{num_tasks:,} tasks")
        if skipped:
            findings.append(Finding.of("", EMPTY, skipped))
        _tell(findings, args.json)
        if not num_tasks:
            raise UserError(_NOTHING_LEFT)
        if findings and args.strict:
            print("nothing is written (--strict)", file=sys.stderr)
            return 1
        folder.place()
    said = [
        f"{rows.counted(num_tasks, 'task')}, {rows.counted(num_instances, 'instance')} in "
        f"{folder.directory}; listed in {', '.join(folder.listed_in())}",
        f"{rows.counted(folder.num_unchanged, 'task')} there already"
        if folder.num_unchanged
        else "",
        f"check: tk-instruct tasks doctor --data_dir {shlex.quote(str(folder.directory))}",
    ]
    print("\n".join(filter(None, said)), file=sys.stderr if args.json else sys.stdout)
    return 0


def _tell(findings: Sequence[Finding], is_json: bool) -> None:
    if is_json:
        for finding in findings:
            print(json.dumps(asdict(finding), ensure_ascii=False))
    elif findings:
        print(format_report(findings), file=sys.stderr)


def _tasks(
    paths: Sequence[Path],
    args: argparse.Namespace,
    progress: Progress,
    skipped: list[str] | None,
) -> Iterator[TaskFile]:
    forms = _suite_forms()
    form = args.form if args.form in forms else _read(paths[0], args).form
    if form in forms:
        _refuse_flags_but((), args, f"the form {form}")
        if args.skip_empty:
            raise UserError(f"--skip_empty is not read with the form {form}; leave it out")
        yield from suite.part(forms[form].read)(paths)
        return
    _refuse_flags_but(_FORMS[form].flags, args, f"the form {form}")
    new: Callable[..., TaskFile] = partial(TaskFile, **_about(args))
    prefix = f"{args.name}_" if args.name else ""
    if form == "table":
        new = partial(new, definition=_definition(args, form), **_demonstrations(args))
        for part in [paths] if args.name else [[path] for path in paths]:
            name = args.name or safe_name(part[0].stem)
            yield table.read(name, _rows(part, form, args), _columns(args), new, skipped)
            progress.advance(len(part))
    elif form == "prompts":
        new = partial(new, definition=_definition(args, form))
        found = _rows(paths, form, args)
        yield from instructions.by_template(found, prefix, paths[0].stem, new, skipped)
    else:
        found = _rows(paths, form, args)
        if form == "messages":
            found = rows.parsed(
                found, lambda row: Row(row.place, messages.to_instruction(row)), skipped
            )
        yield from instructions.by_instruction(found, prefix, new, skipped)


class _File(NamedTuple):
    form: str
    first: Row
    rows: Iterable[Row]


def _rows(paths: Sequence[Path], form: str, args: argparse.Namespace) -> Iterator[Row]:
    """The rows of all files; raises UserError for a file of another form."""
    for path in paths:
        file = _read(path, args)
        if file.form != form:
            raise UserError(
                f"{file.first.place}: is of the form {file.form}, and is read as {form}; convert "
                "it in a command of its own"
            )
        read = _FORMS[form].fields or _columns(args).read_of(*file.first)
        unread = [name or "''" for name in file.first.fields if name not in read]
        if unread and args.to == "task_files":
            print(f"{path}: not read: {', '.join(unread)}", file=sys.stderr)
        yield from file.rows


def _read(path: Path, args: argparse.Namespace) -> _File:
    """The rows of a file, and their form; raises UserError if that is not certain."""
    first, found = rows.read(path, args.delimiter)
    has = f"{first.place}: has {', '.join(map(repr, first.fields))}"
    if first.fields.keys() >= {"Definition", "Positive Examples", "Instances"}:
        raise UserError(
            f"{path}: is a task file already; copy it into the folder's tasks/, and write its name "
            "into a list of splits/"
        )
    given = args.form or ("table" if any(getattr(args, flag) for flag in _COLUMNS) else None)
    if given == "table":  # its columns are checked when they are read
        return _File(given, first, found)
    fits = [
        name
        for name, form in _FORMS.items()
        if any(each <= first.fields.keys() for each in form.told_by)
    ]
    fits += [
        name
        for name, form in _suite_forms().items()
        if form.told_by and form.told_by <= first.fields.keys()
    ]
    if fits == ["instructions", "table"]:  # an instruction may have an input
        fits = ["instructions"]
    if given and given not in fits:
        needed = " or ".join(", ".join(sorted(each)) for each in _FORMS[given].told_by)
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
    return _File(given or fits[0], first, found)


def _about(args: argparse.Namespace) -> dict[str, Any]:
    """Field of a task file → the texts that flags give."""
    found = {}
    for flag, (field, _) in _ABOUT.items():
        texts = getattr(args, flag) or ()
        if not all(text.strip() for text in texts):
            raise UserError(f"--{flag} is blank; give it a text, or leave it out")
        if texts:
            found[field] = tuple(texts)
    return found


def _refuse_flags_but(read: Iterable[str], args: argparse.Namespace, what: str) -> None:
    for flag in _OF_TASKS:
        if getattr(args, flag) is not None and flag not in read:
            raise UserError(f"--{flag} is not read with {what}; leave it out")


def _columns(args: argparse.Namespace) -> table.Columns:
    if args.output_column and args.outputs_column:
        raise UserError("--output_column and --outputs_column exclude each other; give one")
    given = {flag.removesuffix("_column"): getattr(args, flag) for flag in _COLUMNS}
    return table.Columns(**{name: value for name, value in given.items() if value})


def _demonstrations(args: argparse.Namespace) -> dict[str, Any]:
    return {
        f"{kind}_examples": table.read_demonstrations(Path(os.path.expanduser(path)))
        for kind in _EXAMPLES
        if (path := getattr(args, kind))
    }


def _definition(args: argparse.Namespace, form: str) -> str:
    given = args.definition
    if given is None and form == "prompts":
        return instructions.FOLLOW
    if given is None:
        raise UserError(
            "a table does not say what is to be done; give --definition TEXT, or --definition @FILE"
        )
    if given.startswith("@"):
        path = Path(os.path.expanduser(given[1:]))
        given = rows.decoded(read_file(path), path)
    if not given.strip():
        raise UserError(f"--definition={args.definition!r} is blank; say what is to be done")
    return given.strip()


def _to_lines(paths: Sequence[Path], args: argparse.Namespace) -> int:
    source, convert = {
        "messages": ("instructions", messages.to_messages),
        "instructions": ("messages", messages.to_instruction),
    }[args.to]
    _refuse_flags_but(("delimiter",), args, f"--to {args.to}")
    for flag in ("test", "overwrite", "strict", "json"):
        if getattr(args, flag):
            raise UserError(f"--{flag} is not read with --to {args.to}; leave it out")
    is_shown = args.output == "-"
    output = os.path.expanduser(args.output)
    if not is_shown:
        check_target(output)
        if any(os.path.realpath(path) == os.path.realpath(output) for path in paths):
            raise UserError(f"{output} is read, and is never changed; choose another --output")
    skipped: list[str] = []
    count = 0

    def lines() -> Iterator[str]:
        nonlocal count
        found = rows.parsed(
            _rows(paths, source, args),
            lambda row: _as_line(convert(row), row.place),
            skipped if args.skip_empty else None,
        )
        with Progress("converting", len(paths)) as progress:
            for line in found:
                yield line
                count += 1
                progress.advance(0, f"{count:,} rows")
        if not count:
            raise UserError(_NOTHING_LEFT)

    if is_shown:
        for line in lines():
            sys.stdout.write(line)
    else:
        with open_atomically(output) as opened:
            for line in lines():
                opened.write(line.encode())
    if skipped:
        _tell([Finding.of("", EMPTY, skipped)], is_json=False)
    print(
        f"{rows.counted(count, 'row')} in {args.output}",
        file=sys.stderr if is_shown else sys.stdout,
    )
    return 0


def _as_line(fields: dict[str, Any], place: str) -> str:
    try:
        return json.dumps(fields, ensure_ascii=False, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise UserError(
            f"{place}: a field has a value that JSON does not have ({error}); leave it out of the "
            "file"
        ) from error
