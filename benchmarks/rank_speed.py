"""What ranking costs beside its two parts: encoding the inputs once, and decoding the options.

    python benchmarks/rank_speed.py --vocabulary spiece.model
    python benchmarks/rank_speed.py --vocabulary spiece.model --size small --examples 50

T5 1.1 in float32 with random weights, and synthetic rows of about RTE's length under ten prompts,
which have two choices each. A round goes through all of them:

    encoding    the encoder alone, once for each input, in the same batches
    decoding    the choices given encoded inputs: keys and values of cross-attention, decoder,
                softmax over the vocabulary
    ranking     as `tk-instruct evaluate --suite p3` does: rows are read and rendered, prompts are
                tokenised, choices are scored, predictions and scores are written

Each is a process of its own; they are warmed up with one round, which compiles, and then take
turns. Printed are medians of the rounds, and ranking / (encoding + decoding). The processor time of
all threads is less disturbed by other processes of the machine.
"""

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

sys.path.append(str(Path(__file__).parent.parent))
from benchmarks import _interleaved
from benchmarks._interleaved import System
from tk_instruct.tables import table

NUM_PROMPTS = 10
BATCH_SIZE = 32
SPLIT = "validation"
# Words of a premise: the logarithm's mean and standard deviation.
PREMISE_WORDS = (3.6, 0.6)
WORDS = (
    "the a of in and to said was on that for with by at from people government company year city "
    "new president million after country police who has will more not been had first bank world "
    "officials group market state war program research water minister report school family"
)
CHOICES = ("Yes ||| No", "True ||| False", "it does ||| it does not", "Yes ||| No")


def write_data(folder: Path, num_examples: int) -> None:
    """Rows with RTE's columns, and a tree of ten prompts."""
    draw, words = random.Random(0), WORDS.split()

    def text(count: int) -> str:
        return " ".join(draw.choices(words, k=count)).capitalize() + "."

    def row(number: int) -> dict[str, Any]:
        premise = min(200, max(8, round(draw.lognormvariate(*PREMISE_WORDS))))
        return {"premise": text(premise), "hypothesis": text(9), "idx": number, "label": number % 2}

    place = folder / "data" / "super_glue" / "rte"
    place.mkdir(parents=True)
    for split, count in {"train": 16, SPLIT: num_examples}.items():
        lines = [json.dumps(row(number)) + "\n" for number in range(count)]
        (place / f"{split}.jsonl").write_text("".join(lines))
    lines = ["dataset: super_glue", "subset: rte", "templates:"]
    for number in range(NUM_PROMPTS):
        asked = "Is the second certain, given the first? " * (1 + number % 3)
        jinja = f"{{{{ premise }}}} {asked}{{{{ hypothesis }}}} ||| {{{{ answer_choices[label] }}}}"
        lines += [
            f"  p{number}: !Template",
            f"    id: p{number}",
            f"    name: prompt {number}",
            f"    jinja: '{jinja}'",
            f"    answer_choices: '{CHOICES[number % len(CHOICES)]}'",
            "    metadata: !TemplateMetadata {original_task: true}",
        ]
    place = folder / "tree" / "super_glue" / "rte"
    place.mkdir(parents=True)
    (place / "templates.yaml").write_text("\n".join(lines))


def write_run(folder: Path, size: str, vocabulary: str) -> None:
    """A run of one step, whose weights are as good as random."""
    from tk_instruct import cli

    settings = {
        "MODEL_DIR": folder / "run",
        "MIXTURE_OR_TASK_NAME": "p3_super_glue_rte_prompt_0",
        "TASK_FEATURE_LENGTHS": {"inputs": 512, "targets": 16},
        "VOCAB_SIZE": 32128,
        "BATCH_SIZE": 2,
        "TRAIN_STEPS": 1,
        "CHECKPOINT_PERIOD": 1,
    }
    command = [
        *("train", "--gin_file=recipes/smoke_p3.gin", f"--gin_file=models/t5_1_1_{size}.gin"),
        *(f"--gin.{name}={value}" for name, value in settings.items()),
        *(f"--p3_data={folder / 'data'}", f"--p3_templates={folder / 'tree'}"),
        f"--vocabulary={vocabulary}",
    ]
    if cli.main(command):
        sys.exit("the run could not be made")


def open_run(folder: Path) -> tuple[Any, list[Any]]:
    """The run, as `evaluate` opens it, and its prompts."""
    from tk_instruct import configuration
    from tk_instruct.evaluate.of_run import Run
    from tk_instruct.files import Path as AnyPath
    from tk_instruct.tasks.p3 import evaluate, protocol

    parser = argparse.ArgumentParser()
    evaluate.add_arguments(parser)
    configuration.add_data_arguments(parser)
    args = parser.parse_args([f"--batch_size={BATCH_SIZE}"])
    configuration.import_declarations(args.modules)
    run = Run(AnyPath(str(folder / "run")), args)
    return run, protocol.rows_of("super_glue/rte", SPLIT)["super_glue/rte"]


def batches_of(run: Any, prompts: list[Any]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Inputs and options of all prompts, in the batches in which they are ranked."""
    from tk_instruct.data import registry
    from tk_instruct.inference import ranking
    from tk_instruct.inference.batches import batches
    from tk_instruct.inference.examples import examples_of
    from tk_instruct.inference.options import tokenized_options

    for prompt in prompts:
        examples, _ = examples_of(prompt.of.task, SPLIT, run._lengths, None)
        (task,) = registry.tasks_of(prompt.of.task)
        tokenized = tokenized_options(examples, task.tokenizer())
        for (num_options, length), group in ranking._by_shape(tokenized).items():
            for batch, tokens in batches(group, BATCH_SIZE, run._lengths.inputs):
                options = np.zeros((len(tokens), num_options, length), np.int32)
                for row, example in zip(options, batch, strict=False):
                    for each, ids in zip(row, example["option_tokens"], strict=False):
                        each[: len(ids)] = ids
                yield tokens, options


def loaded_of(run: Any) -> Any:
    from tk_instruct.inference.checkpoint import load_model

    return load_model(run._checkpoints, run.step, run._about)


def encode(net: Any, params: Any, tokens: Any) -> Any:
    segment_ids = (tokens > 0).astype(np.int32)
    return net.apply({"params": params}, tokens, segment_ids, True, method="encode")


def encoding(folder: Path) -> tuple[Callable[[], None], str]:
    """The encoder alone."""
    import jax

    run, prompts = open_run(folder)
    loaded, inputs = loaded_of(run), [tokens for tokens, _ in batches_of(run, prompts)]
    function = jax.jit(partial(encode, loaded.model))

    def do_round() -> None:
        for tokens in inputs:
            jax.block_until_ready(function(loaded.params, tokens))

    return do_round, json.dumps(amounts_of(run, prompts, inputs))


def decoding(folder: Path) -> tuple[Callable[[], None], str]:
    """option_scores, with given values in place of the encoder's."""
    import jax
    from flax import linen as nn

    from tk_instruct.model.decode import option_scores

    run, prompts = open_run(folder)
    loaded, parts = loaded_of(run), list(batches_of(run, prompts))
    # One for each shape: what the values are does not matter to the time.
    encoded = {
        shape: encode(loaded.model, loaded.params, np.ones(shape, np.int32))
        for shape in {tokens.shape for tokens, _ in parts}
    }

    def scores(params: Any, encoded: Any, tokens: Any, options: Any) -> Any:
        def given(call: Any, args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
            return encoded if context.method_name == "encode" else call(*args, **kwargs)

        with nn.intercept_methods(given):
            segment_ids = (tokens > 0).astype(np.int32)
            return option_scores(loaded.model, params, tokens, segment_ids, options)

    function = jax.jit(scores)

    def do_round() -> None:
        for tokens, options in parts:
            jax.device_get(function(loaded.params, encoded[tokens.shape], tokens, options))

    return do_round, "{}"


def ranking(folder: Path) -> tuple[Callable[[], None], str]:
    """What `evaluate` does for each prompt. Files of the round before are removed."""
    from tk_instruct.tasks.p3 import evaluate

    run, prompts = open_run(folder)

    def do_round() -> None:
        for path in (folder / "run").glob("*s/p3_*"):
            path.unlink()
        for prompt in prompts:
            evaluate.scores_of(run, prompt)

    return do_round, "{}"


WORKERS = {"encoding": encoding, "decoding": decoding, "ranking": ranking}


def amounts_of(run: Any, prompts: list[Any], inputs: list[np.ndarray]) -> dict[str, int]:
    options = [options for _, options in batches_of(run, prompts)]
    return {
        "input_tokens": int(sum(np.count_nonzero(tokens) for tokens in inputs)),
        "input_tokens_with_padding": sum(tokens.size for tokens in inputs),
        "option_tokens": int(sum(np.count_nonzero(each) for each in options)),
        "option_tokens_with_padding": sum(each.size for each in options),
    }


def main() -> None:
    """Prints the comparison."""
    if sys.argv[1:2] == ["worker"]:
        return _interleaved.serve(partial(WORKERS[sys.argv[2]], Path(sys.argv[3])))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--vocabulary", required=True, help="T5's SentencePiece model")
    parser.add_argument("--size", choices=("tiny", "small", "base"), default="tiny")
    parser.add_argument("--examples", type=int, default=1000, help="of each prompt (default: 1000)")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        write_data(folder, args.examples)
        write_run(folder, args.size, args.vocabulary)
        systems = [
            System(
                name,
                [sys.executable, __file__, "worker", name, directory],
                _interleaved.LARGE_PAGES,
            )
            for name in WORKERS
        ]
        _interleaved.take_turns(systems, args.rounds)
    rows = [["part", "median s", "cpu s"]]
    for system in systems:
        times = (median(system.seconds), median(system.cpu_seconds))
        rows.append([system.name, *(f"{seconds:.2f}" for seconds in times)])
    print(table(rows))
    for name in ("seconds", "cpu_seconds"):
        encoded, decoded, ranked = (median(getattr(system, name)) for system in systems)
        print(f"ranking / (encoding + decoding), {name}: {ranked / (encoded + decoded):.2f}")
    amounts = json.loads(str(systems[0].versions))
    print(", ".join(f"{value:,} {name.replace('_', ' ')}" for name, value in amounts.items()))


if __name__ == "__main__":
    main()
