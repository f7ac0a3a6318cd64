"""FLAN 2022's weights, and the parts of it that are the user's files."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import gin
import pytest

from tk_instruct.data import registry
from tk_instruct.data.tokens import FeatureLengths
from tk_instruct.errors import MissingDataError, UserError
from tk_instruct.tasks.flan import flan_2022

LENGTHS = FeatureLengths(1024, 256)


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def files(tmp_path: Path, on_mini_flan: None, mini_dir: Path) -> Path:
    """All parts."""
    gin.bind_parameter("SuperNI.data_dir", str(mini_dir))
    for part in ("t0", "cot", "dialog"):
        rows = [
            {"inputs": f"{part} question {k}", "targets": f"answer {k}", "task": f"{part}{k % 2}"}
            for k in range(300)
        ]
        if part == "t0":
            rows = [{**row, "options": ["answer 1", row["targets"]]} for row in rows]
        gin.bind_parameter(f"FLAN2022.{part}", str(write(tmp_path / f"{part}.jsonl", rows)))
    return tmp_path


def read(name: str, split: str = "train") -> list[dict[str, Any]]:
    return list(registry.get(name).examples(split, LENGTHS))


def part_of(task: str) -> str:
    if task.startswith("superni"):
        return "superni"
    return task.split("_")[2] if task.startswith("flan_2022") else "flan"


def test_the_published_weights(files: Path) -> None:
    names = [task.name for task in registry.tasks_of("flan_2022")]
    rates = dict(zip(names, registry.rates_of("flan_2022"), strict=True))
    shares: Counter[str] = Counter()
    for name, rate in rates.items():
        shares[part_of(name)] += rate
    assert shares == pytest.approx(flan_2022.WEIGHTS)
    few_shot = sum(rate for name, rate in rates.items() if "fewshot" in name)
    assert few_shot + rates["superni_en_def_pos2"] == pytest.approx(0.5)
    assert rates["flan_2022_cot_inverted"] == pytest.approx(0.3 * rates["flan_2022_cot"])
    for form in ("_no_options", "_fewshot", "_fewshot_no_options"):
        assert rates[f"flan_2022_t0{form}"] == pytest.approx(rates["flan_2022_t0"])
        assert rates[f"flan_rte{form}"] == pytest.approx(rates["flan_rte"])


def test_a_part_that_is_missing_leaves_the_others_in_proportion(files: Path) -> None:
    gin.bind_parameter("FLAN2022.t0", None)
    with pytest.raises(UserError, match="4 of 216 tasks of flan_2022 have no data: flan_2022_t0"):
        registry.check_mixture("flan_2022")
    with pytest.raises(MissingDataError, match="no file of t0 is given; set the gin parameter"):
        read("flan_2022_t0")
    gin.bind_parameter("skip_missing.enabled", True)
    names = [task.name for task in registry.tasks_of("flan_2022")]
    shares: Counter[str] = Counter()
    for name, rate in zip(names, registry.rates_of("flan_2022"), strict=True):
        shares[part_of(name)] += rate
    rest = 1 - flan_2022.WEIGHTS["t0"]
    assert shares == pytest.approx(
        {part: weight / rest for part, weight in flan_2022.WEIGHTS.items() if part != "t0"}
    )


def test_prompts(files: Path) -> None:
    (zero, *_) = read("flan_2022_t0")
    question, answer = zero["inputs_"], zero["targets_"]
    assert zero["inputs_pretokenized"] == f"{question}\n\nOPTIONS:\n- answer 1\n- {answer}"
    assert read("flan_2022_t0_no_options")[0]["inputs_pretokenized"] == question
    inverted = read("flan_2022_cot_inverted")[0]
    assert inverted["targets_pretokenized"] == inverted["inputs_"]
    assert inverted["targets_"] in inverted["inputs_pretokenized"]
    shots = read("flan_2022_dialog_fewshot")[0]
    assert shots["inputs_pretokenized"].endswith(f"\n\n###\n\n{shots['inputs_']}\n\nOutput:")
    assert shots["inputs_pretokenized"].count(shots["inputs_"] + "\n\nOutput:") == 1


def test_splits_and_caps_are_of_each_task(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train, held_out = ({e["id"] for e in read("flan_2022_cot", s)} for s in ("train", "validation"))
    assert (len(train), len(held_out)) == (296, 4)  # 1 in 100 of each of two tasks, rounded up
    assert not train & held_out
    monkeypatch.setitem(flan_2022.CAPS, "cot", 20)
    capped = read("flan_2022_cot")
    assert Counter(e["task"] for e in capped) == {"cot0": 20, "cot1": 20}
    gin.bind_parameter("FLAN.seed", 5)
    assert {e["id"] for e in read("flan_2022_cot")} != {e["id"] for e in capped}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"inputs": "a"}, "cot.jsonl:2: targets is missing; correct it, each"),
        ({"inputs": 1, "targets": "b"}, "cot.jsonl:2: inputs is 1 but must be a string"),
        ({"inputs": "a", "targets": "b", "options": "c"}, 'options is "c" but must be a list'),
        (
            {"inputs": "a", "targets": "b", "task": ["x"]},
            'task is ["x"] but must be a whole number',
        ),
        ({"inputs": "a", "targets": "b", "task": "x"}, "holds one example of 'x'"),
    ],
)
def test_bad_files(row: dict[str, Any], message: str, files: Path) -> None:
    good = [{"inputs": "a", "targets": "b"}]
    write(files / "cot.jsonl", good + [row] + good * 3)
    with pytest.raises(UserError) as caught:
        read("flan_2022_cot")
    assert message in str(caught.value)


def test_half_a_surrogate_pair_is_replaced_and_a_number_is_the_name_of_a_task(files: Path) -> None:
    write(files / "cot.jsonl", [{"inputs": "a \ud800", "targets": "\udfff b", "task": 7}] * 200)
    example = read("flan_2022_cot")[0]
    assert (example["task"], example["targets_pretokenized"]) == ("7", "� b")
    assert example["inputs_pretokenized"] == "a �"


def test_an_empty_file_is_an_error(files: Path) -> None:
    write(files / "cot.jsonl", [])
    with pytest.raises(UserError, match="holds no examples"):
        read("flan_2022_cot")
