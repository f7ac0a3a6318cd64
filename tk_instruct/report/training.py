"""How runs were trained, as sections of a page: settings, learning curves, time, samples."""

import contextlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

from tk_instruct import goodput
from tk_instruct.configuration import gin_files
from tk_instruct.configuration.gin_files import Key, Macro
from tk_instruct.errors import UserError
from tk_instruct.exhibits import Curves, Figure, Line, Point, Section, Shares, Table, file_name
from tk_instruct.files import read_bytes
from tk_instruct.report.systems import System
from tk_instruct.run_log import Sample, read_rows, read_samples

_MOST_POINTS = 1000  # of a curve; more cannot be told apart, and make the page large
_MOST_SAMPLED_STEPS = 4
_MOST_LETTERS = 400  # of a sample's input, whose end is the instance
_PART_TITLES = {
    "step": "useful steps",
    "input": "waiting for input",
    "compile": "compiling",
    "save": "saving",
    "validate": "validation",
    "start": "starting",
    "lost": "done again after restarts",
}
_Rows = Sequence[Mapping[str, float]]


def training(systems: Sequence[System]) -> list[Section]:
    """The sections on training, of the systems that are runs of `tk-instruct train`."""
    runs = {system.name: system for system in systems if system.is_trained}
    rows = {name: read_rows(run.path) for name, run in runs.items()}
    rows = {name: of for name, of in rows.items() if of}
    if not rows:
        return []
    sections = [Section("Training", _about(rows), [*_settings(runs), *_curves(rows)])]
    if any(sum(goodput.of_rows(of).values()) for of in rows.values()):
        sections.append(_time(rows))
    samples = {name: read_samples(run.path) for name, run in runs.items()}
    tables = [_samples(name, of) for name, of in samples.items() if of]
    if tables:
        text = "Greedy answers to the same validation examples as the run was trained."
        sections.append(Section("Samples", [text], tables))
    return sections


def _about(rows: Mapping[str, _Rows]) -> list[str]:
    last = [f"{name} to step {int(of[-1]['step']):,}" for name, of in rows.items()]
    return [f"Trained: {', '.join(last)}."]


_TOLD = (
    *("MIXTURE_OR_TASK_NAME", "INITIAL_CHECKPOINT_PATH", "TASK_FEATURE_LENGTHS", "TRAIN_STEPS"),
    *("BATCH_SIZE", "BATCH_TOKENS", "LEARNING_RATE", "DROPOUT_RATE", "RANDOM_SEED"),
)


def _settings(runs: Mapping[str, System]) -> list[Table]:
    """Of the runs' config.gin all settings that differ, and the macros that tell what a run is."""
    found = {name: of for name, run in runs.items() if (of := _settings_of(run))}
    rows = []
    for name in dict.fromkeys(name for of in found.values() for name in of):
        values = [of.get(name, "None") for of in found.values()]
        is_told = name in _TOLD and set(values) != {"None"}
        if is_told or (len(set(values)) > 1 and name != "MODEL_DIR"):
            rows.append([name, *values])
    note = "Gin macros that tell what the run is."
    if len(found) > 1:
        note = "Gin macros and parameters; those that are not shown are equal."
    return [Table("settings", "Settings", ["setting", *found], rows, [note])] if rows else []


def _settings_of(run: System) -> dict[str, str]:
    """Macro or parameter → value. Parameters that are a macro's value are left out."""
    path = run.path / "config.gin"
    if not path.exists():
        return {}
    with contextlib.suppress(UserError, UnicodeDecodeError):  # a file that somebody has edited
        text = read_bytes(path).decode()
        settings = gin_files.settings_of(gin_files.parse(text, str(path)), str(path))
        return {_name(s.key): _as_text(s.value) for s in settings if not isinstance(s.value, Macro)}
    return {}


def _name(key: Key) -> str:
    """As gin writes it, also of a configurable whose package is not here."""
    if key.is_macro:
        return key.scope
    return f"{key.scope}{'/' * bool(key.scope)}{key.selector}.{key.parameter}"


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else repr(value)


def _curves(rows: Mapping[str, _Rows]) -> list[Figure]:
    figures: list[Figure] = []
    is_long = any(len(of) > _MOST_POINTS for of in rows.values())
    notes = [f"Of a line of more than {_MOST_POINTS:,} points, as many are shown."] * is_long
    for name, title, y_title, log_y in (
        ("loss", "Loss", "cross-entropy, nats a token", False),
        ("accuracy", "Accuracy of tokens", "share of tokens", False),
        ("tokens_per_second", "Throughput", "tokens a second", False),
    ):
        lines = []
        for run, of in rows.items():
            lines += [_line(run, of, name), _line(f"{run}, validation", of, f"validation_{name}")]
        lines = [line for line in lines if line.x]
        if lines:
            name = f"training_{name}"
            figures.append(Curves(name, title, "step", y_title, lines, log_y=log_y, notes=notes))
    return figures


def _line(label: str, rows: _Rows, name: str) -> Line:
    found = [(row["step"], row[name]) for row in rows if math.isfinite(row.get(name, math.nan))]
    every = -(-len(found) // _MOST_POINTS)
    found = [*found[:: every or 1], *(found[-1:] if every > 1 else [])]
    return Line(label, [step for step, _ in found], [Point(value) for _, value in found])


def _time(rows: Mapping[str, _Rows]) -> Section:
    """Where the wall time went: a bar for each run, and a table."""
    spent = {name: goodput.of_rows(of) for name, of in rows.items()}
    spent = {name: of for name, of in spent.items() if sum(of.values())}
    parts = [part for part in goodput.PARTS if any(of[part] for of in spent.values())]
    table_rows = []
    for name, of in spent.items():
        total = sum(of.values())
        restarts = int(max((row.get("restarts", 0) for row in rows[name]), default=0))
        shares = [f"{100 * of[part] / total:.1f}" for part in parts]
        table_rows.append([name, _duration(total), str(restarts), *shares])
    return Section(
        "Goodput",
        [
            "The share of the wall time that is spent in useful steps, and what the rest is lost "
            "to, over all restarts. What a killed process had not logged yet, and the time between "
            "two starts, is not counted. Input that is prepared while a step runs loses nothing."
        ],
        [
            Shares(
                "goodput",
                "Where the wall time goes",
                "per cent of the wall time",
                list(spent),
                {
                    _PART_TITLES[part]: [100 * of[part] / sum(of.values()) for of in spent.values()]
                    for part in parts
                },
            ),
            Table(
                "goodput_table",
                "Goodput, per cent of the wall time",
                ["run", "wall time", "restarts", *(_PART_TITLES[part] for part in parts)],
                table_rows,
            ),
        ],
    )


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def _samples(run: str, samples: Sequence[Sample]) -> Table:
    """A row for each sample, a column for the answer of each of a few steps."""
    steps = sorted({sample.step for sample in samples})
    count = min(len(steps), _MOST_SAMPLED_STEPS)
    shown = sorted({steps[round(k * (len(steps) - 1) / max(1, count - 1))] for k in range(count)})
    answers = {(s.task, s.id, s.step): s.prediction for s in samples}
    rows = []
    for (task, id_), sample in {(s.task, s.id): s for s in samples}.items():
        text = sample.input
        cut = f"…{text[-_MOST_LETTERS:]}" if len(text) > _MOST_LETTERS else text
        row = [answers.get((task, id_, step), "–") for step in shown]
        rows.append([id_, cut, sample.target, *row])
    header = ["example", "input", "target", *(f"step {step:,}" for step in shown)]
    return Table(file_name(f"samples_{run}"), run, header, rows)
