"""The answer of a model without the reasoning that it wrote before, as servers send it along."""

import re

_NAME = (
    r"(?:thinking|think|thoughts?|reasoning|reason|reflection|analysis|scratch_?pad|cot|"
    r"inner_monologue|antthinking)"
)
# <think>, <seed:think>, [THINK], ◁think▷, <|begin_of_thought|>, <|START_THINKING|>, <details …>
_LEFT, _RIGHT = r"(?:<[|｜]?|\[(?=/?(?:THINK|REASONING))|◁)", r"(?:[|｜]?>|\]|▷)"
_OPENING = rf"""
    {_LEFT}(?:[\w-]+:)?{_NAME}(?:\s[^<>\n]*)?{_RIGHT}
    | {_LEFT}(?:begin|start)_(?:of_)?{_NAME}{_RIGHT}
    | {_LEFT}{_NAME}_start{_RIGHT}
    | <\|inner_prefix\|>
    | <unused94>
    | <details\s[^<>\n]*reasoning[^<>\n]*>
    | \AHere\ is\ my\ thought\ process:
    | \AThinking\.\.\.[ \t]*\n
    | (?:<\|start\|>assistant)?<\|channel\|>(?:analysis|commentary)\b
    | <\|channel>(?:thought|analysis)\b
"""
_CLOSING = rf"""
    {_LEFT}/(?:[\w-]+:)?{_NAME}{_RIGHT}
    | {_LEFT}end_(?:of_)?{_NAME}{_RIGHT}
    | {_LEFT}{_NAME}_end{_RIGHT}
    | <\|(?:begin_of_solution|START_RESPONSE|inner_suffix)\|>
    | <unused95>
    | Here\ is\ my\ response:
    | \.\.\.done\ thinking\.
    | <\|channel\|>final\b[^\n]{{0,60}}?<\|message\|>
    | <channel\|>
"""
# `</details>` also ends other things, so it counts only after its own opening mark.
_MARK = re.compile(
    rf"(?ix)(?P<opening>{_OPENING})|(?P<closing>{_CLOSING})|(?P<closing_details></details>)"
)
_BEGINS_LINE = re.compile(r"(?:\A|[\n>\]])[ \t]*\Z")
# An answer of gpt-oss whose marks a server has removed.
_BARE_HARMONY = re.compile(r"\Aanalysis(?=[A-Z\s]).*?assistantfinal|\Aanalysis(?=[A-Z])", re.DOTALL)
_END_OF_TURN = re.compile(
    r"<\|(?:im_end|eot_id|eom_id|end|return|endoftext|end_of_text|end_of_solution|END_RESPONSE"
    r"|END_OF_TURN_TOKEN)\|>|<end_of_turn>|</s>|<eos>"
)
_WRAPPED = re.compile(r"\A\s*<(answer|response|solution)>(.*?)(?:</\1>.*)?\Z", re.DOTALL)


def without_reasoning(text: str) -> str | None:
    """The answer after the model's reasoning; None where the reasoning does not end.

    Reasoning may begin without a mark, because the server's template has set the mark; then all
    text before the closing mark is reasoning. An opening mark within a line that no mark closes is
    part of the answer.
    """
    kept: list[str] = []
    position, opened_by = 0, ""
    if bare := _BARE_HARMONY.match(text):
        if not bare[0].endswith("assistantfinal"):
            return None
        position = bare.end()
    marks = list(_MARK.finditer(text, position))
    last_closing = max((mark.start() for mark in marks if not mark["opening"]), default=-1)
    for mark in marks:
        if mark["opening"]:
            before = text[max(0, mark.start() - 20) : mark.start()]
            if mark.start() > last_closing and not _BEGINS_LINE.search(before):
                continue
            if not opened_by:
                kept.append(text[position : mark.start()])
            opened_by = opened_by or mark["opening"]
        elif mark["closing"]:
            if not opened_by:
                kept.clear()
            position, opened_by = mark.end(), ""
        elif "<details" in opened_by:
            position, opened_by = mark.end(), ""
    if opened_by:
        return None
    said = _END_OF_TURN.split("".join([*kept, text[position:]]), maxsplit=1)[0]
    if kept or position:
        said = _WRAPPED.sub(r"\2", said)
    return said
