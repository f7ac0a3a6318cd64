"""Compare systems on the same instances: is one better, by how much, and how sure is it?

A system is a run's directory, a file of predictions, or a file of instances' scores, which
`tk-instruct evaluate` keeps beside predictions (NAME.scores.parquet). If it has none yet, or if
flags of the evaluation are given, the predictions are scored first, as by `tk-instruct evaluate`.
A folder of Tk-Instruct's or of lm-evaluation-harness's output stands for the systems in it.

  tk-instruct compare runs/smoke/copy_demo runs/smoke/tiny_t5
  tk-instruct compare ours.jsonl theirs.jsonl --references REFERENCES.jsonl
  tk-instruct compare A.jsonl B.jsonl C.jsonl --metric exact_match -n 5

Differences are those of the second system minus the first, paired by instance. Their 95 % intervals
are clustered by what was sampled, such as the task. Of several systems, each pair is compared. To
read the instances with their inputs, see `tk-instruct show`.
"""

import argparse
import json
import os
from collections.abc import Sequence

import msgspec

from tk_instruct import configuration, evaluate, published, scored_instances
from tk_instruct.compare.comparison import report
from tk_instruct.compare.systems import side_by_side
from tk_instruct.compare.text import report_text
from tk_instruct.errors import UserError
from tk_instruct.evaluate.output import show_scores
from tk_instruct.files import Path, check_target
from tk_instruct.ranges import whole_number
from tk_instruct.scored_instances import SUFFIX, ScoredInstances
from tk_instruct.scores import SPLITS, predicted_by_name, released_in


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "systems",
        nargs="+",
        metavar="[NAME=]DIR|FILE",
        help="two or more; the first is the baseline",
    )
    parser.add_argument(
        "--metric", metavar="NAME", help="the score to compare (default: the evaluation's main one)"
    )
    parser.add_argument(
        "-n",
        type=whole_number,
        default=3,
        metavar="N",
        help="how many of the instances that differ most are shown, each way (default: 3)",
    )
    parser.add_argument(
        "--json",
        metavar="FILE",
        help="also write all as one JSON object; - prints it in place of tables",
    )
    parser.add_argument(
        "--published",
        action="store_true",
        help="also published scores beside each system's: those of the same setting, then the "
        "nearest others with what differs; the encoding is known by a file's name TASK-SPLIT-STEP",
    )


def add_suite_arguments(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    """Declares the arguments that say how predictions without kept scores are scored."""
    own = set(parser._actions)
    evaluate.add_scoring_arguments(parser)
    evaluate.add_suite_arguments(parser, words)
    scoring = {each.dest: each.default for each in parser._actions if each not in own}
    parser.set_defaults(scoring=scoring)


def main(args: argparse.Namespace) -> int:
    if args.n < 0:
        raise UserError(f"-n {args.n} must be at least 0")
    if args.json not in (None, "-"):
        args.json = os.path.expanduser(args.json)
        check_target(args.json)
        configuration.refuse_to_replace_data("json", args.json, args)
        _refuse_to_overwrite(args)
    if _is_asked(args) and all(each.endswith(SUFFIX) for each in args.systems):
        raise UserError(
            "flags say how predictions are scored, and all systems are scored already; leave the "
            "flags out, or give predictions"
        )
    sides = side_by_side(args.systems, lambda path: _scored(path, args))
    reports, texts = [], []
    for side in sides:
        compared = report(side, args.metric, args.n)
        reports.append(msgspec.to_builtins(compared))
        texts.append(report_text(compared))
        if args.published:
            reports[-1]["published"] = {}
            for name, table in side.systems.items():
                same, others = evaluate.published_beside(table)
                reports[-1]["published"][name] = published.as_rows(same, others)
                texts.append(f"beside {name}:\n\n{published.as_text(same, others)}")
    content = json.dumps({"comparisons": reports}, indent=2, ensure_ascii=False) + "\n"
    show_scores(args.json, content, "\n\n\n".join(texts))
    return 0


def _refuse_to_overwrite(args: argparse.Namespace) -> None:
    """Raises UserError if --json is a file that a flag names, or one in a run's predictions/."""
    output = os.path.realpath(args.json)
    values = [v for name, v in vars(args).items() if name not in ("json", "scoring")]
    texts = [t for v in values for t in (v if isinstance(v, list) else [v]) if isinstance(t, str)]
    for given in map(os.path.realpath, map(os.path.expanduser, texts)):
        read = [
            given,
            os.path.join(given, "predictions"),
            *map(os.fspath, released_in(Path(given))),
        ]
        is_read = output in read or os.path.dirname(output) in read[1:]
        if is_read or output.endswith(SUFFIX):
            raise UserError(
                f"--json={args.json} would replace what is compared; choose another place"
            )


def _scored(path: Path, args: argparse.Namespace) -> ScoredInstances:
    """The kept scores of predictions if they are up to date and no flag of scoring is given.

    Else the predictions are scored, on the split in the file's name unless --split is given.
    """
    is_asked = _is_asked(args)
    named = predicted_by_name(path)
    if named and named[1] in SPLITS and getattr(args, "split", "") == args.scoring.get("split"):
        args = argparse.Namespace(**{**vars(args), "split": named[1]})
    if is_asked:
        return evaluate.score_file(path, args)
    if kept := scored_instances.kept_of(path):
        return kept
    try:
        return evaluate.score_file(path, args)
    except UserError as error:
        raise UserError(f"{path} has no scores yet, and to score it failed: {error}") from error


def _is_asked(args: argparse.Namespace) -> bool:
    """Whether a flag says how predictions are scored."""
    return any(getattr(args, name) != default for name, default in args.scoring.items())
