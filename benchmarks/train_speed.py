"""Training beside Hugging Face + PyTorch and upstream t5x: the same examples, sizes and machine.

    python benchmarks/train_speed.py --data random --t5x_python T5XENV/bin/python
    python benchmarks/train_speed.py --data superni --data_dir natural-instructions \\
        --vocabulary spiece.model --t5x_python T5XENV/bin/python

T5 1.1 in float32 from random weights, dropout 0.1, Adafactor, in each system's usual way. A round
with --data random is one step on 8 rows of 512 input and 64 target tokens. A round with --data
superni goes through the same --examples training examples (1024/128 tokens at most), 8 in a step:

    ours            packed by data/packing.py, 2 rows of 1024/128 in a step
    PyTorch         padded to the longest of the 8
    t5x             padded to 1024/128
    t5x, packed     packed by SeqIO, 2 rows of 1024/128 in a step

Each system is a process of its own; they are warmed up and then take turns. Printed are medians of
the rounds and how many times as fast ours is. Systems that are not installed are left out:
PyTorch and transformers are looked for in this Python, t5x in --t5x_python.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

sys.path.append(str(Path(__file__).parent.parent))
from benchmarks import _interleaved
from benchmarks._interleaved import System, load

SIZES: dict[str, dict[str, int]] = {
    "tiny": {"d_model": 64, "num_heads": 2, "num_layers": 2, "d_ff": 128, "vocab_size": 32128},
    "small": {"d_model": 512, "num_heads": 6, "num_layers": 8, "d_ff": 1024, "vocab_size": 32128},
    "base": {"d_model": 768, "num_heads": 12, "num_layers": 12, "d_ff": 2048, "vocab_size": 32128},
}
HEAD_DIM = 64
DROPOUT_RATE = 0.1
LEARNING_RATE = 1e-3
EXAMPLES_A_STEP = 8
PACKED_ROWS_A_STEP = 2

# Token ids of inputs and targets, EOS included.
Example = tuple[np.ndarray, np.ndarray]
Round = Callable[[], None]


def random_examples(max_inputs: int, max_targets: int) -> list[Example]:
    """One step of examples of full length."""
    rng = np.random.default_rng(0)
    return [
        (rng.integers(3, 32000, max_inputs), rng.integers(3, 32000, max_targets))
        for _ in range(EXAMPLES_A_STEP)
    ]


def superni_examples(args: argparse.Namespace, count: int) -> list[Example]:
    """Training examples of superni_en_def_pos2 in the order of an epoch."""
    from tk_instruct import configuration
    from tk_instruct.data import cache, registry
    from tk_instruct.data.tokens import FeatureLengths

    configuration.import_declarations()
    configuration.bind_data_arguments(args)
    lengths = FeatureLengths(args.max_inputs, args.max_targets)
    tokens = cache.open_tokens(registry.tasks_of("superni_en_def_pos2")[0], "train", lengths)
    order = np.random.default_rng(0).permutation(len(tokens))[:count]
    examples = (tokens[int(index)] for index in order)
    return [(example.inputs, example.targets) for example in examples]


def ours(examples: Sequence[Example], spec: Mapping[str, Any]) -> tuple[Round, str]:
    """The step of tk-instruct train on packed rows."""
    import jax

    from tk_instruct import model, optim, sharding
    from tk_instruct.data import pipeline
    from tk_instruct.data.packing import EncoderDecoderRows, row_sizes, widths
    from tk_instruct.data.tokens import FeatureLengths, Tokens
    from tk_instruct.losses import cross_entropy
    from tk_instruct.model.config import T5Config
    from tk_instruct.step import abstract_state, create_train_state, train_step

    size = {**spec["size"]}
    layers = size.pop("num_layers")
    net = model.build(
        T5Config(
            **size,
            num_encoder_layers=layers,
            num_decoder_layers=layers,
            dropout_rate=DROPOUT_RATE,
        )
    )
    tx, mesh, rng = optim.adafactor(LEARNING_RATE), sharding.make_mesh(1), jax.random.key(0)
    lengths = FeatureLengths(spec["max_inputs"], spec["max_targets"])
    layout, size = EncoderDecoderRows(lengths), spec["packed_rows_a_step"]
    tokens = [Tokens(str(i), inputs, targets) for i, (inputs, targets) in enumerate(examples)]
    packed = list(pipeline.packed_rows(tokens, layout))
    steps = [packed[k : k + size] for k in range(0, len(packed), size)]
    batches = [
        layout.arrays(rows + [[]] * (size - len(rows)), widths(row_sizes(rows, layout), layout))
        for rows in steps
    ]
    initialise = partial(create_train_state, net, tx)
    state, _ = sharding.placed(abstract_state(net, tx), mesh)
    shardings = jax.tree.map(lambda array: array.sharding, state)
    step = jax.jit(
        partial(train_step, model=net, tx=tx, loss=partial(cross_entropy, z_loss=1e-4)),
        donate_argnums=0,
        out_shardings=(shardings, sharding.replicated(mesh)),
    )
    with sharding.use(mesh):
        state = jax.jit(initialise, out_shardings=shardings)(rng)

    def do_round() -> None:
        nonlocal state
        with sharding.use(mesh):
            for batch in batches:
                state, metrics = step(state, sharding.shard_batch(batch, mesh), rng)
        assert np.isfinite(float(metrics["loss"].value()))

    return do_round, f"jax {jax.__version__}"


def hugging_face_model(size: Mapping[str, int], dropout_rate: float) -> tuple[Any, Any, Any]:
    """torch, transformers, and a T5 1.1 of theirs with random weights."""
    torch, transformers = load("torch", "transformers")
    config = transformers.T5Config(
        vocab_size=size["vocab_size"],
        d_model=size["d_model"],
        d_kv=HEAD_DIM,
        d_ff=size["d_ff"],
        num_layers=size["num_layers"],
        num_heads=size["num_heads"],
        dropout_rate=dropout_rate,
        feed_forward_proj="gated-gelu",
        tie_word_embeddings=False,
        decoder_start_token_id=0,
    )
    return torch, transformers, transformers.T5ForConditionalGeneration(config)


def pytorch(examples: Sequence[Example], spec: Mapping[str, Any]) -> tuple[Round, str]:
    """T5ForConditionalGeneration and Adafactor of transformers, padded to the longest of a step."""
    torch, transformers, net = hugging_face_model(spec["size"], DROPOUT_RATE)
    net.train()
    optimizer = transformers.Adafactor(
        net.parameters(), lr=LEARNING_RATE, scale_parameter=True, relative_step=False
    )

    def padded(rows: Sequence[np.ndarray], value: int) -> Any:
        tensors = [torch.as_tensor(row.astype(np.int64)) for row in rows]
        return torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True, padding_value=value)

    def do_round() -> None:
        for start in range(0, len(examples), EXAMPLES_A_STEP):
            inputs, targets = zip(*examples[start : start + EXAMPLES_A_STEP], strict=True)
            tokens = padded(inputs, 0)
            loss = net(
                input_ids=tokens,
                attention_mask=(tokens != 0).long(),
                labels=padded(targets, -100),
            ).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        assert np.isfinite(loss.item())

    return do_round, f"torch {torch.__version__}, transformers {transformers.__version__}"


def t5x(examples: Sequence[Example], spec: Mapping[str, Any], *, packed: bool) -> tuple[Round, str]:
    """t5x.trainer.Trainer on what SeqIO's feature converter makes of the examples."""
    logging, jax, tf, seqio = load("absl.logging", "jax", "tensorflow", "seqio")
    logging.set_verbosity(logging.ERROR)  # it warns of every parameter
    adafactor, models, network, partitioning, trainer, utils = load(
        *(f"t5x.{name}" for name in ("adafactor", "models", "examples.t5.network")),
        *(f"t5x.{name}" for name in ("partitioning", "trainer", "utils")),
    )
    size = spec["size"]
    config = network.T5Config(
        vocab_size=size["vocab_size"],
        emb_dim=size["d_model"],
        num_heads=size["num_heads"],
        num_encoder_layers=size["num_layers"],
        num_decoder_layers=size["num_layers"],
        head_dim=HEAD_DIM,
        mlp_dim=size["d_ff"],
        mlp_activations=("gelu", "linear"),
        dropout_rate=DROPOUT_RATE,
        dtype="float32",
    )
    vocabulary = seqio.PassThroughVocabulary(size["vocab_size"])
    net = models.EncoderDecoderModel(
        module=network.Transformer(config),
        input_vocabulary=vocabulary,
        output_vocabulary=vocabulary,
        optimizer_def=adafactor.Adafactor(
            decay_rate=0.8, logical_factor_rules=adafactor.standard_logical_factor_rules()
        ),
        z_loss=1e-4,
    )
    feature = tf.TensorSpec([None], tf.int32)
    dataset: Any = tf.data.Dataset.from_generator(
        lambda: ({"inputs": inputs, "targets": targets} for inputs, targets in examples),
        output_signature={"inputs": feature, "targets": feature},
    )
    lengths = {"inputs": spec["max_inputs"], "targets": spec["max_targets"]}
    rows = list(seqio.EncDecFeatureConverter(pack=packed)(dataset, lengths).as_numpy_iterator())
    rows_a_step = spec["packed_rows_a_step"] if packed else EXAMPLES_A_STEP
    batches = _in_steps(
        {name: np.stack([row[name] for row in rows]) for name in rows[0]}, rows_a_step
    )
    partitioner = partitioning.PjitPartitioner(num_partitions=1)
    initializer = utils.TrainStateInitializer(
        optimizer_def=net.optimizer_def,
        init_fn=net.get_initial_variables,
        input_shapes={name: array.shape for name, array in batches[0].items()},
        input_types={name: array.dtype for name, array in batches[0].items()},
        partitioner=partitioner,
    )
    run = trainer.Trainer(
        model=net,
        train_state=initializer.from_scratch(jax.random.PRNGKey(0)),
        partitioner=partitioner,
        eval_names=[],
        summary_dir=None,
        train_state_axes=initializer.train_state_axes,
        rng=jax.random.PRNGKey(0),
        learning_rate_fn=lambda step: LEARNING_RATE,
        num_microbatches=None,
    )

    def do_round() -> None:
        run.train(iter(batches), len(batches))
        jax.block_until_ready(run.train_state.params)

    return do_round, f"jax {jax.__version__}, t5x"


def _in_steps(arrays: Mapping[str, np.ndarray], rows: int) -> list[dict[str, np.ndarray]]:
    """Batches of so many rows, the last one filled up with padding."""
    count = -(-len(next(iter(arrays.values()))) // rows)
    full = {
        name: np.pad(array, [(0, count * rows - len(array)), (0, 0)])
        for name, array in arrays.items()
    }
    return [
        {name: array[k * rows : (k + 1) * rows] for name, array in full.items()}
        for k in range(count)
    ]


WORKERS: dict[str, Callable[..., tuple[Round, str]]] = {
    "ours": ours,
    "PyTorch": pytorch,
    "t5x": partial(t5x, packed=False),
    "t5x, packed": partial(t5x, packed=True),
}


def work(name: str, directory: Path) -> None:
    spec = json.loads((directory / "spec.json").read_text())
    with np.load(directory / "examples.npz") as arrays:
        examples = [
            (arrays[f"inputs_{i}"], arrays[f"targets_{i}"]) for i in range(len(arrays) // 2)
        ]
    _interleaved.serve(lambda: WORKERS[name](examples, spec))


def main() -> None:
    """Prints the comparison."""
    if sys.argv[1:2] == ["worker"]:
        return work(sys.argv[2], Path(sys.argv[3]))
    from tk_instruct import configuration

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", choices=("random", "superni"), default="random")
    parser.add_argument("--size", choices=SIZES, default="small", help="default: small")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--examples", type=int, default=64, help="of a round of superni")
    parser.add_argument("--max_inputs", type=int, help="tokens (default: 512; superni: 1024)")
    parser.add_argument("--max_targets", type=int, help="tokens (default: 64; superni: 128)")
    parser.add_argument("--t5x_python", metavar="PATH", help="the Python that has upstream t5x")
    parser.add_argument(
        "--systems", nargs="+", choices=WORKERS, default=list(WORKERS), help="default: all"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    configuration.add_data_arguments(parser)
    args = parser.parse_args()
    superni = args.data == "superni"
    args.max_inputs = args.max_inputs or (1024 if superni else 512)
    args.max_targets = args.max_targets or (128 if superni else 64)
    if superni:
        examples = superni_examples(args, args.examples)
    else:
        examples = random_examples(args.max_inputs, args.max_targets)
    spec = {
        "size": SIZES[args.size],
        "max_inputs": args.max_inputs,
        "max_targets": args.max_targets,
        "packed_rows_a_step": PACKED_ROWS_A_STEP if superni else EXAMPLES_A_STEP,
    }
    # Packing examples of full length changes nothing.
    names = [name for name in args.systems if superni or name != "t5x, packed"]
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "spec.json").write_text(json.dumps(spec))
        arrays = {f"inputs_{i}": inputs for i, (inputs, _) in enumerate(examples)}
        arrays |= {f"targets_{i}": targets for i, (_, targets) in enumerate(examples)}
        np.savez(Path(directory) / "examples.npz", allow_pickle=False, **arrays)
        systems = [
            System(
                name,
                [
                    (args.t5x_python or sys.executable) if "t5x" in name else sys.executable,
                    *(__file__, "worker", name, directory),
                ],
                _interleaved.LARGE_PAGES,
            )
            for name in names
        ]
        _interleaved.take_turns(systems, args.rounds)
    tokens = sum(len(inputs) + len(targets) for inputs, targets in examples)
    amounts = {"examples": float(len(examples)), "tokens": float(tokens)}
    _interleaved.report(systems, amounts, args.json)


if __name__ == "__main__":
    main()
