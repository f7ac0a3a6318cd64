"""Natural Instructions v1's scores for `report`: one table for each split of the tasks."""

from tk_instruct.scores import SuiteScores

from .metrics import F_MEASURE, RECALL
from .splits import task_splits


class _Scores(SuiteScores):
    part_title = "encoding"
    titles = {F_MEASURE: "ROUGE-L", RECALL: "ROUGE-L recall"}  # noqa: RUF012
    splits = {  # noqa: RUF012
        "validation": "seen tasks, instances that are not trained on",
        "test": "unseen tasks",
    }

    def row_of(self, task: str) -> tuple[str, str]:
        for split in task_splits():
            table = f"ni_v1_{split}"
            if task.startswith(f"{table}_"):
                return table, task.removeprefix(f"{table}_")
        return task, ""


SCORES = _Scores()
