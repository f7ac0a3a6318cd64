"""Every encoding as a whole text, the token budget, and which form an instance gets."""

import re
from collections import Counter

import pytest

from tk_instruct.errors import UserError
from tk_instruct.tasks.superni.prompt import ENCODINGS, Budget, Encoding, encoding_of, render
from tk_instruct.tasks.superni.records import Demonstration, TaskSpec

# Fields to strip, that end in ASCII punctuation, in another script's full stop, in nothing; an
# explanation that is absent and one that is there but empty.
TASK = TaskSpec(
    name="task007_fruit",
    definition="  Name the colour\nof the fruit \n",
    positive_examples=(
        Demonstration("lemon", "yellow", "Lemons are yellow"),
        Demonstration("\tIs a cherry blue?\n", " No, red! ", None),
        Demonstration("", "", "  "),
        Demonstration("バナナ。", "黄色。", "黄色い。"),
        Demonstration("fifth", "never shown", "never shown"),
    ),
    negative_examples=(
        Demonstration("plum", "square", ""),
        Demonstration('"fig"', "(dark)", " A fig is\n\npurple; "),
        Demonstration("third", "never shown", "never shown"),
    ),
    categories=("Misc.",),
)
INPUT = "\n kiwi\n(ripe) \u3000"

GOLDENS = {
    "input_only": "Now complete the following example -\nInput: kiwi\n(ripe)\nOutput: ",
    "task_name": (
        "task007_fruit. Now complete the following example -\nInput: kiwi\n(ripe)\nOutput: "
    ),
    "def": (
        "Definition: Name the colour\nof the fruit.\n\n"
        "Now complete the following example -\nInput: kiwi\n(ripe)\nOutput: "
    ),
    "pos1": (
        " Positive Example 1 -\nInput: lemon.\n Output: yellow.\n\n"
        "Now complete the following example -\nInput: kiwi\n(ripe)\nOutput: "
    ),
    "pos2": (
        " Positive Example 1 -\nInput: lemon.\n Output: yellow.\n\n"
        " Positive Example 2 -\nInput: Is a cherry blue?\n Output: No, red!\n\n"
        "Now complete the following example -\nInput: kiwi\n(ripe)\nOutput: "
    ),
    "pos4": (
        " Positive Example 1 -\nInput: lemon.\n Output: yellow.\n\n"
        " Positive Example 2 -\nInput: Is a cherry blue?\n Output: No, red!\n\n"
        " Positive Example 3 -\nInput: .\n Output: .\n\n"
        " Positive Example 4 -\nInput: バナナ。.\n Output: 黄色。.\n\n"
        "Now complete the following example -\nInput: kiwi\n(ripe)\nOutput: "
    ),
    "def_pos1": (
        "Definition: Name the colour\nof the fruit.\n\n"
        " Positive Example 1 -\nInput: lemon.\n Output: yellow.\n\n"
        "Now complete the following example -\nInput: kiwi\n(ripe)\nOutput: "
    ),
    "def_pos2": (
        "Definition: Name the colour\nof the fruit.\n\n"
        " Positive Example 1 -\nInput: lemon.\n Output: yellow.\n\n"
        " Positive Example 2 -\nInput: Is a cherry blue?\n Output: No, red!\n\n"
        "Now complete the following example -\nInput: kiwi\n(ripe)\nOutput: "
    ),
    "def_pos4": (
        "Definition: Name the colour\nof the fruit.\n\n"
        " Positive Example 1 -\nInput: lemon.\n Output: yellow.\n\n"
        " Positive Example 2 -\nInput: Is a cherry blue?\n Output: No, red!\n\n"
        " Positive Example 3 -\nInput: .\n Output: .\n\n"
        " Positive Example 4 -\nInput: バナナ。.\n Output: 黄色。.\n\n"
        "Now complete the following example -\nInput: kiwi\n(ripe)\nOutput: "
    ),
    "def_pos2_neg2": (
        "Definition: Name the colour\nof the fruit.\n\n"
        " Positive Example 1 -\nInput: lemon.\n Output: yellow.\n\n"
        " Positive Example 2 -\nInput: Is a cherry blue?\n Output: No, red!\n\n"
        " Negative Example 1 -\nInput: plum.\n Output: square.\n\n"
        ' Negative Example 2 -\nInput: "fig"\n Output: (dark)\n\n'
        "Now complete the following example -\nInput: kiwi\n(ripe)\nOutput: "
    ),
    "def_pos2_neg2_expl": (
        "Definition: Name the colour\nof the fruit.\n\n"
        " Positive Example 1 -\nInput: lemon.\n Output: yellow.\n"
        " Explanation: Lemons are yellow.\n\n"
        " Positive Example 2 -\nInput: Is a cherry blue?\n Output: No, red!\n\n"
        " Negative Example 1 -\nInput: plum.\n Output: square.\n Explanation: .\n\n"
        ' Negative Example 2 -\nInput: "fig"\n Output: (dark)\n'
        " Explanation: A fig is\n\npurple;\n\n"
        "Now complete the following example -\nInput: kiwi\n(ripe)\nOutput: "
    ),
}
DEF_POS2_EXPL = (
    "Definition: Name the colour\nof the fruit.\n\n"
    " Positive Example 1 -\nInput: lemon.\n Output: yellow.\n Explanation: Lemons are yellow.\n\n"
    " Positive Example 2 -\nInput: Is a cherry blue?\n Output: No, red!\n\n"
    "Now complete the following example -\nInput: kiwi\n(ripe)\nOutput: "
)
FORMS = {GOLDENS[name] for name in ("def", "pos2", "def_pos2", "def_pos2_neg2")} | {DEF_POS2_EXPL}


def form(instance_id: str, seed: int = 0, task: str = TASK.name) -> Encoding:
    return encoding_of("tk_instruct", seed=seed, task=task, instance_id=instance_id)


@pytest.mark.parametrize("name", GOLDENS)
def test_golden(name: str) -> None:
    encoding = encoding_of(name, seed=0, task=TASK.name, instance_id="i")
    assert render(TASK, INPUT, encoding) == GOLDENS[name]


def test_goldens_are_of_all_encodings() -> None:
    assert [*GOLDENS, "tk_instruct"] == list(ENCODINGS)


def test_tk_instruct_gives_each_of_its_five_forms() -> None:
    texts = Counter(render(TASK, INPUT, form(f"i-{k}")) for k in range(2000))
    assert set(texts) == FORMS
    assert all(340 < count < 460 for count in texts.values())


def test_the_form_is_a_pure_function_of_seed_task_and_instance() -> None:
    ids = [f"i-{k}" for k in range(200)]
    once = [form(id_) for id_ in ids]
    assert [form(id_) for id_ in reversed(ids)] == once[::-1]
    assert [form(id_, seed=1) for id_ in ids] != once
    assert [form(id_, task="task008") for id_ in ids] != once


def test_other_encodings_have_one_form() -> None:
    for name in GOLDENS:
        forms = {encoding_of(name, seed=s, task="t", instance_id=str(s)) for s in range(20)}
        assert len(forms) == 1


def test_an_unknown_encoding_is_refused_with_those_that_exist() -> None:
    with pytest.raises(UserError, match="encoding='def_pos3' is not one of input_only, task_name"):
        encoding_of("def_pos3", seed=0, task="t", instance_id="i")


@pytest.mark.parametrize("mark", list("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"))
def test_ascii_punctuation_needs_no_full_stop(mark: str) -> None:
    assert f"\nInput: word{mark}\nOutput: " in render(TASK, f"word{mark} ", Encoding())


@pytest.mark.parametrize("text", ["word", "3", "。", "…", "¿", "”", "word .\u200b", "€"])
def test_anything_else_gets_one(text: str) -> None:
    assert f"\nInput: {text}.\nOutput: " in render(TASK, text, Encoding())


@pytest.mark.parametrize("text", ["", " ", "\n\t \u2003"])
def test_an_empty_input_is_a_full_stop(text: str) -> None:
    expected = "Now complete the following example -\nInput: .\nOutput: "
    assert render(TASK, text, Encoding()) == expected


def test_an_empty_definition_is_a_full_stop() -> None:
    task = TaskSpec("t", " ", (), (), ("Misc.",))
    assert render(task, "x", Encoding(definition=True)).startswith("Definition: .\n\nNow complete")


def test_fewer_examples_than_asked_for_are_all_shown() -> None:
    task = TaskSpec("t", "d", TASK.positive_examples[:1], (), ("Misc.",))
    (encoding,) = ENCODINGS["def_pos2_neg2"]
    assert render(task, "x", encoding) == (
        "Definition: d.\n\n"
        " Positive Example 1 -\nInput: lemon.\n Output: yellow.\n\n"
        "Now complete the following example -\nInput: x.\nOutput: "
    )


class Words:
    """A tokenizer that counts words, so that a budget can be reckoned by hand."""

    def __init__(self) -> None:
        self.words: list[str] = []

    def encode(self, s: str) -> list[int]:
        ids = []
        for word in s.split():
            if word not in self.words:
                self.words.append(word)
            ids.append(self.words.index(word))
        return ids

    def ends(self, s: str) -> list[int]:
        return [word.end() for word in re.finditer(r"\S+", s)]


def words(number: int) -> str:
    return " ".join(["w"] * number)


# "Definition: d." is 2 words; "Now complete the following example - Input: i. Output:" 9; EOS 1.
BARE = 2 + 9 + 1
# " Positive Example 1 - Input: … Output: o." is 7 and its input.
EXAMPLE = 7


def budget_task(positives: list[int], negatives: list[int]) -> TaskSpec:
    """Examples whose inputs have so many words."""
    return TaskSpec(
        "task_name",
        "d",
        tuple(Demonstration(words(n), "o", words(n)) for n in positives),
        tuple(Demonstration(words(n), "o", words(n)) for n in negatives),
        ("Misc.",),
    )


def shown(task: TaskSpec, encoding: Encoding, limit: int) -> list[str]:
    """`P1`, `N2`, … for each example in the prompt, whose end must be there."""
    text = render(task, "i", encoding, Budget(Words(), limit))
    assert text.endswith("Now complete the following example -\nInput: i.\nOutput: ")
    assert text.startswith("Definition: d.\n\n")
    headings = [line.split() for line in text.splitlines() if " Example " in line]
    return [heading[0][0] + heading[2] for heading in headings]


POS4_NEG2 = Encoding(definition=True, num_positive_examples=4, num_negative_examples=2)


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (12, ""),
        (19, ""),
        (20, "N1"),  # no positive one fits, the first negative one does
        (21, "N1"),  # P3 would fit and is not tried
        (22, "P1"),  # exactly; nothing is left for the negative ones
        (29, "P1"),
        (30, "P1 N1"),  # P3 would fit as well
        (38, "P1 N1"),
        (39, "P1 N1 N2"),
        (58, "P1 N1 N2"),
        (59, "P1 P2"),
        (66, "P1 P2"),
        (67, "P1 P2 P3"),
        (75, "P1 P2 P3 P4"),
        (91, "P1 P2 P3 P4 N1"),
        (92, "P1 P2 P3 P4 N1 N2"),
        (1000, "P1 P2 P3 P4 N1 N2"),
    ],
)
def test_examples_are_added_until_the_first_that_does_not_fit(limit: int, expected: str) -> None:
    """12 tokens without examples; then 10, 37, 8, 8 for positive and 8, 9 for negative ones."""
    task = budget_task([3, 30, 1, 1], [1, 2])
    assert " ".join(shown(task, POS4_NEG2, limit)) == expected


def test_a_negative_example_that_does_not_fit_ends_the_negative_ones() -> None:
    task = budget_task([1], [20, 1])
    assert shown(task, POS4_NEG2, BARE + (EXAMPLE + 1) + (EXAMPLE + 19)) == ["P1"]


def test_explanations_count() -> None:
    """` Explanation: w.` adds 2 words to an example of one."""
    task = budget_task([1], [])
    encoding = Encoding(definition=True, num_positive_examples=1, explanations=True)
    assert shown(task, encoding, BARE + EXAMPLE + 1 + 1) == []
    assert shown(task, encoding, BARE + EXAMPLE + 1 + 2) == ["P1"]


def test_without_a_definition_more_fits() -> None:
    encoding = Encoding(num_positive_examples=1)
    task = budget_task([1], [])
    exact = Budget(Words(), BARE - 2 + EXAMPLE + 1)
    assert render(task, "i", encoding, exact) == render(task, "i", encoding)
    short = Budget(Words(), BARE - 2 + EXAMPLE)
    assert render(task, "i", encoding, short) == render(task, "i", Encoding())


def test_a_prompt_that_is_too_long_without_examples_keeps_its_first_tokens() -> None:
    """As many as the limit; the EOS then takes the place of the last when it is tokenised.

    Their text is their own: its newlines stay.
    """
    task = budget_task([1], [1])
    text = render(task, words(50), POS4_NEG2, Budget(Words(), 15))
    assert text == ("Definition: d.\n\nNow complete the following example -\nInput: " + words(6))
    assert len(text.split()) == 15


def test_the_boundary_of_cutting() -> None:
    task = budget_task([], [])
    (encoding,) = ENCODINGS["def"]
    assert render(task, "i", encoding, Budget(Words(), BARE)) == render(task, "i", encoding)
    cut = render(task, "i", encoding, Budget(Words(), BARE - 1))
    assert cut == "Definition: d.\n\nNow complete the following example -\nInput: i.\nOutput:"
    assert render(task, "i", encoding, Budget(Words(), BARE - 2)) == cut.removesuffix("\nOutput:")


def test_the_name_is_left_out_of_the_check_but_counts_for_the_cut() -> None:
    task = budget_task([1], [])
    encoding = Encoding(task_name=True, definition=True, num_positive_examples=1)
    whole = render(task, "i", encoding)
    assert whole.startswith("task_name. Definition: d.\n\n Positive Example 1 -\n")
    assert render(task, "i", encoding, Budget(Words(), BARE + EXAMPLE + 2)) == whole
    # One word fewer: the example still passes, and the prompt with the name is cut.
    cut = render(task, "i", encoding, Budget(Words(), BARE + EXAMPLE + 1))
    assert cut.split() == whole.split()[: BARE + EXAMPLE + 1]
    assert "\n Positive Example 1 -\n" in cut


def test_a_text_that_has_more_tokens_than_it_had_in_the_prompt_is_cut_earlier() -> None:
    class Pairs(Words):
        """Two characters a token, and one each where the text does not end in an exclamation."""

        def encode(self, s: str) -> list[int]:
            return [0] * len(self.ends(s))

        def ends(self, s: str) -> list[int]:
            step = 2 if s.endswith("!") else 1
            return [min(i + step, len(s)) for i in range(0, len(s), step)]

    assert Budget(Pairs(), 3).cut("abcdefg!") == "ab"
    assert Budget(Pairs(), 1).cut("abcdefg!") == ""


@pytest.mark.parametrize("limit", range(2, 80))
def test_no_prompt_exceeds_its_budget(limit: int) -> None:
    task = budget_task([3, 9, 1], [4, 2])
    for (encoding,) in (forms for forms in ENCODINGS.values() if len(forms) == 1):
        text = render(task, words(5), encoding, Budget(Words(), limit))
        assert len(text.split()) <= limit
