"""The project's own templates: PromptSource's form, and the traps of PromptSource's templates."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from tk_instruct.tasks.p3 import mini, tasks, templates
from tk_instruct.tasks.p3.examples import needed_columns
from tk_instruct.tasks.p3.rendering import Dropped, Prompted, apply
from tk_instruct.tasks.p3.templates import DatasetName

TREE = templates.Tree(templates.OWN)
DATASETS = {str(dataset): TREE.templates(dataset) for dataset in TREE.datasets()}
ALL = pytest.mark.parametrize(
    ("dataset", "name"), [(dataset, name) for dataset, found in DATASETS.items() for name in found]
)
# Those that PromptSource lists.
METRICS = {
    *("BLEU", "ROUGE", "Squad", "Trivia QA", "Accuracy", "Pearson Correlation", "MultiRC", "AUC"),
    *("Spearman Correlation", "COQA F1", "Edit Distance", "Mean Reciprocal Rank", "Other"),
}
Choose = Callable[[Sequence[Any], int], Any]


def first(options: Sequence[Any], count: int) -> Any:
    return options[0]


def last(options: Sequence[Any], count: int) -> Any:
    return options[-1]


def outcome(
    dataset: str, name: str, row: Mapping[str, Any], choose: Choose = first
) -> Prompted | Dropped:
    return apply(DATASETS[dataset][name], row, choose, "the row")


def prompted(dataset: str, name: str, choose: Choose = first, **row: Any) -> Prompted:
    found = outcome(dataset, name, row, choose)
    assert isinstance(found, Prompted), found
    return found


def reason(dataset: str, name: str, **row: Any) -> str:
    found = outcome(dataset, name, row)
    assert isinstance(found, Dropped), found
    return found.reason


def rows(dataset: str) -> list[dict[str, Any]]:
    splits = mini._DATASETS[dataset].splits
    return [row for split in splits for row in mini._rows(dataset, split)]


def test_ids_are_uuids_and_differ() -> None:
    ids = [template.id for found in DATASETS.values() for template in found.values()]
    assert all(str(uuid.UUID(each)) == each and uuid.UUID(each).version == 4 for each in ids)
    assert len(set(ids)) == len(ids)


def test_each_dataset_has_four_to_eight_templates_whose_tasks_have_names_of_their_own() -> None:
    assert len(DATASETS) == 11
    assert all(4 <= len(found) <= 8 for found in DATASETS.values())
    names = [
        tasks.name_of(DatasetName(*dataset.split("/")), name)
        for dataset, found in DATASETS.items()
        for name in found
    ]
    assert len(set(names)) == len(names)
    assert "p3_ag_news_Pick_A_B_C_or_D_" in names
    assert "p3_anli_yes_perhaps_no" in names


@ALL
def test_metadata_is_promptsource_s(dataset: str, name: str) -> None:
    template = DATASETS[dataset][name]
    assert [*(template.metadata.languages or ())] == ["en"]
    assert template.metadata.metrics
    assert set(template.metadata.metrics) <= METRICS
    assert isinstance(template.metadata.original_task, bool)


def test_most_ask_for_the_original_task() -> None:
    for found in DATASETS.values():
        assert sum(bool(template.metadata.original_task) for template in found.values()) >= 2
    all_of_them = [t.metadata.original_task for found in DATASETS.values() for t in found.values()]
    assert len(all_of_them) / 2 < sum(all_of_them) < len(all_of_them)


@ALL
def test_choices_are_in_the_prompt_if_it_is_said(dataset: str, name: str) -> None:
    template = DATASETS[dataset][name]
    found = [outcome(dataset, name, row) for row in rows(dataset)]
    shown = [
        all(choice[:2000] in each.inputs for choice in each.choices)
        for each in found
        if isinstance(each, Prompted) and each.choices
    ]
    assert bool(shown) == bool(template.answer_choices)
    assert template.metadata.choices_in_prompt == (bool(shown) and all(shown))


@ALL
def test_synthetic_rows_give_examples(dataset: str, name: str) -> None:
    found = [outcome(dataset, name, row) for row in rows(dataset)]
    assert sum(isinstance(each, Prompted) for each in found) >= 20
    for each in found:
        if isinstance(each, Dropped):
            assert "rendered" not in each.reason
        elif each.choices and len(each.targets) < 2000:
            assert each.targets in each.choices


def test_the_scored_prompts_are_of_datasets_that_t0_holds_out() -> None:
    scored = {
        dataset: [name for name, template in found.items() if template.is_scored]
        for dataset, found in DATASETS.items()
    }
    assert all(len(scored[name]) >= 4 for name in ("super_glue/rte", "super_glue/copa", "anli"))
    assert len(scored["super_glue/axg"]) == 4
    assert not scored["wino_bias/type1_pro"]
    assert not scored["quoref"]
    declared = tasks.declared_in_data()
    assert {name.split("_")[1] for name in declared["p3_train"].parts} == (
        {"ag", "glue", "trec", "quoref", "common"}
    )
    assert set(declared["p3_eval"].parts) == {
        prompts.task
        for dataset in ("super_glue/rte", "super_glue/copa", "anli")
        for name in scored[dataset]
        for prompts in tasks.prompts_of(DatasetName(*dataset.split("/")), name)
    }


def test_wino_bias_has_the_same_prompts_for_both_subsets() -> None:
    def texts(subset: str) -> list[tuple[str, str]]:
        return [(t.name, t.jinja) for t in DATASETS[f"wino_bias/{subset}"].values()]

    assert texts("type1_pro") == texts("type1_anti")


# What is met in PromptSource's templates, one by one.


def test_choices_are_fixed() -> None:
    found = prompted("ag_news", "sort into sections", text="A cup was won.", label=1)
    assert found == (
        "A news site has these sections: World, Sport, Business, Science.\n"
        "Into which of them does this report go?\n\nA cup was won.",
        "Sport",
        ["World", "Sport", "Business", "Science"],
    )


def test_choices_are_made_of_columns_and_may_repeat() -> None:
    row = {"premise": "It rained.", "question": "effect", "choice1": "Wet.", "label": 1}
    for name in ("why or what then", "because or so", "what came of it", "without the options"):
        assert prompted("super_glue/copa", name, **row, choice2="Wet.").choices == ["Wet.", "Wet."]
        assert prompted("super_glue/copa", name, **row, choice2="Dry.").targets == "Dry."


@pytest.mark.parametrize(
    ("dataset", "name", "texts"),
    [
        ("ag_news", "who gets the report", ("This just came in:", "A report has arrived:")),
        ("common_gen", "words in a row", ("Make a sentence out of", "Put into one sentence:")),
    ],
)
def test_one_of_constants_is_drawn(dataset: str, name: str, texts: tuple[str, str]) -> None:
    row = {"text": "News.", "label": 0, "concepts": ["a"], "target": "A."}
    for choose, text in zip((first, last), texts, strict=True):
        assert prompted(dataset, name, choose, **row).inputs.startswith(text)


def test_one_of_a_column_is_drawn() -> None:
    row = {"concepts": ["dog", "runs"], "target": "The dog runs."}
    for choose, word in ((first, "dog"), (last, "runs")):
        found = prompted("common_gen", "only one word", choose, **row)
        assert found.inputs == f"Say something about this: {word}"
    asked = {"context": "Tom or Ann.", "question": "Who?", "answers": {"text": ["Tom", "Ann"]}}
    for choose, word in ((first, "Tom"), (last, "Ann")):
        assert prompted("quoref", "find the answer", choose, **asked).targets == word


def test_the_most_frequent_of_a_column_is_taken() -> None:
    answers = {"text": ["Tom", "Ann", "Bob", "Ann"], "answer_start": [0, 0, 0, 0]}
    asked = {"title": "T", "context": "C", "question": "Who?", "answers": answers}
    for choose in (first, last):
        assert prompted("quoref", "question first", choose, **asked).targets == "Ann"


def test_lists_are_zipped() -> None:
    answers = {"answer_start": [3, 9], "text": ["Tom", "Ann"]}
    found = prompted("quoref", "where it stands", context="C", question="Who?", answers=answers)
    assert found.targets == "3: Tom\n9: Ann"
    found = prompted("ag_news", "Pick: A, B, C or D?", text="A cup.", label=1)
    assert found.inputs.endswith("\nD: research and machines")


def test_what_a_loop_prints_is_cut_each_time() -> None:
    words = ["word " * 600, "cat"]
    found = prompted("common_gen", "list of words", concepts=words, target="A cat.")
    cut = "word " * 408 + "word..."
    assert found.inputs == f"Use every one of these words in one sentence:\n- {cut}\n- cat"


def test_choices_are_cut_in_the_prompt_and_not_in_the_list() -> None:
    row = {"premise": "P.", "question": "cause", "choice1": "word " * 600, "choice2": "C."}
    found = prompted("super_glue/copa", "because or so", **row, label=1)
    assert found.choices == [("word " * 600).strip(), "C."]
    assert "* " + "word " * 408 + "word...\n* C." in found.inputs


@pytest.mark.parametrize(
    ("dataset", "name", "row"),
    [
        ("glue/mrpc", "in other words", {"sentence1": "A.", "sentence2": "B.", "label": 0}),
        ("anli", "make a claim", {"premise": "A.", "hypothesis": "B.", "label": 1}),
        ("anli", "say why", {"premise": "A.", "hypothesis": "B.", "label": 1, "reason": ""}),
        ("super_glue/rte", "write what follows", {"premise": "A.", "hypothesis": "B.", "label": 1}),
        ("trec", "kind of place", {"text": "Who?", "coarse_label": 3, "fine_label": 29}),
    ],
)
def test_rows_are_skipped(dataset: str, name: str, row: Mapping[str, Any]) -> None:
    assert reason(dataset, name, **row) == "no |||"


def test_a_row_without_a_label_has_an_empty_target() -> None:
    row = {"premise": "P.", "hypothesis": "H.", "label": -1}
    for name, template in DATASETS["super_glue/rte"].items():
        if template.is_scored:
            assert reason("super_glue/rte", name, **row) == "empty target"
    copa = {"premise": "P.", "question": "effect", "choice1": "A.", "choice2": "B.", "label": -1}
    assert reason("super_glue/copa", "why or what then", **copa) == "empty target"
    short = {"text": "A short report.", "label": 0}
    assert reason("ag_news", "how does it go on", **short) == "empty target"


def test_the_separator_is_protected_in_a_text_but_not_in_a_list() -> None:
    found = prompted("ag_news", "one word subject", text="a ||| b", label=0)
    assert found.inputs.startswith("a ||| b\n")
    row = {"concepts": ["a ||| b", "c"], "target": "T."}
    for name in ("list of words", "words in a row", "find the words"):
        assert reason("common_gen", name, **row) == "2 times |||, not once"
    answers = {"text": ["a ||| b"], "answer_start": [0]}
    asked = {"context": "C", "question": "Q?", "answers": answers}
    assert reason("quoref", "all answers", **asked) == "2 times |||, not once"
    # Choices are a list too, even those that are made of columns.
    copa = {"premise": "P.", "question": "effect", "choice1": "A.", "choice2": "b ||| c"}
    assert reason("super_glue/copa", "why or what then", **copa, label=1) == "2 times |||, not once"
    assert prompted("super_glue/copa", "why or what then", **copa, label=0).choices == [
        "A.",
        "b ||| c",
    ]


def test_branches_have_a_separator_each() -> None:
    for dataset, name in (("glue/mrpc", "rewrite or alter"), ("anli", "make a claim")):
        assert DATASETS[dataset][name].jinja.count("|||") == 2
    pair = {"sentence1": "A.", "sentence2": "B."}
    same, other = (prompted("glue/mrpc", "rewrite or alter", **pair, label=n) for n in (1, 0))
    assert same.inputs == "Rewrite the sentence, and keep what it says.\nA."
    assert other.inputs == "Alter the sentence a little, so that it says something else.\nA."
    assert same.targets == other.targets == "B."


# Kinds and places as older files of TREC number them, and as newer files do.
KINDS = {"Description": (0, 2), "Thing": (1, 1), "Abbreviation": (2, 0)}
KINDS |= {"Person": (3, 3), "Number": (4, 5), "Place": (5, 4)}
PLACES = {"city": (21, 32), "country": (18, 33), "mountain": (24, 34), "state": (11, 36)}


@pytest.mark.parametrize("name", DATASETS["trec"])
def test_older_and_newer_files_of_trec_give_the_same(name: str) -> None:
    def both(old: tuple[int, int], new: tuple[int, int]) -> list[Prompted | Dropped]:
        rows: list[dict[str, Any]] = [
            {"label-coarse": old[0], "label-fine": old[1], "text": "Q ?"},
            {"text": "Q ?", "coarse_label": new[0], "fine_label": new[1]},
        ]
        return [outcome("trec", name, row) for row in rows]

    for kind, (old, new) in KINDS.items():
        for place, (old_fine, new_fine) in (PLACES if kind == "Place" else {"": (0, 0)}).items():
            one, other = both((old, old_fine), (new, new_fine))
            if isinstance(one, Dropped):
                assert one == other
                assert name == "kind of place"
                continue
            assert isinstance(other, Prompted)
            assert one[:2] == other[:2]
            if name in ("kind of answer", "kinds listed"):
                assert one.targets == kind
            elif name == "kind of place":
                assert one.targets == place
            elif name == "about a person":
                assert one.targets == ("Yes" if kind == "Person" else "No")
            else:
                assert kind.lower() in one.inputs
            assert set(one.choices or []) == set(other.choices or [])


def test_trec_s_prompts_need_no_column_of_one_generation_alone() -> None:
    for template in DATASETS["trec"].values():
        assert needed_columns(DatasetName("trec"), template) == {"text"}
