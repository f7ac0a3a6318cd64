"""Task files, and the folder that they are added to."""

import json
import os
import resource
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from tk_instruct.convert_tasks.task_file import Demonstration, Instance, TaskFile, safe_name
from tk_instruct.convert_tasks.task_folder import SPLITS, TRACKS, TaskFolder
from tk_instruct.errors import UserError


def task(name: str = "greet", output: str = "hi", **fields: Any) -> TaskFile:
    return TaskFile(name, "Greet.", (Instance(f"{name}-1", "Ana", (output,)),), **fields)


def add(folder: Path, tasks: Iterable[TaskFile], split: str = "train", **kind: bool) -> TaskFolder:
    with TaskFolder(folder, split, **kind) as opened:
        for each in tasks:
            opened.add(each)
        opened.place()
    return opened


def tree(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def listed(folder: Path) -> dict[tuple[str, str], list[str]]:
    """The lists that name something."""
    found = {}
    for track in TRACKS:
        for split in SPLITS:
            path = folder / "splits" / track / f"{split}_tasks.txt"
            if names := path.read_text().split():
                found[track, split] = names
    return found


def test_a_task_file_has_the_fields_of_the_benchmark() -> None:
    made = task(
        positive_examples=(Demonstration("Bo", "hello", "It greets.", {"note": 1}),),
        categories=("Dialogue", "Other"),
        extra={"Origin": "mine"},
    )
    assert json.loads(made.content()) == {
        "Contributors": [],
        "Source": [],
        "URL": [],
        "Categories": ["Dialogue", "Other"],
        "Reasoning": [],
        "Definition": ["Greet."],
        "Input_language": ["English"],
        "Output_language": ["English"],
        "Instruction_language": ["English"],
        "Domains": [],
        "Positive Examples": [
            {"input": "Bo", "output": "hello", "explanation": "It greets.", "note": 1}
        ],
        "Negative Examples": [],
        "Instances": [{"id": "greet-1", "input": "Ana", "output": ["hi"]}],
        "Instance License": [],
        "Origin": "mine",
    }


def test_the_reader_of_the_benchmark_reads_it(tmp_path: Path) -> None:
    from tk_instruct.tasks.superni.records import read_task

    add(tmp_path, [task(output="hé\n\u2028 'x'")])
    spec, instances = read_task(tmp_path / "tasks" / "greet.json")
    assert (spec.name, spec.definition, spec.categories) == ("greet", "Greet.", ("Miscellaneous",))
    assert instances == [("greet-1", "Ana", ["hé\n\u2028 'x'"])]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Write a poem!", "write_a_poem"),
        ("Été: Straße", "ete_strae"),
        ("日本語", "task_77710aedc74e"),
        ("中文", "task_72726d8818f6"),
        ("../../x", "x"),
        ("!", "task_bb7208bc9b5d"),
        ("a" * 500, "a" * 200),
        ("task001_sums", "task001_sums"),
    ],
)
def test_safe_names(text: str, name: str) -> None:
    assert safe_name(text) == name
    assert task(name).name == name


@pytest.mark.parametrize("name", ["", "A", "a b", "../a", "a/b", ".a", "é", "a" * 201])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(UserError, match=r"must be lowercase letters.*take "):
        task(name)


def test_tracks_are_by_language(tmp_path: Path) -> None:
    french = task("saluer", input_languages=("French",))
    assert add(tmp_path, [task(), french]).listed_in() == [
        "splits/default/excluded_tasks.txt",
        "splits/default/train_tasks.txt",
        "splits/xlingual/train_tasks.txt",
    ]
    add(tmp_path, [task("t"), task("u", output_languages=("Greek",))], "test")
    assert listed(tmp_path) == {
        ("default", "train"): ["greet"],
        ("default", "test"): ["t"],
        ("default", "excluded"): ["saluer", "u"],
        ("xlingual", "train"): ["greet", "saluer"],
        ("xlingual", "test"): ["u"],
        ("xlingual", "excluded"): ["t"],
    }


def test_a_folder_grows_and_what_is_there_stays(tmp_path: Path) -> None:
    add(tmp_path, [task("b")])
    (tmp_path / "README.md").write_text("mine")
    train = tmp_path / "splits" / "default" / "train_tasks.txt"
    train.write_bytes(b"\xef\xbb\xbfother.json\r\nb")
    test = tmp_path / "splits" / "default" / "test_tasks.txt"
    test.write_bytes(b"of_others\r\n")
    add(tmp_path, [task("a"), task("other")])
    assert test.read_bytes() == b"of_others\r\n"
    assert train.read_text() == "other.json\nb\na\n"
    assert (tmp_path / "README.md").read_text() == "mine"
    assert sorted(path.name for path in (tmp_path / "tasks").iterdir()) == [
        "a.json",
        "b.json",
        "other.json",
    ]


def test_a_second_run_changes_nothing(tmp_path: Path) -> None:
    add(tmp_path, [task("a"), task("b")])
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    assert add(tmp_path, [task("a"), task("b")]).num_unchanged == 2
    assert before == {
        path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()
    }


def test_another_content_is_refused_and_replaced_if_asked(tmp_path: Path) -> None:
    add(tmp_path, [task()])
    before = tree(tmp_path)
    with pytest.raises(UserError, match=r"greet.json holds another content; .*--overwrite"):
        add(tmp_path, [task("new"), task(output="ho")])
    assert tree(tmp_path) == before
    add(tmp_path, [task(output="ho")], overwrite=True)
    assert json.loads((tmp_path / "tasks" / "greet.json").read_bytes())["Instances"][0][
        "output"
    ] == ["ho"]


def test_a_task_of_another_split_is_refused_and_moved_if_asked(tmp_path: Path) -> None:
    add(tmp_path, [task("a"), task("b")])
    before = tree(tmp_path)
    with pytest.raises(UserError, match=r"a is listed in .*train_tasks.txt.*--overwrite to move"):
        add(tmp_path, [task("a"), task("c")], "test")
    assert tree(tmp_path) == before
    add(tmp_path, [task("a")], "test", overwrite=True)
    assert listed(tmp_path) == {
        ("default", "train"): ["b"],
        ("default", "test"): ["a"],
        ("xlingual", "train"): ["b"],
        ("xlingual", "excluded"): ["a"],
    }


def test_two_tasks_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="two tasks are called greet"):
        add(tmp_path / "new", [task(), task()])
    assert not (tmp_path / "new").exists()


def test_without_place_nothing_is_there(tmp_path: Path) -> None:
    with TaskFolder(tmp_path / "new", "train") as folder:
        folder.add(task())
    assert not (tmp_path / "new").exists()


def test_an_interrupt_waits_until_all_is_in_place(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def replace(*paths: Any, usual: Any = os.replace) -> None:
        if not list((tmp_path / "tasks").iterdir()):
            signal.raise_signal(signal.SIGINT)
        usual(*paths)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(KeyboardInterrupt):
        add(tmp_path, [task("a"), task("b")])
    assert listed(tmp_path)["default", "train"] == ["a", "b"]
    assert sorted(os.listdir(tmp_path / "tasks")) == ["a.json", "b.json"]


def test_a_list_that_cannot_be_written_changes_nothing(tmp_path: Path) -> None:
    add(tmp_path, [task("a")])
    train = tmp_path / "splits" / "xlingual" / "train_tasks.txt"
    train.write_text("of_others\n" * 1000)
    train.chmod(0o640)
    before = tree(tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, limits[1]))  # as on a full disk
    try:
        with pytest.raises(UserError, match="cannot be written"):
            add(tmp_path, [task("b")])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert tree(tmp_path) == before
    add(tmp_path, [task("b")])
    assert train.stat().st_mode & 0o777 == 0o640


def test_a_list_that_is_a_link_stays_one(tmp_path: Path) -> None:
    train = tmp_path / "splits" / "default" / "train_tasks.txt"
    train.parent.mkdir(parents=True)
    mine = train.with_name("mine.txt")
    mine.write_text("of_others\n")
    train.symlink_to(mine)
    add(tmp_path, [task()])
    assert train.is_symlink()
    assert mine.read_text() == "of_others\ngreet\n"


def test_one_process_at_a_time(tmp_path: Path) -> None:
    with (
        TaskFolder(tmp_path, "train"),
        pytest.raises(UserError, match=r"is being written by process"),
        TaskFolder(tmp_path, "train"),
    ):
        pass


def test_nothing_is_written_through_links_out_of_the_folder(tmp_path: Path) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "folder"
    outside.mkdir()
    folder.mkdir()
    (folder / "tasks").symlink_to(outside)
    with pytest.raises(UserError, match="leads to"):
        add(folder, [task()])
    (folder / "tasks").unlink()
    (folder / "splits").symlink_to(outside)
    with pytest.raises(UserError, match="leads to"):
        add(folder, [task()])
    assert not list(outside.iterdir())


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nowhere")
    for name in ("file", "link"):
        with pytest.raises(UserError, match=f"{name} is a file, or a link to nothing; name a fold"):
            add(tmp_path / name, [task()])
    with pytest.raises(UserError, match="is in a bucket"):
        TaskFolder("gs://bucket/tasks", "train")
    closed = tmp_path / "closed"
    closed.mkdir()
    (closed / "tasks").touch()
    with pytest.raises(UserError, match="cannot be written"):
        add(closed, [task()])
    assert os.listdir(closed) == ["tasks"]
