"""Counts the operations of a function's matrix products in its jaxpr."""

import math
from collections.abc import Iterator
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr


def matmul_flops(jaxpr: Jaxpr | ClosedJaxpr, while_trips: int = 1) -> float:
    """Multiplications and additions of all matrix products, over all devices.

    The body of a scan counts as often as it runs. Of a conditional the most expensive branch
    counts. Rematerialised products count again. The other operations of a Transformer are about
    1 % of these.

    Args:
        while_trips: rounds of each while loop, which the jaxpr does not say.
    """
    total = 0.0
    for equation in jaxpr.eqns:
        name = equation.primitive.name
        inner = [matmul_flops(part, while_trips) for part in _parts(equation.params)]
        if name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            shape = _shape(equation.invars[0])
            depth = math.prod(shape[axis] for axis in contracted)
            total += 2.0 * math.prod(_shape(equation.outvars[0])) * depth
        elif name == "scan":
            total += equation.params["length"] * sum(inner)
        elif name == "while":
            total += while_trips * sum(inner)
        elif name == "cond":
            total += max(inner)
        else:
            total += sum(inner)
    return total


def _parts(params: dict[str, Any]) -> Iterator[Jaxpr | ClosedJaxpr]:
    for value in jax.tree.leaves(params, is_leaf=lambda x: isinstance(x, Jaxpr | ClosedJaxpr)):
        if isinstance(value, Jaxpr | ClosedJaxpr):
            yield value


def _shape(variable: Any) -> tuple[int, ...]:
    return variable.aval.shape
