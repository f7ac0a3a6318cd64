"""FLAN 2022's weights, and the parts of it that are the user's files."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import gin
import pytest
import seqio

from tk_instruct.data import registry
from tk_instruct.data.seqio_bridge import declarations
from tk_instruct.data.task import Rendering, Source, Task
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


class Counted:
    """Examples of a task of T0, and how many of them have been read."""

    def __init__(self, name: str, total: int, options: Sequence[str]) -> None:
        self.name, self.total, self.options, self.num_read = name, total, options, 0

    def load(self, split: str) -> Iterator[dict[str, Any]]:
        for k in range(self.total):
            self.num_read += 1
            yield {
                "id": f"{self.name}-{k}",
                "text": f"{self.name} question {k}",
                "answer": self.options[k % 2] if self.options else f"answer {k}",
                "options": self.options,
            }

    def task(self, content: Callable[[str], str] = str) -> Task:
        fields = {"id": False, "text": False, "answer": False, "options": True}
        source = Source(("train",), fields, self.load, content, count=lambda split: self.total)
        rendering = Rendering(lambda *_: lambda *texts: texts, reads=["text", "answer"])
        return Task(self.name, source, rendering, lambda e: "", [], inputs_have_eos=False)


@pytest.fixture
def t0(files: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Counted, Counted]:
    """A mixture t0_train of a large and a small task, in place of the file."""
    gin.bind_parameter("FLAN2022.t0", None)
    monkeypatch.setattr(registry, "_added", {})
    large, small = Counted("p3_large", 900, ["yes", "no"]), Counted("p3_small", 50, [])
    for each in (large, small):
        registry.add(each.task())
    registry.add(registry.Mixture("t0_train", {"p3_large": 1, "p3_small": 1}))
    return large, small


def test_t0_of_the_mixture_of_that_name(t0: tuple[Counted, Counted]) -> None:
    train, held_out = read("flan_2022_t0"), read("flan_2022_t0", "validation")
    assert Counter(e["task"] for e in held_out) == {"p3_large": 9, "p3_small": 1}
    assert Counter(e["task"] for e in train) == {"p3_large": 891, "p3_small": 49}
    assert not {e["id"] for e in train} & {e["id"] for e in held_out}
    assert train[0]["inputs_pretokenized"] == "p3_large question 9\n\nOPTIONS:\n- yes\n- no"
    assert train[0]["targets_pretokenized"] == "no"
    assert train[-1]["inputs_pretokenized"] == "p3_small question 49"
    assert train[0]["inputs"][-1] == 1  # FLAN 2022 ends inputs with EOS, T0 does not
    plain = read("flan_2022_t0_no_options")
    assert plain[0]["inputs_pretokenized"] == "p3_large question 9"
    for name in ("flan_2022_t0", "flan_2022_t0_fewshot"):
        assert registry.get(name).num_input_examples("train") == 940
        assert registry.get(name).num_input_examples("validation") == 10


def test_no_more_of_a_task_of_t0_is_read_than_needed(
    t0: tuple[Counted, Counted], monkeypatch: pytest.MonkeyPatch
) -> None:
    large, small = t0
    read("flan_2022_t0", "validation")
    assert (large.num_read, small.num_read) == (9, 1)
    monkeypatch.setitem(flan_2022.CAPS, "t0", 20)
    assert Counter(e["task"] for e in read("flan_2022_t0")) == {"p3_large": 20, "p3_small": 20}
    assert (large.num_read, small.num_read) == (9 + 9 + 20, 1 + 1 + 20)


@pytest.mark.parametrize("suffix", ["_fewshot", "_fewshot_no_options"])
def test_exemplars_of_a_task_of_t0_are_its_own(t0: tuple[Counted, Counted], suffix: str) -> None:
    for example in read(f"flan_2022_t0{suffix}", "validation"):
        *shots, last = example["inputs_pretokenized"].split("\n\n###\n\n")
        assert last.startswith(example["inputs_"])
        assert len(shots) == 16
        assert all(shot.startswith(f"{example['task']} question ") for shot in shots)
        assert ("OPTIONS:" in last) == (example["task"] == "p3_large" and suffix == "_fewshot")
        assert len(example["inputs"]) <= 960


def test_a_part_of_t0_that_is_missing(t0: tuple[Counted, Counted]) -> None:
    def missing(split: str) -> str:
        raise MissingDataError("no rows of p3_small")

    before = registry.get("flan_2022_t0").fingerprint("train")  # type: ignore[union-attr]
    registry.add(t0[1].task(missing))
    with pytest.raises(MissingDataError) as caught:
        read("flan_2022_t0")
    message = str(caught.value)
    assert "set the gin parameter FLAN2022.t0 to JSON lines" in message
    assert "1 of 2 tasks of t0_train have no data, the first: no rows of p3_small" in message
    gin.bind_parameter("skip_missing.enabled", True)
    assert {example["task"] for example in read("flan_2022_t0")} == {"p3_large"}
    assert registry.get("flan_2022_t0").fingerprint("train") != before  # type: ignore[union-attr]
    registry.add(t0[0].task(missing))
    with pytest.raises(MissingDataError, match="2 of 2 tasks of t0_train have no data"):
        read("flan_2022_t0")


def test_seqio_reads_the_same_of_t0(t0: tuple[Counted, Counted]) -> None:
    name = "flan_2022_t0_fewshot"
    declarations.declare_names([name])
    dataset = seqio.TaskRegistry.get(name).get_dataset(
        LENGTHS.as_dict(), "validation", shuffle=False, try_in_mem_cache=False
    )
    found = [example["inputs"].tolist() for example in dataset.as_numpy_iterator()]
    assert found == [example["inputs"].tolist() for example in read(name, "validation")]
