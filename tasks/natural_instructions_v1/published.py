"""The scores of the paper (arXiv:2104.08773), which published.csv beside this file has.

ROUGE-L in per cent, as printed. `table` says in which of its tables a score is. What the table of
negative examples calls "with negative examples" is the full instruction.
"""

import csv
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

AVERAGE = "average"


class System(NamedTuple):
    """A model, and the paper's name of how its instructions are encoded."""

    name: str
    encoding: str


@cache
def published() -> Mapping[str, Mapping[System, Mapping[str, str]]]:
    """Split of the tasks → system → category, or AVERAGE → score."""
    found: dict[str, dict[System, dict[str, str]]] = {}
    with (Path(__file__).parent / "published.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            system = System(row["system"], row["encoding"])
            scores = found.setdefault(row["split"], {}).setdefault(system, {})
            scores[row["category"]] = row["rougeL"]
    return found
