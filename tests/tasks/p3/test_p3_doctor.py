"""The doctor finds each fault at its place, and one fault does not hide another."""

import json
import re
import tarfile
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import gin
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from tk_instruct import cli
from tk_instruct.tasks.p3 import doctor, findings, mini, templates
from tk_instruct.tasks.p3.doctor_report import format_report
from tk_instruct.tasks.p3.findings import Data, Drops, Fault, TreeInUse

GOOD = "Is {{ text }} good? ||| {{ answer_choices[label] }}"
ROWS = [{"id": str(k), "text": f"text {k}", "label": k % 2} for k in range(60)]


class P3:
    """A tree of templates and the data of its data sets, in use."""

    def __init__(self, folder: Path) -> None:
        self.templates, self.data = folder / "templates", folder / "data"
        self.data.mkdir()
        gin.bind_parameter("P3.templates", str(self.templates))
        gin.bind_parameter("P3.data", str(self.data))

    def put_templates(self, dataset: str, **named: str | tuple[str, str | None]) -> Path:
        """Name → the template, or the template and its choices."""
        name, _, subset = dataset.partition("/")
        found = {}
        for key, given in named.items():
            jinja, choices = (given, None) if isinstance(given, str) else given
            id_ = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{dataset} {key}"))
            found[id_] = {"id": id_, "name": key, "jinja": jinja, "answer_choices": choices}
        document = {"dataset": name, "subset": subset or None, "templates": found}
        path = self.templates / dataset / "templates.yaml"
        path.parent.mkdir(parents=True)
        path.write_text(yaml.safe_dump(document, sort_keys=False))
        return path

    def put_rows(
        self, dataset: str, split: str = "train", rows: Iterable[Mapping[str, Any]] = ROWS
    ) -> Path:
        path = self.data / dataset / f"{split}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        return path


@pytest.fixture
def p3(tmp_path: Path) -> P3:
    return P3(tmp_path)


def faults() -> list[Fault]:
    return [found for found in doctor.check() if isinstance(found, Fault)]


def data() -> dict[str, Data]:
    return {found.dataset: found for found in doctor.check() if isinstance(found, Data)}


def drops() -> dict[str, Drops]:
    return {found.template: found for found in doctor.check() if isinstance(found, Drops)}


def run(*flags: str) -> int:
    gin.clear_config()
    return cli.main(["tasks", "doctor", "p3", *flags])


# data


def test_the_synthetic_p3_is_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = mini.write(tmp_path / "p3")
    assert run(f"--p3_data={directory}") == 0
    printed = capsys.readouterr().out
    assert f"templates in {templates.OWN}\n  version this project's own, fingerprint" in printed
    assert "  56 templates of 11 data sets; 0 of the 562 on T0's list\n" in printed
    assert re.search(r"\nsentence completion\n  super_glue/copa +T0\+\+, eval  present", printed)
    assert re.search(r"\n  anli +eval +present +180 +72 +72\n", printed)
    assert re.search(r"\n  wino_bias/type1_pro +bias +present +– +24 +24\n", printed)
    assert "data sets with rows: 11 of the 11 on T0's list in this tree\n" in printed
    assert f"\n  --p3_data {directory}\n" in printed
    assert "\nno template has a fault\n" in printed
    assert re.search(r"\ncommon_gen +4 of 5 +24 of 98 +\(empty target; all of test\)\n", printed)
    assert "\n  anli: uid\n" in printed
    assert run(f"--p3_data={directory}", "--json") == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert found[0]["kind"] == "tree"
    assert found[0]["version"] == "this project's own"
    assert {each["kind"] for each in found} == {"tree", "data", "drops"}
    anli = next(each for each in found if each.get("dataset") == "anli" and each["kind"] == "data")
    assert anli["rows"]["train_r1"] == 60
    assert anli["rows"]["validation_r3"] == 24
    assert anli["group"] == "natural language inference"
    assert anli["t0"] == ["eval"]


def test_missing_data_is_told_with_what_gets_it(p3: P3, capsys: pytest.CaptureFixture[str]) -> None:
    for dataset in ("imdb", "ag_news", "anli", "hellaswag", "wino_bias/type1_pro", "mine", "other"):
        p3.put_templates(dataset, a=GOOD)
    p3.put_rows("mine")
    found = data()
    assert [name for name, of in found.items() if of.state == "missing"] == [
        *("ag_news", "anli", "hellaswag", "imdb", "wino_bias/type1_pro")
    ]
    assert found["hellaswag"].t0 == ["T0+", "eval"]
    assert found["mine"].state == "present"
    assert found["mine"].group == ""
    assert found["mine"].folder == str(p3.data / "mine")
    assert found["mine"].rows == {"train": 60}
    assert next(t for t in doctor.check() if isinstance(t, TreeInUse)).without_data == 1
    assert run(f"--p3_templates={p3.templates}", f"--p3_data={p3.data}") == 1
    printed = capsys.readouterr().out
    get = "`tk-instruct tasks prepare {} --p3_data " + f"{p3.data}` downloads them"
    for number, mixture, names in (
        (2, "t0_train", "ag_news, imdb"),
        (1, "t0p_train", "hellaswag"),
        (1, "t0_eval", "anli"),
        (1, "TASK", "wino_bias/type1_pro"),
    ):
        hint = ", with a task of each as TASK" if mixture == "TASK" else ""
        assert f"\n{number} missing: {get.format(mixture)}{hint}\n  {names}\n" in printed
    assert (
        "data sets with rows: 0 of the 5 on T0's list in this tree, 1 of the 2 others\n" in printed
    )
    assert re.search(r"\nnot on T0's list +state +train .*\n  mine +present +60", printed)


def test_a_folder_of_data_that_is_not_there_is_told(
    p3: P3, capsys: pytest.CaptureFixture[str]
) -> None:
    p3.put_templates("imdb", a=GOOD)
    assert run(f"--p3_templates={p3.templates}", "--p3_data=nowhere") == 1
    assert "\n  --p3_data nowhere, which is no folder\n" in capsys.readouterr().out
    assert run("--p3_templates=nowhere") == 2
    assert "--p3_templates=nowhere has no DATASET/templates.yaml" in capsys.readouterr().err


def test_a_split_that_t0_uses_and_that_is_not_there_is_told(p3: P3) -> None:
    for dataset in ("super_glue/copa", "super_glue/axg", "anli"):
        p3.put_templates(dataset, a=GOOD)
    p3.put_rows("super_glue/copa")
    p3.put_rows("super_glue/axg", "test")
    p3.put_rows("anli", "dev_r1")
    found = data()
    assert found["super_glue/copa"].state == "partial"
    assert found["super_glue/copa"].advice == "T0 uses validation; add its files"
    assert found["super_glue/axg"].state == "present"
    assert found["anli"].advice == "T0 uses validation_r2, validation_r3; add its files"


def test_damaged_data_does_not_hide_the_others(p3: P3) -> None:
    for dataset in ("cut", "empty", "good", "twice"):
        p3.put_templates(dataset, a="{{ text }}|||x", b="{{ text }}")
    cut = p3.put_rows("cut")
    pq.write_table(pa.Table.from_pylist(ROWS), p3.data / "cut" / "validation.parquet")
    cut.write_bytes(cut.read_bytes()[:-5])
    p3.put_rows("empty", rows=[])
    p3.put_rows("good")
    path = p3.put_rows("twice")
    pq.write_table(pa.Table.from_pylist(ROWS), path.with_suffix(".parquet"))
    found = data()
    assert {name: of.state for name, of in found.items()} == {
        "cut": "broken", "empty": "broken", "good": "present", "twice": "broken"
    }  # fmt: skip
    assert found["cut"].advice.startswith(f"{cut}:60: not JSON")
    assert found["cut"].rows == {"validation": 60}
    assert found["empty"].advice == "train has no rows; get its files again, or remove them"
    assert "train in 2 formats" in found["twice"].advice
    assert [fault.dataset for fault in faults()] == ["cut", "good"]


def test_licences_are_those_of_the_downloads(p3: P3, capsys: pytest.CaptureFixture[str]) -> None:
    for dataset in ("a", "b", "my own"):
        p3.put_templates(dataset, a="{{ text }}{{ id }}{{ label }}|||x")
        p3.put_rows(dataset)
    note = {"dataset": "a", "branch": "main", "commit": "1", "licence": "cc-by-4.0"}
    (p3.data / "a" / "source.json").write_text(json.dumps(note))
    assert {name: of.licence for name, of in data().items()} == {
        "a": "cc-by-4.0", "b": "", "my own": ""
    }  # fmt: skip
    assert run(f"--p3_templates={p3.templates}", f"--p3_data={p3.data}") == 0
    printed = capsys.readouterr().out
    assert "\nlicence cc-by-4.0: 1\n  a\nlicence not stated: 2\n  b, my own\n" in printed
    (p3.data / "a" / "source.json").write_text("{")
    gin.bind_parameter("P3.templates", str(p3.templates))
    gin.bind_parameter("P3.data", str(p3.data))
    assert data()["a"].state == "broken"
    assert "source.json" in data()["a"].advice


def test_rows_may_come_from_tfds(
    p3: P3, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """TFDS's folder is looked into for what has no files."""
    p3.put_templates("imdb", a=GOOD)
    folder = tmp_path / "tfds" / "imdb_reviews" / "plain_text" / "1.0.0"
    folder.mkdir(parents=True)
    (folder / "dataset_info.json").write_text("{")
    assert run(f"--p3_templates={p3.templates}", f"--tfds_data_dir={tmp_path / 'tfds'}") == 1
    printed = capsys.readouterr().out
    assert re.search(r"\n  imdb +T0 +broken +– +– +–  imdb_reviews/plain_text:1.0.0\n", printed)
    assert f"\n  --tfds_data_dir {tmp_path / 'tfds'}\n1 broken: {folder}" in printed


# templates


def test_a_tree_with_one_fault_of_each_kind(p3: P3, capsys: pytest.CaptureFixture[str]) -> None:
    p3.put_templates(
        "mine",
        good=(GOOD, "no ||| yes"),
        unparsed="{{ text",
        slow="{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}|||x",
        column="{{ headline }} {{ text }} ||| x",
        one_part="{{ text }}",
        no_target=("{{ text }} ||| maybe", "no ||| yes"),
        twin=(f" {GOOD}\n", "no  ||| yes"),
    )
    p3.put_rows("mine")
    p3.put_rows("mine", "test", ROWS[:3])
    p3.put_templates("without_data", **{"a b": "{{ x }}|||{{ y }}", "a_b": "{% if %}|||"})
    (p3.templates / "unread").mkdir()
    (p3.templates / "unread" / "templates.yaml").write_text("dataset: unread\ntemplates: 7\n")
    all_faults = faults()
    found = {fault.rule: fault for fault in all_faults if fault.dataset == "mine"}
    assert {rule: fault.templates for rule, fault in found.items()} == {
        findings.PARSES: ["unparsed"],
        findings.RENDERS: ["slow"],
        findings.HAS_COLUMNS: ["column"],
        findings.GIVES_EXAMPLES: ["one_part"],
        findings.HAS_TARGET: ["no_target"],
        findings.DIFFERS: ["twin"],
    }
    assert "unexpected end of template" in found[findings.PARSES].value
    assert found[findings.RENDERS].value.startswith(
        "mine, split train, row 0: the template 'slow' is refused: it works too long"
    )
    assert found[findings.HAS_COLUMNS].value == (
        "there is no headline in train, test, only id, text, label"
    )
    assert "rename the column" in found[findings.HAS_COLUMNS].repair
    assert found[findings.GIVES_EXAMPLES].value == (
        "all 53 rows are dropped: no ||| "
        '(train, row 0 is {"id": "0", "text": "text 0", "label": 0})'
    )
    assert found[findings.HAS_TARGET].value == (
        'train, row 0: "maybe" is not in ["no", "yes"] (53 of 53 rows)'
    )
    assert found[findings.DIFFERS].value == "its text is that of 'good'"
    others = {fault.rule: fault for fault in all_faults if fault.dataset != "mine"}
    assert {rule: fault.dataset for rule, fault in others.items()} == {
        findings.READABLE: "unread",
        findings.PARSES: "without_data",
        findings.OWN_NAME: "without_data",
    }
    assert others[findings.READABLE].value == "templates is 7 but must be an object"
    assert others[findings.OWN_NAME].value == (
        "p3_without_data_a_b is also the task of 'a b' of without_data"
    )
    assert all(fault.value and fault.rule and fault.repair for fault in all_faults)

    assert run(f"--p3_templates={p3.templates}", f"--p3_data={p3.data}") == 1
    printed = capsys.readouterr().out
    assert "  9 templates of 3 data sets;" in printed
    assert "\n9 faults, by the rule that is broken\n" in printed
    assert "\n  unread: templates is 7 but must be an object" in printed
    assert re.search(
        r"\nthe target is one of the choices; correct its choices, or remove them \(1\)\n"
        r"  mine 'no_target': train, row 0: ",
        printed,
    )
    assert run(f"--p3_templates={p3.templates}", f"--p3_data={p3.data}", "--json") == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert sum(line["kind"] == "fault" for line in lines) == 9


def test_choices_are_two_or_more_and_none_is_empty(p3: P3) -> None:
    p3.put_templates(
        "mine",
        comma=("{{ text }} ||| no, yes", "no, yes"),
        end=(GOOD, "no ||| yes |||"),
        of_rows=("{{ text }} ||| {{ text }}", "{{ text }}{% if label %} ||| {% endif %}"),
    )
    p3.put_rows("mine")
    found = {fault.rule: fault for fault in faults()}
    assert {rule: fault.templates for rule, fault in found.items()} == {
        findings.HAS_CHOICES: ["comma"],
        findings.NO_EMPTY_CHOICE: ["end"],
    }
    assert found[findings.HAS_CHOICES].value == 'train, row 0: ["no, yes"] (50 of 50 rows)'
    assert found[findings.NO_EMPTY_CHOICE].value == (
        'train, row 0: ["no", "yes", ""] (50 of 50 rows)'
    )


def test_fields_and_metrics_that_promptsource_does_not_have_are_faults(p3: P3) -> None:
    p3.put_templates("mine", a=GOOD)
    path = p3.templates / "mine" / "templates.yaml"
    content = yaml.safe_load(path.read_text())
    (template,) = content["templates"].values()
    template |= {"answer_choice": "no ||| yes", "metadata": {"orginal_task": True}}
    template["metadata"]["metrics"] = ["Acuracy", "ROUGE"]
    path.write_text(yaml.safe_dump(content))
    found = {fault.rule: fault.value for fault in faults()}
    assert found == {
        findings.KNOWN_FIELDS: "'answer_choice', 'orginal_task'",
        findings.KNOWN_METRICS: "'Acuracy' counts as accuracy",
    }


def test_rows_of_one_s_own_that_are_not_found_are_missing(
    p3: P3, capsys: pytest.CaptureFixture[str]
) -> None:
    p3.put_templates("mine", a=GOOD)
    p3.put_templates("other", a=GOOD)
    (p3.data / "mine").mkdir(parents=True)
    (p3.data / "mine" / "train.json").write_text("[]")
    assert run(f"--p3_templates={p3.templates}", f"--p3_data={p3.data}") == 1
    printed = capsys.readouterr().out
    assert "\ndata sets with rows: 0 of 2\n" in printed
    assert (
        f"\n1 missing: there is no {p3.data}/mine/train*.parquet, .jsonl or .jsonl.gz (the folder "
        "has train.json); give --p3_data"
    ) in printed
    p3.put_templates("imdb", a=GOOD)  # beside T0's data sets, others may be without rows
    assert {name: of.state for name, of in data().items()} == {
        "imdb": "missing",
        "mine": "missing",
    }


def test_dropped_rows_are_counted_by_split_and_reason(p3: P3) -> None:
    p3.put_templates(
        "mine",
        odd="{{ text }}{% if label %}|||x{% endif %}",
        first="{{ text }}|||{{ text if label == 0 else '' }}",
        error="{{ text }}|||{{ text + label if label else 'x' }}",
        none="{{ text }}|||{{ answer_choices[label].name }}",
    )
    p3.put_rows("mine")
    p3.put_rows("mine", "validation", [{"text": "t", "label": 1}])
    found = drops()
    assert found["odd"].tried == {"train": 50, "validation": 1}
    assert found["odd"].dropped == {"train": {"no |||": 25}}
    assert found["first"].dropped == {
        "train": {"empty target": 25},
        "validation": {"empty target": 1},
    }
    assert found["error"].dropped["train"] == {"cannot be rendered": 25}
    assert found["error"].details["cannot be rendered"].startswith("TypeError: can only")
    assert found["none"].details["cannot be rendered"].startswith("UndefinedError: None")
    assert [fault.templates for fault in faults()] == [["none"]]
    report = format_report(doctor.check())
    assert re.search(r"\nmine +4 of 4 +51 of 51 +\(cannot be rendered; .*; all of train", report)


def test_a_target_that_is_cut_is_one_of_the_choices(p3: P3) -> None:
    long = "word " * 600
    rows = [{"text": "t", "choices": [long, "b"], "label": 0}, {**ROWS[0], "choices": ["", "b"]}]
    jinja = "{{ text }}|||{{ answer_choices[label] }}"
    p3.put_templates("mine", a=(jinja, "{{ choices | join('|||') }}"))
    p3.put_rows("mine", rows=rows)
    assert faults() == []
    assert drops()["a"].dropped == {"train": {"empty target": 1}}


def test_columns_that_no_template_reads_are_told(p3: P3) -> None:
    rows = [{"id": 1, "fine-label": 2, "text": "t", "other-id": 3}]
    p3.put_templates("mine", a="{{ text }}|||x", b=("{{ text }}|||2", "{{ fine_label }}"))
    p3.put_rows("mine", rows=rows)
    assert data()["mine"].unused_columns == ["id", "other-id"]
    assert "columns that no template reads\n  mine: id, other-id" in format_report(doctor.check())


def test_a_column_that_has_a_reserved_name_is_one_fault_of_all_templates(p3: P3) -> None:
    p3.put_templates("mine", a="{{ text }}|||x", b="{{ text }}|||y")
    p3.put_rows("mine", rows=[{"text": "t", "answer_choices": ["a"]}])
    [fault] = faults()
    assert fault.templates == ["a", "b"]
    assert fault.rule == findings.RENDERS
    assert "the column answer_choices has the name" in fault.value
    assert fault.repair == "rename the column"


def test_the_report_shows_a_few_faults_of_a_kind(p3: P3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    p3.put_templates("imdb", a=GOOD)  # in a tree without T0's data sets, all are listed
    p3.put_templates("first", **{f"template number {k}": "{{ text }}" for k in range(9)})
    for number in range(12):
        p3.put_templates(f"set{number:02d}", a="{{ text", b="{{ text }} |||")
    p3.put_rows("first")
    p3.put_rows("imdb")
    report = format_report(doctor.check())
    assert "\n  set05 'a': unexpected end" in report
    assert "set06" not in report
    assert "\n  and 6 more (--json lists all)" in report
    assert "'template number 6' and 2 more: its text is that" in " ".join(report.split())
    lines = [line for line in report.splitlines()[2:] if "--p3_data" not in line]  # a long path
    assert max(map(len, lines)) <= 80


def test_all_of_promptsource_s_templates(shared_data: Path, tmp_path: Path) -> None:
    """Those of the newest version, on rows of 47 data sets."""
    with tarfile.open(shared_data / "promptsource" / "promptsource-HEAD-templates.tar.gz") as tar:
        tar.extractall(tmp_path, filter="data")
    gin.bind_parameter("P3.templates", str(tmp_path))
    gin.bind_parameter("P3.data", str(shared_data / "promptsource" / "rows"))
    found_all = doctor.check()
    tree = next(found for found in found_all if isinstance(found, TreeInUse))
    assert (tree.datasets, tree.templates, tree.of_t0) == (279, 2085, 562)
    assert sum(isinstance(found, Data) for found in found_all) == 103
    assert tree.without_data == 176
    assert {found.rule for found in found_all if isinstance(found, Fault)} == {findings.HAS_TARGET}
    assert len(format_report(found_all).splitlines()) < 240
