"""Stage 1: a model is shown tasks and goes on with the list; what is new is kept, and shown too."""

from collections import Counter, deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import gin

from tk_instruct import randomness
from tk_instruct.errors import UserError
from tk_instruct.progress import Progress
from tk_instruct.self_instruct import lists, prompts
from tk_instruct.self_instruct.answers import answer
from tk_instruct.self_instruct.clients import Parameters, Request
from tk_instruct.self_instruct.dispatch import Dispatcher
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

    A prompt shows num_in_context instructions, num_machine_in_context of them the model's own. A
    new one is kept whose ROUGE-L with every other is below max_similarity. The model's own that a
    prompt shows were accepted at least lag requests before: so that lag requests can be under way
    at a time and none depends on which of them is answered first. The run gives up when
    most_fruitless requests in a row brought nothing new. ROUGE-L compares what tokenize makes of
    texts: @rouge_tokens, or @unicode_tokens for languages other than English.
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
    """The state of stage 1: a function of seeds, settings and the answers processed so far."""

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
        # After a kill between the two files, or where a line was taken out, it is made again.
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
        """Of the last hundred, and of one of which all was new, so that few are asked in vain."""
        last = self.num_accepted_after[-101:]
        return (last[-1] - last[0] + self.settings.num_in_context) / len(last)

    def request(self, index: int) -> tuple[Request, list[str]]:
        """The prompt and the ids of the tasks in it; index - lag must have been processed."""
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
        """Takes an answer's new instructions in; on disk when it returns."""
        said = answer(response, STOP)
        items, dropped = list[str](), Counter(no_answer=1)
        if said.text is not None:
            found = lists.instructions(said.text, self.settings.num_in_context + 1)
            items, dropped = found.items, Counter(found.left_out)
        num_candidates = len(items) + dropped.total()
        if said.is_cut_off and items:
            items = items[:-1]  # the others are whole
            dropped["cut_off"] += 1
        candidates = []
        for item in items:
            if rule := self.settings.heuristics.broken_by(item):
                dropped[rule] += 1
            else:
                candidates.append(item[:1].upper() + item[1:])
        about = provenance(response, self.seed, parents)
        accepted: list[dict[str, Any]] = []
        for text, similarity in zip(candidates, self.pool.compare(candidates), strict=True):
            if similarity.maximum >= self.settings.max_similarity:
                dropped["similar"] += 1
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
        self.instructions.append(accepted)
        self.requests.append(
            [
                {
                    "request_idx": request.index,
                    "key": request.key,
                    "num_candidates": num_candidates,
                    "num_accepted": len(accepted),
                    "dropped": dict(sorted(dropped.items())),
                }
            ]
        )
        self.accepted += [(record["id"], record["instruction"]) for record in accepted]
        self.num_accepted_after.append(len(self.accepted))


def generate(
    run: RunDirectory,
    dispatcher: Dispatcher,
    seed: int,
    seeds: Sequence[SeedTask],
    settings: Instructions,
    num_instructions: int,
) -> int:
    """Until there are num_instructions or, with the last answer, some more; their number.

    Raises UserError where the model has nothing new to say.
    """
    state = Generation(run, seeds, seed, settings)
    under_way: deque[tuple[Request, list[str], Future[Record], bool]] = deque()
    num_fruitless = 0  # of the last answers, in a row, to what this process has asked
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
    """Where a record comes from: what every line of every stage carries."""
    of_response = ("model", "parameters", "prompt_sha256", "created_at")
    return {**{name: response[name] for name in of_response}, "seed": seed, "parents": [*parents]}


def made_by(stage: str, log: Log, fields: Sequence[str]) -> list[Record]:
    """What an earlier stage has made, of it the fields; raises UserError where that is nothing."""
    if records := [{field: record[field] for field in fields} for record in log.read()]:
        return records
    raise UserError(
        f"{log.path} holds nothing; `tk-instruct self-instruct {stage} --run_dir "
        f"{log.path.parent}` makes it"
    )
