"""The settings of a training run, and the names by which gin files give them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import gin

from tk_instruct import optim
from tk_instruct.errors import UserError
from tk_instruct.model.config import DecoderConfig, T5Config
from tk_instruct.ranges import check_number, check_seed, check_whole

# The engine itself does not import gin. Its functions get their gin names here.
for _config in (T5Config, DecoderConfig):
    gin.external_configurable(_config, module="values.tk_instruct")
for _configurable in (
    optim.adafactor,
    optim.adamw,
    optim.constant,
    optim.inverse_square_root,
    optim.linear_warmup_decay,
):
    gin.external_configurable(_configurable, module="optim")


@gin.configurable(module="tk_instruct")
@dataclass(frozen=True)
class TrainRun:
    """One training run. Periods are in steps; 0 means never.

    Attributes:
        steps: the step at which the run ends; the steps of an initial checkpoint count.
        initial_checkpoint_path: the checkpoint whose parameters and step a new run starts from.
            With a soft prompt, the frozen model.
        prompt_length: vectors of a soft prompt. Only the prompt is then trained, from step 0. 0
            trains the model.
        num_train_examples: examples of each task's train split, drawn by the seed; None is all.
        batch_size: packed rows in a step. Give this or batch_tokens.
        batch_tokens: positions in a step, of the encoder, or of a decoder without encoder.
        num_microbatches: parts of a batch whose gradients are computed one after another.
        num_samples: validation examples whose greedy answers are kept at every validation.
        keep_checkpoints: number of last checkpoints to keep. The checkpoint with the lowest
            validation loss is kept too.
        num_partitions: devices that compute a layer together.
        num_fsdp_shards: groups of such devices that share one copy of the parameters. "auto" is 1
            where the memory allows it, else as many as are fast.
        wandb_project: the project of Weights & Biases that metrics and samples are logged to, too;
            None is none.

    Raises:
        UserError: a setting that no run can have.
    """

    model_dir: str
    mixture: str
    feature_lengths: Mapping[str, int]
    model: T5Config | DecoderConfig
    optimizer: optim.Optimizer
    steps: int
    initial_checkpoint_path: str | None = None
    prompt_length: int = 0
    num_train_examples: int | None = None
    batch_size: int | None = None
    batch_tokens: int | None = None
    num_microbatches: int = 1
    seed: int = 0
    log_every_steps: int = 20
    eval_every_steps: int = 1000
    max_eval_batches: int = 20
    num_samples: int = 4
    save_every_steps: int = 1000
    keep_checkpoints: int = 3
    num_partitions: int | Literal["auto"] = 1
    num_fsdp_shards: int | Literal["auto"] = "auto"
    z_loss: float = 1e-4
    label_smoothing: float = 0.0
    wandb_project: str | None = None

    def __post_init__(self) -> None:
        if (self.batch_size is None) == (self.batch_tokens is None):
            raise UserError(
                f"BATCH_SIZE={self.batch_size} and BATCH_TOKENS={self.batch_tokens}: one of the "
                "two must be set; try --gin.BATCH_SIZE=128"
            )
        if not self.model_dir:
            raise UserError("MODEL_DIR='' must name a folder; give --gin.MODEL_DIR=RUN")
        check_seed("RANDOM_SEED", self.seed)
        check_number("Z_LOSS", self.z_loss, "[0, 1]", try_=1e-4)
        check_number("LABEL_SMOOTHING", self.label_smoothing, "[0, 1)", try_=0.1)
        for field, kind, example in (
            ("model", T5Config | DecoderConfig, "@T5Config()"),
            ("optimizer", optim.Optimizer, "@optim.adafactor()"),
        ):
            if not isinstance(value := getattr(self, field), kind):
                raise UserError(
                    f"TrainRun.{field}={value!r} must be what a function makes; try {example}"
                )
        for field, least in {
            "steps": 1,
            "prompt_length": 0,
            "num_train_examples": 1,
            "batch_size": 1,
            "batch_tokens": 1,
            "num_microbatches": 1,
            "log_every_steps": 1,
            "eval_every_steps": 0,
            "max_eval_batches": 1,
            "num_samples": 0,
            "save_every_steps": 0,
            "keep_checkpoints": 1,
            "num_partitions": 1,
            "num_fsdp_shards": 1,
        }.items():
            value = getattr(self, field)
            if value is None and field in ("batch_size", "batch_tokens", "num_train_examples"):
                continue
            if value == "auto" and field in ("num_partitions", "num_fsdp_shards"):
                continue
            check_whole(f"TrainRun.{field}", value, least, optim.MOST_STEPS)
        if self.prompt_length and self.initial_checkpoint_path is None:
            raise UserError(
                f"PROMPT_LENGTH={self.prompt_length} trains a soft prompt for a model that stays "
                "as it is, and INITIAL_CHECKPOINT_PATH=None names none; give "
                "--gin.INITIAL_CHECKPOINT_PATH=CHECKPOINT, or --gin.PROMPT_LENGTH=0"
            )
        if set(self.feature_lengths) != {"inputs", "targets"}:
            raise UserError(
                f"TASK_FEATURE_LENGTHS={dict(self.feature_lengths)!r} must give inputs and "
                "targets, e.g. {'inputs': 1024, 'targets': 128}"
            )
