"""How long `tk-instruct evaluate` takes beside rouge-score used plainly, on made-up text.

    python benchmarks/evaluate_speed.py --instances 12000 --rounds 3

Writes references and predictions of 119 tasks into a temporary directory (one to three references
an instance, answers of 1 to 80 words, predictions from exact to unrelated), runs both as processes
of their own, in turn, and prints the seconds of each run from start to end, the medians and their
ratio. Fails if the two disagree on a score by more than 1e-4.
"""

import argparse
import json
import random
import string
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
NUM_TASKS = 119


def write_inputs(directory: Path, num_instances: int) -> None:
    """references.jsonl and predictions.jsonl, the same for the same number of instances."""
    draw = random.Random(0)
    words = [
        "".join(draw.choices(string.ascii_lowercase, k=draw.randint(2, 11))) for _ in range(5000)
    ]
    endings = ["", "", "s", "ed", "ing", "ation", "fully"]
    frequencies = [1 / rank for rank in range(1, len(words) + 1)]

    def text(num_words: int) -> str:
        chosen = draw.choices(words, frequencies, k=num_words)
        return " ".join(word + draw.choice(endings) for word in chosen).capitalize() + "."

    with (
        (directory / "references.jsonl").open("w") as references,
        (directory / "predictions.jsonl").open("w") as predictions,
    ):
        for i in range(num_instances):
            task = f"task{i % NUM_TASKS:04d}"
            num_words = draw.choice((1, 1, 2, 6, 12, 25, 80))
            expected = [text(num_words) for _ in range(draw.randint(1, 3))]
            kept = draw.choice((0.0, 0.5, 0.9, 1.0))
            predicted = [
                word if draw.random() < kept else draw.choice(words) for word in expected[0].split()
            ]
            if kept == 0.9:  # in another order, so that ROUGE-L is not ROUGE-1
                predicted = predicted[num_words // 2 :] + predicted[: num_words // 2]
            instance = {
                "id": f"{task}-{i}",
                "references": expected,
                "task_id": task,
                "task_category": "Title Generation",
                "track": "default",
            }
            references.write(json.dumps(instance) + "\n")
            predictions.write(
                json.dumps({"id": instance["id"], "prediction": " ".join(predicted)}) + "\n"
            )


def score_with_evaluate(directory: Path) -> dict[str, float]:
    """The command, without the printing."""
    from tk_instruct import evaluate

    parser = argparse.ArgumentParser()
    evaluate.add_arguments(parser)
    out = directory / "scores.json"
    arguments = ["--predictions", str(directory / "predictions.jsonl"), "--json", str(out)]
    arguments += ["--references", str(directory / "references.jsonl")]
    evaluate.main(parser.parse_args(arguments))
    return json.loads(out.read_text())


def score_with_rouge_score(directory: Path) -> dict[str, float]:
    """The library called once for each reference."""
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rouge1", "rougeL"], use_stemmer=True)
    lines = (directory / "predictions.jsonl").read_text().splitlines()
    predictions = {record["id"]: record["prediction"] for record in map(json.loads, lines)}
    totals = {"rouge1": 0.0, "rougeL": 0.0}
    instances = (directory / "references.jsonl").read_text().splitlines()
    for instance in map(json.loads, instances):
        predicted = predictions[instance["id"]]
        found = [scorer.score(expected, predicted) for expected in instance["references"]]
        for metric in totals:
            totals[metric] += max(scores[metric].fmeasure for scores in found)
    return {metric: 100 * total / len(instances) for metric, total in totals.items()}


SIDES: dict[str, Callable[[Path], dict[str, float]]] = {
    "evaluate": score_with_evaluate,
    "rouge_score": score_with_rouge_score,
}


def run_side(side: str, directory: Path) -> tuple[float, dict[str, float]]:
    """(seconds from the start of a process to its end, its scores)"""
    code = (
        f"import sys; sys.path[:0] = [{str(ROOT)!r}, {str(Path(__file__).parent)!r}]\n"
        "import json, pathlib, evaluate_speed\n"
        f"scores = evaluate_speed.SIDES[{side!r}](pathlib.Path({str(directory)!r}))\n"
        "print('\\n' + json.dumps(scores))"
    )
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - start
    return seconds, json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Prints the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--instances", type=int, default=12000)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    seconds: dict[str, list[float]] = {side: [] for side in SIDES}
    with tempfile.TemporaryDirectory() as name:
        write_inputs(Path(name), args.instances)
        for _ in range(args.rounds):
            scores = {}
            for side in SIDES:
                taken, scores[side] = run_side(side, Path(name))
                seconds[side].append(taken)
                print(f"{side:<12}{taken:>8.2f} s", flush=True)
            for metric in ("rouge1", "rougeL"):
                ours, theirs = scores["evaluate"][metric], scores["rouge_score"][metric]
                if abs(ours - theirs) > 1e-4:
                    sys.exit(f"{metric}: evaluate gives {ours}, rouge_score {theirs}")
    ours, theirs = median(seconds["evaluate"]), median(seconds["rouge_score"])
    print(
        f"{args.instances:,} instances, medians of {args.rounds}: evaluate {ours:.2f} s, "
        f"rouge_score {theirs:.2f} s, {theirs / ours:.1f} times as fast"
    )


if __name__ == "__main__":
    main()
