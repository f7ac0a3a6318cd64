"""The file of a study: what it may say, and the shipped ones."""

from pathlib import Path

import pytest
from example_study import write

from tk_instruct.configuration import gin_files
from tk_instruct.errors import UserError
from tk_instruct.study import file, study_of

SHIPPED = sorted((gin_files.shipped() / "studies").glob("*.toml"))


def test_a_study_is_told_from_a_run(tmp_path: Path) -> None:
    assert study_of(tmp_path) is None
    assert study_of(tmp_path / "scores.json") is None
    found = study_of(write(tmp_path))
    assert found is not None
    assert [axis.name for axis in found.axes] == ["model", "encoding", "seed"]
    assert found.axis("model").x_of("base") == 248e6
    assert found.recipes == ("recipes/tk_instruct_{model}.gin",)


def test_settings_are_texts_of_gin(tmp_path: Path) -> None:
    study = file.read(write(tmp_path, ("[settings]", '[settings]\nUSED = true\nA = "x {seed}"')))
    assert file.settings_of(study) == {
        "USED": "True",
        "A": "x {seed}",
        "RANDOM_SEED": "{seed}",
        "TrainRun.steps": "10",
        "TASK_FEATURE_LENGTHS": "{'inputs': 64, 'targets': 8}",
    }
    assert file.filled("{'a': 1} {seed}-{model}", {"seed": 3, "model": "b"}) == "{'a': 1} 3-b"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("title =", "titel =", "titel is no field that is known; a study has title, recipe"),
        ('name = "model"', 'nmae = "model"', "axis[0].nmae is no field that is known"),
        ('title = "Example"', "", "title is missing"),
        ("values = [0, 1]", "values = []", "values"),
        ("values = [0, 1]", "values = [0, 0]", "axis seed: 0 is twice among the values"),
        ("values = [0, 1]", 'values = [0, "0"]', "axis seed: 0 is twice among the values"),
        ('name = "encoding"', 'name = "seed"', "two axes are called seed"),
        ("x = [77e6, 248e6]", "x = [77e6]", "axis model: 1 x must be as many as the 2 values"),
        ("x = [77e6, 248e6]", "", "values of a numeric axis must be numbers"),
        ("x = [77e6, 248e6]", "x = [0, 1]", "on a logarithmic axis must be above 0"),
        ('scale = "log"', "", 'x is of a numeric axis; give scale = "log" or "linear"'),
        ("repeats = true", 'repeats = true\nscale = "linear"', "it has no scale"),
        ('"{seed}"', "0", "the axis seed changes nothing: no {seed} stands in recipe"),
        ('"{seed}"', '"{sede}"', "RANDOM_SEED='{sede}': {sede} is no axis; there are model"),
        ('"superni"', '"super"', "evaluation.suite='super' must be one of flan, "),
        ('task = "superni_en_{encoding}"', 'predict_flags = ["--limit={encoding}"]', "with a task"),
        ("[settings]", '[settings]\nMODEL_DIR = "x"', "MODEL_DIR is for the study to set"),
        ("task =", 'evaluate_flags = ["x"]\ntask =', "flag 'x' must be one word, --NAME=VALUE"),
        # argparse takes the beginning of a flag for the flag.
        ("task =", 'predict_flags = ["--impor=os"]\ntask =', "--impor=os is for the study to set"),
        ("task =", 'evaluate_flags = ["--json=x"]\ntask =', "--json=x is for the study to set"),
        ("task =", 'name = "a"\n[[evaluation]]\nsuite = "flan"\ntask =', "need a name each"),
        ("[[axis]]", "[[axis]", "not TOML"),
        (
            "[[evaluation]]",
            '[[published]]\nat = {seed = 7}\nsystem = "a"\nmetric = "b"\nvalue = 1\n'
            'source = "c"\n[[evaluation]]',
            "published.at: seed=7 is none of the axis's values",
        ),
        (
            "[[evaluation]]",
            '[[published]]\nat = {seed = 0}\nsystem = "a"\nmetric = "b"\nvalue = 1\n'
            'source = "c"\n[[evaluation]]',
            "published: at has seed, over which scores are averaged; leave it out",
        ),
        (
            "[[evaluation]]",
            '[[published_rows]]\nsuite = "superni"\nwhere = {}\nat = {sed = 7}\n[[evaluation]]',
            "published: at has sed, which is no axis; there are model, encoding, seed",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_repair(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    path = write(tmp_path)
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(UserError) as caught:
        file.read(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)


def test_a_study_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nor among the shipped studies \(studies/flan_ladder"):
        file.read(tmp_path / "none.toml")


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_study_opens_with_its_command(path: Path) -> None:
    comment = [line for line in path.read_text().splitlines() if line.startswith("#")]
    assert any(f"tk-instruct study run studies/{path.name}" in line for line in comment)
    assert file.read(f"studies/{path.name}") == file.read(path)
