"""Compare the scores of runs: one table a task, one row a run, one column a split and metric.

Reads the files in each run's scores/, which `tk-instruct evaluate` writes. Of the files
TASK-SPLIT-STEP.json, only the last step is read. A file of scores with any name may be given in
place of a run. If a suite has a summary of a whole evaluation, its tables replace the scores that
the summary is made from. Runs of the same name are shown with their parent folders. Below a score
is its 95 % interval; `tk-instruct evaluate` says what it is clustered by.

  tk-instruct report runs/smoke/tiny_t5 runs/smoke/copy_input runs/smoke/copy_demo
  tk-instruct report ours.json theirs.json

For a run of `tk-instruct self-instruct` it shows the counts of generated data, stats/stats.json.
"""

import argparse
import json
from typing import Any

from tk_instruct import schema
from tk_instruct.errors import UserError
from tk_instruct.files import Path
from tk_instruct.scores import as_table, named_apart, read_run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="DIR|FILE",
        help="a run's directory, or a file of scores (evaluate --json)",
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
    texts += [text for of in found.values() for text in of.texts()]
    if texts:
        print("\n\n".join(texts))
    return 0


def read_stats(run: Path) -> dict[str, Any]:
    """The content of stats.json of a Self-Instruct run. Raises UserError if there is none."""
    from tk_instruct.self_instruct.stats.report import StatsFile

    path = run / "stats" / "stats.json"
    write = f"write it with `tk-instruct self-instruct stats --run_dir {run}`"
    if not path.exists():
        raise UserError(f"{path} is not there; {write}")
    stats = schema.read(path, dict[str, Any], write)
    schema.convert(stats, StatsFile, str(path), write)
    return stats


def show_stats(name: str, stats: dict[str, Any], as_json: bool) -> None:
    """Prints the stats of a Self-Instruct run, as a text or as one JSON object."""
    from tk_instruct.self_instruct.stats.report import as_text

    print(json.dumps({"run": name, "stats": stats}) if as_json else f"{as_text(stats)}\n")
