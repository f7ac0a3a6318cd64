"""ROUGE-L as Natural Instructions v1 reports it: F-measure, stemmed, the best over the references.

The paper's text (arXiv:2104.08773, section 5) describes a recall. Its released script and its
printed numbers are the F-measure. The recall is here under its own name.
"""

from collections.abc import Mapping, Sequence
from math import fsum

from tk_instruct.metrics.rouge import rouge_f1, rouge_l_recall, stemmed_tokens
from tk_instruct.metrics.target import Target, check_lengths

from .splits import CATEGORIES, collection

F_MEASURE, RECALL = "rougeL", "rougeL_recall"


def instance_scores(prediction: str, references: Sequence[str]) -> dict[str, float]:
    """The F-measure and the recall of one prediction, as fractions in [0, 1]."""
    predicted = stemmed_tokens(prediction)
    expected = [stemmed_tokens(reference) for reference in references]
    return {
        F_MEASURE: max(rouge_f1(predicted, each)[1] for each in expected),
        RECALL: max(rouge_l_recall(predicted, each) for each in expected),
    }


def score(
    targets: Sequence[Target], predictions: Sequence[str], names: Sequence[str] = (F_MEASURE,)
) -> dict[str, float]:
    """Mean scores in per cent: `rougeL`, `rougeL_for_{category}` and `rougeL_for_{task}`.

    A task's score is the mean of its instances, a category's the mean of its tasks, and the overall
    score the mean of the categories, as in the paper's tables. A target's group is its task. Raises
    ValueError if there are no targets, or not one prediction for each.
    """
    check_lengths(targets, predictions)
    of_task: dict[str, list[dict[str, float]]] = {}
    for target, prediction in zip(targets, predictions, strict=True):
        scores = instance_scores(prediction, target.references)
        of_task.setdefault(target.group, []).append(scores)
    found: dict[str, float] = {}
    for name in names:
        tasks = {
            task: 100 * _mean([scores[name] for scores in of_task[task]])
            for task in collection()
            if task in of_task
        }
        categories = _means_of_categories(tasks)
        found[name] = _mean(list(categories.values()))
        found |= {f"{name}_for_{part}": value for part, value in {**categories, **tasks}.items()}
    return found


def _means_of_categories(tasks: Mapping[str, float]) -> dict[str, float]:
    members: dict[str, list[float]] = {category: [] for category in CATEGORIES}
    for task, value in tasks.items():
        members[collection()[task].category].append(value)
    return {category: _mean(values) for category, values in members.items() if values}


def _mean(values: Sequence[float]) -> float:
    return fsum(values) / len(values)


def metric(targets: Sequence[Target], predictions: Sequence[str]) -> dict[str, float]:
    """The F-measure of `score`, rounded, as a task's metric."""
    return {name: round(value, 4) for name, value in score(targets, predictions).items()}
