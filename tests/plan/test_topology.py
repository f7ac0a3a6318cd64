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
        ("v4:16x16x16", "v4:16x16x16", 4096, 4096),
        ("v5p:16x20x28", "v5p:16x20x28", 8960, 8960),
        ("tpu7x:16x24x24", "tpu7x:16x24x24", 9216, 18432),
        ("cpu:256", "cpu:256", 256, 256),
        ("cpu:2048", "cpu:2048", 2048, 2048),
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
        ("v2:32x16", "has 512 chips, and a pod of v2 has 256; give the shape of a slice"),
        ("v3:32x64", "has 2,048 chips, and a pod of v3 has 1,024"),
        ("v4:16x16x20", "has 5,120 chips, and a pod of v4 has 4,096"),
        ("v5e:16x32", "has 512 chips, and a pod of v5e has 256"),
        ("v5p:16x24x24", "has 9,216 chips, and a pod of v5p has 8,960"),
        ("v6e:32x32", "has 1,024 chips, and a pod of v6e has 256"),
        ("tpu7x:24x24x24", "has 13,824 chips, and a pod of tpu7x has 9,216"),
        ("v4:99999x99999x99999", "and a pod of v4 has 4,096"),
        ("cpu:2049", "--topology=cpu:2049 must be of at most 2048 devices; try cpu:256"),
        ("cpu:99999999", "must be of at most 2048 devices"),
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
