"""The schema of a line of each file of a run directory; other fields are passed over."""

from typing import Annotated, Any, TypedDict

from msgspec import Meta

from tk_instruct.completions.records import SCHEMAS as OF_REQUESTS
from tk_instruct.completions.records import Count, Parameters

Seed = Annotated[int, Meta(ge=0, lt=2**32)]


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
    """run.json; its other fields are Settings that a run keeps to its end"""

    seed: Seed


SCHEMAS: dict[str, Any] = {
    **OF_REQUESTS,
    "instructions": Instruction,
    "instruction_requests": InstructionRequest,
    "classified": Classified,
    "instances": Instances,
    "seed_tasks": SeedTask,
}
"""Schemas by the name of the log."""
