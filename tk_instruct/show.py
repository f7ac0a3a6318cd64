"""Read what a system predicted: inputs, references, predictions and scores.

  tk-instruct show predictions RUN/predictions/TASK-test-STEP.jsonl --wrong -n 3
  tk-instruct show predictions FILE.jsonl --category "Textual Entailment" --of TASK --data_dir DATA

The predictions must have been evaluated: `tk-instruct evaluate` keeps what each instance scored, as
NAME.scores.parquet beside NAME.jsonl. Inputs are shown if the data of the predicted task is there.
"""

import argparse
import difflib
import itertools
import json
import shutil
import sys
import textwrap
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from tk_instruct import configuration, scored_instances
from tk_instruct.errors import UserError
from tk_instruct.files import Path
from tk_instruct.ranges import whole_number
from tk_instruct.scored_instances import SUFFIX, Label, ScoredInstances
from tk_instruct.scores import files_of_predictions, predicted_by_name

_NOT_SHOWN = "inputs are not shown"
_INDENT = " " * 12


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    predictions = actions.add_parser(
        "predictions",
        help="instances one below the other, with what they scored",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    predictions.add_argument(
        "file", metavar="FILE", help="a file of predictions or its folder, or NAME.scores.parquet"
    )
    predictions.add_argument(
        "--wrong", action="store_true", help="only those without the full score"
    )
    predictions.add_argument("--id", metavar="ID", help="only the instance with this id")
    predictions.add_argument("--task", metavar="T", help="only this task")
    predictions.add_argument("--category", metavar="C", help="only this category")
    predictions.add_argument(
        "--metric",
        metavar="NAME",
        help="the score that --wrong is about (default: the evaluation's main one)",
    )
    predictions.add_argument(
        "-n", type=whole_number, default=10, metavar="N", help="how many instances (default: 10)"
    )
    predictions.add_argument("--json", action="store_true", help="one JSON object a line")
    predictions.add_argument(
        "--of",
        metavar="NAME",
        help="the task or mixture that was predicted, whose inputs are shown (default: as the "
        "file's name TASK-SPLIT-STEP says)",
    )
    predictions.add_argument(
        "--split", help="the split that was predicted (default: as the name says, or test)"
    )
    configuration.add_data_arguments(predictions)


def main(args: argparse.Namespace) -> int:
    if args.n < 1:
        raise UserError(f"-n {args.n} must be at least 1")
    path = _file(Path(args.file).expanduser())
    table = _read(path)
    chosen = table.taken(_chosen(table, args))
    inputs = _inputs_of(set(chosen.labels["id"]), path, args)
    for row in range(len(chosen)):
        instance = _instance(chosen, row, inputs)
        print(
            json.dumps(instance, ensure_ascii=False) if args.json else _text(instance), flush=True
        )
    return 0


def _file(path: Path) -> Path:
    """The file, or the one that a folder holds. Raises UserError if it holds several."""
    first, *others = files_of_predictions(path)
    if others:
        raise UserError(
            f"{path} holds {1 + len(others)} files of predictions; give one, such as {first}"
        )
    return first


def _read(path: Path) -> ScoredInstances:
    """The scored instances of a file. Raises UserError if it was not evaluated."""
    if path.name.endswith(SUFFIX):
        return scored_instances.read(path)
    kept = scored_instances.kept_of(path)
    if kept is None:
        raise UserError(
            f"{path} has no scores of its instances beside it, or has changed since they were "
            f"made; make them with `tk-instruct evaluate --predictions {path}` and the data that "
            "it needs"
        )
    return kept


def _chosen(table: ScoredInstances, args: argparse.Namespace) -> list[int]:
    """The rows to show. Raises UserError if there are none."""
    is_chosen = np.ones(len(table), bool)
    if args.id is not None:
        is_chosen &= _is_labelled(table, "id", args.id)
    if args.task is not None:
        is_chosen &= _is_labelled(table, "task", args.task)
    if args.category is not None:
        is_chosen &= _is_labelled(table, "category", args.category)
    if args.wrong or args.metric:
        metric = args.metric or table.about.main
        if metric not in table.values:
            raise UserError(f"--metric={metric} must be one of {', '.join(table.values)}")
        values = table.values[metric]
        lower = metric in table.about.lower_is_better
        if args.wrong and not table.are_scores(metric)[is_chosen].all():
            raise UserError(
                f"{metric} of some tasks is no mean of instances, of which none is right or wrong "
                "by it; give another --metric or --task, or leave --wrong out"
            )
        most = 100 if np.nanmax(values, initial=0) > 1 else 1  # some metrics are fractions
        is_wrong = values > 0 if lower else values < most
        is_chosen &= is_wrong if args.wrong else ~np.isnan(values)
    rows = np.flatnonzero(is_chosen)
    if not len(rows):
        raise UserError(f"no instance of {args.file} is chosen by these flags; leave one out")
    return rows[: args.n].tolist()


def _is_labelled(table: ScoredInstances, label: Label, wanted: str) -> np.ndarray:
    """Whether each row has a label, in any case and with _ for spaces."""
    names = {_plain(name): name for name in dict.fromkeys(table.labels[label])}
    if _plain(wanted) not in names:
        near = [name for name in names if _plain(wanted) in name]
        near = near or difflib.get_close_matches(_plain(wanted), names) or list(names)
        raise UserError(
            f"--{label}={wanted} must be a {label} of these predictions; give one of the "
            f"{len(names)}, such as {', '.join(names[name] for name in near[:3])}"
        )
    return np.array([_plain(name) == _plain(wanted) for name in table.labels[label]])


def _plain(name: str) -> str:
    return "_".join(name.lower().split())


def _inputs_of(ids: Collection[str], path: Path, args: argparse.Namespace) -> dict[str, str]:
    """Id → input as people read it, as far as the predicted task is known and its data is there."""
    named = predicted_by_name(path.name.removesuffix(SUFFIX))
    task = args.of or (named and named[0])
    if task is None:
        print(
            f"{_NOT_SHOWN}: which task was predicted is not known; give --of NAME", file=sys.stderr
        )
        return {}
    from tk_instruct.data import registry

    configuration.import_declarations(args.modules)
    configuration.bind_data_arguments(args)
    split = args.split or (named[1] if named else "test")
    try:
        found = registry.examples_of(task, split, ids)
        return {id_: of.get("input", of["inputs_pretokenized"]) for id_, of in found.items()}
    except UserError as error:
        if args.of:
            raise
        print(f"{_NOT_SHOWN}: {error}", file=sys.stderr)
        return {}


def _instance(table: ScoredInstances, row: int, inputs: Mapping[str, str]) -> dict[str, Any]:
    labels = {label: table.labels[label][row] for label in ("id", "task", "category")}
    return {
        **labels,
        "input": inputs.get(labels["id"]),
        "references": table.references[row],
        "prediction": table.predictions[row],
        "scores": {
            name: round(float(values[row]), 4)
            for name, values in table.values.items()
            if not np.isnan(values[row])
        },
    }


def _text(instance: Mapping[str, Any]) -> str:
    about = dict.fromkeys(filter(None, (instance["category"], instance["task"], instance["id"])))
    scores = "  ".join(f"{name} {value:.2f}" for name, value in instance["scores"].items())
    lines = [f"── {' ── '.join(' '.join(each.split()) for each in about)}"]
    if instance["input"] is not None:
        lines += _wrapped("input", instance["input"])
    for number, reference in enumerate(instance["references"]):
        lines += _wrapped("reference" if number == 0 else "or", reference)
    lines += _wrapped("prediction", _shown(instance["prediction"]))
    return "\n".join([*lines, *_wrapped("scores", scores), ""])


def _shown(prediction: str | None) -> str:
    return "(no prediction)" if prediction is None else prediction or "(empty)"


def _wrapped(name: str, text: str) -> list[str]:
    """A named text in the width of the terminal."""
    width = max(40, shutil.get_terminal_size().columns)
    lines = itertools.chain.from_iterable(
        textwrap.wrap(line, width - len(_INDENT)) or [""] for line in text.splitlines() or [""]
    )
    return [f"{name if k == 0 else '':{len(_INDENT)}}{line}" for k, line in enumerate(lines)]
