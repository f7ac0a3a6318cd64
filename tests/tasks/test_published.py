"""The published scores that suites ship are those of the papers, and no others."""

import csv
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tk_instruct import suite
from tk_instruct.published import PublishedScore, compare_with
from tk_instruct.tasks.flan import published as flan
from tk_instruct.tasks.flan.holdouts import datasets_by_mixture
from tk_instruct.tasks.flan.protocol import ROLES
from tk_instruct.tasks.natural_instructions_v1 import published as ni_v1
from tk_instruct.tasks.natural_instructions_v1.encodings import ENCODINGS
from tk_instruct.tasks.natural_instructions_v1.splits import CATEGORIES, task_splits
from tk_instruct.tasks.p3 import published as p3
from tk_instruct.tasks.p3 import summary
from tk_instruct.tasks.self_instruct import published as self_instruct

NUM_SHIPPED = {
    "flan": 11,
    "ni_v1": 87,
    "p3": 5,
    "self_instruct": 37,
    "superni": 139,
}


def shipped() -> dict[str, tuple[PublishedScore, ...]]:
    return {
        name: suite.part(each.published)()
        for name, each in suite.suites().items()
        if each.published
    }


def printed(folder: Path) -> list[dict[str, str]]:
    """All scores that papers print, without what others quote or was computed."""
    rows = []
    for path in sorted((folder / "published").glob("*.csv")):
        if "secondary" not in path.name and "recomputed" not in path.name:
            with path.open(encoding="utf-8", newline="") as file:
                rows += list(csv.DictReader(file))
    return [row for row in rows if "secondary" not in row["table"] and row["value"]]


def test_the_suites_that_ship_scores() -> None:
    assert {name: len(rows) for name, rows in shipped().items()} == NUM_SHIPPED


def test_all_are_printed(shared_data: Path) -> None:
    """As often as in the papers' tables at most, of the same system, to the printed decimals.

    Two README scores are longer than in the table of our sources: 14.20 and 51.20.
    """
    rows = printed(shared_data)
    for scores in shipped().values():
        for score in scores:
            value = {"14.20": "14.2", "51.20": "51.2"}.get(score.value, score.value)
            assert any(
                (row["paper"], row["value"]) == (score.paper, value)
                and score.system.startswith(row["system"])
                for row in rows
            ), score


def test_none_is_second_hand_or_computed() -> None:
    for scores in shipped().values():
        for score in scores:
            text = f"{score.table} {score.system}"
            assert not any(word in text for word in ("secondary", "recomputed", "quoting", "seed"))


def test_natural_instructions_v1(shared_data: Path) -> None:
    rows = [row for row in printed(shared_data) if row["paper"] == "arXiv:2104.08773"]
    of_paper = Counter((r["system"], r["value"]) for r in rows if r["metric"] == "ROUGE-L")
    found = Counter((score.system, score.value) for score in ni_v1.rows())
    assert not found - of_paper
    for score in ni_v1.rows():
        assert score.setting["split"] in task_splits()
        assert score.setting.get("encoding", "full") in ENCODINGS
        assert score.part in {"", *CATEGORIES}


def test_the_setting_of_natural_instructions_v1() -> None:
    unseen = task_splits()["random"].unseen
    whole = {task: ni_v1.Scored(100, 0, 6500) for task in unseen}
    full = "predictions/ni_v1_random_full-test-1000.jsonl"
    released = f"{unseen[0]}@_Prompt_Positive Examples Full Only@2_100.json"
    for paths, encoding in (
        ([full], "full"),
        ([released], "prompt_positive"),
        ([full, released], None),
        ([full, "ours.jsonl"], None),
        ([f"{unseen[0]}@ours.json"], None),
    ):
        assert ni_v1.setting_of("random", whole, paths).get("encoding") == encoding
    part = {unseen[0]: ni_v1.Scored(100, 3, 7)}
    assert ni_v1.setting_of("random", part, [])["instances"] == (
        "100 of 1 of 12 tasks, 3 of them not predicted, files not as released: 1"
    )


def report(**more: Any) -> summary.Report:
    prompts = {f"prompt {k}": {"accuracy": float(k)} for k in range(4)}
    fields: dict[str, Any] = {
        "system": "RUN",
        "step": 9,
        "trained_on": "t0_train",
        "templates": "0.1.0",
        "split": "validation",
        "limit": None,
        "missing": [],
        "without_templates": [],
        "datasets": {"hellaswag": summary.summarise("rank", "validation", prompts)["accuracy"]},
        "mean_of_medians": 35.0,
        "bias_and_fairness": None,
    }
    return summary.Report(**fields | more)


def compared(of: summary.Report) -> Mapping[str, list[str]]:
    same, others = compare_with(
        p3.rows(),
        p3.setting_of(of, "hellaswag"),
        p3.scores_of("hellaswag", of.datasets["hellaswag"]),
    )
    return {each.published.value: [d.name for d in each.differs] for each in (*same, *others)}


def test_the_setting_of_t0() -> None:
    assert compared(report()) == {"33.65": [], "57.93": ["prompts"]}
    assert compared(report(limit=5))["33.65"] == ["instances"]
    assert compared(report(templates="fingerprint 1"))["33.65"] == ["templates"]


def test_flans_parts_are_its_own_names() -> None:
    roles = {role for of_form in ROLES.values() for role in of_form}
    mixtures = {f"flan_clusters_{number}" for number in range(1, 8)}
    assert mixtures < datasets_by_mixture().keys()
    assert {score.part for score in flan.rows()} == roles | mixtures


@pytest.mark.parametrize("absent", [None, "nli"])
def test_flans_ladder(absent: str | None) -> None:
    clusters = {
        name: {"average": {"zero_shot_generation": {"mean": mean}}}
        for name, mean in (("nli", 50.0), ("closed_book_qa", 20.0), ("commonsense", 80.0))
        if name != absent
    }
    scores = flan.ladder_scores({"trained_on": "flan_clusters_3", "clusters": clusters})
    assert list(scores.values()) == ([] if absent else [50.0])
    same, others = compare_with(flan.rows(), flan.setting_of(flan.LADDER_HELD_OUT), scores)
    assert not same
    assert [(each.published.value, [d.name for d in each.differs]) for each in others] == (
        [] if absent else [("59.3", ["method", "templates"])]
    )


def test_ratings_of_other_raters_differ() -> None:
    same, others = compare_with(
        self_instruct.rows(), self_instruct.setting_of(252), {("B", "count"): 100.0}
    )
    assert not same
    values = [each.published.value for each in others]
    assert values == ["0", "31", "30", "54", "49", "45", "40", "30"]
    assert {each.differs for each in others} == {(("raters", "their authors", None),)}
