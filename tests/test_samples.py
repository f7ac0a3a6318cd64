"""Samples of a run: which examples, the answers that `predict` gives, and where they are kept."""

import html.parser
import importlib.util
import json
import shutil
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tk_instruct import cli, run_log, samples
from tk_instruct.data import pipeline, registry
from tk_instruct.data.tokens import FeatureLengths, Tokens
from tk_instruct.errors import UserError
from tk_instruct.run_log import Sample, read_samples

SHORT = {
    "TRAIN_STEPS": 6,
    "CHECKPOINT_PERIOD": 3,
    "EVAL_PERIOD": 3,
    "EVAL_STEPS": 1,
    "NUM_SAMPLES": 3,
    "LEARNING_RATE": 0.05,
    "WARMUP_STEPS": 0,
}


@pytest.fixture(scope="module")
def data(mini_dir: Path, mini_vocabulary: Path) -> list[str]:
    return [f"--data_dir={mini_dir}", f"--vocabulary={mini_vocabulary}"]


@pytest.fixture(scope="module")
def recipe(tiny_recipe: list[str], data: list[str]) -> list[str]:
    return [*tiny_recipe, *data]


def train(model_dir: Path, recipe: Sequence[str], **macros: Any) -> int:
    settings = {**SHORT, **macros, "MODEL_DIR": model_dir}
    return cli.main(["train", *(f"--gin.{name}={v}" for name, v in settings.items()), *recipe])


def predicted(model_dir: Path, data: Sequence[str], step: int) -> dict[str, str]:
    """Id → answer of `predict` for all of the validation split."""
    flags = [f"--model_dir={model_dir}", "--split=validation", f"--step={step}"]
    assert cli.main(["predict", *flags, *data]) == 0
    (file,) = (model_dir / "predictions").glob(f"*-validation-{step}.jsonl")
    rows = map(json.loads, file.read_text().splitlines())
    return {row["id"]: row["prediction"] for row in rows}


def assert_as_predicted(model_dir: Path, data: Sequence[str], step: int) -> None:
    found = [sample for sample in read_samples(model_dir) if sample.step == step]
    assert len(found) == 3
    answers = predicted(model_dir, data, step)
    assert [sample.prediction for sample in found] == [answers[sample.id] for sample in found]


@pytest.fixture(scope="module")
def run(recipe: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    model_dir = tmp_path_factory.mktemp("samples") / "run"
    assert train(model_dir, recipe) == 0
    return model_dir


def test_samples_are_what_predict_answers(run: Path, data: list[str]) -> None:
    found = read_samples(run)
    assert [sample.step for sample in found] == [3, 3, 3, 6, 6, 6]
    assert [s.id for s in found[:3]] == [s.id for s in found[3:]]
    assert len({sample.id.partition("-")[0] for sample in found}) == 3  # of different tasks
    assert {sample.task for sample in found} == {"superni_en_def_pos2"}
    for sample in found:
        assert sample.input.startswith("Definition: ")
        assert sample.input.endswith("Output:")
        assert sample.target
    for step in (3, 6):
        assert_as_predicted(run, data, step)


def test_a_continued_run_has_the_same_samples_bit_for_bit(
    run: Path, recipe: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From step 3 on, as if it had been killed; the line in which it was killed is damaged."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    wandb = {"WANDB_PROJECT": "tests"} if importlib.util.find_spec("wandb") else {}
    killed = Path(shutil.copytree(run, tmp_path / "run"))
    shutil.rmtree(killed / "checkpoints" / "6")
    file = killed / "samples.jsonl"
    file.write_bytes(file.read_bytes()[:-20])
    assert train(killed, recipe, **wandb) == 0
    assert file.read_bytes() == (run / "samples.jsonl").read_bytes()
    assert (killed / "samples.jsonl.damaged").exists()
    assert (killed / "wandb_id").exists() == bool(wandb)


def test_tensorboard_shows_the_texts(run: Path) -> None:
    shown = {
        (event.step, value.tag): value.tensor.string_val[0].decode()
        for event in events(run)
        for value in event.summary.value
        if value.metadata.plugin_data.plugin_name == "text"
    }
    assert shown == {
        (sample.step, f"samples/{sample.task}/{sample.id}"): (
            f"input\n\n    {sample.input}\n\ntarget\n\n    {sample.target}\n\n"
            f"prediction\n\n    {sample.prediction}"
        )
        for sample in read_samples(run)
    }


def events(folder: Path) -> Iterator[Any]:
    """Of the TensorBoard file, read without TensorFlow."""
    from tensorboard.compat.proto.event_pb2 import Event

    (file,) = folder.glob("events.out.tfevents.*")
    content = file.read_bytes()
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        yield Event.FromString(content[12 : 12 + length])
        content = content[16 + length :]


def test_texts_are_no_markup() -> None:
    from tensorboard.plugin_util import markdown_to_safe_html

    hostile = (
        "<script>x</script>\n\n# title\r\r<b>bold</b> **a** [b](c)\n```\n- one\n\n\n\tend</pre>"
    )
    page = markdown_to_safe_html(run_log._as_markdown(Sample(1, "a", "t", hostile, "", hostile)))
    tags, texts = set(), []

    class Parser(html.parser.HTMLParser):
        def handle_starttag(self, tag: str, attributes: Any) -> None:
            tags.add(tag)

        def handle_data(self, text: str) -> None:
            texts.append(text)

    Parser().feed(page)
    assert tags == {"p", "pre", "code"}
    said = "".join(texts).replace("    ", "\t")
    assert said.count(hostile.replace("\r", "\n")) == 2


@pytest.mark.parametrize(
    "macros",
    [
        pytest.param({"SCAN_LAYERS": True}, id="decoder with stacked layers"),
        pytest.param({"PROMPT_LENGTH": 2}, id="soft prompt", marks=pytest.mark.slow),
    ],
)
def test_other_models_answer_too(
    run: Path, recipe: list[str], data: list[str], tmp_path: Path, macros: dict[str, Any]
) -> None:
    if "SCAN_LAYERS" in macros:
        recipe = [*recipe, "--gin_file=runs/decoder_only.gin"]
    else:
        macros = {**macros, "INITIAL_CHECKPOINT_PATH": run}
    assert train(tmp_path / "run", recipe, TRAIN_STEPS=1, EVAL_PERIOD=1, **macros) == 0
    assert_as_predicted(tmp_path / "run", data, 1)


def test_different_tasks_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {"a": 5, "b": 1, "c": 40}
    read: list[str] = []

    class File:
        """The token cache of a task, which says what is read."""

        def __init__(self, task: str) -> None:
            self.task = task

        def __len__(self) -> int:
            return sizes[self.task]

        def __getitem__(self, index: int) -> Tokens:
            assert 0 <= index < len(self)
            read.append(f"{self.task}{index}")
            return Tokens(read[-1], np.array([5, 1]), np.array([6, 1]))

    tasks = [SimpleNamespace(name=name) for name in ("a", "b", "c", "none")]
    split = [File(name) for name in sizes], {"none": UserError("is empty")}
    monkeypatch.setattr(registry, "tasks_of", lambda mixture: tasks)
    monkeypatch.setattr(pipeline, "open_split", lambda *_: split)

    def chosen(count: int, seed: int = 0) -> list[str]:
        read.clear()
        found = samples.chosen("mixture", FeatureLengths(8, 8), count, seed)
        assert [example["id"] for example in found] == read
        assert all(example["id"].startswith(example["task"]) for example in found)
        return list(read)

    assert {name[0] for name in chosen(3)} == set(sizes)
    assert len({name[0] for name in chosen(2)}) == 2
    assert chosen(3) == chosen(3)
    assert len({*map(tuple, (chosen(3, seed) for seed in range(9)))}) > 5
    assert sorted(name[0] for name in chosen(9)) == [*"aaaabcccc"]
    numbers = sorted(int(name[1:]) // 10 for name in chosen(9) if name[0] == "c")
    assert numbers == [0, 1, 2, 3]  # one of each quarter
    assert len(set(chosen(1000))) == 46


def test_a_number_of_samples(recipe: list[str], tmp_path: Path, capsys: Any) -> None:
    assert train(tmp_path / "run", recipe, NUM_SAMPLES=-1) == 2
    assert "TrainRun.num_samples=-1 must be a whole number ≥ 0" in capsys.readouterr().err


def test_no_samples_without_validation(tmp_path: Path) -> None:
    run: Any = SimpleNamespace(num_samples=4, eval_every_steps=0)
    program: Any = None
    assert samples.sampler(run, program)(1, {}) == []
    assert read_samples(tmp_path) == []
