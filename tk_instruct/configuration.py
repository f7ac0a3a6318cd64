"""Gin files and command-line flags → bindings, checked for macros that nothing sets or uses."""

import argparse
import ast
import contextlib
import difflib
import importlib
import importlib.util  # gin-config expects it to have been imported
import inspect
import os
import pkgutil
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import gin

from tk_instruct.errors import UserError

if TYPE_CHECKING:
    from tk_instruct.data.tokens import FeatureLengths


def _shipped() -> Path:
    """The project's gin files: beside the package in a checkout, inside it when installed."""
    package = Path(__file__).parent
    return next(
        folder
        for folder in (package / "gin", package.parent / "gin")
        if (folder / "runs" / "train.gin").exists()
    )


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
    """Splits `--gin.NAME=VALUE` arguments off, as `NAME = VALUE` lines."""
    rest, bindings = [], []
    for argument in arguments:
        match = re.fullmatch(r"--gin\.([\w./@]+)=(.*)", argument, re.DOTALL)
        if match:
            bindings.append(f"{match[1]} = {_gin_value(match[2])}")
        elif argument.startswith("--gin."):
            raise UserError(f"{argument!r} has no value; write --gin.NAME=VALUE in one word")
        else:
            rest.append(argument)
    return rest, bindings


def _gin_value(text: str) -> str:
    """Gin's own syntax as it is, anything else as a string: paths need no inner quotes."""
    if text.startswith(("@", "%")):
        return text
    try:
        ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return repr(text)
    return text


def add_data_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of every verb that reads tasks."""
    group = parser.add_argument_group("data")
    group.add_argument(
        "--data_dir",
        metavar="DIR",
        help="a natural-instructions checkout, with tasks/ and splits/ "
        "(else $TK_INSTRUCT_SUPERNI_DIR)",
    )
    group.add_argument(
        "--self_instruct_data",
        metavar="DIR",
        help="a run of `tk-instruct self-instruct`, or its prepared/train.jsonl "
        "(else $TK_INSTRUCT_SELF_INSTRUCT_DATA)",
    )
    group.add_argument(
        "--user_oriented",
        metavar="FILE",
        help="Self-Instruct's user-oriented instructions (else $TK_INSTRUCT_USER_ORIENTED)",
    )
    group.add_argument("--seed", type=int, help="of every random choice (default: 0)")
    group.add_argument("--max_instances_per_train_task", type=int, metavar="N", help="default: 100")
    group.add_argument("--max_instances_per_eval_task", type=int, metavar="N", help="default: 100")
    group.add_argument(
        "--num_dev_tasks", type=int, metavar="N", help="train tasks to set aside (default: 0)"
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
        "--vocabulary",
        metavar="V",
        help="path of a SentencePiece model, t5, mt5, umt5 or bytes (else $TK_INSTRUCT_VOCABULARY)",
    )


def add_length_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of the verbs that tokenise without a recipe that gives lengths."""
    for feature, default in (("input", 1024), ("target", 128)):
        parser.add_argument(
            f"--max_{feature}_tokens",
            type=int,
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
    "tfds_data_dir": ["tfds_data_dir.directory"],
    "flan_templates": ["FLAN.templates"],
    "self_instruct_data": ["SelfInstructData.path"],
    "user_oriented": ["SelfInstructData.user_oriented"],
    "skip_missing": ["skip_missing.enabled"],
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


def import_declarations() -> None:
    """Imports every module of tk_instruct.tasks, which declares what it has."""
    import_tensorflow_quietly()
    package = importlib.import_module("tk_instruct.tasks")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"tk_instruct.tasks.{module.name}")


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


def load(run_file: str, files: Sequence[str], bindings: Sequence[str]) -> None:
    """Reads a shipped run file, gin files, then the bindings, and checks every macro.

    What gin was told before is forgotten: a run is what its files and flags say.

    Raises UserError naming what is missing, unknown or misspelt and the nearest that exists.
    """
    _read(run_file, files, bindings)
    _refuse_unknown_macros()
    _refuse_unset_macros()


def load_part(run_file: str, files: Sequence[str], bindings: Sequence[str]) -> None:
    """The same for a run file that uses a part of a recipe: macros of the rest need not be set."""
    _read(run_file, files, bindings)
    _refuse_unknown_macros()


def _read(run_file: str, files: Sequence[str], bindings: Sequence[str]) -> None:
    gin.clear_config()
    gin.config._LOCATION_PREFIXES[:] = ["", str(_shipped())]
    # Gin would look inside Python packages too, and takes a folder runs/ or models/ here for one.
    gin.config._FILE_READERS[:] = [(open, os.path.isfile)]
    try:
        gin.parse_config_files_and_bindings(
            [str(_shipped() / run_file), *files], list(bindings), finalize_config=False
        )
    except Exception as error:  # gin raises whatever Python raises, with the place added
        raise UserError(f"gin: {_explained(error)}") from error


def _explained(error: Exception) -> str:
    if isinstance(error, SyntaxError):
        where = f"{error.filename}:{error.lineno}: " if error.filename else ""
        line, reason = (error.text or "").strip(), " ".join(error.msg.split()).rstrip(".")
        return (
            f"{where}{line!r}: {reason}; write NAME = VALUE, and as a value a number, a text in "
            "quotes, a list, %MACRO or @function()"
        )
    message = " ".join(str(error).split())
    missing = re.search(r"[Uu]nable to open file: ([^.]*\.gin)", message)
    if missing:
        shipped = [str(path.relative_to(_shipped())) for path in sorted(_shipped().rglob("*.gin"))]
        near = difflib.get_close_matches(missing[1], shipped, n=1)
        hint = f"; did you mean {near[0]}?" if near else f"; shipped are {', '.join(shipped)}"
        return f"{missing[1]} is neither here nor among the shipped files{hint}"
    unknown = re.search(r"Configurable '([\w.]+)' doesn't have a parameter named '(\w+)'", message)
    if unknown:
        parameters = list(inspect.signature(gin.get_configurable(unknown[1])).parameters)
        near = difflib.get_close_matches(unknown[2], parameters, n=1)
        hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(parameters)}"
        return f"{unknown[1]} has no parameter {unknown[2]!r}; {hint}"
    return message


def _macros() -> tuple[set[str], set[str]]:
    """Those that are set, and those that are used."""
    config = gin.config._CONFIG
    used = {
        reference.config_key[0]
        for values in config.values()
        for reference in gin.config.iterate_references(values)
        if reference.config_key[1] == "gin.macro"
    }
    return {scope for scope, selector in config if selector == "gin.macro"}, used


def _refuse_unknown_macros() -> None:
    set_, used = _macros()
    known = _shipped_macros() | used
    for name in sorted(set_ - known):
        near = difflib.get_close_matches(name, sorted(known), n=1)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(known))}"
        raise UserError(f"gin macro {name} is used by nothing; {hint}")


def _refuse_unset_macros() -> None:
    set_, used = _macros()
    unset = sorted(used - set_)
    if unset:
        name, others = unset[0], f"; also not set: {', '.join(unset[1:])}" if unset[1:] else ""
        near = difflib.get_close_matches(name, sorted(set_ - used), n=1)
        hint = f" ({near[0]} is set, which nothing uses)" if near else ""
        raise UserError(
            f"gin macro {name} is not set{hint}; give --gin.{name}=VALUE, or a recipe that sets it "
            f"with --gin_file (recipes/smoke.gin){others}"
        )


def _shipped_macros() -> set[str]:
    texts = [path.read_text(encoding="utf-8") for path in _shipped().rglob("*.gin")]
    pattern = re.compile(r"^([A-Z][A-Z0-9_]*) *=|%([A-Z][A-Z0-9_]*)", re.MULTILINE)
    return {a or b for text in texts for a, b in pattern.findall(text)}
