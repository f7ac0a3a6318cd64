"""Score the options of each example with a model, and predict the likeliest one.

An option's score is the summed log-probability of its tokens, EOS included, given the inputs, as
T0 is evaluated (arXiv:2110.08207). For models without an encoder it is that of the option after
the prompt and a space, without EOS, as in lm-evaluation-harness. Writes one JSON object a
line, {id, task, prediction, options, scores}, in the order of ids. Of options with the same score
the first is predicted.

The options are those of the example, its field `options`, or the same ones for all examples:

  tk-instruct rank --model_dir RUN --task NAME --split test --option Yes --option No
  tk-instruct rank --model_dir RUN --examples FILE.jsonl
  tk-instruct rank --model hf:NAME --task NAME --output FILE.jsonl
  tk-instruct rank --model api:NAME --base_url http://localhost:8000/v1 --task NAME \\
      --output FILE.jsonl

FILE.jsonl has lines {id, inputs, options}. inputs is the prompt as text. A line may name its task;
otherwise the task is the file's name. --tokenization also holds for these prompts and options.
"""

import argparse
import os

from tk_instruct import configuration, distributed
from tk_instruct.errors import UserError
from tk_instruct.files import Path, inside, is_stream, read_bytes
from tk_instruct.inference import systems
from tk_instruct.inference.arguments import (
    add_batch_arguments,
    add_step_argument,
    check_counts,
    check_limit,
    check_name,
)
from tk_instruct.inference.examples import examples_of, read_examples, with_prompts
from tk_instruct.inference.options import check_options, with_options
from tk_instruct.journal import say_where, write_rows


def add_arguments(parser: argparse.ArgumentParser) -> None:
    systems.add_arguments(parser)
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
        check_options(args.option, "--option")
    for option in set(args.option):
        if args.option.count(option) > 1:
            raise UserError(f"--option={option} is given twice; leave one of them out")
    configuration.import_declarations(args.modules)
    check_name(args.task)
    path = Path(args.examples or "").expanduser()
    if args.examples and not is_stream(path):
        read_bytes(path)  # a missing file is told before JAX is imported
    system = systems.opened(args)
    if not args.output and system.folder is None:
        raise UserError(f"--model {args.model} has no folder of its own; give --output FILE")
    lengths = configuration.lengths_of(args, system.lengths)
    if args.examples:
        tokenizer, has_eos = system.encoding()
        if given := getattr(args, "tokenization", None):
            tokenizer = TOKENIZERS[given](vocabulary())
        examples, contents = read_examples(path, lengths, args.limit, tokenizer, has_eos)
        name = path.stem
    else:
        task, split = systems.task_of(args, system), args.split or "test"
        examples, contents = examples_of(task, split, lengths, args.limit)
        first = registry.tasks_of(task)[0]
        name, tokenizer, has_eos = f"{task}-{split}", first.tokenizer(), first.inputs_have_eos
    examples = with_options(examples, args.option, lengths, tokenizer)
    if system.reads_text:
        examples = with_prompts(examples, lengths, tokenizer, has_eos)
    default = inside(system.folder or ".", "predictions", f"{name}-{system.step}.rank.jsonl")
    output = Path(args.output or default).expanduser()
    if args.examples and output.is_file() and os.path.samefile(output, args.examples):
        raise UserError(f"--output={output} is --examples, which is never changed; give another")
    check_limit(output, f"--limit={args.limit}", args.limit)
    rank = system.ranker(lengths, args)(output)
    identity = {
        **system.identity,
        "ranking": name,
        "data": contents,
        "options": args.option,
        "tokenization": tokenizer.name,
        "length_normalized": args.length_normalized,
        "lengths": lengths.as_dict(),
    }
    count = write_rows(rank, examples, output, identity, doing=f"ranking {name}")
    if distributed.is_first_process():
        say_where(count, output)
    return 0
