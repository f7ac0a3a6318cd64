"""Reads trees of PromptSource's templates: DATASET[/SUBSET]/templates.yaml.

Only YAML's safe types and PromptSource's two tags are read. A file is read when its data set is
asked for, and again when it has changed.
"""

import hashlib
import os
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, NamedTuple

import msgspec
import yaml

from tk_instruct import schema
from tk_instruct.errors import MissingDataError, UserError
from tk_instruct.files import Path, is_local, read_file

from .settings import P3

OWN = Path(__file__).parent / "prompts"
# Fingerprint → version of promptsource.
VERSIONS: Mapping[str, str] = {
    "356a1a4d430ae712": "0.1.0",
    "13683861f2ae56d4": "0.2.0",  # and 0.2.1
    "16d6e11f5b573c13": "0.2.2",
    "bee186e66de8b97a": "0.2.3",
    "c7082ba3fc6d2304": "after 0.2.3, commit 7dab96a",
}
UNKNOWN = "unknown"
_FILE = "templates.yaml"
_REPAIR = "correct the template"
_LAYOUT = (
    "correct it: fields stand under each other, indented with spaces, and a text that has {{, ' or "
    "a colon stands in quotes"
)
_TEXTS = ("id", "name", "jinja", "answer_choices")
_NOT_READ = {"reference", "task_template"}  # what PromptSource says of a template for people
_MOST_BYTES = 10_000_000  # of a file


class DatasetName(NamedTuple):
    """A data set of the Hub, and its subset (its configuration there) if templates name one."""

    name: str
    subset: str | None = None

    def __str__(self) -> str:
        return f"{self.name}/{self.subset}" if self.subset else self.name


class PromptedDataset(NamedTuple):
    """A data set under a template, which is a task.

    Attributes:
        task: the name of the task.
        template: the template's name.
        round: of ANLI, such as r1, else empty.
    """

    task: str
    dataset: DatasetName
    template: str
    round: str = ""

    def split_of_rows(self, split: str) -> str:
        """The Hub's name of a split. ANLI's rounds are splits there."""
        if not self.round:
            return split
        return f"{'dev' if split == 'validation' else split}_{self.round}"


class Metadata(msgspec.Struct, frozen=True):
    """What PromptSource says of a template.

    Attributes:
        original_task: whether the template asks for what the data set was made for.
        choices_in_prompt: whether the prompt shows the choices.
    """

    original_task: bool | None = None
    choices_in_prompt: bool | None = None
    metrics: tuple[str, ...] | None = None
    languages: tuple[str, ...] | None = None


class Template(msgspec.Struct, frozen=True):
    """A prompt of a data set. jinja has the input and the target, with ||| between them.

    answer_choices is a template of the choices, with ||| between them, or None.
    """

    id: str
    name: str
    jinja: str
    answer_choices: str | None = None
    metadata: Metadata = Metadata()

    @property
    def is_scored(self) -> bool:
        """Whether T0 is evaluated with it: it asks for the original task and has choices."""
        return bool(self.metadata.original_task and self.answer_choices)


class _File(msgspec.Struct, frozen=True):
    dataset: str
    templates: dict[Any, dict[str, Any]]
    subset: str | None = None


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML's safe types and PromptSource's tags, without the key <<, which can grow endlessly."""


def _mapping(loader: Any, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [loader.construct_object(key, deep=True) for key, _ in node.value]
    seen: set[Any] = set()
    for key in keys:
        if not isinstance(key, Hashable):
            raise yaml.constructor.ConstructorError(
                None, None, f"found the key {key!r:.60}, which is no text", node.start_mark
            )
        if key in seen:
            raise yaml.constructor.ConstructorError(
                None, None, f"found the key {key!r} twice", node.start_mark
            )
        seen.add(key)
    values = (loader.construct_object(value, deep=True) for _, value in node.value)
    return dict(zip(keys, values, strict=True))


def _unknown(loader: Any, node: yaml.Node) -> None:
    raise yaml.constructor.ConstructorError(
        None, None, f"{node.tag} is none of the tags !Template, !TemplateMetadata", node.start_mark
    )


for _tag in ("!Template", "!TemplateMetadata", "tag:yaml.org,2002:map"):
    _Loader.add_constructor(_tag, _mapping)
_Loader.add_constructor(None, _unknown)


@dataclass(frozen=True)
class Tree:
    """A tree of templates."""

    root: Path

    def datasets(self) -> list[DatasetName]:
        """All data sets of the tree, in the order of their folders' names."""
        return [read(path).dataset for path in self.files()]

    def templates(self, dataset: DatasetName) -> Mapping[str, Template]:
        """Name → template, in the file's order. Empty if the tree does not have the data set."""
        path = self.root / str(dataset) / _FILE
        return read(path).templates if path.is_file() else {}

    @property
    def fingerprint(self) -> str:
        """A hash of all files, which does not depend on how lines end."""
        digest = hashlib.sha256()
        for path in self.files():
            content = read_file(path).replace(b"\r\n", b"\n")
            digest.update(f"{path.parent.relative_to(self.root).as_posix()}\0".encode())
            digest.update(hashlib.sha256(content).digest())
        return digest.hexdigest()[:16]

    @property
    def state(self) -> tuple[Any, ...]:
        """The paths, sizes and times of all files."""
        return tuple((path, *state_of(path)) for path in self.files())

    @property
    def version(self) -> str:
        """The version of promptsource that the tree is, or what else it is."""
        if self.root == Path(OWN):
            return "this project's own"
        return VERSIONS.get(self.fingerprint, UNKNOWN)

    @property
    def about(self) -> str:
        """Version and fingerprint, for people."""
        return f"promptsource templates, version {self.version}, fingerprint {self.fingerprint}"

    def files(self) -> list[Path]:
        """The files of templates, in the order of their folders' names."""
        return sorted(self.root.glob(f"*/{_FILE}")) + sorted(self.root.glob(f"*/*/{_FILE}"))


def tree() -> Tree:
    """The tree in use. Raises UserError if there is none, or not the version that is asked for."""
    settings = P3()
    found = Tree(_root(settings.templates)) if settings.templates else Tree(Path(OWN))
    if settings.templates_version:
        _check_version(found, settings.templates_version)
    return found


@cache
def _check_version(found: Tree, wanted: str) -> None:
    if found.version != wanted:
        raise UserError(
            f"P3.templates_version={wanted!r}, and {found.root} is {found.version} (fingerprint "
            f"{found.fingerprint}); give --p3_templates with promptsource {wanted}, or leave the "
            "version out (--gin.P3.templates_version=None)"
        )


@cache
def _root(given: str) -> Path:
    """The folder with the data sets' folders in a checkout, an archive or a tree."""
    path = Path(given).expanduser()
    inside = "promptsource/templates"
    archives = sorted(path.glob(f"*/{inside}")) if path.is_dir() else []
    for root in (path / inside, path / "templates", *archives, path):
        if any(root.glob(f"*/{_FILE}")) or any(root.glob(f"*/*/{_FILE}")):
            return root.resolve()
    raise UserError(
        f"--p3_templates={given} has no DATASET/{_FILE}; give a checkout of promptsource, an "
        "unpacked source archive of its package, or a tree of such files"
    )


class Contents(NamedTuple):
    """A data set, and its templates by name in the file's order.

    Attributes:
        unknown: name of a template → its fields that PromptSource does not have.
    """

    dataset: DatasetName
    templates: Mapping[str, Template]
    unknown: Mapping[str, list[str]]


def read(path: Path) -> Contents:
    """A file of templates. Raises UserError with the file and the template that is wrong."""
    return _parsed(path, *state_of(path))


def state_of(path: Path) -> tuple[int, float]:
    """The size of a file and the time of its last change."""
    if is_local(path):
        return os.stat(path).st_size, os.stat(path).st_mtime
    return path.stat().length, path.stat().mtime


@lru_cache(maxsize=1024)
def _parsed(path: Path, size: int, modified: float) -> Contents:
    """size and modified are only part of the cache's key: a changed file is read again."""
    if size > _MOST_BYTES:
        raise UserError(f"{path} has {size:,} bytes; {_MOST_BYTES:,} are allowed, so split it")
    try:
        document = yaml.load(read_file(path), _Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: {_what_is_wrong(error)}") from error
    file = schema.convert(document, _File, str(path), _REPAIR)
    dataset = DatasetName(file.dataset, file.subset or None)
    if not path.parent.as_posix().endswith(f"/{dataset}"):
        raise UserError(
            f"{path}: it says that it is of {dataset}, and its folder is {path.parent.name}; "
            f"rename the folder to {dataset}, or correct dataset and subset"
        )
    templates: dict[str, Template] = {}
    unknown: dict[str, list[str]] = {}
    for key, fields in file.templates.items():
        where = f"{path}: template {fields.get('name', key)!r:.60}"
        for field in _TEXTS:
            if not isinstance(value := fields.get(field), str | None):
                raise UserError(
                    f"{where}: {field} is {schema.shortened(value)} but must be a string; put it "
                    "in quotes" + ", with ||| between choices" * (field == "answer_choices")
                )
        template = schema.convert(fields, Template, where, _REPAIR)
        if template.id != key:
            raise UserError(
                f"{path}: the template {template.name!r} has the id {template.id!r} and stands at "
                f"{key!r}; make them the same"
            )
        if template.name in templates:
            raise UserError(
                f"{path}: two templates have the name {template.name!r}; rename one of them"
            )
        templates[template.name] = template
        metadata = fields.get("metadata", {})
        unknown[template.name] = [
            *(name for name in fields if name not in {*Template.__struct_fields__, *_NOT_READ}),
            *(name for name in metadata if name not in Metadata.__struct_fields__),
        ]
    return Contents(dataset, templates, unknown)


def _what_is_wrong(error: Exception) -> str:
    """What of a file is not YAML of promptsource, and the repair."""
    if isinstance(error, yaml.reader.ReaderError):
        return f"not UTF-8 at byte {error.position} ({error.reason}); save it as UTF-8"
    if isinstance(error, yaml.MarkedYAMLError) and (mark := error.problem_mark):
        where = f"line {mark.line + 1}, column {mark.column + 1}"
        if isinstance(error, yaml.constructor.ConstructorError):
            return f"{where}: {error.problem}; correct it"
        reason = " ".join(filter(None, [error.problem, error.context]))
        return f"{where}: not YAML ({reason}); {_LAYOUT}"
    reason = " ".join(str(error).split())[:300] or "it is nested too deeply"
    return f"not YAML ({reason}); correct it"


def template_of(dataset: DatasetName, name: str) -> Template:
    """A template of the tree in use. Raises MissingDataError if the tree lacks it."""
    found = tree()
    template = found.templates(dataset).get(name)
    if template is None:
        raise MissingDataError(
            f"the template {name!r} of {dataset} is not in {found.root} ({found.version}); give "
            "--p3_templates a checkout of promptsource, or an unpacked source archive of its "
            "package: T0's templates are those of version 0.1.0"
        )
    return template


def digest(template: Template) -> str:
    """A text that changes when what the template makes of a row changes."""
    return hashlib.sha256(msgspec.json.encode(template)).hexdigest()
