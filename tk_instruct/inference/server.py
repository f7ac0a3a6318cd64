"""A model of a server that speaks OpenAI's protocol, as a system.

Requests and answers are kept in a folder beside the output, OUTPUT.requests: what was answered is
never asked, or paid, again, whatever stops the run. The folder stays when the output is complete.
"""

import argparse
import contextlib
import itertools
import logging
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from tk_instruct.completions import Parameters, Request, before_stop
from tk_instruct.completions.flags import BUDGET, PRICES, SERVER, add_flags
from tk_instruct.completions.reasoning import without_reasoning
from tk_instruct.errors import UserError
from tk_instruct.files import Path, is_local, is_stream
from tk_instruct.inference.decoding import BeamSearch, Decoding, Greedy
from tk_instruct.inference.options import joined, ranked
from tk_instruct.journal import Example, Predict, Row, row_of
from tk_instruct.ranges import check_whole, whole_number

if TYPE_CHECKING:
    from tk_instruct.completions import Client
    from tk_instruct.completions.dispatch import Dispatcher
    from tk_instruct.data.tokenization import Tokenizer
    from tk_instruct.data.tokens import FeatureLengths

log = logging.getLogger("tk_instruct")

_OWN = ("max_completion_tokens", "max_tokens_name")
FLAGS = (*SERVER, *_OWN, *PRICES, *BUDGET)
_ROWS_AT_ONCE = 32  # that the journal keeps in one file
_TOKENS_NAMES = ("max_tokens", "max_completion_tokens")


def add_arguments(group: Any) -> None:
    """Declares the flags of these models."""
    add_flags(group, SERVER)
    group.add_argument(
        "--max_completion_tokens",
        type=whole_number,
        metavar="N",
        help="of an answer with the reasoning before it, which is left out (default: "
        "--max_target_tokens)",
    )
    group.add_argument(
        "--max_tokens_name",
        choices=_TOKENS_NAMES,
        help="what --api=chat calls this number; models that reason want max_completion_tokens "
        "(default: max_tokens)",
    )
    add_flags(group, {**PRICES, **BUDGET})


class ServerSystem:
    """The model NAME of the server at --base_url. The key is read from OPENAI_API_KEY."""

    reads_text = True
    step = 0
    folder: Path | None = None
    mixture: str | None = None
    lengths: Mapping[str, int] | None = None

    def __init__(self, name: str, args: argparse.Namespace) -> None:
        from tk_instruct.completions.dispatch.budget import Budget
        from tk_instruct.completions.dispatch.pace import RateLimit

        self._model, self._api = name, args.api or "completions"
        if self._api not in ("completions", "chat"):
            raise UserError(f"--api={self._api} must be completions or chat")
        if args.max_tokens_name and self._api != "chat":
            raise UserError("--max_tokens_name is of --api=chat; leave it out")
        for flag in (*PRICES, "max_usd"):
            value = getattr(args, flag)
            if value is not None and not math.isfinite(value):
                raise UserError(f"--{flag}={value} must be a finite number; leave it out")
        self._budget = Budget(
            max_usd=args.max_usd,
            max_tokens=args.max_tokens,
            usd_per_million_prompt_tokens=args.prompt_price,
            usd_per_million_completion_tokens=args.completion_price,
        )
        self._rate_limit = RateLimit(args.requests_per_minute, args.tokens_per_minute)
        self._concurrency = 8 if args.concurrency is None else args.concurrency
        check_whole("--concurrency", self._concurrency, 1, 1024)
        self._max_tokens = args.max_completion_tokens
        self._tokens_name = args.max_tokens_name or _TOKENS_NAMES[0]
        self._base_url, self._stop = args.base_url, tuple(args.stop)
        self.identity: Mapping[str, Any] = {
            "api": self._api,
            "model": name,
            "base_url": self._base_url or os.environ.get("OPENAI_BASE_URL"),
            "stop": self._stop,
            "max_completion_tokens": self._max_tokens,
        }
        self._client().close()  # a missing key or package is told before the data is read

    def encoding(self) -> tuple["Tokenizer", bool]:
        from tk_instruct.data.tokenization import Plain
        from tk_instruct.data.vocabulary import vocabulary

        return Plain(vocabulary()), True

    def generator(
        self, decoding: Decoding, lengths: "FeatureLengths", args: argparse.Namespace
    ) -> Callable[[Path], Predict]:
        parameters = self._parameters(decoding, lengths)
        return lambda output: partial(self._generate, parameters, _folder(output))

    def ranker(
        self, lengths: "FeatureLengths", args: argparse.Namespace
    ) -> Callable[[Path], Predict]:
        if self._api == "chat":
            raise UserError(
                "--api=chat gives no log-probabilities of options; rank with --api=completions of "
                "a server that has them, or let it generate (`tk-instruct predict`)"
            )
        return lambda output: partial(self._rank, _folder(output), args.length_normalized)

    def _parameters(self, decoding: Decoding, lengths: "FeatureLengths") -> Parameters:
        most = self._max_tokens or lengths.targets
        if isinstance(decoding, Greedy):
            # top_p is left out: some models refuse it, and it changes nothing at temperature 0.
            return Parameters(most, temperature=0.0, top_p=None, stop=self._stop)
        if isinstance(decoding, BeamSearch) or decoding.top_k is not None:
            raise UserError(
                "a server has neither beams nor --top_k; leave --num_beams, --length_penalty and "
                "--top_k out"
            )
        return Parameters(
            most, temperature=decoding.temperature, top_p=decoding.top_p, stop=self._stop
        )

    def _generate(
        self, parameters: Parameters, folder: Path, examples: Sequence[Example]
    ) -> Iterator[list[Row]]:
        requests = (
            # Of the same index, so that equal prompts are asked once.
            Request("predict", 0, example["prompt"], parameters, repairs=_REPAIRS)
            for example in examples
        )
        kept = {"parameters": repr(parameters)}
        with self._asking(folder, kept) as ask:
            num_refused = num_cut = 0
            answers = zip(examples, ask.in_order(requests), strict=True)
            while some := list(itertools.islice(answers, _ROWS_AT_ONCE)):
                rows = []
                for example, (_, record) in some:
                    num_refused += record["finish_reason"] not in ("stop", "length", "unknown")
                    num_cut += record["finish_reason"] == "length"
                    text = (without_reasoning(record["text"]) or "").strip()
                    rows.append(row_of(example, before_stop(text, self._stop).strip()))
                yield rows
        for count, what in (
            (num_refused, "were refused or filtered by the server, and count as it left them"),
            (num_cut, f"ended at {parameters.max_tokens} tokens (--max_completion_tokens)"),
        ):
            if count:
                log.warning("%d of %d answers %s", count, len(examples), what)

    def _rank(
        self, folder: Path, length_normalized: bool, examples: Sequence[Example]
    ) -> Iterator[list[Row]]:
        parameters = Parameters(1, temperature=0.0, top_p=None)
        requests = (
            Request(
                "rank",
                0,
                text := joined(example["prompt"], option),
                parameters,
                scored_from=len(text) - len(option),
                repairs=_REPAIRS,
            )
            for example in examples
            for option in example["options"]
        )
        with self._asking(folder, {"parameters": "log-probabilities"}) as ask:
            records = (record for _, record in ask.in_order(requests))
            for first in range(0, len(examples), _ROWS_AT_ONCE):
                rows = []
                for example in examples[first : first + _ROWS_AT_ONCE]:
                    scores = []
                    for record in itertools.islice(records, len(example["options"])):
                        if "log_probability" not in record or record["log_probability"] is None:
                            raise UserError(
                                f"the server refused an option of {example['id']} "
                                f"({record['finish_reason']}), which has no score then; leave "
                                "the example out"
                            )
                        divisor = record["scored_tokens"] if length_normalized else 1
                        scores.append(record["log_probability"] / divisor)
                    rows.append(ranked(example, scores))
                yield rows

    @contextlib.contextmanager
    def _asking(self, folder: Path, settings: Mapping[str, Any]) -> Iterator["Dispatcher"]:
        """A dispatcher whose answers are kept in a folder. Says at the end what was spent.

        Raises UserError where the folder has the answers of another model or other settings.
        """
        from tk_instruct.completions.dispatch import Dispatcher
        from tk_instruct.completions.log_directory import LogDirectory

        identity = {**self.identity, "stop": repr(self._stop), **settings}
        logs = LogDirectory(str(folder))
        with contextlib.closing(self._client()) as client, logs:
            logs.begin_or_go_on(identity)
            with Dispatcher(
                client, logs, self._budget, self._concurrency, rate_limit=self._rate_limit
            ) as ask:
                yield ask
                log.info("%s so far, kept in %s", ask.spent, folder)

    def _client(self) -> "Client":
        from tk_instruct.completions.openai import OpenAIChat, OpenAICompletions

        if self._api == "chat":
            return OpenAIChat(
                self._model, self._base_url, max_tokens_name=self._tokens_name, lead=""
            )
        return OpenAICompletions(self._model, self._base_url)


_REPAIRS = {
    "max_tokens": "give --max_completion_tokens another number, or with --api=chat "
    "--max_tokens_name=max_completion_tokens",
    "temperature": "give --sample without --temperature, which leaves it to the server",
    "top_p": "leave --top_p out",
    "stop": "leave --stop out",
}


def _folder(output: Path) -> Path:
    """Where the requests of an output are kept. Raises UserError for a stream or a bucket."""
    if is_stream(output) or not is_local(output):
        raise UserError(
            f"--output={output} is no local file, beside which what is paid for could be kept; "
            "give a file"
        )
    return output.with_name(f"{output.name.removesuffix('.jsonl')}.requests")
