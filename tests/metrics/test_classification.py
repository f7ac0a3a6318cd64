"""Labels against hand-counted tables and slow loops, correlations against scipy."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
import scipy.stats  # type: ignore[import-untyped]
from hypothesis import assume, example, given
from hypothesis import strategies as st

from tk_instruct.metrics import METRICS, Metric, classification
from tk_instruct.metrics.target import OptionTarget, Target

NO_YES = ("no", "yes")
CB = ("Yes", "No", "It's impossible to say")


def labels(references: Sequence[str], options: tuple[str, ...] = ()) -> list[Target]:
    return [Target((reference,), options) for reference in references]


def numbers(values: Sequence[float]) -> list[Target]:
    return [Target((str(value),)) for value in values]


# accuracy


def test_accuracy_compares_with_the_first_reference_and_case_counts() -> None:
    targets = [Target(("World", "Sports")), *labels(["Sports", "Business ", "Science/Tech"])]
    found = classification.accuracy(targets, ["Sports", " Sports\n", "Business", "science/tech"])
    assert found == {"accuracy": 50.0}
    # T5's vocabulary cannot say two spaces.
    assert classification.accuracy(labels(["Put it in  a bowl."]), ["Put it in a bowl."]) == {
        "accuracy": 100.0
    }


# F1


def test_f1_by_hand() -> None:
    # yes: 2 found of 3, and 1 said wrongly; what is no option is said of neither class.
    targets = labels(["yes", "yes", "yes", "no", "no", "no"], NO_YES)
    found = classification.f1(targets, ["yes", " yes", "maybe", "yes", "no", "maybe"])
    assert found == {"f1": pytest.approx(100 * 2 / 3, abs=1e-12)}


def test_f1_is_zero_where_nobody_says_the_positive_class() -> None:
    assert classification.f1(labels(["no", "no"], NO_YES), ["no", "no"]) == {"f1": 0.0}


def slow_macro_f1(
    options: Sequence[str], references: Sequence[str], predictions: Sequence[str]
) -> float:
    total = 0.0
    for option in options:
        true_positives = false_positives = false_negatives = 0
        for reference, prediction in zip(references, predictions, strict=True):
            if prediction == option and reference == option:
                true_positives += 1
            elif prediction == option:
                false_positives += 1
            elif reference == option:
                false_negatives += 1
        if true_positives:
            precision = true_positives / (true_positives + false_positives)
            recall = true_positives / (true_positives + false_negatives)
            total += 2 * precision * recall / (precision + recall)
    return 100 * total / len(options)


CB_ROWS = st.lists(
    st.tuples(st.sampled_from(CB), st.sampled_from([*CB, "yes", ""])), min_size=1, max_size=20
)


@given(CB_ROWS)
def test_macro_f1_equals_the_confusion_matrix(rows: list[tuple[str, str]]) -> None:
    references, predictions = [r for r, _ in rows], [p for _, p in rows]
    found = classification.macro_f1(labels(references, CB), predictions)
    expected = slow_macro_f1(CB, references, predictions)
    assert found == {"macro_f1": pytest.approx(expected, abs=1e-9)}


def test_macro_f1_is_the_mean_over_options_that_never_occur_too() -> None:
    found = classification.macro_f1(labels(["Yes", "No"], CB), ["Yes", "No"])
    assert found == {"macro_f1": pytest.approx(200 / 3, abs=1e-12)}


# MultiRC


def test_multirc_by_hand() -> None:
    answers = [  # question, right answer, prediction; the questions' answers stand mixed
        ("q1", "yes", "yes"),
        ("q2", "no", "no"),
        ("q1", "no", "no"),
        ("q2", "yes", "no"),
        ("q3", "no", "nonsense"),
        ("q3", "yes", "yes"),
    ]
    targets = [Target((reference,), NO_YES, question) for question, reference, _ in answers]
    found = classification.multirc(targets, [prediction for _, _, prediction in answers])
    # yes: 2 found of 3, none said wrongly. All answers right: q1 only.
    assert list(found) == ["f1_answers", "exact_match_questions"]
    assert found["f1_answers"] == pytest.approx(80)
    assert found["exact_match_questions"] == pytest.approx(100 / 3)


def test_multirc_refuses_answers_of_no_question() -> None:
    with pytest.raises(ValueError, match="group='' must name the question"):
        classification.multirc(labels(["no"], NO_YES), ["no"])


# Correlations

PAIRS = st.lists(
    st.tuples(
        st.one_of(st.integers(0, 5), st.floats(-1e6, 1e6)),
        st.one_of(st.integers(0, 5), st.floats(-1e6, 1e6)),
    ),
    min_size=2,
    max_size=20,
)


@given(PAIRS)
@example([(1, 2.5), (2, 2.5), (2, 0), (5, 5)])
def test_correlations_equal_scipy(pairs: list[tuple[float, float]]) -> None:
    expected, predicted = np.array(pairs, float).T
    # scipy warns of sides that are all but constant, whose correlation is rounding.
    assume(all(side.std() > 1e-6 * np.abs(side).max() for side in (expected, predicted)))
    targets, predictions = numbers(expected), [str(value) for value in predicted]
    pearson = 100 * scipy.stats.pearsonr(expected, predicted).statistic
    spearman = 100 * scipy.stats.spearmanr(expected, predicted).statistic
    assert classification.pearson(targets, predictions) == {
        "pearson": pytest.approx(pearson, abs=1e-6)
    }
    assert classification.spearman(targets, predictions) == {
        "spearman": pytest.approx(spearman, abs=1e-6)
    }


def test_correlations_by_hand() -> None:
    targets, predictions = numbers([0, 1, 2]), ["0", " 1\n", "4.0"]
    assert classification.pearson(targets, predictions)["pearson"] == pytest.approx(
        100 * 4 / math.sqrt(2 * (26 / 3))
    )
    assert classification.spearman(targets, predictions)["spearman"] == pytest.approx(100)
    assert classification.pearson(targets, ["3", "2", "1"])["pearson"] == pytest.approx(-100)


@pytest.mark.parametrize("text", ["", "four", "nan", "inf", "1e999"])
def test_what_is_no_number_counts_as_zero(text: str) -> None:
    targets = numbers([1, 2, 4])
    assert classification.pearson(targets, [text, "1", "5"]) == classification.pearson(
        targets, ["0", "1", "5"]
    )


@pytest.mark.parametrize("metric", ["pearson", "spearman"])
def test_a_constant_side_correlates_with_nothing(metric: str) -> None:
    score = METRICS[metric]
    assert score(numbers([1, 2]), ["3", "3"]) == {metric: 0.0}
    assert score(numbers([2, 2]), ["1", "3"]) == {metric: 0.0}


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2, max_size=6))
@example([1e308, -1e308])
@example([5e-324, 0.0])
def test_no_prediction_makes_a_correlation_nan(values: list[float]) -> None:
    targets, predictions = numbers(range(len(values))), [str(value) for value in values]
    for metric in (classification.pearson, classification.spearman):
        (score,) = metric(targets, predictions).values()
        assert -100 <= score <= 100


def test_references_must_be_numbers() -> None:
    with pytest.raises(ValueError, match="reference 'five' must be a finite number"):
        classification.pearson([*numbers([1]), Target(("five",))], ["1", "2"])


# Ranked options


def test_rank_accuracy_by_hand() -> None:
    options = [  # example, correct, log-likelihood; the examples' options stand mixed
        ("a", False, -2.0),
        ("b", True, -1.0),
        ("a", True, -1.5),
        ("b", False, -1.0),  # the first of equals, which is right
        ("c", False, -math.inf),
        ("c", True, -math.inf),  # the first of equals, which is wrong
        ("d", False, -0.1),
        ("d", True, -0.2),
        ("d", False, -0.3),
    ]
    targets = [OptionTarget(name, is_correct) for name, is_correct, _ in options]
    found = classification.rank_accuracy(targets, [score for _, _, score in options])
    assert found == {"accuracy": 50.0}


@given(
    st.lists(
        st.lists(st.tuples(st.booleans(), st.floats(-50, 0)), min_size=1, max_size=4),
        min_size=1,
        max_size=6,
    )
)
def test_rank_accuracy_equals_argmax(examples: list[list[tuple[bool, float]]]) -> None:
    right = [options[int(np.argmax([s for _, s in options]))][0] for options in examples]
    targets = [OptionTarget(str(i), c) for i, options in enumerate(examples) for c, _ in options]
    scores = [score for options in examples for _, score in options]
    found = classification.rank_accuracy(targets, scores)
    assert found == {"accuracy": pytest.approx(100 * sum(right) / len(right))}


def test_rank_accuracy_refuses_nan() -> None:
    with pytest.raises(ValueError, match="score nan of example 'a' must be a number"):
        classification.rank_accuracy([OptionTarget("a", True)], [math.nan])


# Options


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        (labels(["no"]), r"options=\(\) must be two classes or more"),
        (labels(["No"], NO_YES), "reference 'No' must be one of options="),
        ([*labels(["no"], NO_YES), *labels(["No"], CB)], "must be those of the first target"),
    ],
)
@pytest.mark.parametrize("metric", [classification.f1, classification.macro_f1])
def test_options_that_fit_no_f1(metric: Metric, targets: list[Target], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        metric(targets, ["no"] * len(targets))


def test_f1_takes_two_options() -> None:
    with pytest.raises(ValueError, match="must be two, a negative and a positive class"):
        classification.f1(labels(["Yes"], CB), ["Yes"])
