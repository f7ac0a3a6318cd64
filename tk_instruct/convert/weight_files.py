"""Finds the files of a Hugging Face folder that hold the weights, and reads their tensors."""

import shlex
import shutil
import tempfile
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Annotated

import ml_dtypes
import msgspec
import numpy as np
from etils import epath
from safetensors import SafetensorError, safe_open

from tk_instruct import schema
from tk_instruct.convert import storage
from tk_instruct.convert.tensors import Index, Tensor
from tk_instruct.errors import UserError

WEIGHTS, WEIGHTS_INDEX = "model.safetensors", "model.safetensors.index.json"

_DTYPES = {"F32": np.float32, "F16": np.float16, "BF16": ml_dtypes.bfloat16}


REPAIR = "correct it, or fetch it again"


class _Index(msgspec.Struct, frozen=True):
    weight_map: Annotated[dict[str, str], msgspec.Meta(min_length=1)]


def stored_tensors(folder: epath.Path) -> dict[str, Tensor]:
    """The tensors of the files that transformers reads, as float32.

    The files are model.safetensors, else the shards in model.safetensors.index.json. Every other
    *.safetensors is ignored: it may be an adapter, an average of the weights, or an older save.

    Raises:
        UserError: there are no weights, or the files do not match the index.
    """
    weight_map: Mapping[str, str] = {}
    if not (folder / WEIGHTS).exists():
        if not (folder / WEIGHTS_INDEX).exists():
            empty = UserError(
                f"{folder} holds neither {WEIGHTS} nor {WEIGHTS_INDEX}; fetch it again"
            )
            raise no_model(folder) or empty
        weight_map = _weight_map(folder / WEIGHTS_INDEX)
    local = _local_copies(folder)
    tensors: dict[str, Tensor] = {}
    home: dict[str, str] = {}
    for file in sorted(set(weight_map.values())) or [WEIGHTS]:
        for name, tensor in _tensors_in(local(file)).items():
            if name in tensors:
                raise UserError(
                    f"{folder}: {name} is in {home[name]} and in {file}; they are of two saves: "
                    "fetch or save the folder again"
                )
            tensors[name], home[name] = tensor, file
    for name, file in weight_map.items():
        if home.get(name) != file:
            raise UserError(
                f"{folder}: {name} is not in {file}, where {WEIGHTS_INDEX} has it; the index and "
                "the files are of two saves: fetch or save the folder again"
            )
    # Names of a model inside another have a prefix: "module.", "_orig_mod.", "model.".
    layers = (name.partition("encoder.block.") for name in tensors)
    wrapper = next((before for before, layer, _ in layers if layer), "")
    if all(name.startswith(wrapper) for name in tensors):
        tensors = {name.removeprefix(wrapper): tensor for name, tensor in tensors.items()}
    return tensors


def _weight_map(index: epath.Path) -> dict[str, str]:
    """Tensor name → file, as the index has it; all these files are in its folder."""
    weight_map = schema.read(index, _Index, REPAIR).weight_map
    for name, file in weight_map.items():
        if not _is_inside(index.parent, file):
            raise UserError(
                f"{index}: {name} is in {file!r}, which is no file of its folder; take a folder "
                "from a source that you trust, whose index names the files beside it"
            )
    files = sorted(set(weight_map.values()))
    absent = [file for file in files if not (index.parent / file).exists()]
    if absent:
        others = sorted(file.name for file in index.parent.glob("*.safetensors"))
        beside = set(others) - set(files)
        stale = f"; or, if {', '.join(sorted(beside))} is the model, call it {WEIGHTS}"
        raise UserError(
            f"{index.parent} lacks {', '.join(absent)}, which {index.name} names; fetch what is "
            f"missing{stale if beside else ''}"
        )
    return weight_map


def _is_inside(folder: epath.Path, file: str) -> bool:
    """Whether `file` is a plain name of a file in the folder.

    A symbolic link must not lead out of the folder, except in the hub's cache, where every file is
    a link to a blob.
    """
    if "/" in file or "\\" in file or "\0" in file or file in ("", ".", ".."):
        return False
    if str(folder).startswith("gs://"):
        return True
    home, target = Path(folder).resolve(), (Path(folder) / file).resolve()
    cache_blobs = target.parent.name == "blobs" and target.parents[1].name.startswith("models--")
    return target.parent == home or cache_blobs


def no_model(folder: epath.Path) -> UserError | None:
    """The error for a folder with files of Hugging Face's but no model; None for other folders."""
    found = sorted(file.name for file in folder.iterdir())
    tensors = [name for name in found if name.endswith(".safetensors")]
    kinds = ("pytorch_model", "adapter_model")
    pickles = [name for name in found if name.startswith(kinds) and name.endswith(".bin")]
    others = [name for name in found if name.endswith((".msgpack", ".h5", ".gguf"))]
    nested = sorted(
        str(config.parent)
        for pattern in ("*/config.json", "snapshots/*/config.json")
        for config in folder.glob(pattern)
    )
    danger = (
        f" It reads {', '.join(pickles)}, a pickle, and a pickle can run code: do it only if you "
        "trust the file's source."
    )
    if any(name.startswith("adapter_") for name in found):
        return UserError(
            f"{folder} holds an adapter and no model; merge it into its model first, with peft, "
            f"and save the tokenizer too.{danger if pickles else ''}\n  " + _python(_MERGE, folder)
        )
    if nested:
        more = f" and {len(nested) - 4} more" if len(nested) > 4 else ""
        return UserError(
            f"{folder} is no checkpoint, but {', '.join(nested[:4])}{more} may be one of Hugging "
            "Face's (of its Trainer, of the hub's cache); give one of these"
        )
    if "config.json" not in found and tensors + pickles + others:
        return UserError(
            f"{folder} holds {(tensors + pickles + others)[0]}, but no config.json that says what "
            "model it is of; put the model's config.json (and spiece.model) beside it"
        )
    if tensors:
        return UserError(
            f"{folder} holds {', '.join(tensors)}, but neither {WEIGHTS} nor {WEIGHTS_INDEX}; call "
            f"the one that is the model {WEIGHTS}, or fetch the index of its shards"
        )
    if pickles:
        return UserError(
            f"{folder} holds {', '.join(pickles)} and no {WEIGHTS}; write the weights and the "
            f"tokenizer anew with transformers.{danger} weights_only=True has PyTorch refuse "
            f"code.\n  {_python(_REWRITE, folder)}"
        )
    if others:
        return UserError(
            f"{folder} holds {', '.join(others)} and no {WEIGHTS}, which alone is read; get the "
            f"model with {WEIGHTS} from its source"
        )
    return None


_REWRITE = (
    "import sys; from transformers import AutoModelForSeq2SeqLM, AutoTokenizer; "
    "AutoModelForSeq2SeqLM.from_pretrained(sys.argv[1], weights_only=True)"
    ".save_pretrained(sys.argv[2]); "
    "AutoTokenizer.from_pretrained(sys.argv[1]).save_pretrained(sys.argv[2])"
)
_MERGE = (
    "import sys; from peft import AutoPeftModelForSeq2SeqLM, PeftConfig; "
    "from transformers import AutoTokenizer; "
    "AutoPeftModelForSeq2SeqLM.from_pretrained(sys.argv[1]).merge_and_unload()"
    ".save_pretrained(sys.argv[2]); "
    "AutoTokenizer.from_pretrained(PeftConfig.from_pretrained(sys.argv[1])"
    ".base_model_name_or_path).save_pretrained(sys.argv[2])"
)


def _python(program: str, folder: epath.Path) -> str:
    """The command that writes a readable copy of a folder beside it."""
    source = str(folder).rstrip("/")
    return f"python -c {shlex.quote(program)} {shlex.quote(source)} {shlex.quote(source + '-new')}"


def _local_copies(folder: epath.Path) -> Callable[[str], str]:
    """A function: the name of a file → its local path; copies a file of gs:// once."""
    if not str(folder).startswith("gs://"):
        return lambda name: str(folder / name)
    kept = tempfile.TemporaryDirectory(prefix="tk-instruct-convert")

    @cache
    def copy(name: str) -> str:
        target = Path(kept.name) / name
        with (folder / name).open("rb") as source, target.open("wb") as sink:
            shutil.copyfileobj(source, sink, 2**24)
        return str(target)

    return copy


def _tensors_in(file: str) -> dict[str, Tensor]:
    def read(name: str, index: Index) -> np.ndarray:
        # Opened each time: an open file would keep more and more in memory.
        try:
            with safe_open(file, "np", backend="pread") as opened:
                return opened.get_slice(name)[index].astype(np.float32, copy=False)
        except (SafetensorError, OSError) as error:
            raise storage.unreadable(name, file, error) from error

    tensors = {}
    try:
        with safe_open(file, "np", backend="pread") as opened:
            for name in opened.keys():  # noqa: SIM118 - it is no dictionary
                part = opened.get_slice(name)
                dtype = _DTYPES.get(part.get_dtype(), part.get_dtype())
                storage.check_dtype(dtype, name, file)
                shape = tuple(part.get_shape())
                tensors[name] = Tensor(shape, partial(read, name))
    except (SafetensorError, OSError) as error:
        raise storage.unreadable("the header", file, error) from error
    return tensors
