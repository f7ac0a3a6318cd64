"""Evaluates a run's checkpoint, task by task.

Predictions and scores are kept in the run's directory, so an interrupted evaluation continues.
"""

import argparse
import contextlib
import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import msgspec
import numpy as np

from tk_instruct import configuration, distributed, metrics, schema, scored_instances
from tk_instruct.errors import UserError
from tk_instruct.evaluate.output import keep_beside
from tk_instruct.files import Path, inside, write_atomically
from tk_instruct.inference.checkpoint import (
    check_vocabulary,
    identity_of,
    load_checkpoint,
    load_model,
)
from tk_instruct.inference.examples import examples_of
from tk_instruct.journal import Example, Predict, write_rows
from tk_instruct.predictions import read_predictions
from tk_instruct.scored_instances import Scored, as_scores

log = logging.getLogger("tk_instruct")

METHODS = ("generation", "rank")

# Examples and their predicted texts → their scores, and the instances with labels.
Score = Callable[[Sequence[Example], Sequence[str]], Scored]


def _own_options(example: Example) -> Sequence[str]:
    return example["options"]


class Run:
    """A run's checkpoint, its mixture, and its predictions and scores.

    args are those of inference.add_batch_arguments, add_step_argument and of lengths and data.
    """

    def __init__(self, model_dir: Path, args: argparse.Namespace) -> None:
        self._args = args
        self.model_dir = model_dir
        self._checkpoints, self.step, self._about = load_checkpoint(model_dir, args.step)
        configuration.bind_data_arguments(args)
        check_vocabulary(self._about, model_dir)
        self.mixture: str | None = self._about.data.get("mixture")
        self._lengths = configuration.lengths_of(args, self._about.data.get("lengths"))

    def name(self, what: str) -> str:
        """The name of a file of predictions or scores, with step and limit, without suffix."""
        some = f".first{self._args.limit}" if self._args.limit else ""
        return f"{what}-{self.step}{some}"

    def name_of(self, task: str, split: str, method: str) -> str:
        return self.name(f"{task}-{split}") + ".rank" * (method == "rank")

    def scores_of(
        self,
        task: str,
        split: str,
        method: str,
        score: Score,
        options: Callable[[Example], Sequence[str]] = _own_options,
    ) -> Scored | None:
        """The scores of a task. Predicts and writes what the run's directory lacks.

        The first process has the scores, the others None.

        Args:
            method: generation (greedy), or rank (the likeliest option, by summed log-probability).
            options: example → the options that rank chooses from.
        """
        from tk_instruct.data import registry
        from tk_instruct.data.code import code_hash

        (declared,) = registry.tasks_of(task)
        name = self.name_of(task, split, method)
        identity = {
            **identity_of(self._checkpoints, self.step, self._about),
            "task": task,
            "split": split,
            "method": method,
            "limit": self._args.limit,
            "lengths": self._lengths.as_dict(),
            "data": [declared.fingerprint(split)],
            "gin": self._about.gin,
            "code": code_hash(declared.code, more=[metrics.__name__]),
        }
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
        path = inside(self.model_dir, "scores", f"{name}.json")
        output = inside(self.model_dir, "predictions", f"{name}.jsonl")
        done = _kept(path, output, digest) if distributed.is_first_process() else None
        if not distributed.as_first_process_has(np.array(done is None)):
            return done
        examples, _ = examples_of(task, split, self._lengths, self._args.limit)
        if method == "rank":
            from tk_instruct.inference.options import tokenized_options

            chosen_from = [{**example, "options": options(example)} for example in examples]
            examples = tokenized_options(chosen_from, declared.tokenizer())
        write_rows(self._predict[method], examples, output, identity, doing=name)
        if not distributed.is_first_process():
            return None
        answers = {id_: found.text for id_, found in read_predictions(output).items()}
        scored = score(examples, [answers[example["id"]] for example in examples])
        about = msgspec.structs.replace(scored.instances.about, evaluation=digest)
        scored = Scored(scored.scores, replace(scored.instances, about=about))
        for note in keep_beside(output, scored.instances):
            log.warning(note)
        content = {"predicted_by": digest, "num_examples": len(examples)}
        content |= as_scores(scored.estimates())
        write_atomically(path, [json.dumps(content, indent=2) + "\n"])
        return scored

    @cached_property
    def _predict(self) -> dict[str, Predict]:
        """Method → the function that predicts. Loads the model on first use."""
        from tk_instruct.inference.decoding import Greedy
        from tk_instruct.inference.generation import decoder
        from tk_instruct.inference.ranking import ranker

        loaded = load_model(self._checkpoints, self.step, self._about, self._args.num_partitions)
        size = self._args.batch_size
        return {
            "generation": decoder(loaded, Greedy(), self._lengths, size),
            "rank": ranker(loaded, self._lengths, size, length_normalized=False),
        }


def _kept(path: Path, predictions: Path, digest: str) -> Scored | None:
    """The kept scores if all are there and of predictions of this digest, else None."""
    with contextlib.suppress(UserError):
        found = schema.read(path, dict[str, Any])
        instances = scored_instances.kept_of(predictions)
        # Another evaluation of the same predictions may have replaced the instances' scores.
        evaluation = instances.about.evaluation if instances else ""
        if instances and found.get("predicted_by") == evaluation == digest:
            names = [name for name in instances.values if name != scored_instances.MAIN]
            scores = {name: found.get(name) for name in names}
            return Scored(schema.convert(scores, dict[str, float], str(path)), instances)
    return None
