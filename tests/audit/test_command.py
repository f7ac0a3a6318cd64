"""`tk-instruct tasks audit`: what it prints and writes, and its exit status."""

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import gin
import pytest

from tk_instruct import cli
from tk_instruct.audit import findings, instances, page
from tk_instruct.audit.findings import Audit, Settings
from tk_instruct.audit.overlap import overlap

Run = Callable[..., tuple[int, str, str]]
LINE = "five words of an evaluation text, then eight more that make it long enough"
HOSTILE = f"</p><script>alert(1)</script>{{{{ 7*7 }}}} {LINE} \x1b[2J\u202e"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `tk-instruct tasks audit …`: exit status, standard output and standard error."""

    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        status = cli.main(["tasks", "audit", *map(str, arguments)])
        gin.clear_config()
        return status, *capsys.readouterr()

    return run


def write(path: Path, *records: object) -> Path:
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records))
    return path


@pytest.fixture
def train(tmp_path: Path) -> Path:
    return write(
        tmp_path / "train.jsonl",
        {"inputs": f"before {LINE.upper()} after", "targets": "no"},
        {"id": 7, "task": "other", "inputs": "", "targets": ["yes", "Yes, it is so!"]},
    )


@pytest.fixture
def against(tmp_path: Path) -> Path:
    return write(
        tmp_path / "test.jsonl",
        {"id": "a", "inputs": f"{LINE}, and more of its own", "targets": "Yes it is so"},
        {"id": "b", "inputs": "another", "targets": "yes"},
    )


def test_files_side_by_side(run: Run, train: Path, against: Path) -> None:
    status, out, err = run(train, "--against", against)
    assert (status, err) == (1, "")
    assert (
        out
        == f"""\
{train} against {against}

evaluation task  instances  flagged  share  by inputs  by targets
test                     2        1  50.0%          1           1
all 1                    2        1  50.0%          1           1

Compared with 2 training examples by their words: equal texts, near duplicates (Jaccard similarity
of at least 0.8) and texts with 13 words in a row in common (8 for shorter texts). 0 runs of words
that stand in many instances of an evaluation task are left out. Most flags are false until somebody
has read them: quotations, lists, boilerplate and common knowledge stand in many texts.

2 of 2 findings, of different tasks first

── test ── inputs: 13 words in a row, 74% of its words ── 1 training example
a                                                │ train-1 (train)
                                                 │
«five words of an evaluation text, then eight    │ before «FIVE WORDS OF AN EVALUATION TEXT, THEN
more that make it long enough», and more of its  │ EIGHT MORE THAT MAKE IT LONG ENOUGH» after
own                                              │

── test ── targets: equal ── 1 training example
a                                                │ 7 (other)
                                                 │
«Yes it is so»                                   │ «Yes, it is so»!
"""
    )


def test_the_threshold_is_a_share_of_the_instances(run: Run, train: Path, against: Path) -> None:
    for threshold, expected in (("0.49", 1), ("0.5", 0), ("1", 0)):
        assert run(train, "--against", against, f"--threshold={threshold}")[0] == expected


def test_json_and_page(run: Run, train: Path, against: Path, tmp_path: Path) -> None:
    file, html = tmp_path / "out" / "AUDIT.json", tmp_path / "out" / "audit.html"
    _, out, _ = run(train, "--against", against, "--json", file, "--html", html, "-n0")
    assert "──" not in out
    audit = findings.read(file)
    assert audit.flagged() == {"test": {"a"}}
    assert [(text.field, text.kind) for text in audit.texts] == [
        ("inputs", "ngram"),
        ("targets", "equal"),
    ]
    assert page.html(audit) == html.read_text()
    status, out, err = run(train, "--against", against, "--json=-")
    assert (status, out.encode()) == (1, file.read_bytes())
    assert "2 of 2 findings" in err


def test_tasks_by_their_own_texts(run: Run, on_the_mini_benchmark: None, tmp_path: Path) -> None:
    """Not by prompts, which have definitions and examples in common."""
    file = tmp_path / "AUDIT.json"
    status, out, _ = run("superni_en_def", "--against", "superni_en_pos2", f"--json={file}")
    assert status == 1
    assert "superni_en_def:train against superni_en_pos2:test\n" in out
    assert "task9039_mini_scene_title            60        8  13.3%          8           0\n" in out
    audit = findings.read(file)
    assert sum(task.flagged for task in audit.tasks) == sum(map(len, audit.flagged().values()))


def test_a_split_against_itself_is_equal(run: Run, on_the_mini_benchmark: None) -> None:
    status, out, _ = run("superni_en_def:test", "--against", "superni_en_def", "--json=-")
    audit = json.loads(out)
    assert status == 1
    assert {text["kind"] for text in audit["texts"] if text["eval_id"] == text["train_id"]} == {
        "equal"
    }
    [total] = {task["instances"] for task in audit["tasks"]}
    assert total == 60


def test_p3_and_ni_v1(run: Run, p3_dir: Path, ni_v1_dir: Path) -> None:
    task = "p3_ag_news_one_word_subject"
    arguments = [f"--p3_data={p3_dir}", f"--ni_v1_data={ni_v1_dir}", "--threshold=1", "--json=-"]
    _, out, err = run(f"{task}:train", "--against", "ni_v1_random_full", *arguments)
    assert out, err
    assert json.loads(out)["num_train"] > 0


def test_names_only(run: Run, on_the_mini_benchmark: None) -> None:
    status, out, _ = run("flan_rte", "--against", "flan_rte", "flan_cola:test", "--names_only")
    assert status == 1
    assert "evaluation task  instances" not in out
    assert "1 of 2 evaluation tasks have a source dataset in common" in out
    names = ["flan_rte", "--against", "flan_rte", "flan_cola", "--names_only"]
    assert run(*names, "--threshold=0.5")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["superni_en_def:", "--against", "FILE"], "'superni_en_def:' must be NAME, NAME:SPLIT"),
        (["superni_en_dev", "--against", "FILE"], "did you mean 'superni_en_def'"),
        (["superni_en_def:tset", "--against", "FILE"], "split='tset' is not one of"),
        (["FILE", "--against", "FILE", "--ngram=7"], "--ngram=7 must be a whole number ≥ 8"),
        (
            ["FILE", "--against", "FILE", "--short_ngram=3"],
            "--short_ngram=3 must be a whole number",
        ),
        (["FILE", "--against", "FILE", "--jaccard=0"], "--jaccard=0.0 must be in (0, 1]"),
        (["FILE", "--against", "FILE", "--threshold=2"], "--threshold=2.0 must be in [0, 1]"),
        (["no.jsonl", "--against", "FILE"], "no.jsonl: cannot be read"),
        (["/dev/stdin.jsonl", "--against", "FILE"], "/dev/stdin.jsonl: cannot be read"),
        (["EMPTY", "--against", "FILE"], "has no examples; leave it out"),
        (["WRONG", "--against", "FILE"], "wrong.jsonl:2: targets is missing; correct the line"),
        (["FILE", "--against", "FILE", "--json=."], ".: cannot be written"),
        (["FILE", "--against", "FILE", "--json=NEW", "--html=NEW"], "or written by another flag"),
        (["FILE", "--against", "FILE", "--html=FILE"], "is audited or written by another flag"),
    ],
)
def test_errors(
    run: Run, against: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    wrong = write(tmp_path / "wrong.jsonl", {"inputs": "", "targets": ""}, {"inputs": ""})
    places = {
        "FILE": against,
        "NEW": tmp_path / "new",
        "EMPTY": write(tmp_path / "empty.jsonl"),
        "WRONG": wrong,
    }
    for name, path in places.items():
        arguments = [text.replace(name, str(path)) for text in arguments]
    status, out, err = run(*arguments)
    assert (status, out) == (2, "")
    assert message in err


class _Marked(HTMLParser):
    """The marked texts of a page, and its elements."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.marked: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] == "mark":
            self.marked.append(data)

    def handle_endtag(self, tag: str) -> None:
        self.tags.append(f"/{tag}")


def test_a_page_of_hostile_texts() -> None:
    one = instances.Instance("<b>", "<i>", HOSTILE, [HOSTILE])
    found = overlap([one], [one], Settings())
    audit = Audit(
        format=1,
        settings=Settings(),
        train=["<u>"],
        against=["<u>"],
        num_train=1,
        left_out=0,
        tasks=found.tasks,
        train_datasets={},
        eval_datasets={},
        origins=[],
        texts=found.texts,
    )
    text = page.html(audit)
    of = _Marked(text)
    assert of.tags.count("script") == 1
    assert not {"i", "u"} & {*of.tags}
    assert of.tags.count("b") == len(found.texts)
    assert len(of.marked) == 4  # each text twice
    assert "script>alert(1)</script>{{ 7*7 }}" in of.marked[0]
    assert not re.search("[\x1b\u202e]", text)
    assert "://" not in text.replace(HOSTILE, "")
