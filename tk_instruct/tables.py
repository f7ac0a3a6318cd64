"""Rows as aligned text."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # brings NumPy, which flags and settings do without
    from tk_instruct.uncertainty.intervals import Estimate

INTERVAL = "95 % interval"


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows under a header row as aligned text: the first column left, columns of numbers right.

    Lines of a cell are put side by side.
    """
    rows = [[" ".join(cell.splitlines()) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    numeric = [
        column > 0 and all(is_number(row[column]) or row[column] in ("–", "") for row in rows[1:])
        for column in range(len(widths))
    ]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        ).rstrip()
        for row in rows
    )


def interval(ci95: Sequence[float] | None, decimals: int = 2) -> str:
    """A 95 % interval as a cell: `12.30 to 15.71`, or – if there is none."""
    return "–" if ci95 is None else f"{ci95[0]:.{decimals}f} to {ci95[1]:.{decimals}f}"


def about_intervals(unit: str) -> str:
    """The line that says over what intervals are, for scores whose unit is the task, say."""
    if unit == "instance":
        return f"{INTERVAL}: over instances"
    return f"{INTERVAL}: clustered by {unit}; of one {unit}, over its instances"


def score_cells(estimate: "Estimate") -> tuple[str, str]:
    """A score and its interval as two cells."""
    return f"{estimate.value:.2f}", interval(estimate.ci95)


def is_number(cell: str) -> bool:
    return cell.lstrip("+-")[:1].isdigit()
