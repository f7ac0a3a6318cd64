"""Stage 3: the model writes inputs and outputs of each task; for classification, labels first."""

from collections import Counter
from dataclasses import dataclass

import gin

from tk_instruct import randomness
from tk_instruct.completions import Parameters, Request
from tk_instruct.completions.dispatch import Dispatcher
from tk_instruct.errors import UserError
from tk_instruct.progress import Progress
from tk_instruct.self_instruct import examples
from tk_instruct.self_instruct.answers import Answer, answer
from tk_instruct.self_instruct.heuristics import contradict, instance_broken_by
from tk_instruct.self_instruct.instructions import made_by, provenance
from tk_instruct.self_instruct.prompts import FewShot
from tk_instruct.self_instruct.run_directory import Record, RunDirectory
from tk_instruct.self_instruct.seeds import Instance

STAGE = "instances"
STOP = ("Example 6", "Task:")  # as published
_FIELDS = ("id", "instruction", "is_classification")


@gin.configurable(module="tk_instruct")
@dataclass(frozen=True)
class Instances:
    """The requests for instances; at most max_instances of each task are kept."""

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
    """Asks for instances of each classified instruction without any; the number of instructions."""
    log = run.log("instances")
    tasks = made_by("classify", run.log("classified"), _FIELDS)
    done = {record["id"] for record in log.read()}

    def request(index: int) -> Request:
        instruction = tasks[index]["instruction"]
        if tasks[index]["is_classification"]:
            prompt = few_shot.output_first(instruction)
            scope = "classification_instances"
            return Request(STAGE, index, prompt, settings.classification_parameters, scope)
        return Request(STAGE, index, few_shot.input_first(instruction), settings.parameters)

    requests = (request(index) for index, task in enumerate(tasks) if task["id"] not in done)
    with Progress("instances", len(tasks), first=len(done)) as progress:
        for asked, response in dispatcher.in_order(requests):
            log.append([_record(tasks[asked.index], response, seed, settings.max_instances)])
            progress.advance(note=str(dispatcher.spent))
    return len(tasks)


def _record(task: Record, response: Record, seed: int, max_instances: int) -> Record:
    instances, dropped = kept(
        answer(response, STOP),
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
    said: Answer, is_classification: bool, max_instances: int, seed: int, id_: str
) -> tuple[list[Instance], dict[str, int]]:
    """The instances of an answer that pass the rules, and how many each rule drops.

    From more than max_instances, max_instances are drawn. An answer without instances counts as
    one that the rule `unparsed` drops; an answer that is only reasoning, `no_answer`.
    """
    dropped: Counter[str] = Counter()
    parse = examples.output_first if is_classification else examples.input_first
    found = [] if said.text is None else parse(said.text)
    if not found:
        dropped["no_answer" if said.text is None else "unparsed"] += 1
    if said.is_cut_off and found:
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
