"""How often the gate's interval accepts a candidate that it must refuse, and one that it should accept.

    python benchmarks/gate_error_rates.py [--cohorts 4000]

Draws cohorts of paired differences whose true mean lies exactly at the margin, and prints per method how often the
bad end of the two-sided 95% interval lies inside it: 2.5% is promised. Then the same with a true mean of 0 and a
margin of one standard deviation: that is the power. Methods: Student's t, scipy's percentile and BCa bootstrap, the
studentised bootstrap alone, and the gate's own interval, the outer of studentised bootstrap and Student's t.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable

import numpy as np
from scipy import stats

from compress.evaluate.noninferiority import bootstrap_t, bounds

Draw = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]
"""(generator, (patients, cohorts)) -> differences with mean 0; negative is bad."""
Method = Callable[[np.ndarray], np.ndarray]
"""(patients, cohorts) -> the low end of each cohort's interval."""

CONFIDENCE, RESAMPLES, SEED = 0.95, 2000, 0
PATIENTS = (10, 20, 50)


def _lognormal(rng: np.random.Generator, size: tuple[int, int], sigma: float) -> np.ndarray:
    return np.exp(sigma * rng.standard_normal(size)) - np.exp(sigma**2 / 2)


def _failures(rng: np.random.Generator, size: tuple[int, int], share: float, depth: float, noise: float) -> np.ndarray:
    return noise * rng.standard_normal(size) - depth * ((rng.random(size) < share) - share)


SHAPES: dict[str, Draw] = {
    "normal": lambda rng, size: rng.standard_normal(size),
    "t with 3 degrees of freedom": lambda rng, size: rng.standard_t(3, size),
    "gamma(2), tail of bad patients": lambda rng, size: 2 - rng.gamma(2, size=size),
    "lognormal(0.5), tail of bad patients": lambda rng, size: -_lognormal(rng, size, 0.5),
    "lognormal(1), tail of bad patients": lambda rng, size: -_lognormal(rng, size, 1.0),
    "lognormal(1), tail of good patients": lambda rng, size: _lognormal(rng, size, 1.0),
    "1 in 5 fails by 5 SD": lambda rng, size: _failures(rng, size, 0.2, 5.0, 1.0),
    "1 in 20 fails by 10 SD": lambda rng, size: _failures(rng, size, 0.05, 10.0, 1.0),
    "1 in 20 fails, the others are equal": lambda rng, size: _failures(rng, size, 0.05, 1.0, 0.0),
}


def _student(samples: np.ndarray) -> np.ndarray:
    error = samples.std(axis=0, ddof=1) / np.sqrt(len(samples))
    return samples.mean(axis=0) - stats.t.ppf(0.5 + CONFIDENCE / 2, len(samples) - 1) * error


def _scipy(name: str) -> Method:
    def low(samples: np.ndarray) -> np.ndarray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # BCa of equal values: NaN and a warning
            found = stats.bootstrap(
                (samples.T,),
                np.mean,
                n_resamples=RESAMPLES,
                batch=100,
                vectorized=True,
                axis=-1,
                confidence_level=CONFIDENCE,
                method=name,  # pyright: ignore[reportArgumentType]
                rng=np.random.default_rng(SEED),
            ).confidence_interval.low
        return np.where(np.isnan(found), samples.mean(axis=0), found)

    return low


METHODS: dict[str, Method] = {
    "Student's t": _student,
    "percentile": _scipy("percentile"),
    "BCa": _scipy("BCa"),
    "bootstrap-t": lambda samples: bootstrap_t(samples, CONFIDENCE, RESAMPLES, SEED)[0],
    "gate": lambda samples: bounds(samples, CONFIDENCE, RESAMPLES, SEED)[0],
}


def rates(shape: str, patients: int, cohorts: int) -> list[tuple[float, float]]:
    """(false acceptances, power) in percent of every method, in the order of `METHODS`."""
    rng = np.random.default_rng([SEED, patients, list(SHAPES).index(shape)])
    samples = SHAPES[shape](rng, (patients, cohorts))
    deviation = float(SHAPES[shape](np.random.default_rng(SEED), (1000, 1000)).std())
    lows = [method(samples) for method in METHODS.values()]
    return [(100 * float((low > 1e-9).mean()), 100 * float((low > -deviation).mean())) for low in lows]


def main() -> None:
    """Print both tables as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cohorts", type=int, default=4000, help="simulated cohorts per row")
    cohorts = parser.parse_args().cohorts
    found = {(shape, n): rates(shape, n, cohorts) for n in PATIENTS for shape in SHAPES}
    for index, title in enumerate(("False acceptance at the margin, % (2.5 is promised)", "Power, %")):
        print(f"\n{title}; {cohorts} cohorts per row\n")
        print("| differences | patients | " + " | ".join(METHODS) + " |")
        print("|---|" + "---|" * (1 + len(METHODS)))
        for (shape, n), row in found.items():
            print(f"| {shape} | {n} | " + " | ".join(f"{pair[index]:.1f}" for pair in row) + " |")


if __name__ == "__main__":
    main()
