"""Run the experiments of a study: a small file with a base recipe, axes and evaluations.

  tk-instruct study plan FILE      lists its runs, with --topology their hours on a TPU slice
  tk-instruct study run FILE       trains, predicts and scores what is missing, one after the other
  tk-instruct study status FILE    says how far the runs are
  tk-instruct study collect FILE   puts scores side by side, with intervals over seeds

The runs lie in --runs DIR, each in a folder whose name has a digest of the settings that it was
trained with. So what is there is never trained again, and studies share it. A command that is
interrupted or fails is run again by the same `study run`; the others go on.

  tk-instruct mini DATA
  tk-instruct study run studies/smoke_encodings.toml --data_dir DATA
  tk-instruct study plan FILE --runs gs://B/runs --print pod | bash
  tk-instruct study plan FILE --print slurm | sbatch --partition=P --time=12:00:00
"""

import argparse
import json
import logging
import math
import os
import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tk_instruct import configuration
from tk_instruct.errors import UserError
from tk_instruct.files import Path, check_target, write_lines
from tk_instruct.ranges import number, whole_number
from tk_instruct.study.collected import Cell, Collected, Fitted, Mean, PublishedPoint, collected
from tk_instruct.study.file import Axis, Point, Study, find, read, study_of

if TYPE_CHECKING:
    from tk_instruct.study.done import State
    from tk_instruct.study.runs import Run

__all__ = [
    "Axis",
    "Cell",
    "Collected",
    "Fitted",
    "Mean",
    "Point",
    "PublishedPoint",
    "Study",
    "collected",
    "study_of",
]

log = logging.getLogger("tk_instruct")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    plan = actions.add_parser("plan", help="list the runs and what is left to be done")
    run = actions.add_parser("run", help="do what is left to be done, one command after the other")
    status = actions.add_parser("status", help="say how far the runs are")
    collect = actions.add_parser("collect", help="put the scores side by side")
    for action in (plan, run, status, collect):
        action.add_argument("file", metavar="FILE", help="a study, such as studies/NAME.toml")
        action.add_argument(
            "--runs",
            default="runs",
            metavar="DIR",
            help="where the runs' folders lie (default: %(default)s)",
        )
        configuration.add_import_argument(action)
    for action in (plan, run):
        configuration.add_place_arguments(action)
        action.add_argument(
            "--only",
            action="append",
            type=whole_number,
            metavar="N",
            help="only run number N; repeatable",
        )
    plan.add_argument("--topology", metavar="T", help="a TPU slice, such as v4:4x4x8 or v3-256")
    plan.add_argument("--price_per_chip_hour", type=number, metavar="P", help="with --topology")
    plan.add_argument(
        "--print",
        dest="script",
        choices=("pod", "slurm"),
        help="print a script for bash or sbatch that does what is left, in place of the list",
    )
    for action in (plan, status):
        action.add_argument("--json", action="store_true", help="print one JSON object")
    collect.add_argument("--json", metavar="FILE", help="write all scores as JSON; - prints them")
    collect.add_argument("--csv", metavar="FILE", help="write what is shown as CSV; - prints it")


def main(args: argparse.Namespace) -> int:
    folder = Path(args.runs).expanduser()
    if args.action == "collect":
        return _collect(args, folder)
    from tk_instruct.study import text
    from tk_instruct.study.done import state_of
    from tk_instruct.study.runs import runs_of

    study = read(args.file)
    runs = runs_of(study, args.modules)
    if only := getattr(args, "only", None):
        for wrong in (number for number in only if not 0 < number <= len(runs)):
            raise UserError(f"--only={wrong} must be from 1 to {len(runs)}, the study's runs")
        runs = [run for run in runs if run.number in only]
    if args.action == "run":
        return _run(args, runs, folder)
    states = {run.number: state_of(run, folder / run.name) for run in runs}
    if args.action == "plan":
        return _plan(args, study, runs, states, folder)
    if args.json:
        print(json.dumps(text.status_as_json(study, runs, states, folder)))
    else:
        print(text.status(study, runs, states))
    return 0


def _plan(
    args: argparse.Namespace,
    study: Study,
    runs: Sequence["Run"],
    states: dict[int, "State"],
    folder: Path,
) -> int:
    from tk_instruct.study import scripts, text

    price = args.price_per_chip_hour
    if price is not None and (args.topology is None or not 0 <= price < math.inf):
        raise UserError(f"--price_per_chip_hour={price} must be a price, with --topology; try 1.2")
    if args.script and args.json:
        raise UserError(f"--print={args.script} and --json: only one can be printed; leave one out")
    hours = None
    if args.topology is not None:
        from tk_instruct.plan.topology import topology_of
        from tk_instruct.study.hours import planned

        hours = planned(runs, topology_of(args.topology), price, args.modules)
    places = configuration.place_words(args)
    if args.json:
        print(json.dumps(text.plan_as_json(study, runs, states, folder, places, hours)))
        return 0
    if not args.script:
        print(text.plan(study, runs, states, hours))
        return 0
    left = [run for run in runs if states[run.number].missing]
    name, words = Path(args.file).stem, scripts.study_words(args.file, folder, places, args.modules)
    notes = {run: text.hours_in_words(of) for run, of in (hours or {}).items()}
    if args.script == "pod":  # which trains; predictions and scores are made elsewhere
        left = [run for run in left if states[run.number].missing[0].verb == "train"]
    if not left:
        log.info("nothing is left to be %s", "trained" if args.script == "pod" else "done")
    elif args.script == "pod":
        kind = args.topology if re.fullmatch(r"v\w+-\d+", args.topology or "") else None
        print(scripts.pod(name, left, folder, places, words, notes, kind), end="")
    else:
        print(scripts.slurm(name, left, words, notes), end="")
    return 0


def _run(args: argparse.Namespace, runs: Sequence["Run"], folder: Path) -> int:
    from tk_instruct.study.done import state_of, trained_from_elsewhere
    from tk_instruct.study.running import run_missing

    places = configuration.place_words(args)
    for run in runs:
        for flag, place in trained_from_elsewhere(run, folder / run.name, places).items():
            log.warning(
                "%s was trained with --%s=%s, and is not trained again: if other data lie in %s, "
                "give another --runs",
                *(run.name, flag, place, run.trained_from(places)[flag]),
            )
    outcome = run_missing(runs, folder, places)
    for run, ended in outcome.failed:
        print(f"{folder / run.name}: {ended.verb} of {ended.output} has failed:", file=sys.stderr)
        sys.stderr.writelines(f"  {line}\n" for line in ended.said.splitlines())
    if outcome.elsewhere:
        names = ", ".join(run.name for run in outcome.elsewhere)
        log.info("passed over, as other processes run them: %s", names)
    states = [state_of(run, folder / run.name) for run in runs]
    num_done = sum(state.what == "done" for state in states)
    log.info("%d of %d runs are done, in %s", num_done, len(runs), folder)
    if outcome.stopped:
        log.info("stopped by %s; the same command goes on", outcome.stopped.name)
        return 128 + outcome.stopped
    return 1 if outcome.failed else 0


def _collect(args: argparse.Namespace, folder: Path) -> int:
    from tk_instruct.study import text

    outputs = {"json": args.json, "csv": args.csv}
    if list(outputs.values()).count("-") > 1:
        raise UserError("--json=- and --csv=-: only one can be printed; give the other a file")
    for name, output in outputs.items():
        if output not in (None, "-"):
            check_target(output)
            if os.path.realpath(output) == os.path.realpath(find(args.file)):
                raise UserError(
                    f"--{name}={output} is the study and would replace it; name another"
                )
    found = collected(args.file, folder, args.modules)
    contents = {
        "json": json.dumps(text.scores_as_json(found), indent=2, ensure_ascii=False) + "\n",
        "csv": text.scores_as_csv(found),
    }
    for name, output in outputs.items():
        if output is not None:
            write_lines(None if output == "-" else output, [contents[name]])
    if "-" not in outputs.values():
        print(text.scores(found))
    return 0
