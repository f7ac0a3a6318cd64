"""A study's plan, state and scores as tables for people, and as values that JSON and CSV have."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tk_instruct.exhibits import Point as Score
from tk_instruct.files import Path
from tk_instruct.study.collected import Cell, Collected, Fitted
from tk_instruct.study.done import State
from tk_instruct.study.file import Study, text_of
from tk_instruct.study.hours import Hours
from tk_instruct.study.runs import Places, Run
from tk_instruct.tables import INTERVAL, interval, table

States = Mapping[int, State]
"""Number of a run → its state."""


def plan(
    study: Study, runs: Sequence[Run], states: States, hours: Mapping[int, Hours] | None = None
) -> str:
    """The runs with what is left to be done."""
    names = list(dict.fromkeys(name for run in runs for name in run.varied))
    has_cost = any(each.cost is not None for each in (hours or {}).values())
    planned = ["hours", "at 50 %", *(["cost at 50 %"] if has_cost else [])] if hours else []
    rows = [["run", *names, "folder", "state", "left", *planned]]
    for run in runs:
        state = states[run.number]
        rows.append(
            [
                str(run.number),
                *(", ".join(map(text_of, run.varied.get(name, ("all",)))) for name in names),
                run.name,
                state.what,
                _verbs(state.missing) or "nothing",
                *(hour_cells(hours[run.number])[: len(planned)] if hours else []),
            ]
        )
    commands = [command for run in runs for command in run.commands]
    missing = [command for run in runs for command in states[run.number].missing]
    left = _verbs(missing) or "nothing"
    lines = [study.title, table(rows), f"in all: {_verbs(commands)}; left: {left}"]
    if hours:
        lines.append(_sum([hours[run.number] for run in runs if _is_trained(states[run.number])]))
    return "\n".join(lines)


def hour_cells(hours: Hours) -> list[str]:
    """Hours at the chips' peak and at half of it, and the cost at half."""
    if not hours.fits:
        return ["does not fit", "–", "–"]
    return ["–" if n is None else f"{n:,.3g}" for n in (hours.at_peak, hours.at_half, hours.cost)]


def hours_in_words(hours: Hours) -> str:
    peak, half, _ = hour_cells(hours)
    return f"planned {peak} h at the chips' peak, {half} h at half of it" if hours.fits else peak


def _is_trained(state: State) -> bool:
    return any(command.verb == "train" for command in state.missing)


def _sum(hours: Sequence[Hours]) -> str:
    fitting = [each for each in hours if each.fits and each.at_peak is not None]
    peak = sum(each.at_peak or 0.0 for each in fitting)
    half = sum(each.at_half or 0.0 for each in fitting)
    text = f"trainings that are left: {peak:,.3g} h at the chips' peak, {half:,.3g} h at half of it"
    if any(each.cost is not None for each in fitting):
        text += f", which cost {sum(each.cost or 0.0 for each in fitting):,.3g}"
    return text


def _verbs(commands: Sequence[Any]) -> str:
    """`2 trainings, 6 predictions, 6 evaluations`."""
    titles = {"train": "training", "predict": "prediction", "evaluate": "evaluation"}
    counts = {verb: sum(command.verb == verb for command in commands) for verb in titles}
    return ", ".join(
        f"{count:,} {titles[verb]}{'s' * (count > 1)}" for verb, count in counts.items() if count
    )


def plan_as_json(
    study: Study,
    runs: Sequence[Run],
    states: States,
    folder: Path,
    places: Places,
    hours: Mapping[int, Hours] | None,
) -> dict[str, Any]:
    rows = status_as_json(study, runs, states, folder)
    for row, run in zip(rows["runs"], runs, strict=True):
        left = states[run.number].missing
        of_run = folder / run.name
        row["commands"] = [
            {"words": command.words(of_run, places), "done": command not in left}
            for command in run.commands
        ]
        if hours:
            of = hours[run.number]
            row["hours"] = {"fits": of.fits, "at_peak": of.at_peak, "at_half": of.at_half}
            row["cost_at_half"] = of.cost
    return rows


def status(study: Study, runs: Sequence[Run], states: States) -> str:
    """How far the runs are, and why those that have failed have."""
    rows = [["run", "folder", "state", "step", "of", "commands left", "why"]]
    for run in runs:
        state = states[run.number]
        why = state.failed.said.splitlines()[-1] if state.failed else ""
        left = str(len(state.missing))
        row = [str(run.number), run.name, state.what, f"{_step(run, state):,}", f"{run.steps:,}"]
        rows.append([*row, left, why])
    whats = [states[run.number].what for run in runs]
    counts = ", ".join(f"{whats.count(what)} {what}" for what in dict.fromkeys(whats))
    return "\n".join([study.title, table(rows), f"{len(runs)} runs: {counts}"])


def _step(run: Run, state: State) -> int:
    return state.step if _is_trained(state) else run.steps


def status_as_json(
    study: Study, runs: Sequence[Run], states: States, folder: Path
) -> dict[str, Any]:
    return {
        "title": study.title,
        "runs": [
            {
                "number": run.number,
                "folder": str(folder / run.name),
                "axes": {name: list(values) for name, values in run.varied.items()},
                "state": state.what,
                "step": _step(run, state),
                "steps": run.steps,
                "num_commands_left": len(state.missing),
                "failed": state.failed
                and {"output": state.failed.output, "said": state.failed.said},
            }
            for run in runs
            for state in [states[run.number]]
        ],
    }


def scores(found: Collected) -> str:
    """The cells with their scores, published ones beside, and the fits."""
    published = {
        metric: [each for each in found.published if each.metric == metric]
        for metric in found.metrics
    }
    shown = [
        metric
        for metric in found.metrics
        if published[metric] or any(metric in cell.scores for cell in found.cells)
    ]
    header = [*(axis.shown for axis in found.axes)]
    header += ["runs"] if found.repeats else []
    for metric in shown:
        header += [metric, INTERVAL, *(["published"] if published[metric] else [])]
    rows = [header]
    for cell in found.cells:
        row = list(map(text_of, cell.point.values()))
        if found.repeats:
            row.append(str(max((mean.num_runs for mean in cell.scores.values()), default=0)))
        for metric in shown:
            row += _score_cells(cell, metric)
            if published[metric]:
                row.append("; ".join(_published(found, cell, metric)) or "–")
        rows.append(row)
    lines = [found.title, table(rows)]
    if found.repeats:
        names = ", ".join(axis.shown for axis in found.repeats)
        lines.append(f"means over {names}; {INTERVAL}: over them, of one run the evaluation's own")
    lines += [_fit_text(found, fit) for fit in found.fits]
    if found.num_missing:
        lines.append(f"{found.num_missing} evaluations are not done")
    lines += _sources(found)
    return "\n".join(lines)


def _score_cells(cell: Cell, metric: str) -> list[str]:
    mean = cell.scores.get(metric)
    if mean is None:
        return ["–", "–"]
    return [f"{mean.score.value:.2f}", interval(_ends(mean.score))]


def _ends(score: Score) -> tuple[float, float] | None:
    return None if score.low is None or score.high is None else (score.low, score.high)


def _published(found: Collected, cell: Cell, metric: str) -> Iterator[str]:
    for each in found.published_at(cell.point, metric):
        yield f"{each.value} ({each.system})"


def _fit_text(found: Collected, fit: Fitted) -> str:
    others = ", ".join(f"{name}={text_of(value)}" for name, value in fit.point.items())
    slope = fit.line.slope
    ends = "no interval"
    if slope.ci95 is not None:
        ends = f"{INTERVAL} {interval(slope.ci95)}, R² {fit.line.r_squared:.2f}"
    axis = next(axis for axis in found.axes if axis.name == fit.axis)
    return (
        f"{fit.metric} along {axis.shown}{f' ({others})' if others else ''}: {slope.value:+.2f} "
        f"for ten times as much ({slope.num_units} points, {ends})"
    )


def _sources(found: Collected) -> list[str]:
    sources = dict.fromkeys(each.source for each in found.published)
    return [f"published: {'; '.join(sources)}"] if sources else []


def scores_as_json(found: Collected) -> dict[str, Any]:
    return {
        "title": found.title,
        "axes": [axis.name for axis in found.axes],
        "metrics": list(found.metrics),
        "num_missing": found.num_missing,
        "cells": [
            {
                "at": dict(cell.point),
                "runs": list(map(str, cell.runs)),
                "num_missing": cell.num_missing,
                "scores": {
                    name: {**mean.score._asdict(), "num_runs": mean.num_runs}
                    for name, mean in cell.scores.items()
                },
            }
            for cell in found.cells
        ],
        "published": [
            {
                "at": dict(each.point),
                "system": each.system,
                "metric": each.metric,
                "value": each.value,
                "source": each.source,
            }
            for each in found.published
        ],
        "fits": [
            {
                "metric": fit.metric,
                "axis": fit.axis,
                "at": dict(fit.point),
                "intercept": fit.line.intercept,
                "r_squared": fit.line.r_squared,
                **fit.line.slope.as_scores("slope"),
            }
            for fit in found.fits
        ],
    }


def scores_as_csv(found: Collected) -> str:
    """A line for each score that is shown, ours and published ones."""
    names = [axis.name for axis in found.axes]
    output = io.StringIO()
    writer = csv.writer(output, lineterminator="\n")
    writer.writerow([*names, "system", "metric", "value", "low", "high", "num_runs", "source"])
    for cell in found.cells:
        point = list(map(text_of, cell.point.values()))
        for metric in found.metrics:
            if mean := cell.scores.get(metric):
                writer.writerow([*point, "", metric, *mean.score, mean.num_runs, ""])
    for each in found.published:
        point = [text_of(each.point[name]) if name in each.point else "" for name in names]
        row = [each.system, each.metric, each.value, None, None, None, each.source]
        writer.writerow([*point, *row])
    return output.getvalue()
