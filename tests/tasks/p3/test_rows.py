"""Rows of Hugging Face's files: which files are a split's, what is read of them, damaged ones."""

import gzip
import itertools
import json
import os
import tracemalloc
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import gin
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tk_instruct import files, suite
from tk_instruct.errors import MissingDataError, UserError
from tk_instruct.tasks.p3 import examples, rows
from tk_instruct.tasks.p3.templates import DatasetName, PromptedDataset

MINE = DatasetName("mine")
Row = Mapping[str, Any]


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of --p3_data."""
    suite.import_configurables()
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    folder = tmp_path / "data"
    folder.mkdir()
    gin.bind_parameter("P3.data", str(folder))
    return folder


def write(path: Path, of: Iterable[Row]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist([dict(row) for row in of]), path)
        return path
    lines = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in of).encode()
    path.write_bytes(gzip.compress(lines) if path.suffix == ".gz" else lines)
    return path


def numbered(*numbers: int) -> list[Row]:
    return [{"number": number, "text": f"text {number}"} for number in numbers]


def read(dataset: DatasetName, split: str, *columns: str) -> list[dict[str, Any]]:
    return list(rows.rows(rows.place(dataset, split), columns))


def numbers(dataset: DatasetName, split: str) -> list[int]:
    return [row["number"] for row in read(dataset, split, "number")]


def error(split: str = "train") -> str:
    with pytest.raises(UserError) as caught:
        read(MINE, split, "number")
    return str(caught.value)


# which files


@pytest.mark.parametrize("ending", ["parquet", "jsonl", "jsonl.gz"])
@pytest.mark.parametrize("dataset", [MINE, DatasetName("glue", "mrpc"), DatasetName("some/one")])
def test_a_split_is_all_of_its_files_in_the_order_of_their_names(
    data: Path, dataset: DatasetName, ending: str
) -> None:
    folder = data / str(dataset)
    write(folder / f"train-00001-of-00002.{ending}", numbered(3))
    write(folder / f"train-00000-of-00002.{ending}", numbered(1, 2))
    write(folder / f"test.{ending}", numbered(4))
    (folder / "source.json").write_text("{}")
    (folder / f"train-00002.{ending}.part").write_text("of a download")
    (folder / "train.csv").write_text("number\n7\n")
    assert read(dataset, "train", "number", "text") == numbered(1, 2, 3)
    assert numbers(dataset, "test") == [4]
    at = rows.place(dataset, "train")
    assert rows.num_rows(at) == 3
    assert rows.columns(at) == ["number", "text"]
    assert at.tfds is None


def test_splits_whose_names_begin_alike_are_told_apart(data: Path) -> None:
    names = ["train", "test", "validation", "validation_matched", "validation_mismatched"]
    names += [f"{part}_{of}" for part in ("train", "dev", "test") for of in ("r1", "r2", "r3")]
    for number, name in enumerate(names):
        write(data / "mine" / f"{name}-00000-of-00001.parquet", numbered(number))
    for number, name in enumerate(names):
        assert numbers(MINE, name) == [number]


def test_rounds_of_anli_are_splits_of_the_hub(data: Path) -> None:
    for number, name in enumerate(["train_r1", "dev_r1", "test_r1", "dev_r2"]):
        write(data / "anli" / f"{name}.jsonl", numbered(number))
    of = PromptedDataset("p3_anli_a_r1", DatasetName("anli"), "a", "r1")
    found = [examples.place(of, split) for split in ("train", "validation", "test")]
    assert [at.split for at in found] == ["train_r1", "dev_r1", "test_r1"]
    assert [next(rows.rows(at, ()))["number"] for at in found] == [0, 1, 2]
    with pytest.raises(MissingDataError, match=r"there is no .*train_r2"):
        examples.place(of._replace(round="r2"), "train")
    with pytest.raises(MissingDataError, match=r"there is no .*anli/train"):
        rows.place(DatasetName("anli"), "train")


@pytest.mark.parametrize("name", ["validation", "valid", "val", "dev"])
def test_the_validation_split_has_several_names(data: Path, name: str) -> None:
    write(data / "mine" / f"{name}-00000.jsonl", numbered(1))
    write(data / "mine" / "validation_matched.jsonl", numbered(2))
    assert rows.place(MINE, "validation").split == name
    assert numbers(MINE, "validation") == [1]


def test_the_split_named_validation_comes_before_its_other_names(data: Path) -> None:
    for number, name in enumerate(["dev", "val", "validation"]):
        write(data / "mine" / f"{name}.jsonl", numbered(number))
    assert numbers(MINE, "validation") == [2]


def test_two_formats_of_a_split_are_refused(data: Path) -> None:
    write(data / "mine" / "train.jsonl", numbered(1))
    write(data / "mine" / "train.jsonl.gz", numbered(1))
    write(data / "mine" / "test.parquet", numbered(1))
    assert error() == (
        f"{data / 'mine'} has train in 2 formats (train.jsonl, train.jsonl.gz), and the same rows "
        "may be in both; leave one of them there"
    )
    assert numbers(MINE, "test") == [1]


def test_missing_data_is_told_with_the_folder_and_the_repair(data: Path) -> None:
    for dataset in (MINE, DatasetName("glue", "mrpc")):
        with pytest.raises(MissingDataError) as caught:
            rows.place(dataset, "train")
        message = str(caught.value)
        assert message.startswith(f"there is no {data / str(dataset)}/train*.parquet, .jsonl or")
        assert "`tk-instruct tasks prepare TASK --p3_data DIR`" in message
        assert ("nor glue/mrpc:2.0.0 in" in message) == (dataset != MINE)
    gin.bind_parameter("P3.data", None)
    with pytest.raises(MissingDataError, match=r"there is no DIR/mine/train\*\.parquet"):
        rows.place(MINE, "train")


def test_a_folder_with_the_name_of_a_file_is_no_file(data: Path) -> None:
    (data / "mine" / "train.parquet").mkdir(parents=True)
    with pytest.raises(MissingDataError):
        rows.place(MINE, "train")


# what is read


@pytest.mark.parametrize("ending", ["parquet", "jsonl", "jsonl.gz"])
def test_a_pipe_is_refused(data: Path, ending: str) -> None:
    """It can be read only once, and to open it may wait without end."""
    folder = data / "glue" / "mrpc"
    folder.mkdir(parents=True, exist_ok=True)
    os.mkfifo(folder / f"train.{ending}")
    with pytest.raises(UserError, match="is a pipe or a device"):
        list(rows.rows(rows.place(DatasetName("glue", "mrpc"), "train"), ()))


def test_nested_columns_are_lists_and_dictionaries(data: Path) -> None:
    row = {
        "answers": {"text": ["a", "b"], "start": [0, 5]},
        "turns": [{"who": "x", "says": ["é", "😀"]}, {"who": "y", "says": []}],
        "none": None,
    }
    write(data / "mine" / "train.parquet", [row])
    write(data / "mine" / "test.jsonl", [row])
    assert read(MINE, "train", *row) == read(MINE, "test", *row) == [row]
    assert rows.columns(rows.place(MINE, "train")) == [*row]


def test_only_the_columns_that_are_asked_for_are_read_of_parquet(data: Path) -> None:
    row = {"label-fine": 1, "label_coarse": 2, "text": "t", "answers": {"text": ["a"]}}
    write(data / "mine" / "train.parquet", [row])
    assert read(MINE, "train", "label_fine", "absent") == [{"label-fine": 1}]
    assert read(MINE, "train", "answers") == [{"answers": {"text": ["a"]}}]
    assert read(MINE, "train", "text", "label_coarse") == [{"label_coarse": 2, "text": "t"}]


def test_columns_of_json_lines_are_those_of_the_first_rows(data: Path) -> None:
    of = [{"a": 1}] * 255 + [{"b": 1}, {"c": 1}]
    write(data / "mine" / "train.jsonl", of)
    assert rows.columns(rows.place(MINE, "train")) == ["a", "b"]


def test_blank_lines_and_a_byte_order_mark_are_no_rows(data: Path) -> None:
    (data / "mine").mkdir()
    content = b'\xef\xbb\xbf{"number": 1}\r\n\r\n{"number": 2}'
    (data / "mine" / "train.jsonl").write_bytes(content)
    assert numbers(MINE, "train") == [1, 2]
    assert rows.num_rows(rows.place(MINE, "train")) == 2


@pytest.mark.parametrize("ending", ["parquet", "jsonl", "jsonl.gz"])
def test_a_file_without_rows_is_an_empty_split(data: Path, ending: str) -> None:
    path = write(data / "mine" / f"train.{ending}", numbered(1))
    if ending == "parquet":
        pq.write_table(pq.read_table(path).slice(0, 0), path)
    else:
        write(path, [])
    at = rows.place(MINE, "train")
    assert rows.num_rows(at) == 0
    assert list(rows.rows(at, ["number"])) == []
    assert rows.columns(at) == (["number", "text"] if ending == "parquet" else [])


def test_a_large_file_is_never_held_in_memory(data: Path) -> None:
    """40 groups of 1,000 rows, of which one is there at a time."""
    path = data / "mine" / "train.parquet"
    path.parent.mkdir()
    texts = [f"{number:0500d}" for number in range(1000)]
    group = pa.table({"number": range(1000), "text": texts})
    with pq.ParquetWriter(path, group.schema, compression="none", use_dictionary=False) as file:
        for _ in range(40):
            file.write_table(group)
    before = pa.total_allocated_bytes()
    tracemalloc.start()  # what Arrow reads of Python's files is not Arrow's memory
    try:
        found = rows.rows(rows.place(MINE, "train"), ["text"])
        held = [pa.total_allocated_bytes() - before for _ in found]
        _, held_by_python = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(held) == 40_000
    assert 0 < max(held) < 5 * group.nbytes
    assert held_by_python < 8 * group.nbytes


@pytest.mark.parametrize("ending", ["parquet", "jsonl", "jsonl.gz"])
def test_the_first_rows_are_read_without_the_last_file(data: Path, ending: str) -> None:
    write(data / "mine" / f"train-0.{ending}", numbered(*range(300)))
    (data / "mine" / f"train-1.{ending}").write_bytes(b"damaged")
    found = rows.rows(rows.place(MINE, "train"), ["number"])
    assert [row["number"] for row in itertools.islice(found, 300)] == [*range(300)]
    with pytest.raises(UserError, match="train-1"):
        next(found)


# fingerprints


@pytest.mark.parametrize("ending", ["parquet", "jsonl", "jsonl.gz"])
def test_the_fingerprint_changes_with_the_rows(data: Path, ending: str) -> None:
    path = write(data / "mine" / f"train.{ending}", numbered(1))
    first = rows.fingerprint(rows.place(MINE, "train"))
    content = path.read_bytes()
    write(path, numbered(2, 3))
    assert rows.fingerprint(rows.place(MINE, "train")) != first
    assert rows.num_rows(rows.place(MINE, "train")) == 2
    path.write_bytes(content)
    assert rows.fingerprint(rows.place(MINE, "train")) == first
    write(data / "mine" / f"train_more.{ending}", numbered(4))
    assert rows.fingerprint(rows.place(MINE, "train")) != first


def test_of_a_very_large_file_size_and_time_count(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "_MOST_HASHED", 10)
    monkeypatch.setattr(rows, "read_file", lambda path: pytest.fail(f"{path} is read"))
    write(data / "mine" / "train.jsonl", numbered(1))
    first = rows.fingerprint(rows.place(MINE, "train"))
    write(data / "mine" / "train.jsonl", numbered(1, 2))
    assert rows.fingerprint(rows.place(MINE, "train")) != first


# damaged files


def test_a_file_of_parquet_that_is_cut_off(data: Path) -> None:
    path = write(data / "mine" / "train.parquet", numbered(*range(500)))
    path.write_bytes(path.read_bytes()[:-20])
    assert error().startswith(f"{path} cannot be read after row 0 (")
    assert error().endswith("; it is cut off or damaged: get it again")
    for function in (rows.columns, rows.num_rows):
        with pytest.raises(UserError, match="cut off or damaged"):
            function(rows.place(MINE, "train"))


def test_a_file_of_parquet_with_a_hole(data: Path) -> None:
    path = data / "mine" / "train.parquet"
    path.parent.mkdir()
    table = pa.table({"number": range(3000)})
    pq.write_table(table, path, row_group_size=1000, use_dictionary=False, compression="snappy")
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle - 2000 : middle + 2000] = bytes(4000)
    path.write_bytes(content)
    assert f"{path} cannot be read after row 768 (" in error()  # rows come 256 at once


def test_compressed_lines_that_are_cut_off(data: Path) -> None:
    path = write(data / "mine" / "train.jsonl.gz", numbered(*range(500)))
    path.write_bytes(path.read_bytes()[:-100])
    assert error().startswith(f"{path} cannot be read after row ")
    assert "(Compressed file ended before the end-of-stream marker was reached)" in error()


def test_lines_that_are_not_compressed(data: Path) -> None:
    path = write(data / "mine" / "train.jsonl", numbered(1)).rename(
        data / "mine" / "train.jsonl.gz"
    )
    assert error().startswith(f"{path} cannot be read after row 0 (Not a gzipped file")


@pytest.mark.parametrize("line", ['{"number": 3, "te', "[1, 2]", '"text"', "7", "null", "{1: 2}"])
@pytest.mark.parametrize("ending", ["jsonl", "jsonl.gz"])
def test_a_line_that_is_no_object(data: Path, line: str, ending: str) -> None:
    path = data / "mine" / f"train.{ending}"
    content = f'{{"number": 1}}\n\n{line}'.encode()
    path.parent.mkdir()
    path.write_bytes(gzip.compress(content) if ending == "jsonl.gz" else content)
    assert error().startswith(f"{path}:3: ")
    assert error().endswith("; correct the file or restore it")


# buckets


def test_data_in_a_bucket(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bucket is a folder here, read by TensorFlow's own class of files."""
    import tensorflow as tf

    def moved(name: str) -> Any:
        real = getattr(tf.io.gfile, name)

        def function(path: Any, *rest: Any) -> Any:
            found = real(str(path).replace("gs://bucket", str(data)), *rest)
            is_list = isinstance(found, list)
            return [p.replace(str(data), "gs://bucket") for p in found] if is_list else found

        return function

    for name in ("GFile", "exists", "isdir", "glob", "listdir", "stat"):
        monkeypatch.setattr(tf.io.gfile, name, moved(name))
    gin.bind_parameter("P3.data", "gs://bucket")
    many = numbered(*range(3000))
    for ending in ("parquet", "jsonl", "jsonl.gz"):
        dataset = DatasetName("some", ending)
        write(data / str(dataset) / f"train-0.{ending}", many)
        write(data / str(dataset) / f"train-1.{ending}", numbered(7))
        at = rows.place(dataset, "train")
        assert not any(map(files.is_local, at.files))
        assert list(rows.rows(at, ["number", "text"])) == [*many, *numbered(7)]
        assert rows.num_rows(at) == 3001
        assert rows.columns(at) == ["number", "text"]
        assert rows.fingerprint(at) == rows.fingerprint(rows.place(dataset, "train"))
        path = data / str(dataset) / f"train-1.{ending}"
        path.write_bytes(path.read_bytes()[:-9])
        with pytest.raises(UserError, match=rf"gs://bucket/some/{ending}/train-1"):
            list(rows.rows(rows.place(dataset, "train"), ["number"]))
    with pytest.raises(MissingDataError, match=r"there is no gs://bucket/mine/train\*"):
        rows.place(MINE, "train")
