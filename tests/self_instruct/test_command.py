"""`tk-instruct self-instruct`: what a user types, sees and finds, also after kills."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib import util
from pathlib import Path
from typing import Any

import pytest

from tk_instruct import cli
from tk_instruct.self_instruct.run_directory import RunDirectory
from tk_instruct.self_instruct.seeds import read_seeds, write_seeds

FILES = ("instructions", "instruction_requests", "classified", "instances")
KEY = "sk-never-to-be-written-4711"

_spec = util.spec_from_file_location(
    "faulty_server", Path(__file__).parents[1] / "completions" / "faulty_server.py"
)
assert _spec is not None
assert _spec.loader is not None
faulty_server = util.module_from_spec(_spec)
_spec.loader.exec_module(faulty_server)


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[Any]:
    with faulty_server.FaultyServer(
        answer=faulty_server.scripted, api_key=KEY, **request.param
    ) as server:
        yield server


def command(run: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "tk_instruct.cli", "self-instruct", *more, f"--run_dir={run}"]


def made(run: Path) -> dict[str, list[dict[str, Any]]]:
    """Without what only says when."""
    found = {}
    for name in FILES:
        found[name] = [json.loads(line) for line in (run / f"{name}.jsonl").open()]
        for record in found[name]:
            record.get("provenance", {}).pop("created_at", None)
    return found


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        status = cli.main(["self-instruct", *arguments])
        return status, *capsys.readouterr()

    return run


def test_a_newcomer_sees_all_of_it_without_a_model(run: Run, tmp_path: Path) -> None:
    status, out, _ = run("run", "--run_dir", str(tmp_path / "run"), "--num_instructions", "30")

    assert status == 0
    assert "means nothing" in out
    assert re.search(r"^instructions +3\d +\d\d +52,445$", out, re.MULTILINE)
    folder = tmp_path / "run"
    assert "means nothing" in (folder / "prepared" / "DATA_CARD.md").read_text()
    assert {path.name for path in (folder / "prepared").iterdir()} == {
        "all_generated_instances.jsonl",
        "train.jsonl",
        "alpaca.jsonl",
        "chat.jsonl",
        "DATA_CARD.md",
    }
    assert (folder / "stats" / "report.html").exists()
    assert not (folder / "reserved").exists()


def test_a_stage_at_a_time_is_the_same_as_all_at_once(run: Run, tmp_path: Path) -> None:
    once, staged = tmp_path / "once", tmp_path / "staged"
    assert run("run", "--run_dir", str(once), "--num_instructions=20", "--seed=5")[0] == 0
    for stage in ("instructions", "classify", "instances", "prepare", "stats"):
        flags = ["--run_dir", str(staged)]
        flags += ["--num_instructions=20", "--seed=5"] if stage == "instructions" else []
        assert run(stage, *flags)[0] == 0

    assert made(once) == made(staged)
    for name in ("train.jsonl", "chat.jsonl"):
        assert (once / "prepared" / name).read_bytes() == (staged / "prepared" / name).read_bytes()


def test_given_again_it_asks_nothing_and_writes_the_same(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    flags = ["run", "--run_dir", str(folder), "--num_instructions=20"]
    assert run(*flags)[0] == 0
    before = {path: path.read_bytes() for path in folder.rglob("*.*") if path.is_file()}
    assert run(*flags, "--concurrency=3")[0] == 0

    assert {path: path.read_bytes() for path in folder.rglob("*.*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--seed=1"], "was begun with seed=0, not 1; give that again, or another folder"),
        (["--gin.Instructions.lag=4"], "was begun with Instructions.lag=32, not 4"),
        (["--model=a", "--model_dir=b"], "model=a and model_dir=b are two models; give one"),
        (["--max_usd=1"], "max_usd=1 needs the prices; set --prompt_price and --completion_price"),
        (["--num_instructions=0"], "num_instructions=0 must be a whole number ≥ 1"),
        (["--api=rest", "--model=a"], "api='rest' must be completions or chat"),
        (["--seeds=nowhere.jsonl"], "nowhere.jsonl: cannot be read"),
        (["--gin.NUM_INSTRUCTION=5"], "did you mean NUM_INSTRUCTIONS?"),
        (["--model=gpt"], "was begun with scripted=True, not False; give that again, or another"),
        (
            ["--gin.SelfInstructRun.instructions=@Classify()"],
            "SelfInstructRun.instructions is Classify; it must be @Instructions()",
        ),
        (
            ["--gin.Instructions.parameters=@Budget()"],
            "Instructions.parameters=@Budget() must be @Parameters()",
        ),
        (["--max_usd=inf"], "--max_usd=inf must be a finite number"),
    ],
)
def test_what_a_user_gets_wrong_is_said(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: list[str], message: str
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    folder = ["--run_dir", str(tmp_path / "run")]
    assert run("instructions", *folder, "--num_instructions=5")[0] == 0
    status, _, err = run("instructions", *folder, *flags)

    assert status == 2
    assert message in err


def test_a_key_that_is_not_set_is_asked_for(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    status, _, err = run("run", f"--run_dir={tmp_path}", "--model=gpt")

    assert status == 2
    assert "OPENAI_API_KEY is not set, and OpenAI wants a key" in err
    assert not (tmp_path / "run.json").exists()


@pytest.mark.parametrize("stage", ["classify", "instances", "prepare", "stats"])
def test_only_instructions_begin_a_run(run: Run, tmp_path: Path, stage: str) -> None:
    folder = tmp_path / "mistyped"
    status, _, err = run(stage, f"--run_dir={folder}")

    assert status == 2
    assert "mistyped holds no run; `tk-instruct self-instruct instructions --run_dir" in err
    assert not folder.exists()


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        ("instances", "classified.jsonl holds nothing; `tk-instruct self-instruct classify"),
        ("prepare", "holds no instances"),
    ],
)
def test_a_stage_says_which_comes_before_it(
    run: Run, tmp_path: Path, stage: str, message: str
) -> None:
    assert run("instructions", f"--run_dir={tmp_path}", "--num_instructions=5")[0] == 0
    status, _, err = run(stage, f"--run_dir={tmp_path}")

    assert status == 2
    assert message in err


def test_a_folder_of_something_else_is_left_alone(run: Run, tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    status, _, err = run("run", f"--run_dir={tmp_path}")

    assert status == 2
    assert "holds checkpoints and no run of self-instruct; take another folder" in err
    assert {path.name for path in tmp_path.iterdir()} <= {"checkpoints", "lock"}


def test_seeds_that_cannot_be_shown_are_refused_before_anything_is_asked(
    run: Run, tmp_path: Path
) -> None:
    seeds = [task for task in read_seeds() if not task.is_classification]
    write_seeds(tmp_path / "seeds.jsonl", seeds)
    flags = ["instructions", f"--run_dir={tmp_path / 'run'}", "--num_instructions=5"]
    status, _, err = run(*flags, f"--seeds={tmp_path / 'seeds.jsonl'}")
    assert status == 2
    assert "no classification tasks among the 149 seed tasks" in err
    assert not (tmp_path / "run" / "responses.jsonl").exists()

    assert run(*flags)[0] == 0  # with others


def test_statistics_can_be_looked_at_while_a_run_is_under_way(run: Run, tmp_path: Path) -> None:
    assert run("instructions", f"--run_dir={tmp_path}", "--num_instructions=5")[0] == 0
    with RunDirectory(tmp_path):
        assert run("instructions", f"--run_dir={tmp_path}")[0] == 2
        (tmp_path / "instructions.jsonl").open("a").write('{"id": "mach')
        status, out, _ = run("stats", f"--run_dir={tmp_path}", "--json")

    assert status == 0
    assert json.loads(out)["data"]["accepted"]["instructions"] >= 5
    assert (tmp_path / "instructions.jsonl").read_text().endswith('{"id": "mach')


@pytest.mark.parametrize("server", [{"faults": 0.3, "seed": 2}], indirect=True)
def test_killed_again_and_again_nothing_is_lost_and_nothing_paid_for_twice(
    server: Any, tmp_path: Path
) -> None:
    """On a server that fails, the kills at random moments of every stage."""
    environment = {**os.environ, "OPENAI_API_KEY": KEY}
    flags = [
        "--model=scripted",
        f"--base_url={server.base_url}",
        "--num_instructions=40",
        "--concurrency=6",
        "--prompt_price=1",
        "--completion_price=1",
        "--max_usd=10",
        "--gin.Retries.first_pause_seconds=0.02",
    ]
    rng = random.Random(0)
    killed = 0
    for _ in range(30):
        process = subprocess.Popen(
            command(tmp_path / "killed", "run", *flags),
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        asked = len(server.books()["times"])
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            if killed < 2 and len(server.books()["times"]) > asked + 5 + 30 * killed:
                time.sleep(rng.uniform(0, 0.1))
                process.send_signal(signal.SIGKILL)
                killed += 1
                break
            time.sleep(0.01)
        printed = process.communicate(timeout=60)[0]
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL, printed
    assert killed == 2
    assert "Generated data" in printed

    folder = tmp_path / "killed"
    responses = [json.loads(line) for line in (folder / "responses.jsonl").open()]
    keys = [response["key"] for response in responses]
    assert len(keys) == len(set(keys))
    charges = server.books()["charges"]
    assert all(len(charge) == 1 for charge in charges.values())
    # What was under way when it was killed, and then not needed, is charged as well.
    assert {key.rpartition("-")[0] for key in charges} >= set(keys)

    with faulty_server.FaultyServer(answer=faulty_server.scripted) as calm:
        whole = command(tmp_path / "whole", "run", *flags, f"--base_url={calm.base_url}")
        subprocess.run(whole, env=environment, check=True, capture_output=True)
    assert made(folder) == made(tmp_path / "whole")
    for path in folder.rglob("*"):
        assert path.is_dir() or KEY.encode() not in path.read_bytes()


@pytest.mark.parametrize("server", [{"max_delay_seconds": 0.05}], indirect=True)
def test_ctrl_c_keeps_what_was_asked_for(server: Any, tmp_path: Path) -> None:
    process = subprocess.Popen(
        command(tmp_path, "run", "--model=m", f"--base_url={server.base_url}"),
        env={**os.environ, "OPENAI_API_KEY": KEY},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    while len(server.books()["times"]) < 20:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    printed = process.communicate(timeout=90)[0]

    assert process.returncode == 130, printed
    assert "Traceback" not in printed
    assert "interrupted" in printed
    responses = (tmp_path / "responses.jsonl").read_text().splitlines()
    assert len(responses) == len(server.books()["charges"])


@pytest.mark.parametrize("server", [{}], indirect=True)
def test_the_budget_is_a_hard_stop_and_more_of_it_goes_on(
    run: Run, server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    flags = ["run", "--run_dir", str(tmp_path), "--model=m", f"--base_url={server.base_url}"]
    flags += ["--num_instructions=10", "--prompt_price=1", "--completion_price=2"]
    status, _, err = run(*flags, "--max_usd=0.02")
    assert status == 2
    assert "max_usd" in err
    books = server.books()
    assert (books["prompt_tokens"] + 2 * books["completion_tokens"]) / 1e6 <= 0.02

    status, out, _ = run(*flags, "--max_usd=2")
    assert status == 0
    books = server.books()
    spent = (books["prompt_tokens"] + 2 * books["completion_tokens"]) / 1e6
    all_stages = next(line for line in out.splitlines() if line.startswith("all "))
    assert float(all_stages.split()[-1].lstrip("$")) == pytest.approx(spent, abs=1e-4)


REFUSED = ("max_tokens", "temperature", "top_p", "presence_penalty", "frequency_penalty", "stop")


def test_a_model_that_reasons_and_refuses_parameters_has_a_preset(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with faulty_server.FaultyServer(answer=faulty_server.reasoning, refuses=REFUSED) as server:
        flags = ["run", f"--run_dir={tmp_path}", "--model=m", f"--base_url={server.base_url}"]
        flags += ["--num_instructions=10"]
        status, _, err = run(*flags, "--api=chat")
        assert status == 2
        assert "set --gin.OpenAIChat.max_tokens_name=max_completion_tokens" in err
        assert "--gin_file=servers/reasoning.gin" in err
        status, out, _ = run(*flags, "--gin_file=servers/reasoning.gin", "--json")
        assert status == 0
        assert json.loads(out)["unclear_answers"] == 0
    found = made(tmp_path)
    assert len(found["instructions"]) >= 10
    assert {record["is_classification"] for record in found["classified"]} == {True, False}
    assert "note" not in json.dumps([record["instruction"] for record in found["instructions"]])
    assert "note" not in json.dumps([record["instances"] for record in found["instances"]])
