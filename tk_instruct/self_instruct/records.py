"""What a line of each file of a run directory is; fields that are not named are passed over."""

from typing import Annotated, Any, NotRequired, TypedDict

from msgspec import Meta

Count = Annotated[int, Meta(ge=0)]
Seed = Annotated[int, Meta(ge=0, lt=2**32)]
Text = Annotated[str, Meta(min_length=1)]
Number = Annotated[float, Meta(ge=0)]


class Parameters(TypedDict):
    """Of a request; what is None was not sent."""

    max_tokens: Count
    temperature: float | None
    top_p: float | None
    presence_penalty: float | None
    frequency_penalty: float | None
    stop: list[str] | None


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


class LedgerLine(TypedDict):
    """ledger.jsonl: `begun` has an id, `prices` two prices, the others a key and an attempt."""

    event: str
    id: NotRequired[str]
    key: NotRequired[str]
    attempt: NotRequired[Count]
    prompt_tokens: NotRequired[Count]
    completion_tokens: NotRequired[Count]
    usd_per_million_prompt_tokens: NotRequired[Number]
    usd_per_million_completion_tokens: NotRequired[Number]
    created_at: NotRequired[str]
    reason: NotRequired[str]


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


class Begun(TypedDict):
    """run.json, whose other fields are what a run cannot change on its way"""

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
"""By the name of the log."""
