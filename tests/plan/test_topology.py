"""Names of TPU slices."""

import pytest

from tk_instruct.errors import UserError
from tk_instruct.plan.topology import GENERATIONS, topology_of


@pytest.mark.parametrize(
    ("name", "slice_", "chips", "devices"),
    [
        ("v3-256", "v3:8x16", 128, 256),
        ("v3:8x16", "v3:8x16", 128, 256),
        ("v2-8", "v2:2x2", 4, 8),
        ("v4-256", "v4:4x4x8", 128, 128),
        ("v5litepod-256", "v5e:16x16", 256, 256),
        ("v5e-8", "v5e:2x4", 8, 8),
        ("v5p-256", "v5p:4x4x8", 128, 128),
        ("v6e-1", "v6e:1x1", 1, 1),
        ("tpu7x:4x4x8", "tpu7x:4x4x8", 128, 256),
        ("cpu:256", "cpu:256", 256, 256),
    ],
)
def test_names_of_slices(name: str, slice_: str, chips: int, devices: int) -> None:
    found = topology_of(name)
    assert (found.name, found.num_chips, found.num_devices) == (slice_, chips, devices)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("v3", "--topology=v3 must be one of v2, v3, v4, v5e, v5p, v6e, tpu7x with a number"),
        ("a100-8", "try v3-256, v4:4x4x8 or cpu:256"),
        ("v3-100", "there are v3-8, v3-32, v3-128, v3-256, v3-512, v3-1024, v3-2048"),
        ("v4-7", "or give its shape in chips, such as v4:4x4x4"),
        ("tpu7x-256", "or give its shape in chips, such as tpu7x:4x4x4"),
        ("v5e:0x4", "--topology=v5e:0x4 has no chips"),
        ("cpu:99999999", "must be of at most 99999 devices"),
        ("cpu:0", "try v3-256, v4:4x4x8 or cpu:256"),
    ],
)
def test_what_is_no_slice_is_refused(name: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        topology_of(name)
    assert message in str(error.value)


def test_numbers_have_a_source() -> None:
    assert list(GENERATIONS) == ["v2", "v3", "v4", "v5e", "v5p", "v6e", "tpu7x"]
    assert all(generation.source for generation in GENERATIONS.values())
