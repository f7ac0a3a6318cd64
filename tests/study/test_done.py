"""What is done of a run, by its record and its files."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from example_study import write

from tk_instruct import cli, lock
from tk_instruct.study import done, file
from tk_instruct.study.runs import Command, Run, runs_of


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return runs_of(file.read(write(tmp_path_factory.mktemp("study"))))[0]


def end(folder: Path, command: Command, status: int = 0) -> None:
    """Does what a command does, as far as it is looked at."""
    path = folder / command.output
    if command.verb == "train":
        path.mkdir(parents=True)
    elif not status:
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{command.output} {status}")
    done.keep(folder, done.ended(command, file.Path(folder), status, 1.0, "why\nat last"))


def left(run: Run, folder: Path) -> list[int]:
    """The numbers of the commands that are left."""
    missing = done.state_of(run, file.Path(folder)).missing
    return [run.commands.index(command) for command in missing]


def end_all(run: Run, folder: Path, commands: Sequence[int] = range(5)) -> None:
    folder.mkdir(exist_ok=True)
    for number in commands:
        end(folder, run.commands[number])


def test_a_run_from_nothing_to_all(run: Run, tmp_path: Path) -> None:
    assert done.state_of(run, file.Path(tmp_path / "none")).what == "waiting"
    for number, command in enumerate(run.commands):
        assert left(run, tmp_path) == list(range(number, 5))
        end(tmp_path, command)
    state = done.state_of(run, file.Path(tmp_path))
    assert (state.what, state.missing, state.failed) == ("done", (), None)


def test_what_is_gone_or_changed_is_made_again(run: Run, tmp_path: Path) -> None:
    end_all(run, tmp_path)
    scores, predictions = tmp_path / run.commands[2].output, tmp_path / run.commands[1].output
    scores.write_text("other scores")  # `evaluate` with other flags
    assert left(run, tmp_path) == [2]
    scores.unlink()
    assert left(run, tmp_path) == [2]
    predictions.unlink()
    assert left(run, tmp_path) == [1, 2]
    end(tmp_path, run.commands[1])
    assert left(run, tmp_path) == [2]
    end(tmp_path, run.commands[2])
    assert left(run, tmp_path) == []
    end(tmp_path, run.commands[1])  # predicted anew, so scored anew
    assert left(run, tmp_path) == [2]


def test_checkpoints_and_predictions_may_be_removed_once_all_is_scored(
    run: Run, tmp_path: Path
) -> None:
    end_all(run, tmp_path)
    (tmp_path / run.commands[0].output).rmdir()
    (tmp_path / run.commands[3].output).unlink()
    assert left(run, tmp_path) == []


def test_what_was_trained_elsewhere_is_trained(run: Run, tmp_path: Path) -> None:
    """On a pod, or by hand: there is no record."""
    (tmp_path / run.commands[0].output).mkdir(parents=True)
    assert left(run, tmp_path) == [1, 2, 3, 4]


def test_other_flags_are_another_command(run: Run, tmp_path: Path) -> None:
    end_all(run, tmp_path)
    other = write(tmp_path, ("task =", 'split = "dev"\ntask ='))
    (changed, *_) = runs_of(file.read(other))
    assert changed.name == run.name
    assert left(changed, tmp_path) == [1, 2, 3, 4]


def test_states_that_are_not_done(run: Run, tmp_path: Path) -> None:
    folder = file.Path(tmp_path)
    (tmp_path / "metrics.jsonl").write_text('{"step": 3}\n{"step": 4, "lo')
    state = done.state_of(run, folder)
    assert (state.what, state.step) == ("begun", 3)
    end(tmp_path, run.commands[0])
    end(tmp_path, run.commands[1], status=2)
    state = done.state_of(run, folder)
    assert state.what == "failed"
    assert state.failed
    assert (state.failed.output, state.failed.said) == (run.commands[1].output, "why\nat last")
    for name in (done.LOCK, "lock"):
        with lock.held(tmp_path / name, "it is being run"):
            assert done.state_of(run, folder).what == "running"
            assert lock.is_held(tmp_path / name)
        assert not lock.is_held(tmp_path / name)
    end(tmp_path, run.commands[1])
    assert done.state_of(run, folder).what == "begun"


def test_data_that_lay_elsewhere_is_told(
    run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What is trained is not trained again, whatever lies in the place that is given now."""
    folder = tmp_path / run.name
    end_all(run, folder)
    place = run.trained_from({"data_dir": ("--data_dir=a",), "jsonl": ("--jsonl", "train=x")})
    assert (place["data_dir"], place["jsonl"], place["vocabulary"]) == ("a", "train=x", "t5")
    done.keep(folder, done.ended(run.commands[0], file.Path(folder), 0, 1.0, places=place))
    study = ["study", "run", str(write(tmp_path)), f"--runs={tmp_path}", "--only=1"]
    caplog.set_level("INFO", "tk_instruct")
    assert cli.main([*study, "--data_dir=a"]) == 0
    assert "was trained with" not in caplog.text
    assert cli.main([*study, "--data_dir=b"]) == 0
    assert f"{run.name} was trained with --data_dir=a, and is not trained again" in caplog.text
    assert "if other data lie in b, give another --runs" in caplog.text


def test_a_damaged_line_of_the_record_counts_for_nothing(run: Run, tmp_path: Path) -> None:
    end_all(run, tmp_path)
    path = tmp_path / done.RECORD
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:4], b'{"verb": "evaluate", "out']))
    assert left(run, tmp_path) == [4]
