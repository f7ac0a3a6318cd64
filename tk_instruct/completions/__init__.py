"""Requests to language models and their answers, which are paid for: what clients must do.

`openai` is the client of servers. `dispatch` sends requests within a budget, and `log_directory`
keeps them and the answers on disk.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import gin

from tk_instruct.errors import UserError
from tk_instruct.ranges import check_number, check_whole

FRAME_TOKENS = 256  # the most tokens that a client and a chat template may add to a prompt


@gin.configurable(module="values.tk_instruct")
@dataclass(frozen=True)
class Parameters:
    """The parameters of a request, with the names and meanings of OpenAI's completions.

    max_tokens is of the completion. temperature 0 takes the likeliest token each time, whatever
    top_p. A parameter that is None is not sent: the server has a default, or does not know the
    parameter. If stop is None, answers are cut at the published stop sequences after they arrive.
    """

    max_tokens: int
    temperature: float | None = 0.0
    top_p: float | None = 1.0
    presence_penalty: float | None = 0.0
    frequency_penalty: float | None = 0.0
    stop: tuple[str, ...] | None = ()

    def __post_init__(self) -> None:
        # It cannot be left out: budgets count with it.
        check_whole("Parameters.max_tokens", self.max_tokens, 1, 10**7)
        for name, interval, try_ in (
            ("temperature", "[0, 100]", "0, which takes the likeliest, or None"),
            ("top_p", "[0, 1]", "1, which leaves no token out, or None"),
            ("presence_penalty", "[-100, 100]", "0 or None"),
            ("frequency_penalty", "[-100, 100]", "0 or None"),
        ):
            if getattr(self, name) is not None:
                check_number(f"Parameters.{name}", getattr(self, name), interval, try_)
        if self.stop is not None:
            if isinstance(self.stop, str) or not all(
                isinstance(each, str) and each for each in self.stop
            ):
                raise UserError(
                    f"Parameters.stop={self.stop!r:.60} must be texts that are not empty; "
                    "try ('\\n',) or None"
                )
            object.__setattr__(self, "stop", tuple(self.stop))


@dataclass(frozen=True)
class Request:
    """A prompt to complete, the index-th of its stage.

    parameters_scope: the gin scope of its Parameters, if that is not the stage's name.
    scored_from: if given, the prompt is not completed: the answer is the log-probability of its
        text from this character on, and max_tokens is 1, as servers want at least that.
    repairs: name of a parameter → what to do if it is refused or too small, where that is not gin.
    """

    stage: str
    index: int
    prompt: str
    parameters: Parameters
    parameters_scope: str = ""
    scored_from: int | None = None
    repairs: Mapping[str, str] = field(default_factory=dict, hash=False, compare=False)

    @property
    def scope(self) -> str:
        return self.parameters_scope or self.stage

    @property
    def prompt_sha256(self) -> str:
        return hashlib.sha256(self.prompt.encode("utf-8", "surrogatepass")).hexdigest()

    @property
    def key(self) -> str:
        """The identity of the request in a run: requests with the same key are the same."""
        scored = "" if self.scored_from is None else f"-{self.scored_from}"
        return f"{self.stage}-{self.index:06}-{self.prompt_sha256[:16]}{scored}"


@dataclass(frozen=True)
class Completion:
    """A model's answer, without the prompt and without the stop sequence that ended it.

    finish_reason is "length" if max_tokens ended it, "stop" if the model did, else the server's
    word ("content_filter"). The numbers of tokens are the server's, None if it gave none.
    log_probability is that of a prompt that was to be scored, and scored_tokens their number.
    """

    text: str
    finish_reason: str
    model: str
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    log_probability: float | None = None
    scored_tokens: int | None = None


def before_stop(text: str, stop: Iterable[str] | None) -> str:
    """The text before the first stop sequence in it; the whole text if there is none."""
    ends = [text.find(end) for end in stop or () if end in text]
    return text[: min(ends, default=len(text))]


class UnansweredError(Exception):
    """A request that failed, and may succeed when it is sent again.

    may_be_paid: the server may have done the work (the connection broke off during the answer).
    retry_after_seconds: the pause that the server asks for.
    was_reached: False if no server could be reached.
    """

    def __init__(
        self,
        reason: str,
        may_be_paid: bool,
        retry_after_seconds: float | None = None,
        was_reached: bool = True,
    ) -> None:
        super().__init__(reason)
        self.may_be_paid = may_be_paid
        self.retry_after_seconds = retry_after_seconds
        self.was_reached = was_reached


class RefusedError(Exception):
    """A prompt that the server will never complete, and charges nothing for; others may succeed.

    It counts as answered by an empty text with this finish_reason.
    """

    def __init__(self, reason: str, finish_reason: str) -> None:
        super().__init__(reason)
        self.finish_reason = finish_reason


class Client(Protocol):
    """Completes prompts; several threads may call it at once."""

    model: str
    """Its name, for the record."""

    def complete(self, request: Request, idempotency_key: str) -> Completion:
        """Raises UnansweredError if the same request may succeed later, RefusedError if only other
        prompts may, UserError if none will.

        A request that is sent again has the same idempotency_key. A server that knows such keys
        then does not do the work, or charge for it, a second time.
        """
        ...

    def close(self) -> None:
        """Frees what the client holds; it is not called again."""
        ...
