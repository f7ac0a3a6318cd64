"""The predictions of systems with their inputs, for the viewer of a page."""

import argparse
import logging
import math
from collections.abc import Iterator, Mapping, Sequence

import gin
import numpy as np

from tk_instruct import configuration
from tk_instruct.data import registry
from tk_instruct.errors import UserError
from tk_instruct.files import Path, read_bytes
from tk_instruct.randomness import draw
from tk_instruct.report.systems import Evaluation, System
from tk_instruct.report.viewer import Answer, Predictions
from tk_instruct.scored_instances import ScoredInstances
from tk_instruct.scores import Key, predicted_by_name, title_of

log = logging.getLogger("tk_instruct")


def answers(systems: Sequence[System], most: int, args: argparse.Namespace) -> list[Predictions]:
    """What each system answered in each evaluation.

    Args:
        most: of more instances in an evaluation, this many are drawn, the same for all systems.
        args: the flags of data, which inputs are made of.
    """
    known: dict[Key, dict[str, str]] = {}
    missing: dict[str, list[str]] = {}
    found = []
    for system in systems:
        inputs = _Inputs(system, known, missing, args)
        num_together = len(system.evaluations) - len(system.alone)
        for title, of in _evaluations(system).items():
            num_files = num_together if of[0].instances.about.together else 1
            chosen = [(each, _drawn(each.instances, most, num_files)) for each in of]
            rows = [
                row
                for each, instances in chosen
                for row in _rows(instances, inputs.of(each, instances))
            ]
            found.append(Predictions(title, title_of(of[0].instances.about.main), rows, _best(of)))
    for why, names in missing.items():
        more = f" and {len(names) - 1:,} more" if len(names) > 1 else ""
        log.warning("%s%s: inputs are not shown: %s", names[0], more, why)
    return found


def _evaluations(system: System) -> dict[str, list[Evaluation]]:
    """Title → the files of an evaluation: one, or those of all prompts in a way of answering."""
    found: dict[tuple[str, ...], list[Evaluation]] = {}
    for key, evaluation in system.evaluations.items():
        about = evaluation.instances.about
        named: tuple[str, ...] = key
        if about.together:
            task, split = key
            way = task.removeprefix(evaluation.instances.labels["task"][0])
            named = (about.protocol, split, *way.split("."))
        found.setdefault(tuple(filter(None, named)), []).append(evaluation)
    if len(found) == 1:
        return dict.fromkeys([system.name], *found.values())
    return {f"{system.name}: {'/'.join(key)}": of for key, of in found.items()}


def _best(of: Sequence[Evaluation]) -> float:
    """The highest score that there is: of metrics that are no percentages, most are fractions."""
    abouts = [each.instances.about for each in of]
    if all(about.main in about.percentages for about in abouts):
        return 100.0
    largest = max(
        np.nanmax(each.instances.values[each.instances.about.main], initial=0) for each in of
    )
    return 100.0 if largest > 1 else 1.0


def _drawn(instances: ScoredInstances, most: int, num_files: int) -> ScoredInstances:
    """At most so many instances, the share of one of several files."""
    most = max(1, most // num_files)
    if len(instances) <= most:
        return instances
    ids = instances.labels["id"]
    order = sorted(range(len(ids)), key=lambda row: draw(0, "viewer", ids[row]))
    return instances.taken(sorted(order[:most]))


def _rows(instances: ScoredInstances, inputs: Mapping[str, str]) -> Iterator[Answer]:
    about, labels = instances.about, instances.labels
    values = instances.values[about.main]
    has_scores = instances.are_scores(about.main) & ~np.isnan(values)
    if about.main in about.lower_is_better:
        has_scores[:] = False
    for row, id_ in enumerate(labels["id"]):
        yield Answer(
            id_,
            labels["task"][row],
            labels["category"][row],
            inputs.get(id_),
            instances.references[row],
            instances.predictions[row],
            float(values[row]) if has_scores[row] else math.nan,
        )


class _Inputs:
    """The inputs of what a system answered, as the model saw them.

    Attributes:
        known: task and split → id → input, as far as they have been read.
        missing: why inputs cannot be read → of which system's tasks.
    """

    def __init__(
        self,
        system: System,
        known: dict[Key, dict[str, str]],
        missing: dict[str, list[str]],
        args: argparse.Namespace,
    ) -> None:
        self.system, self.known, self.missing = system, known, missing
        self.unreadable: UserError | None = None
        try:
            _bind_data(system.path, args)
        except UserError as error:
            self.unreadable = error

    def of(self, evaluation: Evaluation, instances: ScoredInstances) -> Mapping[str, str]:
        """Id → input, as far as the predicted task is known and its data is there."""
        named = predicted_by_name(evaluation.predictions)
        if named is None:
            return {}
        known = self.known.setdefault(named, {})
        ids = set(instances.labels["id"])
        if not ids <= known.keys():
            try:
                if self.unreadable:
                    raise self.unreadable
                for id_, example in registry.examples_of(*named, ids).items():
                    known[id_] = example["inputs_pretokenized"]
            except UserError as error:
                self.missing.setdefault(str(error), []).append(f"{self.system.name}, {named[0]}")
        return known


def _bind_data(run: Path, args: argparse.Namespace) -> None:
    """Binds the settings of data that a run was trained with, and those of flags."""
    gin.clear_config()
    configuration.import_declarations(args.modules)
    if (run / "config.gin").exists():
        text = read_bytes(run / "config.gin").decode("utf-8", "replace")
        configuration.load_data_of(text, str(run / "config.gin"))
        if (run / "sentencepiece.model").exists():
            gin.bind_parameter("vocabulary.name", str(run / "sentencepiece.model"))
    configuration.bind_data_arguments(args)
