"""How a model's answer is chosen: the most likely token each time, beam search, or sampling."""

import argparse
import math
from dataclasses import dataclass
from typing import Any

from tk_instruct.errors import UserError
from tk_instruct.ranges import check_seed, number, whole_number


def add_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("decoding")
    group.add_argument(
        "--num_beams", type=whole_number, metavar="N", help="beam search with N beams"
    )
    group.add_argument(
        "--length_penalty",
        type=number,
        metavar="A",
        help="of beam search: log-probability / length**A is compared (default: 1)",
    )
    group.add_argument(
        "--sample", action="store_true", help="draw each token; what is drawn depends on --seed"
    )
    group.add_argument("--temperature", type=number, metavar="T", help="of --sample (default: 1)")
    group.add_argument(
        "--top_k", type=whole_number, metavar="K", help="draw from the K likeliest tokens"
    )
    group.add_argument(
        "--top_p", type=number, metavar="P", help="draw from the fewest tokens that make up P"
    )


@dataclass(frozen=True)
class Greedy:
    """The most likely token each time."""


@dataclass(frozen=True)
class BeamSearch:
    """decode.beam_search with the flags' numbers."""

    num_beams: int
    length_penalty: float = 1.0

    def __post_init__(self) -> None:
        if self.num_beams < 2:
            raise UserError(
                f"--num_beams={self.num_beams} must be at least 2; leave it out to take the most "
                "likely token each time"
            )
        if not math.isfinite(self.length_penalty):
            raise UserError(f"--length_penalty={self.length_penalty} must be finite; try 1")


@dataclass(frozen=True)
class Sampling:
    """decode.sample with the flags' numbers; an example's key is of (seed, "sample", its id)."""

    seed: int = 0
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None

    def __post_init__(self) -> None:
        check_seed("--seed", self.seed)
        if not 0 < self.temperature < math.inf:
            raise UserError(
                f"--temperature={self.temperature:g} must be positive and finite; for the most "
                "likely token each time leave --sample out"
            )
        if self.top_k is not None and self.top_k < 1:
            raise UserError(f"--top_k={self.top_k} must be at least 1; leave it out for all tokens")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise UserError(
                f"--top_p={self.top_p:g} must be above 0 and at most 1; leave it out for all tokens"
            )


Decoding = Greedy | BeamSearch | Sampling


def decoding_of(args: argparse.Namespace) -> Decoding:
    """The decoding that the flags choose; raises UserError for flags that would have no effect."""

    def given(*names: str) -> dict[str, Any]:
        values = {name: getattr(args, name) for name in names}
        return {name: value for name, value in values.items() if value is not None}

    def first_of(flags: dict[str, Any]) -> str:
        return "--{}={}".format(*next(iter(flags.items())))

    beams, drawing = given("num_beams", "length_penalty"), given("temperature", "top_k", "top_p")
    if args.sample:
        if beams:
            raise UserError(f"{first_of(beams)} is of beam search; leave it or --sample out")
        return Sampling(**drawing, **given("seed"))
    if drawing:
        raise UserError(f"{first_of(drawing)} does nothing without --sample; add --sample")
    if not beams:
        return Greedy()
    if "num_beams" not in beams:
        raise UserError(f"{first_of(beams)} does nothing without beams; add --num_beams 4")
    return BeamSearch(**beams)
