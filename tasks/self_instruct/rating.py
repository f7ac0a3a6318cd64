"""Self-Instruct's user-oriented instructions: people rate the answers of systems on a sheet.

A row of the sheet is an instruction and the answer of one system. The rows of an instruction are in
a random order and do not name the system. The key beside the sheet does. Then a sheet, even if
partly filled in, gives the counts of the ratings A (best) to D.

  tk-instruct evaluate --suite user_oriented --user_oriented FILE --sheet sheet.csv \\
      --system ours=RUN/predictions/self_instruct_user_oriented-test-STEP.jsonl --system gpt3=FILE
  tk-instruct evaluate --suite user_oriented --ratings sheet.csv
"""

import argparse
import csv
import io
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from tk_instruct import schema
from tk_instruct.errors import UserError
from tk_instruct.evaluate.output import show_scores
from tk_instruct.files import Path, read_bytes, write_atomically
from tk_instruct.predictions import read_predictions
from tk_instruct.published import as_rows, compare_with
from tk_instruct.randomness import draw
from tk_instruct.tables import INTERVAL, interval, table
from tk_instruct.uncertainty.intervals import Estimate, mean

from . import published
from .user_oriented import UserOriented, read_user_oriented, user_oriented_path

RATINGS = "ABCD"
_COLUMNS = ("id", "instruction", "input", "reference", "response", "rating")
_NUM_NAMED = 3  # ids that a message names

GUIDE = """\
# How to rate

Each row of the sheet shows an instruction, its input where it has one, the answer of somebody who
knows (reference), and the response of a system. Write one letter under `rating`:

| rating | the response |
|---|---|
| A | does what was asked, and well: you would take it as it is |
| B | does what was asked, with minor errors or flaws that are easily put right |
| C | is about what was asked, but has grave errors: you could not use it |
| D | has nothing to do with what was asked, is no answer, or is empty |

- The reference is one good answer, not the only one. A response may differ from it and be an A.
- Where an instruction can be read in several ways, a response to any of them counts.
- Judge what is there, not which system it may be from: the rows of an instruction are in a random
  order.
- Check what can be checked: run code, work out sums, look facts up.
- Leave a row empty where you cannot tell. Do not change the column `id`.
- An apostrophe before a leading `=`, `+`, `-` or `@` is not part of a text: it keeps spreadsheets
  from taking the text for a formula.

These are the four levels of arXiv:2212.10560, section 4.4.
"""


def add_arguments(parser: Any) -> None:
    """Declares the arguments of this suite."""
    parser.add_argument(
        "--system",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="repeatable: a system and its predictions, in a format that --predictions reads or "
        "as the published answers, {instruction, input, response}",
    )
    parser.add_argument(
        "--sheet",
        metavar="FILE.csv",
        help="write the sheet of --user_oriented here, and a guide and the key beside it",
    )
    parser.add_argument(
        "--ratings", metavar="FILE.csv", help="count the ratings of a sheet that was filled in"
    )
    parser.add_argument(
        "--key",
        metavar="FILE.json",
        help="the key of --ratings (default: FILE.key.json beside FILE.csv)",
    )


def main(args: argparse.Namespace) -> int:
    if bool(args.sheet) == bool(args.ratings):
        raise UserError(
            "--suite user_oriented makes a sheet (--sheet FILE.csv --system NAME=FILE …) or counts "
            "a filled-in one (--ratings FILE.csv); give one of the two"
        )
    if args.sheet and args.published:
        raise UserError("--published goes with --ratings, and --sheet has none yet; leave it out")
    _refuse_to_overwrite_inputs(args)
    if args.ratings:
        sheet = Path(args.ratings).expanduser()
        key = Path(args.key).expanduser() if args.key else _files_of(sheet)["key"]
        found, text = _count_ratings(sheet, key, args.published)
    else:
        path = user_oriented_path(args.user_oriented)
        sheet = Path(args.sheet).expanduser()
        found, text = _make_sheet(
            sheet, read_user_oriented(path), _systems(args.system), args.seed or 0
        )
    scores = json.dumps(found, indent=2, ensure_ascii=False) + "\n"
    show_scores(args.json, scores, text)
    return 0


def _refuse_to_overwrite_inputs(args: argparse.Namespace) -> None:
    if args.json in (None, "-"):
        return
    inputs = [args.ratings, args.key, args.user_oriented]
    inputs += [pair.partition("=")[2] for pair in args.system]
    if sheet := args.sheet or args.ratings:
        inputs += _files_of(Path(sheet)).values()
    real = {os.path.realpath(os.path.expanduser(path)) for path in inputs if path}
    if os.path.realpath(args.json) in real:
        raise UserError(f"--json={args.json} is another file of this command; choose another place")


def _files_of(sheet: Path) -> dict[str, Path]:
    """The paths of the sheet, the key and the guide, by these names."""
    return {
        "sheet": sheet,
        "key": sheet.with_suffix(".key.json"),
        "guide": sheet.with_suffix(".guide.md"),
    }


def _systems(given: Sequence[str]) -> dict[str, Path]:
    """Name of a system → file of its predictions. Raises UserError if a text is not NAME=FILE."""
    if not given:
        raise UserError("no system is given; give --system NAME=PREDICTIONS.jsonl, repeatable")
    systems: dict[str, Path] = {}
    for pair in given:
        name, equals, file = pair.partition("=")
        if not (name and equals and file):
            raise UserError(f"--system={pair} must be NAME=FILE, like tk_instruct=tk.jsonl")
        if name in systems:
            raise UserError(f"--system={name}=… is given twice; call one of them otherwise")
        systems[name] = Path(file).expanduser()
    return systems


def _make_sheet(
    sheet: Path, instances: Sequence[UserOriented], systems: Mapping[str, Path], seed: int
) -> tuple[dict[str, Any], str]:
    """Writes the sheet, its key and the guide. Gives a summary as JSON values and as a text.

    Raises UserError if the sheet exists, or the key of another sheet.
    """
    responses = {name: _responses(path, instances) for name, path in systems.items()}
    files = _files_of(sheet)
    rows, systems_of_rows = [], {}
    for instance in instances:
        order = sorted(systems, key=lambda name: draw(seed, "order of systems", instance.id, name))
        for number, name in enumerate(order, start=1):
            row = f"{instance.id}_{number}"
            systems_of_rows[row] = name
            texts = (row, instance.instruction, instance.input, instance.output)
            rows.append((*texts, responses[name][instance.id], ""))
    about = {"seed": seed, "systems": list(systems), "rows": systems_of_rows}
    key = (json.dumps(about, indent=1, ensure_ascii=False) + "\n").encode()
    if sheet.exists():
        raise UserError(f"{sheet} is there already, perhaps with ratings; choose another place")
    if files["key"].exists() and read_bytes(files["key"]) != key:
        raise UserError(f"{files['key']} is the key of another sheet; choose another place")
    # The key first, because a sheet without a key is of no use.
    write_atomically(files["key"], key)
    write_atomically(files["sheet"], _csv(rows))
    write_atomically(files["guide"], [GUIDE])
    found = {"suite": "user_oriented", "rows": len(rows)} | {
        name: str(file) for name, file in files.items()
    }
    size = f"{len(instances):,} instructions × {len(systems)} systems"
    text = (
        f"{len(rows):,} rows ({size}) in {sheet}; how to rate them: {files['guide'].name}; "
        f"which is whose, not for raters: {files['key'].name}"
    )
    return found, text


def _responses(path: Path, instances: Sequence[UserOriented]) -> dict[str, str]:
    """Id → answer, for every instance. Raises UserError for missing or unknown ids."""
    predictions = _read_answers(path, instances)
    ids = {instance.id for instance in instances}
    for what, wrong in (
        ("have no prediction; predict them", [id_ for id_ in ids if id_ not in predictions]),
        ("are no instructions of the file; remove them", predictions.keys() - ids),
    ):
        if wrong:
            raise UserError(f"{path}: {_named(sorted(wrong))} {what}")
    return {id_: text.strip() for id_, text in predictions.items()}


class _Answer(msgspec.Struct, frozen=True):
    """A line of the published answers of eight systems (github.com/yizhongw/self-instruct)."""

    instruction: str
    input: str
    response: str


def _read_answers(path: Path, instances: Sequence[UserOriented]) -> dict[str, str]:
    """Id → answer. The published answers have no ids, so the instruction's text gives the id."""
    records = [record for _, record in schema.read_records(path, dict[str, Any])]
    if not records or not schema.told_by_fields(records[0], [_Answer]):
        return {id_: prediction.text for id_, prediction in read_predictions(path).items()}
    id_of = {(instance.instruction, instance.input): instance.id for instance in instances}
    answers: dict[str, str] = {}
    for where, answer in schema.read_records(path, _Answer):
        id_ = id_of.get((answer.instruction.strip(), answer.input.strip()))
        if id_ is None or id_ in answers:
            raise UserError(
                f"{where}: instruction {schema.shortened(answer.instruction)} with this input is "
                f"{'in no line of the instructions' if id_ is None else 'answered before'}; remove "
                "it, or give the file of instructions that was answered"
            )
        answers[id_] = answer.response
    return answers


def _named(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - _NUM_NAMED:,} more" if len(ids) > _NUM_NAMED else ""
    return f"{len(ids):,} ids ({', '.join(ids[:_NUM_NAMED])}{more})"


def _csv(rows: Sequence[Sequence[str]]) -> bytes:
    """The sheet as CSV. Spreadsheets recognise UTF-8 by its byte-order mark. It has no formulas."""
    file = io.StringIO(newline="")
    writer = csv.writer(file, quoting=csv.QUOTE_ALL)
    writer.writerow(_COLUMNS)
    writer.writerows([_as_text(cell) for cell in row] for row in rows)
    return b"\xef\xbb\xbf" + file.getvalue().encode("utf-8", "backslashreplace")


def _as_text(cell: str) -> str:
    """The cell, with an apostrophe before a formula (OWASP on CSV injection)."""
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell


def _count_ratings(sheet: Path, key_file: Path, with_published: bool) -> tuple[dict[str, Any], str]:
    """Counts and shares (per cent) of each system's ratings, as JSON values and as a text.

    Published ratings are added if they are asked for. Raises UserError if the sheet has no ratings.
    """
    key = _read_key(key_file)
    ratings = _read_ratings(sheet, key.rows)
    rated = {row: rating for row, rating in ratings.items() if rating}
    if not rated:
        raise UserError(f"{sheet} holds no ratings; write A, B, C or D into its last column")
    systems = {}
    for name in key.systems:
        rows = [row for row, system in key.rows.items() if system == name]
        given = [rated[row] for row in rows if row in rated]
        counts = Counter(given)
        shares = {r: _share(r, given) for r in RATINGS if given}
        systems[name] = {
            "rows": len(rows),
            "rated": len(given),
            "counts": {rating: counts[rating] for rating in RATINGS},
            "shares": {r: round(shares[r].value, 2) if given else None for r in RATINGS},
        }
        if len(given) > 1:
            systems[name]["shares_stderr"] = {r: _rounded(of.stderr) for r, of in shares.items()}
            systems[name]["shares_ci95"] = {
                r: [_rounded(end) for end in of.ci95 or ()] for r, of in shares.items()
            }
        if with_published:
            systems[name]["published"] = _compared(systems[name])
    missing = [row for row in key.rows if row not in ratings]
    found = {
        "suite": "user_oriented",
        "systems": systems,
        "unrated": len(ratings) - len(rated),
        "missing": missing,
    }
    notes = []
    if missing:
        notes.append(f"not in the sheet: {_named(missing)}")
    if len(rated) < len(key.rows):
        notes.append(
            f"partial: {len(rated):,} of {len(key.rows):,} rows are rated; systems are compared "
            "fairly where the same instructions are"
        )
    if with_published:
        sources = ", ".join(dict.fromkeys(row.source for row in published.rows()))
        notes.append(
            f"published: {published.NUM_RATED} instructions, rated by their authors ({sources})"
        )
    return found, "\n".join([_table(systems, with_published), *notes])


def _share(rating: str, given: Sequence[str]) -> Estimate:
    """The share of a rating in per cent, with the error of other instructions."""
    return mean([100.0 * (each == rating) for each in given]).within(0.0, 100.0)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def _compared(system: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The published ratings beside those of a system, with what differs."""
    ours = {(rating, "count"): count for rating, count in system["counts"].items()}
    if system["rated"]:
        ours |= {(rating, "share"): share for rating, share in system["shares"].items()}
    setting = published.setting_of(system["rated"])
    return as_rows(*compare_with(published.rows(), setting, ours))


def _table(systems: Mapping[str, dict[str, Any]], with_published: bool) -> str:
    def cell(system: Mapping[str, Any], rating: str) -> str:
        share = system["shares"][rating]
        return "–" if share is None else f"{system['counts'][rating]} ({share:.1f} %)"

    rows = [("system", "rated", *RATINGS)]
    for name, system in systems.items():
        rows.append((name, str(system["rated"]), *(cell(system, rating) for rating in RATINGS)))
        if ends := system.get("shares_ci95"):
            rows.append((f"  {INTERVAL}", "", *(interval(ends[r], decimals=1) for r in RATINGS)))
    of_papers: dict[str, dict[str, str]] = {}
    for row in published.rows() if with_published else ():
        shown = f"{row.value} %" if row.metric == "share" else row.value
        of_papers.setdefault(row.system, {})[row.part] = shown
    for name, cells in of_papers.items():
        values = [cells.get(rating, "–") for rating in RATINGS]
        rows.append((f"published: {name}", published.NUM_RATED, *values))
    return table(rows)


class _Key(msgspec.Struct, frozen=True):
    """The key of a sheet: the systems, and row → system."""

    systems: list[str]
    rows: dict[str, str]


def _read_key(path: Path) -> _Key:
    repair = "give the key that was written with the sheet by --key"
    if not path.exists():
        raise UserError(f"{path} is not there; {repair}")
    key = schema.read(path, _Key, repair)
    for row, system in key.rows.items():
        if system not in key.systems:
            raise UserError(f"{path}: rows.{row} is {system!r}, none of its systems; {repair}")
    return key


def _read_ratings(path: Path, rows: Mapping[str, str]) -> dict[str, str]:
    """Row → rating, which is "" if there is none yet.

    Raises UserError for a row that is there twice or not in the key, and for a wrong rating.
    """
    try:
        text = read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 ({error}); save it as CSV in UTF-8") from error
    row_of = {_as_text(row): row for row in rows}
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))  # a response may be very long
    head = next(iter(text.splitlines()), "")
    delimiter = max(",;\t", key=head.count)  # a spreadsheet's delimiter depends on its language
    ratings: dict[str, str] = {}
    try:
        for record in csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter):
            if not {"id", "rating"} <= record.keys():
                raise UserError(
                    f"{path}: its columns are {', '.join(map(str, record))}; there must be an id "
                    "and a rating, as in the sheet that was written"
                )
            row, rating = row_of.get(record["id"]), (record["rating"] or "").strip().upper()
            if row is None:
                raise UserError(
                    f"{path}: id {record['id']!r} is not in the key; give the key of this sheet"
                )
            if row in ratings:
                raise UserError(f"{path}: id {row!r} is there twice; remove one of the rows")
            if rating and rating not in tuple(RATINGS):
                raise UserError(
                    f"{path}: id {row!r}: rating={record['rating']!r} must be A, B, C or D, or "
                    "empty"
                )
            ratings[row] = rating
    except csv.Error as error:
        raise UserError(f"{path}: not CSV ({error}); save it as CSV in UTF-8") from error
    return ratings
