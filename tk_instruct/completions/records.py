"""The schema of a line of the files of requests and answers; other fields are passed over."""

from typing import Annotated, Any, NotRequired, TypedDict

from msgspec import Meta, Struct

Count = Annotated[int, Meta(ge=0)]
Number = Annotated[float, Meta(ge=0)]
Parameters = dict[str, int | float | list[str] | None]
Setting = int | float | str | bool | None


class Response(TypedDict):
    """responses.jsonl"""

    key: str
    stage: str
    index: Count
    prompt_sha256: str
    parameters: Parameters
    model: str
    text: str
    finish_reason: str
    prompt_tokens: Count | None
    completion_tokens: Count | None
    created_at: str
    attempts: Count
    log_probability: NotRequired[float]
    scored_tokens: NotRequired[Count]


class LedgerBegun(Struct, frozen=True, tag_field="event", tag="begun"):
    id: str


class Prices(Struct, frozen=True, tag_field="event", tag="prices"):
    usd_per_million_prompt_tokens: Number
    usd_per_million_completion_tokens: Number


class Sent(Struct, frozen=True, tag_field="event", tag="sent"):
    key: str
    attempt: Count
    prompt_tokens: Count
    completion_tokens: Count


class PerhapsPaid(Struct, frozen=True, tag_field="event", tag="perhaps paid"):
    key: str
    attempt: Count


class NotPaid(Struct, frozen=True, tag_field="event", tag="not paid"):
    key: str
    attempt: Count


LedgerLine = LedgerBegun | Prices | Sent | PerhapsPaid | NotPaid
"""ledger.jsonl"""


SCHEMAS: dict[str, Any] = {"responses": Response, "ledger": LedgerLine}
"""Schemas by the name of the log."""
