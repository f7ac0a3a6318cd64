"""How large the page of a report is, and how long its viewer of predictions takes in Chromium.

    python benchmarks/report_page.py --instances 12000 --data_dir ../natural-instructions

The predictions are of two systems, with the instances of Super-NaturalInstructions' tasks in
DATA_DIR/tasks, or with made-up ones: 119 tasks, inputs of 10 to 400 words. Before each input is its
task's definition with two positive examples. Prints the bytes of the page, the milliseconds until
the first answers are shown, and those of each filter and search, until the page is laid out.
"""

import argparse
import json
import random
import shutil
import string
import tempfile
import time
from collections.abc import Iterator
from itertools import islice, zip_longest
from pathlib import Path
from statistics import median

from playwright.sync_api import Page, sync_playwright

from tk_instruct.report import page
from tk_instruct.report.viewer import Answer, Predictions

NUM_TASKS = 119
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync")
FILTERS = {
    "category": "category.selectedIndex = 1",
    "task": "task.selectedIndex = 1",
    "right": "which.value = 'right'",
    "wrong": "which.value = 'wrong'",
    "search a frequent letter": "search.value = 'e'",
    "search a word": "search.value = 'because'",
    "search what is not there": "search.value = 'zzzzzz'",
    "search wrong answers": "which.value = 'wrong'; search.value = 'the'",
    "other system": "system.selectedIndex = 1",
}

Instance = tuple[str, str, str, str, list[str]]
"""Id, task, category, input and references."""


def of_tasks(directory: Path) -> Iterator[Instance]:
    """Instances of task files, from each task in turn."""
    tasks = []
    for path in sorted((directory / "tasks").glob("*.json")):
        task = json.loads(path.read_text())
        before = instruction(
            task["Definition"][0],
            [(each["input"], each["output"]) for each in task["Positive Examples"][:2]],
        )
        category = task["Categories"][0]
        tasks.append(
            [
                (each["id"], path.stem, category, asked(before, each["input"]), each["output"])
                for each in task["Instances"]
            ]
        )
    for row in zip_longest(*tasks):
        yield from (each for each in row if each is not None)


def made_up() -> Iterator[Instance]:
    draw = random.Random(0)
    words = [
        "".join(draw.choices(string.ascii_lowercase, k=draw.randint(2, 11))) for _ in range(5000)
    ]
    frequencies = [1 / rank for rank in range(1, len(words) + 1)]

    def text(most: int) -> str:
        return " ".join(
            draw.choices(words, frequencies, k=round(10 ** draw.uniform(1, most / 100)))
        )

    before = [instruction(text(180), [(text(200), text(120))] * 2) for _ in range(NUM_TASKS)]
    number = 0
    while True:
        task = number % NUM_TASKS
        name, category = f"task{task:04d}_made_up", f"Category {task % 12}"
        yield f"{name}-{number}", name, category, asked(before[task], text(260)), [text(130)]
        number += 1


def instruction(definition: str, examples: list[tuple[str, str]]) -> str:
    shown = "".join(
        f" Positive Example {number} -\nInput: {given}\n Output: {wanted}\n\n"
        for number, (given, wanted) in enumerate(examples, start=1)
    )
    return f"Definition: {definition}\n\n{shown}"


def asked(before: str, given: str) -> str:
    return f"{before}Now complete the following example -\nInput: {given}\nOutput: "


def of_systems(instances: list[Instance]) -> list[Predictions]:
    """Two systems, right in two of three and in one of three answers."""
    draw = random.Random(1)
    systems = []
    for name, right in (("first", 2 / 3), ("second", 1 / 3)):
        rows = []
        for id_, task, category, given, references in instances:
            is_right = draw.random() < right
            answer = references[0] if is_right else " ".join(given.split()[-12:-1])
            score = 100.0 if is_right else draw.uniform(0, 90)
            rows.append(Answer(id_, task, category, given, references, answer, score))
        systems.append(Predictions(name, "ROUGE-L", rows))
    return systems


def milliseconds(shown: Page, change: str) -> float:
    """From a change of the filters until the page is laid out again."""
    return float(
        shown.evaluate(
            f"""() => {{
                const form = document.querySelector(".filters");
                const {{system, category, task, which, search}} = form.elements;
                form.reset();
                document.body.offsetHeight;
                const start = performance.now();
                {change};
                (category.selectedIndex ? category : search)
                    .dispatchEvent(new Event("input", {{bubbles: true}}));
                document.body.offsetHeight;
                return performance.now() - start;
            }}"""
        )
    )


def main() -> None:
    """Prints the sizes and times."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--instances", type=int, default=12000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--data_dir", type=Path, help="natural-instructions, with tasks/*.json")
    parser.add_argument("--chromium", default=shutil.which("chromium"))
    args = parser.parse_args()
    instances = [*islice(of_tasks(args.data_dir) if args.data_dir else made_up(), args.instances)]
    letters = sum(len(given) for _, _, _, given, _ in instances)
    print(f"{len(instances):,} instances, inputs of {letters / len(instances):,.0f} letters")
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        started = time.perf_counter()
        (path,) = page.write(Path(name), "Benchmark", [], of_systems(instances))
        seconds = time.perf_counter() - started
        print(f"{'page':<26}{path.stat().length:>12,} bytes, written in {seconds:.1f} s")
        browser = playwright.chromium.launch(executable_path=args.chromium, args=FLAGS)
        shown = browser.new_page()
        started = time.perf_counter()
        shown.goto(f"file://{path}")
        shown.wait_for_selector(".answers li")
        print(f"{'first answers':<26}{1000 * (time.perf_counter() - started):>12.0f} ms")
        for what, change in FILTERS.items():
            times = [milliseconds(shown, change) for _ in range(args.rounds)]
            about = shown.inner_text(".count")
            print(f"{what:<26}{median(times):>12.1f} ms, most {max(times):.1f} ms   {about}")
        browser.close()


if __name__ == "__main__":
    main()
