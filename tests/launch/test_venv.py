"""The environment of the scripts has the Python that PYTHON names, or there is none."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

VENV = Path(__file__).resolve().parents[2] / "launch" / "venv.sh"


def python(path: Path, version: str) -> Path:
    """A stub that is run for its version only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        "#!/bin/bash\n"
        f"if [[ $1 == --version ]]; then echo Python {version.replace(', ', '.')}; exit; fi\n"
        f'exec {sys.executable} -c "import sys; sys.version_info = ({version}, 0)\n$2"\n'
    )
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("version", "message"),
    [
        ("3, 10", "no Python 3.11, 3.12 or 3.13 was found: install one, or name it in PYTHON=/"),
        ("3, 13", "is Python 3.13, .venv has Python 3.11: remove .venv, or leave PYTHON out"),
    ],
)
def test_another_python_than_the_one_that_is_named_is_not_taken(
    tmp_path: Path, version: str, message: str
) -> None:
    named = python(tmp_path / "python", version)
    python(tmp_path / ".venv" / "bin" / "python", "3, 11")
    done = subprocess.run(
        ["bash", "-euc", f"source {VENV} test"],
        cwd=tmp_path,
        env={**os.environ, "PYTHON": str(named)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert f"PYTHON={named}" in done.stderr
    assert message in done.stderr
