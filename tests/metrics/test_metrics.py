"""What all metrics of FLAN have in common."""

import inspect
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tk_instruct
from tk_instruct.metrics import METRICS
from tk_instruct.metrics.classification import rank_accuracy
from tk_instruct.metrics.generation import LOWER_IS_BETTER
from tk_instruct.metrics.target import Target

ALL: list[Callable[..., dict[str, float]]] = [*METRICS.values(), rank_accuracy]
OPTIONS = ("1", "2")


@pytest.mark.parametrize("name", METRICS)
@given(st.lists(st.sampled_from(OPTIONS), max_size=5).map(lambda more: [*OPTIONS, *more]))
@settings(max_examples=20)
def test_a_prediction_that_is_the_reference_has_the_best_score(name: str, texts: list[str]) -> None:
    targets = [Target((text,), OPTIONS, group=text) for text in texts]
    if name == "bleu":  # short of four words nothing is scored
        texts = [f"{text} two three four" for text in texts]
        targets = [Target((text,)) for text in texts]
    for score, value in METRICS[name](targets, texts).items():
        is_bigram = score == "rouge2"  # of which one word has none
        best = 0 if score in LOWER_IS_BETTER or is_bigram else 100
        assert value == pytest.approx(best)


WORDS = "the|cat|sat|on|a|mat|."
TEXTS = st.lists(st.sampled_from(WORDS.split("|")), max_size=8).map(" ".join)


@pytest.mark.parametrize("name", ["squad", "trivia_qa", "rouge", "bleu"])
@given(st.data())
@settings(max_examples=20)
def test_the_order_of_references_does_not_matter(name: str, data: st.DataObject) -> None:
    rows = data.draw(
        st.lists(st.tuples(st.lists(TEXTS, min_size=1, max_size=3), TEXTS), min_size=1, max_size=3)
    )
    predictions = [prediction for _, prediction in rows]
    shuffled = [data.draw(st.permutations(references)) for references, _ in rows]
    found = METRICS[name]([Target(tuple(references)) for references, _ in rows], predictions)
    again = METRICS[name]([Target(tuple(references)) for references in shuffled], predictions)
    assert again == pytest.approx(found, abs=1e-9)


@pytest.mark.parametrize("metric", ALL)
def test_nothing_to_score(metric: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match=r"targets=\[\] must hold at least one target"):
        metric([], [])


@pytest.mark.parametrize("metric", ALL)
def test_more_targets_than_outputs(metric: Callable[..., Any]) -> None:
    targets = [Target((text,), OPTIONS, group="q") for text in OPTIONS]
    with pytest.raises(ValueError, match="2 targets and 1 model outputs must be as many"):
        metric(targets, ["1"])


def test_parameters_are_named_as_seqio_wants_them() -> None:
    for metric in METRICS.values():
        assert list(inspect.signature(metric).parameters) == ["targets", "predictions"]
    assert list(inspect.signature(rank_accuracy).parameters) == ["targets", "scores"]


def test_a_target_without_references() -> None:
    with pytest.raises(ValueError, match=r"references=\(\) must hold at least one string"):
        Target(())
    with pytest.raises(TypeError, match="references='yes' must be a tuple"):
        Target("yes")  # type: ignore[arg-type]


def test_the_package_imports_nothing_heavy() -> None:
    heavy = {"jax", "nltk", "sacrebleu", "scipy", "seqio", "tensorflow"}
    code = f"import sys, tk_instruct.metrics; print(sorted({heavy} & set(sys.modules)))"
    environment = {**os.environ, "PYTHONPATH": str(Path(tk_instruct.__file__).parent.parent)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout == "[]\n"
