"""Real runs of a very small model: exact resume after every kind of end, and clear refusals."""

import errno
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tk_instruct import cli, goodput, lock
from tk_instruct.errors import UserError
from tk_instruct.run_log import RunLog, read_rows

SHORT = {
    "TRAIN_STEPS": 8,
    "CHECKPOINT_PERIOD": 3,
    "EVAL_PERIOD": 4,
    "EVAL_STEPS": 2,
    "LOG_PERIOD": 1,
    "DROPOUT_RATE": 0.1,
    "WARMUP_STEPS": 0,
}


def arguments(model_dir: Path, data: Sequence[str], **macros: Any) -> list[str]:
    settings = {**SHORT, **macros, "MODEL_DIR": model_dir}
    bindings = [f"--gin.{name}={value}" for name, value in settings.items()]
    return ["train", *bindings, *data]


@pytest.fixture(scope="module")
def data(tiny_recipe: list[str], mini_dir: Path, mini_vocabulary: Path) -> list[str]:
    return [*tiny_recipe, f"--data_dir={mini_dir}", f"--vocabulary={mini_vocabulary}"]


def start(model_dir: Path, data: Sequence[str], **macros: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tk_instruct.cli", *arguments(model_dir, data, **macros)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def losses(model_dir: Path) -> list[dict[str, Any]]:
    """What was logged, without speeds, seconds and restarts."""
    rows = [json.loads(line) for line in (model_dir / "metrics.jsonl").read_text().splitlines()]
    found = [{k: v for k, v in row.items() if not re.search("second|restarts", k)} for row in rows]
    return [row for row in found if set(row) != {"step"}]


def parameters(model_dir: Path, step: int) -> dict[str, np.ndarray]:
    import jax

    from tk_instruct import model
    from tk_instruct.checkpoint import Checkpoints
    from tk_instruct.model.config import config_from_fields
    from tk_instruct.sharding import make_mesh, placed
    from tk_instruct.step import abstract_params

    checkpoints = Checkpoints(model_dir, read_only=True)
    net = model.build(config_from_fields(checkpoints.description(step).model))
    params = checkpoints.restore_params(step, placed(abstract_params(net), make_mesh(1)))
    leaves = jax.tree_util.tree_leaves_with_path(params)
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}


def run_log_at(model_dir: Path, first: int, last: int) -> RunLog:
    return RunLog(model_dir, goodput.Clock(), first, last, 1, lambda: None)


def assert_same_run(one: Path, other: Path) -> None:
    assert losses(one) == losses(other)
    mine, theirs = parameters(one, 8), parameters(other, 8)
    assert mine.keys() == theirs.keys()
    for name in mine:
        np.testing.assert_array_equal(mine[name], theirs[name], err_msg=name)


@pytest.fixture(scope="module")
def uninterrupted(data: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    model_dir = tmp_path_factory.mktemp("uninterrupted") / "run"
    assert cli.main(arguments(model_dir, data)) == 0
    return model_dir


def test_a_run_directory_holds_what_it_promises(uninterrupted: Path) -> None:
    rows = losses(uninterrupted)
    assert [row["step"] for row in rows if "loss" in row] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert [row["step"] for row in rows if "validation_loss" in row] == [4, 8]
    steps = {path.name for path in (uninterrupted / "checkpoints").iterdir()}
    assert steps == {"3", "6", "8"}
    assert "TRAIN_STEPS = 8" in (uninterrupted / "config.gin").read_text()
    assert (uninterrupted / "sentencepiece.model").stat().st_size > 1000


def test_the_time_of_a_run_is_accounted_for(uninterrupted: Path) -> None:
    rows = read_rows(uninterrupted)
    spent = goodput.of_rows(rows)
    assert min(spent[part] for part in ("step", "compile", "save", "validate", "start")) > 0
    assert spent["lost"] == 0
    assert rows[-1].keys() == {"step", "seconds_step", "seconds_save"}  # the last save's
    assert all(row["seconds_validate"] > 0 for row in rows if "validation_loss" in row)
    # The first step's time is that of compiling it.
    of_steps = [row for row in rows if "loss" in row]
    assert "steps_per_second" not in of_steps[0]
    assert sum("steps_per_second" in row for row in of_steps) >= 4


def test_tensorboard_shows_the_same_numbers(uninterrupted: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    events = EventAccumulator(str(uninterrupted), size_guidance={"tensors": 0})
    events.Reload()
    rows = [json.loads(line) for line in (uninterrupted / "metrics.jsonl").read_text().splitlines()]
    names = {name for row in rows for name in row} - {"step"}
    assert set(events.Tags()["tensors"]) == names
    for name in names:
        shown = [(e.step, float(make_ndarray(e.tensor_proto))) for e in events.Tensors(name)]
        logged = [(row["step"], float(np.float32(row[name]))) for row in rows if name in row]
        assert shown == logged


def test_loss_falls(uninterrupted: Path) -> None:
    found = [row["loss"] for row in losses(uninterrupted) if "loss" in row]
    assert found[-1] < found[0] - 0.3


def test_checkpoints_have_t5x_names(uninterrupted: Path) -> None:
    names = parameters(uninterrupted, 8)
    assert names["['token_embedder']['embedding']"].shape == (1152, 16)
    assert names["['encoder']['layers_0']['attention']['query']['kernel']"].shape == (16, 16)
    assert names["['decoder']['logits_dense']['kernel']"].shape == (16, 1152)


def test_a_finished_run_started_again_changes_nothing(uninterrupted: Path, data: list[str]) -> None:
    before = losses(uninterrupted)
    assert cli.main(arguments(uninterrupted, data)) == 0
    assert losses(uninterrupted) == before


def test_a_run_goes_on_to_more_steps(uninterrupted: Path, data: list[str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert cli.main(arguments(run, data, TRAIN_STEPS=3)) == 0
    assert cli.main(arguments(run, data)) == 0
    # Step 3 was the shorter run's last and was validated for that reason.
    kept = [row for row in losses(run) if not (row["step"] == 3 and "validation_loss" in row)]
    assert kept == losses(uninterrupted)


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < until, "the run did not get there"
        time.sleep(0.002)


@pytest.mark.parametrize(
    # SIGTERM stops a run on a bucket too, in tests/test_buckets.py.
    "number",
    [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)],
)
def test_signals_stop_a_run_and_the_same_command_continues(
    uninterrupted: Path, data: list[str], tmp_path: Path, number: signal.Signals
) -> None:
    """In this process, so that nothing is imported and compiled anew."""
    run = tmp_path / "run"

    def stop_after_a_step() -> None:
        while not ((run / "metrics.jsonl").exists() and losses(run)):
            time.sleep(0.002)
        os.kill(os.getpid(), number)

    previous = signal.signal(number, lambda *_: None)  # should the run have ended before
    try:
        threading.Thread(target=stop_after_a_step, daemon=True).start()
        with pytest.raises(SystemExit) as stopped:
            cli.main(arguments(run, data, CHECKPOINT_PERIOD=0))
    finally:
        signal.signal(number, previous)
    assert stopped.value.code == 128 + number
    (saved,) = (run / "checkpoints").iterdir()
    assert 0 < int(saved.name) < 8
    assert cli.main(arguments(run, data, CHECKPOINT_PERIOD=0)) == 0
    assert_same_run(run, uninterrupted)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_preemption_save_and_the_same_command_continues(
    uninterrupted: Path, data: list[str], tmp_path: Path, number: signal.Signals
) -> None:
    run = tmp_path / "run"
    process = start(run, data, CHECKPOINT_PERIOD=0)
    wait_for(lambda: (run / "metrics.jsonl").exists() and bool(losses(run)), process)
    process.send_signal(number)
    message = process.communicate(timeout=120)[1]
    if process.returncode == 0:
        pytest.fail("the run ended before the signal came")
    assert process.returncode == 128 + number
    assert f"stopped by {number.name} at step" in message
    assert "the same command continues" in message
    assert cli.main(arguments(run, data, CHECKPOINT_PERIOD=0)) == 0
    assert_same_run(run, uninterrupted)


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param("before the first save", marks=pytest.mark.slow),
        pytest.param("in a step", marks=pytest.mark.slow),
        pytest.param("in a save", marks=pytest.mark.slow),
        "in a later save",
    ],
)
def test_a_killed_run_resumes_bit_for_bit(
    uninterrupted: Path, data: list[str], tmp_path: Path, moment: str
) -> None:
    run = tmp_path / "run"
    process = start(run, data)
    checkpoints = run / "checkpoints"

    def reached() -> bool:
        if moment == "before the first save":
            return (run / "metrics.jsonl").exists() and bool(losses(run))
        if moment == "in a step":
            return (checkpoints / "3").exists()
        if moment == "in a later save" and not (checkpoints / "3").exists():
            return False
        return checkpoints.exists() and any("tmp" in path.name for path in checkpoints.iterdir())

    wait_for(reached, process)
    process.kill()
    process.communicate()
    before = read_rows(run)
    assert cli.main(arguments(run, data)) == 0
    assert_same_run(run, uninterrupted)
    (restart,) = [row for row in read_rows(run) if "restarts" in row]
    dropped = [row for row in before if row["step"] > restart["step"]]
    done_again = sum(goodput.of_rows(dropped).values())
    assert restart.get("seconds_lost", 0) == pytest.approx(done_again, abs=1e-5)
    if moment == "in a later save":
        assert dropped
    assert not [path for path in checkpoints.iterdir() if "tmp" in path.name]


def test_a_full_disk_leaves_the_last_checkpoint_good(
    uninterrupted: Path, data: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert cli.main(arguments(run, data, TRAIN_STEPS=3)) == 0
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    # No file may grow beyond this: the logs fit, a checkpoint's arrays do not.
    resource.setrlimit(resource.RLIMIT_FSIZE, (16_384, limits[1]))
    try:
        status = cli.main(arguments(run, data, LOG_PERIOD=8))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert status == 2
    message = capsys.readouterr().err
    assert "the checkpoint of step 6 could not be written" in message
    assert "step 3 is the last good one" in message
    assert "free space there and run the same command again" in message
    assert cli.main(arguments(run, data)) == 0
    mine, theirs = parameters(run, 8), parameters(uninterrupted, 8)
    for name in theirs:
        np.testing.assert_array_equal(mine[name], theirs[name])


def test_a_log_that_cannot_be_written_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(file: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with run_log_at(tmp_path, 0, 2) as log:
        log.validated(1, {"validation_loss": 1.0}, [])
        before = (tmp_path / "metrics.jsonl").read_text()
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(UserError, match=r"metrics.jsonl: cannot be written .*free some space"):
            log.validated(2, {"validation_loss": 1.0}, [])
    assert (tmp_path / "metrics.jsonl").read_text() == before


def test_a_loss_that_is_not_finite_ends_the_run(
    data: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert cli.main(arguments(run, data, TRAIN_STEPS=3)) == 0
    capsys.readouterr()
    # The checkpoint of step 6 would be of parameters that are not finite: it must not be saved.
    assert cli.main(arguments(run, data, LEARNING_RATE=1e38, LOG_PERIOD=20)) == 2
    error = capsys.readouterr().err
    found = re.search(
        r"(?:loss|gradient_norm)=(?:nan|inf) at step 5 must be a finite number; the step's "
        r"examples are (.*) and \d+ more; the last good checkpoint is 3",
        error,
    )
    assert found, error
    ids = found[1].split(", ")
    assert len(ids) == len(set(ids)) == 8
    assert all(re.fullmatch(r"task\d+-.+", name) for name in ids), ids
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"3"}


def test_a_batch_in_tokens_is_one_in_sequences(
    uninterrupted: Path, data: list[str], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    assert cli.main(arguments(run, data, BATCH_SIZE=None, BATCH_TOKENS=8 * 160 + 9)) == 0
    assert_same_run(run, uninterrupted)


def test_microbatches_give_the_losses_of_the_whole_batch(data: list[str], tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert cli.main(arguments(whole, data, TRAIN_STEPS=3, DROPOUT_RATE=0)) == 0
    assert cli.main(arguments(parts, data, TRAIN_STEPS=3, DROPOUT_RATE=0, NUM_MICROBATCHES=4)) == 0
    for one, other in zip(losses(whole), losses(parts), strict=True):
        for name in one:
            np.testing.assert_allclose(other[name], one[name], rtol=1e-4, err_msg=name)


def test_a_run_starts_from_the_parameters_of_a_checkpoint(
    uninterrupted: Path, data: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    start = {"INITIAL_CHECKPOINT_PATH": uninterrupted / "checkpoints" / "6"}
    assert cli.main(arguments(run, data, TRAIN_STEPS=6, **start)) == 2
    assert "TRAIN_STEPS=6 must be beyond the initial checkpoint's step 6" in capsys.readouterr().err
    still = {"LEARNING_RATE": 0.0, "TRAIN_STEPS": 8, "SCAN_LAYERS": True}
    assert cli.main(arguments(run, data, **still, **start)) == 0
    assert [row["step"] for row in losses(run) if "loss" in row] == [7, 8]
    before, after = parameters(uninterrupted, 6), parameters(run, 8)
    for name in before:
        if "layers_0" not in name:
            np.testing.assert_array_equal(after[name], before[name], err_msg=name)
    stacked = after["['encoder']['encoder']['mlp']['wo']['kernel']"]
    single = before["['encoder']['layers_0']['mlp']['wo']['kernel']"]
    np.testing.assert_array_equal(stacked[:, 0], single)


def test_a_decoder_alone_is_trained_by_the_same_command(data: list[str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    decoder = [*data, "--gin_file=runs/decoder_only.gin"]
    assert cli.main(arguments(run, decoder)) == 0
    found = [row["loss"] for row in losses(run) if "loss" in row]
    assert found[-1] < found[0] - 0.3
    assert "['decoder']['layers_0']['self_attention']['query']['kernel']" in parameters(run, 8)


@pytest.mark.parametrize(
    ("macros", "message"),
    [
        ({"EMBED_DIM": 32}, "model.d_model=32 but the checkpoint has 16"),
        ({"BATCH_SIZE": 4}, "data.batch_size=4 but the checkpoint has 8"),
        ({"VOCABULARY": "bytes"}, "vocabulary.fingerprint="),
    ],
)
def test_a_run_is_not_continued_as_another(
    uninterrupted: Path,
    data: list[str],
    capsys: pytest.CaptureFixture[str],
    macros: dict[str, Any],
    message: str,
) -> None:
    before = sorted(path.name for path in uninterrupted.rglob("*"))
    without_vocabulary = data[:-1] if "VOCABULARY" in macros else data
    assert cli.main(arguments(uninterrupted, without_vocabulary, **macros)) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "start in a MODEL_DIR of its own" in error
    assert sorted(path.name for path in uninterrupted.rglob("*")) == before


@pytest.mark.parametrize(
    ("macros", "message"),
    [
        ({"VOCAB_SIZE": 64}, "VOCAB_SIZE=64 is below the vocabulary's 1100 ids"),
        ({"TRAIN_STEPS": 0}, "TrainRun.steps=0 must be a whole number ≥ 1"),
        ({"BATCH_SIZE": 2.5}, "BATCH_SIZE=2.5 must be a whole number or None"),
        ({"TASK_FEATURE_LENGTHS": {"inputs": 8}}, "must give inputs and targets"),
        ({"TASK_FEATURE_LENGTHS": {"inputs": 8, "targets": 1}}, "targets=1 must be"),
        ({"NUM_PARTITIONS": 3}, "num_partitions=3 does not divide"),
        ({"BATCH_SIZE": None}, "BATCH_SIZE=None and BATCH_TOKENS=None: one of the two must be set"),
        ({"BATCH_TOKENS": 640}, "BATCH_SIZE=8 and BATCH_TOKENS=640: one of the two must be set"),
        ({"NUM_MICROBATCHES": 3}, "batch_size=8 does not divide over 1 data shards × 3 microbat"),
        ({"REMAT": "half"}, "remat='half' must be one of none, full"),
        ({"DROPOUT_RATE": 1.5}, "dropout_rate=1.5 must be in [0, 1)"),
        ({"TRIAN_STEPS": 5}, "gin macro TRIAN_STEPS is used by nothing; did you mean TRAIN_STEPS?"),
        ({"MIXTURE_OR_TASK_NAME": "superni_en_def_pos3"}, "did you mean 'superni_en_def_pos"),
    ],
)
def test_refusals_leave_no_run_behind(
    data: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    macros: dict[str, Any],
    message: str,
) -> None:
    assert cli.main(arguments(tmp_path / "run", data, **macros)) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert "Traceback" not in error
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_a_run_without_validation_data_says_so_at_once(
    data: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole_tasks = ["--max_instances_per_train_task=1000"]
    assert cli.main([*arguments(tmp_path / "run", data), *whole_tasks]) == 2
    error = capsys.readouterr().err
    assert "split 'validation' of default is empty" in error
    assert "train without validation (EVAL_PERIOD=0)" in error
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_batch_must_divide_over_the_devices(data: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tk_instruct.cli"]
    environment = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=8"}
    run = subprocess.run(
        command + arguments(tmp_path / "run", data, BATCH_SIZE=100),
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 2
    assert "batch_size=100 does not divide over 8 data shards; try 104" in run.stderr


# Continuing


@pytest.fixture
def resumable(uninterrupted: Path, tmp_path: Path) -> Path:
    """A copy of the run that has ended at step 8, with checkpoints of steps 3, 6 and 8."""
    return Path(shutil.copytree(uninterrupted, tmp_path / "run"))


def test_a_changed_setting_is_said_and_the_former_kept(
    resumable: Path, data: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    before = (resumable / "config.gin").read_text()
    changed = {"TRAIN_STEPS": 9, "LEARNING_RATE": 0.25, "CHECKPOINT_PERIOD": 0, "EVAL_PERIOD": 0}
    assert cli.main(arguments(resumable, data, **changed)) == 0
    (line,) = [text for text in caplog.text.splitlines() if "LEARNING_RATE" in text]
    assert "from step 8 on" in line
    assert re.search(r"LEARNING_RATE=0\.25 \(until then 0\.\d+\)", line), line
    assert "TRAIN_STEPS=9 (until then 8)" in line
    assert "DROPOUT_RATE" not in line
    assert (resumable / "config_until_8.gin").read_text() == before
    assert "LEARNING_RATE = 0.25" in (resumable / "config.gin").read_text()


def test_fewer_steps_than_reached_are_refused(
    resumable: Path, data: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = (resumable / "config.gin").read_text()
    assert cli.main(arguments(resumable, data, TRAIN_STEPS=7)) == 2
    assert "TRAIN_STEPS=7 is below step 8, which" in capsys.readouterr().err
    assert (resumable / "config.gin").read_text() == before


def test_a_finished_run_says_so_and_keeps_its_configuration(
    resumable: Path, data: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    before = (resumable / "config.gin").read_text()
    with caplog.at_level("INFO"):
        assert cli.main(arguments(resumable, data, LEARNING_RATE=0.25)) == 0
    assert "step 8 of 8 is reached in" in caplog.text
    assert (resumable / "config.gin").read_text() == before


def test_a_run_goes_on_from_the_last_good_checkpoint(
    resumable: Path, uninterrupted: Path, data: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """By the very command that is offered; the damaged one is kept."""
    state = resumable / "checkpoints" / "8" / "state"
    largest = max((p for p in state.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 4
    largest.write_bytes(content)
    description = resumable / "checkpoints" / "6" / "description" / "metadata"
    text = description.read_text()
    description.write_text(text[:-30])
    assert cli.main(arguments(resumable, data)) == 2
    error = capsys.readouterr().err
    assert "checkpoints/8 cannot be" in error
    assert "The last good checkpoint is of step 3: move this one aside, and the same" in error
    subprocess.run(error.splitlines()[-1], shell=True, check=True)
    assert cli.main(arguments(resumable, data)) == 2  # 6 is the last one now
    error = capsys.readouterr().err
    assert "checkpoints/6 cannot be read" in error
    subprocess.run(error.splitlines()[-1], shell=True, check=True)
    assert cli.main(arguments(resumable, data)) == 0
    assert_same_run(resumable, uninterrupted)
    assert (resumable / "damaged-8" / "state").is_dir()


def test_a_torn_line_of_the_log_is_mended(
    resumable: Path, uninterrupted: Path, data: list[str]
) -> None:
    shutil.rmtree(resumable / "checkpoints" / "8")
    log = resumable / "metrics.jsonl"
    log.write_bytes(log.read_bytes()[:-40])
    assert cli.main(arguments(resumable, data)) == 0
    assert losses(resumable) == losses(uninterrupted)


def test_a_damaged_log_is_mended_and_nothing_of_it_is_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good = [b'{"step": 1, "loss": NaN}', b'{"loss": 0.5, "step": 2}', b'{"step": 3}']

    def restarts(count: int) -> list[bytes]:
        return [b'{"step": 3, "restarts": %d}' % (number + 1) for number in range(count)]

    bad = [
        b'{"st',
        b"[1]",
        b'{"loss": 1}',
        b'{"step": 2.5}',
        b'{"step": true}',
        b'{"step": 2, "note": "\xff"}',
        b"\x00\x00\x00",
        b'{"step": ' + b"[" * 100_000,
        b'{"step": 4, "lo',
    ]
    first, second, third = good
    log = tmp_path / "metrics.jsonl"
    log.write_bytes(b"\n".join([first, *bad[:5], b"", second, *bad[5:8], third, bad[8]]))
    run_log_at(tmp_path, 3, 4)
    assert log.read_bytes() == b"".join(line + b"\n" for line in [*good, *restarts(1)])
    damaged = tmp_path / "metrics.jsonl.damaged"
    assert damaged.read_bytes() == b"".join(line + b"\n" for line in bad)
    expected = (
        f"{log}: what is no row is left out and put into metrics.jsonl.damaged: 9 lines, "
        "number 2, 3, 4, 5, 6, 9, 10, 11 and 1 more"
    )
    assert caplog.messages == [expected]
    run_log_at(tmp_path, 3, 4)
    assert caplog.messages == [expected]  # once
    assert log.read_bytes().splitlines() == [*good, *restarts(2)]
    log.write_bytes(first + b"\nagain\n")
    run_log_at(tmp_path, 3, 4)
    assert damaged.read_bytes().splitlines() == [*bad, b"again"]


def test_two_runs_in_one_directory(
    resumable: Path, data: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in resumable.rglob("*") if path.is_file()}
    with lock.held(resumable / "lock", f"{resumable} is being trained"):
        assert cli.main(arguments(resumable, data, TRAIN_STEPS=9)) == 2
    message = (
        f"{resumable} is being trained by process {os.getpid()} on {os.uname().nodename} since"
    )
    assert message in capsys.readouterr().err
    assert {path: path.read_bytes() for path in resumable.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    "name",
    [
        "metrics.jsonl",
        "metrics.jsonl.damaged",
        "samples.jsonl",
        "wandb_id",
        "config.gin",
        "config_until_6.gin",
        "sentencepiece.model",
    ],
)
def test_links_lead_nowhere(
    resumable: Path, data: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str
) -> None:
    """In a directory that somebody else has made."""
    shutil.rmtree(resumable / "checkpoints" / "8")
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (resumable / name).unlink(missing_ok=True)
    (resumable / name).symlink_to(victim)
    assert cli.main(arguments(resumable, data, LEARNING_RATE=0.25)) == 2
    assert "remove the symbolic link" in capsys.readouterr().err
    assert victim.read_text() == "precious"


def test_checkpoints_that_lead_elsewhere(
    resumable: Path, data: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (resumable / "checkpoints").rename(tmp_path / "another run's")
    begun = tmp_path / "another run's" / "9.orbax-checkpoint-tmp"
    begun.mkdir()
    (resumable / "checkpoints").symlink_to(tmp_path / "another run's")
    assert cli.main(arguments(resumable, data, TRAIN_STEPS=9)) == 2
    assert "another run's, out of" in capsys.readouterr().err
    assert begun.exists()


@pytest.mark.parametrize("cursor", [{}, {"a": 1}, [], {"position": None}])
def test_a_cursor_of_another_shape(
    resumable: Path, data: list[str], capsys: pytest.CaptureFixture[str], cursor: Any
) -> None:
    (resumable / "checkpoints" / "8" / "cursor" / "metadata").write_text(json.dumps(cursor))
    shutil.rmtree(resumable / "checkpoints" / "8" / "checksums")
    assert cli.main(arguments(resumable, data, TRAIN_STEPS=9)) == 2
    assert "checkpoints/8" in capsys.readouterr().err
