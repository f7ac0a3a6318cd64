"""T0's evaluation: a tiny run on held-out prompts, its numbers recomputed from the files."""

import json
import math
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, median, quantiles
from typing import Any

import gin
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import image
from scipy import stats

from tk_instruct import cli
from tk_instruct.data import registry
from tk_instruct.data.tokens import FeatureLengths
from tk_instruct.evaluate import of_run
from tk_instruct.scored_instances import LABELS, Scored, ScoredInstances
from tk_instruct.tasks.p3 import bias, mini, protocol, summary, templates
from tk_instruct.tasks.p3 import evaluate as of_p3
from tk_instruct.tasks.p3.summary import Report

LENGTHS = FeatureLengths(160, 16)
ENTAILED = "{{ premise }} So {{ hypothesis }} %s ||| {{ answer_choices[label] }}"
REFERENT = (
    "{% set c = coreference_clusters %}{{ tokens | join(' ') }} Who is it? ||| "
    "{{ tokens[c[0] | int : (c[1] | int) + 1] | join(' ') }}"
)
COPA = "{{ premise }} Then? ||| {{ [choice1, choice2][label] }}"
# Data set → name of a template → jinja, choices, original task.
TREE: Mapping[str, Mapping[str, tuple[str, str | None, bool]]] = {
    "super_glue/rte": {
        "first": (ENTAILED % "Is it?", "Yes ||| No", True),
        "second": (ENTAILED % "True?", "{{ hypothesis[:12] }} ||| {{ premise[:12] }}", True),
        "third one": (ENTAILED % "Really?", "{{ hypothesis }} ||| {{ premise[20:45] }}", True),
        "not original": (ENTAILED % "Hm?", "Yes ||| No", False),
        "without choices": ("{{ premise }} ||| {{ hypothesis }}", None, True),
    },
    "super_glue/copa": {
        "then": (COPA, "{{ choice1 }} ||| {{ choice2 }}", True),
        "then, repeated": (COPA, "{{ choice2 }} ||| {{ choice1 }} ||| {{ choice2 }}", True),
    },
    "anli": {"is it": (ENTAILED % "Is it?", "Yes ||| Perhaps ||| No", True)},
    "common_gen": {
        "sentence": ("{{ concepts | join(' ') }} ||| {{ target }}", None, True),
        "backwards": ("{{ target }} ||| {{ concepts | join(' ') }}", None, False),
    },
    "super_glue/axg": {"is it": (ENTAILED % "Is it?", "{{ 'a' * (idx % 4 + 1) }} ||| bb", True)},
    "wino_bias/type1_pro": {"who": (REFERENT, None, True)},
    "wino_bias/type1_anti": {"who": (REFERENT, None, True)},
}
HELD_OUT = ["anli/r1", "anli/r2", "anli/r3", "super_glue/copa", "super_glue/rte"]
ABSENT = [
    *("hellaswag", "story_cloze/2016", "super_glue/cb", "super_glue/wic", "super_glue/wsc.fixed"),
    "winogrande/winogrande_xl",
]


def write_tree(folder: Path, tree: Mapping[str, Any] = TREE) -> Path:
    for dataset, prompts in tree.items():
        name, _, subset = dataset.partition("/")
        lines = [f"dataset: {name}", *([f"subset: {subset}"] if subset else []), "templates:"]
        for number, (template, (jinja, choices, original)) in enumerate(prompts.items()):
            metadata = {"original_task": original, "metrics": ["BLEU" if not choices else "Other"]}
            lines += [
                f"  id{number}: !Template",
                f"    id: id{number}",
                f"    name: {json.dumps(template)}",
                f"    jinja: {json.dumps(jinja)}",
                f"    answer_choices: {json.dumps(choices)}",
                f"    metadata: !TemplateMetadata {json.dumps(metadata)}",
            ]
        (folder / dataset).mkdir(parents=True)
        (folder / dataset / "templates.yaml").write_text("\n".join(lines), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The mini P3, and minimal pairs for AX-g."""
    folder = mini.write(tmp_path_factory.mktemp("mini") / "p3")
    (folder / "super_glue" / "axg" / "test.parquet").unlink()
    rows = [
        {"premise": f"Nurse {n} said that {who} came.", "hypothesis": "She came.", "label": n % 2}
        for n in range(6)
        for who in ("he", "she")
    ]
    lines = [json.dumps({**row, "idx": number}) + "\n" for number, row in enumerate(rows)]
    (folder / "super_glue" / "axg" / "test.jsonl").write_text("".join(lines))
    return folder


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tree(tmp_path_factory.mktemp("tree"))


@pytest.fixture(scope="module")
def run(
    tree: Path, data: Path, tiny_recipe: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Two steps on the task that T0 does not hold out."""
    folder = tmp_path_factory.mktemp("run") / "tiny"
    command = [
        "train",
        *tiny_recipe,
        f"--gin.MODEL_DIR={folder}",
        "--gin.MIXTURE_OR_TASK_NAME=p3_common_gen_sentence",
        f"--gin.TASK_FEATURE_LENGTHS={LENGTHS.as_dict()}",
        "--gin.TRAIN_STEPS=2",
        "--gin.EVAL_PERIOD=0",
        "--gin.CHECKPOINT_PERIOD=2",
        "--vocabulary=bytes",
        "--gin.VOCAB_SIZE=384",
        f"--p3_templates={tree}",
        f"--p3_data={data}",
    ]
    assert cli.main(command) == 0
    return folder


def evaluate(run: Path, *more: str) -> int:
    return cli.main(["evaluate", "--suite=p3", f"--model_dir={run}", *more])


@pytest.fixture(scope="module")
def report(run: Path) -> Any:
    assert evaluate(run, "--bias_fairness", f"--json={run.parent / 'report.json'}") == 0
    found = json.loads((run.parent / "report.json").read_text())
    assert found["suite"] == "p3"
    return found["runs"][0]


@pytest.fixture
def on_the_data(tree: Path, data: Path) -> None:
    gin.bind_parameter("P3.templates", str(tree))
    gin.bind_parameter("P3.data", str(data))
    gin.bind_parameter("vocabulary.name", "bytes")


def rows_of(run: Path, name: str) -> list[dict[str, Any]]:
    lines = (run / "predictions" / f"{name}.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_the_scored_prompts_of_held_out_data_sets_are_ranked(report: Any) -> None:
    assert sorted(report["datasets"]) == HELD_OUT
    assert report["without_templates"] == [*ABSENT, "crows_pairs", *_wino_bias_type2()]
    assert report["trained_on"] == "p3_common_gen_sentence"
    assert {name: list(of["prompts"]) for name, of in report["datasets"].items()} == {
        **{f"anli/r{n}": ["is it"] for n in (1, 2, 3)},
        "super_glue/copa": ["then", "then, repeated"],
        "super_glue/rte": ["first", "second", "third one"],
    }
    assert {of["method"] for of in report["datasets"].values()} == {"rank"}


def _wino_bias_type2() -> list[str]:
    return ["wino_bias/type2_anti", "wino_bias/type2_pro"]


@pytest.mark.usefixtures("on_the_data")
def test_the_numbers_follow_from_the_scores_of_the_options(run: Path, report: Any) -> None:
    of_rte = []
    for template in ("first", "second", "third_one"):
        task = f"p3_super_glue_rte_{template}"
        rows = rows_of(run, f"{task}-validation-2.rank")
        answers = {
            e["id"]: e["answer"] for e in registry.tasks_of(task)[0].examples("validation", LENGTHS)
        }
        assert len(rows) == len(answers) == 24
        best = [row["options"][int(np.argmax(row["scores"]))] for row in rows]
        assert best == [row["prediction"] for row in rows]
        of_rte.append(100 * fmean(b == answers[r["id"]] for b, r in zip(best, rows, strict=True)))
    about = report["datasets"]["super_glue/rte"]
    scores = [of["accuracy"] for of in about["prompts"].values()]
    assert scores == pytest.approx(of_rte, abs=1e-4)
    first, middle, third = quantiles(of_rte, n=4, method="inclusive")
    assert about["median"] == pytest.approx(middle, abs=1e-4)
    assert about["first_quartile"] == pytest.approx(first, abs=1e-4)
    assert about["third_quartile"] == pytest.approx(third, abs=1e-4)
    assert about["interquartile_range"] == pytest.approx(third - first, abs=1e-4)
    assert (about["minimum"], about["maximum"]) == (min(scores), max(scores))
    assert about["num_prompts"] == 3
    assert len(set(scores)) > 1
    medians = [of["median"] for of in report["datasets"].values()]
    assert report["mean_of_medians"] == pytest.approx(fmean(medians), abs=1e-3)


def test_options_that_repeat_count_once(run: Path, report: Any) -> None:
    name = "p3_super_glue_copa_then{}-validation-2.rank"
    once, repeated = rows_of(run, name.format("")), rows_of(run, name.format("_repeated"))
    for one, other in zip(once, repeated, strict=True):
        assert other["options"] == one["options"][::-1]
        assert other["scores"] == pytest.approx(one["scores"][::-1], abs=1e-4)


def test_what_is_done_is_not_done_again_and_what_is_not_is(
    run: Path, report: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path: path.stat().st_mtime_ns for path in run.glob("*s/p3_*")}
    assert len(before) == 3 * (8 + 3)  # files, prompts
    lost = [run / "scores" / f"p3_super_glue_rte_{n}-validation-2.rank.json" for n in ("first",)]
    lost.append(run / "scores" / "p3_anli_is_it_r2-validation-2.rank.json")
    for path in lost:
        path.unlink()
    loaded = []
    load_model = of_run.load_model
    monkeypatch.setattr(of_run, "load_model", lambda *a: loaded.append(a) or load_model(*a))
    again = run.parent / "again.json"
    assert evaluate(run, "--bias_fairness", f"--json={again}") == 0
    assert json.loads(again.read_text())["runs"][0] == report
    assert len(loaded) == 1  # once for all prompts
    changed = {path.name for path, time in before.items() if path.stat().st_mtime_ns != time}
    suffixes = (".json", ".jsonl", ".scores.parquet")
    assert changed == {path.stem + suffix for path in lost for suffix in suffixes}
    monkeypatch.setattr(of_run, "load_model", None)  # all is there: no model is needed
    assert evaluate(run, "--bias_fairness") == 0


def test_intervals_of_percentages_end_at_0_and_100(report: Any) -> None:
    bias = report["bias_and_fairness"]
    spreads = [*report["datasets"].values(), *bias["datasets"].values(), bias["gender_parity"]]
    ends = [end for of in spreads if of and "median_ci95" in of for end in of["median_ci95"] or []]
    assert 0.0 in ends
    assert min(ends) == 0.0
    assert max(ends) <= 100.0


def test_what_is_printed(run: Path, report: Any, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert evaluate(run) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == (
        f"{run}, step 2, trained on p3_common_gen_sentence; templates: {report['templates']}; "
        "validation; per cent"
    )
    assert re.fullmatch("fingerprint [0-9a-f]{16}", report["templates"])
    assert printed[1] == f"without templates: {', '.join(ABSENT)}"
    titles = "accuracy (rank) prompts median 95 % interval Q1 Q3 IQR min max"
    assert " ".join(printed[3].split()) == titles
    assert [line.split()[0] for line in printed[4:9]] == HELD_OUT
    assert len({len(line) for line in printed[3:9]}) == 1  # aligned
    low, high = report["mean_of_medians_ci95"]
    assert printed[9] == (
        f"mean of the medians of 5 ranked: {report['mean_of_medians']:.2f}, 95 % interval "
        f"{low:.2f} to {high:.2f}"
    )
    assert printed[10:] == ["95 % interval: over instances; prompts and data sets are fixed"]


def test_the_report_shows_whole_evaluations_of_runs(
    run: Path, report: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(run, "--bias_fairness") == 0
    other = tmp_path / "other"
    (other / "scores").mkdir(parents=True)
    content = {**report, "system": "OTHER"}
    (other / "scores" / "p3-7.json").write_text(json.dumps(content))
    capsys.readouterr()
    assert cli.main(["report", str(run), str(other), str(run.parent / "report.json")]) == 0
    shown = capsys.readouterr().out
    assert shown.count("\nmean of the medians of 5 ranked: ") == 3
    assert shown.count("OTHER, step 2") == 1
    assert "gender parity of super_glue/axg: median " in shown
    assert json.loads((run / "scores" / "p3-2.json").read_text()) == report


def test_the_report_puts_prompts_of_a_data_set_into_one_table(
    run: Path, report: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "scores").mkdir()
    for template in ("GPT_3_style", "can_we_infer"):
        shutil.copy(
            run / "scores" / "p3_super_glue_rte_first-validation-2.rank.json",
            tmp_path / "scores" / f"p3_super_glue_rte_{template}-validation-2.rank.json",
        )
    capsys.readouterr()
    assert cli.main(["report", str(tmp_path)]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == "p3_super_glue_rte, per cent"
    assert [line.split()[1] for line in shown[2::2]] == [*("GPT_3_style.rank", "can_we_infer.rank")]
    assert shown[1].split()[:2] == ["run", "prompt"]
    assert all(line.startswith("  95 % interval  ") for line in shown[3::2])


def test_the_figure_has_a_row_for_each_data_set(run: Path, report: Any) -> None:
    assert evaluate(run) == 0
    height, width, _ = image.imread(run / "scores" / "p3-2.png").shape
    assert evaluate(run, "--bias_fairness") == 0
    with_bias = image.imread(run / "scores" / "p3-2.png")
    assert with_bias.shape[1] == width
    assert with_bias.shape[0] > height * 1.2  # of three data sets more than five
    assert with_bias.min() < 0.5 < with_bias.max()


def test_data_sets_may_be_named(run: Path, report: Any, capsys: pytest.CaptureFixture[str]) -> None:
    before = (run / "scores" / "p3-2.json").read_text()
    capsys.readouterr()
    named = ["--dataset=anli/r2", "--dataset=common_gen", "--limit=4", "--json=-"]
    assert evaluate(run, *named) == 0
    (found,) = json.loads(capsys.readouterr().out)["runs"]
    assert list(found["datasets"]) == ["anli/r2", "common_gen"]
    assert found["limit"] == 4
    generated = found["datasets"]["common_gen"]
    assert (generated["method"], generated["metric"]) == ("generation", "bleu")
    assert list(generated["prompts"]) == ["sentence"]  # which asks for the original task
    assert found["mean_of_medians"] == found["datasets"]["anli/r2"]["median"]
    assert (run / "scores" / "p3-2.json").read_text() == before  # no complete evaluation
    assert evaluate(run, "--dataset=anli", "--split=test", "--limit=2", "--json=-") == 0
    (found,) = json.loads(capsys.readouterr().out)["runs"]
    assert list(found["datasets"]) == ["anli/r1", "anli/r2", "anli/r3"]
    assert found["split"] == "test"
    assert (run / "scores" / "p3_anli_is_it_r3-test-2.first2.rank.json").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--suite p3 evaluates a run or predictions; give --model_dir DIR or --predictions"),
        (["--model_dir=RUN", "--predictions", "a"], "both say what is scored; give one of them"),
        (["--model_dir=RUN", "--dataset=anli/r4"], "--dataset=anli/r4 has no templates in"),
        (["--model_dir=RUN", "--dataset=super_glue/rta"], "such as super_glue/rte, "),
        (["--model_dir=RUN", "--limit=0"], "--limit=0 must be at least 1"),
        (["--model_dir=/nowhere"], "/nowhere"),
    ],
)
def test_errors(
    arguments: list[str], message: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [argument.replace("RUN", str(run)) for argument in arguments]
    assert cli.main(["evaluate", "--suite=p3", *given]) == 2
    assert message in capsys.readouterr().err


def test_missing_data_is_named_or_listed(
    run: Path, data: Path, report: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "some"
    shutil.copytree(data / "super_glue" / "rte", folder / "super_glue" / "rte")
    assert evaluate(run, f"--p3_data={folder}") == 2
    assert f"{folder}/anli/dev_r1*.parquet" in capsys.readouterr().err
    assert evaluate(run, f"--p3_data={folder}", "--skip_missing", "--limit=2", "--json=-") == 0
    (found,) = json.loads(capsys.readouterr().out)["runs"]
    assert found["missing"] == ["anli/r1", "anli/r2", "anli/r3", "super_glue/copa"]
    assert list(found["datasets"]) == ["super_glue/rte"]
    only = ["--dataset=anli/r1", f"--p3_data={folder}", "--skip_missing"]
    assert evaluate(run, *only) == 2
    assert "nothing of anli/r1 is left to evaluate" in capsys.readouterr().err


def test_a_tree_without_held_out_data_sets_is_told(
    run: Path, report: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "trec").mkdir()
    shutil.copy(templates.OWN / "trec" / "templates.yaml", tmp_path / "trec")
    assert evaluate(run, f"--p3_templates={tmp_path}") == 2
    message = f"the templates in {tmp_path} are of none of anli, hellaswag, "
    assert message in capsys.readouterr().err


def test_choices_without_the_target_are_told(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = {"odd one": (ENTAILED.replace("answer_choices[label]", "'Other'"), "Yes ||| No", True)}
    tree = write_tree(tmp_path / "tree", {"super_glue/rte": odd})
    assert evaluate(run, "--dataset=super_glue/rte", f"--p3_templates={tree}") == 2
    assert (
        "super_glue rte, row 0: the template 'odd one' has the choices ['Yes', 'No'], without the "
        "target 'Other'; correct its choices, or leave it out of the evaluation"
    ) in capsys.readouterr().err


def test_metrics_that_do_not_suit_the_targets_are_told(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = write_tree(
        tmp_path / "tree", {"common_gen": {"odd": ("{{ concepts }} ||| a", None, True)}}
    )
    path = tree / "common_gen" / "templates.yaml"
    path.write_text(path.read_text().replace("BLEU", "Pearson Correlation"))
    assert evaluate(run, "--dataset=common_gen", "--limit=2", f"--p3_templates={tree}") == 2
    assert (
        "common_gen under the template 'odd' cannot be scored by its metrics, pearson (reference "
        "'a' must be a finite number); correct the template's metrics"
    ) in capsys.readouterr().err


# predictions of any system


def written(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_predictions_of_any_system_are_scored_without_a_run(
    run: Path,
    tree: Path,
    data: Path,
    report: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    tasks = ["p3_super_glue_rte_first", "p3_super_glue_rte_second", "p3_anli_is_it_r1"]
    rows = [row for task in tasks for row in rows_of(run, f"{task}-validation-2.rank")]
    theirs = [{"id": row["id"], "prediction": row["prediction"]} for row in rows]
    theirs += rows_of(run, "p3_super_glue_axg_is_it-test-2.rank")
    path = written(tmp_path / "theirs.jsonl", theirs[1:])
    flags = ["evaluate", "--suite=p3", f"--p3_templates={tree}", f"--p3_data={data}"]
    capsys.readouterr()
    assert (
        cli.main([*flags, "--json=-", "--predictions", written(tmp_path / "o.jsonl", theirs)]) == 0
    )
    (found,) = json.loads(capsys.readouterr().out)["runs"]
    assert (found["system"], found["step"]) == ("o.jsonl", None)
    of_rte = found["datasets"]["super_glue/rte"]["prompts"]
    ours = report["datasets"]["super_glue/rte"]["prompts"]
    assert of_rte == {name: ours[name] for name in ("first", "second")}
    assert found["datasets"]["anli/r1"] == report["datasets"]["anli/r1"]
    axg = report["bias_and_fairness"]["gender_parity"]
    assert found["bias_and_fairness"]["gender_parity"] == axg
    assert cli.main([*flags, "--predictions", path]) == 0
    assert "1 of 24 ids of p3_super_glue_rte_first-validation have no" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("id_", "message"),
    [
        ("task1-abc", "p.jsonl:1: id 'task1-abc' is of no prompt that is scored on"),
        ("p3_super_glue_rte_first-test-0", "is of no prompt that is scored on the validation"),
        ("p3_super_glue_rte_not_original-validation-0", "is of no prompt that is scored"),
        ("p3_super_glue_rte_first-validation-99", "is no example of p3_super_glue_rte_first, "),
    ],
)
def test_ids_of_no_example(
    id_: str,
    message: str,
    tree: Path,
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = written(tmp_path / "p.jsonl", [{"id": id_, "prediction": "Yes"}])
    flags = ["evaluate", "--suite=p3", f"--p3_templates={tree}", f"--p3_data={data}"]
    assert cli.main([*flags, "--predictions", path]) == 2
    assert message in capsys.readouterr().err


# SeqIO


@pytest.mark.usefixtures("on_the_data")
def test_seqio_s_evaluator_gives_the_same_scores(run: Path, report: Any) -> None:
    seqio = pytest.importorskip("seqio")
    from tk_instruct.data.seqio_bridge import declarations

    declarations.declare("p3")
    task = "p3_super_glue_rte_second"
    rows = rows_of(run, f"{task}-validation-2.rank")
    rows.sort(key=lambda row: int(row["id"].rpartition("-")[2]))
    scores = [score for row in rows for score in row["scores"]]

    def score(examples: Any) -> list[tuple[int, float]]:
        return [(int(number), scores[int(number)]) for number, _ in examples.as_numpy_iterator()]

    def predict(examples: Any) -> list[tuple[int, list[int]]]:
        numbers = [int(number) for number, _ in examples.as_numpy_iterator()]
        return [(number, _padded(rows[number]["prediction"])) for number in numbers]

    expected = report["datasets"]["super_glue/rte"]["prompts"]["second"]["accuracy"]
    for name, outputs in {
        f"{task}_score_eval": {"score_fn": score},
        task: {"predict_fn": predict},
    }.items():
        evaluator = seqio.Evaluator(
            name,
            feature_converter=seqio.EncDecFeatureConverter(pack=False),
            eval_split="validation",
            sequence_length={"inputs": 160, "targets": 32},
        )
        found, _ = evaluator.evaluate(compute_metrics=True, step=0, **outputs)
        assert found.result()[name]["accuracy"] == pytest.approx(expected, abs=1e-4)


def _padded(text: str) -> list[int]:
    ids = [*(3 + byte for byte in text.encode()), 1]
    return [*ids, *[0] * (32 - len(ids))]


# summaries, of made-up scores


def scored(**values: Sequence[float]) -> Scored:
    """The scores of a prompt with these values of its instances."""
    size = len(next(iter(values.values())))
    labels = {label: ["x"] * size for label in LABELS} | {"instance": list(map(str, range(size)))}
    table = ScoredInstances(
        protocol._ABOUT,
        labels,
        [["y"]] * size,
        ["y"] * size,
        {name: np.array(of, float) for name, of in values.items()},
    )
    scores = {name: float(np.nanmean(of)) for name, of in values.items()}
    return Scored(scores, table)


def slow_bootstrap(prompts: np.ndarray) -> np.ndarray:
    """The medians of 4,000 samples of instances, drawn for all prompts at once."""
    rng = np.random.default_rng(1)
    found = []
    for _ in range(4000):
        drawn = prompts[:, rng.integers(prompts.shape[1], size=prompts.shape[1])]
        found.append(median([fmean(of) for of in drawn.tolist()]))
    return np.array(found)


@pytest.mark.parametrize("num_prompts", [1, 4, 5])
def test_the_median_s_error_is_that_of_a_plain_bootstrap(num_prompts: int) -> None:
    rng = np.random.default_rng(num_prompts)
    easy, good = rng.normal(size=60), rng.normal(size=(num_prompts, 1))
    values = 100.0 * (easy + good + rng.normal(size=(num_prompts, 60)) > 0)
    found, of_median = summary.spread([scored(accuracy=of) for of in values], "accuracy")
    resampled = slow_bootstrap(values)
    assert found.median == of_median.value == median(values.mean(axis=1))
    # The error of a standard deviation of m draws is about 1 / √(2 m): 2,000 theirs, 4,000 these.
    assert found.median_stderr == pytest.approx(resampled.std(ddof=1), rel=0.08)
    assert found.median_ci95 is not None
    low, high = np.quantile(resampled, [0.025, 0.975])
    # Expanded to Student's width, so never inside the plain one but for Monte Carlo error.
    step = 100 / 60
    assert low - 1.5 * step <= found.median_ci95[0] <= low + step
    assert high - step <= found.median_ci95[1] <= high + 1.5 * step


def test_the_interval_of_a_percentage_ends_at_0_and_100() -> None:
    found, of_median = summary.spread([scored(accuracy=[0.0, 100.0, 100.0])], "accuracy")
    assert found.median_ci95 == of_median.ci95 == (0.0, 100.0)


def test_a_prompt_may_lack_instances() -> None:
    """As where a template of COPA is of half the rows: the others are drawn, and do not count."""
    rng = np.random.default_rng(3)
    whole, half = rng.integers(2, size=(2, 40)) * 100.0, rng.integers(2, size=20) * 100.0
    prompts = [*(scored(accuracy=of) for of in whole), scored(accuracy=half)]
    found, _ = summary.spread(prompts, "accuracy")
    assert found.median == median([*whole.mean(axis=1), half.mean()])
    draws = []
    for _ in range(4000):
        drawn = rng.integers(40, size=40)
        of_half = half[drawn[drawn < 20]]
        draws.append(median([*whole[:, drawn].mean(axis=1), of_half.mean()]))
    assert found.median_stderr == pytest.approx(np.std(draws), rel=0.08)


def test_the_mean_of_medians_has_the_error_of_independent_medians() -> None:
    rng = np.random.default_rng(5)
    found = {
        name: summary.summarise(
            "rank",
            "validation",
            {str(n): scored(accuracy=rng.integers(2, size=size) * 100.0) for n in range(3)},
        )["accuracy"]
        for name, size in {"a": 30, "b": 60, "c": 90}.items()
    }
    medians = {name: of for name, (_, of) in found.items()}
    mean = summary.mean_of_medians({name: of for name, (of, _) in found.items()}, medians)
    squares = {name: of.median_stderr**2 for name, (of, _) in found.items()}
    stderr = math.sqrt(sum(squares.values())) / 3
    assert mean["mean_of_medians"] == pytest.approx(fmean(of.value for of in medians.values()))
    assert mean["mean_of_medians_stderr"] == pytest.approx(stderr)
    df = sum(squares.values()) ** 2 / sum(
        squares[name] ** 2 / (size - 1) for name, size in {"a": 30, "b": 60, "c": 90}.items()
    )
    margin = stats.t.ppf(0.975, df) * stderr
    value = mean["mean_of_medians"]
    assert mean["mean_of_medians_ci95"] == pytest.approx([value - margin, value + margin])


def test_where_nothing_can_be_said_there_is_no_error() -> None:
    prompts = {"a": scored(accuracy=[100.0]), "b": scored(accuracy=[0.0])}
    about, found = summary.summarise("rank", "validation", prompts)["accuracy"]
    assert (about.median, about.median_stderr, about.median_ci95) == (50.0, None, None)
    assert about.prompts == {"a": {"accuracy": 100.0}, "b": {"accuracy": 0.0}}
    assert summary.mean_of_medians({"x": about}, {"x": found}) == {"mean_of_medians": 50.0}
    shown = summary.report_text(made_up(datasets={"hellaswag": about}, mean_of_medians=50.0))
    assert shown.splitlines()[2:] == [
        "accuracy (rank)  prompts  median  95 % interval     Q1     Q3    IQR   min     max",
        "hellaswag              2   50.00              –  25.00  75.00  50.00  0.00  100.00",
        "mean of the medians of 1 ranked: 50.00",
    ]


def test_reports_of_earlier_versions_are_shown_without_intervals(
    run: Path, report: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def without(value: Any) -> Any:
        if isinstance(value, dict):
            new = ("_stderr", "_ci95")
            return {name: without(of) for name, of in value.items() if not name.endswith(new)}
        return value

    old = without(report)
    assert old != report
    (tmp_path / "old" / "scores").mkdir(parents=True)
    (tmp_path / "old" / "scores" / "p3-2.json").write_text(json.dumps(old))
    capsys.readouterr()
    assert cli.main(["report", str(tmp_path / "old")]) == 0
    shown = capsys.readouterr().out
    assert f"\nmean of the medians of 5 ranked: {report['mean_of_medians']:.2f}\n" in shown
    [rte] = [line.split() for line in shown.splitlines() if line.startswith("super_glue/rte")]
    about = report["datasets"]["super_glue/rte"]
    assert rte[1:5] == ["3", f"{about['median']:.2f}", "–", f"{about['first_quartile']:.2f}"]


def test_the_error_of_gender_parity_is_by_pairs(report: Any) -> None:
    """Of one prompt, the median is its score: the pairs are drawn."""
    of_prompt = report["bias_and_fairness"]["datasets"]["super_glue/axg"]["prompts"]["is it"]
    share, num_pairs = of_prompt["gender_parity"] / 100, 6
    stderr = 100 * math.sqrt(share * (1 - share) / (num_pairs - 1))
    assert of_prompt["gender_parity_stderr"] == pytest.approx(stderr, abs=1e-3)
    found = report["bias_and_fairness"]["gender_parity"]
    # A bootstrap divides by the number of pairs, in place of one less.
    assert found["median_stderr"] == pytest.approx(stderr * math.sqrt(5 / 6), rel=0.08)


@given(st.lists(st.floats(0, 100), min_size=2, max_size=40))
def test_quartiles_are_interpolated_linearly(values: list[float]) -> None:
    found, _ = summary.spread([scored(accuracy=[value]) for value in values], "accuracy")
    first, middle, third = quantiles(values, n=4, method="inclusive")
    assert found.first_quartile == pytest.approx(first)
    assert found.median == pytest.approx(middle) == pytest.approx(median(values))
    assert found.third_quartile == pytest.approx(third)
    assert found.interquartile_range == pytest.approx(third - first, abs=1e-9)
    assert (found.minimum, found.maximum) == (min(values), max(values))
    assert found.num_prompts == len(values)


def test_the_quartiles_of_one_prompt_are_its_score() -> None:
    found, median = summary.spread([scored(accuracy=[41.0, 43.0])], "accuracy")
    assert (found.first_quartile, found.median, found.third_quartile) == (42.0, 42.0, 42.0)
    assert median.value == 42.0


def made_up(**more: Any) -> Report:
    prompts = {"a": scored(accuracy=[30.0]), "b": scored(accuracy=[40.0])}
    about, _ = summary.summarise("rank", "validation", prompts)["accuracy"]
    fields: dict[str, Any] = {
        "system": "RUN",
        "step": 9,
        "trained_on": "t0_train",
        "templates": "0.1.0",
        "split": "validation",
        "limit": None,
        "missing": [],
        "without_templates": [],
        "datasets": {"hellaswag": about, "super_glue/copa": about},
        "mean_of_medians": 35.0,
        "bias_and_fairness": None,
    }
    return Report(**fields | more)


def test_a_data_set_whose_prompts_have_different_metrics_has_a_row_for_each() -> None:
    prompts = {"a": scored(bleu=[1.0], rouge1=[2.0]), "b": scored(rouge1=[9.0])}
    found = summary.summarise("generation", "validation", prompts)
    assert {metric: of.median for metric, (of, _) in found.items()} == {"bleu": 1.0, "rouge1": 9.0}
    of_bleu, median = found["bleu"]
    assert summary.mean_of_medians({"x": of_bleu}, {"x": median}) == {"mean_of_medians": None}


# bias and fairness


@pytest.mark.usefixtures("on_the_data")
def test_bias_is_scored_as_its_sources_say(run: Path, report: Any) -> None:
    found = report["bias_and_fairness"]
    assert list(found["datasets"]) == [
        *("super_glue/axg", "wino_bias/type1_anti", "wino_bias/type1_pro")
    ]
    axg = found["datasets"]["super_glue/axg"]
    assert (axg["split"], axg["method"]) == ("test", "rank")
    rows = rows_of(run, "p3_super_glue_axg_is_it-test-2.rank")
    rows.sort(key=lambda row: int(row["id"].rpartition("-")[2]))
    texts = [row["prediction"] for row in rows]
    same = [one == other for one, other in zip(texts[::2], texts[1::2], strict=True)]
    assert 0 < sum(same) < len(same)
    assert axg["prompts"]["is it"]["gender_parity"] == pytest.approx(100 * fmean(same), abs=1e-4)
    assert found["gender_parity"]["num_prompts"] == 1
    wino_bias = found["datasets"]["wino_bias/type1_pro"]
    assert (wino_bias["split"], wino_bias["method"]) == ("validation", "generation")
    assert list(found["wino_bias"]) == ["type1"]


def test_gender_parity_is_of_minimal_pairs() -> None:
    prompts = [
        "The cook said that he was late.",
        "The cook said that she was late.",
        "A guest saw His key.",  # its pair has another object
        "A guest saw her coat.",
        "The guard lost himself.",
        "The guard lost herself.",
        "The theme is hers.",
    ]
    found = bias.gender_parity(prompts, ["a", "b", "a", "a", "c", "c", "x"])
    assert found is not None
    assert found.score == 50.0
    np.testing.assert_array_equal(found.values, [0, 0, math.nan, math.nan, 100, 100, math.nan])
    groups = found.groups or []
    assert groups[0] == groups[1] != groups[4] == groups[5]
    assert bias.gender_parity(prompts[2:4], ["a", "a"]) is None
    assert bias.gender_parity([prompts[0], prompts[0]], ["a", "a"]) is None  # no other gender


@pytest.mark.parametrize(
    ("text", "is_right"),
    [
        ("The developer", True),
        ("it is THE  developer.", True),
        ("developer", True),
        ("developers", False),
        ("the designer", False),
        ("", False),
    ],
)
def test_the_noun_of_wino_bias_is_found_in_a_text(text: str, is_right: bool) -> None:
    examples = [{"references": ["the developer"], "options": []}]
    name = bias.DatasetName("wino_bias", "type1_pro")
    found = bias.measured(name, examples, [text])["accuracy"]
    assert found.score == 100.0 * is_right
    found = bias.measured(name, examples * 2, [text, "it is the developer"])["accuracy"]
    assert found.values.tolist() == [100.0 * is_right, 100.0]


def test_pro_and_anti_are_compared_by_their_medians() -> None:
    def about(*accuracies: float) -> Any:
        prompts = {
            str(n): scored(accuracy=[value - 10, value + 10]) for n, value in enumerate(accuracies)
        }
        return summary.summarise("generation", "validation", prompts)["accuracy"]

    found = {
        "wino_bias/type1_pro": about(70, 80, 81),
        "wino_bias/type1_anti": about(60, 85, 90),
        "wino_bias/type2_pro": about(50),
    }
    medians = {name: median for name, (_, median) in found.items()}
    of_bias = bias.summarise({name: of for name, (of, _) in found.items()}, medians, [])
    assert of_bias is not None
    assert list(of_bias.wino_bias) == ["type1"]
    gap = of_bias.wino_bias["type1"]
    assert (gap.pro, gap.anti, gap.difference) == (80.0, 85.0, -5.0)
    # Of independent medians, each with one degree of freedom.
    pro, anti = (medians[f"wino_bias/type1_{kind}"].stderr for kind in ("pro", "anti"))
    assert gap.difference_stderr == pytest.approx(math.hypot(pro, anti))
    df = (pro**2 + anti**2) ** 2 / (pro**4 + anti**4)
    margin = stats.t.ppf(0.975, df) * math.hypot(pro, anti)
    assert gap.difference_ci95 == pytest.approx((-5 - margin, -5 + margin))
    assert of_bias.gender_parity is None
    assert bias.summarise({}, {}, []) is None


@pytest.mark.usefixtures("on_the_data")
def test_data_sets_that_were_seen_in_training_are_named(report: Any) -> None:
    """T0+ and T0++ are trained on some of the sets that T0 holds out."""
    assert report["seen"] == []
    rows = protocol.rows_of("common_gen", None) | protocol.rows_of("super_glue/rte", None)
    assert of_p3._seen(rows, "p3_common_gen_sentence") == ["common_gen"]
    assert of_p3._seen(rows, "p3_eval") == ["super_glue/rte"]
    assert of_p3._seen(rows, None) == of_p3._seen(rows, "of another project") == []


def test_a_run_s_description_says_which_prompts_it_was_made_with(run: Path) -> None:
    about = json.loads((run / "checkpoints" / "2" / "description" / "metadata").read_text())
    [made_with] = about["data"]["made_with"]
    assert made_with.startswith("promptsource templates, version unknown, fingerprint ")
