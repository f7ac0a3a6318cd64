"""Files of data: task files, splits, templates, vocabularies."""

import json
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

from damage import OfEachReader, OfEachReaderInAFolder, Reader, lines

TASK = {
    "Source": ["wordnet", "😀"],
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
NI_V1_TASK = {
    "Title": "Opposites",
    "Prompt": "Say the opposite.",
    "Definition": "-",
    "Things to Avoid": "- ",
    "Emphasis & Caution": "😀",
    "Instances": [{"input": word, "output": [word, "no"]} for word in ("big", "up", "hot")],
    "Examples": {
        "Positive Examples": [{"input": "hot", "output": "cold", "reason": "opposites"}],
        "Negative Examples": [{"input": "a", "output": "b", "reason": "c", "suggestion": " "}],
    },
}


def task_file(path: Path) -> None:
    from tk_instruct.tasks.superni.records import TaskSpec, read_task

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


def source_of_a_task_file(path: Path) -> None:
    """The field Source alone, at the file's beginning."""
    from tk_instruct.tasks.superni.records import SuperNI

    split = path.parent.parent / "splits" / "default" / "test_tasks.txt"
    split.parent.mkdir(parents=True, exist_ok=True)
    split.write_text("file")
    SuperNI(str(path.parent.parent)).origins("default", "test")


def split(path: Path) -> None:
    root = path.parent.parent.parent
    (root / "tasks").mkdir(exist_ok=True)
    (root / "tasks" / "task1_a.json").write_text(json.dumps(TASK))
    _superni(root, "train")


def _superni(root: Path, split: str) -> None:
    from tk_instruct.tasks.superni.records import SuperNI

    data = SuperNI(str(root), cache_dir=str(root / "cache"))
    assert data.examples("default", split)
    data.fingerprint("default", split)


def checked_task_file(path: Path) -> None:
    from tk_instruct.tasks.superni import doctor

    doctor.format_report(doctor.check_task(path), 1).encode()


def checked_splits(path: Path) -> None:
    from tk_instruct.tasks.superni import doctor

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

    from tk_instruct.tasks.flan import flan_2022

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


def ni_v1_task(path: Path) -> None:
    """Read, rendered and checked."""
    import gin

    from tk_instruct.data import registry
    from tk_instruct.tasks.natural_instructions_v1 import doctor

    with gin.unlock_config():
        gin.bind_parameter("NaturalInstructionsV1.data", str(path.parent))
    for finding in doctor._check(path.parent):
        repr(finding).encode()
    name = f"ni_v1_only_task_{path.stem}_full"
    for example in registry.get(name).texts("all"):  # type: ignore[union-attr]
        json.dumps(example, ensure_ascii=False).encode()


def gpt2_bpe(path: Path) -> None:
    from tk_instruct.tasks.superni.metrics import gpt2_tokenizer

    for file, content in (("encoder.json", BPE), ("vocab.bpe", MERGES)):
        if file != path.name:
            (path.parent / file).write_bytes(content)
    gpt2_tokenizer.cache_clear()
    gpt2_tokenizer(path.parent)("a b ab <|endoftext|> ü")


def vocabulary(path: Path) -> None:
    import seqio
    import tensorflow as tf

    from tk_instruct.data.seqio_bridge.declarations import _as_seqio
    from tk_instruct.data.vocabulary import _load

    _load.cache_clear()
    seqio.vocabularies._load_model_internal.cache_clear()
    loaded = _load(str(path))
    _as_seqio.__wrapped__(loaded).encode_tf(tf.constant("ab b <extra_id_0> ü"))
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


def cached_stats(path: Path) -> Any:
    """Of a task that SeqIO has cached, with one example."""
    import seqio
    import tensorflow as tf

    from tk_instruct.data.seqio_bridge.cache import POSITION, CachedSplit

    root = path.parent / "caches"
    if not root.exists():
        root.mkdir()
        (root / "cached").symlink_to(path.parent)
    (path.parent / "COMPLETED").touch()
    seqio.set_global_cache_dirs([str(root)])
    (path.parent / "info.test.json").write_text('{"num_shards": 1}')
    example = tf.train.Example()
    example.features.feature["cache_origin"].bytes_list.value.append(_ORIGIN)
    example.features.feature[POSITION].int64_list.value.append(0)
    with tf.io.TFRecordWriter(str(path.parent / "test.tfrecord-00000-of-00001")) as writer:
        writer.write(example.SerializeToString())
    return CachedSplit("cached", "test").examples({})


def cached_origin(path: Path) -> Any:
    from tk_instruct import schema
    from tk_instruct.data.seqio_bridge.cache import Origin
    from tk_instruct.data.task import Rendering, Source, Task

    source = Source(("test",), {}, lambda _: [], lambda _: "of data", selection=lambda: "seed=0")
    rendering = Rendering(lambda *_: lambda: ("", ""), reads=[])
    task = Task("cached", source, rendering, dict, [])
    return schema.parse(path.read_bytes(), Origin, "cache_origin").check(task)


_ORIGIN = json.dumps(
    {
        **{"split": "test", "selection": "seed=0", "content": "of data", "code": "of this code"},
        **{"num_examples": 1, "why_empty": ""},
    }
).encode()


READERS = [
    Reader("task_file", task_file, json.dumps(TASK).encode()),
    Reader(
        "task_file_of_a_split", task_file_of_a_split, json.dumps(TASK).encode(), "tasks/file.json"
    ),
    Reader(
        "source_of_a_task_file", source_of_a_task_file, json.dumps(TASK).encode(), "tasks/file.json"
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
    Reader(
        "ni_v1_task",
        ni_v1_task,
        json.dumps(NI_V1_TASK).encode(),
        "subtask045_miscellaneous_sentence_paraphrasing.json",
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
]


CACHED = [
    Reader("cached_stats", cached_stats, b'{"examples": 1}', "stats.test.json"),
    Reader("cached_origin", cached_origin, _ORIGIN, "origin.json"),
]


class TestFilesOfData(OfEachReader, OfEachReaderInAFolder):
    readers = READERS


class TestTasksCachedBySeqio(OfEachReader):
    readers = CACHED
