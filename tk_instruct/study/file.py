"""A study's file: a base recipe, axes, settings, evaluations and published scores.

`{axis}` in a text of the file stands for the axis's value.
"""

import math
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec

from tk_instruct import schema, suite
from tk_instruct.configuration import gin_files
from tk_instruct.errors import UserError
from tk_instruct.files import Path, PathLike, read_file

Value = bool | int | float | str
Point = Mapping[str, Value]
"""Axis → value, for all axes or for some."""

_FIELDS = (
    "a study has title, recipe, metrics, settings, axis, evaluation, published and published_rows; "
    "see gin/studies for studies that ship"
)
_PLACEHOLDER = re.compile(r"\{(\w+)\}")
# Flags that a study sets itself, or that run code of others.
_NOT_FOR_EVALUATIONS = (
    *("import", "model_dir", "baseline", "step", "task", "split", "suite", "predictions"),
    *("output", "output_dir", "json", "instances", "published", "distributed", "coordinator"),
    *("num_processes", "process_id", "help"),
)

_Text = Annotated[str, msgspec.Meta(pattern=r"\S")]
_Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z]\w*$")]


class Axis(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is varied.

    Attributes:
        title: for tables and figures; the name if it is empty.
        x: where the values lie on a numeric axis, if they are no numbers themselves.
        scale: of a numeric axis; None is a list of names.
        repeats: whether scores are averaged over the axis, such as seeds.
    """

    name: _Name
    values: Annotated[tuple[Value, ...], msgspec.Meta(min_length=1)]
    title: str = ""
    x: tuple[float, ...] = ()
    scale: Literal["log", "linear"] | None = None
    repeats: bool = False

    @property
    def shown(self) -> str:
        return self.title or self.name

    def x_of(self, value: Value) -> float:
        """Where a value lies on a numeric axis."""
        return self.x[self.values.index(value)] if self.x else float(value)


class Evaluation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is scored of a run.

    Attributes:
        suite: of `evaluate --suite`.
        task: whose predictions are scored; without one the suite evaluates the run itself.
        name: tells several evaluations apart: their metrics are NAME:METRIC.
        predict_flags, evaluate_flags: further flags of the two verbs, each `--NAME=VALUE`.
    """

    suite: _Text
    task: str = ""
    split: _Text = "test"
    name: str = ""
    predict_flags: tuple[str, ...] = ()
    evaluate_flags: tuple[str, ...] = ()


class Published(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A published score, at a point of the study or along some of its axes."""

    at: dict[str, Value]
    system: _Text
    metric: _Text
    value: float
    source: _Text


class PublishedRows(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Scores that a suite has published, taken from there.

    Attributes:
        where: column → the value that rows have in it.
        at: axis → the value in its file, or `{column}`.
        system: in place of the rows' own.
    """

    suite: _Text
    where: dict[str, str]
    at: dict[str, Value]
    system: str = ""


class Study(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a file of a study says.

    Attributes:
        recipe: a gin file, or several, of which later ones override earlier ones.
        metrics: that are shown, the main one first.
        settings: gin macro or parameter → value, of every run.
    """

    title: _Text
    recipe: _Text | tuple[_Text, ...]
    metrics: Annotated[tuple[_Text, ...], msgspec.Meta(min_length=1)]
    axes: Annotated[tuple[Axis, ...], msgspec.Meta(min_length=1)] = msgspec.field(name="axis")
    evaluations: Annotated[tuple[Evaluation, ...], msgspec.Meta(min_length=1)] = msgspec.field(
        name="evaluation"
    )
    settings: dict[str, Any] = {}
    published: tuple[Published, ...] = ()
    published_rows: tuple[PublishedRows, ...] = ()

    @property
    def recipes(self) -> tuple[str, ...]:
        return (self.recipe,) if isinstance(self.recipe, str) else self.recipe

    def axis(self, name: str) -> Axis:
        return next(axis for axis in self.axes if axis.name == name)


def study_of(path: PathLike) -> Study | None:
    """The study in a file, or None if the path is no study's but, say, a run's directory.

    Raises UserError for a file of a study that is wrong.
    """
    return read(path) if os.fspath(path).endswith(".toml") else None


def find(name: PathLike) -> Path:
    """The path of a study's file: here, or among the shipped ones. Raises UserError if none is."""
    path = Path(name).expanduser()
    if path.is_file():
        return path
    if (shipped := gin_files.shipped() / os.fspath(name)).is_file():
        return Path(shipped)
    folder = gin_files.shipped() / "studies"
    known = ", ".join(f"studies/{path.name}" for path in sorted(folder.glob("*.toml")))
    raise UserError(f"{name} is neither a file here nor among the shipped studies ({known})")


def read(name: PathLike) -> Study:
    """The study in a file. Raises UserError with file, field, value, rule and repair."""
    path = find(name)
    try:
        document = tomllib.loads(read_file(path).decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 ({error}); save it as UTF-8") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UserError(f"{path}: not TOML ({error}); correct it") from error
    study = schema.convert(document, Study, str(path), _FIELDS)
    for complaint in _complaints(study):
        raise UserError(f"{path}: {complaint}")
    return study


def _complaints(study: Study) -> Iterator[str]:
    names = [axis.name for axis in study.axes]
    for name in names:
        if names.count(name) > 1:
            yield f"two axes are called {name}; rename one"
    for axis in study.axes:
        yield from _complaints_of_axis(axis)
    for name in sorted({"MODEL_DIR", "TrainRun.model_dir"} & settings_of(study).keys()):
        yield f"settings: {name} is for the study to set, in the folder --runs; leave it out"
    used: set[str] = set()
    values = [(axis.name, text_of(value)) for axis in study.axes for value in axis.values]
    for place, text in (*_texts(study), *values):
        if "\0" in text:
            yield f"{place}={text!r} has a NUL character, which no command can take; take it out"
    for place, text in _texts(study):
        for found in _PLACEHOLDER.findall(text):
            if found not in names:
                yield f"{place}={text!r}: {{{found}}} is no axis; there are {', '.join(names)}"
            used.add(found)
    for name in names:
        if name not in used:
            yield (
                f"the axis {name} changes nothing: no {{{name}}} stands in recipe, settings or an "
                "evaluation; use it, or take it out"
            )
    yield from _complaints_of_evaluations(study.evaluations)
    for score in study.published:
        if not math.isfinite(score.value):
            yield f"published.value={score.value} must be a finite number"
        for name, value in score.at.items():
            if name in names and value not in study.axis(name).values:
                yield f"published.at: {name}={value!r} is none of the axis's values"
    for rule in study.published_rows:
        if rule.suite not in suite.suites():
            yield f"published_rows.suite={rule.suite!r} must be one of {_list(suite.suites())}"
    at = [*(score.at for score in study.published), *(rule.at for rule in study.published_rows)]
    for name in (name for point in at for name in point if name not in names):
        yield f"published: at has {name}, which is no axis; there are {', '.join(names)}"
    for name in (name for point in at for name in point if study.axis(name).repeats):
        yield f"published: at has {name}, over which scores are averaged; leave it out"


def _complaints_of_axis(axis: Axis) -> Iterator[str]:
    where = f"axis {axis.name}"
    shown = list(map(text_of, axis.values))
    for value in shown:
        if shown.count(value) > 1:
            yield f"{where}: {value} is twice among the values; a value is given once"
    numbers = [*axis.x, *(value for value in axis.values if isinstance(value, float))]
    if not all(map(math.isfinite, numbers)):
        yield f"{where}: numbers must be finite, not nan or inf"
    if axis.x and len(axis.x) != len(axis.values):
        yield f"{where}: {len(axis.x)} x must be as many as the {len(axis.values)} values"
    elif axis.scale is None and axis.x:
        yield f'{where}: x is of a numeric axis; give scale = "log" or "linear"'
    elif axis.scale is not None:
        if not axis.x and not all(_is_number(value) for value in axis.values):
            yield f"{where}: values of a numeric axis must be numbers; give their places as x"
        elif axis.scale == "log" and min(map(axis.x_of, axis.values)) <= 0:
            yield f"{where}: what lies on a logarithmic axis must be above 0"
    if axis.repeats and axis.scale:
        yield f"{where}: scores are averaged over repeats, so it has no scale; leave one out"


def _complaints_of_evaluations(evaluations: Sequence[Evaluation]) -> Iterator[str]:
    protocols = [name for each in suite.suites().values() for name in each.evaluations]
    names = [evaluation.name for evaluation in evaluations]
    for evaluation in evaluations:
        if evaluation.suite not in protocols:
            yield f"evaluation.suite={evaluation.suite!r} must be one of {_list(protocols)}"
        if len(evaluations) > 1 and (not evaluation.name or names.count(evaluation.name) > 1):
            yield "several evaluations need a name each, all different; their metrics have it"
        if evaluation.predict_flags and not evaluation.task:
            yield "evaluation.predict_flags are for an evaluation with a task; add one"
        for flag in (*evaluation.predict_flags, *evaluation.evaluate_flags):
            match = re.match(r"--(\w+)(=|$)", flag)
            if not match:
                yield f"evaluation: the flag {flag!r} must be one word, --NAME=VALUE"
            # argparse takes the beginning of a flag for the flag.
            elif any(name.startswith(match[1]) for name in _NOT_FOR_EVALUATIONS):
                yield f"evaluation: {flag} is for the study to set; leave it out"


def _texts(study: Study) -> Iterator[tuple[str, str]]:
    """(Place, text) of all texts in which axes may stand."""
    yield from (("recipe", text) for text in study.recipes)
    yield from settings_of(study).items()
    for each in study.evaluations:
        for name in ("task", "split"):
            yield f"evaluation.{name}", getattr(each, name)
        for flag in (*each.predict_flags, *each.evaluate_flags):
            yield "evaluation", flag


def settings_of(study: Study) -> dict[str, str]:
    """Gin macro or parameter → its value as --gin.NAME=VALUE has it, with {axis} in it."""
    return dict(_flat("", study.settings))


def _flat(prefix: str, settings: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in settings.items():
        # TOML reads TrainRun.seed = 1 as a table. Macros, in capitals, may have tables as values.
        if isinstance(value, Mapping) and (prefix or name != name.upper()):
            yield from _flat(f"{prefix}{name}.", value)
        else:
            yield f"{prefix}{name}", text_of(value)


def text_of(value: Any) -> str:
    """A value as a command line has it."""
    return value if isinstance(value, str) else repr(value)


def filled(text: str, point: Point) -> str:
    """The text with the point's values in place of {axis}."""
    return _PLACEHOLDER.sub(lambda found: text_of(point[found[1]]), text)


def _is_number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
