"""Scores predictions by the metrics of a task or mixture, as SeqIO's Evaluator does."""

import argparse
import inspect
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tk_instruct import configuration
from tk_instruct.errors import UserError
from tk_instruct.evaluate.output import refuse_to_overwrite_inputs, show_scores
from tk_instruct.evaluate.predictions import Prediction, read_predictions
from tk_instruct.files import Path
from tk_instruct.metrics.metric import number
from tk_instruct.scores import Scores, as_table

if TYPE_CHECKING:
    from tk_instruct.data.task import AnyTask
    from tk_instruct.data.tokens import FeatureLengths


def add_arguments(parser: Any) -> None:
    """Declares the arguments that --task needs."""
    parser.add_argument("--split", default="test", help="that was predicted (default: test)")
    configuration.add_length_arguments(parser)


def main(args: argparse.Namespace) -> int:
    """Prints and writes the scores; raises UserError for anything wrong with the inputs."""
    from tk_instruct.data import registry

    if not args.predictions or len(args.predictions) > 1:
        raise UserError(f"--task {args.task} scores one file; give --predictions FILE")
    refuse_to_overwrite_inputs(args.json, predictions=args.predictions)
    configuration.import_declarations(args.modules)
    configuration.bind_data_arguments(args)
    tasks, lengths = registry.tasks_of(args.task), configuration.lengths_of(args)
    (given,) = args.predictions
    predictions = read_predictions(Path("/dev/stdin" if given == "-" else given))
    left, notes = dict(predictions), []
    found: Scores = {}
    for task in tasks:
        scores, more = scores_of(task, args.split, lengths, predictions, left)
        found[task.name, args.split] = scores
        notes += more
    if left:
        id_, prediction = next(iter(left.items()))
        raise UserError(
            f"{prediction.where}: id {id_!r} is no example of {args.task}/{args.split}; give the "
            f"--split and the data that was predicted (`tk-instruct tasks show {args.task} --split "
            f"{args.split}` shows ids)"
        )
    by_name = {name: scores for (name, _), scores in found.items()}
    content = by_name if len(tasks) > 1 else by_name[tasks[0].name]
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    show_scores(args.json, text, "\n\n".join([as_table({given: found}), *notes]))
    return 0


def scores_of(
    task: "AnyTask",
    split: str,
    lengths: "FeatureLengths",
    predictions: Mapping[str, Prediction],
    left: dict[str, Prediction],
) -> tuple[dict[str, float], list[str]]:
    """Scores by name, and notes for the user. Removes the ids of the task's examples from left.

    An example without a prediction is scored with an empty prediction. Raises UserError if the
    task has no metric of predictions or no examples, or if a metric gives no number.
    """
    metrics = [fn for fn in task.metric_fns if "predictions" in inspect.signature(fn).parameters]
    if not metrics:
        raise UserError(
            f"task {task.name} has no metric of predictions; declare its metric_fns, functions of "
            "(targets, predictions)"
        )
    targets, answers, num_missing = [], [], 0
    for example in task.examples(split, lengths):
        found = predictions.get(example["id"])
        left.pop(example["id"], None)
        num_missing += found is None
        targets.append(task.target(example))
        answers.append(task.prediction(found.text if found else "", example))
    if not targets:
        raise UserError(f"{task.name}/{split} has no examples; there is nothing to score")
    scores: dict[str, float] = {}
    for metric in metrics:
        scores |= {name: number(value) for name, value in metric(targets, answers).items()}
    notes = []
    if num_missing:
        notes.append(
            f"{task.name}/{split}: {num_missing:,} of {len(targets):,} ids have no prediction and "
            "count as empty"
        )
    return scores | {"num_examples": len(targets)}, notes
