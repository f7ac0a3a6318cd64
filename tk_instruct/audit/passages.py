"""What is shown of a text around a match."""

from collections.abc import Sequence

from tk_instruct.audit.findings import Passage
from tk_instruct.audit.words import word_places

# Characters that are shown of a text at most, and those around a match if it is shortened.
_MOST, _AROUND = 1200, 240
_CUT = "…"


def passage(text: str, is_common: Sequence[bool]) -> Passage:
    """A text with its common words marked; of a long text the part around the longest mark.

    Args:
        is_common: for each word of the text, whether it is marked. Neighbours become one mark.
    """
    marks = _marks(text, is_common)
    text = text.encode("utf-8", "replace").decode()  # half a surrogate pair becomes one character
    if len(text) <= _MOST:
        return Passage(text, marks)
    first, last = max(marks, key=lambda mark: mark[1] - mark[0], default=(0, 0))
    start = max(0, first - _AROUND)
    end = min(len(text), max(start + _MOST, last + _AROUND), start + _MOST)
    before = _CUT if start else ""
    shift = len(before) - start
    shown = [
        (max(a, start) + shift, min(b, end) + shift) for a, b in marks if a < end and b > start
    ]
    return Passage(f"{before}{text[start:end]}{_CUT if end < len(text) else ''}", shown)


def _marks(text: str, is_common: Sequence[bool]) -> list[tuple[int, int]]:
    marks: list[tuple[int, int]] = []
    was_common = False
    for (start, end), common in zip(word_places(text), is_common, strict=True):
        if common and was_common:
            marks[-1] = marks[-1][0], end
        elif common:
            marks.append((start, end))
        was_common = common
    return marks
