"""A softmax times a matrix in chunks, against the plain product."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from icefall_sampled.losses import chunks, posterior_product

LENGTHS = torch.tensor([6, 1, 4])


def make(dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """hidden (NaN in the padding), weight, bias, matrix."""
    generator = torch.Generator().manual_seed(0)
    shapes = ((3, 6, 5), (11, 5), (11,), (11, 4))
    tensors = [torch.randn(s, generator=generator, dtype=torch.float64).to(dtype) for s in shapes]
    for n, length in enumerate(LENGTHS):
        tensors[0][n, length:] = float("nan")
    return [x.requires_grad_() for x in tensors]


def naive(hidden: Tensor, weight: Tensor, bias: Tensor, matrix: Tensor) -> Tensor:
    padding = torch.arange(6) >= LENGTHS[:, None]
    hidden = hidden.masked_fill(padding[:, :, None], 0)
    out = torch.nn.functional.linear(hidden, weight, bias).softmax(2) @ matrix
    return out.masked_fill(padding[:, :, None], 0)


@pytest.mark.parametrize("max_columns", [1, 4, 2048])
@pytest.mark.parametrize("min_rows", [1, 4, 32])
def test_equals_the_plain_product(
    max_columns: int, min_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunks, "MAX_COLUMNS", max_columns)
    monkeypatch.setattr(chunks, "MIN_ROWS", min_rows)
    monkeypatch.setattr(chunks, "_chunk_mib", 1e-6)
    inputs = make()
    results = []
    for out in (posterior_product(*inputs, LENGTHS), naive(*inputs)):
        upstream = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)
        results.append((out, *torch.autograd.grad((out * upstream).sum(), inputs)))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def test_autocast_gives_what_linear_gives() -> None:
    inputs = make(torch.float32)
    exact = naive(*inputs)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = posterior_product(*inputs, LENGTHS)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.float(), exact, rtol=0.05, atol=0.05)
    gradients = torch.autograd.grad(out.sum(), inputs)
    for a, b in zip(gradients, torch.autograd.grad(exact.sum(), inputs), strict=True):
        assert a.dtype == torch.float32
        torch.testing.assert_close(a, b, rtol=0.05, atol=0.05)


@pytest.mark.parametrize(
    ("name", "position", "value"),
    [
        ("hidden", 0, torch.zeros(3, 6)),
        ("weight", 1, torch.zeros(11, 4)),
        ("bias", 2, torch.zeros(10)),
        ("matrix", 3, torch.zeros(10, 4)),
        ("lengths", 4, torch.tensor([6, 7, 1])),
        ("lengths", 4, torch.tensor([6, 0, 1])),
        ("lengths", 4, torch.tensor([6, 1])),
    ],
)
def test_bad_arguments_are_named(name: str, position: int, value: Tensor) -> None:
    arguments = [*make(), LENGTHS]
    arguments[position] = value
    with pytest.raises(ValueError, match=rf"^{name} must .*, was "):
        posterior_product(*arguments)
