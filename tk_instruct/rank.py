"""Score the options of each example with a checkpoint, and predict the likeliest one.

An option's score is the summed log-probability of its tokens, EOS included, given the inputs, as
T0 is evaluated (arXiv:2110.08207). Writes one JSON object a line, {id, task, prediction, options,
scores}, in the order of ids. Of options with the same score the first is predicted.

The options are those of the example, its field `options`, or the same ones for all examples:

  tk-instruct rank --model_dir RUN --task NAME --split test --option Yes --option No
  tk-instruct rank --model_dir RUN --examples FILE.jsonl

FILE.jsonl has lines {id, inputs, options}. inputs is the prompt as text. A line may name its task;
otherwise the task is the file's name. --tokenization also holds for these prompts and options.
"""

import argparse
import hashlib
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from jaxtyping import Float32

from tk_instruct import configuration, distributed, schema
from tk_instruct.errors import UserError
from tk_instruct.files import Path, inside, is_stream, read_bytes
from tk_instruct.inference import (
    MOST_TIMES_BATCH_SIZE,
    Loaded,
    add_batch_arguments,
    add_step_argument,
    batches,
    check_counts,
    check_limit,
    check_name,
    check_vocabulary,
    encoding_of_run,
    examples_of,
    identity_of,
    lengths_of,
    load_checkpoint,
    load_model,
    rounded_up,
    task_of,
)
from tk_instruct.journal import Example, Predict, Row, row_of, say_where, write_rows

if TYPE_CHECKING:
    from tk_instruct.data.tokenization import Tokenizer
    from tk_instruct.data.tokens import FeatureLengths

_MOST_LOGITS = 2**27  # of a batch, on one device: 512 MiB
_SHORTEST_OPTION = 8  # tokens: options are padded to this or the next power of two


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model_dir", metavar="DIR", required=True, help="the run that scores")
    add_step_argument(parser)
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--task", metavar="NAME", help="task or mixture (default: what the run was trained on)"
    )
    what.add_argument("--examples", metavar="FILE", help="JSONL of id, inputs and options")
    parser.add_argument("--split", help="of the task (default: test)")
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="TEXT",
        help="repeatable; the options of every example that has none of its own",
    )
    parser.add_argument(
        "--length_normalized",
        action="store_true",
        help="divide each score by the option's number of tokens, EOS included",
    )
    parser.add_argument(
        "--output",
        metavar="FILE",
        help="default: DIR/predictions/TASK-SPLIT-STEP.rank.jsonl in the run's directory",
    )
    add_batch_arguments(parser)
    configuration.add_length_arguments(parser)
    configuration.add_data_arguments(parser)
    distributed.add_arguments(parser)


@distributed.with_others
def main(args: argparse.Namespace) -> int:
    from tk_instruct.data import registry
    from tk_instruct.data.tokenization import TOKENIZERS
    from tk_instruct.data.vocabulary import vocabulary

    check_counts(args)
    if args.examples and args.split:
        raise UserError(f"--split={args.split} is of a task and --examples has none; leave it out")
    if args.option:
        _check_options(args.option, "--option")
    for option in set(args.option):
        if args.option.count(option) > 1:
            raise UserError(f"--option={option} is given twice; leave one of them out")
    configuration.import_declarations(args.modules)
    check_name(args.task)
    path = Path(args.examples or "").expanduser()
    if args.examples and not is_stream(path):
        read_bytes(path)  # a missing file is told before JAX is imported
    model_dir = Path(args.model_dir).expanduser()
    checkpoints, step, about = load_checkpoint(model_dir, args.step)
    configuration.bind_data_arguments(args)
    check_vocabulary(about, model_dir)
    lengths = lengths_of(args, about)
    if args.examples:
        tokenizer, has_eos = encoding_of_run(about)
        if given := getattr(args, "tokenization", None):
            tokenizer = TOKENIZERS[given](vocabulary())
        examples, contents = read_examples(path, lengths, args.limit, tokenizer, has_eos)
        name = path.stem
    else:
        task, split = task_of(args, about), args.split or "test"
        examples, contents = examples_of(task, split, lengths, args.limit)
        name, tokenizer = f"{task}-{split}", registry.tasks_of(task)[0].tokenizer()
    examples = with_options(examples, args.option, lengths, tokenizer)
    default = inside(model_dir, "predictions", f"{name}-{step}.rank.jsonl")
    output = Path(args.output or default).expanduser()
    if args.examples and output.is_file() and os.path.samefile(output, args.examples):
        raise UserError(f"--output={output} is --examples, which is never changed; give another")
    check_limit(output, f"--limit={args.limit}", args.limit)
    loaded = load_model(checkpoints, step, about, args.num_partitions)
    identity = {
        **identity_of(checkpoints, step, about),
        "ranking": name,
        "data": contents,
        "options": args.option,
        "tokenization": tokenizer.name,
        "length_normalized": args.length_normalized,
        "lengths": lengths.as_dict(),
    }
    rank = ranker(loaded, lengths, args.batch_size, args.length_normalized)
    count = write_rows(rank, examples, output, identity, doing=f"ranking {name}")
    if distributed.is_first_process():
        say_where(count, output)
    return 0


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
        examples.append({"id": line.id, "task": line.task or path.stem, "inputs": inputs, **own})
        if len(examples) == limit:
            break
    if not examples:
        raise UserError(f"{path} holds no examples; write one JSON object a line")
    return examples, [hashlib.sha256(content).hexdigest()]


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
        _check_options(example["options"], where)
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


def _check_options(options: Any, where: str) -> None:
    if not isinstance(options, Sequence) or isinstance(options, str) or len(options) < 2:
        raise UserError(
            f"{where}: options={options!r:.60} must be at least 2 texts; add what lacks"
        )
    for option in options:
        if not isinstance(option, str) or not option.strip():
            raise UserError(f"{where}: option {option!r} must be a text that is not empty; name it")


def ranker(
    loaded: Loaded, lengths: "FeatureLengths", batch_size: int, length_normalized: bool
) -> Predict:
    """A function that scores options with a checkpoint's parameters, on all devices."""
    from tk_instruct import sharding
    from tk_instruct.model.decode import option_scores

    sharding.check_batch_size(batch_size, loaded.mesh)
    score = loaded.compiled(option_scores)
    vocab_size = loaded.model.config.vocab_size

    def rank(examples: Sequence[Example]) -> Iterator[list[Row]]:
        shards = loaded.num_row_shards
        for (num_options, length), group in _by_shape(examples).items():
            most = _MOST_LOGITS // (num_options * length * vocab_size * MOST_TIMES_BATCH_SIZE)
            rows = max(1, min(loaded.enough_rows(len(group), batch_size) // shards, most)) * shards
            for batch, tokens in batches(group, rows, lengths.inputs):
                options = np.zeros((len(tokens), num_options, length), np.int32)
                for i, example in enumerate(batch):
                    for j, ids in enumerate(example["option_tokens"]):
                        options[i, j, : len(ids)] = ids
                segment_ids = (tokens > 0).astype(np.int32)
                scores = score(input_tokens=tokens, segment_ids=segment_ids, options=options)
                yield [
                    _ranked(example, row, length_normalized)
                    for example, row in zip(batch, scores, strict=False)
                ]

    return rank


def _by_shape(examples: Sequence[Example]) -> dict[tuple[int, int], list[Example]]:
    """Groups examples by the number and length that their options are padded to: few shapes."""
    shapes: dict[tuple[int, int], list[Example]] = defaultdict(list)
    for example in examples:
        tokens = example["option_tokens"]
        length = rounded_up(max(map(len, tokens)), steps_per_octave=1)
        count = rounded_up(len(tokens), steps_per_octave=4)
        shapes[count, max(_SHORTEST_OPTION, length)].append(example)
    return shapes


def _ranked(
    example: Example, scores: Float32[np.ndarray, " options"], length_normalized: bool
) -> Row:
    divisors = [len(ids) if length_normalized else 1 for ids in example["option_tokens"]]
    values = [float(score) / n for score, n in zip(scores, divisors, strict=False)]
    best = example["options"][values.index(max(values))]
    return row_of(example, best, options=example["options"], scores=values)
