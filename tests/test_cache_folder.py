"""What is made on the spot is kept, and made again where it is damaged."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tk_instruct.data.vocabulary import kept
from tk_instruct.tasks.superni import mini


@pytest.fixture(autouse=True)
def _cache_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TK_INSTRUCT_CACHE_DIR", str(tmp_path / "cache"))
    mini.mini_benchmark.__wrapped__.cache_clear()
    yield
    mini.mini_benchmark.__wrapped__.cache_clear()


DAMAGES: dict[str, Callable[[Path], object]] = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "empty": lambda path: path.write_bytes(b""),
    "flipped": lambda path: path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + b"odel"),
    "deleted": Path.unlink,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_vocabulary_is_trained_once_and_again_when_damaged(
    damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    trained = []

    def train() -> bytes:
        trained.append(1)
        return b"model"

    path = Path(kept("data 1000", train))
    assert kept("data 1000", train) == str(path)
    assert path.read_bytes() == b"model"
    assert len(trained) == 1
    assert kept("data 2000", train) != str(path)
    trained.clear()
    DAMAGES[damage](path)
    assert Path(kept("data 1000", train)).read_bytes() == b"model"
    assert len(trained) == 1
    if damage != "deleted":
        assert caplog.messages == [f"{path} is damaged: the vocabulary is made again"]


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_mini_benchmark_is_written_again_when_damaged(
    damage: str, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    with caplog.at_level(logging.WARNING):
        folder = Path(mini.mini_benchmark())
        whole = {path: path.read_bytes() for path in folder.rglob("*.*")}
        DAMAGES[damage](min(whole))
        mini.mini_benchmark.__wrapped__.cache_clear()
        assert mini.mini_benchmark() == str(folder)
    assert {path: path.read_bytes() for path in folder.rglob("*.*")} == whole
    assert caplog.messages == [f"{folder} is not as it was written: it is made again"]
    assert list((tmp_path / "cache").iterdir()) == [folder]


def test_another_process_that_was_faster_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill = mini._fill

    def after_another(files: Any, tree: Path) -> None:
        """Another process writes all of it while this one fills its own tree."""
        monkeypatch.undo()
        mini.write(tmp_path / "mini")
        fill(files, tree)

    monkeypatch.setattr(mini, "_fill", after_another)
    assert mini.write(tmp_path / "mini") == tmp_path / "mini"
    assert mini.write(tmp_path / "mini") == tmp_path / "mini"


def test_a_link_to_where_it_is_written_stays(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    for name, target in (("empty", "real"), ("dangling", "new")):
        link = tmp_path / name
        link.symlink_to(target)
        mini.write(link)
        assert link.is_symlink()
        assert (tmp_path / target / "tasks").is_dir()
