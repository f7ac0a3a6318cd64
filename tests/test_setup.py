"""What the wheel says and holds."""

import ast
import email
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tmp_path = tmp_path_factory.mktemp("wheel")
    pytest.importorskip("setuptools", minversion="77")
    base, build = ["egg_info", f"--egg-base={tmp_path}"], ["build", f"--build-base={tmp_path}"]
    wheel = ["bdist_wheel", f"--bdist-dir={tmp_path / 'wheel'}", f"--dist-dir={tmp_path}"]
    command = [sys.executable, "setup.py", "-q", *base, *build, *wheel]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (path,) = tmp_path.glob("*.whl")
    return path


def test_the_wheel_holds_the_licence_s_text_and_all_templates(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
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


def test_the_wheel_holds_all_tables(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if name.endswith(".csv")}
    of_suites = (ROOT / "tasks").glob("*/*.csv")
    tables = {f"tk_instruct/{path.relative_to(ROOT).as_posix()}" for path in of_suites}
    assert held == tables | {"tk_instruct/data/origins.csv"}
    assert any(name.endswith("/published.csv") for name in held)


@pytest.mark.parametrize("package", ["audit", "report"])
def test_the_wheel_holds_what_pages_are_made_from(wheel: Path, package: str) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if f"/{package}/" in name}
    ours = {*(ROOT / "tk_instruct" / package).glob("*.*")}
    assert held == {path.relative_to(ROOT).as_posix() for path in ours}


def test_the_wheel_holds_the_studies(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if name.endswith(".toml")}
    studies = (ROOT / "gin" / "studies").glob("*.toml")
    assert held == {f"tk_instruct/gin/studies/{path.name}" for path in studies}


def test_packages_that_the_code_imports_are_asked_for_by_name(wheel: Path) -> None:
    """What only another package brings is gone when that one no longer asks for it."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        metadata = email.message_from_bytes(archive.read(name))
    asked_for = {
        _normal(re.split(r"[^\w.-]", requirement)[0])
        for requirement in metadata.get_all("Requires-Dist", [])
        if 'extra == "test"' not in requirement
    }
    provided_by = packages_distributions()  # of what is installed; extras may not be
    imported = {module: provided_by[module] for module in _imported() if module in provided_by}
    assert len(imported) > 20
    missing = {
        module: by
        for module, by in imported.items()
        if asked_for.isdisjoint(map(_normal, by)) and "tk_instruct" not in by
    }
    assert not missing


def _imported() -> Iterator[str]:
    """The top-level names of the modules that the code imports."""
    for path in [*(ROOT / "tk_instruct").rglob("*.py"), *(ROOT / "tasks").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from (alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield node.module.partition(".")[0]


def _normal(package: str) -> str:
    return re.sub(r"[-_.]+", "-", package).lower()
