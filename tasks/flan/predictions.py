"""FLAN: scores predictions of any system, by the metrics of each dataset and split.

An id is DATASET-SPLIT-NUMBER, as in our predictions. Its prediction is compared with the dataset's
usual target (for a translation, the text in the second language). An id with a template in front,
flan_DATASET.tN/DATASET-SPLIT-NUMBER, is compared with the target of that template.
"""

import argparse
import itertools
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from tk_instruct import configuration
from tk_instruct.data.task import RawExample
from tk_instruct.errors import UserError
from tk_instruct.evaluate.output import (
    as_text,
    keep_each,
    refuse_to_overwrite_inputs,
    show_scores,
)
from tk_instruct.files import Path
from tk_instruct.metrics.target import Target
from tk_instruct.predictions import Prediction, read_predictions
from tk_instruct.published import as_text as comparison_text
from tk_instruct.scored_instances import Scored, ScoredInstances, as_scores, joined
from tk_instruct.scores import Key, as_table, named_apart

from .datasets import BY_NAME, Dataset
from .examples import load
from .prompts import numbered, rendered
from .scoring import scored
from .templates import templates_of

_ID = re.compile(
    r"(flan_(?P<task>.+)\.t(?P<template>[0-9]+)/)?"
    r"(?P<id>(?P<dataset>.+)-(?P<split>[a-z]+)-[0-9]+)"
)


def main(args: argparse.Namespace) -> int:
    """Prints and writes the scores of each file. Raises UserError for a problem with a file."""
    if args.model_dir:
        raise UserError("--model_dir and --predictions both say what is scored; give one of them")
    refuse_to_overwrite_inputs(args, predictions=args.predictions)
    configuration.import_declarations(args.modules)
    configuration.bind_data_arguments(args)
    paths = {"/dev/stdin" if given == "-" else given: None for given in args.predictions}
    systems, notes, tables = {}, [], {}
    for name, path in named_apart(list(paths)).items():
        found, missing = scores_of(read_predictions(path), args.limit)
        notes += [f"{name}: {note}" for note in missing]
        systems[name] = {
            key: as_scores(of.estimates()) | {"num_examples": len(of.instances)}
            for key, of in found.items()
        }
        tables[path] = joined([of.instances for of in found.values()])
    notes += keep_each(args, tables)
    content: dict[str, Any] = {
        "suite": "flan",
        "systems": {
            name: {"/".join(key): values for key, values in scores.items()}
            for name, scores in systems.items()
        },
    }
    texts = [as_table(systems)]
    if args.published:  # averages over clusters, which predictions of data sets do not have
        content["published"] = []
        texts.append(comparison_text([], []))
    show_scores(args.json, as_text(content), "\n\n".join([*texts, *notes]))
    return 0


def score_file(path: Path, args: argparse.Namespace) -> tuple[ScoredInstances, list[str]]:
    """The scored instances of a file of predictions, and notes for the user.

    Raises UserError for any problem with the file.
    """
    configuration.import_declarations(args.modules)
    configuration.bind_data_arguments(args)
    found, notes = scores_of(read_predictions(path), args.limit)
    return joined([of.instances for of in found.values()]), notes


class Part(NamedTuple):
    """The examples that predictions belong to: a split, and the template if the ids have one."""

    dataset: Dataset
    split: str
    template: int | None

    @property
    def task(self) -> str:
        number = "" if self.template is None else f".t{self.template}"
        return f"flan_{self.dataset.name}{number}"

    def target(self, record: RawExample) -> Target:
        """The dataset's usual target, or the template's if it asks for another field."""
        dataset, id_ = self.dataset, str(record["id"])
        references = tuple(record["references"])
        if self.template is not None:
            template = numbered(templates_of(dataset), self.template, dataset)
            values = [str(record[field]) for field in dataset.fields]
            _, asked = rendered(template, dataset, id_, record["options"], values)
            if asked != record[dataset.target]:
                references = (asked,)
        return Target(references, tuple(record["options"]), str(record["group"]))


def _part_of(id_: str, where: str) -> tuple[Part, str]:
    """The part that an id belongs to, and the example's own id. Raises UserError for other ids."""
    match = _ID.fullmatch(id_)
    dataset = BY_NAME.get(match["dataset"]) if match else None
    if match is None or dataset is None or match["split"] not in dataset.splits:
        raise UserError(
            f"{where}: id {id_!r} is none of FLAN's; ids are DATASET-SPLIT-NUMBER, as rte-test-0 "
            "(`tk-instruct tasks show flan_rte --split test` shows them), and where a template was "
            "asked flan_DATASET.tN/DATASET-SPLIT-NUMBER"
        )
    if match["task"] not in (None, dataset.name):
        raise UserError(
            f"{where}: id {id_!r} says the task {match['task']} and an example of {dataset.name}; "
            "correct one of the two"
        )
    number = None if match["template"] is None else int(match["template"])
    return Part(dataset, match["split"], number), match["id"]


def scores_of(
    predictions: Mapping[str, Prediction], limit: int | None
) -> tuple[dict[Key, Scored], list[str]]:
    """(task, split) → scores, and notes on examples without a prediction, which count as empty.

    limit is the number of examples of each split that are scored, by default all. Raises UserError
    for an id that no example has.
    """
    parts: dict[Part, dict[str, Prediction]] = {}
    for given, prediction in predictions.items():
        part, id_ = _part_of(given, prediction.where)
        parts.setdefault(part, {})[id_] = prediction
    found = {}
    notes = []
    for part, answers in parts.items():
        dataset, split = part.dataset, part.split
        examples = {str(example["id"]): example for example in load(dataset, split)}
        for id_, prediction in answers.items():
            if id_ not in examples:
                raise UserError(
                    f"{prediction.where}: id {id_!r} is no example of {dataset.name}, which has "
                    f"{len(examples):,} in {split}; remove it, or give the data that was predicted"
                )
        chosen = dict(itertools.islice(examples.items(), limit))
        texts = [answers[id_].text if id_ in answers else None for id_ in chosen]
        targets = {id_: part.target(example) for id_, example in chosen.items()}
        found[part.task, split] = scored(part.task, dataset, split, targets, texts, part.template)
        if missing := texts.count(None):
            notes.append(
                f"{missing:,} of {len(chosen):,} ids of {dataset.name}-{split} have no prediction "
                "and count as empty; --limit N scores the first N alone"
            )
    return found, notes
