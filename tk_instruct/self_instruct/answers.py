"""What a model's answer says: its text without reasoning, up to the published stop sequences.

responses.jsonl keeps answers as they came, so that they can be read again when these rules change.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tk_instruct.self_instruct.clients import before_stop
from tk_instruct.self_instruct.markup import INTERJECTION

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


@dataclass(frozen=True)
class Answer:
    """text is None where the model only reasoned. is_cut_off: the end of the answer is missing."""

    text: str | None
    is_cut_off: bool


def answer(response: Mapping[str, Any], published_stop: Sequence[str]) -> Answer:
    """The answer in a record of responses.jsonl.

    It is cut at the stop sequences of its request or, if the request had none, at published_stop.
    Stop sequences of white space alone do not cut it, because a chat model begins with a line of
    its own; the parser deals with them. `Task:` on the first line repeats the task and does not
    cut it either.
    """
    text = without_reasoning(response["text"])
    if text is None:
        return Answer(None, True)
    stop = response["parameters"].get("stop")
    text = re.sub(r"\A\s*(?:\*\*)?Task:.*\n(?=\s*\S)", "", text)
    ends = [end for end in (published_stop if stop is None else stop) if end.strip()]
    kept = before_stop(text, ends)
    return Answer(kept, response["finish_reason"] == "length" and kept == text)


def yes_or_no(text: str) -> bool | None:
    """Whether an answer begins with yes or no, perhaps after the question; None if neither."""
    word = _VERDICT.match(text) or _VERDICT.match(text.partition(_QUESTION)[2])
    return word[1].lower() == "yes" if word else None


_QUESTION = "Is it classification?"
_VERDICT = re.compile(
    rf"(?i)[\W\d_]*(?:{INTERJECTION}[\W_]+)?"
    r"(?:[^\n:：?]{0,60}[:：][\W_]*|.{0,20}answer is\W+)?"
    r"(?:boxed\W+)?(?:text\W+)?(yes|no(?:t a classification)?)\b"
)
