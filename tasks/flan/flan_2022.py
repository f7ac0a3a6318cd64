"""FLAN 2022 (arXiv:2301.13688): its mixture weights over available tasks.

FLAN 2021 and Super-NaturalInstructions are this project's tasks. T0, chain of thought and dialog
come from the user's files, which gin names (FLAN2022.t0, .cot and .dialog). A line is JSON with
"inputs", "targets" and optionally "task" and "options". Without a file T0 comes from the tasks of
the mixture t0_train (t0_share.py). If some files are missing (--skip_missing),
the weights of the others keep their proportions. FLAN.seed also draws exemplars from the files, and
the examples of a task that has more than its cap.
"""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache, lru_cache, partial
from typing import Any

import msgspec

from tk_instruct import schema
from tk_instruct.data.registry import Mixture, origins_of_tasks
from tk_instruct.data.task import Example, RawExample, Render, Rendering, Source, Task
from tk_instruct.data.templates import OPTIONS, Template, options_block
from tk_instruct.data.tokenization import Tokenizer
from tk_instruct.errors import MissingDataError, UserError
from tk_instruct.files import Path, read_file
from tk_instruct.metrics import METRICS
from tk_instruct.metrics.target import Target
from tk_instruct.randomness import draw

from . import t0_share
from .prompts import FORMS, FewShot
from .settings import FLAN, FLAN2022

WEIGHTS = {"flan": 0.40, "t0": 0.32, "superni": 0.20, "cot": 0.05, "dialog": 0.03}
# Part → the maximum number of training examples of each of its tasks.
CAPS = {"t0": 20_000, "cot": 100_000, "dialog": 200_000}
# For chain of thought and dialog: how often the inverted form is drawn, relative to the plain form.
INVERSION = 0.3

_FIELDS = {"id": False, "task": False, "category": False, "inputs_": False, "targets_": False}
_LISTS = {"options": True, "references": True}
_READS = ["id", "task", "inputs_", "targets_", "options"]

PLAIN = Template("the text of a file", "{inputs_}\n\n{options_}", "{targets_}")
INVERTED = {
    "cot": Template(
        "inverted chain of thought",
        "Somebody was asked something and thought aloud:\n{targets_}\n\nWhat was the question?",
        "{inputs_}",
    ),
    "dialog": Template(
        "inverted dialog",
        "This was said last in a conversation:\n{targets_}\n\nWrite what was said before it.",
        "{inputs_}",
    ),
}


_REPAIR = 'correct it, each line is {"inputs": …, "targets": …}'


class _Line(msgspec.Struct, frozen=True):
    """A line of a user's file."""

    inputs: str
    targets: str
    options: list[str] = []
    task: str | int | None = None


def _path(part: str) -> Path:
    given = getattr(FLAN2022(), part)
    if not given:
        raise MissingDataError(
            f"no file of {part} is given; set the gin parameter FLAN2022.{part} to JSON lines "
            '{"inputs": …, "targets": …}, or give --skip_missing'
        )
    path = Path(given).expanduser()
    if not path.is_file():
        raise MissingDataError(f"FLAN2022.{part}={given} is no file; correct the path")
    return path


def _is_file(part: str) -> bool:
    return part != "t0" or bool(FLAN2022().t0)


def _fingerprint(part: str, split: str) -> str:
    if _is_file(part):
        content = hashlib.sha256(read_file(_path(part))).hexdigest()
    else:
        content = t0_share.fingerprint()
    return f"{content} {CAPS[part]} {FLAN().seed} {split}"


def _load(part: str, split: str) -> Iterable[RawExample]:
    if _is_file(part):
        return _read(part, split, _fingerprint(part, split))
    return t0_share.examples(split, CAPS[part])


def _count(part: str, split: str) -> int:
    if _is_file(part):
        return len(_read(part, split, _fingerprint(part, split)))
    return t0_share.count(split, CAPS[part])


@lru_cache(maxsize=6)
def _read(part: str, split: str, content: str) -> Sequence[RawExample]:
    """The examples of a split of a part's file, in the file's order.

    Validation has 1 in 100 examples of each task, at most 200. Train has the others, up to the cap.
    Raises UserError if the file is empty or a task has only one example.
    """
    del content  # only part of the cache's key, so that a changed file is read again
    path, seed = _path(part), FLAN().seed
    tasks: dict[str, list[RawExample]] = {}
    for line, given in schema.read_lines(path, _Line, _REPAIR):
        task = part if given.task is None else str(given.task)
        tasks.setdefault(task, []).append(
            {
                "id": f"{part}-{line:09}",
                "task": task,
                "category": part,
                "inputs_": given.inputs,
                "targets_": given.targets,
                "options": given.options,
                "references": [given.targets],
            }
        )
    if not tasks:
        raise UserError(f"{path} holds no examples; write one JSON object a line")
    chosen: list[RawExample] = []
    for found in tasks.values():
        found.sort(key=lambda record: draw(seed, "cap", str(record["id"])))
        num_held_out = min(200, -(-len(found) // 100))
        if len(found) == 1:
            raise UserError(
                f"{path} holds one example of {found[0]['task']!r}: there is none to train on "
                "beside one to validate with; add some"
            )
        kept = found[num_held_out:][: CAPS[part]] if split == "train" else found[:num_held_out]
        chosen += kept
    return sorted(chosen, key=lambda record: str(record["id"]))


def _prepare(
    part: str,
    template: Template,
    few_shot: bool,
    tokenizer: Tokenizer,
    max_input_tokens: int | None,
) -> Render:
    def rendered(
        id_: str, inputs: str, targets: str, options: Sequence[str], of: Template
    ) -> tuple[str, str]:
        fields = {"inputs_": inputs, "targets_": targets}
        if not options:
            return of.without_options.render(fields, id_)
        return of.render({**fields, OPTIONS: options_block(options)}, id_)

    is_file = _is_file(part)

    @cache
    def shots(task: str | None) -> FewShot:
        """Draws from a task's examples, or from those of the whole file."""
        if task is None:
            records = _read(part, "train", _fingerprint(part, "train"))
        else:
            records = t0_share.exemplars(task, CAPS[part])

        def exemplar(index: int, of: Template) -> tuple[str, str]:
            record = records[index]
            id_, inputs, targets = (str(record[key]) for key in ("id", "inputs_", "targets_"))
            return rendered(id_, inputs, targets, record["options"], of)

        ids = [str(record["id"]) for record in records]
        return FewShot(ids, exemplar, FLAN().seed, tokenizer, max_input_tokens)

    def render(
        id_: str, task: str, inputs: str, targets: str, options: Sequence[str]
    ) -> tuple[str, str]:
        texts = rendered(id_, inputs, targets, options, template)
        if few_shot:
            return shots(None if is_file else task).inputs(template, id_, texts[0]), texts[1]
        return texts

    return render


def _exported(example: Example) -> Mapping[str, Any]:
    return {
        "part": example["category"],
        "task_name": example["task"],
        "options": example["options"] or None,
    }


def _instance_text(raw: RawExample) -> tuple[str, Sequence[str]]:
    return str(raw["inputs_"]), raw["references"]


def _target(example: Example) -> Target:
    return Target((example["targets_pretokenized"],))


def _task(name: str, part: str, template: Template, few_shot: bool) -> Task:
    source = Source(
        ("train", "validation"),
        _FIELDS | _LISTS,
        partial(_load, part),
        partial(_fingerprint, part),
        count=partial(_count, part),
        selection=lambda: f"seed={FLAN().seed} cap={CAPS[part]}",
    )
    rendering = Rendering(partial(_prepare, part, template, few_shot), reads=_READS)
    return Task(
        name,
        source,
        rendering,
        _target,
        [METRICS["rouge"]],
        exported=_exported,
        instance_text=_instance_text,
    )


def origins(name: str, split: str) -> Mapping[str, Collection[str]]:
    """The tasks of T0's share → their source datasets. Nothing is known of the user's files."""
    if name.startswith("flan_2022_t0") and not _is_file("t0"):
        return origins_of_tasks(t0_share.MIXTURE, split)
    return {name: []}


def declared() -> Iterator[Task | Mixture]:
    """The tasks of the user's files, and the mixture of all parts."""
    for suffix, form in FORMS.items():
        template = PLAIN if form.options else PLAIN.without_options
        yield _task(f"flan_2022_t0{suffix}", "t0", template, form.few_shot)
    for part, inverted in INVERTED.items():
        for suffix, few_shot in (("", False), ("_fewshot", True)):
            yield _task(f"flan_2022_{part}{suffix}", part, PLAIN, few_shot)
            yield _task(f"flan_2022_{part}_inverted{suffix}", part, inverted, few_shot)
    yield Mixture("flan_2022", _weights())


def _weights() -> dict[str, float]:
    """Name of a task or mixture → its weight in FLAN 2022.

    Zero-shot and few-shot forms have equal weights. So have the forms of FLAN 2021 and T0 with and
    without options.
    """
    weights = {}
    for suffix in FORMS:
        weights[f"flan_all{suffix}"] = WEIGHTS["flan"] / len(FORMS)
        weights[f"flan_2022_t0{suffix}"] = WEIGHTS["t0"] / len(FORMS)
    for task in ("superni_en_def", "superni_en_def_pos2"):
        weights[task] = WEIGHTS["superni"] / 2
    for part in INVERTED:
        for suffix in ("", "_fewshot"):
            half = WEIGHTS[part] / 2
            weights[f"flan_2022_{part}{suffix}"] = half / (1 + INVERSION)
            weights[f"flan_2022_{part}_inverted{suffix}"] = half * INVERSION / (1 + INVERSION)
    return weights
