"""Metrics of labels, numbers and ranked options, in per cent.

They ignore differences in white space, but not in case and punctuation. They raise ValueError if
there are no targets, if predictions are not as many as targets, or if targets lack a field that
the metric needs.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from tk_instruct.metrics.metric import Measured, Metric, jackknife, mean
from tk_instruct.metrics.target import OptionTarget, Target, check_lengths


@Metric
def accuracy(targets: Sequence[Target], predictions: Sequence[str]) -> dict[str, Measured]:
    """Share of predictions that equal the first reference, apart from white space.

    T5's vocabulary cannot express two spaces or a new line.
    """
    check_lengths(targets, predictions)
    expected, predicted = _first_references(targets), _stripped(predictions)
    return {"accuracy": mean([e == p for e, p in zip(expected, predicted, strict=True)])}


@Metric
def f1(targets: Sequence[Target], predictions: Sequence[str]) -> dict[str, Measured]:
    """F1 of the second option, the positive class. It is 0 if no prediction is a true positive.

    A prediction that is not an option counts as negative. (t5's f1_score_with_invalid counts it as
    positive if the answer is negative.)
    """
    check_lengths(targets, predictions)
    options = _options(targets)
    if len(options) != 2:
        raise ValueError(f"options={options} must be two, a negative and a positive class")
    return {"f1": _mean_f1(options[1:], targets, predictions)}


@Metric
def macro_f1(targets: Sequence[Target], predictions: Sequence[str]) -> dict[str, Measured]:
    """Mean F1 of the options, as scikit-learn's f1_score(average="macro", zero_division=0)."""
    check_lengths(targets, predictions)
    return {"macro_f1": _mean_f1(_options(targets), targets, predictions)}


@Metric
def multirc(targets: Sequence[Target], predictions: Sequence[str]) -> dict[str, Measured]:
    """F1 over all answers, and the share of questions (groups) whose answers are all right.

    These are SuperGLUE's scores of MultiRC (arXiv:1905.00537). Each answer is one of two options.
    """
    f1_answers = f1.measure(targets, predictions)["f1"]
    right: dict[str, bool] = {}
    for target, prediction in zip(targets, predictions, strict=True):
        if not target.group:
            raise ValueError("group='' must name the question that an answer belongs to")
        is_right = target.references[0].strip() == prediction.strip()
        right[target.group] = right.get(target.group, True) and is_right
    questions = [target.group for target in targets]
    share = fmean(right.values())

    def values() -> Float[np.ndarray, " n"]:
        # A question counts as one, however many answers it has. So its answers' distances from the
        # mean add up to its own distance, times the mean number of answers.
        num_answers = Counter(questions)
        mean_answers = len(questions) / len(right)
        return 100 * np.array(
            [share + (right[q] - share) * mean_answers / num_answers[q] for q in questions]
        )

    return {
        "f1_answers": replace(f1_answers, groups=questions),
        "exact_match_questions": Measured(100 * share, values, questions, is_mean=False),
    }


@Metric
def pearson(targets: Sequence[Target], predictions: Sequence[str]) -> dict[str, Measured]:
    """100 × Pearson's correlation of predictions and first references, as numbers.

    It is 0 if all predictions or all references are equal. A prediction that is not a finite number
    counts as 0.0.
    """
    x, y = _numbers(targets, predictions)
    return {"pearson": jackknife(100 * _correlation(x, y), lambda: 100 * _without_each(x, y))}


@Metric
def spearman(targets: Sequence[Target], predictions: Sequence[str]) -> dict[str, Measured]:
    """`pearson` of the ranks. Equal numbers have the mean of their ranks."""
    x, y = _numbers(targets, predictions)

    def of(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> float:
        return 100 * _correlation(_ranks(x), _ranks(y))

    def without() -> Float[np.ndarray, " n"]:
        return np.array([of(np.delete(x, i), np.delete(y, i)) for i in range(len(x))])

    return {"spearman": jackknife(of(x, y), without)}


def rank_accuracy(targets: Sequence[OptionTarget], scores: Sequence[float]) -> dict[str, float]:
    """Share of examples whose most likely option is correct. Of equal scores, the first counts.

    scores are log-likelihoods. Options of an example need not be adjacent. Raises ValueError if a
    score is NaN.
    """
    check_lengths(targets, scores)
    best: dict[str, tuple[float, bool]] = {}
    for target, score in zip(targets, scores, strict=True):
        if math.isnan(score):
            raise ValueError(f"score nan of example {target.example!r} must be a number")
        if target.example not in best or score > best[target.example][0]:
            best[target.example] = (score, target.is_correct)
    return {"accuracy": 100 * fmean(is_correct for _, is_correct in best.values())}


def _stripped(texts: Sequence[str]) -> list[str]:
    return [" ".join(text.split()) for text in texts]


def _first_references(targets: Sequence[Target]) -> list[str]:
    return [" ".join(target.references[0].split()) for target in targets]


def _options(targets: Sequence[Target]) -> list[str]:
    """The classes (two or more) that all targets share.

    Raises ValueError if targets differ in them, or if a reference is not one of them.
    """
    options = _stripped(targets[0].options)
    if len(options) < 2:
        raise ValueError(f"options={targets[0].options} must be two classes or more")
    for target, reference in zip(targets, _first_references(targets), strict=True):
        if target.options != targets[0].options:
            raise ValueError(
                f"options={target.options} must be those of the first target, {targets[0].options}"
            )
        if reference not in options:
            raise ValueError(f"reference {reference!r} must be one of options={target.options}")
    return options


def _mean_f1(
    labels: Sequence[str], targets: Sequence[Target], predictions: Sequence[str]
) -> Measured:
    """The mean of the labels' F1."""
    pairs = list(zip(_first_references(targets), _stripped(predictions), strict=True))
    hits = np.array([[e == p == label for e, p in pairs] for label in labels], int)
    said = np.array([[(e == label) + (p == label) for e, p in pairs] for label in labels])

    def f1(hits: Int[np.ndarray, "labels n"], said: Int[np.ndarray, "labels n"]) -> Any:
        return 2 * hits / np.maximum(said, 1)

    all_hits, all_said = hits.sum(1, keepdims=True), said.sum(1, keepdims=True)
    return jackknife(
        100 * fmean(f1(all_hits, all_said).flat),
        lambda: 100 * f1(all_hits - hits, all_said - said).mean(0),
    )


def _numbers(
    targets: Sequence[Target], predictions: Sequence[str]
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    check_lengths(targets, predictions)
    expected = [_number(target.references[0]) for target in targets]
    if None in expected:
        reference = targets[expected.index(None)].references[0]
        raise ValueError(f"reference {reference!r} must be a finite number")
    predicted = [_number(prediction) or 0.0 for prediction in predictions]
    return np.array(expected, float), np.array(predicted, float)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _correlation(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> float:
    if len(x) < 2 or x.min() == x.max() or y.min() == y.max():
        return 0.0
    x, y = (side / np.abs(side).max() for side in (x, y))  # else squares of large floats overflow
    return float(np.corrcoef(x, y)[0, 1])


def _without_each(
    x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """The correlation of all pairs but each one."""
    if x.min() == x.max() or y.min() == y.max():
        return np.zeros(len(x))
    x, y = (side / np.abs(side).max() for side in (x, y))
    dx, dy = x - x.mean(), y - y.mean()

    def left(products: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        return products.sum() - products * len(x) / (len(x) - 1)  # the means change too

    xx, yy = left(dx**2), left(dy**2)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.clip(left(dx * dy) / np.sqrt(xx * yy), -1, 1)
    # Where one pair makes up a side's variance, what is left is rounding.
    for i in np.flatnonzero((xx < 1e-6 * (dx**2).sum()) | (yy < 1e-6 * (dy**2).sum())):
        found[i] = _correlation(np.delete(x, i), np.delete(y, i))
    return found


def _ranks(x: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    _, inverse, counts = np.unique(x, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse]
