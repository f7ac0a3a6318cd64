"""Put the results of runs side by side: tables in the terminal, or a page to show.

A system is a run's directory, or a file: of scores (evaluate --json), of predictions that were
evaluated, or NAME.scores.parquet. A folder of Tk-Instruct's or of lm-evaluation-harness's output
stands for the systems in it. NAME=FILE gives it a name. Of a run's files TASK-SPLIT-STEP, only
the last step is read. If a suite has a summary of a whole evaluation, its tables replace the scores
that the summary is made from. Runs of the same name are shown with their parent folders. Below a
score is its 95 % interval; `tk-instruct evaluate` says what it is clustered by.

  tk-instruct report runs/smoke/tiny_t5 runs/smoke/copy_input runs/smoke/copy_demo
  tk-instruct report ours.json GPT-3=theirs.json
  tk-instruct report runs/smoke/tiny_t5 runs/smoke/copy_demo --out page
  tk-instruct report studies/smoke_encodings.toml --runs runs --out page

With --out it writes DIR/index.html, one page that opens without a network: scores beside
published ones, categories, studies, learning curves, where the time went, samples, and a viewer of
predictions. Beside it lie all figures as PNG, SVG and CSV, and all tables as LaTeX, Markdown and
CSV.

For a study (FILE.toml, see `tk-instruct study`) it shows the collected scores and, on a page, its
curves or heat map. For a run of `tk-instruct self-instruct` it shows the counts of generated data,
stats/stats.json.
"""

import argparse
import json
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from tk_instruct import configuration, schema
from tk_instruct.errors import UserError
from tk_instruct.exhibits import Section
from tk_instruct.files import Path, check_target
from tk_instruct.ranges import whole_number
from tk_instruct.report.systems import System, read_system
from tk_instruct.scores import as_table, named_apart

log = logging.getLogger("tk_instruct")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "systems",
        nargs="+",
        metavar="[NAME=]DIR|FILE",
        help="a run's directory, a study, a file of scores, or a file of predictions that were "
        "evaluated",
    )
    parser.add_argument(
        "--runs",
        default="runs",
        metavar="DIR",
        help="where the folders of a study's runs lie (default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a system")
    page = parser.add_argument_group("page")
    page.add_argument("--out", metavar="DIR", help="write a page and its files into this folder")
    page.add_argument("--title", help="of the page (default: the systems' names)")
    page.add_argument(
        "--num_predictions",
        type=whole_number,
        default=12_000,
        metavar="N",
        help="how many predictions of an evaluation the page shows; of more they are drawn, the "
        "same for each system (default: %(default)s)",
    )
    configuration.add_data_arguments(parser)


def main(args: argparse.Namespace) -> int:
    if args.out is not None:
        return _write_page(args)
    if args.title is not None:
        raise UserError(f"--title={args.title} is a page's; give --out DIR too, or leave it out")
    studies, named = _told_apart(args.systems)
    systems = [read_system(name, path, needs_scores=True) for name, path in named.items()]
    for study in studies:
        _show_study(study, args)
    for system in systems:
        if system.is_generated:
            if len(named) > 1 and not args.json:
                print(system.name)
            _show_stats(system, args.json)
    scored = [system for system in systems if not system.is_generated]
    if args.json:
        for system in scored:
            print(json.dumps({"run": system.name, **system.scores.as_json}))
        return 0
    rows = {name: scores for s in scored for name, scores in s.scores.rows(s.name).items()}
    texts = [as_table(rows)] if rows else []
    for system in scored:
        texts += [of.text(report) for of, report in system.scores.reports()]
    if texts:
        print("\n\n".join(texts))
    return 0


def _write_page(args: argparse.Namespace) -> int:
    from tk_instruct.report import page
    from tk_instruct.report.answers import answers
    from tk_instruct.report.results import results
    from tk_instruct.report.studies import runs_of, study_section
    from tk_instruct.report.training import training
    from tk_instruct.study import collected

    if args.json:
        raise UserError("--json prints scores, and --out writes a page; leave one of the two out")
    if args.num_predictions < 0:
        raise UserError(f"--num_predictions={args.num_predictions} must be at least 0")
    out = Path(os.path.expanduser(args.out))
    check_target(out / "index.html")
    studies, named = _told_apart(args.systems)
    systems = [read_system(name, path, needs_scores=False) for name, path in named.items()]
    scored = [system for system in systems if not system.is_generated]
    found = {Path(study).stem: collected(study, args.runs, args.modules) for study in studies}
    sections = [study_section(name, of) for name, of in found.items()]
    trained = [*scored, *(run for of in found.values() for run in runs_of(of))]
    sections += [*results(scored), *training(trained), *_generated(systems)]
    predictions = answers(scored, args.num_predictions, args) if args.num_predictions else []
    if not sections and not predictions:
        raise UserError(f"{', '.join(named)}: nothing to show; train, predict or evaluate first")
    title = args.title or ", ".join([*(of.title for of in found.values()), *named])
    paths = page.write(out, title, list(_with_distinct_names(sections)), predictions)
    log.info("%s, with %d files of figures and tables beside it", paths[0], len(paths) - 1)
    _tell_others(out, paths)
    return 0


def _tell_others(out: Path, written: Sequence[Path]) -> None:
    """Warns of files beside the page that are not of it, such as those of an earlier report."""
    names = {os.fspath(path) for path in written}
    folders = [out / name for name in ("figures", "tables") if (out / name).is_dir()]
    files = [os.fspath(path) for folder in folders for path in folder.iterdir()]
    if others := sorted(set(files) - names):
        log.warning(
            "%s and %d more are not of this page, but were there before; remove what is of no use",
            others[0],
            len(others) - 1,
        )


def _told_apart(given: Sequence[str]) -> tuple[list[str], dict[str, Path]]:
    """The files of studies, and the other systems by name. Raises UserError for a named study."""
    studies = [text for text in given if text.endswith(".toml")]
    for text in studies:
        name, is_named, path = text.partition("=")
        if is_named and not Path(text).exists():
            raise UserError(f"{text}: {name} names no study, which has a title; give {path} alone")
    others = [text for text in given if text not in studies]
    return list(dict.fromkeys(studies)), named_apart(others)


def _show_study(path: str, args: argparse.Namespace) -> None:
    """Prints what a study has found, as a table or as one JSON object."""
    from tk_instruct.study import collected, text

    found = collected(path, args.runs, args.modules)
    shown = text.scores_as_json(found)
    print(json.dumps({"study": path, **shown}) if args.json else f"{text.scores(found)}\n")


def _generated(systems: Sequence[System]) -> Iterator[Section]:
    from tk_instruct.self_instruct.stats.report import section

    for system in systems:
        if system.is_generated:
            yield section(system.name, read_stats(system.path))


def _with_distinct_names(sections: Sequence[Section]) -> Iterator[Section]:
    """The names of exhibits are those of files, so a second one of a name gets a number."""
    taken: set[str] = set()
    for section in sections:
        exhibits = []
        for exhibit in section.exhibits:
            name, number = exhibit.name, 1
            while name.lower() in taken:
                number += 1
                name = f"{exhibit.name}_{number}"
            taken.add(name.lower())
            exhibits.append(replace(exhibit, name=name))
        yield replace(section, exhibits=exhibits)


def read_stats(run: Path) -> dict[str, Any]:
    """The content of stats.json of a Self-Instruct run. Raises UserError if there is none."""
    from tk_instruct.self_instruct.stats.report import StatsFile

    path = run / "stats" / "stats.json"
    write = f"write it with `tk-instruct self-instruct stats --run_dir {run}`"
    if not path.exists():
        raise UserError(f"{path} is not there; {write}")
    stats = schema.read(path, dict[str, Any], write)
    schema.convert(stats, StatsFile, str(path), write)
    return stats


def _show_stats(system: System, as_json: bool) -> None:
    """Prints the stats of a Self-Instruct run, as a text or as one JSON object."""
    from tk_instruct.self_instruct.stats.report import as_text

    stats = read_stats(system.path)
    shown = json.dumps({"run": system.name, "stats": stats}) if as_json else f"{as_text(stats)}\n"
    print(shown)
