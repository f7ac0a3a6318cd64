"""The datasets of FLAN 2021 (Wei et al. 2022, arXiv:2109.01652): one row each.

Versions are TFDS 4.9.10's. Splits and metrics are the released registry's. A held-out part is never
trained on, even if a split is smaller than the published slices expect.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from . import preprocessors as read

MAX_TRAIN_EXAMPLES = 30_000

# A preprocessor's result: field → text for the templates. It may also have:
#   label       in a classification: an index into the options, negative if the answer is not known
#   options     the example's own options
#   references  all right answers, if there are others than the target
#   group       the name of a group of examples that are scored together
Fields = Mapping[str, str | int | Sequence[str]]


@dataclass(frozen=True)
class Share:
    """Part `nth`, from 0, of `of` equal parts of a TFDS split without its last `reserved` examples.

    A part has at most `most` examples.
    """

    nth: int
    of: int
    most: int
    reserved: int

    def bounds(self, num_examples: int) -> tuple[int, int]:
        size = min(self.most, max(0, num_examples - self.reserved) // self.of)
        return self.nth * size, (self.nth + 1) * size


@dataclass(frozen=True)
class Part:
    """The examples start:stop, as in a Python slice, of a TFDS split or of a share of it.

    At most the first `most` of these examples.
    """

    split: str
    start: int | None = None
    stop: int | None = None
    most: int = 1 << 62
    share: Share | None = None

    def __str__(self) -> str:
        """A text for fingerprints of data. Do not change it, or runs cannot continue."""
        share = f"share={self.share}" if self.share else "nth=0, of=1"
        bounds = f"split={self.split!r}, start={self.start}, stop={self.stop}, most={self.most}"
        return f"Part({bounds}, {share})"

    def bounds(self, num_examples: int) -> tuple[int, int]:
        first, end = self.share.bounds(num_examples) if self.share else (0, num_examples)
        start, stop, _ = slice(self.start, self.stop).indices(end - first)
        return first + start, first + max(start, min(stop, start + self.most))


Splits = Mapping[str, Part]


def _last_of_train(number: int, test: str, train: str = "train") -> Splits:
    """Validation is the last `number` examples of the train split. Training takes the others."""
    return {
        "train": Part(train, stop=-number, most=MAX_TRAIN_EXAMPLES),
        "validation": Part(train, start=-number),
        "test": Part(test),
    }


def _third_of_para_crawl(nth: int) -> Splits:
    """Training and validation take a third of the train split. The last 3,000 are the test."""
    share = Share(nth, of=3, most=MAX_TRAIN_EXAMPLES + 200, reserved=3000)
    return {
        "train": Part("train", stop=-200, share=share),
        "validation": Part("train", start=-200, share=share),
        "test": Part("train", start=-3000),
    }


OWN_VALIDATION: Splits = {
    "train": Part("train", most=MAX_TRAIN_EXAMPLES),
    "validation": Part("validation", most=200),
    "test": Part("test"),
}
OPINION_ABSTRACTS: Splits = {
    "train": Part("train", stop=-600),
    "validation": Part("train", start=-600, stop=-500),
    "test": Part("train", start=-500),
}
PARA_CRAWL: Splits = {
    "train": Part("train", stop=-1200, most=MAX_TRAIN_EXAMPLES),
    "validation": Part("train", start=-1200, stop=-1000),
    "test": Part("train", start=-1000),
}
TO_VALIDATION = _last_of_train(200, test="validation")
TO_TEST = _last_of_train(200, test="test")

# The paper's clusters: the name in mixtures → the name in prompts.
CLUSTERS = {
    "nli": "Natural Language Inference",
    "commonsense": "Commonsense Reasoning",
    "sentiment": "Sentiment Analysis",
    "paraphrase": "Paraphrase Detection",
    "closed_book_qa": "Closed-Book QA",
    "struct_to_text": "Structure to Text",
    "reading_comprehension": "Reading Comprehension",
    "reading_comprehension_commonsense": "Reading Comprehension with Commonsense",
    "coreference": "Coreference Resolution",
    "translation": "Translation",
    "summarization": "Summarization",
    "miscellaneous": "Miscellaneous",
}


@dataclass(frozen=True, eq=False)  # identity is enough: each dataset is one object
class Dataset:
    """A dataset of FLAN.

    Attributes:
        tfds: builder/configuration:version.
        title: the dataset's name in prompts of the ablation _dataset_name.
        preprocess: an example of TFDS, in plain Python → its fields, or None to drop it.
        fields: the fields that templates can use: the input's, in order, then the targets.
        targets: the fields that forward templates ask for. A template that asks for another field
            is inverted.
        raw_inputs: the input fields in prompts without an instruction, by default all of them.
        kind: classification, whose prompts show options, or generation.
        options: the options of every example, in the order of labels. Empty if each example has
            its own.
        metrics: names in tk_instruct.metrics, the main one first.
        template_set: the dataset whose templates it uses, by default itself.
        counted_as: the dataset as which the paper counts it in averages, by default itself.
        is_in_mixtures: whether it is trained on.
    """

    name: str
    tfds: str
    cluster: str
    title: str
    splits: Splits
    preprocess: Callable[[Mapping[str, Any]], Fields | None]
    fields: tuple[str, ...]
    targets: tuple[str, ...] = ("answer",)
    raw_inputs: tuple[str, ...] = ()
    kind: Literal["classification", "generation"] = "generation"
    options: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ("accuracy",)
    template_set: str = ""
    counted_as: str = ""
    is_in_mixtures: bool = True

    def __post_init__(self) -> None:
        inputs = tuple(field for field in self.fields if field not in self.targets)
        for field, default in (
            ("template_set", self.name),
            ("raw_inputs", inputs),
            ("counted_as", self.name),
        ):
            object.__setattr__(self, field, getattr(self, field) or default)

    @property
    def target(self) -> str:
        return self.targets[0]


def _classification(
    name: str,
    tfds: str,
    cluster: str,
    title: str,
    splits: Splits,
    preprocess: Callable[[Mapping[str, Any]], Fields | None],
    fields: tuple[str, ...],
    options: tuple[str, ...] = (),
    **more: Any,
) -> Dataset:
    return Dataset(
        name,
        tfds,
        cluster,
        title,
        splits,
        preprocess,
        (*fields, "answer"),
        kind="classification",
        options=options,
        **more,
    )


def _translation(name: str, tfds: str, title: str, languages: str, splits: Splits) -> Dataset:
    """A translation between English (sent1) and another language (sent2), in both directions."""
    return Dataset(
        name,
        f"{tfds}:{'1.2.0' if tfds.startswith('para_crawl') else '1.0.0'}",
        "translation",
        title,
        splits,
        read.translation(languages),
        ("lang1", "lang2", "sent1", "sent2"),
        targets=("sent2", "sent1"),
        raw_inputs=("sent1",),
        metrics=("bleu",),
        template_set={"wmt16": "wmt16_translate", "para_": "para_crawl"}.get(name[:5], name),
    )


NO_YES, NEGATIVE_POSITIVE = ("no", "yes"), ("negative", "positive")
PAIR = ("sentence1", "sentence2")
NLI = ("premise", "hypothesis")

# A table with one dataset a line.
# fmt: off
DATASETS: tuple[Dataset, ...] = (
    # natural language inference
    *(
        _classification(
            f"anli_{r}", f"anli/{r}:0.1.0", "nli", f"Adversarial NLI {r.upper()}", OWN_VALIDATION,
            read.anli, ("context", "hypothesis"), ("Yes", "It's impossible to say", "No"),
            template_set="anli", counted_as="anli"
        )
        for r in ("r1", "r2", "r3")
    ),
    _classification(
        "cb", "super_glue/cb:1.0.2", "nli", "CommitmentBank", _last_of_train(50, test="validation"),
        read.nli, NLI, ("Yes", "No", "It's impossible to say"), metrics=("macro_f1", "accuracy")
    ),
    _classification(
        "rte", "super_glue/rte:1.0.2", "nli", "RTE", TO_VALIDATION, read.nli, NLI, ("yes", "no")
    ),
    *(
        _classification(
            f"mnli_{kind}", "glue/mnli:2.0.0", "nli", "MultiNLI",
            _last_of_train(200, test=f"validation_{kind}"),
            read.nli, NLI, ("yes", "it is not possible to tell", "no"), template_set="mnli",
            counted_as="mnli",
            is_in_mixtures=kind == "matched"  # both have the same train split
        )
        for kind in ("matched", "mismatched")
    ),
    _classification(
        "qnli", "glue/qnli:2.0.0", "nli", "QNLI", TO_VALIDATION, read.qnli,
        ("sentence", "question"), ("yes", "no")
    ),
    _classification(
        "wnli", "glue/wnli:2.0.0", "nli", "WNLI", _last_of_train(30, test="validation"),
        read.sentence_pair, PAIR, NO_YES
    ),
    _classification(
        "snli", "snli:1.1.0", "nli", "SNLI", OWN_VALIDATION, read.nli, NLI,
        ("yes", "it is not possible to tell", "no")
    ),
    # commonsense reasoning
    _classification(
        "copa", "super_glue/copa:1.0.2", "commonsense", "COPA",
        _last_of_train(50, test="validation"), read.copa, ("premise", "question")
    ),
    _classification(
        "hellaswag", "hellaswag:1.1.0", "commonsense", "HellaSwag", TO_VALIDATION, read.hellaswag,
        ("context",)
    ),
    _classification(
        "story_cloze", "story_cloze/2016:1.0.0", "commonsense", "StoryCloze",
        _last_of_train(200, "test", train="validation"),
        read.story_cloze, ("context",)
    ),
    _classification(
        "piqa", "piqa:1.0.0", "commonsense", "PIQA", _last_of_train(100, test="validation"),
        read.piqa, ("goal",)
    ),
    # sentiment analysis
    _classification(
        "imdb_reviews", "imdb_reviews/plain_text:1.0.0", "sentiment", "IMDB Reviews", TO_TEST,
        read.imdb_reviews, ("text",), NEGATIVE_POSITIVE
    ),
    _classification(
        "sentiment140", "sentiment140:1.0.0", "sentiment", "Sentiment140", TO_TEST,
        read.sentiment140, ("text",), NEGATIVE_POSITIVE
    ),
    _classification(
        "yelp_polarity_reviews", "yelp_polarity_reviews:0.2.0", "sentiment", "Yelp Polarity",
        TO_TEST, read.yelp_polarity_reviews, ("text",), NEGATIVE_POSITIVE
    ),
    _classification(
        "sst2", "glue/sst2:2.0.0", "sentiment", "SST-2", TO_VALIDATION, read.labelled_sentence,
        ("sentence",), NEGATIVE_POSITIVE
    ),
    # paraphrase detection
    _classification(
        "glue_mrpc", "glue/mrpc:2.0.0", "paraphrase", "MRPC", TO_VALIDATION, read.sentence_pair,
        PAIR, NO_YES, metrics=("f1", "accuracy")
    ),
    _classification(
        "glue_qqp", "glue/qqp:2.0.0", "paraphrase", "Quora Question Pairs", TO_VALIDATION, read.qqp,
        ("question1", "question2"), NO_YES, metrics=("f1", "accuracy")
    ),
    _classification(
        "paws_wiki", "paws_wiki/labeled_final_tokenized:1.1.0", "paraphrase", "PAWS Wiki",
        OWN_VALIDATION, read.sentence_pair, PAIR, NO_YES
    ),
    Dataset(
        "stsb", "glue/stsb:2.0.0", "paraphrase", "STS-B", _last_of_train(100, test="validation"),
        read.stsb, (*PAIR, "answer_str"), ("answer_str",), kind="classification",
        options=("0", "1", "2", "3", "4", "5"), metrics=("pearson", "spearman")
    ),
    # closed-book question answering
    *(
        _classification(
            f"arc_{kind}", f"ai2_arc/ARC-{kind.title()}:1.0.0", "closed_book_qa",
            f"ARC {kind.title()}", TO_TEST, read.arc, ("question",), template_set="arc",
            counted_as="arc"
        )
        for kind in ("challenge", "easy")
    ),
    Dataset(
        "natural_questions", "natural_questions_open:1.0.0", "closed_book_qa", "Natural Questions",
        TO_VALIDATION, read.natural_questions, ("question", "answer"), metrics=("trivia_qa",)
    ),
    Dataset(
        "trivia_qa", "trivia_qa/rc:1.1.0", "closed_book_qa", "TriviaQA", TO_VALIDATION,
        read.trivia_qa, ("question", "answer"), metrics=("trivia_qa",)
    ),
    # structure to text
    Dataset(
        "common_gen", "gem/common_gen:1.1.0", "struct_to_text", "CommonGen", TO_VALIDATION,
        read.common_gen, ("concepts", "concepts_newline", "target"), ("target",), ("concepts",),
        metrics=("rouge",)
    ),
    Dataset(
        "dart", "gem/dart:1.1.0", "struct_to_text", "DART", TO_VALIDATION, read.dart,
        ("tripleset", "tripleset_newline", "target"), ("target",), ("tripleset",),
        metrics=("rouge",)
    ),
    Dataset(
        "e2e_nlg", "gem/e2e_nlg:1.1.0", "struct_to_text", "E2E NLG", TO_VALIDATION, read.e2e_nlg,
        ("meaning_representation", "target"), ("target",), metrics=("rouge",)
    ),
    Dataset(
        "web_nlg_en", "gem/web_nlg_en:1.1.0", "struct_to_text", "WebNLG", TO_VALIDATION,
        read.web_nlg, ("input_string", "target"), ("target",), metrics=("rouge",)
    ),
    # reading comprehension
    _classification(
        "bool_q", "bool_q:1.0.0", "reading_comprehension", "BoolQ", TO_VALIDATION, read.bool_q,
        ("title", "text", "question"), NO_YES
    ),
    Dataset(
        "drop", "drop:2.0.0", "reading_comprehension", "DROP",
        _last_of_train(200, test="dev"),
        read.drop, ("context", "question", "answer"), metrics=("squad",)
    ),
    _classification(
        "multirc", "super_glue/multirc:1.0.2", "reading_comprehension", "MultiRC", TO_VALIDATION,
        read.multirc, ("paragraph", "question", "response"), NO_YES, metrics=("multirc",)
    ),
    _classification(
        "openbookqa", "openbookqa:0.1.0", "reading_comprehension", "OpenBookQA", OWN_VALIDATION,
        read.openbookqa, ("fact", "question")
    ),
    *(
        Dataset(
            f"squad_{version}", tfds, "reading_comprehension", f"SQuAD {version}", TO_VALIDATION,
            read.squad, ("title", "context", "question", "answer"), metrics=("squad",),
            counted_as="squad"
        )
        for version, tfds in (("v1", "squad/v1.1:3.0.0"), ("v2", "squad/v2.0:3.0.0"))
    ),
    # reading comprehension with commonsense
    _classification(
        "cosmos_qa", "cosmos_qa:1.0.0", "reading_comprehension_commonsense", "Cosmos QA",
        TO_VALIDATION, read.cosmos_qa, ("context", "question")
    ),
    _classification(
        "record", "super_glue/record:1.0.2", "reading_comprehension_commonsense", "ReCoRD",
        TO_VALIDATION, read.record, ("passage", "query"), metrics=("squad",)
    ),
    # coreference resolution
    _classification(
        "definite_pronoun_resolution", "definite_pronoun_resolution:1.1.0", "coreference",
        "Definite Pronoun Resolution", TO_TEST, read.definite_pronoun_resolution,
        ("sentence", "pronoun")
    ),
    _classification(
        "winogrande", "winogrande:1.2.0", "coreference", "WinoGrande",
        _last_of_train(200, "validation", train="train_xl"),
        read.winogrande, ("context",)
    ),
    _classification(
        "wsc", "super_glue/wsc:1.0.2", "coreference", "WSC", _last_of_train(50, test="validation"),
        read.wsc, ("context", "text1", "text2"), NO_YES
    ),
    _classification(
        "wsc273", "wsc273:1.0.0", "coreference", "WSC273", {"test": Part("test")}, read.wsc273,
        ("context",), counted_as="wsc", is_in_mixtures=False
    ),
    # translation
    _translation(
        "para_crawl_enes", "para_crawl/enes", "ParaCrawl to Spanish", "en es", PARA_CRAWL
    ),
    _translation(
        "wmt14_enfr", "wmt14_translate/fr-en", "WMT'14 to French", "en fr", OWN_VALIDATION
    ),
    *(
        _translation(
            f"wmt16_translate_{code}en", f"wmt16_translate/{code}-en",
            f"WMT'16 to {read.LANGUAGES[code]}", f"en {code}", OWN_VALIDATION
        )
        for code in ("de", "tr", "cs", "fi", "ro", "ru")
    ),
    # summarization
    Dataset(
        "aeslc", "aeslc:1.0.0", "summarization", "AESLC",
        {**OWN_VALIDATION, "validation": Part("validation", start=-200)},
        read.aeslc, ("body", "subject"), ("subject",), metrics=("rouge",)
    ),
    Dataset(
        "cnn_dailymail", "cnn_dailymail:3.4.0", "summarization", "CNN/DailyMail", OWN_VALIDATION,
        read.cnn_dailymail, ("text", "highlights"), ("highlights",), metrics=("rouge",)
    ),
    Dataset(
        "gigaword", "gigaword:1.2.0", "summarization", "Gigaword", OWN_VALIDATION, read.gigaword,
        ("text", "summary"), ("summary",), metrics=("rouge",)
    ),
    Dataset(
        "multi_news", "multi_news:2.1.0", "summarization", "Multi-News", OWN_VALIDATION,
        read.document_summary, ("text", "summary"), ("summary",), metrics=("rouge",)
    ),
    Dataset(
        "newsroom", "newsroom:1.0.0", "summarization", "Newsroom", OWN_VALIDATION, read.newsroom,
        ("title", "text", "summary"), ("summary",), metrics=("rouge",)
    ),
    Dataset(
        "samsum", "samsum:1.0.0", "summarization", "SAMSum", OWN_VALIDATION, read.samsum,
        ("dialogue", "summary"), ("summary",), metrics=("rouge",)
    ),
    Dataset(
        "xsum", "xsum:1.1.0", "summarization", "XSum", OWN_VALIDATION, read.document_summary,
        ("text", "summary"), ("summary",), metrics=("rouge",)
    ),
    _classification(
        "ag_news_subset", "ag_news_subset:1.0.0", "summarization", "AG News", TO_TEST, read.ag_news,
        ("title", "text"), ("World", "Sports", "Business", "Science/Tech")
    ),
    Dataset(
        "opinion_abstracts_idebate", "opinion_abstracts/idebate:1.0.0", "summarization", "iDebate",
        OPINION_ABSTRACTS, read.idebate, ("argument_sentences", "debate_name", "claim"),
        ("claim",), metrics=("rouge",)
    ),
    Dataset(
        "opinion_abstracts_rotten_tomatoes", "opinion_abstracts/rotten_tomatoes:1.0.0",
        "summarization", "Rotten Tomatoes", OPINION_ABSTRACTS, read.rotten_tomatoes,
        ("movie", "numbered_reviews", "first_review", "critic_consensus"), ("critic_consensus",),
        ("movie", "numbered_reviews"), metrics=("rouge",)
    ),
    Dataset(
        "wiki_lingua_english_en", "gem/wiki_lingua_english_en:1.1.0", "summarization", "WikiLingua",
        OWN_VALIDATION, read.wiki_lingua, ("source", "target"), ("target",), metrics=("rouge",)
    ),
    # miscellaneous
    Dataset(
        "coqa", "coqa:1.0.0", "miscellaneous", "CoQA", _last_of_train(100, test="test"), read.coqa,
        ("text", "numbered_questions", "numbered_answers"), ("numbered_answers",),
        metrics=("squad",)
    ),
    Dataset(
        "quac", "quac:1.0.0", "miscellaneous", "QuAC", TO_VALIDATION, read.quac,
        ("title", "background", "context", "question", "answer"), metrics=("trivia_qa",)
    ),
    _classification(
        "wic", "super_glue/wic:1.0.2", "miscellaneous", "WiC", TO_VALIDATION, read.wic,
        (*PAIR, "word"), ("different meanings", "the same meaning")
    ),
    _classification(
        "trec", "trec:1.0.0", "miscellaneous", "TREC", TO_TEST, read.trec, ("text",),
        ("description", "entity", "abbreviation", "human", "numeric", "location")
    ),
    _classification(
        "cola", "glue/cola:2.0.0", "miscellaneous", "CoLA", TO_VALIDATION, read.labelled_sentence,
        ("sentence",), ("unacceptable", "acceptable")
    ),
    Dataset(
        "math_dataset", "math_dataset/algebra__linear_1d:1.0.0", "miscellaneous",
        "Linear Equations", TO_TEST, read.math_dataset, ("question", "answer")
    ),
    *(
        Dataset(
            name, "para_crawl/enda:1.2.0", "miscellaneous", title, _third_of_para_crawl(nth),
            preprocess, (field, "answer"), metrics=("edit_distance",),
            is_in_mixtures=name == "fix_punct"
        )
        for nth, (name, title, preprocess, field) in enumerate(
            (
                ("true_case", "True Casing", read.true_case, "lower"),
                ("fix_punct", "Fix Punctuation", read.fix_punct, "no_punct"),
                ("word_segment", "Word Segmentation", read.word_segment, "no_space"),
            )
        )
    ),
)
# fmt: on

BY_NAME = {dataset.name: dataset for dataset in DATASETS}
