"""The command `tk-instruct VERB …`. A verb's module is imported only when the verb is called."""

import argparse
import atexit
import contextlib
import importlib
import logging
import os
import re
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from tk_instruct import __version__, terminal
from tk_instruct.errors import UserError
from tk_instruct.signals import insistent_interrupts

# Each module has add_arguments(parser) and main(args) -> exit status. It imports JAX and TensorFlow
# inside functions, after the checks that need neither. A verb whose flags depend on the suite also
# has add_suite_arguments(parser, words).
VERBS = {
    "tasks": ("tk_instruct.inspection", "list, show, count, check and export tasks"),
    "train": ("tk_instruct.train", "train a model on a task or mixture"),
    "plan": ("tk_instruct.plan", "say whether a recipe fits a TPU slice, how fast, at what cost"),
    "predict": ("tk_instruct.predict", "let a model or a heuristic answer a task"),
    "rank": ("tk_instruct.rank", "let a model choose between options"),
    "evaluate": ("tk_instruct.evaluate", "score predictions"),
    "compare": ("tk_instruct.compare", "say whether one system is better than another"),
    "show": ("tk_instruct.show", "read predictions beside what is right, and what they scored"),
    "study": ("tk_instruct.study", "run the experiments that a small file declares"),
    "report": ("tk_instruct.report", "put the scores of runs side by side"),
    "convert": ("tk_instruct.convert", "carry weights to and from Hugging Face and t5x"),
    "convert-tasks": (
        "tk_instruct.convert_tasks",
        "make task files of tables, instructions and chats",
    ),
    "self-instruct": ("tk_instruct.self_instruct", "generate instruction data with a model"),
    "t5x": ("tk_instruct.t5x", "train, score or predict with upstream t5x"),
    "mini": ("tk_instruct.mini", "write a small synthetic benchmark"),
}

# If this variable is set, errors of files, network and memory are shown with their traceback: the
# fault may be in the code after all.
_TRACEBACK_VARIABLE = "TK_INSTRUCT_TRACEBACK"


def _parser(verb: str | None, words: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tk-instruct",
        description="Instruction-tune T5-family models and measure them on unseen tasks.",
    )
    parser.add_argument("--version", action="version", version=f"tk-instruct {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name, (module, summary) in VERBS.items():
        verb_parser = verbs.add_parser(
            name, help=summary, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        if name == verb:
            loaded = importlib.import_module(module)
            verb_parser.description = loaded.__doc__
            loaded.add_arguments(verb_parser)
            if hasattr(loaded, "add_suite_arguments"):
                loaded.add_suite_arguments(verb_parser, words)
    return parser


def _silence_libtpu() -> None:
    """Keeps libtpu, which `plan` compiles with, from complaining that this machine has no TPU."""
    if not any(Path("/dev").glob("accel*")) and not any(Path("/dev/vfio").glob("*")):
        os.environ.setdefault("TPU_ACCELERATOR_TYPE", "v3-8")
        os.environ.setdefault("TPU_WORKER_HOSTNAMES", "localhost")
        os.environ.setdefault("TPU_WORKER_ID", "0")


@insistent_interrupts()
@terminal.guarded()
def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one verb; 0 done, 1 found something wrong, 2 wrong use, 130 interrupted."""
    is_own_process = arguments is None
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    # Silences TensorFlow's start-up messages.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    _silence_libtpu()
    # Other libraries log what their exceptions say too.
    logging.basicConfig(format="%(message)s", stream=sys.stderr, level=logging.CRITICAL)
    logging.getLogger("absl").setLevel(logging.CRITICAL)
    logging.getLogger("tk_instruct").setLevel(logging.INFO)
    verb = next((argument for argument in arguments if not argument.startswith("-")), None)
    try:
        from tk_instruct.configuration import take_gin_bindings

        rest, bindings = take_gin_bindings(arguments)
        for argument in rest:
            if re.fullmatch(r"(--\w+=|-\w)--", argument):  # argparse would make it an empty list
                raise UserError(f"{argument} has no value; give it one, or leave it out")
        args = _parser(verb, rest).parse_args(rest)
        if bindings and not hasattr(args, "gin_file"):
            raise UserError(f"`{args.verb}` takes no --gin.NAME=VALUE; see its --help")
        for name, value in vars(args).items():
            if value == "":  # often a shell variable that is not set; it must not mean "no flag"
                raise UserError(f"--{name} is empty; give it a value, or leave it out")
        args.gin_bindings = bindings
        status = importlib.import_module(VERBS[args.verb][0]).main(args)
        sys.stdout.flush()
        return status
    except UserError as error:
        # Gin appends the calls that an exception came through.
        message = str(error).split("\n  In call to configurable")[0]
        print(f"error: {message}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        if is_own_process:
            atexit.register(_exit_at_once, 128 + signal.SIGINT)
        return 128 + signal.SIGINT
    except BrokenPipeError:
        # The reader is gone. The flush at exit would fail too, so it writes to nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except Exception as error:
        said = _machine_error(error)
        if said is None or os.environ.get(_TRACEBACK_VARIABLE):
            raise
        print(f"error: {said}; {_TRACEBACK_VARIABLE}=1 shows where", file=sys.stderr)
        return 2


def _exit_at_once(status: int) -> None:
    """Ends the process, of which XLA may still compile a part in a thread: it would crash."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # its reader is gone, or it is closed
            stream.flush()
    os._exit(status)


def _machine_error(error: Exception) -> str | None:
    """The message for an error of files, network or memory; None for a fault of this code."""
    said = " ".join(str(error).split())
    if isinstance(error, ConnectionError | TimeoutError):
        return (
            f"{said or type(error).__name__}; check the address and the network, and run it again"
        )
    if isinstance(error, OSError):
        return (
            f"{said or type(error).__name__}; check the path, its rights and the space that is left"
        )
    if isinstance(error, MemoryError) or said.startswith("RESOURCE_EXHAUSTED"):  # as JAX says it
        return (
            f"the memory is not enough ({said[:200] or 'MemoryError'}); take smaller batches, "
            "shorter lengths, fewer beams or a smaller model"
        )
    # TensorFlow reads buckets. Its message names the object.
    if type(error).__module__.startswith("tensorflow") and "gs://" in said:
        return (
            f"{said}; check the name, the rights and the login "
            "(gcloud auth application-default login)"
        )
    return None


if __name__ == "__main__":
    sys.exit(main())
