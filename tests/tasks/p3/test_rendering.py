"""Templates applied to rows: PromptSource's rules, and its own renderings of real templates."""

import copy
import json
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tk_instruct.errors import UserError
from tk_instruct.tasks.p3 import sandbox, templates
from tk_instruct.tasks.p3.rendering import Dropped, Prompted, apply, truncating
from tk_instruct.tasks.p3.templates import DatasetName, Template, Tree

ROW = {"text": "A b.", "label": 1, "words": ["x", "y"]}


def first(options: Sequence[Any], count: int) -> Any:
    return options[0]


def of(jinja: str, choices: str | None = None) -> Template:
    return Template("id", "the name", jinja, choices)


def made(jinja: str, choices: str | None = None, **row: Any) -> Prompted | Dropped:
    return apply(of(jinja, choices), {**ROW, **row}, first, "glue/x, split train, row 7")


def test_two_parts_without_the_white_space_around_them() -> None:
    assert made(" Is it {{ text }}? \n|||\n {{ label }} \n") == ("Is it A b.?", "1", None)


def test_choices_are_rendered_split_and_stripped() -> None:
    found = made("{{ text }} {{ answer_choices | join(' or ') }}?|||{{ answer_choices[label] }}",
                 "no|||  yes  ||| {{ words[0] }}")  # fmt: skip
    assert found == ("A b. no or yes or x?", "yes", ["no", "yes", "x"])


def test_a_dash_in_a_column_is_an_underscore() -> None:
    assert made("{{ fine_label }}|||{{ a_b_c }}", **{"fine-label": 3, "a-b-c": "d"}) == (
        "3", "d", None)  # fmt: skip


def test_bars_in_a_text_column_do_not_split_and_those_in_a_list_do() -> None:
    assert made("{{ text }}|||{{ label }}", text="a ||| b") == ("a ||| b", "1", None)
    assert made("{{ words[0] }}|||{{ label }}", words=["a ||| b"]) == Dropped(
        "2 times |||, not once"
    )
    # PromptSource shows choices to the template with their bars.
    choices = "{{ text }}|||no"
    assert made("{{ text }}|||{{ label }}", choices, text="a ||| b") == (
        "a ||| b", "1", ["a ||| b", "no"])  # fmt: skip
    found = made("{{ text }}|||{{ answer_choices[0] }}", choices, text="a ||| b")
    assert found == Dropped("2 times |||, not once")


def test_what_is_printed_is_cut_at_a_word_after_2048_characters() -> None:
    words = "word " * 500
    expected = "word " * 408 + "word..."
    assert made("{{ text }}|||x", text=words) == (expected, "x", None)
    assert len(expected) <= 2048
    # Five characters more are left as they are.
    assert made("{{ text }}|||x", text="a" * 2053) == ("a" * 2053, "x", None)
    # In a loop, and choices that are printed; the list of choices itself is whole.
    looped = made("{% for w in words %}{{ w }}{% endfor %}|||x", words=[words, "end"])
    assert looped == (expected + "end", "x", None)
    printed = made("{{ answer_choices[0] }}|||x", "{{ text }}|||b", text=words.strip())
    assert printed == (expected, "x", [words.strip(), "b"])
    assert truncating("{{a}}{{ b }}") == (
        "{{a | string | truncate(2048) }}{{ b  | string | truncate(2048) }}"
    )


def test_the_stand_in_for_bars_counts_as_promptsource_s_does() -> None:
    """||| is 32 characters long while a text is cut."""
    text = "||| " * 63 + "x"
    assert made("{{ text }}|||x", text=text) == ("||| " * 60 + "|||...", "x", None)


@pytest.mark.parametrize(
    ("jinja", "reason"),
    [
        ("{{ text }}", "no |||"),
        ("{% if label == 0 %}{{ text }}|||x{% endif %}", "no |||"),
        ("a|||b|||c", "2 times |||, not once"),
        ("  |||x", "empty input"),
        ("x||| \n ", "empty target"),
        ("|||", "empty input"),
    ],
)
def test_what_gives_no_example_is_dropped_with_the_reason(jinja: str, reason: str) -> None:
    assert made(jinja) == Dropped(reason)


def test_a_row_that_cannot_be_rendered_is_dropped_with_the_error() -> None:
    found = made("{{ (text + 1) }}|||x")
    assert isinstance(found, Dropped)
    assert found.reason == "cannot be rendered"
    assert found.detail.startswith("TypeError: can only concatenate str")
    found = made("{{ absent.name.other }}|||x")
    assert isinstance(found, Dropped)
    assert "'absent' is undefined" in found.detail


def test_a_row_that_is_nested_too_deeply_is_dropped() -> None:
    nested: list[Any] = []
    for _ in range(5000):
        nested = [nested]
    reason = "the row is nested too deeply"
    assert made("{{ text }}|||{{ label }}", x=nested) == Dropped("cannot be rendered", reason)


def test_a_template_that_is_at_fault_is_refused_by_name() -> None:
    for jinja, why in (
        ("{{ text.__class__.x }}|||x", "unsafe"),
        ("{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}", "long"),
        ("{{ text", "unexpected end of template"),
    ):
        with pytest.raises(UserError) as caught:
            made(jinja)
        message = str(caught.value)
        assert message.startswith("glue/x, split train, row 7: the template 'the name' is refused")
        assert why in message
        assert message.endswith("; correct it")


def test_a_column_named_answer_choices_is_an_error() -> None:
    with pytest.raises(UserError, match=r"row 7: the column answer_choices.*rename the column"):
        made("{{ text }}|||x", answer_choices=["a"])


def test_a_row_is_never_changed() -> None:
    row = copy.deepcopy(ROW)
    template = of("{{ words.pop() }}{{ words | length }}|||{{ answer_choices[0] }}",
                  "{% set _ = words.append('z') %}{{ words | join('|||') }}")  # fmt: skip
    # PromptSource renders the choices first, and the template sees what they did to the list.
    assert apply(template, row, first, "") == ("z2", "x", ["x", "y", "z"])
    assert row == ROW


def test_choices_are_drawn_once_for_a_row() -> None:
    counts: list[int] = []

    def choose(options: Sequence[Any], count: int) -> Any:
        counts.append(count)
        return options[-1]

    template = of("{{ ['p', 'q'] | choice }}{{ answer_choices[0] }}|||x", "{{ words | choice }}")
    assert apply(template, ROW, choose, "") == ("qy", "x", ["y"])
    assert counts == [1, 1]


# PromptSource's own templates


@pytest.fixture(scope="module", params=["0.1.0", "HEAD"])
def promptsource(
    request: pytest.FixtureRequest, shared_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> Tree:
    folder = tmp_path_factory.mktemp("promptsource")
    archive = shared_data / "promptsource" / f"promptsource-{request.param}-templates.tar.gz"
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return Tree(templates._root(str(folder)))


def test_all_of_promptsource_s_templates_parse(promptsource: Tree) -> None:
    datasets = promptsource.datasets()
    found = [t for dataset in datasets for t in promptsource.templates(dataset).values()]
    known = {"0.1.0": (272, 1966), "after 0.2.3, commit 7dab96a": (279, 2085)}
    assert (len(datasets), len(found)) == known[promptsource.version]
    for template in found:
        for source in filter(None, (truncating(template.jinja), template.answer_choices)):
            sandbox.compiled(source)


def renderings(folder: Path) -> Iterator[dict[str, Any]]:
    for line in (folder / "renderings_0.1.0.jsonl").read_text().splitlines():
        yield json.loads(line)


@pytest.mark.parametrize("promptsource", ["0.1.0"], indirect=True)
def test_every_rendering_equals_promptsource_s(promptsource: Tree, shared_data: Path) -> None:
    folder = shared_data / "promptsource"
    rows: dict[DatasetName, list[dict[str, Any]]] = {}
    all_expected = list(renderings(folder))
    assert len(all_expected) == 1188
    for expected in all_expected:
        dataset = DatasetName(expected["dataset"], expected["subset"])
        if dataset not in rows:
            lines = (folder / "rows" / str(dataset) / "train.jsonl").read_text().split("\n")
            rows[dataset] = [json.loads(line) for line in lines if line]
        template = promptsource.templates(dataset)[expected["template"]]
        found = apply(template, rows[dataset][expected["row"]], first, "")
        if expected["outcome"] == "ok":
            assert found == tuple(expected[k] for k in ("inputs", "targets", "answer_choices"))
        else:
            assert isinstance(found, Dropped)
