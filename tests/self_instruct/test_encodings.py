"""The published encodings of an instance, as whole texts."""

import pytest

from tk_instruct.self_instruct import encodings


@pytest.mark.parametrize(
    ("template", "prompt", "completion"),
    [
        (0, "Add.\nInput: 1 {x}\nOutput:", " 2"),
        (1, "Add.\n\nInput: 1 {x}\n\nOutput:", " 2"),
        (2, "Task: Add.\nInput: 1 {x}\nOutput:", " 2"),
        (3, "Add.\n\n1 {x}\n\nOutput:", " 2"),
        (4, "Add.\n\n1 {x}\n\n", "2"),
        (5, "Add.\n1 {x}\n\n", "2"),
        (6, "Task: Add.\n\n1 {x}\n\n", "2"),
    ],
)
def test_the_seven_encodings_with_input(template: int, prompt: str, completion: str) -> None:
    assert len(encodings.WITH_INPUT) == 7
    found = encodings.render(encodings.WITH_INPUT[template], "Add.", "1 {x}", "2")
    assert found == (prompt, completion)


@pytest.mark.parametrize(
    ("template", "prompt", "completion"),
    [
        (0, "Say {hi}. Output:", " hi"),
        (1, "Say {hi}.\nOutput:", " hi"),
        (2, "Say {hi}.\n\nOutput:", " hi"),
        (3, "Say {hi}.\n", "hi"),
        (4, "Say {hi}.\n\n", "hi"),
        (5, "Task: Say {hi}.\n\n", "hi"),
    ],
)
def test_the_six_encodings_without_input(template: int, prompt: str, completion: str) -> None:
    assert len(encodings.WITHOUT_INPUT) == 6
    found = encodings.render(encodings.WITHOUT_INPUT[template], "Say {hi}.", "", "hi")
    assert found == (prompt, completion)


@pytest.mark.parametrize(
    ("input_", "expected"),
    [
        ("Word: tree", "tree"),
        ("Word: tree\n\nWord: sea", "tree\nWord: sea"),
        ("Word: tree\n\nKind: plant", "Word: tree\nKind: plant"),
        ("no field\n\nat all", "no field\nat all"),
        ("Word:", "Word:"),
        # Where the published rule takes more than a name.
        ("A text. Question: why?", "A text. Question: why?"),
        ("10:30", "10:30"),
        ("At 10:30", "At 10:30"),
    ],
)
def test_an_input_loses_the_name_of_its_only_field(input_: str, expected: str) -> None:
    assert encodings.without_field_name(input_) == expected
