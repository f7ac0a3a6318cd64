"""The only caller of SeqIO's registries: declares tasks and mixtures, finds and reads them.

Declaring reads nothing; data, vocabulary and options are looked up when a dataset is asked for.
"""

import contextlib
import difflib
import fnmatch
import logging
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any

import gin
import msgspec
import numpy as np
import seqio
import tensorflow as tf

from tk_instruct import schema
from tk_instruct.data.code import code_hash
from tk_instruct.data.seqio_cache import (
    ORIGIN,
    POSITION,
    CachedSplit,
    Origin,
    RawExample,
    use_cached_tasks,
)
from tk_instruct.data.tokenization import Plain
from tk_instruct.data.tokens import FeatureLengths
from tk_instruct.data.vocabulary import ConfiguredVocabulary, plain
from tk_instruct.errors import EmptySplitError, MissingDataError, UserError
from tk_instruct.tables import table

log = logging.getLogger("tk_instruct")

OUTPUT_FEATURES = {
    "inputs": seqio.Feature(vocabulary=ConfiguredVocabulary(), add_eos=True),
    "targets": seqio.Feature(vocabulary=ConfiguredVocabulary(), add_eos=True),
}


_ADD_EOS = seqio.preprocessors.append_eos_after_trim


class RecordSource(seqio.DataSource):
    """A SeqIO source of raw examples that says when its data has changed.

    load(split) gives the examples of a split, content(split) a string that differs whenever they
    would, raising MissingDataError where there are none to be had. fields maps each field to
    whether it is a list of strings. narrow(name) is the same source with only the examples of one
    constituent task. count(split) is how many there are, where that is known without loading.
    tfds_name is the dataset that TFDS can download, where there is one. selection() are the options
    that examples are chosen by, rendering() what prompts depend on beside the examples and the
    code; both are known without the data.
    """

    def __init__(
        self,
        splits: Sequence[str],
        fields: Mapping[str, bool],
        load: Callable[[str], Sequence[RawExample]],
        content: Callable[[str], str],
        narrow: Callable[[str], "RecordSource"] | None = None,
        count: Callable[[str], int] | None = None,
        tfds_name: str | None = None,
        selection: Callable[[], str] = str,
        rendering: Callable[[], str] = str,
    ) -> None:
        super().__init__(splits=splits)
        self.load = load
        self.content = content
        self.narrow = narrow
        self.count = count
        self.tfds_name = tfds_name
        self.selection = selection
        self.rendering = rendering
        self.fields = dict(fields)

    @property
    def supports_arbitrary_sharding(self) -> bool:
        return False

    def list_shards(self, split: str) -> Sequence[str]:
        return [split]

    def num_input_examples(self, split: str) -> int:
        return self.count(split) if self.count else len(self.load(split))

    def fingerprint(self, split: str) -> str:
        """Differs whenever the examples or their prompts would; raises as content does."""
        return " ".join(filter(None, (self.content(split), self.rendering())))

    def get_dataset(
        self,
        split: str = "train",
        shuffle: bool = True,
        seed: int | None = None,
        shard_info: seqio.ShardInfo | None = None,
    ) -> tf.data.Dataset:
        """The examples, each with its position in the split and what the split is made of."""
        try:
            examples, why_empty = self.load(split), ""
        except EmptySplitError as error:
            if shard_info is None:
                raise
            # SeqIO caches all splits of a task: one example tells its reader that there are none.
            nothing = {field: [] if is_list else "" for field, is_list in self.fields.items()}
            examples, why_empty = [nothing], str(error)
        origin = self._origin(split, why_empty)
        order = np.arange(len(examples))
        if shuffle:
            np.random.default_rng(seed).shuffle(order)

        def lookup(index: np.int64) -> list[Any]:
            position = order[index]
            example = examples[int(position)]
            return [position, *(_encoded(example[field]) for field in self.fields)]

        def fetch(index: tf.Tensor) -> dict[str, tf.Tensor]:
            types = [tf.int64, *[tf.string] * len(self.fields)]
            position, *values = tf.numpy_function(lookup, [index], types)
            position.set_shape([])
            for value, is_list in zip(values, self.fields.values(), strict=True):
                value.set_shape([None] if is_list else [])
            fields = dict(zip(self.fields, values, strict=True))
            return {**fields, POSITION: position, ORIGIN: tf.constant(origin)}

        dataset = tf.data.Dataset.range(len(examples)).map(fetch)
        if shard_info and shard_info.num_shards > 1:
            dataset = dataset.shard(shard_info.num_shards, shard_info.index)
        return dataset

    def check(self, task: str, origin: Origin) -> None:
        """Raises UserError where a cached split of a task is not what there is now."""
        try:
            content = self._content(origin.split)
        except MissingDataError:
            content = None
        origin.check(task, self.selection(), content)

    def _origin(self, split: str, why_empty: str) -> bytes:
        origin = Origin(
            split=split,
            selection=self.selection(),
            content=self._content(split),
            code=code_hash(),
            num_examples=0 if why_empty else self.num_input_examples(split),
            why_empty=why_empty,
        )
        return msgspec.json.encode(origin)

    def _content(self, split: str) -> str:
        try:
            return self.content(split)
        except EmptySplitError:
            return ""


class _Checked:  # not a function: what it checks belongs to a task
    """A preprocessor that compares an example's origin with what there is now, and takes it off."""

    def __init__(self, task: str, source: RecordSource) -> None:
        self.task = task
        self.source = source

    def __call__(self, dataset: tf.data.Dataset) -> tf.data.Dataset:
        @lru_cache(maxsize=1)
        def check(origin: bytes) -> np.bool_:
            self.source.check(self.task, schema.parse(origin, Origin, self.task))
            return np.True_

        def in_graph(example: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            tf.numpy_function(check, [example[ORIGIN]], tf.bool)
            return {key: value for key, value in example.items() if key not in (ORIGIN, POSITION)}

        return dataset.map(in_graph)


def _from_source(
    task: str, source: RecordSource, preprocessors: Sequence[Callable[..., tf.data.Dataset]]
) -> list[Any]:
    """Examples as the source gives them are what SeqIO may cache.

    What follows may depend on the feature lengths and on the run's seed.
    """
    return [seqio.CacheDatasetPlaceholder(), _Checked(task, source), *preprocessors]


def _after_source(task: seqio.Task) -> list[Callable[..., tf.data.Dataset]]:
    """The preprocessors of a task that add_task was given, and EOS."""
    own = seqio.CacheDatasetPlaceholder | _Checked
    return [step for step in task.preprocessors if not isinstance(step, own)]


def _as_read(task: seqio.Task) -> seqio.Task:
    """The task with its examples from SeqIO's cache, where these are to be used."""
    is_ours = any(isinstance(step, _Checked) for step in task.preprocessors)
    if not (is_ours and use_cached_tasks()):
        return task
    source = task.source

    def cached(split: str) -> CachedSplit:
        found = CachedSplit(task, split)
        source.check(task.name, found.origin)
        return found

    from_cache = RecordSource(
        splits=source.splits,
        fields=source.fields,
        load=lambda split: cached(split).examples(source.fields),
        content=lambda split: cached(split).fingerprint,
        count=lambda split: cached(split).origin.num_examples,
        tfds_name=source.tfds_name,
        selection=source.selection,
        rendering=source.rendering,
    )
    steps = _from_source(task.name, from_cache, _after_source(task))
    return task.replace(source=from_cache, preprocessors=steps)


def add_task(
    name: str,
    source: RecordSource,
    preprocessors: Sequence[Callable[..., tf.data.Dataset]],
    postprocess_fn: Callable[..., Any],
    metric_fns: Sequence[Callable[..., Any]],
) -> None:
    """Declares a text-to-text task: the preprocessors give tokens, EOS is added here."""
    seqio.TaskRegistry.add(
        name,
        source=source,
        preprocessors=_from_source(name, source, [*preprocessors, _ADD_EOS]),
        output_features=OUTPUT_FEATURES,
        postprocess_fn=postprocess_fn,
        metric_fns=metric_fns,
    )


def add_mixture(name: str, tasks: Sequence[str], most_examples: float = math.inf) -> None:
    """Declares a mixture of tasks in proportion to their numbers of examples.

    Of each at most most_examples count (the artificial maximum of examples-proportional mixing,
    Raffel et al. 2020, section 3.5.2).
    """
    rate = partial(_num_train_examples, most=most_examples)
    seqio.MixtureRegistry.add(name, list(tasks), default_rate=rate)


def add_weighted_mixture(name: str, rates: Mapping[str, float]) -> None:
    """Declares a mixture of tasks and mixtures with a rate each; inside these theirs hold."""
    seqio.MixtureRegistry.add(name, list(rates.items()))


# Counts of train examples by task, while SeqIO asks for the same ones over and over.
_counted: dict[str, float] | None = None


@contextlib.contextmanager
def _each_counted_once() -> Iterator[None]:
    """A mixture of mixtures adds up all rates for each of its tasks."""
    global _counted
    _counted = {}
    try:
        yield
    finally:
        _counted = None


def _num_train_examples(task: seqio.Task, most: float) -> float:
    if _counted is None:
        return min(_count(task), most)
    if task.name not in _counted:
        _counted[task.name] = _count(task)
    return min(_counted[task.name], most)


def _count(task: seqio.Task) -> float:
    if skip_missing() and is_missing(task):
        return 0.0
    if not (count := _as_read(task).num_input_examples("train")):
        raise UserError(
            f"{task.name} has no train examples, and what is empty is never passed over; prepare "
            "its data again, or take a mixture without it"
        )
    return float(count)


def names(pattern: str = "*") -> list[str]:
    """Declared tasks and mixtures that match a shell pattern or contain the text."""
    declared = sorted({*seqio.TaskRegistry.names(), *seqio.MixtureRegistry.names()})
    if any(character in pattern for character in "*?["):
        return [name for name in declared if fnmatch.fnmatchcase(name, pattern)]
    return [name for name in declared if pattern in name]


def get(name: str) -> seqio.Task | seqio.Mixture:
    """A declared task or mixture; raises UserError naming the nearest where there is none."""
    if name in seqio.TaskRegistry.names():
        return _as_read(seqio.TaskRegistry.get(name))
    if name in seqio.MixtureRegistry.names():
        return seqio.MixtureRegistry.get(name)
    near = difflib.get_close_matches(name, names(), n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise UserError(
        f"task or mixture {name!r} is not declared; {hint}`tk-instruct tasks list` shows all"
    )


@gin.configurable(module="tk_instruct")
def skip_missing(enabled: bool = False) -> bool:
    """Whether mixtures do without the tasks whose data is missing (--skip_missing)."""
    return enabled


def tasks_of(name: str) -> list[seqio.Task]:
    """The SeqIO tasks that a task or mixture is made of.

    With skip_missing those of a mixture whose data is there; raises UserError where none is.
    """
    found = get(name)
    if isinstance(found, seqio.Task):
        return [found]
    if not skip_missing():
        return [_as_read(task) for task in found.tasks]
    tasks = [_as_read(task) for task in found.tasks if not is_missing(task)]
    if not tasks:
        raise UserError(
            f"none of the {len(found.tasks)} tasks of {name} has its data; the first: "
            f"{is_missing(found.tasks[0])}"
        )
    return tasks


def available(name: str) -> str:
    """The name of what tasks_of and rates_of give, declared (once) where that is only a part."""
    if len(tasks := tasks_of(name)) == len(getattr(get(name), "tasks", tasks)):
        return name
    part = f"{name}.available"
    if part not in seqio.MixtureRegistry.names():
        rates = zip((task.name for task in tasks), rates_of(name), strict=True)
        seqio.MixtureRegistry.add(part, list(rates))
    return part


def is_missing(task: seqio.Task) -> MissingDataError | None:
    """Why a task's data cannot be had, where it cannot."""
    source = _as_read(task).source
    if isinstance(source, RecordSource):
        try:
            source.fingerprint(next(iter(source.splits)))
        except MissingDataError as error:
            return error
    return None


def check_mixture(name: str) -> None:
    """Says which tasks of a mixture are missing, and at what rates the others are drawn.

    Raises UserError where some are and skip_missing is not set.
    """
    declared = list(getattr(get(name), "tasks", []))
    missing = [task.name for task in declared if is_missing(task)]
    if not missing:
        return
    about = f"{len(missing)} of {len(declared)} tasks of {name} have no data: {', '.join(missing)}"
    if not skip_missing():
        raise UserError(
            f"{about}; `tk-instruct tasks prepare {name}` downloads what TFDS can, `tasks doctor` "
            f"tells more, and --skip_missing does without them. The first: "
            f"{is_missing(get(missing[0]))}"
        )
    rates = sorted(zip(rates_of(name), tasks_of(name), strict=True), key=lambda pair: -pair[0])
    rows = [("task", "rate", "train examples")] + [
        (task.name, f"{rate:.2%}", f"{task.num_input_examples('train'):,}") for rate, task in rates
    ]
    log.info("%s; the others and the rates that they are drawn at:\n%s", about, table(rows))


def rates_of(name: str) -> list[float]:
    """How often each of `tasks_of(name)` is drawn, summing to 1."""
    found = get(name)
    if isinstance(found, seqio.Task):
        return [1.0]
    with _each_counted_once():
        rates = [found.get_rate(task) for task in tasks_of(name)]
    return [rate / sum(rates) for rate in rates]


def subset(name: str, constituent: str) -> str:
    """Declares (once) `NAME.CONSTITUENT`, the part of a task that comes from one of its tasks.

    SeqIO refuses some of the characters that names of constituents have: `-` becomes `#2d`.
    """
    subset_name = f"{name}.{re.sub(r'[^A-Za-z0-9_.]', lambda c: f'#{ord(c[0]):x}', constituent)}"
    if subset_name not in seqio.TaskRegistry.names():
        get(name)  # says what is near where there is none
        task = seqio.get_mixture_or_task(name)
        narrow = getattr(getattr(task, "source", None), "narrow", None)
        if narrow is None:
            raise UserError(f"{name!r} has no parts to choose {constituent!r} from; leave it out")
        source = narrow(constituent)
        seqio.TaskRegistry.add(
            subset_name,
            source=source,
            preprocessors=_from_source(subset_name, source, _after_source(task)),
            output_features=task.output_features,
            postprocess_fn=task.postprocessor,
            metric_fns=task.metric_fns,
        )
    return subset_name


def check_split(task: seqio.Task, split: str) -> None:
    if split not in task.splits:
        raise UserError(
            f"split={split!r} is not one of {task.name}'s: {', '.join(sorted(task.splits))}"
        )


def examples(task: seqio.Task, split: str, lengths: FeatureLengths) -> Iterator[dict[str, Any]]:
    """A task's examples in order, tokenised, with str where SeqIO has bytes.

    Those of SeqIO's dataset, which is gone round where nothing in it needs TensorFlow: that takes
    a sixth of the time.
    """
    check_split(task, split)
    source, (first, *others) = task.source, _after_source(task)
    if not (
        isinstance(source, RecordSource) and isinstance(first, Rendering) and others == [_ADD_EOS]
    ):
        dataset = task.get_dataset(lengths.as_dict(), split, shuffle=False, try_in_mem_cache=False)
        for example in dataset.as_numpy_iterator():
            yield {key: decoded(value) for key, value in example.items()}
        return
    vocabulary = plain(task.output_features["inputs"].vocabulary)
    encode = first.encoder(vocabulary, lengths.inputs)
    for raw in source.load(split):
        inputs, targets, input_ids, target_ids = encode(*(raw[field] for field in first.reads))
        passed = {k: list(raw[k]) if is_list else raw[k] for k, is_list in source.fields.items()}
        yield {
            **passed,
            "inputs_pretokenized": inputs,
            "targets_pretokenized": targets,
            "inputs": np.array([*input_ids[: lengths.inputs - 1], vocabulary.eos_id], np.int32),
            "targets": np.array([*target_ids[: lengths.targets - 1], vocabulary.eos_id], np.int32),
        }


def decoded(value: Any) -> Any:
    """Text for TensorFlow's bytes, a list of texts for arrays of them, other values as they are."""
    if isinstance(value, bytes):
        return value.decode("utf-8")
    if isinstance(value, np.ndarray) and value.dtype == object:
        return [item.decode("utf-8") for item in value]
    return value


# Fields of a raw example → its inputs and targets as text.
Render = Callable[..., tuple[str, str]]


class Rendering:  # not a dataclass: SeqIO would set fields instead of giving arguments
    """A SeqIO preprocessor from a pure Python function of strings.

    prepare(tokenizer, max_input_tokens) is called once for a dataset and gives the function that
    renders an example from the fields named in reads, in their order; the others pass through.
    Inputs and targets come out as text under inputs_pretokenized and targets_pretokenized and as
    token ids, without EOS: encoding here takes a tenth of the time of TensorFlow's operation.
    tokenize(vocabulary) gives the tokenizer.
    """

    def __init__(
        self,
        prepare: Callable[[Any, int | None], Render],
        reads: Sequence[str],
        tokenize: Callable[[seqio.Vocabulary], Plain] = Plain,
    ) -> None:
        self.prepare = prepare
        self.reads = reads
        self.tokenize = tokenize

    def encoder(
        self, vocabulary: seqio.Vocabulary, max_input_tokens: int | None
    ) -> Callable[..., tuple[str, str, list[int], list[int]]]:
        """The values of `reads` → inputs and targets, both as text and as ids."""
        remembering = _Remembering(self.tokenize(vocabulary))
        render = self.prepare(remembering, max_input_tokens)

        def encode(*values: Any) -> tuple[str, str, list[int], list[int]]:
            inputs, targets = render(*values)
            return inputs, targets, remembering.encode(inputs), remembering.encode(targets)

        return encode

    def __call__(
        self,
        dataset: tf.data.Dataset,
        sequence_length: Mapping[str, int] | None,
        output_features: Mapping[str, seqio.Feature],
    ) -> tf.data.Dataset:
        vocabulary = plain(output_features["inputs"].vocabulary)
        encode = self.encoder(vocabulary, (sequence_length or {}).get("inputs"))

        def in_python(*values: Any) -> list[Any]:
            inputs, targets, *ids = encode(*map(decoded, values))
            return [_encoded(inputs), _encoded(targets), *(np.array(i, np.int32) for i in ids)]

        def in_graph(example: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            *texts, inputs, targets = tf.numpy_function(
                in_python,
                [example[field] for field in self.reads],
                [tf.string, tf.string, tf.int32, tf.int32],
            )
            for tensor, shape in zip(
                (*texts, inputs, targets), ([], [], [None], [None]), strict=True
            ):
                tensor.set_shape(shape)
            return {
                **example,
                "inputs_pretokenized": texts[0],
                "targets_pretokenized": texts[1],
                "inputs": inputs,
                "targets": targets,
            }

        return dataset.map(in_graph)


class _Remembering:
    """A tokenizer that knows the last texts: a prompt that was found to fit is encoded next."""

    def __init__(self, tokenizer: Plain) -> None:
        self.encode = lru_cache(maxsize=4)(tokenizer.encode)
        self.ends = tokenizer.ends


def _encoded(value: str | Sequence[str]) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8")
    return np.array([text.encode("utf-8") for text in value], dtype=object)
