"""A hash of the code that makes examples and tokens, of this project and of other modules."""

import ast
import dataclasses
import functools
import hashlib
import importlib.metadata
import inspect
import re
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path, PurePath
from types import CellType, ModuleType
from typing import Any

# This project's modules that make tokens. Suites are found through the functions that are hashed.
_OWN = ("tk_instruct.data", "tk_instruct.randomness")


def code_hash(functions: Iterable[Any] = (), more: Iterable[str] = ()) -> str:
    """A hash of the functions' code and of this project's code that makes tokens.

    For an installed package it covers the version and the file that a function is in. For any other
    module it covers all files of its package and of the modules that it imports. It also covers
    the texts and numbers in a function's defaults, closures and partial arguments, also in
    dataclasses, patterns and paths there. more names further modules or packages.
    """
    names, values = {*_OWN, *more}, list[str]()
    for function in functions:
        modules, made_with = _made_of(function)
        names |= modules
        values += made_with
    return hashlib.sha256("\0".join([_hash_of(frozenset(names)), *values]).encode()).hexdigest()


@cache
def _hash_of(names: frozenset[str]) -> str:
    digest = hashlib.sha256()
    files: set[Path] = set()
    waiting, seen = sorted(names), set[str]()
    while waiting:
        name = waiting.pop()
        module = sys.modules.get(name)
        if name in seen or module is None or not getattr(module, "__file__", None):
            continue
        seen.add(name)
        file = Path(str(module.__file__))
        if _is_installed(file):
            if name in names:
                digest.update(f"{name} {_version(name)}\0".encode())
                files.add(file)
            continue
        own = _files_of(module)
        files |= own
        waiting += sorted(imported for path in own for imported in _imported_by(path, module))
    for path in sorted(files):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _files_of(module: ModuleType) -> set[Path]:
    """All files of a module's package or suite, or the module's own file if it is in none."""
    file = Path(str(module.__file__))
    name = module.__name__ if hasattr(module, "__path__") else module.__package__ or ""
    depth = 3 if name.startswith("tk_instruct.tasks.") else 2 if name.startswith(_OWN) else 1
    package = sys.modules.get(".".join(name.split(".")[:depth]))
    if package is None or not getattr(package, "__path__", None) or package.__name__ == "__main__":
        return {file}
    if package.__name__ == "tk_instruct":  # a module of the engine, which makes no tokens
        return {file}
    return {file, *(path for folder in package.__path__ for path in Path(folder).rglob("*.py"))}


def _imported_by(path: Path, module: ModuleType) -> Iterator[str]:
    """The loaded modules that a user's file imports by their full names."""
    if module.__name__.startswith("tk_instruct"):
        return
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in sys.modules)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            yield from (name for name in found if name in sys.modules)


def _made_of(function: Any) -> tuple[set[str], list[str]]:
    """The modules that a function's code is in, and the texts and numbers that it holds.

    Looks into partials, defaults, closures and the objects of methods.
    """
    modules, values = set[str](), list[str]()
    waiting, seen = [function], set[int]()
    while waiting:
        each = waiting.pop()
        if each is None or isinstance(each, str | bytes | int | float):
            values.append(repr(each))
            continue
        if id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, list | tuple | dict):
            values.append(f"{type(each).__name__} {len(each)}")
            waiting += [*each, *each.values()] if isinstance(each, dict) else each
        elif isinstance(each, set | frozenset):
            values += sorted(map(repr, each))
        elif isinstance(each, functools.partial):
            waiting += [each.func, each.args, each.keywords]
        elif inspect.ismethod(each):
            waiting += [each.__func__, each.__self__]
        elif inspect.isfunction(each):
            modules.add(each.__module__)
            waiting += [each.__defaults__, each.__kwdefaults__, getattr(each, "__wrapped__", None)]
            waiting += [_held(cell) for cell in each.__closure__ or ()]
        elif inspect.isclass(each):
            modules.add(each.__module__)
        elif callable(each):
            modules.add(type(each).__module__)
            parts = getattr(each, "__dict__", {}).values()
            # Objects of TensorFlow may hold numbers that differ between runs.
            is_users = not _is_of_installed(type(each).__module__)
            waiting += [part for part in parts if is_users or callable(part)]
        elif dataclasses.is_dataclass(each):
            modules.add(type(each).__module__)
            waiting += [getattr(each, field.name, None) for field in dataclasses.fields(each)]
        elif isinstance(each, re.Pattern):
            waiting += [each.pattern, int(each.flags)]  # its repr shortens long patterns
        elif isinstance(each, PurePath):
            values.append(repr(each))
    return modules, values


def _held(cell: CellType) -> Any:
    """What a cell of a closure holds, or None if it is not filled yet."""
    try:
        return cell.cell_contents
    except ValueError:
        return None


def _is_of_installed(module: str) -> bool:
    file = getattr(sys.modules.get(module), "__file__", None)
    return file is None or _is_installed(Path(file))


@cache
def _is_installed(file: Path) -> bool:
    """Whether a file belongs to Python or to a package that pip has installed."""
    places = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    return any(Path(place) in file.parents for place in places if place)


def _version(module: str) -> str:
    package = module.split(".")[0]
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return str(getattr(sys.modules[package], "__version__", ""))
