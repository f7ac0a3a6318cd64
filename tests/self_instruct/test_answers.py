"""What is read out of a model's answers: never its notes to itself."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tk_instruct.completions.reasoning import without_reasoning
from tk_instruct.self_instruct.answers import Answer, answer

NOTES = "The list needs new tasks:\n1. one about rivers\n2. one about hills\n"
SAID = "\n\n9. Name a river.\n10. Sing."
PAIRS = [
    ("<think>", "</think>"),
    ("<think>\n", "</think>\n\n"),
    ("<THINK>", "</THINK>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("<seed:think>", "</seed:think>"),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
    ("<|begin_of_thought|>", "<|end_of_thought|>\n<|begin_of_solution|>"),
    ("<|START_THINKING|>", "<|END_THINKING|><|START_RESPONSE|>"),
    ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),
    (
        "<|channel|>analysis<|message|>",
        "<|end|><|start|>assistant<|channel|>commentary<|message|>So:<|end|>"
        "<|start|>assistant<|channel|>final <|constrain|>json<|message|>",
    ),
    ("<|channel>thought\n", "<channel|>"),
    ("<unused94>thought\n", "<unused95>"),
    ("Here is my thought process:\n", "Here is my response:"),
    ("Thinking...\n", "...done thinking."),
    ('<details type="reasoning" done="true">\n', "</details>"),
    ("analysis", "assistantfinal"),
]


@pytest.mark.parametrize(("opening", "closing"), PAIRS)
def test_notes_between_marks_are_left_out(opening: str, closing: str) -> None:
    said = without_reasoning(f"{opening}{NOTES}{closing}{SAID}")
    assert said is not None
    assert said.strip() == SAID.strip()


@pytest.mark.parametrize(("opening", "closing"), PAIRS)
def test_notes_that_do_not_end_are_no_answer(opening: str, closing: str) -> None:
    assert without_reasoning(f"{opening}{NOTES}") is None


@pytest.mark.parametrize(("opening", "closing"), PAIRS[:12])
def test_notes_may_begin_without_a_mark(opening: str, closing: str) -> None:
    said = without_reasoning(f"{NOTES}{closing}{SAID}")
    assert said is not None
    assert said.strip() == SAID.strip()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<think>a</think>b<think>c</think>d", "bd"),
        ("<think>I could say <think> twice.</think>b", "b"),
        ("<think></think>b", "b"),
        ("<think>a</think>", ""),
        ("<think>a</think>\n<answer>b</answer>", "b"),
        ("<|channel|>analysis<|message|>a<|channel|>final<|message|>b<|return|>", "b"),
        ("<think>a</think>b<|im_end|>\n<|im_start|>", "b"),
        ("b</s>", "b"),
        # What is about marks stays.
        ("What does the tag <think> mean?", "What does the tag <think> mean?"),
        ("<details>\na\n</details>", "<details>\na\n</details>"),
        ("analysis of a poem", "analysis of a poem"),
        ("[Reflection]\nb", "[Reflection]\nb"),
        ("", ""),
    ],
)
def test_what_is_said(text: str, said: str) -> None:
    assert without_reasoning(text) == said


def record(text: str, finish_reason: str = "stop", stop: Any = None) -> dict[str, Any]:
    return {"text": text, "finish_reason": finish_reason, "parameters": {"stop": stop}}


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (record("a\nTask: b", "length"), Answer("a\n", False)),  # the cut-off part is not used
        (record("a\nTask: b", "length", ["Q"]), Answer("a\nTask: b", True)),
        (record("a Q b", stop=["\n\n", "Q"]), Answer("a ", False)),
        (record("<think>Task: x</think>a\n\nb"), Answer("a\n\nb", False)),
        (record("Task: as asked\nOutput: a"), Answer("Output: a", False)),
        (record("<think>\n", "length"), Answer(None, True)),
    ],
)
def test_an_answer_ends_where_the_published_stops_end_it(
    given: dict[str, Any], read: Answer
) -> None:
    assert answer(given, ("\n\n", "Task:")) == read


MARKS = sorted({mark for pair in PAIRS for mark in pair})


@settings(max_examples=300, deadline=None, database=None)
@given(st.lists(st.sampled_from(MARKS) | st.text(max_size=5), max_size=12).map("".join))
def test_any_text_is_read(text: str) -> None:
    said = without_reasoning(text)
    if said is not None and "</think>" in text:
        assert "</think>" not in said
