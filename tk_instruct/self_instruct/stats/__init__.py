"""Statistics and figures of a run's data so far, and its cost, as in the paper."""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from tk_instruct.completions.dispatch.budget import Tokens
from tk_instruct.completions.dispatch.ledger import charges
from tk_instruct.errors import UserError
from tk_instruct.files import remove, write_atomically
from tk_instruct.self_instruct.answers import yes_or_no
from tk_instruct.self_instruct.pool import NoveltyPool, Tokenize, rouge_tokens
from tk_instruct.self_instruct.run_directory import Record, RunDirectory
from tk_instruct.self_instruct.stats import histograms
from tk_instruct.self_instruct.stats.report import Stats, as_html, captions
from tk_instruct.self_instruct.stats.root_verbs import Parsing, RootVerb, root_verbs

FIGURES = ("similarities", "lengths", "root_verbs")

# arXiv:2212.10560, table 1, which counts only instructions with an instance.
PUBLISHED: Mapping[str, float] = {
    "instructions": 52_445,
    "classification": 11_584,
    "not_classification": 40_861,
    "instances": 82_439,
    "with_empty_input": 35_878,
    "mean_words_of_instruction": 15.9,
    "mean_words_of_non_empty_input": 12.7,
    "mean_words_of_output": 18.9,
}


def stats(run: RunDirectory, parsing: Parsing, tokenize: Tokenize = rouge_tokens) -> Stats:
    """Counts and draws what the stages have made so far; writes it to stats/ of the directory.

    stats.json is the result, report.html shows all of it, and each figure is also a PNG. The same
    records give the same bytes. Without spaCy, or a pipeline for it, there is no figure of root
    verbs, and "why_no_root_verbs" says why. Raises UserError for a line that is not JSON, and
    where nothing can be written.
    """
    from tk_instruct.self_instruct.stats import figures

    made = _made(run)
    similarities = seed_similarities(made.instructions, made.seeds, tokenize)
    lengths = {
        "instruction": num_words(made.instructions),
        "non-empty input": num_words(made.inputs),
        "output": num_words(made.outputs),
    }
    verbs, why_no_verbs = _root_verbs(made.instructions, parsing)
    counted: Stats = {
        "models": made.models,
        "data": _data(made),
        "acceptance": {
            "instructions": _acceptance(
                len(made.instructions),
                (request["dropped"] for request in run.log("instruction_requests").read()),
            ),
            "instances": _acceptance(len(made.instances), (task["dropped"] for task in made.tasks)),
        },
        "cost": _cost(run, len(made.instructions), len(made.instances)),
        "unclear_answers": sum(yes_or_no(answer) is None for _, answer in made.classified),
        "mean_rouge_l_to_most_similar_seed": _mean(similarities),
        "root_verbs": [vars(verb) for verb in verbs],
        "why_no_root_verbs": why_no_verbs,
        "similarities": histograms.of_similarities(similarities),
        "lengths": {what: histograms.of_lengths(words) for what, words in lengths.items()},
    }
    images = {
        "similarities": figures.similarity_histogram(similarities),
        "lengths": figures.length_histograms(lengths),
    }
    if verbs:
        images["root_verbs"] = figures.root_verb_rings(verbs, captions(counted)["root_verbs"])
    _write(run.path / "stats", counted, images)
    return counted


@dataclass(frozen=True)
class _Made:
    """What the records of the stages hold.

    Attributes:
        seeds: the instructions of the seed tasks.
        classified: (is classification, answer) of each instruction of stage 2.
        tasks: the records of stage 3.
    """

    models: Sequence[str]
    seeds: Sequence[str]
    instructions: Sequence[str]
    classified: Sequence[tuple[bool, str]]
    tasks: Sequence[Record]

    @property
    def tasks_with_instances(self) -> list[Record]:
        return [task for task in self.tasks if task["instances"]]

    @property
    def instances(self) -> list[Record]:
        return [instance for task in self.tasks for instance in task["instances"]]

    @property
    def inputs(self) -> list[str]:
        """The inputs that are not empty."""
        return [each["input"] for each in self.instances if each["input"].strip()]

    @property
    def outputs(self) -> list[str]:
        return [each["output"] for each in self.instances]


def _made(run: RunDirectory) -> _Made:
    models: set[str] = set()

    def read(stage: str) -> Iterator[Record]:
        for record in run.log(stage).read():
            models.add(record["provenance"]["model"])
            yield record

    fields = ("instruction", "is_classification", "instances", "dropped")
    seeds = [seed["instruction"] for seed in run.log("seed_tasks").read()]
    instructions = [record["instruction"] for record in read("instructions")]
    classified = [(record["is_classification"], record["answer"]) for record in read("classified")]
    tasks = [{field: record[field] for field in fields} for record in read("instances")]
    return _Made(sorted(models), seeds, instructions, classified, tasks)


def _data(made: _Made) -> Stats:
    kept = made.tasks_with_instances
    return {
        "accepted": _instructions(
            made.instructions, [is_classification for is_classification, _ in made.classified]
        ),
        "with_instances": {
            **_instructions(
                [task["instruction"] for task in kept],
                [task["is_classification"] for task in kept],
            ),
            "instances": len(made.instances),
            "with_empty_input": len(made.instances) - len(made.inputs),
            "mean_words_of_non_empty_input": _mean(num_words(made.inputs)),
            "mean_words_of_output": _mean(num_words(made.outputs)),
        },
        "published": dict(PUBLISHED),
    }


def seed_similarities(
    instructions: Sequence[str], seeds: Sequence[str], tokenize: Tokenize = rouge_tokens
) -> Float[np.ndarray, " instructions"]:
    """ROUGE-L (fractions) of each instruction to the seed most similar to it."""
    pool = NoveltyPool(seeds, tokenize)
    batches = [instructions[i : i + 4096] for i in range(0, len(instructions), 4096)]
    highest = [pool.similarities(batch).max(axis=1, initial=0.0) for batch in batches]
    return np.concatenate([np.zeros(0), *highest])


def num_words(texts: Iterable[str]) -> Int[np.ndarray, " texts"]:
    """The number of words, separated by white space, of each text."""
    return np.array([len(text.split()) for text in texts], np.int64)


def _root_verbs(instructions: Sequence[str], parsing: Parsing) -> tuple[list[RootVerb], str | None]:
    """The root verbs or, if there are none, the reason."""
    try:
        verbs = root_verbs(instructions, parsing)
    except UserError as error:
        return [], str(error)
    return verbs, None if verbs else "no instruction has a root verb with a direct object"


def _instructions(texts: Sequence[str], is_classification: Collection[bool]) -> Stats:
    num_classification = sum(is_classification)
    return {
        "instructions": len(texts),
        "classification": num_classification,
        "not_classification": len(is_classification) - num_classification,
        "mean_words_of_instruction": _mean(num_words(texts)),
    }


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) else None


def _acceptance(num_accepted: int, dropped_each: Iterable[Mapping[str, int]]) -> Stats:
    """Each candidate is either accepted or dropped by one rule."""
    dropped = Counter[str]()
    for counts in dropped_each:
        dropped.update(counts)
    by_count = sorted(dropped.items(), key=lambda item: (-item[1], item[0]))
    return {
        "candidates": num_accepted + dropped.total(),
        "accepted": num_accepted,
        "dropped": {rule: count for rule, count in by_count if count},
    }


def _cost(run: RunDirectory, num_instructions: int, num_instances: int) -> Stats:
    """Requests, tokens and dollars by stage; dollars as Charges.usd counts them."""
    charged = charges(run.log("ledger").read(), run.log("responses").read())

    def row(num_requests: int, tokens: Tokens) -> Stats:
        return {
            "requests": num_requests,
            "prompt_tokens": tokens.prompt,
            "completion_tokens": tokens.completion,
            "usd": charged.usd(tokens),
        }

    total = row(sum(charged.num_requests.values()), charged.total)
    return {
        "stages": {
            stage: row(number, charged.answered[stage])
            for stage, number in charged.num_requests.items()
        },
        "unanswered": row(0, charged.unanswered),
        "total": total,
        "usd_per_accepted_instruction": _ratio(total["usd"], num_instructions),
        "usd_per_instance": _ratio(total["usd"], num_instances),
    }


def _ratio(amount: float | None, number: int) -> float | None:
    return amount / number if amount is not None and number else None


def _write(folder: Path, counted: Stats, images: Mapping[str, bytes]) -> None:
    """Writes stats.json last: if it is there, the other files are of the same records."""
    for name in FIGURES:
        if name in images:
            write_atomically(folder / f"{name}.png", images[name])
        else:
            remove(folder / f"{name}.png")
    write_atomically(folder / "report.html", [as_html(counted, images)])
    write_atomically(
        folder / "stats.json", [json.dumps(counted, ensure_ascii=False, indent=2) + "\n"]
    )
