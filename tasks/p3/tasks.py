"""P3's tasks and T0's mixtures.

  p3_DATASET[_SUBSET]_TEMPLATE   a data set under a template; the name is t-zero's after `p3_`
  p3_…_score_eval                one example for each choice, for SeqIO's rank evaluation
  p3_anli_TEMPLATE_r1            a round of ANLI

  t0_train, t0p_train, t0pp_train, t0_train_one_og_prompt, t0_train_all_og_prompts
  t0_eval, t0_train_eval, t0_bias_fairness_eval, each also with _score_eval
  p3_train, p3_eval              of the tree of templates in use: all tasks of data sets that T0
                                 does not hold out, and the scored tasks of those that it does

Those of T0's released list are always declared. The others are those of the tree in use, whose
names are read when a name is looked up that is not on the list. Gin sets tree and data (P3).
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any

from tk_instruct.data import registry
from tk_instruct.data.registry import Mixture
from tk_instruct.data.task import (
    AnyTask,
    Download,
    Example,
    RawExample,
    Render,
    Rendering,
    Source,
    Task,
)
from tk_instruct.errors import UserError
from tk_instruct.files import Path
from tk_instruct.metrics.classification import rank_accuracy
from tk_instruct.metrics.metric import Measured, Metric
from tk_instruct.metrics.target import OptionTarget, Target

from . import t0, templates
from .settings import P3
from .templates import DatasetName, PromptedDataset, Tree

# Field of a raw example → whether it is a list of texts.
FIELDS = {
    "id": False,
    "task": False,
    "dataset": False,
    "subset": False,
    "template": False,
    "row": False,
    "prompt": False,
    "answer": False,
    "options": True,
    "references": True,
}
SCORE_EVAL = "_score_eval"


def name_of(dataset: DatasetName, template: str) -> str:
    """The name of a task, as t-zero makes it, in characters that SeqIO and shells take."""
    parts = [dataset.name, *filter(None, [dataset.subset]), template]
    return "p3_" + re.sub(r"[^A-Za-z0-9_.]+", "_", "_".join(parts))


def _prepare(tokenizer: Any, max_input_tokens: int | None) -> Render:
    def render(prompt: str, answer: str) -> tuple[str, str]:
        return prompt, answer

    return render


def _target(example: Example) -> Target:
    return Target(tuple(example["references"]), tuple(example["options"]))


def _option_target(example: Example) -> OptionTarget:
    return OptionTarget(example["of"], is_correct=example["is_right"] == "yes")


def _option_unit(example: Example) -> str:
    return str(example["of"])


def right_option(example: Example) -> str:
    """The option that is the right answer. Raises UserError if there is none."""
    [answer] = example["references"]
    if answer not in example["options"]:
        raise UserError(
            f"{example['dataset']} {example['subset']}, row {example['row']}: the template "
            f"{example['template']!r} has the choices {list(example['options'])!r:.200}, without "
            f"the target {answer!r:.60}; correct its choices, or leave it out of the evaluation"
        )
    return answer


def options_once(example: Example) -> list[str]:
    """The options, of which those that repeat count once, at their first place."""
    return list(dict.fromkeys(example["options"]))


def _load(of: PromptedDataset, split: str) -> Iterator[RawExample]:
    from . import examples  # brings jinja2 and pyarrow, which names do without

    return examples.load(of, split)


def _content(of: PromptedDataset, split: str) -> str:
    from . import examples

    return examples.content(of, split)


def _count(of: PromptedDataset, split: str) -> int:
    from . import examples

    return examples.count(of, split)


def _made_with() -> str:
    return templates.tree().about


def _load_options(of: PromptedDataset, split: str) -> Iterator[RawExample]:
    """One example for each option, as SeqIO scores them."""
    for example in _load(of, split):
        right = right_option(example)
        for number, option in enumerate(options_once(example)):
            yield {
                **example,
                "id": f"{example['id']}#{number}",
                "of": example["id"],
                "option": option,
                "is_right": "yes" if option == right else "no",
            }


def _exported(example: Example) -> Mapping[str, Any]:
    return {
        "dataset": example["dataset"],
        "subset": example["subset"] or None,
        "template": example["template"],
        "row": int(example["row"]),
        "choices": list(example["options"]) or None,
    }


def _about(example: Example) -> Mapping[str, Sequence[str]]:
    of = t0.datasets().get(DatasetName(example["dataset"], example["subset"] or None))
    return {"categories": [of.group] if of else []}


def _splits(dataset: DatasetName) -> tuple[str, ...]:
    """The splits, the first of which tells whether the data is there."""
    of = t0.datasets().get(dataset)
    never_trained_on = of is not None and not of.num_train_examples and dataset != t0.ANLI
    return ("validation", "test", "train") if never_trained_on else ("train", "validation", "test")


@cache
def _tasks(of: PromptedDataset, has_choices: bool) -> tuple[Task, ...]:
    """The task of a data set under a template and, if it has choices, the one of its options."""

    @Metric
    def scores(targets: Sequence[Target], predictions: Sequence[str]) -> dict[str, Measured]:
        from .metrics import measured

        return measured(templates.template_of(of.dataset, of.template), targets, predictions)

    source = Source(
        _splits(of.dataset),
        FIELDS,
        partial(_load, of),
        partial(_content, of),
        count=partial(_count, of),
        download=Download(str(of.dataset), partial(_download, of.dataset)),
        selection=lambda: f"seed={P3().seed}",
        made_with=_made_with,
    )
    whole = Task(
        of.task,
        source,
        Rendering(_prepare, reads=["prompt", "answer"]),
        _target,
        [scores],
        describe=_about,
        inputs_have_eos=False,  # as T0 is trained
        exported=_exported,
    )
    if not has_choices:
        return (whole,)
    of_options = replace(
        source,
        fields={**FIELDS, "of": False, "option": False, "is_right": False},
        load=partial(_load_options, of),
        count=None,
    )
    scored = replace(
        whole,
        name=of.task + SCORE_EVAL,
        source=of_options,
        rendering=Rendering(_prepare, reads=["prompt", "option"]),
        score_against=_option_target,
        unit=_option_unit,
        metric_fns=[rank_accuracy],
        is_listed=False,  # its examples are the other task's, once for each option
    )
    return whole, scored


def _download(dataset: DatasetName) -> Path:
    """Gets a data set from the Hub into --p3_data, or by TFDS if none is given."""
    from . import hub, tfds_rows

    if given := P3().data:
        return hub.download(dataset.name, dataset.subset, Path(given).expanduser())
    if str(dataset) not in tfds_rows.names():
        raise UserError(
            f"{dataset} is not among TFDS's data sets; give --p3_data DIR, a folder into which it "
            "is downloaded from Hugging Face's Hub"
        )
    return tfds_rows.prepare(str(dataset))


def prompts_of(dataset: DatasetName, template: str) -> list[PromptedDataset]:
    """A data set under a template. For ANLI, each of its rounds."""
    rounds = t0.ANLI_ROUNDS if dataset == t0.ANLI else ("",)
    name = name_of(dataset, template)
    return [PromptedDataset(f"{name}_{of}" if of else name, dataset, template, of) for of in rounds]


def origins(name: str, split: str) -> Mapping[str, Collection[str]]:
    """The task, without the suffix of its options' task → its dataset. Needs no data."""
    del split  # of the same dataset
    task = registry.declared(name)
    assert isinstance(task, Task)
    assert task.source.download is not None
    dataset, task_name = task.source.download.name, name.removesuffix(SCORE_EVAL)
    if dataset == str(t0.ANLI):
        dataset += f"/{task_name.rpartition('_')[2]}"  # the round
    return {task_name: [dataset]}


def declared() -> Iterator[Task | Mixture]:
    """The tasks and mixtures of T0's released list."""
    for task in t0.tasks():
        for prompts in prompts_of(task.dataset, task.template):
            yield from _tasks(prompts, task.has_choices)
    for name, has in t0.TRAINING_MIXTURES.items():
        yield Mixture(name, _rates(filter(has, t0.tasks()), lambda task: _rate(task.dataset)))
    for name, has in t0.EVALUATION_MIXTURES.items():
        parts = _rates(filter(has, t0.tasks()), lambda task: 1.0)
        yield Mixture(name, parts)
        yield Mixture(name + SCORE_EVAL, {task + SCORE_EVAL: rate for task, rate in parts.items()})


def _rates(tasks: Iterable[t0.T0Task], rate: Callable[[t0.T0Task], float]) -> Mapping[str, float]:
    """Name of a task → its mixing rate."""
    return {
        prompts.task: rate(task)
        for task in tasks
        for prompts in prompts_of(task.dataset, task.template)
    }


def _rate(dataset: DatasetName) -> float:
    return float(t0.datasets()[dataset].rate)


class _InTree(Mapping[str, Task | Mixture]):
    """The tasks and mixtures of a tree by name.

    The tree is looked at again when all names are asked for, or one that it did not have.
    """

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._state: Any = None
        self._found: dict[str, Task | Mixture] = {}

    def __getitem__(self, name: str) -> Task | Mixture:
        if name not in self._found:
            self._look()
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        self._look()
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def _look(self) -> None:
        if (state := self._tree.state) != self._state:
            self._found, self._state = _declared_in(self._tree), state


_in_tree = cache(_InTree)


def declared_in_data() -> Mapping[str, Task | Mixture]:
    """The tasks of the tree of templates in use, and its mixtures p3_train and p3_eval."""
    return _in_tree(templates.tree())


def _declared_in(tree: Tree) -> dict[str, Task | Mixture]:
    """Raises UserError for two templates whose tasks have the same name."""
    found: dict[str, Task | Mixture] = {}
    named: dict[str, str] = {}
    train: dict[str, Callable[[AnyTask], float]] = {}
    scored: dict[str, float] = {}
    for dataset in tree.datasets():
        in_dataset = tree.templates(dataset)
        for template in in_dataset.values():
            for prompts in prompts_of(dataset, template.name):
                where = f"{template.name!r} of {dataset}"
                for task in _tasks(prompts, bool(template.answer_choices)):
                    if task.name in found:
                        raise UserError(
                            f"{tree.root}: the templates {where} and {named[task.name]} are both "
                            f"the task {task.name}; rename one of them"
                        )
                    found[task.name], named[task.name] = task, where
                if dataset not in t0.held_out() + t0.bias_and_fairness():
                    train[prompts.task] = partial(_tree_rate, len(in_dataset))
                elif dataset in t0.held_out() and template.is_scored:
                    scored[prompts.task] = 1.0
    for name, parts in (("p3_train", train), ("p3_eval", scored)):
        if parts:
            found[name] = Mixture(name, parts)
    return found


def _tree_rate(num_templates: int, task: AnyTask) -> float:
    """T0's rate for the rows that are there."""
    num_rows = task.num_input_examples("train")
    return float(t0.capped(num_rows, num_templates))
