"""The synthetic FLAN: everything that the table names is there, readable, and makes sense."""

from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from tk_instruct.errors import UserError
from tk_instruct.synthetic import ROWS, WORDS
from tk_instruct.tasks.flan import mini
from tk_instruct.tasks.flan.datasets import DATASETS, Dataset, Part

BY_NAME = {dataset.name: dataset for dataset in DATASETS}
ALL = pytest.mark.parametrize("dataset", DATASETS, ids=list(BY_NAME))


@pytest.fixture(scope="module")
def directory() -> Path:
    return Path(mini.mini_flan())


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, np.ndarray | list):
        return [_plain(inner) for inner in value]
    if isinstance(value, bytes):
        return value.decode()
    return value.item() if isinstance(value, np.generic) else value


@cache
def _split(directory: Path, tfds_name: str, split: str) -> list[dict[str, Any]]:
    builder = tfds.builder_from_directory(directory / tfds_name.replace(":", "/"))
    paths = [str(path) for path in builder.info.splits[split].filepaths]
    records = tf.data.TFRecordDataset(paths).as_numpy_iterator()
    return [_plain(builder.info.features.deserialize_example_np(record)) for record in records]


def _fields(directory: Path, dataset: Dataset, part: Part) -> list[Any]:
    """Of every example, None where it is dropped."""
    examples = _split(directory, dataset.tfds, part.split)
    return [dataset.preprocess(example) for example in examples[slice(*part.bounds(len(examples)))]]


def _all_fields(directory: Path, name: str) -> list[Any]:
    dataset = BY_NAME[name]
    return [each for part in dataset.splits.values() for each in _fields(directory, dataset, part)]


@ALL
def test_builders_and_splits_are_there(directory: Path, dataset: Dataset) -> None:
    name, version = dataset.tfds.split(":")
    builder = tfds.builder_from_directory(directory / name / version)
    real = tfds.builder(dataset.tfds)
    assert (builder.name, str(builder.version)) == (real.name, version)
    assert repr(builder.info.features) == repr(real.info.features)
    assert (builder.builder_config.name if builder.builder_config else "") == (
        name.partition("/")[2]
    )
    sizes = {split: info.num_examples for split, info in builder.info.splits.items()}
    assert sizes.keys() >= {part.split for part in dataset.splits.values()}
    taken = {}
    for role, part in dataset.splits.items():
        first, stop = part.bounds(sizes[part.split])
        taken[role] = set(range(first, stop))
        assert len(taken[role]) >= (40 if role == "train" else 24)
    for role, part in dataset.splits.items():
        if role != "train" and part.split == dataset.splits["test"].split:
            assert role == "test" or not taken[role] & taken["test"]
    if "train" in taken and dataset.splits["train"].split == dataset.splits["validation"].split:
        assert not taken["train"] & taken["validation"]


@ALL
def test_every_example_gives_its_fields(directory: Path, dataset: Dataset) -> None:
    for part in dataset.splits.values():
        found = [fields for fields in _fields(directory, dataset, part) if fields is not None]
        assert len(found) >= 20
        for fields in found:
            texts = [fields[name] for name in dataset.fields if name != "answer" or name in fields]
            options = fields.get("options", dataset.options)
            texts += [*options, *fields.get("references", ())]
            assert all(isinstance(text, str) and text.strip() for text in texts)
            assert all("{" not in text and " / " not in text for text in texts)
            assert len(set(options)) == len(options)
            if "label" in fields:
                least = -1 if dataset.name == "snli" else 0
                assert least <= fields["label"] < len(options)
            elif dataset.options:
                assert fields[dataset.targets[0]] in dataset.options
            else:
                assert set(dataset.targets) <= set(fields)


@pytest.mark.parametrize("name", [d.name for d in DATASETS if d.kind == "classification"])
def test_labels_are_balanced(directory: Path, name: str) -> None:
    dataset = BY_NAME[name]
    for part in dataset.splits.values():
        found = [fields for fields in _fields(directory, dataset, part) if fields is not None]
        labels = Counter(fields.get("label", fields.get("answer_str")) for fields in found)
        labels.pop(-1, None)
        num_labels = len(dataset.options or found[0]["options"])
        assert len(labels) == num_labels
        assert max(labels.values()) <= 1.3 * min(labels.values())


def test_it_has_some_of_what_is_awkward_in_real_data(directory: Path) -> None:
    def raw(name: str) -> Sequence[dict[str, Any]]:
        dataset = BY_NAME[name]
        return _split(directory, dataset.tfds, dataset.splits["test"].split)

    assert any(e["polarity"] == 2 for e in raw("sentiment140"))
    assert any(e["label"] == -1 for e in raw("snli"))
    assert any(len(e["choices"]["text"]) == 3 for e in raw("arc_easy"))
    assert any("UNK" in e["document"] for e in raw("gigaword"))
    assert any(e["is_impossible"] for e in raw("squad_v2"))
    assert all(e["references"] for e in raw("dart"))
    assert any("\n" in e["email_body"] for e in raw("aeslc"))
    assert any('"' in e["en"] for e in raw("wmt14_enfr"))
    assert any("José" in e["en"] for e in raw("wmt14_enfr"))


def test_what_can_be_learnt_holds(directory: Path) -> None:
    """Labels follow from the texts by the rules that the words were put together by."""
    for fields in _all_fields(directory, "sst2"):
        assert fields["label"] == any(word in fields["sentence"] for word in WORDS["good"])
    for fields in _all_fields(directory, "bool_q"):
        assert fields["label"] == (fields["question"].split()[-1] in fields["text"])
    for fields in _all_fields(directory, "arc_easy"):
        if fields is not None:
            animal = fields["options"][fields["label"]].removeprefix("the ")
            assert [animal, fields["question"].split()[-1][:-1]] in ROWS["sound"]
    for fields in _all_fields(directory, "copa"):
        effect = fields["question"] == "effect"
        pair = (fields["premise"], fields["options"][fields["label"]])[:: 1 if effect else -1]
        templates = [tuple(row) for row in ROWS["event"]]
        names = {name for text in pair for name in WORDS["name"] if name in text} or {"x"}
        assert any(
            tuple(text.format(name=name) for text in template) == pair
            for template in templates
            for name in names
        )
    for fields in _all_fields(directory, "math_dataset"):
        first, second = fields["question"].removeprefix("Solve z - ").split(" for")[0].split(" = ")
        assert int(first) + int(second) == int(fields["answer"])
    for name in ("winogrande", "wsc273", "definite_pronoun_resolution"):
        for fields in _all_fields(directory, name):
            text = fields.get("sentence", fields["options"][0] if "context" in fields else "")
            assert fields["label"] == ("fast" in text)


def test_translations_are_word_for_word(directory: Path) -> None:
    for name in ("wmt14_enfr", "wmt16_translate_ruen", "para_crawl_enes"):
        dictionary: dict[str, str] = {}
        for fields in _all_fields(directory, name):
            for word, foreign in zip(fields["sent1"].split(), fields["sent2"].split(), strict=True):
                assert dictionary.setdefault(word, foreign) == foreign
        assert len(dictionary) > 40


def test_multirc_groups_the_answers_of_a_question(directory: Path) -> None:
    dataset = BY_NAME["multirc"]
    groups: dict[str, list[Any]] = {}
    for fields in _fields(directory, dataset, dataset.splits["test"]):
        groups.setdefault(fields["group"], []).append(fields)
    assert len(groups) == 6
    for answers in groups.values():
        assert len({fields["question"] for fields in answers}) == 1
        assert [fields["label"] for fields in answers] == [0, 1, 0, 1]


def test_the_same_examples_again(directory: Path, tmp_path: Path) -> None:
    again = mini.write(tmp_path / "again")
    paths = [
        {path.relative_to(tree) for path in tree.rglob("*") if path.is_file()}
        for tree in (directory, again)
    ]
    assert paths[0] == paths[1]
    for name in ("stsb", "multirc", "record", "wmt14_enfr", "dart", "copa", "coqa"):
        dataset = BY_NAME[name]
        for part in dataset.splits.values():
            first, second = (_split(tree, dataset.tfds, part.split) for tree in (directory, again))
            assert first == second


def test_train_and_test_differ(directory: Path) -> None:
    train, test = (_split(directory, "super_glue/rte:1.0.2", s) for s in ("train", "validation"))
    assert train[:24] != test
    assert len({example["premise"] for example in train}) > 200


def test_what_is_there_is_kept(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mini, "_write_dataset", None)  # would fail
    assert mini.write(directory) == directory


def test_what_is_interrupted_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(directory: Path, *_: object) -> None:
        (directory / "half").mkdir(parents=True)
        raise KeyboardInterrupt

    monkeypatch.setattr(mini, "_write_dataset", interrupt)
    with pytest.raises(KeyboardInterrupt):
        mini.write(tmp_path / "flan")
    assert list(tmp_path.iterdir()) == []


def test_what_is_damaged_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def write(directory: Path, name: str, _: object) -> None:
        path = directory / name.replace(":", "/") / "dataset_info.json"
        path.parent.mkdir(parents=True)
        path.write_text(name)

    monkeypatch.setattr(mini, "_write_dataset", write)
    monkeypatch.setenv("TK_INSTRUCT_CACHE_DIR", str(tmp_path))
    make = mini.mini_flan.__wrapped__.__wrapped__
    folder = Path(make())
    whole = sorted(folder.rglob("*.json"))
    assert make() == str(folder)
    assert not caplog.messages
    whole[3].unlink()
    whole[5].write_text("damaged")
    assert make() == str(folder)
    assert caplog.messages == [f"{folder} is not as it was written: it is made again"]
    assert sorted(folder.rglob("*.json")) == whole
    assert whole[5].read_text() != "damaged"


def test_other_files_are_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="already holds something"):
        mini.write(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="choose another place"):
        mini.write(tmp_path / "file" / "flan")


def test_the_table_is_all_that_is_written() -> None:
    assert set(mini.num_examples()) == {dataset.tfds for dataset in DATASETS}
    used = {
        name if name in mini._EXAMPLES else name.partition("/")[0]
        for name in (tfds_name.partition(":")[0] for tfds_name in mini.num_examples())
    }
    assert used == set(mini._EXAMPLES)
