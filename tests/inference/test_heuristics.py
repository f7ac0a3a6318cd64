"""Heuristics that know a task's labels: what they answer, and from which examples they know it."""

import json
from collections import Counter
from pathlib import Path

from tk_instruct import cli
from tk_instruct.inference.heuristics import Labelled, majority_label, random_option
from tk_instruct.tasks.superni.records import SuperNI

TASK = "superni_en_def"


def test_the_majority_is_a_text_or_a_place() -> None:
    texts = [Labelled("a", ["no"]), Labelled("a", ["yes", "no"]), Labelled("b", ["x"])]
    answer = majority_label([*texts, Labelled("a", ["maybe"])], 0)
    assert answer({"task": "a", "id": "1"}) == "no"
    assert answer({"task": "b", "id": "1"}) == "x"
    tied = majority_label([Labelled("a", ["no"]), Labelled("a", ["maybe"])], 0)
    assert tied({"task": "a", "id": "1"}) == "maybe"
    same = [Labelled("a", ["no"], ["yes", "no"])] * 2
    assert majority_label(same, 0)({"task": "a", "id": "1", "options": ["yes", "no"]}) == "no"
    own = [Labelled("a", [text[1]], list(text)) for text in ("pq", "rs", "tu")]
    own.append(Labelled("a", ["v"], ["v", "w"]))
    assert majority_label(own, 0)({"task": "a", "id": "1", "options": ["one", "two"]}) == "two"
    assert majority_label(own, 0)({"task": "a", "id": "1", "options": ["one"]}) == "one"


def test_an_option_is_drawn_by_seed_and_id() -> None:
    known = [Labelled("a", [text]) for text in "wxyz"]
    for examples in (
        [{"task": "a", "id": str(n)} for n in range(2000)],
        [{"task": "a", "id": str(n), "options": list("wxyz")} for n in range(2000)],
    ):
        answers = [random_option(known, 1)(example) for example in examples]
        assert answers == [random_option(known[::-1], 1)(example) for example in examples]
        assert answers != [random_option(known, 2)(example) for example in examples]
        counts = Counter(answers)
        assert set(counts) == set("wxyz")
        assert all(430 < count < 570 for count in counts.values())


def test_labels_are_those_of_instances_that_are_not_evaluated(
    mini_dir: Path, tmp_path: Path
) -> None:
    output, count = tmp_path / "majority.jsonl", 25
    command = ["predict", "--baseline=majority_label", f"--task={TASK}", f"--output={output}"]
    flags = [f"--data_dir={mini_dir}", f"--max_instances_per_eval_task={count}"]
    assert cli.main([*command, *flags, "--vocabulary=bytes"]) == 0
    found = {row["id"]: row for row in map(json.loads, output.read_text().splitlines())}
    data = SuperNI(data_dir=str(mini_dir), max_instances_per_eval_task=count)
    evaluated = {example.id for example in data.examples("default", "test")}
    assert found.keys() == evaluated
    tasks = {row["task"] for row in found.values()}
    for name in tasks:
        file = json.loads((mini_dir / "tasks" / f"{name}.json").read_text())
        labels = Counter(
            text
            for instance in file["Instances"]
            if instance["id"] not in evaluated
            for text in instance["output"]
        )
        labels.update(example["output"] for example in file["Positive Examples"])
        best = min(labels, key=lambda text: (-labels[text], text))
        assert {row["prediction"] for row in found.values() if row["task"] == name} == {best}
    # All are evaluated: the positive examples remain.
    assert cli.main([*command, f"--data_dir={mini_dir}", "--vocabulary=bytes"]) == 0
