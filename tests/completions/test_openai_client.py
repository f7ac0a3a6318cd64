"""What is sent to a server that speaks OpenAI's protocol, and what its answers mean."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import gin
import pytest

from tk_instruct.completions import (
    Completion,
    Parameters,
    RefusedError,
    Request,
    UnansweredError,
)
from tk_instruct.completions.openai import OpenAIChat, OpenAICompletions
from tk_instruct.errors import UserError

KEY = "sk-secret-5up3r"
PUBLISHED = Parameters(
    1024, temperature=0.7, top_p=0.5, presence_penalty=2.0, stop=("\n\n", "\n16", "16.", "16 .")
)
USAGE = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}


class Canned:
    """A server that gives one answer to everything, and keeps what it was asked."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.status, self.headers, self.body = 200, dict[str, str](), b""
        self.seconds = 0.0
        self.asked: list[tuple[str, dict[str, str], dict[str, Any]]] = []

    def says(self, body: Any, status: int = 200, **headers: str) -> None:
        self.status, self.headers = status, headers
        self.body = body if isinstance(body, bytes) else json.dumps(body).encode()


@pytest.fixture(scope="module")
def server() -> Iterator[Canned]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            headers = {name.lower(): value for name, value in self.headers.items()}
            canned.asked.append((self.path, headers, body))
            time.sleep(canned.seconds)
            self.send_response(canned.status)
            self.send_header("Content-Type", "application/json")
            for name, value in canned.headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(canned.body)

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    canned = Canned(f"http://127.0.0.1:{http.server_address[1]}/v1")
    threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True).start()
    yield canned
    http.shutdown()
    http.server_close()


@pytest.fixture(autouse=True)
def _clean(server: Canned, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    server.asked.clear()
    server.seconds = 0.0
    server.says({"model": "m-1", "choices": [choice("yes")], "usage": USAGE})


def choice(text: str | None, finish_reason: str | None = "stop", **more: Any) -> dict[str, Any]:
    """For both protocols."""
    said = {"text": text, "message": {"role": "assistant", "content": text}}
    return {"index": 0, "finish_reason": finish_reason, **said, **more}


def request(prompt: str = "why?", parameters: Parameters = PUBLISHED) -> Request:
    return Request("instructions", 0, prompt, parameters)


def complete(server: Canned, **settings: Any) -> Completion:
    return OpenAICompletions("m", server.url, **settings).complete(request(), "k-1")


def test_what_is_sent_to_be_continued(server: Canned) -> None:
    assert complete(server) == Completion("yes", "stop", "m-1", 7, 2)
    [(path, headers, body)] = server.asked
    assert path == "/v1/completions"
    assert headers["authorization"] == f"Bearer {KEY}"
    assert headers["idempotency-key"] == "k-1"
    assert body == {
        "model": "m",
        "prompt": "why?",
        "max_tokens": 1024,
        "temperature": 0.7,
        "top_p": 0.5,
        "presence_penalty": 2.0,
        "stop": ["\n\n", "\n16", "16.", "16 ."],
    }


def test_what_is_sent_to_a_chat(server: Canned) -> None:
    greedy = request(parameters=Parameters(3, top_p=0.0))
    answer = OpenAIChat("m", server.url).complete(greedy, "k-2")
    assert answer == Completion("yes", "stop", "m-1", 7, 2)
    [(path, headers, body)] = server.asked
    assert path == "/v1/chat/completions"
    assert headers["idempotency-key"] == "k-2"
    assert body == {
        "model": "m",
        "messages": [
            {
                "role": "user",
                "content": "Continue the following text exactly where it ends, and say nothing "
                "else.\n\nwhy?",
            }
        ],
        "max_tokens": 3,
        "temperature": 0.0,
    }
    other = OpenAIChat("m", server.url, max_tokens_name="max_completion_tokens", lead="")
    other.complete(greedy, "k")
    assert server.asked[1][2]["max_completion_tokens"] == 3
    assert "max_tokens" not in server.asked[1][2]
    assert server.asked[1][2]["messages"] == [{"role": "user", "content": "why?"}]
    with pytest.raises(UserError, match=r"lead has 130 bytes and may have 128, .*; shorten it"):
        OpenAIChat("m", server.url, lead="é" * 65)


@pytest.mark.parametrize(
    ("parameters", "sent"),
    [
        # Servers have defaults of their own for these.
        (Parameters(3, temperature=1, top_p=1), {"temperature": 1, "top_p": 1}),
        # vLLM takes no top_p of 0.
        (Parameters(3, top_p=0, presence_penalty=1.5), {"temperature": 0, "presence_penalty": 1.5}),
        (Parameters(3, frequency_penalty=-1), {"temperature": 0, "frequency_penalty": -1}),
    ],
)
def test_what_is_sent_of_sampling(
    server: Canned, parameters: Parameters, sent: dict[str, Any]
) -> None:
    OpenAICompletions("m", server.url).complete(request(parameters=parameters), "k")
    [(_, _, body)] = server.asked
    assert body == {"model": "m", "prompt": "why?", "max_tokens": 3, **sent}


def test_settings_come_from_gin(server: Canned) -> None:
    gin.parse_config(
        f"OpenAIChat.model = 'local'\nOpenAIChat.base_url = '{server.url}'\n"
        "OpenAIChat.max_tokens_name = 'max_completion_tokens'"
    )
    assert OpenAIChat().model == "local"


def test_texts_that_are_not_unicode(server: Canned) -> None:
    server.says(rb'{"choices": [{"finish_reason": "stop", "text": "half \ud800\u0000"}]}')
    client = OpenAICompletions("m", server.url)
    assert client.complete(request("a \ud800 \ud83d\ude00"), "k").text == "half \ufffd\0"
    assert server.asked[0][2]["prompt"] == "a \ufffd \U0001f600"


@pytest.mark.parametrize(
    ("answer", "completion"),
    [
        ({"choices": [choice("yes")]}, Completion("yes", "stop", "m")),
        ({"choices": [choice("y", "length")], "usage": None}, Completion("y", "length", "m")),
        ({"choices": [choice("", "eos")], "usage": {}}, Completion("", "eos", "m")),
        ({"choices": [choice(None, "content_filter")]}, Completion("", "content_filter", "m")),
        ({"choices": [choice("y", None)]}, Completion("y", "unknown", "m")),
    ],
)
def test_unusual_answers(server: Canned, answer: Any, completion: Completion) -> None:
    server.says(answer)
    assert complete(server) == completion
    assert OpenAIChat("m", server.url).complete(request(), "k") == completion


@pytest.mark.parametrize(
    "answer",
    [
        {"choices": []},
        {"error": {"message": "upstream is busy"}},
        {"choices": [choice(3)]},  # type: ignore[arg-type]
        {"choices": None},
        {"choices": [None]},
        b'{"choices": [{"text": "\xff", "message": {"content": "\xff"}}]}',
        b"[" * 100_000,
        ["choices"],
        {"choices": [{"finish_reason": "stop"}]},
        b"<html>login</html>",
        b"",
        b'{"choices": [{"te',
    ],
)
def test_what_is_no_completion_may_have_cost(server: Canned, answer: Any) -> None:
    server.says(answer)
    for client in OpenAICompletions("m", server.url), OpenAIChat("m", server.url):
        with pytest.raises(UnansweredError, match="an answer that is no completion") as error:
            client.complete(request(), "k")
        assert error.value.may_be_paid
        assert error.value.__context__ is None


def failure(code: str, message: str = "no") -> dict[str, Any]:
    return {"error": {"message": message, "type": code, "code": code, "param": None}}


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        (429, {"Retry_After": "2"}, 2.0),
        (429, {"Retry_After": "0.25"}, 0.25),
        (429, {"retry_after_ms": "1500", "Retry_After": "9"}, 1.5),
        (429, {"Retry_After": "-3"}, 0.0),
        (429, {"Retry_After": "soon"}, 1.0),
        (429, {"Retry_After": "inf"}, 1.0),
        (429, {}, 1.0),
        (503, {"Retry_After": "7"}, 7.0),
        (500, {}, None),
        (425, {}, None),
    ],
)
def test_what_may_succeed_later_is_not_paid(
    server: Canned, status: int, headers: dict[str, str], seconds: float | None
) -> None:
    server.says(failure("busy", f"wait, {KEY}"), status, **headers)
    with pytest.raises(UnansweredError) as error:
        complete(server)
    assert not error.value.may_be_paid
    assert error.value.was_reached
    assert error.value.retry_after_seconds == seconds
    assert str(error.value) == f"{status} wait, [key]"
    assert error.value.__context__ is None


@pytest.mark.parametrize("status", [408, 409, 502, 504, 520, 524])
def test_what_a_gateway_says_may_have_cost(server: Canned, status: int) -> None:
    server.says(b"<html>timeout</html>", status, Retry_After="3")
    with pytest.raises(UnansweredError) as error:
        complete(server)
    assert error.value.may_be_paid
    assert error.value.retry_after_seconds == 3


def test_a_pause_until_a_date(server: Canned) -> None:
    until = datetime.now(UTC) + timedelta(seconds=30)
    server.says(failure("busy"), 429, Retry_After=format_datetime(until, usegmt=True))
    with pytest.raises(UnansweredError) as error:
        complete(server)
    assert 25 < (error.value.retry_after_seconds or 0) <= 30


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (400, "invalid", r"refuses the request \(400 \[key\] no\); correct the parameters"),
        (422, "invalid", r"refuses the request \(422 \[key\] no\); correct the parameters"),
        (400, "unsupported_parameter", r"refuses the request .*; correct the parameters"),
        (413, "", r"refuses the request \(413"),
        (401, "", r"refuses the key in OPENAI_API_KEY \(401\); export the right one and run"),
        (403, "", r"the key in OPENAI_API_KEY may not use m \(403 \[key\] no\)"),
        (404, "", r"does not have 'm', or not for OpenAICompletions .*; correct model, base_url"),
        (402, "", r"the account for m is used up .*; add credit and run it again: it goes on"),
        (429, "insufficient_quota", r"the account for m is used up \(429 \[key\] no\); add credit"),
    ],
)
def test_what_is_refused_is_not_asked_again(
    server: Canned, status: int, code: str, message: str
) -> None:
    server.says(failure(code, f"{KEY} no"), status, Retry_After="1")
    with pytest.raises(UserError, match=message) as error:
        complete(server)
    assert KEY not in str(error.value)
    assert error.value.__context__ is None
    assert len(server.asked) == 1


def test_a_server_that_refuses_top_p_0_is_explained(server: Canned) -> None:
    server.says(failure("invalid", "top_p must be in (0, 1]"), 400)
    sampled = request(parameters=Parameters(3, temperature=0.7, top_p=0))
    with pytest.raises(UserError, match=r"some servers want top_p above 0; temperature 0 does"):
        OpenAICompletions("m", server.url).complete(sampled, "k")


TOO_LONG = "context_length_exceeded"


@pytest.mark.parametrize(
    ("status", "error", "finish_reason"),
    [
        (400, {"code": "content_filter"}, "content_filter"),
        (400, {"code": "invalid_prompt", "type": "invalid_request_error"}, "invalid_prompt"),
        (400, {"code": None, "type": "content_policy_violation"}, "content_policy_violation"),
        (422, {"code": TOO_LONG}, TOO_LONG),
        (
            400,
            {
                "message": "This model's maximum context length is 2048 tokens. However, you "
                "requested 3000 tokens",
                "code": 400,
                "type": "BadRequestError",
            },
            TOO_LONG,
        ),
        (400, {"message": "the request exceeds the available context size"}, TOO_LONG),
    ],
)
def test_one_prompt_is_refused(
    server: Canned, status: int, error: dict[str, Any], finish_reason: str
) -> None:
    server.says({"error": {"message": f"{KEY} no", **error}}, status)
    with pytest.raises(RefusedError) as refused:
        complete(server)
    assert refused.value.finish_reason == finish_reason
    assert KEY not in str(refused.value)
    assert refused.value.__context__ is None


def test_silence_may_have_cost(server: Canned) -> None:
    server.seconds = 0.5
    with pytest.raises(UnansweredError, match="ReadTimeout") as error:
        complete(server, timeout_seconds=0.1)
    assert error.value.may_be_paid


def test_a_server_that_is_not_there_costs_nothing(unused_port: int) -> None:
    client = OpenAICompletions("m", f"http://127.0.0.1:{unused_port}/v1")
    with pytest.raises(UnansweredError, match=r"ConnectError: .*refused") as error:
        client.complete(request(), "k")
    assert not error.value.may_be_paid
    assert not error.value.was_reached


@pytest.fixture
def unused_port() -> int:
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as http:
        return http.server_address[1]


def test_a_server_of_ones_own_needs_no_key(server: Canned, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    assert complete(server).text == "yes"
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    assert OpenAICompletions("m").complete(request(), "k").text == "yes"
    monkeypatch.setenv("OTHER_KEY", " other\n")
    assert complete(server, api_key_variable="OTHER_KEY").text == "yes"
    assert server.asked[2][1]["authorization"] == "Bearer other"


@pytest.mark.parametrize("client", [OpenAICompletions, OpenAIChat])
def test_openai_needs_a_key(client: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(UserError, match=r"OPENAI_API_KEY is not set, .* export OPENAI_API_KEY=…"):
        client("m")
    for impossible in ("sk-\nsecret", "sk-sécret"):
        monkeypatch.setenv("OPENAI_API_KEY", impossible)
        with pytest.raises(UserError, match="OPENAI_API_KEY holds what no key has") as error:
            client("m")
        assert "cret" not in str(error.value)


def test_addresses_that_make_no_sense() -> None:
    for url in ("localhost:8000", "ftp://h/v1", "http:///v1"):
        with pytest.raises(UserError, match=r"must be http://HOST:PORT/v1 or https://HOST/v1"):
            OpenAICompletions("m", url)
    with pytest.raises(UserError, match="must not hold a password") as error:
        OpenAICompletions("m", "https://me:hidden@host/v1")
    assert "hidden" not in str(error.value)


NONE = Parameters(9, None, None, None, None, None)


def test_what_is_none_is_left_out(server: Canned) -> None:
    chat = OpenAIChat("m", server.url, max_tokens_name="max_completion_tokens", lead="")
    chat.complete(request(parameters=NONE), "k")
    OpenAICompletions("m", server.url).complete(request(parameters=NONE), "k")
    assert [body for _, _, body in server.asked] == [
        {
            "model": "m",
            "messages": [{"role": "user", "content": "why?"}],
            "max_completion_tokens": 9,
        },
        {"model": "m", "prompt": "why?", "max_tokens": 9},
    ]


@pytest.mark.parametrize(
    ("name", "error", "repair"),
    [
        ("temperature", {}, "set --gin.instructions/Parameters.temperature=None"),
        ("top_p", {}, "set --gin.instructions/Parameters.top_p=None"),
        ("presence_penalty", {}, "set --gin.instructions/Parameters.presence_penalty=None"),
        ("stop", {}, "set --gin.instructions/Parameters.stop=None"),
        ("stop", {"param": None}, "set --gin.instructions/Parameters.stop=None"),
        ("max_tokens", {}, "set --gin.OpenAIChat.max_tokens_name=max_completion_tokens"),
        ("max_completion_tokens", {}, "set --gin.OpenAIChat.max_tokens_name=max_tokens"),
        (
            "max_tokens",
            {"message": "max_tokens is too large: 1024", "code": "invalid_value"},
            "set instructions/Parameters.max_tokens, now 1024, to what it allows",
        ),
        (None, {"message": "stop it"}, "correct the parameters of this stage"),
    ],
)
def test_a_refused_parameter_is_named_with_what_to_set(
    server: Canned, name: str | None, error: dict[str, Any], repair: str
) -> None:
    said = {
        "message": f"Unsupported parameter: '{name}' is not supported with this model.",
        "param": name,
        "code": "unsupported_parameter",
    }
    server.says({"error": said | error}, 400)
    with pytest.raises(UserError, match="the server refuses the request") as refused:
        OpenAIChat("m", server.url).complete(request(), "k")
    assert repair in str(refused.value)


@pytest.mark.parametrize(
    ("message", "usage", "completion"),
    [
        ({"content": "a", "reasoning_content": "b"}, {}, Completion("a", "stop", "m")),
        ({"content": None, "reasoning": "b"}, [], Completion("", "stop", "m")),
        ({"content": ""}, {"prompt_tokens": "3"}, Completion("", "stop", "m")),
        (
            {"content": [{"type": "thinking", "thinking": []}, {"type": "text", "text": "a"}, "b"]},
            {"prompt_tokens": 10**30, "completion_tokens": True},
            Completion("ab", "stop", "m"),
        ),
        ({"content": "a"}, "none", Completion("a", "stop", "m")),
        (
            {"content": "a"},
            {"prompt_tokens": 2.0, "completion_tokens": -1},
            Completion("a", "stop", "m"),
        ),
        ({}, {"prompt_tokens": 3}, Completion("", "stop", "m", 3)),
    ],
)
def test_what_a_chat_says_in_other_forms(
    server: Canned, message: dict[str, Any], usage: Any, completion: Completion
) -> None:
    server.says({"choices": [{"message": message, "finish_reason": "stop"}], "usage": usage})
    assert OpenAIChat("m", server.url).complete(request(), "k") == completion


@pytest.mark.parametrize("reason", ["length", "max_tokens", "MAX_TOKENS", "model_length"])
def test_names_of_the_end_by_length(server: Canned, reason: str) -> None:
    server.says({"choices": [choice("a", reason)]})
    assert complete(server).finish_reason == "length"
