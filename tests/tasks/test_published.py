"""The published scores that suites ship are those of the papers, and no others."""

import argparse
import csv
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tk_instruct import cli, suite
from tk_instruct.published import PublishedScore, compare_with
from tk_instruct.tasks.flan import published as flan
from tk_instruct.tasks.flan.holdouts import datasets_by_mixture
from tk_instruct.tasks.flan.protocol import ROLES
from tk_instruct.tasks.natural_instructions_v1 import published as ni_v1
from tk_instruct.tasks.natural_instructions_v1.encodings import ENCODINGS
from tk_instruct.tasks.natural_instructions_v1.splits import CATEGORIES, task_splits
from tk_instruct.tasks.p3 import published as p3
from tk_instruct.tasks.p3 import summary
from tk_instruct.tasks.p3.evaluate import show
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
    hellaswag = summary.DatasetSummary(
        median=35.0,
        first_quartile=30.0,
        third_quartile=40.0,
        interquartile_range=10.0,
        minimum=30.0,
        maximum=40.0,
        num_prompts=4,
        method="rank",
        split="validation",
        metric="accuracy",
        prompts={},
    )
    fields: dict[str, Any] = {
        "system": "RUN",
        "step": 9,
        "trained_on": "t0_train",
        "templates": "0.1.0",
        "split": "validation",
        "limit": None,
        "missing": [],
        "without_templates": [],
        "datasets": {"hellaswag": hellaswag},
        "mean_of_medians": 35.0,
        "bias_and_fairness": None,
    }
    return summary.Report(**fields | more)


def differing(of: summary.Report) -> Mapping[str, list[str]]:
    same, others = p3.compared(of)
    return {each.published.value: [d.name for d in each.differs] for each in (*same, *others)}


def test_the_setting_of_t0() -> None:
    assert differing(report()) == {"33.65": [], "57.93": ["prompts"]}
    assert differing(report(limit=5))["33.65"] == ["instances"]
    assert differing(report(templates="fingerprint 1"))["33.65"] == ["templates"]


def test_t0s_published_scores_are_shown_where_they_are_asked_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show(argparse.Namespace(json=None, published=False), [report()])
    assert "published" not in capsys.readouterr().out
    show(argparse.Namespace(json=None, published=True), [report()])
    assert capsys.readouterr().out.split("\n\n", 2)[-1] == (
        "published, of the same setting\n"
        "system  part       metric           published   here  source\n"
        "T0 11B  hellaswag  accuracy_median      33.65  35.00  text §7, arXiv:2110.08207\n"
        "\n"
        "published, of another setting: prompts (here all)\n"
        "system  prompts               part       metric           published   here  source\n"
        "T0 11B  without instructions  hellaswag  accuracy_median      57.93  35.00  text §7, "
        "arXiv:2110.08207\n"
    )
    show(argparse.Namespace(json="-", published=True), [report()])
    (run,) = json.loads(capsys.readouterr().out)["runs"]
    assert [row["value"] for row in run["published"]] == ["33.65", "57.93"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--task=self_instruct"],
            "--published is of suites, and --task scores a task by its own metrics; give --suite, "
            "or leave --published out",
        ),
        (
            ["--suite=user_oriented", "--sheet=x.csv"],
            "--published goes with --ratings, and --sheet has none yet; leave it out",
        ),
    ],
)
def test_nothing_is_published_of_these(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["evaluate", *words, "--published", "--predictions=x"]) == 2
    assert capsys.readouterr().err == f"error: {message}\n"


def test_a_suite_without_published_scores(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    suites = {name: replace(each, published=None) for name, each in suite.suites().items()}
    monkeypatch.setattr(suite, "suites", lambda: suites)
    assert cli.main(["evaluate", "--suite=flan", "--published", "--predictions=x"]) == 2
    assert capsys.readouterr().err == (
        "error: --suite flan has no published scores; leave --published out\n"
    )


def test_ratings_beside_published_ones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "s.csv").write_text("id,rating\n1,A\n2,D\n")
    key = {"systems": ["ours"], "rows": {"1": "ours", "2": "ours"}}
    (tmp_path / "s.key.json").write_text(json.dumps(key))
    command = ["evaluate", "--suite=user_oriented", f"--ratings={tmp_path / 's.csv'}"]
    assert cli.main(command) == 0
    plain = capsys.readouterr().out
    assert "published" not in plain
    assert cli.main([*command, "--published"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert rows[1].split() == plain.splitlines()[1].split()
    assert len(rows) == 3 + 8 + 5 + 1
    assert rows[3].split() == ["published:", "GPT-3", "(vanilla)", "252", "1", "0", "64", "187"]
    assert rows[-2].split()[-6:] == ["252", "54.4", "%", "–", "–", "–"]
    assert rows[-1] == (
        "published: 252 instructions, rated by their authors (Figure 6 (bar labels), "
        "arXiv:2212.10560, Figure 7, arXiv:2212.10560)"
    )
    assert cli.main([*command, "--published", "--json=-"]) == 0
    (ours,) = json.loads(capsys.readouterr().out)["systems"].values()
    assert len(ours["published"]) == 37
    assert [each["name"] for each in ours["published"][0]["differs"]] == ["instructions", "raters"]


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
    same, others = flan.compared([{"trained_on": "flan_clusters_3", "clusters": clusters}], {})
    assert not same
    found = [(e.published.value, e.ours, [d.name for d in e.differs]) for e in others]
    assert found == ([] if absent else [("59.3", 50.0, ["method", "templates"])])


def test_flans_role_of_instructions() -> None:
    row = {"clusters": {"nli": 41.0, "translation": 43.0}, "average": 42.0}
    roles = {"FLAN": row | {"average": None}, "no template": row}
    same, others = flan.compared([], roles)
    assert not same
    (only,) = others
    assert (only.published.value, only.ours) == ("37.3", 42.0)
    assert only.differs[0] == ("clusters", "four, not said which", "nli, translation")


def test_ratings_of_other_raters_differ() -> None:
    same, others = compare_with(
        self_instruct.rows(), self_instruct.setting_of(252), {("B", "count"): 100.0}
    )
    assert not same
    values = [each.published.value for each in others]
    assert values == ["0", "31", "30", "54", "49", "45", "40", "30"]
    assert {each.differs for each in others} == {(("raters", "their authors", None),)}
