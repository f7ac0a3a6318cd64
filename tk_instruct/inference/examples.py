"""The examples that are predicted or ranked: those of a task, or of a file."""

import hashlib
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from tk_instruct import schema
from tk_instruct.errors import UserError
from tk_instruct.files import Path, read_bytes
from tk_instruct.journal import Example

if TYPE_CHECKING:
    from tk_instruct.data.tokenization import Tokenizer
    from tk_instruct.data.tokens import FeatureLengths


def examples_of(
    task: str,
    split: str,
    lengths: "FeatureLengths",
    limit: int | None,
    limit_per_task: int | None = None,
) -> tuple[list[Example], list[str]]:
    """The first examples of a task or mixture, and the fingerprints of its tasks' data.

    limit: of them all. limit_per_task: of each task of a mixture and, within a task that is made of
    many, of each that its examples name.
    """
    from tk_instruct.data import registry

    tasks = registry.tasks_of(task)
    parts = (_first(part.examples(split, lengths), limit_per_task) for part in tasks)
    examples: list[Example] = list(itertools.islice(itertools.chain.from_iterable(parts), limit))
    return examples, [part.fingerprint(split) for part in tasks]


def with_prompts(
    examples: Sequence[Example],
    lengths: "FeatureLengths",
    tokenizer: "Tokenizer",
    inputs_have_eos: bool = True,
) -> list[Example]:
    """Each example with its `prompt`: the text that its token ids are of, cut where they are cut.

    So all systems read the same, whatever their own tokenizers.
    """
    from tk_instruct.data.tokenization import Budget
    from tk_instruct.data.vocabulary import vocabulary

    budget = Budget(tokenizer, lengths.inputs - inputs_have_eos)
    decode = vocabulary().decode

    def prompt(example: Example) -> str:
        text = example.get("inputs_pretokenized")
        if text is None:  # a task of SeqIO that keeps no texts
            return decode(example["inputs"].tolist())
        return str(text) if len(example["inputs"]) < lengths.inputs else budget.cut(str(text))

    return [{**example, "prompt": prompt(example)} for example in examples]


def _first(examples: Iterator[Example], limit_per_task: int | None) -> Iterator[Example]:
    counts: Counter[str] = Counter()
    for example in examples:
        counts[example["task"]] += 1
        if limit_per_task is None or counts[example["task"]] <= limit_per_task:
            yield example


class _Example(msgspec.Struct, frozen=True):
    """A line of --examples."""

    id: str
    inputs: str
    options: list[str] | None = None
    task: str | None = None


def read_examples(
    path: Path,
    lengths: "FeatureLengths",
    limit: int | None,
    tokenizer: "Tokenizer",
    inputs_have_eos: bool = True,
) -> tuple[list[Example], list[str]]:
    """Examples of a file, tokenised, and the fingerprint of its bytes."""
    from tk_instruct.data.vocabulary import vocabulary

    examples: list[Example] = []
    content = read_bytes(path)
    end = [vocabulary().eos_id] if inputs_have_eos else []
    for _, line in schema.parse_lines(content, _Example, path):
        tokens = tokenizer.encode(line.inputs)[: lengths.inputs - len(end)]
        inputs = np.array([*tokens, *end], np.int32)
        own = {} if line.options is None else {"options": line.options}
        of = {"id": line.id, "task": line.task or path.stem, "inputs_pretokenized": line.inputs}
        examples.append({**of, "inputs": inputs, **own})
        if len(examples) == limit:
            break
    if not examples:
        raise UserError(f"{path} holds no examples; write one JSON object a line")
    return examples, [hashlib.sha256(content).hexdigest()]
