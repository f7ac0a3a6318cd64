"""What a model's answer says: its text without reasoning, up to the published stop sequences.

responses.jsonl keeps answers as they came, so that they can be read again when these rules change.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tk_instruct.completions import before_stop
from tk_instruct.completions.reasoning import without_reasoning
from tk_instruct.self_instruct.markup import INTERJECTION


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
