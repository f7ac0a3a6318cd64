"""Requests through a server that fails: each is answered once, kept, paid once, within a budget."""

import contextlib
import errno
import itertools
import json
import os
import random
import re
import runpy
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from tk_instruct.completions import (
    Completion,
    Parameters,
    RefusedError,
    Request,
    UnansweredError,
    dispatch,
    log_directory,
)
from tk_instruct.completions.dispatch import Dispatcher
from tk_instruct.completions.dispatch.budget import Budget, Tokens
from tk_instruct.completions.dispatch.ledger import Charges, charges
from tk_instruct.completions.dispatch.pace import RateLimit
from tk_instruct.completions.dispatch.retries import Retries
from tk_instruct.completions.openai import OpenAIChat, OpenAICompletions
from tk_instruct.errors import UserError
from tk_instruct.self_instruct.run_directory import Record, RunDirectory

HERE = Path(__file__).parent
server_module = runpy.run_path(str(HERE / "faulty_server.py"))
FaultyServer, UNPAID, PAID = (server_module[name] for name in ("FaultyServer", "UNPAID", "PAID"))

KEY = "sk-secret-5up3r"
QUICK = Retries(first_pause_seconds=0.005)
PRICES = {"usd_per_million_prompt_tokens": 1.0, "usd_per_million_completion_tokens": 2.0}


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


def requests(count: int, first: int = 0) -> list[Request]:
    return [Request("instances", i, f"prompt {i}", Parameters(20)) for i in range(first, count)]


def client(server: Any) -> OpenAICompletions:
    return OpenAICompletions("m", server.base_url, timeout_seconds=30)


def ask_all(
    asked: Any, directory: Path, todo: list[Request], budget: Budget | None = None, **settings: Any
) -> tuple[list[Record], Any]:
    """Records in order, and what was spent."""
    settings = {"concurrency": 8, "retries": QUICK, **settings}
    with (
        RunDirectory(directory) as run,
        Dispatcher(asked, run, budget or Budget(), **settings) as ask,
    ):
        pairs = list(ask.in_order(todo))
        assert [request for request, _ in pairs] == todo
        return [record for _, record in pairs], ask.spent


def stored(directory: Path, name: str = "responses") -> list[Record]:
    """What is on disk, read as anyone would."""
    path = directory / f"{name}.jsonl"
    return [json.loads(line) for line in path.open(encoding="utf-8")] if path.exists() else []


def charged(directory: Path) -> Charges:
    return charges(RunDirectory(directory).log("ledger").read(), stored(directory))


def assert_charged_once(books: dict[str, Any], keys: set[str]) -> None:
    assert {key.rpartition("-")[0] for key in books["charges"]} == keys
    assert len(books["charges"]) == len(keys)  # a repeated request has the same key
    assert all(len(charges) == 1 for charges in books["charges"].values())


class Scripted:
    """A client in this process: `complete` is a function of the request and its attempt."""

    model = "scripted"

    def __init__(self, complete: Callable[[Request, int], Completion]) -> None:
        self._complete, self._lock = complete, threading.Lock()
        self.calls: list[tuple[float, str]] = []

    def complete(self, request: Request, idempotency_key: str) -> Completion:
        with self._lock:
            self.calls.append((time.monotonic(), request.key))
            attempt = sum(key == request.key for _, key in self.calls)
        return self._complete(request, attempt)


def answer(request: Request, attempt: int = 1) -> Completion:
    return Completion(f"to {request.prompt}", "stop", "scripted", 10, 5)


def test_all_arrive_once_through_every_fault_whatever_the_timing(tmp_path: Path) -> None:
    kept, todo, injected = [], requests(40), set[str]()
    for seed in (1, 2):
        with FaultyServer(seed, faults=0.5, kinds=UNPAID + PAID, max_delay_seconds=0.03) as server:
            records, spent = ask_all(client(server), tmp_path / str(seed), todo)
            books = server.books()
        injected |= set(books["injected"])
        assert_charged_once(books, {request.key for request in todo})
        # What may have been paid is counted, though this server has charged it once only.
        assert spent.tokens.prompt > books["prompt_tokens"]
        assert spent.tokens.completion > books["completion_tokens"]
        on_disk = stored(tmp_path / str(seed))
        assert [record["index"] for record in on_disk] != list(range(40))  # as they came
        assert sorted(on_disk, key=lambda record: record["index"]) == records
        kept.append([{**record, "created_at": 0, "attempts": 0} for record in records])
    assert kept[0] == kept[1]
    assert len(kept[0]) == 40
    assert injected == {*UNPAID, *PAID}


def test_what_is_surely_not_paid_is_not_counted(tmp_path: Path) -> None:
    budget = Budget(**PRICES)
    with FaultyServer(3, faults=0.5, kinds=("429", "500", "503")) as server:
        _, spent = ask_all(client(server), tmp_path, requests(40), budget)
        books = server.books()
    assert books["requests"] > 50
    assert (spent.tokens.prompt, spent.tokens.completion) == (
        books["prompt_tokens"],
        books["completion_tokens"],
    )
    assert spent.usd == budget.usd(spent.tokens)
    assert spent.usd == pytest.approx((spent.tokens.prompt + 2 * spent.tokens.completion) / 1e6)
    # The next process counts the same.
    with RunDirectory(tmp_path) as run, Dispatcher(Scripted(answer), run, budget, 1) as ask:
        assert ask.spent == spent
        assert str(spent) == f"${spent.usd:.4f} ({spent.tokens.total} tokens)"


def test_an_answer_without_usage_is_counted_at_its_most(tmp_path: Path) -> None:
    with FaultyServer(faults=1.0, kinds=("no usage",)) as server:
        [record], spent = ask_all(client(server), tmp_path, requests(1), Budget(**PRICES))
    assert record["prompt_tokens"] is record["completion_tokens"] is None
    assert (spent.tokens.prompt, spent.tokens.completion) == (len("prompt 0") + 256, 20)
    with RunDirectory(tmp_path) as run, Dispatcher(Scripted(answer), run, Budget(), 1) as ask:
        assert ask.spent.tokens == spent.tokens


@pytest.mark.parametrize("knows_keys", [True, False])
def test_nothing_that_is_charged_is_missing_in_the_accounts(
    tmp_path: Path, knows_keys: bool
) -> None:
    kinds = (*UNPAID, *PAID, "no usage")
    with FaultyServer(7, faults=0.6, kinds=kinds, knows_keys=knows_keys) as server:
        records, spent = ask_all(client(server), tmp_path, requests(40))
        books = server.books()
    assert len(records) == 40
    assert spent.tokens.prompt >= books["prompt_tokens"]
    assert spent.tokens.completion >= books["completion_tokens"]
    num_broken_off = sum(books["injected"].get(kind, 0) for kind in PAID)
    assert num_broken_off > 10
    events = [line["event"] for line in stored(tmp_path, "ledger")]
    num_unknown = books["injected"]["closed before the work"]  # which looks like after it
    assert events.count("perhaps paid") == num_broken_off + num_unknown
    num_charges = sum(map(len, books["charges"].values()))
    assert num_charges == 40 + (0 if knows_keys else num_broken_off)


def test_charges_are_those_of_the_dispatcher_by_stage(tmp_path: Path) -> None:
    def sometimes(request: Request, attempt: int) -> Completion:
        if request.index == 1 and attempt < 4:
            raise UnansweredError("no", may_be_paid=attempt > 1)
        return Completion("", "stop", "m", 10, None if request.index == 2 else 5)

    todo = [Request("abc"[i % 3], i, "p", Parameters(20)) for i in range(7)]
    _, spent = ask_all(Scripted(sometimes), tmp_path, todo)
    most = Tokens(257, 20)
    assert charged(tmp_path) == Charges(
        answered={"a": Tokens(30, 15), "b": Tokens(20, 10), "c": Tokens(10, 5) + most},
        num_requests={"a": 3, "b": 2, "c": 2},
        unanswered=most + most,
        prices={},
    )
    assert charged(tmp_path).total == spent.tokens
    assert charged(tmp_path).usd(spent.tokens) is None
    assert charges([], []) == Charges({}, {}, Tokens(), {})

    ask_all(Scripted(sometimes), tmp_path, todo, Budget(**PRICES))
    assert charged(tmp_path).prices == PRICES
    assert charged(tmp_path).usd(Tokens(3, 4)) == pytest.approx(11e-6)


def test_a_refused_prompt_is_an_empty_answer_for_nothing(tmp_path: Path) -> None:
    def refuses(request: Request, attempt: int) -> Completion:
        if request.index % 3 == 0:
            raise RefusedError("flagged as harmful", "invalid_prompt")
        return answer(request)

    asked = Scripted(refuses)
    first, spent = ask_all(asked, tmp_path, requests(90), concurrency=2)
    assert [record["text"] == "" for record in first] == [i % 3 == 0 for i in range(90)]
    assert first[3]["finish_reason"] == "invalid_prompt"
    assert spent.tokens.total == 60 * 15
    assert charged(tmp_path).total == spent.tokens
    assert "flagged as harmful" in json.dumps(stored(tmp_path, "ledger"))
    assert ask_all(asked, tmp_path, requests(90)) == (first, spent)
    assert len(asked.calls) == 90


def test_a_server_that_refuses_every_prompt_ends_the_run(tmp_path: Path) -> None:
    def refuses(request: Request, attempt: int) -> Completion:
        raise RefusedError("context of 8", "context_length_exceeded")

    with pytest.raises(
        UserError, match=r"has refused 21 prompts on end \(the last: context of 8\)"
    ):
        ask_all(Scripted(refuses), tmp_path, requests(90), concurrency=1)
    assert len(stored(tmp_path)) == 20
    records, _ = ask_all(Scripted(answer), tmp_path, requests(90))
    assert [bool(record["text"]) for record in records] == [False] * 20 + [True] * 70


def test_all_threads_are_used_and_no_more(tmp_path: Path) -> None:
    with FaultyServer(max_delay_seconds=0.1) as server:
        ask_all(client(server), tmp_path, requests(30), concurrency=6)
        assert server.books()["most_at_once"] == 6


def test_what_is_answered_is_never_asked_again(tmp_path: Path) -> None:
    texts = ["one\u2028two\x85\x00", "half a pair \ud800, an emoji \U0001f600", "a \\ud800 \\"]
    asked = Scripted(lambda request, _: Completion(texts[request.index], "stop", "m", 1, 1))
    todo = [Request("s", i, f"{text}?", Parameters(9, stop=("a",))) for i, text in enumerate(texts)]
    first, _ = ask_all(asked, tmp_path, todo)
    again, _ = ask_all(asked, tmp_path, todo)
    assert first == again
    assert [record["text"] for record in again] == texts
    assert len(asked.calls) == 3


def test_the_same_request_twice_is_asked_once(tmp_path: Path) -> None:
    [todo], asked = requests(1), Scripted(answer)
    with RunDirectory(tmp_path) as run, Dispatcher(asked, run, Budget(), 4) as ask:
        first, second = ask.submit(todo), ask.submit(todo)
        assert first.result() == second.result() == ask.submit(todo).result()
    assert len(asked.calls) == 1


def test_nothing_is_used_before_it_is_on_disk(tmp_path: Path) -> None:
    with RunDirectory(tmp_path) as run, Dispatcher(Scripted(answer), run, Budget(), 4) as ask:
        for _, record in ask.in_order(requests(20)):
            assert record in stored_whole(tmp_path)


def slow(request: Request, attempt: int) -> Completion:
    time.sleep(0.1)
    return answer(request)


def test_leaving_sends_nothing_more_and_keeps_what_is_in_flight(tmp_path: Path) -> None:
    asked = Scripted(slow)
    with RunDirectory(tmp_path) as run:
        with Dispatcher(asked, run, Budget(), 2) as ask:
            futures = [ask.submit(request) for request in requests(50)]
            futures[0].result()
        assert len(stored(tmp_path)) == len(asked.calls) < 8
        with pytest.raises(CancelledError):
            futures[49].result()
        with pytest.raises(CancelledError):
            ask.submit(requests(51)[50]).result()
    assert len(stored(tmp_path)) == len(asked.calls)


def test_what_nobody_takes_in_order_is_not_asked(tmp_path: Path) -> None:
    asked = Scripted(slow)
    with RunDirectory(tmp_path) as run, Dispatcher(asked, run, Budget(), 1) as ask:
        pairs = ask.in_order(iter(requests(100)))
        next(pairs)
        pairs.close()
        assert ask.submit(requests(4)[3]).result()["index"] == 3  # though it was cancelled
    assert len(asked.calls) <= 3


def test_a_long_pause_is_explained_and_ends_with_the_block(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def busy(request: Request, attempt: int) -> Completion:
        raise UnansweredError("too busy", may_be_paid=False, retry_after_seconds=60)

    started = time.monotonic()
    with RunDirectory(tmp_path) as run, Dispatcher(Scripted(busy), run, Budget(), 2) as ask:
        for request in requests(9):
            ask.submit(request)
        wait_for(lambda: bool(caplog.messages))
    assert time.monotonic() - started < 5
    assert re.fullmatch(r"instances-\S+: too busy; again in 60 s", "".join(caplog.messages))


def test_the_budget_is_a_hard_stop_and_raising_it_goes_on(tmp_path: Path) -> None:
    budget = Budget(max_usd=0.001, **PRICES)  # one costs at most 0.000304, and 0.00002 on average
    with FaultyServer(max_delay_seconds=0.03) as server:
        with pytest.raises(
            UserError,
            match=r"^\$0\.000[7-9].* spent, .* take \$0\.0003.* beyond Budget.max_usd=0.001; raise",
        ):
            ask_all(client(server), tmp_path, requests(100), budget)
        books = server.books()
        assert_charged_once(books, {record["key"] for record in stored(tmp_path)})
        usd = (books["prompt_tokens"] + 2 * books["completion_tokens"]) / 1e6
        assert 0.001 - 0.000305 < usd <= 0.001
        with pytest.raises(UserError, match="run it again: it goes on"):
            ask_all(client(server), tmp_path, requests(100), budget)
        assert server.books()["requests"] == books["requests"]
        ask_all(client(server), tmp_path, requests(100), Budget(max_usd=1, **PRICES))
        assert_charged_once(server.books(), {request.key for request in requests(100)})


def test_the_budget_in_tokens_counts_what_is_in_flight(tmp_path: Path) -> None:
    at_once, most = 0, 0
    lock = threading.Lock()

    def expensive(request: Request, attempt: int) -> Completion:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        time.sleep(0.02)
        with lock:
            at_once -= 1
        return Completion("", "stop", "m", 264, 20)  # all that it can be

    with pytest.raises(UserError, match=r"1,988 tokens spent, .* 284 tokens: .*max_tokens=2000"):
        ask_all(Scripted(expensive), tmp_path, requests(10), Budget(max_tokens=2000))
    assert most == 7
    assert len(stored(tmp_path)) == 7


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_usd": 1.0}, "max_usd=1 needs the prices"),
        ({"max_usd": 1.0, "usd_per_million_prompt_tokens": 1.0}, "needs the prices"),
        ({"max_tokens": -1}, "max_tokens=-1 must be a finite number from 0 on; None: no limit"),
        ({"max_usd": float("inf")}, "max_usd=inf must be a finite number"),
        ({"usd_per_million_prompt_tokens": float("nan")}, "must be a finite number"),
    ],
)
def test_budgets_that_make_no_sense(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Budget(**settings)


def test_other_settings_that_make_no_sense(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="requests_per_minute=0 must be above 0"):
        RateLimit(requests_per_minute=0)
    with pytest.raises(UserError, match="max_attempts=0 must be at least 1"):
        Retries(max_attempts=0)
    with pytest.raises(UserError, match="first_pause_seconds=2 must be from 0 to longest"):
        Retries(first_pause_seconds=2, longest_pause_seconds=1)
    with pytest.raises(UserError, match="concurrency=0 must be at least 1"):
        Dispatcher(Scripted(answer), RunDirectory(tmp_path), Budget(), 0)


def test_a_server_that_stays_down_is_given_up_and_later_gone_on_with(tmp_path: Path) -> None:
    todo = requests(20)
    ask_all(Scripted(answer), tmp_path, todo[:5])
    with FaultyServer(faults=1.0, kinds=("503",), max_faults=99) as server:
        with pytest.raises(UserError) as down:
            ask_all(client(server), tmp_path, todo, retries=Retries(4, 0.005))
        assert 4 <= server.books()["requests"] <= 8 * 4
    message = str(down.value)
    assert "has not been answered in 4 attempts (the last: 503 " in message
    assert "run it again later, it goes on" in message
    with pytest.raises(UserError, match=r"the last: ConnectError: .*refused"):  # it is gone
        ask_all(client(server), tmp_path, todo, retries=Retries(2, 0.005))
    _, spent = ask_all(Scripted(answer), tmp_path, todo)
    assert spent.tokens.total == 20 * 15


def test_a_server_that_was_never_there_is_given_up_soon(tmp_path: Path) -> None:
    def comes_late(request: Request, attempt: int) -> Completion:
        if request.index == 1 and attempt < 7:
            raise UnansweredError("refused", may_be_paid=False, was_reached=False)
        return answer(request)

    with pytest.raises(UserError, match="not been answered in 4 attempts"):
        ask_all(Scripted(comes_late), tmp_path, requests(2, first=1), concurrency=1)
    records, _ = ask_all(Scripted(comes_late), tmp_path, requests(2), concurrency=1)
    assert records[1]["attempts"] == 4 + 7  # once it was there, it is waited for


def test_a_server_that_asks_for_too_long_a_pause_is_given_up(tmp_path: Path) -> None:
    with (
        FaultyServer(faults=1.0, kinds=("429",), retry_after="86400") as server,
        pytest.raises(UserError, match=r"in 1 attempts .*to be asked again in 86400 s"),
    ):
        ask_all(client(server), tmp_path, requests(1))


def test_one_that_is_told_to_wait_makes_all_wait(tmp_path: Path) -> None:
    def limited(request: Request, attempt: int) -> Completion:
        if (request.index, attempt) == (6, 1):
            raise UnansweredError("slow down", may_be_paid=False, retry_after_seconds=0.4)
        time.sleep(0.01)
        return answer(request)

    asked = Scripted(limited)
    ask_all(asked, tmp_path, requests(30), concurrency=3)
    told = next(when for when, key in asked.calls if key == requests(7)[6].key)
    after = [when - told for when, _ in asked.calls if when > told]
    assert sum(0 < seconds < 0.39 for seconds in after) <= 2  # in flight when it was said
    assert len(after) >= 20
    assert max(after) < 5


@pytest.mark.parametrize(
    ("limit", "seconds"),
    [
        (RateLimit(requests_per_minute=3000), 0.02),
        (RateLimit(tokens_per_minute=45_000), 15 / 750),  # 15 tokens each, of 284 at most
        (RateLimit(3000, 90_000), 0.02),  # tokens that are given back make no requests
        (RateLimit(6000, 45_000), 15 / 750),
    ],
)
def test_rate_limits_are_kept(tmp_path: Path, limit: RateLimit, seconds: float) -> None:
    asked = Scripted(answer)
    ask_all(asked, tmp_path, requests(30), rate_limit=limit)
    times = [when for when, _ in asked.calls]
    assert times[29] - times[0] >= 29 * seconds * 0.95
    assert times[29] - times[0] < 29 * seconds * 4 + 0.5
    if limit.requests_per_minute:
        assert all(b - a > 9 * seconds * 0.8 for a, b in zip(times, times[9:], strict=False))


def test_a_wrong_key_ends_at_once_and_is_written_nowhere(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    with FaultyServer(api_key="another") as server:
        asked = client(server)
        with pytest.raises(
            UserError, match=r"refuses the key in OPENAI_API_KEY \(401\)"
        ) as refused:
            ask_all(asked, tmp_path, requests(100))
        assert server.books()["requests"] <= 8
    assert refused.value.__cause__ is refused.value.__context__ is None
    # This one repeats the key in each error that it answers with.
    kinds = ("429", "500", "503")
    with FaultyServer(api_key=KEY, faults=0.9, kinds=kinds, retry_after="0.01") as server:
        asked = OpenAIChat("m", server.base_url)
        ask_all(asked, tmp_path, requests(20))
        server.max_faults = 99
        with pytest.raises(UserError, match=r"Bearer \[key\] must wait") as refused:
            ask_all(asked, tmp_path, requests(99), retries=Retries(2, 0.001))
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"responses.jsonl", "ledger.jsonl"} <= {path.name for path in files}
    assert b"[key] must wait" in (tmp_path / "ledger.jsonl").read_bytes()
    written = [path.read_bytes().decode() for path in files]
    said = [str(refused.value), repr(asked), str(vars(asked)), caplog.text, *capfd.readouterr()]
    assert not [text for text in written + said if KEY in text]


@pytest.fixture(scope="module")
def processes() -> Iterator[Callable[[Path, Any, int], tuple[int, Callable[[], int]]]]:
    """Starts a process that asks; its id, and a function that waits for its exit status."""
    with subprocess.Popen(
        [sys.executable, HERE / "asking.py"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as parent:
        assert parent.stdin
        assert parent.stdout

        def start(directory: Path, server: Any, count: int) -> tuple[int, Callable[[], int]]:
            parent.stdin.write(f"{directory} {server.base_url} {count}\n")
            parent.stdin.flush()
            return int(parent.stdout.readline()), lambda: int(parent.stdout.readline())

        yield start
        parent.stdin.close()


def test_killed_again_and_again_nothing_is_lost_or_paid_twice(
    tmp_path: Path, processes: Callable[..., Any]
) -> None:
    moments = random.Random(5)
    with FaultyServer(5, faults=0.3, max_delay_seconds=0.03) as server:
        before: list[Record] = []
        for _ in range(5):
            pid, end = processes(tmp_path, server, 200)
            have = len(stored_whole(tmp_path))
            enough, until = have + moments.randrange(1, 30), time.monotonic() + 20
            while len(stored_whole(tmp_path)) < enough and time.monotonic() < until:
                time.sleep(moments.random() * 0.01)
            os.kill(pid, signal.SIGKILL)
            assert end() == -signal.SIGKILL
            attempts, kept = server.books()["attempts"], stored_whole(tmp_path)
            assert kept[: len(before)] == before
            before = kept
            _, spent = ask_all(Scripted(answer), tmp_path, [])
        pid, end = processes(tmp_path, server, 200)
        assert end() == 0
        books = server.books()
    assert {record["index"] for record in stored(tmp_path)} == set(range(200))
    assert len(stored(tmp_path)) == 200
    for record in before:  # what was stored at the last kill was not asked again
        prompt = f"prompt {record['index']}"
        assert books["attempts"][prompt] == attempts[prompt]
    assert_charged_once(books, {request.key for request in requests(200)})
    _, spent = ask_all(Scripted(answer), tmp_path, requests(200))
    assert spent.tokens.prompt >= books["prompt_tokens"]
    assert spent.tokens.completion >= books["completion_tokens"]


def test_killed_on_a_server_without_keys_only_what_was_in_flight_is_paid_twice(
    tmp_path: Path, processes: Callable[..., Any]
) -> None:
    num_kills = 3
    with FaultyServer(8, 0.3, max_delay_seconds=0.03, knows_keys=False) as server:
        for kill in range(num_kills):
            pid, end = processes(tmp_path, server, 100)
            wait_for(lambda enough=25 * (kill + 1): len(stored_whole(tmp_path)) >= enough)
            os.kill(pid, signal.SIGKILL)
            assert end() == -signal.SIGKILL
        pid, end = processes(tmp_path, server, 100)
        assert end() == 0
        books = server.books()
    total = charged(tmp_path).total
    assert len(stored(tmp_path)) == 100
    assert total.prompt >= books["prompt_tokens"]
    assert total.completion >= books["completion_tokens"]
    num_broken_off = sum(books["injected"].get(kind, 0) for kind in PAID)
    num_charges = sum(map(len, books["charges"].values()))
    assert 100 < num_charges <= 100 + num_broken_off + num_kills * 8


def stored_whole(directory: Path) -> list[Record]:
    """The same while it is being written."""
    path = directory / "responses.jsonl"
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    return [json.loads(line) for line in lines]


def test_what_a_kill_leaves_in_flight_is_counted(tmp_path: Path) -> None:
    sent = {"event": "sent", "key": "k", "prompt_tokens": 70, "completion_tokens": 20}
    lines = [{**sent, "attempt": i} for i in (1, 2, 3)]
    lines.insert(1, {"event": "not paid", "key": "k", "attempt": 1})
    (tmp_path / "ledger.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with RunDirectory(tmp_path) as run, Dispatcher(Scripted(answer), run, Budget(), 1) as ask:
        assert (ask.spent.tokens.prompt, ask.spent.tokens.completion) == (140, 40)


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_ctrl_c_keeps_what_is_in_flight(tmp_path: Path, processes: Callable[..., Any]) -> None:
    with FaultyServer(max_delay_seconds=1.0) as server:
        pid, end = processes(tmp_path, server, 1000)
        wait_for(lambda: len(stored_whole(tmp_path)) > 4)
        os.kill(pid, signal.SIGINT)
        started, sent = time.monotonic(), server.books()["requests"]
        assert end() == 130
        assert time.monotonic() - started < 2.5
        assert server.books()["requests"] <= sent + 8
        assert_charged_once(server.books(), {record["key"] for record in stored(tmp_path)})


def test_ctrl_c_wakes_those_that_pause(tmp_path: Path, processes: Callable[..., Any]) -> None:
    with FaultyServer(faults=1.0, kinds=("429",), retry_after="60") as server:
        pid, end = processes(tmp_path, server, 10)
        wait_for(lambda: server.books()["requests"] >= 1)
        time.sleep(0.1)
        os.kill(pid, signal.SIGINT)
        started = time.monotonic()
        assert end() == 130
        assert time.monotonic() - started < 1.5


def test_a_second_ctrl_c_ends_at_once(tmp_path: Path, processes: Callable[..., Any]) -> None:
    with FaultyServer(max_delay_seconds=60) as server:
        pid, end = processes(tmp_path, server, 10)
        wait_for(lambda: server.books()["requests"] >= 8)
        started = time.monotonic()
        os.kill(pid, signal.SIGINT)
        time.sleep(0.3)
        os.kill(pid, signal.SIGINT)
        assert end() == 130
        assert time.monotonic() - started < 1.5


Trace = Callable[[FrameType, str, Any], Any]


@contextlib.contextmanager
def traced(event: Callable[[FrameType, str], None]) -> Iterator[None]:
    """Calls event for each call, line and return of this thread in dispatch/ and its locks."""
    usual = sys.gettrace()
    files = (str(Path(dispatch.__file__).parent), threading.__file__)

    def trace(frame: FrameType, kind: str, _: Any) -> Trace | None:
        if not frame.f_code.co_filename.startswith(files):
            return None
        event(frame, kind)
        return trace

    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(usual)


def interrupted_at(directory: Path, is_moment: Callable[[FrameType, str], bool]) -> bool:
    """Whether Ctrl-C came; asserts that it then ends the block, and that all answers are kept."""
    answers = threading.Semaphore(0)
    came = False

    def event(frame: FrameType, kind: str) -> None:
        nonlocal came
        if not came and is_moment(frame, kind):
            came = True
            answers.release(100)
            signal.raise_signal(signal.SIGINT)

    def awaited(request: Request, attempt: int) -> Completion:
        answers.acquire(timeout=0.01)
        return answer(request)

    asked, ended = Scripted(awaited), False
    started = time.monotonic()
    with RunDirectory(directory) as run:
        try:
            with (
                Dispatcher(asked, run, Budget(), 4, grace_seconds=2) as ask,
                traced(event),
            ):
                for _ in ask.in_order(requests(12)):
                    assert ask.spent
        except KeyboardInterrupt:
            ended = True
        assert time.monotonic() - started < 1.5
        assert len(stored(directory)) == len(asked.calls)
    assert ended == came
    return came


@pytest.mark.parametrize("nth", [16, 20])
@pytest.mark.parametrize("moment", [("__enter__", "return"), ("__exit__", "call")])
def test_ctrl_c_where_a_lock_is_held_loses_nothing(
    tmp_path: Path, moment: tuple[str, str], nth: int
) -> None:
    """An exception there leaves threading.Condition locked."""
    count = 0

    def is_moment(frame: FrameType, kind: str) -> bool:
        nonlocal count
        count += (frame.f_code.co_name, kind) == moment
        return count == nth

    assert interrupted_at(tmp_path, is_moment)


@pytest.mark.slow
def test_ctrl_c_at_any_moment_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_directory, "_BALLAST_BYTES", 1)

    def is_moment(frame: FrameType, kind: str) -> bool:
        nonlocal left
        left -= 1
        return left == 0

    for moment in itertools.count(1):
        left = moment
        if not interrupted_at(tmp_path / str(moment), is_moment):
            break
    assert moment > 300


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, None), (signal.SIGTERM, 128 + signal.SIGTERM)]
)
def test_a_signal_while_the_block_is_left_is_heard(
    tmp_path: Path, number: signal.Signals, status: int | None
) -> None:
    def signals(request: Request, attempt: int) -> Completion:
        time.sleep(0.05)
        signal.raise_signal(number)
        return slow(request, attempt)

    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises((KeyboardInterrupt, SystemExit)) as ended:
        begin_one_and(lambda: None, Scripted(signals), tmp_path)
    assert getattr(ended.value, "code", None) == status
    assert len(stored(tmp_path)) == 1
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers


def test_a_second_ctrl_c_ends_at_once_what_holds_the_first(tmp_path: Path) -> None:
    release = threading.Event()

    def waits(request: Request, attempt: int) -> Completion:
        release.wait(20)
        return answer(request)

    def interrupt_twice() -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        begin_one_and(interrupt_twice, Scripted(waits), tmp_path)
    assert time.monotonic() - started < 5
    release.set()


def begin_one_and(do: Callable[[], None], asked: Scripted, directory: Path) -> None:
    """Leaves the block at once after."""
    with RunDirectory(directory) as run, Dispatcher(asked, run, Budget(), 2) as ask:
        ask.submit(requests(1)[0])
        wait_for(lambda: len(asked.calls) == 1)
        do()


def full_disk(monkeypatch: pytest.MonkeyPatch, run: RunDirectory, name: str) -> None:
    """A disk on which there is room for the log again once the reserve is given up."""
    fsync = os.fsync

    def fails(file: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{file}"))
        if path.name == f"{name}.jsonl" and (run.path / "reserved").exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(file)

    monkeypatch.setattr(os, "fsync", fails)


def test_a_full_disk_ends_the_run_and_loses_no_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FaultyServer(max_delay_seconds=0.05) as server:

        def ask_until_it_is_full() -> None:
            with RunDirectory(tmp_path) as run, Dispatcher(client(server), run, Budget(), 8) as ask:
                for i, _ in enumerate(ask.in_order(requests(100))):
                    if i == 10:
                        full_disk(monkeypatch, run, "responses")

        with pytest.raises(UserError, match="the disk is full; free some space and run it again"):
            ask_until_it_is_full()
        monkeypatch.undo()
        books = server.books()
        assert_charged_once(books, {record["key"] for record in stored(tmp_path)})
        assert len(books["charges"]) < 60
        ask_all(OpenAICompletions("m", server.base_url), tmp_path, requests(100))
        assert_charged_once(server.books(), {request.key for request in requests(100)})


def test_an_answer_that_cannot_be_kept_is_not_used_but_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(file: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with RunDirectory(tmp_path) as run, Dispatcher(Scripted(answer), run, Budget(), 1) as ask:
        monkeypatch.setattr(os, "fsync", full)
        future = ask.submit(requests(1)[0])
        with pytest.raises(
            UserError, match=r"responses.jsonl: cannot be written .*free some space"
        ):
            future.result()
        monkeypatch.undo()
        assert ask.spent.tokens.total == 284
    assert stored(tmp_path) == []
    _, spent = ask_all(Scripted(answer), tmp_path, requests(1))
    assert spent.tokens.total == 284 + 15


def test_threads_end_with_it(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    ask_all(Scripted(answer), tmp_path, requests(5))
    assert set(threading.enumerate()) <= before


def test_a_fault_in_the_client_is_an_exception_and_may_have_cost(tmp_path: Path) -> None:
    def broken(request: Request, attempt: int) -> Completion:
        raise ZeroDivisionError

    with RunDirectory(tmp_path) as run, Dispatcher(Scripted(broken), run, Budget(), 1) as ask:
        with pytest.raises(ZeroDivisionError):
            ask.submit(requests(1)[0]).result()
        assert ask.spent.tokens.total == 284


@pytest.mark.parametrize("text", ["", "<think>\nI should", " \n"])
def test_answers_that_end_before_they_say_anything_end_the_run(tmp_path: Path, text: str) -> None:
    silent = Scripted(lambda request, _: Completion(text, "length", "m", 1, 9))
    todo = [
        Request("instances", i, f"{i}?", Parameters(9), "classification_instances")
        for i in range(30)
    ]
    named = r"last 4 answers .* \(--gin.classification_instances/Parameters.max_tokens=2048"
    with (
        pytest.raises(UserError, match=named),
        RunDirectory(tmp_path) as run,
        Dispatcher(silent, run, Budget(), 1) as ask,
    ):
        for _ in ask.in_order(todo):
            pass
    assert len(silent.calls) == 4
