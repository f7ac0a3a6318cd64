"""Super-NaturalInstructions: scores predictions as the leaderboard does.

  tk-instruct evaluate --predictions RUN/predictions/TASK-test-STEP.jsonl --data_dir DATA

The metrics are exact match, ROUGE-1 and ROUGE-L. An instance without a prediction is scored with an
empty prediction. A prediction for an unknown instance is an error. The tasks are what was sampled:
a 95 % interval is clustered by task, and that of one task is over its instances. In the mean of
categories, these are fixed, and tasks are clustered within each.
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Annotated, Any

import msgspec
import numpy as np

from tk_instruct import schema
from tk_instruct.errors import UserError
from tk_instruct.evaluate.output import (
    as_text,
    keep_each,
    refuse_to_overwrite_inputs,
    show_scores,
)
from tk_instruct.files import Path, PathLike
from tk_instruct.predictions import Prediction, read_predictions
from tk_instruct.published import Compared, as_rows
from tk_instruct.published import as_text as comparison_text
from tk_instruct.scored_instances import About, ScoredInstances, as_scores, joined
from tk_instruct.scores import named_apart, predicted_by_name
from tk_instruct.tables import INTERVAL, about_intervals, score_cells, table
from tk_instruct.uncertainty.intervals import Estimate, combined

from . import metrics, published
from .metrics import METRICS, Instance
from .records import EVALUATION_CATEGORIES, TRACKS, SuperNI

_NUM_NAMED = 3  # ids that a message names


class _Reference(msgspec.Struct, frozen=True):
    """A line of the leaderboard's reference file."""

    id: str
    references: Annotated[list[str], msgspec.Meta(min_length=1)]
    task_id: str
    task_category: str
    track: str | None = None


Instances = Mapping[str, Instance]
"""Id → instance, for one track, in the order of the source."""

LoadTrack = Callable[[str], Instances]
"""Name of a track → its instances. Raises UserError if there are none."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of this suite."""
    parser.add_argument(
        "--track",
        choices=(*TRACKS, "both"),
        default="default",
        help="both scores whichever track has references, and suffixes the keys with _TRACK_track "
        "as the leaderboard does (default: %(default)s)",
    )
    parser.add_argument(
        "--references",
        metavar="FILE",
        help='in place of --data_dir: JSONL with "id", "references", "task_id", "task_category" '
        'and, optionally, "track"',
    )
    parser.add_argument(
        "--split",
        choices=("test", "validation", "dev"),
        default="test",
        help="split of the data directory that was predicted, with the --seed, --num_dev_tasks and "
        "--max_instances_… that it was drawn with (default: %(default)s)",
    )
    parser.add_argument(
        "--gpt2_bpe",
        metavar="DIR",
        help="directory of GPT-2's encoder.json and vocab.bpe, for ROUGE of the xlingual track",
    )
    parser.add_argument(
        "--cache_dir", metavar="DIR", help="where parsed task files are kept between runs"
    )


def main(args: argparse.Namespace) -> int:
    """Prints and writes the scores. Raises UserError for any problem with the inputs."""
    if not args.predictions:
        raise UserError("no predictions are given; give --predictions FILE, or another --suite")
    if len(args.predictions) > 1 and (args.json or args.instances):
        flag = "json" if args.json else "instances"
        raise UserError(
            f"--{flag}={getattr(args, flag)} is one file for {len(args.predictions)} systems; "
            "leave it out, or evaluate one at a time"
        )
    refuse_to_overwrite_inputs(args, predictions=args.predictions, references=[args.references])
    paths = ["/dev/stdin" if given == "-" else given for given in args.predictions]
    systems = named_apart(list(dict.fromkeys(paths)))
    for number, (name, path) in enumerate(systems.items()):
        if len(systems) > 1:
            print(f"\n\n{name}\n" if number else f"{name}\n")
        _evaluate(path, args)
    return 0


def _evaluate(path: Path, args: argparse.Namespace) -> None:
    """Prints, writes and keeps the scores of one system."""
    scored, notes = score_file(path, args)
    notes += keep_each(args, {path: scored})
    content: dict[str, Any] = {}
    tables = []
    for track, rows in scored.by("part").items():
        suffix = f"_{track}_track" if args.track == "both" else ""
        scores = scores_of(rows)
        content |= as_scores({f"{name}{suffix}": value for name, value in scores.items()})
        tables.append(table_of(rows, scores))
        if args.published:
            same, others = published_beside(rows, path)
            tables.append(comparison_text(same, others))
            content.setdefault("published", []).extend(as_rows(same, others))
    if args.json == "-":
        sys.stderr.writelines(f"{note}\n" for note in notes)
    text = "\n\n".join([*tables, "\n".join(notes)] if notes else tables)
    show_scores(args.json, as_text(content), text)


def score_file(path: Path, args: argparse.Namespace) -> tuple[ScoredInstances, list[str]]:
    """The scored instances of a file of predictions, and notes for the user.

    args are those of the verb. Raises UserError for any problem with the inputs.
    """
    if args.references and args.data_dir:
        raise UserError(
            f"--references={args.references} and --data_dir={args.data_dir} both say what is "
            "right; give one of the two"
        )
    tracks = TRACKS if args.track == "both" else (args.track,)
    predictions = read_predictions(path)
    load = _instances_of_file(args) if args.references else _instances_of_data_dir(args)
    found, absent = _load_tracks(load, tracks)
    if not found:
        raise next(iter(absent.values()))
    notes = [f"no scores of the {track} track: {reason}" for track, reason in absent.items()]
    notes += _passed_over(predictions, path, found, load, args)
    tokenizers = {track: metrics.tokenizer_of(track, args.gpt2_bpe) for track in found}
    tables = []
    for track, instances in found.items():
        tables.append(score_instances(track, predictions, instances, tokenizers[track]))
        notes += _missing(track, predictions, instances)
    return joined(tables), notes


def published_beside(
    scored: ScoredInstances, predictions: PathLike
) -> tuple[list[Compared], list[Compared]]:
    """The published scores beside those of a track, of the same setting and of others.

    predictions: the file, by whose name the encoding is known.
    """
    (track,) = scored.by("part")
    named = predicted_by_name(predictions)
    if named and named[1] != "test":  # of tasks that were trained on, nothing is published
        return [], []
    return published.compared(
        track,
        scored.labels["task"],
        list(scored.predictions).count(None),
        named[0] if named else None,
        {name: scored.estimate(name).value for name in METRICS if name in scored.values},
    )


def _passed_over(
    predictions: Mapping[str, Prediction],
    path: Path,
    scored: Mapping[str, Instances],
    load: LoadTrack,
    args: argparse.Namespace,
) -> list[str]:
    """A note on predictions for a track that is not scored, if there are any.

    Raises UserError if an id is in no track, or if no id is in a scored one.
    """
    unscored = [id_ for id_ in predictions if not any(id_ in ids for ids in scored.values())]
    if not unscored:
        return []
    others, absent = _load_tracks(load, [track for track in TRACKS if track not in scored])
    unknown = [id_ for id_ in unscored if not any(id_ in ids for ids in others.values())]
    if unknown:
        where = predictions[unknown[0]].where
        raise UserError(f"{where}: {_about_unknown_ids(unknown, absent, args)}")
    if len(unscored) == len(predictions):
        raise UserError(
            f"{path}: every id is of the {' '.join(others)} track and none of "
            f"--track={args.track}; pass --track={' '.join(others)}"
        )
    num_passed_over = _count(len(unscored), "prediction", "predictions")
    return [f"passed over: {num_passed_over} of the {' '.join(others)} track"]


def read_references(path: Path, track_if_missing: str) -> dict[str, dict[str, Instance]]:
    """Track → id → instance, from the leaderboard's reference file.

    Lines without a track count to track_if_missing. Raises UserError with file, line, field and
    rule.
    """
    tracks: dict[str, dict[str, Instance]] = {track: {} for track in TRACKS}
    for where, reference in schema.read_records(path, _Reference):
        track = reference.track or track_if_missing
        if track not in tracks:
            raise UserError(
                f"{where}: track {track!r} must be one of {', '.join(TRACKS)}; correct it"
            )
        if reference.id in tracks[track]:
            raise UserError(
                f"{where}: id {reference.id!r} stands before in the {track} track already; an id "
                "must be unique, remove one of the two"
            )
        tracks[track][reference.id] = Instance(
            tuple(reference.references), reference.task_id, reference.task_category
        )
    return tracks


def _instances_of_file(args: argparse.Namespace) -> LoadTrack:
    path = Path(args.references)
    tracks = read_references(path, "default" if args.track == "both" else args.track)

    def load(track: str) -> Instances:
        if not tracks[track]:
            raise UserError(f"{path} has no references of the {track} track; give those that do")
        return tracks[track]

    return load


def _data_of(args: argparse.Namespace) -> SuperNI:
    given = {field.name: getattr(args, field.name, None) for field in fields(SuperNI)}
    return SuperNI(**{name: value for name, value in given.items() if value is not None})


def _instances_of_data_dir(args: argparse.Namespace) -> LoadTrack:
    data = _data_of(args)

    def load(track: str) -> Instances:
        instances: dict[str, Instance] = {}
        for example in data.examples(track, args.split):
            if example.id in instances:
                raise UserError(
                    f"{data.root}: id {example.id!r} is an instance of "
                    f"{instances[example.id].task} and of {example.task.name}; ids must be unique, "
                    "restore the two files from their source"
                )
            instances[example.id] = Instance(
                example.references, example.task.name, example.task.category
            )
        return instances

    return load


def _load_tracks(
    load: LoadTrack, tracks: Sequence[str]
) -> tuple[dict[str, Instances], dict[str, UserError]]:
    """The instances of each track that has some, and the errors of the other tracks."""
    found: dict[str, Instances] = {}
    absent: dict[str, UserError] = {}
    for track in tracks:
        try:
            found[track] = load(track)
        except UserError as error:
            absent[track] = error
    return found, absent


def _about_unknown_ids(
    unknown: Sequence[str], absent: Mapping[str, UserError], args: argparse.Namespace
) -> str:
    more = f" (and {len(unknown) - 1:,} more)" if len(unknown) > 1 else ""
    if args.references:
        return (
            f"id {unknown[0]!r} is in neither track of {args.references}{more}; "
            "remove it, or give the references of what was predicted"
        )
    advice = "remove it, or give the --split and --seed that it was predicted with"
    if args.split != "validation":
        most = _data_of(args).max_instances_per_eval_task
        advice += (
            f"; if it lies beyond the first --max_instances_per_eval_task={most} instances of its "
            "task, raise that to the number that was predicted"
        )
    unread = "".join(f"; the {track} track was not read: {why}" for track, why in absent.items())
    return (
        f"id {unknown[0]!r} is in neither track of the {args.split} split{more}; {advice}{unread}"
    )


def score_instances(
    track: str,
    predictions: Mapping[str, Prediction],
    instances: Instances,
    tokenize: metrics.Tokenize,
) -> ScoredInstances:
    """The scored instances of a track, in per cent.

    An id without a prediction is scored with an empty prediction.
    """
    texts = [predictions[id_].text if id_ in predictions else None for id_ in instances]
    of = list(instances.values())
    scores = [
        metrics.instance_scores(text or "", instance.references, tokenize)
        for text, instance in zip(texts, of, strict=True)
    ]
    tasks, ids = [instance.task for instance in of], list(instances)
    return ScoredInstances(
        About("superni", main="rougeL", unit="task", percentages=METRICS),
        {
            "id": ids,
            "part": [track] * len(of),
            "task": tasks,
            "unit": tasks,
            "category": [instance.category for instance in of],
            "instance": ids,
        },
        [instance.references for instance in of],
        texts,
        {
            name: 100 * np.array(v)
            for name, v in zip(METRICS, zip(*scores, strict=True), strict=True)
        },
    )


def scores_of(rows: ScoredInstances) -> dict[str, Estimate]:
    """The scores of a track: METRIC, METRIC_for_TASK and METRIC_for_CATEGORY."""
    scores = rows.estimates()
    for task, of_task in rows.by("task").items():
        scores |= of_task.estimates(f"_for_{task}")
    for category, of_category in _by_category(rows).items():
        scores |= of_category.estimates(f"_for_{category}")
    return scores


def _by_category(rows: ScoredInstances) -> dict[str, ScoredInstances]:
    """Key of a category → its rows. Spellings with the same key are one category."""
    keys = np.array([metrics.category_key(category) for category in rows.labels["category"]])
    return {key: rows.chosen(keys == key) for key in dict.fromkeys(keys.tolist())}


def table_of(rows: ScoredInstances, scores: Mapping[str, Estimate]) -> str:
    """The tables of overall scores and of the paper's twelve categories, each with its metric."""
    tasks, (track,) = rows.by("task"), rows.by("part")
    lines = [
        f"{track} track: {_count(len(rows), 'instance', 'instances')} of "
        f"{_count(len(tasks), 'task', 'tasks')}, per cent",
        "",
        table(
            [
                ["metric", "score", INTERVAL],
                *([name, *score_cells(scores[name])] for name in METRICS),
            ]
        ),
    ]
    others = _by_category(rows)
    found, absent = {}, []
    for category, metric in EVALUATION_CATEGORIES.items():
        key = metrics.category_key(category)
        if key in others:
            found[category] = (metric, scores[f"{metric}_for_{key}"], others.pop(key))
        else:
            absent.append(category)
    if found:
        shown = [["category", "metric", "score", INTERVAL, "instances", "tasks"]]
        for category, (metric, score, of) in found.items():
            counts = [f"{len(of):,}", f"{len(of.by('task')):,}"]
            shown.append([category, metric, *score_cells(score), *counts])
        whole = combined([score for _, score, _ in found.values()]).within(0.0, 100.0)
        mean_of = f"mean of {_count(len(found), 'category', 'categories')}"
        shown.append([mean_of, "", *score_cells(whole), "", ""])
        lines += ["", table(shown)]
    lines += ["", about_intervals("task")]
    if found:
        lines.append("mean of categories: they are fixed, tasks are clustered within each")
    if absent:
        lines += ["", f"no instances: {', '.join(absent)}"]
    if others:
        rest = _count(sum(map(len, others.values())), "instance", "instances")
        lines += ["", f"in the overall scores only: {rest} of other categories"]
    return "\n".join(lines)


def _count(number: int, singular: str, plural: str) -> str:
    return f"{number:,} {singular if number == 1 else plural}"


def _missing(track: str, predictions: Mapping[str, Prediction], instances: Instances) -> list[str]:
    ids = [id_ for id_ in instances if id_ not in predictions]
    if not ids:
        return []
    named = ", ".join(map(repr, ids[:_NUM_NAMED])) + (", …" if len(ids) > _NUM_NAMED else "")
    return [
        f"{track} track: {len(ids):,} of {len(instances):,} ids have no prediction and count as "
        f"empty: {named}"
    ]
