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
from collections.abc import Iterator, Sequence
from typing import Any

import gin

from tk_instruct import configuration, distributed
from tk_instruct.errors import UserError
from tk_instruct.evaluate.of_run import METHODS, Run
from tk_instruct.evaluate.output import as_text, show_scores
from tk_instruct.files import Path, PathLike, write_atomically
from tk_instruct.inference.arguments import add_batch_arguments, add_step_argument, check_counts
from tk_instruct.journal import Example
from tk_instruct.progress import Progress
from tk_instruct.published import Compared, as_rows
from tk_instruct.published import as_text as comparison_text
from tk_instruct.scored_instances import Scored, ScoredInstances

from . import predictions, protocol, published
from .datasets import Dataset
from .predictions import score_file as score_file
from .prompts import DATASET_NAME
from .protocol import Job, prompts_of, without_form
from .scoring import scored
from .summary import report_text, role_of_instructions, roles_text, summarise
from .tasks import target_of

SHOTS = ("zero_shot", "few_shot")


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
    tables = [*map(report_text, reports), *([roles_text(roles)] if roles else [])]
    if args.published:
        same, others = published.compared(reports, roles)
        found["published"] = as_rows(same, others)
        tables.append(comparison_text(same, others))
    show_scores(args.json, as_text(found), "\n\n".join(tables))
    return 0


def evaluate_run(model_dir: Path, args: argparse.Namespace) -> dict[str, Any]:
    """The report of a run. Predicts and scores only what the run's directory lacks.

    Also writes the report of a complete evaluation to scores/. Raises UserError if no data is
    there.
    """
    gin.clear_config()
    run = Run(model_dir, args)
    datasets = (
        protocol.chosen(args.cluster, args.dataset)
        if args.cluster or args.dataset
        else protocol.meant_by(run.mixture)
    )
    absent = _missing(datasets)
    jobs = list(jobs_of(run, [each for each in datasets if each not in absent], args))
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
            if found := _scores_of(run, job):
                scores[job] = found
            progress.advance(note=run.name_of(job.prompt.task, job.split, job.method))
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
    if args.shots == args.method == "both" and _is_whole(datasets, run.mixture):
        write_atomically(model_dir / "scores" / f"{run.name('flan')}.json", [as_text(report)])
    return report


def _is_whole(datasets: Sequence[Dataset], mixture: str | None) -> bool:
    """Whether datasets are all that a run on a mixture is evaluated on."""
    try:
        return list(datasets) == protocol.meant_by(mixture)
    except UserError:  # the mixture holds nothing out
        return False


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


def jobs_of(run: Run, datasets: Sequence[Dataset], args: argparse.Namespace) -> Iterator[Job]:
    """All jobs that the arguments choose for the datasets."""
    shots = SHOTS if args.shots == "both" else (args.shots,)
    methods = METHODS if args.method == "both" else (args.method,)
    if without_form(run.mixture or "")[1] == DATASET_NAME:
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


def _scores_of(run: Run, job: Job) -> Scored | None:
    def score(examples: Sequence[Example], texts: Sequence[str]) -> Scored:
        targets = {example["id"]: target_of(example) for example in examples}
        part = f"{job.split}, {job.setting.replace('_', ' ')}"
        return scored(job.prompt.task, job.dataset, part, targets, texts)

    return run.scores_of(job.prompt.task, job.split, job.method, score)


def published_beside(
    scored: ScoredInstances, predictions: PathLike
) -> tuple[list[Compared], list[Compared]]:
    """None: published are averages over clusters, which are not among what is compared."""
    return [], []
