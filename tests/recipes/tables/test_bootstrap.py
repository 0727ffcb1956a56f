"""The bootstrap against cases whose interval is known."""

from __future__ import annotations

import numpy as np
import pytest

from icefall_sampled.recipes.tables.bootstrap import difference, error_rates


def test_error_rate_is_errors_by_units() -> None:
    rates = error_rates(np.array([[1.0, 0, 3], [0, 0, 0]]), np.array([10.0, 5, 5]))
    assert rates.tolist() == [20.0, 0.0]


def test_a_row_does_not_differ_from_itself() -> None:
    errors = np.random.default_rng(0).poisson(2.0, size=(1, 50)).astype(float)
    found = difference(errors, errors, np.full(50, 10.0))
    assert (found.estimate, found.low, found.high) == (0.0, 0.0, 0.0)


def test_utterances_are_paired() -> None:
    """One more error in each: however errors vary over utterances, the difference does not."""
    baseline = np.random.default_rng(0).poisson(5.0, size=(1, 80)).astype(float)
    found = difference(baseline + 1, baseline, np.full(80, 10.0))
    assert np.allclose([found.estimate, found.low, found.high], 10.0)


def test_errors_in_some_more_utterances() -> None:
    baseline, more = np.zeros((3, 200)), 20
    errors = baseline.copy()
    errors[:, :more] = 1
    found = difference(errors, baseline, np.ones(200))
    assert found.estimate == pytest.approx(10.0)
    # The share of 20 of 200 has a standard deviation of sqrt(0.1 * 0.9 / 200).
    deviation = 100 * np.sqrt(0.1 * 0.9 / 200)
    assert found.low == pytest.approx(10.0 - 1.96 * deviation, abs=0.5)
    assert found.high == pytest.approx(10.0 + 1.96 * deviation, abs=0.5)


def test_normal_interval_of_many_utterances() -> None:
    """Against the variance of a ratio, by the first terms of its Taylor series."""
    random = np.random.default_rng(0)
    reference = random.integers(3, 20, size=1500).astype(float)
    baseline = random.binomial(reference.astype(int), 0.10)[None].astype(float)
    errors = random.binomial(reference.astype(int), 0.12)[None].astype(float)
    found = difference(errors, baseline, reference)
    differences = (errors - baseline)[0]
    residuals = differences - differences.sum() / reference.sum() * reference
    half = 1.96 * 100 * residuals.std() * np.sqrt(len(reference)) / reference.sum()
    assert found.low == pytest.approx(found.estimate - half, abs=0.05 * half)
    assert found.high == pytest.approx(found.estimate + half, abs=0.05 * half)


def test_seeds_are_resampled() -> None:
    """Utterances that are all alike: three seeds have 27 equally likely means, of which the least
    and the greatest have more than 2.5 % each.
    """
    errors = np.array([[1.0], [2.0], [4.0]]) * np.ones(30)
    found = difference(errors, np.zeros((1, 30)), np.full(30, 10.0))
    assert found.estimate == pytest.approx(100 * 7 / 30)
    assert (found.low, found.high) == (10.0, 40.0)


def test_seeds_of_the_two_rows_are_not_paired() -> None:
    errors = np.array([[1.0], [2.0], [4.0]]) * np.ones(30)
    found = difference(errors, errors, np.full(30, 10.0))
    assert found.estimate == 0.0
    assert found.low < -10 < 10 < found.high


def test_seeds_of_two_decodings_are_paired() -> None:
    """However models differ by their seeds, one error more in each is one error more."""
    errors = np.array([[1.0], [2.0], [4.0]]) * np.ones(30)
    found = difference(errors + 1, errors, np.full(30, 10.0), paired_seeds=True)
    assert np.allclose([found.estimate, found.low, found.high], 10.0)
    with pytest.raises(ValueError, match="are of 3 seeds and baseline is of 2, they must be"):
        difference(errors, errors[:2], np.full(30, 10.0), paired_seeds=True)


def without_zero_percent(*, seeds: int, shift: float, trials: int = 300) -> float:
    """Share of the intervals without zero where two rows do not differ, as `difference` has it."""
    random, found = np.random.default_rng(0), 0
    for _ in range(trials):
        logits = np.log(0.4 / 0.6) + shift * random.standard_normal((2, seeds, 1))
        errors, baseline = (random.random((2, seeds, 400)) < 1 / (1 + np.exp(-logits))) * 1.0
        interval = difference(errors, baseline, np.ones(400), resamples=500)
        found += interval.low > 0 or interval.high < 0
    return 100 * found / trials


@pytest.mark.parametrize(
    ("seeds", "shift", "least", "most"), [(3, 0.0, 0, 3), (3, 0.4, 8, 22), (1, 0.2, 28, 48)]
)
def test_how_well_the_level_is_kept(seeds: int, shift: float, least: int, most: int) -> None:
    assert least <= without_zero_percent(seeds=seeds, shift=shift) <= most


def test_the_same_results_give_the_same_interval() -> None:
    random = np.random.default_rng(0)
    errors, baseline = random.poisson(2.0, size=(2, 3, 40)).astype(float)
    reference = np.full(40, 10.0)
    assert difference(errors, baseline, reference) == difference(errors, baseline, reference)


def test_shapes_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match=r"baseline is \(1, 3\), they must be"):
        difference(np.zeros((1, 4)), np.zeros((1, 3)), np.ones(4))
    with pytest.raises(ValueError, match="reference is empty"):
        difference(np.zeros((1, 4)), np.zeros((1, 4)), np.zeros(4))
