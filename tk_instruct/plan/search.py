"""Which layouts of a step to compile, each only where those before say that it may be worth it."""

from collections.abc import Callable
from dataclasses import replace

from tk_instruct.plan.compilation import Compiled, Layout
from tk_instruct.sharding import most_fsdp_shards

# From the least work and the most memory to the most work and the least memory.
REMATERIALISATIONS = ("none", "dots_saveable", "dots_with_no_batch_dims_saveable", "full")
MOST_PARTITIONS = 16

# None: the model or its batch cannot be divided so.
Compile = Callable[[Layout], Compiled | None]
# How long a compiled step takes, to compare layouts by.
Seconds = Callable[[Compiled], float]


def search_train(
    num_devices: int,
    batch_size: int,
    d_model: int,
    compile_: Compile,
    seconds: Seconds,
) -> None:
    """Compiles layouts of a training step.

    For each number of partitions, parameters are first kept whole by every group of devices, then
    spread over some and over all of them, and with each the least rematerialisation that fits is
    found. More partitions are tried until they make the step slower. Then the fastest is tried with
    accumulation, which may make room for less rematerialisation. Where nothing fits, accumulation
    until something does.
    """
    best: Compiled | None = None
    partitions = _partitions(num_devices, batch_size)
    for each in partitions:
        fitting: list[Compiled] = []
        groups = num_devices // each
        for shards in sorted({1, most_fsdp_shards(d_model, groups), groups}):
            fitting += _least_rematerialised(Layout(each, shards, "full"), compile_)
            if fitting and fitting[-1].layout.remat == "none":
                break  # to spread the parameters as well would save no work
        fastest = min(fitting, key=seconds, default=None)
        if best is not None and (fastest is None or seconds(fastest) >= seconds(best)):
            break
        best = fastest
    if best is None:
        for each in reversed(partitions):  # in which activations take the least
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
    """Over whose groups the batch divides: few if it does, else the least that there are."""
    powers = [2**exponent for exponent in range(num_devices.bit_length())]
    dividing = [n for n in powers if num_devices % n == 0 and batch_size % (num_devices // n) == 0]
    return [n for n in dividing if n <= MOST_PARTITIONS] or dividing[:2]


def _least_rematerialised(spread: Layout, compile_: Compile) -> list[Compiled]:
    """Those that fit of full rematerialisation and the least that does."""
    full = compile_(spread)
    if full is None or not full.fits:
        return []
    for remat in REMATERIALISATIONS[:-1]:
        found = compile_(replace(spread, remat=remat))
        if found is not None and found.fits:
            return [full, found]
    return [full]


def _least_accumulated(layout: Layout, rows: int, compile_: Compile) -> bool:
    """Whether it fits with some number of microbatches; `rows` are a device's."""
    parts = 2
    while rows % parts == 0:
        found = compile_(replace(layout, num_microbatches=parts))
        if found is not None and found.fits:
            return True
        parts *= 2
    return False
