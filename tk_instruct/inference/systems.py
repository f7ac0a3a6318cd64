"""What `predict` and `rank` need of a system, and the flags that choose one."""

import argparse
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from tk_instruct import configuration
from tk_instruct.errors import UserError
from tk_instruct.files import Path
from tk_instruct.inference.decoding import Decoding
from tk_instruct.journal import Predict

if TYPE_CHECKING:
    from tk_instruct.data.tokenization import Tokenizer
    from tk_instruct.data.tokens import FeatureLengths

# Where the rows will be written → the function that makes them.
PredictInto = Callable[[Path], Predict]

# A kind of model, before the colon of --model → what follows it.
_KINDS = {"hf": "NAME_OR_PATH", "api": "NAME"}


class Generates(Protocol):
    """What answers prompts.

    Attributes:
        identity: the values that its answers depend on, as JSON.
        step: of its training; 0 if that is unknown.
        folder: where its predictions are written by default; None if there is no such place.
        mixture: what it was trained on, the default task; None if that is unknown.
        lengths: the feature lengths that it was trained with; None if they are unknown.
        reads_text: whether it takes the text of prompts (the field `prompt` of examples), not ids.
    """

    identity: Mapping[str, Any]
    step: int
    folder: Path | None
    mixture: str | None
    lengths: Mapping[str, int] | None
    reads_text: bool

    def generator(
        self, decoding: Decoding, lengths: "FeatureLengths", args: argparse.Namespace
    ) -> PredictInto: ...


class System(Generates, Protocol):
    """What also scores options."""

    def encoding(self) -> tuple["Tokenizer", bool]:
        """How prompts that belong to no task are encoded: the tokenizer, and whether EOS ends."""
        ...

    def ranker(self, lengths: "FeatureLengths", args: argparse.Namespace) -> PredictInto: ...


def add_arguments(parser: argparse.ArgumentParser) -> Any:
    """Declares --model_dir and --model with their flags; gives the group that chooses one."""
    from tk_instruct.inference import huggingface, server

    who = parser.add_mutually_exclusive_group(required=True)
    who.add_argument("--model_dir", metavar="DIR", help="the run whose checkpoint answers")
    who.add_argument(
        "--model",
        metavar="KIND:NAME",
        help="hf:NAME_OR_PATH[@REVISION], a model of Hugging Face Transformers; api:NAME, a model "
        "of a server that speaks OpenAI's protocol",
    )
    huggingface.add_arguments(parser.add_argument_group("--model hf:…"))
    server.add_arguments(parser.add_argument_group("--model api:…"))
    both = parser.add_argument_group("--model")
    both.add_argument(
        "--stop",
        action="append",
        default=[],
        metavar="TEXT",
        help="repeatable; an answer ends before this text, for models that never end themselves",
    )
    return who


def opened(args: argparse.Namespace) -> System:
    """The system that the flags name. Binds the flags of data, over what a run's gin says.

    Raises UserError if there is none, or for a flag of another kind of system.
    """
    from tk_instruct.inference import checkpoint, huggingface, server

    kind, _, name = (args.model or "").partition(":")
    if args.model and (kind not in _KINDS or not name):
        known = " or ".join(f"{kind}:{of}" for kind, of in _KINDS.items())
        raise UserError(f"--model={args.model} must be {known}; name the kind before the colon")
    refuse_flags_of_others(args, kind)
    if not args.model:
        return checkpoint.CheckpointSystem(args)
    _refuse(args, ("step", "distributed", "coordinator"), "--model_dir")
    if args.num_partitions != 1:
        raise UserError(
            f"--num_partitions={args.num_partitions} is of --model_dir; leave it out, or give "
            "--model_dir"
        )
    configuration.bind_data_arguments(args)
    if kind == "hf":
        return huggingface.HuggingFaceSystem(name, args)
    return server.ServerSystem(name, args)


def refuse_flags_of_others(args: argparse.Namespace, kind: str = "") -> None:
    """Raises UserError for a flag of --model that is not of this kind; without a kind for any."""
    from tk_instruct.inference import huggingface, server

    for other, flags in {"hf": huggingface.FLAGS, "api": server.FLAGS}.items():
        _refuse(args, flags if other != kind else (), f"--model {other}:…")
    if not kind:
        _refuse(args, ("stop",), "--model")


def _refuse(args: argparse.Namespace, flags: Any, owner: str) -> None:
    """Raises UserError if one of the flags is given."""
    for flag in flags:
        value = getattr(args, flag, None)
        if value not in (None, False, []):
            raise UserError(f"--{flag} is of {owner}; leave it out, or give {owner}")


def task_of(args: argparse.Namespace, system: Generates) -> str:
    """--task, or what the system was trained on.

    Raises UserError if neither is known, and where the ids of a task's examples are not of the
    vocabulary in use.
    """
    from tk_instruct.data import registry
    from tk_instruct.data.task import check_vocabulary

    name = args.task or system.mixture
    if name is None:
        who = args.model_dir or args.model
        raise UserError(f"{who} does not say what it was trained on; give --task NAME")
    for task in registry.tasks_of(name):
        check_vocabulary(task)
    return name
