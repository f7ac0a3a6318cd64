"""Stage 2: a model says which instructions are classification."""

from collections.abc import Iterator
from dataclasses import dataclass

import gin

from tk_instruct.completions import Parameters, Request
from tk_instruct.completions.dispatch import Dispatcher
from tk_instruct.errors import UserError
from tk_instruct.progress import Progress
from tk_instruct.self_instruct.answers import without_reasoning, yes_or_no
from tk_instruct.self_instruct.instructions import made_by, provenance
from tk_instruct.self_instruct.prompts import FewShot
from tk_instruct.self_instruct.run_directory import Record, RunDirectory

STAGE = "classify"
_MIN_ANSWERS = 5  # before the share of unclear answers is judged


@gin.configurable(module="tk_instruct")
@dataclass(frozen=True)
class Classify:
    parameters: Parameters


def classify(
    run: RunDirectory,
    dispatcher: Dispatcher,
    seed: int,
    few_shot: FewShot,
    settings: Classify,
) -> int:
    """Asks for each new instruction whether it is classification; the number of instructions.

    An answer that is neither yes nor no counts as no, as published. Raises UserError where most
    answers to this process are neither.
    """
    log = run.log("classified")
    tasks = made_by("instructions", run.log("instructions"), ("id", "instruction"))
    done = {record["id"] for record in log.read()}
    asked_now: set[str] = set()

    def requests() -> Iterator[Request]:
        for index, task in enumerate(tasks):
            if task["id"] not in done:
                prompt = few_shot.is_classification(task["instruction"])
                request = Request(STAGE, index, prompt, settings.parameters)
                if not dispatcher.is_answered(request):
                    asked_now.add(request.key)
                yield request

    num_now = num_unclear = 0
    with Progress("classify", len(tasks), first=len(done)) as progress:
        for request, response in dispatcher.in_order(requests()):
            task = tasks[request.index]
            said = without_reasoning(response["text"]) or ""
            verdict = yes_or_no(said)
            if request.key in asked_now:
                num_now, num_unclear = num_now + 1, num_unclear + (verdict is None)
            if num_now >= _MIN_ANSWERS and 2 * num_unclear > num_now:
                raise _unclear(num_unclear, num_now, response, request)
            log.append(
                [
                    {
                        "id": task["id"],
                        "instruction": task["instruction"],
                        "is_classification": verdict is True,
                        "answer": said.strip(),
                        "provenance": provenance(response, seed, [task["id"]]),
                    }
                ]
            )
            progress.advance(note=str(dispatcher.spent))
    return len(tasks)


def _unclear(num_unclear: int, num_asked: int, response: Record, request: Request) -> UserError:
    most = request.parameters.max_tokens
    repair = (
        f"they end at classify/Parameters.max_tokens={most}: raise it, to {max(16, 4 * most)} or, "
        "for a model that reasons, to some thousands (--gin_file=servers/reasoning.gin)"
        if response["finish_reason"] == "length"
        else "take another model, or with --api chat set OpenAIChat.lead to ask for one word"
    )
    return UserError(
        f"{num_unclear} of the {num_asked} answers on which tasks are classification are neither "
        f"yes nor no (the last: {response['text']!r:.80}, finish_reason "
        f"{response['finish_reason']!r}); {repair}, and run it again: it goes on"
    )
