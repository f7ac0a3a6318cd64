"""What a run has made: counts against slow obvious ones, and figures that can be looked at."""

import io
import json
import random
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pytest
from matplotlib import image
from rouge_score.rouge_scorer import RougeScorer

from tk_instruct import cli
from tk_instruct.self_instruct.pool import unicode_tokens
from tk_instruct.self_instruct.run_directory import RunDirectory
from tk_instruct.self_instruct.stats import figures, seed_similarities, stats
from tk_instruct.self_instruct.stats.report import as_text
from tk_instruct.self_instruct.stats.root_verbs import Parsing, RootVerb

Records = list[dict[str, Any]]

WORDS = ("write", "a", "story", "about", "lists", "of", "words", "and", "give", "each", "a", "name")
NO_PIPELINE = Parsing(spacy_model="no_such_pipeline")


def provenance(model: str = "scripted") -> dict[str, Any]:
    return {
        "model": model,
        "parameters": {},
        "prompt_sha256": "0" * 64,
        "created_at": "2026-01-02T03:04:05Z",
        "seed": 0,
        "parents": [],
    }


def response(stage: str, number: int) -> dict[str, Any]:
    return {
        "key": f"{stage}-{number}",
        "stage": stage,
        "index": number,
        "prompt_sha256": "0" * 64,
        "parameters": {"stop": []},
        "model": "m",
        "text": "",
        "finish_reason": "stop",
        "created_at": "2026-01-02T03:04:05Z",
    }


@pytest.fixture
def records() -> dict[str, Records]:
    """By log, of 60 instructions; some have no instance left."""
    choices = random.Random(0)

    def text(longest: int) -> str:
        words = choices.choices(WORDS, k=choices.randint(1, longest))
        return "  \n".join(words)

    logs: dict[str, Records] = {
        "seed_tasks": [
            {
                "id": f"seed_{number}",
                "name": "",
                "instruction": text(12),
                "instances": [{"input": "", "output": "a"}],
                "is_classification": False,
            }
            for number in range(9)
        ],
        "instructions": [],
        "classified": [],
        "instances": [],
        "instruction_requests": [],
        "responses": [],
    }
    for number in range(60):
        task = {"id": str(number), "instruction": text(20), "provenance": provenance()}
        kind = {"is_classification": choices.random() < 0.3}
        instances = [
            {"input": choices.choice(["", text(30)]), "output": text(40)}
            for _ in range(choices.randint(0, 4))
        ]
        dropped = {"empty_output": choices.randint(0, 1), "repeated": 2}
        new = {"most_similar": {}, "avg_similarity_score": 0.0, "request_idx": number}
        logs["instructions"].append(task | new)
        answer = "Yes" if kind["is_classification"] else choices.choice(["No", "A bit"])
        logs["classified"].append(task | kind | {"answer": answer})
        logs["instances"].append(
            task
            | kind
            | {"raw_instances": "", "finish_reason": "stop"}
            | {"instances": instances, "dropped": dropped}
        )
        for stage in ("classify", "instances"):
            usage = {"prompt_tokens": 100 + number, "completion_tokens": number, "attempts": 1}
            logs["responses"].append(response(stage, number) | usage)
    for number in range(10):
        logs["instruction_requests"].append(
            {
                "request_idx": number,
                "key": f"instructions-{number}",
                "num_candidates": 9,
                "num_accepted": 6,
                "dropped": {"too_short": 1, "similar": number % 3},
            }
        )
        unknown = {"prompt_tokens": None, "completion_tokens": None, "attempts": 2}
        logs["responses"].append(response("instructions", number) | unknown)
    return logs


def counted(path: Path, logs: dict[str, Records], parsing: Parsing = NO_PIPELINE) -> dict[str, Any]:
    with RunDirectory(path) as run:
        for name, records in logs.items():
            run.log(name).append(records)
        return stats(run, parsing)


def test_the_published_table(tmp_path: Path, records: dict[str, Records]) -> None:
    made = counted(tmp_path, records)["data"]["with_instances"]
    of = dict.fromkeys(made, 0.0)
    words: dict[str, list[int]] = {"instruction": [], "input": [], "output": []}
    for task in records["instances"]:
        if not task["instances"]:
            continue
        of["instructions"] += 1
        of["classification" if task["is_classification"] else "not_classification"] += 1
        words["instruction"].append(len(task["instruction"].split()))
        for instance in task["instances"]:
            of["instances"] += 1
            of["with_empty_input"] += instance["input"] == ""
            words["output"].append(len(instance["output"].split()))
            if instance["input"]:
                words["input"].append(len(instance["input"].split()))
    of["mean_words_of_instruction"] = fmean(words["instruction"])
    of["mean_words_of_non_empty_input"] = fmean(words["input"])
    of["mean_words_of_output"] = fmean(words["output"])
    assert made == pytest.approx(of)
    assert 0 < made["instructions"] < 60


def test_answers_that_are_neither_yes_nor_no_are_counted(
    tmp_path: Path, records: dict[str, Records]
) -> None:
    made = counted(tmp_path, records)
    unclear = sum(task["answer"] == "A bit" for task in records["classified"])
    assert made["unclear_answers"] == unclear > 0
    assert f"Neither yes nor no: {unclear} answers" in as_text(made)


def test_other_languages_are_compared_by_their_own_tokens() -> None:
    texts = ["写一首关于秋天的诗"]
    assert seed_similarities(texts, texts).tolist() == [0.0]
    assert seed_similarities(texts, texts, unicode_tokens).tolist() == [1.0]


def test_what_was_accepted_counts_without_instances_too(
    tmp_path: Path, records: dict[str, Records]
) -> None:
    data = counted(tmp_path, records)["data"]
    is_classification = [task["is_classification"] for task in records["classified"]]
    assert data["accepted"] == {
        "instructions": 60,
        "classification": is_classification.count(True),
        "not_classification": is_classification.count(False),
        "mean_words_of_instruction": pytest.approx(
            sum(len(task["instruction"].split()) for task in records["instructions"]) / 60
        ),
    }


def test_every_candidate_is_accepted_or_dropped_by_a_rule(
    tmp_path: Path, records: dict[str, Records]
) -> None:
    acceptance = counted(tmp_path, records)["acceptance"]
    assert acceptance["instructions"] == {
        "candidates": 79,
        "accepted": 60,
        "dropped": {"too_short": 10, "similar": 9},
    }
    num_instances = sum(len(task["instances"]) for task in records["instances"])
    empty = sum(task["dropped"]["empty_output"] for task in records["instances"])
    assert acceptance["instances"] == {
        "candidates": num_instances + 120 + empty,
        "accepted": num_instances,
        "dropped": {"repeated": 120, "empty_output": empty},
    }


def test_cost_is_of_all_stages(tmp_path: Path, records: dict[str, Records]) -> None:
    """At the prices that the run was last given, an answer without a count at its bound."""
    prices = {"usd_per_million_prompt_tokens": 1e3, "usd_per_million_completion_tokens": 2e3}
    bound = {"prompt_tokens": 50, "completion_tokens": 7}
    sent = [
        {"event": "sent", "key": f"instructions-{number}", "attempt": attempt, **bound}
        for number in range(10)
        for attempt in (1, 2)
    ]
    unpaid = [{"event": "not paid", "key": f"instructions-{n}", "attempt": 1} for n in range(9)]
    records["ledger"] = [{"event": "prices", **prices}, *sent, *unpaid]
    cost = counted(tmp_path, records)["cost"]

    prompt_tokens, completion_tokens = 6000 + sum(range(60)), sum(range(60))
    assert cost["stages"]["classify"] == {
        "requests": 60,
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "usd": pytest.approx((prompt_tokens + 2 * completion_tokens) / 1000),
    }
    assert cost["stages"]["instructions"]["prompt_tokens"] == 500
    assert cost["unanswered"]["completion_tokens"] == 7
    usd = (2 * (prompt_tokens + 2 * completion_tokens) + 11 * (50 + 2 * 7)) / 1000
    assert cost["total"]["requests"] == 130
    assert cost["total"]["usd"] == pytest.approx(usd)
    assert cost["usd_per_accepted_instruction"] == pytest.approx(usd / 60)
    num_instances = sum(len(task["instances"]) for task in records["instances"])
    assert cost["usd_per_instance"] == pytest.approx(usd / num_instances)


def test_seed_similarities_are_rouge_scores(records: dict[str, Records]) -> None:
    instructions = [task["instruction"] for task in records["instructions"]]
    seeds = [task["instruction"] for task in records["seed_tasks"]]
    scorer = RougeScorer(["rougeL"])
    slow = [
        max(scorer.score(seed, instruction)["rougeL"].fmeasure for seed in seeds)
        for instruction in instructions
    ]
    np.testing.assert_allclose(seed_similarities(instructions, seeds), slow, rtol=0, atol=1e-12)
    assert seed_similarities(instructions, []).tolist() == [0.0] * 60
    assert seed_similarities([], seeds).shape == (0,)


def test_the_same_records_make_the_same_bytes(tmp_path: Path, records: dict[str, Records]) -> None:
    records["responses"].sort(key=lambda response: response["stage"])
    counted(tmp_path / "one", records)
    random.Random(1).shuffle(records["responses"])  # which came in any order, stage by stage
    records["responses"].sort(key=lambda response: response["stage"])
    counted(tmp_path / "other", records)
    for name in ("stats.json", "report.html", "similarities.png", "lengths.png"):
        one, other = (tmp_path / run / "stats" / name for run in ("one", "other"))
        assert one.read_bytes() == other.read_bytes(), name


def test_text_of_the_scripted_client_means_nothing(
    tmp_path: Path, records: dict[str, Records]
) -> None:
    made = counted(tmp_path / "scripted", records)
    assert as_text(made).startswith("The text means nothing")
    report = (tmp_path / "scripted" / "stats" / "report.html").read_text(encoding="utf-8")
    assert "<strong>The text means nothing" in report
    for name in ("instructions", "classified", "instances"):
        for record in records[name]:
            record["provenance"] = provenance("a/model")
    made = counted(tmp_path / "model", records)
    assert "means nothing" not in as_text(made)


def test_each_stage_may_be_the_last_that_ran(tmp_path: Path, records: dict[str, Records]) -> None:
    for number in (0, 2, 3):
        first = dict(list(records.items())[:number])
        made = counted(tmp_path / str(number), first)
        assert made["data"]["accepted"]["instructions"] == (60 if number > 1 else 0)
        assert "accepted" in as_text(made)
        for name in ("similarities", "lengths"):
            assert_drawn((tmp_path / str(number) / "stats" / f"{name}.png").read_bytes())


def test_a_figure_that_is_left_out_is_not_an_old_one(
    tmp_path: Path, records: dict[str, Records]
) -> None:
    old = tmp_path / "stats" / "root_verbs.png"
    old.parent.mkdir()
    old.write_bytes(b"")
    made = counted(tmp_path, records)
    assert not old.exists()
    assert made["root_verbs"] == []
    assert "python -m spacy download no_such_pipeline" in made["why_no_root_verbs"]
    assert made["why_no_root_verbs"] in as_text(made)


def test_report_shows_it(
    tmp_path: Path, records: dict[str, Records], capsys: pytest.CaptureFixture[str]
) -> None:
    made = counted(tmp_path, records)
    assert cli.main(["report", str(tmp_path)]) == 0
    assert capsys.readouterr().out == as_text(made) + "\n\n"
    assert cli.main(["report", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"run": tmp_path.name, "stats": made}
    (tmp_path / "stats" / "stats.json").unlink()
    assert cli.main(["report", str(tmp_path)]) == 2
    assert "tk-instruct self-instruct stats" in capsys.readouterr().err


def assert_drawn(png: bytes) -> None:
    """A picture with something on it, and nothing that touches its border."""
    pixels = image.imread(io.BytesIO(png))[..., :3]
    assert (pixels < 0.9).any(axis=-1).mean() > 0.005
    for border in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]):
        assert (border == 1).all()


@pytest.mark.parametrize("lengths", [[], [3], [0, 0, 0], [1, 2, 3, 4, 5], [5] * 999 + [4000]])
def test_histograms_of_few_and_many(lengths: list[int]) -> None:
    words = np.array(lengths, np.int64)
    assert_drawn(figures.length_histograms({"instruction": words, "output": words}))
    assert_drawn(figures.similarity_histogram(words / max([1, *lengths])))


def zipf(num_verbs: int, num_nouns: int, most: int) -> list[RootVerb]:
    """Verbs and nouns of which the n-th is 1/n as common as the first."""
    verbs = []
    for v in range(1, num_verbs + 1):
        nouns = {f"misunderstanding{n}": max(1, most // v // n) for n in range(1, num_nouns + 1)}
        verbs.append(RootVerb(f"characterize{v}", 2 * sum(nouns.values()), nouns))
    return verbs


@pytest.mark.parametrize(
    "verbs",
    [
        zipf(1, 1, 1),
        zipf(20, 4, 1000),
        [*zipf(1, 1, 10**6), *zipf(19, 4, 5)],
        [RootVerb("wr$i$te", 1, {"$x_$" * 20: 1})],
    ],
    ids=["one", "twenty", "one of nearly all", "long, and no mathematics"],
)
def test_rings(verbs: list[RootVerb]) -> None:
    png = figures.root_verb_rings(verbs, "caption")
    assert_drawn(png)
    assert png == figures.root_verb_rings(verbs, "caption")


def test_labels_are_moved_apart_in_order() -> None:
    asked = [90, 60, 59, 58, 57.5, -100, -265, -266, -267, -268]
    given = figures._spread(asked, apart=5)
    gaps = -np.diff([*given, given[0] - 360])
    assert (gaps >= 5 - 1e-9).all()
    assert given[0] == 90  # is far from the others
    assert given[5] == -100
    assert np.mean(given[1:5]) == pytest.approx(np.mean(asked[1:5]))
