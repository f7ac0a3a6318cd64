"""Look for evaluation data in training data: by source datasets, and by texts.

  tk-instruct tasks audit MIXTURE --against MIXTURE
  tk-instruct tasks audit MIXTURE ANOTHER FILE.jsonl --against TASK:validation --json AUDIT.json
  tk-instruct tasks audit MIXTURE --against TASK --names_only

TRAIN and EVAL are tasks or mixtures, as NAME or NAME:SPLIT (default: train for TRAIN, test for
EVAL), or FILE.jsonl with lines {"inputs", "targets"}, and if you like "id" and "task". Instances
are compared by their own texts, inputs with inputs and targets with targets, without the
instructions and demonstrations of prompts. A flag is a reason to read the two texts, not a proof.

Exit status: 1 if more than --threshold of the evaluation instances are flagged.
"""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from tk_instruct.configuration import refuse_to_replace_data
from tk_instruct.errors import UserError
from tk_instruct.files import check_target, is_stream
from tk_instruct.ranges import check_number, check_whole, number, whole_number

if TYPE_CHECKING:
    from tk_instruct.audit.findings import Audit
    from tk_instruct.audit.instances import Given, Instance

_REPORTED = 1000  # instances that progress counts at once


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("train", nargs="+", metavar="TRAIN", help="what is trained on")
    parser.add_argument(
        "--against", nargs="+", required=True, metavar="EVAL", help="what is evaluated on"
    )
    parser.add_argument(
        "--ngram",
        type=whole_number,
        default=13,
        metavar="WORDS",
        help="flag a text that has so many words in a row in common (default: 13, as GPT-3)",
    )
    parser.add_argument(
        "--short_ngram",
        type=whole_number,
        default=8,
        metavar="WORDS",
        help="the same for evaluation texts of fewer words than --ngram; a text of fewer words "
        "than this is only flagged if it is equal and has at least 4 words (default: 8)",
    )
    parser.add_argument(
        "--jaccard",
        type=number,
        default=0.8,
        help="flag near duplicates whose sets of 3 words in a row are at least so similar "
        "(default: 0.8)",
    )
    parser.add_argument(
        "--names_only", action="store_true", help="compare source datasets alone; read no examples"
    )
    parser.add_argument(
        "--threshold",
        type=number,
        default=0.01,
        metavar="SHARE",
        help="the largest share of evaluation instances (with --names_only: of evaluation tasks) "
        "that may be flagged (default: 0.01)",
    )
    parser.add_argument(
        "-n", type=whole_number, default=5, metavar="N", help="findings to show (default: 5)"
    )
    parser.add_argument(
        "--json", metavar="FILE", help="write all findings; - is the standard output"
    )
    parser.add_argument(
        "--html", metavar="FILE", help="write a page with the texts of findings side by side"
    )


def main(args: argparse.Namespace) -> int:
    """Prints and writes what is found; 1 if it is more than the threshold."""
    _check(args)
    from tk_instruct.audit import findings, page, text

    audit = _audit(args)
    if args.json and args.json != "-":
        findings.write(os.path.expanduser(args.json), audit)
    if args.html:
        page.write(os.path.expanduser(args.html), audit)
    print(
        text.summary(audit, args.n),
        file=sys.stderr if args.json == "-" or is_stream(args.json or "") else sys.stdout,
    )
    if args.json == "-":
        sys.stdout.write(findings.as_json(audit).decode())
    flagged, total = text.num_flagged(audit)
    return 1 if flagged > args.threshold * total else 0


def _check(args: argparse.Namespace) -> None:
    """Raises UserError for a value that is none."""
    from tk_instruct.audit.compared import LEAST_WORDS

    check_whole("--short_ngram", args.short_ngram, LEAST_WORDS, 1000)
    check_whole("--ngram", args.ngram, args.short_ngram, 1000)
    check_number("--jaccard", args.jaccard, "(0, 1]", 0.8)
    check_number("--threshold", args.threshold, "[0, 1]", 0.01)
    check_whole("-n", args.n, 0, 1_000_000)
    taken = {os.path.realpath(os.path.expanduser(name)) for name in (*args.train, *args.against)}
    for flag in ("json", "html"):
        given = getattr(args, flag)
        if given is None or (flag, given) == ("json", "-"):
            continue
        output = os.path.expanduser(given)
        check_target(output)
        refuse_to_replace_data(flag, output, args)
        if os.path.realpath(output) in taken:
            raise UserError(
                f"--{flag}={given} is audited or written by another flag; choose another place"
            )
        taken.add(os.path.realpath(output))


def _audit(args: argparse.Namespace) -> "Audit":
    from tk_instruct.audit import by_origin, instances
    from tk_instruct.audit.findings import Audit, Settings
    from tk_instruct.audit.overlap import Found, overlap

    settings = Settings(args.ngram, args.short_ngram, args.jaccard)
    train = [instances.given(text, "train") for text in args.train]
    against = [instances.given(text, "test") for text in args.against]
    names = ([str(of) for of in side if of.split is not None] for side in (train, against))
    origins = by_origin.by_origin(*names)
    found = Found([], [], 0, 0)
    if not args.names_only:
        found = overlap(
            _instances("reading evaluation", against), _instances("comparing", train), settings
        )
    return Audit(
        format=1,
        settings=settings,
        train=list(map(str, train)),
        against=list(map(str, against)),
        num_train=found.num_train,
        left_out=found.left_out,
        tasks=found.tasks,
        train_datasets={task: sorted(of) for task, of in origins.train.items()},
        eval_datasets={task: sorted(of) for task, of in origins.evaluation.items()},
        origins=list(origins.findings),
        texts=found.texts,
    )


def _instances(what: str, given: "Sequence[Given]") -> "Iterator[Instance]":
    """All instances; raises UserError if one of what is given has none."""
    from tk_instruct.audit import instances
    from tk_instruct.progress import Progress

    counts = [instances.count(of) for of in given]
    for of, count in zip(given, counts, strict=True):
        if not count:
            raise UserError(f"{of} has no examples; leave it out, or give another split")
    with Progress(what, sum(counts)) as progress:
        for of in given:
            waiting = 0
            for instance in instances.read(of):
                yield instance
                waiting += 1
                if waiting == _REPORTED:
                    progress.advance(waiting)
                    waiting = 0
            progress.advance(waiting)
