"""The options of examples, of which the likeliest is predicted."""

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from tk_instruct.errors import UserError
from tk_instruct.journal import Example, Row, row_of

if TYPE_CHECKING:
    from tk_instruct.data.tokenization import Tokenizer
    from tk_instruct.data.tokens import FeatureLengths


def with_options(
    examples: Sequence[Example],
    otherwise: Sequence[str],
    lengths: "FeatureLengths",
    tokenizer: "Tokenizer",
) -> list[Example]:
    """Each example with its options and, as option_tokens, their tokens up to and including EOS.

    Raises UserError for an example without options and for options that cannot be told apart, are
    empty or too long.
    """
    if otherwise and examples and all(example.get("options") for example in examples):
        raise UserError(
            f"--option={otherwise[0]} is for examples without options, and all of these have "
            "some; leave it out"
        )
    if otherwise:  # a task's example without options may have an empty list of them
        examples = [e if e.get("options") else {**e, "options": otherwise} for e in examples]
    for example in examples:
        where = f"example {example['id']!r}"
        if "options" not in example:
            raise UserError(
                f"{where} has no options to choose from; give two --option TEXT or more"
            )
        check_options(example["options"], where)
    complete = tokenized_options(examples, tokenizer)
    for example in complete:
        for option, ids in zip(example["options"], example["option_tokens"], strict=True):
            if len(ids) > lengths.targets:
                raise UserError(
                    f"example {example['id']!r}: option {option!r:.60} has {len(ids)} tokens, EOS "
                    f"included, and targets have at most {lengths.targets}; give "
                    f"--max_target_tokens={len(ids)}"
                )
    return complete


def tokenized_options(examples: Sequence[Example], tokenizer: "Tokenizer") -> list[Example]:
    """Each example with option_tokens, its options' tokens up to and including EOS."""
    from tk_instruct.data.vocabulary import vocabulary

    loaded = vocabulary()
    encode = lru_cache(maxsize=1 << 12)(lambda text: [*tokenizer.encode(text), loaded.eos_id])
    return [
        {
            **example,
            "options": list(example["options"]),
            "option_tokens": [encode(option) for option in example["options"]],
        }
        for example in examples
    ]


def check_options(options: Any, where: str) -> None:
    """Raises UserError unless they are at least two texts that are not empty."""
    if not isinstance(options, Sequence) or isinstance(options, str) or len(options) < 2:
        raise UserError(
            f"{where}: options={options!r:.60} must be at least 2 texts; add what lacks"
        )
    for option in options:
        if not isinstance(option, str) or not option.strip():
            raise UserError(f"{where}: option {option!r} must be a text that is not empty; name it")


def joined(prompt: str, option: str) -> str:
    """A prompt that a decoder-only model continues, with an option as the continuation.

    Between them is a space, as in lm-evaluation-harness, unless the prompt ends in white space.
    """
    return prompt + option if prompt[-1:].isspace() else f"{prompt} {option}"


def ranked(example: Example, scores: Sequence[float]) -> Row:
    """The row of an example whose options have these scores. The first of the best is predicted."""
    best = example["options"][scores.index(max(scores))]
    return row_of(example, best, options=example["options"], scores=list(scores))
