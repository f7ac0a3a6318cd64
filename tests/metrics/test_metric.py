"""The values of examples: means, pseudo-values against slow loops, and any user's function."""

import inspect
import math
import random
from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import Float
from sacrebleu.metrics import BLEU

import tk_instruct
from tk_instruct.errors import UserError
from tk_instruct.metrics import METRICS, Metric, classification
from tk_instruct.metrics.metric import MAX_GROUPS, Measured, measure, no_means, scores
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
    values = np.array([count * whole - (count - 1) * each for each in left])
    return (values + whole - values.mean()).tolist()


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


@pytest.mark.parametrize("name", METRICS)
def test_equal_predictions_have_values(name: str) -> None:
    of = drawn(name, 30)
    for text in ("", of.predictions[0]):
        for found in METRICS[name].measure(of.targets, [text] * 30).values():
            assert np.isfinite(found.values).all()


# Errors


def standard_error(of: Measured) -> float:
    """Of the mean of the values, clustered by group."""
    groups = of.groups or [str(row) for row in range(len(of.values))]
    sums: dict[str, float] = {}
    for group, value in zip(groups, of.values - of.values.mean(), strict=True):
        sums[group] = sums.get(group, 0.0) + value
    count = len(sums)
    return math.sqrt(count / (count - 1) * sum(each**2 for each in sums.values())) / len(of.values)


def bootstrapped(metric: Metric, of: Examples, score: str, clusters: list[list[int]]) -> float:
    """The standard deviation of a score over resampled clusters of examples."""
    rng = random.Random(0)
    found = [
        metric(
            *of.at([row for cluster in rng.choices(clusters, k=len(clusters)) for row in cluster])
        )
        for _ in range(1000)
    ]
    return float(np.std([each[score] for each in found], ddof=1))


@pytest.mark.parametrize("name", ["accuracy", "f1", "macro_f1", "pearson", "spearman"])
def test_the_standard_error_is_the_bootstraps(name: str) -> None:
    of = drawn(name, 300)
    for score, found in METRICS[name].measure(*of).items():
        expected = bootstrapped(METRICS[name], of, score, [[row] for row in range(300)])
        assert standard_error(found) == pytest.approx(expected, rel=0.06)


def test_the_standard_error_of_bleu_is_the_bootstraps_of_sacrebleu() -> None:
    of = drawn("bleu", 300)
    references = list(zip_longest(*(target.references for target in of.targets)))
    scorer = BLEU(tokenize="intl", force=True)
    whole = scorer.corpus_score(of.predictions, references, n_bootstrap=2000)
    found = METRICS["bleu"].measure(*of)["bleu"]
    assert 1.96 * standard_error(found) == pytest.approx(whole._ci, rel=0.06)


def test_answers_to_a_question_are_clustered() -> None:
    of = drawn("multirc", 900)
    rows: dict[str, list[int]] = {}
    for row, target in enumerate(of.targets):
        rows.setdefault(target.group, []).append(row)
    assert {len(each) for each in rows.values()} >= {1, 2, 3, 4}
    measured = METRICS["multirc"].measure(*of)
    for found in measured.values():
        assert found.groups == [target.group for target in of.targets]
        assert found.values.mean() == pytest.approx(found.score, abs=0.1)
    expected = bootstrapped(METRICS["multirc"], of, "f1_answers", list(rows.values()))
    assert standard_error(measured["f1_answers"]) == pytest.approx(expected, rel=0.06)
    found = measured["exact_match_questions"]
    right = [
        all(of.predictions[k] == of.targets[k].references[0] for k in each)
        for each in rows.values()
    ]
    assert found.values.mean() == pytest.approx(found.score, abs=1e-9)
    assert standard_error(found) == pytest.approx(
        100 * np.std(right, ddof=1) / math.sqrt(len(right)), rel=1e-9
    )


# As it was


@given(
    st.lists(
        st.tuples(
            st.lists(
                st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join), min_size=1, max_size=3
            ),
            st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join),
        ),
        min_size=1,
        max_size=6,
    )
)
@settings(max_examples=100)
def test_bleu_is_sacrebleus_corpus_score(rows: list[tuple[list[str], str]]) -> None:
    targets, predictions = [Target(tuple(of)) for of, _ in rows], [text for _, text in rows]
    references = list(zip_longest(*(target.references for target in targets)))
    expected = BLEU(tokenize="intl", force=True).corpus_score(predictions, references).score
    assert METRICS["bleu"](targets, predictions) == {"bleu": expected}


def test_bleu_of_many_texts_is_sacrebleus_corpus_score() -> None:
    of = drawn("bleu", 300)
    references = list(zip_longest(*(target.references for target in of.targets)))
    expected = BLEU(tokenize="intl", force=True).corpus_score(of.predictions, references).score
    assert METRICS["bleu"](*of) == {"bleu": expected}


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc?")), min_size=1))
def test_macro_f1_is_the_mean_of_the_labels_to_the_last_bit(rows: list[tuple[str, str]]) -> None:
    def f1(label: str) -> float:
        hits = sum(e == p == label for e, p in rows)
        return 2 * hits / sum((e == label) + (p == label) for e, p in rows) if hits else 0.0

    targets = [Target((expected,), ("a", "b", "c")) for expected, _ in rows]
    found = METRICS["macro_f1"](targets, [predicted for _, predicted in rows])
    assert found == {"macro_f1": 100 * fmean(map(f1, "abc"))}


@pytest.mark.parametrize(
    "predicted",
    [
        [1e308, -1e308, 1, 2, 3],
        [1e308, 1, 2, 3, 5],
        [1e12, 0, 1, 0, 1],
        [7, 0, 0, 0, 0],
        [5e-324, 0, 0, 0, 0],
        [3, 3, 1, 1, 3],
        [2, 2, 2, 2, 2],
    ],
)
@pytest.mark.parametrize("expected", [[0, 1, 2, 3, 4], [9e9, 1, 3, 2, 2], [0, 0, 0, 1, 0]])
@pytest.mark.parametrize("name", ["pearson", "spearman"])
def test_correlations_that_hang_on_one_example(
    name: str, expected: list[float], predicted: list[float]
) -> None:
    of = Examples(
        [Target((str(value),)) for value in expected], [str(value) for value in predicted]
    )
    found = METRICS[name].measure(*of)[name].values
    assert found == pytest.approx(slow_pseudo_values(METRICS[name], of, name), abs=1e-6)


# Any function


class Counted:
    """A function of a user that counts its calls."""

    def __init__(self, function: Callable[..., Mapping[str, Any]]) -> None:
        self.function, self.calls = function, list[int]()

    def __call__(self, targets: Sequence[Any], predictions: Sequence[Any]) -> Mapping[str, Any]:
        self.calls.append(len(targets))
        return self.function(targets, predictions)


class Value(NamedTuple):
    """As SeqIO's Scalar is."""

    value: float


def same(targets: Sequence[str], predictions: Sequence[str]) -> list[bool]:
    return [t == p for t, p in zip(targets, predictions, strict=True)]


def share(targets: Sequence[str], predictions: Sequence[str]) -> dict[str, float]:
    return {"share": fmean(same(targets, predictions))}


def letters(count: int, seed: int = 0) -> tuple[list[str], list[str], list[str]]:
    """Targets a or b, predictions, and ids."""
    rng = random.Random(seed)
    targets = [rng.choice("ab") for _ in range(count)]
    predictions = [t if rng.random() < 0.7 else rng.choice("ab") for t in targets]
    return targets, predictions, [f"id-{k}" for k in range(count)]


def f1_of_a(targets: Sequence[str], predictions: Sequence[str]) -> dict[str, float]:
    hits = sum(t == p == "a" for t, p in zip(targets, predictions, strict=True))
    said = sum((t == "a") + (p == "a") for t, p in zip(targets, predictions, strict=True))
    return {"f1": 2 * hits / said if hits else 0.0}


def as_array(values: Float[np.ndarray, " n"]) -> list[float | None]:
    return [None if math.isnan(value) else value for value in values]


def test_a_metric_is_asked_itself() -> None:
    of = drawn("f1", 20)
    found = measure(METRICS["f1"], *of, of.ids)["f1"]
    assert found.values.tolist() == METRICS["f1"].measure(*of)["f1"].values.tolist()


def test_a_function_that_is_a_mean() -> None:
    metric = Counted(
        lambda targets, predictions: {"share": Value(share(targets, predictions)["share"])}
    )
    found = measure(metric, ["a", "b", "c"], ["a", "b", "d"], ["1", "2", "3"])
    assert found["share"].score == fmean([1, 1, 0])
    assert found["share"].groups is None
    assert found["share"].values.tolist() == [1, 1, 0]
    assert metric.calls == [3, 1, 1, 1]


def test_a_score_of_some_of_the_examples() -> None:
    def metric(targets: Sequence[str], predictions: Sequence[str]) -> dict[str, float]:
        of: dict[str, list[bool]] = {"all": same(targets, predictions)}
        for target, is_same in zip(targets, of["all"], strict=True):
            of.setdefault(f"for_{target}", []).append(is_same)
        return {name: round(100 * fmean(values), 4) for name, values in of.items()}

    found = measure(metric, ["a", "b", "a", "a"], ["a", "x", "x", "x"], list("1234"))
    assert list(found) == ["all", "for_a", "for_b"]
    assert as_array(found["all"].values) == [100, 0, 0, 0]
    assert as_array(found["for_a"].values) == [100, None, 0, 0]
    assert found["for_a"].score == 33.3333
    assert as_array(found["for_b"].values) == [None, 0, None, None]


def test_a_function_that_is_no_mean_has_pseudo_values() -> None:
    *of, ids = letters(MAX_GROUPS)
    found = measure(f1_of_a, *of, ids)["f1"]
    targets = [Target((target,), ("b", "a")) for target in of[0]]
    expected = classification.f1.measure(targets, of[1])["f1"]
    assert 100 * found.values == pytest.approx(expected.values)
    assert found.groups == ids


@pytest.mark.parametrize("order", [1, -1])
def test_groups_are_a_function_of_the_id(order: int) -> None:
    targets, predictions, ids = letters(1500)
    metric = Counted(f1_of_a)
    found = measure(metric, targets, predictions, ids)["f1"]
    assert len(metric.calls) == 1 + 1500 + MAX_GROUPS
    assert found.groups is not None
    assert len(set(found.groups)) == MAX_GROUPS
    sizes = [found.groups.count(group) for group in set(found.groups)]
    assert min(sizes) < max(sizes)
    rows = dict(zip(found.groups, found.values, strict=True))  # examples of a group share a value
    assert [rows[group] for group in found.groups] == found.values.tolist()
    assert found.values.mean() == pytest.approx(found.score, abs=2e-3)
    exact = classification.f1.measure([Target((t,), ("b", "a")) for t in targets], predictions)
    assert 100 * standard_error(found) == pytest.approx(standard_error(exact["f1"]), rel=0.15)
    fewer = measure(
        f1_of_a, targets[:1000][::order], predictions[:1000][::order], ids[:1000][::order]
    )
    assert (fewer["f1"].groups or [])[::order] == found.groups[:1000]


def test_a_function_that_takes_no_single_example_is_asked_once() -> None:
    def metric(targets: Sequence[str], predictions: Sequence[str]) -> dict[str, float]:
        if len(set(targets)) < 2:
            raise TypeError("needs two classes")
        return share(targets, predictions)

    counted = Counted(metric)
    found = measure(counted, *letters(1000))["share"]
    assert counted.calls[:2] == [1000, 1]
    assert len(counted.calls) == 2 + MAX_GROUPS
    assert found.values.mean() == pytest.approx(found.score, abs=1e-9)  # whatever the groups' sizes


def test_units_are_left_out_whole() -> None:
    targets, predictions, _ = letters(60)
    units = [f"unit-{k % 4}" for k in range(60)]
    metric = Counted(f1_of_a)
    found = measure(metric, targets, predictions, units)["f1"]
    assert metric.calls[-4:] == [45] * 4
    assert found.groups == units


def test_values_that_cannot_be_told_are_nan() -> None:
    def all_or_nothing(targets: Sequence[str], predictions: Sequence[str]) -> dict[str, float]:
        if len(targets) < 3:
            raise ValueError("needs all")
        return share(targets, predictions)

    found = measure(all_or_nothing, ["a"] * 3, ["a", "b", "b"], list("123"))["share"]
    assert found.score == pytest.approx(1 / 3)
    assert np.isnan(found.values).all()
    found = measure(lambda t, p: {"nan": math.nan}, ["a", "b"], ["a", "b"], ["1", "2"])["nan"]
    assert math.isnan(found.score)
    assert np.isnan(found.values).all()


def test_one_unit_tells_no_values() -> None:
    targets, predictions, _ = letters(9)
    found = measure(f1_of_a, targets, predictions, ["same"] * 9)["f1"]
    assert found.score == f1_of_a(targets, predictions)["f1"]
    assert np.isnan(found.values).all()


def test_a_score_of_some_examples_that_is_no_mean() -> None:
    """As Natural Instructions v1 has it: means over tasks of means over examples."""

    def metric(targets: Sequence[str], predictions: Sequence[str]) -> dict[str, float]:
        of: dict[str, dict[str, list[bool]]] = {}
        for target, is_same in zip(targets, same(targets, predictions), strict=True):
            category, task = target.split("/")
            of.setdefault(category, {}).setdefault(task, []).append(is_same)
        return {name: fmean(map(fmean, tasks.values())) for name, tasks in of.items()}

    targets = ["a/1", "a/1", "a/1", "a/2", "b/3", "b/3", "b/4", "b/4", "a/5"]
    predictions = ["a/1", "", "a/1", "a/2", "", "", "b/4", "b/4", ""]
    found = measure(metric, targets, predictions, targets)
    assert (found["a"].groups, found["b"].groups) == (targets, None)
    assert as_array(found["b"].values) == [None] * 4 + [0, 0, 1, 1, None]
    values = found["a"].values
    assert [row for row in range(9) if np.isnan(values[row])] == [4, 5, 6, 7]
    of_tasks = [2 / 3, 1, 0]
    # Left out are 3 of 5 rows, 1 and 1.
    expected = np.array(
        [5 / 3 * fmean(of_tasks) - 2 / 3 * fmean(of_tasks[1:])] * 3
        + [5 * fmean(of_tasks) - 4 * fmean(of_tasks[::2])]
        + [5 * fmean(of_tasks) - 4 * fmean(of_tasks[:2])]
    )
    assert values[[0, 1, 2, 3, 8]] == pytest.approx(expected - expected.mean() + fmean(of_tasks))


@pytest.mark.parametrize("count", [1, 2])
def test_few_examples(count: int) -> None:
    for metric in (share, f1_of_a):
        for of in measure(metric, ["a"] * count, ["a"] * count, ["x"] * count).values():
            assert of.values.tolist() == [1.0] * count


def test_a_function_that_gives_no_number() -> None:
    with pytest.raises(UserError, match="a metric gives 'high', which is no number"):
        measure(lambda t, p: {"share": "high"}, ["a"], ["a"], ["1"])


def test_nothing_to_measure() -> None:
    with pytest.raises(ValueError, match=r"targets=\[\] must hold at least one target"):
        measure(share, [], [], [])


def test_a_function_with_a_memory_or_of_chance_is_measured_too() -> None:
    rng, seen = random.Random(0), list[float]()

    def metric(targets: Sequence[str], predictions: Sequence[str]) -> dict[str, float]:
        seen.append(rng.random())
        return {f"call {len(seen)}": 1.0, "sum": sum(seen), "share": rng.random()}

    found = measure(metric, *letters(5))
    assert list(found) == ["call 1", "sum", "share"]
    assert all(len(of.values) == 5 for of in found.values())


def test_the_metrics_of_the_documentation() -> None:
    text = Path(tk_instruct.__file__).parents[1] / "docs" / "adding_a_suite.md"
    (code,) = [of for of in text.read_text("utf-8").split("```python\n") if "def recall" in of]
    names: dict[str, Any] = {}
    exec(code.partition("```")[0], names)
    targets, predictions = ["yes", "yes", "no", "yes"], ["yes", "no", "yes", "yes"]
    assert names["accuracy"](targets, predictions) == {"accuracy": 50.0}
    recall = names["recall"].measure(targets, predictions)["recall"]
    assert recall.score == pytest.approx(200 / 3)
    assert recall.values == pytest.approx([800 / 3 - 150, 800 / 3 - 300, 200 / 3, 800 / 3 - 150])


@pytest.mark.parametrize("worst", [math.inf, 1e200, -1e308, math.nan])
def test_scores_that_are_too_large_have_no_values(worst: float) -> None:
    def metric(targets: Sequence[str], predictions: Sequence[str]) -> dict[str, float]:
        return {"whole": worst, "part": worst if len(targets) == 3 else 1.0}

    found = measure(metric, ["a"] * 4, ["a"] * 4, list("abcd"))
    assert np.isnan(found["whole"].values).all()
    assert found["part"].values.tolist() == [1.0] * 4 or np.isnan(found["part"].values).all()


def test_means_are_told_from_other_scores() -> None:
    targets = [Target(("no" if k % 2 else "yes",), ("no", "yes"), "q") for k in range(6)]
    answers = ["yes"] * 6
    assert no_means(classification.accuracy.measure(targets, answers)) == ()
    assert no_means(classification.f1.measure(targets, answers)) == ("f1",)
    both = ("f1_answers", "exact_match_questions")
    assert no_means(classification.multirc.measure(targets, answers)) == both
