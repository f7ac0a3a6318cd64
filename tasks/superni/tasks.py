"""Super-NaturalInstructions: superni_{en,xlingual}_{encoding} and the mixtures of both tracks.

Splits: train, validation (further instances of the train tasks), dev (whole tasks), test and
excluded. Options come from gin: SuperNI.data_dir and its other fields, vocabulary.name.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any

from tk_instruct.data.registry import Mixture, proportional
from tk_instruct.data.task import Example, RawExample, Render, Rendering, Source, Task
from tk_instruct.data.tokenization import TOKENIZERS, Budget, Tokenizer
from tk_instruct.data.vocabulary import Vocabulary
from tk_instruct.randomness import choose

from . import metrics, prompt
from .metrics import Instance
from .records import SPLITS, SuperNI, TaskSpec
from .settings import TRACK_NAMES, gpt2_bpe

# Field of a raw example → whether it is a list.
_FIELDS = {
    "id": False,
    "task": False,
    "category": False,
    "instruction": False,
    "input": False,
    "references": True,
}


@lru_cache(maxsize=8)
def _load(options: SuperNI, fingerprint: str, track: str, split: str, only: str | None) -> Any:
    del fingerprint  # only part of the cache's key, so that changed files are read again
    return [
        {
            "id": example.id,
            "task": example.task.name,
            "category": example.task.category,
            "instruction": example.task.to_json(),
            "input": example.input,
            "references": example.references,
        }
        for example in options.examples(track, split, only)
    ]


def _source(track: str, only: str | None = None) -> Source:
    def fingerprint(split: str) -> str:
        return SuperNI().fingerprint(track, split, only)

    def load(split: str) -> Sequence[RawExample]:
        return _load(SuperNI(), fingerprint(split), track, split, only)

    narrow = partial(_source, track) if only is None else None
    return Source(
        SPLITS, _FIELDS, load, fingerprint, narrow, selection=_selection, rendering=_rendering
    )


def _selection() -> str:
    return ", ".join(f"{name}={value}" for name, value in SuperNI().selection.items())


def _rendering() -> str:
    # Empty for the default, so that runs from before this option can continue.
    tokenization = SuperNI().tokenization
    return "" if tokenization == "seqio" else tokenization


def _renderer(encoding: str) -> Callable[[Tokenizer, int | None], Render]:
    def prepare(tokenizer: Tokenizer, max_input_tokens: int | None) -> Render:
        seed = SuperNI().seed
        budget = Budget(tokenizer, max_input_tokens) if max_input_tokens else None

        def render(
            id_: str, instruction: str, input_: str, references: Sequence[str]
        ) -> tuple[str, str]:
            task = TaskSpec.from_json(instruction)
            form = prompt.encoding_of(encoding, seed=seed, task=task.name, instance_id=id_)
            inputs = prompt.render(task, input_, form, budget)
            return inputs, choose(references, seed, "reference", task.name, id_)

        return render

    return prepare


def _tokenizer(vocabulary: Vocabulary) -> Tokenizer:
    return TOKENIZERS[SuperNI().tokenization](vocabulary)


def _target(example: Example) -> Instance:
    return Instance(tuple(example["references"]), example["task"], example["category"])


def _exported(example: Example) -> Mapping[str, Any]:
    return {
        "targets": example["references"],
        "task_name": example["task"],
        "category": example["category"],
    }


def _instance_text(raw: RawExample) -> tuple[str, Sequence[str]]:
    return str(raw["input"]), raw["references"]


def _about(example: Example) -> Mapping[str, Sequence[str]]:
    spec = TaskSpec.from_json(example["instruction"])
    return {
        "categories": spec.categories[:1],
        "input_languages": spec.input_languages,
        "output_languages": spec.output_languages,
    }


def _unit(example: Example) -> str:
    return str(example["task"])


def _metric(track: str) -> Callable[..., Mapping[str, float]]:
    def superni(targets: Sequence[Instance], predictions: Sequence[str]) -> Mapping[str, float]:
        scores = metrics.score(
            predictions,
            [target.references for target in targets],
            groups=[
                [metrics.category_key(target.category) for target in targets],
                [target.task for target in targets],
            ],
            tokenize=metrics.tokenizer_of(track, gpt2_bpe()),
        )
        return {key: round(value, 4) for key, value in scores.items()}

    return superni


def origins(name: str, split: str) -> Mapping[str, Collection[str]]:
    """Task of a split → its source datasets. Needs the lists of tasks, and no task file.

    Raises MissingDataError if no data directory is set.
    """
    return SuperNI().origins(TRACK_NAMES[name.split("_")[1]], split)


def declared() -> Iterator[Task | Mixture]:
    """All tasks and mixtures of the suite."""
    for short, track in TRACK_NAMES.items():
        for encoding in prompt.ENCODINGS:
            yield Task(
                f"superni_{short}_{encoding}",
                _source(track),
                Rendering(
                    _renderer(encoding),
                    reads=["id", "instruction", "input", "references"],
                    tokenize=_tokenizer,
                ),
                _target,
                [_metric(track)],
                _about,
                exported=_exported,
                unit=_unit,
                instance_text=_instance_text,
            )
    for encoding in prompt.ENCODINGS:
        parts = [f"superni_{short}_{encoding}" for short in TRACK_NAMES]
        yield proportional(f"superni_{encoding}", parts)
