"""Standard output and error as a verb has them: safe on a terminal, and failing in plain words.

Texts come from files that others wrote. What a terminal would obey, or not show, is written as an
escape there; a pipe or a file gets every character as it is.
"""

import codecs
import contextlib
import io
import json
import os
import re
import signal
import sys
from collections.abc import Iterable, Iterator
from typing import Any, TextIO

from tk_instruct.errors import UserError

# Control characters except tab and newline, what changes the direction of text, what breaks lines,
# is invisible or is no character. The joiners U+200C and U+200D stay: Persian, Hindi and emoji are
# spelt with them.
_HIDDEN = re.compile(
    "[\0-\b\v-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\U000e0000-\U000e007f\ud800-\udfff]"
)


def visible(text: str) -> str:
    r"""The text with what a terminal would obey or hide as escapes: `\x1b`, `\u202e`."""
    return _HIDDEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def redraw(line: str) -> None:
    """Writes a line to standard error, a terminal, over the line that stands there."""
    stream = getattr(sys.stderr, "stream", sys.stderr)
    print(f"\r\x1b[K{visible(line)}", end="", file=stream, flush=True)


def _as_in_json(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


# What an encoding lacks, as \u00e9: JSON stays the same JSON.
codecs.register_error("tk_instruct.as_in_json", _as_in_json)


class _Shown:
    """A standard stream; what it has besides is the stream's."""

    def __init__(self, stream: io.TextIOWrapper, name: str) -> None:
        self.stream = stream
        self._name = name
        self._is_terminal = stream.isatty()

    def write(self, text: str) -> int:
        shown = visible(text) if self._is_terminal else text
        with self._told():
            try:
                self.stream.write(shown)
            except UnicodeEncodeError:
                encoding = self.stream.encoding
                self.stream.write(shown.encode(encoding, "tk_instruct.as_in_json").decode(encoding))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        with self._told():
            self.stream.flush()

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Says that standard output is full; of standard error there is nowhere to say it."""
        try:
            yield
        except BrokenPipeError:
            raise
        except OSError as error:
            _drop(self.stream)
            if self._name == "stdout":
                raise UserError(
                    f"standard output: cannot be written ({error.strerror}); free some space, or "
                    "send it elsewhere, and run it again"
                ) from error

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """Has sys.stdout and sys.stderr show what is safe; a closed one takes everything and is empty.

    Those that are not the system's, as a notebook's, are left alone.
    """
    os.environ.setdefault("PYTHON_COLORS", "0")  # escapes of tracebacks, which would be shown
    _occupy_closed()
    with contextlib.ExitStack() as stack:
        for name in ("stdout", "stderr"):
            stream: TextIO | None = getattr(sys, name)
            if stream is None:
                shown: Any = stack.enter_context(open(os.devnull, "w"))
            elif isinstance(stream, io.TextIOWrapper):
                shown = _Shown(stream, name)
            else:
                continue
            stack.callback(setattr, sys, name, stream)
            setattr(sys, name, shown)
        try:
            yield
        finally:
            _end_output()


def _occupy_closed() -> None:
    """Has no file get the number of a closed standard stream: what libraries write to that number,
    a message of XLA's for example, would stand in the file."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)


def _end_output() -> None:
    """Writes out what is left, now and not at exit, where nothing could be said of a failure."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _drop(sys.stdout)
        raise SystemExit(128 + signal.SIGPIPE) from None
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def _drop(stream: TextIO) -> None:
    """Has what is left in a stream, which would be tried again at exit, go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
