"""The values of examples: means, pseudo-values against slow loops, and any user's function."""

import inspect
import random
from collections.abc import Sequence
from statistics import fmean
from typing import NamedTuple

import pytest

from tk_instruct.metrics import METRICS, Metric
from tk_instruct.metrics.metric import measure, scores
from tk_instruct.metrics.target import Target

MEANS = ("accuracy", "squad", "trivia_qa", "rouge", "edit_distance")
NO_MEANS = ("f1", "macro_f1", "pearson", "spearman", "bleu")
WORDS = [
    "the",
    "cat",
    "sat",
    "on",
    "a",
    "mat",
    ".",
    "dog",
    "ran",
    "to",
    "her",
    "house",
    "and",
    "back",
    "again",
]


class Examples(NamedTuple):
    targets: list[Target]
    predictions: list[str]

    @property
    def ids(self) -> list[str]:
        return [f"id-{k}" for k in range(len(self.targets))]

    def at(self, rows: Sequence[int]) -> "Examples":
        return Examples([self.targets[k] for k in rows], [self.predictions[k] for k in rows])


def drawn(name: str, count: int, seed: int = 0) -> Examples:
    """Generated examples that suit a metric, with some right and some wrong predictions."""
    rng = random.Random(seed)
    if name in ("f1", "macro_f1", "multirc"):
        options = ("no", "yes") if name != "macro_f1" else ("a", "b", "c")
        targets = [
            Target((rng.choice(options),), options, f"q{rng.randrange(count // 3 + 1)}")
            for _ in range(count)
        ]
        predictions = [
            t.references[0] if rng.random() < 0.7 else rng.choice([*options, "?"]) for t in targets
        ]
    elif name in ("pearson", "spearman"):
        numbers = [rng.choice([0.0, 1.0, 2.5, 4.0, 5.0]) for _ in range(count)]
        targets = [Target((str(number),)) for number in numbers]
        predictions = [str(round(number + rng.gauss(0, 1.5), 1)) for number in numbers]
    else:
        targets, predictions = [], []
        for _ in range(count):
            words = rng.choices(WORDS, k=rng.randrange(4, 15))
            more = [" ".join(rng.choices(WORDS, k=9)) for _ in range(rng.randrange(3))]
            targets.append(Target((" ".join(words), *more)))
            changed = [word if rng.random() < 0.8 else rng.choice(WORDS) for word in words]
            predictions.append(" ".join(changed[: rng.randrange(3, 15)]))
    return Examples(targets, predictions)


def slow_pseudo_values(metric: Metric, given: Examples, score: str) -> list[float]:
    count = len(given.targets)
    whole = metric(*given)[score]
    left = [
        metric(*given.at([row for row in range(count) if row != without]))[score]
        for without in range(count)
    ]
    return [count * whole - (count - 1) * each for each in left]


# Metrics


@pytest.mark.parametrize("name", MEANS)
def test_values_of_a_mean_have_the_score_as_their_mean(name: str) -> None:
    given = drawn(name, 50)
    measured = METRICS[name].measure(*given)
    assert scores(measured) == METRICS[name](*given)
    for score, of in measured.items():
        assert of.groups is None
        assert of.values.mean() == pytest.approx(of.score, abs=1e-9)
        for row, value in enumerate(of.values):
            assert METRICS[name](*given.at([row]))[score] == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize("name", NO_MEANS)
@pytest.mark.parametrize("count", [2, 3, 40])
def test_values_of_no_mean_are_pseudo_values(name: str, count: int) -> None:
    given = drawn(name, count, seed=count)
    measured = METRICS[name].measure(*given)
    assert scores(measured) == METRICS[name](*given)
    for score, of in measured.items():
        assert of.values == pytest.approx(
            slow_pseudo_values(METRICS[name], given, score), rel=1e-6, abs=1e-6
        )


@pytest.mark.parametrize("name", METRICS)
def test_the_value_of_one_example_is_its_score(name: str) -> None:
    given = drawn(name, 1)
    for of in METRICS[name].measure(*given).values():
        assert of.values == pytest.approx([of.score])


def test_a_metric_is_still_a_function() -> None:
    assert METRICS["f1"].__name__ == "f1"
    assert (inspect.getdoc(METRICS["f1"]) or "").startswith("F1 of the second option")
    assert list(inspect.signature(METRICS["f1"]).parameters) == ["targets", "predictions"]


# Any function


def first_letters(targets: Sequence[str], predictions: Sequence[str]) -> dict[str, float]:
    same = [t[:1] == p[:1] for t, p in zip(targets, predictions, strict=True)]
    return {"first_letter": fmean(same)}


def test_a_function_that_is_a_mean() -> None:
    targets, predictions = ["a", "b", "c"], ["ab", "bc", "d"]
    found = measure(first_letters, targets, predictions, ["1", "2", "3"])
    assert found["first_letter"].score == fmean([1, 1, 0])
    assert found["first_letter"].groups is None
    assert found["first_letter"].values.tolist() == [1, 1, 0]


def test_a_metric_is_asked_itself() -> None:
    given = drawn("f1", 20)
    found = measure(METRICS["f1"], *given, given.ids)["f1"]
    assert found.values.tolist() == METRICS["f1"].measure(*given)["f1"].values.tolist()
