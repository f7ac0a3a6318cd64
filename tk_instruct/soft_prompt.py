"""A soft prompt: trained vectors before the inputs of a frozen model (arXiv:2104.08691).

The checkpoints of such a run hold the prompt and the path of the frozen model.
"""

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tk_instruct import randomness
from tk_instruct.errors import UserError
from tk_instruct.files import Path

if TYPE_CHECKING:
    from tk_instruct.convert.tensors import Checkpoint
    from tk_instruct.model.config import DecoderConfig, T5Config

_NUM_SPECIAL_TOKENS = 3  # padding, EOS, unknown
_NUM_COMMON_TOKENS = 5000


def sampled_vocabulary(
    frozen: Mapping[str, Any], prompt_length: int, vocab_size: int, seed: int
) -> dict[str, Any]:
    """The initial parameters of a prompt: embeddings of common tokens, drawn by the seed.

    This is the "sampled vocabulary" of arXiv:2104.08691, section 3.2. It draws from the 5,000 most
    common tokens, which are the first ones of a SentencePiece vocabulary.
    """
    last = min(_NUM_SPECIAL_TOKENS + _NUM_COMMON_TOKENS, vocab_size)
    common = np.arange(_NUM_SPECIAL_TOKENS, last)
    rng = np.random.default_rng(randomness.draw(seed, "soft prompt"))
    ids = rng.choice(common, prompt_length, replace=prompt_length > len(common))
    return {"soft_prompt": {"embedding": frozen["token_embedder"]["embedding"][ids]}}


def described(prompt_length: int, model: "Checkpoint", frozen: Any) -> dict[str, Any]:
    """The field Description.soft_prompt, for a prompt of this frozen model and its parameters."""
    return {
        "length": prompt_length,
        "frozen": model.path,
        "fingerprint": _fingerprint(model),
        "checksum": _checksum(frozen),
    }


def frozen_params(
    about: Mapping[str, Any], where: Path, like: Any, config: "T5Config | DecoderConfig"
) -> Any:
    """The parameters of the frozen model that a prompt was trained for.

    Args:
        about: Description.soft_prompt of the prompt's checkpoint.
        where: the prompt's checkpoint, for messages.
        like, config: as in convert.params_of.

    Raises:
        UserError: the model is not there, or has changed.
    """
    from tk_instruct import convert

    try:
        model = convert.open_checkpoint(about["frozen"])
        if _fingerprint(model) != about["fingerprint"]:
            raise UserError(f"{model.path} has other embeddings than it had")
        params = convert.params_of(model, like, config)
        if _checksum(params) != about.get("checksum", _checksum(params)):
            raise UserError(f"{model.path} has other parameters than it had")
        return params
    except UserError as error:
        reason = str(error).partition(";")[0]
        raise UserError(
            f"{where} is a soft prompt for the model in {about['frozen']}, which is not there as "
            f"it was ({reason}); put it back, or train a prompt for another"
        ) from error


def _checksum(params: Any) -> str:
    from tk_instruct.checksums import checksums, digest

    return digest(checksums({"params": params}))


def _fingerprint(model: "Checkpoint") -> str:
    """A digest of the first 128 embeddings, which almost any training changes.

    Older checkpoints have this and no checksum.
    """
    rows = model.tensors["token_embedder/embedding"].read((slice(0, 128), slice(None)))
    return hashlib.sha256(np.ascontiguousarray(rows).tobytes()).hexdigest()[:16]
