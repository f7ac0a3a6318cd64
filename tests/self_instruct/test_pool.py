"""Scores against rouge-score itself, and what a batch of candidates is told of the pool."""

import json
import unicodedata
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import gin
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer
from rouge_score.tokenizers import DefaultTokenizer

from tk_instruct.completions import Parameters
from tk_instruct.errors import UserError
from tk_instruct.self_instruct.instructions import Instructions
from tk_instruct.self_instruct.pool import NoveltyPool, rouge_tokens, unicode_tokens

SEEDS = Path("self-instruct/data/seed_tasks.jsonl")
OTHERS = Path("self-instruct/human_eval/user_oriented_instructions.jsonl")

SCORER = RougeScorer(["rougeL"], use_stemmer=False)

TEXTS = st.one_of(
    st.text(),
    st.text(alphabet="ab 1.-_ßİé你\n", max_size=60),
    st.lists(st.sampled_from(["a", "the", "Write", "42", "é", "’s", "…"])).map(" ".join),
    # More tokens than a machine word has bits.
    st.lists(st.integers(0, 9).map(str), min_size=60, max_size=200).map(" ".join),
)


def expected(candidates: list[str], texts: list[str]) -> np.ndarray:
    """By rouge-score, called as the released code does."""
    scores = [
        [SCORER.score(one, other)["rougeL"].fmeasure for other in texts] for one in candidates
    ]
    return np.array(scores).reshape(len(candidates), len(texts))


@given(TEXTS)
def test_tokens_equal_rouge_score(text: str) -> None:
    assert rouge_tokens(text) == DefaultTokenizer(use_stemmer=False).tokenize(text)


@settings(deadline=None)
@given(st.lists(TEXTS, max_size=4), st.lists(TEXTS, max_size=4))
def test_similarities_equal_rouge_score(candidates: list[str], texts: list[str]) -> None:
    found = NoveltyPool(texts).similarities(candidates)
    np.testing.assert_allclose(found, expected(candidates, texts), rtol=0, atol=1e-12)
    assert found.dtype == np.float64
    assert np.array_equal(found, NoveltyPool(candidates).similarities(texts).T)


def test_similarities_of_real_instructions_equal_rouge_score(shared_data: Path) -> None:
    seeds, others = (
        [json.loads(line)["instruction"] for line in (shared_data / path).open(encoding="utf-8")]
        for path in (SEEDS, OTHERS)
    )
    found = NoveltyPool(seeds).similarities(others[:40])
    np.testing.assert_allclose(found, expected(others[:40], seeds), rtol=0, atol=1e-12)
    assert found.max() > 0.5


def test_seven_of_ten_is_not_below_the_limit_of_0_7() -> None:
    """Decided as fractions are, at every length where a score can be exactly the limit."""
    for num_tokens in range(10, 200, 10):
        words = [f"w{k}" for k in range(num_tokens)]
        kept = num_tokens * 7 // 10
        candidate = " ".join(words[:kept] + ["other"] * (num_tokens - kept))
        score = NoveltyPool([" ".join(words)]).similarities([candidate])[0, 0]
        assert score == float(Fraction(7, 10))


@pytest.mark.parametrize("text", ["", "…", "你好", "\ud83d", "a\0b"])
def test_text_without_tokens_scores_nothing(text: str) -> None:
    pool = NoveltyPool([text, "a b"])
    assert pool.similarities([text, "a b"])[0, 0] == (1.0 if "a" in text else 0.0)
    assert pool.similarities(["a b"])[0, 1] == 1.0


def test_tokens_that_only_candidates_have_are_not_taken_for_one_another() -> None:
    pool = NoveltyPool(["write a poem"])
    assert pool.similarities(["sing a song"])[0, 0] == pytest.approx(1 / 3)
    first, second = pool.compare(["sing loud songs", "dance slow dances"])
    assert first.maximum == second.maximum == 0.0
    pool.add("sing loud songs")
    assert pool.similarities(["dance slow dances"]).tolist() == [[0.0, 0.0]]


def test_what_is_added_between_candidates_counts_for_the_next() -> None:
    pool = NoveltyPool(["Write a poem about the sea."])
    candidates = ["Name three rivers.", "Name three rivers!", "Add these two numbers."]
    accepted = []
    for candidate, similarity in zip(candidates, pool.compare(candidates), strict=True):
        if similarity.maximum < 0.7:
            pool.add(candidate)
            accepted.append(candidate)
    assert accepted == ["Name three rivers.", "Add these two numbers."]
    assert len(pool) == 3


def test_growing_a_pool_gives_what_a_new_one_gives() -> None:
    texts = [f"{verb} the {noun}" for verb in ("sort", "add", "name") for noun in "abcd"]
    pool = NoveltyPool(texts[:1])
    comparisons = pool.compare(texts)
    for known, (text, later) in enumerate(pairwise(texts), start=1):
        assert next(comparisons) == next(NoveltyPool(texts[:known]).compare([text]))
        pool.add(later)


def test_most_similar_are_ten_best_first_and_equal_ones_in_order() -> None:
    low = [f"x{k} a y{k} z{k}" for k in range(6)]
    high = [f"a b x{k} y{k}" for k in range(6)]
    pool = NoveltyPool([*low, "nothing shared", *high])
    (similarity,) = pool.compare(["a b c d"])
    assert similarity.most_similar == dict.fromkeys(high, 0.5) | dict.fromkeys(low[:4], 0.25)
    assert list(similarity.most_similar) == high + low[:4]
    assert similarity.maximum == 0.5
    assert similarity.mean == pytest.approx((6 * 0.5 + 6 * 0.25) / 13)


def test_a_small_or_empty_pool_lists_what_it_has() -> None:
    (alone,) = NoveltyPool().compare(["a"])
    assert (alone.maximum, alone.mean, alone.most_similar) == (0.0, 0.0, {})
    (one,) = NoveltyPool(["b"]).compare(["a"])
    assert one.most_similar == {"b": 0.0}


def test_more_tokens_than_code_points_before_the_surrogates() -> None:
    words = [f"w{k}" for k in range(70_000)]
    texts = [" ".join(words[k : k + 100]) for k in range(0, len(words), 100)]
    scores = NoveltyPool(texts).similarities([texts[3], texts[-1], "w0 w69999"])
    assert np.argmax(scores, axis=1).tolist() == [3, len(texts) - 1, 0]
    assert scores.max(axis=1).tolist() == [1.0, 1.0, 2 / 102]
    assert np.count_nonzero(scores[:2]) == 2


def test_more_distinct_tokens_than_unicode_has_room_for_is_an_error() -> None:
    most = 0x110000 - 0x800 - 1
    pool = NoveltyPool(tokenize=str.split)
    pool.add(" ".join(map(str, range(most))))
    with pytest.raises(UserError, match=r"more than 1,112,063 distinct tokens.*split"):
        pool.add("one more")
    assert len(pool) == 1
    pool.add("7 8")
    assert pool.similarities(["7 8"])[0, 1] == 1.0


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", []),
        ("Don't stop_here!", ["don", "t", "stop", "here"]),
        (
            "Übersetze die Straße ins Englische.",
            ["übersetze", "die", "strasse", "ins", "englische"],
        ),
        ("U\u0308bersetze", ["übersetze"]),
        ("Wort\u00adtren\u00adnung", ["worttrennung"]),
        ("कविता लिखिए। १२", ["कविता", "लिखिए", "१२"]),
        ("क\u093cलम", ["क\u093cलम"]),
        ("写一首诗,共20行。", ["写", "一", "首", "诗", "共", "20", "行"]),
        ("GPT是什么", ["gpt", "是", "什", "么"]),
        ("ガイドを書く・ひと々", ["ガ", "イ", "ド", "を", "書", "く", "ひ", "と", "々"]),
        ("เขียน", ["เ", "ข", "ี", "ย", "น"]),
        ("시를 써 주세요", ["시를", "써", "주세요"]),
        ("اكتب قصيدة", ["اكتب", "قصيدة"]),
        ("\ud83d 🎉 ½", ["1", "2"]),
    ],
)
def test_unicode_tokens(text: str, tokens: list[str]) -> None:
    assert unicode_tokens(text) == tokens


@pytest.mark.parametrize(
    ("text", "near", "far"),
    [
        ("写一首关于大海的诗。", "写一首关于高山的诗。", "计算两个数的和。"),
        ("समुद्र पर एक कविता लिखिए।", "पहाड़ पर एक कविता लिखिए।", "दो संख्याओं को जोड़ें।"),
        ("Übe für die Prüfung in Öl.", "Übe für die Prüfung in Köln.", "Zähle drei Flüsse auf."),
    ],
)
def test_other_languages_are_told_apart_by_their_words(text: str, near: str, far: str) -> None:
    pool = NoveltyPool([far, near], unicode_tokens)
    same, different = pool.similarities([text])[0, ::-1]
    assert same > 0.7 > 0.2 > different
    assert pool.similarities([near])[0, 1] == 1.0


@pytest.mark.parametrize(
    ("name", "tokens"),
    [("rouge_tokens", ["l", "im", "haus"]), ("unicode_tokens", ["öl", "im", "haus"])],
)
def test_gin_chooses_the_tokens(name: str, tokens: list[str]) -> None:
    try:
        gin.parse_config(f"Instructions.tokenize = @{name}")
        tokenize = gin.get_configurable(Instructions)(parameters=Parameters(1)).tokenize
        assert tokenize("Öl im Haus") == tokens
    finally:
        gin.clear_config()


@given(TEXTS)
def test_unicode_tokens_are_the_same_however_accents_are_encoded(text: str) -> None:
    forms = {tuple(unicode_tokens(unicodedata.normalize(f, text))) for f in ("NFC", "NFD", "NFKD")}
    assert forms == {tuple(unicode_tokens(text))}
