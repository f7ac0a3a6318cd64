"""Chats of instructions, and instructions of chats, line by line."""

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from tk_instruct.errors import UserError
from tk_instruct.files import Path, check_target, write_lines
from tk_instruct.progress import Progress

from . import forms, messages, rows
from .findings import EMPTY, Finding, tell


def write(paths: Sequence[Path], args: argparse.Namespace) -> int:
    source, convert = {
        "messages": ("instructions", messages.to_messages),
        "instructions": ("messages", messages.to_instruction),
    }[args.to]
    forms.refuse_flags_but(("delimiter",), args, f"--to {args.to}")
    for flag in ("test", "overwrite", "strict", "json"):
        if getattr(args, flag):
            raise UserError(f"--{flag} is not read with --to {args.to}; leave it out")
    output = None if args.output == "-" else os.path.expanduser(args.output)
    if output is not None:
        check_target(output)
        if any(os.path.realpath(path) == os.path.realpath(output) for path in paths):
            raise UserError(f"{output} is read, and is never changed; choose another --output")
    skipped: list[str] = []
    count = 0

    def lines() -> Iterator[str]:
        nonlocal count
        found = rows.parsed(
            forms.rows_of(paths, source, args),
            lambda row: _as_line(convert(row), row.place),
            skipped if args.skip_empty else None,
        )
        with Progress("converting", len(paths)) as progress:
            for line in found:
                yield line
                count += 1
                progress.advance(0, f"{count:,} rows")
        if not count:
            raise UserError(rows.NOTHING_LEFT)

    write_lines(output, lines())
    if skipped:
        tell([Finding.of("", EMPTY, skipped)], is_json=False)
    print(
        f"{rows.counted(count, 'row')} in {output or 'the standard output'}",
        file=sys.stderr if output is None else sys.stdout,
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
