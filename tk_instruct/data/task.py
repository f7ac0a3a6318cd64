"""The class of a suite's tasks. Imports neither SeqIO nor TensorFlow.

A declaration reads no files. Data, vocabulary and options are read when examples are read.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np

from tk_instruct.data.tokenization import Plain, Tokenizer
from tk_instruct.data.tokens import FeatureLengths
from tk_instruct.data.vocabulary import fingerprint, vocabulary
from tk_instruct.errors import UserError
from tk_instruct.files import Path

# A raw example: field name → a text or a list of texts.
RawExample = Mapping[str, str | Sequence[str]]
# Fields of a raw example → its inputs and targets as text.
Render = Callable[..., tuple[str, str]]
# A tokenised example: its id, task, inputs, targets, and the other fields that its task has.
Example = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Download:
    """A dataset that `tasks prepare` can fetch. Downloads of the same name are one.

    Attributes:
        get: fetches the dataset if it is not there yet, and gives its folder. Raises UserError if
            it cannot.
    """

    name: str
    get: Callable[[], Path]


@dataclass(frozen=True, eq=False)
class Source:
    """Loads a task's raw examples and gives their fingerprint.

    Attributes:
        fields: field name → whether the field is a list of texts.
        load: split → its raw examples, as a sequence or as an iterator. An iterator is read once
            and never held in memory; it may raise what is wrong when its first example is asked
            for.
        content: split → a text that changes when the examples change. Raises MissingDataError if
            the data is missing.
        narrow: name of a constituent task → the same source with only that task's examples.
        count: split → the number of examples, if it is known without loading them. Without it an
            iterator is read to its end to count them.
        download: the dataset to fetch if the data is missing.
        selection: the options that choose the examples, as a text. Does not need the data.
        rendering: the options that change the prompts, as a text. Does not need the data.
        made_with: the version of what the prompts are made with, for a run's description.
    """

    splits: Sequence[str]
    fields: Mapping[str, bool]
    load: Callable[[str], Iterable[RawExample]]
    content: Callable[[str], str]
    narrow: Callable[[str], "Source"] | None = None
    count: Callable[[str], int] | None = None
    download: Download | None = None
    selection: Callable[[], str] = str
    rendering: Callable[[], str] = str
    made_with: Callable[[], str] = str

    def num_examples(self, split: str) -> int:
        if self.count:
            return self.count(split)
        loaded = self.load(split)
        return len(loaded) if isinstance(loaded, Sequence) else sum(1 for _ in loaded)

    def fingerprint(self, split: str) -> str:
        """A text that changes when the examples or prompts change. Raises what content raises."""
        return " ".join(filter(None, (self.content(split), self.rendering())))


class Rendering:
    """Turns raw examples into text and tokens with a pure Python function of strings.

    Args:
        prepare: (tokenizer, max_input_tokens) → the function that renders one example. It is called
            once for a split.
        reads: the fields that the function takes, in its order.
        tokenize: vocabulary → the tokenizer.
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
        """A function: values of `reads` → inputs and targets as text, then as ids without EOS."""
        remembering = _Remembering(self.tokenize(vocabulary))
        render = self.prepare(remembering, max_input_tokens)

        def encode(*values: Any) -> tuple[str, str, list[int], list[int]]:
            inputs, targets = render(*values)
            return inputs, targets, remembering.encode(inputs), remembering.encode(targets)

        return encode


class _Remembering:
    """A tokenizer that keeps its last few results: the prompt that fits is then encoded again."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.name = tokenizer.name
        self.encode = lru_cache(maxsize=4)(tokenizer.encode)
        self.ends = tokenizer.ends


class _OnDemand:
    """A tokenizer that is made when it is needed."""

    def __init__(self, make: Callable[[], Tokenizer]) -> None:
        self._make = lru_cache(maxsize=1)(make)

    @property
    def name(self) -> str:
        return self._make().name

    def encode(self, s: str) -> list[int]:
        return self._make().encode(s)

    def ends(self, s: str) -> list[int]:
        return self._make().ends(s)


class AnyTask(Protocol):
    """What the pipeline and the verbs need of a task, be it of a suite or of SeqIO's registry."""

    @property
    def name(self) -> str: ...
    @property
    def splits(self) -> Sequence[str]: ...
    @property
    def metric_fns(self) -> Sequence[Callable[..., Mapping[str, Any]]]: ...
    @property
    def inputs_have_eos(self) -> bool: ...
    @property
    def vocabulary_fingerprint(self) -> str: ...
    @property
    def code(self) -> Sequence[Any]:
        """The functions and values that make examples. The token cache's key depends on them."""
        ...

    def num_input_examples(self, split: str) -> int: ...
    def fingerprint(self, split: str) -> str: ...
    def examples(self, split: str, lengths: FeatureLengths) -> Iterator[Example]: ...
    def texts(self, split: str) -> Iterator[Example]: ...
    def own_fields(self, example: Example) -> Mapping[str, Any]: ...
    def target(self, example: Example) -> Any: ...
    def prediction(self, text: str, example: Example) -> Any: ...
    def about(self, example: Example) -> Mapping[str, Sequence[str]]: ...
    def unit_of(self, example: Example) -> str: ...
    def tokenizer(self) -> Tokenizer: ...


def _none(example: Example) -> Mapping[str, Any]:
    return {}


def _id(example: Example) -> str:
    return str(example["id"])


def _category(example: Example) -> Mapping[str, Sequence[str]]:
    return {"categories": [example["category"]] if "category" in example else []}


@dataclass(frozen=True, eq=False)
class Task:
    """A text-to-text task of a suite.

    Attributes:
        score_against: example → the target that its prediction is scored against.
        metric_fns: functions (targets, predictions) → scores by name, as in SeqIO.
        describe: example → its categories, input_languages and output_languages, for statistics.
        inputs_have_eos: whether inputs end in EOS. Targets always do.
        exported: example → the fields that `tasks export` adds to id, task, inputs and targets:
            texts, numbers, lists of texts or None, the same kind in all examples of a field. It may
            replace targets by the list of all right answers.
        is_listed: whether listings and patterns find it. If not, only its full name does.
        unit: example → the unit that was sampled to get it, such as its task or its question. The
            standard errors of scores are clustered by units. By default each example is its own.
        instance_text: raw example → its own texts, without instruction, demonstrations and
            template: the input, and all right answers. `tasks audit` compares them. None: the
            texts of the prompt and of its target.
    """

    name: str
    source: Source
    rendering: Rendering
    score_against: Callable[[Example], Any]
    metric_fns: Sequence[Callable[..., Mapping[str, Any]]]
    describe: Callable[[Example], Mapping[str, Sequence[str]]] = _category
    inputs_have_eos: bool = True
    exported: Callable[[Example], Mapping[str, Any]] = _none
    is_listed: bool = True
    unit: Callable[[Example], str] = _id
    instance_text: Callable[[RawExample], tuple[str, Sequence[str]]] | None = None

    @property
    def splits(self) -> Sequence[str]:
        return self.source.splits

    @property
    def vocabulary_fingerprint(self) -> str:
        return fingerprint(vocabulary())

    @property
    def code(self) -> Sequence[Any]:
        rendering = self.rendering
        return self.source.load, rendering.prepare, rendering.tokenize, self.inputs_have_eos

    def num_input_examples(self, split: str) -> int:
        """The number of raw examples of a split. Raises UserError if the task lacks the split."""
        check_split(self, split)
        return self.source.num_examples(split)

    def fingerprint(self, split: str) -> str:
        """A text that changes when the examples or their prompts change."""
        return self.source.fingerprint(split)

    def target(self, example: Example) -> Any:
        return self.score_against(example)

    def prediction(self, text: str, example: Example) -> Any:
        return text

    def about(self, example: Example) -> Mapping[str, Sequence[str]]:
        return self.describe(example)

    def unit_of(self, example: Example) -> str:
        return self.unit(example)

    def own_fields(self, example: Example) -> Mapping[str, Any]:
        return self.exported(example)

    def tokenizer(self) -> Tokenizer:
        """The tokenizer that encodes prompts and the options of examples."""
        return self.rendering.tokenize(vocabulary())

    def examples(self, split: str, lengths: FeatureLengths) -> Iterator[Example]:
        """The examples of a split in order, equal to SeqIO's.

        An example has the fields of the raw example, inputs_pretokenized and targets_pretokenized
        as text, and inputs and targets as int32 token ids [length]. Targets end in EOS, inputs too
        if inputs_have_eos.
        """
        check_split(self, split)
        source, reads, loaded = self.source, self.rendering.reads, vocabulary()
        encode = self.rendering.encoder(loaded, lengths.inputs)
        end = [loaded.eos_id]
        inputs_end = end if self.inputs_have_eos else []
        num_input_tokens = lengths.inputs - len(inputs_end)
        for raw in source.load(split):
            inputs, targets, input_ids, target_ids = encode(*(raw[field] for field in reads))
            yield {
                **self._fields(raw),
                "inputs_pretokenized": inputs,
                "targets_pretokenized": targets,
                "inputs": np.array([*input_ids[:num_input_tokens], *inputs_end], np.int32),
                "targets": np.array([*target_ids[: lengths.targets - 1], *end], np.int32),
            }

    def texts(self, split: str) -> Iterator[Example]:
        """The examples of a split in order as whole texts, without token ids.

        Needs a vocabulary only where prompts are made of as much as fits, such as exemplars.
        """
        check_split(self, split)
        render = self.rendering.prepare(_OnDemand(self._tokenizer_of_texts), None)
        for raw in self.source.load(split):
            inputs, targets = render(*(raw[field] for field in self.rendering.reads))
            yield {
                **self._fields(raw),
                "inputs_pretokenized": inputs,
                "targets_pretokenized": targets,
            }

    def _fields(self, raw: RawExample) -> dict[str, Any]:
        return {k: list(raw[k]) if many else raw[k] for k, many in self.source.fields.items()}

    def _tokenizer_of_texts(self) -> Tokenizer:
        try:
            return self.tokenizer()
        except UserError as error:
            raise UserError(
                f"{self.name}: what fits into its prompts is counted in tokens, and {error}"
            ) from error


def check_split(task: AnyTask, split: str) -> None:
    """Raises UserError if a task lacks the split."""
    if split not in task.splits:
        raise UserError(
            f"split={split!r} is not one of {task.name}'s: {', '.join(sorted(task.splits))}"
        )


def check_vocabulary(task: AnyTask) -> None:
    """Raises UserError if a task's vocabulary is not the run's."""
    if isinstance(task, Task):
        return  # it always takes the run's vocabulary
    found, expected = task.vocabulary_fingerprint, fingerprint(vocabulary())
    if found != expected:
        raise UserError(
            f"task {task.name!r} has a vocabulary of its own (fingerprint {found}), which is not "
            f"the run's ({expected}): its ids would mean other words; give the task's vocabulary "
            "by --vocabulary, or declare the task with output_features=OUTPUT_FEATURES of "
            "tk_instruct.data.seqio_bridge.declarations, which take the run's"
        )
