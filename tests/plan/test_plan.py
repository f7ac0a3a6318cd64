"""`tk-instruct plan` on fake devices, and with the TPU compiler where it is installed."""

import importlib.util
import json
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from tk_instruct import cli, plan
from tk_instruct.plan import compiler

needs_libtpu = pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None, reason="the extra [plan] is not installed"
)


@pytest.fixture(scope="module")
def recipe(tiny_recipe: list[str]) -> list[str]:
    # Neither data nor vocabulary have to be there.
    return ["plan", *tiny_recipe, "--gin.DATA_DIR=nowhere", "--gin.VOCABULARY=bytes"]


@pytest.fixture
def read_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recipes are read in this process, in which TensorFlow may be already: a child imports it."""
    monkeypatch.setattr(plan, "read_run", compiler._read_run)


@pytest.fixture
def compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has been compiled is printed in another form without asking the compiler again."""
    monkeypatch.setattr(plan, "_compiled", cache(plan._compiled))


def planned(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = cli.main(list(arguments))
    captured = capfd.readouterr()
    return status, captured.out, captured.err


@pytest.mark.usefixtures("read_here")
def test_fake_devices(
    recipe: list[str],
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    arguments = [*recipe, "--topology=cpu:8", "--gin.NUM_PARTITIONS=2", "--gin.NUM_FSDP_SHARDS=4"]
    status, out, err = planned(capfd, *arguments)
    assert status == 0, err
    head, columns, row, best, as_, *rest = out.splitlines()
    assert head.startswith("cpu:8: 8 chips, 8 devices; 0.043M parameters, 8 rows, 200 steps")
    assert columns.split()[:5] == ["data", "×", "fsdp", "×", "model"]
    assert row.split()[:8] == ["1", "×", "4", "×", "2", "none", "1", "yes"]
    assert best == "best: data 1 × fsdp 4 × model 2"
    flags = "--gin.NUM_PARTITIONS=2 --gin.NUM_FSDP_SHARDS=4 --gin.REMAT=none"
    assert as_.strip() == f"as      {flags} --gin.NUM_MICROBATCHES=1"
    assert any(line.startswith("  sends   all-gather") for line in rest)

    # The second time nothing is compiled, and what is not of the program is of this run.
    status, out, err = planned(capfd, *arguments, "--gin.TRAIN_STEPS=300", "--json")
    assert "known already" in caplog.text
    (found,) = map(json.loads, out.splitlines())
    assert found["fits"]
    assert found["recommended"]
    assert found["mesh"] == [1, 4, 2]
    assert (found["num_tokens"], found["num_steps"]) == (8 * 160, 300)
    assert found["collectives"]["all-gather"][0] > 0
    assert found["floors"] is None


@pytest.mark.slow  # tests/test_sharding.py has the rule
def test_a_batch_that_does_not_divide(recipe: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    status, _, err = planned(capfd, *recipe, "--topology=cpu:16")
    assert status == 2
    assert "error: batch_size=8 does not divide over 16 data shards; try 16" in err


def test_arguments_that_mean_nothing(
    recipe: list[str], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    status, _, err = planned(capfd, *recipe, "--topology=cpu:8", "--batch_size=8")
    assert (status, err.count("--gin.BATCH_SIZE=N")) == (2, 1)
    status, _, err = planned(capfd, *recipe, "--topology=cpu:8", "--price_per_chip_hour=-1")
    assert (status, err.count("must be a price")) == (2, 1)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    status, _, err = planned(capfd, *recipe, "--topology=v3-8")
    assert status == 2
    assert "pip install 'tk_instruct[plan]'; without it --topology=cpu:8 still checks" in err


@pytest.mark.slow
@pytest.mark.usefixtures("read_here")
def test_a_search_passes_over_what_the_model_cannot_be_divided_into(
    recipe: list[str], capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    status, out, err = planned(
        capfd, *recipe, "--topology=cpu:4", "--gin.NUM_HEADS=1", "--gin.REMAT=full", "--search"
    )
    assert status == 0, err
    assert [line.split()[5] for line in out.splitlines()[2:4]] == ["full", "none"]
    assert "best: data 4 × fsdp 1 × model 1" in out
    assert "heads=1 of decoder/relpos_bias/rel_embedding does not divide" in caplog.text


Found = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def found(recipe: list[str], capfd: pytest.CaptureFixture[str]) -> Found:
    def plan(*arguments: str) -> tuple[int, dict[str, Any]]:
        status, out, _ = planned(capfd, *recipe, *arguments, "--json")
        return status, json.loads(out)

    return plan


@needs_libtpu
@pytest.mark.usefixtures("read_here", "compiled_once")
def test_a_tpu(found: Found, recipe: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    status, step = found("--topology=v3-8", "--price_per_chip_hour=2")
    assert (status, step["fits"], step["topology"]) == (0, True, "v3:2x2")
    # The compiler's own numbers: what programs may use of a core's 16 GiB, and what this one does.
    assert step["limit_bytes"] / 2**30 == pytest.approx(15.48, abs=0.01)
    assert 0 < step["argument_bytes"] < step["limit_bytes"]
    assert step["collectives"]["all-reduce"][0] > 0
    assert set(step["floors"]) == {"compute", "memory", "links"}
    floor, half = step["at_floor"], step["at_half"]
    assert half["tokens_per_second"] == pytest.approx(floor["tokens_per_second"] / 2)
    assert floor["cost"] == pytest.approx(floor["hours"] * 4 * 2)

    # A tiny model's numbers are small, and none is printed as 0.
    status, text, _ = planned(capfd, *recipe, "--topology=v3-8", "--price_per_chip_hour=2")
    assert "bound by" in text
    for zero in ("0.00M", "0.000 s", "cost    0 "):
        assert zero not in text


@needs_libtpu
@pytest.mark.slow
@pytest.mark.usefixtures("read_here")
def test_other_tpus_other_verbs_and_what_does_not_fit(found: Found) -> None:
    status, step = found("--topology=v3-8", "--gin.BATCH_SIZE=262_144")
    assert (status, step["fits"], step["recommended"]) == (1, False, False)
    assert "exceeds available HBM (15.48G)" in step["refusal"]

    status, step = found("--topology=v6e-1")
    assert (status, step["mesh"], step["collectives"]) == (0, [1, 1, 1], {})

    decode = ["--verb=predict", "--batch_size=16", "--gin.NUM_PARTITIONS=2"]
    status, decoding = found("--topology=v5e-8", *decode)
    assert (status, decoding["mesh"], decoding["num_steps"]) == (0, [4, 1, 2], None)
    assert decoding["num_tokens"] == 16 * 16


@needs_libtpu
@pytest.mark.usefixtures("read_here")
def test_a_shape_that_no_tpu_has(recipe: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    status, _, err = planned(capfd, *recipe, "--topology=v5e:3x5")
    assert status == 2
    assert "error: --topology=v5e:3x5 is refused by libtpu" in err
