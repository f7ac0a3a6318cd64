"""Every shipped gin file sets what each engine's files use, and nothing else.

t5x's files are read here as text, because gin would import t5x; tests/t5x/ loads them really.
"""

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import gin
import pytest
from gin.config_parser import BindingStatement, ConfigParser, IncludeStatement, ParserDelegate

from tk_instruct import configuration
from tk_instruct.configuration.gin_files import open_file
from tk_instruct.errors import UserError

GIN = Path(__file__).parents[1] / "gin"
RECIPES = sorted((GIN / "recipes").glob("*.gin"))
# For our engine alone: t5x trains encoder-decoders. tests/t5x/ sees it refuse them.
DECODER_ONLY = {f"flan_{size}" for size in ("422m", "2b", "8b", "68b", "137b")}
FLAN = DECODER_ONLY | {f"flan_t5_{size}" for size in ("small", "base", "large", "xl", "xxl")}
# What a recipe can be changed with: --gin_file=recipes/… --gin_file=encodings/….
OVERLAYS = sorted([*(GIN / "encodings").glob("*.gin"), *(GIN / "models").glob("*_*.gin")])
OVERLAID = GIN / "recipes" / "tk_instruct_3b.gin"
ENGINES = {
    "runs/train.gin": ["MODEL_DIR"],
    "t5x/finetune.gin": ["MODEL_DIR"],
    "t5x/eval.gin": ["CHECKPOINT_PATH", "EVAL_OUTPUT_DIR"],
    "t5x/infer.gin": ["CHECKPOINT_PATH", "INFER_OUTPUT_DIR"],
}
"""Run files, and the macros that the command line sets for each."""
DATA = {f"tk_instruct.{name}" for name in ("SuperNI", "FLAN", "P3", "tfds_data_dir", "vocabulary")}


@dataclass
class Macros(ParserDelegate):
    """The macros that gin files set and use, their includes followed."""

    values: dict[str, Any] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    included: set[str] = field(default_factory=set)

    def configurable_reference(self, scoped_configurable_name: str, evaluate: bool) -> str:
        return f"@{scoped_configurable_name}"

    def macro(self, macro_name: str) -> str:
        self.used.add(macro_name)
        return f"%{macro_name}"

    def read(self, path: Path) -> "Macros":
        with open_file(str(path)) as file:
            for statement in ConfigParser(file, self):
                if isinstance(statement, IncludeStatement):
                    self.included.add(statement.filename)
                    self.read(GIN / statement.filename)
                elif isinstance(statement, BindingStatement) and not statement.arg_name:
                    self.values[statement.selector] = statement.value
        return self


@cache
def macros_of(run_file: str) -> Macros:
    return Macros().read(GIN / run_file)


def complaints(run_file: str, *recipes: Path) -> Iterator[str]:
    """What is wrong with the macros of recipes, read one after the other, for one engine."""
    engine, own = macros_of(run_file), Macros()
    for recipe in recipes:
        own.read(recipe)
    set_ = {*engine.values, *own.values, *ENGINES[run_file]}
    for name in sorted((engine.used | own.used) - set_):
        yield f"{name} is used, but not set"
    useful = own.used.union(*(macros_of(file).used for file in ENGINES))
    for name in sorted(own.values.keys() - useful):
        near = difflib.get_close_matches(name, useful, n=1)
        yield f"{name} is set, but not used; is {near} meant?"


@pytest.mark.parametrize(
    ("recipe", "run_file"),
    [
        pytest.param(recipe, run_file, id=f"{recipe.stem}-{run_file}")
        for recipe in RECIPES
        for run_file in ENGINES
        if run_file == "runs/train.gin" or recipe.stem not in DECODER_ONLY
    ],
)
def test_every_recipe_sets_what_an_engine_uses(recipe: Path, run_file: str) -> None:
    assert list(complaints(run_file, recipe)) == []


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_no_other_recipe_is_for_our_engine_alone(recipe: Path) -> None:
    ours_alone = "runs/decoder_only.gin" in Macros().read(recipe).included
    assert ours_alone == (recipe.stem in DECODER_ONLY)


@pytest.mark.parametrize("recipe", sorted(FLAN))
def test_flan_is_trained_as_published(recipe: str) -> None:
    found = Macros().read(GIN / "recipes" / f"{recipe}.gin").values
    first = re.search(r"checkpoint_(\d+)$", found.get("INITIAL_CHECKPOINT_PATH", ""))
    assert found["TRAIN_STEPS"] - int(first[1] if first else 0) == 30_000
    lengths = found["TASK_FEATURE_LENGTHS"]
    assert lengths == {"inputs": 1024, "targets": 256}
    assert found.get("BATCH_TOKENS", found.get("BATCH_SIZE", 0) * lengths["inputs"]) == 8192
    assert found["LEARNING_RATE"] == 3e-5


@pytest.mark.parametrize("size", ["3b", "11b"])
def test_t0_is_trained_as_published(size: str) -> None:
    found = Macros().read(GIN / "recipes" / f"t0_{size}.gin").values
    assert f"lm100k_{'xl' if size == '3b' else 'xxl'}/" in found["INITIAL_CHECKPOINT_PATH"]
    assert found["TRAIN_STEPS"] - 1_100_000 == 12_200
    lengths = found["TASK_FEATURE_LENGTHS"]
    assert lengths == {"inputs": 1024, "targets": 256}
    assert found["BATCH_SIZE"] * lengths["inputs"] == 2**20
    assert (found["LEARNING_RATE"], found["DROPOUT_RATE"]) == (1e-3, 0.1)
    assert found["MIXTURE_OR_TASK_NAME"] == "t0_train"


@pytest.mark.parametrize("run_file", ENGINES)
def test_what_changes_a_recipe_sets_what_an_engine_uses(run_file: str) -> None:
    assert len(OVERLAYS) > 40
    for path in OVERLAYS:
        assert list(complaints(run_file, OVERLAID, path)) == [], path


@pytest.mark.parametrize("run_file", ENGINES)
def test_a_misspelt_macro_fails(run_file: str, tmp_path: Path) -> None:
    text = (GIN / "recipes" / "smoke.gin").read_text()
    bad = tmp_path / "bad.gin"
    bad.write_text(text.replace("BATCH_SIZE", "BATCH_SZIE"))
    found = list(complaints(run_file, bad))
    assert "BATCH_SZIE is set, but not used; is ['BATCH_SIZE'] meant?" in found
    assert len(found) == (1 if run_file == "runs/train.gin" else 2)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_loads_on_our_engine(recipe: Path) -> None:
    from tk_instruct.train_run import TrainRun

    configuration.import_declarations()
    configuration.load("runs/train.gin", [str(recipe)], ["MODEL_DIR = 'x'"])
    assert gin.get_configurable(TrainRun)().model_dir == "x"
    of_data = {key: value for key, value in gin.config._CONFIG.items() if key[1] in DATA}
    assert len(of_data) == len(DATA)
    configuration.load_part("runs/tasks.gin", [str(recipe)], [])
    assert {key: gin.config._CONFIG[key] for key in of_data} == of_data


@pytest.mark.parametrize(
    "encoding", sorted((GIN / "encodings").glob("*.gin")), ids=lambda p: p.stem
)
def test_an_encoding_is_chosen_by_a_file(encoding: Path) -> None:
    from tk_instruct.train_run import TrainRun

    for recipe, track in (("tk_instruct_11b", "en"), ("mtk_instruct_13b", "xlingual")):
        configuration.import_declarations()
        files = [f"recipes/{recipe}.gin", f"encodings/{encoding.name}"]
        configuration.load("runs/train.gin", files, ["MODEL_DIR = 'x'"])
        run = gin.get_configurable(TrainRun)()
        assert run.mixture == f"superni_{track}_{encoding.stem}"


def test_every_encoding_has_a_file() -> None:
    from tk_instruct.tasks.superni.prompt import ENCODINGS

    assert {path.stem for path in (GIN / "encodings").glob("*.gin")} == set(ENCODINGS)


def test_a_misspelt_macro_does_not_load(tmp_path: Path) -> None:
    bad = tmp_path / "bad.gin"
    bad.write_text('include "recipes/smoke.gin"\nTRAIN_SETPS = 3\n')
    configuration.import_declarations()
    with pytest.raises(UserError, match="TRAIN_SETPS is used by nothing; did you mean TRAIN_STEPS"):
        configuration.load("runs/train.gin", [str(bad)], ["MODEL_DIR = 'x'"])


def test_both_engines_have_the_same_defaults() -> None:
    ours = Macros().read(GIN / "runs" / "train.gin").values
    for run_file in ENGINES:
        theirs = Macros().read(GIN / run_file).values
        shared = theirs.keys() & ours.keys()
        assert len(shared) >= 10
        assert {name: theirs[name] for name in shared} == {name: ours[name] for name in shared}


def test_t5x_reads_what_suites_say_as_our_engine_does() -> None:
    for file in ("runs/data.gin", "t5x/model.gin"):
        assert 'include "suites.gin"' in (GIN / file).read_text()
