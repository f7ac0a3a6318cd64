"""Synthetic rows for the datasets of tasks/p3/prompts, in files as Hugging Face's Hub has them.

For smoke runs and tests without the real datasets. Columns, types, labels and splits are the Hub's.
The sentences have rules that a tiny model can learn: words of a topic decide the section of a
report, the premise's words decide entailment, and who needs help is not who can help. A few rows
are awkward, as real ones are: they hold |||, an empty or a very long text, or no label.
"""

import argparse
import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import gin
import pyarrow as pa
import pyarrow.parquet

from tk_instruct.data import registry
from tk_instruct.data.task import Task
from tk_instruct.data.vocabulary import kept, train_sentencepiece
from tk_instruct.files import PathLike
from tk_instruct.synthetic import (
    CONTRADICTED,
    ENTAILED,
    OPEN,
    OTHER_SCENE,
    SAME_SCENE,
    SCENE,
    Words,
    kept_mini,
    write_whole,
)

_NUM_TRAIN, _NUM_OTHER = 60, 24
_NUM_READ = 20  # examples of each task that a vocabulary is trained on
_LONG = f"{SCENE} " * 75  # more than 3,000 characters


def _index(words: Words) -> int:
    return words.index


def _section(topic: str) -> str:
    return f"{{name}} speaks on {{day}}. The {{{topic}}}, the {{{topic}2}} and the {{{topic}3}}."


def _answers(words: Words) -> dict[str, Any]:
    """Quoref: the answer to the question, and where it stands in SCENE."""
    answer = words["asked"][1]
    return {"answer_start": [SCENE.format_map(words).index(answer)], "text": [answer]}


_JOBS = ("mechanic carpenter driver farmer guard", "nurse teacher baker librarian cleaner")
_WHY = ("needed help", "could help")  # of the first person and of the second


def _wino_bias(words: Words) -> dict[str, Any]:
    """WinoBias: two jobs, and a pronoun. In type1_pro the pronoun is the usual one of the job."""
    nth = words.index % 2
    kinds = (0, 1) if words.index // 2 % 2 else (1, 0)
    jobs = [words.draw(_JOBS[kind].split(), f"job {kind}") for kind in kinds]
    pronoun = ("he", "she")[kinds[nth] if words.name.endswith("pro") else 1 - kinds[nth]]
    sentence = f"The {jobs[0]} called the {jobs[1]} because {pronoun} {_WHY[nth]} ."
    tokens = sentence.split()
    first = 3 * nth
    return {
        "document_id": f"synthetic/{words.name}",
        "part_number": "0",
        "word_number": list(range(len(tokens))),
        "tokens": tokens,
        "pos_tags": [54] * len(tokens),  # 54 and 38: no tag
        "parse_bit": ["-"] * len(tokens),
        "predicate_lemma": ["-"] * len(tokens),
        "predicate_framenet_id": ["-"] * len(tokens),
        "word_sense": ["-"] * len(tokens),
        "speaker": ["-"] * len(tokens),
        "ner_tags": [38] * len(tokens),
        "verbal_predicates": [],
        "coreference_clusters": [str(first), str(first + 1), "6", "6"],
    }


@dataclass(frozen=True)
class _Dataset:
    """The rows and files of a dataset.

    Attributes:
        types: column → its type in Arrow.
        row: what Words.fill makes a row of.
        splits: with a number of files if they are more than one.
        suffix: of the files.
        odd: what the last rows of the first split have in place of the usual columns.
        hidden: what all rows of the split test have in place of the usual columns.
    """

    types: Mapping[str, pa.DataType]
    row: Any
    splits: Mapping[str, int]
    suffix: str = "parquet"
    odd: Sequence[Mapping[str, Any]] = ()
    hidden: Mapping[str, Any] = field(default_factory=dict)


_SPLITS = {"train": 1, "validation": 1, "test": 1}
_TEXT, _TEXTS, _NUMBER, _NUMBERS = (
    pa.string(),
    pa.list_(pa.string()),
    pa.int32(),
    pa.list_(pa.int32()),
)
_LABEL, _LABELS = pa.int64(), pa.list_(pa.int64())
_TYPES_OF_NLI = {"premise": _TEXT, "hypothesis": _TEXT, "idx": _NUMBER, "label": _LABEL}
_TWO_WAY_NLI = {
    "premise": SCENE,
    "hypothesis": (ENTAILED, f"{OPEN} / {CONTRADICTED}"),
    "idx": _index,
    "label": (0, 1),
}
_WINO_BIAS = _Dataset(
    {
        "document_id": _TEXT,
        "part_number": _TEXT,
        "word_number": _NUMBERS,
        "tokens": _TEXTS,
        "pos_tags": _LABELS,
        "parse_bit": _TEXTS,
        "predicate_lemma": _TEXTS,
        "predicate_framenet_id": _TEXTS,
        "word_sense": _TEXTS,
        "speaker": _TEXTS,
        "ner_tags": _LABELS,
        "verbal_predicates": _TEXTS,
        "coreference_clusters": _TEXTS,
    },
    _wino_bias,
    {"validation": 1, "test": 1},
)
_DATASETS: Mapping[str, _Dataset] = {
    "ag_news": _Dataset(
        {"text": _TEXT, "label": _LABEL},
        {
            "text": tuple(map(_section, ("world", "sport", "business", "science"))),
            "label": (0, 1, 2, 3),
        },
        {"train": 2, "test": 1},
        odd=(
            {"text": "{name} ||| {name2}: a {world}, ||| and a {world2}."},
            {"text": ""},
            {"text": "The {business}. " * 400},
            {"text": " {day}: a {science} {{{{ text }}}} {{% if label %}} \n\n<b>&amp;</b> "},
        ),
    ),
    "glue/mrpc": _Dataset(
        {"sentence1": _TEXT, "sentence2": _TEXT, "label": _LABEL, "idx": _NUMBER},
        {
            "sentence1": SCENE,
            "sentence2": (OTHER_SCENE, SAME_SCENE),
            "label": (0, 1),
            "idx": _index,
        },
        _SPLITS,
        odd=({"sentence1": f"||| {SCENE}"}, {"sentence2": ""}),
    ),
    "trec": _Dataset(
        {"text": _TEXT, "coarse_label": _LABEL, "fine_label": _LABEL},
        tuple(
            {"text": text, "coarse_label": coarse, "fine_label": fine}
            for text, coarse, fine in (
                ("What does the {thing} sign stand for ?", 0, 1),
                ("What animal {verb} in the {place} ?", 1, 2),
                ("What is a {thing} ?", 2, 24),
                ("Who saw the {thing} ?", 3, 29),
                ("What city is the capital of {capital[0]} ?", 4, 32),
                ("What country is {capital[1]} in ?", 4, 33),
                ("How many {thing}s are there ?", 5, 38),
            )
        ),
        {"train": 1, "test": 1},
        "jsonl.gz",
    ),
    "quoref": _Dataset(
        {
            "id": _TEXT,
            "question": _TEXT,
            "context": _TEXT,
            "title": _TEXT,
            "url": _TEXT,
            "answers": pa.struct({"answer_start": _NUMBERS, "text": _TEXTS}),
        },
        {
            "id": lambda words: f"{words.split}{words.index}",
            "question": "{asked[0]}",
            "context": SCENE,
            "title": "The {thing}",
            "url": "https://example.org/{thing}",
            "answers": _answers,
        },
        {"train": 1, "validation": 1},
        odd=(
            {"context": _LONG},
            {"answers": {"answer_start": [0, 0], "text": ["{name} ||| {name2}", "{name2}"]}},
            {"answers": {"answer_start": [0, 0, 5], "text": ["{name}", "{name}", "saw"]}},
        ),
    ),
    "common_gen": _Dataset(
        {"concept_set_idx": _NUMBER, "concepts": _TEXTS, "target": _TEXT},
        {
            "concept_set_idx": _index,
            "concepts": ["{animal}", "{place}", "{verb}"],
            "target": "The {animal} {verb} in the {place}. / In the {place} a {animal} {verb}.",
        },
        _SPLITS,
        "jsonl",
        odd=({"concepts": ["{animal} ||| {place}", "{verb}"]}, {"concepts": ["{animal}", _LONG]}),
        hidden={"target": ""},
    ),
    "super_glue/rte": _Dataset(
        _TYPES_OF_NLI,
        _TWO_WAY_NLI,
        _SPLITS,
        odd=({"hypothesis": f"{CONTRADICTED} ||| {OPEN}"}, {"premise": _LONG}),
        hidden={"label": -1},
    ),
    "super_glue/copa": _Dataset(
        {
            "premise": _TEXT,
            "choice1": _TEXT,
            "choice2": _TEXT,
            "question": _TEXT,
            "idx": _NUMBER,
            "label": _LABEL,
        },
        tuple(
            {
                "premise": f"{{event[{given}]}}",
                "choice1": f"{{event_0of2[{1 - given}]}}",
                "choice2": f"{{event_1of2[{1 - given}]}}",
                "question": question,
                "idx": _index,
                "label": label,
            }
            for given, question in enumerate(("effect", "cause"))
            for label in (0, 1)
        ),
        _SPLITS,
        "jsonl",
        odd=({"choice1": "{event[0]}", "choice2": "{event[0]}"}, {"choice2": _LONG}),
        hidden={"label": -1},
    ),
    "anli": _Dataset(
        {
            "uid": _TEXT,
            "premise": _TEXT,
            "hypothesis": _TEXT,
            "label": _LABEL,
            "reason": _TEXT,
        },
        {
            "uid": lambda words: f"{words.split}-{words.index}",
            "premise": SCENE,
            "hypothesis": (ENTAILED, OPEN, CONTRADICTED),
            "label": (0, 1, 2),
            "reason": ("", "", "", "The text says that the {thing} was {colour}."),
        },
        {f"{part}_r{number}": 1 for number in (1, 2, 3) for part in ("train", "dev", "test")},
    ),
    "super_glue/axg": _Dataset(_TYPES_OF_NLI, _TWO_WAY_NLI, {"test": 1}),
    "wino_bias/type1_pro": _WINO_BIAS,
    "wino_bias/type1_anti": _WINO_BIAS,
}


def add_arguments(parser: Any) -> None:
    """Declares nothing: there are no arguments."""


def main(args: argparse.Namespace) -> int:
    print(write(args.directory))
    return 0


def write(directory: PathLike) -> Path:
    """Writes the datasets into `directory`, completely or not at all, and returns its path.

    Does nothing if they are already there. Raises UserError if the directory holds anything else or
    cannot be written.
    """
    return write_whole(directory, _fill, what="the synthetic P3")


def _fill(tree: Path) -> None:
    for name, dataset in _DATASETS.items():
        folder = tree / name
        folder.mkdir(parents=True)
        for split, num_files in dataset.splits.items():
            rows = list(_rows(name, split))
            for number in range(num_files):
                of_file = f"-{number:05}-of-{num_files:05}" if num_files > 1 else ""
                path = folder / f"{split}{of_file}.{dataset.suffix}"
                _write_file(path, rows[number::num_files], pa.schema(dataset.types))


def _rows(name: str, split: str) -> Iterator[dict[str, Any]]:
    dataset = _DATASETS[name]
    size = _NUM_TRAIN if split.startswith("train") else _NUM_OTHER
    odd = dataset.odd if split == next(iter(dataset.splits)) else ()
    for index in range(size):
        words = Words("mini p3", name, split, index)
        changes = odd[size - 1 - index] if size - 1 - index < len(odd) else {}
        hidden = dataset.hidden if split == "test" else {}
        yield {**words.fill(dataset.row), **words.fill({**changes, **hidden})}


def _write_file(path: Path, rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> None:
    table = pa.Table.from_pylist(rows, schema)
    if path.suffix == ".parquet":
        pa.parquet.write_table(table, path)
        return
    lines = "".join(
        f"{json.dumps(row, ensure_ascii=False)}\n" for row in table.to_pylist()
    ).encode()
    # mtime: the bytes are the same each time
    path.write_bytes(gzip.compress(lines, mtime=0) if path.suffix == ".gz" else lines)


@gin.configurable(module="values.tk_instruct")
@cache
def mini_p3() -> str:
    """The directory of the datasets in the cache folder. Writes them if they are not there."""
    return kept_mini("p3", write, sources=(__file__,))


@gin.configurable(module="values.tk_instruct")
@cache
def p3_vocabulary(num_pieces: int = 2000) -> str:
    """The path of a SentencePiece model, trained once on the prompts and targets of p3_train.

    For gin: VOCABULARY = @p3_vocabulary(). With real data, use T5's vocabulary.
    """
    training = [task for task in registry.tasks_of("p3_train") if isinstance(task, Task)]
    content = repr([task.fingerprint("train") for task in training])
    texts = (text for task in training for text in _texts(task))
    return kept(f"p3 {content} {num_pieces}", lambda: train_sentencepiece(texts, num_pieces))


def _texts(task: Task) -> Iterator[str]:
    """The lines of some prompts and targets, so that their fixed words become pieces."""
    for example in islice(task.source.load("train"), _NUM_READ):
        for text in (example["prompt"], example["answer"]):
            yield from str(text).splitlines()
