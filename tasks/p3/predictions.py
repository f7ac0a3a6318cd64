"""T0: scores predictions of any system as those of a run. An id is TASK-SPLIT-ROW, as in ours."""

import argparse
import itertools
import re
from collections.abc import Mapping

from tk_instruct import configuration
from tk_instruct.errors import UserError
from tk_instruct.evaluate.output import keep_each, refuse_to_overwrite_inputs
from tk_instruct.files import Path
from tk_instruct.predictions import Prediction, read_predictions
from tk_instruct.scored_instances import Scored, ScoredInstances, joined
from tk_instruct.scores import named_apart

from . import examples, protocol, templates
from .protocol import SPLITS, Prompt
from .summary import Report

_ID = re.compile(rf"(?P<task>p3_.+)-(?P<split>{'|'.join(SPLITS)})-[0-9]+")


def reports_of(args: argparse.Namespace) -> tuple[list[Report], list[str]]:
    """The report of each file, and notes on examples without a prediction, which count as empty.

    Raises UserError for a problem with a file.
    """
    for flag in ("model_dir", "dataset", "bias_fairness"):
        if getattr(args, flag):
            raise UserError(f"--{flag} and --predictions both say what is scored; give one of them")
    refuse_to_overwrite_inputs(args, predictions=args.predictions)
    configuration.import_declarations(args.modules)
    configuration.bind_data_arguments(args)
    paths = {"/dev/stdin" if given == "-" else given: None for given in args.predictions}
    reports, notes, tables = [], [], {}
    for name, path in named_apart(list(paths)).items():
        scores, missing = scores_of(read_predictions(path), args.split, args.limit)
        tables[path] = joined([of.instances for of in scores.values()])
        notes += [f"{name}: {note}" for note in missing]
        reports.append(
            protocol.report_of(
                scores,
                system=name,
                step=None,
                trained_on=None,
                split=args.split or "validation",
                limit=args.limit,
                missing=[],
                without_templates=[],
            )
        )
    return reports, [*notes, *keep_each(args, tables)]


def score_file(path: Path, args: argparse.Namespace) -> tuple[ScoredInstances, list[str]]:
    """The scored instances of a file of predictions, and notes for the user.

    Raises UserError for any problem with the file.
    """
    configuration.import_declarations(args.modules)
    configuration.bind_data_arguments(args)
    scores, notes = scores_of(read_predictions(path), args.split, args.limit)
    return joined([of.instances for of in scores.values()]), notes


def scores_of(
    predictions: Mapping[str, Prediction], split: str | None, limit: int | None
) -> tuple[dict[Prompt, Scored], list[str]]:
    """The scores of each prompt that ids name, and notes on examples without a prediction.

    limit is the number of examples of each prompt that are scored, by default all. Raises UserError
    for an id that no example has.
    """
    prompts = _prompts(split)
    answers: dict[Prompt, dict[str, Prediction]] = {}
    for id_, prediction in predictions.items():
        match = _ID.fullmatch(id_)
        prompt = prompts.get((match["task"], match["split"])) if match else None
        if prompt is None:
            raise UserError(
                f"{prediction.where}: id {id_!r} is of no prompt that is scored on "
                f"{split or 'the validation split'}; ids are TASK-SPLIT-ROW, such as "
                f"{'-'.join(next(iter(prompts)))}-0; remove it, or give the --p3_templates and the "
                "--split that were predicted"
            )
        answers.setdefault(prompt, {})[id_] = prediction
    found, notes = {}, []
    for prompt, of in answers.items():
        there = {str(e["id"]): e for e in examples.load(prompt.of, prompt.split)}
        for id_, prediction in of.items():
            if id_ not in there:
                raise UserError(
                    f"{prediction.where}: id {id_!r} is no example of {prompt.of.task}, which has "
                    f"{len(there):,} in {prompt.split}; remove it, or give the data that was "
                    "predicted"
                )
        chosen = dict(itertools.islice(there.items(), limit))
        texts = [of[id_].text if id_ in of else None for id_ in chosen]
        found[prompt] = protocol.scored(prompt, list(chosen.values()), texts)
        if missing := texts.count(None):
            notes.append(
                f"{missing:,} of {len(chosen):,} ids of {prompt.of.task}-{prompt.split} have no "
                "prediction and count as empty; --limit N scores the first N alone"
            )
    return found, notes


def _prompts(split: str | None) -> dict[tuple[str, str], Prompt]:
    """Task and split → prompt, for all data sets of the tree in use."""
    of_all = (protocol.prompts_of(dataset, split) for dataset in templates.tree().datasets())
    return {(p.of.task, p.split): p for p in itertools.chain.from_iterable(of_all)}
