"""The requests of a run on disk: ledger.jsonl has every attempt, responses.jsonl every answer.

A request that has an answer is never sent again. An attempt counts at the most that it can cost,
until the answer gives the true cost or it is certain that nothing is charged. So the budget holds
whenever, and however often, the process is killed.
"""

import json
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from tk_instruct.completions import Completion, Request
from tk_instruct.completions.dispatch.budget import PRICES, Budget, Tokens, usage
from tk_instruct.completions.log_directory import LogDirectory, Record
from tk_instruct.completions.records import LedgerBegun, LedgerLine, NotPaid, Prices, Sent


@dataclass(frozen=True)
class Charges:
    """The tokens that a run may have to pay for.

    Attributes:
        answered: by stage, the tokens of answered requests. Where the server did not count them,
            the most that they can be.
        num_requests: by stage, the number of answered requests.
        unanswered: the most that the attempts without an answer can have taken.
        prices: those of the last Budget that had prices.
    """

    answered: Mapping[str, Tokens]
    num_requests: Mapping[str, int]
    unanswered: Tokens
    prices: Mapping[str, Any]

    @property
    def total(self) -> Tokens:
        return sum(self.answered.values(), self.unanswered)

    def usd(self, tokens: Tokens) -> float | None:
        """Dollars at gin's prices, else at the last ones; None without any."""
        budget = Budget()
        return (replace(budget, **self.prices) if not budget.prices else budget).usd(tokens)


def charges(ledger: Iterable[LedgerLine], responses: Iterable[Record]) -> Charges:
    """Counts the lines of a run's ledger.jsonl and responses.jsonl."""
    unanswered: dict[tuple[str, int], Tokens] = {}
    prices: dict[str, float] = {}
    for line in ledger:
        match line:
            case Prices():
                prices = {name: getattr(line, name) for name in PRICES}
            case Sent():
                sent = Tokens(line.prompt_tokens, line.completion_tokens)
                unanswered[line.key, line.attempt] = sent
            case NotPaid():
                unanswered.pop((line.key, line.attempt), None)
    answered: dict[str, Tokens] = {}
    num_requests: Counter[str] = Counter()
    for record in responses:
        stage = record["stage"]
        bound = unanswered.pop((record["key"], record["attempts"]), Tokens())
        counted = usage(record["prompt_tokens"], record["completion_tokens"])
        answered[stage] = answered.get(stage, Tokens()) + (counted or bound)
        num_requests[stage] += 1
    return Charges(answered, num_requests, sum(unanswered.values(), Tokens()), prices)


@dataclass(frozen=True)
class Attempt:
    """One sending of a request, as it stands in ledger.jsonl; number is from 1 on."""

    key: str
    number: int
    created_at: str

    def as_event(self, event: str) -> dict[str, Any]:
        return {
            "event": event,
            "key": self.key,
            "attempt": self.number,
            "created_at": self.created_at,
        }


class Ledger:
    """The two logs of a run: what earlier processes wrote is read, what comes is appended.

    Several threads may use it, each for its own requests.

    Attributes:
        run_id: differs between run directories, also between those of the same seed.
        spent_before: what earlier processes have spent, or at most can have.
    """

    def __init__(self, run: LogDirectory, prices: Mapping[str, float]) -> None:
        self._responses, self._ledger = run.log("responses"), run.log("ledger")
        self._answered: dict[str, bytes] = {}  # key → record as JSON: dicts take twice the room
        self._attempts: dict[str, int] = {}  # key → number of attempts, until it is answered
        self.run_id = ""
        charged = charges(self._earlier_events(), self._earlier_responses())
        self.spent_before = charged.total
        if prices and prices != charged.prices:
            self._ledger.note({"event": "prices", **prices})
        if not self.run_id:
            self.run_id = uuid.uuid4().hex
            self._ledger.append([{"event": "begun", "id": self.run_id}])

    def _earlier_events(self) -> Iterator[LedgerLine]:
        for line in self._ledger.read():
            match line:
                case LedgerBegun():
                    self.run_id = line.id
                case Sent():
                    self._attempts[line.key] = line.attempt
            yield line

    def _earlier_responses(self) -> Iterator[Record]:
        for record in self._responses.read():
            self._answered[record["key"]] = _packed(record)
            self._attempts.pop(record["key"], None)
            yield record

    def is_answered(self, request: Request) -> bool:
        return request.key in self._answered

    def response(self, request: Request) -> Record | None:
        """The record of an answered request in responses.jsonl."""
        packed = self._answered.get(request.key)
        return None if packed is None else json.loads(packed)

    def sent(self, request: Request, most: Tokens) -> Attempt:
        """Notes an attempt, and the most that it can take, before the request goes out."""
        number = self._attempts[request.key] = self._attempts.get(request.key, 0) + 1
        attempt = Attempt(request.key, number, _now())
        tokens = {"prompt_tokens": most.prompt, "completion_tokens": most.completion}
        self._ledger.note({**attempt.as_event("sent"), **tokens})
        return attempt

    def failed(self, attempt: Attempt, reason: str, may_be_paid: bool) -> None:
        event = attempt.as_event("perhaps paid" if may_be_paid else "not paid")
        self._ledger.note({**event, "reason": reason})

    def answered(self, request: Request, completion: Completion, attempt: Attempt) -> Record:
        """The record of an answer; it is on disk when this returns."""
        record = _record(request, completion, attempt.number)
        self._responses.append([record])
        self._answered[request.key] = _packed(record)
        self._attempts.pop(request.key)
        return record


def _record(request: Request, completion: Completion, attempts: int) -> Record:
    parameters, stop = asdict(request.parameters), request.parameters.stop
    scored = {"log_probability": completion.log_probability}
    scored["scored_tokens"] = completion.scored_tokens
    return {
        "key": request.key,
        "stage": request.stage,
        "index": request.index,
        "prompt_sha256": request.prompt_sha256,
        "parameters": parameters | {"stop": None if stop is None else list(stop)},
        "model": completion.model,
        "text": completion.text,
        "finish_reason": completion.finish_reason,
        "prompt_tokens": completion.prompt_tokens,
        "completion_tokens": completion.completion_tokens,
        "created_at": _now(),
        "attempts": attempts,
        **({} if request.scored_from is None else scored),
    }


def _packed(record: Record) -> bytes:
    return json.dumps(record, ensure_ascii=False).encode("utf-8", "surrogatepass")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
