"""How many near duplicates LSH finds."""

import random

import numpy as np
import pytest

from tk_instruct.audit import compared
from tk_instruct.audit.similar import NearDuplicates, bands
from tk_instruct.audit.words import Hasher, Vocabulary


@pytest.mark.parametrize("least", [0.3, 0.5, 0.8, 0.95, 1.0])
def test_nearly_all_of_the_least_similarity_are_candidates(least: float) -> None:
    number, rows = bands(least)
    assert number >= 2
    assert 1 - (1 - least**rows) ** number >= 0.999


def test_pairs_that_are_just_similar_enough_are_found() -> None:
    draw = random.Random(0)
    pairs = []
    while len(pairs) < 1000:
        text = [f"w{draw.randrange(500)}" for _ in range(draw.randint(20, 60))]
        other = list(text)
        for place in draw.sample(range(len(text)), len(text) // 30 + 1):
            other[place] = "another"
        common = compared.near_duplicate(text, other, 0.8)
        if common and common.value < 0.85:
            pairs.append((" ".join(text), " ".join(other), common.value))
    vocabulary = Vocabulary()
    evaluation = vocabulary.add(text for text, _, _ in pairs)
    index = NearDuplicates(evaluation, Hasher(evaluation), np.ones(len(pairs), bool), 0.8)
    training = vocabulary.number(other for _, other, _ in pairs)
    found = {(one, other): value for one, other, value in index.find(training, Hasher(training))}
    expected = {(k, k): pytest.approx(value) for k, (_, _, value) in enumerate(pairs)}
    assert found == {pair: expected[pair] for pair in found}
    assert len(found) >= 0.999 * len(pairs)
