"""What reads a file, and what is done to the file: the result must be data or a UserError.

Every module here has a table of readers, and runs these tests over it.

  TK_INSTRUCT_FUZZ_EXAMPLES=100000 .venv/bin/python -m pytest tests/readers   # for long
"""

import contextlib
import json
import os
import re
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tk_instruct.errors import UserError

NUM_EXAMPLES = int(os.environ.get("TK_INSTRUCT_FUZZ_EXAMPLES", "60"))


class Reader(NamedTuple):
    """What reads a file; whole is a content that it takes, or makes one.

    file may lie in folders, the rest of which `read` prepares. words are what its format is made
    of, and are put in anywhere. share of the examples are tried where a read takes long.
    """

    name: str
    read: Callable[[Path], Any]
    whole: bytes | Callable[[], bytes]
    file: str = "file.json"
    words: Sequence[str] = ()
    share: float = 1.0

    def content(self) -> bytes:
        return self.whole if isinstance(self.whole, bytes) else self.whole()


def lines(*records: Any) -> bytes:
    return "".join(json.dumps(record) + "\n" for record in records).encode()


class OfEachReader:
    """Tests of the readers of a table."""

    readers: Sequence[Reader]

    def test_a_whole_file_is_read(self, reader: Reader, tmp_path: Path) -> None:
        path = tmp_path / reader.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(reader.content())
        reader.read(path)

    def test_of_a_damaged_file_the_result_is_data_or_a_user_error(
        self, reader: Reader, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        path = tmp_path_factory.mktemp("damaged") / reader.file
        path.parent.mkdir(parents=True, exist_ok=True)

        @settings(
            max_examples=max(1, round(NUM_EXAMPLES * reader.share)),
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
        )
        @given(damaged(reader.content(), reader.words))
        def check(content: bytes) -> None:
            path.write_bytes(content)
            with contextlib.suppress(UserError):
                reader.read(path)

        check()


class OfEachReaderInAFolder:
    """Tests of the readers of files that lie in a folder which a user names."""

    readers: Sequence[Reader]

    def test_a_folder_in_place_of_a_file_is_an_error(self, reader: Reader, tmp_path: Path) -> None:
        (tmp_path / reader.file).mkdir(parents=True)
        _refused_or_found(reader, tmp_path / reader.file)

    def test_a_pipe_in_place_of_a_file_is_not_waited_for(
        self, reader: Reader, tmp_path: Path
    ) -> None:
        path = tmp_path / reader.file
        path.parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(path)

        def hang(*_: object) -> None:
            pytest.fail(f"{reader.name} waits for a writer")  # no Exception, which readers catch

        before = signal.signal(signal.SIGALRM, hang)
        signal.alarm(20)
        try:
            _refused_or_found(reader, path)
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, before)


def _refused_or_found(reader: Reader, path: Path) -> None:
    if reader.name.startswith("checked_"):  # lists what is wrong
        reader.read(path)
        return
    with pytest.raises(UserError, match=re.escape(str(path.parent))):
        reader.read(path)


# As they stand in a file: json.dumps writes no 1e999, no deep nesting and no half of a surrogate.
_ODD = [
    "null",
    "true",
    "-1",
    "0",
    "1.5",
    "1e999",
    "NaN",
    "-Infinity",
    "9" * 25,
    "9" * 5000,
    '""',
    '"\\ud800"',
    '"\\u0000\\u001b[2J"',
    '"../../x"',
    '"nan"',
    "[]",
    "{}",
    '[{"": [null]}]',
    '{"a": {"b": 1}}',
    "[" * 5000 + "]" * 5000,
    '{"a":' * 5000 + "1" + "}" * 5000,
]
_HOLE = "\x00HOLE\x00"


def damaged(whole: bytes, words: Sequence[str] = ()) -> st.SearchStrategy[bytes]:
    """Any bytes, the file cut off, with bytes changed, or with a value of its JSON replaced.

    With words, also with some of these put in, or made of them alone.
    """
    forms = [st.binary(), _cut(whole), _spliced(whole)]
    if texts := _json_texts(whole):
        forms.append(_replaced(texts, whole))
    if words:
        text = st.lists(st.sampled_from(words) | st.text(max_size=3), max_size=12)
        written = text.map(lambda parts: "".join(parts).encode("utf-8", "surrogatepass"))
        forms += [written, _spliced(whole, written)]
    return st.one_of(*forms)


def _cut(whole: bytes) -> st.SearchStrategy[bytes]:
    return st.integers(0, len(whole)).map(lambda end: whole[:end])


def _spliced(
    whole: bytes, insertions: st.SearchStrategy[bytes] | None = None
) -> st.SearchStrategy[bytes]:
    def splice(start: int, length: int, inserted: bytes) -> bytes:
        return whole[:start] + inserted + whole[start + length :]

    insertions = st.binary(max_size=8) if insertions is None else insertions
    return st.builds(splice, st.integers(0, len(whole)), st.integers(0, 8), insertions)


def _json_texts(whole: bytes) -> list[str]:
    """The JSON documents in a file, one or one a line; none where it is something else."""
    try:
        text = whole.decode()
        lines = [text] if _is_json(text) else [line for line in text.splitlines() if line.strip()]
    except UnicodeDecodeError:
        return []
    return lines if all(map(_is_json, lines)) else []


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


@st.composite
def _replaced(draw: st.DrawFn, texts: list[str], whole: bytes) -> bytes:
    """One value in place of another, or a field taken away, in one of the documents."""
    number = draw(st.integers(0, len(texts) - 1))
    document = json.loads(texts[number])
    places = list(_places(document))
    parent, key = draw(st.sampled_from(places)) if places else (None, None)
    if parent is not None and draw(st.integers(0, 3)) == 0:
        del parent[key]
        odd = ""
    else:
        odd = draw(st.sampled_from(_ODD) | _nested | _values.map(json.dumps))
        if parent is None:
            document = _HOLE
        else:
            parent[key] = _HOLE
    changed = json.dumps(document).replace(json.dumps(_HOLE), odd)
    return "\n".join([*texts[:number], changed, *texts[number + 1 :]]).encode()


def _places(document: Any) -> Iterator[tuple[Any, Any]]:
    """(container, key) of every value inside a document."""
    keys = (
        document.keys()
        if isinstance(document, dict)
        else range(len(document))
        if isinstance(document, list)
        else ()
    )
    for key in keys:
        yield document, key
        yield from _places(document[key])


# About as deep as what calls itself can go.
_nested = st.integers(200, 1000).map(lambda depth: "[" * depth + "]" * depth)
_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
