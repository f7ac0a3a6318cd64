"""Every reader of files, on files that are damaged: the result is data or a UserError.

TK_INSTRUCT_FUZZ_EXAMPLES=100000 .venv/bin/python -m pytest tests/test_readers.py   # for long
"""

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tk_instruct.errors import UserError
from tk_instruct.files import Path as AnyPath

NUM_EXAMPLES = int(os.environ.get("TK_INSTRUCT_FUZZ_EXAMPLES", "60"))


class Reader(NamedTuple):
    """What reads a file; whole is a content that it takes."""

    name: str
    read: Callable[[Path], Any]
    whole: bytes
    file: str = "file.json"


def lines(*records: Any) -> bytes:
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def user_oriented(path: Path) -> Any:
    from tk_instruct.data.user_oriented import read_user_oriented

    return read_user_oriented(path)


def predictions(path: Path) -> Any:
    from tk_instruct.evaluate.predictions import read_predictions

    return read_predictions(path)


def references(path: Path) -> Any:
    from tk_instruct.evaluate.superni import read_references

    return read_references(path, "default")


def training_data(path: Path) -> Any:
    from tk_instruct.tasks.self_instruct import read_training_data

    return list(read_training_data(path))


def rating_key(path: Path) -> Any:
    from tk_instruct.evaluate.user_oriented import _read_key

    return _read_key(path)


def ratings(path: Path) -> Any:
    from tk_instruct.evaluate.user_oriented import _read_ratings

    return _read_ratings(path, {"task_1": "ours", "task_2": "theirs"})


def published_answers(path: Path) -> Any:
    from tk_instruct.data.user_oriented import UserOriented
    from tk_instruct.evaluate.user_oriented import _responses

    return _responses(path, [UserOriented("task", "task", "Mail", "Shorten it.", "a b", "a")])


def scores(path: Path) -> Any:
    from tk_instruct import report

    found = report.read_run(AnyPath(path))
    texts = [report.as_table({"run": found.scores})] if found.scores else []
    return json.dumps([texts, [report.report_text(flan) for flan in found.flan]])


def scores_of_a_run(path: Path) -> Any:
    from tk_instruct import report

    return report.read_run(AnyPath(path.parent.parent)).as_json


def statistics(path: Path) -> Any:
    from tk_instruct import report

    report.show_stats("run", report.read_stats(AnyPath(path.parent.parent)), as_json=False)


def rank_examples(path: Path) -> Any:
    import gin

    import tk_instruct.data.vocabulary  # noqa: F401 (what is bound)
    from tk_instruct.data.tokens import FeatureLengths
    from tk_instruct.rank import read_examples, with_options

    gin.bind_parameter("vocabulary.name", "bytes")
    lengths = FeatureLengths(64, 64)
    return with_options(read_examples(AnyPath(path), lengths)[0], (), lengths)


def scores_of_a_template(path: Path) -> Any:
    from tk_instruct.evaluate.flan import _scores_if

    scores = _scores_if(AnyPath(path), "a")
    return scores and next(iter(scores.values())) + 1


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
_CHARGE = {"requests": 1, "prompt_tokens": 2, "completion_tokens": 3, "usd": None}
STATISTICS = {
    "models": ["m"],
    "data": {key: {"instructions": 2} for key in ("accepted", "with_instances", "published")},
    "acceptance": {"instructions": {"candidates": 3, "accepted": 2, "dropped": {"short": 1}}},
    "cost": {
        "stages": {"instructions": _CHARGE},
        "unanswered": _CHARGE,
        "total": _CHARGE,
        "usd_per_accepted_instruction": 0.5,
        "usd_per_instance": None,
    },
    "unclear_answers": 1,
    "why_no_root_verbs": "no spaCy",
}

READERS = [
    Reader(
        "user_oriented",
        user_oriented,
        lines(
            {
                "id": "user_oriented_task_0",
                "motivation_app": "Mail",
                "instruction": "Shorten it.",
                "instances": [{"input": "a b", "output": "a"}],
            }
        ),
    ),
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
        "predictions_in_a_list",
        predictions,
        json.dumps([{"id": "a", "prediction": "yes"}]).encode(),
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
    Reader("scores_of_a_template", scores_of_a_template, b'{"predicted_by": "a", "f1": 1.5}'),
    Reader("scores_of_flan", scores, json.dumps(FLAN_REPORT).encode()),
    Reader(
        "scores_of_flan_runs",
        scores,
        json.dumps({"suite": "flan", "runs": [FLAN_REPORT]}).encode(),
    ),
    Reader("statistics", statistics, json.dumps(STATISTICS).encode(), "run/stats/stats.json"),
    Reader(
        "published_answers",
        published_answers,
        lines({"prompt": "", "instruction": "Shorten it.", "input": "a b", "response": "a"}),
    ),
]


# As they stand in a file: json.dumps writes no 1e999, no deep nesting and no half of a surrogate.
_ODD = [
    "null",
    "true",
    "-1",
    "0",
    "1.5",
    "1e999",
    "NaN",
    "-Infinity",
    "9" * 25,
    "9" * 5000,
    '""',
    '"\\ud800"',
    '"\\u0000\\u001b[2J"',
    '"../../x"',
    '"nan"',
    "[]",
    "{}",
    '[{"": [null]}]',
    '{"a": {"b": 1}}',
    "[" * 5000 + "]" * 5000,
    '{"a":' * 5000 + "1" + "}" * 5000,
]
_HOLE = "\x00HOLE\x00"


def damaged(whole: bytes) -> st.SearchStrategy[bytes]:
    """Any bytes, the file cut off, with bytes changed, or with a value of its JSON replaced."""
    forms = [st.binary(), _cut(whole), _spliced(whole)]
    if texts := _json_texts(whole):
        forms.append(_replaced(texts, whole))
    return st.one_of(*forms)


def _cut(whole: bytes) -> st.SearchStrategy[bytes]:
    return st.integers(0, len(whole)).map(lambda end: whole[:end])


def _spliced(whole: bytes) -> st.SearchStrategy[bytes]:
    def splice(start: int, length: int, inserted: bytes) -> bytes:
        return whole[:start] + inserted + whole[start + length :]

    return st.builds(splice, st.integers(0, len(whole)), st.integers(0, 8), st.binary(max_size=8))


def _json_texts(whole: bytes) -> list[str]:
    """The JSON documents in a file, one or one a line; none where it is something else."""
    try:
        text = whole.decode()
        lines = [text] if _is_json(text) else [line for line in text.splitlines() if line.strip()]
    except UnicodeDecodeError:
        return []
    return lines if all(map(_is_json, lines)) else []


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


@st.composite
def _replaced(draw: st.DrawFn, texts: list[str], whole: bytes) -> bytes:
    """One value in place of another, or a field taken away, in one of the documents."""
    number = draw(st.integers(0, len(texts) - 1))
    document = json.loads(texts[number])
    places = list(_places(document))
    parent, key = draw(st.sampled_from(places)) if places else (None, None)
    if parent is not None and draw(st.integers(0, 3)) == 0:
        del parent[key]
        odd = ""
    else:
        odd = draw(st.sampled_from(_ODD) | _values.map(json.dumps))
        if parent is None:
            document = _HOLE
        else:
            parent[key] = _HOLE
    changed = json.dumps(document).replace(json.dumps(_HOLE), odd)
    return "\n".join([*texts[:number], changed, *texts[number + 1 :]]).encode()


def _places(document: Any) -> Iterator[tuple[Any, Any]]:
    """(container, key) of every value inside a document."""
    keys = (
        document.keys()
        if isinstance(document, dict)
        else range(len(document))
        if isinstance(document, list)
        else ()
    )
    for key in keys:
        yield document, key
        yield from _places(document[key])


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_a_whole_file_is_read(reader: Reader, tmp_path: Path) -> None:
    path = tmp_path / reader.file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(reader.whole)
    reader.read(path)


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_of_a_damaged_file_the_result_is_data_or_a_user_error(
    reader: Reader, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("damaged") / reader.file
    path.parent.mkdir(parents=True, exist_ok=True)

    @settings(
        max_examples=NUM_EXAMPLES,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    @given(damaged(reader.whole))
    def check(content: bytes) -> None:
        path.write_bytes(content)
        with contextlib.suppress(UserError):
            reader.read(path)

    check()
