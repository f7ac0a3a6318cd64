"""The functions that a training run computes, and their devices; `train` and `plan` use them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
from jax.sharding import Mesh
from jaxtyping import Array

from tk_instruct import model, sharding
from tk_instruct.data import packing
from tk_instruct.data.tokens import FeatureLengths
from tk_instruct.errors import UserError
from tk_instruct.losses import cross_entropy
from tk_instruct.model.config import DecoderConfig
from tk_instruct.model.language_model import prompt_ids
from tk_instruct.step import (
    Batch,
    Metrics,
    TrainState,
    abstract_state,
    create_train_state,
    eval_step,
    start_from,
    train_step,
)
from tk_instruct.train_run import TrainRun


@dataclass(frozen=True)
class Program:
    """A run's jitted functions over a mesh, and their arguments.

    Attributes:
        lengths: tokens of a row's inputs and targets.
        layout: makes rows of examples.
        batch_size: rows of a global batch.
        state: shapes, types and shardings of the state.
        frozen: shapes, types and shardings of the parameters that are not trained; empty, unless
            a soft prompt is trained.
        initialise: key → state at step 0.
        start: parameters (donated), step → state with a fresh optimizer.
        train_step: state (donated), batch, key, frozen parameters → next state and metrics.
        eval_step: parameters, batch → metrics.
    """

    mesh: Mesh
    lengths: FeatureLengths
    layout: packing.MakeLayout
    batch_size: int
    state: TrainState
    frozen: Any
    initialise: Callable[[Array], TrainState]
    start: Callable[[Any, Any], TrainState]
    train_step: jax.stages.Wrapped  # jitted: callable, and to be compiled ahead of time
    eval_step: Callable[[Any, Batch], Metrics]


# Input and target tokens of one batch. The largest recipe has 64 times fewer.
_MOST_POSITIONS = 2**26


def check_positions(batch_size: int, lengths: FeatureLengths) -> None:
    """Raises UserError for a batch that is too large for any memory."""
    positions = batch_size * (lengths.inputs + lengths.targets)
    if positions > _MOST_POSITIONS:
        raise UserError(
            f"batch_size={batch_size} rows of {lengths.inputs} and {lengths.targets} tokens are "
            f"{positions:,} positions, at most {_MOST_POSITIONS:,} are taken; lower BATCH_SIZE, "
            "BATCH_TOKENS or TASK_FEATURE_LENGTHS"
        )


def program_of(
    run: TrainRun,
    devices: Sequence[jax.Device] | None = None,
    device_bytes: int | None = None,
) -> Program:
    """The program of a run on these devices (by default all).

    Args:
        device_bytes: memory of a device; by default what the device reports.

    Raises:
        UserError: the model or the batch does not divide over the devices.
    """
    devices = jax.devices() if devices is None else devices
    net, tx = model.build(run.model, run.prompt_length), run.optimizer
    state, frozen = abstract_state(net, tx)
    num_fsdp_shards = run.num_fsdp_shards
    if num_fsdp_shards == "auto":
        num_fsdp_shards = sharding.fsdp_shards_for_memory(
            # Gradients have the size of the parameters that are trained.
            sharding.num_bytes((state, state.params, frozen)),
            run.model.d_model,
            run.num_partitions,
            len(devices),
            device_bytes,
        )
    mesh = sharding.make_mesh(run.num_partitions, num_fsdp_shards, devices)
    lengths = FeatureLengths(**run.feature_lengths)
    decoder_only = isinstance(run.model, DecoderConfig)
    layout = partial(
        packing.DecoderRows if decoder_only else packing.EncoderDecoderRows,
        prompt=prompt_ids(run.model, run.prompt_length),
    )
    batch_size = run.batch_size or packing.rows_for_tokens(run.batch_tokens or 0, lengths, layout)
    check_positions(batch_size, lengths)
    sharding.check_batch_size(batch_size, mesh, run.num_microbatches)

    state, frozen = sharding.placed((state, frozen), mesh)
    shardings = jax.tree.map(lambda array: array.sharding, state)
    loss = partial(cross_entropy, z_loss=run.z_loss, label_smoothing=run.label_smoothing)
    return Program(
        mesh=mesh,
        lengths=lengths,
        layout=layout,
        batch_size=batch_size,
        state=state,
        frozen=frozen,
        initialise=jax.jit(partial(create_train_state, net, tx), out_shardings=shardings),
        start=jax.jit(partial(start_from, tx=tx), donate_argnums=0, out_shardings=shardings),
        train_step=jax.jit(
            partial(
                train_step,
                model=net,
                tx=tx,
                loss=loss,
                num_microbatches=run.num_microbatches,
            ),
            donate_argnums=0,
            out_shardings=(shardings, sharding.replicated(mesh)),
        ),
        # z_loss and label smoothing help training; validation measures the plain cross-entropy.
        eval_step=jax.jit(
            partial(eval_step, model=net, loss=partial(cross_entropy, z_loss=0.0)),
            out_shardings=sharding.replicated(mesh),
        ),
    )
