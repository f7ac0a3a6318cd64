"""A report with every kind of exhibit and hostile texts, and the browser that opens it."""

import math
import os
import random
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tk_instruct.exhibits import Bars, Curves, HeatMap, Line, Point, Section, Shares, Spread, Table
from tk_instruct.report import page
from tk_instruct.report.viewer import Answer, Predictions

HOSTILE = (
    "</script><script>alert(1)</script>",
    '<img src="https://example.com/x.png" onerror="alert(1)">',
    "]]><!-- ${7*7} {{ 7*7 }} {% raw %}",
    "right to left \u202eABC\u2066 and NUL \x00 and half a pair \ud800",
    "cost $5 and $\\frac{1}{2}$ & 50 % of #1_a ~ ^ | `code` [link](javascript:alert(1))",
    "unbroken" * 40,
    "日本語のタスク 名前",
)
SYSTEMS = (
    "Tk-Instruct 3B, definition and 2 positive examples",
    "T5-LM 3B",
    "Copying input",
    "GPT-3 (175B)",
    "InstructGPT",
    "a system from another laboratory with a long name, 11B",
)


@pytest.fixture(scope="session")
def hostile() -> Sequence[str]:
    return HOSTILE


@pytest.fixture(scope="session")
def sections() -> list[Section]:
    draws = random.Random(0)

    def point(width: float = 3.0) -> Point:
        value = draws.uniform(15, 70)
        return Point(value, value - draws.uniform(1, width), value + draws.uniform(1, width))

    categories = (
        "textual_entailment",
        "cause_effect_classification",
        "coreference_resolution",
        "dialogue_act_recognition",
        "answerability_classification",
        "word_analogy",
        "overlap_extraction",
        "keyword_tagging",
        "question_rewriting",
        "title_generation",
        "data_to_text",
        "grammar_error_correction",
    )
    tasks = [f"task{number:04d}_{draws.choice(categories)}_{number % 7}" for number in range(80)]
    steps = [100.0 * number for number in range(1, 100)]

    def loss(level: float) -> list[Point]:
        return [Point(level + 4 * math.exp(-x / 3000) + draws.gauss(0, 0.04)) for x in steps]

    tasks_x = [8.0, 32.0, 128.0, 757.0]
    encodings = ("def", "def_pos2", "pos1", "def_pos2_neg2", "def_pos2_neg2_expl", "tk_instruct")
    return [
        Section(
            "Super-NaturalInstructions",
            [
                "ROUGE-L of 119 unseen tasks, 100 instances each. Intervals are over tasks: "
                "another choice of tasks would have given another score.",
                "Published numbers are copied from the papers' tables.",
            ],
            [
                Table(
                    "superni",
                    "Scores on the unseen tasks",
                    ["system", "ROUGE-L", "95 % interval", "exact match", "tasks", "setting"],
                    [
                        ["Tk-Instruct 3B", "54.32", "50.10 to 58.60", "39.10", "119", "ours"],
                        ["T5-LM 3B", "20.12", "18.00 to 22.40", "-1.10", "119", "ours"],
                        ["Copying input", "14.20", "–", "0.00", "1,119", "heuristic"],
                    ],
                    notes=["ROUGE-L: per cent, mean over instances."],
                    best={1: [0], 3: [0]},
                ),
                Bars(
                    "superni-overall",
                    "ROUGE-L of the systems",
                    "ROUGE-L, per cent",
                    SYSTEMS,
                    {"all": [point() for _ in SYSTEMS]},
                    notes=["Point: mean. Bar: 95 % interval, clustered by task."],
                ),
                Bars(
                    "superni-categories",
                    "ROUGE-L by category",
                    "ROUGE-L, per cent",
                    categories,
                    {
                        name: [point(6) if draws.random() > 0.05 else None for _ in categories]
                        for name in SYSTEMS[:4]
                    },
                ),
                Bars(
                    "superni-counts",
                    "Instances by category",
                    "instances",
                    categories,
                    {"instances": [Point(draws.randrange(100, 2800)) for _ in categories]},
                ),
            ],
        ),
        Section(
            "By task",
            [],
            [
                Bars(
                    "tasks",
                    "ROUGE-L of each task",
                    "ROUGE-L, per cent",
                    tasks,
                    {name: [point(8) for _ in tasks] for name in SYSTEMS},
                )
            ],
        ),
        Section(
            "Studies",
            ["Scores of the same recipe with more data, over three seeds."],
            [
                Curves(
                    "train-tasks",
                    "More training tasks",
                    "number of training tasks",
                    "ROUGE-L, per cent",
                    [
                        Line("ours", tasks_x, [Point(y, y - 2, y + 2) for y in (22, 30, 39, 48)]),
                        Line(
                            "fit: 7.0 + 13.7 · log10 tasks",
                            tasks_x,
                            [Point(y, y - 1.5, y + 1.5) for y in (20.5, 29, 37, 47.8)],
                            band=True,
                            is_fit=True,
                        ),
                        Line(
                            "T5-large, published",
                            tasks_x,
                            [Point(y) for y in (25, 33, 41, 48)],
                            is_published=True,
                        ),
                    ],
                    log_x=True,
                ),
                Curves(
                    "sizes",
                    "Larger models",
                    "parameters",
                    "ROUGE-L, per cent",
                    [
                        Line(
                            name,
                            [77e6, 248e6, 783e6, 2.85e9],
                            [point(4) for _ in range(4)],
                            band=True,
                        )
                        for name in SYSTEMS
                    ],
                    log_x=True,
                ),
                HeatMap(
                    "encodings",
                    "Trained with one encoding, tested with another",
                    "trained with",
                    "tested with",
                    "ROUGE-L, per cent",
                    encodings,
                    encodings,
                    [
                        [
                            math.nan if row == column == 3 else draws.uniform(20, 56)
                            for column in range(len(encodings))
                        ]
                        for row in range(len(encodings))
                    ],
                    notes=["ROUGE-L, per cent. –: not run."],
                ),
                Spread(
                    "prompts",
                    "Accuracy of each prompt",
                    "accuracy, per cent",
                    ("super_glue/rte", "super_glue/cb", "anli/r1", "hellaswag"),
                    {
                        name: [
                            [draws.gauss(50 + 8 * row, 6) for _ in range(12)] for row in range(4)
                        ]
                        for name in SYSTEMS[:2]
                    },
                ),
            ],
        ),
        Section(
            "Training",
            [],
            [
                Curves(
                    "loss",
                    "Training loss",
                    "step",
                    "loss, nats per token",
                    [
                        Line(name, steps, loss(level))
                        for name, level in zip(SYSTEMS[:3], (0.8, 1.1, 1.5), strict=True)
                    ],
                    log_y=True,
                ),
                Shares(
                    "goodput",
                    "Where the wall time goes",
                    "hours",
                    SYSTEMS[:3],
                    {
                        "steps": [8.1, 9.4, 3.2],
                        "input": [0.4, 1.4, 0.02],
                        "compilation": [0.2, 0.2, 0.3],
                        "saving": [0.6, 0.3, 0.1],
                        "validation": [1.1, 0.9, 0.5],
                        "start": [0.1, 0.1, 0.2],
                        "lost to restarts": [0.0, 2.2, 0.0],
                    },
                ),
            ],
        ),
        Section(
            f"Hostile {HOSTILE[0]}",
            HOSTILE,
            [
                Table(
                    "hostile-table",
                    HOSTILE[1],
                    ["name", HOSTILE[0], "a\nb"],
                    [[text, text, "1.0"] for text in HOSTILE],
                    notes=HOSTILE,
                    best={2: [0]},
                ),
                Table(
                    "wide",
                    "A wide table",
                    ["name", *"abcdefghijklmnopqrst"],
                    [["x"] + ["12.345"] * 20],
                ),
                Bars(
                    "hostile-bars",
                    HOSTILE[4],
                    HOSTILE[4],
                    HOSTILE,
                    {text: [Point(1.0)] * len(HOSTILE) for text in HOSTILE[:3]},
                    notes=HOSTILE,
                ),
                Curves(
                    "hostile-curves",
                    "One point, no points, all missing",
                    HOSTILE[4],
                    HOSTILE[5],
                    [
                        Line(HOSTILE[0], [1.0], [Point(2.0)]),
                        Line("none", [], []),
                        Line("missing", [1.0, math.inf], [Point(math.nan), Point(1.0)]),
                    ],
                ),
                HeatMap(
                    "hostile-map",
                    HOSTILE[0],
                    HOSTILE[0],
                    HOSTILE[4],
                    "u",
                    HOSTILE,
                    HOSTILE[:2],
                    [[math.nan, 1e9]] * len(HOSTILE),
                ),
            ],
        ),
        Section(
            "Empty",
            [],
            [
                Table("empty-table", "No rows", ["name", "value"], []),
                Bars("empty-bars", "No labels", "unit", [], {}),
                Bars("missing-bars", "Missing values", "unit", ["a"], {"x": [None]}),
                Curves("empty-curves", "No lines", "x", "y", [], log_x=True),
                HeatMap("empty-map", "No cells", "r", "c", "u", [], [], []),
                Spread("empty-spread", "No values", "u", ["a"], {"x": [[]]}),
                Shares("empty-shares", "No parts", "u", ["a"], {}),
            ],
        ),
    ]


@pytest.fixture(scope="session")
def predictions() -> list[Predictions]:
    """Three systems; the third answered other instances. 60 instances of 6 tasks, then hostile."""
    draws = random.Random(0)
    systems = []
    for name, right in (("ours", 0.6), ("baseline <b>", 0.3)):
        rows = []
        for number in range(60):
            task = number % 6
            answer = ("yes", "no")[number % 2]
            is_right = draws.random() < right
            rows.append(
                Answer(
                    f"task{task}-{number}",
                    f"task{task}_of_words",
                    ("Textual Entailment", "Word Analogy")[task % 2],
                    f"Definition: In task {task} you answer a question about a word with yes or no."
                    f"\n\nNow complete the following example -\nInput: Is {number} even?\nOutput:",
                    [answer],
                    answer if is_right else "perhaps",
                    100.0 if is_right else draws.choice([0.0, 33.3]),
                )
            )
        rows += [
            Answer(f"hostile-{number}", "hostile", "Hostile", text, [text], text, None)
            for number, text in enumerate(HOSTILE)
        ]
        rows.append(Answer("long", "hostile", "Hostile", "x" * 100_000, [], "y" * 100_000, 0.0))
        rows.append(Answer("none", "hostile", "Hostile", None, ["a", "b"], None, None))
        systems.append(Predictions(name, "ROUGE-L", rows))
    other = Answer("q1", "other", "", "Is it?", ["yes"], "", 1.0)
    return [*systems, Predictions(HOSTILE[5], "accuracy", [other], best=1.0)]


@pytest.fixture(scope="session")
def report(
    sections: list[Section],
    predictions: list[Predictions],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """The folder of a report."""
    out = tmp_path_factory.mktemp("report") / "out"
    page.write(out, f"A report {HOSTILE[0]}", sections, predictions)
    return out


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium without a window; tests are skipped where there is none.

    It ends with its tests: while it is there asyncio has a running loop, which Orbax takes for its
    caller's.
    """
    names = ("chromium", "chromium-browser", "google-chrome")
    path = os.environ.get("TK_INSTRUCT_CHROMIUM") or next(
        filter(None, map(shutil.which, names)), None
    )
    if path is None:
        pytest.skip(f"no browser: none of {', '.join(names)} is on PATH (or TK_INSTRUCT_CHROMIUM)")
    api = pytest.importorskip("playwright.sync_api")
    flags = (
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
    )
    with api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=flags)
        yield opened
        opened.close()
