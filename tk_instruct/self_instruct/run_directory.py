"""A run's directory: append-only JSON lines that survive a kill, held by one writer at a time."""

import contextlib
import fcntl
import json
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from tk_instruct.errors import UserError
from tk_instruct.files import cannot_write, read_jsonl, write_atomically

Record = dict[str, Any]

_BALLAST_BYTES = 8 << 20  # room for the answers that are still coming when the disk is full


class RunDirectory:
    """`with RunDirectory(path) as run: run.log("instructions").append(records)`.

    Raises UserError where another process is writing, and where the disk is full before anything
    has been asked.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        if "://" in os.fspath(path):
            raise UserError(
                f"{path} is not a local folder: a bucket cannot be appended to; run it on a local "
                "disk and copy the folder"
            )
        self.path = Path(path).expanduser()
        self._logs: dict[str, Log] = {}

    def __enter__(self) -> "RunDirectory":
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = (self.path / "lock").open("a+")
        except OSError as error:
            raise cannot_write(self.path, error) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.seek(0)
            by = self._lock.read().strip() or "another process"
            self._lock.close()
            raise UserError(
                f"{self.path} is being written by {by}; wait until it has ended, stop it, or take "
                "another folder"
            ) from error
        try:
            self._lock.truncate(0)
            self._lock.write(f"process {os.getpid()} on {os.uname().nodename}")
            self._lock.flush()
            self._reserve()
        except BaseException as error:
            self._lock.close()
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
        self._release()
        self._lock.close()  # which ends the lock

    def log(self, name: str) -> "Log":
        """The records of NAME.jsonl."""
        if name not in self._logs:
            self._logs[name] = Log(self.path / f"{name}.jsonl", self._release)
        return self._logs[name]

    def agree(self, settings: Mapping[str, Any]) -> None:
        """Keeps what a run cannot change on its way; raises UserError where it was another."""
        path = self.path / "run.json"
        if not path.exists():
            write_atomically(path, [json.dumps(dict(settings), indent=2) + "\n"])
            return
        kept = json.loads(path.read_text(encoding="utf-8"))
        for name, value in settings.items():
            if kept.get(name) != value:
                raise UserError(
                    f"{self.path} was begun with {name}={kept.get(name)!r}, not {value!r}; give "
                    "that again, or another folder"
                )

    @property
    def _ballast(self) -> Path:
        return self.path / "reserved"

    def _reserve(self) -> None:
        with self._ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, _BALLAST_BYTES)

    def _release(self) -> None:
        """Gives the reserved room back."""
        with contextlib.suppress(OSError):
            self._ballast.unlink(missing_ok=True)


class Log:
    """JSON objects in a file, one a line, that is only ever appended to; for several threads.

    A last line that a kill has torn is cut off when the file is next appended to: what it was the
    beginning of has not been used.
    """

    def __init__(self, path: Path, make_room: Any) -> None:
        self.path = path
        self._make_room = make_room
        self._write_lock = threading.Lock()
        self._is_whole = False

    def read(self) -> Iterator[Record]:
        """Raises UserError, with file and line, for what is not a JSON object."""
        self._make_whole()
        if self.path.exists():
            yield from (record for _, record in read_jsonl(self.path))

    def keep(self, count: int) -> None:
        """Cuts off what follows the first count records."""
        self._make_whole()
        if not self.path.exists():
            return
        with self.path.open("r+b") as file:
            for _ in range(count):
                file.readline()
            file.truncate(file.tell())

    def append(self, records: Iterable[Mapping[str, Any]]) -> None:
        """All of them are on disk when it returns; raises UserError, with none there, if it cannot.

        Where the disk is full the room that the run has reserved is used up first.
        """
        content = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
        data = content.encode("utf-8", "backslashreplace")  # \ud800 is JSON for half a pair
        if not data:
            return
        with self._write_lock:
            self._make_whole()
            try:
                self._write(data)
            except OSError as first:
                self._make_room()
                try:
                    self._write(data)
                except OSError as error:
                    raise cannot_write(self.path, error) from first

    def _write(self, data: bytes) -> None:
        with self.path.open("ab") as file:
            before = file.tell()
            try:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                with contextlib.suppress(OSError):
                    os.truncate(self.path, before)
                raise

    def _make_whole(self) -> None:
        """Ends the file with the end of a line, once."""
        if self._is_whole:
            return
        self._is_whole = True
        if not self.path.exists():
            return
        content = self.path.read_bytes()
        _, _, torn = content.rpartition(b"\n")
        if not torn:
            return
        try:
            json.loads(torn)
        except ValueError:
            os.truncate(self.path, len(content) - len(torn))
        else:  # all but its end was written
            self._write(b"\n")
