"""Free text against rouge-score, sacrebleu and the published rules written out slowly."""

import re
from collections.abc import Callable, Sequence

import pytest
import sacrebleu
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from tk_instruct.metrics import generation
from tk_instruct.metrics.target import Target

# Few words, so that texts overlap; among them what normalisation and tokenisers trip over.
WORDS = (
    "The|the|a|an|An|and|theatre|cat|cats|twenty-one|twenty|one|don't|don’t|U.S.|u.s|3.5|_|x_y"
    "|.|,|?!|‘a’|´|`|naïve|İ|ß|\u00a0|\n|Yes.|yes"
)
TEXTS = st.one_of(
    st.lists(st.sampled_from(WORDS.split("|")), max_size=8).map(" ".join), st.text(max_size=20)
)
REFERENCES = st.lists(TEXTS, min_size=1, max_size=3).map(tuple)
ROWS = st.lists(st.tuples(REFERENCES, TEXTS), min_size=1, max_size=4)
Rows = list[tuple[tuple[str, ...], str]]


def targets_of(rows: Rows) -> list[Target]:
    return [Target(references) for references, _ in rows]


def predictions_of(rows: Rows) -> list[str]:
    return [prediction for _, prediction in rows]


# Answers to questions


def squad_words(text: str) -> list[str]:
    text = text.lower()
    text = "".join(c for c in text if c not in set("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"))
    return re.sub(r"\b(a|an|the)\b", " ", text).split()


def trivia_qa_words(text: str) -> list[str]:
    text = text.replace("_", " ").lower()
    marks = set("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~") | {"‘", "’", "´", "`"}
    text = "".join(" " if c in marks else c for c in text)
    return re.sub(r"\b(a|an|the)\b", " ", text).split()


def slow_answer_scores(words: Callable[[str], list[str]], rows: Rows) -> dict[str, float]:
    sum_exact = sum_f1 = 0.0
    for references, prediction in rows:
        best_exact = best_f1 = 0.0
        for reference in references:
            said, left = words(prediction), words(reference)
            best_exact = max(best_exact, float(" ".join(said) == " ".join(left)))
            num_said, num_expected, num_same = len(said), len(left), 0
            for word in said:
                if word in left:
                    left.remove(word)
                    num_same += 1
            if num_same:
                precision, recall = num_same / num_said, num_same / num_expected
                best_f1 = max(best_f1, 2 * precision * recall / (precision + recall))
        sum_exact, sum_f1 = sum_exact + best_exact, sum_f1 + best_f1
    return {"exact_match": 100 * sum_exact / len(rows), "f1": 100 * sum_f1 / len(rows)}


@given(ROWS)
@example([(("the",), "a")])
@example([(("x_y", "twenty-one"), "twenty one")])
@settings(max_examples=200)
def test_squad_and_trivia_qa_equal_their_rules(rows: Rows) -> None:
    targets, predictions = targets_of(rows), predictions_of(rows)
    found = generation.squad(targets, predictions)
    assert found == pytest.approx(slow_answer_scores(squad_words, rows), abs=1e-9)
    found = generation.trivia_qa(targets, predictions)
    assert found == pytest.approx(slow_answer_scores(trivia_qa_words, rows), abs=1e-9)


def test_squad_by_hand() -> None:
    # After normalisation: "cat sat" of "cat sat down"; nothing in common; equal.
    targets = [Target(("The cat sat down.",)), Target(("dog",)), Target(("x", "twentyone"))]
    found = generation.squad(targets, ["a CAT sat", "cat", "Twenty-one!"])
    assert list(found) == ["f1", "exact_match"]
    assert found["f1"] == pytest.approx(100 * (0.8 + 0 + 1) / 3)
    assert found["exact_match"] == pytest.approx(100 / 3)


def test_trivia_qa_by_hand() -> None:
    targets = [Target(("twenty one",)), Target(("rock ’n’ roll",))]
    found = generation.trivia_qa(targets, ["Twenty-One", "rock n soul"])
    assert list(found) == ["exact_match", "f1"]
    assert found["exact_match"] == 50
    assert found["f1"] == pytest.approx(100 * (1 + 2 / 3) / 2)


# ROUGE

ROUGE_SCORER = RougeScorer(["rouge1", "rouge2", "rougeLsum"], use_stemmer=False)


@given(ROWS)
@settings(max_examples=200)
def test_rouge_equals_rouge_score(rows: Rows) -> None:
    found = generation.rouge(targets_of(rows), predictions_of(rows))
    assert list(found) == ["rougeLsum", "rouge1", "rouge2"]
    for name, score in found.items():
        best = [
            max(
                ROUGE_SCORER.score(
                    reference.replace(" . ", " .\n"), prediction.replace(" . ", " .\n")
                )[name].fmeasure
                for reference in references
            )
            for references, prediction in rows
        ]
        assert score == pytest.approx(100 * sum(best) / len(best), abs=1e-9)


def test_rouge_lsum_compares_sentences_that_change_places() -> None:
    found = generation.rouge([Target(("a cat sat . it slept .",))], ["it slept . a cat sat ."])
    assert found["rougeLsum"] == found["rouge1"] == pytest.approx(100)
    # In one sentence each, the longest common subsequence is "a cat sat" of five words.
    found = generation.rouge([Target(("a cat sat. it slept.",))], ["it slept. a cat sat."])
    assert found["rougeLsum"] == pytest.approx(60)


def test_rouge_does_not_stem_and_takes_each_best_reference() -> None:
    assert generation.rouge([Target(("running",))], ["runs"])["rouge1"] == 0
    # "c b a" has all the words, "a b x" a pair of them in order.
    found = generation.rouge([Target(("c b a", "a b x"))], ["a b c"])
    assert found == pytest.approx({"rougeLsum": 200 / 3, "rouge1": 100, "rouge2": 50})


# BLEU


# Long enough for the sequences of four words that BLEU counts.
SENTENCES = st.lists(st.sampled_from(["The", "cat's", "sat,", "3.5", "$5", "ß."]), max_size=12)
SENTENCE_ROWS = st.lists(
    st.tuples(
        st.lists(SENTENCES.map(" ".join), min_size=1, max_size=3).map(tuple),
        SENTENCES.map(" ".join),
    ),
    min_size=1,
    max_size=4,
)


@given(st.one_of(SENTENCE_ROWS, ROWS))
@settings(max_examples=100)
def test_bleu_equals_sacrebleu(rows: Rows) -> None:
    most = max(len(references) for references, _ in rows)
    # A reference that is there already adds nothing, so it can fill the gaps.
    streams = [[(*r, *[r[0]] * most)[i] for r, _ in rows] for i in range(most)]
    expected = sacrebleu.corpus_bleu(
        predictions_of(rows),
        streams,
        smooth_method="exp",
        smooth_value=0.0,
        force=False,
        lowercase=False,
        tokenize="intl",
        use_effective_order=False,
    ).score
    found = generation.bleu(targets_of(rows), predictions_of(rows))
    assert found == {"bleu": pytest.approx(expected, abs=1e-9)}


def test_bleu_by_hand() -> None:
    # Of 6 words 5 are right, of 5, 4 and 3 sequences 4, 3 and 2; both texts have six words.
    found = generation.bleu([Target(("the cat sat on the mat",))], ["the cat sat on the rug"])
    assert found["bleu"] == pytest.approx(100 * (5 / 6 * 4 / 5 * 3 / 4 * 2 / 3) ** 0.25)


def test_bleu_counts_every_reference_of_each_instance() -> None:
    targets = [Target(("no word of it",)), Target(("x", "y", "one two three four five"))]
    found = generation.bleu(targets, ["no word of it", "one two three four five"])
    assert found["bleu"] == pytest.approx(100)


# Edit distance


def slow_distance(a: Sequence[str], b: Sequence[str]) -> int:
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        above, row = row, [i]
        for j, y in enumerate(b, 1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (x != y)))
    return row[-1]


def slow_words(text: str) -> list[str]:
    words = [""]
    for character in text.lower():
        if re.match(r"\w", character):
            words[-1] += character
        else:
            words.append("")
    return words


@given(ROWS)
@example([(("\x00",), "")])
def test_edit_distance_equals_the_textbook(rows: Rows) -> None:
    distances = [slow_distance(slow_words(r[0]), slow_words(p)) for r, p in rows]
    found = generation.edit_distance(targets_of(rows), predictions_of(rows))
    assert found == {"mean_edit": pytest.approx(sum(distances) / len(distances))}


def test_edit_distance_by_hand() -> None:
    targets = [Target(("Hello, world",)), Target(("one two",)), Target(("A B",))]
    # A comma lost is an empty word lost; "onetwo" is one word changed, one lost; case is nothing.
    found = generation.edit_distance(targets, ["hello world", "onetwo", "a b"])
    assert found == {"mean_edit": 1.0}
    assert set(found) == generation.LOWER_IS_BETTER
