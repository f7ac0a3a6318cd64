"""The mini benchmark keeps the collection's rules, and its scores leave room above heuristics."""

import hashlib
import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from rouge_score.rouge_scorer import RougeScorer

from tk_instruct import cli
from tk_instruct.errors import UserError
from tk_instruct.tasks.superni import mini

LIST_FIELDS = (
    "Contributors",
    "Source",
    "URL",
    "Categories",
    "Reasoning",
    "Definition",
    "Input_language",
    "Output_language",
    "Instruction_language",
    "Domains",
    "Positive Examples",
    "Negative Examples",
    "Instances",
    "Instance License",
)
Tasks = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mini.write(tmp_path_factory.mktemp("mini") / "tree")


@pytest.fixture(scope="module")
def tasks(root: Path) -> Tasks:
    return {path.stem: json.loads(path.read_bytes()) for path in (root / "tasks").iterdir()}


def names(root: Path, track: str, split: str) -> list[str]:
    return (root / "splits" / track / f"{split}_tasks.txt").read_text().splitlines()


def content(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*")
        if path.is_file()
    }


def test_every_task_passes_the_collection_checks(tasks: Tasks) -> None:
    ids: list[str] = []
    for name, task in tasks.items():
        assert name == name.lower()
        assert all(isinstance(task[field], list) for field in LIST_FIELDS), name
        assert 25 < len(task["Instances"]) <= 6500
        positives, negatives = task["Positive Examples"], task["Negative Examples"]
        assert len(positives) >= 2
        assert len(negatives) >= 1
        for example in positives + negatives:
            assert set(example) == {"input", "output", "explanation"}
            assert all(isinstance(text, str) and text for text in example.values())
        answers = {example["input"]: example["output"] for example in positives}
        assert all(answers[example["input"]] != example["output"] for example in negatives), name
        inputs = [instance["input"] for instance in task["Instances"]]
        assert all(inputs), name
        assert len(set(inputs)) == len(inputs), name
        assert not set(inputs) & set(answers), name
        outputs = [instance["output"] for instance in task["Instances"]]
        assert all(texts and all(isinstance(t, str) and t for t in texts) for texts in outputs)
        counts = Counter(texts[0] for texts in outputs)
        assert len(counts) > 1
        if len(counts) < 15:
            shares = [count / len(outputs) for count in counts.values()]
            entropy = -sum(share * math.log(share) for share in shares) / math.log(len(counts))
            assert entropy > 0.8, (name, counts)
        (language,) = task["Input_language"]
        assert language == "English" or language in task["Definition"][0]
        prefix = name.split("_")[0]
        for instance in task["Instances"]:
            assert instance["id"].startswith(f"{prefix}-")
            assert len(instance["id"]) == len(prefix) + 33
        ids += [instance["id"] for instance in task["Instances"]]
    assert len(set(ids)) == len(ids)
    assert len({name.split("_")[0] for name in tasks}) == len(tasks)


def test_no_template_mark_is_left_over(root: Path) -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in (root / "tasks").iterdir())
    assert not [mark for mark in ("⏎", "␠", "{cue", "{name", " / ", "->", "|", "@") if mark in text]


def test_splits_follow_the_collection_rules(root: Path, tasks: Tasks) -> None:
    evaluated = {n for n, t in tasks.items() if t["Categories"][0] in mini.EVALUATION_CATEGORIES}
    english = {n for n, t in tasks.items() if t["Input_language"] == ["English"]}
    sources = {tasks[name]["Source"][0] for name in evaluated}
    leaking = {n for n, t in tasks.items() if t["Source"][0] in sources} - evaluated
    train = set(tasks) - evaluated - leaking
    expected = {
        "default": {"train": train & english, "test": evaluated & english},
        "xlingual": {"train": train, "test": evaluated - english},
    }
    for track, parts in expected.items():
        parts["excluded"] = set(tasks) - parts["train"] - parts["test"]
        for split, members in parts.items():
            listed = names(root, track, split)
            assert sorted(listed) == sorted(members), (track, split)
    assert len(leaking) == 2
    sizes = {t: [len(names(root, t, s)) for s in ("train", "test")] for t in expected}
    assert sizes == {"default": [25, 13], "xlingual": [28, 4]}
    assert {tasks[name]["Categories"][0] for name in evaluated} == set(mini.EVALUATION_CATEGORIES)


def test_instances_show_what_real_files_hold(tasks: Tasks) -> None:
    instances = [i for task in tasks.values() for i in task["Instances"]]
    assert any(instance["input"] != instance["input"].strip() for instance in instances)
    assert any("\n" in instance["input"] for instance in instances)
    assert any(len(instance["output"]) > 1 for instance in instances)
    for name, task in tasks.items():
        if task["Input_language"] != ["English"]:
            assert not all(i["input"].isascii() for i in task["Instances"]), name


def test_lookups_and_labels_are_right(tasks: Tasks) -> None:
    capitals = {"Paris": "France", "Cairo": "Egypt", "Lima": "Peru"}
    for instance in tasks["task9004_mini_country_capital"]["Instances"]:
        country = capitals.get(instance["output"][0])
        assert country is None or country in instance["input"]
    for instance in tasks["task9032_mini_scene_entailment"]["Instances"]:
        premise, hypothesis = instance["input"].split(". ")
        colour = premise.split()[3]
        label = instance["output"]
        assert label == (
            ["maybe"] if "at the" in hypothesis else ["yes"] if colour in hypothesis else ["no"]
        )


def test_copying_scores_low(root: Path, tasks: Tasks) -> None:
    scorer = RougeScorer(["rougeL"], use_stemmer=True)

    def mean_rouge(task: dict[str, Any], demo: str | None) -> float:
        scores = [
            max(
                scorer.score(reference, demo or instance["input"])["rougeL"].fmeasure
                for reference in instance["output"]
            )
            for instance in task["Instances"]
        ]
        return 100 * sum(scores) / len(scores)

    train = [tasks[name] for name in names(root, "default", "train")]
    demos = [mean_rouge(task, task["Positive Examples"][0]["output"]) for task in train]
    inputs = [mean_rouge(task, None) for task in train]
    assert sum(demos) / len(train) < 20
    assert max(demos) < 30
    assert sum(inputs) / len(train) < 10
    assert max(inputs) < 25


def test_the_tree_is_a_function_of_the_seed(root: Path, tmp_path: Path) -> None:
    same, other = mini.write(tmp_path / "same"), mini.write(tmp_path / "other", seed=1)
    assert content(same) == content(root)
    assert set(content(other)) == set(content(root))
    for path in (root / "tasks").iterdir():
        assert path.read_bytes() != (other / "tasks" / path.name).read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["other", "same"]


def test_numbers_of_instances_are_kept(tmp_path: Path) -> None:
    root = mini.write(tmp_path / "a" / "b", 3, 40, 26)
    for track, split, count in (("xlingual", "train", 40), ("default", "test", 26)):
        for name in names(root, track, split):
            task = json.loads((root / "tasks" / f"{name}.json").read_bytes())
            assert len(task["Instances"]) == count


def test_an_identical_tree_is_left_alone_and_an_empty_directory_filled(tmp_path: Path) -> None:
    root = mini.write(tmp_path, seed=5, instances_per_train_task=26, instances_per_test_task=26)
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    assert mini.write(str(tmp_path), 5, 26, 26) == root
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


def test_anything_else_is_refused_and_kept(tmp_path: Path) -> None:
    root = mini.write(tmp_path / "tree", 0, 26, 26)
    before = content(root)
    with pytest.raises(UserError, match=r"already holds something other than .* seed=1"):
        mini.write(root, 1, 26, 26)
    assert content(root) == before
    (root / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="it is not overwritten: remove it"):
        mini.write(root, 0, 26, 26)
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(UserError, match="not overwritten"):
        mini.write(file, 0, 26, 26)
    assert file.read_text() == "mine"
    with pytest.raises(UserError, match="cannot be written"):
        mini.write(file / "below", 0, 26, 26)


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        (25, 60, "instances_per_train_task=25 is not between 26 and 6500"),
        (130, 0, "instances_per_test_task=0 is not between 26 and 6500.* try 26"),
        (6000, 60, "6000 instances are more than task9001_mini_.* has distinct"),
    ],
)
def test_impossible_numbers_are_refused(
    tmp_path: Path, train: int, test: int, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        mini.write(tmp_path / "tree", 0, train, test)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("flag", ["--seed=0", "--instances_per_test_task=60"])
def test_flan_takes_none_of_superni_s_flags(
    flag: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["mini", str(tmp_path / "flan"), "--suite=flan", flag]) == 2
    assert f"{flag} is of --suite superni, not of flan; leave it out" in capsys.readouterr().err
    assert not (tmp_path / "flan").exists()


def test_flags_reach_superni(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = ["--instances_per_train_task=40", "--instances_per_test_task=26"]
    assert cli.main(["mini", str(tmp_path / "a"), "--seed=3", *sizes]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'a'}\n"
    assert "seed=3" in (tmp_path / "a" / "README.md").read_text()
    instances = {len(json.loads(p.read_text())["Instances"]) for p in tmp_path.glob("a/tasks/*")}
    assert instances == {40, 26}
