"""Makes a dataset's raw examples: fields as texts, options, references and an id."""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any

from tk_instruct.data import tfds_source
from tk_instruct.data.task import RawExample, Source
from tk_instruct.errors import UserError

from . import templates
from .datasets import BY_NAME, Dataset

# Field of every record, beside the dataset's own fields → whether it is a list.
COMMON = {
    "id": False,
    "task": False,
    "category": False,
    "split": False,
    "group": False,
    "options": True,
    "references": True,
}


def source(dataset: Dataset) -> Source:
    """The source of a dataset's tasks. Reads no files until examples are read."""
    return Source(
        splits=tuple(dataset.splits),
        fields=COMMON | dict.fromkeys(dataset.fields, False),
        load=partial(load, dataset),
        content=partial(fingerprint, dataset),
        count=partial(count, dataset),
        download=tfds_source.download(dataset.tfds),
        rendering=templates.fingerprint,
    )


def option_source(dataset: Dataset) -> Source:
    """The source of a dataset's tasks for ranking: one example for each option, as SeqIO scores."""
    whole = source(dataset)
    return Source(
        splits=whole.splits,
        fields={**whole.fields, "of": False, "option": False, "is_right": False},
        load=partial(_load_options, dataset),
        content=whole.content,
        download=whole.download,
        rendering=whole.rendering,
    )


def _load_options(dataset: Dataset, split: str) -> Sequence[RawExample]:
    def is_right(option: str, record: RawExample) -> bool:
        return option == record[dataset.target] or option in record["references"]

    return [
        {
            **record,
            "id": f"{record['id']}#{number}",
            "of": record["id"],
            "option": option,
            "is_right": "yes" if is_right(option, record) else "no",
        }
        for record in load(dataset, split)
        for number, option in enumerate(record["options"])
    ]


def count(dataset: Dataset, split: str) -> int:
    """The number of a split's examples, also those that a preprocessor drops. Reads no examples."""
    part = dataset.splits[split]
    start, stop = part.bounds(tfds_source.num_examples(dataset.tfds, part.split))
    return max(0, stop - start)


def fingerprint(dataset: Dataset, split: str) -> str:
    """A text that changes with the split's data. Raises MissingDataError if it is not prepared."""
    return f"{tfds_source.fingerprint(dataset.tfds)} {dataset.splits[split]}"


def load(dataset: Dataset, split: str) -> Sequence[RawExample]:
    """The records of a split, from a cache of the last splits.

    Raises UserError if the data is missing, lacks a field that is read, or gives no record.
    """
    return _load(dataset.name, split, fingerprint(dataset, split))


@lru_cache(maxsize=4)
def _load(name: str, split: str, content: str) -> Sequence[RawExample]:
    del content  # only part of the cache's key, so that changed files are read again
    dataset = BY_NAME[name]
    found = list(records(dataset, split))
    if not found:
        raise UserError(
            f"{name}: {_where(dataset, split)} leaves no example for {split} of the "
            f"{count(dataset, split)} that it has; what is empty is never passed over: prepare it "
            "again, or take a mixture without it"
        )
    return found


def records(dataset: Dataset, split: str) -> Iterator[RawExample]:
    """Reads the records of a split one by one. Raises what load raises, but not for no records."""
    part = dataset.splits[split]
    start, stop = part.bounds(tfds_source.num_examples(dataset.tfds, part.split))
    for index, raw in enumerate(tfds_source.examples(dataset.tfds, part.split, start, stop)):
        record = _record(dataset, split, index, raw)
        if record is not None:
            yield record


def _record(dataset: Dataset, split: str, index: int, raw: Mapping[str, Any]) -> RawExample | None:
    id_ = f"{dataset.name}-{split}-{index}"
    try:
        fields = dataset.preprocess(raw)
    except KeyError as error:
        raise UserError(
            f"{dataset.name}: {_where(dataset, split)} has no field "
            f"{error.args[0]!r}, only {tfds_source.schema(dataset.tfds)}; its schema is not that "
            f"of {dataset.tfds}, prepare that version"
        ) from error
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        raise UserError(
            f"{dataset.name}: example {id_} of {_where(dataset, split)} does not "
            f"have the form that {dataset.tfds} has ({error}): {raw!s:.200}; "
            "prepare that version"
        ) from error
    if fields is None:
        return None
    values: dict[str, Any] = dict(fields)
    options = list(values.pop("options", dataset.options))
    label = values.pop("label", None)
    if label is not None:
        if label < 0:  # the right answer is not known
            return None
        if label >= len(options):
            raise UserError(
                f"{dataset.name}: field label of example {id_} is {label} and there are "
                f"{len(options)} options ({', '.join(options)}); prepare {dataset.tfds} again"
            )
        values[dataset.target] = options[label]
    references = values.pop("references", None) or [values[dataset.target]]
    return {
        "id": id_,
        "task": dataset.name,
        "category": dataset.cluster,
        "split": split,
        "group": values.pop("group", ""),
        "options": options,
        "references": list(references),
        **{field: values[field] for field in dataset.fields},
    }


def _where(dataset: Dataset, split: str) -> str:
    return f"{tfds_source.folder(dataset.tfds)}, split {dataset.splits[split].split},"
