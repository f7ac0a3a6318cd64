"""Tokens, what they cost, and the budget that a run directory has."""

import math
from dataclasses import asdict, dataclass

import gin

from tk_instruct.completions import FRAME_TOKENS, Request
from tk_instruct.errors import UserError

PRICES = ("usd_per_million_prompt_tokens", "usd_per_million_completion_tokens")
"""The fields of Budget, and of a line of ledger.jsonl, that hold the prices."""


@dataclass(frozen=True)
class Tokens:
    """Numbers of tokens of prompts and of completions, which have different prices."""

    prompt: int = 0
    completion: int = 0

    @property
    def total(self) -> int:
        return self.prompt + self.completion

    def __add__(self, other: "Tokens") -> "Tokens":
        return Tokens(self.prompt + other.prompt, self.completion + other.completion)

    def __sub__(self, other: "Tokens") -> "Tokens":
        return Tokens(self.prompt - other.prompt, self.completion - other.completion)


@gin.configurable(module="tk_instruct")
@dataclass(frozen=True)
class Budget:
    """The most that a run directory may cost in all its processes (None: no limit), and the prices.

    Tokens that earlier processes have spent are counted at today's prices.
    """

    max_usd: float | None = None
    max_tokens: int | None = None
    usd_per_million_prompt_tokens: float | None = None
    usd_per_million_completion_tokens: float | None = None

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value is not None and not 0 <= value < math.inf:
                raise UserError(
                    f"Budget.{name}={value:g} must be a finite number from 0 on; None: no limit, "
                    "or no price"
                )
        if self.max_usd is not None and self.usd(Tokens()) is None:
            raise UserError(
                f"max_usd={self.max_usd:g} needs the prices; set --prompt_price and "
                "--completion_price, dollars for a million tokens"
            )

    @property
    def prices(self) -> dict[str, float]:
        """Both prices by their names; empty unless both are set."""
        prices = {name: getattr(self, name) for name in PRICES}
        return {} if None in prices.values() else prices

    def usd(self, tokens: Tokens) -> float | None:
        """The cost of tokens in dollars; None without prices."""
        prices = self.prices
        if not prices:
            return None
        prompt_price, completion_price = (prices[name] for name in PRICES)
        return (tokens.prompt * prompt_price + tokens.completion * completion_price) / 1e6

    def covers(self, tokens: Tokens) -> bool:
        usd = self.usd(tokens) or 0.0
        return (self.max_usd is None or usd <= self.max_usd) and (
            self.max_tokens is None or tokens.total <= self.max_tokens
        )

    def __str__(self) -> str:
        """The limits that are set, as gin names them."""
        usd = [] if self.max_usd is None else [f"Budget.max_usd={self.max_usd:g}"]
        tokens = [] if self.max_tokens is None else [f"Budget.max_tokens={self.max_tokens}"]
        return " and ".join(usd + tokens)


@dataclass(frozen=True)
class Spent:
    """What all processes together have spent in a run directory; usd is None without prices."""

    tokens: Tokens
    usd: float | None

    def __str__(self) -> str:
        tokens = f"{self.tokens.total:,} tokens"
        return tokens if self.usd is None else f"${self.usd:,.4f} ({tokens})"


def upper_bound(request: Request) -> Tokens:
    """The most tokens that a request can take; a text has no more tokens than bytes."""
    prompt = len(request.prompt.encode("utf-8", "surrogatepass")) + FRAME_TOKENS
    return Tokens(prompt, request.parameters.max_tokens)


def usage(prompt: int | None, completion: int | None) -> Tokens | None:
    """The tokens that a server has counted; None unless it gave both numbers."""
    return None if prompt is None or completion is None else Tokens(prompt, completion)
