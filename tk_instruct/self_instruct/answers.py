"""What a model says in an answer: without its reasoning, up to where the published stops end it.

Answers are kept as they came, so that what is read out of them can be read again.
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
# `</details>` ends much else, so it counts only after its own opening.
_MARK = re.compile(
    rf"(?ix)(?P<opening>{_OPENING})|(?P<closing>{_CLOSING})|(?P<closing_details></details>)"
)
_BEGINS_LINE = re.compile(r"(?:\A|[\n>\]])[ \t]*\Z")
# gpt-oss where its marks were taken out of the text.
_BARE_HARMONY = re.compile(r"\Aanalysis(?=[A-Z\s]).*?assistantfinal|\Aanalysis(?=[A-Z])", re.DOTALL)
_END_OF_TURN = re.compile(
    r"<\|(?:im_end|eot_id|eom_id|end|return|endoftext|end_of_text|end_of_solution|END_RESPONSE"
    r"|END_OF_TURN_TOKEN)\|>|<end_of_turn>|</s>|<eos>"
)
_WRAPPED = re.compile(r"\A\s*<(answer|response|solution)>(.*?)(?:</\1>.*)?\Z", re.DOTALL)


def without_reasoning(text: str) -> str | None:
    """What is said after all notes to itself; None where a model has not come to the end of them.

    Notes may begin without a mark, because a server's template has set it; then all before the
    mark of their end is left out. Within a line a mark that nothing closes is part of the text.
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
    """text is None where there is no answer: reasoning alone. is_cut_off: its end is missing."""

    text: str | None
    is_cut_off: bool


def answer(response: Mapping[str, Any], published_stop: Sequence[str]) -> Answer:
    """What a record of responses.jsonl says.

    It is cut at its request's stop sequences, published_stop where none were sent, for servers
    that cannot. Those of white space alone are left to the parser: a chat begins with a line of its
    own. A task that is repeated at the beginning does not end an answer.
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
    """What an answer begins with, perhaps after the question; None if neither."""
    word = _VERDICT.match(text) or _VERDICT.match(text.partition(_QUESTION)[2])
    return word[1].lower() == "yes" if word else None


_QUESTION = "Is it classification?"
_VERDICT = re.compile(
    rf"(?i)[\W\d_]*(?:{INTERJECTION}[\W_]+)?"
    r"(?:[^\n:：?]{0,60}[:：][\W_]*|.{0,20}answer is\W+)?"
    r"(?:boxed\W+)?(?:text\W+)?(yes|no(?:t a classification)?)\b"
)
