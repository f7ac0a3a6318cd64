"""The runs of a study: how many, which of them are the same, and their commands."""

import json
import shlex
import subprocess
from pathlib import Path

import gin
import pytest
from example_study import write

from tk_instruct import cli, configuration
from tk_instruct.errors import UserError
from tk_instruct.study import collected, file, scripts
from tk_instruct.study.runs import Run, runs_of


def runs(folder: Path, *changes: tuple[str, str]) -> list[Run]:
    return runs_of(file.read(write(folder, *changes)))


def addresses(folder: Path, *changes: tuple[str, str]) -> list[str]:
    return [run.name for run in runs(folder, *changes)]


@pytest.mark.parametrize(
    ("name", "trainings", "evaluations", "published"),
    [
        ("superni_train_tasks", 4 * 6 * 3, 4 * 6 * 3, 2),
        ("superni_instances", 6 * 3, 6 * 3, 0),
        ("superni_sizes", 5 * 3, 5 * 3, 3),
        ("superni_encodings", 10, 100, 100),
        ("flan_ladder", 7, 7, 7),
        ("t0_prompts", 3, 3, 0),
        ("smoke_encodings", 4, 12, 0),
    ],
)
def test_shipped_studies(
    name: str, trainings: int, evaluations: int, published: int, tmp_path: Path
) -> None:
    """Without data, and with every published value at a point of the study."""
    path = f"studies/{name}.toml"
    found = runs_of(file.read(path))
    assert len(found) == len({run.name for run in found}) == trainings
    assert sum(c.verb == "evaluate" for run in found for c in run.commands) == evaluations
    scores = collected(path, tmp_path)
    assert scores.num_missing == evaluations
    assert len(scores.published) == published
    beside = [
        each
        for cell in scores.cells
        for metric in scores.metrics
        for each in scores.published_at(cell.point, metric)
    ]
    assert len(beside) == published


def test_axes_that_only_evaluations_use_train_nothing(tmp_path: Path) -> None:
    found = runs(tmp_path)
    assert [run.varied for run in found] == [
        {"model": (model,), "seed": (seed,)} for model in ("small", "base") for seed in (0, 1)
    ]
    assert [command.verb for command in found[0].commands] == [
        *("train", "predict", "evaluate", "predict", "evaluate")
    ]
    assert found[0].steps == 10
    assert not gin.config._CONFIG  # nothing is left bound


def test_an_address_is_of_what_is_trained(tmp_path: Path) -> None:
    first = addresses(tmp_path)
    assert len(set(first)) == 4
    assert all(name.startswith("superni_en_def_pos2-") for name in first)
    for same in (
        "# a comment",
        "LOG_PERIOD = 7",
        "EVAL_PERIOD = 0",
        "CHECKPOINT_PERIOD = 5",
        "NUM_PARTITIONS = 2",
        'DATA_DIR = "elsewhere"',
        "Z_LOSS = 1e-4",  # the default
        "LEARNING_RATE = 5e-4",  # the recipe's
    ):
        assert addresses(tmp_path, ("[settings]", f"[settings]\n{same}")) == first, same
    lengths = "{ inputs = 64, targets = 8 }", "{ targets = 8, inputs = 64 }"
    assert addresses(tmp_path, lengths) == first
    for other in (
        "LEARNING_RATE = 1e-4",
        "DROPOUT_RATE = 0.0",
        "EMBED_DIM = 64",
        "SuperNI.num_train_tasks = 8",
        "SKIP_MISSING = true",
        'VOCABULARY = "mt5"',
        "DATA_DIR = '@mini_benchmark()'",
        "INITIAL_CHECKPOINT_PATH = 'elsewhere'",
        'TrainRun.optimizer = "@optim.adamw()"',
    ):
        found = addresses(tmp_path, ("[settings]", f"[settings]\n{other}"))
        assert not set(found) & set(first), other


def test_axes_over_places_are_different_trainings(tmp_path: Path) -> None:
    change = ("[settings]", '[settings]\nDATA_DIR = "{data}"')
    axis = ("[[evaluation]]", '[[axis]]\nname = "data"\nvalues = ["a", "b"]\n[[evaluation]]')
    assert len(set(addresses(tmp_path, change, axis))) == 8


def test_recipes_that_differ_in_places_are_different_trainings(tmp_path: Path) -> None:
    for name in "ab":
        recipe = f"include 'recipes/tk_instruct_small.gin'\nDATA_DIR = '/data/{name}'\n"
        (tmp_path / f"{name}.gin").write_text(recipe)
    axis = '[[axis]]\nname = "data"\nvalues = ["a", "b"]\n[[evaluation]]'
    own = ("recipes/tk_instruct_{model}.gin", f"{tmp_path}/{{data}}.gin")
    model = ("superni_en_{encoding}", 'superni_en_{encoding}"\nsplit = "{model}')
    found = runs(tmp_path, own, model, ("[[evaluation]]", axis))
    assert [run.varied for run in found] == [
        {"data": (data,), "seed": (seed,)} for seed in (0, 1) for data in "ab"
    ]


def test_values_that_give_the_same_training_are_one_run(tmp_path: Path) -> None:
    change = ("[settings]", '[settings]\nLOG_PERIOD = "{log}"')
    axis = ("[[evaluation]]", '[[axis]]\nname = "log"\nvalues = [1, 2]\n[[evaluation]]')
    found = runs(tmp_path, change, axis)
    assert len(found) == 4
    assert "log" not in found[0].varied


def test_a_setting_that_no_run_can_have_is_told_with_its_point(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"seed=0\)$") as caught:
        addresses(tmp_path, ("[settings]", "[settings]\nBATCH_SZIE = 3"))
    assert "BATCH_SZIE is used by nothing; did you mean BATCH_SIZE?" in str(caught.value)


def test_several_evaluations_of_the_same_predictions(tmp_path: Path) -> None:
    example = 'suite = "superni"\ntask = "superni_en_{encoding}"\n'
    first = f'name = "a"\n{example}'

    def commands(flags: str, more: str = "") -> list[str]:
        second = f'[[evaluation]]\nname = "b"\n{example}{flags}\n'
        changed = (example, f"{first}{more}\n{second}")
        return [command.output for command in runs(tmp_path, changed)[0].commands[:4]]

    assert commands('evaluate_flags = ["--track=xlingual"]') == [
        "checkpoints/10",
        "predictions/superni_en_def-test-10.jsonl",  # once
        "scores/superni_en_def-test-10.json",
        "scores/superni_en_def-test-10.track=xlingual.json",
    ]
    assert commands("")[3] == "predictions/superni_en_pos2-test-10.jsonl"  # the same scores twice
    limit = '_flags = ["--max_instances_per_eval_task=2"]'
    with pytest.raises(UserError, match=r"two evaluations write scores/.*; give one other"):
        commands(f"predict{limit}", f"evaluate{limit}")


def test_commands_get_the_places_that_they_take(tmp_path: Path) -> None:
    train, predict, evaluate, *_ = runs(tmp_path)[0].commands
    places = {
        "data_dir": ("--data_dir=my data",),
        "vocabulary": ("--vocabulary=v",),
        "p3_data": ("--p3_data=p",),
    }
    folder = file.Path("runs/x")
    assert train.words(folder, places)[-4:] == [
        *("--gin.MODEL_DIR=runs/x", "--vocabulary=v", "--p3_data=p", "--data_dir=my data")
    ]
    # The run has its vocabulary. `evaluate` refuses flags of other suites' data.
    assert "--vocabulary=v" not in predict.words(folder, places)
    assert "--p3_data=p" in predict.words(folder, places)
    words = evaluate.words(folder, places)
    assert words[-1] == "--data_dir=my data"
    assert "--p3_data=p" not in words
    assert predict.output in "".join(words)


def test_a_split_is_told_to_suites_that_ask(tmp_path: Path) -> None:
    """`evaluate --suite ni_v1` has no --split."""
    for name in ("superni", "ni_v1"):
        evaluate = runs(tmp_path, ('suite = "superni"', f'suite = "{name}"'))[0].commands[2]
        assert evaluate.verb == "evaluate"
        words = evaluate.words("runs/x", {})
        assert ("--split=test" in words) == (name == "superni")
        assert cli._parser("evaluate", words).parse_args(words).suite == name


def test_runs_share_the_token_cache(tmp_path: Path, mini_dir: Path, mini_vocabulary: Path) -> None:
    """Of the same data, whatever is trained on it."""
    from tk_instruct.data import cache, registry
    from tk_instruct.data.tokens import FeatureLengths

    paths = {}
    for run in runs(tmp_path):
        configuration.import_declarations()
        configuration.load("runs/train.gin", run.gin_files, [*run.gin_bindings, "MODEL_DIR = 'x'"])
        gin.bind_parameter("SuperNI.data_dir", str(mini_dir))
        gin.bind_parameter("vocabulary.name", str(mini_vocabulary))
        (task,) = registry.tasks_of(run.read.mixture)
        paths[run.number] = cache._path(task, "train", FeatureLengths(**run.read.feature_lengths))
    assert paths[1] == paths[3] != paths[2] == paths[4]  # sizes share, seeds draw other instances


@pytest.mark.parametrize("file_name", ["a study's.toml", "plain.toml"])
def test_a_script_for_slurm(
    tmp_path: Path, file_name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path).rename(tmp_path / file_name)
    place = f"--data_dir={tmp_path}/my data"
    assert cli.main(["study", "plan", str(path), "--print=slurm", "--runs=r", place]) == 0
    script = capsys.readouterr().out
    assert script.startswith("#!/usr/bin/env bash\n#SBATCH --job-name=")
    assert "#SBATCH --array=1,2,3,4\n" in script
    stub = f"tk-instruct() {{ printf '%s\\n' \"$@\"; }}\n{script.replace('exec ', '')}"
    environment = {"SLURM_ARRAY_TASK_ID": "3", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        ["bash", "-c", stub], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["study", "run", str(path), "--runs=r", place, "--only=3"]


def test_a_script_for_a_pod(tmp_path: Path) -> None:
    found = runs(tmp_path)
    words = scripts.study_words("my study.toml", "gs://b/runs", {}, ["mine"])
    assert words[-2:] == ["--runs=gs://b/runs", "--import=mine"]
    places = {"data_dir": ("--data_dir=gs://b/my data",)}
    notes = {1: "3 h"}
    with pytest.raises(UserError, match=r"must be in a bucket.*--runs=gs://BUCKET/FOLDER"):
        scripts.pod("Study_1", found, file.Path("runs"), places, words, notes, None)
    script = scripts.pod("Study_1", found, "gs://b/runs", places, words, notes, "v4-64")
    stub = "bash() { printf '%s\\t' \"$@\"; echo; return 1; }\n" + script
    done = subprocess.run(["bash", "-c", stub], capture_output=True, text=True, check=False)
    assert done.returncode == 1  # all are tried
    *trainings, delete = [line.split("\t")[:-1] for line in done.stdout.splitlines()]
    head = ["launch/tpu_pod.sh", "--name=study-1", "--type=v4-64"]
    assert delete == [*head, "--delete"]
    assert len(trainings) == 4
    for run, arguments in zip(found, trainings, strict=True):
        assert arguments[:4] == [*head, "--"]
        assert f"--gin.MODEL_DIR=gs://b/runs/{run.name}" in arguments
        assert "--data_dir=gs://b/my data" in arguments
    assert f"# {found[0].name}, 3 h\n" in script
    assert f"#   {shlex.join(words)}\n" in script


def test_plan_of_a_study(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each program is compiled once; a run's hours follow its steps."""
    from dataclasses import replace

    from tk_instruct.plan.compilation import Compiled, Layout
    from tk_instruct.study import hours

    asked = []

    class Compiler:
        def __init__(self, work: object, topology: object) -> None:
            asked.append(work)

        def __enter__(self) -> "Compiler":
            return self

        def __exit__(self, *error: object) -> None:
            pass

        def compile(self, layout: None) -> Compiled:
            sizes = {"num_tokens": 10, "num_steps": 10, "num_params": 5, "d_model": 1}
            compiled = Compiled(
                topology="v4", layout=Layout(1), mesh=(1, 1, 1), batch_size=1, **sizes,
                limit_bytes=None, flops=1e15, seconds=1.0, fits=True,
            )  # fmt: skip
            return replace(compiled, product_bytes=1.0)

    monkeypatch.setattr(hours, "Compiler", Compiler)
    monkeypatch.setattr(hours, "read_run", lambda *arguments: b"")
    monkeypatch.setattr(hours.importlib.util, "find_spec", lambda name: True)
    path = write(
        tmp_path,
        ("TrainRun.steps = 10", 'TrainRun.steps = "{steps}"'),
        ("[[evaluation]]", '[[axis]]\nname = "steps"\nvalues = [10, 30]\n[[evaluation]]'),
    )
    arguments = ["study", "plan", str(path), f"--runs={tmp_path}", "--topology=v4-8"]
    assert cli.main([*arguments, "--json", "--price_per_chip_hour=2"]) == 0
    found = json.loads(capsys.readouterr().out)["runs"]
    assert len(asked) == 2  # sizes, not seeds and steps
    by_steps = {run["steps"]: run for run in found}
    assert by_steps[30]["hours"]["at_peak"] == pytest.approx(3 * by_steps[10]["hours"]["at_peak"])
    assert by_steps[10]["cost_at_half"] == pytest.approx(by_steps[10]["hours"]["at_half"] * 4 * 2)
    assert cli.main(arguments) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[1].endswith("hours  at 50 %")
    assert out.splitlines()[-1].startswith("trainings that are left: ")
