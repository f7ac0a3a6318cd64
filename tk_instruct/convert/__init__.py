"""Convert weights between Hugging Face (safetensors), T5X (Orbax or legacy), and our own runs.

FROM, local or gs://, is recognised by its files: a Hugging Face folder (config.json, and
model.safetensors or its shards), a MODEL_DIR of ours or one of its checkpoints/N, a MODEL_DIR of
T5X or one of its checkpoint_N. The last step of a MODEL_DIR is converted. The weights keep their
values: they are written as float32, and bfloat16 and float16 convert to it exactly. NaN and
infinity are refused. One tensor after another is read and written.

  tk-instruct convert google/t5-v1_1-xl runs/t5_xl --to ours
  tk-instruct convert runs/mine/checkpoints/1000 export/mine --to huggingface
  tk-instruct convert t5_1_1_lm100k_xl/checkpoint_1100000 runs/lm --to ours --vocabulary t5

No optimizer state is written. With gin/t5x/finetune.gin, t5x continues training from --to t5x or
t5x_legacy with a new optimizer state.
"""

import argparse
import contextlib
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from etils import epath

from tk_instruct.errors import UserError
from tk_instruct.files import cannot_write, is_local
from tk_instruct.ranges import whole_number

if TYPE_CHECKING:
    from tk_instruct.convert.tensors import Checkpoint, Tensor
    from tk_instruct.model.config import DecoderConfig, T5Config
    from tk_instruct.progress import Progress

_MEGABYTE = 10**6
T5X_FORMATS = ("t5x", "t5x_legacy")
FORMATS = ("huggingface", "ours", *T5X_FORMATS)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="FROM", help="the checkpoint to read, local or gs://")
    parser.add_argument("target", metavar="TO", help="the folder to write, which must not be there")
    parser.add_argument("--to", required=True, choices=FORMATS, help="the format to write")
    parser.add_argument(
        "--step",
        type=whole_number,
        metavar="N",
        help="the step to write (default: FROM's; 0 from Hugging Face)",
    )
    parser.add_argument(
        "--vocabulary",
        metavar="V",
        help="t5, mt5, umt5, bytes or the path of a SentencePiece model or tokenizer.json "
        "(default: FROM's own; T5X keeps none)",
    )
    parser.add_argument(
        "--scan_layers",
        action="store_true",
        help="for t5x and t5x_legacy: all layers in one array, as T5X's scalable_t5 has them",
    )


def main(args: argparse.Namespace) -> int:
    target = Path(args.target).expanduser().absolute()  # Orbax takes no other
    _check(args, target)
    folder = folder_of(args.source)
    import jax

    jax.config.update("jax_platforms", "cpu")  # takes no memory of an accelerator
    checkpoint = _read(folder, args.source)
    if args.step is not None:
        checkpoint = replace(checkpoint, step=args.step)
    convert(checkpoint, target, args.to, args.vocabulary, args.scan_layers)
    gigabytes = 4e-9 * checkpoint.num_parameters()
    print(
        f"{checkpoint.num_parameters():,} parameters ({gigabytes:,.2f} GB) in "
        f"{len(checkpoint.tensors)} tensors, step {checkpoint.step}, from {checkpoint.format} to "
        f"{args.to}: {target}"
    )
    return 0


def _check(args: argparse.Namespace, target: Path) -> None:
    """Raises UserError for flags that do not go together, and for a TO that cannot be written."""
    if args.scan_layers and args.to not in T5X_FORMATS:
        raise UserError(f"--scan_layers is a layout of T5X, not of --to {args.to}; leave it out")
    if args.vocabulary and args.to in T5X_FORMATS:
        raise UserError(
            f"--vocabulary has no place in --to {args.to}, which keeps none; leave it out"
        )
    if args.step is not None and not 0 <= args.step < 2**31:
        raise UserError(f"--step={args.step} must be at least 0 and less than 2**31")
    if args.target.startswith("gs://"):
        raise UserError(f"{args.target}: TO must be local; write it here, then copy it there")
    if target.exists():
        raise UserError(f"{target} is there already; give a TO that is not there, or remove it")


def open_checkpoint(path: str) -> "Checkpoint":
    """A checkpoint of any format. Its shapes are checked; its tensors are not read yet.

    Raises:
        UserError: it is of no known format, or its tensors are not those of its model. Reading a
            tensor also raises it, if the tensor is damaged or holds values that are not finite.
    """
    return _read(folder_of(path), path)


def folder_of(path: str) -> epath.Path:
    """The folder of a checkpoint; raises UserError where there is none. JAX is not imported."""
    folder = epath.Path(path)
    if is_local(path):
        folder = folder.expanduser().resolve()
    with _readable(path):
        if folder.is_dir():
            return folder
        if folder.is_file():
            raise UserError(f"{path} is a file; give the folder that it is in, {folder.parent}")
    raise UserError(
        f"{path} is no folder that can be read from here; check the path (a model of the "
        "Hugging Face hub is fetched first: hf download NAME --local-dir FOLDER)"
    )


@contextlib.contextmanager
def _readable(path: str) -> Iterator[None]:
    """Raises UserError, naming FROM, for an OSError."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error}); check path and permissions") from error


def _read(folder: epath.Path, path: str) -> "Checkpoint":
    """As open_checkpoint; path is FROM as the user gave it, for messages."""
    from tk_instruct.convert import huggingface, ours, shapes, t5x, weight_files

    with _readable(path):
        folder = _last_step(folder)
        if (folder / "config.json").exists():
            checkpoint, whose = huggingface.read(str(folder)), "its config.json"
        elif (folder / "description").is_dir():
            checkpoint, whose = ours.read(str(folder)), "its description"
        elif t5x.is_orbax(folder):
            checkpoint, whose = t5x.read_orbax(str(folder)), "a model of its other tensors"
        elif (folder / "checkpoint").exists():
            checkpoint, whose = t5x.read_legacy(str(folder)), "a model of its other tensors"
        elif instead := weight_files.no_model(folder):
            raise instead
        else:
            raise UserError(
                f"{path} is no checkpoint: it holds none of config.json (Hugging Face), "
                "checkpoints/ or description/ (ours), checkpoint_N, state/ with arrays or the file "
                "checkpoint (T5X); check the path"
            )
    shapes.check(checkpoint, checkpoint.config, whose)
    return checkpoint.checked()


def _last_step(folder: epath.Path) -> epath.Path:
    """The last finished checkpoint of a MODEL_DIR, ours or T5X's; any other folder unchanged."""
    import orbax.checkpoint as ocp

    if (folder / "config.json").exists():
        return folder
    if (folder / "checkpoints").is_dir():
        folder = folder / "checkpoints"
    found = {}
    for child in folder.iterdir():
        match = re.fullmatch(r"(?:checkpoint_)?(\d+)", child.name)
        if match:
            found[int(match[1])] = child
    finished = set(ocp.utils.checkpoint_steps(folder)) & set(found) if found else set()
    unfinished = [folder, *sorted(folder.iterdir())] if not finished else []
    for each in unfinished:
        if ".orbax-checkpoint-tmp" in each.name:
            raise UserError(
                f"{each} is a checkpoint whose saving was not finished; give another one"
            )
    if found and not finished:
        raise UserError(
            f"{folder} holds {found[max(found)].name}, but no finished checkpoint: in a bucket it "
            "has a file commit_success.txt; give the path of a checkpoint that you know is whole"
        )
    return found[max(finished)] if finished else folder


def convert(
    checkpoint: "Checkpoint",
    target: Path,
    to: str,
    vocabulary: str | None = None,
    scan_layers: bool = False,
) -> None:
    """Writes a checkpoint in one of FORMATS, completely or not at all.

    Args:
        vocabulary: a name that data.vocabulary takes; None: the checkpoint's own.
        scan_layers: T5X's formats only: all layers in one array.

    Raises:
        UserError: the format has no such model, there is no vocabulary, a tensor is damaged or
            holds NaN or infinity, or the target cannot be written.
    """
    from tk_instruct.convert import huggingface, model_card, ours, t5x, vocabularies
    from tk_instruct.convert.tensors import stack
    from tk_instruct.progress import Progress

    loaded: Any = None
    if to == "huggingface":
        huggingface.family_of(checkpoint.config)  # raises UserError where there is none
    if to in ("huggingface", "ours"):
        loaded = vocabularies.load(checkpoint, vocabulary)
    megabytes = 4 * checkpoint.num_parameters() // _MEGABYTE
    with _beside(target) as folder, Progress("converting, MB", max(1, megabytes)) as progress:
        checksums: dict[str, str] = {}
        needed = to == "ours" or bool(checkpoint.checksums)
        tensors = _counted(checkpoint, progress, checksums if needed else None)
        if to in T5X_FORMATS and (scan_layers or checkpoint.config.relative_bias_per_layer):
            tensors = t5x.scalable(tensors, checkpoint.config)
        if scan_layers:
            tensors = stack(tensors)
        if to == "huggingface":
            huggingface.write(folder, checkpoint.config, tensors)
            vocabularies.write_huggingface(folder, loaded)
            card = model_card.compose(checkpoint, target.name, _licence_of)
            (folder / "README.md").write_text(card, encoding="utf-8")
        elif to == "ours":
            folder.mkdir()
            about = {"vocabulary": vocabularies.write_ours(folder, loaded), **_history(checkpoint)}
            ours.write(folder, checkpoint.step, checkpoint.config, tensors, about, checksums)
        elif to == "t5x":
            t5x.write_orbax(folder, checkpoint.step, tensors)
        else:
            t5x.write_legacy(folder, checkpoint.step, tensors)


def _licence_of(task: str) -> str | None:
    """What the suite of a task says of its data."""
    from tk_instruct.data import registry

    found = registry.suite_of(task)
    return found.licence or None if found else None


def _history(checkpoint: "Checkpoint") -> dict[str, Any]:
    """Data and configuration for a Description: those of our run, or a note of the origin."""
    if checkpoint.about is None:
        parts = Path(checkpoint.path).parts[-1 if checkpoint.format == "huggingface" else -2 :]
        origin = f"# Converted from {'/'.join(parts)} ({checkpoint.format})."
        return {"data": {}, "gin": origin}
    # Without the batch size: a run cannot continue without optimizer state.
    data = {key: value for key, value in checkpoint.about.data.items() if key != "batch_size"}
    return {"data": data, "gin": checkpoint.about.gin}


def _counted(
    checkpoint: "Checkpoint", progress: "Progress", checksums: dict[str, str] | None
) -> dict[str, "Tensor"]:
    """The tensors in order; reading a whole one advances the progress by its megabytes.

    It also verifies its checksum and puts that into `checksums`, unless that is None.
    """
    from tk_instruct.convert.tensors import in_order

    tensors = in_order(checkpoint.tensors)
    num_bytes = 0

    def read(name: str, tensor: "Tensor", index: Any) -> Any:
        nonlocal num_bytes
        array = tensor.read(index)
        if array.shape != tensor.shape:
            return array
        if checksums is not None:
            checksums.update(_verified(checkpoint, {name: array}))
        before = num_bytes // _MEGABYTE
        num_bytes += tensor.nbytes
        progress.advance(num_bytes // _MEGABYTE - before)
        return array

    return {
        name: replace(tensor, read=partial(read, name, tensor)) for name, tensor in tensors.items()
    }


def _verified(checkpoint: "Checkpoint", params: Mapping[str, Any]) -> dict[str, str]:
    """Checksums of parameters; raises UserError where they differ from the saved ones."""
    from tk_instruct.checksums import verify

    try:
        return verify({"params": params}, checkpoint.checksums)
    except UserError as error:
        raise UserError(f"{checkpoint.path}: {error}") from error


@contextlib.contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """Yields a folder beside the target; renames it to the target, or removes it on an error."""
    target = Path(os.path.realpath(target))  # a link is kept: the folder that it points to is made
    temporary = target.parent / f".{target.name}.{uuid.uuid4().hex[:8]}"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.rename(target)
    except BaseException as error:
        _remove(temporary)
        # TensorStore and safetensors name the error number in their messages.
        code = re.search(r"os[_ ]error(?:_code=')? ?(\d+)", str(error))
        if isinstance(error, OSError):
            raise cannot_write(target, error) from error
        if code and not isinstance(error, UserError):
            number = int(code[1])
            raise cannot_write(target, OSError(number, os.strerror(number))) from error
        raise


def _remove(folder: Path) -> None:
    """Removes a folder; a background thread may still be writing into it."""
    gone = 0
    for _ in range(50):
        shutil.rmtree(folder, ignore_errors=True)
        gone = 0 if folder.exists() else gone + 1
        if gone == 3:
            return
        time.sleep(0.1)


def initial_params(path: str, like: Any, config: "T5Config | DecoderConfig") -> tuple[Any, int]:
    """The parameters at a path, such as INITIAL_CHECKPOINT_PATH, and their step.

    Raises UserError as open_checkpoint and params_of do.
    """
    checkpoint = open_checkpoint(path)
    return params_of(checkpoint, like, config), checkpoint.step


def params_of(checkpoint: "Checkpoint", like: Any, config: "T5Config | DecoderConfig") -> Any:
    """The parameters of a checkpoint of any format, placed on the devices.

    Each process reads only the parts that its devices hold, one tensor after another.

    Args:
        like: the tree of the model's parameters, stacked or not, as jax.ShapeDtypeStruct with
            shardings.
        config: the configuration of that model.

    Raises:
        UserError: a tensor is missing, is not the model's, has another shape than the model's, is
            damaged, or holds NaN or infinity.
    """
    from flax.traverse_util import flatten_dict, unflatten_dict

    from tk_instruct.convert import shapes
    from tk_instruct.convert.tensors import stack
    from tk_instruct.progress import Progress

    shapes.check(checkpoint, config, "the model")
    tensors = checkpoint.tensors
    if config.scan_layers:
        tensors = stack(tensors)
    leaves = flatten_dict(like, sep="/")
    params = {}
    with Progress("reading tensors", len(leaves)) as progress:
        for name, leaf in leaves.items():
            params[name] = _placed(tensors[name], leaf)
            if checkpoint.checksums:
                _verified(checkpoint, {name: params[name]})
            progress.advance()
    return unflatten_dict(params, sep="/")


def _placed(tensor: "Tensor", leaf: Any) -> Any:
    import jax

    parts: dict[str, Any] = {}  # a part that several devices hold is read once

    def part(index: Any) -> Any:
        key = str(index)
        if key not in parts:
            parts[key] = tensor.read(index).astype(leaf.dtype, copy=False)
        return parts[key]

    return jax.make_array_from_callback(leaf.shape, leaf.sharding, part)
