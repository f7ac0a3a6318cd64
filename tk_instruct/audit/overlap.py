"""The training examples that are most like each evaluation instance, by their texts."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, get_args

import numpy as np

from tk_instruct.audit.compared import Common
from tk_instruct.audit.field import EvaluationTexts, Pairs
from tk_instruct.audit.findings import Field, Kind, Settings, TaskCount, TextFinding
from tk_instruct.audit.instances import Instance
from tk_instruct.audit.passages import passage

FIELDS: Sequence[Field] = get_args(Field)
KINDS: Sequence[Kind] = get_args(Kind)
# Training examples that are looked at together.
_BATCH = 8192


class Found(NamedTuple):
    """What the texts have in common; see Audit."""

    tasks: list[TaskCount]
    texts: list[TextFinding]
    num_train: int
    left_out: int


class _Best(NamedTuple):
    """The best training text for an evaluation instance, so far."""

    evaluation: int
    training: str
    of: Instance
    common: Common


class _Field:
    """The best pairs of one field."""

    def __init__(
        self, field: Field, instances: Sequence[Instance], tasks: Sequence[int], settings: Settings
    ) -> None:
        self.field = field
        self._num_instances = len(instances)
        owners, texts = _texts(field, instances)
        self.texts = EvaluationTexts(texts, owners, tasks, settings)
        self.num_train = {kind: np.zeros(len(instances), np.int64) for kind in KINDS}
        self._value = {kind: np.zeros(len(instances)) for kind in KINDS}
        self.best: dict[tuple[int, Kind], _Best] = {}

    def look(self, batch: Sequence[Instance]) -> None:
        """Compares training examples. A pair of examples counts for its strongest kind alone."""
        owners, texts = _texts(self.field, batch)
        of_text = np.array(owners, np.int64)
        stronger = np.zeros(0, np.int64)
        for kind, pairs in self.texts.find(texts):
            instances = self.texts.instances[pairs.evaluation]
            examples = of_text[pairs.training] * self._num_instances + instances
            is_new = ~np.isin(examples, stronger)
            pairs = Pairs(*(each[is_new] for each in pairs))
            examples, instances = examples[is_new], instances[is_new]
            pair_of_examples, first = np.unique(examples, return_index=True)
            np.add.at(self.num_train[kind], instances[first], 1)
            stronger = np.concatenate([stronger, pair_of_examples])
            # The best of each evaluation instance; of equally good ones the first.
            order = np.lexsort((pairs.training, -pairs.value, instances))
            best = order[np.unique(instances[order], return_index=True)[1]]
            better = best[pairs.value[best] > self._value[kind][instances[best]]]
            for k in better.tolist():
                training, evaluation = int(pairs.training[k]), int(pairs.evaluation[k])
                # None where different words have the same hash.
                if common := self.texts.compare(kind, evaluation, texts[training]):
                    instance = int(instances[k])
                    self._value[kind][instance] = common.value
                    of = batch[owners[training]]
                    self.best[instance, kind] = _Best(evaluation, texts[training], of, common)

    def findings(self, instances: Sequence[Instance]) -> Iterator[tuple[int, TextFinding]]:
        """(number of the evaluation instance, finding)."""
        for (number, kind), best in self.best.items():
            common, evaluation = best.common, instances[number]
            yield (
                number,
                TextFinding(
                    eval_id=evaluation.id,
                    eval_task=evaluation.task,
                    train_id=best.of.id,
                    train_task=best.of.task,
                    field=self.field,
                    kind=kind,
                    share=common.share,
                    num_train=int(self.num_train[kind][number]),
                    evaluation=passage(self.texts.texts[best.evaluation], common.evaluation),
                    training=passage(best.training, common.training),
                    n=self.texts.ngram_words(best.evaluation) if kind == "ngram" else None,
                    jaccard=common.value if kind == "near_duplicate" else None,
                ),
            )


def _texts(field: Field, instances: Sequence[Instance]) -> tuple[list[int], list[str]]:
    """The instance of each text, and the texts."""
    if field == "inputs":
        return list(range(len(instances))), [instance.inputs for instance in instances]
    owners = [number for number, instance in enumerate(instances) for _ in instance.targets]
    return owners, [text for instance in instances for text in instance.targets]


def overlap(
    evaluation: Iterable[Instance], training: Iterable[Instance], settings: Settings
) -> Found:
    """What evaluation instances have in common with training examples, which are streamed.

    An evaluation instance that is there again, of the same task and id, counts once.
    """
    instances = list({(each.task, each.id): each for each in evaluation}.values())
    names = sorted({instance.task for instance in instances})
    numbers = {name: number for number, name in enumerate(names)}
    tasks = [numbers[instance.task] for instance in instances]
    fields = [_Field(field, instances, tasks, settings) for field in FIELDS]
    num_train = 0
    stream = iter(training)
    while batch := list(itertools.islice(stream, _BATCH)):
        num_train += len(batch)
        for field in fields:
            field.look(batch)
    flagged = {each.field: {number for number, _ in each.best} for each in fields}
    texts = sorted(
        (found for field in fields for found in field.findings(instances)),
        key=lambda pair: (pair[0], FIELDS.index(pair[1].field), KINDS.index(pair[1].kind)),
    )
    return Found(
        list(_counts(names, tasks, flagged["inputs"], flagged["targets"])),
        [finding for _, finding in texts],
        num_train,
        sum(field.texts.num_left_out for field in fields),
    )


def _counts(
    names: Sequence[str], tasks: Sequence[int], by_inputs: set[int], by_targets: set[int]
) -> Iterator[TaskCount]:
    of = np.array(tasks, np.int64)

    def counts(numbers: Iterable[int]) -> list[int]:
        return np.bincount(of[sorted(numbers)], minlength=len(names)).tolist() if len(of) else []

    columns = (range(len(of)), by_inputs | by_targets, by_inputs, by_targets)
    for name, row in zip(names, zip(*map(counts, columns), strict=True), strict=True):
        yield TaskCount(name, *row)
