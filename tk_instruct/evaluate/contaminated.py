"""Scores on the instances that an audit has flagged as contaminated, and on the others."""

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool

from tk_instruct.audit import findings
from tk_instruct.audit.findings import Audit
from tk_instruct.errors import UserError
from tk_instruct.evaluate.output import as_text, show_scores
from tk_instruct.files import Path
from tk_instruct.scored_instances import ScoredInstances, as_scores
from tk_instruct.tables import INTERVAL, about_intervals, interval, table
from tk_instruct.uncertainty.intervals import Estimate
from tk_instruct.uncertainty.parts import difference_of_parts

PARTS = ("all", "clean", "flagged", "difference")
"""The difference is flagged minus clean."""


def show(tables: dict[str, ScoredInstances], audit_file: Path, args: argparse.Namespace) -> int:
    """Prints and writes the scores of each system in parts.

    tables: file of predictions → its scored instances.
    """
    audit = findings.read(audit_file)
    content: dict[str, Any] = {"audit": str(audit_file), "systems": {}}
    texts = []
    for name, scored in tables.items():
        flagged = flagged_rows(scored, audit)
        content["systems"][name] = {}
        for part in scored.by("part"):
            rows = np.array([each == part for each in scored.labels["part"]])
            of_part = scored.chosen(rows)
            found = in_parts(of_part, flagged[rows])
            numbers = {
                metric: {which: as_scores({"score": of}) for which, of in parts.items()}
                for metric, parts in found.items()
            }
            counts = {"instances": len(of_part), "flagged": int(flagged[rows].sum())}
            content["systems"][name][part] = counts | {"scores": numbers}
            texts.append(_text(name, part, of_part, counts, found))
    show_scores(args.json, as_text(content), "\n\n".join(texts))
    return 0


def flagged_rows(scored: ScoredInstances, audit: Audit) -> Bool[np.ndarray, " rows"]:
    """Whether each row's instance has a finding by text.

    Raises UserError if the audit is of other instances: if it has findings and none is of these.
    """
    ids = frozenset[str]().union(*audit.flagged().values())
    labels = zip(scored.labels["id"], scored.labels["instance"], strict=True)
    # Rows of several prompts of one instance have ids of their own.
    flagged = np.array([id_ in ids or instance in ids for id_, instance in labels], bool)
    if ids and not flagged.any():
        raise UserError(
            f"none of the {len(ids):,} instances that the audit of {', '.join(audit.against)} has "
            f"flagged is among what is scored ({scored.labels['id'][0]!r} …); give the audit "
            "against what was predicted"
        )
    return flagged


def in_parts(
    rows: ScoredInstances, flagged: Bool[np.ndarray, " rows"]
) -> dict[str, dict[str, Estimate]]:
    """Metric → part → its score. A part without instances is left out.

    Metrics that are no mean of instances are left out: they are not known of parts alone.
    """
    found: dict[str, dict[str, Estimate]] = {}
    for metric, values in rows.values.items():
        counts = ~np.isnan(values)
        if not counts.any() or not rows.are_scores(metric).all():
            continue
        of, is_flagged = rows.chosen(counts), flagged[counts]
        scores = {"all": of.estimate(metric)}
        parts = {"clean": ~is_flagged, "flagged": is_flagged}
        scores |= {
            name: of.chosen(part).estimate(metric) for name, part in parts.items() if part.any()
        }
        if len(scores) == len(PARTS) - 1:
            scores["difference"] = _difference(of, is_flagged, metric)
        found[metric] = scores
    return found


def _difference(rows: ScoredInstances, flagged: Bool[np.ndarray, " rows"], metric: str) -> Estimate:
    weights = np.empty(len(rows))
    for part in (flagged, ~flagged):
        weights[part] = rows.chosen(part).weights()
    return difference_of_parts(
        rows.values[metric],
        flagged,
        rows.labels["unit"],
        weights=weights,
        strata=rows.labels["category"] if "category" in rows.about.levels else None,
        instances=rows.labels["instance"],
    )


def _text(
    name: str,
    part: str,
    rows: ScoredInstances,
    counts: dict[str, int],
    found: dict[str, dict[str, Estimate]],
) -> str:
    title = " ".join(filter(None, (name, part)))
    share = counts["flagged"] / counts["instances"]
    lines: list[Sequence[str]] = [["metric", "on", "score", INTERVAL]]
    for metric, parts in found.items():
        for which, estimate in parts.items():
            value = f"{estimate.value:+.2f}" if which == "difference" else f"{estimate.value:.2f}"
            lines.append([metric, which, value, interval(estimate.ci95)])
    about = about_intervals(rows.about.unit)
    if any("difference" in parts for parts in found.values()):
        about = f"difference: flagged minus clean. {about}"
    return "\n".join(
        [
            f"{title}: {counts['flagged']:,} of {counts['instances']:,} instances are flagged "
            f"({share:.1%})",
            "",
            table(lines),
            about,
        ]
    )
