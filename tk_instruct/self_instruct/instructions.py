"""Stage 1: the model continues a list of tasks; new tasks are kept and shown in later prompts."""

from collections import Counter, deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import gin

from tk_instruct import randomness
from tk_instruct.completions import Parameters, Request
from tk_instruct.completions.dispatch import Dispatcher
from tk_instruct.errors import UserError
from tk_instruct.progress import Progress
from tk_instruct.self_instruct import lists, prompts
from tk_instruct.self_instruct.answers import answer
from tk_instruct.self_instruct.heuristics import Heuristics
from tk_instruct.self_instruct.pool import NoveltyPool, Tokenize, rouge_tokens
from tk_instruct.self_instruct.run_directory import Log, Record, RunDirectory
from tk_instruct.self_instruct.seeds import SeedTask

STAGE = "instructions"
STOP = ("\n\n", "\n16", "16.", "16 .")  # as published


@gin.configurable(module="tk_instruct")
@dataclass(frozen=True)
class Instructions:
    """How instructions are asked for and chosen.

    parameters: of the requests.
    num_in_context: instructions that a prompt shows; num_machine_in_context of them are the
        model's own.
    max_similarity: a new instruction is kept if its ROUGE-L with every other one is below this.
    lag: the model's own instructions in a prompt were accepted at least this many requests before.
        So this many requests can be sent at a time, and no prompt depends on which of them is
        answered first.
    most_fruitless: the run ends after this many requests in a row that brought nothing new.
    tokenize: the tokens that ROUGE-L compares: @rouge_tokens, or @unicode_tokens for languages
        other than English.
    """

    parameters: Parameters
    num_in_context: int = 8
    num_machine_in_context: int = 2
    max_similarity: float = 0.7
    lag: int = 32
    most_fruitless: int = 100
    tokenize: Tokenize = rouge_tokens
    heuristics: Heuristics = field(default_factory=Heuristics)

    def __post_init__(self) -> None:
        if not 0 <= self.num_machine_in_context < self.num_in_context:
            raise UserError(
                f"Instructions.num_machine_in_context={self.num_machine_in_context} must be at "
                f"least 0 and below num_in_context={self.num_in_context}: some are people's"
            )
        if not 0 < self.max_similarity <= 1:
            raise UserError(
                f"Instructions.max_similarity={self.max_similarity:g} must be above 0 and at most "
                "1, a ROUGE-L"
            )
        if self.lag < 1 or self.most_fruitless < 1:
            raise UserError(
                f"Instructions.lag={self.lag} and most_fruitless={self.most_fruitless} must be at "
                "least 1"
            )


class Generation:
    """The state of stage 1; it depends only on seeds, settings and the answers processed so far."""

    def __init__(
        self, run: RunDirectory, seeds: Sequence[SeedTask], seed: int, settings: Instructions
    ) -> None:
        self.seeds, self.seed, self.settings = seeds, seed, settings
        self.instructions, self.requests = run.log(STAGE), run.log("instruction_requests")
        found = [
            (record["id"], record["instruction"], record["request_idx"])
            for record in self.instructions.read()
        ]
        self.num_accepted_after = [0]
        for index, request in enumerate(self.requests.read()):
            before = self.num_accepted_after[-1]
            after = before + request["num_accepted"]
            kept = [request_idx for *_, request_idx in found[before:after]]
            is_whole = len(kept) == request["num_accepted"] and set(kept) <= {index}
            if request["request_idx"] != index or not is_whole:
                break
            self.num_accepted_after.append(after)
        # A kill between the two writes, or a deleted line, leaves the files unequal: the rest is
        # made again.
        self.requests.keep(self.num_processed)
        self.instructions.keep(self.num_accepted_after[-1])
        self.accepted = [(id_, text) for id_, text, _ in found[: self.num_accepted_after[-1]]]
        texts = [task.instruction for task in seeds] + [text for _, text in self.accepted]
        self.pool = NoveltyPool(texts, settings.tokenize)

    @property
    def num_processed(self) -> int:
        return len(self.num_accepted_after) - 1

    @property
    def num_accepted_per_request(self) -> float:
        """The mean over the last hundred requests and one more, as if that had brought only new."""
        last = self.num_accepted_after[-101:]
        return (last[-1] - last[0] + self.settings.num_in_context) / len(last)

    def request(self, index: int) -> tuple[Request, list[str]]:
        """A request and the ids of the tasks in its prompt; needs index - lag to be processed."""
        settings = self.settings
        num_own = self.num_accepted_after[max(0, index - settings.lag + 1)]
        own = randomness.sample(
            range(num_own),
            settings.num_machine_in_context,
            self.seed,
            "own in context",
            str(index),
        )
        shown = [self.accepted[position] for position in own]
        count = settings.num_in_context - len(shown)
        for task in randomness.sample(self.seeds, count, self.seed, "seeds in context", str(index)):
            shown.append((task.id, task.instruction))
        shown = randomness.sample(shown, len(shown), self.seed, "order in context", str(index))
        prompt = prompts.numbered_list([text for _, text in shown])
        return Request(STAGE, index, prompt, settings.parameters), [id_ for id_, _ in shown]

    def process(self, request: Request, parents: Sequence[str], response: Record) -> None:
        """Adds the new instructions of an answer; they are on disk when this returns."""
        candidates, dropped = self._candidates(response)
        num_candidates = len(candidates) + dropped.total()
        about = provenance(response, self.seed, parents)
        accepted = self._accepted(request, candidates, about)
        dropped["similar"] = len(candidates) - len(accepted)
        self.instructions.append(accepted)
        self.requests.append(
            [
                {
                    "request_idx": request.index,
                    "key": request.key,
                    "num_candidates": num_candidates,
                    "num_accepted": len(accepted),
                    "dropped": dict(sorted((+dropped).items())),
                }
            ]
        )
        self.accepted += [(record["id"], record["instruction"]) for record in accepted]
        self.num_accepted_after.append(len(self.accepted))

    def _candidates(self, response: Record) -> tuple[list[str], Counter[str]]:
        """The instructions of an answer that pass the rules; how many items each rule drops."""
        said = answer(response, STOP)
        if said.text is None:
            return [], Counter(no_answer=1)
        found = lists.instructions(said.text, self.settings.num_in_context + 1)
        items, dropped = found.items, Counter(found.left_out)
        if said.is_cut_off and items:
            items = items[:-1]  # the others are whole
            dropped["cut_off"] += 1
        candidates = []
        for item in items:
            if rule := self.settings.heuristics.broken_by(item):
                dropped[rule] += 1
            else:
                candidates.append(item[:1].upper() + item[1:])
        return candidates, dropped

    def _accepted(
        self, request: Request, candidates: Sequence[str], about: Record
    ) -> list[dict[str, Any]]:
        """Records of the candidates that are not similar to any in the pool; adds them to it."""
        accepted: list[dict[str, Any]] = []
        for text, similarity in zip(candidates, self.pool.compare(candidates), strict=True):
            if similarity.maximum >= self.settings.max_similarity:
                continue
            self.pool.add(text)
            accepted.append(
                {
                    "id": f"machine-{request.index:06}-{len(accepted):02}",
                    "instruction": text,
                    "most_similar": similarity.most_similar,
                    "avg_similarity_score": similarity.mean,
                    "request_idx": request.index,
                    "provenance": about,
                }
            )
        return accepted


def generate(
    run: RunDirectory,
    dispatcher: Dispatcher,
    seed: int,
    seeds: Sequence[SeedTask],
    settings: Instructions,
    num_instructions: int,
) -> int:
    """Asks until there are num_instructions or, with the last answer, a few more; their number.

    Raises UserError where the model says nothing new.
    """
    state = Generation(run, seeds, seed, settings)
    under_way: deque[tuple[Request, list[str], Future[Record], bool]] = deque()
    num_fruitless = 0  # answers in a row, to requests of this process, without anything new
    with Progress("instructions", num_instructions, first=len(state.accepted)) as progress:
        while (before := len(state.accepted)) < num_instructions:
            if num_fruitless == settings.most_fruitless:
                raise UserError(
                    f"the last {num_fruitless} answers brought no new instruction, and there are "
                    f"{before:,} of {num_instructions:,}; see what became of them in "
                    f"{state.requests.path}, then take another model or a higher temperature, or "
                    "go on with those that there are"
                )
            left = num_instructions - before
            while len(under_way) < settings.lag and (
                not under_way or len(under_way) * state.num_accepted_per_request < left
            ):
                request, parents = state.request(state.num_processed + len(under_way))
                future = dispatcher.submit(request)
                under_way.append((request, parents, future, future.done()))
            request, parents, future, was_there = under_way.popleft()
            state.process(request, parents, dispatcher.result(future))
            num_new = len(state.accepted) - before
            num_fruitless = 0 if num_new else num_fruitless + (not was_there)
            progress.advance(num_new, note=str(dispatcher.spent))
    return len(state.accepted)


def provenance(response: Record, seed: int, parents: Sequence[str]) -> dict[str, Any]:
    """Where a record comes from; every line of every stage has it."""
    of_response = ("model", "parameters", "prompt_sha256", "created_at")
    return {**{name: response[name] for name in of_response}, "seed": seed, "parents": [*parents]}


def made_by(stage: str, log: Log, fields: Sequence[str]) -> list[Record]:
    """These fields of the records of an earlier stage; raises UserError where there are none."""
    if records := [{field: record[field] for field in fields} for record in log.read()]:
        return records
    raise UserError(
        f"{log.path} holds nothing; `tk-instruct self-instruct {stage} --run_dir "
        f"{log.path.parent}` makes it"
    )
