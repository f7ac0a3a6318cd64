"""What is wrong with a command is said before anything that takes seconds to import."""

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {"flax", "jax", "orbax", "seqio", "tensorflow", "tensorstore", "transformers"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--help", "the checkpoint to read"),
        ("FROM TO --to=ours --stpe=3", "unrecognized arguments: --stpe=3"),
        ("FROM TO --to=theirs", "invalid choice: 'theirs'"),
        ("FROM TO --to=ours --scan_layers", "is a layout of T5X"),
        ("FROM TO --to=t5x --vocabulary=t5", "--vocabulary has no place in --to t5x"),
        ("FROM TO --to=ours --step=-1", "--step=-1 must be at least 0"),
        ("FROM . --to=ours", "is there already"),
        ("FROM TO --to=ours", "FROM is no folder that can be read from here"),
        ("file TO --to=ours", "file is a file; give the folder that it is in"),
    ],
)
def test_it_takes_no_heavy_import(arguments: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code = (
        "import sys; from tk_instruct import cli\n"
        f"try: print(cli.main(['convert', *{arguments.split()}]))\n"
        "except SystemExit as end: print(end.code)\n"
        f"print({HEAVY} & set(sys.modules))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert message in run.stdout + run.stderr
    status = 0 if arguments == "--help" else 2
    assert run.stdout.splitlines()[-2:] == [str(status), "set()"]
