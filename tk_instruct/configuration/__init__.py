"""Command-line flags and gin files: the configuration of every verb.

This module has the flags. `gin_files` reads gin files into settings, `values` converts their values
to the fields' types, and `loading` gives them to gin and checks them.
"""

import argparse
import contextlib
import os
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import gin

from tk_instruct import suite
from tk_instruct.configuration import gin_files
from tk_instruct.configuration.loading import (
    configured,
    import_task_module,
    load,
    load_data_of,
    load_part,
)
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
        "--gin_search_paths",
        type=lambda text: text.split(","),
        default=[],
        metavar="DIR[,DIR]",
        help="where gin files are looked for too, before the shipped ones",
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
    """The other arguments, and the `--gin.NAME=VALUE` arguments as texts `NAME = VALUE`.

    A value stays as it was typed. Raises UserError for a --gin. argument without a value.
    """
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
        help="a Python module of yours, in this folder or installed, that declares SeqIO tasks or "
        "gin configurables; its code runs, and gin files may import it; repeatable",
    )


def add_data_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of every verb that reads tasks: the shared ones, then those of each suite."""
    add_import_argument(parser)
    group = parser.add_argument_group("data")
    group.add_argument("--seed", type=whole_number, help="of every random choice (default: 0)")
    _add_shared_places(group)
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
    for each in suite.suites().values():
        if each.flags:
            group = parser.add_argument_group(f"data of {each.name}", each.summary)
        for flag in each.flags:
            _add_flag(group, each, flag)


def add_place_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags that say where data lies: the shared ones, then those of each suite."""
    group = parser.add_argument_group("where data lies")
    _add_shared_places(group)
    for each in suite.suites().values():
        for flag in each.flags:
            if flag.is_place:
                _add_flag(group, each, flag)


def _add_shared_places(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--vocabulary",
        metavar="V",
        help="path of a SentencePiece model, t5, mt5, umt5 or bytes (else $TK_INSTRUCT_VOCABULARY)",
    )
    group.add_argument(
        "--tfds_data_dir",
        metavar="DIR",
        help="where TFDS keeps its datasets (else $TFDS_DATA_DIR, ~/tensorflow_datasets)",
    )
    group.add_argument(
        "--seqio_additional_cache_dirs",
        type=lambda text: text.split(","),
        metavar="DIR[,DIR]",
        help="where seqio_cache_tasks has cached tasks (its --output_cache_dir)",
    )


def _add_flag(group: argparse._ArgumentGroup, of: suite.Suite, flag: suite.Flag) -> None:
    try:
        group.add_argument(
            f"--{flag.name}",
            type=flag.type,
            metavar=flag.metavar,
            help=flag.help,
            **flag.options,
        )
    except argparse.ArgumentError as error:
        raise UserError(
            f"the suite {of.name} has the flag --{flag.name}, which is one of tk-instruct's own; "
            "rename it in the suite"
        ) from error


DEFAULT_LENGTHS = {"inputs": 1024, "targets": 128}
"""Tokens, EOS included, as of Tk-Instruct (Wang et al. 2022)."""


def add_length_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags for feature lengths, for verbs that tokenise without a recipe."""
    for feature, default in DEFAULT_LENGTHS.items():
        parser.add_argument(
            f"--max_{feature.removesuffix('s')}_tokens",
            type=whole_number,
            metavar="N",
            help=f"EOS included (default: {default}, or what the model was trained with)",
        )


def lengths_of(
    args: argparse.Namespace, otherwise: Mapping[str, int] | None = None
) -> "FeatureLengths":
    """The feature lengths, in tokens: from the flags, else otherwise, else DEFAULT_LENGTHS."""
    from tk_instruct.data.tokens import FeatureLengths

    lengths = {**DEFAULT_LENGTHS, **(otherwise or {})}
    given = {"inputs": args.max_input_tokens, "targets": args.max_target_tokens}
    return FeatureLengths(**lengths | {name: n for name, n in given.items() if n is not None})


# Flag that all suites share → the gin parameter that it sets.
_FLAG_BINDINGS = {
    "seed": "training_draws.seed",
    "vocabulary": "vocabulary.name",
    "tfds_data_dir": "tfds_data_dir.directory",
    "skip_missing": "skip_missing.enabled",
    "use_cached_tasks": "use_cached_tasks.enabled",
    "seqio_additional_cache_dirs": "use_cached_tasks.directories",
}
_SHARED_PLACES = ("vocabulary", "tfds_data_dir", "seqio_additional_cache_dirs")


def places() -> dict[str, str]:
    """Flag that says where data lies → the gin parameter that it sets."""
    of_suites = [flag for each in suite.suites().values() for flag in each.flags if flag.is_place]
    return {name: _FLAG_BINDINGS[name] for name in _SHARED_PLACES} | {
        flag.name: flag.binds for flag in of_suites
    }


def place_words(args: argparse.Namespace) -> dict[str, tuple[str, ...]]:
    """Flag that says where data lies → its words on a command line, of those that are given."""
    found = {}
    for name in places():
        value = getattr(args, name)
        if isinstance(value, Mapping):
            pairs = (f"{key}={each}" for key, of in value.items() for each in of)
            found[name] = (f"--{name}", *pairs)
        elif value is not None:
            text = value if isinstance(value, str) else ",".join(value)
            found[name] = (f"--{name}={text}",)
    return found


def import_declarations(modules: Sequence[str] = (), search_paths: Sequence[str] = ()) -> None:
    """Registers the suites' gin configurables and imports the user's modules.

    Gin files that are read later may import these modules. They are also searched in search_paths.
    Raises UserError if a module or a search path is not found.
    """
    suite.import_configurables()
    gin_files.set_surroundings(modules, search_paths)
    for name in modules:
        import_task_module(name, "--import")


def bind_data_arguments(args: argparse.Namespace) -> None:
    """Binds the given flags to their gin parameters. They override gin files.

    Call import_declarations() first. It registers the parameters.
    """
    bindings = list(_FLAG_BINDINGS.items())
    for each in suite.suites().values():
        bindings += [("seed", parameter) for parameter in each.seeds]
        bindings += [(flag.name, flag.binds) for flag in each.flags]
    for flag, parameter in bindings:
        if getattr(args, flag, None) is not None:
            gin.bind_parameter(parameter, getattr(args, flag))
    if getattr(args, "seed", None) is not None:  # of training too, where a recipe is read
        gin.bind_parameter("RANDOM_SEED/gin.macro.value", args.seed)


def refuse_to_replace_data(flag: str, output: str, args: argparse.Namespace) -> None:
    """Raises UserError if a file that is there belongs to data: of a flag, gin or a variable.

    Args:
        flag: the flag that names output, for the message.
    """
    if not os.path.isfile(output):
        return
    named: dict[str, Any] = {
        f"${name}": value for name, value in os.environ.items() if name.startswith("TK_INSTRUCT_")
    }
    for of_suite in (flag for each in suite.suites().values() for flag in each.flags):
        with contextlib.suppress(ValueError):  # gin knows nothing of it
            named[f"--{of_suite.name}"] = gin.query_parameter(of_suite.binds)
        if (given := getattr(args, of_suite.name, None)) is not None:
            named[f"--{of_suite.name}"] = given
    for name, value in named.items():
        given = value.values() if isinstance(value, Mapping) else [value]
        texts = [t for v in given for t in (v if isinstance(v, list | tuple) else [v])]
        paths = [os.path.expanduser(t) for t in texts if t and isinstance(t, str)]
        for path in map(os.path.realpath, paths):
            if os.path.commonpath([os.path.realpath(output), path]) == path:
                raise UserError(
                    f"--{flag}={output} is there already and belongs to {name}, which is never "
                    "changed; choose another place"
                )
