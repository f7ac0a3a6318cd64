"""Our own checkpoints: MODEL_DIR/checkpoints/N, and beside it the vocabulary."""

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from etils import epath

from tk_instruct.checkpoint import Description
from tk_instruct.convert import storage
from tk_instruct.convert.tensors import Checkpoint, Tensor, unstack
from tk_instruct.errors import UserError
from tk_instruct.model.config import DecoderConfig, T5Config, config_from_fields

VOCABULARY_FILE = "sentencepiece.model"


def read(path: str) -> Checkpoint:
    """MODEL_DIR/checkpoints/N, of a run or converted; raises UserError for a soft prompt alone."""
    folder = epath.Path(path)
    about = Description(**json.loads((folder / "description" / "metadata").read_text()))
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
        config=replace(config_from_fields(about.model), scan_layers=False),
        step=int(folder.name),
        tensors=unstack(storage.read_orbax(f"{path}/state", "params/"), path),
        vocabulary=str(kept) if kept.exists() else about.vocabulary["name"],
        about=about,
    )


def write(
    folder: Path,
    step: int,
    config: T5Config | DecoderConfig,
    tensors: Mapping[str, Tensor],
    about: Mapping[str, Any],
) -> None:
    """A MODEL_DIR to predict with and to start training from; without an optimizer's state.

    about are Description's vocabulary, data and gin.
    """
    description = Description(**{"model": asdict(config), **about})
    storage.write_orbax(
        folder / "checkpoints",
        step,
        None,
        {"step": np.array(step, np.int32)},
        {f"params/{name}": tensor for name, tensor in tensors.items()},
        {"cursor": {}, "description": vars(description)},
    )
