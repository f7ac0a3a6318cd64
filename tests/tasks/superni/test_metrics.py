"""Scores against hand-worked values, rouge-score itself and a second byte-pair encoder."""

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest
import regex  # type: ignore[import-untyped]
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from tk_instruct.errors import UserError
from tk_instruct.evaluate.output import as_text
from tk_instruct.metrics.rouge import Tokenize
from tk_instruct.tasks.superni import metrics, records

DEFAULT_SCORER = RougeScorer(["rouge1", "rougeL"], use_stemmer=True)

# Few words, so that texts overlap; among them what tokenisers trip over.
WORDS = (
    "The|the|running|runs|RUN|generously|it's|U.S.|3.5|3,5|…|...|naïve|İstanbul|ß|你好|ﬁne|-|,|ab_c"
    "|Yes.|yes|nation|national|\t|\n|\u2028|\x00|\ud83d|🙂"
)
TEXTS = st.one_of(
    st.lists(st.sampled_from(WORDS.split("|")), max_size=12).map(" ".join), st.text(max_size=30)
)


# exact match


@pytest.mark.parametrize(
    ("prediction", "reference"),
    [
        ("Yes", "yes."),
        ("  new\n york\t", "New York"),
        ("don't", "DONT"),
        ("a - b", "a b"),
        ("\u00a0A\u2003b ", "a b"),
        ("...", ""),
        ("ÉCOLE", "école"),
    ],
)
def test_exact_match_ignores_case_ascii_punctuation_and_white_space(
    prediction: str, reference: str
) -> None:
    assert metrics.exact_match(prediction, reference)


@pytest.mark.parametrize(
    ("prediction", "reference"),
    [("the cat", "cat"), ("a", ""), ("newyork", "new york"), ("yes。", "yes"), ("“a”", "a")],
)
def test_exact_match_keeps_articles_word_breaks_and_other_punctuation(
    prediction: str, reference: str
) -> None:
    assert not metrics.exact_match(prediction, reference)


# ROUGE


@given(TEXTS, TEXTS)
@example("", "")
@example("?!", "?!")
@settings(max_examples=300)
def test_rouge_equals_rouge_score(prediction: str, reference: str) -> None:
    expected = DEFAULT_SCORER.score(reference, prediction)
    found = metrics.instance_scores(prediction, [reference])
    assert found.rouge1 == pytest.approx(expected["rouge1"].fmeasure, abs=1e-12)
    assert found.rougeL == pytest.approx(expected["rougeL"].fmeasure, abs=1e-12)


class ObjectWith:
    """A tokeniser as rouge-score wants one."""

    def __init__(self, tokenize: Tokenize) -> None:
        self.tokenize = tokenize


@given(TEXTS, TEXTS)
def test_rouge_with_another_tokeniser_equals_rouge_score(prediction: str, reference: str) -> None:
    # Characters: long lists, one-character tokens, and NUL, which must not equal an empty token.
    def tokenize(text: str) -> list[str]:
        return [character.strip(" ") for character in text]

    scorer = RougeScorer(["rouge1", "rougeL"], tokenizer=ObjectWith(tokenize))
    expected = scorer.score(reference, prediction)
    found = metrics.instance_scores(prediction, [reference], tokenize)
    assert found.rouge1 == pytest.approx(expected["rouge1"].fmeasure, abs=1e-12)
    assert found.rougeL == pytest.approx(expected["rougeL"].fmeasure, abs=1e-12)


def test_each_metric_takes_its_own_best_reference() -> None:
    # "c b a" has all the words in the wrong order, "a b x y" two of them in the right one.
    scores = metrics.instance_scores("a b c", ["c b a", "a b x y", "none"])
    assert scores.exact_match == 0
    assert scores.rouge1 == 1
    assert scores.rougeL == pytest.approx(4 / 7, abs=1e-15)


# GPT-2's byte-pair encoding


@pytest.fixture
def gpt2_dir(shared_data: Path) -> Path:
    return shared_data / "gpt2-bpe"


class SlowBPE:
    """GPT-2's encoder written from its description: bytes as printable characters, merged in turn.

    (Radford et al. 2019, section 2.2.)
    """

    split = regex.compile(
        r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
    )

    def __init__(self, directory: Path) -> None:
        lines = (directory / "vocab.bpe").read_text(encoding="utf-8").split("\n")[1:]
        self.rank = {tuple(line.split()): i for i, line in enumerate(lines) if line}
        printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
        others = [byte for byte in range(256) if byte not in printable]
        self.character = {byte: chr(byte) for byte in printable}
        self.character |= {byte: chr(256 + i) for i, byte in enumerate(others)}

    def tokenize(self, text: str) -> list[str]:
        pieces = []
        for word in self.split.findall(text):
            parts = [self.character[byte] for byte in word.encode("utf-8")]
            while len(parts) > 1:
                pairs = list(pairwise(parts))
                best = min(pairs, key=lambda pair: self.rank.get(pair, len(self.rank)))
                if best not in self.rank:
                    break
                merged: list[str] = []
                for part in parts:
                    # The empty part keeps what this merge made from being merged again.
                    if merged and (merged[-1], part) == best:
                        merged[-1:] = [merged[-1] + part, ""]
                    else:
                        merged.append(part)
                parts = [part for part in merged if part]
            pieces += parts
        return [piece.lstrip("Ġ") for piece in pieces]


def test_gpt2_tokens_of_a_sentence(gpt2_dir: Path) -> None:
    tokenize = metrics.gpt2_tokenizer(gpt2_dir)
    assert tokenize("The quick  Ġrunning 你<|endoftext|>") == [
        "The", "quick", "", "Ä", "ł", "running", "", "ä½", "ł", "<|endoftext|>"
    ]  # fmt: skip
    assert tokenize("") == []


@pytest.mark.parametrize(
    "text",
    [
        "Hello, world! It's the U.S.'s 3.5% growth…",
        " leading and  double   spaces \n\n and\ttabs ",
        "在这个句子中, 哪一个是原因? 结果：他迟到了。",
        "Mti ulianguka kwa sababu ya upepo; çünkü hava rüzgârlıydı 🙂",
        "हिन्दी में लिखा हुआ वाक्य",
        "naïve ﬁne İ \u2028 \x00 \u00a0x",
    ],
)
def test_gpt2_tokens_equal_a_second_encoder(gpt2_dir: Path, text: str) -> None:
    assert metrics.gpt2_tokenizer(gpt2_dir)(text) == SlowBPE(gpt2_dir).tokenize(text)


def test_xlingual_scores_equal_rouge_score_with_that_tokeniser(
    shared_data: Path, gpt2_dir: Path
) -> None:
    path = shared_data / "natural-instructions/tasks/task1239_ted_translation_gl_ja.json"
    texts = [row["output"][0] for row in json.loads(path.read_text("utf-8"))["Instances"][:30]]
    predictions = [text[: len(text) // 2] + other[:10] for text, other in pairwise(texts)]
    scorer = RougeScorer(["rouge1", "rougeL"], tokenizer=SlowBPE(gpt2_dir))
    expected = [scorer.score(r, p) for r, p in zip(texts, predictions, strict=False)]
    found = metrics.score(
        predictions, [[text] for text in texts[:-1]], tokenize=metrics.gpt2_tokenizer(gpt2_dir)
    )
    for metric in ("rouge1", "rougeL"):
        mean = 100 * sum(scores[metric].fmeasure for scores in expected) / len(expected)
        assert 20 < mean < 95
        assert found[metric] == pytest.approx(mean, abs=1e-10)


@pytest.fixture
def tiny_bpe(tmp_path: Path) -> Path:
    """Every byte, and the merges `Ġ t` and `Ġt o`."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    characters = [chr(byte) for byte in printable] + [chr(256 + i) for i in range(68)]
    vocabulary = {piece: i for i, piece in enumerate([*characters, "Ġt", "Ġto"])}
    (tmp_path / "encoder.json").write_text(json.dumps(vocabulary))
    (tmp_path / "vocab.bpe").write_text("#version: 0.2\nĠ t\nĠt o\n", encoding="utf-8")
    return tmp_path


def test_bpe_keeps_case_adds_no_space_and_strips_the_marker(tiny_bpe: Path) -> None:
    assert metrics.gpt2_tokenizer(str(tiny_bpe))("to  to To") == ["t", "o", "", "to", "", "T", "o"]


def test_bpe_takes_a_cut_off_emoji_as_a_question_mark(tiny_bpe: Path) -> None:
    assert metrics.gpt2_tokenizer(tiny_bpe)("\ud83d") == ["?"]


@pytest.mark.parametrize("missing", ["encoder.json", "vocab.bpe"])
def test_bpe_error_names_the_missing_file_and_where_it_comes_from(
    tiny_bpe: Path, missing: str
) -> None:
    (tiny_bpe / missing).unlink()
    with pytest.raises(UserError) as caught:
        metrics.gpt2_tokenizer(tiny_bpe)
    assert str(caught.value).startswith(f"{tiny_bpe / missing} is missing: ")
    assert "openai-community/gpt2" in str(caught.value)


def test_bpe_error_for_a_broken_file(tiny_bpe: Path) -> None:
    (tiny_bpe / "encoder.json").write_text("{")
    with pytest.raises(UserError, match=r"encoder\.json and .*vocab\.bpe are not a byte-pair"):
        metrics.gpt2_tokenizer(tiny_bpe)


# means and groups


def test_score_by_hand() -> None:
    scores = metrics.score(
        ["Yes.", "a b c x", ""],
        [["no", "yes"], ["c a b y z"], ["something"]],
        groups=(["t1", "t2", "t2"], ["word_analogy", "word_analogy", "title_generation"]),
        tokenize=str.split,
    )
    # With str.split "Yes." is no token of "yes": exact match 1, ROUGE 0.
    third, rouge1, rouge_l = 100 / 3, 200 / 3, 400 / 9
    expected = {
        "exact_match": third,
        "rouge1": rouge1 / 3,
        "rougeL": rouge_l / 3,
        "exact_match_for_t1": 100.0,
        "rouge1_for_t1": 0.0,
        "rougeL_for_t1": 0.0,
        "exact_match_for_t2": 0.0,
        "rouge1_for_t2": rouge1 / 2,
        "rougeL_for_t2": rouge_l / 2,
        "exact_match_for_word_analogy": 50.0,
        "rouge1_for_word_analogy": rouge1 / 2,
        "rougeL_for_word_analogy": rouge_l / 2,
        "exact_match_for_title_generation": 0.0,
        "rouge1_for_title_generation": 0.0,
        "rougeL_for_title_generation": 0.0,
    }
    assert list(scores) == list(expected)
    assert scores == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("predictions", "references", "groups", "error", "message"),
    [
        ([], [], (), ValueError, "at least one text"),
        (["a"], [[]], (), ValueError, "at least one string"),
        (["a"], ["a"], (), TypeError, r"pass \[reference\]"),
        (["a", "b"], [["a"]], (), ValueError, "2 predictions and 1 entries in references"),
        (["a"], [["a"]], (["t", "u"],), ValueError, "1 predictions and 2 entries in a grouping"),
    ],
)
def test_score_refuses_nonsense(
    predictions: list[str],
    references: list[Sequence[str]],
    groups: Sequence[Sequence[str]],
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        metrics.score(predictions, references, groups)


def test_rounded_json_has_four_decimals_and_keeps_the_order() -> None:
    text = as_text({"rougeL": 200 / 3, "exact_match": 12.0})
    assert text == '{\n  "rougeL": 66.6667,\n  "exact_match": 12.0\n}\n'


def test_category_keys() -> None:
    assert metrics.category_key("Data to  Text") == "data_to_text"
    assert len(records.EVALUATION_CATEGORIES) == 12
    by_metric = list(records.EVALUATION_CATEGORIES.values())
    assert by_metric == ["exact_match"] * 6 + ["rougeL"] * 6
