"""Self-Instruct (arXiv:2212.10560): `self_instruct` is trained on, what a run has prepared.

`self_instruct_user_oriented` are the paper's 252 instructions of users, for people to rate the
answers (`tk-instruct evaluate --suite user_oriented`). Files are named by gin (SelfInstructData),
by flags or by environment variables.
"""

import hashlib
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, TypeAlias

import gin
import msgspec

from tk_instruct import schema
from tk_instruct.data import prompt, registry
from tk_instruct.data.user_oriented import read_user_oriented, user_oriented_path
from tk_instruct.errors import MissingDataError, UserError
from tk_instruct.files import Path, read_bytes
from tk_instruct.metrics import METRICS
from tk_instruct.metrics.target import Target
from tk_instruct.randomness import draw
from tk_instruct.ranges import check_number, check_seed

VARIABLE = "TK_INSTRUCT_SELF_INSTRUCT_DATA"

_FIELDS = {
    "id": False,
    "task": False,
    "category": False,
    "prompt": False,
    "completion": False,
    "references": True,
}


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


@gin.configurable(module="tk_instruct")
@dataclass(frozen=True)
class SelfInstructData:
    """path is a run's directory or a file of training data, user_oriented the user's file.

    validation_share of the instructions, rounded up, are validated with, drawn by the seed.
    """

    path: str | None = None
    user_oriented: str | None = None
    validation_share: float = 0.01
    seed: int = 0

    def __post_init__(self) -> None:
        check_number("validation_share", self.validation_share, "(0, 1)", try_=0.01)
        check_seed("SelfInstructData.seed", self.seed)

    @property
    def train_file(self) -> Path:
        given = self.path or os.environ.get(VARIABLE)
        if not given:
            raise MissingDataError(
                f"no generated data is given; set --self_instruct_data, the gin macro "
                f"SELF_INSTRUCT_DATA or ${VARIABLE} to a run of `tk-instruct self-instruct`, or to "
                "its prepared/train.jsonl"
            )
        path = Path(given).expanduser()
        candidates = (path, path / "train.jsonl", path / "prepared" / "train.jsonl")
        for candidate in candidates:
            if candidate.is_file():
                return candidate
        raise MissingDataError(
            f"--self_instruct_data={given} is neither a file nor a run with prepared/train.jsonl; "
            f"make that with `tk-instruct self-instruct prepare`, or correct the path"
        )


def _train_fingerprint(split: str) -> str:
    settings = SelfInstructData()
    content = hashlib.sha256(read_bytes(settings.train_file)).hexdigest()
    return f"{content} {settings.validation_share} {settings.seed} {split}"


def _selection() -> str:
    settings = SelfInstructData()
    return f"validation_share={settings.validation_share} seed={settings.seed}"


def _train_load(split: str) -> Sequence[registry.RawExample]:
    return _train_read(SelfInstructData(), split, _train_fingerprint(split))


@lru_cache(maxsize=4)
def _train_read(
    settings: SelfInstructData, split: str, content: str
) -> Sequence[registry.RawExample]:
    """No instruction is on both sides."""
    del content  # part of the key: a file that changes is read again
    path = settings.train_file
    of_instruction: dict[str, list[registry.RawExample]] = {}
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


def _user_oriented_fingerprint(split: str) -> str:
    path = user_oriented_path(SelfInstructData().user_oriented)
    return f"{hashlib.sha256(read_bytes(path)).hexdigest()} {split}"


def _user_oriented_load(split: str) -> Sequence[registry.RawExample]:
    path = user_oriented_path(SelfInstructData().user_oriented)
    return _user_oriented_read(path, _user_oriented_fingerprint(split))


@lru_cache(maxsize=2)
def _user_oriented_read(path: Path, content: str) -> Sequence[registry.RawExample]:
    del content
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


def prompt_of(instruction: str, input_: str) -> str:
    """The one form that the published predictions of all systems were prompted with."""
    return f"{instruction}\n\nInput: {input_}\nOutput:" if input_ else f"{instruction}\nOutput:"


def _example(id_: str, task: str, category: str, text: str, completion: str) -> registry.RawExample:
    """The space before a completion is GPT-3's: T5's vocabulary begins words with it anyway."""
    target = completion.removeprefix(" ")
    return {
        "id": id_,
        "task": task,
        "category": category,
        "prompt": text,
        "completion": target,
        "references": [target],
    }


def _prepare(tokenizer: prompt.Tokenizer, max_input_tokens: int | None) -> registry.Render:
    def render(text: str, completion: str) -> tuple[str, str]:
        return text, completion

    return render


def _postprocess(output: str, *, example: Mapping[str, Any], is_target: bool) -> str | Target:
    return Target(tuple(registry.decoded(example["references"]))) if is_target else output


def _add(
    name: str,
    splits: Sequence[str],
    load: Callable[[str], Sequence[registry.RawExample]],
    fingerprint: Callable[[str], str],
    selection: Callable[[], str] = str,
) -> None:
    registry.add_task(
        name,
        source=registry.RecordSource(splits, _FIELDS, load, fingerprint, selection=selection),
        preprocessors=[registry.Rendering(_prepare, reads=["prompt", "completion"])],
        postprocess_fn=_postprocess,
        metric_fns=[METRICS["rouge"], METRICS["accuracy"]],
    )


_add("self_instruct", ("train", "validation"), _train_load, _train_fingerprint, _selection)
_add(
    "self_instruct_user_oriented",
    ("test",),
    _user_oriented_load,
    _user_oriented_fingerprint,
)
