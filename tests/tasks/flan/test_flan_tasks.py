"""FLAN's SeqIO tasks and mixtures, on TFDS's own files with synthetic examples."""

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import gin
import numpy as np
import pytest
import seqio

from tk_instruct import cli
from tk_instruct.data import cache, pipeline, registry, tfds_source
from tk_instruct.data.seqio_bridge import declarations
from tk_instruct.data.templates import Template
from tk_instruct.data.tokens import FeatureLengths, Tokens
from tk_instruct.data.vocabulary import vocabulary
from tk_instruct.errors import UserError
from tk_instruct.metrics import METRICS
from tk_instruct.metrics.target import Target
from tk_instruct.tasks.flan import doctor as flan_doctor
from tk_instruct.tasks.flan import examples, mixtures, prompts, templates  # noqa: F401
from tk_instruct.tasks.flan.datasets import BY_NAME, DATASETS, Dataset
from tk_instruct.tasks.flan.tasks import target_of

LENGTHS = FeatureLengths(1024, 256)
DATASET = pytest.mark.parametrize("dataset", DATASETS, ids=lambda dataset: dataset.name)
FEW_SHOT = re.compile(r"\n\nOutput: .*?\n\n###\n\n", re.DOTALL)

pytestmark = pytest.mark.usefixtures("on_mini_flan")


def read(name: str, split: str, number: int | None = None) -> list[dict[str, Any]]:
    return list(itertools.islice(registry.get(name).examples(split, LENGTHS), number))


def tasks_of(dataset: Dataset) -> list[str]:
    names = registry.names(f"flan_{dataset.name}*")
    return [n for n in names if re.fullmatch(rf"flan_{dataset.name}(_[a-z_]+)?(\.t\d)?", n)]


# declarations


def test_importing_declares_everything_and_touches_nothing() -> None:
    code = """
import sys, time
import tk_instruct.data.seqio_bridge.declarations
opened = []
sys.addaudithook(lambda event, args: opened.append(args[0]) if event == "open" else
    opened.append(event) if event.startswith("socket") else None)
started = time.process_time()
import tk_instruct.tasks.flan.mixtures
import tk_instruct.tasks.self_instruct.mixtures, tk_instruct.tasks.superni.mixtures
seconds = time.process_time() - started
ours = ("site-packages", "lib/python", "entry_points.txt", "__editable__")
ours += ("t0_tasks.csv", "t0_datasets.csv", "collection.csv", "origins.csv")  # which ship
print(seconds, [o for o in map(str, opened) if not o.endswith((".py", ".pyc"))
    and not any(part in o for part in ours)])
"""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TK_INSTRUCT_")}
    environment["TFDS_DATA_DIR"] = "/nowhere/at/all"
    printed = subprocess.check_output(
        [sys.executable, "-B", "-c", code], env=environment, text=True, stderr=subprocess.DEVNULL
    )
    assert printed.partition(" ")[2].strip() == "[]"


@DATASET
def test_the_tasks_of_a_dataset(dataset: Dataset) -> None:
    found = tasks_of(dataset)
    few_shot = "train" in dataset.splits
    options = dataset.kind == "classification"
    forward = sum(templates.is_forward(t, dataset) for t in templates.own_templates(dataset))
    assert len(found) == 11 * (1 + few_shot) * (1 + options) + 2 + options * forward
    base = seqio.TaskRegistry.get(f"flan_{dataset.name}")
    assert set(base.splits) == set(dataset.splits)


def test_mixtures_and_their_rates() -> None:
    names = [name for name in seqio.MixtureRegistry.names() if name.startswith("flan_")]
    assert len(names) == 1 + 21 * 6  # FLAN 2022's is one
    rates = dict(
        zip(
            [t.name for t in registry.tasks_of("flan_all")],
            registry.rates_of("flan_all"),
            strict=True,
        )
    )
    assert len(rates) == 66
    assert set(rates.values()) == {1 / 66}  # 60 train examples each
    rate = seqio.MixtureRegistry.get("flan_all").get_rate
    assert rate(seqio.TaskRegistry.get("flan_rte")) == 60.0
    form = seqio.MixtureRegistry.get("flan_holdout_nli_no_options")
    assert {"flan_sst2_no_options", "flan_aeslc"} <= {task.name for task in form.tasks}


def test_rates_count_no_more_than_3000(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        examples, "count", lambda dataset, split: 30_000 if dataset.name == "rte" else 1000
    )
    task = replace(registry.get("flan_rte"), source=examples.source(BY_NAME["rte"]))
    assert task.num_input_examples("train") == 30_000
    assert registry.get("flan_all").parts["flan_rte"](task) == 3000


# examples


@DATASET
def test_every_split_reads_and_every_form_renders(dataset: Dataset) -> None:
    for split in dataset.splits:
        found = read(f"flan_{dataset.name}", split, 40)
        assert len(found) >= 20
        assert len({example["id"] for example in found}) == len(found)
        for example in found:
            assert example["inputs_pretokenized"].strip()
            assert not re.search(r"\{\w+\}", example["inputs_pretokenized"])
            assert target_of(example).references
    for name in tasks_of(dataset):
        assert len(read(name, "test", 2)) == 2


@DATASET
def test_packed_batches_hold_the_tokens_of_all_examples(dataset: Dataset) -> None:
    split = "train" if "train" in dataset.splits else "test"
    found = read(f"flan_{dataset.name}", split, 40)
    tokens = [Tokens(e["id"], e["inputs"], e["targets"]) for e in found]
    batch = pipeline.pack(tokens, LENGTHS)
    assert sorted(itertools.chain(*batch.ids)) == sorted(example["id"] for example in found)
    assert batch.num_tokens == sum(len(t.inputs) + len(t.targets) for t in tokens)
    inputs = batch.arrays["encoder_input_tokens"]
    assert np.count_nonzero(inputs) == sum(len(t.inputs) for t in tokens)


@pytest.mark.parametrize(
    "name", ["flan_rte", "flan_rte_fewshot.t2", "flan_drop", "flan_rte_rank.t0"]
)
def test_seqio_reads_what_we_do(name: str) -> None:
    task = seqio.TaskRegistry.get(name)
    dataset = task.get_dataset(LENGTHS.as_dict(), "test", shuffle=False, try_in_mem_cache=False)
    ours = read(name, "test")
    for theirs, own in zip(dataset.as_numpy_iterator(), ours, strict=True):
        assert theirs["inputs"].tolist() == own["inputs"].tolist()
        assert theirs["targets"].tolist() == own["targets"].tolist()
        assert theirs["id"].decode() == own["id"]


def test_a_template_is_drawn_for_each_example_and_every_example_is_there() -> None:
    texts = [example["inputs_pretokenized"] for example in read("flan_rte", "train")]
    assert len(texts) == 60
    own = templates.own_templates(BY_NAME["rte"])
    fields = [examples.load(BY_NAME["rte"], "train")[k] for k in range(60)]
    counts: Counter[int] = Counter()
    for text, record in zip(texts, fields, strict=True):
        values = {**{f: str(record[f]) for f in BY_NAME["rte"].fields}}
        values["options_"] = "OPTIONS:\n- yes\n- no"
        (number,) = [k for k, t in enumerate(own) if t.render(values, "")[0] == text]
        counts[number] += 1
    assert len(counts) >= 8
    assert texts == [example["inputs_pretokenized"] for example in read("flan_rte", "train")]
    gin.bind_parameter("FLAN.seed", 1)
    assert texts != [example["inputs_pretokenized"] for example in read("flan_rte", "train")]


def test_only_training_turns_the_task_around() -> None:
    for dataset in DATASETS:
        if dataset.kind == "classification":
            for example in read(f"flan_{dataset.name}", "test", 24):
                assert example["targets_pretokenized"] == example[dataset.target]


def test_the_ablations_and_the_forms_without_options() -> None:
    (named,) = read("flan_wmt14_enfr_dataset_name", "test", 1)
    (bare,) = read("flan_wmt14_enfr_no_template", "test", 1)
    assert bare["inputs_pretokenized"] == bare["sent1"]
    assert bare["targets_pretokenized"] == bare["sent2"]
    assert named["inputs_pretokenized"] == f"[Translation: WMT'14 to French] {bare['sent1']}"
    for name in ("flan_rte_no_options.t0", "flan_rte_fewshot_no_options.t0"):
        (without,) = read(name, "test", 1)
        assert "OPTIONS" not in without["inputs_pretokenized"]
    with_options, without = (
        read(f"flan_rte{form}.t0", "test", 1)[0] for form in ("", "_no_options")
    )
    assert with_options["inputs_pretokenized"] == (
        without["inputs_pretokenized"] + "\n\nOPTIONS:\n- yes\n- no"
    )


# few-shot


@pytest.mark.parametrize("name", ["flan_rte", "flan_samsum", "flan_cosmos_qa", "flan_sentiment140"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_exemplars_fit_are_at_most_16_and_never_the_query(name: str, split: str) -> None:
    dataset = BY_NAME[name.removeprefix("flan_")]
    zero_shot = {e["id"]: e for e in read(f"{name}.t1", split, 24)}
    train = {e["inputs_pretokenized"]: e for e in read(f"{name}.t1", "train")}
    for example in read(f"{name}_fewshot.t1", split, 24):
        text = example["inputs_pretokenized"]
        assert len(example["inputs"]) < prompts.MAX_FEW_SHOT_TOKENS
        *exemplars, query = text.split("\n\n###\n\n")
        own = zero_shot[example["id"]]
        assert query == own["inputs_pretokenized"] + "\n\nOutput:"
        assert 1 <= len(exemplars) <= 16
        for exemplar in exemplars:
            inputs, _, targets = exemplar.rpartition("\n\nOutput: ")
            assert train[inputs]["targets_pretokenized"] == targets
            assert train[inputs]["id"] != example["id"]
            assert inputs != own["inputs_pretokenized"]
        assert example["targets_pretokenized"] == own["targets_pretokenized"]
    assert dataset.name in name


def test_as_many_exemplars_as_fit() -> None:
    loaded = vocabulary()
    found = read("flan_imdb_reviews_fewshot.t0", "test", 24)
    full = [e for e in found if e["inputs_pretokenized"].count("###") == 16]
    assert full  # of short reviews all 16
    gin.bind_parameter("vocabulary.name", "bytes")
    for example in read("flan_imdb_reviews_fewshot.t0", "test", 24):
        text = example["inputs_pretokenized"]
        length = len(vocabulary().encode(text)) + 1
        assert length < prompts.MAX_FEW_SHOT_TOKENS
        longest = max(map(len, text.encode().split(b"\n\n###\n\n"))) + len(b"\n\n###\n\n")
        assert length + 2 * longest >= prompts.MAX_FEW_SHOT_TOKENS
    assert loaded is not vocabulary()


def test_a_prompt_that_fills_the_budget_has_no_exemplars() -> None:
    task = registry.get("flan_multi_news_fewshot.t0")
    for example in task.examples("test", FeatureLengths(16, 16)):
        assert "###" not in example["inputs_pretokenized"]
        assert example["inputs_pretokenized"].endswith("Output:")


# scoring


def test_seqio_evaluates_generation_and_ranked_options(tmp_path: Path) -> None:
    for name, model in (
        ("flan_rte.t0", {"predict_fn": lambda e: "yes"}),
        ("flan_rte_rank.t0", {"score_fn": lambda e: float(e["is_right"] == b"yes")}),
    ):
        task = seqio.TaskRegistry.get(name)
        found = list(
            task.get_dataset(
                LENGTHS.as_dict(), "test", shuffle=False, try_in_mem_cache=False
            ).as_numpy_iterator()
        )
        targets = [
            task.postprocess_fn(e["targets_pretokenized"].decode(), example=e, is_target=True)
            for e in found
        ]
        if "predict_fn" in model:
            (metric,) = task.predict_metric_fns
            share = np.mean([t.references == ("yes",) for t in targets])
            assert metric(targets, [model["predict_fn"](e) for e in found]) == {
                "accuracy": pytest.approx(100 * share)
            }
        else:
            (metric,) = task.score_metric_fns
            assert metric(targets, [model["score_fn"](e) for e in found]) == {"accuracy": 100.0}
            assert len(found) == 2 * len({t.example for t in targets})


@DATASET
def test_right_answers_score_full_marks_by_the_datasets_metrics(dataset: Dataset) -> None:
    from tk_instruct.metrics.generation import LOWER_IS_BETTER
    from tk_instruct.tasks.flan.scoring import measured

    found = read(f"flan_{dataset.name}", "test", 24)
    targets = [target_of(example) for example in found]
    right = measured(dataset, targets, [target.references[0] for target in targets])
    main = next(iter(right))
    assert right[main].score == pytest.approx(0.0 if main in LOWER_IS_BETTER else 100.0)
    wrong = measured(dataset, targets, ["qwxz"] * len(targets))
    score = wrong[main].score
    assert (score > 1.0) if main in LOWER_IS_BETTER else (score < 60.0)
    for of in wrong.values():
        assert np.isfinite(of.values).all()
        assert len(of.values) == len(targets)


def test_every_example_has_a_right_option() -> None:
    for name in ("stsb", "record", "copa", "cb"):
        right: Counter[str] = Counter()
        for example in read(f"flan_{name}_rank.t0", "test"):
            right[example["of"]] += example["is_right"] == "yes"
        assert set(right.values()) == {1}, name


def test_an_example_like_the_query_is_no_exemplar() -> None:
    """Some datasets have an input once for each of its references."""
    template = Template("t", "{a}", "{b}")
    rows = [("words: dog park", f"The dog runs, {k}.") for k in range(5)] + [("x", "y")]
    shots = prompts.FewShot(
        [f"i{k}" for k in range(6)], lambda k, _: rows[k], 0, vocabulary(), max_input_tokens=None
    )
    assert shots.inputs(template, "i0", rows[0][0]) == (
        "x\n\nOutput: y\n\n###\n\nwords: dog park\n\nOutput:"
    )


def test_a_turned_around_template_is_scored_by_what_it_asks_for() -> None:
    own = templates.own_templates(BY_NAME["rte"])
    (number,) = [k for k, t in enumerate(own) if not templates.is_forward(t, BY_NAME["rte"])]
    (example,) = read(f"flan_rte.t{number}", "test", 1)
    assert target_of(example).references == (example["targets_pretokenized"],)
    (metric,) = registry.get(f"flan_rte.t{number}").metric_fns
    rouge = set(METRICS["rouge"]([Target(("a",))], ["a"]))
    assert set(metric([target_of(example)], ["yes"])) == rouge
    assert f"flan_rte_rank.t{number}" not in registry.names()


def test_what_is_scored_follows_the_users_wording(tmp_path: Path) -> None:
    ours = list(templates.OWN["rte"])
    theirs = dict(templates.OWN) | {"rte": [ours[-1], *ours[:-1]]}  # turned around comes first
    (tmp_path / "templates.py").write_text(f"PATTERNS = {theirs!r}\n", encoding="utf-8")
    first, last = (registry.get(f"flan_rte.t{number}").metric_fns[0] for number in (0, 9))
    target = [Target(("yes",), ("yes", "no"))]
    assert set(first(target, ["yes"])) == {"accuracy"}
    assert "accuracy" not in last(target, ["yes"])
    gin.bind_parameter("FLAN.templates", str(tmp_path))
    assert "accuracy" not in first(target, ["yes"])
    assert set(last(target, ["yes"])) == {"accuracy"}


def test_translation_is_scored_both_ways() -> None:
    name = "flan_wmt14_enfr"
    own = templates.own_templates(BY_NAME["wmt14_enfr"])
    assert all(templates.is_forward(template, BY_NAME["wmt14_enfr"]) for template in own)
    (back,) = read(f"{name}.t9", "test", 1)
    assert target_of(back).references == (back["sent1"],)


# bad input


@pytest.fixture
def copied(flan_dir: str, tmp_path: Path) -> Path:
    """RTE and CB alone, to be broken."""
    for name in ("super_glue/rte/1.0.2", "super_glue/cb/1.0.2"):
        shutil.copytree(Path(flan_dir) / name, tmp_path / name)
    gin.bind_parameter("tfds_data_dir.directory", str(tmp_path))
    return tmp_path


def message_of(name: str, split: str = "train") -> str:
    with pytest.raises(UserError) as caught:
        read(name, split)
    return str(caught.value)


def test_a_field_that_has_gone_is_named(copied: Path) -> None:
    path = copied / "super_glue/rte/1.0.2/features.json"
    path.write_text(path.read_text().replace('"hypothesis"', '"conclusion"'))
    message = message_of("flan_rte")
    assert "has no field 'hypothesis', only conclusion, idx, label, premise" in message
    assert str(copied / "super_glue/rte/1.0.2") in message
    assert "prepare that version" in message


def test_a_label_beyond_the_options_is_named(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BY_NAME["cb"].__class__, "__setattr__", object.__setattr__, raising=False)
    monkeypatch.setattr(BY_NAME["cb"], "options", ("Yes", "No"))
    examples._load.cache_clear()
    assert "field label of example cb-train-" in message_of("flan_cb")
    examples._load.cache_clear()


def test_a_fingerprint_stays_as_it_was_when_runs_were_begun_by_it() -> None:
    """Written out as the first release had it: a run that it began is refused another."""
    part = "Part(split='train', start=None, stop=-200, most=30000, nth=0, of=1)"
    files = tfds_source.fingerprint(BY_NAME["rte"].tfds)
    assert registry.get("flan_rte").fingerprint("train") == f"{files} {part} 0 "


def test_data_that_is_missing_says_where_it_was_looked_for(copied: Path) -> None:
    message = message_of("flan_sst2")
    assert message.startswith(f"glue/sst2:2.0.0 is not in {copied}; `tk-instruct tasks prepare")
    shutil.move(copied / "super_glue/cb/1.0.2", copied / "super_glue/cb/1.0.1")
    assert "(of other versions there are 1.0.1)" in message_of("flan_cb")


def test_a_split_that_is_empty_is_an_error(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = copied / "super_glue/rte/1.0.2/dataset_info.json"
    content = json.loads(info.read_text())
    for split in content["splits"]:
        if split["name"] == "train":
            split["shardLengths"] = ["100"]  # all of them held out
    info.write_text(json.dumps(content))
    assert "leaves no example for train of the 0 that it has" in message_of("flan_rte")
    with pytest.raises(UserError, match="leaves no example for train"):
        cache.open_tokens(registry.get("flan_rte"), "train", LENGTHS)


def test_files_that_are_cut_off_are_named(copied: Path) -> None:
    (path,) = (copied / "super_glue/rte/1.0.2").glob("*train*")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 10])
    assert f"{path} cannot be read up to example 60 (" in message_of("flan_rte")
    path.write_bytes(b"")  # no record is cut, they are just not there
    assert "up to example 60 (it ends before that)" in message_of("flan_rte")


def test_a_mixture_does_without_what_is_missing_only_when_told(
    copied: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(UserError) as caught:
        registry.check_mixture("flan_all")
    message = str(caught.value)
    assert message.startswith("64 of 66 tasks of flan_all have no data: flan_aeslc, ")
    assert "flan_rte" not in message.partition("The first")[0]
    assert "--skip_missing" in message
    gin.bind_parameter("skip_missing.enabled", True)
    assert [task.name for task in registry.tasks_of("flan_all")] == ["flan_cb", "flan_rte"]
    assert registry.rates_of("flan_all") == [0.5, 0.5]
    with caplog.at_level("INFO", logger="tk_instruct"):
        registry.check_mixture("flan_all")
    assert re.search(r"flan_rte +50\.00% +60", caplog.text)
    part = seqio.MixtureRegistry.get(declarations.available("flan_all"))
    assert [part.get_rate(task) for task in part.tasks] == [0.5, 0.5]
    shutil.rmtree(copied / "super_glue")
    with pytest.raises(UserError, match="none of the 66 tasks of flan_all has its data"):
        registry.tasks_of("flan_all")


# what a user sees


def test_tasks_list_and_show(
    flan_dir: str, flan_vocabulary: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gin.clear_config()
    assert cli.main(["tasks", "list", "flan_rte*"]) == 0
    assert "flan_rte_fewshot.t9" in capsys.readouterr().out
    data = [f"--tfds_data_dir={flan_dir}", f"--vocabulary={flan_vocabulary}"]
    assert cli.main(["tasks", "show", "flan_rte", "-n", "3", *data]) == 0
    shown = capsys.readouterr().out
    assert shown.count("OPTIONS:\n- yes\n- no\ntarget  ") + shown.count("── rte ──") >= 3
    assert cli.main(["tasks", "stats", "flan_rte", "--split=test", *data]) == 0
    assert "flan_rte / test: 1 tasks, 24 instances\n  categories        nli 1" in (
        capsys.readouterr().out
    )


def test_prepare_downloads_what_is_not_there(
    flan_dir: str, copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gin.clear_config()
    prepare = ["tasks", "prepare", f"--tfds_data_dir={copied}"]
    assert cli.main([*prepare, "flan_rte", "super_glue/cb:1.0.2"]) == 0
    assert f"[2/2] super_glue/cb:1.0.2 is in {copied}/super_glue/cb/1.0.2" in (
        capsys.readouterr().out
    )
    assert cli.main([*prepare, "flan_newsroom"]) == 1  # its files are to be fetched by hand
    error = capsys.readouterr().err
    assert "newsroom:1.0.0 cannot be prepared (AssertionError: Manual directory" in error
    assert f"(put into {copied}/downloads/manual)" in error
    assert cli.main([*prepare, "no_such_dataset:1.0.0"]) == 1
    assert "no_such_dataset:1.0.0 cannot be prepared (DatasetNotFoundError" in (
        capsys.readouterr().err
    )
    assert cli.main([*prepare, "superni_en_def"]) == 2
    assert "superni_en_def: there is nothing to download" in capsys.readouterr().err
    whole = ["tasks", "prepare", f"--tfds_data_dir={flan_dir}", "flan_2022"]
    assert cli.main(whole) == 0  # of a mixture, what TFDS has
    assert "[66/66]" in capsys.readouterr().out


@pytest.mark.parametrize("file", ["dataset_info.json", "features.json"])
@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b"{", b"[" * 100_000, b'{"name": [1]}'])
def test_the_doctor_lists_a_dataset_whose_description_is_damaged(
    copied: Path, file: str, content: bytes
) -> None:
    (copied / "super_glue/cb/1.0.2" / file).write_bytes(content)
    (finding,) = (found for found in flan_doctor.check() if found.dataset == "cb")
    assert finding.state == "broken"
    assert str(copied / "super_glue/cb/1.0.2") in finding.advice


def test_the_doctor_knows_what_is_there(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gin.clear_config()
    (path,) = (copied / "super_glue/cb/1.0.2").glob("*train*")
    path.write_bytes(path.read_bytes()[:500])
    assert cli.main(["tasks", "doctor", "flan", f"--tfds_data_dir={copied}"]) == 1
    printed = capsys.readouterr().out
    assert re.search(r"\nrte +super_glue/rte:1\.0\.2 +present +60 +200 +24 +not stated", printed)
    assert re.search(r"\ncb +super_glue/cb:1\.0\.2 +broken", printed)
    assert f"cb: broken; {path} cannot be read" in printed
    assert f"1 of 70 datasets are in {copied}" in printed
    assert re.search(
        r"sst2.*: missing; `tk-instruct tasks prepare flan_DATASET` downloads", printed
    )
    assert re.search(r"newsroom: missing; by hand: You should download .*downloads/manual", printed)
    assert cli.main(["tasks", "doctor", "flan", f"--tfds_data_dir={copied}", "--json"]) == 1
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {f["dataset"] for f in found if f["state"] == "present"} == {"rte"}


@pytest.mark.parametrize(
    "code",
    [
        b"import os\nPATTERNS = os.system('touch ran')",
        b"PATTERNS = {'rte': [(open('ran', 'w').name, 'x')]}",
        b"PATTERNS = __import__('os').environ",
        b"PATTERNS = {'rte': [(f'{open(chr(114))}', 'x')]}",
        b"PATTERNS = " + b"[" * 100_000,
        b"PATTERNS = " + b"-" * 100_000 + b"1",
        b"PATTERNS = " + b"[" * 150 + b"]" * 150,
        b"PATTERNS = {'rte': [('{premise}', 7)]}",
        b"PATTERNS = {'rte': [(7, 'x')]}",
        b"PATTERNS = {'rte': [('a', 'b', 'c')]}",
        b"PATTERNS = {'rte': 7}",
        b"\xff\xfe",
        b"a\0b",
        b"",
    ],
    ids=range(14),
)
def test_a_file_of_templates_is_never_run(
    code: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "templates.py").write_bytes(code)
    gin.bind_parameter("FLAN.templates", str(tmp_path))
    with pytest.raises(UserError, match=r"defines no PATTERNS|no templates"):
        templates.templates_of(DATASETS[0])
    assert [path.name for path in tmp_path.iterdir()] == ["templates.py"]


def test_placeholders_reach_nothing_but_fields() -> None:
    hostile = "{a.__class__} {a[0]} {a!r} {a:>9999999999} %s %(a)s {{a}} {0}"
    with pytest.raises(UserError, match=r"\{0\} has no value"):
        Template("t", hostile, "x").render({"a": "text"}, "id")
    rendered, _ = Template("t", hostile.removesuffix(" {0}"), "x").render({"a": "text"}, "id")
    assert rendered == "{a.__class__} {a[0]} {a!r} {a:>9999999999} %s %(a)s {text}"
