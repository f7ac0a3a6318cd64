"""Root verbs and their objects: the rule on parses by hand, and a parser trained for it."""

from pathlib import Path
from typing import Any

import pytest

from tk_instruct.errors import UserError
from tk_instruct.self_instruct.run_directory import RunDirectory
from tk_instruct.self_instruct.stats import stats
from tk_instruct.self_instruct.stats.root_verbs import (
    Parsing,
    RootVerb,
    root_verb_and_object,
    root_verbs,
)

spacy = pytest.importorskip("spacy")

# word|lemma|part of speech|label|number of the head, from 0
SENTENCES = {
    "Write|write|VERB|ROOT|0 me|I|PRON|dative|0 a|a|DET|det|3 story|story|NOUN|dobj|0": (
        "write",
        "story",
    ),
    "Write|write|VERB|ROOT|0 two|two|NUM|nummod|2 stories|story|NOUN|dobj|0": ("write", "story"),
    "Write|write|VERB|ROOT|0 a|a|DET|det|2 poem|poem|NOUN|dobj|0": ("write", "poem"),
    "Give|give|VERB|ROOT|0 a|a|DET|det|2 reason|reason|NOUN|dobj|0": ("give", "reason"),
    # No direct object, or one that is no common noun.
    "Write|write|VERB|ROOT|0 about|about|ADP|prep|0 dogs|dog|NOUN|pobj|1": None,
    "Tell|tell|VERB|ROOT|0 me|I|PRON|dobj|0": None,
    # The root is no verb: its first child is asked, and the first child of that.
    "To|to|PART|aux|1 write|write|VERB|csubj|3 stories|story|NOUN|dobj|1 is|be|AUX|ROOT|3": (
        "write",
        "story",
    ),
    "Dogs|dog|NOUN|nsubj|1 are|be|AUX|ROOT|1 who|who|PRON|nsubj|3 eat|eat|VERB|relcl|1 "
    "meat|meat|NOUN|dobj|3": None,
    "Why|why|ADV|ROOT|0": None,
}


def doc(annotated: str, vocab: Any) -> Any:
    words, lemmas, pos, deps, heads = zip(
        *(token.split("|") for token in annotated.split()), strict=True
    )
    return spacy.tokens.Doc(
        vocab,
        words=list(words),
        lemmas=list(lemmas),
        pos=list(pos),
        deps=list(deps),
        heads=[int(head) for head in heads],
    )


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Has learnt the sentences by heart."""
    nlp = spacy.blank("en")
    nlp.add_pipe("morphologizer")
    nlp.add_pipe("parser", config={"min_action_freq": 1})
    nlp.add_pipe("trainable_lemmatizer", config={"min_tree_freq": 1})
    examples = [
        spacy.training.Example(nlp.make_doc(gold.text), gold)
        for gold in (doc(annotated, nlp.vocab) for annotated in SENTENCES)
    ]
    spacy.util.fix_random_seed(0)
    optimizer = nlp.initialize(lambda: examples)
    for _ in range(30):
        nlp.update(examples, sgd=optimizer)
    path = tmp_path_factory.mktemp("pipeline") / "en"
    nlp.to_disk(path)
    return str(path)


def instructions() -> list[str]:
    return [doc(annotated, spacy.vocab.Vocab()).text.strip() for annotated in SENTENCES]


@pytest.mark.parametrize(("annotated", "expected"), SENTENCES.items())
def test_the_rule(annotated: str, expected: tuple[str, str] | None) -> None:
    assert root_verb_and_object(doc(annotated, spacy.vocab.Vocab())) == expected


def test_only_the_first_sentence_counts() -> None:
    second = "Why|why|ADV|ROOT|0 Write|write|VERB|ROOT|1 stories|story|NOUN|dobj|1"
    assert root_verb_and_object(doc(second, spacy.vocab.Vocab())) is None


def test_labels_of_universal_dependencies() -> None:
    universal = "Write|write|VERB|root|0 stories|story|NOUN|obj|0"
    assert root_verb_and_object(doc(universal, spacy.vocab.Vocab())) == ("write", "story")


def test_the_most_common(pipeline: str) -> None:
    parsing = Parsing(spacy_model=pipeline, batch_size=2)
    verbs = root_verbs(["", *instructions()], parsing)
    assert verbs == [
        RootVerb("write", 4, {"story": 3, "poem": 1}),
        RootVerb("give", 1, {"reason": 1}),
    ]
    assert root_verbs(instructions(), parsing, num_verbs=1, num_nouns=1) == [
        RootVerb("write", 4, {"story": 3})
    ]


def test_the_figure_says_how_much_it_covers(pipeline: str, tmp_path: Path) -> None:
    with RunDirectory(tmp_path) as run:
        run.log("instructions").append(
            {
                "id": text,
                "instruction": text,
                "most_similar": {},
                "avg_similarity_score": 0.0,
                "request_idx": 0,
                "provenance": {
                    "model": "a/model",
                    "parameters": {},
                    "prompt_sha256": "",
                    "created_at": "",
                    "seed": 0,
                    "parents": [],
                },
            }
            for text in instructions()
        )
        counted = stats(run, Parsing(spacy_model=pipeline))
    assert counted["root_verbs"][0] == {
        "verb": "write",
        "count": 4,
        "nouns": {"story": 3, "poem": 1},
    }
    assert counted["why_no_root_verbs"] is None
    assert (tmp_path / "stats" / "root_verbs.png").exists()
    report = (tmp_path / "stats" / "report.html").read_text(encoding="utf-8")
    assert "5 of 9 instructions, 55.6 per cent" in report


def test_a_pipeline_without_a_parser(tmp_path: Path) -> None:
    spacy.blank("en").to_disk(tmp_path / "blank")
    with pytest.raises(UserError, match="sets no DEP, no POS, no LEMMA"):
        root_verbs(["Write a story"], Parsing(spacy_model=str(tmp_path / "blank")))


def test_a_pipeline_that_is_not_there() -> None:
    with pytest.raises(UserError, match="python -m spacy download no_such_pipeline"):
        root_verbs(["Write a story"], Parsing(spacy_model="no_such_pipeline"))
