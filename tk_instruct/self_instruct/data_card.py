"""DATA_CARD.md: what the generated data is, how it was made, and its known limits."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tk_instruct.completions.dispatch.ledger import charges
from tk_instruct.self_instruct.clients import SCRIPTED
from tk_instruct.self_instruct.encodings import Example
from tk_instruct.self_instruct.run_directory import RunDirectory
from tk_instruct.self_instruct.stats import PUBLISHED, num_words

_STAGES = ("instructions", "classified", "instances")

_ABOUT = """\
# Generated instruction data

{meaning}Instructions with inputs and outputs that a language model has written, prompted with
seed tasks and with its own instructions (Self-Instruct, arXiv:2212.10560), by
`tk-instruct self-instruct`. `train.jsonl` is encoded for training, `alpaca.jsonl` and `chat.jsonl`
hold the same examples in the same order, `all_generated_instances.jsonl` what the model alone made.
"""

_LIMITS = """\
## Known limits
- No person has reviewed it. Of 200 instructions of the published data, which GPT-3 generated, a
  reviewer found 92 % to describe a valid task, 79 % of the inputs to be appropriate, 58 % of the
  outputs to be acceptable, and all three to be right of 54 % (arXiv:2212.10560, table 2).
- What the model believes wrongly, its biases and what it has memorised are in it.
- Instructions are unlike each other in words (ROUGE-L), which says little of how alike they are in
  what they ask.
- Instances that are there twice were looked for both before they were encoded and after; the
  published data was only looked through after.
- GPT-3's end-of-text mark, with which published completions end, is left to the trainer.
"""


def text(
    run: RunDirectory,
    begun_with: Mapping[str, Any],
    generated: Sequence[Example],
    train: Sequence[Example],
    dropped: Mapping[str, int],
    licence: str | None,
) -> str:
    """The card. The same run gives the same text: its dates are those of the records.

    Args:
        begun_with: the settings in run.json.
        generated: the examples that the model made.
        train: the examples of train.jsonl.
        dropped: by rule, the number of instances that were not prepared.
        licence: the text of its section; None: a note that it is to be filled in.
    """
    made = _Made(run)
    return "\n".join(
        (
            _ABOUT.format(meaning=_meaning(made)),
            _how(run, begun_with, made),
            _counts(generated, train),
            _left_out(run, dropped),
            _cost(run),
            _licence(licence),
            _LIMITS,
        )
    )


def _read(run: RunDirectory, name: str) -> Iterable[Any]:
    return run.log(name).read()


class _Made:
    """Who made the records of the stages, and when.

    Attributes:
        by: the number of records by (stage, model, request parameters).
        first, last: the times of the first and the last record.
    """

    def __init__(self, run: RunDirectory) -> None:
        self.by: Counter[tuple[str, str, str]] = Counter()
        self.first, self.last = "", ""
        for stage in _STAGES:
            for record in _read(run, stage):
                provenance = record["provenance"]
                parameters = json.dumps(provenance["parameters"], sort_keys=True)
                self.by[stage, provenance["model"], parameters] += 1
                when = provenance["created_at"]
                self.first, self.last = min(self.first or when, when), max(self.last, when)


def _meaning(made: _Made) -> str:
    num_scripted = sum(n for (_, model, _), n in made.by.items() if model == SCRIPTED)
    if not num_scripted:
        return ""
    total = made.by.total()
    share = "All of it" if num_scripted == total else f"{num_scripted / total:.0%} of it"
    return (
        f"**{share} was made by the scripted client, not by a language model: that text means "
        "nothing, and a model that is trained on it learns nothing but its form.**\n\n"
    )


def _how(run: RunDirectory, begun_with: Mapping[str, Any], made: _Made) -> str:
    num_seeds = sum(1 for _ in _read(run, "seed_tasks"))
    return _section(
        "How it was made",
        _markdown(
            ("records", "model", "number", "request parameters"),
            [
                (f"{stage}.jsonl", model, f"{number:,}", f"`{parameters}`")
                for (stage, model, parameters), number in made.by.items()
            ],
        ),
        f"From {num_seeds:,} seed tasks, between {made.first} and {made.last}.",
        "The run was begun with",
        "\n".join(
            f"- {name}: `{json.dumps(value, ensure_ascii=False)}`"
            for name, value in sorted(begun_with.items())
        ),
    )


def _counts(generated: Sequence[Example], train: Sequence[Example]) -> str:
    names = (  # in the order of PUBLISHED
        "instructions",
        "of which classification",
        "of which not",
        "instances",
        "of which with empty input",
        "mean words of an instruction",
        "mean words of an input that is not empty",
        "mean words of an output",
    )
    published = [f"{value:,}" for value in PUBLISHED.values()]
    return _section(
        "Counts",
        _markdown(
            ("", "generated", "train.jsonl", "published (GPT-3)"),
            list(zip(names, _figures(generated), _figures(train), published, strict=True)),
        ),
    )


def _figures(examples: Sequence[Example]) -> list[str]:
    instructions = {example.instruction: example.is_classification for example in examples}
    num_classification = sum(instructions.values())
    inputs = [example.input for example in examples if example.input]
    counts = (
        len(instructions),
        num_classification,
        len(instructions) - num_classification,
        len(examples),
        len(examples) - len(inputs),
    )
    outputs = [example.output for example in examples]
    return [
        *(f"{count:,}" for count in counts),
        *(_mean_words(texts) for texts in (instructions, inputs, outputs)),
    ]


def _mean_words(texts: Iterable[str]) -> str:
    lengths = num_words(texts)
    return f"{lengths.mean():.1f}" if len(lengths) else "–"


def _left_out(run: RunDirectory, dropped: Mapping[str, int]) -> str:
    """The number of dropped items by step and rule."""
    rows = [
        (step, rule, f"{number:,}")
        for step, counts in (
            ("instructions", _summed(run, "instruction_requests")),
            ("instances", _summed(run, "instances")),
            ("prepared", dropped),
        )
        for rule, number in sorted(counts.items())
        if number
    ]
    return _section(
        "What was left out", _markdown(("step", "rule", "dropped"), rows) if rows else "Nothing."
    )


def _summed(run: RunDirectory, name: str) -> Counter[str]:
    counts: Counter[str] = Counter()
    for record in _read(run, name):
        counts.update(record.get("dropped") or {})
    return counts


def _cost(run: RunDirectory) -> str:
    charged = charges(_read(run, "ledger"), _read(run, "responses"))
    if not charged.answered:
        return _section("Cost", "No responses are kept with this run.")
    counted = [(stage, n, charged.answered[stage]) for stage, n in charged.num_requests.items()]
    counted.append(("perhaps paid, not answered", 0, charged.unanswered))
    counted.append(("together", sum(charged.num_requests.values()), charged.total))
    rows = [
        (
            stage,
            f"{n:,}",
            f"{tokens.prompt:,}",
            f"{tokens.completion:,}",
            "–" if (usd := charged.usd(tokens)) is None else f"{usd:.2f}",
        )
        for stage, n, tokens in counted
    ]
    return _section(
        "Cost",
        _markdown(("stage", "responses", "prompt tokens", "completion tokens", "dollars"), rows),
    )


def _licence(licence: str | None) -> str:
    return _section(
        "Licence",
        licence
        or "**To be filled in** (`--licence TEXT`). What a model has written is under the terms of "
        "its provider, which may forbid to train models that compete with it: check them first.",
        "Seed tasks of this project are under Apache-2.0, as it is, others under their own.",
    )


def _section(title: str, *paragraphs: str) -> str:
    return "\n".join((f"## {title}", "\n\n".join(paragraphs), ""))


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def line(cells: Sequence[str]) -> str:
        escaped = (cell.replace("|", "\\|") for cell in cells)
        return f"| {' | '.join(escaped)} |"

    return "\n".join((line(head), "|---" * len(head) + "|", *map(line, rows)))
