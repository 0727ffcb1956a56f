"""Mean posteriors, and the classes that a constrained decoding may emit."""

from __future__ import annotations

import pytest
import torch

from icefall_sampled.sampling import mean_posterior, top_k


def test_mean_posterior_averages_valid_frames() -> None:
    log_probs = torch.randn(3, 5, 4, requires_grad=True).log_softmax(2)
    lengths = torch.tensor([5, 1, 3])
    dirty = log_probs.detach().clone()
    for n, length in enumerate(lengths):
        dirty[n, length:] = float("nan")
    actual = mean_posterior(dirty, lengths)
    for n, length in enumerate(lengths):
        torch.testing.assert_close(actual[n], log_probs[n, :length].exp().mean(0).detach())
    torch.testing.assert_close(actual.sum(1), torch.ones(3))
    assert not mean_posterior(log_probs, lengths).requires_grad


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_mean_posterior_of_half_precision_is_summed_in_float32(dtype: torch.dtype) -> None:
    log_probs = torch.randn(2, 1000, 4).log_softmax(2).to(dtype)
    lengths = torch.tensor([1000, 700])
    actual = mean_posterior(log_probs, lengths)
    assert actual.dtype == torch.float32
    torch.testing.assert_close(actual, mean_posterior(log_probs.double(), lengths).float())


@pytest.mark.parametrize(
    ("name", "log_probs", "lengths"),
    [
        ("ctc_log_probs", torch.zeros(2, 3), torch.tensor([1, 1])),
        ("ctc_log_probs", torch.zeros(2, 3, 4, dtype=torch.int64), torch.tensor([1, 1])),
        ("ctc_log_probs", torch.zeros(0, 3, 4), torch.zeros(0, dtype=torch.int64)),
        ("lengths", torch.zeros(2, 3, 4), torch.tensor([1])),
        ("lengths", torch.zeros(2, 3, 4), torch.tensor([1, 0])),
        ("lengths", torch.zeros(2, 3, 4), torch.tensor([1, 4])),
        ("lengths", torch.zeros(2, 3, 4), torch.tensor([1.0, 2.0])),
    ],
)
def test_mean_posterior_names_bad_arguments(
    name: str, log_probs: torch.Tensor, lengths: torch.Tensor
) -> None:
    with pytest.raises(ValueError, match=rf"^{name} must .*, was "):
        mean_posterior(log_probs, lengths)


def test_top_k_has_blank_first_then_the_most_probable() -> None:
    posterior = torch.tensor([[0.1, 0.2, 0.4, 0.3], [0.7, 0.0, 0.1, 0.2]])
    assert top_k(posterior, 1).tolist() == [[0], [0]]
    assert top_k(posterior, 3).tolist() == [[0, 2, 3], [0, 3, 2]]


@pytest.mark.parametrize("k", [4, 5, 100])
def test_top_k_of_everything_is_everything(k: int) -> None:
    allowed = top_k(torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]]), k)
    assert allowed.sort(1).values.tolist() == [[0, 1, 2, 3]] * 2


def test_top_k_names_bad_arguments() -> None:
    with pytest.raises(ValueError, match=r"^k must"):
        top_k(torch.ones(1, 3), 0)
    with pytest.raises(ValueError, match=r"^posterior must"):
        top_k(torch.ones(3), 1)
