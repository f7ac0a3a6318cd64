"""The contract of a suite: an instruction data set with all that its paper defines.

A suite is a package whose `__init__` has a `SUITE` and imports little. Suites are found in the
folder tk_instruct.tasks, and in other packages that name theirs as an entry point:

  [project.entry-points."tk_instruct.suites"]
  mine = "my_package:SUITE"

A suite names its parts as "module" or "module:attribute". They are imported on first use, so that
listing suites and printing help stay fast.
"""

import argparse
import importlib
import importlib.metadata
import pkgutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from tk_instruct.errors import UserError

ENTRY_POINTS = "tk_instruct.suites"
_OWN = "tk_instruct.tasks"
# Modules with the gin configurables that all suites share.
_CONFIGURABLES = ("tk_instruct.data.registry", "tk_instruct.data.tfds_source")


@dataclass(frozen=True)
class Flag:
    """A setting of a suite's data: a flag of every verb that reads tasks, and a gin macro.

    Attributes:
        binds: the gin parameter that the flag and the macro set.
        macro: the macro's name in recipes, or None if there is only the flag.
        type: text → value. Raises argparse's errors.
        options: further arguments of argparse's add_argument, such as nargs.
        is_place: whether it says where data lies, so that another value is no other experiment.
    """

    name: str
    binds: str
    help: str
    metavar: str | None = None
    macro: str | None = None
    type: Callable[[str], Any] = str
    options: Mapping[str, Any] = field(default_factory=dict)
    is_place: bool = False


@dataclass(frozen=True)
class TaskForm:
    """A form of files that a suite's tasks have, for `convert-tasks`.

    Attributes:
        read: a function paths → iterator of TaskFile.
        told_by: the fields of a JSON file by which the form is known, or none if only --from
            names it.
    """

    read: str
    told_by: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Suite:
    """What the verbs need to know of a suite. Only name and summary are required.

    Attributes:
        configurables: modules that register the suite's gin configurables. They import little.
        flags: the settings of its data.
        seeds: the gin parameters that --seed and RANDOM_SEED set.
        tasks: a module whose `declared()` gives tasks and mixtures. It imports little. If there
            are more, which depend on the data in use, its `declared_in_data()` gives them by name.
            It is called at each look-up of another name, so it must remember what it has read.
        mixtures: a module that declares tasks to SeqIO when it is imported. A suite with `tasks`
            needs it only for programs that use SeqIO, such as upstream t5x.
        evaluations: value of `evaluate --suite` → a module with add_arguments(parser) and
            main(args).
        doctor: a function args → Diagnosis.
        mini: a module with add_arguments(parser) and main(args), which writes synthetic data into
            args.directory.
        baselines: value of `predict --baseline` → a function example → answer. It predicts this
            suite's tasks alone, so other suites may have one of the same name.
        labelled: a function (name of a task, splits) → the labelled examples that are not evaluated
            in these splits (tk_instruct.inference.heuristics.Labelled), for baselines that know a
            task's labels. Without it they are those of the task's split train.
        scores: a tk_instruct.scores.SuiteScores, which `report` uses.
        published: a function without arguments that gives the suite's published scores
            (tk_instruct.published), which `evaluate --published` shows beside ours.
        task_forms: value of `convert-tasks --from` → a form of the suite's own.
        licence: the text on the data in a model card.
        origins: a function (name of a task, split) → name of each constituent task → names of its
            source datasets, as tk_instruct.data.origins knows them or not. No names: its origin is
            unknown. It reads no examples. Without it the origin of all tasks is unknown.
    """

    name: str
    summary: str
    configurables: tuple[str, ...] = ()
    flags: tuple[Flag, ...] = ()
    seeds: tuple[str, ...] = ()
    tasks: str | None = None
    mixtures: str | None = None
    evaluations: Mapping[str, str] = field(default_factory=dict)
    doctor: str | None = None
    mini: str | None = None
    baselines: Mapping[str, str] = field(default_factory=dict)
    labelled: str | None = None
    scores: str | None = None
    published: str | None = None
    task_forms: Mapping[str, TaskForm] = field(default_factory=dict)
    licence: str = ""
    origins: str | None = None


@dataclass(frozen=True)
class Diagnosis:
    """The result of a suite's doctor.

    Attributes:
        findings: one dataclass for each finding.
        report: the findings as a text for people. May be empty.
        is_well: whether nothing has to be repaired.
    """

    findings: Sequence[Any]
    report: str
    is_well: bool


def part(reference: str) -> Any:
    """Imports a part of a suite, "module" or "module:attribute", and gives it.

    Raises UserError if there is no such module or attribute. Other errors of the module's own code
    stay as they are.
    """
    module, _, attribute = reference.partition(":")
    try:
        loaded = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if not f"{module}.".startswith(f"{error.name}."):
            raise  # the module is there, and imports one that is not
        raise UserError(
            f"a suite has the part {reference!r}, and there is no module {error.name!r}; correct "
            "the suite, or remove the package that has it"
        ) from error
    if attribute and not hasattr(loaded, attribute):
        raise UserError(
            f"a suite has the part {reference!r}, and {module} has no {attribute!r}; correct the "
            "suite, or remove the package that has it"
        )
    return getattr(loaded, attribute) if attribute else loaded


@cache
def suites() -> Mapping[str, Suite]:
    """Name → suite, sorted by name.

    Raises UserError if two suites have the same name, flag, macro, evaluation or form of task
    files, or if one cannot be imported or is not a Suite.
    """
    found: dict[str, Suite] = {}
    for where, suite in _found():
        if not isinstance(suite, Suite):
            raise UserError(f"{where} is a {type(suite).__name__}; it must be a tk_instruct Suite")
        if suite.name in found:
            raise UserError(
                f"{where} is called {suite.name!r}, and another suite is too; rename one of them"
            )
        found[suite.name] = suite
    found = dict(sorted(found.items()))
    _check_names(found.values())
    return found


def _check_names(found: Iterable[Suite]) -> None:
    """Raises UserError if two suites share a flag, macro, evaluation or form of task files."""
    owners: dict[str, str] = {}
    for each in found:
        names = [f"the flag --{flag.name}" for flag in each.flags]
        names += [f"the gin macro {flag.macro}" for flag in each.flags if flag.macro]
        names += [f"the evaluation {name}" for name in each.evaluations]
        names += [f"the form {name} of task files" for name in each.task_forms]
        for name in names:
            if name in owners:
                raise UserError(
                    f"the suites {owners[name]} and {each.name} both have {name}; rename it in one "
                    "of them"
                )
            owners[name] = each.name


def _found() -> Iterator[tuple[str, Any]]:
    package = importlib.import_module(_OWN)
    for module in pkgutil.iter_modules(package.__path__):
        yield f"{_OWN}.{module.name}", part(f"{_OWN}.{module.name}:SUITE")
    for point in importlib.metadata.entry_points(group=ENTRY_POINTS):
        try:
            suite = point.load()
        except Exception as error:  # code of another package may raise any error
            raise UserError(
                f"the suite {point.value} cannot be imported ({type(error).__name__}: {error}); "
                "repair or remove the package that has it"
            ) from error
        yield point.value, suite


def default() -> str:
    """The name of the suite that verbs use without --suite."""
    return part(f"{_OWN}:DEFAULT")


@cache
def import_configurables() -> None:
    """Registers the gin configurables that read data: the shared ones and those of all suites."""
    of_suites = (module for suite in suites().values() for module in suite.configurables)
    for module in (*_CONFIGURABLES, *of_suites):
        part(module)


def gin_settings() -> str:
    """The text of a gin file that binds the suites' macros. The run files include it."""
    lines = []
    for suite in suites().values():
        for flag in suite.flags:
            if flag.macro:
                lines += [f"{flag.macro} = None", f"{flag.binds} = %{flag.macro}"]
        lines += [f"{parameter} = %RANDOM_SEED" for parameter in suite.seeds]
    return "\n".join(lines) + "\n"


def add_suite_argument(
    parser: argparse.ArgumentParser, modules: Mapping[str, str], what: str
) -> None:
    """Adds --suite. modules: name of a suite that has the verb → its module."""
    parser.add_argument(
        "--suite",
        choices=modules,
        default=default(),
        help=f"{what} (default: %(default)s); `--suite NAME --help` shows what it takes",
    )


def add_arguments_of_suite(
    parser: argparse.ArgumentParser, modules: Mapping[str, str], words: Sequence[str]
) -> None:
    """Adds the arguments of the suite that the command line's words choose, as a group.

    Raises UserError for a flag that only another suite has.
    """
    choosing = argparse.ArgumentParser(add_help=False)
    choosing.add_argument("--suite", default=default())
    name = choosing.parse_known_args(words)[0].suite
    if name not in modules:
        return  # argparse reports it
    module = part(modules[name])
    module.add_arguments(parser.add_argument_group(f"--suite {name}", module.__doc__))
    known = parser._option_string_actions
    for other, module in modules.items():
        theirs = flags_of(module)
        for word in words:
            flag = word.partition("=")[0]
            if flag in theirs and flag not in known:
                raise UserError(
                    f"{word} is of --suite {other}, not of {name}; leave it out, or give --suite "
                    f"{other}"
                )


def flags_of(module: str) -> Collection[str]:
    """The flags, such as `--split`, that a suite's module adds to a verb."""
    parser = argparse.ArgumentParser(add_help=False)
    part(module).add_arguments(parser)
    return parser._option_string_actions
