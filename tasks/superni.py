"""Super-NaturalInstructions: superni_{en,xlingual}_{encoding} and the mixtures of both tracks.

Splits: train, validation (instances of train tasks that training leaves over), dev (whole tasks),
test and excluded. Options come from gin: SuperNI.data_dir and its other fields, vocabulary.name.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import gin
import seqio

from tk_instruct.data import prompt, registry
from tk_instruct.data.records import SPLITS, SuperNI, TaskSpec
from tk_instruct.data.tokenization import TOKENIZERS, Plain
from tk_instruct.errors import UserError
from tk_instruct.metrics import superni as metrics
from tk_instruct.randomness import choose

TRACKS = {"en": "default", "xlingual": "xlingual"}

# Whether each field of a raw example is a list.
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
    del fingerprint  # part of the key: files that change are read again
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


def _source(track: str, only: str | None = None) -> registry.RecordSource:
    def fingerprint(split: str) -> str:
        return SuperNI().fingerprint(track, split, only)

    def load(split: str) -> Sequence[registry.RawExample]:
        return _load(SuperNI(), fingerprint(split), track, split, only)

    narrow = partial(_source, track) if only is None else None
    return registry.RecordSource(
        SPLITS, _FIELDS, load, fingerprint, narrow, selection=_selection, rendering=_rendering
    )


def _selection() -> str:
    return ", ".join(f"{name}={value}" for name, value in SuperNI().selection.items())


def _rendering() -> str:
    # The default is not named: runs that were begun before there was a choice go on.
    tokenization = SuperNI().tokenization
    return "" if tokenization == "seqio" else tokenization


def _renderer(encoding: str) -> Callable[[prompt.Tokenizer, int | None], registry.Render]:
    def prepare(tokenizer: prompt.Tokenizer, max_input_tokens: int | None) -> registry.Render:
        seed = SuperNI().seed
        budget = prompt.Budget(tokenizer, max_input_tokens) if max_input_tokens else None

        def render(
            id_: str, instruction: str, input_: str, references: Sequence[str]
        ) -> tuple[str, str]:
            task = TaskSpec.from_json(instruction)
            form = prompt.encoding_of(encoding, seed=seed, task=task.name, instance_id=id_)
            inputs = prompt.render(task, input_, form, budget)
            return inputs, choose(references, seed, "reference", task.name, id_)

        return render

    return prepare


def _tokenizer(vocabulary: seqio.Vocabulary) -> Plain:
    return TOKENIZERS[SuperNI().tokenization](vocabulary)


@dataclass(frozen=True)
class Target:
    """What a prediction is scored against and grouped by."""

    references: tuple[str, ...]
    task: str
    category: str


def _postprocess(output: str, *, example: Mapping[str, Any], is_target: bool) -> str | Target:
    """A prediction is scored as it is; a target stands for all the references."""
    if not is_target:
        return output
    return Target(
        references=tuple(text.decode("utf-8") for text in example["references"]),
        task=example["task"].decode("utf-8"),
        category=example["category"].decode("utf-8"),
    )


def _metric(track: str) -> Callable[..., Mapping[str, float]]:
    def superni(targets: Sequence[Target], predictions: Sequence[str]) -> Mapping[str, float]:
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


@gin.configurable(module="tk_instruct")
def gpt2_bpe(directory: str | None = None) -> str | None:
    """Where GPT-2's encoder.json and vocab.bpe lie, which ROUGE of the x-lingual track needs."""
    return directory


@gin.configurable(module="values.tk_instruct")
def superni_task(track: str, encoding: str) -> str:
    """The name of a track's task, for gin files that set one of the two: @superni_task()."""
    for name, value, known in (("track", track, TRACKS), ("encoding", encoding, prompt.ENCODINGS)):
        if value not in known:
            raise UserError(f"superni_task.{name}={value!r} must be one of {', '.join(known)}")
    return f"superni_{track}_{encoding}"


@gin.configurable(module="values.tk_instruct")
def subset(name: str, task: str) -> str:
    """The name of a SeqIO task with one constituent task only, for gin: @tk_instruct.subset()."""
    return registry.subset(name, task)


def _declare() -> None:
    for short, track in TRACKS.items():
        for encoding in prompt.ENCODINGS:
            registry.add_task(
                f"superni_{short}_{encoding}",
                source=_source(track),
                preprocessors=[
                    registry.Rendering(
                        _renderer(encoding),
                        reads=["id", "instruction", "input", "references"],
                        tokenize=_tokenizer,
                    )
                ],
                postprocess_fn=_postprocess,
                metric_fns=[_metric(track)],
            )
    for encoding in prompt.ENCODINGS:
        registry.add_mixture(
            f"superni_{encoding}", [f"superni_{short}_{encoding}" for short in TRACKS]
        )


_declare()
