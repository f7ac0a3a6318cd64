"""Which tasks are related by their source datasets: what suites say of theirs, and findings."""

import json
from pathlib import Path

import gin
import pytest

from tk_instruct import configuration, suite
from tk_instruct.audit.by_origin import OriginFinding, as_text, by_origin, unknown
from tk_instruct.data import registry
from tk_instruct.data.registry import origins_of_tasks
from tk_instruct.errors import MissingDataError, UserError

TRAIN = ["task1_squad1.1_answer_generation", "task2_reverse_array", "task3_answer_generation"]
TEST = [
    "task1344_glue_entailment_classification",
    "task4_anli_r3_entailment",
    "task5_aqa1.0_classification",
    "task2_reverse_array",
    "task6_dart_text_generation",
]


def _write_task(tree: Path, name: str, source: object) -> None:
    (tree / "tasks" / f"{name}.json").write_text(json.dumps({"Source": source, "Instances": []}))


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Lists of tasks, and the beginnings of two task files."""
    configuration.import_declarations()
    for folder in ("tasks", "splits/default"):
        (tmp_path / folder).mkdir(parents=True)
    for split, names in {"train": TRAIN, "test": TEST}.items():
        (tmp_path / "splits" / "default" / f"{split}_tasks.txt").write_text("\n".join(names))
    _write_task(tmp_path, "task3_answer_generation", ["winograd_wsc", 'no "dataset" [1]'])
    _write_task(
        tmp_path, "task5_aqa1.0_classification", "Adverserial QA https://a.b/adversarial_qa"
    )
    monkeypatch.setenv("TK_INSTRUCT_SUPERNI_DIR", str(tmp_path))
    return tmp_path


def test_task_files_say_their_sources_and_names_do_without_them(tree: Path) -> None:
    assert origins_of_tasks("superni_en_def", "train") == {
        TRAIN[0]: {"squad"},
        TRAIN[1]: set(),
        TRAIN[2]: {"winograd_schemas"},
    }
    assert origins_of_tasks("superni_en_def", "test")[TEST[2]] == {"adversarial_qa"}


def test_a_source_that_nobody_knows_leaves_the_name(tree: Path) -> None:
    _write_task(tree, TRAIN[0], ["super_glue (https://huggingface.co/datasets/super_glue)"])
    assert origins_of_tasks("superni_en_def", "train")[TRAIN[0]] == {"squad"}


def test_a_source_of_another_form_is_named(tree: Path) -> None:
    _write_task(tree, TRAIN[0], ["squad", 3])
    with pytest.raises(UserError, match=rf"{TRAIN[0]}.json: Source\[1\] is 3"):
        origins_of_tasks("superni_en_def", "train")


def test_training_on_rte_is_seen_in_evaluations_of_entailment(tree: Path) -> None:
    found = by_origin(["flan_rte"], ["superni_en_def"])
    assert found.findings == [
        OriginFinding("rte", TEST[0], "same_dataset", ["rte"]),
        OriginFinding("rte", TEST[1], "eval_from_train", ["rte"]),
    ]
    assert found.train == {"rte": {"rte"}}
    assert unknown(found.evaluation) == ["task2_reverse_array"]
    assert as_text(found).splitlines() == [
        "evaluation  tasks  relation         dataset  training (tasks)",
        "anli_r3         1  eval_from_train  rte      rte (1)",
        "rte             1  same_dataset     rte      rte (1)",
        "",
        "2 of 5 evaluation tasks have a source dataset in common with one of 1 training tasks. "
        "This is no proof of common examples.",
        "Of unknown origin: 1 evaluation tasks, 0 training tasks.",
    ]


def test_every_relation_the_closest_first(tree: Path) -> None:
    found = by_origin(["superni_en_def", "flan_qnli", "flan_wnli"], ["superni_en_def:test"])
    assert [(f.train_task, f.eval_task, f.relation, f.datasets) for f in found.findings] == [
        ("task2_reverse_array", "task2_reverse_array", "same_task", []),
        (TRAIN[0], TEST[2], "eval_from_train", ["squad"]),
        ("qnli", TEST[2], "same_corpus", ["squad"]),
    ]
    back = by_origin(["superni_en_def:test"], ["flan_squad_v1", "flan_web_nlg_en", "flan_wnli"])
    assert [(f.train_task, f.eval_task, f.relation) for f in back.findings] == [
        (TEST[2], "squad_v1", "train_from_eval"),
        (TEST[4], "web_nlg_en", "train_from_eval"),
    ]


def test_a_subset_has_one_constituent(tree: Path) -> None:
    for name in (TRAIN[0], TRAIN[2]):
        assert origins_of_tasks(registry.subset("superni_en_def", name), "train").keys() == {name}


def test_a_split_that_a_task_lacks() -> None:
    with pytest.raises(UserError, match="split='dev' is not one of flan_rte's: test, train, valid"):
        by_origin(["flan_rte:dev"], [])


def test_lists_of_tasks_are_needed(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TK_INSTRUCT_SUPERNI_DIR")
    with pytest.raises(MissingDataError, match="no Super-NaturalInstructions data directory"):
        by_origin(["flan_rte"], ["superni_en_def"])


def test_the_table_knows_what_suites_name() -> None:
    configuration.import_declarations()
    for name in ("flan_all", "flan_wsc273", "t0pp_train", "t0_eval", "t0_bias_fairness_eval"):
        assert unknown(origins_of_tasks(name, "test")) == []
    of_ni_v1 = unknown(origins_of_tasks("ni_v1_random_full", "all"))
    assert [name.partition("_")[0] for name in of_ni_v1] == [
        "subtask045",
        "subtask046",
        "subtask047",
    ]
    # They know nothing of theirs.
    for name in ("jsonl", "self_instruct", "flan_2022_cot"):
        assert origins_of_tasks(name, "train") == {name: frozenset()}


def test_constituents_are_those_of_examples(ni_v1_dir: Path, p3_dir: Path) -> None:
    configuration.import_declarations()
    gin.bind_parameter("NaturalInstructionsV1.data", str(ni_v1_dir))
    gin.bind_parameter("P3.data", str(p3_dir))
    of_p3 = registry.tasks_of("p3_train")[0].name  # of the templates that ship
    for name in ("ni_v1_random_full", of_p3):
        task = registry.declared(name)
        examples = task.source.load("train")  # type: ignore[union-attr]
        found = {example["task"] for example in examples}
        assert found
        assert found <= origins_of_tasks(name, "train").keys()


def test_every_suite_with_origins_has_the_function() -> None:
    with_origins = {name for name, of in suite.suites().items() if of.origins}
    assert with_origins == {"superni", "flan", "p3", "ni_v1"}


def test_anli_in_rounds_and_the_tasks_of_options() -> None:
    configuration.import_declarations()
    name = "p3_anli_GPT_3_style_r1"
    assert origins_of_tasks(name, "train") == {name: {"anli_r1"}}
    assert origins_of_tasks(f"{name}_score_eval", "train") == {name: {"anli_r1"}}
    assert origins_of_tasks("flan_rte_rank.t0", "test") == {"rte": {"rte"}}


def test_t0_in_flan_2022() -> None:
    configuration.import_declarations()
    found = origins_of_tasks("flan_2022_t0_fewshot", "train")
    assert found == origins_of_tasks("t0_train", "train")
