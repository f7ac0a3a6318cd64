"""What FLAN's paper evaluates of a run: tasks of one template each, and of the ablations."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tk_instruct.errors import UserError

from .datasets import BY_NAME, CLUSTERS, Dataset
from .holdouts import LADDER_HELD_OUT, SUPERGLUE, in_clusters
from .prompts import ABLATIONS, DATASET_NAME, FORMS, NO_TEMPLATE
from .templates import templates_of

# Rows of the role of instructions by the form that a run was trained on, and their settings.
ROLES = {
    "": {"FLAN": "zero_shot_generation"},
    NO_TEMPLATE: {"no template": "zero_shot_generation"},
    DATASET_NAME: {
        "dataset name → instructions": "zero_shot_generation",
        "dataset name → dataset name": "dataset_name_generation",
    },
}
# Published averages over four held-out clusters of the 137B model, by how it was trained and asked
# (Wei et al. 2022, section 4.3).
PUBLISHED_ROLES = {
    "FLAN": 55.2,
    "no template": 37.3,
    "dataset name → instructions": 46.6,
    "dataset name → dataset name": 47.0,
}


@dataclass(frozen=True)
class Prompt:
    """One way to ask for a dataset's answers.

    Attributes:
        task: the SeqIO task.
        shots: zero_shot, few_shot or dataset_name.
        template: its number; None for a dataset's name.
        asks_for: the field that it asks for: of translations either language's text.
    """

    dataset: Dataset
    task: str
    shots: str
    template: int | None
    asks_for: str

    @property
    def row(self) -> str:
        """Of the table: the dataset, and what else than its usual target is asked for."""
        usual = self.asks_for == self.dataset.target
        return self.dataset.name if usual else f"{self.dataset.name}, to {self.asks_for}"


@dataclass(frozen=True)
class Job:
    """A prompt, on a split, answered by a method."""

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
    """Every forward template; raises UserError where the wording in use has none."""
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
    """What a run is evaluated on, by what it was trained on: what was held out, else the dataset.

    Raises UserError where that says neither.
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
    """The mixture of which a form was trained on, and the form: what its name ends in."""
    for form in (*sorted(FORMS, key=len, reverse=True), *ABLATIONS):
        if form and mixture.endswith(form):
            return mixture.removesuffix(form), form
    return mixture, ""


def chosen(clusters: Sequence[str], datasets: Sequence[str]) -> list[Dataset]:
    """Datasets by clusters and names; raises UserError for names that are none."""
    for flag, names, known in (
        ("--cluster", clusters, list(CLUSTERS)),
        ("--dataset", datasets, list(BY_NAME)),
    ):
        for name in names:
            if name not in known:
                raise UserError(f"{flag}={name} must be one of {', '.join(known)}")
    return [*in_clusters(*clusters), *(BY_NAME[name] for name in datasets)]
