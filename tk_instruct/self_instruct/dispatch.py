"""How requests become completions that cost money: several at once, each kept before it is used.

What has been answered (responses.jsonl) is never asked again. What has been sent (ledger.jsonl) is
counted at the most that it can cost, until the answer says the true cost or it is sure that nothing
is to be paid; so the budget holds whenever, and however often, the process is killed.
"""

import hashlib
import json
import logging
import math
import queue
import signal
import threading
import time
import uuid
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import CancelledError, Future
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

import gin
from tenacity import RetryCallState, Retrying, retry_if_exception_type

from tk_instruct.errors import UserError
from tk_instruct.randomness import draw
from tk_instruct.self_instruct.answers import without_reasoning
from tk_instruct.self_instruct.clients import (
    FRAME_TOKENS,
    Client,
    Completion,
    RefusedError,
    Request,
    UnansweredError,
)
from tk_instruct.self_instruct.records import LedgerBegun, LedgerLine, NotPaid, Prices, Sent
from tk_instruct.self_instruct.run_directory import Record, RunDirectory
from tk_instruct.signals import HeldSignals

log = logging.getLogger("tk_instruct")

_MOST_REFUSED = 20  # prompts on end, after which it is not the prompts
_MOST_SILENT = 4  # answers on end that say nothing up to max_tokens
_MOST_UNREACHED = 4  # attempts of one request while nothing has reached the server
_SECONDS_BETWEEN_WARNINGS = 15.0
_WINDOW = 4  # requests in order for each thread, so that one slow answer does not stop the others

_PRICES = ("usd_per_million_prompt_tokens", "usd_per_million_completion_tokens")


@dataclass(frozen=True)
class Tokens:
    """Of prompts and of completions, which have different prices."""

    prompt: int = 0
    completion: int = 0

    @property
    def total(self) -> int:
        return self.prompt + self.completion

    def __add__(self, other: "Tokens") -> "Tokens":
        return Tokens(self.prompt + other.prompt, self.completion + other.completion)

    def __sub__(self, other: "Tokens") -> "Tokens":
        return Tokens(self.prompt - other.prompt, self.completion - other.completion)


@dataclass(frozen=True)
class Charges:
    """What may have to be paid for.

    answered, num_requests: by stage; an answer whose tokens the server has not counted has taken
    the most that it can have. unanswered: at most, of what was sent and broke off. prices: of the
    Budget that was last given some.
    """

    answered: Mapping[str, Tokens]
    num_requests: Mapping[str, int]
    unanswered: Tokens
    prices: Mapping[str, Any]

    @property
    def total(self) -> Tokens:
        return sum(self.answered.values(), self.unanswered)

    def usd(self, tokens: Tokens) -> float | None:
        """At the prices that gin has, else the last ones; None without any."""
        budget = Budget()
        return (replace(budget, **self.prices) if not budget.prices else budget).usd(tokens)


def charges(ledger: Iterable[LedgerLine], responses: Iterable[Record]) -> Charges:
    """Of a run, from its two logs."""
    unanswered: dict[tuple[str, int], Tokens] = {}
    prices: dict[str, float] = {}
    for line in ledger:
        match line:
            case Prices():
                prices = {name: getattr(line, name) for name in _PRICES}
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
        usage = _usage(record["prompt_tokens"], record["completion_tokens"])
        answered[stage] = answered.get(stage, Tokens()) + (usage or bound)
        num_requests[stage] += 1
    return Charges(answered, num_requests, sum(unanswered.values(), Tokens()), prices)


@gin.configurable(module="tk_instruct")
@dataclass(frozen=True)
class Budget:
    """What a run directory may cost in all, None where there is no limit, and the prices.

    What was spent before is counted in tokens, and in dollars at today's prices.
    """

    max_usd: float | None = None
    max_tokens: int | None = None
    usd_per_million_prompt_tokens: float | None = None
    usd_per_million_completion_tokens: float | None = None

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value is not None and not 0 <= value < math.inf:
                raise UserError(
                    f"Budget.{name}={value:g} must be a finite number from 0 on; None: no limit, "
                    "or no price"
                )
        if self.max_usd is not None and self.usd(Tokens()) is None:
            raise UserError(
                f"max_usd={self.max_usd:g} needs the prices; set --prompt_price and "
                "--completion_price, dollars for a million tokens"
            )

    @property
    def prices(self) -> dict[str, float]:
        """Both, or none."""
        prices = {name: getattr(self, name) for name in _PRICES}
        return {} if None in prices.values() else prices

    def usd(self, tokens: Tokens) -> float | None:
        """None where there are no prices."""
        prices = self.prices
        if not prices:
            return None
        of_prompts, of_completions = (prices[name] for name in _PRICES)
        return (tokens.prompt * of_prompts + tokens.completion * of_completions) / 1e6

    def covers(self, tokens: Tokens) -> bool:
        usd = self.usd(tokens) or 0.0
        return (self.max_usd is None or usd <= self.max_usd) and (
            self.max_tokens is None or tokens.total <= self.max_tokens
        )

    def __str__(self) -> str:
        usd = [] if self.max_usd is None else [f"Budget.max_usd={self.max_usd:g}"]
        return " and ".join(
            usd + ([] if self.max_tokens is None else [f"Budget.max_tokens={self.max_tokens}"])
        )


@gin.configurable(module="tk_instruct")
@dataclass(frozen=True)
class RateLimit:
    """What a server allows, spaced evenly over the minute; None: no limit.

    Tokens are counted as budgets count them: at their most until the answer is there.
    """

    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value is not None and not value > 0:
                raise UserError(f"RateLimit.{name}={value:g} must be above 0; None: no limit")


@gin.configurable(module="tk_instruct")
@dataclass(frozen=True)
class Retries:
    """Of one request: pauses double from the first to the longest, shortened at random by up to
    half. A server that asks to be left alone for longer than the longest is given up.
    """

    max_attempts: int = 10
    first_pause_seconds: float = 1.0
    longest_pause_seconds: float = 600.0

    def __post_init__(self) -> None:
        if self.max_attempts < 1:
            raise UserError(f"Retries.max_attempts={self.max_attempts} must be at least 1")
        if not 0 <= self.first_pause_seconds <= self.longest_pause_seconds:
            raise UserError(
                f"Retries.first_pause_seconds={self.first_pause_seconds:g} must be from 0 to "
                f"longest_pause_seconds={self.longest_pause_seconds:g}"
            )

    def pause_seconds(self, key: str, attempt: int) -> float:
        """After the attempt-th failure, from 1 on."""
        longest = min(self.first_pause_seconds * 2.0 ** (attempt - 1), self.longest_pause_seconds)
        return longest * (1 - draw(0, "pause", key, str(attempt)) / 2**65)


@dataclass(frozen=True)
class Spent:
    """By all processes that have worked on a run directory; usd is None without prices."""

    tokens: Tokens
    usd: float | None

    def __str__(self) -> str:
        tokens = f"{self.tokens.total:,} tokens"
        return tokens if self.usd is None else f"${self.usd:,.4f} ({tokens})"


class Dispatcher:
    """`with Dispatcher(client, run, budget, concurrency=16) as ask: ask.submit(request).result()`.

    The first request that fails for good ends all: nothing more is sent, what is in flight is
    waited for and kept, and every future that is left raises the same error, a UserError. Started
    again on the same run directory it goes on. Leaving the block sends nothing more either.

    SIGINT (Ctrl-C) and SIGTERM are held in the block. The first leaves it grace_seconds to keep
    what is in flight, and submit(), result() and the end of the block raise KeyboardInterrupt or
    SystemExit; a second one has its usual effect.

    Args:
        client: called by `concurrency` threads at once.
        run: entered; its logs `responses` and `ledger` belong to the dispatcher.
        rate_limit, retries: what gin says where they are None.

    Raises:
        UserError: the budget does not allow the next request; the server refuses, or does not
            answer however often it is asked; the disk is full.
    """

    def __init__(
        self,
        client: Client,
        run: RunDirectory,
        budget: Budget,
        concurrency: int,
        rate_limit: RateLimit | None = None,
        retries: Retries | None = None,
        grace_seconds: float = 30.0,
    ) -> None:
        if concurrency < 1:
            raise UserError(f"concurrency={concurrency} must be at least 1")
        self._client, self._run, self._budget = client, run, budget
        self._concurrency, self._grace_seconds = concurrency, grace_seconds
        rate_limit = rate_limit or RateLimit()
        self._retries = retries or Retries()
        self._retrying = Retrying(
            retry=retry_if_exception_type(UnansweredError),
            stop=self._gives_up,
            wait=self._pause_seconds,
            sleep=self._sleep,
            before_sleep=self._say_why,
            reraise=True,
        )
        self._responses, self._ledger = run.log("responses"), run.log("ledger")
        self._jobs: queue.SimpleQueue[tuple[Request, Future[Record]] | None] = queue.SimpleQueue()
        # All below is read and changed under the condition, which is notified of every change.
        self._changed = threading.Condition()
        self._answered: dict[str, bytes] = {}  # key → record as JSON: dicts take twice the room
        self._attempts: dict[str, int] = {}  # of what has not been answered
        self._pending: dict[str, Future[Record]] = {}
        self._spent = self._in_flight = Tokens()
        self._num_in_flight = 0
        self._num_refused = self._num_silent = 0  # on end
        self._has_reached = False
        self._next_warning = 0.0
        self._requests_clock = _Clock(rate_limit.requests_per_minute)
        self._tokens_clock = _Clock(rate_limit.tokens_per_minute)
        self._paused_until = time.monotonic()
        self._ended_by: BaseException | None = None
        self._stopped_by: BaseException | None = None  # what a signal raises

    def __enter__(self) -> "Dispatcher":
        self._read()
        self._threads = [
            threading.Thread(target=self._work, name=f"request {i}", daemon=True)
            for i in range(self._concurrency)
        ]
        for thread in self._threads:
            thread.start()
        self._signals = HeldSignals(self._stop)
        self._signals.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end(CancelledError("nobody waits for it any more"))
        for _ in self._threads:
            self._jobs.put(None)
        is_interrupted = kind is not None and not issubclass(kind, Exception)
        if is_interrupted and error is not (self._stopped_by or error):
            return  # a second signal, before which the first has put all handlers back
        try:
            self._leave(is_interrupted)
        finally:
            self._signals.__exit__()
        if self._stopped_by is not None and not is_interrupted:
            raise self._stopped_by

    def _leave(self, is_interrupted: bool) -> None:
        with self._changed:
            self._changed.wait_for(
                lambda: is_interrupted or self._stopped_by or not self._num_in_flight
            )
        if is_interrupted or self._stopped_by:
            self._keep_what_comes()
        else:
            for thread in self._threads:
                thread.join()

    def submit(self, request: Request) -> "Future[Record]":
        """The record of responses.jsonl, once it is there; at once where it is already."""
        with self._changed:
            if self._stopped_by is not None:
                raise self._stopped_by
            pending = self._pending.get(request.key)
            if pending is not None and not pending.cancelled():
                return pending
            future: Future[Record] = Future()
            if request.key in self._answered:
                future.set_result(json.loads(self._answered[request.key]))
                return future
            if self._ended_by is not None:
                future.set_exception(self._ended_by)
                return future
            self._pending[request.key] = future
        self._jobs.put((request, future))
        return future

    def is_answered(self, request: Request) -> bool:
        """Whether it is there already, so that it is not asked for."""
        with self._changed:
            return request.key in self._answered

    def result(self, future: "Future[Record]") -> Record:
        """What future.result() is, and raises; but a signal ends the wait for it."""
        with self._changed:
            self._changed.wait_for(lambda: future.done() or self._stopped_by)
            if self._stopped_by is not None:
                raise self._stopped_by
        return future.result()

    def in_order(self, requests: Iterable[Request]) -> Iterator[tuple[Request, Record]]:
        """Requests with their records, in the order of the requests.

        Which are asked for, and when, does not depend on how fast which is answered: each time a
        record is taken one request more is.
        """
        window: deque[tuple[Request, Future[Record]]] = deque()
        try:
            for request in requests:
                window.append((request, self.submit(request)))
                if len(window) == _WINDOW * self._concurrency:
                    yield window[0][0], self.result(window[0][1])
                    window.popleft()
            while window:
                yield window[0][0], self.result(window[0][1])
                window.popleft()
        finally:
            for _, future in window:
                future.cancel()

    @property
    def spent(self) -> Spent:
        """What may have to be paid for what is no longer in flight."""
        with self._changed:
            return Spent(self._spent, self._budget.usd(self._spent))

    def _read(self) -> None:
        """What earlier processes have asked, been answered and, at most, spent."""
        self._run_id = ""
        charged = charges(self._known_ledger(), self._known_responses())
        self._spent = charged.total
        if self._budget.prices and self._budget.prices != charged.prices:
            self._ledger.note({"event": "prices", **self._budget.prices})
        if not self._run_id:
            self._run_id = uuid.uuid4().hex
            self._ledger.append([{"event": "begun", "id": self._run_id}])

    def _known_ledger(self) -> Iterator[LedgerLine]:
        for line in self._ledger.read():
            match line:
                case LedgerBegun():
                    self._run_id = line.id
                case Sent():
                    self._attempts[line.key] = line.attempt
            yield line

    def _known_responses(self) -> Iterator[Record]:
        for record in self._responses.read():
            self._answered[record["key"]] = _packed(record)
            self._attempts.pop(record["key"], None)
            yield record

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            request, future = job
            if not future.set_running_or_notify_cancel():
                continue
            try:
                record = self._complete(request)
            except BaseException as error:
                self._end(error)
                future.set_exception(error)
            else:
                future.set_result(record)
            with self._changed:
                self._pending.pop(request.key, None)
                self._changed.notify_all()

    def _complete(self, request: Request) -> Record:
        try:
            return self._retrying(self._attempt, request)
        except UnansweredError as error:
            times = self._retrying.statistics["attempt_number"]
            wish = error.retry_after_seconds
            raise UserError(
                f"request {request.key} has not been answered in {times} attempts (the last: "
                f"{error}" + (f"; to be asked again in {wish:g} s" if wish else "") + "); what "
                f"was answered is kept in {self._responses.path}: run it again later, it goes on"
            ) from error

    def _attempt(self, request: Request) -> Record:
        bound = _upper_bound(request)
        self._admit(bound)
        charge = Tokens()
        try:
            with self._changed:
                attempt = self._attempts.get(request.key, 0) + 1
                self._attempts[request.key] = attempt
            event = {"key": request.key, "attempt": attempt, "created_at": _now()}
            most = {"prompt_tokens": bound.prompt, "completion_tokens": bound.completion}
            self._ledger.note({"event": "sent", **event, **most})
            charge = bound
            try:
                completion = self._client.complete(request, self._idempotency_key(request))
            except (UnansweredError, RefusedError, UserError) as error:
                may_be_paid = isinstance(error, UnansweredError) and error.may_be_paid
                outcome = "perhaps paid" if may_be_paid else "not paid"
                self._ledger.note({"event": outcome, **event, "reason": str(error)})
                charge = bound if may_be_paid else Tokens()
                self._heed(error)
                if not isinstance(error, RefusedError):
                    raise
                completion = self._empty(error)
            else:
                with self._changed:
                    self._has_reached, self._num_refused = True, 0
            usage = _usage(completion.prompt_tokens, completion.completion_tokens)
            record = _record(request, completion, attempt)
            self._responses.append([record])
            charge = usage or bound
            with self._changed:
                self._answered[request.key] = _packed(record)
                self._attempts.pop(request.key)
            self._check_it_speaks(request, completion)
            return record
        finally:
            self._settle(bound, charge)

    def _check_it_speaks(self, request: Request, completion: Completion) -> None:
        """Raises UserError where one answer after the other is reasoning alone, or nothing."""
        is_silent = not (without_reasoning(completion.text) or "").strip()
        with self._changed:
            at_length = is_silent and completion.finish_reason == "length"
            self._num_silent = self._num_silent + 1 if at_length else 0
            num_silent = self._num_silent
        if num_silent >= _MOST_SILENT:
            name, most = f"{request.scope}/Parameters.max_tokens", request.parameters.max_tokens
            raise UserError(
                f"the last {num_silent} answers had said nothing yet when they ended at "
                f"{name}={most}: the model reasons before it answers; raise it "
                f"(--gin.{name}={max(2048, 4 * most)}), or take --gin_file=servers/reasoning.gin, "
                "and run it again: it goes on"
            )

    def _empty(self, error: RefusedError) -> Completion:
        """What a refused prompt counts as; raises UserError where all are refused."""
        with self._changed:
            self._num_refused += 1
            if self._num_refused > _MOST_REFUSED:
                raise UserError(
                    f"the server has refused {self._num_refused} prompts on end (the last: "
                    f"{error}); correct the parameters of this stage in gin, or take another "
                    "model, and run it again: it goes on"
                )
        return Completion("", error.finish_reason, self._client.model, 0, 0)

    def _idempotency_key(self, request: Request) -> str:
        """The same whenever a run asks again; another for another run, though of the same seed."""
        settings = json.dumps([self._run_id, self._client.model, asdict(request.parameters)])
        return f"{request.key}-{hashlib.sha256(settings.encode()).hexdigest()[:16]}"

    def _admit(self, bound: Tokens) -> None:
        """Waits until a request may be sent, and counts it as in flight."""
        with self._changed:
            while True:
                if self._ended_by is not None:
                    raise self._ended_by
                self._run.check_room()
                clocks = (self._requests_clock.next, self._tokens_clock.next)
                wait = max(*clocks, self._paused_until) - time.monotonic()
                if self._budget.covers(self._spent + self._in_flight + bound):
                    if wait <= 0:
                        break
                    self._changed.wait(wait)
                elif self._num_in_flight:  # which may cost less than they might
                    self._changed.wait()
                else:
                    raise self._over_budget(bound)
            self._requests_clock.take(1)
            self._tokens_clock.take(bound.total)
            self._in_flight += bound
            self._num_in_flight += 1

    def _over_budget(self, bound: Tokens) -> UserError:
        spent, next_ = (Spent(tokens, self._budget.usd(tokens)) for tokens in (self._spent, bound))
        return UserError(
            f"{spent} spent, and the next request may take {next_}: that is beyond {self._budget}; "
            "raise it and run it again: it goes on"
        )

    def _settle(self, bound: Tokens, charge: Tokens) -> None:
        with self._changed:
            self._in_flight -= bound
            self._num_in_flight -= 1
            self._spent += charge
            self._tokens_clock.give_back(bound.total - charge.total)
            self._changed.notify_all()

    def _heed(self, error: Exception) -> None:
        """What a failure says of the server."""
        with self._changed:
            self._has_reached |= getattr(error, "was_reached", True)
            wish = getattr(error, "retry_after_seconds", None) or 0.0
            self._paused_until = max(self._paused_until, time.monotonic() + wish)

    def _pause_seconds(self, state: RetryCallState) -> float:
        wish = _failure(state).retry_after_seconds or 0.0
        return max(wish, self._retries.pause_seconds(state.args[0].key, state.attempt_number))

    def _gives_up(self, state: RetryCallState) -> bool:
        failure, retries = _failure(state), self._retries
        most = retries.max_attempts
        with self._changed:
            if not (failure.was_reached or self._has_reached):
                most = min(most, _MOST_UNREACHED)
        wish = failure.retry_after_seconds or 0.0
        return state.attempt_number >= most or wish > retries.longest_pause_seconds

    def _say_why(self, state: RetryCallState) -> None:
        """Now and then, so that nobody waits without knowing what for."""
        seconds = state.next_action.sleep if state.next_action else 0.0
        with self._changed:
            if seconds < 1.0 or time.monotonic() < self._next_warning:
                return
            self._next_warning = time.monotonic() + _SECONDS_BETWEEN_WARNINGS
        log.warning("%s: %s; again in %.0f s", state.args[0].key, _failure(state), seconds)

    def _sleep(self, seconds: float) -> None:
        """Until then, or until all has ended, which the next attempt will find."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended_by is not None, seconds)

    def _end(self, error: BaseException) -> None:
        """Nothing more is sent; the first reason counts."""
        with self._changed:
            self._ended_by = self._ended_by or error
            self._changed.notify_all()

    def _stop(self, number: signal.Signals) -> None:
        """What a signal does, in the main thread, wherever that is.

        An exception may come between a lock and its release (threading.Condition has such a gap),
        and then no thread could keep its answer: so none is raised here while any is on its way.
        """
        is_interrupt = number == signal.SIGINT
        self._stopped_by = KeyboardInterrupt() if is_interrupt else SystemExit(128 + number)
        self._end(self._stopped_by)
        if not self._num_in_flight:
            raise self._stopped_by

    def _keep_what_comes(self) -> None:
        if self._num_in_flight:
            log.warning(
                "interrupted: waiting %g s at most for what is in flight (%d); once more ends at "
                "once",
                self._grace_seconds,
                self._num_in_flight,
            )
        with self._changed:
            self._changed.wait_for(lambda: not self._num_in_flight, self._grace_seconds)


class _Clock:
    """When the next may be sent of what is limited to so many a minute; None: at once."""

    def __init__(self, per_minute: float | None) -> None:
        self._seconds = 60 / per_minute if per_minute else 0.0
        self.next = time.monotonic()

    def take(self, count: int) -> None:
        self.next = max(self.next, time.monotonic()) + count * self._seconds

    def give_back(self, count: int) -> None:
        self.next -= count * self._seconds


def _failure(state: RetryCallState) -> UnansweredError:
    error = state.outcome.exception() if state.outcome else None
    assert isinstance(error, UnansweredError), error
    return error


def _upper_bound(request: Request) -> Tokens:
    """Tokenizers over bytes make no more tokens of a text than it has bytes."""
    prompt = len(request.prompt.encode("utf-8", "surrogatepass")) + FRAME_TOKENS
    return Tokens(prompt, request.parameters.max_tokens)


def _usage(prompt: int | None, completion: int | None) -> Tokens | None:
    return None if prompt is None or completion is None else Tokens(prompt, completion)


def _record(request: Request, completion: Completion, attempt: int) -> Record:
    parameters, stop = asdict(request.parameters), request.parameters.stop
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
        "attempts": attempt,
    }


def _packed(record: Record) -> bytes:
    return json.dumps(record, ensure_ascii=False).encode("utf-8", "surrogatepass")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
