import subprocess
import sys
from typing import Any

import optax
import pytest

from tk_instruct import optim
from tk_instruct.configuration import values
from tk_instruct.errors import UserError
from tk_instruct.model.config import DecoderConfig, T5Config
from tk_instruct.train_run import TrainRun

MODEL = DecoderConfig(vocab_size=64, d_model=16, num_heads=2, head_dim=8, d_ff=16, num_layers=1)


def run_with(**fields: Any) -> TrainRun:
    given = {"model": MODEL, "optimizer": optim.adafactor(0.1), "batch_size": 8, **fields}
    lengths = {"inputs": 16, "targets": 8}
    return TrainRun(model_dir="x", mixture="x", feature_lengths=lengths, steps=1, **given)


def imported_by(code: str) -> list[str]:
    """Which of the heavy packages a fresh Python has imported after running this code."""
    heavy = {"flax", "jax", "numpy", "optax", "orbax", "seqio", "tensorflow"}
    code += f"\nimport sys; print(*sorted({heavy} & set(sys.modules)))"
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def test_settings_are_checked_without_jax() -> None:
    code = """
import tk_instruct.plan, tk_instruct.train
from tk_instruct import optim
from tk_instruct.configuration import values
from tk_instruct.errors import UserError
from tk_instruct.model.config import T5Config
from tk_instruct.train_run import TrainRun

rate = optim.inverse_square_root(0.1, warmup_steps=10)
for make in (
    lambda: optim.adafactor(rate, weight_decay=2),
    lambda: optim.adafactor(rate, max_gradient_norm=0),
    lambda: optim.adamw(rate, b1=1),
    lambda: optim.adamw(-1),
    lambda: optim.constant(-1),
    lambda: optim.linear_warmup_decay(0.1, warmup_steps=0, decay_steps=0),
    lambda: T5Config(vocab_size=0, d_model=1, num_heads=1, d_ff=1,
                     num_encoder_layers=1, num_decoder_layers=1),
):
    try:
        make()
    except UserError:
        continue
    raise AssertionError(make)
TrainRun(model_dir="x", mixture="x", feature_lengths={"inputs": 8, "targets": 8}, steps=1,
         batch_size=8, optimizer=optim.adafactor(rate), model=T5Config(vocab_size=8, d_model=8,
         num_heads=1, d_ff=8, num_encoder_layers=1, num_decoder_layers=1))
for selector in ("tk_instruct.TrainRun", "optim.adafactor", "optim.constant"):
    values.annotations(selector)
"""
    assert imported_by(code) == []


def test_the_engine_needs_neither_seqio_nor_tensorflow() -> None:
    code = """
import tk_instruct.losses, tk_instruct.model.decode, tk_instruct.model.decoder
import tk_instruct.model.t5, tk_instruct.program, tk_instruct.transformations
"""
    assert imported_by(code) == ["flax", "jax", "numpy", "optax"]


def test_gin_knows_the_types_of_a_run() -> None:
    run = values.annotations("tk_instruct.TrainRun")
    assert (run["model"], run["optimizer"]) == (T5Config | DecoderConfig, optim.Optimizer)
    values.check_result("optim.adafactor", run["optimizer"])
    with pytest.raises(ValueError, match="must be @Optimizer"):
        values.check_result("values.tk_instruct.T5Config", run["optimizer"])
    assert values.read("1e-3", values.annotations("optim.adafactor")["learning_rate"]) == 1e-3


def test_any_optax_transformation_is_an_optimizer() -> None:
    for optimizer in (optim.adamw(0.1), optax.sgd(0.1), optax.scale(-0.1)):
        assert run_with(optimizer=optimizer).optimizer is optimizer
    for other in (MODEL, optim.adamw, 3, None):
        with pytest.raises(UserError, match=r"TrainRun.optimizer=.* must be what a function makes"):
            run_with(optimizer=other)
