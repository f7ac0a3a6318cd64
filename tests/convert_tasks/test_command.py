"""`tk-instruct convert-tasks`: from files to task files that are read, checked and trained on."""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tk_instruct import cli, convert_tasks, suite
from tk_instruct.convert_tasks.findings import (
    EMPTY,
    IN_DEFINITION,
    IN_INPUT,
    MERGED,
    ORIGINALS,
    REPEATED,
    SHOWN,
)
from tk_instruct.convert_tasks.instructions import FOLLOW
from tk_instruct.convert_tasks.task_file import TaskFile
from tk_instruct.errors import UserError
from tk_instruct.suite import Suite, TaskForm

DEFINE = ("--definition", "Say what it is.")


def write_lines(path: Path, *records: Any) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def convert(*words: str | Path) -> int:
    return cli.main(["convert-tasks", *map(str, words)])


def tasks(folder: Path) -> dict[str, dict[str, Any]]:
    files = sorted((folder / "tasks").iterdir())
    return {path.stem: json.loads(path.read_bytes()) for path in files}


def rows(task: dict[str, Any]) -> list[tuple[str, list[str]]]:
    return [(instance["input"], instance["output"]) for instance in task["Instances"]]


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs the command, which must refuse; gives what it says."""

    def run(*words: str | Path) -> str:
        assert convert(*words) == 2
        return capsys.readouterr().err

    return run


@pytest.fixture
def findings(capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """Runs the command; gives kind → (number, places) of what it finds."""

    def run(*words: str | Path) -> dict[str, Any]:
        capsys.readouterr()
        assert convert(*words, "--json") == 0
        told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        return {each["finding"]: (each["count"], each["places"]) for each in told}

    return run


# Tables


def test_a_strangers_csv_is_checked_and_trained_on(
    tmp_path: Path, tiny_recipe: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    reviews, good, bad = (tmp_path / f"{name}.csv" for name in ("Reviews 1", "good", "bad"))
    lines = [f'"The film, no. {k + 10}, was {("fine", "dull")[k % 2]}.",{k % 2}' for k in range(30)]
    reviews.write_bytes("\r\n".join(["\ufeffReview,Label", *lines, ""]).encode())
    good.write_text("input,output,explanation\nA joy.,0,It is praise.\nA bore.,1,It is not.\n")
    bad.write_text("input,output,explanation\nA joy.,bad,A label is a number.\n")
    columns = ("--input_column=Review", "--output_column=Label")
    about = (
        "--definition=Write 0 for praise, else 1.",
        "--category=Sentiment Analysis",
        "--source=films",
        "--domain=Reviews",
    )
    folder = tmp_path / "tasks of mine"
    examples = (f"--positive={good}", f"--negative={bad}", "--strict")
    assert convert(reviews, "--output", folder, *columns, *about, *examples) == 0
    said = capsys.readouterr()
    assert said.out == (
        f"1 task, 30 instances in {folder}; listed in splits/default/train_tasks.txt, "
        "splits/xlingual/train_tasks.txt\n"
        f"check: tk-instruct tasks doctor --data_dir '{folder}'\n"
    )
    assert cli.main(["tasks", "doctor", f"--data_dir={folder}"]) == 0
    data = {
        "MIXTURE_OR_TASK_NAME": "superni_en_def",
        "DATA_DIR": folder,
        "VOCABULARY": "bytes",
        "TRAIN_STEPS": 2,
        "EVAL_PERIOD": 0,
        "MODEL_DIR": tmp_path / "run",
    }
    words = ["train", *tiny_recipe, *(f"--gin.{name}={value}" for name, value in data.items())]
    assert cli.main(words) == 0
    assert (tmp_path / "run" / "checkpoints" / "2").is_dir()


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "input": st.text().filter(str.strip),
                "outputs": st.lists(
                    st.text().filter(str.strip) | st.integers() | st.booleans(), min_size=1
                ),
            }
        ),
        min_size=1,
        unique_by=lambda row: row["input"],
    )
)
def test_a_table_comes_back_from_the_reader_of_task_files(
    tmp_path_factory: pytest.TempPathFactory, table: list[dict[str, Any]]
) -> None:
    from tk_instruct.tasks.superni.records import read_task

    folder = tmp_path_factory.mktemp("table")
    assert convert(write_lines(folder / "t.jsonl", *table), "--output", folder, *DEFINE) == 0
    spec, instances = read_task(folder / "tasks" / "t.json")
    assert spec.definition == DEFINE[1]
    texts = [
        [item if isinstance(item, str) else json.dumps(item) for item in row["outputs"]]
        for row in table
    ]
    inputs = [row["input"] for row in table]
    ids = [f"t-{k}" for k in range(1, len(table) + 1)]
    assert instances == list(zip(ids, inputs, texts, strict=True))


def test_outputs_are_texts_lists_and_lists_in_json(tmp_path: Path) -> None:
    listing = tmp_path / "a.csv"
    listing.write_text('id,input,outputs\nx,1,"[""a"", 2]"\ny,2,b\n')
    single = tmp_path / "b.csv"
    single.write_text("input,output\n1,[a]\n2,007\n3,1.0\n")
    lines = write_lines(tmp_path / "c.jsonl", {"input": 1, "output": [3, 3.0, True]})
    parquet = tmp_path / "d.parquet"
    pyarrow.parquet.write_table(
        pyarrow.table({"input": ["x", "y"], "outputs": [["a"], ["b", "c"]], "id": [7, 8]}), parquet
    )
    assert convert(listing, single, lines, parquet, "--output", tmp_path, *DEFINE) == 0
    made = tasks(tmp_path)
    assert {name: rows(task) for name, task in made.items()} == {
        "a": [("1", ["a", "2"]), ("2", ["b"])],
        "b": [("1", ["[a]"]), ("2", ["007"]), ("3", ["1.0"])],
        "c": [("1", ["3", "3.0", "true"])],
        "d": [("x", ["a"]), ("y", ["b", "c"])],
    }
    ids = {name: [item["id"] for item in task["Instances"]] for name, task in made.items()}
    assert (ids["a"], ids["b"][0], ids["d"]) == (["a-x", "a-y"], "b-1", ["d-7", "d-8"])


def test_a_name_makes_one_task_of_all_files(tmp_path: Path) -> None:
    files = [write_lines(tmp_path / f"{k}.jsonl", {"input": k, "output": 1}) for k in range(3)]
    assert convert(*files, "--output", tmp_path, *DEFINE, "--name=sums", "--test") == 0
    assert rows(tasks(tmp_path)["sums"]) == [("0", ["1"]), ("1", ["1"]), ("2", ["1"])]
    assert (tmp_path / "splits" / "default" / "test_tasks.txt").read_text() == "sums\n"


def test_what_a_task_file_says_comes_from_flags(tmp_path: Path) -> None:
    table = write_lines(tmp_path / "t.jsonl", {"input": "a", "output": "b"})
    (tmp_path / "definition.txt").write_text("\ufeffÜbersetze.\n\nGenau.\n")
    given = {
        "category": ("Categories", ["Translation", "Other"]),
        "reasoning": ("Reasoning", ["None"]),
        "source": ("Source", ["mine"]),
        "url": ("URL", ["https://example.org"]),
        "contributor": ("Contributors", ["Ana"]),
        "input_language": ("Input_language", ["German"]),
        "output_language": ("Output_language", ["Dutch"]),
        "instruction_language": ("Instruction_language", ["German"]),
        "domain": ("Domains", ["News"]),
        "instance_license": ("Instance License", ["CC0"]),
    }
    flags = [f"--{flag}={text}" for flag, (_, texts) in given.items() for text in texts]
    definition = f"--definition=@{tmp_path / 'definition.txt'}"
    assert convert(table, "--output", tmp_path, definition, *flags) == 0
    made = tasks(tmp_path)["t"]
    assert made["Definition"] == ["Übersetze.\n\nGenau."]
    assert {field: made[field] for field, _ in given.values()} == dict(given.values())


@pytest.mark.parametrize(
    ("content", "words", "message"),
    [
        ("text,label\na,b\n", DEFINE, "t.csv: row 2: has 'text', 'label', which are the fields of"),
        (
            "text,label\na,b\n",
            ("--from=table", *DEFINE),
            "t.csv: row 2: has no 'input', it has 'text', 'label'; say which column is the input: "
            "--input_column NAME",
        ),
        ("input,label\na,b\n", ("--from=table", *DEFINE), "--output_column NAME"),
        ("text,output\na,b\n", ("--input_column=txt", *DEFINE), "has no 'txt'"),
        ("input,output\na,b\n", ("--id_column=key", *DEFINE), "say which column is the id"),
        ("input,output\na,b\na2,\n", DEFINE, "t.csv: row 3: output is empty"),
        ("input,output\n ,b\n", DEFINE, "t.csv: row 2: input is empty"),
        ("id,input,output\n,a,b\n", DEFINE, "t.csv: row 2: id is empty"),
        (
            "id,input,output\n1,a,b\n1,c,d\n",
            DEFINE,
            't.csv: row 3: the id "1" is that of {path}: row 2 too; give each row another id',
        ),
        ("input,output,outputs\na,b,c\n", DEFINE, "has both output and outputs; say which"),
        ('input,outputs\na,"[1"\n', DEFINE, 'outputs is "[1" but must be a list in JSON'),
        ('input,outputs\na,"[[1]]"\n', DEFINE, "t.csv: row 2: outputs[0] is [1] but must be a"),
        ("input,outputs\na,[]\n", DEFINE, "t.csv: row 2: outputs is an empty list"),
        ("input,output\na,b\n", (), "give --definition TEXT, or --definition @FILE"),
        ("input,output\na,b\n", ("--definition= ",), "--definition=' ' is blank"),
        ("input,output\na,b\n", ("--definition=@nowhere",), "nowhere: cannot be read"),
        ("input,output\na,b\n", ("--category= ", *DEFINE), "--category is blank; give it a text"),
        ("input,output\na,b\n", ("--name=A b", *DEFINE), "the task's name 'A b' must be"),
        ("input,output\na,b\n", ("--delimiter=::", *DEFINE), "must be one character"),
        (
            "input,output\na,b\n",
            ("--output_column=output", "--outputs_column=output", *DEFINE),
            "exclude each other",
        ),
    ],
)
def test_faults_of_tables(
    content: str, words: Sequence[str], message: str, refused: Callable[..., str], tmp_path: Path
) -> None:
    path = tmp_path / "t.csv"
    path.write_text(content)
    assert message.format(path=path) in refused(path, "--output", tmp_path / "out", *words)
    assert [each.name for each in tmp_path.iterdir()] == ["t.csv"]
    assert path.read_text() == content


def test_a_hundred_thousand_rows(tmp_path: Path) -> None:
    path = tmp_path / "many.csv"
    path.write_text("input,output\n" + "".join(f"q{k},{k % 1000}\n" for k in range(100_000)))
    assert convert(path, "--output", tmp_path, *DEFINE) == 0
    instances = tasks(tmp_path)["many"]["Instances"]
    assert len(instances) == 100_000
    assert instances[-1] == {"id": "many-100000", "input": "q99999", "output": ["999"]}


# Findings


@pytest.mark.parametrize(
    ("full", "empty"),
    [
        ({"input": "a", "output": "b"}, {"input": "c", "output": None}),
        ({"input": "a", "outputs": ["b"]}, {"input": " ", "outputs": ["b"]}),
        ({"instruction": "a", "output": "b"}, {"instruction": "c", "output": ""}),
        ({"inputs": "a", "targets": "b"}, {"inputs": "c", "targets": ["d", ""]}),
    ],
)
def test_rows_with_empty_texts_are_left_out_if_asked(
    full: Any,
    empty: Any,
    refused: Callable[..., str],
    findings: Callable[..., dict[str, Any]],
    tmp_path: Path,
) -> None:
    path = write_lines(tmp_path / "t.jsonl", empty, full, empty)
    define = DEFINE if "input" in full else ()
    words = ("--output", tmp_path / "out", *define)
    assert f"{path}:1: " in (message := refused(path, *words))
    assert message.endswith(
        "fill it in, remove the row, or give --skip_empty to leave out such rows\n"
    )
    assert findings(path, *words, "--skip_empty") == {EMPTY: (2, [f"{path}:1", f"{path}:3"])}
    (made,) = tasks(tmp_path / "out").values()
    assert rows(made) == [("a", ["b"])]
    write_lines(path, empty)
    message = refused(path, "--output", tmp_path / "none", *define, "--skip_empty")
    assert " is left, each " in message


def test_chats_with_empty_texts_are_left_out_if_asked(
    refused: Callable[..., str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    turns = [[("user", "a"), ("assistant", text)] for text in ("", "b")]
    chats = [[{"role": role, "content": text} for role, text in each] for each in turns]
    path = write_lines(tmp_path / "t.jsonl", *({"messages": messages} for messages in chats))
    words = (path, "--to=instructions", "--output", tmp_path / "out.jsonl")
    assert "messages[1].content is empty" in refused(*words)
    assert convert(*words, "--skip_empty") == 0
    assert capsys.readouterr() == (
        f"1 row in {tmp_path / 'out.jsonl'}\n",
        f"      1  rows with an empty text: left out (--skip_empty)\n         first: {path}:1\n",
    )
    assert convert(path, "--output", tmp_path, "--skip_empty") == 0
    assert len(tasks(tmp_path)) == 1
    write_lines(path, {"messages": chats[0]})
    assert "no row is left, each has an empty text" in refused(*words, "--skip_empty")


def test_duplicates_are_merged_or_left_out_and_told(
    findings: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    path = tmp_path / "t.csv"
    path.write_text("input,output\nq1,b\nq2,b\nq1,c\nq1,b\nq2,b\n")
    assert findings(path, "--output", tmp_path, *DEFINE) == {
        MERGED: (1, [f"{path}: row 4"]),
        REPEATED: (2, [f"{path}: row 5", f"{path}: row 6"]),
    }
    made = tasks(tmp_path)["t"]
    assert rows(made) == [("q1", ["b", "c"]), ("q2", ["b"])]
    originals = [(each["id"], each["output"]) for each in made[ORIGINALS]]
    assert originals == [(f"t-{k}", [out]) for k, out in enumerate("bbcbb", start=1)]


def test_instances_that_are_examples_are_left_out_and_told(
    findings: Callable[..., dict[str, Any]], refused: Callable[..., str], tmp_path: Path
) -> None:
    path = tmp_path / "t.csv"
    path.write_text("input,output\nq1,b\nq2,b\n")
    given = write_lines(tmp_path / "p.jsonl", {"input": "q1", "output": "b", "explanation": None})
    words = ("--output", tmp_path, *DEFINE, "--positive", given)
    assert findings(path, *words) == {SHOWN: (1, [f"{path}: row 2"])}
    made = tasks(tmp_path)["t"]
    assert rows(made) == [("q2", ["b"])]
    assert made[ORIGINALS] == [{"id": "t-1", "input": "q1", "output": ["b"]}]
    path.write_text("input,output\nq1,b\n")
    assert "t: no instance is left, each row is empty or has the input of a pos" in refused(
        path, "--output", tmp_path / "new", *DEFINE, "--positive", given
    )
    wrong = write_lines(tmp_path / "w.jsonl", {"input": "q1"})
    message = refused(path, "--output", tmp_path, *DEFINE, "--negative", wrong)
    assert "w.jsonl:1: has no 'output', it has 'input'; an example has input, output" in message


@pytest.mark.parametrize(
    ("input_", "output", "is_told"),
    [
        ("Who? Ana.", "Ana", True),
        ("Who? Anabel.", "Ana", False),
        ("Anabel and Ana", "Ana ", True),
        ("Q. Answer: (c)", "(c)", True),
        ("banana", "a", False),
        ("ana", "Ana", False),
    ],
)
def test_outputs_in_inputs(
    input_: str,
    output: str,
    is_told: bool,
    findings: Callable[..., dict[str, Any]],
    tmp_path: Path,
) -> None:
    path = write_lines(tmp_path / "t.jsonl", {"input": input_, "output": output})
    found = findings(path, "--output", tmp_path, *DEFINE)
    assert (IN_INPUT in found) == is_told


def test_outputs_in_the_definition_but_for_labels(
    findings: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    outputs = ("yes", "no", "yes", "no", "perhaps")
    pairs = [{"input": f"q{k}", "output": output} for k, output in enumerate(outputs)]
    path = write_lines(tmp_path / "t.jsonl", *pairs)
    definition = "Say yes or no, and perhaps nothing else."
    found = findings(path, "--output", tmp_path, "--definition", definition)
    assert found == {IN_DEFINITION: (1, [f"{path}:5"])}


def test_findings_are_told_and_with_strict_an_error(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "t.csv"
    path.write_text("input,output\nq,b\nq,c\n")
    words = (path, "--output", tmp_path / "new", *DEFINE)
    assert convert(*words, "--strict") == 1
    assert not (tmp_path / "new").exists()
    told = (
        "      1  inputs in several rows with different outputs: one instance has them all\n"
        f"         first: {path}: row 3\n"
    )
    assert capsys.readouterr() == ("", told + "nothing is written (--strict)\n")
    assert convert(*words) == 0
    assert capsys.readouterr().err == told


def test_columns_that_are_not_read_are_told(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "t.csv"
    path.write_text("input,output,note,\nq,b,c,d\n")
    assert convert(path, "--output", tmp_path, *DEFINE) == 0
    assert capsys.readouterr().err == f"{path}: not read: note, ''\n"


# Instructions, prompts and chats


def test_a_task_for_each_instruction(tmp_path: Path) -> None:
    table = [
        {"instruction": "Add.", "input": "1 2", "output": "3"},
        {"instruction": "Greet.", "input": "", "output": "Hi."},
        {"instruction": "Add.", "input": "2 2", "output": 4},
        {"instruction": "Add.", "output": "What?"},
        {"instruction": "足す。", "input": "1", "output": "1"},
    ]
    listing = tmp_path / "all.json"
    listing.write_text(json.dumps(table, indent=2))
    first, second = (
        write_lines(tmp_path / f"{name}.jsonl", *part)
        for name, part in (("a", table[:2]), ("b", table[2:]))
    )
    assert convert(listing, "--output", tmp_path / "one", "--source=mine") == 0
    assert convert(first, second, "--output", tmp_path / "two", "--source=mine") == 0
    made = tasks(tmp_path / "one")
    assert made == tasks(tmp_path / "two")
    found = {name[:-13]: (task["Definition"], rows(task)) for name, task in made.items()}
    with_input = {"add": 2, "task": 1}
    assert len(made) == 4
    assert found["task"] == (["足す。"], [("1", ["1"])])
    assert found["greet"] == ([FOLLOW], [("Greet.", ["Hi."])])
    sizes = sorted(len(task["Instances"]) for name, task in made.items() if name[:3] == "add")
    assert sizes == [1, with_input["add"]]
    by_definition = {task["Definition"][0]: rows(task) for task in made.values()}
    assert by_definition["Add."] == [("1 2", ["3"]), ("2 2", ["4"])]
    assert all(task["Source"] == ["mine"] for task in made.values())


def test_names_of_instructions_are_safe_different_and_lasting(tmp_path: Path) -> None:
    texts = ["../x", "X!", "x", "x" * 300, "x" * 301, "..", "a\nb", "é", "e"]
    table = [{"instruction": text, "input": "1", "output": "2"} for text in texts]
    path = write_lines(tmp_path / "t.jsonl", *table)
    assert convert(path, "--output", tmp_path / "a", "--name=mine") == 0
    names = list(tasks(tmp_path / "a"))
    assert len(names) == len(texts)
    assert all(name.startswith("mine_") and name.isascii() for name in names)
    assert convert(write_lines(path, table[-1]), "--output", tmp_path / "b", "--name=mine") == 0
    assert set(tasks(tmp_path / "b")) < set(names)


def test_a_task_for_each_template(tmp_path: Path) -> None:
    exported = write_lines(
        tmp_path / "e.jsonl",
        {"id": "p-1", "task": "p3_News_X", "inputs": "a", "targets": "b", "template": "t"},
        {"id": "p-2", "task": "p3_News_X", "inputs": "c", "targets": ["d", "e"]},
    )
    by_template = write_lines(
        tmp_path / "f.jsonl",
        {"dataset": "glue", "subset": "rte", "template": "Is it?", "inputs": "a", "targets": "b"},
        {"dataset": "glue", "subset": None, "template": "T", "inputs": "a", "targets": "b"},
    )
    hub = write_lines(
        tmp_path / "glue-rte.jsonl",
        {"inputs": [1], "targets": [2], "inputs_pretokenized": "a", "targets_pretokenized": "b"},
    )
    for path in (exported, by_template, hub):
        assert convert(path, "--output", tmp_path) == 0
    made = tasks(tmp_path)
    assert {name: rows(task) for name, task in made.items()} == {
        "p3_news_x": [("a", ["b"]), ("c", ["d", "e"])],
        "glue_rte_is_it": [("a", ["b"])],
        "glue_t": [("a", ["b"])],
        "glue_rte": [("a", ["b"])],
    }
    assert all(task["Definition"] == [FOLLOW] for task in made.values())


def test_prompts_and_completions(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "t.jsonl", {"prompt": "Capital?", "completion": " Paris"})
    assert convert(path, "--output", tmp_path) == 0
    assert rows(tasks(tmp_path)["t"]) == [("Capital?", [" Paris"])]


def test_parquet_with_structs_dictionaries_and_bytes(tmp_path: Path) -> None:
    path = tmp_path / "hub.parquet"
    columns = {
        "text": pyarrow.array(["a", "b", "c"]).dictionary_encode(),
        "label": pyarrow.array([b"x", b"y", b"x"]),
        "meta": pyarrow.array([{"k": 1}] * 3),
    }
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    named = ("--input_column=text", "--output_column=label")
    assert convert(path, "--output", tmp_path, *named, *DEFINE) == 0
    assert rows(tasks(tmp_path)["hub"]) == [("a", ["x"]), ("b", ["y"]), ("c", ["x"])]


def test_a_table_of_excel(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes('\ufeffFrage;Antwort\r\n"Wie?\r\nWas; bitte?";1,5\r\n'.encode())
    columns = ("--input_column=Frage", "--output_column=Antwort", "--delimiter=;")
    assert convert(path, "--output", tmp_path, *columns, *DEFINE) == 0
    assert rows(tasks(tmp_path)["t"]) == [("Wie?\r\nWas; bitte?", ["1,5"])]
    path.write_text("input\toutput\na\tb\n")
    assert convert(path, "--output", tmp_path, *DEFINE, r"--delimiter=\t", "--overwrite") == 0
    assert rows(tasks(tmp_path)["t"]) == [("a", ["b"])]


def test_templates_with_names_alike_are_different_tasks(tmp_path: Path) -> None:
    names = ["X?", "x!", "y"]
    table = [{"template": name, "inputs": name, "targets": "b"} for name in names]
    assert convert(write_lines(tmp_path / "t.jsonl", *table), "--output", tmp_path) == 0
    made = tasks(tmp_path)
    assert sorted(name[:2] for name in made) == ["x_", "x_", "y"]
    assert sorted(rows(task)[0][0] for task in made.values()) == sorted(names)


def test_what_tasks_export_writes_is_read(p3_dir: Path, tmp_path: Path) -> None:
    lines = tmp_path / "p3.jsonl"
    words = ["export", "p3_ag_news*", f"--p3_data={p3_dir}", f"--output={lines}"]
    assert cli.main(["tasks", *words]) == 0
    assert convert(lines, "--output", tmp_path) == 0
    exported = [json.loads(line) for line in lines.read_text().splitlines()]
    made = tasks(tmp_path)
    assert {name.split("_")[2] for name in made} == {"news"}
    assert len(made) == len({row["task"] for row in exported})
    pairs = {row["inputs"]: row["targets"] for row in exported}
    found = {input_: outputs for task in made.values() for input_, outputs in rows(task)}
    assert found.keys() == pairs.keys()
    assert all(target in found[input_] for input_, target in pairs.items())


def test_chats_and_instructions_there_and_back(tmp_path: Path) -> None:
    table = [
        {"instruction": "Add.", "input": "1 2", "output": "3", "id": 7, "score": 1.5},
        {"instruction": "Grüße.", "input": "", "output": "Hi.\n\u2028"},
    ]
    first = write_lines(tmp_path / "a.jsonl", *table)
    chats, back = tmp_path / "chats.jsonl", tmp_path / "back.jsonl"
    assert convert(first, "--to=messages", "--output", chats) == 0
    assert convert(chats, "--to=instructions", "--output", back) == 0
    # not splitlines(): a text may hold U+2028
    assert [json.loads(line) for line in back.read_text().strip().split("\n")] == table
    assert convert(chats, "--output", tmp_path / "c") == 0
    assert convert(first, "--output", tmp_path / "i") == 0
    assert tasks(tmp_path / "c") == tasks(tmp_path / "i")


def test_a_field_that_json_does_not_have_is_refused(
    refused: Callable[..., str], tmp_path: Path
) -> None:
    path = tmp_path / "a.parquet"
    for value in (float("nan"), b"x"):
        row = {"instruction": "Add.", "output": "3", "other": value}
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist([row]), path)
        message = refused(path, "--to=messages", "--output", tmp_path / "out.jsonl")
        assert f"{path}: row 1: a field has a value that JSON does not have" in message


def test_lines_on_the_standard_output(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", {"instruction": "Add.", "output": "3"})
    assert convert(path, "--to=messages", "--output=-") == 0
    said = capsys.readouterr()
    turns = [{"role": "user", "content": "Add."}, {"role": "assistant", "content": "3"}]
    assert json.loads(said.out) == {"messages": turns}
    assert said.err == "1 row in the standard output\n"


def test_inputs_are_never_replaced(refused: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "tasks").mkdir()
    path = write_lines(tmp_path / "tasks" / "a.json", {"instruction": "Add.", "output": "3"})
    before = path.read_bytes()
    link = tmp_path / "link.jsonl"
    link.symlink_to(path)
    assert "is read, and is never changed" in refused(path, "--to=messages", "--output", link)
    assert "lies in the folder that is written" in refused(path, "--output", tmp_path)
    assert path.read_bytes() == before


def test_a_fault_in_a_late_row_leaves_the_old_file(
    refused: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "out.jsonl").write_text("old")
    path = write_lines(tmp_path / "a.jsonl", {"instruction": "a", "output": "b"}, {"output": "b"})
    words = ("--to=messages", "--output", tmp_path / "out.jsonl")
    assert f"{path}:2: instruction is empty" in refused(path, *words)
    assert (tmp_path / "out.jsonl").read_text() == "old"


@pytest.mark.parametrize(
    ("fields", "words", "message"),
    [
        (
            {"a": 1},
            (),
            "t.jsonl:1: has 'a', which are the fields of no form; name the columns of a table, "
            "--input_column NAME --output_column NAME, or rename the fields",
        ),
        (
            {"instruction": "a", "answer": "b"},
            ("--from=instructions", "--skip_empty"),
            "t.jsonl:1: has 'instruction', 'answer', and the form instructions has instruction, "
            "output or instruction, response; rename the fields",
        ),
        (
            {"Definition": [], "Positive Examples": [], "Instances": [], "Source": []},
            (),
            "t.jsonl: is a task file already; copy it into the folder's tasks/",
        ),
        ({"input": "a", "output": "b"}, (*DEFINE, "--output=-"), "--output=- is the standard ou"),
        (
            {"messages": 1, "instruction": 1, "output": 1},
            (),
            "which are the fields of messages and of instructions; say which: --from messages or "
            "--from instructions",
        ),
        ({"instruction": "a", "output": "b"}, DEFINE, "--definition is not read with the form in"),
        ({"inputs": "a", "targets": "b"}, ("--positive=p",), "--positive is not read with the fo"),
        ({"inputs": "a", "targets": "b"}, ("--to=messages",), "is of the form prompts, and is rea"),
        ({"messages": 1}, ("--to=messages",), "is of the form messages, and is read as instru"),
        ({"messages": 1}, ("--to=instructions", "--name=a"), "--name is not read with --to ins"),
        ({"messages": 1}, ("--to=instructions", "--test"), "--test is not read with --to instr"),
    ],
)
def test_forms_and_flags_that_do_not_fit(
    fields: Any, words: Sequence[str], message: str, refused: Callable[..., str], tmp_path: Path
) -> None:
    path = write_lines(tmp_path / "t.jsonl", fields)
    assert message in refused(path, "--output", tmp_path / "out", *words)
    assert not (tmp_path / "out").exists()


def test_a_column_that_is_missing_is_told_alone(
    refused: Callable[..., str], tmp_path: Path
) -> None:
    path = write_lines(tmp_path / "t.jsonl", {"Text": "a", "label": "b"})
    columns = ("--input_column=text", "--output_column=label")
    assert refused(path, "--output", tmp_path / "out", *columns, *DEFINE) == (
        f"error: {path}:1: has no 'text', it has 'Text', 'label'; say which column is the input: "
        "--input_column NAME\n"
    )


def test_files_of_two_forms_are_refused(refused: Callable[..., str], tmp_path: Path) -> None:
    one = write_lines(tmp_path / "a.jsonl", {"instruction": "a", "output": "b"})
    other = write_lines(tmp_path / "b.jsonl", {"inputs": "a", "targets": "b"})
    message = refused(one, other, "--output", tmp_path)
    assert "b.jsonl:1: is of the form prompts, and is read as instructions" in message


# Forms of suites


def suites_with(monkeypatch: pytest.MonkeyPatch, **forms: TaskForm) -> None:
    found = {"toy": Suite("toy", "", task_forms=forms)}
    monkeypatch.setattr(suite, "suites", lambda: found)


def halves(paths: Sequence[Path]) -> Any:
    """The form of the next test: name: input=output."""
    for path in paths:
        name, _, pair = path.read_text().partition(": ")
        input_, _, output = pair.partition("=")
        instance = convert_tasks.table.Instance("", input_, (output,))
        yield TaskFile(name, "Say.", convert_tasks.table.with_ids(name, [instance]))


def test_a_suite_brings_a_form(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(json, "halves", halves, raising=False)  # in a module that can be imported
    suites_with(monkeypatch, halves=TaskForm("json:halves"))
    parser = argparse.ArgumentParser()
    convert_tasks.add_arguments(parser)
    (tmp_path / "a").write_text("sums: 1+1=2")
    words = [str(tmp_path / "a"), "--from=halves", f"--output={tmp_path}"]
    assert convert_tasks.main(parser.parse_args(words)) == 0
    assert rows(tasks(tmp_path)["sums"]) == [("1+1", ["2"])]
    with pytest.raises(UserError, match="--definition is not read with the form halves"):
        convert_tasks.main(parser.parse_args([*words, "--definition=x"]))


def test_a_form_of_ours_cannot_be_a_suites(monkeypatch: pytest.MonkeyPatch) -> None:
    suites_with(monkeypatch, table=TaskForm("json:loads"))
    with pytest.raises(UserError, match="the suite toy has the form table of task files"):
        convert_tasks.add_arguments(argparse.ArgumentParser())
