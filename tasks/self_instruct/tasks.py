"""Self-Instruct (arXiv:2212.10560): the tasks `self_instruct` and `self_instruct_user_oriented`.

`self_instruct` is the training data of a run. `self_instruct_user_oriented` is the paper's 252
user-oriented instructions, whose answers people rate (`tk-instruct evaluate --suite
user_oriented`). Gin (SelfInstructData), flags or environment variables name the files.
"""

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from tk_instruct.data.task import Example, RawExample, Render, Rendering, Source, Task
from tk_instruct.errors import UserError
from tk_instruct.files import Path, read_bytes
from tk_instruct.metrics import METRICS
from tk_instruct.metrics.target import Target
from tk_instruct.randomness import draw

from .settings import SelfInstructData
from .training_data import prompt_of, read_training_data
from .user_oriented import read_user_oriented, user_oriented_path

_FIELDS = {
    "id": False,
    "task": False,
    "category": False,
    "prompt": False,
    "completion": False,
    "references": True,
}


def _train_fingerprint(split: str) -> str:
    settings = SelfInstructData()
    content = hashlib.sha256(read_bytes(settings.train_file)).hexdigest()
    return f"{content} {settings.validation_share} {settings.seed} {split}"


def _selection() -> str:
    settings = SelfInstructData()
    return f"validation_share={settings.validation_share} seed={settings.seed}"


def _train_load(split: str) -> Sequence[RawExample]:
    return _train_read(SelfInstructData(), split, _train_fingerprint(split))


@lru_cache(maxsize=4)
def _train_read(settings: SelfInstructData, split: str, content: str) -> Sequence[RawExample]:
    """The examples of a split, sorted by id. An instruction is in only one of the splits.

    Raises UserError if an id is there twice or the file has fewer than two instructions.
    """
    del content  # only part of the cache's key, so that a changed file is read again
    path = settings.train_file
    of_instruction: dict[str, list[RawExample]] = {}
    ids: set[str] = set()
    for where, found in read_training_data(path):
        if found.id in ids:
            raise UserError(f"{where}: id {found.id!r} is there twice; remove one of the two")
        ids.add(found.id)
        example = _example(found.id, found.task, "self_instruct", found.prompt, found.completion)
        of_instruction.setdefault(found.instruction, []).append(example)
    if len(of_instruction) < 2:
        raise UserError(
            f"{path} holds {len(of_instruction)} instructions, and one is validated with; generate "
            "more"
        )
    drawn = sorted(of_instruction, key=lambda text: draw(settings.seed, "validation", text))
    num_held_out = min(len(drawn) - 1, math.ceil(settings.validation_share * len(drawn)))
    kept = drawn[:num_held_out] if split == "validation" else drawn[num_held_out:]
    chosen = (example for instruction in kept for example in of_instruction[instruction])
    return sorted(chosen, key=lambda example: str(example["id"]))


def _user_oriented_fingerprint(split: str) -> str:
    path = user_oriented_path(SelfInstructData().user_oriented)
    return f"{hashlib.sha256(read_bytes(path)).hexdigest()} {split}"


def _user_oriented_load(split: str) -> Sequence[RawExample]:
    path = user_oriented_path(SelfInstructData().user_oriented)
    return _user_oriented_read(path, _user_oriented_fingerprint(split))


@lru_cache(maxsize=2)
def _user_oriented_read(path: Path, content: str) -> Sequence[RawExample]:
    del content  # only part of the cache's key
    return [
        _example(
            example.id,
            example.task,
            example.app,
            prompt_of(example.instruction, example.input),
            example.output,
        )
        for example in read_user_oriented(path)
    ]


def _example(id_: str, task: str, category: str, text: str, completion: str) -> RawExample:
    """A raw example. Drops the space before a completion, which GPT-3 needs and T5 adds itself."""
    target = completion.removeprefix(" ")
    return {
        "id": id_,
        "task": task,
        "category": category,
        "prompt": text,
        "completion": target,
        "references": [target],
    }


def _prepare(tokenizer: Any, max_input_tokens: int | None) -> Render:
    def render(text: str, completion: str) -> tuple[str, str]:
        return text, completion

    return render


def _target(example: Example) -> Target:
    return Target(tuple(example["references"]))


def _unit(example: Example) -> str:
    return str(example["task"])


def _exported(example: Example) -> Mapping[str, Any]:
    return {"task_name": example["task"], "category": example["category"]}


def declared() -> Iterator[Task]:
    """The task for training, and the task whose answers people rate."""
    train = Source(
        ("train", "validation"), _FIELDS, _train_load, _train_fingerprint, selection=_selection
    )
    rated = Source(("test",), _FIELDS, _user_oriented_load, _user_oriented_fingerprint)
    rendering = Rendering(_prepare, reads=["prompt", "completion"])
    metrics = [METRICS["rouge"], METRICS["accuracy"]]
    for name, source in (("self_instruct", train), ("self_instruct_user_oriented", rated)):
        yield Task(name, source, rendering, _target, metrics, exported=_exported, unit=_unit)
