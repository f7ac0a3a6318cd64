"""The command itself: help, exit statuses, pipes, gin flags."""

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import gin
import pytest

from tk_instruct import cli, configuration
from tk_instruct.errors import UserError


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from tk_instruct import cli\n"
        "try: cli.main(['--help'])\n"
        "except SystemExit as end: assert end.code == 0\n"
        "heavy = {'jax', 'tensorflow', 'seqio', 'numpy', 'flax'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for verb in cli.VERBS:
        assert verb in run.stdout


@pytest.mark.parametrize("verb", list(cli.VERBS))
def test_every_verb_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main([verb, "--help"])
    assert end.value.code == 0
    assert len(capsys.readouterr().out.splitlines()) > 5


def test_an_unknown_verb(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(["trian"])
    assert end.value.code == 2
    assert "invalid choice: 'trian'" in capsys.readouterr().err


def test_a_closed_pipe_is_not_an_error_message(mini_dir: Path) -> None:
    command = f"{sys.executable} -m tk_instruct.cli mini --help | true"
    run = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert "Traceback" not in run.stderr


def test_gin_bindings_are_taken_as_they_are_typed() -> None:
    rest, bindings = configuration.take_gin_bindings(
        [
            "--gin.MODEL_DIR=/tmp/a b",
            "--gin.STEPS=3",
            "--gin.LENGTHS={'inputs': 4}",
            "--gin.NAME='quoted'",
            "--gin.MODEL=@T5Config()",
            "--gin.OTHER=%STEPS",
            "--seed=1",
        ]
    )
    assert rest == ["--seed=1"]
    assert bindings == [
        "MODEL_DIR = /tmp/a b",
        "STEPS = 3",
        "LENGTHS = {'inputs': 4}",
        "NAME = 'quoted'",
        "MODEL = @T5Config()",
        "OTHER = %STEPS",
    ]
    with pytest.raises(UserError, match="has no value; write --gin"):
        configuration.take_gin_bindings(["--gin.STEPS", "3"])


def test_gin_bindings_where_there_is_no_gin(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["mini", "somewhere", "--gin.STEPS=3"]) == 2
    assert "`mini` takes no --gin.NAME=VALUE" in capsys.readouterr().err


def load(tmp_path: Path, recipe: str, *bindings: str) -> None:
    import tk_instruct.train_run  # noqa: F401  (registers what the run file binds)

    configuration.import_declarations()
    path = tmp_path / "recipe.gin"
    path.write_text('include "recipes/smoke.gin"\n' + recipe)
    configuration.load("runs/train.gin", [str(path)], bindings)


def test_a_recipe_sets_what_the_run_file_binds(tmp_path: Path) -> None:
    load(tmp_path, "TRAIN_STEPS = 7\n", "MODEL_DIR = 'here'", "BATCH_SIZE = 3")
    assert gin.query_parameter("TrainRun.steps").scoped_configurable_fn() == 7
    assert gin.query_parameter("TrainRun.batch_size").scoped_configurable_fn() == 3


def test_a_line_that_is_no_gin_is_shown(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"recipe.gin:2: 'BATCH_SIZE =': .*; write NAME = VALUE"):
        load(tmp_path, "BATCH_SIZE = \n", "MODEL_DIR = 'here'")


def test_a_recipe_that_was_refused_leaves_nothing_to_the_next(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="TRIAN_STEPS is used by nothing"):
        load(tmp_path, "TRIAN_STEPS = 7\n", "MODEL_DIR = 'here'")
    load(tmp_path, "TRAIN_STEPS = 7\n", "MODEL_DIR = 'here'")
    assert gin.query_parameter("TrainRun.steps").scoped_configurable_fn() == 7


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ("", "gin macro MODEL_DIR is not set; give --gin.MODEL_DIR=VALUE"),
        ("MODEL_DIR='a'\nTRIAN_STEPS=3\n", "gin macro TRIAN_STEPS is used by nothing; did you"),
        ("MODEL_DIR='a'\nTrainRun.stepss=3\n", "TrainRun has no parameter 'stepss'; did you mean"),
        ("MODEL_DIR='a'\nTrainRum.steps=3\n", "TrainRum"),
        ("MODEL_DIR='a'\nTRAIN_STEPS=\n", "recipe.gin"),
        ('include "models/t5_1_1_smal.gin"\n', "did you mean models/t5_1_1_small.gin?"),
    ],
)
def test_mistakes_in_a_recipe(tmp_path: Path, recipe: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        load(tmp_path, recipe)
    assert message in str(error.value)


def test_a_folder_named_like_the_shipped_ones_is_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("runs", "models", "recipes"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    load(tmp_path, "MODEL_DIR = 'here'\n")


def test_libtpu_says_nothing_where_there_is_no_tpu() -> None:
    pytest.importorskip("libtpu")
    code = (
        "from tk_instruct import cli; import contextlib\n"
        "with contextlib.suppress(SystemExit): cli.main(['--version'])\n"
        "import jax; jax.devices()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("predict --model_dir https://host/run", "neither a path here nor gs://"),
        ("convert https://host/model TO --to=ours", "neither a path here nor gs://"),
        ("predict --model_dir RUN --output=", "--output is empty; give it a value"),
        ("convert RUN TO --to=t5x --step=9999999999", "less than 2**31"),
        ("tasks list --import=.x", "'.x' must be a module's name"),
        ("tasks list --import=mine.py/", "'mine.py/' must be a module's name"),
        ("convert RUN TO --to=t5x --step=--", "--step=-- has no value; give it one"),
        ("tasks show NAME -n--", "-n-- has no value; give it one"),
        (f"self-instruct stats --run_dir={'x' * 300}", "too long: "),
        ("evaluate --predictions=/dev/zero", "/dev/zero: cannot be read (it never ends)"),
        ("plan --topology=v4:9999x9999x9999", "and a pod of v4 has 4,096; give"),
        ("plan --topology=cpu:2 --verb=predict --batch_size=0", "--batch_size=0 must be at least"),
    ],
)
def test_what_no_flag_can_be_is_an_error_in_words(
    command: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(command.split()) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flag", "value", "rule"),
    [
        ("limit", "9" * 20, "must be a whole number of at most 19 digits"),
        ("limit", "9" * 5000, "must be a whole number of at most 19 digits"),
        ("num_beams", "1e3", "'1e3' must be a whole number"),
        ("top_p", "half", "'half' must be a number; try 0.5"),
    ],
)
def test_a_number_that_is_none_is_told_with_the_rule(
    flag: str, value: str, rule: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(["predict", "--model_dir=run", f"--{flag}={value}"])
    assert end.value.code == 2
    message = capsys.readouterr().err.rpartition("error: ")[2]
    assert f"argument --{flag}: " in message
    assert rule in message
    assert len(message) < 200


@pytest.mark.parametrize(
    ("raised", "message"),
    [
        (MemoryError(), "the memory is not enough (MemoryError); take smaller batches"),
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory\nof HBM"), "take smaller batches"),
        (OSError(28, "No space left on device", "here/x"), "left on device: 'here/x'; check the"),
        (OSError(), "OSError; check the path, its rights and the space that is left"),
        (ConnectionRefusedError(111, "Connection refused"), "refused; check the address and the"),
        (TimeoutError(), "TimeoutError; check the address and the network"),
    ],
)
def test_what_the_machine_refuses_is_told_in_words(
    raised: Exception,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Raised by a verb of a module that is not this project's."""

    def refuse(args: object) -> int:
        raise raised

    verb = ModuleType("refusing_verb")
    verb.add_arguments, verb.main = (lambda parser: None), refuse  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "refusing_verb", verb)
    monkeypatch.setitem(cli.VERBS, "refuse", ("refusing_verb", "refuses"))
    assert cli.main(["refuse"]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.endswith("; TK_INSTRUCT_TRACEBACK=1 shows where\n")
    assert len(said.splitlines()) == 1
    monkeypatch.setenv("TK_INSTRUCT_TRACEBACK", "1")
    with pytest.raises(type(raised)):
        cli.main(["refuse"])
