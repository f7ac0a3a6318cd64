"""Rows of TFDS's datasets, with Hugging Face's columns, which PromptSource's templates read.

A dataset is named as PromptSource names it, such as "glue/mrpc"; a split as the Hub names it. The
values have the Hub's types: whole numbers for class labels (-1 if the label is not known), texts
where the Hub has texts, and a list of structures as a dictionary of lists.

TFDS shuffles examples when it prepares a dataset, so rows are not in the Hub's order. The rows are
the Hub's apart from these differences. Sources: TFDS's builders; the Hub's, in huggingface/datasets
up to 2.5; data/README.md of rowanz/hellaswag.
    ai2_arc        TFDS letters all choices; some questions of the Hub have 1, 2, 3, 4.
    cnn_dailymail  TFDS puts a missing full stop behind a line as ".", the Hub as " .".
    common_gen     The Hub shuffles the concepts of a row.
    hellaswag      TFDS has ctx only. ctx_a and ctx_b are made of it by the rule of its authors.
    piqa           TFDS has no test split.
    story_cloze    TFDS joins the four sentences. They are split again where sentences end.
    record         TFDS sorts the entities; on the Hub they have no order.

Columns that TFDS does not have are left out: `id` of paws, openbookqa and xsum; `ind` and `split`
of hellaswag; `reason` of anli; `entity_spans` of super_glue/record; `story_id` of story_cloze. No
template of PromptSource reads them.

TFDS lacks 22 of T0's 38 training sets, and of its evaluation sets crows_pairs, wino_bias and
jigsaw_toxicity_pred.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from tk_instruct.data import tfds_source
from tk_instruct.errors import UserError
from tk_instruct.files import Path
from tk_instruct.quiet_tensorflow import import_tensorflow_quietly

Example = Mapping[str, Any]
Row = dict[str, Any]


@dataclass(frozen=True)
class _Dataset:
    """Where TFDS has a dataset's splits, and what rows an example gives.

    Attributes:
        splits: the Hub's split → (builder/configuration:version, TFDS's split).
        rows: an example of TFDS, in plain Python → its rows.
        has_one_row_each: whether every example gives one row.
    """

    splits: Mapping[str, tuple[str, str]]
    rows: Callable[[Example], Iterable[Row]]
    has_one_row_each: bool = True


def _columns(*names: str, **renamed: str) -> Callable[[Example], Iterable[Row]]:
    """One row of columns as they are, and of others under the Hub's name (Hub's=TFDS's)."""
    taken = dict(zip(names, names, strict=True)) | renamed
    return lambda example: [{column: example[name] for column, name in taken.items()}]


# TFDS's numbering, and that of the Hub's data when PromptSource 0.1.0 was made.
_TREC_COARSE, _TREC_FINE = (
    names.split()
    for names in (
        "DESC ENTY ABBR HUM NUM LOC",
        "manner cremat animal exp ind gr title def date reason event state desc count other letter "
        "religion food country color termeq city body dismed mount money product period substance "
        "sport plant techmeth volsize instru abb speed word lang perc code dist temp symbol ord "
        "veh weight currency",
    )
)
# The Hub's newer numbering, in which a fine label belongs to one coarse label.
_TREC_NEW_COARSE = ("ABBR", "ENTY", "DESC", "HUM", "LOC", "NUM")
_TREC_NEW_FINE = [
    f"{coarse}:{fine}"
    for coarse, fines in zip(
        _TREC_NEW_COARSE,
        (
            "abb exp",
            "animal body color cremat currency dismed event food instru lang letter other plant "
            "product religion sport substance symbol techmeth termeq veh word",
            "def desc manner reason",
            "gr ind title desc",
            "city country mount other state",
            "code count date dist money ord other period perc speed temp volsize weight",
        ),
        strict=True,
    )
    for fine in fines.split()
]


def _trec(example: Example) -> Iterable[Row]:
    """The columns of both versions of the Hub's data, each with its own numbering."""
    coarse, fine = example["label-coarse"], example["label-fine"]
    name = _TREC_COARSE[coarse]
    return [
        {
            "label-coarse": coarse,
            "label-fine": fine,
            "coarse_label": _TREC_NEW_COARSE.index(name),
            "fine_label": _TREC_NEW_FINE.index(f"{name}:{_TREC_FINE[fine]}"),
            "text": example["text"],
        }
    ]


def _ag_news(example: Example) -> Iterable[Row]:
    text = f"{example['title']} {example['description']}"
    return [{"text": text, "label": example["label"]}]


def _common_gen(example: Example) -> Iterable[Row]:
    """One row for each reference. GEM has none in the train split, where targets are examples."""
    columns = {"concept_set_idx": example["concept_set_id"], "concepts": example["concepts"]}
    return [{**columns, "target": text} for text in example["references"] or [example["target"]]]


def _letter(label: int) -> str:
    return "ABCDE"[label] if label >= 0 else ""


def _ai2_arc(example: Example) -> Iterable[Row]:
    choices = example["choices"]
    return [
        {
            "id": example["id"],
            "question": example["question"],
            "choices": {"text": choices["text"], "label": [_letter(n) for n in choices["label"]]},
            "answerKey": _letter(example["answerKey"]),
        }
    ]


def _openbookqa(example: Example) -> Iterable[Row]:
    question = example["question"]
    return [
        {
            "question_stem": question["stem"],
            "choices": {
                "text": [question[f"choice_{letter}"] for letter in "ABCD"],
                "label": list("ABCD"),
            },
            "answerKey": _letter(example["answerKey"]),
        }
    ]


def _race(example: Example) -> Iterable[Row]:
    """One row for each question on an article."""
    return [
        {
            "example_id": example["example_id"],
            "article": example["article"],
            "answer": answer,
            "question": question,
            "options": options,
        }
        for question, answer, options in zip(
            example["questions"], example["answers"], example["options"], strict=True
        )
    ]


# The sentences of a context, and the beginning of the next sentence, which the endings complete.
_SENTENCES_AND_REST = re.compile(r"(.*[.!?][\"')\]]*) ([^.!?]+)", re.DOTALL)


def _hellaswag(example: Example) -> Iterable[Row]:
    """The label is a text, empty if it is not known."""
    context = example["context"]
    # WikiHow's contexts are whole sentences; ctx_b is for the incomplete one of ActivityNet.
    parts = (
        _SENTENCES_AND_REST.fullmatch(context)
        if example["source_id"].startswith("activitynet")
        else None
    )
    first, rest = parts.groups() if parts else (context, "")
    label = example["label"]
    return [
        {
            "activity_label": example["activity_label"],
            "ctx_a": first,
            "ctx_b": rest,
            "ctx": context,
            "endings": example["endings"],
            "source_id": example["source_id"],
            "split_type": example["split_type"],
            "label": str(label) if label >= 0 else "",
        }
    ]


def _winogrande(example: Example) -> Iterable[Row]:
    """The answer is a text, "1" or "2", empty if it is not known."""
    columns = {column: example[column] for column in ("sentence", "option1", "option2")}
    return [{**columns, "answer": {0: "1", 1: "2"}.get(example["label"], "")}]


_SENTENCE_END = re.compile(r"(?:(?<=[.!?])(?<!\b[MD][rs]\.)(?<!\bMrs\.)|(?<=[.!?][\"')])) ")


def _story_cloze(example: Example) -> Iterable[Row]:
    """What follows the third sentence is the fourth; missing sentences are empty."""
    sentences = _SENTENCE_END.split(example["context"], maxsplit=3)
    sentences += [""] * (4 - len(sentences))
    return [
        {
            **{f"input_sentence_{number}": text for number, text in enumerate(sentences, 1)},
            "sentence_quiz1": example["endings"][0],
            "sentence_quiz2": example["endings"][1],
            "answer_right_ending": example["label"],
        }
    ]


_ALL = ("train", "validation", "test")
_TRAIN_TEST = ("train", "test")
_TRAIN_VALIDATION = ("train", "validation")
_NLI = ("premise", "hypothesis", "label", "idx")
_PAWS = _columns("sentence1", "sentence2", "label")
_SUMMARY = _columns("document", "summary")


def _in(tfds: str, *splits: str, **renamed: str) -> Mapping[str, tuple[str, str]]:
    """Splits as the Hub names them, in one dataset of TFDS. renamed: the Hub's name → TFDS's."""
    return {hub: (tfds, name) for hub, name in {**{s: s for s in splits}, **renamed}.items()}


def _super_glue(name: str, *columns: str, splits: tuple[str, ...] = _ALL) -> _Dataset:
    return _Dataset(_in(f"super_glue/{name}:1.0.2", *splits), _columns(*columns))


# A table with one dataset a line, in the order of T0's, T0+'s and T0++'s training sets and of the
# evaluation sets.
# fmt: off
_DATASETS: Mapping[str, _Dataset] = {
    "glue/mrpc": _Dataset(
        _in("glue/mrpc:2.0.0", *_ALL), _columns("sentence1", "sentence2", "label", "idx")),
    "glue/qqp": _Dataset(
        _in("glue/qqp:2.0.0", *_ALL), _columns("question1", "question2", "label", "idx")),
    "paws/labeled_final": _Dataset(_in("paws_wiki/labeled_final_tokenized:1.1.0", *_ALL), _PAWS),
    "cos_e/v1.11": _Dataset(
        _in("cos_e:0.0.1", *_TRAIN_VALIDATION),
        _columns("id", "question", "choices", "answer", "abstractive_explanation",
                 "extractive_explanation")),
    "cosmos_qa": _Dataset(
        _in("cosmos_qa:1.0.0", *_ALL),
        _columns("id", "context", "question", "answer0", "answer1", "answer2", "answer3",
                 "label")),
    "qasc": _Dataset(
        _in("qasc:0.1.0", *_ALL),
        _columns("id", "question", "choices", "answerKey", "fact1", "fact2", "combinedfact",
                 "formatted_question")),
    "imdb": _Dataset(
        _in("imdb_reviews/plain_text:1.0.0", *_TRAIN_TEST, "unsupervised"),
        _columns("text", "label")),
    "common_gen": _Dataset(_in("gem/common_gen:1.1.0", *_ALL), _common_gen, has_one_row_each=False),
    "wiki_bio": _Dataset(
        _in("wiki_bio:0.1.0", *_TRAIN_TEST, val="validation"),
        _columns("input_text", "target_text")),
    "cnn_dailymail/3.0.0": _Dataset(
        _in("cnn_dailymail:3.4.0", *_ALL), _columns("article", "highlights", "id")),
    "gigaword": _Dataset(_in("gigaword:1.2.0", *_ALL), _SUMMARY),
    "multi_news": _Dataset(_in("multi_news:2.1.0", *_ALL), _SUMMARY),
    "samsum": _Dataset(_in("samsum:1.0.0", *_ALL), _columns("id", "dialogue", "summary")),
    "xsum": _Dataset(_in("xsum:1.1.0", *_ALL), _SUMMARY),
    "ag_news": _Dataset(_in("ag_news_subset:1.0.0", *_TRAIN_TEST), _ag_news),
    "trec": _Dataset(_in("trec:1.0.0", *_TRAIN_TEST), _trec),
    # T0+
    "ai2_arc/ARC-Challenge": _Dataset(_in("ai2_arc/ARC-Challenge:1.0.0", *_ALL), _ai2_arc),
    "ai2_arc/ARC-Easy": _Dataset(_in("ai2_arc/ARC-Easy:1.0.0", *_ALL), _ai2_arc),
    "trivia_qa/unfiltered": _Dataset(
        _in("trivia_qa/unfiltered:1.1.0", *_ALL),
        _columns("question", "question_id", "question_source", "entity_pages", "search_results",
                 "answer")),
    "web_questions": _Dataset(
        _in("web_questions:1.0.0", *_TRAIN_TEST), _columns("url", "question", "answers")),
    "squad_v2": _Dataset(
        _in("squad/v2.0:3.0.0", *_TRAIN_VALIDATION),
        _columns("id", "title", "context", "question", "answers")),
    "openbookqa/main": _Dataset(_in("openbookqa:0.1.0", *_ALL), _openbookqa),
    **{
        f"race/{level}": _Dataset(
            _in(f"race/{level}:2.0.0", *_TRAIN_TEST, validation="dev"), _race,
            has_one_row_each=False)
        for level in ("high", "middle")
    },
    "piqa": _Dataset(
        _in("piqa:1.0.0", *_TRAIN_VALIDATION), _columns("goal", "sol1", "sol2", "label")),
    "hellaswag": _Dataset(_in("hellaswag:1.1.0", *_ALL), _hellaswag),
    # T0++
    "super_glue/record": _super_glue(
        "record", "passage", "query", "entities", "answers", "idx"),
    "super_glue/boolq": _super_glue("boolq", "question", "passage", "idx", "label"),
    "super_glue/copa": _super_glue(
        "copa", "premise", "choice1", "choice2", "question", "idx", "label"),
    "super_glue/multirc": _super_glue(
        "multirc", "paragraph", "question", "answer", "idx", "label"),
    "super_glue/wsc.fixed": _super_glue(
        "wsc.fixed", "text", "span1_index", "span2_index", "span1_text", "span2_text", "idx",
        "label"),
    "super_glue/wic": _super_glue(
        "wic", "word", "sentence1", "sentence2", "start1", "start2", "end1", "end2", "idx",
        "label"),
    # Evaluation
    "super_glue/rte": _super_glue("rte", *_NLI),
    "super_glue/cb": _super_glue("cb", *_NLI),
    "super_glue/axg": _super_glue("axg", *_NLI, splits=("test",)),
    "anli": _Dataset(
        {f"{hub}_{round_}": (f"anli/{round_}:0.1.0", name)
         for round_ in ("r1", "r2", "r3")
         for hub, name in {"train": "train", "dev": "validation", "test": "test"}.items()},
        _columns("uid", "hypothesis", "label", premise="context")),
    **{
        f"winogrande/winogrande_{size}": _Dataset(
            _in("winogrande:1.2.0", "validation", "test", train=f"train_{size}"), _winogrande)
        for size in ("xs", "s", "m", "l", "xl")
    },
    "story_cloze/2016": _Dataset(
        _in("story_cloze/2016:1.0.0", "validation", "test"), _story_cloze),
}
# fmt: on


def names() -> tuple[str, ...]:
    """The datasets that TFDS has, as PromptSource names them."""
    return tuple(_DATASETS)


def splits(dataset: str) -> tuple[str, ...]:
    """The splits of a dataset, by the Hub's names. Raises UserError if TFDS lacks the dataset."""
    return tuple(_dataset(dataset).splits)


def name_of(dataset: str, split: str | None = None) -> str | None:
    """TFDS's name, builder/configuration:version, of the dataset that has a split.

    Without a split, the first one's; only anli has its splits in several datasets of TFDS. None if
    TFDS lacks the dataset or it has no such split.
    """
    found = _DATASETS.get(dataset)
    if found is None:
        return None
    tfds, _ = found.splits.get(split or next(iter(found.splits)), (None, None))
    return tfds


def prepare(dataset: str) -> Path:
    """Downloads and prepares what TFDS has of a dataset, unless it is there. Gives a folder of it.

    Raises UserError if it cannot be prepared.
    """
    names = dict.fromkeys(tfds for tfds, _ in _dataset(dataset).splits.values())
    folders = [tfds_source.prepare(name) for name in names]
    return folders[0]


def rows(dataset: str, split: str) -> Iterator[Row]:
    """The rows of a split, read one by one, in the order of TFDS's files.

    Raises MissingDataError if the dataset is not prepared, UserError if TFDS lacks the dataset or
    split, or a file is damaged or of another schema.
    """
    tfds, name = _place(dataset, split)
    read = _dataset(dataset).rows
    for example in tfds_source.examples(tfds, name, 0, tfds_source.num_examples(tfds, name)):
        try:
            found = read(example)
        except KeyError as error:
            raise UserError(
                f"{dataset}: {tfds_source.folder(tfds)} has no field {error.args[0]!r}, only "
                f"{tfds_source.schema(tfds)}; its schema is not that of {tfds}: prepare it again"
            ) from error
        yield from found


def num_rows(dataset: str, split: str) -> int:
    """The number of rows of a split. Raises as rows.

    Race and common_gen, whose examples give several rows, are read for it, once.
    """
    if _dataset(dataset).has_one_row_each:
        return tfds_source.num_examples(*_place(dataset, split))
    return _counted(dataset, split, fingerprint(dataset, split))


@lru_cache(maxsize=64)
def _counted(dataset: str, split: str, content: str) -> int:
    del content  # only part of the cache's key, so that changed files are read again
    return sum(1 for _ in rows(dataset, split))


def fingerprint(dataset: str, split: str | None = None) -> str:
    """A text that changes with a dataset's data, or with that of a split of anli. Raises as rows.

    Without a split, all rounds of anli must be prepared.
    """
    places = [_place(dataset, split)] if split else _dataset(dataset).splits.values()
    found = dict.fromkeys(tfds for tfds, _ in places)
    return " ".join(tfds_source.fingerprint(tfds) for tfds in found)


def licence(dataset: str) -> str:
    """What TFDS says on the redistribution of a dataset; "" if nothing. Needs no prepared files."""
    import_tensorflow_quietly()
    import tensorflow_datasets as tfds

    name = name_of(dataset)
    found = tfds.builder(name).info.redistribution_info if name else None
    return " ".join(found.license.split()) if found else ""


def _dataset(dataset: str) -> _Dataset:
    found = _DATASETS.get(dataset)
    if found is None:
        raise UserError(
            f"TFDS does not have {dataset}, only {', '.join(_DATASETS)}; get Hugging Face's files, "
            "and name their folder by --p3_data"
        )
    return found


def _place(dataset: str, split: str) -> tuple[str, str]:
    """TFDS's dataset and split."""
    found = _dataset(dataset).splits
    if split not in found:
        raise UserError(
            f"{dataset} of TFDS has the splits {', '.join(found)} and no {split!r}; name one of "
            "these"
        )
    return found[split]
