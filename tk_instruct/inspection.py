"""Look at declared tasks: list, show, count, audit and export them, check and get their data.

show, stats, export, audit and prepare can take data, vocabulary and the tasks' parameters from a
recipe:

  tk-instruct tasks show NAME --gin_file=recipes/smoke.gin
  tk-instruct tasks show NAME --vocabulary=bytes -n 1
"""

import argparse
import itertools
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from tk_instruct import audit, export, suite
from tk_instruct.configuration import (
    add_data_arguments,
    add_gin_arguments,
    add_length_arguments,
    bind_data_arguments,
    import_declarations,
    lengths_of,
    load_part,
)
from tk_instruct.errors import UserError
from tk_instruct.ranges import whole_number
from tk_instruct.tables import table

if TYPE_CHECKING:
    from tk_instruct.data.task import AnyTask
    from tk_instruct.data.tokens import FeatureLengths

PERCENTILES = (50, 90, 99, 100)
# Of the fields that a suite exports.
_SHOWN_ANYWAY = {"id", "task", "task_name", "inputs", "targets", "references"}
_ABOUT = ("categories", "input_languages", "output_languages")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    listing = actions.add_parser("list", help="names of the declared tasks and mixtures")
    listing.add_argument(
        "pattern", nargs="?", default="*", help="a shell pattern, or part of names"
    )

    show = actions.add_parser("show", help="examples as text, as tokens and packed")
    show.add_argument("name", metavar="NAME", help="a task or mixture")
    show.add_argument("--split", default="train", help="default: train")
    show.add_argument("--task", metavar="T", help="only this constituent task")
    show.add_argument("-n", type=whole_number, default=3, metavar="N", help="how many (default: 3)")

    stats = actions.add_parser("stats", help="counts, lengths, truncation and packing")
    stats.add_argument("name", metavar="NAME", help="a task or mixture")
    stats.add_argument("--split", action="append", help="repeatable (default: train and test)")

    export_parser = actions.add_parser("export", help="write examples as texts, for other programs")
    export.add_arguments(export_parser)

    audit_parser = actions.add_parser(
        "audit",
        help="look for evaluation data in training data",
        description=audit.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    audit.add_arguments(audit_parser)

    rates = actions.add_parser("rates", help="the share of a mixture's tasks, by dataset")
    rates.add_argument("name", metavar="NAME", help="a mixture")
    rates.add_argument("--tasks", action="store_true", help="one row a task")

    doctor = actions.add_parser(
        "doctor", help="check the data of a suite, and say what to do where it is not well"
    )
    doctor.add_argument(
        "suite",
        nargs="?",
        choices=[each.name for each in suite.suites().values() if each.doctor],
        default=suite.default(),
        help="default: %(default)s",
    )
    prepare = actions.add_parser("prepare", help="download the datasets of tasks")
    prepare.add_argument(
        "names",
        nargs="+",
        metavar="NAME",
        help="tasks, mixtures, or TFDS names like glue/rte:2.0.0",
    )
    for action in (prepare, export_parser, audit_parser):
        add_data_arguments(action)
    for action in (show, stats, rates, export_parser, audit_parser, prepare):
        add_gin_arguments(action)
    for action in (listing, show, stats, rates, doctor):
        action.add_argument("--json", action="store_true", help="one JSON object a line")
        add_length_arguments(action)
        add_data_arguments(action)


def main(args: argparse.Namespace) -> int:
    files, bindings = getattr(args, "gin_file", []), args.gin_bindings
    import_declarations(args.modules, getattr(args, "gin_search_paths", ()))
    if files or bindings:
        from tk_instruct import train_run  # noqa: F401  (registers parameters that recipes set)

        load_part("runs/tasks.gin", files, bindings)
    bind_data_arguments(args)
    actions = {
        "list": _list,
        "show": _show,
        "stats": _stats,
        "export": export.main,
        "audit": audit.main,
        "rates": _rates,
        "prepare": _prepare,
        "doctor": _doctor,
    }
    return actions[args.action](args)


def _list(args: argparse.Namespace) -> int:
    from tk_instruct.data import registry

    found = registry.names(args.pattern)
    if not found:
        raise UserError(f"no task or mixture matches {args.pattern!r}; `tasks list` shows all")
    kinds = {}
    for name in found:
        of: Any = registry.get(name)
        parts = getattr(of, "tasks", None)
        kinds[name] = ("task", of.splits) if parts is None else ("mixture", _splits_of(parts))
    if args.json:
        for name, (kind, splits) in kinds.items():
            print(json.dumps({"name": name, "kind": kind, "splits": sorted(splits)}))
    else:
        print(table([("name", "kind"), *((name, kind) for name, (kind, _) in kinds.items())]))
    return 0


def _splits_of(tasks: Sequence["AnyTask"]) -> set[str]:
    return {split for task in tasks for split in task.splits}


def _show(args: argparse.Namespace) -> int:
    if args.n < 1:
        raise UserError(f"-n {args.n} must be at least 1")
    from tk_instruct.data import pipeline, registry
    from tk_instruct.data.tokens import Tokens

    lengths = lengths_of(args)
    tasks = registry.tasks_of(args.name)
    if args.task:
        tasks = _with_constituent(args.name, args.task, args.split)
    examples = ((task, example) for task in tasks for example in task.examples(args.split, lengths))
    shown = []
    for number, (task, example) in enumerate(itertools.islice(examples, args.n), start=1):
        own = {k: v for k, v in task.own_fields(example).items() if k not in _SHOWN_ANYWAY}
        if args.json:
            fields = _as_json(example, args.split) | own
            print(json.dumps(fields, ensure_ascii=False), flush=True)
            continue
        shown.append(Tokens(str(number), example["inputs"], example["targets"]))
        _print_example(number, example, args.split, lengths, own)
    if shown:
        print("packed rows (example number at each position, . is padding)")
        batch = pipeline.pack(shown, lengths)
        for row, numbers in enumerate(batch.ids):
            parts = (batch.arrays[f"{part}_segment_ids"][row] for part in ("encoder", "decoder"))
            print(*(_strip(segment_ids, numbers) for segment_ids in parts), sep=" │ ")
    return 0


def _with_constituent(name: str, constituent: str, split: str) -> list["AnyTask"]:
    """The tasks of a task or mixture, each narrowed to a constituent that the split has.

    Raises UserError if no task has the constituent in this split.
    """
    from tk_instruct.data import registry

    found, reasons = [], []
    for task in registry.tasks_of(name):
        part: Any = registry.get(registry.subset(task.name, constituent))
        try:
            part.num_input_examples(split)
        except UserError as error:
            reasons.append(error)
        else:
            found.append(part)
    if not found:
        raise reasons[0]
    return found


def _as_json(example: Mapping[str, Any], split: str) -> dict[str, Any]:
    return {
        "id": example["id"],
        "task": example["task"],
        "split": split,
        "inputs": example["inputs_pretokenized"],
        "targets": _right_answers(example),
        "input_tokens": len(example["inputs"]),
    }


def _right_answers(example: Mapping[str, Any]) -> list[str]:
    """All references, or only the target if the template asks for something else."""
    target, references = example["targets_pretokenized"], example["references"]
    return references if target in references else [target]


def _print_example(
    number: int,
    example: Mapping[str, Any],
    split: str,
    lengths: "FeatureLengths",
    own: Mapping[str, Any],
) -> None:
    print(f"── {number} ── {example['task']} ── {split} ── {example['id']}")
    told = {name: _in_a_line(value) for name, value in own.items() if value is not None}
    width = max(map(len, told), default=0)
    for name, value in told.items():
        print(f"{name:{width}}  {value}")
    print(example["inputs_pretokenized"])
    for k, reference in enumerate(_right_answers(example)):
        print("target  " if k == 0 else "     or ", reference, sep="")
    for feature in ("inputs", "targets"):
        ids = example[feature].tolist()
        shown = " ".join(map(str, ids if len(ids) <= 24 else [*ids[:18], "…", *ids[-5:]]))
        print(f"{feature}: {len(ids)} of {getattr(lengths, feature)} tokens: {shown}")
    print()


def _in_a_line(value: Any) -> str:
    parts = value if isinstance(value, list) else [value]
    return " | ".join(" ".join(str(part).split()) for part in parts)


def _strip(segment_ids: Any, numbers: Sequence[str], width: int = 64) -> str:
    """A packed row as a text of example numbers, scaled to at most `width` characters."""
    symbols = ["."] + ["123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[(int(n) - 1) % 35] for n in numbers]
    step = -(-len(segment_ids) // width)
    return "".join(symbols[segment] for segment in segment_ids[::step])


def _stats(args: argparse.Namespace) -> int:
    from tk_instruct.data import registry

    lengths = lengths_of(args)
    for task in registry.tasks_of(args.name):
        for split in args.split or _usual_splits(task):
            counted = count(task, split, lengths)
            if args.json:
                print(json.dumps(counted, ensure_ascii=False), flush=True)
            else:
                print(_stats_text(counted), flush=True)
    return 0


def _usual_splits(task: "AnyTask") -> list[str]:
    """The splits among train and test that the task has with their data.

    If all data is missing, the splits that are declared, so that the error names them.
    """
    from tk_instruct.data import registry

    declared = [split for split in ("train", "test") if split in task.splits]
    return [split for split in declared if not registry.is_missing(task, split)] or declared


def count(task: "AnyTask", split: str, lengths: "FeatureLengths") -> dict[str, Any]:
    """Counts tasks, instances, categories, languages, tokens and packed rows of a split.

    Lengths are in tokens, before shortening. `shortened` is the share of examples that are longer
    than the limit, so that demonstrations or the end are left out. `inputs_cut` is the share of
    inputs that lose their end. Shares are fractions in [0, 1].
    """
    import numpy as np

    from tk_instruct.data import pipeline
    from tk_instruct.data.packing import EncoderDecoderRows
    from tk_instruct.data.tokens import FeatureLengths, Tokens
    from tk_instruct.progress import Progress

    unlimited = FeatureLengths(inputs=1 << 20, targets=1 << 20)
    both = zip(
        task.examples(split, unlimited),
        task.examples(split, lengths),
        strict=True,
    )
    full: dict[str, list[int]] = {"inputs": [], "targets": []}
    shortened = {"inputs": 0, "targets": 0}
    cut = 0
    tokens, tasks = [], {}
    with Progress(f"{task.name}/{split}", task.num_input_examples(split)) as progress:
        for whole, fitted in both:
            for feature in full:
                full[feature].append(len(whole[feature]))
                shortened[feature] += len(whole[feature]) > getattr(lengths, feature)
            # A cut input has lost its end. One that only lost demonstrations still has it.
            end = slice(-min(8, len(fitted["inputs"])), None)
            cut += not np.array_equal(whole["inputs"][end], fitted["inputs"][end])
            tokens.append(Tokens(fitted["id"], fitted["inputs"], fitted["targets"]))
            if fitted["task"] not in tasks:
                tasks[fitted["task"]] = task.about(fitted)
            progress.advance()
    if not tokens:
        raise UserError(f"{task.name}/{split} has no examples; there is nothing to count")
    num_rows = len(list(pipeline.packed_rows(tokens, EncoderDecoderRows(lengths))))
    return {
        "name": task.name,
        "split": split,
        "tasks": len(tasks),
        "instances": len(tokens),
        **{key: _counts(about.get(key, ()) for about in tasks.values()) for key in _ABOUT},
        "tokens": {
            feature: {
                "mean": round(float(np.mean(found)), 1),
                **{f"p{p}": int(np.percentile(found, p, method="higher")) for p in PERCENTILES},
                "limit": getattr(lengths, feature),
                "shortened": round(shortened[feature] / len(tokens), 4),
            }
            for feature, found in full.items()
        },
        "inputs_cut": round(cut / len(tokens), 4),
        "packed_rows": num_rows,
        "packing_rate": {
            "inputs": round(sum(len(t.inputs) for t in tokens) / (num_rows * lengths.inputs), 4),
            "targets": round(sum(len(t.targets) for t in tokens) / (num_rows * lengths.targets), 4),
        },
    }


def _counts(groups: Iterator[Sequence[str]] | Any) -> dict[str, int]:
    from collections import Counter

    counter = Counter(itertools.chain.from_iterable(groups))
    return dict(sorted(counter.items(), key=lambda item: (-item[1], item[0])))


def _stats_text(stats: dict[str, Any]) -> str:
    def listed(counts: dict[str, int]) -> str:
        return ", ".join(f"{name} {number}" for name, number in counts.items()) or "not given"

    rows = [("tokens", "mean", *(f"p{p}" for p in PERCENTILES), "limit", "shortened", "packed")]
    for feature, tokens in stats["tokens"].items():
        rows.append(
            (
                feature,
                f"{tokens['mean']:.1f}",
                *(str(tokens[f"p{p}"]) for p in PERCENTILES),
                str(tokens["limit"]),
                f"{tokens['shortened']:.1%}",
                f"{stats['packing_rate'][feature]:.1%}",
            )
        )
    per_row = stats["instances"] / stats["packed_rows"]
    return "\n".join(
        [
            f"{stats['name']} / {stats['split']}: {stats['tasks']:,} tasks, "
            f"{stats['instances']:,} instances",
            f"  categories        {listed(stats['categories'])}",
            f"  input languages   {listed(stats['input_languages'])}",
            f"  output languages  {listed(stats['output_languages'])}",
            *(f"  {line}" for line in table(rows).splitlines()),
            f"  {stats['inputs_cut']:.1%} of inputs lose their end; packed into "
            f"{stats['packed_rows']:,} rows of {per_row:.1f} examples",
            "",
        ]
    )


def _rates(args: argparse.Namespace) -> int:
    from tk_instruct.data import registry

    shares = registry.rates_of(args.name)
    grouped: dict[str, list[float]] = {}
    for task, share in zip(registry.tasks_of(args.name), shares, strict=True):
        download = getattr(getattr(task, "source", None), "download", None)
        dataset = task.name if args.tasks or download is None else download.name
        grouped.setdefault(dataset, []).append(share)
    found = sorted(grouped.items(), key=lambda item: (-sum(item[1]), item[0]))
    if args.json:
        for name, of in found:
            print(json.dumps({"name": name, "tasks": len(of), "share": sum(of)}))
        return 0
    total: Any = registry.get(args.name)
    rate = getattr(total, "total_rate", 1.0)
    rows = [("dataset", "tasks", "rate", "share")]
    rows += [(n, str(len(of)), f"{rate * sum(of):,.0f}", f"{sum(of):.3%}") for n, of in found]
    print(table([*rows, ("all", str(len(shares)), f"{rate:,.0f}", "")]))
    return 0


def _prepare(args: argparse.Namespace) -> int:
    from tk_instruct.data import registry, tfds_source
    from tk_instruct.data.task import Download

    wanted: dict[str, Download] = {}
    for name in args.names:
        if ":" in name:
            wanted[name] = tfds_source.download(name)
            continue
        given: Any = registry.get(name)
        sources = [getattr(task, "source", None) for task in getattr(given, "tasks", [given])]
        downloads = [getattr(source, "download", None) for source in sources]
        found = {download.name: download for download in downloads if download}
        if not found:
            raise UserError(
                f"{name}: there is nothing to download; its data is a file of yours, or what "
                "another program fetches"
            )
        wanted |= found
    failed = 0
    for number, (name, download) in enumerate(wanted.items(), start=1):
        try:
            path = download.get()
        except UserError as error:
            failed += 1
            print(f"[{number}/{len(wanted)}] {error}", file=sys.stderr, flush=True)
        else:
            print(f"[{number}/{len(wanted)}] {name} is in {path}", flush=True)
    return 1 if failed else 0


def _doctor(args: argparse.Namespace) -> int:
    found = suite.part(suite.suites()[args.suite].doctor or "")(args)
    report = found.report
    if args.json:
        report = "\n".join(json.dumps(asdict(f), ensure_ascii=False) for f in found.findings)
    if report:
        print(report, flush=True)
    return 0 if found.is_well else 1
