"""Preprocessors: an example of TFDS → the fields that FLAN's templates use (see `Dataset`).

An example is in plain Python: str, int, float, bool, lists, and a Sequence of dictionaries as a
dictionary of lists. It is not changed. `label` is negative if the right answer is not known. The
result is None if the example cannot be used. A missing column raises KeyError.

Texts are google-research/FLAN's, with its white space, except where that loses or damages text.
docs/flan.md lists the differences.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

Example = Mapping[str, Any]
Fields = dict[str, str | int | Sequence[str]]
Preprocessor = Callable[[Example], Fields | None]

LANGUAGES = {
    "cs": "Czech",
    "de": "German",
    "en": "English",
    "es": "Spanish",
    "fi": "Finnish",
    "fr": "French",
    "ro": "Romanian",
    "ru": "Russian",
    "tr": "Turkish",
}


def _texts(**columns: str) -> Preprocessor:
    """Copies columns. columns: field → column."""
    return lambda example: {field: example[column] for field, column in columns.items()}


def _labelled(label: str = "label", **columns: str) -> Preprocessor:
    texts = _texts(**columns)
    return lambda example: {**(texts(example) or {}), "label": int(example[label])}


def _distinct(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(texts))


def _numbered(texts: Iterable[str]) -> str:
    return "\n".join(f"{number}. {text}" for number, text in enumerate(texts, 1))


# natural language inference
nli = _labelled(premise="premise", hypothesis="hypothesis")
anli = _labelled(context="context", hypothesis="hypothesis")
qnli = _labelled(sentence="sentence", question="question")


# commonsense reasoning
def copa(example: Example) -> Fields:
    """The field `question` is "cause" or "effect"."""
    return {
        "premise": example["premise"],
        "question": example["question"],
        "options": [example["choice1"], example["choice2"]],
        "label": int(example["label"]),
    }


_WIKIHOW_MARK = re.compile(r"\[.*?\]\s")


def hellaswag(example: Example) -> Fields:
    """Removes WikiHow's marks, such as `[step] `.

    In the context, a newline replaces every mark except `[header] `.
    """
    context = re.sub(r"\[header\]\s", "", example["context"])
    return {
        "context": _WIKIHOW_MARK.sub("\n", context),
        "options": [_WIKIHOW_MARK.sub("", ending) for ending in example["endings"]],
        "label": int(example["label"]),
    }


def story_cloze(example: Example) -> Fields:
    """TFDS has the labels 1 and 2, or -1 if the answer is not known."""
    return {
        "context": example["context"],
        "options": list(example["endings"]),
        "label": int(example["label"]) - 1,
    }


def piqa(example: Example) -> Fields:
    return {
        "goal": example["goal"],
        "options": [example["sol1"], example["sol2"]],
        "label": int(example["label"]),
    }


# sentiment analysis
labelled_sentence = _labelled(sentence="sentence")


def imdb_reviews(example: Example) -> Fields:
    """Replaces HTML's line breaks by newlines."""
    return {"text": example["text"].replace("<br />", "\n"), "label": int(example["label"])}


def yelp_polarity_reviews(example: Example) -> Fields:
    """Replaces escaped quotation marks and newlines, by quotation marks and spaces."""
    text = example["text"].replace('\\""', '"').replace("\\n", " ")
    return {"text": text, "label": int(example["label"])}


def sentiment140(example: Example) -> Fields | None:
    """Polarity is 0 (negative), 2 (neutral, which is dropped) or 4 (positive)."""
    polarity = int(example["polarity"])
    return None if polarity == 2 else {"text": example["text"], "label": int(polarity > 2)}


# paraphrase detection
sentence_pair = _labelled(sentence1="sentence1", sentence2="sentence2")


def qqp(example: Example) -> Fields:
    """Replaces doubled quotation marks, which come from the original's CSV, by apostrophes."""
    fields: Fields = {key: example[key].replace('""', "'") for key in ("question1", "question2")}
    return {**fields, "label": int(example["label"])}


def stsb(example: Example) -> Fields:
    """The target is the score as a whole number. The reference is the annotated score."""
    return {
        "sentence1": example["sentence1"],
        "sentence2": example["sentence2"],
        "answer_str": f"{example['label']:.0f}",
        "references": [f"{example['label']:.6g}"],
    }


# closed-book question answering
def arc(example: Example) -> Fields | None:
    """Drops questions that do not have four choices."""
    labels, texts = (list(example["choices"][key]) for key in ("label", "text"))
    if len(texts) != 4:
        return None
    key = example["answerKey"]
    label = labels.index(key) if key in labels else -1
    return {"question": example["question"], "options": texts, "label": label}


def natural_questions(example: Example) -> Fields:
    answers = _distinct(example["answer"])
    return {
        "question": example["question"] + "?",
        "answer": answers[0],
        "references": answers,
    }


def trivia_qa(example: Example) -> Fields:
    answer = example["answer"]["normalized_value"]
    return {
        "question": example["question"],
        "answer": answer,
        "references": _distinct([answer, *example["answer"]["normalized_aliases"]]),
    }


# structure to text
def _all_targets(example: Example) -> Fields:
    """GEM has one target, and in its evaluation splits several references."""
    target = example["target"]
    return {"target": target, "references": _distinct([target, *example["references"]])}


def common_gen(example: Example) -> Fields:
    concepts = example["concepts"]
    return {
        "concepts": ", ".join(concepts),
        "concepts_newline": "\n".join(concepts),
        **_all_targets(example),
    }


def dart(example: Example) -> Fields:
    """The one-line form lacks the marks of cells that are not entities, such as [TABLECONTEXT]."""
    triples = example["tripleset"]
    return {
        "tripleset": re.sub(r"\[.*?\]", "", "; ".join(triples)),
        "tripleset_newline": "\n".join(triples),
        **_all_targets(example),
    }


def e2e_nlg(example: Example) -> Fields:
    """`name[Aromi], area[city centre]` reads `name = Aromi, area = city centre`."""
    meaning = example["meaning_representation"].replace("[", " = ").replace("]", "")
    return {"meaning_representation": meaning, **_all_targets(example)}


def web_nlg(example: Example) -> Fields:
    """`Aarhus_Airport | city | Aarhus` reads `Aarhus Airport, city, Aarhus`."""
    triples = "; ".join(example["input"]).replace("_", " ").replace(" | ", ", ")
    return {"input_string": triples, **_all_targets(example)}


# reading comprehension
bool_q = _labelled("answer", title="title", text="passage", question="question")


def drop(example: Example) -> Fields | None:
    """Drops examples whose answer has no text in TFDS, such as dates without a day."""
    if not example["answer"]:
        return None
    return {
        "context": example["passage"],
        "question": example["question"],
        "answer": example["answer"],
        "references": _distinct(
            [example["answer"], *(text for text in example["validated_answers"] if text)]
        ),
    }


def multirc(example: Example) -> Fields:
    """Each answer is right or wrong. The answers to one question are a group."""
    return {
        "paragraph": example["paragraph"],
        "question": example["question"],
        "response": example["answer"],
        "label": int(example["label"]),
        "group": f"{example['idx']['paragraph']}-{example['idx']['question']}",
    }


def openbookqa(example: Example) -> Fields:
    question = example["question"]
    return {
        "fact": example["fact1"],
        "question": question["stem"],
        "options": [question[f"choice_{letter}"] for letter in "ABCD"],
        "label": int(example["answerKey"]),
    }


def squad(example: Example) -> Fields:
    """The answer to a question of version 2 without an answer is `unanswerable`."""
    answers = _distinct(example["answers"]["text"]) or ["unanswerable"]
    return {
        "title": example["title"].replace("_", " "),
        "context": example["context"],
        "question": example["question"],
        "answer": answers[0],
        "references": answers,
    }


# reading comprehension with commonsense
def cosmos_qa(example: Example) -> Fields:
    return {
        "context": example["context"],
        "question": example["question"],
        "options": [example[f"answer{number}"] for number in range(4)],
        "label": int(example["label"]),
    }


def record(example: Example) -> Fields:
    """The article without its highlights, and the query up to the placeholder.

    The options are the article's entities, each followed by the rest of the query.
    """
    query, _, rest = example["query"].partition("@placeholder")
    options, answers = (
        [entity + rest for entity in example[column]] for column in ("entities", "answers")
    )
    labels = [options.index(answer) for answer in answers if answer in options]
    return {
        "passage": example["passage"].partition("\n@highlight")[0],
        "query": query.strip(),
        "options": options,
        "label": labels[0] if labels else -1,
        "references": answers,
    }


# coreference resolution
def definite_pronoun_resolution(example: Example) -> Fields:
    return {
        "sentence": example["sentence"],
        "pronoun": example["pronoun"],
        "options": list(example["candidates"]),
        "label": int(example["label"]),
    }


def winogrande(example: Example) -> Fields:
    """The context is the text up to the blank. The options continue it."""
    context, _, rest = example["sentence"].partition("_")
    return {
        "context": context,
        "options": [example[option] + rest for option in ("option1", "option2")],
        "label": int(example["label"]),
    }


wsc = _labelled(context="text", text1="span1_text", text2="span2_text")


def wsc273(example: Example) -> Fields:
    """The context is the text up to the pronoun. The options replace the pronoun and continue."""
    text = example["text"]
    rest = text[example["pronoun_end"] :].strip()
    return {
        "context": text[: example["pronoun_start"]].strip(),
        "options": [f"{example[f'option{number}_normalized']} {rest}" for number in (1, 2)],
        "label": int(example["label"]),
    }


# translation
def translation(languages: str) -> Preprocessor:
    """languages are two codes, such as "en fr". The first is the language of sent1."""
    code1, code2 = languages.split()
    names: Fields = {"lang1": LANGUAGES[code1], "lang2": LANGUAGES[code2]}
    return lambda example: {**names, "sent1": example[code1], "sent2": example[code2]}


# summarization
document_summary = _texts(text="document", summary="summary")
newsroom = _texts(title="title", text="text", summary="summary")
ag_news = _labelled(title="title", text="description")
wiki_lingua = _texts(source="source", target="target")


def aeslc(example: Example) -> Fields | None:
    body = example["email_body"].replace("\n", " ")
    subject = example["subject_line"].replace("\n", "")  # the subject ends in a newline
    return {"body": body, "subject": subject} if body.strip() or subject.strip() else None


# The byline before an article. It ends in ") -- ", or in a year from 2012 to 2014 and ". ":
# "LONDON, England (Reuters) -- ", "(CNN) -- ", "By . Jo Doe . PUBLISHED: . 12:22 EST, 22 August
# 2012 . | . UPDATED: . …2012 . ". Names without a time are kept, because they may be sentences.
_BYLINE = re.compile(
    r"""\A (?: (?: [A-Z][^()]{0,60} [ ] )?
               \( (?: CNN | AP | AFP | Reuters | REUTERS | [A-Z][\w. ]*\.com ) [^()]{0,30}
               \) [ ]--[ ]
             | By [ ] \. .{1,150}?
               (?: (?: (?: PUBLISHED | CREATED | UPDATED ) : | Last[ ]updated[ ]at ) .{1,60}?
                   201[234] [ ] \. [ ] (?: \| [ ] \. [ ] )? )+ )""",
    re.VERBOSE | re.DOTALL,
)


def cnn_dailymail(example: Example) -> Fields:
    """Removes agency, place, author and time of publication from the article's beginning."""
    article = example["article"]
    return {"text": _BYLINE.sub("", article) or article, "highlights": example["highlights"]}


def gigaword(example: Example) -> Fields | None:
    """Drops examples with missing words (UNK) or masked digits (#)."""
    texts = example["document"], example["summary"]
    if any(mark in text for text in texts for mark in ("UNK", "#")):
        return None
    return dict(zip(("text", "summary"), texts, strict=True))


def samsum(example: Example) -> Fields:
    """Replaces the marks of photos and other files by spaces."""
    dialogue = re.sub(r"<\w+>", " ", example["dialogue"].replace("\r\n", "\n"))
    return {"dialogue": dialogue, "summary": example["summary"]}


def idebate(example: Example) -> Fields:
    return {
        "argument_sentences": _numbered(example["_argument_sentences"]["value"][:10]),
        "debate_name": example["_debate_name"],
        "claim": example["_claim"],
    }


def rotten_tomatoes(example: Example) -> Fields:
    reviews = example["_critics"]["value"][:10]
    return {
        "movie": example["_movie_name"].replace("_", " "),
        "numbered_reviews": _numbered(reviews),
        "first_review": reviews[0],
        "critic_consensus": example["_critic_consensus"],
    }


# miscellaneous
wic = _labelled(sentence1="sentence1", sentence2="sentence2", word="word")
trec = _labelled("label-coarse", text="text")
math_dataset = _texts(question="question", answer="answer")


def coqa(example: Example) -> Fields:
    """All questions and answers of a story, numbered."""
    return {
        "text": example["story"],
        "numbered_questions": _numbered(example["questions"]),
        "numbered_answers": _numbered(example["answers"]["input_text"]),
    }


def quac(example: Example) -> Fields:
    fields: Fields = {key: example[key] for key in ("title", "background", "context", "question")}
    answer = example["orig_answer"]["text"]
    references = _distinct([answer, *example["answers"]["text"]])
    return {**fields, "answer": answer, "references": references}


def _restore(field: str, damage: Callable[[str], str]) -> Preprocessor:
    """The task to restore ParaCrawl's English text from what `damage` makes of it.

    Drops texts that `damage` does not change.
    """

    def preprocess(example: Example) -> Fields | None:
        text = example["en"]
        damaged = damage(text)
        return None if damaged == text else {field: damaged, "answer": text}

    return preprocess


true_case = _restore("lower", str.lower)
fix_punct = _restore("no_punct", lambda text: re.sub(r"[^\w\s]", "", text))


def word_segment(example: Example) -> Fields:
    """The task to restore the spaces of ParaCrawl's English text."""
    return {"no_space": example["en"].replace(" ", ""), "answer": example["en"]}
