"""What is shown of a text around a match."""

from tk_instruct.audit.passages import passage


def test_a_short_text_is_whole() -> None:
    found = passage("Well, it’s so: yes!", [False, True, True, False, True])
    assert [*found.parts()] == [
        ("Well, ", False),
        ("it’s", True),
        (" so: ", False),
        ("yes", True),
        ("!", False),
    ]


def test_of_a_long_text_the_part_around_the_longest_mark_is_shown() -> None:
    is_common = [False] * 2000
    is_common[3] = is_common[1010] = True
    is_common[1000:1005] = [True] * 5
    found = passage("word " * 2000, is_common)
    assert found.text[0] == found.text[-1] == "…"
    assert len(found.text) == 1202
    assert [part for part, is_marked in found.parts() if is_marked] == [
        "word word word word word",
        "word",
    ]


def test_a_match_that_is_longer_than_what_is_shown_is_cut() -> None:
    found = passage("word " * 2000, [True] * 2000)
    assert [(part, is_marked) for part, is_marked in found.parts() if part][1:] == [("…", False)]
    assert found.marks == [(0, 1200)]


def test_half_a_surrogate_pair_can_be_written() -> None:
    assert passage("a\ud800b", [True, True]).text == "a?b"
