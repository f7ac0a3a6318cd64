"""Tables that people read."""

from tk_instruct.tables import table


def test_table_aligns_names_left_and_numbers_right() -> None:
    rows = [("name", "score", "metric"), ("copy_input", "8.1", "rougeL"), ("t5", "45.25", "em")]
    assert table(rows) == (
        "name        score  metric\ncopy_input    8.1  rougeL\nt5          45.25  em"
    )


def test_negative_numbers_are_numbers() -> None:
    assert table([("name", "difference"), ("a", "-2.5"), ("b", "–"), ("c", "12")]) == (
        "name  difference\na           -2.5\nb              –\nc             12"
    )


def test_table_of_one_column_and_of_no_rows() -> None:
    assert table([("name",), ("superni_en_def",)]) == "name\nsuperni_en_def"
    assert table([("name", "kind")]) == "name  kind"
