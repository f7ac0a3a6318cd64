"""Let a model, or a heuristic, answer a task or mixture, and write its predictions.

The model is a checkpoint of ours, a model of Hugging Face Transformers or a model of a server: all
get the same prompts. Writes one JSON object a line, {id, task, prediction}, in the order of ids.
Finished predictions are kept beside the output, so the same command continues an interrupted run.
The most likely token is taken each time, unless --num_beams or --sample is given.

  tk-instruct predict --model_dir RUN --task TASK --split test
  tk-instruct predict --model_dir RUN --num_beams 4 --length_penalty 0.6
  tk-instruct predict --model_dir RUN --sample --temperature 0.7 --top_p 0.9 --seed 1
  tk-instruct predict --model hf:google-t5/t5-small --task TASK --output_dir runs/t5_small
  tk-instruct predict --model api:NAME --base_url http://localhost:8000/v1 --task TASK \\
      --output_dir runs/NAME
  tk-instruct predict --baseline NAME --task TASK --output_dir runs/NAME
"""

import argparse
from typing import TYPE_CHECKING, Any

from tk_instruct import configuration, distributed
from tk_instruct.errors import UserError
from tk_instruct.files import Path, inside
from tk_instruct.inference import decoding, heuristics, systems
from tk_instruct.inference.arguments import (
    add_batch_arguments,
    add_step_argument,
    check_counts,
    check_limit,
    check_name,
)
from tk_instruct.inference.examples import examples_of, with_prompts
from tk_instruct.journal import Predict, say_where, write_rows
from tk_instruct.ranges import whole_number

if TYPE_CHECKING:
    from tk_instruct.data.tokens import FeatureLengths


def add_arguments(parser: argparse.ArgumentParser) -> None:
    systems.add_arguments(parser).add_argument(
        "--baseline",
        choices=heuristics.names(),
        help="a heuristic of the task's suite that predicts",
    )
    add_step_argument(parser)
    parser.add_argument(
        "--task", metavar="NAME", help="task or mixture (default: what the run was trained on)"
    )
    parser.add_argument("--split", action="append", help="repeatable (default: test)")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--output", metavar="FILE", help="for one split")
    where.add_argument(
        "--output_dir",
        metavar="DIR",
        help="writes DIR/predictions/TASK-SPLIT-STEP.jsonl (default: the run's directory)",
    )
    add_batch_arguments(parser)
    parser.add_argument(
        "--limit_per_task",
        type=whole_number,
        metavar="N",
        help="only the first N examples of each task, also of each that a suite's task is made of; "
        "evaluate counts the others as empty predictions",
    )
    decoding.add_arguments(parser)
    configuration.add_length_arguments(parser)
    configuration.add_data_arguments(parser)
    distributed.add_arguments(parser)


@distributed.with_others
def main(args: argparse.Namespace) -> int:
    check_counts(args)
    if args.limit is not None and args.limit_per_task is not None:
        raise UserError(
            f"--limit={args.limit} and --limit_per_task={args.limit_per_task} both say which "
            "examples are predicted; give one of them"
        )
    how = decoding.decoding_of(args)
    splits = args.split or ["test"]
    if args.output and len(splits) > 1:
        raise UserError(f"--output is one file for {len(splits)} splits; give --output_dir DIR")
    configuration.import_declarations(args.modules)
    check_name(args.task)
    system: systems.Generates
    if args.baseline:
        systems.refuse_flags_of_others(args)
        configuration.bind_data_arguments(args)
        system = heuristics.HeuristicSystem(args.baseline, args)
    else:
        system = systems.opened(args)
    where = args.output or args.output_dir or system.folder
    if where is None:
        who = f"--model {args.model}" if args.model else f"--baseline {args.baseline}"
        raise UserError(f"{who} has no folder of its own; give --output_dir DIR")
    task = systems.task_of(args, system)
    lengths = configuration.lengths_of(args, system.lengths)
    predict_into = system.generator(how, lengths, args)
    identity = {**system.identity, "decoding": repr(how)}
    for split in splits:
        name = f"{task}-{split}-{system.step}.jsonl"
        folder = Path(args.output_dir or system.folder or ".").expanduser()
        output = Path(args.output or inside(folder, "predictions", name)).expanduser()
        count = write_predictions(
            *(predict_into(output), identity, task, split, lengths, output),
            reads_text=system.reads_text,
            limit=args.limit,
            limit_per_task=args.limit_per_task,
        )
        if distributed.is_first_process():
            say_where(count, output)
    return 0


def write_predictions(
    predict: Predict,
    identity: dict[str, Any],
    task: str,
    split: str,
    lengths: "FeatureLengths",
    output: Path,
    reads_text: bool = False,
    limit: int | None = None,
    limit_per_task: int | None = None,
) -> int:
    """Predicts the examples that have no prediction yet, writes all; returns how many there are.

    reads_text: whether examples need their `prompt`.
    """
    from tk_instruct.data import registry

    check_limit(output, f"--limit={limit}", limit)
    examples, contents = examples_of(task, split, lengths, limit, limit_per_task)
    settings: dict[str, Any] = {
        "task": task,
        "split": split,
        "lengths": lengths.as_dict(),
        "data": contents,
    }
    if limit_per_task is not None:
        check_limit(output, f"--limit_per_task={limit_per_task}", len(examples))
        settings["limit_per_task"] = limit_per_task
    if reads_text:
        first = registry.tasks_of(task)[0]
        examples = with_prompts(examples, lengths, first.tokenizer(), first.inputs_have_eos)
    doing = f"predicting {task}/{split}"
    return write_rows(predict, examples, output, {**identity, **settings}, doing)
