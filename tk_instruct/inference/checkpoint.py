"""Loads a checkpoint as a model to run, and makes a system of it."""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import gin
import numpy as np

from tk_instruct import configuration
from tk_instruct.errors import UserError
from tk_instruct.files import Path
from tk_instruct.inference.decoding import Decoding
from tk_instruct.journal import Predict

if TYPE_CHECKING:
    from jax.sharding import Mesh

    from tk_instruct.checkpoint import Checkpoints, Description
    from tk_instruct.data.tokenization import Tokenizer
    from tk_instruct.data.tokens import FeatureLengths
    from tk_instruct.model.language_model import LanguageModel


def load_checkpoint(
    model_dir: Path, step: int | Literal["best"] | None
) -> tuple["Checkpoints", int, "Description"]:
    """A run's checkpoint and its description; binds the run's configuration of its data.

    Raises UserError for a folder without checkpoints, before JAX and Orbax are imported.
    """
    if not (model_dir / "checkpoints").is_dir():
        raise UserError(
            f"{model_dir} holds no checkpoints/; give the MODEL_DIR of a run that has saved"
        )
    from tk_instruct.checkpoint import Checkpoints

    checkpoints = Checkpoints(model_dir, read_only=True)
    step = checkpoints.step_or_latest(step)
    about = checkpoints.description(step)
    where = checkpoints.directory / str(step) / "description"
    configuration.load_data_of(about.gin, str(where))
    kept = model_dir / "sentencepiece.model"
    name = str(kept) if kept.exists() else about.vocabulary["name"]
    gin.bind_parameter("vocabulary.name", name)
    return checkpoints, step, about


def encoding_of_run(about: "Description") -> tuple["Tokenizer", bool]:
    """How a run's prompts are encoded: the tokenizer, and whether they end in EOS.

    It is the encoding of the first task of the run's mixture. A run that was trained elsewhere, or
    on a task that is not declared here, has the vocabulary's tokenizer, and EOS.
    """
    from tk_instruct.data import registry
    from tk_instruct.data.tokenization import Plain
    from tk_instruct.data.vocabulary import vocabulary

    try:
        trained_on: Any = registry.get(about.data["mixture"])
        first = next(iter(getattr(trained_on, "tasks", [trained_on])))
        return first.tokenizer(), first.inputs_have_eos
    except (KeyError, UserError):
        return Plain(vocabulary()), True


def identity_of(checkpoints: "Checkpoints", step: int, about: "Description") -> dict[str, Any]:
    """The values that a checkpoint's answers depend on. They do not depend on its path."""
    return {
        "parameters": checkpoints.content(step),
        "model": about.model,
        "soft_prompt": about.soft_prompt,
        "vocabulary": about.vocabulary["fingerprint"],
    }


def check_vocabulary(about: "Description", where: Path) -> None:
    """Raises UserError where the vocabulary is not the one that a run was trained with."""
    from tk_instruct.data import vocabulary

    found = vocabulary.fingerprint(vocabulary.vocabulary())
    if found != about.vocabulary["fingerprint"]:
        raise UserError(
            f"the vocabulary (fingerprint {found}) is not the one that {where} was trained with "
            f"({about.vocabulary['fingerprint']}, {about.vocabulary['name']}): its ids would mean "
            "other words; leave --vocabulary out or give that one"
        )


@dataclass
class Loaded:
    """A model to decode with. Its parameters and the rows of a batch are sharded over the mesh.

    Other parameters may be put in place of the first; what was compiled is used for them too.
    """

    model: "LanguageModel"
    params: Any
    mesh: "Mesh"

    @property
    def num_row_shards(self) -> int:
        from tk_instruct import sharding

        return sharding.num_row_shards(self.mesh)

    def enough_rows(self, num_examples: int, batch_size: int) -> int:
        """The rows of a batch: batch_size, or fewer if they hold all examples.

        The number divides over the devices.
        """
        return min(batch_size, -(-num_examples // self.num_row_shards) * self.num_row_shards)

    def compiled(self, function: Callable[..., Any]) -> Callable[..., np.ndarray]:
        """function(model, params, **arrays) as a function of arrays whose rows lie on all devices.

        All processes give the same arrays and get the whole result. The function is compiled once
        for each shape.
        """
        import jax

        from tk_instruct import sharding

        jitted = jax.jit(partial(function, self.model))
        # A jit of its own, so that the output's sharding does not change how it is computed.
        whole = jax.jit(lambda result: result, out_shardings=sharding.replicated(self.mesh))

        fitting: set[tuple[tuple[int, ...], ...]] = set()

        def call(**arrays: np.ndarray) -> np.ndarray:
            rows = sharding.local_rows(self.mesh, len(next(iter(arrays.values()))))
            local = {name: array[rows] for name, array in arrays.items()}
            with sharding.use(self.mesh):
                batch = sharding.shard_batch(local, self.mesh)
                shapes = tuple(array.shape for array in arrays.values())
                if shapes not in fitting:
                    num_rows, length = arrays["input_tokens"].shape
                    sharding.check_program(
                        jitted.lower(self.params, **batch).compile(),
                        f"the model, {num_rows} rows of {length} tokens and their targets",
                        "take fewer at once (--batch_size), fewer beams or shorter targets",
                    )
                    fitting.add(shapes)
                return jax.device_get(whole(jitted(self.params, **batch)))

        return call


def load_model(
    checkpoints: "Checkpoints", step: int, about: "Description", num_partitions: int = 1
) -> Loaded:
    from tk_instruct import sharding, soft_prompt
    from tk_instruct.model import build
    from tk_instruct.model.config import config_from_fields
    from tk_instruct.model.stacking import unstack_layers
    from tk_instruct.step import abstract_params, trained_and_frozen

    config, mesh = config_from_fields(about.model), sharding.make_mesh(num_partitions)
    prompt_length = about.soft_prompt.get("length", 0)
    like = sharding.placed(abstract_params(build(config, prompt_length)), mesh)
    trained, frozen = trained_and_frozen(like)
    params = checkpoints.restore_params(step, trained)
    if prompt_length:
        where = checkpoints.directory / str(step)
        params |= soft_prompt.frozen_params(about.soft_prompt, where, frozen, config)
    if config.scan_layers:
        config, params = replace(config, scan_layers=False), unstack_layers(params)
    return Loaded(build(config, prompt_length), params, mesh)


class CheckpointSystem:
    """The checkpoint that --model_dir and --step name, whose parameters are loaded on demand."""

    reads_text = False

    def __init__(self, args: argparse.Namespace) -> None:
        model_dir = Path(args.model_dir).expanduser()
        self._checkpoints, self.step, self._about = load_checkpoint(model_dir, args.step)
        configuration.bind_data_arguments(args)
        check_vocabulary(self._about, model_dir)
        self.folder: Path | None = model_dir
        self.mixture: str | None = self._about.data.get("mixture")
        self.lengths: Mapping[str, int] | None = self._about.data.get("lengths")
        self.identity: Mapping[str, Any] = identity_of(self._checkpoints, self.step, self._about)

    def encoding(self) -> tuple["Tokenizer", bool]:
        return encoding_of_run(self._about)

    def generator(
        self, decoding: Decoding, lengths: "FeatureLengths", args: argparse.Namespace
    ) -> Callable[[Path], Predict]:
        from tk_instruct.inference.generation import decoder

        predict = decoder(self._loaded(args), decoding, lengths, args.batch_size)
        return lambda output: predict

    def ranker(
        self, lengths: "FeatureLengths", args: argparse.Namespace
    ) -> Callable[[Path], Predict]:
        from tk_instruct.inference.ranking import ranker

        rank = ranker(self._loaded(args), lengths, args.batch_size, args.length_normalized)
        return lambda output: rank

    def _loaded(self, args: argparse.Namespace) -> Loaded:
        return load_model(self._checkpoints, self.step, self._about, args.num_partitions)
