"""`tasks export`: examples in one file of JSON lines or Parquet, for other programs.

--harness writes a folder of tasks for lm-evaluation-harness in place of a file.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tk_instruct.configuration import DEFAULT_LENGTHS, refuse_to_replace_data
from tk_instruct.errors import UserError
from tk_instruct.files import Path, check_target, is_stream
from tk_instruct.ranges import whole_number
from tk_instruct.tables import table

if TYPE_CHECKING:
    from tk_instruct.export.drawn import Share
    from tk_instruct.export.rows import Form


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "patterns",
        nargs="+",
        metavar="PATTERN",
        help="a task, a mixture (which stands for its tasks), a shell pattern, or part of names",
    )
    parser.add_argument("--split", default="train", help="default: train")
    parser.add_argument(
        "--drawn",
        type=whole_number,
        metavar="N",
        help="the first N examples that training on one mixture or task draws, repeated as it "
        "repeats them, and on the standard error how many are of each task",
    )
    parser.add_argument(
        "--format",
        choices=("jsonl", "parquet", "messages"),
        help="messages: exchanges of a chat, in JSON lines or for FILE.parquet in Parquet "
        "(default: parquet for FILE.parquet, else jsonl)",
    )
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--output", metavar="FILE", help="- is the standard output")
    where.add_argument(
        "--harness",
        metavar="DIR",
        help="write the tasks for lm-evaluation-harness: DIR/NAME.yaml and DIR/NAME.jsonl of each "
        "task, and a group for a mixture; `lm_eval --include_path DIR --tasks NAME` runs them",
    )
    parser.add_argument(
        "--max_target_tokens",
        type=whole_number,
        metavar="N",
        help="of --harness: how many tokens an answer has at most, EOS included (default: "
        f"{DEFAULT_LENGTHS['targets']})",
    )


def main(args: argparse.Namespace) -> int:
    """Writes the file, and says how much is in it."""
    if args.harness is not None:
        return _export_for_harness(args)
    if args.max_target_tokens is not None:
        raise UserError(
            f"--max_target_tokens={args.max_target_tokens} is of --harness: examples in a file are "
            "whole; leave it out"
        )
    output = None if args.output == "-" else os.path.expanduser(args.output)
    if output is not None:
        check_target(output)
        refuse_to_replace_data("output", output, args)
    from tk_instruct.export import rows, split

    as_parquet = args.format == "parquet" or (
        args.format != "jsonl" and args.output.endswith(".parquet")
    )
    as_messages = args.format == "messages"
    if args.drawn is None:
        form = rows.messages_of if as_messages else rows.texts_of
        selection = split.select(args.patterns)
        count, num_tasks = split.export(selection, args.split, form, as_parquet, output)
    else:
        form = rows.messages_of if as_messages else rows.trained_texts_of
        shares = _export_drawn(args, form, as_parquet, output)
        count, num_tasks = args.drawn, sum(share.drawn > 0 for share in shares)
        print(_shares_text(shares, count), file=sys.stderr)
    tasks = "task" if num_tasks == 1 else "tasks"
    print(
        f"{count:,} examples of {num_tasks:,} {tasks} in {output or 'the standard output'}",
        file=sys.stderr if output is None or is_stream(output) else sys.stdout,
    )
    return 0


def _export_for_harness(args: argparse.Namespace) -> int:
    from tk_instruct.export import harness, split

    for flag in ("drawn", "format"):
        if (value := getattr(args, flag)) is not None:
            raise UserError(f"--{flag}={value} is of --output and does not go with --harness")
    most = args.max_target_tokens
    most_tokens = DEFAULT_LENGTHS["targets"] if most is None else most
    if most_tokens < 1:
        raise UserError(f"--max_target_tokens={most} must be at least 1")
    folder = Path(os.path.expanduser(args.harness))
    selection = split.select(args.patterns)
    for name in harness.files_of(selection):
        check_target(folder / name)
        refuse_to_replace_data("harness", os.fspath(folder / name), args)
    count, num_tasks = harness.export(selection, args.split, most_tokens, folder)
    tasks = "task" if num_tasks == 1 else "tasks"
    print(f"{count:,} examples of {num_tasks:,} {tasks} in {folder}")
    return 0


def _export_drawn(
    args: argparse.Namespace, form: "Form", as_parquet: bool, output: str | None
) -> "list[Share]":
    from tk_instruct.data import registry
    from tk_instruct.export import drawn

    if args.drawn < 1:
        raise UserError(f"--drawn={args.drawn} must be at least 1")
    if len(args.patterns) > 1:
        raise UserError(
            f"--drawn={args.drawn} draws as training on one mixture or task does, and "
            f"{len(args.patterns)} are given: {', '.join(args.patterns)}; give one of them"
        )
    if args.split != "train":
        raise UserError(f"--split={args.split}: --drawn draws from the split train; leave one out")
    seed, num_train_examples = registry.training_draws()
    return drawn.export(
        args.patterns[0], args.drawn, seed, num_train_examples, form, as_parquet, output
    )


def _shares_text(shares: "Sequence[Share]", total: int) -> str:
    lines = [("task", "drawn", "share", "rate", "epochs")]
    for of in sorted(shares, key=lambda share: (-share.rate, share.task)):
        epochs = "–" if of.epochs is None else f"{of.epochs:.2f}"
        share = f"{of.drawn / total:.3%}"
        lines.append((of.task, f"{of.drawn:,}", share, f"{of.rate:.3%}", epochs))
    return table([*lines, ("all", f"{total:,}", f"{1:.3%}", "–", "–")])
