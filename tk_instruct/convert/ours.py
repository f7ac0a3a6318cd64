"""Our own checkpoints: MODEL_DIR/checkpoints/N, with the vocabulary in MODEL_DIR."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from etils import epath

from tk_instruct.checkpoint import (
    Description,
    read_description,
    saved_checksums,
    write_checksums,
)
from tk_instruct.checksums import checksums as of_arrays
from tk_instruct.convert import storage
from tk_instruct.convert.tensors import Checkpoint, Tensor, unstack
from tk_instruct.errors import UserError
from tk_instruct.model.config import DecoderConfig, T5Config, config_from_fields

VOCABULARY_FILE = "sentencepiece.model"


def read(path: str) -> Checkpoint:
    """MODEL_DIR/checkpoints/N, trained or converted; raises UserError for only a soft prompt."""
    folder = epath.Path(path)
    try:
        about = read_description(folder)
        checksums = saved_checksums(folder)
        config = replace(config_from_fields(about.model), scan_layers=False)
    except UserError as error:
        raise storage.unreadable("its description", path, error) from error
    if about.soft_prompt:
        raise UserError(
            f"{path} holds no model but a soft prompt of {about.soft_prompt['length']} vectors, "
            "which other formats do not have and no training starts from; take the model that it "
            f"stands before, {about.soft_prompt['frozen']}"
        )
    model_dir = folder.parent.parent
    kept = model_dir / VOCABULARY_FILE
    return Checkpoint(
        path=path,
        format="ours",
        config=config,
        step=int(folder.name),
        tensors=unstack(storage.read_orbax(f"{path}/state", "params/"), path),
        vocabulary=str(kept) if kept.exists() else about.vocabulary["name"],
        about=about,
        checksums=checksums,
    )


def write(
    folder: Path,
    step: int,
    config: T5Config | DecoderConfig,
    tensors: Mapping[str, Tensor],
    about: Mapping[str, Any],
    checksums: Mapping[str, str],
) -> None:
    """A MODEL_DIR for prediction and as a start of training, without optimizer state.

    Args:
        about: Description's vocabulary, data and gin.
        checksums: those of the tensors; it may be filled while these are read.
    """
    of_step = np.array(step, np.int32)
    description = Description(**{"model": asdict(config), **about})
    storage.write_orbax(
        folder / "checkpoints",
        step,
        None,
        {"step": of_step},
        {f"params/{name}": tensor for name, tensor in tensors.items()},
        {"cursor": {}, "description": vars(description)},
    )
    sums = {**checksums, **of_arrays({"step": of_step})}
    write_checksums(folder / "checkpoints" / str(step), sums, {}, description)
