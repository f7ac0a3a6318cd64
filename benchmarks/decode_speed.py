"""Greedy decoding beside Hugging Face's generate: the same prompts, sizes and machine.

    python benchmarks/decode_speed.py
    python benchmarks/decode_speed.py --data_dir natural-instructions --vocabulary spiece.model

T5 1.1 in float32 from random weights, which never ends an answer, so every prompt gets
--new_tokens tokens. A round decodes --examples prompts, each system in its usual way: ours as
`tk-instruct predict` does, sorted into batches of about the same length; Hugging Face in the
order of the data, 8 at a time, padded to the longest of them. Prompts are test instances of
superni_en_def_pos2 with --data_dir, and else random ids with lengths like theirs.

Each system is a process of its own; they are warmed up with one round, which compiles, and then
take turns. Printed are medians of the rounds and how many times as fast ours is.
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
from benchmarks._interleaved import System
from benchmarks.train_speed import SIZES, hugging_face_model

Prompts = Sequence[np.ndarray]
Round = Callable[[], None]

MAX_INPUT_TOKENS = 1024
BATCH_SIZE = 8


def random_prompts(count: int) -> list[np.ndarray]:
    """Lengths as in Super-NaturalInstructions: half below 200 tokens, some ten times as long."""
    rng = np.random.default_rng(0)
    lengths = np.clip(rng.lognormal(np.log(200), 0.7, count), 30, MAX_INPUT_TOKENS).astype(int)
    return [np.append(rng.integers(3, 32000, length - 1), 1) for length in lengths]


def superni_prompts(args: argparse.Namespace) -> list[np.ndarray]:
    """Test instances of superni_en_def_pos2, drawn at random."""
    from tk_instruct import configuration
    from tk_instruct.data import cache, registry
    from tk_instruct.data.tokens import FeatureLengths

    configuration.import_declarations()
    configuration.bind_data_arguments(args)
    lengths = FeatureLengths(MAX_INPUT_TOKENS, 128)
    tokens = cache.open_tokens(registry.tasks_of("superni_en_def_pos2")[0], "test", lengths)
    chosen = np.random.default_rng(0).permutation(len(tokens))[: args.examples]
    return [tokens[int(index)].inputs for index in chosen]


def ours(prompts: Prompts, spec: Mapping[str, Any]) -> tuple[Round, str]:
    """What tk-instruct predict does with a model's parameters."""
    import jax
    from flax import linen as nn

    from tk_instruct import model
    from tk_instruct.inference.batches import batches
    from tk_instruct.model.config import T5Config
    from tk_instruct.model.decode import greedy
    from tk_instruct.step import init_params

    size = {**spec["size"]}
    layers = size.pop("num_layers")
    net = model.build(T5Config(**size, num_encoder_layers=layers, num_decoder_layers=layers))
    params = jax.jit(lambda key: nn.meta.unbox(init_params(net, key)))(jax.random.key(0))
    # No token has the id -1, so no answer ends.
    decode = jax.jit(
        partial(greedy, net, max_target_tokens=spec["new_tokens"], eos_id=-1),
    )
    examples = [{"id": str(i), "inputs": inputs} for i, inputs in enumerate(prompts)]

    def do_round() -> None:
        for _, tokens in batches(examples, BATCH_SIZE, MAX_INPUT_TOKENS):
            outputs = jax.device_get(decode(params, tokens, (tokens > 0).astype(np.int32)))
            assert outputs.shape == (len(tokens), spec["new_tokens"])

    return do_round, f"jax {jax.__version__}"


def hugging_face(prompts: Prompts, spec: Mapping[str, Any]) -> tuple[Round, str]:
    """generate() of 8 prompts at a time, padded to the longest of them."""
    torch, transformers, net = hugging_face_model(spec["size"], dropout_rate=0.0)
    net.eval()
    net.generation_config.eos_token_id = None

    def do_round() -> None:
        for start in range(0, len(prompts), BATCH_SIZE):
            rows = [torch.as_tensor(row.astype(np.int64)) for row in prompts[start:][:BATCH_SIZE]]
            tokens = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
            with torch.inference_mode():
                outputs = net.generate(
                    input_ids=tokens,
                    attention_mask=(tokens != 0).long(),
                    max_new_tokens=spec["new_tokens"],
                    do_sample=False,
                )
            assert outputs.shape == (len(rows), 1 + spec["new_tokens"])

    return do_round, f"torch {torch.__version__}, transformers {transformers.__version__}"


WORKERS = {"ours": ours, "Hugging Face": hugging_face}


def work(name: str, directory: Path) -> None:
    spec = json.loads((directory / "spec.json").read_text())
    with np.load(directory / "prompts.npz") as arrays:
        prompts = [arrays[f"prompt_{i}"] for i in range(len(arrays))]
    _interleaved.serve(lambda: WORKERS[name](prompts, spec))


def main() -> None:
    """Prints the comparison."""
    if sys.argv[1:2] == ["worker"]:
        return work(sys.argv[2], Path(sys.argv[3]))
    from tk_instruct import configuration

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--size", choices=SIZES, default="small", help="default: small")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--examples", type=int, default=64, help="of a round (default: 64)")
    parser.add_argument("--new_tokens", type=int, default=32, help="an answer (default: 32)")
    parser.add_argument("--systems", nargs="+", choices=WORKERS, default=list(WORKERS))
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    configuration.add_data_arguments(parser)
    args = parser.parse_args()
    prompts = superni_prompts(args) if args.data_dir else random_prompts(args.examples)
    with tempfile.TemporaryDirectory() as directory:
        spec = {"size": SIZES[args.size], "new_tokens": args.new_tokens}
        (Path(directory) / "spec.json").write_text(json.dumps(spec))
        arrays = {f"prompt_{i}": prompt for i, prompt in enumerate(prompts)}
        np.savez(Path(directory) / "prompts.npz", allow_pickle=False, **arrays)
        systems = [
            System(
                name,
                [sys.executable, __file__, "worker", name, directory],
                _interleaved.LARGE_PAGES,
            )
            for name in args.systems
        ]
        _interleaved.take_turns(systems, args.rounds)
    amounts = {
        "examples": float(len(prompts)),
        "new tokens": float(len(prompts) * args.new_tokens),
    }
    _interleaved.report(systems, amounts, args.json)


if __name__ == "__main__":
    main()
