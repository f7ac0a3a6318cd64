"""What the words of a text are, and their hashes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tk_instruct.audit.words import Hasher, Vocabulary, text_of, word_places, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello, World_x: it's 3.5!", ["hello", "world", "x", "it", "s", "3", "5"]),
        ("it’s CAFE\u0301 — Größe", ["it", "s", "café", "größe"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("他沉默。ＡＢ", ["他", "沉", "默", "ab"]),
        ("한국어 が", ["한국어", "が"]),
        ("  _ -\n", []),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert words(text) == expected


@given(st.text())
def test_places_are_those_of_words(text: str) -> None:
    assert [words(text[start:end]) for start, end in word_places(text)] == [
        [word] for word in words(text)
    ]


@given(st.lists(st.lists(st.sampled_from("abc")), min_size=1), st.integers(1, 4))
def test_ngrams_have_the_same_hash_exactly_where_they_are_the_same(
    texts: list[list[str]], n: int
) -> None:
    vocabulary = Vocabulary()
    vocabulary.add(["a b"])
    numbered = vocabulary.number(map(" ".join, texts))
    hashes, starts = Hasher(numbered).ngrams(n, np.ones(len(texts), bool))
    expected = [tuple(of[k : k + n]) for of in texts for k in range(len(of) - n + 1)]
    assert len(hashes) == len(expected)
    assert len(set(hashes.tolist())) == len(set(expected))
    assert len({*zip(hashes.tolist(), expected, strict=True)}) == len(set(expected))
    assert text_of(numbered, starts).tolist() == [
        k for k, of in enumerate(texts) for _ in range(len(of) - n + 1)
    ]
    whole = Hasher(numbered).whole().tolist()
    assert len({*whole}) == len({*map(tuple, texts)})
