"""The CTC loss against the enumeration of all paths, and on ragged batches."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from icefall_sampled.losses import chunks, ctc_loss
from icefall_sampled.sampling import mean_posterior
from tests.losses.reference import ctc_by_enumeration

IMPLEMENTATIONS = ("naive", "fused")


def make(
    frames: list[int], labels: list[list[int]], *, vocab_size: int = 4, width: int = 3
) -> tuple[Tensor, ...]:
    """hidden, weight, bias, targets, encoder_lengths, target_lengths; garbage in the padding."""
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    hidden = random(len(frames), max(frames), width)
    targets = torch.full((len(frames), max(map(len, labels))), -7)
    for n, (t, y) in enumerate(zip(frames, labels, strict=True)):
        hidden[n, t:] = float("nan")
        targets[n, : len(y)] = torch.tensor(y, dtype=torch.int64)
    parameters = (hidden, random(vocab_size, width), random(vocab_size))
    lengths = torch.tensor(frames), torch.tensor([len(y) for y in labels])
    return (*(p.requires_grad_() for p in parameters), targets, *lengths)


RAGGED = make([5, 3, 1, 4, 4], [[1, 1, 2], [3, 2], [3], [], [2, 1, 2]])


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_equals_enumeration(implementation: str, reduction: str) -> None:
    expected = ctc_by_enumeration(*RAGGED)
    if reduction != "none":
        expected = expected.mean() if reduction == "mean" else expected.sum()
    actual = ctc_loss(*RAGGED, implementation=implementation, reduction=reduction)
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-10)
    weights = torch.arange(1.0, 1 + actual.numel(), dtype=torch.float64)
    results = [torch.autograd.grad((x * weights).sum(), RAGGED[:3]) for x in (actual, expected)]
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_gradcheck(implementation: str) -> None:
    hidden = torch.nan_to_num(RAGGED[0].detach()).requires_grad_()

    def loss(*parameters: Tensor) -> Tensor:
        return ctc_loss(*parameters, *RAGGED[3:], implementation=implementation, reduction="none")

    assert torch.autograd.gradcheck(loss, (hidden, *RAGGED[1:3]))


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_no_labels_at_all(implementation: str) -> None:
    batch = make([2, 3], [[], []])
    actual = ctc_loss(*batch, implementation=implementation, reduction="none")
    torch.testing.assert_close(actual, ctc_by_enumeration(*batch))


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_mean_posterior_comes_along(implementation: str) -> None:
    hidden, weight, bias, *_, frames, _ = RAGGED
    loss, posterior = ctc_loss(*RAGGED, implementation=implementation, return_mean_posterior=True)
    torch.testing.assert_close(loss, ctc_loss(*RAGGED, implementation="naive"))
    log_probs = (hidden @ weight.t() + bias).log_softmax(2)
    torch.testing.assert_close(posterior, mean_posterior(log_probs, frames))
    assert not posterior.requires_grad


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_more_labels_than_frames(implementation: str) -> None:
    """Infinite loss, or on request none and no gradient; the other row is not touched."""
    batch = make([2, 4], [[1, 1], [2]])
    losses = ctc_loss(*batch, implementation=implementation, reduction="none")
    assert losses[0] == float("inf")
    assert losses[1].isfinite()
    losses = ctc_loss(*batch, implementation=implementation, reduction="none", zero_infinity=True)
    assert losses[0] == 0
    (gradient,) = torch.autograd.grad(losses.sum(), batch[0])
    assert not gradient[0].any()
    assert gradient[1].any()


@pytest.mark.parametrize(
    ("name", "position", "value"),
    [
        ("hidden", 0, torch.zeros(5, 5)),
        ("weight", 1, torch.zeros(4, 2)),
        ("weight", 1, torch.full((4, 3), float("nan"))),
        ("bias", 2, torch.zeros(3)),
        ("targets", 3, torch.full((5, 3), 4)),
        ("encoder_lengths", 4, torch.full((5,), 6)),
        ("encoder_lengths", 4, torch.full((5,), 0)),
        ("target_lengths", 5, torch.full((5,), 4)),
    ],
)
def test_bad_arguments_are_named(name: str, position: int, value: Tensor) -> None:
    arguments = [*RAGGED[:position], value, *RAGGED[position + 1 :]]
    with pytest.raises(ValueError, match=rf"^{name} must .*, was "):
        ctc_loss(*arguments)


def test_bad_options_are_named() -> None:
    with pytest.raises(ValueError, match=r"^reduction must"):
        ctc_loss(*RAGGED, reduction="average")
    with pytest.raises(ValueError, match=r"^implementation must"):
        ctc_loss(*RAGGED, implementation="fast")


@pytest.mark.parametrize("max_columns", [1, 3, 2048])
@pytest.mark.parametrize("min_rows", [1, 5, 32])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_chunks_that_do_not_divide(
    max_columns: int, min_rows: int, sign: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = make([9, 4, 7], [[1, 7, 7, 2], [10, 3], []], vocab_size=11, width=5)
    results = []
    for implementation in ("naive", "fused"):
        losses, posterior = ctc_loss(
            *batch,
            implementation=implementation,
            reduction="none",
            return_mean_posterior=True,
        )
        upstream = torch.tensor([1.0, sign, 0.0], dtype=torch.float64)
        gradients = torch.autograd.grad((losses * upstream).sum(), batch[:3])
        results.append((losses, posterior, *gradients))
        monkeypatch.setattr(chunks, "MAX_COLUMNS", max_columns)
        monkeypatch.setattr(chunks, "MIN_ROWS", min_rows)
        monkeypatch.setattr(chunks, "_chunk_mib", 1e-6)
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_autocast(implementation: str) -> None:
    batch = make([9, 4, 7], [[1, 7, 7, 2], [10, 3], []], vocab_size=11, width=5)
    exact = ctc_loss(*batch)
    single = [p.detach().float().requires_grad_() for p in batch[:3]]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = ctc_loss(*single, *batch[3:], implementation=implementation)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss.double(), exact, rtol=0.02, atol=0)
    gradients = torch.autograd.grad(loss, single[1:])
    for a, b in zip(gradients, torch.autograd.grad(exact, batch[1:3]), strict=True):
        assert float((a - b).norm() / b.norm()) < 0.03
