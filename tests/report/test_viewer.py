"""The data that the viewer of predictions reads."""

import base64
import gzip
import json
import math
from typing import Any

from tk_instruct.report.viewer import Answer, Predictions, packed


def read(text: str) -> dict[str, Any]:
    return json.loads(gzip.decompress(base64.b64decode(text)))


def answer(id_: str, task: str, given: str | None, score: float | None = 0.0) -> Answer:
    return Answer(id_, task, "category", given, ["yes"], "no", score)


DEFINITION = "Definition: Answer the question with yes or no.\n\nNow complete this -\n"


def test_what_inputs_of_a_task_share_is_held_once_up_to_the_end_of_a_line() -> None:
    rows = [answer(str(n), "t", f"{DEFINITION}Input: Is {n}?\nOutput:") for n in range(3)]
    data = read(packed([Predictions("s", "EM", rows)]))
    assert data["instructions"] == [DEFINITION]
    assert data["instances"][2] == ["2", 0, 0, "Input: Is 2?\nOutput:", ["yes"]]
    assert data["tasks"] == [["t", "category"]]
    assert data["systems"] == [
        {"name": "s", "metric": "EM", "best": 100.0, "rows": [[n, "no", 0.0] for n in range(3)]}
    ]


def test_without_lines_it_ends_after_a_word() -> None:
    before = "Is this sentence right or is it not right at all, answer "
    rows = [answer(str(n), "t", f"{before}with{n}") for n in range(2)]
    data = read(packed([Predictions("s", "EM", rows)]))
    assert data["instructions"] == [before]


def test_nothing_is_folded_of_a_single_input_of_short_ones_or_where_one_is_not_known() -> None:
    rows = [
        answer("a", "single", DEFINITION + "x"),
        *(answer(f"b{n}", "short", f"Answer {n}") for n in range(2)),
        *(answer(f"c{n}", "unknown", given) for n, given in enumerate([None, DEFINITION])),
    ]
    data = read(packed([Predictions("s", "EM", rows)]))
    assert data["instructions"] == [""]
    assert [row[3] for row in data["instances"]] == [row.input for row in rows]


def test_systems_share_instances_and_have_their_own_answers() -> None:
    rows = [answer(str(n), "t", f"Is {n}?", math.nan if n else None) for n in range(2)]
    other = [answer("1", "t", "Is 1?", 1.0), answer("1", "t", "Another prompt: is 1?")]
    data = read(packed([Predictions("a", "EM", rows), Predictions("b", "EM", other, best=1.0)]))
    assert [row[0] for row in data["instances"]] == ["0", "1", "1"]
    assert [of["rows"] for of in data["systems"]] == [
        [[0, "no", None], [1, "no", None]],
        [[1, "no", 1.0], [2, "no", 0.0]],
    ]


def test_it_is_of_letters_that_end_no_element() -> None:
    text = packed([Predictions("</script>", "\ud800", [answer("\0", "</script>", "<!--")])])
    assert set(text) <= {*map(chr, range(48, 58)), *map(chr, range(65, 91)), *"+/="} | {
        *map(chr, range(97, 123))
    }
    assert read(text)["systems"][0]["metric"] == "\ud800"
