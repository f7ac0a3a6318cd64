"""What a run has made so far, and at what cost: counted and drawn as published."""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from tk_instruct.errors import UserError
from tk_instruct.files import remove, write_atomically
from tk_instruct.self_instruct.answers import yes_or_no
from tk_instruct.self_instruct.dispatch.budget import Tokens
from tk_instruct.self_instruct.dispatch.ledger import charges
from tk_instruct.self_instruct.pool import NoveltyPool, Tokenize, rouge_tokens
from tk_instruct.self_instruct.run_directory import Record, RunDirectory
from tk_instruct.self_instruct.stats.report import Stats, as_html, captions
from tk_instruct.self_instruct.stats.root_verbs import Parsing, RootVerb, root_verbs

FIGURES = ("similarities", "lengths", "root_verbs")

# arXiv:2212.10560, table 1. Upstream counts the instructions that kept an instance.
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

    stats.json is what is returned, report.html has everything in one file, and each figure is a
    PNG; the same records make the same bytes. Where there is no spaCy or no pipeline for it the
    figure of root verbs is left out, and "root_verbs" says why. Raises UserError for a line that
    is not JSON, and where nothing can be written.
    """
    from tk_instruct.self_instruct.stats import figures

    models: set[str] = set()

    def read(stage: str) -> Iterator[Record]:
        for record in run.log(stage).read():
            models.add(record["provenance"]["model"])
            yield record

    seeds = [seed["instruction"] for seed in run.log("seed_tasks").read()]
    instructions = [record["instruction"] for record in read("instructions")]
    classified = [(record["is_classification"], record["answer"]) for record in read("classified")]
    is_classification = [is_one for is_one, _ in classified]
    tasks = [
        {
            name: record[name]
            for name in ("instruction", "is_classification", "instances", "dropped")
        }
        for record in read("instances")
    ]
    kept = [task for task in tasks if task["instances"]]
    instances = [instance for task in kept for instance in task["instances"]]
    lengths = {
        "instruction": num_words(instructions),
        "non-empty input": num_words(i["input"] for i in instances if i["input"].strip()),
        "output": num_words(i["output"] for i in instances),
    }
    similarities = seed_similarities(instructions, seeds, tokenize)
    verbs, why_no_verbs = _root_verbs(instructions, parsing)
    counted: Stats = {
        "models": sorted(models),
        "data": {
            "accepted": _instructions(instructions, is_classification),
            "with_instances": {
                **_instructions(
                    [task["instruction"] for task in kept],
                    [task["is_classification"] for task in kept],
                ),
                "instances": len(instances),
                "with_empty_input": len(instances) - len(lengths["non-empty input"]),
                "mean_words_of_non_empty_input": _mean(lengths["non-empty input"]),
                "mean_words_of_output": _mean(lengths["output"]),
            },
            "published": dict(PUBLISHED),
        },
        "acceptance": {
            "instructions": _acceptance(
                len(instructions),
                (request["dropped"] for request in run.log("instruction_requests").read()),
            ),
            "instances": _acceptance(len(instances), (task["dropped"] for task in tasks)),
        },
        "cost": _cost(run, len(instructions), len(instances)),
        "unclear_answers": sum(yes_or_no(answer) is None for _, answer in classified),
        "mean_rouge_l_to_most_similar_seed": _mean(similarities),
        "root_verbs": [vars(verb) for verb in verbs],
        "why_no_root_verbs": why_no_verbs,
    }
    images = {
        "similarities": figures.similarity_histogram(similarities),
        "lengths": figures.length_histograms(lengths),
    }
    if verbs:
        images["root_verbs"] = figures.root_verb_rings(verbs, captions(counted)["root_verbs"])
    _write(run.path / "stats", counted, images)
    return counted


def seed_similarities(
    instructions: Sequence[str], seeds: Sequence[str], tokenize: Tokenize = rouge_tokens
) -> Float[np.ndarray, " instructions"]:
    """ROUGE-L (fractions) of each instruction to the seed that is most similar to it."""
    pool = NoveltyPool(seeds, tokenize)
    batches = [instructions[i : i + 4096] for i in range(0, len(instructions), 4096)]
    highest = [pool.similarities(batch).max(axis=1, initial=0.0) for batch in batches]
    return np.concatenate([np.zeros(0), *highest])


def num_words(texts: Iterable[str]) -> Int[np.ndarray, " texts"]:
    """Split at white space."""
    return np.array([len(text.split()) for text in texts], np.int64)


def _root_verbs(instructions: Sequence[str], parsing: Parsing) -> tuple[list[RootVerb], str | None]:
    """And, without any, why."""
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
    """A candidate is accepted, or dropped by one rule."""
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
    """In dollars as Charges.usd counts them."""
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
    """stats.json last: where it is, the rest is of the same records."""
    for name in FIGURES:
        if name in images:
            write_atomically(folder / f"{name}.png", images[name])
        else:
            remove(folder / f"{name}.png")
    write_atomically(folder / "report.html", [as_html(counted, images)])
    write_atomically(
        folder / "stats.json", [json.dumps(counted, ensure_ascii=False, indent=2) + "\n"]
    )
