"""The rows of a CSV file, of JSON lines, of a JSON list or of Parquet, and the texts in them."""

import contextlib
import csv
import io
import itertools
import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

from tk_instruct import schema
from tk_instruct.errors import UserError
from tk_instruct.files import Path, PathLike, is_stream, open_to_read, read_bytes

T = TypeVar("T")

NOTHING_LEFT = "no row is left, each has an empty text; give a file that has some"
_REPAIR = "correct the file"
_JSON = (".json", ".jsonl", ".ndjson")
SUFFIXES = (".csv", ".tsv", ".parquet", *_JSON)


class EmptyTextError(UserError):
    """A text that must say something, and is empty."""


class Row(NamedTuple):
    """A row of a file: its place, for messages, and column → value."""

    place: str
    fields: Mapping[str, Any]


def read(path: Path, delimiter: str | None = None) -> tuple[Row, Iterator[Row]]:
    """The first row of a file, and all rows. Empty lines are no rows.

    The name's end says what the file is. Rows of CSV and JSON lines are counted as an editor or a
    spreadsheet does: the header of a CSV file is its row 1.

    Raises UserError, also on the way, for a file or row that cannot be read, and for no rows.

    Args:
        delimiter: what separates the cells of CSV; else a tab in a .tsv file, a comma in others.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise UserError(
            f"{path}: its name must end in {', '.join(SUFFIXES)}; save it as one "
            "of them, or rename it if it is one"
        )
    if delimiter is not None and suffix not in (".csv", ".tsv"):
        raise UserError(f"--delimiter is for CSV, and {path} is not; leave it out")
    if is_stream(path):
        raise UserError(f"{path} is a pipe or a device; put a file in its place")
    if suffix == ".parquet":
        rows = _parquet(path)
    elif suffix in _JSON:
        rows = _json(path)
    else:
        rows = _csv(path, delimiter or ("\t" if suffix == ".tsv" else ","))
    first = next(rows, None)
    if first is None:
        raise UserError(f"{path} has no rows; give a file that has some")
    return first, itertools.chain([first], rows)


def _csv(path: Path, delimiter: str) -> Iterator[Row]:
    csv.field_size_limit(sys.maxsize)  # a field may be a whole book
    text = io.StringIO(decoded(read_bytes(path), path), newline="")
    rows = csv.reader(text, delimiter=delimiter, strict=True)
    header: list[str] = []
    for number in itertools.count(1):
        place = f"{path}: row {number}"
        try:
            cells = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            raise UserError(
                f'{place}: not CSV ({error}); put a cell with quotes into "…", write each of its '
                'quotes as ""'
            ) from error
        if not cells:
            continue
        if not header:
            header = [name.strip() for name in cells]
            _check_header(header, place)
        elif len(cells) != len(header):
            raise UserError(
                f"{place} has {counted(len(cells), 'cell')}, and the header has {len(header)}; "
                f'put a cell with {delimiter!r} or a line break into "…"'
            )
        else:
            yield Row(place, dict(zip(header, cells, strict=True)))


def _check_header(header: list[str], place: str) -> None:
    twice = [name for name in header if name and header.count(name) > 1]
    if twice:
        raise UserError(f"{place}: two columns are called {twice[0]!r}; rename one")
    others = [other for other in ";\t|" if len(header) == 1 and other in header[0]]
    if others:
        raise UserError(
            f"{place}: {schema.shortened(header[0])} is one cell; say what separates the cells: "
            f"--delimiter '{others[0]}'"
        )


def decoded(content: bytes, path: PathLike) -> str:
    """The text of a file in UTF-8, with or without BOM. Raises UserError for others and for NUL."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UserError(
            f"{path}: in UTF-16, and must be in UTF-8; save it as UTF-8 (iconv -f UTF-16 -t UTF-8)"
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{path}: not UTF-8 (byte 0x{content[error.start]:02x} in line {line}); save it as "
            "UTF-8 (a file of Windows: iconv -f WINDOWS-1252 -t UTF-8)"
        ) from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise UserError(f"{path}: a NUL character in line {line}, which no text has; remove it")
    return text


def _json(path: Path) -> Iterator[Row]:
    rows = schema.read_records(path, dict[str, Any], _REPAIR)
    try:
        first = next(rows, None)
    except UserError:
        # One object over several lines, such as a task file; its fields say what it is.
        with contextlib.suppress(UserError):
            yield Row(str(path), schema.read(path, dict[str, Any], _REPAIR))
            return
        raise
    if first is not None:
        for place, fields in itertools.chain([first], rows):
            yield Row(place, fields)


def _parquet(path: Path) -> Iterator[Row]:
    import pyarrow
    import pyarrow.parquet

    number = itertools.count(1)
    try:
        with open_to_read(path) as opened, pyarrow.parquet.ParquetFile(opened) as file:
            for batch in file.iter_batches(batch_size=1000):
                for fields in batch.to_pylist():
                    yield Row(f"{path}: row {next(number)}", fields)
    except (OSError, pyarrow.ArrowException, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not Parquet that can be read ({error}); {_REPAIR}") from error


def parsed(
    found: Iterable[Row], parse: Callable[[Row], T], skipped: list[str] | None
) -> Iterator[T]:
    """What `parse` makes of each row.

    Args:
        skipped: gets the places of rows with an empty text, which are passed over; None raises
            their EmptyTextError.
    """
    for row in found:
        try:
            yield parse(row)
        except EmptyTextError:
            if skipped is None:
                raise
            skipped.append(row.place)


def text(value: Any, place: str, field: str) -> str:
    """A text that says something. Numbers, true and false are written as JSON writes them, bytes
    are UTF-8: some writers of Parquet do not say that a column has texts.

    Raises EmptyTextError for a text of blanks, null and NaN, UserError for other values.
    """
    is_missing = value is None or (isinstance(value, float) and math.isnan(value))
    if isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        value = json.dumps(value)
    if isinstance(value, bytes):
        with contextlib.suppress(UnicodeDecodeError):
            value = value.decode()
    if is_missing or (isinstance(value, str) and not value.strip()):
        raise EmptyTextError(
            f"{place}: {field} is empty, and must say something; fill it in, remove the row, or "
            "give --skip_empty to leave out such rows"
        )
    if not isinstance(value, str):
        raise UserError(
            f"{place}: {field} is {schema.shortened(value)} but must be a text or a number; "
            "put the text alone there"
        )
    return value


def texts(value: Any, place: str, field: str) -> tuple[str, ...]:
    """The texts of a list, or the only one; raises UserError as `text`, and for an empty list."""
    if not isinstance(value, list):
        return (text(value, place, field),)
    if not value:
        raise UserError(f"{place}: {field} is an empty list; give at least one text")
    return tuple(text(item, place, f"{field}[{k}]") for k, item in enumerate(value))


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
