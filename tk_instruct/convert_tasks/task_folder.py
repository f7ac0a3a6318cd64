"""The folder of a benchmark, to which task files are added.

It has tasks/NAME.json and, for each track, splits/TRACK/{train,test,excluded}_tasks.txt.
"""

import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tk_instruct import lock
from tk_instruct.errors import UserError
from tk_instruct.files import PathLike, cannot_write, inside, is_local, read_bytes
from tk_instruct.signals import HeldSignals

from .rows import decoded
from .task_file import TaskFile

TRACKS = ("default", "xlingual")
SPLITS = ("train", "test", "excluded")


def split_of(split: str, is_english: bool, track: str) -> str:
    """The split of a train or test task in a track.

    Tasks in English are the default track, and the xlingual track trains on them too. Tasks in
    other languages are of the xlingual track alone.
    """
    is_of_track = is_english == (track == "default")
    if is_of_track or (split == "train" and track == "xlingual"):
        return split
    return "excluded"


class TaskFolder:
    """A folder of tasks to which tasks are added, all of them or none.

    `with TaskFolder(…) as folder: folder.add(task); …; folder.place()`. Before `place`, and without
    it, nothing that is there changes. Files that are not of these tasks stay as they are. Raises
    UserError if another process writes into the folder.

    Args:
        split: train or test.
        overwrite: whether a task replaces another one of its name, and moves to this split.
    """

    def __init__(self, directory: PathLike, split: str, overwrite: bool = False) -> None:
        if not is_local(directory):
            raise UserError(
                f"{directory} is in a bucket; write the tasks here, and copy them to it then"
            )
        self.directory = Path(directory).expanduser()
        self._split, self._overwrite = split, overwrite
        self._is_english: dict[str, bool] = {}
        self._staged: set[str] = set()
        self.num_unchanged = 0

    def __enter__(self) -> "TaskFolder":
        if os.path.lexists(self.directory) and not self.directory.is_dir():
            raise UserError(
                f"{self.directory} is a file, or a link to nothing; name a folder, which need not "
                "exist"
            )
        with contextlib.ExitStack() as opened:
            lock_file = self.directory / ".convert-tasks.lock"
            opened.enter_context(lock.held(lock_file, f"{self.directory} is being written"))
            self._tasks = Path(inside(self.directory, "tasks"))
            with _writing(self.directory):
                scratch = tempfile.TemporaryDirectory(prefix=".convert-tasks.", dir=self.directory)
            self._stage = Path(opened.enter_context(scratch))
            self._opened = opened.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self._opened.close()

    def add(self, task: TaskFile) -> None:
        """Raises UserError if its name is taken, by another content or by another task here."""
        if task.name in self._is_english:
            raise UserError(
                f"two tasks are called {task.name}; convert them one by one, each with its --name"
            )
        self._is_english[task.name] = task.is_english
        content, path = task.content(), self._tasks / f"{task.name}.json"
        is_there = path.is_file()
        if is_there and path.read_bytes() == content:
            self.num_unchanged += 1
            return
        if is_there and not self._overwrite:
            raise UserError(
                f"{path} holds another content; give another --name, or --overwrite to replace it"
            )
        with _writing(path):
            (self._stage / path.name).write_bytes(content)
        self._staged.add(task.name)

    def place(self) -> None:
        """Puts the tasks that were added into the folder, then their names into the lists.

        Raises UserError, before anything changes, if a list of another split has a name.
        """
        moves = {
            self._stage / f"{name}.json": self._tasks / f"{name}.json" for name in self._staged
        }
        held: list[signal.Signals] = []
        with _writing(self.directory):
            for number, (path, content) in enumerate(self._lists().items()):
                staged = self._stage / f"list {number}"
                staged.write_text(content, "utf-8")
                with contextlib.suppress(FileNotFoundError):
                    shutil.copymode(path, staged)
                moves[staged] = Path(os.path.realpath(path))
            os.sync()  # once: to wait for each of many files takes long
            for folder in dict.fromkeys(path.parent for path in moves.values()):
                folder.mkdir(parents=True, exist_ok=True)
            with HeldSignals(held.append):  # else Ctrl-C would leave tasks that no list has
                for staged, path in moves.items():
                    os.replace(staged, path)
        for number_held in held:
            signal.raise_signal(number_held)

    def listed_in(self) -> list[str]:
        """Which lists have the tasks that were added."""
        found = {
            f"splits/{track}/{split_of(self._split, is_english, track)}_tasks.txt": None
            for track in TRACKS
            for is_english in sorted(set(self._is_english.values()))
        }
        return list(found)

    def _lists(self) -> dict[Path, str]:
        """The content of the lists that change or are missing."""
        changed = {}
        for track in TRACKS:
            folder = Path(inside(self.directory, "splits", track))
            paths = {split: Path(inside(folder, f"{split}_tasks.txt")) for split in SPLITS}
            texts = {split: _text(path) for split, path in paths.items()}
            present = {
                _name(line): split for split in SPLITS for line in (texts[split] or "").splitlines()
            }
            added: dict[str, list[str]] = {split: [] for split in SPLITS}
            moved: dict[str, set[str]] = {split: set() for split in SPLITS}
            for name, is_english in self._is_english.items():
                wanted, now = split_of(self._split, is_english, track), present.get(name)
                if now == wanted:
                    continue
                if now:
                    self._refuse_to_move(name, paths[now], wanted)
                    moved[now].add(name)
                added[wanted].append(name)
            for split, text in texts.items():
                if text is None or added[split] or moved[split]:
                    lines = (text or "").splitlines()
                    kept = [line for line in lines if _name(line) not in moved[split]]
                    changed[paths[split]] = "".join(f"{each}\n" for each in kept + added[split])
        return changed

    def _refuse_to_move(self, name: str, path: Path, wanted: str) -> None:
        if not self._overwrite:
            raise UserError(
                f"{name} is listed in {path}, and would now be in {wanted}_tasks.txt; give "
                "--overwrite to move it, or another --name"
            )


def _text(path: Path) -> str | None:
    """The content of a list, or None if it is missing."""
    return decoded(read_bytes(path), path) if path.exists() else None


def _name(line: str) -> str:
    return line.strip().removesuffix(".json")


@contextlib.contextmanager
def _writing(path: PathLike) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise cannot_write(path, error) from error
