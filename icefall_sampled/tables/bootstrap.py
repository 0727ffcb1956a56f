"""How far chance reaches: paired bootstrap over utterances and seeds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

RESAMPLES = 10_000
LEVEL_PERCENT = 95.0

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A difference and what chance leaves open, in percent."""

    estimate: float
    low: float
    high: float


def error_rates(errors: Floats, reference: Floats) -> Floats:
    """(S, N) errors of each utterance, with (N,) units in its reference -> (S,) percent."""
    rates: Floats = 100.0 * errors.sum(axis=1) / reference.sum()
    return rates


def difference(
    errors: Floats, baseline: Floats, reference: Floats, *, resamples: int = RESAMPLES
) -> Interval:
    """The mean error rate over seeds minus that of a baseline, with a 95 % percentile interval.

    Utterances are resampled in common for both, because both were tested on the same ones. Seeds
    are resampled for each by itself: that two models share a seed does not pair them. The random
    numbers are the same in every call, so the same results give the same interval.

    A few seeds resampled spread less than seeds do: the variance that comes from S of them is
    understated by the factor (S - 1) / S, and that from a single one is missing.

    Args:
        errors: (S, N) errors of each of N utterances, with each of S seeds.
        baseline: (R, N) the same of the baseline, with R seeds.
        reference: (N,) units in the reference of each utterance.
        resamples: how often is drawn.

    Raises:
        ValueError: where the shapes do not fit, or the references are empty.

    Source: Bisani and Ney, Bootstrap estimates for confidence intervals in ASR performance
        evaluation, ICASSP 2004.
    """
    if errors.shape[1:] != reference.shape or baseline.shape[1:] != reference.shape:
        raise ValueError(
            f"errors are {errors.shape} and baseline is {baseline.shape}, they must be (seeds, "
            f"utterances) with {reference.shape[0]} utterances as in the reference"
        )
    if reference.sum() <= 0:
        raise ValueError("reference is empty, there must be a unit in it")
    counts = _utterance_counts(len(reference), resamples)
    units = counts @ reference
    units[units == 0] = np.nan  # only utterances without a reference were drawn
    random = np.random.default_rng(1)
    mine = _mean_over_seeds(counts @ errors.T, random)
    other = _mean_over_seeds(counts @ baseline.T, random)
    edge = (100.0 - LEVEL_PERCENT) / 2
    low, high = np.nanpercentile(100.0 * (mine - other) / units, [edge, 100.0 - edge])
    mean = error_rates(errors, reference).mean() - error_rates(baseline, reference).mean()
    return Interval(estimate=float(mean), low=float(low), high=float(high))


@lru_cache(maxsize=4)
def _utterance_counts(num_utterances: int, resamples: int) -> Floats:
    """(resamples, N): how often each utterance was drawn, of as many draws as there are."""
    shares = np.full(num_utterances, 1.0 / num_utterances)
    drawn = np.random.default_rng(0).multinomial(num_utterances, shares, size=resamples)
    return drawn.astype(np.float64)


def _mean_over_seeds(errors: Floats, random: np.random.Generator) -> Floats:
    """(resamples, S) errors by seed -> (resamples,) means over seeds drawn with replacement."""
    seeds = errors.shape[1]
    drawn = random.integers(seeds, size=errors.shape)
    mean: Floats = np.take_along_axis(errors, drawn, axis=1).mean(axis=1)
    return mean
