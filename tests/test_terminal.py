"""What a terminal gets of hostile texts, what a pipe gets, and what no stream takes."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tk_instruct.terminal import visible

# What each does to a terminal: colours, a new title, a bell, nothing to see, C1's CSI, a line
# drawn over, a turned-around and an isolated text, breaks, tags, half a character.
HOSTILE = {
    "\x1b[31m": r"\x1b[31m",
    "\x1b]0;title\a": r"\x1b]0;title\x07",
    "\0": r"\x00",
    "\x7f": r"\x7f",
    "\x9b31m": r"\x9b31m",
    "\r": r"\r",
    "\b\v\f": r"\x08\x0b\x0c",
    "\u202egnp.exe": r"\u202egnp.exe",
    "\u2066\u2069\u200e\u200f\u061c": r"\u2066\u2069\u200e\u200f\u061c",
    "\u200b\u2060\ufeff\xad": r"\u200b\u2060\ufeff\xad",
    "\u2028\u2029\x85": r"\u2028\u2029\x85",
    "\U000e0041": r"\U000e0041",
    "\ud800": r"\ud800",
}
HARMLESS = "tab\t line\n é 漢 नमस्ते क्\u200dष می\u200cخواهم 👩\u200d🚒 ❤️ \\x1b"


@pytest.mark.parametrize(("text", "shown"), HOSTILE.items())
def test_what_a_terminal_would_obey_or_hide_is_shown(text: str, shown: str) -> None:
    assert visible(f"<{text}>") == f"<{shown}>"


def test_other_text_stays() -> None:
    assert visible(HARMLESS) == HARMLESS


PRINTING = """
import sys
from tk_instruct import terminal
from tk_instruct.progress import Progress

text = sys.argv[1]
with terminal.guarded():
    print(text)
    sys.stdout.writelines([text])
    with Progress(text, 2) as progress:
        progress.shown = -1e9
        progress.advance(note=text)
    sys.stderr.write(text)
"""
TEXT = "a\x1b[31m\a\u202eb"
SHOWN = r"a\x1b[31m\x07\u202eb"


def on_terminal(command: list[str], **options: object) -> str:
    """What a command writes to a terminal, which is its standard output and error."""
    master, slave = pty.openpty()
    with subprocess.Popen(command, stdout=slave, stderr=slave, **options):  # type: ignore[call-overload]
        os.close(slave)
        written = b""
        while True:
            try:
                some = os.read(master, 1 << 16)
            except OSError:  # how Linux says that all is read
                break
            if not some:
                break
            written += some
    os.close(master)
    return written.decode()


def test_a_terminal_gets_escapes_and_our_own_line() -> None:
    written = on_terminal([sys.executable, "-c", PRINTING, TEXT])
    redrawn = f"\r\x1b[K{SHOWN}: 1 of 2 (50%) {SHOWN}, 0:00 elapsed"
    assert written.replace("\r\n", "\n").startswith(f"{SHOWN}\n{SHOWN}{redrawn}")
    assert written.endswith(SHOWN)
    assert written.count("\x1b") == 1


def test_a_pipe_gets_every_character() -> None:
    done = subprocess.run([sys.executable, "-c", PRINTING, TEXT], capture_output=True, check=True)
    assert done.stdout.decode() == f"{TEXT}\n{TEXT}"
    assert done.stderr.decode().endswith(TEXT)


def run(
    *arguments: str, env: dict[str, str] | None = None, shell: str = ""
) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "tk_instruct.cli", *arguments]
    if shell:
        command = ["bash", "-c", f'"$@" {shell}', "bash", *command]
    return subprocess.run(command, capture_output=True, env={**os.environ, **(env or {})})


REPORT = '{"rougeL": 1.0, "exact_match": 2.0}'


@pytest.fixture
def scored(tmp_path: Path) -> str:
    """A run whose table has characters that ASCII lacks."""
    (tmp_path / "scores").mkdir()
    (tmp_path / "scores" / "é-test-1.json").write_text(REPORT)
    return str(tmp_path)


def test_a_full_output_is_an_error_in_plain_words(scored: str) -> None:
    for arguments in (["report", scored], ["--help"], ["report", "--help"]):
        done = run(*arguments, shell="> /dev/full")
        assert done.stderr.decode() == (
            "error: standard output: cannot be written (No space left on device); free some "
            "space, or send it elsewhere, and run it again\n"
        )
        assert done.returncode == 2


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "2>/dev/full"])
def test_a_closed_output_is_empty(scored: str, closed: str) -> None:
    done = run("report", scored, shell=closed)
    assert done.returncode == 0
    assert done.stderr == b""
    assert done.stdout == b"" if closed.startswith(">") else b"ROUGE-L" in done.stdout
    assert run("report", f"{scored}/absent", shell=closed).returncode == 2


def test_a_reader_that_has_gone_ends_it_quietly(scored: str) -> None:
    for arguments in (["report", scored], ["--help"]):
        done = run(*arguments, shell="| true; exit ${PIPESTATUS[0]}")
        assert done.returncode in (0, 141)  # 0 if it was faster than `true`
        assert done.stderr == b""


def test_what_the_encoding_lacks_is_written_as_json_writes_it(scored: str) -> None:
    ascii_only = {"PYTHONIOENCODING": "ascii"}
    done = run("report", scored, "--json", env=ascii_only)
    assert done.returncode == 0
    assert b"\\u00e9/test" in done.stdout
    done = run("report", scored, env=ascii_only)
    assert done.stdout.startswith(b"\\u00e9, per cent\n")
    assert done.stderr == b""


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_no_file_takes_the_place_of_a_closed_stream(tmp_path: Path, closed: str) -> None:
    """What a library writes to standard error by its number stands in no file that is open."""
    path = tmp_path / "predictions.jsonl"
    code = (
        "import os, sys; from tk_instruct import terminal\n"
        "with terminal.guarded(), open(sys.argv[1], 'w') as file:\n"
        "    for number in (1, 2): os.write(number, b'a message')\n"
        "    file.write('a row')\n"
    )
    command = [sys.executable, "-c", code, str(path)]
    subprocess.run(["bash", "-c", f'"$@" {closed}', "bash", *command], check=True)
    assert path.read_text() == "a row"
