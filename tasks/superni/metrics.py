"""Exact match, ROUGE-1 and ROUGE-L, as Super-NaturalInstructions reports them.

The score of an instance is a fraction in [0, 1]: each metric's maximum over the references. Means
are in per cent (Wang et al. 2022, section 5). ROUGE equals rouge-score's F1.
"""

import os
import string
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import fsum
from pathlib import Path
from typing import NamedTuple

from tk_instruct.errors import UserError
from tk_instruct.metrics.rouge import Tokenize, rouge_f1, stemmed_tokens

_WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)


class InstanceScores(NamedTuple):
    """The scores of one prediction, as fractions in [0, 1]."""

    exact_match: float
    rouge1: float
    rougeL: float  # noqa: N815  (the published name)


@dataclass(frozen=True, slots=True)
class Instance:
    """The references and groups of one instance. category is spelled as in the task file."""

    references: tuple[str, ...]
    task: str
    category: str


METRICS = InstanceScores._fields
GPT2_BPE_VARIABLE = "TK_INSTRUCT_GPT2_BPE"


def category_key(category: str) -> str:
    """A category as the keys of scores have it: `Textual Entailment` → `textual_entailment`."""
    return "_".join(category.lower().split())


def exact_match(prediction: str, reference: str) -> bool:
    """Whether the texts are equal, ignoring case, ASCII punctuation and white space.

    Unlike SQuAD's exact match, it does not ignore articles.
    """
    return _normalised(prediction) == _normalised(reference)


def _normalised(text: str) -> str:
    return " ".join(text.lower().translate(_WITHOUT_PUNCTUATION).split())


@cache
def gpt2_tokenizer(directory: str | Path) -> Tokenize:
    """The tokeniser of the x-lingual track: GPT-2's byte-level BPE without the pieces' leading Ġ.

    A piece that is only a space becomes an empty token, as on the leaderboard. Raises UserError if
    encoder.json or vocab.bpe is missing from the directory or damaged.
    """
    from tokenizers import Tokenizer
    from tokenizers.models import BPE
    from tokenizers.pre_tokenizers import ByteLevel

    encoder, merges = Path(directory) / "encoder.json", Path(directory) / "vocab.bpe"
    for path in (encoder, merges):
        if not path.is_file():
            raise UserError(
                f"{path} is missing: ROUGE of the x-lingual track needs encoder.json and vocab.bpe "
                "of GPT-2 (vocab.json and merges.txt of the Hugging Face model "
                "openai-community/gpt2 are the same files); put both there under these names"
            )
    try:
        bpe = Tokenizer(BPE.from_file(str(encoder), str(merges)))
    except Exception as error:  # the library raises Exception itself
        raise UserError(
            f"{encoder} and {merges} are not a byte-pair encoding ({error}); "
            "take GPT-2's own files again"
        ) from error
    bpe.pre_tokenizer = ByteLevel(add_prefix_space=False)
    if bpe.token_to_id("<|endoftext|>") is not None:
        bpe.add_special_tokens(["<|endoftext|>"])  # so that it is one token in a model's text

    def tokenize(text: str) -> list[str]:
        # The BPE takes no unpaired surrogates, such as half of an emoji.
        encodable = text.encode("utf-8", "replace").decode("utf-8")
        return [piece.lstrip("Ġ") for piece in bpe.encode(encodable).tokens]

    return tokenize


def tokenizer_of(track: str, gpt2_bpe: str | None) -> Tokenize:
    """The function that splits texts for ROUGE on a track.

    gpt2_bpe is the directory of encoder.json and vocab.bpe, by default $TK_INSTRUCT_GPT2_BPE. Only
    the x-lingual track needs it. Raises UserError if it is not given or lacks the files.
    """
    if track == "default":
        return stemmed_tokens
    directory = gpt2_bpe or os.environ.get(GPT2_BPE_VARIABLE)
    if not directory:
        raise UserError(
            "ROUGE of the xlingual track splits text with GPT-2's BPE, and no directory of it is "
            f"set; give --gpt2_bpe, the gin parameter gpt2_bpe.directory or ${GPT2_BPE_VARIABLE} "
            "one that holds encoder.json and vocab.bpe (vocab.json and merges.txt of the Hugging "
            "Face model openai-community/gpt2, renamed)"
        )
    return gpt2_tokenizer(Path(directory))


def instance_scores(
    prediction: str, references: Sequence[str], tokenize: Tokenize = stemmed_tokens
) -> InstanceScores:
    """The scores of a prediction: each metric's maximum over the references.

    Raises ValueError if references is empty, TypeError if it is one string.
    """
    if isinstance(references, str):
        raise TypeError(f"references={references!r} must be a list of strings; pass [reference]")
    if not references:
        raise ValueError("references=[] must hold at least one string")
    tokens = tokenize(prediction)
    rouge = [rouge_f1(tokens, tokenize(reference)) for reference in references]
    return InstanceScores(
        float(any(exact_match(prediction, reference) for reference in references)),
        max(rouge1 for rouge1, _ in rouge),
        max(rouge_l for _, rouge_l in rouge),
    )


def score(
    predictions: Sequence[str],
    references: Sequence[Sequence[str]],
    groups: Sequence[Sequence[str]] = (),
    tokenize: Tokenize = stemmed_tokens,
) -> dict[str, float]:
    """The mean of each metric over all instances and over each group, in per cent, not rounded.

    Args:
        predictions: one text for each instance.
        references: one or more texts for each instance.
        groups: lists with one label for each instance, such as the tasks and the category keys.
        tokenize: splits a text into tokens for ROUGE.

    Returns:
        `exact_match`, `rouge1`, `rougeL`, then `{metric}_for_{label}` for every label.

    Raises:
        ValueError: there are no instances, an instance has no references, or lists differ in
            length.
    """
    if not predictions:
        raise ValueError("predictions=[] must hold at least one text")
    for name, labels in (("references", references), *(("a grouping", g) for g in groups)):
        if len(labels) != len(predictions):
            raise ValueError(
                f"{len(predictions)} predictions and {len(labels)} entries in {name} must be as "
                "many; pass one entry for each prediction"
            )
    instances = [
        instance_scores(prediction, expected, tokenize)
        for prediction, expected in zip(predictions, references, strict=True)
    ]
    scores = dict(zip(METRICS, _percentages(instances), strict=True))
    for labels in groups:
        members: defaultdict[str, list[InstanceScores]] = defaultdict(list)
        for label, instance in zip(labels, instances, strict=True):
            members[label].append(instance)
        for label, group in members.items():
            for metric, value in zip(METRICS, _percentages(group), strict=True):
                scores[f"{metric}_for_{label}"] = value
    return scores


def _percentages(instances: Sequence[InstanceScores]) -> list[float]:
    return [100.0 * fsum(column) / len(instances) for column in zip(*instances, strict=True)]
