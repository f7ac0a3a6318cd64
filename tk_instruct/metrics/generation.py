"""Scores of free text, in per cent except the edit distance.

ValueError is raised for no targets and for predictions that are not as many.
"""

import re
import string
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from statistics import fmean

from rapidfuzz.distance import Levenshtein

from tk_instruct.metrics.target import Target, check_lengths

LOWER_IS_BETTER = frozenset({"mean_edit"})
"""Scores, by name, that a better model has less of; of all others it has more."""

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NON_WORD = re.compile(r"\W")
_SQUAD_PUNCTUATION = str.maketrans("", "", string.punctuation)
_TRIVIA_QA_PUNCTUATION = str.maketrans(dict.fromkeys(string.punctuation + "‘’´`", " "))


def squad(targets: Sequence[Target], predictions: Sequence[str]) -> dict[str, float]:
    """F1 of words and exact match as SQuAD v1.1's evaluation script counts them.

    Each the best over the references, without case, punctuation, articles and white space. A text
    of which nothing is left has F1 0, even against itself.
    """
    exact_match, f1 = _answer_scores(targets, predictions, _SQUAD_PUNCTUATION)
    return {"f1": f1, "exact_match": exact_match}


def trivia_qa(targets: Sequence[Target], predictions: Sequence[str]) -> dict[str, float]:
    """Exact match and F1 of words as TriviaQA's evaluation script counts them.

    As `squad`, but punctuation separates words: `twenty-one` equals `twenty one`.
    """
    exact_match, f1 = _answer_scores(targets, predictions, _TRIVIA_QA_PUNCTUATION)
    return {"exact_match": exact_match, "f1": f1}


def rouge(targets: Sequence[Target], predictions: Sequence[str]) -> dict[str, float]:
    """Mean F1 of ROUGE-Lsum, ROUGE-1 and ROUGE-2, each the best over the references.

    As in t5.evaluation.metrics.rouge_mean (t5's `rouge` up to its bootstrap): by
    rouge-score, without stemming, sentences of ROUGE-Lsum ending in ` . ` or a newline.
    """
    from rouge_score.rouge_scorer import RougeScorer  # brings nltk: a second

    check_lengths(targets, predictions)
    names = ("rougeLsum", "rouge1", "rouge2")
    scorer = RougeScorer(names)
    instances = [
        scorer.score_multi(
            [_sentence_a_line(text) for text in target.references], _sentence_a_line(prediction)
        )
        for target, prediction in zip(targets, predictions, strict=True)
    ]
    return {name: 100 * fmean(scores[name].fmeasure for scores in instances) for name in names}


def bleu(targets: Sequence[Target], predictions: Sequence[str]) -> dict[str, float]:
    """Corpus BLEU by sacrebleu with the tokenisation `intl`, against all references.

    As in t5.evaluation.metrics.bleu with one reference; of several that one mistakes
    those of one instance for those of one set.
    """
    from sacrebleu.metrics import BLEU

    check_lengths(targets, predictions)
    reference_sets = list(zip_longest(*(target.references for target in targets)))
    scorer = BLEU(tokenize="intl", force=True)  # force: no warning of text that looks tokenised
    return {"bleu": scorer.corpus_score(predictions, reference_sets).score}


def edit_distance(targets: Sequence[Target], predictions: Sequence[str]) -> dict[str, float]:
    """Mean Levenshtein distance in words from the first reference; lower is better.

    As in t5.evaluation.metrics.edit_distance, which scores true-casing, punctuation and word
    segmentation: case does not count, and each character that is not of a word (\\W) ends one,
    so two in a row hold an empty word between them.
    """
    check_lengths(targets, predictions)
    return {
        "mean_edit": fmean(
            Levenshtein.distance(_words(target.references[0]), _words(prediction))
            for target, prediction in zip(targets, predictions, strict=True)
        )
    }


def _answer_scores(
    targets: Sequence[Target],
    predictions: Sequence[str],
    punctuation: Mapping[int, str | int | None],
) -> tuple[float, float]:
    """Exact match and F1."""
    check_lengths(targets, predictions)

    def words(text: str) -> list[str]:
        return _ARTICLES.sub(" ", text.lower().translate(punctuation)).split()

    exact_match, f1 = [], []
    for target, prediction in zip(targets, predictions, strict=True):
        predicted, expected = words(prediction), [words(text) for text in target.references]
        exact_match.append(predicted in expected)
        f1.append(max(_word_f1(predicted, answer) for answer in expected))
    return 100 * fmean(exact_match), 100 * fmean(f1)


def _word_f1(predicted: Sequence[str], expected: Sequence[str]) -> float:
    shared = (Counter(predicted) & Counter(expected)).total()
    return 2 * shared / (len(predicted) + len(expected)) if shared else 0.0


def _sentence_a_line(text: str) -> str:
    return text.replace(" . ", " .\n")


def _words(text: str) -> list[str]:
    return _NON_WORD.split(text.lower())
