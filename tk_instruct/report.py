"""Put the scores of runs side by side: one row a run, one column a task, split and metric.

Reads the files scores/TASK-SPLIT-STEP.json that `tk-instruct evaluate --json` has written into
each run's directory, the last step of each. Those without any of these metrics, as FLAN's of single
templates are, are passed over. Runs of the same name are shown with their parents' names.

  tk-instruct report runs/smoke/model runs/smoke/copy_input runs/smoke/copy_demo

Of a run of `tk-instruct self-instruct` it shows what has been generated: its stats/stats.json.
"""

import argparse
import json
import os
import re
from collections.abc import Sequence
from typing import Any

from tk_instruct.errors import UserError
from tk_instruct.files import Path, is_local, read_json
from tk_instruct.tables import table

METRICS = {"rougeL": "ROUGE-L", "exact_match": "EM"}
# In the order of the columns; what a split that is not named here holds, its declaration says.
SPLITS = {
    "validation": "instances of train tasks that were not trained on",
    "dev": "tasks set aside from training",
    "test": "unseen tasks",
}
# Names of SeqIO tasks have no dash; names that people give may have.
_SCORES = re.compile(
    rf"(?P<task>.+(?=-(?:train|{'|'.join(SPLITS)})-)|[^-]+)-(?P<split>.+)-(?P<step>[0-9]+)\.json"
)

# (task, split) → scores by key.
Scores = dict[tuple[str, str], dict[str, float]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", nargs="+", metavar="DIR", help="a run's directory")
    parser.add_argument("--json", action="store_true", help="one JSON object a run")


def main(args: argparse.Namespace) -> int:
    named = named_apart(args.runs)
    generated = {
        name: read_stats(run)
        for name, run in named.items()
        if (run / "instructions.jsonl").exists()
    }
    found = {name: read_scores(run) for name, run in named.items() if name not in generated}
    for name, stats in generated.items():
        if len(named) > 1 and not args.json:
            print(name)
        show_stats(name, stats, args.json)
    if args.json:
        for run, scores in found.items():
            flat = {f"{task}/{split}": values for (task, split), values in scores.items()}
            print(json.dumps({"run": run, "scores": flat}))
    elif found:
        print(as_table(found))
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
    from tk_instruct import schema
    from tk_instruct.self_instruct.stats.report import StatsFile

    path = run / "stats" / "stats.json"
    write = f"write it with `tk-instruct self-instruct stats --run_dir {run}`"
    if not path.exists():
        raise UserError(f"{path} is not there; {write}")
    return dict(schema.read(path, StatsFile, write))


def show_stats(name: str, stats: dict[str, Any], as_json: bool) -> None:
    from tk_instruct.self_instruct.stats.report import as_text

    print(json.dumps({"run": name, "stats": stats}) if as_json else f"{as_text(stats)}\n")


def read_scores(run: Path) -> Scores:
    """A run's scores of the last step of each task and split, where it has any of METRICS.

    Raises UserError without any.
    """
    last: dict[tuple[str, str], tuple[int, Path]] = {}
    folder = run / "scores"
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if match := _SCORES.fullmatch(path.name):
            key, step = (match["task"], match["split"]), int(match["step"])
            last[key] = max(last.get(key, (-1, path)), (step, path))
    scores = {}
    for key, (_, path) in last.items():
        found = read_json(path, "evaluate again")
        for metric in METRICS.keys() & found:
            if not isinstance(found[metric], int | float):
                raise UserError(
                    f"{path}: {metric}={found[metric]!r:.60} must be a number; evaluate again"
                )
            scores[key] = found
    if not scores:
        raise UserError(
            f"{run}/scores holds no TASK-SPLIT-STEP.json of {' or '.join(METRICS)}; write them "
            f"with `tk-instruct evaluate --predictions {run}/predictions/… --json {run}/scores/…`"
        )
    return scores


def as_table(runs: dict[str, Scores]) -> str:
    """One table a task; – where a run has no such score."""
    tasks = sorted({task for scores in runs.values() for task, _ in scores})
    return "\n\n".join(_task_table(task, runs) for task in tasks)


def _task_table(task: str, runs: dict[str, Scores]) -> str:
    found = {split for scores in runs.values() for of, split in scores if of == task}
    splits = [*(split for split in SPLITS if split in found), *sorted(found - set(SPLITS))]
    rows: list[Sequence[str]] = [
        ["run", *(f"{split} {name}" for split in splits for name in METRICS.values())]
    ]
    for run, scores in runs.items():
        columns = [scores.get((task, split), {}) for split in splits]
        rows.append([run, *(_cell(column, metric) for column in columns for metric in METRICS)])
    legend = [f"{split}: {SPLITS[split]}" for split in splits if split in SPLITS]
    return "\n".join([f"{task}, per cent", table(rows), *legend])


def _cell(scores: dict[str, float], metric: str) -> str:
    return f"{scores[metric]:.2f}" if metric in scores else "–"
