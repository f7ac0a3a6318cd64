"""Declares this project's tasks and mixtures to SeqIO, for upstream t5x and other programs.

`import tk_instruct.tasks.SUITE.mixtures` declares all of a suite. Then upstream t5x, notebooks and
seqio_cache_tasks find them in SeqIO's registries.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np
import seqio
import tensorflow as tf

from tk_instruct import schema
from tk_instruct.data import registry, vocabulary
from tk_instruct.data.code import code_hash
from tk_instruct.data.seqio_bridge.cache import ORIGIN, POSITION, Origin
from tk_instruct.data.seqio_bridge.tasks import decoded
from tk_instruct.data.task import RawExample, Rendering, Task
from tk_instruct.errors import EmptySplitError, UserError


class ConfiguredVocabulary(seqio.Vocabulary):
    """Loads `vocabulary()` on first use: SeqIO wants a vocabulary before the run is configured."""

    @property
    def loaded(self) -> seqio.Vocabulary:
        return _as_seqio(vocabulary.vocabulary())

    @property
    def bos_id(self) -> int | None:
        return self.loaded.bos_id

    @property
    def eos_id(self) -> int | None:
        return self.loaded.eos_id

    @property
    def unk_id(self) -> int | None:
        return self.loaded.unk_id

    @property
    def extra_ids(self) -> int:
        return self.loaded.extra_ids

    @property
    def vocab_size(self) -> int:
        return self.loaded.vocab_size

    @property
    def _base_vocab_size(self) -> int:
        return self.loaded._base_vocab_size

    def _encode(self, s: str) -> Any:
        return self.loaded._encode(s)

    def _decode(self, ids: Any) -> str:
        return self.loaded._decode(ids)

    def _encode_tf(self, s: Any) -> Any:
        return self.loaded._encode_tf(s)

    def _decode_tf(self, ids: Any) -> Any:
        return self.loaded._decode_tf(ids)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ConfiguredVocabulary)

    def __hash__(self) -> int:
        return hash(ConfiguredVocabulary)


@lru_cache(maxsize=8)
def _as_seqio(loaded: vocabulary.Vocabulary) -> seqio.Vocabulary:
    """SeqIO's vocabulary with the same ids. It also encodes in TensorFlow's graphs."""
    if isinstance(loaded, vocabulary.SentencePieceVocabulary):
        return seqio.SentencePieceVocabulary(loaded.sentencepiece_model_file, loaded.extra_ids)
    return seqio.ByteVocabulary()


OUTPUT_FEATURES = {
    "inputs": seqio.Feature(vocabulary=ConfiguredVocabulary(), add_eos=True),
    "targets": seqio.Feature(vocabulary=ConfiguredVocabulary(), add_eos=True),
}
_WITHOUT_EOS = seqio.Feature(vocabulary=ConfiguredVocabulary(), add_eos=False)


def declare(suite: str) -> None:
    """Declares all tasks and mixtures of a suite to SeqIO, and all that its mixtures consist of."""
    declare_names(declared.name for declared in registry.declared_by(suite))


def declare_names(names: Iterable[str]) -> None:
    """Declares the tasks and mixtures of these names to SeqIO if it does not have them yet."""
    for name in names:
        if name in seqio.TaskRegistry.names() or name in seqio.MixtureRegistry.names():
            continue
        found = registry.declared(name)
        if isinstance(found, Task):
            seqio.TaskRegistry.add(
                name,
                source=RecordSource(found),
                preprocessors=[
                    # SeqIO caches the raw examples: the next steps may depend on the feature
                    # lengths and on the run's seed.
                    seqio.CacheDatasetPlaceholder(),
                    _Checked(found),
                    _Rendered(found.rendering),
                    seqio.preprocessors.append_eos_after_trim,
                ],
                output_features=OUTPUT_FEATURES
                if found.inputs_have_eos
                else {**OUTPUT_FEATURES, "inputs": _WITHOUT_EOS},
                postprocess_fn=_Postprocess(found),
                metric_fns=found.metric_fns,
            )
        elif found is not None:
            declare_names(found.parts)
            seqio.MixtureRegistry.add(name, [(part, _rate(r)) for part, r in found.parts.items()])


def _rate(rate: Any) -> Any:
    """A rate for SeqIO, which calls it with SeqIO's task. Ours takes this project's task."""
    return (lambda task: rate(registry.get(task.name))) if callable(rate) else rate


def available(name: str) -> str:
    """The name of a mixture with the tasks of registry.tasks_of(name), declared if need be.

    It is the same name if no task is left out, else `NAME.available`.
    """
    declare_names([name])
    tasks = registry.tasks_of(name)
    if len(tasks) == len(getattr(registry.get(name), "tasks", tasks)):
        return name
    part = f"{name}.available"
    if part not in seqio.MixtureRegistry.names():
        rates = zip((task.name for task in tasks), registry.rates_of(name), strict=True)
        seqio.MixtureRegistry.add(part, list(rates))
    return part


class RecordSource(seqio.DataSource):
    """A task's raw examples, each with its position in the split and the split's origin."""

    def __init__(self, task: Task) -> None:
        super().__init__(splits=task.splits)
        self._task = task

    @property
    def splits(self) -> Sequence[str]:
        """The splits that have their data. All if none has, so that reading one says why."""
        declared = self._task.splits
        return [split for split in declared if self._is_there(split)] or declared

    def _is_there(self, split: str) -> bool:
        try:
            return registry.is_missing(self._task, split) is None
        except UserError:  # it is there, and reading it says what is wrong
            return True

    @property
    def supports_arbitrary_sharding(self) -> bool:
        return False

    def list_shards(self, split: str) -> Sequence[str]:
        return [split]

    def num_input_examples(self, split: str) -> int:
        return self._task.source.num_examples(split)

    def get_dataset(
        self,
        split: str = "train",
        shuffle: bool = True,
        seed: int | None = None,
        shard_info: seqio.ShardInfo | None = None,
    ) -> tf.data.Dataset:
        source, fields = self._task.source, self._task.source.fields
        examples: Iterable[RawExample]
        try:
            examples, why_empty = source.load(split), ""
            if isinstance(examples, Iterator):
                next(examples, None)  # TensorFlow would wrap the error that it raises
        except EmptySplitError as error:
            if shard_info is None:
                raise
            # SeqIO caches all splits of a task. One example holds the reason why it is empty.
            examples = [{field: [] if is_list else "" for field, is_list in fields.items()}]
            why_empty = str(error)
        if isinstance(examples, Sequence):
            dataset = _looked_up(examples, fields, shuffle, seed)
        else:
            dataset = _streamed(lambda: source.load(split), fields)
        origin = msgspec.json.encode(_origin(self._task, split, why_empty))
        dataset = dataset.map(lambda example: {**example, ORIGIN: tf.constant(origin)})
        if shard_info and shard_info.num_shards > 1:
            dataset = dataset.shard(shard_info.num_shards, shard_info.index)
        return dataset


def _looked_up(
    examples: Sequence[RawExample], fields: Mapping[str, bool], shuffle: bool, seed: int | None
) -> tf.data.Dataset:
    """The examples with their positions, in the order of the seed if they are shuffled."""
    order = np.arange(len(examples))
    if shuffle:
        np.random.default_rng(seed).shuffle(order)

    def lookup(index: np.int64) -> list[Any]:
        position = order[index]
        example = examples[int(position)]
        return [position, *(_encoded(example[field]) for field in fields)]

    def fetch(index: tf.Tensor) -> dict[str, tf.Tensor]:
        types = [tf.int64, *[tf.string] * len(fields)]
        position, *values = tf.numpy_function(lookup, [index], types)
        position.set_shape([])
        for value, is_list in zip(values, fields.values(), strict=True):
            value.set_shape([None] if is_list else [])
        return {**dict(zip(fields, values, strict=True)), POSITION: position}

    return tf.data.Dataset.range(len(examples)).map(fetch)


def _streamed(
    load: Callable[[], Iterable[RawExample]], fields: Mapping[str, bool]
) -> tf.data.Dataset:
    """The examples with their positions, in order. SeqIO's own buffer shuffles them."""
    shapes = {field: [None] if is_list else [] for field, is_list in fields.items()}
    specs = {field: tf.TensorSpec(shape, tf.string) for field, shape in shapes.items()}

    def encoded() -> Iterator[dict[str, Any]]:
        for position, example in enumerate(load()):
            yield {**{field: _encoded(example[field]) for field in fields}, POSITION: position}

    return tf.data.Dataset.from_generator(
        encoded, output_signature={**specs, POSITION: tf.TensorSpec([], tf.int64)}
    )


def _origin(task: Task, split: str, why_empty: str) -> Origin:
    try:
        content = task.source.content(split)
    except EmptySplitError:
        content = ""
    return Origin(
        split=split,
        selection=task.source.selection(),
        content=content,
        code=code_hash(task.code),
        num_examples=0 if why_empty else task.source.num_examples(split),
        why_empty=why_empty,
    )


class _Checked:  # not a function, because it needs the task
    """A preprocessor that checks an example's origin, then removes origin and position."""

    def __init__(self, task: Task) -> None:
        self.task = task

    def __call__(self, dataset: tf.data.Dataset) -> tf.data.Dataset:
        @lru_cache(maxsize=1)
        def check(origin: bytes) -> np.bool_:
            schema.parse(origin, Origin, self.task.name).check(self.task)
            return np.True_

        def in_graph(example: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            tf.numpy_function(check, [example[ORIGIN]], tf.bool)
            return {key: value for key, value in example.items() if key not in (ORIGIN, POSITION)}

        return dataset.map(in_graph)


class _Rendered:  # not a function, because it needs the rendering
    """A preprocessor that renders and encodes in Python, in a tenth of TensorFlow's time."""

    def __init__(self, rendering: Rendering) -> None:
        self.rendering = rendering

    def __call__(
        self,
        dataset: tf.data.Dataset,
        sequence_length: Mapping[str, int] | None,
        output_features: Mapping[str, seqio.Feature],
    ) -> tf.data.Dataset:
        most = (sequence_length or {}).get("inputs")
        encode = self.rendering.encoder(vocabulary.vocabulary(), most)

        def in_python(*values: Any) -> list[Any]:
            inputs, targets, *ids = encode(*map(decoded, values))
            return [_encoded(inputs), _encoded(targets), *(np.array(i, np.int32) for i in ids)]

        def in_graph(example: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            found = tf.numpy_function(
                in_python,
                [example[field] for field in self.rendering.reads],
                [tf.string, tf.string, tf.int32, tf.int32],
            )
            for tensor, shape in zip(found, ([], [], [None], [None]), strict=True):
                tensor.set_shape(shape)
            names = ("inputs_pretokenized", "targets_pretokenized", "inputs", "targets")
            return {**example, **dict(zip(names, found, strict=True))}

        return dataset.map(in_graph)


class _Postprocess:
    """A postprocessor that leaves a prediction unchanged and gives the task's target."""

    def __init__(self, task: Task) -> None:
        self.task = task

    def __call__(self, output: Any, *, example: Mapping[str, Any], is_target: bool) -> Any:
        if not is_target:
            return output
        return self.task.target({key: decoded(value) for key, value in example.items()})


def _encoded(value: str | Sequence[str]) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8")
    return np.array([text.encode("utf-8") for text in value], dtype=object)
