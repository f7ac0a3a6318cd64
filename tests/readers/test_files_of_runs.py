"""What runs and other trainers write: checkpoints, journals, logs, weights; and gin files."""

import argparse
import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from damage import OfEachReader, Reader, lines

from tk_instruct import goodput
from tk_instruct.errors import UserError
from tk_instruct.files import Path as EPath


def run_log(path: Path) -> Any:
    from tk_instruct import run_log

    shutil.copyfile(path, path.parent / run_log.METRICS)
    (path.parent / f"{run_log.METRICS}.damaged").unlink(missing_ok=True)
    with run_log.RunLog(path.parent, goodput.Clock(), 2, 3, 1, lambda: None):
        return run_log.read_rows(path.parent)


def samples(path: Path) -> Any:
    from tk_instruct import run_log

    shutil.copyfile(path, path.parent / run_log.SAMPLES)
    return run_log.read_samples(path.parent)


def study_record(path: Path) -> Any:
    from tk_instruct.study import done

    shutil.copyfile(path, path.parent / done.RECORD)
    return done.record(EPath(path.parent))


def study(path: Path) -> Any:
    """Its file, and what it makes of it."""
    from tk_instruct.study import file, runs

    return runs.runs_of(file.read(path))


STUDY = b"""
title = "Study"
recipe = "recipes/smoke.gin"
metrics = ["rougeL"]
settings = {RANDOM_SEED = "{seed}", BATCH_SIZE = 8}
axis = [{name = "seed", values = [0, 1], x = [1, 2], scale = "log"}]
evaluation = [{suite = "superni", task = "superni_en_def", evaluate_flags = ["--track=both"]}]
published = [{at = {seed = 0}, system = "S", metric = "rougeL", value = 1.5, source = "here"}]
published_rows = [{suite = "superni", where = {table = "Table 3"}, at = {seed = "{part}"}}]
"""
STUDY_WORDS = ("{seed}", "=", "[", "]", "{", "}", '"', "[[axis]]", "nan", "1e400", "settings", ".")


def journal(path: Path) -> Any:
    """As a whole file of a batch by its name."""
    from tk_instruct.journal import _hash, _Journal

    folder = path.parent / "rows.jsonl.unfinished"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    content = path.read_bytes()
    (folder / f"x-000000-{_hash(content)}.jsonl").write_bytes(content)
    return _Journal(EPath(path.parent / "rows.jsonl"), "x").read()


SAMPLE_TEXTS = ("id", "task", "input", "target", "prediction")
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
    from tk_instruct.convert.tensors import Checkpoint, Tensor
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
        found = Checkpoint("", "t5x", config, 3, tensors, "bytes")
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
    from tk_instruct.sharding import make_mesh, placed
    from tk_instruct.step import abstract_params

    model_dir = next(folder for folder in path.parents if (folder / "checkpoints").is_dir())
    beside(model_dir, "run")
    like = placed(abstract_params(build(config_from_fields(MODEL))), make_mesh(1))
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
    import tk_instruct.train_run  # noqa: F401


def gin_run(path: Path) -> Any:
    """Through gin, too."""
    from tk_instruct import configuration
    from tk_instruct.train_run import TrainRun

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


def opened(kind: str, depth: int) -> Callable[[Path], Any]:
    """Reads all of a checkpoint of which one file, so deep in its folder, is damaged."""

    def read(path: Path) -> Any:
        from tk_instruct import convert

        beside(path.parents[depth], kind)
        return all_read(convert.open_checkpoint(str(path.parents[depth])))

    return read


def sharded(path: Path) -> Any:
    whole = path.parent / "model.safetensors"
    beside(path.parent, "huggingface")
    if whole.exists():
        whole.rename(path.parent / "part.safetensors")
    return opened("huggingface", 0)(path)


def index() -> bytes:
    from safetensors import safe_open

    with safe_open(made("huggingface") / "model.safetensors", "np") as stored:
        weight_map = dict.fromkeys(stored.keys(), "part.safetensors")
    return json.dumps({"metadata": {"total_size": 3}, "weight_map": weight_map}).encode()


def packed(kind: str) -> Callable[[Path], Any]:
    """The same of a MessagePack, which is damaged as the JSON that it is made of, or itself."""

    def read(path: Path) -> Any:
        import msgpack

        with contextlib.suppress(ValueError, RecursionError, OverflowError):
            path.write_bytes(msgpack.packb(json.loads(path.read_bytes())))
        return opened(kind, 1)(path)

    return read


def unpacked(kind: str) -> Callable[[], bytes]:
    import msgpack

    def content() -> bytes:
        tree = msgpack.unpackb(part_of(kind, "checkpoint_3/checkpoint")(), ext_hook=lambda *_: 3)
        return json.dumps(tree).encode()

    return content


ZARRAY = "checkpoint_3/target.decoder.decoder_norm.scale/.zarray"

PLANNED = {
    "topology": "cpu:8",
    "layout": {"num_partitions": 2, "num_fsdp_shards": 4, "remat": "none", "num_microbatches": 1},
    "mesh": [1, 4, 2],
    "batch_size": 8,
    "num_tokens": 1280,
    "num_steps": None,
    "num_params": 3,
    "d_model": 4,
    "limit_bytes": None,
    "flops": 3.5,
    "seconds": 1.5,
    "fits": True,
    "collectives": {"all-gather": [3, 4.5]},
}


def planned(path: Path) -> Any:
    """What is damaged is compiled again."""
    from tk_instruct.plan import compilation

    cached = object.__new__(compilation._CachedAnswer)  # of no program
    cached.path = path
    found = cached.read()
    return found and (found.sent_bytes, found.mesh[2], found.layout.remat.upper())


def token_file(path: Path) -> Any:
    """What is damaged is written again."""
    from tk_instruct.data.cache import TokenFile

    file = TokenFile(path, lambda: write_tokens(path))
    assert len(file) == 3
    return [file[i] for i in range(3)]


def write_tokens(path: Path) -> None:
    import numpy as np
    from array_record.python.array_record_module import ArrayRecordWriter

    from tk_instruct.data.tokens import Tokens

    writer = ArrayRecordWriter(str(path), "group_size:1")
    examples = [Tokens(f"id{i}", np.arange(i + 1), np.arange(2)) for i in range(3)]
    for tokens in examples:
        writer.write(tokens.to_bytes())
    writer.write(np.array([tokens.lengths for tokens in examples], "<i4").tobytes())
    writer.close()


def tokens_on_disk() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        write_tokens(Path(folder) / "x")
        return (Path(folder) / "x").read_bytes()


READERS = [
    Reader("plan", planned, json.dumps(PLANNED).encode()),
    Reader("tokens", token_file, tokens_on_disk, "file.array_record", share=0.2),
    *(
        Reader(f"huggingface_{file}", opened("huggingface", 0), part_of("huggingface", file), file)
        for file in ("config.json", "generation_config.json", "tokenizer_config.json")
    ),
    Reader(
        "huggingface_weights",
        opened("huggingface", 0),
        part_of("huggingface", "model.safetensors"),
        "model.safetensors",
    ),
    Reader("huggingface_index", sharded, index, "model.safetensors.index.json"),
    Reader("t5x_legacy", packed("t5x_legacy"), unpacked("t5x_legacy"), "checkpoint_3/checkpoint"),
    Reader("t5x_legacy_zarray", opened("t5x_legacy", 2), part_of("t5x_legacy", ZARRAY), ZARRAY),
    Reader(
        "t5x_legacy_array",
        opened("t5x_legacy", 2),
        part_of("t5x_legacy", ZARRAY.replace(".zarray", "0")),
        ZARRAY.replace(".zarray", "0"),
    ),
    Reader(
        "t5x_metadata",
        opened("t5x", 2),
        part_of("t5x", "checkpoint_3/state/_METADATA"),
        "checkpoint_3/state/_METADATA",
    ),
    Reader(
        "t5x_structure",
        opened("t5x", 2),
        lambda: b"\x81\xa5state\x81\xa4step\x03",
        "checkpoint_3/state/checkpoint",
    ),
    Reader("gin_file", gin_file, GIN, "file.gin", GIN_WORDS),
    Reader("gin_run", gin_run, GIN, "file.gin", GIN_WORDS, share=0.3),
    Reader("gin_flag", gin_flag, b"{'inputs': 8, 'targets': @f()}", "flag", GIN_WORDS, share=0.1),
    Reader("gin_description", gin_description, GIN, "file.gin", GIN_WORDS),
    Reader("run_log", run_log, lines({"step": 1, "loss": 2.5}, {"step": 2, "loss": 1.5})),
    Reader("samples", samples, lines({"step": 1, **dict.fromkeys(SAMPLE_TEXTS, "a")})),
    Reader(
        "study_record",
        study_record,
        lines({"verb": "a", "output": "b", "digest": "c", "status": 0, "seconds": 1.5}),
    ),
    Reader("study", study, STUDY, "file.toml", STUDY_WORDS),
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
]


class TestFilesOfRuns(OfEachReader):
    readers = READERS
