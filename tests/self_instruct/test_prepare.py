"""A run's instances → training data and its card."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import gin
import pytest

from tk_instruct.errors import UserError
from tk_instruct.randomness import choose
from tk_instruct.self_instruct import encodings, prepare
from tk_instruct.self_instruct.prepare import Preparation, Prepared
from tk_instruct.self_instruct.run_directory import RunDirectory

SEEDS = [
    {
        "id": "seed_task_0",
        "name": "rhyme",
        "instruction": "Find a rhyme.",
        "instances": [{"input": "Word: tree", "output": "bee"}],
        "is_classification": False,
    },
    {
        "id": "seed_task_1",
        "name": "mood",
        "instruction": "Is the mood good or bad?",
        "instances": [{"input": "Hooray", "output": "good"}],
        "is_classification": True,
    },
]
FILES = {"all_generated_instances.jsonl", "train.jsonl", "alpaca.jsonl", "chat.jsonl"}


def provenance(second: int, model: str = "davinci") -> dict[str, Any]:
    return {
        "model": model,
        "parameters": {"max_tokens": 350, "temperature": 0},
        "prompt_sha256": "0" * 64,
        "created_at": f"2026-01-02T03:04:{second:02}Z",
        "seed": 0,
        "parents": [],
    }


def generated(
    number: int, *instances: tuple[str, str], instruction: str = "", **fields: Any
) -> dict[str, Any]:
    return {
        "id": f"machine-{number:06}-00",
        "instruction": instruction or f"Do the thing of number {number}.",
        "is_classification": False,
        "raw_instances": "…",
        "finish_reason": "stop",
        "instances": [{"input": input_, "output": output} for input_, output in instances],
        "dropped": {},
        "provenance": provenance(number % 60),
        **fields,
    }


def make_run(path: Path, *records: dict[str, Any]) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    (path / "run.json").write_text(json.dumps({"seed": 7, "seeds": "own"}))
    (path / "seed_tasks.jsonl").write_text("".join(json.dumps(seed) + "\n" for seed in SEEDS))
    (path / "instances.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    return path


def prepared(path: Path, **settings: Any) -> Prepared:
    with RunDirectory(path) as run:
        return prepare.prepare(run, Preparation(**settings))


def lines(path: Path, name: str) -> list[dict[str, Any]]:
    text = (path / "prepared" / name).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_files_and_what_is_in_them(tmp_path: Path) -> None:
    run = make_run(
        tmp_path / "run",
        generated(0, (" Word: é  ", " one "), ("", "two")),
        generated(1),
    )
    result = prepared(run)
    assert {path.name for path in result.folder.iterdir()} == FILES | {"DATA_CARD.md"}
    assert lines(run, "all_generated_instances.jsonl") == [
        {
            "id": f"machine-000000-00-{k}",
            "instruction": "Do the thing of number 0.",
            "input": input_,
            "output": output,
        }
        for k, (input_, output) in enumerate([("Word: é", "one"), ("", "two")])
    ]
    train = lines(run, "train.jsonl")
    assert {row["id"] for row in train} == {
        "machine-000000-00-0",
        "machine-000000-00-1",
        "seed_task_0-0",
        "seed_task_1-0",
    }
    for row, example, plain, chat in zip(
        train, result.train, lines(run, "alpaca.jsonl"), lines(run, "chat.jsonl"), strict=True
    ):
        assert (row["prompt"], row["completion"]) == encodings.encode(example, 7, 0.5)
        assert plain == {key: row[key] for key in ("instruction", "input", "output")}
        asked = f"{row['instruction']}\n\n{row['input']}" if row["input"] else row["instruction"]
        assert chat["messages"] == [
            {"role": "user", "content": asked},
            {"role": "assistant", "content": row["output"]},
        ]
    prepared(run, include_seeds=False)
    assert {row["task"] for row in lines(run, "train.jsonl")} == {"machine-000000-00"}


def test_choices_depend_on_seed_and_id_alone(tmp_path: Path) -> None:
    many = [generated(n, *((f"in {n} {k}", f"out {k}") for k in range(5))) for n in range(60)]
    first, again = make_run(tmp_path / "a", *many), make_run(tmp_path / "b", *many)
    more = make_run(tmp_path / "c", generated(99, ("a", "b")), *many)
    for run in (first, again, more):
        prepared(run)
    for name in (*FILES, "DATA_CARD.md"):
        content = (first / "prepared" / name).read_bytes()
        assert content == (again / "prepared" / name).read_bytes()
        prepared(again)
        assert content == (again / "prepared" / name).read_bytes()
    of_more = [row for row in lines(more, "train.jsonl") if "000099" not in row["id"]]
    assert of_more == lines(first, "train.jsonl")  # the same examples, encoded and ordered alike

    used = Counter(
        choose(encodings.WITH_INPUT, 7, "encoding", row["id"])
        for row in lines(first, "train.jsonl")
    )
    assert used.keys() == set(encodings.WITH_INPUT)
    assert max(used.values()) < 2 * min(used.values())
    order = [row["id"] for row in lines(first, "train.jsonl")]
    assert order != sorted(order)


def test_what_is_there_twice_is_kept_once(tmp_path: Path) -> None:
    twice = {"instruction": "Name a fruit."}
    run = make_run(
        tmp_path / "run",
        *(generated(n, ("", "fig"), (f"{n}", "kiwi"), **twice) for n in range(20)),
        generated(50, ("Word: tree", "bee"), instruction="Find a rhyme."),
    )
    result = prepared(run)
    assert result.dropped["the same instruction, input and output"] == 19 + 1
    assert [e.id for e in result.train if e.output == "fig"] == ["machine-000000-00-0"]
    assert [e.id for e in result.train if e.output == "bee"] == ["seed_task_0-0"]
    assert any(e.output == "bee" for e in result.generated)
    # Two inputs that are one without their field name.
    run = make_run(
        tmp_path / "names",
        *(generated(n, (f"name{n}: y", "x"), **twice) for n in range(12)),
    )
    result = prepared(run, field_name_removal=1.0)
    prompts = {row["prompt"] for row in lines(run, "train.jsonl") if row["output"] == "x"}
    assert len(prompts) <= 7
    assert result.dropped["the same prompt and completion"] == 12 - len(prompts)


PRICES = ("usd_per_million_prompt_tokens", "usd_per_million_completion_tokens")


def test_the_card(tmp_path: Path) -> None:
    run = make_run(
        tmp_path / "run",
        generated(0, ("a b", "c"), ("", "d e f"), dropped={"empty output": 2}),
        generated(
            1, ("x|y", "Yes"), is_classification=True, dropped={"empty output": 1, "echo": 1}
        ),
    )
    request = {"request_idx": 0, "key": "a", "num_candidates": 9, "num_accepted": 1}
    (run / "instruction_requests.jsonl").write_text(
        "".join(
            json.dumps({**request, "dropped": dropped}) + "\n"
            for dropped in ({"too short": 3}, {"too short": 1, "too similar": 4})
        )
    )
    about = {"index": 0, "prompt_sha256": "", "parameters": {}, "model": "m", "text": ""}
    about |= {"finish_reason": "stop", "created_at": ""}
    responses = [
        {"stage": "classify", "key": "a", "prompt_tokens": 100_000, "completion_tokens": 20},
        {"stage": "classify", "key": "b", "prompt_tokens": 50_000, "completion_tokens": None},
        {"stage": "instances", "key": "c", "prompt_tokens": 1, "completion_tokens": 2},
    ]
    ledger = [
        {"event": "prices", **dict.fromkeys(PRICES, 1.0)},
        {"event": "prices", **dict.fromkeys(PRICES, 2.0)},
        {"event": "sent", "key": "b", "prompt_tokens": 60_000, "completion_tokens": 5_000},
        {"event": "sent", "key": "d", "prompt_tokens": 10_000, "completion_tokens": 0},
    ]
    for name, records in (("responses", responses), ("ledger", ledger)):
        lines = (json.dumps({**about, "attempt": 1, "attempts": 1, **record}) for record in records)
        (run / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    prepared(run)
    card = (run / "prepared" / "DATA_CARD.md").read_text(encoding="utf-8")
    for line in (
        '| instances.jsonl | davinci | 2 | `{"max_tokens": 350, "temperature": 0}` |',
        "From 2 seed tasks, between 2026-01-02T03:04:00Z and 2026-01-02T03:04:01Z.",
        "- seed: `7`",
        "| instructions | 2 | 4 | 52,445 |",
        "| of which classification | 1 | 2 | 11,584 |",
        "| of which not | 1 | 2 | 40,861 |",
        "| instances | 3 | 5 | 82,439 |",
        "| of which with empty input | 1 | 1 | 35,878 |",
        "| mean words of an instruction | 6.0 | 5.2 | 15.9 |",
        "| mean words of an input that is not empty | 1.5 | 1.5 | 12.7 |",
        "| mean words of an output | 1.7 | 1.4 | 18.9 |",
        "| instructions | too short | 4 |",
        "| instances | empty output | 3 |",
        "| classify | 2 | 160,000 | 5,020 | 0.33 |",
        "| instances | 1 | 1 | 2 | 0.00 |",
        "| perhaps paid, not answered | 0 | 10,000 | 0 | 0.02 |",
        "| together | 3 | 170,001 | 5,022 | 0.35 |",
    ):
        assert line in card.splitlines()
    assert "**To be filled in** (`--licence TEXT`)" in card
    assert "scripted" not in card
    prepared(run, licence="CC BY 4.0")
    card = (run / "prepared" / "DATA_CARD.md").read_text(encoding="utf-8")
    assert "\nCC BY 4.0\n" in card
    assert "To be filled in" not in card


def test_text_that_means_nothing_is_said_to(tmp_path: Path) -> None:
    scripted = provenance(0, model="scripted")
    run = make_run(tmp_path / "a", generated(0, ("a", "b"), provenance=scripted))
    prepared(run)
    assert "**All of it was made by the scripted client" in (
        run / "prepared" / "DATA_CARD.md"
    ).read_text(encoding="utf-8")
    run = make_run(
        tmp_path / "b", generated(0, ("a", "b"), provenance=scripted), generated(1, ("a", "b"))
    )
    prepared(run)
    assert "**50% of it was made by the scripted" in (run / "prepared" / "DATA_CARD.md").read_text(
        encoding="utf-8"
    )


def test_settings_come_from_gin(tmp_path: Path) -> None:
    gin.bind_parameter("Preparation.include_seeds", False)
    run = make_run(tmp_path / "run", generated(0, ("a", "b"), ("c", "d")))
    with RunDirectory(run) as opened:
        assert len(prepare.prepare(opened).train) == 2


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"instances": None}, "instances.jsonl:2: instances is null but must be a list"),
        (
            {"instances": [{"input": "a"}]},
            "instances.jsonl:2: instances[0].output is missing; remove",
        ),
        (
            {"is_classification": "Yes"},
            'instances.jsonl:2: is_classification is "Yes" but must be true or false',
        ),
    ],
)
def test_bad_records(fields: dict[str, Any], message: str, tmp_path: Path) -> None:
    run = make_run(tmp_path, generated(0, ("a", "b")), generated(1, **fields))
    with pytest.raises(UserError) as caught:
        prepared(run)
    assert message in str(caught.value)


def test_nothing_to_prepare(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no run; begin one"):
        prepared(tmp_path / "nothing")
    with pytest.raises(UserError, match="holds no instances; generate some"):
        prepared(make_run(tmp_path / "run"))
    with pytest.raises(UserError, match=r"field_name_removal=50 must be from 0 to 1"):
        Preparation(field_name_removal=50)


def test_the_published_seeds(shared_data: Path, tmp_path: Path) -> None:
    run = make_run(tmp_path, generated(0, ("a", "b")))
    seeds = shared_data / "self-instruct" / "data" / "seed_tasks.jsonl"
    (run / "seed_tasks.jsonl").write_bytes(seeds.read_bytes())
    train = prepared(run).train
    assert len(train) == 175 + 1
    assert sum(example.is_classification for example in train) == 26
    assert sum(not example.input for example in train) == 50
