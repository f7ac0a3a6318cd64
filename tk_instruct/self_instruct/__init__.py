"""Generate instruction data with a language model: Self-Instruct (arXiv:2212.10560).

Each stage is a verb of its own; `run` does all of them, from the seed tasks to the data set. Every
answer is kept in RUN at once. Give the same command again to continue a run that was stopped: it
does not ask again for an answer that it has. A higher --num_instructions adds to the data. Without
a model a script makes up text that means nothing, to show how a run goes.

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
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import gin

from tk_instruct import configuration
from tk_instruct.completions.flags import BUDGET, PRICES, SERVER, Flags, add_flags
from tk_instruct.errors import UserError
from tk_instruct.ranges import check_seed, check_whole, whole_number

if TYPE_CHECKING:
    from tk_instruct.completions import Client
    from tk_instruct.completions.dispatch.budget import Budget
    from tk_instruct.self_instruct.classify import Classify
    from tk_instruct.self_instruct.instances import Instances
    from tk_instruct.self_instruct.instructions import Instructions
    from tk_instruct.self_instruct.run_directory import RunDirectory
    from tk_instruct.self_instruct.seeds import SeedTask

log = logging.getLogger("tk_instruct")

# Each flag sets a macro of runs/self_instruct.gin.
_MODEL: Flags = {
    "model": (str, "NAME", "a model of a server that speaks OpenAI's protocol"),
    **SERVER,
    "model_dir": (str, "DIR", "a run of `train`, whose checkpoint is the model"),
}
_BEGINNING: Flags = {
    "seeds": (str, "FILE", "a file of seed tasks (default: the project's own 175)"),
    "seed": (whole_number, "N", "the seed of every random choice (default: 0)"),
}
_INSTRUCTIONS: Flags = {
    "num_instructions": (whole_number, "N", "generate until RUN has this many (default: 100)")
}
_PREPARE: Flags = {"licence": (str, "TEXT", "the licence of the generated data, for its card")}
_MACROS = {"seed": "RANDOM_SEED"}  # any other flag's macro is its name in capitals

STAGES = {
    "instructions": "1: ask for instructions, keep those that are new",
    "classify": "2: ask which instructions are classification tasks",
    "instances": "3: ask for inputs and outputs of each instruction",
    "prepare": "4: write training data, as prompts, as chat and as plain fields",
    "stats": "count the data and its cost, and draw figures of it",
}
_SEED_TASKS = "seed_tasks.jsonl"
_BEGIN = ("instructions", "run")
_ASK = ("instructions", "classify", "instances", "run")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="stage", metavar="STAGE", required=True)
    for name, summary in {**STAGES, "run": "all stages, one after the other"}.items():
        action = actions.add_parser(
            name,
            help=summary,
            description=__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        action.add_argument("--run_dir", metavar="RUN", required=True, help="the folder of the run")
        if name in _BEGIN:
            add_flags(action, {**_BEGINNING, **_INSTRUCTIONS})
        if name in ("prepare", "run"):
            add_flags(action, _PREPARE)
        add_flags(action, PRICES)
        if name in _ASK:
            add_flags(action.add_argument_group("model"), _MODEL)
            add_flags(action.add_argument_group("cost and speed"), BUDGET)
        if name in ("stats", "run"):
            action.add_argument("--json", action="store_true", help="statistics as JSON")
        configuration.add_gin_arguments(action)
        configuration.add_import_argument(action)


def main(args: argparse.Namespace) -> int:
    from tk_instruct.self_instruct.run_directory import RunDirectory

    settings = _configured(args)
    run = RunDirectory(args.run_dir)
    if run.begun_with is None and args.stage not in _BEGIN:
        raise UserError(
            f"{run.path} holds no run; `tk-instruct self-instruct instructions --run_dir "
            f"{args.run_dir}` begins one"
        )
    # Only stages that ask take the lock: the others may read while another process writes.
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
    """The settings of a run of data generation; gin and the flags fill them."""

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
            if made != wanted:  # compared by name: the types are not imported here
                raise UserError(f"SelfInstructRun.{field} is {made}; it must be @{wanted}()")
        if self.model and self.model_dir:
            raise UserError(
                f"model={self.model} and model_dir={self.model_dir} are two models; give one"
            )

    def client(self, seed: int) -> "Client":
        if self.model:
            from tk_instruct.completions.openai import OpenAIChat, OpenAICompletions

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
    # Gin can set only what has been imported.
    from tk_instruct.completions import openai  # noqa: F401
    from tk_instruct.self_instruct import (  # noqa: F401
        classify,
        instances,
        instructions,
        prepare,
    )
    from tk_instruct.self_instruct.clients import local  # noqa: F401
    from tk_instruct.self_instruct.stats import root_verbs  # noqa: F401

    flags = (*_BEGINNING, *_INSTRUCTIONS, *_PREPARE, *_MODEL, *PRICES, *BUDGET)
    values = {flag: getattr(args, flag, None) for flag in flags}
    given = {flag: value for flag, value in values.items() if value is not None}
    for flag, value in given.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise UserError(f"--{flag}={value} must be a finite number; leave it out for no limit")
    bindings = [f"{_MACROS.get(flag, flag.upper())} = {value!r}" for flag, value in given.items()]
    configuration.load("runs/self_instruct.gin", args.gin_file, [*args.gin_bindings, *bindings])
    return configuration.configured(SelfInstructRun)


def _ask(stage: str, run: "RunDirectory", settings: SelfInstructRun) -> None:
    """Runs the stages that ask a model; begins the run if there is none and nothing is wrong.

    Raises UserError where the run was begun with another seed, other seed tasks or another lag, or
    where text of the script and of a model would be mixed.
    """
    from tk_instruct.completions.dispatch import Dispatcher
    from tk_instruct.self_instruct.classify import classify
    from tk_instruct.self_instruct.instances import instantiate
    from tk_instruct.self_instruct.instructions import generate
    from tk_instruct.self_instruct.prompts import FewShot
    from tk_instruct.self_instruct.seeds import write_seeds

    kept_seeds = run.path / _SEED_TASKS
    seed, seeds = _seed_and_tasks(stage, run, settings)
    few_shot = FewShot(seeds, seed)
    identity = _identity(stage, seed, seeds, settings)
    lag = settings.instructions.lag
    if stage in _BEGIN and settings.concurrency > lag:
        log.info("instructions: no more than Instructions.lag=%d requests under way", lag)
    is_new = run.begun_with is None
    if not is_new:
        run.agree(identity)
    with contextlib.closing(settings.client(seed)) as client:
        if is_new:
            run.begin(identity)
        if not kept_seeds.exists():
            write_seeds(kept_seeds, seeds)
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


def _seed_and_tasks(
    stage: str, run: "RunDirectory", settings: SelfInstructRun
) -> tuple[int, "Sequence[SeedTask]"]:
    """The seed and the seed tasks of the run; a stage that begins runs may be given others."""
    from tk_instruct.self_instruct.seeds import read_seeds

    begun_with, kept = run.begun_with, run.path / _SEED_TASKS
    seed, given = settings.seed, settings.seeds
    if begun_with is not None and (seed is None or stage not in _BEGIN):
        seed = int(begun_with["seed"])
    if kept.exists() and (given is None or stage not in _BEGIN):
        given = str(kept)
    return seed or 0, read_seeds(given)


def _identity(
    stage: str, seed: int, seeds: "Sequence[SeedTask]", settings: SelfInstructRun
) -> dict[str, int | str | bool]:
    """The settings that a run keeps from its beginning to its end."""
    content = json.dumps([task.as_json() for task in seeds]).encode()
    identity: dict[str, int | str | bool] = {
        "seed": seed,
        "seeds": hashlib.sha256(content).hexdigest()[:16],
        "scripted": not (settings.model or settings.model_dir),
    }
    if stage in _BEGIN:
        identity["Instructions.lag"] = settings.instructions.lag
    return identity
