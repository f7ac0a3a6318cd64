"""Declaring reads nothing, reading gives text and tokens, and names lead to what they say."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import seqio

from tk_instruct.data import registry
from tk_instruct.data.code import code_hash
from tk_instruct.data.seqio_bridge import declarations
from tk_instruct.data.task import RawExample, Render, Rendering, Source, Task
from tk_instruct.data.tokens import FeatureLengths
from tk_instruct.errors import EmptySplitError, UserError

ROWS: list[RawExample] = [
    {"id": f"i{k}", "part": "ab"[k % 2], "text": text, "answers": [text, "né"]}
    for k, text in enumerate(["aé", "b", "", "漢字", "longer text", "z"])
]
LENGTHS = FeatureLengths(16, 8)


class Rows:
    """Rows with a count of how often they were asked for."""

    def __init__(self, rows: Sequence[RawExample]) -> None:
        self.rows = rows
        self.num_loads = 0

    def load(self, split: str) -> Sequence[RawExample]:
        self.num_loads += 1
        return self.rows if split == "train" else self.rows[:1]

    def source(self, narrow: Any = None) -> Source:
        fields = {"id": False, "part": False, "text": False, "answers": True}
        return Source(["train", "test"], fields, self.load, lambda split: split, narrow)


def _part(constituent: str) -> Source:
    rows = [row for row in ROWS if row["part"] == constituent.partition("-")[0]]
    return Rows(rows).source()


prepared: list[tuple[Any, int | None]] = []


def _prepare(tokenizer: Any, max_input_tokens: int | None) -> Render:
    prepared.append((tokenizer, max_input_tokens))

    def render(text: str, answers: Sequence[str]) -> tuple[str, str]:
        assert isinstance(text, str)
        return text + "!", answers[-1]

    return render


class Stream(Rows):
    """The rows by an iterator, and how many have been taken."""

    num_read = 0

    def load(self, split: str) -> Any:
        def rows() -> Iterator[RawExample]:
            found = super(Stream, self).load(split)
            if not found:
                raise EmptySplitError(f"{split} is empty")
            for row in found:
                self.num_read += 1
                yield row

        return rows()


whole, small, stream = Rows(ROWS), Rows(ROWS[:2]), Stream(ROWS)


def declare(name: str, source: Source, **more: Any) -> None:
    rendering = Rendering(_prepare, reads=["text", "answers"])
    registry.add(Task(name, source, rendering, lambda example: example["answers"], [], **more))


@pytest.fixture(scope="module", autouse=True)
def _declared() -> Iterator[None]:
    declare("declared_whole", whole.source(_part))
    declare("declared_small", small.source())
    declare("declared_stream", stream.source())
    declare("declared_open", whole.source(), inputs_have_eos=False)
    registry.add(registry.proportional("declared_both", ["declared_whole", "declared_small"]))
    declarations.declare_names(["declared_both", "declared_stream", "declared_open"])
    yield
    seqio.MixtureRegistry.remove("declared_both")
    for name in registry.names("declared_*"):
        registry._added.pop(name)
        if name in seqio.TaskRegistry.names():
            seqio.TaskRegistry.remove(name)


@pytest.fixture(autouse=True)
def _bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TK_INSTRUCT_VOCABULARY", "bytes")


def test_declaring_reads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TK_INSTRUCT_VOCABULARY")
    lazy = Rows(ROWS)
    declare("declared_lazy", lazy.source())
    declarations.declare_names(["declared_lazy"])
    assert registry.get("declared_lazy").name == "declared_lazy"
    assert seqio.TaskRegistry.get("declared_lazy").name == "declared_lazy"
    assert lazy.num_loads == 0


def test_examples_are_rendered_and_tokenised() -> None:
    first, _, empty, *_ = registry.get("declared_whole").examples("train", LENGTHS)
    assert {key: value for key, value in first.items() if key not in ("inputs", "targets")} == {
        **{"id": "i0", "part": "a", "text": "aé", "answers": ["aé", "né"]},
        **{"inputs_pretokenized": "aé!", "targets_pretokenized": "né"},
    }
    # A byte is its value + 3 and EOS 1.
    assert first["inputs"].tolist() == [100, 198, 172, 36, 1]
    assert first["targets"].tolist() == [113, 198, 172, 1]
    assert empty["inputs"].tolist() == [36, 1]


def test_examples_come_in_the_order_of_the_source() -> None:
    found = registry.get("declared_whole").examples("train", LENGTHS)
    assert [example["id"] for example in found] == ["i0", "i1", "i2", "i3", "i4", "i5"]


def test_what_is_too_long_is_cut_before_its_eos() -> None:
    found = list(registry.get("declared_whole").examples("train", FeatureLengths(12, 3)))
    assert found[4]["inputs"].tolist() == [*(byte + 3 for byte in b"longer text"), 1]
    assert {tuple(example["targets"].tolist()) for example in found} == {(113, 198, 1)}


def test_inputs_of_a_task_may_lack_eos() -> None:
    first, _, _, _, long, _ = registry.get("declared_open").examples("train", FeatureLengths(6, 8))
    assert first["inputs"].tolist() == [100, 198, 172, 36]
    assert first["targets"].tolist() == [113, 198, 172, 1]
    assert long["inputs"].tolist() == [byte + 3 for byte in b"longer"]
    tasks: list[Any] = [registry.get("declared_whole"), registry.get("declared_open")]
    assert len({code_hash(task.code) for task in tasks}) == 2  # the token cache tells them apart


def test_rendering_is_prepared_with_tokenizer_and_limit_when_it_is_used() -> None:
    prepared.clear()
    list(registry.get("declared_whole").examples("test", FeatureLengths(9, 5)))
    ((tokenizer, limit),) = prepared
    assert tokenizer.encode("a") == [100]
    assert limit == 9


@pytest.mark.parametrize("name", ["declared_whole", "declared_stream", "declared_open"])
@pytest.mark.parametrize("lengths", [LENGTHS, FeatureLengths(12, 3)])
def test_examples_are_those_of_the_seqio_dataset(name: str, lengths: FeatureLengths) -> None:
    """Which is not what they are read from."""
    by_seqio = seqio.TaskRegistry.get(name)
    dataset = by_seqio.get_dataset(lengths.as_dict(), "train", shuffle=False)
    found = list(registry.get(name).examples("train", lengths))
    for example, expected in zip(found, dataset.as_numpy_iterator(), strict=True):
        assert example.keys() == expected.keys()
        for field, value in expected.items():
            if field in ("inputs", "targets"):
                assert example[field].dtype == value.dtype == np.int32
                assert example[field].tolist() == value.tolist()
            elif field == "answers":
                assert [text.encode() for text in example[field]] == value.tolist()
            else:
                assert example[field].encode() == value


def test_a_split_that_is_not_there_is_refused() -> None:
    with pytest.raises(UserError) as caught:
        next(registry.get("declared_whole").examples("dev", LENGTHS))
    assert str(caught.value) == "split='dev' is not one of declared_whole's: test, train"


def ids_of(
    shuffle: bool,
    seed: int | None = None,
    shard: seqio.ShardInfo | None = None,
    name: str = "declared_whole",
) -> list:
    source = seqio.TaskRegistry.get(name).source
    dataset = source.get_dataset("train", shuffle=shuffle, seed=seed, shard_info=shard)
    return [example["id"].decode() for example in dataset.as_numpy_iterator()]


def test_shuffling_is_by_seed() -> None:
    orders = {tuple(ids_of(True, seed)) for seed in range(20)}
    assert len(orders) > 10
    assert all(sorted(order) == [f"i{k}" for k in range(6)] for order in orders)
    assert ids_of(True, 4) == ids_of(True, 4)


@pytest.mark.parametrize("name", ["declared_whole", "declared_stream"])
def test_shards_are_disjoint_and_complete(name: str) -> None:
    shards = [ids_of(True, 1, seqio.ShardInfo(index, 4), name) for index in range(4)]
    assert sorted(id_ for shard in shards for id_ in shard) == [f"i{k}" for k in range(6)]
    assert sorted(map(len, shards)) == [1, 1, 2, 2]


def test_seqio_shards_a_task_over_hosts() -> None:
    """More hosts than the source has shards: SeqIO shards the examples."""
    task = seqio.TaskRegistry.get("declared_whole")
    shards = [
        [
            example["id"].decode()
            for example in task.get_dataset(
                LENGTHS.as_dict(), "train", shuffle=False, shard_info=seqio.ShardInfo(index, 2)
            ).as_numpy_iterator()
        ]
        for index in range(2)
    ]
    assert sorted(shards[0] + shards[1]) == [f"i{k}" for k in range(6)]


def test_the_number_of_examples_is_known() -> None:
    task = registry.get("declared_whole")
    assert task.num_input_examples("train") == 6
    assert task.num_input_examples("test") == 1
    by_seqio = seqio.TaskRegistry.get("declared_whole").source
    assert by_seqio.get_dataset("train").cardinality().numpy() == 6


def test_a_stream_is_read_as_far_as_it_is_needed() -> None:
    task = registry.get("declared_stream")
    assert task.num_input_examples("train") == 6
    stream.num_read = 0
    next(iter(task.examples("train", LENGTHS)))
    assert stream.num_read == 1
    by_seqio = seqio.TaskRegistry.get("declared_stream")
    dataset = by_seqio.get_dataset(LENGTHS.as_dict(), "train", shuffle=True, seed=3)
    for _ in range(2):  # a dataset may be read again
        found = [example["id"].decode() for example in dataset.as_numpy_iterator()]
        assert sorted(found) == [f"i{k}" for k in range(6)]


def test_a_stream_says_that_it_is_empty_when_it_is_read() -> None:
    declare("declared_empty", Stream([]).source())
    declarations.declare_names(["declared_empty"])
    source = seqio.TaskRegistry.get("declared_empty").source
    with pytest.raises(EmptySplitError, match="train is empty"):
        source.get_dataset("train")
    # SeqIO caches it as one example, which holds the reason.
    (example,) = source.get_dataset("train", shard_info=seqio.ShardInfo(0, 1)).as_numpy_iterator()
    assert b"train is empty" in example["cache_origin"]


def test_names_by_shell_pattern_and_by_part() -> None:
    assert registry.names("declared_s[mn]*") == ["declared_small"]
    assert registry.names("declared_[bw]*") == ["declared_both", "declared_whole"]
    assert registry.names("clared_b") == ["declared_both"]
    assert registry.names("nothing") == registry.names("whole*") == []
    assert {"declared_both", "declared_small", "declared_whole"} <= set(registry.names())


def test_a_name_that_is_not_listed_is_found_whole_and_told_as_the_nearest() -> None:
    hidden = replace(registry.declared("declared_small"), name="declared_hidden", is_listed=False)  # type: ignore[type-var]
    registry.add(hidden)
    assert registry.names("declared_hidden") == ["declared_hidden"]
    assert "declared_hidden" not in {
        *registry.names("declared_hidde"),
        *registry.names("declared*"),
    }
    with pytest.raises(UserError, match="did you mean 'declared_hidden'"):
        registry.get("declared_hidde")


def test_the_nearest_name_is_told() -> None:
    with pytest.raises(UserError) as caught:
        registry.get("declared_smal")
    assert str(caught.value) == (
        "task or mixture 'declared_smal' is not declared; did you mean 'declared_small'? "
        "`tk-instruct tasks list` shows all"
    )
    with pytest.raises(UserError, match="'€' is not declared; `tk-instruct tasks list`"):
        registry.get("€")


def test_a_mixture_has_its_tasks_in_proportion() -> None:
    tasks, rates = registry.tasks_of("declared_both"), registry.rates_of("declared_both")
    assert [(task.name, rate) for task, rate in zip(tasks, rates, strict=True)] == [
        ("declared_small", 0.25),
        ("declared_whole", 0.75),
    ]
    assert [task.name for task in registry.tasks_of("declared_small")] == ["declared_small"]
    assert registry.rates_of("declared_small") == [1.0]


def test_a_subset_is_declared_once_and_holds_one_part() -> None:
    name = registry.subset("declared_whole", "b")
    assert name == "declared_whole.b"
    assert registry.subset("declared_whole", "b") == name
    found = registry.get(name).examples("train", LENGTHS)
    assert [example["id"] for example in found] == ["i1", "i3", "i5"]
    assert registry.get(name).num_input_examples("train") == 3


def test_a_subset_of_a_part_whose_name_seqio_refuses() -> None:
    name = registry.subset("declared_whole", "a-1.1 x#2d")
    assert name == "declared_whole.a#2d1.1#20x#232d"
    assert registry.subset("declared_whole", "a-1.1 x-") != name
    found = registry.get(name).examples("train", LENGTHS)
    assert [example["id"] for example in found] == ["i0", "i2", "i4"]


@pytest.mark.parametrize("name", ["declared_small", "declared_both"])
def test_what_has_no_parts_has_no_subset(name: str) -> None:
    with pytest.raises(UserError, match=f"'{name}' has no parts to choose 'a' from; leave it out"):
        registry.subset(name, "a")


@pytest.mark.parametrize(
    ("inputs", "targets", "message"),
    [(1, 8, "inputs=1 must be"), (8, 0, "targets=0 must be"), (8.0, 8, "inputs=8.0 must be")],
)
def test_feature_lengths_that_hold_nothing_are_refused(
    inputs: Any, targets: Any, message: str
) -> None:
    with pytest.raises(UserError, match=f"feature length {message} a whole number ≥ 2"):
        FeatureLengths(inputs, targets)


def test_features_are_int32() -> None:
    first = next(registry.get("declared_whole").examples("train", LENGTHS))
    assert first["inputs"].dtype == first["targets"].dtype == np.int32


@pytest.mark.parametrize(
    ("task", "unit"),
    [
        ("superni_en_def", "the task"),
        ("ni_v1_random_full", "the task"),
        ("self_instruct", "the task"),
        ("self_instruct_user_oriented", "the task"),
        ("jsonl", "the task"),
        ("flan_multirc", "the question"),
        ("flan_rte", "the id"),
        ("flan_rte_rank.t0", "what the option is of"),
        ("p3_super_glue_rte_does_it_follow_that", "the id"),
        ("p3_super_glue_rte_does_it_follow_that_score_eval", "what the option is of"),
    ],
)
def test_the_unit_that_a_suite_samples(task: str, unit: str) -> None:
    example = {
        "id": "the id",
        "task": "the task",
        "group": "the question" if task == "flan_multirc" else "",
        "of": "what the option is of",
    }
    found: Any = registry.get(task)
    assert found.unit_of(example) == unit
