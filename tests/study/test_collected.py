"""Scores of a study: means over seeds, what is missing, published values, fits."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from example_study import write
from scipy import stats

from tk_instruct.errors import UserError
from tk_instruct.study import collected, done, file, text
from tk_instruct.study.runs import runs_of

PUBLISHED = """
[[published_rows]]
suite = "superni"
where = { table = "Table 4", trained_encoding = "pos1" }
at = { encoding = "{encoding}" }
system = "Theirs"

[[evaluation]]"""


def score(path: Path, runs: Path, only: int = 99) -> dict[tuple[str, str, int], float]:
    """Writes scores as if all had been evaluated; (model, encoding, seed) → ROUGE-L."""
    found = {}
    for run in runs_of(file.read(path))[:only]:
        folder = file.Path(runs / run.name)
        scores = iter(run.scored)
        for command in run.commands:
            output = folder / command.output
            output.parent.mkdir(parents=True, exist_ok=True)
            if command.verb == "evaluate":
                point = next(scores).point
                key = (point["model"], point["encoding"], point["seed"])
                found[key] = 10 + 7 * (key[0] == "base") + 3 * (key[1] == "def") + key[2] ** 2
                content = {"rougeL": found[key], "rougeL_stderr": 1.0, "rougeL_ci95": [1.0, 99.0]}
                output.write_text(json.dumps({**content, "num_examples": 5, "published": []}))
            else:
                output.write_text("")
            done.keep(folder, done.ended(command, folder, 0, 1.0))
    return found


def test_means_over_seeds_with_their_interval(tmp_path: Path) -> None:
    path = write(tmp_path, ("[0, 1]", "[0, 1, 2]"))
    scores = score(path, tmp_path)
    found = collected(path, tmp_path)
    assert [axis.name for axis in found.axes] == ["model", "encoding"]
    assert found.num_missing == 0
    assert len(found.cells) == 4
    for cell in found.cells:
        model, encoding = cell.point.values()
        values = np.array([scores[model, encoding, seed] for seed in (0, 1, 2)])
        mean = cell.scores["rougeL"]
        margin = stats.t.ppf(0.975, 2) * values.std(ddof=1) / 3**0.5
        assert mean.num_runs == 3
        assert mean.score == pytest.approx(
            (values.mean(), values.mean() - margin, values.mean() + margin)
        )
        assert cell.scores["num_examples"].score.value == 5
        assert len(cell.runs) == 3


def test_one_seed_has_the_interval_of_its_evaluation(tmp_path: Path) -> None:
    path = write(tmp_path, ("[0, 1]", "[0]"))
    score(path, tmp_path)
    cell = collected(path, tmp_path).cells[0]
    assert cell.scores["rougeL"].score == (13, 1.0, 99.0)
    assert cell.scores["rougeL"].num_runs == 1


def test_repeats_that_only_evaluations_use(tmp_path: Path) -> None:
    """They are averaged, too; those with the same file of scores are one."""
    seeds = ("[0, 1]", "[0, 1, 2]")
    path = write(
        tmp_path,
        seeds,
        ('RANDOM_SEED = "{seed}"', ""),
        (
            "task =",
            """predict_flags = ["--seed={seed}"]
task =""",
        ),
    )
    scores = score(path, tmp_path)
    for cell in collected(path, tmp_path).cells:
        model, encoding = cell.point.values()
        values = [scores[model, encoding, seed] for seed in (0, 1, 2)]
        assert cell.scores["rougeL"].num_runs == 3
        assert cell.scores["rougeL"].score.value == pytest.approx(np.mean(values))
        assert len(cell.runs) == 1
    path = write(tmp_path, ('RANDOM_SEED = "{seed}"', 'LOG_PERIOD = "1{seed}"'))
    score(path, tmp_path)
    assert collected(path, tmp_path).cells[0].scores["rougeL"].num_runs == 1


def test_what_is_missing_is_counted(tmp_path: Path) -> None:
    path = write(tmp_path)
    score(path, tmp_path, only=1)
    found = collected(path, tmp_path)
    assert [cell.num_missing for cell in found.cells] == [1, 1, 2, 2]
    assert [len(cell.scores) for cell in found.cells] == [2, 2, 0, 0]
    assert "6 evaluations are not done" in text.scores(found)
    assert found.fits == ()


def test_a_metric_that_evaluations_do_not_have(tmp_path: Path) -> None:
    path = write(tmp_path, ('["rougeL"]', '["rougel"]'))
    assert not collected(path, tmp_path).cells[0].scores  # nothing is known yet
    score(path, tmp_path, only=1)
    with pytest.raises(UserError, match=r"metrics: rougel is no score .*; did you mean rougeL\?"):
        collected(path, tmp_path)


def test_a_fit_along_a_logarithmic_axis(tmp_path: Path) -> None:
    path = write(tmp_path)
    score(path, tmp_path)
    found = collected(path, tmp_path)
    (of_def, of_pos2) = found.fits
    assert (of_def.metric, of_def.axis, of_def.point) == ("rougeL", "model", {"encoding": "def"})
    assert of_pos2.point == {"encoding": "pos2"}
    assert of_def.line.slope.value == pytest.approx(7 / np.log10(248 / 77))
    assert "rougeL along size (encoding=def): +13.78 for ten times as much" in text.scores(found)


def test_published_rows_lie_where_their_columns_say(tmp_path: Path) -> None:
    path = write(tmp_path, ("\n[[evaluation]]", PUBLISHED), ('"pos2"]', '"pos1"]'))
    score(path, tmp_path)
    found = collected(path, tmp_path)
    assert {(each.point["encoding"], each.value) for each in found.published} == {
        ("def", 22.1),
        ("pos1", 43.9),
    }
    (each,) = found.published_at({"model": "base", "encoding": "pos1"}, "rougeL")
    assert (each.system, each.source) == ("Theirs", "Table 4, arXiv:2204.07705")
    shown = text.scores(found)
    assert "43.9 (Theirs)" in shown
    assert shown.endswith("published: Table 4, arXiv:2204.07705")
    lines = list(csv.DictReader(io.StringIO(text.scores_as_csv(found))))
    assert len(lines) == 4 + 2
    assert lines[-1]["model"] == ""
    assert json.loads(json.dumps(text.scores_as_json(found)))["published"][0]["system"] == "Theirs"
    wrong = write(
        tmp_path, ("\n[[evaluation]]", PUBLISHED.replace('"{encoding}" }', '"{encodign}" }'))
    )
    with pytest.raises(UserError, match="must name columns of the suite's published scores, which"):
        collected(wrong, tmp_path)


def test_several_evaluations_have_their_names(tmp_path: Path) -> None:
    evaluation = '[[evaluation]]\nsuite = "superni"\ntask = "superni_en_{encoding}"\n'
    named = evaluation.replace("]]\n", ']]\nname = "test"\n')
    other = evaluation.replace("]]\n", ']]\nname = "dev"\nsplit = "dev"\n')
    path = write(tmp_path, (evaluation, named + other), ('["rougeL"]', '["test:rougeL"]'))
    found = collected(path, tmp_path)
    assert found.num_missing == 2 * 8
