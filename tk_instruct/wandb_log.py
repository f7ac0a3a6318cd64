"""Logs a run's metrics and samples to Weights & Biases, too.

Errors of its server do not end a training run, which then goes on without it.
"""

import hashlib
import logging
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from tk_instruct import distributed
from tk_instruct.errors import UserError
from tk_instruct.files import Path, is_local, read_bytes, write_atomically

if TYPE_CHECKING:
    from tk_instruct.run_log import Sample, Writer

log = logging.getLogger("tk_instruct")

_ID = "wandb_id"
FILES = ("wandb", _ID)
"""What is in a run's directory: the folder of the package, and the id of the W&B run."""
_SECONDS_TO_FINISH = 60


def check_installed(project: str | None) -> None:
    """Raises UserError if a project is given and the package is missing."""
    if project is None:
        return
    try:
        from wandb import init  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"WANDB_PROJECT={project!r} needs the package wandb; install it with pip install "
            "'tk_instruct[wandb]', or leave WANDB_PROJECT out"
        ) from error


def writers(
    project: str | None, model_dir: Path, settings: Mapping[str, str]
) -> "Sequence[Writer]":
    """What logs to a project: one writer, or none without a project and without its server.

    Args:
        settings: of the run, which W&B shows.

    Raises:
        UserError: nobody is logged in.
    """
    if project is None or not distributed.is_first_process():
        return []
    import wandb

    try:
        run = wandb.init(
            project=project,
            id=_kept_id(model_dir),
            name=model_dir.name,
            resume="allow",
            dir=os.fspath(model_dir) if is_local(model_dir) else None,
            config=dict(settings),
            settings=wandb.Settings(console="off", finish_timeout=_SECONDS_TO_FINISH),
        )
        # A run that continues after a kill has done some steps before; W&B's own count of steps
        # would refuse to see them again.
        run.define_metric("*", step_metric="step")
    except wandb.errors.UsageError as error:
        raise UserError(
            f"WANDB_PROJECT={project!r}: {str(error).removesuffix('.')}; run `wandb login`, set "
            "WANDB_MODE=offline, or leave WANDB_PROJECT out"
        ) from error
    except Exception as error:  # of the server, the network and the package, without a common class
        _warn(error)
        return []
    return [_WandbWriter(run)]


class _WandbWriter:
    def __init__(self, run: Any) -> None:
        self._run = run
        self._works = True

    def write(self, step: int, scores: Mapping[str, float]) -> None:
        self._do(lambda: self._run.log({"step": step, **scores}))

    def write_samples(self, step: int, samples: "Sequence[Sample]") -> None:
        self._do(lambda: self._run.log({"step": step, "samples": _table(samples)}))

    def close(self, failed: bool) -> None:
        self._do(lambda: self._run.finish(exit_code=int(failed)))

    def _do(self, something: Callable[[], Any]) -> None:
        if not self._works:
            return
        try:
            something()
        except Exception as error:
            self._works = False
            _warn(error)


def _table(samples: "Sequence[Sample]") -> Any:
    import wandb

    table = wandb.Table(columns=[*samples[0].__struct_fields__])
    for sample in samples:
        table.add_data(*msgspec.structs.astuple(sample))
    return table


def _warn(error: Exception) -> None:
    line = (str(error).splitlines() or [type(error).__name__])[0]
    log.warning("nothing more is logged to Weights & Biases (%s); training goes on", line)


def _kept_id(model_dir: Path) -> str:
    """The id of a model directory's W&B run, which moves with it.

    It is made of the directory's path and the time, so that a new run in the same place is another.
    """
    path = model_dir / _ID
    if path.exists():
        kept = read_bytes(path).decode("utf-8", "replace").strip()
        if not re.fullmatch(r"[\w-]{1,64}", kept, re.ASCII):
            raise UserError(
                f"{path} holds {kept[:80]!r}, which is no id of a run; restore it, or remove it to "
                "start another run of Weights & Biases"
            )
        return kept
    about = f"{os.uname().nodename} {model_dir} {time.time_ns()}"
    made = hashlib.sha256(about.encode()).hexdigest()[:16]
    write_atomically(path, [made + "\n"])
    return made
