"""Published scores, and which of them were measured in the setting of ours.

A suite ships its published scores as a CSV file, one score a line. The columns are

  paper, table, system, SETTING…, part, metric, value

The columns between system and part are the suite's own: what must be equal for two scores to be
comparable, such as the encoding of the prompt. An empty cell there means that the setting does not
apply to the score. `not said` means that the paper does not say it.
"""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import msgspec

from tk_instruct import schema
from tk_instruct.errors import UserError
from tk_instruct.files import PathLike, read_bytes
from tk_instruct.tables import table

_FIRST = ("paper", "table", "system")
_LAST = ("part", "metric", "value")
_MOST_OTHERS = 30  # rows of other settings that a text shows

_Text = Annotated[str, msgspec.Meta(pattern=r"\S")]


class PublishedScore(msgspec.Struct, frozen=True):
    """A score as it is printed.

    Attributes:
        paper: such as "arXiv:2204.07705".
        table: where in the paper, such as "Table 3".
        setting: what must be equal for a comparison. Lacks what does not apply.
        part: empty for an overall score, else a category or data set by the suite's own key.
        metric: the key of our scores, such as rougeL. A variant is called NAME_VARIANT, such as
            rougeL_recall.
        value: with the printed decimals.
    """

    paper: _Text
    table: _Text
    system: _Text
    setting: Mapping[str, str]
    part: str
    metric: _Text
    value: str

    @property
    def source(self) -> str:
        return f"{self.table}, {self.paper}"


class Difference(NamedTuple):
    """A setting that differs. ours is None if it is not known."""

    name: str
    theirs: str
    ours: str | None


class Compared(NamedTuple):
    """A published score beside ours of the same part. Without differences, both are comparable."""

    published: PublishedScore
    ours: float
    differs: tuple[Difference, ...]


def read(path: PathLike) -> tuple[PublishedScore, ...]:
    """The scores of a CSV file. Raises UserError with file, line, rule and repair."""
    try:
        text = read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 ({error}); save it as UTF-8") from error
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    found: dict[tuple[str, ...], tuple[int, PublishedScore]] = {}
    header: list[str] = []
    try:
        for cells in lines:
            where = f"{path}:{lines.line_num}"
            if not header:
                header = _header(cells, where)
            elif cells:
                score = _score(header, cells, where)
                key = tuple(cell.strip() for cell in cells[:-1])
                if key in found:
                    raise UserError(
                        f"{where}: the same score as line {found[key][0]}; a score is printed "
                        "once, remove one line or tell its setting"
                    )
                found[key] = (lines.line_num, score)
    except csv.Error as error:
        raise UserError(
            f'{path}:{lines.line_num}: not CSV ({error}); put a cell with quotes into "…", write '
            'each of its quotes as ""'
        ) from error
    if not header:
        raise UserError(f"{path} is empty; {_columns()}")
    return tuple(score for _, score in found.values())


def _columns() -> str:
    return f"its first line must name the columns {', '.join(_FIRST)}, …, {', '.join(_LAST)}"


def _header(cells: Sequence[str], where: str) -> list[str]:
    header = [cell.strip() for cell in cells]
    if (*header[:3], *header[-3:]) != (*_FIRST, *_LAST):
        raise UserError(f"{where}: the columns are {', '.join(header)}; {_columns()}")
    for name in header:
        if not name or header.count(name) > 1:
            raise UserError(
                f"{where}: a column is called {name!r}; a name must be unique and not empty, "
                "rename it"
            )
    return header


def _score(header: Sequence[str], cells: Sequence[str], where: str) -> PublishedScore:
    if len(cells) != len(header):
        raise UserError(
            f"{where}: {len(cells)} cells under {len(header)} columns; put a cell with a comma "
            'into "…"'
        )
    row = {name: cell.strip() for name, cell in zip(header, cells, strict=True)}
    names = header[len(_FIRST) : -len(_LAST)]
    setting = {name: value for name in names if (value := row.pop(name))}
    score = schema.convert(row | {"setting": setting}, PublishedScore, where, "correct the line")
    if not _is_number(score.value):
        raise UserError(
            f"{where}: value is {schema.shortened(score.value)} but must be a number as it is "
            "printed, such as 62.0; correct the line"
        )
    return score


def _is_number(text: str) -> bool:
    whole, _, decimals = text.removeprefix("-").partition(".")
    is_decimal = f"{whole}{decimals or '0'}".isdecimal() and text.isascii()
    return is_decimal and bool(whole) and not text.endswith(".")


def compare_with(
    published: Iterable[PublishedScore],
    setting: Mapping[str, str],
    scores: Mapping[tuple[str, str], float],
) -> tuple[list[Compared], list[Compared]]:
    """The published scores of the same setting, and those of others, the nearest first.

    Those with the fewest settings that are known to differ are the nearest, then those with the
    fewest that are unknown here.

    Left out are scores of a part that we have not scored, or of another metric. A variant of a
    metric of ours counts as a setting that differs, where we have not scored the variant itself.

    setting: ours. What it lacks is not known, and so differs.
    scores: (part, metric) → our score.
    """
    same: list[Compared] = []
    others: list[Compared] = []
    for row in published:
        metric = _metric_for(row, scores)
        if metric is None:
            continue
        differs = [
            Difference(name, theirs, setting.get(name))
            for name, theirs in row.setting.items()
            if setting.get(name) != theirs
        ]
        if metric != row.metric:
            differs.append(Difference("metric", row.metric, metric))
        compared = Compared(row, scores[row.part, metric], tuple(differs))
        (others if differs else same).append(compared)
    return same, sorted(others, key=_distance)


def _distance(compared: Compared) -> tuple[int, int]:
    num_unknown = sum(each.ours is None for each in compared.differs)
    return len(compared.differs) - num_unknown, num_unknown


def _metric_for(row: PublishedScore, scores: Mapping[tuple[str, str], float]) -> str | None:
    """Our metric to set beside a score: the same, or else a variant of it."""
    if (row.part, row.metric) in scores:
        return row.metric
    variants = (
        metric
        for part, metric in scores
        if part == row.part and metric.split("_")[0] == row.metric.split("_")[0]
    )
    return next(variants, None)


def grouped(
    same: Sequence[Compared], others: Sequence[Compared], most_others: int = _MOST_OTHERS
) -> dict[str, Sequence[Compared]]:
    """What they are of → scores of the same setting, then of others by what differs.

    Of other settings there are only the nearest.
    """
    found: dict[str, Sequence[Compared]] = {"the same setting": same} if same else {}
    groups: dict[str, list[Compared]] = {}
    for each in others:
        named = [f"{name} (here {ours or 'unknown'})" for name, _, ours in each.differs]
        groups.setdefault(f"another setting: {', '.join(named)}", []).append(each)
    num_shown = 0
    for what, rows in groups.items():
        if num_shown and num_shown + len(rows) > most_others:
            break
        found[what] = rows[:most_others]
        num_shown += len(found[what])
    return found


def as_text(same: Sequence[Compared], others: Sequence[Compared]) -> str:
    """Tables of both. Of other settings only the nearest, grouped by what differs."""
    if not same and not others:
        return "no score of what was scored is published"
    parts = [] if same else ["no score is published of the same setting"]
    groups = grouped(same, others)
    parts += [f"published, of {what}\n{_table(rows)}" for what, rows in groups.items()]
    if rest := len(same) + len(others) - sum(map(len, groups.values())):
        parts.append(f"and {rest} more of other settings, which are no nearer")
    return "\n\n".join(parts)


def _table(compared: Sequence[Compared]) -> str:
    """A row for each, with what differs, and with part and metric where there are several."""
    names = [name for name, _, _ in compared[0].differs if name != "metric"]
    rows = [["system", *names, "part", "metric", "published", "here", "source"]]
    for row, ours, differs in compared:
        theirs = [value for name, value, _ in differs if name != "metric"]
        cells = [row.system, *theirs, row.part or "overall", row.metric]
        rows.append([*cells, row.value, f"{ours:.2f}", row.source])
    is_left_out = [
        rows[0][k] == "part" and all(row[k] == "overall" for row in rows[1:])
        for k in range(len(rows[0]))
    ]
    return table(
        [[cell for cell, out in zip(row, is_left_out, strict=True) if not out] for row in rows]
    )


def as_rows(same: Iterable[Compared], others: Iterable[Compared]) -> list[dict[str, Any]]:
    """All as values that JSON has, each with what differs."""
    return [
        msgspec.structs.asdict(row)
        | {"ours": round(ours, 4), "differs": [each._asdict() for each in differs]}
        for row, ours, differs in (*same, *others)
    ]
