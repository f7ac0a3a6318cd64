"""The published scores of Super-NaturalInstructions (published.csv), and the setting of ours.

The README of yizhongw/Tk-Instruct scores the instances that the released files have first: it says
that they were drawn again after the paper, and that the evaluation script changed. So its scores
are of the setting that is evaluated here, and those of the paper are of earlier instances.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from tk_instruct.published import Compared, PublishedScore, compare_with, read

from .prompt import ENCODINGS
from .settings import TRACK_NAMES

# Track → (tasks, instances) of the released files when at most 100 are taken of a task. Two tasks
# of the default track have fewer.
_WHOLE = {"default": (119, 11_810), "xlingual": (35, 3_500)}


@cache
def rows() -> tuple[PublishedScore, ...]:
    """Raises UserError if published.csv does not keep to its columns."""
    return read(Path(__file__).parent / "published.csv")


def setting_of(
    track: str, tasks: Sequence[str], num_missing: int = 0, predicted: str | None = None
) -> dict[str, str]:
    """The setting of an evaluation, as published.csv has it.

    tasks: of each scored instance.
    num_missing: how many instances have no prediction.
    predicted: the task that was predicted, such as superni_en_def_pos2, by which the encoding is
        known. None if that is not known.
    """
    if num_missing:
        scored = f"{len(tasks):,}, {num_missing:,} of them not predicted"
    elif (len(set(tasks)), len(tasks)) == _WHOLE.get(track):
        scored = "the first 100 a task"
    else:
        num_tasks = len(set(tasks))
        scored = f"{len(tasks):,} of {num_tasks:,} {'task' if num_tasks == 1 else 'tasks'}"
    encoding = _encodings(track).get(predicted or "")
    return {"track": track, "instances": scored} | ({"encoding": encoding} if encoding else {})


def compared(
    track: str,
    tasks: Sequence[str],
    num_missing: int,
    predicted: str | None,
    scores: Mapping[str, float],
) -> tuple[list[Compared], list[Compared]]:
    """The published scores of a track beside ours, of the same setting and of others.

    The arguments are those of setting_of, and metric → overall score.
    """
    return compare_with(
        [row for row in rows() if row.setting["track"] == track],
        setting_of(track, tasks, num_missing, predicted),
        {("", metric): score for metric, score in scores.items()},
    )


def _encodings(track: str) -> dict[str, str]:
    """Name of a task or mixture that has a track → its encoding."""
    names = [name for name, in_data in TRACK_NAMES.items() if in_data == track]
    return {
        f"superni_{name}{encoding}": encoding
        for encoding in ENCODINGS
        for name in ("", *(f"{name}_" for name in names))
    }
