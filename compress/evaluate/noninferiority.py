"""Is a candidate no worse than its baseline by more than a stated margin, shown on the same patients?

Paired non-inferiority (Piaggio et al., JAMA 308:2594-2604, 2012, the CONSORT extension). Per endpoint the null
hypothesis is that the mean difference is as bad as the margin or worse; it is rejected when the bad end of a
two-sided 95% interval of the mean difference lies inside the margin, a one-sided test at 2.5%. A candidate is
accepted only when EVERY endpoint passes. Such an intersection-union test needs no correction for the number of
endpoints: false acceptance stays at the level of a single one (Berger, Technometrics 24:295-300, 1982). Every
further endpoint costs power instead.

The interval is chosen for some twenty patients with skewed differences: the outer one of the studentised bootstrap
(bootstrap-t: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 12.5; its second-order accuracy
in Hall, Annals of Statistics 16:927-953, 1988) and Student's t. The bootstrap follows the skewness, Student's t
holds it where tails are heavy. `benchmarks/gate_error_rates.py` measures both against the percentile and the BCa
interval; the rates stand in `benchmarks/GATE.md`. With the true mean exactly at the margin and 20 patients, it
accepts 2 to 4% for normal, heavy-tailed and moderately skewed differences and about 7% for a lognormal tail of bad
patients.

No interval can hold its level against a failure that no patient in the cohort shows: if one patient in twenty fails
badly, a third of all cohorts of 20 hold none (0.95^20 = 36%). `unseen_share` says how often such a failure may still
strike, and `compress.evaluate.limits` looks at single patients.
"""

from __future__ import annotations

import numpy as np
from scipy import stats

ROUNDING = 1e-9
"""Differences closer than this, in any unit, are equal: sums of floats leave so much."""


def interval(
    differences: np.ndarray, *, confidence: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> tuple[float, float]:
    """Two-sided interval (low, high) of the mean of (n,) paired differences, n >= 2; [d, d] when all equal d.

    Does not depend on the order of the patients. Never reaches beyond the smallest and largest difference: where
    nearly all patients are equal, resamples without the others have no spread, and the studentised bound has no end.
    """
    low, high = bounds(np.asarray(differences, dtype=float)[:, None], confidence, resamples, seed)
    return float(low[0]), float(high[0])


def bounds(samples: np.ndarray, confidence: float, resamples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """`interval` of every column of (n, k) samples at once: (k,) lows and (k,) highs."""
    samples = np.sort(samples, axis=0)  # sums of floats depend on their order
    n, mean = len(samples), samples.mean(axis=0)
    reach = stats.t.ppf(0.5 + confidence / 2, n - 1) * samples.std(axis=0, ddof=1) / np.sqrt(n)
    low, high = bootstrap_t(samples, confidence, resamples, seed)
    low, high = np.minimum(low, mean - reach), np.maximum(high, mean + reach)
    low, high = np.maximum(low, samples.min(axis=0)), np.minimum(high, samples.max(axis=0))
    varies = np.ptp(samples, axis=0) > ROUNDING
    return np.where(varies, low, mean), np.where(varies, high, mean)


def bootstrap_t(samples: np.ndarray, confidence: float, resamples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Lows and highs of the studentised bootstrap alone, per column of (n, k) samples."""
    ordered = np.sort(samples, axis=0)  # patients are drawn by place, and places must not depend on their order
    mean, error = ordered.mean(axis=0), ordered.std(axis=0, ddof=1) / np.sqrt(len(ordered))
    tail = (1 - confidence) / 2
    quantiles = np.quantile(_studentised(ordered - mean, error, resamples, seed), (1 - tail, tail), axis=0)
    return mean - quantiles[0] * error, mean - quantiles[1] * error


def inside(low: float, high: float, margin: float, *, worse: str) -> bool:
    """Whether the bad end of an interval lies inside the margin; `worse` is "lower" or "higher"."""
    return low > -margin if worse == "lower" else high < margin


def unseen_share(patients: int, *, confidence: float = 0.95) -> float:
    """The largest share of patients that may suffer a failure which none of `patients` shows.

    The exact one-sided bound, about 3 / n at 95% (Hanley and Lippman-Hand, JAMA 249:1743-1745, 1983).
    """
    return 1 - (1 - confidence) ** (1 / patients)


def _studentised(centred: np.ndarray, error: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """(resamples, k) means of resamples of (n, k) centred samples, each over its own standard error."""
    n = len(centred)
    # How often each patient was drawn says all that a mean and a variance need: two products instead of a gather.
    counts = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=resamples).astype(float)
    means = counts @ centred / n
    variances = np.maximum(counts @ centred**2 / n - means**2, 0.0) / (n - 1)
    # A resample of equal patients has no spread: an all but endless t, never a division by zero.
    return means / np.maximum(np.sqrt(variances), np.maximum(1e-6 * error, ROUNDING**2))
