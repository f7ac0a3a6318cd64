"""A directory of logs: what a kill, a full disk and a second writer do to it."""

import errno
import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tk_instruct.completions import log_directory
from tk_instruct.completions.log_directory import LogDirectory
from tk_instruct.errors import UserError

TEXT = "one\u2028two\x85three\x00four\r\nhalf \ud800 – 😀 \\ud800"


def test_records_come_back_as_they_were(tmp_path: Path) -> None:
    with LogDirectory(tmp_path / "new" / "run") as run:
        run.log("a").append({"text": TEXT, "i": i} for i in range(2))
        run.log("a").append([])
        run.log("a").append([{"text": "", "i": 2}])
        run.log("empty").append([])
        assert [record["i"] for record in run.log("a").read()] == [0, 1, 2]
        assert next(iter(run.log("a").read()))["text"] == TEXT
        assert list(run.log("b").read()) == list(run.log("empty").read()) == []
    assert {path.name for path in run.path.iterdir()} == {"a.jsonl"}
    assert len((run.path / "a.jsonl").read_bytes().split(b"\n")) == 4


@pytest.mark.parametrize("first", ["read", "append", "note"])
@pytest.mark.parametrize(
    ("end", "kept"),
    [(b'{"i": 1, "te', [0]), (b'{"i": 1}', [0, 1]), (b"\xff" * 3_000_000, [0]), (b"\0", [0])],
    ids=["torn", "whole", "long", "zeros"],
)
def test_a_torn_last_line(tmp_path: Path, first: str, end: bytes, kept: list[int]) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"i": 0}\n' + end)
    with LogDirectory(tmp_path) as run:
        if first == "read":
            assert [record["i"] for record in run.log("a").read()] == kept
        if first == "note":
            run.log("a").note({"i": 2})
        else:
            run.log("a").append([{"i": 2}])
        assert [record["i"] for record in run.log("a").read()] == [*kept, 2]
    lines = (tmp_path / "a.jsonl").read_text().splitlines()
    assert [json.loads(line)["i"] for line in lines] == [*kept, 2]


def test_a_file_of_a_torn_line_alone(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"i"')
    (tmp_path / "b.jsonl").write_bytes(b"")
    with LogDirectory(tmp_path) as run:
        assert list(run.log("a").read()) == list(run.log("b").read()) == []


def test_an_unreadable_line_in_the_middle_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"i": 0}\n{"i"\n{"i": 2}\n')
    with (
        LogDirectory(tmp_path) as run,
        pytest.raises(UserError, match=r"a.jsonl:2: not JSON .*; remove the line and run"),
    ):
        list(run.log("a").read())


HOLD = """
import sys, time
from tk_instruct.completions.log_directory import LogDirectory
with LogDirectory(sys.argv[1]) as run:
    run.log("a").append([{"i": 0}])
    with run.log("a").path.open("ab") as torn:
        torn.write(b'{"i": 1')
    print("ready", flush=True)
    time.sleep(60)
"""


def test_two_writers_are_refused_until_one_is_killed(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE, text=True, env=environment
    ) as other:
        assert other.stdout
        assert other.stdout.readline() == "ready\n"
        mine = LogDirectory(tmp_path)
        with pytest.raises(UserError, match=rf"being written by process {other.pid} on .*; wait"):
            mine.__enter__()
        os.kill(other.pid, signal.SIGKILL)
        other.wait()
    with mine as run:
        assert [record["i"] for record in run.log("a").read()] == [0]
        with pytest.raises(UserError, match=f"process {os.getpid()} on"):
            LogDirectory(tmp_path).__enter__()


def test_nothing_is_written_once_another_may(tmp_path: Path) -> None:
    with LogDirectory(tmp_path) as run:
        log = run.log("a")
        log.append([{"i": 0}])
    with pytest.raises(UserError, match=r"a.jsonl is no longer written by this process"):
        log.append([{"i": 1}])
    assert (tmp_path / "a.jsonl").read_text() == '{"i": 0}\n'


def test_a_limit_on_files_leaves_no_torn_line(tmp_path: Path) -> None:
    """Part of the line is written before the system refuses the rest."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with LogDirectory(tmp_path) as run:
        run.log("a").append([{"i": 0}])
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
        try:
            with pytest.raises(UserError, match=r"a.jsonl: cannot be written \(File too large\)"):
                run.log("a").append([{"text": "x" * 100_000}])
            with pytest.raises(UserError, match=r"a.jsonl: cannot be written \(File too large\)"):
                run.log("a").note({"text": "x" * 100_000})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            signal.signal(signal.SIGXFSZ, ignored)
        assert (tmp_path / "a.jsonl").read_text() == '{"i": 0}\n'
        run.log("a").append([{"i": 1}])
        assert [record["i"] for record in run.log("a").read()] == [0, 1]


@pytest.mark.parametrize("name", ["lock", "responses.jsonl", "prepared"])
def test_a_link_out_of_the_directory_is_not_written_through(tmp_path: Path, name: str) -> None:
    victim, run = tmp_path / "victim", tmp_path / "run"
    victim.write_text("mine")
    run.mkdir()
    (run / name).symlink_to(victim)
    with pytest.raises(UserError, match=f"{name} leads to .*victim, out of .*remove the symbolic"):
        LogDirectory(run).__enter__()
    assert victim.read_text() == "mine"


def test_a_full_disk_is_known_before_anything_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(file: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"cannot be written \(No space left.*free some space"):
        LogDirectory(tmp_path).__enter__()
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    with LogDirectory(tmp_path):  # the lock is free
        pass


def test_the_reserved_room_is_drawn_on_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync = os.fsync

    def full(file: int) -> None:
        if (tmp_path / "reserved").exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(file)

    with LogDirectory(tmp_path) as run:
        assert (tmp_path / "reserved").stat().st_size == log_directory._BALLAST_BYTES
        run.check_room()
        monkeypatch.setattr(os, "fsync", full)
        run.log("a").append([{"i": 0}])
        assert not (tmp_path / "reserved").exists()
        with pytest.raises(UserError, match=r"the disk is full; free some space and run it again"):
            run.check_room()
        run.log("a").append([{"i": 1}])
        assert [record["i"] for record in run.log("a").read()] == [0, 1]
        monkeypatch.undo()
    assert not (tmp_path / "reserved").exists()


def test_what_a_run_cannot_change_on_its_way(tmp_path: Path) -> None:
    with LogDirectory(tmp_path) as run:
        assert run.begun_with is None
        run.begin({"seed": 0, "name": "é"})
        assert run.begun_with == {"seed": 0, "name": "é"}
        run.agree({"seed": 0, "name": "é"})
        with pytest.raises(UserError, match=r"was begun with seed=0, not 1; give that again"):
            run.agree({"seed": 1})
        (tmp_path / "run.json").write_text("[")
        with pytest.raises(UserError, match=r"run.json: not JSON"):
            run.agree({"seed": 0})


@pytest.mark.parametrize("value", ["1e310", "NaN", "[1]", "{}"])
def test_settings_are_numbers_and_texts(tmp_path: Path, value: str) -> None:
    with LogDirectory(tmp_path) as run:
        (tmp_path / "run.json").write_text(f'{{"seed": 3, "other": {value}}}')
        with pytest.raises(UserError, match=r"run.json: .*other"):
            _ = run.begun_with


def test_a_folder_with_something_else_in_it_begins_no_run(tmp_path: Path) -> None:
    (tmp_path / "config.gin").write_text("")
    with (
        LogDirectory(tmp_path) as run,
        pytest.raises(UserError, match=r"holds config.gin and no run; take"),
    ):
        run.begin({"seed": 0})


def test_reading_leaves_what_another_process_is_writing(tmp_path: Path) -> None:
    with LogDirectory(tmp_path) as writer:
        writer.log("a").append([{"i": 0}])
        with (tmp_path / "a.jsonl").open("ab") as half:
            half.write(b'{"i": 1')
        assert [record["i"] for record in LogDirectory(tmp_path).log("a").read()] == [0]
        assert (tmp_path / "a.jsonl").read_bytes() == b'{"i": 0}\n{"i": 1'


def test_a_folder_that_cannot_be_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot be written"):
        LogDirectory(tmp_path / "file").__enter__()
    with pytest.raises(UserError, match=r"gs://bucket/run is not a local folder"):
        LogDirectory("gs://bucket/run")
