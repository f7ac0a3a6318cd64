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
from collections.abc import Mapping, Sequence
from typing import Any

import gin
import msgspec

from tk_instruct import configuration, distributed
from tk_instruct.data.task import Example
from tk_instruct.errors import UserError
from tk_instruct.evaluate.of_run import Run
from tk_instruct.evaluate.output import as_text, show_scores
from tk_instruct.files import Path, PathLike, write_atomically
from tk_instruct.inference.arguments import add_batch_arguments, add_step_argument, check_counts
from tk_instruct.progress import Progress
from tk_instruct.published import Compared, as_rows
from tk_instruct.published import as_text as comparison_text
from tk_instruct.scored_instances import Scored, ScoredInstances

from . import exhibits, published, t0, tasks, templates
from .protocol import SPLITS, Prompt, by_row, options_of, prompts_of, report_of, rows_of, scored
from .summary import Report, report_text


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
    if args.predictions:
        from . import predictions  # brings jinja2 and pyarrow

        show(args, *predictions.reports_of(args))
        return 0
    if not args.model_dir:
        raise UserError(
            "--suite p3 evaluates a run or predictions; give --model_dir DIR or --predictions FILE"
        )
    configuration.import_declarations(args.modules)
    of_runs = [evaluate_run(Path(run).expanduser(), args) for run in args.model_dir]
    if distributed.is_first_process():
        show(args, [report for report in of_runs if report])
    return 0


def show(args: argparse.Namespace, reports: Sequence[Report], notes: Sequence[str] = ()) -> None:
    """Prints the tables and the notes, or writes the reports, as --json says."""
    runs, texts = [], []
    for report in reports:
        runs.append(msgspec.to_builtins(report))
        texts.append(report_text(report))
        if args.published:
            same, others = published.compared(report)
            runs[-1]["published"] = as_rows(same, others)
            texts.append(comparison_text(same, others))
    found = {"suite": "p3", "runs": runs}
    show_scores(args.json, as_text(found), "\n\n".join([*texts, *notes]))


def chosen(args: argparse.Namespace) -> dict[str, list[Prompt]]:
    """Row → its prompts, for all rows that the arguments choose. A row may have no prompts.

    Raises UserError for a data set that is named and that the tree does not have.
    """
    found: dict[str, list[Prompt]] = {}
    for name in args.dataset:
        found |= rows_of(name, args.split)
    datasets = [] if args.dataset else t0.held_out()
    for dataset in [*datasets, *(t0.bias_and_fairness() if args.bias_fairness else [])]:
        found |= by_row(prompts_of(dataset, args.split)) or {str(dataset): []}
    return found


def evaluate_run(model_dir: Path, args: argparse.Namespace) -> Report | None:
    """The report of a run. Predicts and scores only what the run's directory lacks.

    Also writes the report of a complete evaluation, and its figure, to scores/. Raises UserError if
    no data is there. Only the first process has the report.
    """
    gin.clear_config()
    run = Run(model_dir, args)
    rows = chosen(args)
    missing = _missing(rows)
    prompts = [prompt for row, of in rows.items() if row not in missing for prompt in of]
    if not any(rows.values()):
        tree = templates.tree()
        raise UserError(
            f"the templates in {tree.root} are of none of {', '.join(rows)}; name one of their "
            f"data sets, such as --dataset {tree.datasets()[0]}, or give other --p3_templates"
        )
    if not prompts:
        raise UserError(
            f"nothing of {', '.join(rows)} is left to evaluate: missing are "
            f"{', '.join(missing) or 'none'}; give the data, or another --dataset"
        )
    scores: dict[Prompt, Scored] = {}
    with Progress(f"evaluating {model_dir.name}", len(prompts)) as progress:
        for prompt in prompts:
            if found := scores_of(run, prompt):
                scores[prompt] = found
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
        seen=_seen(rows, run.mixture),
    )
    if not args.dataset:
        what = f"p3-{args.split}" if args.split not in (None, "validation") else "p3"
        place = model_dir / "scores"
        write_atomically(place / f"{run.name(what)}.json", [as_text(msgspec.to_builtins(report))])
        write_atomically(place / f"{run.name(what)}.png", _figure(report, model_dir.name))
    return report


def _seen(rows: Mapping[str, Sequence[Prompt]], mixture: str | None) -> list[str]:
    """The rows of data sets that a mixture has under any template: T0+ trains on HellaSwag."""
    from tk_instruct.data import registry

    try:
        found = registry.get(mixture or "")
    except UserError:  # trained elsewhere, or on what is not declared here
        return []
    names = {task.name for task in getattr(found, "tasks", [found])}
    tree = templates.tree()
    return [
        row
        for row, prompts in rows.items()
        for dataset in {prompt.of.dataset for prompt in prompts}
        if any(
            of.task in names for t in tree.templates(dataset) for of in tasks.prompts_of(dataset, t)
        )
    ]


def _figure(report: Report, name: str) -> bytes:
    """PNG with the scores of each data set's prompts."""
    from tk_instruct.drawing import drawn  # brings matplotlib

    png, _ = drawn(exhibits.all_prompts(name, report))
    return png


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


def scores_of(run: Run, prompt: Prompt) -> Scored | None:
    """The scores of a prompt, on the first process."""

    def score(examples: Sequence[Example], texts: Sequence[str]) -> Scored:
        return scored(prompt, examples, texts)

    return run.scores_of(prompt.of.task, prompt.split, prompt.method, score, options_of)


def score_file(path: Path, args: argparse.Namespace) -> tuple[ScoredInstances, list[str]]:
    """The scored instances of a file of predictions, and notes for the user.

    Raises UserError for any problem with the file.
    """
    from . import predictions  # brings jinja2 and pyarrow

    return predictions.score_file(path, args)


def published_beside(
    scored: ScoredInstances, predictions: PathLike
) -> tuple[list[Compared], list[Compared]]:
    """The published scores beside the means over prompts, of which none is published."""
    return published.beside(scored)
