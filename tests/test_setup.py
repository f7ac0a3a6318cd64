"""What the wheel says and holds."""

import email
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def test_the_wheel_holds_the_licence_s_text_and_all_templates(tmp_path: Path) -> None:
    pytest.importorskip("setuptools", minversion="77")
    base, build = ["egg_info", f"--egg-base={tmp_path}"], ["build", f"--build-base={tmp_path}"]
    wheel = ["bdist_wheel", f"--bdist-dir={tmp_path / 'wheel'}", f"--dist-dir={tmp_path}"]
    command = [sys.executable, "setup.py", "-q", *base, *build, *wheel]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (path,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        names = {name.partition(".dist-info/")[2]: name for name in archive.namelist()}
        said = email.message_from_bytes(archive.read(names["METADATA"]))
        text = archive.read(names["licenses/LICENSE"])
        held = {name for name in archive.namelist() if name.endswith("/templates.yaml")}
    assert said["License-Expression"] == "Apache-2.0"
    assert said.get_all("License-File") == ["LICENSE"]
    assert text == (ROOT / "LICENSE").read_bytes()
    assert b"Apache License\n                           Version 2.0, January 2004" in text
    templates = (ROOT / "tasks").rglob("templates.yaml")
    assert held == {f"tk_instruct/{path.relative_to(ROOT).as_posix()}" for path in templates}
    assert len(held) > 10
