"""Saves and restores a run: one record of state, data cursor and what they belong to (Orbax).

A checkpoint is written beside its place and renamed, so that it is there whole or not at all.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from tk_instruct.errors import UserError
from tk_instruct.files import cannot_write

# What a checkpoint was made with and must be continued with: field → (what it is, the repair).
_REPAIRS = {
    "model": "train the model that the checkpoint holds",
    "vocabulary": "use the vocabulary that the checkpoint was trained with",
    "data": "train on the same data",
}


@dataclass(frozen=True)
class Description:
    """What a checkpoint's numbers mean.

    model are T5Config's fields; vocabulary is {name, fingerprint}; data is what the cursor points
    into (mixture, feature lengths, batch size, seed, fingerprints); gin is the configuration.
    """

    model: Mapping[str, Any]
    vocabulary: Mapping[str, Any]
    data: Mapping[str, Any]
    gin: str

    def check_continues(self, saved: "Description", where: Path) -> None:
        """Raises UserError where a run may not go on from a saved one, naming the fields."""
        for part, repair in _REPAIRS.items():
            mine, theirs = getattr(self, part), getattr(saved, part)
            changed = [
                f"{part}.{key}={mine.get(key)!r} but the checkpoint has {theirs.get(key)!r}"
                for key in sorted({*mine, *theirs})
                if mine.get(key) != theirs.get(key) and key != "name"
            ]
            if changed:
                raise UserError(
                    f"{where} was made by another run: {'; '.join(changed)}; {repair}, or start "
                    "in a MODEL_DIR of its own"
                )


class Checkpoints:
    """The checkpoints of one run directory, MODEL_DIR/checkpoints/<step>/."""

    def __init__(self, model_dir: Path, keep: int | None = None, read_only: bool = False) -> None:
        self.directory = model_dir.absolute() / "checkpoints"
        if read_only and not self.directory.is_dir():
            raise UserError(
                f"{model_dir} holds no checkpoints/; give the MODEL_DIR of a run that has saved"
            )
        if not read_only:
            try:
                self.directory.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise cannot_write(self.directory, error) from error
        self._manager = ocp.CheckpointManager(
            self.directory,
            item_names=("state", "cursor", "description"),
            options=ocp.CheckpointManagerOptions(
                max_to_keep=keep,
                create=False,
                read_only=read_only,
                cleanup_tmp_directories=not read_only,  # what a killed save left behind
                enable_async_checkpointing=False,
            ),
        )

    def latest_step(self) -> int | None:
        return self._manager.latest_step()

    def step_or_latest(self, step: int | None) -> int:
        """The asked-for step, or the last; raises UserError where it is not there."""
        steps = sorted(self._manager.all_steps())
        if not steps:
            raise UserError(f"{self.directory} holds no finished checkpoint; train first")
        if step is not None and step not in steps:
            raise UserError(
                f"step={step} has no checkpoint in {self.directory}; there are "
                f"{', '.join(map(str, steps))}"
            )
        return steps[-1] if step is None else step

    def save(self, step: int, state: Any, cursor: Mapping[str, Any], about: Description) -> None:
        """Raises UserError where it cannot be written; the earlier checkpoints stay as they are."""
        try:
            self._manager.save(
                step,
                args=ocp.args.Composite(
                    state=ocp.args.StandardSave(state),
                    cursor=ocp.args.JsonSave(dict(cursor)),
                    description=ocp.args.JsonSave(vars(about)),
                ),
            )
            self._manager.wait_until_finished()
        except Exception as error:  # tensorstore, Orbax and the system each raise their own
            last = self._manager.latest_step()
            held = f"step {last} is the last good one" if last is not None else "there is none yet"
            raise UserError(
                f"the checkpoint of step {step} could not be written to {self.directory} "
                f"({_first_line(error)}); {held}; free space there and run the same command again"
            ) from error

    def description(self, step: int) -> Description:
        restored = self._manager.restore(
            step, args=ocp.args.Composite(description=ocp.args.JsonRestore())
        )
        return Description(**restored["description"])

    def restore(self, step: int, state_like: Any) -> tuple[Any, Mapping[str, Any]]:
        """State and cursor; state_like gives shapes, types and shardings of the state."""
        restored = self._manager.restore(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardRestore(state_like), cursor=ocp.args.JsonRestore()
            ),
        )
        return restored["state"], restored["cursor"]

    def restore_params(self, step: int, params_like: Any) -> Any:
        """The parameters alone; what the optimizer holds is left on disk."""
        restored = self._manager.restore(
            step,
            args=ocp.args.Composite(
                state=ocp.args.PyTreeRestore(
                    item={"params": params_like},
                    restore_args={
                        "params": jax.tree.map(
                            lambda leaf: ocp.ArrayRestoreArgs(
                                sharding=leaf.sharding, dtype=leaf.dtype
                            ),
                            params_like,
                        )
                    },
                    partial_restore=True,
                )
            ),
        )
        return restored["state"]["params"]

    def close(self) -> None:
        self._manager.close()


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:200]
