"""From examples of TFDS to the fields that FLAN's templates name; `Dataset` says what is in them.

An example is what TFDS gives in plain Python: str, int, float, bool, lists, and a Sequence of
dictionaries as a dictionary of lists. It is not changed. Where no right answer is known `label` is
negative; examples that cannot be used are None. A column that is not there is a KeyError.

Texts are those of google-research/FLAN, white space included, except where that loses or spoils
text; docs/flan.md lists the differences.
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
    """Columns as they are, each as the field of its keyword."""
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
    """`question` is "cause" or "effect"."""
    return {
        "premise": example["premise"],
        "question": example["question"],
        "options": [example["choice1"], example["choice2"]],
        "label": int(example["label"]),
    }


_WIKIHOW_MARK = re.compile(r"\[.*?\]\s")


def hellaswag(example: Example) -> Fields:
    """Without WikiHow's marks: `[header] `; others, as `[step] `, start a line of the context."""
    context = re.sub(r"\[header\]\s", "", example["context"])
    return {
        "context": _WIKIHOW_MARK.sub("\n", context),
        "options": [_WIKIHOW_MARK.sub("", ending) for ending in example["endings"]],
        "label": int(example["label"]),
    }


def story_cloze(example: Example) -> Fields:
    """TFDS has labels 1 and 2, or -1."""
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
    """Reviews with new lines for HTML's."""
    return {"text": example["text"].replace("<br />", "\n"), "label": int(example["label"])}


def yelp_polarity_reviews(example: Example) -> Fields:
    """Reviews without escapes of quotation marks and new lines."""
    text = example["text"].replace('\\""', '"').replace("\\n", " ")
    return {"text": text, "label": int(example["label"])}


def sentiment140(example: Example) -> Fields | None:
    """Polarity is 0 (negative), 2 (neutral: dropped) or 4 (positive)."""
    polarity = int(example["polarity"])
    return None if polarity == 2 else {"text": example["text"], "label": int(polarity > 2)}


# paraphrase detection
sentence_pair = _labelled(sentence1="sentence1", sentence2="sentence2")


def qqp(example: Example) -> Fields:
    """Doubled quotation marks, which the original's CSV left, become apostrophes."""
    fields: Fields = {key: example[key].replace('""', "'") for key in ("question1", "question2")}
    return {**fields, "label": int(example["label"])}


def stsb(example: Example) -> Fields:
    """The score to the nearest whole number; the reference is as annotated."""
    return {
        "sentence1": example["sentence1"],
        "sentence2": example["sentence2"],
        "answer_str": f"{example['label']:.0f}",
        "references": [f"{example['label']:.6g}"],
    }


# closed-book question answering
def arc(example: Example) -> Fields | None:
    """Questions with three or five choices are dropped."""
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
    """GEM has one target, and of what it evaluates on also several references."""
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
    """In one line without the marks of cells that are no entities, such as [TABLECONTEXT]."""
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
    """Dropped where TFDS has no text for the answer, as for dates without a day."""
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
    """Grouped by question: its answers are right or wrong each by itself."""
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
    """Version 2's questions without an answer are to be called unanswerable."""
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
    """The article without its highlights; the query to where an entity was taken out.

    The options are the article's entities, each with the rest of the query.
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
    """The text to the blank; the options go on from there."""
    context, _, rest = example["sentence"].partition("_")
    return {
        "context": context,
        "options": [example[option] + rest for option in ("option1", "option2")],
        "label": int(example["label"]),
    }


wsc = _labelled(context="text", text1="span1_text", text2="span2_text")


def wsc273(example: Example) -> Fields:
    """The text to the pronoun; the options stand in its place and go on from there."""
    text = example["text"]
    rest = text[example["pronoun_end"] :].strip()
    return {
        "context": text[: example["pronoun_start"]].strip(),
        "options": [f"{example[f'option{number}_normalized']} {rest}" for number in (1, 2)],
        "label": int(example["label"]),
    }


# translation
def translation(languages: str) -> Preprocessor:
    """Of two languages' codes ("en fr"); the first is sent1's."""
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
    subject = example["subject_line"].replace("\n", "")  # it ends in one
    return {"body": body, "subject": subject} if body.strip() or subject.strip() else None


# What stands before an article and ends in ") -- " or a year of 2012 to 2014, ". " and more:
# "LONDON, England (Reuters) -- ", "(CNN) -- ", "By . Jo Doe . PUBLISHED: . 12:22 EST, 22 August
# 2012 . | . UPDATED: . …2012 . ". Names without a time are kept, as they may be sentences.
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
    """The article without agency, place, author and time of publication at its beginning."""
    article = example["article"]
    return {"text": _BYLINE.sub("", article) or article, "highlights": example["highlights"]}


def gigaword(example: Example) -> Fields | None:
    """Dropped where a word is missing or digits are masked, which is written UNK and #."""
    texts = example["document"], example["summary"]
    if any(mark in text for text in texts for mark in ("UNK", "#")):
        return None
    return dict(zip(("text", "summary"), texts, strict=True))


def samsum(example: Example) -> Fields:
    """A space for each mark of a photo or another file."""
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
    """A story's questions and answers, all that it has."""
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
    """ParaCrawl's English, to be restored from what `damage` leaves; dropped if it leaves all."""

    def preprocess(example: Example) -> Fields | None:
        text = example["en"]
        damaged = damage(text)
        return None if damaged == text else {field: damaged, "answer": text}

    return preprocess


true_case = _restore("lower", str.lower)
fix_punct = _restore("no_punct", lambda text: re.sub(r"[^\w\s]", "", text))


def word_segment(example: Example) -> Fields:
    """ParaCrawl's English without its spaces."""
    return {"no_space": example["en"].replace(" ", ""), "answer": example["en"]}
