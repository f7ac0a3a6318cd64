"""The predictions of systems with their inputs, for the viewer of a page."""

import argparse
import contextlib
import logging
import math
from collections.abc import Collection, Iterator, Mapping, Sequence

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
    inputs: dict[Key, dict[str, str]] = {}
    found = []
    for system in systems:
        for title, of in _evaluations(system).items():
            chosen = [(each, _drawn(each.instances, most, len(of))) for each in of]
            rows = [
                row
                for each, instances in chosen
                for row in _rows(instances, _inputs(system, each, instances, inputs, args))
            ]
            about = of[0].instances.about
            best = 100.0 if about.main in about.percentages else 1.0
            found.append(Predictions(title, title_of(about.main), rows, best))
    return found


def _evaluations(system: System) -> dict[str, list[Evaluation]]:
    """Title → the files of an evaluation: one, or those of all prompts."""
    found: dict[tuple[str, ...], list[Evaluation]] = {}
    for key, evaluation in system.evaluations.items():
        about = evaluation.instances.about
        found.setdefault((about.protocol,) if about.together else key, []).append(evaluation)
    if len(found) == 1:
        return dict.fromkeys([system.name], *found.values())
    return {f"{system.name}: {'/'.join(filter(None, key))}": of for key, of in found.items()}


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


def _inputs(
    system: System,
    evaluation: Evaluation,
    instances: ScoredInstances,
    known: dict[Key, dict[str, str]],
    args: argparse.Namespace,
) -> Mapping[str, str]:
    """Id → input, as far as the predicted task is known and its data is there."""
    named = predicted_by_name(evaluation.predictions)
    if named is None:
        return {}
    ids = set(instances.labels["id"])
    if not ids <= known.get(named, {}).keys():
        found = _read_inputs(system.path, named, ids, args)
        if not found and named not in known:
            log.warning(
                "%s: inputs of %s are not shown: its data is not there", system.name, named[0]
            )
        known[named] = known.get(named, {}) | found
    return known[named]


def _read_inputs(
    run: Path, predicted: Key, ids: Collection[str], args: argparse.Namespace
) -> dict[str, str]:
    gin.clear_config()
    with contextlib.suppress(UserError):
        configuration.import_declarations(args.modules)
        if (run / "config.gin").exists():
            text = read_bytes(run / "config.gin").decode("utf-8", "replace")
            configuration.load_data_of(text, str(run / "config.gin"))
            if (run / "sentencepiece.model").exists():
                gin.bind_parameter("vocabulary.name", str(run / "sentencepiece.model"))
        configuration.bind_data_arguments(args)
        return registry.inputs_of(*predicted, ids)
    return {}
