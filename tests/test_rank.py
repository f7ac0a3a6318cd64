"""Ranking of options by a checkpoint, as a user runs it: scores, formats, and what is refused."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from tk_instruct import cli, configuration
from tk_instruct.checkpoint import Description
from tk_instruct.data import registry
from tk_instruct.data.tokens import FeatureLengths
from tk_instruct.inference import checkpoint
from tk_instruct.inference.examples import read_examples
from tk_instruct.model import build
from tk_instruct.model.config import DecoderConfig, T5Config
from tk_instruct.tasks.superni.records import SuperNI

TASK = "superni_en_def_pos2"
SIZES: dict[str, Any] = {
    "vocab_size": 1152,
    "d_model": 16,
    "num_heads": 2,
    "head_dim": 8,
    "d_ff": 24,
}
T5 = T5Config(**SIZES, num_encoder_layers=1, num_decoder_layers=2)
SCANNED = T5Config(**SIZES, num_encoder_layers=1, num_decoder_layers=2, scan_layers=True)
PREFIX = DecoderConfig(**SIZES, num_layers=1)
TEXTS = ["yes", "no", "I do not know that"]
WORDS = ["is", "it", "so", "that", "one", "of", "these", "city", "river", "yes", "no"]


@pytest.fixture(scope="module")
def data(mini_dir: Path, mini_vocabulary: Path) -> list[str]:
    return [f"--data_dir={mini_dir}", f"--vocabulary={mini_vocabulary}"]


def save_run(model_dir: Path, config: T5Config | DecoderConfig, vocabulary_path: Path) -> Path:
    """A run's directory with a checkpoint of random parameters, whose answers are not all alike."""
    from flax.core import meta

    from tk_instruct.checkpoint import Checkpoints, Description
    from tk_instruct.data.vocabulary import fingerprint, vocabulary
    from tk_instruct.step import init_params

    params = meta.unbox(jax.jit(partial(init_params, build(config)))(jax.random.key(0)))
    # Sharper attention, so that the inputs make a difference.
    params = jax.tree_util.tree_map_with_path(
        lambda path, leaf: leaf * (8 if {"query", "value"} & {key.key for key in path} else 1),
        params,
    )
    about = Description(
        model=asdict(config),
        vocabulary={
            "name": str(vocabulary_path),
            "fingerprint": fingerprint(vocabulary(str(vocabulary_path))),
        },
        data={"mixture": TASK, "lengths": {"inputs": 96, "targets": 16}},
        gin="",
    )
    with Checkpoints(model_dir) as checkpoints:
        checkpoints.save(5, {"params": params}, {}, about)
    return model_dir


@pytest.fixture(scope="module")
def run(mini_vocabulary: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_run(tmp_path_factory.mktemp("t5") / "run", T5, mini_vocabulary)


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write_examples(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def scorer(model_dir: Path) -> Callable[[str, str], float]:
    """(inputs, option) → its log-probability, teacher forced through the whole model alone."""
    from tk_instruct.data.vocabulary import vocabulary

    loaded = checkpoint.load_model(*checkpoint.load_checkpoint(model_dir, None))
    logits_of = jax.jit(
        lambda batch: loaded.model.apply({"params": loaded.params}, batch, True, method="logits")
    )

    def score(inputs: str, option: str) -> float:
        reads = [*vocabulary().encode(inputs)[:95], 1]
        writes = [*vocabulary().encode(option), 1]
        if isinstance(loaded.model.config, T5Config):
            rows, first = {"encoder_input": reads, "decoder_target": writes}, 0
        else:
            rows, first = {"decoder_target": reads + writes}, len(reads)
        batch = {}
        for name, row in rows.items():
            padding = [0] * (128 - len(row))
            batch[f"{name}_tokens"] = np.array([row + padding])
            batch[f"{name.split('_')[0]}_segment_ids"] = np.array([[1] * len(row) + padding])
        batch["decoder_causal_attention"] = (np.arange(128) <= first).astype(np.int32)[None]
        log_probs = jax.nn.log_softmax(logits_of(batch)[0])
        return sum(float(log_probs[first + i, token]) for i, token in enumerate(writes))

    return score


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(T5, id="t5", marks=pytest.mark.slow),
        pytest.param(SCANNED, id="scanned"),
        pytest.param(PREFIX, id="prefix"),
    ],
)
def test_scores_are_log_probabilities_of_the_whole_option(
    config: T5Config | DecoderConfig, mini_vocabulary: Path, data: list[str], tmp_path: Path
) -> None:
    model_dir = save_run(tmp_path / "run", config, mini_vocabulary)
    examples = [
        {"id": "2", "inputs": "Is it so?", "options": TEXTS},
        {"id": "1", "inputs": "Is it? " * 60, "options": ["no", "yes"], "task": "other"},
        {"id": "3", "inputs": "", "options": ["a", *("b " * n for n in range(1, 5))]},
    ]
    path = write_examples(tmp_path / "mine.jsonl", examples)
    assert cli.main(["rank", f"--model_dir={model_dir}", f"--examples={path}", *data]) == 0
    rows = rows_of(model_dir / "predictions" / "mine-5.rank.jsonl")
    assert [row["id"] for row in rows] == ["1", "2", "3"]
    assert [row["task"] for row in rows] == ["other", "mine", "mine"]
    score = scorer(model_dir)
    for row, example in zip(rows, sorted(examples, key=lambda e: e["id"]), strict=True):
        assert row["options"] == example["options"]
        expected = [score(example["inputs"], option) for option in row["options"]]
        np.testing.assert_allclose(row["scores"], expected, atol=1e-3)
        assert row["prediction"] == row["options"][int(np.argmax(expected))]


def test_a_task_is_ranked_and_evaluated(
    run: Path, data: list[str], mini_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = [f"--option={letter}" for letter in "abcdefghij"]
    command = ["rank", f"--model_dir={run}", "--task", TASK, "--split=test", *flags, *data]
    assert cli.main(command) == 0
    output = run / "predictions" / f"{TASK}-test-5.rank.jsonl"
    rows = rows_of(output)
    known = {e.id: e.task.name for e in SuperNI(data_dir=str(mini_dir)).examples("default", "test")}
    assert {row["id"]: row["task"] for row in rows} == known
    assert [row["id"] for row in rows] == sorted(known)
    assert {row["prediction"] for row in rows} <= set("abcdefghij")
    assert len({row["prediction"] for row in rows}) > 1
    command = ["evaluate", f"--predictions={output}", f"--data_dir={mini_dir}"]
    assert cli.main(command) == 0
    assert "exact_match" in capsys.readouterr().out


def test_batching_order_and_the_other_options_do_not_matter(
    run: Path, data: list[str], tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    examples = [
        {
            "id": str(i),
            "inputs": " ".join(rng.choice(WORDS, rng.integers(1, 90))),
            "options": [f"{word} {i}" for word in rng.permutation(WORDS)[: 2 + i % 2]],
        }
        for i in range(16)
    ]
    found = []
    for batch_size, ordered in ((32, examples), (3, examples[::-1])):
        path = write_examples(tmp_path / "some.jsonl", ordered)
        output = tmp_path / f"{batch_size}.jsonl"
        command = ["rank", f"--model_dir={run}", f"--examples={path}", f"--output={output}"]
        assert cli.main([*command, f"--batch_size={batch_size}", *data]) == 0
        found.append(rows_of(output))
    for row, other in zip(*found, strict=True):
        np.testing.assert_allclose(row["scores"], other["scores"], atol=1e-4)
        assert {**row, "scores": 0} == {**other, "scores": 0}


def test_length_normalization_divides_by_tokens_and_eos(
    run: Path, data: list[str], tmp_path: Path
) -> None:
    from tk_instruct.data.vocabulary import vocabulary

    options = ["yes", "one of the many words that are in it"]
    path = write_examples(
        tmp_path / "some.jsonl", [{"id": "1", "inputs": "So?", "options": options}]
    )
    command = ["rank", f"--model_dir={run}", f"--examples={path}", *data]
    assert cli.main([*command, f"--output={tmp_path / 'sum'}"]) == 0
    assert cli.main([*command, f"--output={tmp_path / 'mean'}", "--length_normalized"]) == 0
    (summed,), (mean,) = rows_of(tmp_path / "sum"), rows_of(tmp_path / "mean")
    lengths = [len(vocabulary().encode(option)) + 1 for option in options]
    assert len(set(lengths)) == 2
    np.testing.assert_allclose(mean["scores"], np.array(summed["scores"]) / lengths, rtol=1e-6)


def test_the_released_tokenization_is_of_prompts_and_options_too(
    run: Path, data: list[str], tmp_path: Path
) -> None:
    """Another prompt, so other scores; what was ranked with the other tokenizer is not kept."""
    rows = [{"id": "1", "inputs": "a b\nOutput: ", "options": ["it", "no "]}]
    examples = write_examples(tmp_path / "file.jsonl", rows)
    flags = ["rank", f"--model_dir={run}", *data, f"--examples={examples}"]
    output = tmp_path / "ranked.jsonl"
    scores = []
    for tokenization in ("seqio", "released"):
        arguments = [*flags, f"--output={output}", f"--tokenization={tokenization}"]
        assert cli.main(arguments) == 0
        scores.append(rows_of(output)[0]["scores"])
    assert scores[0][0] != scores[1][0]
    # SentencePiece drops the space after "no", so that it is as likely as "no".
    rows = [{"id": "1", "inputs": "a b\nOutput: ", "options": ["it", "no"]}]
    write_examples(examples, rows)
    for tokenization, alike in (("seqio", True), ("released", False)):
        arguments = [*flags, f"--output={output}", f"--tokenization={tokenization}"]
        assert cli.main(arguments) == 0
        ((_, without),) = (row["scores"] for row in rows_of(output))
        assert (without == scores[tokenization == "released"][1]) is alike


def test_of_equal_options_the_first_is_predicted(
    run: Path, data: list[str], tmp_path: Path
) -> None:
    rows = [
        {"id": str(i), "inputs": f"So {i}?", "options": options}
        for i, options in enumerate([["yes", " yes"], [" yes", "yes"]])  # the same tokens
    ]
    path = write_examples(tmp_path / "some.jsonl", rows)
    assert cli.main(["rank", f"--model_dir={run}", f"--examples={path}", *data]) == 0
    found = rows_of(run / "predictions" / "some-5.rank.jsonl")
    assert [row["prediction"] for row in found] == ["yes", " yes"]


@pytest.mark.parametrize(
    ("lines", "flags", "message"),
    [
        ([], ["--option=a", "--option=a"], "--option=a is given twice; leave one of them out"),
        ([], ["--option=a", "--option= "], "--option: option ' ' must be a text that is not empty"),
        ([], ["--option=a"], "--option: options=['a'] must be at least 2 texts"),
        ([], ["--split=test"], "--split=test is of a task and --examples has none"),
        ([], ["--batch_size=0"], "--batch_size=0 must be at least 1"),
        ([], [], "x.jsonl holds no examples"),
        ([{"id": "1", "options": TEXTS}], [], "x.jsonl:1: inputs is missing; correct"),
        (
            [{"id": 1, "inputs": "a", "options": TEXTS}],
            [],
            "x.jsonl:1: id is 1 but must be a string",
        ),
        ([{"id": "1", "inputs": "a"}], [], "example '1' has no options to choose from"),
        ([{"id": "1", "inputs": "a", "options": []}], [], "example '1': options=[] must be at"),
        ([{"id": "1", "inputs": "a", "options": "ab"}], [], 'options is "ab" but must be a list'),
        (
            [{"id": "1", "inputs": "a", "options": ["b", 3]}],
            [],
            "x.jsonl:1: options[1] is 3 but must be a string",
        ),
        (
            [{"id": "1", "inputs": "a", "options": ["b", "yes no " * 9]}],
            ["--max_target_tokens=8"],
            "tokens, EOS included, and targets have at most 8; give --max_target_tokens=",
        ),
        (
            [{"id": "1", "inputs": "a", "options": ["b", "c"]}],
            ["--option=a", "--option=b"],
            "--option=a is for examples without options, and all of these have some",
        ),
        (
            [{"id": "1", "inputs": "a", "options": ["b", "c"]}] * 2,
            [],
            "id '1' is in x and in x while ranking x",
        ),
    ],
)
def test_refusals(
    run: Path,
    data: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    lines: list[dict[str, Any]],
    flags: list[str],
    message: str,
) -> None:
    path = write_examples(tmp_path / "x.jsonl", lines)
    command = ["rank", f"--model_dir={run}", f"--examples={path}", *flags, *data]
    assert cli.main(command) == 2
    assert message in capsys.readouterr().err
    assert not list(run.glob("predictions/x*"))


def test_prompts_of_a_file_end_as_those_of_the_run_do(
    tmp_path: Path, mini_vocabulary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TK_INSTRUCT_VOCABULARY", str(mini_vocabulary))
    configuration.import_declarations()
    whole: Any = registry.get(TASK)
    registry.add(replace(whole, name="rank_without_eos", inputs_have_eos=False))
    path = write_examples(tmp_path / "x.jsonl", [{"id": "1", "inputs": "it is so"}])
    ends = {}
    for mixture in (TASK, "rank_without_eos", "not_declared"):
        about = Description(model={}, vocabulary={}, data={"mixture": mixture}, gin="")
        tokenizer, has_eos = checkpoint.encoding_of_run(about)
        lengths = FeatureLengths(8, 8)
        (example,), _ = read_examples(path, lengths, None, tokenizer, has_eos)
        ends[mixture] = example["inputs"][-1] == 1
    registry._added.pop("rank_without_eos")
    assert ends == {TASK: True, "rank_without_eos": False, "not_declared": True}


def test_own_options_come_before_those_of_the_flag(
    run: Path, data: list[str], tmp_path: Path
) -> None:
    rows = [{"id": "1", "inputs": "a", "options": ["c", "d"]}, {"id": "2", "inputs": "b"}]
    path = write_examples(tmp_path / "mixed.jsonl", rows)
    flags = [f"--option={text}" for text in TEXTS]
    assert cli.main(["rank", f"--model_dir={run}", f"--examples={path}", *flags, *data]) == 0
    found = rows_of(run / "predictions" / "mixed-5.rank.jsonl")
    assert [row["options"] for row in found] == [["c", "d"], TEXTS]
