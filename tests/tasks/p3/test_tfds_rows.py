"""Small datasets in TFDS's own files → whole rows with Hugging Face's columns and types."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gin
import pytest

from tk_instruct.errors import MissingDataError, UserError
from tk_instruct.quiet_tensorflow import import_tensorflow_quietly
from tk_instruct.tasks.p3 import tfds_rows

Columns = Mapping[str, Any]


def _blank(feature: Any) -> Any:
    """A valid value of a feature of TFDS."""
    import tensorflow_datasets as tfds

    if isinstance(feature, tfds.features.FeaturesDict):
        return {name: _blank(inner) for name, inner in feature.items()}
    if isinstance(feature, tfds.features.Sequence):
        return []
    return "" if isinstance(feature, tfds.features.Text) or feature.np_dtype in (str, object) else 0


def write(directory: Path, name: str, splits: Mapping[str, Sequence[Columns]]) -> None:
    """Writes a dataset as TFDS prepares it. Columns that are not given are blank."""
    import_tensorflow_quietly()
    import tensorflow_datasets as tfds

    dataset, version = name.split(":")
    builder, _, config = dataset.partition("/")
    folder = directory / dataset / version
    folder.mkdir(parents=True)
    features = tfds.builder(name, data_dir=str(directory)).info.features
    identity = tfds.core.dataset_info.DatasetIdentity(
        builder, tfds.core.Version(version), str(folder), __name__, config or None
    )
    info = tfds.core.DatasetInfo(builder=identity, description="", features=features)
    writer = tfds.core.SequentialWriter(info, max_examples_per_shard=2)
    writer.initialize_splits(list(splits))
    for split, examples in splits.items():
        writer.add_examples({split: [{**_blank(features), **example} for example in examples]})
    writer.close_all()


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    gin.bind_parameter("tfds_data_dir.directory", str(tmp_path))
    return tmp_path


def same(**columns: Any) -> tuple[Columns, list[Columns]]:
    """A case in which TFDS's columns are the Hub's."""
    return columns, [columns]


NLI = {"premise": "It rains.", "hypothesis": "It is wet.", "idx": 4}
SUMMARY = {"document": "One.\nTwo – ‘three’.", "summary": "One"}
ANSWERS = {"text": ["Rome", "in Rome"], "answer_start": [3, 0]}
MULTIRC = {"paragraph": "P.", "question": "Q?", "answer": "A", "label": 1}
OPTIONS = [["a", "b", "c", "d"], ["e", "f", "g", "h"]]
WINOGRANDE = {"sentence": "The _ fell.", "option1": "cup", "option2": "jug"}
ARC = {"id": "M_1", "question": "Why?"}
OPENBOOKQA = {f"choice_{letter}": letter.lower() for letter in "ABCD"}
SWAG = {"endings": ["a", "b", "c", "d"], "activity_label": "Roofs", "split_type": "indomain"}
TWO_SENTENCES = "Dr. Roe is here. Ann sits."
TRIVIA = {
    "question": "Who?",
    "question_id": "tc_1",
    "question_source": "http://x",
    "entity_pages": {
        "doc_source": ["TagMe"],
        "filename": ["a.txt"],
        "title": ["A"],
        "wiki_context": ["…"],
    },
    "search_results": {
        "description": ["d"],
        "filename": ["b.txt"],
        "rank": [3],
        "title": ["B"],
        "url": ["http://y"],
        "search_context": ["…"],
    },
    "answer": {
        "aliases": ["Ann", "A."],
        "normalized_aliases": ["ann", "a"],
        "matched_wiki_entity_name": "",
        "normalized_matched_wiki_entity_name": "",
        "normalized_value": "ann",
        "type": "FreeForm",
        "value": "Ann",
    },
}
STORY = {"endings": ["Yes.", "No."], "label": 2}
QUIZ = {"sentence_quiz1": "Yes.", "sentence_quiz2": "No.", "answer_right_ending": 2}

# dataset, split, an example's columns in TFDS, its rows
CASES: list[tuple[str, str, tuple[Columns, list[Columns]]]] = [
    ("glue/mrpc", "train", same(sentence1="A.", sentence2="B.", label=1, idx=7)),
    ("glue/qqp", "test", same(question1="A?", question2="B?", label=-1, idx=0)),
    ("paws/labeled_final", "validation", same(sentence1="A , b .", sentence2="B .", label=1)),
    (
        "cos_e/v1.11",
        "train",
        same(
            id="1",
            question="Where?",
            choices=["here", "there"],
            answer="here",
            abstractive_explanation="so",
            extractive_explanation="Where",
        ),
    ),
    (
        "cosmos_qa",
        "test",
        same(
            id="3#1",
            context="C.",
            question="Q?",
            answer0="a",
            answer1="b",
            answer2="c",
            answer3="None of the above choices .",
            label=-1,
        ),
    ),
    (
        "qasc",
        "train",
        same(
            id="x",
            question="What?",
            choices={"text": ["sand", "bees"], "label": ["A", "B"]},
            answerKey="B",
            fact1="F1",
            fact2="F2",
            combinedfact="F",
            formatted_question="What? (A) sand (B) bees",
        ),
    ),
    ("imdb", "unsupervised", same(text="Good<br />film", label=-1)),
    (
        "common_gen",
        "train",
        (
            {"concept_set_id": 5, "concepts": ["dog", "run"], "target": "A dog runs."},
            [{"concept_set_idx": 5, "concepts": ["dog", "run"], "target": "A dog runs."}],
        ),
    ),
    (
        "common_gen",
        "validation",
        (
            {"concept_set_id": 5, "concepts": ["dog"], "target": "A.", "references": ["A.", "B."]},
            [
                {"concept_set_idx": 5, "concepts": ["dog"], "target": "A."},
                {"concept_set_idx": 5, "concepts": ["dog"], "target": "B."},
            ],
        ),
    ),
    (
        "wiki_bio",
        "val",
        same(
            input_text={
                "table": {
                    "column_header": ["name", "born"],
                    "row_number": [1, 1],
                    "content": ["Zoë", "1970"],
                },
                "context": "zoë\n",
            },
            target_text="zoë was born .\n",
        ),
    ),
    (
        "cnn_dailymail/3.0.0",
        "train",
        (
            {"article": "A.", "highlights": "H .\nI .", "publisher": "CNN", "id": "42"},
            [{"article": "A.", "highlights": "H .\nI .", "id": "42"}],
        ),
    ),
    ("gigaword", "test", same(**SUMMARY)),
    ("multi_news", "train", same(**SUMMARY)),
    ("samsum", "validation", same(id="13", dialogue="A: Hi\r\nB: Bye", summary="Hi")),
    ("xsum", "train", same(**SUMMARY)),
    (
        "ag_news",
        "test",
        (
            {"title": "Oil up", "description": "Again\\much.", "label": 2},
            [{"text": "Oil up Again\\much.", "label": 2}],
        ),
    ),
    (
        "trec",
        "train",
        (
            {"label-coarse": "HUM", "label-fine": "desc", "text": "Who was Ann ?"},
            [
                {
                    "label-coarse": 3,
                    "label-fine": 12,
                    "coarse_label": 3,
                    "fine_label": 31,
                    "text": "Who was Ann ?",
                }
            ],
        ),
    ),
    (
        "trec",
        "test",
        (
            {"label-coarse": "NUM", "label-fine": "weight", "text": "How heavy ?"},
            [
                {
                    "label-coarse": 4,
                    "label-fine": 45,
                    "coarse_label": 5,
                    "fine_label": 49,
                    "text": "How heavy ?",
                }
            ],
        ),
    ),
    *(
        (
            f"ai2_arc/ARC-{level}",
            "validation",
            (
                {
                    **ARC,
                    "choices": {"text": ["p", "q", "r"], "label": ["A", "B", "C"]},
                    "answerKey": "C",
                },
                [
                    {
                        **ARC,
                        "choices": {"text": ["p", "q", "r"], "label": ["A", "B", "C"]},
                        "answerKey": "C",
                    }
                ],
            ),
        )
        for level in ("Challenge", "Easy")
    ),
    ("trivia_qa/unfiltered", "train", same(**TRIVIA)),
    ("web_questions", "test", same(url="http://x", question="who?", answers=["Ann", "Bob"])),
    (
        "squad_v2",
        "train",
        (
            {
                "id": "a1",
                "title": "The_Sea",
                "context": "In Rome.",
                "question": "Where?",
                "answers": ANSWERS,
                "plausible_answers": ANSWERS,
                "is_impossible": False,
            },
            [
                {
                    "id": "a1",
                    "title": "The_Sea",
                    "context": "In Rome.",
                    "question": "Where?",
                    "answers": ANSWERS,
                }
            ],
        ),
    ),
    (
        "squad_v2",
        "validation",
        (
            {"id": "a2", "is_impossible": True},
            [
                {
                    "id": "a2",
                    "title": "",
                    "context": "",
                    "question": "",
                    "answers": {"text": [], "answer_start": []},
                }
            ],
        ),
    ),
    (
        "openbookqa/main",
        "test",
        (
            {"question": {"stem": "Ice is", **OPENBOOKQA}, "fact1": "F", "answerKey": "D"},
            [
                {
                    "question_stem": "Ice is",
                    "choices": {"text": ["a", "b", "c", "d"], "label": ["A", "B", "C", "D"]},
                    "answerKey": "D",
                }
            ],
        ),
    ),
    *(
        (
            f"race/{level}",
            "validation",
            (
                {
                    "article": "Text.",
                    "questions": ["One?", "Two?"],
                    "answers": ["B", "D"],
                    "options": OPTIONS,
                    "example_id": "1.txt",
                },
                [
                    {
                        "example_id": "1.txt",
                        "article": "Text.",
                        "answer": answer,
                        "question": question,
                        "options": options,
                    }
                    for question, answer, options in zip(
                        ("One?", "Two?"), "BD", OPTIONS, strict=True
                    )
                ],
            ),
        )
        for level in ("high", "middle")
    ),
    ("piqa", "validation", same(goal="Open", sol1="pull", sol2="push", label=1)),
    (
        "hellaswag",
        "validation",
        (
            {"context": "A man is on a roof. he", "label": 3, "source_id": "activitynet~1", **SWAG},
            [
                {
                    "ctx_a": "A man is on a roof.",
                    "ctx_b": "he",
                    "ctx": "A man is on a roof. he",
                    "source_id": "activitynet~1",
                    "label": "3",
                    **SWAG,
                }
            ],
        ),
    ),
    (
        "hellaswag",
        "test",
        (
            {"context": "[title] Sit. [step] Go on", "label": -1, "source_id": "wikihow~1", **SWAG},
            [
                {
                    "ctx_a": "[title] Sit. [step] Go on",
                    "ctx_b": "",
                    "ctx": "[title] Sit. [step] Go on",
                    "source_id": "wikihow~1",
                    "label": "",
                    **SWAG,
                }
            ],
        ),
    ),
    (
        "super_glue/record",
        "train",
        same(
            passage="P\n@highlight\nH",
            query="@placeholder ran",
            entities=["Ann", "Bob"],
            answers=["Bob"],
            idx={"passage": 1, "query": 2},
        ),
    ),
    ("super_glue/boolq", "train", same(question="is it", passage="P", idx=1, label=1)),
    (
        "super_glue/copa",
        "test",
        same(premise="P.", choice1="A.", choice2="B.", question="cause", idx=0, label=-1),
    ),
    (
        "super_glue/multirc",
        "train",
        same(**MULTIRC, idx={"paragraph": 1, "question": 2, "answer": 3}),
    ),
    (
        "super_glue/wsc.fixed",
        "validation",
        same(
            text="Ann saw Bob; she ran.",
            span1_index=0,
            span2_index=3,
            span1_text="Ann",
            span2_text="she",
            idx=9,
            label=1,
        ),
    ),
    (
        "super_glue/wic",
        "train",
        same(
            word="bank",
            sentence1="A bank.",
            sentence2="Banks.",
            start1=2,
            start2=0,
            end1=6,
            end2=5,
            idx=3,
            label=0,
        ),
    ),
    ("super_glue/rte", "train", same(**NLI, label=1)),
    ("super_glue/cb", "train", same(**NLI, label=2)),
    ("super_glue/axg", "test", same(**NLI, label=0)),
    *(
        (
            "anli",
            f"{split}_{round_}",
            (
                {"uid": "u", "context": "C.", "hypothesis": "H.", "label": "n"},
                [{"uid": "u", "premise": "C.", "hypothesis": "H.", "label": 1}],
            ),
        )
        for split, round_ in (("train", "r1"), ("dev", "r2"), ("test", "r3"))
    ),
    *(
        (
            f"winogrande/winogrande_{size}",
            split,
            ({**WINOGRANDE, "label": label}, [{**WINOGRANDE, "answer": answer}]),
        )
        for size, split, label, answer in (
            ("xs", "train", 0, "1"),
            ("s", "train", 1, "2"),
            ("m", "validation", 1, "2"),
            ("l", "train", 0, "1"),
            ("xl", "test", -1, ""),
        )
    ),
    (
        "story_cloze/2016",
        "validation",
        (
            {"context": f'{TWO_SENTENCES} "Go!" he said. Mrs. Roe ran.', **STORY},
            [
                {
                    "input_sentence_1": "Dr. Roe is here.",
                    "input_sentence_2": "Ann sits.",
                    "input_sentence_3": '"Go!"',
                    "input_sentence_4": "he said. Mrs. Roe ran.",
                    **QUIZ,
                }
            ],
        ),
    ),
    (
        "story_cloze/2016",
        "test",
        (
            {"context": TWO_SENTENCES, **STORY},
            [
                {
                    "input_sentence_1": "Dr. Roe is here.",
                    "input_sentence_2": "Ann sits.",
                    "input_sentence_3": "",
                    "input_sentence_4": "",
                    **QUIZ,
                }
            ],
        ),
    ),
]

# TFDS's names of splits, where they are others than the Hub's.
IN_TFDS = {
    ("wiki_bio", "val"): "validation",
    ("race/high", "validation"): "dev",
    ("race/middle", "validation"): "dev",
    ("anli", "train_r1"): "train",
    ("anli", "dev_r2"): "validation",
    ("anli", "test_r3"): "test",
    **{
        (f"winogrande/winogrande_{size}", "train"): f"train_{size}"
        for size in ("xs", "s", "m", "l", "xl")
    },
}


@pytest.mark.parametrize(
    ("dataset", "split", "case"), CASES, ids=[f"{dataset}-{split}" for dataset, split, _ in CASES]
)
def test_whole_rows(
    data_dir: Path, dataset: str, split: str, case: tuple[Columns, list[Columns]]
) -> None:
    example, expected = case
    name = tfds_rows.name_of(dataset, split)
    assert name is not None
    write(data_dir, name, {IN_TFDS.get((dataset, split), split): [example]})

    found = list(tfds_rows.rows(dataset, split))

    assert found == expected
    assert [_types(row) for row in found] == [_types(row) for row in expected]
    assert tfds_rows.num_rows(dataset, split) == len(expected)


def _types(value: Any) -> Any:
    """The type of a value and of what it holds: True is equal to 1, but no label."""
    if isinstance(value, dict):
        return {key: _types(item) for key, item in value.items()}
    return [_types(item) for item in value] if isinstance(value, list) else type(value)


def test_every_dataset_has_a_case() -> None:
    assert sorted({dataset for dataset, _, _ in CASES}) == sorted(tfds_rows.names())


def test_names_and_splits_are_those_of_the_installed_tfds() -> None:
    import tensorflow_datasets as tfds

    for dataset in tfds_rows.names():
        for split in tfds_rows.splits(dataset):
            name = tfds_rows.name_of(dataset, split)
            assert name is not None
            built, _, version = name.partition(":")
            assert tfds.builder(name).info.full_name == f"{built}/{version}"


def test_trec_numbers_all_fine_labels_as_the_hub_does(data_dir: Path) -> None:
    """The newer numbering is by coarse label, then mostly by the letters of the fine label."""
    pairs = [
        ("ABBR", "abb"), ("ABBR", "exp"), ("ENTY", "animal"), ("ENTY", "word"), ("DESC", "def"),
        ("DESC", "reason"), ("HUM", "gr"), ("HUM", "desc"), ("LOC", "city"), ("LOC", "state"),
        ("NUM", "code"), ("NUM", "other"), ("NUM", "weight"),
    ]  # fmt: skip
    examples = [{"label-coarse": coarse, "label-fine": fine} for coarse, fine in pairs]
    write(data_dir, "trec:1.0.0", {"train": examples})
    found = list(tfds_rows.rows("trec", "train"))
    assert [row["fine_label"] for row in found] == [0, 1, 2, 23, 24, 27, 28, 31, 32, 36, 37, 43, 49]
    assert [row["coarse_label"] for row in found] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 5]
    assert [row["label-coarse"] for row in found] == [2, 2, 1, 1, 0, 0, 3, 3, 5, 5, 4, 4, 4]


def test_rows_come_in_the_order_of_the_files_and_one_by_one(data_dir: Path) -> None:
    examples = [{"premise": f"P{n}.", "label": n % 2} for n in range(5)]
    write(data_dir, "super_glue/rte:1.0.2", {"train": examples, "validation": examples[:1]})
    stream = tfds_rows.rows("super_glue/rte", "train")
    assert next(stream) == {"premise": "P0.", "hypothesis": "", "label": 0, "idx": 0}
    assert [row["premise"] for row in stream] == ["P1.", "P2.", "P3.", "P4."]
    assert tfds_rows.num_rows("super_glue/rte", "validation") == 1


def test_rows_of_race_are_counted_again_when_its_files_change(data_dir: Path) -> None:
    article = {"questions": ["1?", "2?"], "answers": ["A", "B"], "options": OPTIONS}
    write(data_dir, "race/high:2.0.0", {"train": [article, article]})
    assert tfds_rows.num_rows("race/high", "train") == 4
    (data_dir / "race").rename(data_dir / "old")
    write(data_dir, "race/high:2.0.0", {"train": [article]})
    assert tfds_rows.num_rows("race/high", "train") == 2


def test_a_fingerprint_changes_with_the_files(data_dir: Path) -> None:
    write(data_dir, "piqa:1.0.0", {"train": [{"goal": "Go"}]})
    first = tfds_rows.fingerprint("piqa")
    assert tfds_rows.fingerprint("piqa", "train") == first
    (path,) = (data_dir / "piqa" / "1.0.0").glob("*tfrecord*")
    os.utime(path, (1, 1))
    assert tfds_rows.fingerprint("piqa") != first


def test_a_round_of_anli_needs_only_its_own_files(data_dir: Path) -> None:
    write(data_dir, "anli/r1:0.1.0", {"train": [{"uid": "u", "label": "e"}]})
    assert tfds_rows.fingerprint("anli", "dev_r1") == tfds_rows.fingerprint("anli", "train_r1")
    with pytest.raises(MissingDataError, match=r"anli/r2:0\.1\.0 is not in"):
        tfds_rows.fingerprint("anli")
    with pytest.raises(MissingDataError, match=r"anli/r2:0\.1\.0 is not in"):
        next(tfds_rows.rows("anli", "dev_r2"))


def test_all_rounds_of_anli_are_prepared(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for round_ in ("r1", "r2", "r3"):
        write(data_dir, f"anli/{round_}:0.1.0", {"train": [{"uid": "u", "label": "e"}]})
    assert str(tfds_rows.prepare("anli")) == str(data_dir / "anli" / "r1" / "0.1.0")
    asked: list[str] = []
    monkeypatch.setattr("tk_instruct.data.tfds_source.prepare", asked.append)
    tfds_rows.prepare("anli")
    assert asked == ["anli/r1:0.1.0", "anli/r2:0.1.0", "anli/r3:0.1.0"]


def test_names_in_tfds() -> None:
    assert tfds_rows.name_of("paws/labeled_final") == "paws_wiki/labeled_final_tokenized:1.1.0"
    assert tfds_rows.name_of("anli", "dev_r3") == "anli/r3:0.1.0"
    assert tfds_rows.name_of("anli") == "anli/r1:0.1.0"
    assert tfds_rows.name_of("wino_bias/type1_pro") is None
    assert tfds_rows.name_of("glue/mrpc", "dev") is None


def test_what_is_not_there_is_told(data_dir: Path) -> None:
    with pytest.raises(MissingDataError, match=r"piqa:1\.0\.0 is not in .*--tfds_data_dir"):
        next(tfds_rows.rows("piqa", "train"))
    with pytest.raises(UserError, match=r"TFDS does not have quoref, only .*--p3_data"):
        next(tfds_rows.rows("quoref", "train"))
    with pytest.raises(UserError, match="piqa of TFDS has the splits train, validation and no 'x'"):
        tfds_rows.num_rows("piqa", "x")


def test_data_of_another_schema_are_told(data_dir: Path) -> None:
    import tensorflow_datasets as tfds

    folder = data_dir / "piqa" / "1.0.0"
    folder.mkdir(parents=True)
    identity = tfds.core.dataset_info.DatasetIdentity(
        "piqa", tfds.core.Version("1.0.0"), str(folder), __name__
    )
    features = tfds.features.FeaturesDict({"goal": tfds.features.Text()})
    info = tfds.core.DatasetInfo(builder=identity, description="", features=features)
    writer = tfds.core.SequentialWriter(info, max_examples_per_shard=9)
    writer.initialize_splits(["train"])
    writer.add_examples({"train": [{"goal": "Go"}]})
    writer.close_all()
    with pytest.raises(UserError, match=r"piqa: .* has no field 'sol1', only goal;"):
        next(tfds_rows.rows("piqa", "train"))


def test_licences_are_what_tfds_says() -> None:
    assert "non-commercial research" in tfds_rows.licence("multi_news")
    assert tfds_rows.licence("glue/mrpc") == tfds_rows.licence("quoref") == ""


def test_all_columns_that_templates_read_are_there(shared_data: Path) -> None:
    """Of the templates of PromptSource 0.1.0 for these datasets."""
    import io
    import tarfile

    import yaml
    from jinja2 import Environment, meta

    class Loader(yaml.SafeLoader):
        """Reads PromptSource's tags as dictionaries."""

    for tag in ("!Template", "!TemplateMetadata"):
        Loader.add_constructor(tag, lambda loader, node: loader.construct_mapping(node, deep=True))
    environment = Environment(extensions=["jinja2.ext.do"])
    environment.filters |= dict.fromkeys(("choice", "most_frequent", "highlight"), str)
    columns = {
        dataset: {name.replace("-", "_") for row in rows for name in row}
        for dataset, _, (_, rows) in CASES
    }
    read: dict[str, set[str]] = {}
    archive = shared_data / "promptsource" / "promptsource-0.1.0-templates.tar.gz"
    with tarfile.open(archive) as tar:
        for member in tar:
            dataset = member.name.partition("templates/")[2].removesuffix("/templates.yaml")
            if not member.isfile() or dataset not in columns:
                continue
            content = tar.extractfile(member)
            assert content is not None
            document = yaml.load(io.TextIOWrapper(content, "utf-8"), Loader)
            read[dataset] = {
                name
                for template in document["templates"].values()
                for text in (template["jinja"], template["answer_choices"] or "")
                for name in meta.find_undeclared_variables(environment.parse(text))
            } - {"answer_choices", "zip"}
    assert read.keys() == columns.keys()
    assert {name: read[name] - columns[name] for name in read if read[name] - columns[name]} == {}
