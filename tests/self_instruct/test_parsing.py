"""Answers taken apart: as published where that was right, and where it was not."""

import pytest

from tk_instruct.self_instruct import parsing
from tk_instruct.self_instruct.seeds import Instance


@pytest.mark.parametrize(
    ("answer", "items"),
    [
        (
            " Sort these.\n10. Name a\n   river.\n11. Tell a joke",
            ["Sort these.", "Name a river.", "Tell a joke"],
        ),
        ("9. Sort these.\n10 . Name a river.", ["Sort these.", "Name a river."]),  # a chat model
        (" Say 9. and 10. aloud.\n10. Sing.", ["Say 9. and 10. aloud.", "Sing."]),
        (" Sort these.\n12. Sing.", ["Sort these.", "Sing."]),
        # One line: the numbers that are due part it, others do not.
        (
            " List 3. Then stop. 10. Name 12. Or not. 11. Sing.",
            ["List 3. Then stop.", "Name 12. Or not.", "Sing."],
        ),
        (" Describe NASA in 2.10. notation", ["Describe NASA in 2.10. notation"]),
        ("", [""]),
    ],
)
def test_instructions_of_a_list(answer: str, items: list[str]) -> None:
    assert parsing.instructions(answer, 9) == items


@pytest.mark.parametrize(
    ("answer", "meaning"),
    [
        (" Yes", True),
        ("no.", False),
        (" YES\n", True),
        ("** No", False),
        ("Nothing", None),
        ("", None),
    ],
)
def test_yes_or_no(answer: str, meaning: bool | None) -> None:
    assert parsing.yes_or_no(answer) is meaning


@pytest.mark.parametrize(
    ("answer", "instances"),
    [
        (
            "Example 1\nList: 3 1\nOutput: 1 3\nExample 2\nInput: 2\nOutput: 2\n",
            [("List: 3 1", "1 3"), ("2", "2")],
        ),
        ("Output: The Nile", [("", "The Nile")]),
        ("Output: The Nile\nOutput: The Volga", [("", "The Nile")]),
        ("List: 3 1\nOutput:\n1\n3", [("List: 3 1", "1\n3")]),
        ("Example 1.\nA\nOutput: B\nInput: C", [("A", "B")]),
        ("Example 1\nThe Nile\nExample 2\nThe Volga", [("", "The Nile"), ("", "The Volga")]),
        # The word in a text does not part it, nor does a cue in the middle of a line.
        (
            "Example 1\nSentence: For Example 2 cats.\nOutput: Example sentence. The Output: none.",
            [("Sentence: For Example 2 cats.", "Example sentence. The Output: none.")],
        ),
        # What comes before the examples is no example.
        ("Sure, here you are:\nExample 1\nInput: a\nOutput: b", [("a", "b")]),
        ("**Example 1**\n**Input:** a\n**Output:** b", [("a", "b")]),
        # One line.
        ("Example 1 Input: a Output: b Example 2 Input: c Output: d", [("a", "b"), ("c", "d")]),
        ("Output: b", [("", "b")]),
        ("I do not know.", []),
        ("", []),
    ],
)
def test_inputs_and_outputs(answer: str, instances: list[tuple[str, str]]) -> None:
    assert parsing.input_first(answer) == [Instance(*each) for each in instances]


@pytest.mark.parametrize(
    ("answer", "instances"),
    [
        (
            "Class label: happy\nSentence: We won!\nClass label:sad\nText: a\nb\n",
            [("Sentence: We won!", "happy"), ("Text: a\nb", "sad")],
        ),
        ("Class label: happy\nInput: We won!", [("We won!", "happy")]),
        ("Here: Class label: happy", [("", "happy")]),
        (
            "Class label: not spam Email: Hi! Class label: spam Email: Buy!",
            [("Email: Hi!", "not spam"), ("Email: Buy!", "spam")],
        ),
        ("happy", []),
    ],
)
def test_labels_and_inputs(answer: str, instances: list[tuple[str, str]]) -> None:
    assert parsing.output_first(answer) == [Instance(*each) for each in instances]
