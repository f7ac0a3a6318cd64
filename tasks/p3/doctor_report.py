"""The doctor's findings as a text for people."""

import shutil
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence

from tk_instruct.data import tfds_source
from tk_instruct.files import Path
from tk_instruct.tables import table

from . import t0
from .findings import BIAS, SCORED, SPLITS, TRAINED, Data, Drops, Fault, Finding, TreeInUse
from .settings import P3

_NUM_SHOWN = 6  # faults of a kind
_MOST_WIDTH = 100  # characters of a line


def format_report(findings: Sequence[Finding]) -> str:
    """The tree, a table of the data, what to do, the faults, and what else is worth knowing."""
    tree = next(found for found in findings if isinstance(found, TreeInUse))
    data = [found for found in findings if isinstance(found, Data)]
    faults = [found for found in findings if isinstance(found, Fault)]
    drops = [found for found in findings if isinstance(found, Drops)]
    parts = [
        _about_tree(tree),
        _data_table(data),
        _about_data(data, tree),
        _about_faults(faults),
        _drops_table(data, drops),
        _unused(data),
    ]
    return "\n\n".join(filter(None, parts))


def _about_tree(tree: TreeInUse) -> str:
    return "\n".join(
        [
            f"templates in {tree.folder}",
            f"  version {tree.version}, fingerprint {tree.fingerprint}",
            f"  {tree.templates:,} templates of {tree.datasets:,} data set"
            f"{'s' * (tree.datasets != 1)}; {tree.of_t0:,} of the {len(t0.tasks()):,} on T0's list",
        ]
    )


_ABOUT_ROLES = "(T0, T0+, T0++: the first trained on it; eval: scored on it; bias: of bias)"


def _data_table(data: Sequence[Data]) -> str:
    """A line for each data set, under its group's name; those not on T0's list are at the end."""
    groups: dict[str, list[Data]] = {}
    for found in sorted(data, key=lambda found: (not found.group, found.group, found.dataset)):
        groups.setdefault(found.group, []).append(found)
    others = groups.pop("", [])
    lines = []
    if groups:
        ordered = [found for of_group in groups.values() for found in of_group]
        roles = [("T0", *(", ".join(found.t0) for found in ordered))]
        header, *of_data = _lines_of_data(ordered, roles)
        lines.append(header)
        for group, of_group in groups.items():
            lines += [group, *of_data[: len(of_group)]]
            of_data = of_data[len(of_group) :]
        lines.append(_ABOUT_ROLES)
    if others:
        lines += [""] * bool(lines) + _lines_of_data(others, [], "not on T0's list")
    return "\n".join(lines)


def _lines_of_data(
    data: Sequence[Data], columns: list[tuple[str, ...]], title: str = "data set"
) -> list[str]:
    """A table's lines; columns stand behind the names."""
    columns = [(title, *(f"  {found.dataset}" for found in data)), *columns]
    columns.append(("state", *(found.state for found in data)))
    columns += [(split, *(_count(found.rows, split) for found in data)) for split in SPLITS]
    if any(found.tfds for found in data):
        columns.append(("TFDS", *(", ".join(found.tfds) for found in data)))
    return table(list(zip(*columns, strict=True))).splitlines()


def _count(counts: Mapping[str, int], split: str) -> str:
    """The rows of a split, for ANLI those of all rounds."""
    found = [number for name, number in counts.items() if name.partition("_")[0] == split]
    return f"{sum(found):,}" if found else "–"


def _about_data(data: Sequence[Data], tree: TreeInUse) -> str:
    """What to do about data that is not there, and under which licences the others are."""
    there = [found for found in data if found.is_there]
    of_t0 = [found for found in data if found.group]
    num_of_t0 = sum(found.is_there for found in of_t0)
    num_others = len(there) - num_of_t0
    given = P3().data
    is_dir = given is not None and Path(given).expanduser().is_dir()
    all_others = len(data) - len(of_t0) + tree.without_data
    counts = [f"{num_of_t0} of the {len(of_t0)} on T0's list in this tree"] * bool(of_t0)
    others = (
        f"{num_others} of the {all_others} others" if of_t0 else f"{num_others} of {all_others}"
    )
    counts += [others] * bool(all_others)
    lines = [
        f"data sets with rows: {', '.join(counts) or 'none'}",
        *([f"  --p3_data {given}{'' if is_dir else ', which is no folder'}"] if given else []),
        f"  --tfds_data_dir {tfds_source.tfds_data_dir()}",
    ]
    together: dict[tuple[str, str], list[Data]] = {}
    for found in sorted(data, key=lambda found: (found.state, _rank(found))):
        if found.state != "present":
            together.setdefault((found.state, found.advice), []).append(found)
    for (state, advice), of_state in together.items():
        lines += [f"{len(of_state)} {state}: {advice}", _listed(of_state)]
    licences: dict[str, list[Data]] = {}
    for found in there:
        licences.setdefault(found.licence or "not stated", []).append(found)
    for licence, of_licence in licences.items() if any(found.licence for found in there) else ():
        lines.append(f"licence {textwrap.shorten(licence, 60)}: {len(of_licence)}")
        lines += [_listed(of_licence)] if len(licences) > 1 else []
    return "\n".join(lines)


def _listed(data: Sequence[Data]) -> str:
    return _wrapped("  " + ", ".join(found.dataset for found in data), further=0)


def _about_faults(faults: Sequence[Fault]) -> str:
    """The faults by rule and repair, the first few of each."""
    together: dict[tuple[str, str], list[Fault]] = {}
    for fault in faults:
        together.setdefault((fault.rule, fault.repair), []).append(fault)
    if not faults:
        return "no template has a fault"
    lines = [f"{len(faults):,} fault{'s' * (len(faults) > 1)}, by the rule that is broken"]
    for (rule, repair), found in together.items():
        lines.append(_wrapped(f"{rule}; {repair} ({len(found):,})"))
        for fault in found[:_NUM_SHOWN]:
            names = ", ".join(map(repr, fault.templates[:_NUM_SHOWN]))
            more = f" and {len(fault.templates) - _NUM_SHOWN} more"
            names += more if len(fault.templates) > _NUM_SHOWN else ""
            where = f"{fault.dataset} {names}".rstrip()
            lines.append(_wrapped(f"  {where}: {fault.value}"))
        if len(found) > _NUM_SHOWN:
            lines.append(f"  and {len(found) - _NUM_SHOWN:,} more (--json lists all)")
    return "\n".join(lines)


def _drops_table(data: Sequence[Data], drops: Sequence[Drops]) -> str:
    """A line for each data set with templates that drop rows."""
    cells = [("rows that are dropped", "by templates", "at most", "why")]
    for of in data:
        found = [drop for drop in drops if drop.dataset == of.dataset]
        if found:
            most = max(found, key=lambda drop: drop.total)
            share = f"{most.total} of {sum(most.tried.values())}"
            why = "; ".join([*_reasons(found), *(f"all of {split}" for split in _emptied(found))])
            cells.append((of.dataset, f"{len(found)} of {of.templates}", share, f"({why})"))
    return table(cells) if cells[1:] else ""


def _reasons(drops: Sequence[Drops]) -> list[str]:
    """The reasons, the most frequent first."""
    counts: Counter[str] = Counter()
    for found in drops:
        for reasons in found.dropped.values():
            counts.update(reasons)
    return [reason for reason, _ in counts.most_common()]


def _emptied(drops: Sequence[Drops]) -> list[str]:
    """The splits of which a template drops all rows that it is applied to."""
    found = (
        split
        for of in drops
        for split, reasons in of.dropped.items()
        if sum(reasons.values()) == of.tried[split]
    )
    return list(dict.fromkeys(found))


def _unused(data: Sequence[Data]) -> str:
    together: dict[str, list[str]] = {}
    for found in data:
        if found.unused_columns:
            together.setdefault(", ".join(found.unused_columns), []).append(found.dataset)
    if not together:
        return ""
    lines = (f"  {', '.join(names)}: {columns}" for columns, names in together.items())
    return "\n".join(["columns that no template reads", *map(_wrapped, lines)])


def _wrapped(text: str, further: int = 2) -> str:
    """A paragraph as wide as the terminal. further: indents all lines but the first."""
    width = min(shutil.get_terminal_size().columns, _MOST_WIDTH)
    indent = " " * (len(text) - len(text.lstrip()) + further)
    return textwrap.fill(
        text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def _rank(data: Data) -> int:
    """The place of a data set in lists: first those that T0 is trained on."""
    return [*TRAINED, SCORED, BIAS].index(data.t0[0]) if data.t0 else len(TRAINED) + 2
