"""Every reader of files, on files that are damaged: the result is data or a UserError.

TK_INSTRUCT_FUZZ_EXAMPLES=100000 .venv/bin/python -m pytest tests/test_readers.py   # for long
"""

import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import cache, lru_cache, partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tk_instruct.errors import UserError
from tk_instruct.files import Path as AnyPath
from tk_instruct.files import Path as EPath

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
PROVENANCE = {
    "model": "m",
    "parameters": {"max_tokens": 9, "temperature": 0.5, "stop": ["a"], "top_p": None},
    "prompt_sha256": "0" * 64,
    "created_at": "2026-01-02T03:04:05+00:00",
    "seed": 0,
    "parents": ["seed_0"],
}
INSTANCE = {"input": "a b", "output": "a"}
SEED_TASKS = [
    {
        "id": f"seed_{number}",
        "name": "n",
        "instruction": f"Shorten it {number} times.",
        "instances": [INSTANCE],
        "is_classification": bool(number),
    }
    for number in range(2)
]
# By file of a run's directory: what a run of one instruction leaves.
RUN = {
    "run.json": [{"seed": 0, "seeds": "s", "scripted": True, "Instructions.lag": 1}],
    "seed_tasks.jsonl": SEED_TASKS,
    "responses.jsonl": [
        {
            "key": "instructions-000000-0000000000000000",
            "stage": "instructions",
            "index": 0,
            "prompt_sha256": "0" * 64,
            "parameters": PROVENANCE["parameters"],
            "model": "m",
            "text": "9. Name a river in France.",
            "finish_reason": "stop",
            "prompt_tokens": 3,
            "completion_tokens": None,
            "created_at": "2026-01-02T03:04:05+00:00",
            "attempts": 1,
        }
    ],
    "ledger.jsonl": [
        {"event": "begun", "id": "0"},
        {
            "event": "prices",
            "usd_per_million_prompt_tokens": 1.0,
            "usd_per_million_completion_tokens": 2,
        },
        {"event": "sent", "key": "a", "attempt": 1, "prompt_tokens": 3, "completion_tokens": 4},
        {"event": "not paid", "key": "a", "attempt": 1},
    ],
    "instructions.jsonl": [
        {
            "id": "machine-000000-00",
            "instruction": "Name a river in France.",
            "most_similar": {"Shorten it 0 times.": 0.1},
            "avg_similarity_score": 0.1,
            "request_idx": 0,
            "provenance": PROVENANCE,
        }
    ],
    "instruction_requests.jsonl": [
        {
            "request_idx": 0,
            "key": "instructions-000000-0000000000000000",
            "num_candidates": 1,
            "num_accepted": 1,
            "dropped": {"empty": 0},
        }
    ],
    "classified.jsonl": [
        {
            "id": "machine-000000-00",
            "instruction": "Name a river in France.",
            "is_classification": False,
            "answer": "No",
            "provenance": PROVENANCE,
        }
    ],
    "instances.jsonl": [
        {
            "id": "machine-000000-00",
            "instruction": "Name a river in France.",
            "is_classification": False,
            "raw_instances": "Output: a",
            "finish_reason": "stop",
            "instances": [INSTANCE],
            "dropped": {},
            "provenance": PROVENANCE,
        }
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
            templates.Template(dataset, inputs, targets).render({"a": "b", "options_": ""}, "")


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
    ids = loaded.encode("ab b <extra_id_0> ü")
    assert loaded.encode_tf(tf.constant("ab b <extra_id_0> ü")).numpy().tolist() == ids
    loaded.decode(ids).encode()


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


def run_log(path: Path) -> Any:
    from tk_instruct import run_log

    (path.parent / run_log.DAMAGED).unlink(missing_ok=True)
    return run_log._lines_until(EPath(path), 2)


def journal(path: Path) -> Any:
    """As a whole file of a batch by its name."""
    from tk_instruct.journal import _hash, _Journal

    folder = path.parent / "rows.jsonl.unfinished"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    content = path.read_bytes()
    (folder / f"x-000000-{_hash(content)}.jsonl").write_bytes(content)
    return _Journal(EPath(path.parent / "rows.jsonl"), "x").read()


MODEL = {
    "vocab_size": 259,
    "d_model": 8,
    "num_heads": 2,
    "head_dim": 4,
    "d_ff": 16,
    "num_encoder_layers": 1,
    "num_decoder_layers": 1,
    "mlp_activations": ["gelu", "linear"],
}
DESCRIPTION = {
    "model": MODEL,
    "vocabulary": {"name": "bytes", "fingerprint": "", "size": 259},
    "data": {
        "mixture": "superni_en_def",
        "lengths": {"inputs": 64, "targets": 8},
        "batch_size": 4,
        "seed": 0,
        "num_train_examples": None,
        "content": {"superni_en_def": "0"},
    },
    "gin": "",
    "soft_prompt": {},
}


@lru_cache
def made(kind: str) -> Path:
    """A whole checkpoint of a kind, made once."""
    import numpy as np
    from flax.traverse_util import unflatten_dict

    from tk_instruct import convert
    from tk_instruct.checkpoint import Checkpoints, Description
    from tk_instruct.convert.shapes import expected_shapes
    from tk_instruct.convert.tensors import Tensor
    from tk_instruct.model.config import config_from_fields

    folder = Path(made_folder().name) / kind
    config = config_from_fields(MODEL)
    arrays = {name: np.ones(shape, np.float32) for name, shape in expected_shapes(config).items()}
    if kind == "run":
        state = {"step": np.int32(3), "params": unflatten_dict(arrays, sep="/")}
        with Checkpoints(folder) as checkpoints:
            about = Description(**DESCRIPTION)
            checkpoints.save(3, state, {"window": 0, "row": 1}, about, {"validation_loss": 1.5})
    else:
        tensors = {
            name: Tensor(array.shape, partial(lambda array, index: array[index], array))
            for name, array in arrays.items()
        }
        found = convert.Checkpoint("", "t5x", config, 3, tensors, "bytes")
        convert.convert(found, folder, kind)
    return folder


@lru_cache
def made_folder() -> Any:
    return tempfile.TemporaryDirectory(prefix="made")


@lru_cache
def beside(folder: Path, kind: str) -> None:
    """Puts beside a damaged file the rest of a checkpoint."""

    def copy(source: str, target: str) -> None:
        if not os.path.exists(target):
            shutil.copy(source, target)

    shutil.copytree(made(kind), folder, dirs_exist_ok=True, copy_function=copy)


def part_of(kind: str, file: str) -> Callable[[], bytes]:
    return lambda: (made(kind) / file).read_bytes()


def description(path: Path) -> Any:
    """And what is made of it."""
    from tk_instruct import checkpoint
    from tk_instruct.configuration import lengths_of
    from tk_instruct.model.config import config_from_fields

    about = checkpoint.read_description(EPath(path.parents[1]))
    with contextlib.suppress(UserError):
        about.check_continues(checkpoint.Description(**DESCRIPTION), EPath(path))
    config_from_fields(about.model)
    given = argparse.Namespace(max_input_tokens=None, max_target_tokens=None)
    return lengths_of(given, about.data.get("lengths"))


def cursor(path: Path) -> Any:
    from tk_instruct import checkpoint

    return checkpoint._read(EPath(path.parents[1]), "cursor", checkpoint._Cursor)


def checksums(path: Path) -> Any:
    from tk_instruct.checkpoint import saved_checksums

    return saved_checksums(EPath(path.parents[1]))


def opened_run(path: Path) -> Any:
    from tk_instruct.checkpoint import Checkpoints

    model_dir = path.parents[3]
    beside(model_dir, "run")
    with Checkpoints(model_dir, read_only=True) as checkpoints:
        return checkpoints.best_step()


def restored_run(path: Path) -> Any:
    from tk_instruct import convert
    from tk_instruct.checkpoint import Checkpoints
    from tk_instruct.model import build
    from tk_instruct.model.config import config_from_fields
    from tk_instruct.sharding import abstract_params, make_mesh

    model_dir = next(folder for folder in path.parents if (folder / "checkpoints").is_dir())
    beside(model_dir, "run")
    like = abstract_params(build(config_from_fields(MODEL)), make_mesh(1))
    with Checkpoints(model_dir, read_only=True) as checkpoints, contextlib.suppress(UserError):
        step = checkpoints.step_or_latest(None)
        checkpoints.description(step)
        checkpoints.restore_params(step, like)
    return all_read(convert.open_checkpoint(str(model_dir)))


def all_read(checkpoint: Any) -> Any:
    return [tensor.whole() for tensor in checkpoint.tensors.values()]


GIN = b"""# A recipe.
import tk_instruct.optim
include "recipes/smoke.gin"

TRAIN_STEPS = 7
TASK_FEATURE_LENGTHS = {"inputs": 64, "targets": 8}
MLP_ACTIVATIONS = ("gelu",
    "linear")
TrainRun.optimizer = @optim.adamw()
WEIGHT_DECAY = 0.1
optim.adamw.weight_decay = %WEIGHT_DECAY
T5Config:
  dtype = "float32"
"""
GIN_WORDS = (
    *"()[]{}@%=:.,/#\\'\"-\n\t\r\0\f ",
    "\n  ",
    '"""',
    "include ",
    "import ",
    "from ",
    "A",
    "TRAIN_STEPS",
    "TrainRun.seed",
    "a/b",
    "'recipes/smoke.gin'",
    "'file.gin'",
    "'/dev/zero'",
    "'.'",
    "@f()",
    "%A",
    "None",
    "1e999",
    "9" * 5000,
    "(" * 300,
    "-" * 3000,
    "{[]: 1}",
    "\ud800",
    "\\ud800",
    "\\N{x}",
)


def gin_file(path: Path) -> Any:
    from tk_instruct.configuration import gin_files

    return list(gin_files.read_file(str(path), str(path)))


@lru_cache
def declared() -> None:
    from tk_instruct import configuration

    configuration.import_declarations()
    import tk_instruct.train  # noqa: F401


def gin_run(path: Path) -> Any:
    """Through gin, too."""
    from tk_instruct import configuration
    from tk_instruct.train import TrainRun

    declared()
    configuration.load("runs/train.gin", [str(path)], ["MODEL_DIR = x"])
    return configuration.configured(TrainRun)


def gin_flag(path: Path) -> Any:
    from tk_instruct import configuration

    declared()
    typed = path.read_bytes().decode("utf-8", "surrogateescape")
    for name in ("TASK_FEATURE_LENGTHS", "DATA_DIR", "LEARNING_RATE", "TrainRun.optimizer"):
        bindings = ["MODEL_DIR = x", f"{name} = {typed}"]
        with contextlib.suppress(UserError):
            configuration.load("runs/train.gin", ["recipes/smoke.gin"], bindings)


def gin_description(path: Path) -> Any:
    from tk_instruct import configuration

    declared()
    text = path.read_bytes().decode("utf-8", "replace")
    return configuration.load_data_of(text, "description")


def predictions(path: Path) -> Any:
    from tk_instruct.evaluate.predictions import read_predictions

    return read_predictions(path)


def references(path: Path) -> Any:
    from tk_instruct.evaluate.superni import read_references

    return read_references(path, "default")


def training_data(path: Path) -> Any:
    from tk_instruct.tasks.self_instruct import read_training_data

    return list(read_training_data(path))


def rating_key(path: Path) -> Any:
    from tk_instruct.evaluate.user_oriented import _read_key

    return _read_key(path)


def ratings(path: Path) -> Any:
    from tk_instruct.evaluate.user_oriented import _read_ratings

    return _read_ratings(path, {"task_1": "ours", "task_2": "theirs"})


def published_answers(path: Path) -> Any:
    from tk_instruct.data.user_oriented import UserOriented
    from tk_instruct.evaluate.user_oriented import _responses

    return _responses(path, [UserOriented("task", "task", "Mail", "Shorten it.", "a b", "a")])


def scores(path: Path) -> Any:
    from tk_instruct import report

    found = report.read_run(AnyPath(path))
    texts = [report.as_table({"run": found.scores})] if found.scores else []
    return json.dumps([texts, [report.report_text(flan) for flan in found.flan]])


def scores_of_a_run(path: Path) -> Any:
    from tk_instruct import report

    return report.read_run(AnyPath(path.parent.parent)).as_json


def statistics(path: Path) -> Any:
    from tk_instruct import report

    report.show_stats("run", report.read_stats(AnyPath(path.parent.parent)), as_json=False)


FLAN_REPORT = {
    "model_dir": "run",
    "step": 9,
    "trained_on": "flan_holdout_nli",
    "limit": None,
    "missing": ["cb"],
    "clusters": {
        "nli": {
            "average": {"zero_shot_rank": {"mean": 45.0, "best_on_dev": 50.0}},
            "datasets": {
                "rte": {
                    "counted_as": "rte",
                    "metric": "accuracy",
                    "lower_is_better": False,
                    "settings": {
                        "zero_shot_rank": {
                            "mean": 45.0,
                            "standard_deviation": 5.0,
                            "num_templates": 2,
                            "best_on_dev": {"template": 1, "dev": 51.0, "test": 50.0},
                            "templates": [],
                        }
                    },
                }
            },
        }
    },
}
_CHARGE = {"requests": 1, "prompt_tokens": 2, "completion_tokens": 3, "usd": None}
STATISTICS = {
    "models": ["m"],
    "data": {key: {"instructions": 2} for key in ("accepted", "with_instances", "published")},
    "acceptance": {"instructions": {"candidates": 3, "accepted": 2, "dropped": {"short": 1}}},
    "cost": {
        "stages": {"instructions": _CHARGE},
        "unanswered": _CHARGE,
        "total": _CHARGE,
        "usd_per_accepted_instruction": 0.5,
        "usd_per_instance": None,
    },
    "unclear_answers": 1,
    "why_no_root_verbs": "no spaCy",
}



def generated_run(path: Path) -> Any:
    """All that reads a run's directory, of which one file is damaged; only the first makes it."""
    from tk_instruct.self_instruct import data_card, prepare
    from tk_instruct.self_instruct.clients import Parameters
    from tk_instruct.self_instruct.instructions import Generation, Instructions, made_by
    from tk_instruct.self_instruct.run_directory import RunDirectory
    from tk_instruct.self_instruct.seeds import read_seeds
    from tk_instruct.self_instruct.stats import charges

    for name, records in RUN.items():
        if name != path.name:
            (path.parent / name).write_bytes(lines(*records))
    run = RunDirectory(path.parent)
    seeds = read_seeds(str(path.parent / "seed_tasks.jsonl"))
    run.agree({"seed": 0})
    charges(run.log("ledger").read(), run.log("responses").read()).usd
    made_by("classify", run.log("classified"), ("id", "instruction", "is_classification"))
    data_card.text(run, run.begun_with or {}, list(prepare._generated(run)), [], {}, None)
    Generation(run, seeds, 0, Instructions(Parameters(9)))


def generated_statistics(path: Path) -> Any:
    from tk_instruct.report import read_stats
    from tk_instruct.self_instruct.stats.report import as_html, as_text

    stats = read_stats(path.parent.parent)
    return as_text(stats), as_html(stats, {})


def server_answer(path: Path) -> Any:
    """Of both protocols; one that is no completion may be asked for again."""
    from tk_instruct.self_instruct.clients import UnansweredError
    from tk_instruct.self_instruct.clients.openai import OpenAIChat, OpenAICompletions

    for client in OpenAIChat, OpenAICompletions:
        with contextlib.suppress(UnansweredError):
            made = client("m", base_url="http://127.0.0.1:9/v1")._completion(path.read_bytes())
            assert isinstance(made.text, str)
            assert isinstance(made.finish_reason, str)
            for count in made.prompt_tokens, made.completion_tokens:
                assert count is None or 0 <= count <= 10**9


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
    Reader("gin_file", gin_file, GIN, "file.gin", GIN_WORDS),
    Reader("gin_run", gin_run, GIN, "file.gin", GIN_WORDS, share=0.3),
    Reader("gin_flag", gin_flag, b"{'inputs': 8, 'targets': @f()}", "flag", GIN_WORDS, share=0.1),
    Reader("gin_description", gin_description, GIN, "file.gin", GIN_WORDS),
    Reader("run_log", run_log, lines({"step": 1, "loss": 2.5}, {"step": 2, "loss": 1.5})),
    Reader("journal", journal, lines({"id": "a", "task": "t", "prediction": "p", "scores": [1.5]})),
    Reader(
        "checkpoint_description",
        description,
        json.dumps(DESCRIPTION).encode(),
        "description/metadata",
    ),
    Reader(
        "checkpoint_soft_prompt",
        description,
        json.dumps(
            {**DESCRIPTION, "soft_prompt": {"length": 3, "frozen": "x", "fingerprint": "y"}}
        ).encode(),
        "description/metadata",
    ),
    Reader("checkpoint_cursor", cursor, b'{"window": 0, "row": 1}', "cursor/metadata"),
    Reader("checkpoint_checksums", checksums, b'{"cursor": "ab"}', "checksums/metadata"),
    Reader(
        "checkpoint_metrics",
        opened_run,
        b'{"validation_loss": 1.5, "validation_accuracy": 0.5}',
        "checkpoints/3/metrics/metrics",
        share=0.2,
    ),
    *(
        Reader(
            f"run_{file.removeprefix('checkpoints/3/')}",
            restored_run,
            part_of("run", file),
            file,
            share=0.1,
        )
        for file in (
            "checkpoints/3/_CHECKPOINT_METADATA",
            "checkpoints/3/state/_METADATA",
            "checkpoints/3/state/manifest.ocdbt",
            "checkpoints/3/state/ocdbt.process_0/manifest.ocdbt",
        )
    ),
    ),
    *(
        Reader(f"generated_{name.split('.')[0]}", generated_run, lines(*records), name)
        for name, records in RUN.items()
    ),
    Reader(
        "generated_statistics",
        generated_statistics,
        lines(
            {
                "models": ["m"],
                "data": dict.fromkeys(
                    ("accepted", "with_instances", "published"), {"instructions": 1}
                ),
                "acceptance": {
                    "instructions": {"candidates": 2, "accepted": 1, "dropped": {"a": 1}}
                },
                "cost": {
                    "stages": {},
                    **dict.fromkeys(
                        ("unanswered", "total"),
                        {"requests": 1, "prompt_tokens": 2, "completion_tokens": 3, "usd": None},
                    ),
                    "usd_per_accepted_instruction": 0.5,
                    "usd_per_instance": None,
                },
                "unclear_answers": 0,
                "mean_rouge_l_to_most_similar_seed": 0.5,
                "root_verbs": [{"verb": "name", "count": 1, "nouns": {"river": 1}}],
                "why_no_root_verbs": None,
            }
        ),
        "run/stats/stats.json",
    ),
    Reader(
        "server_answer",
        server_answer,
        lines(
            {
                "model": "m",
                "choices": [
                    {
                        "text": "a",
                        "message": {"content": "a", "reasoning_content": "b"},
                        "finish_reason": "stop",
                    }
                ],
                "usage": {"prompt_tokens": 1, "completion_tokens": 2},
            }
        ),
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
    Reader(
        "predictions",
        predictions,
        lines({"id": "a", "prediction": "yes"}, {"id": "b", "prediction": ""}),
    ),
    Reader(
        "predictions_of_tk_instruct",
        predictions,
        lines({"Task": "t", "Instance": {"id": "a", "output": ["b"]}, "Prediction": "yes"}),
    ),
    Reader(
        "predictions_of_lm_evaluation_harness",
        predictions,
        lines({"doc_id": 0, "doc": {"id": "a"}, "filtered_resps": ["yes"], "filter": "none"}),
    ),
    Reader(
        "predictions_in_a_list",
        predictions,
        json.dumps([{"id": "a", "prediction": "yes"}]).encode(),
    ),
    Reader(
        "references",
        references,
        lines(
            {
                "id": "a",
                "references": ["b"],
                "task_id": "t",
                "task_category": "c",
                "track": "xlingual",
            }
        ),
    ),
    Reader(
        "training_data",
        training_data,
        lines(
            {"id": "a", "task": "t", "instruction": "b", "prompt": "b", "completion": "c"},
            {"instruction": "b", "input": "", "output": "c"},
            {"id": "d", "instruction": "b", "instances": [{"input": "", "output": "c"}]},
            {"inputs_pretokenized": "b", "targets_pretokenized": "c", "is_correct": True},
        ),
    ),
    Reader(
        "rating_key",
        rating_key,
        lines({"seed": 0, "systems": ["ours"], "rows": {"task_1": "ours", "task_2": "ours"}}),
    ),
    Reader(
        "ratings",
        ratings,
        b'\xef\xbb\xbf"id","response","rating"\r\n"task_1","a\nb","A"\r\n"task_2","",""\r\n',
        "file.csv",
    ),
    Reader("scores", scores, b'{"rougeL": 1.5, "num_examples": 5, "predicted_by": "a"}'),
    Reader(
        "scores_of_a_run",
        scores_of_a_run,
        b'{"rougeL": 1.5, "exact_match": 2}',
        "run/scores/superni_en_def-test-9.json",
    ),
    Reader("scores_of_flan", scores, json.dumps(FLAN_REPORT).encode()),
    Reader(
        "scores_of_flan_runs",
        scores,
        json.dumps({"suite": "flan", "runs": [FLAN_REPORT]}).encode(),
    ),
    Reader("statistics", statistics, json.dumps(STATISTICS).encode(), "run/stats/stats.json"),
    Reader(
        "published_answers",
        published_answers,
        lines({"prompt": "", "instruction": "Shorten it.", "input": "a b", "response": "a"}),
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


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_a_whole_file_is_read(reader: Reader, tmp_path: Path) -> None:
    path = tmp_path / reader.file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(reader.content())
    path.write_bytes(reader.whole)
    reader.read(path)


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_of_a_damaged_file_the_result_is_data_or_a_user_error(
    reader: Reader, tmp_path_factory: pytest.TempPathFactory
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
