"""What each instance of an evaluation scored: a table that is kept beside the predictions.

NAME.scores.parquet holds the scores of NAME.jsonl, a row an instance, with the predicted text and
the references. Intervals and comparisons are made of it; nothing has to be scored again.
"""

import hashlib
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
from jaxtyping import Bool, Float, Int

from tk_instruct import schema
from tk_instruct.errors import UserError
from tk_instruct.files import Path, is_stream, read_bytes, write_atomically
from tk_instruct.metrics.metric import MOST, Measured
from tk_instruct.uncertainty.intervals import Estimate, mean

MAIN = "score"
"""The metric that has each task's main one, where tasks have different ones."""
SUFFIX = ".scores.parquet"
_AGAIN = "evaluate the predictions again"
_ABOUT = b"tk_instruct"

Label = Literal["id", "part", "task", "unit", "category", "instance"]
LABELS: tuple[Label, ...] = ("id", "part", "task", "unit", "category", "instance")


class About(msgspec.Struct, frozen=True):
    """What holds for all rows of a table.

    Attributes:
        protocol: how it was scored: the name of an evaluation, or "task" for a task's own metrics.
        main: the metric that systems are compared by.
        unit: what a unit is, in words: "task", "data set".
        levels: the labels by which the overall score is a mean of means, the outermost first.
            Empty if it is the mean of all instances.
        percentages: the metrics that are between 0 and 100, and so are their intervals.
        lower_is_better: the metrics that are lower for a better system.
        no_means: metric → the tasks whose score it is without being a mean of instances. There its
            values say nothing of a single instance.
        together: whether a run's files are one evaluation, such as a file for each prompt.
        evaluation: what the scores of a run were made with, as a digest. Empty if it is no run.
        file: the name of the file of predictions.
        predicted_by: the SHA-256 of that file.
    """

    protocol: str
    main: str
    unit: str
    levels: tuple[Label, ...] = ()
    percentages: tuple[str, ...] = ()
    lower_is_better: tuple[str, ...] = ()
    no_means: Mapping[str, tuple[str, ...]] = {}
    together: bool = False
    evaluation: str = ""
    file: str = ""
    predicted_by: str = ""


@dataclass(frozen=True, eq=False)
class ScoredInstances:
    """The scores of instances, column by column.

    Attributes:
        labels: column → a label for each row. `id` is the prediction's. `part` parts what is never
            averaged, such as two tracks. `unit` is what was sampled, such as the task; errors are
            clustered by it. `instance` tells apart the instances of a unit: rows of several prompts
            may be of one instance.
        references: the right answers of each row.
        predictions: the predicted texts; None where there is no prediction, which counts as empty.
        values: metric → the value of each row, in the score's unit. NaN where the metric does not
            count. A score is the mean of its values.
    """

    about: About
    labels: Mapping[Label, Sequence[str]]
    references: Sequence[Sequence[str]]
    predictions: Sequence[str | None]
    values: Mapping[str, Float[np.ndarray, " rows"]]

    def __len__(self) -> int:
        return len(self.predictions)

    @cached_property
    def _codes(self) -> dict[Label, tuple[list[str], Int[np.ndarray, " rows"]]]:
        """Label → its distinct values in order of appearance, and the number of each row's."""
        found = {}
        for label, column in self.labels.items():
            numbers: dict[str, int] = {}
            codes = [numbers.setdefault(each, len(numbers)) for each in column]
            found[label] = list(numbers), np.array(codes, np.int64)
        return found

    def taken(self, rows: Sequence[int]) -> "ScoredInstances":
        """The rows of these numbers, in this order."""
        return replace(
            self,
            labels={label: [column[row] for row in rows] for label, column in self.labels.items()},
            references=[self.references[row] for row in rows],
            predictions=[self.predictions[row] for row in rows],
            values={name: values[rows] for name, values in self.values.items()},
        )

    def chosen(self, rows: Bool[np.ndarray, " rows"]) -> "ScoredInstances":
        """The rows that are chosen."""
        return self.taken(np.flatnonzero(rows).tolist())

    def by(self, label: Label) -> dict[str, "ScoredInstances"]:
        """Value of a label → its rows, in order of appearance."""
        names, codes = self._codes[label]
        if len(names) == 1:
            return {names[0]: self}
        rows = np.split(np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes))[:-1])
        return {name: self.taken(of.tolist()) for name, of in zip(names, rows, strict=True)}

    def means(self, label: Label, metric: str) -> dict[str, float]:
        """Value of a label → the mean of its rows' values, in order of appearance."""
        names, codes = self._codes[label]
        means = np.bincount(codes, self.values[metric]) / np.bincount(codes)
        return dict(zip(names, means.tolist(), strict=True))

    def are_scores(self, metric: str) -> Bool[np.ndarray, " rows"]:
        """Whether each row's value is its own score. It is not where the metric is no mean."""
        no_means = self.about.no_means.get(metric, ())
        return np.array([task not in no_means for task in self.labels["task"]])

    def weights(self) -> Float[np.ndarray, " rows"]:
        """The weight of each row in the overall score. They sum to 1."""
        weights, key = np.ones(len(self)), np.zeros(len(self), np.int64)
        for label in self.about.levels:
            names, codes = self._codes[label]
            children, key = np.unique(key * len(names) + codes, return_inverse=True)
            _, parent, num_children = np.unique(
                children // len(names), return_inverse=True, return_counts=True
            )
            weights /= num_children[parent][key]
        return weights / np.bincount(key)[key]

    def estimate(self, metric: str) -> Estimate:
        """A metric's score with its 95 % interval, clustered by unit.

        If the levels have the category, categories are fixed: units are drawn within each.
        """
        counts = ~np.isnan(self.values[metric])
        if not counts.any():
            return Estimate(math.nan, None, None, None, 0)
        of = self if counts.all() else self.chosen(counts)
        found = mean(
            of.values[metric],
            of.labels["unit"],
            weights=of.weights() if of.about.levels else None,
            strata=of.labels["category"] if "category" in of.about.levels else None,
            instances=of.labels["instance"],
        )
        return found.within(0.0, 100.0) if metric in self.about.percentages else found

    def estimates(self, suffix: str = "") -> dict[str, Estimate]:
        """Name of a score → its estimate, for all metrics. The suffix is added to the names."""
        return {f"{metric}{suffix}": self.estimate(metric) for metric in self.values}


class Scored(NamedTuple):
    """Scores, and the instances that they are scores of."""

    scores: dict[str, float]
    instances: ScoredInstances

    def estimates(self) -> dict[str, Estimate]:
        """Name of a score → the score with its interval."""
        return {
            name: replace(self.instances.estimate(name), value=score)
            for name, score in self.scores.items()
        }


def as_scores(estimates: Mapping[str, Estimate]) -> dict[str, Any]:
    """Estimates as flat JSON: NAME, NAME_stderr and NAME_ci95. NaN and infinity are left out."""
    found: dict[str, Any] = {}
    for name, estimate in estimates.items():
        if math.isfinite(estimate.value):
            found |= estimate.as_scores(name)
    return found


def about_scores(about: About, task: str, measured: Mapping[str, Measured]) -> About:
    """The same for a task with these scores, whose first one is `MAIN` too."""
    main = next(iter(measured))
    no_means = [name for name, of in measured.items() if not of.is_mean]
    also = [MAIN] * (main in no_means)
    percentages = [MAIN] * (main in about.percentages)
    return msgspec.structs.replace(
        about,
        no_means=dict.fromkeys([*no_means, *also], (task,)),
        percentages=(*about.percentages, *percentages),
    )


def joined(tables: Sequence[ScoredInstances]) -> ScoredInstances:
    """The rows of tables that are about the same. A metric that a table lacks is NaN there.

    Percentages are the metrics that are so in all tables: the main one of some may be another.
    """
    names = dict.fromkeys(name for table in tables for name in table.values)
    no_means: dict[str, tuple[str, ...]] = {}
    for table in tables:
        for name, tasks in table.about.no_means.items():
            no_means[name] = tuple(dict.fromkeys((*no_means.get(name, ()), *tasks)))
    percentages = tuple(
        name
        for name in dict.fromkeys(each for table in tables for each in table.about.percentages)
        if all(name in t.about.percentages for t in tables if name in t.values)
    )
    about = msgspec.structs.replace(tables[0].about, no_means=no_means, percentages=percentages)
    return ScoredInstances(
        about,
        {label: [each for table in tables for each in table.labels[label]] for label in LABELS},
        [each for table in tables for each in table.references],
        [each for table in tables for each in table.predictions],
        {
            name: np.concatenate(
                [table.values.get(name, np.full(len(table), np.nan)) for table in tables]
            )
            for name in names
        },
    )


def place_of(predictions: Path) -> Path:
    """Where the scores of a file of predictions are kept: NAME.jsonl → NAME.scores.parquet.

    Other names stay whole: NAME.json → NAME.json.scores.parquet.
    """
    return predictions.with_name(predictions.name.removesuffix(".jsonl") + SUFFIX)


def of_file(scored: ScoredInstances, predictions: Path) -> ScoredInstances:
    """The same table, which says of which file of predictions it is."""
    about = msgspec.structs.replace(
        scored.about, file=predictions.name, predicted_by=_digest_of(predictions)
    )
    return replace(scored, about=about)


def _digest_of(path: Path) -> str:
    """The SHA-256 of a file."""
    return hashlib.sha256(read_bytes(path)).hexdigest()


def kept_of(predictions: Path) -> ScoredInstances | None:
    """What is kept beside a file of predictions, if the file has not changed since; else None."""
    place = place_of(predictions)
    if is_stream(predictions) or not place.exists():
        return None
    try:
        kept = read(place)
    except UserError:  # of another version: it is to be made again
        return None
    return kept if kept.about.predicted_by == _digest_of(predictions) else None


def write(path: Path, scores: ScoredInstances) -> None:
    """Writes a table as Parquet, atomically.

    Raises UserError if a metric has the name of another column, or if the file cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    for name in scores.values:
        if name in (*LABELS, "references", "prediction"):
            raise UserError(f"a metric is called {name!r} as a column of them is; rename it")

    # Not by pa.array, which imports pandas: that takes longer than all else here.
    def texts(column: Sequence[str | None]) -> Any:
        builder = pa.lib.StringBuilder()
        builder.append_values(column)
        return builder.finish()

    def numbers(column: np.ndarray, type_: Any) -> Any:
        buffer = pa.py_buffer(np.ascontiguousarray(column, type_.to_pandas_dtype()))
        return pa.Array.from_buffers(type_, len(column), [None, buffer])

    ends = np.cumsum([0, *map(len, scores.references)])
    references = [text for of in scores.references for text in of]
    columns = {
        **{label: texts(scores.labels[label]) for label in LABELS},
        "references": pa.ListArray.from_arrays(numbers(ends, pa.int32()), texts(references)),
        "prediction": texts(scores.predictions),
        **{name: numbers(values, pa.float64()) for name, values in scores.values.items()},
    }
    table = pa.table(columns).replace_schema_metadata({_ABOUT: msgspec.json.encode(scores.about)})
    content = io.BytesIO()
    pq.write_table(table, content, compression="zstd")
    write_atomically(path, content.getvalue())


def read(path: Path) -> ScoredInstances:
    """Reads what `write` has written. Raises UserError for any other content."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(io.BytesIO(read_bytes(path))).read(use_threads=False)
        table.validate(full=True)  # texts may be no UTF-8
        types = dict(zip(table.schema.names, table.schema.types, strict=True))
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is no Parquet file ({error}); {_AGAIN}") from error
    expected = {**dict.fromkeys(LABELS, pa.string()), "prediction": pa.string()}
    expected |= {"references": pa.list_(pa.string())}
    metrics = [name for name in types if name not in expected]
    about = (table.schema.metadata or {}).get(_ABOUT, b"")
    for name, type_ in {**expected, **dict.fromkeys(metrics, pa.float64())}.items():
        if types.get(name) != type_:
            raise UserError(
                f"{path} does not hold scores of instances: {name} is "
                f"{types.get(name, 'missing')}, not {type_}; {_AGAIN}"
            )
    if not metrics or not len(table):
        raise UserError(f"{path} holds no scores; {_AGAIN}")
    for name in (*LABELS, "references"):
        column = table[name].combine_chunks()
        if column.null_count or (name == "references" and column.flatten().null_count):
            raise UserError(f"{path}: {name} is missing in a row; {_AGAIN}")
    values = {name: np.array(table[name].to_pylist(), float) for name in metrics}
    for name, of in values.items():
        if (large := np.abs(of) > MOST).any():
            raise UserError(
                f"{path}: {name} is {of[large][0]}, and must be at most {MOST:g}; {_AGAIN}"
            )
    return ScoredInstances(
        schema.parse(about, About, f"{path}: metadata", _AGAIN),
        {label: table[label].to_pylist() for label in LABELS},
        table["references"].to_pylist(),
        table["prediction"].to_pylist(),
        values,
    )
