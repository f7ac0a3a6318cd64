"""The tasks that FLAN's paper evaluates a run on: one for each template, and the ablations."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tk_instruct.errors import UserError

from .datasets import BY_NAME, CLUSTERS, Dataset
from .holdouts import LADDER_HELD_OUT, SUPERGLUE, in_clusters
from .prompts import ABLATIONS, DATASET_NAME, FORMS, NO_TEMPLATE
from .templates import templates_of

# Form that a run was trained on → row in the table of the role of instructions → setting.
ROLES = {
    "": {"FLAN": "zero_shot_generation"},
    NO_TEMPLATE: {"no template": "zero_shot_generation"},
    DATASET_NAME: {
        "dataset name → instructions": "zero_shot_generation",
        "dataset name → dataset name": "dataset_name_generation",
    },
}


@dataclass(frozen=True)
class Prompt:
    """A way to ask for the answers of a dataset.

    Attributes:
        task: the name of the task.
        shots: zero_shot, few_shot or dataset_name.
        template: the number of the template, or None for dataset_name.
        asks_for: the field that the template asks for. For a translation, the text in one of the
            two languages.
    """

    dataset: Dataset
    task: str
    shots: str
    template: int | None
    asks_for: str

    @property
    def row(self) -> str:
        """The row in the table: the dataset, and the field if it is not the usual target."""
        usual = self.asks_for == self.dataset.target
        return self.dataset.name if usual else f"{self.dataset.name}, to {self.asks_for}"


@dataclass(frozen=True)
class Job:
    """A prompt on a split, answered by a method (generation or rank)."""

    prompt: Prompt
    split: str
    method: str

    @property
    def dataset(self) -> Dataset:
        return self.prompt.dataset

    @property
    def setting(self) -> str:
        return f"{self.prompt.shots}_{self.method}"


def prompts_of(dataset: Dataset, shots: str) -> Iterator[Prompt]:
    """The prompts of all forward templates. Raises UserError if the templates in use have none."""
    if shots == "dataset_name":
        yield Prompt(dataset, f"flan_{dataset.name}{DATASET_NAME}", shots, None, dataset.target)
        return
    if shots == "few_shot" and "train" not in dataset.splits:
        return
    suffix = {"zero_shot": "", "few_shot": "_fewshot"}[shots]
    forward = [
        (number, field)
        for field in dataset.targets
        for number, template in enumerate(templates_of(dataset))
        if template.asks_for(field)
    ]
    if not forward:
        raise UserError(
            f"no template of {dataset.template_set} asks for {{{dataset.target}}}; there is "
            "nothing to evaluate with"
        )
    for number, field in forward:
        yield Prompt(dataset, f"flan_{dataset.name}{suffix}.t{number}", shots, number, field)


def meant_by(mixture: str | None) -> list[Dataset]:
    """The datasets on which a run is evaluated, from the mixture that it was trained on.

    These are the held-out datasets, or the dataset if it was trained on only one. Raises UserError
    for any other mixture.
    """
    name, _ = without_form(mixture or "")
    held_out = name.removeprefix("flan_holdout_")
    if held_out in CLUSTERS:
        return list(in_clusters(held_out))
    if name == "flan_holdout_superglue":
        return [BY_NAME[dataset] for dataset in SUPERGLUE]
    if name.startswith("flan_clusters_"):
        return list(in_clusters(*LADDER_HELD_OUT))
    if name.removeprefix("flan_") in BY_NAME:
        return [BY_NAME[name.removeprefix("flan_")]]
    raise UserError(
        f"trained on {mixture!r}, which holds no cluster out; give --cluster NAME, one of "
        f"{', '.join(CLUSTERS)}, or --dataset NAME"
    )


def without_form(mixture: str) -> tuple[str, str]:
    """A mixture's name without the suffix of its form, and that suffix."""
    for form in (*sorted(FORMS, key=len, reverse=True), *ABLATIONS):
        if form and mixture.endswith(form):
            return mixture.removesuffix(form), form
    return mixture, ""


def chosen(clusters: Sequence[str], datasets: Sequence[str]) -> list[Dataset]:
    """The datasets of the named clusters, then the named datasets.

    Raises UserError for unknown names.
    """
    for flag, names, known in (
        ("--cluster", clusters, list(CLUSTERS)),
        ("--dataset", datasets, list(BY_NAME)),
    ):
        for name in names:
            if name not in known:
                raise UserError(f"{flag}={name} must be one of {', '.join(known)}")
    return [*in_clusters(*clusters), *(BY_NAME[name] for name in datasets)]
