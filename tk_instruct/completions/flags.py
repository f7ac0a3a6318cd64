"""The flags of servers and of what they may cost, for all verbs that ask one."""

from collections.abc import Callable, Mapping
from typing import Any

from tk_instruct.ranges import number, whole_number

# By flag: type, name of the value, help.
Flags = Mapping[str, tuple[Callable[[str], Any], str, str]]

SERVER: Flags = {
    "base_url": (str, "URL", "the address of that server (default: OpenAI's)"),
    "api": (str, "API", "what that server offers: completions or chat (default: completions)"),
}
PRICES: Flags = {
    "prompt_price": (number, "USD", "the price of a million tokens of prompts"),
    "completion_price": (number, "USD", "the price of a million tokens of completions"),
}
BUDGET: Flags = {
    "max_usd": (number, "USD", "the most that it may cost, earlier commands included"),
    "max_tokens": (
        whole_number,
        "N",
        "the most tokens that it may take, of all prompts and completions together",
    ),
    "concurrency": (whole_number, "N", "the number of requests at a time (default: 8)"),
    "requests_per_minute": (whole_number, "N", "the most requests that the server allows"),
    "tokens_per_minute": (whole_number, "N", "the most tokens that the server allows"),
}


def add_flags(parser: Any, flags: Flags) -> None:
    """Declares the flags. A flag that is not given is None."""
    for flag, (kind, metavar, text) in flags.items():
        parser.add_argument(f"--{flag}", type=kind, metavar=metavar, help=text)
