"""A task as suites declare it. Pure Python: neither SeqIO nor TensorFlow is imported.

Declaring reads nothing: data, vocabulary and options are looked up when examples are asked for.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np

from tk_instruct.data.tokenization import Plain, Tokenizer
from tk_instruct.data.tokens import FeatureLengths
from tk_instruct.data.vocabulary import fingerprint, vocabulary
from tk_instruct.errors import UserError

# A raw example: its texts and lists of texts by field.
RawExample = Mapping[str, str | Sequence[str]]
# Fields of a raw example → its inputs and targets as text.
Render = Callable[..., tuple[str, str]]
# An example's id, task, inputs, targets and whatever else its task gives.
Example = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Source:
    """Where a task's raw examples come from, and how one knows that they have changed.

    Attributes:
        fields: of each field whether it is a list of texts.
        load: split → its examples.
        content: split → a text that differs whenever the examples would; raises MissingDataError
            where the data is not there.
        narrow: name of a constituent task → the same source with its examples alone.
        count: split → how many examples there are, where that is known without loading them.
        tfds_name: the dataset that TFDS can download.
        selection: the options that examples are chosen by, known without the data.
        rendering: the options that prompts depend on, known without the data.
    """

    splits: Sequence[str]
    fields: Mapping[str, bool]
    load: Callable[[str], Sequence[RawExample]]
    content: Callable[[str], str]
    narrow: Callable[[str], "Source"] | None = None
    count: Callable[[str], int] | None = None
    tfds_name: str | None = None
    selection: Callable[[], str] = str
    rendering: Callable[[], str] = str

    def num_examples(self, split: str) -> int:
        return self.count(split) if self.count else len(self.load(split))

    def fingerprint(self, split: str) -> str:
        """Differs whenever the examples or their prompts would; raises as content does."""
        return " ".join(filter(None, (self.content(split), self.rendering())))


class Rendering:  # not a dataclass: SeqIO would set fields instead of giving arguments
    """How raw examples become text and tokens, by a pure Python function of strings.

    prepare(tokenizer, max_input_tokens) is called once for a split and gives the function that
    renders an example from the fields named in reads, in their order. tokenize(vocabulary) gives
    the tokenizer.
    """

    def __init__(
        self,
        prepare: Callable[[Any, int | None], Render],
        reads: Sequence[str],
        tokenize: Callable[[Any], Tokenizer] = Plain,
    ) -> None:
        self.prepare = prepare
        self.reads = reads
        self.tokenize = tokenize

    def encoder(
        self, vocabulary: Any, max_input_tokens: int | None
    ) -> Callable[..., tuple[str, str, list[int], list[int]]]:
        """The values of `reads` → inputs and targets, as text and as ids without EOS."""
        remembering = _Remembering(self.tokenize(vocabulary))
        render = self.prepare(remembering, max_input_tokens)

        def encode(*values: Any) -> tuple[str, str, list[int], list[int]]:
            inputs, targets = render(*values)
            return inputs, targets, remembering.encode(inputs), remembering.encode(targets)

        return encode


class _Remembering:
    """A tokenizer that knows the last texts: a prompt that was found to fit is encoded next."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.name = tokenizer.name
        self.encode = lru_cache(maxsize=4)(tokenizer.encode)
        self.ends = tokenizer.ends


class AnyTask(Protocol):
    """What the pipeline and the verbs need of a task: a suite's, or any that SeqIO has."""

    @property
    def name(self) -> str: ...
    @property
    def splits(self) -> Sequence[str]: ...
    @property
    def metric_fns(self) -> Sequence[Callable[..., Mapping[str, Any]]]: ...
    @property
    def vocabulary_fingerprint(self) -> str: ...
    @property
    def code(self) -> Sequence[Any]:
        """The functions and values that make examples, for the token cache's key."""
        ...

    def num_input_examples(self, split: str) -> int: ...
    def fingerprint(self, split: str) -> str: ...
    def examples(self, split: str, lengths: FeatureLengths) -> Iterator[Example]: ...
    def target(self, example: Example) -> Any: ...
    def prediction(self, text: str, example: Example) -> Any: ...
    def about(self, example: Example) -> Mapping[str, Sequence[str]]: ...
    def tokenizer(self) -> Tokenizer: ...


def _category(example: Example) -> Mapping[str, Sequence[str]]:
    return {"categories": [example["category"]] if "category" in example else []}


@dataclass(frozen=True, eq=False)
class Task:
    """A text-to-text task of a suite.

    Attributes:
        score_against: example → what its prediction is scored against.
        metric_fns: (targets, predictions) → scores by name, as SeqIO's.
        describe: example → its categories, input_languages and output_languages, for statistics.
    """

    name: str
    source: Source
    rendering: Rendering
    score_against: Callable[[Example], Any]
    metric_fns: Sequence[Callable[..., Mapping[str, Any]]]
    describe: Callable[[Example], Mapping[str, Sequence[str]]] = _category

    @property
    def splits(self) -> Sequence[str]:
        return self.source.splits

    @property
    def vocabulary_fingerprint(self) -> str:
        return fingerprint(vocabulary())

    @property
    def code(self) -> Sequence[Any]:
        return self.source.load, self.rendering.prepare, self.rendering.tokenize

    def num_input_examples(self, split: str) -> int:
        """Raises UserError where the task has no such split."""
        check_split(self, split)
        return self.source.num_examples(split)

    def fingerprint(self, split: str) -> str:
        """Differs whenever the examples or their prompts would."""
        return self.source.fingerprint(split)

    def target(self, example: Example) -> Any:
        return self.score_against(example)

    def prediction(self, text: str, example: Example) -> Any:
        return text

    def about(self, example: Example) -> Mapping[str, Sequence[str]]:
        return self.describe(example)

    def tokenizer(self) -> Tokenizer:
        """That prompts, and the options of examples, are encoded with."""
        return self.rendering.tokenize(vocabulary())

    def examples(self, split: str, lengths: FeatureLengths) -> Iterator[Example]:
        """A split's examples in order, equal to what SeqIO gives.

        Each has the raw example's fields, inputs_pretokenized and targets_pretokenized as text, and
        inputs and targets as token ids [length] that end in EOS.
        """
        check_split(self, split)
        source, loaded = self.source, vocabulary()
        encode = self.rendering.encoder(loaded, lengths.inputs)
        reads, eos_id = self.rendering.reads, loaded.eos_id
        for raw in source.load(split):
            inputs, targets, input_ids, target_ids = encode(*(raw[field] for field in reads))
            passed = {k: list(raw[k]) if many else raw[k] for k, many in source.fields.items()}
            yield {
                **passed,
                "inputs_pretokenized": inputs,
                "targets_pretokenized": targets,
                "inputs": np.array([*input_ids[: lengths.inputs - 1], eos_id], np.int32),
                "targets": np.array([*target_ids[: lengths.targets - 1], eos_id], np.int32),
            }


def check_split(task: AnyTask, split: str) -> None:
    """Raises UserError where a task has no such split."""
    if split not in task.splits:
        raise UserError(
            f"split={split!r} is not one of {task.name}'s: {', '.join(sorted(task.splits))}"
        )


def check_vocabulary(task: AnyTask) -> None:
    """Raises UserError where a task's ids are not of the run's vocabulary."""
    if isinstance(task, Task):
        return  # it has no vocabulary of its own
    found, expected = task.vocabulary_fingerprint, fingerprint(vocabulary())
    if found != expected:
        raise UserError(
            f"task {task.name!r} has a vocabulary of its own (fingerprint {found}), which is not "
            f"the run's ({expected}): its ids would mean other words; give the task's vocabulary "
            "by --vocabulary, or declare the task with output_features=OUTPUT_FEATURES of "
            "tk_instruct.data.seqio_bridge.declarations, which take the run's"
        )
