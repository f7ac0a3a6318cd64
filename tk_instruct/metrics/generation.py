"""Metrics of free text, in per cent except the edit distance.

They raise ValueError if there are no targets or if predictions are not as many as targets.
"""

import re
import string
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from rapidfuzz.distance import Levenshtein

from tk_instruct.metrics.metric import Measured, Metric, jackknife, mean
from tk_instruct.metrics.target import Target, check_lengths

LOWER_IS_BETTER = frozenset({"mean_edit"})
"""The names of scores that are lower for a better model. All others are higher."""

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NON_WORD = re.compile(r"\W")
_SQUAD_PUNCTUATION = str.maketrans("", "", string.punctuation)
_TRIVIA_QA_PUNCTUATION = str.maketrans(dict.fromkeys(string.punctuation + "‘’´`", " "))


@Metric
def squad(targets: Sequence[Target], predictions: Sequence[str]) -> dict[str, Measured]:
    """F1 of words and exact match, as SQuAD v1.1's evaluation script counts them.

    Each is the maximum over the references, and ignores case, punctuation, articles and white
    space. A text that is empty without them has F1 0, even against itself.
    """
    exact_match, f1 = _answer_scores(targets, predictions, _SQUAD_PUNCTUATION)
    return {"f1": f1, "exact_match": exact_match}


@Metric
def trivia_qa(targets: Sequence[Target], predictions: Sequence[str]) -> dict[str, Measured]:
    """Exact match and F1 of words, as TriviaQA's evaluation script counts them.

    As `squad`, but punctuation separates words: `twenty-one` equals `twenty one`.
    """
    exact_match, f1 = _answer_scores(targets, predictions, _TRIVIA_QA_PUNCTUATION)
    return {"exact_match": exact_match, "f1": f1}


@Metric
def rouge(targets: Sequence[Target], predictions: Sequence[str]) -> dict[str, Measured]:
    """Mean F1 of ROUGE-Lsum, ROUGE-1 and ROUGE-2, each the maximum over the references.

    Equal to t5.evaluation.metrics.rouge_mean (t5's `rouge` without bootstrap): rouge-score without
    stemming. Sentences of ROUGE-Lsum end in ` . ` or a newline.
    """
    from rouge_score.rouge_scorer import RougeScorer  # takes a second, because it imports nltk

    check_lengths(targets, predictions)
    names = ("rougeLsum", "rouge1", "rouge2")
    scorer = RougeScorer(names)
    instances = [
        scorer.score_multi(
            [_sentence_a_line(text) for text in target.references], _sentence_a_line(prediction)
        )
        for target, prediction in zip(targets, predictions, strict=True)
    ]
    return {name: mean([scores[name].fmeasure for scores in instances]) for name in names}


@Metric
def bleu(targets: Sequence[Target], predictions: Sequence[str]) -> dict[str, Measured]:
    """Corpus BLEU of sacrebleu with the tokenisation `intl`, against all references.

    With one reference for each instance, equal to t5.evaluation.metrics.bleu. With several, t5's
    function mistakes the references of one instance for one reference set.
    """
    from sacrebleu.metrics import BLEU

    check_lengths(targets, predictions)
    # The last two change no count. They spare warnings of texts that look tokenised or are short.
    scorer = BLEU(tokenize="intl", force=True, effective_order=True)
    sentences = [
        scorer.sentence_score(prediction, target.references)
        for target, prediction in zip(targets, predictions, strict=True)
    ]
    counts = np.array([(of.counts, of.totals) for of in sentences])
    lengths = np.array([(of.sys_len, of.ref_len) for of in sentences])

    def of_sums(counts: Any, lengths: Any) -> float:
        (right, said), (length, expected_length) = counts.tolist(), lengths.tolist()
        method = scorer.smooth_method
        return BLEU.compute_bleu(right, said, length, expected_length, method).score

    all_counts, all_lengths = counts.sum(0), lengths.sum(0)

    def without() -> Float[np.ndarray, " n"]:
        left = zip(all_counts - counts, all_lengths - lengths, strict=True)
        return np.array([of_sums(*sums) for sums in left])

    return {"bleu": jackknife(of_sums(all_counts, all_lengths), without)}


@Metric
def edit_distance(targets: Sequence[Target], predictions: Sequence[str]) -> dict[str, Measured]:
    """Mean Levenshtein distance in words from the first reference. Lower is better.

    Equal to t5.evaluation.metrics.edit_distance, which scores true-casing, punctuation and word
    segmentation. It ignores case. Each character that is not part of a word (\\W) ends a word, so
    two of them in a row give an empty word.
    """
    check_lengths(targets, predictions)
    return {
        "mean_edit": mean(
            [
                Levenshtein.distance(_words(target.references[0]), _words(prediction))
                for target, prediction in zip(targets, predictions, strict=True)
            ],
            scale=1,
        )
    }


def _answer_scores(
    targets: Sequence[Target],
    predictions: Sequence[str],
    punctuation: Mapping[int, str | int | None],
) -> tuple[Measured, Measured]:
    """Mean exact match and mean F1 of words, in per cent. punctuation: character → replacement."""
    check_lengths(targets, predictions)

    def words(text: str) -> list[str]:
        return _ARTICLES.sub(" ", text.lower().translate(punctuation)).split()

    exact_match, f1 = [], []
    for target, prediction in zip(targets, predictions, strict=True):
        predicted, expected = words(prediction), [words(text) for text in target.references]
        exact_match.append(predicted in expected)
        f1.append(max(_word_f1(predicted, answer) for answer in expected))
    return mean(exact_match), mean(f1)


def _word_f1(predicted: Sequence[str], expected: Sequence[str]) -> float:
    shared = (Counter(predicted) & Counter(expected)).total()
    return 2 * shared / (len(predicted) + len(expected)) if shared else 0.0


def _sentence_a_line(text: str) -> str:
    return text.replace(" . ", " .\n")


def _words(text: str) -> list[str]:
    return _NON_WORD.split(text.lower())
