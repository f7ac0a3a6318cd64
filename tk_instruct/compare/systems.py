"""Finds what systems scored on each instance, and puts the same instances side by side."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from tk_instruct import scored_instances
from tk_instruct.errors import UserError
from tk_instruct.files import Path
from tk_instruct.scored_instances import SUFFIX, Label, ScoredInstances, joined
from tk_instruct.scores import LIMIT, key_of, named_apart, predictions_of

_NUM_NAMED = 3  # instances that a message names

# A file of predictions → its scored instances.
ScoreFile = Callable[[Path], ScoredInstances]
# The task and split of an evaluation, ("", "") if the file's name has none.
_Key = tuple[str, str]


class Side(NamedTuple):
    """Systems on the same instances, in the same order.

    Attributes:
        name: what they were evaluated on.
        systems: name → scored instances.
        num_left_out: instances that no system predicted.
    """

    name: str
    systems: Mapping[str, ScoredInstances]
    num_left_out: int


def side_by_side(given: Sequence[str], score: ScoreFile) -> list[Side]:
    """What all systems were evaluated on.

    Raises UserError for a system without scores, and if systems were not evaluated on the same
    instances.

    Args:
        given: run directories, files of predictions, folders of these that others have released,
            or files of scored instances.
        score: gives the scored instances of a file of predictions.
    """
    named = named_apart(given)
    if len(named) < 2:
        raise UserError(f"{' '.join(given)} is one system; give two or more to compare")
    found = {name: _evaluations(path, score) for name, path in named.items()}
    sides = []
    for name, systems in _matched(found).items():
        protocol = _protocol_of(systems)
        parts = {system: table.by("part") for system, table in systems.items()}
        for part in dict.fromkeys(part for of in parts.values() for part in of):
            title = ", ".join(filter(None, [name or protocol, part]))
            for system, of in parts.items():
                if part not in of:
                    raise UserError(
                        f"{system} was not evaluated on {title}, and others were; evaluate all on "
                        "the same"
                    )
            sides.append(_aligned(title, {system: of[part] for system, of in parts.items()}))
    return sides


def _protocol_of(systems: Mapping[str, ScoredInstances]) -> str:
    """How the systems were scored. Raises UserError if not all in one way."""
    (first, protocol), *others = ((name, of.about.protocol) for name, of in systems.items())
    for name, other in others:
        if other != protocol:
            raise UserError(
                f"{first} was evaluated by {protocol} and {name} by {other}; evaluate both in one "
                "way"
            )
    return protocol


def _evaluations(path: Path, score: ScoreFile) -> dict[_Key, ScoredInstances]:
    """The evaluations of a system. Raises UserError if there are none."""
    if not path.exists():
        raise UserError(f"{path} is not there; give a run's folder or a file of predictions")
    if not path.is_dir():
        return {_key(path): _of_file(path, score)}
    last = predictions_of(path)
    if not last:
        raise UserError(
            f"{path} holds no predictions/TASK-SPLIT-STEP.jsonl; give a run's directory after "
            "`tk-instruct predict`, or a file of predictions"
        )
    alone: dict[_Key, ScoredInstances] = {}
    together: dict[_Key, list[tuple[int, ScoredInstances]]] = {}
    for key, (step, file) in last.items():
        table = _of_file(file, score)
        if table.about.together:
            limit = LIMIT.search(key[0])
            name = table.about.protocol + (limit[0] if limit else "")
            together.setdefault((name, ""), []).append((step, table))
        else:
            alone[key] = table
    for key, tables in together.items():
        last_step = max(step for step, _ in tables)
        alone[key] = joined([table for step, table in tables if step == last_step])
    return alone


def _key(file: Path) -> _Key:
    stem = file.name.removesuffix(SUFFIX).removesuffix(".jsonl").removesuffix(".json")
    named = key_of(f"{stem}.json")
    return named[0] if named else ("", "")


def _of_file(path: Path, score: ScoreFile) -> ScoredInstances:
    """The scored instances of a file: its own, or those that belong to its predictions."""
    if path.name.endswith(SUFFIX):
        return scored_instances.read(path)
    if path.parent.name == "scores" and path.suffix == ".json":
        beside = path.parent.parent / "predictions" / f"{path.stem}{SUFFIX}"
        if beside.exists():
            return scored_instances.read(beside)
        raise UserError(
            f"{path} holds scores and no instances, and {beside} is not there; give the file of "
            "predictions, or evaluate it again"
        )
    return score(path)


def _matched(
    found: Mapping[str, Mapping[_Key, ScoredInstances]],
) -> dict[str, dict[str, ScoredInstances]]:
    """Name of an evaluation → system → its table, for the evaluations that all systems have.

    If there are none, and each system has one only, it is that.
    """
    first, *others = found.values()
    shared = [key for key in first if all(key in other for other in others)]
    if shared:
        return {
            "/".join(filter(None, key)): {name: of[key] for name, of in found.items()}
            for key in shared
        }
    if all(len(of) == 1 for of in found.values()):
        return {"": {name: next(iter(of.values())) for name, of in found.items()}}
    have = "; ".join(
        f"{name} has {', '.join('/'.join(filter(None, key)) or 'a file' for key in of)}"
        for name, of in found.items()
    )
    raise UserError(f"no task and split is of all systems: {have}; give one file of each")


def _aligned(title: str, systems: Mapping[str, ScoredInstances]) -> Side:
    """The instances that are predicted, in the order of the first system."""
    first_name = next(iter(systems))
    rows = {name: _rows(name, table) for name, table in systems.items()}
    predicted = {
        name: {key for key, row in of.items() if systems[name].predictions[row] is not None}
        for name, of in rows.items()
    }
    wanted = set().union(*predicted.values())
    if not set.intersection(*predicted.values()):
        raise UserError(
            f"{title}: {', '.join(systems)} have no instance in common; give predictions of the "
            "same split and data"
        )
    for name in systems:
        if lacking := sorted(wanted - predicted[name]):
            shown = ", ".join(id_ for _, id_ in lacking[:_NUM_NAMED])
            more = ", …" if len(lacking) > _NUM_NAMED else ""
            raise UserError(
                f"{title}: {name} lacks {len(lacking):,} of the {len(wanted):,} instances that the "
                f"systems predicted: {shown}{more}; systems are compared on the same instances, "
                "predict those too"
            )
    order = [key for key in rows[first_name] if key in wanted]
    aligned = {
        name: table.taken([rows[name][key] for key in order]) for name, table in systems.items()
    }
    for name, table in aligned.items():
        _check_data(title, (first_name, name), aligned[first_name], table)
    return Side(title, _with_same_units(title, aligned), len(rows[first_name]) - len(order))


def _check_data(
    title: str, names: tuple[str, str], first: ScoredInstances, second: ScoredInstances
) -> None:
    """Raises UserError unless the same instances have the same references and categories."""
    columns = {
        "other references": (map(list, first.references), map(list, second.references)),
        "another category": (first.labels["category"], second.labels["category"]),
    }
    for what, (mine, theirs) in columns.items():
        for id_, one, other in zip(first.labels["id"], mine, theirs, strict=True):
            if one != other:
                raise UserError(
                    f"{title}: {id_} has {what} for {names[0]} ({one!r:.60}) than for {names[1]} "
                    f"({other!r:.60}); evaluate both on the same data"
                )


def _with_same_units(
    title: str, systems: Mapping[str, ScoredInstances]
) -> dict[str, ScoredInstances]:
    """The systems with the largest units and instances that one of them has.

    A metric that is a mean for one system's answers alone has groups of units for the others.
    Raises UserError if the units of one are not parts of those.
    """
    shared: dict[Label, Sequence[str]] = {}
    for label in ("unit", "instance"):
        columns = {name: table.labels[label] for name, table in systems.items()}
        largest, shared[label] = min(columns.items(), key=lambda item: len(set(item[1])))
        for name, column in columns.items():
            if len(set(zip(column, shared[label], strict=True))) > len(set(column)):
                raise UserError(
                    f"{title}: the {label}s of {name} are others than those of {largest}; evaluate "
                    "both on the same data"
                )
    return {
        name: replace(table, labels={**table.labels, **shared}) for name, table in systems.items()
    }


def _rows(name: str, table: ScoredInstances) -> dict[tuple[str, str], int]:
    """(task, id) → row. Raises UserError if two rows are of the same."""
    rows: dict[tuple[str, str], int] = {}
    keys = zip(table.labels["task"], table.labels["id"], strict=True)
    for number, key in enumerate(keys):
        if rows.setdefault(key, number) != number:
            raise UserError(
                f"{name}: {key[1]} of {key[0]} was evaluated twice; give the file of one evaluation"
            )
    return rows
