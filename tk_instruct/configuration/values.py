"""Converts gin's values to the types of the fields that they fill."""

import ast
import inspect
import math
import operator
import re
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any, Literal, Union, get_args, get_origin

import gin
import msgspec

_SPELT = {
    **dict.fromkeys(("true", "yes", "on"), True),
    **dict.fromkeys(("false", "no", "off"), False),
}
_NONE = ("none", "null")
_BASIC = (bool, int, float, str, type(None))
_WORDS = {bool: "True or False", int: "a whole number", float: "a number", str: "a text"}


def annotations(selector: str) -> dict[str, Any]:
    """Parameter name → its type, for a configurable.

    A type that is imported only for type checkers becomes `object`.
    """
    configurable = gin.config._REGISTRY[selector].wrapped
    parameters = inspect.signature(configurable).parameters
    return {
        name: _resolved(parameter.annotation, configurable)
        for name, parameter in parameters.items()
    }


def _resolved(annotation: Any, configurable: Any) -> Any:
    if annotation is inspect.Parameter.empty:
        return Any
    if not isinstance(annotation, str):
        return annotation
    try:
        return eval(annotation, dict(vars(sys.modules[configurable.__module__])))  # our own source
    except NameError:
        return object


def read(value: Any, annotation: Any) -> Any:
    """A literal, converted to a type: 'false' to a bool, 1e3 to an int, a list to a tuple.

    Raises ValueError with the values that the type takes.
    """
    if annotation is Any:
        return value
    choices = _choices(annotation)
    if value is None and type(None) in choices:
        return None
    spelt = value.strip().lower() if isinstance(value, str) else None
    if spelt in _SPELT and bool in choices:
        return _SPELT[spelt]
    if spelt in _NONE and type(None) in choices and str not in choices:
        return None
    literals = [choice for choice in choices if _is_literal(choice)]
    try:
        found = msgspec.convert(value, reduce(operator.or_, literals, None), strict=False)
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
        found = None
    # msgspec converts 0 and 1 to booleans. Those are refused.
    is_bool = isinstance(found, bool) and not isinstance(value, bool)
    if found is None or is_bool or (isinstance(found, float) and not math.isfinite(found)):
        raise ValueError(f"must be {in_words(annotation)}")
    return found


def check_referable(annotation: Any) -> None:
    """Raises ValueError if a type takes only literals, so that @NAME cannot be its value."""
    if annotation is not Any and all(map(_is_literal, _choices(annotation))):
        raise ValueError(f"must be {in_words(annotation)}; @NAME() with brackets is its result")


def check_result(selector: str, annotation: Any) -> None:
    """Raises ValueError if a configurable's annotated result (@NAME()) is not of the type."""
    configurable = gin.config._REGISTRY[selector].wrapped
    result = configurable
    if not isinstance(configurable, type):
        result = _resolved(inspect.signature(configurable).return_annotation, configurable)
    wanted, given = _choices(annotation), _choices(result)
    if annotation is Any or result is Any or any(map(_is_literal, given)):
        return
    objects = [choice for choice in wanted if not _is_literal(choice)]
    are_classes = all(isinstance(choice, type) for choice in (*objects, *given))
    if not objects or (are_classes and not issubclass(given[0], tuple(objects))):
        made_by = " or ".join(f"@{choice.__name__}()" for choice in objects if are_classes)
        raise ValueError(f"must be {made_by or in_words(annotation)}")


def read_text(text: str, wanted: Sequence[Any]) -> str:
    """A typed value as an expression in gin's syntax, for fields of these types.

    A field of type str takes the text itself, so a path may look like a number. @function() and
    %MACRO stay as they are. If no type is known, true, false and none become Python's constants.
    """
    bare = text.strip()
    is_container = bare.startswith(("(", "[", "{"))
    if bare.startswith(("@", "%")) or (is_container and re.search(r"[@%]\w", bare)):
        return text
    try:
        literal = ast.literal_eval(bare)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        takes_none = all(type(None) in _choices(annotation) for annotation in wanted)
        if bare.lower() in _NONE and takes_none:
            return "None"
        if not wanted and bare.lower() in ("true", "false"):
            return bare.capitalize()
        return repr(text)
    takes_text = any(str in _choices(annotation) for annotation in wanted)
    return repr(text) if takes_text and not isinstance(literal, str | type(None)) else text


def in_words(annotation: Any) -> str:
    """The values that a type takes, in words, for messages."""
    choices = _choices(annotation)
    said = [_WORDS[choice] for choice in choices if choice in _WORDS]
    said += [
        "one of " + ", ".join(map(repr, get_args(choice)))
        for choice in choices
        if get_origin(choice) is Literal
    ]
    for choice in choices:
        origin, inner = get_origin(choice), get_args(choice)
        if origin is tuple or origin is list:
            said.append(f"a list, each of them {in_words(inner[0])}")
        elif isinstance(origin, type) and issubclass(origin, Mapping):
            example = ", such as {'inputs': 1024, 'targets': 128}" if inner[1] is int else ""
            said.append(f"names with {in_words(inner[1])} each{example}")
        elif not _is_literal(choice):
            said.append("what a function gives, @NAME()")
    said += ["None"] if type(None) in choices else []
    return " or ".join(said)


def _choices(annotation: Any) -> tuple[Any, ...]:
    return (
        get_args(annotation)
        if get_origin(annotation) in (Union, types.UnionType)
        else (annotation,)
    )


def _is_literal(annotation: Any) -> bool:
    """Whether a literal can have this type. Objects of other types are made by functions."""
    origin = get_origin(annotation)
    if origin is None:
        return annotation in _BASIC
    if origin is Literal:
        return True
    if origin in (Union, types.UnionType):
        return all(map(_is_literal, get_args(annotation)))
    is_container = isinstance(origin, type) and issubclass(origin, tuple | list | Mapping)
    inner = [part for part in get_args(annotation) if part is not ...]
    return is_container and origin is not Callable and all(map(_is_literal, inner))
