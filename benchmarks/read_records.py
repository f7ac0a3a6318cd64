"""How long a natural-instructions tree of over 1 GB takes to become the sampled training set.

    python benchmarks/read_records.py --repeats 5

Writes 1,600 task files of 2,000 instances each (a Definition, two to four positive examples,
inputs of one to three sentences in five languages; the same for the same --seed) and split lists
that train on 1,481 of them, into a temporary directory or into --directory, which is kept and
used again if it is complete. Then calls SuperNI(...).examples("default", "train") in a process of
its own, first with an empty record cache, then --repeats times from that cache, and prints a row
for each:

    read         first (the cache is empty) or cached
    call s       seconds that the call took
    process s    seconds from the start of the process to its end, with Python's imports
    cpu s        processor seconds of the process and its workers: about the same on a busy machine
    peak MB      most resident memory of the process and of its worker processes together: the sum
                 over /proc, sampled every 20 ms (pages that they share are counted in each)
    load before  how many processes wanted a core in the minute before, this benchmark's included

The files are in the page cache when measured, having just been written or, with --directory, read
once. Fails if two reads give different examples.
"""

import argparse
import hashlib
import json
import os
import random
import resource
import string
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from statistics import median

from tk_instruct.tables import table

NUM_TEST_TASKS = 119
LETTERS = {
    "English": string.ascii_lowercase,
    "French": string.ascii_lowercase + "éèàç",
    "Russian": "абвгдежзийклмнопрстуфхцчшщыьэюя",
    "Hindi": "कखगघचछजटडतथदनपबमयरलवशसह",
    "Chinese": "的一是不了人我在有他这中大来上国和地到以说时要就出会可也你对生能而子那得于着下自之",
}
# Most tasks are English; some files were written with \u escapes, most were not.
LANGUAGES = ("English",) * 12 + ("French", "Russian", "Hindi", "Chinese")


def sentences(language: str, seed: int, count: int = 20_000) -> list[str]:
    """Made-up sentences of 4 to 22 words, with the quotes and line ends that real inputs have."""
    draw = random.Random(f"{seed} {language}")
    letters, longest_word = LETTERS[language], 3 if language == "Chinese" else 10
    words = ["".join(draw.choices(letters, k=draw.randint(1, longest_word))) for _ in range(8000)]
    frequencies = list(accumulate(1 / rank for rank in range(1, len(words) + 1)))
    endings = (".", ".", ".", "?", "!", '."', ".\n", ".\n\n")
    longest = 22 if letters.isascii() else 12
    return [
        " ".join(draw.choices(words, cum_weights=frequencies, k=draw.randint(4, longest)))
        + draw.choice(endings)
        for _ in range(count)
    ]


def write_tree(directory: Path, num_tasks: int, num_instances: int, seed: int) -> None:
    """tasks/ and splits/; the split lists come last, so a tree that has them is complete."""
    pools = {language: sentences(language, seed) for language in LETTERS}
    (directory / "tasks").mkdir(parents=True, exist_ok=True)
    names = [f"task{number:04d}_made_up" for number in range(1, num_tasks + 1)]
    for name in names:
        draw = random.Random(f"{seed} {name}")
        language = draw.choice(LANGUAGES)
        pool = pools[language]
        answers = draw.sample(pool, 4) if draw.random() < 0.5 else pool
        demonstrations = [
            {"input": draw.choice(pool), "output": draw.choice(answers), "explanation": pool[k]}
            for k in range(draw.randint(2, 4))
        ]
        record = {
            "Contributors": ["Nobody"],
            "Categories": ["Made-up Classification"],
            "Definition": [" ".join(draw.choices(pool, k=4))],
            "Input_language": [language],
            "Output_language": [language],
            "Positive Examples": demonstrations,
            "Negative Examples": demonstrations[:1],
            "Instances": [
                {
                    "id": f"{name}-{draw.getrandbits(128):032x}",
                    "input": f"{number}. " + " ".join(draw.choices(pool, k=draw.randint(1, 3))),
                    "output": draw.choices(answers, k=1 + (draw.random() < 0.1)),
                }
                for number in range(num_instances)
            ],
        }
        content = json.dumps(record, ensure_ascii=draw.random() < 0.2)
        (directory / "tasks" / f"{name}.json").write_text(content, encoding="utf-8")
    folder = directory / "splits" / "default"
    folder.mkdir(parents=True, exist_ok=True)
    for split, listed in (
        ("excluded", []),
        ("test", names[:NUM_TEST_TASKS]),
        ("train", names[NUM_TEST_TASKS:]),
    ):
        (folder / f"{split}_tasks.txt").write_text("".join(f"{name}\n" for name in listed))
    os.sync()  # or the disk would be busy with it during the first read


def read(data_dir: str, cache_dir: str) -> None:
    """What a measured process runs; prints the call's seconds and what it returned."""
    from tk_instruct.tasks.superni.records import SuperNI

    start = time.perf_counter()
    examples = SuperNI(data_dir=data_dir, cache_dir=cache_dir).examples("default", "train")
    seconds = time.perf_counter() - start
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu_seconds = sum(usage.ru_utime + usage.ru_stime for usage in used)
    digest = hashlib.sha256()
    for example in examples:
        digest.update(repr((example.id, example.input, example.references)).encode())
        digest.update(example.task.name.encode())
    print(json.dumps([seconds, cpu_seconds, len(examples), digest.hexdigest()]))


def resident_bytes(pid: int) -> int:
    """Resident memory of a process and of all its descendants; 0 for one that is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        lists = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    except (OSError, IndexError):
        return 0
    children = [int(child) for text in lists for child in text.split()]
    return pages * os.sysconf("SC_PAGE_SIZE") + sum(map(resident_bytes, children))


@dataclass(frozen=True)
class Reading:
    """One measured process."""

    call_seconds: float
    process_seconds: float
    cpu_seconds: float
    peak_bytes: int
    num_examples: int
    digest: str


def measure(data_dir: Path, cache_dir: Path) -> Reading:
    """Reads the tree in a process of its own."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, __file__, "--read", str(data_dir), str(cache_dir)],
        stdout=subprocess.PIPE,
        text=True,
    )
    peak_bytes = 0
    while process.poll() is None:
        peak_bytes = max(peak_bytes, resident_bytes(process.pid))
        time.sleep(0.02)
    process_seconds = time.perf_counter() - start
    if process.returncode or process.stdout is None:
        sys.exit(f"the reading process ended with status {process.returncode}")
    call_seconds, cpu_seconds, num_examples, digest = json.loads(process.stdout.read())
    return Reading(call_seconds, process_seconds, cpu_seconds, peak_bytes, num_examples, digest)


def benchmark(directory: Path, repeats: int) -> None:
    """Reads the tree once with an empty cache and then from it, and prints the table."""
    files = list((directory / "tasks").glob("*.json"))
    total_bytes = sum(len(path.read_bytes()) for path in files)  # and now in the page cache
    print(f"{len(files):,} task files, {total_bytes / 1e9:.2f} GB, {os.cpu_count()} cores")
    rows = [["read", "call s", "process s", "cpu s", "peak MB", "load before"]]
    readings = []
    with tempfile.TemporaryDirectory(dir=directory, prefix=".cache") as cache:
        for repeat in range(repeats + 1):
            load = os.getloadavg()[0]
            reading = measure(directory, Path(cache))
            readings.append(reading)
            rows.append(
                [
                    "cached" if repeat else "first",
                    f"{reading.call_seconds:.2f}",
                    f"{reading.process_seconds:.2f}",
                    f"{reading.cpu_seconds:.2f}",
                    f"{reading.peak_bytes / 1e6:.0f}",
                    f"{load:.1f}",
                ]
            )
        entries = [path for path in Path(cache).rglob("*") if path.is_file()]
        cache_bytes = sum(path.stat().st_size for path in entries)
    print(table(rows))
    print(
        f"{readings[0].num_examples:,} examples; "
        f"cache: {len(entries):,} files, {cache_bytes / 1e6:.0f} MB"
    )
    if repeats:
        cached = median(reading.call_seconds for reading in readings[1:])
        print(f"from the cache: median {cached:.2f} s of {repeats}")
    if len({reading.digest for reading in readings}) > 1:
        sys.exit("the reads gave different examples")


def main() -> None:
    """Writes the tree where it is missing and prints the measurements."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--directory", type=Path, help="keep the tree here (default: temporary)")
    parser.add_argument("--tasks", type=int, default=1600)
    parser.add_argument("--instances", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--repeats", type=int, default=5, help="reads from the cache")
    parser.add_argument("--read", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.read:
        return read(*args.read)
    if args.tasks <= NUM_TEST_TASKS:
        parser.error(f"--tasks={args.tasks} must be more than the {NUM_TEST_TASKS} test tasks")
    with tempfile.TemporaryDirectory() as temporary:
        directory = args.directory or Path(temporary)
        if not (directory / "splits" / "default" / "train_tasks.txt").exists():
            start = time.perf_counter()
            write_tree(directory, args.tasks, args.instances, args.seed)
            print(f"written in {time.perf_counter() - start:.0f} s", flush=True)
        benchmark(directory, args.repeats)


if __name__ == "__main__":
    main()
