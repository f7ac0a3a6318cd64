"""Train a model on a task or mixture, as gin files say. The same command continues a run.

tk-instruct train --gin_file=recipes/smoke.gin --gin.MODEL_DIR=/tmp/smoke
"""

import argparse
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import gin

from tk_instruct import configuration, distributed, goodput, lock, wandb_log
from tk_instruct.errors import MissingDataError, UserError
from tk_instruct.files import Path, check_target, inside, write_atomically
from tk_instruct.train_run import TrainRun

if TYPE_CHECKING:
    from tk_instruct.checkpoint import Description
    from tk_instruct.convert.tensors import Checkpoint
    from tk_instruct.program import Program

log = logging.getLogger("tk_instruct")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    configuration.add_gin_arguments(parser)
    configuration.add_data_arguments(parser)
    distributed.add_arguments(parser)


@distributed.with_others
def main(args: argparse.Namespace) -> int:
    configuration.import_declarations(args.modules, args.gin_search_paths)
    configuration.load("runs/train.gin", args.gin_file, args.gin_bindings)
    configuration.bind_data_arguments(args)
    train(configuration.configured(TrainRun))
    return 0


def train(run: TrainRun) -> None:
    """Restores or starts a run, trains, validates and saves.

    Raises:
        UserError: an error that the user can repair.
    """
    clock = goodput.Clock()
    from tk_instruct import convert
    from tk_instruct.data import registry
    from tk_instruct.data.tokens import FeatureLengths

    wandb_log.check_installed(run.wandb_project)
    # Names, paths and data are checked before JAX is imported, which takes seconds.
    registry.check_mixture(run.mixture)
    FeatureLengths(**run.feature_lengths)
    model_dir = _checked_model_dir(run)
    path = run.initial_checkpoint_path
    if path is not None and (run.prompt_length or not (model_dir / "checkpoints").exists()):
        convert.folder_of(path)
    vocabulary, content = _vocabulary_of(run), _content_of(run)

    from tk_instruct import sharding
    from tk_instruct.data import pipeline
    from tk_instruct.program import program_of

    program = program_of(run)
    sharding.check_memory((program.state, program.frozen))
    if run.eval_every_steps:
        # A missing validation split is told now, not at the first validation hours later.
        try:
            validated, without = pipeline.open_split(run.mixture, "validation", program.lengths)
        except MissingDataError as error:
            raise UserError(f"{error}, or train without validation (EVAL_PERIOD=0)") from error
        if without:
            log.info(
                "%d of %d tasks have no validation examples, and are left out of validation: %s",
                len(without),
                len(without) + len(validated),
                ", ".join(without),
            )
    frozen_model = convert.open_checkpoint(path) if path is not None and run.prompt_length else None
    frozen = convert.params_of(frozen_model, program.frozen, run.model) if frozen_model else {}
    about = _describe(run, program, vocabulary, content, frozen_model, frozen)
    with lock.held(model_dir / "lock", f"{model_dir} is being trained") as check_lock:
        _train(run, program, model_dir, about, frozen_model, frozen, check_lock, clock)


def _train(
    run: TrainRun,
    program: "Program",
    model_dir: Path,
    about: "Description",
    frozen_model: "Checkpoint | None",
    frozen: Any,
    check_lock: Callable[[], None],
    clock: goodput.Clock,
) -> None:
    import jax
    import jax.numpy as jnp

    from tk_instruct import convert, samples, sharding, soft_prompt
    from tk_instruct.checkpoint import Checkpoints
    from tk_instruct.data import pipeline
    from tk_instruct.run_log import RunLog

    mesh, lengths, layout, batch_size = (
        program.mesh,
        program.lengths,
        program.layout,
        program.batch_size,
    )
    checkpoints = Checkpoints(model_dir, keep=run.keep_checkpoints)
    last = checkpoints.latest_step()
    rng = sharding.replicated_key(run.seed, mesh)
    if last is not None:
        saved, state, cursor = checkpoints.resume(last, about, program.state)
        if last > run.steps:
            raise UserError(
                f"TRAIN_STEPS={run.steps} is below step {last}, which {model_dir} has reached; "
                f"give more than {last} to go on, or start in a MODEL_DIR of its own"
            )
        if last == run.steps:
            log.info(
                "step %d of %d is reached in %s: there is nothing to do", last, last, model_dir
            )
            checkpoints.close()
            return
        log.info("continuing from step %d of %d in %s", last, run.steps, model_dir)
        if distributed.is_first_process():
            _keep_former_configuration(model_dir, last, saved.gin, about.gin)
    if distributed.is_first_process():
        _keep_with_run(model_dir, about)

    local_rows = sharding.local_rows(mesh, batch_size)
    batches = pipeline.train_batches(
        run.mixture, lengths, batch_size, run.seed, layout, local_rows, run.num_train_examples
    )
    if last is not None:
        if {k: type(v) for k, v in cursor.items()} != dict.fromkeys(batches.get_state(), int):
            raise UserError(
                f"{checkpoints.directory / str(last)}: its cursor={dict(cursor)} must be of whole "
                f"numbers {', '.join(batches.get_state())}; it is damaged, move it away"
            )
        batches.set_state(dict(cursor))
    elif frozen_model is not None:
        vocab_size = about.vocabulary["size"]
        params = soft_prompt.sampled_vocabulary(frozen, run.prompt_length, vocab_size, run.seed)
        state = program.start(params, jnp.int32(0))
        log.info(
            "training a soft prompt of %d vectors for %s", run.prompt_length, frozen_model.path
        )
    elif (path := run.initial_checkpoint_path) is not None:
        params, step = convert.initial_params(path, program.state.params, run.model)
        state = program.start(params, jnp.int32(step))
        log.info("starting at step %d with the parameters of %s", step, path)
    else:
        with sharding.use(mesh):
            state = program.initialise(rng)
    first = int(state.step)
    if first >= run.steps and last is None:
        raise UserError(
            f"TRAIN_STEPS={run.steps} must be beyond the initial checkpoint's step {first}, which "
            f"counts; try --gin.TRAIN_STEPS={first + run.steps}"
        )

    def validate(state: Any) -> dict[str, float]:
        totals = None
        batches = pipeline.eval_batches(
            run.mixture, "validation", lengths, batch_size, layout, local_rows
        )
        for number, batch in enumerate(batches):
            if number == run.max_eval_batches:
                break
            params = {**frozen, **state.params}
            found = program.eval_step(params, sharding.shard_batch(batch.arrays, mesh))
            totals = found if totals is None else {k: totals[k] + found[k] for k in found}
        assert totals is not None  # an empty split has been refused
        return {f"validation_{name}": float(mean.value()) for name, mean in totals.items()}

    sample = samples.sampler(run, program)
    writers = wandb_log.writers(run.wandb_project, model_dir, _settings(about.gin))
    log_every, last_saved = run.log_every_steps, checkpoints.latest_step
    with (
        checkpoints,
        RunLog(model_dir, clock, first, run.steps, log_every, last_saved, writers) as write,
        distributed.stop_requested() as stop_at,
        sharding.use(mesh),
    ):
        compiled: set[tuple[tuple[int, ...], ...]] = set()  # shapes of batches
        stats: Mapping[str, Any] = {}
        clock.count_so_far("start")
        for step in range(first, run.steps):
            with clock.waits_for_input(stats["loss"].total if stats else None):
                batch = next(batches)
                arrays = sharding.shard_batch(batch.arrays, mesh)
            shapes = tuple(array.shape for array in arrays.values())
            if is_new := shapes not in compiled:
                compiled.add(shapes)
                jax.block_until_ready(state)  # former steps are not what is measured
            with clock.spent("compile" if is_new else "step"):
                if step == first:
                    sharding.check_program(
                        program.train_step.lower(state, arrays, rng, frozen).compile(),
                        "a step's parameters, batch and what is computed with them",
                        "lower BATCH_SIZE, BATCH_TOKENS or TASK_FEATURE_LENGTHS, or raise "
                        "NUM_MICROBATCHES",
                    )
                state, stats = program.train_step(state, arrays, rng, frozen)
                if is_new:
                    jax.block_until_ready(stats)
            done, scores = step + 1, None
            write.step(done, stats, batch, is_new)
            if run.eval_every_steps and (_due(done, run.eval_every_steps) or done == run.steps):
                jax.block_until_ready(stats)
                with clock.spent("validate"):
                    scores = validate(state)
                    answers = sample(done, {**frozen, **state.params})
                write.validated(done, scores, answers)
            stop = stop_at(done)
            if _due(done, run.save_every_steps) or done == run.steps or stop:
                check_lock()
                write.check_losses()  # a checkpoint after a NaN would be useless
                with clock.spent("save"):
                    checkpoints.save(done, state, batches.get_state(), about, scores)
            if stop:
                break
        with clock.spent("save"):
            checkpoints.wait()
        write.ended(done)
        if done < run.steps:
            assert stop
            log.warning(
                "stopped by %s at step %d, which is saved; the same command continues",
                stop.name,
                done,
            )
            raise SystemExit(128 + stop)


def _due(step: int, period: int) -> bool:
    return period > 0 and step % period == 0


def _checked_model_dir(run: TrainRun) -> Path:
    """MODEL_DIR; raises UserError where it cannot be a folder, or where links lead out of it."""
    from tk_instruct import run_log

    model_dir = Path(run.model_dir).expanduser()
    check_target(model_dir / "lock")
    names = ("checkpoints", "config.gin", "sentencepiece.model", *run_log.FILES, *wandb_log.FILES)
    for name in names:
        inside(model_dir, name)
    return model_dir


def _content_of(run: TrainRun) -> dict[str, str]:
    """The fingerprint of each task's training data.

    Raises UserError where data is missing, and where a task has ids of another vocabulary.
    """
    from tk_instruct.data import registry
    from tk_instruct.data.task import check_split, check_vocabulary

    tasks = registry.tasks_of(run.mixture)
    for task in tasks:
        check_split(task, "train")
        check_vocabulary(task)
    return {task.name: task.fingerprint("train") for task in tasks}


def _made_with(run: TrainRun) -> list[str]:
    """The versions of what the prompts are made with, for people who look at a run later."""
    from tk_instruct.data import registry

    sources = [getattr(task, "source", None) for task in registry.tasks_of(run.mixture)]
    ways = {source.made_with for source in sources if source}
    return sorted({made_with() for made_with in ways} - {""})


def _describe(
    run: TrainRun,
    program: "Program",
    vocabulary: Mapping[str, Any],
    content: Mapping[str, str],
    frozen_model: "Checkpoint | None",
    frozen: Any,
) -> "Description":
    from tk_instruct import soft_prompt
    from tk_instruct.checkpoint import Description

    return Description(
        model=asdict(run.model),
        vocabulary=vocabulary,
        data={
            "mixture": run.mixture,
            "lengths": program.lengths.as_dict(),
            "batch_size": program.batch_size,
            "seed": run.seed,
            "num_train_examples": run.num_train_examples,
            "content": content,
            "made_with": _made_with(run),
        },
        gin=gin.config_str(),
        soft_prompt=soft_prompt.described(run.prompt_length, frozen_model, frozen)
        if frozen_model
        else {},
    )


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


def _keep_former_configuration(model_dir: Path, step: int, former: str, now: str) -> None:
    """Warns of changed settings, and keeps the former config.gin as config_until_STEP.gin."""
    old, new = _settings(former), _settings(now)

    def is_unset(value: str | None) -> bool:
        """A suite that was not installed before adds its macros, which stay None."""
        named = new.get(value[1:]) if value and value.startswith("%") else value
        return named in (None, "None")

    changed = [
        f"{name}={new.get(name, 'not set')} (until then {old.get(name, 'not set')})"
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name) and name != "MODEL_DIR"
        if name in old or not is_unset(new.get(name))
    ]
    kept = inside(model_dir, f"config_until_{step}.gin")
    if changed:
        log.warning(
            "from step %d on %s; the configuration until then is kept in %s",
            step,
            ", ".join(changed),
            kept,
        )
        if not kept.exists():
            write_atomically(kept, [former])


def _settings(config: str) -> dict[str, str]:
    """The output of gin.config_str as name → value. The further lines of a value are indented."""
    return dict(re.findall(r"(?m)^(\S+) = (.*)$", re.sub(r" *\\?\n +", " ", config)))


def _keep_with_run(model_dir: Path, about: "Description") -> None:
    """Writes config.gin and a copy of the vocabulary, so that the directory can be moved."""
    from tk_instruct.data.vocabulary import model_bytes, vocabulary

    write_atomically(model_dir / "config.gin", [about.gin])
    content = model_bytes(vocabulary())
    if content is not None and not (model_dir / "sentencepiece.model").exists():
        write_atomically(model_dir / "sentencepiece.model", content)
