"""Files of scores → scores by task and split, and tables of them.

A suite may have kinds of files of its own: SuiteScores says how they are read and shown.
"""

import json
import logging
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from tk_instruct import schema, suite
from tk_instruct.errors import UserError
from tk_instruct.files import Path, is_local
from tk_instruct.tables import table

log = logging.getLogger("tk_instruct")

_NUM_EXAMPLES = "num_examples"
# In the order of the columns.
_SPLITS = ("train", "validation", "dev", "test")
# Names of SeqIO tasks have no dash; names that people give may have. What follows the step tells
# the ways to answer apart: .rank, .first100.
_SCORES = re.compile(
    rf"(?P<task>.+(?=-(?:{'|'.join(_SPLITS)})-)|[^-]+)-(?P<split>.+)-(?P<step>[0-9]+)"
    r"(?P<way>(?:\.[^.]+)*)\.json"
)
# Without a split: a suite's summary of a whole evaluation.
_SUMMARY = re.compile(r"(?P<task>[^-]+)-(?P<step>[0-9]+)(?P<way>(?:\.[^.]+)*)\.json")
_AGAIN = "evaluate again"

Number = int | float
Key = tuple[str, str]  # task and split; no split where the name of a file tells none
# Scores by name of each task and split: per cent, but for the number of examples and distances.
Scores = dict[Key, dict[str, Number]]


@dataclass(frozen=True)
class Summary:
    """What a suite's own kind of file holds: reports as JSON, or scores of several systems."""

    reports: list[dict[str, Any]] = field(default_factory=list)
    systems: dict[str, Scores] = field(default_factory=dict)


class SuiteScores:
    """What a suite may say of its scores: SUITE.scores names one. This is that of no suite.

    Attributes:
        titles: scores by name → titles of columns. They are the first columns of every table.
        splits: splits → what they hold, where their names do not say it.
    """

    titles: Mapping[str, str] = {}
    splits: Mapping[str, str] = {}

    def read(self, content: dict[str, Any], where: str, repair: str) -> Summary | None:
        """What a file of the suite's own kind holds; None for any other."""
        return None

    def text(self, report: dict[str, Any]) -> str:
        """A report of a summary, for people."""
        return json.dumps(report, indent=2, ensure_ascii=False)

    def row_of(self, task: str) -> tuple[str, str]:
        """The table that a task stands in, and what its row is called beside the run's name."""
        return task, ""


@cache
def _of_suites() -> dict[str, SuiteScores]:
    """By suite's name."""
    each = suite.suites().values()
    return {s.name: suite.part(s.scores) if s.scores else SuiteScores() for s in each}


def _of_task(task: str) -> SuiteScores:
    from tk_instruct.data import registry

    found = registry.suite_of(task)
    return _of_suites()[found.name] if found else SuiteScores()


def _titles() -> dict[str, str]:
    return {name: title for of in _of_suites().values() for name, title in of.titles.items()}


@dataclass(frozen=True)
class Found:
    """What there is of a run; summaries by suite."""

    scores: Scores = field(default_factory=dict)
    summaries: dict[str, Summary] = field(default_factory=dict)

    @property
    def as_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {"scores": _flat(self.scores)}
        found |= {name: s.reports for name, s in self.summaries.items() if s.reports}
        systems = {
            name: _flat(scores)
            for summary in self.summaries.values()
            for name, scores in summary.systems.items()
        }
        return found | ({"systems": systems} if systems else {})

    def rows(self, run: str) -> dict[str, Scores]:
        """Scores by the name of the row that they stand in."""
        rows = {run: self.scores} if self.scores else {}
        for summary in self.summaries.values():
            rows |= {f"{run} {name}": scores for name, scores in summary.systems.items()}
        return rows

    def texts(self) -> list[str]:
        return [
            _of_suites()[name].text(report)
            for name, summary in self.summaries.items()
            for report in summary.reports
        ]


def _flat(scores: Scores) -> dict[str, dict[str, Number]]:
    return {"/".join(filter(None, key)): values for key, values in scores.items()}


def named_apart(runs: Sequence[str]) -> dict[str, Path]:
    """Each run once, by its folder's name and as many parents as tell it from the others."""
    distinct: dict[str, Path] = {}
    for run in map(Path, runs):
        place = os.path.realpath(run) if is_local(run) else os.fspath(run)
        distinct.setdefault(place, run)
    # As given, not resolved: people know a link by its own name.
    parts = {
        run: (os.path.abspath(run) if is_local(run) else os.fspath(run)).split("/")
        for run in distinct.values()
    }

    def name(own: list[str]) -> str:
        num_parts = 1
        while sum(other[-num_parts:] == own[-num_parts:] for other in parts.values()) > 1:
            num_parts += 1
        return "/".join(own[-num_parts:])

    return {name(own): run for run, own in parts.items()}


def read_run(run: Path) -> Found:
    """The scores of a run's last steps, or those of a file.

    Raises UserError where there are none, and for what is no number.
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
            f"{run}/scores holds no TASK-SPLIT-STEP.json; write them with `tk-instruct evaluate "
            f"--predictions {run}/predictions/… --json {run}/scores/…`"
        )
    return found


def key_of(name: str) -> tuple[Key, int] | None:
    """What a file's scores are of, and the step, where its name tells."""
    if match := _SCORES.fullmatch(name):
        return (match["task"] + match["way"], match["split"]), int(match["step"])
    if match := _SUMMARY.fullmatch(name):
        return (match["task"] + match["way"], ""), int(match["step"])
    return None


def _holds_scores(path: Path) -> bool:
    """Of a file that anybody may have put among the scores."""
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
        if summary.reports:  # the scores that it is made of are in it
            for key in [key for key in found.scores if _suite_name(key[0]) == name]:
                del found.scores[key]
    return found


def _suite_name(task: str) -> str | None:
    from tk_instruct.data import registry

    found = registry.suite_of(task)
    return found.name if found else None


def read_file(path: Path) -> dict[str, Number] | tuple[str, Summary]:
    """Scores by name, or a suite's name and its summary; raises UserError for anything else."""
    content = schema.read(path, dict[str, Any], _AGAIN)
    for name, of in _of_suites().items():
        if summary := of.read(content, str(path), _AGAIN):
            return name, summary
    content.pop("predicted_by", None)
    for name, value in content.items():
        is_number = isinstance(value, Number) and not isinstance(value, bool)
        if not is_number or not math.isfinite(value):
            shown = schema.shortened(value)
            raise UserError(f"{path}: {name}={shown} must be a number; {_AGAIN}")
    if not content:
        raise UserError(f"{path} holds no scores; {_AGAIN}")
    return content


def as_table(runs: Mapping[str, Scores]) -> str:
    """One table a task, or for what a suite puts together; – where a run has no such score."""
    rows_of: dict[str, dict[str, dict[str, dict[str, Number]]]] = {}
    for run, scores in runs.items():
        for (task, split), values in sorted(scores.items(), key=lambda item: _in_order(item[0])):
            name, part = _of_task(task).row_of(task)
            rows_of.setdefault(name, {}).setdefault(f"{run} {part}".strip(), {})[split] = values
    return "\n\n".join(_task_table(task, rows_of[task]) for task in sorted(rows_of))


def _in_order(key: Key) -> tuple[int, Key]:
    return len(key[0]), key  # t2 before t10


def _task_table(task: str, rows: Mapping[str, Mapping[str, Mapping[str, Number]]]) -> str:
    found = {split for scores in rows.values() for split in scores}
    splits = [*(split for split in _SPLITS if split in found), *sorted(found - set(_SPLITS))]
    all_titles, meanings = _titles(), _of_task(task).splits
    columns = [
        (split, name)
        for split in splits
        for name in _columns(scores[split] for scores in rows.values() if split in scores)
    ]
    titles = [f"{split} {all_titles.get(name, name)}".strip() for split, name in columns]
    shown: list[Sequence[str]] = [["run", *titles]]
    for row, scores in rows.items():
        shown.append([row, *(_cell(name, scores.get(split, {})) for split, name in columns)])
    legend = [f"{split}: {meanings[split]}" for split in splits if split in meanings]
    return "\n".join([f"{task}, per cent", table(shown), *legend])


def _columns(found: Iterable[Mapping[str, Number]]) -> list[str]:
    """Names of scores in order, without those of single tasks and categories."""
    names = {name: None for scores in found for name in scores if "_for_" not in name}
    first = [name for name in _titles() if name in names]
    last = [_NUM_EXAMPLES] if _NUM_EXAMPLES in names else []
    return [*first, *(name for name in names if name not in (*first, *last)), *last]


def _cell(name: str, scores: Mapping[str, Number]) -> str:
    if name not in scores:
        return "–"
    value = scores[name]
    if name == _NUM_EXAMPLES:
        return f"{value:,}"
    return f"{value:.2f}" if abs(value) < 1e6 else f"{value:.3g}"
