"""Requests to a language model, several at a time: each answer is on disk before it is used.

`budget` counts what they cost, `ledger` keeps them on disk, `pace` says when the next may be sent,
`retries` sends one again, `server` ends a run that cannot succeed. Here they are put together.
"""

import hashlib
import json
import logging
import queue
import signal
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import CancelledError, Future
from dataclasses import asdict, dataclass
from types import TracebackType

from tk_instruct.completions import (
    Client,
    Completion,
    RefusedError,
    Request,
    UnansweredError,
)
from tk_instruct.completions.dispatch.budget import Budget, Spent, Tokens, upper_bound, usage
from tk_instruct.completions.dispatch.ledger import Ledger
from tk_instruct.completions.dispatch.pace import Pace, RateLimit
from tk_instruct.completions.dispatch.retries import Retrier, Retries
from tk_instruct.completions.dispatch.server import Server, is_silent
from tk_instruct.completions.log_directory import LogDirectory, Record
from tk_instruct.errors import UserError
from tk_instruct.signals import HeldSignals

log = logging.getLogger("tk_instruct")

_WINDOW = 4  # requests in order for each thread, so that one slow answer does not stop the others


@dataclass
class _Flight:
    """A request that is being sent: the most tokens that it can take, and what is charged."""

    most: Tokens
    charge: Tokens


class Dispatcher:
    """`with Dispatcher(client, run, budget, concurrency=16) as ask: ask.submit(request).result()`.

    The first request that fails for good ends the run: nothing more is sent, the answers to what
    is in flight are waited for and kept, and every future that is left raises the same UserError.
    The next process on the same run directory continues. Leaving the block also stops sending.

    SIGINT (Ctrl-C) and SIGTERM are held in the block. After the first, what is in flight has
    grace_seconds to be answered and kept, and submit(), result() and the end of the block raise
    KeyboardInterrupt or SystemExit. A second one has its usual effect.

    Args:
        client: called by `concurrency` threads at once.
        run: entered; its logs `responses` and `ledger` belong to the dispatcher.
        rate_limit, retries: None: as gin has them.

    Raises:
        UserError: the budget does not allow the next request; the server refuses it, or does not
            answer any attempt; the disk is full.
    """

    def __init__(
        self,
        client: Client,
        run: LogDirectory,
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
        self._retrier = Retrier(
            retries or Retries(),
            self._attempt,
            self._sleep,
            self._has_reached_server,
            run.log("responses").path,
        )
        self._jobs: queue.SimpleQueue[tuple[Request, Future[Record]] | None] = queue.SimpleQueue()
        # All below is read and changed under the condition, which is notified of every change.
        self._changed = threading.Condition()
        self._pending: dict[str, Future[Record]] = {}
        self._spent = self._in_flight = Tokens()
        self._num_in_flight = 0
        self._server = Server()
        self._pace = Pace(rate_limit or RateLimit())
        self._ended_by: BaseException | None = None
        self._stopped_by: BaseException | None = None  # what a signal raises

    def __enter__(self) -> "Dispatcher":
        self._ledger = Ledger(self._run, self._budget.prices)
        self._spent = self._ledger.spent_before
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
            return  # a second signal; the first has already restored the usual handlers
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
        """The future record of responses.jsonl; it is done at once if the record is there."""
        with self._changed:
            if self._stopped_by is not None:
                raise self._stopped_by
            pending = self._pending.get(request.key)
            if pending is not None and not pending.cancelled():
                return pending
            future: Future[Record] = Future()
            if response := self._ledger.response(request):
                future.set_result(response)
                return future
            if self._ended_by is not None:
                future.set_exception(self._ended_by)
                return future
            self._pending[request.key] = future
        self._jobs.put((request, future))
        return future

    def is_answered(self, request: Request) -> bool:
        """Whether an earlier answer is kept, so that the request will not be sent."""
        return self._ledger.is_answered(request)

    def result(self, future: "Future[Record]") -> Record:
        """Like future.result(), but a signal ends the wait."""
        with self._changed:
            self._changed.wait_for(lambda: future.done() or self._stopped_by)
            if self._stopped_by is not None:
                raise self._stopped_by
        return future.result()

    def in_order(self, requests: Iterable[Request]) -> Iterator[tuple[Request, Record]]:
        """Requests with their records, in the order of the requests.

        Each time a record is taken, one more request is submitted. So which requests are sent does
        not depend on how fast each is answered.
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
        """What may have to be paid for requests that are no longer in flight."""
        with self._changed:
            return Spent(self._spent, self._budget.usd(self._spent))

    def _work(self) -> None:
        """What each thread does: one request after the other, until the block is left."""
        while (job := self._jobs.get()) is not None:
            request, future = job
            if not future.set_running_or_notify_cancel():
                continue
            try:
                record = self._retrier.record(request)
            except BaseException as error:
                self._end(error)
                future.set_exception(error)
            else:
                future.set_result(record)
            with self._changed:
                self._pending.pop(request.key, None)
                self._changed.notify_all()

    def _attempt(self, request: Request) -> Record:
        """Sends a request once, when budget and rate limits allow it."""
        flight = self._admit(upper_bound(request))
        try:
            return self._send(request, flight)
        finally:
            self._settle(flight)

    def _send(self, request: Request, flight: _Flight) -> Record:
        attempt = self._ledger.sent(request, flight.most)
        flight.charge = flight.most  # until more is known
        try:
            completion = self._client.complete(request, self._idempotency_key(request))
        except (UnansweredError, RefusedError, UserError) as error:
            may_be_paid = isinstance(error, UnansweredError) and error.may_be_paid
            self._ledger.failed(attempt, str(error), may_be_paid)
            flight.charge = flight.most if may_be_paid else Tokens()
            self._heed(error)
            if not isinstance(error, RefusedError):
                raise
            completion = self._empty(error)
        else:
            with self._changed:
                self._server.completed()
        record = self._ledger.answered(request, completion, attempt)
        flight.charge = usage(completion.prompt_tokens, completion.completion_tokens) or flight.most
        silent = is_silent(completion)
        with self._changed:
            self._server.check_speaks(request, silent)
        return record

    def _heed(self, error: Exception) -> None:
        """Learns from a failure whether the server is there, and for how long to leave it alone."""
        with self._changed:
            self._server.failed(error)
            self._pace.pause(getattr(error, "retry_after_seconds", None) or 0.0)

    def _empty(self, error: RefusedError) -> Completion:
        """The completion that a refused prompt gets; raises UserError where all are refused."""
        with self._changed:
            self._server.refused(error)
        return Completion("", error.finish_reason, self._client.model, 0, 0)

    def _idempotency_key(self, request: Request) -> str:
        """The same in every process of a run, another in every other run, also of its seed."""
        settings = json.dumps([self._ledger.run_id, self._client.model, asdict(request.parameters)])
        return f"{request.key}-{hashlib.sha256(settings.encode()).hexdigest()[:16]}"

    def _admit(self, most: Tokens) -> _Flight:
        """Waits until a request may be sent, and counts it as in flight."""
        with self._changed:
            while True:
                if self._ended_by is not None:
                    raise self._ended_by
                self._run.check_room()
                if self._budget.covers(self._spent + self._in_flight + most):
                    if (wait := self._pace.wait_seconds()) <= 0:
                        break
                    self._changed.wait(wait)
                elif self._num_in_flight:  # these may cost less than their most
                    self._changed.wait()
                else:
                    raise self._over_budget(most)
            self._pace.take(most.total)
            self._in_flight += most
            self._num_in_flight += 1
        return _Flight(most, charge=Tokens())

    def _over_budget(self, most: Tokens) -> UserError:
        spent, next_ = (Spent(tokens, self._budget.usd(tokens)) for tokens in (self._spent, most))
        return UserError(
            f"{spent} spent, and the next request may take {next_}: that is beyond {self._budget}; "
            "raise it and run it again: it goes on"
        )

    def _settle(self, flight: _Flight) -> None:
        """Replaces the most that a request could cost by what it is charged."""
        with self._changed:
            self._in_flight -= flight.most
            self._num_in_flight -= 1
            self._spent += flight.charge
            self._pace.give_back(flight.most.total - flight.charge.total)
            self._changed.notify_all()

    def _has_reached_server(self) -> bool:
        with self._changed:
            return self._server.was_reached

    def _sleep(self, seconds: float) -> None:
        """Sleeps; returns early when the run ends, which the next attempt will notice."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended_by is not None, seconds)

    def _end(self, error: BaseException) -> None:
        """Stops sending; the first error is the one that is raised."""
        with self._changed:
            self._ended_by = self._ended_by or error
            self._changed.notify_all()

    def _stop(self, number: signal.Signals) -> None:
        """Handles a signal, in the main thread, wherever that is.

        An exception may come between a lock and its release (threading.Condition has such a gap),
        and then no thread could keep its answer. So none is raised here while any is in flight.
        """
        is_interrupt = number == signal.SIGINT
        self._stopped_by = KeyboardInterrupt() if is_interrupt else SystemExit(128 + number)
        self._end(self._stopped_by)
        if not self._num_in_flight:
            raise self._stopped_by

    def _keep_what_comes(self) -> None:
        """Waits for what is in flight, for at most the grace period."""
        if self._num_in_flight:
            log.warning(
                "interrupted: waiting %g s at most for what is in flight (%d); once more ends at "
                "once",
                self._grace_seconds,
                self._num_in_flight,
            )
        with self._changed:
            self._changed.wait_for(lambda: not self._num_in_flight, self._grace_seconds)
