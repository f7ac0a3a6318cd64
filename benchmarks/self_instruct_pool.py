"""Self-Instruct's novelty filter beside rouge-score, on synthetic instructions and one core.

  python benchmarks/self_instruct_pool.py [--rounds 5] [--seeds FILE] [--json]

The 8 candidates of a response against a tenth of a pool: rouge-score gets the two texts of each
pair, as in the released Self-Instruct, ours the same pairs; that the scores are equal to 1e-12 is
checked first. Then against the whole pool as the filter does (tokens, scores, most similar, mean),
and the making of that pool. --seeds: JSON lines whose "instruction" gives lengths and words.
"""

import argparse
import json
import os
import random
import string
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version
from itertools import accumulate
from pathlib import Path
from statistics import median
from typing import Any

sys.path.append(str(Path(__file__).parent.parent))
from benchmarks._interleaved import System, serve, take_turns

NUM_CANDIDATES = 8
POOL_SIZE = 52_000
SHARED_SIZE = POOL_SIZE // 10  # what rouge-score is given of it
# System → (texts that the candidates are compared with, how often in a round, to be long enough).
ROUNDS = {
    "rouge-score": (SHARED_SIZE, 1),
    "ours, same pairs": (SHARED_SIZE, 100),
    "ours, whole pool": (POOL_SIZE, 10),
    "ours, making it": (POOL_SIZE, 1),
}


def instructions(seeds: str | None) -> tuple[list[str], list[str]]:
    """(candidates, pool), the same in every process."""
    draw = random.Random(0)
    if seeds:
        from tk_instruct import schema

        written = [
            record["instruction"].split() for _, record in schema.read_lines(seeds, dict[str, Any])
        ]
        lengths = [len(words) for words in written]
        counts = Counter(word for words in written for word in words)
        words, frequencies = list(counts), list(map(float, counts.values()))
    else:  # 16 words on average, and as frequent as their rank makes them
        lengths = [round(min(150, max(4, draw.lognormvariate(2.65, 0.5)))) for _ in range(1000)]
        letters = string.ascii_lowercase
        words = ["".join(draw.choices(letters, k=draw.randint(2, 11))) for _ in range(30_000)]
        frequencies = [1 / rank for rank in range(1, len(words) + 1)]
    cumulative = list(accumulate(frequencies))

    def text() -> str:
        chosen = draw.choices(words, cum_weights=cumulative, k=draw.choice(lengths))
        return " ".join(chosen).capitalize() + "."

    made = [text() for _ in range(NUM_CANDIDATES + POOL_SIZE)]
    return made[:NUM_CANDIDATES], made[NUM_CANDIDATES:]


def worker(system: str, seeds: str | None) -> tuple[Callable[[], None], str]:
    os.sched_setaffinity(0, {0})
    import numpy as np
    from rouge_score.rouge_scorer import RougeScorer

    from tk_instruct.self_instruct.pool import NoveltyPool

    candidates, texts = instructions(seeds)
    num_texts, repeats = ROUNDS[system]
    texts = texts[:num_texts]
    pool = NoveltyPool(texts)
    score = RougeScorer(["rougeL"], use_stemmer=False).score

    def by_rouge_score() -> list[list[float]]:
        return [[score(one, other)["rougeL"].fmeasure for other in texts] for one in candidates]

    rounds: dict[str, Callable[[], Any]] = {
        "rouge-score": by_rouge_score,
        "ours, same pairs": lambda: pool.similarities(candidates),
        "ours, whole pool": lambda: list(pool.compare(candidates)),
        "ours, making it": lambda: NoveltyPool(texts),
    }
    versions = f"rapidfuzz {version('rapidfuzz')}"
    if system == "rouge-score":
        difference = np.abs(pool.similarities(candidates) - by_rouge_score()).max()
        assert difference <= 1e-12, difference
        versions = f"rouge-score {version('rouge-score')}, scores differ by {difference:.1e}"

    def do_round() -> None:
        for _ in range(repeats):
            rounds[system]()

    return do_round, versions


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seeds", metavar="FILE")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--worker", choices=ROUNDS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        serve(partial(worker, args.worker, args.seeds))
        return
    seeds = [f"--seeds={args.seeds}"] if args.seeds else []
    systems = [
        System(name, [sys.executable, __file__, f"--worker={name}", *seeds]) for name in ROUNDS
    ]
    take_turns(systems, args.rounds)
    report(systems, args.json)


def report(systems: Sequence[System], as_json: bool) -> None:
    """Prints medians of what doing it once took; of a pair, where pairs are what is done, in
    processor time, which is what one thread takes of a machine that it has for itself.
    """
    results: list[dict[str, Any]] = []
    for system in systems:
        num_texts, repeats = ROUNDS[system.name]
        cpu_seconds = median(system.cpu_seconds) / repeats
        result: dict[str, Any] = {
            "system": system.name,
            "versions": system.versions,
            "seconds": median(system.seconds) / repeats,
            "cpu_seconds": cpu_seconds,
        }
        if system.name != "ours, making it":
            result["microseconds_per_pair"] = each = (
                cpu_seconds * 1e6 / (NUM_CANDIDATES * num_texts)
            )
            result["faster_times"] = results[0]["microseconds_per_pair"] / each if results else 1.0
        results.append(result)
    if as_json:
        for result in results:
            print(json.dumps(result))
        return
    from tk_instruct.tables import table

    rows: list[Sequence[str]] = [
        ("system", "median s", "cpu s", "µs a pair", "faster ×", "versions"),
    ]
    for result in results:
        pairs = "–", "–"
        if "faster_times" in result:
            pairs = f"{result['microseconds_per_pair']:.3f}", f"{result['faster_times']:,.0f}"
        times = f"{result['seconds']:.4f}", f"{result['cpu_seconds']:.4f}"
        rows.append((result["system"], *times, *pairs, result["versions"]))
    print(table(rows))


if __name__ == "__main__":
    main()
