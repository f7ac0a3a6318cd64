"""Reads files of generated instructions in four formats, as prompts and completions."""

from collections.abc import Iterator
from typing import Annotated, Any, TypeAlias

import msgspec

from tk_instruct import schema
from tk_instruct.errors import UserError
from tk_instruct.files import Path


class Prepared(msgspec.Struct, frozen=True):
    """A line that `tk-instruct self-instruct prepare` writes."""

    id: str
    task: str
    instruction: str
    prompt: str
    completion: str

    def examples(self, otherwise: str) -> Iterator["Prepared"]:
        yield self


class _Instance(msgspec.Struct, frozen=True):
    input: str
    output: str


class SelfInstruct(msgspec.Struct, frozen=True):
    """A task with its instances, in the format of seed tasks."""

    instruction: str
    instances: Annotated[list[_Instance], msgspec.Meta(min_length=1)]
    id: str | int | None = None

    def examples(self, otherwise: str) -> Iterator[Prepared]:
        task = otherwise if self.id is None else str(self.id)
        for number, instance in enumerate(self.instances):
            text = prompt_of(self.instruction.strip(), instance.input.strip())
            yield Prepared(f"{task}-{number}", task, self.instruction, text, instance.output)


class Alpaca(msgspec.Struct, frozen=True):
    """An instruction with one input, which may be empty or absent."""

    instruction: str
    output: str
    input: str | None = None
    id: str | int | None = None

    def examples(self, otherwise: str) -> Iterator[Prepared]:
        task = otherwise if self.id is None else str(self.id)
        text = prompt_of(self.instruction.strip(), (self.input or "").strip())
        yield Prepared(task, task, self.instruction, text, self.output)


class P3(msgspec.Struct, frozen=True):
    """A rendered template. Records of wrong choices, which T0 ranks, give no example."""

    inputs_pretokenized: str
    targets_pretokenized: str
    is_correct: bool = True

    def examples(self, otherwise: str) -> Iterator[Prepared]:
        text = self.inputs_pretokenized
        if self.is_correct:
            yield Prepared(otherwise, otherwise, text, text, self.targets_pretokenized)


Format: TypeAlias = Prepared | SelfInstruct | Alpaca | P3

# The first format whose fields a record has is taken: prepared lines have the others' fields too.
_FORMATS: tuple[type[Format], ...] = (Prepared, SelfInstruct, Alpaca, P3)
FORMATS_READ = (
    "what `tk-instruct self-instruct prepare` writes, {instruction, instances}, {instruction, "
    "input, output} (Alpaca) and {inputs_pretokenized, targets_pretokenized} (P3)"
)


def read_training_data(path: Path) -> Iterator[tuple[str, Prepared]]:
    """(place in the file, example) for each example. An example without an id gets a number.

    Raises UserError with file, line, field and rule.
    """
    records = schema.read_records(path, dict[str, Any])
    for number, (where, record) in enumerate(records):
        form = schema.told_by_fields(record, _FORMATS)
        if form is None:
            raise UserError(
                f"{where}: {schema.shortened(list(record))} are the fields of no training data; "
                f"what is read is {FORMATS_READ}"
            )
        for example in schema.convert(record, form, where).examples(f"{path.stem}-{number:06}"):
            yield where, example


def prompt_of(instruction: str, input_: str) -> str:
    """The prompt of an instruction and its input, in the form of the published predictions."""
    return f"{instruction}\n\nInput: {input_}\nOutput:" if input_ else f"{instruction}\nOutput:"
