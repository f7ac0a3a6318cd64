"""Instances as training data, encoded as published (Self-Instruct, arXiv:2212.10560, section 2.3).

Writes these files to prepared/, each atomically; the same run gives the same bytes:

  all_generated_instances.jsonl  the instances that the model made: {id, instruction, input, output}
  train.jsonl                    the training examples, shuffled: {…, prompt, completion}
  alpaca.jsonl, chat.jsonl       the same examples as {instruction, input, output} and as messages
  DATA_CARD.md                   what the data is and how it was made
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gin

from tk_instruct.errors import UserError
from tk_instruct.files import write_atomically
from tk_instruct.randomness import draw
from tk_instruct.self_instruct import data_card
from tk_instruct.self_instruct.encodings import Example, encode
from tk_instruct.self_instruct.run_directory import RunDirectory
from tk_instruct.self_instruct.seeds import read_seeds


@gin.configurable(module="tk_instruct")
@dataclass(frozen=True)
class Preparation:
    """How training data is written.

    include_seeds: whether the seed tasks are training examples too.
    field_name_removal: the share of inputs from which the field's name is removed.
    licence: the text on the data card; None: a note that it is to be filled in.
    """

    include_seeds: bool = True
    field_name_removal: float = 0.5
    licence: str | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.field_name_removal <= 1:
            raise UserError(
                f"field_name_removal={self.field_name_removal:g} must be from 0 to 1; 0 leaves "
                "every input as it is"
            )


@dataclass(frozen=True)
class Prepared:
    """The result of `prepare`; dropped is the number of instances left out, by reason."""

    folder: Path
    generated: Sequence[Example]
    train: Sequence[Example]
    dropped: Counter[str]


def prepare(run: RunDirectory, settings: Preparation | None = None) -> Prepared:
    """Writes prepared/ from the instances that a run has so far.

    Keeps one of several equal instances, also if they are of different tasks. It looks for them
    before and after encoding; the published code looks only after, where different encodings hide
    them. Raises UserError where there are no instances.
    """
    settings = settings or Preparation()
    begun_with = run.begun_with
    if begun_with is None:
        raise UserError(f"{run.path} holds no run; begin one with `tk-instruct self-instruct run`")
    seed = begun_with["seed"]
    dropped: Counter[str] = Counter()
    generated = _once(_generated(run), dropped)
    seeds = _seeds(run) if settings.include_seeds else []
    candidates = _once([*seeds, *generated], dropped)
    candidates.sort(key=lambda example: draw(seed, "shuffle", example.id))
    encoded: dict[tuple[str, str], Example] = {}
    for example in candidates:
        encoded.setdefault(encode(example, seed, settings.field_name_removal), example)
    dropped["the same prompt and completion"] = len(candidates) - len(encoded)

    folder = run.path / "prepared"
    prepared = Prepared(folder, generated, list(encoded.values()), dropped)
    _write(
        folder / "all_generated_instances.jsonl",
        ({"id": example.id, **example.plain} for example in generated),
    )
    _write(
        folder / "train.jsonl",
        (
            {
                "id": example.id,
                "task": example.task,
                **example.plain,
                "prompt": prompt,
                "completion": completion,
            }
            for (prompt, completion), example in encoded.items()
        ),
    )
    _write(folder / "alpaca.jsonl", (example.plain for example in prepared.train))
    _write(folder / "chat.jsonl", map(_as_chat, prepared.train))
    card = data_card.text(
        run, begun_with, prepared.generated, prepared.train, dropped, settings.licence
    )
    write_atomically(folder / "DATA_CARD.md", [card])
    return prepared


def _generated(run: RunDirectory) -> Iterator[Example]:
    log = run.log("instances")
    found = False
    for record in log.read():
        found = True
        for number, instance in enumerate(record["instances"]):
            yield _example(record["id"], number, record, instance)
    if not found:
        raise UserError(
            f"{run.path} holds no instances; generate some with `tk-instruct self-instruct run`"
        )


def _seeds(run: RunDirectory) -> list[Example]:
    return [
        _example(task.id, number, task.as_json(), vars(instance))
        for task in read_seeds(str(run.path / "seed_tasks.jsonl"))
        for number, instance in enumerate(task.instances)
    ]


def _example(task: str, number: int, record: dict[str, Any], instance: dict[str, str]) -> Example:
    return Example(
        f"{task}-{number}",
        task,
        record["instruction"].strip(),
        instance["input"].strip(),
        instance["output"].strip(),
        record["is_classification"],
    )


def _once(examples: Iterable[Example], dropped: Counter[str]) -> list[Example]:
    """The first of the examples that have the same texts; counts the others as dropped."""
    found: dict[tuple[str, str, str], Example] = {}
    for example in examples:
        if found.setdefault(example.texts, example) is not example:
            dropped["the same instruction, input and output"] += 1
    return list(found.values())


def _as_chat(example: Example) -> dict[str, Any]:
    asked = f"{example.instruction}\n\n{example.input}" if example.input else example.instruction
    return {
        "messages": [
            {"role": "user", "content": asked},
            {"role": "assistant", "content": example.output},
        ]
    }


def _write(path: Path, records: Iterable[dict[str, Any]]) -> None:
    lines = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    write_atomically(path, lines.encode("utf-8", "backslashreplace"))
