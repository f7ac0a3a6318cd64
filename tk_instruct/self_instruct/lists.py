"""Reads the instructions from an answer that is a list (stage 1).

A cue (`9.`, `Task 9:`, `- `) begins a line and may be Markdown (`**9. …**`); a list may be JSON. An
answer may have one line only, because a vocabulary such as T5's has no newline. There cues count
within the line too, but a number only if it is the next one.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tk_instruct.self_instruct.markup import (
    BOLD,
    CLOSING_REMARK,
    FENCED,
    JSON_START,
    RULE,
    between,
    is_remark,
    of_json,
    split_at_next,
    without_remarks,
)

# Strong marks are always a cue: `9.`, `9\.`, `(9)`, `９、`, `9️⃣`, `⑨`. Weak marks are a cue only if
# 9 is the very next number: `9:`, `9 -`, `Task 9`, `Aufgabe 9:`. For a line of an instruction may
# begin like that too: `Sentence 1: …`.
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
_LAST_SENTENCE = re.compile(
    r"(?i)(?<=[.!?])\s+(?:let me know if you|i hope (?:this|these) help|feel free to (?:ask|reach)|"
    r"would you like (?:me to|more)).*\Z"
)
# The keys under which a JSON object may have its text.
_TEXT_KEYS = ("instruction", "task", "text", "description", "prompt", "question")


@dataclass(frozen=True)
class Instructions:
    """The items of a list in their order, and the number of `remark` and `heading` left out."""

    items: list[str]
    left_out: Counter[str] = field(default_factory=Counter)


def instructions(text: str, first: int) -> Instructions:
    """The items of an answer that continues a list from the number first, white space collapsed.

    A chat model may repeat the number first, or start again at 1: what it says before that is a
    remark. What follows a blank line, where completions stop, is a remark too. In a list without
    numbers, bullets separate the items.
    """
    text = _as_list("\n".join(text.splitlines()))
    left_out: Counter[str] = Counter()
    if found := of_json(text):
        around, documents = found
        left_out["remark"] += sum(1 for each in around if each.strip())
        items = [" ".join(each.split()) for each in _texts(documents)]
        return Instructions(items, +left_out)
    cues = _numbers(text, first)
    if not cues:
        return _unnumbered(text, first, left_out)
    before, *bodies = between(text, [cue.match for cue in cues])
    bodies = _without_titles([cue.match for cue in cues], bodies, left_out)
    numbers = [cue.number for cue in cues]
    anew = numbers == [*range(1, len(cues) + 1)]
    before = without_remarks(before, left_out)
    if before and (numbers[0] == first or (anew and before.endswith((":", "：")))):
        left_out["remark"] += 1
    elif before:
        numbers.insert(0, first)
        bodies.insert(0, before)
    items = []
    for position, (number, body) in enumerate(zip(numbers, bodies, strict=True)):
        body = _item(body, position == len(bodies) - 1, left_out)
        is_next_there = number + 1 in numbers[position + 1 : position + 2]
        items += [body] if is_next_there else split_at_next(body, _NEXT_ITEM, number + 1)
    return Instructions([_plain(item) for item in items], +left_out)


def _unnumbered(text: str, first: int, left_out: Counter[str]) -> Instructions:
    if not text.strip():
        return Instructions([""])
    text = without_remarks(text, left_out)
    if not text:
        return Instructions([], left_out)
    letters = list(_LETTER.finditer(text))
    in_line = list(_NEXT_BULLET.finditer(text)) if "\n" not in text.strip() else []
    if len(letters) > 1 and letters[0].start() == 0:  # later ones are choices of one item
        cues = letters
    else:
        cues = in_line if len(in_line) > 1 else list(_BULLET.finditer(text))
    before, *bodies = between(text, cues)
    if before.strip():
        bodies.insert(0, before)
    bodies = [_item(body, body is bodies[-1], left_out) for body in bodies]
    if len(bodies) == 1:
        bodies = split_at_next(bodies[0], _NEXT_ITEM, first + 1)
    return Instructions([_plain(body) for body in bodies], +left_out)


class _Cue(NamedTuple):
    match: re.Match[str]
    number: int


def _numbers(text: str, first: int) -> list[_Cue]:
    """The numbers that begin items. The list starts at first, at first + 1, or again at 1."""
    found = [_Cue(match, _value(match["number"])) for match in _NUMBER.finditer(text)]
    goes_on = _chain(text, found, {first, first + 1}, first)
    anew = _chain(text, found, {1}, first)
    if [cue.number for cue in anew[:first]] == [*range(1, first + 1)]:
        return anew
    strong = next((cue.number for cue in found if _is_strong(cue)), 1)
    return goes_on or anew or _chain(text, found, {strong}, first)


def _chain(text: str, found: list[_Cue], begins: set[int], first: int) -> list[_Cue]:
    """The numbers of one list: each continues from the one before; gaps and repeats may occur.

    A weak mark, with which lines of an item begin too, counts only at the very next number. A
    number that is indented or follows a colon may belong to a list within an item.
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


_MOST_LEFT_OUT = 20  # the largest gap in numbers: `1789.` is a year


def _is_strong(cue: _Cue) -> bool:
    """Whether a number has a strong mark, and white space (often missing in Chinese) after it."""
    is_set_off = cue.match["end"] or cue.match["circled"] is not None
    return bool(is_set_off) and cue.match["space"] is not None and not cue.match["word"]


def _is_within(text: str, match: re.Match[str], first: re.Match[str]) -> bool:
    """Whether a number belongs to a list within an item: it is indented, or follows a colon."""
    indent, of_first = (len(each["indent"].expandtabs()) for each in (match, first))
    return indent >= of_first + 2 or text[: match.start()].rstrip().endswith((":", "："))


def _value(digits: str) -> int:
    return int(digits) if digits.isdecimal() else int(unicodedata.numeric(digits))


def _without_titles(
    cues: list[re.Match[str]], bodies: list[str], left_out: Counter[str]
) -> list[str]:
    """Removes the first line of each body if all are titles in Markdown: `### Task 9: Rivers`."""
    texts = []
    for cue, body in zip(cues, bodies, strict=True):
        title, _, text = body.strip().partition("\n")
        is_marked = "#" in cue[0] or cue[0].count("**") % 2 or _HEADING.match(title)
        if not title or not is_marked or re.search(r"[.?!:。？！：][*\s]*\Z", title):
            return bodies
        if not text.strip() or CLOSING_REMARK.match(text.lstrip()) or RULE.match(text.strip()):
            return bodies
        texts.append(text)
    left_out["heading"] += len(texts)
    return texts


def _item(text: str, is_last: bool, left_out: Counter[str]) -> str:
    """The text of an item, up to a blank line, without the headings and remarks after it.

    A block after a blank line still belongs to the item if it is indented, is code or follows a
    colon.
    """
    kept, *blocks = _BLANK_LINE.split(text.strip())
    goes_on = True
    for block in blocks:
        lines = [line for line in block.split("\n") if line.strip() and not RULE.match(line)]
        if not lines:
            continue
        is_heading, is_remark = all(map(_HEADING.match, lines)), CLOSING_REMARK.match(lines[0])
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
        if not in_code and (CLOSING_REMARK.match(line) or _OWN_ANSWER.match(line)):
            left_out["remark"] += 1
            break
        if not in_code and _HEADING.match(line):
            left_out["heading"] += 1
            break
        if in_code or not RULE.match(line):
            kept += f"\n{line}"
    if is_last and (farewell := _LAST_SENTENCE.search(kept)):
        left_out["remark"] += 1
        kept = kept[: farewell.start()]
    return kept


def _plain(item: str) -> str:
    """The item on one line, without quotation marks, bold marks and a label around all of it."""
    item = BOLD.sub(r"\2", " ".join(item.split()))
    item = _OWN_LABEL.sub("", item)
    if quoted := _QUOTED.match(item):
        item = next(filter(None, quoted.groups()))
    return item.strip()


def _as_list(text: str) -> str:
    """Removes the fence around a list; turns items of XML and rows of a table into bullets."""
    if fenced := FENCED.search(text):
        inside, before = fenced["inside"], text[: fenced.start()]
        is_list = _NUMBER.match(inside) or _BULLET.match(inside) or JSON_START.match(inside)
        if is_list and not _NUMBER.search(before):
            text = f"{before}\n{inside}\n\n{text[fenced.end() :]}"
    if (element := _ELEMENT.search(text)) and is_remark(_TAGS.sub("", text[: element.start()])):
        text = _ELEMENT.sub(lambda found: f"\n- {found['text'].strip()}\n", text)
        return _TAGS.sub("", text)
    if (table := _TABLE.search(text)) and is_remark(text[: table.start()]):
        rows = [
            re.split(r"(?<!\\)\|", row.strip().strip("|")) for row in table["rows"].splitlines()
        ]
        items = "".join(f"- {max(row, key=len).strip()}\n" for row in rows)
        return f"{text[: table.start()]}{items}\n{text[table.end() :]}"
    return text


def _texts(document: Any, depth: int = 4) -> Iterator[str]:
    """The texts in a JSON document: strings, in lists, and in objects under _TEXT_KEYS."""
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
