"""Heuristics, which answer without a model, as a system.

A suite brings its own. Two are for every suite: they know the labels of a task, from its examples
that are not evaluated, and nothing of the input.
"""

import argparse
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from tk_instruct import suite
from tk_instruct.data import registry
from tk_instruct.data.task import AnyTask, check_split
from tk_instruct.errors import UserError
from tk_instruct.files import Path
from tk_instruct.inference.decoding import Decoding, Greedy
from tk_instruct.journal import Example, Predict, Row, row_of
from tk_instruct.randomness import draw

if TYPE_CHECKING:
    from tk_instruct.data.tokens import FeatureLengths

# A function example → answer.
Answer = Callable[[Example], str]


class Labelled(NamedTuple):
    """A labelled example that is not evaluated: its constituent task, right answers and options."""

    task: str
    targets: Sequence[str]
    options: Sequence[str] = ()


def names() -> list[str]:
    """The values of --baseline: those of all suites, and those that every suite has."""
    of_suites = {name for each in suite.suites().values() for name in each.baselines}
    return sorted({*of_suites, *OF_LABELS})


class HeuristicSystem:
    """A heuristic for the tasks of --task."""

    reads_text = False
    step = 0
    folder: Path | None = None
    mixture: str | None = None
    lengths: Mapping[str, int] | None = None

    def __init__(self, name: str, args: argparse.Namespace) -> None:
        if not args.task:
            raise UserError(f"--baseline {name} needs --task NAME and --output_dir DIR")
        self._name, self._task = name, args.task
        self._seed = getattr(args, "seed", None) or 0
        self.identity: Mapping[str, Any] = {"baseline": name, "seed": self._seed}

    def generator(
        self, decoding: Decoding, lengths: "FeatureLengths", args: argparse.Namespace
    ) -> Callable[[Path], Predict]:
        if decoding != Greedy():
            raise UserError(
                f"--baseline {self._name} does not decode; leave the flags of decoding out"
            )
        if self._name in OF_LABELS:
            known = labelled(self._name, self._task, args.split or ["test"])
            answer = OF_LABELS[self._name](known, self._seed)
        else:
            answer = baseline_of(self._name, self._task)
        predict = partial(_answered, answer)
        return lambda output: predict


def _answered(answer: Answer, examples: Sequence[Example]) -> Iterator[list[Row]]:
    yield [row_of(example, answer(example)) for example in examples]


def baseline_of(name: str, task: str) -> Answer:
    """The heuristic of that name in the suite of a task or mixture.

    Raises UserError if that suite has none of that name, or if the tasks of a mixture are not all
    of one suite.
    """
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
        known = " or ".join(sorted({*owner.baselines, *OF_LABELS}))
        raise UserError(
            f"--baseline {name}: {task} is of the suite {owner.name}, which has {known}; give one "
            "of them"
        )
    return suite.part(owner.baselines[name])


def labelled(name: str, task: str, splits: Sequence[str]) -> Iterator[Labelled]:
    """The labelled examples for splits of a task or mixture that are not evaluated in these.

    They are what the suite gives, by default those of the split train of the same tasks. Raises
    UserError for a task without such a split.
    """
    for part in registry.tasks_of(task):
        owner = registry.suite_of(part.name)
        if owner and owner.labelled:
            yield from suite.part(owner.labelled)(part.name, splits)
        elif "train" not in part.splits:
            raise UserError(
                f"--baseline {name}: {part.name} has no split train, whose labels it would know; "
                "give another baseline"
            )
        else:
            yield from _of_train(part)


def _of_train(task: AnyTask) -> Iterator[Labelled]:
    check_split(task, "train")
    for example in task.texts("train"):
        options = example.get("options") or ()
        yield Labelled(example["task"], [example["targets_pretokenized"]], tuple(options))


def majority_label(examples: Iterable[Labelled], seed: int) -> Answer:
    """The answer that is right most often in a task's examples; of equal ones the first by text.

    Where examples have options of their own, it is that at the place that is right most often.
    """
    texts: dict[str, Counter[str]] = defaultdict(Counter)
    places: dict[str, Counter[int]] = defaultdict(Counter)
    options: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for each in examples:
        texts[each.task].update(set(each.targets))
        options[each.task].add(tuple(each.options))
        places[each.task].update({each.options.index(t) for t in each.targets if t in each.options})

    def answer(example: Example) -> str:
        task = example["task"]
        _check(task, texts)
        given = example.get("options") or ()
        if given and len(options[task]) > 1 and places[task]:
            place = min(places[task], key=lambda at: (-places[task][at], at))
            return str(given[min(place, len(given) - 1)])
        return min(texts[task], key=lambda text: (-texts[task][text], text))

    return answer


def random_option(examples: Iterable[Labelled], seed: int) -> Answer:
    """One of the example's options or, without any, of the answers in the examples of its task.

    All are drawn with the same probability; which one depends on the seed and the example's id.
    """
    texts: dict[str, set[str]] = defaultdict(set)
    for each in examples:
        texts[each.task].update(each.targets)
    sorted_texts = {task: sorted(of) for task, of in texts.items()}

    def answer(example: Example) -> str:
        options = list(example.get("options") or ())
        if not options:
            _check(example["task"], sorted_texts)
            options = sorted_texts[example["task"]]
        return str(options[draw(seed, "random_option", example["id"]) % len(options)])

    return answer


def _check(task: str, known: Mapping[str, Any]) -> None:
    if not known.get(task):
        raise UserError(
            f"{task} has no labelled examples beside those that are evaluated; evaluate fewer of "
            "its instances, or give another baseline"
        )


# Value of --baseline for every suite → a function (labelled examples, seed) → the heuristic.
OF_LABELS: Mapping[str, Callable[[Iterable[Labelled], int], Answer]] = {
    "majority_label": majority_label,
    "random_option": random_option,
}
