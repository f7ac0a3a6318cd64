"""Whatever bytes a file holds, a schema gives data or a UserError with place, value and rule."""

import contextlib
import json
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tk_instruct import schema
from tk_instruct.errors import UserError


class Example(msgspec.Struct, frozen=True):
    input: str
    outputs: Annotated[list[str], msgspec.Meta(min_length=1)]
    weight: float = 1.0
    note: str | None = None


class Collection(msgspec.Struct, frozen=True):
    examples: list[Example] = msgspec.field(name="All Examples")
    number: Annotated[int, msgspec.Meta(ge=0, le=9)] = 0
    scores: dict[str, float] = {}
    numbered: dict[Annotated[str, msgspec.Meta(max_length=2)], int] = {}


def collection(**fields: Any) -> dict[str, Any]:
    return {"All Examples": [{"input": "a", "outputs": ["b"]}], **fields}


def parsed(document: Any) -> Collection:
    content = document if isinstance(document, bytes) else json.dumps(document).encode()
    return schema.parse(content, Collection, "tasks/a.json", "restore it")


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "the document is [] but must be an object"),
        ({}, "All Examples is missing"),
        ({"All Examples": 5}, "All Examples is 5 but must be a list"),
        ({"All Examples": [{"input": "a"}]}, "All Examples[0].outputs is missing"),
        (
            {"All Examples": [{"input": 3, "outputs": ["b"]}]},
            "All Examples[0].input is 3 but must be a string",
        ),
        (
            {"All Examples": [{"input": "a", "outputs": []}]},
            "All Examples[0].outputs is [] but must be a list that is not empty",
        ),
        (
            {"All Examples": [{"input": "a", "outputs": ["b"], "note": ["é" * 99]}]},
            f'All Examples[0].note is ["{"é" * 55}… but must be a string or null',
        ),
        (collection(number=10), "number is 10 but must be a whole number <= 9"),
        (
            collection(**{"All Examples": [{"input": float("nan"), "outputs": ["b"]}]}),
            "All Examples[0].input is NaN but must be a string",
        ),
        (collection(number=1.5), "number is 1.5 but must be a whole number"),
        (collection(numbered={"abc": 1}), "a key of numbered must be a string of length <= 2"),
        (collection(scores={"a": float("nan")}), "scores[...] must be a number"),
        (b'{"All Examples": [], "number": 1e999}', "number is 1e999 but must be a whole number"),
        (b"\xff\xfe{\x00}\x00", "not UTF-8 ("),
        (b'{"All Examples": [], "unknown": "\xff"}', "not UTF-8 ("),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"All Examples": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
        (b"{} {}", "not JSON (Extra data"),
        (b"", "not JSON (Expecting value"),
        (b'{"number": ' + b"9" * 5000 + b"}", f"number is {'9' * 60} but must be a whole number"),
    ],
)
def test_the_error_says_file_field_value_rule_and_repair(document: Any, message: str) -> None:
    with pytest.raises(UserError) as raised:
        parsed(document)
    said = str(raised.value)
    assert said.startswith(f"tasks/a.json: {message}")
    assert said.endswith("; restore it") or "or restore it" in said
    assert len(said) < 250


def test_what_python_writes_is_read_where_the_schema_does_not_ask_for_it() -> None:
    unknown = {"a": float("nan"), "b": float("inf"), "c": 10**4000, "d": "\ud800"}
    assert parsed(collection(unknown=unknown, number=3)).number == 3


def test_where_anything_is_asked_for_what_is_no_number_is_pythons_own() -> None:
    content = b'{"a": NaN, "b": 1e999, "c": ' + b"9" * 5000 + b"}"
    document = schema.parse(content, dict[str, Any], "a.json")
    assert json.dumps(document) == '{"a": NaN, "b": Infinity, "c": Infinity}'
    with pytest.raises(UserError, match=r"a\.json: \[\.\.\.\] must be a string"):
        schema.convert({**document, "a": "x"}, dict[str, str], "a.json")


@pytest.mark.parametrize(
    ("escaped", "text"),
    [
        (r"\ud83d\ude00", "😀"),
        (r"a\ud800b", "a�b"),
        (r"\udc00", "�"),
        (r"\uD83D\uD83D\uDE00", "�😀"),
        (r"\\ud800\ud800", r"\ud800�"),
    ],
)
def test_half_a_surrogate_pair_is_replaced(escaped: str, text: str) -> None:
    content = f'{{"All Examples": [{{"input": "{escaped}", "outputs": ["b"]}}]}}'
    assert parsed(content.encode()).examples[0].input == text


def test_lines_have_their_numbers_and_may_be_empty_or_begin_with_a_byte_order_mark(
    tmp_path: Path,
) -> None:
    path = tmp_path / "examples.jsonl"
    line = json.dumps({"input": "a", "outputs": ["b"]}).encode()
    separated = '{"input": "ligne\u2028une", "outputs": ["b"]}'.encode()
    path.write_bytes(b"\xef\xbb\xbf" + line + b"\r\n   \n" + separated + b"\n{}\n")
    lines = schema.read_lines(path, Example)
    assert [number for number, _ in (next(lines), next(lines))] == [1, 3]
    with pytest.raises(UserError, match=r"examples\.jsonl:4: input is missing; correct the file"):
        next(lines)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(
    st.binary()
    | json_values.map(lambda value: json.dumps(value).encode())
    | st.fixed_dictionaries(
        {}, optional=dict.fromkeys(("All Examples", "number", "scores"), json_values)
    ).map(lambda value: json.dumps(value).encode())
)
def test_whatever_bytes_the_result_is_data_or_a_user_error(content: bytes) -> None:
    with contextlib.suppress(UserError):
        result = parsed(content)
        json.dumps(msgspec.to_builtins(result), allow_nan=False, ensure_ascii=False).encode()
