"""ROUGE of token lists against hand-worked values and rouge-score itself."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer
from rouge_score.tokenizers import DefaultTokenizer

from tk_instruct.metrics import rouge

SCORER = RougeScorer(["rouge1", "rougeL"], use_stemmer=True)

# Few words, so that texts overlap; among them what tokenisers trip over.
WORDS = (
    "The|the|running|runs|RUN|generously|it's|U.S.|3.5|3,5|…|...|naïve|İstanbul|ß|你好|ﬁne|-|,|ab_c"
    "|Yes.|yes|nation|national|\t|\n|\u2028|\x00|\ud83d|🙂"
)
TEXTS = st.one_of(
    st.lists(st.sampled_from(WORDS.split("|")), max_size=12).map(" ".join), st.text(max_size=30)
)


def test_stemmed_tokens_of_a_sentence() -> None:
    tokens = rouge.stemmed_tokens("The U.S.-based runners were RUNNING generously, naïvely!")
    assert tokens == ["the", "u", "s", "base", "runner", "were", "run", "gener", "na", "veli"]


@given(TEXTS)
def test_stemmed_tokens_equal_rouge_score(text: str) -> None:
    assert rouge.stemmed_tokens(text) == DefaultTokenizer(use_stemmer=True).tokenize(text)


def test_rouge_f1_by_hand() -> None:
    # Shared tokens: a, b, c of four and five: P = 3/4, R = 3/5. In order only two: a b.
    assert rouge.rouge_f1(list("abcx"), list("cabyz")) == (
        pytest.approx(2 / 3, abs=1e-15),
        pytest.approx(4 / 9, abs=1e-15),
    )


def test_rouge_f1_counts_a_repeated_token_as_often_as_both_have_it() -> None:
    assert rouge.rouge_f1(list("aaa"), list("aab")) == (
        pytest.approx(2 / 3, abs=1e-15),
        pytest.approx(2 / 3, abs=1e-15),
    )


@pytest.mark.parametrize(("a", "b"), [([], ["a"]), (["a"], []), ([], []), (["a"], ["b"])])
def test_rouge_f1_is_zero_where_nothing_is_shared(a: list[str], b: list[str]) -> None:
    assert rouge.rouge_f1(a, b) == (0.0, 0.0)


def test_recall_by_hand() -> None:
    # Two of five tokens of the reference, in order.
    assert rouge.rouge_l_recall(list("abcx"), list("cabyz")) == 2 / 5
    assert rouge.rouge_l_recall(list("a" * 9), list("a")) == 1


@pytest.mark.parametrize(("a", "b"), [([], ["a"]), (["a"], []), ([], []), (["a"], ["b"])])
def test_recall_is_zero_where_nothing_is_shared(a: list[str], b: list[str]) -> None:
    assert rouge.rouge_l_recall(a, b) == 0.0


@given(TEXTS, TEXTS)
@example("", "")
@example("?!", "?!")
@example("a", "?!")
@settings(max_examples=300)
def test_scores_equal_rouge_score(prediction: str, reference: str) -> None:
    expected = SCORER.score(reference, prediction)
    predicted, right = rouge.stemmed_tokens(prediction), rouge.stemmed_tokens(reference)
    assert rouge.rouge_f1(predicted, right) == (
        pytest.approx(expected["rouge1"].fmeasure, abs=1e-12),
        pytest.approx(expected["rougeL"].fmeasure, abs=1e-12),
    )
    recall = rouge.rouge_l_recall(predicted, right)
    assert recall == pytest.approx(expected["rougeL"].recall, abs=1e-12)
