"""Which tasks have a source data set in common, by their names alone. Reads no examples.

A common source is no proof of common examples: two tasks may take different parts of a data set,
or ask different things of the same text.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Literal, NamedTuple, get_args

import msgspec

from tk_instruct import suite
from tk_instruct.data import origins, registry

Relation = Literal["same_task", origins.Relation]
# From the closest to the most distant one.
RELATIONS: Sequence[Relation] = get_args(Relation)


class OriginFinding(msgspec.Struct, frozen=True):
    """Two constituent tasks that are related by their source data sets.

    Attributes:
        relation: one of RELATIONS, the closest if there are several.
        datasets: names in the table of data sets, sorted; none, if it is the same task
            of unknown origin.
    """

    train_task: str
    eval_task: str
    relation: Relation
    datasets: list[str]


class Origins(NamedTuple):
    """What is known by names.

    Attributes:
        findings: sorted by evaluation task, then from the closest relation to the most distant.
        unknown_train: the training tasks of unknown origin, sorted.
        unknown_eval: the same of the evaluation tasks.
        num_train: the number of training tasks.
        num_eval: the number of evaluation tasks.
    """

    findings: list[OriginFinding]
    unknown_train: list[str]
    unknown_eval: list[str]
    num_train: int
    num_eval: int


def origins_of_tasks(name: str, split: str) -> Mapping[str, frozenset[str]]:
    """Constituent task of a task or mixture → its source data sets in the table; empty: unknown.

    Raises UserError for an unknown name, and where lists of tasks are missing.
    """
    found: dict[str, frozenset[str]] = {}
    for task in registry.tasks_of(name):
        whole, only = registry.whole_of(task.name)
        owner = registry.suite_of(whole)
        given: Mapping[str, Collection[str]] = {only or whole: ()}
        if owner and owner.origins:
            given = suite.part(owner.origins)(whole, split)
        for constituent, datasets in given.items():
            if only in (None, constituent):
                known = frozenset(filter(None, map(origins.canonical, datasets)))
                found[constituent] = found.get(constituent, frozenset()) | known
    return found


def by_origin(train: Sequence[str], against: Sequence[str]) -> Origins:
    """Pairs of a training and an evaluation task that are related by their source data sets.

    train, against: names of tasks or mixtures, NAME or NAME:SPLIT; by default the split is train
    for train, and test for against.
    """
    of_train, of_eval = _all(train, "train"), _all(against, "test")
    findings = [
        OriginFinding(name, other, relation=found[0], datasets=found[1])
        for other, evaluated in of_eval.items()
        for name, trained in of_train.items()
        if (found := _closest(name, other, trained, evaluated))
    ]
    findings.sort(key=lambda f: (f.eval_task, RELATIONS.index(f.relation), f.train_task))
    return Origins(
        findings,
        sorted(name for name, datasets in of_train.items() if not datasets),
        sorted(name for name, datasets in of_eval.items() if not datasets),
        len(of_train),
        len(of_eval),
    )


def _all(names: Sequence[str], default: str) -> Mapping[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for given in names:
        name, _, split = given.partition(":")
        for task, datasets in origins_of_tasks(name, split or default).items():
            found[task] = found.get(task, frozenset()) | datasets
    return found


def _closest(
    train_task: str, eval_task: str, train: frozenset[str], evaluation: frozenset[str]
) -> tuple[Relation, list[str]] | None:
    if train_task == eval_task:
        return "same_task", sorted(train & evaluation)
    relations: dict[Relation, set[str]] = {}
    for one in train:
        for other in evaluation:
            if found := origins.related(one, other):
                relations.setdefault(found.relation, set()).update(found.datasets)
    closest = min(relations, key=RELATIONS.index, default=None)
    return (closest, sorted(relations[closest])) if closest else None
