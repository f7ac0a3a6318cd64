"""Collectives in a compiled program are those that were written, as often as they run."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tk_instruct.plan import hlo

DEVICES = 8
ROUNDS = 5
KIB = 1024
OPTIONS = {
    **os.environ,
    "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": f"--xla_force_host_platform_device_count={DEVICES}",
}
# A device's part is 1 KiB of float32 along x (4 devices) and y (2).
PROGRAM = """
import json
import jax
from jax.sharding import AxisType, PartitionSpec as P
from tk_instruct.plan import hlo

mesh = jax.make_mesh((4, 2), ("x", "y"), axis_types=(AxisType.Auto,) * 2)
lax = jax.lax
forward = [(0, 1), (1, 2), (2, 3), (3, 0)]

def once(part):
    whole = lax.all_gather(part, "x", tiled=True)                  # 4 KiB
    part = lax.psum_scatter(whole * 2, "x", tiled=True)            # of 4 KiB
    part = lax.psum(part, "y")                                     # 1 KiB
    part = lax.all_to_all(part.reshape(4, -1), "x", 0, 0).reshape(part.shape)
    return lax.ppermute(part, "x", forward)

def often(part):
    part, _ = lax.scan(lambda x, _: (once(x), None), part, None, length=ROUNDS)
    return lax.while_loop(lambda x: x[0] < 9, lambda x: lax.psum(x, "y") + 1, part)

def text(function):
    mapped = jax.shard_map(function, mesh=mesh, in_specs=P("x"), out_specs=P("x"), check_vma=False)
    argument = jax.ShapeDtypeStruct((1024,), "float32")
    return jax.jit(mapped).lower(argument).compile().as_text()

print(json.dumps([hlo.collectives(text(once)), hlo.collectives(text(often), while_trips=7)]))
"""


@pytest.fixture(scope="module")
def found() -> list[dict[str, Any]]:
    program = PROGRAM.replace("ROUNDS", str(ROUNDS))
    done = subprocess.run(
        [sys.executable, "-c", program], env=OPTIONS, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


# On a ring each device sends the parts that the others lack, in an all-reduce twice.
ONCE = {
    "all-gather": [1, 3 * KIB],
    "all-reduce": [1, 1 * KIB],
    "all-to-all": [1, 3 / 4 * KIB],
    "collective-permute": [1, 1 * KIB],
    "reduce-scatter": [1, 3 * KIB],
}


def test_every_kind_once(found: list[dict[str, Any]]) -> None:
    assert found[0] == ONCE


def test_loops_count_as_often_as_they_run(found: list[dict[str, Any]]) -> None:
    often = {kind: [ROUNDS * times, ROUNDS * size] for kind, (times, size) in ONCE.items()}
    often["all-reduce"] = [ROUNDS + 7, (ROUNDS + 7) * KIB]
    assert found[1] == often


# As the TPU compiler writes it: loops without a known count, groups as a mesh, a reduce-scatter
# as an all-reduce in a computation of its own, an all-gather in two fusions, one in
# start and done.
TPU = """\
HloModule jit_step, is_scheduled=true, num_partitions=16

%add.1 (a: f32[], b: f32[]) -> f32[] {
  %a = f32[] parameter(0)
  ROOT %b = f32[] parameter(1)
}

%all-reduce-scatter.1 (p: bf16[64,32]) -> bf16[8,32] {
  %p = bf16[64,32]{1,0:T(8,128)(2,1)} parameter(0)
  %all-reduce.1 = bf16[64,32]{1,0:T(8,128)(2,1)} all-reduce(%p), \
replica_groups=mesh['axis_0'=2,'axis_1'=8], device_ids=([8,2]T(1,0)) {'axis_1'}, to_apply=%add.1
  ROOT %s = bf16[8,32]{1,0} dynamic-slice(%all-reduce.1)
}

%fused_computation.1 (p: bf16[8,32]) -> bf16[64,32] {
  %p = bf16[8,32]{1,0} parameter(0)
  ROOT %g.1 = bf16[64,32]{1,0} all-gather(%p), channel_id=3, \
replica_groups={{0,2,4,6,8,10,12,14},{1,3,5,7,9,11,13,15}}, dimensions={0}
}

%async_collective_fusion.1 (p: bf16[8,32], w: bf16[32,32]) -> bf16[64,32] {
  %p = bf16[8,32]{1,0} parameter(0)
  ROOT %g.2 = bf16[64,32]{1,0} all-gather(%p), channel_id=3, \
replica_groups={{0,2,4,6,8,10,12,14},{1,3,5,7,9,11,13,15}}, dimensions={0}
}

%body.1 (t: (s32[], bf16[8,32])) -> (s32[], bf16[8,32]) {
  %t = (s32[]{:T(256)}, bf16[8,32]{1,0:T(8,128)(2,1)}) parameter(0)
  %x = bf16[8,32]{1,0} get-tuple-element(%t), index=1
  %f = bf16[64,32]{1,0} fusion(%x), kind=kCustom, calls=%fused_computation.1
  %h = bf16[64,32]{1,0} fusion(%f), kind=kCustom, calls=%async_collective_fusion.1
  %w = bf16[32,32]{1,0} constant({...})
  %y = bf16[64,32]{1,0} convolution(%h, %w), dim_labels=bf_io->bf
  %r = bf16[8,32]{1,0} fusion(%y), kind=kCustom, calls=%all-reduce-scatter.1
  ROOT %o = (s32[], bf16[8,32]) tuple(%x, %r)
}

%condition.1 (t: (s32[], bf16[8,32])) -> pred[] {
  %limit = s32[]{:T(256)} constant(24)
  ROOT %less = pred[] compare(%t, %limit), direction=LT
}

ENTRY %main (p: bf16[8,32]) -> bf16[8,32] {
  %p = bf16[8,32]{1,0} parameter(0)
  %while.1 = (s32[], /*index=1*/bf16[8,32]{1,0}) while(%t), condition=%condition.1, body=%body.1
  %start = (bf16[8,32]{1,0}, bf16[16,32]{1,0}) all-gather-start(%p), \
replica_groups={{0,1},{2,3}}, dimensions={0}
  %done = bf16[16,32]{1,0} all-gather-done(%start)
  %all = bf16[8,32]{1,0} all-to-all(%p), replica_groups={}, dimensions={0}
  ROOT %all-reduce.2 = bf16[8,32]{1,0} all-reduce(%w), replica_groups=[2,8]<=[16], to_apply=%add.1
}
"""


def test_the_tpu_compilers_text() -> None:
    matrix = 64 * 32 * 2
    assert hlo.collectives(TPU) == {
        "all-gather": (24 + 1, 24 * matrix * 7 / 8 + 16 * 32 * 2 / 2),
        "all-to-all": (1, 8 * 32 * 2 * 15 / 16),
        "all-reduce": (1, 2 * 8 * 32 * 2 * 7 / 8),
        "reduce-scatter": (24, 24 * matrix * 7 / 8),
    }
    assert hlo.product_bytes(TPU) == 24 * (2 * matrix + 32 * 32 * 2)
