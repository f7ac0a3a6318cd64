"""Examples a second from tokens to packed batches, beside SeqIO's own packing.

    python benchmarks/pipeline_speed.py --data_dir natural-instructions --vocabulary spiece.model

Both sides get the same tokenised training examples, shuffled and repeated, and make batches of 64
rows of 1024 input and 128 target tokens in one process, in turn:

    ours     pipeline.train_batches, which reads the token cache from disk
    SeqIO    EncDecFeatureConverter(pack=True), that is trim_and_pack_dataset, batched and
             prefetched, from examples that tf.data holds in memory

After a warm-up each round times one side after the other from a new iterator to the batch with
which --examples are reached. Printed for each round, and as medians: examples a second,
processor time an example (of all threads), and the share of positions that hold tokens. Without
--data_dir and $TK_INSTRUCT_SUPERNI_DIR the mini benchmark and a vocabulary trained on it are used.
"""

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from statistics import median
from typing import TYPE_CHECKING

import gin
import numpy as np

from tk_instruct import configuration
from tk_instruct.tables import table

if TYPE_CHECKING:
    from tk_instruct.data.tokens import FeatureLengths

BATCH_SIZE = 64

# Arrays by T5X's feature names.
Batches = Iterator[Mapping[str, np.ndarray]]


@dataclass(frozen=True)
class Run:
    """What one side did in one round."""

    side: str
    examples_per_second: float
    cpu_microseconds_per_example: float
    encoder_tokens_share: float
    decoder_tokens_share: float


def our_batches(task: str, lengths: "FeatureLengths") -> Batches:
    """Arrays of batches, from the token cache."""
    from tk_instruct.data import pipeline

    return (batch.arrays for batch in pipeline.train_batches(task, lengths, BATCH_SIZE, seed=0))


def seqio_batches(task: str, lengths: "FeatureLengths") -> Callable[[], Batches]:
    """The same of SeqIO: each call starts the dataset anew."""
    import seqio
    import tensorflow as tf

    from tk_instruct.data import cache, registry

    source = cache.open_tokens(registry.tasks_of(task)[0], "train", lengths)

    def examples() -> Iterator[dict[str, np.ndarray]]:
        for k in range(len(source)):
            tokens = source[k]
            yield {"inputs": tokens.inputs, "targets": tokens.targets}

    feature = tf.TensorSpec([None], tf.int32)
    dataset: tf.data.Dataset = tf.data.Dataset.from_generator(
        examples, output_signature={"inputs": feature, "targets": feature}
    )
    dataset = dataset.cache().shuffle(len(source), seed=0).repeat()
    dataset = seqio.EncDecFeatureConverter(pack=True)(dataset, lengths.as_dict())
    dataset = dataset.batch(BATCH_SIZE, drop_remainder=True).prefetch(tf.data.AUTOTUNE)
    return dataset.as_numpy_iterator


def measure(side: str, start: Callable[[], Batches], num_examples: int) -> Run:
    """Takes batches until they hold num_examples."""
    seconds, cpu_seconds = time.perf_counter(), time.process_time()
    found, shares = 0, []
    for batch in start():
        segment_ids = batch["encoder_segment_ids"], batch["decoder_segment_ids"]
        found += int(segment_ids[1].max(axis=1).sum())
        shares.append([np.mean(ids > 0) for ids in segment_ids])
        if found >= num_examples:
            break
    seconds, cpu_seconds = time.perf_counter() - seconds, time.process_time() - cpu_seconds
    encoder, decoder = np.mean(shares, axis=0).tolist()
    return Run(side, found / seconds, 1e6 * cpu_seconds / found, encoder, decoder)


def main() -> None:
    """Prints the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--task", default="superni_en_def_pos2", metavar="NAME")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--examples", type=int, default=16384, help="of a round (default: 16384)")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    configuration.add_data_arguments(parser)
    configuration.add_length_arguments(parser)
    args = parser.parse_args()
    configuration.import_declarations()
    if not (args.data_dir or os.environ.get("TK_INSTRUCT_SUPERNI_DIR")):
        from tk_instruct.tasks.superni import mini

        args.data_dir = mini.mini_benchmark()
        gin.bind_parameter("SuperNI.data_dir", args.data_dir)
        args.vocabulary = args.vocabulary or mini.trained_vocabulary()
    configuration.bind_data_arguments(args)
    lengths = configuration.lengths_of(args)
    sides: dict[str, Callable[[], Batches]] = {
        "ours": partial(our_batches, args.task, lengths),
        "SeqIO": seqio_batches(args.task, lengths),
    }
    for side, start in sides.items():
        measure(side, start, args.examples // 4)  # to warm up
    runs = []
    for _ in range(args.rounds):
        for side, start in sides.items():
            runs.append(measure(side, start, args.examples))
            if args.json:
                print(json.dumps(asdict(runs[-1])), flush=True)
    medians = [_median_of([run for run in runs if run.side == side]) for side in sides]
    ratio = medians[0].examples_per_second / medians[1].examples_per_second
    if args.json:
        print(json.dumps({"medians": [asdict(run) for run in medians], "ratio": ratio}))
    else:
        heading = ("side", "examples/s", "cpu µs/example", "encoder tokens", "decoder tokens")
        print(table([heading, *map(_row, runs), ("medians", "", "", "", ""), *map(_row, medians)]))
        print(f"ours makes batches of {ratio:.1f} times as many examples a second")


def _median_of(runs: list[Run]) -> Run:
    side, *numbers = zip(*(asdict(run).values() for run in runs), strict=True)
    return Run(side[0], *map(median, numbers))


def _row(run: Run) -> tuple[str, ...]:
    return (
        run.side,
        f"{run.examples_per_second:,.0f}",
        f"{run.cpu_microseconds_per_example:.0f}",
        f"{run.encoder_tokens_share:.2%}",
        f"{run.decoder_tokens_share:.2%}",
    )


if __name__ == "__main__":
    main()
