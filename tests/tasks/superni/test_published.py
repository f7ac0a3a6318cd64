"""The shipped published scores are those of the papers, and the setting of ours is told."""

import csv
import json
from collections import Counter
from pathlib import Path

import pytest

from tk_instruct import cli
from tk_instruct.published import as_text, compare_with
from tk_instruct.tasks.superni import published
from tk_instruct.tasks.superni.prompt import ENCODINGS
from tk_instruct.tasks.superni.published import rows, setting_of
from tk_instruct.tasks.superni.records import TRACKS

ENCODINGS_OF_THE_PAPER = {
    "Task ID": "task_name",
    "Def": "def",
    "Pos(1)": "pos1",
    "Def+Pos(1)": "def_pos1",
    "Pos(2)": "pos2",
    "Def+Pos(2)": "def_pos2",
    "Def+Pos(2)+Neg(2)": "def_pos2_neg2",
    "Def+Pos(2)+Neg(2)+Expl": "def_pos2_neg2_expl",
    "Pos(4)": "pos4",
    "Def+Pos(4)": "def_pos4",
}
WHOLE = [f"task{k % 119}" for k in range(11_810)]


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if "ROUGE-L" in row["metric"] and row["value"]]


def test_the_scores_are_the_papers(shared_data: Path) -> None:
    """But for averages of the table of encodings, which are not those of its columns."""
    printed_rows = [
        row
        for row in rows_of(shared_data / "published" / "superni.csv")
        if "average" not in row["dataset_or_category"]
    ]
    printed_rows += [
        row
        for row in rows_of(shared_data / "published" / "self_instruct.csv")
        if row["table"] == "Table 3"
    ]
    printed = Counter(
        (row["paper"], row["table"].split(" table of")[0], float(row["value"]))
        for row in printed_rows
    )
    shipped = Counter(
        (score.paper, score.table.split(" of ")[0], float(score.value)) for score in rows()
    )
    assert shipped == printed
    assert len(rows()) == 139


def test_the_table_of_encodings(shared_data: Path) -> None:
    found = {
        (of["trained_encoding"], of["encoding"]): score.value
        for score in rows()
        if (of := score.setting) and score.table == "Table 4"
    }
    assert len(found) == 100
    for row in rows_of(shared_data / "published" / "superni.csv"):
        tested = row["dataset_or_category"].removeprefix("tested ")
        if row["table"] == "Table 4" and tested in ENCODINGS_OF_THE_PAPER:
            trained = row["setting"].removeprefix("trained ")
            names = ENCODINGS_OF_THE_PAPER[trained], ENCODINGS_OF_THE_PAPER[tested]
            assert found[names] == row["value"]


def test_settings_are_told_in_the_suites_own_names() -> None:
    for score in rows():
        assert score.setting["track"] in TRACKS
        assert score.setting.get("encoding", "def") in {*ENCODINGS, "not said"}
        assert score.setting.get("trained_encoding", "def") in ENCODINGS
        assert (score.part, score.metric) == ("", "rougeL")


@pytest.mark.parametrize(
    ("predicted", "encoding"),
    [
        ("superni_en_def_pos2", "def_pos2"),
        ("superni_en_tk_instruct", "tk_instruct"),
        ("superni_def_pos2", "def_pos2"),
        ("superni_xlingual_def_pos2", None),
        ("superni_default_def_pos2", None),
        ("mine", None),
        (None, None),
    ],
)
def test_the_encoding_is_that_of_the_predicted_task(
    predicted: str | None, encoding: str | None
) -> None:
    assert setting_of("default", WHOLE, predicted=predicted).get("encoding") == encoding


def test_which_instances_are_scored() -> None:
    def instances(*args: int, track: str = "default") -> str:
        num_instances, num_missing = args
        return setting_of(track, WHOLE[:num_instances], num_missing)["instances"]

    assert instances(11_810, 0) == "the first 100 a task"
    assert instances(11_810, 1) == "11,810, 1 of them not predicted"
    assert instances(11_809, 0) == "11,809 of 119 tasks"
    assert instances(2, 0) == "2 of 2 tasks"
    assert instances(3_500, 0, track="xlingual") == "3,500 of 119 tasks"


def test_the_same_setting_is_that_of_the_released_files() -> None:
    scores = {("", "rougeL"): 54.0}
    setting = setting_of("default", WHOLE, predicted="superni_en_def_pos2")
    same, others = compare_with(rows(), setting, scores)
    source = "README of yizhongw/Tk-Instruct, arXiv:2204.07705"
    assert as_text(same, []).replace(source, "README") == (
        "published, of the same setting\n"
        "system                  metric  published   here  source\n"
        "Copying instance input  rougeL      14.20  54.00  README\n"
        "Copying demo output     rougeL      28.54  54.00  README\n"
        "T5-LM 11B               rougeL      30.16  54.00  README\n"
        "GPT-3 175B              rougeL      45.05  54.00  README\n"
        "T0 11B                  rougeL      32.28  54.00  README\n"
        "GPT3-Instruct 175B      rougeL      52.06  54.00  README\n"
        "Tk-Instruct 3B          rougeL      54.33  54.00  README\n"
        "Tk-Instruct 11B         rougeL      60.07  54.00  README"
    )
    paper = next(each for each in others if each.published.system == "Tk-Instruct 11B")
    assert paper.published.value == "62.0"
    assert [each.name for each in paper.differs] == ["instances"]


def test_predictions_of_a_foreign_file_are_comparable_with_heuristics_alone() -> None:
    same, others = compare_with(rows(), setting_of("default", WHOLE), {("", "rougeL"): 54.0})
    assert {each.published.system for each in same} == {
        "Copying instance input",
        "Copying demo output",
    }
    assert [(each.published.value, *each.differs) for each in others][:2] == [
        ("30.16", ("encoding", "def_pos2", None)),
        ("45.05", ("encoding", "def_pos2", None)),
    ]


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    """Scores two predictions in a file that is named as predict names it."""
    references, predictions = [], []
    for number in range(2):
        id_ = f"task1-{number}"
        about = {"task_id": "task1_a", "task_category": "Word Analogy", "references": ["yes"]}
        references.append({"id": id_, "track": "default", **about})
        predictions.append({"id": id_, "prediction": "yes"})
    words = []
    for flag, name, lines in (
        ("references", "references.jsonl", references),
        ("predictions", "superni_en_pos1-test-9.jsonl", predictions),
    ):
        path = tmp_path / name
        path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
        words.append(f"--{flag}={path}")
    return ["evaluate", *words]


def test_they_are_shown_where_they_are_asked_for(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(command) == 0
    plain = capsys.readouterr().out
    assert "published" not in plain
    assert cli.main([*command, "--published"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(plain.rstrip())
    tables = shown.removeprefix(plain.rstrip()).strip().split("\n\n")
    assert tables[0] == "no score is published of the same setting"
    assert [table.splitlines()[0] for table in tables[1:]] == [
        "published, of another setting: instances (here 2 of 1 task)",
        "published, of another setting: trained_encoding (here unknown), instances (here 2 of 1 "
        "task)",
        "and 114 more of other settings, which are no nearer",
    ]
    assert tables[2].splitlines()[1:3] == [
        "system          trained_encoding                      instances  metric  published    "
        "here  source",
        "Tk-Instruct 3B  task_name           100 a task, an earlier draw  rougeL       16.8  "
        "100.00  Table 4, arXiv:2204.07705",
    ]
    assert "xlingual" not in shown


def test_flat_scores_have_them_only_where_they_are_asked_for(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    scores = run / "scores" / "superni_en_pos1-test-9.json"
    scores.parent.mkdir(parents=True)
    assert cli.main([*command, f"--json={scores}"]) == 0
    plain = json.loads(scores.read_text())
    capsys.readouterr()
    assert cli.main(["report", str(run)]) == 0
    shown = capsys.readouterr().out
    assert cli.main([*command, f"--json={scores}", "--published"]) == 0
    found = json.loads(scores.read_text())
    rows = found.pop("published")
    assert found == plain
    assert len(rows) == sum(row.setting["track"] == "default" for row in published.rows())
    assert rows[0]["ours"] == 100.0
    capsys.readouterr()
    assert cli.main(["report", str(run)]) == 0
    assert capsys.readouterr().out == shown
