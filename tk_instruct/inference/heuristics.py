"""Heuristics, which answer without a model, as a system."""

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from tk_instruct import suite
from tk_instruct.errors import UserError
from tk_instruct.files import Path
from tk_instruct.inference.decoding import Decoding, Greedy
from tk_instruct.journal import Example, Predict, Row, row_of

if TYPE_CHECKING:
    from tk_instruct.data.tokens import FeatureLengths


def names() -> list[str]:
    """The values of --baseline, of all suites."""
    return sorted({name for each in suite.suites().values() for name in each.baselines})


class HeuristicSystem:
    """A heuristic of the suite of --task."""

    reads_text = False
    step = 0
    folder: Path | None = None
    mixture: str | None = None
    lengths: Mapping[str, int] | None = None

    def __init__(self, name: str, args: argparse.Namespace) -> None:
        if not args.task:
            raise UserError(f"--baseline {name} needs --task NAME and --output_dir DIR")
        self._name, self._task = name, args.task
        self.identity: Mapping[str, Any] = {"baseline": name}

    def generator(
        self, decoding: Decoding, lengths: "FeatureLengths", args: argparse.Namespace
    ) -> Callable[[Path], Predict]:
        if decoding != Greedy():
            raise UserError(
                f"--baseline {self._name} does not decode; leave the flags of decoding out"
            )
        predict = partial(_answered, baseline_of(self._name, self._task))
        return lambda output: predict


def _answered(answer: Callable[[Example], str], examples: Sequence[Example]) -> Iterator[list[Row]]:
    yield [row_of(example, answer(example)) for example in examples]


def baseline_of(name: str, task: str) -> Callable[[Example], str]:
    """The heuristic of that name in the suite of a task or mixture: a function example → answer.

    Raises UserError if that suite has none of that name, or if the tasks of a mixture are not all
    of one suite.
    """
    from tk_instruct.data import registry

    owners = [registry.suite_of(part.name) for part in registry.tasks_of(task)]
    owner = owners[0]
    if any(other != owner for other in owners):
        raise UserError(
            f"--baseline {name}: the tasks of {task} are of several suites, and each has baselines "
            "of its own; give a task of one suite"
        )
    if owner is None:
        raise UserError(
            f"--baseline {name}: {task} is of no suite, and baselines are of suites; give a task "
            "of a suite, or --model_dir DIR"
        )
    if name not in owner.baselines:
        known = " or ".join(sorted(owner.baselines))
        rule = f"has {known}; give one of them" if known else "has none; give --model_dir DIR"
        raise UserError(f"--baseline {name}: {task} is of the suite {owner.name}, which {rule}")
    return suite.part(owner.baselines[name])
