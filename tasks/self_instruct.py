"""Self-Instruct (arXiv:2212.10560): `self_instruct` is trained on, what a run has prepared.

`self_instruct_user_oriented` are the paper's 252 instructions of users, for people to rate the
answers (`tk-instruct evaluate --suite user_oriented`). Files are named by gin (SelfInstructData),
by flags or by environment variables.
"""

import hashlib
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import gin

from tk_instruct.data import prompt, registry
from tk_instruct.data.user_oriented import UserOriented, read_user_oriented, user_oriented_path
from tk_instruct.errors import MissingDataError, UserError
from tk_instruct.files import Path, read_bytes, read_jsonl
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
_TRAIN_FIELDS = ("id", "task", "instruction", "prompt", "completion")


@gin.configurable(module="tk_instruct")
@dataclass(frozen=True)
class SelfInstructData:
    """path is a run's directory or its train.jsonl, user_oriented the user's file.

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
    for line, record in read_jsonl(path):
        for field in _TRAIN_FIELDS:
            if not isinstance(record.get(field), str):
                raise UserError(
                    f"{path}:{line}: {field}={record.get(field)!r:.60} must be a string; "
                    "`tk-instruct self-instruct prepare` writes the file"
                )
        if record["id"] in ids:
            raise UserError(
                f"{path}:{line}: id {record['id']!r} is there twice; remove one of the lines"
            )
        ids.add(record["id"])
        example = _example(
            record["id"], record["task"], "self_instruct", record["prompt"], record["completion"]
        )
        of_instruction.setdefault(record["instruction"], []).append(example)
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


def _user_oriented_load(split: str) -> Sequence[registry.RawExample]:
    path = user_oriented_path(SelfInstructData().user_oriented)
    return _user_oriented_read(path, _user_oriented_fingerprint(split))


@lru_cache(maxsize=2)
def _user_oriented_read(path: Path, content: str) -> Sequence[registry.RawExample]:
    del content
    return [
        _example(
            example.id, example.task, example.app, user_oriented_prompt(example), example.output
        )
        for example in read_user_oriented(path)
    ]


def user_oriented_prompt(example: UserOriented) -> str:
    """The one form that the published predictions of all systems were prompted with."""
    if example.input:
        return f"{example.instruction}\n\nInput: {example.input}\nOutput:"
    return f"{example.instruction}\nOutput:"


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
