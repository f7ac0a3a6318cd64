"""An audit as text for a terminal."""

import itertools
import textwrap
from collections import Counter
from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from tk_instruct.audit import by_origin
from tk_instruct.audit.findings import Audit, Passage, TaskCount, TextFinding
from tk_instruct.tables import table
from tk_instruct.terminal import visible

_CAUTION = (
    "Most flags are false until somebody has read them: quotations, lists, boilerplate and common "
    "knowledge stand in many texts."
)
_WIDTH, _WIDTH_OF_A_TEXT = 100, 48  # columns of a terminal


def num_flagged(audit: Audit) -> tuple[int, int]:
    """(what is flagged, of how many) evaluation instances; tasks, if only names were compared."""
    if not audit.tasks:
        return len({each.eval_task for each in audit.origins}), len(audit.eval_datasets)
    return sum(each.flagged for each in audit.tasks), sum(each.instances for each in audit.tasks)


def summary(audit: Audit, num_findings: int) -> str:
    """All that is printed, with the findings that have most in common."""
    parts = [f"{', '.join(audit.train)} against {', '.join(audit.against)}"]
    if audit.eval_datasets and audit.train_datasets:
        parts.append(by_origin.as_text(by_origin.origins_of(audit)))
    if audit.tasks:
        parts += [table(counts(audit)), textwrap.fill(about_texts(audit), _WIDTH)]
        shown = worst(audit.texts)[:num_findings]
        if shown:
            parts.append(
                f"{len(shown):,} of {len(audit.texts):,} findings, of different tasks first"
            )
        parts += map(_side_by_side, shown)
    return "\n\n".join(parts)


def counts(audit: Audit) -> Sequence[tuple[str, ...]]:
    """The evaluation tasks with a flag below a header, those with most first; others; and all."""
    found = sorted(audit.tasks, key=lambda task: (-task.flagged / task.instances, task.task))
    shown = [task for task in found if task.flagged]
    others = found[len(shown) :]
    if shown and others:
        shown.append(_sum(others, f"{len(others):,} others"))
    rows = [("evaluation task", "instances", "flagged", "share", "by inputs", "by targets")]
    for each in (*shown, _sum(audit.tasks, f"all {len(audit.tasks):,}")):
        rows.append(
            (
                each.task,
                f"{each.instances:,}",
                f"{each.flagged:,}",
                f"{each.flagged / each.instances:.1%}",
                f"{each.by_inputs:,}",
                f"{each.by_targets:,}",
            )
        )
    return rows


def _sum(tasks: Sequence[TaskCount], name: str) -> TaskCount:
    columns = ("instances", "flagged", "by_inputs", "by_targets")
    return TaskCount(name, *(sum(getattr(task, each) for task in tasks) for each in columns))


def about_texts(audit: Audit) -> str:
    """What was compared, how, and what a flag means."""
    of = audit.settings
    return (
        f"Compared with {audit.num_train:,} training examples by their words: equal texts, near "
        f"duplicates (Jaccard similarity of at least {of.jaccard:g}) and texts with {of.ngram} "
        f"words in a row in common ({of.short_ngram} for shorter texts). {audit.left_out:,} runs "
        f"of words that stand in many instances of an evaluation task are left out. {_CAUTION}"
    )


def worst(findings: Sequence[TextFinding]) -> list[TextFinding]:
    """Findings by how much their texts have in common: the most of each pair of tasks, then others.

    A pair of tasks that match in all instances would be all that is read else.
    """
    of_pair: Counter[tuple[str, str]] = Counter()
    ranks = []
    for finding in sorted(findings, key=lambda each: -_num_marked(each)):
        tasks = finding.eval_task, finding.train_task
        ranks.append((of_pair[tasks], finding))
        of_pair[tasks] += 1
    return [finding for _, finding in sorted(ranks, key=lambda pair: pair[0])]


def _num_marked(finding: TextFinding) -> int:
    """Characters of the evaluation text that the training text has too."""
    return sum(end - start for start, end in finding.evaluation.marks)


def about(finding: TextFinding) -> str:
    """What is alike, in words."""
    share = f"{finding.share:.0%} of its words"
    if finding.kind == "equal":
        return "equal"
    if finding.kind == "near_duplicate":
        return f"near duplicate, Jaccard {finding.jaccard:.2f}, {share}"
    return f"{finding.n} words in a row, {share}"


def _side_by_side(finding: TextFinding) -> str:
    left, right = map(_lines, (finding.evaluation, finding.training))
    examples = "example" if finding.num_train == 1 else "examples"
    return "\n".join(
        [
            f"── {finding.eval_task} ── {finding.field}: {about(finding)} ── "
            f"{finding.num_train:,} training {examples}",
            *(
                f"{one}{' ' * (_WIDTH_OF_A_TEXT - cell_len(one))} │ {other}".rstrip()
                for one, other in itertools.zip_longest(
                    [finding.eval_id, "", *left],
                    [f"{finding.train_id} ({finding.train_task})", "", *right],
                    fillvalue="",
                )
            ),
        ]
    )


def _lines(passage: Passage) -> list[str]:
    """A passage in lines, with «» around what is marked."""
    marked = "".join(f"«{part}»" if is_marked else part for part, is_marked in passage.parts())
    lines = Text(" ".join(visible(marked).split())).wrap(Console(), _WIDTH_OF_A_TEXT)
    return [line.plain.rstrip() for line in lines]
