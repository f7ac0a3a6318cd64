"""Answers in the forms in which models of many makers write them, each with what it says.

They are this project's own, one a line of answers_of_models.jsonl: `wanted` are instructions, pairs
of input and output, or whether a task is classification; null where nothing is said.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from tk_instruct.completions.reasoning import without_reasoning
from tk_instruct.self_instruct import examples, instances, instructions, lists
from tk_instruct.self_instruct.answers import answer, yes_or_no

COLLECTION = [
    json.loads(line)
    for line in Path(__file__).with_name("answers_of_models.jsonl").read_text("utf-8").splitlines()
]


def of_stage(*stages: str) -> list[Any]:
    return [
        pytest.param(case, id=f"{case['stage']}: {case['form'] or case['answer'][:20]}")
        for case in COLLECTION
        if case["stage"] in stages
    ]


def said_in(case: dict[str, Any], stop: tuple[str, ...]) -> tuple[str | None, bool]:
    said = answer({**case, "text": case["answer"], "parameters": {"stop": None}}, stop)
    return said.text, said.is_cut_off


@pytest.mark.parametrize("case", of_stage("instructions"))
def test_instructions(case: dict[str, Any]) -> None:
    text, is_cut_off = said_in(case, instructions.STOP)
    items = None if text is None else lists.instructions(text, 9).items
    assert (items[:-1] if items and is_cut_off else items) == case["wanted"]


@pytest.mark.parametrize("case", of_stage("input_first", "output_first"))
def test_instances(case: dict[str, Any]) -> None:
    text, is_cut_off = said_in(case, instances.STOP)
    found = [] if text is None else getattr(examples, case["stage"])(text)
    pairs = [[each.input, each.output] for each in found]
    assert (pairs[:-1] if is_cut_off else pairs) == (case["wanted"] or [])


@pytest.mark.parametrize("case", of_stage("classify"))
def test_verdicts(case: dict[str, Any]) -> None:
    assert yes_or_no(without_reasoning(case["answer"]) or "") is case["wanted"]
