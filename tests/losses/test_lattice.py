"""The lattice alone: edges, padding, precision and which backend is in use."""

from __future__ import annotations

import pytest
import torch

from icefall_sampled.losses import lattice, lattice_torch


def test_backend_says_why() -> None:
    assert lattice.BACKEND in ("k2", "fast_rnnt", "torch")
    assert lattice.BACKEND in lattice.why()
    assert lattice.why().endswith(".")


@pytest.mark.skipif(lattice.BACKEND == "torch", reason="neither k2 nor fast_rnnt is installed")
@pytest.mark.parametrize(
    ("frames", "labels"),
    [
        ([7, 1, 4, 6], [4, 0, 2, 0]),  # ragged, with an empty target, and a single frame without
        ([1], [0]),
        ([1, 1, 1], [3, 1, 0]),
        ([5, 3, 1, 2], [0, 0, 0, 0]),
        ([150, 97], [40, 33]),
    ],
)
def test_plain_torch_equals_the_package(
    frames: list[int], labels: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    blank = torch.randn(len(frames), max(frames), max(labels) + 1, dtype=torch.float64)
    label = torch.randn(len(frames), max(frames), max(labels), dtype=torch.float64)
    for n, (last_frame, last_label) in enumerate(zip(frames, labels, strict=True)):
        blank[n, last_frame:], label[n, last_frame:] = torch.nan, torch.nan
        blank[n, :, last_label + 1 :], label[n, :, last_label:] = torch.nan, torch.nan
    lengths = torch.tensor(frames), torch.tensor(labels)
    package = lattice.posteriors(blank, label, *lengths)
    assert all(x.isfinite().all() for x in package)
    monkeypatch.setattr(lattice, "_module", lattice_torch)
    plain = lattice.posteriors(blank, label, *lengths)
    for a, b in zip(package, plain, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)


def test_plain_torch_takes_an_impossible_step_and_reports_a_broken_model(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lattice, "_module", lattice_torch)
    blank, label = torch.full((3, 2, 2), -1.0), torch.full((3, 2, 1), -1.0)
    label[0, 0] = -torch.inf  # one path is left
    label[1] = -torch.inf  # none is
    blank[2, 0, 0] = torch.nan
    lengths = torch.tensor([2, 2, 2]), torch.tensor([1, 1, 1])
    total, *steps = lattice.posteriors(blank, label, *lengths)
    assert total[0] == -3
    assert steps[1][0].flatten().tolist() == [0, 1]
    assert not total[1:].isfinite().any()
    assert all(step[1:].isnan().any() for step in steps)


def test_no_labels_is_a_sum_of_blanks() -> None:
    blank = torch.randn(2, 3, 1, dtype=torch.float64, requires_grad=True)
    label = torch.randn(2, 3, 0, dtype=torch.float64, requires_grad=True)
    total = lattice.log_likelihood(blank, label, torch.tensor([3, 1]), torch.tensor([0, 0]))
    expected = torch.stack([blank[0].sum(), blank[1, 0, 0]])
    torch.testing.assert_close(total, expected)
    (gradient,) = torch.autograd.grad(total.sum(), blank)
    assert gradient.squeeze(2).tolist() == [[1, 1, 1], [1, 0, 0]]


def test_one_frame_is_all_labels_then_blank() -> None:
    blank, label = torch.randn(1, 1, 4), torch.randn(1, 1, 3)
    total = lattice.log_likelihood(blank, label, torch.tensor([1]), torch.tensor([3]))
    torch.testing.assert_close(total, (label.sum() + blank[0, 0, 3]).reshape(1))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_precision(dtype: torch.dtype) -> None:
    blank = torch.full((1, 2, 2), -1.0, dtype=dtype)
    label = torch.full((1, 2, 1), -1.0, dtype=dtype)
    total = lattice.log_likelihood(blank, label, torch.tensor([2]), torch.tensor([1]))
    assert total.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    expected = torch.tensor([2.0]).log() - 3  # two paths of three steps
    torch.testing.assert_close(total.float(), expected)


def test_padding_changes_nothing() -> None:
    torch.manual_seed(0)
    blank, label = torch.randn(2, 5, 4), torch.randn(2, 5, 3)
    frames, labels = torch.tensor([5, 2]), torch.tensor([3, 1])
    dirty = [blank.clone(), label.clone()]
    dirty[0][1, 2:] = dirty[0][1, :, 2:] = float("nan")
    dirty[1][1, 2:] = dirty[1][1, :, 1:] = float("nan")
    results = []
    for inputs in ([blank, label], dirty):
        leaves = [x.requires_grad_() for x in inputs]
        total = lattice.log_likelihood(*leaves, frames, labels)
        results.append((total, *torch.autograd.grad(total.sum(), leaves)))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b)
    assert not results[1][1][1, 2:].any()
    assert not results[1][2][1, :, 1:].any()
