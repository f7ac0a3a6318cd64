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


PROVENANCE = {
    "model": "m",
    "parameters": {"max_tokens": 9, "temperature": 0.5, "stop": ["a"], "top_p": None},
    "prompt_sha256": "0" * 64,
    "created_at": "2026-01-02T03:04:05+00:00",
    "seed": 0,
    "parents": ["seed_0"],
}
COST = {"requests": 1, "prompt_tokens": 2, "completion_tokens": 3, "usd": None}
INSTANCE = {"input": "a b", "output": "a"}
SEED_TASKS = [
    {
        "id": f"seed_{number}",
        "name": "n",
        "instruction": f"Shorten it {number} times.",
        "instances": [INSTANCE],
        "is_classification": bool(number),
    }
    for number in range(2)
]
# By file of a run's directory: what a run of one instruction leaves.
RUN = {
    "run.json": [{"seed": 0, "seeds": "s", "scripted": True, "Instructions.lag": 1}],
    "seed_tasks.jsonl": SEED_TASKS,
    "responses.jsonl": [
        {
            "key": "instructions-000000-0000000000000000",
            "stage": "instructions",
            "index": 0,
            "prompt_sha256": "0" * 64,
            "parameters": PROVENANCE["parameters"],
            "model": "m",
            "text": "9. Name a river in France.",
            "finish_reason": "stop",
            "prompt_tokens": 3,
            "completion_tokens": None,
            "created_at": "2026-01-02T03:04:05+00:00",
            "attempts": 1,
        }
    ],
    "ledger.jsonl": [
        {"event": "begun", "id": "0"},
        {
            "event": "prices",
            "usd_per_million_prompt_tokens": 1.0,
            "usd_per_million_completion_tokens": 2,
        },
        {"event": "sent", "key": "a", "attempt": 1, "prompt_tokens": 3, "completion_tokens": 4},
        {"event": "not paid", "key": "a", "attempt": 1},
    ],
    "instructions.jsonl": [
        {
            "id": "machine-000000-00",
            "instruction": "Name a river in France.",
            "most_similar": {"Shorten it 0 times.": 0.1},
            "avg_similarity_score": 0.1,
            "request_idx": 0,
            "provenance": PROVENANCE,
        }
    ],
    "instruction_requests.jsonl": [
        {
            "request_idx": 0,
            "key": "instructions-000000-0000000000000000",
            "num_candidates": 1,
            "num_accepted": 1,
            "dropped": {"empty": 0},
        }
    ],
    "classified.jsonl": [
        {
            "id": "machine-000000-00",
            "instruction": "Name a river in France.",
            "is_classification": False,
            "answer": "No",
            "provenance": PROVENANCE,
        }
    ],
    "instances.jsonl": [
        {
            "id": "machine-000000-00",
            "instruction": "Name a river in France.",
            "is_classification": False,
            "raw_instances": "Output: a",
            "finish_reason": "stop",
            "instances": [INSTANCE],
            "dropped": {},
            "provenance": PROVENANCE,
        }
    ],
}


def generated_run(path: Path) -> Any:
    """All that reads a run's directory, of which one file is damaged; only the first makes it."""
    from tk_instruct.self_instruct import data_card, prepare
    from tk_instruct.self_instruct.clients import Parameters
    from tk_instruct.self_instruct.instructions import Generation, Instructions, made_by
    from tk_instruct.self_instruct.run_directory import RunDirectory
    from tk_instruct.self_instruct.seeds import read_seeds
    from tk_instruct.self_instruct.stats import charges

    for name, records in RUN.items():
        other, whole = path.parent / name, lines(*records)
        if other != path and not (other.exists() and other.read_bytes() == whole):
            other.write_bytes(whole)
    run = RunDirectory(path.parent)
    seeds = read_seeds(str(path.parent / "seed_tasks.jsonl"))
    run.agree({"seed": 0})
    charges(run.log("ledger").read(), run.log("responses").read())
    made_by("classify", run.log("classified"), ("id", "instruction", "is_classification"))
    data_card.text(run, run.begun_with or {}, list(prepare._generated(run)), [], {}, None)
    Generation(run, seeds, 0, Instructions(Parameters(9)))


def generated_statistics(path: Path) -> Any:
    from tk_instruct.report import read_stats
    from tk_instruct.self_instruct.stats.report import as_html, as_text

    stats = read_stats(path.parent.parent)
    return as_text(stats), as_html(stats, {})


def server_answer(path: Path) -> Any:
    """Of both protocols; one that is no completion may be asked for again."""
    from tk_instruct.self_instruct.clients import UnansweredError
    from tk_instruct.self_instruct.clients.openai import OpenAIChat, OpenAICompletions

    for client in OpenAIChat, OpenAICompletions:
        with contextlib.suppress(UnansweredError):
            made = client("m", base_url="http://127.0.0.1:9/v1")._completion(path.read_bytes())
            assert isinstance(made.text, str)
            assert isinstance(made.finish_reason, str)
            for count in made.prompt_tokens, made.completion_tokens:
                assert count is None or 0 <= count <= 10**9


READERS = [
    *(
        Reader(f"generated_{name.split('.')[0]}", generated_run, lines(*records), name)
        for name, records in RUN.items()
    ),
    Reader(
        "generated_statistics",
        generated_statistics,
        lines(
            {
                "models": ["m"],
                "data": {
                    "accepted": {
                        "instructions": 1,
                        "classification": 1,
                        "not_classification": 0,
                        "mean_words_of_instruction": 2.5,
                    },
                    "with_instances": {},
                    "published": {"instances": 2.5},
                },
                "acceptance": {
                    "instructions": {"candidates": 2, "accepted": 1, "dropped": {"a": 1}}
                },
                "cost": {
                    "stages": {},
                    "unanswered": COST,
                    "total": COST,
                    "usd_per_accepted_instruction": 0.5,
                    "usd_per_instance": None,
                },
                "unclear_answers": 0,
                "mean_rouge_l_to_most_similar_seed": 0.5,
                "root_verbs": [{"verb": "name", "count": 1, "nouns": {"river": 1}}],
                "why_no_root_verbs": None,
            }
        ),
        "run/stats/stats.json",
    ),
    Reader(
        "server_answer",
        server_answer,
        lines(
            {
                "model": "m",
                "choices": [
                    {
                        "text": "a",
                        "message": {"content": "a", "reasoning_content": "b"},
                        "finish_reason": "stop",
                    }
                ],
                "usage": {"prompt_tokens": 1, "completion_tokens": 2},
            }
        ),
    ),
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
