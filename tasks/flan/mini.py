"""Synthetic examples for every dataset of FLAN, in the files that TFDS would prepare.

For smoke runs and tests without the real datasets. Names, versions, columns and labels are real.
The sentences have rules that a tiny model can learn: adjectives decide the sentiment, the premise's
words decide entailment, and translations replace word by word.
"""

import argparse
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import gin

from tk_instruct.data.vocabulary import kept, train_sentencepiece
from tk_instruct.errors import MissingDataError
from tk_instruct.quiet_tensorflow import import_tensorflow_quietly
from tk_instruct.randomness import draw
from tk_instruct.synthetic import (
    CONTRADICTED,
    ENTAILED,
    OPEN,
    OTHER_SCENE,
    SAME_SCENE,
    SCENE,
    WORDS,
    Words,
    kept_mini,
    write_whole,
)

from . import datasets, examples, prompts, templates

_NUM_TRAIN, _NUM_TEST = 60, 24
_PURPOSE = "mini flan"  # of all random choices
_NUM_READ = 10  # examples of each dataset that a vocabulary is trained on

_STORY = (
    "{name} lost a {colour} {thing} at the {place} on {day}. {name2} looked for it with a "
    "{animal}. They found it near the {place2}."
)
_LOST = "{name} lost a {colour} {thing}."
_NLI = {"premise": SCENE, "hypothesis": (ENTAILED, OPEN, CONTRADICTED), "label": (0, 1, 2)}
_PAIR = {"sentence1": SCENE, "sentence2": (OTHER_SCENE, SAME_SCENE), "label": (0, 1)}
_OPINIONS = (
    "The {work} was {bad}, and {bad2} the {work2}. / {name} hated this {bad} {work}.",
    "The {work} was {good}, and {good2} the {work2}. / {name} loved this {good} {work}.",
)
_BECAUSE = tuple(f"The {{animal}} chased the {{animal2}} because it was {why}."
                 for why in ("hungry", "fast"))  # fmt: skip
_BECAUSE_TWICE = (_BECAUSE[0], _BECAUSE[0], _BECAUSE[1], _BECAUSE[1])
_SQUAD = {"title": "The_{thing}", "context": SCENE, "question": "{asked[0]}",
          "answers": {"text": ["{asked[1]}"] * 2, "answer_start": [0, 0]}}  # fmt: skip


def _references(*targets: str) -> dict[str, Any]:
    """Columns of GEM: one target, and outside the train split all targets as references."""
    return {
        "target": targets[0],
        "references": lambda words: [] if words.split == "train" else words.fill(list(targets)),
    }


def _sum(words: Words) -> str:
    return str(int(words["number"]) + int(words["number2"]))


def _score(words: Words) -> dict[str, Any]:
    """STS-B: two sentences with 0 to 5 equal words. The score is that number or a little more."""
    kept = words.index % 6
    slots = ("name", "colour", "thing", "place", "day")
    second = {slot: words[slot if nth < kept else f"{slot}2"] for nth, slot in enumerate(slots)}
    score = min(5.0, kept + int(words["number"]) / 20)
    return {"sentence1": SCENE.format_map(words), "sentence2": SCENE.format(**second),
            "label": score}  # fmt: skip


def _multirc(words: Words) -> dict[str, Any]:
    """MultiRC: one of the four answers to a question, two of which are right."""
    scene = Words(words.purpose, words.name, words.split, words.index // 4)
    columns = scene.fill({"paragraph": SCENE, "question": "{asked[0]}"})
    wrong = scene.draw(WORDS["verb"], "wrong", words.index % 4)
    right = scene["asked"][1]
    answer = (wrong, right, f"It {wrong}", right.capitalize())[words.index % 4]
    nth = words.index // 4
    return {**columns, "answer": answer, "label": words.index % 2,
            "idx": {"paragraph": nth, "question": nth, "answer": words.index}}  # fmt: skip


_SYLLABLES = {
    "cs": "ko ří la če ně dou vy", "da": "bø la ker så ri mæ den",
    "de": "ber schu ße len ün gra tel", "es": "ca ño la mi qué ro ta",
    "fi": "ka yö lla mi sää tuu no", "fr": "lé bou ma chê ri ça ton",
    "ro": "ță ma ri lă șe cu bo", "ru": "ко ма ри лю ще до ва",
    "tr": "gü la rı şe mo kı ça",
}  # fmt: skip


@cache
def _foreign_word(language: str, word: str) -> str:
    """A made-up translation of a word. It keeps a capital, and names stay as they are."""
    if word in WORDS["name"]:
        return word
    number = draw(0, f"{_PURPOSE} dictionary", language, word.lower())
    syllables = _SYLLABLES[language].split()
    made_up = "".join(syllables[number // 7**place % 7] for place in range(3))
    return made_up.capitalize() if word[0].isupper() else made_up


def _translation(words: Words) -> dict[str, str]:
    language = re.sub("en|-", "", words.name.partition("/")[2])
    english = words.fill(f"{SCENE} / {_STORY} / Where is the {{thing}} of {{name}}? / "
                         'The {animal} is {colour}. / "A {good} {work}!" said {name}.')  # fmt: skip
    foreign = re.sub(r"\w+", lambda word: _foreign_word(language, word[0]), english)
    return {"en": english, language: foreign}


def _mostly(usual: Any, rare: Any) -> tuple[Any, ...]:
    """Templates that take turns. One of 24 is `rare`."""
    return (*(usual,) * 23, rare)


# Builder or builder/configuration → its columns. Columns that no preprocessor reads are left out.
# fmt: off
_EXAMPLES: Mapping[str, Any] = {
    "anli": {"context": SCENE, "hypothesis": _NLI["hypothesis"], "label": (0, 1, 2)},
    "super_glue/cb": {**_NLI, "hypothesis": (ENTAILED, CONTRADICTED, OPEN)},
    "super_glue/rte": {**_NLI, "hypothesis": (ENTAILED, f"{OPEN} / {CONTRADICTED}"),
                       "label": (0, 1)},
    "glue/mnli": _NLI,
    "snli": _mostly(_NLI, {**_NLI, "label": -1}),
    "glue/qnli": {"sentence": SCENE, "label": (0, 1),
                  "question": ("{asked[0]}", "How old is {name}? / Who made the {thing}?")},
    "glue/wnli": {"sentence1": _BECAUSE_TWICE, "label": (0, 1),
                  "sentence2": ("The {animal2} was hungry.", "The {animal} was hungry.",
                                "The {animal} was fast.", "The {animal2} was fast.")},
    "super_glue/copa": (
        *({"premise": "{event[0]}", "question": "effect", "choice1": "{event_0of2[1]}",
           "choice2": "{event_1of2[1]}", "label": label} for label in (0, 1)),
        *({"premise": "{event[1]}", "question": "cause", "choice1": "{event_0of2[0]}",
           "choice2": "{event_1of2[0]}", "label": label} for label in (0, 1)),
    ),
    "hellaswag": {"context": "[header] A day out [title] {event[0]}", "label": (0, 1, 2, 3),
                  "endings": [f"[step] {{event_{n}of4[1]}}" for n in range(4)]},
    "story_cloze": {"context": "It is {day}. {name2} has a {animal}. They go out. {event[0]}",
                    "endings": ["{event_0of2[1]}", "{event_1of2[1]}"], "label": (1, 2)},
    "piqa": {"goal": "How do you {tool[0]}?", "sol1": "Use a {tool_0of2[1]}.",
             "sol2": "Use a {tool_1of2[1]}.", "label": (0, 1)},
    "imdb_reviews": {"text": tuple(f"{text}<br /><br />Bye." for text in _OPINIONS),
                     "label": (0, 1)},
    "yelp_polarity_reviews": {"text": tuple(f'\\""Oh.\\""\\n{text}' for text in _OPINIONS),
                              "label": (0, 1)},
    "sentiment140": _mostly({"text": tuple(f"@{{name2}} {text}" for text in _OPINIONS),
                             "polarity": (0, 4)},
                            {"text": "@{name} the {work} is on {day}", "polarity": 2}),
    "glue/sst2": {"sentence": _OPINIONS, "label": (0, 1)},
    "glue/mrpc": _PAIR,
    "paws_wiki": _PAIR,
    "glue/qqp": {"question1": 'Where can {name} buy a {colour} ""{thing}""?', "label": (0, 1),
                 "question2": ("Where can {name} buy a {colour2} {thing}?",
                               "What shop has a {colour} {thing} for {name}?")},
    "glue/stsb": _score,
    "ai2_arc": _mostly(*({
        "question": "Which animal {sound[1]}?", "answerKey": tuple(range(num_choices)),
        "choices": {"text": [f"the {{sound_{n}of{num_choices}[0]}}" for n in range(num_choices)],
                    "label": list(range(num_choices))},
    } for num_choices in (4, 3))),
    "openbookqa": {
        "fact1": "A {sound[0]} {sound[1]}", "answerKey": (0, 1, 2, 3),
        "question": {"stem": "At night something {sound[1]}. It is",
                     **{f"choice_{'ABCD'[n]}": f"a {{sound_{n}of4[0]}}" for n in range(4)}},
    },
    "natural_questions_open": {"question": "what is the capital of {capital[0]}",
                               "answer": ["{capital[1]}", "the city of {capital[1]}"]},
    "trivia_qa": {
        "question": "Which city is the capital of {capital[0]}?",
        "answer": {"aliases": ["{capital[1]}", "{capital[1]} City"],
                   "matched_wiki_entity_name": "{capital[1]}",
                   "normalized_aliases": lambda words: [words["capital"][1].lower()],
                   "normalized_matched_wiki_entity_name": "", "type": "WikipediaEntity",
                   "normalized_value": lambda words: words["capital"][1].lower(),
                   "value": "{capital[1]}"},
    },
    "gem/common_gen": {
        "concepts": ["{animal}", "{place}", "{verb}"],
        **_references("The {animal} {verb} in the {place}.", "In the {place} a {animal} {verb}.")},
    "gem/dart": {
        "tripleset": ["[TABLECONTEXT] {name} HOME {place}", "{name} PET {animal}"],
        **_references("{name} lives at the {place} with a {animal}.",
                      "{name} of the {place} has a {animal}.")},
    "gem/e2e_nlg": {
        "meaning_representation": "name[The {colour} {animal}], food[{food}], area[{place}]",
        **_references("The {colour} {animal} serves {food} food at the {place}.",
                      "At the {place}, The {colour} {animal} has {food} food.")},
    "gem/web_nlg_en": {
        "input": ["{name}_Bell | birth_place | {capital[1]}",
                  "{capital[1]} | capital_of | {capital[0]}"],
        **_references("{name} Bell was born in {capital[1]}, the capital of {capital[0]}.",
                      "{capital[1]}, capital of {capital[0]}, is where {name} Bell was born.")},
    "bool_q": {"title": "The {thing}", "passage": SCENE, "answer": (False, True),
               "question": ("was the {thing} {colour2}", "was the {thing} {colour}")},
    "drop": {"passage": "{name} has {number} {thing}s and {number2} {thing2}s.",
             "question": "How many things does {name} have?", "answer": _sum,
             "validated_answers": [_sum]},
    "super_glue/multirc": _multirc,
    "squad/v1.1": _SQUAD,
    "squad/v2.0": ({**_SQUAD, "is_impossible": False}, {**_SQUAD, "is_impossible": False},
                   {**_SQUAD, "is_impossible": True, "question": "How old is {name}?",
                    "answers": {"text": [], "answer_start": []}}),
    "cosmos_qa": {"context": "{event[0]}", "question": "What happened then?", "label": (0, 1, 2, 3),
                  **{f"answer{n}": f"{{event_{n}of4[1]}}" for n in range(4)}},
    "super_glue/record": {
        "passage": "{name} saw a {colour} {thing} at the {place}. {name2} and {name3} saw none."
                   "\n@highlight\n{name} saw a {thing}",
        "query": "On {day} @placeholder had seen a {colour} {thing}", "answers": ["{name}"],
        "entities": (["{name}", "{name2}", "{name3}"], ["{name2}", "{name}", "{name3}"],
                     ["{name3}", "{name2}", "{name}"])},
    "definite_pronoun_resolution": {"sentence": _BECAUSE, "pronoun": "it", "label": (0, 1),
                                    "candidates": ["The {animal}", "The {animal2}"]},
    "winogrande": {"sentence": tuple(text.replace("it", "the _") for text in _BECAUSE),
                   "option1": "{animal}", "option2": "{animal2}", "label": (0, 1)},
    "super_glue/wsc": {"text": _BECAUSE_TWICE, "span2_text": "it", "span2_index": 6,
                       "span1_text": ("The {animal2}", "The {animal}", "The {animal}",
                                      "The {animal2}"), "label": (0, 1)},
    "wsc273": {"text": _BECAUSE, "pronoun_text": "it", "label": (0, 1),
               "pronoun_start": lambda words: words.fill(_BECAUSE).index(" it ") + 1,
               "pronoun_end": lambda words: words.fill(_BECAUSE).index(" it ") + 3,
               "option1": "The {animal}", "option1_normalized": "the {animal}",
               "option2": "The {animal2}", "option2_normalized": "the {animal2}"},
    "para_crawl": _translation,
    "wmt14_translate": _translation,
    "wmt16_translate": _translation,
    "aeslc": {"email_body": "Dear {name},\n\nwe meet about the {thing} at the {place}.\n\n{name2}",
              "subject_line": "Meeting about the {thing}\n"},
    "cnn_dailymail": {
        "article": tuple(byline + _STORY for byline in (
            "", "(CNN) -- ", "PARIS, France (CNN) -- ",
            "By . {name} Bell . PUBLISHED: . 12:22 EST, 22 August 2012 . ")),
        "highlights": f"{_LOST}\nIt was near the {{place2}} ."},
    "gigaword": _mostly(*({"document": f"{{name}} lost a {{thing}} near the {{place}}{mark} .",
                           "summary": "{name} loses {thing}"} for mark in ("", " UNK"))),
    "multi_news": {"document": f"{_STORY} \n ||||| {SCENE}", "summary": f"– {_LOST}"},
    "newsroom": {"title": "A {thing} is lost", "text": _STORY, "summary": _LOST},
    "samsum": {"dialogue": "{name}: I lost my {colour} {thing}!\r\n{name2}: <file_photo>\r\n"
                           "{name2}: It is at the {place}.",
               "summary": "{name2} found the {thing} of {name} at the {place}."},
    "xsum": {"document": _STORY, "summary": _LOST},
    "ag_news_subset": {
        "title": "{name} speaks on {day}", "label": (0, 1, 2, 3),
        "description": tuple(f"The {{{topic}}}, the {{{topic}2}} and the {{{topic}3}}: what is new?"
                             for topic in ("world", "sport", "business", "science"))},
    "opinion_abstracts/idebate": {
        "_argument_sentences": {"key": ["0", "1"], "value": ["A {thing} is {good}.",
                                                             "A {thing} is {good2}."]},
        "_debate_name": "This house would buy a {thing}.", "_claim": "A {thing} is {good3}."},
    "opinion_abstracts/rotten_tomatoes": tuple({
        "_critic_consensus": f"Most call this {{work}} {{{word}}}.",
        "_movie_name": "the_{colour}_{animal}",
        "_critics": {"key": ["0", "1"], "value": [f"A {{{word}}} {{work}}.", f"How {{{word}2}}!"]},
    } for word in ("bad", "good")),
    "gem/wiki_lingua_english_en": {
        "source": "Go to the {place}. Take a {colour} {thing} with you. Wait for the {animal}.",
        "target": "Wait for the {animal} at the {place}."},
    "coqa": tuple({
        "story": SCENE, "questions": [f"{{asked{n}[0]}}" for n in numbers],
        "answers": {"input_text": [f"{{asked{n}[1]}}" for n in numbers],
                    "answer_start": [0] * len(numbers), "answer_end": [0] * len(numbers)},
    } for numbers in ((1,), (1, 2), (1, 2, 3))),
    "quac": {"title": "{name}", "background": "{name} has a {animal}.", "question": "{asked[0]}",
             "context": f"{SCENE} CANNOTANSWER", "answers": _SQUAD["answers"],
             "orig_answer": {"text": "{asked[1]}", "answer_start": 0}},
    "super_glue/wic": {"word": "{meaning[0]}", "sentence1": "{meaning[1]}", "label": (0, 1),
                       "sentence2": ("{meaning[2]}", "{name} said: {meaning[1]}")},
    "trec": {"label-coarse": (0, 1, 2, 3, 4, 5),
             "text": ("What is a {thing}?", "What animal {verb} in the {place}?",
                      "What does the {thing} sign stand for?", "Who saw the {thing}?",
                      "How many {thing}s are there?", "Where is the {thing}?")},
    "glue/cola": {"label": (0, 1),
                  "sentence": ("{name} a saw {colour} {thing}. / The {animal} the in {place} is.",
                               "{name} saw a {colour} {thing}. / The {animal} is in the {place}.")},
    "math_dataset": {"question": "Solve z - {number} = {number2} for z.", "answer": _sum},
}
# fmt: on


def num_examples() -> dict[str, dict[str, int]]:
    """TFDS name → split → number of examples: the held-out ones and some for training or test."""
    sizes: dict[str, dict[str, int]] = defaultdict(dict)
    for dataset in datasets.DATASETS:
        for role, part in dataset.splits.items():
            if role == "train":
                size = _NUM_TRAIN - (part.stop or 0)
                if part.share:
                    size = size * part.share.of + part.share.reserved
            else:
                size = max(_NUM_TEST, -(part.start or 0))
            sizes[dataset.tfds][part.split] = max(size, sizes[dataset.tfds].get(part.split, 0))
    return dict(sizes)


def add_arguments(parser: Any) -> None:
    """Declares nothing: there are no arguments."""


def main(args: argparse.Namespace) -> int:
    print(write(args.directory))
    return 0


def write(directory: str | os.PathLike[str]) -> Path:
    """Writes the datasets into `directory`, completely or not at all, and returns its path.

    Does nothing if they are already there. Raises UserError if the directory holds anything else or
    cannot be written.
    """
    return write_whole(directory, _fill, what="the synthetic FLAN")


def _fill(tree: Path) -> None:
    for name, splits in num_examples().items():
        _write_dataset(tree, name, splits)


def _write_dataset(directory: Path, tfds_name: str, splits: Mapping[str, int]) -> None:
    import_tensorflow_quietly()
    import tensorflow_datasets as tfds

    name, version = tfds_name.split(":")
    builder, _, config = name.partition("/")
    data_dir = directory / name / version
    data_dir.mkdir(parents=True)
    features = tfds.builder(tfds_name).info.features
    identity = tfds.core.dataset_info.DatasetIdentity(
        builder, tfds.core.Version(version), str(data_dir), __name__, config or None
    )
    info = tfds.core.DatasetInfo(builder=identity, description="Synthetic.", features=features)
    writer = tfds.core.SequentialWriter(info, max_examples_per_shard=1 << 30)
    writer.initialize_splits(list(splits))
    blank, template = _blank(features), _EXAMPLES.get(name) or _EXAMPLES[builder]
    for split, size in splits.items():
        columns = [Words(_PURPOSE, name, split, index).fill(template) for index in range(size)]
        writer.add_examples({split: [{**blank, **each} for each in columns]})
    writer.close_all()


def _blank(feature: Any) -> Any:
    """A valid value of a feature."""
    import tensorflow_datasets as tfds

    if isinstance(feature, tfds.features.FeaturesDict):
        return {name: _blank(inner) for name, inner in feature.items()}
    if isinstance(feature, tfds.features.Sequence):
        return []
    return "" if isinstance(feature, tfds.features.Text) or feature.np_dtype in (str, object) else 0


@gin.configurable(module="values.tk_instruct")
@cache
def mini_flan() -> str:
    """The directory of the datasets in the cache folder. Writes them if they are not there."""
    return kept_mini("flan", write, sources=(__file__, datasets.__file__))


@gin.configurable(module="values.tk_instruct")
@cache
def flan_vocabulary(num_pieces: int = 2000) -> str:
    """The path of a SentencePiece model, trained once on FLAN's training prompts.

    For gin: VOCABULARY = @flan_vocabulary(). With real data, use T5's vocabulary.
    """
    trained_on = [d for d in datasets.DATASETS if d.is_in_mixtures and _has_data(d)]
    content = repr([examples.fingerprint(dataset, "train") for dataset in trained_on])
    texts = (text for dataset in trained_on for text in _prompts(dataset))
    return kept(f"flan {content} {num_pieces}", lambda: train_sentencepiece(texts, num_pieces))


def _has_data(dataset: datasets.Dataset) -> bool:
    try:
        return bool(examples.fingerprint(dataset, "train"))
    except MissingDataError:
        return False


def _prompts(dataset: datasets.Dataset) -> Iterator[str]:
    """The lines of inputs and targets in every template, so that their fixed words become pieces.

    The templates render different examples.
    """
    records = list(islice(examples.records(dataset, "train"), _NUM_READ))
    for number, _ in enumerate(templates.templates_of(dataset)):
        render = prompts.templated(dataset, prompts.Form(), number)(None, None)
        record = records[number % len(records)]
        for text in render(*(record[field] for field in prompts.reads(dataset))):
            yield from text.splitlines()
