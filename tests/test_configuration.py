"""What gin files and flags say: values of the right types, all of them in use, and no code run."""

import argparse
import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import gin
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tk_instruct import cli, configuration
from tk_instruct.configuration import gin_files, values
from tk_instruct.errors import UserError
from tk_instruct.optim import adafactor

SMOKE = "recipes/smoke.gin"


@pytest.fixture(autouse=True, scope="module")
def _declarations() -> None:
    configuration.import_declarations()


def run_of(*files: str, **macros: str) -> Any:
    """The run of the smoke recipe, other files and macros as they would be typed."""
    from tk_instruct.train_run import TrainRun

    typed = [f"{name.replace('__', '.')} = {value}" for name, value in macros.items()]
    configuration.load("runs/train.gin", [SMOKE, *files], ["MODEL_DIR = x", *typed])
    return configuration.configured(TrainRun)


@pytest.mark.parametrize("spelt", ["false", "False", "FALSE", "no", "off"])
def test_booleans_are_read_as_people_spell_them(spelt: str) -> None:
    assert run_of(LOGITS_VIA_EMBEDDING=spelt).model.logits_via_embedding is False
    run_of(MULTIPLY_BY_PARAMETER_SCALE=spelt)
    value = gin.query_parameter("MULTIPLY_BY_PARAMETER_SCALE/gin.macro.value")
    assert value is False
    assert run_of(
        LOGITS_VIA_EMBEDDING={"False": "True"}.get(spelt, "yes")
    ).model.logits_via_embedding


def test_a_boolean_in_a_file_is_no_text_either(tmp_path: Path) -> None:
    file = tmp_path / "mine.gin"
    file.write_text("MULTIPLY_BY_PARAMETER_SCALE = 'false'\n")
    run_of(str(file))
    assert "MULTIPLY_BY_PARAMETER_SCALE = False" in gin.config_str()


@pytest.mark.parametrize(
    ("macros", "field", "expected"),
    [
        ({"MODEL_DIR": "2024"}, "model_dir", "2024"),
        ({"MODEL_DIR": "2024_11_30"}, "model_dir", "2024_11_30"),
        ({"MODEL_DIR": "1e3"}, "model_dir", "1e3"),
        ({"MODEL_DIR": "True"}, "model_dir", "True"),
        ({"MODEL_DIR": "'quoted'"}, "model_dir", "quoted"),
        ({"MODEL_DIR": "/a b/[1]"}, "model_dir", "/a b/[1]"),
        ({"TRAIN_STEPS": "1e3"}, "steps", 1000),
        ({"RANDOM_SEED": "7"}, "seed", 7),
        ({"NUM_TRAIN_EXAMPLES": "none"}, "num_train_examples", None),
        ({"INITIAL_CHECKPOINT_PATH": "None"}, "initial_checkpoint_path", None),
        ({"INITIAL_CHECKPOINT_PATH": "1100"}, "initial_checkpoint_path", "1100"),
        ({"NUM_FSDP_SHARDS": "auto"}, "num_fsdp_shards", "auto"),
        ({"NUM_FSDP_SHARDS": "2"}, "num_fsdp_shards", 2),
        ({"Z_LOSS": "0"}, "z_loss", 0.0),
    ],
)
def test_a_value_is_of_its_fields_type(macros: dict[str, str], field: str, expected: Any) -> None:
    found = getattr(run_of(**macros), field)
    assert (found, type(found)) == (expected, type(expected))


def test_the_flag_seed_is_training_s_too() -> None:
    from tk_instruct.train_run import TrainRun

    assert run_of().seed == 0
    configuration.bind_data_arguments(argparse.Namespace(seed=3))
    assert configuration.configured(TrainRun).seed == 3


def test_a_path_may_look_like_a_number_everywhere() -> None:
    run_of(DATA_DIR="2024", VOCABULARY="7")
    assert gin.query_parameter("DATA_DIR/gin.macro.value") == "2024"
    assert gin.query_parameter("VOCABULARY/gin.macro.value") == "7"


@pytest.mark.parametrize(
    ("macro", "value", "rule"),
    [
        ("MULTIPLY_BY_PARAMETER_SCALE", "maybe", "must be True or False"),
        ("MULTIPLY_BY_PARAMETER_SCALE", "1", "must be True or False"),
        ("SCAN_LAYERS", "none", "must be True or False"),
        ("LEARNING_RATE", "10%", "must be a number"),
        ("LEARNING_RATE", "1e-3f", "must be a number"),
        ("LEARNING_RATE", "nan", "must be a number"),
        ("LEARNING_RATE", "1e999", "must be a number"),
        ("LEARNING_RATE", "true", "must be a number"),
        ("LEARNING_RATE", "-0.1", r"must be in \[0, inf\)"),
        ("WEIGHT_DECAY", "-1", r"must be in \[0, 1\)"),
        ("Z_LOSS", "-1e-4", r"must be in \[0, 1\]"),
        ("LABEL_SMOOTHING", "2", r"must be in \[0, 1\)"),
        ("MAX_GRADIENT_NORM", "0", r"must be in \(0, inf\)"),
        ("WARMUP_STEPS", "-5", "must be a whole number ≥ 0"),
        ("WARMUP_STEPS", "0.5", "must be a whole number"),
        ("RANDOM_SEED", "abc", "must be a whole number"),
        ("RANDOM_SEED", "-1", "must be a whole number ≥ 0"),
        ("RANDOM_SEED", str(2**70), "must be a whole number ≤ 4294967295"),
        ("RANDOM_SEED", "2**70", "must be a whole number"),
        ("TRAIN_STEPS", str(2**31), "must be a whole number ≤ 2147483647"),
        ("EMBED_DIM", str(10**7), "d_model=10000000 must be a whole number ≤ 131072"),
        ("NUM_ENCODER_LAYERS", str(10**6), "must be a whole number ≤ 1024"),
        ("TASK_FEATURE_LENGTHS", "160", "must be names with a whole number each"),
        ("TASK_FEATURE_LENGTHS", "{inputs: 16}", "must be names with a whole number each"),
        ("TASK_FEATURE_LENGTHS", "{'inputs': 'a', 'targets': 4}", "must be names with a whole"),
        ("MLP_ACTIVATIONS", "gelu", "must be a list, each of them a text"),
        ("MODEL_DIR", "", "must name a folder"),
        ("TrainRun__optimizer", "3", "must be what a function gives"),
        ("TrainRun__optimizer", "@optim.adamw", "must be what a function makes"),
        ("TrainRun__model", "@optim.adamw()", r"must be @T5Config\(\) or @DecoderConfig\(\)"),
        ("DATA_DIR", "@mini_benchmark", r"@NAME\(\) with brackets is its result"),
        ("TrainRun__seed", "x", "must be a whole number"),
        ("MIXTURE_OR_TASK_NAME", "@optim.constant()", "must be a text"),
        ("DATA_DIR", "@optim.constant()", "must be a text or None"),
        ("TRAIN_STEPS", "@TrainRun()", "must be a whole number"),
        ("T5Config__d_model", "@T5Config()", "must be a whole number"),
        ("TrainRun__model", "@TrainRun()", r"must be @T5Config\(\) or @DecoderConfig\(\)"),
        ("optim__adafactor__learning_rate", "@optim.adafactor()", "in a circle"),
        ("TrainRun__optimizer", "@mine/optim.adafactr()", "did you mean adafactor"),
    ],
)
def test_a_value_of_another_type_is_refused(macro: str, value: str, rule: str) -> None:
    with pytest.raises(UserError, match=rule):
        run_of(**{macro: value})


def test_an_error_can_be_sent_to_another_process() -> None:
    with pytest.raises(UserError) as raised:
        run_of(Z_LOSS="-3")
    sent = pickle.loads(pickle.dumps(raised.value))
    assert (type(sent), str(sent)) == (UserError, "Z_LOSS=-3.0 must be in [0, 1]; try 0.0001")


def test_the_message_names_the_place(tmp_path: Path) -> None:
    file = tmp_path / "mine.gin"
    file.write_text("\nTRAIN_STEPS = '3 hours'\n")
    expected = r"mine.gin:2: TRAIN_STEPS='3 hours' must be a whole number"
    with pytest.raises(UserError, match=expected):
        run_of(str(file))


@pytest.mark.parametrize(
    ("value", "annotation", "expected"),
    [
        ([1, 2], tuple[int, ...], (1, 2)),
        ({"a": 1}, Mapping[str, int], {"a": 1}),
        (3, int | Literal["auto"], 3),
        ("auto", int | Literal["auto"], "auto"),
        ("null", float | None, None),
        ("none", Literal["none", "full"], "none"),
        (2, float, 2.0),
        (2.0, int, 2),
        (0.5, Callable[[int], float] | float, 0.5),
        (None, Callable[[int], float] | None, None),
    ],
)
def test_literals_become_their_type(value: Any, annotation: Any, expected: Any) -> None:
    found = values.read(value, annotation)
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("value", "annotation"),
    [
        (True, int),
        (1, bool),
        (2.5, int),
        (None, int),
        ("x", Sequence),
        (3, Callable[[int], float]),
        ({"a": 1}, int | str),
        (float("inf"), float),
    ],
)
def test_other_literals_do_not(value: Any, annotation: Any) -> None:
    with pytest.raises(ValueError, match="must be"):
        values.read(value, annotation)


@given(st.text(max_size=20))
def test_whatever_is_typed_is_a_value_or_an_error(text: str) -> None:
    for wanted in (str | None, int, bool, float, Mapping[str, int], None):
        typed = values.read_text(text, [wanted] if wanted else [])
        try:
            [setting] = gin_files.settings_of(gin_files.parse(f"NAME = {typed}", "f"), "f")
            if wanted and not list(gin_files.references(setting.value)):
                values.read(setting.value, wanted)
        except (UserError, ValueError):
            continue


def test_an_encoding_is_trained_where_its_file_is_given() -> None:
    assert run_of("encodings/def.gin").mixture == "superni_en_def"


@pytest.mark.parametrize(
    ("files", "macros", "message"),
    [
        (
            ["encodings/def.gin"],
            {"MIXTURE_OR_TASK_NAME": "superni_en_pos1"},
            r"encodings/def.gin changes nothing: superni_task.encoding='def' .*"
            r"MIXTURE_OR_TASK_NAME='superni_en_pos1' \(--gin.MIXTURE_OR_TASK_NAME\)",
        ),
        (
            ["encodings/def.gin", SMOKE],
            {},
            r"encodings/def.gin changes nothing: superni_task.encoding='def' .* is overridden by "
            r"superni_task.encoding='def_pos2'",
        ),
        (
            ["recipes/flan_2b.gin", "models/t5_1_1_small.gin"],
            {},
            r"NUM_ENCODER_LAYERS=8 \(models/t5_1_1_small.gin:5\) .*@DecoderConfig\(\)",
        ),
        (
            [],
            {"TrainRun__optimizer": "@optim.adamw()", "MULTIPLY_BY_PARAMETER_SCALE": "False"},
            r"MULTIPLY_BY_PARAMETER_SCALE=False .*TrainRun.optimizer=@optim.adamw\(\)",
        ),
        (
            [],
            {"T5Config__dtype": "float32", "ACTIVATION_DTYPE": "bfloat16"},
            r"ACTIVATION_DTYPE='bfloat16' .* T5Config.dtype alone, which "
            r"T5Config.dtype='float32' \(--gin.T5Config.dtype\) sets",
        ),
        (
            [],
            {"optim__constant__learning_rate": "1", "LEARNING_RATE": "2"},
            r"LEARNING_RATE=2 .*optim.constant.learning_rate=1 ",
        ),
        ([], {"CHECKPOINT_PATH": "x"}, "CHECKPOINT_PATH is used by nothing; did you mean INITIAL_"),
        ([], {"MAX_USD": "5"}, "MAX_USD is used by nothing; it is a macro of runs/self_instruct"),
        ([], {"XYZZY": "5"}, "XYZZY is used by nothing; leave it out"),
        ([], {"EVAL_OUTPUT_DIR": "x"}, "EVAL_OUTPUT_DIR is used by nothing; "),
    ],
)
def test_what_changes_nothing_is_refused(
    files: list[str], macros: dict[str, str], message: str
) -> None:
    with pytest.raises(UserError, match=message) as raised:
        run_of(*files, **macros)
    assert len(str(raised.value)) < 400


def test_a_parameter_that_every_scope_sets_itself_has_no_effect() -> None:
    from tk_instruct import self_instruct

    def configured(binding: str) -> Any:
        command = ["run", "--run_dir=x"]
        parser = argparse.ArgumentParser()
        self_instruct.add_arguments(parser)
        args = parser.parse_args(command)
        args.gin_bindings = [binding]
        return self_instruct._configured(args)

    found = configured("instances/Parameters.temperature = 0.5").instances
    assert (found.parameters.temperature, found.classification_parameters.temperature) == (0.5, 0)
    with pytest.raises(UserError, match=r"=0.5 .*is overridden .*classification_instances/Param"):
        configured("Parameters.temperature = 0.5")
    assert configured("Parameters.frequency_penalty = 0.5").classify.parameters.frequency_penalty


def test_what_a_flag_takes_the_place_of_is_not_refused(tmp_path: Path) -> None:
    assert (
        run_of("recipes/tk_instruct_3b.gin", MIXTURE_OR_TASK_NAME="flan_rte").mixture == "flan_rte"
    )
    file = tmp_path / "mine.gin"
    file.write_text('include "recipes/tk_instruct_3b.gin"\nMIXTURE_OR_TASK_NAME = "flan_rte"\n')
    assert run_of(str(file)).mixture == "flan_rte"


def test_tasks_takes_recipes_and_flags_of_its_own() -> None:
    configuration.load_part("runs/tasks.gin", ["recipes/tk_instruct_3b.gin"], ["VOCABULARY = t5"])
    with pytest.raises(UserError, match="TRAIN_STEPS is used by nothing"):
        configuration.load_part("runs/tasks.gin", [SMOKE], ["TRAIN_STEPS = 5"])
    with pytest.raises(UserError, match=r"encodings/def.gin changes nothing"):
        configuration.load_part("runs/tasks.gin", ["encodings/def.gin"], [])


def test_a_file_may_begin_with_a_mark_of_its_encoding(tmp_path: Path) -> None:
    file = tmp_path / "mine.gin"
    file.write_text("TRAIN_STEPS = 7\n", encoding="utf-8-sig")
    assert run_of(str(file)).steps == 7


def test_values_that_refer_to_each_other_in_a_circle_are_named() -> None:
    with pytest.raises(UserError, match="refer to each other in a circle"):
        run_of(TRAIN_STEPS="%BATCH_SIZE", BATCH_SIZE="%TRAIN_STEPS")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("A = (1,\n2\n", r"mine.gin:1: 'A = \(1,': .*is opened and not closed"),
        ("B = 2\nA = {\n", "mine.gin:2: 'A = {': .*is opened and not closed"),
        ("B = 2\nA = (1,\n  2,\nC = 3\nD = [4]\n", r"mine.gin:2: 'A = \(1,': .*and not closed"),
        ("B = 2\nA = {'a': [1,\n 'b': 2}\n", "mine.gin:2: .*is opened and not closed"),
        ("B = 2\n\nA = [(\nC = (\n", "mine.gin:3: .*is opened and not closed"),
        ("x y z\nA = (\n", "mine.gin:1: 'x y z': Couldn't parse"),
        ("A = '''x\n", "mine.gin:1: .*is opened and not closed"),
        ('"""', "mine.gin:1: .*is opened and not closed"),
        # Python 3.11's tokenizer finds less by itself than later ones.
        ("B = 1\nA = 'x\nC = 2\n", "mine.gin:2: .A = .x.: (Unable to parse value|.* not closed)"),
        ("x y z\n", "mine.gin:1: 'x y z': Couldn't parse"),
        ("B = 1\n\tA = 2\n  C = 3\n", "mine.gin:3: 'C = 3': unindent does not match"),
        ("B = 1\nA = {[]: 1}\n", "mine.gin:2: .*unhashable type"),
        ("B = 1\nA = {[1]: 1}\n", "mine.gin:2: .*unhashable type"),
        ("A = " + "(" * 5000, "write NAME = VALUE"),
        (
            "B = 1\nA = " + "(" * 1000 + "1" + ")" * 1000,
            "mine.gin:2: .*(nested too deeply|not closed)",
        ),
        ("A = " + "9" * 5000, "mine.gin:1: .*write NAME"),
        ("A = '\0'\n", "mine.gin:1: .*null bytes"),
        ("A = '" + "x" * 10**7 + "'\n", "has 10,000,007 bytes, and a gin file at most 1,000,000"),
        ("A = '\udcff'\n", "mine.gin is not UTF-8 .*; save it as UTF-8"),
        ("\ninclude\n", "mine.gin:2: 'include': Expected file path as string"),
        ("\ninclude 3\n", "mine.gin:2: 'include 3': Expected file path as string"),
        ("\ninclude ''\n", r"is neither a file here .*\(included by .*mine.gin:2\)"),
        (f"\ninclude '{'x' * 300}'\n", r"is neither a file here .*\(included by .*mine.gin:2\)"),
        ("\ninclude 'FOLDER'\n", r"is neither a file here .*\(included by .*mine.gin:2\)"),
        ("\ninclude '\\ud800'\n", r"is neither a file here .*\(included by .*mine.gin:2\)"),
        (
            "\ninclude 'recipes/smok.gin'\n",
            r"did you mean recipes/smoke.gin\? \(included by .*:2\)",
        ),
        ("\ninclude 'FOLDER/pipe'\n", r"pipe is a pipe or a device.*\(included by .*mine.gin:2\)"),
        (
            "include '/dev/zero'\n",
            "zero is a pipe or a device, and a gin file is read more than once",
        ),
    ],
)
def test_broken_files_are_named(tmp_path: Path, text: str, message: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    file = tmp_path / "mine.gin"
    text = text.replace("FOLDER", str(tmp_path))
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UserError, match=message) as raised:
        run_of(str(file))
    assert " at 0x" not in str(raised.value)
    outer = tmp_path / "outer.gin"
    outer.write_text(f'include "{file}"\n')
    with pytest.raises(UserError, match=message):
        run_of(str(outer))


def test_lines_may_end_as_on_any_system(tmp_path: Path) -> None:
    file = tmp_path / "mine.gin"
    for end in (b"\r", b"\r\n"):
        file.write_bytes(end.join([b"TRAIN_STEPS = 7", b"BATCH_SIZE = (", b""]))
        with pytest.raises(UserError, match=r"mine.gin:2: 'BATCH_SIZE = \(': .*not closed"):
            run_of(str(file))


@pytest.mark.parametrize(
    ("included", "chain"),
    [
        ({"a": "a"}, ["a", "a"]),
        ({"a": "FOLDER/./a"}, ["a", "a"]),
        ({"a": "FOLDER/sub/../a"}, ["a", "sub/../a"]),
        ({"a": "b", "b": "./a"}, ["a", "b", "a"]),
        ({"a": "link"}, ["a", "link"]),
        ({"c": "a", "a": "b", "b": "a"}, ["a", "b", "a"]),
    ],
)
def test_files_that_include_themselves(
    tmp_path: Path, included: dict[str, str], chain: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    (tmp_path / "link.gin").symlink_to("a.gin")
    for name, other in included.items():
        other = other.replace("FOLDER", str(tmp_path))
        (tmp_path / f"{name}.gin").write_text(f'\ninclude "{other}.gin"\n')
    with pytest.raises(UserError, match="without end; take out one of the includes") as raised:
        run_of(f"{next(iter(included))}.gin")
    said = str(raised.value).replace(f"{tmp_path}/", "")
    assert " includes ".join(f"{name}.gin" for name in chain) in said
    assert "\n" not in said


@pytest.mark.parametrize("value", ["@f(", "(1, @f()", "[%A}", "@f()x", "[@f(]"])
def test_an_open_bracket_in_a_flag_is_named(value: str) -> None:
    rule = r"gin: --gin.MLP_ACTIVATIONS: 'MLP_ACTIVATIONS = .*write NAME = VALUE"
    with pytest.raises(UserError, match=rule):
        run_of(MLP_ACTIVATIONS=value)


HOSTILE = [
    "import this_is_hostile\n",
    "from this_is_hostile import anything\n",
    "import this_is_hostile as tk_instruct\n",
    "from __gin__ import dynamic_registration\nimport tk_instruct.cli\n"
    "TRAIN_STEPS = @tk_instruct.cli.os.getcwd()\n",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_recipe_runs_no_code(
    tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "this_is_hostile.py").write_text("raise SystemExit('it ran')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    recipe = tmp_path / "recipe.gin"
    recipe.write_text(f'include "{SMOKE}"\n{text}')
    flags = [f"--gin_file={recipe}", f"--gin.MODEL_DIR={tmp_path / 'run'}"]
    for verb in (["train"], ["plan", "--topology=v3-8"], ["tasks", "show", "superni_en_def"]):
        given_flags = flags if verb != ["tasks", "show", "superni_en_def"] else flags[:1]
        assert cli.main([*verb, *given_flags]) == 2
        assert "gin files may import only tk_instruct's own modules" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_recipe_does_not_say_where_a_cache_is(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.gin"
    recipe.write_text(f"SuperNI.cache_dir = '{tmp_path / 'elsewhere'}'\n")
    with pytest.raises(UserError, match=r"cache_dir says where is written"):
        run_of(str(recipe))


def test_a_module_of_ones_own_is_imported_on_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_own_tasks.py").write_text("declared = True\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    configuration.import_declarations(["my_own_tasks"])
    assert sys.modules["my_own_tasks"].declared
    with pytest.raises(UserError, match=r"--import my_oven_tasks: .*PYTHONPATH"):
        configuration.import_declarations(["my_oven_tasks"])


DESCRIBED = """
import this_is_hostile
from __gin__ import dynamic_registration
import tk_instruct.tasks.superni.mini

DATA_DIR = '/data'
RANDOM_SEED = 3
VOCABULARY = @trained_vocabulary()
LOOP = %LOOP
include "/etc/passwd"
SuperNI.data_dir = %DATA_DIR
SuperNI.seed = %RANDOM_SEED
SuperNI.tokenization = 'released'
SuperNI.cache_dir = '/somewhere'
SuperNI.num_dev_tasks = %LOOP
SuperNI.not_a_parameter = 3
trained_vocabulary.num_pieces = 77
vocabulary.name = %VOCABULARY
skip_missing.enabled = 'true'
TrainRun.steps = @this_is_hostile.f()
tfds_data_dir.directory = @optim.adafactor()
this_is_hostile.f.x = 3
"""


def test_a_description_is_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "this_is_hostile.py").write_text("raise SystemExit('it ran')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    configuration.load_data_of(DESCRIBED, "description")
    assert gin.query_parameter("SuperNI.data_dir") == "/data"
    assert gin.query_parameter("SuperNI.seed") == 3
    assert gin.query_parameter("SuperNI.tokenization") == "released"
    assert gin.query_parameter("skip_missing.enabled") is True
    assert gin.query_parameter("trained_vocabulary.num_pieces") == 77
    bound = gin.config_str()
    assert "trained_vocabulary()" in bound
    for absent in ("hostile", "cache_dir", "num_dev_tasks", "TrainRun", "adafactor", "passwd"):
        assert absent not in bound
    with pytest.raises(UserError, match=r"description:1: SuperNI.seed='x' must be a whole number"):
        configuration.load_data_of("SuperNI.seed = 'x'", "description")
    with pytest.raises(UserError, match="description:1: "):
        configuration.load_data_of("SuperNI.seed = (", "description")


def test_a_hostile_run_directory_executes_nothing(
    tmp_path: Path, mini_dir: Path, tiny_recipe: list[str], on_the_mini_benchmark: None
) -> None:
    """predict and rank of a MODEL_DIR whose description was written by somebody else."""
    run = tmp_path / "run"
    settings = {"TRAIN_STEPS": "1", "EVAL_PERIOD": "0", "DATA_DIR": str(mini_dir)}
    flags = [f"--gin.{name}={value}" for name, value in settings.items()]
    assert cli.main(["train", *tiny_recipe, *flags, f"--gin.MODEL_DIR={run}"]) == 0
    described = run / "checkpoints" / "1" / "description" / "metadata"
    content = json.loads(described.read_text())
    content["gin"] = f"import this_is_hostile\n{content['gin']}\nthis_is_hostile.f.x = @this.f()\n"
    described.write_text(json.dumps(content))
    shutil.rmtree(run / "checkpoints" / "1" / "checksums")  # or the change is refused
    (tmp_path / "this_is_hostile.py").write_text("raise SystemExit('it ran')\n")
    command = ["predict", "--model_dir", str(run), "--limit", "1", "--output", "out.jsonl"]
    done = subprocess.run(
        [sys.executable, "-m", "tk_instruct.cli", *command],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, sys.path)])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr.count("it ran")) == (0, 0), done.stderr
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 1


def test_a_model_larger_than_the_memory_is_refused(
    tmp_path: Path, on_the_mini_benchmark: None, capsys: pytest.CaptureFixture[str]
) -> None:
    huge = ["--gin.EMBED_DIM=131072", "--gin.MLP_DIM=1048576", f"--gin.MODEL_DIR={tmp_path}/run"]
    assert cli.main(["train", f"--gin_file={SMOKE}", *huge]) == 2
    assert "GB and this machine has" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_batch_larger_than_any_memory_is_refused(
    tmp_path: Path, on_the_mini_benchmark: None, capsys: pytest.CaptureFixture[str]
) -> None:
    huge = ["--gin.BATCH_SIZE=100000000", f"--gin.MODEL_DIR={tmp_path}/run"]
    assert cli.main(["train", f"--gin_file={SMOKE}", *huge]) == 2
    assert "17,600,000,000 positions, at most" in capsys.readouterr().err


def test_engine_functions_check_without_gin() -> None:
    for wrong in ({"learning_rate": -1.0}, {"learning_rate": 0.1, "weight_decay": 1.0}):
        with pytest.raises(UserError, match="must be in"):
            adafactor(**wrong)


def test_files_that_include_others_without_measure(tmp_path: Path) -> None:
    """Each the next one twice: 2**30 of them."""
    for number in range(30):
        include = f"include '{tmp_path}/{number + 1}.gin'\n"
        (tmp_path / f"{number}.gin").write_text(2 * include)
    (tmp_path / "30.gin").write_text("")
    with pytest.raises(UserError, match=r"0\.gin includes files .* more than 10 deep"):
        list(gin_files.read_file(str(tmp_path / "0.gin"), given=None))


def test_a_module_that_has_gone_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "old.gin").write_text("import tk_instruct.data.gone\n")
    words = ["train", f"--gin_file={tmp_path / 'old.gin'}", f"--gin.MODEL_DIR={tmp_path}"]
    assert cli.main(words) == 2
    said = "gin: there is no module tk_instruct.data.gone (any more); leave its import out"
    assert said in capsys.readouterr().err
