"""The schema of a line of each file of a run directory; other fields are passed over."""

from typing import Annotated, Any, TypedDict

from msgspec import Meta, Struct

Count = Annotated[int, Meta(ge=0)]
Seed = Annotated[int, Meta(ge=0, lt=2**32)]
Number = Annotated[float, Meta(ge=0)]


Parameters = dict[str, int | float | list[str] | None]


class Provenance(TypedDict):
    model: str
    parameters: Parameters
    prompt_sha256: str
    created_at: str
    seed: Seed
    parents: list[str]


class Instance(TypedDict):
    input: str
    output: str


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


class Instruction(TypedDict):
    """instructions.jsonl"""

    id: str
    instruction: str
    most_similar: dict[str, float]
    avg_similarity_score: float
    request_idx: Count
    provenance: Provenance


class InstructionRequest(TypedDict):
    """instruction_requests.jsonl"""

    request_idx: Count
    key: str
    num_candidates: Count
    num_accepted: Count
    dropped: dict[str, Count]


class Classified(TypedDict):
    """classified.jsonl"""

    id: str
    instruction: str
    is_classification: bool
    answer: str
    provenance: Provenance


class Instances(TypedDict):
    """instances.jsonl"""

    id: str
    instruction: str
    is_classification: bool
    raw_instances: str
    finish_reason: str
    instances: list[Instance]
    dropped: dict[str, Count]
    provenance: Provenance


class SeedTask(TypedDict):
    """seed_tasks.jsonl, in the published schema"""

    id: str
    name: str
    instruction: str
    instances: Annotated[list[Instance], Meta(min_length=1)]
    is_classification: bool


Setting = int | float | str | bool | None


class Begun(TypedDict):
    """run.json; its other fields are Settings that a run keeps to its end"""

    seed: Seed


SCHEMAS: dict[str, Any] = {
    "responses": Response,
    "ledger": LedgerLine,
    "instructions": Instruction,
    "instruction_requests": InstructionRequest,
    "classified": Classified,
    "instances": Instances,
    "seed_tasks": SeedTask,
}
"""Schemas by the name of the log."""
