"""Shows the scores of an evaluation, and writes them to the file of --json."""

import os
from collections.abc import Sequence

from tk_instruct.errors import UserError
from tk_instruct.files import Path, write_atomically


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


def refuse_to_overwrite_inputs(output: str | None, **inputs: Sequence[str | None]) -> None:
    """Raises UserError if --json is a file that is read. inputs: flag's name → its paths."""
    if output in (None, "-"):
        return
    for flag, paths in inputs.items():
        if any(path and os.path.realpath(path) == os.path.realpath(output) for path in paths):
            raise UserError(
                f"--json={output} is the file of --{flag} and would replace it; choose another "
                "place for the scores"
            )
