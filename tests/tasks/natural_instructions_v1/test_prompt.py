"""Every encoding, whole and byte for byte, as the released encodeinstruction.py renders it."""

import json
import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import gin
import pytest
from one_task import write

from tk_instruct.data import registry
from tk_instruct.data.tokenization import Budget, Plain
from tk_instruct.data.vocabulary import ByteVocabulary
from tk_instruct.tasks.natural_instructions_v1 import prompt, records
from tk_instruct.tasks.natural_instructions_v1.encodings import ENCODINGS
from tk_instruct.tasks.natural_instructions_v1.splits import evaluated, extra_examples

# What the released code makes of the instance 60 of one_task.TASK, with two examples of each kind.
RENDERED = Path(__file__).with_name("prompts_of_encodings.txt")


def _rendered() -> dict[str, tuple[str, str]]:
    """Encoding → the released code's name of it, and the prompt."""
    blocks = RENDERED.read_text(encoding="utf-8").removesuffix("\n").split("=== ")[1:]
    found = {}
    for block in blocks:
        heading, _, text = block.partition("\n")
        name, _, released_name = heading.partition(" = ")
        found[name] = released_name, text.removesuffix("\n")
    return found


def test_all_encodings_are_rendered_by_the_released_code() -> None:
    assert list(_rendered()) == list(ENCODINGS)


@pytest.mark.parametrize("name", ENCODINGS)
def test_whole_prompts(name: str, tmp_path: Path) -> None:
    released_name, expected = _rendered()[name]
    assert ENCODINGS[name].released_name == released_name
    task, instances = records.read_task(write(tmp_path))
    rendered = prompt.render(task, instances[:1], instances[60].input, ENCODINGS[name], 2)
    assert rendered == expected


def test_a_dash_is_nothing_and_a_dash_with_a_blank_is_not(tmp_path: Path) -> None:
    path = write(tmp_path, **{"Things to Avoid": "-", "Definition": "-", "Prompt": "-"})
    task, _ = records.read_task(path)
    rendered = prompt.render(task, (), "x", ENCODINGS["all_fields"], 2)
    assert rendered == "Emphasis & Caution: -\ninput: x\noutput:"


def test_examples_that_do_not_fit_are_left_out_and_the_input_is_kept(tmp_path: Path) -> None:
    task, instances = records.read_task(write(tmp_path))
    full = ENCODINGS["full"]
    whole = {n: prompt.render(task, instances[:2], "x", full, n) for n in range(4)}
    tokenizer = Plain(ByteVocabulary())
    for number, text in whole.items():
        budget = Budget(tokenizer, len(text.encode()) + 1)
        assert prompt.render(task, instances[:2], "x", full, 3, budget) == text
        if number:
            budget = Budget(tokenizer, len(text.encode()))
            assert prompt.render(task, instances[:2], "x", full, 3, budget) == whole[number - 1]
    cut = prompt.render(task, instances[:2], "x", full, 3, Budget(tokenizer, 20))
    assert cut == whole[0][:20]


def test_the_released_renderings(shared_data: Path) -> None:
    """Those of five real files, through the tasks and their split `all`."""
    folder = shared_data / "natural-instructions-v1"
    lines = (folder / "renderings.jsonl").read_text(encoding="utf-8").splitlines()
    ours = {encoding.released_name: name for name, encoding in ENCODINGS.items()}
    by_setting: dict[tuple[str, int], list[Mapping[str, object]]] = defaultdict(list)
    for line in map(json.loads, lines):
        by_setting[line["encoding"], line["examples"]].append(line)
    num_compared = 0
    for (encoding, num_examples), expected in by_setting.items():
        gin.bind_parameter("NaturalInstructionsV1.data", str(folder))
        gin.bind_parameter("NaturalInstructionsV1.num_examples", num_examples)
        task = registry.get(f"ni_v1_random_{ours[encoding]}")
        wanted = {(line["task"], line["index"]): line for line in expected}
        for example in task.texts("all"):  # type: ignore[union-attr]
            line = wanted.pop((example["task"], int(example["index"])), None)
            if line is not None:
                assert example["inputs_pretokenized"] == line["prompt"]
                assert list(example["references"]) == line["output"]
                num_compared += 1
        assert not wanted
    assert num_compared == len(lines)


def test_released_prompts_are_of_evaluated_instances(shared_data: Path) -> None:
    """The rule of the evaluated instances, on the real files' sizes."""
    folder = shared_data / "natural-instructions-v1"
    for line in map(json.loads, (folder / "renderings.jsonl").open(encoding="utf-8")):
        path = folder / "tasks" / f"{line['task']}.json"
        num_instances = len(json.loads(path.read_bytes())["Instances"])
        assert line["index"] in evaluated(num_instances)


def test_instances_stand_for_examples_as_released() -> None:
    assert extra_examples(2) == [0, 1]
    assert extra_examples(62)[58:] == [58, 59, 80, 61]


def test_names_of_encodings_are_words_of_their_parts() -> None:
    for name, encoding in ENCODINGS.items():
        if name in ("none", "full"):
            continue
        assert ("negative" in name) == encoding.negative
        assert ("explained" in name) == (encoding.positive == "explained")
        assert re.fullmatch(r"[a-z_]+", name)
