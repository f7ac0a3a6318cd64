"""Reads JSON by a schema: returns data of the schema's type, or raises UserError.

A schema is a msgspec.Struct, or any other type that msgspec reads. Fields that the schema does not
name are ignored, unless it forbids them.
"""

import contextlib
import itertools
import json
import math
import re
from collections.abc import Hashable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, NoReturn, TypeVar, cast

import msgspec

from tk_instruct.errors import UserError
from tk_instruct.files import PathLike, read_bytes

T = TypeVar("T")

_WORDS = {
    "array": "a list",
    "bool": "true or false",
    "float": "a number",
    "int": "a whole number",
    "null": "null",
    "object": "an object",
    "str": "a string",
}
_CORRECT = "correct the file or restore it"
_LENGTH = re.compile(r" of length >= 1$")
_AT = re.compile(r" - at `(?P<key>key` in `)?\$(?P<path>.*)`$", re.DOTALL)
# An escaped backslash, a surrogate pair, or half of a pair.
_SURROGATES = re.compile(
    r"(?P<whole>\\\\|\\u[dD][89abAB]..\\u[dD][c-fC-F]..)|\\u[dD][89a-fA-F][0-9a-fA-F]{2}"
)
_PART = re.compile(r"\.(?P<name>[^.\[\]]+)|\[(?P<index>[0-9]+)\]")


def read(path: PathLike, schema: type[T], repair: str = _CORRECT) -> T:
    """The document in a file; UserError names the file, field, value, rule and repair."""
    return parse(read_bytes(path), schema, str(path), repair)


def read_lines(path: PathLike, schema: type[T], repair: str = _CORRECT) -> Iterator[tuple[int, T]]:
    """(line number, document) of each line that is not empty; raises UserError as read."""
    return parse_lines(read_bytes(path), schema, path, repair)


def parse_lines(
    content: bytes, schema: type[T], path: PathLike, repair: str = _CORRECT
) -> Iterator[tuple[int, T]]:
    """As read_lines, for the content of a file."""
    for number, line in enumerate(_without_mark(content).splitlines(), start=1):
        if line.strip():
            yield number, parse(line, schema, f"{path}:{number}", repair)


def read_records(
    path: PathLike, schema: type[T], repair: str = _CORRECT
) -> Iterator[tuple[str, T]]:
    """(place, document) of each line or, if the file is one list, of each item.

    Raises UserError as read.
    """
    content = _without_mark(read_bytes(path))
    if content.lstrip().startswith(b"["):
        for number, item in enumerate(parse(content, list[Any], str(path), repair), start=1):
            where = f"{path}: item {number}"
            yield where, convert(item, schema, where, repair)
    else:
        for number, document in parse_lines(content, schema, path, repair):
            yield f"{path}:{number}", document


def parse(content: bytes, schema: type[T], where: str, repair: str = _CORRECT) -> T:
    """Reads a JSON document in UTF-8; raises UserError, whose message begins with `where`.

    Half a surrogate pair, which cannot be written as UTF-8, becomes U+FFFD. NaN, Infinity and
    numbers too large for a float do not count as numbers.
    """
    content = _without_mark(content)
    # What fails here is read again below: it may be JSON that only Python writes (half a surrogate
    # pair), and the error message needs the value.
    with contextlib.suppress(msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        content.decode()  # msgspec does not check texts that the schema does not name
        return _decoder(schema).decode(content)
    return convert(_loads(content, where, repair), schema, where, repair)


def convert(document: Any, schema: type[T], where: str, repair: str = _CORRECT) -> T:
    """Checks a document that is already read, from MessagePack for example; raises as parse."""
    try:
        return msgspec.convert(document, schema)
    except (ValueError, TypeError, RecursionError) as error:
        _refuse(document, error, where, repair)


def told_by_fields(record: Mapping[str, Any], schemas: Iterable[type[T]]) -> type[T] | None:
    """The first Struct whose required fields a record all has; None if there is none."""
    for schema in schemas:
        fields = msgspec.structs.fields(cast(type[msgspec.Struct], schema))
        if all(field.encode_name in record for field in fields if field.required):
            return schema
    return None


def _decoder(schema: type[T]) -> msgspec.json.Decoder[T]:
    return _decoders(cast(Hashable, schema))


_decoders = lru_cache(maxsize=256)(msgspec.json.Decoder)


def _without_mark(content: bytes) -> bytes:
    return content.removeprefix(b"\xef\xbb\xbf")


def _loads(content: bytes, where: str, repair: str) -> Any:
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise UserError(f"{where}: not UTF-8 ({error}); save it as UTF-8, or {repair}") from error
    text = _SURROGATES.sub(lambda match: match[0] if match["whole"] else r"\ufffd", text)
    try:
        return json.loads(text, parse_constant=_NoNumber, parse_float=_float, parse_int=_int)
    except ValueError as error:
        raise UserError(f"{where}: not JSON ({error}); {repair}") from error
    except RecursionError as error:
        raise UserError(f"{where}: nested too deeply; {repair}") from error


class _NoNumber(float):
    """NaN, infinity or a number too large for a float; every schema but Any refuses it."""

    def __new__(cls, text: str) -> "_NoNumber":
        number = super().__new__(cls, text)
        number.text = text
        return number

    text: str


def _float(text: str) -> float:
    return number if math.isfinite(number := float(text)) else _NoNumber(text)


def _int(text: str) -> int | float:
    number = _float(text)  # fast also for a million digits
    return int(text) if abs(number) < 2**63 else number


def _refuse(document: Any, error: Exception, where: str, repair: str) -> NoReturn:
    if isinstance(error, RecursionError):
        raise UserError(f"{where}: nested too deeply; {repair}") from error
    message = str(error)
    at = _AT.search(message)
    path = at["path"] if at else ""
    rule = message[: at.start()] if at else message
    field = path.removeprefix(".")
    if missing := re.fullmatch(r"Object missing required field `(.*)`", rule):
        name = f"{field}.{missing[1]}" if field else missing[1]
        raise UserError(f"{where}: {name} is missing; {repair}") from error
    if unknown := re.fullmatch(r"Object contains unknown field `(.*)`", rule):
        name = f"{field}.{unknown[1]}" if field else unknown[1]
        raise UserError(f"{where}: {name} is no field that is known; {repair}") from error
    if expected := re.match(r"Expected `(?P<types>[^`]*)`(?P<more>[^,]*)", rule):
        types = expected["types"].split(" | ")
        rule = "must be " + " or ".join(_WORDS.get(name, name) for name in types)
        more = expected["more"].replace(r" matching regex '\\S'", " that is not blank")
        rule += _LENGTH.sub(" that is not empty", more)
    rule = re.sub("^Invalid base64 .*", "must be base64", rule)
    rule = re.sub("^Invalid enum value .*", "must be one of the values that are allowed", rule)
    found, value = _value_at(document, path)
    if at and at["key"]:  # msgspec does not say which key
        found, field = False, f"a key of {field or 'the document'}"
    is_value = f"is {shortened(value)} but " if found else ""
    raise UserError(f"{where}: {field or 'the document'} {is_value}{rule}; {repair}") from error


def _value_at(document: Any, path: str) -> tuple[bool, Any]:
    """(True, the value at msgspec's path); (False, None) if the path cannot be followed."""
    if "".join(match[0] for match in _PART.finditer(path)) != path:
        return False, None
    try:
        for match in _PART.finditer(path):
            document = document[match["name"] or int(match["index"])]
    except (KeyError, IndexError, TypeError):
        return False, None
    return True, document


def shortened(value: Any) -> str:
    """A value as JSON, for messages."""
    if isinstance(value, _NoNumber):
        return value.text[:60]
    encoder = json.JSONEncoder(ensure_ascii=False, default=repr)
    try:
        # No more than is shown, because aliases in YAML can make a value endless.
        shown = "".join(itertools.islice(encoder.iterencode(value), 61))
    except (RecursionError, ValueError):
        shown = "nested too deeply"
    return shown if len(shown) <= 60 else shown[:57] + "…"
