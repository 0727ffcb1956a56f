"""Statistics of the input that the model gathers itself."""

from __future__ import annotations

import torch

from icefall_sampled.modeling.subsampling import FeatureNorm


def test_what_was_seen_has_mean_zero_and_variance_one() -> None:
    torch.manual_seed(0)
    norm = FeatureNorm(5)
    parts = [3.0 + 2.0 * torch.randn(4, 50, 5) for _ in range(3)]
    for part in parts:
        norm(part, torch.tensor([50, 50, 50, 50]))
    out = norm.eval()(torch.cat(parts), torch.full((12,), 50))
    torch.testing.assert_close(out.mean((0, 1)), torch.zeros(5), rtol=0, atol=1e-5)
    torch.testing.assert_close(out.var((0, 1), unbiased=False), torch.ones(5), rtol=1e-4, atol=0)


def test_features_are_left_as_they_are_where_nothing_was_gathered() -> None:
    features = torch.randn(2, 7, 5)
    assert torch.equal(FeatureNorm(5).eval()(features, torch.tensor([7, 7])), features)


def test_padding_and_placeholders_are_no_part_of_the_statistics() -> None:
    features = torch.randn(2, 7, 5)
    features[1, 4:] = float("nan")
    norm = FeatureNorm(5)
    norm(features, torch.tensor([7, 4]))
    norm.frozen = True
    norm(features, torch.tensor([7, 7]))
    expected = torch.cat([features[0], features[1, :4]]).double()
    assert norm.count == 11
    torch.testing.assert_close(norm.total, expected.sum(0))
    torch.testing.assert_close(norm.squares, (expected * expected).sum(0))
