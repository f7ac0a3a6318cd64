"""Stage 2: a model says which instructions are classification."""

from dataclasses import dataclass

import gin

from tk_instruct.progress import Progress
from tk_instruct.self_instruct import parsing
from tk_instruct.self_instruct.clients import Parameters, Request
from tk_instruct.self_instruct.dispatch import Dispatcher
from tk_instruct.self_instruct.instructions import made_by, provenance
from tk_instruct.self_instruct.prompts import FewShot
from tk_instruct.self_instruct.run_directory import RunDirectory

STAGE = "classify"


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
    """Asks about every instruction that has not been asked about; how many there are.

    An answer that is neither yes nor no counts as no, as published.
    """
    log = run.log("classified")
    tasks = made_by("instructions", run.log("instructions"), ("id", "instruction"))
    done = {record["id"] for record in log.read()}
    requests = (
        Request(STAGE, index, few_shot.is_classification(task["instruction"]), settings.parameters)
        for index, task in enumerate(tasks)
        if task["id"] not in done
    )
    with Progress("classify", len(tasks), first=len(done)) as progress:
        for request, response in dispatcher.in_order(requests):
            task = tasks[request.index]
            log.append(
                [
                    {
                        "id": task["id"],
                        "instruction": task["instruction"],
                        "is_classification": parsing.yes_or_no(response["text"]) is True,
                        "answer": response["text"].strip(),
                        "provenance": provenance(response, seed, [task["id"]]),
                    }
                ]
            )
            progress.advance(note=str(dispatcher.spent))
    return len(tasks)
