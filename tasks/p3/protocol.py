"""What T0's paper evaluates: which prompts, how they are answered, and how answers are scored."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from tk_instruct.data.task import Example
from tk_instruct.errors import UserError
from tk_instruct.metrics import PERCENTAGES
from tk_instruct.metrics.classification import accuracy
from tk_instruct.metrics.generation import LOWER_IS_BETTER
from tk_instruct.metrics.metric import Measured, groups_of, scores
from tk_instruct.metrics.target import Target
from tk_instruct.scored_instances import MAIN, About, Scored, ScoredInstances, about_scores
from tk_instruct.uncertainty.intervals import Estimate

from . import bias, metrics, tasks, templates
from .summary import DatasetSummary, Report, mean_of_medians, summarise
from .templates import DatasetName, PromptedDataset

SPLITS = ("validation", "test", "train")
# A run's files, one for each prompt, are one evaluation: the mean over data sets of the means over
# prompts.
_ABOUT = About(
    "p3",
    main=MAIN,
    unit="data set",
    levels=("unit", "task"),
    percentages=(*PERCENTAGES, bias.PARITY),
    together=True,
)


class Prompt(NamedTuple):
    """A data set under a template, to be answered by rank or generation on a split."""

    of: PromptedDataset
    method: str
    split: str

    @property
    def row(self) -> str:
        """The row in the table: the data set, and the round for ANLI."""
        return "/".join(filter(None, [str(self.of.dataset), self.of.round]))


def prompts_of(dataset: DatasetName, split: str | None) -> list[Prompt]:
    """The prompts that a data set is scored with. Empty if the tree has no templates of it.

    These are the templates of its original task, or all if there is none of it. Those with choices
    are ranked; if none has choices, answers are generated. split is None for the one that T0 is
    scored on.
    """
    in_tree = list(templates.tree().templates(dataset).values())
    of = [template for template in in_tree if template.metadata.original_task] or in_tree
    ranked = [template for template in of if template.answer_choices]
    method = "rank" if ranked else "generation"
    split = split or bias.SPLITS.get(dataset, "validation")
    return [
        Prompt(each, method, split)
        for template in ranked or of
        for each in tasks.prompts_of(dataset, template.name)
    ]


def by_row(prompts: Iterable[Prompt]) -> dict[str, list[Prompt]]:
    """Row → its prompts."""
    found: dict[str, list[Prompt]] = {}
    for prompt in prompts:
        found.setdefault(prompt.row, []).append(prompt)
    return found


def rows_of(name: str, split: str | None) -> dict[str, list[Prompt]]:
    """Row → its prompts, of a data set by its name, or of a round of ANLI, such as anli/r1.

    Raises UserError if the tree in use has no templates of it.
    """
    dataset, _, subset = name.partition("/")
    if found := by_row(prompts_of(DatasetName(dataset, subset or None), split)):
        return found
    rounds = by_row(prompts_of(DatasetName(dataset), split))
    if name in rounds:
        return {name: rounds[name]}
    tree = templates.tree()
    known = [*rounds, *map(str, tree.datasets())]
    near = difflib.get_close_matches(name, known, n=3) or known[:3]
    raise UserError(
        f"--dataset={name} has no templates in {tree.root}; give one that is there, such as "
        f"{', '.join(near)}, or --p3_templates with a tree that has it"
    )


def options_of(example: Example) -> list[str]:
    """The options of an example, each once. Raises UserError if the target is none of them."""
    tasks.right_option(example)
    return tasks.options_once(example)


def scored(prompt: Prompt, examples: Sequence[Example], texts: Sequence[str | None]) -> Scored:
    """The scores of predicted texts: accuracy if they are ranked, else the template's metrics.

    The main score is the first one. None counts as empty. Raises UserError if a target is not among
    its choices, or does not suit a metric.
    """
    found = _measured(prompt, examples, [text or "" for text in texts])
    size = len(examples)
    ids = [str(example["id"]) for example in examples]
    values = {name: of.values for name, of in found.items()}
    main = next(iter(found))
    if main not in LOWER_IS_BETTER:
        values[MAIN] = values[main]
    instances = ScoredInstances(
        about_scores(_ABOUT, prompt.of.task, found),
        {
            "id": ids,
            "part": [f"{prompt.split}, {prompt.method}"] * size,
            "task": [prompt.of.task] * size,
            "unit": [prompt.row] * size,
            "category": [str(prompt.of.dataset)] * size,
            "instance": _instances(ids, groups_of(found)),
        },
        [example["references"] for example in examples],
        texts,
        values,
    )
    return Scored(scores(found), instances)


def _measured(
    prompt: Prompt, examples: Sequence[Example], texts: Sequence[str]
) -> dict[str, Measured]:
    dataset = prompt.of.dataset
    if prompt.method == "rank":
        for example in examples:
            tasks.right_option(example)
    if bias.measures_bias(dataset):
        return bias.measured(dataset, examples, texts)
    targets = [Target(tuple(e["references"]), tuple(e["options"])) for e in examples]
    if prompt.method == "rank":
        return accuracy.measure(targets, texts)
    template = templates.template_of(dataset, prompt.of.template)
    try:
        return metrics.measured(template, targets, texts)
    except ValueError as error:
        raise UserError(
            f"{prompt.row} under the template {template.name!r} cannot be scored by its metrics, "
            f"{', '.join(metrics.names(template))} ({error}); correct the template's metrics"
        ) from error


def _instances(ids: Sequence[str], groups: Sequence[str] | None) -> list[str]:
    """The data set's row of each example, or its group's first row: the same in all prompts."""
    rows = [id_.rpartition("-")[2] for id_ in ids]
    first: dict[str, str] = {}
    return [first.setdefault(group, row) for group, row in zip(groups or rows, rows, strict=True)]


def report_of(scores: Mapping[Prompt, Scored], **about: Any) -> Report:
    """The report of the scores of prompts. about has the fields that are not made of them."""
    datasets: dict[str, DatasetSummary] = {}
    of_bias: dict[str, DatasetSummary] = {}
    medians: dict[str, Estimate] = {}
    for row, prompts in by_row(scores).items():
        of = {prompt.of.template: scores[prompt] for prompt in prompts}
        summaries = summarise(prompts[0].method, prompts[0].split, of)
        into = of_bias if bias.measures_bias(prompts[0].of.dataset) else datasets
        for metric, (summary, median) in summaries.items():
            name = row if len(summaries) == 1 else f"{row}, {metric}"
            into[name], medians[name] = summary, median
    tree = templates.tree()
    is_known = tree.version != templates.UNKNOWN
    return Report(
        **about,
        templates=tree.version if is_known else f"fingerprint {tree.fingerprint}",
        datasets=datasets,
        bias_and_fairness=bias.summarise(of_bias, medians, scores.values()),
        **mean_of_medians(datasets, medians),
    )
