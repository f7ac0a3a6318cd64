"""Scores predictions by the metrics of a task or mixture, as SeqIO's Evaluator does."""

import argparse
import inspect
import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tk_instruct import configuration
from tk_instruct.errors import UserError
from tk_instruct.evaluate.output import keep, refuse_to_overwrite_inputs, show_scores
from tk_instruct.files import Path
from tk_instruct.journal import Example
from tk_instruct.metrics import PERCENTAGES, Metric
from tk_instruct.metrics.generation import LOWER_IS_BETTER
from tk_instruct.metrics.metric import Measured, groups_of, measure, no_means
from tk_instruct.metrics.metric import scores as scores_of
from tk_instruct.predictions import Prediction, read_predictions
from tk_instruct.scored_instances import About, Scored, ScoredInstances, as_scores, joined
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
    if not args.predictions or len(args.predictions) > 1:
        raise UserError(f"--task {args.task} scores one file; give --predictions FILE")
    refuse_to_overwrite_inputs(args, predictions=args.predictions)
    (given,) = args.predictions
    tasks, notes = _score(Path("/dev/stdin" if given == "-" else given), args)
    notes += keep(args, joined([scored.instances for scored in tasks.values()]))
    scores = {
        name: as_scores(scored.estimates()) | {"num_examples": len(scored.instances)}
        for name, scored in tasks.items()
    }
    content = scores if len(scores) > 1 else next(iter(scores.values()))
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    found: Scores = {(name, args.split): of for name, of in scores.items()}
    show_scores(args.json, text, "\n\n".join([as_table({given: found}), *notes]))
    return 0


def score_file(path: Path, args: argparse.Namespace) -> tuple[ScoredInstances, list[str]]:
    """The scored instances of a file of predictions, and notes for the user.

    Raises UserError for any problem with the inputs.
    """
    tasks, notes = _score(path, args)
    return joined([scored.instances for scored in tasks.values()]), notes


def _score(path: Path, args: argparse.Namespace) -> tuple[dict[str, Scored], list[str]]:
    """Name → scores, for all tasks of --task, and notes for the user."""
    from tk_instruct.data import registry

    configuration.import_declarations(args.modules)
    configuration.bind_data_arguments(args)
    tasks, lengths = registry.tasks_of(args.task), configuration.lengths_of(args)
    predictions = read_predictions(path)
    left, found, notes = dict(predictions), {}, []
    for task in tasks:
        found[task.name], more = score_task(task, args.split, lengths, predictions, left)
        notes += more
    if left:
        id_, prediction = next(iter(left.items()))
        raise UserError(
            f"{prediction.where}: id {id_!r} is no example of {args.task}/{args.split}; give the "
            f"--split and the data that was predicted (`tk-instruct tasks show {args.task} --split "
            f"{args.split}` shows ids)"
        )
    return found, notes


def score_task(
    task: "AnyTask",
    split: str,
    lengths: "FeatureLengths",
    predictions: Mapping[str, Prediction],
    left: dict[str, Prediction],
) -> tuple[Scored, list[str]]:
    """The scores of a task, and notes for the user. Removes the ids of its examples from left.

    An example without a prediction is scored with an empty prediction. Raises UserError if the
    task has no metric of predictions or no examples, or if a metric gives no number.
    """
    metrics = [fn for fn in task.metric_fns if "predictions" in inspect.signature(fn).parameters]
    if not metrics:
        raise UserError(
            f"task {task.name} has no metric of predictions; declare its metric_fns, functions of "
            "(targets, predictions)"
        )
    examples = list(task.examples(split, lengths))
    if not examples:
        raise UserError(f"{task.name}/{split} has no examples; there is nothing to score")
    ids = [example["id"] for example in examples]
    texts = [predictions[id_].text if id_ in predictions else None for id_ in ids]
    for id_ in ids:
        left.pop(id_, None)
    targets = [task.target(example) for example in examples]
    answers = [task.prediction(t or "", e) for t, e in zip(texts, examples, strict=True)]
    units = [task.unit_of(example) for example in examples]
    measured: dict[str, Measured] = {}
    percentages = set()
    for metric in metrics:
        found = measure(metric, targets, answers, units)
        measured |= found
        if isinstance(metric, Metric):  # of others the names do not tell it
            percentages |= found.keys() & set(PERCENTAGES)
    notes = []
    if num_missing := texts.count(None):
        notes.append(
            f"{task.name}/{split}: {num_missing:,} of {len(ids):,} ids have no prediction and "
            "count as empty"
        )
    notes += [
        f"{task.name}/{split}: {name} is {of.score} and is left out"
        for name, of in measured.items()
        if not math.isfinite(of.score)
    ]
    groups = groups_of(measured)
    instances = ScoredInstances(
        About(
            "task",
            main=next(iter(measured)),
            unit="unit",
            percentages=tuple(sorted(percentages)),
            lower_is_better=tuple(LOWER_IS_BETTER),
            no_means=dict.fromkeys(no_means(measured), (task.name,)),
        ),
        {
            "id": ids,
            "part": [f"{task.name}/{split}"] * len(ids),
            "task": [task.name] * len(ids),
            "unit": groups or units,
            "category": [", ".join(task.about(e).get("categories", [])) for e in examples],
            "instance": groups or ids,
        },
        [_references(example) for example in examples],
        texts,
        {name: of.values for name, of in measured.items()},
    )
    return Scored(scores_of(measured), instances), notes


def _references(example: Example) -> list[str]:
    """The right answers of an example, as texts."""
    found = example.get("references") or [example["targets_pretokenized"]]
    return list(map(str, found))
