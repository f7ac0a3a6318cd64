"""Samples: the greedy answers to a few validation examples, always the same ones, as a run trains.

They are made as `tk-instruct predict` makes them, and written to MODEL_DIR/samples.jsonl.
"""

import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tk_instruct import sharding
from tk_instruct.data import pipeline, registry
from tk_instruct.data.tokens import FeatureLengths
from tk_instruct.data.vocabulary import vocabulary
from tk_instruct.inference.checkpoint import Loaded
from tk_instruct.inference.decoding import Greedy
from tk_instruct.inference.generation import decoder
from tk_instruct.journal import Example
from tk_instruct.model import build
from tk_instruct.model.stacking import unstack_layers
from tk_instruct.program import Program
from tk_instruct.randomness import draw
from tk_instruct.run_log import Sample
from tk_instruct.train_run import TrainRun


def chosen(mixture: str, lengths: FeatureLengths, count: int, seed: int) -> list[Example]:
    """The examples of a mixture's validation split that samples are of; fewer if there are fewer.

    They are of as many tasks as possible and, within a task, from as many equal parts of its data.
    Which ones depends on the seed and on how many examples each task has. No others are read.
    """
    files, without = pipeline.open_split(mixture, "validation", lengths)
    names = [task.name for task in registry.tasks_of(mixture) if task.name not in without]
    by_name = dict(zip(names, files, strict=True))
    order = sorted(names, key=lambda name: draw(seed, "samples", name))
    turns = (name for turn in range(count) for name in order if turn < len(by_name[name]))
    examples: list[Example] = []
    for name, of_task in Counter(itertools.islice(turns, count)).items():
        file = by_name[name]
        ends = [len(file) * part // of_task for part in range(of_task + 1)]
        for start, stop in itertools.pairwise(ends):
            found = file[start + draw(seed, "samples", name, str(start)) % (stop - start)]
            examples.append(
                {"id": found.id, "task": name, "inputs": found.inputs, "targets": found.targets}
            )
    return examples


def sampler(run: TrainRun, program: Program) -> Callable[[int, Any], list[Sample]]:
    """A function (step, parameters) → samples of a run, on all devices; compiled once.

    All processes call it. Without samples or without validation it gives [].
    """
    if not (run.num_samples and run.eval_every_steps):
        return lambda step, params: []
    examples = chosen(run.mixture, program.lengths, run.num_samples, run.seed)
    config, text_of = run.model, vocabulary().decode
    texts = [[text_of(e[part].tolist()) for part in ("inputs", "targets")] for e in examples]
    net = build(replace(config, scan_layers=False), run.prompt_length)
    loaded = Loaded(net, None, program.mesh)
    # All in one batch: one shape, and so one compilation.
    shards = sharding.num_row_shards(program.mesh)
    predict = decoder(loaded, Greedy(), program.lengths, -(-len(examples) // shards) * shards)

    def sample(step: int, params: Any) -> list[Sample]:
        loaded.params = unstack_layers(params) if config.scan_layers else params
        rows = itertools.chain.from_iterable(predict(examples))
        answers = {(row["task"], row["id"]): row["prediction"] for row in rows}
        loaded.params = None  # copies must not stay while the run trains
        return [
            Sample(step, e["id"], e["task"], inputs, targets, answers[e["task"], e["id"]])
            for e, (inputs, targets) in zip(examples, texts, strict=True)
        ]

    return sample
