"""Generate instruction data with a language model: Self-Instruct (arXiv:2212.10560).

From seed tasks to a data set, a stage a verb; `run` does them all. Everything is kept in RUN as it
comes, so that the same command, given again, goes on wherever it was stopped, and asks for no
answer again that it has; a higher --num_instructions adds to what is there. Without a model a
script makes up text that means nothing, to see how it goes.

  tk-instruct self-instruct run --run_dir RUN
  tk-instruct self-instruct run --run_dir RUN --model NAME --base_url http://localhost:8000/v1
  OPENAI_API_KEY=… tk-instruct self-instruct run --run_dir RUN --num_instructions 2000 \\
      --model NAME --prompt_price 2 --completion_price 2 --max_usd 20
  tk-instruct self-instruct run --run_dir RUN --model_dir CHECKPOINTS
"""

import argparse
import contextlib
import hashlib
import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gin

from tk_instruct import configuration
from tk_instruct.errors import UserError
from tk_instruct.ranges import check_seed, check_whole, number, whole_number

if TYPE_CHECKING:
    from tk_instruct.self_instruct.classify import Classify
    from tk_instruct.self_instruct.clients import Client
    from tk_instruct.self_instruct.dispatch.budget import Budget
    from tk_instruct.self_instruct.instances import Instances
    from tk_instruct.self_instruct.instructions import Instructions
    from tk_instruct.self_instruct.run_directory import RunDirectory
    from tk_instruct.self_instruct.seeds import SeedTask

log = logging.getLogger("tk_instruct")

# Flags, which set the macros of runs/self_instruct.gin: type, name of the value and help.
_Flags = Mapping[str, tuple[Callable[[str], Any], str, str]]
_MODEL: _Flags = {
    "model": (str, "NAME", "of a server that speaks OpenAI's protocol"),
    "base_url": (str, "URL", "of that server (default: OpenAI's)"),
    "api": (str, "API", "of that server: completions or chat (default: completions)"),
    "model_dir": (str, "DIR", "a run of `train` whose checkpoint writes"),
}
_PRICES: _Flags = {
    "prompt_price": (number, "USD", "of a million tokens of prompts"),
    "completion_price": (number, "USD", "of a million tokens of completions"),
}
_BUDGET: _Flags = {
    "max_usd": (number, "USD", "ask for nothing that could cost more in all, whenever asked"),
    "max_tokens": (whole_number, "N", "the same in tokens, of prompts and completions together"),
    "concurrency": (whole_number, "N", "requests under way at a time (default: 8)"),
    "requests_per_minute": (whole_number, "N", "the most that the server allows"),
    "tokens_per_minute": (whole_number, "N", "the most that the server allows"),
}
_BEGINNING: _Flags = {
    "seeds": (str, "FILE", "of seed tasks, in place of the project's own 175"),
    "seed": (whole_number, "N", "of every random choice (default: 0)"),
}
_INSTRUCTIONS: _Flags = {
    "num_instructions": (whole_number, "N", "stop when there are so many (default: 100)")
}
_PREPARE: _Flags = {"licence": (str, "TEXT", "of what the model writes, for the data card")}
_MACROS = {"seed": "RANDOM_SEED"}  # the others are the flags in capitals

STAGES = {
    "instructions": "1: ask for new instructions, keep those that are new",
    "classify": "2: ask which of them are classification",
    "instances": "3: ask for inputs and outputs of each",
    "prepare": "4: write data to train on, as prompts, as chat and as plain fields",
    "stats": "count, and draw what the data looks like",
}
_BEGIN = ("instructions", "run")
_ASK = ("instructions", "classify", "instances", "run")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="stage", metavar="STAGE", required=True)
    for name, summary in {**STAGES, "run": "all of them"}.items():
        action = actions.add_parser(
            name,
            help=summary,
            description=__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        action.add_argument("--run_dir", metavar="RUN", required=True, help="where all is kept")
        if name in _BEGIN:
            _add_flags(action, {**_BEGINNING, **_INSTRUCTIONS})
        if name in ("prepare", "run"):
            _add_flags(action, _PREPARE)
        _add_flags(action, _PRICES)
        if name in _ASK:
            _add_flags(action.add_argument_group("model"), _MODEL)
            _add_flags(action.add_argument_group("cost and speed"), _BUDGET)
        if name in ("stats", "run"):
            action.add_argument("--json", action="store_true", help="statistics as JSON")
        configuration.add_gin_arguments(action)
        configuration.add_import_argument(action)


def _add_flags(parser: Any, flags: _Flags) -> None:
    for flag, (kind, metavar, text) in flags.items():
        parser.add_argument(f"--{flag}", type=kind, metavar=metavar, help=text)


def main(args: argparse.Namespace) -> int:
    from tk_instruct.self_instruct.run_directory import RunDirectory

    settings = _configured(args)
    run = RunDirectory(args.run_dir)
    if run.begun_with is None and args.stage not in _BEGIN:
        raise UserError(
            f"{run.path} holds no run; `tk-instruct self-instruct instructions --run_dir "
            f"{args.run_dir}` begins one"
        )
    # What only reads the records does so while others are added to them.
    with run if args.stage in _ASK else contextlib.nullcontext():
        if args.stage in _ASK:
            _ask(args.stage, run, settings)
        if args.stage in ("prepare", "run"):
            from tk_instruct.self_instruct.prepare import Preparation, prepare

            prepared = prepare(run, Preparation())
            log.info("%d examples to train on in %s", len(prepared.train), prepared.folder)
        if args.stage in ("stats", "run"):
            from tk_instruct.self_instruct.stats import stats
            from tk_instruct.self_instruct.stats.report import as_text
            from tk_instruct.self_instruct.stats.root_verbs import Parsing

            counted = stats(run, Parsing(), settings.instructions.tokenize)
            print(json.dumps(counted) if args.json else as_text(counted))
    return 0


@gin.configurable(module="tk_instruct")
@dataclass(frozen=True)
class SelfInstructRun:
    """A run of data generation, as gin and the flags set it."""

    seed: int | None
    seeds: str | None
    num_instructions: int
    model: str | None
    api: str
    model_dir: str | None
    budget: "Budget"
    concurrency: int
    instructions: "Instructions"
    classify: "Classify"
    instances: "Instances"

    def __post_init__(self) -> None:
        check_whole("num_instructions", self.num_instructions, 1, 10**7)
        check_whole("concurrency", self.concurrency, 1, 1024)
        if self.seed is not None:
            check_seed("seed", self.seed)
        if self.api not in ("completions", "chat"):
            raise UserError(f"api={self.api!r} must be completions or chat")
        for field in ("budget", "instructions", "classify", "instances"):
            made, wanted = type(getattr(self, field)).__name__, field.capitalize()
            if made != wanted:  # by name, for the types are imported when a run asks for them
                raise UserError(f"SelfInstructRun.{field} is {made}; it must be @{wanted}()")
        if self.model and self.model_dir:
            raise UserError(
                f"model={self.model} and model_dir={self.model_dir} are two models; give one"
            )

    def client(self, seed: int) -> "Client":
        if self.model:
            from tk_instruct.self_instruct.clients.openai import OpenAIChat, OpenAICompletions

            return {"completions": OpenAICompletions, "chat": OpenAIChat}[self.api](self.model)
        if self.model_dir:
            from tk_instruct.self_instruct.clients.local import LocalClient

            return LocalClient(self.model_dir, seed=seed)
        from tk_instruct.self_instruct.clients.scripted import ScriptedClient

        log.warning(
            "no model is named: a script makes up text, which MEANS NOTHING; name a model by "
            "--model or --model_dir"
        )
        return ScriptedClient()


def _configured(args: argparse.Namespace) -> SelfInstructRun:
    # What gin sets has to be imported first.
    from tk_instruct.self_instruct import (  # noqa: F401
        classify,
        instances,
        instructions,
        prepare,
    )
    from tk_instruct.self_instruct.clients import local, openai  # noqa: F401
    from tk_instruct.self_instruct.stats import root_verbs  # noqa: F401

    flags = (*_BEGINNING, *_INSTRUCTIONS, *_PREPARE, *_MODEL, *_PRICES, *_BUDGET)
    values = {flag: getattr(args, flag, None) for flag in flags}
    given = {flag: value for flag, value in values.items() if value is not None}
    for flag, value in given.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise UserError(f"--{flag}={value} must be a finite number; leave it out for no limit")
    bindings = [f"{_MACROS.get(flag, flag.upper())} = {value!r}" for flag, value in given.items()]
    configuration.load("runs/self_instruct.gin", args.gin_file, [*args.gin_bindings, *bindings])
    return configuration.configured(SelfInstructRun)


def _ask(stage: str, run: "RunDirectory", settings: SelfInstructRun) -> None:
    """Does what asks a model, with the seed and the seed tasks that a run is begun with.

    Raises UserError where a run was begun with others, or the text of the script and of a model
    would be mixed; what cannot work begins no run.
    """
    from tk_instruct.self_instruct.classify import classify
    from tk_instruct.self_instruct.dispatch import Dispatcher
    from tk_instruct.self_instruct.instances import instantiate
    from tk_instruct.self_instruct.instructions import generate
    from tk_instruct.self_instruct.prompts import FewShot
    from tk_instruct.self_instruct.seeds import read_seeds, write_seeds

    begun_with, kept = run.begun_with, run.path / "seed_tasks.jsonl"
    seed, given = settings.seed, settings.seeds
    if begun_with is not None and (seed is None or stage not in _BEGIN):
        seed = int(begun_with["seed"])
    seed = seed or 0
    if kept.exists() and (given is None or stage not in _BEGIN):
        given = str(kept)
    seeds = read_seeds(given)
    few_shot = FewShot(seeds, seed)
    identity = _identity(seed, seeds, settings)
    lag = settings.instructions.lag
    if stage not in _BEGIN:
        del identity["Instructions.lag"]
    elif settings.concurrency > lag:
        log.info("instructions: no more than Instructions.lag=%d requests under way", lag)
    if begun_with is not None:
        run.agree(identity)
    with contextlib.closing(settings.client(seed)) as client:
        if begun_with is None:
            run.begin(identity)
        if not kept.exists():
            write_seeds(kept, seeds)
        with Dispatcher(client, run, settings.budget, settings.concurrency) as dispatcher:
            common = (run, dispatcher, seed)
            do = {
                "instructions": lambda: generate(
                    *common, seeds, settings.instructions, settings.num_instructions
                ),
                "classify": lambda: classify(*common, few_shot, settings.classify),
                "instances": lambda: instantiate(*common, few_shot, settings.instances),
            }
            for name in do if stage == "run" else [stage]:
                count = do[name]()
                log.info("%s: %d in %s, %s so far", name, count, run.path, dispatcher.spent)


def _identity(
    seed: int, seeds: "Sequence[SeedTask]", settings: SelfInstructRun
) -> dict[str, int | str | bool]:
    """What a run cannot change on its way."""
    content = json.dumps([task.as_json() for task in seeds]).encode()
    return {
        "seed": seed,
        "seeds": hashlib.sha256(content).hexdigest()[:16],
        "scripted": not (settings.model or settings.model_dir),
        "Instructions.lag": settings.instructions.lag,
    }
