"""P3's tasks and T0's mixtures."""

import csv
import gzip
import json
import re
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import gin
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import seqio

from tk_instruct import cli, suite
from tk_instruct.data import cache, registry
from tk_instruct.data.seqio_bridge import declarations
from tk_instruct.data.tokens import FeatureLengths
from tk_instruct.errors import EmptySplitError, MissingDataError, UserError
from tk_instruct.metrics.target import OptionTarget, Target
from tk_instruct.tasks.p3 import t0, tasks, templates
from tk_instruct.tasks.p3.templates import DatasetName

LENGTHS = FeatureLengths(64, 16)
TREE = """dataset: mine
templates:
  a1: !Template
    answer_choices: no ||| yes
    id: a1
    jinja: '{{ text }} Is it so? ||| {{ answer_choices[label] }}'
    metadata: !TemplateMetadata
      metrics: [Accuracy]
      original_task: true
    name: is it so?
  b2: !Template
    id: b2
    jinja: '{{ ["Say", "Tell"] | choice }}: {{ text }} ||| {{ other }}'
    metadata: !TemplateMetadata
      metrics: [ROUGE, BLEU]
      original_task: false
    name: say or tell
"""
ROWS = [
    {"text": "One.", "label": 1, "other": "1"},
    {"text": "Two ||| three.", "label": 0, "other": ""},
    {"text": "Four.", "label": 1, "other": "4"},
]
ASKED = "p3_mine_is_it_so_"
SAID = "p3_mine_say_or_tell"


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A tree with the data set `mine`, and its rows, in use."""
    suite.import_configurables()
    (tmp_path / "tree" / "mine").mkdir(parents=True)
    (tmp_path / "tree" / "mine" / "templates.yaml").write_text(TREE)
    (tmp_path / "data" / "mine").mkdir(parents=True)
    write(tmp_path, ROWS)
    gin.bind_parameter("P3.templates", str(tmp_path / "tree"))
    gin.bind_parameter("P3.data", str(tmp_path / "data"))
    gin.bind_parameter("vocabulary.name", "bytes")
    return tmp_path


def write(folder: Path, rows: list[dict[str, Any]], name: str = "train.jsonl") -> None:
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "data" / "mine" / name).write_text(lines)


def raw(name: str, split: str = "train") -> list[Any]:
    return list(registry.get(name).source.load(split))  # type: ignore[union-attr]


# names


def test_names_are_those_of_t_zero_one_to_one(shared_data: Path) -> None:
    with (shared_data / "promptsource" / "t0_tasks.csv").open() as file:
        released = list(csv.DictReader(file))
    names = set()
    for row in released:
        dataset = DatasetName(row["dataset"], row["subset"] or None)
        [prompts] = [
            prompts
            for prompts in tasks.prompts_of(dataset, row["template"])
            if prompts.task == f"p3_{row['task']}"
        ]
        names.add(prompts.task)
    assert len(names) == len(released) == 592
    assert names <= set(registry.names("p3_*"))


def test_names_suit_seqio_and_shells() -> None:
    for name in registry.names("p3_*"):
        assert re.fullmatch(r"[A-Za-z0-9_.]+", name)
    assert tasks.name_of(DatasetName("Zaid/quac_expanded"), "What's this?") == (
        "p3_Zaid_quac_expanded_What_s_this_"
    )


def test_importing_and_listing_read_no_templates_of_others_and_no_data(tmp_path: Path) -> None:
    suite.import_configurables()
    gin.bind_parameter("P3.templates", str(tmp_path / "nothing"))
    gin.bind_parameter("P3.data", str(tmp_path / "nothing"))
    assert len(registry.tasks_of("t0pp_train")) == 464
    with pytest.raises(UserError, match=r"--p3_templates=.* has no DATASET"):
        registry.get("p3_glue_mrpc_equivalent").fingerprint("train")  # type: ignore[union-attr]


def test_the_tree_in_use_declares_its_own_tasks(mine: Path) -> None:
    assert registry.names("p3_mine*") == [ASKED, SAID]
    assert registry.tasks_of("p3_train")[0].name == ASKED
    assert registry.suite_of(SAID) == suite.suites()["p3"]
    tree = mine / "tree" / "mine" / "templates.yaml"
    tree.write_text(TREE + TREE.partition("templates:\n")[2].partition("  b2")[0].replace(
        "a1", "c3").replace("is it so?", "is it?"))  # fmt: skip
    assert registry.get("p3_mine_is_it_")  # a template that is added is found
    gin.bind_parameter("P3.templates", None)
    with pytest.raises(UserError, match="'p3_mine_is_it_so_' is not declared"):
        registry.get(ASKED)


def test_two_templates_whose_tasks_have_one_name_are_refused(mine: Path) -> None:
    tree = mine / "tree" / "mine" / "templates.yaml"
    tree.write_text(TREE.replace("say or tell", "is it so!"))
    with pytest.raises(UserError, match=r"'is it so!' of mine and 'is it so\?' of mine are both"):
        registry.names("p3_mine*")
    tree.write_text(TREE.replace("say or tell", "is it so__score_eval"))
    with pytest.raises(UserError, match="are both the task p3_mine_is_it_so__score_eval; rename"):
        registry.names("p3_mine*")


# examples


def test_examples_hold_what_promptsource_knows_of_them(mine: Path) -> None:
    assert raw(ASKED)[1] == {
        "id": f"{ASKED}-train-1",
        "task": ASKED,
        "dataset": "mine",
        "subset": "",
        "template": "is it so?",
        "row": "1",
        "prompt": "Two ||| three. Is it so?",
        "answer": "no",
        "options": ["no", "yes"],
        "references": ["no"],
    }


def test_dropped_rows_are_counted_and_told(mine: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    assert [example["row"] for example in raw(SAID)] == ["0", "2"]
    assert f"{SAID}/train: 1 of 3 rows are dropped (empty target: 1, first row 1)" in caplog.text


def test_a_template_that_drops_all_rows_is_an_error_that_names_it(mine: Path) -> None:
    write(mine, [{**row, "other": " "} for row in ROWS])
    message = r"the template 'say or tell' of mine makes no example of 3 rows \(empty target: 3"
    with pytest.raises(EmptySplitError, match=message):
        raw(SAID)
    write(mine, [])
    with pytest.raises(EmptySplitError, match=r"mine has no rows in train; get its"):
        raw(ASKED)


def test_choices_are_a_function_of_seed_template_and_row(mine: Path) -> None:
    rows = [{"text": str(k), "label": 0, "other": "x"} for k in range(200)]
    write(mine, rows)
    first = [example["prompt"] for example in raw(SAID)]
    assert first == [example["prompt"] for example in raw(SAID)]
    said = Counter(prompt.partition(":")[0] for prompt in first)
    assert min(said["Say"], said["Tell"]) > 70
    # Also where other rows are not there.
    write(mine, rows[:50])
    assert [example["prompt"] for example in raw(SAID)] == first[:50]
    before = registry.get(SAID).fingerprint("train")  # type: ignore[union-attr]
    gin.bind_parameter("P3.seed", 1)
    assert [example["prompt"] for example in raw(SAID)] != first[:50]
    assert registry.get(SAID).fingerprint("train") != before  # type: ignore[union-attr]


def test_a_changed_template_row_or_seed_is_a_changed_task(mine: Path) -> None:
    def fingerprints() -> tuple[str, ...]:
        found = (registry.get(name) for name in (ASKED, SAID))
        return tuple(task.fingerprint("train") for task in found)  # type: ignore[union-attr]

    asked, said = fingerprints()
    tree = mine / "tree" / "mine" / "templates.yaml"
    tree.write_text(TREE.replace("Is it so? |||", "So? |||"))
    assert fingerprints()[0] != asked
    assert fingerprints()[1] == said  # another template of the tree
    tree.write_text(TREE)
    assert fingerprints() == (asked, said)
    gin.bind_parameter("P3.seed", 1)
    assert fingerprints()[0] == asked  # draws nothing
    write(mine, ROWS[:2])
    assert fingerprints()[0] != asked


def test_a_column_that_is_missing_is_told_with_the_repair(mine: Path) -> None:
    write(mine, [{"text": "x", "coarse-label": 1, "other": "y"}] * 2)
    message = r"mine, split train: the template 'is it so\?' reads label, and the data have text, "
    with pytest.raises(MissingDataError, match=message + r"coarse-label, other; correct the t"):
        registry.get(ASKED).fingerprint("train")  # type: ignore[union-attr]
    assert registry.get(SAID).fingerprint("train")  # type: ignore[union-attr]
    write(mine, [ROWS[0], {"text": "x", "other": "y"}])
    with pytest.raises(
        UserError, match=r"row 1: the template 'is it so\?' reads label, and the row"
    ):
        raw(ASKED)


def test_a_template_that_cannot_be_parsed_is_named(mine: Path) -> None:
    tree = mine / "tree" / "mine" / "templates.yaml"
    tree.write_text(TREE.replace("{{ other }}", "{{ other"))
    with pytest.raises(
        UserError, match=r"the template 'say or tell' of mine cannot be parsed \(unexp"
    ):
        raw(SAID)


def test_a_target_that_is_no_choice_is_told_where_it_is_scored(mine: Path) -> None:
    tree = mine / "tree" / "mine" / "templates.yaml"
    tree.write_text(TREE.replace("{{ answer_choices[label] }}", "{{ other }}"))
    assert [example["answer"] for example in raw(ASKED)] == ["1", "4"]  # to train on
    message = (
        r"mine , row 0: the template 'is it so\?' has the choices \['no', 'yes'\], without the"
    )
    with pytest.raises(UserError, match=message):
        raw(f"{ASKED}_score_eval")


def test_score_eval_has_one_example_for_each_different_choice(mine: Path) -> None:
    tree = mine / "tree" / "mine" / "templates.yaml"
    tree.write_text(TREE.replace("no ||| yes", "no ||| yes ||| no"))
    found = raw(f"{ASKED}_score_eval")
    assert [(e["of"], e["option"], e["is_right"]) for e in found[:2]] == [
        (f"{ASKED}-train-0", "no", "no"),
        (f"{ASKED}-train-0", "yes", "yes"),
    ]
    assert len(found) == 6
    assert raw(ASKED)[0]["options"] == ["no", "yes", "no"]


def test_inputs_have_no_eos_and_targets_have_one(mine: Path) -> None:
    [first, *_] = registry.get(ASKED).examples("train", LENGTHS)  # type: ignore[union-attr]
    assert first["inputs"].tolist() == [b + 3 for b in b"One. Is it so?"]
    assert first["targets"].tolist() == [b + 3 for b in b"yes"] + [1]


def test_anli_s_rounds_are_splits_of_its_files(mine: Path) -> None:
    folder = mine / "data" / "anli"
    folder.mkdir()
    for name in ("train_r1", "dev_r1", "test_r1", "train_r2-00000-of-00001"):
        row = {"premise": name, "hypothesis": "h", "label": 0}
        (folder / f"{name}.jsonl").write_text(json.dumps(row) + "\n")
    (mine / "tree" / "anli").mkdir()
    anli = TREE.replace("mine", "anli").replace("{{ text }}", "{{ premise }}")
    (mine / "tree" / "anli" / "templates.yaml").write_text(anli.partition("  b2")[0])
    assert registry.names("p3_anli_is_it_so_*") == [f"p3_anli_is_it_so__r{k}" for k in (1, 2, 3)]
    task: Any = registry.get("p3_anli_is_it_so__r1")
    found = {split: raw(task.name, split)[0]["prompt"] for split in task.splits}
    assert found == {
        "train": "train_r1 Is it so?",
        "validation": "dev_r1 Is it so?",
        "test": "test_r1 Is it so?",
    }
    assert raw("p3_anli_is_it_so__r2")[0]["prompt"] == "train_r2-00000-of-00001 Is it so?"
    with pytest.raises(MissingDataError):
        raw("p3_anli_is_it_so__r3")


@pytest.mark.parametrize("form", ["parquet", "jsonl", "jsonl.gz"])
def test_all_formats_give_the_same_examples(mine: Path, form: str) -> None:
    expected = raw(ASKED)
    path = mine / "data" / "mine" / "train.jsonl"
    if form == "parquet":
        pq.write_table(pa.Table.from_pylist(ROWS[:2]), path.with_name("train-0-of-2.parquet"))
        pq.write_table(pa.Table.from_pylist(ROWS[2:]), path.with_name("train-1-of-2.parquet"))
        path.unlink()
    elif form == "jsonl.gz":
        path.with_name("train.jsonl.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    assert raw(ASKED) == expected


# mixtures


def test_the_mixtures_are_the_released_ones() -> None:
    sizes = {name: len(registry.tasks_of(name)) for name in registry.names("t0*")}
    assert sizes == {
        "t0_train": 313,
        "t0p_train": 392,
        "t0pp_train": 464,
        "t0_train_one_og_prompt": 35,
        "t0_train_all_og_prompts": 222,
        "t0_eval": 116,
        "t0_eval_score_eval": 116,
        "t0_train_eval": 87,
        "t0_train_eval_score_eval": 87,
        "t0_bias_fairness_eval": 16,
        "t0_bias_fairness_eval_score_eval": 16,
    }
    assert [str(name) for name in t0.held_out()] == [
        "anli", "hellaswag", "story_cloze/2016", "super_glue/cb", "super_glue/copa",
        "super_glue/rte", "super_glue/wic", "super_glue/wsc.fixed", "winogrande/winogrande_xl",
    ]  # fmt: skip


def test_the_shares_are_those_of_the_released_mixtures(shared_data: Path) -> None:
    """Computed from t-zero's own list alone, and compared with what the mixtures say."""
    folder = shared_data / "promptsource"
    with (folder / "t0_tasks.csv").open() as file:
        released = list(csv.DictReader(file))
    expected = json.loads((folder / "t0_shares.json").read_text())
    columns = {"t0+_train": "t0p_train", "t0++_train": "t0pp_train"}
    for column, of in expected.items():
        mixture: Any = registry.get(columns.get(column, column))
        theirs = {f"p3_{r['task']}": float(r["cap"]) for r in released if r[column] == "1"}
        assert mixture.rates() == theirs
        assert (len(theirs), mixture.total_rate) == (of["tasks"], of["total_rate"])
        shares: dict[str, float] = defaultdict(float)
        names = [task.name for task in registry.tasks_of(mixture.name)]
        for name, rate in zip(names, registry.rates_of(mixture.name), strict=True):
            source = next(r for r in released if f"p3_{r['task']}" == name)
            shares["/".join(filter(None, (source["dataset"], source["subset"])))] += rate
        assert dict(shares) == pytest.approx(of["share_by_dataset"], abs=1e-6)


def test_data_sets_of_more_than_500_000_examples_share_that_number() -> None:
    assert t0.datasets()[DatasetName("gigaword")].rate == 500_000 // 9
    assert t0.datasets()[DatasetName("glue", "mrpc")].rate == 3668
    assert (t0.capped(500_000, 3), t0.capped(500_001, 3)) == (500_000, 166_666)


def test_mixtures_of_a_tree_hold_out_what_t0_holds_out(mine: Path) -> None:
    gin.bind_parameter("P3.templates", None)
    train = {task.name for task in registry.tasks_of("p3_train")}
    scored = {task.name for task in registry.tasks_of("p3_eval")}
    assert train
    assert scored
    held_out = ("p3_super_glue_", "p3_anli_", "p3_wino_bias_")
    assert not any(name.startswith(held_out) for name in train)
    assert all(name.startswith(held_out) for name in scored)
    gin.bind_parameter("P3.templates", str(mine / "tree"))
    assert registry.rates_of("p3_train") == [0.5, 0.5]


def test_a_mixture_s_tree_must_have_its_templates(mine: Path) -> None:
    with pytest.raises(UserError, match=r"313 of 313 tasks of t0_train have no data: p3_adv"):
        registry.check_mixture("t0_train")


# SeqIO


def test_seqio_has_the_same_examples_and_ids(mine: Path) -> None:
    declarations.declare_names([ASKED, SAID])
    for name in (ASKED, SAID):
        ours = list(registry.get(name).examples("train", LENGTHS))  # type: ignore[union-attr]
        dataset = seqio.get_mixture_or_task(name).get_dataset(
            {"inputs": 64, "targets": 16}, "train", shuffle=False
        )
        theirs = list(dataset.as_numpy_iterator())
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs, strict=True):
            assert a["id"].encode() == b["id"]
            assert a["inputs"].tolist() == b["inputs"].tolist()
            assert a["targets"].tolist() == b["targets"].tolist()


def test_seqio_s_targets_and_metrics_are_ours(mine: Path) -> None:
    task: Any = registry.get(ASKED)
    example = next(task.examples("train", LENGTHS))
    assert task.target(example) == Target(("yes",), ("no", "yes"))
    assert task.metric_fns[0]([Target(("yes",))] * 2, ["yes", "no"]) == {"accuracy": 50.0}
    scored: Any = registry.get(f"{ASKED}_score_eval")
    targets = [scored.target(e) for e in scored.examples("train", LENGTHS)]
    assert targets[:2] == [
        OptionTarget(f"{ASKED}-train-0", is_correct=False),
        OptionTarget(f"{ASKED}-train-0", is_correct=True),
    ]
    assert scored.metric_fns[0](targets, [-1.0, -0.5, -3.0, -2.0, -0.1, -0.2]) == {
        "accuracy": pytest.approx(100 / 3)
    }
    said: Any = registry.get(SAID)
    names = ["rougeLsum", "rouge1", "rouge2", "bleu"]
    assert list(said.metric_fns[0]([Target(("a",))], ["a"])) == names
    assert list(said.metric_fns[0].measure([Target(("a",))], ["a"])) == names


# verbs


def test_show_tells_template_and_choices(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--p3_templates", f"{mine}/tree", "--p3_data", f"{mine}/data", "--vocabulary=bytes"]
    assert cli.main(["tasks", "show", ASKED, "-n", "1", *words]) == 0
    shown = capsys.readouterr().out
    assert "template  is it so?\n" in shown
    assert "choices   no | yes\n" in shown
    assert "One. Is it so?" in shown


def test_export_has_promptsource_s_names(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--p3_templates", f"{mine}/tree", "--p3_data", f"{mine}/data"]
    command = ["tasks", "export", "p3_mine*", "--split=train", "--format=jsonl", "--output=-"]
    assert cli.main([*command, *words]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["template"], line["row"]) for line in lines] == [
        *(("is it so?", row) for row in (0, 1, 2)), ("say or tell", 0), ("say or tell", 2),
    ]  # fmt: skip
    assert lines[0] == {
        "id": f"{ASKED}-train-0", "task": ASKED, "inputs": "One. Is it so?", "targets": "yes",
        "dataset": "mine", "subset": None, "template": "is it so?", "row": 0,
        "choices": ["no", "yes"],
    }  # fmt: skip
    assert lines[-1]["choices"] is None


def test_export_never_replaces_data(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = mine / "data" / "mine" / "train.jsonl"
    before = path.read_bytes()
    words = ["--p3_templates", f"{mine}/tree", "--p3_data", f"{mine}/data", "--output", f"{path}"]
    assert cli.main(["tasks", "export", "p3_mine*", *words]) == 2
    assert "belongs to --p3_data, which is never changed" in capsys.readouterr().err
    assert path.read_bytes() == before


def test_tokens_are_made_again_when_a_template_changes(mine: Path) -> None:
    task: Any = registry.get(ASKED)
    before = cache._path(task, "train", LENGTHS)
    tree = mine / "tree" / "mine" / "templates.yaml"
    tree.write_text(TREE.replace("Is it so? |||", "So? |||"))
    assert cache._path(task, "train", LENGTHS) != before
    assert templates.tree().about.startswith("promptsource templates, version unknown, finger")


def test_rates_show_the_shares_of_data_sets(capsys: pytest.CaptureFixture[str]) -> None:
    """Without templates and without data."""
    assert cli.main(["tasks", "rates", "t0_train"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["cnn_dailymail/3.0.0", "9", "2,584,017", "14.956%"]
    assert lines[-1].split() == ["all", "313", "17,277,798"]
    assert len(lines) == 1 + 38 + 1
    assert cli.main(["tasks", "rates", "t0_train", "--tasks", "--json"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(found) == 313
    assert sum(each["share"] for each in found) == pytest.approx(1)
