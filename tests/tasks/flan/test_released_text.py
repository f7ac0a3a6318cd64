"""Whole prompts as the released preprocessors of google-research/FLAN make them.

Templates are ours, in the released form. The expected texts are what the released code gave for
these rows and templates, except where docs/flan.md says that it spoils the text.
"""

from pathlib import Path
from typing import Any

import gin
import pytest
import seqio

from tk_instruct.data import tfds_source
from tk_instruct.data.templates import Template
from tk_instruct.tasks.flan import examples, prompts, templates
from tk_instruct.tasks.flan.datasets import BY_NAME

CHOICE = "Go on:\n\n{context}\n{options_}"

# A dataset, its row, inputs of a template, whole inputs, whole targets.
CASES: list[tuple[str, dict[str, Any], str, str, str]] = [
    (
        "hellaswag",
        {
            "context": "[header] How to rest [title] Sit. [step] Breathe. ",
            "endings": ["Sleep. [substeps] Wake.", "[step] Run. ", "Jump.", "Sing."],
            "label": 0,
        },
        CHOICE,
        "Go on:\n\nHow to rest \nSit. \nBreathe. \n"
        "OPTIONS:\n- Sleep. Wake.\n- Run. \n- Jump.\n- Sing.",
        "Sleep. Wake.",
    ),
    (
        "winogrande",
        {"sentence": "Ann fed Bob as _ was old.", "option1": "Ann", "option2": "Bob", "label": 1},
        CHOICE,
        "Go on:\n\nAnn fed Bob as \nOPTIONS:\n- Ann was old.\n- Bob was old.",
        "Bob was old.",
    ),
    (
        "wsc273",
        {
            "text": "Ann saw Bob and greeted him.",
            "pronoun_start": 24,
            "pronoun_end": 27,
            "option1_normalized": "Ann",
            "option2_normalized": "Bob",
            "label": 1,
        },
        CHOICE,
        "Go on:\n\nAnn saw Bob and greeted\nOPTIONS:\n- Ann .\n- Bob .",
        "Bob .",
    ),
    (
        "record",
        {
            "passage": "Ann met Bob. \n@highlight\nThey met",
            "query": "Later @placeholder left",
            "entities": ["Ann", "Bob", "Ann"],
            "answers": ["Bob"],
        },
        "{passage}\n\n{query}\n\n{options_str}",
        "Ann met Bob. \n\nLater\n\nOPTIONS:\n- Ann left\n- Bob left\n- Ann left",
        "Bob left",
    ),
    (
        "dart",
        {"tripleset": ["[TITLE] Cups", "Ann WON 2"], "target": "Ann won 2.", "references": []},
        "Tell: {tripleset}\n{tripleset_newline}",
        "Tell:  Cups; Ann WON 2\n[TITLE] Cups\nAnn WON 2",
        "Ann won 2.",
    ),
    (
        "samsum",
        {"dialogue": "Ann: <file_gif>\r\nBob: see <file_photo> here", "summary": "Pictures."},
        "Sum up:\n{dialogue}",
        "Sum up:\nAnn:  \nBob: see   here",
        "Pictures.",
    ),
    (
        "aeslc",
        {"email_body": "Hi,\n\ncall me.\n", "subject_line": "Call\n"},
        "Subject of {body}?",
        "Subject of Hi,  call me. ?",
        "Call",
    ),
    (
        "natural_questions",
        {"question": "who sang it?", "answer": ["Ann"]},
        "Say: {question}",
        "Say: who sang it??",
        "Ann",
    ),
    (
        "imdb_reviews",
        {"text": 'So <br />\\n \\""bad\\""', "label": 0},
        "{text}: good?\n{options_}",
        'So \n\\n \\""bad\\"": good?\nOPTIONS:\n- negative\n- positive',
        "negative",
    ),
    (
        "yelp_polarity_reviews",
        {"text": 'So <br />\\n\\""good\\""', "label": 1},
        "{text}: good?\n{options_}",
        'So <br /> "good": good?\nOPTIONS:\n- negative\n- positive',
        "positive",
    ),
    (
        "opinion_abstracts_idebate",
        {"_argument_sentences": {"value": [" Yes. ", "No."]}, "_debate_name": "D", "_claim": "C"},
        "{argument_sentences}\n{debate_name}?",
        "1.  Yes. \n2. No.\nD?",
        "C",
    ),
    (
        "opinion_abstracts_rotten_tomatoes",
        {"_critics": {"value": [" Good. "]}, "_movie_name": "a_b", "_critic_consensus": "C"},
        "{movie}: {first_review}\n{numbered_reviews}",
        "a b:  Good. \n1.  Good. ",
        "C",
    ),
    (
        "coqa",
        {"story": "Ann ate.", "questions": ["Who? "], "answers": {"input_text": [" Ann"]}},
        "{text}\n{numbered_questions}",
        "Ann ate.\n1. Who? ",
        "1.  Ann",
    ),
    ("word_segment", {"en": "word"}, "Split: {no_space}", "Split: word", "word"),
    (
        "cnn_dailymail",
        {"article": "(CNN)It rained in 2011 . It did.", "highlights": "Rain ."},
        "Sum up: {text}",
        "Sum up: (CNN)It rained in 2011 . It did.",
        "Rain .",
    ),
    # Where the released code spoils the text.
    (
        "cnn_dailymail",
        {"article": "ROME, Italy (CNN) -- It rained.", "highlights": "Rain ."},
        "Sum up: {text}",
        "Sum up: It rained.",
        "Rain .",
    ),
    (
        "fix_punct",
        {"en": "A café, in Århus."},
        "Mend: {no_punct}",
        "Mend: A café in Århus",
        "A café, in Århus.",
    ),
    ("true_case", {"en": "Élan"}, "Mend: {lower}", "Mend: élan", "Élan"),
    (
        "samsum",
        {"dialogue": "Ann: <file_gif> and <file_gif>\nBob: I <3 it > that", "summary": "Love."},
        "Sum up:\n{dialogue}",
        "Sum up:\nAnn:   and  \nBob: I <3 it > that",
        "Love.",
    ),
]


@pytest.mark.parametrize(
    ("name", "row", "pattern", "inputs", "targets"), CASES, ids=[case[0] for case in CASES]
)
def test_prompts_are_the_released_ones(
    name: str,
    row: dict[str, Any],
    pattern: str,
    inputs: str,
    targets: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dataset = BY_NAME[name]
    wording = templates.OWN | {name: [(pattern, f"{{{dataset.target}}}")]}
    (tmp_path / "templates.py").write_text(f"PATTERNS = {wording!r}\n", encoding="utf-8")
    gin.bind_parameter("FLAN.templates", str(tmp_path))
    monkeypatch.setattr(tfds_source, "num_examples", lambda *_: 1 << 20)
    monkeypatch.setattr(tfds_source, "examples", lambda *_: iter([row]))
    (record,) = examples.records(dataset, "test")
    render = prompts.templated(dataset, prompts.Form(), 0)(None, None)
    assert render(*(record[field] for field in prompts.reads(dataset))) == (inputs, targets)


def test_released_turns_stand_around_prompts_only_when_told() -> None:
    record = dict.fromkeys(("id", "split", *BY_NAME["rte"].fields), "x") | {"options": ["a", "b"]}
    values = [record[field] for field in prompts.reads(BY_NAME["rte"])]
    zero_shot = prompts.templated(BY_NAME["rte"], prompts.Form(), 0)
    plain, targets = zero_shot(None, None)(*values)
    without = templates.fingerprint()
    gin.bind_parameter("FLAN.released_turns", True)
    assert zero_shot(None, None)(*values) == (f"0 {plain} X 1 FLAN", targets)
    assert templates.fingerprint() != without

    rows = [("Who?", "Ann"), ("When?", "now")]
    shots = prompts.FewShot(
        ["a", "b"], lambda k, _: rows[k], 0, seqio.ByteVocabulary(), None, prompts.RELEASED_TURNS
    )
    template = Template("t", "{a}", "{b}")
    assert shots.inputs(template, "a", "Who?") == "0 When? X 1 now X 0 Who? X 1 FLAN"
    assert shots.inputs(template, "c", "y" * 960) == f"0 {'y' * 960} X 1 FLAN"


@pytest.mark.parametrize(
    ("name", "train", "validation"),
    [
        ("true_case", (0, 30_000), (30_000, 30_200)),
        ("fix_punct", (30_200, 60_200), (60_200, 60_400)),
        ("word_segment", (60_400, 90_400), (90_400, 90_600)),
        ("para_crawl_enes", (0, 30_000), (998_800, 999_000)),
    ],
)
def test_slices_of_para_crawl_are_the_released_ones(
    name: str, train: tuple[int, int], validation: tuple[int, int]
) -> None:
    splits = BY_NAME[name].splits
    assert splits["train"].bounds(1_000_000) == train
    assert splits["validation"].bounds(1_000_000) == validation
    num_test = 1_000 if name == "para_crawl_enes" else 3_000
    assert splits["test"].bounds(1_000_000) == (1_000_000 - num_test, 1_000_000)


def test_small_splits_are_shared_out_without_overlap() -> None:
    taken: list[int] = []
    for name in ("true_case", "fix_punct", "word_segment"):
        for role in ("train", "validation"):
            taken += range(*BY_NAME[name].splits[role].bounds(3_780))
    assert sorted(taken) == list(range(780))
    assert BY_NAME["fix_punct"].splits["train"].bounds(100) == (0, 0)
