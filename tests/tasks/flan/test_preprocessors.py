"""From hand-written examples, in the shapes of TFDS's schemas, to fields."""

import copy
from typing import Any

import pytest

from tk_instruct.tasks.flan import preprocessors as read
from tk_instruct.tasks.flan.datasets import DATASETS

BY_NAME = {dataset.name: dataset for dataset in DATASETS}

NLI = {"premise": "A dog ran.", "hypothesis": "It moved.", "label": 0}
PAIR = {"sentence1": "He left.", "sentence2": "He went.", "label": 1, "idx": 3}
TRIPLES_TARGETS = {"target": "A.", "references": ["B.", "A.", "B."], "gem_id": "x"}
TARGETS = {"target": "A.", "references": ["A.", "B."]}
SQUAD = {
    "id": "1",
    "title": "New_York_City",
    "context": "It is big.",
    "question": "What is big?",
    "answers": {"text": ["It", "It", "it all"], "answer_start": [0, 0, 0]},
}
WSC273 = {
    "text": "Jim asked Zoë – the café's cook – because he was hungry.",
    "pronoun_text": "he",
    "pronoun_start": 42,
    "pronoun_end": 44,
    "option1": "Jim",
    "option1_normalized": "Jim",
    "option2": "The cook",
    "option2_normalized": "the cook",
    "label": 1,
    "idx": 0,
}
RECORD = {
    "idx": {"passage": 0, "query": 1},
    "passage": "Ann met Bob in Rome.\nThey ate. \n@highlight\nAnn met Bob\n@highlight\nRome is old",
    "query": "In spring @placeholder's friend ate there with @placeholder.",
    "entities": ["Bob", "Ann", "Rome", "Ann"],
    "answers": ["Ann", "Bob"],
}
REST = "'s friend ate there with @placeholder."

# Names of datasets, an example, its fields.
CASES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    (
        "anli_r1 anli_r2 anli_r3",
        {"uid": "u", "context": "A dog ran.", "hypothesis": "It sat.", "label": 2, "reason": ""},
        {"context": "A dog ran.", "hypothesis": "It sat.", "label": 2},
    ),
    ("cb rte mnli_matched mnli_mismatched", {**NLI, "idx": 0}, NLI),
    ("snli", {**NLI, "label": -1}, {**NLI, "label": -1}),
    (
        "qnli",
        {"question": "Who ran?", "sentence": "A dog ran.", "label": 0, "idx": 0},
        {"question": "Who ran?", "sentence": "A dog ran.", "label": 0},
    ),
    (
        "wnli glue_mrpc paws_wiki",
        PAIR,
        {"sentence1": "He left.", "sentence2": "He went.", "label": 1},
    ),
    (
        "copa",
        {
            "premise": "It rained.",
            "question": "effect",
            "choice1": "It got wet.",
            "choice2": "It got dry.",
            "label": 0,
            "idx": 0,
        },
        {
            "premise": "It rained.",
            "question": "effect",
            "options": ["It got wet.", "It got dry."],
            "label": 0,
        },
    ),
    (
        "hellaswag",
        {
            "activity_label": "Baking",
            "context": "[header] How to bake [title] Mix. [step] Take flour.",
            "endings": ["[substeps] Stir. [step] Wait.", "Run.", "Sit [down].", "Swim. "],
            "label": 3,
            "source_id": "wikihow~1",
            "split_type": "indomain",
        },
        {
            "context": "How to bake \nMix. \nTake flour.",
            "options": ["Stir. Wait.", "Run.", "Sit [down].", "Swim. "],
            "label": 3,
        },
    ),
    (
        "story_cloze",
        {"context": "Ann ran. She fell.", "endings": ["She cried.", "It rained."], "label": 1},
        {"context": "Ann ran. She fell.", "options": ["She cried.", "It rained."], "label": 0},
    ),
    (
        "piqa",
        {"goal": "Cut bread.", "sol1": "Use a knife.", "sol2": "Use a cup.", "label": 0, "id": ""},
        {"goal": "Cut bread.", "options": ["Use a knife.", "Use a cup."], "label": 0},
    ),
    (
        "imdb_reviews",
        {"text": 'Bad.<br /><br />Very \\""bad\\"".\\n', "label": 0},
        {"text": 'Bad.\n\nVery \\""bad\\"".\\n', "label": 0},
    ),
    (
        "yelp_polarity_reviews",
        {"text": 'A \\""great\\"" meal.\\nWe <br /> liked it.', "label": 1},
        {"text": 'A "great" meal. We <br /> liked it.', "label": 1},
    ),
    (
        "sentiment140",
        {"polarity": 4, "text": "Nice day", "date": "", "query": "NO_QUERY", "user": "u"},
        {"text": "Nice day", "label": 1},
    ),
    ("sst2", {"sentence": "fine .", "label": 1, "idx": 0}, {"sentence": "fine .", "label": 1}),
    ("cola", {"sentence": "Ran it.", "label": 0, "idx": 0}, {"sentence": "Ran it.", "label": 0}),
    (
        "glue_qqp",
        {"question1": 'What is ""it""?', "question2": "What's it?", "label": 1, "idx": 0},
        {"question1": "What is 'it'?", "question2": "What's it?", "label": 1},
    ),
    (
        "stsb",
        {**PAIR, "label": 2.799999952316284},
        {
            "sentence1": "He left.",
            "sentence2": "He went.",
            "answer_str": "3",
            "references": ["2.8"],
        },
    ),
    (
        "arc_challenge arc_easy",
        {
            "id": "1",
            "question": "What barks?",
            "choices": {"text": ["a cat", "a dog", "an ant", "a cow"], "label": [0, 1, 2, 3]},
            "answerKey": 1,
        },
        {"question": "What barks?", "options": ["a cat", "a dog", "an ant", "a cow"], "label": 1},
    ),
    (
        "natural_questions",
        {"question": "who wrote it", "answer": ["Ann Roe", "Ann"]},
        {"question": "who wrote it?", "answer": "Ann Roe", "references": ["Ann Roe", "Ann"]},
    ),
    (
        "trivia_qa",
        {
            "question": "Which city?",
            "question_id": "1",
            "answer": {
                "aliases": ["Rome", "Roma"],
                "normalized_aliases": ["roma", "rome"],
                "normalized_value": "rome",
                "value": "Rome",
                "type": "WikipediaEntity",
                "matched_wiki_entity_name": "Rome",
                "normalized_matched_wiki_entity_name": "rome",
            },
        },
        {"question": "Which city?", "answer": "rome", "references": ["rome", "roma"]},
    ),
    (
        "common_gen",
        {"concepts": ["dog", "run"], "concept_set_id": 1, **TRIPLES_TARGETS},
        {"concepts": "dog, run", "concepts_newline": "dog\nrun", **TARGETS},
    ),
    (
        "dart",
        {"tripleset": ["[TABLECONTEXT] [TITLE] Cups", "Ann WON 2"], **TRIPLES_TARGETS},
        {
            "tripleset": "  Cups; Ann WON 2",
            "tripleset_newline": "[TABLECONTEXT] [TITLE] Cups\nAnn WON 2",
            **TARGETS,
        },
    ),
    (
        "e2e_nlg",
        {"meaning_representation": "name[Aromi], area[city centre]", **TRIPLES_TARGETS},
        {"meaning_representation": "name = Aromi, area = city centre", **TARGETS},
    ),
    (
        "web_nlg_en",
        {
            "input": ["Ann_Roe | birth_place | Rome", "Rome | country | Italy"],
            "category": "",
            **TRIPLES_TARGETS,
        },
        {"input_string": "Ann Roe, birth place, Rome; Rome, country, Italy", **TARGETS},
    ),
    (
        "bool_q",
        {"title": "Dog", "passage": "Dogs bark.", "question": "do dogs bark", "answer": True},
        {"title": "Dog", "text": "Dogs bark.", "question": "do dogs bark", "label": 1},
    ),
    (
        "drop",
        {
            "passage": "Two dogs.",
            "question": "How many?",
            "answer": "2",
            "validated_answers": ["two", "2"],
            "query_id": "1",
        },
        {
            "context": "Two dogs.",
            "question": "How many?",
            "answer": "2",
            "references": ["2", "two"],
        },
    ),
    (
        "multirc",
        {
            "paragraph": "A dog ran.",
            "question": "Who ran?",
            "answer": "A cat",
            "label": 0,
            "idx": {"paragraph": 4, "question": 7, "answer": 9},
        },
        {
            "paragraph": "A dog ran.",
            "question": "Who ran?",
            "response": "A cat",
            "label": 0,
            "group": "4-7",
        },
    ),
    (
        "openbookqa",
        {
            "fact1": "dogs bark",
            "question": {
                "stem": "What barks?",
                "choice_A": "ants",
                "choice_B": "cats",
                "choice_C": "dogs",
                "choice_D": "cows",
            },
            "answerKey": 2,
        },
        {
            "fact": "dogs bark",
            "question": "What barks?",
            "options": ["ants", "cats", "dogs", "cows"],
            "label": 2,
        },
    ),
    (
        "squad_v1",
        SQUAD,
        {
            "title": "New York City",
            "context": "It is big.",
            "question": "What is big?",
            "answer": "It",
            "references": ["It", "it all"],
        },
    ),
    (
        "squad_v2",
        {**SQUAD, "answers": {"text": [], "answer_start": []}, "is_impossible": True},
        {
            "title": "New York City",
            "context": "It is big.",
            "question": "What is big?",
            "answer": "unanswerable",
            "references": ["unanswerable"],
        },
    ),
    (
        "cosmos_qa",
        {
            "context": "I fell.",
            "question": "Why?",
            **{f"answer{n}": f"Ice {n}." for n in range(4)},
            "label": 3,
            "id": "1",
        },
        {
            "context": "I fell.",
            "question": "Why?",
            "options": ["Ice 0.", "Ice 1.", "Ice 2.", "Ice 3."],
            "label": 3,
        },
    ),
    (
        "record",
        RECORD,
        {
            "passage": "Ann met Bob in Rome.\nThey ate. ",
            "query": "In spring",
            "options": ["Bob" + REST, "Ann" + REST, "Rome" + REST, "Ann" + REST],
            "label": 1,
            "references": ["Ann" + REST, "Bob" + REST],
        },
    ),
    (
        "definite_pronoun_resolution",
        {"sentence": "It ran.", "pronoun": "It", "candidates": ["dog", "cat"], "label": 1},
        {"sentence": "It ran.", "pronoun": "It", "options": ["dog", "cat"], "label": 1},
    ),
    (
        "winogrande",
        {"sentence": "Ann fed Bob as _ was old.", "option1": "Ann", "option2": "Bob", "label": 1},
        {"context": "Ann fed Bob as ", "options": ["Ann was old.", "Bob was old."], "label": 1},
    ),
    (
        "wsc",
        {
            "text": "Ann fed Bob as he was old.",
            "span1_text": "Bob",
            "span1_index": 2,
            "span2_text": "he",
            "span2_index": 4,
            "label": 1,
            "idx": 0,
        },
        {"context": "Ann fed Bob as he was old.", "text1": "Bob", "text2": "he", "label": 1},
    ),
    (
        "wsc273",
        WSC273,
        {
            "context": "Jim asked Zoë – the café's cook – because",
            "options": ["Jim was hungry.", "the cook was hungry."],
            "label": 1,
        },
    ),
    (
        "para_crawl_enes",
        {"en": "Good day!", "es": "¡Buenos días!"},
        {
            "lang1": "English",
            "lang2": "Spanish",
            "sent1": "Good day!",
            "sent2": "¡Buenos días!",
        },
    ),
    *(
        (
            name,
            {"en": "Hi.", code: "X."},
            {"lang1": "English", "lang2": language, "sent1": "Hi.", "sent2": "X."},
        )
        for name, code, language in (
            ("wmt14_enfr", "fr", "French"),
            ("wmt16_translate_csen", "cs", "Czech"),
            ("wmt16_translate_deen", "de", "German"),
            ("wmt16_translate_fien", "fi", "Finnish"),
            ("wmt16_translate_roen", "ro", "Romanian"),
            ("wmt16_translate_ruen", "ru", "Russian"),
            ("wmt16_translate_tren", "tr", "Turkish"),
        )
    ),
    (
        "aeslc",
        {"email_body": "Dear Ann,\nwe meet.\n", "subject_line": "Meeting\n"},
        {"body": "Dear Ann, we meet. ", "subject": "Meeting"},
    ),
    (
        "cnn_dailymail",
        {
            "article": "ROME, Italy (CNN) -- It rained.",
            "highlights": "Rain .\nSun .",
            "id": "1",
            "publisher": "cnn",
        },
        {"text": "It rained.", "highlights": "Rain .\nSun ."},
    ),
    (
        "gigaword",
        {"document": "it rained today .", "summary": "rain"},
        {"text": "it rained today .", "summary": "rain"},
    ),
    (
        "multi_news xsum",
        {"document": "It rained.\n ||||| It did.", "summary": "Rain."},
        {"text": "It rained.\n ||||| It did.", "summary": "Rain."},
    ),
    (
        "newsroom",
        {"title": "Rain", "text": "It rained.", "summary": "Rain.", "url": "", "density": 1.0},
        {"title": "Rain", "text": "It rained.", "summary": "Rain."},
    ),
    (
        "samsum",
        {
            "id": "1",
            "dialogue": "Ann: look <file_photo>\r\nBob: I <3 it, but > 1 day old",
            "summary": "Bob loves it.",
        },
        {
            "dialogue": "Ann: look  \nBob: I <3 it, but > 1 day old",
            "summary": "Bob loves it.",
        },
    ),
    (
        "ag_news_subset",
        {"title": "Rain", "description": "It rained.", "label": 3},
        {"title": "Rain", "text": "It rained.", "label": 3},
    ),
    (
        "opinion_abstracts_idebate",
        {
            "_argument_sentences": {"key": ["0", "1"], "value": ["Yes.", "Why not?"]},
            "_claim": "Do it.",
            "_claim_id": "1",
            "_debate_name": "Whether to do it",
        },
        {
            "argument_sentences": "1. Yes.\n2. Why not?",
            "debate_name": "Whether to do it",
            "claim": "Do it.",
        },
    ),
    (
        "opinion_abstracts_rotten_tomatoes",
        {
            "_critics": {
                "key": [str(n) for n in range(12)],
                "value": [f"R{n} " for n in range(12)],
            },
            "_critic_consensus": "Good.",
            "_movie_id": "m",
            "_movie_name": "the_big_one",
        },
        {
            "movie": "the big one",
            "numbered_reviews": "\n".join(f"{n + 1}. R{n} " for n in range(10)),
            "first_review": "R0 ",
            "critic_consensus": "Good.",
        },
    ),
    (
        "wiki_lingua_english_en",
        {"source": "Mix it.", "target": "Mix.", "references": [], "source_aligned": {"en": ""}},
        {"source": "Mix it.", "target": "Mix."},
    ),
    (
        "coqa",
        {
            "source": "cnn",
            "story": "Ann ate.",
            "questions": ["Who ate?", "Did she?"],
            "answers": {"input_text": ["Ann", "Yes"], "answer_start": [0, 0], "answer_end": [3, 3]},
        },
        {
            "text": "Ann ate.",
            "numbered_questions": "1. Who ate?\n2. Did she?",
            "numbered_answers": "1. Ann\n2. Yes",
        },
    ),
    (
        "quac",
        {
            "title": "Ann Roe",
            "section_title": "Life",
            "background": "A writer.",
            "context": "She wrote. CANNOTANSWER",
            "question": "What did she do?",
            "orig_answer": {"text": "She wrote.", "answer_start": 0},
            "answers": {"text": ["She wrote.", "wrote"], "answer_start": [0, 4]},
            "followup": "y",
            "yesno": "x",
        },
        {
            "title": "Ann Roe",
            "background": "A writer.",
            "context": "She wrote. CANNOTANSWER",
            "question": "What did she do?",
            "answer": "She wrote.",
            "references": ["She wrote.", "wrote"],
        },
    ),
    (
        "wic",
        {**PAIR, "word": "leave", "start1": 3, "end1": 7, "start2": 3, "end2": 7},
        {"sentence1": "He left.", "sentence2": "He went.", "word": "leave", "label": 1},
    ),
    (
        "trec",
        {"label-coarse": 5, "label-fine": 40, "text": "Where is Rome ?"},
        {"text": "Where is Rome ?", "label": 5},
    ),
    (
        "math_dataset",
        {"question": "Solve 2*x = 4 for x.", "answer": "2"},
        {"question": "Solve 2*x = 4 for x.", "answer": "2"},
    ),
    (
        "true_case",
        {"en": "Élan, in Rome!", "da": ""},
        {"lower": "élan, in rome!", "answer": "Élan, in Rome!"},
    ),
    (
        "fix_punct",
        {"en": "Élan, in Rome!", "da": ""},
        {"no_punct": "Élan in Rome", "answer": "Élan, in Rome!"},
    ),
    (
        "word_segment",
        {"en": "Élan, in Rome!", "da": ""},
        {"no_space": "Élan,inRome!", "answer": "Élan, in Rome!"},
    ),
]
IDS = [names.split()[0] for names, _, _ in CASES]


def test_every_dataset_has_a_case() -> None:
    assert {name for names, _, _ in CASES for name in names.split()} == set(BY_NAME)


@pytest.mark.parametrize(("names", "example", "fields"), CASES, ids=IDS)
def test_fields_of_an_example(names: str, example: Any, fields: Any) -> None:
    before = copy.deepcopy(example)
    for name in names.split():
        dataset = BY_NAME[name]
        assert dataset.preprocess(example) == fields
        assert example == before
        # The caller writes the text of the answer of classifications.
        missing = set(dataset.fields) - set(fields)
        assert missing == ({"answer"} if "label" in fields else set())
        assert ("options" in fields) == ("label" in fields and not dataset.options)


@pytest.mark.parametrize(("names", "example", "fields"), CASES, ids=IDS)
def test_a_missing_column_is_told(names: str, example: Any, fields: Any) -> None:
    with pytest.raises(KeyError):
        BY_NAME[names.split()[0]].preprocess({"something": "else"})


@pytest.mark.parametrize(
    ("preprocess", "example"),
    [
        (read.sentiment140, {"polarity": 2, "text": "it is Monday"}),
        (read.gigaword, {"document": "UNK rained .", "summary": "rain"}),
        (read.gigaword, {"document": "it rained .", "summary": "# rains"}),
        (read.aeslc, {"email_body": " \n", "subject_line": ""}),
        (
            read.arc,
            {"question": "?", "choices": {"text": list("abc"), "label": [0, 1, 2]}, "answerKey": 0},
        ),
        (read.true_case, {"en": "lower already."}),
        (read.fix_punct, {"en": "no punctuation"}),
    ],
)
def test_dropped(preprocess: Any, example: Any) -> None:
    assert preprocess(example) is None


def test_an_email_needs_only_one_of_body_and_subject() -> None:
    assert read.aeslc({"email_body": "", "subject_line": "Hi"}) == {"body": "", "subject": "Hi"}


@pytest.mark.parametrize(
    ("label", "answer"), [(0.0, "0"), (0.4, "0"), (0.6, "1"), (3.75, "4"), (5.0, "5")]
)
def test_stsb_rounds_to_whole_numbers(label: float, answer: str) -> None:
    fields = read.stsb({"sentence1": "", "sentence2": "", "label": label})
    assert (fields["answer_str"], float(fields["references"][0])) == (answer, label)


def test_negative_polarity() -> None:
    assert read.sentiment140({"polarity": 0, "text": "bah"}) == {"text": "bah", "label": 0}


def test_arc_finds_the_key_among_the_choices_labels() -> None:
    choices = {"text": ["p", "q", "r", "s"], "label": [0, 2, 3, 4]}
    label = {
        key: (read.arc({"question": "?", "choices": choices, "answerKey": key}) or {})["label"]
        for key in (0, 4, 1)
    }
    assert label == {0: 0, 4: 3, 1: -1}


def test_labels_that_test_splits_lack_are_negative() -> None:
    assert read.record({**RECORD, "answers": []})["label"] == -1
    assert read.record({**RECORD, "answers": ["Paris", "Rome"]})["label"] == 2
    unlabelled = {"context": "", "endings": ["a", "b"], "label": -1}
    assert int(read.story_cloze(unlabelled)["label"]) < 0


def test_a_pronoun_at_the_end_keeps_its_full_stop() -> None:
    example = {**WSC273, "text": "Bob likes it.", "pronoun_start": 10, "pronoun_end": 12}
    assert read.wsc273(example)["options"] == ["Jim .", "the cook ."]


def test_a_single_word_is_segmented_too() -> None:
    assert read.word_segment({"en": "word"}) == {"no_space": "word", "answer": "word"}


@pytest.mark.parametrize(
    ("article", "text"),
    [
        ("(CNN) -- It rained.", "It rained."),
        ("(CNN Student News) -- It rained.", "It rained."),
        ("St. Louis, Missouri (Reuters) -- It rained (AP) -- a lot.", "It rained (AP) -- a lot."),
        (
            "By . Ann Roe . and Bob Doe . PUBLISHED: . 12:22 EST, 22 August 2012 . | . UPDATED: . "
            "12:23 EST, 22 August 2012 . In 2012 . it rained.",
            "In 2012 . it rained.",
        ),
        ("By . Ann Roe . Last updated at 3:14 PM on 11th May 2012 . It rained.", "It rained."),
        # The released code leaves these too.
        ("(CNN)It rained.", None),
        ("By . Ann Roe . Last updated at 3:14 PM on 11th May 2011 . It rained.", None),
        # What may be the article itself is kept.
        ("By . Ann Roe . It rained in 2012 .", None),
        ("The storm (a big one) -- came.", None),
        ("It rained. That (CNN) is news.", None),
        ("(CNN) -- ", None),
        ("", None),
    ],
)
def test_bylines(article: str, text: str | None) -> None:
    fields = read.cnn_dailymail({"article": article, "highlights": "x"})
    assert fields["text"] == (article if text is None else text)
