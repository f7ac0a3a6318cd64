"""FLAN: a run's checkpoint on the datasets of a cluster, as the paper's tables report it.

Every forward template of a dataset is a task; each is predicted on the validation and test split,
by generation against the options that the prompt shows and by ranking the options, and scored by
the dataset's own metrics (Wei et al. 2022, section 3 and appendix).
"""

import argparse
import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean, pstdev
from typing import TYPE_CHECKING, Any

import gin
import numpy as np

from tk_instruct import configuration, distributed, metrics
from tk_instruct.errors import UserError
from tk_instruct.files import Path, read_bytes, read_jsonl, write_atomically
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
from tk_instruct.metrics import METRICS
from tk_instruct.metrics.generation import LOWER_IS_BETTER
from tk_instruct.progress import Progress
from tk_instruct.tables import table

if TYPE_CHECKING:
    from tk_instruct.tasks.flan.datasets import Dataset
    from tk_instruct.tasks.flan.evaluation import Prompt

log = logging.getLogger("tk_instruct")

SHOTS = ("zero_shot", "few_shot")
METHODS = ("generation", "rank")
# By the form that a run was trained on: rows of the role of instructions, and their setting.
_ROLES = {
    "": [("FLAN", "zero_shot_generation")],
    "_no_template": [("no template", "zero_shot_generation")],
    "_dataset_name": [
        ("dataset name → instructions", "zero_shot_generation"),
        ("dataset name → dataset name", "dataset_name_generation"),
    ],
}


def add_arguments(parser: Any) -> None:
    """Declares the arguments that are this suite's own."""
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
    configuration.add_flan_arguments(parser)


@distributed.with_others
def main(args: argparse.Namespace) -> int:
    if not args.model_dir:
        raise UserError("--suite flan evaluates a run; give --model_dir DIR")
    check_counts(args)
    configuration.import_declarations()
    reports = [evaluate_run(Path(run).expanduser(), args) for run in args.model_dir]
    if not distributed.is_first_process():
        return 0
    found: dict[str, Any] = {"suite": "flan", "runs": reports}
    if roles := role_of_instructions(reports):
        found["role_of_instructions"] = roles
    text = json.dumps(_rounded(found), indent=2, ensure_ascii=False) + "\n"
    if args.json == "-":
        print(text, end="")
        return 0
    if args.json:
        write_atomically(Path(args.json), [text])
    print("\n\n".join([*map(report_text, reports), *([roles_text(roles)] if roles else [])]))
    return 0


def evaluate_run(model_dir: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Predicts and scores what is not there yet; the report of a run, also in its scores/."""
    from tk_instruct.tasks.flan import evaluation

    gin.clear_config()
    run = Run(model_dir, args)
    whole = not (args.cluster or args.dataset) and args.shots == args.method == "both"
    datasets = (
        evaluation.chosen(args.cluster, args.dataset)
        if args.cluster or args.dataset
        else evaluation.meant_by(run.mixture)
    )
    jobs = list(run.jobs(datasets))
    if not jobs:
        names, missing = (dataset.name for dataset in datasets), run.missing or ["none"]
        raise UserError(
            f"nothing of {', '.join(names)} is left to evaluate: missing are {', '.join(missing)}, "
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
        "missing": run.missing,
        "clusters": summarise(scores),
    }
    if whole:
        text = json.dumps(_rounded(report), indent=2, ensure_ascii=False) + "\n"
        write_atomically(model_dir / "scores" / f"{run.name('flan')}.json", [text])
    return report


@dataclass(frozen=True)
class Job:
    """A prompt, on a split, answered by a method."""

    prompt: "Prompt"
    split: str
    method: str

    @property
    def dataset(self) -> "Dataset":
        return self.prompt.dataset

    @property
    def setting(self) -> str:
        return f"{self.prompt.shots}_{self.method}"


Scores = dict[str, float]


class Run:
    """A run's checkpoint: what it was trained on, and what it answers."""

    def __init__(self, model_dir: Path, args: argparse.Namespace) -> None:
        self._args = args
        self._model_dir = model_dir
        self._checkpoints, self.step, self._about = load_checkpoint(model_dir, args.step)
        configuration.bind_flan_arguments(args)
        check_vocabulary(self._about, model_dir)
        self.mixture: str | None = self._about.data.get("mixture")
        self._lengths = lengths_of(args, self._about)
        self.missing: list[str] = []

    def jobs(self, datasets: Sequence["Dataset"]) -> Iterator[Job]:
        """Everything that is predicted; raises UserError where data is missing, unless skipped."""
        from tk_instruct.data import registry
        from tk_instruct.tasks.flan.evaluation import prompts_of

        args = self._args
        shots = SHOTS if args.shots == "both" else (args.shots,)
        methods = METHODS if args.method == "both" else (args.method,)
        if (self.mixture or "").endswith("_dataset_name"):
            shots = (*shots, "dataset_name")
        for dataset in datasets:
            reason = registry.is_missing(registry.get(f"flan_{dataset.name}"))
            if reason and not registry.skip_missing():
                raise reason
            if reason:
                self.missing.append(dataset.name)
                continue
            for method in methods:
                if method == "rank" and dataset.kind == "generation":
                    continue
                for shot in shots:
                    for prompt in prompts_of(dataset, shot):
                        for split in ("validation", "test"):
                            if split in dataset.splits:
                                yield Job(prompt, split, method)

    def name(self, what: str) -> str:
        """Of a file of predictions or scores: of so many examples, where not of all."""
        some = f".first{self._args.limit}" if self._args.limit else ""
        return f"{what}-{self.step}{some}"

    def name_of(self, job: Job) -> str:
        return self.name(f"{job.prompt.task}-{job.split}") + ".rank" * (job.method == "rank")

    def scores_of(self, job: Job) -> Scores:
        """Scores of a job, predicted now unless they are there already."""
        from tk_instruct.data import registry
        from tk_instruct.data.cache import code_hash

        task, name = registry.get(job.prompt.task), self.name_of(job)
        identity = {
            **identity_of(self._model_dir, self.step, self._about),
            "task": job.prompt.task,
            "split": job.split,
            "method": job.method,
            "limit": self._args.limit,
            "lengths": self._lengths.as_dict(),
            "data": [task.source.fingerprint(job.split)],
            "gin": self._about.gin,
            "checkpoint": self._checkpoints.written(self.step),
            "code": code_hash(metrics),
        }
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
        path = self._model_dir / "scores" / f"{name}.json"
        done = _scores_if(path, digest) if distributed.is_first_process() else None
        if not distributed.as_first_process_has(np.array(done is None)):
            return done or {}
        examples, _ = examples_of(job.prompt.task, job.split, self._lengths, self._args.limit)
        output = self._model_dir / "predictions" / f"{name}.jsonl"
        if job.method == "rank":
            from tk_instruct.rank import tokenized_options

            examples = tokenized_options(examples)
        write_rows(self._predict[job.method], examples, output, identity, doing=name)
        if not distributed.is_first_process():
            return {}
        predictions = {row["id"]: row["prediction"] for _, row in read_jsonl(output)}
        scores = score(job.dataset, examples, predictions)
        content = {"predicted_by": digest, "num_examples": len(examples), **scores}
        write_atomically(path, [json.dumps(content, indent=2) + "\n"])
        return scores

    @cached_property
    def _predict(self) -> dict[str, Predict]:
        """By method; the model is loaded when something is to be predicted."""
        from tk_instruct.predict import Greedy, decoder
        from tk_instruct.rank import ranker

        loaded = load_model(self._checkpoints, self.step, self._about, self._args.num_partitions)
        size = self._args.batch_size
        return {
            "generation": decoder(loaded, Greedy(), self._lengths, size),
            "rank": ranker(loaded, self._lengths, size, length_normalized=False),
        }


def _scores_if(path: Path, digest: str) -> Scores | None:
    """Scores that were made from the same predictions, if there are any."""
    try:
        found = json.loads(read_bytes(path)) if path.exists() else {}
    except ValueError:
        return None
    if found.pop("predicted_by", None) != digest:
        return None
    del found["num_examples"]
    return found


def score(
    dataset: "Dataset", examples: Sequence[Any], predictions: dict[str, str]
) -> dict[str, float]:
    """All of a dataset's metrics, its main one first."""
    from tk_instruct.tasks.flan import target_of

    targets = [target_of(example) for example in examples]
    texts = [predictions[example["id"]] for example in examples]
    scores: dict[str, float] = {}
    for metric in dataset.metrics:
        try:
            scores |= METRICS[metric](targets, texts)
        except ValueError as error:
            raise UserError(
                f"{dataset.name} cannot be scored by {metric} ({error}); is its data whole? "
                "`tk-instruct tasks doctor flan` looks"
            ) from error
    return scores


def summarise(scores: dict[Job, Scores]) -> dict[str, Any]:
    """By cluster, dataset and setting; averages of a cluster are over datasets as the paper counts.

    Those of a setting are of the main metrics on the test split; distances, of which less is
    better, are left out of them.
    """
    clusters: dict[str, Any] = {}
    for row in dict.fromkeys(job.prompt.row for job in scores):
        of = {job: found for job, found in scores.items() if job.prompt.row == row}
        dataset = next(iter(of)).dataset
        main = next(iter(next(iter(of.values()))))
        cluster = clusters.setdefault(dataset.cluster, {"average": {}, "datasets": {}})
        cluster["datasets"][row] = {
            "counted_as": dataset.counted_as,
            "metric": main,
            "lower_is_better": main in LOWER_IS_BETTER,
            "settings": {
                setting: _over_templates(
                    {job: found for job, found in of.items() if job.setting == setting}, main
                )
                for setting in dict.fromkeys(job.setting for job in of)
            },
        }
    for cluster in clusters.values():
        cluster["average"] = _averages(cluster["datasets"])
    return clusters


def _over_templates(scores: dict[Job, Scores], main: str) -> dict[str, Any]:
    """Mean and (population) standard deviation over templates, and the template best on dev."""
    test = {job.prompt.template: found for job, found in scores.items() if job.split == "test"}
    dev = {job.prompt.template: found for job, found in scores.items() if job.split != "test"}
    values = [found[main] for found in test.values()]
    summary: dict[str, Any] = {
        "mean": fmean(values),
        "standard_deviation": pstdev(values),
        "num_templates": len(values),
    }
    if dev:
        sign = -1 if main in LOWER_IS_BETTER else 1
        best = max(dev, key=lambda template: sign * dev[template][main])  # the first, of equals
        summary["best_on_dev"] = {
            "template": best,
            "dev": dev[best][main],
            "test": test[best][main],
        }
    summary["templates"] = [
        {"template": template, "test": found, "dev": dev.get(template)}
        for template, found in test.items()
    ]
    return summary


def _averages(datasets: dict[str, Any]) -> dict[str, dict[str, float]]:
    averages: dict[str, dict[str, float]] = {}
    for setting in dict.fromkeys(s for about in datasets.values() for s in about["settings"]):
        counted: dict[str, list[dict[str, Any]]] = {}
        for about in datasets.values():
            if setting in about["settings"] and not about["lower_is_better"]:
                counted.setdefault(about["counted_as"], []).append(about["settings"][setting])
        if not counted:
            continue
        averages[setting] = {"mean": fmean(fmean(s["mean"] for s in g) for g in counted.values())}
        with_dev = [
            fmean(s["best_on_dev"]["test"] for s in group if "best_on_dev" in s)
            for group in counted.values()
            if any("best_on_dev" in s for s in group)
        ]
        if with_dev:
            averages[setting]["best_on_dev"] = fmean(with_dev)
    return averages


def report_text(report: dict[str, Any]) -> str:
    """A table a cluster: each setting's mean ± standard deviation, and the best template on dev."""
    limit = f", the first {report['limit']} examples of each split" if report["limit"] else ""
    limit += f"; missing: {', '.join(report['missing'])}" if report["missing"] else ""
    lines = [
        f"{report['model_dir']}, step {report['step']}, trained on {report['trained_on']}; "
        f"per cent{limit}"
    ]
    for name, cluster in report["clusters"].items():
        settings = list(cluster["average"]) or list(
            dict.fromkeys(s for about in cluster["datasets"].values() for s in about["settings"])
        )
        titles = [setting.replace("_", " ") for setting in settings]
        rows = [["dataset", "metric", *(t for title in titles for t in (title, "best on dev"))]]
        for dataset, about in cluster["datasets"].items():
            found = [about["settings"].get(setting) for setting in settings]
            metric = about["metric"] + (" (less is better)" if about["lower_is_better"] else "")
            rows.append([dataset, metric, *(c for setting in found for c in _cells(setting))])
        if len(cluster["datasets"]) > 1 and cluster["average"]:
            averages = [cluster["average"].get(setting, {}) for setting in settings]
            cells = [
                f"{average[key]:.1f}" if key in average else "–"
                for average in averages
                for key in ("mean", "best_on_dev")
            ]
            rows.append(["average", "", *cells])
        lines += ["", f"{name} (test; mean ± standard deviation over templates)", table(rows)]
    return "\n".join(lines)


def _cells(setting: dict[str, Any] | None) -> tuple[str, str]:
    if setting is None:
        return "–", "–"
    spread = f" ± {setting['standard_deviation']:.1f}" if setting["num_templates"] > 1 else ""
    best = setting.get("best_on_dev")
    named = f" (t{best['template']})" if best and best["template"] is not None else ""
    return f"{setting['mean']:.1f}{spread}", f"{best['test']:.1f}{named}" if best else "–"


def role_of_instructions(reports: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Averages of clusters by how runs were trained and asked; empty without an ablation.

    Runs that hold different clusters out and were trained alike make up one row.
    """
    from tk_instruct.tasks.flan.evaluation import PUBLISHED_ROLES, without_form

    rows: dict[str, dict[str, float]] = {}
    for report in reports:
        mixture, form = without_form(report["trained_on"] or "")
        cluster = mixture.removeprefix("flan_holdout_")
        average = report["clusters"].get(cluster, {"average": {}})["average"]
        for role, setting in _ROLES.get(form, ()):
            if setting in average:
                rows.setdefault(role, {})[cluster] = average[setting]["mean"]
    if not set(rows) - {"FLAN"}:
        return {}
    shared = set.intersection(*(set(row) for row in rows.values()))
    return {
        role: {
            "clusters": rows[role],
            # Over what all have, so that they can be compared.
            "average": fmean(rows[role][name] for name in shared) if shared else None,
            "published_137b": published,
        }
        for role, published in PUBLISHED_ROLES.items()
        if role in rows
    }


def roles_text(roles: dict[str, Any]) -> str:
    """The role-of-instructions table."""
    clusters = list(dict.fromkeys(name for row in roles.values() for name in row["clusters"]))
    rows = [["trained → asked", *clusters, "average", "published"]]
    for role, row in roles.items():
        cells = [row["clusters"].get(name) for name in clusters]
        rows.append(
            [
                role,
                *("–" if cell is None else f"{cell:.1f}" for cell in (*cells, row["average"])),
                f"{row['published_137b']:.1f}",
            ]
        )
    return "\n".join(
        [
            "role of instructions: zero-shot generation, averages of clusters, per cent",
            table(rows),
            "average: of the clusters that all rows have; published: 137B, of four clusters "
            "(arXiv:2109.01652, section 4.3)",
        ]
    )


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return value
