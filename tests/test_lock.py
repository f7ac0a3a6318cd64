"""Who writes a folder: one process at a time, named to the others, and free after a kill."""

import multiprocessing
import os
import re
import signal
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tk_instruct import lock
from tk_instruct.errors import UserError


def hold(folder: str, ready: Any) -> None:
    with lock.held(f"{folder}/lock", f"{folder} is being trained"):
        ready.set()
        time.sleep(60)


def test_a_local_lock_names_its_holder_and_is_free_after_a_kill(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    holder = context.Process(target=hold, args=(str(folder), ready))
    holder.start()
    assert ready.wait(60)
    name = rf"process {holder.pid} on {re.escape(os.uname().nodename)} since \d{{4}}-\d\d-\d\d"
    with pytest.raises(UserError, match=rf"run is being trained by {name} .* UTC; wait until"):
        lock.held(f"{folder}/lock", f"{folder} is being trained").__enter__()
    os.kill(holder.pid or 0, signal.SIGKILL)
    holder.join()
    assert (folder / "lock").exists()
    with lock.held(f"{folder}/lock", f"{folder} is being trained"):
        assert f"process {os.getpid()} on" in (folder / "lock").read_text()
    assert not list(folder.iterdir())


def test_only_one_of_many_holds_it_at_a_time(tmp_path: Path) -> None:
    """Also while holders remove the file that others have opened."""
    inside, most, count = 0, 0, 0

    def work() -> None:
        nonlocal inside, most, count
        until = time.monotonic() + 1
        while time.monotonic() < until:
            try:
                with lock.held(tmp_path / "run" / "lock", "it is being written"):
                    inside += 1
                    most = max(most, inside)
                    count += 1
                    inside -= 1
            except UserError:
                pass

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert count > 10


def test_a_lock_that_is_a_link_leads_nowhere(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "lock").symlink_to(victim)
    with pytest.raises(UserError, match="run/lock: cannot be written"):
        lock.held(tmp_path / "run" / "lock", "it is being trained").__enter__()
    assert victim.read_text() == "precious"


class Objects:
    """google.cloud.storage with one bucket: each write makes a new generation."""

    def __init__(self) -> None:
        self.content: dict[str, tuple[int, str]] = {}
        self.last = 0

    def Client(self) -> Any:  # noqa: N802
        return SimpleNamespace(bucket=lambda bucket: SimpleNamespace(blob=self.blob))

    def blob(self, name: str) -> "Blob":
        return Blob(self, name)


class Blob:
    def __init__(self, objects: Objects, name: str) -> None:
        self.objects, self.name, self.generation = objects, name, None

    def check(self, generation: int) -> None:
        if self.objects.content.get(self.name, (0, ""))[0] != generation:
            raise PreconditionFailedError

    def upload_from_string(self, text: str, if_generation_match: int) -> None:
        self.check(if_generation_match)
        self.objects.last += 1
        self.generation = self.objects.last
        self.objects.content[self.name] = self.generation, text

    def reload(self) -> None:
        self.generation = self.objects.content[self.name][0]

    def download_as_bytes(self) -> bytes:
        return self.objects.content[self.name][1].encode()

    def delete(self, if_generation_match: int) -> None:
        self.check(if_generation_match)
        del self.objects.content[self.name]


class PreconditionFailedError(Exception):
    code = 412


@pytest.fixture
def objects(monkeypatch: pytest.MonkeyPatch) -> Objects:
    found = Objects()
    monkeypatch.setitem(sys.modules, "google.cloud.storage", found)  # type: ignore[arg-type]
    monkeypatch.setattr(lock, "SECONDS_BETWEEN_SIGNS", 0.1)
    return found


def test_a_lock_in_a_bucket_is_kept_and_given_back(objects: Objects) -> None:
    with lock.held("gs://bucket/run/lock", "it is being trained"):
        assert list(objects.content) == ["run/lock"]
        with pytest.raises(UserError, match=rf"is being trained by process {os.getpid()} on"):
            lock.held("gs://bucket/run/lock", "it is being trained").__enter__()
    assert not objects.content


def test_the_lock_of_a_killed_process_in_a_bucket_is_taken_over(objects: Objects) -> None:
    objects.blob("run/lock").upload_from_string("process 7 on there since then", 0)
    with lock.held("gs://bucket/run/lock", "it is being trained"):
        assert f"process {os.getpid()} on" in objects.content["run/lock"][1]


def test_a_holder_whose_lock_was_taken_over_hears_of_it(objects: Objects) -> None:
    with lock.held("gs://bucket/run/lock", "it is being trained") as check:
        check()
        objects.last += 1
        objects.content["run/lock"] = objects.last, "process 8 on there since now"
        time.sleep(1)
        with pytest.raises(UserError, match="is being trained by process 8 on there since now"):
            check()
    assert "run/lock" in objects.content  # the other's stays


def test_a_folder_that_cannot_be_is_an_error_in_words(tmp_path: Path) -> None:
    with (
        pytest.raises(UserError, match=r"cannot be written \(File name too long\)"),
        lock.held(tmp_path / ("x" * 300) / "lock", "x is being trained"),
    ):
        pass
