"""Put scores side by side: one table a task, with one row a run and one column a split and metric.

Reads the files of each run's scores/, as `tk-instruct evaluate` has written them; of those named
TASK-SPLIT-STEP.json, the last step. Files of scores are also read by themselves, whatever their
names. FLAN's evaluation of a run is shown in its own tables, in place of the scores of each
template. Runs of the same name are shown with their parents' names.

  tk-instruct report runs/smoke/model runs/smoke/copy_input runs/smoke/copy_demo
  tk-instruct report ours.json theirs.json

Of a run of `tk-instruct self-instruct` it shows what has been generated: its stats/stats.json.
"""

import argparse
import json
import logging
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeAlias, TypeVar

import msgspec

from tk_instruct import schema
from tk_instruct.errors import UserError
from tk_instruct.evaluate.flan_summary import Report, report_text
from tk_instruct.files import Path, is_local
from tk_instruct.tables import table

log = logging.getLogger("tk_instruct")

# The first columns; after them stands what else a file has, in its order.
METRICS = {"rougeL": "ROUGE-L", "exact_match": "EM", "rouge1": "ROUGE-1"}
_NUM_EXAMPLES = "num_examples"
# In the order of the columns; what a split that is not named here holds, its declaration says.
SPLITS = {
    "validation": "instances of train tasks that were not trained on",
    "dev": "tasks set aside from training",
    "test": "unseen tasks",
}
# Names of SeqIO tasks have no dash; names that people give may have. What follows the step tells
# the ways to answer apart: .rank, .first100.
_SCORES = re.compile(
    rf"(?P<task>.+(?=-(?:train|{'|'.join(SPLITS)})-)|[^-]+)-(?P<split>.+)-(?P<step>[0-9]+)"
    r"(?P<way>(?:\.[^.]+)*)\.json"
)
_FLAN_REPORT = re.compile(r"(?P<task>flan)-(?P<step>[0-9]+)(?P<way>(?:\.[^.]+)*)\.json")
_TEMPLATE = re.compile(r"(?P<task>flan_.+?)\.(?P<template>t[0-9].*)")
_AGAIN = "evaluate again"

Number = int | float
Key = tuple[str, str]  # task and split; no split where the name of a file tells none
# Scores by name of each task and split: per cent, but for the number of examples and distances.
Scores = dict[Key, dict[str, Number]]


@dataclass(frozen=True)
class Found:
    """What there is of a run."""

    scores: Scores = field(default_factory=dict)
    flan: list[dict[str, Any]] = field(default_factory=list)  # reports of FLAN's evaluation
    systems: dict[str, Scores] = field(default_factory=dict)  # of a file that holds several's

    @property
    def as_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {"scores": _flat(self.scores)}
        found |= {"flan": self.flan} if self.flan else {}
        systems = {name: _flat(scores) for name, scores in self.systems.items()}
        return found | ({"systems": systems} if systems else {})

    def rows(self, run: str) -> dict[str, Scores]:
        """Scores by the name of the row that they stand in."""
        own = {run: self.scores} if self.scores else {}
        return own | {f"{run} {name}": scores for name, scores in self.systems.items()}


def _flat(scores: Scores) -> dict[str, dict[str, Number]]:
    return {"/".join(filter(None, key)): values for key, values in scores.items()}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "runs", nargs="+", metavar="DIR|FILE", help="a run's directory, or a file of scores"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a run")


def main(args: argparse.Namespace) -> int:
    named = named_apart(args.runs)
    generated = {
        name: read_stats(run)
        for name, run in named.items()
        if (run / "instructions.jsonl").exists()
    }
    found = {name: read_run(run) for name, run in named.items() if name not in generated}
    for name, stats in generated.items():
        if len(named) > 1 and not args.json:
            print(name)
        show_stats(name, stats, args.json)
    if args.json:
        for run, of in found.items():
            print(json.dumps({"run": run, **of.as_json}))
        return 0
    rows = {name: scores for run, of in found.items() for name, scores in of.rows(run).items()}
    texts = [as_table(rows)] if rows else []
    texts += [report_text(flan) for of in found.values() for flan in of.flan]
    if texts:
        print("\n\n".join(texts))
    return 0


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


def read_stats(run: Path) -> dict[str, Any]:
    """Of a run of Self-Instruct; raises UserError where they have not been counted."""
    from tk_instruct.self_instruct.stats.report import StatsFile

    path = run / "stats" / "stats.json"
    write = f"write it with `tk-instruct self-instruct stats --run_dir {run}`"
    if not path.exists():
        raise UserError(f"{path} is not there; {write}")
    stats = schema.read(path, dict[str, Any], write)
    schema.convert(stats, StatsFile, str(path), write)
    return stats


def show_stats(name: str, stats: dict[str, Any], as_json: bool) -> None:
    from tk_instruct.self_instruct.stats.report import as_text

    print(json.dumps({"run": name, "stats": stats}) if as_json else f"{as_text(stats)}\n")


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
    if match := _FLAN_REPORT.fullmatch(name):
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
        if isinstance(content, list):
            found.flan.extend(content)
        elif isinstance(content, _FlanSystems):
            found.systems.update(content.scores)
        else:
            found.scores[key] = content
    if found.flan:  # the scores of templates are in it
        templates = [key for key in found.scores if key[0].startswith("flan_")]
        for key in templates:
            del found.scores[key]
    return found


class _FlanRuns(msgspec.Struct, frozen=True):
    """What `evaluate --suite flan --json` writes."""

    suite: str
    runs: list[Report]


T = TypeVar("T")
Filled: TypeAlias = Annotated[dict[str, T], msgspec.Meta(min_length=1)]


class _FlanSystems(msgspec.Struct, frozen=True):
    """What it writes of --predictions: by system and TASK/SPLIT."""

    suite: str
    systems: Filled[Filled[Filled[Number]]]

    @property
    def scores(self) -> dict[str, Scores]:
        return {
            name: {(key.partition("/")[0], key.partition("/")[2]): of for key, of in found.items()}
            for name, found in self.systems.items()
        }


def read_file(path: Path) -> dict[str, Number] | list[dict[str, Any]] | _FlanSystems:
    """Scores by name, or what FLAN's evaluation writes; raises UserError for anything else."""
    content = schema.read(path, dict[str, Any], _AGAIN)
    match schema.told_by_fields(content, (_FlanRuns, _FlanSystems, Report)):
        case None:
            content.pop("predicted_by", None)
            for name, value in content.items():
                is_number = isinstance(value, Number) and not isinstance(value, bool)
                if not is_number or not math.isfinite(value):
                    shown = schema.shortened(value)
                    raise UserError(f"{path}: {name}={shown} must be a number; {_AGAIN}")
            if not content:
                raise UserError(f"{path} holds no scores; {_AGAIN}")
            return content
        case form:
            read = schema.convert(content, form, str(path), _AGAIN)
            if isinstance(read, _FlanSystems):
                return read
            reports = read.runs if isinstance(read, _FlanRuns) else [read]
            return [msgspec.to_builtins(report, enc_hook=float) for report in reports]


def as_table(runs: Mapping[str, Scores]) -> str:
    """One table a task, of FLAN one of all templates; – where a run has no such score."""
    rows_of: dict[str, dict[str, dict[str, dict[str, Number]]]] = {}
    for run, scores in runs.items():
        for (task, split), values in sorted(scores.items(), key=lambda item: _in_order(item[0])):
            match = _TEMPLATE.fullmatch(task)
            name, row = (match["task"], f"{run} {match['template']}") if match else (task, run)
            rows_of.setdefault(name, {}).setdefault(row, {})[split] = values
    return "\n\n".join(_task_table(task, rows_of[task]) for task in sorted(rows_of))


def _in_order(key: Key) -> tuple[int, Key]:
    return len(key[0]), key  # t2 before t10


def _task_table(task: str, rows: Mapping[str, Mapping[str, Mapping[str, Number]]]) -> str:
    found = {split for scores in rows.values() for split in scores}
    splits = [*(split for split in SPLITS if split in found), *sorted(found - set(SPLITS))]
    columns = [
        (split, name)
        for split in splits
        for name in _columns(scores[split] for scores in rows.values() if split in scores)
    ]
    titles = [f"{split} {METRICS.get(name, name)}".strip() for split, name in columns]
    shown: list[Sequence[str]] = [["run", *titles]]
    for row, scores in rows.items():
        shown.append([row, *(_cell(name, scores.get(split, {})) for split, name in columns)])
    legend = [f"{split}: {SPLITS[split]}" for split in splits if split in SPLITS]
    return "\n".join([f"{task}, per cent", table(shown), *legend])


def _columns(found: Iterable[Mapping[str, Number]]) -> list[str]:
    """Names of scores in order, without those of single tasks and categories."""
    names = {name: None for scores in found for name in scores if "_for_" not in name}
    first = [name for name in METRICS if name in names]
    last = [_NUM_EXAMPLES] if _NUM_EXAMPLES in names else []
    return [*first, *(name for name in names if name not in (*first, *last)), *last]


def _cell(name: str, scores: Mapping[str, Number]) -> str:
    if name not in scores:
        return "–"
    value = scores[name]
    if name == _NUM_EXAMPLES:
        return f"{value:,}"
    return f"{value:.2f}" if abs(value) < 1e6 else f"{value:.3g}"
