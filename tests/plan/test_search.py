"""What a search compiles, with a memory and a speed by formula in place of a compiler."""

from tk_instruct.plan.compilation import Compiled, Layout
from tk_instruct.plan.search import search_predict, search_train

DEVICES, ROWS = 16, 64
KEPT = {
    "none": 16.0,
    "dots_saveable": 8.0,
    "dots_with_no_batch_dims_saveable": 4.0,
    "full": 1.0,
}


class Machine:
    """Devices of some memory, and what was compiled for them."""

    def __init__(self, memory: float, parameters: float) -> None:
        self.memory, self.parameters = memory, parameters
        self.tried: list[Layout] = []

    def compile(self, layout: Layout) -> Compiled:
        assert layout not in self.tried
        self.tried.append(layout)
        rows = ROWS * layout.num_partitions / DEVICES
        activations = rows * KEPT[layout.remat] / layout.num_partitions / layout.num_microbatches
        parameters = self.parameters / layout.num_partitions / layout.num_fsdp_shards
        return Compiled(
            topology="",
            layout=layout,
            mesh=(1, 1, 1),
            batch_size=ROWS,
            num_tokens=1,
            num_steps=1,
            num_params=1,
            d_model=512,
            fits=activations + parameters <= self.memory,
            limit_bytes=None,
            flops=0.0,
            seconds=0.0,
        )

    @staticmethod
    def seconds(compiled: Compiled) -> float:
        layout = compiled.layout
        recomputed = {"full": 4.0, "none": 3.0}.get(layout.remat, 3.5)
        spread = 0.1 * (layout.num_fsdp_shards > 1)
        sent = 0.2 * layout.num_partitions + spread * layout.num_microbatches
        return recomputed + sent

    def search(self) -> Layout | None:
        """The fastest of those that fit."""
        search_train(DEVICES, ROWS, 512, self.compile, self.seconds)
        tried, self.tried = self.tried, []
        found = [compiled for compiled in map(self.compile, tried) if compiled.fits]
        return min(found, key=self.seconds).layout if found else None


def test_where_all_fits_nothing_is_given_up() -> None:
    machine = Machine(memory=1000, parameters=100)
    assert machine.search() == Layout(1, 1, "none", 1)
    assert len(machine.tried) <= 4


def test_parameters_are_spread_where_they_must_be() -> None:
    # Over as many as have wide slices, and over all only where that does not fit.
    assert Machine(memory=90, parameters=100).search() == Layout(1, 4, "none", 1)
    assert Machine(memory=72, parameters=100).search() == Layout(1, 16, "none", 1)


def test_as_little_is_rematerialised_as_fits() -> None:
    # 4 rows a device: 64 with none, 32 with the dots; the parameters' share is 10.
    machine = Machine(memory=45, parameters=160)
    found = machine.search()
    assert found == Layout(1, 16, "none", 2), "half a batch at once leaves room for none"
    assert Layout(1, 16, "dots_saveable", 1) in machine.tried


def test_where_nothing_fits_batches_are_divided() -> None:
    machine = Machine(memory=12, parameters=160)
    found = machine.search()
    assert found is not None
    assert found.num_microbatches > 1


def test_nothing_fits() -> None:
    machine = Machine(memory=1, parameters=160)
    assert machine.search() is None
    assert {layout.num_partitions for layout in machine.tried} == {1, 2, 4, 8, 16}


def test_decoding_with_every_number_of_partitions_over_which_rows_divide() -> None:
    machine = Machine(memory=1, parameters=1)
    search_predict(DEVICES, 4, machine.compile)
    assert machine.tried == [Layout(4), Layout(8), Layout(16)]


def test_a_small_batch_is_tried_with_as_many_partitions_as_it_needs() -> None:
    machine = Machine(memory=1000, parameters=100)
    search_train(128, 6, 8192, machine.compile, machine.seconds)
    assert {layout.num_partitions for layout in machine.tried} == {64, 128}
