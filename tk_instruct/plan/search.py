"""Searches layouts of a step, and compiles only those that may be better than the ones before."""

from collections.abc import Callable
from dataclasses import replace

from tk_instruct.plan.compilation import Compiled, Layout
from tk_instruct.sharding import most_fsdp_shards

# From the least work and the most memory to the most work and the least memory.
REMATERIALISATIONS = ("none", "dots_saveable", "dots_with_no_batch_dims_saveable", "full")
MOST_PARTITIONS = 16

# The result is None where the model or the batch does not divide over the layout.
Compile = Callable[[Layout], Compiled | None]
# The time of a compiled step, by which layouts are compared.
Seconds = Callable[[Compiled], float]


def search_train(
    num_devices: int,
    batch_size: int,
    d_model: int,
    compile_: Compile,
    seconds: Seconds,
) -> None:
    """Compiles layouts of a training step.

    For each number of partitions, the parameters are whole in every group of devices at first,
    then sharded over some groups, then over all. For each of these the search finds the least
    rematerialisation that fits. It tries more partitions until the step gets slower. Then it tries
    the fastest layout with microbatches, which can make less rematerialisation fit. Where nothing
    fits, it tries more and more microbatches.
    """
    best: Compiled | None = None
    partitions = _partitions(num_devices, batch_size)
    for each in partitions:
        fitting: list[Compiled] = []
        groups = num_devices // each
        for shards in sorted({1, most_fsdp_shards(d_model, groups), groups}):
            fitting += _least_rematerialised(Layout(each, shards, "full"), compile_)
            if fitting and fitting[-1].layout.remat == "none":
                break  # more shards would save no work
        fastest = min(fitting, key=seconds, default=None)
        if best is not None and (fastest is None or seconds(fastest) >= seconds(best)):
            break
        best = fastest
    if best is None:
        for each in reversed(partitions):  # most partitions: the least memory of activations
            layout = Layout(each, num_devices // each, "full")
            if _least_accumulated(layout, batch_size * each // num_devices, compile_):
                return
    else:
        for remat in REMATERIALISATIONS[: REMATERIALISATIONS.index(best.layout.remat)]:
            rows = batch_size * best.layout.num_partitions // num_devices
            _least_accumulated(replace(best.layout, remat=remat), rows, compile_)


def search_predict(num_devices: int, batch_size: int, compile_: Compile) -> None:
    """Compiles decoding with each number of partitions."""
    for partitions in _partitions(num_devices, batch_size):
        compile_(Layout(num_partitions=partitions))


def _partitions(num_devices: int, batch_size: int) -> list[int]:
    """Numbers of partitions for which the batch divides over the groups of devices.

    At most MOST_PARTITIONS; if there is none, the two smallest.
    """
    powers = [2**exponent for exponent in range(num_devices.bit_length())]
    dividing = [n for n in powers if num_devices % n == 0 and batch_size % (num_devices // n) == 0]
    return [n for n in dividing if n <= MOST_PARTITIONS] or dividing[:2]


def _least_rematerialised(spread: Layout, compile_: Compile) -> list[Compiled]:
    """The layouts that fit: with full rematerialisation, and with the least that fits."""
    full = compile_(spread)
    if full is None or not full.fits:
        return []
    for remat in REMATERIALISATIONS[:-1]:
        found = compile_(replace(spread, remat=remat))
        if found is not None and found.fits:
            return [full, found]
    return [full]


def _least_accumulated(layout: Layout, rows: int, compile_: Compile) -> bool:
    """Whether the layout fits with some number of microbatches; a device has `rows` rows."""
    parts = 2
    while rows % parts == 0:
        found = compile_(replace(layout, num_microbatches=parts))
        if found is not None and found.fits:
            return True
        parts *= 2
    return False
