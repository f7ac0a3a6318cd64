"""Files of generated instructions, in four formats → prompts and completions."""

from collections.abc import Iterator
from typing import Annotated, Any, TypeAlias

import msgspec

from tk_instruct import schema
from tk_instruct.errors import UserError
from tk_instruct.files import Path


class Prepared(msgspec.Struct, frozen=True):
    """A line that `tk-instruct self-instruct prepare` has written."""

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
    """A task with its instances, as seed tasks are written."""

    instruction: str
    instances: Annotated[list[_Instance], msgspec.Meta(min_length=1)]
    id: str | int | None = None

    def examples(self, otherwise: str) -> Iterator[Prepared]:
        task = otherwise if self.id is None else str(self.id)
        for number, instance in enumerate(self.instances):
            text = prompt_of(self.instruction.strip(), instance.input.strip())
            yield Prepared(f"{task}-{number}", task, self.instruction, text, instance.output)


class Alpaca(msgspec.Struct, frozen=True):
    """An instruction with one input, empty or left out where it needs none."""

    instruction: str
    output: str
    input: str | None = None
    id: str | int | None = None

    def examples(self, otherwise: str) -> Iterator[Prepared]:
        task = otherwise if self.id is None else str(self.id)
        text = prompt_of(self.instruction.strip(), (self.input or "").strip())
        yield Prepared(task, task, self.instruction, text, self.output)


class P3(msgspec.Struct, frozen=True):
    """A rendered template. Of the choices that T0 ranks, each a record, the right one is kept."""

    inputs_pretokenized: str
    targets_pretokenized: str
    is_correct: bool = True

    def examples(self, otherwise: str) -> Iterator[Prepared]:
        text = self.inputs_pretokenized
        if self.is_correct:
            yield Prepared(otherwise, otherwise, text, text, self.targets_pretokenized)


Format: TypeAlias = Prepared | SelfInstruct | Alpaca | P3

# The first whose fields a record has: prepared lines have Alpaca's too.
_FORMATS: tuple[type[Format], ...] = (Prepared, SelfInstruct, Alpaca, P3)
FORMATS_READ = (
    "what `tk-instruct self-instruct prepare` writes, {instruction, instances}, {instruction, "
    "input, output} (Alpaca) and {inputs_pretokenized, targets_pretokenized} (P3)"
)


def read_training_data(path: Path) -> Iterator[tuple[str, Prepared]]:
    """(where it stands, example); UserError names file, line, field and rule.

    Examples that have no id of their own are numbered.
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
    """The one form that the published predictions of all systems were prompted with."""
    return f"{instruction}\n\nInput: {input_}\nOutput:" if input_ else f"{instruction}\nOutput:"
