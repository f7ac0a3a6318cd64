"""Reads the task files and splits of Super-NaturalInstructions, in pure Python.

Several processes parse the files once. Later reads come from a cache, whose key is the files'
content. Only the instances that a split needs are in memory.
"""

import contextlib
import difflib
import hashlib
import json
import logging
import os
import re
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import IO, Annotated, Any, NamedTuple, cast

import gin
import msgpack
import msgspec

from tk_instruct import schema
from tk_instruct.cache_folder import default_cache_dir
from tk_instruct.data import origins
from tk_instruct.data.tokenization import TOKENIZERS
from tk_instruct.errors import EmptySplitError, MissingDataError, UserError
from tk_instruct.files import Path, PathLike, is_local, read_file, write_atomically
from tk_instruct.randomness import draw
from tk_instruct.ranges import check_seed, check_whole

log = logging.getLogger("tk_instruct")

SOURCE = "github.com/allenai/natural-instructions"
DATA_DIR_VARIABLE = "TK_INSTRUCT_SUPERNI_DIR"
TRACKS = ("default", "xlingual")
SPLITS = ("train", "validation", "dev", "test", "excluded")

# The paper's twelve evaluation categories → the metric that each is reported with.
EVALUATION_CATEGORIES = {
    "Textual Entailment": "exact_match",
    "Cause Effect Classification": "exact_match",
    "Coreference Resolution": "exact_match",
    "Dialogue Act Recognition": "exact_match",
    "Answerability Classification": "exact_match",
    "Word Analogy": "exact_match",
    "Overlap Extraction": "rougeL",
    "Keyword Tagging": "rougeL",
    "Question Rewriting": "rougeL",
    "Title Generation": "rougeL",
    "Data to Text": "rougeL",
    "Grammar Error Correction": "rougeL",
}

# Part of every fingerprint of data, which a run checks before it continues. Raise it if unchanged
# files give other examples.
_MEANING = 2
# Part of every cache key. Raise it if parsing or the format of entries changes.
_FORMAT = 3
# For fewer bytes of JSON that is not cached, worker processes cost more time than they save.
_BYTES_WORTH_A_PROCESS = 32 << 20


@dataclass(frozen=True, slots=True)
class Demonstration:
    """A positive or negative example of a task. explanation is None if the file has none."""

    input: str
    output: str
    explanation: str | None = None


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """A task without its instances, as its file describes it."""

    name: str
    definition: str
    positive_examples: tuple[Demonstration, ...]
    negative_examples: tuple[Demonstration, ...]
    categories: tuple[str, ...]
    input_languages: tuple[str, ...] = ()
    output_languages: tuple[str, ...] = ()

    @property
    def category(self) -> str:
        """The first category. Scores are grouped by it."""
        return self.categories[0]

    def to_json(self) -> str:
        return msgspec.json.encode(self).decode()

    @classmethod
    @lru_cache(maxsize=4096)
    def from_json(cls, text: str) -> "TaskSpec":
        return msgspec.json.decode(text, type=cls)


@dataclass(frozen=True, slots=True)
class Example:
    """An instance of a task, with all its reference outputs."""

    id: str
    task: TaskSpec
    input: str
    references: tuple[str, ...]


# Gin cannot set cache_dir: a recipe of another author must not choose where files are written.
@gin.configurable(module="tk_instruct", denylist=["cache_dir"])
@dataclass(frozen=True)
class SuperNI:
    """A natural-instructions checkout, and the options that choose its examples.

    Defaults are Tk-Instruct's: 100 random instances of a train task, the first 100 of any other
    task (Wang et al. 2022, section 5). `validation` has further instances of the train tasks, which
    `train` does not use. `dev` has whole tasks: those in splits/<track>/dev_tasks.txt, or
    num_dev_tasks of the train tasks, which then are not in `train`. num_train_tasks of the others
    are trained on, drawn by the seed (None: all); a smaller draw is part of every larger one of the
    same seed. tokenization is "seqio", or "released" for Tk-Instruct's published checkpoints
    (tk_instruct.data.tokenization).

    supervised: `train` and `validation` have the test tasks' own instances that are not evaluated,
    in place of the train tasks': for a supervised upper bound (Wang et al. 2022, table 3).
    """

    data_dir: str | None = None
    seed: int = 0
    max_instances_per_train_task: int = 100
    max_instances_per_eval_task: int = 100
    max_instances_per_validation_task: int = 10
    num_dev_tasks: int = 0
    num_train_tasks: int | None = None
    supervised: bool = False
    tokenization: str = "seqio"
    cache_dir: str | None = None

    def __post_init__(self) -> None:
        check_seed("SuperNI.seed", self.seed)
        for field, least in (
            ("max_instances_per_train_task", 1),
            ("max_instances_per_eval_task", 1),
            ("max_instances_per_validation_task", 0),
            ("num_dev_tasks", 0),
        ):
            check_whole(f"SuperNI.{field}", getattr(self, field), least, 2**31 - 1)
        if self.num_train_tasks is not None:
            check_whole("SuperNI.num_train_tasks", self.num_train_tasks, 1, 2**31 - 1)
        if self.tokenization not in TOKENIZERS:
            raise UserError(
                f"SuperNI.tokenization={self.tokenization!r} must be one of "
                f"{', '.join(TOKENIZERS)}; released is for Tk-Instruct's published checkpoints"
            )

    @property
    def root(self) -> Path:
        """The data directory.

        Raises MissingDataError if none is set, UserError if it lacks tasks/ or splits/.
        """
        directory = self.data_dir or os.environ.get(DATA_DIR_VARIABLE)
        repair = (
            f"give --data_dir, the gin macro DATA_DIR or ${DATA_DIR_VARIABLE} a checkout of "
            f"{SOURCE} (it holds tasks/ and splits/), or write a small synthetic one with "
            "`tk-instruct mini DIRECTORY`"
        )
        if not directory:
            raise MissingDataError(f"no Super-NaturalInstructions data directory is set: {repair}")
        root = Path(directory).expanduser()
        for needed in (root, root / "tasks", root / "splits"):
            if not needed.is_dir():
                raise UserError(f"data_dir={directory!r}: {needed} is not a directory; {repair}")
        return root

    def task_names(self, track: str, split: str) -> list[str]:
        """The names of a split's tasks in order. Their files may be missing.

        Raises UserError for an unknown track or split, and if a list of tasks is missing.
        """
        if track not in TRACKS:
            raise UserError(f"track={track!r} is not one of {', '.join(TRACKS)}")
        if split not in SPLITS:
            raise UserError(f"split={split!r} is not one of {', '.join(SPLITS)}")
        if split in ("train", "validation") and self.supervised:
            return self._drawn(self._listed(track, "test"))
        if split in ("train", "validation"):
            dev = set(self._dev_names(track))
            return self._drawn([name for name in self._listed(track, "train") if name not in dev])
        if split == "dev":
            names = self._dev_names(track)
            if not names:
                raise EmptySplitError(
                    f"split 'dev' of {track}: there is no splits/{track}/dev_tasks.txt and "
                    "num_dev_tasks=0; add the file, or carve tasks from train with "
                    "--num_dev_tasks (gin: SuperNI.num_dev_tasks)"
                )
            return names
        return self._listed(track, split)

    def origins(self, track: str, split: str) -> dict[str, list[str]]:
        """Name of each task in a split → its source datasets.

        They are what the field Source of its file says. Where there is no file, or the table of
        datasets knows none of them, it is the dataset in the task's name, or none.
        """
        files = self._task_files()
        names = self.task_names(track, split)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            given = pool.map(lambda name: _sources(files[name]) if name in files else [], names)
        found = {}
        for name, sources in zip(names, given, strict=True):
            known = [origins.canonical(s) or origins.named_in(s) for s in sources]
            found[name] = list(filter(None, known)) or list(filter(None, [origins.named_by(name)]))
        return found

    def _listed(self, track: str, split: str) -> list[str]:
        path = self.root / "splits" / track / f"{split}_tasks.txt"
        if not path.exists():
            raise UserError(
                f"{path} is missing: each track needs train_tasks.txt, test_tasks.txt and "
                f"excluded_tasks.txt with one task name a line; take splits/ from {SOURCE}"
            )
        try:
            lines = read_file(path).decode("utf-8-sig").split()
        except UnicodeDecodeError as error:
            raise UserError(f"{path}: not UTF-8 ({error}); take splits/ from {SOURCE}") from error
        return list(dict.fromkeys(line.removesuffix(".json") for line in lines))

    def _dev_names(self, track: str) -> list[str]:
        if (self.root / "splits" / track / "dev_tasks.txt").exists():
            return self._listed(track, "dev")
        files = self._task_files()
        present = [name for name in self._listed(track, "train") if name in files]
        if self.num_dev_tasks and self.num_dev_tasks >= len(present):
            raise UserError(
                f"num_dev_tasks={self.num_dev_tasks} leaves none of the {len(present)} train "
                f"tasks that are here to train on; carve at most {max(len(present) - 1, 0)}"
            )
        by_draw = sorted(present, key=lambda name: draw(self.seed, "dev task", name))
        carved = set(by_draw[: self.num_dev_tasks])
        return [name for name in present if name in carved]

    def _drawn(self, names: list[str]) -> list[str]:
        """num_train_tasks of the tasks that have files, in order; or all names if it is None."""
        if self.num_train_tasks is None:
            return names
        files = self._task_files()
        present = [name for name in names if name in files]
        if self.num_train_tasks > len(present):
            raise UserError(
                f"num_train_tasks={self.num_train_tasks} must be at most the {len(present)} train "
                f"tasks that are here; give --num_train_tasks={len(present)} or fewer, or leave it "
                "out for all"
            )
        by_draw = sorted(present, key=lambda name: draw(self.seed, "train_tasks", name))
        drawn = set(by_draw[: self.num_train_tasks])
        return [name for name in present if name in drawn]

    def _task_files(self) -> dict[str, Path]:
        """Name of a task → its file. One listing: in a bucket, each single check costs as much."""
        files = (self.root / "tasks").iterdir()
        return {file.stem: file for file in files if file.suffix == ".json"}

    def _present(self, track: str, split: str, only: str | None) -> list[Path]:
        names = self.task_names(track, split)
        if only is not None:
            if only not in names:
                raise EmptySplitError(
                    f"task={only!r} is not in split {split!r} of {track}; "
                    + self._where_listed(only, track, split)
                )
            names = [only]
        files = self._task_files()
        found = [files[name] for name in names if name in files]
        if not found:
            raise EmptySplitError(
                f"split {split!r} of {track} is empty: none of the {len(names)} tasks that it "
                f"lists has a file in {self.root / 'tasks'}; take the whole of tasks/ from {SOURCE}"
            )
        if len(found) < len(names):
            absent = len(names) - len(found)
            _warn_once(
                f"{track}/{split}: {absent} of {len(names)} listed tasks have no file in "
                f"{self.root / 'tasks'} and are passed over"
            )
        self._warn_of_seen_tests(track, files)
        return found

    def _where_listed(self, name: str, track: str, split: str) -> str:
        """For a message: the split that has the task, else the most similar name, else the list."""
        for other in ("train", "test", "excluded"):
            listed = self.root / "splits" / track / f"{other}_tasks.txt"
            if other != split and listed.exists() and name in self.task_names(track, other):
                return f"it is in {other!r}"
        if near := difflib.get_close_matches(name, self.task_names(track, split), n=1):
            return f"did you mean {near[0]}?"
        file = "train" if split in ("validation", "dev") else split
        if self.supervised and split in ("train", "validation"):
            file = "test"
        return f"{file}_tasks.txt lists those that are"

    def _warn_of_seen_tests(self, track: str, files: Mapping[str, Path]) -> None:
        """Logs which test tasks are also train tasks, under the same name or as a copied file."""
        if self.supervised:
            return
        folder = self.root / "splits" / track
        if not all((folder / f"{split}_tasks.txt").exists() for split in ("train", "test")):
            return
        num_needed = self.num_dev_tasks + (self.num_train_tasks or 1)
        if sum(name in files for name in self._listed(track, "train")) < num_needed:
            return  # nothing can be trained on here
        train = {n: files[n] for n in self.task_names(track, "train") if n in files}
        test = {n: files[n] for n in self._listed(track, "test") if n in files}
        seen = [name for name in test if name in train]
        seen += [f"{name} (as {twin})" for name, twin in _copies(test, train)]
        if seen:
            named = ", ".join(seen[:3]) + (", …" if len(seen) > 3 else "")
            _warn_once(
                f"{track}: {len(seen)} of {len(test)} test tasks are train tasks too: {named}; "
                "what is scored on them was seen in training: take them out of train_tasks.txt "
                f"or test_tasks.txt in {folder}"
            )

    def examples(self, track: str, split: str, only: str | None = None) -> list[Example]:
        """The examples of a split, task by task in the split's order. `only` names a single task.

        Raises UserError for a missing directory, an empty split or a broken file (with file, field
        and rule). Skips listed tasks without a file, with a warning.
        """
        paths = self._present(track, split, only)
        # One cache entry holds a train task's instances for train and for validation.
        sampled = self.max_instances_per_train_task + self.max_instances_per_validation_task
        evaluated = self.max_instances_per_eval_task if self.supervised else 0
        if split == "train":
            keep = _Sample(self.seed, sampled, evaluated)
            part = slice(0, self.max_instances_per_train_task)
        elif split == "validation":
            keep = _Sample(self.seed, sampled, evaluated)
            part = slice(self.max_instances_per_train_task, sampled)
        else:
            keep = _Sample(None, self.max_instances_per_eval_task)
            part = slice(None)
        tasks = _read_tasks(paths, keep, Path(self.cache_dir or default_cache_dir()) / "records")
        examples = [
            Example(id_, task, input_, tuple(references))
            for task, instances in tasks
            for id_, input_, references in instances[part]
        ]
        if not examples:
            if self.supervised:
                raise EmptySplitError(
                    f"split {split!r} of {track} is empty: no test task has instances to train on "
                    f"beyond the first max_instances_per_eval_task="
                    f"{self.max_instances_per_eval_task}, which are evaluated; lower it"
                )
            raise EmptySplitError(
                f"split {split!r} of {track} is empty: no task has more than "
                f"max_instances_per_train_task={self.max_instances_per_train_task} instances to "
                "leave any over; lower it, or train without validation (EVAL_PERIOD=0)"
            )
        return examples

    @property
    def selection(self) -> dict[str, Any]:
        """The options that choose the examples, by name, without those that are not set."""
        others = ("data_dir", "cache_dir", "tokenization")
        return {
            name: value
            for name, value in asdict(self).items()
            if name not in others and value is not None and value is not False
        }

    def fingerprint(self, track: str, split: str, only: str | None = None) -> str:
        """A hash of the options and of the files' content. It changes if `examples` may change."""
        settings = {"data_dir": None, **self.selection, "cache_dir": None}
        digest = hashlib.sha256(json.dumps([_MEANING, track, split, settings]).encode())
        paths = self._present(track, split, only)
        for path, content in zip(paths, _contents(paths), strict=True):
            digest.update(f"{path.stem}\0{content.hash}\0".encode())
        return digest.hexdigest()


# An instance in a cache entry: id, input, references.
_Instance = tuple[str, str, list[str]]


@dataclass(frozen=True)
class _Sample:
    """Which instances of a file are kept: `count` drawn by the seed, or the first if it is None.

    None of the first `evaluated` ones is drawn, and none with the input of one of them.
    """

    seed: int | None
    count: int
    evaluated: int = 0

    def take(self, task: str, instances: Sequence[_Instance]) -> list[_Instance]:
        if self.seed is None:
            return list(instances[: self.count])
        seed = self.seed
        inputs = {input_ for _, input_, _ in instances[: self.evaluated]}
        others = [each for each in instances[self.evaluated :] if each[1] not in inputs]
        others.sort(key=lambda each: draw(seed, "train instance", task, each[0]))
        return others[: self.count]


_REPAIR = "correct the file or restore it (`tk-instruct tasks doctor` lists all that is wrong)"
_Texts = str | Annotated[list[str], msgspec.Meta(min_length=1)]
_Name = Annotated[str, msgspec.Meta(pattern=r"\S")]


class _FileInstance(msgspec.Struct, frozen=True):
    input: str
    output: _Texts
    id: Annotated[str, msgspec.Meta(min_length=1)] | msgspec.UnsetType = msgspec.UNSET


class _TaskFile(msgspec.Struct, frozen=True):
    """The fields that are read of a task file."""

    definition: _Texts = msgspec.field(name="Definition")
    categories: _Name | Annotated[list[_Name], msgspec.Meta(min_length=1)] = msgspec.field(
        name="Categories"
    )
    positive_examples: tuple[Demonstration, ...] = msgspec.field(name="Positive Examples")
    negative_examples: tuple[Demonstration, ...] = msgspec.field(name="Negative Examples")
    instances: Annotated[list[_FileInstance], msgspec.Meta(min_length=1)] = msgspec.field(
        name="Instances"
    )
    input_languages: str | list[str] = msgspec.field(name="Input_language", default_factory=list)
    output_languages: str | list[str] = msgspec.field(name="Output_language", default_factory=list)


class _Beginning(msgspec.Struct, frozen=True):
    """The field that is read of a task file to know where it comes from."""

    source: str | list[str] = msgspec.field(name="Source")


def read_task(path: PathLike) -> tuple[TaskSpec, list[_Instance]]:
    """The task and all instances of a file. Raises UserError with file, field and rule.

    Also accepts what some revisions of the collection have: one string as Definition, Categories or
    output, and instances without an id, which are then numbered.
    """
    return _parse(read_file(path), Path(path))


def _parse(content: bytes, path: Path) -> tuple[TaskSpec, list[_Instance]]:
    file = schema.parse(content, _TaskFile, str(path), _REPAIR)
    task = TaskSpec(
        name=path.stem,
        definition=_texts(file.definition)[0],
        positive_examples=file.positive_examples,
        negative_examples=file.negative_examples,
        categories=tuple(_texts(file.categories)),
        input_languages=tuple(_texts(file.input_languages)),
        output_languages=tuple(_texts(file.output_languages)),
    )
    instances = [
        (item.id or f"{path.stem}-{k}", item.input, _texts(item.output))
        for k, item in enumerate(file.instances)
    ]
    seen: set[str] = set()
    for k, (id_, _, _) in enumerate(instances):
        if id_ in seen:
            raise UserError(
                f"{path}: Instances[{k}].id is {schema.shortened(id_)} but must not be the id of "
                f"another instance; {_REPAIR}"
            )
        seen.add(id_)
    return task, instances


def _texts(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


_BEGINNING = 1 << 16  # bytes: the field Source stands before the instances
_STRING = rb'"(?:[^"\\]|\\.)*"'
_SOURCE = re.compile(rb'"Source"\s*:\s*(?:\[(?:[^]"]|%b)*\]|%b)' % (_STRING, _STRING), re.DOTALL)


def _sources(path: Path) -> list[str]:
    """The field Source of a task file, of which only the beginning is read, or nothing."""
    found = _SOURCE.search(read_file(path, _BEGINNING))
    if not found:
        return []
    return _texts(schema.parse(b"{%b}" % found[0], _Beginning, str(path), _REPAIR).source)


def _copies(some: Mapping[str, Path], others: Mapping[str, Path]) -> list[tuple[str, str]]:
    """Pairs of tasks (of some, of others) with equal files. Checks only local files.

    Reading all files from a bucket would take too long.
    """
    of_size: dict[int, list[str]] = {}
    for name, path in others.items():
        of_size.setdefault(_size(path), []).append(name)
    found = []
    for name, path in some.items():
        alike = [other for other in of_size.get(_size(path), ()) if other != name]
        if alike and _size(path):
            content, *contents = _contents([path, *(others[other] for other in alike)])
            found += [(name, a) for a, b in zip(alike, contents, strict=True) if b == content]
    return found


def _size(path: Path) -> int:
    """The size of a local file in bytes, or 0 for a file in a bucket or without a size."""
    try:
        return os.path.getsize(path) if is_local(path) else 0
    except OSError:
        return 0


@lru_cache(maxsize=256)
def _warn_once(message: str) -> None:
    log.warning(message)


class _Content(NamedTuple):
    hash: str
    num_bytes: int


def _content(path: Path) -> _Content:
    content = read_file(path)
    return _Content(hashlib.sha256(content).hexdigest(), len(content))


# Hashing a bucket's files fetches gigabytes, so it is done once in a process.
_content_of_object = lru_cache(maxsize=None)(_content)


def _contents(paths: Sequence[Path]) -> list[_Content]:
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # hashing releases the interpreter's lock
        return list(pool.map(lambda p: (_content if is_local(p) else _content_of_object)(p), paths))


def _entry(cache: Path, path: Path, content_hash: str, keep: _Sample) -> Path:
    evaluated = [keep.evaluated] if keep.evaluated else []
    key = hashlib.sha256(
        json.dumps([_FORMAT, path.stem, content_hash, keep.seed, keep.count, *evaluated]).encode()
    ).hexdigest()
    return cache / key[:2] / f"{key}.msgpack"


def _read_tasks(
    paths: Sequence[Path], keep: _Sample, cache: Path
) -> list[tuple[TaskSpec, Sequence[_Instance]]]:
    """The task and the kept instances of each file. Parses the files that the cache lacks."""
    contents = _contents(paths)
    entries = [
        _entry(cache, path, content.hash, keep)
        for path, content in zip(paths, contents, strict=True)
    ]
    cached = [_load_entry(entry) for entry in entries]
    _fill_cache(
        [
            {"path": str(path), "keep": asdict(keep), "cache": str(cache)}
            for path, stored in zip(paths, cached, strict=True)
            if stored is None
        ],
        {str(path): content.num_bytes for path, content in zip(paths, contents, strict=True)},
    )
    tasks = []
    for entry, stored in zip(entries, cached, strict=True):
        stored = stored or _load_entry(entry)
        if stored is None:
            raise UserError("a task file changed while it was being read; run the command again")
        tasks.append(stored)
    return tasks


# A cache entry is a MessagePack document after its SHA-256. A damaged entry counts as missing.


def _write_entry(entry: Path, task: TaskSpec, instances: Sequence[_Instance]) -> None:
    content = msgpack.packb([task.to_json(), instances])
    write_atomically(entry, hashlib.sha256(content).digest() + content)


def _load_entry(entry: Path) -> tuple[TaskSpec, Sequence[_Instance]] | None:
    """The task and instances of a cache entry, or None if it is missing or damaged."""
    try:
        stored = entry.read_bytes()
    except OSError:
        return None
    digest, content = stored[:32], stored[32:]
    if hashlib.sha256(content).digest() != digest:
        return None
    try:
        task, instances = msgpack.unpackb(content, use_list=False)
        return TaskSpec.from_json(task), instances
    except (ValueError, TypeError, KeyError, RecursionError):  # another version wrote it
        return None


def _fill_cache(jobs: Sequence[dict[str, Any]], sizes: Mapping[str, int]) -> None:
    total_bytes = sum(sizes[job["path"]] for job in jobs)
    if total_bytes < _BYTES_WORTH_A_PROCESS:
        errors = [error for job in jobs if (error := _fill_entry(job))]
    else:
        log.info("parsing %d task files (%.1f GB)", len(jobs), total_bytes / 1e9)
        waiting = deque(sorted(jobs, key=lambda job: -sizes[job["path"]]))
        num_workers = os.cpu_count() or 1
        with ThreadPoolExecutor(num_workers) as pool:
            workers = [pool.submit(_fill_in_process, waiting) for _ in range(num_workers)]
            try:
                wait(workers, return_when=FIRST_EXCEPTION)
            finally:
                waiting.clear()  # after Ctrl-C or an error, workers stop after the present file
        errors = [error for worker in workers for error in worker.result()]
    if errors:
        more = f" ({len(errors) - 1} more files are broken)" if len(errors) > 1 else ""
        raise UserError(min(errors) + more)


def _fill_in_process(waiting: deque[dict[str, Any]]) -> list[str]:
    """Gives jobs to one worker process until none is waiting. Returns messages on broken files."""
    # Not multiprocessing: a fork after JAX has started threads can hang, and a spawned process runs
    # the caller's main module again.
    code = "from tk_instruct.tasks.superni import records; records.fill_from_stdin()"
    errors: list[str] = []
    with (
        contextlib.suppress(BrokenPipeError),  # the worker died, its status is checked below
        subprocess.Popen(
            [sys.executable, "-P", "-c", code],  # -P: imports nothing from the current folder
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            start_new_session=True,  # Ctrl-C reaches only this process, whose end stops the worker
        ) as worker,
    ):
        requests, answers = cast(IO[str], worker.stdin), cast(IO[str], worker.stdout)
        with contextlib.suppress(IndexError):  # no more jobs
            while True:
                print(json.dumps(waiting.popleft()), file=requests, flush=True)
                line = answers.readline()
                if not line:
                    break
                answer = json.loads(line)
                if answer["failed"]:
                    raise UserError(answer["failed"])
                if answer["broken"]:
                    errors.append(answer["broken"])
    if worker.returncode:
        raise UserError(
            f"a process that parses task files ended with status {worker.returncode}; "
            "its message is above, -9 means that memory ran out"
        )
    return errors


def fill_from_stdin() -> None:
    """Runs in a worker process. Reads one job a line from stdin, writes one answer a line."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # end without a message if the reader is gone
    for line in sys.stdin:
        broken = failed = None
        try:
            broken = _fill_entry(json.loads(line))
        except UserError as error:  # the cache cannot be written
            failed = str(error)
        print(json.dumps({"broken": broken, "failed": failed}), flush=True)


def _fill_entry(job: Mapping[str, Any]) -> str | None:
    """Parses one file into its cache entry. Returns a message if the file is broken, else None."""
    path, keep, cache = Path(job["path"]), _Sample(**job["keep"]), Path(job["cache"])
    content = read_file(path)
    try:
        task, instances = _parse(content, path)
    except UserError as error:
        return str(error)
    kept = keep.take(task.name, instances)
    # Hashes the parsed content, because the file may have changed since it was first hashed.
    _write_entry(_entry(cache, path, hashlib.sha256(content).hexdigest(), keep), task, kept)
    return None
