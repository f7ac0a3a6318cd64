"""What is wrong with a command is said before anything that takes seconds to import."""

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {"flax", "jax", "matplotlib", "nltk", "openai", "orbax", "seqio", "spacy", "tensorflow"}
STAGES = ("instructions", "classify", "instances", "prepare", "stats", "run")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        *((f"{stage} --help", "--run_dir RUN") for stage in STAGES),
        ("run --run_dir RUN --num_instrctions 3", "unrecognized arguments: --num_instrctions"),
        ("run --run_dir RUN --num_instructions 0", "num_instructions=0 must be a whole number"),
        ("stats --run_dir RUN", "holds no run"),
        ("run --run_dir RUN --seeds nowhere.jsonl", "nowhere.jsonl: cannot be read"),
        ("run --run_dir RUN --model_dir nowhere", "nowhere is no folder; give the MODEL_DIR"),
        ("run --run_dir RUN --model NAME", "OPENAI_API_KEY is not set"),
        ("run --run_dir RUN --gin_file nowhere.gin", "nowhere.gin is neither a file here"),
        ("run --run_dir RUN --gin.Instructions.lagg=3", "did you mean lag?"),
    ],
)
def test_it_takes_no_heavy_import(
    arguments: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    code = (
        "import sys; from tk_instruct import cli\n"
        f"try: print(cli.main(['self-instruct', *{arguments.split()}]))\n"
        "except SystemExit as end: print(end.code)\n"
        f"print({HEAVY} & set(sys.modules))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert message in run.stdout + run.stderr
    status = 0 if "--help" in arguments else 2
    assert run.stdout.splitlines()[-2:] == [str(status), "set()"]
    assert list(tmp_path.iterdir()) == []
