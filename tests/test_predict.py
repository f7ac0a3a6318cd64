"""Predictions of heuristics and of a small checkpoint: order, resuming, and what is refused."""

import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import gin
import numpy as np
import pytest

from tk_instruct import cli, configuration, lock, predict
from tk_instruct.data import registry
from tk_instruct.data.tokens import FeatureLengths
from tk_instruct.errors import UserError
from tk_instruct.inference import batches, checkpoint, generation, heuristics
from tk_instruct.inference.examples import examples_of
from tk_instruct.journal import Example, Predict, row_of
from tk_instruct.suite import Suite
from tk_instruct.tasks.superni import baselines
from tk_instruct.tasks.superni.records import SuperNI

TASK = "superni_en_def_pos2"


@pytest.fixture(scope="module")
def data(mini_dir: Path, mini_vocabulary: Path) -> list[str]:
    return [f"--data_dir={mini_dir}", f"--vocabulary={mini_vocabulary}"]


@pytest.fixture(scope="module")
def run(tiny_recipe: list[str], data: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    model_dir = tmp_path_factory.mktemp("trained") / "run"
    bindings = [f"--gin.MODEL_DIR={model_dir}", "--gin.TRAIN_STEPS=2", "--gin.EVAL_PERIOD=0"]
    assert cli.main(["train", *tiny_recipe, *bindings, *data]) == 0
    return model_dir


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("baseline", ["copy_input", "copy_demo"])
def test_heuristics_copy(baseline: str, data: list[str], mini_dir: Path, tmp_path: Path) -> None:
    command = ["predict", "--baseline", baseline, "--task", TASK, f"--output_dir={tmp_path}"]
    assert cli.main([*command, "--split=test", "--split=validation", *data]) == 0
    for split in ("test", "validation"):
        expected = {
            example.id: example.input
            if baseline == "copy_input"
            else example.task.positive_examples[0].output
            for example in SuperNI(data_dir=str(mini_dir)).examples("default", split)
        }
        rows = rows_of(tmp_path / "predictions" / f"{TASK}-{split}-0.jsonl")
        assert {row["id"]: row["prediction"] for row in rows} == expected
        assert [row["id"] for row in rows] == sorted(expected)
        assert all(set(row) == {"id", "task", "prediction"} for row in rows)


def test_a_baseline_is_of_the_tasks_suite(monkeypatch: pytest.MonkeyPatch) -> None:
    other = Suite("other", "", baselines={"copy_demo": "json:dumps"})
    suite_of = registry.suite_of
    monkeypatch.setattr(
        registry, "suite_of", lambda name: other if "xlingual" in name else suite_of(name)
    )
    assert heuristics.baseline_of("copy_demo", "superni_xlingual_def") is json.dumps
    assert heuristics.baseline_of("copy_demo", "superni_en_def") is baselines.copy_demo
    with pytest.raises(UserError) as caught:
        heuristics.baseline_of("copy_input", "superni_xlingual_def")
    assert str(caught.value) == (
        "--baseline copy_input: superni_xlingual_def is of the suite other, which has "
        "copy_demo or majority_label or random_option; give one of them"
    )
    with pytest.raises(UserError, match="the tasks of superni_def are of several suites"):
        heuristics.baseline_of("copy_demo", "superni_def")
    monkeypatch.setattr(registry, "suite_of", lambda name: None)
    with pytest.raises(UserError, match="superni_en_def is of no suite"):
        heuristics.baseline_of("copy_demo", "superni_en_def")


def test_a_checkpoint_predicts_the_same_whatever_the_batching(
    run: Path, data: list[str], tmp_path: Path
) -> None:
    texts = []
    for batch_size in (7, 64):
        output = tmp_path / f"{batch_size}.jsonl"
        command = ["predict", f"--model_dir={run}", f"--batch_size={batch_size}", "--limit=100"]
        assert cli.main([*command, f"--output={output}", *data]) == 0
        texts.append(output.read_text(encoding="utf-8"))
    assert texts[0] == texts[1]
    assert len(texts[0].splitlines()) == 100


def test_decoding_equals_the_argmax_of_the_whole_model(
    run: Path, data: list[str], tmp_path: Path
) -> None:
    """An obvious loop: the full model on everything so far, one token at a time."""
    import jax
    import jax.numpy as jnp

    from tk_instruct.data import registry
    from tk_instruct.data.vocabulary import vocabulary

    output = tmp_path / "p.jsonl"
    assert (
        cli.main(["predict", f"--model_dir={run}", "--limit=3", f"--output={output}", *data]) == 0
    )
    predicted = {row["id"]: row["prediction"] for row in rows_of(output)}
    checkpoints, step, about = checkpoint.load_checkpoint(run, None)
    loaded = checkpoint.load_model(checkpoints, step, about)
    lengths = FeatureLengths(**about.data["lengths"])

    @jax.jit
    def logits_of(inputs: Any, targets: Any) -> Any:
        batch = {
            "encoder_input_tokens": inputs,
            "encoder_segment_ids": inputs > 0,
            "decoder_target_tokens": targets,
            "decoder_segment_ids": jnp.ones_like(targets),
        }
        return loaded.model.apply({"params": loaded.params}, batch, True, method="logits")

    found = registry.get(TASK).examples("test", lengths)
    for _, example in zip(range(3), found, strict=False):
        inputs = np.zeros((1, lengths.inputs), np.int32)
        inputs[0, : len(example["inputs"])] = example["inputs"]
        targets = np.zeros((1, lengths.targets), np.int32)  # what is not there yet is not seen
        ids: list[int] = []
        for position in range(lengths.targets):
            ids.append(int(np.argmax(logits_of(inputs, targets)[0, position])))
            if ids[-1] == 1:
                break
            targets[0, position] = ids[-1]
        assert predicted[example["id"]] == vocabulary().decode(ids)


def predicted(run: Path, data: list[str], output: Path, *flags: str) -> list[str]:
    """Of the first 40 examples, all cut to 32 tokens: one shape to compile."""
    command = ["predict", f"--model_dir={run}", "--limit=40", "--max_input_tokens=32"]
    assert cli.main([*command, f"--output={output}", *flags, *data]) == 0
    return [row["prediction"] for row in rows_of(output)]


def test_samples_are_of_seed_and_id(run: Path, data: list[str], tmp_path: Path) -> None:
    flags = ["--sample", "--temperature=0.8", "--top_k=200", "--top_p=0.95"]
    first = predicted(run, data, tmp_path / "1", *flags, "--batch_size=9")
    assert first == predicted(run, data, tmp_path / "2", *flags, "--seed=0")
    assert len(set(first)) > 30
    others = predicted(run, data, tmp_path / "3", *flags, "--seed=1")
    assert sum(map(str.__eq__, first, others)) < 10
    likeliest = predicted(run, data, tmp_path / "4", "--sample", "--top_k=1")
    assert likeliest == predicted(run, data, tmp_path / "5")


def test_beams_find_what_the_engine_finds(run: Path, data: list[str], tmp_path: Path) -> None:
    import jax

    from tk_instruct.data.vocabulary import vocabulary
    from tk_instruct.model.decode import beam_search

    flags = ["--num_beams=3", "--length_penalty=-2", "--max_target_tokens=6"]
    found = predicted(run, data, tmp_path / "1", *flags, "--batch_size=20")
    loaded = checkpoint.load_model(*checkpoint.load_checkpoint(run, None))
    examples, _ = examples_of(TASK, "test", FeatureLengths(32, 6), limit=40)
    inputs = np.stack([np.pad(e["inputs"], (0, 32 - len(e["inputs"]))) for e in examples])
    expected, _ = jax.jit(
        partial(beam_search, loaded.model, num_beams=3, length_penalty=-2.0, max_target_tokens=6)
    )(loaded.params, inputs, (inputs > 0).astype(np.int32))
    texts = {
        e["id"]: vocabulary().decode(ids)
        for e, ids in zip(examples, expected.tolist(), strict=True)
    }
    assert found == [texts[id_] for id_ in sorted(texts)]


def test_what_was_left_unfinished_belongs_to_the_way_of_decoding(
    run: Path, data: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journals = set()
    for flags in ([], ["--num_beams=2"], ["--sample"], ["--sample", "--top_k=9"]):
        with monkeypatch.context() as patch:
            patch.setattr(generation, "batches", interrupted_after_one)
            command = ["predict", f"--model_dir={run}", f"--output={tmp_path / 'p'}", *flags]
            assert cli.main([*command, "--limit=2", "--batch_size=1", *data]) == 130
        (journal,) = (tmp_path / "p.unfinished").iterdir()  # the one before is gone
        journals.add(journal.name.split("-")[0])
    assert len(journals) == 4


def interrupted_after_one(*arguments: Any) -> Iterator[Any]:
    yield next(batches.batches(*arguments))
    raise KeyboardInterrupt


def test_batches_are_of_like_lengths() -> None:
    rng = np.random.default_rng(0)
    lengths = np.minimum(1024, 20 + rng.geometric(1 / 230, 500))
    examples = [
        {"id": str(i), "inputs": rng.integers(2, 99, length)} for i, length in enumerate(lengths)
    ]
    made = list(batches.batches(examples, batch_size=8, max_input_tokens=1024))
    assert sorted(e["id"] for batch, _ in made for e in batch) == sorted(e["id"] for e in examples)
    for batch, tokens in made:
        assert len(tokens) % 8 == 0
        assert len(tokens) * tokens.shape[1] <= 8 * 1024
        for i, row in enumerate(tokens):
            expected = batch[min(i, len(batch) - 1)]["inputs"]
            assert row[: len(expected)].tolist() == expected.tolist()
            assert not row[len(expected) :].any()
    assert len({tokens.shape for _, tokens in made}) <= 21
    padded = sum(tokens.size for _, tokens in made)
    assert sum(lengths) / padded > 0.85


@pytest.mark.parametrize(
    ("number", "steps", "expected"),
    [(1, 4, 1), (7, 4, 7), (9, 4, 10), (256, 4, 256), (257, 4, 320), (1000, 4, 1024), (9, 1, 16)],
)
def test_rounded_up(number: int, steps: int, expected: int) -> None:
    assert batches.rounded_up(number, steps) == expected


def test_an_interrupted_prediction_goes_on(
    data: list[str], mini_dir: Path, tmp_path: Path, mini_vocabulary: Path
) -> None:
    configuration.import_declarations()
    gin.bind_parameter("SuperNI.data_dir", str(mini_dir))
    gin.bind_parameter("vocabulary.name", str(mini_vocabulary))

    asked: list[str] = []

    def predictor(stop_after: int | None) -> Predict:
        def run(examples: Sequence[Example]) -> Iterator[Any]:
            for number, example in enumerate(examples):
                if number == stop_after:
                    raise KeyboardInterrupt
                asked.append(example["id"])
                yield [row_of(example, f"answer to {example['id']}")]

        return run

    lengths, output = FeatureLengths(160, 16), tmp_path / "p.jsonl"

    def write(stop_after: int | None, who: str = "one") -> int:
        return predict.write_predictions(
            predictor(stop_after), {"who": who}, TASK, "validation", lengths, output
        )

    with pytest.raises(KeyboardInterrupt):
        write(stop_after=100)
    assert not output.exists()
    journal = tmp_path / "p.jsonl.unfinished"
    # What a kill in the middle of a write leaves.
    (journal / ".x.jsonl.1234").write_text('{"id": "half a li')
    assert write(stop_after=None) == 250
    assert len(asked) == len(set(asked)) == 250
    assert [row["prediction"] for row in rows_of(output)] == [
        f"answer to {id_}" for id_ in sorted(asked)
    ]
    assert not journal.exists()

    asked.clear()
    with pytest.raises(KeyboardInterrupt):
        write(stop_after=10)
    assert len(rows_of(output)) == 250  # the finished file stays until the new one is whole
    assert write(stop_after=None, who="another model") == 250
    assert len(asked) == 10 + 250  # nothing of another predictor is taken over


def test_another_vocabulary_is_refused(
    run: Path, mini_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["predict", f"--model_dir={run}", f"--data_dir={mini_dir}", "--vocabulary=bytes"]
    assert cli.main(command) == 2
    assert "is not the one that" in capsys.readouterr().err


def test_a_moved_run_directory_predicts(run: Path, mini_dir: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(run, moved)
    command = ["predict", f"--model_dir={moved}", f"--data_dir={mini_dir}", "--limit=2"]
    assert cli.main(command) == 0
    assert len(rows_of(moved / "predictions" / f"{TASK}-test-2.jsonl")) == 2


def test_a_limit_does_not_take_predictions_away(
    tmp_path: Path, on_the_mini_benchmark: None, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["predict", "--baseline=copy_input", f"--task={TASK}", f"--output={tmp_path / 'x'}"]
    assert cli.main(command) == 0
    before = (tmp_path / "x").read_bytes()
    assert cli.main([*command, "--limit=2"]) == 2
    assert "of which --limit=2 would leave 2; give another --output" in capsys.readouterr().err
    assert (tmp_path / "x").read_bytes() == before
    assert cli.main([*command, "--limit_per_task=1"]) == 2
    message = r"holds \d+ rows, of which --limit_per_task=1 would leave \d+; give another --output"
    assert re.search(message, capsys.readouterr().err)
    assert (tmp_path / "x").read_bytes() == before


def test_the_first_examples_of_each_task(tmp_path: Path, on_the_mini_benchmark: None) -> None:
    """Of each that a suite's task is made of; a mixture's tasks count apart."""
    counts = {}
    for name, limit in (("whole", 10**9), ("some", 2)):
        output = tmp_path / f"{name}.jsonl"
        command = ["predict", "--baseline=copy_input", f"--task={TASK}", f"--output={output}"]
        assert cli.main([*command, f"--limit_per_task={limit}"]) == 0
        counts[name] = Counter(row["task"] for row in rows_of(output))
    assert len(counts["whole"]) > 2
    assert max(counts["whole"].values()) > 2
    assert counts["some"] == {task: min(count, 2) for task, count in counts["whole"].items()}

    whole, _ = examples_of(TASK, "test", FeatureLengths(32, 6), None)
    found, _ = examples_of(TASK, "test", FeatureLengths(32, 6), None, 1)
    first = {example["task"]: example["id"] for example in reversed(whole)}
    assert [example["id"] for example in found] == list(first.values())[::-1]

    both, _ = examples_of("superni_def", "train", FeatureLengths(32, 6), None, 1)
    apart = [
        examples_of(f"superni_{track}_def", "train", FeatureLengths(32, 6), None, 1)[0]
        for track in ("en", "xlingual")
    ]
    assert len(both) == sum(map(len, apart))


def test_an_unfinished_run_with_a_limit_per_task_is_another(
    tmp_path: Path, on_the_mini_benchmark: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    identities = []
    monkeypatch.setattr(predict, "write_rows", lambda *args, **_: identities.append(args[3]) or 1)
    command = ["predict", "--baseline=copy_input", f"--task={TASK}", f"--output={tmp_path / 'x'}"]
    for flags in ([], ["--limit=2"], ["--limit_per_task=2"], ["--limit_per_task=3"]):
        assert cli.main([*command, *flags]) == 0
    assert identities[0] == identities[1]
    assert [each.get("limit_per_task") for each in identities] == [None, None, 2, 3]


def test_limits_are_refused_together_and_below_one(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["predict", "--baseline=copy_input", f"--task={TASK}", "--output=x"]
    assert cli.main([*command, "--limit=2", "--limit_per_task=3"]) == 2
    assert capsys.readouterr().err == (
        "error: --limit=2 and --limit_per_task=3 both say which examples are predicted; give one "
        "of them\n"
    )
    assert cli.main([*command, "--limit_per_task=0"]) == 2
    assert "--limit_per_task=0 must be at least 1" in capsys.readouterr().err


def test_a_damaged_checkpoint_is_told_in_one_line(
    run: Path, data: list[str], tmp_path: Path
) -> None:
    """Also what other reads say, which are under way when the first fails."""
    shutil.copytree(run, tmp_path / "run")
    (index,) = (tmp_path / "run" / "checkpoints" / "2" / "state" / "d").iterdir()
    content = bytearray(index.read_bytes())
    content[len(content) // 3] ^= 4
    index.write_bytes(content)
    command = ["predict", f"--model_dir={tmp_path / 'run'}", "--limit=1", *data]
    done = subprocess.run(
        [sys.executable, "-m", "tk_instruct.cli", *command], capture_output=True, text=True
    )
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert done.stderr.startswith("error: ")
    assert "move it away" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model_dir=/nowhere"], "/nowhere holds no checkpoints/"),
        (["--baseline=copy_demo"], "needs --task NAME and --output_dir DIR"),
        (
            ["--baseline=copy_demo", "--task=flan_rte", "--output=x"],
            "flan_rte is of the suite flan, which has majority_label or random_option; give one",
        ),
        (["--baseline=copy_demo", "--batch_size=0"], "--batch_size=0 must be at least 1"),
        (
            ["--baseline=copy_demo", f"--task={TASK}", "--output=x", "--split=tset"],
            "split='tset' is not one of superni_en_def_pos2's: dev, excluded, test, train, valid",
        ),
        (
            ["--baseline=copy_demo", f"--task={TASK}", "--output=x", "--split=a", "--split=b"],
            "--output is one file for 2 splits",
        ),
        (["--model_dir=x", "--step=last"], "--step=last must be a whole number or best"),
        (["--model_dir=x", "--num_beams=1"], "--num_beams=1 must be at least 2"),
        (["--model_dir=x", "--num_beams=2", "--sample"], "--num_beams=2 is of beam search"),
        (["--model_dir=x", "--length_penalty=2"], "--length_penalty=2.0 does nothing without"),
        (["--model_dir=x", "--num_beams=2", "--length_penalty=nan"], "=nan must be finite"),
        (["--model_dir=x", "--top_p=0.9"], "--top_p=0.9 does nothing without --sample"),
        (["--model_dir=x", "--sample", "--temperature=0"], "--temperature=0 must be positive"),
        (["--model_dir=x", "--sample", "--top_k=0"], "--top_k=0 must be at least 1"),
        (["--model_dir=x", "--sample", "--top_p=1.5"], "--top_p=1.5 must be above 0 and at"),
        (
            ["--baseline=copy_demo", f"--task={TASK}", "--output=x", "--sample"],
            "does not decode; leave the flags of decoding out",
        ),
    ],
)
def test_refusals(
    data: list[str], capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert cli.main(["predict", *arguments, *data]) == 2
    assert message in capsys.readouterr().err


def test_a_step_that_is_not_there(run: Path, data: list[str]) -> None:
    with pytest.raises(UserError, match=r"step=1 has no checkpoint in .* there are 2"):
        checkpoint.load_checkpoint(run, 1)
    with pytest.raises(UserError, match=r"step='best' is the one with the lowest validation loss"):
        checkpoint.load_checkpoint(run, "best")


def interrupted(model_dir: Path, data: list[str], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The journal of a prediction that was killed after its first batch."""
    with monkeypatch.context() as patch:
        patch.setattr(generation, "batches", interrupted_after_one)
        command = ["predict", f"--model_dir={model_dir}", "--batch_size=1", "--limit=3"]
        assert cli.main([*command, "--max_input_tokens=32", *data]) == 130
    return model_dir / "predictions" / f"{TASK}-test-2.jsonl.unfinished"


def test_another_model_at_the_same_step_answers_anew(
    run: Path, data: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As trained anew, with the same data, into the same MODEL_DIR."""
    from tk_instruct.checkpoint import Checkpoints

    trained = Path(shutil.copytree(run, tmp_path / "run"))
    journal = interrupted(trained, data, monkeypatch)
    (first,) = [path.name for path in journal.iterdir()]
    checkpoints, step, about = checkpoint.load_checkpoint(trained, None)
    params = checkpoint.load_model(checkpoints, step, about).params
    scale = params["encoder"]["layers_0"]["mlp"]["wo"]["kernel"]
    shutil.rmtree(trained / "checkpoints" / "2")
    with Checkpoints(trained) as anew:
        params["encoder"]["layers_0"]["mlp"]["wo"]["kernel"] = scale.at[0, 0].add(1)
        anew.save(2, {"step": np.int32(2), "params": params}, {}, about)
    assert interrupted(trained, data, monkeypatch) == journal
    (other,) = [path.name for path in journal.iterdir()]
    assert other != first
    # A copy elsewhere is the same model.
    moved = Path(shutil.copytree(run, tmp_path / "moved"))
    assert [path.name for path in interrupted(moved, data, monkeypatch).iterdir()] == [first]


def test_a_damaged_journal_is_passed_over(
    run: Path, data: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model_dir = Path(shutil.copytree(run, tmp_path / "run"))
    journal = interrupted(model_dir, data, monkeypatch)
    (batch,) = journal.iterdir()
    command = ["predict", f"--model_dir={model_dir}", "--batch_size=1", "--limit=3"]
    for content in ('{"id": "a"', "[]\n", '{"id": 1}\n', '{"id": "a", "task": "b"}\n'):
        batch.write_text(content)
        assert cli.main([*command, "--max_input_tokens=32", *data]) == 0
        assert len(rows_of(model_dir / "predictions" / f"{TASK}-test-2.jsonl")) == 3
        assert not journal.exists()
        journal.mkdir()


def test_one_process_writes_an_output(
    run: Path, data: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "p.jsonl"
    command = ["predict", "--baseline=copy_input", f"--task={TASK}", f"--output={output}", *data]
    with lock.held(f"{output}.lock", f"{output} is being written"):
        assert cli.main(command) == 2
        assert "p.jsonl is being written by process" in capsys.readouterr().err
        assert not output.exists()
    assert cli.main(command) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["p.jsonl"]


@pytest.mark.parametrize("name", ["predictions", "predictions/{}", "predictions/{}.unfinished"])
def test_links_lead_nowhere(
    run: Path, data: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """In a run's directory that somebody else has made."""
    model_dir, victim = tmp_path / "run", tmp_path / "victim"
    shutil.copytree(run, model_dir, ignore=shutil.ignore_patterns("predictions"))
    victim.mkdir()
    (victim / "letter.txt").write_text("precious")
    link = model_dir / name.format(f"{TASK}-test-2.jsonl")
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(victim)
    assert cli.main(["predict", f"--model_dir={model_dir}", "--limit=1", *data]) == 2
    assert "symbolic link" in capsys.readouterr().err
    assert [path.name for path in victim.iterdir()] == ["letter.txt"]


@pytest.mark.parametrize(
    "changed",
    [
        [],
        {"model": []},
        {"vocabulary": {}},
        {"data": "x"},
        {"gin": 3},
        {"soft_prompt": None},
        {"more": 1},
        {"model": {"vocab_size": "many"}},
    ],
)
def test_a_description_of_another_shape(
    run: Path, data: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], changed: Any
) -> None:
    model_dir = Path(shutil.copytree(run, tmp_path / "run"))
    file = model_dir / "checkpoints" / "2" / "description" / "metadata"
    about = json.loads(file.read_text())
    file.write_text(json.dumps({**about, **changed} if changed else changed))
    for checksums in (True, False):  # a run's, and one of before there were checksums
        if not checksums:
            shutil.rmtree(model_dir / "checkpoints" / "2" / "checksums")
        assert cli.main(["predict", f"--model_dir={model_dir}", "--limit=1", *data]) == 2
        assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--num_beams=100000", "--num_beams=100000 must be at most 576, half of the model's vocab"),
        ("--num_beams=500 --max_target_tokens=100000", r"this machine has .* GB; take fewer at"),
    ],
)
def test_more_than_the_memory_is_refused_before_it_is_taken(
    flags: str, message: str, run: Path, data: list[str], tmp_path: Path
) -> None:
    output = tmp_path / "p.jsonl"
    command = ["predict", f"--model_dir={run}", f"--output={output}", *flags.split(), *data]
    done = subprocess.run(
        [sys.executable, "-m", "tk_instruct.cli", *command], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert re.search(message, done.stderr)
