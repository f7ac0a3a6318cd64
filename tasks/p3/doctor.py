"""Checks P3's templates and data: what is there, and which templates have a fault.

Every template is parsed. Those of data sets with rows are applied to the first rows of each split.
"""

import argparse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import islice
from typing import Any, NamedTuple

from tk_instruct import schema
from tk_instruct.errors import MissingDataError, UserError
from tk_instruct.files import Path
from tk_instruct.progress import Progress
from tk_instruct.suite import Diagnosis

from . import examples, hub, metrics, rows, t0, templates, tfds_rows
from .doctor_report import format_report
from .findings import (
    BIAS,
    DIFFERS,
    GIVES_EXAMPLES,
    HAS_CHOICES,
    HAS_COLUMNS,
    HAS_TARGET,
    KNOWN_FIELDS,
    KNOWN_METRICS,
    NO_EMPTY_CHOICE,
    OWN_NAME,
    PARSES,
    READABLE,
    RENDERS,
    SCORED,
    SPLITS,
    TRAINED,
    Data,
    Drops,
    Fault,
    Finding,
    TreeInUse,
)
from .rendering import ANSWER_CHOICES, MOST_CHARACTERS, Dropped, Prompted, without_dash
from .settings import P3
from .tasks import prompts_of
from .templates import DatasetName, Template, Tree

_NUM_TRIED = 50  # rows of each split that each template is applied to


def diagnose(args: argparse.Namespace) -> Diagnosis:
    """Checks the tree in use. Raises UserError if there is none."""
    findings = check()
    is_well = not any(
        isinstance(found, Fault) or (isinstance(found, Data) and found.state != "present")
        for found in findings
    )
    return Diagnosis(findings, format_report(findings), is_well)


def check() -> list[Finding]:
    """The tree, then what is found in each data set, in the order of the tree's folders."""
    tree = templates.tree()
    findings: list[Finding] = []
    readable = []
    for path in tree.files():
        try:
            readable.append(templates.read(path))
        except UserError as error:
            folder = path.parent.relative_to(tree.root).as_posix()
            value, repair = _value_and_repair(error)
            value = value.removeprefix(f"{path}: ")
            findings.append(Fault(folder, [], value, READABLE, repair))
    num_without = 0
    without_t0 = not any(of.dataset in t0.datasets() for of in readable)
    with Progress("checking templates and data", len(readable)) as progress:
        for contents in readable:
            checked = _Check(contents, is_always_shown=without_t0)
            findings += checked.findings()
            num_without += checked.is_only_counted
            progress.advance()
    findings += _same_tasks(readable)
    return [_in_use(tree, readable, num_without), *findings]


def _in_use(tree: Tree, readable: Sequence[templates.Contents], num_without: int) -> TreeInUse:
    names = {(of.dataset, name) for of in readable for name in of.templates}
    return TreeInUse(
        folder=str(tree.root),
        version=tree.version,
        fingerprint=tree.fingerprint,
        datasets=len(tree.files()),
        templates=len(names),
        of_t0=sum((task.dataset, task.template) in names for task in t0.tasks()),
        without_data=num_without,
    )


def _value_and_repair(error: UserError) -> tuple[str, str]:
    """The parts of an error's message."""
    value, _, repair = str(error).rpartition("; ")
    return value, repair


def _same_tasks(readable: Sequence[templates.Contents]) -> Iterator[Fault]:
    first: dict[str, str] = {}
    for dataset, found, _ in readable:
        for name in found:
            task = prompts_of(dataset, name)[0].task
            where = f"{name!r} of {dataset}"
            if first.setdefault(task, where) != where:
                value = f"{task} is also the task of {first[task]}"
                yield Fault(str(dataset), [name], value, OWN_NAME, "rename one of them")


class _Split(NamedTuple):
    """A split that could be read: where it is, its size, its columns and its first rows."""

    at: rows.Place
    num_rows: int
    columns: list[str]
    first: list[dict[str, Any]]

    def lacks(self, needed: Iterable[str]) -> list[str]:
        return sorted({*needed} - {without_dash(name) for name in self.columns})


class _Check:
    """What is found in one data set.

    One that has neither rows nor a folder for them is only counted, unless it is on T0's list.
    """

    def __init__(self, contents: templates.Contents, *, is_always_shown: bool) -> None:
        self._dataset, self._templates, self._unknown = contents
        self._faults: dict[tuple[str, str, str], list[str]] = {}  # value, rule, repair → templates
        self._broken = ""  # the first error of its data
        self._no_rows = ""  # the error if it has none
        self._places = self._find_places()
        is_shown = is_always_shown or self._dataset in t0.datasets() or self._has_folder()
        self.is_only_counted = not (self._places or self._broken or is_shown)

    def findings(self) -> Iterator[Finding]:
        parsed = [template for template in self._templates.values() if self._parses(template)]
        self._find_duplicates()
        self._find_unknown()
        if not self.is_only_counted:
            reads = {ANSWER_CHOICES}.union(
                *(examples.columns_of(self._dataset, template) for template in parsed)
            )
            splits = self._read(reads)
            drops = [self._apply(template, splits) for template in parsed]
            yield self._data(splits, reads)
            yield from (found for found in drops if found.dropped)
        for (value, rule, repair), names in self._faults.items():
            yield Fault(str(self._dataset), names, value, rule, repair)

    def _add(self, template: Template, value: str, rule: str, repair: str) -> None:
        self._faults.setdefault((value, rule, repair), []).append(template.name)

    def _find_places(self) -> dict[str, rows.Place]:
        """Split, of ANLI split_round → where it is."""
        places = {}
        for of in prompts_of(self._dataset, ""):
            for split in SPLITS:
                try:
                    at = examples.place(of, split)
                except MissingDataError as error:
                    self._no_rows = self._no_rows or str(error)
                except UserError as error:
                    self._broken = self._broken or str(error)
                else:
                    places[f"{split}_{of.round}" if of.round else split] = at
        return places

    def _has_folder(self) -> bool:
        given = P3().data
        return given is not None and (Path(given).expanduser() / str(self._dataset)).is_dir()

    def _parses(self, template: Template) -> bool:
        try:
            examples.columns_of(self._dataset, template)
        except UserError as error:
            self._add(template, str(error.__cause__), PARSES, "correct it")
            return False
        return True

    def _find_duplicates(self) -> None:
        first: dict[str, str] = {}
        for name, template in self._templates.items():
            text = " ".join(f"{template.jinja} \0 {template.answer_choices}".split())
            if first.setdefault(text, name) != name:
                value = f"its text is that of {first[text]!r}"
                self._add(template, value, DIFFERS, "remove one of them, or change its text")

    def _find_unknown(self) -> None:
        for name, template in self._templates.items():
            if unknown := self._unknown[name]:
                value = ", ".join(map(repr, unknown))
                self._add(template, value, KNOWN_FIELDS, "correct their names, or remove them")
            given = template.metadata.metrics or ()
            if unknown := [metric for metric in given if metric.lower() not in metrics.KNOWN]:
                value = f"{', '.join(map(repr, unknown))} counts as accuracy"
                self._add(template, value, KNOWN_METRICS, "correct its name, or write Other")

    def _read(self, reads: set[str]) -> dict[str, _Split]:
        splits = {}
        for split, at in self._places.items():
            try:
                first = list(islice(rows.rows(at, reads), _NUM_TRIED))
                if not first:
                    raise UserError(f"{split} has no rows; get its files again, or remove them")
                splits[split] = _Split(at, rows.num_rows(at), rows.columns(at), first)
            except UserError as error:
                self._broken = self._broken or str(error)
        return splits

    def _apply(self, template: Template, splits: Mapping[str, _Split]) -> Drops:
        """Applies a template to the rows whose columns it needs, until it is refused."""
        needed = examples.needed_columns(self._dataset, template)
        drops = Drops(str(self._dataset), template.name)
        outside: list[str] = []
        few: list[str] = []
        empty: list[str] = []
        first_row = ""
        lacking: dict[str, list[str]] = {}  # columns → splits
        for split, of_split in splits.items():
            if columns := of_split.lacks(needed):
                lacking.setdefault(", ".join(columns), []).append(split)
                continue
            for number, row in enumerate(of_split.first):
                where = of_split.at.split, number
                try:
                    found = examples.prompt_row(self._dataset, template, *where, row)
                except UserError as error:
                    value, repair = _value_and_repair(error)
                    self._add(template, value, RENDERS, repair)
                    return drops
                drops.tried[split] = number + 1
                row_number = f"{split}, row {number}"
                if isinstance(found, Dropped):
                    drops.add(split, found)
                    first_row = first_row or f"{row_number} is {schema.shortened(row)}"
                    continue
                choices = schema.shortened(found.choices)
                if not _has_target(found):
                    target = schema.shortened(found.targets)
                    outside.append(f"{row_number}: {target} is not in {choices}")
                if found.choices is not None and len(found.choices) < 2:
                    few.append(f"{row_number}: {choices}")
                if found.choices is not None and "" in found.choices:
                    empty.append(f"{row_number}: {choices}")
        for absent, of_splits in lacking.items():
            there = ", ".join(splits[of_splits[0]].columns)
            value = f"there is no {absent} in {', '.join(of_splits)}, only {there}"
            self._add(template, value, HAS_COLUMNS, examples.OTHER_VERSION)
        num_tried = sum(drops.tried.values())
        if outside:
            value = f"{outside[0]} ({len(outside)} of {num_tried} rows)"
            self._add(template, value, HAS_TARGET, "correct its choices, or remove them")
        elif drops.total and drops.total == num_tried:
            reasons = "; ".join(
                f"{reason} ({detail})" if detail else reason
                for reason, detail in drops.details.items()
            )
            value = f"all {num_tried} rows are dropped: {reasons}"
            self._add(template, f"{value} ({first_row})", GIVES_EXAMPLES, "correct it")
        # Of some rows alone it is the data's fault.
        num_applied = num_tried - drops.total
        for found_so, rule, repair in (
            (few, HAS_CHOICES, "write ||| between them, or remove answer_choices"),
            (empty, NO_EMPTY_CHOICE, "remove the ||| beside it"),
        ):
            if found_so and len(found_so) == num_applied:
                value = f"{found_so[0]} ({len(found_so)} of {num_tried} rows)"
                self._add(template, value, rule, repair)
        return drops

    def _data(self, splits: Mapping[str, _Split], reads: set[str]) -> Data:
        of, roles = t0.datasets().get(self._dataset), _roles(self._dataset)
        state, advice, licence = "present", "", ""
        try:
            licence = self._licence()
        except UserError as error:
            self._broken = self._broken or str(error)
        if self._broken:
            state, advice = "broken", self._broken
        elif not self._places:
            state, advice = "missing", _how_to_get(self._dataset) if of else self._no_rows
        elif lacking := self._splits_of_t0(roles) - splits.keys():
            state, advice = "partial", f"T0 uses {', '.join(sorted(lacking))}; add its files"
        places = self._places.values()
        columns = dict.fromkeys(name for each in splits.values() for name in each.columns)
        return Data(
            dataset=str(self._dataset),
            group=of.group if of else "",
            t0=roles,
            state=state,
            templates=len(self._templates),
            folder=next((str(at.files[0].parent) for at in places if at.files), ""),
            tfds=list(dict.fromkeys(at.tfds for at in places if at.tfds)),
            rows={split: each.num_rows for split, each in splits.items()},
            licence=licence,
            unused_columns=[name for name in columns if without_dash(name) not in reads],
            advice=advice,
        )

    def _splits_of_t0(self, roles: Sequence[str]) -> set[str]:
        """The splits that T0 is trained and scored on."""
        used = {"train"} if any(role in TRAINED for role in roles) else set()
        used |= {"validation"} if SCORED in roles else set()
        rounds = [of.round for of in prompts_of(self._dataset, "")]
        return {f"{split}_{of}" if of else split for split in used for of in rounds}

    def _licence(self) -> str:
        """What TFDS or the note of a download says. Empty if it says nothing."""
        folder = P3().data
        if any(at.tfds for at in self._places.values()):
            return tfds_rows.licence(str(self._dataset))
        if not self._places or folder is None:
            return ""
        return hub.licence(self._dataset.name, self._dataset.subset, folder)


# Mixtures with T0's data sets, which `tasks prepare` downloads.
_MIXTURES = ("t0_train", "t0p_train", "t0pp_train", "t0_eval", "t0_bias_fairness_eval")


def _how_to_get(dataset: DatasetName) -> str:
    of_mixture = {**t0.TRAINING_MIXTURES, **t0.EVALUATION_MIXTURES}
    tasks = [task for task in t0.tasks() if task.dataset == dataset]
    has_it = (name for name in _MIXTURES if any(map(of_mixture[name], tasks)))
    name = next(has_it, "TASK")
    a_task = ", with a task of each as TASK" if name == "TASK" else ""
    return (
        f"`tk-instruct tasks prepare {name} --p3_data {P3().data or 'DIR'}` downloads them{a_task}"
    )


@cache
def _roles(dataset: DatasetName) -> list[str]:
    """What T0 does with a data set: the first model that is trained on it; whether it is scored."""
    firsts = {task.train for task in t0.tasks() if task.dataset == dataset}
    roles = [role for role, first in TRAINED.items() if first in firsts]
    roles += [SCORED] if dataset in t0.held_out() else []
    return roles + ([BIAS] if dataset in t0.bias_and_fairness() else [])


def _has_target(found: Prompted) -> bool:
    """Whether the choices, if there are any, contain the target, also if it was cut."""
    if found.choices is None or found.targets in found.choices:
        return True
    start = found.targets.removesuffix("...")
    cut = (c for c in found.choices if len(c) > MOST_CHARACTERS)
    return start != found.targets and any(choice.startswith(start) for choice in cut)
