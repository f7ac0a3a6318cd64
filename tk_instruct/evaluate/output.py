"""Shows the scores of an evaluation, and writes them to the file of --json."""

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from tk_instruct import scored_instances
from tk_instruct.errors import UserError
from tk_instruct.files import Path, is_stream, write_atomically
from tk_instruct.scored_instances import ScoredInstances


def as_text(report: Any) -> str:
    """A report as JSON with 4 decimals."""
    return json.dumps(_rounded(report), indent=2, ensure_ascii=False) + "\n"


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return value


def show_scores(output: str | None, scores: str, text: str) -> None:
    """Prints the text and writes the scores to a file, if output names one.

    If output is -, prints the scores in place of the text.
    """
    if output == "-":
        print(scores, end="")
        return
    if output:
        write_atomically(Path(output), [scores])
    print(text)


def refuse_to_overwrite_inputs(args: argparse.Namespace, **inputs: Sequence[str | None]) -> None:
    """Raises UserError if --json or --instances is a file that is read.

    inputs: flag's name → its paths.
    """
    for flag, paths in inputs.items():
        for own, output in (("json", args.json), ("instances", args.instances)):
            if output not in (None, "-") and any(
                path and os.path.realpath(path) == os.path.realpath(output) for path in paths
            ):
                raise UserError(
                    f"--{own}={output} is the file of --{flag} and would replace it; choose "
                    "another place for the scores"
                )


def keep(args: argparse.Namespace, scored: ScoredInstances) -> list[str]:
    """Writes the scored instances of all --predictions to --instances, or beside the one file.

    Returns notes: that they are not beside, which is no reason to give no scores.
    """
    if len(args.predictions) > 1:
        if args.instances:
            scored_instances.write(Path(args.instances), scored)
            return []
        return ["the instances' scores of several files are kept with --instances FILE only"]
    return keep_each(args, {Path(args.predictions[0]): scored})


def keep_each(args: argparse.Namespace, scored: Mapping[Path, ScoredInstances]) -> list[str]:
    """Writes the scored instances of each file of predictions beside it, or one to --instances.

    Returns notes as `keep`. Raises UserError if --instances is to hold several.
    """
    if args.instances and len(scored) > 1:
        raise UserError(
            f"--instances={args.instances} is one file for {len(scored)} systems; leave it out, or "
            "evaluate one at a time"
        )
    notes = []
    for predictions, table in scored.items():
        if args.instances:
            scored_instances.write(Path(args.instances), table)
        else:
            notes += keep_beside(predictions, table)
    return notes


def keep_beside(predictions: Path, scored: ScoredInstances) -> list[str]:
    """Writes the scored instances beside the file of their predictions; returns notes, as keep.

    A pipe has nothing beside it, and cannot be read again.
    """
    if str(predictions) == "-" or is_stream(predictions):
        return []
    place = scored_instances.place_of(predictions)
    try:
        if not (end := os.path.realpath(place)).endswith(scored_instances.SUFFIX):
            raise UserError(f"{place} leads to {end}, which is not replaced")
        scored_instances.write(place, scored_instances.of_file(scored, predictions))
    except UserError as error:
        return [f"the instances' scores are not kept: {error}; --instances FILE keeps them"]
    return []
