"""Files, local or in a bucket: atomic writes, and errors that name the file.

A Path is local or gs://BUCKET/…, with the same methods. In a bucket an object appears once it is
complete and cannot be appended to or renamed; a folder is only a prefix of names.
"""

import contextlib
import errno
import io
import os
import pathlib
import shutil
import stat
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO

from etils.epath import Path, PathLike, register_path_cls

from tk_instruct.errors import UserError
from tk_instruct.quiet_tensorflow import import_tensorflow_quietly

# What every Path is, wherever its file lies.
_AnyPath = type(Path())


@register_path_cls("gs://")
class _InBucket:
    """Imports TensorFlow, which etils reaches buckets with, before the first Path in a bucket."""

    def __new__(cls, path: str) -> Path:
        import_tensorflow_quietly()
        return _AnyPath(path)


@register_path_cls(("http://", "https://", "file://", "hf://"))
class _Elsewhere:
    """Makes every Path with one of these prefixes raise UserError."""

    def __new__(cls, path: str) -> "_Elsewhere":
        raise UserError(f"{path} is neither a path here nor gs://…; bring it here, give its path")


def is_local(path: PathLike) -> bool:
    return "://" not in os.fspath(path)


def inside(folder: PathLike, *names: str) -> Path:
    """FOLDER/NAME/…; raises UserError if a symbolic link leads from there out of the folder.

    Use it to write into a directory that somebody else may have made.
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


def write_tree(
    directory: PathLike,
    fill: Callable[[pathlib.Path], None],
    is_there: Callable[[pathlib.Path], bool],
    what: str,
) -> pathlib.Path:
    """Writes a local directory with `fill`, completely or not at all, and gives its path.

    Does nothing if is_there(path) says that the directory holds it already. `what` names the
    content in messages. Raises UserError if the directory holds anything else or cannot be written.
    """
    target = pathlib.Path(directory).expanduser()
    try:
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            if is_there(target):
                return target
            raise UserError(
                f"{target} already holds something other than {what}; it is not overwritten: "
                "remove it or name a directory that does not exist"
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as scratch:
            tree = pathlib.Path(scratch) / "tree"
            tree.mkdir()
            fill(tree)
            # Also replaces an empty directory. realpath: a link is kept.
            os.replace(tree, os.path.realpath(target))
    except OSError as error:
        # Another process may have written it in the meantime.
        if not (target.is_dir() and is_there(target)):
            raise UserError(
                f"{target} cannot be written ({error.strerror}); choose another place, nothing was "
                "changed"
            ) from error
    return target


def write_atomically(path: PathLike, content: Iterable[str] | bytes) -> None:
    """Writes a file (texts as UTF-8) atomically, as open_atomically does."""
    with open_atomically(path) as file:
        file.write(content if isinstance(content, bytes) else "".join(content).encode("utf-8"))


def write_lines(output: PathLike | None, lines: Iterable[str]) -> None:
    """Writes texts one by one: to a file as open_atomically does, or to the standard output (None).

    What UTF-8 cannot write, such as half a surrogate pair, becomes a question mark in a file.
    """
    if output is None:
        for line in lines:  # as text, which is safe on a terminal
            sys.stdout.write(line)
        return
    with open_atomically(output) as file:
        for line in lines:
            file.write(line.encode("utf-8", "replace"))


@contextlib.contextmanager
def open_atomically(path: PathLike) -> Iterator[BinaryIO]:
    """A file to write in a block; it is there, complete, once the block ends without an error.

    A symbolic link is followed: its target is written. A device or pipe is written directly;
    BrokenPipeError is raised if its reader has gone. Every other OSError of the block counts as one
    of writing, and is raised as UserError.
    """
    try:
        if not is_local(path):
            with tempfile.TemporaryFile() as complete:
                yield complete
                complete.seek(0)
                with as_os_errors(), Path(path).open("wb") as file:
                    shutil.copyfileobj(complete, file)
        elif is_stream(path):
            with _stream(_followed(path)) as stream:
                yield stream
        else:
            with _replacement(Path(_followed(path))) as file:
                yield file
    except BrokenPipeError:
        raise
    except OSError as error:
        raise cannot_write(path, error) from error


def check_target(path: PathLike) -> None:
    """Raises UserError for a path that can never be written; call it before long work.

    That is a folder, a path through a file, or an endless chain of links.
    """
    if not is_local(path):
        return
    try:
        followed = _followed(path)
        if os.path.isdir(followed):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        folder = os.path.dirname(followed)
        while not os.path.lexists(folder):
            folder = os.path.dirname(folder)
        if not os.path.isdir(folder):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    except OSError as error:
        raise cannot_write(path, error) from error


def is_stream(path: PathLike) -> bool:
    """Whether a path keeps no file: it is a device, a pipe or an open descriptor."""
    if not is_local(path):
        return False
    try:
        followed = _followed(path)
        mode = os.stat(followed).st_mode
    except OSError:
        return False
    return _descriptor(followed) is not None or not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _followed(path: PathLike) -> str:
    """The end of a chain of symbolic links, which need not exist; an open descriptor as it is.

    Raises OSError for an endless chain.
    """
    followed = os.fspath(path)
    for _ in range(40):
        folder, name = os.path.split(followed)
        followed = os.path.join(os.path.realpath(folder), name)
        # /dev/stdout, /dev/fd/3: the open file may have no name.
        if _descriptor(followed) is not None or not os.path.islink(followed):
            return followed
        followed = os.path.join(os.path.dirname(followed), os.readlink(followed))
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


def _descriptor(path: str) -> int | None:
    folder, name = os.path.split(path)
    return int(name) if folder == f"/proc/{os.getpid()}/fd" and name.isdecimal() else None


def _stream(path: str) -> BinaryIO:
    if sys.stdout:
        sys.stdout.flush()  # keeps the order of what was printed before
    descriptor = _descriptor(path)
    # A duplicate shares its position with other writers of the file; a new descriptor would not.
    return open(path if descriptor is None else os.dup(descriptor), "wb")


@contextlib.contextmanager
def _replacement(path: Path) -> Iterator[BinaryIO]:
    temporary = path.parent / f".{path.name}.{uuid.uuid4().hex[:8]}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            _inherit(path, file.fileno())
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        remove(temporary)
        raise


def _inherit(path: Path, descriptor: int) -> None:
    """Gives the new file the owner and mode of the file that it replaces, as far as allowed."""
    with contextlib.suppress(OSError):
        replaced = os.stat(path)
        with contextlib.suppress(PermissionError):
            os.fchown(descriptor, replaced.st_uid, replaced.st_gid)
        os.fchmod(descriptor, stat.S_IMODE(replaced.st_mode))


def remove(temporary: PathLike) -> None:
    """Removes a file, if there is one; its folder need not exist."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        Path(temporary).unlink()


@contextlib.contextmanager
def as_os_errors() -> Iterator[None]:
    """Turns other exceptions into OSError: TensorFlow, which reads buckets, raises its own."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        raise OSError((str(error).splitlines() or [repr(error)])[0]) from error


def cannot_write(path: PathLike, error: OSError) -> UserError:
    """The error for a write that failed: the file, the reason and the repair."""
    repair = (
        "free some space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "choose another place"
    )
    return UserError(
        f"{path}: cannot be written ({error.strerror or error}); {repair} and run it again, "
        "what was there before is unchanged"
    )


def needs_bucket_package(path: PathLike) -> UserError:
    """The error for a path in a bucket when the package that reads buckets is missing."""
    return UserError(
        f"{os.fspath(path)} needs the package google-cloud-storage; install it with "
        "pip install 'tk_instruct[gcs]'"
    )


# Linux's /dev/zero, full, random and urandom: reading them would fill the memory.
_ENDLESS = {os.makedev(1, minor) for minor in (5, 7, 8, 9)}


def read_bytes(path: PathLike, most: int = -1) -> bytes:
    """The content of a file, or its first bytes; raises UserError if it cannot be read."""
    try:
        if is_local(path) and os.stat(path).st_rdev in _ENDLESS:
            raise OSError("it never ends")
        with as_os_errors(), Path(path).open("rb") as file:
            return file.read(most)
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror or error}); check the path and its rights"
        ) from error


def open_to_read(path: PathLike) -> BinaryIO:
    """A file of bytes, also in a bucket, with all that readers of Python's files ask for.

    Raises OSError if it cannot be opened or read.
    """
    if is_local(path):
        return open(path, "rb")
    return io.BufferedReader(_ObjectOfBucket(path), buffer_size=1 << 20)


class _ObjectOfBucket(io.RawIOBase):
    """TensorFlow's file, which has neither `closed` nor `readinto`."""

    def __init__(self, path: PathLike) -> None:
        self._opened = contextlib.ExitStack()  # in a bucket, open gives no file but a context
        with as_os_errors():
            self._file = self._opened.enter_context(Path(path).open("rb"))

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with as_os_errors():
            content = self._file.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def seek(self, offset: int, whence: int = 0) -> int:
        with as_os_errors():
            self._file.seek(offset, whence)
            return self._file.tell()

    def close(self) -> None:
        self._opened.close()
        super().close()


def read_file(path: PathLike, most: int = -1) -> bytes:
    """As read_bytes, for a file that is read more than once; raises UserError for a pipe."""
    if is_stream(path):
        raise UserError(
            f"{path} is a pipe or a device, which cannot be read again; put a file in its place"
        )
    return read_bytes(path, most)
