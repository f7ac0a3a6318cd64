"""Ten templates of our own for each dataset, and the user's own copy of the original wording."""

import itertools
import re
from collections import Counter
from pathlib import Path

import gin
import pytest

from tk_instruct.data.templates import OPTIONS, options_block
from tk_instruct.errors import UserError
from tk_instruct.tasks.flan import templates
from tk_instruct.tasks.flan.datasets import BY_NAME, DATASETS, Dataset

DATASET = pytest.mark.parametrize("dataset", DATASETS, ids=lambda dataset: dataset.name)


def values_of(dataset: Dataset) -> dict[str, str]:
    """A different text for each field."""
    return {field: f"<{field}>" for field in dataset.fields}


def test_every_wording_belongs_to_a_dataset_and_every_dataset_has_one() -> None:
    assert set(templates.OWN) == {dataset.template_set for dataset in DATASETS}
    assert len(templates.OWN) == 61


@DATASET
def test_ten_distinct_templates_that_name_only_fields_and_leave_none_out(dataset: Dataset) -> None:
    own = templates.own_templates(dataset)
    assert len(own) == 10
    assert len({re.sub(r"\W+", " ", template.inputs.lower()) for template in own}) == 10
    named = frozenset[str]().union(*(template.placeholders for template in own))
    assert named - {OPTIONS} == set(dataset.fields)


@DATASET
def test_every_template_renders(dataset: Dataset) -> None:
    values = values_of(dataset) | {OPTIONS: options_block(dataset.options or ("one", "two"))}
    rendered = [t.render(values, "x") for t in templates.own_templates(dataset)]
    for inputs, targets in rendered:
        assert inputs.strip() == inputs
        assert not re.search(r"[{}]|  | \n", inputs + targets)
        assert targets
    assert len(set(rendered)) == 10


@DATASET
def test_classifications_show_options_last_and_only_when_asked_forward(dataset: Dataset) -> None:
    own = templates.own_templates(dataset)
    forward = [t for t in own if templates.is_forward(t, dataset)]
    showing = [t for t in own if t.shows_options]
    if dataset.kind == "generation":
        assert not showing
        return
    assert set(showing) <= set(forward)
    assert len(showing) >= (5 if dataset.name == "winogrande" else len(forward) - 1)
    assert all(t.inputs.endswith("\n{options_}") for t in showing)


@DATASET
def test_at_most_three_turn_the_task_around(dataset: Dataset) -> None:
    asked = Counter(
        template.asks_for(dataset.target) for template in templates.own_templates(dataset)
    )
    assert asked[False] <= 3


@DATASET
def test_no_template_gives_its_target_away(dataset: Dataset) -> None:
    for template in templates.own_templates(dataset):
        asked = set(re.findall(r"{(\w+)}", template.targets))
        given = set(re.findall(r"{(\w+)}", template.inputs))
        assert not (asked & given) - {"lang1", "lang2"}, template
        if template.asks_for(dataset.target):
            assert dataset.target not in given


def test_no_two_datasets_have_a_template_in_common() -> None:
    inputs = [
        (re.sub(r"\W+", " ", re.sub(r"{\w+}", "", text).lower()), name)
        for name, pairs in templates.OWN.items()
        for text, _ in pairs
    ]
    for (one, first), (other, second) in itertools.combinations(inputs, 2):
        assert one != other or first == second or len(one) < 12, (first, second, one)


# the user's own copy of google-research/FLAN


def checkout(folder: Path, **patterns: list[tuple[str, str]]) -> str:
    """A templates.py as google-research/FLAN has it, with some sets replaced."""
    wording = {name: list(pairs) for name, pairs in templates.OWN.items()} | patterns
    (folder / "flan").mkdir()
    code = f'raise SystemExit("never run")\nPATTERNS = {wording!r}\n'
    (folder / "flan" / "templates.py").write_text(code, encoding="utf-8")
    return str(folder)


def test_the_users_wording_is_read_and_never_run(tmp_path: Path) -> None:
    own = templates.fingerprint()
    pairs = [("{premise} so {hypothesis}?\n{options_}", "{answer}"), ("{answer}", "{premise}")]
    record = [("{passage}\n{options_str}\n{query}", "{answer}")]
    gin.bind_parameter("FLAN.templates", checkout(tmp_path, rte=pairs, record=record))
    found = templates.templates_of(BY_NAME["rte"])
    assert [(t.inputs, t.targets) for t in found] == pairs
    assert [templates.is_forward(t, BY_NAME["rte"]) for t in found] == [True, False]
    assert templates.templates_of(BY_NAME["record"])[0].shows_options
    assert templates.templates_of(BY_NAME["cb"])[0].inputs == templates.OWN["cb"][0][0]
    assert templates.fingerprint() != own


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (None, "holds no flan/templates.py; give the folder of a checkout"),
        ("PATTERN = {}", "defines no PATTERNS, a dictionary of lists of (inputs, targets)"),
        ("PATTERNS = {'rte': open('x')}", "defines no PATTERNS"),
        ("PATTERNS = {'rte': [1]}", "defines no PATTERNS"),
        (r"PATTERNS = {'rte': [('\ud800', 'x')]}", "surrogates not allowed); give that"),
        ("PATTERNS = {", "defines no PATTERNS"),
        ("PATTERNS = {'anli': []}", "no templates 'anli' for anli_r1"),
        (
            "PATTERNS = {'anli': [('{premise}', '{answer}')]}",
            "template 0 of anli: {premise} is no field of anli_r1, which has context, hypothesis",
        ),
    ],
)
def test_what_is_no_copy_is_told(code: str | None, message: str, tmp_path: Path) -> None:
    if code is not None:
        (tmp_path / "templates.py").write_text(code, encoding="utf-8")
    gin.bind_parameter("FLAN.templates", str(tmp_path))
    with pytest.raises(UserError) as caught:
        templates.templates_of(BY_NAME["rte"])
    assert message in str(caught.value)
    assert str(tmp_path) in str(caught.value)
