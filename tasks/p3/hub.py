"""Downloads datasets of Hugging Face's Hub: their files of rows, as they are there.

Taken are the files that the Hub has converted to parquet, else the parquet files or JSON lines that
the dataset's authors have put there. No code of a dataset is run. Needs the package
huggingface_hub, which reads $HF_ENDPOINT and $HF_TOKEN.
"""

import contextlib
import hashlib
import os
import pathlib
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from tk_instruct import schema
from tk_instruct.errors import UserError
from tk_instruct.files import Path, PathLike, is_local, write_tree
from tk_instruct.progress import Progress

_CONVERTED = "refs/convert/parquet"  # the branch of the files that the Hub has converted
_MAIN = "main"
_FORMATS = ("parquet", "jsonl", "jsonl.gz")
_ROWS = re.compile(r"(?P<stem>.+)\.(?P<format>parquet|jsonl|jsonl\.gz)")
_NOTE = "source.json"  # beside the files: where they are from, and their licence
_SECONDS = 30  # that the Hub may take to answer
_MEGABYTE = 1_000_000

_NAME = re.compile(r"\w[\w.-]*")
_SPLIT = re.compile(r"(train|validation|valid|val|dev|test|unsupervised)([_.]\w+)*")
# The number of a file in its split, and the end of its hash, that authors' tools put behind a name.
_SHARD = re.compile(r"-\d{5}-of-\d{5}(-[0-9a-f]+)?$")
# What authors call a split → what the Hub calls it.
_CALLED = {"dev": "validation", "val": "validation", "valid": "validation"}


@dataclass(frozen=True)
class _File:
    """A file of the Hub. The hash is known of large files only."""

    path: str
    size: int | None
    sha256: str | None


@dataclass
class _Config:
    """The files of a subset: split → format → files."""

    splits: dict[str, dict[str, list[_File]]] = field(default_factory=dict)
    is_partial: bool = False

    def add(self, split: str, format_: str, file: _File) -> None:
        self.splits.setdefault(split, {}).setdefault(format_, []).append(file)

    def files(self) -> dict[str, _File]:
        """The name here → the file there. A split has one format: parquet if it can."""
        names = {}
        for split, found in self.splits.items():
            format_ = min(found, key=_FORMATS.index)
            for number, file in enumerate(sorted(found[format_], key=lambda file: file.path)):
                names[f"{split}-{number:04d}.{format_}"] = file
        return names


@dataclass(frozen=True)
class _Found:
    """The files to download: name here → file there, at a commit of a branch."""

    branch: str
    commit: str
    licence: str
    files: Mapping[str, _File]


class _Note(msgspec.Struct):
    dataset: str
    branch: str
    commit: str
    licence: str


def download(dataset: str, subset: str | None, directory: PathLike) -> pathlib.Path:
    """Downloads all splits of a dataset to DIRECTORY/DATASET[/SUBSET]/SPLIT-0000.parquet.

    JSON lines keep their format. Does nothing if rows are there already. The folder appears once it
    is complete. Without a subset, a dataset must have only one, or one that is named default,
    plain_text or as the dataset.

    Raises UserError if the dataset is not on the Hub, is gated, has several subsets or no files of
    rows, or if the network, the server or the disk fails.
    """
    target = _folder(dataset, subset, directory)
    if _has_rows(target):
        return target
    with _as_user_errors(dataset):
        found = _look_up(dataset, subset)
    try:
        return write_tree(
            target,
            lambda tree: _fill(tree, dataset, found),
            is_there=_has_rows,
            what=f"rows of {_label(dataset, subset)}",
        )
    except BaseException:
        # write_tree has made the folders above; rmdir removes those that are empty.
        with contextlib.suppress(OSError):
            for parent in target.parents:
                if parent == pathlib.Path(directory).expanduser():
                    break
                parent.rmdir()
        raise


def licence(dataset: str, subset: str | None, directory: PathLike) -> str:
    """The licence that the Hub told of a dataset when it was downloaded; "" if none is known.

    Raises UserError if the note of the download is damaged.
    """
    note = Path(directory).expanduser() / _label(dataset, subset) / _NOTE
    return schema.read(note, _Note, "remove it").licence if note.is_file() else ""


def _label(dataset: str, subset: str | None) -> str:
    return f"{dataset}/{subset}" if subset else dataset


def _folder(dataset: str, subset: str | None, directory: PathLike) -> pathlib.Path:
    parts = [*dataset.split("/"), *([subset] if subset else [])]
    if len(parts) > 3 or not all(_NAME.fullmatch(part) for part in parts):
        raise UserError(
            f"{_label(dataset, subset)!r} is no name of a dataset; names have letters, digits, "
            "'_', '-' and '.', as glue/mrpc"
        )
    if not is_local(directory):
        raise UserError(f"{directory} is not on this machine; download to a folder here, copy it")
    return pathlib.Path(directory).expanduser().joinpath(*parts)


def _has_rows(folder: pathlib.Path) -> bool:
    return folder.is_dir() and any(_ROWS.fullmatch(path.name) for path in folder.iterdir())


def _endpoint() -> str:
    """The Hub's address. huggingface_hub itself reads the variable only once."""
    return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


@contextlib.contextmanager
def _as_user_errors(dataset: str) -> Iterator[None]:
    """Turns what huggingface_hub raises into UserError. Errors of the disk are left."""
    try:
        import huggingface_hub.errors as hub
    except ImportError as error:
        raise UserError(
            "downloads from Hugging Face's Hub need the package huggingface_hub; install it with "
            "pip install 'tk_instruct[hub]'"
        ) from error
    page = f"{_endpoint()}/datasets/{dataset}"
    by_hand = "or put its files into the folder of --p3_data by hand"
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # HTTP clients raise errors of many classes
        if isinstance(error, OSError) and not isinstance(error, ConnectionError) and error.errno:
            raise
        cause = error
        if isinstance(error, hub.LocalEntryNotFoundError) and isinstance(
            error.__cause__, Exception
        ):
            cause = error.__cause__  # "it is not in the cache either", which was not asked
        match cause:
            case hub.GatedRepoError():
                problem = "its authors give it only to those who accept their conditions"
                repair = f"accept them at {page} and set HF_TOKEN to your token, {by_hand}"
            case hub.RepositoryNotFoundError():
                problem = "there is no such dataset, or it is private"
                repair = f"check the name, set HF_TOKEN to your token if it is private, {by_hand}"
            case hub.HfHubHTTPError():
                status = cause.response.status_code
                problem = f"the server answers {status} {cause.response.reason_phrase}"
                repair = "check HF_TOKEN" if status in (401, 403) else "try again later"
                repair += f", {by_hand}"
            case _:
                reason = " ".join(str(cause).split())[:200]
                problem = f"{type(cause).__name__}: {reason}"
                repair = f"check the network and HF_ENDPOINT, run it again, {by_hand}"
        raise UserError(f"{page} cannot be downloaded ({problem}); {repair}") from error


def _look_up(dataset: str, subset: str | None) -> _Found:
    """What to download: from the branch of converted files, else from main."""
    from huggingface_hub.errors import RevisionNotFoundError

    main = _info(dataset, _MAIN)
    branches = {_MAIN: (main, _configs(main, _of_authors))}
    with contextlib.suppress(RevisionNotFoundError):  # the Hub has not converted all datasets
        converted = _info(dataset, _CONVERTED)
        branches = {_CONVERTED: (converted, _configs(converted, _of_hub)), **branches}

    licences = [tag.partition(":")[2] for tag in main.tags or [] if tag.startswith("license:")]
    for branch, (info, configs) in branches.items():
        config = configs.get(_chosen(dataset, subset, configs))
        if config and not config.is_partial:
            return _Found(branch, info.sha or branch, ", ".join(licences), config.files())
    raise _nothing(dataset, subset, {branch: configs for branch, (_, configs) in branches.items()})


def _info(dataset: str, branch: str) -> Any:
    """The Hub's description of a branch, with its files."""
    from huggingface_hub import HfApi

    return HfApi(endpoint=_endpoint()).dataset_info(
        dataset, revision=branch, files_metadata=True, timeout=_SECONDS
    )


def _configs(info: Any, place: Callable[[list[str], str], Any]) -> dict[str, _Config]:
    """Subset → files, of a branch's files. Raises UserError for a file outside of the branch."""
    configs: dict[str, _Config] = {}
    for sibling in info.siblings or []:
        path = sibling.rfilename
        if "\\" in path or any(part in ("", ".", "..") for part in path.split("/")):
            raise UserError(
                f"{_endpoint()}/datasets/{info.id} lists a file {path!r}; names of files lie "
                "within a dataset, so nothing is downloaded: check HF_ENDPOINT"
            )
        *folders, name = path.split("/")
        named = _ROWS.fullmatch(name)
        placed = place(folders, named["stem"]) if named else None
        if named and placed:
            config, split, is_partial = placed
            sha256 = sibling.lfs.sha256 if sibling.lfs else None
            found = configs.setdefault(config, _Config())
            found.add(split, named["format"], _File(path, sibling.size, sha256))
            found.is_partial |= is_partial
    return configs


def _of_hub(folders: list[str], stem: str) -> tuple[str, str, bool] | None:
    """(subset, split, is partial) of CONFIG/SPLIT/0000.parquet and CONFIG/partial-SPLIT/…."""
    if len(folders) != 2:
        return None
    config, split = folders
    whole = split.removeprefix("partial-")
    return (config, whole, whole != split) if _NAME.fullmatch(whole) else None


def _of_authors(folders: list[str], stem: str) -> tuple[str, str, bool] | None:
    """As _of_hub, of [data/][SUBSET/]SPLIT-00000-of-00001.parquet and the like."""
    split = _SHARD.sub("", stem)
    if folders and stem.isdecimal():  # SPLIT/0000.parquet
        *folders, split = folders
    if folders[:1] == ["data"]:
        folders = folders[1:]
    if not _SPLIT.fullmatch(split):
        return None
    return "/".join(folders), _CALLED.get(split, split), False


def _chosen(dataset: str, subset: str | None, configs: Mapping[str, _Config]) -> str:
    """The name of the subset that is meant. Raises UserError if that is not clear."""
    if subset is not None:
        return subset
    names = sorted(configs)
    if len(names) == 1:
        return names[0]
    for name in ("", "default", "plain_text", dataset.split("/")[-1]):
        if name in names or not names:
            return name
    raise UserError(
        f"{dataset} has the subsets {', '.join(names)}; name one of them, as {dataset}/{names[0]}"
    )


def _nothing(
    dataset: str, subset: str | None, branches: Mapping[str, Mapping[str, _Config]]
) -> UserError:
    """Why no branch has the files of a subset."""
    names = sorted({name for configs in branches.values() for name in configs if name})
    partial = any(config.is_partial for config in branches.get(_CONVERTED, {}).values())
    if subset and names and subset not in names:
        return UserError(
            f"{dataset} has no subset {subset!r} on the Hub, only {', '.join(names)}; name one of "
            "these"
        )
    problem = (
        "only a part of its rows as parquet, because it is large"
        if partial
        else "neither parquet files nor JSON lines that are named by splits, and no code of a "
        "dataset is run"
    )
    return UserError(
        f"{_endpoint()}/datasets/{dataset} has {problem}; put the files of "
        f"{_label(dataset, subset)} into the folder of --p3_data by hand"
    )


def _fill(tree: pathlib.Path, dataset: str, found: _Found) -> None:
    scratch = tree / ".download"  # huggingface_hub puts files of its own beside what it downloads
    megabytes = sum(file.size or 0 for file in found.files.values()) // _MEGABYTE
    with (
        _as_user_errors(dataset),
        Progress(f"downloading {dataset}, megabytes", max(1, megabytes)) as progress,
    ):
        bar = _bar(progress)
        for name, file in found.files.items():
            _fetch(tree / name, scratch, dataset, found.commit, file, bar)
    shutil.rmtree(scratch)
    note = _Note(dataset, found.branch, found.commit, found.licence)
    (tree / _NOTE).write_bytes(msgspec.json.encode(note) + b"\n")


def _bar(progress: Progress) -> Any:
    """A bar for huggingface_hub that shows nothing, and advances the progress of all files."""
    from huggingface_hub.utils import tqdm

    class Bar(tqdm):
        bytes_left = 0

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **{**kwargs, "disable": True})

        def update(self, n: float | None = 1) -> None:
            Bar.bytes_left += int(n or 0)
            megabytes, Bar.bytes_left = divmod(Bar.bytes_left, _MEGABYTE)
            progress.advance(megabytes)

    return Bar


def _fetch(
    path: pathlib.Path, scratch: pathlib.Path, dataset: str, commit: str, file: _File, bar: Any
) -> None:
    """Downloads a file to a path. Raises UserError if it is not what the Hub lists."""
    from huggingface_hub import hf_hub_download

    fetched = pathlib.Path(
        hf_hub_download(
            dataset,
            file.path,
            repo_type="dataset",
            revision=commit,
            local_dir=scratch,
            endpoint=_endpoint(),
            tqdm_class=bar,
        )
    )
    size = fetched.stat().st_size
    problem = ""
    if file.size not in (None, size):
        problem = f"it has {size:,} bytes, and {file.size:,} are listed"
    elif file.sha256:
        with fetched.open("rb") as opened:
            if hashlib.file_digest(opened, "sha256").hexdigest() != file.sha256:
                problem = "its SHA-256 is not the one that is listed"
    if problem:
        raise UserError(
            f"{file.path} of {_endpoint()}/datasets/{dataset} is damaged: {problem}; run it again"
        )
    fetched.replace(path)
