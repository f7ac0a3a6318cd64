"""Sending a request again when the server has not answered, with pauses between the attempts."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import gin
from tenacity import RetryCallState, Retrying, retry_if_exception_type

from tk_instruct.completions import Request, UnansweredError
from tk_instruct.completions.log_directory import Record
from tk_instruct.errors import UserError
from tk_instruct.randomness import draw

log = logging.getLogger("tk_instruct")

_MOST_UNREACHED = 4  # attempts of one request while none has reached the server
_SECONDS_BETWEEN_WARNINGS = 15.0


@gin.configurable(module="tk_instruct")
@dataclass(frozen=True)
class Retries:
    """How often and when one request is sent again.

    The pauses double from the first to the longest; each is shortened at random by up to half. If
    the server asks for a pause longer than the longest, the run ends.
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
        """The pause after the attempt-th failure, from 1 on."""
        longest = min(self.first_pause_seconds * 2.0 ** (attempt - 1), self.longest_pause_seconds)
        return longest * (1 - draw(0, "pause", key, str(attempt)) / 2**65)


class Retrier:
    """Calls attempt(request) until it returns a record; several threads may use it.

    Args:
        sleep: waits for so many seconds, or less once the run ends.
        has_reached: whether any request of the run has reached the server.
        responses: the file that holds the answers, for the message.
    """

    def __init__(
        self,
        retries: Retries,
        attempt: Callable[[Request], Record],
        sleep: Callable[[float], None],
        has_reached: Callable[[], bool],
        responses: Path,
    ) -> None:
        self._retries, self._attempt, self._has_reached = retries, attempt, has_reached
        self._responses = responses
        self._retrying = Retrying(
            retry=retry_if_exception_type(UnansweredError),
            stop=self._gives_up,
            wait=self._pause_seconds,
            sleep=sleep,
            before_sleep=self._say_why,
            reraise=True,
        )
        self._lock = threading.Lock()
        self._next_warning = 0.0

    def record(self, request: Request) -> Record:
        """Raises UserError once the server is given up, and what else an attempt raises."""
        try:
            return self._retrying(self._attempt, request)
        except UnansweredError as error:
            times = self._retrying.statistics["attempt_number"]
            wish = error.retry_after_seconds
            raise UserError(
                f"request {request.key} has not been answered in {times} attempts (the last: "
                f"{error}" + (f"; to be asked again in {wish:g} s" if wish else "") + "); what "
                f"was answered is kept in {self._responses}: run it again later, it goes on"
            ) from error

    def _pause_seconds(self, state: RetryCallState) -> float:
        wish = _failure(state).retry_after_seconds or 0.0
        return max(wish, self._retries.pause_seconds(state.args[0].key, state.attempt_number))

    def _gives_up(self, state: RetryCallState) -> bool:
        failure, retries = _failure(state), self._retries
        most = retries.max_attempts
        if not (failure.was_reached or self._has_reached()):
            most = min(most, _MOST_UNREACHED)
        wish = failure.retry_after_seconds or 0.0
        return state.attempt_number >= most or wish > retries.longest_pause_seconds

    def _say_why(self, state: RetryCallState) -> None:
        """Logs a failure, but not every one, so that the user knows what the run waits for."""
        seconds = state.next_action.sleep if state.next_action else 0.0
        with self._lock:
            if seconds < 1.0 or time.monotonic() < self._next_warning:
                return
            self._next_warning = time.monotonic() + _SECONDS_BETWEEN_WARNINGS
        log.warning("%s: %s; again in %.0f s", state.args[0].key, _failure(state), seconds)


def _failure(state: RetryCallState) -> UnansweredError:
    error = state.outcome.exception() if state.outcome else None
    assert isinstance(error, UnansweredError), error
    return error
