"""How far chance reaches: paired bootstrap over utterances and seeds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from icefall_sampled.errors import UserError

RESAMPLES = 10_000
LEVEL_PERCENT = 95.0

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A difference of two error rates and the ends of its interval, in percent."""

    estimate: float
    low: float
    high: float


def error_rates(errors: Floats, reference: Floats) -> Floats:
    """(S, N) errors of each utterance, with (N,) units in its reference -> (S,) percent."""
    rates: Floats = 100.0 * errors.sum(axis=1) / reference.sum()
    return rates


def difference(
    errors: Floats,
    baseline: Floats,
    reference: Floats,
    *,
    paired_seeds: bool = False,
    resamples: int = RESAMPLES,
) -> Interval:
    """The mean error rate over seeds minus that of a baseline, with a percentile interval.

    Utterances are resampled in common for both, because both were tested on the same ones. Seeds
    are resampled for each by itself: that two models share a seed does not pair them. Two decodings
    of the same models are paired by them. The random numbers are the same in every call, so the
    same results give the same interval.

    The level of 95 % is nominal. Intervals without zero, of 3,000 simulated pairs of rows without a
    difference (400 utterances, each wrong with 40 %; seeds shift the logit of that by a normal
    deviate with standard deviation s):

        seeds        3          3          3          3          1          1
        s            0         0.1        0.2        0.4         0         0.2
                   0.5 %      2.3 %      7.2 %      14 %       4.6 %      37 %

    Where seeds hardly differ it is too wide: seeds drawn again repeat a part of the noise that
    utterances drawn again have brought in. Where they differ much it is too narrow: S seeds drawn
    again have (S - 1) / S of their variance, and a single seed has none.

    Args:
        errors: (S, N) errors of each of N utterances, with each of S seeds.
        baseline: (R, N) the same of the baseline, with R seeds.
        reference: (N,) units in the reference of each utterance.
        paired_seeds: whether both are of the same models, in the same order; R is S then.
        resamples: how often is drawn.

    Raises:
        UserError: where the shapes do not fit, or the references are empty.

    Source: Bisani and Ney, Bootstrap estimates for confidence intervals in ASR performance
        evaluation, ICASSP 2004.
    """
    _check_shapes(errors, baseline, reference, paired_seeds=paired_seeds)
    counts = _utterance_counts(len(reference), resamples)
    units = counts @ reference
    units[units == 0] = np.nan  # only utterances without a reference were drawn
    random = np.random.default_rng(1)
    if paired_seeds:
        drawn = _mean_over_seeds(counts @ (errors - baseline).T, random)
    else:
        drawn = _mean_over_seeds(counts @ errors.T, random)
        drawn = drawn - _mean_over_seeds(counts @ baseline.T, random)
    edge = (100.0 - LEVEL_PERCENT) / 2
    low, high = np.nanpercentile(100.0 * drawn / units, [edge, 100.0 - edge])
    mean = error_rates(errors, reference).mean() - error_rates(baseline, reference).mean()
    return Interval(estimate=float(mean), low=float(low), high=float(high))


def _check_shapes(
    errors: Floats, baseline: Floats, reference: Floats, *, paired_seeds: bool
) -> None:
    if errors.shape[1:] != reference.shape or baseline.shape[1:] != reference.shape:
        raise UserError(
            f"errors are {errors.shape} and baseline is {baseline.shape}, they must be (seeds, "
            f"utterances) with {reference.shape[0]} utterances as in the reference"
        )
    if paired_seeds and len(errors) != len(baseline):
        raise UserError(
            f"errors are of {len(errors)} seeds and baseline is of {len(baseline)}, they must be "
            "of the same ones to be paired"
        )
    if reference.sum() <= 0:
        raise UserError("reference is empty, there must be a unit in it")


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
