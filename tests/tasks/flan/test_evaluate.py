"""FLAN's evaluation: a tiny run on a held-out cluster, its numbers recomputed from the files."""

import itertools
import json
import math
import shutil
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

import gin
import numpy as np
import pytest
from jaxtyping import Float
from pandas import DataFrame
from scipy import stats
from statsmodels.api import OLS
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from tk_instruct import cli, scored_instances
from tk_instruct.data import registry
from tk_instruct.data.tokens import FeatureLengths
from tk_instruct.errors import UserError
from tk_instruct.evaluate import of_run
from tk_instruct.files import Path as AnyPath
from tk_instruct.metrics.target import Target
from tk_instruct.scored_instances import LABELS, MAIN, Scored, ScoredInstances, joined
from tk_instruct.tasks.flan import scoring, summary, templates
from tk_instruct.tasks.flan.datasets import BY_NAME
from tk_instruct.tasks.flan.examples import load
from tk_instruct.tasks.flan.protocol import Job, Prompt, meant_by

SETTINGS = [
    f"{shots}_{method}" for method in ("generation", "rank") for shots in ("zero_shot", "few_shot")
]


@pytest.fixture(scope="module")
def data_dir(flan_dir: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two datasets, one of the held-out cluster and one that is trained on."""
    folder = tmp_path_factory.mktemp("tfds")
    for name in ("super_glue/rte/1.0.2", "glue/sst2/2.0.0"):
        shutil.copytree(Path(flan_dir) / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def wording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three templates of each dataset, of which the last turns RTE around."""
    three = {name: [pairs[0], pairs[1], pairs[-1]] for name, pairs in templates.OWN.items()}
    folder = tmp_path_factory.mktemp("wording")
    (folder / "templates.py").write_text(f"PATTERNS = {three!r}\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def run(
    wording: Path,
    data_dir: Path,
    flan_vocabulary: Path,
    tiny_recipe: list[str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A few steps on what is there of a hold-out mixture."""
    folder = tmp_path_factory.mktemp("run") / "tiny"
    theirs = f"--flan_templates={wording}"
    assert train(folder, "flan_holdout_nli", data_dir, flan_vocabulary, tiny_recipe, theirs) == 0
    return folder


def train(
    folder: Path, mixture: str, data: Path, vocabulary: Path, recipe: list[str], *more: str
) -> int:
    return cli.main(
        [
            "train",
            *recipe,
            f"--gin.MODEL_DIR={folder}",
            f"--gin.MIXTURE_OR_TASK_NAME={mixture}",
            "--gin.TASK_FEATURE_LENGTHS={'inputs': 160, 'targets': 8}",
            "--gin.VOCAB_SIZE=2176",
            "--gin.TRAIN_STEPS=2",
            "--gin.EVAL_PERIOD=0",
            "--gin.CHECKPOINT_PERIOD=2",
            "--gin.BATCH_SIZE=2",
            f"--vocabulary={vocabulary}",
            f"--tfds_data_dir={data}",
            "--skip_missing",
            *more,
        ]
    )


def evaluate(run: Path, *more: str) -> int:
    return cli.main(["evaluate", "--suite=flan", f"--model_dir={run}", "--limit=5", *more])


@pytest.fixture(scope="module")
def report(run: Path) -> Any:
    """Of the held-out cluster, which needs not be named."""
    assert evaluate(run, f"--json={run.parent / 'report.json'}") == 0
    return json.loads((run.parent / "report.json").read_text())["runs"][0]


def test_the_held_out_cluster_is_evaluated_in_every_setting(run: Path, report: Any) -> None:
    assert report["trained_on"] == "flan_holdout_nli"
    assert list(report["clusters"]) == ["nli"]
    kept = run / "scores" / "flan-2.first5.json"
    kept.unlink()
    assert evaluate(run, "--dataset=rte") == 0
    assert not kept.exists()  # of a part
    assert evaluate(run, "--cluster=nli") == 0
    assert json.loads(kept.read_text()) == report  # of all, though it is named
    datasets = report["clusters"]["nli"]["datasets"]
    assert set(datasets) == {"rte"}
    assert datasets["rte"]["metric"] == "accuracy"
    assert set(datasets["rte"]["settings"]) == set(SETTINGS)
    for setting in datasets["rte"]["settings"].values():
        assert setting["num_templates"] == 2  # the third turns the task around


def predicted(run: Path, name: str) -> list[dict[str, Any]]:
    lines = (run / "predictions" / f"{name}.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize("setting", SETTINGS)
def test_the_numbers_follow_from_the_predictions(run: Path, report: Any, setting: str) -> None:
    from tk_instruct.data import registry
    from tk_instruct.inference.checkpoint import load_checkpoint

    load_checkpoint(run, None)  # binds the run's data and vocabulary
    shots, _, method = setting.rpartition("_")
    form = {"zero_shot": "", "few_shot": "_fewshot"}[shots]
    accuracies: dict[str, list[float]] = {"test": [], "validation": []}
    for number in range(2):
        for split, found in accuracies.items():
            task = f"flan_rte{form}.t{number}"
            rows = predicted(run, f"{task}-{split}-2.first5{'.rank' * (method == 'rank')}")
            answers = {
                e["id"]: e["answer"]
                for e in registry.get(task).examples(split, FeatureLengths(160, 8))
            }
            assert len(rows) == 5
            right = [row["prediction"].strip() == answers[row["id"]] for row in rows]
            found.append(100 * sum(right) / len(right))
            if method == "rank":
                for row in rows:
                    best = row["scores"].index(max(row["scores"]))
                    assert row["prediction"] == row["options"][best]
    summary = report["clusters"]["nli"]["datasets"]["rte"]["settings"][setting]
    assert summary["mean"] == pytest.approx(fmean(accuracies["test"]), abs=1e-4)
    assert summary["standard_deviation"] == pytest.approx(pstdev(accuracies["test"]), abs=1e-4)
    best = accuracies["validation"].index(max(accuracies["validation"]))
    in_test = summary["templates"][best]["test"]
    assert summary["best_on_dev"] == {
        "template": best,
        "dev": pytest.approx(accuracies["validation"][best]),
        "test": pytest.approx(accuracies["test"][best]),
        "test_stderr": in_test["accuracy_stderr"],
        "test_ci95": in_test["accuracy_ci95"],
    }


def test_scores_of_another_evaluation_are_not_taken_for_the_run_s(
    run: Path, report: Any, data_dir: Path
) -> None:
    name = "flan_rte.t0-test-2.first5"
    kept = run / "predictions" / f"{name}.scores.parquet"
    before = kept.read_bytes()
    predictions = run / "predictions" / f"{name}.jsonl"
    words = [f"--predictions={predictions}", f"--tfds_data_dir={data_dir}"]
    assert cli.main(["evaluate", "--suite=flan", *words]) == 0
    assert kept.read_bytes() != before  # of all examples, most of them not predicted
    assert evaluate(run) == 0
    assert kept.read_bytes() == before


def test_what_is_done_is_not_done_again_and_what_is_not_is(
    run: Path, report: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path: path.stat().st_mtime_ns for path in run.glob("*s/flan_*")}
    assert len(before) == 3 * 4 * 2 * 2  # files, settings, templates, splits
    lost = run / "scores" / "flan_rte.t1-test-2.first5.json"
    lost.unlink()
    again = run.parent / "again.json"
    assert evaluate(run, f"--json={again}") == 0
    assert json.loads(again.read_text())["runs"][0] == report
    changed = {p.name for p, time in before.items() if p.stat().st_mtime_ns != time}
    assert changed == {
        f"flan_rte.t1-test-2.first5.{suffix}" for suffix in ("json", "jsonl", "scores.parquet")
    }
    monkeypatch.setattr(of_run, "load_model", None)  # all is there: no model is needed
    assert evaluate(run, f"--json={again}") == 0


TITLES = ("zero shot generation", "few shot generation", "zero shot rank", "few shot rank")


def test_what_is_printed(run: Path, report: Any, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert evaluate(run) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == (
        f"{run}, step 2, trained on flan_holdout_nli; per cent, the first 5 examples of each split"
        "; missing: anli_r1, anli_r2, anli_r3, cb, mnli_matched, mnli_mismatched, qnli, wnli, snli"
    )
    for start, setting in zip((2, 6, 10, 14), TITLES, strict=True):
        title, *rows, after = printed[start : start + 4]
        assert title == f"nli, {setting} (test; mean ± standard deviation over templates)"
        assert [row.split("  ")[0] for row in rows] == ["dataset", "rte"]
        assert len(set(map(len, rows))) == 1  # aligned
        assert after == ""
    assert printed[18:] == [
        "in parentheses: the deviation without what sampled instances add to it",
        "95 % interval: over instances, templates are fixed; of an average, over datasets",
    ]
    assert evaluate(run, "--json=-", "--dataset=rte", "--shots=zero_shot", "--method=rank") == 0
    found = json.loads(capsys.readouterr().out)
    settings = found["runs"][0]["clusters"]["nli"]["datasets"]["rte"]["settings"]
    assert list(settings) == ["zero_shot_rank"]


@pytest.fixture
def answers(run: Path, report: Any) -> list[dict[str, Any]]:
    return predicted(run, "flan_rte.t0-test-2.first5.rank")


def score(data_dir: Path, *more: object) -> int:
    arguments = ["evaluate", "--suite=flan", f"--tfds_data_dir={data_dir}"]
    return cli.main([*arguments, *map(str, more)])


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_predictions_of_any_system_are_scored_without_a_run(
    run: Path,
    data_dir: Path,
    answers: list[dict[str, Any]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    scores = json.loads((run / "scores" / "flan_rte.t0-test-2.first5.rank.json").read_text())
    expected = {name: scores[name] for name in scores if name != "predicted_by"}
    assert set(expected) == {"accuracy", "accuracy_stderr", "accuracy_ci95", "num_examples"}
    expected["accuracy_stderr"] = round(expected["accuracy_stderr"], 4)
    expected["accuracy_ci95"] = [round(end, 4) for end in expected["accuracy_ci95"]]
    ours = written(tmp_path / "ours.jsonl", answers)
    harness = [{"doc": {"id": row["id"]}, "filtered_resps": [row["prediction"]]} for row in answers]
    theirs = written(tmp_path / "theirs.jsonl", harness)
    capsys.readouterr()
    assert score(data_dir, "--limit=5", "--json=-", "--predictions", ours, theirs) == 0
    assert json.loads(capsys.readouterr().out) == {
        "suite": "flan",
        "systems": {key: {"flan_rte/test": expected} for key in ("ours.jsonl", "theirs.jsonl")},
    }
    assert score(data_dir, "--limit=5", "--predictions", ours) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["flan_rte, per cent", "run               test accuracy  test num_examples"]
    assert lines[2].split() == ["ours.jsonl", f"{scores['accuracy']:.2f}", "5"]
    low, high = scores["accuracy_ci95"]
    assert lines[3].strip() == f"95 % interval  {low:.2f} to {high:.2f}".rjust(31).strip()


def test_ids_may_say_the_template(
    data_dir: Path, wording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of the last template, which turns RTE around, what it asks for is compared by ROUGE."""
    gin.bind_parameter("tfds_data_dir.directory", str(data_dir))
    gin.bind_parameter("FLAN.templates", str(wording))
    gin.bind_parameter("vocabulary.name", "bytes")
    found = {
        number: list(registry.get(f"flan_rte.t{number}").examples("test", FeatureLengths(512, 512)))
        for number in (0, 2)
    }
    rows = [
        {
            "id": f"flan_rte.t{number}/{example['id']}",
            "prediction": example["targets_pretokenized"],
        }
        for number, examples in found.items()
        for example in examples[:4]
    ]
    path = written(tmp_path / "p.jsonl", rows)
    flags = ["--limit=4", "--json=-", f"--flan_templates={wording}", "--predictions", path]
    capsys.readouterr()
    assert score(data_dir, *flags) == 0
    (scores,) = json.loads(capsys.readouterr().out)["systems"].values()
    assert scores["flan_rte.t0/test"] == {
        "accuracy": 100.0,
        "accuracy_stderr": 0.0,
        "accuracy_ci95": [100.0, 100.0],
        "num_examples": 4,
    }
    assert scores["flan_rte.t2/test"]["rouge1"] == 100.0
    assert scores.keys() == {"flan_rte.t0/test", "flan_rte.t2/test"}


@pytest.mark.parametrize("limit", [1, 2, 12])
@pytest.mark.parametrize("is_right", [True, False])
def test_scores_that_are_no_means_have_intervals_or_none(
    limit: int,
    is_right: bool,
    flan_dir: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """F1, BLEU, MultiRC's F1, and correlations: never NaN, and – of one example."""
    gin.bind_parameter("tfds_data_dir.directory", flan_dir)
    names = ("glue_mrpc", "wmt14_enfr", "multirc", "stsb", "cb", "fix_punct", "rte")
    rows = [
        {"id": row["id"], "prediction": str(row["references"][0]) if is_right else ""}
        for name in names
        for row in itertools.islice(load(BY_NAME[name], "test"), limit)
    ]
    path = written(tmp_path / "p.jsonl", rows)
    capsys.readouterr()
    flags = [f"--limit={limit}", f"--json={tmp_path / 's.json'}", "--predictions", path]
    assert score(Path(flan_dir), *flags) == 0
    assert "nan" not in capsys.readouterr().out.lower()
    found = json.loads((tmp_path / "s.json").read_text(), parse_constant=pytest.fail)
    scores = found["systems"]["p.jsonl"]
    assert list(scores) == [f"flan_{name}/test" for name in names]
    if limit == 1:
        assert not any(name.endswith("_ci95") for of in scores.values() for name in of)
    assert scores["flan_rte/test"]["accuracy"] == 100.0 * is_right


def test_ids_without_a_prediction_count_as_empty(
    data_dir: Path,
    answers: list[dict[str, Any]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = written(tmp_path / "p.jsonl", answers[:1])
    capsys.readouterr()
    assert score(data_dir, "--limit=4", "--predictions", path) == 0
    assert "p.jsonl: 3 of 4 ids of rte-test have no prediction and" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("id_", "message"),
    [
        ("task1-abc", "p.jsonl:2: id 'task1-abc' is none of FLAN's; ids are DATASET-SPLIT-NUMBER"),
        ("rte-train2-1", "p.jsonl:2: id 'rte-train2-1' is none of FLAN's; ids are DATASET-SPLIT-"),
        ("flan_sst2.t1/rte-test-0", "p.jsonl:2: id 'flan_sst2.t1/rte-test-0' says the task sst2"),
        ("flan_rte.t99/rte-test-0", "flan_rte.t99: there are 10 templates of rte; take one below"),
        ("rte-test-99999", "p.jsonl:2: id 'rte-test-99999' is no example of rte, which has"),
    ],
)
def test_ids_of_no_example(
    id_: str,
    message: str,
    data_dir: Path,
    answers: list[dict[str, Any]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = written(tmp_path / "p.jsonl", [answers[0], {"id": id_, "prediction": "yes"}])
    assert score(data_dir, "--predictions", path) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("damage", ["", "[]", '{"predicted_by": "DIGEST"}'])
def test_damaged_scores_are_made_again(damage: str, run: Path, report: Any) -> None:
    path = run / "scores" / "flan_rte.t0-test-2.first5.rank.json"
    before = path.read_text()
    path.write_text(damage.replace("DIGEST", json.loads(before)["predicted_by"]))
    assert evaluate(run, "--dataset=rte", "--shots=zero_shot", "--method=rank") == 0
    assert path.read_text() == before


@pytest.mark.parametrize("change", ["earlier version", "no instances", "damaged", "predictions"])
def test_scores_without_their_instances_are_made_again(change: str, run: Path, report: Any) -> None:
    """A run that an earlier version has evaluated has none; they belong to the predictions."""
    name = "flan_rte.t0-test-2.first5.rank"
    scores = run / "scores" / f"{name}.json"
    instances = run / "predictions" / f"{name}.scores.parquet"
    predictions = run / "predictions" / f"{name}.jsonl"
    before, rows = scores.read_text(), predicted(run, name)
    of_instances = scored_instances.read(AnyPath(instances))
    if change == "earlier version":
        old = json.loads(before)
        scores.write_text(json.dumps({n: old[n] for n in old if not n.endswith(("rr", "95"))}))
    if change in ("earlier version", "no instances"):
        instances.unlink()
    elif change == "damaged":
        instances.write_bytes(instances.read_bytes()[:-9])
    else:
        written(predictions, rows[::-1])
    assert evaluate(run, "--dataset=rte", "--shots=zero_shot", "--method=rank") == 0
    assert scores.read_text() == before
    again = scored_instances.read(AnyPath(instances))
    assert again.about.predicted_by == sha256(predictions.read_bytes()).hexdigest()
    assert sorted(again.labels["id"]) == sorted(of_instances.labels["id"])
    assert again.estimate("accuracy") == of_instances.estimate("accuracy")


def test_reports_of_earlier_versions_are_shown_without_intervals(
    report: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def without(value: Any) -> Any:
        if isinstance(value, dict):
            new = ("_stderr", "_ci95", "spread_of_templates")
            return {name: without(of) for name, of in value.items() if not name.endswith(new)}
        return list(map(without, value)) if isinstance(value, list) else value

    old = without(report)
    assert old != report
    (tmp_path / "old" / "scores").mkdir(parents=True)
    (tmp_path / "old" / "scores" / "flan-2.json").write_text(json.dumps(old))
    capsys.readouterr()
    assert cli.main(["report", str(tmp_path / "old")]) == 0
    shown = capsys.readouterr().out.splitlines()
    about = report["clusters"]["nli"]["datasets"]["rte"]["settings"]["zero_shot_generation"]
    assert shown[2] == "nli, zero shot generation (test; mean ± standard deviation over templates)"
    mean = f"{about['mean']:.1f} ± {about['standard_deviation']:.1f}"
    assert shown[4].split("  ")[:2] == ["rte", ""]
    assert f"  {mean}              –  " in shown[4]
    assert len(shown) == 1 + 4 * len(TITLES)


def test_the_report_shows_what_is_there_of_single_templates(
    run: Path, report: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert cli.main(["report", str(run)]) == 0
    shown = capsys.readouterr().out
    assert "missing: anli_r1" in shown  # the whole evaluation, in its own tables
    assert "\nrte      accuracy" in shown


def test_a_soft_prompt_is_evaluated_on_its_own_dataset(
    wording: Path,
    run: Path,
    data_dir: Path,
    flan_vocabulary: Path,
    tiny_recipe: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "prompt"
    more = [
        f"--flan_templates={wording}",
        "--gin.PROMPT_LENGTH=10",
        "--gin.NUM_TRAIN_EXAMPLES=32",
        f"--gin.INITIAL_CHECKPOINT_PATH={run}",
    ]
    assert train(folder, "flan_rte", data_dir, flan_vocabulary, tiny_recipe, *more) == 0
    capsys.readouterr()
    assert evaluate(folder, "--json=-", "--shots=zero_shot", "--method=rank") == 0
    report = json.loads(capsys.readouterr().out)["runs"][0]
    assert report["clusters"]["nli"]["datasets"]["rte"]["settings"]["zero_shot_rank"]["mean"] >= 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--suite flan evaluates a run or predictions; give --model_dir DIR or --predictions"),
        (["--model_dir=RUN", "--predictions", "a"], "both say what is scored; give one of them"),
        (["--model_dir=RUN", "--cluster=nil"], "--cluster=nil must be one of nli, commonsense"),
        (["--model_dir=RUN", "--dataset=x"], "--dataset=x must be one of anli_r1"),
        (["--model_dir=RUN", "--limit=0"], "--limit=0 must be at least 1"),
        (["--model_dir=/nowhere"], "/nowhere"),
    ],
)
def test_errors(
    arguments: list[str], message: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [argument.replace("RUN", str(run)) for argument in arguments]
    assert cli.main(["evaluate", "--suite=flan", *given]) == 2
    assert message in capsys.readouterr().err


# summaries of made-up scores


def jobs(
    name: str, setting: str, main: str, test: list[float], dev: list[float], asks_for: str = ""
) -> Iterator[Any]:
    shots, _, method = setting.rpartition("_")
    for split, values in (("test", test), ("validation", dev)):
        for number, value in enumerate(values):
            asked = asks_for or BY_NAME[name].target
            prompt = Prompt(BY_NAME[name], f"flan_{name}.t{number}", shots, number, asked)
            yield Job(prompt, split, method), scored(main, value, [value - 1, value + 1])


def scored(main: str, score: float, values: Sequence[float]) -> Scored:
    """A score with the values of its instances, and a second score."""
    size = len(values)
    labels = {label: ["x"] * size for label in LABELS} | {"instance": list(map(str, range(size)))}
    table = ScoredInstances(
        scoring._ABOUT,
        labels,
        [["y"]] * size,
        ["y"] * size,
        {main: np.array(values, float), "other": np.zeros(size)},
    )
    return Scored({main: score, "other": 0.0}, table)


def test_the_main_score_is_a_percentage_if_that_of_all_datasets_is() -> None:
    def of(name: str, right: Sequence[str], texts: Sequence[str]) -> ScoredInstances:
        targets = {str(k): Target((text,)) for k, text in enumerate(right)}
        return scoring.scored(f"flan_{name}", BY_NAME[name], "test", targets, texts).instances

    rte = of("rte", ["yes", "yes", "no"], ["yes", "yes", "yes"])
    stsb = of("stsb", ["0.0", "2.0", "3.0"], ["0.0", "3.0", "2.0"])
    assert rte.estimate(MAIN).ci95 == (0.0, 100.0)
    assert MAIN in joined([rte, rte]).about.percentages
    assert MAIN not in joined([rte, stsb]).about.percentages


def test_averages_are_over_datasets_as_the_paper_counts_them() -> None:
    setting = "zero_shot_generation"
    scores = dict(
        [
            *jobs("anli_r1", setting, "accuracy", [10, 20], [1, 2]),
            *jobs("anli_r2", setting, "accuracy", [30, 40], [2, 1]),
            *jobs("anli_r3", setting, "accuracy", [50, 60], [1, 1]),
            *jobs("rte", setting, "accuracy", [80, 90], [3, 4]),
            *jobs("wmt14_enfr", setting, "bleu", [30, 32], [1, 1]),
            *jobs("wmt14_enfr", setting, "bleu", [40], [9], asks_for="sent1"),
            *jobs("wmt16_translate_deen", setting, "bleu", [20], [1]),
            *jobs("fix_punct", setting, "mean_edit", [5, 7], [9, 8]),
        ]
    )
    found = summary.summarise(scores)
    # ANLI's three rounds are one dataset: (15 + 35 + 55) / 3 = 35, with RTE's 85. The error of two
    # numbers is half their distance, with one degree of freedom.
    assert found["nli"]["average"] == {
        setting: {
            "mean": 60.0,
            "mean_stderr": pytest.approx(25.0),
            "mean_ci95": (0.0, 100.0),
            "best_on_dev": (100 / 3 + 90) / 2,
            "best_on_dev_stderr": pytest.approx((90 - 100 / 3) / 2),
            "best_on_dev_ci95": (0.0, 100.0),
        }
    }
    # Each way of a translation is a row, and the two are one dataset.
    translations = found["translation"]["datasets"]
    means = {row: about["settings"][setting]["mean"] for row, about in translations.items()}
    assert means == {"wmt14_enfr": 31, "wmt14_enfr, to sent1": 40, "wmt16_translate_deen": 20}
    assert found["translation"]["average"][setting]["mean"] == (35.5 + 20) / 2
    settings = {n: d["settings"][setting] for n, d in found["nli"]["datasets"].items()}
    assert settings["anli_r1"]["best_on_dev"] == {
        "template": 1,
        "dev": 2,
        "test": 20,
        "test_stderr": pytest.approx(1.0),  # of 19 and 21
        "test_ci95": pytest.approx((20 - 12.7062, 20 + 12.7062), abs=1e-4),
    }
    assert settings["anli_r3"]["best_on_dev"]["template"] == 0  # the first of equals
    assert settings["rte"]["standard_deviation"] == 5.0
    # A distance: less is better, and no part of an average.
    punctuation = found["miscellaneous"]
    assert punctuation["average"] == {}
    about = punctuation["datasets"]["fix_punct"]
    assert about["lower_is_better"]
    best = about["settings"][setting]["best_on_dev"]
    assert (best["template"], best["dev"], best["test"]) == (1, 8, 7)
    assert best["test_ci95"] == pytest.approx((7 - 12.7062, 7 + 12.7062), abs=1e-4)  # not cut


def table_of(seed: int, num_templates: int, num_instances: int) -> Float[np.ndarray, "t i"]:
    """Scores of 0 and 100: instances are hard or easy, templates good or bad."""
    rng = np.random.default_rng(seed)
    easy, good = rng.normal(size=num_instances), rng.normal(size=(num_templates, 1))
    return 100.0 * (easy + good + rng.normal(size=(num_templates, num_instances)) > 0)


def summarised(setting: str, **values: Float[np.ndarray, "t i"]) -> dict[str, Any]:
    """The summary of datasets, each with its templates' values."""
    shots, _, method = setting.rpartition("_")
    scores = {}
    for name, of_dataset in values.items():
        dataset = BY_NAME[name]
        for number, of in enumerate(of_dataset):
            prompt = Prompt(dataset, f"flan_{name}.t{number}", shots, number, dataset.target)
            scores[Job(prompt, "test", method)] = scored("accuracy", float(of.mean()), of)
    return summary.summarise(scores)


@pytest.mark.parametrize("seed", range(3))
def test_a_dataset_s_error_and_spread_equal_those_of_statsmodels(seed: int) -> None:
    values = table_of(seed, num_templates=4, num_instances=30)
    found = summarised("zero_shot_rank", rte=values)["nli"]["datasets"]["rte"]["settings"]
    about = found["zero_shot_rank"]
    template, instance = np.indices(values.shape).reshape(2, -1)
    fit = OLS(values.ravel(), np.ones(values.size)).fit(
        cov_type="cluster", cov_kwds={"groups": instance}, use_t=True
    )
    assert about["mean"] == pytest.approx(fit.params[0])
    # statsmodels corrects by (n - 1) / (n - k) too, which is 1 with k = 1.
    assert about["mean_stderr"] == pytest.approx(fit.bse[0])
    assert about["mean_ci95"] == pytest.approx(tuple(fit.conf_int()[0]))

    frame = DataFrame({"y": values.ravel(), "template": template, "instance": instance})
    anova = anova_lm(ols("y ~ C(template) + C(instance)", frame).fit())
    mean_squares = anova["sum_sq"] / anova["df"]
    component = (mean_squares["C(template)"] - mean_squares["Residual"]) / values.shape[1]
    assert about["spread_of_templates"] == pytest.approx(math.sqrt(max(component, 0)), abs=1e-9)


def test_a_cluster_s_error_is_over_its_datasets() -> None:
    names = ["rte", "cb", "wnli", "qnli"]
    tables = {name: table_of(seed, 2, 40) for seed, name in enumerate(names)}
    found = summarised("few_shot_generation", **tables)["nli"]["average"]["few_shot_generation"]
    means = [of.mean() for of in tables.values()]
    assert found["mean"] == pytest.approx(fmean(means))
    assert found["mean_stderr"] == pytest.approx(stats.sem(means))
    ends = stats.t.interval(0.95, 3, fmean(means), stats.sem(means))
    assert found["mean_ci95"] == pytest.approx(ends)


def test_where_nothing_can_be_said_there_is_no_error() -> None:
    one_instance = table_of(0, 3, 1)
    found = summarised("zero_shot_rank", rte=one_instance)["nli"]
    (setting,) = found["datasets"]["rte"]["settings"].values()
    assert not {"mean_stderr", "mean_ci95", "spread_of_templates"} & set(setting)
    assert found["average"]["zero_shot_rank"] == {"mean": setting["mean"]}
    one_template = table_of(0, 1, 10)
    found = summarised("zero_shot_rank", rte=one_template)["nli"]
    (setting,) = found["datasets"]["rte"]["settings"].values()
    assert "spread_of_templates" not in setting
    # The average is of one dataset: its error is that of other instances.
    assert found["average"]["zero_shot_rank"]["mean_ci95"] == setting["mean_ci95"]


@pytest.mark.parametrize(
    ("mixture", "clusters"),
    [
        ("flan_holdout_commonsense", {"commonsense"}),
        ("flan_holdout_reading_comprehension_commonsense", {"reading_comprehension_commonsense"}),
        ("flan_holdout_nli_fewshot_no_options", {"nli"}),
        ("flan_holdout_translation_dataset_name", {"translation"}),
        ("flan_clusters_3", {"nli", "closed_book_qa", "commonsense"}),
        ("flan_rte_fewshot", {"nli"}),
    ],
)
def test_what_a_run_is_evaluated_on_by_default(mixture: str, clusters: set[str]) -> None:
    assert {dataset.cluster for dataset in meant_by(mixture)} == clusters


def test_superglue_is_evaluated_where_it_was_held_out() -> None:
    assert len(meant_by("flan_holdout_superglue_no_template")) == 8
    with pytest.raises(UserError, match="'flan_all', which holds no cluster out; give --cluster"):
        meant_by("flan_all")


def made_up(mixture: str, cluster: str, **means: float) -> dict[str, Any]:
    average = {setting: {"mean": mean} for setting, mean in means.items()}
    clusters = {cluster: {"average": average, "datasets": {}}}
    return {"trained_on": mixture, "clusters": clusters}


def test_the_role_of_instructions() -> None:
    reports = [
        made_up("flan_holdout_nli", "nli", zero_shot_generation=50.0),
        made_up("flan_holdout_translation", "translation", zero_shot_generation=30.0),
        made_up("flan_holdout_nli_no_template", "nli", zero_shot_generation=35.0),
        made_up(
            "flan_holdout_nli_dataset_name",
            "nli",
            zero_shot_generation=41.0,
            dataset_name_generation=42.0,
        ),
    ]
    roles = summary.role_of_instructions(reports)
    assert {role: row["average"] for role, row in roles.items()} == {
        "FLAN": 50.0,  # of NLI, which is all that the others have as well
        "no template": 35.0,
        "dataset name → instructions": 41.0,
        "dataset name → dataset name": 42.0,
    }
    assert roles["FLAN"]["clusters"] == {"nli": 50.0, "translation": 30.0}
    lines = summary.roles_text(roles).splitlines()
    assert lines[1].split() == [
        "trained",
        "→",
        "asked",
        "nli",
        "translation",
        "average",
    ]
    assert lines[2].split() == ["FLAN", "50.0", "30.0", "50.0"]
    assert lines[3].split() == ["no", "template", "35.0", "–", "35.0"]
    assert summary.role_of_instructions(reports[:2]) == {}
