"""Scores the answers to a dataset's examples by its metrics."""

from collections.abc import Mapping, Sequence

from tk_instruct.errors import UserError
from tk_instruct.metrics import METRICS, PERCENTAGES
from tk_instruct.metrics.generation import LOWER_IS_BETTER
from tk_instruct.metrics.metric import Measured, groups_of, scores
from tk_instruct.metrics.target import Target
from tk_instruct.scored_instances import MAIN, About, Scored, ScoredInstances, about_scores

from .datasets import Dataset
from .templates import metrics_of

# A run's files, one for each template, are one evaluation: the mean over datasets of the means over
# templates. Distances are in no mean.
_ABOUT = About(
    "flan",
    main=MAIN,
    unit="dataset",
    levels=("unit", "task"),
    percentages=PERCENTAGES,
    together=True,
)


def measured(
    dataset: Dataset, targets: Sequence[Target], texts: Sequence[str], template: int | None = None
) -> dict[str, Measured]:
    """Name → score, with the value of each text.

    These are the dataset's metrics, the main one first, or ROUGE for an inverted template. Raises
    UserError if the data does not suit a metric.
    """
    found: dict[str, Measured] = {}
    for metric in metrics_of(dataset, template):
        try:
            found |= METRICS[metric].measure(targets, texts)
        except ValueError as error:
            raise UserError(
                f"{dataset.name} cannot be scored by {metric} ({error}); is its data whole? "
                "`tk-instruct tasks doctor flan` looks"
            ) from error
    return found


def scored(
    task: str,
    dataset: Dataset,
    part: str,
    targets: Mapping[str, Target],
    texts: Sequence[str | None],
    template: int | None = None,
) -> Scored:
    """The scores of a task's predicted texts; None counts as empty.

    Args:
        part: what is not averaged with others: a split, or a split and how it is answered.
        targets: id of an example → its target.
    """
    found = measured(dataset, list(targets.values()), [text or "" for text in texts], template)
    main = next(iter(found))
    values = {name: of.values for name, of in found.items()}
    if main not in LOWER_IS_BETTER:
        values[MAIN] = values[main]
    size = len(targets)
    instances = ScoredInstances(
        about_scores(_ABOUT, task, found),
        {
            "id": list(targets),
            "part": [part] * size,
            "task": [task] * size,
            "unit": [dataset.counted_as] * size,
            "category": [dataset.cluster] * size,
            "instance": groups_of(found) or list(targets),
        },
        [target.references for target in targets.values()],
        texts,
        values,
    )
    return Scored(scores(found), instances)
