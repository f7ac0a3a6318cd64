"""Templates: placeholders, values of any kind, and messages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tk_instruct.data.templates import Template, options_block
from tk_instruct.errors import UserError

TEXTS = st.text(max_size=20)


def test_placeholders_are_filled_and_everything_else_stands() -> None:
    template = Template("t", "100 % of {a}, {} {not a name} {a}{b}", "{b}%s")
    assert template.placeholders == {"a", "b"}
    inputs, targets = template.render({"a": "{b} %(b)s", "b": "%d"}, "1")
    assert inputs == "100 % of {b} %(b)s, {} {not a name} {b} %(b)s%d"
    assert targets == "%d%s"


@given(TEXTS, TEXTS)
def test_values_come_out_as_they_are(first: str, second: str) -> None:
    template = Template("t", "<{a}|{b}>", "{a}")
    assert template.render({"a": first, "b": second}, "1") == (f"<{first}|{second}>", first)


def test_a_placeholder_without_a_value_names_template_and_example() -> None:
    template = Template("template 3 of rte", "{premise} {hypotesis}", "{answer}")
    with pytest.raises(UserError) as caught:
        template.render({"premise": "", "hypothesis": "x", "answer": "y"}, "rte-train-7")
    assert str(caught.value) == (
        "template 3 of rte: {hypotesis} has no value in example rte-train-7, which has premise, "
        "hypothesis, answer; correct the placeholder"
    )


def test_options_are_a_block_at_the_end_and_can_be_left_out() -> None:
    template = Template("t", "Is {a} so?\n\n{options_}", "{answer}")
    values = {"a": "it", "answer": "yes", "options_": options_block(["yes", "no"])}
    assert template.shows_options
    assert template.render(values, "1")[0] == "Is it so?\n\nOPTIONS:\n- yes\n- no"
    bare = template.without_options
    assert not bare.shows_options
    assert bare.render(values, "1") == ("Is it so?", "yes")
    assert template.asks_for("answer")
    assert not template.asks_for("a")
    assert not Template("t", "", "{answer}.").asks_for("answer")
