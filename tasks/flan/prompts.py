"""Renders records as inputs and targets: zero-shot, few-shot, and the paper's ablations."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from tk_instruct.data.task import Render
from tk_instruct.data.templates import OPTIONS, Template, options_block
from tk_instruct.data.tokenization import Tokenizer
from tk_instruct.errors import UserError
from tk_instruct.randomness import choose, draw

from . import examples
from .datasets import CLUSTERS, Dataset
from .templates import FLAN, is_forward, templates_of

MAX_EXEMPLARS = 16
MAX_FEW_SHOT_TOKENS = 960

# (tokenizer, max_input_tokens) → the function that renders. Only exemplars need the tokenizer.
Prepare = Callable[[Any, int | None], Render]


@dataclass(frozen=True)
class Form:
    """Whether prompts have exemplars, and whether they show options."""

    few_shot: bool = False
    options: bool = True


# Suffix in the names of tasks and mixtures → its form.
FORMS = {
    "": Form(),
    "_no_options": Form(options=False),
    "_fewshot": Form(few_shot=True),
    "_fewshot_no_options": Form(few_shot=True, options=False),
}


@dataclass(frozen=True)
class Turns:
    """The text that separates prompts and answers, as format strings.

    Attributes:
        alone: a prompt in a form without exemplars, with {inputs}.
        exemplar: an exemplar, with {inputs} and {targets}.
        after_exemplars: the prompt in a few-shot form, with {inputs}. It has the same form if no
            exemplar fits before it.
    """

    alone: str
    exemplar: str
    after_exemplars: str


# T5's vocabulary reads newlines as spaces, so the parts are separated by words or signs.
OWN_TURNS = Turns("{inputs}", "{inputs}\n\nOutput: {targets}\n\n###\n\n", "{inputs}\n\nOutput:")
# The marks of dialog turns in google-research/FLAN (2021).
RELEASED_TURNS = Turns("0 {inputs} X 1 FLAN", "0 {inputs} X 1 {targets} X ", "0 {inputs} X 1 FLAN")


def reads(dataset: Dataset) -> list[str]:
    """The fields of a record that the rendering function takes, in its order."""
    return ["id", "split", "options", *dataset.fields]


def templated(dataset: Dataset, form: Form, number: int | None = None) -> Prepare:
    """Renders by the template of that number, or by one drawn for each example.

    Inverted templates are drawn only in the train split.
    """

    def prepare(tokenizer: Any, max_input_tokens: int | None) -> Render:
        seed, templates, turns = FLAN().seed, templates_of(dataset), _turns()
        if number is not None:
            templates = (numbered(templates, number, dataset),)
        if not form.options:
            templates = tuple(template.without_options for template in templates)
        forward = templates
        if number is None:
            forward = tuple(t for t in templates if is_forward(t, dataset)) or templates
        few_shot = None
        if form.few_shot:
            few_shot = _few_shot(dataset, turns, seed, tokenizer, max_input_tokens)

        def render(id_: str, split: str, options: Sequence[str], *values: str) -> tuple[str, str]:
            candidates = templates if split == "train" else forward
            template = choose(candidates, seed, "template", id_)
            inputs, targets = rendered(template, dataset, id_, options, values)
            if few_shot:
                return few_shot.inputs(template, id_, inputs), targets
            return turns.alone.format(inputs=inputs), targets

        return render

    return prepare


def option_scored(dataset: Dataset, number: int) -> Prepare:
    """Renders the template's inputs, with one option as the target.

    Raises UserError if the template is inverted.
    """
    zero_shot = templated(dataset, Form(), number)

    def prepare(tokenizer: Any, max_input_tokens: int | None) -> Render:
        template = numbered(templates_of(dataset), number, dataset)
        if not is_forward(template, dataset):
            raise UserError(
                f"{template.name} turns the task around: there are no options to score; take one "
                f"whose target is {{{dataset.target}}}"
            )
        whole = zero_shot(tokenizer, max_input_tokens)

        def render(option: str, *record: str) -> tuple[str, str]:
            return whole(*record)[0], option

        return render

    return prepare


def untemplated(dataset: Dataset, prefix: str = "") -> Prepare:
    """Renders a prefix and the input without an instruction."""
    raw = [dataset.fields.index(field) for field in dataset.raw_inputs]
    target = dataset.fields.index(dataset.target)

    def prepare(tokenizer: Any, max_input_tokens: int | None) -> Render:
        def render(id_: str, split: str, options: Sequence[str], *values: str) -> tuple[str, str]:
            return prefix + "\n".join(values[k] for k in raw), values[target]

        return render

    return prepare


def named(dataset: Dataset) -> Prepare:
    """Renders the names of the dataset's cluster and of the dataset, then the input."""
    return untemplated(dataset, f"[{CLUSTERS[dataset.cluster]}: {dataset.title}] ")


# Suffix in the names of tasks and mixtures → the ablation on the role of instructions.
NO_TEMPLATE, DATASET_NAME = "_no_template", "_dataset_name"
ABLATIONS: dict[str, Callable[[Dataset], Prepare]] = {
    NO_TEMPLATE: untemplated,
    DATASET_NAME: named,
}


class FewShot:
    """Puts exemplars before a prompt: instruct(x1) y1 … instruct(x), by the prompt's template.

    Draws up to 16 from the train split, as many as fit (Wei et al. 2022, section 4.4).

    Args:
        ids: the ids of the train split's examples.
        render: (index in ids, template) → inputs and targets.
        max_input_tokens: the limit of the whole prompt, EOS included. Also at most
            MAX_FEW_SHOT_TOKENS.
        turns: the text around exemplars and prompt.
    """

    def __init__(
        self,
        ids: Sequence[str],
        render: Callable[[int, Template], tuple[str, str]],
        seed: int,
        tokenizer: Tokenizer,
        max_input_tokens: int | None,
        turns: Turns = OWN_TURNS,
    ) -> None:
        self._ids = ids
        self._turns = turns
        self._render = render
        self._seed = seed
        self._most_tokens = min(MAX_FEW_SHOT_TOKENS - 1, max_input_tokens or MAX_FEW_SHOT_TOKENS)
        self._num_tokens = lambda text: len(tokenizer.encode(text))
        # Keeps only the numbers, because the texts of long examples would fill the memory.
        self._num_tokens_of = lru_cache(maxsize=1 << 18)(
            lambda index, template: self._num_tokens(self._exemplar(*render(index, template)))
        )

    def inputs(self, template: Template, id_: str, inputs: str) -> str:
        """The prompt with its exemplars. None of them is the example or has the same inputs."""
        query = self._turns.after_exemplars.format(inputs=inputs)
        left = self._most_tokens - self._num_tokens(query) - 1  # EOS
        rng = random.Random(draw(self._seed, "exemplars", id_))
        num_drawn = min(len(self._ids), MAX_EXEMPLARS + 1)
        chosen: list[str] = []
        for index in rng.sample(range(len(self._ids)), num_drawn):
            texts = self._render(index, template)
            if self._ids[index] == id_ or texts[0] == inputs:
                continue
            left -= self._num_tokens_of(index, template)
            if left < 0 or len(chosen) == MAX_EXEMPLARS:
                break
            chosen.append(self._exemplar(*texts))
        # Joined texts can have more tokens than the texts alone.
        while chosen and self._num_tokens("".join(chosen) + query) >= self._most_tokens:
            chosen.pop()
        return "".join(chosen) + query

    def _exemplar(self, inputs: str, targets: str) -> str:
        return self._turns.exemplar.format(inputs=inputs, targets=targets)


def _turns() -> Turns:
    return RELEASED_TURNS if FLAN().released_turns else OWN_TURNS


def _few_shot(
    dataset: Dataset,
    turns: Turns,
    seed: int,
    tokenizer: Tokenizer,
    max_input_tokens: int | None,
) -> FewShot:
    records = examples.load(dataset, "train")

    def render(index: int, template: Template) -> tuple[str, str]:
        record = records[index]
        values = [str(record[field]) for field in dataset.fields]
        return rendered(template, dataset, str(record["id"]), record["options"], values)

    ids = [str(record["id"]) for record in records]
    return FewShot(ids, render, seed, tokenizer, max_input_tokens, turns)


def numbered(templates: Sequence[Template], number: int, dataset: Dataset) -> Template:
    """The template of that number. Raises UserError if there is none."""
    if number >= len(templates):
        raise UserError(
            f"flan_{dataset.name}.t{number}: there are {len(templates)} templates of "
            f"{dataset.template_set}; take one below {len(templates)}"
        )
    return templates[number]


def rendered(
    template: Template, dataset: Dataset, id_: str, options: Sequence[str], values: Sequence[str]
) -> tuple[str, str]:
    """The inputs and targets of an example. values are the texts of dataset.fields, in order."""
    fields = dict(zip(dataset.fields, values, strict=True))
    if options:
        fields[OPTIONS] = options_block(options)
    return template.render(fields, id_)
