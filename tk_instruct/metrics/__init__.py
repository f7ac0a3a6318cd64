"""The metrics that suites share: functions of (targets, predictions), like SeqIO's metric_fns.

The first score of a metric is the one that reports show.
"""

from collections.abc import Callable, Sequence

from tk_instruct.metrics.classification import accuracy, f1, macro_f1, multirc, pearson, spearman
from tk_instruct.metrics.generation import bleu, edit_distance, rouge, squad, trivia_qa
from tk_instruct.metrics.target import Target

Metric = Callable[[Sequence[Target], Sequence[str]], dict[str, float]]

METRICS: dict[str, Metric] = {
    metric.__name__: metric
    for metric in (
        accuracy,
        f1,
        macro_f1,
        multirc,
        pearson,
        spearman,
        squad,
        trivia_qa,
        rouge,
        bleu,
        edit_distance,
    )
}
"""Name → metric."""
