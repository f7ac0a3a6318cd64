"""Reads files of scores and makes tables of them.

A suite may have its own file formats. SuiteScores reads and shows them.
"""

import json
import logging
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any

from tk_instruct import schema, suite
from tk_instruct.errors import UserError
from tk_instruct.exhibits import Section, Table, file_name
from tk_instruct.files import Path, PathLike, is_local
from tk_instruct.published import Compared
from tk_instruct.tables import INTERVAL, interval, table

log = logging.getLogger("tk_instruct")

_NUM_EXAMPLES = "num_examples"
_STDERR, _CI95 = "_stderr", "_ci95"
SPLITS = ("train", "validation", "dev", "test")
"""The usual names of splits, in the order of the columns."""
# TASK-SPLIT-STEP.WAY.json. Names of SeqIO tasks have no dash, but names that people choose may. The
# part after the step is the way of answering: .rank, .first100.
_SCORES = re.compile(
    rf"(?P<task>.+(?=-(?:{'|'.join(SPLITS)})-)|[^-]+)-(?P<split>.+)-(?P<step>[0-9]+)"
    r"(?P<way>(?:\.[^.]+)*)\.json"
)
# TASK-STEP.WAY.json, without a split: a suite's summary of a whole evaluation.
_SUMMARY = re.compile(r"(?P<task>[^-]+)-(?P<step>[0-9]+)(?P<way>(?:\.[^.]+)*)\.json")
# samples_TASK_DATE.json: lm-evaluation-harness's, which is newer the later its date.
_SAMPLES = re.compile(r"samples_(?P<task>.+)_(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9.-]+)\.json")
_TK_INSTRUCT = "predicted_examples.jsonl"
_MOST_FOLDERS = 3  # as in output/TRACK/SYSTEM/SUB
LIMIT = re.compile(r"\.(?:first[0-9]+|\w+=[^.]*)(?=\.|$)")
"""What --limit, or a study's flags, add to the name of a task: other instances are scored."""
_AGAIN = "give a file of scores, or evaluate again"

Number = int | float
# A score, or the two ends of its interval, whose name ends in _ci95.
Value = Number | Sequence[Number]
Key = tuple[str, str]  # task and split; the split is "" if the file's name has none
# Task and split → name of a score → score, in per cent (but not num_examples and distances). Beside
# NAME may stand NAME_stderr and NAME_ci95.
Scores = dict[Key, dict[str, Value]]


@dataclass(frozen=True)
class Summary:
    """The content of a file in a suite's own format: reports, or the scores of several systems."""

    reports: list[dict[str, Any]] = field(default_factory=list)
    systems: dict[str, Scores] = field(default_factory=dict)


class SuiteScores:
    """How a suite's scores are read and shown. SUITE.scores names an instance of a subclass.

    Attributes:
        titles: name of a score → title of its column. These are the first columns of every table.
        splits: split → what it holds, for splits whose names do not tell it.
        part_title: the title of the column that tells apart the tasks of a table, such as encoding.
    """

    titles: Mapping[str, str] = {}
    splits: Mapping[str, str] = {}
    part_title: str = ""

    def read(self, content: dict[str, Any], where: str, repair: str) -> Summary | None:
        """The content of a file in the suite's own format, or None if it has another format.

        where and repair are for the message of a UserError.
        """
        return None

    def text(self, report: dict[str, Any]) -> str:
        """A summary's report as a text for people."""
        return json.dumps(report, indent=2, ensure_ascii=False)

    def row_of(self, task: str) -> tuple[str, str]:
        """The name of a task's table, and what tells the task apart from the table's others.

        Tasks share a table if their scores are of the same instances.
        """
        return task, ""

    def flat(self, report: dict[str, Any]) -> dict[str, Value]:
        """The main scores of a summary's report by name, and their intervals as NAME_ci95."""
        return {}

    def section(self, reports: Mapping[str, dict[str, Any]]) -> Section | None:
        """What a page shows of the reports of systems, by their names."""
        return None

    def published(self, report: dict[str, Any]) -> tuple[list[Compared], list[Compared]]:
        """The published scores beside a report's, of the same setting and of others."""
        return [], []


@cache
def _scores_of_suites() -> dict[str, SuiteScores]:
    """Suite's name → its SuiteScores."""
    each = suite.suites().values()
    return {s.name: suite.part(s.scores) if s.scores else SuiteScores() for s in each}


def _scores_of_task(task: str) -> SuiteScores:
    from tk_instruct.data import registry

    found = registry.suite_of(task)
    return _scores_of_suites()[found.name] if found else SuiteScores()


def _titles() -> dict[str, str]:
    return {name: title for of in _scores_of_suites().values() for name, title in of.titles.items()}


@dataclass(frozen=True)
class Found:
    """The scores of a run, and its summaries by suite."""

    scores: Scores = field(default_factory=dict)
    summaries: dict[str, Summary] = field(default_factory=dict)

    @property
    def as_json(self) -> dict[str, Any]:
        """The scores and summaries as values that JSON has."""
        found: dict[str, Any] = {"scores": _flat(self.scores)}
        found |= {name: s.reports for name, s in self.summaries.items() if s.reports}
        systems = {
            name: _flat(scores)
            for summary in self.summaries.values()
            for name, scores in summary.systems.items()
        }
        return found | ({"systems": systems} if systems else {})

    def rows(self, run: str) -> dict[str, Scores]:
        """Name of a table's row → its scores: the run's, and those of each system in a summary."""
        rows = {run: self.scores} if self.scores else {}
        for summary in self.summaries.values():
            rows |= {f"{run} {name}": scores for name, scores in summary.systems.items()}
        return rows

    def reports(self) -> list[tuple[SuiteScores, dict[str, Any]]]:
        """The summaries' reports, and how their suite shows them."""
        return [
            (_scores_of_suites()[name], report)
            for name, summary in self.summaries.items()
            for report in summary.reports
        ]


def _flat(scores: Scores) -> dict[str, dict[str, Value]]:
    return {"/".join(filter(None, key)): values for key, values in scores.items()}


def named_apart(given: Sequence[str]) -> dict[str, Path]:
    """Shortest distinct name → system, each system once. `NAME=PATH` gives the name.

    A folder of systems that others have released stands for these: see released_in. Without a name
    it is the folder's, with as many parent folders as are needed to be distinct, and the folders
    between the one that was given and the system's. Raises UserError if a name is given twice, or
    for several systems.
    """
    texts: list[tuple[str | None, Path]] = []
    least_parts: dict[Path, int] = {}
    for own, path in map(_named, given):
        systems = released_in(path) or [path]
        if own is not None and len(systems) > 1:
            raise UserError(
                f"{own}={path}: it holds {len(systems)} systems, and a name is for one; leave the "
                f"name out, or give the folder of one, such as {systems[0].parent}"
            )
        for system in systems:
            texts.append((own, system))
            num_parts = len(_folder(system).parts) - len(_folder(path).parts)
            least_parts.setdefault(system, max(1, num_parts))
    unnamed = {path: least_parts[path] for own, path in texts if own is None}
    name_of = {path: name for name, path in _told_apart(unnamed).items()}
    found: dict[str, Path] = {}
    for own, path in texts:
        name = own or name_of.get(path)
        if name is None:  # another spelling of a run that has been named
            continue
        if found.setdefault(name, path) != path:
            raise UserError(
                f"{name}={path}: {name} is also the name of {found[name]}; give another name"
            )
    return found


def released_in(path: Path, most_folders: int = _MOST_FOLDERS) -> list[Path]:
    """The systems of a folder that others have released; none for a run of ours or a file.

    Tk-Instruct's scripts write SYSTEM/predicted_examples.jsonl, which is the system here, and
    lm-evaluation-harness MODEL/samples_TASK_DATE.jsonl, whose folder is the system. Either may lie
    in further folders, as TRACK/SYSTEM/SUB.
    """
    if not path.is_dir() or (path / "predictions").is_dir():
        return []
    if (path / _TK_INSTRUCT).exists():
        return [path / _TK_INSTRUCT]
    if predictions_of(path):
        return [path]
    folders = sorted(path.iterdir()) if most_folders else []
    return [system for each in folders for system in released_in(each, most_folders - 1)]


def predictions_of(system: Path) -> dict[Key, tuple[int, Path]]:
    """Task and split → step and file of predictions, the last one of each.

    system: a run's directory, or a folder of lm-evaluation-harness's samples, which have a date in
    place of the step and no split.
    """
    folder = system / "predictions"
    last: dict[Key, tuple[int, Path]] = {}
    for file in sorted((folder if folder.is_dir() else system).glob("*.jsonl")):
        if named := key_of(f"{file.stem}.json"):
            key, step = named
            last[key] = max(last.get(key, (-1, file)), (step, file))
    return last


def files_of_predictions(path: Path) -> list[Path]:
    """The files of predictions of all systems of a folder, or the file itself.

    Raises UserError if a folder holds none.
    """
    if not path.is_dir():
        return [path]
    files = []
    for system in released_in(path) or [path]:
        files += [file for _, file in predictions_of(system).values()] or [system]
    if files == [path]:
        raise UserError(
            f"{path} holds no predictions: neither predictions/TASK-SPLIT-STEP.jsonl nor "
            f"{_TK_INSTRUCT} nor samples_TASK_DATE.jsonl; give a file of predictions"
        )
    return files


def _folder(system: Path) -> Path:
    """What a system is called by: for the file that has the same name in each folder, that."""
    return system.parent if system.name == _TK_INSTRUCT else system


def _named(text: str) -> tuple[str | None, Path]:
    """The name and path of `NAME=PATH`. A path that is there may have a = itself."""
    name, is_named, path = text.partition("=")
    whole = Path(os.path.expanduser(text))
    if not is_named or not name or not path or "/" in name or whole.exists():
        return None, whole
    return name, Path(os.path.expanduser(path))


def _told_apart(runs: Mapping[Path, int]) -> dict[str, Path]:
    """Name → run. runs: path → the least number of folders in its name."""
    distinct: dict[str, Path] = {}
    for run in runs:
        place = os.path.realpath(run) if is_local(run) else os.fspath(run)
        distinct.setdefault(place, run)
    # Links are not resolved here: people know a link by its own name. But `link/..` is another
    # folder than the text says; where two places have one text, all are called by their places.
    texts = [os.path.abspath(run) if is_local(run) else os.fspath(run) for run in distinct.values()]
    names = texts if len(set(texts)) == len(texts) else list(distinct)
    parts = {
        run: os.fspath(_folder(Path(text))).split("/")
        for run, text in zip(distinct.values(), names, strict=True)
    }

    def name(own: list[str], num_parts: int) -> str:
        while sum(other[-num_parts:] == own[-num_parts:] for other in parts.values()) > 1:
            num_parts += 1
        return "/".join(own[-num_parts:])

    return {name(own, runs[run]): run for run, own in parts.items()}


def read_run(run: Path) -> Found:
    """The scores of a run's last step for each task and split, or the scores of a file.

    Raises UserError if there are none, or if a score is not a number.
    """
    if run.exists() and not run.is_dir():
        key, _ = key_of(run.name) or (("scores", ""), 0)
        return _found({key: run})
    folder = run / "scores"
    paths = sorted(folder.glob("*.json")) if folder.is_dir() else []
    last: dict[Key, tuple[int, Path]] = {}
    others: dict[Key, Path] = {}
    for path in paths:
        if named := key_of(path.name):
            key, step = named
            last[key] = max(last.get(key, (-1, path)), (step, path))
        elif _holds_scores(path):
            others[path.stem, ""] = path
    found = _found({key: path for key, (_, path) in last.items()} | others)
    if found == Found():
        raise UserError(
            f"{run}/scores holds no TASK-SPLIT-STEP.json; give a run's directory that has them, or "
            "write them with `tk-instruct evaluate "
            f"--predictions {run}/predictions/… --json {run}/scores/…`"
        )
    return found


def key_of(name: str) -> tuple[Key, int] | None:
    """The task, split and step in a file's name, or None if the name has another form."""
    if match := _SAMPLES.fullmatch(name):
        return (match["task"], ""), int(re.sub(r"\D", "", match["date"]).ljust(20, "0"))
    if match := _SCORES.fullmatch(name):
        return (match["task"] + match["way"], match["split"]), int(match["step"])
    if match := _SUMMARY.fullmatch(name):
        return (match["task"] + match["way"], ""), int(match["step"])
    return None


def predicted_by_name(predictions: PathLike) -> tuple[str, str] | None:
    """The task and split in the name of a file of predictions that `predict` has named, or None."""
    name = f"{os.path.basename(predictions).removesuffix('.jsonl')}.json"
    match = None if _SAMPLES.fullmatch(name) else _SCORES.fullmatch(name)
    return (match["task"], match["split"]) if match else None


def _holds_scores(path: Path) -> bool:
    """Whether a file holds scores. Logs a warning if not: users may put other files there."""
    try:
        read_file(path)
    except UserError as error:
        log.warning("passed over: %s", error)
        return False
    return True


def _found(paths: Mapping[Key, Path]) -> Found:
    found = Found()
    for key, path in paths.items():
        content = read_file(path)
        if isinstance(content, dict):
            found.scores[key] = content
            continue
        name, summary = content
        known = found.summaries.setdefault(name, Summary())
        known.reports.extend(summary.reports)
        known.systems.update(summary.systems)
    for name, summary in found.summaries.items():
        if summary.reports:  # they contain these scores
            for key in [key for key in found.scores if _suite_name(key[0]) == name]:
                del found.scores[key]
    return found


def _suite_name(task: str) -> str | None:
    from tk_instruct.data import registry

    found = registry.suite_of(task)
    return found.name if found else None


def read_file(path: Path) -> dict[str, Value] | tuple[str, Summary]:
    """Name → score, or a suite's name and its summary. Raises UserError for any other content."""
    content = schema.read(path, dict[str, Any], _AGAIN)
    for name, of in _scores_of_suites().items():
        is_other = content.get("suite", name) != name
        if not is_other and (summary := of.read(content, str(path), _AGAIN)):
            return name, summary
    for about in ("predicted_by", "published"):  # not scores of the run
        content.pop(about, None)
    check_scores(content, str(path), _AGAIN)
    if not content:
        raise UserError(f"{path} holds no scores; {_AGAIN}")
    return content


def check_scores(scores: Mapping[str, Any], where: str, repair: str) -> None:
    """Raises UserError unless each value is a number, or two if its name ends in _ci95."""
    for name, value in scores.items():
        is_interval = name.endswith(_CI95)
        numbers = value if is_interval and isinstance(value, list) else [value]
        if len(numbers) != 1 + is_interval or not all(map(_is_number, numbers)):
            expected = "two numbers" if is_interval else "a number"
            shown = schema.shortened(value)
            raise UserError(f"{where}: {name}={shown} must be {expected}; {repair}")


def _is_number(value: Any) -> bool:
    return isinstance(value, Number) and not isinstance(value, bool) and math.isfinite(value)


def flat_scores(path: Path) -> dict[str, Value]:
    """The scores of a file by name, and their intervals as NAME_ci95.

    Of a suite's summary, its main scores. Raises UserError if the file has none, or several runs'.
    """
    content = read_file(path)
    if isinstance(content, dict):
        return content
    name, summary = content
    if len(summary.reports) != 1:
        raise UserError(f"{path} has the scores of several systems; give the file of one")
    return _scores_of_suites()[name].flat(summary.reports[0])


@dataclass(frozen=True)
class ScoreTable:
    """Scores of the same instances: a row for each run and part, a column a split and metric.

    Attributes:
        part_title: the title of the column of parts. Empty if there is none.
        rows: (run, part) → split → name of a score → score.
    """

    name: str
    part_title: str
    rows: Mapping[tuple[str, str], Mapping[str, Mapping[str, Value]]]
    legend: Sequence[str] = ()

    @cached_property
    def columns(self) -> list[tuple[str, str]]:
        """Split and name of a score for each column of scores."""
        found = {split for scores in self.rows.values() for split in scores}
        splits = [*(split for split in SPLITS if split in found), *sorted(found - set(SPLITS))]
        return [
            (split, name)
            for split in splits
            for name in _columns(s[split] for s in self.rows.values() if split in s)
        ]

    @property
    def header(self) -> list[str]:
        all_titles = _titles()
        titles = [f"{split} {all_titles.get(name, name)}".strip() for split, name in self.columns]
        return ["run", *([self.part_title] if self.part_title else []), *titles]

    def labels(self, row: tuple[str, str]) -> list[str]:
        return list(row if self.part_title else row[:1])

    def as_text(self) -> str:
        """An aligned table. Below the scores are their 95 % intervals, if there are any."""
        shown = [self.header]
        for row, scores in self.rows.items():
            labels = self.labels(row)
            found = [scores.get(split, {}) for split, _ in self.columns]
            names = [name for _, name in self.columns]
            shown.append([*labels, *map(_cell, names, found)])
            ends = [of.get(f"{name}{_CI95}") for of, name in zip(found, names, strict=True)]
            if any(ends):
                shown.append([f"  {INTERVAL}", *[""] * (len(labels) - 1), *map(_interval, ends)])
        return "\n".join([f"{self.name}, per cent", table(shown), *self.legend])

    def as_exhibit(self) -> Table:
        """The same for a page, with intervals beside scores, the best of several rows in bold."""
        from tk_instruct.metrics.generation import LOWER_IS_BETTER

        rows, best = [], {}
        for row, scores in self.rows.items():
            cells = self.labels(row)
            for split, name in self.columns:
                of = scores.get(split, {})
                ends = _interval(of.get(f"{name}{_CI95}"), decimals=1)
                cells.append(_cell(name, of) + (f" ({ends})" if ends else ""))
            rows.append(cells)
        first = len(self.header) - len(self.columns)
        for column, (split, name) in enumerate(self.columns):
            values = [scores.get(split, {}).get(name) for scores in self.rows.values()]
            numbers = [value for value in values if isinstance(value, Number)]
            if name != _NUM_EXAMPLES and len(numbers) > 1:
                top = min(numbers) if name in LOWER_IS_BETTER else max(numbers)
                shown = _cell(name, {name: top})  # what is shown as equal is equally good
                best[first + column] = [
                    at
                    for at, scores in enumerate(self.rows.values())
                    if _cell(name, scores.get(split, {})) == shown
                ]
        notes = list(self.legend)
        if any("(" in cell for row in rows for cell in row[first:]):
            notes.append(f"In parentheses: {INTERVAL}s.")
        return Table(file_name(f"scores_{self.name}"), self.name, self.header, rows, notes, best)


def table_of(task: str) -> tuple[str, str]:
    """The name of a task's table, and what tells the task apart from the table's others."""
    return _table_of(task, _scores_of_task(task))


def _table_of(task: str, suite_scores: SuiteScores) -> tuple[str, str]:
    name, part = suite_scores.row_of(LIMIT.sub("", task))
    return name + "".join(LIMIT.findall(task)), part  # with --limit the instances are others


def title_of(metric: str) -> str:
    """What a metric is called in tables."""
    return _titles().get(metric, metric)


def as_tables(runs: Mapping[str, Scores]) -> list[ScoreTable]:
    """One table for each task, or for the tasks that a suite puts into one, by name.

    runs: name of a run → its scores.
    """
    rows_of: dict[str, dict[tuple[str, str], dict[str, dict[str, Value]]]] = {}
    suites: dict[str, SuiteScores] = {}
    tasks = dict.fromkeys(task for scores in runs.values() for task, _ in scores)
    of_task = {task: _scores_of_task(task) for task in tasks}  # looked up once: there are many
    for run, scores in runs.items():
        for (task, split), values in sorted(scores.items(), key=lambda item: _in_order(item[0])):
            name, part = _table_of(task, of_task[task])
            suites[name] = of_task[task]
            rows_of.setdefault(name, {}).setdefault((run, part), {})[split] = values
    found = []
    for name, rows in sorted(rows_of.items()):
        splits = {split for scores in rows.values() for split in scores}
        meanings = suites[name].splits
        legend = [f"{split}: {meanings[split]}" for split in meanings if split in splits]
        title = suites[name].part_title if any(part for _, part in rows) else ""
        found.append(ScoreTable(name, title, rows, legend))
    return found


def as_table(runs: Mapping[str, Scores]) -> str:
    """The tables as text. – is a missing score."""
    return "\n\n".join(table.as_text() for table in as_tables(runs))


def _in_order(key: Key) -> tuple[int, Key]:
    return len(key[0]), key  # so that t2 comes before t10


def _columns(found: Iterable[Mapping[str, Value]]) -> list[str]:
    """The names of scores in the order of columns, without scores of single tasks or categories."""
    names = {
        name: None
        for scores in found
        for name in scores
        if "_for_" not in name and not name.endswith((_STDERR, _CI95))
    }
    first = [name for name in _titles() if name in names]
    last = [_NUM_EXAMPLES] if _NUM_EXAMPLES in names else []
    return [*first, *(name for name in names if name not in (*first, *last)), *last]


def _interval(value: Value | None, decimals: int = 2) -> str:
    return interval((value[0], value[1]), decimals) if isinstance(value, Sequence) else ""


def _cell(name: str, scores: Mapping[str, Value]) -> str:
    value = scores.get(name)
    if value is None or isinstance(value, Sequence):
        return "–"
    if name == _NUM_EXAMPLES:
        return f"{value:,}"
    return f"{value:.2f}" if abs(value) < 1e6 else f"{value:.3g}"
