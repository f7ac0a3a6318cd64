"""Stage 3: a model gives inputs and outputs of tasks; of classification it gives labels first."""

from collections import Counter
from dataclasses import dataclass

import gin

from tk_instruct import randomness
from tk_instruct.errors import UserError
from tk_instruct.progress import Progress
from tk_instruct.self_instruct import parsing
from tk_instruct.self_instruct.clients import Parameters, Request
from tk_instruct.self_instruct.dispatch import Dispatcher
from tk_instruct.self_instruct.heuristics import contradict, instance_broken_by
from tk_instruct.self_instruct.instructions import made_by, provenance
from tk_instruct.self_instruct.prompts import FewShot
from tk_instruct.self_instruct.run_directory import Record, RunDirectory
from tk_instruct.self_instruct.seeds import Instance

STAGE = "instances"
_FIELDS = ("id", "instruction", "is_classification")


@gin.configurable(module="tk_instruct")
@dataclass(frozen=True)
class Instances:
    """How instances are asked for: at most max_instances of a task are kept."""

    parameters: Parameters
    classification_parameters: Parameters
    max_instances: int = 5

    def __post_init__(self) -> None:
        if self.max_instances < 1:
            raise UserError(f"Instances.max_instances={self.max_instances} must be at least 1")


def instantiate(
    run: RunDirectory,
    dispatcher: Dispatcher,
    seed: int,
    few_shot: FewShot,
    settings: Instances,
) -> int:
    """Asks for instances of every classified instruction that has none yet; how many there are."""
    log = run.log("instances")
    tasks = made_by("classify", run.log("classified"), _FIELDS)
    done = {record["id"] for record in log.read()}

    def request(index: int) -> Request:
        instruction = tasks[index]["instruction"]
        if tasks[index]["is_classification"]:
            prompt, parameters = few_shot.output_first, settings.classification_parameters
        else:
            prompt, parameters = few_shot.input_first, settings.parameters
        return Request(STAGE, index, prompt(instruction), parameters)

    requests = (request(index) for index, task in enumerate(tasks) if task["id"] not in done)
    with Progress("instances", len(tasks), first=len(done)) as progress:
        for asked, response in dispatcher.in_order(requests):
            log.append([_record(tasks[asked.index], response, seed, settings.max_instances)])
            progress.advance(note=str(dispatcher.spent))
    return len(tasks)


def _record(task: Record, response: Record, seed: int, max_instances: int) -> Record:
    instances, dropped = kept(
        response["text"],
        response["finish_reason"],
        bool(task["is_classification"]),
        max_instances,
        seed,
        task["id"],
    )
    return {
        "id": task["id"],
        "instruction": task["instruction"],
        "is_classification": task["is_classification"],
        "raw_instances": response["text"],
        "finish_reason": response["finish_reason"],
        "instances": [vars(instance) for instance in instances],
        "dropped": dropped,
        "provenance": provenance(response, seed, [task["id"]]),
    }


def kept(
    text: str, finish_reason: str, is_classification: bool, max_instances: int, seed: int, id_: str
) -> tuple[list[Instance], dict[str, int]]:
    """The instances of an answer that are worth keeping, and how many each rule has dropped.

    Of more than max_instances some are drawn. An answer in which none is found counts as one that
    `unparsed` has dropped.
    """
    dropped: Counter[str] = Counter()
    found = parsing.output_first(text) if is_classification else parsing.input_first(text)
    if not found:
        dropped["unparsed"] += 1
    if finish_reason == "length" and found:
        found.pop()
        dropped["cut_off"] += 1
    good = []
    for instance in found:
        if rule := instance_broken_by(instance):
            dropped[rule] += 1
        else:
            good.append(instance)
    if contradict(good):
        dropped["contradiction"] += len(good)
        good = []
    different = list(dict.fromkeys(good))
    chosen = randomness.sample(range(len(different)), max_instances, seed, "instances", id_)
    for rule, count in (
        ("duplicate", len(good) - len(different)),
        ("too_many", len(different) - len(chosen)),
    ):
        if count:
            dropped[rule] += count
    return [different[index] for index in sorted(chosen)], dict(sorted(dropped.items()))
