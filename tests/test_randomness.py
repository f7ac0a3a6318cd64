"""Choices depend on their arguments alone, and on each of them."""

import hashlib
import os
import subprocess
import sys
from collections import Counter

import pytest

from tk_instruct.randomness import choose, draw


def test_draw_is_the_first_eight_bytes_of_a_sha256() -> None:
    digest = hashlib.sha256(b"3\x1fdev task\x1ftask001\x1fi-7").hexdigest()
    assert draw(3, "dev task", "task001", "i-7") == int(digest[:16], 16)


def test_draw_never_changes_between_versions() -> None:
    assert draw(0, "train instance", "task001", "i-1") == 3632450345599350365
    assert draw(1, "encoding", "tâche", "né") == 8818338373108514648


@pytest.mark.parametrize(
    "other",
    [(1, "purpose", "a", "b"), (0, "other", "a", "b"), (0, "purpose", "b", "a"), (0, "purpose")],
)
def test_every_argument_counts(other: tuple[int, str]) -> None:
    assert draw(0, "purpose", "a", "b") != draw(*other)


def test_ids_do_not_run_into_each_other() -> None:
    assert draw(0, "p", "ab", "c") != draw(0, "p", "a", "bc") != draw(0, "p", "abc")


def test_a_lone_surrogate_can_be_an_id() -> None:
    assert draw(0, "p", "\ud800") != draw(0, "p", "\ud801")


def test_draw_is_the_same_in_a_process_with_another_hash_seed() -> None:
    code = "from tk_instruct.randomness import draw; print(draw(5, 'p', 'x'))"
    environment = {**os.environ, "PYTHONHASHSEED": "77"}
    printed = subprocess.check_output([sys.executable, "-c", code], env=environment, text=True)
    assert int(printed) == draw(5, "p", "x")


def test_choose_is_uniform_over_ids() -> None:
    counts = Counter(choose("abcde", 0, "p", str(k)) for k in range(5000))
    assert set(counts) == set("abcde")
    assert all(880 < count < 1120 for count in counts.values())


def test_purposes_are_independent() -> None:
    """Of the ids that one purpose gives `a`, another gives about half to each."""
    ids = [str(k) for k in range(4000) if choose("ab", 0, "one", str(k)) == "a"]
    share = sum(choose("ab", 0, "two", id_) == "a" for id_ in ids) / len(ids)
    assert 0.45 < share < 0.55


def test_choose_of_one_option() -> None:
    assert choose(["only"], 9, "p", "id") == "only"
