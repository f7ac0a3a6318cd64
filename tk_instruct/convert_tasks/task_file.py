"""The task file, which benchmarks of instructions share, and the folder that holds many.

A task file is one JSON object: a definition, examples of right and wrong answers, instances with
all their reference outputs, and where they come from. A folder has tasks/NAME.json and, for each
track, splits/TRACK/{train,test,excluded}_tasks.txt.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import tempfile
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tk_instruct import lock
from tk_instruct.errors import UserError
from tk_instruct.files import PathLike, cannot_write, inside, is_local, read_bytes
from tk_instruct.signals import HeldSignals

from .rows import decoded

TRACKS = ("default", "xlingual")
SPLITS = ("train", "test", "excluded")

_ENGLISH = ("English",)
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*")
_MAX_NAME_CHARACTERS = 200  # file systems allow 255 bytes, some of which a temporary file needs


@dataclass(frozen=True)
class Demonstration:
    """A positive or negative example. `extra` are further fields of it."""

    input: str
    output: str
    explanation: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        return {
            "input": self.input,
            "output": self.output,
            "explanation": self.explanation,
            **self.extra,
        }


@dataclass(frozen=True)
class Instance:
    """An input with all its reference outputs. `place` is where it was read, for messages."""

    id: str
    input: str
    outputs: tuple[str, ...]
    place: str = field(default="", compare=False)

    def record(self) -> dict[str, Any]:
        return {"id": self.id, "input": self.input, "output": list(self.outputs)}


@dataclass(frozen=True)
class TaskFile:
    """The content of a task file. `name` is the file's name without .json.

    `extra` are fields of the file that are not listed here. Raises UserError for a name that a file
    or a list of tasks cannot have.
    """

    name: str
    definition: str
    instances: tuple[Instance, ...]
    positive_examples: tuple[Demonstration, ...] = ()
    negative_examples: tuple[Demonstration, ...] = ()
    categories: tuple[str, ...] = ("Miscellaneous",)
    reasoning: tuple[str, ...] = ()
    source: tuple[str, ...] = ()
    url: tuple[str, ...] = ()
    contributors: tuple[str, ...] = ()
    input_languages: tuple[str, ...] = _ENGLISH
    output_languages: tuple[str, ...] = _ENGLISH
    instruction_languages: tuple[str, ...] = _ENGLISH
    domains: tuple[str, ...] = ()
    instance_license: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name) or len(self.name) > _MAX_NAME_CHARACTERS:
            raise UserError(
                f"the task's name {self.name!r} must be lowercase letters, digits, _, - and ., at "
                f"most {_MAX_NAME_CHARACTERS}; take {safe_name(self.name)}"
            )

    @property
    def is_english(self) -> bool:
        return {*self.input_languages, *self.output_languages} == {*_ENGLISH}

    def content(self) -> bytes:
        """The file. The same task gives the same bytes."""
        record = {
            "Contributors": self.contributors,
            "Source": self.source,
            "URL": self.url,
            "Categories": self.categories,
            "Reasoning": self.reasoning,
            "Definition": [self.definition],
            "Input_language": self.input_languages,
            "Output_language": self.output_languages,
            "Instruction_language": self.instruction_languages,
            "Domains": self.domains,
            "Positive Examples": [example.record() for example in self.positive_examples],
            "Negative Examples": [example.record() for example in self.negative_examples],
            "Instances": [instance.record() for instance in self.instances],
            "Instance License": self.instance_license,
            **self.extra,
        }
        # "replace": a flag's text may hold bytes that are not UTF-8
        return json.dumps(record, ensure_ascii=False, indent=4).encode("utf-8", "replace")


def safe_name(text: str) -> str:
    """A name for a task: the text's letters without accents and its digits, joined by _.

    A text without any, such as one in Chinese, is named by its hash.
    """
    return plain(text, _MAX_NAME_CHARACTERS) or f"task_{digest(text)}"


def plain(text: str, max_characters: int) -> str:
    """The text as a part of a name; empty if nothing of it can be in a name."""
    letters = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return "_".join(re.findall(r"[a-z0-9]+", letters))[:max_characters].strip("_")


def digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:12]


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
