"""Checks which of FLAN's datasets are prepared, and tells what to do for the others."""

import argparse
from dataclasses import dataclass, field
from itertools import islice

from tk_instruct.data import tfds_source
from tk_instruct.errors import MissingDataError, UserError
from tk_instruct.suite import Diagnosis
from tk_instruct.tables import table

from . import examples
from .datasets import DATASETS, Dataset

_DOWNLOAD = "`tk-instruct tasks prepare flan_DATASET` downloads it"
_NUM_TRIED = 20  # examples of each split that go through the preprocessor


@dataclass(frozen=True)
class Finding:
    """The state of one dataset.

    Attributes:
        state: present, missing or broken.
        examples: split → the number of examples. Empty if the dataset is not present.
        licence: the licence that TFDS names, or empty.
        advice: what to do if the dataset is not present.
    """

    dataset: str
    cluster: str
    tfds: str
    state: str
    examples: dict[str, int] = field(default_factory=dict)
    licence: str = ""
    advice: str = ""

    @property
    def is_well(self) -> bool:
        return self.state == "present"


def diagnose(args: argparse.Namespace) -> Diagnosis:
    """Checks all datasets."""
    findings = check()
    is_well = all(finding.is_well for finding in findings)
    return Diagnosis(findings, format_report(findings), is_well)


def check() -> list[Finding]:
    """One finding for each dataset."""
    return [_check(dataset) for dataset in DATASETS]


def _check(dataset: Dataset) -> Finding:
    about = (dataset.name, dataset.cluster, dataset.tfds)
    try:
        tfds_source.folder(dataset.tfds)
    except MissingDataError:
        return Finding(*about, state="missing", advice=_how_to_get(dataset.tfds))
    try:
        counts = {split: examples.count(dataset, split) for split in dataset.splits}
        for split in dataset.splits:
            if not list(islice(examples.records(dataset, split), _NUM_TRIED)):
                raise UserError(f"none of the examples of {split} can be used")
    except UserError as error:
        return Finding(*about, state="broken", advice=str(error))
    info = tfds_source.builder(dataset.tfds).info.redistribution_info
    licence = " ".join((getattr(info, "license", "") or "").split())
    return Finding(*about, state="present", examples=counts, licence=licence)


def _how_to_get(tfds: str) -> str:
    others = tfds_source.versions(tfds)
    there = f"there is version {', '.join(others)} only; " if others else ""
    by_hand = tfds_source.manual_instructions(tfds)
    return f"{there}by hand: {by_hand}" if by_hand else f"{there}{_DOWNLOAD}"


def format_report(findings: list[Finding]) -> str:
    """A table of the datasets, then the advice, with the datasets that it is for."""
    splits = ("train", "validation", "test")
    rows: list[tuple[str, ...]] = [("dataset", "TFDS", "state", *splits, "licence")]
    for found in findings:
        counts = (f"{found.examples[s]:,}" if s in found.examples else "–" for s in splits)
        licence = found.licence or ("not stated" if found.is_well else "")
        rows.append((found.dataset, found.tfds, found.state, *counts, licence[:40]))
    num_well = sum(found.is_well for found in findings)
    lines = [
        table(rows),
        "",
        f"{num_well} of {len(findings)} datasets are in {tfds_source.tfds_data_dir()}",
    ]
    together: dict[str, list[str]] = {}
    for found in findings:
        if not found.is_well:
            together.setdefault(f"{found.state}; {found.advice}", []).append(found.dataset)
    return "\n".join([*lines, *(f"  {', '.join(n)}: {advice}" for advice, n in together.items())])
