"""Models: sizes, layers, encoder-decoder, decoder-only, decoding."""

from typing import TYPE_CHECKING

from tk_instruct.model.config import DecoderConfig, T5Config

if TYPE_CHECKING:
    from tk_instruct.model.language_model import LanguageModel


def build(config: T5Config | DecoderConfig, prompt_length: int = 0) -> "LanguageModel":
    """The module of a configuration; its parameters come from step.init_params or a checkpoint."""
    # Gin needs the configurations of this package only, and not JAX, which the modules import.
    from tk_instruct.model.decoder import Decoder
    from tk_instruct.model.t5 import T5

    if isinstance(config, DecoderConfig):
        return Decoder(config, prompt_length)
    return T5(config, prompt_length)
