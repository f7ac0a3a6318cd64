"""A server on localhost that speaks OpenAI's protocol, fails on schedule and keeps its own books.

    python tests/completions/faulty_server.py --port 8000 --seed 1 --faults 0.3

What happens to a request is a pure function of (seed, its prompt, how often it has come). If it
knows idempotency keys, what it has answered once it answers again from its store, without a charge.
GET /books says what it has charged and seen. It ends by itself, after max_seconds or max_requests.
"""

import argparse
import hashlib
import json
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

Answer = Callable[[str, Mapping[str, Any]], str]

UNPAID = ("429", "500", "503", "closed before the work")
PAID = (
    "closed after the work",
    "broken off in the body",
    "truncated JSON",
    "504 after the work",
    "502 after the work",
)
ANSWERED = ("no usage",)


def share(*ids: object) -> float:
    """From 0 to 1, the same for the same ids."""
    digest = hashlib.sha256("\x1f".join(map(repr, ids)).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def words(prompt: str, parameters: Mapping[str, Any]) -> str:
    """A text that depends on the prompt alone, of no meaning."""
    count = 3 + int(share(prompt, "count") * 12)
    return " ".join(f"w{int(share(prompt, i) * 1000)}" for i in range(count))


def scripted(prompt: str, parameters: Mapping[str, Any]) -> str:
    """What the scripted client says, as long as it is asked to."""
    from tk_instruct.completions import Parameters, Request
    from tk_instruct.self_instruct.clients.scripted import ScriptedClient

    most = parameters.get("max_tokens", parameters.get("max_completion_tokens"))
    request = Request("server", 0, prompt, Parameters(most))
    return ScriptedClient().complete(request, "").text


def reasoning(prompt: str, parameters: Mapping[str, Any]) -> str:
    """The same after notes that look like a list, an example and a verdict."""
    notes = "1. Name a note in the notes.\nExample 1\nOutput: note\nClass label: note\nYes"
    return f"<think>\n{notes}\n</think>\n\n{scripted(prompt, parameters)}"


def scored(text: str) -> dict[str, Any]:
    """The tokens of a text, a word with the space before it each, with log-probabilities."""
    found = list(re.finditer(r"\s*\S+|\s+", text))
    scores = [-5 * share("score", text[: each.end()]) for each in found]
    return {
        "tokens": [each[0] for each in found],
        "token_logprobs": [None, *scores[1:]],
        "text_offset": [each.start() for each in found],
    }


class _HTTP(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that are killed break connections off."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class FaultyServer:
    """`with FaultyServer(seed=1) as server: … server.base_url … server.books()`.

    Args:
        faults: share of the attempts that fail, the first max_faults of a request at most.
        kinds: of UNPAID, PAID and ANSWERED.
        max_delay_seconds: answers take from none to so long.
        answer: prompt, body → text; cut at max_tokens words and at the stop sequences.
        api_key: what the client must send; None: anything.
        knows_keys: idempotency keys, which most servers do not.
        refuses: parameters, as models that reason do.
        echoes: whether the prompt comes back with its log-probabilities if that is asked for.
    """

    def __init__(
        self,
        seed: int = 0,
        faults: float = 0.0,
        kinds: tuple[str, ...] = UNPAID + PAID + ANSWERED,
        max_faults: int = 4,
        max_delay_seconds: float = 0.01,
        retry_after: str = "0.05",
        answer: Answer = words,
        api_key: str | None = None,
        knows_keys: bool = True,
        refuses: tuple[str, ...] = (),
        echoes: bool = True,
        port: int = 0,
        max_requests: int = 100_000,
        max_seconds: float = 600.0,
    ) -> None:
        self.seed, self.faults, self.kinds, self.max_faults = seed, faults, kinds, max_faults
        self.max_delay_seconds, self.retry_after = max_delay_seconds, retry_after
        self.answer, self.api_key, self.knows_keys = answer, api_key, knows_keys
        self.max_requests, self.refuses, self.echoes = max_requests, refuses, echoes
        self._lock = threading.Lock()
        self._store: dict[str, dict[str, Any]] = {}
        self._attempts: Counter[str] = Counter()
        self._charges: dict[str, list[tuple[int, int]]] = {}  # key → (prompt, completion) tokens
        self._injected: Counter[str] = Counter()
        self._times: list[float] = []
        self._now = self._most_at_once = 0
        self._http = _HTTP(("127.0.0.1", port), self._handler())
        self._timer = threading.Timer(max_seconds, self.stop)
        self._timer.daemon = True
        self.base_url = f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    def __enter__(self) -> "FaultyServer":
        self._timer.start()
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
        self._http.server_close()
        self._timer.cancel()

    def run(self) -> None:
        self._timer.start()
        self._http.serve_forever()

    def stop(self) -> None:
        self._http.shutdown()

    def books(self) -> dict[str, Any]:
        """charges: idempotency key → a pair of prompt and completion tokens for each charge."""
        with self._lock:
            return {
                "charges": {key: list(map(list, pairs)) for key, pairs in self._charges.items()},
                "prompt_tokens": sum(p for pairs in self._charges.values() for p, _ in pairs),
                "completion_tokens": sum(c for pairs in self._charges.values() for _, c in pairs),
                "requests": len(self._times),
                "attempts": dict(self._attempts),
                "times": list(self._times),
                "injected": dict(self._injected),
                "most_at_once": self._most_at_once,
            }

    def _fault(self, prompt: str, attempt: int) -> str | None:
        """What goes wrong with the attempt-th coming of a prompt, from 1 on."""
        ids = (self.seed, prompt, attempt)
        if attempt > self.max_faults or share("fault", *ids) >= self.faults:
            return None
        return self.kinds[int(share("kind", *ids) * len(self.kinds))]

    def _work(self, key: str, prompt: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The completion of a request; charged unless it is known to have been done before."""
        with self._lock:
            if self.knows_keys and key in self._store:
                return self._store[key]
            most = body.get("max_tokens", body.get("max_completion_tokens", 16))
            text, reason = self.answer(prompt, body), "stop"
            for stop in body.get("stop") or []:
                text = text.partition(stop)[0]
            parts = text.split(" ")
            if len(parts) > most:
                text, reason = " ".join(parts[:most]), "length"
            usage = (len(prompt.split()), min(len(parts), most))
            self._charges.setdefault(key, []).append(usage)
            self._store[key] = {"text": text, "finish_reason": reason, "usage": usage}
            return self._store[key]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, format: str, *args: object) -> None:
                pass

            def do_GET(self) -> None:
                self._send(200, json.dumps(server.books()).encode())

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with server._lock:
                    server._now += 1
                    server._most_at_once = max(server._most_at_once, server._now)
                    server._times.append(time.monotonic())
                    is_last = len(server._times) >= server.max_requests
                try:
                    self._answer(body)
                finally:
                    with server._lock:
                        server._now -= 1
                    if is_last:
                        server.stop()

            def _answer(self, body: dict[str, Any]) -> None:
                given = self.headers.get("Authorization", "")
                if server.api_key is not None and given != f"Bearer {server.api_key}":
                    self._error(401, "invalid_api_key", f"Incorrect API key provided: {given}")
                    return
                for name in server.refuses:
                    if name in body:
                        said = f"Unsupported parameter: '{name}' is not supported with this model."
                        self._error(400, "unsupported_parameter", said, name)
                        return
                is_chat = self.path.endswith("/chat/completions")
                prompt = body["messages"][-1]["content"] if is_chat else body["prompt"]
                key = self.headers.get("Idempotency-Key", "")
                with server._lock:
                    server._attempts[prompt] += 1
                    attempt = server._attempts[prompt]
                    fault = server._fault(prompt, attempt)
                    if fault:
                        server._injected[fault] += 1
                delay = share("delay", server.seed, prompt, attempt)
                time.sleep(server.max_delay_seconds * delay)
                if fault in ("429", "500", "503"):
                    self._error(int(fault), "try_again", f"{given} must wait")  # names the key
                elif fault == "closed before the work":
                    self.close_connection = True
                else:
                    self._complete(server._work(key, prompt, body), is_chat, body, fault)

            def _complete(
                self, done: dict[str, Any], is_chat: bool, body: dict[str, Any], fault: str | None
            ) -> None:
                said: dict[str, Any] = (
                    {"message": {"role": "assistant", "content": done["text"]}}
                    if is_chat
                    else {"text": done["text"]}
                )
                if body.get("echo") and server.echoes and not is_chat:
                    said = {"text": body["prompt"] + " " + done["text"]}
                    said["logprobs"] = scored(said["text"])
                prompt_tokens, completion_tokens = done["usage"]
                answer = {
                    "object": "chat.completion" if is_chat else "text_completion",
                    "model": body["model"],
                    "choices": [{"index": 0, "finish_reason": done["finish_reason"], **said}],
                    "usage": {
                        "prompt_tokens": prompt_tokens,
                        "completion_tokens": completion_tokens,
                        "total_tokens": prompt_tokens + completion_tokens,
                    },
                }
                if fault == "no usage":
                    del answer["usage"]
                data = json.dumps(answer).encode()
                if fault in ("504 after the work", "502 after the work"):
                    self._error(int(fault[:3]), "timeout", "upstream timed out")
                elif fault == "closed after the work":
                    self.close_connection = True
                elif fault == "truncated JSON":
                    self._send(200, data[: len(data) // 2])
                elif fault == "broken off in the body":
                    self._send(200, data[: len(data) // 2], len(data))
                    self.close_connection = True
                else:
                    self._send(200, data)

            def _error(
                self, status: int, code: str, message: str, param: str | None = None
            ) -> None:
                error = {"error": {"message": message, "type": code, "code": code, "param": param}}
                self._send(status, json.dumps(error).encode())

            def _send(self, status: int, data: bytes, length: int | None = None) -> None:
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data) if length is None else length))
                if status == 429:
                    self.send_header("Retry-After", server.retry_after)
                self.end_headers()
                self.wfile.write(data)

        return Handler


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--faults", type=float, default=0.3)
    parser.add_argument("--max_delay_seconds", type=float, default=0.01)
    parser.add_argument("--max_requests", type=int, default=100_000)
    parser.add_argument("--max_seconds", type=float, default=600.0)
    parser.add_argument("--scripted", action="store_true", help="answers as tasks look like")
    args = vars(parser.parse_args())
    server = FaultyServer(answer=scripted if args.pop("scripted") else words, **args)
    print(server.base_url, flush=True)
    server.run()


if __name__ == "__main__":
    main()
