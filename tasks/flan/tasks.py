"""FLAN 2021 (arXiv:2109.01652) as SeqIO tasks and mixtures.

  flan_DATASET                   one of ten templates drawn for each example, for training
  flan_DATASET.tK                template K for all examples, for evaluation
  flan_DATASET_fewshot[.tK]      with up to 16 exemplars of the train split before the prompt
  flan_DATASET[_fewshot]_no_options[.tK]   without the block of options
  flan_DATASET_rank.tK           one example for each option, for SeqIO's score evaluation
  flan_DATASET_no_template, flan_DATASET_dataset_name   the ablations on the role of instructions

Mixtures: flan_all, flan_holdout_CLUSTER, flan_holdout_superglue, flan_clusters_1 to _7. Each also
has all forms, such as flan_holdout_nli_fewshot. Gin sets data (tfds_data_dir) and templates (FLAN).
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache, partial
from typing import Any

from tk_instruct.data.registry import Mixture, proportional
from tk_instruct.data.task import Example, RawExample, Rendering, Task
from tk_instruct.metrics import METRICS, Metric
from tk_instruct.metrics.classification import rank_accuracy
from tk_instruct.metrics.metric import Measured
from tk_instruct.metrics.target import OptionTarget, Target

from . import examples, flan_2022, prompts
from .datasets import BY_NAME, DATASETS, Dataset
from .holdouts import MAX_RATE, datasets_by_mixture
from .templates import is_forward, metrics_of, own_templates


def target_of(example: Example) -> Target:
    """The target that a prediction for an example is scored against.

    Its references are all right answers, or the template's target if it is something else.
    """
    dataset = BY_NAME[example["task"]]
    asked = example["targets_pretokenized"]
    is_answer = asked == example[dataset.target]
    references = example["references"] if is_answer else [asked]
    return Target(tuple(references), tuple(example["options"]), example["group"])


def _unit(example: Example) -> str:
    return str(example["group"] or example["id"])


def _instance_text(dataset: Dataset, raw: RawExample) -> tuple[str, Sequence[str]]:
    fields = (field for field in dataset.fields if field not in dataset.targets)
    return "\n".join(str(raw[field]) for field in fields), raw["references"]


def _exported(example: Example) -> Mapping[str, Any]:
    return {
        "dataset": example["task"],
        "cluster": example["category"],
        "options": example["options"] or None,
        "references": list(target_of(example).references),
    }


def _exported_option(example: Example) -> Mapping[str, Any]:
    return {
        "dataset": example["task"],
        "cluster": example["category"],
        "example": example["of"],
        "is_right": example["is_right"] == "yes",
    }


def _option_target(example: Example) -> OptionTarget:
    return OptionTarget(example["of"], is_correct=example["is_right"] == "yes")


def _option_unit(example: Example) -> str:
    return str(example["group"] or example["of"])


def _numbered_metric(dataset: Dataset, number: int) -> Metric:
    """The metric of a template's predictions. It reads the templates in use when it is called."""

    @Metric
    def metric(targets: Sequence[Target], predictions: Sequence[str]) -> dict[str, Measured]:
        found: dict[str, Measured] = {}
        for name in metrics_of(dataset, number):
            found |= METRICS[name].measure(targets, predictions)
        return found

    return metric


def _task(
    name: str, dataset: Dataset, prepare: prompts.Prepare, metrics: Sequence[Metric] | None = None
) -> Task:
    """A task of a dataset. metrics are by default the dataset's."""
    rendering = Rendering(prepare, reads=prompts.reads(dataset))
    metrics = metrics or [METRICS[metric] for metric in dataset.metrics]
    source = examples.source(dataset)
    return Task(
        name,
        source,
        rendering,
        target_of,
        metrics,
        exported=_exported,
        unit=_unit,
        instance_text=partial(_instance_text, dataset),
    )


def _tasks_of(dataset: Dataset) -> Iterator[Task]:
    name = f"flan_{dataset.name}"
    templates = list(enumerate(own_templates(dataset)))
    for suffix, form in prompts.FORMS.items():
        if form.few_shot and "train" not in dataset.splits:
            continue  # no exemplars
        if not form.options and dataset.kind == "generation":
            continue  # generation shows no options in any form
        yield _task(name + suffix, dataset, prompts.templated(dataset, form))
        for number, _ in templates:
            prepare = prompts.templated(dataset, form, number)
            metric = _numbered_metric(dataset, number)
            yield _task(f"{name}{suffix}.t{number}", dataset, prepare, [metric])
    for suffix, ablation in prompts.ABLATIONS.items():
        yield _task(name + suffix, dataset, ablation(dataset))
    for number, template in templates:
        if dataset.kind == "classification" and is_forward(template, dataset):
            prepare = prompts.option_scored(dataset, number)
            yield Task(
                f"{name}_rank.t{number}",
                examples.option_source(dataset),
                Rendering(prepare, reads=["option", *prompts.reads(dataset)]),
                _option_target,
                [rank_accuracy],
                exported=_exported_option,
                unit=_option_unit,
                instance_text=partial(_instance_text, dataset),
            )


@cache
def _dataset_of_task() -> Mapping[str, str]:
    return {task.name: dataset.name for dataset in DATASETS for task in _tasks_of(dataset)}


def origins(name: str, split: str) -> Mapping[str, Collection[str]]:
    """The dataset of a task → itself. Those of FLAN 2022's files are not known."""
    if name in _dataset_of_task():
        dataset = _dataset_of_task()[name]
        return {dataset: [dataset]}
    return flan_2022.origins(name, split)


def form_of(dataset: Dataset, suffix: str) -> str:
    """The name of a dataset's task in a mixture of a form.

    Generation has no form without options, so it keeps the form with them.
    """
    if dataset.kind == "generation":
        suffix = suffix.removesuffix("_no_options")
    return f"flan_{dataset.name}{suffix}"


def declared() -> Iterator[Task | Mixture]:
    """All tasks and mixtures of the suite, with those of FLAN 2022."""
    for dataset in DATASETS:
        yield from _tasks_of(dataset)
    for name, datasets in datasets_by_mixture().items():
        for suffix in (*prompts.FORMS, *prompts.ABLATIONS):
            parts = [form_of(dataset, suffix) for dataset in datasets]
            yield proportional(name + suffix, parts, most_examples=MAX_RATE)
    yield from flan_2022.declared()
