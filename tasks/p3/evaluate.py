"""T0: scores a run's checkpoint on the data sets that T0 holds out, prompt by prompt.

Every scored prompt of the templates in use is a task: it asks for the data set's original task and
has choices. The likeliest choice is the answer: the summed log-probability of its tokens, EOS
included, without normalisation for length (Sanh et al. 2021, arXiv:2110.08207, section 5). The
table shows median, quartiles and range over a data set's prompts; no prompt is selected.
Predictions and scores are kept in the run's directory, so an interrupted evaluation continues.

  tk-instruct evaluate --suite p3 --model_dir RUN
  tk-instruct evaluate --suite p3 --model_dir RUN --dataset super_glue/rte --dataset anli/r1
  tk-instruct evaluate --suite p3 --model_dir RUN --bias_fairness

A data set that is named and has no prompts with choices, such as xsum, is answered by greedy
generation and scored by its templates' metrics.

It also scores predictions of any system. Their ids are TASK-SPLIT-ROW, such as
p3_super_glue_rte_should_assume-validation-0:

  tk-instruct evaluate --suite p3 --predictions OURS.jsonl THEIRS.jsonl
"""

import argparse
import difflib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import gin
import msgspec

from tk_instruct import configuration, distributed
from tk_instruct.data.task import Example
from tk_instruct.errors import UserError
from tk_instruct.evaluate.of_run import Run, Scores, as_text
from tk_instruct.evaluate.output import show_scores
from tk_instruct.files import Path, write_atomically
from tk_instruct.inference import add_batch_arguments, add_step_argument, check_counts
from tk_instruct.metrics.classification import accuracy
from tk_instruct.metrics.target import Target
from tk_instruct.progress import Progress

from . import bias, metrics, t0, tasks, templates
from .summary import DatasetSummary, Report, mean_of_medians, report_text, summarise
from .templates import DatasetName, PromptedDataset

SPLITS = ("validation", "test", "train")


def add_arguments(parser: Any) -> None:
    """Declares the arguments of this suite."""
    parser.add_argument(
        "--model_dir", action="append", default=[], metavar="DIR", help="a run; repeatable"
    )
    add_step_argument(parser)
    parser.add_argument(
        "--dataset",
        action="append",
        default=[],
        metavar="NAME",
        help="DATASET or DATASET/SUBSET, for a round of ANLI anli/r1; repeatable (default: those "
        "that T0 holds out)",
    )
    parser.add_argument("--split", choices=SPLITS, help="default: validation")
    parser.add_argument(
        "--bias_fairness", action="store_true", help="add the data sets that measure bias"
    )
    add_batch_arguments(parser)
    configuration.add_length_arguments(parser)


@distributed.with_others
def main(args: argparse.Namespace) -> int:
    check_counts(args)
    if not args.model_dir:
        raise UserError("--suite p3 evaluates a run; give --model_dir DIR")
    configuration.import_declarations(args.modules)
    of_runs = [evaluate_run(Path(run).expanduser(), args) for run in args.model_dir]
    if distributed.is_first_process():
        reports = [report for report in of_runs if report]
        found = {"suite": "p3", "runs": [msgspec.to_builtins(report) for report in reports]}
        show_scores(args.json, as_text(found), "\n\n".join(map(report_text, reports)))
    return 0


class Prompt(NamedTuple):
    """A data set under a template, to be answered by rank or generation on a split."""

    of: PromptedDataset
    method: str
    split: str

    @property
    def row(self) -> str:
        """The row in the table: the data set, and the round for ANLI."""
        return "/".join(filter(None, [str(self.of.dataset), self.of.round]))


def prompts_of(dataset: DatasetName, split: str | None) -> list[Prompt]:
    """The prompts that a data set is scored with. Empty if the tree has no templates of it.

    These are the templates of its original task, or all if there is none of it. Those with choices
    are ranked; if none has choices, answers are generated. split is None for the one that T0 is
    scored on.
    """
    in_tree = list(templates.tree().templates(dataset).values())
    of = [template for template in in_tree if template.metadata.original_task] or in_tree
    ranked = [template for template in of if template.answer_choices]
    method = "rank" if ranked else "generation"
    split = split or bias.SPLITS.get(dataset, "validation")
    return [
        Prompt(each, method, split)
        for template in ranked or of
        for each in tasks.prompts_of(dataset, template.name)
    ]


def chosen(args: argparse.Namespace) -> dict[str, list[Prompt]]:
    """Row → its prompts, for all rows that the arguments choose. A row may have no prompts.

    Raises UserError for a data set that is named and that the tree does not have.
    """
    found: dict[str, list[Prompt]] = {}
    for name in args.dataset:
        found |= _named(name, args.split)
    datasets = [] if args.dataset else t0.held_out()
    for dataset in [*datasets, *(t0.bias_and_fairness() if args.bias_fairness else [])]:
        found |= _by_row(prompts_of(dataset, args.split)) or {str(dataset): []}
    return found


def _named(name: str, split: str | None) -> dict[str, list[Prompt]]:
    dataset, _, subset = name.partition("/")
    if found := _by_row(prompts_of(DatasetName(dataset, subset or None), split)):
        return found
    rounds = _by_row(prompts_of(DatasetName(dataset), split))
    if name in rounds:  # of ANLI
        return {name: rounds[name]}
    known = [str(each) for each in templates.tree().datasets()]
    near = difflib.get_close_matches(name, known, n=3) or known[:3]
    raise UserError(
        f"--dataset={name} has no templates in {templates.tree().root}; the tree has "
        f"{', '.join(near)} and others, or give --p3_templates a tree that has it"
    )


def _by_row(prompts: Sequence[Prompt]) -> dict[str, list[Prompt]]:
    found: dict[str, list[Prompt]] = {}
    for prompt in prompts:
        found.setdefault(prompt.row, []).append(prompt)
    return found


def evaluate_run(model_dir: Path, args: argparse.Namespace) -> Report | None:
    """The report of a run. Predicts and scores only what the run's directory lacks.

    Also writes the report of a complete evaluation to scores/. Raises UserError if no data is
    there. Only the first process has the report.
    """
    gin.clear_config()
    run = Run(model_dir, args)
    rows = chosen(args)
    missing = _missing(rows)
    prompts = [prompt for row, of in rows.items() if row not in missing for prompt in of]
    if not prompts:
        raise UserError(
            f"nothing of {', '.join(rows)} is left to evaluate: missing are "
            f"{', '.join(missing) or 'none'}; give the data, or another --dataset"
        )
    scores: dict[Prompt, Scores] = {}
    with Progress(f"evaluating {model_dir.name}", len(prompts)) as progress:
        for prompt in prompts:
            scores[prompt] = scores_of(run, prompt)
            progress.advance(note=run.name_of(prompt.of.task, prompt.split, prompt.method))
    if not distributed.is_first_process():
        return None
    report = report_of(
        scores,
        system=str(model_dir),
        step=run.step,
        trained_on=run.mixture,
        split=args.split or "validation",
        limit=args.limit,
        missing=missing,
        without_templates=[row for row, of in rows.items() if not of],
    )
    if not args.dataset:
        what = f"p3-{args.split}" if args.split not in (None, "validation") else "p3"
        path = model_dir / "scores" / f"{run.name(what)}.json"
        write_atomically(path, [as_text(msgspec.to_builtins(report))])
    return report


def _missing(rows: Mapping[str, Sequence[Prompt]]) -> list[str]:
    """The rows without data. Raises MissingDataError if there are any, unless skip_missing."""
    from tk_instruct.data import registry

    missing = []
    for row, prompts in rows.items():
        if not prompts:
            continue
        (task,) = registry.tasks_of(prompts[0].of.task)
        if reason := registry.is_missing(task, prompts[0].split):
            if not registry.skip_missing():
                raise reason
            missing.append(row)
    return missing


def scores_of(run: Run, prompt: Prompt) -> Scores:
    """Name → score of a prompt, the main score first."""

    def scores(examples: Sequence[Example], texts: Sequence[str]) -> Scores:
        return score(prompt, examples, texts)

    return run.scores_of(prompt.of.task, prompt.split, prompt.method, scores, _options)


def _options(example: Example) -> list[str]:
    """The options of an example, each once. Raises UserError if the target is none of them."""
    tasks.right_option(example)
    return tasks.options_once(example)


def score(prompt: Prompt, examples: Sequence[Example], texts: Sequence[str]) -> Scores:
    """Name → score of predicted texts: accuracy if they are ranked, else the template's metrics."""
    dataset = prompt.of.dataset
    if bias.measures_bias(dataset):
        return bias.score(dataset, examples, texts)
    targets = [Target(tuple(e["references"]), tuple(e["options"])) for e in examples]
    if prompt.method == "rank":
        return accuracy(targets, texts)
    return metrics.score(templates.template_of(dataset, prompt.of.template), targets, texts)


def report_of(scores: Mapping[Prompt, Scores], **about: Any) -> Report:
    """The report of the scores of prompts."""
    datasets: dict[str, DatasetSummary] = {}
    of_bias: dict[str, DatasetSummary] = {}
    for row, prompts in _by_row(list(scores)).items():
        of = {prompt.of.template: scores[prompt] for prompt in prompts}
        summaries = summarise(prompts[0].method, of)
        into = of_bias if bias.measures_bias(prompts[0].of.dataset) else datasets
        for metric, summary in summaries.items():
            into[row if len(summaries) == 1 else f"{row}, {metric}"] = summary
    return Report(
        **about,
        templates=templates.tree().version,
        datasets=datasets,
        mean_of_medians=mean_of_medians(datasets),
        bias_and_fairness=bias.summarise(of_bias),
    )
