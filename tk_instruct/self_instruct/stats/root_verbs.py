"""The root verbs of instructions and their direct objects, found by spaCy."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import gin

from tk_instruct.errors import UserError
from tk_instruct.progress import Progress

_LAYERS = ("DEP", "POS", "LEMMA")  # the annotations that are needed, as spaCy names them
_DIRECT_OBJECTS = {"dobj", "obj"}  # as English pipelines and Universal Dependencies label them


@gin.configurable(module="tk_instruct")
@dataclass(frozen=True)
class Parsing:
    """spacy_model: a pipeline with tagger, parser and lemmatizer, by its package or its path."""

    spacy_model: str = "en_core_web_sm"
    batch_size: int = 256

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise UserError(f"batch_size={self.batch_size} must be at least 1")


@dataclass(frozen=True)
class RootVerb:
    """A root verb, the number of instructions that have it with an object, and these by noun."""

    verb: str
    count: int
    nouns: dict[str, int]


def root_verbs(
    instructions: Sequence[str], parsing: Parsing, num_verbs: int = 20, num_nouns: int = 4
) -> list[RootVerb]:
    """The most common root verbs with their most common objects (arXiv:2212.10560, 3.2).

    The most common first, equal ones in alphabetical order. Raises UserError, which says how to
    install it, if spaCy or the pipeline is missing.
    """
    pairs = Counter(pair for pair in verbs_and_objects(instructions, parsing) if pair is not None)
    verbs = Counter[str]()
    for (verb, _), count in pairs.items():
        verbs[verb] += count
    return [
        RootVerb(verb, count, dict(_most_common(_objects(pairs, verb), num_nouns)))
        for verb, count in _most_common(verbs, num_verbs)
    ]


def verbs_and_objects(
    instructions: Sequence[str], parsing: Parsing
) -> Iterator[tuple[str, str] | None]:
    """(verb, noun) of each instruction, None if it lacks one; raises UserError as root_verbs."""
    nlp = _pipeline(parsing.spacy_model)
    with Progress("parsing instructions", len(instructions)) as progress:
        for doc in nlp.pipe(instructions, batch_size=parsing.batch_size):
            if missing := [
                layer for layer in _LAYERS if len(doc) and not doc.has_annotation(layer)
            ]:
                raise UserError(
                    f"spacy_model={parsing.spacy_model!r} sets no {', no '.join(missing)}; take a "
                    "pipeline with a tagger, a parser and a lemmatizer, such as en_core_web_sm"
                )
            yield root_verb_and_object(doc)
            progress.advance()


def root_verb_and_object(doc: Any) -> tuple[str, str] | None:
    """The lemmas of the root verb of a Doc's first sentence and of its direct object.

    The rule is the published one (instruction_visualize.ipynb of yizhongw/self-instruct). The verb
    is the first verb on the way from the root to the first child, to its first child, and so on.
    The object is the verb's first child that is a direct object and a common noun. None if either
    is missing.
    """
    token = next((sentence.root for sentence in doc.sents), None)
    while token is not None and token.pos_ != "VERB":
        token = next(token.children, None)
    if token is None:
        return None
    for child in token.children:
        if child.dep_ in _DIRECT_OBJECTS and child.pos_ == "NOUN":
            return token.lemma_.lower(), child.lemma_.lower()
    return None


def _pipeline(name: str) -> Any:
    try:
        import spacy
    except ImportError as error:
        raise UserError(
            f"spaCy is not installed ({error}); pip install 'tk_instruct[analysis]' && "
            f"python -m spacy download {name}"
        ) from error
    try:
        return spacy.load(name, exclude=["ner"])
    except (OSError, ImportError, ValueError) as error:
        raise UserError(
            f"spaCy cannot load spacy_model={name!r} ({str(error).splitlines()[0]}); python -m "
            f"spacy download {name}, or set Parsing.spacy_model to a pipeline that is installed "
            "or to its path"
        ) from error


def _objects(pairs: Counter[tuple[str, str]], of_verb: str) -> Counter[str]:
    return Counter({noun: count for (verb, noun), count in pairs.items() if verb == of_verb})


def _most_common(counts: Counter[str], number: int) -> Iterable[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:number]
