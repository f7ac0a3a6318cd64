"""A report as text for people. Systems are called A, B, … after the first table."""

import string

from tk_instruct.compare.comparison import Comparison, Counts, Instance, Report
from tk_instruct.tables import INTERVAL, about_intervals, interval, score_cells, table

_MOST_CHARACTERS = 300


def report_text(report: Report) -> str:
    """The systems' scores, then each pair of systems."""
    counts = f"{report.num_instances:,} instances"
    if report.num_units != report.num_instances:
        counts += f" of {report.num_units:,} {report.unit}{'s' * (report.num_units != 1)}"
    better = ", lower is better" if report.lower_is_better else ""
    lines = [f"{report.name}: {report.metric}{better}; {counts}"]
    if report.num_left_out:
        lines.append(
            f"left out: {report.num_left_out:,} instances that no system predicted (`evaluate` "
            "counts them as empty)"
        )
    rows = [["", "system", report.metric, INTERVAL]]
    rows += [
        [letter, name, *score_cells(of)]
        for letter, (name, of) in zip(_letters(report), report.systems.items(), strict=True)
    ]
    lines += ["", table(rows), "", *_legend(report)]
    letter_of = dict(zip(report.systems, _letters(report), strict=True))
    for comparison in report.comparisons:
        names = letter_of[comparison.first], letter_of[comparison.second]
        lines += ["", "", *_comparison(comparison, names, report)]
    return "\n".join(lines)


def _letters(report: Report) -> list[str]:
    """A name for each system: A to Z, then A2 and so on."""
    return [
        string.ascii_uppercase[k % 26] + (str(k // 26 + 1) if k >= 26 else "")
        for k in range(len(report.systems))
    ]


def _comparison(of: Comparison, names: tuple[str, str], report: Report) -> list[str]:
    first, second = names
    test = "McNemar's exact test" if report.is_right_or_wrong else "sign test"
    if 1 < report.num_units < report.num_instances:
        test += " (as if independent)"
    difference = of.paired.difference
    rows = [
        [f"{second} - {first}", f"{difference.value:+.2f}"],
        [INTERVAL, interval(difference.ci95)],
        ["p", _p(of.paired.p_value)],
    ]
    if len(report.comparisons) > 1:
        rows.append([f"p (Holm, {len(report.comparisons)} pairs)", _p(of.corrected_p_value)])
    rows.append(["smallest detectable", _smallest(of.paired.smallest_detectable)])
    width = max(len(name) for name, _ in rows)
    lines = [f"{name:<{width}}  {value}" for name, value in rows]
    if of.instances:
        lines.append(f"{'instances':<{width}}  {_counts(of.instances, test)}")
    if 1 < report.num_units < report.num_instances:
        lines.append(f"{report.unit + 's':<{width}}  {_counts(of.units, 'sign test')}")
    if of.categories:
        lines += ["", _categories(of, names, report.unit)]
    for title, instances in (("better", of.better), ("worse", of.worse)):
        if instances:
            lines += ["", f"where {second} is {title} by most:"]
            lines += [line for each in instances for line in _instance(each, names)]
    return lines


def _smallest(difference: float | None) -> str:
    return "–" if difference is None else f"{difference:.2f}"


def _legend(report: Report) -> list[str]:
    """What intervals and p-values are, a sentence a line."""
    unit = "instance" if report.num_units == report.num_instances else report.unit
    lines = [
        about_intervals(unit),
        f"p: permutation test that exchanges systems by {unit}"
        + ("" if unit == "instance" else f"; of one {unit}, by instance"),
        f"   it is 0.06 or more with 5 {unit}s, 0.5 or more with 2: few cannot show a difference",
    ]
    several = ["pairs"] if len(report.comparisons) > 1 else []
    several += ["categories"] if any(each.categories for each in report.comparisons) else []
    if several:
        lines.append(f"Holm: p corrected for the number of {' or '.join(several)}")
    return [
        *lines,
        "smallest detectable: true difference that a test at 5 % finds in 80 % of samples",
    ]


def _counts(counts: Counts, test: str) -> str:
    return (
        f"{counts.wins:,} better, {counts.ties:,} equal, {counts.losses:,} worse; "
        f"{test}: p = {_p(counts.p_value)}"
    )


def _categories(of: Comparison, names: tuple[str, str], unit: str) -> str:
    rows = [
        [
            *("category", "instances", f"{unit}s", *names),
            *(f"{names[1]} - {names[0]}", INTERVAL, "p", "p (Holm)"),
        ]
    ]
    for category in of.categories:
        difference = category.paired.difference
        rows.append(
            [
                category.name or "(none)",
                f"{category.num_instances:,}",
                f"{category.num_units:,}",
                f"{category.first.value:.2f}",
                f"{category.second.value:.2f}",
                f"{difference.value:+.2f}",
                interval(difference.ci95),
                _p(category.paired.p_value),
                _p(category.corrected_p_value),
            ]
        )
    return table(rows)


def _instance(instance: Instance, names: tuple[str, str]) -> list[str]:
    scores = instance.first, instance.second
    first, second = (
        name if score is None else f"{name} ({score:.2f})"
        for name, score in zip(names, scores, strict=True)
    )
    texts = [
        ("reference", "; ".join(instance.references)),
        (first, instance.first_prediction),
        (second, instance.second_prediction),
    ]
    width = max(len(name) for name, _ in texts)
    where = instance.id if instance.task in instance.id else f"{instance.task} {instance.id}"
    return [
        f"  {' '.join(where.split())}",
        *(f"    {name:<{width}}  {_shown(text)}" for name, text in texts),
    ]


def _shown(text: str) -> str:
    """A text on one line, shortened."""
    line = " ".join(text.split()) or "(empty)"
    return line if len(line) <= _MOST_CHARACTERS else f"{line[:_MOST_CHARACTERS]}…"


def _p(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.4f}" if value >= 0.0001 else f"{value:.1e}"
