"""Standard output and error of a verb: safe on a terminal, with plain errors when full.

Texts come from files that others wrote. On a terminal, characters that it would obey or hide are
written as escapes. A pipe or a file gets every character as it is.
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

# Control characters except tab and newline; characters that change the direction of text or break
# lines; invisible characters; code points that are no characters. The joiners U+200C and U+200D are
# not among them: Persian, Hindi and emoji need them.
_HIDDEN = re.compile(
    "[\0-\b\v-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\U000e0000-\U000e007f\ud800-\udfff]"
)


def visible(text: str) -> str:
    r"""Escapes the characters that a terminal would obey or hide: `\x1b`, `\u202e`."""
    return _HIDDEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def redraw(line: str) -> None:
    """Replaces the last line on standard error, which is a terminal."""
    stream = getattr(sys.stderr, "stream", sys.stderr)
    print(f"\r\x1b[K{visible(line)}", end="", file=stream, flush=True)


def _as_in_json(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


# Writes a character that an encoding lacks as \u00e9, so that JSON stays the same JSON.
codecs.register_error("tk_instruct.as_in_json", _as_in_json)


class _Shown:
    """A standard stream with safe writes; all other attributes are the stream's own."""

    def __init__(self, stream: io.TextIOWrapper, name: str) -> None:
        self.stream = stream
        self._name = name
        self._is_terminal = stream.isatty()

    def write(self, text: str) -> int:
        shown = visible(text) if self._is_terminal else text
        with self._reporting_errors():
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
        with self._reporting_errors():
            self.stream.flush()

    @contextlib.contextmanager
    def _reporting_errors(self) -> Iterator[None]:
        """Raises UserError if standard output is full; an error of standard error is ignored."""
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
    """Makes sys.stdout and sys.stderr safe; a closed one is replaced by /dev/null.

    Streams that are not the system's, such as a notebook's, stay as they are.
    """
    os.environ.setdefault("PYTHON_COLORS", "0")  # colours of tracebacks would be shown as escapes
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
    """Opens /dev/null in place of closed standard streams.

    Otherwise a file could get the number of a closed stream, and a library that writes to that
    number, such as XLA, would write into the file.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)


def _end_output() -> None:
    """Flushes standard output now: at exit a failure could not be reported."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _drop(sys.stdout)
        raise SystemExit(128 + signal.SIGPIPE) from None
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def _drop(stream: TextIO) -> None:
    """Sends the rest of a stream to /dev/null: Python would try to write it again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
