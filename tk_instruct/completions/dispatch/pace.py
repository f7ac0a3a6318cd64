"""When the next request may be sent: the server's rate limits, and the pauses that it asks for."""

import time
from dataclasses import asdict, dataclass

import gin

from tk_instruct.errors import UserError


@gin.configurable(module="tk_instruct")
@dataclass(frozen=True)
class RateLimit:
    """The most that a server allows, spaced evenly over the minute; None: no limit.

    A request counts with the most tokens that it can take, until its answer gives the number.
    """

    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value is not None and not value > 0:
                raise UserError(f"RateLimit.{name}={value:g} must be above 0; None: no limit")


class Pace:
    """Keeps a rate limit; one thread at a time may use it."""

    def __init__(self, limit: RateLimit) -> None:
        self._requests = _Clock(limit.requests_per_minute)
        self._tokens = _Clock(limit.tokens_per_minute)
        self._paused_until = time.monotonic()

    def wait_seconds(self) -> float:
        """How long until a request may be sent; 0 or less: now."""
        return max(self._requests.next, self._tokens.next, self._paused_until) - time.monotonic()

    def take(self, tokens: int) -> None:
        """Counts a request that is sent, with the most tokens that it can take."""
        self._requests.take(1)
        self._tokens.take(tokens)

    def give_back(self, tokens: int) -> None:
        """Tokens that a request was counted with and did not take."""
        self._tokens.give_back(tokens)

    def pause(self, seconds: float) -> None:
        """Sends nothing for so many seconds from now."""
        self._paused_until = max(self._paused_until, time.monotonic() + seconds)


class _Clock:
    """The time at which the next request, or token, may be sent; per_minute None: no limit."""

    def __init__(self, per_minute: float | None) -> None:
        self._seconds = 60 / per_minute if per_minute else 0.0
        self.next = time.monotonic()

    def take(self, count: int) -> None:
        self.next = max(self.next, time.monotonic()) + count * self._seconds

    def give_back(self, count: int) -> None:
        self.next -= count * self._seconds
