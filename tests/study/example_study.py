"""A small study for tests, as a text to change."""

from pathlib import Path

EXAMPLE = """
title = "Example"
recipe = "recipes/tk_instruct_{model}.gin"
metrics = ["rougeL"]

[settings]
RANDOM_SEED = "{seed}"
TrainRun.steps = 10
TASK_FEATURE_LENGTHS = { inputs = 64, targets = 8 }

[[axis]]
name = "model"
title = "size"
values = ["small", "base"]
x = [77e6, 248e6]
scale = "log"

[[axis]]
name = "encoding"
values = ["def", "pos2"]

[[axis]]
name = "seed"
values = [0, 1]
repeats = true

[[evaluation]]
suite = "superni"
task = "superni_en_{encoding}"
"""


def write(folder: Path, *changes: tuple[str, str]) -> Path:
    """Writes the example with texts replaced, which must be there."""
    text = EXAMPLE
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    path = folder / "example.toml"
    path.write_text(text)
    return path
