"""How long `tasks audit` takes on many texts, with how much memory, and what it finds.

    python benchmarks/audit.py [--train 1000000] [--against 100000] [--planted 500]

Writes two files of made-up examples: words of a Zipf vocabulary, as many as inputs and outputs of
Super-NaturalInstructions have (quantiles of 3,009 instances of 34 of its task files). Into random
training inputs it plants evaluation inputs: whole, with some words replaced (Jaccard similarity of
at least 0.8), and as much of them as an n-gram has. Then runs the command in a process of its own
and prints its seconds, its peak resident memory, and of each kind the share that is found.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).parent.parent))
from tk_instruct.audit import compared, findings
from tk_instruct.tables import table

SHARES = (0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 1)
WORDS = {"inputs": (1, 3, 9, 18, 38, 111, 499, 1573), "targets": (1, 1, 1, 1, 2, 13, 33, 160)}
KINDS = ("equal", "near_duplicate", "ngram", "short ngram")
JACCARD, NGRAM, SHORT_NGRAM = 0.8, 13, 8
_CHUNK = 50_000


class Texts:
    """Made-up texts, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self.draw = np.random.default_rng(seed)
        letters = np.random.default_rng(0).integers(97, 123, (50_000, 8), dtype=np.uint8)
        lengths = np.random.default_rng(1).integers(2, 9, 50_000)
        self.vocabulary = np.array(
            [bytes(row[:n]).decode() for row, n in zip(letters, lengths, strict=True)], object
        )
        self.ranks = np.cumsum(1 / np.arange(1, 50_001))

    def words(self, count: int) -> list[str]:
        places = self.draw.random(count) * self.ranks[-1]
        return self.vocabulary[np.searchsorted(self.ranks, places)].tolist()

    def many(self, field: str, count: int) -> Iterator[list[str]]:
        at = self.draw.random(count)
        lengths = np.exp(np.interp(at, SHARES, np.log(WORDS[field]))).round().astype(int)
        words, start = self.words(lengths.sum()), 0
        for length in lengths.tolist():
            yield words[start : start + length]
            start += length


def planted(kind: str, text: list[str], texts: Texts) -> list[str] | None:
    """A training text that matches an evaluation text in a way, or None if there is none."""
    if kind == "equal":
        return text if len(text) >= compared.LEAST_WORDS else None
    if kind == "near_duplicate":
        changed = list(text)
        for place in texts.draw.permutation(len(text))[: 1 + len(text) // 40].tolist():
            changed[place] = "changed"
        is_similar = compared.near_duplicate(text, changed, JACCARD)
        return changed if len(text) >= SHORT_NGRAM and is_similar else None
    n = NGRAM if kind == "ngram" else SHORT_NGRAM
    if len(text) < n or (kind == "short ngram" and len(text) >= NGRAM):
        return None
    start = int(texts.draw.integers(len(text) - n + 1))
    return [*texts.words(60), *text[start : start + n], *texts.words(60)]


def write(folder: Path, num_train: int, num_eval: int, num_planted: int) -> dict[str, list[str]]:
    """Writes train.jsonl and eval.jsonl; gives the ids of the evaluation texts planted, by kind."""
    texts = Texts(2)
    waiting = dict.fromkeys(KINDS, num_planted)
    ids: dict[str, list[str]] = {kind: [] for kind in KINDS}
    to_plant: list[list[str]] = []
    with (folder / "eval.jsonl").open("w") as file:
        outputs = texts.many("targets", num_eval)
        for number, (text, output) in enumerate(
            zip(texts.many("inputs", num_eval), outputs, strict=True)
        ):
            _line(file, f"e{number}", text, output)
            # Those that short texts alone can be are looked at first.
            for kind in sorted(waiting, key=lambda kind: kind != "short ngram"):
                if waiting[kind] and (other := planted(kind, text, texts)):
                    waiting[kind] -= 1
                    ids[kind].append(f"e{number}")
                    to_plant.append(other)
                    break
    places = texts.draw.choice(num_train, len(to_plant), replace=False)
    at = dict(zip(places.tolist(), to_plant, strict=True))
    with (folder / "train.jsonl").open("w") as file:
        for first in range(0, num_train, _CHUNK):
            count = min(_CHUNK, num_train - first)
            outputs = texts.many("targets", count)
            for number, (text, output) in enumerate(
                zip(texts.many("inputs", count), outputs, strict=True), start=first
            ):
                _line(file, f"t{number}", at.get(number, text), output)
    return ids


def _line(file: object, id_: str, inputs: list[str], targets: list[str]) -> None:
    line = {"id": id_, "inputs": " ".join(inputs).capitalize() + ".", "targets": " ".join(targets)}
    print(json.dumps(line), file=file)  # type: ignore[call-overload]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--train", type=int, default=1_000_000)
    parser.add_argument("--against", type=int, default=100_000)
    parser.add_argument("--planted", type=int, default=500, help="texts of each kind")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ids = write(folder, args.train, args.against, args.planted)
        command = [sys.executable, "-m", "tk_instruct.cli", "tasks", "audit"]
        command += [f"{folder}/train.jsonl", "--against", f"{folder}/eval.jsonl", "--threshold=1"]
        load, start = os.getloadavg()[0], time.monotonic()
        subprocess.run([*command, f"--json={folder}/audit.json", "-n0"], check=True)
        seconds = time.monotonic() - start
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
        audit = findings.read(folder / "audit.json")
    rows = [("planted", "texts", "found", "of its kind")]
    kinds: dict[str, set[str]] = {}
    for finding in audit.texts:
        kinds.setdefault(finding.eval_id, set()).add(finding.kind)
    for kind, of in ids.items():
        own = [id_ for id_ in of if kind.removeprefix("short ") in kinds.get(id_, ())]
        number = sum(id_ in kinds for id_ in of)
        rows.append((kind, str(len(of)), f"{number / len(of):.4f}", f"{len(own) / len(of):.4f}"))
    print(table(rows))
    of_planted = {id_ for of in ids.values() for id_ in of}
    print(f"{len(kinds.keys() - of_planted):,} other evaluation instances are flagged")
    print(f"{seconds:.0f} s, peak memory {peak:.2f} GB, load before {load:.1f}")


if __name__ == "__main__":
    main()
