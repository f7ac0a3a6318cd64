"""Tokens on disk are the SeqIO task's and never stale; batches lose, split and repeat nothing."""

import json
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gin
import numpy as np
import pytest
import seqio

from tk_instruct.data import cache, pipeline, registry
from tk_instruct.data.cache import Tokens, open_tokens
from tk_instruct.data.registry import FeatureLengths, RawExample, RecordSource
from tk_instruct.data.vocabulary import train_sentencepiece
from tk_instruct.errors import UserError
from tk_instruct.tasks import superni  # noqa: F401

TASK = "superni_en_def_pos1"
LENGTHS = FeatureLengths(96, 16)

# Examples of known tokens, one letter a token: task `a` has 30, task `b` 10.
LETTERS = {
    name: [
        {"id": f"{name}{k}", "inputs": name * (1 + k % 7), "targets": f"{name}{k:02d}"}
        for k in range(count)
    ]
    for name, count in (("a", 30), ("b", 10))
}
SHORT = FeatureLengths(20, 12)


@pytest.fixture(scope="module", autouse=True)
def _letters() -> Iterator[None]:
    def source(rows: Sequence[RawExample]) -> RecordSource:
        fields = dict.fromkeys(("id", "inputs", "targets"), False)
        return RecordSource(["train", "test"], fields, lambda _: rows, lambda _: "same")

    as_it_is = registry.rendering(lambda *_: lambda *texts: texts, reads=["inputs", "targets"])
    for name, rows in LETTERS.items():
        registry.add_task(
            f"letters_{name}", source(rows), [as_it_is], lambda output, **_: output, []
        )
    registry.add_mixture("letters", ["letters_a", "letters_b"])
    yield
    seqio.MixtureRegistry.remove("letters")
    for name in LETTERS:
        seqio.TaskRegistry.remove(f"letters_{name}")


@pytest.fixture(autouse=True)
def _few(
    mini_dir: Path, mini_vocabulary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """A cache of its own, the mini benchmark with few instances, and a clean gin."""
    gin.clear_config()
    monkeypatch.setenv("TK_INSTRUCT_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("TK_INSTRUCT_SUPERNI_DIR", str(mini_dir))
    monkeypatch.setenv("TK_INSTRUCT_VOCABULARY", str(mini_vocabulary))
    gin.bind_parameter("SuperNI.max_instances_per_train_task", 2)
    gin.bind_parameter("SuperNI.max_instances_per_eval_task", 2)
    yield
    gin.clear_config()


@pytest.fixture
def letters(monkeypatch: pytest.MonkeyPatch) -> None:
    """The vocabulary in which a letter is a token: its code and 3."""
    monkeypatch.setenv("TK_INSTRUCT_VOCABULARY", "bytes")


def stored(split: str = "train", lengths: FeatureLengths = LENGTHS, task: str = TASK) -> list:
    records = open_tokens(registry.get(task), split, lengths)
    found = [Tokens.from_bytes(records[k]) for k in range(len(records))]
    return [(tokens.id, tokens.inputs.tolist(), tokens.targets.tolist()) for tokens in found]


def files(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "cache" / "tokens").iterdir())


def test_tokens_survive_bytes() -> None:
    tokens = Tokens("né", np.array([5, 70_000, 1], np.int32), np.array([], np.int32))
    again = Tokens.from_bytes(tokens.to_bytes())
    assert again.id == "né"
    assert (again.inputs.tolist(), again.targets.tolist()) == ([5, 70_000, 1], [])
    assert again.inputs.dtype == np.int32


@pytest.mark.parametrize("split", ["train", "test"])
def test_cached_tokens_are_the_seqio_datasets(split: str) -> None:
    dataset = seqio.get_mixture_or_task(TASK).get_dataset(LENGTHS.as_dict(), split, shuffle=False)
    expected = [
        (example["id"].decode(), example["inputs"].tolist(), example["targets"].tolist())
        for example in dataset.as_numpy_iterator()
    ]
    assert len(expected) == {"train": 50, "test": 26}[split]
    assert stored(split) == expected


def test_they_are_written_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = stored()

    def never(*_: Any) -> None:
        raise AssertionError("read again")

    monkeypatch.setattr(registry, "examples", never)
    assert stored() == first
    assert len(files(tmp_path)) == 1
    assert files(tmp_path)[0].startswith(f"{TASK}-train-")


def test_everything_that_tokens_depend_on_is_in_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = stored("test")
    assert stored("test", FeatureLengths(96, 4)) != first
    assert stored("test", FeatureLengths(24, 16)) != first
    assert stored("test", task="superni_en_def") != first
    gin.bind_parameter("SuperNI.max_instances_per_eval_task", 1)
    assert stored("test") == first[::2]
    assert len(files(tmp_path)) == 5

    other = tmp_path / "other.model"
    other.write_bytes(train_sentencepiece(["Definition: Give the opposite. Input: Output:"], 60))
    monkeypatch.setenv("TK_INSTRUCT_VOCABULARY", str(other))
    assert stored("test") != first[::2]
    monkeypatch.setattr(cache, "_code_hash", lambda: "of other code")
    stored("test")
    assert len(files(tmp_path)) == 7


def test_changed_data_is_read_again(
    mini_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(mini_dir, tmp_path / "tree")
    monkeypatch.setenv("TK_INSTRUCT_SUPERNI_DIR", str(tmp_path / "tree"))
    first = stored("test")
    name = (tmp_path / "tree/splits/default/test_tasks.txt").read_text().split()[0]
    path = tmp_path / "tree" / "tasks" / f"{name}.json"
    content = json.loads(path.read_text())
    content["Instances"][1]["input"] = "Something else altogether."
    path.write_text(json.dumps(content))
    second = stored("test")
    assert [a == b for a, b in zip(first, second, strict=True)] == [True, False] + [True] * 24
    assert stored("test", task="superni_en_input_only")[1] != first[1]


def test_the_seed_changes_what_is_drawn() -> None:
    first = {id_ for id_, *_ in stored()}
    gin.bind_parameter("SuperNI.seed", 1)
    assert {id_ for id_, *_ in stored()} != first


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = registry.examples

    def breaks(*args: Any) -> Iterator[dict[str, Any]]:
        yield next(real(*args))
        raise KeyboardInterrupt

    monkeypatch.setattr(registry, "examples", breaks)
    with pytest.raises(KeyboardInterrupt):
        stored("test")
    assert files(tmp_path) == []
    monkeypatch.setattr(registry, "examples", real)
    assert len(stored("test")) == 26


def test_a_cache_that_cannot_be_written_is_a_user_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "tokens").write_text("a file")
    with pytest.raises(UserError, match=r"letters_a-train-.*: cannot be written \("):
        stored(task="letters_a")


def test_an_empty_split_and_one_that_is_not_there_are_refused() -> None:
    gin.bind_parameter("SuperNI.max_instances_per_validation_task", 0)
    with pytest.raises(UserError, match="split 'validation' of default is empty"):
        stored("validation")
    with pytest.raises(UserError, match=f"split='tset' is not one of {TASK}'s: dev, "):
        stored("tset")


def test_a_source_that_cannot_say_whether_it_changed_is_refused() -> None:
    source = seqio.FunctionDataSource(lambda split, shuffle_files: None, ["train"])
    features = registry.OUTPUT_FEATURES
    task = seqio.Task("foreign", source=source, preprocessors=[], output_features=features)
    with pytest.raises(UserError, match="task 'foreign' has a FunctionDataSource, which cannot"):
        open_tokens(task, "train", LENGTHS)


# Batches


def unpacked(batch: pipeline.Batch) -> list[tuple[str, str]]:
    """The examples of a batch of letters as text, checked position by position."""
    examples = []
    for row in range(len(batch["encoder_input_tokens"])):
        texts: dict[str, dict[int, str]] = {}
        for feature, tokens_name, length in (
            ("encoder", "encoder_input_tokens", SHORT.inputs),
            ("decoder", "decoder_target_tokens", SHORT.targets),
        ):
            tokens = batch[tokens_name][row].tolist()
            segments = batch[f"{feature}_segment_ids"][row].tolist()
            assert len(tokens) == len(segments) == length
            real = [segment for segment in segments if segment]
            assert segments == real + [0] * (length - len(real))  # padding at the end only
            assert real == sorted(real)
            assert all(token == 0 for token in tokens[len(real) :])
            texts[feature] = {}
            for segment in sorted(set(real)):
                own = [t for t, s in zip(tokens, segments, strict=True) if s == segment]
                assert own[-1] == 1  # EOS: nothing is split
                assert 1 not in own[:-1]
                texts[feature][segment] = bytes(token - 3 for token in own[:-1]).decode()
        assert texts["encoder"].keys() == texts["decoder"].keys()
        examples += [(text, texts["decoder"][k]) for k, text in texts["encoder"].items()]
    return examples


def letter_examples(*names: str) -> Counter[tuple[Any, Any]]:
    return Counter((row["inputs"], row["targets"]) for name in names for row in LETTERS[name])


@pytest.mark.parametrize("batch_size", [1, 3, 4, 64])
def test_evaluation_packs_every_example_once(letters: None, batch_size: int) -> None:
    batches = list(pipeline.eval_batches("letters_a", "test", SHORT, batch_size))
    assert all(len(array) == batch_size for batch in batches for array in batch.values())
    assert all(array.dtype == np.int32 for batch in batches for array in batch.values())
    found = Counter(example for batch in batches for example in unpacked(batch))
    assert found == letter_examples("a")


def test_the_last_batch_is_filled_up_with_padding(letters: None) -> None:
    rows = sum(
        int(batch["encoder_segment_ids"].any(axis=1).sum())
        for batch in pipeline.eval_batches("letters_a", "test", SHORT, 1)
    )
    *whole, last = pipeline.eval_batches("letters_a", "test", SHORT, 4)
    assert all(batch["encoder_segment_ids"].any(axis=1).all() for batch in whole)
    num_left = rows - 4 * len(whole)
    assert 0 < num_left < 4  # else the numbers of this test must be others
    assert last["encoder_segment_ids"].any(axis=1).tolist() == [k < num_left for k in range(4)]
    assert all(not array[num_left:].any() for array in last.values())


def test_evaluation_of_a_mixture_has_all_its_tasks(letters: None) -> None:
    batches = pipeline.eval_batches("letters", "test", SHORT, 4)
    found = Counter(example for batch in batches for example in unpacked(batch))
    assert found == letter_examples("a", "b")


def test_packing_holds_several_examples_a_row(letters: None) -> None:
    examples = [Tokens("x", np.array([7, 1], np.int32), np.array([8, 1], np.int32))] * 6
    (row,) = pipeline.pack(examples, SHORT)
    assert row["decoder_target_tokens"].tolist() == [8, 1] * 6
    assert row["encoder_segment_ids"].tolist() == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6] + [0] * 8
    assert pipeline.padding_rate([row], "encoder") == 8 / 20
    assert pipeline.padding_rate([row, row], "decoder") == 0


def take(iterator: Iterator[pipeline.Batch], number: int) -> list[pipeline.Batch]:
    return [next(iterator) for _ in range(number)]


def assert_equal(left: Sequence[pipeline.Batch], right: Sequence[pipeline.Batch]) -> None:
    for a, b in zip(left, right, strict=True):
        assert a.keys() == b.keys()
        for name in a:
            np.testing.assert_array_equal(a[name], b[name])


def test_training_is_endless_deterministic_and_by_seed(letters: None) -> None:
    first = take(iter(pipeline.train_batches("letters", SHORT, 4, seed=3)), 8)
    assert_equal(first, take(iter(pipeline.train_batches("letters", SHORT, 4, seed=3)), 8))
    other = take(iter(pipeline.train_batches("letters", SHORT, 4, seed=4)), 8)
    assert any(
        (a["encoder_input_tokens"] != b["encoder_input_tokens"]).any()
        for a, b in zip(first, other, strict=True)
    )
    assert all(array.shape[0] == 4 for batch in first for array in batch.values())


def test_training_sees_every_example_about_as_often(letters: None) -> None:
    """Whole epochs, but for the examples that wait in the packer's bins."""
    batches = take(iter(pipeline.train_batches("letters_a", SHORT, 4, seed=0)), 40)
    found = Counter(example for batch in batches for example in unpacked(batch))
    assert found.keys() == letter_examples("a").keys()
    num_epochs = found.total() / 30
    assert num_epochs > 15
    num_waiting_epochs = pipeline.NUM_PACKING_BINS * SHORT.targets / 4 / 30
    assert max(found.values()) - min(found.values()) <= num_waiting_epochs + 1


def test_a_mixture_is_trained_on_at_its_rates(letters: None) -> None:
    batches = take(iter(pipeline.train_batches("letters", SHORT, 4, seed=0)), 40)
    found = Counter(inputs[0] for batch in batches for inputs, _ in unpacked(batch))
    assert found["a"] / found.total() == pytest.approx(0.75, abs=0.03)


@pytest.mark.parametrize(
    ("name", "num_before"), [("letters_a", 11), ("letters", 0), ("letters", 9)]
)
def test_the_state_resumes_exactly(letters: None, name: str, num_before: int) -> None:
    running = iter(pipeline.train_batches(name, SHORT, 4, seed=7))
    take(running, num_before)
    state = json.dumps(running.get_state())
    assert len(state) < 500
    expected = take(running, 6)
    resumed = iter(pipeline.train_batches(name, SHORT, 4, seed=7))
    take(resumed, 1)
    resumed.set_state(json.loads(state))
    assert_equal(take(resumed, 6), expected)


def test_superni_batches_hold_the_cached_tokens() -> None:
    found: Counter[tuple[int, ...]] = Counter()
    for batch in pipeline.eval_batches(TASK, "test", LENGTHS, 8):
        for tokens, segments in zip(
            batch["encoder_input_tokens"], batch["encoder_segment_ids"], strict=True
        ):
            found.update(tuple(tokens[segments == k].tolist()) for k in set(segments) - {0})
    assert found == Counter(tuple(inputs) for _, inputs, _ in stored("test"))


def test_tokens_are_counted_without_padding() -> None:
    rows = pipeline.pack([Tokens("a", np.array([5, 1]), np.array([7, 8, 1]))], FeatureLengths(9, 9))
    batch = {name: array[None] for name, array in rows[0].items()}
    assert pipeline.num_tokens(batch) == 2 + 3
