"""How long `tk-instruct compare` takes for three systems, with and without kept scores.

    python benchmarks/compare_speed.py --instances 11810 --rounds 3

Writes references and predictions of 119 tasks into a temporary directory (see evaluate_speed.py),
and two more systems, each with every third answer of the first one cut or swapped. Each round
compares the three, first from their predictions, then from the scores that are kept beside them.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.evaluate_speed import write_inputs  # noqa: E402


def write_systems(directory: Path, num_instances: int) -> list[Path]:
    write_inputs(directory, num_instances)
    first = directory / "predictions.jsonl"
    rows = list(map(json.loads, first.read_text().splitlines()))
    systems = [first]
    for name, step in (("cut", 0), ("swapped", 1)):
        texts = [row["prediction"] for row in rows]
        for number in range(step, len(rows), 3):
            other = (
                rows[number - 1]["prediction"]
                if step
                else texts[number][: -len(texts[number]) // 2]
            )
            texts[number] = other
        systems.append(directory / f"{name}.jsonl")
        systems[-1].write_text(
            "".join(
                json.dumps({"id": row["id"], "prediction": text}) + "\n"
                for row, text in zip(rows, texts, strict=True)
            )
        )
    return systems


def seconds_of(words: list[str]) -> float:
    started = time.perf_counter()
    command = [sys.executable, "-m", "tk_instruct.cli", "compare", *words]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=ROOT)
    return time.perf_counter() - started


def main() -> None:
    """Prints the seconds of each run and the medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--instances", type=int, default=11810)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    seconds: dict[str, list[float]] = {"predictions": [], "kept scores": []}
    with tempfile.TemporaryDirectory() as name:
        systems = [str(path) for path in write_systems(Path(name), args.instances)]
        references = f"--references={name}/references.jsonl"
        for _ in range(args.rounds):
            for what, words in (("predictions", [*systems, references]), ("kept scores", systems)):
                seconds[what].append(seconds_of(words))
                print(f"{what:<12}{seconds[what][-1]:>7.2f} s", flush=True)
    medians = ", ".join(f"from {what} {median(of):.2f} s" for what, of in seconds.items())
    print(f"3 systems of {args.instances:,} instances, medians of {args.rounds}: {medians}")


if __name__ == "__main__":
    main()
