"""The metrics that PromptSource names for a template."""

from collections.abc import Mapping, Sequence

from tk_instruct.metrics import METRICS
from tk_instruct.metrics.metric import Measured
from tk_instruct.metrics.target import Target

from .templates import Template

# PromptSource's name in small letters → ours. All others, such as Other, are accuracy, as t-zero
# has them.
_NAMES: Mapping[str, str] = {
    "bleu": "bleu",
    "rouge": "rouge",
    "squad": "squad",
    "coqa f1": "squad",  # the same F1 of words, over all references
    "trivia qa": "trivia_qa",
    "edit distance": "edit_distance",
    "pearson correlation": "pearson",
    "spearman correlation": "spearman",
}
# Those that PromptSource's templates name.
KNOWN = {*_NAMES, "accuracy", "auc", "mean squared error", "other"}


def names(template: Template) -> list[str]:
    """The names of a template's metrics in METRICS, the first one first."""
    given = [name.lower() for name in template.metadata.metrics or ["Accuracy"]]
    return list(dict.fromkeys(_NAMES.get(name, "accuracy") for name in given or ["accuracy"]))


def measured(
    template: Template, targets: Sequence[Target], predictions: Sequence[str]
) -> dict[str, Measured]:
    """Name → score of a template's predictions, with the value of each."""
    found: dict[str, Measured] = {}
    for name in names(template):
        found |= METRICS[name].measure(targets, predictions)
    return found
