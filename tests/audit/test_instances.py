"""Which texts of examples are compared."""

from typing import Any

import pytest

from tk_instruct.audit.instances import Given, given
from tk_instruct.data import registry

INPUT = {"input": "the input", "references": ["one", "two"], "instruction": "{}"}
RTE = {"premise": "P", "hypothesis": "H", "answer": "no", "references": ["no"], "options": ["no"]}


@pytest.mark.parametrize(
    ("name", "raw", "expected"),
    [
        ("superni_en_def_pos2", INPUT, "the input"),
        ("superni_xlingual_task_name", INPUT, "the input"),
        ("ni_v1_random_full", INPUT, "the input"),
        ("flan_rte", RTE, "P\nH"),
        ("flan_rte_fewshot.t3", RTE, "P\nH"),
        ("flan_rte_no_template", RTE, "P\nH"),
        ("flan_rte_rank.t0", RTE, "P\nH"),
        ("flan_2022_cot_inverted", {"inputs_": "I", "references": ["R"]}, "I"),
    ],
)
def test_suites_give_their_instances_without_instructions(
    name: str, raw: dict[str, Any], expected: str
) -> None:
    task: Any = registry.declared(name)
    assert task.instance_text(raw) == (expected, raw["references"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("NAME", Given("NAME", "test")),
        ("NAME:dev", Given("NAME", "dev")),
        ("gs://bucket/a.jsonl", Given("gs://bucket/a.jsonl", None)),
        ("./a.json", Given("./a.json", None)),
    ],
)
def test_what_is_given(text: str, expected: Given) -> None:
    assert given(text, "test") == expected
