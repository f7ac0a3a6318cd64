"""What a chat model adds to the answer proper: Markdown, remarks and JSON."""

import json
import re
from collections import Counter
from typing import Any

BOLD = re.compile(r"^(\*+)([^*].*?)\1")
RULE = re.compile(r"[ \t]*(?:[-*_=][ \t]*){3,}\Z")
FENCED = re.compile(r"(?ms)^[ \t]*(```+|~~~+)[\w-]*[ \t]*\n(?P<inside>.*?)(?:^[ \t]*\1[ \t]*$|\Z)")
# Remarks of a chat model before and after the answer proper.
INTERJECTION = (
    r"(?:sure(?: thing)?|certainly|of course|absolutely|okay|ok|alright|great|got it|understood|"
    r"no problem)\b"
)
OPENING_REMARK = re.compile(
    rf"(?i)[\W_]*(?:{INTERJECTION}\W*(?:(?:here|below|i|let|this|these|those|the following|my|"
    r"some|continu)\b.*|.*[:：][*_]*)?"
    r"|(?:here (?:are|is)|here['’]s|below (?:are|is)|the following|these are|continu|i['’]ve|"
    r"i have|let me|let['’]s).*[:：][*_]*"
    r"|i(?:['’]m| am) (?:sorry|unable)\b.*|as an ai\b.*|(?:抱歉|对不起).*|(?:好的|当然)[，,！!。].*"
    r"|i can(?:not|['’]t) (?:help|assist|continue|provide|fulfil|comply|create|generate|do)\b.*)\Z"
)
FAREWELL = (
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
CLOSING_REMARK = re.compile(rf"(?i)[\W_]*(?:{FAREWELL}|enjoy!|good luck!|have fun!)")
JSON_START = re.compile(r"(?m)^[ \t]*(?=\[\s*[\"{\[]|\{\s*\")")


def without_remarks(text: str, left_out: Counter[str]) -> str:
    """The text before a list without its opening remarks, which are counted as left out."""
    lines = text.strip().split("\n")
    while lines:
        line = lines[0]
        if not line.strip() or RULE.match(line):
            pass
        elif OPENING_REMARK.match(line):
            left_out["remark"] += 1
        elif line.lstrip().startswith("#"):
            left_out["heading"] += 1
        else:
            break
        del lines[0]
    return re.sub(rf"(?i)\A{INTERJECTION}[!,.]\s+", "", "\n".join(lines))


def of_json(text: str) -> tuple[tuple[str, str], list[Any]] | None:
    """(text before, text after) JSON, and its elements; of JSON that is cut off, the whole ones."""
    start = JSON_START.search(text)
    if not start or not is_remark(text[: start.start()]):
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


def is_remark(text: str) -> bool:
    lines = [line for line in text.split("\n") if line.strip()]
    return all(OPENING_REMARK.match(line) or line.startswith("#") for line in lines)


def between(text: str, cues: list[re.Match[str]]) -> list[str]:
    """The text before the first cue, between cues, and after the last one."""
    ends = [*(cue.start() for cue in cues), len(text)]
    after = zip(cues, ends[1:], strict=True)
    return [text[: ends[0]], *(closed(cue[0], text[cue.end() : end]) for cue, end in after)]


def closed(cue: str, text: str) -> str:
    """Removes the mark that closes bold which the cue has opened: `**9. Name a river.**`."""
    opened = re.findall(r"\*{2,3}", cue)
    return text.replace(opened[-1], "", 1) if len(opened) % 2 else text


def split_at_next(text: str, pattern: str, number: int) -> list[str]:
    """Splits a line at the number, at the next number, and so on; the pattern has their place."""
    parts = []
    while match := re.search(pattern.format(number), text):
        parts.append(text[: match.start()])
        text, number = text[match.end() :], number + 1
    return [*parts, text]
