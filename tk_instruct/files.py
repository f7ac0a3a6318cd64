"""Files written whole or not at all, JSON lines that say where they break, aligned tables."""

import contextlib
import errno
import json
import os
import uuid
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tk_instruct.errors import UserError


def write_atomically(path: Path, content: Iterable[str] | bytes) -> None:
    """Writes a file (texts as UTF-8) whole or not at all; raises UserError if it cannot."""
    temporary = path.parent / f".{path.name}.{uuid.uuid4().hex[:8]}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as file:
            if isinstance(content, bytes):
                file.write(content)
            else:
                file.writelines(text.encode("utf-8") for text in content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        remove(temporary)
        if isinstance(error, OSError):
            raise cannot_write(path, error) from error
        raise


def remove(temporary: Path) -> None:
    """Removes what a write leaves behind, if anything; its folder need not exist either."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        temporary.unlink()


def cannot_write(path: Path, error: OSError) -> UserError:
    """The message for a write that failed: what, why, and what to do."""
    repair = (
        "free some space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "choose another place"
    )
    return UserError(
        f"{path}: cannot be written ({error.strerror or error}); {repair} and run it again, "
        "what was there before is unchanged"
    )


def read_jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, object) of each non-empty line; UserError names file, line and rule."""
    try:
        file = path.open(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    with file:
        try:
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                try:
                    record = json.loads(line)
                except ValueError as error:
                    raise UserError(
                        f"{path}:{number}: not JSON ({error}); each line must be one JSON object"
                    ) from error
                if not isinstance(record, dict):
                    raise UserError(
                        f"{path}:{number}: {line.strip()[:60]} must be a JSON object, one a line"
                    )
                yield number, record
        except UnicodeDecodeError as error:
            raise UserError(f"{path}: not UTF-8 ({error}); save it as UTF-8") from error


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows under a header row, aligned: the first column left, numbers right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    numeric = [
        column > 0 and all(row[column][:1].isdigit() or row[column] == "–" for row in rows[1:])
        for column in range(len(widths))
    ]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        ).rstrip()
        for row in rows
    )
