"""Models of a server that fails: the same prompts, nothing paid twice, ranking where it can be."""

import json
import math
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gin
import pytest

from tk_instruct import cli, configuration

server_module = runpy.run_path(str(Path(__file__).parents[1] / "completions" / "faulty_server.py"))
FaultyServer, scored = server_module["FaultyServer"], server_module["scored"]
TASK = "superni_en_def_pos2"


@pytest.fixture
def data(mini_dir: Path) -> list[str]:
    lengths = ["--max_input_tokens=400", "--max_target_tokens=20"]
    return [f"--task={TASK}", f"--data_dir={mini_dir}", "--vocabulary=bytes", *lengths]


@pytest.fixture
def server() -> Iterator[Any]:
    configuration.import_declarations()
    from tk_instruct.completions.dispatch import retries  # noqa: F401  (registers what is bound)

    gin.bind_parameter("Retries.first_pause_seconds", 0.01)
    with FaultyServer(seed=3, faults=0.3, kinds=("500", "429", "no usage")) as running:
        yield running


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_answers_are_kept_and_paid_once(
    server: Any, data: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-4711")
    output = tmp_path / "runs" / "predictions" / f"{TASK}-test-0.jsonl"
    command = ["predict", "--model=api:m", f"--base_url={server.base_url}", *data]
    command += [f"--output_dir={tmp_path / 'runs'}", "--concurrency=4"]
    prices = ["--prompt_price=1", "--completion_price=1"]
    # The budget ends it in the middle.
    assert cli.main([*command, "--limit=60", *prices, "--max_usd=0.005"]) == 2
    assert not output.exists()
    some = len(server.books()["charges"])
    assert 0 < some < 60
    assert cli.main([*command, "--limit=60"]) == 0
    books = server.books()
    assert all(len(charges) == 1 for charges in books["charges"].values())
    rows = rows_of(output)
    assert len(rows) == 60
    # Each answer is that of its example's prompt, which is what our own checkpoints read.
    prompts = prompts_of(data, tmp_path)
    answer = server_module["words"]
    assert all(row["prediction"] == answer(prompts[row["id"]], {}) for row in rows)
    # More examples ask for no answer again.
    assert cli.main([*command, "--limit=80"]) == 0
    after = server.books()
    assert len(rows_of(output)) == 80
    assert all(len(charges) == 1 for charges in after["charges"].values())
    assert len(after["charges"]) == len({prompts[row["id"]] for row in rows_of(output)})
    kept = "".join(path.read_text() for path in tmp_path.rglob("*.json*"))
    assert "sk-secret" not in kept
    # Another model's answers are not mixed in.
    assert cli.main([*command, "--model=api:other", "--limit=80"]) == 2


def prompts_of(data: list[str], folder: Path) -> dict[str, str]:
    exported = folder / "exported.jsonl"
    flags = [flag for flag in data if not flag.startswith(("--max_", "--task"))]
    assert cli.main(["tasks", "export", TASK, "--split=test", f"--output={exported}", *flags]) == 0
    return {row["id"]: row["inputs"] for row in rows_of(exported)}


@pytest.mark.parametrize("normalized", [False, True])
def test_options_are_ranked_by_the_servers_log_probabilities(
    server: Any, data: list[str], tmp_path: Path, normalized: bool
) -> None:
    path, output = tmp_path / "examples.jsonl", tmp_path / "rank.jsonl"
    examples = [
        {"id": f"{n}", "inputs": f"Is {n} even? Answer:", "options": ["yes", "not at all", "no"]}
        for n in range(40)
    ]
    path.write_text("".join(json.dumps(each) + "\n" for each in examples))
    command = ["rank", "--model=api:m", f"--base_url={server.base_url}", f"--output={output}"]
    command += [f"--examples={path}", *(["--length_normalized"] if normalized else [])]
    assert cli.main([*command, *data[1:]]) == 0
    for row in rows_of(output):
        prompt = f"Is {row['id']} even? Answer:"
        expected = []
        for option in ("yes", "not at all", "no"):
            found = scored(f"{prompt} {option}")
            count = len(option.split())
            total = math.fsum(found["token_logprobs"][-count:])
            expected.append(total / count if normalized else total)
        assert row["scores"] == pytest.approx(expected)
        best = max(range(3), key=expected.__getitem__)
        assert row["prediction"] == ("yes", "not at all", "no")[best]


def test_a_chat_answers_without_its_reasoning(data: list[str], tmp_path: Path) -> None:
    def answer(prompt: str, body: Any) -> str:
        return f"<think>\nlet me see\n</think>\n\nIt is so.\n\nInput: {len(prompt)}"

    with FaultyServer(answer=answer, refuses=("max_tokens",)) as server:
        command = ["predict", "--model=api:m", f"--base_url={server.base_url}", "--api=chat"]
        command += [f"--output={tmp_path / 'p.jsonl'}", "--limit=5", "--stop=Input:", *data]
        assert cli.main(command) == 2
        names = ["--max_tokens_name=max_completion_tokens", "--max_completion_tokens=50"]
        assert cli.main([*command, *names]) == 0  # what had no answer may be asked otherwise
    assert {row["prediction"] for row in rows_of(tmp_path / "p.jsonl")} == {"It is so."}


def test_refusals(
    data: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    where = [f"--output={tmp_path / 'p.jsonl'}", "--limit=3", *data]
    rank = ["rank", *where, "--option=yes", "--option=no"]
    predict = ["predict", *where]
    with FaultyServer(echoes=False, refuses=("temperature",)) as server:
        url = f"--base_url={server.base_url}"
        for arguments, message in (
            ([*predict, "--model=api:m"], "OPENAI_API_KEY is not set"),
            ([*predict, "--baseline=copy_input", url], "--base_url is of --model api:"),
            ([*predict, "--model=api:m", url], "give --sample without --temperature"),
            ([*predict, "--model=api:m", url, "--num_beams=3"], "neither beams nor --top_k"),
            ([*predict, "--model=api:m", url, "--api=both"], "must be completions or chat"),
            ([*predict, "--model=api:m", url, "--max_tokens_name=max_tokens"], "is of --api=chat"),
            ([*predict, "--model=api:m", url, "--chat_template"], "is of --model hf:"),
            ([*predict, "--model=api:m", url, "--max_usd=1"], "needs the prices"),
            ([*predict[:-5], *data, "--model=api:m", url, "--output=/dev/stdout"], "give a file"),
            ([*rank, "--model=api:m", url, "--api=chat"], "gives no log-probabilities"),
        ):
            assert cli.main(arguments) == 2
            assert message in capsys.readouterr().err
    with FaultyServer(echoes=False) as server:
        assert cli.main([*rank, "--model=api:m", f"--base_url={server.base_url}"]) == 2
        said = capsys.readouterr().err
        assert "gives no log-probabilities of a prompt's tokens (the prompt does not" in said


def test_it_stands_beside_other_systems(
    mini_dir: Path, data: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Evaluated, compared and reported as all systems are; what was asked is no system."""
    with FaultyServer(answer=lambda prompt, body: prompt.split()[-2]) as server:
        asked = ["--model=api:m", f"--base_url={server.base_url}"]
        for name, who in (("theirs", asked), ("copies", ["--baseline=copy_demo"])):
            output = f"--output_dir={tmp_path / name}"
            assert cli.main(["predict", *who, output, "--limit_per_task=2", *data]) == 0
    systems = [tmp_path / "copies", tmp_path / "theirs"]
    of_data = [f"--data_dir={mini_dir}", "--max_instances_per_eval_task=2"]
    assert (systems[1] / "predictions" / f"{TASK}-test-0.requests" / "responses.jsonl").is_file()
    capsys.readouterr()
    for system in systems:
        predictions = system / "predictions" / f"{TASK}-test-0.jsonl"
        scores = system / "scores" / f"{TASK}-test-0.json"
        command = ["evaluate", f"--predictions={predictions}", f"--json={scores}", *of_data]
        assert cli.main(command) == 0
    capsys.readouterr()
    assert cli.main(["compare", *map(str, systems), "--json=-"]) == 0
    (compared,) = json.loads(capsys.readouterr().out)["comparisons"]
    assert list(compared["systems"]) == ["copies", "theirs"]
    assert cli.main(["report", *map(str, systems)]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert [row.split()[0] for row in rows if row.startswith(("copies", "theirs"))] == [
        "copies",
        "theirs",
    ]
