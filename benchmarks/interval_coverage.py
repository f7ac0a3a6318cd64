"""How often 95 % intervals cover the true value, on simulated scores.

    python benchmarks/interval_coverage.py --simulations 2000

Units, such as tasks, have effects of their own (normal, skewed, or the probability of a right
answer), and their instances have errors of their own. The first table has the share of intervals
that cover the mean that the scores are drawn from, clustered by unit and, beside, as if instances
were independent. The second has two systems that do not differ: how often the interval of the
difference covers 0, and how often the permutation test calls it significant at 5 %. The third has
medians over prompts.
"""

import argparse
from collections.abc import Iterable, Iterator

import numpy as np
from jaxtyping import Float, Int

from tk_instruct.tables import table
from tk_instruct.uncertainty.intervals import Estimate, mean, median_over_prompts
from tk_instruct.uncertainty.paired import paired_difference

EFFECTS = ("normal", "skewed", "binary")
SIZES = ("100 each", "5 to 15", "lognormal")
NUM_UNITS = (2, 3, 5, 10, 30, 119)

Scores = tuple[Float[np.ndarray, " n"], Int[np.ndarray, " n"]]


def simulated(seed: int, num_units: int, effects: str, sizes: str) -> Scores:
    """Scores with expectation 0, and the unit of each."""
    rng = np.random.default_rng(seed)
    rows = {
        "100 each": np.full(num_units, 100),
        "5 to 15": rng.integers(5, 16, num_units),
        "lognormal": np.maximum(1, rng.lognormal(2, 0.8, num_units).astype(int)),
    }[sizes]
    units = np.repeat(np.arange(num_units), rows)
    if effects == "binary":
        return (rng.random(len(units)) < rng.random(num_units)[units]) - 0.5, units
    of_unit = {"normal": rng.normal(size=num_units), "skewed": rng.exponential(size=num_units) - 1}
    return of_unit[effects][units] + rng.normal(size=len(units)), units


def percent(found: Iterable[bool]) -> str:
    return f"{100 * np.mean(list(found)):.1f}"


def covers(estimate: Estimate, truth: float = 0.0) -> bool:
    return estimate.ci95 is not None and estimate.ci95[0] <= truth <= estimate.ci95[1]


def means(count: int) -> Iterator[list[str]]:
    yield ["units", "instances", *(name + how for name in EFFECTS for how in ("", ", naive"))]
    for num_units in NUM_UNITS:
        for sizes in SIZES:
            row = [str(num_units), sizes]
            for effects in EFFECTS:
                drawn = [simulated(seed, num_units, effects, sizes) for seed in range(count)]
                row.append(percent(covers(mean(values, units)) for values, units in drawn))
                row.append(percent(covers(mean(values)) for values, _ in drawn))
            yield row


def differences(count: int) -> Iterator[list[str]]:
    yield ["units", "interval covers 0", "test is significant"]
    for num_units in NUM_UNITS[2:]:
        found = []
        for seed in range(count):
            first, units = simulated(2 * seed, num_units, "normal", "100 each")
            second, _ = simulated(2 * seed + 1, num_units, "normal", "100 each")
            found.append(paired_difference(first, second, units, purpose=str(seed)))
        is_significant = [(each.p_value or 1.0) <= 0.05 for each in found]
        covered = percent(covers(each.difference) for each in found)
        yield [str(num_units), covered, percent(is_significant)]


def medians(count: int) -> Iterator[list[str]]:
    yield ["instances", "median over 11 prompts"]
    prompts = np.linspace(-1, 1, 11)[:, None]
    for num_instances in (10, 30, 100, 300):
        found = []
        for seed in range(count):
            rng = np.random.default_rng(seed)
            noise = rng.logistic(size=(11, num_instances))
            right = prompts + 1.5 * rng.normal(size=num_instances) + noise > 0
            found.append(median_over_prompts(right.astype(float), str(seed)))
        yield [str(num_instances), percent(covers(each, 0.5) for each in found)]


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--simulations", type=int, default=2000)
    count = parser.parse_args().simulations
    for title, rows in (("mean", means), ("difference of 0", differences), ("median", medians)):
        shown = table(list(rows(count)))
        print(f"{title}, per cent of {count:,} simulations\n{shown}\n", flush=True)


if __name__ == "__main__":
    main()
