"""Every reader of files, on files that are damaged: the result is data or a UserError.

TK_INSTRUCT_FUZZ_EXAMPLES=100000 .venv/bin/python -m pytest tests/test_readers.py   # for long
"""

import contextlib
import json
import os
import re
import signal
from collections.abc import Callable, Iterator
from functools import cache
from itertools import product
from pathlib import Path
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


TASK = {
    "Definition": ["Say the opposite.", "Negate."],
    "Categories": ["Word Semantics"],
    "Input_language": ["English"],
    "Output_language": "English",
    "Positive Examples": [{"input": "hot", "output": "cold", "explanation": "opposites"}],
    "Negative Examples": [{"input": "hot", "output": "hot"}],
    "Instances": [
        {"id": "task1-a", "input": "big 😀", "output": ["small", "little"]},
        {"input": "up", "output": "down"},
    ],
}


def task_file(path: Path) -> None:
    from tk_instruct.data.records import TaskSpec, read_task

    task, instances = read_task(path)
    assert TaskSpec.from_json(task.to_json()) == task
    for texts in ([task.category, task.definition], *(i[:2] for i in instances)):
        "".join(texts).encode()


def task_file_of_a_split(path: Path) -> None:
    """By way of the cache of records."""
    split = path.parent.parent / "splits" / "default"
    split.mkdir(parents=True, exist_ok=True)
    (split / "test_tasks.txt").write_text("file")
    _superni(path.parent.parent, "test")


def split(path: Path) -> None:
    root = path.parent.parent.parent
    (root / "tasks").mkdir(exist_ok=True)
    (root / "tasks" / "task1_a.json").write_text(json.dumps(TASK))
    _superni(root, "train")


def _superni(root: Path, split: str) -> None:
    from tk_instruct.data.records import SuperNI

    data = SuperNI(str(root), cache_dir=str(root / "cache"))
    assert data.examples("default", split)
    data.fingerprint("default", split)


def checked_task_file(path: Path) -> None:
    from tk_instruct.data import doctor

    doctor.format_report(doctor.check_task(path), 1).encode()


def checked_splits(path: Path) -> None:
    from tk_instruct.data import doctor

    root = path.parent.parent.parent
    (root / "tasks").mkdir(exist_ok=True)
    for track, split in product(doctor.TRACKS, doctor.SPLITS):
        file = root / "splits" / track / f"{split}_tasks.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        if file != path:
            file.write_text(f"task_{split}")
    doctor.format_report(doctor.check_splits(root), 1).encode()


def flan_2022(path: Path) -> None:
    import gin

    from tk_instruct.tasks import flan_2022

    with gin.unlock_config():
        gin.bind_parameter("FLAN2022.cot", str(path))
    flan_2022._read.cache_clear()
    for example in flan_2022._load("cot", "train"):
        json.dumps(example, ensure_ascii=False).encode()


def flan_templates(path: Path) -> None:
    from tk_instruct.tasks.flan import templates

    for dataset, pairs in templates.parse(templates._read(str(path)), str(path)).items():
        for inputs, targets in pairs:
            made = templates.Template(dataset, inputs, targets)
            "".join(made.render({"a": "b", "options_": ""}, "")).encode()


def gpt2_bpe(path: Path) -> None:
    from tk_instruct.metrics.superni import gpt2_tokenizer

    for file, content in (("encoder.json", BPE), ("vocab.bpe", MERGES)):
        if file != path.name:
            (path.parent / file).write_bytes(content)
    gpt2_tokenizer.cache_clear()
    gpt2_tokenizer(path.parent)("a b ab <|endoftext|> ü")


def vocabulary(path: Path) -> None:
    import seqio
    import tensorflow as tf

    from tk_instruct.data.vocabulary import _load

    _load.cache_clear()
    seqio.vocabularies._load_model_internal.cache_clear()
    loaded = _load(str(path))
    loaded.encode_tf(tf.constant("ab b <extra_id_0> ü"))
    loaded.decode(loaded.encode("ab b <extra_id_0> ü")).encode()


def beside_a_model(path: Path) -> None:
    (path.parent / "spiece.model").write_bytes(sentencepiece())
    vocabulary(path.parent / "spiece.model")


BPE = json.dumps({"a": 0, "b": 1, "ab": 2, "Ġ": 3, "<|endoftext|>": 4}).encode()
MERGES = b"#version: 0.2\na b\n"
_SPECIAL = ("<pad>", "</s>", "<unk>")
_PIECES = {**dict.fromkeys(_SPECIAL, 0.0), "▁": -3.0, "a": -4.0, "b": -4.0, "▁ab": -5.0}
_METASPACE = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
TOKENIZER = {
    "added_tokens": [{"id": i, "content": piece} for i, piece in enumerate(_SPECIAL)],
    "normalizer": {"type": "Sequence", "normalizers": [{"type": "Strip"}]},
    "pre_tokenizer": {
        "type": "Sequence",
        "pretokenizers": [{"type": "WhitespaceSplit"}, _METASPACE],
    },
    "model": {"type": "Unigram", "unk_id": 2, "vocab": list(_PIECES.items())},
}


@cache
def sentencepiece() -> bytes:
    from sentencepiece import sentencepiece_model_pb2

    model: Any = sentencepiece_model_pb2.ModelProto()  # type: ignore[attr-defined]
    for piece, score in _PIECES.items():
        model.pieces.add(piece=piece, score=score)
    for piece, kind in zip(model.pieces, ("CONTROL", "CONTROL", "UNKNOWN"), strict=False):
        piece.type = getattr(model.SentencePiece, kind)
    model.trainer_spec.eos_id, model.trainer_spec.unk_id = 1, 2
    model.trainer_spec.pad_id, model.trainer_spec.bos_id = 0, -1
    model.trainer_spec.vocab_size = len(_PIECES)
    model.normalizer_spec.name = "identity"
    return model.SerializeToString()


READERS = [
    Reader("task_file", task_file, json.dumps(TASK).encode()),
    Reader(
        "task_file_of_a_split", task_file_of_a_split, json.dumps(TASK).encode(), "tasks/file.json"
    ),
    Reader("split", split, b"task1_a\ntask2_b.json\n", "splits/default/train_tasks.txt"),
    Reader("checked_task_file", checked_task_file, json.dumps(TASK).encode()),
    Reader("checked_splits", checked_splits, b"task1_a\n", "splits/default/train_tasks.txt"),
    Reader(
        "flan_2022",
        flan_2022,
        lines(
            {"inputs": "1 + 1?", "targets": "Two.", "task": "sums", "options": ["Two.", "3"]},
            *({"inputs": f"{n} + 1?", "targets": "3"} for n in range(2)),
            {"inputs": "2 + 2?", "targets": "4", "task": "sums"},
        ),
    ),
    Reader(
        "flan_templates",
        flan_templates,
        b'"Text."\nPATTERNS = {"rte": [("{a}\\n\\n{options_str}", "{a}"), ("{a}?", "a")]}\n',
        "templates.py",
    ),
    Reader("gpt2_encoder", gpt2_bpe, BPE, "encoder.json"),
    Reader("gpt2_merges", gpt2_bpe, MERGES, "vocab.bpe"),
    Reader("sentencepiece", vocabulary, sentencepiece(), "spiece.model"),
    Reader("tokenizer_json", vocabulary, json.dumps(TOKENIZER).encode(), "tokenizer.json"),
    Reader(
        "tokenizer_json_beside",
        beside_a_model,
        json.dumps(TOKENIZER).encode(),
        "tokenizer.json",
    ),
    Reader(
        "tokenizer_config",
        beside_a_model,
        json.dumps(
            {
                "extra_ids": 3,
                "added_tokens_decoder": {
                    "0": {"content": "<pad>"},
                    "7": {"content": "<extra_id_2>"},
                },
                "pad_token": "<pad>",
                "eos_token": {"content": "</s>"},
                "additional_special_tokens": ["<extra_id_0>", {"content": "<extra_id_1>"}],
                "extra_special_tokens": {"a": "<extra_id_0>"},
            }
        ).encode(),
        "tokenizer_config.json",
    ),
    Reader(
        "special_tokens_map",
        beside_a_model,
        json.dumps({"pad_token": "<pad>", "extra_special_tokens": ["<extra_id_0>"]}).encode(),
        "special_tokens_map.json",
    ),
    Reader(
        "added_tokens", beside_a_model, b'{"<extra_id_0>": 106, "</s>": 1}', "added_tokens.json"
    ),
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
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(reader.whole)
    reader.read(path)


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_of_a_damaged_file_the_result_is_data_or_a_user_error(
    reader: Reader, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("damaged") / reader.file
    path.parent.mkdir(parents=True, exist_ok=True)

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


# Of these files more than one reading is made, or they lie in a folder that a user names.
_OF_FOLDERS = [reader for reader in READERS if reader.name != "user_oriented"]


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_a_folder_in_place_of_a_file_is_an_error(reader: Reader, tmp_path: Path) -> None:
    (tmp_path / reader.file).mkdir(parents=True)
    _refused_or_found(reader, tmp_path / reader.file)


@pytest.mark.parametrize("reader", _OF_FOLDERS, ids=lambda reader: reader.name)
def test_a_pipe_in_place_of_a_file_is_not_waited_for(reader: Reader, tmp_path: Path) -> None:
    path = tmp_path / reader.file
    path.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(path)

    def hang(*_: object) -> None:
        raise AssertionError(f"{reader.name} waits for a writer")

    before = signal.signal(signal.SIGALRM, hang)
    signal.alarm(60)
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
