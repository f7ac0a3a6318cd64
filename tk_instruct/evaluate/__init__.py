"""Score a suite as its paper does; all scores are per cent.

superni: exact match, ROUGE-1 and ROUGE-L of predictions, which may be another system's.

  tk-instruct evaluate --predictions RUN/predictions/TASK-test-STEP.jsonl --data_dir DATA

flan: what a run's checkpoint makes of the datasets of a cluster, its own held-out one unless
another is named: zero-shot and few-shot, by generation and by ranking the options, mean ± standard
deviation over templates and the template that is best on dev. What is predicted and scored is kept
in the run's directory, so that an interrupted evaluation goes on where it stopped.

  tk-instruct evaluate --suite flan --model_dir RUN
  tk-instruct evaluate --suite flan --model_dir RUN --cluster nli --shots zero_shot --limit 200
  tk-instruct evaluate --suite flan --model_dir FLAN --model_dir NO_TEMPLATE --model_dir NAMED

Or predictions of any system, by the ids that ours have (DATASET-SPLIT-NUMBER, as rte-test-0):

  tk-instruct evaluate --suite flan --predictions OURS.jsonl THEIRS.jsonl

user_oriented: the answers to Self-Instruct's 252 instructions of users as a sheet for people to
rate, systems blinded; then the counts of their ratings, A (best) to D.

  tk-instruct evaluate --suite user_oriented --user_oriented FILE --sheet sheet.csv \\
      --system ours=RUN/predictions/self_instruct_user_oriented-test-STEP.jsonl --system gpt3=FILE
  tk-instruct evaluate --suite user_oriented --ratings sheet.csv
"""

import argparse
import importlib
import os

from tk_instruct import configuration, distributed
from tk_instruct.evaluate.predictions import FORMATS_READ
from tk_instruct.files import check_target

SUITES = {
    "superni": "tk_instruct.evaluate.superni",
    "flan": "tk_instruct.evaluate.flan",
    "user_oriented": "tk_instruct.evaluate.user_oriented",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of `tk-instruct evaluate`."""
    parser.add_argument(
        "--suite", choices=SUITES, default="superni", help="what is scored (default: %(default)s)"
    )
    parser.add_argument(
        "--json",
        metavar="FILE",
        help="also write all scores, those of each task and category too, as one JSON object with "
        "4 decimals; - prints it in place of the tables",
    )
    parser.add_argument(
        "--predictions",
        nargs="+",
        metavar="FILE",
        help=f"of superni and flan, of any system: {FORMATS_READ}; - is standard input",
    )
    for suite, module in SUITES.items():
        importlib.import_module(module).add_arguments(parser.add_argument_group(suite))
    configuration.add_data_arguments(parser)
    distributed.add_arguments(parser)


def main(args: argparse.Namespace) -> int:
    if args.json not in (None, "-"):
        args.json = os.path.expanduser(args.json)
        check_target(args.json)
    return importlib.import_module(SUITES[args.suite]).main(args)
