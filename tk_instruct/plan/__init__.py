"""Say, without a TPU, whether a recipe fits a TPU slice, how fast it can be, and what it costs.

The run's own step is compiled for the slice by the TPU compiler (libtpu, the extra [plan]). What
it says of memory is its verdict; times are what the chips' published peaks allow at best.

  tk-instruct plan --gin_file=recipes/tk_instruct_11b.gin --topology=v3-256
  tk-instruct plan --gin_file=recipes/tk_instruct_11b.gin --topology=v4:4x4x8 \\
    --topology=v5e:16x16 --search --price_per_chip_hour 1.2
  tk-instruct plan --gin_file=recipes/tk_instruct_3b.gin --verb=predict --topology=v5e:2x4
  tk-instruct plan --gin_file=recipes/tk_instruct_11b.gin --topology=cpu:256   # shardings only
"""

import argparse
import importlib.util
import json
import logging
import math
from collections.abc import Iterator, Sequence

from tk_instruct import configuration
from tk_instruct.errors import UserError
from tk_instruct.plan.compilation import Compiled, Layout, Work
from tk_instruct.plan.compiler import Compiler, read_run
from tk_instruct.plan.estimate import Plan
from tk_instruct.plan.topology import Topology, topology_of
from tk_instruct.ranges import number, whole_number
from tk_instruct.tables import table

log = logging.getLogger("tk_instruct")

GIB = 2**30


def add_arguments(parser: argparse.ArgumentParser) -> None:
    configuration.add_gin_arguments(parser)
    configuration.add_import_argument(parser)
    group = parser.add_argument_group("plan")
    group.add_argument(
        "--topology",
        action="append",
        required=True,
        metavar="T",
        help="v3:8x16 or as Cloud TPU says v3-256; v2 to v6e, tpu7x; cpu:256 for fake devices; "
        "repeatable",
    )
    group.add_argument(
        "--verb",
        dest="whose",  # the parser of tk-instruct uses `verb`
        choices=("train", "predict"),
        default="train",
        help="whose step (default: train)",
    )
    group.add_argument(
        "--search",
        action="store_true",
        help="try layouts, rematerialisation and accumulation, and recommend (minutes a slice)",
    )
    group.add_argument(
        "--batch_size", type=whole_number, metavar="N", help="rows at once, with --verb=predict"
    )
    group.add_argument(
        "--price_per_chip_hour", type=number, metavar="P", help="to compute what the run costs"
    )
    group.add_argument("--json", action="store_true", help="one JSON object a layout")


def main(args: argparse.Namespace) -> int:
    topologies = [topology_of(name) for name in args.topology]
    if args.batch_size is not None and args.whose == "train":
        raise UserError(f"--batch_size={args.batch_size} is predict's; give --gin.BATCH_SIZE=N")
    if args.batch_size is not None and args.batch_size < 1:
        raise UserError(
            f"--batch_size={args.batch_size} must be at least 1; leave it out for 4 a device"
        )
    price = args.price_per_chip_hour
    if price is not None and not 0 <= price < math.inf:
        raise UserError(f"--price_per_chip_hour={price} must be a price; try 1.2")
    if any(t.generation for t in topologies) and importlib.util.find_spec("libtpu") is None:
        raise UserError(
            "the TPU compiler, libtpu, is not installed: pip install 'tk_instruct[plan]'; without "
            f"it --topology=cpu:{topologies[0].num_devices} still checks the shardings"
        )
    work = Work(
        args.whose, read_run(args.gin_file, args.gin_bindings, args.modules), args.batch_size
    )
    any_fits = False
    for topology in topologies:
        found = _compiled(work, topology, args.search)
        plans = [Plan(compiled, topology, args.price_per_chip_hour) for compiled in found]
        best = min((p for p in plans if p.compiled.fits), key=Plan.seconds_per_token, default=None)
        any_fits = any_fits or best is not None
        if args.json:
            for plan in plans:
                print(json.dumps({**plan.as_json(), "recommended": plan is best}), flush=True)
        else:
            print("\n".join(_described(work, plans, best)), flush=True)
    return 0 if any_fits else 1


def _compiled(work: Work, topology: Topology, search: bool) -> list[Compiled]:
    """The layout of the recipe, and then the layouts that a search tries."""
    from tk_instruct.plan.search import search_predict, search_train

    found: dict[Layout, Compiled] = {}
    with Compiler(work, topology) as compiler:

        def compile_(layout: Layout | None) -> Compiled:
            log.info("%s: compiling %s", topology.name, _named(layout))
            compiled = compiler.compile(layout)
            log.info("  %s", _verdict(compiled))
            return found.setdefault(compiled.layout, compiled)

        def attempt(layout: Layout) -> Compiled | None:
            try:
                return found.get(layout) or compile_(layout)
            except UserError as error:
                log.info("  passed over: %s", error)
                return None

        first = compile_(None)
        if search and work.verb == "predict":
            search_predict(topology.num_devices, first.batch_size, attempt)
        elif search:
            search_train(
                topology.num_devices,
                first.batch_size,
                first.d_model,
                attempt,
                lambda compiled: Plan(compiled, topology).seconds_per_token(),
            )
    return list(found.values())


def _named(layout: Layout | None) -> str:
    if layout is None:
        return "the recipe's layout"
    return (
        f"num_partitions {layout.num_partitions}, num_fsdp_shards {layout.num_fsdp_shards}, "
        f"remat {layout.remat}, {layout.num_microbatches} microbatches"
    )


def _verdict(compiled: Compiled) -> str:
    what = "known already" if compiled.cached else f"{compiled.seconds:.0f} s"
    if compiled.peak_bytes is None:
        return f"does not fit ({what}): {compiled.refusal}"
    return f"{_gib(compiled.peak_bytes)} GiB a device ({what})"


def _described(work: Work, plans: Sequence[Plan], best: Plan | None) -> Iterator[str]:
    """The layouts of a slice as a table, and the details of the best one."""
    first, topology = plans[0].compiled, plans[0].topology
    limit = f" of {_gib(first.limit_bytes)} GiB" if first.limit_bytes else ""
    unit, name = (1e9, "B") if first.num_params >= 1e9 else (1e6, "M")
    yield (
        f"{topology.name}: {topology.num_chips:,} chips, {topology.num_devices:,} devices{limit}; "
        f"{_number(first.num_params / unit, 2)}{name} parameters, {first.batch_size:,} rows"
        + (f", {first.num_steps:,} steps" if first.num_steps is not None else "")
    )
    yield table([_HEADER, *map(_row, plans)])
    if best is None:
        yield f"nothing fits: {plans[-1].compiled.refusal}"
        if len(plans) == 1:
            yield "try --search, or a larger slice"
        return
    yield from _in_full(work, best)
    yield ""


_HEADER = (
    "data × fsdp × model",
    "remat",
    "microbatches",
    "fits",
    "peak GiB",
    "arguments",
    "temporaries",
    "sent GiB",
    "step s",
    "tokens/s",
    "at 50 %",
    "hours",
    "at 50 %",
)


def _row(plan: Plan) -> Sequence[str]:
    compiled = plan.compiled
    floor, half = plan.at(1.0), plan.at(0.5)
    return (
        " × ".join(map(str, compiled.mesh)),
        compiled.layout.remat,
        str(compiled.layout.num_microbatches),
        "yes" if compiled.fits else "no",
        _gib(compiled.peak_bytes),
        _gib(compiled.argument_bytes),
        _gib(compiled.temporary_bytes),
        _gib(compiled.sent_bytes) if compiled.collectives else "–",
        _number(floor.get("seconds_per_step"), 3),
        _number(floor.get("tokens_per_second"), 0),
        _number(half.get("tokens_per_second"), 0),
        _number(floor.get("hours"), 1),
        _number(half.get("hours"), 1),
    )


def _in_full(work: Work, plan: Plan) -> Iterator[str]:
    compiled, layout, found = plan.compiled, plan.compiled.layout, plan.estimate
    data, shards, partitions = compiled.mesh
    yield f"best: data {data} × fsdp {shards} × model {partitions}"
    if work.verb == "train":
        macros = {
            "NUM_PARTITIONS": layout.num_partitions,
            "NUM_FSDP_SHARDS": layout.num_fsdp_shards,
            "REMAT": layout.remat,
            "NUM_MICROBATCHES": layout.num_microbatches,
        }
        yield "  as      " + " ".join(f"--gin.{name}={value}" for name, value in macros.items())
    else:
        yield f"  as      --num_partitions {layout.num_partitions}"
    for kind, (count, sent) in compiled.collectives.items():
        yield f"  sends   {kind} {count:,} times, {_gib(sent)} GiB a device"
    yield f"  work    {compiled.flops:.2e} FLOPs of matrix products a device"
    if found is None or plan.topology.generation is None:
        return
    chip = plan.topology.generation
    yield (
        f"  floors  compute {_number(found.compute, 3)} s, memory {_number(found.memory, 3)} s, "
        f"links {_number(found.links, 3)} s: the step is bound by {found.bound_by}"
    )
    yield (
        f"          layouts are compared by {_number(found.unhidden, 3)} s, as if nothing sent "
        "were hidden behind the work"
    )
    yield (
        f"          ({chip.name}, a chip: {chip.peak_flops / 1e12:,.0f} TFLOP/s, HBM "
        f"{chip.hbm_bandwidth / 1e9:,.0f} GB/s, links {chip.link_bandwidth / 1e9:,.0f} GB/s; "
        f"{chip.source})"
    )
    if plan.price_per_chip_hour is not None and compiled.num_steps is not None:
        yield (
            f"  cost    {_number(plan.at(1.0)['cost'], 0)} at the floor, "
            f"{_number(plan.at(0.5)['cost'], 0)} at 50 %, at {plan.price_per_chip_hour:g} a chip "
            "and hour"
        )


def _gib(size: float | None) -> str:
    return _number(None if size is None else size / GIB, 2)


def _number(value: float | None, decimals: int) -> str:
    """With at least two significant digits: the step of a tiny model takes less than 0.001 s."""
    if value is None:
        return "–"
    if value > 0:
        decimals = max(decimals, 1 - math.floor(math.log10(value)))
    return f"{value:,.{decimals}f}"
