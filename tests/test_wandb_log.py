"""Weights & Biases: what an offline run holds, and errors that end nothing."""

import json
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tk_instruct import cli, wandb_log
from tk_instruct.errors import UserError
from tk_instruct.files import Path as AnyPath
from tk_instruct.goodput import Clock
from tk_instruct.run_log import RunLog, Sample

pytest.importorskip("wandb", reason="the extra [wandb] is not installed")

BLOCK = 32768


def records(model_dir: Path) -> Iterator[Any]:
    """What the offline runs of a directory hold, in their order: LevelDB's log of protobufs."""
    from wandb.proto.wandb_internal_pb2 import Record

    for file in sorted((model_dir / "wandb").glob("offline-run-*/*.wandb")):
        content, at, parts = file.read_bytes(), 7, b""
        while at + 7 <= len(content):
            if BLOCK - at % BLOCK < 7:  # only filled up
                at += BLOCK - at % BLOCK
                continue
            _, length, kind = struct.unpack("<IHB", content[at : at + 7])
            parts += content[at + 7 : at + 7 + length]
            at += 7 + length
            if kind in (1, 4):  # whole, or the last part
                yield Record.FromString(parts)
                parts = b""


def history(model_dir: Path) -> list[dict[str, Any]]:
    """The rows that were logged, without W&B's own fields."""
    rows = []
    for record in records(model_dir):
        if record.WhichOneof("record_type") == "history":
            items = {i.key or i.nested_key[0]: i.value_json for i in record.history.item}
            rows.append({k: json.loads(v) for k, v in items.items() if not k.startswith("_")})
    return rows


def run_ids(model_dir: Path) -> set[str]:
    return {r.run.run_id for r in records(model_dir) if r.WhichOneof("record_type") == "run"}


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")


def test_what_is_logged_and_that_a_continued_run_is_the_same(tmp_path: Path) -> None:
    for first in (0, 2):
        writers = wandb_log.writers("tests", AnyPath(tmp_path), {"TRAIN_STEPS": "4"})
        with RunLog(tmp_path, Clock(), first, 4, 1, lambda: None, writers) as log:
            for step in (first + 1, first + 2):
                samples = [Sample(step, name, "task", "in", "out", "<b>") for name in "ab"]
                log.validated(step, {"validation_loss": 0.5}, samples)

    assert len(list((tmp_path / "wandb").glob("offline-run-*"))) == 2
    assert run_ids(tmp_path) == {(tmp_path / "wandb_id").read_text().strip()}
    found = history(tmp_path)
    logged = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row for row in found if "samples" not in row] == logged
    assert [row["step"] for row in found if "samples" in row] == [1, 2, 3, 4]
    tables = sorted(
        (tmp_path / "wandb").glob("offline-run-*/files/media/table/*.table.json"),
        key=lambda path: path.stat().st_mtime_ns,
    )
    shown = [table for path in tables for table in rows_of(json.loads(path.read_text()))]
    kept = (tmp_path / "samples.jsonl").read_text().splitlines()
    assert shown == [json.loads(line) for line in kept]


def rows_of(table: dict[str, Any]) -> list[dict[str, Any]]:
    return [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]


def test_errors_of_the_package_end_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import wandb

    class Fails:
        def log(self, row: Any) -> None:
            raise ConnectionError("the server is away\nand more")

        def finish(self, exit_code: int) -> None:
            raise AssertionError("it has failed already")

    failing = wandb_log._WandbWriter(Fails())
    failing.write(1, {"loss": 1.0})
    failing.write_samples(1, [Sample(1, "a", "t", "i", "o", "p")])
    failing.close(failed=False)
    said = "nothing more is logged to Weights & Biases (the server is away); training goes on"
    assert caplog.messages == [said]

    def no_server(**_: Any) -> None:
        raise wandb.errors.CommError("no answer")

    monkeypatch.setattr(wandb, "init", no_server)
    assert wandb_log.writers("tests", AnyPath(tmp_path), {}) == []
    assert "(no answer)" in caplog.messages[1]

    def no_login(**_: Any) -> None:
        raise wandb.errors.UsageError("No API key configured.")

    monkeypatch.setattr(wandb, "init", no_login)
    with pytest.raises(UserError, match="'tests': No API key configured; run `wandb login`, set"):
        wandb_log.writers("tests", AnyPath(tmp_path), {})


def test_the_id_is_kept_in_the_directory(tmp_path: Path) -> None:
    one, other = AnyPath(tmp_path / "one"), AnyPath(tmp_path / "other")
    kept = wandb_log._kept_id(one)
    assert wandb_log._kept_id(one) == kept != wandb_log._kept_id(other)
    (one / "wandb_id").write_text("a/b\n")
    with pytest.raises(UserError, match="wandb_id holds 'a/b', which is no id of a run"):
        wandb_log._kept_id(one)


def test_the_package_is_asked_for_before_anything_is_done(
    tiny_recipe: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    macros = [f"--gin.MODEL_DIR={tmp_path / 'run'}", "--gin.WANDB_PROJECT=tests"]
    assert cli.main(["train", *tiny_recipe, *macros]) == 2
    expected = "WANDB_PROJECT='tests' needs the package wandb; install it with pip install"
    assert expected in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
