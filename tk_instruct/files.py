"""Files, here or in a bucket: written whole or not at all, and read with errors that say where.

A Path is local or gs://BUCKET/…, with the same methods. An object of a bucket is there once it is
whole, and cannot be appended to or renamed; a folder is a beginning that names have in common.
"""

import contextlib
import errno
import os
import stat
import sys
import uuid
from collections.abc import Iterable, Iterator

from etils.epath import Path, PathLike, register_path_cls

from tk_instruct.errors import UserError


@register_path_cls(("http://", "https://", "file://", "hf://"))
class _Elsewhere:
    """A path of these is refused wherever one is made."""

    def __new__(cls, path: str) -> "_Elsewhere":
        raise UserError(f"{path} is neither a path here nor gs://…; bring it here, give its path")


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
    """Writes a file (texts as UTF-8) whole or not at all; raises UserError if it cannot.

    Of a symbolic link the file that it points to is written. Devices and pipes are written
    through, with BrokenPipeError where the reader has gone.
    """
    try:
        if not isinstance(content, bytes):
            content = "".join(content).encode("utf-8")
        if not is_local(path):
            with as_os_errors():
                Path(path).write_bytes(content)
        elif is_stream(path):
            _write_through(_followed(path), content)
        else:
            _replace(Path(_followed(path)), content)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise cannot_write(path, error) from error


def check_target(path: PathLike) -> None:
    """Raises UserError where a file could not be written at the end of long work.

    A folder, a file among the folders that lead to it, a chain of links without end.
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
    """Whether what is written to a path goes through it: a device, a pipe, an open descriptor."""
    if not is_local(path):
        return False
    try:
        followed = _followed(path)
        mode = os.stat(followed).st_mode
    except OSError:
        return False
    return _descriptor(followed) is not None or not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _followed(path: PathLike) -> str:
    """Where a chain of symbolic links ends, which need not exist; an open descriptor as it is.

    Raises OSError for a chain that does not end.
    """
    followed = os.fspath(path)
    for _ in range(40):
        folder, name = os.path.split(followed)
        followed = os.path.join(os.path.realpath(folder), name)
        # /dev/stdout, /dev/fd/3: what it points to need not have a name.
        if _descriptor(followed) is not None or not os.path.islink(followed):
            return followed
        followed = os.path.join(os.path.dirname(followed), os.readlink(followed))
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


def _descriptor(path: str) -> int | None:
    folder, name = os.path.split(path)
    return int(name) if folder == f"/proc/{os.getpid()}/fd" and name.isdecimal() else None


def _write_through(path: str, content: bytes) -> None:
    if sys.stdout:
        sys.stdout.flush()  # what was printed before stands before
    descriptor = _descriptor(path)
    # A duplicate has the position of a file that others write too; opened again it would not.
    with open(path if descriptor is None else os.dup(descriptor), "wb") as stream:
        stream.write(content)


def _replace(path: Path, content: bytes) -> None:
    temporary = path.parent / f".{path.name}.{uuid.uuid4().hex[:8]}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            _inherit(path, file.fileno())
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        remove(temporary)
        raise


def _inherit(path: Path, descriptor: int) -> None:
    """Owner and mode of the file that is replaced, if there is one, as far as rights go."""
    with contextlib.suppress(OSError):
        replaced = os.stat(path)
        with contextlib.suppress(PermissionError):
            os.fchown(descriptor, replaced.st_uid, replaced.st_gid)
        os.fchmod(descriptor, stat.S_IMODE(replaced.st_mode))


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


def needs_bucket_package(path: PathLike) -> UserError:
    """The message for a place in a bucket, where the package that reaches it is missing."""
    return UserError(
        f"{os.fspath(path)} needs the package google-cloud-storage; install it with "
        "pip install 'tk_instruct[gcs]'"
    )


# Linux's /dev/zero, full, random and urandom, which would fill the memory.
_ENDLESS = {os.makedev(1, minor) for minor in (5, 7, 8, 9)}


def read_bytes(path: PathLike) -> bytes:
    """A file's content; raises UserError where it cannot be read."""
    try:
        if is_local(path) and os.stat(path).st_rdev in _ENDLESS:
            raise OSError("it never ends")
        with as_os_errors():
            return Path(path).read_bytes()
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror or error}); check the path and its rights"
        ) from error


def read_file(path: PathLike) -> bytes:
    """As read_bytes, of what is read more than once; UserError for a pipe, which waits."""
    if is_stream(path):
        raise UserError(
            f"{path} is a pipe or a device, which cannot be read again; put a file in its place"
        )
    return read_bytes(path)
