"""Files, here or in a bucket: written whole or not at all, and read with errors that say where.

A Path is local or gs://BUCKET/…, with the same methods. An object of a bucket is there once it is
whole, and cannot be appended to or renamed; a folder is a beginning that names have in common.
"""

import contextlib
import errno
import io
import json
import os
import uuid
from collections.abc import Iterable, Iterator
from typing import Any

from etils.epath import Path, PathLike

from tk_instruct.errors import UserError


def is_local(path: PathLike) -> bool:
    return "://" not in os.fspath(path)


def inside(folder: PathLike, *names: str) -> Path:
    """FOLDER/NAME/…; raises UserError where symbolic links lead from there out of the folder.

    For what is written to a directory that others may have made.
    """
    path = Path(folder).joinpath(*names)
    if not is_local(folder):
        return path
    real, root = os.path.realpath(path), os.path.realpath(folder)
    if os.path.commonpath([real, root]) != root:
        raise UserError(
            f"{path} leads to {real}, out of {folder}, where nothing is to be written; remove the "
            "symbolic link"
        )
    return path


def absolute(path: PathLike) -> Path:
    return Path(path).absolute() if is_local(path) else Path(path)


def write_atomically(path: PathLike, content: Iterable[str] | bytes) -> None:
    """Writes a file (texts as UTF-8) whole or not at all; raises UserError if it cannot."""
    try:
        if not isinstance(content, bytes):
            content = "".join(content).encode("utf-8")
        if is_local(path):
            _replace(Path(path), content)
        else:
            with as_os_errors():
                Path(path).write_bytes(content)
    except OSError as error:
        raise cannot_write(path, error) from error


def _replace(path: Path, content: bytes) -> None:
    temporary = path.parent / f".{path.name}.{uuid.uuid4().hex[:8]}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        remove(temporary)
        raise


def remove(temporary: PathLike) -> None:
    """Removes what a write leaves behind, if anything; its folder need not exist either."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        Path(temporary).unlink()


@contextlib.contextmanager
def as_os_errors() -> Iterator[None]:
    """OSError in place of what else is raised: TensorFlow, which reaches buckets, has its own."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        raise OSError((str(error).splitlines() or [repr(error)])[0]) from error


def cannot_write(path: PathLike, error: OSError) -> UserError:
    """The message for a write that failed: what, why, and what to do."""
    repair = (
        "free some space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "choose another place"
    )
    return UserError(
        f"{path}: cannot be written ({error.strerror or error}); {repair} and run it again, "
        "what was there before is unchanged"
    )


def read_bytes(path: PathLike) -> bytes:
    """A file's content; raises UserError where it cannot be read."""
    try:
        with as_os_errors():
            return Path(path).read_bytes()
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror or error}); check the path and its rights"
        ) from error


def read_jsonl(path: PathLike) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, object) of each non-empty line; UserError names file, line and rule."""
    lines = io.TextIOWrapper(io.BytesIO(read_bytes(path)), encoding="utf-8-sig")
    try:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            record = json_object(line, f"{path}:{number}")
            yield number, record
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 ({error}); save it as UTF-8") from error


def json_object(line: str, where: str) -> dict[str, Any]:
    """A line's object; raises UserError with where it stands."""
    try:
        record = json.loads(line)
    except ValueError as error:
        raise UserError(
            f"{where}: not JSON ({error}); each line must be one JSON object"
        ) from error
    if not isinstance(record, dict):
        raise UserError(f"{where}: {line.strip()[:60]} must be a JSON object, one a line")
    return record
