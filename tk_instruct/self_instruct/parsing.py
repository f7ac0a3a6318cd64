"""A model's answers taken apart: instructions out of a list, instances out of examples.

Cues (`9.`, `Example 1`, `Output:`) begin lines, and may be a chat model's Markdown (`**9. …**`,
`### Example 1`, `- **Output**: …`). In an answer of one line, as the text of a vocabulary without a
newline is (T5's), they count within it too: of numbers those that are due next.
"""

import re

from tk_instruct.self_instruct.prompts import CLASS_LABEL, FIELD_NAME
from tk_instruct.self_instruct.seeds import Instance

_MARKS = r"[ \t>#•*_-]*+"
_COLON = r"[*_]*[ \t]*[:：][*_]*"
_NUMBERED = r"(?:Example[ \t]?[0-9]+|[0-9]+[.)])[*_]*[.:：)]?[*_]*"
_EXAMPLE = r"Example[ \t]?{}[ \t]*[*_]*[.:：)]?[*_]*[.:：]?(?=\s|$)"

_BOLD = re.compile(r"^(\*+)([^*].*?)\1")
_ITEM = re.compile(r"(?m)^[ \t>#•-]*(?:\*[ \t])?\**([0-9]{1,9})\s?[.)、．]\**(?:(\s)|(?![0-9]))")
_NEXT_ITEM = r"(?:(?<=\s){0}\s?[.)]\s|(?<=[\s。！？]){0}[、．])"
_NEXT_EXAMPLE = rf"(?:^|(?<=\s)){_EXAMPLE}"
_EXAMPLE_LINE = re.compile(rf"(?im)^{_MARKS}(?:{_EXAMPLE.format('[0-9]+')}|Example[*_]*[ \t]*$)")
_HEADINGS = re.compile(rf"(?i)(?:\n[ \t]*(?:-{{3,}}|{_MARKS}{_NUMBERED}|)[ \t]*)+\Z")
_FIELD = re.compile(rf"(?m)^({_MARKS}({FIELD_NAME}){_COLON})(.*)")


def instructions(text: str, first: int) -> list[str]:
    """The items of a list that goes on after the number first, white space collapsed.

    What a chat model says before it repeats that number, or begins anew at 1, is no item, nor is
    what it says after a blank line, at which completions stop.
    """
    cues: list[re.Match[str]] = []
    due = {first, first + 1}
    for match in _ITEM.finditer(text):
        number = int(match[1])
        if match[2] or number in due:  # white space is often missing in Chinese
            cues.append(match)
            due.add(number + 1)
    numbers = [int(match[1]) for match in cues]
    items = _between(text, cues)
    anew = numbers == [*range(1, len(cues) + 1)] and items[0].rstrip().endswith((":", "："))
    if cues and (numbers[0] == first or anew):
        del items[0]
    if len(items) == 1:
        items = _split_at_next(items[0], _NEXT_ITEM, first + 1)
    items = [re.split(r"\n\s*\n", item.strip())[0] for item in items]
    return [_BOLD.sub(r"\2", " ".join(item.split())) for item in items]


def yes_or_no(text: str) -> bool | None:
    """None for an answer that is neither."""
    word = re.match(r"\W*(yes|no)\b", text, re.IGNORECASE)
    return word[1].lower() == "yes" if word else None


def input_first(text: str) -> list[Instance]:
    """`Example 1⏎Field: …⏎Output: …⏎Example 2…`, or an output alone; none without such a cue."""
    text = text.strip()
    if "\n" in text:
        parts = _between(text, list(_EXAMPLE_LINE.finditer(text)))
        parts = _without_headings(parts)
    else:
        parts = _split_at_next(text, _NEXT_EXAMPLE, 1)
    before, *examples = parts
    if not examples or _cue("Output", before).search(before):
        examples.insert(0, before)
    if len(examples) == 1 and not _cue("Output", examples[0]).search(examples[0]):
        return []
    return [_input_and_output(example) for example in examples if example.strip()]


def output_first(text: str) -> list[Instance]:
    """`Class label: …⏎Field: …⏎Class label: …`; what comes before the first label is left out."""
    cues = list(_cue(CLASS_LABEL.removesuffix(":"), text).finditer(text))
    line_end = r"\n" if "\n" in text.strip() else r"\s(?=\w+:)"
    _, *parts = _between(text, cues)
    parts = _without_headings(parts)
    found = []
    for cue, part in zip(cues, parts, strict=True):
        part = part.strip(" \t")
        if not _FIELD.match(part.lstrip()):
            part = part.lstrip()  # the label is on a line of its own
        label, *fields = re.split(line_end, part, maxsplit=1)
        label = _BOLD.sub(r"\2", label.strip())
        found.append(Instance(_input("".join(fields), cue), label))
    return found


def _cue(name: str, text: str) -> re.Pattern[str]:
    """`Name:`, `Name 1:`: at the beginning of lines or, where there is but one, of words."""
    named = rf"{name}[ \t]*[0-9]*{_COLON}"
    cue = rf"(?m)^{_MARKS}(?:{_NUMBERED}[ \t]+{_MARKS})?(?i:{named})"
    if "\n" not in text.strip():
        cue += rf"|(?<=\s)(?:{_NUMBERED}[ \t]+)?[*_]*{named}"
    return re.compile(cue)


def _between(text: str, cues: list[re.Match[str]]) -> list[str]:
    """What comes before, between and after cues."""
    ends = [*(cue.start() for cue in cues), len(text)]
    after = zip(cues, ends[1:], strict=True)
    return [text[: ends[0]], *(_closed(cue[0], text[cue.end() : end]) for cue, end in after)]


def _closed(cue: str, text: str) -> str:
    """A text without what closes bold that its cue opens: `**9. Name a river.**`."""
    return text.replace("**", "", 1) if cue.count("**") % 2 else text


def _split_at_next(text: str, pattern: str, number: int) -> list[str]:
    """Parts of a line before the number, between it and the one after, and so on."""
    parts = []
    while match := re.search(pattern.format(number), text):
        parts.append(text[: match.start()])
        text, number = text[match.end() :], number + 1
    return [*parts, text]


def _input_and_output(example: str) -> Instance:
    """Up to the first Output:, and from there to the next one or the next Input:."""
    cues = list(_cue("Output", example).finditer(example))
    if not cues:
        return Instance("", example.strip())
    before, output, *_ = _between(example, cues)
    if next_input := _cue("Input", example).search(output):
        output = output[: next_input.start()]
    return Instance(_input(before, cues[0]), output.strip())


def _input(text: str, cue: re.Match[str]) -> str:
    """An input without `Input:`; where its cue is in Markdown the names of its fields are too."""
    if re.search(r"[>#•*_-]", cue[0]):
        text = _FIELD.sub(lambda field: f"{field[2]}:{_closed(field[1], field[3])}", text)
    text = text.strip()
    if first := _cue("Input", text).match(text):
        text = _between(text, [first])[1].strip()
    return text


def _without_headings(parts: list[str]) -> list[str]:
    """Each without the rule, `Example 2` or `2.` at its end that belongs to the next one."""
    return [_HEADINGS.sub("", part) for part in parts[:-1]] + parts[-1:]
