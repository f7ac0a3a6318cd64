"""Locks, so that one process at a time writes: a locked file, or in a bucket a renewed object."""

import contextlib
import datetime
import fcntl
import importlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tk_instruct import distributed
from tk_instruct.errors import UserError
from tk_instruct.files import (
    Path as AnyPath,
)
from tk_instruct.files import (
    PathLike,
    as_os_errors,
    cannot_write,
    is_local,
    needs_bucket_package,
)

log = logging.getLogger("tk_instruct")

SECONDS_BETWEEN_SIGNS = 20
_PRECONDITION_FAILED = 412  # the object has another generation, or does not exist


@contextlib.contextmanager
def held(path: PathLike, what: str) -> Iterator[Callable[[], None]]:
    """Holds a lock; yields a function that raises UserError once the lock is lost.

    If its process is killed, a local lock is free at once, a lock in a bucket after a minute
    without a sign of that process. Of several processes of one run, the first takes the lock.

    Args:
        path: the file, or the object in a bucket, that is the lock.
        what: what the lock protects, for the message: "RUN is being trained".

    Raises:
        UserError: another process holds the lock (the message names it), or it cannot be written.
    """
    if not distributed.is_first_process():
        yield lambda: None
        return
    now = datetime.datetime.now(datetime.UTC)
    me = f"process {os.getpid()} on {os.uname().nodename} since {now:%Y-%m-%d %H:%M:%S} UTC"

    def refused(by: str) -> UserError:
        return UserError(
            f"{what} by {by or 'another process'}; wait until it has ended, stop it, or take "
            "another place"
        )

    with (_file if is_local(path) else _object)(os.fspath(path), me, refused) as check:
        yield check


@contextlib.contextmanager
def _file(name: str, me: str, refused: Callable[[str], UserError]) -> Iterator[Any]:
    path = Path(name)
    try:
        is_new = not path.parent.exists()
        file = _locked(path, refused)
        os.truncate(file, 0)
        os.write(file, me.encode())
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        yield lambda: None
    finally:
        path.unlink(missing_ok=True)
        os.close(file)  # frees the lock
        if is_new:
            with contextlib.suppress(OSError):  # it is not empty
                path.parent.rmdir()


def _locked(path: Path, refused: Callable[[str], UserError]) -> int:
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        # A link is not followed: it could lead to any file.
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            by = os.read(file, 1000).decode("utf-8", "replace")
            os.close(file)
            raise refused(by) from error
        except OSError as error:  # the file system has no locks
            log.warning("%s cannot be locked (%s): start no second process", path, error.strerror)
            return file
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file), path.stat()):
                return file
        os.close(file)  # its holder has just removed the file: try again


@contextlib.contextmanager
def _object(path: str, me: str, refused: Callable[[str], UserError]) -> Iterator[Any]:
    try:
        storage = importlib.import_module("google.cloud.storage")
    except ModuleNotFoundError as error:
        raise needs_bucket_package(path) from error
    bucket, _, name = path.removeprefix("gs://").partition("/")
    blob = storage.Client().bucket(bucket).blob(name)

    def write(generation: int) -> bool:
        """Replaces the object if it has this generation; 0: creates it if there is none."""
        try:
            blob.upload_from_string(me, if_generation_match=generation)
        except Exception as error:
            if getattr(error, "code", None) == _PRECONDITION_FAILED:
                return False
            raise
        return True

    def other() -> str:
        return blob.download_as_bytes().decode("utf-8", "replace")

    try:
        with as_os_errors():
            if not write(0):
                blob.reload()
                by, seen, wait = other(), blob.generation, 3 * SECONDS_BETWEEN_SIGNS
                log.warning("%s is held by %s: waiting %g s for a sign of it", path, by, wait)
                time.sleep(wait)
                if not write(seen) and not write(0):
                    raise BlockingIOError(by)
    except BlockingIOError as error:
        raise refused(str(error)) from error
    except OSError as error:
        raise cannot_write(path, error) from error
    ended, lost = threading.Event(), threading.Event()

    def give_signs() -> None:
        while not ended.wait(SECONDS_BETWEEN_SIGNS):
            with contextlib.suppress(Exception):  # the network may come back
                if not write(blob.generation):
                    lost.set()
                    return

    def check() -> None:
        if lost.is_set():
            raise refused(other())

    signs = threading.Thread(target=give_signs, daemon=True)
    signs.start()
    try:
        yield check
    finally:
        ended.set()
        signs.join()
        with contextlib.suppress(Exception):
            if not lost.is_set():
                blob.delete(if_generation_match=blob.generation)


def is_held(path: PathLike) -> bool:
    """Whether a process holds a lock now; in a bucket, whether its object is there."""
    if not is_local(path):
        return AnyPath(path).exists()
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # the file system has no locks
        return False
    finally:
        os.close(file)
    return False
