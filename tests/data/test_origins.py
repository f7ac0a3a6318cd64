"""The table of source datasets: what it says of itself, how names are found, what is related."""

from collections import Counter

import pytest

from tk_instruct.data.origins import (
    canonical,
    main_origins_of,
    named_by,
    named_in,
    origins_of,
    plain,
    related,
    table,
)


def test_rows_name_rows_and_the_paper_that_says_so() -> None:
    for row in table().values():
        links = row.made_from + row.partly_from
        assert set(links) <= table().keys()
        assert len(set(links)) == len(links)
        assert bool(links) == bool(row.documented_in)
        assert row.name in origins_of(row.name)  # there is no circle


def test_no_two_rows_have_a_name_in_common() -> None:
    counts = Counter(plain(n) for row in table().values() for n in (row.name, *row.aliases))
    assert [name for name, count in counts.items() if count > 1 or not name] == []


def test_broad_corpora_are_no_rows() -> None:
    for corpus in ("wikipedia", "news", "common_crawl", "reddit", "twitter", "bbc"):
        assert canonical(corpus) is None


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("RTE", "rte"),
        ("super_glue/rte", "rte"),
        ("glue/rte:2.0.0", "rte"),
        ("squad/v1.1:3.0.0", "squad"),
        ("squad_v2", "squad_v2"),
        ("kilt_tasks/hotpotqa", "hotpot_qa"),
        ("imdb_reviews/plain_text:1.0.0", "imdb"),
        ("anli/r3:0.1.0", "anli_r3"),
        ("measuring_massive_multitask_language_understanding", "mmlu"),
        ("glue", None),
        ("synthetic", None),
        ("", None),
    ],
)
def test_names_of_collections(name: str, row: str | None) -> None:
    assert canonical(name) == row


@pytest.mark.parametrize(
    ("words", "row"),
    [
        ("task1344_glue_entailment_classification", "rte"),
        ("task320_stereoset_classification_race", "stereoset"),
        ("task309_race_answer_generation", "race"),
        ("task517_emo_classify_emotion_of_dialogue", "emo_context"),
        ("task970_sherliic_causal_relationship", "sherliic"),
        ("task936_defeasible_nli_snli_classification", "defeasible_nli_snli"),
        ("task349_squad2.0_answerable_unanswerable_question_classification", "squad_v2"),
        ("Adverserial QA https://huggingface.co/datasets/adversarial_qa#data", "adversarial_qa"),
        ("task1188_count_max_freq_char", None),
        ("", None),
    ],
)
def test_a_data_set_in_the_name_of_a_task(words: str, row: str | None) -> None:
    assert named_in(words) == row


@pytest.mark.parametrize(
    ("train", "evaluation", "relation", "datasets"),
    [
        ("glue/rte", "RTE", "same_dataset", {"rte"}),
        ("qnli", "squad/v1.1", "train_from_eval", {"squad"}),
        ("story_cloze", "anli_r3", "eval_from_train", {"story_cloze"}),
        ("snli", "stsb", "same_corpus", {"flickr30k"}),
        ("swag", "hellaswag", "same_corpus", {"activitynet_captions"}),
        ("wnli", "super_glue/wsc.fixed", "same_corpus", {"winograd_schemas"}),
        # The nearest dataset that both were made from, not what that was made from.
        ("adversarial_qa", "disfl_qa", "same_corpus", {"squad"}),
        ("qed", "bool_q", "same_corpus", {"natural_questions"}),
        ("anli_r1", "mnli", None, None),
        ("rte", "nobody knows it", None, None),
        ("nobody knows it", "nobody knows it", None, None),
    ],
)
def test_how_data_sets_are_related(
    train: str, evaluation: str, relation: str | None, datasets: set[str] | None
) -> None:
    found = related(train, evaluation)
    assert (found and found.relation, found and found.datasets) == (relation, datasets)


def test_what_is_made_from_others_only_in_part() -> None:
    assert "flickr30k" in origins_of("common_gen")
    assert main_origins_of("common_gen") == {"common_gen"}
    assert main_origins_of("esnli") == {"esnli", "snli", "flickr30k"}
    assert origins_of("nobody knows it") == main_origins_of("nobody knows it") == frozenset()


@pytest.mark.parametrize(
    ("task", "row"),
    [
        ("task1344_glue_entailment_classification", "rte"),
        ("task339_record_answer_generation", "record"),
        ("task1453_person_entity_extraction_btc_corpus", "btc"),
        ("task9040_mini_record_sentence", None),
        ("task9031_mini_effect_emotion", None),
        ("task1659_title_generation", None),
        ("", None),
    ],
)
def test_the_name_of_a_task_begins_with_its_dataset(task: str, row: str | None) -> None:
    assert named_by(task) == row
