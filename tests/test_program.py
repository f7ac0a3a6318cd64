from collections.abc import Callable
from typing import Any

import jax
import pytest

from tk_instruct import optim, step
from tk_instruct.model.config import T5Config
from tk_instruct.program import program_of
from tk_instruct.train_run import TrainRun


@pytest.mark.parametrize("prompt_length", [0, 4])
def test_a_program_makes_its_abstract_state_once(
    prompt_length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            calls.append(function.__name__)
            return function(*arguments)

        return call

    monkeypatch.setattr(step, "init_params", counted(step.init_params))
    program = program_of(
        TrainRun(
            model_dir="unused",
            mixture="unused",
            feature_lengths={"inputs": 16, "targets": 8},
            model=T5Config(
                vocab_size=64,
                d_model=16,
                num_heads=2,
                head_dim=8,
                d_ff=16,
                num_encoder_layers=1,
                num_decoder_layers=1,
            ),
            optimizer=optim.adafactor(0.1),
            steps=1,
            batch_size=jax.device_count(),
            prompt_length=prompt_length,
            initial_checkpoint_path="unused" if prompt_length else None,
        ),
        device_bytes=2**30,
    )
    assert calls == ["init_params"]
    if prompt_length:
        assert list(program.state.params) == ["soft_prompt"]
        assert program.frozen["token_embedder"]["embedding"].shape == (64, 16)
    else:
        assert program.frozen == {}
