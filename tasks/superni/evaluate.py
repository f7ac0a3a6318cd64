"""Super-NaturalInstructions: scores predictions as the leaderboard does.

  tk-instruct evaluate --predictions RUN/predictions/TASK-test-STEP.jsonl --data_dir DATA

The metrics are exact match, ROUGE-1 and ROUGE-L. An instance without a prediction is scored with an
empty prediction. A prediction for an unknown instance is an error.
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Annotated

import msgspec

from tk_instruct import schema
from tk_instruct.errors import UserError
from tk_instruct.evaluate.output import refuse_to_overwrite_inputs, show_scores
from tk_instruct.evaluate.predictions import Prediction, read_predictions
from tk_instruct.files import Path

from . import metrics
from .metrics import Instance
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
    if len(args.predictions) > 1:
        raise UserError(
            f"--predictions={' '.join(args.predictions)}: one file is scored at a time; give one"
        )
    if args.references and args.data_dir:
        raise UserError(
            f"--references={args.references} and --data_dir={args.data_dir} both say what is "
            "right; give one of the two"
        )
    tracks = TRACKS if args.track == "both" else (args.track,)
    refuse_to_overwrite_inputs(
        args.json, predictions=args.predictions, references=[args.references]
    )
    (given,) = args.predictions
    predictions_path = Path("/dev/stdin" if given == "-" else given)
    predictions = read_predictions(predictions_path)
    load = _instances_of_file(args) if args.references else _instances_of_data_dir(args)

    scored, absent = _load_tracks(load, tracks)
    if not scored:
        raise next(iter(absent.values()))
    notes = [f"no scores of the {track} track: {reason}" for track, reason in absent.items()]
    notes += _passed_over(predictions, predictions_path, scored, load, args)

    tokenizers = {track: metrics.tokenizer_of(track, args.gpt2_bpe) for track in scored}
    all_scores: dict[str, float] = {}
    tables = []
    for track, instances in scored.items():
        scores = score_instances(predictions, instances, tokenizers[track])
        suffix = f"_{track}_track" if args.track == "both" else ""
        all_scores |= {key + suffix: value for key, value in scores.items()}
        tables.append(table(track, instances, scores))
        notes += _missing(track, predictions, instances)

    if args.json == "-":
        sys.stderr.writelines(f"{note}\n" for note in notes)
    text = "\n\n".join([*tables, "\n".join(notes)] if notes else tables)
    show_scores(args.json, metrics.rounded_json(all_scores), text)
    return 0


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
    predictions: Mapping[str, Prediction], instances: Instances, tokenize: metrics.Tokenize
) -> dict[str, float]:
    """The scores of `metrics.score`, grouped by task and by category, in per cent.

    An id without a prediction is scored with an empty prediction.
    """
    nothing = Prediction("", "")
    return metrics.score(
        [predictions.get(id_, nothing).text for id_ in instances],
        [instance.references for instance in instances.values()],
        groups=(
            [instance.task for instance in instances.values()],
            [metrics.category_key(instance.category) for instance in instances.values()],
        ),
        tokenize=tokenize,
    )


def table(track: str, instances: Instances, scores: Mapping[str, float]) -> str:
    """The table of overall scores and of the paper's twelve categories, each with its metric."""
    tasks_of: dict[str, list[str]] = {}
    for instance in instances.values():
        tasks_of.setdefault(metrics.category_key(instance.category), []).append(instance.task)
    num_tasks = len({instance.task for instance in instances.values()})
    num_instances = _count(len(instances), "instance", "instances")
    lines = [f"{track} track: {num_instances} of {_count(num_tasks, 'task', 'tasks')}"]
    lines += [""] + [f"{metric:<12}{scores[metric]:>7.2f}" for metric in metrics.METRICS]

    rows, values, absent = [], [], []
    for category, metric in EVALUATION_CATEGORIES.items():
        tasks = tasks_of.pop(metrics.category_key(category), None)
        if tasks is None:
            absent.append(category)
            continue
        values.append(scores[f"{metric}_for_{metrics.category_key(category)}"])
        rows.append(_row(category, metric, f"{values[-1]:.2f}", len(tasks), len(set(tasks))))
    if rows:
        title = f"{'category':<30}{'metric':<12}{'score':>7}{'instances':>11}{'tasks':>7}"
        mean_of = f"mean of {_count(len(rows), 'category', 'categories')}"
        lines += ["", title, *rows, f"{mean_of:<42}{sum(values) / len(rows):>7.2f}"]
    if absent:
        lines += ["", f"no instances: {', '.join(absent)}"]
    if tasks_of:
        rest = _count(sum(map(len, tasks_of.values())), "instance", "instances")
        lines += ["", f"in the overall scores only: {rest} of other categories"]
    return "\n".join(lines)


def _row(category: str, metric: str, value: str, num_instances: int, num_tasks: int) -> str:
    return f"{category:<30}{metric:<12}{value:>7}{num_instances:>11,}{num_tasks:>7,}"


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
