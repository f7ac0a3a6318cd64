"""Gives gin the settings of files and flags, and checks each value and its use."""

import contextlib
import difflib
import importlib
import importlib.util  # gin-config uses it without importing it
import inspect
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import pairwise
from typing import Any, TypeVar

import gin

from tk_instruct import suite
from tk_instruct.configuration import gin_files, values
from tk_instruct.configuration.gin_files import Key, Macro, Reference, Setting
from tk_instruct.errors import UserError
from tk_instruct.quiet_tensorflow import import_tensorflow_quietly

T = TypeVar("T")


def load(
    run_file: str, paths: Sequence[str], bindings: Sequence[str], takes_recipes: bool = False
) -> dict[Key, Setting]:
    """Reads a shipped run file, gin files, then the bindings, and checks every value and its use.

    Clears gin's earlier configuration, so only these files and bindings count. Returns the
    parameters that have an effect, with the settings that give their values: macros are followed.

    Args:
        run_file: a shipped file, such as runs/train.gin.
        paths: the gin files, as --gin_file names them.
        bindings: texts `NAME = VALUE`, the value as it was typed.
        takes_recipes: whether the files may set macros that only training with our engine uses.

    Raises:
        UserError: a value is not of its field's type, a file or a binding has no effect, or a macro
            is not set. The message has the place and the most similar name that exists.
    """
    settings = _read(run_file, paths, bindings, takes_recipes)
    _import_macro_module(settings)
    _refuse_unused(settings, gin_files.is_read_by_code, takes_recipes)
    _refuse_unset(settings)
    fields, last = _Fields(settings), gin_files.final(settings)
    used = gin_files.in_use(list(last.values()), gin_files.is_read_by_code)
    given = {key: _given(last[key], last) for key in sorted(used) if not key.is_macro}
    return {
        key: replace(setting, value=_typed(setting, setting.value, fields.of(key)))
        for key, setting in given.items()
    }


def load_part(run_file: str, paths: Sequence[str], bindings: Sequence[str]) -> None:
    """Like load, for a verb that uses only the data of a recipe. Other macros may be unset."""
    settings = _read(run_file, paths, bindings, takes_recipes=True)
    _import_macro_module(settings)
    _refuse_unused(
        settings,
        lambda selector: _is_of_data(selector) and gin_files.is_read_by_code(selector),
        takes_recipes=True,
    )


def load_data_of(description: str, where: str) -> None:
    """Binds the data settings in the text of a run's gin configuration. Runs no code of the text.

    Binds only parameters of configurables that read data, to literals or to results of such
    configurables. Skips all other settings and the imports of other modules.

    Raises UserError if the text is not valid gin or a value is not of its field's type.
    """
    suite.import_configurables()
    statements = gin_files.parse(description, where)
    for statement in statements:
        _import_data_module(getattr(statement, "module", ""))
    settings = gin_files.resolved(gin_files.settings_of(statements, where))
    macros = {s.key.scope: s.value for s in settings if s.key.is_macro}
    for setting in settings:
        value, seen = setting.value, set[str]()
        while isinstance(value, Macro) and value.name not in seen:
            seen.add(value.name)
            value = macros.get(value.name)
        key = setting.key
        if key.scope or not _is_of_data(key.selector) or key.parameter == "cache_dir":
            continue
        wanted = values.annotations(key.selector).get(key.parameter)
        if isinstance(value, Reference) and value.evaluate and _is_of_data(_selector(value)):
            gin.parse_config(f"{key} = @{_selector(value)}()")
        elif wanted is not None and not any(gin_files.references(value)):
            gin.bind_parameter(tuple(key), _typed(setting, value, [wanted]))


def configured(configurable: Callable[..., T]) -> T:
    """The result of a configurable that gin calls. Raises UserError if a parameter has no value."""
    try:
        return gin.get_configurable(configurable)()
    except RecursionError as error:
        raise UserError(
            "gin: a function's result, @NAME(), is a value of its own parameters, in a circle; "
            "give another value in the last file or --gin.NAME=VALUE that refers to one"
        ) from error
    except UserError as error:  # gin changes its class and adds the calls to its message
        raise UserError(str(error).split("\n  In call to configurable")[0]) from error.__cause__
    except TypeError as error:
        missing = re.search(r"(\w+)\.__init__\(\) missing .*: (.*)", str(error).splitlines()[0])
        if not missing:
            raise
        fields = re.findall(r"'(\w+)'", missing[2])
        raise UserError(
            f"gin: {missing[1]} needs {', '.join(fields)}; give "
            f"--gin.{missing[1]}.{fields[0]}=VALUE and so on, or a gin file that sets them"
        ) from error


@gin.configurable(module="tk_instruct")
def task_module(name: str | None = None) -> str | None:
    """The module that declares a recipe's tasks to SeqIO: the macro MIXTURE_OR_TASK_MODULE."""
    return name


def _import_macro_module(settings: Sequence[Setting]) -> None:
    """Imports MIXTURE_OR_TASK_MODULE. Raises UserError if a file sets it to an untrusted module."""
    said = gin_files.final(settings).get(Key("MIXTURE_OR_TASK_MODULE", gin_files.MACRO, "value"))
    if said is None or (name := task_module()) is None:
        return
    trusted = gin_files.is_trusted(name) or name.startswith(f"{gin_files.PACKAGE}.")
    if not (said.place.startswith("--gin.") or trusted):
        raise UserError(
            f"{said.place}: MIXTURE_OR_TASK_MODULE={name!r} would run that module's code; if you "
            f"trust it, give --import {name} too"
        )
    import_task_module(name, said.place)


def import_task_module(name: str, where: str) -> None:
    """Imports a user's module that declares tasks.

    Also searches the current folder, as `python -m` does, but after all installed modules. Raises
    UserError if the module is not found.
    """
    if not all(part.isidentifier() for part in name.split(".")):
        raise UserError(f"{where} {name!r} must be a module's name, such as mine.tasks")
    if not {"", os.getcwd()} & set(sys.path):
        sys.path.append(os.getcwd())
    try:
        top = name.partition(".")[0]
        if top not in sys.modules and importlib.util.find_spec(top) is None:
            raise ModuleNotFoundError(f"No module named {top!r}")
        import_tensorflow_quietly()  # the module imports SeqIO, which imports TensorFlow
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise UserError(
            f"{where} {name}: {error}; give the name of a module in this folder, or of one that "
            "Python finds, with its folder in PYTHONPATH"
        ) from error


def _import_data_module(name: str) -> None:
    """Imports a module of this project if it reads data."""
    if name.startswith(_data_modules()):
        with contextlib.suppress(ImportError):  # another version may have had the module
            importlib.import_module(name)


def _selector(reference: Reference) -> str:
    return gin_files.selector_of(reference.name.rpartition("/")[2])


@cache
def _data_modules() -> tuple[str, ...]:
    """The prefixes of the names of modules that read data."""
    modules = (module for each in suite.suites().values() for module in each.configurables)
    return ("tk_instruct.data.", "tk_instruct.tasks.", *modules)


def _is_of_data(selector: str) -> bool:
    """Whether a configurable is in a module that reads data."""
    if selector not in gin.config._REGISTRY:
        return False
    return gin.config._REGISTRY[selector].wrapped.__module__.startswith(_data_modules())


def _read(
    run_file: str, paths: Sequence[str], bindings: Sequence[str], takes_recipes: bool
) -> list[Setting]:
    """Gives gin the settings of files and bindings, each converted to its field's type.

    Returns all settings in order. Raises UserError as load does for a file or a value.
    """
    settings = list(gin_files.read_file(run_file, given=None))
    for path in paths:
        settings += gin_files.read_file(path, given=path)
    gin.clear_config()
    gin.config._LOCATION_PREFIXES[:] = gin_files.prefixes()
    # Gin also searches Python packages, and mistakes a folder runs/ or models/ here for one.
    gin.config._FILE_READERS[:] = [(gin_files.open_file, gin_files.exists)]
    try:
        gin.parse_config_files_and_bindings(
            [str(gin_files.shipped() / run_file), *paths], [], finalize_config=False
        )
        settings = gin_files.resolved(settings)
        fields = _Fields([*settings, *(_training_settings() if takes_recipes else ())])
        for binding in bindings:
            name, text = gin_files.split_binding(binding)
            [setting] = gin_files.resolved([gin_files.read_binding(f"{name} = None")])
            text = values.read_text(text, fields.of(setting.key))
            read = gin_files.read_binding(f"{name} = {text}")  # its errors say more than gin's
            gin.parse_config(f"{name} = {text}")
            settings += gin_files.resolved([read])
    except UserError:
        raise
    except Exception as error:  # gin adds the place to errors of any class
        raise UserError(f"gin: {_explained(error)}") from error
    last = gin_files.final(settings)
    for setting in last.values():
        _refuse_circle(setting, last)
        if takes_recipes and setting.value is None:
            continue  # t5x takes None for some parameters, our engine does not
        value = _typed(setting, setting.value, fields.of(setting.key))
        if value is not setting.value:
            gin.bind_parameter(tuple(setting.key), value)
    return settings


def _refuse_circle(setting: Setting, last: dict[Key, Setting]) -> None:
    chain = [setting]
    while isinstance(value := chain[-1].value, Macro):
        following = last.get(Key(value.name, gin_files.MACRO, "value"))
        if following is None:
            return
        if following in chain:
            circle = ", ".join(map(str, chain))
            raise UserError(f"gin: {circle} refer to each other in a circle; give one a value")
        chain.append(following)


def _given(setting: Setting, last: dict[Key, Setting]) -> Setting:
    """The setting that gives a parameter its value, which may be that of a macro."""

    def given(name: str) -> Setting:
        return last[Key(name, gin_files.MACRO, "value")]

    def followed(value: Any) -> Any:
        if isinstance(value, Macro):
            return followed(given(value.name).value)
        if isinstance(value, Reference):
            return value
        if isinstance(value, Mapping):
            return {followed(name): followed(part) for name, part in value.items()}
        return type(value)(map(followed, value)) if isinstance(value, list | tuple) else value

    while isinstance(setting.value, Macro):
        setting = given(setting.value.name)
    return replace(setting, value=followed(setting.value))


@cache
def _training_settings() -> tuple[Setting, ...]:
    import tk_instruct.train_run  # noqa: F401  (registers the configurables of runs/train.gin)

    return tuple(gin_files.resolved(gin_files.read_file("runs/train.gin", given=None)))


class _Fields:
    """The types of the fields that macros and parameters fill, found by following the settings."""

    def __init__(self, settings: Sequence[Setting]) -> None:
        self._users: dict[str, set[Key]] = {}
        for setting in settings:
            if isinstance(setting.value, Macro):
                self._users.setdefault(setting.value.name, set()).add(setting.key)

    def of(self, key: Key, seen: frozenset[Key] = frozenset()) -> list[Any]:
        """The types of the fields that a key's value fills.

        Empty if none is known, as for a macro of t5x or a configurable of another package.
        """
        if not key.is_macro:
            known = gin_files.is_own(key.selector) and key.selector in gin.config._REGISTRY
            found = values.annotations(key.selector) if known else {}
            return [found[key.parameter]] if key.parameter in found else []
        users = sorted(self._users.get(key.scope, set()) - seen)
        return [field for user in users for field in self.of(user, seen | {key})]


def _typed(setting: Setting, value: Any, fields: Iterable[Any]) -> Any:
    """A literal converted to its fields' types; other values are checked and stay as they are.

    Raises UserError with the place, the value and the rule.
    """
    for field in fields:
        try:
            if isinstance(value, Reference) and not value.evaluate:
                values.check_referable(field)
            elif isinstance(value, Reference) and gin_files.is_own(selector := _selector(value)):
                values.check_result(selector, field)
            elif not any(gin_files.references(value)):
                value = values.read(value, field)
        except ValueError as error:
            shown = f"{setting.value!r:.200}"
            raise UserError(f"{setting.place}: {setting.key}={shown} {error}") from error
    return value


def _explained(error: Exception) -> str:
    message = " ".join(str(error).split())
    unknown = re.search(r"Configurable '([\w.]+)' doesn't have a parameter named '(\w+)'", message)
    if unknown:
        parameters = list(inspect.signature(gin.get_configurable(unknown[1])).parameters)
        near = difflib.get_close_matches(unknown[2], parameters, n=1)
        few = f"it has {', '.join(parameters) or 'none'}; " if len(parameters) < 8 else ""
        hint = f"did you mean {near[0]}?" if near else f"{few}leave it out"
        return f"{unknown[1]} has no parameter {unknown[2]!r}; {hint}"
    gone = re.search(rf"No module named '({gin_files.PACKAGE}\.[\w.]+)'", message)
    if gone:
        return (
            f"there is no module {gone[1]} (any more); leave its import out, suites are known "
            "without one, or see in CHANGELOG.md where it went"
        )
    denied = re.search(r"Configurable '([\w.]+)' has denylisted kwarg '(\w+)'", message)
    if denied:
        return f"{denied[1]}.{denied[2]} says where is written, not for gin to say; leave it out"
    nothing = re.search(r"No configurable matching (?:reference )?'@?(?:\w+/)*([\w.]+)", message)
    if nothing:
        names = [name.rpartition(".")[2] for name, _ in gin.config._REGISTRY.items()]
        near = difflib.get_close_matches(nothing[1], names, n=1)
        hint = f"did you mean {near[0]}?" if near else "give --import MODULE that declares it"
        return f"nothing here is called {nothing[1]!r}; {hint}"
    return message


def _refuse_unused(
    settings: Sequence[Setting], is_read: Callable[[str], bool], takes_recipes: bool
) -> None:
    """Raises UserError for a file or a binding that changes nothing. Names what overrides it.

    A file's setting may be without effect if it had one before a later file or flag.
    """
    last = gin_files.final(settings)
    now = gin_files.in_use(list(last.values()), is_read)
    # The keys in use at the end of each file. A setting may be in use there, and overridden later.
    ends = [n for n, (a, b) in enumerate(pairwise(settings), 1) if a.file != b.file]
    in_use_at: dict[int, set[Key]] = {}
    for end in ends:
        so_far = list(gin_files.final(settings[:end]).values())
        in_use_at[end] = gin_files.in_use(so_far, is_read)
    numbers = {id(setting): number for number, setting in enumerate(settings)}
    by_given: dict[str, list[Setting]] = {}
    for setting in settings:
        if setting.given is not None:
            by_given.setdefault(setting.given, []).append(setting)
    recipe_macros = _macros_of_recipes() if takes_recipes else frozenset[str]()
    for given, own in by_given.items():
        is_flag = given.startswith("--gin.")
        has_effect = is_flag
        for setting in own:
            key = setting.key
            if key in now:
                has_effect |= last[key] is setting
                continue
            once = (used for end, used in in_use_at.items() if end > numbers[id(setting)])
            if not is_flag and (key.scope in recipe_macros or any(key in used for used in once)):
                has_effect |= key.scope in recipe_macros
                continue
            if is_flag or not takes_recipes:
                raise UserError(_useless(setting, settings, now))
        if own and not has_effect:
            changed = (s for s in own if s.key not in now or last[s.key].value != s.value)
            useless = next(changed, own[0])
            why = _useless(useless, settings, now)
            raise UserError(f"--gin_file={given} changes nothing: {why}")


def _useless(setting: Setting, settings: Sequence[Setting], now: set[Key]) -> str:
    """Why a setting has no effect, for a message: what overrides it, or that nothing uses it."""
    key, last = setting.key, gin_files.final(settings)
    if key in now:
        return f"{setting} is overridden by {last[key]}; leave it out, or give it after that"
    users = [s.key for s in settings if Macro(key.scope) in gin_files.references(s.value)]
    if key.is_macro and not users:
        return f"{setting.place}: gin macro {key} is used by nothing{_hint(key.scope, settings)}"
    scopes = sorted(k for k in now if k[1:] == key[1:]) if not key.is_macro else []
    if scopes:
        return f"{setting} is overridden wherever it is used, as by {last[scopes[0]]}; set that one"
    rebound = next((user for user in users if user in now), None)
    if key.is_macro and rebound:
        return f"{setting} is used by {rebound} alone, which {last[rebound]} sets; leave one out"
    selector = next((user.selector for user in users), key.selector)
    name = gin.config._REGISTRY.minimal_selector(selector) if users or not key.is_macro else key
    by = f" is used by {users[0]} alone, and" if key.is_macro else ":"
    sites = [*settings, *_shipped_settings()]
    places = {s.key for s in sites if selector in map(_selector, _called(s.value))}
    instead = sorted(str(last[place]) for place in places if place in last)
    other = f"{'; '.join(instead)} does not refer to it: change one of the two"
    return f"{setting}{by} {name} is used by nothing{f', {other}' if instead else '; leave it out'}"


def _called(value: Any) -> Iterator[Reference]:
    return (found for found in gin_files.references(value) if isinstance(found, Reference))


def _hint(name: str, settings: Sequence[Setting]) -> str:
    used = {r.name for s in settings for r in gin_files.references(s.value) if isinstance(r, Macro)}
    if near := difflib.get_close_matches(name, sorted(used), n=1):
        return f"; did you mean {near[0]}?"
    elsewhere = sorted(
        {s.place.rpartition(":")[0] for s in _shipped_settings() if s.value == Macro(name)}
    )
    return f"; it is a macro of {', '.join(elsewhere)}" if elsewhere else "; leave it out"


def _refuse_unset(settings: Sequence[Setting]) -> None:
    last = gin_files.final(settings)
    now = gin_files.in_use(list(last.values()), gin_files.is_read_by_code)
    used = {
        reference.name
        for key in now
        for reference in gin_files.references(last[key].value)
        if isinstance(reference, Macro)
    }
    unset = sorted(used - {key.scope for key in last if key.is_macro})
    if unset:
        name, others = unset[0], f"; also not set: {', '.join(unset[1:])}" if unset[1:] else ""
        raise UserError(
            f"gin macro {name} is not set; give --gin.{name}=VALUE, or a recipe that sets it "
            f"with --gin_file (recipes/smoke.gin){others}"
        )


@cache
def _shipped_settings() -> tuple[Setting, ...]:
    """The settings of every shipped file, without following includes, and of the suites."""
    folder = gin_files.shipped()
    text = suite.gin_settings()
    found = list(gin_files.settings_of(gin_files.parse(text, gin_files.SUITES), gin_files.SUITES))
    for path in sorted(folder.rglob("*.gin")):
        name = str(path.relative_to(folder))
        text = path.read_text(encoding="utf-8")
        found += gin_files.settings_of(gin_files.parse(text, name), name)
    return tuple(found)


@cache
def _macros_of_recipes() -> frozenset[str]:
    """The names of the macros that shipped files refer to."""
    found = (r for s in _shipped_settings() for r in gin_files.references(s.value))
    return frozenset(reference.name for reference in found if isinstance(reference, Macro))
