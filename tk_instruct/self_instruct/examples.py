"""Reads the instances from an answer that consists of examples (stage 3).

A cue (`Example 1`, `Output:`, `Class label:`) begins a line and may be Markdown (`### Example 1`,
`- **Output**: …`); examples may be JSON. In an answer of one line, cues count within the line too.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from tk_instruct.self_instruct.markup import (
    BOLD,
    CLOSING_REMARK,
    FENCED,
    JSON_START,
    OPENING_REMARK,
    RULE,
    between,
    closed,
    of_json,
    split_at_next,
    without_remarks,
)
from tk_instruct.self_instruct.prompts import CLASS_LABEL, FIELD_NAME
from tk_instruct.self_instruct.seeds import Instance

_MARKS = r"[ \t>#•*_-]*+"
_COLON = r"[*_]*[ \t]*[:：][*_]*"
_EXAMPLE_NAME = (
    r"(?:Example|Sample|Instance|Ex\.|Beispiel|示例|例子|例|उदाहरण|مثال)[ \t]*(?:#|No\.)?[ \t]?"
)
_NUMBERED = rf"(?:{_EXAMPLE_NAME}[0-9]*|\(?[0-9]+[.)])[*_]*[.:：)]?[*_]*"
_EXAMPLE = (
    rf"{_EXAMPLE_NAME}{{}}[ \t]*[*_]*[.:：)]?[*_]*[.:：]?(?=\s|$)(?![ \t]*(?:input|output)[ \t]*:)"
)
_NEXT_EXAMPLE = rf"(?:^|(?<=\s)){_EXAMPLE}"
# The heading `**Example 1: A title**` above a field other than the output.
_TITLED = (
    rf"(?<=[#* ]){_EXAMPLE_NAME}[0-9]+[ \t]*[.:：–—-][^\n*]+(?:\*\*)?[ \t]*"
    rf"(?=\s*\n{_MARKS}(?!output|answer|expected){FIELD_NAME}{_COLON})"
)
_EXAMPLE_LINE = re.compile(
    rf"(?im)^{_MARKS}(?:{_TITLED}|{_EXAMPLE.format('[0-9]+')}|Example[*_]*[ \t]*$)"
)
_HEADINGS = re.compile(rf"(?i)(?:\n[ \t]*(?:-{{3,}}|{_MARKS}{_NUMBERED}|)[ \t]*)+\Z")
_FIELD = re.compile(rf"(?m)^({_MARKS}({FIELD_NAME}){_COLON})(.*)")
_OUTPUT_KEYS = ("output", "class label", "label", "class", "answer", "response")


def input_first(text: str) -> list[Instance]:
    """Instances as `Example 1⏎Field: …⏎Output: …⏎Example 2…`, or one output; none without a cue."""
    text = _without_closing(text)
    if (found := _instances_of_json(text)) is not None:
        return found
    text, code = _code_aside(text)
    return _with_code(_input_first(text, _name_among(_OUTPUT_NAMES, text)), code)


def _input_first(text: str, output: str) -> list[Instance]:
    if "\n" in text:
        parts = between(text, list(_EXAMPLE_LINE.finditer(text)))
        parts = [pair for part in _without_headings(parts) for pair in _pairs(part, output)]
    else:
        parts = split_at_next(text, _NEXT_EXAMPLE, 1)
    if not parts:
        return []
    before, *examples = parts
    if not examples or _cue(output, before).search(before):
        examples.insert(0, _without_opening(before))
    if not _cue(output, text).search(text) and (
        len(examples) == 1 or any(map(_A_FIELD.match, map(str.strip, examples)))
    ):
        return []  # the outputs are missing, or have an unknown name
    return [_input_and_output(example, output) for example in examples if example.strip()]


def output_first(text: str) -> list[Instance]:
    """Instances as `Class label: …⏎Field: …⏎Class label: …`, from the first label on.

    Models often write the fields before the labels; that order is recognised and read too.
    """
    text = _without_closing(text)
    if (found := _instances_of_json(text)) is not None:
        return found
    name = _name_among((*_LABEL_NAMES, *_OUTPUT_NAMES), text)
    text, code = _code_aside(text)
    found = _input_first(text, name) if name in _OUTPUT_NAMES else _label_first(text, name)
    return _with_code(found, code)


def _label_first(text: str, name: str) -> list[Instance]:
    cues = list(_cue(name, text).finditer(text))
    line_end = r"\n" if "\n" in text.strip() else r"\s(?=\w+:)"
    before, *parts = _without_headings(between(text, cues))
    if _are_last(before, parts):
        return _labels_last(before, parts)
    found = []
    for cue, part in zip(cues, parts, strict=True):
        part = part.strip(" \t")
        if not _FIELD.match(part.lstrip()):
            part = part.lstrip()  # the label is on a line of its own
        label, *fields = re.split(line_end, part, maxsplit=1)
        label = BOLD.sub(r"\2", label.strip())
        found.append(Instance(_input("".join(fields), cue), label))
    return found


_OUTPUT_NAMES = (
    "Output",
    "Expected output",
    "Answer",
    "Response",
    "Completion",
    "Solution",
    "Ausgabe",
    "输出",
)
_LABEL_NAMES = (CLASS_LABEL.removesuffix(":"), "Label", "Class", "Category")


def _name_among(names: Sequence[str], text: str) -> str:
    """The first name that is a cue in the text; if none is, the first name."""
    return next((name for name in names if _cue(name, text).search(text)), names[0])


def _are_last(before: str, parts: Sequence[str]) -> bool:
    """Whether labels follow their fields: some come before the first label, none after the last."""
    fields = _plain_lines(before).strip()
    is_input = bool(_FIELD.match(fields)) and not fields.endswith((":", "："))
    return bool(parts) and is_input and "\n" not in parts[-1].strip()


def _labels_last(before: str, parts: Sequence[str]) -> list[Instance]:
    """Instances as `Field: …⏎Class label: …⏎Field: …⏎Class label: …`."""
    found = []
    for part in parts:
        label, _, after = part.strip().partition("\n")
        fields = _plain_lines(before)
        if first := _cue("Input", fields).match(fields):
            fields = fields[first.end() :].strip()
        found.append(Instance(fields, BOLD.sub(r"\2", label.strip())))
        before = after
    return found


def _plain_lines(text: str) -> str:
    """Removes opening remarks, headings of examples, and the Markdown of field names."""
    lines = without_remarks(text, Counter()).split("\n")
    lines = [line for line in lines if line.strip() and not _EXAMPLE_LINE.match(line)]
    return _FIELD.sub(lambda field: f"{field[2]}:{closed(field[1], field[3])}", "\n".join(lines))


def _pairs(text: str, output: str) -> list[str]:
    """Splits examples that have no `Example 2` between them.

    After an output, an example begins where the first field of the first example occurs again; if
    it does not, at the next field.
    """
    outputs = {match.start() for match in _cue(output, text).finditer(text)}
    if "\n" not in text.strip() or len(outputs) < 2:
        return [_OWN_NUMBER.sub("", text)]
    fields = {match.start(): match["name"].lower() for match in _A_FIELD.finditer(text)}
    starts, first, since_output = [0], "", list[int]()
    num_outputs = num_first = 0
    for start in sorted(outputs | fields.keys()):
        if start in outputs:
            again = [each for each in since_output if _is_same(fields[each], first)]
            starts += (again or since_output)[:1]
            num_outputs, since_output = num_outputs + 1, []
        elif num_outputs:
            since_output += [start] if first else []
        else:
            first = first or fields[start].removesuffix(" 1")
            num_first += _is_same(fields[start], first)
    if num_first > 1:
        return []  # all inputs come before all outputs
    parts = [text[a:b] for a, b in zip(starts, [*starts[1:], None], strict=True)]
    return [_OWN_NUMBER.sub("", part) for part in _without_headings(parts)]


def _is_same(name: str, first: str) -> bool:
    """Whether a field has the name of the first one, perhaps with a number: `Text 2` and `Text`."""
    return name == first or re.fullmatch(rf"{re.escape(first)} \d+", name) is not None


def _without_opening(text: str) -> str:
    """Removes a chat model's opening remarks."""
    lines = text.strip().split("\n")
    while lines and (not lines[0].strip() or re.search(r"[:：][*_]*\Z", lines[0])):
        if lines[0].strip() and not OPENING_REMARK.match(lines[0]):
            break
        del lines[0]
    return "\n".join(lines)


def _code_aside(text: str) -> tuple[str, list[str]]:
    """A text with a mark in place of each block of code, where nothing is a cue; the blocks."""
    code: list[str] = []

    def mark(fenced: re.Match[str]) -> str:
        if _ANY_CUE.search(fenced["inside"].partition("\n\n")[0]) and _FIELD.match(
            fenced["inside"]
        ):
            return fenced["inside"].rstrip("\n")
        code.append(fenced[0])
        return f"\0{len(code) - 1}\0"

    return FENCED.sub(mark, text.replace("\0", "")), code


def _with_code(found: list[Instance], code: list[str]) -> list[Instance]:
    def whole(text: str) -> str:
        return re.sub(r"\0(\d+)\0", lambda mark: code[int(mark[1])], text)

    return [Instance(whole(each.input), whole(each.output)) for each in found]


def _without_closing(text: str) -> str:
    """Removes the fence around an answer, and a chat model's closing remarks."""
    text = text.strip()
    if fenced := FENCED.search(text):
        inside, before = fenced["inside"], text[: fenced.start()]
        is_examples = _ANY_CUE.search(inside) or JSON_START.match(inside)
        if is_examples and not _ANY_CUE.search(before):
            text = f"{before}\n{inside}".strip()
    lines = text.split("\n")
    while len(lines) > 1 and (
        not lines[-1].strip() or RULE.match(lines[-1]) or CLOSING_REMARK.match(lines[-1])
    ):
        del lines[-1]
    return "\n".join(lines)


def _instances_of_json(text: str) -> list[Instance] | None:
    """Instances of JSON objects with an output, and an input or other fields; None without any."""
    found = of_json(text)
    objects = list(_objects(found[1])) if found else []
    instances = []
    for each in objects:
        named = {str(key).lower().replace("_", " "): key for key in each}
        if key := next((named[name] for name in _OUTPUT_KEYS if name in named), None):
            fields = {name: _as_text(value) for name, value in each.items() if name != key}
            alone = [value for name, value in fields.items() if name.lower() == "input"]
            many = "\n".join(f"{name.capitalize()}: {value}" for name, value in fields.items())
            input_ = alone[0] if len(fields) == len(alone) == 1 else many
            instances.append(Instance(input_.strip(), _as_text(each[key]).strip()))
    return instances or None


def _objects(document: Any, depth: int = 4) -> Iterator[dict[str, Any]]:
    """The objects in lists; an object whose only field is a list stands for that list."""
    if isinstance(document, list) and depth:
        for each in document:
            yield from _objects(each, depth - 1)
    elif isinstance(document, dict):
        lists = [value for value in document.values() if isinstance(value, list)]
        if len(document) == len(lists) == 1:
            yield from _objects(lists[0], depth - 1)
        else:
            yield document


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _cue(name: str, text: str) -> re.Pattern[str]:
    """`Name:` or `Name 1:` at the beginning of a line or, in a text of one line, of a word."""
    named = rf"{name}[ \t]*[0-9]*{_COLON}"
    cue = rf"(?m:^){_MARKS}(?i:(?:{_NUMBERED}[ \t]+{_MARKS})?{named})"
    if "\n" not in text.strip():
        cue += rf"|(?<=\s)(?:{_NUMBERED}[ \t]+)?[*_]*{named}"
    return re.compile(cue)


_A_FIELD = re.compile(rf"(?m)^{_MARKS}(?:{_NUMBERED}[ \t]+{_MARKS})?(?P<name>{FIELD_NAME}){_COLON}")
_OWN_NUMBER = re.compile(rf"\A\s*{_MARKS}{_NUMBERED}\s+(?={_MARKS}{FIELD_NAME}{_COLON})")
_NO_INPUT = re.compile(
    r"(?i)[\W_]*(?:none|n/a|not applicable|"
    r"no ?input(?: (?:is )?(?:needed|required|necessary))?)[\W_]*\Z"
)
_ANY_CUE = re.compile(
    rf"(?im)^{_MARKS}(?:{_EXAMPLE_NAME}[0-9]+|(?:{'|'.join(_OUTPUT_NAMES + _LABEL_NAMES)})"
    rf"[ \t]*[0-9]*{_COLON})"
)


def _input_and_output(example: str, output_name: str) -> Instance:
    """Input: up to the first `Output:`; output: from there to the next `Output:` or `Input:`."""
    cues = list(_cue(output_name, example).finditer(example))
    if not cues:
        return Instance("", example.strip())
    before, output, *_ = between(example, cues)
    if next_input := _cue("Input", example).search(output):
        output = output[: next_input.start()]
    return Instance(_input(before, cues[0]), output.strip())


def _input(text: str, cue: re.Match[str]) -> str:
    """Removes `Input:`, and the Markdown of field names if the output's cue has Markdown too."""
    if re.search(r"[>#•*_-]", cue[0]):
        text = _FIELD.sub(lambda field: f"{field[2]}:{closed(field[1], field[3])}", text)
    text = text.strip()
    if first := _cue("Input", text).match(text):
        text = between(text, [first])[1].strip()
        text = "" if _NO_INPUT.match(text) else text
    return text


def _without_headings(parts: list[str]) -> list[str]:
    """Removes the rule, `Example 2` or `2.` at the end of each part: it belongs to the next one."""
    return [_HEADINGS.sub("", part) for part in parts[:-1]] + parts[-1:]
