"""The datasets of each mixture, as they were verified: a run continues only on the same ones."""

from tk_instruct.tasks.flan.holdouts import datasets_by_mixture

HOLD_OUTS = {
    "flan_holdout_nli": """
        copa piqa imdb_reviews sentiment140 yelp_polarity_reviews sst2 arc_challenge arc_easy
        natural_questions trivia_qa common_gen dart e2e_nlg web_nlg_en bool_q drop multirc
        openbookqa cosmos_qa record definite_pronoun_resolution winogrande para_crawl_enes
        wmt14_enfr wmt16_translate_deen wmt16_translate_tren wmt16_translate_csen
        wmt16_translate_fien wmt16_translate_roen wmt16_translate_ruen aeslc cnn_dailymail
        gigaword multi_news newsroom samsum xsum ag_news_subset opinion_abstracts_idebate
        opinion_abstracts_rotten_tomatoes coqa quac wic trec cola math_dataset fix_punct
    """,
    "flan_holdout_commonsense": """
        anli_r1 anli_r2 cb rte mnli_matched qnli wnli snli imdb_reviews sentiment140
        yelp_polarity_reviews sst2 glue_mrpc glue_qqp paws_wiki stsb arc_challenge arc_easy
        natural_questions trivia_qa common_gen dart e2e_nlg web_nlg_en bool_q drop multirc
        openbookqa squad_v1 squad_v2 definite_pronoun_resolution winogrande wsc para_crawl_enes
        wmt14_enfr wmt16_translate_deen wmt16_translate_tren wmt16_translate_csen
        wmt16_translate_fien wmt16_translate_roen wmt16_translate_ruen aeslc cnn_dailymail
        gigaword multi_news newsroom samsum xsum ag_news_subset opinion_abstracts_idebate
        opinion_abstracts_rotten_tomatoes coqa quac wic trec cola math_dataset fix_punct
    """,
    "flan_holdout_sentiment": """
        anli_r1 anli_r2 anli_r3 cb rte mnli_matched qnli wnli snli copa hellaswag story_cloze piqa
        glue_mrpc glue_qqp paws_wiki stsb arc_challenge arc_easy natural_questions trivia_qa
        common_gen dart e2e_nlg web_nlg_en bool_q drop multirc openbookqa squad_v1 squad_v2
        cosmos_qa record definite_pronoun_resolution winogrande wsc para_crawl_enes wmt14_enfr
        wmt16_translate_deen wmt16_translate_tren wmt16_translate_csen wmt16_translate_fien
        wmt16_translate_roen wmt16_translate_ruen aeslc cnn_dailymail gigaword multi_news newsroom
        samsum xsum ag_news_subset opinion_abstracts_idebate wiki_lingua_english_en coqa quac wic
        trec cola math_dataset fix_punct
    """,
    "flan_holdout_paraphrase": """
        copa hellaswag story_cloze piqa imdb_reviews sentiment140 yelp_polarity_reviews sst2
        arc_challenge arc_easy natural_questions trivia_qa common_gen dart e2e_nlg web_nlg_en
        bool_q drop multirc openbookqa squad_v1 squad_v2 cosmos_qa record
        definite_pronoun_resolution winogrande wsc para_crawl_enes wmt14_enfr wmt16_translate_deen
        wmt16_translate_tren wmt16_translate_csen wmt16_translate_fien wmt16_translate_roen
        wmt16_translate_ruen aeslc cnn_dailymail gigaword multi_news newsroom samsum xsum
        ag_news_subset opinion_abstracts_idebate opinion_abstracts_rotten_tomatoes
        wiki_lingua_english_en coqa quac wic trec cola math_dataset fix_punct
    """,
    "flan_holdout_closed_book_qa": """
        anli_r1 anli_r2 anli_r3 cb rte mnli_matched qnli wnli snli copa hellaswag story_cloze piqa
        imdb_reviews sentiment140 yelp_polarity_reviews sst2 glue_mrpc glue_qqp paws_wiki stsb
        common_gen dart e2e_nlg web_nlg_en drop multirc openbookqa squad_v1 squad_v2 cosmos_qa
        record definite_pronoun_resolution winogrande wsc para_crawl_enes wmt14_enfr
        wmt16_translate_deen wmt16_translate_tren wmt16_translate_csen wmt16_translate_fien
        wmt16_translate_roen wmt16_translate_ruen aeslc cnn_dailymail gigaword multi_news newsroom
        samsum xsum ag_news_subset opinion_abstracts_idebate opinion_abstracts_rotten_tomatoes
        wiki_lingua_english_en coqa quac wic trec cola math_dataset fix_punct
    """,
    "flan_holdout_struct_to_text": """
        anli_r1 anli_r2 anli_r3 cb rte mnli_matched qnli wnli snli copa hellaswag story_cloze piqa
        imdb_reviews sentiment140 yelp_polarity_reviews sst2 glue_mrpc glue_qqp paws_wiki stsb
        arc_challenge arc_easy natural_questions trivia_qa bool_q drop multirc openbookqa squad_v1
        squad_v2 cosmos_qa record definite_pronoun_resolution winogrande wsc para_crawl_enes
        wmt14_enfr wmt16_translate_deen wmt16_translate_tren wmt16_translate_csen
        wmt16_translate_fien wmt16_translate_roen wmt16_translate_ruen aeslc cnn_dailymail
        gigaword multi_news newsroom samsum xsum ag_news_subset opinion_abstracts_idebate
        opinion_abstracts_rotten_tomatoes wiki_lingua_english_en coqa quac wic trec cola
        math_dataset fix_punct
    """,
    "flan_holdout_reading_comprehension": """
        anli_r1 anli_r2 anli_r3 cb rte mnli_matched wnli snli copa hellaswag story_cloze piqa
        imdb_reviews sentiment140 yelp_polarity_reviews sst2 glue_mrpc glue_qqp paws_wiki stsb
        arc_challenge arc_easy trivia_qa common_gen dart e2e_nlg web_nlg_en
        definite_pronoun_resolution winogrande wsc para_crawl_enes wmt14_enfr wmt16_translate_deen
        wmt16_translate_tren wmt16_translate_csen wmt16_translate_fien wmt16_translate_roen
        wmt16_translate_ruen aeslc cnn_dailymail gigaword multi_news newsroom samsum xsum
        ag_news_subset opinion_abstracts_idebate opinion_abstracts_rotten_tomatoes
        wiki_lingua_english_en coqa quac wic trec cola math_dataset fix_punct
    """,
    "flan_holdout_reading_comprehension_commonsense": """
        anli_r1 anli_r2 anli_r3 cb rte mnli_matched qnli wnli snli imdb_reviews sentiment140
        yelp_polarity_reviews sst2 glue_mrpc glue_qqp paws_wiki stsb arc_challenge arc_easy
        natural_questions trivia_qa common_gen dart e2e_nlg web_nlg_en definite_pronoun_resolution
        winogrande wsc para_crawl_enes wmt14_enfr wmt16_translate_deen wmt16_translate_tren
        wmt16_translate_csen wmt16_translate_fien wmt16_translate_roen wmt16_translate_ruen aeslc
        gigaword multi_news newsroom samsum xsum ag_news_subset opinion_abstracts_idebate
        opinion_abstracts_rotten_tomatoes wiki_lingua_english_en quac wic trec cola math_dataset
        fix_punct
    """,
    "flan_holdout_coreference": """
        anli_r1 anli_r2 anli_r3 cb rte mnli_matched qnli snli copa hellaswag story_cloze piqa
        imdb_reviews sentiment140 yelp_polarity_reviews sst2 glue_mrpc glue_qqp paws_wiki stsb
        arc_challenge arc_easy natural_questions trivia_qa common_gen dart e2e_nlg web_nlg_en
        bool_q drop multirc openbookqa squad_v1 squad_v2 cosmos_qa record para_crawl_enes
        wmt14_enfr wmt16_translate_deen wmt16_translate_tren wmt16_translate_csen
        wmt16_translate_fien wmt16_translate_roen wmt16_translate_ruen aeslc cnn_dailymail
        gigaword multi_news newsroom samsum xsum ag_news_subset opinion_abstracts_idebate
        opinion_abstracts_rotten_tomatoes wiki_lingua_english_en coqa quac wic trec cola
        math_dataset fix_punct
    """,
    "flan_holdout_translation": """
        anli_r1 anli_r2 anli_r3 cb rte mnli_matched qnli wnli snli copa hellaswag story_cloze piqa
        imdb_reviews sentiment140 yelp_polarity_reviews sst2 glue_mrpc glue_qqp paws_wiki stsb
        arc_challenge arc_easy natural_questions trivia_qa common_gen dart e2e_nlg web_nlg_en
        bool_q drop multirc openbookqa squad_v1 squad_v2 cosmos_qa record
        definite_pronoun_resolution winogrande wsc aeslc cnn_dailymail gigaword multi_news
        newsroom samsum xsum ag_news_subset opinion_abstracts_idebate
        opinion_abstracts_rotten_tomatoes wiki_lingua_english_en coqa quac wic trec cola
        math_dataset
    """,
    "flan_holdout_summarization": """
        anli_r1 anli_r2 cb rte mnli_matched qnli wnli snli copa story_cloze piqa imdb_reviews
        sentiment140 yelp_polarity_reviews glue_mrpc glue_qqp paws_wiki stsb arc_challenge
        arc_easy natural_questions trivia_qa common_gen dart e2e_nlg web_nlg_en bool_q drop
        multirc openbookqa squad_v1 squad_v2 cosmos_qa definite_pronoun_resolution winogrande wsc
        para_crawl_enes wmt14_enfr wmt16_translate_deen wmt16_translate_tren wmt16_translate_csen
        wmt16_translate_fien wmt16_translate_roen wmt16_translate_ruen quac wic trec cola
        math_dataset fix_punct
    """,
    "flan_holdout_miscellaneous": """
        anli_r1 anli_r2 anli_r3 cb rte mnli_matched qnli wnli snli copa hellaswag story_cloze piqa
        imdb_reviews sentiment140 yelp_polarity_reviews sst2 glue_mrpc glue_qqp paws_wiki stsb
        arc_challenge arc_easy natural_questions trivia_qa common_gen dart e2e_nlg web_nlg_en
        bool_q drop multirc openbookqa squad_v1 squad_v2 cosmos_qa definite_pronoun_resolution
        winogrande wsc wmt14_enfr wmt16_translate_deen wmt16_translate_tren wmt16_translate_csen
        wmt16_translate_fien wmt16_translate_roen wmt16_translate_ruen aeslc gigaword multi_news
        newsroom samsum xsum ag_news_subset opinion_abstracts_idebate
        opinion_abstracts_rotten_tomatoes wiki_lingua_english_en
    """,
    "flan_holdout_superglue": """
        anli_r1 anli_r2 anli_r3 mnli_matched qnli snli hellaswag story_cloze piqa imdb_reviews
        sentiment140 yelp_polarity_reviews sst2 glue_mrpc glue_qqp paws_wiki stsb arc_challenge
        arc_easy trivia_qa common_gen dart e2e_nlg web_nlg_en drop openbookqa squad_v1 squad_v2
        cosmos_qa definite_pronoun_resolution winogrande para_crawl_enes wmt14_enfr
        wmt16_translate_deen wmt16_translate_tren wmt16_translate_csen wmt16_translate_fien
        wmt16_translate_roen wmt16_translate_ruen aeslc gigaword multi_news newsroom samsum xsum
        ag_news_subset opinion_abstracts_idebate opinion_abstracts_rotten_tomatoes
        wiki_lingua_english_en quac trec cola math_dataset fix_punct
    """,
    "flan_clusters_1": """
        aeslc cnn_dailymail gigaword multi_news newsroom samsum xsum ag_news_subset
        opinion_abstracts_idebate opinion_abstracts_rotten_tomatoes
    """,
    "flan_clusters_2": """
        para_crawl_enes wmt14_enfr wmt16_translate_deen wmt16_translate_tren wmt16_translate_csen
        wmt16_translate_fien wmt16_translate_roen wmt16_translate_ruen aeslc cnn_dailymail
        gigaword multi_news newsroom samsum xsum ag_news_subset opinion_abstracts_idebate
        opinion_abstracts_rotten_tomatoes
    """,
    "flan_clusters_3": """
        drop multirc openbookqa para_crawl_enes wmt14_enfr wmt16_translate_deen
        wmt16_translate_tren wmt16_translate_csen wmt16_translate_fien wmt16_translate_roen
        wmt16_translate_ruen aeslc cnn_dailymail gigaword multi_news newsroom samsum xsum
        ag_news_subset opinion_abstracts_idebate opinion_abstracts_rotten_tomatoes
    """,
    "flan_clusters_4": """
        imdb_reviews sentiment140 yelp_polarity_reviews sst2 drop multirc openbookqa
        para_crawl_enes wmt14_enfr wmt16_translate_deen wmt16_translate_tren wmt16_translate_csen
        wmt16_translate_fien wmt16_translate_roen wmt16_translate_ruen aeslc cnn_dailymail
        gigaword multi_news newsroom samsum xsum ag_news_subset opinion_abstracts_idebate
        opinion_abstracts_rotten_tomatoes
    """,
    "flan_clusters_5": """
        imdb_reviews sentiment140 yelp_polarity_reviews sst2 common_gen dart e2e_nlg web_nlg_en
        drop multirc openbookqa para_crawl_enes wmt14_enfr wmt16_translate_deen
        wmt16_translate_tren wmt16_translate_csen wmt16_translate_fien wmt16_translate_roen
        wmt16_translate_ruen aeslc cnn_dailymail gigaword multi_news newsroom samsum xsum
        ag_news_subset opinion_abstracts_idebate opinion_abstracts_rotten_tomatoes
    """,
    "flan_clusters_6": """
        imdb_reviews sentiment140 yelp_polarity_reviews sst2 common_gen dart e2e_nlg web_nlg_en
        drop multirc openbookqa definite_pronoun_resolution winogrande para_crawl_enes wmt14_enfr
        wmt16_translate_deen wmt16_translate_tren wmt16_translate_csen wmt16_translate_fien
        wmt16_translate_roen wmt16_translate_ruen aeslc cnn_dailymail gigaword multi_news newsroom
        samsum xsum ag_news_subset opinion_abstracts_idebate opinion_abstracts_rotten_tomatoes
    """,
    "flan_clusters_7": """
        imdb_reviews sentiment140 yelp_polarity_reviews sst2 common_gen dart e2e_nlg web_nlg_en
        drop multirc openbookqa definite_pronoun_resolution winogrande para_crawl_enes wmt14_enfr
        wmt16_translate_deen wmt16_translate_tren wmt16_translate_csen wmt16_translate_fien
        wmt16_translate_roen wmt16_translate_ruen aeslc cnn_dailymail gigaword multi_news newsroom
        samsum xsum ag_news_subset opinion_abstracts_idebate opinion_abstracts_rotten_tomatoes
        coqa quac
    """,
}


def test_hold_outs_stay_as_they_are() -> None:
    found = datasets_by_mixture()
    assert {name: [d.name for d in found[name]] for name in HOLD_OUTS} == {
        name: names.split() for name, names in HOLD_OUTS.items()
    }
    assert found.keys() - HOLD_OUTS.keys() == {"flan_all"}
