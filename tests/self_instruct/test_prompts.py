"""Prompts of the three stages as whole strings, and which seed tasks are shown in them."""

import re
from pathlib import Path

import pytest

from tk_instruct.errors import UserError
from tk_instruct.self_instruct.prompts import FewShot, numbered_list
from tk_instruct.self_instruct.seeds import Instance, SeedTask, read_seeds

MOOD = SeedTask(
    "seed_0",
    "mood",
    "Say whether the sentence is happy or sad.",
    (Instance("Sentence: We won!", "happy"), Instance("I lost my keys.", "sad")),
    True,
)
SORT = SeedTask(
    "seed_1",
    "sort",
    "Sort the numbers.",
    (Instance("3 1 2", "1 2 3"), Instance("Numbers: 9 8", "8 9")),
    False,
)
NAME = SeedTask("seed_2", "name", "Name a river in Asia.", (Instance("", "The Mekong"),), False)


def test_the_list_goes_on_with_the_next_number() -> None:
    assert numbered_list(["Sort  the\nnumbers:", "Name a river."]) == (
        "This is a list of varied tasks:\n1. Sort the numbers\n2. Name a river.\n3."
    )


def test_prompts_of_a_classification_and_of_another_seed_task() -> None:
    shown = FewShot([MOOD, NAME], seed=0)

    blocks = shown.is_classification("Rate the joke.").split("\n\n")
    assert blocks[0].startswith("Is a task a classification task")
    assert sorted(blocks[1:3]) == [
        "Task: Name a river in Asia.\nIs it classification? No",
        "Task: Say whether the sentence is happy or sad.\nIs it classification? Yes",
    ]
    assert blocks[3:] == ["Task: Rate the joke.\nIs it classification?"]

    _, *blocks = shown.output_first("Rate the joke.").split("\n\n")
    assert blocks == [
        "Task: Say whether the sentence is happy or sad.\n"
        "Class label: happy\nSentence: We won!\nClass label: sad\nInput: I lost my keys.",
        "Task: Rate the joke.\n",
    ]

    _, *blocks = shown.input_first("Tell a joke.").split("\n\n")
    assert blocks == ["Task: Name a river in Asia.\nOutput: The Mekong", "Task: Tell a joke.\n"]


def test_inputs_come_as_numbered_examples() -> None:
    _, *blocks = FewShot([MOOD, SORT], seed=0).input_first("Tell a joke.").split("\n\n")

    assert blocks == [
        "Task: Sort the numbers.\n"
        "Example 1\nInput: 3 1 2\nOutput: 1 2 3\nExample 2\nNumbers: 9 8\nOutput: 8 9",
        "Task: Tell a joke.\n",
    ]


@pytest.mark.parametrize(
    ("text", "has_name"),
    [
        ("Sentence: We won!", True),
        ("Review 2: Good", True),
        ("The original words:\nso, very", True),
        ("Größe: 3", True),
        ("Sales dates are in A2:A500", False),
        ("10:30", False),
        ("Night : Day", False),
        ("Steps of a report: question, method", False),
        ("Ann's list: a, b", False),
        ("https://example.org", False),
        ("We met\nYesterday: rain", False),
    ],
)
def test_an_input_without_the_name_of_a_field_is_given_one(text: str, has_name: bool) -> None:
    task = SeedTask("seed_3", "name", "Do it.", (Instance(text, "b"),), False)
    shown = FewShot([MOOD, task], seed=0).input_first("Tell a joke.")

    assert f"\nExample 1\n{'' if has_name else 'Input: '}{text}\nOutput: b\n" in shown


def test_twelve_classification_tasks_and_nineteen_others_are_shown_in_any_order() -> None:
    prompt = FewShot(read_seeds(), seed=0).is_classification("Rate the joke.")

    answers = re.findall(r"Is it classification\?(.*)", prompt)
    assert sorted(answers[:-1]) == [" No"] * 19 + [" Yes"] * 12
    assert answers[-1] == ""
    assert answers[:12] != [" Yes"] * 12
    assert prompt == FewShot(read_seeds(), seed=0).is_classification("Rate the joke.")
    assert prompt != FewShot(read_seeds(), seed=1).is_classification("Rate the joke.")


@pytest.mark.parametrize("stage", ["is_classification", "input_first", "output_first"])
def test_a_prompt_leaves_room_for_the_answer(stage: str) -> None:
    """In the 2,048 tokens, of about four characters, of the models of the time."""
    for seed in range(5):
        prompt = getattr(FewShot(read_seeds(), seed), stage)("Rate the joke. " * 10)
        assert len(prompt) < 4 * (2048 - 350)


def test_the_published_seeds_are_shown_too(shared_data: Path) -> None:
    seeds = read_seeds(str(shared_data / "self-instruct" / "data" / "seed_tasks.jsonl"))
    shown = FewShot(seeds, seed=0)

    assert shown.is_classification("X").count("\nIs it classification? Yes") == 12
    assert shown.output_first("X").count("\n\nTask: ") > 6
    assert shown.input_first("X").count("\n\nTask: ") > 12


def test_seeds_of_one_kind_only_are_refused() -> None:
    with pytest.raises(UserError, match="no classification tasks among the 2 seed tasks"):
        FewShot([SORT, NAME], seed=0)
    with pytest.raises(UserError, match="no other tasks among the 1 seed tasks"):
        FewShot([MOOD], seed=0)
