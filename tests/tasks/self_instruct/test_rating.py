"""A sheet for people to rate, and what comes of it."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from tk_instruct import cli

INSTANCES = [("=1+1", "2"), ("", '- fine;\n"really"'), ("é", "@you"), ("four", "4")]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with instructions and the answers of two systems."""
    write(
        tmp_path / "instructions.jsonl",
        [
            {
                "id": f"task{number}",
                "motivation_app": "app",
                "instruction": f"Question {number}",
                "instances": [{"input": input_, "output": output}],
            }
            for number, (input_, output) in enumerate(INSTANCES)
        ],
    )
    for name in ("ours", "theirs"):
        rows = [
            {"id": f"task{number}", "task": "t", "prediction": f"{name} = {number}"}
            for number in range(len(INSTANCES))
        ]
        write(tmp_path / f"{name}.jsonl", rows)
    return tmp_path


def evaluate(*arguments: str | Path) -> int:
    return cli.main(["evaluate", "--suite", "user_oriented", *map(str, arguments)])


def make(files: Path, name: str = "sheet.csv", *arguments: str) -> int:
    systems = [f"--system={system}={files / system}.jsonl" for system in ("ours", "theirs")]
    instructions = ("--user_oriented", files / "instructions.jsonl")
    return evaluate(*instructions, "--sheet", files / name, *systems, *arguments)


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def fill(path: Path, ratings: dict[str, str], delimiter: str = ",") -> None:
    """As a spreadsheet saves it: no byte-order mark, quotes where they are needed."""
    rows = read(path)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows({**row, "rating": ratings.get(row["id"], "")} for row in rows)


def test_the_sheet(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert make(files) == 0
    assert "8 rows (4 instructions × 2 systems)" in capsys.readouterr().out
    rows = read(files / "sheet.csv")
    assert list(rows[0]) == ["id", "instruction", "input", "reference", "response", "rating"]
    assert [row["id"] for row in rows] == [f"task{n}_{k}" for n in range(4) for k in (1, 2)]
    key = json.loads((files / "sheet.key.json").read_text())
    for row in rows:
        number = int(row["id"][4])
        assert row["response"] == f"{key['rows'][row['id']]} = {number}"
        assert row["instruction"] == f"Question {number}"
        assert row["rating"] == ""
    assert {key["rows"][f"task{n}_1"] for n in range(4)} == {"ours", "theirs"}  # no fixed order
    guide = (files / "sheet.guide.md").read_text()
    assert all(f"\n| {rating} | " in guide for rating in "ABCD")
    assert "ours" not in (files / "sheet.csv").read_text(encoding="utf-8-sig").split("\n")[0]


def test_spreadsheets_read_texts_as_texts(files: Path) -> None:
    make(files)
    content = (files / "sheet.csv").read_bytes()
    assert content.startswith(b"\xef\xbb\xbf")
    first, _, second, _, third = read(files / "sheet.csv")[:5]
    assert first["input"] == "'=1+1"
    assert second["reference"] == '\'- fine;\n"really"'
    assert (third["input"], third["reference"]) == ("é", "'@you")
    for row in read(files / "sheet.csv"):
        assert not any(cell.startswith(("=", "+", "-", "@")) for cell in row.values())


def test_the_order_is_of_the_seed(files: Path) -> None:
    for name, seed in (("a.csv", "0"), ("b.csv", "0"), ("c.csv", "1")):
        make(files, name, "--seed", seed)
    a, b, c = ((files / f"{name}.csv").read_bytes() for name in "abc")
    assert a == b != c


def test_a_sheet_is_never_overwritten(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(files)
    fill(files / "sheet.csv", {"task0_1": "A"})
    assert make(files) == 2
    assert "is there already, perhaps with ratings" in capsys.readouterr().err
    assert read(files / "sheet.csv")[0]["rating"] == "A"
    sheet = files / "sheet.csv"
    sheet.rename(files / "rated.csv")
    assert make(files, "sheet.csv", "--seed", "1") == 2
    assert "sheet.key.json is the key of another sheet" in capsys.readouterr().err
    assert make(files) == 0  # as after a kill between the two files
    assert evaluate("--ratings", sheet, "--json", sheet) == 2
    assert "is another file of this command" in capsys.readouterr().err
    key = (files / "sheet.key.json").read_bytes()
    (files / "link").symlink_to("sheet.key.json")
    for name in ("sheet.key.json", "sheet.guide.md", "link"):
        assert evaluate("--ratings", sheet, "--json", f"{files}/{name}") == 2
        assert "is another file of this command" in capsys.readouterr().err
    assert (files / "sheet.key.json").read_bytes() == key


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_ratings_are_counted(
    delimiter: str, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(files)
    key = json.loads((files / "sheet.key.json").read_text())["rows"]
    given = {"ours": "AaB ", "theirs": "DDCA"}
    ratings = {row: given[system][int(row[4])] for row, system in key.items()}
    fill(files / "sheet.csv", ratings, delimiter)
    capsys.readouterr()
    assert evaluate("--ratings", files / "sheet.csv", "--json", files / "counts.json") == 0
    assert capsys.readouterr().out.splitlines() == [
        "system           rated             A             B             C             D",
        "ours                 3    2 (66.7 %)    1 (33.3 %)     0 (0.0 %)     0 (0.0 %)",
        "  95 % interval         0.0 to 100.0  0.0 to 100.0    0.0 to 0.0    0.0 to 0.0",
        "theirs               4    1 (25.0 %)     0 (0.0 %)    1 (25.0 %)    2 (50.0 %)",
        "  95 % interval         0.0 to 100.0    0.0 to 0.0  0.0 to 100.0  0.0 to 100.0",
        "partial: 7 of 8 rows are rated; systems are compared fairly where the same instructions "
        "are",
    ]
    counted = json.loads((files / "counts.json").read_text())
    assert counted["systems"]["theirs"] == {
        "rows": 4,
        "rated": 4,
        "counts": {"A": 1, "B": 0, "C": 1, "D": 2},
        "shares": {"A": 25.0, "B": 0.0, "C": 25.0, "D": 50.0},
        # The standard error of a share p of n is √(p (1 - p) / (n - 1)).
        "shares_stderr": {"A": 25.0, "B": 0.0, "C": 25.0, "D": 28.87},
        "shares_ci95": {"A": [0.0, 100.0], "B": [0.0, 0.0], "C": [0.0, 100.0], "D": [0.0, 100.0]},
    }
    assert (counted["unrated"], counted["missing"]) == (1, [])


def test_a_response_may_be_of_any_length(files: Path) -> None:
    rows = [{"id": f"task{number}", "prediction": "a" * 200_000} for number in range(4)]
    write(files / "ours.jsonl", rows)
    make(files)
    limit = csv.field_size_limit(1 << 20)
    fill(files / "sheet.csv", {"task0_1": "A"})
    csv.field_size_limit(limit)
    assert evaluate("--ratings", files / "sheet.csv") == 0


@pytest.mark.parametrize("end", ["\r", "\r\n"])
def test_a_sheet_with_the_ends_of_lines_of_other_machines(
    end: str, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(files)
    rows = [
        ["id", "response", "rating"],
        *([f"task{n}_{k}", "a, b, c, d", "B"] for n in range(4) for k in (1, 2)),
    ]
    text = end.join(";".join(row) for row in rows)
    (files / "sheet.csv").write_bytes(text.encode())
    capsys.readouterr()
    assert evaluate("--ratings", files / "sheet.csv") == 0
    assert "4 (100.0 %)" in capsys.readouterr().out


def test_answers_that_have_no_ids_are_told_by_their_instructions(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = [
        {"prompt": "…", "instruction": f" Question {n}\n", "input": input_, "response": f"{n}."}
        for n, (input_, _) in enumerate(INSTANCES)
    ]
    write(files / "ours.jsonl", answers)
    assert make(files) == 0
    key = json.loads((files / "sheet.key.json").read_text())["rows"]
    found = {row["id"]: row["response"] for row in read(files / "sheet.csv")}
    assert {found[row] for row, system in key.items() if system == "ours"} == {
        "0.",
        "1.",
        "2.",
        "3.",
    }
    capsys.readouterr()
    write(files / "ours.jsonl", [{**answers[0], "input": "other"}])
    assert make(files, "b.csv") == 2
    assert "with this input is in no line of the instructions; remove" in capsys.readouterr().err
    write(files / "ours.jsonl", [*answers, answers[0]])
    assert make(files, "b.csv") == 2
    assert "ours.jsonl:5: instruction" in (err := capsys.readouterr().err)
    assert "answered before; remove" in err


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ([], "the document is [] but must be an object; give the key that was written"),
        ({"rows": {}}, "systems is missing; give the key that was written with the sheet"),
        ({"rows": {"a": 1}, "systems": ["s"]}, "rows[...] must be a string; give the key"),
        ({"rows": {"a": "t"}, "systems": ["s"]}, "rows.a is 't', none of its systems; give the"),
    ],
)
def test_bad_keys(key: Any, message: str, files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(files)
    (files / "sheet.key.json").write_text(json.dumps(key))
    assert evaluate("--ratings", files / "sheet.csv") == 2
    assert message in capsys.readouterr().err


def test_rows_that_are_missing_are_told(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(files)
    fill(files / "sheet.csv", {"task0_1": "A", "task0_2": "B", "task3_1": "C"})
    lines = (files / "sheet.csv").read_text(encoding="utf-8").split("task3_")
    (files / "part.csv").write_text(lines[0], encoding="utf-8")
    arguments = ("--ratings", files / "part.csv", "--key", files / "sheet.key.json")
    assert evaluate(*arguments) == 0
    out = capsys.readouterr().out
    assert "not in the sheet: 2 ids (task3_1, task3_2)" in out
    assert "partial: 2 of 8 rows are rated" in out
    assert evaluate(*arguments[:2]) == 2
    assert "give the key that was written with the sheet by --key" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (("task1_2,", "task0_1,"), "id 'task0_1' is there twice; remove one of the rows"),
        (("task1_2,", "task9_2,"), "id 'task9_2' is not in the key"),
        (("= 1,A", "= 1,E"), "id 'task1_1': rating='E' must be A, B, C or D, or empty"),
        (("= 1,A", "= 1,AB"), "id 'task1_1': rating='AB' must be A, B, C or D, or empty"),
        (("= 1,A", "= 1,"), "holds no ratings; write A, B, C or D into its last column"),
        (("rating", "grade"), "there must be an id and a rating"),
    ],
)
def test_bad_ratings(
    changed: tuple[str, str], message: str, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(files)
    fill(files / "sheet.csv", {"task1_1": "A"})
    text = (files / "sheet.csv").read_text(encoding="utf-8")
    assert changed[0] in text
    (files / "sheet.csv").write_text(text.replace(*changed), encoding="utf-8")
    assert evaluate("--ratings", files / "sheet.csv") == 2
    assert message in capsys.readouterr().err


def test_predictions_must_be_of_every_instruction(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = (files / "ours.jsonl").read_text().splitlines(keepends=True)
    (files / "ours.jsonl").write_text("".join(lines[:2]))
    assert make(files) == 2
    assert "2 ids (task2, task3) have no prediction; predict them" in capsys.readouterr().err
    (files / "ours.jsonl").write_text("".join(lines) + '{"id": "other", "prediction": ""}\n')
    assert make(files) == 2
    assert "1 ids (other) are no instructions of the file" in capsys.readouterr().err
    assert not (files / "sheet.csv").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give one of the two"),
        (("--sheet", "a.csv", "--ratings", "b.csv"), "give one of the two"),
        (("--sheet", "a.csv"), "no user-oriented instructions are given; set --user_oriented"),
        (("--ratings", "nowhere.csv"), "nowhere.key.json is not there"),
    ],
)
def test_wrong_use(
    arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(*arguments) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("systems", "message"),
    [
        ([], "no system is given; give --system NAME=PREDICTIONS.jsonl"),
        (["ours.jsonl"], "--system=ours.jsonl must be NAME=FILE"),
        (["a=x", "a=y"], "--system=a=… is given twice"),
    ],
)
def test_wrong_systems(
    systems: list[str], message: str, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [f"--system={system}" for system in systems]
    sheet = ("--user_oriented", files / "instructions.jsonl", "--sheet", files / "s.csv")
    assert evaluate(*sheet, *arguments) == 2
    assert message in capsys.readouterr().err


def test_the_published_instructions(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = shared_data / "self-instruct" / "human_eval" / "user_oriented_instructions.jsonl"
    rows = [{"id": f"user_oriented_task_{k}", "prediction": f"={k}"} for k in range(252)]
    predictions = write(tmp_path / "p.jsonl", rows)
    sheet = tmp_path / "sheet.csv"
    systems = (f"--system=a={predictions}", f"--system=b={predictions}")
    assert evaluate("--user_oriented", path, "--sheet", sheet, *systems) == 0
    fill(sheet, {row["id"]: "A" for row in read(sheet)})
    assert evaluate("--ratings", sheet) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[-4].split()[:5] == ["a", "252", "252", "(100.0", "%)"]
    assert "partial" not in out


def test_the_published_answers(shared_data: Path, tmp_path: Path) -> None:
    data = shared_data / "self-instruct"
    answers = sorted((data / "human_eval_predictions").glob("*.jsonl"))
    assert len(answers) == 8
    instructions = data / "human_eval" / "user_oriented_instructions.jsonl"
    systems = [f"--system={path.stem}={path}" for path in answers]
    assert evaluate("--user_oriented", instructions, "--sheet", tmp_path / "s.csv", *systems) == 0
    responses = [row["response"] for row in read(tmp_path / "s.csv")]
    assert len(responses) == 8 * 252
    # T0-tuned 48, SuperNI-tuned 1, both 2, and those of white space alone.
    assert responses.count("") >= 51
