"""Parameters layer by layer ↔ stacked in one array, as scan_layers has them."""

import re
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

LAYER_AXIS = 1


def is_stacked(name: str) -> bool:
    """Whether the parameter of this name, such as encoder/encoder/mlp/wo/kernel, is stacked."""
    stack, _, inside = name.partition("/")
    return inside.startswith(f"{stack}/")


def unstack_layers(params: Any) -> Any:
    """encoder/encoder/X → encoder/layers_i/X; other parameters do not change."""
    unstacked = {}
    for name, value in flatten_dict(params, sep="/").items():
        if not is_stacked(name):
            unstacked[name] = value
            continue
        stack, _, rest = name.split("/", 2)
        for i in range(value.shape[LAYER_AXIS]):
            unstacked[f"{stack}/layers_{i}/{rest}"] = value[:, i]
    return unflatten_dict(unstacked, sep="/")


def stack_layers(params: Any) -> Any:
    """encoder/layers_i/X → encoder/encoder/X with an axis of layers at position 1 (NumPy)."""
    stacked: dict[str, Any] = {}
    layers: dict[str, dict[int, Any]] = {}
    for name, value in flatten_dict(params, sep="/").items():
        match = re.fullmatch(r"(\w+)/layers_(\d+)/(.+)", name)
        if match:
            stack, index, rest = match.groups()
            layers.setdefault(f"{stack}/{stack}/{rest}", {})[int(index)] = value
        else:
            stacked[name] = value
    for name, values in layers.items():
        in_order = [np.asarray(values[i]) for i in range(len(values))]
        stacked[name] = np.stack(in_order, axis=LAYER_AXIS)
    return unflatten_dict(stacked, sep="/")
