"""The scores of a study: a cell for each point, means over repeats, published values, fits."""

import difflib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tk_instruct import suite
from tk_instruct.errors import UserError
from tk_instruct.exhibits import Point as Score
from tk_instruct.files import Path, PathLike
from tk_instruct.metrics import PERCENTAGES
from tk_instruct.published import PublishedScore
from tk_instruct.scores import flat_scores
from tk_instruct.study import done, file
from tk_instruct.study.file import Axis, Point, PublishedRows, Study, filled, text_of
from tk_instruct.study.runs import Run, runs_of
from tk_instruct.uncertainty.fits import LogLinearFit, log_linear
from tk_instruct.uncertainty.intervals import mean


@dataclass(frozen=True)
class Mean:
    """A score with its 95 % interval.

    Attributes:
        score: the mean over repeats, such as seeds. Its interval is over them or, of one alone,
            the evaluation's own.
        num_runs: that have the score. A run that is evaluated in several ways counts for each.
    """

    score: Score
    num_runs: int


@dataclass(frozen=True)
class Cell:
    """A point of the study without the axes that repeat.

    Attributes:
        point: axis → value.
        runs: the folders of its runs, those that are not there too.
        scores: metric → its mean, of all metrics that an evaluation has.
        num_missing: evaluations that are not done.
    """

    point: Point
    runs: tuple[Path, ...]
    scores: Mapping[str, Mean]
    num_missing: int


@dataclass(frozen=True)
class PublishedPoint:
    """A published score. point has the axes on which it is known to lie."""

    point: Point
    system: str
    metric: str
    value: float
    source: str


@dataclass(frozen=True)
class Fitted:
    """A line through the cells along a logarithmic axis.

    Attributes:
        point: the values of the other axes.
    """

    metric: str
    axis: str
    point: Point
    line: LogLinearFit


@dataclass(frozen=True)
class Collected:
    """What a study has found so far.

    Attributes:
        axes: without those that repeat.
        repeats: the axes over which scores are averaged.
        metrics: that are shown, the main one first.
        cells: in the order of the axes' values, the last axis first.
    """

    title: str
    axes: tuple[Axis, ...]
    repeats: tuple[Axis, ...]
    metrics: tuple[str, ...]
    cells: tuple[Cell, ...]
    published: tuple[PublishedPoint, ...]
    fits: tuple[Fitted, ...]

    @property
    def num_missing(self) -> int:
        return sum(cell.num_missing for cell in self.cells)

    def published_at(self, point: Point, metric: str) -> list[PublishedPoint]:
        """The published scores of a metric that lie at a point."""
        return [
            each
            for each in self.published
            if each.metric == metric and each.point.items() <= point.items()
        ]


def collected(path: PathLike, runs: PathLike, modules: Sequence[str] = ()) -> Collected:
    """The scores of a study's file, of runs that lie in a folder.

    Reads no data. Leaves gin without configuration.

    modules: the user's, which --import names.

    Raises UserError for a wrong study, for a metric that its evaluations do not have, or for scores
    that are damaged.
    """
    study = file.read(path)
    axes = tuple(axis for axis in study.axes if not axis.repeats)
    found: dict[tuple[Any, ...], _Found] = {}
    for run in runs_of(study, modules):
        folder = Path(runs).expanduser() / run.name
        for point, output, scores in _scores_of(run, folder):
            at = {axis.name: point[axis.name] for axis in axes}
            key = tuple(map(text_of, at.values()))
            found.setdefault(key, _Found(at)).add(point, folder, output, scores)
    order = {key: _place(axes, of.point) for key, of in found.items()}
    cells = tuple(found[key].cell() for key in sorted(found, key=order.__getitem__))
    metrics = study.metrics
    names = {name for cell in cells for name in cell.scores}
    for metric in metrics:
        _check_metric(metric, names, str(path))
    return Collected(
        study.title,
        axes,
        tuple(axis for axis in study.axes if axis.repeats),
        metrics,
        cells,
        tuple(_published(study)),
        tuple(_fits(axes, cells, metrics)),
    )


def _check_metric(metric: str, names: Collection[str], where: str) -> None:
    """Raises UserError unless evaluations have a metric, as far as they are done."""
    prefix = metric.rpartition(":")[0]
    known = {name for name in names if name.rpartition(":")[0] == prefix}
    if known and metric not in known:
        few = sorted(name for name in known if "_for_" not in name)
        near = difflib.get_close_matches(metric, sorted(known), n=1)
        hint = f"did you mean {near[0]}?" if near else f"they have {', '.join(few[:20])}"
        raise UserError(f"{where}: metrics: {metric} is no score of the evaluations; {hint}")


def _place(axes: Sequence[Axis], point: Point) -> tuple[int, ...]:
    return tuple(axis.values.index(point[axis.name]) for axis in axes)


@dataclass
class _Found:
    """What is found of a cell.

    Attributes:
        outputs: repeat → the files that its scores are in. Repeats of the same files are one.
    """

    point: Point
    folders: dict[Path, None] = field(default_factory=dict)
    outputs: dict[tuple[str, ...], set[Path]] = field(default_factory=dict)
    scores: dict[tuple[str, ...], dict[str, Score]] = field(default_factory=dict)
    num_missing: int = 0

    def add(
        self, point: Point, folder: Path, output: str, scores: Mapping[str, Score] | None
    ) -> None:
        self.folders[folder] = None
        self.num_missing += scores is None
        repeat = tuple(map(text_of, point.values()))
        self.outputs.setdefault(repeat, set()).add(folder / output)
        self.scores.setdefault(repeat, {}).update(scores or {})

    def cell(self) -> Cell:
        distinct = {frozenset(of): self.scores[repeat] for repeat, of in self.outputs.items()}
        names = dict.fromkeys(name for scores in distinct.values() for name in scores)
        means = {
            name: _mean(name, [of[name] for of in distinct.values() if name in of])
            for name in names
        }
        return Cell(self.point, tuple(self.folders), means, self.num_missing)


def _mean(name: str, scores: Sequence[Score]) -> Mean:
    if len(scores) == 1:
        return Mean(scores[0], 1)
    found = mean([score.value for score in scores])
    if name.rpartition(":")[2].partition("_for_")[0] in PERCENTAGES:
        found = found.within(0.0, 100.0)
    return Mean(Score(found.value, *(found.ci95 or (None, None))), len(scores))


def _scores_of(run: Run, folder: Path) -> Iterator[tuple[Point, str, dict[str, Score] | None]]:
    """(Point, file, name of a metric → score) of each evaluation; None if it is not done."""
    missing = {command.output for command in done.commands_left(run, folder)}
    read: dict[str, dict[str, Score]] = {}
    for scored in run.scored:
        if scored.output in missing:
            yield scored.point, scored.output, None
            continue
        if scored.output not in read:
            read[scored.output] = _read_scores(folder / scored.output)
        scores = read[scored.output].items()
        named = {f"{scored.prefix}{name}": score for name, score in scores}
        yield scored.point, scored.output, named


def _read_scores(path: Path) -> dict[str, Score]:
    values = flat_scores(path)
    scores = {}
    for name, value in values.items():
        if not isinstance(value, Sequence) and not name.endswith("_stderr"):
            ends = values.get(f"{name}_ci95")
            scores[name] = Score(value, *ends) if isinstance(ends, Sequence) else Score(value)
    return scores


def _published(study: Study) -> Iterator[PublishedPoint]:
    for each in study.published:
        yield PublishedPoint(each.at, each.system, each.metric, each.value, each.source)
    for rule in study.published_rows:
        published = suite.suites()[rule.suite].published
        rows: Sequence[PublishedScore] = suite.part(published)() if published else ()
        for row in rows:
            columns = {
                **row.setting,
                **{"paper": row.paper, "table": row.table, "system": row.system},
                **{"part": row.part, "metric": row.metric},
            }
            if rule.where.items() <= columns.items():
                point = _point_of(study, rule, columns)
                if point is not None:
                    system = rule.system or row.system
                    yield PublishedPoint(point, system, row.metric, float(row.value), row.source)


def _point_of(study: Study, rule: PublishedRows, columns: Mapping[str, str]) -> Point | None:
    """Where on the axes a published row lies, or None if the study has no such value."""
    point = {}
    for name, text in rule.at.items():
        try:
            wanted = filled(text_of(text), columns)
        except KeyError as error:
            raise UserError(
                f"published_rows: {name}={text!r} must name columns of the suite's published "
                f"scores, which are {', '.join(columns)} here; correct it"
            ) from error
        values = study.axis(name).values
        value = next((value for value in values if text_of(value) == wanted), None)
        if value is None:
            return None
        point[name] = value
    return point


def _fits(axes: Sequence[Axis], cells: Sequence[Cell], metrics: Sequence[str]) -> Iterator[Fitted]:
    for axis in axes:
        if axis.scale != "log":
            continue
        lines: dict[tuple[str, ...], list[Cell]] = {}
        for cell in cells:
            others = tuple(text_of(v) for name, v in cell.point.items() if name != axis.name)
            lines.setdefault(others, []).append(cell)
        for metric in metrics:
            for along in lines.values():
                having = [cell for cell in along if metric in cell.scores]
                if len(having) < 2:
                    continue
                line = log_linear(
                    [axis.x_of(cell.point[axis.name]) for cell in having],
                    [cell.scores[metric].score.value for cell in having],
                )
                others_point = {n: v for n, v in along[0].point.items() if n != axis.name}
                if line is not None:
                    yield Fitted(metric, axis.name, others_point, line)
