"""Command-line flags and gin files → what the verbs run with.

Here are the flags. `gin_files` says what gin files set and where, `values` of which types that is;
`loading` tells gin, and checks what is missing, misspelt or without effect.
"""

import argparse
import contextlib
import importlib
import os
import pkgutil
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import gin

from tk_instruct.configuration.loading import configured, load, load_data_of, load_part
from tk_instruct.errors import UserError
from tk_instruct.ranges import whole_number

if TYPE_CHECKING:
    from tk_instruct.data.tokens import FeatureLengths

__all__ = ["configured", "load", "load_data_of", "load_part"]


def add_gin_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("configuration by gin")
    group.add_argument(
        "--gin_file",
        action="append",
        default=[],
        metavar="FILE",
        help="a gin file, looked for here and among the shipped ones (recipes/…); repeatable, "
        "later ones override earlier ones",
    )
    group.add_argument(
        "--gin.NAME=VALUE",
        dest="gin_bindings",
        action="append",
        default=[],
        metavar="",
        help="set a macro (MODEL_DIR) or a parameter (TrainRun.seed) after the files are read",
    )


def take_gin_bindings(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Splits `--gin.NAME=VALUE` arguments off, as `NAME = VALUE` with the value as typed."""
    rest, bindings = [], []
    for argument in arguments:
        match = re.fullmatch(r"--gin\.([\w./@]+)=(.*)", argument, re.DOTALL)
        if match:
            bindings.append(f"{match[1]} = {match[2]}")
        elif argument.startswith("--gin."):
            raise UserError(f"{argument!r} has no value; write --gin.NAME=VALUE in one word")
        else:
            rest.append(argument)
    return rest, bindings


def add_import_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--import",
        dest="modules",
        action="append",
        default=[],
        metavar="MODULE",
        help="a Python module of yours that declares SeqIO tasks or gin configurables; its code "
        "runs; repeatable",
    )


def add_data_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of every verb that reads tasks."""
    add_import_argument(parser)
    group = parser.add_argument_group("data")
    group.add_argument(
        "--data_dir",
        metavar="DIR",
        help="a natural-instructions checkout, with tasks/ and splits/ "
        "(else $TK_INSTRUCT_SUPERNI_DIR)",
    )
    group.add_argument(
        "--self_instruct_data",
        metavar="PATH",
        help="a run of `tk-instruct self-instruct`, its prepared/train.jsonl, or a file of Alpaca, "
        "Self-Instruct or P3 records (else $TK_INSTRUCT_SELF_INSTRUCT_DATA)",
    )
    group.add_argument(
        "--user_oriented",
        metavar="FILE",
        help="Self-Instruct's user-oriented instructions (else $TK_INSTRUCT_USER_ORIENTED)",
    )
    group.add_argument("--seed", type=whole_number, help="of every random choice (default: 0)")
    group.add_argument(
        "--max_instances_per_train_task", type=whole_number, metavar="N", help="default: 100"
    )
    group.add_argument(
        "--max_instances_per_eval_task", type=whole_number, metavar="N", help="default: 100"
    )
    group.add_argument(
        "--num_dev_tasks",
        type=whole_number,
        metavar="N",
        help="train tasks to set aside (default: 0)",
    )
    group.add_argument(
        "--tokenization",
        metavar="NAME",
        help="released for Tk-Instruct's published checkpoints, whose tokenizer keeps the space "
        "at a prompt's end (default: seqio)",
    )
    group.add_argument(
        "--tfds_data_dir",
        metavar="DIR",
        help="where TFDS keeps its datasets, for FLAN (else $TFDS_DATA_DIR, ~/tensorflow_datasets)",
    )
    group.add_argument(
        "--flan_templates",
        metavar="DIR",
        help="a checkout of google-research/FLAN, whose wording is used in place of this project's",
    )
    group.add_argument(
        "--skip_missing",
        action="store_true",
        default=None,
        help="do without the tasks of a mixture whose data is missing",
    )
    group.add_argument(
        "--use_cached_tasks",
        action="store_true",
        default=None,
        help="read tasks as seqio_cache_tasks has cached them",
    )
    group.add_argument(
        "--seqio_additional_cache_dirs",
        type=lambda text: text.split(","),
        metavar="DIR[,DIR]",
        help="where it has cached them (its --output_cache_dir)",
    )
    group.add_argument(
        "--vocabulary",
        metavar="V",
        help="path of a SentencePiece model, t5, mt5, umt5 or bytes (else $TK_INSTRUCT_VOCABULARY)",
    )


def add_length_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of the verbs that tokenise without a recipe that gives lengths."""
    for feature, default in (("input", 1024), ("target", 128)):
        parser.add_argument(
            f"--max_{feature}_tokens",
            type=whole_number,
            metavar="N",
            help=f"EOS included (default: {default}, or what the model was trained with)",
        )


def lengths_of(
    args: argparse.Namespace, otherwise: Mapping[str, int] | None = None
) -> "FeatureLengths":
    """The lengths that the flags give; where they do not, others or Tk-Instruct's 1024 and 128."""
    from tk_instruct.data.tokens import FeatureLengths

    lengths = {"inputs": 1024, "targets": 128, **(otherwise or {})}
    given = {"inputs": args.max_input_tokens, "targets": args.max_target_tokens}
    return FeatureLengths(**lengths | {name: n for name, n in given.items() if n is not None})


_FLAG_BINDINGS = {
    "data_dir": ["SuperNI.data_dir"],
    "seed": ["SuperNI.seed", "FLAN.seed", "SelfInstructData.seed"],
    "max_instances_per_train_task": ["SuperNI.max_instances_per_train_task"],
    "max_instances_per_eval_task": ["SuperNI.max_instances_per_eval_task"],
    "num_dev_tasks": ["SuperNI.num_dev_tasks"],
    "tokenization": ["SuperNI.tokenization"],
    "tfds_data_dir": ["tfds_data_dir.directory"],
    "flan_templates": ["FLAN.templates"],
    "self_instruct_data": ["SelfInstructData.path"],
    "user_oriented": ["SelfInstructData.user_oriented"],
    "skip_missing": ["skip_missing.enabled"],
    "use_cached_tasks": ["use_cached_tasks.enabled"],
    "seqio_additional_cache_dirs": ["use_cached_tasks.directories"],
    "vocabulary": ["vocabulary.name"],
}


def import_tensorflow_quietly() -> None:
    """TensorFlow, which SeqIO brings, as a reader of data.

    It is kept off accelerators, whose memory JAX needs, and its start-up messages, which no log
    level stops, off the terminal.
    """
    with _standard_error_closed():
        import tensorflow as tf

        tf.config.set_visible_devices([], "GPU")
        tf.zeros(())


def import_declarations(more: Sequence[str] = ()) -> None:
    """Imports every module of tk_instruct.tasks, which declares what it has, and more modules.

    Raises UserError where one of those is not found.
    """
    import_tensorflow_quietly()
    package = importlib.import_module("tk_instruct.tasks")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"tk_instruct.tasks.{module.name}")
    for name in more:
        if not all(part.isidentifier() for part in name.split(".")):
            raise UserError(f"--import {name!r} must be a module's name, such as mine.tasks")
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            raise UserError(
                f"--import {name}: {error}; give the name of a module that Python finds, with its "
                "folder in PYTHONPATH"
            ) from error


@contextlib.contextmanager
def _standard_error_closed() -> Iterator[None]:
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def bind_data_arguments(args: argparse.Namespace) -> None:
    """Binds the flags that were given, over whatever gin files have said.

    What they bind import_declarations() has imported.
    """
    for flag, parameters in _FLAG_BINDINGS.items():
        if getattr(args, flag, None) is not None:
            for parameter in parameters:
                gin.bind_parameter(parameter, getattr(args, flag))
