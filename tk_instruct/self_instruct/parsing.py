"""A model's answers taken apart: instructions out of a list, instances out of examples.

Cues (`9.`, `Task 9:`, `- `, `Example 1`, `Output:`) begin lines, and may be in Markdown as chat
models write it (`**9. …**`, `### Example 1`, `- **Output**: …`); lists may be JSON. In an answer of
one line, as the text of a vocabulary without a newline is (T5's), cues count within it too: of
numbers those that are due next.
"""

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

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

_BOLD = re.compile(r"^(\*+)([^*].*?)\1")
_NEXT_EXAMPLE = rf"(?:^|(?<=\s)){_EXAMPLE}"
# `**Example 1: A title**` above a field, which is not the output.
_TITLED = (
    rf"(?<=[#* ]){_EXAMPLE_NAME}[0-9]+[ \t]*[.:：–—-][^\n*]+(?:\*\*)?[ \t]*"
    rf"(?=\s*\n{_MARKS}(?!output|answer|expected){FIELD_NAME}{_COLON})"
)
_EXAMPLE_LINE = re.compile(
    rf"(?im)^{_MARKS}(?:{_TITLED}|{_EXAMPLE.format('[0-9]+')}|Example[*_]*[ \t]*$)"
)
_HEADINGS = re.compile(rf"(?i)(?:\n[ \t]*(?:-{{3,}}|{_MARKS}{_NUMBERED}|)[ \t]*)+\Z")
_FIELD = re.compile(rf"(?m)^({_MARKS}({FIELD_NAME}){_COLON})(.*)")

# `9.`, `9\.`, `(9)`, `９、`, `9️⃣`, `⑨` set an item off; `9:`, `9 -`, `Task 9`, `Aufgabe 9:` do where
# 9 is the very next, since lines of an instruction begin like that too (`Sentence 1: …`).
_LABEL = (
    r"(?:task|instruction|question|item|q|no\.|nr\.|任务|指令|タスク)[ \t]*#?[ \t]*|(?<=#)(?=\d)"
)
_WORD = r"[^\W\d_][^\s\d:：.]{0,20}[ \t]*(?=\d+[^\W\d_]*[ \t]?[:：])"
_NUMBER = re.compile(
    rf"(?im)^(?P<indent>[ \t]*+)[ \t>#•*_+-]*+[(\[（【]?(?:(?P<label>{_LABEL})|(?P<word>{_WORD}))?"
    r"[(\[（【]?(?P<number>\d{1,9}|[①-⑳](?P<circled>))[*_]*"
    r"(?:(?P<end>\ufe0f?\u20e3|[ \t]?\\?[.)．、）\]】]+[:：]?(?:-(?=[ \t]))?)"
    r"|(?P<weak>[ \t]?[^\W\d_]{0,3}[:：]|[ \t]*$"
    r"|[ \t]?(?:[-–—|/]|[-=]>)(?=[ \t*])(?![ \t]*\d{1,3}\b)))?"  # but not `10 - 3`
    r"[*_]*(?:(?P<space>[ \t]+|$)|(?<=[)）\]】])|(?![0-9]))"
)
_BULLET = re.compile(r"(?m)^[ \t]*[-*+•‣◦●▪·–—][ \t]+(?:\[[ xX]?\][ \t]+)?(?=\S)")
_LETTER = re.compile(r"(?m)^[ \t]*\(?(?:[A-Za-z]|[ivxIVX]+)[.)][ \t]+(?=\S)")
_NEXT_ITEM = r"(?:(?<=\s)(?:{0}\s?[.)]|Task {0}[.):])\s|(?<=[\s。！？]){0}[、．])"
_NEXT_BULLET = re.compile(r"(?:^|(?<=\s))•\s+")
_BLANK_LINE = re.compile(r"\n[ \t]*\n")
_RULE = re.compile(r"[ \t]*(?:[-*_=][ \t]*){3,}\Z")
_HEADING = re.compile(r"[ \t]*(?:#{1,6}[ \t]+\S.*|\*\*[^*]+\*\*:?)[ \t]*\Z")
_OWN_LABEL = re.compile(
    r"(?i)\A(?:id:[ ]\d+[ ])?[*_]*(?:instruction|task)[ \t]*[*_]*[:：][*_]*[ \t]*(?=\S)"
)
_OWN_ANSWER = re.compile(r"(?i)[ \t>*_-]*(?:answer|response|solution)[*_]*[:：]")
_QUOTED = re.compile(r'\A(?:"([^"]+)"|“([^”]+)”|`([^`]+)`)\Z')
_ELEMENT = re.compile(
    r"(?is)<(?P<name>li|task|item|instruction)\b[^<>]*>(?P<text>.*?)(?:</(?P=name)>\s*|\Z)"
)
_TAGS = re.compile(r"(?m)^[ \t]*</?\w+[^<>\n]*>[ \t]*$")
_TABLE = re.compile(
    r"(?m)^[ \t]*\|.*\n[ \t]*\|[ \t:|-]*-[ \t:|-]*(?:\n(?P<rows>(?:[ \t]*\|.*(?:\n|\Z))+))"
)
_FENCED = re.compile(r"(?ms)^[ \t]*(```+|~~~+)[\w-]*[ \t]*\n(?P<inside>.*?)(?:^[ \t]*\1[ \t]*$|\Z)")

# What a chat model says around what it was asked for.
_INTERJECTION = (
    r"(?:sure(?: thing)?|certainly|of course|absolutely|okay|ok|alright|great|got it|understood|"
    r"no problem)\b"
)
_OPENING_REMARK = re.compile(
    rf"(?i)[\W_]*(?:{_INTERJECTION}\W*(?:(?:here|below|i|let|this|these|those|the following|my|"
    r"some|continu)\b.*|.*[:：][*_]*)?"
    r"|(?:here (?:are|is)|here['’]s|below (?:are|is)|the following|these are|continu|i['’]ve|"
    r"i have|let me|let['’]s).*[:：][*_]*"
    r"|i(?:['’]m| am) (?:sorry|unable)\b.*|as an ai\b.*|(?:抱歉|对不起).*|(?:好的|当然)[，,！!。].*"
    r"|i can(?:not|['’]t) (?:help|assist|continue|provide|fulfil|comply|create|generate|do)\b.*)\Z"
)
_FAREWELL = (
    r"(?:please )?(?:let me know (?:if|whether|which|what)\b|feel free to\b|would you like\b|"
    r"(?:i )?hope (?:this|these|that|it|they)\b|do you (?:want|need) (?:me|more)\b|"
    r"if you(?:['’]d| would) like\b|if you (?:need|want) (?:more|any|me|further|additional)\b|"
    r"i(?:['’]d| would|['’]ll| will| can|['’]m) (?:be )?(?:happy|glad)\b|is there anything else\b|"
    r"these (?:tasks|instructions|examples)\b|"
    r"i(?:['’]ve| have) (?:tried|kept|included|made)\b|want (?:me|more)\b|"
    r"just (?:say the word|tell me|ask)\b|"
    r"(?:sag|lass|lassen sie) (?:mir|mich|es mich)\b|"
    r"(?:希望|如果(?:您|你)?(?:还)?(?:需要|想)|如需))"
)
_CLOSING_REMARK = re.compile(rf"(?i)[\W_]*(?:{_FAREWELL}|enjoy!|good luck!|have fun!)")
_LAST_SENTENCE = re.compile(
    r"(?i)(?<=[.!?])\s+(?:let me know if you|i hope (?:this|these) help|feel free to (?:ask|reach)|"
    r"would you like (?:me to|more)).*\Z"
)

# Of JSON objects.
_TEXT_KEYS = ("instruction", "task", "text", "description", "prompt", "question")
_OUTPUT_KEYS = ("output", "class label", "label", "class", "answer", "response")
_JSON_START = re.compile(r"(?m)^[ \t]*(?=\[\s*[\"{\[]|\{\s*\")")


@dataclass(frozen=True)
class Instructions:
    """Items of a list in their order, and how much else there was: `remark`, `heading`."""

    items: list[str]
    left_out: Counter[str] = field(default_factory=Counter)


def instructions(text: str, first: int) -> Instructions:
    """The items of a list that goes on after the number first, white space collapsed.

    What a chat model says before it repeats that number, or begins anew at 1, is no item, nor is
    what it says after a blank line, at which completions stop. Bullets part a list without numbers.
    """
    text = _as_list("\n".join(text.splitlines()))
    left_out: Counter[str] = Counter()
    if found := _of_json(text):
        around, documents = found
        left_out["remark"] += sum(1 for each in around if each.strip())
        items = [" ".join(each.split()) for each in _texts(documents)]
        return Instructions(items, +left_out)
    cues = _numbers(text, first)
    if not cues:
        return _unnumbered(text, first, left_out)
    before, *bodies = _between(text, [cue.match for cue in cues])
    bodies = _without_titles([cue.match for cue in cues], bodies, left_out)
    numbers = [cue.number for cue in cues]
    anew = numbers == [*range(1, len(cues) + 1)]
    before = _without_remarks(before, left_out)
    if before and (numbers[0] == first or (anew and before.endswith((":", "：")))):
        left_out["remark"] += 1
    elif before:
        numbers.insert(0, first)
        bodies.insert(0, before)
    items = []
    for position, (number, body) in enumerate(zip(numbers, bodies, strict=True)):
        body = _item(body, position == len(bodies) - 1, left_out)
        is_next_there = number + 1 in numbers[position + 1 : position + 2]
        items += [body] if is_next_there else _split_at_next(body, _NEXT_ITEM, number + 1)
    return Instructions([_plain(item) for item in items], +left_out)


def _unnumbered(text: str, first: int, left_out: Counter[str]) -> Instructions:
    if not text.strip():
        return Instructions([""])
    text = _without_remarks(text, left_out)
    if not text:
        return Instructions([], left_out)
    letters = list(_LETTER.finditer(text))
    in_line = list(_NEXT_BULLET.finditer(text)) if "\n" not in text.strip() else []
    if len(letters) > 1 and letters[0].start() == 0:  # else they are choices of an item
        cues = letters
    else:
        cues = in_line if len(in_line) > 1 else list(_BULLET.finditer(text))
    before, *bodies = _between(text, cues)
    if before.strip():
        bodies.insert(0, before)
    bodies = [_item(body, body is bodies[-1], left_out) for body in bodies]
    if len(bodies) == 1:
        bodies = _split_at_next(bodies[0], _NEXT_ITEM, first + 1)
    return Instructions([_plain(body) for body in bodies], +left_out)


class _Cue(NamedTuple):
    match: re.Match[str]
    number: int


def _numbers(text: str, first: int) -> list[_Cue]:
    """Where the items of a list begin: at first or the number after it, or anew at 1."""
    found = [_Cue(match, _value(match["number"])) for match in _NUMBER.finditer(text)]
    goes_on = _chain(text, found, {first, first + 1}, first)
    anew = _chain(text, found, {1}, first)
    if [cue.number for cue in anew[:first]] == [*range(1, first + 1)]:
        return anew
    strong = next((cue.number for cue in found if _is_strong(cue)), 1)
    return goes_on or anew or _chain(text, found, {strong}, first)


def _chain(text: str, found: list[_Cue], begins: set[int], first: int) -> list[_Cue]:
    """A list's numbers: each goes on from the one before, and some are left out or repeated.

    Marks that lines of an item begin with, too, count for the very next number alone. A number that
    does not go on belongs to a list within an item, where it is indented or follows a colon.
    """
    chain: list[_Cue] = []
    for cue in found:
        last = chain[-1].number if chain else 0
        is_next = cue.number == last + 1 if chain else cue.number in begins
        if not _is_strong(cue):
            is_marked = any(cue.match[mark] is not None for mark in ("end", "weak", "label"))
            is_cue = is_next and is_marked and not (cue.number == 1 and cue.match["word"])
        elif not chain or (is_next and cue.number >= first):
            is_cue = is_next
        else:
            goes_on = last <= cue.number <= last + _MOST_LEFT_OUT or cue.number == 1
            is_cue = goes_on and not _is_within(text, cue.match, chain[0].match)
        if is_cue:
            chain.append(cue)
    return chain


_MOST_LEFT_OUT = 20  # numbers; 1789. is a year


def _is_strong(cue: _Cue) -> bool:
    """Whether its mark is a list's, with the white space that is often missing in Chinese."""
    is_set_off = cue.match["end"] or cue.match["circled"] is not None
    return bool(is_set_off) and cue.match["space"] is not None and not cue.match["word"]


def _is_within(text: str, match: re.Match[str], first: re.Match[str]) -> bool:
    """Whether a number is part of a list within an item."""
    indent, of_first = (len(each["indent"].expandtabs()) for each in (match, first))
    return indent >= of_first + 2 or text[: match.start()].rstrip().endswith((":", "："))


def _value(digits: str) -> int:
    return int(digits) if digits.isdecimal() else int(unicodedata.numeric(digits))


def _without_titles(
    cues: list[re.Match[str]], bodies: list[str], left_out: Counter[str]
) -> list[str]:
    """Bodies without their first lines where each is a title in Markdown: `### Task 9: Rivers`."""
    texts = []
    for cue, body in zip(cues, bodies, strict=True):
        title, _, text = body.strip().partition("\n")
        is_marked = "#" in cue[0] or cue[0].count("**") % 2 or _HEADING.match(title)
        if not title or not is_marked or re.search(r"[.?!:。？！：][*\s]*\Z", title):
            return bodies
        if not text.strip() or _CLOSING_REMARK.match(text.lstrip()) or _RULE.match(text.strip()):
            return bodies
        texts.append(text)
    left_out["heading"] += len(texts)
    return texts


def _without_remarks(text: str, left_out: Counter[str]) -> str:
    """What stands before a list without the lines that a chat model says before it."""
    lines = text.strip().split("\n")
    while lines:
        line = lines[0]
        if not line.strip() or _RULE.match(line):
            pass
        elif _OPENING_REMARK.match(line):
            left_out["remark"] += 1
        elif line.lstrip().startswith("#"):
            left_out["heading"] += 1
        else:
            break
        del lines[0]
    return re.sub(rf"(?i)\A{_INTERJECTION}[!,.]\s+", "", "\n".join(lines))


def _item(text: str, is_last: bool, left_out: Counter[str]) -> str:
    """An item up to a blank line, without the headings and remarks that come after it.

    A block that is indented, is code or is what a colon announces goes on with it.
    """
    kept, *blocks = _BLANK_LINE.split(text.strip())
    goes_on = True
    for block in blocks:
        lines = [line for line in block.split("\n") if line.strip() and not _RULE.match(line)]
        if not lines:
            continue
        is_heading, is_remark = all(map(_HEADING.match, lines)), _CLOSING_REMARK.match(lines[0])
        in_code = kept.count("```") % 2 or lines[0].lstrip().startswith("```")
        is_announced = kept.rstrip().endswith((":", "："))
        goes_on &= bool(in_code or lines[0][0].isspace() or is_announced)
        if goes_on and (in_code or not (is_heading or is_remark)):
            kept += "\n" + "\n".join(lines)
        else:
            goes_on = False
            left_out["heading" if is_heading else "remark"] += 1
    first, *lines = kept.split("\n")
    kept = first
    for line in lines:
        in_code = kept.count("```") % 2
        if not in_code and (_CLOSING_REMARK.match(line) or _OWN_ANSWER.match(line)):
            left_out["remark"] += 1
            break
        if not in_code and _HEADING.match(line):
            left_out["heading"] += 1
            break
        if in_code or not _RULE.match(line):
            kept += f"\n{line}"
    if is_last and (farewell := _LAST_SENTENCE.search(kept)):
        left_out["remark"] += 1
        kept = kept[: farewell.start()]
    return kept


def _plain(item: str) -> str:
    """On one line, without the marks and the label around all of it."""
    item = _BOLD.sub(r"\2", " ".join(item.split()))
    item = _OWN_LABEL.sub("", item)
    if quoted := _QUOTED.match(item):
        item = next(filter(None, quoted.groups()))
    return item.strip()


def _as_list(text: str) -> str:
    """Without the fence around a list, and with the items of XML and of a table as bullets."""
    if fenced := _FENCED.search(text):
        inside, before = fenced["inside"], text[: fenced.start()]
        is_list = _NUMBER.match(inside) or _BULLET.match(inside) or _JSON_START.match(inside)
        if is_list and not _NUMBER.search(before):
            text = f"{before}\n{inside}\n\n{text[fenced.end() :]}"
    if (element := _ELEMENT.search(text)) and _is_remark(_TAGS.sub("", text[: element.start()])):
        text = _ELEMENT.sub(lambda found: f"\n- {found['text'].strip()}\n", text)
        return _TAGS.sub("", text)
    if (table := _TABLE.search(text)) and _is_remark(text[: table.start()]):
        rows = [
            re.split(r"(?<!\\)\|", row.strip().strip("|")) for row in table["rows"].splitlines()
        ]
        items = "".join(f"- {max(row, key=len).strip()}\n" for row in rows)
        return f"{text[: table.start()]}{items}\n{text[table.end() :]}"
    return text


def _of_json(text: str) -> tuple[tuple[str, str], list[Any]] | None:
    """What is around JSON, and its elements; of what was cut off those that are whole."""
    start = _JSON_START.search(text)
    if not start or not _is_remark(text[: start.start()]):
        return None
    position, elements = start.end(), list[Any]()
    decoder = json.JSONDecoder()
    if text[position] == "[":
        position += 1
    while True:
        position += len(text[position:]) - len(text[position:].lstrip(" \t\n,"))
        try:
            element, position = decoder.raw_decode(text, position)
        except (ValueError, RecursionError):
            break
        elements.append(element)
    after = re.sub(r"\A[\s\]},]*(?:[`~]{3,}[ \t]*)?", "", text[position:])
    return ((text[: start.start()], after), elements) if elements else None


def _is_remark(text: str) -> bool:
    lines = [line for line in text.split("\n") if line.strip()]
    return all(_OPENING_REMARK.match(line) or line.startswith("#") for line in lines)


def _texts(document: Any, depth: int = 4) -> Iterator[str]:
    """Of strings, lists of them and objects with a text, or with a list."""
    if isinstance(document, str):
        yield document
    elif not depth:
        return
    elif isinstance(document, list):
        for each in document:
            yield from _texts(each, depth - 1)
    elif isinstance(document, dict):
        named = {str(key).lower(): value for key, value in document.items()}
        texts = [named[key] for key in _TEXT_KEYS if isinstance(named.get(key), str)]
        if texts:
            yield texts[0]
        else:
            numbered = all(key.isdigit() for key in named)
            for value in named.values():
                if numbered or isinstance(value, list | dict):
                    yield from _texts(value, depth - 1)


def yes_or_no(text: str) -> bool | None:
    """What an answer begins with, perhaps after the question; None if neither."""
    word = _VERDICT.match(text) or _VERDICT.match(text.partition(_QUESTION)[2])
    return word[1].lower() == "yes" if word else None


_QUESTION = "Is it classification?"
_VERDICT = re.compile(
    rf"(?i)[\W\d_]*(?:{_INTERJECTION}[\W_]+)?"
    r"(?:[^\n:：?]{0,60}[:：][\W_]*|.{0,20}answer is\W+)?"
    r"(?:boxed\W+)?(?:text\W+)?(yes|no(?:t a classification)?)\b"
)


def input_first(text: str) -> list[Instance]:
    """`Example 1⏎Field: …⏎Output: …⏎Example 2…`, or an output alone; none without such a cue."""
    text = _without_closing(text)
    if (found := _instances_of_json(text)) is not None:
        return found
    text, code = _code_aside(text)
    return _with_code(_input_first(text, _name_among(_OUTPUT_NAMES, text)), code)


def _input_first(text: str, output: str) -> list[Instance]:
    if "\n" in text:
        parts = _between(text, list(_EXAMPLE_LINE.finditer(text)))
        parts = [pair for part in _without_headings(parts) for pair in _pairs(part, output)]
    else:
        parts = _split_at_next(text, _NEXT_EXAMPLE, 1)
    if not parts:
        return []
    before, *examples = parts
    if not examples or _cue(output, before).search(before):
        examples.insert(0, _without_opening(before))
    if not _cue(output, text).search(text) and (
        len(examples) == 1 or any(map(_A_FIELD.match, map(str.strip, examples)))
    ):
        return []  # or its outputs have a name that is not known
    return [_input_and_output(example, output) for example in examples if example.strip()]


def output_first(text: str) -> list[Instance]:
    """`Class label: …⏎Field: …⏎Class label: …`; what comes before the first label is left out.

    Where fields come before labels, as models like to write them, they are read as such.
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
    before, *parts = _without_headings(_between(text, cues))
    if _are_last(before, parts):
        return _labels_last(before, parts)
    found = []
    for cue, part in zip(cues, parts, strict=True):
        part = part.strip(" \t")
        if not _FIELD.match(part.lstrip()):
            part = part.lstrip()  # the label is on a line of its own
        label, *fields = re.split(line_end, part, maxsplit=1)
        label = _BOLD.sub(r"\2", label.strip())
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
    """The first that is a cue in a text, else the first."""
    return next((name for name in names if _cue(name, text).search(text)), names[0])


def _are_last(before: str, parts: Sequence[str]) -> bool:
    """Whether labels stand after their fields: some before the first, and none after the last."""
    fields = _plain_lines(before).strip()
    is_input = bool(_FIELD.match(fields)) and not fields.endswith((":", "："))
    return bool(parts) and is_input and "\n" not in parts[-1].strip()


def _labels_last(before: str, parts: Sequence[str]) -> list[Instance]:
    """`Field: …⏎Class label: …⏎Field: …⏎Class label: …`."""
    found = []
    for part in parts:
        label, _, after = part.strip().partition("\n")
        fields = _plain_lines(before)
        if first := _cue("Input", fields).match(fields):
            fields = fields[first.end() :].strip()
        found.append(Instance(fields, _BOLD.sub(r"\2", label.strip())))
        before = after
    return found


def _plain_lines(text: str) -> str:
    """Without opening remarks and headings of examples, and without the Markdown of fields."""
    lines = _without_remarks(text, Counter()).split("\n")
    lines = [line for line in lines if line.strip() and not _EXAMPLE_LINE.match(line)]
    return _FIELD.sub(lambda field: f"{field[2]}:{_closed(field[1], field[3])}", "\n".join(lines))


def _pairs(text: str, output: str) -> list[str]:
    """Inputs with their outputs that no `Example 2` parts.

    One begins where the first field of the first comes again after an output, else at any field.
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
        return []  # all inputs, then all outputs
    parts = [text[a:b] for a, b in zip(starts, [*starts[1:], None], strict=True)]
    return [_OWN_NUMBER.sub("", part) for part in _without_headings(parts)]


def _is_same(name: str, first: str) -> bool:
    """Whether two fields have one name, but perhaps for the number of their example."""
    return name == first or re.fullmatch(rf"{re.escape(first)} \d+", name) is not None


def _without_opening(text: str) -> str:
    """Without the lines that a chat model says before what it was asked for."""
    lines = text.strip().split("\n")
    while lines and (not lines[0].strip() or re.search(r"[:：][*_]*\Z", lines[0])):
        if lines[0].strip() and not _OPENING_REMARK.match(lines[0]):
            break
        del lines[0]
    return "\n".join(lines)


def _code_aside(text: str) -> tuple[str, list[str]]:
    """A text with marks in place of its code, in which cues are none, and the code."""
    code: list[str] = []

    def mark(fenced: re.Match[str]) -> str:
        if _ANY_CUE.search(fenced["inside"].partition("\n\n")[0]) and _FIELD.match(
            fenced["inside"]
        ):
            return fenced["inside"].rstrip("\n")
        code.append(fenced[0])
        return f"\0{len(code) - 1}\0"

    return _FENCED.sub(mark, text.replace("\0", "")), code


def _with_code(found: list[Instance], code: list[str]) -> list[Instance]:
    def whole(text: str) -> str:
        return re.sub(r"\0(\d+)\0", lambda mark: code[int(mark[1])], text)

    return [Instance(whole(each.input), whole(each.output)) for each in found]


def _without_closing(text: str) -> str:
    """An answer without the fence around it, and without what a chat model says after it."""
    text = text.strip()
    if fenced := _FENCED.search(text):
        inside, before = fenced["inside"], text[: fenced.start()]
        is_examples = _ANY_CUE.search(inside) or _JSON_START.match(inside)
        if is_examples and not _ANY_CUE.search(before):
            text = f"{before}\n{inside}".strip()
    lines = text.split("\n")
    while len(lines) > 1 and (
        not lines[-1].strip() or _RULE.match(lines[-1]) or _CLOSING_REMARK.match(lines[-1])
    ):
        del lines[-1]
    return "\n".join(lines)


def _instances_of_json(text: str) -> list[Instance] | None:
    """Of objects with an output and an input, or other fields that are named; None without."""
    found = _of_json(text)
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
    """Objects in a list, or in a list of an object that has no output."""
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
    """`Name:`, `Name 1:`: at the beginning of lines or, where there is but one, of words."""
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


def _between(text: str, cues: list[re.Match[str]]) -> list[str]:
    """What comes before, between and after cues."""
    ends = [*(cue.start() for cue in cues), len(text)]
    after = zip(cues, ends[1:], strict=True)
    return [text[: ends[0]], *(_closed(cue[0], text[cue.end() : end]) for cue, end in after)]


def _closed(cue: str, text: str) -> str:
    """A text without what closes bold that its cue opens: `**9. Name a river.**`."""
    opened = re.findall(r"\*{2,3}", cue)
    return text.replace(opened[-1], "", 1) if len(opened) % 2 else text


def _split_at_next(text: str, pattern: str, number: int) -> list[str]:
    """Parts of a line before the number, between it and the one after, and so on."""
    parts = []
    while match := re.search(pattern.format(number), text):
        parts.append(text[: match.start()])
        text, number = text[match.end() :], number + 1
    return [*parts, text]


def _input_and_output(example: str, output_name: str) -> Instance:
    """Up to the first Output:, and from there to the next one or the next Input:."""
    cues = list(_cue(output_name, example).finditer(example))
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
        text = "" if _NO_INPUT.match(text) else text
    return text


def _without_headings(parts: list[str]) -> list[str]:
    """Each without the rule, `Example 2` or `2.` at its end that belongs to the next one."""
    return [_HEADINGS.sub("", part) for part in parts[:-1]] + parts[-1:]
