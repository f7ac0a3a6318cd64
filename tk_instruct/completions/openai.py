"""Clients for servers that speak OpenAI's protocol: /completions or /chat/completions."""

import math
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Annotated, Any
from urllib.parse import urlsplit

import gin
import msgspec

from tk_instruct import schema
from tk_instruct.completions import (
    FRAME_TOKENS,
    Completion,
    Parameters,
    RefusedError,
    Request,
    UnansweredError,
)
from tk_instruct.errors import UserError

_MAY_SUCCEED_LATER = {408, 409, 425, 429}  # and every status from 500 on
# With these statuses nothing is charged. With others, such as a gateway's 502 and 504, the model
# may have done the work.
_NOT_PAID = {425, 429, 500, 503}
_NOT_REACHED = {"ConnectError", "ConnectTimeout", "ProxyError"}
_NEVER_SENT = {*_NOT_REACHED, "PoolTimeout"}
# Codes or types of errors that refuse one prompt: OpenAI's, Azure's and llama.cpp's.
_REFUSALS = (
    "content_filter",
    "content_policy_violation",
    "invalid_prompt",
    _TOO_LONG := "context_length_exceeded",
    "exceed_context_size_error",
)
_SAYS_TOO_LONG = re.compile(
    r"maximum (context|model) length|model's context length|context size", re.IGNORECASE
)


_MOST_TOKENS = 10**9  # of a request; a larger number is an error of the server


class _LogProbabilities(msgspec.Struct, frozen=True):
    """Of each token of the prompt and of the completion, and where in the text it begins."""

    token_logprobs: list[float | None]
    text_offset: list[int]


class _Choice(msgspec.Struct, frozen=True):
    text: str | None
    finish_reason: Any = None
    logprobs: Any = None

    @property
    def said(self) -> str:
        return self.text or ""  # None: the server has filtered the whole text


class _Part(msgspec.Struct, frozen=True):
    """A part of a message; parts of other types, such as reasoning, have no text."""

    type: Any = "text"
    text: Any = None


class _Message(msgspec.Struct, frozen=True):
    """Reasoning in a field of its own is not read."""

    content: str | list[_Part | str] | None = None


class _ChatChoice(msgspec.Struct, frozen=True):
    message: _Message
    finish_reason: Any = None

    @property
    def said(self) -> str:
        content = self.message.content
        if isinstance(content, list):
            parts = [part for part in content if isinstance(part, str) or part.type in _TEXTS]
            texts = [part if isinstance(part, str) else part.text for part in parts]
            return "".join(text for text in texts if isinstance(text, str))
        return content or ""  # None: all of it was filtered, or was reasoning


_TEXTS = ("text", "output_text")


class _Completions(msgspec.Struct, frozen=True):
    choices: Annotated[list[_Choice], msgspec.Meta(min_length=1)]
    usage: Any = None
    model: Any = None


class _Chat(msgspec.Struct, frozen=True):
    choices: Annotated[list[_ChatChoice], msgspec.Meta(min_length=1)]
    usage: Any = None
    model: Any = None


class _OpenAI(ABC):
    """A model of the server at base_url (None: $OPENAI_BASE_URL, else OpenAI).

    The key is read from the environment variable, sent to base_url and written nowhere. A server
    of your own needs none. timeout_seconds: how long the server may send nothing.
    """

    def __init__(
        self,
        model: str,
        base_url: str | None = None,
        api_key_variable: str = "OPENAI_API_KEY",
        timeout_seconds: float = 120.0,
    ) -> None:
        self.model, self.api_key_variable = model, api_key_variable
        base_url = base_url or os.environ.get("OPENAI_BASE_URL") or None
        if base_url is not None:
            self._check(base_url)
        key = os.environ.get(api_key_variable, "").strip()
        if not key and base_url is None:
            raise UserError(
                f"{api_key_variable} is not set, and OpenAI wants a key; export "
                f"{api_key_variable}=…, or give base_url for another server"
            )
        if not (key.isascii() and key.isprintable()):
            raise UserError(
                f"{api_key_variable} holds what no key has (a line break, a letter that is not "
                "ASCII); export it again"
            )
        try:
            import openai
        except ImportError as error:
            raise UserError(
                f"{type(self).__name__} needs the package openai; pip install "
                "'tk_instruct[generate]'"
            ) from error
        self._server = openai.OpenAI(
            api_key=key or "no-key-is-needed",
            base_url=base_url,
            timeout=openai.Timeout(timeout_seconds, connect=min(timeout_seconds, 20.0)),
            max_retries=0,
        )

    def _check(self, base_url: str) -> None:
        url = urlsplit(base_url)
        if url.username or url.password:
            raise UserError(
                "base_url must not hold a password, which would be written down; export it as "
                f"{self.api_key_variable}"
            )
        if url.scheme not in ("http", "https") or not url.hostname:
            raise UserError(f"base_url={base_url!r} must be http://HOST:PORT/v1 or https://HOST/v1")

    def complete(self, request: Request, idempotency_key: str) -> Completion:
        import openai

        arguments = {
            "model": self.model,
            **_sampling(request.parameters),
            **self._arguments(_sendable(request.prompt), request.parameters),
            **(self._scoring() if request.scored_from is not None else {}),
            "extra_headers": {"Idempotency-Key": idempotency_key},
        }
        # Raised after the `except` block, so that no chain of exceptions leads to the request,
        # which holds the key.
        try:
            content = self._send(arguments)
        except openai.APIStatusError as error:
            failed = self._failed(error.response, error.body, request)
        except openai.APIConnectionError as error:
            failed = self._disconnected(error)
        else:
            return self._completion(content, request)
        raise failed

    def close(self) -> None:
        self._server.close()

    @abstractmethod
    def _arguments(self, prompt: str, parameters: Parameters) -> dict[str, Any]: ...

    @abstractmethod
    def _send(self, arguments: dict[str, Any]) -> bytes: ...

    @abstractmethod
    def _scoring(self) -> dict[str, Any]:
        """The arguments by which the prompt is scored. Raises UserError if that cannot be."""

    def _completion(self, content: bytes, request: Request) -> Completion:
        """The completion in an answer's bytes; only its text is required.

        Raises UnansweredError for an answer without a completion: it may have to be paid. Raises
        UserError where the prompt was to be scored and the server has not done it.
        """
        try:
            answer = schema.parse(content, self._schema, "answer")
        except UserError:
            beginning = self._scrubbed(content[:2000].decode("utf-8", "replace"))
        else:
            choice, usage = answer.choices[0], answer.usage
            usage = usage if isinstance(usage, dict) else {}
            reason = choice.finish_reason
            reason = reason if isinstance(reason, str) and reason else "unknown"
            scores = {} if request.scored_from is None else _scores(choice, request, self.model)
            return Completion(
                **scores,
                text=choice.said,
                finish_reason="length" if reason.lower() in _AT_LENGTH else reason,
                model=answer.model if isinstance(answer.model, str) else self.model,
                prompt_tokens=_count(usage, "prompt_tokens"),
                completion_tokens=_count(usage, "completion_tokens"),
            )
        raise UnansweredError(f"an answer that is no completion: {beginning}", may_be_paid=True)

    _schema: type[Any]

    def _disconnected(self, error: Exception) -> UnansweredError:
        cause = type(error.__cause__ or error).__name__
        reason = self._scrubbed(f"{cause}: {error.__cause__ or error}")
        return UnansweredError(
            reason, may_be_paid=cause not in _NEVER_SENT, was_reached=cause not in _NOT_REACHED
        )

    def _failed(self, response: Any, body: object, request: Request) -> Exception:
        status = response.status_code
        fields = body if isinstance(body, Mapping) else {}
        codes = [fields.get("code"), fields.get("type")]
        said = self._scrubbed(f"{status} {fields.get('message') or response.text}")
        if status in (400, 422):
            refusals = [code for code in _REFUSALS if code in codes]
            if not refusals and _SAYS_TOO_LONG.search(said):
                refusals = [_TOO_LONG]
            if refusals:
                return RefusedError(said, refusals[0])
        if "insufficient_quota" in codes or status == 402:
            return UserError(
                f"the account for {self.model} is used up ({said}); add credit and {_ON}"
            )
        if status in _MAY_SUCCEED_LATER or status >= 500:
            wait = _retry_after(response.headers)
            wait = 1.0 if wait is None and status == 429 else wait
            return UnansweredError(said, status not in _NOT_PAID, wait)
        if status == 401:
            return UserError(
                f"the server refuses the key in {self.api_key_variable} (401); export the right "
                f"one and {_ON}"
            )
        if status == 403:
            return UserError(
                f"the key in {self.api_key_variable} may not use {self.model} ({said})"
            )
        if status == 404:
            return UserError(
                f"the server does not have {self.model!r}, or not for {type(self).__name__} "
                f"({said}); correct model, base_url or client"
            )
        return UserError(
            f"the server refuses the request ({said}); {self._repair(said, fields, request)}, and "
            f"{_ON}"
        )

    def _repair(self, said: str, fields: Mapping[str, Any], request: Request) -> str:
        """How to change the gin parameter that a server refuses."""
        name = _refused_parameter(said, fields)
        if request.repairs:
            known = "max_tokens" if name == "max_completion_tokens" else name or ""
            return request.repairs.get(known, "take another model or server")
        parameter = f"{request.scope}/Parameters.{name}"
        value = getattr(request.parameters, name or "", None)
        if name in ("max_tokens", "max_completion_tokens"):
            if not _SAYS_UNSUPPORTED.search(f"{said} {fields.get('code')}"):
                most = request.parameters.max_tokens
                return f"set {request.scope}/Parameters.max_tokens, now {most}, to what it allows"
            other = "max_completion_tokens" if name == "max_tokens" else "max_tokens"
            chat = "" if isinstance(self, OpenAIChat) else "take --api=chat and "
            return f"{chat}set --gin.OpenAIChat.max_tokens_name={other}; {_PRESETS}"
        if name == "top_p" and not value:
            return (
                f"set --gin.{parameter}=None: some servers want top_p above 0; temperature 0 does "
                "without it"
            )
        if name:
            return (
                f"set --gin.{parameter}=None, which leaves {name} (now {value!r}) out; {_PRESETS}"
            )
        return f"correct the parameters of this stage ({request.scope}/Parameters) in gin"

    def _scrubbed(self, text: str) -> str:
        """A text of the server as one short line, without the key."""
        key = self._server.api_key
        if len(key) > 3:  # a local server's placeholder may be a single letter
            text = text.replace(key, "[key]")
        return " ".join(text.split())[:300]


_ON = "run it again: it goes on"
_PRESETS = (
    "--gin_file=servers/reasoning.gin does so for all stages, for models that reason, and "
    "--gin_file=servers/chat.gin has what other chat models want"
)
_AT_LENGTH = {"length", "max_tokens", "max_output_tokens", "model_length", "token_limit"}
_PARAMETERS = (
    "max_completion_tokens",
    "max_tokens",
    "temperature",
    "top_p",
    "presence_penalty",
    "frequency_penalty",
    "stop",
)
_SAYS_UNSUPPORTED = re.compile(
    r"unsupported|not (?:be )?(?:supported|allowed|permitted)|does(?: not|n't) support|"
    r"unrecognized|unexpected|unknown|extra|deprecated|instead",
    re.IGNORECASE,
)
_LONGEST_LEAD_BYTES = FRAME_TOKENS // 2


@gin.configurable(module="tk_instruct")
class OpenAICompletions(_OpenAI):
    """A model that continues the prompt (/completions), as in the paper."""

    _schema = _Completions

    def _arguments(self, prompt: str, parameters: Parameters) -> dict[str, Any]:
        return {
            "prompt": prompt,
            "max_tokens": parameters.max_tokens,
            **_stop(parameters.stop),
        }

    def _scoring(self) -> dict[str, Any]:
        return {"echo": True, "logprobs": 1, "max_tokens": 1}

    def _send(self, arguments: dict[str, Any]) -> bytes:
        return self._server.completions.with_raw_response.create(**arguments).content


@gin.configurable(module="tk_instruct")
class OpenAIChat(_OpenAI):
    """A model that answers the prompt as a user's message (/chat/completions).

    max_tokens_name: the name under which max_tokens is sent; some models want
        max_completion_tokens.
    lead: a line before the prompt that asks for a continuation; "": no such line. It is not a
        system message, because some models take none.
    """

    _schema = _Chat

    def __init__(
        self,
        model: str,
        base_url: str | None = None,
        api_key_variable: str = "OPENAI_API_KEY",
        timeout_seconds: float = 120.0,
        max_tokens_name: str = "max_tokens",
        lead: str = "Continue the following text exactly where it ends, and say nothing else.",
    ) -> None:
        if len(lead.encode()) > _LONGEST_LEAD_BYTES:
            raise UserError(
                f"OpenAIChat.lead has {len(lead.encode())} bytes and may have "
                f"{_LONGEST_LEAD_BYTES}, as budgets count it; shorten it"
            )
        super().__init__(model, base_url, api_key_variable, timeout_seconds)
        self.max_tokens_name, self.lead = max_tokens_name, lead

    def _arguments(self, prompt: str, parameters: Parameters) -> dict[str, Any]:
        content = f"{self.lead}\n\n{prompt}" if self.lead else prompt
        return {
            "messages": [{"role": "user", "content": content}],
            self.max_tokens_name: parameters.max_tokens,
            # A chat model may begin with a line of its own, which a line break would end.
            **_stop([end for end in parameters.stop or () if end.strip()]),
        }

    def _scoring(self) -> dict[str, Any]:
        raise UserError(
            "--api=chat gives no log-probabilities of a text that is not its own; give "
            "--api=completions, of a server that has it"
        )

    def _send(self, arguments: dict[str, Any]) -> bytes:
        return self._server.chat.completions.with_raw_response.create(**arguments).content


def _scores(choice: _Choice, request: Request, model: str) -> dict[str, Any]:
    """The summed log-probability of the prompt's tokens from `scored_from` on, and their number.

    A token that begins before and ends after it counts too. Raises UserError if the server gave no
    log-probabilities of the prompt's tokens.
    """
    start, stop = request.scored_from or 0, len(request.prompt)
    try:
        if not choice.said.startswith(_sendable(request.prompt)):
            raise ValueError("the prompt does not come back")
        found = msgspec.convert(choice.logprobs, _LogProbabilities)
        ends = [*found.text_offset[1:], stop]
        chosen = [
            value
            for begin, end, value in zip(found.text_offset, ends, found.token_logprobs, strict=True)
            if begin < stop and end > start
        ]
        if not chosen or None in chosen:
            raise ValueError("a token has none")
    except (msgspec.ValidationError, ValueError) as error:
        raise UserError(
            f"the server of {model} gives no log-probabilities of a prompt's tokens ({error}), and "
            "options are ranked by them; let it generate (`tk-instruct predict`), or take a server "
            "that has `echo` with `logprobs`, such as vLLM"
        ) from None
    scores = [value for value in chosen if value is not None]
    return {"log_probability": math.fsum(scores), "scored_tokens": len(scores)}


def _sampling(parameters: Parameters) -> dict[str, Any]:
    """Sampling parameters; those at OpenAI's defaults too, since other servers have others."""
    sent: dict[str, Any] = {}
    if parameters.temperature is not None:
        sent["temperature"] = parameters.temperature
    # At temperature 0 top_p changes nothing, and vLLM refuses the published top_p of 0.
    if parameters.temperature != 0 and parameters.top_p is not None:
        sent["top_p"] = parameters.top_p
    # Every known server's default is no penalty, and some models refuse penalties of any value.
    for name in ("presence_penalty", "frequency_penalty"):
        if value := getattr(parameters, name):
            sent[name] = value
    return sent


def _stop(sequences: Sequence[str] | None) -> dict[str, Any]:
    return {"stop": list(sequences)} if sequences else {}


def _refused_parameter(said: str, fields: Mapping[str, Any]) -> str | None:
    """The parameter that an error of the server names: in `param`, or in its text."""
    if fields.get("param") in _PARAMETERS:
        return str(fields["param"])
    words = {name: re.search(rf"(?<![\w]){name}(?![\w])", said) for name in _PARAMETERS}
    found = {name: word.start() for name, word in words.items() if word}
    if "stop" in found and not re.search(r"[\"'`]stop[\"'`]", said):
        del found["stop"]
    return min(found, key=lambda name: found[name], default=None)


def _sendable(prompt: str) -> str:
    """Replaces half a surrogate pair, which is not valid Unicode, by U+FFFD."""
    return prompt.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _count(usage: Mapping[str, Any], name: str) -> int | None:
    count = usage.get(name)
    if isinstance(count, bool) or not isinstance(count, int):
        return None
    return count if 0 <= count <= _MOST_TOKENS else None


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait: from `retry-after`, a number or a date, or OpenAI's `retry-after-ms`."""
    try:
        if "retry-after-ms" in headers:
            seconds = float(headers["retry-after-ms"]) / 1000
        else:
            seconds = float(headers.get("retry-after", ""))
    except ValueError:
        try:
            seconds = (
                parsedate_to_datetime(headers["retry-after"]) - datetime.now(UTC)
            ).total_seconds()
        except (KeyError, ValueError, TypeError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None
