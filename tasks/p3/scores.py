"""P3's scores for `report`: the table of a whole evaluation, and one for a data set's prompts."""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import msgspec

from tk_instruct import schema
from tk_instruct.exhibits import Section
from tk_instruct.published import Compared
from tk_instruct.scores import SuiteScores, Summary, Value

from . import exhibits, published, t0
from .summary import Report, report_text
from .tasks import name_of


class _Runs(msgspec.Struct, frozen=True):
    """The file that `evaluate --suite p3 --json` writes."""

    suite: str
    runs: list[Report]


@cache
def _task() -> re.Pattern[str]:
    """The name of a task of T0's list: its data set, its template, and how it is answered."""
    datasets = sorted((name_of(name, "") for name in t0.datasets()), key=len, reverse=True)
    return re.compile(f"({'|'.join(map(re.escape, datasets))})(.+)")


class _Scores(SuiteScores):
    titles = {"mean_of_medians": "mean of medians"}  # noqa: RUF012
    part_title = "prompt"

    def read(self, content: dict[str, Any], where: str, repair: str) -> Summary | None:
        form = schema.told_by_fields(content, (_Runs, Report))
        if form is None:
            return None
        read = schema.convert(content, form, where, repair)
        reports = read.runs if isinstance(read, _Runs) else [read]
        return Summary([msgspec.to_builtins(report, enc_hook=float) for report in reports])

    def text(self, report: dict[str, Any]) -> str:
        return report_text(msgspec.convert(report, Report))

    def flat(self, report: dict[str, Any]) -> dict[str, Value]:
        return exhibits.flat(msgspec.convert(report, Report))

    def section(self, reports: Mapping[str, dict[str, Any]]) -> Section | None:
        return exhibits.section(msgspec.convert(reports, dict[str, Report]))

    def published(self, report: dict[str, Any]) -> tuple[list[Compared], list[Compared]]:
        return published.compared(msgspec.convert(report, Report))

    def row_of(self, task: str) -> tuple[str, str]:
        match = _task().fullmatch(task)
        return (match[1].rstrip("_"), match[2]) if match else (task, "")


SCORES = _Scores()
