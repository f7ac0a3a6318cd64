"""Train a model on a task or mixture, as gin files say; started again, a run continues.

tk-instruct train --gin_file=recipes/smoke.gin --gin.MODEL_DIR=/tmp/smoke
"""

import argparse
import json
import logging
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Literal

import gin

from tk_instruct import configuration, optim
from tk_instruct.errors import UserError
from tk_instruct.files import cannot_write, write_atomically
from tk_instruct.model.config import T5Config

if TYPE_CHECKING:
    import optax

log = logging.getLogger("tk_instruct")

# The engine itself does without gin; here it is given names that gin files can use.
gin.external_configurable(T5Config, module="tk_instruct")
for _configurable in (
    optim.adafactor,
    optim.adamw,
    optim.constant,
    optim.inverse_square_root,
    optim.linear_warmup_decay,
):
    gin.external_configurable(_configurable, module="optim")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    configuration.add_gin_arguments(parser)
    configuration.add_data_arguments(parser)


def main(args: argparse.Namespace) -> int:
    configuration.import_declarations()
    configuration.load("runs/train.gin", args.gin_file, args.gin_bindings)
    configuration.bind_data_arguments(args)
    train(gin.get_configurable(TrainRun)())  # its fields come from gin
    return 0


@gin.configurable(module="tk_instruct")
@dataclass(frozen=True)
class TrainRun:
    """One training run. Batch sizes count packed rows; periods count steps, 0 means never."""

    model_dir: str
    mixture: str
    feature_lengths: Mapping[str, int]
    model: T5Config
    optimizer: "optax.GradientTransformation"
    steps: int
    batch_size: int
    seed: int = 0
    log_every_steps: int = 20
    eval_every_steps: int = 1000
    max_eval_batches: int = 20
    save_every_steps: int = 1000
    keep_checkpoints: int = 3
    num_partitions: int | Literal["auto"] = 1
    z_loss: float = 1e-4
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        for field, least in {
            "steps": 1,
            "batch_size": 1,
            "log_every_steps": 1,
            "eval_every_steps": 0,
            "max_eval_batches": 1,
            "save_every_steps": 0,
            "keep_checkpoints": 1,
        }.items():
            value = getattr(self, field)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise UserError(f"TrainRun.{field}={value!r} must be a whole number ≥ {least}")
        if set(self.feature_lengths) != {"inputs", "targets"}:
            raise UserError(
                f"TASK_FEATURE_LENGTHS={dict(self.feature_lengths)!r} must give inputs and "
                "targets, e.g. {'inputs': 1024, 'targets': 128}"
            )


def train(run: TrainRun) -> None:
    """Restores or starts, steps, evaluates, saves; raises UserError for what a user can repair."""
    import jax

    from tk_instruct import sharding
    from tk_instruct.checkpoint import Checkpoints, Description
    from tk_instruct.data import cache, pipeline, registry
    from tk_instruct.losses import cross_entropy
    from tk_instruct.model.t5 import T5
    from tk_instruct.step import create_train_state, eval_step, train_step

    mesh = sharding.make_mesh(run.num_partitions)
    sharding.check_batch_size(run.batch_size, mesh)
    lengths = registry.FeatureLengths(**run.feature_lengths)
    model_dir = Path(run.model_dir).expanduser()
    about = Description(
        model=asdict(run.model),
        vocabulary=_vocabulary_of(run),
        data={
            "mixture": run.mixture,
            "lengths": lengths.as_dict(),
            "batch_size": run.batch_size,
            "seed": run.seed,
            "content": {
                task.name: task.source.fingerprint("train")
                for task in registry.tasks_of(run.mixture)
            },
        },
        gin=gin.config_str(),
    )
    if run.eval_every_steps:
        # Now, not at the first validation hours later, is the time to find that there is none.
        for task in registry.tasks_of(run.mixture):
            cache.open_tokens(task, "validation", lengths)
    checkpoints = Checkpoints(model_dir, keep=run.keep_checkpoints)
    last = checkpoints.latest_step()
    if last is not None:
        about.check_continues(checkpoints.description(last), checkpoints.directory / str(last))
    _keep_with_run(model_dir, about)

    model = T5(run.model)
    rng = jax.random.key(run.seed)
    initialise = partial(create_train_state, model, run.optimizer)
    shardings = sharding.state_shardings(model, run.optimizer, mesh)
    batches = iter(pipeline.train_batches(run.mixture, lengths, run.batch_size, run.seed))
    if last is None:
        first = 0
        state = jax.jit(initialise, out_shardings=shardings)(rng)
    else:
        first = last
        like = sharding.placed(jax.eval_shape(initialise, rng), shardings)
        state, cursor = checkpoints.restore(last, like)
        batches.set_state(cursor)
        log.info("continuing from step %d of %d in %s", last, run.steps, model_dir)

    loss = partial(cross_entropy, z_loss=run.z_loss, label_smoothing=run.label_smoothing)
    step_fn = jax.jit(
        partial(train_step, model=model, tx=run.optimizer, loss=loss),
        donate_argnums=0,
        out_shardings=(shardings, None),
    )
    # Validation is measured without what only makes training go better.
    eval_fn = jax.jit(partial(eval_step, model=model, loss=partial(cross_entropy, z_loss=0.0)))

    def validate(state: Any) -> dict[str, float]:
        totals = None
        batches = pipeline.eval_batches(run.mixture, "validation", lengths, run.batch_size)
        for number, batch in enumerate(batches):
            if number == run.max_eval_batches:
                break
            found = eval_fn(state.params, sharding.shard_batch(batch, mesh))
            totals = found if totals is None else {k: totals[k] + found[k] for k in found}
        assert totals is not None  # an empty split has been refused
        return {f"validation_{name}": float(mean.value()) for name, mean in totals.items()}

    def save(step: int) -> None:
        if checkpoints.latest_step() != step:
            checkpoints.save(step, state, batches.get_state(), about)

    with Log(model_dir, first, run) as write, _stop_requested() as stop:
        for step in range(first, run.steps):
            batch = next(batches)
            state, stats = step_fn(state, sharding.shard_batch(batch, mesh), rng)
            done = step + 1
            write.step(done, stats, pipeline.num_tokens(batch))
            if _due(done, run.eval_every_steps) or (done == run.steps and run.eval_every_steps):
                write.scores(done, validate(state))
            if _due(done, run.save_every_steps) or done == run.steps or stop:
                save(done)
            if stop and done < run.steps:
                log.warning(
                    "stopped by %s at step %d, which is saved; the same command continues",
                    stop[0].name,
                    done,
                )
                raise SystemExit(128 + stop[0])
    checkpoints.close()


def _due(step: int, period: int) -> bool:
    return period > 0 and step % period == 0


def _vocabulary_of(run: TrainRun) -> dict[str, Any]:
    from tk_instruct.data.vocabulary import fingerprint, vocabulary

    loaded = vocabulary()
    if loaded.vocab_size > run.model.vocab_size:
        raise UserError(
            f"VOCAB_SIZE={run.model.vocab_size} is below the vocabulary's {loaded.vocab_size} "
            f"ids; set --gin.VOCAB_SIZE={-(-loaded.vocab_size // 128) * 128} or use the vocabulary "
            "that the model was made for"
        )
    return {
        "name": getattr(loaded, "sentencepiece_model_file", "bytes"),
        "fingerprint": fingerprint(loaded),
        "size": loaded.vocab_size,
    }


def _keep_with_run(model_dir: Path, about: Any) -> None:
    """config.gin, and a copy of the vocabulary, so that the directory can be moved."""
    from tk_instruct.data.vocabulary import model_bytes, vocabulary

    write_atomically(model_dir / "config.gin", [about.gin])
    content = model_bytes(vocabulary())
    if content is not None and not (model_dir / "sentencepiece.model").exists():
        write_atomically(model_dir / "sentencepiece.model", content)


class Log:
    """metrics.jsonl, TensorBoard events and the progress line of one run.

    A continued run drops what was logged after the step that it continues from, so each step
    stands in metrics.jsonl once.
    """

    def __init__(self, model_dir: Path, first: int, run: TrainRun) -> None:
        from clu import metric_writers

        from tk_instruct.progress import Progress

        self.path = model_dir / "metrics.jsonl"
        kept = []
        if self.path.exists():
            for line in self.path.read_text(encoding="utf-8").splitlines(keepends=True):
                # A killed run can leave half a line at the end.
                if line.endswith("\n") and json.loads(line)["step"] <= first:
                    kept.append(line)
        write_atomically(self.path, kept)
        self.run = run
        self.pending: list[Mapping[str, Any]] = []
        self.validation = ""
        self.num_tokens = 0
        self.since = time.monotonic()
        self.tensorboard = metric_writers.SummaryWriter(str(model_dir))
        self.progress = Progress("step", run.steps, first)

    def __enter__(self) -> "Log":
        self.file = self.path.open("a", encoding="utf-8")
        self.progress.__enter__()
        return self

    def step(self, step: int, stats: Mapping[str, Any], num_tokens: int) -> None:
        """Takes a step's Means; fetches them from the device once in log_every_steps."""
        self.pending.append(stats)
        self.num_tokens += num_tokens
        if not (_due(step, self.run.log_every_steps) or step == self.run.steps):
            self.progress.advance()
            return
        import jax

        (first, *rest), self.pending = jax.device_get(self.pending), []
        totals = {name: sum((s[name] for s in rest), first[name]) for name in first}
        scores = {name: float(mean.value()) for name, mean in totals.items()}
        now = time.monotonic()
        scores["tokens_per_second"] = self.num_tokens / (now - self.since)
        scores["steps_per_second"] = (1 + len(rest)) / (now - self.since)
        self.since, self.num_tokens = now, 0
        self._write(step, scores)
        note = f"loss {scores['loss']:.3f}{self.validation}"
        note += f", {scores['tokens_per_second']:,.0f} tokens/s"
        self.progress.advance(note=note)

    def scores(self, step: int, scores: Mapping[str, float]) -> None:
        """Takes what a validation found; its time does not count as training time."""
        self._write(step, scores)
        self.validation = f", validation loss {scores['validation_loss']:.3f}"
        self.since = time.monotonic()

    def _write(self, step: int, scores: Mapping[str, float]) -> None:
        try:
            self.file.write(json.dumps({"step": step, **scores}) + "\n")
            self.file.flush()
        except OSError as error:
            raise cannot_write(self.path, error) from error
        self.tensorboard.write_scalars(step, dict(scores))

    def __exit__(self, *error: Any) -> None:
        self.progress.__exit__(*error)
        self.file.close()
        self.tensorboard.close()


@contextmanager
def _stop_requested() -> Iterator[list[signal.Signals]]:
    """A list that holds the signal once SIGINT or SIGTERM has come; a second one is not held."""
    received: list[signal.Signals] = []
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    def handle(number: int, frame: FrameType | None) -> None:
        received.append(signal.Signals(number))
        restore()

    for number in previous:
        signal.signal(number, handle)
    try:
        yield received
    finally:
        restore()
