"""Chats of one exchange are rows of {instruction, input, output}, and back."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tk_instruct.convert_tasks.messages import to_instruction, to_messages
from tk_instruct.convert_tasks.rows import Row
from tk_instruct.errors import UserError

TEXTS = st.text().filter(str.strip)
OWN = ("instruction", "input", "output", "messages")
OTHERS = st.dictionaries(
    st.text().filter(lambda name: name not in OWN),
    st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists),
)


@given(TEXTS, st.just("") | TEXTS, TEXTS, OTHERS)
def test_instructions_to_messages_and_back(
    instruction: str, input_: str, output: str, others: dict[str, Any]
) -> None:
    row = {"instruction": instruction, "input": input_, "output": output, **others}
    assert to_instruction(Row("", to_messages(Row("", row)))) == row


@given(st.none() | TEXTS, TEXTS, TEXTS, OTHERS)
def test_messages_to_instructions_and_back(
    system: str | None, user: str, assistant: str, others: dict[str, Any]
) -> None:
    turns = {"system": system, "user": user, "assistant": assistant}
    messages = [{"role": role, "content": text} for role, text in turns.items() if text is not None]
    row = {"messages": messages, **others}
    assert to_messages(Row("", to_instruction(Row("", row)))) == row


@pytest.mark.parametrize("blank", [None, "", " \n", float("nan")])
def test_an_input_of_blanks_is_none(blank: Any) -> None:
    made = to_messages(Row("", {"instruction": "Add.", "input": blank, "output": "3"}))
    assert to_instruction(Row("", made)) == {"instruction": "Add.", "input": "", "output": "3"}


def test_an_input_makes_the_instruction_a_system_turn() -> None:
    row = {"instruction": "Add.", "input": "1 2", "output": 3, "id": 7}
    assert to_messages(Row("", row)) == {
        "messages": [
            {"role": "system", "content": "Add."},
            {"role": "user", "content": "1 2"},
            {"role": "assistant", "content": "3"},
        ],
        "id": 7,
    }


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        (None, "messages is null but must be a list"),
        ("a", 'messages is "a" but must be a list'),
        (["a"], r'messages\[0\] is "a" but must be an object with role and content'),
        ([{"role": "user"}], r"messages\[0\] is .* but must be an object"),
        (
            [{"role": "assistant", "content": None, "tool_calls": [{"id": 1}]}],
            "has tool_calls, and an output is a text alone",
        ),
        ([{"role": "assistant", "content": "a", "weight": 0}], "has the weight 0, so it is not"),
        (
            [{"role": "user", "content": [{"type": "text", "text": "a"}] * 2}],
            r"messages\[0\].content is .* must be a text",
        ),
        ([{"role": ["user"], "content": "a"}], r'the roles are \[\["user"\]\]'),
        ([{"role": "user", "content": ["a"]}], r"messages\[0\].content is .* must be a text"),
        ([{"role": "user", "content": " "}], r"messages\[0\].content is empty"),
        ([{"role": "user", "content": "a"}], r'the roles are \["user"\], and must be'),
        (
            [{"role": role, "content": "a"} for role in ("user", "assistant") * 2],
            "must be those of one exchange",
        ),
        ([{"role": role, "content": "a"} for role in ("user", "tool")], "user and assistant"),
        ([], "the roles are"),
    ],
)
def test_other_chats_are_refused(messages: Any, message: str) -> None:
    with pytest.raises(UserError, match=f"^a.jsonl:3: .*{message}"):
        to_instruction(Row("a.jsonl:3", {"messages": messages}))


def test_chats_of_other_programs() -> None:
    says = {"instruction": "Add.", "input": "1 2", "output": "3"}
    shared = [
        {"from": "system", "value": "Add."},
        {"from": "human", "value": "1 2"},
        {"from": "gpt", "value": "3"},
    ]
    assert to_instruction(Row("", {"conversations": shared, "id": "a"})) == {**says, "id": "a"}
    tuned = [
        {"role": "developer", "content": "Add.", "name": "b", "weight": None},
        {"role": "user", "content": [{"type": "text", "text": "1 2"}], "tool_calls": None},
        {"role": "assistant", "content": "3", "weight": 1, "tool_calls": []},
    ]
    assert to_instruction(Row("", {"messages": tuned})) == says


def test_instructions_with_context_and_response() -> None:
    row = {"instruction": "Add.", "context": "1 2", "response": "3", "category": "sums"}
    assert to_instruction(Row("", to_messages(Row("", row)))) == {
        "instruction": "Add.",
        "input": "1 2",
        "output": "3",
        "category": "sums",
    }


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"output": "a"}, "instruction is empty"),
        ({"instruction": "a", "output": " "}, "output is empty"),
        ({"instruction": "a", "input": ["b"], "output": "b"}, "input is .* must be a text"),
        ({"instruction": "a", "output": ["b", "c"]}, "the assistant says one text"),
        ({"instruction": "a", "output": "b", "messages": 1}, "one would replace the other"),
    ],
)
def test_other_rows_are_refused(row: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=f"^a.jsonl:3: .*{message}"):
        to_messages(Row("a.jsonl:3", row))


def test_fields_that_would_be_replaced_are_refused() -> None:
    turns = [{"role": role, "content": "a"} for role in ("user", "assistant")]
    with pytest.raises(UserError, match="has input and messages, and one would replace"):
        to_instruction(Row("a.jsonl:3", {"messages": turns, "input": "b"}))
