"""Loads a checkpoint as a model, and makes batches of examples, for predict and rank."""

import argparse
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import gin
import numpy as np
from jaxtyping import Int32

from tk_instruct import configuration
from tk_instruct.errors import UserError
from tk_instruct.files import Path, is_stream, read_bytes
from tk_instruct.journal import Example
from tk_instruct.ranges import whole_number

if TYPE_CHECKING:
    from jax.sharding import Mesh

    from tk_instruct.checkpoint import Checkpoints, Description
    from tk_instruct.data.tokenization import Tokenizer
    from tk_instruct.data.tokens import FeatureLengths
    from tk_instruct.model.language_model import LanguageModel

_SHORTEST_ROW = 32  # tokens: below, another shape costs more to compile than it saves
MOST_TIMES_BATCH_SIZE = 4


def add_step_argument(parser: argparse.ArgumentParser) -> None:
    def step(text: str) -> int | Literal["best"]:
        if text == "best":
            return "best"
        if text.isdecimal():
            return int(text)
        raise UserError(f"--step={text} must be a whole number or best; leave it out for the last")

    parser.add_argument(
        "--step", type=step, metavar="N", help="of the checkpoint, or best (default: the last)"
    )


def add_batch_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--batch_size",
        type=whole_number,
        default=32,
        metavar="N",
        help="examples at once of the longest inputs; of shorter ones it is up to "
        f"{MOST_TIMES_BATCH_SIZE} times as many (default: 32)",
    )
    parser.add_argument("--limit", type=whole_number, metavar="N", help="only the first N examples")
    parser.add_argument(
        "--num_partitions",
        type=whole_number,
        default=1,
        metavar="N",
        help="devices that keep the parameters between them, where one cannot (default: 1)",
    )


def check_counts(args: argparse.Namespace) -> None:
    for name in ("batch_size", "limit", "limit_per_task"):
        value = getattr(args, name, None)  # not every verb has all
        if value is not None and value < 1:
            raise UserError(f"--{name}={value} must be at least 1")


def check_name(task: str | None) -> None:
    """Raises UserError for a --task that is not declared."""
    from tk_instruct.data import registry

    if task is not None:
        registry.get(task)


def check_limit(output: Path, flag: str, num_left: int | None) -> None:
    """Raises UserError where a limit would leave fewer rows of an output than there are.

    num_left: how many rows it leaves, or None without a limit.
    """
    if num_left is None or is_stream(output) or not output.is_file():
        return
    there = sum(1 for line in read_bytes(output).splitlines() if line.strip())
    if there > num_left:
        raise UserError(
            f"{output} holds {there} rows, of which {flag} would leave {num_left}; give "
            "another --output, or remove it first"
        )


def examples_of(
    task: str,
    split: str,
    lengths: "FeatureLengths",
    limit: int | None,
    limit_per_task: int | None = None,
) -> tuple[list[Example], list[str]]:
    """The first examples of a task or mixture, and the fingerprints of its tasks' data.

    limit: of them all. limit_per_task: of each task of a mixture and, within a task that is made of
    many, of each that its examples name.
    """
    from tk_instruct.data import registry

    tasks = registry.tasks_of(task)
    parts = (_first(part.examples(split, lengths), limit_per_task) for part in tasks)
    examples: list[Example] = list(itertools.islice(itertools.chain.from_iterable(parts), limit))
    return examples, [part.fingerprint(split) for part in tasks]


def _first(examples: Iterator[Example], limit_per_task: int | None) -> Iterator[Example]:
    counts: Counter[str] = Counter()
    for example in examples:
        counts[example["task"]] += 1
        if limit_per_task is None or counts[example["task"]] <= limit_per_task:
            yield example


def load_checkpoint(
    model_dir: Path, step: int | Literal["best"] | None
) -> tuple["Checkpoints", int, "Description"]:
    """A run's checkpoint and its description; binds the run's configuration of its data.

    Raises UserError for a folder without checkpoints, before JAX and Orbax are imported.
    """
    if not (model_dir / "checkpoints").is_dir():
        raise UserError(
            f"{model_dir} holds no checkpoints/; give the MODEL_DIR of a run that has saved"
        )
    from tk_instruct.checkpoint import Checkpoints

    checkpoints = Checkpoints(model_dir, read_only=True)
    step = checkpoints.step_or_latest(step)
    about = checkpoints.description(step)
    where = checkpoints.directory / str(step) / "description"
    configuration.load_data_of(about.gin, str(where))
    kept = model_dir / "sentencepiece.model"
    name = str(kept) if kept.exists() else about.vocabulary["name"]
    gin.bind_parameter("vocabulary.name", name)
    return checkpoints, step, about


def encoding_of_run(about: "Description") -> tuple["Tokenizer", bool]:
    """How a run's prompts are encoded: the tokenizer, and whether they end in EOS.

    It is the encoding of the first task of the run's mixture. A run that was trained elsewhere, or
    on a task that is not declared here, has the vocabulary's tokenizer, and EOS.
    """
    from tk_instruct.data import registry
    from tk_instruct.data.tokenization import Plain
    from tk_instruct.data.vocabulary import vocabulary

    try:
        trained_on: Any = registry.get(about.data["mixture"])
        first = next(iter(getattr(trained_on, "tasks", [trained_on])))
        return first.tokenizer(), first.inputs_have_eos
    except (KeyError, UserError):
        return Plain(vocabulary()), True


def task_of(args: argparse.Namespace, about: "Description") -> str:
    """--task, or the run's own mixture.

    Raises UserError for converted weights, which have none, and where the ids of its examples are
    not of the run's vocabulary.
    """
    from tk_instruct.data import registry
    from tk_instruct.data.task import check_vocabulary

    name = args.task or about.data.get("mixture")
    if name is None:
        raise UserError(f"{args.model_dir} does not say what it was trained on; give --task NAME")
    for task in registry.tasks_of(name):
        check_vocabulary(task)
    return name


def lengths_of(args: argparse.Namespace, about: "Description") -> "FeatureLengths":
    return configuration.lengths_of(args, about.data.get("lengths"))


def identity_of(checkpoints: "Checkpoints", step: int, about: "Description") -> dict[str, Any]:
    """The values that a checkpoint's answers depend on. They do not depend on its path."""
    return {
        "parameters": checkpoints.content(step),
        "model": about.model,
        "soft_prompt": about.soft_prompt,
        "vocabulary": about.vocabulary["fingerprint"],
    }


def check_vocabulary(about: "Description", where: Path) -> None:
    """Raises UserError where the vocabulary is not the one that a run was trained with."""
    from tk_instruct.data import vocabulary

    found = vocabulary.fingerprint(vocabulary.vocabulary())
    if found != about.vocabulary["fingerprint"]:
        raise UserError(
            f"the vocabulary (fingerprint {found}) is not the one that {where} was trained with "
            f"({about.vocabulary['fingerprint']}, {about.vocabulary['name']}): its ids would mean "
            "other words; leave --vocabulary out or give that one"
        )


@dataclass
class Loaded:
    """A model to decode with. Its parameters and the rows of a batch are sharded over the mesh.

    Other parameters may be put in place of the first; what was compiled is used for them too.
    """

    model: "LanguageModel"
    params: Any
    mesh: "Mesh"

    @property
    def num_row_shards(self) -> int:
        from tk_instruct import sharding

        return sharding.num_row_shards(self.mesh)

    def enough_rows(self, num_examples: int, batch_size: int) -> int:
        """The rows of a batch: batch_size, or fewer if they hold all examples.

        The number divides over the devices.
        """
        return min(batch_size, -(-num_examples // self.num_row_shards) * self.num_row_shards)

    def compiled(self, function: Callable[..., Any]) -> Callable[..., np.ndarray]:
        """function(model, params, **arrays) as a function of arrays whose rows lie on all devices.

        All processes give the same arrays and get the whole result. The function is compiled once
        for each shape.
        """
        import jax

        from tk_instruct import sharding

        jitted = jax.jit(partial(function, self.model))
        # A jit of its own, so that the output's sharding does not change how it is computed.
        whole = jax.jit(lambda result: result, out_shardings=sharding.replicated(self.mesh))

        fitting: set[tuple[tuple[int, ...], ...]] = set()

        def call(**arrays: np.ndarray) -> np.ndarray:
            rows = sharding.local_rows(self.mesh, len(next(iter(arrays.values()))))
            local = {name: array[rows] for name, array in arrays.items()}
            with sharding.use(self.mesh):
                batch = sharding.shard_batch(local, self.mesh)
                shapes = tuple(array.shape for array in arrays.values())
                if shapes not in fitting:
                    num_rows, length = arrays["input_tokens"].shape
                    sharding.check_program(
                        jitted.lower(self.params, **batch).compile(),
                        f"the model, {num_rows} rows of {length} tokens and their targets",
                        "take fewer at once (--batch_size), fewer beams or shorter targets",
                    )
                    fitting.add(shapes)
                return jax.device_get(whole(jitted(self.params, **batch)))

        return call


def load_model(
    checkpoints: "Checkpoints", step: int, about: "Description", num_partitions: int = 1
) -> Loaded:
    from tk_instruct import sharding, soft_prompt
    from tk_instruct.model import build
    from tk_instruct.model.config import config_from_fields
    from tk_instruct.model.stacking import unstack_layers
    from tk_instruct.step import abstract_params, trained_and_frozen

    config, mesh = config_from_fields(about.model), sharding.make_mesh(num_partitions)
    prompt_length = about.soft_prompt.get("length", 0)
    like = sharding.placed(abstract_params(build(config, prompt_length)), mesh)
    trained, frozen = trained_and_frozen(like)
    params = checkpoints.restore_params(step, trained)
    if prompt_length:
        where = checkpoints.directory / str(step)
        params |= soft_prompt.frozen_params(about.soft_prompt, where, frozen, config)
    if config.scan_layers:
        config, params = replace(config, scan_layers=False), unstack_layers(params)
    return Loaded(build(config, prompt_length), params, mesh)


def batches(
    examples: Sequence[Example],
    batch_size: int,
    max_input_tokens: int,
    most_times: int = MOST_TIMES_BATCH_SIZE,
) -> Iterator[tuple[list[Example], Int32[np.ndarray, "rows length"]]]:
    """Yields examples and their inputs as rows of tokens, the longest first.

    Inputs of about the same length share a batch. A batch of shorter inputs has more rows: 1 to
    most_times times batch_size. The last example fills the rows that are left over.
    """
    left = sorted(examples, key=lambda example: (-len(example["inputs"]), example["id"]))
    while left:
        length = row_length(len(left[0]["inputs"]), max_input_tokens)
        times = min(most_times, max_input_tokens // length, -(-len(left) // batch_size))
        batch, left = left[: times * batch_size], left[times * batch_size :]
        tokens = np.zeros((times * batch_size, length), np.int32)
        filled = itertools.chain(batch, itertools.repeat(batch[-1]))
        for row, example in zip(tokens, filled, strict=False):
            row[: len(example["inputs"])] = example["inputs"]
        yield batch, tokens


def row_length(num_tokens: int, max_input_tokens: int) -> int:
    """Of a row that holds them. Four an octave (…, 256, 320, 384, 448, 512, …), the shortest 32.

    So there are few shapes to compile, and little is padding.
    """
    longest = rounded_up(num_tokens, steps_per_octave=4)
    return min(max_input_tokens, max(_SHORTEST_ROW, longest))


def rounded_up(number: int, steps_per_octave: int) -> int:
    """To a number that has only log2(2 · steps_per_octave) leading binary digits not 0."""
    step = max(1, (1 << (number - 1).bit_length()) // (2 * steps_per_octave))
    return -(-number // step) * step
