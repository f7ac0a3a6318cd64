"""FLAN: predictions of any system → scores of each dataset and split, by its own metrics.

Ids say what was predicted: DATASET-SPLIT-NUMBER, as our predictions have them. A prediction is
compared with the dataset's usual target, of translations the one into the second language.
"""

import argparse
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from tk_instruct import configuration
from tk_instruct.errors import UserError
from tk_instruct.evaluate.predictions import (
    Prediction,
    read_predictions,
    refuse_to_overwrite_inputs,
)
from tk_instruct.files import Path, write_atomically
from tk_instruct.metrics import METRICS
from tk_instruct.metrics.target import Target
from tk_instruct.scores import Scores, as_table, named_apart

from .datasets import BY_NAME, Dataset
from .examples import load

_ID = re.compile(r"(?P<dataset>.+)-(?P<split>[a-z]+)-[0-9]+")


def main(args: argparse.Namespace) -> int:
    """Prints and writes the scores of each file."""
    if args.model_dir:
        raise UserError("--model_dir and --predictions both say what is scored; give one of them")
    refuse_to_overwrite_inputs(args.json, predictions=args.predictions)
    configuration.import_declarations(args.modules)
    configuration.bind_data_arguments(args)
    paths = {"/dev/stdin" if given == "-" else given: None for given in args.predictions}
    systems, notes = {}, []
    for name, path in named_apart(list(paths)).items():
        systems[name], missing = scores_of(read_predictions(path), args.limit)
        notes += [f"{name}: {note}" for note in missing]
    found = {
        "suite": "flan",
        "systems": {
            name: {"/".join(key): values for key, values in scores.items()}
            for name, scores in systems.items()
        },
    }
    text = json.dumps(found, indent=2, ensure_ascii=False) + "\n"
    if args.json == "-":
        print(text, end="")
        return 0
    if args.json:
        write_atomically(Path(args.json), [text])
    print("\n\n".join([as_table(systems), *notes]))
    return 0


def scores_of(predictions: Mapping[str, Prediction], limit: int | None) -> tuple[Scores, list[str]]:
    """Scores by (task, split), and how many examples have no prediction: these count as empty.

    Of the first examples alone where there is a limit. Raises UserError for ids of no example.
    """
    parts: dict[tuple[str, str], dict[str, Prediction]] = {}
    for id_, prediction in predictions.items():
        match = _ID.fullmatch(id_)
        dataset = BY_NAME.get(match["dataset"]) if match else None
        if match is None or dataset is None or match["split"] not in dataset.splits:
            raise UserError(
                f"{prediction.where}: id {id_!r} is none of FLAN's; ids are DATASET-SPLIT-NUMBER, "
                "as rte-test-0, and `tk-instruct tasks show flan_rte --split test` shows them"
            )
        parts.setdefault((dataset.name, match["split"]), {})[id_] = prediction
    found: Scores = {}
    notes = []
    for (name, split), answers in parts.items():
        examples = {str(example["id"]): example for example in load(BY_NAME[name], split)}
        for id_, prediction in answers.items():
            if id_ not in examples:
                raise UserError(
                    f"{prediction.where}: id {id_!r} is no example of {name}, which has "
                    f"{len(examples):,} in {split}; remove it, or give the data that was predicted"
                )
        scored = dict(itertools.islice(examples.items(), limit))
        targets = [
            Target(tuple(e["references"]), tuple(e["options"]), str(e["group"]))
            for e in scored.values()
        ]
        texts = [answers[id_].text if id_ in answers else "" for id_ in scored]
        counted = {"num_examples": len(scored)}
        found[f"flan_{name}", split] = score(BY_NAME[name], targets, texts) | counted
        if missing := len(scored.keys() - answers.keys()):
            notes.append(
                f"{missing:,} of {len(scored):,} ids of {name}-{split} have no prediction and "
                "count as empty; --limit N scores the first N alone"
            )
    return found, notes


def score(dataset: Dataset, targets: Sequence[Target], texts: Sequence[str]) -> dict[str, Any]:
    """All of a dataset's metrics, its main one first."""
    scores: dict[str, Any] = {}
    for metric in dataset.metrics:
        try:
            scores |= METRICS[metric](targets, texts)
        except ValueError as error:
            raise UserError(
                f"{dataset.name} cannot be scored by {metric} ({error}); is its data whole? "
                "`tk-instruct tasks doctor flan` looks"
            ) from error
    return scores
