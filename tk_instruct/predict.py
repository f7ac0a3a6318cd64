"""Run a checkpoint, or a heuristic, over a task or mixture and write its predictions.

Writes one JSON object a line, {id, task, prediction}, in the order of ids. Finished predictions are
kept beside the output, so the same command continues an interrupted run. The most likely token is
taken each time, unless --num_beams or --sample is given.

  tk-instruct predict --model_dir RUN --task TASK --split test
  tk-instruct predict --model_dir RUN --num_beams 4 --length_penalty 0.6
  tk-instruct predict --model_dir RUN --sample --temperature 0.7 --top_p 0.9 --seed 1
  tk-instruct predict --baseline NAME --task TASK --output FILE.jsonl
"""

import argparse
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import UInt32

from tk_instruct import configuration, distributed, randomness, suite
from tk_instruct.errors import UserError
from tk_instruct.files import Path, inside
from tk_instruct.inference import (
    MOST_TIMES_BATCH_SIZE,
    Loaded,
    add_batch_arguments,
    add_step_argument,
    batches,
    check_counts,
    check_limit,
    check_name,
    check_vocabulary,
    examples_of,
    identity_of,
    lengths_of,
    load_checkpoint,
    load_model,
    task_of,
)
from tk_instruct.journal import Example, Predict, Row, row_of, say_where, write_rows
from tk_instruct.ranges import check_seed, number, whole_number

if TYPE_CHECKING:
    from tk_instruct.data.tokens import FeatureLengths
    from tk_instruct.model.language_model import LanguageModel


def add_arguments(parser: argparse.ArgumentParser) -> None:
    who = parser.add_mutually_exclusive_group(required=True)
    who.add_argument("--model_dir", metavar="DIR", help="the run whose checkpoint predicts")
    baselines = {name for each in suite.suites().values() for name in each.baselines}
    who.add_argument(
        "--baseline",
        choices=sorted(baselines),
        help="a heuristic of the task's suite that predicts",
    )
    add_step_argument(parser)
    parser.add_argument(
        "--task", metavar="NAME", help="task or mixture (default: what the run was trained on)"
    )
    parser.add_argument("--split", action="append", help="repeatable (default: test)")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--output", metavar="FILE", help="for one split")
    where.add_argument(
        "--output_dir",
        metavar="DIR",
        help="writes DIR/predictions/TASK-SPLIT-STEP.jsonl (default: the run's directory)",
    )
    add_batch_arguments(parser)
    parser.add_argument(
        "--limit_per_task",
        type=whole_number,
        metavar="N",
        help="only the first N examples of each task, also of each that a suite's task is made of; "
        "evaluate counts the others as empty predictions",
    )
    group = parser.add_argument_group("decoding")
    group.add_argument(
        "--num_beams", type=whole_number, metavar="N", help="beam search with N beams"
    )
    group.add_argument(
        "--length_penalty",
        type=number,
        metavar="A",
        help="of beam search: log-probability / length**A is compared (default: 1)",
    )
    group.add_argument(
        "--sample", action="store_true", help="draw each token; what is drawn depends on --seed"
    )
    group.add_argument("--temperature", type=number, metavar="T", help="of --sample (default: 1)")
    group.add_argument(
        "--top_k", type=whole_number, metavar="K", help="draw from the K likeliest tokens"
    )
    group.add_argument(
        "--top_p", type=number, metavar="P", help="draw from the fewest tokens that make up P"
    )
    configuration.add_length_arguments(parser)
    configuration.add_data_arguments(parser)
    distributed.add_arguments(parser)


@distributed.with_others
def main(args: argparse.Namespace) -> int:
    check_counts(args)
    if args.limit is not None and args.limit_per_task is not None:
        raise UserError(
            f"--limit={args.limit} and --limit_per_task={args.limit_per_task} both say which "
            "examples are predicted; give one of them"
        )
    decoding = decoding_of(args)
    splits = args.split or ["test"]
    if args.output and len(splits) > 1:
        raise UserError(f"--output is one file for {len(splits)} splits; give --output_dir DIR")
    configuration.import_declarations(args.modules)
    check_name(args.task)
    if args.baseline:
        if not args.task or not (args.output or args.output_dir):
            raise UserError(f"--baseline {args.baseline} needs --task NAME and --output_dir DIR")
        if decoding != Greedy():
            raise UserError(f"--baseline {args.baseline} copies; leave the flags of decoding out")
        configuration.bind_data_arguments(args)
        step, task, lengths = 0, args.task, configuration.lengths_of(args)
        identity: dict[str, Any] = {"baseline": args.baseline}
        predict: Predict = partial(_copied, baseline_of(args.baseline, task))
    else:
        model_dir = Path(args.model_dir).expanduser()
        checkpoints, step, about = load_checkpoint(model_dir, args.step)
        configuration.bind_data_arguments(args)
        check_vocabulary(about, model_dir)
        task, lengths = task_of(args, about), lengths_of(args, about)
        identity = {**identity_of(checkpoints, step, about), "decoding": repr(decoding)}
        loaded = load_model(checkpoints, step, about, args.num_partitions)
        predict = decoder(loaded, decoding, lengths, args.batch_size)
    for split in splits:
        name = f"{task}-{split}-{step}.jsonl"
        folder = Path(args.output_dir or args.model_dir or ".").expanduser()
        output = Path(args.output or inside(folder, "predictions", name)).expanduser()
        count = write_predictions(
            *(predict, identity, task, split, lengths, output),
            limit=args.limit,
            limit_per_task=args.limit_per_task,
        )
        if distributed.is_first_process():
            say_where(count, output)
    return 0


@dataclass(frozen=True)
class Greedy:
    """The most likely token each time."""


@dataclass(frozen=True)
class BeamSearch:
    """decode.beam_search with the flags' numbers."""

    num_beams: int
    length_penalty: float = 1.0

    def __post_init__(self) -> None:
        if self.num_beams < 2:
            raise UserError(
                f"--num_beams={self.num_beams} must be at least 2; leave it out to take the most "
                "likely token each time"
            )
        if not math.isfinite(self.length_penalty):
            raise UserError(f"--length_penalty={self.length_penalty} must be finite; try 1")


@dataclass(frozen=True)
class Sampling:
    """decode.sample with the flags' numbers; an example's key is of (seed, "sample", its id)."""

    seed: int = 0
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None

    def __post_init__(self) -> None:
        check_seed("--seed", self.seed)
        if not 0 < self.temperature < math.inf:
            raise UserError(
                f"--temperature={self.temperature:g} must be positive and finite; for the most "
                "likely token each time leave --sample out"
            )
        if self.top_k is not None and self.top_k < 1:
            raise UserError(f"--top_k={self.top_k} must be at least 1; leave it out for all tokens")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise UserError(
                f"--top_p={self.top_p:g} must be above 0 and at most 1; leave it out for all tokens"
            )


Decoding = Greedy | BeamSearch | Sampling


def decoding_of(args: argparse.Namespace) -> Decoding:
    """The decoding that the flags choose; raises UserError for flags that would have no effect."""

    def given(*names: str) -> dict[str, Any]:
        values = {name: getattr(args, name) for name in names}
        return {name: value for name, value in values.items() if value is not None}

    def first_of(flags: dict[str, Any]) -> str:
        return "--{}={}".format(*next(iter(flags.items())))

    beams, drawing = given("num_beams", "length_penalty"), given("temperature", "top_k", "top_p")
    if args.sample:
        if beams:
            raise UserError(f"{first_of(beams)} is of beam search; leave it or --sample out")
        return Sampling(**drawing, **given("seed"))
    if drawing:
        raise UserError(f"{first_of(drawing)} does nothing without --sample; add --sample")
    if not beams:
        return Greedy()
    if "num_beams" not in beams:
        raise UserError(f"{first_of(beams)} does nothing without beams; add --num_beams 4")
    return BeamSearch(**beams)


def write_predictions(
    predict: Predict,
    identity: dict[str, Any],
    task: str,
    split: str,
    lengths: "FeatureLengths",
    output: Path,
    limit: int | None = None,
    limit_per_task: int | None = None,
) -> int:
    """Predicts the examples that have no prediction yet, writes all; returns how many there are."""
    check_limit(output, f"--limit={limit}", limit)
    examples, contents = examples_of(task, split, lengths, limit, limit_per_task)
    settings: dict[str, Any] = {
        "task": task,
        "split": split,
        "lengths": lengths.as_dict(),
        "data": contents,
    }
    if limit_per_task is not None:
        check_limit(output, f"--limit_per_task={limit_per_task}", len(examples))
        settings["limit_per_task"] = limit_per_task
    doing = f"predicting {task}/{split}"
    return write_rows(predict, examples, output, {**identity, **settings}, doing)


def baseline_of(name: str, task: str) -> Callable[[Example], str]:
    """The heuristic of that name in the suite of a task or mixture: a function example → answer.

    Raises UserError if that suite has none of that name, or if the tasks of a mixture are not all
    of one suite.
    """
    from tk_instruct.data import registry

    owners = [registry.suite_of(part.name) for part in registry.tasks_of(task)]
    owner = owners[0]
    if any(other != owner for other in owners):
        raise UserError(
            f"--baseline {name}: the tasks of {task} are of several suites, and each has baselines "
            "of its own; give a task of one suite"
        )
    if owner is None:
        raise UserError(
            f"--baseline {name}: {task} is of no suite, and baselines are of suites; give a task "
            "of a suite, or --model_dir DIR"
        )
    if name not in owner.baselines:
        known = " or ".join(sorted(owner.baselines))
        rule = f"has {known}; give one of them" if known else "has none; give --model_dir DIR"
        raise UserError(f"--baseline {name}: {task} is of the suite {owner.name}, which {rule}")
    return suite.part(owner.baselines[name])


def _copied(copy: Callable[[Example], str], examples: Sequence[Example]) -> Iterator[list[Row]]:
    yield [row_of(example, copy(example)) for example in examples]


def decoder(
    loaded: Loaded, decoding: Decoding, lengths: "FeatureLengths", batch_size: int
) -> Predict:
    """A function that predicts with a checkpoint's parameters, on all devices."""
    from tk_instruct import sharding
    from tk_instruct.data.vocabulary import vocabulary

    sharding.check_batch_size(batch_size, loaded.mesh)
    decoded = loaded.compiled(partial(decode, decoding, lengths.targets))
    # A batch of shorter inputs has more rows, but beams take memory for each row.
    num_beams = decoding.num_beams if isinstance(decoding, BeamSearch) else 1
    vocab_size = loaded.model.config.vocab_size
    if num_beams > vocab_size // 2:  # twice as many continuations of the first are compared
        raise UserError(
            f"--num_beams={num_beams} must be at most {vocab_size // 2}, half of the model's "
            "vocabulary; try 4"
        )
    most_times = max(1, MOST_TIMES_BATCH_SIZE // num_beams)
    text_of = vocabulary().decode

    def predict(examples: Sequence[Example]) -> Iterator[list[Row]]:
        # No row depends on the others, so the order and the number of rows only change the speed.
        rows = loaded.enough_rows(len(examples), batch_size)
        for batch, tokens in batches(examples, rows, lengths.inputs, most_times):
            arrays = {"input_tokens": tokens, "segment_ids": (tokens > 0).astype(np.int32)}
            if isinstance(decoding, Sampling):
                keys = [randomness.draw(decoding.seed, "sample", e["id"]) for e in batch]
                arrays["key_data"] = key_data(keys, len(tokens))
            outputs = decoded(**arrays)
            yield [
                row_of(example, text_of(ids.tolist()))
                for example, ids in zip(batch, outputs, strict=False)
            ]

    return predict


def decode(
    decoding: Decoding, max_target_tokens: int, model: "LanguageModel", params: Any, **arrays: Any
) -> Any:
    """Target ids of a batch: the function of (params, arrays) that is compiled."""
    import jax

    from tk_instruct.model.decode import beam_search, greedy, sample

    match decoding:
        case Greedy():
            return greedy(model, params, **arrays, max_target_tokens=max_target_tokens)
        case BeamSearch(num_beams, length_penalty):
            targets, _ = beam_search(
                model,
                params,
                **arrays,
                num_beams=num_beams,
                length_penalty=length_penalty,
                max_target_tokens=max_target_tokens,
            )
            return targets
        case Sampling(_, temperature, top_k, top_p):
            keys = jax.random.wrap_key_data(arrays.pop("key_data"), impl="threefry2x32")
            return sample(
                model,
                params,
                **arrays,
                keys=keys,
                temperature=temperature,
                top_k=top_k,
                top_p=top_p,
                max_target_tokens=max_target_tokens,
            )


def key_data(keys: Sequence[int], num_rows: int) -> UInt32[np.ndarray, "num_rows 2"]:
    """The 64 bits of each row's key in two halves; zeros for rows that only fill the batch."""
    halves = [(key >> 32, key & 0xFFFFFFFF) for key in keys]
    return np.array(halves + [(0, 0)] * (num_rows - len(keys)), np.uint32)
