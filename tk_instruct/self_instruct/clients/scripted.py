"""A client without a model, for first trials and for tests.

A small grammar makes up the answers. They have the form of a language model's answers, with the
mistakes that language models make, so that every filter has work; they mean nothing.
"""

import math
import random
import re
from collections.abc import Callable, Mapping
from typing import TypeVar

from tk_instruct import randomness
from tk_instruct.completions import Completion, Request, before_stop
from tk_instruct.errors import UserError
from tk_instruct.self_instruct.clients import SCRIPTED
from tk_instruct.self_instruct.clients.grammar import GRAMMAR, expand, sentence

T = TypeVar("T")

_TOKENS_PER_WORD = 4 / 3  # about what English has in OpenAI's vocabularies

# Kinds of items, and how many of a hundred are of each kind.
_INSTRUCTIONS = {
    "instruction": 68,
    "classification": 20,
    "copy": 3,
    "near copy": 3,
    "unsuitable": 2,
    "program": 1.5,
    "short": 1,
    "bullet": 0.5,
    "foreign": 0.5,
    "long": 0.5,
    "endless": 0.3,
}
_EXAMPLES = {
    "good": 90,
    "repeated": 2,
    "contradicted": 2,
    "echo": 2,
    "empty": 2,
    "announced": 1.5,
    "long": 0.5,
}
_UNCLEAR = 0.01  # the share of answers to a yes-or-no question that are neither
_NUM_EXAMPLES = {1: 55, 2: 22, 3: 10, 4: 6, 5: 4, 6: 2, 7: 1}

_CLASSIFICATION = re.compile(
    r"(decide (whether|if)|classify|is this|which .{,30} does the given|label each|tell if|"
    r"choose the category|true or false)\b",
    re.IGNORECASE,
)
_NEEDS_INPUT = re.compile(r"\b(following|given|below|this|here is|each)\b", re.IGNORECASE)


class ScriptedClient:
    """Completes the prompts of the three stages, which it tells apart by how they end.

    The answer is a pure function of the request. Every 3/4 of a word counts as a token.
    """

    model = SCRIPTED

    def complete(self, request: Request, idempotency_key: str) -> Completion:
        """Raises UserError for a prompt that is of no stage."""
        rng = random.Random(randomness.draw(0, "scripted", request.key))
        text = before_stop(_answer(request.prompt, rng), request.parameters.stop)
        words = list(re.finditer(r"\S+", text))
        most_words = max(1, int(request.parameters.max_tokens / _TOKENS_PER_WORD))
        is_cut = len(words) > most_words
        if is_cut:
            text = text[: words[most_words - 1].end()]
        return Completion(
            text,
            "length" if is_cut else "stop",
            self.model,
            prompt_tokens=_num_tokens(request.prompt),
            completion_tokens=_num_tokens(text),
        )

    def close(self) -> None:
        pass


def _num_tokens(text: str) -> int:
    return math.ceil(len(text.split()) * _TOKENS_PER_WORD)


def _answer(prompt: str, rng: random.Random) -> str:
    *before, last = prompt.strip().rsplit("\n", 2)
    if number := re.fullmatch(r"(\d+)\.", last):
        return _list(prompt, int(number[1]), rng)
    if last.startswith("Task:"):
        is_output_first = prompt.rfind("\nClass label:") > prompt.rfind("\nOutput:")
        return (_labelled if is_output_first else _examples)(last.removeprefix("Task:"), rng)
    if before and before[-1].startswith("Task:") and last.endswith("?"):
        return _yes_or_no(before[-1].removeprefix("Task:"), rng)
    raise UserError(
        f"a prompt that ends with {last!r:.80} cannot be answered by the scripted client: it "
        "knows lists that end with a number, tasks, and questions after a task; take another client"
    )


def _drawn(weights: Mapping[T, float], rng: random.Random) -> T:
    return rng.choices(list(weights), list(weights.values()))[0]


def _list(prompt: str, first: int, rng: random.Random) -> str:
    """Numbered instructions that continue the prompt's list."""
    seen = re.findall(r"^\d+\. *(.+)$", prompt, re.MULTILINE)
    new: list[str] = []
    while len(new) < 8:  # the published stop sequences leave seven of them
        new.append(_instruction(_drawn(_INSTRUCTIONS, rng), seen + new, rng))
    numbered = (f"{number}. {text}" for number, text in enumerate(new, first))
    return "\n".join(numbered).removeprefix(f"{first}.")


def _instruction(kind: str, seen: list[str], rng: random.Random) -> str:
    """An instruction of a kind; a copy is of one that was seen."""
    match kind:
        case "copy" if seen:
            return rng.choice(seen)
        case "near copy" if seen:
            words = rng.choice(seen).split()
            words[rng.randrange(len(words))] = rng.choice(GRAMMAR["subject"])
            return " ".join(words)
        case "long":
            return " ".join(sentence("instruction", rng) for _ in range(20))
        case "endless":
            return " ".join([sentence("instruction", rng)] * 1000)
        case "copy" | "near copy":
            return sentence("instruction", rng)
    return sentence(kind, rng)


def _yes_or_no(instruction: str, rng: random.Random) -> str:
    if rng.random() < _UNCLEAR:
        return f" {expand('{unclear}', rng)}\n"
    return " Yes\n" if _CLASSIFICATION.match(instruction.strip()) else " No\n"


def _examples(instruction: str, rng: random.Random) -> str:
    """Examples: the input, field by field, then the output; or an output alone."""
    pairs = _pairs(lambda: _statements(rng.randint(1, 2), rng), rng)
    if not _NEEDS_INPUT.search(instruction):
        return f"Output: {pairs[0][1]}\n\nTask:"
    examples = (
        f"Example {number}\n{given}\nOutput: {output}\n"
        for number, (given, output) in enumerate(pairs, 1)
    )
    return "".join(examples) + "\nTask:"


def _labelled(instruction: str, rng: random.Random) -> str:
    """Examples: the label, then the input, field by field."""
    named = [label for label in GRAMMAR["label"] if re.search(rf"\b{label}\b", instruction)]
    labels = named or rng.sample(GRAMMAR["label"], 3)
    pairs = _pairs(lambda: rng.choice(labels).capitalize(), rng)
    return "".join(f"Class label: {label}\n{given}\n" for given, label in pairs) + "\nTask:"


def _pairs(new_output: Callable[[], str], rng: random.Random) -> list[tuple[str, str]]:
    """(input, output) of each example of a task."""
    pairs: list[tuple[str, str]] = []
    for _ in range(_drawn(_NUM_EXAMPLES, rng)):
        pairs.append(_pair(_drawn(_EXAMPLES, rng), pairs, new_output, rng))
    return pairs


def _pair(
    kind: str, before: list[tuple[str, str]], new_output: Callable[[], str], rng: random.Random
) -> tuple[str, str]:
    names = rng.sample(GRAMMAR["field"], rng.choice([1, 1, 2]))
    given = "\n".join(f"{name}: {_statements(rng.randint(1, 3), rng)}" for name in names)
    match kind:
        case "repeated" if before:
            return before[-1]
        case "contradicted" if before:
            return before[-1][0], new_output()
        case "echo":
            text = _statements(1, rng)
            return text, text
        case "empty":
            return given, ""
        case "announced":
            return given, sentence("announcement", rng)
        case "long":
            return given, _statements(25, rng)
    return given, new_output()


def _statements(count: int, rng: random.Random) -> str:
    return " ".join(sentence("statement", rng) for _ in range(count))
