"""Task files as they are and as they may not be, samples of them, splits, and the cache."""

import hashlib
import json
import logging
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tk_instruct.errors import EmptySplitError, UserError
from tk_instruct.tasks.superni import records
from tk_instruct.tasks.superni.records import Demonstration, SuperNI, TaskSpec, read_task

Record = dict[str, Any]
TRACK = "default"


def record(num_instances: int = 3) -> Record:
    return {
        "Contributors": ["A. Person"],
        "Categories": ["Word Semantics", "Misc."],
        "Definition": ["First definition.", "Second definition."],
        "Input_language": ["French"],
        "Output_language": ["English", "German"],
        "Positive Examples": [{"input": "a", "output": "b", "explanation": "c"}],
        "Negative Examples": [],
        "Instances": [
            {"id": f"i{k}", "input": f" input {k}\n", "output": [f"output {k}", "other"]}
            for k in range(num_instances)
        ],
    }


def write_task(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def write_tree(
    root: Path,
    tasks: dict[str, Record],
    train: Sequence[str],
    test: Sequence[str] = (),
    track: str = TRACK,
) -> Path:
    for name, content in tasks.items():
        write_task(root / "tasks" / f"{name}.json", content)
    folder = root / "splits" / track
    folder.mkdir(parents=True, exist_ok=True)
    for split, names in (("train", train), ("test", test), ("excluded", ())):
        (folder / f"{split}_tasks.txt").write_text("".join(f"{name}\n" for name in names))
    return root


@pytest.fixture(autouse=True)
def _cache_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TK_INSTRUCT_CACHE_DIR", str(tmp_path / "cache"))
    records._warn_once.cache_clear()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Four train tasks of 40 instances and a test task of 5."""
    tasks = {f"task00{k}_t": record(40) for k in range(4)}
    for name, content in tasks.items():
        for instance in content["Instances"]:
            instance["id"] = f"{name}-{instance['id']}"
    return write_tree(
        tmp_path / "tree", {**tasks, "task009_e": record(5)}, train=list(tasks), test=["task009_e"]
    )


def ids(data: SuperNI, split: str, only: str | None = None) -> list[str]:
    return [example.id for example in data.examples(TRACK, split, only)]


# A task file


def test_a_whole_file(tmp_path: Path) -> None:
    task, instances = read_task(write_task(tmp_path / "task001_a.json", record()))
    assert task == TaskSpec(
        name="task001_a",
        definition="First definition.",
        positive_examples=(Demonstration("a", "b", "c"),),
        negative_examples=(),
        categories=("Word Semantics", "Misc."),
        input_languages=("French",),
        output_languages=("English", "German"),
    )
    assert task.category == "Word Semantics"
    assert instances == [
        ("i0", " input 0\n", ["output 0", "other"]),
        ("i1", " input 1\n", ["output 1", "other"]),
        ("i2", " input 2\n", ["output 2", "other"]),
    ]


def test_json_of_a_task_gives_the_task_back() -> None:
    task = TaskSpec(
        name="t",
        definition="dé\u2028f",
        positive_examples=(Demonstration("a", "b"), Demonstration("漢", "", "")),
        negative_examples=(Demonstration("c", "d", "e"),),
        categories=("x", "y"),
        input_languages=("Japanese",),
    )
    assert TaskSpec.from_json(task.to_json()) == task


def edited(**fields: Any) -> Record:
    """The record with other fields; None leaves one out."""
    changed = {**record(), **{key.replace("_", " "): value for key, value in fields.items()}}
    return {key: value for key, value in changed.items() if value is not None}


def test_tolerated_strings_in_place_of_lists(tmp_path: Path) -> None:
    content = edited(
        Definition="One definition.", Categories="Misc.", Instances=[{"input": "x", "output": "y"}]
    )
    task, instances = read_task(write_task(tmp_path / "task001_a.json", content))
    assert (task.definition, task.categories) == ("One definition.", ("Misc.",))
    assert instances == [("task001_a-0", "x", ["y"])]


def test_tolerated_absence(tmp_path: Path) -> None:
    content = record()
    del content["Input_language"], content["Output_language"], content["Contributors"]
    content["Positive Examples"] = [
        {"input": "a", "output": "b"},
        {"input": "a", "output": "b", "explanation": None},
        {"input": "a", "output": "b", "explanation": ""},
    ]
    task, _ = read_task(write_task(tmp_path / "t.json", content))
    assert (task.input_languages, task.output_languages) == ((), ())
    assert [example.explanation for example in task.positive_examples] == [None, None, ""]


def test_tolerated_additions(tmp_path: Path) -> None:
    content = record()
    content["Instruction Source"] = {"any": 3}
    content["Instances"][0]["extra"] = []
    content["Positive Examples"][0]["extra"] = []
    assert read_task(write_task(tmp_path / "a" / "t.json", content)) == read_task(
        write_task(tmp_path / "b" / "t.json", record())
    )


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(record()).encode())
    assert read_task(path) == read_task(write_task(tmp_path / "b" / "t.json", record()))


def test_a_lone_surrogate_is_replaced_and_a_pair_is_kept(tmp_path: Path) -> None:
    content = record(4)
    for instance, text in zip(
        content["Instances"],
        ["cut \ud83d", "\ude00 cut", "pair \ud83d\ude00", "\ud83d\ud83d\ude00 é"],
        strict=True,
    ):
        instance["input"], instance["output"] = text, [text]
    _, instances = read_task(write_task(tmp_path / "t.json", content))
    expected = ["cut \ufffd", "\ufffd cut", "pair 😀", "\ufffd😀 é"]
    assert [input_ for _, input_, _ in instances] == expected
    assert [output for _, _, output in instances] == [[text] for text in expected]


def instances(**fields: Any) -> list[Record]:
    good = {"id": "a", "input": "b", "output": ["c"]}
    return [{**good, "id": "z"}, {**good, **fields}]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([record()], "the document is [{"),
        (edited(Definition=None), "Definition is missing"),
        (edited(Definition=3), "Definition is 3 but must be a string or a list"),
        (edited(Definition=[]), "Definition is [] but must be a list that is not empty"),
        (edited(Definition=["a", 1]), "Definition[1] is 1 but must be a string"),
        (edited(Categories=None), "Categories is missing"),
        (edited(Categories=[]), "Categories is [] but must be a list that is not empty"),
        (
            edited(Categories=["a", ""]),
            'Categories[1] is "" but must be a string that is not blank',
        ),
        (edited(Categories=" "), 'Categories is " " but must be a string that is not blank'),
        (
            {**record(), "Input_language": {"a": 1}},
            'Input_language is {"a": 1} but must be a string or a list',
        ),
        (edited(Positive_Examples=None), "Positive Examples is missing"),
        (edited(Negative_Examples="x"), 'Negative Examples is "x" but must be a list'),
        (edited(Positive_Examples=["x"]), 'Positive Examples[0] is "x" but must be an object'),
        (
            edited(Negative_Examples=[{"output": "b"}]),
            "Negative Examples[0].input is missing",
        ),
        (
            edited(Positive_Examples=[{"input": "a", "output": ["b"]}]),
            'Positive Examples[0].output is ["b"] but must be a string',
        ),
        (
            edited(Positive_Examples=[{"input": "a", "output": "b", "explanation": 1}]),
            "Positive Examples[0].explanation is 1 but must be a string or null",
        ),
        (edited(Instances=None), "Instances is missing"),
        (edited(Instances=[]), "Instances is [] but must be a list that is not empty"),
        (edited(Instances={"a": 1}), 'Instances is {"a": 1} but must be a list'),
        (edited(Instances=[None]), "Instances[0] is null but must be an object"),
        (
            edited(Instances=instances(id=7)),
            "Instances[1].id is 7 but must be a string",
        ),
        (
            edited(Instances=instances(id="")),
            'Instances[1].id is "" but must be a string that is not e',
        ),
        (
            edited(Instances=instances(id="z")),
            'Instances[1].id is "z" but must not be the id of another instance',
        ),
        (edited(Instances=instances(input=None)), "Instances[1].input is null but must be a strin"),
        (
            edited(Instances=instances(output=[])),
            "Instances[1].output is [] but must be a list that is not empty",
        ),
        (
            edited(Instances=instances(output=["é", None])),
            "Instances[1].output[1] is null but must be a string",
        ),
        (
            edited(Instances=instances(output=None)),
            "Instances[1].output is null but must be a string or a list",
        ),
    ],
)
def test_a_broken_file_is_refused_with_field_value_and_rule(
    tmp_path: Path, content: object, message: str
) -> None:
    path = write_task(tmp_path / "task001_a.json", content)
    with pytest.raises(UserError) as caught:
        read_task(path)
    assert str(caught.value).startswith(f"{path}: {message}")
    assert str(caught.value).endswith("(`tk-instruct tasks doctor` lists all that is wrong)")


def test_a_long_value_is_cut_in_the_message(tmp_path: Path) -> None:
    path = write_task(tmp_path / "t.json", edited(Definition={"a": "x" * 1000}))
    with pytest.raises(UserError) as caught:
        read_task(path)
    assert f'Definition is {{"a": "{"x" * 50}… but must' in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not JSON ("),
        (b"{", "not JSON ("),
        (b'{"a": 1} x', "not JSON ("),
        (b"version https://git", "not JSON ("),
        (b'{"Definition": "\xff"}', "not UTF-8 ("),
        (b"[" * 100_000, "nested too deeply; "),
        (json.dumps(record()).replace("[]", "[" * 9999 + "]" * 9999).encode(), "nested too deeply"),
        (
            json.dumps(edited(Instances=[{"input": float("nan"), "output": "x"}])).encode(),
            "Instances[0].input is NaN but must be a string",
        ),
    ],
)
def test_what_is_not_json_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "t.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"t\.json: {re.escape(message)}"):
        read_task(path)


# Samples


def test_examples_of_a_split(tree: Path) -> None:
    examples = SuperNI(str(tree)).examples(TRACK, "test")
    assert [example.id for example in examples] == ["i0", "i1", "i2", "i3", "i4"]
    assert examples[1].input == " input 1\n"
    assert examples[1].references == ("output 1", "other")
    assert examples[1].task.name == "task009_e"


def test_evaluation_takes_the_first_instances(tree: Path) -> None:
    data = SuperNI(str(tree), max_instances_per_eval_task=3, seed=8)
    assert ids(data, "test") == ["i0", "i1", "i2"]
    assert SuperNI(str(tree)).max_instances_per_eval_task == 100


def test_a_hundred_train_instances_unless_said_otherwise(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "tree", {"task001_a": record(130)}, train=["task001_a"])
    found = ids(SuperNI(str(root)), "train")
    assert len(found) == len(set(found)) == 100
    assert set(found) != {f"i{k}" for k in range(100)}


def test_the_sample_depends_on_seed_task_and_id_only(tree: Path) -> None:
    data = SuperNI(str(tree), max_instances_per_train_task=10)
    before = ids(data, "train")
    assert before == ids(data, "train")
    assert before != ids(SuperNI(str(tree), max_instances_per_train_task=10, seed=1), "train")

    for path in (tree / "tasks").glob("task00[0-3]*"):
        content = json.loads(path.read_text())
        content["Instances"].reverse()
        write_task(path, content)
    assert ids(data, "train") == before

    # The same numbers are not drawn for every task.
    drawn = [
        [id_.rpartition("-")[2] for id_ in before if id_.startswith(f"task00{k}")] for k in range(4)
    ]
    assert len({tuple(sorted(numbers)) for numbers in drawn}) == 4


def test_a_smaller_sample_is_part_of_a_larger_one(tree: Path) -> None:
    small = ids(SuperNI(str(tree), max_instances_per_train_task=5), "train", "task001_t")
    large = ids(SuperNI(str(tree), max_instances_per_train_task=20), "train", "task001_t")
    assert small == large[:5]


def test_validation_is_what_training_leaves_over(tree: Path) -> None:
    data = SuperNI(str(tree), max_instances_per_train_task=30, max_instances_per_validation_task=20)
    train, validation = ids(data, "train", "task002_t"), ids(data, "validation", "task002_t")
    assert (len(train), len(validation)) == (30, 10)
    assert set(train).isdisjoint(validation)
    assert set(train + validation) == {f"task002_t-i{k}" for k in range(40)}


def test_validation_without_anything_left_is_an_error(tree: Path) -> None:
    with pytest.raises(UserError, match="no task has more than max_instances_per_train_task=100"):
        SuperNI(str(tree)).examples(TRACK, "validation")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_instances_per_train_task", 0),
        ("max_instances_per_eval_task", -1),
        ("max_instances_per_validation_task", -1),
        ("num_dev_tasks", 0.5),
        ("num_dev_tasks", "3"),
        ("num_train_tasks", 0),
    ],
)
def test_nonsense_options_are_refused(field: str, value: object) -> None:
    with pytest.raises(UserError, match=f"SuperNI.{field}={value!r} must be a whole number ≥ "):
        SuperNI(**{field: value})  # type: ignore[arg-type]


# Splits


def test_dev_tasks_are_carved_from_train(tree: Path) -> None:
    data = SuperNI(str(tree), num_dev_tasks=2)
    dev, train = data.task_names(TRACK, "dev"), data.task_names(TRACK, "train")
    assert len(dev) == len(train) == 2
    assert sorted(dev + train) == [f"task00{k}_t" for k in range(4)]
    assert data.task_names(TRACK, "validation") == train
    assert ids(data, "dev", dev[0]) == [f"{dev[0]}-i{k}" for k in range(40)]  # the first, in order
    carved = [
        SuperNI(str(tree), seed=s, num_dev_tasks=1).task_names(TRACK, "dev") for s in range(40)
    ]
    assert {name for names in carved for name in names} == {*dev, *train}


def test_carving_does_not_depend_on_the_order_of_the_list(tree: Path) -> None:
    data = SuperNI(str(tree), num_dev_tasks=2)
    dev = data.task_names(TRACK, "dev")
    path = tree / "splits" / TRACK / "train_tasks.txt"
    path.write_text("\n".join(reversed(path.read_text().split())))
    assert data.task_names(TRACK, "dev") == dev[::-1]


def test_only_tasks_that_are_here_are_carved(tree: Path) -> None:
    (tree / "tasks" / "task000_t.json").unlink()
    for seed in range(8):
        data = SuperNI(str(tree), seed, num_dev_tasks=2)
        assert "task000_t" not in data.task_names(TRACK, "dev")
    with pytest.raises(UserError, match=r"num_dev_tasks=3 leaves none of the 3 .* at most 2"):
        SuperNI(str(tree), num_dev_tasks=3).task_names(TRACK, "train")


def test_a_smaller_draw_of_train_tasks_is_part_of_a_larger_one(tree: Path) -> None:
    draws = set()
    for seed in range(20):
        larger: list[str] = []
        for count in (1, 2, 3, 4):
            data = SuperNI(str(tree), seed, num_train_tasks=count)
            names = data.task_names(TRACK, "train")
            assert len(names) == count
            assert names == sorted({*names, *larger})
            assert data.task_names(TRACK, "validation") == names
            assert {example.task.name for example in data.examples(TRACK, "train")} == set(names)
            larger = names
            draws.add(tuple(names))
    assert {name for names in draws if len(names) == 1 for name in names} == set(larger)


def test_train_tasks_are_drawn_of_those_that_are_here_and_not_set_aside(tree: Path) -> None:
    (tree / "tasks" / "task000_t.json").unlink()
    for seed in range(8):
        data = SuperNI(str(tree), seed, num_dev_tasks=1, num_train_tasks=2)
        train = data.task_names(TRACK, "train")
        assert sorted([*train, *data.task_names(TRACK, "dev")]) == [
            f"task00{k}_t" for k in (1, 2, 3)
        ]
    with pytest.raises(UserError, match=r"num_train_tasks=3 must be at most the 2 .*=2 or fewer"):
        SuperNI(str(tree), num_dev_tasks=1, num_train_tasks=3).task_names(TRACK, "train")
    assert SuperNI(str(tree), num_train_tasks=9).examples(TRACK, "test")  # draws nothing


def test_dev_tasks_txt_is_followed(tree: Path) -> None:
    (tree / "splits" / TRACK / "dev_tasks.txt").write_text("task003_t.json\n\ntask001_t\n")
    data = SuperNI(str(tree))
    assert data.task_names(TRACK, "dev") == ["task003_t", "task001_t"]
    assert data.task_names(TRACK, "train") == ["task000_t", "task002_t"]


def test_no_dev_tasks_is_an_error_that_says_how_to_get_some(tree: Path) -> None:
    with pytest.raises(UserError) as caught:
        SuperNI(str(tree)).examples(TRACK, "dev")
    assert "splits/default/dev_tasks.txt" in str(caught.value)
    assert "--num_dev_tasks" in str(caught.value)


def test_listed_tasks_without_a_file_are_passed_over_with_one_warning(
    tree: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tree / "tasks" / "task001_t.json").unlink()
    (tree / "tasks" / "task003_t.json").unlink()
    data = SuperNI(str(tree))
    with caplog.at_level(logging.WARNING, logger="tk_instruct"):
        names = {example.task.name for example in data.examples(TRACK, "train")}
        data.examples(TRACK, "train")
    assert names == {"task000_t", "task002_t"}
    assert caplog.messages == [
        f"default/train: 2 of 4 listed tasks have no file in {tree / 'tasks'} and are passed over"
    ]


SEEN = "take them out of train_tasks.txt or test_tasks.txt in "


@pytest.mark.parametrize("track", ["default", "xlingual"])
@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_a_task_in_train_and_test_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, split: str, track: str
) -> None:
    names = [f"task{k}" for k in range(5)]
    tasks = {name: record(120 + k) for k, name in enumerate(names)}
    tasks["task4"]["Categories"] = ["Only a test task"]
    root = write_tree(tmp_path / "t", tasks, train=names[:4], test=names, track=track)
    data = SuperNI(data_dir=str(root))
    for _ in range(2):
        data.examples(track, split)
        data.fingerprint(track, split)
    assert caplog.messages == [
        f"{track}: 4 of 5 test tasks are train tasks too: task0, task1, task2, …; what is scored "
        f"on them was seen in training: {SEEN}{root / 'splits' / track}"
    ]


def test_a_copy_of_a_train_task_among_the_test_tasks_is_said(
    tree: Path, caplog: pytest.LogCaptureFixture
) -> None:
    original = (tree / "tasks" / "task001_t.json").read_bytes()
    (tree / "tasks" / "task009_e.json").write_bytes(original)
    ids(SuperNI(data_dir=str(tree)), "test")
    (message,) = caplog.messages
    assert "1 of 1 test tasks are train tasks too: task009_e (as task001_t); what" in message


def test_what_is_not_trained_on_is_not_said_to_be(
    tree: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lists = tree / "splits" / TRACK
    # Set aside for dev, of the same size but other content, or without a file.
    (lists / "dev_tasks.txt").write_text("task000_t\n")
    (lists / "test_tasks.txt").write_text("task000_t\ntask009_e\nabsent\n")
    (lists / "train_tasks.txt").write_text("task000_t\ntask001_t\nabsent\n")
    changed = (tree / "tasks" / "task001_t.json").read_text().replace("First", "Fifth")
    (tree / "tasks" / "task009_e.json").write_text(changed)
    (tree / "tasks" / "broken.json").symlink_to("nowhere")
    ids(SuperNI(data_dir=str(tree)), "test")
    assert "train tasks too" not in caplog.text
    # Nothing can be trained on where only the tests are.
    (lists / "train_tasks.txt").write_text("absent\n")
    assert ids(SuperNI(data_dir=str(tree), num_dev_tasks=2), "test")


def test_a_split_without_any_file_is_an_error(tree: Path) -> None:
    (tree / "tasks" / "task009_e.json").unlink()
    with pytest.raises(UserError) as caught:
        SuperNI(str(tree)).examples(TRACK, "test")
    assert str(caught.value).startswith(
        "split 'test' of default is empty: none of the 1 tasks that it lists has a file in "
        f"{tree / 'tasks'}; "
    )


def test_a_missing_split_list_is_named(tree: Path) -> None:
    (tree / "splits" / TRACK / "test_tasks.txt").unlink()
    with pytest.raises(UserError, match=r"default/test_tasks\.txt is missing: each track needs"):
        SuperNI(str(tree)).task_names(TRACK, "test")


@pytest.mark.parametrize(
    ("track", "split", "only", "message"),
    [
        ("english", "test", None, "track='english' is not one of default, xlingual"),
        ("default", "tset", None, "split='tset' is not one of train, validation, dev, test, excl"),
        (
            "default",
            "train",
            "task002_f",
            "task='task002_f' is not in split 'train' of default; did you mean task00",
        ),
        ("default", "test", "task001_t", "task='task001_t' is not in split 'test' of default"),
    ],
)
def test_misspelt(tree: Path, track: str, split: str, only: str | None, message: str) -> None:
    with pytest.raises(UserError) as caught:
        SuperNI(str(tree)).examples(track, split, only)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("parts", [[], ["tasks"], ["splits"]])
def test_a_missing_directory_names_variable_macro_and_source(
    tmp_path: Path, parts: list[str]
) -> None:
    root = tmp_path / "tree"
    for part in parts:
        (root / part).mkdir(parents=True)
    with pytest.raises(UserError, match=r"tree.* is not a directory; ") as caught:
        SuperNI(str(root)).examples(TRACK, "test")
    for needed in ("TK_INSTRUCT_SUPERNI_DIR", "DATA_DIR", "allenai/natural-instructions"):
        assert needed in str(caught.value)


def test_no_directory_names_variable_macro_and_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TK_INSTRUCT_SUPERNI_DIR", raising=False)
    with pytest.raises(UserError) as caught:
        SuperNI().examples(TRACK, "test")
    assert str(caught.value) == (
        "no Super-NaturalInstructions data directory is set: give --data_dir, the gin macro "
        "DATA_DIR or $TK_INSTRUCT_SUPERNI_DIR a checkout of "
        "github.com/allenai/natural-instructions (it holds tasks/ and splits/), or write a small "
        "synthetic one with `tk-instruct mini DIRECTORY`"
    )


def test_the_variable_is_used_where_no_directory_is_given(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TK_INSTRUCT_SUPERNI_DIR", str(tree))
    assert SuperNI().examples(TRACK, "test") == SuperNI(str(tree)).examples(TRACK, "test")


# The cache


def test_what_comes_from_the_cache_is_what_was_read(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = SuperNI(str(tree), max_instances_per_train_task=7)
    first = {split: data.examples(TRACK, split) for split in ("train", "validation", "test")}

    def never(content: bytes, path: Path) -> None:
        raise AssertionError(f"{path} is parsed again")

    monkeypatch.setattr(records, "_parse", never)
    for split, examples in first.items():
        assert data.examples(TRACK, split) == examples
    with pytest.raises(AssertionError, match="parsed again"):
        SuperNI(str(tree), max_instances_per_train_task=8).examples(TRACK, "train")


def test_changed_content_of_the_same_size_and_time_is_read_again(tree: Path) -> None:
    path = tree / "tasks" / "task009_e.json"
    data = SuperNI(str(tree))
    before = data.examples(TRACK, "test")
    fingerprint = data.fingerprint(TRACK, "test")
    stat = path.stat()
    path.write_text(path.read_text().replace("input 3", "INPUT 3"))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (stat.st_size, stat.st_mtime_ns)
    after = data.examples(TRACK, "test")
    assert [example.input for example in after][3] == " INPUT 3\n"
    assert after[:3] == before[:3]
    assert data.fingerprint(TRACK, "test") != fingerprint


def test_a_damaged_cache_entry_is_made_again(tree: Path, tmp_path: Path) -> None:
    expected = SuperNI(str(tree)).examples(TRACK, "test")
    (entry,) = (path for path in (tmp_path / "cache").rglob("*.*") if path.is_file())
    whole = entry.read_bytes()
    for damaged in (b"", whole[:-1], whole[:40] + b"x" + whole[41:]):
        entry.write_bytes(damaged)
        assert SuperNI(str(tree)).examples(TRACK, "test") == expected
        assert entry.read_bytes() == whole


def test_a_renamed_task_has_its_new_name(tree: Path) -> None:
    SuperNI(str(tree)).examples(TRACK, "test")
    (tree / "tasks" / "task009_e.json").rename(tree / "tasks" / "task010_e.json")
    (tree / "splits" / TRACK / "test_tasks.txt").write_text("task010_e")
    assert {e.task.name for e in SuperNI(str(tree)).examples(TRACK, "test")} == {"task010_e"}


def test_a_broken_file_is_refused_every_time(tree: Path) -> None:
    write_task(tree / "tasks" / "task009_e.json", edited(Instances=[]))
    for _ in range(2):
        with pytest.raises(UserError, match=r"task009_e\.json: Instances is \[\] but must"):
            SuperNI(str(tree)).examples(TRACK, "test")


def break_two(tree: Path) -> str:
    """The message about two broken files of the train split."""
    write_task(tree / "tasks" / "task003_t.json", edited(Categories=[]))
    write_task(tree / "tasks" / "task001_t.json", edited(Instances=[]))
    path = tree / "tasks" / "task001_t.json"
    return f"{path}: Instances is [] but must be a list that is not empty; "


def test_of_several_broken_files_the_first_is_told_and_the_others_counted(tree: Path) -> None:
    message = break_two(tree)
    with pytest.raises(UserError) as caught:
        SuperNI(str(tree)).examples(TRACK, "train")
    assert str(caught.value).startswith(message)
    assert str(caught.value).endswith(" (1 more files are broken)")


def test_a_broken_task_that_is_not_asked_for_does_no_harm(tree: Path) -> None:
    break_two(tree)
    assert len(ids(SuperNI(str(tree)), "train", "task000_t")) == 40
    assert len(ids(SuperNI(str(tree)), "test")) == 5


def in_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "_BYTES_WORTH_A_PROCESS", 1)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)


def test_parsing_in_processes_gives_the_same(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = SuperNI(
        str(tree), seed=3, max_instances_per_train_task=9, cache_dir=str(tmp_path / "a")
    )
    expected = alone.examples(TRACK, "train")
    in_processes(monkeypatch)
    data = SuperNI(str(tree), seed=3, max_instances_per_train_task=9, cache_dir=str(tmp_path / "b"))
    assert data.examples(TRACK, "train") == expected

    def entries(cache: str) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (tmp_path / cache).rglob("*.*")}

    assert entries("a") == entries("b")
    assert len(entries("a")) == 4


def test_processes_report_broken_files(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    message = break_two(tree)
    in_processes(monkeypatch)
    with pytest.raises(UserError) as caught:
        SuperNI(str(tree)).examples(TRACK, "train")
    assert str(caught.value).startswith(message)
    assert str(caught.value).endswith(" (1 more files are broken)")


@pytest.mark.parametrize("prepare", [lambda _: None, in_processes])
def test_a_cache_that_cannot_be_written_is_a_user_error(
    tree: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    prepare: Callable[[pytest.MonkeyPatch], None],
) -> None:
    prepare(monkeypatch)
    (tmp_path / "a_file").write_text("")
    data = SuperNI(str(tree), cache_dir=str(tmp_path / "a_file"))
    with pytest.raises(UserError) as caught:
        data.examples(TRACK, "train")
    assert str(caught.value).startswith(f"{tmp_path / 'a_file' / 'records'}/")
    assert "cannot be written (" in str(caught.value)
    assert "broken" not in str(caught.value)


def test_default_cache_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert records.default_cache_dir() == tmp_path / "cache"
    monkeypatch.delenv("TK_INSTRUCT_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert records.default_cache_dir() == tmp_path / "xdg" / "tk_instruct"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert records.default_cache_dir() == tmp_path / ".cache" / "tk_instruct"


# Fingerprints


def test_the_fingerprint_follows_options_and_files_but_not_places(
    tree: Path, tmp_path: Path
) -> None:
    base = SuperNI(str(tree))
    fingerprint = base.fingerprint(TRACK, "train")
    moved = tree.rename(tmp_path / "moved")
    elsewhere = SuperNI(str(moved), cache_dir=str(tmp_path / "other"))
    assert elsewhere.fingerprint(TRACK, "train") == fingerprint
    others = {
        SuperNI(str(moved), seed=1).fingerprint(TRACK, "train"),
        SuperNI(str(moved), max_instances_per_train_task=9).fingerprint(TRACK, "train"),
        SuperNI(str(moved), num_dev_tasks=1).fingerprint(TRACK, "train"),
        SuperNI(str(moved), num_train_tasks=4).fingerprint(TRACK, "train"),
        elsewhere.fingerprint(TRACK, "validation"),
        elsewhere.fingerprint(TRACK, "train", "task001_t"),
    }
    assert len(others - {fingerprint}) == 6


def test_a_fingerprint_stays_as_it_was_when_runs_were_begun_by_it(tree: Path) -> None:
    """Written out as the first release had it: a run that it began is refused another."""
    options = {
        **{"data_dir": None, "seed": 0, "max_instances_per_train_task": 100},
        **{"max_instances_per_eval_task": 100, "max_instances_per_validation_task": 10},
        **{"num_dev_tasks": 0, "cache_dir": None},
    }
    expected = hashlib.sha256(json.dumps([2, TRACK, "test", options]).encode())
    for path in sorted((tree / "tasks").glob("task009_*.json")):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        expected.update(f"{path.stem}\0{content}\0".encode())
    data = SuperNI(str(tree), tokenization="released")  # of prompts, not of what is read
    assert data.fingerprint(TRACK, "test", "task009_e") == expected.hexdigest()


# The mini benchmark and real files


def test_the_mini_benchmark_against_its_files(mini_dir: Path) -> None:
    """Everything is where an independent reading of the JSON has it."""
    data = SuperNI(str(mini_dir))
    expected = []
    for name in (mini_dir / "splits/default/test_tasks.txt").read_text().split():
        content = json.loads((mini_dir / "tasks" / f"{name}.json").read_text())
        expected += [
            (name, content["Categories"][0], i["id"], i["input"], tuple(i["output"]))
            for i in content["Instances"][:100]
        ]
    assert [
        (e.task.name, e.task.category, e.id, e.input, e.references)
        for e in data.examples(TRACK, "test")
    ] == expected


def test_real_files(shared_data: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = shared_data / "natural-instructions"
    paths = sorted((root / "tasks").glob("*.json"))
    assert len(paths) == 35
    for path in paths:
        task, found = read_task(path)
        content = json.loads(path.read_text(encoding="utf-8"))
        assert task.name == path.stem
        assert task.category == content["Categories"][0]
        assert len(found) == len(content["Instances"])
        assert [example.input for example in task.positive_examples] == [
            example["input"] for example in content["Positive Examples"]
        ]
    data = SuperNI(str(root))
    with caplog.at_level(logging.WARNING, logger="tk_instruct"):
        num_tasks = {
            (track, split): len({e.task.name for e in data.examples(track, split)})
            for track in records.TRACKS
            for split in ("train", "test", "excluded")
        }
    assert num_tasks == {
        ("default", "train"): 18,
        ("default", "test"): 8,
        ("default", "excluded"): 9,
        ("xlingual", "train"): 21,
        ("xlingual", "test"): 5,
        ("xlingual", "excluded"): 9,
    }
    assert f"default/test: 111 of 119 listed tasks have no file in {root / 'tasks'}" in caplog.text
    assert len(data.task_names("default", "train")) == 756
    many = data.examples("default", "test", "task039_qasc_find_overlapping_words")
    assert len(many) == 33
    assert max(len(example.references) for example in many) > 5


def test_a_supervised_upper_bound_trains_on_other_instances(mini_dir: Path, tmp_path: Path) -> None:
    def data(**settings: Any) -> SuperNI:
        some = {"max_instances_per_eval_task": 25, "max_instances_per_train_task": 20}
        return SuperNI(
            data_dir=str(mini_dir), supervised=True, cache_dir=str(tmp_path), **some | settings
        )

    test = data().examples("default", "test")
    train, validation = (data().examples("default", split) for split in ("train", "validation"))
    tasks = {example.task.name for example in test}
    assert {example.task.name for example in train} <= tasks
    evaluated = {(example.task.name, example.input) for example in test}
    for other in (train, validation):
        assert not {example.id for example in other} & {example.id for example in test}
        assert not {(example.task.name, example.input) for example in other} & evaluated
    assert not {example.id for example in train} & {example.id for example in validation}
    assert train == data().examples("default", "train")
    assert train != data(seed=1).examples("default", "train")
    with pytest.raises(EmptySplitError, match="no test task has instances to train on beyond"):
        data(max_instances_per_eval_task=1000).examples("default", "train")
    # Of what is trained on otherwise nothing changes.
    assert data().examples("default", "test") == test
    assert "supervised" not in SuperNI(data_dir=str(mini_dir)).selection
