"""Put the scores of runs side by side: one row a run, one column a task, split and metric.

Reads the files scores/TASK-SPLIT-STEP.json that `tk-instruct evaluate --json` has written into
each run's directory, the last step of each.

  tk-instruct report runs/smoke/model runs/smoke/copy_input runs/smoke/copy_demo
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from tk_instruct.errors import UserError
from tk_instruct.files import table

METRICS = {"rougeL": "ROUGE-L", "exact_match": "EM"}
SPLITS = {"validation": "seen tasks (validation)", "test": "unseen tasks (test)"}

# (task, split) → scores by key.
Scores = dict[tuple[str, str], dict[str, float]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", nargs="+", metavar="DIR", help="a run's directory, with scores/")
    parser.add_argument("--json", action="store_true", help="one JSON object a run")


def main(args: argparse.Namespace) -> int:
    found = {Path(run).name: read_scores(Path(run)) for run in args.runs}
    if args.json:
        for run, scores in found.items():
            flat = {f"{task}/{split}": values for (task, split), values in scores.items()}
            print(json.dumps({"run": run, "scores": flat}))
    else:
        print(as_table(found))
    return 0


def read_scores(run: Path) -> Scores:
    """A run's scores of the last step of each task and split; raises UserError without any."""
    last: dict[tuple[str, str], tuple[int, Path]] = {}
    for path in sorted((run / "scores").glob("*-*-*.json")):
        task, split, step = path.stem.rsplit("-", 2)
        if step.isdigit():
            last[task, split] = max(last.get((task, split), (-1, path)), (int(step), path))
    if not last:
        raise UserError(
            f"{run}/scores holds no TASK-SPLIT-STEP.json; write them with `tk-instruct evaluate "
            f"--predictions {run}/predictions/… --json {run}/scores/…`"
        )
    scores = {}
    for key, (_, path) in last.items():
        try:
            scores[key] = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise UserError(f"{path}: not JSON ({error}); evaluate again") from error
    return scores


def as_table(runs: dict[str, Scores]) -> str:
    """All runs under two header rows; – where a run has no such score."""
    columns = list(dict.fromkeys(key for scores in runs.values() for key in scores))
    columns.sort(key=lambda key: (key[0], list(SPLITS).index(key[1]) if key[1] in SPLITS else 9))
    names = [f"{SPLITS.get(split, split)}, {m}" for _, split in columns for m in METRICS.values()]
    rows: list[Sequence[str]] = [["", *names]]
    for run, scores in runs.items():
        cells = [
            f"{scores[key][metric]:.2f}" if key in scores else "–"
            for key in columns
            for metric in METRICS
        ]
        rows.append([run, *cells])
    titles = sorted({task for task, _ in columns})
    return "\n".join([f"{', '.join(titles)}, in per cent", table(rows)])
