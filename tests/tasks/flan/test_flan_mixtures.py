"""What is trained on while something is held out."""

import pytest

from tk_instruct.tasks.flan.datasets import BY_NAME, CLUSTERS, DATASETS
from tk_instruct.tasks.flan.holdouts import (
    LADDER,
    MAX_RATE,
    SUPERGLUE,
    datasets_by_mixture,
    in_clusters,
    ladder,
)

MIXTURES = datasets_by_mixture()

# The same facts again, written down apart: which datasets were made of the same things, by the
# papers that present them.
SAME_ORIGIN = [
    {"squad_v1", "squad_v2", "qnli"},  # QNLI: SQuAD's questions and sentences (GLUE, 2019)
    {"wnli", "wsc", "wsc273"},  # the Winograd Schema Challenge
    {"dart", "web_nlg_en"},  # DART includes WebNLG and E2E (Nan et al. 2021)
    {"dart", "e2e_nlg"},
    {"record", "coqa", "cnn_dailymail"},  # articles of CNN; Reddy et al. 2019, section 3
    {"anli_r3", "story_cloze"},  # contexts of round 3 (Nie et al. 2020, section 2.2)
    {"anli_r3", "hellaswag", "wiki_lingua_english_en"},  # WikiHow articles
    {"bool_q", "natural_questions"},  # BoolQ includes some of its questions (Clark et al. 2019)
    {"sst2", "opinion_abstracts_rotten_tomatoes"},  # reviews of rottentomatoes.com
    {"stsb", "snli"},  # captions of Flickr30k
    {"para_crawl_enes", "true_case", "fix_punct", "word_segment"},
    {"mnli_matched", "mnli_mismatched"},
    {"anli_r1", "anli_r2", "anli_r3"},
    {"arc_challenge", "arc_easy"},
]
TOO_CLOSE = [
    ("reading_comprehension", "reading_comprehension_commonsense"),
    ("commonsense", "reading_comprehension_commonsense"),
    ("reading_comprehension_commonsense", "reading_comprehension"),
    ("reading_comprehension_commonsense", "commonsense"),
    ("paraphrase", "nli"),
    ("nli", "paraphrase"),
]


def names(mixture: str) -> set[str]:
    return {dataset.name for dataset in MIXTURES[mixture]}


def test_the_papers_counts() -> None:
    counted = {(d.counted_as, d.cluster) for d in DATASETS if d.is_in_mixtures}
    assert len({name for name, _ in counted}) == 62
    assert len(DATASETS) == 70
    assert {c: sum(of == c for _, of in counted) for c in CLUSTERS} == {
        "nli": 7,
        "commonsense": 4,
        "sentiment": 4,
        "paraphrase": 4,
        "closed_book_qa": 3,
        "struct_to_text": 4,
        "reading_comprehension": 5,
        "reading_comprehension_commonsense": 2,
        "coreference": 3,
        "translation": 8,
        "summarization": 11,
        "miscellaneous": 7,
    }
    untrained = {"mnli_mismatched", "wsc273", "true_case", "word_segment"}
    assert names("flan_all") == set(BY_NAME) - untrained


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_nothing_of_a_held_out_cluster_is_trained_on(cluster: str) -> None:
    trained = names(f"flan_holdout_{cluster}")
    held_out = {dataset.name for dataset in in_clusters(cluster)}
    assert trained
    assert not trained & held_out
    for family in SAME_ORIGIN:
        assert not (family & held_out and family & trained), family
    for held, dropped in TOO_CLOSE:
        if held == cluster:
            assert not trained & {d.name for d in in_clusters(dropped)}
    # And nothing else is left out.
    excused = held_out.union(*(family for family in SAME_ORIGIN if family & held_out))
    excused |= {d.name for held, c in TOO_CLOSE if held == cluster for d in in_clusters(c)}
    assert names("flan_all") - trained <= excused


def test_superglue_is_held_out() -> None:
    trained = names("flan_holdout_superglue")
    assert len(SUPERGLUE) == 8
    assert not trained & set(SUPERGLUE)
    assert names("flan_all") - trained == {
        *SUPERGLUE,
        "cnn_dailymail",
        "coqa",
        "natural_questions",
        "wnli",
    }


def test_the_ladder_adds_a_cluster_a_step_and_never_what_is_held_out() -> None:
    sizes = [len({d.counted_as for d in ladder(n)}) for n in range(1, len(LADDER) + 1)]
    # The paper counts 11, 20, 26, 30, 34, 37 and 39. Ours lack what shares the origin of what is
    # held out: WikiLingua from the first step on, SQuAD and BoolQ from the third, WSC.
    assert sizes == [10, 18, 21, 25, 29, 31, 33]
    for n in range(1, len(LADDER)):
        assert set(ladder(n)) < set(ladder(n + 1))
    held_out = {d.name for d in in_clusters("nli", "closed_book_qa", "commonsense")}
    for family in SAME_ORIGIN:
        assert not (family & held_out and family & names("flan_clusters_7")), family
    assert names("flan_clusters_7") >= {"coqa", "quac"}
    assert not names("flan_clusters_7") & {"trec", "cola", "wic", "record"}


def test_rates_are_capped() -> None:
    assert MAX_RATE == 3000
