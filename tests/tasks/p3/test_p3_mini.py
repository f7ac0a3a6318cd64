"""The synthetic P3: the Hub's files, columns and splits, rows that make sense and awkward ones."""

import gzip
import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import gin
import pyarrow.parquet as pq
import pytest
import sentencepiece

from tk_instruct import cli, configuration
from tk_instruct.data import registry
from tk_instruct.data.task import Task
from tk_instruct.errors import UserError
from tk_instruct.tasks.p3 import mini

SPLITS = {
    "ag_news": ["test", "train"],
    "anli": sorted(f"{part}_r{n}" for part in ("train", "dev", "test") for n in (1, 2, 3)),
    "common_gen": ["test", "train", "validation"],
    "glue/mrpc": ["test", "train", "validation"],
    "quoref": ["train", "validation"],
    "super_glue/axg": ["test"],
    "super_glue/copa": ["test", "train", "validation"],
    "super_glue/rte": ["test", "train", "validation"],
    "trec": ["test", "train"],
    "wino_bias/type1_anti": ["test", "validation"],
    "wino_bias/type1_pro": ["test", "validation"],
}
Rows = list[dict[str, Any]]


@pytest.fixture
def directory(p3_dir: Path) -> Path:
    return p3_dir


def _read(path: Path) -> Rows:
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return [json.loads(line) for line in text.decode().splitlines()]


def _rows(directory: Path, dataset: str, split: str | None = None) -> Rows:
    """The rows of a split, or of all."""
    paths = sorted((directory / dataset).iterdir())
    return [
        r for p in paths if split in (None, p.name.split(".")[0].split("-")[0]) for r in _read(p)
    ]


def _content(tree: Path) -> dict[str, str]:
    return {
        str(path.relative_to(tree)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in tree.rglob("*")
        if path.is_file()
    }


def test_there_is_a_dataset_for_each_file_of_templates(directory: Path) -> None:
    prompts = Path(mini.__file__).parent / "prompts"
    of_templates = {str(p.parent.relative_to(prompts)) for p in prompts.rglob("templates.yaml")}
    assert of_templates == set(SPLITS)
    found = {str(path.parent.relative_to(directory)) for path in directory.rglob("*.*")}
    assert found == set(SPLITS)


@pytest.mark.parametrize("dataset", SPLITS)
def test_splits_and_their_sizes_are_there(directory: Path, dataset: str) -> None:
    sizes: Counter[str] = Counter()
    for path in (directory / dataset).iterdir():
        sizes[path.name.split(".")[0].split("-")[0]] += len(_read(path))
    assert sorted(sizes) == SPLITS[dataset]
    for split, size in sizes.items():
        assert size == (60 if split.startswith("train") else 24)


def test_files_are_of_all_the_kinds_that_are_met(directory: Path) -> None:
    kinds = Counter("".join(path.suffixes) for path in directory.rglob("*.*"))
    assert set(kinds) == {".parquet", ".jsonl", ".jsonl.gz"}
    assert sorted(path.name for path in (directory / "ag_news").glob("train*")) == [
        "train-00000-of-00002.parquet",
        "train-00001-of-00002.parquet",
    ]


def test_columns_have_the_types_of_the_hub(directory: Path) -> None:
    def types(path: str) -> dict[str, str]:
        schema = pq.read_schema(directory / path)
        return {name: str(schema.field(name).type) for name in schema.names}

    assert types("ag_news/test.parquet") == {"text": "string", "label": "int64"}
    assert types("glue/mrpc/train.parquet") == {
        "sentence1": "string",
        "sentence2": "string",
        "label": "int64",
        "idx": "int32",
    }
    assert types("quoref/train.parquet")["answers"] == (
        "struct<answer_start: list<element: int32>, text: list<element: string>>"
    )
    wino_bias = types("wino_bias/type1_pro/test.parquet")
    assert wino_bias["tokens"] == wino_bias["coreference_clusters"] == "list<element: string>"
    assert wino_bias["pos_tags"] == "list<element: int64>"
    assert set(_rows(directory, "trec")[0]) == {"text", "coarse_label", "fine_label"}


@pytest.mark.parametrize("dataset", SPLITS)
def test_no_slot_is_left_over(directory: Path, dataset: str) -> None:
    text = json.dumps(_rows(directory, dataset)).replace("{{ text }} {% if label %}", "")
    # What is left of braces begins an object.
    assert all(part[:1] in ('"', "") for part in text.split("{")[1:])
    assert " / " not in text


@pytest.mark.parametrize(
    ("dataset", "column"),
    [
        ("ag_news", "label"),
        ("anli", "label"),
        ("glue/mrpc", "label"),
        ("super_glue/axg", "label"),
        ("super_glue/copa", "label"),
        ("super_glue/rte", "label"),
    ],
)
def test_labels_are_balanced(directory: Path, dataset: str, column: str) -> None:
    labels = Counter(row[column] for row in _rows(directory, dataset))
    hidden = 24 if dataset in ("super_glue/copa", "super_glue/rte") else 0
    assert labels.pop(-1, 0) == hidden
    assert max(labels.values()) <= 1.1 * min(labels.values())


def test_what_can_be_learnt_holds(directory: Path) -> None:
    for row in _rows(directory, "glue/mrpc", "validation"):
        first, second = ({*row[f"sentence{n}"].lower().strip(".").split()} for n in (1, 2))
        assert row["label"] == (first == second)
    for row in _rows(directory, "super_glue/copa", "validation"):
        assert row["choice1"] != row["choice2"]
        assert row["question"] in ("cause", "effect")
    for row in _rows(directory, "quoref", "validation"):
        for start, text in zip(*row["answers"].values(), strict=True):
            assert row["context"][start:].startswith(text)
    for row in _rows(directory, "common_gen", "validation"):
        assert all(word in row["target"] for word in row["concepts"])


def test_wino_bias_s_pronoun_follows_the_stereotype_or_goes_against_it(directory: Path) -> None:
    for kind in ("pro", "anti"):
        rows = _rows(directory, f"wino_bias/type1_{kind}")
        referents = Counter(row["coreference_clusters"][0] for row in rows)
        assert len(referents) == 2
        assert len(set(referents.values())) == 1
        for row in rows:
            assert len({len(row[name]) for name in ("tokens", "pos_tags", "speaker")}) == 1
            first, last, at, _ = map(int, row["coreference_clusters"])
            job, pronoun = row["tokens"][last], row["tokens"][at]
            assert row["tokens"][first].lower() == "the"
            assert pronoun in ("he", "she")
            is_usual = (job in mini._JOBS[0].split()) == (pronoun == "he")
            assert is_usual == (kind == "pro")
            assert ("needed" in row["tokens"]) == (first == 0)


def test_some_rows_are_awkward(directory: Path) -> None:
    news = [row["text"] for row in _rows(directory, "ag_news", "train")]
    assert "" in news
    assert any("|||" in text for text in news)
    assert any("{{" in text for text in news)
    assert any(len(text) > 3000 for text in news)
    assert any("|||" in " ".join(r["concepts"]) for r in _rows(directory, "common_gen", "train"))
    assert {row["target"] for row in _rows(directory, "common_gen", "test")} == {""}
    assert {row["label"] for row in _rows(directory, "super_glue/rte", "test")} == {-1}
    assert any(r["choice1"] == r["choice2"] for r in _rows(directory, "super_glue/copa", "train"))
    answers = [row["answers"]["text"] for row in _rows(directory, "quoref", "train")]
    assert any("|||" in " ".join(texts) for texts in answers)
    assert any(len(texts) == 3 and len({*texts}) == 2 for texts in answers)
    assert {row["reason"] == "" for row in _rows(directory, "anli")} == {True, False}


def test_splits_differ(directory: Path) -> None:
    train, test = (_rows(directory, "super_glue/rte", split) for split in ("train", "validation"))
    assert not {row["premise"] for row in train} & {row["premise"] for row in test}
    rounds = [{r["premise"] for r in _rows(directory, "anli", f"train_r{n}")} for n in (1, 2, 3)]
    assert rounds[0] != rounds[1] != rounds[2]


def test_the_same_bytes_again_and_what_is_there_is_kept(
    directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["mini", str(tmp_path / "again"), "--suite=p3"]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'again'}\n"
    assert _content(tmp_path / "again") == _content(directory)
    assert mini.write(directory) == directory


def test_other_files_are_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="something other than the synthetic P3"):
        mini.write(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_what_is_damaged_is_written_again(caplog: pytest.LogCaptureFixture) -> None:
    make = mini.mini_p3.__wrapped__.__wrapped__
    folder = Path(make())
    before = _content(folder)
    (folder / "trec" / "train.jsonl.gz").write_text("damaged")
    assert make() == str(folder)
    assert caplog.messages == [f"{folder} is not as it was written: it is made again"]
    assert _content(folder) == before


def _use(data: Path) -> None:
    configuration.import_declarations()
    gin.bind_parameter("P3.data", str(data))


def _loaded(name: str, split: str) -> list[Any]:
    task = registry.get(name)
    assert isinstance(task, Task)
    return list(task.source.load(split))


def test_all_tasks_have_examples(directory: Path) -> None:
    _use(directory)
    for mixture, split in (("p3_train", "train"), ("p3_eval", "validation")):
        for task in registry.tasks_of(mixture):
            found = _loaded(task.name, split)
            assert len(found) >= 10, task.name
            if mixture == "p3_eval":
                assert all(example["answer"] in example["options"] for example in found)
    found = _loaded("p3_super_glue_axg_short_form", "test")
    assert len(found) == 24
    found = _loaded("p3_wino_bias_type1_anti_who_is_it", "validation")
    assert {example["answer"][:4] for example in found} == {"The ", "the "}


def test_an_older_file_of_trec_gives_the_same_examples(directory: Path, tmp_path: Path) -> None:
    """The columns that a dash is in, and the older numbers of kinds and places."""
    coarse, fine = {0: 2, 1: 1, 2: 0, 3: 3, 4: 5, 5: 4}, {32: 21, 33: 18}
    older = [
        {
            "label-coarse": coarse[row["coarse_label"]],
            "label-fine": fine.get(row["fine_label"], 0),
            "text": row["text"],
        }
        for row in _rows(directory, "trec", "train")
    ]
    (tmp_path / "trec").mkdir()
    lines = "".join(f"{json.dumps(row)}\n" for row in older)
    (tmp_path / "trec" / "train.jsonl").write_text(lines)
    of_templates = [name for name in registry.get("p3_train").parts if "_trec_" in name]
    assert len(of_templates) == 5
    for name in of_templates:
        pairs = []
        for data in (directory, tmp_path):
            _use(data)
            pairs.append([(e["prompt"], e["answer"]) for e in _loaded(name, "train")])
        assert pairs[0] == pairs[1]


def test_a_vocabulary_is_trained_once_on_the_prompts(directory: Path) -> None:
    _use(directory)
    make = mini.p3_vocabulary.__wrapped__.__wrapped__
    path = make(1000)
    assert make(1000) == path != make(900)
    trained = sentencepiece.SentencePieceProcessor(model_file=path)
    assert trained.vocab_size() <= 1000
    assert len(trained.encode("What kind of answer do they want?")) <= 9


def test_a_run_whose_tasks_have_no_validation_split_says_so_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["train", "--gin_file=recipes/smoke_p3.gin", "--gin.VOCABULARY='bytes'"]
    arguments += ["--gin.VOCAB_SIZE=384", f"--gin.MODEL_DIR='{tmp_path / 'run'}'"]
    task = "p3_ag_news_who_gets_the_report"
    assert cli.main([*arguments, f"--gin.MIXTURE_OR_TASK_NAME='{task}'"]) == 2
    error = capsys.readouterr().err
    assert "validation*.parquet" in error
    assert error.endswith(", or train without validation (EVAL_PERIOD=0)\n")
    assert not (tmp_path / "run").exists()
