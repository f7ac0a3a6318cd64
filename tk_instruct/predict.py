"""Run a checkpoint, or a heuristic, over a task or mixture and write its predictions.

One JSON object a line, {id, task, prediction}, in the order of ids. What is done is kept beside
the output while it grows, so that an interrupted run goes on where it stopped.

  tk-instruct predict --model_dir RUN --task superni_en_def_pos2 --split test
  tk-instruct predict --baseline copy_demo --task superni_en_def_pos2 --output copy_demo.jsonl
"""

import argparse
import hashlib
import itertools
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import gin

from tk_instruct import configuration
from tk_instruct.data.records import TaskSpec
from tk_instruct.errors import UserError
from tk_instruct.files import cannot_write, write_atomically
from tk_instruct.progress import Progress

if TYPE_CHECKING:
    from tk_instruct.checkpoint import Checkpoints, Description
    from tk_instruct.data.registry import FeatureLengths

log = logging.getLogger("tk_instruct")

# A tokenised example with its texts, as registry.examples gives it.
Example = Mapping[str, Any]
# Batches of examples with their predictions, in whatever order suits the predictor.
Predictions = Iterator[tuple[Sequence[Example], list[str]]]
Predict = Callable[[Sequence[Example]], Predictions]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    who = parser.add_mutually_exclusive_group(required=True)
    who.add_argument("--model_dir", metavar="DIR", help="the run whose checkpoint predicts")
    who.add_argument("--baseline", choices=sorted(BASELINES), help="a heuristic that predicts")
    parser.add_argument("--step", type=int, help="of the checkpoint (default: the last)")
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
    parser.add_argument(
        "--batch_size", type=int, default=32, metavar="N", help="examples (default: 32)"
    )
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N examples")
    configuration.add_length_arguments(parser)
    configuration.add_data_arguments(parser)


def main(args: argparse.Namespace) -> int:
    for name in ("batch_size", "limit"):
        if getattr(args, name) is not None and getattr(args, name) < 1:
            raise UserError(f"--{name}={getattr(args, name)} must be at least 1")
    splits = args.split or ["test"]
    if args.output and len(splits) > 1:
        raise UserError(f"--output is one file for {len(splits)} splits; give --output_dir DIR")
    configuration.import_declarations()
    if args.baseline:
        if not args.task or not (args.output or args.output_dir):
            raise UserError(f"--baseline {args.baseline} needs --task NAME and --output_dir DIR")
        configuration.bind_data_arguments(args)
        step, task, lengths, identity = 0, args.task, configuration.lengths_of(args), args.baseline
        predict: Predict = partial(_one_by_one, BASELINES[args.baseline])
    else:
        model_dir = Path(args.model_dir).expanduser()
        checkpoints, step, about = load_checkpoint(model_dir, args.step)
        configuration.bind_data_arguments(args)
        _check_vocabulary(about, model_dir)
        task = args.task or about.data["mixture"]
        lengths = configuration.lengths_of(args, about.data["lengths"])
        identity = json.dumps([str(model_dir.absolute()), step, about.data], sort_keys=True)
        predict = _decoder(checkpoints, step, about, lengths, args.batch_size)
    for split in splits:
        name = f"{task}-{split}-{step}.jsonl"
        folder = Path(args.output_dir or args.model_dir or ".").expanduser() / "predictions"
        output = Path(args.output).expanduser() if args.output else folder / name
        count = write_predictions(predict, identity, task, split, lengths, output, limit=args.limit)
        print(f"{count:,} predictions in {output}")
    return 0


def write_predictions(
    predict: Predict,
    identity: str,
    task: str,
    split: str,
    lengths: "FeatureLengths",
    output: Path,
    limit: int | None = None,
) -> int:
    """Predicts what is not there yet and writes all of it; the number of examples.

    identity tells predictors apart: what another one has left unfinished is not gone on with.
    """
    from tk_instruct.data import registry

    tasks = registry.tasks_of(task)
    parts = (registry.examples(part, split, lengths) for part in tasks)
    examples = list(itertools.islice(itertools.chain.from_iterable(parts), limit))
    _check_ids(examples, task, split)
    contents = [part.source.fingerprint(split) for part in tasks]
    settings = json.dumps([identity, task, split, lengths.as_dict(), contents])
    journal = _Journal(output, hashlib.sha256(settings.encode()).hexdigest())
    done = journal.read()
    todo = [example for example in examples if example["id"] not in done]
    if done:
        log.info("%d of %d predictions were there already", len(done), len(examples))
    what = f"predicting {task}/{split}"
    with journal, Progress(what, len(examples), first=len(done)) as progress:
        for batch, predictions in predict(todo):
            for example, prediction in zip(batch, predictions, strict=True):
                row = {"id": example["id"], "task": example["task"], "prediction": prediction}
                done[example["id"]] = row
                journal.write(row)
            progress.advance(len(batch))
    wanted = sorted(example["id"] for example in examples)
    write_atomically(output, (json.dumps(done[i], ensure_ascii=False) + "\n" for i in wanted))
    journal.remove()
    return len(wanted)


def _check_ids(examples: Sequence[Mapping[str, Any]], task: str, split: str) -> None:
    seen: dict[str, str] = {}
    for example in examples:
        if example["id"] in seen:
            raise UserError(
                f"id {example['id']!r} is in {seen[example['id']]} and in {example['task']} of "
                f"{task}/{split}: predictions are told apart by id; correct one of the two files"
            )
        seen[example["id"]] = example["task"]


class _Journal:
    """Predictions as they come, one JSON line each, under a line that says what they belong to."""

    def __init__(self, output: Path, belongs_to: str) -> None:
        self.path = output.parent / f"{output.name}.unfinished"
        self.header = json.dumps({"belongs_to": belongs_to}) + "\n"
        self.file: IO[str] | None = None

    def read(self) -> dict[str, dict[str, Any]]:
        """What an interrupted run with the same settings has left; half a last line is dropped."""
        done = {}
        if self.path.exists():
            header, *lines = self.path.read_text(encoding="utf-8").splitlines(keepends=True)
            if header == self.header:
                for line in lines:
                    if line.endswith("\n"):
                        row = json.loads(line)
                        done[row["id"]] = row
        return done

    def __enter__(self) -> "_Journal":
        rows = self.read().values()
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        write_atomically(self.path, itertools.chain([self.header], lines))
        self.file = self.path.open("a", encoding="utf-8")
        return self

    def write(self, row: Mapping[str, Any]) -> None:
        assert self.file is not None
        try:
            self.file.write(json.dumps(row, ensure_ascii=False) + "\n")
            self.file.flush()
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def __exit__(self, *error: object) -> None:
        assert self.file is not None
        self.file.close()

    def remove(self) -> None:
        self.path.unlink()


def copy_input(example: Example) -> str:
    """The instance's input as it is (Wang et al. 2022, table 3)."""
    return example["input"]


def copy_demo(example: Example) -> str:
    """The output of the task's first positive example (Wang et al. 2022, table 3)."""
    demonstrations = TaskSpec.from_json(example["instruction"]).positive_examples
    return demonstrations[0].output if demonstrations else ""


BASELINES: dict[str, Callable[[Example], str]] = {
    "copy_demo": copy_demo,
    "copy_input": copy_input,
}


def _one_by_one(copy: Callable[[Example], str], examples: Sequence[Example]) -> Predictions:
    for example in examples:
        yield [example], [copy(example)]


def load_checkpoint(model_dir: Path, step: int | None) -> tuple["Checkpoints", int, "Description"]:
    """A run's checkpoint and what it says about itself, with the run's configuration bound."""
    from tk_instruct.checkpoint import Checkpoints

    checkpoints = Checkpoints(model_dir, read_only=True)
    step = checkpoints.step_or_latest(step)
    about = checkpoints.description(step)
    gin.parse_config(about.gin, skip_unknown=True)
    kept = model_dir / "sentencepiece.model"
    name = str(kept) if kept.exists() else about.vocabulary["name"]
    gin.bind_parameter("vocabulary.name", name)
    return checkpoints, step, about


def _check_vocabulary(about: "Description", where: Path) -> None:
    from tk_instruct.data import vocabulary

    found = vocabulary.fingerprint(vocabulary.vocabulary())
    if found != about.vocabulary["fingerprint"]:
        raise UserError(
            f"the vocabulary (fingerprint {found}) is not the one that {where} was trained with "
            f"({about.vocabulary['fingerprint']}, {about.vocabulary['name']}): its ids would mean "
            "other words; leave --vocabulary out or give that one"
        )


def _decoder(
    checkpoints: "Checkpoints",
    step: int,
    about: "Description",
    lengths: "FeatureLengths",
    batch_size: int,
) -> Callable[[Sequence[Example]], Predictions]:
    """Greedy decoding with a checkpoint's parameters, on all local devices."""
    import jax
    import numpy as np

    from tk_instruct import sharding
    from tk_instruct.data.vocabulary import vocabulary
    from tk_instruct.model.config import T5Config
    from tk_instruct.model.decode import greedy
    from tk_instruct.model.t5 import T5

    model = T5(T5Config(**about.model))
    mesh = sharding.make_mesh(1)
    sharding.check_batch_size(batch_size, mesh)
    params = checkpoints.restore_params(step, sharding.abstract_params(model, mesh))
    loaded = vocabulary()
    decode = jax.jit(partial(greedy, model, max_target_tokens=lengths.targets))

    def predict(examples: Sequence[Example]) -> Predictions:
        # By length, so that short inputs are not padded to long ones; results do not depend on it.
        ordered = sorted(examples, key=lambda example: (len(example["inputs"]), example["id"]))
        for start in range(0, len(ordered), batch_size):
            batch = ordered[start : start + batch_size]
            length = _bucket(max(len(example["inputs"]) for example in batch), lengths.inputs)
            tokens = np.zeros((batch_size, length), np.int32)
            for row, example in zip(tokens, batch, strict=False):
                row[: len(example["inputs"])] = example["inputs"]
            arrays = sharding.shard_batch({"tokens": tokens, "segments": tokens > 0}, mesh)
            outputs = jax.device_get(decode(params, arrays["tokens"], arrays["segments"]))
            yield batch, [loaded.decode(ids.tolist()) for ids in outputs[: len(batch)]]

    return predict


def _bucket(length: int, most: int) -> int:
    """The next power of two, at least 32: few shapes to compile, at most half of it padding."""
    return min(most, max(32, 1 << (length - 1).bit_length()))
