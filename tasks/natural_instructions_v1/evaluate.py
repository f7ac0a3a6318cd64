"""Natural Instructions v1: scores predictions as its released script does.

  tk-instruct evaluate --suite ni_v1 --predictions FILE… --ni_v1_data DIR

Several files count as one system, such as twelve task-specific models. Besides the formats that all
suites read, a file may have the released form: {"predictions": [{"index", "output"}]}, named
TASK@ENCODING@….json.

The metric is the F-measure of ROUGE-L, stemmed, the best over the references. A task's score is the
mean of its evaluated instances, a category's the mean of its tasks, and the average the mean of the
categories. The tasks are what was sampled: a 95 % interval is clustered by task, and that of one
task is over its instances. In the average the categories are fixed, and tasks are clustered within
each. Scored are the tasks that have predictions; an evaluated instance without one counts as empty,
and predictions of other instances are passed over.
"""

import argparse
import sys
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from tk_instruct import configuration
from tk_instruct.errors import UserError
from tk_instruct.evaluate.output import as_text, keep, refuse_to_overwrite_inputs, show_scores
from tk_instruct.files import Path, PathLike
from tk_instruct.predictions import Prediction
from tk_instruct.published import Compared, as_rows, compare_with
from tk_instruct.scored_instances import About, ScoredInstances, as_scores
from tk_instruct.tables import INTERVAL, about_intervals, score_cells, table
from tk_instruct.uncertainty.intervals import Estimate

from . import metrics, predictions, records
from .metrics import F_MEASURE, RECALL
from .published import AVERAGE, Scored, by_split, rows, setting_of
from .splits import CATEGORIES, RANDOM, collection, evaluated, task_splits

_ABOUT_INTERVALS = (
    f"{about_intervals('task')}\navg: categories are fixed, tasks are clustered within each"
)
_NUM_NAMED = 3  # tasks that a note names


class _Task(NamedTuple):
    """A task's evaluated instances and their predictions.

    Attributes:
        instances: position → references.
        answers: position → prediction.
        num_missing: evaluated instances without a prediction.
        num_others: predictions of other instances.
        num_in_file: all instances.
    """

    instances: Mapping[int, Sequence[str]]
    answers: Mapping[int, str]
    num_missing: int
    num_others: int
    num_in_file: int


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of this suite."""
    parser.add_argument(
        "--recall",
        action="store_true",
        help="also ROUGE-L's recall, which the paper describes, and which its scores are not",
    )


def main(args: argparse.Namespace) -> int:
    """Prints and writes the scores. Raises UserError for any problem with the inputs."""
    if not args.predictions:
        raise UserError("no predictions are given; give --predictions FILE, or another --suite")
    refuse_to_overwrite_inputs(args, predictions=args.predictions)
    configuration.import_declarations(args.modules)
    configuration.bind_data_arguments(args)
    scored, tasks = _scored(args.predictions)
    notes = [*_notes(tasks), *keep(args, scored)]
    names = [F_MEASURE, RECALL] if args.recall else [F_MEASURE]
    scores = scores_of(scored, names)
    content = {**as_scores(scores), "num_examples": len(scored)}
    text = [_table_of_tasks(scored.by("task"), scores, names)]
    if args.published:
        notes += _notes_on_published(tasks)
        text += _comparisons(tasks, scores, names)
        counts = {
            name: Scored(len(of.instances), of.num_missing, of.num_in_file)
            for name, of in tasks.items()
        }
        content["published"] = as_rows(*_beside(counts, scores, args.predictions))
    else:
        text.append(_table_of_categories(scores, names, None))
    text.append(_ABOUT_INTERVALS)
    if args.json == "-":
        sys.stderr.writelines(f"{note}\n" for note in notes)
    if notes:
        text.append("\n".join(notes))
    show_scores(args.json, as_text(content), "\n\n".join(text))
    return 0


def score_file(path: Path, args: argparse.Namespace) -> tuple[ScoredInstances, list[str]]:
    """The scored instances of a file of predictions, and notes for the user.

    Raises UserError for any problem with the inputs.
    """
    configuration.import_declarations(args.modules)
    configuration.bind_data_arguments(args)
    scored, tasks = _scored([str(path)])
    return scored, _notes(tasks)


def _scored(paths: Sequence[str]) -> tuple[ScoredInstances, Mapping[str, _Task]]:
    """The scored instances of files that are one system, and the tasks with predictions."""
    tasks = _tasks_of(predictions.read(paths))
    rows = [
        (name, position, references, task.answers.get(position))
        for name, task in tasks.items()
        for position, references in task.instances.items()
    ]
    scores = [metrics.instance_scores(text or "", references) for _, _, references, text in rows]
    ids = [f"{name}-{position}" for name, position, _, _ in rows]
    names = [name for name, _, _, _ in rows]
    scored = ScoredInstances(
        About(
            "ni_v1",
            main=F_MEASURE,
            unit="task",
            levels=("category", "task"),
            percentages=(F_MEASURE, RECALL),
        ),
        {
            "id": ids,
            "part": [""] * len(ids),
            "task": names,
            "unit": names,
            "category": [collection()[name].category for name in names],
            "instance": ids,
        },
        [references for _, _, references, _ in rows],
        [text for _, _, _, text in rows],
        {name: 100 * np.array([of[name] for of in scores]) for name in (F_MEASURE, RECALL)},
    )
    return scored, tasks


def scores_of(scored: ScoredInstances, names: Sequence[str]) -> dict[str, Estimate]:
    """NAME, NAME_for_CATEGORY and NAME_for_TASK."""
    scores = {}
    by_category, by_task = scored.by("category"), scored.by("task")
    parts = {name: by_category[name] for name in CATEGORIES if name in by_category} | by_task
    for name in names:
        scores[name] = scored.estimate(name)
        scores |= {f"{name}_for_{part}": rows.estimate(name) for part, rows in parts.items()}
    return scores


def _tasks_of(predicted: Mapping[str, Mapping[int, Prediction]]) -> dict[str, _Task]:
    """Name → task, for all tasks with predictions.

    Raises UserError for a task without a file, for an instance that the file does not have, and if
    no evaluated instance of a task is predicted.
    """
    files = records.files()
    found = {}
    for task, of_task in predicted.items():
        if task not in files:
            raise UserError(
                f"{next(iter(of_task.values())).where}: {records.folder()} has no {task}.json; "
                "add it, or leave the predictions of this task out"
            )
        found[task] = _task_of(task, files[task], of_task)
    return found


def _task_of(task: str, path: Path, predicted: Mapping[int, Prediction]) -> _Task:
    _, instances = records.read_task(path)
    last = max(predicted)
    if last >= len(instances):
        raise UserError(
            f"{predicted[last].where}: {task} has no instance {last} but 0 to "
            f"{len(instances) - 1}; give the --ni_v1_data that was predicted"
        )
    positions = evaluated(len(instances))
    answers = {k: predicted[k].text for k in positions if k in predicted}
    if not answers:
        raise UserError(
            f"{predicted[last].where}: no prediction of {task} is of an evaluated instance; "
            f"predict {', '.join(map(str, positions[:_NUM_NAMED]))} and so on, the split test or "
            "validation of ni_v1_… has them"
        )
    return _Task(
        {k: instances[k].outputs for k in positions},
        answers,
        num_missing=len(positions) - len(answers),
        num_others=len(predicted) - len(answers),
        num_in_file=len(instances),
    )


def _table_of_tasks(
    tasks: Mapping[str, ScoredInstances], scores: Mapping[str, Estimate], names: Sequence[str]
) -> str:
    num_instances = sum(map(len, tasks.values()))
    titles = [title for name in names for title in (_title(name), INTERVAL)]
    rows = [["task", "category", *titles, "instances"]]
    for task, of in tasks.items():
        _, short = CATEGORIES[collection()[task].category]
        values = [cell for name in names for cell in score_cells(scores[f"{name}_for_{task}"])]
        rows.append([task, short, *values, f"{len(of):,}"])
    return f"{num_instances:,} instances of {_count(len(tasks))}, per cent\n\n{table(rows)}"


def _title(name: str) -> str:
    return {F_MEASURE: "ROUGE-L F", RECALL: "ROUGE-L recall"}[name]


def _comparisons(
    tasks: Collection[str], scores: Mapping[str, Estimate], names: Sequence[str]
) -> list[str]:
    """Tables of the categories: one for each split that these tasks are of and that is published.

    If there is none, one without published scores.
    """
    found = []
    for split in _published_splits(tasks):
        unseen = task_splits()[split].unseen
        absent = [task for task in unseen if task not in tasks]
        about = f"split {split}: all {_count(len(unseen))}"
        if absent:
            about = (
                f"split {split}: {len(tasks)} of {_count(len(unseen))}, without "
                f"{_named(absent)}; the published scores are of all {len(unseen)}"
            )
        found.append(f"{about}\n\n{_table_of_categories(scores, names, split)}")
    return found or [
        _table_of_categories(scores, names, None),
        "no score is published of a split of these tasks",
    ]


def _published_splits(tasks: Collection[str]) -> list[str]:
    """The splits with published scores that tasks are of: all of them, of the random one some."""
    found = []
    for split in by_split():
        unseen = task_splits()[split].unseen
        num_there = sum(task in tasks for task in unseen)
        if num_there == len(tasks) and (split == RANDOM or num_there == len(unseen)):
            found.append(split)
    return found


def published_beside(
    scored: ScoredInstances, predictions: PathLike
) -> tuple[list[Compared], list[Compared]]:
    """The published scores of the tasks' splits beside ours, of the same setting and of others.

    predictions: the file, by whose name the encoding is known.
    """
    counts = {}
    for name, task in scored.by("task").items():
        released = collection()[name].num_released
        positions = [int(id_.rpartition("-")[2]) for id_ in task.labels["id"]]
        are_released = released is None or positions == list(evaluated(released))
        num_missing = list(task.predictions).count(None)
        counts[name] = Scored(len(task), num_missing, (released or 0) if are_released else -1)
    return _beside(counts, scores_of(scored, [F_MEASURE, RECALL]), [predictions])


def _beside(
    tasks: Mapping[str, Scored], scores: Mapping[str, Estimate], paths: Sequence[PathLike]
) -> tuple[list[Compared], list[Compared]]:
    ours = {
        (part, metric): scores[key].value
        for metric in (F_MEASURE, RECALL)
        for part in ("", *CATEGORIES)
        if (key := f"{metric}_for_{part}" if part else metric) in scores
    }
    same: list[Compared] = []
    others: list[Compared] = []
    for split in _published_splits(tasks):
        of_split = [row for row in rows() if row.setting["split"] == split]
        more_same, more_others = compare_with(of_split, setting_of(split, tasks, paths), ours)
        same += more_same
        others += more_others
    return same, others


def _table_of_categories(
    scores: Mapping[str, Estimate], names: Sequence[str], split: str | None
) -> str:
    """Columns of categories with the average, rows of systems."""
    systems = by_split()[split] if split else {}
    columns = [
        category
        for category in CATEGORIES
        if f"{F_MEASURE}_for_{category}" in scores
        or any(category in printed for printed in systems.values())
    ]
    shown = [["system", "encoding", *(CATEGORIES[each][1] for each in columns), "avg"]]
    for name in names:
        keys = [*(f"{name}_for_{category}" for category in columns), name]
        found = [score_cells(scores[key]) if key in scores else ("–", "–") for key in keys]
        values, intervals = zip(*found, strict=True)
        shown.append([f"these predictions, {_title(name)}", "", *values])
        shown.append([f"  {INTERVAL}", "", *intervals])
    for system, printed in systems.items():
        cells = [printed.get(column, "–") for column in (*columns, AVERAGE)]
        shown.append([f"published: {system.name}", system.encoding, *cells])
    return table(shown)


def _notes(tasks: Mapping[str, _Task]) -> list[str]:
    missing = [
        f"{task} ({of.num_missing} of {len(of.instances)})"
        for task, of in tasks.items()
        if of.num_missing
    ]
    others = [f"{task} ({of.num_others:,})" for task, of in tasks.items() if of.num_others]
    notes = []
    if missing:
        total = sum(of.num_missing for of in tasks.values())
        notes.append(
            f"evaluated instances without a prediction count as empty, {total:,} in all: "
            f"{_named(missing)}"
        )
    if others:
        total = sum(of.num_others for of in tasks.values())
        notes.append(
            f"predictions of instances that are not evaluated are passed over, {total:,} in all: "
            f"{_named(others)}"
        )
    return notes


def _notes_on_published(tasks: Mapping[str, _Task]) -> list[str]:
    cut = [
        f"{task} ({of.num_in_file:,} for {released:,})"
        for task, of in tasks.items()
        if (released := collection()[task].num_released) not in (None, of.num_in_file)
    ]
    if not cut:
        return []
    return [
        "the published scores are of other instances: not as many as released are in the files of "
        f"{_count(len(cut))}, {_named(cut)}"
    ]


def _named(texts: Sequence[str]) -> str:
    more = f" and {len(texts) - _NUM_NAMED} more" if len(texts) > _NUM_NAMED else ""
    return ", ".join(texts[:_NUM_NAMED]) + more


def _count(num_tasks: int) -> str:
    return f"{num_tasks} task" if num_tasks == 1 else f"{num_tasks} tasks"
