"""MODEL_DIR and data on gs://, the bucket being a folder here.

Replaced are what would go over the network: the functions of tf.io.gfile, for gs:// paths;
TensorStore's driver for Google Cloud by the one for files, in the same folder; and the question to
google-cloud-storage whether the bucket has folders. All else is as on a bucket: epath's backend,
Orbax's commit files in place of renames, objects that can be neither appended to nor renamed.
"""

import io
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tk_instruct import checkpoint, cli, lock
from tk_instruct.errors import UserError
from tk_instruct.files import is_local
from tk_instruct.inference import batches, generation

TASK = "superni_en_def_pos2"


class Bucket:
    """tf.io.gfile's functions on gs://bucket/…, which lies in a folder."""

    def __init__(self, folder: Path, gfile: Any, not_found: Callable[[str], Exception]) -> None:
        self.folder, self.not_found = folder, not_found
        self.local_gfile = dict(vars(gfile))
        self.when_written: Callable[[str], None] = lambda path: None

    def here(self, path: Any) -> Path:
        bucket, _, name = str(path).removeprefix("gs://").partition("/")
        assert bucket == "bucket", path
        return self.folder / name

    def GFile(self, path: str, mode: str = "r") -> Any:  # noqa: N802
        if mode.startswith("r"):
            if not self.here(path).is_file():
                raise self.not_found(path)
            content = self.here(path).read_bytes()
            return io.BytesIO(content) if "b" in mode else io.StringIO(content.decode("utf-8"))
        assert mode.startswith("w"), f"{path}: an object cannot be appended to"
        return _Object(self, path, binary="b" in mode)

    def exists(self, path: str) -> bool:
        return self.here(path).exists()

    def isdir(self, path: str) -> bool:
        return self.here(path).is_dir()

    def listdir(self, path: str) -> list[str]:
        if not self.here(path).is_dir():
            raise self.not_found(path)
        return [child.name + "/" * child.is_dir() for child in self.here(path).iterdir()]

    def glob(self, pattern: str) -> list[str]:
        found = self.folder.glob(str(self.here(pattern).relative_to(self.folder)))
        return [f"gs://bucket/{path.relative_to(self.folder)}" for path in found]

    def mkdir(self, path: str) -> None:
        self.here(path).mkdir(parents=True, exist_ok=True)

    makedirs = mkdir

    def remove(self, path: str) -> None:
        if not self.here(path).is_file():
            raise self.not_found(path)
        self.here(path).unlink()

    def rmtree(self, path: str) -> None:
        if not self.here(path).is_dir():
            raise self.not_found(path)
        shutil.rmtree(self.here(path))

    def rename(self, path: str, target: str, overwrite: bool = False) -> None:
        raise AssertionError(f"{path}: an object cannot be renamed")

    def stat(self, path: str) -> Any:
        return self.local_gfile["stat"](str(self.here(path)))

    def install(self, gfile: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in vars(Bucket).keys() & self.local_gfile.keys():
            if not name.startswith("_"):
                monkeypatch.setattr(gfile, name, self._either(name))

    def _either(self, name: str) -> Callable[..., Any]:
        def function(path: Any, *rest: Any, **options: Any) -> Any:
            whose = self.local_gfile[name] if is_local(path) else getattr(self, name)
            return whose(os.fspath(path), *rest, **options)

        return function


class _Object(io.BytesIO):
    """Is in the bucket once it is closed."""

    def __init__(self, bucket: Bucket, path: str, binary: bool) -> None:
        super().__init__()
        self.bucket, self.path, self.binary = bucket, path, binary

    def write(self, content: Any) -> int:
        return super().write(content if self.binary else content.encode("utf-8"))

    def close(self) -> None:
        if not self.closed:
            here = self.bucket.here(self.path)
            here.parent.mkdir(parents=True, exist_ok=True)
            here.write_bytes(self.getvalue())
            self.bucket.when_written(self.path)
        super().close()


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    import tensorflow as tf
    from orbax.checkpoint._src.path import gcs_utils

    def not_found(path: str) -> Exception:
        return tf.errors.NotFoundError(None, None, f"{path} is not there")

    bucket = Bucket(tmp_path / "bucket", tf.io.gfile, not_found)
    bucket.folder.mkdir()
    for gfile in (tf.io.gfile, tf.compat.v2.io.gfile):  # the second one is SeqIO's
        bucket.install(gfile, monkeypatch)
    monkeypatch.setattr(
        gcs_utils,
        "get_kvstore_for_gcs",
        lambda path: {"driver": "file", "path": str(bucket.here(path))},
    )
    monkeypatch.setattr(gcs_utils, "is_hierarchical_namespace_enabled", lambda path: False)
    monkeypatch.setattr(checkpoint, "find_spec", lambda package: package)
    monkeypatch.setattr(  # that of a bucket: tests/test_lock.py
        lock,
        "_object",
        lambda path, me, refused: lock._file(str(bucket.here(path)), me, refused),
    )
    monkeypatch.chdir(tmp_path)
    yield bucket
    # A path that was taken for a local one would lie in a folder gs: here.
    assert sorted(path.name for path in tmp_path.iterdir()) in (["bucket"], ["bucket", "here"])


def losses(metrics: Path) -> dict[int, float]:
    rows = [json.loads(line) for line in metrics.read_text().splitlines()]
    assert len({row["step"] for row in rows if "loss" in row}) == sum("loss" in row for row in rows)
    return {row["step"]: row["loss"] for row in rows if "loss" in row}


def test_a_run_on_a_bucket_from_data_to_report(
    bucket: Bucket,
    mini_dir: Path,
    mini_vocabulary: Path,
    tiny_recipe: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    shutil.copytree(mini_dir, bucket.folder / "data")
    data = ["--data_dir=gs://bucket/data", "--max_instances_per_eval_task=5"]

    def train(model_dir: str) -> int:
        steps = ["TRAIN_STEPS=6", "CHECKPOINT_PERIOD=4", "EVAL_PERIOD=6", "LOG_PERIOD=1"]
        flags = [f"--gin.{macro}" for macro in (*steps, f"MODEL_DIR={model_dir}")]
        return cli.main(["train", *tiny_recipe, *flags, *data, f"--vocabulary={mini_vocabulary}"])

    def stop(path: str) -> None:
        if path.endswith("metrics.jsonl") and 2 in losses(bucket.here(path)):
            os.kill(os.getpid(), signal.SIGTERM)
            bucket.when_written = lambda path: None

    bucket.when_written = stop
    with pytest.raises(SystemExit) as stopped:
        train("gs://bucket/run")
    assert stopped.value.code == 143
    run = bucket.folder / "run"
    (last,) = (run / "checkpoints").iterdir()
    assert last.name in ("2", "3")
    assert train("gs://bucket/run") == 0
    assert f"continuing from step {last.name} of 6 in gs://bucket/run" in caplog.text
    assert train("here") == 0
    here = tmp_path / "here"
    assert losses(run / "metrics.jsonl") == losses(here / "metrics.jsonl")
    for name in ("config.gin", "sentencepiece.model"):
        assert len((run / name).read_bytes()) > 1000
    assert (run / "sentencepiece.model").read_bytes() == (here / "sentencepiece.model").read_bytes()
    assert list(run.glob("events.*"))
    for step in (run / "checkpoints").iterdir():
        assert (step / "commit_success.txt").exists()

    def interrupted_after_one(*arguments: Any) -> Iterator[Any]:
        yield next(batches.batches(*arguments))
        raise KeyboardInterrupt

    command = ["predict", "--model_dir=gs://bucket/run", "--batch_size=32", *data]
    with monkeypatch.context() as patch:
        patch.setattr(generation, "batches", interrupted_after_one)
        assert cli.main(command) == 130, capsys.readouterr().err
    output = run / "predictions" / f"{TASK}-test-6.jsonl"
    (batch,) = output.with_name(f"{output.name}.unfinished").iterdir()
    ids = {json.loads(line)["id"] for line in batch.read_text().splitlines()}
    capsys.readouterr()
    assert cli.main(command) == 0
    assert f"in gs://bucket/run/predictions/{output.name}" in capsys.readouterr().out
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    assert ids < {row["id"] for row in rows}
    assert [path.name for path in output.parent.iterdir()] == [output.name]

    where = "gs://bucket/run"
    scores = f"{where}/scores/{TASK}-test-6.json"
    command = ["evaluate", f"--predictions={where}/predictions/{output.name}", f"--json={scores}"]
    assert cli.main([*command, *data]) == 0
    assert cli.main(["report", where]) == 0
    rouge = json.loads(bucket.here(scores).read_text())["rougeL"]
    assert f"{rouge:.2f}" in capsys.readouterr().out
    assert cli.main(["report", where, "--out=gs://bucket/page", *data]) == 0
    assert f"{rouge:.2f}" in bucket.here("gs://bucket/page/tables/scores_superni_en.md").read_text()


def test_examples_are_exported_to_a_bucket_when_they_are_complete(
    bucket: Bucket, mini_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export = ["tasks", "export", f"--data_dir={mini_dir}", "--output=gs://bucket/x.jsonl"]
    assert cli.main([*export, "superni_en_def"]) == 0
    assert "examples of 1 task in gs://bucket/x.jsonl" in capsys.readouterr().out
    complete = bucket.here("gs://bucket/x.jsonl").read_bytes()
    few_shot = ["flan_rte_fewshot", "--tfds_data_dir=gs://bucket/none"]  # fails after the other
    assert cli.main([*export, "superni_en_def", *few_shot]) == 2
    assert bucket.here("gs://bucket/x.jsonl").read_bytes() == complete


def test_what_a_bucket_lacks_is_said_as_of_files_here(
    bucket: Bucket, capsys: pytest.CaptureFixture[str]
) -> None:
    for command, message in {
        ("predict", "--model_dir=gs://bucket/x"): "gs://bucket/x holds no checkpoints/; give the",
        (
            "report",
            "gs://bucket/x",
        ): "gs://bucket/x is not there; give a run's folder, a study or a file of scores",
        ("evaluate", "--predictions=gs://bucket/x.jsonl", "--data_dir=gs://bucket/x"): (
            "gs://bucket/x.jsonl: cannot be read (gs://bucket/x.jsonl is not there); check the path"
        ),
        ("tasks", "doctor", "--data_dir=gs://bucket/x"): (
            "data_dir='gs://bucket/x': gs://bucket/x is not a directory"
        ),
    }.items():
        assert cli.main(list(command)) == 2
        assert message in capsys.readouterr().err


def test_the_package_for_buckets_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "find_spec", lambda package: None)
    with pytest.raises(checkpoint.UserError, match="gs://bucket/x needs the package google-cloud"):
        checkpoint.Checkpoints("gs://bucket/x")
    monkeypatch.setitem(sys.modules, "google.cloud.storage", None)
    with (
        pytest.raises(UserError, match="gs://bucket/x/lock needs the package google-cloud"),
        lock.held("gs://bucket/x/lock", "x is being trained"),
    ):
        pass


def test_a_study_whose_runs_lie_there(bucket: Bucket, capsys: pytest.CaptureFixture[str]) -> None:
    """What is done is seen, and its record is kept. Commands run in processes of their own."""
    from tk_instruct.files import Path as AnyPath
    from tk_instruct.study import done, file, running, runs

    where = ["studies/smoke_encodings.toml", "--runs=gs://bucket/runs"]
    first, *_ = runs.runs_of(file.read(where[0]))
    folder = AnyPath("gs://bucket/runs") / first.name
    bucket.mkdir(f"{folder}/checkpoints/100")
    with running._output(folder / "logs" / "predict.log") as output:
        output.write(b"said")
    assert bucket.here(folder / "logs" / "predict.log").read_bytes() == b"said"
    for command in first.commands[1:3]:
        (folder / command.output).parent.mkdir()
        (folder / command.output).write_text("{}")
        done.keep(folder, done.ended(command, folder, 0, 1.0))
    assert cli.main(["study", "status", *where]) == 0
    row = capsys.readouterr().out.splitlines()[2].split()
    assert row[1:] == [first.name, "begun", "100", "100", "4"]
    assert cli.main(["study", "plan", *where, "--print=pod"]) == 0
    script = capsys.readouterr().out
    assert script.count("bash launch/tpu_pod.sh --name=smoke-encodings -- ") == 3  # one is trained
    assert f"--gin.MODEL_DIR={folder} " not in script
