"""FLAN: scores a run's checkpoint on the datasets of a cluster, as in the paper's tables.

Every forward template of a dataset is a task. Each task is predicted on the validation and test
split, zero-shot and few-shot, by generation and by ranking the options. The dataset's metrics score
the predictions (Wei et al. 2022, section 3 and appendix). The tables show the mean ± standard
deviation over templates, and the template that is best on dev. The default cluster is the one that
the run held out. Predictions and scores are kept in the run's directory, so an interrupted
evaluation continues.

  tk-instruct evaluate --suite flan --model_dir RUN
  tk-instruct evaluate --suite flan --model_dir RUN --cluster nli --shots zero_shot --limit 200
  tk-instruct evaluate --suite flan --model_dir FLAN --model_dir NO_TEMPLATE --model_dir NAMED

It also scores predictions of any system. Their ids are DATASET-SPLIT-NUMBER, such as rte-test-0, or
have the template in front, such as flan_rte.t3/rte-test-0:

  tk-instruct evaluate --suite flan --predictions OURS.jsonl THEIRS.jsonl
"""

import argparse
import contextlib
import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import gin
import numpy as np

from tk_instruct import configuration, distributed, metrics, schema
from tk_instruct.errors import UserError
from tk_instruct.evaluate.output import show_scores
from tk_instruct.evaluate.predictions import read_predictions
from tk_instruct.files import Path, inside, write_atomically
from tk_instruct.inference import (
    add_batch_arguments,
    add_step_argument,
    check_counts,
    check_vocabulary,
    examples_of,
    identity_of,
    lengths_of,
    load_checkpoint,
    load_model,
)
from tk_instruct.journal import Predict, write_rows
from tk_instruct.progress import Progress

from . import predictions, protocol
from .datasets import Dataset
from .predictions import score
from .prompts import DATASET_NAME
from .protocol import Job, prompts_of, without_form
from .summary import report_text, role_of_instructions, roles_text, summarise
from .tasks import target_of

log = logging.getLogger("tk_instruct")

SHOTS = ("zero_shot", "few_shot")
METHODS = ("generation", "rank")


def add_arguments(parser: Any) -> None:
    """Declares the arguments of this suite."""
    parser.add_argument(
        "--model_dir",
        action="append",
        default=[],
        metavar="DIR",
        help="a run; repeatable: several are put side by side in the table of the role of "
        "instructions",
    )
    add_step_argument(parser)
    parser.add_argument(
        "--cluster",
        action="append",
        default=[],
        metavar="NAME",
        help="repeatable (default: the cluster that the run's mixture holds out)",
    )
    parser.add_argument("--dataset", action="append", default=[], metavar="NAME", help="repeatable")
    parser.add_argument("--shots", choices=(*SHOTS, "both"), default="both", help="default: both")
    parser.add_argument(
        "--method",
        choices=(*METHODS, "both"),
        default="both",
        help="default: both; rank is for classifications only",
    )
    add_batch_arguments(parser)
    configuration.add_length_arguments(parser)


@distributed.with_others
def main(args: argparse.Namespace) -> int:
    check_counts(args)
    if args.predictions:
        return predictions.main(args)
    if not args.model_dir:
        raise UserError(
            "--suite flan evaluates a run or predictions; give --model_dir DIR or --predictions "
            "FILE"
        )
    configuration.import_declarations(args.modules)
    reports = [evaluate_run(Path(run).expanduser(), args) for run in args.model_dir]
    if not distributed.is_first_process():
        return 0
    found: dict[str, Any] = {"suite": "flan", "runs": reports}
    if roles := role_of_instructions(reports):
        found["role_of_instructions"] = roles
    text = json.dumps(_rounded(found), indent=2, ensure_ascii=False) + "\n"
    tables = [*map(report_text, reports), *([roles_text(roles)] if roles else [])]
    show_scores(args.json, text, "\n\n".join(tables))
    return 0


def evaluate_run(model_dir: Path, args: argparse.Namespace) -> dict[str, Any]:
    """The report of a run. Predicts and scores only what the run's directory lacks.

    Also writes the report of a complete evaluation to scores/. Raises UserError if no data is
    there.
    """
    gin.clear_config()
    run = Run(model_dir, args)
    whole = not (args.cluster or args.dataset) and args.shots == args.method == "both"
    datasets = (
        protocol.chosen(args.cluster, args.dataset)
        if args.cluster or args.dataset
        else protocol.meant_by(run.mixture)
    )
    absent = _missing(datasets)
    jobs = list(run.jobs([dataset for dataset in datasets if dataset not in absent]))
    missing = [dataset.name for dataset in absent]
    if not jobs:
        names = ", ".join(dataset.name for dataset in datasets)
        raise UserError(
            f"nothing of {names} is left to evaluate: missing are {', '.join(missing) or 'none'}, "
            "and only classifications have options to rank; give the data, or another --cluster, "
            "--dataset or --method"
        )
    scores = {}
    with Progress(f"evaluating {model_dir.name}", len(jobs)) as progress:
        for job in jobs:
            scores[job] = run.scores_of(job)
            progress.advance(note=run.name_of(job))
    if not distributed.is_first_process():
        return {}
    report = {
        "model_dir": str(model_dir),
        "step": run.step,
        "trained_on": run.mixture,
        "limit": args.limit,
        "missing": missing,
        "clusters": summarise(scores),
    }
    if whole:
        text = json.dumps(_rounded(report), indent=2, ensure_ascii=False) + "\n"
        write_atomically(model_dir / "scores" / f"{run.name('flan')}.json", [text])
    return report


Scores = dict[str, float]


def _missing(datasets: Sequence[Dataset]) -> list[Dataset]:
    """The datasets without data. Raises MissingDataError if there are any, unless skip_missing."""
    from tk_instruct.data import registry

    missing = []
    for dataset in datasets:
        if reason := registry.is_missing(registry.tasks_of(f"flan_{dataset.name}")[0]):
            if not registry.skip_missing():
                raise reason
            missing.append(dataset)
    return missing


class Run:
    """A run's checkpoint, its mixture, and its predictions and scores."""

    def __init__(self, model_dir: Path, args: argparse.Namespace) -> None:
        self._args = args
        self._model_dir = model_dir
        self._checkpoints, self.step, self._about = load_checkpoint(model_dir, args.step)
        configuration.bind_data_arguments(args)
        check_vocabulary(self._about, model_dir)
        self.mixture: str | None = self._about.data.get("mixture")
        self._lengths = lengths_of(args, self._about)

    def jobs(self, datasets: Sequence[Dataset]) -> Iterator[Job]:
        """All jobs that the arguments choose for the datasets."""
        args = self._args
        shots = SHOTS if args.shots == "both" else (args.shots,)
        methods = METHODS if args.method == "both" else (args.method,)
        if without_form(self.mixture or "")[1] == DATASET_NAME:
            shots = (*shots, "dataset_name")
        for dataset in datasets:
            for method in methods:
                if method == "rank" and dataset.kind == "generation":
                    continue
                for shot in shots:
                    for prompt in prompts_of(dataset, shot):
                        for split in ("validation", "test"):
                            if split in dataset.splits:
                                yield Job(prompt, split, method)

    def name(self, what: str) -> str:
        """The name of a file of predictions or scores, with step and limit, without suffix."""
        some = f".first{self._args.limit}" if self._args.limit else ""
        return f"{what}-{self.step}{some}"

    def name_of(self, job: Job) -> str:
        return self.name(f"{job.prompt.task}-{job.split}") + ".rank" * (job.method == "rank")

    def scores_of(self, job: Job) -> Scores:
        """Name → score of a job. Predicts and writes what the run's directory lacks."""
        from tk_instruct.data import registry
        from tk_instruct.data.code import code_hash

        (task,) = registry.tasks_of(job.prompt.task)
        name = self.name_of(job)
        identity = {
            **identity_of(self._checkpoints, self.step, self._about),
            "task": job.prompt.task,
            "split": job.split,
            "method": job.method,
            "limit": self._args.limit,
            "lengths": self._lengths.as_dict(),
            "data": [task.fingerprint(job.split)],
            "gin": self._about.gin,
            "code": code_hash(task.code, more=[metrics.__name__]),
        }
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
        path = inside(self._model_dir, "scores", f"{name}.json")
        done = _kept_scores(path, digest) if distributed.is_first_process() else None
        if not distributed.as_first_process_has(np.array(done is None)):
            return done or {}
        examples, _ = examples_of(job.prompt.task, job.split, self._lengths, self._args.limit)
        output = inside(self._model_dir, "predictions", f"{name}.jsonl")
        if job.method == "rank":
            from tk_instruct.rank import tokenized_options

            examples = tokenized_options(examples, task.tokenizer())
        write_rows(self._predict[job.method], examples, output, identity, doing=name)
        if not distributed.is_first_process():
            return {}
        answers = {id_: found.text for id_, found in read_predictions(output).items()}
        scores = score(
            job.dataset,
            [target_of(example) for example in examples],
            [answers[example["id"]] for example in examples],
        )
        content = {"predicted_by": digest, "num_examples": len(examples), **scores}
        write_atomically(path, [json.dumps(content, indent=2) + "\n"])
        return scores

    @cached_property
    def _predict(self) -> dict[str, Predict]:
        """Method → the function that predicts. Loads the model on first use."""
        from tk_instruct.predict import Greedy, decoder
        from tk_instruct.rank import ranker

        loaded = load_model(self._checkpoints, self.step, self._about, self._args.num_partitions)
        size = self._args.batch_size
        return {
            "generation": decoder(loaded, Greedy(), self._lengths, size),
            "rank": ranker(loaded, self._lengths, size, length_normalized=False),
        }


def _kept_scores(path: Path, digest: str) -> Scores | None:
    """The scores in a file if they were made from predictions of this digest, else None."""
    with contextlib.suppress(UserError):
        found = schema.read(path, dict[str, Any])
        if found.pop("predicted_by", None) == digest:
            found.pop("num_examples", None)
            return schema.convert(found, Scores, str(path)) or None
    return None


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return value
