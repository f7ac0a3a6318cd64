"""Token caches → batches: shuffled, mixed, packed, with a cursor of a few numbers (Grain)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import grain
import numpy as np
from grain.experimental import FirstFitPackIterDataset

from tk_instruct.data import cache, registry

# A batch by T5X's feature names, each int32 [batch, length]; segment 0 is padding.
Batch = dict[str, np.ndarray]

# More bins waste less padding and cost memory for that many rows.
NUM_PACKING_BINS = 64


def train_batches(
    mixture: str, lengths: registry.FeatureLengths, batch_size: int, seed: int
) -> grain.IterDataset:
    """Endless packed batches of the train split, reshuffled every epoch, tasks at their rates.

    iter() of it gives batches and get_state() / set_state(), whose state is some tens of bytes.
    """
    parts = []
    for task in registry.tasks_of(mixture):
        tokens = grain.MapDataset.source(cache.open_tokens(task, "train", lengths))
        parts.append(tokens.seed(seed).shuffle().repeat())
    rates = registry.rates_of(mixture)
    mixed = parts[0] if len(parts) == 1 else grain.MapDataset.mix(parts, rates)
    rows = _packed(_read(mixed), lengths, seed, shuffle_bins=True)
    return rows.batch(batch_size, drop_remainder=True)


def eval_batches(
    mixture: str, split: str, lengths: registry.FeatureLengths, batch_size: int
) -> Iterator[Batch]:
    """The split once, packed, in order; the last batch is filled up with padding."""
    for task in registry.tasks_of(mixture):
        tokens = grain.MapDataset.source(cache.open_tokens(task, split, lengths))
        rows = _packed(_read(tokens), lengths, seed=0, shuffle_bins=False)
        for batch in rows.batch(batch_size):
            yield {name: _padded(array, batch_size) for name, array in batch.items()}


def pack(
    examples: Sequence[cache.Tokens], lengths: registry.FeatureLengths
) -> list[Mapping[str, np.ndarray]]:
    """Rows of a few examples, packed as training packs them."""
    dataset = grain.MapDataset.source(list(examples)).to_iter_dataset()
    return list(_packed(dataset, lengths, seed=0, shuffle_bins=False))


def _read(records: grain.MapDataset) -> grain.IterDataset:
    # Few threads: decoding costs microseconds, and on a small machine they would take the step's.
    return records.map(cache.Tokens.from_bytes).to_iter_dataset(
        grain.ReadOptions(num_threads=2, prefetch_buffer_size=128)
    )


def _packed(
    examples: grain.IterDataset, lengths: registry.FeatureLengths, seed: int, shuffle_bins: bool
) -> grain.IterDataset:
    rows = FirstFitPackIterDataset(
        examples.map(_features),
        length_struct=lengths.as_dict(),
        num_packing_bins=NUM_PACKING_BINS,
        seed=seed,
        shuffle_bins=shuffle_bins,
    )
    return rows.map(_t5x_names)


def _features(example: cache.Tokens) -> dict[str, np.ndarray]:
    return {"inputs": example.inputs, "targets": example.targets}


def _t5x_names(row: Mapping[str, Any]) -> Batch:
    return {
        "encoder_input_tokens": row["inputs"],
        "encoder_segment_ids": row["inputs_segment_ids"],
        "decoder_target_tokens": row["targets"],
        "decoder_segment_ids": row["targets_segment_ids"],
    }


def _padded(array: np.ndarray, batch_size: int) -> np.ndarray:
    return np.pad(array, [(0, batch_size - len(array)), (0, 0)])


def num_tokens(batch: Mapping[str, np.ndarray]) -> int:
    """Input and target tokens of a batch, padding left out."""
    return sum(int((batch[f"{side}_segment_ids"] > 0).sum()) for side in ("encoder", "decoder"))


def padding_rate(rows: Sequence[Mapping[str, np.ndarray]], feature: str) -> float:
    """The share of positions of a feature (encoder or decoder) that hold no token."""
    segments = [row[f"{feature}_segment_ids"] for row in rows]
    return float(np.mean([np.mean(ids == 0) for ids in segments]))
