"""Every reader of files, on files that are damaged: the result is data or a UserError.

TK_INSTRUCT_FUZZ_EXAMPLES=100000 .venv/bin/python -m pytest tests/test_readers.py   # for long
"""

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tk_instruct.errors import UserError

NUM_EXAMPLES = int(os.environ.get("TK_INSTRUCT_FUZZ_EXAMPLES", "60"))


class Reader(NamedTuple):
    """What reads a file; whole is a content that it takes."""

    name: str
    read: Callable[[Path], Any]
    whole: bytes
    file: str = "file.json"


def lines(*records: Any) -> bytes:
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def user_oriented(path: Path) -> Any:
    from tk_instruct.data.user_oriented import read_user_oriented

    return read_user_oriented(path)


def cached_stats(path: Path) -> Any:
    """Of a task that SeqIO has cached, with one example."""
    import tensorflow as tf

    from tk_instruct.data.seqio_cache import POSITION, CachedSplit

    (path.parent / "info.test.json").write_text('{"num_shards": 1}')
    example = tf.train.Example()
    example.features.feature["cache_origin"].bytes_list.value.append(_ORIGIN)
    example.features.feature[POSITION].int64_list.value.append(0)
    with tf.io.TFRecordWriter(str(path.parent / "test.tfrecord-00000-of-00001")) as writer:
        writer.write(example.SerializeToString())
    task = SimpleNamespace(name="cached", cache_dir=str(path.parent))
    return CachedSplit(task, "test").examples({})


def cached_origin(path: Path) -> Any:
    from tk_instruct import schema
    from tk_instruct.data.seqio_cache import Origin

    origin = schema.parse(path.read_bytes(), Origin, "cache_origin")
    return origin.check("cached", "seed=0", "of data")


_ORIGIN = json.dumps(
    {
        **{"split": "test", "selection": "seed=0", "content": "of data", "code": "of this code"},
        **{"num_examples": 1, "why_empty": ""},
    }
).encode()

READERS = [
    Reader("cached_stats", cached_stats, b'{"examples": 1}', "stats.test.json"),
    Reader("cached_origin", cached_origin, _ORIGIN, "origin.json"),
    Reader(
        "user_oriented",
        user_oriented,
        lines(
            {
                "id": "user_oriented_task_0",
                "motivation_app": "Mail",
                "instruction": "Shorten it.",
                "instances": [{"input": "a b", "output": "a"}],
            }
        ),
    ),
]


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


def damaged(whole: bytes) -> st.SearchStrategy[bytes]:
    """Any bytes, the file cut off, with bytes changed, or with a value of its JSON replaced."""
    forms = [st.binary(), _cut(whole), _spliced(whole)]
    if texts := _json_texts(whole):
        forms.append(_replaced(texts, whole))
    return st.one_of(*forms)


def _cut(whole: bytes) -> st.SearchStrategy[bytes]:
    return st.integers(0, len(whole)).map(lambda end: whole[:end])


def _spliced(whole: bytes) -> st.SearchStrategy[bytes]:
    def splice(start: int, length: int, inserted: bytes) -> bytes:
        return whole[:start] + inserted + whole[start + length :]

    return st.builds(splice, st.integers(0, len(whole)), st.integers(0, 8), st.binary(max_size=8))


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
        odd = draw(st.sampled_from(_ODD) | _values.map(json.dumps))
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


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_a_whole_file_is_read(reader: Reader, tmp_path: Path) -> None:
    path = tmp_path / reader.file
    path.write_bytes(reader.whole)
    reader.read(path)


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_of_a_damaged_file_the_result_is_data_or_a_user_error(
    reader: Reader, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("damaged") / reader.file

    @settings(
        max_examples=NUM_EXAMPLES,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    @given(damaged(reader.whole))
    def check(content: bytes) -> None:
        path.write_bytes(content)
        with contextlib.suppress(UserError):
            reader.read(path)

    check()
