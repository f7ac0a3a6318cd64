"""Every rule finds the one thing that is wrong, at its place, and nothing else."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tk_instruct.errors import UserError
from tk_instruct.tasks.superni import doctor, mini
from tk_instruct.tasks.superni.doctor import Finding

Record = dict[str, Any]
NAME = "task001_colours"
BALANCED = "under 15 distinct outputs are balanced, normalised entropy over 0.8"
LANGUAGES = "languages have ISO 639 names"
LISTS = "fields with several values are lists"
REQUIRED = "required fields are there and say something"


def task() -> Record:
    """Breaks no rule; 30 instances, 15 with each of two outputs."""
    return {
        "Contributors": ["A. Person"],
        "Source": ["made"],
        "URL": ["example.org"],
        "Categories": ["Text Categorization"],
        "Reasoning": [],
        "Definition": ["Given a sentence in Spanish, say which colour it is about."],
        "Input_language": ["Spanish", "English"],
        "Output_language": ["English"],
        "Instruction_language": ["English"],
        "Domains": ["Nature"],
        "Positive Examples": [
            {"input": f"ejemplo {k}", "output": "red", "explanation": ""} for k in range(2)
        ],
        "Negative Examples": [{"input": "frase 0", "output": "sí", "explanation": "In Spanish."}],
        "Instances": [
            {"id": f"i{k}", "input": f"frase {k}", "output": ["red" if k % 2 else "blue"]}
            for k in range(30)
        ],
        "Instance License": ["MIT"],
    }


def check(directory: Path, record: object, name: str = NAME) -> list[Finding]:
    path = directory / f"{name}.json"
    path.write_text(json.dumps(record), encoding="utf-8")
    return doctor.check_task(path)


def outputs(*counts: int) -> list[Record]:
    """Instances with as many of the outputs o0, o1, … as is said."""
    texts = [f"o{which}" for which, count in enumerate(counts) for _ in range(count)]
    return [
        {"id": f"i{k}", "input": f"frase {k}", "output": [text]} for k, text in enumerate(texts)
    ]


def put(*path: str | int, value: object) -> Callable[[Record], None]:
    def mutate(record: Any) -> None:
        for key in path[:-1]:
            record = record[key]
        record[path[-1]] = value

    return mutate


def drop(*path: str | int) -> Callable[[Record], None]:
    def mutate(record: Any) -> None:
        for key in path[:-1]:
            record = record[key]
        del record[path[-1]]

    return mutate


def test_a_valid_task_has_no_findings(tmp_path: Path) -> None:
    assert check(tmp_path, task()) == []


BROKEN = {
    "missing field": (drop("Reasoning"), REQUIRED, "Reasoning", "absent"),
    "missing instances": (drop("Instances"), REQUIRED, "Instances", "absent"),
    "no category": (put("Categories", value=[]), REQUIRED, "Categories", "[]"),
    "source not in a list": (put("Source", value="made"), LISTS, "Source", '"made"'),
    "definition not in a list": (
        put("Definition", value="Spanish."),
        LISTS,
        "Definition",
        '"Spanish."',
    ),
    "instances not in a list": (put("Instances", value={}), LISTS, "Instances", "{}"),
    "null examples": (put("Positive Examples", value=None), LISTS, "Positive Examples", "null"),
    "definition not a text": (put("Definition", 0, value=7), LISTS, "Definition[0]", "7"),
    "licence not in a list": (
        put("Instance License", value="MIT"),
        LISTS,
        "Instance License",
        '"MIT"',
    ),
    "25 instances": (
        put("Instances", value=outputs(13, 12)),
        "26 to 6,500 instances",
        "Instances",
        "25",
    ),
    "6,501 instances": (
        put("Instances", value=outputs(3251, 3250)),
        "26 to 6,500 instances",
        "Instances",
        "6501",
    ),
    "no instances": (put("Instances", value=[]), "26 to 6,500 instances", "Instances", "0"),
    "one positive example": (
        drop("Positive Examples", 1),
        "at least 2 positive examples and 1 negative",
        "Positive Examples",
        "1",
    ),
    "no negative example": (
        put("Negative Examples", value=[]),
        "at least 2 positive examples and 1 negative",
        "Negative Examples",
        "0",
    ),
    "example without explanation": (
        drop("Negative Examples", 0, "explanation"),
        "examples have an input, an output and an explanation, each a text",
        "Negative Examples[0].explanation",
        "absent",
    ),
    "example with a list of outputs": (
        put("Positive Examples", 1, "output", value=["red"]),
        "examples have an input, an output and an explanation, each a text",
        "Positive Examples[1].output",
        '["red"]',
    ),
    "example that is a text": (
        put("Positive Examples", 1, value="red"),
        "examples have an input, an output and an explanation, each a text",
        "Positive Examples[1]",
        '"red"',
    ),
    "instance that is a list": (
        put("Instances", 4, value=["frase"]),
        "instances are objects",
        "Instances[4]",
        '["frase"]',
    ),
    "instance without id": (
        drop("Instances", 3, "id"),
        "instances have an id",
        "Instances[3].id",
        "absent",
    ),
    "id that is a list": (
        put("Instances", 3, "id", value=["i3"]),
        "instances have an id",
        "Instances[3].id",
        '["i3"]',
    ),
    "id of another": (
        put("Instances", 7, "id", value="i3"),
        "instance ids are unique",
        "Instances[7].id",
        '"i3"',
    ),
    "empty input": (
        put("Instances", 7, "input", value=""),
        "instances have an input that is a text and not empty",
        "Instances[7].input",
        '""',
    ),
    "input that is a number": (
        put("Instances", 7, "input", value=7),
        "instances have an input that is a text and not empty",
        "Instances[7].input",
        "7",
    ),
    "input of another": (
        put("Instances", 7, "input", value="frase 3"),
        "instance inputs are unique",
        "Instances[7].input",
        '"frase 3"',
    ),
    "output not in a list": (
        put("Instances", 7, "output", value="red"),
        "instances have a list of outputs, texts and at least one",
        "Instances[7].output",
        '"red"',
    ),
    "no output": (
        put("Instances", 7, "output", value=[]),
        "instances have a list of outputs, texts and at least one",
        "Instances[7].output",
        "[]",
    ),
    "output that is a number": (
        put("Instances", 7, "output", value=["red", 1]),
        "instances have a list of outputs, texts and at least one",
        "Instances[7].output",
        '["red", 1]',
    ),
    "positive example as instance": (
        put("Instances", 7, "input", value="ejemplo 1"),
        "no instance has the input of a positive example",
        "Instances[7].input",
        '"ejemplo 1"',
    ),
    "single output": (
        put("Instances", value=outputs(30)),
        "more than one distinct output",
        "Instances[*].output",
        '"o0"',
    ),
    "skewed outputs": (  # 0.722 bits of 1
        put("Instances", value=outputs(24, 6)),
        BALANCED,
        "Instances[*].output",
        '{"o0": 24, "o1": 6}',
    ),
    "skewed over 14 outputs": (
        put("Instances", value=outputs(100, *[1] * 13)),
        BALANCED,
        "Instances[*].output",
        '{"o0": 100, "o1": 1, "o2": 1, "o3": 1, "o4": 1, "o5": 1, …',
    ),
    "no language": (
        put("Output_language", 0, value="Code"),
        LANGUAGES,
        "Output_language[0]",
        '"Code"',
    ),
    "language in lower case": (
        put("Instruction_language", 0, value="english"),
        LANGUAGES,
        "Instruction_language[0]",
        '"english"',
    ),
    "code for many languages": (
        put("Output_language", 0, value="Multiple languages"),
        LANGUAGES,
        "Output_language[0]",
        '"Multiple languages"',
    ),
    "definition without the language": (
        put("Definition", value=["Of a Spanish sentence, say the colour.", "Say the colour."]),
        "each definition names every input language but English",
        "Definition[1]",
        '"Say the colour."',
    ),
}


@pytest.mark.parametrize(("mutate", "rule", "field", "value"), BROKEN.values(), ids=BROKEN)
def test_one_mistake_is_one_finding(
    tmp_path: Path, mutate: Callable[[Record], None], rule: str, field: str, value: str
) -> None:
    record = task()
    mutate(record)
    (finding,) = check(tmp_path, record)
    assert (finding.file, finding.rule, finding.field) == (f"{NAME}.json", rule, field)
    assert finding.value == value
    assert finding.repair
    assert finding.more == 0


def test_every_rule_has_a_mistake_above() -> None:
    # The file name is not in the record; it has a test of its own.
    assert {rule for _, rule, _, _ in BROKEN.values()} | {"file names are lowercase"} == set(
        doctor.RULES
    )


@pytest.mark.parametrize(
    "instances",
    [
        outputs(13, 13),
        outputs(3250, 3250),
        outputs(24, 8),  # 0.811 bits of 1
        outputs(100, *[1] * 14),  # 15 outputs are an open task
    ],
)
def test_the_limits_themselves_are_kept(tmp_path: Path, instances: list[Record]) -> None:
    assert check(tmp_path, task() | {"Instances": instances}) == []


def test_all_references_count_as_outputs(tmp_path: Path) -> None:
    instances = outputs(30)
    for instance in instances[:15]:
        instance["output"].append("o1")
    # 30 and 15 of 45 are 0.918 bits of 1.
    assert check(tmp_path, task() | {"Instances": instances}) == []


def test_fields_that_are_optional_may_be_absent_or_more(tmp_path: Path) -> None:
    record = task() | {"Instruction Source": "anything"}
    del record["Instance License"]
    assert check(tmp_path, record) == []


def test_names_of_languages_are_known(tmp_path: Path) -> None:
    names = (
        "Chinese, Persian, Farsi, Yoruba, Khmer, Central Khmer, Panjabi, Punjabi, Oriya, Odia, "
        "Swahili, Malay, Nepali, Greek, Modern Greek (1453-), Pushto, Pashto, Uighur, Uyghur, "
        "Haitian, Haitian Creole, Igbo, Sinhala, Filipino, Kurdish, Hebrew, Norwegian Bokmål"
    )
    assert check(tmp_path, task() | {"Output_language": names.split(", ")}) == []


def test_a_misspelt_language_is_met_with_the_nearest(tmp_path: Path) -> None:
    (finding,) = check(tmp_path, task() | {"Output_language": ["spanihs"]})
    assert finding.repair == "did you mean Spanish?"


def test_file_names_are_lowercase(tmp_path: Path) -> None:
    assert check(tmp_path, task(), "task001_Colours") == [
        Finding(
            file="task001_Colours.json",
            field="file name",
            rule="file names are lowercase",
            value='"task001_Colours"',
            repair="rename it to task001_colours, in splits/ too",
        )
    ]


def test_tasks_that_upstream_excuses_are_excused(tmp_path: Path) -> None:
    single, skewed = (task() | {"Instances": outputs(*counts)} for counts in ((30,), (29, 1)))
    assert check(tmp_path, single, "task902_deceptive_opinion_spam_classification") == []
    assert check(tmp_path, single, "task903_deceptive_opinion_spam_classification") == []
    assert check(tmp_path, skewed, "task150_afs_argument_quality_gun_control") == []


def test_a_rule_is_found_once_a_file_and_the_rest_is_counted(tmp_path: Path) -> None:
    record = task()
    for instance in record["Instances"]:
        del instance["id"]
    record["Positive Examples"][0]["input"] = "frase 20"
    found = check(tmp_path, record)
    assert [(finding.field, finding.more) for finding in found] == [
        ("Instances[0].id", 29),
        ("Instances[20].input", 0),
    ]


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (b'{"Definition": ["cut of', "Unterminated string starting at: line 1 column 17 (char 16)"),
        (b"", "Expecting value: line 1 column 1 (char 0)"),
        (b"[1, 2]", "[1, 2]"),
        (b'{"\xff": 1}', "'utf-8' codec can't decode byte 0xff in position 2: invalid…"),
    ],
)
def test_a_file_that_is_no_json_object_is_one_finding(
    tmp_path: Path, content: bytes, value: str
) -> None:
    path = tmp_path / "task001_broken.json"
    path.write_bytes(content)
    (finding,) = doctor.check_task(path)
    assert (finding.file, finding.field, finding.value) == (path.name, "the file", value)
    assert finding.rule == "a task file is one JSON object in UTF-8"


def test_endless_nesting_and_unreadable_files_are_findings(tmp_path: Path) -> None:
    nested = tmp_path / "task001_nested.json"
    nested.write_bytes(b"[" * 100_000)
    (tmp_path / "task002_folder.json").mkdir()
    for path in (nested, tmp_path / "task002_folder.json"):
        (finding,) = doctor.check_task(path)
        assert finding.field == "the file"


def test_anything_at_all_in_any_field_is_borne(tmp_path: Path) -> None:
    for field in task():
        values: list[Any] = [None, 3, "x", [], {}, [None], [[]], [{}], [{"input": [], "id": {}}]]
        for value in values:
            for finding in check(tmp_path, task() | {field: value}):
                assert finding.rule in doctor.RULES


def test_what_is_shown_is_short_and_can_be_printed(tmp_path: Path) -> None:
    path = tmp_path / f"{NAME}.json"
    record = task()
    record["Instances"][7]["output"] = "\ud800\n" + "ä" * 100
    path.write_text(json.dumps(record), encoding="utf-8")
    (finding,) = doctor.check_task(path)
    assert finding.value == '"\\ud800\\n' + "ä" * 53 + "…"
    assert len(finding.value) == 63


def write_tree(root: Path, listed: dict[str, str], tasks: str = "a b c") -> Path:
    """A tree of valid tasks with the given lists; both tracks have a | b | c unless said."""
    (root / "tasks").mkdir()
    for name in tasks.split():
        check(root / "tasks", task(), name)
    for track in ("default", "xlingual"):
        (root / "splits" / track).mkdir(parents=True)
        for split, name in (("train", "a"), ("test", "b"), ("excluded", "c")):
            names = listed.get(f"{track}/{split}", name).split()
            path = root / "splits" / track / f"{split}_tasks.txt"
            path.write_text("".join(f"{name}\n" for name in names))
    return root


def test_a_valid_tree_has_no_findings(tmp_path: Path) -> None:
    assert doctor.check(write_tree(tmp_path, {})) == []


@pytest.mark.parametrize(
    ("listed", "tasks", "expected"),
    [
        (
            {"xlingual/test": "b a"},
            "a b c",
            [("splits/xlingual/test_tasks.txt", "a track's files share no task", "1 name", "a", 0)],
        ),
        (
            {"default/excluded": ""},
            "a b c",
            [("splits/default", "both tracks list the same tasks", "1 name", "c", 0)],
        ),
        (
            {f"{track}/train": "a t5 t4 t3 t2 t1" for track in ("default", "xlingual")},
            "a b c",
            [("splits", "every listed task has a file", "5 names", "t5, t4, t3", 2)],
        ),
        (
            {},
            "a b c y x",
            [("splits", "every task file is listed", "2 names", "x, y", 0)],
        ),
    ],
)
def test_splits_one_mistake_is_one_finding(
    tmp_path: Path, listed: dict[str, str], tasks: str, expected: list[tuple[Any, ...]]
) -> None:
    found = doctor.check(write_tree(tmp_path, listed, tasks))
    assert [(f.file, f.rule, f.field, f.value, f.more) for f in found] == expected


def test_a_missing_split_file_is_the_only_finding_about_splits(tmp_path: Path) -> None:
    root = write_tree(tmp_path, {}, "a b c d")
    (root / "splits/default/test_tasks.txt").unlink()
    (finding,) = doctor.check_splits(root)
    assert finding.file == "splits/default/test_tasks.txt"
    assert finding.value == "No such file or directory"


def test_a_split_file_that_is_not_utf8_is_a_finding(tmp_path: Path) -> None:
    root = write_tree(tmp_path, {}, "a b c d")
    (root / "splits/default/test_tasks.txt").write_bytes("täsk".encode("utf-16"))
    (finding,) = doctor.check_splits(root)
    assert (finding.file, finding.rule) == (
        "splits/default/test_tasks.txt",
        "each track has train_tasks.txt, test_tasks.txt, excluded_tasks.txt, in UTF-8",
    )


def test_long_names_are_cut(tmp_path: Path) -> None:
    root = write_tree(tmp_path, {}, "a b c d")
    with (root / "splits/xlingual/test_tasks.txt").open("a") as file:
        file.write("\n" + "x" * 10**6)
    record = task() | {"Input_language": ["y" * 10**6]}
    findings = [*doctor.check_splits(root), *check(tmp_path, record)]
    assert len(doctor.format_report(findings, 1)) < 5000


def test_findings_are_in_file_name_order_then_splits(tmp_path: Path) -> None:
    root = write_tree(tmp_path, {}, "c A b")
    (root / "tasks/b.json").write_text("{")
    assert [finding.file for finding in doctor.check(root)] == [
        "A.json",
        "b.json",
        "splits",
        "splits",
    ]


@pytest.mark.parametrize("missing", ["", "tasks", "splits"])
def test_a_missing_directory_is_named_with_where_the_data_comes_from(
    tmp_path: Path, missing: str
) -> None:
    root = tmp_path / "tree"
    if missing:
        root.mkdir()
        (root / {"tasks": "splits", "splits": "tasks"}[missing]).mkdir()
    for function in (doctor.check, doctor.check_splits):
        with pytest.raises(UserError) as raised:
            function(root)
        assert str(raised.value) == (
            f"data_dir={str(root)!r}: {root / missing} is not a directory; give a checkout of "
            "github.com/allenai/natural-instructions, which holds tasks/*.json and "
            "splits/{default,xlingual}/*_tasks.txt"
        )


def test_report() -> None:
    findings = [
        Finding("t1.json", "Instances", "26 to 6,500 instances", "7", "add at least 19 more"),
        Finding("t1.json", "Instances[0].id", "instances have an id", "absent", "give one", 6),
        Finding("t2.json", "Instances[3].id", "instances have an id", '""', "give one"),
    ]
    assert doctor.format_report(findings, 1613) == (
        "t1.json\n"
        "  Instances        7                    26 to 6,500 instances; add at least 19 more\n"
        "  Instances[0].id  absent (and 6 more)  instances have an id; give one\n"
        "\n"
        "t2.json\n"
        '  Instances[3].id  ""  instances have an id; give one\n'
        "\n"
        "1,613 tasks, 3 findings\n"
        "  2  instances have an id\n"
        "  1  26 to 6,500 instances"
    )
    assert doctor.format_report([], 1) == "1 task, 0 findings"


def test_the_mini_benchmark_has_no_findings(tmp_path: Path) -> None:
    assert doctor.check(mini.write(tmp_path / "mini")) == []


def test_real_tasks(shared_data: Path) -> None:
    found = doctor.check(shared_data / "natural-instructions")
    # task612 and most others are cut to their first instances, most tasks are not there at all.
    assert [(f.file, f.field, f.rule, f.more) for f in found] == [
        ("task612_yorubabbc_classification.json", "Instances[*].output", BALANCED, 0),
        (
            "task828_copa_commonsense_cause_effect.json",
            "Instances[389].input",
            "no instance has the input of a positive example",
            0,
        ),
        ("splits", "1,578 names", "every listed task has a file", 1575),
    ]
