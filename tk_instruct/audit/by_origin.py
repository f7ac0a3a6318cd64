"""Which tasks have a source dataset in common, by their names alone. Reads no examples.

A common source is no proof of common examples: two tasks may take different parts of a dataset,
or ask different things of the same text.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, get_args

from tk_instruct.audit.findings import Audit, OriginFinding
from tk_instruct.data import origins
from tk_instruct.data.registry import origins_of_tasks
from tk_instruct.tables import table

Relation = Literal["same_task", origins.Relation]
# From the closest to the most distant one.
RELATIONS: Sequence[Relation] = get_args(Relation)


class Origins(NamedTuple):
    """What is known by names.

    Attributes:
        findings: sorted by evaluation task, then from the closest relation to the most distant.
        train: training task → its source datasets, none if its origin is unknown.
        evaluation: the same of the evaluation tasks.
    """

    findings: Sequence[OriginFinding]
    train: Mapping[str, frozenset[str]]
    evaluation: Mapping[str, frozenset[str]]


def by_origin(train: Sequence[str], against: Sequence[str]) -> Origins:
    """Pairs of a training and an evaluation task that are related by their source datasets.

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
    return Origins(findings, of_train, of_eval)


def unknown(tasks: Mapping[str, frozenset[str]]) -> list[str]:
    """The tasks of unknown origin, sorted."""
    return sorted(name for name, datasets in tasks.items() if not datasets)


def origins_of(audit: Audit) -> Origins:
    """What an audit has of origins."""
    sides = (
        {task: frozenset(names) for task, names in of.items()}
        for of in (audit.train_datasets, audit.eval_datasets)
    )
    return Origins(audit.origins, *sides)


def rows(found: Origins) -> Sequence[tuple[str, ...]]:
    """The findings by datasets, below a header."""
    groups: dict[tuple[str, str, str], tuple[set[str], set[str]]] = {}
    for finding in found.findings:
        evaluated = _named(found.evaluation[finding.eval_task], finding.eval_task)
        key = evaluated, finding.relation, " ".join(finding.datasets)
        train, evaluation = groups.setdefault(key, (set(), set()))
        train.add(finding.train_task)
        evaluation.add(finding.eval_task)
    by_datasets = [("evaluation", "tasks", "relation", "dataset", "training (tasks)")]
    for (evaluated, relation, datasets), (train, evaluation) in sorted(groups.items()):
        counts = Counter(_named(found.train[task], task) for task in train)
        trained = ", ".join(f"{name} ({count})" for name, count in sorted(counts.items()))
        by_datasets.append((evaluated, f"{len(evaluation)}", relation, datasets, trained))
    return by_datasets


def notes(found: Origins) -> list[str]:
    """How many tasks are related, and of how many it is not known."""
    related = {finding.eval_task for finding in found.findings}
    return [
        f"{len(related):,} of {len(found.evaluation):,} evaluation tasks have a source "
        f"dataset in common with one of {len(found.train):,} training tasks. This is no "
        "proof of common examples.",
        f"Of unknown origin: {len(unknown(found.evaluation)):,} evaluation tasks, "
        f"{len(unknown(found.train)):,} training tasks.",
    ]


def as_text(found: Origins) -> str:
    """The findings by datasets, as a table, and how much is unknown."""
    return "\n".join([*([table(rows(found)), ""] if found.findings else []), *notes(found)])


def _named(datasets: frozenset[str], task: str) -> str:
    return " ".join(sorted(datasets)) or task


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
