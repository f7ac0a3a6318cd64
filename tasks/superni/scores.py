"""The columns, rows and splits of Super-NaturalInstructions' scores, for `report`."""

import re

from tk_instruct.scores import SuiteScores

from .prompt import ENCODINGS
from .settings import TRACK_NAMES

# The name of a task or mixture: its track, if it has one, its encoding, and how it is answered.
_TASK = re.compile(
    rf"(superni(?:_(?:{'|'.join(TRACK_NAMES)}))?)_({'|'.join(ENCODINGS)})((?:\..+)?)"
)
_TITLES = {"rougeL": "ROUGE-L", "exact_match": "EM", "rouge1": "ROUGE-1"}


class _Scores(SuiteScores):
    titles = _TITLES | {  # of predictions of both tracks
        f"{name}_{track}_track": f"{title}, {track} track"
        for track in TRACK_NAMES.values()
        for name, title in _TITLES.items()
    }
    splits = {  # noqa: RUF012
        "validation": "instances of train tasks that were not trained on",
        "dev": "tasks set aside from training",
        "test": "unseen tasks",
    }
    part_title = "encoding"

    def row_of(self, task: str) -> tuple[str, str]:
        match = _TASK.fullmatch(task)
        return (match[1], f"{match[2]}{match[3]}") if match else (task, "")


SCORES = _Scores()
