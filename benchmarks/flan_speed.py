"""FLAN's examples to tokens: this project's rendering beside SeqIO's preprocessing of the same.

  python benchmarks/flan_speed.py --vocabulary VOCAB [--rounds 7] [--json]

Synthetic examples of short tasks in memory, one template; on one core. SeqIO's way is that of the
released FLAN: TensorFlow's string operations put the text together, seqio.preprocessors.tokenize
makes ids of it. Both give inputs and targets with EOS; that the ids are equal is checked first.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent.parent))
from benchmarks._interleaved import System, load, report, serve, take_turns

NUM_EXAMPLES = 10_000
DATASETS = ("rte", "glue_qqp", "sst2", "trec")
LENGTHS = {"inputs": 1024, "targets": 256}


def records() -> dict[str, list[Any]]:
    """So many synthetic records, taken in equal parts from the datasets."""
    from tk_instruct.tasks.flan import examples, mini
    from tk_instruct.tasks.flan.datasets import BY_NAME

    made: dict[str, list[Any]] = {}
    for name in DATASETS:
        dataset = BY_NAME[name]
        tfds = dataset.tfds.split(":")[0]
        template = mini._EXAMPLES.get(tfds) or mini._EXAMPLES[tfds.split("/")[0]]
        rows = (mini._Words(tfds, "train", k).fill(template) for k in range(NUM_EXAMPLES))
        found = (examples._record(dataset, "train", k, row) for k, row in enumerate(rows))
        made[name] = [r for r in found if r is not None][: NUM_EXAMPLES // len(DATASETS)]
    return made


def tk_instruct_examples(rows: dict[str, list[Any]]) -> Iterator[tuple[list[int], list[int]]]:
    from tk_instruct.data import registry
    from tk_instruct.data.tokens import FeatureLengths

    for name, found in rows.items():
        task: Any = registry.get(f"flan_{name}.t0")
        held = replace(task, source=replace(task.source, load=lambda split, found=found: found))
        for example in held.examples("train", FeatureLengths(**LENGTHS)):
            yield example["inputs"], example["targets"]


def seqio_tasks(rows: dict[str, list[Any]]) -> list[Any]:
    """The same template of each dataset as the released FLAN would declare it."""
    import re

    seqio, tf = load("seqio", "tensorflow")
    from tk_instruct.data.seqio_bridge.declarations import ConfiguredVocabulary
    from tk_instruct.tasks.flan.datasets import BY_NAME
    from tk_instruct.tasks.flan.templates import OWN

    feature = seqio.Feature(vocabulary=ConfiguredVocabulary(), add_eos=True)

    def joined(pattern: str, example: dict[str, Any]) -> Any:
        parts = re.split(r"{(\w+)}", pattern)
        return tf.strings.join([example[p] if k % 2 else p for k, p in enumerate(parts)])

    def formatted(example: dict[str, Any], pattern: tuple[str, str]) -> dict[str, Any]:
        block = tf.strings.reduce_join(example["options"], separator="\n- ")
        fields = {**example, "options_": tf.strings.join(["OPTIONS:\n- ", block])}
        inputs, targets = (joined(each, fields) for each in pattern)
        return {**example, "inputs": inputs, "targets": targets}

    tasks = []
    for name, found in rows.items():
        dataset = BY_NAME[name]
        columns = {f: [r[f] for r in found] for f in ("id", "options", *dataset.fields)}
        apply = seqio.map_over_dataset(partial(formatted, pattern=OWN[dataset.template_set][0]))
        tasks.append(
            seqio.Task(
                name,
                source=seqio.FunctionDataSource(
                    lambda split, shuffle_files, seed=None, columns=columns: (
                        tf.data.Dataset.from_tensor_slices(columns)
                    ),
                    splits=["train"],
                ),
                preprocessors=[
                    lambda dataset, apply=apply: apply(dataset),
                    seqio.preprocessors.tokenize,
                    seqio.preprocessors.append_eos_after_trim,
                ],
                output_features={"inputs": feature, "targets": feature},
            )
        )
    return tasks


def seqio_examples(tasks: list[Any]) -> Iterator[tuple[list[int], list[int]]]:
    for task in tasks:
        dataset = task.get_dataset(LENGTHS, "train", shuffle=False, try_in_mem_cache=False)
        for example in dataset.as_numpy_iterator():
            yield example["inputs"], example["targets"]


def worker(system: str, vocabulary: str) -> tuple[Callable[[], None], str]:
    os.sched_setaffinity(0, {0})
    import gin

    from tk_instruct.configuration import import_declarations

    import_declarations()
    gin.bind_parameter("vocabulary.name", vocabulary)
    rows = records()
    ours = partial(tk_instruct_examples, rows)
    theirs = partial(seqio_examples, seqio_tasks(rows))
    for one, other in zip(ours(), theirs(), strict=True):
        assert [list(part) for part in one] == [list(part) for part in other]
    chosen = {"tk_instruct": ours, "seqio": theirs}[system]

    def do_round() -> None:
        count = sum(1 for _ in chosen())
        assert count == NUM_EXAMPLES, count

    import seqio
    import tensorflow

    versions = {
        "tk_instruct": f"sentencepiece on {NUM_EXAMPLES:,} examples",
        "seqio": f"seqio {getattr(seqio, '__version__', '')} tensorflow {tensorflow.__version__}",
    }
    return do_round, versions[system]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--vocabulary", required=True)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--worker", choices=("tk_instruct", "seqio"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        serve(partial(worker, args.worker, args.vocabulary))
        return
    systems = [
        System(
            name,
            [sys.executable, __file__, f"--worker={name}", f"--vocabulary={args.vocabulary}"],
            {"JAX_PLATFORMS": "cpu"},
        )
        for name in ("tk_instruct", "seqio")
    ]
    take_turns(systems, args.rounds)
    report(systems, {"examples": NUM_EXAMPLES}, args.json)


if __name__ == "__main__":
    main()
