"""Tasks and mixtures by name: those of suites, and those that modules have declared to SeqIO.

Suites' are found and read without SeqIO; SeqIO's registries are looked into where somebody has
imported SeqIO.
"""

import difflib
import fnmatch
import functools
import logging
import math
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol

import gin

from tk_instruct import suite
from tk_instruct.data.task import AnyTask, Task
from tk_instruct.errors import MissingDataError, UserError
from tk_instruct.tables import table

log = logging.getLogger("tk_instruct")


class AnyMixture(Protocol):
    """A suite's mixture, or any that SeqIO has."""

    @property
    def name(self) -> str: ...
    @property
    def tasks(self) -> Sequence[AnyTask]:
        """Each once, by name."""
        ...

    def rates(self) -> Mapping[str, float]:
        """How often each task is drawn, by its name, relative to the others."""
        ...

    @property
    def total_rate(self) -> float: ...


@dataclass(frozen=True, eq=False)
class Mixture:
    """Tasks and mixtures with a rate each: a number, or a function of the task.

    Inside a mixture its own rates hold. Equal to SeqIO's Mixture.
    """

    name: str
    parts: Mapping[str, float | Callable[[AnyTask], float]]

    @property
    def tasks(self) -> Sequence[AnyTask]:
        found: dict[str, AnyTask] = {}
        for name in self.parts:
            part = get(name)
            found |= {task.name: task for task in getattr(part, "tasks", [part])}
        return [found[name] for name in sorted(found)]

    def rates(self) -> Mapping[str, float]:
        parts: dict[str, Any] = {name: get(name) for name in self.parts}
        found = dict.fromkeys((task.name for task in self.tasks), 0.0)
        # Mixtures before tasks, as in SeqIO, so that sums of floats are the same.
        for name, part in parts.items():
            if hasattr(part, "tasks"):
                total, rate = part.total_rate, _value(self.parts[name], part)
                for task, inner in part.rates().items():
                    found[task] += rate * inner / total
        for name, part in parts.items():
            if not hasattr(part, "tasks"):
                found[name] += _value(self.parts[name], part)
        return found

    @property
    def total_rate(self) -> float:
        return sum(_value(rate, get(name)) for name, rate in self.parts.items())


def _value(rate: float | Callable[[AnyTask], float], task: Any) -> float:
    return float(rate(task) if callable(rate) else rate)


def proportional(name: str, tasks: Sequence[str], most_examples: float = math.inf) -> Mixture:
    """Tasks in proportion to their numbers of train examples.

    Of each at most most_examples count (the artificial maximum of examples-proportional mixing,
    Raffel et al. 2020, section 3.5.2).
    """

    def rate(task: AnyTask) -> float:
        return min(_num_train_examples(task), most_examples)

    return Mixture(name, dict.fromkeys(tasks, rate))


# Counts of train examples by task, while rates of the same ones are asked for over and over.
_counted: dict[str, float] | None = None


@contextmanager
def _each_counted_once() -> Iterator[None]:
    """A mixture of mixtures adds up all rates for each of its tasks."""
    global _counted
    _counted = {}
    try:
        yield
    finally:
        _counted = None


def _num_train_examples(task: AnyTask) -> float:
    if _counted is None:
        return _count(task)
    if task.name not in _counted:
        _counted[task.name] = _count(task)
    return _counted[task.name]


def _count(task: AnyTask) -> float:
    if skip_missing() and is_missing(task):
        return 0.0
    if not (count := _as_read(task).num_input_examples("train")):
        raise UserError(
            f"{task.name} has no train examples, and what is empty is never passed over; prepare "
            "its data again, or take a mixture without it"
        )
    return float(count)


@gin.configurable(module="tk_instruct")
def skip_missing(enabled: bool = False) -> bool:
    """Whether mixtures do without the tasks whose data is missing (--skip_missing)."""
    return enabled


@gin.configurable(module="tk_instruct")
def use_cached_tasks(enabled: bool = False, directories: tuple[str, ...] = ()) -> list[str] | None:
    """Where SeqIO has cached the tasks that are to be read so (USE_CACHED_TASKS), else None.

    SeqIO's own global cache directories are looked into first.
    """
    if isinstance(directories, str) or not all(isinstance(name, str) for name in directories):
        raise UserError(
            f"SEQIO_CACHE_DIRS={directories!r} must be a list of paths, such as ['DIR']; each is "
            "what seqio_cache_tasks was given as --output_cache_dir"
        )
    return [os.path.expanduser(name) for name in directories] if enabled else None


# What has been added beside the suites' own.
_added: dict[str, Task | Mixture] = {}


def add(declared: Task | Mixture) -> None:
    """Declares a task or mixture beside those of suites, or anew."""
    _added[declared.name] = declared


@functools.cache
def _of_suites() -> Mapping[str, tuple[str, Task | Mixture]]:
    """By name: the suite's name and what it has declared."""
    found: dict[str, tuple[str, Task | Mixture]] = {}
    for name, each in suite.suites().items():
        for declared in suite.part(each.tasks).declared() if each.tasks else ():
            if declared.name in found:
                raise UserError(
                    f"{declared.name} is declared by the suites {found[declared.name][0]} and "
                    f"{name}; rename one of them"
                )
            found[declared.name] = name, declared
    return found


def suite_of(name: str) -> suite.Suite | None:
    """The suite that has declared a task or mixture, or the task that it is a part of."""
    while name:
        if name in _of_suites():
            return suite.suites()[_of_suites()[name][0]]
        name = name.rpartition(".")[0]
    return None


def declared_by(name: str) -> list[Task | Mixture]:
    """All that a suite declares."""
    return [declared for of, declared in _of_suites().values() if of == name]


def _import_seqio_suites() -> None:
    """Imports the suites that declare to SeqIO alone."""
    for each in suite.suites().values():
        if each.mixtures and not each.tasks:
            suite.part(each.mixtures)


def _from_seqio() -> Any:
    """What reads SeqIO's registries, where SeqIO has been imported; else None."""
    if "seqio" not in sys.modules:
        return None
    from tk_instruct.data.seqio_bridge import tasks

    return tasks


def names(pattern: str = "*") -> list[str]:
    """Declared tasks and mixtures that match a shell pattern or contain the text."""
    _import_seqio_suites()
    foreign = _from_seqio()
    declared = sorted({*_of_suites(), *_added, *(foreign.names() if foreign else ())})
    if any(character in pattern for character in "*?["):
        return [name for name in declared if fnmatch.fnmatchcase(name, pattern)]
    return [name for name in declared if pattern in name]


def declared(name: str) -> Task | Mixture | None:
    """What this project has declared by that name, as it was declared."""
    return _added.get(name) or _of_suites().get(name, ("", None))[1]


def get(name: str) -> AnyTask | AnyMixture:
    """A declared task or mixture; raises UserError naming the nearest where there is none."""
    own = declared(name)
    if own is not None:
        return _as_read(own) if isinstance(own, Task) else own
    _import_seqio_suites()
    if (foreign := _from_seqio()) and (found := foreign.find(name)):
        return found
    near = difflib.get_close_matches(name, names(), n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise UserError(
        f"task or mixture {name!r} is not declared; {hint}`tk-instruct tasks list` shows all"
    )


def _as_read(task: Any) -> Any:
    """The task with its examples from SeqIO's cache, where these are to be used."""
    if not isinstance(task, Task) or (directories := use_cached_tasks()) is None:
        return task
    from tk_instruct.data.seqio_bridge import cache

    return cache.cached_task(task, directories)


def tasks_of(name: str) -> list[AnyTask]:
    """The tasks that a task or mixture is made of.

    With skip_missing those of a mixture whose data is there; raises UserError where none is.
    """
    found = get(name)
    tasks: Sequence[AnyTask] | None = getattr(found, "tasks", None)
    if tasks is None:
        return [found]  # type: ignore[list-item]
    if not skip_missing():
        return list(tasks)
    present = [task for task in tasks if not is_missing(task)]
    if not present:
        raise UserError(
            f"none of the {len(tasks)} tasks of {name} has its data; the first: "
            f"{is_missing(tasks[0])}"
        )
    return present


def rates_of(name: str) -> list[float]:
    """How often each of `tasks_of(name)` is drawn, summing to 1."""
    found: Any = get(name)
    if not hasattr(found, "tasks"):
        return [1.0]
    with _each_counted_once():
        of_task = found.rates()
    rates = [of_task[task.name] for task in tasks_of(name)]
    return [rate / sum(rates) for rate in rates]


def is_missing(task: AnyTask, split: str | None = None) -> MissingDataError | None:
    """Why the data of a split, by default a task's first, cannot be had, where it cannot."""
    if isinstance(task, Task):
        try:
            _as_read(task).fingerprint(split or next(iter(task.splits)))
        except MissingDataError as error:
            return error
    return None


def check_mixture(name: str) -> None:
    """Says which tasks of a mixture are missing, and at what rates the others are drawn.

    Raises UserError where some are and skip_missing is not set.
    """
    declared = list(getattr(get(name), "tasks", []))
    missing = [task for task in declared if is_missing(task)]
    if not missing:
        return
    about = (
        f"{len(missing)} of {len(declared)} tasks of {name} have no data: "
        f"{', '.join(task.name for task in missing)}"
    )
    if not skip_missing():
        raise UserError(
            f"{about}; `tk-instruct tasks prepare {name}` downloads what TFDS can, `tasks doctor` "
            f"tells more, and --skip_missing does without them. The first: {is_missing(missing[0])}"
        )
    rates = sorted(zip(rates_of(name), tasks_of(name), strict=True), key=lambda pair: -pair[0])
    rows = [("task", "rate", "train examples")] + [
        (task.name, f"{rate:.2%}", f"{task.num_input_examples('train'):,}") for rate, task in rates
    ]
    log.info("%s; the others and the rates that they are drawn at:\n%s", about, table(rows))


@gin.configurable(module="values.tk_instruct")
def subset(name: str, task: str) -> str:
    """Declares (once) `NAME.TASK`, the part of a task that comes from one of its constituents.

    In gin files it is @tk_instruct.subset(). SeqIO refuses some of the characters that names of
    constituents have: `-` becomes `#2d`.
    """
    subset_name = f"{name}.{re.sub(r'[^A-Za-z0-9_.]', lambda c: f'#{ord(c[0]):x}', task)}"
    if subset_name not in _added:
        get(name)  # says what is near where there is none
        whole = declared(name)
        if not isinstance(whole, Task) or whole.source.narrow is None:
            raise UserError(f"{name!r} has no parts to choose {task!r} from; leave it out")
        add(replace(whole, name=subset_name, source=whole.source.narrow(task)))
    return subset_name
