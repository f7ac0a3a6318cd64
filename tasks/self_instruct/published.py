"""The published ratings of the 252 user-oriented instructions (published.csv).

A part is a rating. Its metric is the count of the answers so rated, or their share in per cent.
"""

from functools import cache
from pathlib import Path

from tk_instruct.published import PublishedScore, read

NUM_RATED = "252"


@cache
def rows() -> tuple[PublishedScore, ...]:
    """Raises UserError if published.csv does not keep to its columns."""
    return read(Path(__file__).parent / "published.csv")


def setting_of(num_rated: int) -> dict[str, str]:
    """The setting of a system's ratings, as published.csv has it. Who rated is not known."""
    return {"instructions": str(num_rated)}
