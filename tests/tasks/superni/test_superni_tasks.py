"""The declared tasks: what they hold, how upstream's SeqIO reads them, and what they score."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gin
import numpy as np
import pytest
import seqio

from tk_instruct import cli
from tk_instruct.data import cache, registry
from tk_instruct.data.tokens import FeatureLengths
from tk_instruct.data.vocabulary import vocabulary
from tk_instruct.errors import UserError
from tk_instruct.randomness import choose, draw
from tk_instruct.tasks.superni import mixtures, prompt  # noqa: F401  (declares to SeqIO)
from tk_instruct.tasks.superni.metrics import Instance
from tk_instruct.tasks.superni.records import SuperNI

LENGTHS = FeatureLengths(256, 32)
ENCODINGS = [
    "input_only",
    "task_name",
    "def",
    "pos1",
    "pos2",
    "pos4",
    "def_pos1",
    "def_pos2",
    "def_pos4",
    "def_pos2_neg2",
    "def_pos2_neg2_expl",
    "tk_instruct",
]


pytestmark = pytest.mark.usefixtures("on_the_mini_benchmark")


def few(num_train: int = 2, num_eval: int = 2) -> None:
    gin.bind_parameter("SuperNI.max_instances_per_train_task", num_train)
    gin.bind_parameter("SuperNI.max_instances_per_eval_task", num_eval)


def read(name: str, split: str, lengths: FeatureLengths = LENGTHS) -> list[dict[str, Any]]:
    return list(registry.get(name).examples(split, lengths))


def test_every_encoding_of_both_tracks_is_declared() -> None:
    """tests/tasks/flan has the test that importing touches no data."""
    tracks = ("en", "xlingual")
    tasks = [name for name in seqio.TaskRegistry.names() if name.startswith("superni_")]
    mixed = [name for name in seqio.MixtureRegistry.names() if name.startswith("superni_")]
    assert {name for name in tasks if "." not in name} == {
        f"superni_{track}_{encoding}" for track in tracks for encoding in ENCODINGS
    }
    assert set(mixed) == {f"superni_{encoding}" for encoding in ENCODINGS}


@pytest.mark.parametrize("name", ["superni_en_def", "superni_def"])
def test_use_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.delenv("TK_INSTRUCT_SUPERNI_DIR", raising=False)
    with pytest.raises(UserError) as error:
        _ = registry.rates_of(name) and registry.get(name).num_input_examples("train")
    assert str(error.value).startswith(
        "no Super-NaturalInstructions data directory is set: give --data_d"
    )
    assert "TK_INSTRUCT_SUPERNI_DIR" in str(error.value)


def test_no_vocabulary_is_told_on_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TK_INSTRUCT_VOCABULARY")
    with pytest.raises(UserError, match="no vocabulary is set"):
        read("superni_en_def", "test")


@pytest.mark.parametrize(
    ("short", "track", "encoding"),
    [*(("en", "default", e) for e in ENCODINGS), ("xlingual", "xlingual", "tk_instruct")],
)
def test_inputs_are_the_rendered_prompts(short: str, track: str, encoding: str) -> None:
    few(1, 1)
    found = read(f"superni_{short}_{encoding}", "test", FeatureLengths(1024, 128))
    for example, expected in zip(found, SuperNI().examples(track, "test"), strict=True):
        assert example["id"] == expected.id
        form = prompt.encoding_of(
            encoding, seed=0, task=expected.task.name, instance_id=expected.id
        )
        text = prompt.render(expected.task, expected.input, form)
        assert example["inputs_pretokenized"] == text
        assert example["inputs"].tolist() == [*vocabulary().encode(text), 1]


def test_the_fields_of_an_example() -> None:
    few()
    (first, *_) = read("superni_xlingual_def", "test")
    (expected, *_) = SuperNI().examples("xlingual", "test")
    assert sorted(first) == [
        *("category", "id", "input", "inputs", "inputs_pretokenized", "instruction", "references"),
        *("targets", "targets_pretokenized", "task"),
    ]
    assert first["task"] == expected.task.name
    assert first["category"] == expected.task.category
    assert first["instruction"] == expected.task.to_json()
    assert first["input"] == expected.input
    assert first["references"] == list(expected.references)


def test_the_budget_is_the_feature_length() -> None:
    few(1, 1)
    whole = read("superni_en_def_pos2", "test")
    limit = 60
    found = read("superni_en_def_pos2", "test", FeatureLengths(limit, 32))
    num_shorter = 0
    for example, before in zip(found, whole, strict=True):
        assert len(example["inputs"]) <= limit
        assert example["inputs"][-1] == 1
        num_positives = example["inputs_pretokenized"].count("Positive Example")
        num_shorter += num_positives < before["inputs_pretokenized"].count("Positive Example")
    assert num_shorter > 0


def test_targets_are_one_of_the_references_chosen_by_seed_and_id() -> None:
    gin.bind_parameter("SuperNI.max_instances_per_train_task", 20)
    chosen = {}
    for seed in (0, 1):
        gin.bind_parameter("SuperNI.seed", seed)
        several: Counter[int] = Counter()
        for example in read("superni_en_input_only", "train"):
            references = example["references"]
            assert example["targets_pretokenized"] in references
            ids = (example["task"], example["id"])
            assert example["targets_pretokenized"] == choose(references, seed, "reference", *ids)
            if len(references) > 1:
                several[references.index(example["targets_pretokenized"])] += 1
                chosen[seed, *ids] = example["targets_pretokenized"]
        assert min(several[0], several[1]) > several.total() / 4
    both = [(t, chosen[1, *ids]) for (seed, *ids), t in chosen.items() if (1, *ids) in chosen]
    assert any(one != other for one, other in both)


def test_changing_the_seed_or_the_directory_takes_effect(mini_dir: Path) -> None:
    few()
    first = [example["id"] for example in read("superni_en_def", "train")]
    gin.bind_parameter("SuperNI.seed", 5)
    assert [example["id"] for example in read("superni_en_def", "train")] != first
    gin.bind_parameter("SuperNI.data_dir", str(mini_dir / "nowhere"))
    with pytest.raises(UserError, match="nowhere is not a directory"):
        read("superni_en_def", "train")


# Tk-Instruct's own tokenizer


@pytest.mark.parametrize("name", ["superni_en_def_pos2_neg2_expl", "superni_xlingual_tk_instruct"])
def test_the_released_tokenization_keeps_the_space_after_output(name: str) -> None:
    few()
    lengths = FeatureLengths(1024, 32)
    before = read(name, "test", lengths)
    gin.bind_parameter("SuperNI.tokenization", "released")
    for example, other in zip(read(name, "test", lengths), before, strict=True):
        space = vocabulary().tokenizer.piece_to_id("▁")
        assert example["inputs_pretokenized"] == other["inputs_pretokenized"]
        assert example["inputs_pretokenized"].endswith("\nOutput: ")
        assert example["inputs"].tolist() == [*other["inputs"].tolist()[:-1], space, 1]
        assert example["targets"].tolist() == other["targets"].tolist()


def test_the_released_tokenization_leaves_an_example_out_one_token_earlier() -> None:
    few(1, 1)
    (first, *_) = read("superni_en_pos1", "test", FeatureLengths(1024, 32))
    exact = len(first["inputs"])
    assert " Positive Example 1 -" in first["inputs_pretokenized"]
    for tokenization, fits in (("seqio", exact), ("released", exact + 1)):
        gin.bind_parameter("SuperNI.tokenization", tokenization)
        (whole, *_) = read("superni_en_pos1", "test", FeatureLengths(fits, 32))
        (without, *_) = read("superni_en_pos1", "test", FeatureLengths(fits - 1, 32))
        assert whole["inputs_pretokenized"] == first["inputs_pretokenized"]
        assert len(whole["inputs"]) == fits
        assert without["inputs_pretokenized"].startswith("Now complete the following example -")


def test_seqio_reads_the_released_tokenization_too() -> None:
    """In a mixture, as t5x does."""
    few(1, 1)
    gin.bind_parameter("SuperNI.tokenization", "released")
    lengths = FeatureLengths(512, 32)
    own = {
        tuple(example["inputs"].tolist())
        for task in registry.tasks_of("superni_def_pos1")
        for example in task.examples("train", lengths)
    }
    dataset = seqio.get_mixture_or_task("superni_def_pos1").get_dataset(
        lengths.as_dict(), "train", shuffle=False, num_epochs=1
    )
    space = vocabulary().tokenizer.piece_to_id("▁")
    found = [example["inputs"].tolist() for example in dataset.as_numpy_iterator()]
    assert {tuple(ids) for ids in found} <= own
    assert len(found) > 20
    assert all(ids[-2:] == [space, 1] for ids in found)


def test_the_tokenization_is_part_of_what_tokens_are_kept_by() -> None:
    few(1, 1)
    task = registry.get("superni_en_def")
    fingerprint = task.fingerprint("train")
    # As runs that were begun before there was a choice have it.
    assert fingerprint == SuperNI().fingerprint("default", "train")
    first = cache.open_tokens(task, "train", LENGTHS)
    gin.bind_parameter("SuperNI.tokenization", "released")
    assert task.fingerprint("train") != fingerprint
    second = cache.open_tokens(task, "train", LENGTHS)
    assert (second.lengths[:, 0] == first.lengths[:, 0] + 1).all()


def test_an_unknown_tokenization_is_refused() -> None:
    with pytest.raises(UserError) as caught:
        SuperNI(tokenization="fast")
    assert str(caught.value).startswith(
        "SuperNI.tokenization='fast' must be one of seqio, released; released is for "
        "Tk-Instruct's published checkpoints"
    )


# Cut prompts


@pytest.fixture
def on_real_data(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Tasks of natural-instructions and T5's vocabulary; the vocabulary."""
    path = str(shared_data / "t5-vocabulary" / "sentencepiece.model")
    monkeypatch.setenv("TK_INSTRUCT_SUPERNI_DIR", str(shared_data / "natural-instructions"))
    monkeypatch.setenv("TK_INSTRUCT_VOCABULARY", path)
    return vocabulary(path)


def test_cut_prompts_keep_what_t5_has_no_pieces_for(on_real_data: Any) -> None:
    few(1, 30)
    num_cut = num_unknown = 0
    for name in ("superni_en_def", "superni_xlingual_def"):
        limit = 110
        whole = read(name, "test", FeatureLengths(4096, 32))
        for example, uncut in zip(
            read(name, "test", FeatureLengths(limit, 32)), whole, strict=True
        ):
            text, ids = example["inputs_pretokenized"], example["inputs"].tolist()
            assert uncut["inputs_pretokenized"].startswith(text)
            # Every id but EOS is the whole prompt's: what was left out is its end.
            assert ids[:-1] == uncut["inputs"].tolist()[: len(ids) - 1]
            num_cut += len(ids) == limit < len(uncut["inputs"])
            num_unknown += 2 in ids and len(uncut["inputs"]) > limit
    assert num_cut > 100
    assert num_unknown > 10


# Upstream's SeqIO


@pytest.mark.parametrize("pack", [False, True])
def test_seqio_converts_and_packs_every_example(pack: bool) -> None:
    """As t5x reads a task: get_dataset with the encoder-decoder converter."""
    few()
    expected = Counter(
        (tuple(example["inputs"].tolist()), tuple(example["targets"].tolist()))
        for example in read("superni_en_def_pos1", "train")
    )
    dataset = seqio.get_dataset(
        "superni_en_def_pos1",
        task_feature_lengths=LENGTHS.as_dict(),
        dataset_split="train",
        shuffle=True,
        num_epochs=1,
        seed=3,
        feature_converter=seqio.EncDecFeatureConverter(pack=pack),
    )
    found: Counter[tuple[tuple[int, ...], tuple[int, ...]]] = Counter()
    num_rows = 0
    for row in dataset.as_numpy_iterator():
        num_rows += 1
        assert row["encoder_input_tokens"].shape == (256,)
        assert row["decoder_target_tokens"].shape == (32,)
        inputs, targets = row["encoder_input_tokens"], row["decoder_target_tokens"]
        in_segments = row["encoder_segment_ids"] if pack else np.ones_like(inputs)
        out_segments = row["decoder_segment_ids"] if pack else np.ones_like(targets)
        for segment in sorted({*out_segments.tolist()} - {0}):
            own_inputs = inputs[(in_segments == segment) & (inputs > 0)]
            own_targets = targets[(out_segments == segment) & (targets > 0)]
            found[tuple(own_inputs.tolist()), tuple(own_targets.tolist())] += 1
        assert (row["decoder_loss_weights"] == (targets > 0)).all()
    assert found == expected
    assert num_rows == found.total() if not pack else num_rows < found.total() / 2


def test_seqio_mixes_both_tracks() -> None:
    few()
    dataset = seqio.get_mixture_or_task("superni_input_only").get_dataset(
        LENGTHS.as_dict(), "train", shuffle=False, num_epochs=1
    )
    found = Counter(tuple(example["inputs"].tolist()) for example in dataset.as_numpy_iterator())
    expected: Counter[tuple[int, ...]] = Counter()
    for task in registry.tasks_of("superni_input_only"):
        examples = task.examples("train", LENGTHS)
        expected.update(tuple(example["inputs"].tolist()) for example in examples)
    assert expected.total() == 50 + 56
    assert found <= expected
    assert found.total() > 0.7 * expected.total()  # until the first task is used up


def test_mixture_rates_are_numbers_of_examples() -> None:
    few(3)
    mixture = registry.get("superni_def_pos2")
    assert mixture.rates() == {"superni_en_def_pos2": 75.0, "superni_xlingual_def_pos2": 84.0}
    by_seqio = seqio.MixtureRegistry.get("superni_def_pos2")
    assert mixture.rates() == {task.name: by_seqio.get_rate(task) for task in by_seqio.tasks}
    assert registry.rates_of("superni_def_pos2") == [75 / 159, 84 / 159]


def test_names_that_are_not_declared() -> None:
    with pytest.raises(UserError, match="did you mean 'superni_en_tk_instruct'"):
        registry.get("superni_en_tk_instuct")


# One constituent task


def test_a_subset_has_one_constituent(mini_dir: Path) -> None:
    task = (mini_dir / "splits/default/test_tasks.txt").read_text().split()[2]
    name = registry.subset("superni_en_def_pos2", task)
    assert name == f"superni_en_def_pos2.{task}"
    found = read(name, "test")
    whole = [example for example in read("superni_en_def_pos2", "test") if example["task"] == task]
    assert len(found) == len(whole) == 60
    for one, other in zip(found, whole, strict=True):
        np.testing.assert_equal(one, other)


def test_a_subset_from_gin(mini_dir: Path) -> None:
    task = (mini_dir / "splits/default/train_tasks.txt").read_text().split()[0]
    gin.parse_config(
        f"""
        tk_instruct.subset.name = "superni_en_def"
        tk_instruct.subset.task = "{task}"
        """
    )
    assert registry.subset() == f"superni_en_def.{task}"
    assert registry.get(registry.subset()).num_input_examples("train") == 100


def test_a_subset_of_a_task_that_no_split_lists_says_so_on_use() -> None:
    name = registry.subset("superni_en_def", "task9001_mini_antonym")
    with pytest.raises(UserError) as caught:
        read(name, "train")
    assert str(caught.value) == (
        "task='task9001_mini_antonym' is not in split 'train' of default; did you mean "
        "task9001_mini_antonym_generation?"
    )


# Scores


def noisy(references: Sequence[str], id_: str) -> list[int]:
    """A prediction's token ids, right or wrong in one of several ways, with what may follow EOS."""
    text = choose(references, 0, "text", id_)
    tokens = list(vocabulary().encode(text))
    kind = draw(0, "kind", id_) % 6
    if kind == 0:
        tokens = tokens[:-1]
    elif kind == 1:
        tokens = [*tokens, *vocabulary().encode("the red")]
    elif kind == 2:
        tokens = tokens[::-1]
    elif kind == 3:
        tokens = list(vocabulary().encode(text.upper() + " !"))
    elif kind == 4 and draw(0, "empty", id_) % 3 == 0:
        tokens = []
    tokens = [*tokens, 1, 0, *tokens]
    return [*tokens, *[0] * (64 - len(tokens))]


def assert_evaluators_agree(
    name: str, track: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], *flags: str
) -> None:
    """SeqIO's Evaluator and the evaluate verb give the same scores to the same predictions."""
    records = SuperNI().examples(track, "test")
    tokens = [noisy(example.references, example.id) for example in records]
    evaluator = seqio.Evaluator(
        name,
        feature_converter=seqio.EncDecFeatureConverter(pack=False),
        eval_split="test",
        sequence_length=LENGTHS.as_dict(),
    )

    def predict(dataset: Any) -> list[tuple[int, list[int]]]:
        numbers = [int(number) for number, _ in dataset.as_numpy_iterator()]
        return [(number, tokens[number]) for number in reversed(numbers)]

    metrics, _ = evaluator.evaluate(compute_metrics=True, step=0, predict_fn=predict)
    scores = metrics.result()[name]

    path = tmp_path / "predictions.jsonl"
    path.write_text(
        "".join(
            json.dumps({"id": example.id, "prediction": vocabulary().decode(ids)}) + "\n"
            for example, ids in zip(records, tokens, strict=True)
        )
    )
    arguments = ["evaluate", "--predictions", str(path), "--track", track, "--json", "-", *flags]
    assert cli.main(arguments) == 0
    found = json.loads(capsys.readouterr().out)
    ours = {name: found[name] for name in found if not name.endswith(("_stderr", "_ci95"))}
    assert scores == ours
    assert len(ours) == 3 * (
        1 + len({e.task.name for e in records} | {e.task.category for e in records})
    )
    assert 5 < ours["exact_match"] < ours["rougeL"] < 95


def test_seqios_evaluator_scores_as_the_evaluate_verb_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gin.bind_parameter("SuperNI.max_instances_per_eval_task", 25)
    assert_evaluators_agree(
        "superni_en_def", "default", tmp_path, capsys, "--max_instances_per_eval_task=25"
    )


def test_seqios_evaluator_scores_the_xlingual_track_so_too(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = str(shared_data / "gpt2-bpe")
    gin.bind_parameter("gpt2_bpe.directory", directory)
    assert_evaluators_agree(
        "superni_xlingual_def", "xlingual", tmp_path, capsys, "--gpt2_bpe", directory
    )


def test_a_target_stands_for_all_references() -> None:
    few()
    task = seqio.TaskRegistry.get("superni_en_def")
    (example, *_) = task.get_dataset(LENGTHS.as_dict(), "test", shuffle=False).as_numpy_iterator()
    target = task.postprocess_fn("ignored", example=example, is_target=True)
    (expected, *_) = SuperNI().examples("default", "test")
    assert target == Instance(expected.references, expected.task.name, expected.task.category)
    assert task.postprocess_fn("said", example=example, is_target=False) == "said"
