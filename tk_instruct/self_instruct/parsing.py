"""A model's answers taken apart: instructions out of a list, instances out of examples.

Lines are what parts an answer; where it has but one, as the text of a vocabulary without a newline
(T5's), the numbers that are due next do.
"""

import re

from tk_instruct.self_instruct.prompts import CLASS_LABEL
from tk_instruct.self_instruct.seeds import Instance

_MARKS = r"[ \t*_#]*"  # a chat model likes Markdown
_AT_LINE = rf"(?m)^{_MARKS}"


def instructions(text: str, first: int) -> list[str]:
    """The items of a list that goes on after the number first, white space collapsed."""
    text = re.sub(rf"^\s*{first}\s?[.)]", "", text)  # a chat model repeats the number
    lines = re.split(r"\n\s*\d+\s?[.)]\s", text)
    if len(lines) == 1:
        lines = _split_at_next(text, r"(?<=\s){}\s?[.)]\s", first + 1)
    return [" ".join(item.split()) for item in lines]


def yes_or_no(text: str) -> bool | None:
    """None for an answer that is neither."""
    word = re.match(r"\W*(yes|no)\b", text, re.IGNORECASE)
    return word[1].lower() == "yes" if word else None


def input_first(text: str) -> list[Instance]:
    """`Example 1⏎Field: …⏎Output: …⏎Example 2…`, or an output alone; none without such a cue."""
    text = text.strip()
    heading = r"Example\s?{}\s*[.:]?[*_]*(?=\s|$)"
    if "\n" in text:
        parts = re.split(rf"{_AT_LINE}{heading.format(r'[0-9]+')}", text)
    else:
        parts = _split_at_next(text, rf"(?:^|(?<=\s)){heading}", 1)
    before, *examples = parts
    if not examples or _output_cue(before).search(before):
        examples.insert(0, before)
    if len(examples) == 1 and not _output_cue(examples[0]).search(examples[0]):
        return []
    return [_input_and_output(example) for example in examples if example.strip()]


def output_first(text: str) -> list[Instance]:
    """`Class label: …⏎Field: …⏎Class label: …`; what comes before the first label is left out."""
    found = []
    for part in text.split(CLASS_LABEL)[1:]:
        line_end = r"\n" if "\n" in text.strip() else r"\s(?=\w+:)"
        label, *fields = re.split(line_end, part.strip(" \t"), maxsplit=1)
        found.append(Instance(_without_input_cue("".join(fields)), label.strip()))
    return found


def _split_at_next(text: str, pattern: str, number: int) -> list[str]:
    """Parts of a line before the number, between it and the one after, and so on."""
    parts = []
    while match := re.search(pattern.format(number), text):
        parts.append(text[: match.start()])
        text, number = text[match.end() :], number + 1
    return [*parts, text]


def _output_cue(text: str) -> re.Pattern[str]:
    at = _AT_LINE if "\n" in text.strip() else r"(?:^|(?<=\s))"
    return re.compile(rf"{at}Output\s*[0-9]*\s*:[*_]*")


def _input_and_output(example: str) -> Instance:
    """Up to the first Output:, and from there to the next one or the next Input:."""
    parts = _output_cue(example).split(example)
    if len(parts) == 1:
        return Instance("", example.strip())
    output = re.split(rf"{_AT_LINE}Input\s*[0-9]*\s*:", parts[1])[0]
    return Instance(_without_input_cue(parts[0]), output.strip())


def _without_input_cue(text: str) -> str:
    return re.sub(rf"^\s*{_MARKS}Input\s*[0-9]*\s*:[*_]*", "", text).strip()
