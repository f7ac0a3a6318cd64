"""Train, score or predict with upstream t5x in place of this project's engine, by the same recipe.

Recipes, --gin.NAME=VALUE and the data flags are those of `tk-instruct train`.
gin/t5x/{finetune,eval,infer}.gin say which macros must be set too, and which ones t5x does not use.
t5x's own options are gin parameters: --gin.train.use_orbax=False.

  tk-instruct t5x train --gin_file=recipes/smoke.gin --gin.MODEL_DIR=RUN
  tk-instruct t5x eval --gin_file=recipes/smoke.gin --gin.CHECKPOINT_PATH=RUN/checkpoint_200 \\
      --gin.EVAL_OUTPUT_DIR=RUN
  tk-instruct t5x infer --gin_file=recipes/smoke.gin --gin.CHECKPOINT_PATH=RUN/checkpoint_200 \\
      --gin.INFER_OUTPUT_DIR=RUN/predictions
"""

import argparse
import importlib
import logging
import os
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import gin

from tk_instruct import configuration, distributed, files
from tk_instruct.configuration import gin_files, loading
from tk_instruct.errors import UserError

# So that t5x's own scripts, which know nothing of suites, find the file that is made of these.
gin.config.register_file_reader(gin_files.open_file, gin_files.is_of_suites)

# Action → a script of t5x, its function, and the gin file that binds the function's arguments.
_RUNS = {
    "train": ("t5x.train", "train", "t5x/finetune.gin"),
    "eval": ("t5x.eval", "evaluate", "t5x/eval.gin"),
    "infer": ("t5x.infer", "infer", "t5x/infer.gin"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=_RUNS, help="which of t5x's scripts")
    configuration.add_gin_arguments(parser)
    configuration.add_data_arguments(parser)
    distributed.add_arguments(parser)


def main(args: argparse.Namespace) -> int:
    distributed.initialize(args)
    configuration.import_declarations(args.modules, args.gin_search_paths)
    run = load(args.action, args.gin_file, args.gin_bindings)
    configuration.bind_data_arguments(args)
    logging.getLogger("absl").setLevel(logging.INFO)  # t5x's only sign of progress
    run()
    return 0


def load(action: str, paths: Sequence[str], bindings: Sequence[str]) -> Any:
    """The function of one of t5x's scripts, its arguments bound as if the script were running.

    Raises UserError where t5x is not installed, and for what configuration.load does.
    """
    module, function, run_file = _RUNS[action]
    try:
        script = importlib.import_module(module)
    except ImportError as error:
        raise UserError(
            f"{module} cannot be imported ({error}); install it from a checkout of this project "
            "with uv pip install -c constraints.txt '.[t5x]'"
        ) from error
    main_script = sys.modules["__main__"]
    sys.modules["__main__"] = script  # gin files for t5x name its function as a script's own
    try:
        _refuse_our_engines(paths, bindings)
        configuration.load(run_file, paths, bindings, takes_recipes=True)
    finally:
        sys.modules["__main__"] = main_script
    return gin.get_configurable(getattr(script, function))


def _refuse_our_engines(paths: Sequence[str], bindings: Sequence[str]) -> None:
    """Raises UserError where a recipe sets a parameter of our engine, which t5x does not use."""
    settings = [setting for path in paths for setting in gin_files.read_file(path, given=path)]
    names = (gin_files.split_binding(binding)[0] for binding in bindings)
    settings += [gin_files.read_binding(f"{name} = None") for name in names]
    for setting in settings:
        if setting.key.selector.rpartition(".")[2] in ("TrainRun", "DecoderConfig"):
            raise UserError(
                f"{setting.place} sets {setting.key.selector}.{setting.key.parameter}: t5x runs "
                "what recipes say with macros, and of models encoder-decoders; others are trained "
                "with `tk-instruct train`"
            )


# The functions that gin/t5x/*.gin call.


def mixture(name: str) -> str:
    """The name of a task or mixture; with --skip_missing, of its tasks that have data.

    MIXTURE_OR_TASK_MODULE is imported first. Raises UserError for one that is not declared.
    """
    from tk_instruct.data import registry
    from tk_instruct.data.seqio_bridge import declarations

    if (module := loading.task_module()) is not None:
        loading.import_task_module(module, "MIXTURE_OR_TASK_MODULE")
    registry.check_mixture(name)
    return declarations.available(name)


def absolute(path: str | None) -> str | None:
    """The same path from the root: Orbax takes no other. None stays None."""
    return None if path is None else os.fspath(files.absolute(files.Path(path).expanduser()))


def checked(
    model: Any,
    relative_bias_per_layer: bool,
    prompt_length: int = 0,
    num_train_examples: int | None = None,
) -> Any:
    """t5x's model; raises UserError for a recipe that t5x cannot train."""
    from tk_instruct.data.vocabulary import vocabulary

    if relative_bias_per_layer:
        raise UserError(
            f"RELATIVE_BIAS_PER_LAYER={relative_bias_per_layer} (umT5): t5x.examples.t5 has one "
            "relative bias for all layers; train this model with `tk-instruct train`"
        )
    for macro, value in (
        ("PROMPT_LENGTH", prompt_length),
        ("NUM_TRAIN_EXAMPLES", num_train_examples),
    ):
        if value:
            raise UserError(
                f"{macro}={value}: t5x trains all parameters on all examples; train this recipe "
                "with `tk-instruct train`"
            )
    loaded, size = vocabulary(), model.module.config.vocab_size
    if loaded.vocab_size > size:
        raise UserError(f"VOCAB_SIZE={size} is below the vocabulary's {loaded.vocab_size} ids")
    return model


def step_of(checkpoint_path: str | None) -> int:
    """The step of one of t5x's checkpoints, 0 without one; raises UserError for other paths."""
    if checkpoint_path is None:
        return 0
    match = re.search(r"checkpoint_(\d+)/?$", checkpoint_path)
    if not match:
        raise UserError(
            f"INITIAL_CHECKPOINT_PATH={checkpoint_path!r} is no checkpoint_N, which t5x starts "
            "from; make one with `tk-instruct convert FROM TO --to t5x`"
        )
    return int(match[1])


def loss_normalizing_factor(max_gradient_norm: float | None, num_microbatches: int) -> str | None:
    """The number that t5x divides the loss of a microbatch by; None divides by nothing.

    Adafactor's steps do not depend on it. Without it, microbatches are weighted by their tokens.
    Clipped gradients need the mean over tokens. Raises UserError for clipping with several
    microbatches: t5x would clip the sum of their means.
    """
    if max_gradient_norm is None:
        return None
    if num_microbatches > 1:
        raise UserError(
            f"MAX_GRADIENT_NORM={max_gradient_norm} with NUM_MICROBATCHES={num_microbatches}: t5x "
            "cannot clip the gradient of their mean; set one of them to None or 1"
        )
    return "NUM_REAL_TARGET_TOKENS"


def write_predictions(
    path: str,
    inferences: tuple[Sequence[Any], Mapping[str, Any]],
    task_ds: Any,
    mode: str,
    vocabulary: Any,
) -> None:
    """A write_fn for t5x.infer in mode predict: JSON lines {id, task, prediction}."""
    import json

    from etils import epath

    tokens, _ = inferences
    with epath.Path(path).open("w") as file:
        for example, row in zip(task_ds.as_numpy_iterator(), tokens, strict=True):
            text = vocabulary.decode([int(token) for token in row])
            line = {
                "id": example["id"].decode("utf-8"),
                "task": example["task"].decode("utf-8"),
                "prediction": text,
            }
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
