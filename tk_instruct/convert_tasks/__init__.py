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
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from tk_instruct import suite
from tk_instruct.errors import UserError
from tk_instruct.files import Path, read_file
from tk_instruct.progress import Progress

from . import exchange, forms, instructions, messages, rows, table
from .findings import EMPTY, Finding, tell, tidied
from .rows import Row
from .task_file import TaskFile, safe_name
from .task_folder import TaskFolder


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
        choices=[*forms.FORMS, *forms.suite_forms()],
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
    for kind in forms.EXAMPLES:
        task.add_argument(
            f"--{kind}",
            metavar="FILE",
            help=f"{kind} examples: rows of input, output and explanation",
        )
    for flag, (_, title) in forms.ABOUT.items():
        task.add_argument(f"--{flag}", action="append", metavar="TEXT", help=title)
    columns = parser.add_argument_group("the columns of a table")
    for flag, title in forms.COLUMNS.items():
        columns.add_argument(f"--{flag}", metavar="NAME", help=title)
    columns.add_argument(
        "--delimiter",
        metavar="CHARACTER",
        help="between the cells of CSV (default: a tab for .tsv, else a comma)",
    )


def main(args: argparse.Namespace) -> int:
    paths = [Path(os.path.expanduser(file)) for file in args.files]
    if args.delimiter == r"\t":  # as it is written in most languages
        args.delimiter = "\t"
    if args.delimiter is not None and len(args.delimiter) != 1:
        raise UserError(f"--delimiter={args.delimiter!r} must be one character; give one")
    if args.to == "task_files":
        return _to_task_files(paths, args)
    return exchange.write(paths, args)


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
        tell(findings, args.json)
        if not num_tasks:
            raise UserError(rows.NOTHING_LEFT)
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


def _tasks(
    paths: Sequence[Path],
    args: argparse.Namespace,
    progress: Progress,
    skipped: list[str] | None,
) -> Iterator[TaskFile]:
    of_suites = forms.suite_forms()
    form = args.form if args.form in of_suites else forms.read(paths[0], args).form
    if form in of_suites:
        forms.refuse_flags_but((), args, f"the form {form}")
        if args.skip_empty:
            raise UserError(f"--skip_empty is not read with the form {form}; leave it out")
        yield from suite.part(of_suites[form].read)(paths)
        return
    forms.refuse_flags_but(forms.FORMS[form].flags, args, f"the form {form}")
    new: Callable[..., TaskFile] = partial(TaskFile, **_about(args))
    prefix = f"{args.name}_" if args.name else ""
    if form == "table":
        new = partial(new, definition=_definition(args, form), **_demonstrations(args))
        for part in [paths] if args.name else [[path] for path in paths]:
            name = args.name or safe_name(part[0].stem)
            yield table.read(
                name, forms.rows_of(part, form, args), forms.columns_of(args), new, skipped
            )
            progress.advance(len(part))
    elif form == "prompts":
        new = partial(new, definition=_definition(args, form))
        found = forms.rows_of(paths, form, args)
        yield from instructions.by_template(found, prefix, paths[0].stem, new, skipped)
    else:
        found = forms.rows_of(paths, form, args)
        if form == "messages":
            found = rows.parsed(
                found, lambda row: Row(row.place, messages.to_instruction(row)), skipped
            )
        yield from instructions.by_instruction(found, prefix, new, skipped)


def _about(args: argparse.Namespace) -> dict[str, Any]:
    """Field of a task file → the texts that flags give."""
    found = {}
    for flag, (field, _) in forms.ABOUT.items():
        texts = getattr(args, flag) or ()
        if not all(text.strip() for text in texts):
            raise UserError(f"--{flag} is blank; give it a text, or leave it out")
        if texts:
            found[field] = tuple(texts)
    return found


def _demonstrations(args: argparse.Namespace) -> dict[str, Any]:
    return {
        f"{kind}_examples": table.read_demonstrations(Path(os.path.expanduser(path)))
        for kind in forms.EXAMPLES
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
