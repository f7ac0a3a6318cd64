"""FLAN's scores for `report`: the suite's own tables, and one table for a task's templates."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias, TypeVar

import msgspec

from tk_instruct import schema
from tk_instruct.exhibits import Section
from tk_instruct.published import Compared
from tk_instruct.scores import Number, Scores, SuiteScores, Summary, Value, check_scores

from . import exhibits
from .published import compared
from .summary import Report, report_text, role_of_instructions

T = TypeVar("T")
_Filled: TypeAlias = Annotated[dict[str, T], msgspec.Meta(min_length=1)]

_TEMPLATE = re.compile(r"(?P<task>flan_.+?)\.(?P<template>t[0-9].*)")


class _Runs(msgspec.Struct, frozen=True):
    """The file that `evaluate --suite flan --json` writes for runs."""

    suite: str
    runs: list[Report]


class _Systems(msgspec.Struct, frozen=True):
    """The file that it writes for --predictions: system → TASK/SPLIT → name → score."""

    suite: str
    systems: _Filled[_Filled[_Filled[Number | list[Number]]]]

    @property
    def scores(self) -> dict[str, Scores]:
        return {
            name: {
                (key.partition("/")[0], key.partition("/")[2]): {**of} for key, of in found.items()
            }
            for name, found in self.systems.items()
        }


class _Scores(SuiteScores):
    titles = {"average_of_clusters": "average of clusters"}  # noqa: RUF012
    part_title = "template"

    def read(self, content: dict[str, Any], where: str, repair: str) -> Summary | None:
        form = schema.told_by_fields(content, (_Runs, _Systems, Report))
        if form is None:
            return None
        read = schema.convert(content, form, where, repair)
        if isinstance(read, _Systems):
            for system in read.systems.values():
                for of in system.values():
                    check_scores(of, where, repair)
            return Summary(systems=read.scores)
        reports = read.runs if isinstance(read, _Runs) else [read]
        return Summary([msgspec.to_builtins(report, enc_hook=float) for report in reports])

    def text(self, report: dict[str, Any]) -> str:
        return report_text(report)

    def flat(self, report: dict[str, Any]) -> dict[str, Value]:
        return exhibits.flat(report)

    def section(self, reports: Mapping[str, dict[str, Any]]) -> Section | None:
        return exhibits.section(reports)

    def published(self, report: dict[str, Any]) -> tuple[list[Compared], list[Compared]]:
        return compared([report], role_of_instructions([report]))

    def row_of(self, task: str) -> tuple[str, str]:
        match = _TEMPLATE.fullmatch(task)
        return (match["task"], match["template"]) if match else (task, "")


SCORES = _Scores()
