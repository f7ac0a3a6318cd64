"""Reads tasks and mixtures that others have declared to SeqIO, for the pipeline and the verbs.

Any source and any preprocessors are allowed if they give inputs and targets as token ids.
"""

import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, cached_property
from typing import Any

import numpy as np
import seqio

from tk_instruct.data.task import AnyTask, Example, check_split
from tk_instruct.data.tokenization import Plain, Tokenizer
from tk_instruct.data.tokens import FeatureLengths
from tk_instruct.data.vocabulary import fingerprint, vocabulary
from tk_instruct.errors import UserError
from tk_instruct.files import Path, read_bytes

log = logging.getLogger("tk_instruct")

# The field that holds SeqIO's own example, for the task's postprocess_fn.
_AS_GIVEN = "seqio_example"
# More tokens than any example has.
_LONG = FeatureLengths(1 << 20, 1 << 20)


class SeqIOTask:
    """A task of SeqIO's registry that this project has not declared."""

    def __init__(self, task: seqio.Task, use_cached: bool = False) -> None:
        self._task, self._use_cached = task, use_cached

    @property
    def name(self) -> str:
        return self._task.name

    @property
    def splits(self) -> Sequence[str]:
        return tuple(self._task.splits)

    @property
    def metric_fns(self) -> Sequence[Callable[..., Mapping[str, Any]]]:
        return self._task.metric_fns

    @property
    def inputs_have_eos(self) -> bool:
        return self._task.output_features["inputs"].add_eos

    @cached_property
    def vocabulary_fingerprint(self) -> str:
        """The fingerprint of the vocabulary, or of both if inputs and targets differ in it."""
        self._check_features()
        features = self._task.output_features
        both = [features[name].vocabulary for name in ("inputs", "targets")]
        # A ConfiguredVocabulary has its SeqIO vocabulary in `loaded`.
        found = [fingerprint(getattr(vocabulary, "loaded", vocabulary)) for vocabulary in both]
        return " ".join(dict.fromkeys(found))

    def _check_features(self) -> None:
        features = self._task.output_features
        if not {"inputs", "targets"} <= set(features):
            raise UserError(
                f"task {self.name!r} gives the features {', '.join(features)}; what is trained and "
                "predicted here are inputs and targets: give it these output_features"
            )

    @property
    def code(self) -> Sequence[Any]:
        # The function with which a FileDataSource reads its files.
        reader = getattr(self._task.source, "_reader", None)
        ends = [feature.add_eos for feature in self._task.output_features.values()]
        return reader, *self._task.preprocessors, *ends

    def num_input_examples(self, split: str) -> int:
        check_split(self, split)
        known = self._task.num_input_examples(split)
        return known if known is not None else self._raw(split)[0]

    def fingerprint(self, split: str) -> str:
        """A hash of the source's files. If it has none, a hash of all raw examples, which are read.

        Raises UserError if the task lacks the split or no file matches the source's pattern.
        """
        check_split(self, split)
        source = self._task.source
        if isinstance(source, seqio.FileDataSource):
            files = self._files(split)
            hashes = [hashlib.sha256(read_bytes(file)).hexdigest() for file in files]
            return hashlib.sha256("".join(hashes).encode()).hexdigest()
        return self._raw(split)[1]

    def _files(self, split: str) -> list[Path]:
        """The files of a FileDataSource; raises UserError for one that is missing."""
        files = [Path(file) for file in self._task.source.list_shards(split)]
        if not files:
            raise UserError(f"task {self.name!r} has no file for {split}; correct its pattern")
        if missing := [file for file in files if not file.exists()]:
            raise UserError(
                f"{missing[0]}: is not there, and the task {self.name!r} reads it; put it there, "
                "or correct the path in the task"
            )
        return files

    def _raw(self, split: str) -> tuple[int, str]:
        return _read_raw(self._task, split)

    def examples(self, split: str, lengths: FeatureLengths) -> Iterator[Example]:
        """The examples of SeqIO's dataset, in order.

        Adds id, task, references and the pretokenized texts if the task does not give them. Raises
        UserError if inputs or targets are not token ids [length].
        """
        check_split(self, split)
        self._check_features()
        is_cached = self._use_cached and self._task.cache_dir is not None
        if not is_cached and isinstance(self._task.source, seqio.FileDataSource):
            self._files(split)  # TensorFlow's own error names neither task nor repair
        dataset = self._task.get_dataset(
            {name: getattr(lengths, name, None) for name in self._task.output_features},
            split,
            use_cached=is_cached,
            shuffle=False,
            try_in_mem_cache=False,
        )
        vocabularies = {n: f.vocabulary for n, f in self._task.output_features.items()}
        for number, given in enumerate(dataset.as_numpy_iterator()):
            found = {key: decoded(value) for key, value in given.items()}
            for feature in ("inputs", "targets"):
                ids = np.asarray(given[feature])
                if ids.ndim != 1 or not np.issubdtype(ids.dtype, np.integer):
                    raise UserError(
                        f"task {self.name!r}: {feature} are {ids.dtype} of shape {ids.shape}, and "
                        "must be token ids in a row; tokenise them in its preprocessors"
                    )
                found[feature] = ids.astype(np.int32)
                text = f"{feature}_pretokenized"
                if not isinstance(found.get(text), str):
                    found[text] = vocabularies[feature].decode(ids.tolist())
            for key, otherwise in (("id", f"{self.name}-{split}-{number}"), ("task", self.name)):
                if not isinstance(found.get(key), str):
                    found[key] = otherwise
            if not isinstance(found.get("references"), list):
                found["references"] = [found["targets_pretokenized"]]
            yield {**found, _AS_GIVEN: given}

    def texts(self, split: str) -> Iterator[Example]:
        """The examples with their texts, which are decoded if the task does not give them."""
        return self.examples(split, _LONG)

    def own_fields(self, example: Example) -> Mapping[str, Any]:
        return {}

    def target(self, example: Example) -> Any:
        return self._task.postprocess_fn(
            example["targets_pretokenized"], example=example[_AS_GIVEN], is_target=True
        )

    def prediction(self, text: str, example: Example) -> Any:
        return self._task.postprocess_fn(text, example=example[_AS_GIVEN], is_target=False)

    def about(self, example: Example) -> Mapping[str, Sequence[str]]:
        return {}

    def unit_of(self, example: Example) -> str:
        return str(example["id"])

    def tokenizer(self) -> Tokenizer:
        return Plain(vocabulary())


@cache
def _read_raw(task: seqio.Task, split: str) -> tuple[int, str]:
    """The number of a split's raw examples, and a hash of them."""
    log.info(
        "%s/%s: %s cannot say whether its data has changed: all examples are read to see",
        task.name,
        split,
        type(task.source).__name__,
    )
    digest, number = hashlib.sha256(), 0
    for example in task.source.get_dataset(split, shuffle=False).as_numpy_iterator():
        digest.update(_bytes_of(example))
        number += 1
    return number, digest.hexdigest()


def _bytes_of(value: Any) -> bytes:
    if isinstance(value, Mapping):
        return b"".join(key.encode() + b"\0" + _bytes_of(value[key]) for key in sorted(value))
    array = np.asarray(value)
    content = b"\0".join(map(_item_bytes, array.flat)) if array.dtype == object else array.tobytes()
    return f"{array.dtype} {array.shape}\0".encode() + content


def _item_bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else repr(value).encode()


class SeqIOMixture:
    """A mixture of SeqIO's registry. as_ours gives its tasks."""

    def __init__(self, mixture: seqio.Mixture, as_ours: Callable[[seqio.Task], AnyTask]) -> None:
        self._mixture, self._as_ours = mixture, as_ours

    @property
    def name(self) -> str:
        return self._mixture.name

    @property
    def tasks(self) -> Sequence[AnyTask]:
        return [self._as_ours(task) for task in self._mixture.tasks]

    def rates(self) -> Mapping[str, float]:
        return {task.name: self._mixture.get_rate(task) for task in self._mixture.tasks}

    @property
    def total_rate(self) -> float:
        return self._mixture.total_rate


def names() -> list[str]:
    return [*seqio.TaskRegistry.names(), *seqio.MixtureRegistry.names()]


def find(
    name: str, own: Callable[[str], AnyTask | None], cached_in: Sequence[str] | None
) -> SeqIOTask | SeqIOMixture | None:
    """The task or mixture of that name in SeqIO's registries, or None.

    own(name) gives this project's task of a name, which is read without SeqIO. cached_in are the
    directories of SeqIO's caches where tasks are read from these.
    """
    if cached_in is not None:
        seqio.add_global_cache_dirs(cached_in)

    def as_ours(task: seqio.Task) -> AnyTask:
        return own(task.name) or SeqIOTask(task, use_cached=cached_in is not None)

    if name in seqio.TaskRegistry.names():
        return SeqIOTask(seqio.TaskRegistry.get(name), use_cached=cached_in is not None)
    if name in seqio.MixtureRegistry.names():
        return SeqIOMixture(seqio.MixtureRegistry.get(name), as_ours)
    return None


def decoded(value: Any) -> Any:
    """TensorFlow's bytes as a text, arrays of bytes as lists of texts, other values unchanged."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.ndarray) and value.dtype == object and value.ndim == 1:
        return [item.decode("utf-8", "replace") for item in value]
    return value
