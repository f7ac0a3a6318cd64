"""The columns and splits of Super-NaturalInstructions' scores, for `report`."""

from tk_instruct.scores import SuiteScores


class _Scores(SuiteScores):
    titles = {"rougeL": "ROUGE-L", "exact_match": "EM", "rouge1": "ROUGE-1"}  # noqa: RUF012
    splits = {  # noqa: RUF012
        "validation": "instances of train tasks that were not trained on",
        "dev": "tasks set aside from training",
        "test": "unseen tasks",
    }


SCORES = _Scores()
