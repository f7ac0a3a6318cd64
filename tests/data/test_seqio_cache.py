"""A task that SeqIO has cached reads as the data it was made from, or is refused."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import gin
import numpy as np
import pytest
import seqio
import tensorflow as tf

import tk_instruct.tasks.flan.mixtures
import tk_instruct.tasks.self_instruct.mixtures
import tk_instruct.tasks.superni.mixtures  # noqa: F401  (these declare to SeqIO)
from tk_instruct import cli
from tk_instruct.data import cache, registry
from tk_instruct.data.seqio_bridge import cache as seqio_cache
from tk_instruct.data.seqio_bridge import declarations
from tk_instruct.data.tokens import FeatureLengths
from tk_instruct.errors import EmptySplitError, MissingDataError, UserError

LENGTHS = FeatureLengths(256, 16)
SUPERNI, RTE, FEW_SHOT = "superni_en_tk_instruct", "flan_rte", "flan_rte_fewshot"
COT = "flan_2022_cot_inverted_fewshot"
GENERATED, WRITTEN = "self_instruct", "self_instruct_user_oriented"
# One of each suite.
TASKS = (SUPERNI, FEW_SHOT, COT, GENERATED, WRITTEN)


@pytest.fixture(autouse=True)
def _no_other_caches() -> Iterator[None]:
    """SeqIO remembers directories, and tasks where they were found."""
    yield
    forget()


def forget() -> None:
    seqio.set_global_cache_dirs([])
    for name in seqio.TaskRegistry.names():
        seqio.TaskRegistry.get(name)._cache_dir = None
        seqio.TaskRegistry.get(name)._stats = {}


@pytest.fixture
def data(mini_dir: Path, flan_dir: str, tmp_path: Path) -> Path:
    """Little data for every suite."""
    gin.bind_parameter("vocabulary.name", "bytes")
    gin.bind_parameter("SuperNI.data_dir", str(mini_dir))
    for split in ("train", "eval", "validation"):
        gin.bind_parameter(f"SuperNI.max_instances_per_{split}_task", 1)
    gin.bind_parameter("tfds_data_dir.directory", flan_dir)
    texts = [{"inputs": f"question {k}", "targets": f"answer {k}"} for k in range(12)]
    gin.bind_parameter("FLAN2022.cot", write(tmp_path / "cot.jsonl", texts))
    generated = [
        {
            **{"id": f"machine-{k}", "task": f"machine-{k}", "instruction": f"Count to {k}."},
            **{"prompt": f"Count to {k}.\n\nOutput:", "completion": f" {k} é"},
        }
        for k in range(12)
    ]
    gin.bind_parameter("SelfInstructData.path", write(tmp_path / "train.jsonl", generated))
    written = [
        {
            **{"id": f"user_oriented_task_{k}", "motivation_app": "Gmail"},
            **{"instruction": "Write.", "instances": [{"input": "", "output": f"Dear {k},"}]},
        }
        for k in range(3)
    ]
    gin.bind_parameter("SelfInstructData.user_oriented", write(tmp_path / "252.jsonl", written))
    return tmp_path


def write(path: Path, rows: Sequence[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def write_cache(name: str, directory: Path, num_files: int = 2) -> Path:
    """What seqio_cache_tasks writes, without Beam: examples in another order, in several files."""
    declarations.declare_names([name])
    task = seqio.TaskRegistry.get(name)
    folder = directory / seqio.get_task_dir_from_name(name)
    folder.mkdir(parents=True)
    for split in task.splits:
        shard = seqio.ShardInfo(0, 1)
        dataset = task.source.get_dataset(split, shuffle=False, shard_info=shard)
        found = list(task.preprocess_precache(dataset, seed=7))[::-1]
        features = {
            key: {"dtype": value.dtype.name, "shape": [None] * value.shape.rank}
            for key, value in found[0].items()
        }
        for number in range(num_files):
            path = f"{folder / split}.tfrecord-0000{number}-of-0000{num_files}"
            with tf.io.TFRecordWriter(path) as writer:
                for example in found[number::num_files]:
                    writer.write(seqio.dict_to_tfexample(example).SerializeToString())
        info = {"num_shards": num_files, "features": features, "seqio_version": seqio.__version__}
        (folder / f"info.{split}.json").write_text(json.dumps(info))
        (folder / f"stats.{split}.json").write_text(json.dumps({"examples": len(found)}))
    (folder / "COMPLETED").write_text("")
    return folder


def use(directory: Path) -> None:
    gin.bind_parameter("use_cached_tasks.enabled", True)
    gin.bind_parameter("use_cached_tasks.directories", [str(directory)])


def examples(name: str, split: str) -> list[dict[str, Any]]:
    return [
        {
            key: value.tolist() if isinstance(value, np.ndarray) else value
            for key, value in e.items()
        }
        for e in registry.get(name).examples(split, LENGTHS)
    ]


def by_seqio(name: str, split: str, use_cached: bool) -> list[dict[str, Any]]:
    """As t5x reads: several hosts, shuffled."""
    declarations.declare_names([name])
    task = seqio.get_mixture_or_task(name)
    found = [
        {
            key: value.tolist() if isinstance(value, np.ndarray) else value
            for key, value in e.items()
        }
        for index in range(2)
        for e in task.get_dataset(
            LENGTHS.as_dict(),
            split,
            use_cached=use_cached,
            shuffle=True,
            seed=3,
            shard_info=seqio.ShardInfo(index, 2),
        ).as_numpy_iterator()
    ]
    return sorted(found, key=lambda example: example["id"])


def tokens(name: str, split: str) -> list[tuple[str, list[int], list[int]]]:
    file = cache.open_tokens(registry.get(name), split, LENGTHS)
    return [
        (t.id, t.inputs.tolist(), t.targets.tolist())
        for t in map(file.__getitem__, range(len(file)))
    ]


def check_same(directory: Path, names: Sequence[str]) -> None:
    """Cached tasks give what the data gives: to SeqIO, to our verbs, as tokens, in mixtures."""
    for name in names:
        split = seqio.TaskRegistry.get(name).splits[0]
        expected = examples(name, split), tokens(name, split)
        count = registry.get(name).num_input_examples(split)
        assert expected[0]
        seqio.add_global_cache_dirs([str(directory)])
        assert by_seqio(name, split, True) == by_seqio(name, split, False)
        use(directory)
        assert (examples(name, split), tokens(name, split)) == expected
        assert registry.get(name).num_input_examples(split) == count
        gin.bind_parameter("use_cached_tasks.enabled", False)


def test_a_cached_task_gives_what_its_data_gives(data: Path, tmp_path: Path) -> None:
    for name in TASKS:
        write_cache(name, tmp_path / "cached")
    check_same(tmp_path / "cached", TASKS)


def test_a_stream_is_cached(data: Path, tmp_path: Path) -> None:
    whole: Any = registry.get(GENERATED)
    source = replace(whole.source, load=lambda split: iter(whole.source.load(split)))
    registry.add(replace(whole, name="streamed", source=source, inputs_have_eos=False))
    write_cache("streamed", tmp_path / "cached")
    check_same(tmp_path / "cached", ["streamed"])
    assert not any(example["inputs"][-1] == 1 for example in examples("streamed", "train"))
    registry._added.pop("streamed")
    seqio.TaskRegistry.remove("streamed")


def test_every_task_can_be_cached(data: Path) -> None:
    part = registry.subset(SUPERNI, "task001_x")
    declarations.declare_names([part])
    names = [n for n in seqio.TaskRegistry.names() if n.startswith(("superni", "flan", "self"))]
    assert len(names) > 1000
    assert part in names
    assert all(seqio.TaskRegistry.get(name).supports_caching for name in names)


def test_prompts_follow_seed_and_lengths_of_the_run_that_reads(data: Path, tmp_path: Path) -> None:
    write_cache(FEW_SHOT, tmp_path / "cached")
    first = examples(FEW_SHOT, "test")
    gin.bind_parameter("FLAN.seed", 5)
    expected = examples(FEW_SHOT, "test")
    assert expected != first
    use(tmp_path / "cached")
    assert examples(FEW_SHOT, "test") == expected
    short = FeatureLengths(60, 4)
    cached = [e["inputs"].tolist() for e in registry.get(FEW_SHOT).examples("test", short)]
    gin.bind_parameter("use_cached_tasks.enabled", False)
    assert cached == [e["inputs"].tolist() for e in registry.get(FEW_SHOT).examples("test", short)]


def test_a_cache_serves_both_tokenizations(
    data: Path, mini_vocabulary: Path, tmp_path: Path
) -> None:
    gin.bind_parameter("vocabulary.name", str(mini_vocabulary))
    write_cache(SUPERNI, tmp_path / "cached")
    plain = tokens(SUPERNI, "test")
    gin.bind_parameter("SuperNI.tokenization", "released")
    expected = tokens(SUPERNI, "test")
    assert expected != plain
    use(tmp_path / "cached")
    assert tokens(SUPERNI, "test") == expected


def test_tokens_of_another_seed_are_others(data: Path, tmp_path: Path) -> None:
    write_cache(RTE, tmp_path / "cached")
    use(tmp_path / "cached")
    first = tokens(RTE, "train")
    gin.bind_parameter("FLAN.seed", 5)
    assert tokens(RTE, "train") != first


def test_tokens_of_a_cache_and_of_its_data_are_kept_apart(data: Path, tmp_path: Path) -> None:
    write_cache(RTE, tmp_path / "one")
    plain = registry.get(RTE).fingerprint("test")
    use(tmp_path / "one")
    one = registry.get(RTE).fingerprint("test")
    assert one != plain
    write_cache(RTE, tmp_path / "two", num_files=3)
    forget()
    use(tmp_path / "two")
    assert registry.get(RTE).fingerprint("test") not in (plain, one)


def refused(name: str, split: str) -> str:
    with pytest.raises(UserError) as caught:
        cache.open_tokens(registry.get(name), split, LENGTHS)
    return str(caught.value)


def test_what_is_not_cached_is_refused(data: Path, tmp_path: Path) -> None:
    use(tmp_path / "nowhere")
    message = refused(RTE, "train")
    assert message == (
        f"flan_rte is not cached (looked for in {tmp_path / 'nowhere'}); cache it with "
        "seqio_cache_tasks --tasks=flan_rte, give that --output_cache_dir as "
        "--seqio_additional_cache_dirs, or leave USE_CACHED_TASKS out"
    )
    with pytest.raises(UserError, match=r"66 of 66 tasks of flan_all have no data"):
        registry.check_mixture("flan_all")


def test_a_cache_of_other_options_is_refused(data: Path, tmp_path: Path) -> None:
    write_cache(SUPERNI, tmp_path / "cached")
    use(tmp_path / "cached")
    gin.bind_parameter("SuperNI.seed", 9)
    message = refused(SUPERNI, "train")
    assert message.startswith(f"{SUPERNI}/train was cached with seed=0, max_")
    assert " is set now is seed=9, max_" in message
    gin.bind_parameter("SuperNI.data_dir", None)  # known without the data, too
    assert " is set now is seed=9, max_" in refused(SUPERNI, "train")


def test_a_cache_of_other_data_is_refused(data: Path, tmp_path: Path) -> None:
    write_cache(GENERATED, tmp_path / "cached")
    use(tmp_path / "cached")
    assert tokens(GENERATED, "train")
    with (data / "train.jsonl").open("a") as file:
        file.write("\n")
    assert refused(GENERATED, "train") == (
        f"{GENERATED}/train was cached from data that has changed since; cache it again "
        "(seqio_cache_tasks --overwrite), or leave USE_CACHED_TASKS out"
    )
    seqio.add_global_cache_dirs([str(tmp_path / "cached")])
    with pytest.raises(tf.errors.OpError, match="was cached from data that has changed since"):
        by_seqio(GENERATED, "train", True)


def test_a_cache_is_read_where_its_data_is_absent(
    data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_cache(GENERATED, tmp_path / "cached")
    expected = tokens(GENERATED, "train")
    gin.bind_parameter("SelfInstructData.path", None)
    with pytest.raises(MissingDataError):
        tokens(GENERATED, "train")
    use(tmp_path / "cached")
    assert tokens(GENERATED, "train") == expected
    assert registry.rates_of("self_instruct") == [1.0]
    seqio_cache._warn_once.cache_clear()
    assert len(by_seqio(GENERATED, "train", True)) == len(expected)
    assert f"{GENERATED}/train is read as cached: its data is not here" in caplog.text


def test_a_cache_of_other_code_is_said(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write_cache(WRITTEN, tmp_path / "cached")
    use(tmp_path / "cached")
    expected = tokens(WRITTEN, "test")
    monkeypatch.setattr(seqio_cache, "code_hash", lambda functions: "later")
    seqio_cache._warn_once.cache_clear()
    assert tokens(WRITTEN, "test") == expected
    assert f"{WRITTEN}/test was cached by another version of this code" in caplog.text


def test_an_empty_split_does_not_keep_the_others_from_being_cached(
    data: Path, tmp_path: Path
) -> None:
    with pytest.raises(EmptySplitError) as caught:
        examples(SUPERNI, "dev")
    write_cache(SUPERNI, tmp_path / "cached")
    use(tmp_path / "cached")
    assert refused(SUPERNI, "dev") == str(caught.value)
    with pytest.raises(tf.errors.OpError, match=r"there is no splits/default/dev_tasks\.txt"):
        by_seqio(SUPERNI, "dev", True)
    gin.bind_parameter("use_cached_tasks.enabled", False)
    with pytest.raises(EmptySplitError):
        seqio.get_mixture_or_task(SUPERNI).get_dataset(LENGTHS.as_dict(), "dev")


def test_a_subset_is_cached_as_a_task_of_its_own(data: Path, tmp_path: Path) -> None:
    constituent = examples(SUPERNI, "train")[0]["task"]
    name = registry.subset(SUPERNI, constituent)
    folder = write_cache(name, tmp_path / "cached")
    assert folder.name == name
    check_same(tmp_path / "cached", [name])


def damage(folder: Path, how: str) -> None:
    path = folder / "test.tfrecord-00000-of-00002"
    if how == "missing file":
        path.unlink()
    elif how == "cut file":
        os.truncate(path, path.stat().st_size - 5)
    elif how == "flipped bit":
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    elif how == "emptied":
        path.write_bytes(b"")
    elif how == "all emptied":
        for each in folder.glob("test.tfrecord-*"):
            each.write_bytes(b"")
    elif how == "twice the same":
        path.write_bytes(path.read_bytes() * 2)
    elif how == "no stats":
        (folder / "stats.test.json").unlink()
    elif how == "stats of nothing":
        (folder / "stats.test.json").write_text("{}")
    elif how == "another field":
        with tf.io.TFRecordWriter(str(path)) as writer:
            writer.write(tf.train.Example().SerializeToString())
    else:
        with tf.io.TFRecordWriter(str(path)) as writer:
            writer.write(b"\xff no example")


@pytest.mark.parametrize(
    "how",
    [
        *("missing file", "cut file", "flipped bit", "emptied", "all emptied", "twice the same"),
        *("no stats", "stats of nothing", "another field", "no example"),
    ],
)
def test_a_damaged_cache_is_refused(data: Path, tmp_path: Path, how: str) -> None:
    folder = write_cache(WRITTEN, tmp_path / "cached")
    use(tmp_path / "cached")
    damage(folder, how)
    with pytest.raises(UserError) as caught:
        examples(WRITTEN, "test")
    assert str(folder) in str(caught.value)


def test_directories_are_a_list() -> None:
    gin.bind_parameter("use_cached_tasks.directories", "/a")
    with pytest.raises(UserError, match=r"SEQIO_CACHE_DIRS='/a' must be a list of paths"):
        registry.use_cached_tasks()


def test_the_flags_read_a_cached_task(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_cache(WRITTEN, tmp_path / "cached")
    gin.bind_parameter("SelfInstructData.user_oriented", None)
    show = ["tasks", "show", WRITTEN, "--split=test", "-n=1", "--vocabulary=bytes"]
    assert cli.main([*show, "--use_cached_tasks"]) != 0
    flags = ["--use_cached_tasks", f"--seqio_additional_cache_dirs=/none,{tmp_path / 'cached'}"]
    assert cli.main([*show, *flags]) == 0
    assert "Dear 0," in capsys.readouterr().out


@pytest.mark.parametrize(
    "more", [[FEW_SHOT, GENERATED], pytest.param([COT, WRITTEN], marks=pytest.mark.slow)]
)
def test_seqio_caches_a_task_of_each_suite(data: Path, tmp_path: Path, more: list[str]) -> None:
    """With its own command, on Beam's runner of one process."""
    pytest.importorskip("apache_beam", reason="the extra beam is not installed")
    from absl import flags
    from seqio.scripts import cache_tasks_main

    constituent = examples(SUPERNI, "train")[0]["task"]
    part = registry.subset("superni_en_def", constituent)
    declarations.declare_names([part])
    names = [part, *more]
    flags.FLAGS(
        [
            "seqio_cache_tasks",
            f"--tasks={','.join(names)}",
            f"--output_cache_dir={tmp_path / 'cached'}",
            "--module_import=tk_instruct.tasks.superni.mixtures",
            "--pipeline_options=--runner=BundleBasedDirectRunner",
            "--min_shards=1",
        ]
    )
    try:
        cache_tasks_main.main([])
    finally:
        flags.FLAGS.unparse_flags()
    forget()
    assert {path.name for path in (tmp_path / "cached").iterdir()} == set(names)
    check_same(tmp_path / "cached", names)


def test_the_macros_read_a_cached_task(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_cache(WRITTEN, tmp_path / "cached")
    gin.clear_config()
    show = ["tasks", "show", WRITTEN, "--split=test", "-n=1", "--vocabulary=bytes"]
    macros = ["USE_CACHED_TASKS=True", f"SEQIO_CACHE_DIRS=['{tmp_path / 'cached'}']"]
    assert cli.main([*show, *(f"--gin.{macro}" for macro in macros)]) == 0
    assert "Dear 0," in capsys.readouterr().out
