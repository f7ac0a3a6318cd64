"""The tasks as verbs and SeqIO see them."""

import json
from pathlib import Path

import gin
import numpy as np
import pytest
from one_task import NAME, write

from tk_instruct import cli
from tk_instruct.data import registry
from tk_instruct.data.tokens import FeatureLengths
from tk_instruct.tasks.natural_instructions_v1.encodings import ENCODINGS


def test_export_has_tasks_positions_and_all_references(tmp_path: Path) -> None:
    write(tmp_path / "data")
    write(tmp_path / "data", name="subtask003_mctaco_question_generation_event_duration")
    words = ["tasks", "export", "ni_v1_random_*", "--split", "all", "--format", "jsonl"]
    words += ["--ni_v1_data", str(tmp_path / "data"), "--output", str(tmp_path / "all.jsonl")]
    assert cli.main(words) == 0
    lines = (tmp_path / "all.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == len(ENCODINGS) * 2 * 161
    line = json.loads(lines[-1])
    assert line["task"] == NAME
    assert line["index"] == 160
    assert line["targets"] == ["colour 160", "other"]
    assert line["category"] == "question_generation"
    assert {json.loads(line)["encoding"] for line in lines} == set(ENCODINGS)


def test_seqio_gives_the_same_examples(ni_v1_dir: Path) -> None:
    import seqio

    import tk_instruct.tasks.natural_instructions_v1.mixtures  # noqa: F401

    gin.bind_parameter("NaturalInstructionsV1.data", str(ni_v1_dir))
    gin.bind_parameter("NaturalInstructionsV1.train_examples", 5)
    gin.bind_parameter("vocabulary.name", "bytes")
    name = "ni_v1_without_category_question_generation_full"
    ours = registry.get(name).examples("train", FeatureLengths(300, 40))  # type: ignore[union-attr]
    dataset = seqio.get_mixture_or_task(name).get_dataset(
        {"inputs": 300, "targets": 40}, split="train", shuffle=False
    )
    num_compared = 0
    for expected, found in zip(ours, dataset.as_numpy_iterator(), strict=True):
        for field in ("inputs", "targets"):
            np.testing.assert_array_equal(expected[field], found[field])
        num_compared += 1
    assert num_compared == 5 * 22  # tasks of the mini data that are of other categories


def test_changed_files_and_options_change_the_fingerprint(tmp_path: Path) -> None:
    write(tmp_path)
    gin.bind_parameter("NaturalInstructionsV1.data", str(tmp_path))
    task = registry.get(f"ni_v1_only_task_{NAME}_full")
    seen = {task.fingerprint("train")}  # type: ignore[union-attr]
    for parameter, value in (("num_examples", 1), ("train_examples", 9), ("seed", 5)):
        gin.bind_parameter(f"NaturalInstructionsV1.{parameter}", value)
        seen.add(task.fingerprint("train"))  # type: ignore[union-attr]
    write(tmp_path, Prompt="Another one.")
    seen.add(task.fingerprint("train"))  # type: ignore[union-attr]
    assert len(seen) == 5


def test_show_one_task(ni_v1_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["tasks", "show", "ni_v1_random_full", "--split=test", "--task", NAME, "-n", "1"]
    assert cli.main([*words, "--ni_v1_data", str(ni_v1_dir), "--vocabulary=bytes"]) == 0
    said = capsys.readouterr().out
    assert f"{NAME}-60" in said
    assert "input: Sentence: " in said


def test_more_examples_than_there_are(tmp_path: Path) -> None:
    write(tmp_path, Instances=[{"input": "a", "output": ["b"]}] * 3)
    words = ["tasks", "export", f"ni_v1_only_task_{NAME}_positive", "--split=all", "--output=-"]
    words += ["--ni_v1_data", str(tmp_path), "--ni_v1_examples"]
    assert cli.main([*words, "4"]) == 0
    assert cli.main([*words, "5"]) == 2
