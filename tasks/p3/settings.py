"""The gin configurables of P3's prompts and data."""

from dataclasses import dataclass

import gin

from tk_instruct.ranges import check_seed


@gin.configurable(module="tk_instruct")
@dataclass(frozen=True)
class P3:
    """Where P3's prompts and data are.

    Attributes:
        templates: a checkout of promptsource, an unpacked source archive of its package, or another
            tree of the same form. None is this project's own small tree.
        templates_version: the version of promptsource that a run asks for, such as "0.1.0".
        data: Hugging Face's files, DATASET[/SUBSET]/SPLIT*.parquet or .jsonl. None is TFDS's data.
        seed: draws what templates choose at random.
    """

    templates: str | None = None
    templates_version: str | None = None
    data: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        check_seed("P3.seed", self.seed)
