"""What Self-Instruct keeps, and what servers answer."""

import contextlib
from pathlib import Path
from typing import Any

from damage import OfEachReader, Reader, lines


def user_oriented(path: Path) -> Any:
    from tk_instruct.tasks.self_instruct.user_oriented import read_user_oriented

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
    from tk_instruct.completions import Parameters
    from tk_instruct.self_instruct import data_card, prepare
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
    from tk_instruct.completions import Parameters, Request, UnansweredError
    from tk_instruct.completions.openai import OpenAIChat, OpenAICompletions

    for client in OpenAIChat, OpenAICompletions:
        with contextlib.suppress(UnansweredError):
            asked, prompt = client("m", base_url="http://127.0.0.1:9/v1"), ("predict", 0, "ab")
            made = asked._completion(path.read_bytes(), Request(*prompt, Parameters(1)))
            assert isinstance(made.text, str)
            assert isinstance(made.finish_reason, str)
            for count in made.prompt_tokens, made.completion_tokens:
                assert count is None or 0 <= count <= 10**9
            if client is OpenAICompletions:
                scored = Request(*prompt, Parameters(1), scored_from=1)
                found = asked._completion(path.read_bytes(), scored).log_probability
                assert isinstance(found, float)


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
                        "text": "ab c",
                        "message": {"content": "a", "reasoning_content": "b"},
                        "logprobs": {
                            "token_logprobs": [None, -1.5, -2.5],
                            "text_offset": [0, 1, 2],
                        },
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


class TestFilesOfSelfInstruct(OfEachReader):
    readers = READERS
