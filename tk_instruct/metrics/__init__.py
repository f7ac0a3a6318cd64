"""The metrics that suites share: functions of (targets, predictions), like SeqIO's metric_fns.

The first score of a metric is the one that reports show.
"""

from tk_instruct.metrics import classification, generation
from tk_instruct.metrics.metric import Metric

METRICS: dict[str, Metric] = {
    metric.__name__: metric
    for metric in (
        classification.accuracy,
        classification.f1,
        classification.macro_f1,
        classification.multirc,
        classification.pearson,
        classification.spearman,
        generation.squad,
        generation.trivia_qa,
        generation.rouge,
        generation.bleu,
        generation.edit_distance,
    )
}
"""Name → metric."""

PERCENTAGES = (
    *("accuracy", "f1", "macro_f1", "f1_answers", "exact_match_questions", "exact_match"),
    *("rougeLsum", "rougeL", "rouge1", "rouge2", "bleu"),
)
"""The scores of these metrics that are between 0 and 100, unlike correlations and distances."""
