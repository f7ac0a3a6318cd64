"""Seconds, tokens a second and cost of a compiled step, worked out by hand for v3."""

import pytest

from tk_instruct.plan.compilation import Compiled, Layout
from tk_instruct.plan.estimate import Plan
from tk_instruct.plan.hlo import Collective
from tk_instruct.plan.topology import topology_of

CORES_PER_CHIP = 2


def plan(compute: float, memory: float, links: float) -> Plan:
    """Of a step that takes these seconds on a core of v3: a half of 123 TFLOP/s and so on."""
    compiled = Compiled(
        topology="v3:2x2",
        layout=Layout(1),
        mesh=(8, 1, 1),
        batch_size=8,
        num_tokens=8192,
        num_steps=3600,
        num_params=1,
        d_model=512,
        fits=True,
        limit_bytes=None,
        flops=compute * 123e12 / CORES_PER_CHIP,
        product_bytes=memory * 900e9 / CORES_PER_CHIP,
        collectives={
            "all-gather": Collective(3, links / 4 * 280e9 / CORES_PER_CHIP),
            "all-reduce": Collective(1, links * 3 / 4 * 280e9 / CORES_PER_CHIP),
        },
        seconds=0.0,
    )
    return Plan(compiled, topology_of("v3:2x2"), price_per_chip_hour=1.5)


def test_the_longest_is_the_floor() -> None:
    found = plan(compute=4.0, memory=1.0, links=2.0)
    assert found.estimate is not None
    assert (found.estimate.floor, found.estimate.bound_by) == (pytest.approx(4.0), "compute")
    assert found.at(1.0) == {
        "seconds_per_step": pytest.approx(4.0),
        "tokens_per_second": pytest.approx(2048.0),
        "hours": pytest.approx(4.0),
        "cost": pytest.approx(4 * 4 * 1.5),
    }
    assert found.at(0.5)["hours"] == pytest.approx(8.0)


def test_to_hide_little_is_better_than_a_slightly_lower_floor() -> None:
    much, little = plan(2.54, 1.03, 2.16), plan(2.57, 1.0, 0.5)
    assert much.at(1.0)["seconds_per_step"] < little.at(1.0)["seconds_per_step"]
    assert min(much, little, key=Plan.seconds_per_token) is little
    assert little.seconds_per_token() == pytest.approx((2.57 + 0.5) / 8192)
