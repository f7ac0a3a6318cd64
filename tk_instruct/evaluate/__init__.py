"""Score predictions: by a suite as its paper does, or by a task's own metrics.

  tk-instruct evaluate --suite NAME …          the suite's protocol; `--suite NAME --help` tells it
  tk-instruct evaluate --task NAME --predictions RUN/predictions/NAME-test-STEP.jsonl
                                               the metric_fns of a SeqIO task or mixture

A suite's scores are in per cent. A task's scores are the values of its metrics. Each score has a
95 % interval, clustered by what was sampled, such as the task.
"""

import argparse
import os
from collections.abc import Mapping, Sequence

from tk_instruct import configuration, distributed, suite
from tk_instruct.errors import UserError
from tk_instruct.evaluate import by_task
from tk_instruct.evaluate.output import keep_beside, refuse_to_overwrite_inputs
from tk_instruct.files import Path, check_target, is_stream
from tk_instruct.predictions import FORMATS_READ
from tk_instruct.published import Compared
from tk_instruct.scored_instances import SUFFIX, ScoredInstances, of_file
from tk_instruct.scores import files_of_predictions, named_apart


def _modules() -> Mapping[str, str]:
    return {
        name: module
        for each in suite.suites().values()
        for name, module in each.evaluations.items()
    }


def add_scoring_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments that say how predictions are scored, those of all suites."""
    suite.add_suite_argument(parser, _modules(), "what is scored")
    parser.add_argument(
        "--task",
        metavar="NAME",
        help="in place of --suite: a task or mixture, scored by its own metrics",
    )
    configuration.add_data_arguments(parser)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of `tk-instruct evaluate` that all suites share."""
    add_scoring_arguments(parser)
    parser.add_argument(
        "--json",
        metavar="FILE",
        help="also write all scores, those of parts too, as one JSON object with 4 decimals; - "
        "prints it in place of the tables",
    )
    parser.add_argument(
        "--predictions",
        nargs="+",
        metavar="FILE",
        help=f"of any system: {FORMATS_READ}; - is standard input; a folder stands for what it "
        "holds: a run's predictions/, Tk-Instruct's output/TRACK/SYSTEM/predicted_examples.jsonl, "
        "lm-evaluation-harness's samples_TASK_DATE.jsonl",
    )
    parser.add_argument(
        "--instances",
        metavar="FILE",
        help="where the scores of instances are kept for `tk-instruct compare` (default: "
        "NAME.scores.parquet beside the predictions NAME.jsonl)",
    )
    parser.add_argument(
        "--published",
        action="store_true",
        help="also published scores: those of the same setting, then the nearest others with what "
        "differs; the encoding is known by a file's name TASK-SPLIT-STEP",
    )
    parser.add_argument(
        "--exclude_contaminated",
        metavar="AUDIT.json",
        help="of `tk-instruct tasks audit`: scores on all instances, on those that it did not flag "
        "and on those that it did, with the difference",
    )
    distributed.add_arguments(parser)


def add_suite_arguments(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    """Declares the arguments of the chosen suite, or of --task."""
    choosing = argparse.ArgumentParser(add_help=False)
    choosing.add_argument("--task")  # also shortened, as argparse takes it
    if choosing.parse_known_args(words)[0].task is not None:
        by_task.add_arguments(parser.add_argument_group("--task"))
    else:
        suite.add_arguments_of_suite(parser, _modules(), words)


def _refuse_other_data(args: argparse.Namespace) -> None:
    """Raises UserError for a flag of another suite's data, which the evaluation does not read."""
    for each in suite.suites().values():
        for flag in each.flags if args.suite not in each.evaluations else ():
            if getattr(args, flag.name) is not None:
                raise UserError(
                    f"--{flag.name} is of {each.name}'s data, which --suite {args.suite} does not "
                    "read; leave it out"
                )


def _refuse_unpublished(args: argparse.Namespace) -> None:
    """Raises UserError for --published where no suite's published scores are of the evaluation."""
    if args.task:
        raise UserError(
            "--published is of suites, and --task scores a task by its own metrics; give --suite, "
            "or leave --published out"
        )
    owner = next(each for each in suite.suites().values() if args.suite in each.evaluations)
    if owner.published is None:
        raise UserError(f"--suite {args.suite} has no published scores; leave --published out")


def main(args: argparse.Namespace) -> int:
    for flag in ("json", "instances"):
        output = getattr(args, flag)
        if output not in (None, "-"):
            setattr(args, flag, output := os.path.expanduser(output))
            check_target(output)
            configuration.refuse_to_replace_data(flag, output, args)
    if args.instances is not None and not args.instances.endswith(SUFFIX):
        raise UserError(
            f"--instances={args.instances} must end in {SUFFIX}, by which such files are known; "
            f"give NAME{SUFFIX}"
        )
    if args.instances and not args.predictions:
        raise UserError(
            f"--instances={args.instances} is for --predictions, and none are given; leave it out: "
            "a run keeps the scores of instances in its predictions/"
        )
    if args.json and args.json.endswith(SUFFIX):
        raise UserError(
            f"--json={args.json} must not end in {SUFFIX}, by which scores of instances are known; "
            "give NAME.json"
        )
    if args.predictions:
        args.predictions = _files(args.predictions)
    if args.published:
        _refuse_unpublished(args)
    if args.exclude_contaminated:
        return _in_parts(args)
    if args.task:
        return by_task.main(args)
    _refuse_other_data(args)
    return suite.part(_modules()[args.suite]).main(args)


def _files(given: Sequence[str]) -> list[str]:
    """The files of predictions, in place of folders those of their systems."""
    paths = map(os.path.expanduser, given)
    return [os.fspath(file) for path in paths for file in files_of_predictions(Path(path))]


def _in_parts(args: argparse.Namespace) -> int:
    """Scores each file of predictions on the contaminated instances and on the others."""
    from tk_instruct.evaluate import contaminated

    for flag in ("instances", "published"):
        if getattr(args, flag):
            raise UserError(
                f"--{flag} is of all instances, and --exclude_contaminated parts them; leave one "
                "of the two out"
            )
    if not args.predictions or "-" in args.predictions:
        raise UserError(
            "--exclude_contaminated parts files of predictions; give --predictions FILE"
        )
    audit = Path(os.path.expanduser(args.exclude_contaminated))
    refuse_to_overwrite_inputs(args, exclude_contaminated=[str(audit)])
    refuse_to_overwrite_inputs(args, predictions=args.predictions)
    files = named_apart(args.predictions)
    systems = {name: score_file(path, args) for name, path in files.items()}
    return contaminated.show(systems, audit, args)


def score_file(path: Path, args: argparse.Namespace) -> ScoredInstances:
    """Scores a file of predictions, as the chosen suite or task does. Keeps what it finds beside.

    Raises UserError for any problem with the inputs.
    """
    if args.task:
        scored, _ = by_task.score_file(path, args)
    else:
        _refuse_other_data(args)
        scored, _ = suite.part(_modules()[args.suite]).score_file(path, args)
    keep_beside(path, scored)
    return scored if is_stream(path) else of_file(scored, path)


def published_beside(scored: ScoredInstances) -> tuple[list[Compared], list[Compared]]:
    """The published scores beside those of one part, of the same setting and of others.

    Raises UserError if the suite has none, or if a task's own metrics were scored.
    """
    module = _modules().get(scored.about.protocol)
    if module is None:
        raise UserError(
            "--published is of suites, and the systems were scored by a task's own metrics; leave "
            "it out"
        )
    loaded = suite.part(module)
    if not hasattr(loaded, "published_beside"):
        raise UserError(
            f"--suite {scored.about.protocol} has no published scores; leave --published out"
        )
    return loaded.published_beside(scored, scored.about.file)
