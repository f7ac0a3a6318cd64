"""Answers taken apart: as published where that was right, and where it was not."""

import json
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tk_instruct.self_instruct import answers, examples, lists
from tk_instruct.self_instruct.prompts import FewShot
from tk_instruct.self_instruct.seeds import Instance, read_seeds


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
        # A chat model's Markdown, and what it says besides.
        ("**9. Sort these.**\n**10. Sing.**", ["Sort these.", "Sing."]),
        ("- 9. Sort these.\n- 10. Sing.", ["Sort these.", "Sing."]),
        ("### 9. Sort these.\n* 10. Sing.", ["Sort these.", "Sing."]),
        (
            " **Poem**: Write it.\n**10. Song:** Sing.\n**11.** Say 2**3**2.",
            ["Poem: Write it.", "Song: Sing.", "Say 2**3**2."],
        ),
        ("Sure! Here are more tasks:\n\n9. Sort.\n\n10. Sing.\n\nEnjoy!", ["Sort.", "Sing."]),
        ("Here are more:\n1. Sort.\n2. Sing.", ["Sort.", "Sing."]),
        # Published instructions may end in a colon, and have a list of their own.
        (" Sort the words:", ["Sort the words:"]),
        (" Sort these:\n1. b\n2. a\n10. Sing.", ["Sort these: 1. b 2. a", "Sing."]),
        # Without white space after it only the number that is due parts a list.
        (
            " 写一首诗。\n10、翻译下面的句子。\n11．列出水果。",
            ["写一首诗。", "翻译下面的句子。", "列出水果。"],
        ),
        (" 写一首诗。\n10.把句子翻译成英语。", ["写一首诗。", "把句子翻译成英语。"]),
        (" 写一首诗。 10、翻译。11、列出。", ["写一首诗。", "翻译。", "列出。"]),
        (" Convert\n10.5 litres\n7.Not due", ["Convert 10.5 litres 7.Not due"]),
        ("好的领导有哪些特点？\n10. 写诗。", ["好的领导有哪些特点？", "写诗。"]),
        (f" Add\n{'1' * 5000}. to it", [f"Add {'1' * 5000}. to it"]),
        ("", [""]),
    ],
)
def test_instructions_of_a_list(answer: str, items: list[str]) -> None:
    assert lists.instructions(answer, 9).items == items


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
    assert answers.yes_or_no(answer) is meaning


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
        # A chat model's Markdown, headings and capitals.
        ("**Example 1**\n**Input:** a\n**Output:** b", [("a", "b")]),
        (
            "**Example 1:**\n- **Input**: a\n- **Output**: b\n\n---\n\n"
            "**Example 2**:\n- **Input**: c\n- **Output**: d",
            [("a", "b"), ("c", "d")],
        ),
        ("### Example 1\n**Input: a**\n**Output: b**", [("a", "b")]),
        ("Example 1\n- Input: a\n- Output: b", [("a", "b")]),
        ("example 1\ninput: a\nOUTPUT: b", [("a", "b")]),
        ("Example 1: a\nOutput: b\nExample 2: c\nOutput: d", [("a", "b"), ("c", "d")]),
        (
            "Example\nText: a\nOutput: b\nExample\nText: c\nOutput: d",
            [("Text: a", "b"), ("Text: c", "d")],
        ),
        (
            "1. **Input:** a\n   **Output:** b\n2. **Input:** c\n   **Output:** d",
            [("a", "b"), ("c", "d")],
        ),
        (
            "**Sentence 1:** a\n**Sentence 2:** b\n**Output:**\n**Mood:** c",
            [("Sentence 1: a\nSentence 2: b", "**Mood:** c")],
        ),
        # Marks that are the text's own stay.
        (
            "Example 1\n- Ann: **a**\n- Bob: b\nOutput: **c**\n*\n**\nExample 2\nd\nOutput: e",
            [("- Ann: **a**\n- Bob: b", "**c**\n*\n**"), ("d", "e")],
        ),
        ("Text: an input: a\nno output: b\nOutput: c", [("Text: an input: a\nno output: b", "c")]),
        # One line.
        ("Example 1 Input: a Output: b Example 2 Input: c Output: d", [("a", "b"), ("c", "d")]),
        ("Output: b", [("", "b")]),
        ("I do not know.", []),
        ("", []),
    ],
)
def test_inputs_and_outputs(answer: str, instances: list[tuple[str, str]]) -> None:
    assert examples.input_first(answer) == [Instance(*each) for each in instances]


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
        # A cue within a line of several is text.
        ("Class label: a\nText: The class label: b.", [("Text: The class label: b.", "a")]),
        # On a line of its own.
        ("Class label:\nhappy\nText: a", [("Text: a", "happy")]),
        ("Class label:\nText: a", [("Text: a", "")]),
        # A chat model's Markdown and headings.
        (
            "**Class label:** happy\n**Text:** a\n\n**Class label:** **sad**\n**Text:** b",
            [("Text: a", "happy"), ("Text: b", "sad")],
        ),
        ("**Class label**: happy\n**Input**: a", [("a", "happy")]),
        ("**Class Label: happy**\n**Text:** a", [("Text: a", "happy")]),
        (
            "- Class label: happy\n- Text: a\n- Class label: sad\n- Text: b",
            [("Text: a", "happy"), ("Text: b", "sad")],
        ),
        (
            "### Example 1\nClass label: happy\nText: a\n\n---\n### Example 2\n\nClass label: sad",
            [("Text: a", "happy"), ("", "sad")],
        ),
        (
            "1. Class label: happy\nText: a\n\n2. Class label: sad\nText: b\n"
            "**3.**\nClass label: c",
            [("Text: a", "happy"), ("Text: b", "sad"), ("", "c")],
        ),
        ("Class label: ***\nText: - a: **b**", [("Text: - a: **b**", "***")]),
    ],
)
def test_labels_and_inputs(answer: str, instances: list[tuple[str, str]]) -> None:
    assert examples.output_first(answer) == [Instance(*each) for each in instances]


@pytest.mark.parametrize("stage", ["input_first", "output_first"])
def test_what_prompts_show_is_found_again(stage: str) -> None:
    tasks = {task.instruction: task for task in read_seeds()}
    for seed in range(5):
        _, *blocks = getattr(FewShot([*tasks.values()], seed), stage)("X").split("\n\nTask: ")
        assert len(blocks) > 8
        for instruction, _, answer in (block.partition("\n") for block in blocks[:-1]):
            assert getattr(examples, stage)(answer) == list(tasks[instruction].instances)


TASKS = ["Name a river in France.", "Explain how bread rises.", "Sing a song."]
FORMS = [
    "Task {}: ", "{}: ", "({}) ", "{} - ", "{} – ", "{}\\. ", "{}) ", "[{}] ", "**{}.** ",
    "**{}**. ", "Task {}. ", "**Task {}:** ", "### Task {}: ", "### Task {}\n",
    "**Task {}**\n\n", "Task #{}: ", "#{}. ", "{}．", "{}、", "（{}）", "{}\ufe0f\u20e3 ", "- {}. ",
    "> {}. ", "{}\n", "Q{}: ", "{}. Task: ", "Instruction {}: ", "{}.) ", "{}.- ",
]  # fmt: skip
BULLETS = ["- ", "* ", "• ", "+ ", "  - "]
AROUND = [
    ("", ""),
    ("Sure, here are three tasks:\n\n", "\n\nLet me know if you need more!"),
    ("", "\nI hope this helps!"),
    ("```\n", "\n```"),
    ("Here are some:\n\n```markdown\n", "\n```\n\nWould you like more?"),
    ("## New tasks\n", "\n\n---\nEnjoy!"),
]


@pytest.mark.parametrize(("before", "after"), AROUND)
@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_numbered_list(form: str, before: str, after: str) -> None:
    listed = "\n".join(f"{form.format(number)}{task}" for number, task in enumerate(TASKS, 9))
    assert lists.instructions(f"{before}{listed}{after}", 9).items == TASKS


@pytest.mark.parametrize("form", FORMS)
def test_a_list_goes_on_after_the_number_of_the_prompt(form: str) -> None:
    listed = "\n".join(f"{form.format(number)}{task}" for number, task in enumerate(TASKS[1:], 10))
    assert lists.instructions(f" {TASKS[0]}\n{listed}", 9).items == TASKS


@pytest.mark.parametrize("first", ["１", "９"])
def test_full_width_numbers(first: str) -> None:
    assert lists.instructions(f"{first}．歌う。", 9).items == ["歌う。"]


@pytest.mark.parametrize(("before", "after"), AROUND)
@pytest.mark.parametrize("bullet", BULLETS)
def test_bullets_part_a_list_without_numbers(bullet: str, before: str, after: str) -> None:
    listed = "\n".join(f"{bullet}{task}" for task in TASKS)
    assert lists.instructions(f"{before}{listed}{after}", 9).items == TASKS


@pytest.mark.parametrize(("before", "after"), [*AROUND[:2], ("Sure!\n```json\n", "\n```\nEnjoy!")])
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize(
    "document",
    [
        TASKS,
        [{"instruction": task} for task in TASKS],
        [{"id": number, "Task": task} for number, task in enumerate(TASKS)],
        {"tasks": TASKS},
        dict(zip("123", TASKS, strict=True)),
    ],
)
def test_lists_in_json(document: object, indent: int | None, before: str, after: str) -> None:
    text = f"{before}{json.dumps(document, indent=indent)}{after}"
    assert lists.instructions(text, 9).items == TASKS


def test_json_that_was_cut_off_has_its_whole_items() -> None:
    assert lists.instructions(json.dumps([*TASKS, "Dance"], indent=1)[:-6], 9).items == TASKS


@pytest.mark.parametrize(
    ("answer", "left_out"),
    [
        ("Sure, here are more:\n\n9. Sort.\n\n10. Sing.\n\nEnjoy!", {"remark": 2}),
        ("9. Sort.\n## Music\n10. Sing.", {"heading": 1}),
        (
            "9. Sort.\n\n**Music**\n\n10. Sing. Let me know if you want more.",
            {"heading": 1, "remark": 1},
        ),
        ("- Sort.\n- Sing.\nFeel free to ask.", {"remark": 1}),
    ],
)
def test_what_is_no_item_is_left_out_by_name(answer: str, left_out: dict[str, int]) -> None:
    found = lists.instructions(answer, 9)
    assert found.items == ["Sort.", "Sing."]
    assert found.left_out == left_out


@pytest.mark.parametrize(
    ("answer", "meaning"),
    [
        ("Is it classification? No", False),
        ("**Answer:** Yes", True),
        ("The answer is no.", False),
        ("1. No", False),
        ('{"answer": "Yes"}', True),
        ("Yesterday", None),
    ],
)
def test_yes_or_no_after_the_question(answer: str, meaning: bool | None) -> None:
    assert answers.yes_or_no(answer) is meaning


@pytest.mark.parametrize(
    "answer",
    [
        "Example #1\nText: a\nOutput: b\nExample #2\nText: c\nOutput: d",
        "**Example 1**\nText: a\nAnswer: b\n\nExample 2:\nText: c\nAnswer: d\n\nHope this helps!",
        "Sure!\n\n```\nExample 1:\nText: a\nOutput: b\nExample 2:\nText: c\nOutput: d\n```\nBye",
        "Example 1\nText: a\nOutput: b\nExample 2\nText: c\nOutput: d\nFeel free to ask.",
        json.dumps([{"text": "a", "output": "b"}, {"text": "c", "output": "d"}]),
    ],
)
def test_examples_as_chat_models_write_them(answer: str) -> None:
    wanted = [Instance("Text: a", "b"), Instance("Text: c", "d")]
    assert examples.input_first(answer) == wanted
    assert examples.output_first(answer) == wanted


@pytest.mark.parametrize(
    "answer",
    [
        "**Class label:** b\n**Text:** a\n\n**Class label:** d\nText: c\n\nLet me know if I go on.",
        "Text: a\nClass label: b\n\nText: c\nClass label: d",
        "Label: b\nText: a\nLabel: d\nText: c",
        "Sure! Here:\n\n```\nClass label 1: b\nText: a\nClass label 2: d\nText: c\n```",
    ],
)
def test_labels_as_chat_models_write_them(answer: str) -> None:
    assert examples.output_first(answer) == [Instance("Text: a", "b"), Instance("Text: c", "d")]


PIECES = st.sampled_from(
    ["9.", "10.", "\n10. ", "\n- ", "•", "Task 9:", "**", "```", "\n\n", "[", '["', '"]', "{",
     "Sure!", "Example 1", "Output:", "Input:", "Class label:", "\nLet me know if", "９．", "#",
     "<li>", " "]
)  # fmt: skip
ANY_TEXT = st.lists(PIECES | st.text(max_size=6), max_size=25).map("".join)


@settings(max_examples=300, deadline=None, database=None)
@given(ANY_TEXT)
def test_any_text_is_taken_apart(text: str) -> None:
    found = lists.instructions(text, 9)
    for item in found.items:
        assert item == " ".join(item.split())
    assert all(count > 0 for count in found.left_out.values())
    for instance in [*examples.input_first(text), *examples.output_first(text)]:
        assert isinstance(instance.input + instance.output, str)
    answers.yes_or_no(text)


WORDS = st.lists(
    st.sampled_from(["name", "a", "river", "in", "1990", "sing:", "Task", "of"]), min_size=1
)


@settings(max_examples=200, deadline=None, database=None)
@given(st.lists(WORDS.map(" ".join), min_size=2, max_size=8), st.sampled_from(FORMS[:20]))
def test_no_instruction_has_the_number_of_the_next(items: list[str], form: str) -> None:
    listed = "\n".join(f"{form.format(number)}{item}" for number, item in enumerate(items, 9))
    found = lists.instructions(listed, 9).items
    assert len(found) == len(items)
    for number, item in enumerate(found, 10):
        assert not re.search(rf"(?:^|\s){number}[.):]\s", item)


@pytest.mark.parametrize(
    "piece",
    [
        "9. ", "Output: ", "\n- ", "**", "```\n", '["', "<think>", "Task 9: ", "\n\n", " ",
        "| a |\n",
        "Text: a\nOutput: b\n", "Example 1\n", "<task>", "(1)\n",
    ],
)  # fmt: skip
def test_a_long_answer_takes_no_long_time(piece: str) -> None:
    text, begun = piece * 5_000, time.process_time()
    lists.instructions(text, 9)
    examples.input_first(text)
    examples.output_first(text)
    assert time.process_time() - begun < 10
