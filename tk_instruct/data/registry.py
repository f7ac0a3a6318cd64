"""Finds tasks and mixtures by name, in the suites and in SeqIO's registries.

Suites are read without SeqIO. SeqIO's registries are searched only if SeqIO is already imported.
"""

import difflib
import fnmatch
import functools
import logging
import math
import os
import re
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol

import gin

from tk_instruct import suite
from tk_instruct.data import origins
from tk_instruct.data.task import AnyTask, Example, Task, check_split
from tk_instruct.errors import MissingDataError, UserError
from tk_instruct.ranges import check_seed, check_whole
from tk_instruct.tables import table

log = logging.getLogger("tk_instruct")


class AnyMixture(Protocol):
    """A mixture of a suite or of SeqIO's registry."""

    @property
    def name(self) -> str: ...
    @property
    def tasks(self) -> Sequence[AnyTask]:
        """Every task once, sorted by name."""
        ...

    def rates(self) -> Mapping[str, float]:
        """Task name → mixing rate, relative to the other tasks."""
        ...

    @property
    def total_rate(self) -> float: ...


@dataclass(frozen=True, eq=False)
class Mixture:
    """Tasks and mixtures with a rate each: a number, or a function of the task.

    A mixture inside this one shares its rate among its tasks by its own rates. Equal to SeqIO's
    Mixture.
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
        # SeqIO adds mixtures before tasks. The same order gives the same sums of floats.
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
    """A mixture whose rates are the tasks' numbers of train examples.

    A rate is at most most_examples (the artificial limit of examples-proportional mixing, Raffel
    et al. 2020, section 3.5.2).
    """

    def rate(task: AnyTask) -> float:
        return min(_num_train_examples(task), most_examples)

    return Mixture(name, dict.fromkeys(tasks, rate))


# Task name → number of train examples, inside _each_counted_once.
_counted: dict[str, float] | None = None


@contextmanager
def _each_counted_once() -> Iterator[None]:
    """Counts each task's examples once. Nested mixtures ask for the same rates many times."""
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
    """Whether mixtures leave out the tasks whose data is missing (--skip_missing)."""
    return enabled


@gin.configurable(module="tk_instruct")
def use_cached_tasks(enabled: bool = False, directories: tuple[str, ...] = ()) -> list[str] | None:
    """The directories of SeqIO's caches if tasks are read from them (USE_CACHED_TASKS), else None.

    SeqIO searches its own global cache directories before these.
    """
    if isinstance(directories, str) or not all(isinstance(name, str) for name in directories):
        raise UserError(
            f"SEQIO_CACHE_DIRS={directories!r} must be a list of paths, such as ['DIR']; each is "
            "what seqio_cache_tasks was given as --output_cache_dir"
        )
    return [os.path.expanduser(name) for name in directories] if enabled else None


@gin.configurable(module="tk_instruct")
def training_draws(seed: int = 0, num_train_examples: int | None = None) -> tuple[int, int | None]:
    """RANDOM_SEED and NUM_TRAIN_EXAMPLES of a recipe, for what draws examples as training does.

    Raises UserError for a number that no training run can have.
    """
    check_seed("RANDOM_SEED", seed)
    if num_train_examples is not None:
        check_whole("NUM_TRAIN_EXAMPLES", num_train_examples, 1, 2**31 - 1)
    return seed, num_train_examples


# A function that the `tasks` module of a suite may have beside `declared`.
_IN_DATA = "declared_in_data"
# Tasks and mixtures that add() has declared.
_added: dict[str, Task | Mixture] = {}
# Name of a subset → the names of the task that it is part of, and of its one constituent.
_subsets: dict[str, tuple[str, str]] = {}


def add(declared: Task | Mixture) -> None:
    """Declares a task or mixture. It replaces any other of the same name."""
    _added[declared.name] = declared


@functools.cache
def _declared_by_suites() -> Mapping[str, tuple[str, Task | Mixture]]:
    """Name of a task or mixture → its suite's name, and the task or mixture."""
    found: dict[str, tuple[str, Task | Mixture]] = {}
    for name, each in suite.suites().items():
        for declared in suite.part(f"{each.tasks}:declared")() if each.tasks else ():
            if declared.name in found:
                raise UserError(
                    f"{declared.name} is declared by the suites {found[declared.name][0]} and "
                    f"{name}; rename one of them"
                )
            found[declared.name] = name, declared
    return found


def _declared_in_data() -> Iterator[tuple[str, Mapping[str, Task | Mixture]]]:
    """Each suite whose data names further tasks, with what the data in use declares."""
    for name, each in suite.suites().items():
        if each.tasks and (declared_in_data := getattr(suite.part(each.tasks), _IN_DATA, None)):
            yield name, declared_in_data()


def _find(name: str) -> tuple[str, Task | Mixture] | None:
    """A declared task or mixture and its suite. Reads data only for names that are in no code."""
    if name in _declared_by_suites():
        return _declared_by_suites()[name]
    return next(
        ((of, in_data[name]) for of, in_data in _declared_in_data() if name in in_data), None
    )


def suite_of(name: str) -> suite.Suite | None:
    """The suite that declares a task or mixture. For `NAME.TASK` (see subset) that of NAME."""
    while name:
        if found := _find(name):
            return suite.suites()[found[0]]
        name = name.rpartition(".")[0]
    return None


def declared_by(name: str) -> list[Task | Mixture]:
    """All tasks and mixtures of a suite, also those of the data in use."""
    found = {d.name: d for of, d in _declared_by_suites().values() if of == name}
    for of, in_data in _declared_in_data():
        found |= {} if of != name else in_data
    return list(found.values())


def _import_seqio_suites() -> None:
    """Imports the suites that declare their tasks only to SeqIO."""
    for each in suite.suites().values():
        if each.mixtures and not each.tasks:
            suite.part(each.mixtures)


def _from_seqio() -> Any:
    """The module that reads SeqIO's registries, or None if SeqIO is not imported."""
    if "seqio" not in sys.modules:
        return None
    from tk_instruct.data.seqio_bridge import tasks

    return tasks


def names(pattern: str = "*") -> list[str]:
    """The sorted names of tasks and mixtures that match a shell pattern or contain the text.

    A task that is not listed matches by its full name alone.
    """
    is_listed = _all_names()
    has_wildcards = any(character in pattern for character in "*?[")
    found = {
        name
        for name in is_listed
        if is_listed[name]
        and (fnmatch.fnmatchcase(name, pattern) if has_wildcards else pattern in name)
    }
    return sorted(found | ({pattern} & is_listed.keys()))


def _all_names() -> dict[str, bool]:
    """Name of a task or mixture → whether it is listed."""
    _import_seqio_suites()
    foreign = _from_seqio()
    own: dict[str, Task | Mixture] = {n: of for n, (_, of) in _declared_by_suites().items()}
    for _, in_data in _declared_in_data():
        own |= in_data
    own |= _added
    found = dict.fromkeys(foreign.names() if foreign else (), True)
    return found | {n: of.is_listed if isinstance(of, Task) else True for n, of in own.items()}


def declared(name: str) -> Task | Mixture | None:
    """The task or mixture of that name in this project's suites, as it was declared, or None."""
    if name in _added:
        return _added[name]
    found = _find(name)
    return found[1] if found else None


def get(name: str) -> AnyTask | AnyMixture:
    """The task or mixture of that name.

    Raises UserError with the most similar name if none is declared.
    """
    own = declared(name)
    if own is not None:
        return _as_read(own) if isinstance(own, Task) else own
    _import_seqio_suites()
    if foreign := _from_seqio():
        found = foreign.find(name, lambda task: _as_read(declared(task)), use_cached_tasks())
        if found is not None:
            return found
    near = difflib.get_close_matches(name, sorted(_all_names()), n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise UserError(
        f"task or mixture {name!r} is not declared; {hint}`tk-instruct tasks list` shows all"
    )


def _as_read(task: Any) -> Any:
    """The task. If use_cached_tasks is set, its examples come from SeqIO's cache."""
    if not isinstance(task, Task) or (directories := use_cached_tasks()) is None:
        return task
    from tk_instruct.data.seqio_bridge import cache

    return cache.cached_task(task, directories)


def examples_of(name: str, split: str, ids: Collection[str]) -> dict[str, Example]:
    """Id → example as texts, of the examples of a task or mixture that have these ids.

    Raises UserError for an unknown name, and where data is missing.
    """
    found: dict[str, Example] = {}
    for task in tasks_of(name):
        for example in task.texts(split):
            if example["id"] in ids:
                found[example["id"]] = example
            if len(found) == len(ids):
                return found
    return found


def tasks_of(name: str) -> list[AnyTask]:
    """The tasks of a mixture, or the task itself.

    With skip_missing, only the tasks of a mixture that have their data. Raises UserError if none
    has.
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


def origins_of_tasks(name: str, split: str) -> Mapping[str, frozenset[str]]:
    """Constituent task of a task or mixture → its source datasets in the table; empty: unknown.

    Raises UserError for an unknown name or split, and where lists of tasks are missing.
    """
    found: dict[str, frozenset[str]] = {}
    for task in tasks_of(name):
        check_split(task, split)
        whole, only = whole_of(task.name)
        owner = suite_of(whole)
        given: Mapping[str, Collection[str]] = {only or whole: ()}
        if owner and owner.origins:
            given = suite.part(owner.origins)(whole, split)
        for constituent, datasets in given.items():
            if only in (None, constituent):
                known = frozenset(filter(None, map(origins.canonical, datasets)))
                found[constituent] = found.get(constituent, frozenset()) | known
    return found


def rates_of(name: str) -> list[float]:
    """The mixing rate of each of `tasks_of(name)`. The rates sum to 1."""
    found: Any = get(name)
    if not hasattr(found, "tasks"):
        return [1.0]
    with _each_counted_once():
        of_task = found.rates()
    rates = [of_task[task.name] for task in tasks_of(name)]
    return [rate / sum(rates) for rate in rates]


def is_missing(task: AnyTask, split: str | None = None) -> MissingDataError | None:
    """The error that says why a split's data is missing, or None. By default the first split."""
    if isinstance(task, Task):
        try:
            _as_read(task).fingerprint(split or next(iter(task.splits)))
        except MissingDataError as error:
            return error
    return None


def check_mixture(name: str) -> None:
    """Logs which tasks of a mixture lack their data, and the rates of the others.

    Raises UserError if some lack it and skip_missing is not set.
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
    """Declares `NAME.TASK`, the examples of NAME that come from one constituent; gives its name.

    Gin files call it as @tk_instruct.subset(). SeqIO refuses some characters that constituents'
    names have, so each is written by its code: `-` becomes `#2d`. Raises UserError if NAME is not
    declared or has no constituents.
    """
    subset_name = f"{name}.{re.sub(r'[^A-Za-z0-9_.]', lambda c: f'#{ord(c[0]):x}', task)}"
    if subset_name not in _added:
        get(name)  # for its error, which has the most similar name
        whole = declared(name)
        if not isinstance(whole, Task) or whole.source.narrow is None:
            raise UserError(f"{name!r} has no parts to choose {task!r} from; leave it out")
        add(replace(whole, name=subset_name, source=whole.source.narrow(task)))
        _subsets[subset_name] = name, task
    return subset_name


def whole_of(name: str) -> tuple[str, str | None]:
    """The name of the task that a subset is part of, and of its constituent; else NAME and None."""
    return _subsets.get(name, (name, None))
