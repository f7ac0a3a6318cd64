"""Tokens on disk are the SeqIO task's and never stale; batches lose, split and repeat nothing."""

import gc
import json
import shutil
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import gin
import jax
import numpy as np
import optax
import pytest
import seqio
import tensorflow as tf
from array_record.python.array_record_module import ArrayRecordWriter

from tk_instruct.data import cache, packing, pipeline, registry
from tk_instruct.data.cache import open_tokens
from tk_instruct.data.packing import DecoderRows, EncoderDecoderRows
from tk_instruct.data.seqio_bridge import declarations
from tk_instruct.data.task import RawExample, Rendering, Source, Task
from tk_instruct.data.tokens import FeatureLengths, Tokens
from tk_instruct.data.vocabulary import train_sentencepiece
from tk_instruct.errors import EmptySplitError, UserError
from tk_instruct.losses import cross_entropy
from tk_instruct.model import build
from tk_instruct.model.config import DecoderConfig, T5Config
from tk_instruct.step import create_train_state, eval_step
from tk_instruct.tasks.superni import records

TASK = "superni_en_def_pos1"
LENGTHS = FeatureLengths(96, 16)

# Examples of known tokens, one letter a token: task `a` has 30, task `b` 10. Targets are the id.
LETTERS = {
    name: [
        {"id": f"{name}{k:02d}", "inputs": name * (1 + k % 7), "targets": f"{name}{k:02d}"}
        for k in range(count)
    ]
    for name, count in (("a", 30), ("b", 10))
}
AS_IT_IS = Rendering(lambda *_: lambda *texts: texts, reads=["inputs", "targets"])
SHORT = FeatureLengths(20, 12)
SIZES: dict[str, Any] = {
    "vocab_size": 32,
    "d_model": 16,
    "num_heads": 2,
    "head_dim": 8,
    "d_ff": 32,
    "dtype": "float32",
}


@pytest.fixture(scope="module", autouse=True)
def _letters() -> Iterator[None]:
    def source(rows: Sequence[RawExample]) -> Source:
        fields = dict.fromkeys(("id", "inputs", "targets"), False)
        return Source(["train", "test"], fields, lambda _: rows, lambda _: "same")

    for name, rows in LETTERS.items():
        registry.add(Task(f"letters_{name}", source(rows), AS_IT_IS, dict, []))
    registry.add(registry.proportional("letters", ["letters_a", "letters_b"]))
    yield
    for name in registry.names("letters*"):
        registry._added.pop(name)


@pytest.fixture(autouse=True)
def _few(
    mini_dir: Path, mini_vocabulary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cache of its own, and the mini benchmark with few instances."""
    monkeypatch.setenv("TK_INSTRUCT_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("TK_INSTRUCT_SUPERNI_DIR", str(mini_dir))
    monkeypatch.setenv("TK_INSTRUCT_VOCABULARY", str(mini_vocabulary))
    gin.bind_parameter("SuperNI.max_instances_per_train_task", 2)
    gin.bind_parameter("SuperNI.max_instances_per_eval_task", 2)


@pytest.fixture
def letters(monkeypatch: pytest.MonkeyPatch) -> None:
    """The vocabulary in which a letter is a token: its code and 3."""
    monkeypatch.setenv("TK_INSTRUCT_VOCABULARY", "bytes")


def stored(split: str = "train", lengths: FeatureLengths = LENGTHS, task: str = TASK) -> list:
    file = open_tokens(registry.get(task), split, lengths)
    found = [file[k] for k in range(len(file))]
    assert file.lengths.tolist() == [list(tokens.lengths) for tokens in found]
    with pytest.raises(IndexError, match=f"example {len(file)} of {len(file)}"):
        file[len(file)]
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
    declarations.declare_names([TASK])
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

    monkeypatch.setattr(Task, "examples", never)
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
    monkeypatch.setattr(cache, "code_hash", lambda functions: "of other code")
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
    real = Task.examples

    def breaks(*args: Any) -> Iterator[Any]:
        yield next(real(*args))
        raise KeyboardInterrupt

    monkeypatch.setattr(Task, "examples", breaks)
    with pytest.raises(KeyboardInterrupt):
        stored("test")
    assert files(tmp_path) == []
    monkeypatch.setattr(Task, "examples", real)
    assert len(stored("test")) == 26


def test_a_cache_that_cannot_be_written_is_a_user_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "tokens").write_text("a file")
    with pytest.raises(UserError, match=r"letters_a-train-.*: cannot be written \("):
        stored(task="letters_a")


DAMAGES = {
    "empty": lambda content: b"",
    "half": lambda content: content[: len(content) // 2],
    "without its last byte": lambda content: content[:-1],
    "garbage": lambda content: b"\x00\xff" * 50_000,
    "another kind": lambda content: b"\x00" * len(content),
    "lengthened": lambda content: content + b"more",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_written_again(
    letters: None, tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    written = stored(task="letters_a")
    (path,) = (tmp_path / "cache" / "tokens").iterdir()
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    assert stored(task="letters_a") == written
    (message,) = caplog.messages
    assert message.startswith(f"{path} is damaged (")
    assert message.endswith("): its tokens are made again")
    caplog.clear()
    assert stored(task="letters_a") == written
    assert not caplog.messages


def test_no_flipped_bit_is_read(letters: None, tmp_path: Path) -> None:
    written = stored(task="letters_a")
    (path,) = (tmp_path / "cache" / "tokens").iterdir()
    content = path.read_bytes()
    # What is not padding: the examples, their lengths, the index and what is at the very end.
    places = [k for k in range(0, len(content), 41) if any(content[k : k + 8])]
    damaged = 0
    for k in places[:: max(1, len(places) // 40)]:
        flipped = bytearray(content)
        flipped[k] ^= 4
        path.write_bytes(flipped)
        assert stored(task="letters_a") == written
        damaged += path.read_bytes() != bytes(flipped)
    assert damaged > 20


def test_a_record_that_is_damaged_while_training_is_made_again(
    letters: None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    expected = take(pipeline.train_batches("letters_a", SHORT, 1, seed=0), 8)
    (path,) = (tmp_path / "cache" / "tokens").iterdir()
    content = path.read_bytes()
    # In the examples' bytes, which opening does not read: ids are there as text.
    places = [content.index(row["id"].encode()) for row in LETTERS["a"]]
    flipped = bytearray(content)
    for place in places:
        flipped[place] ^= 1
    path.unlink()  # the first reader, which reads ahead, keeps its own
    path.write_bytes(flipped)
    again = take(pipeline.train_batches("letters_a", SHORT, 1, seed=0), 8)
    assert ids_of(again) == ids_of(expected)
    assert len(caplog.messages) == 1
    assert path.read_bytes() == content


def test_a_file_of_something_else_is_written_again(letters: None, tmp_path: Path) -> None:
    written = stored(task="letters_a")
    (path,) = (tmp_path / "cache" / "tokens").iterdir()
    for stored_instead in ([b"x"], [b"\xc1"] * 30 + [bytes(8 * 30)]):
        writer = ArrayRecordWriter(str(path), "group_size:1")
        for record in stored_instead:
            writer.write(record)
        writer.close()
        assert stored(task="letters_a") == written


def test_what_a_killed_write_leaves_is_cleared_and_what_a_living_one_writes_stays(
    letters: None, tmp_path: Path
) -> None:
    code = (
        "import fcntl, os, sys, time\n"
        "file = open(sys.argv[1], 'xb')\n"
        "fcntl.flock(file, fcntl.LOCK_EX)\n"
        "print('locked', flush=True)\n"
        "time.sleep(60)\n"
    )
    folder = tmp_path / "cache" / "tokens"
    folder.mkdir(parents=True)
    living = folder / ".t-train-0.array_record.00000000"
    (folder / ".t-train-0.array_record.11111111").write_bytes(b"half")
    with subprocess.Popen([sys.executable, "-c", code, living], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        stored(task="letters_a")
        assert len(files(tmp_path)) == 2
        assert living.exists()
        other.kill()
    stored("test", task="letters_a")
    assert not living.exists()
    assert len(files(tmp_path)) == 2


def test_data_that_changes_while_it_is_written_is_not_kept(letters: None, tmp_path: Path) -> None:
    versions = iter("abc")
    source = Source(
        ["train"],
        {"id": False, "inputs": False, "targets": False},
        lambda _: LETTERS["a"],
        lambda _: next(versions),
    )
    with pytest.raises(UserError, match="data of restless changed while it was read; run"):
        open_tokens(Task("restless", source, AS_IT_IS, dict, []), "train", SHORT)
    assert files(tmp_path) == []


def test_a_test_task_that_is_trained_on_is_said_by_what_is_cached_too(
    mini_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    tree = shutil.copytree(mini_dir, tmp_path / "tree")
    lists = tree / "splits" / "default"
    (first, *_) = (lists / "train_tasks.txt").read_text().split()
    with (lists / "test_tasks.txt").open("a") as test_tasks:
        test_tasks.write(f"{first}\n")
    monkeypatch.setenv("TK_INSTRUCT_SUPERNI_DIR", str(tree))
    for _ in range(2):  # the second time nothing is written
        records._warn_once.cache_clear()
        caplog.clear()
        stored("train")
        assert any(f"test tasks are train tasks too: {first};" in m for m in caplog.messages)


def test_an_empty_split_and_one_that_is_not_there_are_refused() -> None:
    gin.bind_parameter("SuperNI.max_instances_per_validation_task", 0)
    with pytest.raises(UserError, match="split 'validation' of default is empty"):
        stored("validation")
    with pytest.raises(UserError, match=f"split='tset' is not one of {TASK}'s: dev, "):
        stored("tset")


# Packing

PART_NAMES = {
    EncoderDecoderRows: (
        ("encoder_input_tokens", "encoder_segment_ids", SHORT.inputs),
        ("decoder_target_tokens", "decoder_segment_ids", SHORT.targets),
    ),
    DecoderRows: (("decoder_target_tokens", "decoder_segment_ids", SHORT.inputs + SHORT.targets),),
}
both_layouts = pytest.mark.parametrize("layout", [EncoderDecoderRows, DecoderRows])


def best_fit_decreasing_by_loops(sizes: np.ndarray, limits: Sequence[int]) -> list[list[int]]:
    def share(item: int) -> float:
        return max(size / limit for size, limit in zip(sizes[item], limits, strict=True))

    def room(items: list[int]) -> list[int]:
        return [limit - sum(sizes[i][k] for i in items) for k, limit in enumerate(limits)]

    bins: list[list[int]] = []
    for item in sorted(range(len(sizes)), key=share, reverse=True):
        rooms = [np.array(room(items)) - sizes[item] for items in bins]
        fitting = [k for k, left in enumerate(rooms) if min(left) >= 0]
        if fitting:
            bins[min(fitting, key=lambda k: sum(rooms[k]))].append(item)
        else:
            bins.append([item])
    return sorted(sorted(items) for items in bins)


@pytest.mark.parametrize("limits", [(100, 30), (100,)])
def test_best_fit_decreasing(limits: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    sizes = np.stack([rng.integers(1, limit, 200, endpoint=True) for limit in limits], axis=1)
    bins = packing.best_fit_decreasing(sizes, limits)
    assert bins == best_fit_decreasing_by_loops(sizes, limits)
    assert sorted(item for items in bins for item in items) == list(range(200))
    assert all((sizes[items].sum(axis=0) <= limits).all() for items in bins)


def test_an_example_above_a_limit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"sizes up to \[3, 5\] do not fit into \[9, 4\]"):
        packing.best_fit_decreasing(np.array([[3, 2], [1, 5]]), (9, 4))


def tokens_of(*lengths: tuple[int, int]) -> list[Tokens]:
    """Examples of random tokens, EOS at the end."""
    rng = np.random.default_rng(0)

    def draw(length: int) -> np.ndarray:
        return np.append(rng.integers(2, 30, length - 1), 1).astype(np.int32)

    return [Tokens(f"id{k}", draw(i), draw(t)) for k, (i, t) in enumerate(lengths)]


@pytest.mark.parametrize(
    ("layout", "converter"),
    [
        (EncoderDecoderRows, seqio.EncDecFeatureConverter),
        (DecoderRows, seqio.PrefixLMFeatureConverter),
    ],
)
@pytest.mark.parametrize("lengths", [[(3, 2), (1, 1), (7, 1), (2, 5)], [(20, 12)]])
def test_a_row_is_what_seqio_makes_of_the_same_examples(
    layout: packing.MakeLayout, converter: Any, lengths: list[tuple[int, int]]
) -> None:
    examples = tokens_of(*lengths)
    spec = tf.TensorSpec([None], tf.int32)
    dataset = tf.data.Dataset.from_generator(
        lambda: ({"inputs": e.inputs, "targets": e.targets} for e in examples),
        output_signature={"inputs": spec, "targets": spec},
    )
    (expected,) = converter(pack=True)(dataset, SHORT.as_dict()).as_numpy_iterator()
    found = pipeline.pack(examples, SHORT, layout)
    assert found.ids == [tuple(e.id for e in examples)]
    # Positions and shifted tokens are what the model makes of the others.
    made_by_the_model = {"encoder_positions", "decoder_positions", "decoder_input_tokens"}
    assert found.arrays.keys() == expected.keys() - made_by_the_model
    for name, array in found.arrays.items():
        assert array.dtype == (np.float32 if name == "decoder_loss_weights" else np.int32)
        assert array.tolist() == [expected[name].tolist()], name


def test_rows_and_their_examples_keep_the_order_of_the_examples() -> None:
    examples = tokens_of((5, 2), (20, 3), (9, 2), (6, 2), (11, 2))
    found = pipeline.pack(examples, SHORT)
    assert found.ids == [("id0", "id3"), ("id1",), ("id2", "id4")]
    assert found.num_tokens == sum(len(e.inputs) + len(e.targets) for e in examples)
    assert pipeline.padding_rate(found, "encoder") == (9 + 0 + 0) / 60
    assert pipeline.padding_rate(found, "decoder") == (8 + 9 + 8) / 36


@pytest.mark.parametrize(
    ("layout", "config"),
    [
        (EncoderDecoderRows, T5Config(num_encoder_layers=1, num_decoder_layers=1, **SIZES)),
        (DecoderRows, DecoderConfig(num_layers=1, **SIZES)),
        (DecoderRows, DecoderConfig(num_layers=1, bidirectional_inputs=False, **SIZES)),
    ],
)
def test_packed_loss_is_unpacked_loss(layout: packing.MakeLayout, config: Any) -> None:
    rng = np.random.default_rng(1)
    examples = tokens_of(*zip(rng.integers(1, 13, 24), rng.integers(1, 7, 24), strict=True))
    model = build(config)
    start = jax.jit(partial(create_train_state, model, optax.sgd(0.0)))
    params = start(jax.random.key(0)).params
    evaluate = jax.jit(partial(eval_step, model=model, loss=partial(cross_entropy, z_loss=1e-4)))
    rows = packing.rows_of(examples, layout(SHORT))
    assert len(rows) < len(examples) / 2
    filled_up = rows + [[]] * (len(examples) - len(rows))
    found, expected = (
        evaluate(params, layout(SHORT).arrays(some, layout(SHORT).limits))
        for some in (filled_up, [[example] for example in examples])
    )
    assert found["loss"].weight == sum(len(example.targets) for example in examples)
    for name in ("loss", "accuracy"):
        np.testing.assert_allclose(found[name].value(), expected[name].value(), rtol=2e-6)


# Batches


@pytest.fixture
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches that begin and end in the middle of windows."""
    monkeypatch.setattr(pipeline, "WINDOW", 16)


def unpacked(batch: pipeline.Batch, layout: Any = EncoderDecoderRows) -> list[tuple[str, str]]:
    """The examples of a batch of letters as text, checked position by position."""
    examples = []
    for row, ids in enumerate(batch.ids):
        texts: dict[int, list[str]] = {segment: [] for segment in range(1, len(ids) + 1)}
        for tokens_name, ids_name, length in PART_NAMES[layout]:
            tokens = batch.arrays[tokens_name][row].tolist()
            segments = batch.arrays[ids_name][row].tolist()
            assert len(tokens) == len(segments) == length
            real = [segment for segment in segments if segment]
            assert segments == real + [0] * (length - len(real))  # padding at the end only
            assert real == sorted(real)
            assert set(real) == texts.keys()
            assert all(token == 0 for token in tokens[len(real) :])
            for segment, parts in texts.items():
                own = [t for t, s in zip(tokens, segments, strict=True) if s == segment]
                assert own[-1] == 1  # EOS: nothing is split
                parts += "".join("|" if t == 1 else chr(t - 3) for t in own[:-1]).split("|")
        for id_, (inputs, targets) in zip(ids, texts.values(), strict=True):
            assert id_ == targets
            examples.append((inputs, targets))
    return examples


def letter_examples(*names: str) -> Counter[tuple[Any, Any]]:
    return Counter((row["inputs"], row["targets"]) for name in names for row in LETTERS[name])


@both_layouts
@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_evaluation_packs_every_example_once(
    letters: None, small_windows: None, batch_size: int, layout: Any
) -> None:
    batches = list(pipeline.eval_batches("letters_a", "test", SHORT, batch_size, layout))
    assert all(len(array) == batch_size for batch in batches for array in batch.arrays.values())
    assert all(len(batch.ids) == batch_size for batch in batches)
    found = Counter(example for batch in batches for example in unpacked(batch, layout))
    assert found == letter_examples("a")


def test_the_last_batch_is_filled_up_with_padding(letters: None) -> None:
    num_rows = len(list(pipeline.eval_batches("letters_a", "test", SHORT, 1)))
    *whole, last = pipeline.eval_batches("letters_a", "test", SHORT, 4)
    assert all(all(batch.ids) for batch in whole)
    num_left = num_rows - 4 * len(whole)
    assert 0 < num_left < 4  # else the numbers of this test must be others
    assert [bool(ids) for ids in last.ids] == [k < num_left for k in range(4)]
    assert all(array[:num_left].any(axis=1).all() for array in last.arrays.values())
    assert all(not array[num_left:].any() for array in last.arrays.values())


def test_evaluation_goes_through_all_tasks_in_order(letters: None, small_windows: None) -> None:
    batches = list(pipeline.eval_batches("letters", "test", SHORT, 4))
    found = Counter(example for batch in batches for example in unpacked(batch))
    assert found == letter_examples("a", "b")
    in_order = [row["id"] for name in LETTERS for row in LETTERS[name]]
    rows = [ids for batch in batches for ids in batch.ids if ids]
    windows = [in_order[k : k + 16] for k in range(0, 40, 16)]
    assert [row[0] for row in rows] == [
        id_ for window in windows for id_ in window if any(row[0] == id_ for row in rows)
    ]
    read = ids_of(batches)
    assert [sorted(read[k : k + 16]) for k in range(0, 40, 16)] == windows


def ids_of(batches: Sequence[pipeline.Batch]) -> list[str]:
    return [id_ for batch in batches for ids in batch.ids for id_ in ids]


def take(iterator: Iterator[pipeline.Batch], number: int) -> list[pipeline.Batch]:
    return [next(iterator) for _ in range(number)]


def assert_equal(left: Sequence[pipeline.Batch], right: Sequence[pipeline.Batch]) -> None:
    for a, b in zip(left, right, strict=True):
        assert a.ids == b.ids
        assert a.arrays.keys() == b.arrays.keys()
        for name in a.arrays:
            np.testing.assert_array_equal(a.arrays[name], b.arrays[name])


@both_layouts
def test_training_is_endless_deterministic_and_by_seed(
    letters: None, small_windows: None, layout: Any
) -> None:
    first = take(pipeline.train_batches("letters", SHORT, 4, 3, layout), 8)
    assert_equal(first, take(pipeline.train_batches("letters", SHORT, 4, 3, layout), 8))
    other = take(pipeline.train_batches("letters", SHORT, 4, 4, layout), 8)
    assert [batch.ids for batch in other] != [batch.ids for batch in first]
    assert all(array.shape[0] == 4 for batch in first for array in batch.arrays.values())
    for batch in first:
        unpacked(batch, layout)


def stream_of(task: str, rate: float = 1.0) -> pipeline.Stream:
    return pipeline.Stream(task, open_tokens(registry.get(task), "train", SHORT), rate, seed=0)


def test_every_epoch_has_every_example_in_an_order_of_its_own(
    letters: None, small_windows: None
) -> None:
    stream = stream_of("letters_a")
    read = [example.read().id for window in range(6) for example in stream.window(window)]
    assert len(read) == 96
    epochs = [tuple(read[k : k + 30]) for k in (0, 30, 60)]
    assert all(sorted(epoch) == [row["id"] for row in LETTERS["a"]] for epoch in epochs)
    assert len(set(epochs)) == 3


def test_training_goes_through_one_window_after_another(letters: None, small_windows: None) -> None:
    batches = pipeline.train_batches("letters_a", SHORT, 1, seed=0)
    read: dict[int, list[tuple[str, ...]]] = {}
    while (last := next(batches)) and (window := batches.get_state()["window"]) < 3:
        read.setdefault(window, []).extend(last.ids)
    stream = stream_of("letters_a")
    for window, rows in read.items():
        assert sorted(id_ for row in rows for id_ in row) == sorted(
            example.read().id for example in stream.window(window)
        )
    # Rows are shuffled: as they are packed, the first example of a window is in its first row.
    assert any(stream.window(window)[0].read().id not in rows[0] for window, rows in read.items())


def test_a_task_without_examples_is_refused(letters: None) -> None:
    given: Any = registry.get("letters_a")
    empty = replace(given.source, load=lambda _: iter(()), content=lambda _: "none")
    registry.add(replace(given, name="letters_none", source=empty))
    registry.add(registry.Mixture("letters_and_none", {"letters_a": 1, "letters_none": 1}))
    for name in ("letters_none", "letters_and_none"):
        with pytest.raises(EmptySplitError, match="letters_none has no train examples, and what"):
            pipeline.train_batches(name, SHORT, 4, seed=0)


def test_a_mixture_is_trained_on_at_its_rates(letters: None, small_windows: None) -> None:
    batches = pipeline.train_batches("letters", SHORT, 1, seed=0)
    found: Counter[str] = Counter()
    while batches.get_state()["window"] < 20:
        found.update(id_[0] for id_ in ids_of([next(batches)]))
    # 20 windows, and the one row of the next that was read.
    assert found["a"] == pytest.approx(0.75 * 16 * 20, abs=1 + 5)
    assert found["b"] == pytest.approx(0.25 * 16 * 20, abs=1 + 5)


def test_rare_tasks_of_a_mixture_are_spread_over_windows(
    letters: None, small_windows: None
) -> None:
    """Were all counted from zero, hundreds of tasks would come in the same few windows."""
    source = open_tokens(registry.get("letters_a"), "train", SHORT)
    streams = [pipeline.Stream(f"task {k}", source, 1 / 320, seed=0) for k in range(320)]
    sizes = [sum(len(stream.window(window)) for stream in streams) for window in range(40)]
    assert sum(sizes[:20]) == sum(sizes[20:]) == 320
    assert 4 <= min(sizes) < max(sizes) <= 32


@both_layouts
@pytest.mark.parametrize(
    ("name", "num_before"), [("letters_a", 11), ("letters", 0), ("letters", 9)]
)
def test_the_state_resumes_exactly(
    letters: None, small_windows: None, name: str, num_before: int, layout: Any
) -> None:
    running = pipeline.train_batches(name, SHORT, 4, 7, layout)
    take(running, num_before)
    state = json.dumps(running.get_state())
    assert len(state) < 50
    expected = take(running, 6)
    resumed = pipeline.train_batches(name, SHORT, 4, 7, layout)
    take(resumed, 1)
    resumed.set_state(json.loads(state))
    assert resumed.get_state() == json.loads(state)
    assert_equal(take(resumed, 6), expected)
    running.set_state(json.loads(state))
    assert_equal(take(running, 6), expected)


def test_any_cursor_can_be_started_from(letters: None, small_windows: None) -> None:
    """Resuming reads the window of the cursor, however far it is, and another batch size fits."""
    batches = pipeline.train_batches("letters", SHORT, 3, seed=7)
    states, rows = [], []
    for _ in range(12):
        states.append(batches.get_state())
        rows += next(batches).ids
    assert len({state["window"] for state in states}) > 2
    for number, state in enumerate(states[:10]):
        other = pipeline.train_batches("letters", SHORT, 5, seed=7)
        other.set_state(state)
        assert next(other).ids == rows[3 * number : 3 * number + 5]


def reading_threads() -> set[threading.Thread]:
    return {t for t in threading.enumerate() if t.name.startswith("train_batches")}


def wait_for_threads_of_earlier_tests() -> None:
    gc.collect()
    for thread in reading_threads():
        thread.join(timeout=10)


def test_resuming_reads_nothing_of_what_was_done(
    letters: None, small_windows: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait_for_threads_of_earlier_tests()
    read = []
    window = pipeline.Stream.window

    def recorded(stream: pipeline.Stream, number: int) -> list[cache.Unread]:
        read.append(number)
        return window(stream, number)

    monkeypatch.setattr(pipeline.Stream, "window", recorded)
    batches = pipeline.train_batches("letters_a", SHORT, 3, seed=7)
    batches.set_state({"window": 10**9, "row": 2})
    next(batches)
    assert 10**9 in read
    assert min(read) == 10**9


def test_an_error_of_the_thread_is_raised_and_nothing_is_lost(
    letters: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = pipeline.train_batches("letters_a", SHORT, 4, seed=0)
    state = batches.get_state()
    with monkeypatch.context() as patched:

        def fails(*_: Any) -> Any:
            raise OSError("the disk is gone")

        patched.setattr(pipeline.Stream, "window", fails)
        for _ in range(2):
            with pytest.raises(OSError, match="the disk is gone"):
                next(batches)
    batches.set_state(state)
    assert_equal(take(batches, 2), take(pipeline.train_batches("letters_a", SHORT, 4, seed=0), 2))


def test_the_thread_ends_with_its_batches(letters: None) -> None:
    before = reading_threads()
    batches = pipeline.train_batches("letters_a", SHORT, 4, seed=0)
    take(batches, 2)
    (thread,) = reading_threads() - before
    del batches
    gc.collect()
    thread.join(timeout=10)
    assert not thread.is_alive()


def test_superni_batches_hold_the_cached_tokens() -> None:
    found: Counter[tuple[int, ...]] = Counter()
    for batch in pipeline.eval_batches(TASK, "test", LENGTHS, 8):
        for tokens, segments in zip(
            batch.arrays["encoder_input_tokens"], batch.arrays["encoder_segment_ids"], strict=True
        ):
            found.update(tuple(tokens[segments == k].tolist()) for k in set(segments) - {0})
    assert found == Counter(tuple(inputs) for _, inputs, _ in stored("test"))


def test_real_rows_are_full(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At Tk-Instruct's lengths and encoding, under T5's vocabulary."""
    model = shared_data / "t5-vocabulary" / "sentencepiece.model"
    monkeypatch.setenv("TK_INSTRUCT_SUPERNI_DIR", str(shared_data / "natural-instructions"))
    monkeypatch.setenv("TK_INSTRUCT_VOCABULARY", str(model))
    gin.bind_parameter("SuperNI.max_instances_per_train_task", 100)
    for layout, part in ((EncoderDecoderRows, "encoder"), (DecoderRows, "decoder")):
        batches = pipeline.train_batches(
            "superni_en_def_pos2", FeatureLengths(1024, 128), 64, 0, layout
        )
        rates = [pipeline.padding_rate(batch, part) for batch in take(batches, 16)]
        assert np.mean(rates) < 0.02


def test_a_batch_in_tokens_counts_the_longest_part_of_its_rows() -> None:
    """As in Tk-Instruct's paper: 1,048,576 tokens a batch of 1,024 rows of 1024 and 128."""
    lengths = FeatureLengths(1024, 128)
    assert packing.rows_for_tokens(1 << 20, lengths) == 1024
    assert packing.rows_for_tokens(2047, lengths) == 1
    assert packing.rows_for_tokens(1152 * 7, lengths, DecoderRows) == 7
    assert packing.rows_for_tokens(100, FeatureLengths(10, 20)) == 5
    with pytest.raises(UserError, match="batch_tokens=1151 is less than one row of 1152 tokens"):
        packing.rows_for_tokens(1151, lengths, DecoderRows)


def test_rows_are_as_wide_as_the_longest_needs() -> None:
    rows = [tokens_of((20, 1), (13, 2)), tokens_of((5, 32))]
    limits = FeatureLengths(70, 100)
    apart, joined = EncoderDecoderRows(limits), DecoderRows(limits)
    assert packing.row_sizes(rows, apart).tolist() == [[33, 3], [5, 32]]
    assert packing.row_sizes(rows, joined).tolist() == [[36], [37]]
    assert packing.widths(packing.row_sizes(rows, apart), apart) == (64, 32)
    assert packing.widths(packing.row_sizes(rows, joined), joined) == (64,)
    assert packing.widths(np.array([[70, 65]]), apart) == (70, 96)
    assert packing.widths(np.array([[0]]), joined) == (32,)


# Several processes


def rows_of_processes(batch_size: int, num_processes: int) -> list[range]:
    """Every num_processes-th row: not next to each other, and not as many for each."""
    return [range(k, batch_size, num_processes) for k in range(num_processes)]


def put_together(batches: Sequence[pipeline.Batch], rows: Sequence[range]) -> pipeline.Batch:
    """The processes' rows of one batch, each in its place."""
    assert len({batch.num_tokens for batch in batches}) == 1
    order = np.argsort(np.concatenate(rows))
    arrays = {
        name: np.concatenate([batch.arrays[name] for batch in batches])[order]
        for name in batches[0].arrays
    }
    ids = [ids for batch in batches for ids in batch.ids]
    return pipeline.Batch(arrays, [ids[k] for k in order], batches[0].num_tokens)


@both_layouts
@pytest.mark.parametrize("num_processes", [2, 3, 4])
def test_processes_read_the_batch_of_one_process(
    letters: None, small_windows: None, num_processes: int, layout: Any
) -> None:
    rows = rows_of_processes(8, num_processes)
    one = pipeline.train_batches("letters", SHORT, 8, 3, layout)
    others = [pipeline.train_batches("letters", SHORT, 8, 3, layout, held) for held in rows]
    assert_equal(take(one, 6), [put_together([next(b) for b in others], rows) for _ in range(6)])
    assert [other.get_state() for other in others] == [one.get_state()] * num_processes

    whole = list(pipeline.eval_batches("letters", "test", SHORT, 8, layout))
    parts = [list(pipeline.eval_batches("letters", "test", SHORT, 8, layout, r)) for r in rows]
    together = [put_together(batches, rows) for batches in zip(*parts, strict=True)]
    assert_equal(whole, together)
    found = Counter(example for batch in together for example in unpacked(batch, layout))
    assert found == letter_examples("a", "b")


def test_a_run_goes_on_with_another_number_of_processes(letters: None, small_windows: None) -> None:
    expected = take(pipeline.train_batches("letters", SHORT, 6, seed=3), 9)
    state, found = {"window": 0, "row": 0}, []
    for num_processes in (4, 1, 3):
        rows = rows_of_processes(6, num_processes)
        started = [pipeline.train_batches("letters", SHORT, 6, 3, local_rows=r) for r in rows]
        for batches in started:
            batches.set_state(state)
        found += [put_together([next(b) for b in started], rows) for _ in range(3)]
        state = started[-1].get_state()
    assert_equal(found, expected)


def test_a_process_reads_no_rows_but_its_own(
    letters: None, small_windows: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait_for_threads_of_earlier_tests()
    read: list[int] = []
    real = cache.TokenFile.__getitem__

    def recorded(file: cache.TokenFile, index: int) -> Tokens:
        read.append(index)
        return real(file, index)

    monkeypatch.setattr(cache.TokenFile, "__getitem__", recorded)
    batches = pipeline.eval_batches("letters", "test", SHORT, 4, local_rows=[1, 2])
    ids = ids_of(list(batches))
    assert 0 < len(read) == len(ids) < 40
