"""A directory of logs: files of JSON lines that survive a kill; one process at a time writes them.

Any process can read it, also while another one writes: reading needs no lock.
"""

import contextlib
import json
import mmap
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from tk_instruct import lock, schema
from tk_instruct.completions.records import SCHEMAS, Setting
from tk_instruct.errors import UserError
from tk_instruct.files import cannot_write, inside, write_atomically

Record = dict[str, Any]

_OWN = {"lock", "reserved"}
_RESTORE = "restore it, or begin a run in another folder"
_REMOVE = "remove the line and run it again: what it held is made again"
_BALLAST_BYTES = 8 << 20  # reserved for answers that still arrive when the disk is full


class LogDirectory:
    """`with LogDirectory(path) as logs: logs.log("responses").append(records)`.

    Attributes:
        schemas: name of a log → the schema of its lines; of other logs they are any objects.
        settings_type: the schema of the settings that are kept in run.json.
        holds: what the directory is called in messages.

    Raises UserError where a symbolic link leads out of it, where another process is writing, and
    where the disk has no room for the reserve.
    """

    schemas: Mapping[str, Any] = SCHEMAS
    settings_type: Any = dict[str, Setting]
    holds = "run"

    def __init__(self, path: str | os.PathLike[str]) -> None:
        if "://" in os.fspath(path):
            raise UserError(
                f"{path} is not a local folder: a bucket cannot be appended to; run it on a local "
                "disk and copy the folder"
            )
        self.path = Path(path).expanduser()
        for link in self.path.rglob("*"):
            if link.is_symlink():
                inside(self.path, str(link.relative_to(self.path)))
        self._logs: dict[str, Log] = {}
        self._is_full = False

    def __enter__(self) -> "LogDirectory":
        self._lock = lock.held(self.path / "lock", f"{self.path} is being written")
        self._lock.__enter__()
        try:
            self._reserve()
        except BaseException as error:
            self.close()
            if isinstance(error, OSError):
                raise cannot_write(self.path, error) from error
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends writing: the logs write no more, and another process may."""
        for log in self._logs.values():
            log.close()
        self._remove_ballast()
        self._lock.__exit__(None, None, None)

    def log(self, name: str) -> "Log":
        """The file NAME.jsonl."""
        if name not in self._logs:
            path = self.path / f"{name}.jsonl"
            self._logs[name] = Log(path, self._release, self.schemas.get(name, Record))
        return self._logs[name]

    @property
    def begun_with(self) -> dict[str, Any] | None:
        """The settings that the run keeps to its end; None where there is no run."""
        path = self.path / "run.json"
        if not path.exists():
            return None
        begun: dict[str, Any] = schema.read(path, dict[str, Setting], _RESTORE)
        schema.convert(begun, self.settings_type, str(path), _RESTORE)
        return begun

    def begin(self, settings: Mapping[str, Any]) -> None:
        """Writes the settings; raises UserError where there are files of something else."""
        if others := sorted({path.name for path in self.path.iterdir()} - _OWN):
            raise UserError(
                f"{self.path} holds {others[0]} and no {self.holds}; take another folder"
            )
        self._keep(settings)

    def begin_or_go_on(self, settings: Mapping[str, Any]) -> None:
        """Begins, or checks the settings by `agree`. Until there is an answer they may change."""
        if self.begun_with is None:
            self.begin(settings)
        elif next(self.log("responses").read(), None) is None:
            self._keep(settings)
        else:
            self.agree(settings)

    def _keep(self, settings: Mapping[str, Any]) -> None:
        write_atomically(self.path / "run.json", [json.dumps(dict(settings), indent=2) + "\n"])

    def agree(self, settings: Mapping[str, Any]) -> None:
        """Raises UserError where the run was begun with other settings."""
        kept = self.begun_with or {}
        for name, value in settings.items():
            if kept.get(name) != value:
                raise UserError(
                    f"{self.path} was begun with {name}={kept.get(name)!r}, not {value!r}; give "
                    "that again, or another folder"
                )

    def check_room(self) -> None:
        """Raises UserError once the disk was full and the reserve has been used."""
        if self._is_full:
            raise UserError(
                f"{self.path}: the disk is full; free some space and run it again: it goes on"
            )

    @property
    def _ballast(self) -> Path:
        return self.path / "reserved"

    def _reserve(self) -> None:
        with self._ballast.open("wb") as file:
            file.write(os.urandom(_BALLAST_BYTES))  # no file system can compress it
            file.flush()
            os.fsync(file.fileno())

    def _release(self) -> None:
        """Frees the reserved room."""
        self._is_full = True
        self._remove_ballast()

    def _remove_ballast(self) -> None:
        with contextlib.suppress(OSError):
            self._ballast.unlink(missing_ok=True)


class Log:
    """A file of JSON objects, one a line, that several threads may append to.

    A kill may leave an incomplete last line. Reading ignores it and the next write removes it:
    nothing has used its record yet.
    """

    def __init__(self, path: Path, make_room: Callable[[], None], of_line: Any) -> None:
        self.path, self._of_line = path, of_line
        self._make_room = make_room
        self._lock = threading.Lock()
        self._is_whole = self._is_closed = False

    def read(self) -> Iterator[Any]:
        """The records, without an incomplete last line.

        Raises UserError, with file and line, for a record that is not of the file's schema.
        """
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n") and not _is_json(line):
                    return
                record = schema.parse(line, self._of_line, f"{self.path}:{number}", _REMOVE)
                if b"\\ud" in line:  # keeps half a surrogate pair, which schema.parse replaces
                    record = msgspec.convert(json.loads(line), self._of_line)
                yield record

    def keep(self, count: int) -> None:
        """Removes all records after the first count ones."""
        with self._lock:
            self._make_whole()
            if self.path.exists():
                with self.path.open("r+b") as file:
                    for _ in range(count):
                        file.readline()
                    file.truncate(file.tell())

    def append(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Writes records; all are on disk when this returns.

        If the disk is full, the reserve is used; from then on LogDirectory.check_room raises.
        Raises UserError, and writes no record, if that does not help.
        """
        data = _lines(records)
        if not data:
            return
        with self._lock:
            try:
                self._write(data, os.fsync)
            except OSError as first:
                self._make_room()
                try:
                    self._write(data, os.fsync)
                except OSError as error:
                    raise cannot_write(self.path, error) from first

    def note(self, record: Mapping[str, Any]) -> None:
        """Appends a record that survives a kill, but perhaps no power cut; uses no reserve."""
        with self._lock:
            try:
                self._write(_lines([record]), lambda file: None)
            except OSError as error:
                raise cannot_write(self.path, error) from error

    def close(self) -> None:
        """Waits for a write in progress; a later write raises UserError."""
        with self._lock:
            self._is_closed = True

    def _write(self, data: bytes, synchronise: Callable[[int], None]) -> None:
        if self._is_closed:
            raise UserError(f"{self.path} is no longer written by this process")
        self._make_whole()
        # Without a buffer: close() would write what a failed write has left in it.
        with self.path.open("ab", buffering=0) as file:
            before = file.tell()
            try:
                rest = memoryview(data)
                while rest:
                    rest = rest[file.write(rest) :]
                synchronise(file.fileno())
            except BaseException:
                self._is_whole = False
                with contextlib.suppress(OSError):
                    file.truncate(before)
                raise

    def _make_whole(self) -> None:
        """Removes an incomplete last line: before the first write and after a write that failed."""
        if self._is_whole:
            return
        if self.path.exists() and self.path.stat().st_size:
            with (
                self.path.open("rb") as file,
                mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
            ):
                end = content.rfind(b"\n") + 1
                torn = content[end:]
            if _is_json(torn):  # only the end of the line is missing
                with self.path.open("ab") as appended:
                    appended.write(b"\n")
            elif torn:
                os.truncate(self.path, end)
        self._is_whole = True


def _lines(records: Iterable[Mapping[str, Any]]) -> bytes:
    text = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    return text.encode("utf-8", "backslashreplace")  # \ud800 is JSON for half a pair


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True
