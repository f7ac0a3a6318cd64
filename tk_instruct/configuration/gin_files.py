"""Reads gin files and `NAME = VALUE` bindings into lists of settings, before gin reads them.

So each value's place is known, imports are checked before they run, and settings that nothing uses
are found.
"""

import os
import re
import tokenize
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import gin
from gin import config_parser

from tk_instruct import suite
from tk_instruct.errors import UserError
from tk_instruct.files import read_bytes

PACKAGE = "tk_instruct"
# Run files include a file of this name. It is not on disk: suite.gin_settings() makes its text.
SUITES = "suites.gin"
# Gin modules of configurables that have an effect only if a value refers to them (@NAME or
# @NAME()). All other configurables of this project are in gin module PACKAGE.
REFERRED = ("optim.", "values.")
MACRO = "gin.macro"
_MOST_BYTES = 10**6
_MOST_NESTED = 10  # levels of includes; if each file includes the next twice, the work doubles
_CLOSED_BY = {"(": ")", "[": "]", "{": "}"}


class Key(NamedTuple):
    """The target of a setting: a macro (scope is its name) or a parameter of a configurable."""

    scope: str
    selector: str
    parameter: str

    def __str__(self) -> str:
        if self.selector == MACRO:
            return self.scope
        scope = f"{self.scope}/" if self.scope else ""
        return f"{scope}{gin.config._REGISTRY.minimal_selector(self.selector)}.{self.parameter}"

    @property
    def is_macro(self) -> bool:
        return self.selector == MACRO


class Reference(NamedTuple):
    """@scope/name or @scope/name() as a value."""

    name: str
    evaluate: bool

    def __repr__(self) -> str:
        return f"@{self.name}{'()' * self.evaluate}"


class Macro(NamedTuple):
    """%NAME as a value."""

    name: str

    def __repr__(self) -> str:
        return f"%{self.name}"


@dataclass(frozen=True)
class Setting:
    """A value that a file or a flag sets.

    Attributes:
        place: `FILE:LINE`, or the flag.
        given: the file or flag on the command line through which the setting came. None for the
            verb's own run file.
    """

    key: Key
    value: Any
    place: str
    given: str | None

    def __str__(self) -> str:
        return f"{self.key}={self.value!r} ({self.place})"

    @property
    def file(self) -> str:
        return self.place.rpartition(":")[0]


@cache
def shipped() -> Path:
    """The folder of shipped gin files: beside the package in a checkout, in it when installed."""
    package = Path(__file__).parents[1]
    return next(
        folder
        for folder in (package / "gin", package.parent / "gin")
        if (folder / "runs" / "train.gin").exists()
    )


class _Delegate(config_parser.ParserDelegate):
    def configurable_reference(self, scoped_configurable_name: str, evaluate: bool) -> Reference:
        return Reference(scoped_configurable_name, evaluate)

    def macro(self, macro_name: str) -> Macro:
        return Macro(macro_name)


def read_file(name: str, given: str | None, inside: tuple[Path, ...] = ()) -> Iterator[Setting]:
    """The settings of a file and of the files that it includes, in gin's order.

    Raises UserError if a file cannot be read, is not valid gin, includes itself, or would run code.
    A file that is not shipped may import only this project's modules and those of --import.
    """
    path = find(name)
    around = [file.resolve() for file in inside]
    if path.resolve() in around:
        circle = [*inside[around.index(path.resolve()) :], path]
        chain = " includes ".join(map(str, circle))
        raise UserError(f"gin: {chain}, without end; take out one of the includes")
    if len(inside) >= _MOST_NESTED:
        raise UserError(
            f"gin: {inside[0]} includes files that include others, more than {_MOST_NESTED} deep "
            f"({name}); put what they set into fewer files"
        )
    is_shipped = shipped().resolve() in path.resolve().parents
    if is_shipped and name.startswith(("runs/", "t5x/", SUITES)):
        given = None  # they bind parameters for both engines, so some of them are unused
    for statement in parse(_text_of(path), name):
        match statement:
            case config_parser.IncludeStatement():
                try:
                    find(statement.filename)
                except UserError as error:
                    place = f"{name}:{statement.location.line_num}"
                    raise UserError(f"{error} (included by {place})") from error
                yield from read_file(statement.filename, given, (*inside, path))
            case config_parser.ImportStatement():
                if not is_shipped:
                    _check_import(statement, name)
            case config_parser.BindingStatement():
                yield from settings_of([statement], name, given)


def split_binding(binding: str) -> tuple[str, str]:
    """NAME and VALUE of a text `NAME = VALUE`."""
    name, _, value = binding.partition("=")
    return name.strip(), value.removeprefix(" ")


def read_binding(binding: str) -> Setting:
    """The setting of a text `NAME = VALUE`. Raises UserError if it is not exactly one value."""
    flag = f"--gin.{split_binding(binding)[0]}"
    statements = parse(binding, flag)
    if len(statements) != 1 or not isinstance(statements[0], config_parser.BindingStatement):
        raise UserError(f"{flag}: {binding!r} must be one value; write --gin.NAME=VALUE")
    return _setting(statements[0], flag, flag)


def settings_of(
    statements: Iterable[Any], name: str, given: str | None = None
) -> Iterator[Setting]:
    """The settings among a file's statements."""
    for statement in statements:
        if isinstance(statement, config_parser.BindingStatement):
            yield _setting(statement, f"{name}:{statement.location.line_num}", given)


def _setting(statement: Any, place: str, given: str | None) -> Setting:
    if not statement.arg_name:
        scope = "/".join(filter(None, (statement.scope, statement.selector)))
        return Setting(Key(scope, MACRO, "value"), statement.value, place, given)
    key = Key(statement.scope, statement.selector, statement.arg_name)
    return Setting(key, statement.value, place, given)


def _check_import(statement: Any, name: str) -> None:
    module = statement.module
    if module.split(".")[0] != PACKAGE and not is_trusted(module):
        what = (
            "names objects of any module (dynamic registration)"
            if module.split(".")[0] == "__gin__"
            else f"imports {module}, which runs that module's code"
        )
        raise UserError(
            f"{name}:{statement.location.line_num} {what}; gin files may import only "
            f"{PACKAGE}'s own modules and those that --import names: take the line out or, if you "
            "trust the module, give --import MODULE too"
        )


def is_trusted(module: str) -> bool:
    """Whether --import names a module or a package that contains it."""
    parts = module.split(".")
    return any(".".join(parts[:n]) in _imported for n in range(1, len(parts) + 1))


# The values of --import and --gin_search_paths. They hold for all gin files.
_imported: set[str] = set()
_search_paths: list[Path] = []


def set_surroundings(modules: Iterable[str], search_paths: Iterable[str]) -> None:
    """Sets the modules that gin files may import beside this project's, and the search paths.

    Raises UserError if a search path is not a directory.
    """
    _imported.clear()
    _imported.update(modules)
    _search_paths[:] = [Path(path).expanduser() for path in search_paths]
    for path in _search_paths:
        if not path.is_dir():
            raise UserError(f"--gin_search_paths: {path} is no directory; correct the path")


def prefixes() -> list[str]:
    """The folders in which gin searches included files, in order."""
    return ["", *map(str, _search_paths), str(shipped())]


def open_file(path: str) -> StringIO:
    """A gin file's text, for gin to read. Leaves a byte order mark out."""
    if is_of_suites(path):
        suite.import_configurables()
        return StringIO(suite.gin_settings())
    with open(path, encoding="utf-8-sig") as file:
        return StringIO(file.read())


def is_of_suites(path: str) -> bool:
    """Whether a path names the file of the suites' settings, SUITES."""
    return os.path.basename(path) == SUITES


def exists(path: str) -> bool:
    """Whether there is a gin file to open."""
    return os.path.isfile(path) or is_of_suites(path)


def find(name: str) -> Path:
    """The path of a gin file: here, in the search paths, or among the shipped files.

    Raises UserError with the most similar name if there is none.
    """
    if name == SUITES:
        return shipped() / SUITES
    for path in (Path(name), *(folder / name for folder in _search_paths), shipped() / name):
        # os.path's functions give False for a name that is too long. Path's raise.
        if os.path.isfile(path):
            return path
        if os.path.exists(path) and not os.path.isdir(path):
            raise UserError(
                f"gin: {name} is a pipe or a device, and a gin file is read more than once; write "
                "it to a file"
            )
    import difflib

    known = sorted(path.relative_to(shipped()).as_posix() for path in shipped().rglob("*.gin"))
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"look into {shipped()} for those there are"
    raise UserError(f"gin: {name} is neither a file here nor among the shipped files; {hint}")


def _text_of(path: Path) -> str:
    if path.name == SUITES:
        return suite.gin_settings()
    content = read_bytes(path)
    if len(content) > _MOST_BYTES:
        raise UserError(
            f"gin: {path} has {len(content):,} bytes, and a gin file at most {_MOST_BYTES:,}; "
            "give a file of settings"
        )
    try:
        return StringIO(content.decode("utf-8-sig"), newline=None).getvalue()
    except UnicodeDecodeError as error:
        raise UserError(f"gin: {path} is not UTF-8 ({error}); save it as UTF-8") from error


def parse(text: str, name: str) -> list[Any]:
    """Gin's statements. Raises UserError with file and line if the text is not valid gin."""
    parser = None
    try:
        parser = config_parser.ConfigParser(StringIO(text), _Delegate())
        return list(parser)
    except SyntaxError as error:
        line = error.lineno or 1
        reason = " ".join(re.sub("<ast.*?>", "", error.msg).split()).rstrip(".")
    except tokenize.TokenError as error:
        line, reason = error.args[1][0], error.args[0]
    except (RecursionError, MemoryError, ValueError, TypeError) as error:
        line = parser._current_token.start[0] if parser else 1
        is_deep = isinstance(error, RecursionError | MemoryError)
        reason = "nested too deeply" if is_deep else str(error)  # TypeError: a list as a key
    unclosed = _unclosed(text)
    if unclosed is not None and unclosed <= line:
        line, reason = unclosed, "a bracket or quotation mark is opened and not closed"
    lines = text.rstrip().split("\n")
    shown = lines[min(line, len(lines)) - 1].strip()
    where = name if name.startswith("--gin.") else f"{name}:{line}"
    raise UserError(
        f"gin: {where}: {shown[:200]!r}: {reason}; write NAME = VALUE, and as a value a number, a "
        "text in quotes, a list, %MACRO or @function()"
    )


def _unclosed(text: str) -> int | None:
    """The line that opens a bracket or quotation that is not closed, or not by the same kind."""
    opened: list[tuple[str, int]] = []
    try:
        for token in tokenize.generate_tokens(StringIO(text).readline):
            if token.type != tokenize.OP:
                continue
            if token.string in _CLOSED_BY:
                opened.append((_CLOSED_BY[token.string], token.start[0]))
            elif opened and token.string in _CLOSED_BY.values():
                closer, line = opened.pop()
                if closer != token.string:
                    return line
    except (tokenize.TokenError, SyntaxError) as error:
        if isinstance(error, tokenize.TokenError) and "string" in error.args[0]:
            return int(error.args[1][0])
    return opened[0][1] if opened else None


def resolved(settings: Iterable[Setting]) -> list[Setting]:
    """The settings with full names of configurables. This project's come before others."""
    return [
        replace(setting, key=setting.key._replace(selector=selector_of(setting.key.selector)))
        for setting in settings
    ]


def selector_of(name: str) -> str:
    """The full name of a configurable of this project. Any other name stays as it is."""
    found = gin.config._REGISTRY.matching_selectors(name)
    return next((selector for selector in found if is_own(selector)), name)


def is_own(selector: str) -> bool:
    return selector.startswith((f"{PACKAGE}.", *REFERRED))


def is_read_by_code(selector: str) -> bool:
    """Whether a configurable has an effect although no value refers to it."""
    return not selector.startswith(REFERRED)


def final(settings: Iterable[Setting]) -> dict[Key, Setting]:
    """Key → its last setting, which overrides the earlier ones."""
    return {setting.key: setting for setting in settings}


def in_use(settings: Sequence[Setting], is_read: Any) -> set[Key]:
    """The keys whose settings have an effect.

    is_read(selector) says whether the code itself calls a configurable. Macros and other
    configurables are in use if a value in use refers to them.
    """
    by_target: dict[str, list[Setting]] = {}
    for setting in settings:
        key = setting.key
        by_target.setdefault(key.scope if key.is_macro else key.selector, []).append(setting)
    used: set[Key] = set()
    waiting: list[Setting] = []

    def use(found: Iterable[Setting]) -> None:
        waiting.extend(found)

    use(
        setting
        for setting in settings
        if not setting.key.is_macro
        and is_read(setting.key.selector)
        and (not setting.key.scope or not is_own(setting.key.selector))
    )
    seen: set[int] = set()
    while waiting:
        setting = waiting.pop()
        if id(setting) in seen:
            continue
        seen.add(id(setting))
        used.add(setting.key)
        for reference in references(setting.value):
            if isinstance(reference, Macro):
                use(s for s in by_target.get(reference.name, ()) if s.key.is_macro)
                continue
            *scopes, name = reference.name.split("/")
            # The setting in the narrowest scope overrides the others of its parameter.
            narrowest: dict[str, str] = {}
            targets = [s for s in by_target.get(selector_of(name), ()) if not s.key.is_macro]
            for within in ("/".join(scopes[:n]) for n in range(len(scopes) + 1)):
                found = (s.key.parameter for s in targets if s.key.scope == within)
                narrowest |= dict.fromkeys(found, within)
            use(s for s in targets if narrowest.get(s.key.parameter) == s.key.scope)
    return used


def references(value: Any) -> Iterator[Reference | Macro]:
    """The references and macros in a value, at any depth."""
    if isinstance(value, Reference | Macro):
        yield value
    elif isinstance(value, Mapping):
        for pair in value.items():
            yield from references(pair)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from references(part)
