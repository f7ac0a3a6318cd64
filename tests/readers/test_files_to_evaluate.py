"""Predictions, references, scores, rating sheets, and records to train on."""

import json
import math
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from damage import OfEachReader, Reader, lines

from tk_instruct.files import Path as AnyPath


def predictions(path: Path) -> Any:
    from tk_instruct.predictions import read_predictions

    return read_predictions(path)


def references(path: Path) -> Any:
    from tk_instruct.tasks.superni.evaluate import read_references

    return read_references(path, "default")


def predictions_of_ni_v1(path: Path) -> Any:
    from tk_instruct.tasks.natural_instructions_v1 import predictions

    return predictions.read([str(path)])


def training_data(path: Path) -> Any:
    from tk_instruct.tasks.self_instruct.training_data import read_training_data

    return list(read_training_data(path))


def rating_key(path: Path) -> Any:
    from tk_instruct.tasks.self_instruct.rating import _read_key

    return _read_key(path)


def ratings(path: Path) -> Any:
    from tk_instruct.tasks.self_instruct.rating import _read_ratings

    return _read_ratings(path, {"task_1": "ours", "task_2": "theirs"})


def published_answers(path: Path) -> Any:
    from tk_instruct.tasks.self_instruct.rating import _responses
    from tk_instruct.tasks.self_instruct.user_oriented import UserOriented

    return _responses(path, [UserOriented("task", "task", "Mail", "Shorten it.", "a b", "a")])


def scores(path: Path) -> Any:
    from tk_instruct import scores

    found = scores.read_run(AnyPath(path))
    texts = [scores.as_table(found.rows("run"))]
    shown = [
        (of.text(report), repr(of.section({"a": report})), of.flat(report), of.published(report))
        for of, report in found.reports()
    ]
    return json.dumps([texts, [text for text, *_ in shown]])


def scores_of_a_run(path: Path) -> Any:
    from tk_instruct import scores

    return scores.read_run(AnyPath(path.parent.parent)).as_json


def rank_examples(path: Path) -> Any:
    import gin

    import tk_instruct.data.vocabulary  # noqa: F401 (what is bound)
    from tk_instruct.data.tokenization import Plain
    from tk_instruct.data.tokens import FeatureLengths
    from tk_instruct.data.vocabulary import vocabulary
    from tk_instruct.inference.examples import read_examples
    from tk_instruct.inference.options import with_options

    gin.bind_parameter("vocabulary.name", "bytes")
    lengths = FeatureLengths(64, 64)
    tokenizer = Plain(vocabulary())
    examples, _ = read_examples(AnyPath(path), lengths, None, tokenizer)
    return with_options(examples, (), lengths, tokenizer)


def audit(path: Path) -> Any:
    from tk_instruct.audit import findings

    found = findings.read(path)
    return [found.flagged(), findings.as_json(found)]


def instances_to_audit(path: Path) -> Any:
    from tk_instruct.audit import instances

    return list(instances.read(instances.Given(str(path), None)))


def an_audit() -> bytes:
    """What an audit writes of two instances of a task."""
    from tk_instruct.audit import findings
    from tk_instruct.audit.instances import Instance
    from tk_instruct.audit.overlap import overlap

    settings = findings.Settings()
    evaluation = [
        Instance("a", "t", "a b c d e f g h i j", ["a b c d"]),
        Instance("b", "t", "", []),
    ]
    found = overlap(evaluation, [Instance("c", "s", "a b c d e f g h", ["A b c d."])], settings)
    pair = findings.OriginFinding("s", "t", "same_dataset", ["rte"])
    return findings.as_json(
        findings.Audit(
            format=1,
            settings=settings,
            train=["s:train"],
            against=["t:test"],
            num_train=found.num_train,
            left_out=found.left_out,
            tasks=found.tasks,
            train_datasets={"s": ["rte"]},
            eval_datasets={"t": ["rte"]},
            origins=[pair],
            texts=found.texts,
        )
    )


def scored_instances_of(path: Path) -> Any:
    from tk_instruct import scored_instances

    found = scored_instances.read(AnyPath(path))
    return [found.estimates(), found.weights(), list(found.by("part"))]


def of_instances() -> bytes:
    """What scored_instances writes of two instances."""
    from tk_instruct import scored_instances
    from tk_instruct.scored_instances import LABELS, About, ScoredInstances

    about = About("task", main="f1", unit="task", levels=("category", "task"), percentages=("f1",))
    table = ScoredInstances(
        about,
        {label: ["a", "b"] for label in LABELS},
        [["yes"], ["no", "never"]],
        ["yes", None],
        {"f1": np.array([100.0, 0.0]), "recall": np.array([math.nan, 1.0])},
    )
    with TemporaryDirectory() as folder:
        path = AnyPath(folder) / "file.scores.parquet"
        scored_instances.write(path, table)
        return path.read_bytes()


def scores_of_a_template(path: Path) -> Any:
    """With what is kept of the instances beside its predictions."""
    from tk_instruct import scored_instances
    from tk_instruct.evaluate.of_run import _kept

    predictions = path.parent.parent / "predictions" / f"{path.stem}.jsonl"
    predictions.parent.mkdir(exist_ok=True)
    predictions.write_text("")
    instances = predictions.with_name(f"{path.stem}.scores.parquet")
    instances.write_bytes(of_instances())
    table = scored_instances.read(AnyPath(instances))
    scored_instances.write(
        AnyPath(instances), scored_instances.of_file(table, AnyPath(predictions))
    )
    scores = _kept(AnyPath(path), AnyPath(predictions), "a")
    return scores and scores.estimates()


def model_card(path: Path) -> Any:
    """The scores beside a checkpoint, as the card shows them."""
    from types import SimpleNamespace

    from tk_instruct.convert.model_card import _scores

    checkpoint = path.parent.parent / "checkpoints" / "9"
    return _scores(SimpleNamespace(about=object(), path=str(checkpoint), step=9))


FLAN_REPORT = {
    "model_dir": "run",
    "step": 9,
    "trained_on": "flan_holdout_nli",
    "limit": None,
    "missing": ["cb"],
    "clusters": {
        "nli": {
            "average": {"zero_shot_rank": {"mean": 45.0, "best_on_dev": 50.0}},
            "datasets": {
                "rte": {
                    "counted_as": "rte",
                    "metric": "accuracy",
                    "lower_is_better": False,
                    "settings": {
                        "zero_shot_rank": {
                            "mean": 45.0,
                            "standard_deviation": 5.0,
                            "num_templates": 2,
                            "best_on_dev": {"template": 1, "dev": 51.0, "test": 50.0},
                            "templates": [],
                        }
                    },
                }
            },
        }
    },
}
P3_SUMMARY = {
    "median": 45.0,
    "first_quartile": 40.0,
    "third_quartile": 50.0,
    "interquartile_range": 10.0,
    "minimum": 40.0,
    "maximum": 50.0,
    "num_prompts": 1,
    "method": "rank",
    "split": "validation",
    "metric": "accuracy",
    "prompts": {"can we infer": {"accuracy": 45.0}},
}
P3_REPORT = {
    "system": "run",
    "step": 9,
    "trained_on": "t0_train",
    "templates": "0.1.0",
    "split": "validation",
    "limit": None,
    "missing": ["anli/r1"],
    "without_templates": [],
    "datasets": {"super_glue/rte": P3_SUMMARY},
    "mean_of_medians": 45.0,
    "bias_and_fairness": {
        "datasets": {"wino_bias/type1_pro": P3_SUMMARY},
        "gender_parity": None,
        "wino_bias": {"type1": {"pro": 45.0, "anti": 40.0, "difference": 5.0}},
    },
}
_NI_V1_TASK = "subtask002_quoref_answer_generation"
_CHARGE = {"requests": 1, "prompt_tokens": 2, "completion_tokens": 3, "usd": None}
READERS = [
    Reader(
        "predictions",
        predictions,
        lines({"id": "a", "prediction": "yes"}, {"id": "b", "prediction": ""}),
    ),
    Reader(
        "predictions_of_tk_instruct",
        predictions,
        lines({"Task": "t", "Instance": {"id": "a", "output": ["b"]}, "Prediction": "yes"}),
    ),
    Reader(
        "predictions_of_lm_evaluation_harness",
        predictions,
        lines({"doc_id": 0, "doc": {"id": "a"}, "filtered_resps": ["yes"], "filter": "none"}),
    ),
    Reader(
        "likelihoods_of_lm_evaluation_harness",
        predictions,
        lines(
            {
                "doc": {"id": "a", "options": ["yes", "no"]},
                "filtered_resps": [["-1.5", "True"], [-0.5, False]],
            }
        ),
    ),
    Reader(
        "predictions_in_a_list",
        predictions,
        json.dumps([{"id": "a", "prediction": "yes"}]).encode(),
    ),
    Reader(
        "predictions_of_ni_v1",
        predictions_of_ni_v1,
        lines(
            {"task": _NI_V1_TASK, "index": 60, "prediction": "yes"},
            {"task": _NI_V1_TASK, "index": 61, "prediction": ""},
        ),
    ),
    Reader(
        "released_predictions_of_ni_v1",
        predictions_of_ni_v1,
        json.dumps({"predictions": [{"index": 60, "output": "yes", "input": "a"}]}).encode(),
        f"{_NI_V1_TASK}@_Prompt@0_100.json",
    ),
    Reader(
        "references",
        references,
        lines(
            {
                "id": "a",
                "references": ["b"],
                "task_id": "t",
                "task_category": "c",
                "track": "xlingual",
            }
        ),
    ),
    Reader(
        "training_data",
        training_data,
        lines(
            {"id": "a", "task": "t", "instruction": "b", "prompt": "b", "completion": "c"},
            {"instruction": "b", "input": "", "output": "c"},
            {"id": "d", "instruction": "b", "instances": [{"input": "", "output": "c"}]},
            {"inputs_pretokenized": "b", "targets_pretokenized": "c", "is_correct": True},
        ),
    ),
    Reader(
        "rating_key",
        rating_key,
        lines({"seed": 0, "systems": ["ours"], "rows": {"task_1": "ours", "task_2": "ours"}}),
    ),
    Reader(
        "ratings",
        ratings,
        b'\xef\xbb\xbf"id","response","rating"\r\n"task_1","a\nb","A"\r\n"task_2","",""\r\n',
        "file.csv",
    ),
    Reader("scores", scores, b'{"rougeL": 1.5, "num_examples": 5, "predicted_by": "a"}'),
    Reader(
        "scores_of_a_run",
        scores_of_a_run,
        b'{"rougeL": 1.5, "exact_match": 2}',
        "run/scores/superni_en_def-test-9.json",
    ),
    Reader(
        "model_card",
        model_card,
        b'{"rougeL": 1.5, "exact_match": 2}',
        "run/scores/superni_en_def-test-9.json",
    ),
    Reader(
        "rank_examples",
        rank_examples,
        lines({"id": "a", "task": "t", "inputs": "Is it so?", "options": ["yes", "no"]}),
    ),
    Reader("audit", audit, an_audit),
    Reader(
        "instances_to_audit",
        instances_to_audit,
        lines(
            {"id": 1, "task": "t", "inputs": "a b", "targets": ["c"]}, {"inputs": "", "targets": ""}
        ),
        "file.jsonl",
    ),
    Reader("scored_instances", scored_instances_of, of_instances, "file.scores.parquet"),
    Reader(
        "scores_of_a_template",
        scores_of_a_template,
        b'{"predicted_by": "a", "f1": 1.5, "recall": 2, "f1_ci95": [1, 2]}',
        "run/scores/flan_rte.t0-test-9.json",
        share=0.3,
    ),
    Reader("scores_of_flan", scores, json.dumps(FLAN_REPORT).encode()),
    Reader(
        "scores_of_flan_runs",
        scores,
        json.dumps({"suite": "flan", "runs": [FLAN_REPORT]}).encode(),
    ),
    Reader(
        "scores_of_systems",
        scores,
        json.dumps(
            {"suite": "flan", "systems": {"a": {"flan_rte/test": {"accuracy": 5}}}}
        ).encode(),
    ),
    Reader("scores_of_p3", scores, json.dumps(P3_REPORT).encode()),
    Reader("scores_of_p3_runs", scores, json.dumps({"suite": "p3", "runs": [P3_REPORT]}).encode()),
    Reader(
        "published_answers",
        published_answers,
        lines({"prompt": "", "instruction": "Shorten it.", "input": "a b", "response": "a"}),
    ),
]


class TestFilesToEvaluate(OfEachReader):
    readers = READERS
