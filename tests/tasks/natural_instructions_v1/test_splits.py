"""The 61 tasks, the splits of tasks, and which instances are evaluated."""

import math
from collections import Counter
from pathlib import Path

import gin
import pytest
from one_task import NAME, write

from tk_instruct.data import registry
from tk_instruct.errors import EmptySplitError, UserError
from tk_instruct.tasks.natural_instructions_v1.settings import ni_v1_task
from tk_instruct.tasks.natural_instructions_v1.splits import (
    CATEGORIES,
    collection,
    evaluated,
    task_splits,
)


def test_the_numbers_of_tasks_are_the_papers() -> None:
    """Mishra et al. 2022, table 2."""
    counts = Counter(member.category for member in collection().values())
    assert [counts[category] for category in CATEGORIES] == [13, 16, 12, 8, 10, 2]
    assert len(collection()) == 61
    assert [name[7:10] for name in collection()] == [f"{number:03}" for number in range(1, 62)]


def test_the_random_split_is_the_published_one() -> None:
    tasks = task_splits()["random"]
    assert [name[7:10] for name in tasks.unseen] == [
        *("002", "003", "005", "008", "022", "033", "034", "039", "040", "044", "045", "052"),
    ]
    of_category = Counter(collection()[name].category for name in tasks.unseen)
    assert set(of_category.values()) == {2}
    assert sorted([*tasks.seen, *tasks.unseen]) == sorted(collection())


def test_leaving_one_out() -> None:
    for name, tasks in task_splits().items():
        kind, _, what = name.removeprefix("without_").partition("_")
        if not name.startswith("without_"):
            continue
        attribute = {"task": "name"}.get(kind, kind)
        assert {getattr(collection()[task], attribute) for task in tasks.unseen} == {what}
        assert all(getattr(collection()[task], attribute) != what for task in tasks.seen)
    assert len(task_splits()["without_dataset_qasc"].unseen) == 7
    assert len(task_splits()) == 1 + 6 + 10 + 61 + 61


@pytest.mark.parametrize("num_instances", [*range(161, 400), 521, 928, 4500, 6500])
def test_evaluated_instances_as_released(num_instances: int) -> None:
    step = math.floor((num_instances - 60) / 100)
    released = list(range(60, num_instances - 1, step))[:100]
    assert list(evaluated(num_instances)) == released
    assert len(released) == 100


@pytest.mark.parametrize(
    ("num_instances", "first", "number"),
    [(160, 60, 100), (159, 60, 99), (120, 60, 60), (100, 50, 50), (58, 29, 29), (1, 0, 1)],
)
def test_evaluated_instances_of_small_tasks(num_instances: int, first: int, number: int) -> None:
    """Where the released rule has no step, or not a hundred instances."""
    assert list(evaluated(num_instances)) == list(range(first, first + number))
    assert first + number == num_instances


def _ids(name: str, split: str) -> list[str]:
    return [example["id"] for example in registry.get(name).texts(split)]  # type: ignore[union-attr]


def test_instances_of_the_splits(ni_v1_dir: Path) -> None:
    gin.bind_parameter("NaturalInstructionsV1.data", str(ni_v1_dir))
    gin.bind_parameter("NaturalInstructionsV1.train_examples", None)
    name = "ni_v1_random_none"
    train, validation, test, everything = (
        _ids(name, split) for split in ("train", "validation", "test", "all")
    )
    assert len(everything) == len(set(everything)) == 26 * 180 + 58
    assert set(train) | set(validation) | set(test) <= set(everything)
    assert not set(train) & set(validation)
    tasks_of = {id_.rpartition("-")[0] for id_ in test}
    assert tasks_of == set(task_splits()["random"].unseen)
    assert not tasks_of & {id_.rpartition("-")[0] for id_ in train}
    assert len(test) == 12 * 100
    assert len(validation) == 14 * 100 + 29


def test_what_stands_in_prompts_is_not_trained_on(tmp_path: Path) -> None:
    """An instance that stands for a positive example would be shown with its own answer."""
    write(tmp_path)
    gin.bind_parameter("NaturalInstructionsV1.data", str(tmp_path))
    gin.bind_parameter("NaturalInstructionsV1.num_examples", 3)
    gin.bind_parameter("NaturalInstructionsV1.train_examples", None)
    examples = registry.get(f"ni_v1_only_task_{NAME}_positive").texts("train")  # type: ignore[union-attr]
    for example in examples:
        shown, _, own = example["inputs_pretokenized"].rpartition("\ninput: ")
        assert own.removesuffix("\noutput:") not in shown
        assert int(example["index"]) not in (0, 1, *evaluated(161))


def test_small_tasks_are_drawn_as_often_as_large_ones(tmp_path: Path) -> None:
    """As the authors say: allenai/natural-instructions-v1, issue 4."""
    write(tmp_path)
    gin.bind_parameter("NaturalInstructionsV1.data", str(tmp_path))
    gin.bind_parameter("NaturalInstructionsV1.train_examples", 150)
    name = f"ni_v1_only_task_{NAME}_none"
    ids = _ids(name, "train")
    assert len(ids) == len(set(ids)) == 150
    assert registry.get(name).num_input_examples("train") == 150  # type: ignore[union-attr]
    times = Counter(id_.partition("#")[0] for id_ in ids)
    assert set(times.values()) == {2, 3}
    gin.bind_parameter("NaturalInstructionsV1.train_examples", 20)
    few = _ids(name, "train")
    assert len(few) == 20
    gin.bind_parameter("NaturalInstructionsV1.seed", 1)
    assert _ids(name, "train") != few


def test_a_task_that_is_left_out_is_not_trained_on(ni_v1_dir: Path) -> None:
    gin.bind_parameter("NaturalInstructionsV1.data", str(ni_v1_dir))
    task = "subtask045_miscellaneous_sentence_paraphrasing"
    name = f"ni_v1_without_task_{task}_prompt"
    assert {id_.rpartition("-")[0] for id_ in _ids(name, "test")} == {task}
    assert task not in {id_.rpartition("-")[0] for id_ in _ids(name, "train")}
    assert name not in registry.names("ni_v1_*")  # but its full name is found
    assert "ni_v1_random_full" in registry.names("ni_v1_random_*")


def test_splits_without_a_file(tmp_path: Path) -> None:
    write(tmp_path)
    gin.bind_parameter("NaturalInstructionsV1.data", str(tmp_path))
    with pytest.raises(EmptySplitError, match="has none of its task files, such as subtask001"):
        _ids("ni_v1_random_none", "train")


def test_a_recipe_chooses_tasks_and_encoding() -> None:
    assert ni_v1_task() == "ni_v1_random_full"
    assert ni_v1_task("without_dataset_qasc", "none") == "ni_v1_without_dataset_qasc_none"
    with pytest.raises(UserError, match="'without_dataset_qask' is not known; did you mean 'with"):
        ni_v1_task("without_dataset_qask")
    with pytest.raises(UserError, match=r"encoding='fulll' is not known; did you mean "):
        ni_v1_task(encoding="fulll")
    with pytest.raises(
        UserError, match="encoding='x' is not known; `tk-instruct tasks list 'ni_v1"
    ):
        ni_v1_task(encoding="x")
