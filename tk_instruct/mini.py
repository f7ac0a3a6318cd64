"""Write synthetic data of a suite, to try things where the real data is not at hand.

tk-instruct mini DIRECTORY
tk-instruct mini DIRECTORY --suite NAME
"""

import argparse
from collections.abc import Mapping, Sequence

from tk_instruct import suite


def _modules() -> Mapping[str, str]:
    return {each.name: each.mini for each in suite.suites().values() if each.mini}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", metavar="DIRECTORY", help="a new directory")
    suite.add_suite_argument(parser, _modules(), "whose data is imitated")


def add_suite_arguments(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    """Declares what the chosen suite takes."""
    suite.add_arguments_of_suite(parser, _modules(), words)


def main(args: argparse.Namespace) -> int:
    return suite.part(_modules()[args.suite]).main(args)
