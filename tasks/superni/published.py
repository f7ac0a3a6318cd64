"""The published scores of Super-NaturalInstructions (published.csv), and the setting of ours.

The README of yizhongw/Tk-Instruct scores the instances that the released files have first: it says
that they were drawn again after the paper, and that the evaluation script changed. So its scores
are of the setting that is evaluated here, and those of the paper are of earlier instances.
"""

from collections.abc import Collection, Iterable, Mapping
from functools import cache
from pathlib import Path

from tk_instruct.published import PublishedScore, read

from .metrics import Instance
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
    track: str,
    instances: Iterable[Instance],
    num_missing: int = 0,
    tasks: Collection[str] = (),
) -> dict[str, str]:
    """The setting of an evaluation, as published.csv has it.

    instances: those that are scored.
    num_missing: how many of them have no prediction.
    tasks: the names that the predictions give as their task, such as superni_en_def_pos2. By them
        the encoding is known if they are one, and of this track.
    """
    of = [instance.task for instance in instances]
    if num_missing:
        scored = f"{len(of):,}, {num_missing:,} of them not predicted"
    elif (len(set(of)), len(of)) == _WHOLE[track]:
        scored = "the first 100 a task"
    else:
        scored = f"{len(of):,} of {len(set(of)):,} tasks"
    encoding = _encoding(track, tasks)
    return {"track": track, "instances": scored} | ({"encoding": encoding} if encoding else {})


def _encoding(track: str, tasks: Collection[str]) -> str | None:
    of_tasks: Mapping[str, str] = {
        f"superni_{name}_{encoding}": encoding
        for name, track_in_data in TRACK_NAMES.items()
        if track_in_data == track
        for encoding in ENCODINGS
    }
    found = {of_tasks.get(task) for task in tasks}
    return found.pop() if len(found) == 1 else None
