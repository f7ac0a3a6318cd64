"""Each rule by its name, and the rules of the released code where they agree."""

import pytest

from tk_instruct.errors import UserError
from tk_instruct.self_instruct.answers import Answer
from tk_instruct.self_instruct.heuristics import Heuristics, contradict, instance_broken_by
from tk_instruct.self_instruct.instances import kept
from tk_instruct.self_instruct.seeds import Instance


@pytest.mark.parametrize(
    ("instruction", "rule"),
    [
        ("Name a river in Asia.", None),
        ("Sort these numbers quickly", None),
        ("", "empty"),
        ("Name a river.", "too_short"),
        ("word " * 150, None),
        ("word " * 151, "too_long"),
        ("Describe what the Image shows.", "unsuitable_word"),
        ("Tell me how to go to Rome.", "unsuitable_word"),
        ("Describe an imaginary mapping of things.", None),
        ("Write a program that sorts numbers.", "unsuitable_beginning"),
        ("write a program that sorts numbers.", "unsuitable_beginning"),
        ("Please write a program that sorts.", None),
        ("(Name a river in Asia.)", "begins_with_punctuation"),
        ("Übersetze den Satz ins Englische.", "begins_with_non_ascii"),
        ("1 and 1 makes what?", None),
    ],
)
def test_rules_for_instructions(instruction: str, rule: str | None) -> None:
    assert Heuristics().broken_by(instruction.strip()) == rule


def test_rules_are_settings() -> None:
    german = Heuristics(min_words=2, unsuitable_words=("Bild",), ascii_first_character=False)

    assert german.broken_by("Übersetze dies.") is None
    shouting = Heuristics(unsuitable_beginnings=("SCHREIBE EIN PROGRAMM",))
    assert shouting.broken_by("Schreibe ein Programm, das zählt.") == "unsuitable_beginning"
    assert german.broken_by("Beschreibe das Bild.") == "unsuitable_word"
    assert Heuristics(unsuitable_words=()).broken_by("Describe what the image shows.") is None
    with pytest.raises(UserError, match="min_words=9 must be at least 1 and at most max_words=5"):
        Heuristics(min_words=9, max_words=5)


@pytest.mark.parametrize(
    ("instance", "rule"),
    [
        (Instance("a", "b"), None),
        (Instance("", "b"), None),
        (Instance("a", "a"), "output_is_input"),
        (Instance("", ""), "output_is_input"),
        (Instance("a", ""), "empty_output"),
        (Instance("a:", "b"), "ends_with_colon"),
        (Instance("a", "b:"), "ends_with_colon"),
    ],
)
def test_rules_for_instances(instance: Instance, rule: str | None) -> None:
    assert instance_broken_by(instance) == rule


def test_only_an_input_that_is_not_empty_can_be_contradicted() -> None:
    assert contradict([Instance("a", "b"), Instance("c", "b"), Instance("a", "d")])
    assert not contradict([Instance("", "b"), Instance("", "c"), Instance("a", "b")])
    assert not contradict([Instance("a", "b"), Instance("a", "b")])


def labels(*pairs: str) -> str:
    return "".join(f"Class label: {pair[0]}\nText: {pair[1:]}\n" for pair in pairs)


@pytest.mark.parametrize(
    ("answer", "finish_reason", "pairs", "dropped"),
    [
        (labels("ax", "by"), "stop", ["ax", "by"], {}),
        (labels("ax", "by"), "length", ["ax"], {"cut_off": 1}),
        (labels("ax", "bx", "cy"), "stop", [], {"contradiction": 3}),
        (labels("ax", "ax", "by"), "stop", ["ax", "by"], {"duplicate": 1}),
        ("nothing", "stop", [], {"unparsed": 1}),
        ("nothing", "length", [], {"unparsed": 1}),
        ("Class label:\nText: x", "stop", [], {"empty_output": 1}),
    ],
)
def test_what_an_answer_leaves(
    answer: str, finish_reason: str, pairs: list[str], dropped: dict[str, int]
) -> None:
    instances, counts = kept(Answer(answer, finish_reason == "length"), True, 5, 0, "task")

    assert [each.output + each.input.removeprefix("Text: ") for each in instances] == pairs
    assert counts == dropped


def test_five_of_many_are_drawn_in_their_order() -> None:
    answer = labels(*(f"a{number:02}" for number in range(20)))
    instances, dropped = kept(Answer(answer, False), True, 5, 0, "task")

    assert len(instances) == 5
    assert dropped == {"too_many": 15}
    assert [each.input for each in instances] == sorted(each.input for each in instances)
    assert instances == kept(Answer(answer, False), True, 5, 0, "task")[0]
    assert instances != kept(Answer(answer, False), True, 5, 0, "other")[0]
    assert instances != kept(Answer(answer, False), True, 5, 1, "task")[0]
